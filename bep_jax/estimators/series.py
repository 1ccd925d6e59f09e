"""`BEPTimeSeriesClassifier`: binary networks as an aeon classifier of series.

Axis letters: n series, F channels, T time steps, C classes, b bits.
Source: arXiv 2512.04189; https://www.aeon-toolkit.org.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import jax
import numpy as np
from aeon.classification import BaseClassifier
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from bep_jax.data import encode
from bep_jax.data.words import unpack_host
from bep_jax.estimators import networks
from bep_jax.estimators.bits import fit_places
from bep_jax.estimators.networks import Networks, Settings, random_of
from bep_jax.estimators.samples import Split, classes_of_stream, plain, rounded_up, split
from bep_jax.kernels.checks import check_choice, check_count
from bep_jax.network.model import Model, conv, mlp, rnn
from bep_jax.training import choosing

# In the order in which they are tried; the first is taken unless another is clearly better.
_KINDS = ("convolution", "dense", "rocket", "recurrent")
_LEARNED = ["networks_", "network_", "validation_accuracy_", "encoder_", "_steps", "_learned_classes"]


class BEPTimeSeriesClassifier(BaseClassifier):
    """An aeon classifier of time series: binary networks, trained by Binary Error Propagation.

    Series are ``[n, channels, T]``, or a list of ``[channels, T_i]`` where lengths differ: shorter ones are then padded
    in front, and ones longer than all in training cut to their last steps. Every value becomes thermometer bits,
    whose thresholds are fitted by channel, or with "rocket" every count. Missing values (NaN) are allowed.

    Args:
      network: "dense" reads all steps of a series at once, "rocket" how often each of many small kernels responds,
        wherever it does (`bep_jax.encode.fit_rocket`), "convolution" all steps after a convolution along time, and
        "recurrent" one after the other; "auto" tries them in this order (recurrent ones on 32 steps at most) for 20
        epochs, with few samples for up to 50, and takes the one that is best on three tenths of the samples, held out.
      widths: neurons of each hidden layer; recurrent: of the state and of the layer after it.
      filters: of the convolutions, (channels, patch, stride) each; None for one that fits the length.
      bits: thermometer bits a value; None for up to 16, fewer for long series. With "rocket" of a count, None for 4 or
        fewer.
      margin, gate, group_size, reinforcement, scale, n_networks, epochs, batch_size: as for `BEPClassifier`.
      validation_fraction, early_stopping, tune_minutes, class_weight: as for `BEPClassifier`.
      warm_start: `fit` goes on from where the last one ended, with the same network and encoder.
      random_state, verbose: as for `BEPClassifier`.

    Attributes:
      classes_: the labels, sorted, of their own type ``[C]``.
      encoder_: from values to packed bits, for the network that was taken.
      network_: which network was taken.
      validation_accuracy_: of each that was tried.
      networks_: the trained networks, with ``model``, ``params`` (a leading axis), ``history`` and ``temperature``.
      n_iter_: epochs trained.

    Example:
      >>> from aeon.testing.data_generation import make_example_3d_numpy
      >>> x, y = make_example_3d_numpy(n_cases=20, n_channels=2, n_timepoints=12, random_state=0)
      >>> classifier = BEPTimeSeriesClassifier("dense", widths=(35,), epochs=10, random_state=0).fit(x, y)
      >>> classifier.predict_proba(x[:3]).shape
      (3, 2)
    """

    _tags: ClassVar = {
        "X_inner_type": ["np-list", "numpy3D"],
        "capability:multivariate": True,
        "capability:unequal_length": True,
        "capability:missing_values": True,
        "algorithm_type": "deeplearning",
    }

    encoder_: encode.Thermometer | encode.Rocket | encode.Union
    network_: str
    validation_accuracy_: dict[str, float]
    networks_: Networks
    n_iter_: int
    _learned_classes: np.ndarray  # of `networks_`: those of a call are known before it learns
    _steps: int  # T of training

    def __init__(
        self,
        network: Literal["auto", "dense", "rocket", "convolution", "recurrent"] = "auto",
        widths: Sequence[int] = (525, 525),
        *,
        filters: Sequence[Sequence[int]] | None = None,
        bits: int | None = None,
        margin: float = 0.5,
        gate: float | None = None,
        group_size: int | Sequence[int] | None = None,
        reinforcement: float = 0.5,
        scale: float | None = None,
        n_networks: int = 5,
        epochs: int = 50,
        batch_size: int | None = None,
        validation_fraction: float = 0.1,
        early_stopping: bool = False,
        tune_minutes: float | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.network = network
        self.widths = widths
        self.filters = filters
        self.bits = bits
        self.margin = margin
        self.gate = gate
        self.group_size = group_size
        self.reinforcement = reinforcement
        self.scale = scale
        self.n_networks = n_networks
        self.epochs = epochs
        self.batch_size = batch_size
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.tune_minutes = tune_minutes
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def reset(self, keep=None):
        """Forgets everything but the parameters and what ``keep`` names; with ``warm_start`` what was learned stays."""
        kept = [keep] if isinstance(keep, str) else list(keep or [])
        return super().reset([*kept, *_LEARNED] if self.warm_start else kept)

    def partial_fit(self, X, y, classes=None):
        """Learns from a batch of a stream, in one pass.

        The first batch decides which network reads the series, how many steps of them, and where thresholds lie, so it
        should be typical of the stream. The temperature of `predict_proba` is fitted on each batch before the networks
        learn from it.

        Args:
          X: series, as for `fit`.
          y: labels ``[n]``.
          classes: all labels that the stream will have; needed in the first call.

        Returns:
          The estimator.

        Raises:
          TypeError, ValueError: as `fit`; a label that is not among ``classes``.
        """
        first = not hasattr(self, "networks_")
        X = self._preprocess_collection(X, store_metadata=first)
        self._check_shape(X)
        y = column_or_1d(y)
        check_consistent_length(X, y)
        check_classification_targets(y)
        self.classes_ = classes_of_stream(None if first else self._learned_classes, classes, y)
        self.n_classes_ = len(self.classes_)
        if self.n_classes_ < 2:
            raise ValueError(f"partial_fit: wanted at least two classes, got {self.classes_}.")
        self._learn(X, y, networks.train_on, None if first else self.networks_, fraction=0.0)
        self.is_fitted = True
        return self

    def decision_function(self, X) -> np.ndarray:
        """Class scores, summed over the networks: whole numbers as float64 ``[n, C]``; of two classes the second's lead
        ``[n]``."""
        self._check_is_fitted()
        X = self._preprocess_collection(X, store_metadata=False)
        self._check_shape(X)
        scores = self._scores(X).astype(np.float64)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def _preprocess_collection(self, X, store_metadata=True):
        return super()._preprocess_collection(plain(X, "BEPTimeSeriesClassifier: X"), store_metadata)

    def _fit(self, X, y):
        previous = getattr(self, "networks_", None)  # with warm_start
        if previous is not None and not np.array_equal(self.classes_, self._learned_classes):
            raise ValueError(
                "BEPTimeSeriesClassifier: warm_start wants the classes of the last fit, "
                f"{self._learned_classes}, got {self.classes_}."
            )
        return self._learn(X, y, networks.train, previous, self.validation_fraction)

    def _learn(self, X, y, train: Callable[..., Networks], previous: Networks | None, fraction: float):
        """By ``train``, from new networks or previous ones, with a ``fraction`` of the series held out."""
        settings, random = Settings.of(self), random_of(self)
        check_choice(self.network, (*_KINDS, "auto"), "network", "BEPTimeSeriesClassifier")
        labels, key = np.searchsorted(self.classes_, y), jax.random.key(random.randint(2**31 - 1))
        if previous is None:
            lengths = {one.shape[1] for one in X}
            # Folds of unequal series have other longest ones: a size that they share.
            self._steps = max(lengths) if len(lengths) == 1 else rounded_up(max(lengths), least=8)
            fitted = functools.cache(functools.partial(self._fitted_encoder, X))
            self.network_, self.validation_accuracy_ = self.network, {}
            if self.network == "auto":
                self.network_, self.validation_accuracy_ = choosing.choose(
                    self._trials(settings, fitted, X, labels, random),
                    epochs=self.epochs,
                    key=key,
                    class_weight=settings.balanced,
                    progress=bool(self.verbose),
                    mesh="auto",
                )
            self.encoder_ = fitted(self.network_)
        words = self._read(self.network_, self.encoder_, X)
        samples = self._split(words, labels, fraction, random).of(words)
        model = self._model(self.network_, self.encoder_)
        self.networks_ = train(settings, model, samples, key, previous)
        self.n_iter_ = self.networks_.history["train_accuracy"].shape[1]
        self._learned_classes = self.classes_
        return self

    def _trials(self, settings, fitted, X, labels, random) -> dict[str, Callable[[], choosing.Trial | None]]:
        """Of each kind of network, with the encoder fitted for it, all on the same samples."""
        split = self._split(self._read(_KINDS[0], fitted(_KINDS[0]), X), labels, choosing.VALIDATION, random)

        def trial(kind: str) -> choosing.Trial | None:
            if kind == "recurrent" and not choosing.recurrent_tried(self._steps):
                return None
            encoder = fitted(kind)
            samples = split.of(self._read(kind, encoder, X))
            model, size = self._model(kind, encoder), settings.batch_size_of(samples)
            return choosing.Trial(model, settings.rule(), samples, size, settings.scale)

        return {kind: functools.partial(trial, kind) for kind in _KINDS}

    def _fitted_encoder(self, X, kind: str) -> encode.Thermometer | encode.Rocket | encode.Union:
        steps = _last_steps(X, self._steps)
        num_bits = None if self.bits is None else check_count(self.bits, "bits", type(self).__name__)
        if kind == "rocket":
            return encode.fit_rocket(steps, num_bits)
        places = fit_places(steps, usual_bits(steps[0].size) if num_bits is None else num_bits)
        if kind == "convolution":
            return encode.with_counts(places, steps)
        return places

    def _read(self, kind: str, encoder: encode.Encoder, X) -> np.ndarray:
        """Words of whole series ``[n, W]``, for a recurrent network of their steps ``[n, T, W]``."""
        steps = _last_steps(X, self._steps)
        words = encoder(steps.reshape(len(steps), -1))
        if kind != "recurrent":
            return words
        bits = unpack_host(words, encoder.num_bits)
        return encode.pack_host(bits.reshape(*steps.shape[:2], -1))

    def _split(self, words, labels, fraction, random) -> Split:
        copies, rows = np.ones(len(labels), np.int64), words.reshape(len(words), -1)
        return split(rows, labels, copies, fraction, self.class_weight, self.classes_, random)

    def _predict(self, X) -> np.ndarray:
        return self.classes_[np.argmax(self._scores(X), axis=1)]

    def _predict_proba(self, X) -> np.ndarray:
        return self.networks_.probabilities(self._scores(X))

    def _scores(self, X) -> np.ndarray:
        return self.networks_.scores(self._read(self.network_, self.encoder_, X))

    def _model(self, kind: str, encoder: encode.Encoder) -> Model:
        num_bits, extra = encoder.num_bits, encode.extra_bits(encoder)
        widths, num_classes, one_step = tuple(self.widths), len(self.classes_), num_bits // self._steps
        if kind in ("dense", "rocket"):
            return mlp(num_inputs=num_bits, widths=widths, num_classes=num_classes)
        if kind == "convolution":
            return conv(
                image_shape=(self._steps,),
                channels=(num_bits - extra) // self._steps,
                filters=self.filters,
                widths=widths,
                num_classes=num_classes,
                extra=extra,
            )
        return rnn(num_inputs=one_step, state_width=widths[0], output_width=widths[-1], num_classes=num_classes)

    @classmethod
    def _get_test_params(cls, parameter_set="default"):
        return {"network": "dense", "widths": (35,), "epochs": 5, "n_networks": 2}


def usual_bits(num_values: int) -> int:
    """Thermometer bits of a value: 16, fewer where a series has many values.

    Example:
      >>> [usual_bits(values) for values in (24, 500, 5000)]
      [16, 16, 1]
    """
    return max(1, min(16, 8192 // num_values))


def _last_steps(X, length: int) -> np.ndarray:
    """The last ``length`` steps of series ``[F, T_i]``, shorter ones padded in front: float64 ``[n, T, F]``."""
    steps = np.full((len(X), length, X[0].shape[0]), np.nan)
    for row, one in zip(steps, X, strict=True):
        kept = one[:, -length:]
        row[length - kept.shape[1] :] = kept.T
    return steps

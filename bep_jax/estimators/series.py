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
from bep_jax.estimators import networks
from bep_jax.estimators.bits import fit_places
from bep_jax.estimators.networks import Networks, Settings, random_of
from bep_jax.estimators.samples import Samples, classes_of_stream, rounded_up, split
from bep_jax.kernels.checks import check_count
from bep_jax.network.model import Model, conv, mlp, rnn
from bep_jax.training import choosing

_KINDS = ("dense", "convolution", "recurrent")
_LEARNED = ["networks_", "network_", "validation_accuracy_", "encoder_", "_steps", "_learned_classes"]


class BEPTimeSeriesClassifier(BaseClassifier):
    """An aeon classifier of time series: binary networks, trained by Binary Error Propagation.

    Series are ``[n, channels, T]``, or a list of ``[channels, T_i]`` where lengths differ: shorter ones are then padded
    in front, and ones longer than all in training cut to their last steps. Every value becomes thermometer bits,
    whose thresholds are fitted by channel. Missing values (NaN) are allowed.

    Args:
      network: "dense" reads all steps of a series at once, "convolution" does after a convolution along time, and
        "recurrent" reads one after the other; "auto" tries them (recurrent ones on 32 steps at most) for 20 epochs, and
        takes the one that is best on three tenths of the samples, held out.
      widths: neurons of each hidden layer; recurrent: of the state and of the layer after it.
      filters: of the convolutions, (channels, patch, stride) each; None for one that fits the length.
      bits: thermometer bits a value; None for up to 16, fewer for long series.
      margin, gate, group_size, reinforcement, scale, n_networks, epochs, batch_size: as for `BEPClassifier`.
      validation_fraction, early_stopping, tune_minutes, class_weight: as for `BEPClassifier`.
      warm_start: `fit` goes on from where the last one ended, with the same network and encoder.
      random_state, verbose: as for `BEPClassifier`.

    Attributes:
      classes_: the labels, sorted, of their own type ``[C]``.
      encoder_: from values to packed bits.
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

    encoder_: encode.Thermometer
    network_: str
    validation_accuracy_: dict[str, float]
    networks_: Networks
    n_iter_: int
    _learned_classes: np.ndarray  # of `networks_`: those of a call are known before it learns
    _steps: int  # T of training

    def __init__(
        self,
        network: Literal["auto", "dense", "convolution", "recurrent"] = "auto",
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
        if self.network not in (*_KINDS, "auto"):
            raise ValueError(
                f"BEPTimeSeriesClassifier: network must be one of {', '.join(_KINDS)} and auto, got {self.network!r}."
            )
        labels, key = np.searchsorted(self.classes_, y), jax.random.key(random.randint(2**31 - 1))
        if previous is None:
            self._fit_encoder(X)
        words = self._words(X)
        if previous is None:
            self.network_, self.validation_accuracy_ = self.network, {}
            if self.network == "auto":
                self.network_, self.validation_accuracy_ = choosing.choose(
                    self._trials(settings, self._split(words, labels, choosing.VALIDATION, random)),
                    epochs=self.epochs,
                    key=key,
                    class_weight=settings.balanced,
                    progress=bool(self.verbose),
                    mesh="auto",
                )
        samples = self._read_by(self.network_, self._split(words, labels, fraction, random))
        self.networks_ = train(settings, self._model(self.network_), samples, key, previous)
        self.n_iter_ = self.networks_.history["train_accuracy"].shape[1]
        self._learned_classes = self.classes_
        return self

    def _fit_encoder(self, X) -> None:
        lengths = {one.shape[1] for one in X}
        # Folds of unequal series have other longest ones: a size that they share.
        self._steps = max(lengths) if len(lengths) == 1 else rounded_up(max(lengths), least=8)
        steps = _last_steps(X, self._steps)
        num_bits = usual_bits(steps[0].size) if self.bits is None else self.bits
        self.encoder_ = fit_places(steps, check_count(num_bits, "bits", type(self).__name__))

    def _words(self, X) -> np.ndarray:
        """Whole series, uint32 ``[n, W]``."""
        steps = _last_steps(X, self._steps)
        return self.encoder_(steps.reshape(len(steps), -1))

    def _split(self, words, labels, fraction, random) -> Samples:
        copies = np.ones(len(labels), np.int64)
        return split(words, labels, copies, fraction, self.class_weight, self.classes_, random)

    def _trials(self, settings, samples: Samples) -> dict[str, Callable[[], choosing.Trial | None]]:
        def trial(kind: str) -> choosing.Trial | None:
            if kind == "recurrent" and not choosing.recurrent_tried(self._steps):
                return None
            size, data = settings.batch_size_of(samples), self._read_by(kind, samples)
            return choosing.Trial(self._model(kind), settings.rule(), data, size, settings.scale)

        return {kind: functools.partial(trial, kind) for kind in _KINDS}

    def _predict(self, X) -> np.ndarray:
        return self.classes_[np.argmax(self._scores(X), axis=1)]

    def _predict_proba(self, X) -> np.ndarray:
        return self.networks_.probabilities(self._scores(X))

    def _scores(self, X) -> np.ndarray:
        return self.networks_.scores(self._steps_of(self._words(X)) if self.network_ == "recurrent" else self._words(X))

    def _model(self, kind: str) -> Model:
        widths, num_classes, num_bits = tuple(self.widths), len(self.classes_), self.encoder_.num_bits
        one_step = num_bits // self._steps
        if kind == "dense":
            return mlp(num_inputs=num_bits, widths=widths, num_classes=num_classes)
        if kind == "convolution":
            shape, filters = (self._steps,), self.filters
            return conv(image_shape=shape, channels=one_step, filters=filters, widths=widths, num_classes=num_classes)
        return rnn(num_inputs=one_step, state_width=widths[0], output_width=widths[-1], num_classes=num_classes)

    def _read_by(self, kind: str, samples: Samples) -> Samples:
        return samples._replace(train_x=self._steps_of(samples.train_x)) if kind == "recurrent" else samples

    def _steps_of(self, words: np.ndarray) -> np.ndarray:
        """Words of a recurrent network's steps ``[n, T, W]``, from those of whole series."""
        octets = np.ascontiguousarray(words, "<u4").view(np.uint8)
        bits = np.unpackbits(octets, axis=1, count=self.encoder_.num_bits, bitorder="little").astype(bool)
        return encode.pack_host(bits.reshape(len(words), self._steps, -1))

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

"""`BEPTimeSeriesClassifier`: binary networks as an aeon classifier of series.

Axis letters: n series, F channels, T time steps, C classes, b bits.
Source: arXiv 2512.04189; https://www.aeon-toolkit.org.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import jax
import numpy as np
from aeon.classification import BaseClassifier
from sklearn.utils import check_random_state

from bep_jax.data import encode
from bep_jax.estimators import networks
from bep_jax.estimators.bits import fit_exactly
from bep_jax.estimators.networks import Networks, Settings
from bep_jax.estimators.samples import held_out, padded, rounded_up, weighted
from bep_jax.kernels.checks import check_count
from bep_jax.network.model import Model, mlp, rnn

_KINDS = ("dense", "recurrent")


class BEPTimeSeriesClassifier(BaseClassifier):
    """An aeon classifier of time series: binary networks, trained by Binary Error Propagation.

    Series are ``[n, channels, T]``, or a list of ``[channels, T_i]`` where lengths differ: shorter ones are then padded
    in front, and ones longer than all in training cut to their last steps. Every value becomes thermometer bits,
    whose thresholds are fitted by channel. Missing values (NaN) are allowed.

    Args:
      network: "dense" reads all steps of a series at once, "recurrent" one after the other; "auto" trains both and
        takes the one with the better validation accuracy.
      widths: neurons of each hidden layer; recurrent: of the state and of the layer after it.
      bits: thermometer bits a value; None for up to 16, fewer for long series.
      margin, gate, group_size, reinforcement, scale, n_networks, epochs, batch_size, validation_fraction,
        early_stopping, class_weight, random_state, verbose: as for `BEPClassifier`.

    Attributes:
      classes_: the labels, sorted, of their own type ``[C]``.
      encoder_: from values to packed bits.
      network_: which network was taken.
      networks_: the trained networks, with ``model``, ``params`` (a leading axis), ``history`` and ``temperature``.
      n_iter_: epochs trained.

    Example:
      >>> from aeon.testing.data_generation import make_example_3d_numpy
      >>> x, y = make_example_3d_numpy(n_cases=20, n_channels=2, n_timepoints=12, random_state=0)
      >>> classifier = BEPTimeSeriesClassifier(widths=(35,), epochs=10, random_state=0).fit(x, y)
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
    networks_: Networks
    n_iter_: int

    def __init__(
        self,
        network: Literal["auto", "dense", "recurrent"] = "dense",
        widths: Sequence[int] = (525, 525),
        *,
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
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ):
        self.network = network
        self.widths = widths
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
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose
        super().__init__()

    def decision_function(self, X) -> np.ndarray:
        """Class scores, summed over the networks: int64 ``[n, C]``; with two classes the second's lead, ``[n]``."""
        self._check_is_fitted()
        X = self._preprocess_collection(X, store_metadata=False)
        self._check_shape(X)
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def _fit(self, X, y):
        settings, random = Settings.of(self), check_random_state(self.random_state)
        if self.network not in (*_KINDS, "auto"):
            raise ValueError(f"network must be one of {', '.join(_KINDS)} and auto, got {self.network!r}.")
        labels = np.searchsorted(self.classes_, y)
        lengths = {one.shape[1] for one in X}
        # Folds of unequal series have other longest ones: a size that they share.
        self._steps = max(lengths) if len(lengths) == 1 else rounded_up(max(lengths), least=8)
        steps = _last_steps(X, self._steps)
        num_bits = usual_bits(steps.shape[1] * steps.shape[2]) if self.bits is None else self.bits
        check_count(num_bits, "bits", type(self).__name__)
        channels = steps.reshape(-1, steps.shape[2])
        self.encoder_ = fit_exactly(channels, np.full(channels.shape[1], num_bits))
        validation = held_out(labels, self.validation_fraction, random)
        drawn = np.flatnonzero(~validation)
        drawn = drawn[weighted(labels[drawn], self.class_weight, self.classes_)]
        key = jax.random.key(random.randint(2**31 - 1))
        found: dict[str, Networks] = {}
        for kind in _KINDS if self.network == "auto" else (self.network,):
            samples = padded(self._words(steps, kind), labels, validation, drawn)
            found[kind] = networks.train(settings, self._model(kind), samples, key)
        self.network_ = max(found, key=lambda kind: found[kind].validation_accuracy)  # the first on ties
        self.networks_ = found[self.network_]
        self.n_iter_ = self.networks_.history["train_accuracy"].shape[1]
        return self

    def _predict(self, X) -> np.ndarray:
        return self.classes_[np.argmax(self._scores(X), axis=1)]

    def _predict_proba(self, X) -> np.ndarray:
        return self.networks_.probabilities(self._scores(X))

    def _scores(self, X) -> np.ndarray:
        return self.networks_.scores(self._words(_last_steps(X, self._steps), self.network_))

    def _model(self, kind: str) -> Model:
        bits, widths, num_classes = self.encoder_.num_bits, tuple(self.widths), len(self.classes_)
        if kind == "dense":
            return mlp(num_inputs=self._steps * bits, widths=widths, num_classes=num_classes)
        return rnn(num_inputs=bits, state_width=widths[0], output_width=widths[-1], num_classes=num_classes)

    def _words(self, steps: np.ndarray, kind: str) -> np.ndarray:
        """Packed bits of ``[n, T, F]``: uint32 ``[n, T, W]`` for a recurrent network, else ``[n, W]``."""
        if kind == "recurrent":
            return self.encoder_(steps)
        whole = encode.Thermometer(np.tile(self.encoder_.thresholds, (self._steps, 1)))
        return whole(steps.reshape(len(steps), -1))

    @classmethod
    def _get_test_params(cls, parameter_set="default"):
        return {"widths": (35,), "epochs": 5, "n_networks": 2}


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

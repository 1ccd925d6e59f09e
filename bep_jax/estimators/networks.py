"""The networks behind an estimator: trained side by side, voting, with one temperature for their probabilities.

Axis letters: S networks, n samples, C classes, W words.
"""

import dataclasses
import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from bep_jax.data.dataset import Dataset
from bep_jax.estimators.samples import Samples
from bep_jax.kernels.checks import check_count, check_real, check_several, check_type, shown
from bep_jax.kernels.isolate import jit
from bep_jax.learning.chain import logits
from bep_jax.learning.rule import Rule
from bep_jax.network.model import Model
from bep_jax.network.visible import Visible, visible
from bep_jax.training.calibration import fit_temperature, probabilities
from bep_jax.training.fitting import fit
from bep_jax.training.learner import TrainState
from bep_jax.training.samples import HELD_OUT, TRAINS
from bep_jax.training.tuning import tune

_STOP_AFTER = 10  # epochs without a better one, where training may end early
_FEW, _BLOCK = 16, 256  # samples that are scored together: only two shapes are ever compiled


class Settings(NamedTuple):
    """What estimators have in common; their parameters of these names, explained in `BEPClassifier`."""

    widths: Sequence[int]
    margin: float
    gate: float | None
    group_size: int | Sequence[int] | None
    reinforcement: float
    scale: float | None
    n_networks: int
    epochs: int
    batch_size: int | None
    early_stopping: bool
    tune_minutes: float | None
    class_weight: dict[Any, float] | str | None
    verbose: bool

    @classmethod
    def of(cls, estimator: Any) -> "Settings":
        """Those of an estimator, checked where `Rule` and `fit` would not say which parameter is wrong."""
        who = type(estimator).__name__
        for name in ("n_networks", "epochs", "batch_size"):
            if name != "batch_size" or estimator.batch_size is not None:
                check_count(getattr(estimator, name), name, who)
        for name in ("early_stopping", "warm_start", "verbose"):
            check_type(getattr(estimator, name, False), (bool, np.bool_, int), name, who)
        if not 0 <= check_real(estimator.validation_fraction, "validation_fraction", who) < 1:
            raise ValueError(f"{who}: validation_fraction must be in [0, 1), got {estimator.validation_fraction!r}.")
        if estimator.tune_minutes is not None:
            check_real(estimator.tune_minutes, "tune_minutes", who)
        check_several(estimator.widths, "widths", who)
        weight = estimator.class_weight
        if not isinstance(weight, dict | None) and not (isinstance(weight, str) and weight == "balanced"):
            raise ValueError(f"{who}: class_weight must be None, 'balanced' or a dictionary, got {shown(weight)}.")
        return cls(*(getattr(estimator, name) for name in cls._fields))

    def rule(self) -> Rule:
        """The rule that they mean."""
        sizes: Any = self.group_size
        return Rule(margin=self.margin, gate=self.gate, group_size=sizes, reinforcement=self.reinforcement)

    @property
    def balanced(self) -> Literal["balanced"] | None:
        """What `bep_jax.fit` knows of ``class_weight``."""
        return "balanced" if isinstance(self.class_weight, str) else None

    def batch_size_of(self, samples: Samples) -> int:
        """Samples a step, no more than there are."""
        size = self.batch_size
        size = usual_batch_size(int(np.sum(samples.train_split == TRAINS))) if size is None else size
        return min(int(size), len(samples.train_split))


@dataclass(frozen=True)
class Networks:
    """Trained networks, in NumPy arrays: they pickle."""

    model: Model
    rule: Rule  # what they learned by; None in it is what follows from shapes
    params: Any  # `Params`, with a leading axis [S]
    weights: Visible  # the same, packed for scoring
    state: TrainState  # what further training needs, [S] on every array; keys as `_Key`
    history: dict[str, np.ndarray]  # name -> [S, epochs]
    temperature: float  # of the summed scores

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Class scores, summed over the networks: int64 ``[n, C]`` of words uint32 ``[n, W]``, ``[n, T, W]``."""
        return _scores(self.model, self.weights, x)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """float64 ``[n, C]`` from `scores`."""
        return probabilities(scores, self.temperature)

    def at_temperature(self, temperature: float) -> "Networks":
        """The same networks with another temperature."""
        return dataclasses.replace(self, temperature=temperature)


def train(
    settings: Settings,
    model: Model,
    samples: Samples,
    key: jax.Array,
    previous: Networks | None = None,
    epochs: int | None = None,
) -> Networks:
    """Trains networks and fits their temperature on the validation samples, or where there are none on all.

    Args:
      settings: an estimator's.
      model: every network's.
      samples: `Samples`.
      key: of everything random.
      previous: networks to go on from.
      epochs: in place of those of the settings, and nothing is tuned.
    """
    trains, validates = (samples.train_split == part for part in (TRAINS, HELD_OUT))
    early = settings.early_stopping and validates.any()
    rule, scale = settings.rule(), settings.scale
    options: dict[str, Any] = {"batch_size": settings.batch_size_of(samples), "class_weight": settings.balanced}
    if settings.tune_minutes is not None and previous is None and epochs is None:
        rule, scale = _tuned(settings, settings.tune_minutes, model, samples, options)
    result = fit(
        model,
        rule,
        samples,
        epochs=settings.epochs if epochs is None else epochs,
        seeds=settings.n_networks,
        key=key,
        scale=scale,
        keep="best" if early else "last",
        stop_after=_STOP_AFTER if early else None,
        progress=bool(settings.verbose),
        mesh="auto",
        state=None if previous is None else jax.tree.map(_thawed, previous.state),
        **options,
    )
    if result.interrupted:
        warnings.warn("Training was interrupted by the user.", ConvergenceWarning, stacklevel=4)
    state = jax.tree.map(_frozen, result.state)
    params = jax.tree.map(_frozen, result.params) if early else state.params
    rows = validates if validates.any() else trains
    weights = jax.tree.map(np.asarray, visible(model, result.params))
    scores = _scores(model, weights, samples.train_x[rows])
    temperature = fit_temperature(scores, samples.train_y[rows])
    return Networks(model, rule, params, weights, state, result.history, temperature)


def train_on(settings: Settings, model: Model, samples: Samples, key: jax.Array, previous: Networks | None) -> Networks:
    """One pass over a batch of a stream; the temperature goes half the way to what the batch says before it is learned.

    Args:
      settings, model, key, previous: as for `train`.
      samples: all of them to train on.
    """
    trained = train(settings, model, samples, key, previous, epochs=1)
    if previous is None:
        return trained
    rows = samples.train_split == TRAINS
    unseen = fit_temperature(previous.scores(samples.train_x[rows]), samples.train_y[rows])
    return trained.at_temperature(float(np.sqrt(unseen * previous.temperature)))


def _tuned(
    settings: Settings, minutes: float, model: Model, samples: Samples, options: dict[str, Any]
) -> tuple[Rule, Any]:
    """The rule and the scale that samples held out of the training ones like best."""
    rows = samples.train_split == TRAINS
    x, y = samples.train_x[rows], samples.train_y[rows]
    data = Dataset(x, y, x[:1], y[:1], model.num_inputs, model.num_classes, None, ())
    best = tune(
        data,
        minutes=minutes,
        models={"": lambda data: model},
        epochs=settings.epochs,
        margin=settings.margin,
        progress=bool(settings.verbose),
        **options,
    )
    return best.rule, best.fit_options["scale"]


def random_of(estimator: Any) -> np.random.RandomState:
    """What an estimator's ``random_state`` means, or a ValueError that names both."""
    try:
        return check_random_state(estimator.random_state)
    except (TypeError, ValueError):
        raise ValueError(
            f"{type(estimator).__name__}: random_state must be None, an integer in 0..2**32 - 1 or a RandomState, got "
            f"{shown(estimator.random_state)}."
        ) from None


def usual_batch_size(size: int) -> int:
    """About a twentieth of the samples, 16 to 100, in few steps so that data of about one size agree.

    Example:
      >>> [usual_batch_size(n) for n in (100, 1000, 60000)]
      [16, 64, 100]
    """
    return next((b for b in (16, 32, 64) if size <= 25 * b), 100)


def _scores(model: Model, weights: Visible, x: np.ndarray) -> np.ndarray:
    program, parts = _program(model), []
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        size = _FEW if len(block) <= _FEW else _BLOCK
        filled = np.zeros((size, *x.shape[1:]), np.uint32)
        filled[: len(block)] = block
        parts.append(np.asarray(program(weights, filled))[: len(block)])
    return np.concatenate(parts).astype(np.int64)


@functools.lru_cache(maxsize=32)
def _program(model: Model):
    return jit(lambda weights, x: jnp.sum(logits(model, weights, x), axis=0, dtype=jnp.int32))


@dataclass(frozen=True)
class _Key:
    """A key's data: keys of JAX do not pickle."""

    data: np.ndarray


def _frozen(leaf: jax.Array) -> Any:
    return _Key(np.asarray(jax.random.key_data(leaf))) if _is_key(leaf) else np.asarray(leaf)


def _thawed(leaf: Any) -> jax.Array:
    return jax.random.wrap_key_data(jnp.asarray(leaf.data)) if isinstance(leaf, _Key) else jnp.asarray(leaf)


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

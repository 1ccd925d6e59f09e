"""Random features: lower layers frozen as drawn, only the upper ones trained, by Binary Error Propagation.

The control: a learning rule that cannot beat it learns no features.

Axis letters: S seeds, B batch, W words.
Source: arXiv 2512.04189, the rule of the layers that are trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

import jax
import numpy as np

import bep_jax as bep
from bep_jax.kernels.checks import check_positive, check_type
from bep_jax.learning.rule import limits_of
from bep_jax.training import loop
from bep_jax.training.fitting import BinaryLearner
from bep_jax.training.samples import check_seeds


def fit(
    model: bep.Model,
    rule: bep.Rule | bep.Limits,
    data: Any,
    *,
    seeds: int | Sequence[int] = 5,
    scale: float | None = 64.0,
    **options: Unpack[loop.Options],
) -> bep.Result:
    """`bep_jax.fit` with all layers but the last frozen, or all convolutions: the same data and form of result.

    Args:
      model: a `Model` of at least two layers. Under dense layers its convolutions are frozen, else all but the last.
      rule: a `Rule` with group sizes of the trained layers, or what `thresholds` of it says, with a leading axis
        ``[S]`` a sweep.
      data, seeds, scale: as for `bep_jax.fit`; a scale for all layers, None for `bep_jax.initial_scale`.
      **options: as for `bep_jax.fit`: epochs, batch_size, key, validation, patience, callbacks, progress,
        checkpoint_dir, resume.

    Returns:
      A `Result`; mask_density_1 and group_size_1 in its history are those of the first trained layer.

    Raises:
      TypeError, ValueError: arguments out of range, data that do not fit the model; only one layer.

    Example:
      >>> data = bep.datasets.load("random-prototypes", num_train=200, num_test=100)
      >>> model = bep.mlp(num_inputs=data.num_inputs, widths=(15, 15), num_classes=data.num_classes)
      >>> fit(model, bep.Rule(), data, epochs=2, seeds=2, progress=False).test_accuracy.shape
      (2,)
    """
    seeds = check_seeds(seeds)
    check_type(rule, (bep.Rule, bep.Limits), "rule", "random_features")
    limits = thresholds(model, rule) if isinstance(rule, bep.Rule) else limits_of(trained_part(model), rule)
    return loop.train(
        RandomFeaturesLearner(model, _scale(model, scale, options)),
        loop.per_seed(limits, limits.margin.ndim == 1, len(seeds)),
        data,
        seeds=seeds,
        **options,
    )


def _scale(model: bep.Model, scale: float | None, options: loop.Options) -> float | tuple[float, ...]:
    if scale is not None:
        return check_positive(scale, "scale", "random_features")
    batch_size = options.get("batch_size", 100)
    # A recurrent cell is frozen, and its time steps are not known.
    return (
        bep.initial_scale(trained_part(model), batch_size)[0]
        if model.recurrent
        else bep.initial_scale(model, batch_size)
    )


def thresholds(model: bep.Model, rule: bep.Rule) -> bep.Limits:
    """The integers that a rule means for the trained layers, what is not named as in the whole model.

    Args:
      model: a `Model` of at least two layers.
      rule: a `Rule` with group sizes of the trained layers.

    Example:
      >>> model = bep.conv(image_shape=(28, 28), widths=(525, 525), num_classes=10)
      >>> thresholds(model, bep.Rule()).group_size  # above convolutions
      Array([25, 25], dtype=int32)
    """
    upper = trained_part(model)
    number = len(upper.layers)
    limits, whole = bep.thresholds(upper, rule), bep.thresholds(model, replace(rule, group_size=None))
    sizes = whole.group_size[-number:] if rule.group_size is None else limits.group_size
    return limits._replace(gate=whole.gate[-number:], group_size=sizes)


def trained_part(model: bep.Model) -> bep.Model:
    """The layers above the frozen ones as a network of their own: those above convolutions, else the last.

    Raises:
      ValueError: there is one layer: nothing would be frozen.
    """
    check_type(model, bep.Model, "model", "random_features")
    if len(model.layers) < 2:
        raise ValueError("random_features: wanted a model of at least two layers; the last one is trained.")
    upper = tuple(layer for layer in model.layers if not isinstance(layer, bep.Convolution))
    return bep.Model(upper if 0 < len(upper) < len(model.layers) else model.layers[-1:], model.num_classes)


@dataclass(frozen=True)
class RandomFeaturesLearner:
    """Training of the upper layers as a `bep_jax.training.learner.Learner`; its settings are their `Limits`.

    Args:
      model: a `Model`.
      scale: σ of the initial hidden weights, one or one a layer.
    """

    model: bep.Model
    scale: float | tuple[float, ...] = field(default=64.0, compare=False)  # of `init` alone

    @property
    def _upper(self) -> BinaryLearner:
        return BinaryLearner(trained_part(self.model))

    @property
    def _frozen(self) -> int:
        """How many layers are."""
        return len(self.model.layers) - len(self._upper.model.layers)

    def _hidden(self, params: bep.Params) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
        """Matrices of the frozen layers, and of the others."""
        number = len(self.model.matrix_shapes) - len(self._upper.model.matrix_shapes)
        return params.hidden[:number], params.hidden[number:]

    def init(self, limits: bep.Limits, init_key: jax.Array, draw_key: jax.Array) -> tuple[bep.Params, Any]:
        params = self.model.init(init_key, self.scale)
        return params, bep.optimizer(limits, draw_key).init(self._hidden(params)[1])

    def step(self, limits, params, opt_state, x, y, where):
        _, residuals = bep.forward(self.model, params, x)
        features = residuals[self._frozen].inputs[0].T  # [B, W]
        frozen, trained = self._hidden(params)
        upper = params._replace(hidden=trained)
        upper, opt_state, stats = bep.step(self._upper.model, limits, upper, opt_state, features, y, where)
        return params._replace(hidden=frozen + upper.hidden), opt_state, stats

    def predict(self, params: bep.Params, x: jax.Array) -> jax.Array:
        return BinaryLearner(self.model).predict(params, x)

    def metrics(self, limits: bep.Limits, totals: bep.Stats, num_samples: int) -> dict[str, np.ndarray]:
        return self._upper.metrics(limits, totals, num_samples)

    def after_epoch(self, opt_state: Any, metrics: dict[str, np.ndarray]) -> Any:
        return self._upper.after_epoch(opt_state, metrics)

    def grow(self, limits: bep.Limits, stalled: np.ndarray) -> bep.Limits:
        return self._upper.grow(limits, stalled)

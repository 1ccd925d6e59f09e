"""Random features: hidden layers frozen as drawn, only the last layer trained, by Binary Error Propagation.

The control: a learning rule that cannot beat it learns no features.

Axis letters: S seeds, B batch, W words.
Source: arXiv 2512.04189, the rule of the last layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import jax
import numpy as np

import bep_jax as bep
from bep_jax.training import loop
from bep_jax.training.fitting import BinaryLearner


def fit(
    model: bep.Model,
    rule: bep.Rule | bep.Limits,
    data: Any,
    *,
    seeds: int | Sequence[int] = 5,
    scale: float | None = 64.0,
    **options: Unpack[loop.Options],
) -> bep.Result:
    """`bep_jax.fit` with all layers but the last frozen: the same data, seeds, batches and form of result.

    Args:
      model: a `Model` of at least two layers, recurrent or not.
      rule: a `Rule` with one group size, or the `Limits` of `last_layer`, with a leading axis ``[S]`` a sweep.
      data, seeds, scale: as for `bep_jax.fit`; a scale for all layers, None for `bep_jax.initial_scale`.
      **options: as for `bep_jax.fit`: epochs, batch_size, key, validation, patience, callbacks, progress,
        checkpoint_dir, resume.

    Returns:
      A `Result`; mask_density_1 and group_size_1 in its history are the last layer's.

    Raises:
      TypeError, ValueError: arguments out of range, data that do not fit the model; only one layer.

    Example:
      >>> data = bep.datasets.load("random-prototypes", num_train=200, num_test=100)
      >>> model = bep.mlp(num_inputs=data.num_inputs, widths=(15, 15), num_classes=data.num_classes)
      >>> fit(model, bep.Rule(), data, epochs=2, seeds=2, progress=False).test_accuracy.shape
      (2,)
    """
    seeds = loop.check_seeds(seeds)
    limits = bep.thresholds(last_layer(model), rule) if isinstance(rule, bep.Rule) else rule
    return loop.train(
        RandomFeaturesLearner(model, _scale(model, scale, options)),
        loop.per_seed(limits, limits.margin.ndim == 1, len(seeds)),
        data,
        seeds=seeds,
        **options,
    )


def _scale(model: bep.Model, scale: float | None, options: loop.Options) -> float:
    return bep.initial_scale(last_layer(model), options.get("batch_size", 100))[0] if scale is None else float(scale)


def last_layer(model: bep.Model) -> bep.Model:
    """The last layer as a network of its own.

    Raises:
      ValueError: it is the only one: nothing would be frozen.
    """
    if len(model.layers) < 2:
        raise ValueError("random_features: wanted a model of at least two layers; the last one is trained.")
    last = model.layers[-1]
    return bep.mlp(num_inputs=last.num_inputs, widths=(last.width,), num_classes=model.num_classes)


@dataclass(frozen=True)
class RandomFeaturesLearner:
    """Training of the last layer as a `bep_jax.training.learner.Learner`; its settings are `last_layer`'s `Limits`.

    Args:
      model: a `Model`.
      scale: σ of the initial hidden weights.
    """

    model: bep.Model
    scale: float = 64.0

    @property
    def _last(self) -> BinaryLearner:
        return BinaryLearner(last_layer(self.model), self.scale)

    def init(self, limits: bep.Limits, init_key: jax.Array, draw_key: jax.Array) -> tuple[bep.Params, Any]:
        params = self.model.init(init_key, self.scale)
        return params, bep.optimizer(limits, draw_key).init(params.hidden[-1:])

    def step(self, limits, params, opt_state, x, y, where):
        _, residuals = bep.forward(self.model, params, x)
        features = residuals[-1].inputs[0].T  # [B, W]
        last = params._replace(hidden=params.hidden[-1:])
        last, opt_state, stats = bep.step(self._last.model, limits, last, opt_state, features, y, where)
        return params._replace(hidden=params.hidden[:-1] + last.hidden), opt_state, stats

    def predict(self, params: bep.Params, x: jax.Array) -> jax.Array:
        return BinaryLearner(self.model).predict(params, x)

    def metrics(self, limits: bep.Limits, totals: bep.Stats, num_samples: int) -> dict[str, np.ndarray]:
        return self._last.metrics(limits, totals, num_samples)

    def after_epoch(self, opt_state: Any, metrics: dict[str, np.ndarray]) -> Any:
        return self._last.after_epoch(opt_state, metrics)

    def grow(self, limits: bep.Limits, stalled: np.ndarray) -> bep.Limits:
        return self._last.grow(limits, stalled)

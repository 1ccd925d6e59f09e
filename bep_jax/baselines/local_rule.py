"""The local rule: every layer learns on its own, from a fixed random classifier of its own.

What Binary Error Propagation improves on. No signal travels backward: each layer triggers on its own classifier's
scores, its desired activations are that classifier's row for the class, and winners, update and reinforcement are the
same. So every layer is a network of one layer, trained on the activations of the one below. (The rule's trigger, wrong
or top-1 minus top-2 below r K_l, is Eq. 1 with the layer's own classifier: the margin of a wrong sample is at most 0.)
Predictions are those of the last layer.

Axis letters: S seeds, B batch, C classes, N neurons, K inputs, L layers, W words.
Source: Colombo, Pittorino, Roveri 2025, arXiv 2412.00119.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

import jax
import numpy as np

import bep_jax as bep
from bep_jax.kernels.checks import check_positive, check_several, check_type
from bep_jax.learning.laws import divisors
from bep_jax.learning.rule import limits_of
from bep_jax.network.layers.dense import Dense
from bep_jax.training import loop
from bep_jax.training.fitting import BinaryLearner
from bep_jax.training.samples import check_seeds

# γ by width, as published; other widths take the divisor nearest to a fifth.
_GROUP_SIZES = {35: 35, 75: 75, 135: 45, 255: 85, 525: 105, 1035: 115}


def usual_group_size(width: int) -> int:
    """γ for a layer of this width: the published one, or the divisor of ``width`` nearest to a fifth of it.

    Example:
      >>> usual_group_size(525), usual_group_size(100)
      (105, 20)
    """
    return _GROUP_SIZES.get(width) or min(divisors(width), key=lambda d: abs(d - width / 5))


def fit(
    model: bep.Model,
    rule: bep.Rule | Sequence[bep.Limits],
    data: Any,
    *,
    seeds: int | Sequence[int] = 5,
    scale: float | None = 64.0,
    **options: Unpack[loop.Options],
) -> bep.Result:
    """`bep_jax.fit` for the local rule: the same data, seeds, batches and form of result.

    Args:
      model: from `bep_jax.mlp`.
      rule: a `Rule`, whose gate is not used (r about 0.25 and `usual_group_size` are usual), or what `thresholds` of
        this module made of rules, with a leading axis ``[S]`` on every array: a sweep in one program.
      data, seeds, scale: as for `bep_jax.fit`; a scale for all layers, None for `bep_jax.initial_scale`.
      **options: as for `bep_jax.fit`: epochs, batch_size, key, validation, patience, callbacks, progress,
        checkpoint_dir, resume; the group sizes stay unless a patience is given.

    Returns:
      A `Result` whose params are a tuple of `Params`, one hidden matrix and one classifier a layer.

    Raises:
      TypeError, ValueError: arguments out of range, data that do not fit the model; the model is recurrent.

    Example:
      >>> data = bep.datasets.load("random-prototypes", num_train=200, num_test=100)
      >>> model = bep.mlp(num_inputs=data.num_inputs, widths=(15, 15), num_classes=data.num_classes)
      >>> fit(model, bep.Rule(margin=0.25), data, epochs=2, seeds=2, progress=False).test_accuracy.shape
      (2,)
    """
    options.setdefault("patience", None)
    seeds = check_seeds(seeds)
    limits = thresholds(model, rule) if isinstance(rule, bep.Rule) else _of_layers(model, rule)
    return loop.train(
        LocalRuleLearner(model, _scale(model, scale, options)),
        loop.per_seed(limits, limits[0].margin.ndim == 1, len(seeds)),
        data,
        seeds=seeds,
        **options,
    )


def _scale(model: bep.Model, scale: float | None, options: loop.Options) -> float:
    return (
        bep.initial_scale(model, options.get("batch_size", 100))[0]
        if scale is None
        else check_positive(scale, "scale", "local_rule")
    )


def _of_layers(model: bep.Model, limits: Sequence[bep.Limits]) -> tuple[bep.Limits, ...]:
    """Limits as they are, where there are some for each layer."""
    layers, limits = single_layers(model), check_several(limits, "rule", "local_rule")
    if len(limits) != len(layers):
        raise ValueError(f"local_rule: rule must hold limits of each of {len(layers)} layers, got {len(limits)}.")
    for one in limits:
        check_type(one, bep.Limits, "rule, of each layer,", "local_rule")
    return tuple(limits_of(layer, one) for layer, one in zip(layers, limits, strict=True))


def thresholds(model: bep.Model, rule: bep.Rule) -> tuple[bep.Limits, ...]:
    """`bep_jax.thresholds` of each layer, as a network of its own."""
    layers = single_layers(model)
    sizes = rule.group_size if isinstance(rule.group_size, tuple) else (rule.group_size,) * len(layers)
    if len(sizes) != len(layers):
        raise ValueError(f"local_rule: group_size={sizes} needs one entry for each of {len(layers)} layers.")
    rules = [replace(rule, group_size=size) for size in sizes]
    return tuple(bep.thresholds(layer, r) for layer, r in zip(layers, rules, strict=True))


def single_layers(model: bep.Model) -> tuple[bep.Model, ...]:
    """Each layer as a network of its own.

    Raises:
      ValueError: the model is recurrent, which the local rule does not know.
    """
    check_type(model, bep.Model, "model", "local_rule")
    if not all(isinstance(layer, Dense) for layer in model.layers):
        raise ValueError(
            "local_rule: wanted a model from bep.mlp; the local rule has no recurrent form and none with convolutions."
        )
    return tuple(
        bep.mlp(num_inputs=layer.num_inputs, widths=(layer.width,), num_classes=model.num_classes)
        for layer in model.layers
    )


def step(
    model: bep.Model,
    limits: Sequence[bep.Limits],
    params: Sequence[bep.Params],
    opt_state: Sequence[bep.OptimizerState],
    x: jax.Array,
    y: jax.Array,
    where: jax.Array | None = None,
) -> tuple[tuple[bep.Params, ...], tuple[bep.OptimizerState, ...], tuple[bep.Stats, ...]]:
    """One mini-batch; every layer learns from the activations below as they were before the step.

    Args:
      model: from `bep_jax.mlp`.
      limits: from `thresholds`.
      params: a `Params` a layer.
      opt_state: an `OptimizerState` a layer.
      x: uint32 ``[B, W]``, packed input bits.
      y: integer ``[B]``, labels in 0..C-1.
      where: bool ``[B]``; False takes no part.

    Returns:
      New params, optimizer states and `Stats`, one each a layer.
    """
    learned = []
    for layer, numbers, p, state in zip(single_layers(model), limits, params, opt_state, strict=True):
        above = outputs(layer, p, x)
        learned.append(bep.step(layer, numbers, p, state, x, y, where))
        x = above
    new_params, new_state, stats = zip(*learned, strict=True)
    return new_params, new_state, stats


def outputs(layer: bep.Model, params: bep.Params, x: jax.Array) -> jax.Array:
    """Activations of a network's last layer, packed: uint32 ``[B, W]``."""
    _, residuals = bep.forward(layer, params, x)
    return bep.dense.activate(residuals[-1].preactivations).T


@dataclass(frozen=True)
class LocalRuleLearner:
    """The local rule as a `bep_jax.training.learner.Learner`; its settings are a tuple of `Limits`, one a layer.

    Args:
      model: from `bep_jax.mlp`.
      scale: σ of the initial hidden weights.
    """

    model: bep.Model
    scale: float = field(default=64.0, compare=False)  # of `init` alone

    @property
    def _learners(self) -> tuple[BinaryLearner, ...]:
        return tuple(BinaryLearner(layer, self.scale) for layer in single_layers(self.model))

    def init(self, limits: Sequence[bep.Limits], init_key: jax.Array, draw_key: jax.Array) -> tuple[Any, Any]:
        learners = self._learners
        keys = zip(jax.random.split(init_key, len(learners)), jax.random.split(draw_key, len(learners)), strict=True)
        params, states = [], []
        for learner, numbers, (layer_key, reinforcement_key) in zip(learners, limits, keys, strict=True):
            weights_key, classifier_key = jax.random.split(layer_key)
            p, state = learner.init(numbers, weights_key, reinforcement_key)
            shape = (self.model.num_classes, learner.model.widths[0])
            params.append(p._replace(classifier=bep.bits.pack(jax.random.bernoulli(classifier_key, shape=shape))))
            states.append(state)
        return tuple(params), tuple(states)

    def step(self, limits, params, opt_state, x, y, where):
        return step(self.model, limits, params, opt_state, x, y, where)

    def predict(self, params: Sequence[bep.Params], x: jax.Array) -> jax.Array:
        *below, last = zip(self._learners, params, strict=True)
        for learner, p in below:
            x = outputs(learner.model, p, x)
        return last[0].predict(last[1], x)

    def metrics(self, limits, totals: Sequence[bep.Stats], num_samples: int) -> dict[str, np.ndarray]:
        """As of `bep_jax.fit`; accuracy and trigger rate are the last layer's."""
        layers = [
            learner.metrics(numbers, t, num_samples)
            for learner, numbers, t in zip(self._learners, limits, totals, strict=True)
        ]
        metrics = {name: layers[-1][name] for name in ("train_accuracy", "trigger_rate")}
        for i, layer in enumerate(layers, 1):
            metrics |= {f"{name}_{i}": layer[f"{name}_1"] for name in ("mask_density", "group_size")}
        return metrics

    def after_epoch(self, opt_state: Any, metrics: dict[str, np.ndarray]) -> Any:
        return bep.rescale(opt_state, 1.0 - metrics["train_accuracy"])

    def grow(self, limits: Sequence[bep.Limits], stalled: np.ndarray) -> tuple[bep.Limits, ...]:
        return tuple(learner.grow(numbers, stalled) for learner, numbers in zip(self._learners, limits, strict=True))

"""A learning rule for one seed, and what is done with any of them on the device: an epoch as one scan, and a count.

Pure: jit, vmap over seeds and a mesh apply from outside. `bep_jax.training.loop` is the host loop around.

Axis letters: n samples, m rows, B batch, T time steps, W words.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax.network.model import Model

_EVALUATION_BATCH = 256


class TrainState(NamedTuple):
    """What changes during training, for one seed; `fit` holds it with a leading seed axis on every array."""

    params: Any  # `Params`, or what another learner has in their place
    opt_state: Any  # `OptimizerState`, likewise
    key: jax.Array  # key of the shuffles; epoch e uses fold_in(key, e)
    epoch: jax.Array  # int32 [], epochs done


class Learner(Hashable, Protocol):
    """A learning rule as the loop sees it: static and hashable, so that equal ones never recompile.

    A frozen dataclass; checkpoints compare the ``repr`` of its fields.

    `init`, `step` and `predict` are traced, for one seed; the others run on the host, for all.
    ``settings`` is a pytree of arrays with the learner's numbers; on the host, every array has a leading seed axis.
    """

    @property
    def model(self) -> Model:
        """What the data must fit."""

    def init(self, settings: Any, init_key: jax.Array, draw_key: jax.Array) -> tuple[Any, Any]:
        """Params and optimizer state before the first step."""

    def step(self, settings: Any, params: Any, opt_state: Any, x: Any, y: Any, where: Any) -> tuple[Any, Any, Any]:
        """New params and optimizer state, and a pytree of numbers to be added up over an epoch."""

    def predict(self, params: Any, x: jax.Array) -> jax.Array:
        """int32 ``[B]``, the predicted classes."""

    def metrics(self, settings: Any, totals: Any, num_samples: int) -> dict[str, np.ndarray]:
        """On the host: name -> ``[S]``, with train_accuracy among them, from an epoch's totals."""

    def after_epoch(self, opt_state: Any, metrics: dict[str, np.ndarray]) -> Any:
        """On the host: the optimizer state of the next epoch."""

    def grow(self, settings: Any, stalled: np.ndarray) -> Any:
        """On the host: settings of the next epoch; ``stalled`` bool ``[S]`` are the seeds that ran out of patience."""


def epoch(
    learner: Learner,
    settings: Any,
    state: TrainState,
    x: jax.Array,
    y: jax.Array,
    index: jax.Array,
    batch_size: int,
    batch_axis: str | None = None,
) -> tuple[TrainState, Any]:
    """One seed's pass over the data in a fresh order, as one scan; a last partial batch is used. Pure.

    Args:
      learner: a `Learner`.
      settings: its numbers, for one seed.
      state: a `TrainState`.
      x: uint32 ``[n, W]``, recurrent ``[n, T, W]``.
      y: int32 ``[n]``.
      index: int32 ``[m]``, the rows of ``x`` to train on.
      batch_size: static.
      batch_axis: a mapped axis that every batch is split over, and that the learner's step knows.

    Returns:
      The new state and the learner's numbers added up over the epoch.
    """
    order = jax.random.permutation(jax.random.fold_in(state.key, state.epoch), index)

    def body(carry, batch):
        rows, where = batch
        params, opt_state, stats = learner.step(settings, carry[0], carry[1], x[rows], y[rows], where)
        return (params, opt_state), stats

    carry, stats = lax.scan(body, (state.params, state.opt_state), _batches(order, batch_size, batch_axis))
    totals = jax.tree.map(lambda s: jnp.sum(s, axis=0, dtype=s.dtype), stats)
    return TrainState(*carry, state.key, state.epoch + jnp.int32(1)), totals


def count_correct(
    learner: Learner, params: Any, x: jax.Array, y: jax.Array, index: jax.Array, batch_axis: str | None = None
) -> jax.Array:
    """How many of the rows ``index [m]`` of ``x`` are classified as ``y``: int32 scalar."""
    batch_size = _EVALUATION_BATCH * (1 if batch_axis is None else lax.axis_size(batch_axis))

    def correct(batch):
        rows, where = batch
        return jnp.sum((learner.predict(params, x[rows]) == y[rows]) & where, dtype=jnp.int32)

    counts = lax.map(correct, _batches(index, min(batch_size, index.shape[0]), batch_axis))
    total = jnp.sum(counts, dtype=jnp.int32)
    return total if batch_axis is None else lax.psum(total, batch_axis)


def _batches(index: jax.Array, batch_size: int, batch_axis: str | None = None) -> tuple[jax.Array, jax.Array]:
    """Rows ``[m]`` cut into batches ``[steps, B]``, and which entries are rows and not padding.

    With a batch axis, this device's part of each, padded to equal parts.
    """
    size, steps = index.shape[0], -(-index.shape[0] // batch_size)
    index = jnp.pad(index, (0, steps * batch_size - size)).reshape(steps, batch_size)
    where = (jnp.arange(steps * batch_size, dtype=jnp.int32) < size).reshape(steps, batch_size)
    if batch_axis is None:
        return index, where
    parts = lax.axis_size(batch_axis)

    def own(a):
        a = jnp.pad(a, ((0, 0), (0, -batch_size % parts))).reshape(steps, parts, -1)
        return lax.dynamic_index_in_dim(a, lax.axis_index(batch_axis), axis=1, keepdims=False)

    return own(index), own(where)

"""A learning rule for one seed, and what is done with any of them on the device: an epoch as one scan, and a count.

Pure: jit, vmap over seeds and a mesh apply from outside. `bep_jax.training.loop` is the host loop around.

Axis letters: n samples, m rows, B batch, T time steps, W words.
"""

from collections.abc import Callable, Hashable
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


class Counts(NamedTuple):
    """Samples by class."""

    right: jax.Array  # int32 [C], those that are classified as what they are
    of: jax.Array  # int32 [C]


class Learner(Hashable, Protocol):
    """A learning rule as the loop sees it: static and hashable, so that equal ones never recompile.

    A frozen dataclass; checkpoints compare the ``repr`` of its fields.

    `step` and `predict` are traced, for one seed, and `init` is called for one; the others run on the host, for all.
    ``settings`` is a pytree of arrays with the learner's numbers; on the host, every array has a leading seed axis.
    Programs are shared by learners that compare equal, so what `init` alone depends on should not count.
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


def first_state(learner: Learner, settings: Any, state_key: jax.Array) -> TrainState:
    """One seed's state before its first epoch, by the first of its `split_keys`."""
    init_key, draw_key, shuffle_key = jax.random.split(state_key, 3)
    return TrainState(*learner.init(settings, init_key, draw_key), shuffle_key, jnp.int32(0))


def split_keys(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A seed's keys: of its state, and of which samples are held out."""
    state_key, split_key = jax.random.split(key)
    return state_key, split_key


def epoch(
    learner: Learner,
    settings: Any,
    state: TrainState,
    x: jax.Array,
    y: jax.Array,
    index: jax.Array,
    batch_size: int,
    batch_axis: str | None = None,
    count: jax.Array | None = None,
    balanced: bool = False,
) -> tuple[TrainState, Any]:
    """One seed's pass over the data in a fresh order, as one loop; a last partial batch is used. Pure.

    Args:
      learner: a `Learner`.
      settings: its numbers, for one seed.
      state: a `TrainState`.
      x: uint32 ``[n, W]``, recurrent ``[n, T, W]``.
      y: int32 ``[n]``.
      index: int32 ``[m]``, the rows of ``x`` to train on.
      batch_size: static.
      batch_axis: a mapped axis that every batch is split over, and that the learner's step knows.
      count: int32 ``[]``, how many of ``index``, from its first on, are rows; the rest is padding, so that one program
        serves data of many sizes. None: all are.
      balanced: every class gives as many samples, of as many in all: those of rare classes come several times, of
        frequent ones some do, others in the next epoch.

    Returns:
      The new state and the learner's numbers added up over the epoch.
    """
    key = jax.random.fold_in(state.key, state.epoch)
    order = _balanced(key, index, y, learner.model.num_classes, count) if balanced else _shuffled(key, index, count)

    def body(carry, batch):
        rows, where = batch
        params, opt_state, stats = learner.step(settings, carry[0], carry[1], x[rows], y[rows], where)
        return (params, opt_state), stats

    start, batches = (state.params, state.opt_state), _batches(order, batch_size, batch_axis, count)
    (params, opt_state), totals = _totals(body, start, batches, batch_size, count)
    return TrainState(params, opt_state, state.key, state.epoch + jnp.int32(1)), totals


def count_by_class(
    learner: Learner,
    params: Any,
    x: jax.Array,
    y: jax.Array,
    index: jax.Array,
    batch_axis: str | None = None,
    count: jax.Array | None = None,
) -> Counts:
    """How many of the rows ``index [m]`` of ``x`` (the first ``count`` of them) are classified as ``y``, by class."""
    batch_size = _EVALUATION_BATCH * (1 if batch_axis is None else lax.axis_size(batch_axis))
    batch_size = min(batch_size, index.shape[0])

    def by_class(carry, batch):
        rows, where = batch
        right = (learner.predict(params, x[rows]) == y[rows]) & where
        return carry, Counts(*(_per_class(a, y[rows], learner.model.num_classes) for a in (right, where)))

    _, total = _totals(by_class, (), _batches(index, batch_size, batch_axis, count), batch_size, count)
    return total if batch_axis is None else lax.psum(total, batch_axis)


def _per_class(which: jax.Array, y: jax.Array, num_classes: int) -> jax.Array:
    return jax.ops.segment_sum(which.astype(jnp.int32), y, num_segments=num_classes)


def _balanced(key: jax.Array, index: jax.Array, y: jax.Array, num_classes: int, count: jax.Array | None) -> jax.Array:
    """Rows of ``index`` in a random order, of each class that is there as many, up to one; as many as ``index`` has."""
    draw_key, order_key = jax.random.split(key)
    rows, place = _shuffled(draw_key, index, count), jnp.arange(index.shape[0], dtype=jnp.int32)
    padding = jnp.zeros(index.shape, bool) if count is None else place >= count
    label = jnp.where(padding, jnp.int32(num_classes), y[rows])
    of = _per_class(~padding, label, num_classes)
    by_class, first = rows[jnp.argsort(label, stable=True)], jnp.cumsum(of, dtype=jnp.int32) - of
    own = jnp.argsort(of == 0, stable=True)[place % jnp.sum(of > 0, dtype=jnp.int32)]
    turn = place // jnp.sum(of > 0, dtype=jnp.int32)
    return _shuffled(order_key, by_class[first[own] + turn % of[own]], count)


def _shuffled(key: jax.Array, index: jax.Array, count: jax.Array | None) -> jax.Array:
    """``index`` with its first ``count`` entries (None: all) in a random order, the others after them."""
    if count is None:
        return jax.random.permutation(key, index)
    draws = jax.random.bits(key, index.shape, jnp.uint32)
    place = jnp.arange(index.shape[0], dtype=jnp.int32)
    # Stable: padding, drawn the largest number there is, stays behind a row that draws it, too.
    return index[jnp.argsort(jnp.where(place < count, draws, jnp.uint32(2**32 - 1)), stable=True)]


def _totals(body: Callable, carry: Any, batches: Any, batch_size: int, count: jax.Array | None) -> tuple[Any, Any]:
    """`jax.lax.scan` with its results added up; with a ``count``, over the batches that hold rows alone.

    A batch of padding is not nothing: the optimizer would reinforce weights.
    """
    if count is None:
        carry, results = lax.scan(body, carry, batches)
        return carry, jax.tree.map(lambda r: jnp.sum(r, axis=0, dtype=r.dtype), results)
    first = jax.tree.map(lambda a: a[0], batches)
    zeros = jax.tree.map(lambda r: jnp.zeros(r.shape, r.dtype), jax.eval_shape(body, carry, first)[1])

    def one(i, loop):
        batch = jax.tree.map(lambda a: lax.dynamic_index_in_dim(a, i, keepdims=False), batches)
        carry, result = body(loop[0], batch)
        return carry, jax.tree.map(jnp.add, loop[1], result)

    return lax.fori_loop(jnp.int32(0), -(-count // jnp.int32(batch_size)), one, (carry, zeros))


def _batches(
    index: jax.Array, batch_size: int, batch_axis: str | None = None, count: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Rows ``[m]`` cut into batches ``[steps, B]``, and which entries are rows and not padding.

    With a batch axis, this device's part of each, padded to equal parts.
    """
    size, steps = index.shape[0], -(-index.shape[0] // batch_size)
    index = jnp.pad(index, (0, steps * batch_size - size)).reshape(steps, batch_size)
    rows = size if count is None else count
    where = (jnp.arange(steps * batch_size, dtype=jnp.int32) < rows).reshape(steps, batch_size)
    if batch_axis is None:
        return index, where
    parts = lax.axis_size(batch_axis)

    def own(a):
        a = jnp.pad(a, ((0, 0), (0, -batch_size % parts))).reshape(steps, parts, -1)
        return lax.dynamic_index_in_dim(a, lax.axis_index(batch_axis), axis=1, keepdims=False)

    return own(index), own(where)

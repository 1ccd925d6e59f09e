"""Training on the device: one fused step, and one epoch as one scan.

Everything here is pure: jit, vmap over seeds and scan apply from outside. `bep_jax.fitting` is the host loop around.

Axis letters: B batch, T time steps, W words, n samples, L layers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bep_jax import chain, products
from bep_jax.chain import Stats
from bep_jax.isolate import isolated
from bep_jax.networks import Model, Params
from bep_jax.optimizer import OptimizerState, advance_inline, optimizer, step_words
from bep_jax.rule import Limits, Rule

_EVALUATION_BATCH = 256


class TrainState(NamedTuple):
    """What changes during training, for one seed; `fit` holds it with a leading seed axis on every array."""

    params: Params
    opt_state: OptimizerState
    key: jax.Array  # key of the shuffles; epoch e uses fold_in(key, e)
    epoch: jax.Array  # int32 [], epochs done


def step(
    model: Model,
    rule: Rule | Limits,
    params: Params,
    opt_state: OptimizerState,
    x: jax.Array,
    y: jax.Array,
    where: jax.Array | None = None,
) -> tuple[Params, OptimizerState, Stats]:
    """One training step: `updates`, ``optimizer(...).update`` and ``optax.apply_updates``, fused, bit for bit.

    Args:
      model: a `Model`.
      rule: a `Rule`, or the `Limits` that it means for this model.
      params: its `Params`.
      opt_state: an `OptimizerState`, from ``optimizer(rule, key).init(params.hidden)``.
      x: uint32 ``[B, W]``, recurrent ``[B, T, W]``; packed input bits.
      y: integer ``[B]``, labels in 0..C-1; a sample with a label outside is inactive under jit.
      where: bool ``[B]``; False takes no part.

    Returns:
      New params, new optimizer state and `Stats`.

    Raises:
      TypeError, ValueError: as `updates`; ``opt_state`` is not an `OptimizerState` of this model.

    Example:
      >>> import bep_jax as bep
      >>> model, rule = bep.mlp(num_inputs=6, widths=(15,), num_classes=2), bep.Rule()
      >>> params, x = model.init(jax.random.key(0)), bep.bits.pack(jnp.ones((3, 6), bool))
      >>> opt_state = bep.optimizer(rule, jax.random.key(1)).init(params.hidden)
      >>> params, opt_state, stats = bep.step(model, rule, params, opt_state, x, jnp.array([0, 1, 1]))
      >>> stats.active.shape
      ()
    """
    chain.check_model("step", model)
    if not isinstance(opt_state, OptimizerState):
        raise TypeError(
            f"step: wanted an OptimizerState, from bep.optimizer(rule, key).init(params.hidden), got "
            f"{type(opt_state).__name__}; with other optax transformations compose bep.updates and opt.update."
        )
    if opt_state.draw.shape != (len(model.matrix_shapes),):
        raise ValueError(
            f"step: the optimizer state is for {opt_state.draw.shape} matrices, the model has "
            f"{len(model.matrix_shapes)}; under vmap pass one seed's state."
        )
    operands, stats = chain.update_operands("step", model, rule, params, x, y, where)
    key, words = step_words(opt_state, model.matrix_shapes)
    hidden = tuple(
        _learn(h, *o, words[i], opt_state.draw[i], opt_state.saturation)
        for i, (h, o) in enumerate(zip(params.hidden, operands, strict=True))
    )
    return params._replace(hidden=hidden), opt_state._replace(key=key), stats


def init_state(model: Model, limits: Limits, key: jax.Array, scale: float = 64.0) -> TrainState:
    """A `TrainState` before the first epoch; hidden weights, reinforcement and shuffles each get a key of their own."""
    init_key, draw_key, shuffle_key = jax.random.split(key, 3)
    params = model.init(init_key, scale)
    return TrainState(params, optimizer(limits, draw_key).init(params.hidden), shuffle_key, jnp.int32(0))


def epoch(
    model: Model, rule: Rule | Limits, state: TrainState, x: jax.Array, y: jax.Array, index: jax.Array, batch_size: int
) -> tuple[TrainState, Stats]:
    """One pass over the data in a fresh order, as one scan; a last partial batch is used.

    Args:
      model: a `Model`.
      rule: a `Rule`, or the `Limits` that it means for this model.
      state: a `TrainState`.
      x: uint32 ``[n, W]``, recurrent ``[n, T, W]``.
      y: int32 ``[n]``.
      index: int32 ``[m]``, the rows of ``x`` to train on.
      batch_size: static.

    Returns:
      The new state and `Stats` summed over the epoch.

    Example:
      >>> import bep_jax as bep
      >>> model, rule = bep.mlp(num_inputs=6, widths=(15,), num_classes=2), bep.Rule()
      >>> state = init_state(model, bep.thresholds(model, rule), jax.random.key(0))
      >>> x, y = bep.bits.pack(jnp.ones((5, 6), bool)), jnp.array([0, 1, 1, 0, 1])
      >>> state, stats = epoch(model, rule, state, x, y, jnp.arange(5), batch_size=2)
      >>> int(state.epoch)
      1
    """
    order = jax.random.permutation(jax.random.fold_in(state.key, state.epoch), index)

    def body(carry, batch):
        rows, where = batch
        params, opt_state, stats = step(model, rule, carry[0], carry[1], x[rows], y[rows], where)
        return (params, opt_state), stats

    carry, stats = lax.scan(body, (state.params, state.opt_state), _batches(order, batch_size))
    total = jax.tree.map(lambda s: jnp.sum(s, axis=0, dtype=jnp.int32), stats)
    return TrainState(*carry, state.key, state.epoch + jnp.int32(1)), total


def count_correct(model: Model, params: Params, x: jax.Array, y: jax.Array, index: jax.Array) -> jax.Array:
    """How many of the rows ``index [m]`` of ``x`` are classified as ``y``: int32 scalar."""

    def correct(batch):
        rows, where = batch
        predictions = lax.argmax(chain.logits(model, params, x[rows]), 1, jnp.int32)
        return jnp.sum((predictions == y[rows]) & where, dtype=jnp.int32)

    return jnp.sum(lax.map(correct, _batches(index, min(_EVALUATION_BATCH, index.shape[0]))), dtype=jnp.int32)


def _batches(index: jax.Array, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """Rows ``[m]`` cut into batches ``[steps, B]``, and which entries are rows and not padding."""
    size, steps = index.shape[0], -(-index.shape[0] // batch_size)
    index = jnp.pad(index, (0, steps * batch_size - size))
    where = jnp.arange(steps * batch_size, dtype=jnp.int32) < size
    return index.reshape(steps, batch_size), where.reshape(steps, batch_size)


@isolated
def _learn(hidden, winners, desired, inputs, words, draw, saturation):
    """One matrix's update, reinforcement and saturation in a single pass, without the int32 update in memory."""
    return advance_inline(hidden, 2 * products.outer_inline(winners, desired, inputs), words, draw, saturation)

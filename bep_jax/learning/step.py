"""One training step, fused: `updates`, the optimizer and ``apply_updates`` in a single pass over each matrix.

Pure: jit, vmap over seeds and scan apply from outside.

Axis letters: B batch, T time steps, W words.
Source: arXiv 2512.04189, Section 3.
"""

import jax
import optax
from jax import lax

from bep_jax.kernels import products
from bep_jax.kernels.isolate import isolated, jit
from bep_jax.learning import chain
from bep_jax.learning.chain import Stats
from bep_jax.learning.optimizer import OptimizerState, advance_inline, check_state, optimizer, step_draws
from bep_jax.learning.rule import Limits, Rule, limits_of
from bep_jax.network.model import Model, Params


def step(
    model: Model,
    rule: Rule | Limits,
    params: Params,
    opt_state: OptimizerState,
    x: jax.Array,
    y: jax.Array,
    where: jax.Array | None = None,
    *,
    axis_name: str | None = None,
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
      axis_name: the mapped axis, of `jax.shard_map` or `jax.vmap`, that a batch is split over. Updates and stats are
        summed over it before reinforcement, so every part returns the new params and the stats of the whole batch.

    Returns:
      New params, new optimizer state and `Stats`.

    Raises:
      TypeError, ValueError: as `updates`; ``opt_state`` is not an `OptimizerState` of this model.

    Example:
      >>> import bep_jax as bep
      >>> model, rule = bep.mlp(num_inputs=6, widths=(15,), num_classes=2), bep.Rule()
      >>> params, x = model.init(jax.random.key(0)), bep.bits.pack(jax.numpy.ones((3, 6), bool))
      >>> opt_state = bep.optimizer(rule, jax.random.key(1)).init(params.hidden)
      >>> params, opt_state, stats = bep.step(model, rule, params, opt_state, x, jax.numpy.array([0, 1, 1]))
      >>> stats.active.shape
      ()
    """
    chain.check_model("step", model)
    if not isinstance(opt_state, OptimizerState):
        raise TypeError(
            f"step: wanted an OptimizerState, from bep.optimizer(rule, key).init(params.hidden), got "
            f"{type(opt_state).__name__}; with other optax transformations compose bep.updates and opt.update."
        )
    check_state("step", opt_state)
    if opt_state.draw.shape != (len(model.matrix_shapes),):
        raise ValueError(
            f"step: the optimizer state is for {opt_state.draw.shape} matrices, the model has "
            f"{len(model.matrix_shapes)}; under vmap pass one seed's state."
        )
    chain.check_batch("step", model, params, x, y, where)
    return _step(model, limits_of(model, rule), params, opt_state, x, y, where, axis_name=axis_name)


@jit(inline=True, static_argnames="axis_name")
def _step(model, limits, params, opt_state, x, y, where, *, axis_name):
    """`step` without its checks; outside of any jit one program."""
    if axis_name is not None:
        updates, stats = lax.psum(chain.updates(model, limits, params, x, y, where), axis_name)
        deltas, opt_state = optimizer(limits, opt_state.key).update(updates, opt_state, params.hidden)
        return params._replace(hidden=optax.apply_updates(params.hidden, deltas)), opt_state, stats
    operands, stats = chain.update_operands(model, limits, params, x, y, where)
    key, draws = step_draws(opt_state, model.matrix_shapes)
    hidden = tuple(
        _learn(h, *o, own, opt_state.saturation) for h, o, own in zip(params.hidden, operands, draws, strict=True)
    )
    return params._replace(hidden=hidden), opt_state._replace(key=key), stats


@isolated
def _learn(hidden, winners, desired, inputs, draws, saturation):
    """One matrix's update, reinforcement and saturation in one pass over the weights.

    Without the int32 update in memory, save on a CPU for more than 544 samples times positions.
    """
    return advance_inline(hidden, 2 * products.outer_inline(winners, desired, inputs), draws, saturation)

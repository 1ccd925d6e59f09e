"""Training: one fused step."""

import jax

from bep_jax import chain, products
from bep_jax.chain import Stats
from bep_jax.isolate import isolated
from bep_jax.networks import Model, Params
from bep_jax.optimizer import OptimizerState, advance_inline, step_words
from bep_jax.rule import Limits, Rule


def step(
    model: Model,
    rule: Rule | Limits,
    params: Params,
    opt_state: OptimizerState,
    x: jax.Array,
    y: jax.Array,
    where: jax.Array | None = None,
) -> tuple[Params, OptimizerState, Stats]:
    """x"""
    operands, stats = chain.update_operands("step", model, rule, params, x, y, where)
    key, words = step_words(opt_state, model.matrix_shapes)
    hidden = tuple(
        _learn(h, *o, words[i], opt_state.draw[i], opt_state.saturation)
        for i, (h, o) in enumerate(zip(params.hidden, operands, strict=True))
    )
    return params._replace(hidden=hidden), opt_state._replace(key=key), stats


@isolated
def _learn(hidden, winners, desired, inputs, words, draw, saturation):
    """One matrix's update, reinforcement and saturation in a single pass, without the int32 update in memory."""
    return advance_inline(hidden, 2 * products.outer_inline(winners, desired, inputs), words, draw, saturation)

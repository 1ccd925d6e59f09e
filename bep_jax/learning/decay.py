"""A learning rate that drops once, in integers: hidden weights are counted in finer units from some epoch on.

An update still moves a weight by whole units, which then weigh up to an eighth of what they did. At the end weights are
rounded down to the old units, which keeps their signs, and with them everything that the network computes. Pure, for
one seed.

Axis letters: M matrices, N neurons, K inputs.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bep_jax.learning.optimizer import OptimizerState
from bep_jax.network.model import Params

_SHIFT = 3
_MOST = 2**15 - 1


class Finer(NamedTuple):
    """How much finer the units are than at first."""

    shifts: jax.Array  # int32 [M], a unit of a matrix is 2**-shift old ones
    saturation: jax.Array  # int32 [], that of the optimizer in old units


def unchanged(params: Params, opt_state: OptimizerState) -> Finer:
    """Before it is done."""
    return Finer(jnp.zeros(len(params.hidden), jnp.int32), jnp.copy(opt_state.saturation))


def finer(params: Params, opt_state: OptimizerState) -> tuple[Params, OptimizerState, Finer]:
    """Hidden weights in eighths; in quarters, halves or as they are where the largest of a matrix has no room for more.

    Returns:
      The same network, weights times 2, 4 or 8; an optimizer that lets them be as large; and what was done.

    Example:
      >>> from bep_jax.learning.optimizer import optimizer
      >>> from bep_jax.learning.rule import Rule
      >>> hidden = (jnp.array([[5, -3]], jnp.int16), jnp.array([[9000, -1]], jnp.int16))
      >>> params = Params(hidden, jnp.zeros((2, 1), jnp.uint32))
      >>> new, _, how = finer(params, optimizer(Rule(), jax.random.key(0)).init(hidden))
      >>> [h.tolist() for h in new.hidden], how.shifts.tolist()
      ([[[40, -24]], [[18000, -2]]], [3, 1])
      >>> [h.tolist() for h in coarser(new, how).hidden]
      [[[5, -3]], [[9000, -1]]]
    """
    room = jnp.minimum((opt_state.saturation + 1 << _SHIFT) - 1, jnp.int32(_MOST))
    shifts = []
    for h in params.hidden:
        largest = jnp.max(jnp.abs(h.astype(jnp.int32)))
        fits = [(largest << shift <= room).astype(jnp.int32) for shift in range(1, _SHIFT + 1)]
        shifts.append(sum(fits, start=jnp.int32(0)))
    hidden = tuple(h << shift.astype(h.dtype) for h, shift in zip(params.hidden, shifts, strict=True))
    how = Finer(jnp.stack(shifts), opt_state.saturation)
    return params._replace(hidden=hidden), opt_state._replace(saturation=room), how


def coarser(params: Params, how: Finer) -> Params:
    """Hidden weights in their first units again, rounded down: no sign changes, and a 0 stays +1."""
    least = -how.saturation.astype(jnp.int16)
    shifts = (how.shifts[i].astype(jnp.int16) for i in range(len(params.hidden)))
    return params._replace(
        hidden=tuple(jnp.maximum(h >> by, least) for h, by in zip(params.hidden, shifts, strict=True))
    )

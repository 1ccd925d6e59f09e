"""Reinforcement and saturation as an optax transformation of integer updates.

`optimizer` comes last in an optax chain (only ``optax.masked(optax.set_to_zero(), frozen)`` may follow, which freezes
a layer). It takes int32 updates and returns int16 deltas such that ``hidden + delta`` is exact and in range.

Axis letters: M matrices, N neurons, K inputs, S seeds.
Source: arXiv 2512.04189, Section 3.4 (reinforcement, CP+R) and Eq. 9.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import export

from bep_jax.kernels.checks import check_array, check_type, shown
from bep_jax.kernels.host import put_like, to_host
from bep_jax.kernels.isolate import isolated, jit
from bep_jax.learning.rule import (
    Limits,
    Rule,
    check_draws,
    check_limits,
    draw_thresholds,
    np_to_jax,
    reinforcement_base,
)
from bep_jax.network.model import check_key


class OptimizerState(NamedTuple):
    """All numbers of the optimizer; `update` reads nothing else."""

    key: jax.Array  # key of the next step's draws
    base: jax.Array  # uint32 [M, 2], reinforcement probability per matrix at error rate 1, a float64 as two words
    draw: jax.Array  # uint32 [M], a weight is reinforced when its 32 random bits are below
    saturation: jax.Array  # int32 [], |h| is at most


export.register_namedtuple_serialization(OptimizerState, serialized_name="bep_jax.OptimizerState")


def optimizer(rule: Rule | Limits, key: jax.Array) -> optax.GradientTransformation:
    """Steps 6 and 7: reinforcement, then saturation, of updated hidden weights.

    After the update h, each weight becomes h + 2 sign(h) with probability p_r sqrt(2 / (π K)) sqrt(E), then is cut
    to ±(2^(B-1) - 1).

    Args:
      rule: a `Rule`, or the `Limits` that it means for a model.
      key: a key from ``jax.random.key``; goes into the state.

    Returns:
      An ``optax.GradientTransformation``. ``init(hidden)`` takes the int16 matrices, ``update(updates, state,
      hidden)`` int32 updates of the same structure and returns int16 deltas.

    Raises:
      TypeError: ``rule`` is neither; the hidden weights are not int16; the updates are not integers.
      ValueError: ``update`` is called without the hidden weights; limits are for another number of matrices.

    Example:
      >>> opt = optimizer(Rule(reinforcement=0.0, bits=8), jax.random.key(0))
      >>> hidden = (jnp.array([[125, -3]], jnp.int16),)
      >>> deltas, _ = opt.update((jnp.array([[4, -4]], jnp.int32),), opt.init(hidden), hidden)
      >>> optax.apply_updates(hidden, deltas)
      (Array([[127,  -7]], dtype=int16),)
    """
    if not isinstance(rule, Rule | Limits):
        raise TypeError(f"optimizer: wanted a Rule or Limits, got {type(rule).__name__}.")
    if isinstance(rule, Limits):
        check_limits(rule, "optimizer")
    check_key("optimizer", key)

    def init(hidden) -> OptimizerState:
        leaves = _matrices("init", hidden)
        if isinstance(rule, Limits):
            if rule.base.shape[0] != len(leaves):
                raise ValueError(f"optimizer: limits are for {rule.base.shape[0]} matrices, got {len(leaves)}.")
            # Copies: who donates a state to a step goes on with the limits.
            return OptimizerState(key, *map(jnp.copy, (rule.base, rule.draw, rule.saturation)))
        base = reinforcement_base(rule, [(h.shape[0], h.shape[1]) for h in leaves])
        return OptimizerState(
            key,
            np_to_jax(base, np.uint32),
            np_to_jax(draw_thresholds(base, 1.0), np.uint32),
            np_to_jax(2 ** (rule.bits - 1) - 1, np.int32),
        )

    def update(updates, state: OptimizerState, hidden=None):
        if hidden is None:
            raise ValueError("optimizer: update needs the hidden weights: opt.update(updates, state, params.hidden).")
        leaves = _matrices("update", hidden)
        check_state("optimizer: update", state)
        structure: Any = jax.tree.structure(hidden)
        changes = structure.flatten_up_to(updates)
        if not all(jnp.issubdtype(u.dtype, jnp.integer) for u in changes):
            raise TypeError(
                f"optimizer: updates must be integers, got {[str(u.dtype) for u in changes]}; "
                "transformations with float accumulators do not compose with it."
            )
        if any(u.shape != h.shape for h, u in zip(leaves, changes, strict=True)):
            raise ValueError(
                f"optimizer: updates must have the shapes of the hidden weights, {[h.shape for h in leaves]}, got "
                f"{[u.shape for u in changes]}."
            )
        deltas, state = _deltas(leaves, changes, state)
        return structure.unflatten(deltas), state

    return optax.GradientTransformation(init, update)


def rescale(opt_state, error_rate: jax.typing.ArrayLike):
    """Sets reinforcement to the training error E of the last epoch; on the host, once an epoch.

    Args:
      opt_state: any optax state that holds an `OptimizerState`, vmapped over seeds or not.
      error_rate: E in [0, 1], a scalar or one for each seed ``[S]``.

    Returns:
      The same state with new draw thresholds, min(floor(2^32 base sqrt(E)), 2^32 - 1).

    Raises:
      TypeError: called under jit or vmap.
      ValueError: E is out of range, or the state holds no `OptimizerState`.

    Example:
      >>> opt = optimizer(Rule(), jax.random.key(0))
      >>> state = opt.init((jnp.ones((3, 8), jnp.int16),))
      >>> int(rescale(state, 0.0).draw[0])
      0
    """
    if any(isinstance(leaf, jax.core.Tracer) for leaf in (error_rate, *jax.tree.leaves(opt_state))):
        raise TypeError("rescale: runs on the host, outside jit and vmap; it computes in float64.")
    try:
        rate = np.asarray(error_rate, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"rescale: error_rate must be numbers, got {shown(error_rate)}.") from None
    if not np.all((rate >= 0) & (rate <= 1)):
        raise ValueError(f"rescale: error_rate must be in [0, 1], got {shown(error_rate)}.")
    found = 0

    def visit(node):
        nonlocal found
        if not isinstance(node, OptimizerState):
            return node
        found += 1
        check_state("rescale", node, values=True)
        if rate.ndim and rate.shape != node.base.shape[:-2]:
            raise ValueError(f"rescale: error_rate {rate.shape} does not fit a state of seeds {node.base.shape[:-2]}.")
        draw = draw_thresholds(to_host(node.base), np.broadcast_to(rate, node.base.shape[:-2]))
        return node._replace(draw=put_like(draw, node.draw))

    state = jax.tree.map(visit, opt_state, is_leaf=lambda node: isinstance(node, OptimizerState))
    if not found:
        raise ValueError("rescale: the state holds no OptimizerState; is bep.optimizer in the chain?")
    return state


@jit(inline=True)
def _deltas(hidden: list[jax.Array], updates: list[jax.Array], state: OptimizerState):
    """Of each matrix, and the next state; outside of any jit one program."""
    key, draws = step_draws(state, [h.shape for h in hidden])
    deltas = [
        # int16 wraps around twice, here and in h + delta: exact, even where the delta does not fit in int16.
        _advance(h, _cut(u), own, state.saturation) - h
        for h, u, own in zip(hidden, updates, draws, strict=True)
    ]
    return deltas, state._replace(key=key)


class Draws(NamedTuple):
    """What the random bits of a matrix's weights in one step are made of, and what they are compared with."""

    rows: tuple[jax.Array, jax.Array]  # uint16 [N], the second one even
    columns: tuple[jax.Array, jax.Array]  # uint16 [K], the second one odd
    threshold: jax.Array  # uint16 [], a weight is reinforced when its bits, `_weight_bits`, are below


def step_draws(state: OptimizerState, matrix_shapes) -> tuple[jax.Array, list[Draws]]:
    """The next state's key, and for each matrix what its weights draw in this step."""
    key, now = jax.random.split(state.key)
    sizes = [size for n, k in matrix_shapes for size in (n, k, 1)]
    words = jax.random.bits(now, (sum(sizes),), jnp.uint32)
    low, high = _halves(words)
    kinds = (low, high & np.uint16(0xFFFE), high | np.uint16(1))
    parts = [iter(jnp.split(kind, np.cumsum(sizes)[:-1])) for kind in kinds]
    draws = []
    for i in range(len(matrix_shapes)):
        (rows, even, _), (columns, _, odd), (rest, _, _) = ([next(part) for part in parts] for _ in range(3))
        draw = state.draw[i]
        threshold = (draw >> 16) + (((draw & 0xFFFF) + rest[0].astype(jnp.uint32)) >> 16)
        # 2^16 is above all bits: even ones are below 2^16 - 1.
        kept = jnp.where(threshold > 0xFFFF, 0xFFFE, 0xFFFF).astype(jnp.uint16)
        threshold = jnp.minimum(threshold, 0xFFFF).astype(jnp.uint16)
        draws.append(Draws((rows & kept, even), (columns & kept, odd), threshold))
    return key, draws


@isolated
def _halves(words: jax.Array) -> tuple[jax.Array, jax.Array]:
    return words.astype(jnp.uint16), (words >> np.uint32(16)).astype(jnp.uint16)


def advance_inline(hidden: jax.Array, update: jax.Array, draws: Draws, saturation: jax.Array) -> jax.Array:
    """New hidden weights int16 ``[N, K]`` from int16 or int32 updates; no fusion wall.

    In 16 bits wherever a sum saturates there, which all CPUs do in one instruction for twice the weights that a vector
    of int32 holds.
    """
    h = _saturating_sum(hidden, update)
    away = ((h >> np.int16(15)) & np.int16(-4)) | np.int16(2)  # 2 sign(h)
    h = jnp.where(_weight_bits(draws) < draws.threshold, _saturating_sum(h, away), h)
    limit = saturation.astype(jnp.int16)
    return jnp.clip(h, -limit, limit)


_advance = isolated(advance_inline)


def _saturating_sum(a: jax.Array, b: jax.Array) -> jax.Array:
    """Of int16 and int16 or int32: int16. The compiler knows it by these very bounds."""
    return jnp.clip(a.astype(jnp.int32) + b.astype(jnp.int32), -(2**15), 2**15 - 1).astype(jnp.int16)


def _cut(update: jax.Array) -> jax.Array:
    """An update as int32, cut to a range that no weight can cross without saturating and no sum can wrap in."""
    if update.dtype.itemsize < 4:
        return update.astype(jnp.int32)
    most = jnp.asarray(2**17, update.dtype)
    least = jnp.zeros_like(most) if jnp.issubdtype(update.dtype, jnp.unsignedinteger) else -most
    return jnp.clip(update, least, most).astype(jnp.int32)


def _weight_bits(draws: Draws) -> jax.Array:
    """16 random bits for each weight from two random numbers for each row and column: uint16 ``[N, K]``.

    The product of a row's and a column's sum a and an odd sum b. Both sums are uniform and independent for any two
    weights, exactly, and multiplying a by an odd number keeps it so; that the number is another for each weight breaks
    the pattern that sums have in four weights on the corners of a rectangle. 16 bits are too few for a probability; the
    16 below them, which decide whether the threshold is rounded up, are the same for all weights of a matrix. One
    ``jax.random.bits`` per weight would take longer than the rest of the training step.
    """
    (row, even), (column, odd) = draws.rows, draws.columns
    return (row[:, None] + column[None, :]) * (even[:, None] + odd[None, :])


def check_state(who: str, state: OptimizerState, values: bool = False) -> None:
    """Raises a TypeError or ValueError, naming ``who``, if this is no state of the optimizer.

    Args:
      who: begins the message.
      state: what is checked.
      values: whether to look at the values, too, which waits for them.
    """
    check_type(state, OptimizerState, "the state", who)
    check_array(state.key, "key", who)
    raw = state.key.dtype == jnp.uint32 and state.key.shape[-1:] == (2,)
    if not raw and not jnp.issubdtype(state.key.dtype, jax.dtypes.prng_key):
        raise TypeError(f"{who}: key must be of jax.random.key, got {state.key.dtype} {state.key.shape}.")
    for name, dtype in (("base", "uint32"), ("draw", "uint32"), ("saturation", "int32")):
        array = getattr(state, name)
        check_array(array, name, who)
        if array.dtype != dtype:
            raise TypeError(f"{who}: {name} must be {dtype}, got {array.dtype}.")
    if not state.draw.ndim:
        raise ValueError(f"{who}: draw must have an entry for each matrix, got a single number.")
    lead = state.draw.shape[:-1]
    wanted = {"key": (*lead, 2) if raw else lead, "base": (*state.draw.shape, 2), "saturation": lead}
    for name, shape in wanted.items():
        found = getattr(state, name).shape
        if found != shape:
            raise ValueError(f"{who}: {name} must be {shape} where draw is {state.draw.shape}, got {found}.")
    if values:
        check_draws(state, who)


def _matrices(who: str, hidden) -> list[jax.Array]:
    leaves = jax.tree.leaves(hidden)
    for leaf in leaves:
        check_array(leaf, "every array of hidden", f"optimizer: {who}")
    if not leaves or any(h.dtype != jnp.int16 or h.ndim != 2 for h in leaves):
        got = [(str(h.dtype), h.shape) for h in leaves]
        raise TypeError(f"optimizer: {who} wants params.hidden, int16 matrices, got {got}.")
    return leaves

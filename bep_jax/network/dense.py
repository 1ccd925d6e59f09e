"""The tied dense layer: hidden integer weights used at M tied positions, in the kernels' own layout.

A layer has hidden weights H ``[N, K]``, integers whose signs are the visible weights. An MLP layer uses them at one
position, a recurrent cell at T time steps. Everything here is one kernel behind a fusion wall and takes packed words
with the batch last: activations ``[W, B]``, packed along the neurons.

Axis letters: K inputs, N neurons, B batch, M tied positions; Wk, Wn, Wb the words of each.
Source: arXiv 2512.04189, Sections 3.2 to 3.5.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax.kernels import bits, products
from bep_jax.kernels.arrays import takes
from bep_jax.kernels.isolate import isolated

# Marks a neuron that cannot win; above every score.
_NONE = np.int32(np.iinfo(np.int32).max)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["words"], meta_fields=["shape"])
@dataclass(frozen=True)
class Packed:
    """Visible weights that are packed already; `forward` and `visible` take them in place of hidden ones."""

    words: jax.Array  # uint32 [Wk, N'], packed along the inputs; N' >= N
    shape: tuple[int, int]  # (N, K)


def forward(hidden: jax.Array | Packed, inputs: jax.Array) -> jax.Array:
    """Pre-activations z = sign(H) a (Eq. 2).

    Args:
      hidden: int16 ``[N, K]``, or `Packed`.
      inputs: uint32 ``[Wk, B]``, ±1 packed along the inputs.

    Returns:
      int16 ``[N, B]``, or int32 where int16 does not hold K.

    Example:
      >>> import jax.numpy as jnp
      >>> forward(jnp.array([[3, -5]], jnp.int16), bits.pack([[1, 1]]).T)
      Array([[0]], dtype=int16)
    """
    if isinstance(hidden, Packed):
        neurons, fan_in = hidden.shape
        dtype = products.holding(fan_in)
        return products.forward_by_words(hidden.words, inputs, neurons=neurons, num_inputs=fan_in, dtype=dtype)
    return _forward(hidden, inputs)


@takes(hidden="integers [N, K]", inputs="uint32 [Wk, B]")
def _forward(hidden: jax.Array, inputs: jax.Array) -> jax.Array:
    return products.forward(visible(hidden), inputs, hidden.shape[1], dtype=products.holding(hidden.shape[1]))


def forward_of_parts(hidden: Sequence[jax.Array | Packed]) -> Callable[[jax.Array], jax.Array]:
    """`forward` of matrices side by side, packed once: a function of the words of all their inputs ``[W, B]``."""
    neurons, fan_in = hidden[0].shape[0], sum(h.shape[1] for h in hidden)
    packs = [h.words for h in hidden if isinstance(h, Packed)]
    if packs:
        return functools.partial(forward, Packed(jnp.concatenate(packs), (neurons, fan_in)))
    weights = jnp.concatenate([visible(h) for h in hidden], axis=1)
    return lambda inputs: products.forward(weights, inputs, fan_in, dtype=products.holding(fan_in))


def visible(hidden: jax.Array | Packed) -> jax.Array:
    """Visible weights sign(H), packed along the inputs; sign(0) = +1.

    Args:
      hidden: integers ``[N, K]``, or `Packed`.

    Returns:
      uint32 ``[N, Wk]``.

    Example:
      >>> import jax.numpy as jnp
      >>> visible(jnp.array([[3, -5, 0]], jnp.int16))
      Array([[5]], dtype=uint32)
    """
    words = hidden.words if isinstance(hidden, Packed) else packed(hidden)
    return words[:, : hidden.shape[0]].T


def packed(hidden: jax.Array) -> jax.Array:
    """Visible weights sign(H), packed along the inputs, the neurons last: uint32 ``[Wk, 32 Wn]``, zeros past N."""
    # By way of the other packing, which is words along whole vectors: half the time of packing neighbours.
    return transposed(visible_by_neurons(hidden))


@takes(hidden="integers [N, K]")
@isolated
def visible_by_neurons(hidden: jax.Array) -> jax.Array:
    """Visible weights sign(H), packed along the neurons, for products with Wᵀ.

    Args:
      hidden: integers ``[N, K]``.

    Returns:
      uint32 ``[Wn, K]``.

    Example:
      >>> import jax.numpy as jnp
      >>> visible_by_neurons(jnp.array([[3, -5, 0]], jnp.int16))
      Array([[1, 0, 1]], dtype=uint32)
    """
    return bits.pack_major(hidden >= 0)


@takes(preactivations="integers [N, B]")
@isolated
def activate(preactivations: jax.Array) -> jax.Array:
    """Activations a = sign(z), packed; sign(0) = +1 (Eq. 2).

    Args:
      preactivations: integers ``[N, B]``.

    Returns:
      uint32 ``[Wn, B]``; padding bits are 0.

    Example:
      >>> import jax.numpy as jnp
      >>> activate(jnp.array([[3], [-5], [0]], jnp.int32))
      Array([[5]], dtype=uint32)
    """
    if preactivations.shape[1] == 1:
        # The neurons of one sample are neighbours: packing them so takes a fourth of the time.
        return bits.pack_minor(preactivations.T >= 0).T
    return bits.pack_major(preactivations >= 0)


@takes(preactivations="integers [..., N, B]", threshold=">= 0")
@isolated
def gate(preactivations: jax.Array, threshold: jax.Array) -> jax.Array:
    """Neurons near their flip, ``|z| <= threshold`` (Eq. 6).

    Args:
      preactivations: integers ``[..., N, B]``.
      threshold: int32 scalar, at least 0; may be traced.

    Returns:
      uint32 ``[..., Wn, B]``: a set bit lets its neuron's desired activation pass down; padding bits are 0.

    Example:
      >>> import jax.numpy as jnp
      >>> gate(jnp.array([[3], [-5], [0]], jnp.int32), jnp.int32(3))
      Array([[5]], dtype=uint32)
    """
    return bits.pack_major(_within(preactivations, threshold))


@takes(preactivations="integers [N, B]", active="bool [B]", width=">= 0")
@isolated
def band(preactivations: jax.Array, active: jax.Array, width: jax.Array) -> jax.Array:
    """The neurons that learn by band: ``|z| < κ``, right or wrong, in active samples.

    Args:
      preactivations: integers ``[N, B]``.
      active: bool ``[B]``, the samples that the trigger lets learn.
      width: κ, int32 scalar, at least 0; may be traced. None learns at 0.

    Returns:
      uint32 ``[Wn, B]``; padding bits are 0.

    Example:
      >>> import jax.numpy as jnp
      >>> band(jnp.array([[3], [-5], [0]], jnp.int32), jnp.array([True]), jnp.int32(4))
      Array([[5]], dtype=uint32)
    """
    inside = bits.pack_major(_within(preactivations, width - 1))
    return inside & jnp.where(active, jnp.uint32(2**32 - 1), jnp.uint32(0))[None, :]


def _within(preactivations: jax.Array, most: jax.Array) -> jax.Array:
    """|z| <= ``most`` as one unsigned comparison, which packs several times faster than two signed ones."""
    signed, unsigned = (jnp.int16, jnp.uint16) if preactivations.dtype == jnp.int16 else (jnp.int32, jnp.uint32)
    # No |z| that `products.holding` puts in int16 is above it, and none at all from 2^30; twice as much fits.
    most = jnp.minimum(most, 2**15 - 1 if signed == jnp.int16 else 2**30 - 1)
    shifted = preactivations.astype(signed) + most.astype(signed)  # may wrap, as an unsigned sum does
    return shifted.astype(unsigned) < jnp.maximum(2 * most + 1, 0).astype(unsigned)


@takes(hidden="integers [N, K]", desired="uint32 [Wn, B]", gates="uint32 [Wn, B]")
def desired_input(hidden: jax.Array, desired: jax.Array, gates: jax.Array) -> jax.Array:
    """Desired activations of the layer below: a*_{l-1} = sign(Wᵀ (g ⊙ a*)) (Eq. 5 and 7).

    Args:
      hidden: int16 ``[N, K]``.
      desired: uint32 ``[Wn, B]``, desired activations of this layer.
      gates: uint32 ``[Wn, B]``.

    Returns:
      uint32 ``[Wk, B]``.

    Example:
      >>> import jax.numpy as jnp
      >>> t, g = bits.pack([[-1]]).T, bits.pack([[True]]).T
      >>> desired_input(jnp.array([[3, -5]], jnp.int16), t, g)
      Array([[2]], dtype=uint32)
    """
    dtype = products.holding(hidden.shape[0])
    return activate(products.backward(visible_by_neurons(hidden), desired, gates, dtype=dtype))


@takes(preactivations="integers [M, N, B]", desired="uint32 [M, Wn, B]")
@isolated
def summed_stability(preactivations: jax.Array, desired: jax.Array) -> jax.Array:
    """u = Σ a* ⊙ z over M tied positions (Section 3.5).

    Args:
      preactivations: integers ``[M, N, B]``.
      desired: uint32 ``[M, Wn, B]``.

    Returns:
      int32 ``[N, B]``; negative where the desired activations call for a change.

    Example:
      >>> import jax.numpy as jnp
      >>> z = jnp.array([[[3]], [[-5]]], jnp.int16)  # two positions, one neuron, one sample
      >>> summed_stability(z, jnp.ones((2, 1, 1), jnp.uint32))
      Array([[-2]], dtype=int32)
    """
    z = preactivations.astype(jnp.int32)
    return jnp.sum(jnp.where(bits.unpack_major(desired, num_bits=z.shape[-2]), z, -z), axis=0, dtype=jnp.int32)


@takes(preactivations="integers [N, B]", desired="uint32 [Wn, B]", active="bool [B]", group_size=">= 1", bound=">= 1")
def winners(
    preactivations: jax.Array, desired: jax.Array, active: jax.Array, group_size: jax.Array, *, bound: int
) -> jax.Array:
    """The winner mask of a layer used at one position (Section 3.3).

    In each group of ``group_size`` neighbouring neurons, the wrong one (sign(z) differs from a*) with the smallest
    |z| wins, the first on ties.

    Args:
      preactivations: integers ``[N, B]``.
      desired: uint32 ``[Wn, B]``.
      active: bool ``[B]``, the samples that the trigger lets learn.
      group_size: int32 scalar; may be traced. Where it does not divide N, the last group is shorter.
      bound: static, the largest absolute value that the first argument can have: the fan-in.

    Returns:
      uint32 ``[Wn, B]``; padding bits are 0.

    Example:
      >>> import jax.numpy as jnp
      >>> z = jnp.array([[-7], [-1], [5]], jnp.int32)
      >>> winners(z, bits.pack([[1, 1, 1]]).T, jnp.array([True]), jnp.int32(3), bound=9)
      Array([[2]], dtype=uint32)
    """
    index_bits = _index_bits(preactivations.shape[0], bound)
    return _winners(_keys(preactivations, desired, active, index_bits=index_bits), group_size, index_bits)


@takes(summed_stability="int32 [N, B]", active="bool [B]", group_size=">= 1", bound=">= 1")
def tied_winners(summed_stability: jax.Array, active: jax.Array, group_size: jax.Array, *, bound: int) -> jax.Array:
    """The winner mask that tied positions share, from the stability summed over them (Section 3.5).

    Args:
      summed_stability: int32 ``[N, B]``, from :func:`summed_stability`; negative is wrong.
      active: bool ``[B]``.
      group_size: int32 scalar; may be traced. Where it does not divide N, the last group is shorter.
      bound: static, the largest absolute value of the first argument: the fan-in times the positions.

    Returns:
      uint32 ``[Wn, B]``, as :func:`winners`.

    Example:
      >>> import jax.numpy as jnp
      >>> tied_winners(jnp.array([[-7], [-1]], jnp.int32), jnp.array([True]), jnp.int32(1), bound=9)
      Array([[3]], dtype=uint32)
    """
    index_bits = _index_bits(summed_stability.shape[0], bound)
    return _winners(_tied_keys(summed_stability, active, index_bits=index_bits), group_size, index_bits)


def _index_bits(neurons: int, bound: int) -> int | None:
    """Bits that a neuron's index takes below its score in an int32 key, or None where the two do not fit."""
    index_bits = (neurons - 1).bit_length()
    return index_bits if (bound + 1) << index_bits <= _NONE else None


@isolated(static_argnames=("index_bits",))
def _keys(preactivations, desired, active, index_bits):
    """What orders the wrong neurons of active samples, and `_NONE` for all others: int32 ``[N, B]``."""
    # A sign bit says right: z and a* as words that differ there. Booleans would take eight times as long.
    neurons = preactivations.shape[0]
    shifts = np.uint32(bits.WORD_BITS - 1) - np.arange(bits.WORD_BITS, dtype=np.uint32)
    wanted = (desired[:, None, :] << shifts[None, :, None]).reshape(-1, desired.shape[1])[:neurons]
    z = preactivations.astype(jnp.int32)
    right = z ^ wanted.astype(jnp.int32)
    return _ordered(jnp.abs(z), right | _inactive(active), index_bits)


@isolated(static_argnames=("index_bits",))
def _tied_keys(summed_stability, active, index_bits):
    return _ordered(-summed_stability, ~summed_stability | _inactive(active), index_bits)


def _inactive(active: jax.Array) -> jax.Array:
    return jnp.where(active, jnp.int32(0), jnp.int32(-(2**31)))[None, :]


def _ordered(score: jax.Array, out: jax.Array, index_bits: int | None) -> jax.Array:
    """``score`` with the index below it, `_NONE` where ``out`` is negative."""
    if index_bits is not None:
        score = (score << index_bits) | jnp.arange(score.shape[0], dtype=jnp.int32)[:, None]
    return jnp.where(out < 0, _NONE, score)


def _winners(keys: jax.Array, group_size: jax.Array, index_bits: int | None) -> jax.Array:
    groups = _groups(group_size, neurons=keys.shape[0])
    above = _above_smallest(keys, groups)
    if index_bits is None:  # the smallest scores, and then the first of them
        above = _above_smallest(_indices_of_zeros(above), groups)
    return _pack_zeros(above)


@isolated(static_argnames=("neurons",))
def _groups(group_size: jax.Array, *, neurons: int) -> jax.Array:
    return jnp.arange(neurons, dtype=jnp.int32) // group_size


@isolated
def _above_smallest(keys: jax.Array, groups: jax.Array) -> jax.Array:
    """0 for the smallest key of each group, anything else for all others and for `_NONE`: int32 ``[N, B]``."""
    # Segments instead of a reshape, because the group size may be traced: it differs between vmapped seeds.
    smallest = jax.ops.segment_min(
        keys, groups, num_segments=keys.shape[0], indices_are_sorted=True, mode="promise_in_bounds"
    )
    return keys ^ jnp.where(smallest == _NONE, -1, smallest).at[groups].get(mode="promise_in_bounds")


@isolated
def _indices_of_zeros(above: jax.Array) -> jax.Array:
    return jnp.where(above == 0, jnp.arange(above.shape[0], dtype=jnp.int32)[:, None], _NONE)


@isolated
def _pack_zeros(above: jax.Array) -> jax.Array:
    return bits.pack_major(above == 0)


@takes(words="uint32 [W, B]")
@isolated
def transposed(words: jax.Array) -> jax.Array:
    """Packs the bits of words along the other axis: along the batch, for :func:`bep_jax.kernels.products.outer`.

    Args:
      words: uint32 ``[W, B]``.

    Returns:
      uint32 ``[Wb, 32 W]``; padding bits are 0.

    Example:
      >>> words = bits.pack([[1, -1], [1, 1]]).T  # two samples of two bits
      >>> transposed(words)[:, :2]
      Array([[3, 2]], dtype=uint32)
    """
    # Sums of shifted bits: XLA:CPU makes scalar code of the same thing written with comparisons, a hundred times
    # slower where the last word is not full.
    height, size = words.shape
    bit = np.arange(bits.WORD_BITS, dtype=np.uint32)
    full, rest = divmod(size, bits.WORD_BITS)
    parts = []
    for start, count, length in ((0, full, bits.WORD_BITS), (full * bits.WORD_BITS, 1, rest)):
        if count * length:
            group = words[:, start : start + count * length].reshape(height, count, length)
            ones = (group[..., None] >> bit[None, None, None, :]) & np.uint32(1)
            packed = jnp.sum(ones << bit[None, None, :length, None], axis=2, dtype=jnp.uint32)
            parts.append(packed.transpose(1, 0, 2).reshape(count, -1))
    return jnp.concatenate(parts)

"""±1 arrays as words of 32 bits: pack, unpack, transpose.

Bit i of word j is element 32j + i of the packed axis; a set bit is +1, a clear bit is -1. The last word's padding
bits are 0 in every operand of the library, so that a product over whole words needs no correction for them.

Axis letters: K elements, W = ceil(K / 32) words, B any other axis.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax.kernels.checks import check_count, is_integer
from bep_jax.kernels.isolate import isolated, jit

WORD_BITS = 32
_SHIFTS = np.arange(WORD_BITS, dtype=np.uint32)


def num_words(num_bits: int) -> int:
    """Words that hold so many bits.

    Args:
      num_bits: K, at least 0.

    Returns:
      ceil(K / 32).

    Raises:
      TypeError, ValueError: it is no such number.

    Example:
      >>> num_words(33)
      2
    """
    return -(-check_count(num_bits, "num_bits", "num_words", least=0) // WORD_BITS)


def pack(a: jax.typing.ArrayLike) -> jax.Array:
    """Packs ±1 values along the last axis, 32 to a word.

    Args:
      a: ``[..., K]`` bool (True is +1) or integers that are all -1 or +1.

    Returns:
      uint32 ``[..., W]``, W = ceil(K / 32); padding bits are 0.

    Raises:
      TypeError: ``a`` is neither bool nor integer.
      ValueError: ``a`` has no axis, or is concrete and holds an integer other than -1 and +1.

    Example:
      >>> pack([1, -1, -1, 1])
      Array([9], dtype=uint32)
    """
    a = a if isinstance(a, jax.Array | np.ndarray) else np.asarray(a)
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError("pack: bits cannot be missing, got a masked array; fill it first.")
    if a.dtype != bool and not is_integer(a.dtype):
        raise TypeError(f"pack: wanted bool or ±1 integers, got {a.dtype}; compare first, for example a >= 0.")
    if a.ndim == 0:
        raise ValueError("pack: wanted at least one axis, got a scalar.")
    if a.dtype != bool and not isinstance(a, jax.core.Tracer):
        values = np.asarray(a)
        if not np.all((values == 1) | (values == -1)):
            strange = values[(values != 1) & (values != -1)].flat[0]
            raise ValueError(f"pack: integers must be -1 or +1, got {strange}; for 0 and 1 pass a.astype(bool).")
    return _pack(a if a.dtype == bool else a > 0)


def unpack(x: jax.typing.ArrayLike, num_bits: int) -> jax.Array:
    """Unpacks words along the last axis into ±1 values; the inverse of :func:`pack`.

    Args:
      x: uint32 ``[..., W]``.
      num_bits: K, the number of elements, with W = ceil(K / 32).

    Returns:
      int8 ``[..., K]`` of -1 and +1.

    Raises:
      TypeError: ``x`` is not uint32.
      ValueError: ``x`` does not have ceil(num_bits / 32) words.

    Example:
      >>> unpack(pack([1, -1, -1, 1]), num_bits=4)
      Array([ 1, -1, -1,  1], dtype=int8)
    """
    num_bits = check_count(num_bits, "num_bits", "unpack", least=0)
    if not isinstance(x, jax.Array):
        x = np.asanyarray(x)
    if x.dtype != jnp.uint32 or isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"unpack: wanted uint32 words, got {type(x).__name__} of {x.dtype}.")
    if num_bits < 1 or x.ndim == 0 or x.shape[-1] != num_words(num_bits):
        raise ValueError(
            f"unpack: num_bits={num_bits} needs a last axis of {-(-num_bits // WORD_BITS)} words, got shape {x.shape}."
        )
    return _unpack(x, num_bits=num_bits)


def check_padding(x: jax.typing.ArrayLike, num_bits: int, who: str) -> None:
    """Raises ValueError, naming ``who``, if concrete words ``x [..., W]`` have a bit set past ``num_bits``."""
    used = num_bits % WORD_BITS
    if used == 0 or isinstance(x, jax.core.Tracer | jax.ShapeDtypeStruct):
        return
    if np.any(np.asarray(x)[..., -1] >> np.uint32(used)):
        raise ValueError(
            f"{who}: the last word has bits set past bit {num_bits}; padding bits must be 0, as bits.pack leaves them."
        )


def pack_minor(bits: jax.Array) -> jax.Array:
    """Packs bool ``[..., K]`` along the last axis: uint32 ``[..., W]``. No fusion wall: for use inside kernels."""
    bits = jnp.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, -bits.shape[-1] % WORD_BITS)])
    groups = bits.reshape(*bits.shape[:-1], bits.shape[-1] // WORD_BITS, WORD_BITS).astype(jnp.uint32)
    return jnp.sum(groups << _SHIFTS.reshape((1,) * bits.ndim + (-1,)), axis=-1, dtype=jnp.uint32)


def pack_major(bits: jax.Array) -> jax.Array:
    """Packs bool ``[..., K, B]`` along the last axis but one: uint32 ``[..., W, B]``. No fusion wall."""
    full, rest = divmod(bits.shape[-2], WORD_BITS)
    parts = []
    # The last word on its own, not padded: XLA:CPU fuses padding of this axis into the packing loop, which then runs
    # up to a hundred times slower.
    for start, words, length in ((0, full, WORD_BITS), (full * WORD_BITS, 1, rest)):
        if words * length:
            group = jax.lax.slice_in_dim(bits, start, start + words * length, axis=-2)
            group = group.reshape(*bits.shape[:-2], words, length, bits.shape[-1])
            weights = (np.uint32(1) << _SHIFTS[:length]).reshape((1,) * (bits.ndim - 1) + (length, 1))
            # A reduce over selected constants, not a chain of ORs: XLA:CPU vectorises this one.
            parts.append(jnp.sum(jnp.where(group, weights, np.uint32(0)), axis=-2, dtype=jnp.uint32))
    return jnp.concatenate(parts, axis=-2)


def unpack_minor(x: jax.Array, *, num_bits: int) -> jax.Array:
    """Words ``[..., W]`` to bool ``[..., K]``."""
    ones = jnp.bitwise_and(x[..., None] >> _SHIFTS.reshape((1,) * x.ndim + (-1,)), jnp.uint32(1)) != 0
    return ones.reshape(*x.shape[:-1], WORD_BITS * x.shape[-1])[..., :num_bits]


def unpack_major(x: jax.Array, *, num_bits: int) -> jax.Array:
    """Words ``[..., W, B]`` to bool ``[..., K, B]``."""
    shifts = _SHIFTS.reshape((1,) * (x.ndim - 1) + (WORD_BITS, 1))
    ones = jnp.bitwise_and(x[..., :, None, :] >> shifts, jnp.uint32(1)) != 0
    return ones.reshape(*x.shape[:-2], -1, x.shape[-1])[..., :num_bits, :]


@isolated(static_argnames=("start", "num_bits"))
def slice_major(x: jax.Array, *, start: int, num_bits: int) -> jax.Array:
    """Bits ``start`` to ``start + num_bits`` of words ``[W, B]``; padding bits are 0.

    Example:
      >>> unpack(slice_major(pack([[1, -1, -1, 1, 1]]).T, start=2, num_bits=3).T, num_bits=3)
      Array([[-1,  1,  1]], dtype=int8)
    """
    words, (first, shift) = num_words(num_bits), divmod(start, WORD_BITS)
    x = jnp.pad(x[first:], ((0, max(0, words + 1 + first - x.shape[0])), (0, 0)))
    found = x[:words] >> np.uint32(shift)
    if shift:
        found |= x[1 : words + 1] << np.uint32(WORD_BITS - shift)
    if used := num_bits % WORD_BITS:
        found = found.at[-1].set(found[-1] & np.uint32((1 << used) - 1))
    return found


@isolated(static_argnames=("sizes",))
def join_major(a: jax.Array, b: jax.Array, *, sizes: tuple[int, int]) -> jax.Array:
    """Words ``[W, B]`` of the bits of ``a`` and, after them, those of ``b``, of which there are ``sizes``.

    Example:
      >>> unpack(join_major(pack([[1, -1]]).T, pack([[-1, 1, 1]]).T, sizes=(2, 3)).T, num_bits=5)
      Array([[ 1, -1, -1,  1,  1]], dtype=int8)
    """
    full, shift = divmod(sizes[0], WORD_BITS)
    if not shift:
        return jnp.concatenate([a, b])
    low, high = b << np.uint32(shift), b >> np.uint32(WORD_BITS - shift)
    rest = jnp.pad(low, ((0, 1), (0, 0))) | jnp.pad(high, ((1, 0), (0, 0)))
    rest = rest.at[0].set(rest[0] | a[-1])
    return jnp.concatenate([a[:full], rest])[: num_words(sum(sizes))]


_pack = isolated(pack_minor)


@jit(static_argnames="num_bits")
def _unpack(x: jax.Array, *, num_bits: int) -> jax.Array:
    return jnp.where(unpack_minor(x, num_bits=num_bits), jnp.int8(1), jnp.int8(-1))

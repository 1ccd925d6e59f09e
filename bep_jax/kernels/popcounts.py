"""Sums of ±1 over words by popcounts, the inner loops of the products, in the way that is fastest on the CPU at hand.

A CPU that counts the bits of whole vectors sums popcounts of words. Without that, a popcount is a dozen instructions:
carry-save adders then bring many words down to few before any bit is counted, and where two operands and a mask meet,
which spends the adders' advantage, popcounts of bytes are summed in bytes, four to a word's lane.

Axis letters: W words, N rows, B columns.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from bep_jax.kernels.isolate import counts_in_vectors, isolated


class Passes(NamedTuple):
    """How many words a CPU with vector popcounts takes at once. Measured by `python -m benchmarks products`."""

    whole: int  # one pass takes as many, sums in registers, if the cache holds the vectors or the sums are large
    words: int  # each of several passes, sums in memory
    cache: int  # bytes of the vectors that a pass goes over again for every row
    few: int = 4  # passes over all columns; where it takes more, panels of columns keep the sums nearer
    consumed: bool = False  # as they appear, by what the sums are fused with: one pass wherever the words allow it


# XLA:CPU turns a reduce of up to about 25 words over one vector operand (17 over two) into straight vector code and
# drops to scalar code past 32.
_UNROLLED = (25, 17)

# What carry-save adders take at once: the more words, the fewer popcounts.
_ADDERS = Passes(whole=33, words=33, cache=28_000, few=1)

# Bytes of sums above which going over them again costs more than vectors that the cache does not hold.
_SUMS = 8 << 20
# Fewer words a pass than this are not worth going over the sums again, whatever their size.
_LEAST = 4
# Columns of a panel, with one vector operand; half as many with two.
_PANEL = 512

# Bytes whose popcounts add up to no more than a byte holds, and words up to which adders are slower.
_BYTES = 31
_BYTE_WORDS = 31
# Byte lanes of a vector, and the distance at which bytes fall into few sets of the first-level cache.
_BYTE_LANES = 32
_SAME_SETS = 1024

# 32-bit lanes of the widest CPU vectors: a multiple of so many columns leaves no scalar remainder.
VECTOR = 16


def signed_sums(
    start: jax.Array,
    differences: Callable,
    rows: tuple[jax.Array, ...],
    vectors: tuple[jax.Array, ...],
    passes: Passes,
    *,
    words_first: bool = False,
) -> jax.Array:
    """Sums of ±1 over words: ``start`` less twice the popcounts of ``differences(*rows, *vectors)``.

    Args:
      start: int32 or int16 ``[N, B]``, or 1 for either: how many ±1 there are.
      differences: a bitwise function of all operands, 0 where all are 0: words are padded.
      rows: uint32 ``[N, W]`` each, ``[W, N]`` with ``words_first``.
      vectors: uint32 ``[W, B]`` each.
      passes: how many words at once.
      words_first: how the rows lie.

    Returns:
      ``[N, B]``, of the type of ``start``.

    Example:
      >>> w, a = jnp.array([[1], [3]], jnp.uint32), jnp.array([[0, 2]], jnp.uint32)
      >>> signed_sums(jnp.array([[2]]), jnp.bitwise_xor, (w,), (a,), Passes(25, 17, 32_000)).tolist()
      [[0, -2], [-2, 0]]
    """
    width, columns = vectors[0].shape
    height = rows[0].shape[1 if words_first else 0]
    if counts_in_vectors():
        count, most = functools.partial(_in_words, differences, dtype=start.dtype), _UNROLLED[len(vectors) - 1]
    elif len(rows) == 2 and width <= _BYTE_WORDS:
        rows = tuple(r.T for r in rows) if words_first else rows
        return start - 2 * _in_bytes(differences, rows, vectors, start.dtype)
    else:
        count, most, passes = functools.partial(_by_adders, differences, dtype=start.dtype), _ADDERS.whole, _ADDERS

    def one_pass(total, rows, vectors):
        rows = (r if words_first else r.T for r in rows)
        operands = (*(r[:, :, None] for r in rows), *(v[:, None, :] for v in vectors))
        for i in range(0, operands[-1].shape[0], most):
            total = total - 2 * count(*(o[i : i + most] for o in operands))
        return total

    known = isinstance(height, int)  # when exported, the batch may be a symbol
    fits = passes.cache // (4 * len(vectors) * columns) if not known or height > 1 else width  # one row: no reuse
    large = known and 4 * height * columns > _SUMS
    if width <= passes.whole and (passes.consumed or width <= fits or fits < _LEAST or large):
        return one_pass(start, rows, vectors)
    size = _even(width, max(1, min(fits, passes.words)))
    panel = _PANEL // len(vectors)
    if columns > panel and (large or width > passes.few * size):
        sums = functools.partial(signed_sums, differences=differences, passes=passes, words_first=words_first)
        return _in_panels(sums, panel, start, rows, vectors)
    return _in_passes(isolated(one_pass), size, 0 if words_first else 1, start, rows, vectors)


def _in_passes(one_pass: Callable, size: int, axis: int, start, rows, vectors) -> jax.Array:
    """``size`` words at a time, ``axis`` that of the rows' words. A wall around a pass lets it sum in place."""
    width = vectors[0].shape[0]
    number = -(-width // size)
    padding, none = (0, number * size - width), (0, 0)
    rows = tuple(jnp.pad(r, (none, padding) if axis else (padding, none)) for r in rows)
    vectors = tuple(jnp.pad(v, (padding, none)) for v in vectors)

    def go(i, total):
        words = tuple(lax.dynamic_slice_in_dim(r, i * size, size, axis) for r in rows)
        return one_pass(total, words, tuple(lax.dynamic_slice_in_dim(v, i * size, size, 0) for v in vectors))

    return lax.fori_loop(1, number, go, go(0, start))


def _in_panels(sums: Callable, most: int, start, rows, vectors) -> jax.Array:
    """Panels of at most so many columns, of equal width, the last one over part of the one before.

    A wall keeps the sums out of the fusion that puts them in their place, which would be scalar code.
    """
    columns = vectors[0].shape[1]
    panel = _even(columns, most, VECTOR)
    walled = isolated(lambda start, rows, vectors: sums(start, rows=rows, vectors=vectors))

    def of_panel(first):
        def part(x):
            return x if x.shape[1] == 1 else lax.dynamic_slice_in_dim(x, first, panel, 1)

        return walled(part(start), rows, tuple(part(v) for v in vectors))

    def put(i, total):
        first = jnp.minimum(i * panel, columns - panel)
        return lax.dynamic_update_slice_in_dim(total, of_panel(first), first, 1)

    # Padded and not put into zeros, which would not vary over a mesh where the sums do.
    total = jnp.pad(of_panel(0), ((0, 0), (0, columns - panel)))
    return lax.fori_loop(1, -(-columns // panel), put, total)


def _even(size: int, most: int, multiple: int = 1) -> int:
    """The size of equal parts of at most about ``most``."""
    parts = -(-size // most)
    return -(-size // (parts * multiple)) * multiple


def _in_words(differences: Callable, *words: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    return jnp.sum(lax.population_count(differences(*words)), axis=0, dtype=jnp.uint32).astype(dtype)


def _by_adders(differences: Callable, *operands: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """By carry-save adders (Harley-Seal), which need few popcounts."""
    words = [differences(*(o[j] for o in operands)) for j in range(operands[0].shape[0])]
    total, weight = jnp.zeros((), dtype), 0
    while words:
        carries = []
        while len(words) > 2:
            a, b, c = words[:3]
            either = a ^ b
            words = [*words[3:], either ^ c]
            carries.append((a & b) | (either & c))
        for word in words:
            total = total + (lax.population_count(word).astype(dtype) << weight)
        words, weight = carries, weight + 1
    return total


def _in_bytes(differences: Callable, rows: tuple[jax.Array, ...], vectors: tuple[jax.Array, ...], dtype) -> jax.Array:
    """All popcounts in bytes, of rows ``[N, W]`` and vectors ``[W, B]``: ``[N, B]``."""

    @isolated
    def counts(rows, vectors):  # uint8 [N, J] and [J, B] -> uint8 [N, B]
        # Bytes all through, the result too: with anything wider in its loop LLVM takes fewer lanes.
        total = None
        for j in range(vectors[0].shape[0]):
            count = lax.population_count(differences(*(r[:, j, None] for r in rows), *(v[None, j] for v in vectors)))
            total = count if total is None else total + count
        return total

    columns, number = vectors[0].shape[1], 4 * vectors[0].shape[0]
    rows, vectors = tuple(_row_bytes(r) for r in rows), tuple(_vector_bytes(v) for v in vectors)
    size, total = _even(number, _BYTES), jnp.zeros((), dtype)
    for start in range(0, number, size):
        some = slice(start, start + size)
        part = counts(tuple(r[:, some] for r in rows), tuple(v[some] for v in vectors))
        total = total + part[:, :columns].astype(dtype)
    return total


def _row_bytes(words: jax.Array) -> jax.Array:
    """Words ``[N, W]`` as bytes ``[N, 4 W]``."""
    return lax.bitcast_convert_type(words, jnp.uint8).reshape(words.shape[0], -1)


def _vector_bytes(words: jax.Array) -> jax.Array:
    """Words ``[W, B]`` as bytes ``[4 W, B']`` in whole vectors."""
    columns = -(-words.shape[1] // _BYTE_LANES) * _BYTE_LANES
    if columns % _SAME_SETS == 0:
        columns += _BYTE_LANES
    words = jnp.pad(words, ((0, 0), (0, columns - words.shape[1])))
    return lax.bitcast_convert_type(words, jnp.uint8).transpose(0, 2, 1).reshape(-1, columns)

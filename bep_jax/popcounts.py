"""Sums of popcounts over words, the inner loops of the products, in the way that is fastest on the CPU at hand.

A CPU that counts the bits of whole vectors sums popcounts of words. Without that, a popcount is a dozen instructions:
carry-save adders then bring many words down to few before any bit is counted, and where two operands and a mask meet,
which spends the adders' advantage, popcounts of bytes are summed in bytes, four to a word's lane.

Axis letters: W words, N rows, B columns.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from bep_jax.isolate import counts_in_vectors, isolated

# XLA:CPU turns a reduce of up to about 25 words over one vector operand (17 over two) into straight vector code and
# drops to scalar code past 32. Vector operands above about 40 KB fall out of the first-level cache; then a scan over
# few words at a time with the sums in memory wins, for two of the products over panels of so many columns.
# Measured by `python -m benchmarks products`.
_CACHE_BYTES = 40_000

# Words that carry-save adders take at once.
_ADDER_WORDS = 33

# Bytes whose popcounts add up to no more than a byte holds, and words up to which adders are slower.
_BYTES = 31
_BYTE_WORDS = 31
# Byte lanes of a vector, and the distance at which bytes fall into few sets of the first-level cache.
_BYTE_LANES = 32
_SAME_SETS = 1024

# 32-bit lanes of the widest CPU vectors: a multiple of so many columns leaves no scalar remainder.
VECTOR = 16


def popcounts(
    differences: Callable,
    rows: tuple[jax.Array, ...],
    vectors: tuple[jax.Array, ...],
    *,
    unrolled: int,
    scanned: int,
    panel: int | None = None,
) -> jax.Array:
    """Sums the popcounts of ``differences(*rows, *vectors)`` over the leading axis of words.

    Args:
      differences: a bitwise function of all operands.
      rows: uint32 ``[W, N, 1]`` each.
      vectors: uint32 ``[W, 1, B]`` each.
      unrolled: words that a CPU with vector popcounts sums at once in registers.
      scanned: words that it takes in one pass over sums in memory.
      panel: columns that it works on at a time, None for all.

    Returns:
      int32 ``[N, B]``.

    Example:
      >>> w, a = jnp.array([[[1], [3]]], jnp.uint32), jnp.array([[[0, 2]]], jnp.uint32)
      >>> popcounts(jnp.bitwise_xor, (w,), (a,), unrolled=25, scanned=16).tolist()
      [[1, 2], [2, 1]]
    """
    width, _, columns = vectors[0].shape
    if counts_in_vectors():
        count = functools.partial(_in_words, differences)
    elif len(rows) == 2 and width <= _BYTE_WORDS:
        return _in_bytes(differences, rows, vectors)
    else:
        count = functools.partial(_by_adders, differences)
        unrolled = scanned = _ADDER_WORDS
        # The more words in a pass, the fewer columns of two operands the cache holds.
        panel = panel and panel // len(vectors)
    fits = sum(v.size for v in vectors) * 4 <= _CACHE_BYTES
    if fits or (width <= unrolled and len(vectors) == 1):
        return _sum_of_groups(count, (*rows, *vectors), unrolled)
    if panel is None or columns <= panel:
        return _scan_of_groups(count, (*rows, *vectors), scanned)

    # Panels of equal width, the last one over part of the one before. The wall keeps the sums out of the fusion that
    # puts them in their place, which would be scalar code.
    panel = _even(columns, panel, VECTOR)
    sums = isolated(lambda *operands: _scan_of_groups(count, operands, scanned))

    def put(i, total):
        start = jnp.minimum(i * panel, columns - panel)
        part = (lax.dynamic_slice_in_dim(v, start, panel, axis=2) for v in vectors)
        return lax.dynamic_update_slice_in_dim(total, sums(*rows, *part), start, axis=1)

    return lax.fori_loop(0, -(-columns // panel), put, jnp.zeros((rows[0].shape[1], columns), jnp.int32))


def _even(size: int, most: int, multiple: int = 1) -> int:
    """The size of equal parts of at most about ``most``."""
    parts = -(-size // most)
    return -(-size // (parts * multiple)) * multiple


def _sum_of_groups(count: Callable, operands: tuple[jax.Array, ...], most: int) -> jax.Array:
    total = count(*(o[:most] for o in operands))
    for start in range(most, operands[0].shape[0], most):
        total = total + count(*(o[start : start + most] for o in operands))
    return total


def _scan_of_groups(count: Callable, operands: tuple[jax.Array, ...], most: int) -> jax.Array:
    width = operands[0].shape[0]
    size = _even(width, most)
    groups = -(-width // size)

    def grouped(o):
        o = jnp.pad(o, ((0, groups * size - width), (0, 0), (0, 0)))
        return o.reshape(groups, size, *o.shape[1:])

    total, _ = lax.scan(
        lambda total, words: (total + count(*words), None),
        jnp.zeros((operands[0].shape[1], operands[-1].shape[2]), jnp.int32),
        tuple(grouped(o) for o in operands),
    )
    return total


def _in_words(differences: Callable, *words: jax.Array) -> jax.Array:
    return jnp.sum(lax.population_count(differences(*words)), axis=0, dtype=jnp.uint32).astype(jnp.int32)


def _by_adders(differences: Callable, *operands: jax.Array) -> jax.Array:
    """By carry-save adders (Harley-Seal), which need few popcounts."""
    words = [differences(*(o[j] for o in operands)) for j in range(operands[0].shape[0])]
    total, weight = jnp.int32(0), 0
    while words:
        carries = []
        while len(words) > 2:
            a, b, c = words[:3]
            either = a ^ b
            words = [*words[3:], either ^ c]
            carries.append((a & b) | (either & c))
        for word in words:
            total = total + (lax.population_count(word).astype(jnp.int32) << weight)
        words, weight = carries, weight + 1
    return total


def _in_bytes(differences: Callable, rows: tuple[jax.Array, ...], vectors: tuple[jax.Array, ...]) -> jax.Array:
    """All popcounts in bytes, by operands of words as in :func:`popcounts`: int32 ``[N, B]``."""

    @isolated
    def counts(rows, vectors):  # uint8 [N, J] and [J, B] -> uint8 [N, B]
        # Bytes all through, the result too: with anything wider in its loop LLVM takes fewer lanes.
        total = None
        for j in range(vectors[0].shape[0]):
            count = lax.population_count(differences(*(r[:, j, None] for r in rows), *(v[None, j] for v in vectors)))
            total = count if total is None else total + count
        return total

    columns, number = vectors[0].shape[2], 4 * vectors[0].shape[0]
    rows, vectors = tuple(_row_bytes(r[:, :, 0].T) for r in rows), tuple(_vector_bytes(v[:, 0]) for v in vectors)
    size, total = _even(number, _BYTES), jnp.int32(0)
    for start in range(0, number, size):
        some = slice(start, start + size)
        part = counts(tuple(r[:, some] for r in rows), tuple(v[some] for v in vectors))
        total = total + part[:, :columns].astype(jnp.int32)
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

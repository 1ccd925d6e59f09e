"""The three integer products of binary training, on words.

A sum of ±1 products over K elements is K minus twice the number of places where the operands differ, so each product
below is a popcount over words. Their layouts keep the axis that is *not* contracted last, where the CPU's vectors
run along it, and put the contracted words second to last; the other operand is broadcast. A batch of a multiple of
`VECTOR` columns leaves no scalar remainder.

Axis letters: K inputs, N neurons, B batch (times tied positions), Wk = ceil(K / 32) words of inputs, Wn of neurons,
Wb of the batch. Each product has a bitwise and an int8 form with the same bits out; the platform chooses.
Source: arXiv 2512.04189, Eq. 2 (forward), 5 and 7 (backward), 8 (outer).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from bep_jax import bits
from bep_jax.isolate import counts_in_vectors, isolated

# XLA:CPU turns a reduce of up to about 25 words over one vector operand (17 over two) into straight vector code and
# drops to scalar code past 32. Vector operands above about 40 KB fall out of the first-level cache; then a scan over
# few words at a time with the sums in memory wins, for two of the products over panels of so many columns.
# Measured by `python -m benchmarks products`.
_CACHE_BYTES = 40_000
_PANEL = 256

# Words that carry-save adders take at once.
_ADDER_WORDS = 33

# 32-bit lanes of the widest CPU vectors.
VECTOR = 16


@isolated
def forward(weights: jax.Array, inputs: jax.Array, num_inputs: jax.typing.ArrayLike) -> jax.Array:
    """Pre-activations z = W a of ±1 weights and inputs (Eq. 2).

    Args:
      weights: uint32 ``[N, Wk]``, packed along the inputs.
      inputs: uint32 ``[Wk, B]``, packed along the inputs.
      num_inputs: K, the number of inputs without padding.

    Returns:
      int32 ``[N, B]`` in [-K, K].

    Example:
      >>> w = bits.pack([[1, -1, 1]])
      >>> forward(w, bits.pack([[1, 1, 1]]).T, 3)
      Array([[1]], dtype=int32)
    """
    return lax.platform_dependent(weights, inputs, jnp.int32(num_inputs), cpu=_forward_bitwise, default=_forward_int8)


@isolated
def backward(weights: jax.Array, desired: jax.Array, gates: jax.Array) -> jax.Array:
    """Back-projection v = Wᵀ (g ⊙ a*) of gated desired activations (Eq. 5 and 7, before the sign).

    Args:
      weights: uint32 ``[Wn, K]``, packed along the neurons.
      desired: uint32 ``[Wn, B]``, desired activations a* packed along the neurons.
      gates: uint32 ``[Wn, B]``; a set bit lets its neuron take part.

    Returns:
      int32 ``[K, B]``.

    Example:
      >>> w = bits.pack([[1, -1, 1], [1, 1, 1]]).T  # two inputs, three neurons
      >>> t, g = bits.pack([[1, 1, -1]]).T, bits.pack([[True, True, False]]).T
      >>> backward(w, t, g)[:, 0]
      Array([0, 2], dtype=int32)
    """
    return lax.platform_dependent(weights, desired, gates, cpu=_backward_bitwise, default=_backward_int8)


@isolated
def outer(winners: jax.Array, desired: jax.Array, inputs: jax.Array) -> jax.Array:
    """Sum over the batch of the outer products of masked desired activations and inputs (Eq. 8, without its 2).

    Args:
      winners: uint32 ``[N, Wb]``, the winner mask packed along the batch; a clear bit takes no part.
      desired: uint32 ``[N, Wb]``, desired activations packed along the batch.
      inputs: uint32 ``[Wb, K]``, inputs packed along the batch.

    Returns:
      int32 ``[N, K]``: Σ_b m t a.

    Example:
      >>> m, t = bits.pack([[True, True, False]]), bits.pack([[1, -1, 1]])
      >>> outer(m, t, bits.pack([[1, 1, 1], [1, -1, 1]]).T)
      Array([[0, 2]], dtype=int32)
    """
    return outer_inline(winners, desired, inputs)


def outer_inline(winners: jax.Array, desired: jax.Array, inputs: jax.Array) -> jax.Array:
    """:func:`outer` without its fusion wall, for kernels that consume the sums as they appear."""
    return lax.platform_dependent(winners, desired, inputs, cpu=_outer_bitwise, default=_outer_int8)


def _forward_bitwise(weights, inputs, num_inputs):
    def differences(w, a):  # [W, N, 1] ^ [W, 1, B]
        return w ^ a

    rows, vectors = (weights.T[:, :, None],), (inputs[:, None, :],)
    return num_inputs - 2 * _popcounts(differences, rows, vectors, unrolled=25, scanned=16)


def _backward_bitwise(weights, desired, gates):
    def differences(w, t, g):
        return (w ^ t) & g

    rows, vectors = (weights[:, :, None],), (desired[:, None, :], gates[:, None, :])
    taking_part = jnp.sum(lax.population_count(gates), axis=0, dtype=jnp.int32)
    return taking_part[None, :] - 2 * _popcounts(differences, rows, vectors, unrolled=17, scanned=17, panel=_PANEL)


def _outer_bitwise(winners, desired, inputs):
    def differences(m, t, a):
        return (t ^ a) & m

    rows, vectors = (winners.T[:, :, None], desired.T[:, :, None]), (inputs[:, None, :],)
    taking_part = jnp.sum(lax.population_count(winners), axis=1, dtype=jnp.int32)
    return taking_part[:, None] - 2 * _popcounts(differences, rows, vectors, unrolled=17, scanned=14, panel=_PANEL)


def _popcounts(
    differences: Callable,
    rows: tuple[jax.Array, ...],
    vectors: tuple[jax.Array, ...],
    *,
    unrolled: int,
    scanned: int,
    panel: int | None = None,
) -> jax.Array:
    """Sums the popcounts of ``differences(*rows, *vectors)`` over the leading axis of words: int32 ``[N, B]``."""
    width, _, columns = vectors[0].shape

    def count(*words):
        if counts_in_vectors():
            return jnp.sum(lax.population_count(differences(*words)), axis=0, dtype=jnp.uint32).astype(jnp.int32)
        return _added([differences(*(w[j] for w in words)) for j in range(words[0].shape[0])])

    if not counts_in_vectors():
        unrolled = scanned = _ADDER_WORDS
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


def _added(words: list[jax.Array]) -> jax.Array:
    """Popcounts of words summed by carry-save adders (Harley-Seal), which need few popcounts: int32."""
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


def _forward_int8(weights, inputs, num_inputs):
    w, a = _signs_minor(weights), _signs_major(inputs)
    # Padding bits are equal in both operands, so each adds a +1 that K does not count.
    return _dot(w, a) - (jnp.int32(w.shape[1]) - num_inputs)


def _backward_int8(weights, desired, gates):
    g = bits.unpack_major(gates, num_bits=gates.shape[0] * bits.WORD_BITS)
    return _dot(_signs_major(weights).T, jnp.where(g, _signs_major(desired), jnp.int8(0)))


def _outer_int8(winners, desired, inputs):
    m = bits.unpack_minor(winners, num_bits=winners.shape[1] * bits.WORD_BITS)
    return _dot(jnp.where(m, _signs_minor(desired), jnp.int8(0)), _signs_major(inputs))


def _signs_minor(x):
    return bits.unpack(x, num_bits=x.shape[-1] * bits.WORD_BITS)


def _signs_major(x):
    return jnp.where(bits.unpack_major(x, num_bits=x.shape[-2] * bits.WORD_BITS), jnp.int8(1), jnp.int8(-1))


def _dot(a, b):
    return lax.dot_general(a, b, (((1,), (0,)), ((), ())), preferred_element_type=jnp.int32)

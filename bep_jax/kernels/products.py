"""The three integer products of binary training, on words.

A sum of ±1 products over K elements is K minus twice the number of places where the operands differ, so each product
below is a popcount over words. Their layouts keep the axis that is *not* contracted last, where the CPU's vectors
run along it, and put the contracted words second to last; the other operand is broadcast.

Axis letters: K inputs, N neurons, B batch (times tied positions), Wk = ceil(K / 32) words of inputs, Wn of neurons,
Wb of the batch. Each product has a bitwise and an int8 form with the same bits out; the platform chooses.
Source: arXiv 2512.04189, Eq. 2 (forward), 5 and 7 (backward), 8 (outer).
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from bep_jax.kernels import bits
from bep_jax.kernels.arrays import takes
from bep_jax.kernels.isolate import isolated
from bep_jax.kernels.popcounts import VECTOR, Passes, signed_sums

_FORWARD = Passes(whole=33, words=17, cache=36_000)
_BACKWARD = Passes(whole=17, words=11, cache=28_000)
_OUTER = Passes(whole=17, words=14, cache=28_000)


def holding(most: int) -> jax.typing.DTypeLike:
    """What holds sums of at most ``most`` ±1 and one more, as a band may be: half the bytes for the kernels after."""
    return jnp.int16 if most < 2**15 - 1 else jnp.int32


@takes(weights="uint32 [N, Wk]", inputs="uint32 [Wk, B]", num_inputs=">= 1")
@isolated(static_argnames=("dtype",))
def forward(
    weights: jax.Array,
    inputs: jax.Array,
    num_inputs: jax.typing.ArrayLike,
    *,
    dtype: jax.typing.DTypeLike = jnp.int32,
) -> jax.Array:
    """Pre-activations z = W a of ±1 weights and inputs (Eq. 2).

    Args:
      weights: uint32 ``[N, Wk]``, packed along the inputs.
      inputs: uint32 ``[Wk, B]``, packed along the inputs.
      num_inputs: K, the number of inputs without padding.
      dtype: int32, or int16 where it holds K.

    Returns:
      ``[N, B]`` in [-K, K], of ``dtype``.

    Example:
      >>> w = bits.pack([[1, -1, 1]])
      >>> forward(w, bits.pack([[1, 1, 1]]).T, 3)
      Array([[1]], dtype=int32)
    """
    return _forward(weights, inputs, num_inputs, dtype)


@isolated(static_argnames=("neurons", "num_inputs", "dtype"))
def forward_by_words(
    weights: jax.Array, inputs: jax.Array, *, neurons: int, num_inputs: int, dtype: jax.typing.DTypeLike = jnp.int32
) -> jax.Array:
    """:func:`forward` of weights that lie the other way: uint32 ``[Wk, N']``, of which the first N neurons count."""
    # Few samples do not fill a vector, neurons do; samples of a number not known yet may be few.
    few = not isinstance(inputs.shape[1], int) or inputs.shape[1] < VECTOR
    operands = (inputs.T, weights) if few else (weights[:, :neurons].T, inputs)
    z = _forward(*operands, num_inputs, dtype)
    return z[:, :neurons].T if few else z


@takes(weights="uint32 [Wn, K]", desired="uint32 [Wn, B]", gates="uint32 [Wn, B]")
@isolated(static_argnames=("dtype",))
def backward(
    weights: jax.Array, desired: jax.Array, gates: jax.Array, *, dtype: jax.typing.DTypeLike = jnp.int32
) -> jax.Array:
    """Back-projection v = Wᵀ (g ⊙ a*) of gated desired activations (Eq. 5 and 7, before the sign).

    Args:
      weights: uint32 ``[Wn, K]``, packed along the neurons.
      desired: uint32 ``[Wn, B]``, desired activations a* packed along the neurons.
      gates: uint32 ``[Wn, B]``; a set bit lets its neuron take part.
      dtype: int32, or int16 where it holds the number of neurons.

    Returns:
      ``[K, B]``, of ``dtype``.

    Example:
      >>> w = bits.pack([[1, -1, 1], [1, 1, 1]]).T  # two inputs, three neurons
      >>> t, g = bits.pack([[1, 1, -1]]).T, bits.pack([[True, True, False]]).T
      >>> backward(w, t, g)[:, 0]
      Array([0, 2], dtype=int32)
    """
    return _by_platform(dtype, _backward_bitwise, _backward_int8, weights, desired, gates)


@takes(winners="uint32 [N, Wb]", desired="uint32 [N, Wb]", inputs="uint32 [Wb, K]")
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
    return _by_platform(jnp.int32, _outer_bitwise, _outer_int8, winners, desired, inputs)


def outer_inline(winners: jax.Array, desired: jax.Array, inputs: jax.Array) -> jax.Array:
    """:func:`outer` without its fusion wall, for kernels that consume the sums as they appear.

    On a CPU they do up to 17 words of batch, as int16; more are summed in memory first.
    """
    dtype = jnp.int16 if winners.shape[1] <= _OUTER.whole else jnp.int32
    return _by_platform(dtype, _outer_consumed, _outer_int8, winners, desired, inputs)


def _forward(weights, inputs, num_inputs, dtype):
    return _by_platform(dtype, _forward_bitwise, _forward_int8, weights, inputs, jnp.int32(num_inputs))


def _by_platform(dtype, bitwise, int8, *operands):
    bitwise, int8 = (functools.partial(form, dtype=dtype) for form in (bitwise, int8))
    return lax.platform_dependent(*operands, cpu=bitwise, default=int8)


def _forward_bitwise(weights, inputs, num_inputs, dtype=jnp.int32):
    def differences(w, a):
        return w ^ a

    return signed_sums(num_inputs.astype(dtype).reshape(1, 1), differences, (weights,), (inputs,), _FORWARD)


def _backward_bitwise(weights, desired, gates, dtype=jnp.int32):
    def differences(w, t, g):
        return (w ^ t) & g

    taking_part = jnp.sum(lax.population_count(gates), axis=0, dtype=dtype)[None, :]
    return signed_sums(taking_part, differences, (weights,), (desired, gates), _BACKWARD, words_first=True)


def _outer_bitwise(winners, desired, inputs, dtype=jnp.int32, passes=_OUTER):
    def differences(m, t, a):
        return (t ^ a) & m

    taking_part = jnp.sum(lax.population_count(winners), axis=1, dtype=dtype)[:, None]
    return signed_sums(taking_part, differences, (winners, desired), (inputs,), passes)


_outer_consumed = functools.partial(_outer_bitwise, passes=_OUTER._replace(consumed=True))


def _forward_int8(weights, inputs, num_inputs, dtype=jnp.int32):
    w, a = _signs_minor(weights), _signs_major(inputs)
    # Padding bits are equal in both operands, so each adds a +1 that K does not count.
    return (_dot(w, a) - (jnp.int32(w.shape[1]) - num_inputs)).astype(dtype)


def _backward_int8(weights, desired, gates, dtype=jnp.int32):
    g = bits.unpack_major(gates, num_bits=gates.shape[0] * bits.WORD_BITS)
    return _dot(_signs_major(weights).T, jnp.where(g, _signs_major(desired), jnp.int8(0))).astype(dtype)


def _outer_int8(winners, desired, inputs, dtype=jnp.int32):
    m = bits.unpack_minor(winners, num_bits=winners.shape[1] * bits.WORD_BITS)
    return _dot(jnp.where(m, _signs_minor(desired), jnp.int8(0)), _signs_major(inputs)).astype(dtype)


def _signs_minor(x):
    return bits.unpack(x, num_bits=x.shape[-1] * bits.WORD_BITS)


def _signs_major(x):
    return jnp.where(bits.unpack_major(x, num_bits=x.shape[-2] * bits.WORD_BITS), jnp.int8(1), jnp.int8(-1))


def _dot(a, b):
    return lax.dot_general(a, b, (((1,), (0,)), ((), ())), preferred_element_type=jnp.int32)

"""The tied dense layer: hidden integer weights used at M tied positions, in the kernels' own layout.

A layer has hidden weights H ``[N, K]``, integers whose signs are the visible weights. An MLP layer uses them at one
position, a recurrent cell at T time steps. Everything here is one kernel behind a fusion wall and takes packed words
with the batch last: activations ``[W, B]``, packed along the neurons.

Axis letters: K inputs, N neurons, B batch, M tied positions; Wk, Wn, Wb the words of each.
Source: arXiv 2512.04189, Sections 3.2 to 3.5.
"""

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax import bits, products
from bep_jax.isolate import isolated

# Marks a neuron that cannot win; above every score.
_NONE = np.int32(np.iinfo(np.int32).max)


def forward(hidden: jax.Array, inputs: jax.Array) -> jax.Array:
    """Pre-activations z = sign(H) a (Eq. 2).

    Args:
      hidden: int16 ``[N, K]``.
      inputs: uint32 ``[Wk, B]``, ±1 packed along the inputs.

    Returns:
      int32 ``[N, B]``.

    Example:
      >>> import jax.numpy as jnp
      >>> forward(jnp.array([[3, -5]], jnp.int16), bits.pack([[1, 1]]).T)
      Array([[0]], dtype=int32)
    """
    return products.forward(visible(hidden), inputs, hidden.shape[-1])


@isolated
def visible(hidden: jax.Array) -> jax.Array:
    """Signs of H ``[N, K]``, packed along the inputs: uint32 ``[N, Wk]``; sign(0) = +1."""
    return bits.pack_minor(hidden >= 0)


@isolated
def visible_transposed(hidden: jax.Array) -> jax.Array:
    """Signs of H ``[N, K]``, transposed and packed along the neurons: uint32 ``[K, Wn]``."""
    return bits.pack_major(hidden >= 0).T


@isolated
def activate(preactivations: jax.Array) -> jax.Array:
    """sign(z) of integers ``[N, B]``: uint32 ``[Wn, B]``; sign(0) = +1 (Eq. 2)."""
    return bits.pack_major(preactivations >= 0)


@isolated
def gate(preactivations: jax.Array, threshold: jax.Array) -> jax.Array:
    """Neurons near their flip, ``|z| <= threshold``, of integers ``[N, B]``: uint32 ``[Wn, B]`` (Eq. 6)."""
    return bits.pack_major(jnp.abs(preactivations.astype(jnp.int32)) <= threshold)


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
    return activate(products.backward(visible_transposed(hidden), desired, gates))


@isolated
def stability(preactivations: jax.Array, desired: jax.Array) -> jax.Array:
    """u = a* ⊙ z of integers ``[N, B]`` and desired activations ``[Wn, B]``: int32 ``[N, B]``, negative when wrong."""
    z = preactivations.astype(jnp.int32)
    return jnp.where(bits.unpack_major(desired, num_bits=z.shape[0]), z, -z)


@isolated(static_argnames=("bound",))
def winners(
    preactivations: jax.Array, desired: jax.Array, active: jax.Array, group_size: jax.Array, *, bound: int
) -> jax.Array:
    """The winner mask of a layer used at one position (Section 3.3).

    In each group of ``group_size`` neighbouring neurons, the wrong one (sign(z) differs from a*) with the smallest
    |z| wins, the first on ties.

    Args:
      preactivations: int32 ``[N, B]``.
      desired: uint32 ``[Wn, B]``.
      active: bool ``[B]``, the samples that the trigger lets learn.
      group_size: int32 scalar, a divisor of N; may be traced.
      bound: static, the largest absolute value that the first argument can have: K times the positions.

    Returns:
      uint32 ``[Wn, B]``; padding bits are 0.

    Example:
      >>> import jax.numpy as jnp
      >>> z = jnp.array([[-7], [-1], [5]], jnp.int32)
      >>> winners(z, bits.pack([[1, 1, 1]]).T, jnp.array([True]), jnp.int32(3), bound=9)
      Array([[2]], dtype=uint32)
    """
    wrong = (preactivations >= 0) != bits.unpack_major(desired, num_bits=preactivations.shape[0])
    return _winners(jnp.abs(preactivations), wrong & active[None, :], group_size, bound)


@isolated(static_argnames=("bound",))
def tied_winners(summed_stability: jax.Array, active: jax.Array, group_size: jax.Array, *, bound: int) -> jax.Array:
    """The winner mask that tied positions share, from the stability summed over them (Section 3.5).

    Args:
      summed_stability: int32 ``[N, B]``, Σ over positions of :func:`stability`; negative is wrong.
      active: bool ``[B]``.
      group_size: int32 scalar, a divisor of N; may be traced.
      bound: static, the largest absolute value that the first argument can have: K times the positions.

    Returns:
      uint32 ``[Wn, B]``, as :func:`winners`.

    Example:
      >>> import jax.numpy as jnp
      >>> tied_winners(jnp.array([[-7], [-1]], jnp.int32), jnp.array([True]), jnp.int32(1), bound=9)
      Array([[3]], dtype=uint32)
    """
    return _winners(jnp.abs(summed_stability), (summed_stability < 0) & active[None, :], group_size, bound)


def _winners(score: jax.Array, wrong: jax.Array, group_size: jax.Array, bound: int) -> jax.Array:
    neurons = jnp.arange(score.shape[0], dtype=jnp.int32)
    groups = neurons // group_size
    index_bits = (score.shape[0] - 1).bit_length()
    if (bound + 1) << index_bits <= _NONE:
        # One minimum finds score and index together: the key orders by score, then by index.
        keys = jnp.where(wrong, (score << index_bits) | neurons[:, None], _NONE)
        won = wrong & (keys == _group_minimum(keys, groups))
    else:
        tied = wrong & (score == _group_minimum(jnp.where(wrong, score, _NONE), groups))
        won = tied & (neurons[:, None] == _group_minimum(jnp.where(tied, neurons[:, None], _NONE), groups))
    return bits.pack_major(won)


def _group_minimum(values: jax.Array, groups: jax.Array) -> jax.Array:
    """The minimum over each neuron's group, of ``[N, B]`` values: ``[N, B]``."""
    # Segments instead of a reshape, because the group size may be traced: it differs between vmapped seeds.
    size = values.shape[0]
    return jax.ops.segment_min(values, groups, num_segments=size, indices_are_sorted=True)[groups]


@isolated
def batch_packed(words: jax.Array) -> jax.Array:
    """Packs words ``[W, B]`` along the batch instead: uint32 ``[Wb, 32 W]``, for :func:`bep_jax.products.outer`."""
    return bits.pack_major(bits.unpack_minor(words.T, num_bits=words.shape[0] * bits.WORD_BITS))

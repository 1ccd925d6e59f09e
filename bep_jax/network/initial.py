"""The hidden weights that a network starts with: odd integers, drawn without a float on the device.

Random bits go through an integer table that the host made, so the same key gives the same weights on every platform.

Axis letters: N neurons, K inputs, P patterns.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax.kernels import bits, products
from bep_jax.kernels.checks import check_memory

_INT16_MAX = 32767


def normal(key: jax.Array, shape: tuple[int, int], scale: float) -> jax.Array:
    """Independent weights h = 2 floor(n / 2) + 1 with n ~ N(0, scale²), cut to the int16 range.

    Args:
      key: a key.
      shape: ``(N, K)``.
      scale: σ > 0.

    Returns:
      int16 ``[N, K]``, odd.

    Example:
      >>> normal(jax.random.key(0), (2, 3), 64.0).shape
      (2, 3)
    """
    return _draw(key, *_normal_table(scale), shape=shape)


def hebbian(key: jax.Array, width: int, patterns: int, scale: float) -> jax.Array:
    """Weights between neurons that were shown random ±1 patterns: the matrix of Hopfield's associative memory.

    h = 2 floor(σ c / (2 √P)) + 1, where c counts in how many patterns two neurons agree less those in which they do
    not; cut to the int16 range. Between two neurons c / √P has variance 1, as n / σ of :func:`normal`.

    Args:
      key: a key.
      width: N.
      patterns: P.
      scale: σ > 0.

    Returns:
      int16 ``[N, N]``, odd and symmetric.

    Example:
      >>> h = hebbian(jax.random.key(0), 4, patterns=9, scale=64.0)
      >>> bool((h == h.T).all()), h[0, 0]
      (True, Array(193, dtype=int16))
    """
    check_memory(16 * patterns + patterns * width // 8, f"{patterns:,} patterns", "rnn")
    return _agree(key, _hebbian_table(scale, patterns), width=width)


@functools.lru_cache(maxsize=16)
def _normal_table(scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Upper 32-bit quantiles of each odd h, padded, and the smallest h: P(h) = Φ((h + 1) / σ) - Φ((h - 1) / σ)."""
    # 6.7 σ is where 32 bits run out: the tail beyond has less than 2^-33.
    reach = min(_INT16_MAX, 2 * math.ceil(6.7 * scale / 2) + 1)
    edges = np.arange(-reach + 1, reach, 2)
    quantiles = [0.5 * math.erfc(-edge / scale / math.sqrt(2)) for edge in edges]
    table = np.minimum(np.floor(np.array(quantiles) * 2**32), 2**32 - 1).astype(np.uint32)
    # To a size that scales share: `_draw` is compiled for it.
    room = 1 << (len(table) - 1).bit_length()
    return np.pad(table, (0, room - len(table)), constant_values=2**32 - 1), np.asarray(-reach, np.int32)


@functools.partial(jax.jit, static_argnames="shape")
def _draw(key: jax.Array, table: jax.Array, smallest: jax.Array, *, shape: tuple[int, int]) -> jax.Array:
    """By the table, from 32 bits each: those of ``jax.random.bits(key, shape)``."""
    columns = jnp.arange(shape[1], dtype=jnp.uint32)

    # Row by row: all words at once, and the search through the table, would need ten times the memory of the matrix,
    # more than training does.
    def row(n):
        words = jax.random.key_data(jax.vmap(jax.random.fold_in, (None, 0))(key, n * jnp.uint32(shape[1]) + columns))
        place = jnp.searchsorted(table, words[:, 0] ^ words[:, 1], side="right")
        return jnp.minimum(2 * place.astype(jnp.int32) + smallest, -smallest).astype(jnp.int16)

    return lax.map(row, jnp.arange(shape[0], dtype=jnp.uint32))


@functools.lru_cache(maxsize=16)
def _hebbian_table(scale: float, patterns: int) -> np.ndarray:
    """h of each c from -P to P: int16 ``[2 P + 1]``."""
    h = 2 * np.floor(scale * np.arange(-patterns, patterns + 1) / (2 * math.sqrt(patterns))) + 1
    return np.clip(h, -_INT16_MAX, _INT16_MAX).astype(np.int16)


@functools.partial(jax.jit, static_argnames="width")
def _agree(key: jax.Array, table: jax.Array, *, width: int) -> jax.Array:
    num_patterns = table.shape[0] // 2
    patterns = jax.random.bits(key, (width, bits.num_words(num_patterns)), jnp.uint32)
    patterns = patterns & bits.pack_minor(jnp.ones((1, num_patterns), bool))
    return table[products.forward(patterns, patterns.T, num_patterns) + num_patterns]

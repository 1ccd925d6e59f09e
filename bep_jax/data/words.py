"""Numbers and bits on the host, where encoders run.

Axis letters: K bits, W = ceil(K / 32) words.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from bep_jax.kernels import bits


def pack_host(a: np.ndarray) -> np.ndarray:
    """:func:`bep_jax.bits.pack` of a bool array ``[..., K]`` in NumPy, without a device or a compilation."""
    octets = np.packbits(a, axis=-1, bitorder="little")
    words = np.zeros((*a.shape[:-1], 4 * bits.num_words(a.shape[-1])), np.uint8)
    words[..., : octets.shape[-1]] = octets
    return words.view("<u4").astype(np.uint32, copy=False)


def on_host(x: npt.ArrayLike, who: str) -> np.ndarray:
    """A NumPy array.

    Raises:
      TypeError: ``x`` is traced; the message begins with ``who``.
    """
    if isinstance(x, jax.core.Tracer):
        raise TypeError(f"{who}: encoders run on the host; encode before jit, vmap or scan.")
    return np.asarray(x)


def as_numbers(x: npt.ArrayLike, who: str) -> np.ndarray:
    """A real NumPy array; bool becomes uint8, floats of 16 bits become float32, which holds them and what lies between.

    Raises:
      TypeError: it is traced, or holds something else; the message begins with ``who``.
    """
    x = on_host(x, who)
    if x.dtype == bool:
        return x.astype(np.uint8)
    if np.issubdtype(x.dtype, np.integer):
        return x
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(np.float32) if x.dtype.itemsize < 4 else x
    raise TypeError(f"{who}: wanted numbers (bool, integer or floating point), got {x.dtype}.")

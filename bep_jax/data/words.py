"""Numbers and bits on the host, where encoders run.

Axis letters: K bits, W = ceil(K / 32) words.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from bep_jax.kernels import bits
from bep_jax.kernels.checks import shown


def pack_host(a: np.ndarray) -> np.ndarray:
    """:func:`bep_jax.bits.pack` of a bool array ``[..., K]`` in NumPy, without a device or a compilation."""
    octets = np.packbits(a, axis=-1, bitorder="little")
    words = np.zeros((*a.shape[:-1], 4 * bits.num_words(a.shape[-1])), np.uint8)
    words[..., : octets.shape[-1]] = octets
    return words.view("<u4").astype(np.uint32, copy=False)


def unpack_host(words: np.ndarray, num_bits: int) -> np.ndarray:
    """Bool ``[..., K]``, the bits of uint32 words ``[..., W]``: `pack_host` undone."""
    octets = np.ascontiguousarray(words, "<u4").view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=num_bits, bitorder="little").astype(bool)


def in_blocks(encode: Callable[[np.ndarray], np.ndarray], x: np.ndarray, num_bits: int, block: int) -> np.ndarray:
    """Words uint32 ``[..., W]`` of features ``[..., F]``, which ``encode`` gets as ``[n, F]``, some rows a time."""
    rows = x.reshape(-1, x.shape[-1])
    words = np.empty((rows.shape[0], bits.num_words(num_bits)), np.uint32)
    for start in range(0, rows.shape[0], block):
        words[start : start + block] = encode(rows[start : start + block])
    return words.reshape(*x.shape[:-1], words.shape[1])


def on_host(x: npt.ArrayLike, who: str) -> np.ndarray:
    """A NumPy array; masked numbers become NaN.

    Raises:
      TypeError: ``x`` is traced, or no array; the message begins with ``who``.
    """
    if isinstance(x, jax.core.Tracer):
        raise TypeError(f"{who}: encoders run on the host; encode before jit, vmap or scan.")
    try:
        return unmasked(x, who) if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
    except ValueError:  # lists of several lengths
        raise ValueError(f"{who}: wanted an array, got {shown(x)}.") from None
    except TypeError:
        raise TypeError(f"{who}: wanted an array, got {shown(x)}.") from None


def unmasked(x: np.ma.MaskedArray, who: str) -> np.ndarray:
    """A masked array with NaN where it is masked; integers are then float64.

    Raises:
      TypeError: values are masked that are no numbers.
    """
    masked = np.ma.getmaskarray(x)
    if not masked.any():
        return x.data
    if x.dtype.kind not in "biuf":
        raise TypeError(f"{who}: wanted numbers, got a masked array of {x.dtype}.")
    filled = x.data.astype(x.dtype if x.dtype.kind == "f" else np.float64)
    filled[masked] = np.nan
    return filled


def as_numbers(x: npt.ArrayLike, who: str) -> np.ndarray:
    """A real NumPy array; bool becomes uint8, floats of 16 bits become float32, which holds them and what lies between.

    Raises:
      TypeError: it is traced, or holds something else; the message begins with ``who``.
    """
    x = on_host(x, who)
    if x.dtype == bool:
        return x.astype(np.uint8)
    if x.dtype.kind in "iu":  # not by issubdtype, to which timedelta64 is an integer, too
        return x
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(np.float32) if x.dtype.itemsize < 4 else x
    raise TypeError(f"{who}: wanted numbers (bool, integer or floating point), got {x.dtype}.")


def training_data(train: npt.ArrayLike, who: str) -> np.ndarray:
    """What an encoder is fitted on: a real NumPy array ``[..., F]`` of at least one row.

    Raises:
      TypeError: it is traced, or holds no real numbers; the message begins with ``who``.
      ValueError: it is empty, or has fewer than two axes.
    """
    train = as_numbers(train, who)
    if train.ndim < 2 or train.size == 0:
        raise ValueError(f"{who}: wanted training data [..., features] with at least one row, got shape {train.shape}.")
    return train


def features(x: npt.ArrayLike, num_features: int, who: str, fitted_on: str) -> np.ndarray:
    """What an encoder is called with: a real NumPy array ``[..., num_features]``.

    Raises:
      TypeError: it is traced, or holds no real numbers; the message begins with ``who``.
      ValueError: its last axis is another.
    """
    x = as_numbers(x, who)
    if x.ndim == 0 or x.shape[-1] != num_features:
        raise ValueError(f"{who}: fitted on {fitted_on}, wanted [..., {num_features}], got shape {x.shape}.")
    return x

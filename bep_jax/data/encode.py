"""Input encoders: numbers to packed ±1 words. Thermometer, median, and a random expansion of bits.

An encoder is fitted on training data, once, and then is a plain function ``encoder(x) -> words`` on the host: NumPy
compares every value in its own precision (JAX would round float64 to float32 first). Its fields are NumPy arrays and
integers, all that a model file or a C program needs.

Axis letters: F features (always the last axis), b bits per feature, K bits in, W = ceil(K / 32) words.

Source: BEP (arXiv 2512.04189), Section 4: distributive thermometer, median, ±1 expansion of recurrent inputs.
"""

import dataclasses
import itertools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from bep_jax.kernels import bits, products
from bep_jax.kernels.checks import check_count

# A block of rows is encoded at a time, so that the unpacked bits of a big data set never exist together.
_BLOCK_BITS = 1 << 24
_BLOCK_ROWS = 4096


class Encoder(Protocol):
    """What every encoder is: a function of NumPy arrays that knows how many bits it returns."""

    @property
    def num_bits(self) -> int:
        """The bits that a call returns."""

    def __call__(self, x: npt.ArrayLike, /) -> np.ndarray:
        """Features ``[..., F]``, or words ``[..., W]``, to uint32 words."""


@dataclasses.dataclass(frozen=True, eq=False)
class Thermometer:
    """Bit i of a feature is ``x > thresholds[feature, i]``; NaN gives bits that are all 0 (-1).

    Bits are feature by feature: the b bits of feature 0, then those of feature 1. Lower thresholds come first.

    Attributes:
      thresholds: ``[F, b]`` of any real dtype, sorted along b. +inf in every place: the feature's bits are always 0.
    """

    thresholds: np.ndarray

    def __post_init__(self) -> None:
        thresholds = _numeric(self.thresholds, "Thermometer")
        if thresholds.ndim != 2 or thresholds.size == 0:
            raise ValueError(f"Thermometer: thresholds must be [features, bits], not empty, got {thresholds.shape}.")
        if np.any(_isnan(thresholds)) or np.any(thresholds[:, 1:] < thresholds[:, :-1]):
            raise ValueError("Thermometer: thresholds must be sorted along the last axis and hold no NaN.")
        object.__setattr__(self, "thresholds", thresholds)

    @property
    def num_features(self) -> int:
        """F, the features that a call expects."""
        return self.thresholds.shape[0]

    @property
    def num_bits(self) -> int:
        """F·b, the bits that a call returns."""
        return self.thresholds.size

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Encodes features.

        Args:
          x: bool, integer or floating point ``[..., F]``; an image is flattened first. It is compared in the wider of
            its own dtype and that of the thresholds.

        Returns:
          uint32 ``[..., W]``, W = ceil(F·b / 32); padding bits are 0.

        Raises:
          TypeError: ``x`` holds no real numbers, or is traced.
          ValueError: the last axis is not F.
        """
        x = _numeric(x, "Thermometer")
        if x.ndim == 0 or x.shape[-1] != self.num_features:
            raise ValueError(
                f"Thermometer: fitted on {self.num_features} features, wanted [..., {self.num_features}], "
                f"got shape {x.shape}."
            )
        rows = x.reshape(-1, self.num_features)
        words = np.empty((rows.shape[0], bits.num_words(self.num_bits)), np.uint32)
        block = max(1, _BLOCK_BITS // self.num_bits)
        for start in range(0, rows.shape[0], block):
            above = rows[start : start + block, :, None] > self.thresholds[None]
            words[start : start + block] = pack_host(above.reshape(above.shape[0], -1))
        return words.reshape(*x.shape[:-1], words.shape[1])


@dataclasses.dataclass(frozen=True, eq=False)
class Expansion:
    """A fixed random layer: a' = sign(R a), R ±1 ``[K', K]``, sign(0) = +1.

    Attributes:
      matrix: R packed along K, uint32 ``[K', W]``; padding bits are 0.
      num_inputs: K, the bits that a call expects.
    """

    matrix: np.ndarray
    num_inputs: int

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix)
        if matrix.dtype != np.uint32:
            raise TypeError(f"Expansion: matrix must be uint32 words, got {matrix.dtype}.")
        if self.num_inputs < 1 or matrix.ndim != 2 or matrix.shape[1] != bits.num_words(self.num_inputs):
            raise ValueError(
                f"Expansion: num_inputs={self.num_inputs} does not fit a matrix of words of shape {matrix.shape}."
            )
        if matrix.shape[0] < 1:
            raise ValueError("Expansion: matrix has no row.")
        bits.check_padding(matrix, self.num_inputs, "Expansion")
        object.__setattr__(self, "matrix", matrix)

    @property
    def num_bits(self) -> int:
        """K', the bits that a call returns."""
        return self.matrix.shape[0]

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Expands bits.

        Args:
          x: uint32 ``[..., W]``, K bits packed; padding bits are 0.

        Returns:
          uint32 ``[..., ceil(K' / 32)]``; padding bits are 0.

        Raises:
          TypeError: ``x`` is not uint32, or is traced.
          ValueError: ``x`` does not have W words, or has bits set in the padding.
        """
        x = _host(x, "Expansion")
        if x.dtype != np.uint32:
            raise TypeError(f"Expansion: wanted uint32 words, got {x.dtype}.")
        if x.ndim == 0 or x.shape[-1] != bits.num_words(self.num_inputs):
            raise ValueError(
                f"Expansion: {self.num_inputs} bits are {bits.num_words(self.num_inputs)} words, got shape {x.shape}."
            )
        bits.check_padding(x, self.num_inputs, "Expansion")
        rows = x.reshape(-1, x.shape[-1])
        if rows.shape[1] <= 2 and rows.shape[0] > 1:
            # A thermometer of one channel takes b + 1 values, rows of digits are mostly blank: expand each value once.
            halves = rows.astype(np.uint64)
            _, first, place = np.unique(
                halves[:, 0] | halves[:, -1] << np.uint64(32), return_index=True, return_inverse=True
            )
            words = self._expand(rows[first])[place]
        else:
            words = self._expand(rows)
        return words.reshape(*x.shape[:-1], words.shape[1])

    def _expand(self, rows: np.ndarray) -> np.ndarray:
        """uint32 ``[n, W]`` to ``[n, W']``, a block at a time."""
        words = np.empty((rows.shape[0], bits.num_words(self.num_bits)), np.uint32)
        for start in range(0, rows.shape[0], _BLOCK_ROWS):
            block = rows[start : start + _BLOCK_ROWS]
            # The last block is filled up to a power of two, so that few shapes are ever compiled.
            room = min(_BLOCK_ROWS, 1 << (block.shape[0] - 1).bit_length())
            padded = np.zeros((room, rows.shape[1]), np.uint32)
            padded[: block.shape[0]] = block
            expanded = _expand(self.matrix, padded, num_inputs=self.num_inputs)
            words[start : start + _BLOCK_ROWS] = np.asarray(expanded)[: block.shape[0]]
        return words


@dataclasses.dataclass(frozen=True, eq=False)
class Composition:
    """Encoders one after the other; made by :func:`compose`.

    Attributes:
      encoders: the first takes what the composition takes, each further one the bits of the one before.
    """

    encoders: tuple[Encoder, ...]

    @property
    def num_bits(self) -> int:
        """The bits that a call returns: those of the last encoder."""
        return self.encoders[-1].num_bits

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Applies the encoders in order."""
        for encoder in self.encoders:
            x = encoder(x)
        return np.asarray(x)


def fit_thermometer(train: npt.ArrayLike, num_bits: int) -> Thermometer:
    """Fits the distributive thermometer: per feature, thresholds that cut the training values into equal parts.

    Threshold i (from 1 to b) is the sorted training values at index ⌊n·i / (b + 1)⌋, n the number of values that are
    not NaN. Axes before the last are pooled: for series ``[n, T, F]`` a feature is a channel, over samples and time.
    A constant feature has equal thresholds and so never a set bit in training data; a feature that is always NaN
    gets thresholds of +inf and never a set bit at all.

    Args:
      train: bool, integer or floating point ``[..., F]``, at least one row.
      num_bits: b, bits per feature, at least 1.

    Returns:
      A :class:`Thermometer` of F·b bits, with thresholds in the dtype of ``train``.

    Raises:
      TypeError: ``train`` holds no real numbers, or is traced; ``num_bits`` is not an integer.
      ValueError: ``train`` is empty, or ``num_bits`` < 1.

    Example:
      >>> encoder = fit_thermometer(np.array([[1.0], [2.0], [3.0], [4.0]]), num_bits=3)
      >>> encoder.thresholds
      array([[2., 3., 4.]])
      >>> bits.unpack(encoder(np.array([2.5])), num_bits=3)
      Array([ 1, -1, -1], dtype=int8)
    """
    num_bits = check_count(num_bits, "num_bits", "fit_thermometer")
    train = _training(train, "fit_thermometer")
    rows = train.reshape(-1, train.shape[-1])
    thresholds = np.empty((rows.shape[1], num_bits), rows.dtype)
    steps = np.arange(1, num_bits + 1, dtype=np.int64)
    block = max(1, _BLOCK_BITS // rows.shape[0])
    for start in range(0, rows.shape[1], block):
        values = np.sort(rows[:, start : start + block].T, axis=1)  # a copy; NaN goes to the end
        count = values.shape[1] - np.sum(_isnan(values), axis=1, dtype=np.int64)
        index = count[:, None] * steps // (num_bits + 1)
        found = np.take_along_axis(values, index, axis=1)
        if not count.all():
            found[count == 0] = np.inf
        thresholds[start : start + block] = found
    return Thermometer(thresholds)


def fit_median(train: npt.ArrayLike) -> Thermometer:
    """Fits the median encoder: one bit per feature, ``x > t`` with one threshold for all features together.

    t is the sorted training values (NaN left out) at index ⌊n / 2⌋; for MNIST and Fashion-MNIST it is 0.

    Args:
      train: bool, integer or floating point ``[..., F]``, at least one row.

    Returns:
      A :class:`Thermometer` of F bits.

    Raises:
      TypeError: ``train`` holds no real numbers, or is traced.
      ValueError: ``train`` is empty.

    Example:
      >>> encoder = fit_median(np.array([[0, 7], [0, 200], [0, 9]], np.uint8))
      >>> bits.unpack(encoder(np.array([[0, 200]], np.uint8)), num_bits=2)
      Array([[-1,  1]], dtype=int8)
    """
    train = _training(train, "fit_median")
    values = train.reshape(-1)
    if (missing := _isnan(values)).any():
        values = values[~missing]
    if values.size == 0:
        median = np.array(np.inf)
    elif values.dtype == np.uint8:
        # Images: counting is much faster than selection. The value at index n // 2 is the first whose count passes it.
        median = np.asarray(np.searchsorted(np.cumsum(np.bincount(values)), values.size // 2, side="right"))
    else:
        median = np.partition(values, values.size // 2)[values.size // 2]
    return Thermometer(np.full((train.shape[-1], 1), median, train.dtype))


def expansion(key: jax.Array, num_bits: int, width: int) -> Expansion:
    """Draws a random ±1 expansion from ``num_bits`` bits to ``width`` bits.

    Args:
      key: one ``jax.random.key``.
      num_bits: K, the bits of the encoder before it, at least 1.
      width: K', the bits it returns, at least 1.

    Returns:
      An :class:`Expansion`; one key gives one matrix.

    Raises:
      ValueError: ``num_bits`` or ``width`` is less than 1.

    Example:
      >>> wide = expansion(jax.random.key(0), num_bits=10, width=1035)
      >>> wide(np.array([[5]], np.uint32)).shape, wide.num_bits
      ((1, 33), 1035)
    """
    if num_bits < 1 or width < 1:
        raise ValueError(f"expansion: num_bits and width must be at least 1, got {num_bits} and {width}.")
    matrix = np.array(jax.random.bits(key, (width, bits.num_words(num_bits)), jnp.uint32))
    if used := num_bits % bits.WORD_BITS:
        matrix[:, -1] &= np.uint32((1 << used) - 1)
    return Expansion(matrix, int(num_bits))


def compose(*encoders: Encoder) -> Encoder:
    """Puts encoders one after the other: ``compose(f, g)(x) = g(f(x))``.

    Args:
      *encoders: any encoder first, then encoders of bits (:class:`Expansion`) that take as many as come before.

    Returns:
      The one encoder given, or a :class:`Composition`.

    Raises:
      ValueError: no encoder, or one that does not take the bits of the one before.

    Example:
      >>> pixels = fit_thermometer(np.arange(8.0).reshape(4, 2), num_bits=5)
      >>> compose(pixels, expansion(jax.random.key(0), pixels.num_bits, 64)).num_bits
      64
    """
    flat: list[Any] = []
    for encoder in encoders:
        flat.extend(encoder.encoders if isinstance(encoder, Composition) else (encoder,))
    if not flat:
        raise ValueError("compose: wanted at least one encoder.")
    for before, after in itertools.pairwise(flat):
        wanted = getattr(after, "num_inputs", None)
        if wanted is None:
            raise ValueError(f"compose: {type(after).__name__} takes features, not bits; it can only come first.")
        if wanted != before.num_bits:
            raise ValueError(
                f"compose: {type(after).__name__} takes {wanted} bits, but {type(before).__name__} before it gives "
                f"{before.num_bits}."
            )
    return flat[0] if len(flat) == 1 else Composition(tuple(flat))


def pack_host(a: np.ndarray) -> np.ndarray:
    """:func:`bep_jax.bits.pack` of a bool array ``[..., K]`` in NumPy, without a device or a compilation."""
    octets = np.packbits(a, axis=-1, bitorder="little")
    words = np.zeros((*a.shape[:-1], 4 * bits.num_words(a.shape[-1])), np.uint8)
    words[..., : octets.shape[-1]] = octets
    return words.view("<u4").astype(np.uint32, copy=False)


@jax.jit(static_argnames="num_inputs")
def _expand(matrix: jax.Array, words: jax.Array, *, num_inputs: int) -> jax.Array:
    """uint32 ``[B, W]`` to ``[B, W']``."""
    stability = products.forward(matrix, words.T, num_inputs=num_inputs)
    return bits.pack_major(stability >= 0).T


def _host(x: npt.ArrayLike, who: str) -> np.ndarray:
    if isinstance(x, jax.core.Tracer):
        raise TypeError(f"{who}: encoders run on the host; encode before jit, vmap or scan.")
    return np.asarray(x)


def _numeric(x: npt.ArrayLike, who: str) -> np.ndarray:
    """A real NumPy array; bool becomes uint8, a floating-point type that NumPy lacks (bfloat16) becomes float32."""
    x = _host(x, who)
    if x.dtype == bool:
        return x.astype(np.uint8)
    if np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating):
        return x
    if jnp.issubdtype(x.dtype, jnp.floating):
        return x.astype(np.float32)
    raise TypeError(f"{who}: wanted numbers (bool, integer or floating point), got {x.dtype}.")


def _training(train: npt.ArrayLike, who: str) -> np.ndarray:
    train = _numeric(train, who)
    if train.ndim < 2 or train.size == 0:
        raise ValueError(f"{who}: wanted training data [..., features] with at least one row, got shape {train.shape}.")
    return train


def _isnan(x: np.ndarray) -> np.ndarray:
    """NaN mask; integers have none (and no mask is made of them)."""
    return np.isnan(x) if np.issubdtype(x.dtype, np.floating) else np.zeros((1,) * x.ndim, bool)

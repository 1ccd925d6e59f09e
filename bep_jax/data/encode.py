"""Input encoders: numbers to packed ±1 words. Thermometer, levels, median, edges, kernels of series, expansion of bits.

An encoder is fitted on training data, once, and then is a plain function ``encoder(x) -> words`` on the host: NumPy
compares values in the precision of the thresholds (JAX would round float64 to float32 first). Its fields are NumPy
arrays and integers, all that a model file or a C program needs.

Axis letters: F features (always the last axis), b bits per feature, K bits in, W = ceil(K / 32) words.

Source: BEP (arXiv 2512.04189), Section 4: distributive thermometer, median, ±1 expansion of recurrent inputs.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from bep_jax.data import edges, rocket
from bep_jax.data.edges import Edges
from bep_jax.data.expansion import Expansion
from bep_jax.data.rocket import Rocket
from bep_jax.data.thermometer import Thermometer, placed
from bep_jax.data.thermometer import fit_exactly as fit_exactly
from bep_jax.data.union import Union
from bep_jax.data.words import pack_host as pack_host
from bep_jax.data.words import training_data
from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_count

__all__ = [
    "Composition",
    "Edges",
    "Encoder",
    "Expansion",
    "Rocket",
    "Thermometer",
    "Union",
    "compose",
    "expansion",
    "fit_edges",
    "fit_levels",
    "fit_median",
    "fit_rocket",
    "fit_thermometer",
    "union",
]

_MOST_BITS = 15  # of a feature, where the data decide
_LEVEL_BITS = 4  # of a pixel beside its edges
_MOST_BYTES = 1 << 31  # of the matrix of an expansion
_INPUT_BITS = 6272  # of all features together, then: 8 bits for each of 784 pixels


class Encoder(Protocol):
    """What every encoder is: a function of NumPy arrays that knows how many bits it returns."""

    @property
    def num_bits(self) -> int:
        """The bits that a call returns."""

    def __call__(self, x: npt.ArrayLike, /) -> np.ndarray:
        """Features ``[..., F]``, or words ``[..., W]``, to uint32 words."""


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


def fit_thermometer(train: npt.ArrayLike, num_bits: int | None = None) -> Thermometer:
    """Fits the distributive thermometer: per feature, thresholds that cut the training values into equal parts.

    Threshold i (from 1 to b) lies halfway between the sorted training value at index ⌊n·i / (b + 1)⌋, n the number of
    values that are not NaN, and the next larger one. Where thresholds would coincide, or nothing is larger, they go
    to where other values are. A feature has a bit for each of its distinct values but one at most: a feature of 0 and
    1 has one, a constant one none (``encoder.constant_features`` names them). Axes before the last are pooled: for
    series ``[n, T, F]`` a feature is a channel, over samples and time.

    Args:
      train: bool, integer or floating point ``[..., F]``, at least one row.
      num_bits: b, bits per feature at most, at least 1. None: 15, or fewer where F is large, so that all features
        together have about 6,000; 8 for 784 features.

    Returns:
      A :class:`Thermometer` of F·b bits or fewer, with thresholds in the dtype of ``train``.

    Raises:
      TypeError: ``train`` holds no real numbers, or is traced; ``num_bits`` is not an integer.
      ValueError: ``train`` is empty or no feature of it varies, or ``num_bits`` < 1.

    Example:
      >>> encoder = fit_thermometer(np.array([[1.0, 0], [2.0, 1], [3.0, 1], [4.0, 1]]), num_bits=2)
      >>> encoder.thresholds, encoder.counts
      (array([[2.5, 3.5],
             [0.5, 0.5]]), array([2, 1], dtype=int32))
      >>> bits.unpack(encoder(np.array([2.9, 1.0])), num_bits=3)
      Array([ 1, -1,  1], dtype=int8)
    """
    train = training_data(train, "fit_thermometer")
    num_bits = _num_bits(num_bits, train.shape[-1], "fit_thermometer")
    columns = train.reshape(-1, train.shape[-1]).T
    found = [placed(column, num_bits) for column in columns]
    counts = np.array([len(one) for one in found], np.int32)
    if not counts.any():
        raise ValueError(f"fit_thermometer: none of the {len(found)} features varies in the training data.")
    thresholds = np.zeros((len(found), counts.max()), train.dtype)
    for row, one in zip(thresholds, found, strict=True):
        row[: len(one)] = one
        row[len(one) :] = one[-1] if len(one) else 0
    return Thermometer(thresholds, counts)


def fit_levels(train: npt.ArrayLike, num_bits: int | None = None) -> Thermometer:
    """Fits levels: a thermometer with the same thresholds for all features, of their values together.

    What images want: a grey level means the same at every pixel, and every pixel has as many bits.

    Args:
      train: bool, integer or floating point ``[..., F]``, at least one row.
      num_bits: b, bits per feature at most, at least 1; None as for :func:`fit_thermometer`.

    Returns:
      A :class:`Thermometer` of F·b bits, b less than the number of distinct values, with thresholds in the dtype of
      ``train``.

    Raises:
      TypeError: ``train`` holds no real numbers, or is traced; ``num_bits`` is not an integer.
      ValueError: ``train`` is empty or all of one value, or ``num_bits`` < 1.

    Example:
      >>> fit_levels(np.array([[0, 0], [0, 90], [200, 255]], np.uint8), num_bits=2).thresholds
      array([[ 45, 227],
             [ 45, 227]], dtype=uint8)
    """
    return _levels(train, num_bits, "fit_levels")


def fit_median(train: npt.ArrayLike) -> Thermometer:
    """Fits the median encoder: one bit per feature, ``x > t`` with one threshold for all features together.

    t lies halfway between the sorted training values (NaN left out) at index ⌊n / 2⌋ and the next larger one, or below
    where there is none; for MNIST and Fashion-MNIST it is 0.

    Args:
      train: bool, integer or floating point ``[..., F]``, at least one row.

    Returns:
      A :class:`Thermometer` of F bits.

    Raises:
      TypeError: ``train`` holds no real numbers, or is traced.
      ValueError: ``train`` is empty or all of one value.

    Example:
      >>> encoder = fit_median(np.array([[0, 7], [0, 200], [0, 9]], np.uint8))
      >>> bits.unpack(encoder(np.array([[0, 200]], np.uint8)), num_bits=2)
      Array([[-1,  1]], dtype=int8)
    """
    return _levels(train, 1, "fit_median")


def fit_edges(train: npt.ArrayLike, image_shape: Sequence[int], num_bits: int | None = None) -> Edges:
    """Fits levels of every pixel, and along every axis the difference of the two pixels on either side of it.

    A difference has four bits: whether it is at least so large or not, at two sizes that cut those of the training data
    into thirds, either way. Dense networks and convolutions learn more of images from them than from any number of
    levels.

    Args:
      train: bool, integer or floating point ``[..., P F]``: images of P pixels or series of P steps, F values each.
      image_shape: (rows, columns), or (T,); their product is P.
      num_bits: b, thermometer bits of a value at most, at least 1, less where fewer values are distinct. None: 4.

    Returns:
      An :class:`Edges`, whose bits of a pixel lie side by side: ``pixel_bits`` are the ``channels`` of `bep_jax.conv`.

    Raises:
      TypeError: ``train`` holds no real numbers, or is traced; ``num_bits`` is not an integer.
      ValueError: ``train`` is empty or all of one value, or does not fit ``image_shape``; ``num_bits`` < 1.

    Example:
      >>> images = np.random.default_rng(0).integers(0, 256, (20, 64), np.uint8)
      >>> encoder = fit_edges(images, (8, 8))
      >>> encoder.pixel_bits, encoder(images).shape
      (12, (20, 24))

    Source: measured; see `bep_jax.data.edges`.
    """
    train = training_data(train, "fit_edges")
    shape = edges.checked_shape(image_shape, "fit_edges")
    num_bits = _LEVEL_BITS if num_bits is None else check_count(num_bits, "num_bits", "fit_edges")
    if train.shape[-1] % math.prod(shape):
        raise ValueError(f"fit_edges: image_shape={shape} does not fit samples of {train.shape[-1]} features.")
    values = train.reshape(-1, train.shape[-1] // math.prod(shape))
    most = max(len(placed(column, num_bits)) for column in values.T)
    if not most:
        raise ValueError("fit_edges: all values of the training data are the same, or missing.")
    return edges.fit(train.reshape(-1, *shape, values.shape[1]), most)


def fit_rocket(train: npt.ArrayLike, num_bits: int | None = None, most_bits: int | None = None) -> Rocket:
    """Fits how often each of many small kernels responds in a series, wherever it does, as in MiniRocket.

    Nine steps under three taps of weight 2 and six of -1, in all 84 ways, and the sums of the three taps alone, at up
    to eight dilations from 1 to where all taps still fit into a series, for every channel; of more than 48 such groups
    48 spread over all. Thresholds on responses are quantiles of those in training; about 1,000 counts (more with many
    channels) become about 4,000 bits. A class that lies in what happens, and not in when, is told by them, in series of
    unequal length, too.

    Args:
      train: integer or floating point ``[n, T, F]``; shorter series have NaN in front.
      num_bits: thermometer bits of a count, at least 1. None: 4, or fewer where there are many counts.
      most_bits: of all counts together, from 84 on, where ``num_bits`` is None. None: 4,032.

    Returns:
      A :class:`Rocket` of series flattened to ``[..., T F]``.

    Raises:
      TypeError: ``train`` holds no real numbers; ``num_bits`` is not an integer.
      ValueError: ``train`` is not ``[n, T, F]``, or empty; ``num_bits`` < 1 or ``most_bits`` < 84.

    Example:
      >>> series = np.random.default_rng(0).normal(size=(20, 30, 1))
      >>> encoder = fit_rocket(series)
      >>> encoder.num_bits, encoder(series.reshape(20, -1)).shape
      (4032, (20, 126))

    Source: arXiv 2012.08791; in integers, see `bep_jax.data.rocket`.
    """
    return rocket.fit(training_data(train, "fit_rocket"), num_bits, most_bits)


def expansion(key: jax.Array, num_bits: int, width: int) -> Expansion:
    """Draws a random ±1 expansion from ``num_bits`` bits to ``width`` bits.

    Args:
      key: one ``jax.random.key``.
      num_bits: K, the bits of the encoder before it, at least 1.
      width: K', the bits it returns, at least 1.

    Returns:
      An :class:`Expansion`; one key gives one matrix.

    Raises:
      TypeError: ``key`` is no key, ``num_bits`` or ``width`` no integer.
      ValueError: ``num_bits`` or ``width`` is less than 1, or the matrix would take more than 2 GiB.

    Example:
      >>> wide = expansion(jax.random.key(0), num_bits=10, width=1035)
      >>> wide(np.array([[5]], np.uint32)).shape, wide.num_bits
      ((1, 33), 1035)
    """
    num_bits, width = check_count(num_bits, "num_bits", "expansion"), check_count(width, "width", "expansion")
    if 4 * width * bits.num_words(num_bits) > _MOST_BYTES:
        raise ValueError(
            f"expansion: {num_bits:,} bits to {width:,} take a matrix of more than {_MOST_BYTES >> 30} GiB."
        )
    if not isinstance(key, jax.Array) or key.shape != () or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError(f"expansion: key must be one jax.random.key, got {key!r}.")
    matrix = np.array(jax.random.bits(key, (width, bits.num_words(num_bits)), jnp.uint32))
    if used := num_bits % bits.WORD_BITS:
        matrix[:, -1] &= np.uint32((1 << used) - 1)
    return Expansion(matrix, num_bits)


def compose(*encoders: Encoder) -> Encoder:
    """Puts encoders one after the other: ``compose(f, g)(x) = g(f(x))``.

    Args:
      *encoders: any encoder first, then encoders of bits (:class:`Expansion`) that take as many as come before.

    Returns:
      The one encoder given, or a :class:`Composition`.

    Raises:
      TypeError: something that is no encoder.
      ValueError: no encoder, or one that does not take the bits of the one before.

    Example:
      >>> pixels = fit_thermometer(np.arange(8.0).reshape(4, 2), num_bits=5)
      >>> compose(pixels, expansion(jax.random.key(0), pixels.num_bits, 64)).num_bits
      64
    """
    flat: list[Any] = []
    for encoder in encoders:
        if not callable(encoder) or not hasattr(encoder, "num_bits"):
            raise TypeError(f"compose: wanted encoders, got {type(encoder).__name__}.")
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


def union(*encoders: Any) -> Union:
    """Puts encoders of the same features side by side: the bits of the first, then those of the second, and so on.

    A convolution reads the bits of every pixel or step, which come first; what follows goes past it to the dense layers
    (``extra`` of `bep_jax.conv`).

    Args:
      *encoders: two or more :class:`Thermometer`, :class:`Edges` or :class:`Rocket`, fitted on the same features.

    Returns:
      A :class:`Union`.

    Raises:
      TypeError: something else.
      ValueError: fewer than two, or they take different features.

    Example:
      >>> series = np.random.default_rng(0).normal(size=(20, 30, 1))
      >>> flat = series.reshape(20, -1)
      >>> encoder = union(fit_edges(flat, (30,)), fit_rocket(series, most_bits=1000))
      >>> [one.num_bits for one in encoder.encoders], encoder(flat).shape
      ([240, 504], (20, 24))
    """
    return Union(encoders)


def first_encoder(encoder: Encoder | tuple[Encoder, ...] | None) -> Encoder | None:
    """The one that meets the samples, of the first seed."""
    encoder = encoder[0] if isinstance(encoder, tuple) else encoder
    while isinstance(encoder, Composition):
        encoder = encoder.encoders[0]
    return encoder


def with_counts(steps: Thermometer | Edges, train: np.ndarray) -> Union:
    """An encoder of every step of series ``[n, T, F]``, and behind it counts of kernels, fewer for few steps.

    Example:
      >>> series = np.random.default_rng(0).normal(size=(20, 30, 1))
      >>> [one.num_bits for one in with_counts(fit_edges(series.reshape(20, -1), (30,)), series).encoders]
      [240, 1008]
    """
    return union(steps, fit_rocket(train, most_bits=rocket.bits_beside(train.shape[1])))


def extra_bits(encoder: Encoder | tuple[Encoder, ...] | None) -> int:
    """Bits behind those of the image or series, as of `bep_jax.conv`: of a union, those of all but its first encoder.

    Example:
      >>> series = np.arange(24.0).reshape(2, 12, 1)
      >>> extra_bits(union(fit_levels(series.reshape(2, 12)), fit_rocket(series, most_bits=100)))
      84
    """
    first = first_encoder(encoder)
    return sum(one.num_bits for one in first.encoders[1:]) if isinstance(first, Union) else 0


def _levels(train: npt.ArrayLike, num_bits: int | None, who: str) -> Thermometer:
    train = training_data(train, who)
    thresholds = placed(train.reshape(-1), _num_bits(num_bits, train.shape[-1], who))
    if not thresholds.size:
        raise ValueError(f"{who}: all values of the training data are the same, or missing.")
    return Thermometer(np.tile(thresholds, (train.shape[-1], 1)))


def _num_bits(num_bits: int | None, num_features: int, who: str) -> int:
    if num_bits is None:
        return max(1, min(_MOST_BITS, _INPUT_BITS // num_features))
    return check_count(num_bits, "num_bits", who)

"""The thermometer: every bit says whether a feature lies above a threshold, and where thresholds go.

Axis letters: F features (the last axis), b bits of a feature at most, n values, W = ceil(bits / 32) words.

Source: BEP (arXiv 2512.04189), Section 4: distributive thermometer.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from bep_jax.data.words import as_numbers, features, in_blocks, on_host, pack_host, training_data

_BLOCK_BITS = 1 << 24  # encoded at a time, so that the bits of a big data set never exist unpacked together


@dataclasses.dataclass(frozen=True, eq=False)
class Thermometer:
    """Bit i of a feature is ``x > thresholds[feature, i]``; NaN gives bits that are all 0 (-1).

    Bits are feature by feature: those of feature 0, then those of feature 1. Lower thresholds come first.

    Attributes:
      thresholds: ``[F, b]`` of any real dtype, sorted along b. Floats of 16 bits are kept as float32.
      counts: int ``[F]``, from 0 to b: how many of its thresholds are bits of a feature, from the lowest. None: all of
        them. 0 is a feature that does not vary in training data.
    """

    thresholds: np.ndarray
    counts: np.ndarray | None = None

    def __post_init__(self) -> None:
        thresholds = as_numbers(self.thresholds, "Thermometer")
        if thresholds.ndim != 2 or thresholds.size == 0:
            raise ValueError(f"Thermometer: thresholds must be [features, bits], not empty, got {thresholds.shape}.")
        if np.any(isnan(thresholds)) or np.any(thresholds[:, 1:] < thresholds[:, :-1]):
            raise ValueError("Thermometer: thresholds must be sorted along the last axis and hold no NaN.")
        object.__setattr__(self, "thresholds", thresholds)
        if self.counts is None:
            return
        counts = on_host(self.counts, "Thermometer")
        if counts.dtype.kind not in "iu":
            raise TypeError(f"Thermometer: counts must be integers, got {counts.dtype}.")
        most = thresholds.shape[1]
        if counts.shape != thresholds.shape[:1] or counts.min() < 0 or counts.max() > most or not counts.any():
            raise ValueError(
                f"Thermometer: counts must be {thresholds.shape[0]} numbers from 0 to {most}, not all 0, got "
                f"{counts.tolist() if counts.size <= 12 else counts.shape}."
            )
        object.__setattr__(self, "counts", None if (counts == most).all() else counts.astype(np.int32))

    @property
    def num_features(self) -> int:
        """F, the features that a call expects."""
        return self.thresholds.shape[0]

    @property
    def num_bits(self) -> int:
        """The bits that a call returns, of all features together."""
        return self.thresholds.size if self.counts is None else int(self.counts.sum())

    @property
    def constant_features(self) -> tuple[int, ...]:
        """Features that have no bit, as they have one value in the training data."""
        return () if self.counts is None else tuple(np.flatnonzero(self.counts == 0).tolist())

    @property
    def used(self) -> np.ndarray:
        """bool ``[F, b]``: which thresholds are bits."""
        if self.counts is None:
            return np.ones(self.thresholds.shape, bool)
        return np.arange(self.thresholds.shape[1]) < self.counts[:, None]

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Encodes features.

        Args:
          x: bool, integer or floating point ``[..., F]``; an image is flattened first. Where thresholds are floats,
            ``x`` is rounded to their dtype, so that a number means the same from whatever file it comes.

        Returns:
          uint32 ``[..., W]``; padding bits are 0.

        Raises:
          TypeError: ``x`` holds no real numbers, or is traced.
          ValueError: the last axis is not F.
        """
        x = features(x, self.num_features, "Thermometer", f"{self.num_features} features")
        used = None if self.counts is None else self.used.reshape(-1)

        def encode(values: np.ndarray) -> np.ndarray:
            values = rounded(values, self.thresholds.dtype)
            above = (values[:, :, None] > self.thresholds).reshape(values.shape[0], -1)
            return pack_host(above if used is None else above[:, used])

        return in_blocks(encode, x, self.num_bits, block=max(1, _BLOCK_BITS // self.thresholds.size))

    def levels(self, x: np.ndarray) -> np.ndarray:
        """How many thresholds of its feature each value ``[..., F]`` is above; of NaN nothing is said."""
        x = rounded(x, self.thresholds.dtype)
        found = [np.searchsorted(np.sort(t), x[..., f]) for f, t in enumerate(self.thresholds)]
        return np.stack(found, axis=-1)

    def filled(self, num_bits: int) -> "Thermometer":
        """The same bits, and after them bits that are always 0, ``num_bits`` together."""
        more = num_bits - self.num_bits
        counts = self.used.sum(axis=1)
        room = max(0, int(counts[-1]) + more - self.thresholds.shape[1])
        thresholds = np.pad(self.thresholds, ((0, 0), (0, room)), mode="edge")
        floating = np.issubdtype(thresholds.dtype, np.floating)
        thresholds[-1, counts[-1] :] = np.inf if floating else np.iinfo(thresholds.dtype).max
        counts[-1] += more
        return Thermometer(thresholds, counts)


def rounded(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Values as thresholds that are floats have them."""
    if not np.issubdtype(dtype, np.floating):
        return x
    with np.errstate(over="ignore"):  # to infinity, which is above as well
        return x.astype(dtype, copy=False)


def fit_exactly(train: npt.ArrayLike, counts: np.ndarray) -> Thermometer:
    """:func:`bep_jax.encode.fit_thermometer` with so many bits for each feature, whatever the values in these data.

    A feature with fewer distinct values has its thresholds more than once, and a constant one never a set bit.

    Args:
      train: as for :func:`bep_jax.encode.fit_thermometer`.
      counts: int ``[F]``, each at least 1.

    Example:
      >>> fit_exactly(np.array([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0]]), np.array([4, 1])).thresholds[0]
      array([0.5, 0.5, 1.5, 1.5])
    """
    train = training_data(train, "fit_exactly")
    never = np.inf if np.issubdtype(train.dtype, np.floating) else np.iinfo(train.dtype).max
    thresholds = np.full((len(counts), counts.max()), never, train.dtype)
    for row, column, count in zip(thresholds, train.reshape(-1, train.shape[-1]).T, counts, strict=True):
        if len(found := placed(column, int(count))):
            row[:count] = found[(2 * np.arange(count) + 1) * len(found) // (2 * count)]
    return Thermometer(thresholds, counts)


def placed(values: np.ndarray, num_bits: int) -> np.ndarray:
    """The thresholds of a feature, sorted and distinct; none where it does not vary."""
    if (missing := isnan(values)).any():
        values = values[~missing]
    distinct, below = distributed(values, num_bits)
    return midpoints(distinct[below], distinct[below + 1])


def distributed(values: np.ndarray, num_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts values into parts of as many samples as can be: between which neighbouring distinct values thresholds go.

    Threshold i (from 1 to b) goes above the sorted value at index ⌊n·i / (b + 1)⌋. Those that coincide, or would lie
    above all values, are placed by the same law among the values that have none above them yet, and so on: b
    thresholds, or one above every distinct value but the largest where there are fewer.

    Args:
      values: n values of a feature without NaN, in any order.
      num_bits: b.

    Returns:
      The distinct values, sorted, and the indices of those that have a threshold above them, sorted.
    """
    distinct, counts = np.unique(values, return_counts=True)
    taken = np.zeros(max(0, distinct.size - 1), bool)  # the largest can have none above it
    num_bits = min(num_bits, taken.size)
    if num_bits == taken.size:
        taken[:] = True
    candidates = np.arange(distinct.size)
    while (wanted := num_bits - int(taken.sum())) > 0:
        ends = np.cumsum(counts[candidates])
        index = ends[-1] * np.arange(1, wanted + 1) // (wanted + 1)
        places = candidates[np.searchsorted(ends, index, side="right")]
        taken[places[places < taken.size]] = True
        candidates = np.flatnonzero(~taken)
    return distinct, np.flatnonzero(taken)


def midpoints(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Halfway between, in the dtype of both; at least ``low`` and below ``high`` however close they are.

    Example:
      >>> midpoints(np.array([1, 0], np.uint8), np.array([2, 255], np.uint8))
      array([  1, 127], dtype=uint8)
    """
    if np.issubdtype(low.dtype, np.integer):
        return (low >> 1) + (high >> 1) + (low & high & 1)
    most = np.finfo(low.dtype).max
    low_end, high_end = np.clip(low, -most, most), np.clip(high, -most, most)
    half = low_end / 2 + high_end / 2  # a sum might overflow
    return np.where((half >= low) & (half < high), half, low_end).astype(low.dtype)


def isnan(x: np.ndarray) -> np.ndarray:
    """NaN mask; integers have none (and no mask is made of them)."""
    return np.isnan(x) if np.issubdtype(x.dtype, np.floating) else np.zeros((1,) * x.ndim, bool)

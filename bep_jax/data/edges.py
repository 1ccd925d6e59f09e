"""Edges: the level of every pixel, and how far what lies on either side of it differs.

A neuron sums all inputs of a patch with weights ±1, so it sees a difference of two pixels only among the noise of all
others; as a bit of its own it is an input like any other.

Axis letters: n samples, P pixels or time steps, F values of each, b bits of a value, q bits of a
difference, W words.

Source: measured (the page "Choosing settings"); signs of differences as in local binary patterns (Ojala et al. 1996).
"""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bep_jax.data.thermometer import Thermometer, fit_exactly, rounded
from bep_jax.data.words import features, in_blocks, pack_host
from bep_jax.kernels.checks import check_count, check_several, check_type

_BLOCK = 1 << 24  # bits that are made at a time
_SOME = 1000  # samples whose differences are looked at


@dataclasses.dataclass(frozen=True, eq=False)
class Edges:
    """Levels of pixels and differences across them; made by `bep_jax.encode.fit_edges`.

    The bits of a pixel lie together: of each of its values ``value > threshold``, then along each axis and of each
    value ``after - before > threshold``, of the two pixels on either side. Beyond the border the outermost go on. A
    value that is NaN, and every difference with it, gives bits that are all 0 (-1).

    Attributes:
      image_shape: (rows, columns) of images, (T,) of series.
      levels: `Thermometer` of the F values of a pixel, as many thresholds for each.
      differences: `Thermometer` of the F differences, the same for all axes, from - to +; its dtype holds any
        difference: int16 where levels have 8 bits, int32 where they have 16, float64 for wider integers.
    """

    image_shape: tuple[int, ...]
    levels: Thermometer
    differences: Thermometer

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_shape", checked_shape(self.image_shape, "Edges"))
        for name in ("levels", "differences"):
            one = getattr(self, name)
            check_type(one, Thermometer, name, "Edges")
            if one.counts is not None:
                raise ValueError(f"Edges: {name} must have as many thresholds for every value.")
        wanted = (self.levels.num_features, _difference_dtype(self.levels.thresholds.dtype))
        got = (self.differences.num_features, self.differences.thresholds.dtype)
        if got != wanted:
            raise ValueError(
                f"Edges: differences must be of {wanted[0]} values in {wanted[1]}, got {got[0]}, {got[1]}."
            )

    @property
    def num_features(self) -> int:
        """P F, the values that a call expects, pixel by pixel."""
        return math.prod(self.image_shape) * self.levels.num_features

    @property
    def pixel_bits(self) -> int:
        """The bits of a pixel: ``channels`` of `bep_jax.conv`."""
        return self.levels.num_bits + len(self.image_shape) * self.differences.num_bits

    @property
    def num_bits(self) -> int:
        """The bits that a call returns."""
        return math.prod(self.image_shape) * self.pixel_bits

    @property
    def mirrored(self) -> tuple[int, ...]:
        """What each bit of a pixel is once an image is mirrored along its last axis: bit j as j, its opposite as ~j."""
        values, each = self.differences.thresholds.shape
        kept = range(self.pixel_bits - values * each)
        # Along the last axis after and before change places: a difference above t becomes one not above -t.
        turned = [~(kept.stop + value * each + t) for value in range(values) for t in reversed(range(each))]
        return (*kept, *turned)

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Encodes images.

        Args:
          x: bool, integer or floating point ``[..., P F]``, pixel by pixel, row by row. Where levels are floats, ``x``
            is rounded to their dtype.

        Returns:
          uint32 ``[..., W]``; padding bits are 0.

        Raises:
          TypeError: ``x`` holds no real numbers, or is traced.
          ValueError: the last axis is not P F.
        """
        fitted_on = f"images {self.image_shape} of {self.levels.num_features} values"
        x = features(x, self.num_features, "Edges", fitted_on)
        return in_blocks(self._encode, x, self.num_bits, block=max(1, _BLOCK // self.num_bits))

    def _encode(self, rows: np.ndarray) -> np.ndarray:
        images = rounded(rows, self.levels.thresholds.dtype).reshape(len(rows), *self.image_shape, -1)
        found = [images[..., None] > self.levels.thresholds]
        wide = images.astype(np.result_type(images, self.differences.thresholds))
        with np.errstate(invalid="ignore"):  # infinity less infinity
            found += [one[..., None] > self.differences.thresholds for one in differences(wide)]
        pixels = np.concatenate([bits.reshape(*images.shape[:-1], -1) for bits in found], axis=-1)
        return pack_host(pixels.reshape(len(rows), -1))


def checked_shape(image_shape: Any, who: str) -> tuple[int, ...]:
    """The pixels along each of one or more axes."""
    given = check_several(image_shape, "image_shape", who)
    if not given:
        raise ValueError(f"{who}: image_shape has no axes.")
    return tuple(check_count(n, "every entry of image_shape", who) for n in given)


def differences(images: np.ndarray) -> list[np.ndarray]:
    """Of images ``[n, *image_shape, F]``, along each axis: what lies after every pixel less what lies before it.

    Example:
      >>> [one.tolist() for one in differences(np.array([[[1], [5], [7]]]))]
      [[[[4], [6], [2]]]]
    """
    found = []
    for axis, size in enumerate(images.shape[1:-1], start=1):
        places = np.arange(size)
        after, before = np.minimum(places + 1, size - 1), np.maximum(places - 1, 0)
        found.append(images.take(after, axis) - images.take(before, axis))
    return found


def fit(images: np.ndarray, num_bits: int) -> Edges:
    """Levels and edges with so many bits for each value, whatever the values in these data.

    Args:
      images: real numbers ``[n, *image_shape, F]``; NaN is a missing value.
      num_bits: b of each of the F values of a pixel.

    Example:
      >>> fit(np.arange(24.0).reshape(2, 3, 4, 1), 2).pixel_bits
      10
    """
    values = images.reshape(-1, images.shape[-1])
    levels = fit_exactly(values, np.full(values.shape[1], num_bits))
    return Edges(images.shape[1:-1], levels, fit_thresholds(images))


def fit_thresholds(images: np.ndarray) -> Thermometer:
    """Four thresholds of the differences of each value, which cut the sizes of those that are not 0 into three parts.

    Args:
      images: real numbers ``[n, *image_shape, F]``; of many, some are enough.

    Returns:
      -u, -s, and just below s and u, so that a bit tells whether a difference is at least s or u, either way.

    Example:
      >>> fit_thresholds(np.array([[[0], [3], [4], [100]]], np.uint8)).thresholds
      array([[-96,  -4,   3,  95]], dtype=int16)
    """
    dtype = _difference_dtype(images.dtype)
    some = images[np.unique(np.arange(_SOME) * len(images) // _SOME)].astype(dtype)
    with np.errstate(invalid="ignore"):
        sizes = np.abs(np.concatenate([one.reshape(-1, one.shape[-1]) for one in differences(some)]))
    found = []
    for column in sizes.T:
        ordered = np.sort(column[(column > 0) & np.isfinite(column)])
        ordered = ordered if ordered.size else np.ones(1, dtype)  # nothing differs
        cuts = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]
        below = [np.nextafter(s, dtype.type(0)) if dtype.kind == "f" else s - 1 for s in cuts]
        found.append([-cuts[1], -cuts[0], *below])
    return Thermometer(np.array(found, dtype))


def _difference_dtype(dtype: np.dtype) -> np.dtype:
    if dtype.kind == "f":
        return dtype
    return np.dtype({1: np.int16, 2: np.int32}.get(dtype.itemsize, np.float64))

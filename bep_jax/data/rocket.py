"""Rocket: how often each of many small kernels responds in a series, wherever it does.

What is told by where nothing stands in time: events, bursts, frequencies. Values become up to 128 levels, kernels are
MiniRocket's 84 (nine taps, three of weight 2, the others -1) at several dilations, each also as the sum of its three
taps alone, and a count of steps above a threshold becomes thermometer bits: integers from the levels on.

The weights of a kernel add up to 0, so that it cannot tell how high a series lies; the sum of three taps can.

Axis letters: n series, T time, F channels, G groups (a dilation of a channel, as kernels or as sums), P = 84 patterns,
q thresholds of each.

Source: MiniRocket (arXiv 2012.08791); levels, sums of taps, padding at the ends and bits of counts are our own.
"""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import lax

from bep_jax.data.thermometer import Thermometer, fit_exactly, isnan
from bep_jax.data.words import features, in_blocks
from bep_jax.kernels.checks import check_count, check_type

TAPS, MOST_LEVELS = 9, 127  # taps of a kernel, thresholds between levels
PATTERNS = np.array(list(itertools.combinations(range(TAPS), 3)), np.int32)  # [84, 3], the taps of weight 2
_BESIDE, _MOST_BESIDE = 48, 2016  # of `bits_beside`: of a step, at most
_GROUPS, _MOST_BITS = 48, 4  # groups of kernels with a bit a count at most, bits of a count at most
_DILATIONS = 8  # at most
_FITTED_ON = 300  # whose responses biases are quantiles of
_BLOCK_VALUES = 1 << 22  # of series, whose counts are made at a time
_GOLDEN = 2654435769  # 2**32 over the golden ratio: its multiples lie evenly in 2**32
_BLOCK = 1 << 17  # values of a channel that are worked on at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Rocket:
    """Counts of kernels' responses as thermometer bits; made by `bep_jax.encode.fit_rocket`.

    Steps before the first value of a series are no part of it; a value that is missing later is the one before it.
    Beyond the ends of a series its first and its last value go on.

    Attributes:
      levels: `Thermometer` of 1 to 127 thresholds a channel; a value's level is how many of them it is above.
      groups: int32 ``[G, 3]``, dilation and channel of each group of 84 kernels, and 1 for sums of their three taps.
      biases: int16 ``[G, 84, q]``; a response counts where it is above.
      counted: `Thermometer` of the ``G 84 q`` counts.
      num_steps: T.
    """

    levels: Thermometer
    groups: np.ndarray
    biases: np.ndarray
    counted: Thermometer
    num_steps: int

    def __post_init__(self) -> None:
        for name in ("levels", "counted"):
            check_type(getattr(self, name), Thermometer, name, "Rocket")
        check_count(self.num_steps, "num_steps", "Rocket")
        groups, biases = np.asarray(self.groups), np.asarray(self.biases)
        if groups.dtype != np.int32 or groups.ndim != 2 or groups.shape[1] != 3:
            raise ValueError(f"Rocket: groups must be int32 [G, 3], got {groups.dtype} {groups.shape}.")
        if biases.dtype != np.int16 or biases.ndim != 3 or biases.shape[:2] != (len(groups), len(PATTERNS)):
            raise ValueError(f"Rocket: biases must be int16 [{len(groups)}, 84, q], got {biases.dtype} {biases.shape}.")
        channels = self.levels.num_features
        if groups.min() < 0 or groups[:, 0].min() < 1 or groups[:, 1].max() >= channels or groups[:, 2].max() > 1:
            raise ValueError(f"Rocket: groups must be dilations from 1, channels below {channels}, and 0 or 1.")
        if self.levels.counts is not None or not 1 <= self.levels.thresholds.shape[1] <= MOST_LEVELS:
            raise ValueError(f"Rocket: levels must have 1 to {MOST_LEVELS} thresholds, as many for each channel.")
        if self.counted.num_features != biases.size or self.counted.counts is not None:
            raise ValueError(f"Rocket: counted must have as many bits for each of {biases.size} counts.")
        object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "biases", biases)

    @property
    def num_features(self) -> int:
        """T F, the values that a call expects, step by step."""
        return self.num_steps * self.levels.num_features

    @property
    def num_bits(self) -> int:
        """The bits that a call returns."""
        return self.counted.num_bits

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Encodes series.

        Args:
          x: bool, integer or floating point ``[..., T F]``, step by step; shorter series have NaN in front.

        Returns:
          uint32 ``[..., W]``; padding bits are 0.

        Raises:
          TypeError: ``x`` holds no real numbers, or is traced.
          ValueError: the last axis is not T F.
        """
        fitted_on = f"{self.num_steps} steps of {self.levels.num_features} channels"
        x = features(x, self.num_features, "Rocket", fitted_on)
        return in_blocks(self._encode, x, self.num_bits, block=max(1, _BLOCK // self.num_steps))

    def _encode(self, rows: np.ndarray) -> np.ndarray:
        levels, first = levels_of(self.levels, rows, self.num_steps)
        return self.counted(counts(levels, first, self.groups, self.biases))


def fit(train: np.ndarray, num_bits: int | None, most_bits: int | None) -> Rocket:
    """See `bep_jax.encode.fit_rocket`."""
    if train.ndim != 3:
        raise ValueError(f"fit_rocket: wanted series [n, T, F], got shape {train.shape}.")
    _, steps, channels = train.shape
    widest, last = max(1, (steps - 1) // (TAPS - 1)), _DILATIONS - 1
    # So little more that a power that is a whole number is one on every machine.
    dilations = sorted({math.floor(widest ** (i / last) + 1e-9) for i in range(_DILATIONS)})
    possible = list(itertools.product(dilations, range(channels), range(2)))
    room = _GROUPS
    if most_bits is not None:
        room = check_count(most_bits, "most_bits", "fit_rocket", least=len(PATTERNS)) // len(PATTERNS)
    number = min(len(possible), room)
    groups = np.array([possible[i * len(possible) // number] for i in range(number)], np.int32)
    each = max(1, room // _MOST_BITS // number)
    usual = max(1, min(_MOST_BITS, room // (number * each)))
    num_bits = usual if num_bits is None else check_count(num_bits, "num_bits", "fit_rocket")
    levels = Thermometer(np.stack([_even(train[..., c]) for c in range(channels)]))
    flat = train.reshape(len(train), -1)
    some = flat[np.unique(np.arange(_FITTED_ON) * len(flat) // _FITTED_ON)]
    found, first = levels_of(levels, some, steps)
    inside = np.arange(steps) >= first[:, None]
    biases = np.empty((number, len(PATTERNS), each), np.int16)
    for g, (dilation, channel, sums) in enumerate(groups):
        for p, response in enumerate(responses(found[..., channel], first, dilation, sums)):
            ordered = np.sort(response[inside])
            which = ((g * len(PATTERNS) + p) * each + 1 + np.arange(each, dtype=np.uint64)) * _GOLDEN % 2**32
            biases[g, p] = ordered[(which * len(ordered)) >> np.uint64(32)]
    of_parts = [
        counts(*levels_of(levels, part, steps), groups, biases)
        for part in np.array_split(flat, -(-flat.size // _BLOCK_VALUES))
    ]
    counted = fit_exactly(np.concatenate(of_parts), np.full(biases.size, num_bits))
    return Rocket(levels, groups, biases, counted, steps)


def _even(values: np.ndarray) -> np.ndarray:
    """127 thresholds at equal distances over the values of a channel, but for two in a thousand at either end."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    ordered = np.sort(values, axis=None)
    if not ordered.size:
        return np.zeros(MOST_LEVELS, values.dtype)
    low, high = ordered[2 * ordered.size // 1000], ordered[-1 - 2 * ordered.size // 1000]
    odd, parts = range(1, 2 * MOST_LEVELS, 2), 2 * MOST_LEVELS
    if values.dtype.kind == "f":
        return np.array([low * ((parts - i) / parts) + high * (i / parts) for i in odd], values.dtype)
    return np.array([(int(low) * (parts - i) + int(high) * i) // parts for i in odd], values.dtype)


def bits_beside(num_steps: int) -> int:
    """Bits of counts beside those of every step: no more than a convolution of so many steps usually has outputs.

    Example:
      >>> [bits_beside(steps) for steps in (1, 15, 500)]
      [84, 720, 2016]
    """
    return max(len(PATTERNS), min(_MOST_BESIDE, _BESIDE * num_steps))


def levels_of(thermometer: Thermometer, rows: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Series ``[n, T F]`` as levels int8 ``[n, T, F]``, and the first step of each, int32 ``[n]``."""
    series = rows.reshape(len(rows), num_steps, -1)
    missing = np.broadcast_to(isnan(series), series.shape)
    levels = np.where(missing, 0, thermometer.levels(series)).astype(np.int8)
    first = np.where(missing.all(axis=(1, 2)), 0, (~missing.all(axis=2)).argmax(axis=1)).astype(np.int32)
    if missing.any():
        steps = np.arange(num_steps, dtype=np.int32)[:, None]
        before = np.maximum.accumulate(np.where(missing, -1, steps), axis=1)
        after = np.minimum.accumulate(np.where(missing, num_steps - 1, steps)[:, ::-1], axis=1)[:, ::-1]
        levels = np.take_along_axis(levels, np.where(before < 0, after, before), axis=1)
    return levels, first


def counts(levels: np.ndarray, first: np.ndarray, groups: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """How many steps of each series respond above each bias: int32 ``[n, G 84 q]``."""
    size = len(levels)
    # Filled up to a power of two, so that few shapes are ever compiled.
    room = (1 << (size - 1).bit_length()) - size
    levels, first = np.pad(levels, ((0, room), (0, 0), (0, 0))), np.pad(first, (0, room))
    found = [_count(levels[:, :, c], first, d, s, bias) for (d, c, s), bias in zip(groups, biases, strict=True)]
    return np.stack(found, axis=1)[:size].reshape(size, -1)


def responses(levels: np.ndarray, first: np.ndarray, dilation: int, sums: int) -> np.ndarray:
    """What every kernel of a group says of levels int8 ``[n, T]`` of its channel: int16 ``[84, n, T]``."""
    return np.asarray(_responses(levels, first, np.int32(dilation), np.int32(sums)))


@jax.jit
def _responses(levels: jax.Array, first: jax.Array, dilation: jax.Array, sums: jax.Array) -> jax.Array:
    taps, total = _taps(levels, first, dilation, sums)
    return lax.map(lambda pattern: _response(taps, total, sums, pattern), PATTERNS)


@jax.jit
def _count(levels: jax.Array, first: jax.Array, dilation: jax.Array, sums: jax.Array, biases: jax.Array) -> jax.Array:
    """int32 ``[n, 84, q]``."""
    taps, total = _taps(levels, first, dilation, sums)
    inside = jnp.arange(levels.shape[1], dtype=jnp.int32)[None] >= first[:, None]

    def count(one):
        pattern, bias = one
        z = _response(taps, total, sums, pattern)
        return lax.map(lambda b: jnp.sum((z > b) & inside, axis=1, dtype=jnp.int32), bias)

    return jnp.moveaxis(lax.map(count, (PATTERNS, biases)), 2, 0)


def _taps(levels: jax.Array, first: jax.Array, dilation: jax.Array, sums: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What lies under each of the nine taps, int16 ``[9, n, T]``, and their sum; 0 where three taps count alone."""
    steps = jnp.arange(levels.shape[1], dtype=jnp.int32)[None]
    shifts = (jnp.arange(TAPS, dtype=jnp.int32) - TAPS // 2) * dilation
    last = jnp.int32(levels.shape[1] - 1)
    under = [jnp.clip(steps + shift, first[:, None], last) for shift in shifts]
    taps = jnp.stack([jnp.take_along_axis(levels, places, axis=1) for places in under]).astype(jnp.int16)
    return taps, jnp.where(sums > 0, jnp.int16(0), jnp.sum(taps, axis=0, dtype=jnp.int16))


def _response(taps: jax.Array, total: jax.Array, sums: jax.Array, pattern: jax.Array) -> jax.Array:
    """3 Σ (three taps) - Σ (all taps), within 6 times the levels; or Σ (three taps)."""
    times = jnp.where(sums > 0, 1, 3).astype(jnp.int16)
    return times * (taps[pattern[0]] + taps[pattern[1]] + taps[pattern[2]]) - total

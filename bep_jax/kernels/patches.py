"""Patches of images and series of bits: cut them out, on words packed along the features or along the batch, and add
up what comes back from them.

Bits lie pixel by pixel, the bits of a pixel (its channels) together; in a patch row by row, pixel by pixel, a pixel's
channels together; positions row by row. What lies outside the image is -1.

Axis letters: B batch, M positions, K bits of a patch, C channels; Wk, Wc, Wb the words of patch, channels, batch.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax.kernels import bits
from bep_jax.kernels.isolate import isolated


@dataclass(frozen=True)
class Grid:
    """Where patches lie; every tuple has one entry for each axis of the image.

    Example:
      >>> grid = Grid((28, 28), channels=1, patch=(7, 7), stride=(3, 3), padding=(0, 0))
      >>> grid.counts, grid.num_bits, grid.fan_in
      ((8, 8), 784, 49)
    """

    shape: tuple[int, ...]  # pixels
    channels: int  # bits of a pixel
    patch: tuple[int, ...]  # pixels
    stride: tuple[int, ...]
    padding: tuple[int, ...]  # pixels on either side

    @property
    def padded(self) -> tuple[int, ...]:
        """Pixels of the image with its padding."""
        return tuple(n + 2 * p for n, p in zip(self.shape, self.padding, strict=True))

    @property
    def counts(self) -> tuple[int, ...]:
        """Positions along each axis."""
        return tuple((n - p) // s + 1 for n, p, s in zip(self.padded, self.patch, self.stride, strict=True))

    @property
    def positions(self) -> int:
        """M."""
        return math.prod(self.counts)

    @property
    def num_bits(self) -> int:
        """Bits of an image."""
        return math.prod(self.shape) * self.channels

    @property
    def fan_in(self) -> int:
        """K, bits of a patch."""
        return math.prod(self.patch) * self.channels

    @property
    def offsets(self) -> list[tuple[int, ...]]:
        """The pixels of a patch, from its first."""
        return list(itertools.product(*map(range, self.patch)))

    def at(self, pixels: jax.Array, offset: tuple[int, ...]) -> jax.Array:
        """One pixel of every patch: ``[*padded, ...]`` to ``[*counts, ...]``."""
        rest = pixels.shape[len(offset) :]
        ends = (o + s * (n - 1) + 1 for o, s, n in zip(offset, self.stride, self.counts, strict=True))
        return lax.slice(pixels, (*offset, *(0,) * len(rest)), (*ends, *rest), (*self.stride, *(1,) * len(rest)))

    def pad(self, pixels: jax.Array) -> jax.Array:
        """``[*shape, ...]`` to ``[*padded, ...]``, zeros around."""
        return jnp.pad(pixels, [(p, p) for p in self.padding] + [(0, 0)] * (pixels.ndim - len(self.padding)))


def cut(x: jax.Array, grid: Grid) -> jax.Array:
    """The patches of images, packed along the bits of a patch.

    Args:
      x: uint32 ``[W, B]``, images packed along their bits; padding bits are 0.
      grid: where patches lie.

    Returns:
      uint32 ``[Wk, M, B]``; padding bits are 0.

    Example:
      >>> x = bits.pack([[1, -1, 1, 1]]).T  # a series of four bits
      >>> cut(x, Grid((4,), 1, (2,), (1,), (0,)))[0, :, 0]
      Array([1, 2, 3], dtype=uint32)
    """
    if grid.channels % bits.WORD_BITS == 0:
        return _cut_words(x, grid=grid)
    return _pack_patches(_pixels(x, grid=grid), grid=grid)


@isolated(static_argnames=("grid",))
def cut_by_batch(x: jax.Array, *, grid: Grid) -> jax.Array:
    """The patches of images, packed along the batch, as `bep_jax.kernels.products.outer` wants its inputs.

    Args:
      x: uint32 ``[Wb, num_bits]``, packed along the batch.
      grid: where patches lie.

    Returns:
      uint32 ``[M * Wb, K]``, position by position.

    Example:
      >>> x = bits.pack([[1, -1, 1, 1]])  # four bits of one sample
      >>> cut_by_batch(bits.pack(jnp.array([[1], [-1], [1], [1]])).T, grid=Grid((4,), 1, (2,), (1,), (0,)))
      Array([[1, 0],
             [0, 1],
             [1, 1]], dtype=uint32)
    """
    # Whole words are moved here, 32 samples at once, so a gather is quick enough.
    found = jnp.pad(x, ((0, 0), (0, 1)))[:, _places(grid)]
    return jnp.moveaxis(found, 1, 0).reshape(-1, grid.fan_in)


@isolated(static_argnames=("grid",))
def fold(values: jax.Array, *, grid: Grid) -> jax.Array:
    """The reverse of `cut`: sums over all patches that hold a bit, and their signs, packed; sign(0) = +1.

    Args:
      values: int32 ``[K, M, B]``.
      grid: where patches lie.

    Returns:
      uint32 ``[W, B]``; padding bits are 0.

    Example:
      >>> v = jnp.array([[5, 0, 0], [-2, 0, -1]], jnp.int32)[:, :, None]  # three patches of two bits
      >>> bits.unpack(fold(v, grid=Grid((4,), 1, (2,), (1,), (0,))).T, num_bits=4)
      Array([[ 1, -1,  1, -1]], dtype=int8)
    """
    batch = values.shape[-1]
    values = values.reshape(math.prod(grid.patch), grid.channels, *grid.counts, batch)
    total = jnp.zeros((*grid.padded, grid.channels, batch), values.dtype)
    for part, offset in zip(values, grid.offsets, strict=True):
        where = tuple(
            slice(o, o + s * (n - 1) + 1, s) for o, s, n in zip(offset, grid.stride, grid.counts, strict=True)
        )
        total = total.at[where].add(jnp.moveaxis(part, 0, -2))
    inside = tuple(slice(p, p + n) for p, n in zip(grid.padding, grid.shape, strict=True))
    return bits.pack_major(total[inside].reshape(grid.num_bits, batch) >= 0)


def side_by_side(words: jax.Array, channels: int) -> jax.Array:
    """Activations of all positions one after the other, as the layer above reads them.

    Args:
      words: uint32 ``[Wc, M, B]``, packed along the channels.
      channels: of a position.

    Returns:
      uint32 ``[W, B]``, of M * channels bits.

    Example:
      >>> words = bits.pack([[[1, -1, 1]], [[1, 1, -1]]]).transpose(2, 0, 1)  # two positions of three channels
      >>> bits.unpack(side_by_side(words, 3).T, num_bits=6)
      Array([[ 1, -1,  1,  1,  1, -1]], dtype=int8)
    """
    if channels % bits.WORD_BITS == 0:
        return jnp.moveaxis(words, 0, 1).reshape(-1, words.shape[-1])
    return _pack(_apart(words, channels=channels))


def by_position(x: jax.Array, positions: int, channels: int) -> jax.Array:
    """The reverse of `side_by_side`: uint32 ``[W, B]`` to ``[Wc, M, B]``.

    Example:
      >>> x = bits.pack([[1, -1, 1, 1, 1, -1]]).T
      >>> by_position(x, 2, 3)[0, :, 0]
      Array([5, 3], dtype=uint32)
    """
    return cut(x, Grid((positions,), channels, (1,), (1,), (0,)))


@functools.lru_cache(maxsize=32)
def _places(grid: Grid) -> np.ndarray:
    """Which bit of an image each bit of each patch is, ``num_bits`` outside of it: int32 ``[M, K]``."""
    number = np.arange(grid.num_bits, dtype=np.int32).reshape(*grid.shape, grid.channels)
    number = np.pad(number, [(p, p) for p in grid.padding] + [(0, 0)], constant_values=grid.num_bits)
    parts = [
        number[
            tuple(slice(o, o + s * (n - 1) + 1, s) for o, s, n in zip(offset, grid.stride, grid.counts, strict=True))
        ]
        for offset in grid.offsets
    ]
    return np.stack(parts, axis=-2).reshape(grid.positions, grid.fan_in)


@isolated(static_argnames=("grid",))
def _cut_words(x, *, grid):
    pixels = grid.pad(x.reshape(*grid.shape, -1, x.shape[-1]))
    parts = [grid.at(pixels, offset) for offset in grid.offsets]  # [*counts, Wc, B] each
    parts = [jnp.moveaxis(part, -2, 0).reshape(part.shape[-2], grid.positions, -1) for part in parts]
    return jnp.concatenate(parts)


@isolated(static_argnames=("grid",))
def _pixels(x, *, grid):
    """Bits as bytes: uint8 ``[*padded, C, B]``."""
    ones = bits.unpack_major(x, num_bits=grid.num_bits).astype(jnp.uint8)
    return grid.pad(ones.reshape(*grid.shape, grid.channels, -1))


@isolated(static_argnames=("grid",))
def _pack_patches(pixels, *, grid):
    """Bytes ``[*padded, C, B]`` to words ``[Wk, M, B]``."""
    parts = [
        grid.at(pixels[..., c, :], offset).reshape(grid.positions, -1)
        for offset in grid.offsets
        for c in range(grid.channels)
    ]
    words = []
    for start in range(0, len(parts), bits.WORD_BITS):
        group = parts[start : start + bits.WORD_BITS]
        words.append(sum((part.astype(jnp.uint32) << np.uint32(i) for i, part in enumerate(group)), jnp.uint32(0)))
    return jnp.stack(words)


@isolated(static_argnames=("channels",))
def _apart(words, *, channels):
    """bool ``[M * C, B]``."""
    return jnp.moveaxis(
        bits.unpack_major(words.reshape(words.shape[0], -1), num_bits=channels).reshape(channels, *words.shape[1:]),
        0,
        1,
    ).reshape(-1, words.shape[-1])


_pack = isolated(bits.pack_major)

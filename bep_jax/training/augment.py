"""Training images moved at random: shifted, mirrored, drawn anew for every sample of every step. Pure, integers alone.

Axis letters: B batch, W words, C bits of a pixel.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bep_jax.kernels import bits
from bep_jax.kernels.isolate import isolated


@dataclass(frozen=True)
class Moves:
    """How far images are moved.

    Args:
      image_shape: pixels along each axis.
      channels: bits of a pixel.
      shift: at most so many pixels along each axis, either way; what comes in is -1.
      mirror: whether half of the images are mirrored along their last axis.
      mirrored: where a pixel's bits change as its image is mirrored, what each becomes: bit j as j, its opposite as ~j.

    Example:
      >>> x = bits.pack(jnp.array([[1, -1, -1], [1, -1, -1]]))
      >>> moved = Moves((3,), 1, mirror=True)(jax.random.key(3), x)
      >>> sorted({int(w) for w in moved[:, 0]} | {1, 4})
      [1, 4]
    """

    image_shape: tuple[int, ...]
    channels: int
    shift: int = 0
    mirror: bool = False
    mirrored: tuple[int, ...] | None = None

    def __call__(self, key: jax.Array, x: jax.Array, first: jax.typing.ArrayLike = 0) -> jax.Array:
        """Moves a batch.

        Args:
          key: of this step.
          x: uint32 ``[B, W]``.
          first: the place in its batch of the first sample, where a batch is split over devices.

        Returns:
          uint32 ``[B, W]``.
        """
        places = jnp.arange(x.shape[0], dtype=jnp.uint32) + jnp.asarray(first, jnp.uint32)
        # A key for each sample: the draws do not depend on how many there are.
        words = jax.random.key_data(jax.vmap(jax.random.fold_in, (None, 0))(key, places))
        return _move(x, words, moves=self)


@isolated(static_argnames=("moves",))
def _move(x, words, *, moves):
    axes, most = len(moves.image_shape), moves.shift
    draw = words[:, 0]  # shifts in base 2 shift + 1
    num_bits = math.prod(moves.image_shape) * moves.channels
    images = bits.unpack_minor(x, num_bits=num_bits).reshape(-1, *moves.image_shape, moves.channels)
    if moves.mirror:
        mirrored = (words[:, 1] & jnp.uint32(1)).reshape((-1,) + (1,) * (axes + 1)) != 0
        flipped = jnp.flip(images, axis=axes)
        if moves.mirrored is not None:
            places = np.array(moves.mirrored)
            opposite = np.reshape(places < 0, (1,) * (axes + 1) + (-1,))
            flipped = flipped[..., np.where(places < 0, ~places, places)] != opposite
        images = jnp.where(mirrored, flipped, images)
    if most:
        starts = []
        for _ in range(axes):
            starts.append((draw % jnp.uint32(2 * most + 1)).astype(jnp.int32))
            draw = draw // jnp.uint32(2 * most + 1)
        images = jnp.pad(images, [(0, 0), *[(most, most)] * axes, (0, 0)])
        zero = jnp.int32(0)

        def cut(image, starts):
            return lax.dynamic_slice(image, (*starts, zero), (*moves.image_shape, moves.channels))

        images = jax.vmap(cut)(images, starts)
    return bits.pack_minor(images.reshape(x.shape[0], num_bits))

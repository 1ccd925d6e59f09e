"""Random Prototypes: noisy copies of random ±1 vectors. Needs no files and no network.

Axis letters: C classes, K inputs, W = ceil(K / 32) words, n samples.

Source: BEP (arXiv 2512.04189), Section 4.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from bep_jax.data.dataset import Parts
from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_count, check_real

NAME = "random-prototypes"
_BLOCK_ROWS = 1000
_MOST_INPUTS = 100_000  # a block of rows takes 400 MB then
_MOST_BITS = 1 << 33


@dataclasses.dataclass(frozen=True)
class RandomPrototypes:
    """The sizes of a draw; the paper's by default."""

    num_inputs: int = 1000
    num_classes: int = 10
    num_train: int = 20_000
    num_test: int = 3_000
    flip_probability: float = 0.46

    def __post_init__(self) -> None:
        for name, least in (("num_inputs", 1), ("num_classes", 2), ("num_train", 1), ("num_test", 1)):
            object.__setattr__(self, name, check_count(getattr(self, name), name, "load", least))
        samples = self.num_train + self.num_test
        if self.num_inputs > _MOST_INPUTS or self.num_inputs * max(samples, self.num_classes) > _MOST_BITS:
            raise ValueError(
                f"load: {samples:,} samples of {self.num_inputs:,} bits and {self.num_classes:,} classes are "
                f"too many; at most {_MOST_INPUTS:,} bits each and {_MOST_BITS:,} together."
            )
        chance = check_real(self.flip_probability, "flip_probability", "load")
        if not 0.0 <= chance <= 1.0:
            raise ValueError(f"load: flip_probability must be in [0, 1], got {self.flip_probability!r}.")
        object.__setattr__(self, "flip_probability", chance)

    def draw(self, seed: int) -> Parts:
        """Draws prototypes, uniform in {±1}^K, and samples of uniform class, each bit flipped independently."""
        prototypes_key, *keys = jax.random.split(jax.random.key(seed), 5)
        words = jax.random.bits(prototypes_key, (self.num_classes, bits.num_words(self.num_inputs)), jnp.uint32)
        prototypes = bits.unpack_minor(words, num_bits=self.num_inputs)
        train_y, train_x = self._samples(keys[0], keys[1], prototypes, self.num_train)
        test_y, test_x = self._samples(keys[2], keys[3], prototypes, self.num_test)
        classes = tuple(str(c) for c in range(self.num_classes))
        return Parts(train_x, train_y, test_x, test_y, classes, self.num_inputs)

    def _samples(
        self, label_key: jax.Array, noise_key: jax.Array, prototypes: jax.Array, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        y = jax.random.randint(label_key, (count,), 0, self.num_classes, jnp.int32)
        flips = math.floor(2**32 * self.flip_probability)  # of the 2**32 values of a draw
        last = np.uint32(max(flips - 1, 0))
        blocks = -(-count // _BLOCK_ROWS)
        rows = jnp.pad(y, (0, blocks * _BLOCK_ROWS - count)).reshape(blocks, _BLOCK_ROWS)
        words = [
            np.asarray(_noisy(jax.random.fold_in(noise_key, i), prototypes, rows[i], last, flips > 0))
            for i in range(blocks)
        ]
        return np.asarray(y), np.concatenate(words)[:count]


@jax.jit
def _noisy(key: jax.Array, prototypes: jax.Array, y: jax.Array, last: jax.Array, any_flip: jax.Array) -> jax.Array:
    """Packed noisy copies of the prototypes of classes ``y``: uint32 ``[n, W]``."""
    draws = jax.random.bits(key, (y.shape[0], prototypes.shape[1]), jnp.uint32)
    return bits.pack_minor(prototypes[y] ^ ((draws <= last) & any_flip))

"""A fixed random layer that widens bits: the encoder that may follow another.

Axis letters: K bits in, K' bits out, W = ceil(K / 32) words.

Source: BEP (arXiv 2512.04189), Section 4: ±1 expansion of recurrent inputs.
"""

import dataclasses

import jax
import numpy as np
import numpy.typing as npt

from bep_jax.data.words import on_host
from bep_jax.kernels import bits, products
from bep_jax.kernels.checks import check_count

_BLOCK_ROWS = 4096  # a block at a time, so that the bits of a big data set never exist unpacked together


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
        object.__setattr__(self, "num_inputs", check_count(self.num_inputs, "num_inputs", "Expansion"))
        if matrix.ndim != 2 or matrix.shape[1] != bits.num_words(self.num_inputs):
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
        x = on_host(x, "Expansion")
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


@jax.jit(static_argnames="num_inputs")
def _expand(matrix: jax.Array, words: jax.Array, *, num_inputs: int) -> jax.Array:
    """uint32 ``[B, W]`` to ``[B, W']``."""
    stability = products.forward(matrix, words.T, num_inputs=num_inputs)
    return bits.pack_major(stability >= 0).T

"""Thermometers of a size that no fold of the data changes: programs are compiled for the number of bits, too.

Axis letters: n samples, F features, P pixels or time steps, b bits of a feature, K bits in all.
"""

import numpy as np

from bep_jax.data import encode
from bep_jax.kernels.bits import WORD_BITS

_LEAST, _MOST = 256, 4096  # K, where features are few or many
_USUAL = 10  # b


def usual_counts(num_features: int) -> np.ndarray:
    """Bits of each feature: ten, more where there are few features, fewer where there are many; whole words in all.

    Example:
      >>> usual_counts(5).tolist(), usual_counts(30).sum(), usual_counts(784).sum()
      ([52, 51, 51, 51, 51], np.int64(320), np.int64(3936))
    """
    bits = max(_LEAST // num_features, min(_USUAL, max(1, _MOST // num_features)))
    counts = np.full(num_features, bits)
    counts[: -(bits * num_features) % WORD_BITS] += 1
    return counts


def fit_places(x: np.ndarray, num_bits: int) -> encode.Thermometer:
    """A thermometer of images and series: a value means the same at every pixel or time step.

    Args:
      x: real numbers ``[n, P, F]``; NaN is a missing value.
      num_bits: b of each of the F values at a place.

    Returns:
      A thermometer of P F features with b bits each.

    Example:
      >>> fit_places(np.array([[[0.0], [1.0]], [[2.0], [3.0]]]), 2).thresholds.tolist()
      [[1.5, 2.5], [1.5, 2.5]]
    """
    fitted = encode.fit_exactly(x.reshape(-1, x.shape[2]), np.full(x.shape[2], num_bits))
    return encode.Thermometer(np.tile(fitted.thresholds, (x.shape[1], 1)))

"""Encoders side by side: each reads the same features, and their bits follow one another.

Axis letters: F features, W = ceil(K / 32) words of all bits.
"""

import dataclasses

import numpy as np
import numpy.typing as npt

from bep_jax.data.edges import Edges
from bep_jax.data.rocket import Rocket
from bep_jax.data.thermometer import Thermometer
from bep_jax.data.words import pack_host, unpack_host
from bep_jax.kernels.checks import check_several, check_type


@dataclasses.dataclass(frozen=True, eq=False)
class Union:
    """Encoders of the same features, side by side; made by `bep_jax.encode.union`.

    Attributes:
      encoders: two or more of `Thermometer`, `Edges` and `Rocket`, that take equally many features of one dtype.
    """

    encoders: tuple[Thermometer | Edges | Rocket, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoders", check_several(self.encoders, "encoders", "union"))
        if len(self.encoders) < 2:
            raise ValueError(f"union: wanted at least two encoders, got {len(self.encoders)}.")
        for one in self.encoders:
            check_type(one, (Thermometer, Edges, Rocket), "every encoder", "union")
        for what, found in (
            ("as many features", [one.num_features for one in self.encoders]),
            ("features of one dtype", [str(compared_dtype(one)) for one in self.encoders]),
        ):
            if len(set(found)) > 1:
                raise ValueError(f"union: all encoders must take {what}, got {', '.join(map(str, found))}.")

    @property
    def num_features(self) -> int:
        """F, the values that a call expects."""
        return self.encoders[0].num_features

    @property
    def num_bits(self) -> int:
        """The bits that a call returns."""
        return sum(one.num_bits for one in self.encoders)

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Encodes features.

        Args:
          x: real numbers ``[..., F]``, as each of the encoders takes them.

        Returns:
          uint32 ``[..., W]``; padding bits are 0.

        Raises:
          TypeError: ``x`` holds no real numbers, or is traced.
          ValueError: the last axis is not F.
        """
        found = [unpack_host(one(x), one.num_bits) for one in self.encoders]
        return pack_host(np.concatenate(found, axis=-1))


def compared_dtype(encoder: Thermometer | Edges | Rocket | Union) -> np.dtype:
    """In what an encoder compares values."""
    first = encoder.encoders[0] if isinstance(encoder, Union) else encoder
    return (first if isinstance(first, Thermometer) else first.levels).thresholds.dtype

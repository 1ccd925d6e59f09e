"""Levels and differences of pixels as C: the constants of an `Edges`, and the lines that set every bit."""

import math

import numpy as np

from bep_jax.data.edges import Edges
from bep_jax.export.source import array
from bep_jax.kernels import bits

_FILL = """\
@prefix@_clear(@to@, {words}u);
for (p = 0; p < {pixels}u; p++) {{
    for (f = 0; f < {values}u; f++)
        for (i = 0; i < {levels}u; i++, bit++)
            @prefix@_set(@to@, bit, input[{values}u * p + f] > @prefix@_thresholds[{levels}u * f + i]);
    for (a = 0; a < {axes}u; a++) {{ /* pixels on either side; beyond the border the outermost go on */
        uint32_t unit = @prefix@_strides[a], size = @prefix@_image_shape[a], at = p / unit % size;
        uint32_t after = {values}u * (at + 1u < size ? p + unit : p);
        uint32_t before = {values}u * (at > 0u ? p - unit : p);
        for (f = 0; f < {values}u; f++)
            for (i = 0; i < {differences}u; i++, bit++)
                @prefix@_set(@to@, bit, ({kind})input[after + f] - ({kind})input[before + f] >
                    @prefix@_differences[{differences}u * f + i]);
    }}
}}"""


def stages(
    encoder: Edges, input_type: str, difference_type: str, name: str
) -> tuple[list[str], int, list[str], list[str]]:
    """Constants, their bytes, declarations, and the lines that set every bit."""
    shape = encoder.image_shape
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    levels, differences = encoder.levels.thresholds, encoder.differences.thresholds
    parts = (
        (input_type, "thresholds", levels, f"thresholds of a pixel's values, {list(levels.shape)}"),
        (difference_type, "differences", differences, f"thresholds of differences, {list(differences.shape)}"),
        ("uint32_t", "image_shape", np.array(shape, np.uint32), "pixels along each axis"),
        ("uint32_t", "strides", np.array(strides, np.uint32), "from a pixel to the one after it, along each axis"),
    )
    constants = [array(kind, f"{name}_{part}", values, comment) for kind, part, values, comment in parts]
    text = _FILL.format(
        words=bits.num_words(encoder.num_bits),
        pixels=math.prod(shape),
        values=len(levels),
        levels=levels.shape[1],
        axes=len(shape),
        differences=differences.shape[1],
        kind=difference_type,
    )
    declared = ["uint32_t p, a, f, i, bit = 0;"]
    return constants, sum(values.nbytes for _, _, values, _ in parts), declared, text.splitlines()

"""Counts of kernels' responses as C: the constants of a `Rocket`, and the lines that set every bit."""

import numpy as np

from bep_jax.data.encode import Rocket
from bep_jax.data.rocket import TAPS
from bep_jax.export.source import array
from bep_jax.kernels import bits

# A value that is missing is the one before it, or else the first that is there.
_MISSING = """\
for (first = 0; first < {steps}u; first++) {{
    for (c = 0; c < {channels}u && input[{channels}u * first + c] != input[{channels}u * first + c]; c++)
        ;
    if (c < {channels}u)
        break;
}}
first = first < {steps}u ? first : 0;
for (c = 0; c < {channels}u; c++) {{
    uint8_t level = 0;
    for (t = 0; t < {steps}u && input[{channels}u * t + c] != input[{channels}u * t + c]; t++)
        ;
    if (t < {steps}u)
        level = levels[{channels}u * t + c];
    for (t = 0; t < {steps}u; t++) {{
        if (input[{channels}u * t + c] == input[{channels}u * t + c])
            level = levels[{channels}u * t + c];
        levels[{channels}u * t + c] = level;
    }}
}}"""
_LEVELS = """\
@prefix@_clear(@to@, {words}u);
for (t = 0; t < {values}u; t++) {{
    levels[t] = 0;
    for (i = 0; i < {levels}u; i++)
        levels[t] = (uint8_t)(levels[t] + (input[t] > @prefix@_thresholds[{levels}u * (t % {channels}u) + i]));
}}"""
_COUNTS = """\
for (g = 0; g < {groups}u; g++)
    for (i = 0; i < {taps}u; i++)
        for (j = i + 1; j < {taps}u; j++)
            for (k = j + 1; k < {taps}u; k++) {{
                uint32_t counts[{each}] = {{0}};
                for (t = first; t < {steps}u; t++) {{
                    int32_t response = 0;
                    for (c = 0; c < {taps}u; c++) {{
                        int32_t at = (int32_t)t + ((int32_t)c - {middle}) * @prefix@_dilations[g];
                        int32_t weight = @prefix@_alone[g] - 1;
                        if (c == i || c == j || c == k)
                            weight = 2 - @prefix@_alone[g];
                        at = at < (int32_t)first ? (int32_t)first : at > {last} ? {last} : at;
                        response += weight * levels[{channels}u * (uint32_t)at + @prefix@_channels[g]];
                    }}
                    for (c = 0; c < {each}u; c++)
                        counts[c] += response > @prefix@_biases[feature + c];
                }}
                for (c = 0; c < {each}u; c++, feature++)
                    for (t = 0; t < {most}u; t++, bit++)
                        @prefix@_set(@to@, bit, counts[c] > @prefix@_counted[bit]);
            }}"""


def stages(encoder: Rocket, input_type: str, name: str) -> tuple[list[str], int, list[str], list[str], int]:
    """Constants, their bytes, declarations, the lines that set every bit, and bytes on the stack."""
    channels, steps = encoder.levels.num_features, encoder.num_steps
    levels = encoder.levels.thresholds.shape[1]
    each = encoder.biases.shape[2]
    # A count is at most T, so that a threshold above is never passed either.
    counted = np.minimum(encoder.counted.thresholds, steps).astype(np.uint32)
    counted = counted.astype("uint8" if steps < 2**8 else "uint16" if steps < 2**16 else "uint32")
    parts = (
        (
            input_type,
            "thresholds",
            encoder.levels.thresholds,
            f"thresholds of {levels + 1} levels, [{channels}, {levels}]",
        ),
        ("int32_t", "dilations", encoder.groups[:, 0], "steps between taps, of each group of 84 kernels"),
        ("uint32_t", "channels", encoder.groups[:, 1].astype(np.uint32), "what each group reads"),
        ("int8_t", "alone", encoder.groups[:, 2].astype(np.int8), "1: of three taps alone"),
        ("int16_t", "biases", encoder.biases, f"a response counts above, [{len(encoder.groups)}, 84, {each}]"),
        (f"{counted.dtype.name}_t", "counted", counted, f"thresholds of counts, {list(counted.shape)}"),
    )
    constants = [array(kind, f"{name}_{part}", values, comment) for kind, part, values, comment in parts]
    sizes = {
        "steps": steps,
        "channels": channels,
        "values": steps * channels,
        "levels": levels,
        "words": bits.num_words(encoder.num_bits),
        "groups": len(encoder.groups),
        "taps": TAPS,
        "middle": TAPS // 2,
        "last": steps - 1,
        "each": each,
        "most": counted.shape[1],
    }
    texts = [_LEVELS, _MISSING, _COUNTS] if encoder.levels.thresholds.dtype.kind == "f" else [_LEVELS, _COUNTS]
    declared = [
        f"uint8_t levels[{steps * channels}];",
        "uint32_t i, j, k, c, g, t, first = 0, feature = 0, bit = 0;",
    ]
    fill = [line for text in texts for line in text.format(**sizes).splitlines()]
    return constants, sum(values.nbytes for _, _, values, _ in parts), declared, fill, steps * channels + 4 * each

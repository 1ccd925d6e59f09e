"""An encoder as C: its constants, and the body of ``encode(input, words)``."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bep_jax.data.encode import Composition, Edges, Encoder, Expansion, Rocket, Thermometer
from bep_jax.export import edges_c, rocket_c
from bep_jax.export.source import array
from bep_jax.kernels import bits
from bep_jax.network.model import Model

_C_TYPES = {
    **{f"{sign}int{size}": f"{sign}int{size}_t" for sign in ("", "u") for size in (8, 16, 32, 64)},
    "float32": "float",
    "float64": "double",
}


class Stages(NamedTuple):
    """An encoder, taken apart."""

    input_type: str  # the C type of one input value
    num_inputs: int  # values that one call takes
    input_comment: str
    constants: list[str]  # definitions of arrays
    const_bytes: int
    is_float: bool
    body: list[str]  # lines of the function encode(input, words)
    stack_bytes: int
    takes_words: bool  # inputs are packed bits


def encoder_stages(model: Model, encoder: Encoder | None, name: str) -> Stages:
    """What the encoder becomes; without one, inputs are the packed words themselves."""
    encoders = list(_flat(encoder))
    constants: list[str] = []
    const_bytes, is_float, stack_bytes = 0, False, 0
    first = encoders[0] if encoders else None
    if isinstance(first, Thermometer | Rocket | Edges):
        dtype = (first if isinstance(first, Thermometer) else first.levels).thresholds.dtype
        if dtype.name not in _C_TYPES:
            raise TypeError(f"to_c: C has no type for thresholds of {dtype}; convert them to float64.")
        input_type, num_inputs = _C_TYPES[dtype.name], first.num_features
        input_comment = f"{input_type} features that a call reads"
        is_float = dtype.kind == "f"
        num_bits = first.num_bits
        if isinstance(first, Rocket):
            constants, const_bytes, declared, fill, stack_bytes = rocket_c.stages(first, input_type, name)
        elif isinstance(first, Edges):
            wide = first.differences.thresholds.dtype
            is_float = wide.kind == "f"
            constants, const_bytes, declared, fill = edges_c.stages(first, input_type, _C_TYPES[wide.name], name)
        else:
            constants, const_bytes, declared, fill = _thermometer(first, input_type, name)
        rest = encoders[1:]
    else:
        num_bits = model.num_inputs if first is None else first.num_inputs
        input_type, num_inputs = "uint32_t", bits.num_words(num_bits)
        input_comment = f"words that a call reads: {num_bits} bits, bit i of word j is number 32 j + i"
        fill = [f"for (i = 0; i < {num_inputs}u; i++)", "    @to@[i] = input[i];"]
        if used := num_bits % bits.WORD_BITS:
            fill.append(f"@to@[{num_inputs - 1}] &= {hex((1 << used) - 1)}u; /* padding */")
        declared, rest = ["uint32_t i;"], encoders
    body = list(fill)
    for i, stage in enumerate(rest):
        if not isinstance(stage, Expansion) or stage.num_inputs != num_bits:
            raise ValueError(f"to_c: stage {i} of the encoder does not take the {num_bits} bits of the one before.")
        constants.append(
            array("uint32_t", f"{name}_expansion_{i}", stage.matrix, f"expansion, [{stage.num_bits}, {num_bits}]")
        )
        const_bytes += stage.matrix.nbytes
        stack_bytes += 4 * bits.num_words(num_bits)
        declared.append(f"uint32_t bits_{i}[{bits.num_words(num_bits)}];")
        body = [line.replace("@to@", f"bits_{i}") for line in body]
        body.append(f"@prefix@_dense(@prefix@_expansion_{i}, {stage.num_bits}u, {num_bits}u, bits_{i}, @to@);")
        num_bits = stage.num_bits
    if num_bits != model.num_inputs:
        raise ValueError(f"to_c: the encoder gives {num_bits} bits, the model takes {model.num_inputs}.")
    body = declared + [line.replace("@to@", "words") for line in body]
    return Stages(
        input_type,
        num_inputs,
        input_comment,
        constants,
        const_bytes,
        is_float,
        body,
        stack_bytes,
        not isinstance(first, Thermometer | Rocket | Edges),
    )


def _thermometer(encoder: Thermometer, input_type: str, name: str) -> tuple[list[str], int, list[str], list[str]]:
    """Constants, their bytes, declarations, and the lines that set every bit."""
    num_features, most = encoder.thresholds.shape
    clear = f"@prefix@_clear(@to@, {bits.num_words(encoder.num_bits)}u);"
    every = f"for (f = 0; f < {num_features}u; f++)"
    if encoder.counts is not None:  # as many bits as a feature has
        kept = encoder.thresholds[encoder.used]
        counts = encoder.counts.astype(np.min_scalar_type(encoder.counts.max()))
        constants = [
            array(input_type, f"{name}_thresholds", kept, f"thresholds of {num_features} features, side by side"),
            array(_C_TYPES[counts.dtype.name], f"{name}_counts", counts, "how many of them each feature has"),
        ]
        fill = [
            clear,
            every,
            "    for (i = 0; i < @prefix@_counts[f]; i++, k++)",
            "        @prefix@_set(@to@, k, input[f] > @prefix@_thresholds[k]);",
        ]
        return constants, kept.nbytes + counts.nbytes, ["uint32_t f, i, k = 0;"], fill
    shared = bool((encoder.thresholds == encoder.thresholds[0]).all())
    kept = encoder.thresholds[:1] if shared else encoder.thresholds
    comment = f"thresholds [{num_features}, {most}]{', the same for all features' * shared}"
    constants = [array(input_type, f"{name}_thresholds", kept, comment)]
    place = "f" if most == 1 else f"{most}u * f + i"
    index = ("0" if most == 1 else "i") if shared else place
    setting = f"@prefix@_set(@to@, {place}, input[f] > @prefix@_thresholds[{index}]);"
    if most == 1:
        return constants, kept.nbytes, ["uint32_t f;"], [clear, every, f"    {setting}"]
    return (
        constants,
        kept.nbytes,
        ["uint32_t f, i;"],
        [clear, every, f"    for (i = 0; i < {most}u; i++)", f"        {setting}"],
    )


def _flat(encoder: Encoder | tuple[Encoder, ...] | None) -> Iterable[Thermometer | Rocket | Edges | Expansion]:
    if encoder is None:
        return
    if isinstance(encoder, Composition):
        for one in encoder.encoders:
            yield from _flat(one)
    elif isinstance(encoder, Thermometer | Rocket | Edges | Expansion):
        yield encoder
    elif isinstance(encoder, tuple | list):
        raise ValueError(
            f"to_c: got {len(encoder)} encoders, one for each seed; pick one, for example encoder[0], and its params."
        )
    else:
        raise TypeError(
            "to_c: encoder must be a Thermometer, a Rocket, an Edges, an Expansion or a composition, got "
            f"{type(encoder).__name__}."
        )

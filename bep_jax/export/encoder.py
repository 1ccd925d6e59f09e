"""An encoder as C: its constants, and the body of ``encode(input, words)``."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from bep_jax.data.encode import Composition, Edges, Encoder, Expansion, Rocket, Thermometer, Union
from bep_jax.data.union import compared_dtype
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
    if isinstance(first, Thermometer | Rocket | Edges | Union):
        dtype = compared_dtype(first)
        if dtype.name not in _C_TYPES:
            raise TypeError(f"to_c: C has no type for thresholds of {dtype}; convert them to float64.")
        input_type, num_inputs = _C_TYPES[dtype.name], first.num_features
        input_comment = f"{input_type} features that a call reads"
        is_float = dtype.kind == "f" or any(
            isinstance(one, Edges) and one.differences.thresholds.dtype.kind == "f" for one in _parts(first)
        )
        num_bits = first.num_bits
        constants, const_bytes, declared, fill, stack_bytes = _of_features(first, input_type, name)
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
        not isinstance(first, Thermometer | Rocket | Edges | Union),
    )


def _parts(encoder: Thermometer | Rocket | Edges | Union) -> tuple[Thermometer | Rocket | Edges, ...]:
    return encoder.encoders if isinstance(encoder, Union) else (encoder,)


def _of_features(
    encoder: Thermometer | Rocket | Edges | Union, input_type: str, name: str
) -> tuple[list[str], int, list[str], list[str], int]:
    """Constants, their bytes, declarations, the lines that set every bit, and bytes on the stack."""
    if isinstance(encoder, Union):
        return _union(encoder, input_type, name)
    if isinstance(encoder, Rocket):
        return rocket_c.stages(encoder, input_type, name)
    if isinstance(encoder, Edges):
        wide = _C_TYPES[encoder.differences.thresholds.dtype.name]
        return *edges_c.stages(encoder, input_type, wide, name), 0
    return *_thermometer(encoder, input_type, name), 0


def _union(encoder: Union, input_type: str, name: str) -> tuple[list[str], int, list[str], list[str], int]:
    """As `_of_features`: a block for each part, whose constants have its number behind their names."""
    constants: list[str] = []
    fill = [f"@prefix@_clear(@to@, {bits.num_words(encoder.num_bits)}u);"]
    const_bytes, stack, start = 0, 0, 0
    most = max(bits.num_words(part.num_bits) for part in encoder.encoders)
    for i, part in enumerate(encoder.encoders):
        own, size, declared, lines, on_stack = _of_features(part, input_type, name)
        text = "\n".join(["{", *(f"    {line}" for line in [*declared, *lines])]).replace("@to@", "part")
        for constant in (found for one in own for found in re.findall(rf"\b{name}_(\w+)\[", one)):
            own = [one.replace(f" {name}_{constant}[", f" {name}_{constant}_{i}[") for one in own]
            text = text.replace(f"@prefix@_{constant}[", f"@prefix@_{constant}_{i}[")
        fill += [
            *text.splitlines(),
            f"    for (b = 0; b < {part.num_bits}u; b++)",
            f"        @prefix@_set(@to@, {start}u + b, (part[b >> 5] >> (b & 31u)) & 1u);",
            "}",
        ]
        constants += own
        const_bytes, stack, start = const_bytes + size, max(stack, on_stack), start + part.num_bits
    return constants, const_bytes, ["uint32_t b;", f"uint32_t part[{most}];"], fill, stack + 4 * most


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


def _flat(encoder: Encoder | tuple[Encoder, ...] | None) -> Iterable[Thermometer | Rocket | Edges | Union | Expansion]:
    if encoder is None:
        return
    if isinstance(encoder, Composition):
        for one in encoder.encoders:
            yield from _flat(one)
    elif isinstance(encoder, Thermometer | Rocket | Edges | Union | Expansion):
        yield encoder
    elif isinstance(encoder, tuple | list):
        raise ValueError(
            f"to_c: got {len(encoder)} encoders, one for each seed; pick one, for example encoder[0], and its params."
        )
    else:
        raise TypeError(
            "to_c: encoder must be a Thermometer, a Rocket, an Edges, a Union, an Expansion or a composition, got "
            f"{type(encoder).__name__}."
        )

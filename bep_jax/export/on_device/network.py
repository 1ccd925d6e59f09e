"""A network that learns, as C: its memory and the functions that take a sample, flush a batch, start over.

Each layer gives its own part (`bep_jax.network.layers.layer.CLearning`); here they are put in order.
"""

from typing import NamedTuple

import numpy as np

from bep_jax.export.on_device import epoch, kernels, state, threefry, update
from bep_jax.export.source import array, function
from bep_jax.kernels import bits
from bep_jax.network.layers.layer import CLearning, CPlace
from bep_jax.network.model import Model

_SIZES = {"int8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "uint32_t": 4}


class Settings(NamedTuple):
    """The integers of a rule and an optimizer state, on the host."""

    batch: int
    window: int  # time steps that errors travel back at most
    margin: int
    gate: tuple[int, ...]
    band: tuple[int, ...]
    group_size: np.ndarray  # uint32 [L]
    key: np.ndarray  # uint32 [2]
    draw: np.ndarray  # uint32 [M]
    fixed: state.Fixed


class Learning(NamedTuple):
    """What a header that learns has beside one that does not."""

    types: list[str]
    arrays: list[str]
    functions: list[str]  # of recurrent networks ``reset`` and ``step``, too
    const_bytes: int  # class vectors not counted
    initial_bytes: int  # of what learns, initial values that lie among the constants
    static_bytes: int
    stack_bytes: int
    state_bytes: int
    network: int
    batch: int


def learning(model: Model, hidden: list[np.ndarray], settings: Settings, encoder_bytes: int) -> Learning:
    """The parts of the header.

    Args:
      model: a `Model`.
      hidden: integers ``[N, K]`` per matrix, within the saturation limit.
      settings: the numbers.
      encoder_bytes: what encoding an input takes on the stack.
    """
    parts = _parts(model, settings)
    weight_type = "int8_t" if state.weight_bytes(settings.fixed.saturation) == 1 else "int16_t"
    arrays, initial = [], 0
    for i, h in enumerate(hidden):
        values = h.astype(weight_type[:-2])
        arrays.append(
            array("@prefix@_weight_t", f"@prefix@_hidden_{i}", values, f"hidden weights {i}, {[*h.shape]}", False)
        )
        initial += values.nbytes
    for name, values, comment in (
        ("key", settings.key, "the key of the next update's draws"),
        ("draw", settings.draw, "of each matrix: weights go away from zero where 32 random bits are below"),
        (
            "group_size",
            settings.group_size,
            "of each layer: so many neurons, of which at most one learns from a sample",
        ),
    ):
        arrays.append(array("uint32_t", f"@prefix@_{name}", values.astype(np.uint32), comment, False))
        initial += values.size * 4
    arrays.append(
        array("uint32_t", "@prefix@_base", settings.fixed.base, "of each matrix: how often at error 1, a double")
    )
    arrays.append("/* Samples of this batch, those that learn, right ones; of this epoch, seen and right ones. */")
    counts = ["filled", "kept", "hits", "seen", "right"]
    if model.recurrent:
        counts += ["rows", "place", "steps"]
    arrays.append(f"static uint32_t {', '.join(f'@prefix@_{name}' for name in counts)};\n")
    memory = [one for part in parts for one in part.memory]
    arrays.append("/* The batch, layer by layer: what each sample that learns gave and asks for. */")
    arrays += [f"static {c_type} @prefix@_{name}[{length}];" for c_type, name, length in memory]
    arrays.append("")

    rows = max(2, *(part.rows for part in parts))  # of an array of one gcc believes that it is never set
    columns = max(k for _, k in model.matrix_shapes)
    planes = max(part.counts for part in parts).bit_length()
    edits = {
        "@PLANES@": planes,
        "@MARGIN@": settings.margin,
        "@ROWS@": rows,
        "@COLUMNS@": columns,
        "@SATURATION@": settings.fixed.saturation,
    }
    functions = [
        kernels.KERNELS,
        threefry.THREEFRY,
        update.UPDATE,
        *dict.fromkeys(part.support for part in parts if part.support),
        "/* ---- Learning ---- */\n",
        *(_steps(model, parts[0]) if model.recurrent else []),
        *_sample(model, parts, settings),
        *epoch.epoch_functions(settings.fixed.base),
        *state.state_functions(model, settings.fixed),
    ]
    for key, value in edits.items():
        functions = [text.replace(key, str(value)) for text in functions]
    buffers = sum(_SIZES[c_type] * length for part in parts for c_type, _, length in part.buffers)
    taking = buffers + 4 * bits.num_words(model.num_outputs) + 4 * model.num_classes
    return Learning(
        types=[f"typedef {weight_type} @prefix@_weight_t;"],
        arrays=arrays,
        functions=functions,
        const_bytes=threefry.CONST_BYTES + settings.fixed.base.nbytes,
        initial_bytes=initial,
        static_bytes=initial + 4 * len(counts) + sum(_SIZES[c_type] * length for c_type, _, length in memory),
        stack_bytes=max(taking + max(encoder_bytes, 4 * planes), 4 * (columns + planes) + 2 * rows + 16),
        state_bytes=state.state_bytes(model, settings.fixed.saturation),
        network=state.network_crc(model, settings.fixed),
        batch=settings.batch,
    )


def _parts(model: Model, settings: Settings) -> list[CLearning]:
    parts, matrix = [], 0
    for i, layer in enumerate(model.layers):
        last = i == len(model.layers) - 1
        place = CPlace(
            number=i,
            matrix=matrix,
            batch=settings.batch,
            window=settings.window,
            gate=settings.gate[i],
            band=settings.band[i],
            target="outputs" if last else f"inputs_{i + 1}",
            below=f"desired_{i - 1}" if i else None,
        )
        parts.append(layer.c_learning(place))
        matrix += len(layer.matrix_shapes)
    return parts


def _sample(model: Model, parts: list[CLearning], settings: Settings) -> list[str]:
    """``drop``, ``flush``, ``learn``."""
    last, words = len(parts) - 1, bits.num_words(model.num_outputs)
    row = f"&@prefix@_classifier[{words}u * c]"
    buffers = [f"{c_type} {name}[{length}];" for part in parts for c_type, name, length in part.buffers]
    take = [
        *(line for part in parts for line in part.places),
        *buffers,
        f"uint32_t outputs[{words}], c, i;",
        "int32_t logits[@PREFIX@_NUM_CLASSES];",
        "int found;",
        *(_state_up(model, last) if model.recurrent else ["@prefix@_encode(input, inputs_0);"]),
        *(line for part in parts[model.recurrent :] for line in part.forward),
        "for (c = 0; c < @PREFIX@_NUM_CLASSES; c++)",
        f"    logits[c] = {model.num_outputs} - 2 * (int32_t)@prefix@_distance({row}, outputs, {words}u);",
        "found = @prefix@_argmax(logits);",
        "@prefix@_filled++;",
        "@prefix@_hits += (uint32_t)(found == label);",
        "if (@prefix@_learns(logits, label)) {",
        f"    @prefix@_copy_words(&@prefix@_classifier[{words}u * (uint32_t)label], desired_{last}, {words}u);",
        *(f"    {line}" for part in reversed(parts) for line in part.backward),
        "    @prefix@_kept++;",
        "}",
        "return found;",
    ]
    flush = [
        "uint32_t key[2], next[2];",
        "if (@prefix@_filled == 0)",
        "    return;",
        "@prefix@_threefry(@prefix@_key, 0, next);",
        "@prefix@_threefry(@prefix@_key, 1, key);",
        "@prefix@_copy_words(next, @prefix@_key, 2);",
    ]
    counter = 0
    updates = [lines for part in parts for lines in part.updates]
    for i, ((n, k), lines) in enumerate(zip(model.matrix_shapes, updates, strict=True)):
        flush.append(
            f"@prefix@_update(@prefix@_hidden_{i}, @prefix@_signs_{i}, {n}u, {k}u, {lines}, key, {counter}u, "
            f"@prefix@_draw[{i}]);"
        )
        counter += n + k + 1
    flush += ["@prefix@_seen += @prefix@_filled;", "@prefix@_right += @prefix@_hits;", "@prefix@_drop();"]
    given = "int label" if model.recurrent else "const @prefix@_input_t *input, int label"
    handed = "label" if model.recurrent else "input, label"
    learn = [
        f"const int found = @prefix@_take({handed});",
        *(["@prefix@_steps = 0;", "@prefix@_place = 0;"] if model.recurrent else []),
        f"if (@prefix@_filled == {settings.batch}u)",
        "    @prefix@_flush();",
        "return found;",
    ]
    drop = [f"@prefix@_{name} = 0;" for name in ("filled", "kept", "hits", *(["rows"] if model.recurrent else []))]
    widths = " || ".join(f"(layer == {i}u && size <= {n}u)" for i, n in enumerate(model.widths))
    grow = [f"if (size == 0 || !({widths}))", "    return 1;", "@prefix@_group_size[layer] = size;", "return 0;"]
    return [
        "/* Forgets the batch that was begun. */",
        function("void @prefix@_drop(void)", drop),
        "/* One sample of the batch: forward, and backward if it learns. */",
        function(f"int @prefix@_take({given})", take),
        "/* The update of the batch, which need not be full. */",
        function("void @prefix@_flush(void)", flush),
        function(f"int @prefix@_learn({given})", learn),
        "/* Another group size of a layer, from 0; 1 where it is not from 1 to the width. */",
        function("int @prefix@_set_group_size(uint32_t layer, uint32_t size)", grow),
    ]


def _state_up(model: Model, last: int) -> list[str]:
    """The last state is the input of the layer above."""
    return [
        f"@prefix@_copy_words(@prefix@_state, {'inputs_1' if last else 'outputs'}, {bits.num_words(model.widths[0])}u);"
    ]


def _steps(model: Model, part: CLearning) -> list[str]:
    """``reset`` and ``step``, which keep what the way back through time needs."""
    width = model.widths[0]
    reset = [
        "uint32_t n;",
        f"@prefix@_clear(@prefix@_state, {bits.num_words(width)}u);",
        f"for (n = 0; n < {width}u; n++)",
        "    @prefix@_set(@prefix@_state, n, 1);",
        "@prefix@_steps = 0;",
        "@prefix@_place = 0;",
    ]
    return [
        function("void @prefix@_reset(void)", reset),
        function("void @prefix@_step(const @prefix@_input_t *input)", part.forward),
    ]

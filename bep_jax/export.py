"""Portable C: a trained network and its encoder as one C99 header without dependencies.

The header holds the signs of the weights at one bit each, and integer code alone: a neuron of K inputs with d of them
different from its weights has z = K - 2d, d a population count. Floats appear where the encoder's thresholds are
floats, and are only compared. No heap; buffers live on the stack, a recurrent network's state is static.

Axis letters: K inputs, N neurons, C classes, F features, b bits per feature, W words.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple, cast

import jax
import numpy as np

from bep_jax import bits
from bep_jax.chain import check_inputs
from bep_jax.encode import Composition, Encoder, Expansion, Thermometer, pack_host
from bep_jax.networks import Dense, Model, Params, Recurrent

_C_TYPES = {
    **{f"{sign}int{size}": f"{sign}int{size}_t" for sign in ("", "u") for size in (8, 16, 32, 64)},
    "float16": "float",
    "float32": "float",
    "float64": "double",
}
_LINE_LENGTH = 110


class _Stages(NamedTuple):
    """An encoder, taken apart."""

    input_type: str  # the C type of one input value
    num_inputs: int  # values that one call takes
    input_comment: str
    constants: list[str]  # definitions of arrays
    const_bytes: int
    is_float: bool
    body: list[str]  # lines of the function encode(input, words)
    stack_bytes: int


def to_c(model: Model, params: Params, encoder: Encoder | None = None, *, prefix: str = "bep") -> str:
    """Writes a network as a C99 header: exactly the predictions and logits of `bep_jax.logits`.

    An MLP gets ``int bep_predict(const bep_input_t *input)`` and ``void bep_logits(const bep_input_t *input, int32_t
    *logits)``. A recurrent network takes one call per time step: ``bep_reset()``, then ``bep_step(input)`` for every
    step, then ``bep_logits(logits)`` or ``bep_predict()``; all of the time steps that it was trained on, padding
    included (NaN, as in `bep_jax.datasets`), to get the same numbers. Both have ``bep_encode(input, words)``, and
    ``BEP_NUM_INPUTS``, ``BEP_NUM_CLASSES`` and the memory as macros: ``BEP_CONST_BYTES`` (weights, classifier,
    encoder), ``BEP_STATIC_BYTES`` (state that changes) and ``BEP_STACK_BYTES`` (the largest buffers of a call).

    ``bep_input_t`` is the dtype of the thermometer's thresholds: uint8 pixels are compared as integers, float32 as
    float, float16 as float, float64 as double. To feed another type, convert the thresholds first, for example
    ``Thermometer(encoder.thresholds.astype(np.float32))``, and train and test with that encoder. Without an encoder,
    or where it starts with an expansion, inputs are packed words as from `bep_jax.bits.pack`.

    Include the header in one C file: everything in it is ``static``.

    Args:
      model: a `Model` of dense layers, the first of which may be recurrent.
      params: its `Params`, hidden int16 ``[N, K]`` per matrix, of which only the signs count (sign(0) = +1), and
        classifier uint32 ``[C, W]``. One seed, without a leading seed axis.
      encoder: what makes ``model.num_inputs`` bits of an input: a `Thermometer`, an `Expansion`, a composition.
      prefix: of every symbol and, in capitals, every macro; made a lower-case C identifier.

    Returns:
      The text of the header.

    Raises:
      TypeError: an argument is of the wrong type, or C has no type for the thresholds.
      ValueError: params or encoder do not fit the model, or have a leading seed axis; prefix has no letter or digit.

    Example:
      >>> import bep_jax as bep
      >>> model = bep.mlp(num_inputs=6, widths=(15,), num_classes=2)
      >>> encoder = bep.encode.fit_median(np.array([[0, 7, 9, 0, 1, 1]], np.uint8))
      >>> header = to_c(model, model.init(jax.random.key(0)), encoder, prefix="my net")
      >>> "static inline int my_net_predict(const my_net_input_t *input)" in header
      True
      >>> "typedef uint8_t my_net_input_t;" in header, "#define MY_NET_CONST_BYTES 69 " in header
      (True, True)

    Source: arXiv 2512.04189, Eq. 2.
    """
    name = _identifier(prefix)
    _check(model, params)
    stages = _encoder_stages(model, encoder, name)
    hidden = [pack_host(np.asarray(h) >= 0) for h in params.hidden]
    matrices = [
        (f"{name}_hidden_{i}", words, f"signs of hidden matrix {i}, [{n}, {k}]")
        for i, (words, (n, k)) in enumerate(zip(hidden, model.matrix_shapes, strict=True))
    ]
    class_shape = f"[{model.num_classes}, {model.widths[-1]}]"
    matrices.append((f"{name}_classifier", np.asarray(params.classifier), f"class vectors, {class_shape}"))

    state_words = bits.num_words(model.widths[0]) if model.recurrent else 0
    const_bytes = stages.const_bytes + sum(words.nbytes for _, words, _ in matrices)
    sizes = {
        "NUM_INPUTS": (stages.num_inputs, stages.input_comment),
        "NUM_CLASSES": (model.num_classes, "int32_t logits that a call writes"),
        "CONST_BYTES": (const_bytes, "constants: weights, classifier, encoder"),
        "STATIC_BYTES": (4 * state_words, "static memory that changes, the state"),
        "STACK_BYTES": (_stack_bytes(model, stages), "the largest buffers of a call, on the stack"),
    }
    arrays = stages.constants + [_array("uint32_t", *matrix) for matrix in matrices]
    if state_words:
        ones = pack_host(np.ones((1, model.widths[0]), bool))
        arrays.append(_array("uint32_t", f"{name}_state", ones, "the state, starts all +1", const=False))
    functions = _recurrent_functions(model) if model.recurrent else _mlp_functions(model)
    head = _HEAD.replace("@DESCRIPTION@", _description(model, sizes)).replace("@USAGE@", _usage(model))
    parts = [
        head,
        *(["#include <math.h>"] if any("INFINITY" in array for array in stages.constants) else []),
        "#include <stdint.h>\n",
        *([_FINITE_MATH] if stages.is_float else []),
        *(f"#define @PREFIX@_{key} {value} /* {comment} */" for key, (value, comment) in sizes.items()),
        f"\ntypedef {stages.input_type} @prefix@_input_t;\n",
        *arrays,
        _KERNELS,
        _function("void @prefix@_encode(const @prefix@_input_t *input, uint32_t *words)", stages.body),
        *functions,
        "#endif",
    ]
    return "\n".join(parts).replace("@prefix@", name).replace("@PREFIX@", name.upper()) + "\n"


_HEAD = """\
/*
 * A binary network, written by bep_jax. C99, no dependencies, no heap.
 *
@DESCRIPTION@
 *
 * Include this file in one C file; everything in it is static.
 *
@USAGE@
 */
#ifndef @PREFIX@_H
#define @PREFIX@_H
"""

_FINITE_MATH = """\
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "NaN is a missing value: compile without -ffast-math and -ffinite-math-only."
#endif
"""

_KERNELS = """\
/* The compiler's builtin where it is an instruction; elsewhere it would call a function, which is slower than this. */
static inline uint32_t @prefix@_popcount(uint32_t x)
{
#if defined(__GNUC__) && (defined(__POPCNT__) || defined(__aarch64__) || defined(__riscv_zbb))
    return (uint32_t)__builtin_popcountl(x);
#else
    x = x - ((x >> 1) & 0x55555555u);
    x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    x = x + (x >> 8);
    return (x + (x >> 16)) & 0x3fu;
#endif
}

/* Bits that differ. */
static inline uint32_t @prefix@_distance(const uint32_t *a, const uint32_t *b, uint32_t num_words)
{
    uint32_t i, distance = 0;
    for (i = 0; i < num_words; i++)
        distance += @prefix@_popcount(a[i] ^ b[i]);
    return distance;
}

static inline void @prefix@_clear(uint32_t *words, uint32_t num_words)
{
    uint32_t i;
    for (i = 0; i < num_words; i++)
        words[i] = 0;
}

static inline void @prefix@_set(uint32_t *words, uint32_t bit)
{
    words[bit >> 5] |= (uint32_t)1 << (bit & 31u);
}

/* y = sign(weights x), weights [num_neurons, num_inputs]; sign(0) = +1. */
static inline void @prefix@_dense(const uint32_t *weights, uint32_t num_neurons, uint32_t num_inputs,
    const uint32_t *x, uint32_t *y)
{
    const uint32_t num_words = (num_inputs + 31u) / 32u;
    uint32_t n;
    @prefix@_clear(y, (num_neurons + 31u) / 32u);
    for (n = 0; n < num_neurons; n++) {
        if (2u * @prefix@_distance(weights, x, num_words) <= num_inputs)
            @prefix@_set(y, n);
        weights += num_words;
    }
}

/* The first class with the largest logit. */
static inline int @prefix@_argmax(const int32_t *logits)
{
    int c, best = 0;
    for (c = 1; c < @PREFIX@_NUM_CLASSES; c++)
        if (logits[c] > logits[best])
            best = c;
    return best;
}
"""


def _identifier(prefix: str) -> str:
    if not isinstance(prefix, str):
        raise TypeError(f"to_c: prefix must be text, got {prefix!r}.")
    name = re.sub(r"[^a-z0-9]+", "_", prefix.lower()).strip("_")
    if not name:
        raise ValueError(f"to_c: prefix must have a letter or digit of ASCII, got {prefix!r}.")
    return f"bep_{name}" if name[0].isdigit() else name


def _check(model: Model, params: Params) -> None:
    if not isinstance(model, Model):
        raise TypeError(f"to_c: wanted a Model, from bep.mlp or bep.rnn, got {type(model).__name__}.")
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, (Dense, Recurrent) if i == 0 else Dense):
            raise TypeError(f"to_c: layer {i} is a {type(layer).__name__}; wanted dense layers, the first may recur.")
    if not isinstance(params, Params):
        raise TypeError(f"to_c: wanted Params, got {type(params).__name__}.")
    if len(params.hidden) == len(model.matrix_shapes) and any(
        np.ndim(h) == 3 and h.shape[1:] == shape for h, shape in zip(params.hidden, model.matrix_shapes, strict=True)
    ):
        raise ValueError(
            f"to_c: params have a leading seed axis of {params.hidden[0].shape[0]}; pick one seed, for example "
            "jax.tree.map(lambda a: a[0], params)."
        )
    leading = (1, 1) if model.recurrent else (1,)
    x = np.zeros((*leading, bits.num_words(model.num_inputs)), np.uint32)
    check_inputs("to_c", model, params, cast(jax.Array, x))


def _encoder_stages(model: Model, encoder: Encoder | None, name: str) -> _Stages:
    """What the encoder becomes; without one, inputs are the packed words themselves."""
    encoders = list(_flat(encoder))
    constants: list[str] = []
    const_bytes, is_float = 0, False
    first = encoders[0] if encoders else None
    if isinstance(first, Thermometer):
        thresholds = first.thresholds
        if thresholds.dtype.name not in _C_TYPES:
            raise TypeError(f"to_c: C has no type for thresholds of {thresholds.dtype}; convert them to float64.")
        thresholds = thresholds.astype(np.float32) if thresholds.dtype == np.float16 else thresholds
        input_type, num_inputs = _C_TYPES[thresholds.dtype.name], first.num_features
        input_comment = f"{input_type} features that a call reads"
        is_float = thresholds.dtype.kind == "f"
        num_bits = first.num_bits
        shared = bool((thresholds == thresholds[0]).all())
        kept = thresholds[:1] if shared else thresholds
        comment = f"thresholds [{num_inputs}, {thresholds.shape[1]}]" + (
            ", the same for all features" if shared else ""
        )
        constants.append(_array(input_type, f"{name}_thresholds", kept, comment))
        const_bytes += kept.nbytes
        per_feature = thresholds.shape[1]
        place = "f" if per_feature == 1 else f"{per_feature}u * f + i"
        index = ("0" if per_feature == 1 else "i") if shared else place
        fill = [
            f"@prefix@_clear(@to@, {bits.num_words(num_bits)}u);",
            f"for (f = 0; f < {num_inputs}u; f++)",
            *([f"    for (i = 0; i < {per_feature}u; i++)"] if per_feature > 1 else []),
            f"        if (input[f] > @prefix@_thresholds[{index}])",
            f"            @prefix@_set(@to@, {place});",
        ]
        declared, wide = ["uint32_t f, i;" if per_feature > 1 else "uint32_t f;"], encoders[1:]
    else:
        num_bits = model.num_inputs if first is None else first.num_inputs
        input_type, num_inputs = "uint32_t", bits.num_words(num_bits)
        input_comment = f"words that a call reads: {num_bits} bits, bit i of word j is number 32 j + i"
        fill = [f"for (i = 0; i < {num_inputs}u; i++)", "    @to@[i] = input[i];"]
        if used := num_bits % bits.WORD_BITS:
            fill.append(f"@to@[{num_inputs - 1}] &= {hex((1 << used) - 1)}u; /* padding */")
        declared, wide = ["uint32_t i;"], encoders
    body, stack_bytes = list(fill), 0
    for i, stage in enumerate(wide):
        if not isinstance(stage, Expansion) or stage.num_inputs != num_bits:
            raise ValueError(f"to_c: stage {i} of the encoder does not take the {num_bits} bits of the one before.")
        constants.append(
            _array("uint32_t", f"{name}_expansion_{i}", stage.matrix, f"expansion, [{stage.num_bits}, {num_bits}]")
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
    return _Stages(input_type, num_inputs, input_comment, constants, const_bytes, is_float, body, stack_bytes)


def _flat(encoder: Encoder | tuple[Encoder, ...] | None) -> Iterable[Thermometer | Expansion]:
    if encoder is None:
        return
    if isinstance(encoder, Composition):
        for one in encoder.encoders:
            yield from _flat(one)
    elif isinstance(encoder, Thermometer | Expansion):
        yield encoder
    elif isinstance(encoder, tuple | list):
        raise ValueError(
            f"to_c: got {len(encoder)} encoders, one for each seed; pick one, for example encoder[0], and its params."
        )
    else:
        raise TypeError(
            f"to_c: encoder must be a Thermometer, an Expansion or a composition, got {type(encoder).__name__}."
        )


def _buffer_words(model: Model) -> tuple[int, int]:
    """Words of the buffers a, b that activations alternate between: input or state in a (a state in its own place)."""
    held = (0 if model.recurrent else model.num_inputs, *model.widths[model.recurrent :])
    words = [bits.num_words(n) for n in held]
    return max(words[0::2]), max(words[1::2], default=0)


def _stack_bytes(model: Model, stages: _Stages) -> int:
    """Buffers of the deepest path: predict -> logits -> encode, or step -> encode."""
    scores = 4 * (model.num_classes + sum(_buffer_words(model)))
    if not model.recurrent:
        return scores + stages.stack_bytes
    return max(scores, 4 * (bits.num_words(model.num_inputs) + bits.num_words(model.widths[0])) + stages.stack_bytes)


def _logits_body(model: Model) -> list[str]:
    """From the input, or from the state, to logits."""
    buffers = [f"{name}[{words}]" for name, words in zip("ab", _buffer_words(model), strict=True) if words]
    body = [f"uint32_t {', '.join([*buffers, 'c'])};"]
    if not model.recurrent:
        body.append("@prefix@_encode(input, a);")
    source = "@prefix@_state" if model.recurrent else "a"
    matrix = len(model.layers[0].matrix_shapes) if model.recurrent else 0
    for i, layer in enumerate(model.layers[model.recurrent :]):
        target = "ba"[i % 2]
        weights = f"@prefix@_hidden_{matrix + i}"
        body.append(f"@prefix@_dense({weights}, {layer.width}u, {layer.num_inputs}u, {source}, {target});")
        source = target
    width, words = model.widths[-1], bits.num_words(model.widths[-1])
    row = f"&@prefix@_classifier[{words}u * c]"
    return [
        *body,
        "for (c = 0; c < @PREFIX@_NUM_CLASSES; c++)",
        f"    logits[c] = {width} - 2 * (int32_t)@prefix@_distance({row}, {source}, {words}u);",
    ]


def _mlp_functions(model: Model) -> list[str]:
    given = "const @prefix@_input_t *input"
    return [
        _function(f"void @prefix@_logits({given}, int32_t *logits)", _logits_body(model)),
        _function(f"int @prefix@_predict({given})", _predict_body("input, logits")),
    ]


def _recurrent_functions(model: Model) -> list[str]:
    cell = model.layers[0]
    words_x, words_s = bits.num_words(cell.num_inputs), bits.num_words(cell.width)
    reset = [
        "uint32_t n;",
        f"@prefix@_clear(@prefix@_state, {words_s}u);",
        f"for (n = 0; n < {cell.width}u; n++)",
        "    @prefix@_set(@prefix@_state, n);",
    ]
    step = [
        f"uint32_t x[{words_x}], next[{words_s}], n, distance;",
        "@prefix@_encode(input, x);",
        f"@prefix@_clear(next, {words_s}u);",
        f"for (n = 0; n < {cell.width}u; n++) {{",
        f"    distance = @prefix@_distance(&@prefix@_hidden_0[{words_x}u * n], x, {words_x}u)",
        f"        + @prefix@_distance(&@prefix@_hidden_1[{words_s}u * n], @prefix@_state, {words_s}u);",
        f"    if (2u * distance <= {cell.num_inputs + cell.width}u)",
        "        @prefix@_set(next, n);",
        "}",
        f"for (n = 0; n < {words_s}u; n++)",
        "    @prefix@_state[n] = next[n];",
    ]
    return [
        _function("void @prefix@_reset(void)", reset),
        _function("void @prefix@_step(const @prefix@_input_t *input)", step),
        _function("void @prefix@_logits(int32_t *logits)", _logits_body(model)),
        _function("int @prefix@_predict(void)", _predict_body("logits")),
    ]


def _predict_body(arguments: str) -> list[str]:
    return [
        "int32_t logits[@PREFIX@_NUM_CLASSES];",
        f"@prefix@_logits({arguments});",
        "return @prefix@_argmax(logits);",
    ]


def _function(signature: str, body: list[str]) -> str:
    return "\n".join([f"static inline {signature}", "{", *(f"    {line}" for line in body), "}\n"])


def _array(c_type: str, name: str, values: np.ndarray, comment: str, const: bool = True) -> str:
    lines, line = [f"/* {comment} */", f"static {'const ' * const}{c_type} {name}[{values.size}] = {{"], ""
    for literal in map(_literal, values.reshape(-1)):
        if len(line) + len(literal) > _LINE_LENGTH:
            lines.append(f"    {line.rstrip()}")
            line = ""
        line += f"{literal}, "
    return "\n".join([*lines, f"    {line.rstrip(' ,')}", "};\n"])


def _literal(value: np.generic) -> str:
    """Exactly this value: floats in hexadecimal, words too."""
    number = value.item()
    if isinstance(number, float):
        if np.isinf(number):
            return "INFINITY" if number > 0 else "-INFINITY"
        return number.hex() + ("f" if value.dtype == np.float32 else "")
    if value.dtype == np.uint32:
        return f"0x{number:08x}u"
    if number == np.iinfo(np.int64).min:
        return "INT64_MIN"  # its digits alone fit no signed type
    return f"{number}{'u' * (value.dtype.kind == 'u')}"


def _description(model: Model, sizes: dict[str, tuple[int, str]]) -> str:
    kind = "Recurrent" if model.recurrent else "Multilayer perceptron"
    widths = " -> ".join(str(n) for n in (model.num_inputs, *model.widths, model.num_classes))
    lines = [f"{kind}, {widths} (bits in, neurons of each layer, classes)."]
    lines += [
        f"{comment[0].upper()}{comment[1:]}: {value} bytes."
        for key, (value, comment) in sizes.items()
        if key.endswith("BYTES")
    ]
    return "\n".join(f" * {line}" for line in lines)


def _usage(model: Model) -> str:
    lines = [
        "int @prefix@_predict(const @prefix@_input_t *input): the class, the first on ties",
        "void @prefix@_logits(const @prefix@_input_t *input, int32_t *logits)",
    ]
    if model.recurrent:
        lines = [
            "void @prefix@_reset(void): before every sequence",
            "void @prefix@_step(const @prefix@_input_t *input): for every time step",
            "int @prefix@_predict(void): after the last step; the class, the first on ties",
            "void @prefix@_logits(int32_t *logits): after the last step",
        ]
    return "\n".join(f" *   {line}" for line in lines)

"""Portable C: a trained network and its encoder as one C99 header without dependencies.

The header holds the signs of the weights at one bit each, and integer code alone: a neuron of K inputs with d of them
different from its weights has z = K - 2d, d a population count. Floats appear where the encoder's thresholds are
floats, and are only compared. No heap; buffers live on the stack, a recurrent network's state is static.

Axis letters: K inputs, N neurons, C classes, F features, b bits per feature, W words.
"""

import re
from typing import cast

import jax
import numpy as np

from bep_jax.data.columns import Columns
from bep_jax.data.encode import Encoder, pack_host
from bep_jax.export.encoder import encoder_stages
from bep_jax.export.network import mlp_functions, recurrent_functions, stack_bytes
from bep_jax.export.source import FINITE_MATH, HEAD, KERNELS, array, function, identifier
from bep_jax.kernels import bits
from bep_jax.learning.chain import check_inputs
from bep_jax.network.layers.layer import Layer
from bep_jax.network.model import Model, Params


def to_c(
    model: Model, params: Params, encoder: Encoder | None = None, *, prefix: str = "bep", columns: Columns | None = None
) -> str:
    """Writes a network as a C99 header: exactly the predictions and logits of `bep_jax.logits`.

    An MLP gets ``int bep_predict(const bep_input_t *input)`` and ``void bep_logits(const bep_input_t *input, int32_t
    *logits)``. A recurrent network takes one call per time step: ``bep_reset()``, then ``bep_step(input)`` for every
    step, then ``bep_logits(logits)`` or ``bep_predict()``; all of the time steps that it was trained on, padding
    included (NaN, as in `bep_jax.datasets`), to get the same numbers. Both have ``bep_encode(input, words)``, and
    ``BEP_NUM_INPUTS``, ``BEP_NUM_CLASSES`` and the memory as macros: ``BEP_CONST_BYTES`` (weights, classifier,
    encoder), ``BEP_STATIC_BYTES`` (state that changes) and ``BEP_STACK_BYTES`` (the largest buffers of a call).

    ``bep_input_t`` is the dtype of the thermometer's thresholds: uint8 pixels are compared as integers, float32 as
    float, float64 as double. To feed another type, convert the thresholds first, for example
    ``dataclasses.replace(encoder, thresholds=encoder.thresholds.astype(np.float32))``, and train and test with that
    encoder. Without an encoder,
    or where it starts with an expansion, inputs are packed words as from `bep_jax.bits.pack`.

    Include the header in one C file: everything in it is ``static``.

    Args:
      model: a `Model` of dense layers, the first of which may be recurrent.
      params: its `Params`, hidden int16 ``[N, K]`` per matrix, of which only the signs count (sign(0) = +1), and
        classifier uint32 ``[C, W]``. One seed, without a leading seed axis.
      encoder: what makes ``model.num_inputs`` bits of an input: a `Thermometer`, an `Expansion`, a composition.
      prefix: of every symbol and, in capitals, every macro; made a lower-case C identifier.
      columns: ``Dataset.columns`` of a table: a comment says which input is which.

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
    name = identifier(prefix)
    _check(model, params)
    stages = encoder_stages(model, encoder, name)
    hidden = [pack_host(np.asarray(h) >= 0) for h in params.hidden]
    matrices = [
        (f"{name}_hidden_{i}", words, f"signs of hidden matrix {i}, [{n}, {k}]")
        for i, (words, (n, k)) in enumerate(zip(hidden, model.matrix_shapes, strict=True))
    ]
    class_shape = f"[{model.num_classes}, {model.num_outputs}]"
    matrices.append((f"{name}_classifier", np.asarray(params.classifier), f"class vectors, {class_shape}"))

    state_words = bits.num_words(model.widths[0]) if model.recurrent else 0
    const_bytes = stages.const_bytes + sum(words.nbytes for _, words, _ in matrices)
    sizes = {
        "NUM_INPUTS": (stages.num_inputs, stages.input_comment),
        "NUM_CLASSES": (model.num_classes, "int32_t logits that a call writes"),
        "CONST_BYTES": (const_bytes, "constants: weights, classifier, encoder"),
        "STATIC_BYTES": (4 * state_words, "static memory that changes, the state"),
        "STACK_BYTES": (stack_bytes(model, stages.stack_bytes), "the largest buffers of a call, on the stack"),
    }
    arrays = stages.constants + [array("uint32_t", *matrix) for matrix in matrices]
    if state_words:
        ones = pack_host(np.ones((1, model.widths[0]), bool))
        arrays.append(array("uint32_t", f"{name}_state", ones, "the state, starts all +1", const=False))
    functions = recurrent_functions(model) if model.recurrent else mlp_functions(model)
    head = HEAD.replace("@DESCRIPTION@", _description(model, sizes)).replace("@USAGE@", _usage(model))
    parts = [
        head,
        *(["#include <math.h>"] if any("INFINITY" in text for text in stages.constants) else []),
        "#include <stdint.h>\n",
        *([FINITE_MATH] if stages.is_float else []),
        *(f"#define @PREFIX@_{key} {value} /* {comment} */" for key, (value, comment) in sizes.items()),
        *_inputs(columns, stages.num_inputs),
        f"\ntypedef {stages.input_type} @prefix@_input_t;\n",
        *arrays,
        KERNELS,
        function("void @prefix@_encode(const @prefix@_input_t *input, uint32_t *words)", stages.body),
        *functions,
        "#endif",
    ]
    return "\n".join(parts).replace("@prefix@", name).replace("@PREFIX@", name.upper()) + "\n"


def _inputs(columns: Columns | None, num_inputs: int) -> list[str]:
    """A comment with the name of every input."""
    if columns is None:
        return []
    if len(columns.names) != num_inputs:
        raise ValueError(f"to_c: the columns make {len(columns.names)} features, the encoder takes {num_inputs}.")
    names = [re.sub(r"[^ -~]|[*?\\]", "_", name) for name in columns.names]
    values = ["input[i] is", *(f"  {i}: {name}" for i, name in enumerate(names)), '"a = b" is 1 where a is b, else 0;']
    lines = [*values[: 1 + num_inputs], *(values[-1:] if any(" = " in name for name in names) else [])]
    return ["\n/* " + "\n * ".join([*lines, "a value that is missing is NAN."]) + " */"]


def _check(model: Model, params: Params) -> None:
    if not isinstance(model, Model):
        raise TypeError(f"to_c: wanted a Model, from bep.mlp or bep.rnn, got {type(model).__name__}.")
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, Layer) or (layer.over_time and i):
            raise TypeError(
                f"to_c: layer {i} is a {type(layer).__name__}; wanted layers derived from bep_jax.Layer, of which only "
                "the first may recur."
            )
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

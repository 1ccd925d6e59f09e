"""Portable C: a trained network and its encoder as one C99 header without dependencies.

The header holds the signs of the weights at one bit each, and integer code alone: a neuron of K inputs with d of them
different from its weights has z = K - 2d, d a population count. Floats appear where the encoder's thresholds are
floats, and are only compared. No heap; buffers live on the stack, a recurrent network's state is static.

Axis letters: K inputs, N neurons, C classes, F features, b bits per feature, W words.
"""

import re
from collections.abc import Sequence
from typing import cast

import jax
import numpy as np

from bep_jax.data.columns import Columns
from bep_jax.data.encode import Encoder, pack_host
from bep_jax.export.encoder import Stages, encoder_stages
from bep_jax.export.helpers import helper_functions, missing_bytes
from bep_jax.export.network import mlp_functions, recurrent_functions, stack_bytes
from bep_jax.export.on_device.network import Learning, Settings, learning
from bep_jax.export.on_device.state import Fixed
from bep_jax.export.source import FINITE_MATH, HEAD, KERNELS, array, function, identifier
from bep_jax.kernels import bits
from bep_jax.kernels.checks import check_count, check_flag, check_several, check_type
from bep_jax.learning.chain import check_inputs
from bep_jax.learning.optimizer import OptimizerState, check_state, optimizer
from bep_jax.learning.rule import Limits, Rule, limits_of
from bep_jax.network.layers.layer import Layer
from bep_jax.network.model import Model, Params, check_params


def to_c(
    model: Model,
    params: Params,
    encoder: Encoder | None = None,
    *,
    prefix: str = "bep",
    rule: Rule | Limits | None = None,
    batch_size: int | None = None,
    opt_state: OptimizerState | None = None,
    window: int | None = None,
    columns: Columns | None = None,
    classes: Sequence[str] | None = None,
    ensemble: bool = False,
) -> str:
    """Writes a network as a C99 header: exactly the predictions and logits of `bep_jax.logits`.

    An MLP gets ``int bep_predict(const bep_input_t *input)`` and ``void bep_logits(const bep_input_t *input, int32_t
    *logits)``. A recurrent network takes one call per time step: ``bep_reset()``, then ``bep_step(input)`` for every
    step, then ``bep_logits(logits)`` or ``bep_predict()``; all of the time steps that it was trained on, padding
    included (NaN, as in `bep_jax.datasets`), to get the same numbers. Both have ``bep_encode(input, words)``, and
    ``BEP_NUM_INPUTS``, ``BEP_NUM_CLASSES`` and the memory as macros: ``BEP_CONST_BYTES`` (weights, classifier,
    encoder), ``BEP_STATIC_BYTES`` (state that changes) and ``BEP_STACK_BYTES`` (the largest buffers of a call).

    ``int bep_decide(input, least)`` (recurrent: ``bep_decide(least)``) is ``bep_predict``, but -1 where the logit of
    the class is not ahead of all others by ``least``.

    ``bep_input_t`` is the dtype of the thermometer's thresholds: uint8 pixels are compared as integers, float32 as
    float, float64 as double. To feed another type, convert the thresholds first, for example
    ``dataclasses.replace(encoder, thresholds=encoder.thresholds.astype(np.float32))``, and train and test with that
    encoder. Without an encoder,
    or where it starts with an expansion, inputs are packed words as from `bep_jax.bits.pack`.

    With a rule the network learns where it runs, in integers alone, and every bit is that of `bep_jax.step`: ``int
    bep_learn(input, label)`` (recurrent: ``bep_learn(label)`` after the steps of a sequence) takes one sample of a
    mini-batch and returns its prediction before learning; when ``batch_size`` are there, weights change.
    ``bep_flush()`` is the update of a batch that is not full, ``bep_end_epoch()`` flushes and rescales reinforcement
    to the training error (`rescale` with ``1 - correct / n``), ``bep_set_group_size(layer, size)`` is for a schedule,
    and ``bep_save(buffer)`` and ``bep_load(buffer)`` keep what was learned in ``BEP_STATE_BYTES`` bytes, which
    `load_c_state` reads. ``BEP_RAM_BYTES`` is all memory that learning takes, static and stack. A label that is no
    class makes its sample inactive, as under jit.

    Include the header in one C file: everything in it is ``static``.

    Args:
      model: a `Model` of dense layers and convolutions, the first of which may be recurrent.
      params: its `Params`, hidden int16 ``[N, K]`` per matrix, of which only the signs count (sign(0) = +1) unless
        the network learns, and classifier uint32 ``[C, W]``. One seed, without a leading seed axis, unless they are
        an ensemble.
      encoder: what makes ``model.num_inputs`` bits of an input: a `Thermometer`, an `Edges`, a `Rocket`, a `Union`, an
        `Expansion`, a composition.
      prefix: of every symbol and, in capitals, every macro; made a lower-case C identifier.
      rule: a `Rule`, or the `Limits` that it means for this model, for a network that learns. Hidden weights take one
        byte where the rule has ``bits=8``, else two; those beyond its limit are cut to it.
      batch_size: samples of an update; times the time steps, or the patches of a convolution, 1 to 65535; default 16.
      opt_state: the `OptimizerState` that the first update starts from; default
        ``optimizer(rule, jax.random.key(0)).init(params.hidden)``.
      window: recurrent: T, the time steps of a sample, ``BEP_WINDOW``; ``bep_classify(series, length)`` then cuts and
        pads whole series as `bep_jax.export.predict` does it, and ``bep_read`` does so for ``bep_learn``. Of a network
        that learns, errors travel back so many steps at most, and no more than its ``horizon``; one of the two is
        needed.
      columns: ``Dataset.columns`` of a table: a comment says which input is which.
      classes: C names: a comment says which class is which, and ``const char *bep_class_name(int c)``.
      ensemble: params have a leading axis ``[S]``, as in `Result`: S networks in one header, ``BEP_NUM_NETWORKS``,
        whose logits are summed. It cannot learn.

    Returns:
      The text of the header.

    Raises:
      TypeError: an argument is of the wrong type, or C has no type for the thresholds.
      ValueError: params or encoder do not fit the model, or have a leading seed axis; prefix has no letter or digit;
        what a network needs for learning is missing, out of range, or given without a rule; an ensemble learns.

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
    if classes is not None:
        classes = check_several(classes, "classes", "to_c")
        for one in classes:
            check_type(one, str, "every one of classes", "to_c")
    if check_flag(ensemble, "ensemble", "to_c") and rule is not None:
        raise ValueError("to_c: networks learn one by one: give a rule, or ensemble=True.")
    networks = _check(model, params, ensemble)
    stages = encoder_stages(model, encoder, name)
    learns = _learning(model, params, rule, batch_size, opt_state, window, stages)
    of = f"{networks} times " if networks > 1 else ""
    signs = [pack_host(np.asarray(h) >= 0) for h in params.hidden]
    matrices = [
        (f"{name}_signs_{i}", words, f"signs of hidden matrix {i}, {of}[{n}, {k}]")
        for i, (words, (n, k)) in enumerate(zip(signs, model.matrix_shapes, strict=True))
    ]
    class_shape = f"[{model.num_classes}, {model.num_outputs}]"
    classifier = np.asarray(params.classifier)
    arrays = [array("uint32_t", *matrix, const=learns is None) for matrix in matrices]
    arrays.append(array("uint32_t", f"{name}_classifier", classifier, f"class vectors, {of}{class_shape}"))

    state_words = bits.num_words(model.widths[0]) if model.recurrent else 0
    sign_bytes = sum(words.nbytes for words in signs)
    const_bytes = stages.const_bytes + sign_bytes + classifier.nbytes
    static_bytes, stack = 4 * networks * state_words, stack_bytes(model, stages.stack_bytes, networks)
    constants = "constants: weights, classifier, encoder"
    if learns is not None:
        const_bytes += learns.const_bytes + learns.initial_bytes
        static_bytes += learns.static_bytes + sign_bytes
        stack = max(stack, learns.stack_bytes)
        constants = "constants: classifier, encoder, and first values of what learns"
    stack += missing_bytes(model, stages, window)
    sizes: dict[str, tuple[int | str, str]] = {
        "NUM_INPUTS": (stages.num_inputs, stages.input_comment),
        "NUM_CLASSES": (model.num_classes, "int32_t logits that a call writes"),
        **({"NUM_NETWORKS": (networks, "whose logits are summed")} if networks > 1 else {}),
        "CONST_BYTES": (const_bytes, constants),
        "STATIC_BYTES": (static_bytes, "static memory that changes"),
        "STACK_BYTES": (stack, "the largest buffers of a call, on the stack"),
    }
    if model.recurrent and window is not None:
        sizes["WINDOW"] = (check_count(window, "window", "to_c"), "time steps of a sample")
    if learns is not None:
        sizes["RAM_BYTES"] = (static_bytes + stack, "all memory that changes: static and stack")
        sizes["STATE_BYTES"] = (learns.state_bytes, "what bep_save writes")
        sizes["BATCH_SIZE"] = (learns.batch, "samples of an update")
        sizes["NETWORK"] = (f"0x{learns.network:08x}u", "what tells saved states of other networks apart")
    if state_words:
        ones = pack_host(np.ones((networks, model.widths[0]), bool))
        arrays.append(array("uint32_t", f"{name}_state", ones, "the state, starts all +1", const=False))
    if learns is not None:
        arrays += learns.arrays
    functions = recurrent_functions(model, networks) if model.recurrent else mlp_functions(model, networks)
    helpers = helper_functions(model, stages, window, classes)
    head = HEAD.replace("@DESCRIPTION@", _description(model, sizes)).replace("@USAGE@", _usage(model))
    parts = [
        head,
        *(
            ["#include <math.h>"]
            if any("INFINITY" in text or "NAN" in text for text in (*stages.constants, *helpers))
            else []
        ),
        "#include <stdint.h>\n",
        *([FINITE_MATH] if stages.is_float else []),
        *(f"#define @PREFIX@_{key} {value} /* {comment} */" for key, (value, comment) in sizes.items()),
        *_inputs(columns, stages.num_inputs),
        *_classes(classes, model.num_classes),
        f"\ntypedef {stages.input_type} @prefix@_input_t;\n",
        *(learns.types if learns is not None else []),
        *stages.constants,
        *arrays,
        KERNELS,
        *dict.fromkeys(layer.c_support for layer in model.layers if layer.c_support),
        function("void @prefix@_encode(const @prefix@_input_t *input, uint32_t *words)", stages.body),
        *(functions if learns is None or not model.recurrent else functions[2:]),
        *(learns.functions if learns is not None else []),
        *helpers,
        "#endif",
    ]
    return "\n".join(parts).replace("@prefix@", name).replace("@PREFIX@", name.upper()) + "\n"


def _inputs(columns: Columns | None, num_inputs: int) -> list[str]:
    """A comment with the name of every input."""
    if columns is None:
        return []
    check_type(columns, Columns, "columns", "to_c")
    if len(columns.names) != num_inputs:
        raise ValueError(f"to_c: the columns make {len(columns.names)} features, the encoder takes {num_inputs}.")
    names = [_plain(name) for name in columns.names]
    lines = ["input[i] is", *(f"  {i}: {name}" for i, name in enumerate(names))]
    if any(" = " in name for name in names):
        lines.append('"a = b" is 1 where a is b, else 0;')
    return ["\n/* " + "\n * ".join([*lines, "a value that is missing is NAN."]) + " */"]


def _classes(classes: tuple[str, ...] | None, num_classes: int) -> list[str]:
    """A comment with the name of every class."""
    if classes is None:
        return []
    if len(classes) != num_classes:
        raise ValueError(f"to_c: the model has {num_classes} classes, got {len(classes)} names.")
    return ["\n/* classes are " + ", ".join(f"{i}: {_plain(name)}" for i, name in enumerate(classes)) + " */"]


def _plain(name: str) -> str:
    """A name that may stand in a comment."""
    return re.sub(r"[^ -~]|[*?\\]", "_", name)


def _learning(model, params, rule, batch_size, opt_state, window, stages: Stages) -> Learning | None:
    """The parts of a network that learns, or None."""
    if rule is None:
        if batch_size is not None or opt_state is not None:
            raise ValueError("to_c: batch_size and opt_state are for networks that learn; give the rule, too.")
        return None
    if not isinstance(rule, Rule | Limits):
        raise TypeError(f"to_c: rule must be a Rule or Limits, got {type(rule).__name__}.")
    limits = limits_of(model, rule)
    if limits.margin.ndim:
        raise ValueError(f"to_c: limits have a leading axis of {limits.margin.shape[0]} seeds; pick one.")
    batch = check_count(16 if batch_size is None else batch_size, "batch_size", "to_c")
    steps = 1
    if model.recurrent:
        steps = min((n for n in (window, model.layers[0].horizon) if n is not None), default=0)
        if not steps:
            raise ValueError("to_c: a recurrent network learns over a window: give window, the time steps of a sample.")
    positions = max(steps if layer.over_time else layer.positions() for layer in model.layers)
    if batch * positions > 65535:
        raise ValueError(
            "to_c: batch_size times the positions of a layer, time steps or patches, must be at most 65535, got "
            f"{batch} x {positions}."
        )
    if opt_state is None:
        opt_state = optimizer(limits, jax.random.key(0, impl="threefry2x32")).init(params.hidden)
    check_type(opt_state, OptimizerState, "opt_state", "to_c")
    check_state("to_c: opt_state", opt_state, values=True)
    if opt_state.draw.shape != (len(model.matrix_shapes),):
        raise TypeError("to_c: opt_state must be an OptimizerState of one network of this model.")
    key = opt_state.key
    if jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key):
        if str(jax.random.key_impl(key)) != "threefry2x32":
            raise ValueError(f"to_c: the draws need a key of threefry2x32, got {jax.random.key_impl(key)}.")
        key = jax.random.key_data(key)
    if all(bool((np.abs(np.asarray(h)) == 1).all()) for h in params.hidden):
        raise ValueError(
            "to_c: these hidden weights are signs alone, all ±1, as of a file without hidden weights, and one sample "
            "would turn them; train with --hidden or save with hidden=True, or multiply them: the larger, the slower "
            "to forget."
        )
    saturation = int(opt_state.saturation)
    settings = Settings(
        batch=batch,
        window=steps,
        margin=int(limits.margin),
        gate=tuple(int(g) for g in limits.gate),
        band=tuple(int(b) for b in limits.band),
        group_size=np.asarray(limits.group_size),
        key=np.asarray(key),
        draw=np.asarray(opt_state.draw),
        fixed=Fixed(np.asarray(opt_state.base), saturation, np.asarray(params.classifier)),
    )
    hidden = [np.clip(np.asarray(h), -saturation, saturation) for h in params.hidden]
    return learning(model, hidden, settings, stages.stack_bytes)


def _check(model: Model, params: Params, ensemble: bool) -> int:
    """How many networks there are."""
    if not isinstance(model, Model):
        raise TypeError(f"to_c: wanted a Model, from bep.mlp or bep.rnn, got {type(model).__name__}.")
    for i, layer in enumerate(model.layers):
        if not isinstance(layer, Layer) or (layer.over_time and i):
            raise TypeError(
                f"to_c: layer {i} is a {type(layer).__name__}; wanted layers derived from bep_jax.Layer, of which only "
                "the first may recur."
            )
    check_params(params, "to_c")
    networks = 1
    if ensemble:
        counts = {np.shape(a)[0] if np.ndim(a) == 3 else 0 for a in (*params.hidden, params.classifier)}
        if len(counts) > 1 or 0 in counts:
            raise ValueError("to_c: ensemble=True wants params with the same leading axis everywhere, the networks.")
        networks = counts.pop()
        params = jax.tree.map(lambda a: a[0], params)
    elif len(params.hidden) == len(model.matrix_shapes) and any(
        np.ndim(h) == 3 and h.shape[1:] == shape for h, shape in zip(params.hidden, model.matrix_shapes, strict=True)
    ):
        raise ValueError(
            f"to_c: params have a leading seed axis of {params.hidden[0].shape[0]}; pick one seed, for example "
            "jax.tree.map(lambda a: a[0], params), or take all of them with ensemble=True."
        )
    leading = (1, 1) if model.recurrent else (1,)
    x = np.zeros((*leading, bits.num_words(model.num_inputs)), np.uint32)
    check_inputs("to_c", model, params, cast(jax.Array, x))
    return networks


def _description(model: Model, sizes: dict[str, tuple[int | str, str]]) -> str:
    tied = any(layer.num_outputs != layer.width for layer in model.layers)
    kind = "Recurrent" if model.recurrent else "Convolutional network" if tied else "Multilayer perceptron"
    sizes_up = " -> ".join(
        str(n) for n in (model.num_inputs, *(layer.num_outputs for layer in model.layers), model.num_classes)
    )
    count = f"Ensemble of {sizes['NUM_NETWORKS'][0]}. " if "NUM_NETWORKS" in sizes else ""
    lines = [f"{count}{kind}, {sizes_up} (bits in, bits out of each layer, classes)."]
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

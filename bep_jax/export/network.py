"""A network as C: the functions from packed inputs to logits, and the buffers that they take.

The arrays of several networks lie one behind the other; a loop points to those of one at a time, and logits add up.
"""

from collections.abc import Iterable

from bep_jax.export.source import function
from bep_jax.kernels import bits
from bep_jax.network.model import Model


def mlp_functions(model: Model, networks: int = 1) -> list[str]:
    """``logits`` and ``predict``, of so many networks together."""
    given = "const @prefix@_input_t *input"
    return [
        function(f"void @prefix@_logits({given}, int32_t *logits)", _logits_body(model, networks)),
        function(f"int @prefix@_predict({given})", _predict_body("input, logits")),
    ]


def recurrent_functions(model: Model, networks: int = 1) -> list[str]:
    """``reset``, ``step``, ``logits`` and ``predict``, of so many networks together."""
    cell, names, state = model.layers[0], _names(model, networks)[0], _local("state", networks)
    words_x, words_s = bits.num_words(cell.num_inputs), bits.num_words(cell.width)
    counter = ", network" if networks > 1 else ""
    ones = [
        f"@prefix@_clear({state}, {words_s}u);",
        f"for (n = 0; n < {cell.width}u; n++)",
        f"    @prefix@_set({state}, n, 1);",
    ]
    forward = cell.c_forward(names, "x", state)
    reset = [f"uint32_t n{counter};", *_each(networks, [_state(words_s)], ones)]
    step = [
        f"uint32_t x[{words_x}], next[{words_s}], n, distance{counter};",
        "@prefix@_encode(input, x);",
        *_each(networks, [*_signs(model, model.split(range(len(model.matrix_shapes)))[0]), _state(words_s)], forward),
    ]
    return [
        function("void @prefix@_reset(void)", reset),
        function("void @prefix@_step(const @prefix@_input_t *input)", step),
        function("void @prefix@_logits(int32_t *logits)", _logits_body(model, networks)),
        function("int @prefix@_predict(void)", _predict_body("logits")),
    ]


def stack_bytes(model: Model, encoder_bytes: int, networks: int = 1) -> int:
    """Buffers of the deepest path: predict -> logits -> encode, or step -> encode."""
    own = max(layer.c_words for layer in model.layers)
    scores = 4 * (model.num_classes + sum(_buffers(model, networks).values()) + own)
    if not model.recurrent:
        return scores + encoder_bytes
    return max(scores, 4 * (bits.num_words(model.num_inputs) + bits.num_words(model.widths[0])) + encoder_bytes)


def _logits_body(model: Model, networks: int = 1) -> list[str]:
    """From the input, or from the state, to logits."""
    together = networks > 1
    buffers = [f"{name}[{words}]" for name, words in _buffers(model, networks).items() if words]
    source = _local("state", networks) if model.recurrent else "x" if together else "a"
    encoded = [] if model.recurrent else [f"@prefix@_encode(input, {source});"]
    upper = list(zip(model.layers, _names(model, networks), strict=True))[model.recurrent :]
    body = []
    for i, (layer, names) in enumerate(upper):
        target = "ba"[i % 2]
        body += layer.c_forward(names, source, target)
        source = target
    width, words = model.num_outputs, bits.num_words(model.num_outputs)
    row = f"&{_local('classifier', networks)}[{words}u * c]"
    body += [
        "for (c = 0; c < @PREFIX@_NUM_CLASSES; c++)",
        f"    logits[c] {'+' * together}= {width} - 2 * (int32_t)@prefix@_distance({row}, {source}, {words}u);",
    ]
    matrices = [m for part in model.split(range(len(model.matrix_shapes)))[model.recurrent :] for m in part]
    places = [
        *_signs(model, matrices),
        *([_state(bits.num_words(model.widths[0]))] if model.recurrent else []),
        f"const uint32_t *const classifier = &@prefix@_classifier[{words * model.num_classes}u * network];",
    ]
    zeros = ["for (c = 0; c < @PREFIX@_NUM_CLASSES; c++)", "    logits[c] = 0;"] if together else []
    counters = ["c", "network"] if together else ["c"]
    return [f"uint32_t {', '.join([*buffers, *counters])};", *encoded, *zeros, *_each(networks, places, body)]


def _predict_body(arguments: str) -> list[str]:
    return [
        "int32_t logits[@PREFIX@_NUM_CLASSES];",
        f"@prefix@_logits({arguments});",
        "return @prefix@_argmax(logits);",
    ]


def _names(model: Model, networks: int) -> list[tuple[str, ...]]:
    """Of each layer's matrices."""
    return model.split([_local(f"signs_{i}", networks) for i in range(len(model.matrix_shapes))])


def _local(name: str, networks: int) -> str:
    """An array, or what points to the part of one network."""
    return name if networks > 1 else f"@prefix@_{name}"


def _each(networks: int, places: list[str], body: list[str]) -> list[str]:
    """The same for every network, pointed to by ``places``."""
    if networks == 1:
        return body
    inside = [f"    {line}" for line in (*places, *body)]
    return ["for (network = 0; network < @PREFIX@_NUM_NETWORKS; network++) {", *inside, "}"]


def _signs(model: Model, matrices: Iterable[int]) -> list[str]:
    sizes = [(i, *model.matrix_shapes[i]) for i in matrices]
    return [
        f"const uint32_t *const signs_{i} = &@prefix@_signs_{i}[{n * bits.num_words(k)}u * network];"
        for i, n, k in sizes
    ]


def _state(words: int) -> str:
    return f"uint32_t *const state = &@prefix@_state[{words}u * network];"


def _buffers(model: Model, networks: int) -> dict[str, int]:
    """Words of the buffers a, b that activations alternate between: input or state in a (a state in its own place).

    Of several networks the input is in x, for the next one, too.
    """
    outputs = [layer.num_outputs for layer in model.layers[model.recurrent :]]
    apart = networks > 1 and not model.recurrent
    held = (0 if model.recurrent or apart else model.num_inputs, *outputs)
    words = [bits.num_words(n) for n in held]
    return {
        "a": max(words[0::2]),
        "b": max(words[1::2], default=0),
        "x": bits.num_words(model.num_inputs) if apart else 0,
    }

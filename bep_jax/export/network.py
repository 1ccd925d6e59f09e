"""A network as C: the functions from packed inputs to logits, and the buffers that they take."""

from bep_jax.export.source import function
from bep_jax.kernels import bits
from bep_jax.network.model import Model


def mlp_functions(model: Model) -> list[str]:
    """``logits`` and ``predict``."""
    given = "const @prefix@_input_t *input"
    return [
        function(f"void @prefix@_logits({given}, int32_t *logits)", logits_body(model)),
        function(f"int @prefix@_predict({given})", predict_body("input, logits")),
    ]


def recurrent_functions(model: Model) -> list[str]:
    """``reset``, ``step``, ``logits`` and ``predict``."""
    cell = model.layers[0]
    words_x, words_s = bits.num_words(cell.num_inputs), bits.num_words(cell.width)
    reset = [
        "uint32_t n;",
        f"@prefix@_clear(@prefix@_state, {words_s}u);",
        f"for (n = 0; n < {cell.width}u; n++)",
        "    @prefix@_set(@prefix@_state, n, 1);",
    ]
    step = [
        f"uint32_t x[{words_x}], next[{words_s}], n, distance;",
        "@prefix@_encode(input, x);",
        *cell.c_forward(weights(model)[0], "x", "@prefix@_state"),
    ]
    return [
        function("void @prefix@_reset(void)", reset),
        function("void @prefix@_step(const @prefix@_input_t *input)", step),
        function("void @prefix@_logits(int32_t *logits)", logits_body(model)),
        function("int @prefix@_predict(void)", predict_body("logits")),
    ]


def stack_bytes(model: Model, encoder_bytes: int) -> int:
    """Buffers of the deepest path: predict -> logits -> encode, or step -> encode."""
    own = max(layer.c_words for layer in model.layers)
    scores = 4 * (model.num_classes + sum(_buffer_words(model)) + own)
    if not model.recurrent:
        return scores + encoder_bytes
    return max(scores, 4 * (bits.num_words(model.num_inputs) + bits.num_words(model.widths[0])) + encoder_bytes)


def logits_body(model: Model) -> list[str]:
    """From the input, or from the state, to logits."""
    buffers = [f"{name}[{words}]" for name, words in zip("ab", _buffer_words(model), strict=True) if words]
    body = [f"uint32_t {', '.join([*buffers, 'c'])};"]
    if not model.recurrent:
        body.append("@prefix@_encode(input, a);")
    source = "@prefix@_state" if model.recurrent else "a"
    upper = list(zip(model.layers, weights(model), strict=True))[model.recurrent :]
    for i, (layer, names) in enumerate(upper):
        target = "ba"[i % 2]
        body += layer.c_forward(names, source, target)
        source = target
    width, words = model.num_outputs, bits.num_words(model.num_outputs)
    row = f"&@prefix@_classifier[{words}u * c]"
    return [
        *body,
        "for (c = 0; c < @PREFIX@_NUM_CLASSES; c++)",
        f"    logits[c] = {width} - 2 * (int32_t)@prefix@_distance({row}, {source}, {words}u);",
    ]


def weights(model: Model) -> list[tuple[str, ...]]:
    """Names of each layer's matrices."""
    names = [f"@prefix@_signs_{i}" for i in range(len(model.matrix_shapes))]
    return model.split(names)


def predict_body(arguments: str) -> list[str]:
    return [
        "int32_t logits[@PREFIX@_NUM_CLASSES];",
        f"@prefix@_logits({arguments});",
        "return @prefix@_argmax(logits);",
    ]


def _buffer_words(model: Model) -> tuple[int, int]:
    """Words of the buffers a, b that activations alternate between: input or state in a (a state in its own place)."""
    outputs = [layer.num_outputs for layer in model.layers[model.recurrent :]]
    held = (0 if model.recurrent else model.num_inputs, *outputs)
    words = [bits.num_words(n) for n in held]
    return max(words[0::2]), max(words[1::2], default=0)

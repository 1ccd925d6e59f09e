"""What was learned, as bytes: ``save`` and ``load`` in C, and the way back to Python, `load_c_state`.

The bytes, little-endian whatever the machine: ``BEP`` and the format's version; the network, a CRC-32 of the model and
of all that never changes; hidden weights, of one byte where they saturate at 127, else of two; the key; for each matrix
the threshold of its draws; for each layer its group size; samples seen and classified right in this epoch; what never
changes, for Python: saturation, base probabilities, class vectors; and a CRC-32 of everything.

Axis letters: L layers, M matrices, N neurons, K inputs, C classes, W = ceil(K / 32) words.
"""

import zlib
from typing import NamedTuple

import jax
import numpy as np

from bep_jax.export.source import function
from bep_jax.kernels import bits
from bep_jax.learning.optimizer import OptimizerState
from bep_jax.network.model import Model, Params

_MAGIC = b"BEP\x01"

_STATE = """\
/* ---- What was learned, as bytes ---- */

static inline uint32_t @prefix@_crc(const uint8_t *bytes, uint32_t size)
{
    uint32_t i, bit, crc = 0xffffffffu;
    for (i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (bit = 0; bit < 8u; bit++)
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
    }
    return ~crc;
}

static inline uint8_t *@prefix@_put(uint8_t *to, uint32_t value, uint32_t size)
{
    for (; size != 0; size--) {
        *to++ = (uint8_t)(value & 0xffu);
        value >>= 8;
    }
    return to;
}

static inline uint32_t @prefix@_get(const uint8_t *from, uint32_t size)
{
    uint32_t value = 0;
    while (size != 0)
        value = value << 8 | from[--size];
    return value;
}

static inline uint8_t *@prefix@_put_words(uint8_t *to, const uint32_t *words, uint32_t count)
{
    for (; count != 0; count--)
        to = @prefix@_put(to, *words++, 4);
    return to;
}

static inline const uint8_t *@prefix@_get_words(const uint8_t *from, uint32_t *words, uint32_t count)
{
    for (; count != 0; count--, from += 4)
        *words++ = @prefix@_get(from, 4);
    return from;
}

static inline uint8_t *@prefix@_put_hidden(uint8_t *to, const @prefix@_weight_t *hidden, uint32_t count)
{
    for (; count != 0; count--)
        to = @prefix@_put(to, (uint32_t)*hidden++, @BYTES@);
    return to;
}

static inline const uint8_t *@prefix@_get_hidden(const uint8_t *from, @prefix@_weight_t *hidden, uint32_t *signs,
    uint32_t num_neurons, uint32_t num_inputs)
{
    uint32_t n, k;
    for (n = 0; n < num_neurons; n++, signs += (num_inputs + 31u) / 32u) {
        @prefix@_clear(signs, (num_inputs + 31u) / 32u);
        for (k = 0; k < num_inputs; k++, from += @BYTES@, hidden++) {
            *hidden = (@prefix@_weight_t)((int32_t)(@prefix@_get(from, @BYTES@) ^ @TOP@u) - @TOP@);
            @prefix@_set(signs, k, *hidden >= 0);
        }
    }
    return from;
}
"""


class Fixed(NamedTuple):
    """What a state's bytes hold that never changes."""

    base: np.ndarray  # uint32 [M, 2]
    saturation: int
    classifier: np.ndarray  # uint32 [C, W]


def state_bytes(model: Model, saturation: int) -> int:
    """The length of a state."""
    weights = sum(n * k for n, k in model.matrix_shapes) * weight_bytes(saturation)
    words = 12 * len(model.matrix_shapes) + 4 * len(model.layers)
    return 32 + weights + words + 4 * model.num_classes * bits.num_words(model.num_outputs)


def weight_bytes(saturation: int) -> int:
    """Of one hidden weight."""
    return 1 if saturation < 128 else 2


def state_functions(model: Model, fixed: Fixed) -> list[str]:
    """``save`` and ``load``."""
    size, layers, matrices = weight_bytes(fixed.saturation), len(model.layers), len(model.matrix_shapes)
    words_c = fixed.classifier.size
    save = [
        "uint8_t *to = buffer;",
        f"to = @prefix@_put(to, 0x{int.from_bytes(_MAGIC, 'little'):08x}u, 4);",
        "to = @prefix@_put(to, @PREFIX@_NETWORK, 4);",
        *(f"to = @prefix@_put_hidden(to, @prefix@_hidden_{i}, {n * k}u);" for i, (n, k) in _numbered(model)),
        "to = @prefix@_put_words(to, @prefix@_key, 2);",
        f"to = @prefix@_put_words(to, @prefix@_draw, {matrices}u);",
        f"to = @prefix@_put_words(to, @prefix@_group_size, {layers}u);",
        "to = @prefix@_put(to, @prefix@_seen, 4);",
        "to = @prefix@_put(to, @prefix@_right, 4);",
        f"to = @prefix@_put(to, {fixed.saturation}u, 4);",
        f"to = @prefix@_put_words(to, @prefix@_base, {2 * matrices}u);",
        f"to = @prefix@_put_words(to, @prefix@_classifier, {words_c}u);",
        "@prefix@_put(to, @prefix@_crc(buffer, @PREFIX@_STATE_BYTES - 4u), 4);",
    ]
    load = [
        "const uint8_t *from = buffer + 8;",
        f"if (@prefix@_get(buffer, 4) != 0x{int.from_bytes(_MAGIC, 'little'):08x}u)",
        "    return 1;",
        "if (@prefix@_get(buffer + 4, 4) != @PREFIX@_NETWORK)",
        "    return 2;",
        "if (@prefix@_get(buffer + (@PREFIX@_STATE_BYTES - 4u), 4) != @prefix@_crc(buffer, @PREFIX@_STATE_BYTES - 4u))",
        "    return 3;",
        *(
            f"from = @prefix@_get_hidden(from, @prefix@_hidden_{i}, @prefix@_signs_{i}, {n}u, {k}u);"
            for i, (n, k) in _numbered(model)
        ),
        "from = @prefix@_get_words(from, @prefix@_key, 2);",
        f"from = @prefix@_get_words(from, @prefix@_draw, {matrices}u);",
        f"from = @prefix@_get_words(from, @prefix@_group_size, {layers}u);",
        "@prefix@_seen = @prefix@_get(from, 4);",
        "@prefix@_right = @prefix@_get(from + 4, 4);",
        "@prefix@_drop();",
        "return 0;",
    ]
    pieces = _STATE.replace("@BYTES@", str(size)).replace("@TOP@", "0x80" if size == 1 else "0x8000")
    return [
        pieces,
        "/* Everything learned, @PREFIX@_STATE_BYTES of it; of a batch that was begun, nothing. */",
        function("void @prefix@_save(uint8_t *buffer)", save),
        "/* What save wrote: 0. Nothing changes with 1, other bytes; 2, those of another network; 3, damaged ones. */",
        function("int @prefix@_load(const uint8_t *buffer)", load),
    ]


def network_crc(model: Model, fixed: Fixed) -> int:
    """What tells networks apart."""
    layers = [layer.c_identity for layer in model.layers]
    return zlib.crc32(repr((layers, model.num_classes)).encode() + _fixed_bytes(fixed))


def load_c_state(model: Model, data: bytes) -> tuple[Params, OptimizerState]:
    """Reads what an exported network's ``bep_save`` wrote: weights come home from a device.

    Args:
      model: the `Model` that was exported.
      data: the bytes of the buffer, or of a file of them; at least ``BEP_STATE_BYTES``, more are left.

    Returns:
      `Params`, and the `OptimizerState` of the next step, as `bep_jax.step` and `bep_jax.to_c` take them.

    Raises:
      ValueError: bytes that are too few, damaged, or of another network.

    Example:
      >>> from bep_jax.network.model import mlp
      >>> load_c_state(mlp(num_inputs=6, widths=(15,), num_classes=2), bytes(300))
      Traceback (most recent call last):
      ...
      ValueError: load_c_state: these are no bytes of bep_save, which begin with BEP and version 1.
    """
    if not isinstance(model, Model):
        raise TypeError(f"load_c_state: wanted a Model, from bep.mlp or bep.rnn, got {type(model).__name__}.")
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"load_c_state: data must be bytes, got {type(data).__name__}.")
    data = bytes(data)
    if data[:4] != _MAGIC:
        raise ValueError("load_c_state: these are no bytes of bep_save, which begin with BEP and version 1.")
    for saturation in (127, 32767):  # the sizes of a weight that there are
        content = data[: state_bytes(model, saturation)]
        if len(content) == state_bytes(model, saturation) and zlib.crc32(content[:-4]) == _word(content[-4:]):
            break
    else:
        raise ValueError(
            f"load_c_state: the bytes are damaged, or of another network: this one has {state_bytes(model, 127)}, or "
            f"{state_bytes(model, 32767)} with hidden weights of more than 8 bits, got {len(data)}."
        )
    matrices, layers = len(model.matrix_shapes), len(model.layers)
    at = 8
    hidden = []
    for shape in model.matrix_shapes:
        dtype = np.dtype("<i1" if saturation == 127 else "<i2")
        count = shape[0] * shape[1]
        hidden.append(jax.numpy.asarray(np.frombuffer(content, dtype, count, at).astype(np.int16).reshape(shape)))
        at += dtype.itemsize * count
    words = np.frombuffer(content[at:-4], "<u4").astype(np.uint32)
    key, words = words[:2], words[2:]
    draw, words = words[:matrices], words[matrices + layers + 2 :]
    fixed = Fixed(words[1 : 1 + 2 * matrices].reshape(-1, 2), int(words[0]), words[1 + 2 * matrices :])
    if network_crc(model, fixed) != _word(content[4:8]):
        raise ValueError(f"load_c_state: the bytes are of another network than {model}.")
    state = OptimizerState(
        jax.random.wrap_key_data(jax.numpy.asarray(key), impl="threefry2x32"),
        jax.numpy.asarray(fixed.base),
        jax.numpy.asarray(draw),
        jax.numpy.asarray(np.int32(fixed.saturation)),
    )
    return Params(tuple(hidden), jax.numpy.asarray(fixed.classifier.reshape(model.num_classes, -1))), state


def _fixed_bytes(fixed: Fixed) -> bytes:
    words = [np.uint32(fixed.saturation).reshape(1), fixed.base.reshape(-1), fixed.classifier.reshape(-1)]
    return np.concatenate(words).astype("<u4").tobytes()


def _numbered(model: Model):
    return enumerate(model.matrix_shapes)


def _word(four: bytes) -> int:
    return int.from_bytes(four, "little")

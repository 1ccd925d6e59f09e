"""C text: the fixed pieces of a header, and how arrays and functions are written.

``@prefix@`` and ``@PREFIX@`` stand for the network's name until the header is whole.
"""

import re

import numpy as np

_LINE_LENGTH = 110


HEAD = """\
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

FINITE_MATH = """\
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "NaN is a missing value: compile without -ffast-math and -ffinite-math-only."
#endif
"""

KERNELS = """\
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

/* Sets a bit that was 0 to value, 0 or 1: without a branch, which nothing could predict. */
static inline void @prefix@_set(uint32_t *words, uint32_t bit, int value)
{
    words[bit >> 5] |= (uint32_t)value << (bit & 31u);
}

/* y = sign(weights x), weights [num_neurons, num_inputs]; sign(0) = +1. */
static inline void @prefix@_dense(const uint32_t *weights, uint32_t num_neurons, uint32_t num_inputs,
    const uint32_t *x, uint32_t *y)
{
    const uint32_t num_words = (num_inputs + 31u) / 32u;
    uint32_t n;
    @prefix@_clear(y, (num_neurons + 31u) / 32u);
    for (n = 0; n < num_neurons; n++) {
        @prefix@_set(y, n, 2u * @prefix@_distance(weights, x, num_words) <= num_inputs);
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


def identifier(prefix: str) -> str:
    """The prefix as a lower-case C identifier."""
    if not isinstance(prefix, str):
        raise TypeError(f"to_c: prefix must be text, got {prefix!r}.")
    name = re.sub(r"[^a-z0-9]+", "_", prefix.lower()).strip("_")
    if not name:
        raise ValueError(f"to_c: prefix must have a letter or digit of ASCII, got {prefix!r}.")
    return f"bep_{name}" if name[0].isdigit() else name


def function(signature: str, body: list[str]) -> str:
    """A function of these lines."""
    return "\n".join([f"static inline {signature}", "{", *(f"    {line}" for line in body), "}\n"])


def array(c_type: str, name: str, values: np.ndarray, comment: str, const: bool = True) -> str:
    """The definition of an array, flattened, every value exact."""
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

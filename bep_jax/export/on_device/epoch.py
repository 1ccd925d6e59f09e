"""C of the end of an epoch: reinforcement follows the training error, as `bep_jax.rescale` has it, without a float.

The integers below round as IEEE double arithmetic does, so the thresholds are those of Python on every machine, also
where ``double`` is no such thing.

Source: arXiv 2512.04189, Section 3.4.
"""

import math

import numpy as np

from bep_jax.export.source import function

_ROUNDING = """\
/* ---- The end of an epoch: min(floor(2^32 base sqrt(error)), 2^32 - 1), rounded at each step as double is ---- */

/* x / 2^shift to the nearest, ties to even. */
static inline uint64_t @prefix@_rounded(uint64_t x, uint32_t shift)
{
    const uint64_t whole = x >> shift, rest = x & (((uint64_t)1 << shift) - 1u), half = ((uint64_t)1 << shift) / 2u;
    return whole + (shift != 0 && (rest > half || (rest == half && (whole & 1u))));
}

/* 2^53 (1 - right / seen), of right < seen. */
static inline uint64_t @prefix@_error(uint32_t right, uint32_t seen)
{
    uint64_t quotient = 0, rest = right;
    uint32_t shift = 0;
    if (right == 0)
        return (uint64_t)1 << 53;
    while (quotient >> 54 == 0) { /* one bit more of the quotient, until there are 55 */
        rest <<= 1;
        quotient <<= 1;
        if (rest >= seen) {
            rest -= seen;
            quotient |= 1u;
        }
        shift++;
    }
    quotient = @prefix@_rounded(quotient << 1 | (rest != 0), 3u); /* right / seen is it / 2^(shift - 2) */
    return ((uint64_t)1 << 53) - @prefix@_rounded(quotient, shift - 55u);
}

/* 2^53 sqrt(x / 2^53), of x from 2^51 to 2^53. */
static inline uint64_t @prefix@_root(uint64_t x)
{
    uint64_t root = 0, rest = 0;
    int i;
    if (x >> 53)
        return x;
    x <<= 11;
    for (i = 0; i < 54; i++) { /* one bit more of the root from two of x */
        rest = rest << 2 | x >> 62;
        x <<= 2;
        root <<= 1;
        if (rest > 2u * root) {
            rest -= 2u * root + 1u;
            root |= 1u;
        }
    }
    return (root + 1u) >> 1; /* there are no ties */
}

/* floor(2^32 base / 2^exponent root / 2^(53 + down)), of base below 2^53. */
static inline uint32_t @prefix@_threshold(uint64_t base, uint32_t exponent, uint64_t root, uint32_t down)
{
    const uint64_t mask = ((uint64_t)1 << 27) - 1u;
    const uint64_t middle = (base >> 27) * (root & mask) + (base & mask) * (root >> 27);
    uint64_t low = (base & mask) * (root & mask) + ((middle & mask) << 27); /* the product is 2^54 high + low */
    const uint64_t high = (base >> 27) * (root >> 27) + (middle >> 27) + (low >> 54);
    const uint32_t bits = high >> 51 ? 50u : 49u, shift = exponent + 18u + down - bits;
    low &= ((uint64_t)1 << 54) - 1u;
    low = high << (54u - bits) | low >> bits | ((low & (((uint64_t)1 << bits) - 1u)) != 0);
    return shift > 63u ? 0 : (uint32_t)(@prefix@_rounded(low, 3u) >> shift);
}
"""


def epoch_functions(base: np.ndarray) -> list[str]:
    """``end_epoch`` and what it takes; ``base`` uint32 ``[M, 2]``, float64 as words, below 1."""
    body = [
        "uint32_t down = 0;",
        "uint64_t error;",
        "@prefix@_flush();",
        "if (@prefix@_seen == 0)",
        "    return;",
        "error = @prefix@_right < @prefix@_seen ? @prefix@_error(@prefix@_right, @prefix@_seen) : 0;",
        "for (; error != 0 && error >> 51 == 0; down++)",
        "    error <<= 2;",
        "error = error != 0 ? @prefix@_root(error) : 0;",
    ]
    values = np.ascontiguousarray(base, np.uint32).view(np.float64)[..., 0]
    for i, value in enumerate(values.tolist()):
        mantissa, exponent = math.frexp(value)
        parts = f"(uint64_t){hex(int(mantissa * 2**53))}u, {53 - exponent}u"
        body.append(f"@prefix@_draw[{i}] = @prefix@_threshold({parts}, error, down);")
    body += ["@prefix@_seen = 0;", "@prefix@_right = 0;"]
    return [_ROUNDING, function("void @prefix@_end_epoch(void)", body)]

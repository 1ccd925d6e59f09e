"""C of the training step's small pieces: sums and gates, bit-sliced counters, the way back, who wins, who learns.

``@PLANES@`` is the width of the counters.

Source: arXiv 2512.04189, Eq. 1 (trigger), 5 to 7 (backward), Section 3.3 (winners).
"""

KERNELS = """\
/* ---- One sample: sums, gates, the way back, winners ---- */

static inline int @prefix@_bit(const uint32_t *words, uint32_t bit)
{
    return (int)(words[bit >> 5] >> (bit & 31u) & 1u);
}

static inline void @prefix@_copy_words(const uint32_t *from, uint32_t *to, uint32_t num_words)
{
    uint32_t i;
    for (i = 0; i < num_words; i++)
        to[i] = from[i];
}

/* Sums z = weights x and their signs y; sign(0) = +1. */
static inline void @prefix@_sums(const uint32_t *weights, uint32_t num_neurons, uint32_t num_inputs,
    const uint32_t *x, int32_t *z, uint32_t *y)
{
    const uint32_t num_words = (num_inputs + 31u) / 32u;
    uint32_t n;
    @prefix@_clear(y, (num_neurons + 31u) / 32u);
    for (n = 0; n < num_neurons; n++) {
        z[n] = (int32_t)num_inputs - 2 * (int32_t)@prefix@_distance(weights, x, num_words);
        @prefix@_set(y, n, z[n] >= 0);
        weights += num_words;
    }
}

/* Adds the bits of x to 32 counters: bit i of planes[0], planes[1], ... is counter i in binary. */
static inline void @prefix@_count(uint32_t *planes, uint32_t x)
{
    uint32_t carry;
    for (; x != 0; planes++) {
        carry = *planes & x;
        *planes ^= x;
        x = carry;
    }
}

/* Which of the 32 counters are at least so large: the borrow of a subtraction, counter by counter. */
static inline uint32_t @prefix@_at_least(const uint32_t *planes, uint32_t least)
{
    uint32_t j, bits, borrow = 0;
    for (j = 0; j < @PLANES@u; j++) {
        bits = 0u - (least >> j & 1u);
        borrow = (~planes[j] & bits) | (~(planes[j] ^ bits) & borrow);
    }
    return ~borrow;
}

/* Neurons that pass their desired activation down: |z| at most limit. */
static inline void @prefix@_gate(const int32_t *z, uint32_t num_neurons, int32_t limit, uint32_t *gates)
{
    uint32_t n;
    @prefix@_clear(gates, (num_neurons + 31u) / 32u);
    for (n = 0; n < num_neurons; n++)
        @prefix@_set(gates, n, z[n] <= limit && z[n] >= -limit);
}

/* Desired activations of the layer below, sign(weights^T (gates * desired)), 32 at a time: each has a counter of the
 * gated neurons that want it +1. */
static inline void @prefix@_back(const uint32_t *weights, uint32_t num_neurons, uint32_t num_inputs,
    const uint32_t *desired, const uint32_t *gates, uint32_t *below)
{
    const uint32_t num_words = (num_inputs + 31u) / 32u;
    uint32_t planes[@PLANES@], n, w, word, open = 0;
    for (w = 0; w < (num_neurons + 31u) / 32u; w++)
        open += @prefix@_popcount(gates[w]);
    for (w = 0; w < num_words; w++) {
        @prefix@_clear(planes, @PLANES@u);
        for (n = 0; n < num_neurons; n++)
            if (@prefix@_bit(gates, n)) {
                word = weights[num_words * n + w];
                @prefix@_count(planes, @prefix@_bit(desired, n) ? word : ~word);
            }
        below[w] = @prefix@_at_least(planes, (open + 1u) / 2u);
    }
    if (num_inputs % 32u)
        below[num_words - 1u] &= (1u << num_inputs % 32u) - 1u;
}

/* Of the wrong neurons of each group, whose bits are set, leaves the one with the smallest |z|, the first on
 * ties; the last group may be shorter. */
static inline void @prefix@_compete(const int32_t *z, uint32_t num_neurons, uint32_t group_size, uint32_t *wrong)
{
    uint32_t first, n, best, size, least = 0;
    for (first = 0; first < num_neurons; first += group_size) {
        best = num_neurons;
        for (n = first; n < first + group_size && n < num_neurons; n++)
            if (@prefix@_bit(wrong, n)) {
                wrong[n >> 5] ^= 1u << (n & 31u);
                size = (uint32_t)(z[n] < 0 ? -z[n] : z[n]);
                if (best == num_neurons || size < least) {
                    best = n;
                    least = size;
                }
            }
        if (best != num_neurons)
            @prefix@_set(wrong, best, 1);
    }
}

/* The trigger: whether a sample of this class learns, its logit not far enough above all others. */
static inline int @prefix@_learns(const int32_t *logits, int label)
{
    int c, rival = -1;
    if (label < 0 || label >= @PREFIX@_NUM_CLASSES)
        return 0;
    for (c = 0; c < @PREFIX@_NUM_CLASSES; c++)
        if (c != label && (rival < 0 || logits[c] > logits[rival]))
            rival = c;
    return logits[label] - logits[rival] < @MARGIN@;
}
"""

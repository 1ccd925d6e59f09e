"""C of the update: what the samples of a batch add up to, reinforcement and saturation, one matrix in one pass.

``@COLUMNS@`` is the largest fan-in, ``@ROWS@`` the most rows of one neuron: samples, or samples times positions.

Source: arXiv 2512.04189, Eq. 8 and 9, Section 3.4 (reinforcement).
"""

UPDATE = """\
/* ---- The update of a batch ---- */

/* Changes one matrix [num_neurons, num_inputs], and its signs with it. Each weight becomes
 * h + 2 (sum over the rows that its neuron won of desired * input), goes 2 further from zero where its random bits are
 * below draw, and stays within @SATURATION@.
 * A sample has one row in desired and inputs, or as many as num_rows says; winners has one for each sample. */
static inline void @prefix@_update(@prefix@_weight_t *hidden, uint32_t *signs, uint32_t num_neurons,
    uint32_t num_inputs, uint32_t num_samples, const uint16_t *num_rows, const uint32_t *winners,
    const uint32_t *desired, const uint32_t *inputs, const uint32_t *key, uint32_t counter, uint32_t draw)
{
    const uint32_t words = (num_inputs + 31u) / 32u, words_n = (num_neurons + 31u) / 32u;
    uint32_t columns[@COLUMNS@], planes[@PLANES@], n, k, w, i, j, row, last, won, depth, x, sign, row_word;
    uint16_t rows[@ROWS@];
    int32_t h, plus;

    for (k = 0; k < num_inputs; k++)
        columns[k] = @prefix@_random(key, counter + num_neurons + k) | 0x10000u;
    x = @prefix@_random(key, counter + num_neurons + num_inputs);
    draw = (draw >> 16) + (((draw & 0xffffu) + (x & 0xffffu)) >> 16);
    for (n = 0; n < num_neurons; n++) {
        won = 0;
        for (row = 0, i = 0; i < num_samples; i++) {
            last = row + (num_rows ? num_rows[i] : 1u);
            if (@prefix@_bit(winners + words_n * i, n))
                for (j = row; j < last; j++)
                    rows[won++] = (uint16_t)j;
            row = last;
        }
        for (depth = 0; won >> depth; depth++)
            continue;
        row_word = @prefix@_random(key, counter + n) & 0xfffeffffu;
        for (k = 0, w = 0; w < words; w++) {
            @prefix@_clear(planes, depth);
            for (i = 0; i < won; i++) {
                x = inputs[words * rows[i] + w];
                @prefix@_count(planes, @prefix@_bit(desired + words_n * rows[i], n) ? x : ~x);
            }
            sign = 0;
            for (i = 0; i < 32u && k < num_inputs; i++, k++) {
                plus = 0;
                for (j = 0; j < depth; j++)
                    plus |= (int32_t)((planes[j] >> i & 1u) << j);
                h = *hidden + 4 * plus - 2 * (int32_t)won;
                x = (row_word + columns[k]) * ((row_word >> 16) + (columns[k] >> 16));
                if ((x & 0xffffu) < draw)
                    h += h >= 0 ? 2 : -2;
                if (h > @SATURATION@)
                    h = @SATURATION@;
                if (h < -@SATURATION@)
                    h = -@SATURATION@;
                *hidden++ = (@prefix@_weight_t)h;
                sign |= (uint32_t)(h >= 0) << i;
            }
            *signs++ = sign;
        }
    }
}
"""

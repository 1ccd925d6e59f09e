/* The three products of binary training by hand, for one core with AVX-512 VPOPCNTDQ: the roofline of `products`.

   out[r][c] = base - 2 * sum over words j of popcount(f(rows, vectors)), 4 rows by 64 columns in registers, the
   vector operand copied panel by panel into the first-level cache. columns is a multiple of 64. */

#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>

#define VECTORS 4
#define LANES 16
#define PANEL (VECTORS * LANES)
#define ROWS 4

static void *scratch(size_t bytes) { return aligned_alloc(64, (bytes + 63) / 64 * 64); }

static void copy_panel(uint32_t *to, const uint32_t *from, long words, long columns)
{
    for (long j = 0; j < words; j++)
        for (long v = 0; v < VECTORS; v++)
            _mm512_store_si512(to + j * PANEL + v * LANES, _mm512_loadu_si512(from + j * columns + v * LANES));
}

#define XOR_AND 0x28 /* (a ^ b) & c */

/* One register block; TERM gives the word to count from row i, word j, vector v. */
#define BLOCK(HEIGHT, TERM, BASE)                                                                                      \
    do {                                                                                                               \
        __m512i sum[HEIGHT][VECTORS];                                                                                  \
        for (int i = 0; i < HEIGHT; i++)                                                                               \
            for (int v = 0; v < VECTORS; v++) sum[i][v] = _mm512_setzero_si512();                                      \
        for (long j = 0; j < words; j++)                                                                               \
            for (int i = 0; i < HEIGHT; i++)                                                                           \
                for (int v = 0; v < VECTORS; v++)                                                                      \
                    sum[i][v] = _mm512_add_epi32(sum[i][v], _mm512_popcnt_epi32(TERM));                                \
        for (int i = 0; i < HEIGHT; i++)                                                                               \
            for (int v = 0; v < VECTORS; v++)                                                                          \
                _mm512_storeu_si512(out + (r + i) * columns + c + v * LANES,                                           \
                                    _mm512_sub_epi32(BASE, _mm512_slli_epi32(sum[i][v], 1)));                          \
    } while (0)

#define ALL_ROWS(TERM, BASE)                                                                                           \
    do {                                                                                                               \
        long r = 0;                                                                                                    \
        for (; r + ROWS <= rows; r += ROWS) BLOCK(ROWS, TERM, BASE);                                                   \
        for (; r < rows; r++) BLOCK(1, TERM, BASE);                                                                    \
    } while (0)

#define ROW(x) _mm512_set1_epi32((int)(x)[(r + i) * words + j])
#define COLUMN(x) _mm512_load_si512((x) + j * PANEL + v * LANES)

/* weights [rows, words], inputs [words, columns] */
void forward(const uint32_t *weights, const uint32_t *inputs, int32_t *out, long rows, long words, long columns,
             int num_inputs)
{
    uint32_t *a = scratch(words * PANEL * 4);
    for (long c = 0; c < columns; c += PANEL) {
        copy_panel(a, inputs + c, words, columns);
        ALL_ROWS(_mm512_xor_si512(ROW(weights), COLUMN(a)), _mm512_set1_epi32(num_inputs));
    }
    free(a);
}

/* weights [rows, words], desired and gates [words, columns] */
void backward(const uint32_t *weights, const uint32_t *desired, const uint32_t *gates, int32_t *out, long rows,
              long words, long columns)
{
    uint32_t *t = scratch(words * PANEL * 4), *g = scratch(words * PANEL * 4);
    for (long c = 0; c < columns; c += PANEL) {
        __m512i base[VECTORS];
        copy_panel(t, desired + c, words, columns);
        copy_panel(g, gates + c, words, columns);
        for (int v = 0; v < VECTORS; v++) {
            base[v] = _mm512_setzero_si512();
            for (long j = 0; j < words; j++) base[v] = _mm512_add_epi32(base[v], _mm512_popcnt_epi32(COLUMN(g)));
        }
        ALL_ROWS(_mm512_ternarylogic_epi32(ROW(weights), COLUMN(t), COLUMN(g), XOR_AND), base[v]);
    }
    free(t);
    free(g);
}

/* winners and desired [rows, words], inputs [words, columns] */
void outer(const uint32_t *winners, const uint32_t *desired, const uint32_t *inputs, int32_t *out, long rows,
           long words, long columns)
{
    uint32_t *a = scratch(words * PANEL * 4);
    int32_t *base = malloc(rows * 4);
    for (long r = 0; r < rows; r++) {
        base[r] = 0;
        for (long j = 0; j < words; j++) base[r] += __builtin_popcount(winners[r * words + j]);
    }
    for (long c = 0; c < columns; c += PANEL) {
        copy_panel(a, inputs + c, words, columns);
        ALL_ROWS(_mm512_ternarylogic_epi32(ROW(desired), COLUMN(a), ROW(winners), XOR_AND), _mm512_set1_epi32(base[r + i]));
    }
    free(a);
    free(base);
}

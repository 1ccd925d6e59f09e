"""C of the draws: the counter-based generator behind `jax.random`, which needs no table and no state but a key.

Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

THREEFRY = """\
/* ---- Draws: threefry-2x32 with 20 rounds, as jax.random counts ---- */

static const uint8_t @prefix@_rotations[8] = {13, 15, 26, 6, 17, 29, 16, 24};

/* Two random words of a key and a counter: key i of jax.random.split, the halves of word i of jax.random.bits. */
static inline void @prefix@_threefry(const uint32_t *key, uint32_t counter, uint32_t *x)
{
    const uint32_t keys[3] = {key[0], key[1], key[0] ^ key[1] ^ 0x1bd11bdau};
    uint32_t round, turn, group;
    x[0] = keys[0];
    x[1] = keys[1] + counter;
    for (round = 0; round < 20u; round++) {
        turn = @prefix@_rotations[round & 7u];
        x[0] += x[1];
        x[1] = (x[1] << turn | x[1] >> (32u - turn)) ^ x[0];
        if ((round & 3u) == 3u) {
            group = round / 4u + 1u;
            x[0] += keys[group % 3u];
            x[1] += keys[(group + 1u) % 3u] + group;
        }
    }
}

/* One random word. */
static inline uint32_t @prefix@_random(const uint32_t *key, uint32_t counter)
{
    uint32_t x[2];
    @prefix@_threefry(key, counter, x);
    return x[0] ^ x[1];
}
"""
CONST_BYTES = 8

/* The same recurrent network in float32: as float32.h, its errors travelling back through all time steps. The weights
 * are those of input to state, state to state, state to output, one after the other. */
#include "adam.h"

#define STATE_AT (NUM_STATE * BEP_NUM_BITS)
#define OUTPUT_AT (STATE_AT + NUM_STATE * NUM_STATE)

static int8_t inputs[BEP_WINDOW][BEP_NUM_BITS], states[BEP_WINDOW + 1][NUM_STATE], outputs[NUM_OUTPUTS];
static int16_t sums[BEP_WINDOW][NUM_STATE], output_sums[NUM_OUTPUTS];
static float errors[NUM_STATE], below[NUM_STATE], output_errors[NUM_OUTPUTS];
static uint32_t steps;

/* Exactly BEP_WINDOW steps. */
static inline int bep_read(const bep_input_t *series, uint32_t length)
{
    uint32_t n, k;
    (void)length;
    for (n = 0; n < NUM_STATE; n++)
        states[0][n] = 1;
    for (steps = 0; steps < BEP_WINDOW; steps++) {
        for (k = 0; k < BEP_NUM_BITS; k++)
            inputs[steps][k] = series[BEP_NUM_INPUTS * steps + k / PIXEL_BITS] > thresholds[k] ? 1 : -1;
        clear(sums[steps], NUM_STATE);
        weigh(latent, inputs[steps], BEP_NUM_BITS, NUM_STATE, sums[steps]);
        weigh(&latent[STATE_AT], states[steps], NUM_STATE, NUM_STATE, sums[steps]);
        signs(sums[steps], NUM_STATE, states[steps + 1]);
    }
    return 0;
}

static inline void forward(int32_t *logits)
{
    clear(output_sums, NUM_OUTPUTS);
    weigh(&latent[OUTPUT_AT], states[BEP_WINDOW], NUM_STATE, NUM_OUTPUTS, output_sums);
    signs(output_sums, NUM_OUTPUTS, outputs);
    score(outputs, logits);
}

static inline int bep_classify(const bep_input_t *series, uint32_t length)
{
    int32_t logits[BEP_NUM_CLASSES];
    bep_read(series, length);
    forward(logits);
    return best(logits, -1);
}

static inline int bep_learn(int label)
{
    int32_t logits[BEP_NUM_CLASSES];
    uint32_t n;
    forward(logits);
    if (wrong(logits, label, output_errors)) {
        for (n = 0; n < NUM_STATE; n++)
            errors[n] = 0.0f;
        pass_back(OUTPUT_AT, states[BEP_WINDOW], NUM_STATE, NUM_OUTPUTS, output_sums, limits[1], output_errors, errors);
        while (steps-- > 0) {
            for (n = 0; n < NUM_STATE; n++)
                below[n] = 0.0f;
            pass_back(0, inputs[steps], BEP_NUM_BITS, NUM_STATE, sums[steps], limits[0], errors, 0);
            pass_back(STATE_AT, states[steps], NUM_STATE, NUM_STATE, sums[steps], limits[0], errors, below);
            for (n = 0; n < NUM_STATE; n++)
                errors[n] = below[n];
        }
    }
    if (++filled == BATCH_SIZE)
        bep_flush();
    return best(logits, -1);
}

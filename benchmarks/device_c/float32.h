/* The same network in float32, as small as one writes it: latent weights whose signs are the visible ones, a hinge on
 * the margin of the fixed class vectors, straight-through gradients, Adam. It answers by the names of the exported C,
 * so that one program trains either. float32_model.h has the sizes, the encoder's thresholds and the first weights. */
#include <stdint.h>

#include "float32_model.h"

#define SIZES (NUM_LAYERS + 1)

static float moment[NUM_WEIGHTS], square[NUM_WEIGHTS], gradient[NUM_WEIGHTS];
static int8_t activations[NUM_UNITS];
static int16_t sums[NUM_UNITS];
static float errors[NUM_UNITS];
static uint32_t filled;
static float decay1 = 1.0f, decay2 = 1.0f;

/* Newton's method from a good start: libm's root is no smaller and no faster where floats are software. */
static inline float root(float x)
{
    union {
        float f;
        uint32_t u;
    } y;
    y.f = x;
    y.u = (y.u >> 1) + 0x1fbb4000u;
    y.f = 0.5f * (y.f + x / y.f);
    return 0.5f * (y.f + x / y.f);
}

/* Scores of the classes; sums and signs of every layer stay. */
static inline void forward(const bep_input_t *input, int32_t *logits)
{
    uint32_t layer, n, k, from = 0;
    const float *w = latent;
    int32_t z;
    for (k = 0; k < widths[0]; k++)
        activations[k] = input[k] > thresholds[k] ? 1 : -1;
    for (layer = 0; layer < NUM_LAYERS; layer++) {
        const uint32_t to = from + widths[layer];
        for (n = 0; n < widths[layer + 1]; n++) {
            for (z = 0, k = 0; k < widths[layer]; k++)
                z += *w++ >= 0.0f ? activations[from + k] : -activations[from + k];
            sums[to + n] = (int16_t)z;
            activations[to + n] = z >= 0 ? 1 : -1;
        }
        from = to;
    }
    for (n = 0; n < BEP_NUM_CLASSES; n++)
        for (logits[n] = 0, k = 0; k < widths[NUM_LAYERS]; k++)
            logits[n] += classifier[n][k] * activations[from + k];
}

static inline int best(const int32_t *logits, int without)
{
    int c, found = without == 0;
    for (c = 0; c < BEP_NUM_CLASSES; c++)
        if (c != without && logits[c] > logits[found])
            found = c;
    return found;
}

static inline int bep_predict(const bep_input_t *input)
{
    int32_t logits[BEP_NUM_CLASSES];
    forward(input, logits);
    return best(logits, -1);
}

static inline void bep_flush(void)
{
    uint32_t i;
    float g, step;
    if (filled == 0)
        return;
    decay1 *= 0.9f;
    decay2 *= 0.999f;
    step = RATE * root(1.0f - decay2) / (1.0f - decay1);
    for (i = 0; i < NUM_WEIGHTS; i++) {
        g = gradient[i];
        gradient[i] = 0.0f;
        moment[i] += 0.1f * (g - moment[i]);
        square[i] += 0.001f * (g * g - square[i]);
        latent[i] -= step * moment[i] / (root(square[i]) + 1e-6f);
        if (latent[i] > 1.0f)
            latent[i] = 1.0f;
        if (latent[i] < -1.0f)
            latent[i] = -1.0f;
    }
    filled = 0;
}

static inline int bep_learn(const bep_input_t *input, int label)
{
    int32_t logits[BEP_NUM_CLASSES];
    uint32_t layer, n, k, from = NUM_UNITS - widths[NUM_LAYERS], at = NUM_WEIGHTS;
    int found, rival;
    float error;
    forward(input, logits);
    found = best(logits, -1);
    rival = best(logits, label);
    if (logits[label] - logits[rival] < MARGIN) {
        for (n = 0; n < widths[NUM_LAYERS]; n++)
            errors[from + n] = (float)(classifier[rival][n] - classifier[label][n]);
        for (layer = NUM_LAYERS; layer-- > 0;) {
            const uint32_t below = from - widths[layer];
            at -= widths[layer] * widths[layer + 1];
            for (k = 0; k < widths[layer]; k++)
                errors[below + k] = 0.0f;
            for (n = 0; n < widths[layer + 1]; n++) {
                error = sums[from + n] <= limits[layer] && sums[from + n] >= -limits[layer] ? errors[from + n] : 0.0f;
                if (error == 0.0f)
                    continue;
                for (k = 0; k < widths[layer]; k++) {
                    const uint32_t i = at + n * widths[layer] + k;
                    gradient[i] += activations[below + k] > 0 ? error : -error;
                    if (layer > 0)
                        errors[below + k] += latent[i] >= 0.0f ? error : -error;
                }
            }
            from = below;
        }
    }
    if (++filled == BATCH_SIZE)
        bep_flush();
    return found;
}

static inline void bep_end_epoch(void)
{
    bep_flush();
}

/* Adam on latent float weights whose signs are the visible ones. float32_model.h has their number and first values. */
#include <stdint.h>

#include "float32_model.h"

static float moment[NUM_WEIGHTS], square[NUM_WEIGHTS], gradient[NUM_WEIGHTS];
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

static inline void bep_end_epoch(void)
{
    bep_flush();
}

/* The class with the best score, the first of several; without one of them. */
static inline int best(const int32_t *logits, int without)
{
    int c, found = without == 0;
    for (c = 0; c < BEP_NUM_CLASSES; c++)
        if (c != without && logits[c] > logits[found])
            found = c;
    return found;
}

/* Sums of one layer, added to those that are there, and their signs. */
static inline void weigh(const float *w, const int8_t *x, uint32_t num_inputs, uint32_t num_neurons, int16_t *z)
{
    uint32_t n, k;
    int32_t sum;
    for (n = 0; n < num_neurons; n++) {
        for (sum = z[n], k = 0; k < num_inputs; k++)
            sum += *w++ >= 0.0f ? x[k] : -x[k];
        z[n] = (int16_t)sum;
    }
}

static inline void signs(const int16_t *z, uint32_t count, int8_t *y)
{
    uint32_t n;
    for (n = 0; n < count; n++)
        y[n] = z[n] >= 0 ? 1 : -1;
}

static inline void clear(int16_t *z, uint32_t count)
{
    while (count-- > 0)
        *z++ = 0;
}

/* Gradients of one matrix, and what it passes down, if below is not 0: errors pass where |z| is at most limit. */
static inline void pass_back(uint32_t at, const int8_t *x, uint32_t num_inputs, uint32_t num_neurons, const int16_t *z,
    int16_t limit, const float *errors, float *below)
{
    uint32_t n, k, i;
    for (n = 0; n < num_neurons; n++) {
        const float error = z[n] <= limit && z[n] >= -limit ? errors[n] : 0.0f;
        if (error == 0.0f)
            continue;
        for (k = 0; k < num_inputs; k++) {
            i = at + n * num_inputs + k;
            gradient[i] += x[k] > 0 ? error : -error;
            if (below)
                below[k] += latent[i] >= 0.0f ? error : -error;
        }
    }
}

/* Errors of the last layer, if the sample's margin is too small. */
static inline int wrong(const int32_t *logits, int label, float *errors)
{
    const int rival = best(logits, label);
    uint32_t n;
    if (logits[label] - logits[rival] >= MARGIN)
        return 0;
    for (n = 0; n < NUM_OUTPUTS; n++)
        errors[n] = (float)(classifier[rival][n] - classifier[label][n]);
    return 1;
}

static inline void score(const int8_t *x, int32_t *logits)
{
    uint32_t c, n;
    for (c = 0; c < BEP_NUM_CLASSES; c++)
        for (logits[c] = 0, n = 0; n < NUM_OUTPUTS; n++)
            logits[c] += classifier[c][n] * x[n];
}

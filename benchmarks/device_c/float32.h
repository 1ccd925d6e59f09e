/* The same network in float32, as small as one writes it: latent weights whose signs are the visible ones, a hinge on
 * the margin of the fixed class vectors, straight-through gradients, Adam. It answers by the names of the exported C,
 * so that one program trains either. float32_model.h has the sizes, the encoder's thresholds and the first weights. */
#include "adam.h"

static int8_t activations[NUM_UNITS];
static int16_t sums[NUM_UNITS];
static float errors[NUM_UNITS];

/* Scores of the classes; sums and signs of every layer stay. */
static inline void forward(const bep_input_t *input, int32_t *logits)
{
    uint32_t layer, k, from = 0, at = 0;
    for (k = 0; k < widths[0]; k++)
        activations[k] = input[k] > thresholds[k] ? 1 : -1;
    for (layer = 0; layer < NUM_LAYERS; layer++) {
        const uint32_t to = from + widths[layer];
        clear(&sums[to], widths[layer + 1]);
        weigh(&latent[at], &activations[from], widths[layer], widths[layer + 1], &sums[to]);
        signs(&sums[to], widths[layer + 1], &activations[to]);
        at += widths[layer] * widths[layer + 1];
        from = to;
    }
    score(&activations[from], logits);
}

static inline int bep_predict(const bep_input_t *input)
{
    int32_t logits[BEP_NUM_CLASSES];
    forward(input, logits);
    return best(logits, -1);
}

static inline int bep_learn(const bep_input_t *input, int label)
{
    int32_t logits[BEP_NUM_CLASSES];
    uint32_t layer, k, from = NUM_UNITS - NUM_OUTPUTS, at = NUM_WEIGHTS;
    forward(input, logits);
    if (wrong(logits, label, &errors[from]))
        for (layer = NUM_LAYERS; layer-- > 0;) {
            const uint32_t below = from - widths[layer];
            at -= widths[layer] * widths[layer + 1];
            for (k = 0; k < widths[layer]; k++)
                errors[below + k] = 0.0f;
            pass_back(at, &activations[below], widths[layer], widths[layer + 1], &sums[from], limits[layer],
                &errors[from], layer > 0 ? &errors[below] : 0);
            from = below;
        }
    if (++filled == BATCH_SIZE)
        bep_flush();
    return best(logits, -1);
}

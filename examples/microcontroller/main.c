/* A camera is mounted on its side. The network knows digits as they are upright; it learns on the device, from 200
 * images of its own, and says what it knew before, after 10, 50 and 200 of them, and what it still knows of upright ones. */
#include <stdint.h>

#include "board.h"
#ifdef LEARNER
#include LEARNER
#else
#include "model.h"
#endif
#include "samples.h"

/* A recurrent network reads an image row by row. */
#ifdef BEP_WINDOW
#define SIZE (BEP_WINDOW * BEP_NUM_INPUTS)
#define PREDICT(image) bep_classify(image, BEP_WINDOW)
#define LEARN(image, label) (bep_read(image, BEP_WINDOW), bep_learn(label))
#else
#define SIZE BEP_NUM_INPUTS
#define PREDICT(image) bep_predict(image)
#define LEARN(image, label) bep_learn(image, label)
#endif

extern uint32_t _data[];

static uint32_t right(const uint8_t (*images)[SIZE], const uint8_t *labels)
{
    uint32_t i, found = 0;
    for (i = 0; i < NUM_TEST; i++)
        found += PREDICT(images[i]) == labels[i];
    return found * 1000u / NUM_TEST;
}

static void line(const char *text, uint32_t value, const char *unit)
{
    say(text);
    say_number(value);
    say(unit);
}

static void accuracy(uint32_t learned)
{
    uint32_t own = right(turned, turned_labels), old = right(upright, upright_labels);
    line("after ", learned, " samples: ");
    line("turned ", own / 10u, ".");
    line("", own % 10u, " %, ");
    line("upright ", old / 10u, ".");
    line("", old % 10u, " %\n");
}

int main(void)
{
    uint32_t pass, i, from, learning = 0, predicting = 0, count = 0;
    volatile int found;
    paint_stack();
    start_ticks();
    accuracy(0);
    for (pass = 0; pass < PASSES; pass++) {
        for (i = 0; i < NUM_OWN; i++) {
            from = ticks();
            LEARN(own[i], own_labels[i]);
            learning += instructions(from, ticks()) / TICK;
            from = ticks();
            found = PREDICT(own[i]);
            (void)found;
            predicting += instructions(from, ticks()) / TICK;
            count++;
            if (pass == 0 && (i + 1u == 10u || i + 1u == 50u || i + 1u == NUM_OWN))
                accuracy(i + 1u);
        }
        bep_end_epoch();
    }
    if (PASSES > 1)
        accuracy(NUM_OWN * PASSES);
    line("instructions a learned sample: ", learning / count * TICK, "\n");
    line("instructions a predicted sample: ", predicting / count * TICK, "\n");
    line("bytes of memory: ", (uint32_t)(_bss_end - _data) * 4u + stack_used(), ", of them stack ");
    line("", stack_used(), "\n");
#ifdef SHOW_STATE /* what was learned, as hexadecimal digits, for bep.load_c_state */
    {
        static uint8_t state[BEP_STATE_BYTES];
        char digits[3] = {0, 0, 0};
        bep_save(state);
        say("state: ");
        for (i = 0; i < BEP_STATE_BYTES; i++) {
            digits[0] = "0123456789abcdef"[state[i] >> 4];
            digits[1] = "0123456789abcdef"[state[i] & 15u];
            say(digits);
        }
        say("\n");
    }
#endif
    stop();
    return 0;
}

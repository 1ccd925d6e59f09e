/* Start of a Cortex-M: the vector table, and memory as C wants it before main. */
#include <stdint.h>

extern uint32_t _stack[], _data[], _data_end[], _data_load[], _bss[], _bss_end[];

int main(void);
void reset(void);

void reset(void)
{
    uint32_t *to;
    const uint32_t *from = _data_load;
    for (to = _data; to < _data_end; to++)
        *to = *from++;
    for (to = _bss; to < _bss_end; to++)
        *to = 0;
    main();
    for (;;)
        continue;
}

__attribute__((section(".vectors"), used)) static void (*const vectors[2])(void) = {(void (*)(void))_stack, reset};

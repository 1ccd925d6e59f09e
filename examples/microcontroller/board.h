/* What main.c asks of a board: text to the host, an end, and a count of instructions. By semihosting and SysTick, as
 * qemu-system-arm has them; on a real board put a serial port and a cycle counter here. */
#include <stdint.h>

static inline void host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static inline void say(const char *text)
{
    host(0x04, text);
}

static inline void stop(void)
{
    host(0x18, (const void *)0x20026);
}

static inline void say_number(uint32_t number)
{
    char digits[11];
    int i = 10;
    digits[10] = 0;
    do {
        digits[--i] = (char)('0' + number % 10u);
        number /= 10u;
    } while (number != 0);
    say(&digits[i]);
}

/* SysTick counts down 24 bits at 25 MHz; with -icount shift=0 an instruction is a nanosecond, a tick 40 of them. */
#define TICK 40u
#define SYSTICK ((volatile uint32_t *)0xe000e010u)

static inline void start_ticks(void)
{
    SYSTICK[1] = 0xffffffu;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5u;
}

static inline uint32_t ticks(void)
{
    return SYSTICK[2];
}

static inline uint32_t instructions(uint32_t from, uint32_t to)
{
    return ((from - to) & 0xffffffu) * TICK;
}

/* Stack that was never touched keeps its paint. */
extern uint32_t _bss_end[], _stack[];
#define PAINT 0x5ca1ab1eu
#define PAINTED 65536u

static inline void paint_stack(void)
{
    volatile uint32_t *at = _stack - PAINTED / 4u;
    while ((uintptr_t)at < (uintptr_t)__builtin_frame_address(0) - 64u)
        *at++ = PAINT;
}

static inline uint32_t stack_used(void)
{
    const volatile uint32_t *at = _stack - PAINTED / 4u;
    while (*at == PAINT)
        at++;
    return (uint32_t)(_stack - at) * 4u;
}

/* Start-up code and output for a Cortex-M7, here the MPS2 board with the image AN500. */
#include "board.h"

#include <string.h>

/* mps2-an500.ld places them. */
extern uint8_t data_begin[], data_end[], data_in_flash[], bss_begin[], bss_end[], stack_end[], flash_bytes[];

int main(void);

/* ---- Registers of the processor: Armv7-M Architecture Reference Manual, B3.2 and B3.3 ---- */

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
enum { SYSTICK_PERIOD = 1 << 24 };

/* ---- Semihosting: the debugger or QEMU prints. Replace it by your UART. ---- */

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18, STOPPED_AT_EXIT = 0x20026, STOPPED_AT_ERROR = 0x20024 };

static void semihosting(uint32_t operation, uint32_t argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

void board_print(const char *text) {
    semihosting(SYS_WRITE0, (uint32_t)text);
}

void board_print_number(uint32_t number) {
    char digits[11], *at = digits + sizeof digits - 1;
    *at = 0;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    board_print(at);
}

/* ---- Cycles ---- */

static volatile uint32_t periods;

static void systick_handler(void) {
    periods++;
}

uint64_t board_cycles(void) {
    uint32_t before, value;
    do {
        before = periods;
        value = SYST_CVR;
    } while (before != periods);
    return (uint64_t)before * SYSTICK_PERIOD + (SYSTICK_PERIOD - 1 - value);
}

/* ---- Memory ---- */

enum { UNUSED = 0xA5 }; /* fills the RAM that the stack has not reached */

uint32_t board_flash_bytes(void) {
    return (uint32_t)flash_bytes;
}

uint32_t board_ram_bytes(void) {
    const uint8_t *deepest = bss_end;
    while (*deepest == UNUSED) {
        deepest++;
    }
    return (uint32_t)(bss_end - data_begin) + (uint32_t)(stack_end - deepest);
}

/* ---- Start ---- */

static void fault_handler(void) {
    board_print("fault\n");
    semihosting(SYS_EXIT, STOPPED_AT_ERROR);
    for (;;) {
    }
}

void reset(void) {
    uint8_t *here = (uint8_t *)__builtin_frame_address(0) - 256; /* below is unused */
    CPACR |= 0xFu << 20;                                         /* floating point on */
    __asm__ volatile("dsb\n isb");
    memcpy(data_begin, data_in_flash, (size_t)(data_end - data_begin));
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    memset(bss_end, UNUSED, (size_t)(here - bss_end));
    SYST_RVR = SYSTICK_PERIOD - 1;
    SYST_CVR = 0;
    SYST_CSR = 7; /* count processor cycles, interrupt, on */
    semihosting(SYS_EXIT, main() ? STOPPED_AT_ERROR : STOPPED_AT_EXIT);
    for (;;) {
    }
}

/* Stack pointer, reset, the handlers of faults, and SysTick in place 15. Add your interrupts behind it. */
typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(uintptr_t)stack_end, reset, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
    0, 0, 0, 0, fault_handler, fault_handler, 0, fault_handler, systick_handler,
};

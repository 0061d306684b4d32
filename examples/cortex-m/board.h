/* What depends on the board: text output, a cycle counter, and the memory in use. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

void board_print(const char *text);
void board_print_number(uint32_t number);

/* Processor cycles since the start. */
uint64_t board_cycles(void);

/* Flash of code and constants; RAM of variables and of the deepest stack so far. */
uint32_t board_flash_bytes(void);
uint32_t board_ram_bytes(void);

#endif

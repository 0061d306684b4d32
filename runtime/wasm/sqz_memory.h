/* Memory of a WebAssembly module: taken from its end, which grows as needed, and given back all at once. */
#ifndef SQZ_MEMORY_H
#define SQZ_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(#name)))

enum { PAGE_BYTES = 65536, MAX_PAGES = 65535, ALIGNMENT = 16 };

extern uint8_t __heap_base; /* of the linker: free memory begins here */

static uint8_t *top; /* the end of the memory in use */

/* Take memory after `top`; NULL if there is not enough. */
static void *take(uint64_t bytes) {
    uint64_t begin = ((uintptr_t)top + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, end = begin + bytes;
    uint64_t pages = (end + PAGE_BYTES - 1) / PAGE_BYTES, present = __builtin_wasm_memory_size(0);
    if (end < begin || pages > MAX_PAGES ||
        (pages > present && __builtin_wasm_memory_grow(0, (size_t)(pages - present)) == SIZE_MAX)) {
        return NULL;
    }
    top = (uint8_t *)(uintptr_t)end;
    return (void *)(uintptr_t)begin;
}

#endif

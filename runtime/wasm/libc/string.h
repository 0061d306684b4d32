/* The part of C's library that the runtime uses; libc.c defines it. */
#ifndef SQZ_LIBC_STRING_H
#define SQZ_LIBC_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *left, const void *right, size_t bytes);
size_t strlen(const char *text);

#endif

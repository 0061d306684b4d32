/* The part of C's library that the runtime uses. WebAssembly has instructions that copy and fill memory. */
#include <math.h>
#include <stdint.h>
#include <string.h>

void *memcpy(void *to, const void *from, size_t bytes) {
    return __builtin_memcpy(to, from, bytes);
}

void *memset(void *to, int value, size_t bytes) {
    return __builtin_memset(to, value, bytes);
}

int memcmp(const void *left, const void *right, size_t bytes) {
    const uint8_t *a = left, *b = right;
    while (bytes && *a == *b) {
        a++, b++, bytes--;
    }
    return bytes ? *a - *b : 0;
}

size_t strlen(const char *text) {
    const char *end = text;
    while (*end) {
        end++;
    }
    return (size_t)(end - text);
}

/* e^x = 2^k e^r with |r| <= ln(2) / 2, and e^r by its Taylor series, in float64: exact to the last bit or two. */
float expf(float x) {
    double power = x * 1.4426950408889634, sum = 1, r;
    int64_t k, bits;
    int term;
    if (!(power > -149.5)) {
        return x < 0 ? 0 : x; /* underflow, or NaN */
    }
    if (power >= 128) {
        return __builtin_inff();
    }
    k = (int64_t)__builtin_floor(power + 0.5);
    r = (power - (double)k) * 0.6931471805599453;
    for (term = 9; term > 0; term--) {
        sum = 1 + r * sum / term;
    }
    bits = (k + 1023) << 52;
    memcpy(&power, &bits, sizeof power);
    return (float)(sum * power);
}

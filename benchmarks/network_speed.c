/* Times a network in C: network_speed MODEL RUNS prints the median processor time of a run, and the time to decode the
 * weights, in milliseconds. */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */
#include "sqz_network.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_VALUES = 600, MAX_RUNS = 1000, MAX_WORKSPACE = 1 << 20 };

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static void check(sqz_error error) {
    if (error) {
        fprintf(stderr, "network_speed: %s\n", sqz_error_name(error));
        exit(1);
    }
}

static float *floats(size_t bytes) {
    float *taken = (float *)calloc(1, bytes);
    if (taken == NULL) {
        exit(1);
    }
    return taken;
}

int main(int count, char **words) {
    static uint8_t bytes[1 << 24], workspace[MAX_WORKSPACE];
    static sqz_value values[MAX_VALUES];
    static double times[MAX_RUNS];
    FILE *in = count == 3 ? fopen(words[1], "rb") : NULL;
    sqz_file file;
    sqz_network network;
    size_t arena_bytes, length, i, input_floats;
    int run, runs = count == 3 ? atoi(words[2]) : 0;
    float *arena, *input, *logits, *weights;
    double begin;
    if (in == NULL || runs < 1 || runs > MAX_RUNS) {
        fputs("usage: network_speed MODEL RUNS\n", stderr);
        return 2;
    }
    length = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    check(sqz_open(&file, bytes, length, workspace, sizeof workspace));
    check(sqz_network_open(&network, &file, values, MAX_VALUES));
    weights = floats(network.weights_bytes);
    begin = milliseconds();
    check(sqz_network_load(&network, weights, network.weights_bytes));
    begin = milliseconds() - begin;
    arena_bytes = sqz_arena_bytes(&network, 0, 0);
    arena = floats(arena_bytes);
    logits = floats(file.classes * sizeof *logits);
    input_floats = (size_t)file.height * file.width * (file.channels == 2 ? 1 : 3);
    input = floats(input_floats * sizeof *input);
    for (i = 0; i < input_floats; i++) {
        input[i] = (float)(i % 255) - 110;
    }
    for (run = 0; run < runs; run++) {
        times[run] = milliseconds();
        check(sqz_run(&network, input, arena, arena_bytes, logits));
        times[run] = milliseconds() - times[run];
    }
    qsort(times, (size_t)runs, sizeof *times, compare);
    printf("%.3f %.3f\n", times[runs / 2], begin);
    return 0;
}

/* Runs a network for the tests: network_driver MODEL MODE [HEIGHT WIDTH CHANNELS] reads a photo, or without its extents
 * prepared input, from standard input, and writes the input and the logits as float32 to standard output.
 *
 * MODE is `loaded`, `streamed`, or one of these with a number of bytes that the arena is smaller than it should be. All
 * memory has exactly the size that the network asks for, so that a sanitizer notices each access beyond it. */
#include "sqz_network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
const char *__asan_default_options(void);

/* Memory lives until the program ends. */
const char *__asan_default_options(void) {
    return "detect_leaks=0";
}
#endif

static int finish(sqz_error error) {
    printf("%s", sqz_error_name(error));
    return 1;
}

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    if (memory == NULL) {
        exit(2);
    }
    memset(memory, 255, bytes); /* floats of this are not numbers */
    return memory;
}

static uint8_t *read_all(FILE *in, size_t *length) {
    uint8_t *bytes = NULL;
    size_t room = 0, got;
    *length = 0;
    do {
        room = 2 * room + 65536;
        bytes = (uint8_t *)realloc(bytes, room);
        got = fread(bytes + *length, 1, room - *length, in);
        *length += got;
    } while (*length == room);
    return bytes;
}

static void *exactly(uint8_t *bytes, size_t length) {
    return realloc(bytes, length ? length : 1);
}

int main(int count, char **words) {
    FILE *in = fopen(words[1], "rb");
    size_t length, needed = 0, photo_bytes, workspace;
    uint8_t *bytes = read_all(in, &length), *pixels = read_all(stdin, &photo_bytes);
    int is_loaded = strncmp(words[2], "loaded", 6) == 0;
    size_t too_small = (size_t)atol(words[2] + (is_loaded ? 6 : 8));
    sqz_file file;
    sqz_network network;
    sqz_value *values;
    float *arena, *input, *logits;
    size_t arena_bytes;
    sqz_error error;
    fclose(in);
    bytes = (uint8_t *)exactly(bytes, length);
    pixels = (uint8_t *)exactly(pixels, photo_bytes);
    error = sqz_open(&file, bytes, length, NULL, 0);
    while (error == SQZ_SMALL_WORKSPACE && file.workspace_bytes > needed) {
        needed = file.workspace_bytes;
        error = sqz_open(&file, bytes, length, allocate(needed), needed);
    }
    error = error ? error : sqz_network_open(&network, &file, NULL, 0);
    if (error != SQZ_SMALL_BUFFER) {
        return finish(error);
    }
    values = (sqz_value *)allocate(network.value_count * sizeof *values);
    error = sqz_network_open(&network, &file, values, network.value_count);
    if (error == SQZ_SMALL_WORKSPACE) {
        needed = network.file_workspace_bytes;
        error = sqz_open(&file, bytes, length, allocate(needed), needed);
        error = error ? error : sqz_network_open(&network, &file, values, network.value_count);
    }
    if (!error && is_loaded) {
        error = sqz_network_load(&network, (float *)allocate(network.weights_bytes), network.weights_bytes);
    }
    if (error) {
        return finish(error);
    }
    logits = (float *)allocate(file.classes * sizeof *logits);
    if (count < 6) {
        arena_bytes = sqz_arena_bytes(&network, 0, 0) - too_small;
        arena = (float *)allocate(arena_bytes);
        error = sqz_run(&network, (const float *)(void *)pixels, arena, arena_bytes, logits);
    } else {
        sqz_photo photo;
        size_t floats = (size_t)file.height * file.width * (file.channels == 2 ? 1 : 3);
        photo.pixels = pixels;
        photo.height = (uint32_t)atol(words[3]);
        photo.width = (uint32_t)atol(words[4]);
        photo.channels = (uint8_t)atol(words[5]);
        photo.row_bytes = (size_t)photo.width * photo.channels;
        input = (float *)allocate(floats * sizeof *input);
        workspace = sqz_preprocess_bytes(&file, photo.height, photo.width);
        error = sqz_preprocess(&file, &photo, input, allocate(workspace), workspace);
        arena_bytes = sqz_arena_bytes(&network, photo.height, photo.width) - too_small;
        arena = (float *)allocate(arena_bytes);
        error = error ? error : sqz_classify(&network, &photo, arena, arena_bytes, logits);
        if (!error) {
            fwrite(input, sizeof *input, floats, stdout);
        }
    }
    if (error) {
        return finish(error);
    }
    fwrite(logits, sizeof *logits, file.classes, stdout);
    return 0;
}

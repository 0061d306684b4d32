/* Classifies a photo with the network in model.c.
 *
 *     classify              the photo in sample.c
 *     classify PHOTO.ppm    a binary PPM or PGM file of 8 bits
 *
 * All memory of the network is static. README.md says what to change. */
#include "model.h"
#include "ppm.h"

/* 1: decode all weights at the start. 0: decode them again for each photo, in less memory. */
#ifndef LOAD_WEIGHTS
#define LOAD_WEIGHTS 1
#endif

enum { SHOWN = 5 };

static uint64_t workspace[MODEL_WORKSPACE_BYTES / sizeof(uint64_t) + 1];
static sqz_value values[MODEL_VALUES];
static float logits[MODEL_CLASSES];
#if LOAD_WEIGHTS
static float weights[MODEL_WEIGHTS_BYTES / sizeof(float)], arena[MODEL_ARENA_BYTES / sizeof(float) + 1];
#else
static float arena[MODEL_STREAMING_ARENA_BYTES / sizeof(float) + 1];
#endif

static sqz_error open_network(sqz_file *file, sqz_network *network) {
    sqz_error error = sqz_open(file, model, MODEL_BYTES, workspace, sizeof workspace);
    if (!error) {
        error = sqz_network_open(network, file, values, MODEL_VALUES);
    }
#if LOAD_WEIGHTS
    if (!error) {
        error = sqz_network_load(network, weights, sizeof weights);
    }
#endif
    return error;
}

/* Returns NULL, or what is wrong. */
static const char *read_photo(const char *path, sqz_photo *photo) {
    static uint8_t *bytes; /* the photo's pixels are in it */
    size_t length;
    bytes = read_file(path, &length);
    return bytes == NULL ? "cannot be read" : find_photo(bytes, length, photo);
}

/* Prints the most probable classes, and overwrites the logits. */
static void print_classes(void) {
    int shown;
    sqz_softmax(logits, MODEL_CLASSES);
    for (shown = 0; shown < SHOWN && shown < MODEL_CLASSES; shown++) {
        int i, best = 0;
        unsigned permille;
        for (i = 1; i < MODEL_CLASSES; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        permille = (unsigned)(1000 * logits[best] + 0.5f);
        printf("%3u.%u %%  %s\n", permille / 10, permille % 10, model_classes[best]);
        logits[best] = -1;
    }
}

int main(int count, char **words) {
    sqz_file file;
    sqz_network network;
    sqz_photo photo = sample;
    const char *problem = count > 1 ? read_photo(words[1], &photo) : NULL;
    sqz_error error;
    if (problem) {
        fprintf(stderr, "%s: %s\n", words[1], problem);
        return 1;
    }
    error = open_network(&file, &network);
    if (!error) {
        error = sqz_classify(&network, &photo, arena, sizeof arena, logits);
    }
    if (error) {
        fprintf(stderr, "classify: %s\n", sqz_error_name(error));
        if (error == SQZ_SMALL_ARENA) {
            fprintf(stderr, "this photo needs an arena of %lu bytes; enlarge the array in main.c\n",
                    (unsigned long)sqz_arena_bytes(&network, photo.height, photo.width));
        }
        return 1;
    }
    print_classes();
    return 0;
}

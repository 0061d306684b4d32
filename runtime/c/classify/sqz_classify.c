/* Classifies a photo: `sqz_classify MODEL.sqz PHOTO.ppm` prints the five most likely classes. Without a photo it prints
 * the memory that the network needs, for photos of up to 640 x 480 pixels.
 *
 * Photos are binary PPM or PGM files of 8 bits. Exit codes: 0 done; 1 a file cannot be read or is refused; 2 bad usage;
 * 3 the network or its file is not supported. */
#include "ppm.h"

enum { DONE = 0, FAILED = 1, USAGE = 2, UNSUPPORTED = 3 }; /* exit codes */
enum { SHOWN = 5, LONG_SIDE = 640, SHORT_SIDE = 480 };

static void *allocate(size_t bytes) {
    void *taken = malloc(bytes ? bytes : 1);
    if (taken == NULL) {
        fprintf(stderr, "sqz_classify: cannot allocate %lu bytes\n", (unsigned long)bytes);
        exit(FAILED);
    }
    return taken;
}

static void refuse(const char *path, sqz_error error) {
    fprintf(stderr, "sqz_classify: %s: %s\n", path, sqz_error_name(error));
    exit(SQZ_IS_UNSUPPORTED(error) ? UNSUPPORTED : FAILED);
}

static uint8_t *read_or_exit(const char *path, size_t *length) {
    uint8_t *bytes = read_file(path, length);
    if (bytes == NULL) {
        perror(path);
        exit(FAILED);
    }
    return bytes;
}

/* Opens the file and its network, with exactly the memory that they ask for; it lives until the program ends. Returns
 * the bytes of the workspace. */
static size_t open_network(const char *path, const uint8_t *bytes, size_t length, sqz_file *file,
                           sqz_network *network) {
    sqz_value *values = NULL;
    size_t workspace = 0;
    sqz_error error = sqz_open(file, bytes, length, NULL, 0);
    while (error == SQZ_SMALL_WORKSPACE && file->workspace_bytes > workspace) {
        workspace = file->workspace_bytes;
        error = sqz_open(file, bytes, length, allocate(workspace), workspace);
    }
    if (error) {
        refuse(path, error);
    }
    error = sqz_network_open(network, file, NULL, 0);
    if (error == SQZ_SMALL_BUFFER) {
        uint32_t count = network->value_count;
        values = (sqz_value *)allocate(count * sizeof *values);
        error = sqz_network_open(network, file, values, count);
        if (error == SQZ_SMALL_WORKSPACE) {
            workspace = network->file_workspace_bytes;
            (void)sqz_open(file, bytes, length, allocate(workspace), workspace);
            error = sqz_network_open(network, file, values, count);
        }
    }
    if (error) {
        refuse(path, error);
    }
    return workspace;
}

static void load_weights(const char *path, sqz_network *network) {
    sqz_error error =
        sqz_network_load(network, (float *)allocate(network->weights_bytes), network->weights_bytes);
    if (error) {
        refuse(path, error);
    }
}

static void print_number(const char *name, size_t number) {
    printf("%-22s %10lu\n", name, (unsigned long)number);
}

/* Prints the bytes of the arena, for photos in both orientations. */
static void print_arena(const char *name, const sqz_network *network) {
    size_t upright = sqz_arena_bytes(network, LONG_SIDE, SHORT_SIDE);
    size_t across = sqz_arena_bytes(network, SHORT_SIDE, LONG_SIDE);
    print_number(name, upright > across ? upright : across);
}

static void print_memory(const char *path, sqz_network *network, size_t workspace) {
    print_number("workspace-bytes", workspace);
    print_number("values", network->value_count);
    print_number("weights-bytes", network->weights_bytes);
    print_arena("streaming-arena-bytes", network); /* without loaded weights */
    load_weights(path, network);
    print_arena("arena-bytes", network);
}

/* The name of a class: its line of the labels, or its number. */
static void print_class(const char *labels, const char *end, uint32_t number) {
    uint32_t line;
    if (labels == end) {
        printf("class %lu\n", (unsigned long)number);
        return;
    }
    for (line = 0; line < number; line++) {
        labels = (const char *)memchr(labels, '\n', (size_t)(end - labels)) + 1;
    }
    printf("%.*s\n", (int)((const char *)memchr(labels, '\n', (size_t)(end - labels)) - labels), labels);
}

/* Reads the labels, which may need a larger workspace than the weights. Returns their end: the start if there are none,
 * or if they are damaged. */
static char *read_labels(const sqz_file *file, const uint8_t *bytes, size_t length, char *labels) {
    size_t workspace = file->label_workspace_bytes + file->workspace_bytes;
    sqz_file again;
    sqz_error error = sqz_open(&again, bytes, length, allocate(workspace), workspace);
    error = error ? error : sqz_labels(&again, labels, file->label_plain_bytes);
    return error ? labels : labels + file->label_plain_bytes;
}

static void print_best(const sqz_file *file, const uint8_t *bytes, size_t length, float *probabilities) {
    char *labels = (char *)allocate(file->label_plain_bytes), *end = read_labels(file, bytes, length, labels);
    int shown;
    for (shown = 0; shown < SHOWN && (uint32_t)shown < file->classes; shown++) {
        uint32_t i, best = 0;
        for (i = 1; i < file->classes; i++) {
            best = probabilities[i] > probabilities[best] ? i : best;
        }
        printf("%5.1f %%  ", 100 * (double)probabilities[best]);
        print_class(labels, end, best);
        probabilities[best] = -1;
    }
    free(labels);
}

static void classify(const char *path, const sqz_network *network, uint32_t classes, float *logits) {
    size_t length, arena_bytes;
    uint8_t *bytes = read_or_exit(path, &length);
    sqz_photo photo;
    const char *problem = find_photo(bytes, length, &photo);
    sqz_error error;
    if (problem) {
        fprintf(stderr, "sqz_classify: %s: %s\n", path, problem);
        exit(FAILED);
    }
    arena_bytes = sqz_arena_bytes(network, photo.height, photo.width);
    error = sqz_classify(network, &photo, (float *)allocate(arena_bytes), arena_bytes, logits);
    if (error) {
        refuse(path, error);
    }
    sqz_softmax(logits, classes);
}

int main(int count, char **words) {
    sqz_file file;
    sqz_network network;
    size_t length, workspace;
    float *logits;
    uint8_t *bytes;
    if (count != 2 && count != 3) {
        fputs("usage: sqz_classify MODEL.sqz [PHOTO.ppm]\n", stderr);
        return USAGE;
    }
    bytes = read_or_exit(words[1], &length);
    workspace = open_network(words[1], bytes, length, &file, &network);
    if (count == 2) {
        print_memory(words[1], &network, workspace);
        return DONE;
    }
    load_weights(words[1], &network);
    logits = (float *)allocate(file.classes * sizeof *logits);
    classify(words[2], &network, file.classes, logits);
    print_best(&file, bytes, length, logits);
    return DONE;
}

/* Classifies a photo: `sqz_classify MODEL.sqz PHOTO.ppm` prints the five most likely classes.
 *
 * Photos are binary PPM or PGM files of 8 bits. Exit codes: 0 done; 1 a file cannot be read or is refused; 2 bad usage;
 * 3 the network or its file is not supported. */
#include "sqz_network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, USAGE = 2, UNSUPPORTED = 3 }; /* exit codes */
enum { SHOWN = 5 };

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

static uint8_t *read_file(const char *path, size_t *length) {
    FILE *in = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long end;
    if (in == NULL || fseek(in, 0, SEEK_END) || (end = ftell(in)) < 0 || fseek(in, 0, SEEK_SET)) {
        perror(path);
        exit(FAILED);
    }
    *length = (size_t)end;
    bytes = (uint8_t *)allocate(*length);
    if (fread(bytes, 1, *length, in) != *length) {
        perror(path);
        exit(FAILED);
    }
    fclose(in);
    return bytes;
}

/* Takes a number of a PPM header, after white space and comments; 0 if there is none. */
static uint32_t take_number(const uint8_t **at, const uint8_t *end) {
    uint32_t number = 0;
    while (*at < end && (strchr(" \t\r\n#", **at) != NULL)) {
        int is_comment = *(*at)++ == '#';
        while (is_comment && *at < end && **at != '\n') {
            (*at)++;
        }
    }
    while (*at < end && **at >= '0' && **at <= '9' && number < 100000) {
        number = 10 * number + (uint32_t)(*(*at)++ - '0');
    }
    return number;
}

static sqz_photo photo_in(const char *path, const uint8_t *bytes, size_t length) {
    const uint8_t *at = bytes + 2, *end = bytes + length;
    sqz_photo photo;
    uint32_t maximum;
    if (length < 2 || bytes[0] != 'P' || (bytes[1] != '5' && bytes[1] != '6')) {
        fprintf(stderr, "sqz_classify: %s: not a binary PPM or PGM file\n", path);
        exit(FAILED);
    }
    photo.channels = bytes[1] == '6' ? 3 : 1;
    photo.width = take_number(&at, end);
    photo.height = take_number(&at, end);
    maximum = take_number(&at, end);
    at += at < end;
    photo.pixels = at;
    photo.row_bytes = (size_t)photo.width * photo.channels;
    if (maximum != 255 || photo.row_bytes * photo.height != (size_t)(end - at)) {
        fprintf(stderr, "sqz_classify: %s: not 8 bits a channel, or of another length than its header says\n", path);
        exit(FAILED);
    }
    return photo;
}

/* Opens the file and its network, with exactly the memory that they ask for; it lives until the program ends. */
static void open_network(const char *path, const uint8_t *bytes, size_t length, sqz_file *file, sqz_network *network) {
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
    if (!error) {
        error = sqz_network_load(network, (float *)allocate(network->weights_bytes), network->weights_bytes);
    }
    if (error) {
        refuse(path, error);
    }
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

static void print_best(const sqz_file *file, float *probabilities) {
    char *labels = (char *)allocate(file->label_plain_bytes), *end = labels + file->label_plain_bytes;
    int shown;
    if (sqz_labels(file, labels, file->label_plain_bytes)) {
        end = labels; /* damaged: numbers instead */
    }
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

int main(int count, char **words) {
    sqz_file file;
    sqz_network network;
    sqz_photo photo;
    size_t length, photo_length, arena_bytes;
    float *logits;
    uint8_t *bytes, *photo_bytes;
    sqz_error error;
    if (count != 3) {
        fputs("usage: sqz_classify MODEL.sqz PHOTO.ppm\n", stderr);
        return USAGE;
    }
    bytes = read_file(words[1], &length);
    open_network(words[1], bytes, length, &file, &network);
    photo_bytes = read_file(words[2], &photo_length);
    photo = photo_in(words[2], photo_bytes, photo_length);
    logits = (float *)allocate(file.classes * sizeof *logits);
    arena_bytes = sqz_arena_bytes(&network, photo.height, photo.width);
    error = sqz_classify(&network, &photo, (float *)allocate(arena_bytes), arena_bytes, logits);
    if (error) {
        refuse(words[2], error);
    }
    sqz_softmax(logits, file.classes);
    print_best(&file, logits);
    return DONE;
}

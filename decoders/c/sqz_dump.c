/* What is in a `.sqz` file, and its weights as raw little-endian float32:
 *
 *     sqz_dump FILE          list the tensors, and the workspace that reading each takes
 *     sqz_dump FILE OUT      the same, and write all weights, in order, to OUT; `-` is standard output
 *     sqz_dump --stream      read files from standard input, 4 bytes of length before each, and say of each in a line
 *                            `ok CRC32 LABELS`, of all weights, LABELS being `labels` or `labels-unread`; or `error NAME`
 *
 * Exit codes: 0 done; 1 the file is refused or cannot be read or written; 2 bad usage; 3 the file has what this reader
 * does not read. */
#include "sqz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, USAGE = 2, UNSUPPORTED = 3, PIECE = 61 };

static const char *const FORMS[] = {"dense", "pruned", "shared"};

/* Memory of exactly so many bytes, so that a sanitizer sees a step beyond; none is asked for as one byte. */
static void *memory(size_t bytes) {
    void *taken = malloc(bytes ? bytes : 1);
    if (taken == NULL) {
        fprintf(stderr, "sqz_dump: there is no memory for %lu bytes\n", (unsigned long)bytes);
        exit(FAILED);
    }
    return taken;
}

/* Open with as much workspace as that takes, and as every tensor and the labels take. */
static sqz_error open_exactly(sqz_file *file, const uint8_t *bytes, size_t length, void **workspace, size_t *needed) {
    sqz_tensor tensor;
    sqz_error error = sqz_open(file, bytes, length, NULL, 0);
    *workspace = NULL;
    for (*needed = 0; error == SQZ_SMALL_WORKSPACE && *needed < file->workspace_bytes;) {
        free(*workspace);
        *needed = file->workspace_bytes;
        *workspace = memory(*needed);
        error = sqz_open(file, bytes, length, *workspace, *needed);
    }
    if (error) {
        return error;
    }
    *needed = file->workspace_bytes > file->label_workspace_bytes ? file->workspace_bytes : file->label_workspace_bytes;
    for (error = sqz_first(file, &tensor); error == SQZ_OK; error = sqz_next(file, &tensor)) {
        *needed = tensor.workspace_bytes > *needed ? tensor.workspace_bytes : *needed;
    }
    free(*workspace);
    *workspace = memory(*needed);
    return error == SQZ_DONE ? sqz_open(file, bytes, length, *workspace, *needed) : error;
}

/* Turn weights into bytes, in place. */
static void to_little_endian(float *weights, size_t count) {
    size_t i;
    for (i = 0; i < count; i++) {
        uint32_t bits;
        uint8_t bytes[4];
        memcpy(&bits, weights + i, 4);
        bytes[0] = (uint8_t)(bits & 255);
        bytes[1] = (uint8_t)(bits >> 8 & 255);
        bytes[2] = (uint8_t)(bits >> 16 & 255);
        bytes[3] = (uint8_t)(bits >> 24);
        memcpy(weights + i, bytes, 4);
    }
}

/* Read a tensor in pieces, as a small machine does; set the checksum of its weights in the order they come in. */
static sqz_error crc_of_pieces(const sqz_file *file, const sqz_tensor *tensor, uint32_t *crc) {
    sqz_weights pieces;
    sqz_error error = sqz_begin(file, tensor, &pieces);
    while (error == SQZ_OK && pieces.left) {
        float piece[PIECE];
        size_t count = pieces.left < PIECE ? pieces.left : PIECE;
        error = sqz_read_weights(&pieces, piece, count);
        if (error == SQZ_OK) {
            to_little_endian(piece, count);
            *crc = sqz_crc32(*crc, (const uint8_t *)piece, 4 * count);
        }
    }
    return error;
}

/* Decode a tensor, into memory that the caller frees, whole and in pieces: both must give the same. */
static sqz_error decode(const sqz_file *file, const sqz_tensor *tensor, float **weights) {
    uint32_t crc = 0;
    sqz_error error, in_pieces = crc_of_pieces(file, tensor, &crc);
    *weights = (float *)memory(4 * (size_t)tensor->weights);
    error = sqz_decode(file, tensor, *weights, tensor->weights);
    if (error == SQZ_OK) {
        to_little_endian(*weights, tensor->weights);
    }
    if (in_pieces != SQZ_UNSUPPORTED_IN_PIECES && tensor->order == SQZ_ROW_MAJOR &&
        (error != in_pieces ||
         (!error && crc != sqz_crc32(0, (const uint8_t *)*weights, 4 * (size_t)tensor->weights)))) {
        fputs("sqz_dump: pieces differ from the whole\n", stderr);
        abort();
    }
    return error;
}

/* Say in a line what is in a file, its names, labels and weights read. */
static void say(const uint8_t *bytes, size_t length) {
    sqz_file file;
    sqz_tensor tensor;
    void *workspace;
    size_t needed;
    uint32_t crc = 0;
    sqz_error labels = SQZ_OK, error = open_exactly(&file, bytes, length, &workspace, &needed);
    if (error == SQZ_OK) {
        char *text = (char *)memory(file.label_plain_bytes);
        labels = sqz_labels(&file, text, file.label_plain_bytes);
        free(text);
        error = labels == SQZ_UNSUPPORTED_LZMA2 ? SQZ_OK : labels;
    }
    if (error == SQZ_OK) {
        for (error = sqz_first(&file, &tensor); error == SQZ_OK;) {
            float *weights;
            char *name = (char *)memory(tensor.name_bytes + 1);
            error = sqz_name(&file, &tensor, name, tensor.name_bytes + 1);
            free(name);
            if (error == SQZ_OK) {
                error = decode(&file, &tensor, &weights);
                if (error == SQZ_OK) {
                    crc = sqz_crc32(crc, (const uint8_t *)weights, 4 * (size_t)tensor.weights);
                }
                free(weights);
            }
            if (error == SQZ_OK) {
                error = sqz_next(&file, &tensor);
            }
        }
    }
    free(workspace);
    if (error == SQZ_DONE) {
        printf("ok %08lx %s\n", (unsigned long)crc, labels == SQZ_OK ? "labels" : "labels-unread");
    } else {
        printf("error %s\n", sqz_error_name(error));
    }
    fflush(stdout);
}

static int stream(void) {
    uint8_t prefix[4];
    size_t got;
    while ((got = fread(prefix, 1, 4, stdin)) == 4) {
        size_t length = prefix[0] | (size_t)prefix[1] << 8 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 24;
        uint8_t *bytes = (uint8_t *)memory(length);
        if (fread(bytes, 1, length, stdin) != length) {
            got = 1;
            free(bytes);
            break;
        }
        say(bytes, length);
        free(bytes);
    }
    return got ? FAILED : DONE;
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
    bytes = (uint8_t *)memory(*length);
    if (fread(bytes, 1, *length, in) != *length) {
        perror(path);
        exit(FAILED);
    }
    fclose(in);
    return bytes;
}

/* Write a tensor's line: its name, its shape and form. Characters that are no print are left to the terminal. */
static void list(const sqz_file *file, const sqz_tensor *tensor, FILE *listing) {
    char *name = (char *)memory(tensor->name_bytes + 1);
    uint8_t axis;
    if (sqz_name(file, tensor, name, tensor->name_bytes + 1) == SQZ_OK) {
        fprintf(listing, "%-32s %s", name, FORMS[tensor->form]);
    }
    free(name);
    for (axis = 0; axis < tensor->dimensions; axis++) {
        fprintf(listing, "%s%lu", axis ? " x " : " ", (unsigned long)tensor->shape[axis]);
    }
    fprintf(listing, ", workspace %lu\n", (unsigned long)tensor->workspace_bytes);
}

static int dump(const char *path, const char *out_path) {
    sqz_file file;
    sqz_tensor tensor;
    void *workspace;
    size_t length, needed;
    uint8_t *bytes = read_file(path, &length);
    FILE *out = NULL, *listing = stdout;
    int unwritten = 0;
    sqz_error error = open_exactly(&file, bytes, length, &workspace, &needed);
    if (error == SQZ_OK && out_path) {
        int to_stdout = strcmp(out_path, "-") == 0;
        listing = to_stdout ? stderr : stdout;
        out = to_stdout ? stdout : fopen(out_path, "wb");
        if (out == NULL) {
            perror(out_path);
            exit(FAILED);
        }
    }
    if (error == SQZ_OK) {
        fprintf(listing, "%.*s, workspace %lu\n", (int)file.architecture_bytes, file.architecture,
                (unsigned long)needed);
        for (error = sqz_first(&file, &tensor); error == SQZ_OK && !unwritten;) {
            list(&file, &tensor, listing);
            if (out) {
                float *weights = (float *)memory(4 * (size_t)tensor.weights);
                error = sqz_decode(&file, &tensor, weights, tensor.weights);
                if (error == SQZ_OK) {
                    to_little_endian(weights, tensor.weights);
                    unwritten = fwrite(weights, 4, tensor.weights, out) != tensor.weights;
                }
                free(weights);
            }
            error = error ? error : sqz_next(&file, &tensor);
        }
    }
    if (out && (fflush(out) || ferror(out))) {
        unwritten = 1;
    }
    free(workspace);
    free(bytes);
    if (unwritten) {
        perror(out_path);
        return FAILED;
    }
    if (error != SQZ_DONE) {
        fprintf(stderr, "%s: %s\n", path, sqz_error_name(error));
        return SQZ_IS_UNSUPPORTED(error) ? UNSUPPORTED : FAILED;
    }
    return DONE;
}

int main(int count, char **words) {
    if (count == 2 && strcmp(words[1], "--stream") == 0) {
        return stream();
    }
    if (count < 2 || count > 3 || words[1][0] == '-') {
        fputs("usage: sqz_dump FILE [OUT] or sqz_dump --stream\n", stderr);
        return USAGE;
    }
    return dump(words[1], count == 3 ? words[2] : NULL);
}

/* Command line of the decoder: lists a `.sqz` file and writes its weights as little-endian float32.
 *
 *     sqz_dump FILE          list the tensors, and the workspace that each needs
 *     sqz_dump FILE OUT      the same, and write all weights, in order, to OUT; `-` is standard output
 *     sqz_dump --stream      read files from standard input, each after its length in 4 bytes, and print a line for
 *                            each: `ok CRC32` or `error NAME`; the CRC-32 is of all weights
 *
 * Exit codes: 0 done; 1 the file is refused, or cannot be read or written; 2 bad usage; 3 the file is unsupported. */
#include "sqz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, FAILED = 1, USAGE = 2, UNSUPPORTED = 3 }; /* exit codes */
enum { PIECE = 61 };                                       /* weights read at a time; not a multiple of a kernel */

static const char *const FORMS[] = {"dense", "pruned", "shared"};

/* Allocates exactly this many bytes, so that a sanitizer detects an access beyond; at least one, for malloc. */
static void *allocate(size_t bytes) {
    void *taken = malloc(bytes ? bytes : 1);
    if (taken == NULL) {
        fprintf(stderr, "sqz_dump: cannot allocate %lu bytes\n", (unsigned long)bytes);
        exit(FAILED);
    }
    return taken;
}

static size_t larger(size_t left, size_t right) {
    return left > right ? left : right;
}

/* Opens a file with the exact workspace that the header, every tensor and the labels need. The caller frees it. */
static sqz_error open_exactly(sqz_file *file, const uint8_t *bytes, size_t length, void **workspace, size_t *needed) {
    sqz_tensor tensor;
    sqz_error error = sqz_open(file, bytes, length, NULL, 0);
    *workspace = NULL;
    for (*needed = 0; error == SQZ_SMALL_WORKSPACE && *needed < file->workspace_bytes;) {
        free(*workspace);
        *needed = file->workspace_bytes;
        *workspace = allocate(*needed);
        error = sqz_open(file, bytes, length, *workspace, *needed);
    }
    if (error) {
        return error;
    }
    *needed = larger(file->workspace_bytes, file->label_workspace_bytes);
    for (error = sqz_first(file, &tensor); error == SQZ_OK; error = sqz_next(file, &tensor)) {
        *needed = larger(*needed, tensor.workspace_bytes);
    }
    free(*workspace);
    *workspace = allocate(*needed);
    return error == SQZ_DONE ? sqz_open(file, bytes, length, *workspace, *needed) : error;
}

/* Converts weights to little-endian bytes, in place. */
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

/* Reads a tensor in pieces; sets the checksum of its weights in scan order. */
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

/* Decodes a tensor whole and in pieces, and aborts if the results differ. The caller frees `weights`. */
static sqz_error decode(const sqz_file *file, const sqz_tensor *tensor, float **weights) {
    uint32_t crc = 0;
    sqz_error error, in_pieces = crc_of_pieces(file, tensor, &crc);
    *weights = (float *)allocate(4 * (size_t)tensor->weights);
    error = sqz_decode(file, tensor, *weights, tensor->weights);
    if (error == SQZ_OK) {
        to_little_endian(*weights, tensor->weights);
    }
    if (in_pieces == SQZ_UNSUPPORTED_IN_PIECES || tensor->scan_order != SQZ_OUT_IN) {
        return error;
    }
    if (error != in_pieces ||
        (!error && crc != sqz_crc32(0, (const uint8_t *)*weights, 4 * (size_t)tensor->weights))) {
        fputs("sqz_dump: pieces differ from the whole\n", stderr);
        abort();
    }
    return error;
}

static sqz_error read_labels(const sqz_file *file) {
    char *text = (char *)allocate(file->label_plain_bytes);
    sqz_error error = sqz_labels(file, text, file->label_plain_bytes);
    free(text);
    return error;
}

/* Reads the name and the weights of a tensor; continues the checksum of weights. */
static sqz_error read_tensor(const sqz_file *file, const sqz_tensor *tensor, uint32_t *crc) {
    float *weights;
    char *name = (char *)allocate(tensor->name_bytes + 1);
    sqz_error error = sqz_name(file, tensor, name, tensor->name_bytes + 1);
    free(name);
    if (error) {
        return error;
    }
    error = decode(file, tensor, &weights);
    if (error == SQZ_OK) {
        *crc = sqz_crc32(*crc, (const uint8_t *)weights, 4 * (size_t)tensor->weights);
    }
    free(weights);
    return error;
}

/* Reads everything in an open file; SQZ_DONE if all is valid. */
static sqz_error read_all(const sqz_file *file, uint32_t *crc) {
    sqz_tensor tensor;
    sqz_error error = read_labels(file);
    if (error) {
        return error;
    }
    for (error = sqz_first(file, &tensor); error == SQZ_OK; error = sqz_next(file, &tensor)) {
        error = read_tensor(file, &tensor, crc);
        if (error) {
            return error;
        }
    }
    return error;
}

/* Prints the line of a file for --stream. */
static void print_answer(const uint8_t *bytes, size_t length) {
    sqz_file file;
    void *workspace;
    size_t needed;
    uint32_t crc = 0;
    sqz_error error = open_exactly(&file, bytes, length, &workspace, &needed);
    if (error == SQZ_OK) {
        error = read_all(&file, &crc);
    }
    free(workspace);
    if (error == SQZ_DONE) {
        printf("ok %08lx\n", (unsigned long)crc);
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
        uint8_t *bytes = (uint8_t *)allocate(length);
        if (fread(bytes, 1, length, stdin) != length) {
            got = 1;
            free(bytes);
            break;
        }
        print_answer(bytes, length);
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
    bytes = (uint8_t *)allocate(*length);
    if (fread(bytes, 1, *length, in) != *length) {
        perror(path);
        exit(FAILED);
    }
    fclose(in);
    return bytes;
}

/* Prints the line of a tensor: name, form, shape, workspace. */
static void list(const sqz_file *file, const sqz_tensor *tensor, FILE *listing) {
    char *name = (char *)allocate(tensor->name_bytes + 1);
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

/* Writes the weights of a tensor. The caller checks ferror(out). */
static sqz_error write_weights(const sqz_file *file, const sqz_tensor *tensor, FILE *out) {
    float *weights = (float *)allocate(4 * (size_t)tensor->weights);
    sqz_error error = sqz_decode(file, tensor, weights, tensor->weights);
    if (error == SQZ_OK) {
        to_little_endian(weights, tensor->weights);
        (void)fwrite(weights, 4, tensor->weights, out);
    }
    free(weights);
    return error;
}

/* Lists all tensors of an open file, and writes their weights unless `out` is NULL; SQZ_DONE if all is valid. */
static sqz_error dump_tensors(const sqz_file *file, FILE *listing, FILE *out) {
    sqz_tensor tensor;
    sqz_error error;
    for (error = sqz_first(file, &tensor); error == SQZ_OK; error = sqz_next(file, &tensor)) {
        list(file, &tensor, listing);
        if (out == NULL) {
            continue;
        }
        error = write_weights(file, &tensor, out);
        if (error || ferror(out)) {
            break;
        }
    }
    return error;
}

static FILE *open_for_writing(const char *path) {
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "wb");
    if (out == NULL) {
        perror(path);
        exit(FAILED);
    }
    return out;
}

static int dump(const char *path, const char *out_path) {
    sqz_file file;
    void *workspace;
    size_t length, needed;
    uint8_t *bytes = read_file(path, &length);
    FILE *out = NULL, *listing;
    int is_unwritten = 0;
    sqz_error error = open_exactly(&file, bytes, length, &workspace, &needed);
    if (error == SQZ_OK) {
        out = out_path ? open_for_writing(out_path) : NULL;
        listing = out == stdout ? stderr : stdout;
        fprintf(listing, "%.*s, workspace %lu\n", (int)file.architecture_bytes, file.architecture,
                (unsigned long)needed);
        error = dump_tensors(&file, listing, out);
        is_unwritten = out != NULL && (fflush(out) || ferror(out));
    }
    free(workspace);
    free(bytes);
    if (is_unwritten) {
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

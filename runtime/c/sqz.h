/* Reader of `.sqz` files for small machines, in C99, without allocation. docs/format.md specifies the files.
 *
 * The caller passes the bytes of the whole file, which may lie in flash, and a workspace. Both must stay valid while
 * the file is read. The reader writes to the workspace, the caller's buffers and the structs below, and nowhere else.
 * It checks every length in a file before use and refuses a file that differs from docs/format.md in any way.
 *
 * It reads every file of format version 1.
 *
 * `float` and `double` must be IEEE 754 numbers of 32 and 64 bits, and `int` must have 32 bits or more. Either byte order
 * will do.
 */
#ifndef SQZ_H
#define SQZ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limit of the weights of all tensors together. At most 2^29. */
#ifndef SQZ_MAX_WEIGHTS
#define SQZ_MAX_WEIGHTS 268435456u
#endif
#if SQZ_MAX_WEIGHTS > 536870912
#error "SQZ_MAX_WEIGHTS must be at most 2^29: numbers of 32 bits in the codec context may overflow beyond"
#endif

/* Limit of the tensors; the format allows no more than 8,192. The reader compares each name with each other, which a
 * smaller limit makes fast for files of unknown origin. */
#ifndef SQZ_MAX_TENSORS
#define SQZ_MAX_TENSORS 8192u
#endif

typedef enum sqz_error {
    SQZ_OK = 0,
    SQZ_DONE = 1, /* not an error: there is no further tensor */

    /* The file is not a `.sqz` file, or is damaged. */
    SQZ_NOT_SQZ = 2,
    SQZ_CUT_OFF = 3,
    SQZ_LEFT_OVER = 4,
    SQZ_BAD_CHECKSUM = 5,
    SQZ_BAD_DEFLATE = 6,
    SQZ_BAD_HEADER = 7,
    SQZ_BAD_NAME = 8,
    SQZ_BAD_LABELS = 9,
    SQZ_BAD_VALUES = 10,
    SQZ_BAD_EXPONENTS = 11,
    SQZ_BAD_SYMBOLS = 12,
    SQZ_BEFORE_0_1_0 = 13, /* written by a version before 0.1.0: make the file again with this version */
    SQZ_BAD_NETWORK = 14,  /* program, tensors and preprocessing do not fit each other */

    /* The file or the photo exceeds a limit of this build. */
    SQZ_TOO_MANY_WEIGHTS = 32,
    SQZ_TOO_MANY_TENSORS = 33,
    SQZ_LARGE_NETWORK = 34, /* or beyond the machine's addresses */
    SQZ_BAD_PHOTO = 35,     /* no pixels, beyond 65,536 pixels a side, or too narrow */

    /* The caller's memory is too small. */
    SQZ_SMALL_WORKSPACE = 48,
    SQZ_SMALL_BUFFER = 49,
    SQZ_SMALL_ARENA = 50, /* see sqz_arena_bytes */

    /* The file may be valid, but this reader does not support it. */
    SQZ_UNSUPPORTED_VERSION = 64,
    SQZ_UNSUPPORTED_CODEC = 65,
    SQZ_UNSUPPORTED_IN_PIECES = 66, /* sqz_read_weights cannot read this tensor; use sqz_decode */
    SQZ_UNSUPPORTED_NETWORK = 70    /* neither SqueezeNet nor a program of known operations */
} sqz_error;

#define SQZ_IS_UNSUPPORTED(error) ((error) >= SQZ_UNSUPPORTED_VERSION)

/* Bytes from `begin` up to `end`. A section that the file does not have is {NULL, NULL}. Private. */
typedef struct sqz_span {
    const uint8_t *begin, *end;
} sqz_span;

/* Where a tensor's record and payload begin, in bytes after those of the first tensor. Private. */
typedef struct sqz_place {
    uint32_t record, payload;
} sqz_place;

/* A file and its header. `mean` and `std` are float64, 8 bytes each; sqz_float64 converts them. */
typedef struct sqz_file {
    const char *architecture; /* UTF-8, not terminated */
    size_t architecture_bytes;
    uint32_t classes;
    uint32_t height, width, short_side; /* pixels */
    uint8_t resize;                     /* 0 squash, 1 crop */
    uint8_t channels;                   /* 0 RGB, 1 BGR, 2 L */
    uint8_t mean_count, std_count;
    double scale;
    const uint8_t *mean, *std;
    uint8_t label_compression;    /* 0 none, 1 raw deflate */
    uint32_t label_plain_bytes;   /* bytes that sqz_labels writes; 0 without labels */
    size_t label_workspace_bytes; /* workspace that sqz_open needs for sqz_labels */
    uint32_t tensors;
    size_t workspace_bytes; /* workspace that sqz_open needs; set on SQZ_SMALL_WORKSPACE too */

    /* Private. */
    sqz_span names, records, labels, payloads;
    sqz_span program; /* of the network, unchecked */
    size_t header_workspace_bytes;
    uint8_t *workspace;
    size_t workspace_left;
} sqz_file;

enum { SQZ_DENSE = 0, SQZ_PRUNED = 1, SQZ_SHARED = 2 };                /* sqz_tensor.form */
enum { SQZ_OUT_IN = 0, SQZ_IN_OUT = 1, SQZ_KERNEL_FIRST = 2 };         /* sqz_tensor.scan_order */
enum { SQZ_RAW = 0, SQZ_HUFFMAN = 1, SQZ_RUNS = 2, SQZ_CONTEXT = 3, SQZ_NO_CODEC = 4 }; /* sqz_weights.codec */

typedef struct sqz_tensor {
    uint32_t index; /* in the file */
    size_t name_bytes;
    uint32_t shape[8];
    uint8_t dimensions;
    uint8_t form;
    uint8_t scan_order;   /* of symbols, and of weights read in pieces */
    uint8_t float16;      /* values are float16 */
    uint8_t levels;       /* the codebook is 0, 1, -1, 2, -2 and so on, and is not stored */
    uint8_t coefficients; /* symbols are of coefficients; sqz_decode turns them into weights */
    uint32_t weights;     /* the product of the shape */
    uint32_t rows, columns, taps; /* first extent, second extent, product of the others; 1 if there is none */
    uint32_t value_count;         /* stored values: all weights, unpruned weights, or codebook without entry 0 */
    uint64_t codec;               /* id in the file; 0 in a dense tensor */
    size_t workspace_bytes;       /* workspace that sqz_open needs to decode this tensor */

    /* Private: the sections of the payload, and the remaining names, records and payloads. */
    sqz_span values, row_exponents, column_exponents, coefficient_exponents, symbols;
    sqz_span next_names, next_records, next_payloads;
    uint16_t flags;
} sqz_tensor;

struct sqz_context; /* the state of codec `context`, in the workspace */

/* A bit reader, a code, and the symbols of one stream. Private. */
typedef struct sqz_bits {
    const uint8_t *at, *end;
    uint8_t bit, over;
} sqz_bits;

typedef struct sqz_code {
    uint32_t used;          /* symbols in use */
    uint16_t only;          /* the symbol of a code with one symbol */
    uint32_t limits[17];    /* the first 16 bits that begin a longer codeword, by length */
    uint32_t places[17];    /* from a codeword to the place of its symbol, by length */
    const uint8_t *lengths; /* by the next bits */
    const uint8_t *symbols; /* by place, two bytes each */
} sqz_code;

typedef struct sqz_stream {
    sqz_bits bits;
    uint8_t codec, width;     /* bits of a symbol of `raw`, or of a selector */
    uint8_t code_count;       /* several codes: the column selects one */
    sqz_code code;            /* if there is one */
    sqz_code *codes;          /* if there are several: in the workspace */
    const uint8_t *selectors; /* of the columns, in the file */
    uint32_t columns, taps, column, tap; /* extents, and the position of the next symbol */
    struct sqz_context *context;
} sqz_stream;

/* A tensor that is read in pieces. `row`, `column` and `tap` are the position of the next weight: the index in the
 * first dimension, in the second, and in the others together. */
typedef struct sqz_weights {
    uint32_t left; /* weights not yet read */
    uint32_t row, column, tap;

    /* Private. */
    const sqz_tensor *tensor;
    const uint8_t *values; /* in the file, or decoded to the workspace */
    const int8_t *row_exponents, *column_exponents, *coefficient_exponents;
    sqz_stream symbols, gaps;
    uint32_t entries, zeros, values_taken;
    uint32_t max_gap;
    uint16_t entry_symbol;
    uint8_t codec, entry_pending;
    sqz_error error;
} sqz_weights;

/* Check the file as a whole and read its header. Each payload is checked when it is decoded.
 *
 * An uncompressed header is read in place. A compressed one needs its uncompressed length of the workspace. The rest of
 * the workspace is reused by each call below that takes the file, so that only one tensor is read at a time. */
sqz_error sqz_open(sqz_file *file, const uint8_t *bytes, size_t length, void *workspace, size_t workspace_bytes);

/* Go to the first tensor, or to the next one; SQZ_DONE after the last. */
sqz_error sqz_first(const sqz_file *file, sqz_tensor *tensor);
sqz_error sqz_next(const sqz_file *file, sqz_tensor *tensor);

/* Write the tensor's name in UTF-8 and a zero byte: name_bytes + 1 bytes. */
sqz_error sqz_name(const sqz_file *file, const sqz_tensor *tensor, char *name, size_t capacity);

/* Write the tensor's weights, row-major; `capacity` counts floats. After an error the buffer's content is undefined. */
sqz_error sqz_decode(const sqz_file *file, const sqz_tensor *tensor, float *weights, size_t capacity);

/* The same in pieces, for a buffer smaller than the tensor: sqz_begin, then sqz_read_weights or sqz_read_symbols with
 * any count, until none are left. Symbols are codebook indices of a shared tensor, and the mask of a pruned one. Pieces
 * have the tensor's scan order. Do not use them before the last piece is SQZ_OK: it includes the check of the end of
 * the stream. A count greater than `left` is SQZ_SMALL_BUFFER, as are symbols of a dense tensor. sqz_read_weights does
 * not support coefficients, nor a pruned tensor whose scan order is not SQZ_OUT_IN. */
sqz_error sqz_begin(const sqz_file *file, const sqz_tensor *tensor, sqz_weights *weights);
sqz_error sqz_read_weights(sqz_weights *weights, float *out, size_t count);
sqz_error sqz_read_symbols(sqz_weights *weights, uint16_t *out, size_t count);

/* After sqz_begin: an entry of a shared tensor's codebook, 0 to value_count, and its factor in a row and a column.
 * Coefficients have a further factor each. */
float sqz_codebook(const sqz_weights *weights, uint32_t entry);
float sqz_scale(const sqz_weights *weights, uint32_t row, uint32_t column);

/* Write the labels in UTF-8, each with a line feed: label_plain_bytes bytes. */
sqz_error sqz_labels(const sqz_file *file, char *labels, size_t capacity);

/* The name of an error, such as "bad-symbols". */
const char *sqz_error_name(sqz_error error);

double sqz_float64(const uint8_t *bytes);
uint32_t sqz_crc32(uint32_t crc, const uint8_t *bytes, size_t length); /* continues `crc`; start with 0 */

#ifdef __cplusplus
}
#endif

#endif

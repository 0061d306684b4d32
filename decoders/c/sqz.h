/* Reads the weights of a `.sqz` file on small machines: docs/format.md, coding `huffman`. C99, no allocation.
 *
 * The caller hands over the bytes of the whole file, which may lie in flash, and a workspace, and keeps both as long
 * as it reads. Nothing is written but the workspace, the caller's buffers and the three structs here. All lengths in a
 * file are checked before they are used; whatever differs from docs/format.md is refused.
 *
 * It needs `float` and `double` to be IEEE 754 numbers of 32 and 64 bits, and may run on either byte order.
 */
#ifndef SQZ_H
#define SQZ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Files with more weights, all tensors together, are refused. At most 2^31. */
#ifndef SQZ_MAX_WEIGHTS
#define SQZ_MAX_WEIGHTS 268435456u
#endif

/* Files with more tensors are refused. Names are compared each with each, which a smaller limit keeps short where
 * files come from strangers. The format allows no more than this. */
#ifndef SQZ_MAX_TENSORS
#define SQZ_MAX_TENSORS 8192u
#endif

typedef enum sqz_error {
    SQZ_OK = 0,
    SQZ_DONE = 1, /* no error: there is no further tensor */

    /* The file is no `.sqz` file, or a damaged one. */
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

    /* More than this build allows. */
    SQZ_TOO_MANY_WEIGHTS = 32,
    SQZ_TOO_MANY_TENSORS = 33,

    /* The caller gave too little. */
    SQZ_SMALL_WORKSPACE = 48,
    SQZ_SMALL_BUFFER = 49,

    /* The file may be good; this reader does not read it. */
    SQZ_UNSUPPORTED_VERSION = 64,
    SQZ_UNSUPPORTED_CONTEXT = 65, /* codec 3 */
    SQZ_UNSUPPORTED_ANS = 66,     /* codec 4 */
    SQZ_UNSUPPORTED_CODEC = 67,   /* a codec of the future */
    SQZ_UNSUPPORTED_CODED_VALUES = 68,
    SQZ_UNSUPPORTED_LZMA2 = 69,     /* labels alone */
    SQZ_UNSUPPORTED_IN_PIECES = 70 /* weights of a pruned tensor whose symbols are not row-major, and those that are
                                      added up of coefficients: use sqz_decode */
} sqz_error;

#define SQZ_IS_UNSUPPORTED(error) ((error) >= SQZ_UNSUPPORTED_VERSION)

/* A file, and what its header says. `mean` and `deviation` are float64 for sqz_float64, 8 bytes each. */
typedef struct sqz_file {
    const char *architecture; /* UTF-8, not terminated */
    size_t architecture_bytes;
    uint32_t classes;
    uint32_t height, width, short_side; /* pixels */
    uint8_t resize;                     /* 0 squash, 1 crop */
    uint8_t channels;                   /* 0 RGB, 1 BGR, 2 L */
    uint8_t mean_count, deviation_count;
    double scale;
    const uint8_t *mean, *deviation;
    uint8_t label_coding;       /* 0 stored, 1 raw deflate, 2 LZMA2, which is not read */
    uint32_t label_plain_bytes; /* what sqz_labels writes; 0 without labels */
    size_t label_workspace_bytes; /* what sqz_open must be given for sqz_labels */
    uint32_t tensors;
    size_t workspace_bytes; /* what sqz_open needs; set where it is SQZ_SMALL_WORKSPACE too */

    /* Private. */
    const uint8_t *names, *records, *header_end, *labels, *payloads, *end;
    size_t label_bytes, header_workspace_bytes;
    uint8_t *workspace;
    size_t workspace_left;
} sqz_file;

enum { SQZ_DENSE = 0, SQZ_PRUNED = 1, SQZ_SHARED = 2 };                /* sqz_tensor.form */
enum { SQZ_ROW_MAJOR = 0, SQZ_IN_OUT = 1, SQZ_KERNEL_FIRST = 2 };      /* sqz_tensor.order */
enum { SQZ_RAW = 0, SQZ_HUFFMAN = 1, SQZ_RUNS = 2, SQZ_NO_CODEC = 3 }; /* sqz_symbols.kind */

typedef struct sqz_tensor {
    uint32_t index; /* in the file */
    size_t name_bytes;
    uint32_t shape[8];
    uint8_t dimensions;
    uint8_t form;
    uint8_t order;    /* in which symbols and pieces come */
    uint8_t float16;  /* values are float16 numbers */
    uint8_t levels;   /* codebook 0, 1, -1, 2, -2 and so on, which is not stored */
    uint8_t coefficients; /* symbols are not of weights but of coefficients, of which sqz_decode makes weights */
    uint32_t weights; /* the product of the shape */
    uint32_t rows, columns, taps; /* extents of the first and second dimension, and of the others together; else 1 */
    uint32_t value_count;         /* entries of the codebook without its first, or weights kept, or all weights */
    uint64_t codec;               /* as in the file; nothing in a dense tensor */
    size_t workspace_bytes;       /* what sqz_open must be given for this tensor to be decoded */

    /* Private: where this one's parts are, and the next one's. */
    const uint8_t *payload, *row_exponents, *column_exponents, *coefficient_exponents, *symbols, *payload_end;
    const uint8_t *next_name, *next_record, *next_payload;
    uint8_t coded_values;
} sqz_tensor;

/* Bits of bytes, and the symbols of one stream; private. */
typedef struct sqz_bits {
    const uint8_t *at, *end;
    uint8_t bit, flip, over;
} sqz_bits;

typedef struct sqz_stream {
    sqz_bits bits;
    uint8_t raw, width;
    uint16_t only;          /* the symbol, if there is but one */
    uint32_t used;          /* symbols in use */
    uint32_t counts[17];    /* of codewords, by length */
    const uint8_t *symbols; /* by codeword, two bytes each */
} sqz_stream;

/* A tensor while it is read in pieces. `row`, `column` and `tap` say where the next weight belongs, as indices of the
 * first dimension, the second, and of all others together. */
typedef struct sqz_weights {
    uint32_t left; /* weights not yet read */
    uint32_t row, column, tap;

    /* Private. */
    const sqz_tensor *tensor;
    const int8_t *row_exponents, *column_exponents, *coefficient_exponents;
    sqz_stream symbols, gaps;
    uint32_t entries, zeros, values_taken;
    uint32_t entry_symbol, largest_gap;
    uint8_t kind, entry_pending;
    sqz_error error;
} sqz_weights;

/* Check the file as a whole, read its header. Payloads are checked where they are decoded.
 *
 * A stored header is read where it lies. A deflated one takes its decompressed bytes of the workspace. The rest of the
 * workspace is used anew by each call below that takes the file, so one tensor is read at a time. */
sqz_error sqz_open(sqz_file *file, const uint8_t *bytes, size_t length, void *workspace, size_t workspace_bytes);

/* Go to the first tensor, and from one to the next; SQZ_DONE after the last. */
sqz_error sqz_first(const sqz_file *file, sqz_tensor *tensor);
sqz_error sqz_next(const sqz_file *file, sqz_tensor *tensor);

/* Write the tensor's name, UTF-8, and a zero byte after it: name_bytes + 1 bytes. */
sqz_error sqz_name(const sqz_file *file, const sqz_tensor *tensor, char *name, size_t capacity);

/* Write the tensor's weights, row-major; `capacity` counts floats. What a failed call left there means nothing. */
sqz_error sqz_decode(const sqz_file *file, const sqz_tensor *tensor, float *weights, size_t capacity);

/* The same in pieces, for those who have no room for a tensor. Begin; then read as many as fit, again and again until
 * none are left, either weights or symbols (of a shared tensor indices of its codebook, of a pruned one 1 for those
 * kept). They come in the order of the tensor. Trust them when the last piece was SQZ_OK: the end is checked there.
 * Asking for more than are left is SQZ_SMALL_BUFFER. */
sqz_error sqz_begin(const sqz_file *file, const sqz_tensor *tensor, sqz_weights *weights);
sqz_error sqz_read_weights(sqz_weights *weights, float *out, size_t count);
sqz_error sqz_read_symbols(sqz_weights *weights, uint16_t *out, size_t count); /* none in a dense tensor */

/* An entry of the codebook of a shared tensor, 0 to value_count; and what it is multiplied by, in the row and the
 * column given, where sqz_begin has read them. Coefficients have scales of their own besides. */
float sqz_codebook(const sqz_tensor *tensor, uint32_t entry);
float sqz_scale(const sqz_weights *weights, uint32_t row, uint32_t column);

/* Write the labels, UTF-8, a line feed after each: label_plain_bytes bytes. */
sqz_error sqz_labels(const sqz_file *file, char *labels, size_t capacity);

/* What an error is called: "bad-symbols". */
const char *sqz_error_name(sqz_error error);

double sqz_float64(const uint8_t *bytes);
uint32_t sqz_crc32(uint32_t crc, const uint8_t *bytes, size_t length); /* goes on from `crc`, first 0 */

#ifdef __cplusplus
}
#endif

#endif

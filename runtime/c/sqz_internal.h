/* What the parts of the reader share. Programs include sqz.h alone.
 *
 *     sqz.c            the file, its header and records, and weights
 *     sqz_codecs.c     streams of symbols: `raw` and `huffman`; it passes those of `context` on
 *     sqz_context.c    the codec `context`
 *     sqz_inflate.c    raw deflate, of the header and the labels
 *
 * Functions that return int return 1 for success and 0 for failure, unless their comment says otherwise. */
#ifndef SQZ_INTERNAL_H
#define SQZ_INTERNAL_H

#include "sqz.h"

enum { MAX_CODEWORD_BITS = 16 };

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static
#endif

/* Programs for any x86-64 use AVX2 where the machine has it, in functions with the attribute SQZI_AVX2. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(__AVX2__) && __FLT_EVAL_METHOD__ == 0
#define SQZI_AVX2 __attribute__((target("avx2,fma")))
static inline int sqzi_has_avx2(void) {
    __builtin_cpu_init(); /* for programs without the compiler's own start-up code */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
static inline int sqzi_has_avx2(void) {
    return 0;
}
#endif

static inline size_t span_bytes(sqz_span span) {
    return span.begin == NULL ? 0 : (size_t)(span.end - span.begin);
}

static inline sqz_span span_between(const uint8_t *begin, const uint8_t *end) {
    sqz_span span;
    span.begin = begin;
    span.end = end;
    return span;
}

static inline uint16_t little16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | (unsigned)bytes[1] << 8);
}

static inline void put16(uint8_t *bytes, uint32_t number) {
    bytes[0] = (uint8_t)(number & 255);
    bytes[1] = (uint8_t)(number >> 8 & 255);
}

/* A matrix of symbols, which `context` needs to know: columns are `taps` of kernels that are `width` wide. */
typedef struct sqz_shape {
    uint32_t rows, columns, taps, width;
} sqz_shape;

/* ---- sqz.c ---- */

/* Places `tensor` before the tensor at a place, which sqzi_read_next then reads. */
void sqzi_seek(const sqz_file *file, sqz_place place, sqz_tensor *tensor);

/* Reads the next tensor, without its index, its name and its workspace. Does not notice the end of the tensors. */
sqz_error sqzi_read_next(sqz_tensor *tensor);

/* Sets the workspace of a tensor, which sqz_begin and sqz_decode need. This reads the heads of all its streams. */
void sqzi_find_workspace(const sqz_file *file, sqz_tensor *tensor);

/* ---- sqz_codecs.c ---- */

/* Returns the room left in a code, in codewords of the longest length: 0 for a complete code, above 0 for an incomplete
 * one, below 0 for an impossible one. */
int32_t sqzi_room_in_code(const uint32_t *histogram);

/* Sets the offset of the first symbol of each length. */
void sqzi_offsets_of(const uint32_t *histogram, uint32_t *offsets);

/* Returns the workspace for a stream: code tables, or the tables of `context`. */
uint64_t sqzi_stream_bytes(unsigned codec, sqz_span span, const sqz_shape *shape);

/* Begins a stream, in a workspace of sqzi_stream_bytes. */
int sqzi_open_stream(sqz_stream *stream, unsigned codec, sqz_span span, const sqz_shape *shape, uint8_t *workspace);

/* Returns the next symbol, or -1. */
int32_t sqzi_next_symbol(sqz_stream *stream);

/* Decodes the next `count` symbols, and returns how many: fewer if the stream is damaged. */
uint32_t sqzi_take_symbols(sqz_stream *stream, uint16_t *symbols, uint32_t count);

/* Returns whether the stream ends after the last symbol. */
int sqzi_at_stream_end(sqz_stream *stream);

/* ---- sqz_context.c ---- */

typedef struct sqz_context sqz_context;

/* Returns the workspace that a stream needs, with up to 7 bytes for alignment; 0 if its head is invalid. */
uint64_t sqzi_context_bytes(sqz_span span, const sqz_shape *shape);

/* Begins a stream, in a workspace of sqzi_context_bytes; returns NULL if its head is invalid. */
sqz_context *sqzi_context_open(sqz_span span, const sqz_shape *shape, uint8_t *workspace);

/* Decodes the next `count` symbols, and returns how many: fewer if the stream is damaged. */
uint32_t sqzi_context_take(sqz_context *coder, uint16_t *symbols, uint32_t count);

/* Returns whether the stream ends as its bits say. */
int sqzi_context_ends(const sqz_context *coder);

/* ---- sqz_inflate.c ---- */

enum { INFLATE_BYTES = 960 }; /* workspace of sqzi_inflate */

/* Inflates `in` into exactly `out_bytes`. */
int sqzi_inflate(sqz_span in, uint8_t *out, size_t out_bytes, uint8_t *workspace);

#endif

/* The decoder of streams of symbols as a WebAssembly module, for the Python package: compress/codecs/runtime_decoder.py.
 *
 *     place_stream(bytes)     memory for a stream, which the caller fills
 *     decode_stream(...)      its symbols, two bytes each; NULL if it is damaged, or memory cannot be had
 *
 * An instance decodes one stream. The module has no imports. */
#include "sqz_internal.h"
#include "sqz_memory.h"

static sqz_stream stream;
static sqz_span span;

EXPORT(place_stream) uint8_t *place_stream(uint32_t bytes) {
    uint8_t *begin;
    top = &__heap_base;
    begin = take(bytes);
    span = span_between(begin, begin + bytes);
    return begin;
}

/* Decodes the stream of a matrix, whose columns are `taps` of kernels that are `width` wide. */
EXPORT(decode_stream) const uint16_t *decode_stream(
    uint32_t codec, uint32_t rows, uint32_t columns, uint32_t taps, uint32_t width
) {
    sqz_shape shape = {rows, columns, taps, width};
    uint64_t count = (uint64_t)rows * columns;
    uint16_t *symbols = count <= SQZ_MAX_WEIGHTS ? take(count * sizeof *symbols) : NULL;
    uint8_t *workspace = take(sqzi_stream_bytes(codec, span, &shape));
    if (!symbols || !workspace || !sqzi_open_stream(&stream, codec, span, &shape, workspace) ||
        sqzi_take_symbols(&stream, symbols, (uint32_t)count) != count || !sqzi_at_stream_end(&stream)) {
        return NULL;
    }
    return symbols;
}

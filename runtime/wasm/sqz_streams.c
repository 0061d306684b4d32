/* The decoder of streams of symbols as a WebAssembly module, for the Python package: compress/codecs/runtime_decoder.py.
 *
 *     decode_stream(stream)   the symbols, two bytes each; NULL if the stream is damaged, or memory cannot be had
 *
 * The caller grows the memory for the stream, and fills it. An instance decodes one stream. The module has no imports. */
#include "sqz_internal.h"
#include "sqz_memory.h"

/* A stream of a matrix of at most SQZ_MAX_WEIGHTS symbols, whose columns are `taps` of kernels that are `width` wide. Its
 * bytes follow. */
typedef struct placed_stream {
    uint32_t codec, rows, columns, taps, width, bytes;
} placed_stream;

EXPORT(decode_stream) const uint16_t *decode_stream(const placed_stream *placed) {
    const uint8_t *begin = (const uint8_t *)(placed + 1);
    sqz_span span = span_between(begin, begin + placed->bytes);
    sqz_shape shape = {placed->rows, placed->columns, placed->taps, placed->width};
    uint32_t count = placed->rows * placed->columns;
    uint16_t *symbols;
    uint8_t *workspace;
    sqz_stream stream;
    top = (uint8_t *)(uintptr_t)span.end;
    symbols = take((uint64_t)count * sizeof *symbols);
    workspace = take(sqzi_stream_bytes(placed->codec, span, &shape));
    if (!symbols || !workspace || !sqzi_open_stream(&stream, placed->codec, span, &shape, workspace) ||
        sqzi_take_symbols(&stream, symbols, count) != count || !sqzi_at_stream_end(&stream)) {
        return NULL;
    }
    return symbols;
}

/* sqz_codecs.c - streams of symbols: docs/format.md, "Codecs". The codecs `raw` and `huffman` are here; `huffman-runs`
 * is two streams of `huffman`, which sqz.c joins; sqz_context.c has `context`.
 *
 *     1. Bits           bits of a stream                        "Conventions"
 *     2. Codes          canonical prefix codes                  "1, huffman"
 *     3. Code tables    reading the code of a stream            "1, huffman"
 *     4. Streams        of any codec                            "Codecs"
 *
 * Every loop has a bound: a stream that ends too early continues with zeros, every loop over bits ends on zeros, and
 * `over` then refuses the stream. */
#include "sqz_internal.h"

#include <string.h>

enum {
    MAX_SYMBOLS = 1 << 16, /* different ones */
    MAX_CODES = 4,         /* of one stream */
    COLUMN_CODES = 0x80,   /* plus the number of codes: the first byte of a stream with several */
    SHORT_BITS = 8,        /* codewords of up to so many bits are found in a table */
    SHORT_CODES = 1 << SHORT_BITS
};

/* ---- 1. Bits: docs/format.md, "Conventions" ---- */

static sqz_bits bits_from(sqz_span span) {
    sqz_bits bits;
    bits.at = span.begin;
    bits.end = span.end;
    bits.bit = 0;
    bits.over = 0;
    return bits;
}

/* Returns the next 16 bits, zeros beyond the end. */
static uint32_t peek_bits(const sqz_bits *bits) {
    size_t left = (size_t)(bits->end - bits->at);
    uint32_t number;
    if (left > 2) {
        number = (uint32_t)bits->at[0] << 16 | (uint32_t)bits->at[1] << 8 | bits->at[2];
    } else {
        number = left > 0 ? (uint32_t)bits->at[0] << 16 : 0;
        number |= left > 1 ? (uint32_t)bits->at[1] << 8 : 0;
    }
    return number >> (8 - bits->bit) & 0xFFFFu;
}

/* Skips up to 16 bits; those beyond the end set `over`. */
static void skip_bits(sqz_bits *bits, uint32_t width) {
    uint32_t bit = bits->bit + width;
    if (bit > 8 * (uint64_t)(bits->end - bits->at)) {
        bits->at = bits->end;
        bits->bit = 0;
        bits->over = 1;
        return;
    }
    bits->at += bit >> 3;
    bits->bit = bit & 7;
}

/* Takes a number of up to 16 bits. */
static uint32_t take_bits(sqz_bits *bits, uint32_t width) {
    uint32_t number = peek_bits(bits) >> (16 - width);
    skip_bits(bits, width);
    return number;
}

static uint32_t take_bit(sqz_bits *bits) {
    return take_bits(bits, 1);
}

/* Skips to the next byte; returns whether all skipped bits are zero. */
static int skip_padding(sqz_bits *bits) {
    return bits->bit == 0 || take_bits(bits, 8u - bits->bit) == 0;
}

/* ---- 2. Codes: docs/format.md, "1, `huffman`" ----
 *
 * A canonical code is given by the number of codewords of each length and by the symbols in the order of codewords:
 * codewords of one length are consecutive numbers, and follow those of the length before with a zero appended. */

int32_t sqzi_room_in_code(const uint32_t *histogram) {
    int32_t room = 1;
    unsigned length;
    for (length = 1; length <= MAX_CODEWORD_BITS; length++) {
        room = 2 * room - (int32_t)histogram[length]; /* at most 2^16 */
        if (room < 0) {
            return room;
        }
    }
    return room;
}

void sqzi_offsets_of(const uint32_t *histogram, uint32_t *offsets) {
    unsigned length;
    offsets[0] = offsets[1] = 0;
    for (length = 1; length < MAX_CODEWORD_BITS; length++) {
        offsets[length + 1] = offsets[length] + histogram[length];
    }
}

/* Fills the table of lengths by the next bits: the length of the codeword that they begin with, or SHORT_BITS + 1. The
 * code is complete. Also sets, for each length, the number that leads from a codeword to the place of its symbol. */
static void fill_lengths(sqz_code *code, const uint32_t *histogram, uint8_t *lengths) {
    uint32_t next = 0, index = 0, length, i, filled = 0;
    for (length = 1; length <= MAX_CODEWORD_BITS; length++) {
        next <<= 1;
        code->places[length] = index - next; /* may wrap below zero; a codeword wraps it back */
        index += histogram[length];
        next += histogram[length];
        code->limits[length] = next << (MAX_CODEWORD_BITS - length);
        for (i = filled; length <= SHORT_BITS && i < next << (SHORT_BITS - length); i++) {
            lengths[i] = (uint8_t)length;
        }
        filled = i;
    }
    memset(lengths + filled, SHORT_BITS + 1, SHORT_CODES - filled);
}

/* Returns the next symbol of a code of two symbols or more: the table says its length, or that it is longer. */
INLINE uint32_t take_symbol(sqz_bits *bits, const sqz_code *code) {
    uint32_t next = peek_bits(bits), length = code->lengths[next >> (16 - SHORT_BITS)];
    while (next >= code->limits[length]) { /* the limit of 16 bits is 65,536 */
        length++;
    }
    skip_bits(bits, length);
    return little16(code->symbols + 2 * (size_t)(code->places[length] + (next >> (16 - length))));
}

/* ---- 3. Code tables: docs/format.md, "1, `huffman`" ---- */

/* gamma(n) of "1, huffman", for n up to 2^17 - 1; returns 0 if n is larger. */
static uint32_t take_gamma(sqz_bits *bits) {
    unsigned zeros = 0;
    while (!take_bit(bits)) {
        if (bits->over || ++zeros > 16) {
            return 0;
        }
    }
    return 1u << zeros | take_bits(bits, zeros);
}

/* Step 2 of "1, huffman": takes a run of unused symbols and a run of `run` used ones. Sets `next`, the symbol after
 * the last, to the first used one. `left` used symbols are not named yet. */
static int take_run(sqz_bits *bits, uint32_t *next, uint32_t left, uint32_t *run) {
    uint32_t unused = take_gamma(bits);
    *run = take_gamma(bits);
    if (unused == 0 || *run == 0 || *run > left || unused - 1 > MAX_SYMBOLS - *next) {
        return 0;
    }
    *next += unused - 1;
    return *run <= MAX_SYMBOLS - *next;
}

/* Step 3 of "1, huffman": returns the length of a codeword, given the previous one; 0 if it leaves 1 to 16 or moves
 * both up and down. */
static uint32_t take_length(sqz_bits *bits, uint32_t length) {
    uint32_t direction = 0;
    int moved = 0;
    while (take_bit(bits)) {
        uint32_t down = take_bit(bits);
        if (moved && down != direction) {
            return 0;
        }
        direction = down;
        moved = 1;
        length = down ? length - 1 : length + 1;
        if (length < 1 || length > MAX_CODEWORD_BITS) {
            return 0;
        }
    }
    return length;
}

/* Returns the workspace for a code: two bytes a symbol and the table of lengths; none for one symbol. */
static size_t table_bytes(const sqz_code *code) {
    return code->used < 2 ? 0 : SHORT_CODES + 2 * (size_t)code->used;
}

/* Sorts the used symbols by length and then by symbol. The names and the lengths, which are far apart in the stream,
 * are read a second time and side by side: so no table of the lengths is needed. */
static void fill_symbols(
    const sqz_code *code, const uint32_t *histogram, sqz_bits names, sqz_bits lengths, uint8_t *symbols
) {
    uint32_t offsets[MAX_CODEWORD_BITS + 1], next = 0, named, run, length = take_bits(&lengths, 4) + 1;
    sqzi_offsets_of(histogram, offsets);
    for (named = 0; named < code->used; named += run) {
        uint32_t i;
        (void)take_run(&names, &next, code->used - named, &run);
        for (i = 0; i < run; i++) {
            length = take_length(&lengths, length);
            put16(symbols + 2 * (size_t)offsets[length]++, next++);
        }
    }
}

/* Takes a code and its padding: "1, huffman". Fills `table`, which has table_bytes, once the code is known to be valid.
 * NULL: only checks the code. */
static int take_code(sqz_code *code, sqz_bits *bits, uint8_t *table) {
    uint32_t histogram[MAX_CODEWORD_BITS + 1] = {0}, next = 0, named, run, i, length;
    sqz_bits names, lengths;
    i = take_gamma(bits);
    if (bits->over || i == 0 || i - 1 > MAX_SYMBOLS) {
        return 0;
    }
    code->used = i - 1;
    names = *bits;
    for (named = 0; named < code->used; named += run) {
        if (!take_run(bits, &next, code->used - named, &run) || bits->over) {
            return 0;
        }
        next += run;
    }
    code->only = (uint16_t)(next ? next - 1 : 0);
    if (code->used < 2) {
        return skip_padding(bits);
    }
    lengths = *bits;
    length = take_bits(bits, 4) + 1;
    for (i = 0; i < code->used; i++) {
        length = take_length(bits, length);
        if (length == 0 || bits->over) {
            return 0;
        }
        histogram[length]++;
    }
    if (sqzi_room_in_code(histogram) != 0 || !skip_padding(bits)) {
        return 0;
    }
    if (table != NULL) {
        code->lengths = table;
        code->symbols = table + SHORT_CODES;
        fill_lengths(code, histogram, table);
        fill_symbols(code, histogram, names, lengths, table + SHORT_CODES);
    }
    return 1;
}

/* Takes the number of codes, which one code alone does not have; 0 if it is invalid. */
static unsigned take_code_count(sqz_bits *bits) {
    unsigned head = bits->at == bits->end ? 0 : *bits->at;
    if (head <= COLUMN_CODES) {
        return 1;
    }
    skip_bits(bits, 8);
    return head < COLUMN_CODES + 2 || head > COLUMN_CODES + MAX_CODES ? 0 : head - COLUMN_CODES;
}

/* Returns the workspace for a stream of `huffman`: several codes, with up to 7 bytes for alignment, and the tables of all
 * codes up to the first invalid one. */
static size_t huffman_bytes(sqz_span span) {
    sqz_bits bits = bits_from(span);
    unsigned count = take_code_count(&bits), i;
    size_t bytes = count > 1 ? 7 + count * sizeof(sqz_code) : 0;
    sqz_code code;
    for (i = 0; i < count && take_code(&code, &bits, NULL); i++) {
        bytes += table_bytes(&code);
    }
    return bytes;
}

/* Returns the code of a column: a selector never crosses a byte. */
INLINE unsigned selector_of(const sqz_stream *stream, uint32_t column) {
    uint32_t bit = column * stream->width, byte = stream->selectors[bit >> 3];
    return byte >> (8 - stream->width - (bit & 7)) & ((1u << stream->width) - 1);
}

/* Takes the codes of the columns. */
static int take_selectors(sqz_stream *stream, const sqz_shape *shape) {
    sqz_bits *bits = &stream->bits;
    uint32_t i;
    stream->width = stream->code_count > 2 ? 2 : 1;
    stream->selectors = bits->at; /* codes end with their padding */
    stream->taps = shape->taps;
    stream->columns = shape->columns / shape->taps;
    if (shape->rows == 0) {
        return 0; /* no symbols need no columns */
    }
    for (i = 0; i < stream->columns; i++) {
        if (take_bits(bits, stream->width) >= stream->code_count || bits->over) {
            return 0;
        }
    }
    return skip_padding(bits);
}

/* Begins a stream of `huffman`, in a workspace of huffman_bytes. */
static int open_huffman(sqz_stream *stream, sqz_span span, const sqz_shape *shape, uint8_t *workspace) {
    unsigned count, i;
    stream->bits = bits_from(span);
    count = take_code_count(&stream->bits);
    stream->code_count = (uint8_t)count;
    if (count < 2) {
        return count == 1 && take_code(&stream->code, &stream->bits, workspace);
    }
    workspace += (8 - (uintptr_t)workspace % 8) % 8;
    stream->codes = (sqz_code *)(void *)workspace;
    workspace += count * sizeof(sqz_code);
    for (i = 0; i < count; i++) {
        sqz_code *code = &stream->codes[i];
        if (!take_code(code, &stream->bits, workspace) || code->used == 0) {
            return 0;
        }
        workspace += table_bytes(code);
    }
    return take_selectors(stream, shape);
}

/* ---- 4. Streams: docs/format.md, "Codecs" ---- */

/* Begins a stream of `raw`. */
static int open_raw(sqz_stream *stream, sqz_span span) {
    if (span_bytes(span) == 0 || *span.begin > 16) {
        return 0;
    }
    stream->width = *span.begin;
    stream->bits = bits_from(span_between(span.begin + 1, span.end));
    return 1;
}

uint64_t sqzi_stream_bytes(unsigned codec, sqz_span span, const sqz_shape *shape) {
    return codec == SQZ_HUFFMAN ? huffman_bytes(span) : codec == SQZ_CONTEXT ? sqzi_context_bytes(span, shape) : 0;
}

int sqzi_open_stream(sqz_stream *stream, unsigned codec, sqz_span span, const sqz_shape *shape, uint8_t *workspace) {
    memset(stream, 0, sizeof *stream);
    stream->codec = (uint8_t)codec;
    if (codec == SQZ_RAW) {
        return open_raw(stream, span);
    }
    if (codec == SQZ_HUFFMAN) {
        return open_huffman(stream, span, shape, workspace);
    }
    stream->context = sqzi_context_open(span, shape, workspace);
    return stream->context != NULL;
}

/* Returns the code of the next symbol, and moves to the symbol after it. */
INLINE const sqz_code *next_code(sqz_stream *stream) {
    const sqz_code *code = &stream->codes[selector_of(stream, stream->column)];
    if (++stream->tap == stream->taps) {
        stream->tap = 0;
        stream->column = stream->column + 1 == stream->columns ? 0 : stream->column + 1;
    }
    return code;
}

/* Returns the next symbol of `raw` or `huffman`, or -1. */
INLINE int32_t next_codeword(sqz_stream *stream) {
    const sqz_code *code = stream->code_count > 1 ? next_code(stream) : &stream->code;
    uint32_t symbol;
    if (stream->codec == SQZ_HUFFMAN && code->used < 2) {
        return code->used ? code->only : -1;
    }
    symbol = stream->codec == SQZ_RAW ? take_bits(&stream->bits, stream->width) : take_symbol(&stream->bits, code);
    return stream->bits.over ? -1 : (int32_t)symbol;
}

uint32_t sqzi_take_symbols(sqz_stream *stream, uint16_t *symbols, uint32_t count) {
    uint32_t i;
    if (stream->codec == SQZ_CONTEXT) {
        return sqzi_context_take(stream->context, symbols, count);
    }
    for (i = 0; i < count; i++) {
        int32_t symbol = next_codeword(stream);
        if (symbol < 0) {
            break;
        }
        symbols[i] = (uint16_t)symbol;
    }
    return i;
}

int32_t sqzi_next_symbol(sqz_stream *stream) {
    uint16_t symbol;
    return sqzi_take_symbols(stream, &symbol, 1) ? symbol : -1;
}

int sqzi_at_stream_end(sqz_stream *stream) {
    if (stream->codec == SQZ_CONTEXT) {
        return sqzi_context_ends(stream->context);
    }
    return skip_padding(&stream->bits) && stream->bits.at == stream->bits.end;
}

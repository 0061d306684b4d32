/* sqz_inflate.c - raw deflate, RFC 1951, of the header and the labels. Like zlib, it accepts an incomplete code with one
 * codeword of one bit, or with none, and ignores padding. It decodes bit by bit: headers are short. */
#include "sqz_internal.h"

#include <string.h>

enum { /* symbols of the two codes */
    LITERALS = 288,
    DISTANCES = 32
};

/* The workspace has the lengths of both codes and, two bytes each, their symbols. */
typedef char workspace_must_fit[INFLATE_BYTES == 3 * (LITERALS + DISTANCES) ? 1 : -1];

/* ---- 1. Bits, section 3.1.1 ---- */

/* Bits fill a byte from the least significant one. Beyond the end they are zero, and `over` is set. */
typedef struct bit_reader {
    const uint8_t *at, *end;
    uint8_t bit, over;
} bit_reader;

static bit_reader bits_from(sqz_span span) {
    bit_reader bits;
    bits.at = span.begin;
    bits.end = span.end;
    bits.bit = 0;
    bits.over = 0;
    return bits;
}

static uint32_t take_bit(bit_reader *bits) {
    uint32_t bit;
    if (bits->at == bits->end) {
        bits->over = 1;
        return 0;
    }
    bit = (uint32_t)*bits->at >> bits->bit & 1u;
    if (++bits->bit == 8) {
        bits->bit = 0;
        bits->at++;
    }
    return bit;
}

static uint32_t take_bits(bit_reader *bits, unsigned width) {
    uint32_t number = 0;
    unsigned i;
    for (i = 0; i < width; i++) {
        number |= take_bit(bits) << i;
    }
    return number;
}

static void skip_padding(bit_reader *bits) {
    if (bits->bit) {
        bits->bit = 0;
        bits->at++;
    }
}

/* ---- 2. Codes, section 3.2 ---- */

/* Returns the next symbol of a canonical code, or -1 if no codeword matches. Decodes one bit at a time: codewords of
 * `length` bits are `first` and the numbers after it, and the symbol of `first` is at `index`. */
static int32_t take_symbol(bit_reader *bits, const uint32_t *histogram, const uint8_t *symbols) {
    uint32_t code = 0, first = 0, index = 0;
    unsigned length;
    for (length = 1; length <= MAX_CODEWORD_BITS; length++) {
        code |= take_bit(bits);
        if (code - first < histogram[length]) {
            return little16(symbols + 2 * (size_t)(index + code - first));
        }
        index += histogram[length];
        first = (first + histogram[length]) << 1;
        code <<= 1;
    }
    return -1;
}

/* Makes a code from the lengths of its codewords, RFC 1951 section 3.2.2. */
static int deflate_code(const uint8_t *lengths, unsigned count, uint32_t *histogram, uint8_t *symbols) {
    uint32_t offsets[MAX_CODEWORD_BITS + 1];
    unsigned i;
    int32_t room;
    memset(histogram, 0, (MAX_CODEWORD_BITS + 1) * sizeof *histogram);
    for (i = 0; i < count; i++) {
        histogram[lengths[i]]++;
    }
    room = sqzi_room_in_code(histogram);
    if (room < 0 || (room > 0 && histogram[0] + histogram[1] != count)) {
        return 0;
    }
    sqzi_offsets_of(histogram, offsets);
    for (i = 0; i < count; i++) {
        if (lengths[i]) {
            put16(symbols + 2 * (size_t)offsets[lengths[i]]++, i);
        }
    }
    histogram[0] = 0;
    return 1;
}

/* Reads the lengths of both codes of a dynamic block, section 3.2.7. The code of the lengths uses `literals`, which the
 * code of the literals overwrites later. */
static int deflate_lengths(bit_reader *bits, uint8_t *lengths, unsigned *literal_count, unsigned *distance_count,
                           uint32_t *histogram, uint8_t *literals) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    unsigned i, codes;
    *literal_count = take_bits(bits, 5) + 257;
    *distance_count = take_bits(bits, 5) + 1;
    codes = take_bits(bits, 4) + 4;
    if (*literal_count > 286 || *distance_count > 30) {
        return 0;
    }
    memset(lengths, 0, 19);
    for (i = 0; i < codes; i++) {
        lengths[order[i]] = (uint8_t)take_bits(bits, 3);
    }
    if (!deflate_code(lengths, 19, histogram, literals) || sqzi_room_in_code(histogram) != 0) {
        return 0;
    }
    for (i = 0; i < *literal_count + *distance_count;) {
        int32_t symbol = take_symbol(bits, histogram, literals);
        unsigned repeats = 1;
        uint8_t length = 0;
        if (symbol < 0 || bits->over) {
            return 0;
        }
        if (symbol < 16) {
            length = (uint8_t)symbol;
        } else if (symbol == 16) {
            if (i == 0) {
                return 0;
            }
            length = lengths[i - 1];
            repeats = 3 + take_bits(bits, 2);
        } else {
            repeats = symbol == 17 ? 3 + take_bits(bits, 3) : 11 + take_bits(bits, 7);
        }
        if (repeats > *literal_count + *distance_count - i) {
            return 0;
        }
        memset(lengths + i, length, repeats);
        i += repeats;
    }
    return lengths[256] != 0; /* the end of the block needs a codeword */
}

/* Sets the lengths of both codes of a fixed block, section 3.2.6. */
static void fixed_lengths(uint8_t *lengths) {
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    memset(lengths + LITERALS, 5, DISTANCES);
}

/* Returns a length or a distance, section 3.2.5: `per_group` consecutive symbols have the same number of extra bits. */
static uint32_t with_extra_bits(bit_reader *bits, uint32_t symbol, unsigned per_group) {
    uint32_t extra = symbol < 2 * per_group ? 0 : symbol / per_group - 1;
    uint32_t start = symbol < 2 * per_group ? symbol : (per_group + symbol % per_group) << extra;
    return start + take_bits(bits, extra);
}

/* ---- 3. Blocks, section 3.2.3 ---- */

/* Decodes the symbols of a block up to its end. */
static int inflate_block(bit_reader *bits, const uint32_t *literal_histogram, const uint8_t *literals,
                         const uint32_t *distance_histogram, const uint8_t *distances, uint8_t *out, size_t out_bytes,
                         size_t *done) {
    for (;;) {
        int32_t symbol = take_symbol(bits, literal_histogram, literals);
        uint32_t length, distance;
        if (symbol < 0 || symbol > 285 || bits->over) {
            return 0;
        }
        if (symbol == 256) {
            return 1;
        }
        if (symbol < 256) {
            if (*done == out_bytes) {
                return 0;
            }
            out[(*done)++] = (uint8_t)symbol;
            continue;
        }
        length = symbol == 285 ? 258 : 3 + with_extra_bits(bits, (uint32_t)symbol - 257, 4);
        symbol = take_symbol(bits, distance_histogram, distances);
        if (symbol < 0 || symbol > 29) {
            return 0;
        }
        distance = 1 + with_extra_bits(bits, (uint32_t)symbol, 2);
        if (bits->over || distance > *done || length > out_bytes - *done) {
            return 0;
        }
        for (; length; length--, (*done)++) {
            out[*done] = out[*done - distance];
        }
    }
}

/* Copies a stored block, section 3.2.4. */
static int inflate_stored(bit_reader *bits, uint8_t *out, size_t out_bytes, size_t *done) {
    uint32_t length;
    skip_padding(bits);
    if (bits->end - bits->at < 4) {
        return 0;
    }
    length = little16(bits->at);
    if ((length ^ little16(bits->at + 2)) != 0xFFFF) {
        return 0;
    }
    bits->at += 4;
    if (length > (size_t)(bits->end - bits->at) || length > out_bytes - *done) {
        return 0;
    }
    if (length) {
        memcpy(out + *done, bits->at, length);
    }
    bits->at += length;
    *done += length;
    return 1;
}

int sqzi_inflate(sqz_span in, uint8_t *out, size_t out_bytes, uint8_t *workspace) {
    uint8_t *lengths = workspace, *literals = lengths + LITERALS + DISTANCES, *distances = literals + 2 * LITERALS;
    uint32_t literal_histogram[MAX_CODEWORD_BITS + 1], distance_histogram[MAX_CODEWORD_BITS + 1];
    bit_reader bits = bits_from(in);
    size_t done = 0;
    uint32_t last;
    do {
        unsigned literal_count = LITERALS, distance_count = DISTANCES;
        uint32_t kind;
        last = take_bit(&bits);
        kind = take_bits(&bits, 2);
        if (bits.over || kind == 3) {
            return 0;
        }
        if (kind == 0) {
            if (!inflate_stored(&bits, out, out_bytes, &done)) {
                return 0;
            }
            continue;
        }
        if (kind == 1) {
            fixed_lengths(lengths);
        } else if (!deflate_lengths(&bits, lengths, &literal_count, &distance_count, literal_histogram, literals)) {
            return 0;
        }
        if (!deflate_code(lengths, literal_count, literal_histogram, literals) ||
            !deflate_code(lengths + literal_count, distance_count, distance_histogram, distances) ||
            !inflate_block(&bits, literal_histogram, literals, distance_histogram, distances, out, out_bytes, &done)) {
            return 0;
        }
    } while (!last);
    skip_padding(&bits);
    return !bits.over && bits.at == bits.end && done == out_bytes;
}

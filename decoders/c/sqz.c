/* A reader of `.sqz` files, written from docs/format.md alone; what it is for and how to use it: sqz.h. */
#include "sqz.h"

#include <string.h>

typedef char float_must_have_32_bits[sizeof(float) == 4 ? 1 : -1];
typedef char double_must_have_64_bits[sizeof(double) == 8 ? 1 : -1];

enum {
    PREFIX_BYTES = 22,
    MOST_HEADER_BYTES = 1 << 24,
    MOST_CLASSES = 1 << 24,
    MOST_PIXELS = 1 << 16,
    MOST_TEXT_BYTES = 1024,
    MOST_CHANNEL_VALUES = 16,
    MOST_TENSORS = 1 << 16,
    MOST_SYMBOLS = 1 << 16,
    LONGEST_CODEWORD = 16,
    /* What inflating takes of the workspace: lengths of both codes, and their symbols, two bytes each. */
    LITERALS = 288,
    DISTANCES = 32,
    INFLATE_BYTES = 3 * (LITERALS + DISTANCES)
};

enum {
    FLOAT16 = 4,
    ROW_SCALES = 8,
    COLUMN_SCALES = 16,
    LEVELS = 32,
    CODED_VALUES = 64,
    ORDERED = 128,
    COEFFICIENTS = 256
};
enum { SIDE = 3, KERNEL = SIDE * SIDE }; /* of kernels with coefficients */
enum { STORED = 0, DEFLATE = 1, LZMA2 = 2 };

/* ---- Numbers ---- */

static uint16_t little16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | (unsigned)bytes[1] << 8);
}

static uint32_t little32(const uint8_t *bytes) {
    return little16(bytes) | (uint32_t)little16(bytes + 2) << 16;
}

static void put16(uint8_t *bytes, uint32_t number) {
    bytes[0] = (uint8_t)(number & 255);
    bytes[1] = (uint8_t)(number >> 8 & 255);
}

static float float_of(uint32_t bits) {
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static uint32_t bits_of(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

double sqz_float64(const uint8_t *bytes) {
    uint64_t bits = little32(bytes) | (uint64_t)little32(bytes + 4) << 32;
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* Four bits at a time: 64 bytes of table, where one of 1,024 would be twice as fast. */
uint32_t sqz_crc32(uint32_t crc, const uint8_t *bytes, size_t length) {
    static const uint32_t table[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
                                       0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                       0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    size_t i;
    crc = ~crc & 0xFFFFFFFFu;
    for (i = 0; i < length; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc & 0xFFFFFFFFu;
}

static int is_utf8(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    while (i < length) {
        uint32_t lead = bytes[i++], point, least;
        unsigned more;
        if (lead < 0x80) {
            continue;
        }
        if (lead >= 0xC2 && lead < 0xE0) {
            more = 1, point = lead & 31, least = 0x80;
        } else if (lead >= 0xE0 && lead < 0xF0) {
            more = 2, point = lead & 15, least = 0x800;
        } else if (lead >= 0xF0 && lead < 0xF5) {
            more = 3, point = lead & 7, least = 0x10000;
        } else {
            return 0;
        }
        for (; more; more--, i++) {
            if (i == length || (bytes[i] & 0xC0) != 0x80) {
                return 0;
            }
            point = point << 6 | (bytes[i] & 63u);
        }
        if (point < least || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) {
            return 0;
        }
    }
    return 1;
}

/* ---- Fields ---- */

/* Bytes to be taken one after the other. After a mistake it is empty and `bad`; all that follows is zero. */
typedef struct cursor {
    const uint8_t *at, *end;
    int bad;
} cursor;

static size_t bytes_left(const cursor *fields) {
    return (size_t)(fields->end - fields->at);
}

static void spoil(cursor *fields) {
    fields->at = fields->end;
    fields->bad = 1;
}

static uint64_t take_varint(cursor *fields) {
    uint64_t number = 0;
    unsigned shift;
    for (shift = 0; shift < 63 && fields->at < fields->end; shift += 7) {
        uint8_t byte = *fields->at++;
        number |= (uint64_t)(byte & 127u) << shift;
        if (byte < 128) {
            if (byte == 0 && shift > 0) {
                break;
            }
            return number;
        }
    }
    spoil(fields);
    return 0;
}

static uint32_t take_at_most(cursor *fields, uint32_t most) {
    uint64_t number = take_varint(fields);
    if (number > most) {
        spoil(fields);
        return 0;
    }
    return (uint32_t)number;
}

static const uint8_t *take_bytes(cursor *fields, uint64_t length) {
    const uint8_t *bytes = fields->at;
    if (length > bytes_left(fields)) {
        spoil(fields);
        return fields->end;
    }
    fields->at += (size_t)length;
    return bytes;
}

static const uint8_t *take_float64s(cursor *fields, uint8_t count) {
    const uint8_t *bytes = take_bytes(fields, 8u * (uint64_t)count);
    uint8_t i;
    for (i = 0; !fields->bad && i < count; i++) {
        if ((little16(bytes + 8 * i + 6) & 0x7FF0) == 0x7FF0) {
            spoil(fields); /* not finite */
        }
    }
    return bytes;
}

/* ---- Bits and prefix codes, of deflate too ---- */

/* `flip` is 7 where bits begin with a byte's most significant, 0 where they begin with its least. */
static sqz_bits bits_from(const uint8_t *at, const uint8_t *end, uint8_t flip) {
    sqz_bits bits;
    bits.at = at;
    bits.end = end;
    bits.bit = 0;
    bits.flip = flip;
    bits.over = 0;
    return bits;
}

/* Beyond the end there are zeros, and `over` is set. All loops below end on zeros. */
static uint32_t take_bit(sqz_bits *bits) {
    uint32_t bit;
    if (bits->at == bits->end) {
        bits->over = 1;
        return 0;
    }
    bit = (uint32_t)*bits->at >> (bits->bit ^ bits->flip) & 1u;
    if (++bits->bit == 8) {
        bits->bit = 0;
        bits->at++;
    }
    return bit;
}

/* A number of up to 16 bits, written in the direction in which bits fill a byte. */
static uint32_t take_bits(sqz_bits *bits, unsigned width) {
    uint32_t number = 0;
    unsigned i;
    for (i = 0; i < width; i++) {
        number = bits->flip ? number << 1 | take_bit(bits) : number | take_bit(bits) << i;
    }
    return number;
}

/* Go to the next byte; return whether zeros alone were passed. */
static int pass_padding(sqz_bits *bits) {
    uint32_t passed = 0;
    while (bits->bit) {
        passed |= take_bit(bits);
    }
    return !passed;
}

/* Turn counts by length into what is left of a complete code: 0 complete, above incomplete, below 0 impossible. */
static int32_t left_of_code(const uint32_t *counts, unsigned longest) {
    int32_t left = 1;
    unsigned length;
    for (length = 1; length <= longest; length++) {
        left = 2 * left - (int32_t)counts[length]; /* at most 2^16, for it is below 1 as soon as it could grow on */
        if (left < 0) {
            return left;
        }
    }
    return left;
}

/* Set where the symbols of each length begin. */
static void offsets_of(const uint32_t *counts, uint32_t *offsets) {
    unsigned length;
    offsets[0] = offsets[1] = 0;
    for (length = 1; length < LONGEST_CODEWORD; length++) {
        offsets[length + 1] = offsets[length] + counts[length];
    }
}

/* Return the next symbol of a canonical code, or -1 where no codeword is so. */
static int32_t take_symbol(sqz_bits *bits, const uint32_t *counts, const uint8_t *symbols) {
    uint32_t code = 0, first = 0, index = 0; /* first codeword of a length, and its place among the symbols */
    unsigned length;
    for (length = 1; length <= LONGEST_CODEWORD; length++) {
        code |= take_bit(bits);
        if (code - first < counts[length]) {
            return little16(symbols + 2 * (size_t)(index + code - first));
        }
        index += counts[length];
        first = (first + counts[length]) << 1;
        code <<= 1;
    }
    return -1;
}

/* ---- Raw deflate, RFC 1951 ---- */

/* Make a code of lengths. Like zlib, take an incomplete one if it has one codeword, of one bit, or none at all. */
static int deflate_code(const uint8_t *lengths, unsigned count, uint32_t *counts, uint8_t *symbols) {
    uint32_t offsets[LONGEST_CODEWORD + 1];
    unsigned i;
    int32_t left;
    memset(counts, 0, (LONGEST_CODEWORD + 1) * sizeof *counts);
    for (i = 0; i < count; i++) {
        counts[lengths[i]]++;
    }
    left = left_of_code(counts, LONGEST_CODEWORD);
    if (left < 0 || (left > 0 && counts[0] + counts[1] != count)) {
        return 0;
    }
    offsets_of(counts, offsets);
    for (i = 0; i < count; i++) {
        if (lengths[i]) {
            put16(symbols + 2 * (size_t)offsets[lengths[i]]++, i);
        }
    }
    counts[0] = 0;
    return 1;
}

/* Read the lengths of both codes of a dynamic block. `literals` is scratch for the code of the lengths first. */
static int deflate_lengths(sqz_bits *bits, uint8_t *lengths, unsigned *literal_count, unsigned *distance_count,
                           uint32_t *counts, uint8_t *literals) {
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
    if (!deflate_code(lengths, 19, counts, literals) || left_of_code(counts, LONGEST_CODEWORD) != 0) {
        return 0;
    }
    for (i = 0; i < *literal_count + *distance_count;) {
        int32_t symbol = take_symbol(bits, counts, literals);
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
    return lengths[256] != 0; /* the end of the block must have a codeword */
}

static void fixed_lengths(uint8_t *lengths) {
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    memset(lengths + LITERALS, 5, DISTANCES);
}

/* What a length or a distance begins with, and how many bits follow: groups of `per_group` share a number of bits. */
static uint32_t with_extra_bits(sqz_bits *bits, uint32_t symbol, unsigned per_group) {
    uint32_t extra = symbol < 2 * per_group ? 0 : symbol / per_group - 1;
    uint32_t start = symbol < 2 * per_group ? symbol : (per_group + symbol % per_group) << extra;
    return start + take_bits(bits, extra);
}

/* Read a block's symbols up to its end; return whether all was well. */
static int inflate_block(sqz_bits *bits, const uint32_t *literal_counts, const uint8_t *literals,
                         const uint32_t *distance_counts, const uint8_t *distances, uint8_t *out, size_t out_bytes,
                         size_t *done) {
    for (;;) {
        int32_t symbol = take_symbol(bits, literal_counts, literals);
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
        symbol = take_symbol(bits, distance_counts, distances);
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

/* Copy a stored block; return whether all was well. */
static int inflate_stored(sqz_bits *bits, uint8_t *out, size_t out_bytes, size_t *done) {
    uint32_t length;
    (void)pass_padding(bits); /* zlib does not look at it */
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

/* Inflate `in` into exactly `out_bytes`, with INFLATE_BYTES of scratch; return whether both end where they should. */
static int inflate_raw(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes, uint8_t *scratch) {
    uint8_t *lengths = scratch, *literals = lengths + LITERALS + DISTANCES, *distances = literals + 2 * LITERALS;
    uint32_t literal_counts[LONGEST_CODEWORD + 1], distance_counts[LONGEST_CODEWORD + 1];
    sqz_bits bits = bits_from(in, in + in_bytes, 0);
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
        } else if (!deflate_lengths(&bits, lengths, &literal_count, &distance_count, literal_counts, literals)) {
            return 0;
        }
        if (!deflate_code(lengths, literal_count, literal_counts, literals) ||
            !deflate_code(lengths + literal_count, distance_count, distance_counts, distances) ||
            !inflate_block(&bits, literal_counts, literals, distance_counts, distances, out, out_bytes, &done)) {
            return 0;
        }
    } while (!last);
    (void)pass_padding(&bits);
    return !bits.over && bits.at == bits.end && done == out_bytes;
}

/* ---- Codecs ---- */

/* gamma(n), n up to 2^16 or a little more; 0 where it is larger. */
static uint32_t take_gamma(sqz_bits *bits) {
    unsigned zeros = 0;
    while (!take_bit(bits)) {
        if (bits->over || ++zeros > 16) {
            return 0;
        }
    }
    return 1u << zeros | take_bits(bits, zeros);
}

/* Take a run of symbols not in use and of symbols in use; return whether they fit. */
static int take_run(sqz_bits *bits, uint32_t *next, uint32_t left, uint32_t *run) {
    uint32_t unused = take_gamma(bits);
    *run = take_gamma(bits);
    if (unused == 0 || *run == 0 || *run > left || unused - 1 > MOST_SYMBOLS - *next) {
        return 0;
    }
    *next += unused - 1;
    return *run <= MOST_SYMBOLS - *next;
}

/* Take the length of a codeword, told from the one before; 0 where it leaves 1 to 16, or goes both ways. */
static uint32_t take_length(sqz_bits *bits, uint32_t length) {
    uint32_t way = 0, steps = 0;
    while (take_bit(bits)) {
        uint32_t down = take_bit(bits);
        if (steps && down != way) {
            return 0;
        }
        way = down;
        steps = 1;
        length = down ? length - 1 : length + 1;
        if (length < 1 || length > LONGEST_CODEWORD) {
            return 0;
        }
    }
    return length;
}

/* Symbols in use, which come first in a stream of `huffman`; 0 where there is none, or too many. */
static uint32_t used_symbols(const uint8_t *at, const uint8_t *end) {
    sqz_bits bits = bits_from(at, end, 7);
    uint32_t used = take_gamma(&bits);
    return bits.over || used == 0 || used - 1 > MOST_SYMBOLS ? 0 : used - 1;
}

/* What reading a stream of `huffman` takes of the workspace. One symbol alone needs no table. */
static size_t table_bytes(const uint8_t *at, const uint8_t *end) {
    uint32_t used = used_symbols(at, end);
    return used < 2 ? 0 : 2 * (size_t)used;
}

/* Sort the symbols in use by length and then by symbol, reading names and lengths side by side once more. */
static void fill_table(sqz_stream *stream, sqz_bits names, sqz_bits lengths, uint8_t *table) {
    uint32_t offsets[LONGEST_CODEWORD + 1], next = 0, named, run, length = take_bits(&lengths, 4) + 1;
    offsets_of(stream->counts, offsets);
    for (named = 0; named < stream->used; named += run) {
        uint32_t i;
        (void)take_run(&names, &next, stream->used - named, &run);
        for (i = 0; i < run; i++) {
            length = take_length(&lengths, length);
            put16(table + 2 * (size_t)offsets[length]++, next++);
        }
    }
}

/* Begin a stream of `huffman`: read its code. `table` is for 2 bytes a symbol; as many as table_bytes said. */
static int open_huffman(sqz_stream *stream, const uint8_t *at, const uint8_t *end, uint8_t *table) {
    sqz_bits *bits = &stream->bits, names, lengths;
    uint32_t next = 0, named, run, i, length;
    memset(stream, 0, sizeof *stream);
    *bits = bits_from(at, end, 7);
    stream->used = used_symbols(at, end);
    stream->symbols = table;
    i = take_gamma(bits);
    if (bits->over || i != stream->used + 1) {
        return 0;
    }
    names = *bits;
    for (named = 0; named < stream->used; named += run) {
        if (!take_run(bits, &next, stream->used - named, &run) || bits->over) {
            return 0;
        }
        next += run;
    }
    stream->only = (uint16_t)(next ? next - 1 : 0);
    if (stream->used >= 2) {
        lengths = *bits;
        length = take_bits(bits, 4) + 1;
        for (i = 0; i < stream->used; i++) {
            length = take_length(bits, length);
            if (length == 0 || bits->over) {
                return 0;
            }
            stream->counts[length]++;
        }
        if (left_of_code(stream->counts, LONGEST_CODEWORD) != 0) {
            return 0;
        }
        fill_table(stream, names, lengths, table);
    }
    return pass_padding(bits);
}

static int open_raw(sqz_stream *stream, const uint8_t *at, const uint8_t *end) {
    memset(stream, 0, sizeof *stream);
    if (at == end || *at > 16) {
        return 0;
    }
    stream->raw = 1;
    stream->width = *at;
    stream->bits = bits_from(at + 1, end, 7);
    return 1;
}

static int open_stream(sqz_stream *stream, unsigned codec, const uint8_t *at, const uint8_t *end, uint8_t *table) {
    return codec == SQZ_RAW ? open_raw(stream, at, end) : open_huffman(stream, at, end, table);
}

/* Return the next symbol, or -1. */
static int32_t next_symbol(sqz_stream *stream) {
    int32_t symbol;
    if (stream->raw) {
        symbol = (int32_t)take_bits(&stream->bits, stream->width);
    } else if (stream->used > 1) {
        symbol = take_symbol(&stream->bits, stream->counts, stream->symbols);
    } else {
        return stream->used ? stream->only : -1;
    }
    return stream->bits.over ? -1 : symbol;
}

static int ends_well(sqz_stream *stream) {
    return pass_padding(&stream->bits) && stream->bits.at == stream->bits.end;
}

/* ---- The header ---- */

/* Go over the names; set where they end and how many bytes the longest has. */
static void check_names(cursor *fields, uint32_t tensors, size_t *longest) {
    uint32_t i, length = 0;
    *longest = 0;
    for (i = 0; i < tensors && !fields->bad; i++) {
        uint32_t shared = take_at_most(fields, length);
        uint32_t follow = take_at_most(fields, MOST_TEXT_BYTES - shared);
        (void)take_bytes(fields, follow);
        length = shared + follow;
        *longest = length > *longest ? length : *longest;
    }
}

/* Whether a later tensor is called as the one whose name is given. `names` begin after it. The comparison goes along
 * the front coding: `same` is how many bytes the name before has in common with the one sought. */
static int comes_again(cursor names, uint32_t others, const uint8_t *name, size_t length) {
    size_t same = length;
    for (; others; others--) {
        size_t shared = (size_t)take_varint(&names), follow = (size_t)take_varint(&names);
        const uint8_t *bytes = take_bytes(&names, follow);
        if (shared <= same) {
            for (same = shared; same < length && same - shared < follow && name[same] == bytes[same - shared];) {
                same++;
            }
            if (same == length && shared + follow == length) {
                return 1;
            }
        }
    }
    return 0;
}

/* Check that names, which lie well, are UTF-8 and all different, with as much scratch as the longest has. */
static sqz_error check_each_name(cursor names, uint32_t tensors, uint8_t *name) {
    for (; tensors; tensors--) {
        size_t shared = (size_t)take_varint(&names), follow = (size_t)take_varint(&names);
        if (follow) {
            memcpy(name + shared, take_bytes(&names, follow), follow);
        }
        if (!is_utf8(name, shared + follow) || comes_again(names, tensors - 1, name, shared + follow)) {
            return SQZ_BAD_NAME;
        }
    }
    return SQZ_OK;
}

/* Read what comes before the names. */
static sqz_error read_fields(sqz_file *file, cursor *fields) {
    uint64_t label_bytes;
    file->architecture_bytes = take_at_most(fields, MOST_TEXT_BYTES);
    file->architecture = (const char *)take_bytes(fields, file->architecture_bytes);
    if (!fields->bad && !is_utf8((const uint8_t *)file->architecture, file->architecture_bytes)) {
        return SQZ_BAD_NAME;
    }
    file->classes = take_at_most(fields, MOST_CLASSES);
    file->height = take_at_most(fields, MOST_PIXELS);
    file->width = take_at_most(fields, MOST_PIXELS);
    file->short_side = take_at_most(fields, MOST_PIXELS);
    file->resize = (uint8_t)take_at_most(fields, 1);
    file->channels = (uint8_t)take_at_most(fields, 2);
    file->mean = take_float64s(fields, 1);
    file->scale = fields->bad ? 0 : sqz_float64(file->mean);
    file->mean_count = (uint8_t)take_at_most(fields, MOST_CHANNEL_VALUES);
    file->mean = take_float64s(fields, file->mean_count);
    file->deviation_count = (uint8_t)take_at_most(fields, MOST_CHANNEL_VALUES);
    file->deviation = take_float64s(fields, file->deviation_count);
    file->label_coding = (uint8_t)take_at_most(fields, 255);
    label_bytes = take_varint(fields);
    file->label_plain_bytes = take_at_most(fields, MOST_HEADER_BYTES);
    file->tensors = take_at_most(fields, MOST_TENSORS);
    if (fields->bad || file->label_coding > LZMA2) {
        return SQZ_BAD_HEADER;
    }
    if (label_bytes > (uint64_t)(file->end - file->labels)) {
        return SQZ_CUT_OFF;
    }
    if (file->label_coding == STORED && label_bytes != file->label_plain_bytes) {
        return SQZ_BAD_LABELS;
    }
    file->label_bytes = (size_t)label_bytes;
    file->payloads = file->labels + file->label_bytes;
    file->label_workspace_bytes = file->header_workspace_bytes + (file->label_coding == DEFLATE ? INFLATE_BYTES : 0);
    return file->tensors > SQZ_MAX_TENSORS ? SQZ_TOO_MANY_TENSORS : SQZ_OK;
}

/* Read the shape; `room` is how many weights there may be, where an extent of zero counts as one. */
static sqz_error read_shape(cursor *fields, sqz_tensor *tensor, uint64_t room) {
    uint64_t filled = 1, weights = 1, taps = 1;
    uint8_t i;
    tensor->dimensions = (uint8_t)take_at_most(fields, 8);
    for (i = 0; i < tensor->dimensions; i++) {
        uint64_t extent = take_varint(fields);
        if (extent > room || filled * (extent ? extent : 1) > room) {
            return SQZ_TOO_MANY_WEIGHTS;
        }
        filled *= extent ? extent : 1;
        weights *= extent;
        taps *= i < 2 ? 1 : extent;
        tensor->shape[i] = (uint32_t)extent;
    }
    tensor->weights = (uint32_t)weights;
    tensor->rows = tensor->dimensions > 0 ? tensor->shape[0] : 1;
    tensor->columns = tensor->dimensions > 1 ? tensor->shape[1] : 1;
    tensor->taps = (uint32_t)taps;
    return fields->bad ? SQZ_BAD_HEADER : SQZ_OK;
}

/* Whether the bits of a form go together, and go with the tensor's shape. */
static int is_form(uint64_t form, const sqz_tensor *tensor) {
    uint64_t kind = form & 3, only_shared = ROW_SCALES | COLUMN_SCALES | LEVELS | COEFFICIENTS;
    int kernels = tensor->dimensions == 4 && tensor->shape[2] == SIDE && tensor->shape[3] == SIDE;
    return form < 512 && kind <= SQZ_SHARED && !(kind == SQZ_PRUNED && form & FLOAT16) &&
           !(kind != SQZ_SHARED && form & only_shared) && !(form & ROW_SCALES && tensor->dimensions < 1) &&
           !(form & COLUMN_SCALES && tensor->dimensions < 2) && !(form & LEVELS && form & CODED_VALUES) &&
           !(kind == SQZ_DENSE && form & ORDERED) && !(form & COEFFICIENTS && !kernels);
}

/* Read a record, the fields of tensor that the file tells, and where its sections are. */
static sqz_error read_record(cursor *fields, cursor *payloads, sqz_tensor *tensor, uint64_t room) {
    uint64_t form, values = 0, symbol_bytes = 0, row_bytes = 0, column_bytes = 0, coefficient_bytes = 0, value_bytes;
    sqz_error error = read_shape(fields, tensor, room);
    if (error) {
        return error;
    }
    form = take_varint(fields);
    if (fields->bad || !is_form(form, tensor)) {
        return SQZ_BAD_HEADER;
    }
    tensor->form = form & 3;
    tensor->float16 = (form & FLOAT16) != 0;
    tensor->levels = (form & LEVELS) != 0;
    tensor->coefficients = (form & COEFFICIENTS) != 0;
    tensor->coded_values = (form & CODED_VALUES) != 0;
    tensor->order = SQZ_ROW_MAJOR;
    tensor->codec = 0;
    values = tensor->weights;
    if (tensor->form != SQZ_DENSE) {
        tensor->codec = take_varint(fields);
        if (form & ORDERED) {
            tensor->order = (uint8_t)take_at_most(fields, SQZ_KERNEL_FIRST);
            if (tensor->order == SQZ_ROW_MAJOR || tensor->dimensions < tensor->order + 1) {
                return SQZ_BAD_HEADER;
            }
        }
        values = take_varint(fields);
        symbol_bytes = take_varint(fields);
        row_bytes = form & ROW_SCALES ? take_varint(fields) : 0;
        column_bytes = form & COLUMN_SCALES ? take_varint(fields) : 0;
        coefficient_bytes = form & COEFFICIENTS ? take_varint(fields) : 0;
    }
    if (values > (tensor->form != SQZ_SHARED ? tensor->weights : tensor->levels && tensor->float16 ? 4096u : 65535u)) {
        return SQZ_BAD_HEADER;
    }
    tensor->value_count = (uint32_t)values;
    value_bytes = tensor->levels ? 0 : values * (tensor->float16 ? 2 : 4);
    value_bytes = tensor->coded_values ? take_varint(fields) : value_bytes;
    if (fields->bad) {
        return SQZ_BAD_HEADER;
    }
    tensor->payload = take_bytes(payloads, value_bytes);
    tensor->row_exponents = form & ROW_SCALES ? take_bytes(payloads, row_bytes) : NULL;
    tensor->column_exponents = form & COLUMN_SCALES ? take_bytes(payloads, column_bytes) : NULL;
    tensor->coefficient_exponents = form & COEFFICIENTS ? take_bytes(payloads, coefficient_bytes) : NULL;
    /* The sections follow each other, so that each ends where the next begins. */
    tensor->symbols = take_bytes(payloads, symbol_bytes);
    tensor->payload_end = payloads->at;
    (void)take_bytes(payloads, 4);
    return payloads->bad ? SQZ_CUT_OFF : SQZ_OK;
}

/* Where a section ends: where the one that comes next begins. */
static const uint8_t *end_of_columns(const sqz_tensor *tensor) {
    return tensor->coefficient_exponents ? tensor->coefficient_exponents : tensor->symbols;
}

static const uint8_t *end_of_rows(const sqz_tensor *tensor) {
    return tensor->column_exponents ? tensor->column_exponents : end_of_columns(tensor);
}

/* What reading exponents takes for a table. */
static size_t exponent_table_bytes(const uint8_t *at, const uint8_t *end) {
    if (at == NULL || at == end || (*at & 127) != SQZ_HUFFMAN) {
        return 0;
    }
    at += *at & 128 || end - at < 2 ? 1 : 2;
    return table_bytes(at, end);
}

/* The parts of a stream of `huffman-runs`. */
typedef struct runs {
    uint32_t largest_gap, entries;
    const uint8_t *gaps, *symbols, *end;
} runs;

static int find_runs(runs *parts, const uint8_t *at, const uint8_t *end, uint32_t most_entries) {
    cursor fields;
    const uint8_t *width;
    uint64_t gap_bytes;
    fields.at = at;
    fields.end = end;
    fields.bad = 0;
    width = take_bytes(&fields, 1);
    parts->entries = take_at_most(&fields, most_entries);
    gap_bytes = take_varint(&fields);
    parts->gaps = take_bytes(&fields, gap_bytes);
    parts->symbols = fields.at;
    parts->end = end;
    if (fields.bad || *width < 2 || *width > 8) {
        return 0;
    }
    parts->largest_gap = (1u << *width) - 1;
    return 1;
}

/* Tell what decoding takes: exponents, and the table of the one code, or the two, that are read at a time. */
static size_t tensor_workspace(const sqz_tensor *tensor) {
    size_t most = exponent_table_bytes(tensor->row_exponents, end_of_rows(tensor)), table = 0;
    size_t columns = exponent_table_bytes(tensor->column_exponents, end_of_columns(tensor));
    size_t coefficients = exponent_table_bytes(tensor->coefficient_exponents, tensor->symbols);
    runs parts;
    if (tensor->form == SQZ_DENSE) {
        return 0;
    }
    if (tensor->codec == SQZ_HUFFMAN) {
        table = table_bytes(tensor->symbols, tensor->payload_end);
    } else if (tensor->codec == SQZ_RUNS && find_runs(&parts, tensor->symbols, tensor->payload_end, tensor->weights)) {
        table = table_bytes(parts.gaps, parts.symbols) + table_bytes(parts.symbols, parts.end);
    }
    most = columns > most ? columns : most;
    most = coefficients > most ? coefficients : most;
    most = table > most ? table : most;
    return (tensor->row_exponents ? tensor->rows : 0) + (tensor->column_exponents ? tensor->columns : 0) +
           (tensor->coefficients ? KERNEL : 0) + most;
}

/* Read the tensor that comes next, of which `next_name`, `next_record` and `next_payload` tell where it is. */
static sqz_error read_tensor(const sqz_file *file, sqz_tensor *tensor, uint64_t room) {
    cursor fields, payloads, names;
    size_t shared, follow;
    sqz_error error;
    fields.at = tensor->next_record;
    fields.end = file->header_end;
    payloads.at = tensor->next_payload;
    payloads.end = file->end;
    names.at = tensor->next_name;
    names.end = file->records;
    fields.bad = payloads.bad = names.bad = 0;
    error = read_record(&fields, &payloads, tensor, room);
    if (error) {
        return error;
    }
    shared = (size_t)take_varint(&names);
    follow = (size_t)take_varint(&names);
    (void)take_bytes(&names, follow);
    tensor->name_bytes = shared + follow;
    tensor->next_name = names.at;
    tensor->next_record = fields.at;
    tensor->next_payload = payloads.at;
    tensor->workspace_bytes = file->header_workspace_bytes + tensor_workspace(tensor);
    return SQZ_OK;
}

sqz_error sqz_first(const sqz_file *file, sqz_tensor *tensor) {
    memset(tensor, 0, sizeof *tensor);
    tensor->next_name = file->names;
    tensor->next_record = file->records;
    tensor->next_payload = file->payloads;
    return file->tensors ? read_tensor(file, tensor, SQZ_MAX_WEIGHTS) : SQZ_DONE;
}

sqz_error sqz_next(const sqz_file *file, sqz_tensor *tensor) {
    if (tensor->index + 1 >= file->tensors) {
        return SQZ_DONE;
    }
    tensor->index++;
    return read_tensor(file, tensor, SQZ_MAX_WEIGHTS);
}

/* Go over all records: the limit of weights, the ends of the header and the file. */
static sqz_error check_records(const sqz_file *file) {
    sqz_tensor tensor;
    uint64_t room = SQZ_MAX_WEIGHTS;
    uint32_t i;
    memset(&tensor, 0, sizeof tensor);
    tensor.next_name = file->names;
    tensor.next_record = file->records;
    tensor.next_payload = file->payloads;
    for (i = 0; i < file->tensors; i++) {
        sqz_error error = read_tensor(file, &tensor, room);
        if (error) {
            return error;
        }
        room -= tensor.weights;
    }
    if (tensor.next_record != file->header_end) {
        return SQZ_BAD_HEADER;
    }
    return tensor.next_payload == file->end ? SQZ_OK : SQZ_LEFT_OVER;
}

/* Bring the header into the workspace if it is compressed; set where it is. */
static sqz_error find_header(sqz_file *file, const uint8_t *bytes, size_t length, cursor *header) {
    uint8_t coding = bytes[9];
    uint32_t stored_bytes = little32(bytes + 10), plain_bytes = little32(bytes + 14);
    const uint8_t *stored = bytes + PREFIX_BYTES;
    if (plain_bytes > MOST_HEADER_BYTES) {
        return SQZ_BAD_HEADER;
    }
    if (stored_bytes > length - PREFIX_BYTES - 4) {
        return SQZ_CUT_OFF;
    }
    if (sqz_crc32(0, stored, stored_bytes) != little32(bytes + 18)) {
        return SQZ_BAD_CHECKSUM;
    }
    file->labels = stored + stored_bytes;
    file->end = bytes + length - 4;
    header->bad = 0;
    header->at = stored;
    if (coding > DEFLATE || (coding == STORED && stored_bytes != plain_bytes)) {
        return SQZ_BAD_HEADER;
    }
    if (coding == DEFLATE) {
        file->header_workspace_bytes = plain_bytes;
        file->workspace_bytes = (size_t)plain_bytes + INFLATE_BYTES;
        if (file->workspace_left < file->workspace_bytes) {
            return SQZ_SMALL_WORKSPACE;
        }
        header->at = file->workspace;
        file->workspace += plain_bytes;
        file->workspace_left -= plain_bytes;
        if (!inflate_raw(stored, stored_bytes, file->workspace - plain_bytes, plain_bytes, file->workspace)) {
            return SQZ_BAD_DEFLATE;
        }
    }
    header->end = header->at + plain_bytes;
    return SQZ_OK;
}

sqz_error sqz_open(sqz_file *file, const uint8_t *bytes, size_t length, void *workspace, size_t workspace_bytes) {
    static const uint8_t magic[8] = {0x89, 'S', 'Q', 'Z', '\r', '\n', 0x1A, '\n'};
    cursor header, names;
    size_t longest, needed;
    sqz_error error;
    memset(file, 0, sizeof *file);
    file->workspace = (uint8_t *)workspace;
    file->workspace_left = workspace_bytes;
    if (length && memcmp(bytes, magic, length < 8 ? length : 8) != 0) {
        return SQZ_NOT_SQZ;
    }
    if (length < PREFIX_BYTES + 4) {
        return SQZ_CUT_OFF;
    }
    if (bytes[8] != 1) {
        return bytes[8] ? SQZ_UNSUPPORTED_VERSION : SQZ_BAD_HEADER;
    }
    error = find_header(file, bytes, length, &header);
    if (!error) {
        error = read_fields(file, &header);
    }
    if (error) {
        return error;
    }
    names = header;
    file->names = header.at;
    file->header_end = header.end;
    check_names(&header, file->tensors, &longest);
    file->records = header.at;
    if (header.bad) {
        return SQZ_BAD_HEADER;
    }
    needed = file->header_workspace_bytes + longest;
    file->workspace_bytes = needed > file->workspace_bytes ? needed : file->workspace_bytes;
    if (longest > file->workspace_left) {
        return SQZ_SMALL_WORKSPACE;
    }
    names.end = file->records;
    error = check_each_name(names, file->tensors, file->workspace);
    if (!error) {
        error = check_records(file);
    }
    if (!error && sqz_crc32(0, bytes, length - 4) != little32(file->end)) {
        error = SQZ_BAD_CHECKSUM;
    }
    return error;
}

sqz_error sqz_name(const sqz_file *file, const sqz_tensor *tensor, char *name, size_t capacity) {
    cursor names;
    uint32_t i;
    names.at = file->names;
    names.end = file->records;
    names.bad = 0;
    if (capacity < tensor->name_bytes + 1) {
        return SQZ_SMALL_BUFFER;
    }
    for (i = 0; i <= tensor->index; i++) {
        size_t shared = (size_t)take_varint(&names), follow = (size_t)take_varint(&names);
        const uint8_t *bytes = take_bytes(&names, follow);
        if (shared < tensor->name_bytes && follow) { /* what is beyond the name sought is not part of it */
            size_t room = tensor->name_bytes - shared;
            memcpy(name + shared, bytes, follow < room ? follow : room);
        }
    }
    name[tensor->name_bytes] = '\0';
    return SQZ_OK;
}

sqz_error sqz_labels(const sqz_file *file, char *labels, size_t capacity) {
    uint32_t i, lines = 0;
    if (file->label_coding == LZMA2) {
        return SQZ_UNSUPPORTED_LZMA2;
    }
    if (capacity < file->label_plain_bytes) {
        return SQZ_SMALL_BUFFER;
    }
    if (file->label_coding == DEFLATE) {
        if (file->workspace_left < INFLATE_BYTES) {
            return SQZ_SMALL_WORKSPACE;
        }
        if (!inflate_raw(file->labels, file->label_bytes, (uint8_t *)labels, file->label_plain_bytes,
                         file->workspace)) {
            return SQZ_BAD_LABELS;
        }
    } else if (file->label_bytes) {
        memcpy(labels, file->labels, file->label_bytes);
    }
    if (file->label_plain_bytes == 0) {
        return SQZ_OK;
    }
    for (i = 0; i < file->label_plain_bytes; i++) {
        lines += labels[i] == '\n';
    }
    return lines == file->classes && labels[file->label_plain_bytes - 1] == '\n' &&
                   is_utf8((const uint8_t *)labels, file->label_plain_bytes)
               ? SQZ_OK
               : SQZ_BAD_LABELS;
}

/* ---- Values and scales ---- */

static uint32_t float16_bits(uint32_t half) {
    uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) {
        return sign | 0x7F800000u | fraction << 13;
    }
    if (exponent == 0) {
        if (fraction == 0) {
            return sign;
        }
        for (exponent = 1; fraction < 1024; exponent--) { /* below zero it wraps around, and back again */
            fraction <<= 1;
        }
        fraction &= 1023;
    }
    return sign | (exponent + 112) << 23 | fraction << 13;
}

/* The bits, as float32, of a value that is stored. */
static uint32_t value_bits(const sqz_tensor *tensor, uint32_t index) {
    return tensor->float16 ? float16_bits(little16(tensor->payload + 2 * (size_t)index))
                           : little32(tensor->payload + 4 * (size_t)index);
}

/* Level of a symbol: 0, 1, 2, 3, 4 are 0, 1, -1, 2, -2. Exact: below 2^16. */
static float level_of(uint32_t symbol) {
    return symbol & 1 ? (float)(symbol / 2 + 1) : -(float)(symbol / 2) + 0.0f;
}

float sqz_codebook(const sqz_tensor *tensor, uint32_t entry) {
    if (entry == 0) {
        return 0.0f;
    }
    return tensor->levels ? level_of(entry) : float_of(value_bits(tensor, entry - 1));
}

static float scale_of(int32_t exponent) {
    static const uint32_t fractions[4] = {0x3F800000u, 0x3F9837F0u, 0x3FB504F3u, 0x3FD744FDu};
    uint32_t above = (uint32_t)(exponent + 1024); /* a multiple of 4 added: no shift of a number below zero */
    return float_of(fractions[above & 3] + ((above >> 2) << 23) - (256u << 23));
}

static int32_t exponent_of(const sqz_weights *weights, uint32_t row, uint32_t column) {
    int32_t exponent = weights->row_exponents ? weights->row_exponents[row] : 0;
    return exponent + (weights->column_exponents ? weights->column_exponents[column] : 0);
}

float sqz_scale(const sqz_weights *weights, uint32_t row, uint32_t column) {
    return scale_of(exponent_of(weights, row, column));
}

/* Check that all values are finite; tell the bits of the largest magnitude in the codebook. */
static int check_values(const sqz_tensor *tensor, uint32_t *largest) {
    uint32_t i;
    *largest = 0;
    for (i = 0; i < tensor->value_count; i++) {
        uint32_t magnitude = (tensor->levels ? bits_of(level_of(i + 1)) : value_bits(tensor, i)) & 0x7FFFFFFFu;
        if (magnitude >= 0x7F800000u) {
            return 0;
        }
        *largest = magnitude > *largest ? magnitude : *largest;
    }
    return 1;
}

/* Read exponents; return whether they are good. The table of their code lies in `table`. */
static int read_exponents(const uint8_t *at, const uint8_t *end, int8_t *exponents, uint32_t count, uint8_t *table,
                          int32_t *largest) {
    sqz_stream stream;
    int32_t exponent = 0, least = 0;
    unsigned codec, differences;
    uint32_t i;
    if (at == end) {
        return 0;
    }
    codec = *at & 127u;
    differences = *at++ & 128u;
    if (codec > SQZ_HUFFMAN || (!differences && at == end)) {
        return 0;
    }
    if (!differences) {
        least = (int32_t)*at - (*at < 128 ? 0 : 256);
        at++;
    }
    if (!open_stream(&stream, codec, at, end, table)) {
        return 0;
    }
    *largest = -128;
    for (i = 0; i < count; i++) {
        int32_t symbol = next_symbol(&stream);
        if (symbol < 0) {
            return 0;
        }
        if (differences) {
            exponent += symbol & 1 ? -(symbol / 2) - 1 : symbol / 2;
        } else {
            exponent = least + symbol;
        }
        if (exponent < -128 || exponent > 127) {
            return 0;
        }
        exponents[i] = (int8_t)exponent;
        *largest = exponent > *largest ? exponent : *largest;
    }
    return ends_well(&stream);
}

/* ---- Weights ---- */

static sqz_error unsupported(const sqz_tensor *tensor) {
    if (tensor->form != SQZ_DENSE && tensor->codec > SQZ_RUNS) {
        return tensor->codec == 3   ? SQZ_UNSUPPORTED_CONTEXT
               : tensor->codec == 4 ? SQZ_UNSUPPORTED_ANS
                                    : SQZ_UNSUPPORTED_CODEC;
    }
    return tensor->coded_values ? SQZ_UNSUPPORTED_CODED_VALUES : SQZ_OK;
}

/* Read all sorts of exponents to the start of the workspace; set how many bytes they take. */
static sqz_error begin_exponents(sqz_weights *weights, uint8_t *workspace, uint32_t largest_value, size_t *taken) {
    const sqz_tensor *tensor = weights->tensor;
    size_t rows = tensor->row_exponents ? tensor->rows : 0, columns = tensor->column_exponents ? tensor->columns : 0;
    int8_t *exponents = (int8_t *)workspace;
    uint8_t *table;
    int32_t largest_row = 0, largest_column = 0, largest_coefficient = 0;
    *taken = rows + columns + (tensor->coefficients ? KERNEL : 0);
    table = workspace + *taken;
    if (tensor->row_exponents) {
        weights->row_exponents = exponents;
        if (!read_exponents(tensor->row_exponents, end_of_rows(tensor), exponents, tensor->rows, table,
                            &largest_row)) {
            return SQZ_BAD_EXPONENTS;
        }
    }
    if (tensor->column_exponents) {
        weights->column_exponents = exponents + rows;
        if (!read_exponents(tensor->column_exponents, end_of_columns(tensor), exponents + rows, tensor->columns, table,
                            &largest_column)) {
            return SQZ_BAD_EXPONENTS;
        }
    }
    if (tensor->coefficients) {
        weights->coefficient_exponents = exponents + rows + columns;
        if (!read_exponents(tensor->coefficient_exponents, tensor->symbols, exponents + rows + columns, KERNEL, table,
                            &largest_coefficient)) {
            return SQZ_BAD_EXPONENTS;
        }
    }
    if (*taken) {
        float largest = float_of(largest_value) * scale_of(largest_row + largest_column + largest_coefficient);
        largest *= tensor->coefficients ? 16.0f : 1.0f; /* what is added up to a weight is less, however it rounds */
        if ((bits_of(largest) & 0x7FFFFFFFu) >= 0x7F800000u) {
            return SQZ_BAD_EXPONENTS;
        }
    }
    return SQZ_OK;
}

static sqz_error begin_symbols(sqz_weights *weights, uint8_t *table) {
    const sqz_tensor *tensor = weights->tensor;
    const uint8_t *at = tensor->symbols, *end = tensor->payload_end;
    runs parts;
    weights->kind = (uint8_t)tensor->codec;
    if (weights->kind != SQZ_RUNS) {
        return open_stream(&weights->symbols, weights->kind, at, end, table) ? SQZ_OK : SQZ_BAD_SYMBOLS;
    }
    if (!find_runs(&parts, at, end, tensor->weights)) {
        return SQZ_BAD_SYMBOLS;
    }
    weights->entries = parts.entries;
    weights->largest_gap = parts.largest_gap;
    if (!open_huffman(&weights->gaps, parts.gaps, parts.symbols, table) ||
        !open_huffman(&weights->symbols, parts.symbols, parts.end, table + table_bytes(parts.gaps, parts.symbols))) {
        return SQZ_BAD_SYMBOLS;
    }
    return SQZ_OK;
}

/* What must be so after the last weight. */
static sqz_error check_end(sqz_weights *weights) {
    if (weights->kind == SQZ_NO_CODEC) {
        return SQZ_OK;
    }
    if (weights->kind == SQZ_RUNS && (weights->entries || weights->entry_pending || !ends_well(&weights->gaps))) {
        return SQZ_BAD_SYMBOLS;
    }
    if (!ends_well(&weights->symbols)) {
        return SQZ_BAD_SYMBOLS;
    }
    if (weights->tensor->form == SQZ_PRUNED && weights->values_taken != weights->tensor->value_count) {
        return SQZ_BAD_VALUES;
    }
    return SQZ_OK;
}

sqz_error sqz_begin(const sqz_file *file, const sqz_tensor *tensor, sqz_weights *weights) {
    uint32_t largest_value;
    size_t taken;
    sqz_error error = unsupported(tensor);
    memset(weights, 0, sizeof *weights);
    weights->tensor = tensor;
    weights->left = tensor->weights;
    weights->kind = SQZ_NO_CODEC;
    if (!error && sqz_crc32(0, tensor->payload, (size_t)(tensor->payload_end - tensor->payload)) !=
                      little32(tensor->payload_end)) {
        error = SQZ_BAD_CHECKSUM;
    }
    if (!error && file->workspace_left < tensor->workspace_bytes - file->header_workspace_bytes) {
        error = SQZ_SMALL_WORKSPACE;
    }
    if (!error && !check_values(tensor, &largest_value)) {
        error = SQZ_BAD_VALUES;
    }
    if (!error && tensor->form != SQZ_DENSE) {
        error = begin_exponents(weights, file->workspace, largest_value, &taken);
        if (!error) {
            error = begin_symbols(weights, file->workspace + taken);
        }
    }
    if (!error && weights->left == 0) {
        error = check_end(weights);
    }
    weights->error = error;
    return error;
}

/* Return the next symbol of zero runs, or -1. */
static int32_t next_of_runs(sqz_weights *weights) {
    if (!weights->entry_pending) {
        int32_t gap, symbol;
        if (weights->entries == 0) {
            return 0;
        }
        gap = next_symbol(&weights->gaps);
        symbol = next_symbol(&weights->symbols);
        if (gap < 0 || symbol < 0 || (uint32_t)gap > weights->largest_gap) {
            return -1;
        }
        weights->entries--;
        weights->entry_pending = 1;
        weights->zeros = (uint32_t)gap;
        weights->entry_symbol = (uint32_t)symbol;
    }
    if (weights->zeros) {
        weights->zeros--;
        return 0;
    }
    weights->entry_pending = 0;
    return (int32_t)weights->entry_symbol;
}

/* Return the next symbol as the form allows it, or -1. */
static int32_t next_index(sqz_weights *weights) {
    const sqz_tensor *tensor = weights->tensor;
    int32_t symbol = weights->kind == SQZ_RUNS ? next_of_runs(weights) : next_symbol(&weights->symbols);
    if (symbol > 0 && tensor->form == SQZ_PRUNED) {
        return symbol == 1 && weights->values_taken++ < tensor->value_count ? 1 : -1;
    }
    return symbol > 0 && (uint32_t)symbol > tensor->value_count ? -1 : symbol;
}

/* Go on to where the weight after this one belongs. */
static void step(sqz_weights *weights) {
    const sqz_tensor *tensor = weights->tensor;
    weights->left--;
    if (tensor->order == SQZ_KERNEL_FIRST) {
        if (++weights->column == tensor->columns) {
            weights->column = 0;
            if (++weights->row == tensor->rows) {
                weights->row = 0;
                weights->tap++;
            }
        }
    } else if (++weights->tap == tensor->taps) {
        weights->tap = 0;
        if (tensor->order == SQZ_IN_OUT) {
            if (++weights->row == tensor->rows) {
                weights->row = 0;
                weights->column++;
            }
        } else if (++weights->column == tensor->columns) {
            weights->column = 0;
            weights->row++;
        }
    }
}

/* Remember an error, so that no piece after it is taken for good. */
static sqz_error failed(sqz_weights *weights, sqz_error error) {
    weights->error = error;
    return error;
}

/* The weight that comes next, or the coefficient. */
static float weight_of(const sqz_weights *weights, uint32_t index) {
    float value = sqz_codebook(weights->tensor, index);
    if (weights->coefficient_exponents) {
        int32_t exponent = exponent_of(weights, weights->row, weights->column);
        value *= scale_of(exponent + weights->coefficient_exponents[weights->tap]);
    } else if (weights->row_exponents || weights->column_exponents) {
        value *= sqz_scale(weights, weights->row, weights->column);
    }
    return value;
}

/* Add up the three patterns of a line of a kernel, each times its coefficient, in place: 1 -2 1, 1 0 -1, 1 1 1. Twice
 * a float is exact, so that it makes no difference whether a compiler takes product and difference together. */
static void add_patterns(float *line, size_t stride) {
    float finest = line[0], middle = line[stride], coarsest = line[2 * stride], outer = coarsest + finest;
    line[0] = outer + middle;
    line[stride] = coarsest - 2.0f * finest;
    line[2 * stride] = outer - middle;
}

/* Turn coefficients into the kernels that they stand for. */
static void add_up_kernels(float *weights, size_t count) {
    float *end = weights + count;
    size_t i;
    for (; weights < end; weights += KERNEL) {
        for (i = 0; i < SIDE; i++) {
            add_patterns(weights + SIDE * i, 1);
        }
        for (i = 0; i < SIDE; i++) {
            add_patterns(weights + i, SIDE);
        }
    }
}

/* Read the next weights, or coefficients. */
static sqz_error read_pieces(sqz_weights *weights, float *out, size_t count) {
    const sqz_tensor *tensor = weights->tensor;
    size_t i;
    for (i = 0; i < count; i++) {
        if (tensor->form == SQZ_DENSE) {
            out[i] = float_of(value_bits(tensor, tensor->weights - weights->left));
        } else {
            int32_t index = next_index(weights);
            if (index < 0) {
                return failed(weights, SQZ_BAD_SYMBOLS);
            }
            if (tensor->form == SQZ_SHARED) {
                out[i] = weight_of(weights, (uint32_t)index);
            } else {
                out[i] = index ? float_of(value_bits(tensor, weights->values_taken - 1)) : 0.0f;
            }
        }
        step(weights);
    }
    return count && weights->left == 0 ? failed(weights, check_end(weights)) : SQZ_OK;
}

sqz_error sqz_read_weights(sqz_weights *weights, float *out, size_t count) {
    const sqz_tensor *tensor = weights->tensor;
    if (weights->error) {
        return weights->error;
    }
    if (count > weights->left) {
        return SQZ_SMALL_BUFFER;
    }
    if ((tensor->form == SQZ_PRUNED && tensor->order != SQZ_ROW_MAJOR) || tensor->coefficients) {
        return SQZ_UNSUPPORTED_IN_PIECES;
    }
    return read_pieces(weights, out, count);
}

sqz_error sqz_read_symbols(sqz_weights *weights, uint16_t *out, size_t count) {
    size_t i;
    if (weights->error) {
        return weights->error;
    }
    if (count > weights->left || weights->tensor->form == SQZ_DENSE) {
        return SQZ_SMALL_BUFFER;
    }
    for (i = 0; i < count; i++) {
        int32_t index = next_index(weights);
        if (index < 0) {
            return failed(weights, SQZ_BAD_SYMBOLS);
        }
        out[i] = (uint16_t)index;
        step(weights);
    }
    return count && weights->left == 0 ? failed(weights, check_end(weights)) : SQZ_OK;
}

/* Put weights in their places whose symbols are not row-major. Those of a pruned tensor are 1 first where a value
 * belongs, for the values themselves are row-major. */
static sqz_error decode_ordered(sqz_weights *weights, float *out) {
    const sqz_tensor *tensor = weights->tensor;
    uint32_t i, taken = 0;
    while (weights->left) {
        size_t at = ((size_t)weights->row * tensor->columns + weights->column) * tensor->taps + weights->tap;
        int32_t index = next_index(weights);
        if (index < 0) {
            return SQZ_BAD_SYMBOLS;
        }
        out[at] = tensor->form == SQZ_SHARED ? weight_of(weights, (uint32_t)index) : index ? 1.0f : 0.0f;
        step(weights);
    }
    if (tensor->form == SQZ_PRUNED) {
        for (i = 0; i < tensor->weights; i++) {
            out[i] = out[i] > 0 ? float_of(value_bits(tensor, taken++)) : 0.0f;
        }
    }
    return check_end(weights);
}

sqz_error sqz_decode(const sqz_file *file, const sqz_tensor *tensor, float *weights, size_t capacity) {
    sqz_weights pieces;
    sqz_error error;
    if (capacity < tensor->weights) {
        return SQZ_SMALL_BUFFER;
    }
    error = sqz_begin(file, tensor, &pieces);
    if (error) {
        return error;
    }
    if (tensor->order != SQZ_ROW_MAJOR && tensor->weights) {
        error = decode_ordered(&pieces, weights);
    } else {
        error = read_pieces(&pieces, weights, tensor->weights);
    }
    if (error == SQZ_OK && tensor->coefficients) {
        add_up_kernels(weights, tensor->weights);
    }
    return error;
}

const char *sqz_error_name(sqz_error error) {
    switch (error) {
    case SQZ_OK: return "ok";
    case SQZ_DONE: return "done";
    case SQZ_NOT_SQZ: return "not-sqz";
    case SQZ_CUT_OFF: return "cut-off";
    case SQZ_LEFT_OVER: return "left-over";
    case SQZ_BAD_CHECKSUM: return "bad-checksum";
    case SQZ_BAD_DEFLATE: return "bad-deflate";
    case SQZ_BAD_HEADER: return "bad-header";
    case SQZ_BAD_NAME: return "bad-name";
    case SQZ_BAD_LABELS: return "bad-labels";
    case SQZ_BAD_VALUES: return "bad-values";
    case SQZ_BAD_EXPONENTS: return "bad-exponents";
    case SQZ_BAD_SYMBOLS: return "bad-symbols";
    case SQZ_TOO_MANY_WEIGHTS: return "too-many-weights";
    case SQZ_TOO_MANY_TENSORS: return "too-many-tensors";
    case SQZ_SMALL_WORKSPACE: return "small-workspace";
    case SQZ_SMALL_BUFFER: return "small-buffer";
    case SQZ_UNSUPPORTED_VERSION: return "unsupported-version";
    case SQZ_UNSUPPORTED_CONTEXT: return "unsupported-context";
    case SQZ_UNSUPPORTED_ANS: return "unsupported-ans";
    case SQZ_UNSUPPORTED_CODEC: return "unsupported-codec";
    case SQZ_UNSUPPORTED_CODED_VALUES: return "unsupported-coded-values";
    case SQZ_UNSUPPORTED_LZMA2: return "unsupported-lzma2";
    case SQZ_UNSUPPORTED_IN_PIECES: return "unsupported-in-pieces";
    }
    return "unknown";
}

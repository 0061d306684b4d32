/* sqz.c - reader of `.sqz` files. sqz.h describes its use, sqz_internal.h lists the other parts. docs/format.md specifies
 * the format; the comments below cite its sections.
 *
 * From the bottom up, each section uses only the sections before it:
 *
 *     1. Numbers        bytes -> integers and floats; CRC-32; UTF-8                  "Conventions"
 *     2. Fields         a cursor that reads varints, bytes and float64s              "Conventions"
 *     3. Header         fields and names                                             "The header"
 *     4. Records        one tensor: its record and the sections of its payload       "A record", "A payload"
 *     5. Workspace      what a tensor needs                                          "A payload"
 *     6. File           sqz_open: prefix, header, checksums; names and labels        "The whole", "The header"
 *     7. Values         plain and coded values, codebook                             "Weights", "Coded values"
 *     8. Exponents      scales                                                       "Scales", "Exponents"
 *     9. Symbols        the streams of a tensor's symbols                            "Codecs", "Scan orders"
 *    10. Weights        symbols -> weights, in pieces or whole                       "Weights"
 *
 * There is no recursion, and every loop has a bound. */
#include "sqz_internal.h"

#include <string.h>

typedef char int_must_have_32_bits[sizeof(int) >= 4 ? 1 : -1];
typedef char float_must_have_32_bits[sizeof(float) == 4 ? 1 : -1];
typedef char double_must_have_64_bits[sizeof(double) == 8 ? 1 : -1];

enum {
    PREFIX_BYTES = 22,
    CRC_BYTES = 4,
    MAX_HEADER_BYTES = 1 << 24,
    MAX_LABEL_BYTES = 1 << 24,
    MAX_CLASSES = 1 << 24,
    MAX_PIXELS = 1 << 16,
    MAX_TEXT_BYTES = 1024,
    MAX_CHANNELS = 16,
    MAX_TENSORS = 8192,
    MAX_PROGRAM_BYTES = 1 << 16,
    MAX_DIMENSIONS = 8,
    SOME_SYMBOLS = 64, /* decoded at once */
    MAX_DISTANCE = 2,            /* of differences between coded values */
    HUFFMAN_PLANES = 64,         /* in the head of coded values: `huffman` codes them, else `context` */
    MAX_ENTRIES = 1 << 16,       /* of a codebook, its zero included */
    MAX_FLOAT16_LEVELS = 4097,   /* of a codebook of levels in float16 */
    KERNEL_SIDE = 3,             /* of kernels with coefficients */
    KERNEL_TAPS = KERNEL_SIDE * KERNEL_SIDE,
    MAX_KERNEL_GAIN = 16         /* bound of the largest weight over the largest coefficient */
};

enum { STORED = 0, DEFLATE = 1 }; /* compression of the header and the labels */

enum { /* flags of a record; the two lowest bits are the form */
    FORM_BITS = 3,
    FLOAT16 = 4,
    ROW_EXPONENTS = 8,
    COLUMN_EXPONENTS = 16,
    LEVELS = 32,
    CODED_VALUES = 64,
    SCAN_ORDER = 128,
    COEFFICIENTS = 256,
    MAX_FLAGS = 511
};

#define FLOAT32_INFINITY 0x7F800000u
#define FLOAT32_MAGNITUDE 0x7FFFFFFFu

static uint64_t larger(uint64_t left, uint64_t right) {
    return left > right ? left : right;
}

/* ---- 1. Numbers: docs/format.md, "Conventions" ---- */

static uint32_t little32(const uint8_t *bytes) {
    return little16(bytes) | (uint32_t)little16(bytes + 2) << 16;
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

/* The CRC-32 of each byte. 1,024 bytes of flash: half of the time of a table by four bits. */
static const uint32_t CRC_TABLE[256] = {
    0x00000000, 0x77073096, 0xEE0E612C, 0x990951BA, 0x076DC419, 0x706AF48F, 0xE963A535, 0x9E6495A3,
    0x0EDB8832, 0x79DCB8A4, 0xE0D5E91E, 0x97D2D988, 0x09B64C2B, 0x7EB17CBD, 0xE7B82D07, 0x90BF1D91,
    0x1DB71064, 0x6AB020F2, 0xF3B97148, 0x84BE41DE, 0x1ADAD47D, 0x6DDDE4EB, 0xF4D4B551, 0x83D385C7,
    0x136C9856, 0x646BA8C0, 0xFD62F97A, 0x8A65C9EC, 0x14015C4F, 0x63066CD9, 0xFA0F3D63, 0x8D080DF5,
    0x3B6E20C8, 0x4C69105E, 0xD56041E4, 0xA2677172, 0x3C03E4D1, 0x4B04D447, 0xD20D85FD, 0xA50AB56B,
    0x35B5A8FA, 0x42B2986C, 0xDBBBC9D6, 0xACBCF940, 0x32D86CE3, 0x45DF5C75, 0xDCD60DCF, 0xABD13D59,
    0x26D930AC, 0x51DE003A, 0xC8D75180, 0xBFD06116, 0x21B4F4B5, 0x56B3C423, 0xCFBA9599, 0xB8BDA50F,
    0x2802B89E, 0x5F058808, 0xC60CD9B2, 0xB10BE924, 0x2F6F7C87, 0x58684C11, 0xC1611DAB, 0xB6662D3D,
    0x76DC4190, 0x01DB7106, 0x98D220BC, 0xEFD5102A, 0x71B18589, 0x06B6B51F, 0x9FBFE4A5, 0xE8B8D433,
    0x7807C9A2, 0x0F00F934, 0x9609A88E, 0xE10E9818, 0x7F6A0DBB, 0x086D3D2D, 0x91646C97, 0xE6635C01,
    0x6B6B51F4, 0x1C6C6162, 0x856530D8, 0xF262004E, 0x6C0695ED, 0x1B01A57B, 0x8208F4C1, 0xF50FC457,
    0x65B0D9C6, 0x12B7E950, 0x8BBEB8EA, 0xFCB9887C, 0x62DD1DDF, 0x15DA2D49, 0x8CD37CF3, 0xFBD44C65,
    0x4DB26158, 0x3AB551CE, 0xA3BC0074, 0xD4BB30E2, 0x4ADFA541, 0x3DD895D7, 0xA4D1C46D, 0xD3D6F4FB,
    0x4369E96A, 0x346ED9FC, 0xAD678846, 0xDA60B8D0, 0x44042D73, 0x33031DE5, 0xAA0A4C5F, 0xDD0D7CC9,
    0x5005713C, 0x270241AA, 0xBE0B1010, 0xC90C2086, 0x5768B525, 0x206F85B3, 0xB966D409, 0xCE61E49F,
    0x5EDEF90E, 0x29D9C998, 0xB0D09822, 0xC7D7A8B4, 0x59B33D17, 0x2EB40D81, 0xB7BD5C3B, 0xC0BA6CAD,
    0xEDB88320, 0x9ABFB3B6, 0x03B6E20C, 0x74B1D29A, 0xEAD54739, 0x9DD277AF, 0x04DB2615, 0x73DC1683,
    0xE3630B12, 0x94643B84, 0x0D6D6A3E, 0x7A6A5AA8, 0xE40ECF0B, 0x9309FF9D, 0x0A00AE27, 0x7D079EB1,
    0xF00F9344, 0x8708A3D2, 0x1E01F268, 0x6906C2FE, 0xF762575D, 0x806567CB, 0x196C3671, 0x6E6B06E7,
    0xFED41B76, 0x89D32BE0, 0x10DA7A5A, 0x67DD4ACC, 0xF9B9DF6F, 0x8EBEEFF9, 0x17B7BE43, 0x60B08ED5,
    0xD6D6A3E8, 0xA1D1937E, 0x38D8C2C4, 0x4FDFF252, 0xD1BB67F1, 0xA6BC5767, 0x3FB506DD, 0x48B2364B,
    0xD80D2BDA, 0xAF0A1B4C, 0x36034AF6, 0x41047A60, 0xDF60EFC3, 0xA867DF55, 0x316E8EEF, 0x4669BE79,
    0xCB61B38C, 0xBC66831A, 0x256FD2A0, 0x5268E236, 0xCC0C7795, 0xBB0B4703, 0x220216B9, 0x5505262F,
    0xC5BA3BBE, 0xB2BD0B28, 0x2BB45A92, 0x5CB36A04, 0xC2D7FFA7, 0xB5D0CF31, 0x2CD99E8B, 0x5BDEAE1D,
    0x9B64C2B0, 0xEC63F226, 0x756AA39C, 0x026D930A, 0x9C0906A9, 0xEB0E363F, 0x72076785, 0x05005713,
    0x95BF4A82, 0xE2B87A14, 0x7BB12BAE, 0x0CB61B38, 0x92D28E9B, 0xE5D5BE0D, 0x7CDCEFB7, 0x0BDBDF21,
    0x86D3D2D4, 0xF1D4E242, 0x68DDB3F8, 0x1FDA836E, 0x81BE16CD, 0xF6B9265B, 0x6FB077E1, 0x18B74777,
    0x88085AE6, 0xFF0F6A70, 0x66063BCA, 0x11010B5C, 0x8F659EFF, 0xF862AE69, 0x616BFFD3, 0x166CCF45,
    0xA00AE278, 0xD70DD2EE, 0x4E048354, 0x3903B3C2, 0xA7672661, 0xD06016F7, 0x4969474D, 0x3E6E77DB,
    0xAED16A4A, 0xD9D65ADC, 0x40DF0B66, 0x37D83BF0, 0xA9BCAE53, 0xDEBB9EC5, 0x47B2CF7F, 0x30B5FFE9,
    0xBDBDF21C, 0xCABAC28A, 0x53B39330, 0x24B4A3A6, 0xBAD03605, 0xCDD70693, 0x54DE5729, 0x23D967BF,
    0xB3667A2E, 0xC4614AB8, 0x5D681B02, 0x2A6F2B94, 0xB40BBE37, 0xC30C8EA1, 0x5A05DF1B, 0x2D02EF8D};

uint32_t sqz_crc32(uint32_t crc, const uint8_t *bytes, size_t length) {
    size_t i;
    crc = ~crc & 0xFFFFFFFFu;
    for (i = 0; i < length; i++) {
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ bytes[i]) & 255];
    }
    return ~crc & 0xFFFFFFFFu;
}

/* Returns whether bytes are valid UTF-8: no overlong form, no surrogate, nothing above U+10FFFF. */
static int is_utf8(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    while (i < length) {
        uint32_t lead = bytes[i++], point, min_point;
        unsigned more;
        if (lead < 0x80) {
            continue;
        }
        if (lead >= 0xC2 && lead < 0xE0) {
            more = 1, point = lead & 31, min_point = 0x80;
        } else if (lead >= 0xE0 && lead < 0xF0) {
            more = 2, point = lead & 15, min_point = 0x800;
        } else if (lead >= 0xF0 && lead < 0xF5) {
            more = 3, point = lead & 7, min_point = 0x10000;
        } else {
            return 0;
        }
        for (; more; more--, i++) {
            if (i == length || (bytes[i] & 0xC0) != 0x80) {
                return 0;
            }
            point = point << 6 | (bytes[i] & 63u);
        }
        if (point < min_point || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) {
            return 0;
        }
    }
    return 1;
}

/* ---- 2. Fields: docs/format.md, "Conventions" ---- */

/* Reads fields one after another. After the first error it stays empty and `bad`, and every field is zero, so that
 * callers may read many fields before they check. */
typedef struct cursor {
    const uint8_t *at, *end;
    int bad;
} cursor;

static cursor cursor_from(sqz_span span) {
    cursor fields;
    fields.at = span.begin;
    fields.end = span.end;
    fields.bad = 0;
    return fields;
}

/* The bytes that are not read yet. */
static sqz_span rest_of(const cursor *fields) {
    return span_between(fields->at, fields->end);
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
        if (byte >= 128) {
            continue;
        }
        if (byte == 0 && shift > 0) {
            break; /* more bytes than needed */
        }
        return number;
    }
    spoil(fields);
    return 0;
}

static uint32_t take_at_most(cursor *fields, uint32_t maximum) {
    uint64_t number = take_varint(fields);
    if (number > maximum) {
        spoil(fields);
        return 0;
    }
    return (uint32_t)number;
}

static sqz_span take_span(cursor *fields, uint64_t length) {
    const uint8_t *begin = fields->at;
    if (length > span_bytes(rest_of(fields))) {
        spoil(fields);
        return rest_of(fields);
    }
    fields->at += (size_t)length;
    return span_between(begin, fields->at);
}

/* Takes `count` float64s, all finite. */
static const uint8_t *take_float64s(cursor *fields, uint8_t count) {
    sqz_span numbers = take_span(fields, 8u * (uint64_t)count);
    const uint8_t *at;
    for (at = numbers.begin; at < numbers.end; at += 8) {
        if ((little16(at + 6) & 0x7FF0) == 0x7FF0) {
            spoil(fields);
            break;
        }
    }
    return numbers.begin;
}

/* Takes one front-coded name: `shared` bytes in common with the previous name, then the bytes returned. */
static sqz_span take_name(cursor *names, size_t *shared) {
    *shared = (size_t)take_varint(names);
    return take_span(names, take_varint(names));
}

/* ---- 3. Header: docs/format.md, "The header" ---- */

/* Reads the fields before the names. */
static sqz_error read_fields(sqz_file *file, cursor *fields) {
    sqz_span architecture = take_span(fields, take_at_most(fields, MAX_TEXT_BYTES));
    const uint8_t *scale;
    uint64_t label_bytes;
    file->architecture = (const char *)architecture.begin;
    file->architecture_bytes = span_bytes(architecture);
    if (!fields->bad && !is_utf8(architecture.begin, file->architecture_bytes)) {
        return SQZ_BAD_NAME;
    }
    file->classes = take_at_most(fields, MAX_CLASSES);
    file->height = take_at_most(fields, MAX_PIXELS);
    file->width = take_at_most(fields, MAX_PIXELS);
    file->short_side = take_at_most(fields, MAX_PIXELS);
    file->resize = (uint8_t)take_at_most(fields, 1);
    file->channels = (uint8_t)take_at_most(fields, 2);
    scale = take_float64s(fields, 1);
    file->scale = fields->bad ? 0 : sqz_float64(scale);
    file->mean_count = (uint8_t)take_at_most(fields, MAX_CHANNELS);
    file->mean = take_float64s(fields, file->mean_count);
    file->std_count = (uint8_t)take_at_most(fields, MAX_CHANNELS);
    file->std = take_float64s(fields, file->std_count);
    file->label_compression = (uint8_t)take_at_most(fields, DEFLATE);
    label_bytes = take_varint(fields);
    file->label_plain_bytes = take_at_most(fields, MAX_LABEL_BYTES);
    file->tensors = take_at_most(fields, MAX_TENSORS);
    if (fields->bad) {
        return SQZ_BAD_HEADER;
    }
    if (file->tensors > SQZ_MAX_TENSORS) {
        return SQZ_TOO_MANY_TENSORS;
    }
    if (label_bytes > span_bytes(file->payloads)) {
        return SQZ_CUT_OFF;
    }
    if (file->label_compression == STORED && label_bytes != file->label_plain_bytes) {
        return SQZ_BAD_LABELS;
    }
    file->labels = span_between(file->payloads.begin, file->payloads.begin + (size_t)label_bytes);
    file->payloads.begin = file->labels.end;
    file->label_workspace_bytes =
        file->header_workspace_bytes + (file->label_compression == DEFLATE ? INFLATE_BYTES : 0);
    return SQZ_OK;
}

/* Reads over the names; sets the bytes of the longest one. */
static void skip_names(cursor *fields, uint32_t tensors, size_t *max_bytes) {
    uint32_t i, length = 0;
    *max_bytes = 0;
    for (i = 0; i < tensors && !fields->bad; i++) {
        uint32_t shared = take_at_most(fields, length);
        uint32_t further = take_at_most(fields, MAX_TEXT_BYTES - shared);
        (void)take_span(fields, further);
        length = shared + further;
        *max_bytes = length > *max_bytes ? length : *max_bytes;
    }
}

/* Returns whether one of the next `count` names is the given one. It compares front-coded names without decoding
 * them: `same` is the number of bytes that the previous name has in common with the given one, and a name that shares
 * more with the previous name has just as many. */
static int occurs_again(cursor names, uint32_t count, const uint8_t *name, size_t length) {
    size_t same = length;
    for (; count; count--) {
        size_t shared;
        sqz_span further = take_name(&names, &shared);
        if (shared > same) {
            continue;
        }
        for (same = shared; same < length && same - shared < span_bytes(further); same++) {
            if (name[same] != further.begin[same - shared]) {
                break;
            }
        }
        if (same == length && shared + span_bytes(further) == length) {
            return 1;
        }
    }
    return 0;
}

/* Checks that the names, whose lengths are checked already, are UTF-8 and distinct. `name` has room for the longest. */
static sqz_error check_names(sqz_span span, uint32_t tensors, uint8_t *name) {
    cursor names = cursor_from(span);
    for (; tensors; tensors--) {
        size_t shared, length;
        sqz_span further = take_name(&names, &shared);
        length = shared + span_bytes(further);
        if (span_bytes(further)) {
            memcpy(name + shared, further.begin, span_bytes(further));
        }
        if (!is_utf8(name, length) || occurs_again(names, tensors - 1, name, length)) {
            return SQZ_BAD_NAME;
        }
    }
    return SQZ_OK;
}

/* ---- 4. Records: docs/format.md, "A record" and "A payload" ---- */

/* Reads the dimensions and the extents. `room` is the number of weights that the tensor may have, where an extent of
 * zero counts as one. */
static sqz_error read_shape(cursor *fields, sqz_tensor *tensor, uint64_t room) {
    uint64_t at_least_one = 1, weights = 1, taps = 1;
    uint8_t i;
    tensor->dimensions = (uint8_t)take_at_most(fields, MAX_DIMENSIONS);
    for (i = 0; i < tensor->dimensions; i++) {
        uint64_t extent = take_varint(fields), counted = extent ? extent : 1;
        if (extent > room || at_least_one * counted > room) {
            return SQZ_TOO_MANY_WEIGHTS;
        }
        at_least_one *= counted;
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

/* Returns whether form and flags fit each other and the tensor's shape: the table of flags in "A record". */
static int are_flags_valid(uint64_t flags, const sqz_tensor *tensor) {
    uint64_t form = flags & FORM_BITS;
    int has_kernels =
        tensor->dimensions == 4 && tensor->shape[2] == KERNEL_SIDE && tensor->shape[3] == KERNEL_SIDE;
    if (flags > MAX_FLAGS || form > SQZ_SHARED) {
        return 0;
    }
    if (form != SQZ_SHARED && flags & (ROW_EXPONENTS | COLUMN_EXPONENTS | LEVELS | COEFFICIENTS)) {
        return 0;
    }
    if ((form == SQZ_PRUNED && flags & FLOAT16) || (form == SQZ_DENSE && flags & SCAN_ORDER)) {
        return 0;
    }
    if ((flags & ROW_EXPONENTS && tensor->dimensions < 1) || (flags & COLUMN_EXPONENTS && tensor->dimensions < 2)) {
        return 0;
    }
    if (flags & COEFFICIENTS && !has_kernels) {
        return 0;
    }
    return !(flags & LEVELS && flags & CODED_VALUES);
}

static uint64_t max_values(const sqz_tensor *tensor) {
    if (tensor->form != SQZ_SHARED) {
        return tensor->weights;
    }
    return (tensor->levels && tensor->float16 ? MAX_FLOAT16_LEVELS : MAX_ENTRIES) - 1;
}

/* Lengths of the sections of a payload. */
typedef struct section_lengths {
    uint64_t values, rows, columns, coefficients, symbols;
} section_lengths;

/* Reads the fields of symbols, which a dense tensor does not have. */
static int read_symbol_fields(cursor *fields, sqz_tensor *tensor, section_lengths *lengths) {
    uint64_t values;
    tensor->codec = take_varint(fields);
    if (tensor->flags & SCAN_ORDER) {
        tensor->scan_order = (uint8_t)take_at_most(fields, SQZ_KERNEL_FIRST);
        if (tensor->scan_order == SQZ_OUT_IN || tensor->dimensions < tensor->scan_order + 1) {
            return 0;
        }
    }
    values = take_varint(fields);
    if (values > max_values(tensor)) {
        return 0;
    }
    tensor->value_count = (uint32_t)values;
    lengths->symbols = take_varint(fields);
    return 1;
}

/* Reads a record, except the name. */
static sqz_error read_record(cursor *fields, sqz_tensor *tensor, uint64_t room, section_lengths *lengths) {
    uint64_t flags;
    sqz_error error = read_shape(fields, tensor, room);
    if (error) {
        return error;
    }
    flags = take_varint(fields);
    if (fields->bad || !are_flags_valid(flags, tensor)) {
        return SQZ_BAD_HEADER;
    }
    tensor->flags = (uint16_t)flags;
    tensor->form = flags & FORM_BITS;
    tensor->float16 = (flags & FLOAT16) != 0;
    tensor->levels = (flags & LEVELS) != 0;
    tensor->coefficients = (flags & COEFFICIENTS) != 0;
    tensor->scan_order = SQZ_OUT_IN;
    tensor->codec = 0;
    tensor->value_count = tensor->weights;
    lengths->symbols = 0;
    if (tensor->form != SQZ_DENSE && !read_symbol_fields(fields, tensor, lengths)) {
        return SQZ_BAD_HEADER;
    }
    lengths->rows = flags & ROW_EXPONENTS ? take_varint(fields) : 0;
    lengths->columns = flags & COLUMN_EXPONENTS ? take_varint(fields) : 0;
    lengths->coefficients = flags & COEFFICIENTS ? take_varint(fields) : 0;
    lengths->values = tensor->levels ? 0 : tensor->value_count * (uint64_t)(tensor->float16 ? 2 : 4);
    if (flags & CODED_VALUES) {
        lengths->values = take_varint(fields);
    }
    return fields->bad ? SQZ_BAD_HEADER : SQZ_OK;
}

/* Takes a section of the payload: an empty span if the tensor does not have it. */
static sqz_span take_section(cursor *payloads, int exists, uint64_t length) {
    return exists ? take_span(payloads, length) : span_between(NULL, NULL);
}

/* Splits the payload into its sections and skips its checksum. */
static sqz_error split_payload(cursor *payloads, sqz_tensor *tensor, const section_lengths *lengths) {
    tensor->values = take_span(payloads, lengths->values);
    tensor->row_exponents = take_section(payloads, tensor->flags & ROW_EXPONENTS, lengths->rows);
    tensor->column_exponents = take_section(payloads, tensor->flags & COLUMN_EXPONENTS, lengths->columns);
    tensor->coefficient_exponents = take_section(payloads, tensor->flags & COEFFICIENTS, lengths->coefficients);
    tensor->symbols = take_span(payloads, lengths->symbols);
    (void)take_span(payloads, CRC_BYTES);
    return payloads->bad ? SQZ_CUT_OFF : SQZ_OK;
}

/* ---- 5. Workspace: docs/format.md, "A payload" ----
 *
 * From its start: coded values; all exponents; the tables of one stream at a time. */

/* The parts of a stream of `huffman-runs`: "2, huffman-runs". */
typedef struct runs {
    uint32_t max_gap, entries;
    sqz_span gaps, symbols;
} runs;

static int find_runs(runs *parts, sqz_span span, uint32_t max_entries) {
    cursor fields = cursor_from(span);
    sqz_span width = take_span(&fields, 1);
    parts->entries = take_at_most(&fields, max_entries);
    parts->gaps = take_span(&fields, take_varint(&fields));
    parts->symbols = rest_of(&fields);
    if (fields.bad || *width.begin < 2 || *width.begin > 8) {
        return 0;
    }
    parts->max_gap = (1u << *width.begin) - 1;
    return 1;
}

/* The shape of a matrix of one column. */
static sqz_shape column_of(uint32_t rows) {
    sqz_shape shape;
    shape.rows = rows;
    shape.columns = shape.taps = shape.width = 1;
    return shape;
}

/* Returns the shape of the symbols: "Scan orders". */
static sqz_shape symbol_shape(const sqz_tensor *tensor) {
    sqz_shape shape;
    int is_swapped = tensor->scan_order == SQZ_IN_OUT;
    if (tensor->weights == 0) {
        return column_of(0); /* no symbols need no memory, whatever the other extents are */
    }
    shape.rows = is_swapped ? tensor->columns : tensor->rows;
    shape.columns = is_swapped ? tensor->rows : tensor->columns;
    shape.taps = tensor->taps;
    shape.width = tensor->dimensions > 2 ? tensor->shape[tensor->dimensions - 1] : 1;
    if (tensor->scan_order == SQZ_KERNEL_FIRST) {
        shape.rows *= tensor->taps;
        shape.taps = shape.width = 1;
    }
    shape.columns *= shape.taps;
    return shape;
}

/* Returns the stream in a section of exponents, after its head of one or two bytes: "Exponents". */
static sqz_span exponent_stream(sqz_span section) {
    size_t head = span_bytes(section) && *section.begin & 128 ? 1 : 2;
    return span_between(span_bytes(section) < head ? section.end : section.begin + head, section.end);
}

/* Returns the workspace of a stream of exponents. */
static uint64_t exponent_stream_bytes(sqz_span section, uint32_t count) {
    sqz_shape shape = column_of(count);
    unsigned codec = span_bytes(section) ? *section.begin & 127u : SQZ_RAW;
    return sqzi_stream_bytes(codec, exponent_stream(section), &shape);
}

/* Returns the workspace of the streams of symbols. */
static uint64_t symbol_stream_bytes(const sqz_tensor *tensor) {
    sqz_shape shape = symbol_shape(tensor);
    runs parts;
    if (tensor->codec != SQZ_RUNS) {
        return tensor->codec > SQZ_CONTEXT ? 0 : sqzi_stream_bytes((unsigned)tensor->codec, tensor->symbols, &shape);
    }
    if (!find_runs(&parts, tensor->symbols, tensor->weights)) {
        return 0;
    }
    shape = column_of(parts.entries);
    return sqzi_stream_bytes(SQZ_HUFFMAN, parts.gaps, &shape) + sqzi_stream_bytes(SQZ_HUFFMAN, parts.symbols, &shape);
}

static uint32_t value_width(const sqz_tensor *tensor) {
    return tensor->float16 ? 2 : 4;
}

/* Takes the head of coded values: "Coded values". */
static unsigned take_value_head(cursor *section, const sqz_tensor *tensor) {
    sqz_span head = take_span(section, 1);
    if (span_bytes(head) == 0 || (*head.begin & ~HUFFMAN_PLANES) >> (2 + value_width(tensor)) ||
        (*head.begin & 3) > MAX_DISTANCE) {
        spoil(section);
        return 0;
    }
    return *head.begin;
}

static int is_plane_coded(unsigned head, uint32_t plane) {
    return head >> (2 + plane) & 1;
}

static unsigned plane_codec(unsigned head) {
    return head & HUFFMAN_PLANES ? SQZ_HUFFMAN : SQZ_CONTEXT;
}

/* Takes a plane of coded values, or the stream of a coded one. */
static sqz_span take_plane(cursor *section, const sqz_tensor *tensor, int is_coded) {
    return take_span(section, is_coded ? take_varint(section) : tensor->value_count);
}

/* Returns the workspace of coded values, and sets that of the tables of one plane at a time. */
static uint64_t coded_value_bytes(const sqz_tensor *tensor, uint64_t *tables) {
    cursor section = cursor_from(tensor->values);
    sqz_shape shape = column_of(tensor->value_count);
    uint32_t plane;
    unsigned head;
    *tables = 0;
    if (!(tensor->flags & CODED_VALUES)) {
        return 0;
    }
    head = take_value_head(&section, tensor);
    for (plane = 0; plane < value_width(tensor); plane++) {
        sqz_span span = take_plane(&section, tensor, is_plane_coded(head, plane));
        if (is_plane_coded(head, plane)) {
            *tables = larger(*tables, sqzi_stream_bytes(plane_codec(head), span, &shape));
        }
    }
    return (uint64_t)value_width(tensor) * tensor->value_count;
}

/* Returns the workspace of the header and of what is needed to decode a tensor. */
static size_t tensor_workspace(const sqz_tensor *tensor, size_t header_bytes) {
    uint64_t tables, bytes = header_bytes + coded_value_bytes(tensor, &tables);
    if (tensor->form != SQZ_DENSE) {
        bytes += tensor->flags & ROW_EXPONENTS ? tensor->rows : 0;
        bytes += tensor->flags & COLUMN_EXPONENTS ? tensor->columns : 0;
        bytes += tensor->coefficients ? KERNEL_TAPS : 0;
        tables = larger(tables, symbol_stream_bytes(tensor));
        tables = larger(tables, exponent_stream_bytes(tensor->row_exponents, tensor->rows));
        tables = larger(tables, exponent_stream_bytes(tensor->column_exponents, tensor->columns));
        tables = larger(tables, exponent_stream_bytes(tensor->coefficient_exponents, KERNEL_TAPS));
    }
    return bytes + tables > SIZE_MAX ? SIZE_MAX : (size_t)(bytes + tables);
}

/* Reads the next tensor, at next_names, next_records and next_payloads, without its workspace. */
static sqz_error read_tensor(sqz_tensor *tensor, uint64_t room) {
    cursor names = cursor_from(tensor->next_names);
    cursor records = cursor_from(tensor->next_records);
    cursor payloads = cursor_from(tensor->next_payloads);
    section_lengths lengths;
    size_t shared;
    sqz_error error = read_record(&records, tensor, room, &lengths);
    if (error) {
        return error;
    }
    error = split_payload(&payloads, tensor, &lengths);
    if (error) {
        return error;
    }
    tensor->name_bytes = span_bytes(take_name(&names, &shared));
    tensor->name_bytes += shared;
    tensor->next_names = rest_of(&names);
    tensor->next_records = rest_of(&records);
    tensor->next_payloads = rest_of(&payloads);
    return SQZ_OK;
}

/* Places `tensor` before the first one. */
static void rewind_tensors(const sqz_file *file, sqz_tensor *tensor) {
    memset(tensor, 0, sizeof *tensor);
    tensor->next_names = file->names;
    tensor->next_records = file->records;
    tensor->next_payloads = file->payloads;
}

void sqzi_seek(const sqz_file *file, sqz_place place, sqz_tensor *tensor) {
    rewind_tensors(file, tensor);
    tensor->next_records.begin += place.record;
    tensor->next_payloads.begin += place.payload;
}

sqz_error sqzi_read_next(sqz_tensor *tensor) {
    return read_tensor(tensor, SQZ_MAX_WEIGHTS);
}

void sqzi_find_workspace(const sqz_file *file, sqz_tensor *tensor) {
    tensor->workspace_bytes = tensor_workspace(tensor, file->header_workspace_bytes);
}

/* Reads the next tensor with its workspace. */
static sqz_error read_completely(const sqz_file *file, sqz_tensor *tensor) {
    sqz_error error = sqzi_read_next(tensor);
    if (!error) {
        sqzi_find_workspace(file, tensor);
    }
    return error;
}

sqz_error sqz_first(const sqz_file *file, sqz_tensor *tensor) {
    rewind_tensors(file, tensor);
    return file->tensors ? read_completely(file, tensor) : SQZ_DONE;
}

sqz_error sqz_next(const sqz_file *file, sqz_tensor *tensor) {
    if (tensor->index + 1 >= file->tensors) {
        return SQZ_DONE;
    }
    tensor->index++;
    return read_completely(file, tensor);
}

/* Reads the program, which may be absent, up to the end of the header. */
static int read_program(sqz_file *file, sqz_span rest) {
    cursor fields = cursor_from(rest);
    if (span_bytes(rest) == 0) {
        return 1;
    }
    file->program = take_span(&fields, take_at_most(&fields, MAX_PROGRAM_BYTES));
    return !fields.bad && span_bytes(file->program) && span_bytes(rest_of(&fields)) == 0;
}

/* Checks all records, the limit of weights, and the ends of the header and of the file. */
static sqz_error check_records(sqz_file *file) {
    sqz_tensor tensor;
    uint64_t room = SQZ_MAX_WEIGHTS;
    uint32_t i;
    rewind_tensors(file, &tensor);
    for (i = 0; i < file->tensors; i++) {
        sqz_error error = read_tensor(&tensor, room);
        if (error) {
            return error;
        }
        room -= tensor.weights;
    }
    if (!read_program(file, tensor.next_records)) {
        return SQZ_BAD_HEADER;
    }
    return span_bytes(tensor.next_payloads) ? SQZ_LEFT_OVER : SQZ_OK;
}

/* ---- 6. File: docs/format.md, "The whole" and "The header" ---- */

/* Checks the magic and the version. */
static sqz_error check_prefix(const uint8_t *bytes, size_t length) {
    static const uint8_t magic[8] = {0x89, 's', 'q', 'z', '\r', '\n', 0x1A, '\n'};
    static const uint8_t magic_before_0_1_0[4] = {0x89, 'S', 'Q', 'Z'};
    if (length >= 4 && memcmp(bytes, magic_before_0_1_0, 4) == 0) {
        return SQZ_BEFORE_0_1_0;
    }
    if (length && memcmp(bytes, magic, length < 8 ? length : 8) != 0) {
        return SQZ_NOT_SQZ;
    }
    if (length < PREFIX_BYTES + CRC_BYTES) {
        return SQZ_CUT_OFF;
    }
    if (bytes[8] == 0) {
        return SQZ_BAD_HEADER;
    }
    return bytes[8] == 1 ? SQZ_OK : SQZ_UNSUPPORTED_VERSION;
}

/* Inflates the header into the start of the workspace. */
static sqz_error inflate_header(sqz_file *file, sqz_span stored, uint32_t plain_bytes, sqz_span *header) {
    uint8_t *plain = file->workspace;
    file->header_workspace_bytes = plain_bytes;
    file->workspace_bytes = (size_t)plain_bytes + INFLATE_BYTES;
    if (file->workspace_left < file->workspace_bytes) {
        return SQZ_SMALL_WORKSPACE;
    }
    file->workspace += plain_bytes;
    file->workspace_left -= plain_bytes;
    *header = span_between(plain, file->workspace);
    return sqzi_inflate(stored, plain, plain_bytes, file->workspace) ? SQZ_OK : SQZ_BAD_DEFLATE;
}

/* Finds the header, and inflates it if it is compressed; everything after it becomes `payloads`. */
static sqz_error find_header(sqz_file *file, const uint8_t *bytes, size_t length, sqz_span *header) {
    uint8_t compression = bytes[9];
    uint32_t stored_bytes = little32(bytes + 10), plain_bytes = little32(bytes + 14), crc = little32(bytes + 18);
    cursor body = cursor_from(span_between(bytes + PREFIX_BYTES, bytes + length - CRC_BYTES));
    sqz_span stored = take_span(&body, stored_bytes);
    if (plain_bytes > MAX_HEADER_BYTES) {
        return SQZ_BAD_HEADER;
    }
    if (body.bad) {
        return SQZ_CUT_OFF;
    }
    if (sqz_crc32(0, stored.begin, stored_bytes) != crc) {
        return SQZ_BAD_CHECKSUM;
    }
    if (compression > DEFLATE || (compression == STORED && stored_bytes != plain_bytes)) {
        return SQZ_BAD_HEADER;
    }
    file->payloads = rest_of(&body);
    if (compression == DEFLATE) {
        return inflate_header(file, stored, plain_bytes, header);
    }
    *header = stored;
    return SQZ_OK;
}

/* Reads the fields of the header, and finds and checks the names and the records. */
static sqz_error read_header(sqz_file *file, sqz_span header) {
    cursor fields = cursor_from(header);
    size_t max_name_bytes;
    sqz_error error = read_fields(file, &fields);
    if (error) {
        return error;
    }
    file->names.begin = fields.at;
    skip_names(&fields, file->tensors, &max_name_bytes);
    file->names.end = fields.at;
    file->records = rest_of(&fields);
    if (fields.bad) {
        return SQZ_BAD_HEADER;
    }
    file->workspace_bytes = (size_t)larger(file->workspace_bytes, file->header_workspace_bytes + max_name_bytes);
    if (max_name_bytes > file->workspace_left) {
        return SQZ_SMALL_WORKSPACE;
    }
    error = check_names(file->names, file->tensors, file->workspace);
    if (error) {
        return error;
    }
    return check_records(file);
}

sqz_error sqz_open(sqz_file *file, const uint8_t *bytes, size_t length, void *workspace, size_t workspace_bytes) {
    sqz_span header;
    sqz_error error = check_prefix(bytes, length);
    memset(file, 0, sizeof *file);
    file->workspace = (uint8_t *)workspace;
    file->workspace_left = workspace_bytes;
    if (error) {
        return error;
    }
    error = find_header(file, bytes, length, &header);
    if (error) {
        return error;
    }
    error = read_header(file, header);
    if (error) {
        return error;
    }
    return sqz_crc32(0, bytes, length - CRC_BYTES) == little32(bytes + length - CRC_BYTES) ? SQZ_OK
                                                                                           : SQZ_BAD_CHECKSUM;
}

sqz_error sqz_name(const sqz_file *file, const sqz_tensor *tensor, char *name, size_t capacity) {
    cursor names = cursor_from(file->names);
    uint32_t i;
    if (capacity < tensor->name_bytes + 1) {
        return SQZ_SMALL_BUFFER;
    }
    for (i = 0; i <= tensor->index; i++) {
        size_t shared;
        sqz_span further = take_name(&names, &shared);
        if (shared < tensor->name_bytes && span_bytes(further)) { /* an earlier name may be longer than the buffer */
            size_t room = tensor->name_bytes - shared;
            memcpy(name + shared, further.begin, span_bytes(further) < room ? span_bytes(further) : room);
        }
    }
    name[tensor->name_bytes] = '\0';
    return SQZ_OK;
}

/* Returns whether labels are valid: UTF-8, and a line for each class. */
static int are_labels_valid(const char *labels, uint32_t length, uint32_t classes) {
    uint32_t i, lines = 0;
    if (length == 0) {
        return 1;
    }
    for (i = 0; i < length; i++) {
        lines += labels[i] == '\n';
    }
    return lines == classes && labels[length - 1] == '\n' && is_utf8((const uint8_t *)labels, length);
}

sqz_error sqz_labels(const sqz_file *file, char *labels, size_t capacity) {
    if (capacity < file->label_plain_bytes) {
        return SQZ_SMALL_BUFFER;
    }
    if (file->label_compression == DEFLATE) {
        if (file->workspace_left < INFLATE_BYTES) {
            return SQZ_SMALL_WORKSPACE;
        }
        if (!sqzi_inflate(file->labels, (uint8_t *)labels, file->label_plain_bytes, file->workspace)) {
            return SQZ_BAD_LABELS;
        }
    } else if (file->label_plain_bytes) {
        memcpy(labels, file->labels.begin, file->label_plain_bytes);
    }
    return are_labels_valid(labels, file->label_plain_bytes, file->classes) ? SQZ_OK : SQZ_BAD_LABELS;
}

/* ---- 7. Values: docs/format.md, "Weights" and "Coded values" ---- */

/* Returns the bits of a float16 number as float32. */
static uint32_t float16_bits(uint32_t half) {
    uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) {
        return sign | FLOAT32_INFINITY | fraction << 13;
    }
    if (exponent == 0) {
        if (fraction == 0) {
            return sign;
        }
        for (exponent = 1; fraction < 1024; exponent--) { /* may wrap below zero; adding 112 wraps back */
            fraction <<= 1;
        }
        fraction &= 1023;
    }
    return sign | (exponent + 112) << 23 | fraction << 13;
}

/* Returns the bits of a value as float32. */
static uint32_t value_bits(const sqz_weights *weights, uint32_t index) {
    return weights->tensor->float16 ? float16_bits(little16(weights->values + 2 * (size_t)index))
                                    : little32(weights->values + 4 * (size_t)index);
}

/* Returns the level of a symbol: 0, 1, -1, 2, -2 for 0, 1, 2, 3, 4. */
static float level_of(uint32_t symbol) {
    int32_t negative = (int32_t)(symbol & 1) - 1; /* all ones; without a branch, as signs are random */
    return (float)(((int32_t)((symbol + 1) / 2) ^ negative) - negative);
}

float sqz_codebook(const sqz_weights *weights, uint32_t entry) {
    if (weights->tensor->levels) {
        return level_of(entry);
    }
    return entry ? float_of(value_bits(weights, entry - 1)) : 0.0f;
}

/* Decodes a plane to every `width`-th byte of `out`; `tables` is free workspace. */
static int decode_plane(unsigned codec, sqz_span span, uint8_t *out, uint32_t width, uint32_t count, uint8_t *tables) {
    sqz_shape shape = column_of(count);
    sqz_stream stream;
    uint32_t i;
    if (!sqzi_open_stream(&stream, codec, span, &shape, tables)) {
        return 0;
    }
    for (i = 0; i < count; i++) {
        int32_t symbol = sqzi_next_symbol(&stream);
        if (symbol < 0 || symbol > 255) {
            return 0;
        }
        out[(size_t)i * width] = (uint8_t)symbol;
    }
    return sqzi_at_stream_end(&stream);
}

/* Turns zigzag codes of differences into the bits of the values, in place. */
static void undo_differences(uint8_t *values, uint32_t width, uint32_t count, uint32_t distance) {
    uint32_t i, j;
    for (i = 0; i < count; i++) {
        uint8_t *value = values + (size_t)i * width;
        uint32_t code = width == 2 ? little16(value) : little32(value), bits = code & 1 ? ~(code >> 1) : code >> 1;
        if (i >= distance) {
            const uint8_t *before = value - (size_t)distance * width;
            bits += width == 2 ? little16(before) : little32(before);
        }
        for (j = 0; j < width; j++) {
            value[j] = (uint8_t)(bits >> 8 * j & 255);
        }
    }
}

/* Decodes coded values to the workspace, and advances it. Plane 0 has the most significant bytes. */
static int begin_values(sqz_weights *weights, uint8_t **workspace) {
    const sqz_tensor *tensor = weights->tensor;
    cursor section = cursor_from(tensor->values);
    uint32_t width = value_width(tensor), plane, i;
    uint8_t *values = *workspace, *tables;
    unsigned head;
    weights->values = tensor->values.begin;
    if (!(tensor->flags & CODED_VALUES)) {
        return 1;
    }
    tables = values + (size_t)width * tensor->value_count;
    head = take_value_head(&section, tensor);
    for (plane = 0; plane < width; plane++) {
        int is_coded = is_plane_coded(head, plane);
        sqz_span span = take_plane(&section, tensor, is_coded);
        uint8_t *out = values + (width - 1 - plane);
        if (section.bad || (is_coded && !decode_plane(plane_codec(head), span, out, width, tensor->value_count, tables))) {
            return 0;
        }
        for (i = 0; !is_coded && i < tensor->value_count; i++) {
            out[(size_t)i * width] = span.begin[i];
        }
    }
    if (head & 3) {
        undo_differences(values, width, tensor->value_count, head & 3);
    }
    weights->values = values;
    *workspace = tables;
    return span_bytes(rest_of(&section)) == 0;
}

/* Checks that all values are finite; sets the bits of the largest magnitude. */
static int check_values(const sqz_weights *weights, uint32_t *largest) {
    const sqz_tensor *tensor = weights->tensor;
    uint32_t i;
    *largest = 0;
    for (i = 0; i < tensor->value_count; i++) {
        uint32_t bits = tensor->levels ? bits_of(level_of(i + 1)) : value_bits(weights, i);
        uint32_t magnitude = bits & FLOAT32_MAGNITUDE;
        if (magnitude >= FLOAT32_INFINITY) {
            return 0;
        }
        *largest = magnitude > *largest ? magnitude : *largest;
    }
    return 1;
}

/* ---- 8. Exponents: docs/format.md, "Scales" and "Exponents" ---- */

/* Returns 2^(exponent / 4), from the table of "Scales": a fraction of an octave, its float32 exponent increased. */
static float scale_of(int32_t exponent) {
    static const uint32_t fractions[4] = {0x3F800000u, 0x3F9837F0u, 0x3FB504F3u, 0x3FD744FDu};
    uint32_t biased = (uint32_t)(exponent + 1024); /* positive, so that shifts are defined; 1,024 is 256 octaves */
    return float_of(fractions[biased & 3] + ((biased >> 2) << 23) - (256u << 23));
}

static int32_t exponent_of(const sqz_weights *weights, uint32_t row, uint32_t column) {
    int32_t exponent = weights->row_exponents ? weights->row_exponents[row] : 0;
    return exponent + (weights->column_exponents ? weights->column_exponents[column] : 0);
}

float sqz_scale(const sqz_weights *weights, uint32_t row, uint32_t column) {
    return scale_of(exponent_of(weights, row, column));
}

/* Decodes a section of `count` exponents; sets the largest one. `tables` is free workspace. */
static int decode_exponents(sqz_span section, unsigned symbol_codec, int8_t *exponents, uint32_t count, uint8_t *tables,
                            int32_t *largest) {
    sqz_shape shape = column_of(count);
    sqz_stream stream;
    int32_t exponent = 0;
    unsigned codec, has_differences;
    uint32_t i;
    if (span_bytes(section) == 0) {
        return 0;
    }
    codec = *section.begin & 127u;
    has_differences = *section.begin & 128u;
    if ((codec > SQZ_HUFFMAN && (codec != SQZ_CONTEXT || codec != symbol_codec)) || (!has_differences && span_bytes(section) < 2)) {
        return 0;
    }
    if (!has_differences) {
        exponent = section.begin[1] < 128 ? section.begin[1] : section.begin[1] - 256; /* the base */
    }
    if (!sqzi_open_stream(&stream, codec, exponent_stream(section), &shape, tables)) {
        return 0;
    }
    *largest = -128;
    for (i = 0; i < count; i++) {
        int32_t symbol = sqzi_next_symbol(&stream), result;
        if (symbol < 0) {
            return 0;
        }
        if (has_differences || codec == SQZ_CONTEXT) {
            symbol = symbol & 1 ? -(symbol / 2) - 1 : symbol / 2; /* zigzag code */
        }
        result = exponent + symbol;
        exponent = has_differences ? result : exponent;
        if (result < -128 || result > 127) {
            return 0;
        }
        exponents[i] = (int8_t)result;
        *largest = result > *largest ? result : *largest;
    }
    return sqzi_at_stream_end(&stream);
}

/* ---- 10. Weights: docs/format.md, "Weights" ---- */

/* Checks the checksum of the payload, which follows the symbols. */
static int check_payload_crc(const sqz_tensor *tensor) {
    sqz_span payload = span_between(tensor->values.begin, tensor->symbols.end);
    return sqz_crc32(0, payload.begin, span_bytes(payload)) == little32(payload.end);
}

/* Exponents of a tensor while they are decoded: the free workspace, and the sum of the largest of each kind. */
typedef struct exponent_reader {
    unsigned symbol_codec;
    uint8_t *workspace;
    int32_t largest_sum;
} exponent_reader;

/* Decodes one kind of exponents, if the tensor has them, to the start of the free workspace; its tables lie
 * behind them, where the next kind or the symbols overwrite it. */
static int begin_exponents(exponent_reader *reader, sqz_span section, uint32_t count, const int8_t **exponents) {
    int8_t *out = (int8_t *)reader->workspace;
    int32_t largest;
    if (section.begin == NULL) {
        return 1;
    }
    reader->workspace += count;
    if (!decode_exponents(section, reader->symbol_codec, out, count, reader->workspace, &largest)) {
        return 0;
    }
    reader->largest_sum += largest;
    *exponents = out;
    return 1;
}

/* Decodes all exponents, and checks that no weight can exceed float32: "Scales". Advances `workspace` behind them. */
static int begin_all_exponents(sqz_weights *weights, uint8_t **workspace, uint32_t largest_value) {
    const sqz_tensor *tensor = weights->tensor;
    exponent_reader reader;
    float largest;
    reader.symbol_codec = (unsigned)tensor->codec;
    reader.workspace = *workspace;
    reader.largest_sum = 0;
    if (!begin_exponents(&reader, tensor->row_exponents, tensor->rows, &weights->row_exponents) ||
        !begin_exponents(&reader, tensor->column_exponents, tensor->columns, &weights->column_exponents) ||
        !begin_exponents(&reader, tensor->coefficient_exponents, KERNEL_TAPS, &weights->coefficient_exponents)) {
        return 0;
    }
    *workspace = reader.workspace;
    largest = float_of(largest_value) * scale_of(reader.largest_sum);
    largest *= tensor->coefficients ? (float)MAX_KERNEL_GAIN : 1.0f;
    return (bits_of(largest) & FLOAT32_MAGNITUDE) < FLOAT32_INFINITY;
}

/* Begins the stream of symbols, or both streams of `huffman-runs`. */
static int begin_symbols(sqz_weights *weights, uint8_t *tables) {
    const sqz_tensor *tensor = weights->tensor;
    sqz_shape shape = symbol_shape(tensor);
    runs parts;
    weights->codec = (uint8_t)tensor->codec;
    if (weights->codec != SQZ_RUNS) {
        return sqzi_open_stream(&weights->symbols, weights->codec, tensor->symbols, &shape, tables);
    }
    if (!find_runs(&parts, tensor->symbols, tensor->weights)) {
        return 0;
    }
    weights->entries = parts.entries;
    weights->max_gap = parts.max_gap;
    shape = column_of(parts.entries);
    return sqzi_open_stream(&weights->gaps, SQZ_HUFFMAN, parts.gaps, &shape, tables) &&
           sqzi_open_stream(&weights->symbols, SQZ_HUFFMAN, parts.symbols, &shape,
                            tables + sqzi_stream_bytes(SQZ_HUFFMAN, parts.gaps, &shape));
}

/* Checks the end of the streams, after the last weight. */
static sqz_error check_end(sqz_weights *weights) {
    if (weights->codec == SQZ_NO_CODEC) {
        return SQZ_OK;
    }
    if (weights->codec == SQZ_RUNS && (weights->entries || weights->entry_pending || !sqzi_at_stream_end(&weights->gaps))) {
        return SQZ_BAD_SYMBOLS;
    }
    if (!sqzi_at_stream_end(&weights->symbols)) {
        return SQZ_BAD_SYMBOLS;
    }
    if (weights->tensor->form == SQZ_PRUNED && weights->values_taken != weights->tensor->value_count) {
        return SQZ_BAD_VALUES;
    }
    return SQZ_OK;
}

/* The checks and preparations of sqz_begin. */
static sqz_error begin_tensor(const sqz_file *file, sqz_weights *weights) {
    const sqz_tensor *tensor = weights->tensor;
    uint8_t *workspace = file->workspace;
    uint32_t largest_value;
    if (tensor->codec > SQZ_CONTEXT) {
        return SQZ_UNSUPPORTED_CODEC;
    }
    if (!check_payload_crc(tensor)) {
        return SQZ_BAD_CHECKSUM;
    }
    if (file->workspace_left < tensor->workspace_bytes - file->header_workspace_bytes) {
        return SQZ_SMALL_WORKSPACE;
    }
    if (!begin_values(weights, &workspace) || !check_values(weights, &largest_value)) {
        return SQZ_BAD_VALUES;
    }
    if (tensor->form != SQZ_DENSE) {
        if (!begin_all_exponents(weights, &workspace, largest_value)) {
            return SQZ_BAD_EXPONENTS;
        }
        if (!begin_symbols(weights, workspace)) {
            return SQZ_BAD_SYMBOLS;
        }
    }
    return weights->left == 0 ? check_end(weights) : SQZ_OK;
}

sqz_error sqz_begin(const sqz_file *file, const sqz_tensor *tensor, sqz_weights *weights) {
    memset(weights, 0, sizeof *weights);
    weights->tensor = tensor;
    weights->left = tensor->weights;
    weights->codec = SQZ_NO_CODEC;
    weights->error = begin_tensor(file, weights);
    return weights->error;
}

/* Takes the next entry of `huffman-runs`: a symbol after a gap of zeros. */
static int take_entry(sqz_weights *weights) {
    int32_t gap = sqzi_next_symbol(&weights->gaps), symbol = sqzi_next_symbol(&weights->symbols);
    if (gap < 0 || symbol < 0 || (uint32_t)gap > weights->max_gap) {
        return 0;
    }
    weights->entries--;
    weights->entry_pending = 1;
    weights->zeros = (uint32_t)gap;
    weights->entry_symbol = (uint16_t)symbol;
    return 1;
}

/* Decodes the next `count` symbols of `huffman-runs`, and returns how many: fewer if a stream is damaged. Zeros follow
 * the last entry. */
static uint32_t take_runs(sqz_weights *weights, uint16_t *symbols, uint32_t count) {
    uint32_t done = 0;
    if (count) {
        memset(symbols, 0, count * sizeof *symbols);
    }
    while (done < count && (weights->entry_pending || weights->entries)) {
        if (!weights->entry_pending && !take_entry(weights)) {
            return done;
        }
        if (weights->zeros >= count - done) {
            weights->zeros -= count - done;
            return count;
        }
        done += weights->zeros;
        weights->zeros = 0;
        weights->entry_pending = 0;
        symbols[done++] = weights->entry_symbol;
    }
    return count;
}

/* Decodes the next `count` symbols, and returns how many: fewer if the stream is damaged. */
static uint32_t take_symbols(sqz_weights *weights, uint16_t *symbols, uint32_t count) {
    if (weights->codec == SQZ_RUNS) {
        return take_runs(weights, symbols, count);
    }
    return sqzi_take_symbols(&weights->symbols, symbols, count);
}

/* Returns whether the next symbol is in the form's range. */
static int is_index(sqz_weights *weights, uint32_t symbol) {
    const sqz_tensor *tensor = weights->tensor;
    if (tensor->form == SQZ_PRUNED && symbol) {
        return symbol == 1 && weights->values_taken++ < tensor->value_count;
    }
    return symbol <= tensor->value_count;
}

/* Increments a coordinate; returns whether it wraps around to zero. */
INLINE int increment(uint32_t *coordinate, uint32_t extent) {
    *coordinate = *coordinate + 1 == extent ? 0 : *coordinate + 1;
    return *coordinate == 0;
}

/* Moves to the next weight: "Scan orders". */
INLINE void step(sqz_weights *weights) {
    const sqz_tensor *tensor = weights->tensor;
    weights->left--;
    switch (tensor->scan_order) {
    case SQZ_KERNEL_FIRST: /* taps, rows, columns */
        if (increment(&weights->column, tensor->columns) && increment(&weights->row, tensor->rows)) {
            weights->tap++;
        }
        break;
    case SQZ_IN_OUT: /* columns, rows, taps */
        if (increment(&weights->tap, tensor->taps) && increment(&weights->row, tensor->rows)) {
            weights->column++;
        }
        break;
    default: /* rows, columns, taps */
        if (increment(&weights->tap, tensor->taps) && increment(&weights->column, tensor->columns)) {
            weights->row++;
        }
    }
}

/* Stores the outcome, so that no piece after an error passes as valid. */
static sqz_error finish(sqz_weights *weights, sqz_error error) {
    weights->error = error;
    return error;
}

/* Returns the shared weight or coefficient at the present position. */
static float shared_weight(const sqz_weights *weights, uint32_t index) {
    int32_t exponent;
    if (index == 0) {
        return 0.0f; /* so is its product with any scale */
    }
    exponent = exponent_of(weights, weights->row, weights->column);
    if (weights->coefficient_exponents) {
        exponent += weights->coefficient_exponents[weights->tap];
    }
    return sqz_codebook(weights, index) * scale_of(exponent);
}

/* "Coefficients": sums the patterns 1 -2 1, 1 0 -1, 1 1 1, times the three coefficients of a line, in place. Twice a
 * float is exact, so that the result is the same if a compiler fuses product and difference. */
static void sum_patterns(float *line, size_t stride) {
    float high = line[0], middle = line[stride], low = line[2 * stride], outer = low + high;
    line[0] = outer + middle;
    line[stride] = low - 2.0f * high;
    line[2 * stride] = outer - middle;
}

/* Turns the coefficients of whole kernels into weights: rows first, then columns. */
static void transform_kernels(float *weights, size_t count) {
    float *end = weights + count;
    size_t i;
    for (; weights < end; weights += KERNEL_TAPS) {
        for (i = 0; i < KERNEL_SIDE; i++) {
            sum_patterns(weights + KERNEL_SIDE * i, 1);
        }
        for (i = 0; i < KERNEL_SIDE; i++) {
            sum_patterns(weights + i, KERNEL_SIDE);
        }
    }
}

/* Reads the next weights or coefficients of a dense tensor. */
static void read_dense(sqz_weights *weights, float *out, uint32_t count) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        out[i] = float_of(value_bits(weights, weights->tensor->weights - weights->left));
        step(weights);
    }
}

/* Reads the next weights or coefficients of a tensor with symbols; returns 0 if one is damaged. */
static int read_coded(sqz_weights *weights, float *out, uint32_t count) {
    uint16_t symbols[SOME_SYMBOLS];
    uint32_t i, taken = take_symbols(weights, symbols, count);
    for (i = 0; i < taken; i++) {
        if (!is_index(weights, symbols[i])) {
            return 0;
        }
        if (weights->tensor->form == SQZ_SHARED) {
            out[i] = shared_weight(weights, symbols[i]);
        } else {
            out[i] = symbols[i] ? float_of(value_bits(weights, weights->values_taken - 1)) : 0.0f;
        }
        step(weights);
    }
    return taken == count;
}

/* Reads weights or coefficients in scan order. */
static sqz_error read_pieces(sqz_weights *weights, float *out, size_t count) {
    size_t done = 0;
    while (done < count) {
        uint32_t some = count - done < SOME_SYMBOLS ? (uint32_t)(count - done) : SOME_SYMBOLS;
        if (weights->tensor->form == SQZ_DENSE) {
            read_dense(weights, out + done, some);
        } else if (!read_coded(weights, out + done, some)) {
            return finish(weights, SQZ_BAD_SYMBOLS);
        }
        done += some;
    }
    return count && weights->left == 0 ? finish(weights, check_end(weights)) : SQZ_OK;
}

sqz_error sqz_read_weights(sqz_weights *weights, float *out, size_t count) {
    const sqz_tensor *tensor = weights->tensor;
    if (weights->error) {
        return weights->error;
    }
    if (count > weights->left) {
        return SQZ_SMALL_BUFFER;
    }
    if ((tensor->form == SQZ_PRUNED && tensor->scan_order != SQZ_OUT_IN) || tensor->coefficients) {
        return SQZ_UNSUPPORTED_IN_PIECES;
    }
    return read_pieces(weights, out, count);
}

sqz_error sqz_read_symbols(sqz_weights *weights, uint16_t *out, size_t count) {
    uint32_t i, taken;
    if (weights->error) {
        return weights->error;
    }
    if (count > weights->left || weights->tensor->form == SQZ_DENSE) {
        return SQZ_SMALL_BUFFER;
    }
    taken = take_symbols(weights, out, (uint32_t)count);
    for (i = 0; i < taken; i++) {
        if (!is_index(weights, out[i])) {
            break;
        }
        step(weights);
    }
    if (i < count) {
        return finish(weights, SQZ_BAD_SYMBOLS);
    }
    return count && weights->left == 0 ? finish(weights, check_end(weights)) : SQZ_OK;
}

/* Decodes a tensor with another scan order into row-major order. The values of a pruned tensor are row-major already:
 * so the first loop stores the mask, and the second replaces it by the values. */
static sqz_error decode_scanned(sqz_weights *weights, float *out) {
    const sqz_tensor *tensor = weights->tensor;
    uint16_t symbols[SOME_SYMBOLS];
    uint32_t i, taken = 0;
    while (weights->left) {
        uint32_t some = weights->left < SOME_SYMBOLS ? weights->left : SOME_SYMBOLS;
        if (take_symbols(weights, symbols, some) < some) {
            return SQZ_BAD_SYMBOLS;
        }
        for (i = 0; i < some; i++) {
            size_t at = ((size_t)weights->row * tensor->columns + weights->column) * tensor->taps + weights->tap;
            if (!is_index(weights, symbols[i])) {
                return SQZ_BAD_SYMBOLS;
            }
            out[at] = tensor->form == SQZ_SHARED ? shared_weight(weights, symbols[i]) : (float)symbols[i];
            step(weights);
        }
    }
    for (i = 0; tensor->form == SQZ_PRUNED && i < tensor->weights; i++) {
        out[i] = out[i] > 0 ? float_of(value_bits(weights, taken++)) : 0.0f;
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
    if (tensor->scan_order != SQZ_OUT_IN && tensor->weights) {
        error = decode_scanned(&pieces, weights);
    } else {
        error = read_pieces(&pieces, weights, tensor->weights);
    }
    if (error) {
        return error;
    }
    if (tensor->coefficients) {
        transform_kernels(weights, tensor->weights);
    }
    return SQZ_OK;
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
    case SQZ_BEFORE_0_1_0: return "before-0.1.0";
    case SQZ_BAD_NETWORK: return "bad-network";
    case SQZ_TOO_MANY_WEIGHTS: return "too-many-weights";
    case SQZ_TOO_MANY_TENSORS: return "too-many-tensors";
    case SQZ_LARGE_NETWORK: return "large-network";
    case SQZ_BAD_PHOTO: return "bad-photo";
    case SQZ_SMALL_WORKSPACE: return "small-workspace";
    case SQZ_SMALL_BUFFER: return "small-buffer";
    case SQZ_SMALL_ARENA: return "small-arena";
    case SQZ_UNSUPPORTED_VERSION: return "unsupported-version";
    case SQZ_UNSUPPORTED_CODEC: return "unsupported-codec";
    case SQZ_UNSUPPORTED_IN_PIECES: return "unsupported-in-pieces";
    case SQZ_UNSUPPORTED_NETWORK: return "unsupported-network";
    }
    return "unknown";
}

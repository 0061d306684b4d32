/* sqz_context.c - the codec `context`: adaptive binary arithmetic coding of levels. docs/format.md, "3, `context`",
 * specifies it; the comments below cite the paragraphs of that section.
 *
 * From the bottom up:
 *
 *     1. The range decoder    bits of given probabilities; the end of the bits        "The range decoder"
 *     2. Logits               sigmoid and logit                                       "Logits"
 *     3. Probabilities        adaptive probabilities and mixers                       "An adaptive probability"
 *     4. Tables               what lies where in the workspace, and how much it is    "A level", "Contexts"
 *     5. Contexts             what decoded levels tell about the next one             "Contexts", "Mean magnitudes"
 *     6. Prediction           a linear prediction from the row so far                 "Prediction"
 *     7. A level              magnitude, sign, escape code, digits                    "A level", "The trellis"
 *
 * All arithmetic is in integers. The decoder keeps no matrix of levels. What a level needs of the levels before it fits
 * into one `column` for each column of the matrix: each use of a level is bounded, so that a level clipped to 127, or
 * to 3 in the history of 16 rows, gives the same contexts as the level itself.
 *
 * Adaptive probabilities are stored for the contexts that can occur, which are fewer than the ranges in the format
 * suggest: a logarithm of a mean is at least log(32) = 40, and one of preceding taps is at least log(4) = 16. */
#include "sqz_internal.h"

#include <string.h>

/* Numbers are negative here, and `>>` rounds down, as the format says: so do all compilers, although C99 does not
 * require it. */
typedef char shift_must_round_down[-3 >> 1 == -2 ? 1 : -1];

/* Whether compilers make vectors of a loop: GCC makes none with -Os. */
#if defined(__OPTIMIZE_SIZE__) && !defined(__clang__)
#define HAS_VECTORS 0
#elif defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__) || defined(_M_X64) || defined(_M_ARM64)
#define HAS_VECTORS 1
#else
#define HAS_VECTORS 0
#endif

enum {
    /* What levels of the row above are stored times: GCC finds the instruction of x86 and ARM for rounded products of
     * fractions of 15 bits. */
#if HAS_VECTORS && !defined(__clang__)
    ABOVE_UNIT = 512,
#else
    ABOVE_UNIT = 1,
#endif
    UNARY = 6,            /* decisions "larger?" before the escape code */
    MAX_HEAD = 239,
    UNIT_CHOICES = 6,
    MEAN_OFFSET = 32,
    MIN_MEAN_CONTEXT = 8, /* log(32) / 5 */
    MEAN_CONTEXTS = 17,   /* 8 to 24 */
    FIRST_TAP_NEIGHBORHOODS = 64,
    MIN_TAP_NEIGHBORHOOD = 16,
    TAP_NEIGHBORHOODS = 48, /* of each further tap: 16 to 63 */
    SCALES = 32,
    FIRST_CERTAINTIES = 8 * SCALES,
    CERTAINTIES = 16 * SCALES,
    TAP_KINDS = 64,
    SIGN_CONTEXTS = 27,
    ESCAPE_SCALES = 8,
    ESCAPE_BITS = 16,
    ESCAPE_CONTEXTS = 24, /* of digits: 8 prefixes, 16 places */
    ESCAPES = (ESCAPE_SCALES + ESCAPE_CONTEXTS) * ESCAPE_BITS,
    UNIT_KINDS = 8,
    SIZE_INPUTS = 4,
    SIGN_INPUTS = 13,
    TAPS_BEFORE = 8,
    PREDICTION = 12, /* index of its input */
    MAX_LOGIT = 2047,
    LOGITS = 4096,
    MAX_UPDATES = 255,
    HISTORY = 16, /* rows above */
    MAX_ORDER = 1024,
    ORDER_UNIT = 16,
    MAX_STATE = 4095
};

/* A column of the matrix: its running mean, its trellis state, and its levels. */
typedef struct column {
    uint32_t mean_and_state; /* mean times 4,096, plus the state */
    int8_t level;            /* the last one decoded, clipped to 127 */
    int8_t above;            /* the magnitude of the one before, clipped to 127 */
    int8_t sum_of_4, sum_of_16; /* of the last levels, clipped to 3 */
    uint64_t history;           /* these 16 levels, a nibble each, the last one lowest */
} column;

struct sqz_context {
    const uint8_t *begin, *at, *end;
    uint64_t width; /* W */
    uint64_t x;     /* X times 2^32, plus the next bits */
    uint32_t spare; /* the number of these bits, 16 to 31 */
    uint32_t over;  /* bytes taken beyond the end */

    uint32_t rows, columns, taps, kernel_width;
    uint32_t row, column, tap; /* of the next level */
    uint32_t levels;           /* number of levels before, up to 253 */
    uint32_t order, stride;    /* of prediction, 0 without it */
    int32_t mean, row_mean, total_mean, near_sum, power, prediction_scale;
    unsigned unit_bits, quantizers; /* quantizers: 1, or 2 with the trellis */
    uint32_t planes;                /* see planes_of */

    /* Tables in the workspace. */
    int32_t (*size_weights)[SIZE_INPUTS]; /* [2 * UNARY] */
    int32_t (*sign_weights)[2];           /* [kinds] */
    int32_t (*regression)[SIGN_INPUTS];   /* [kinds] */
    uint32_t *means, *neighborhoods;      /* [contexts][planes] */
    uint32_t *first_certainties;          /* [contexts][quantizers] */
    uint32_t *certainties;                /* [contexts][planes - quantizers] */
    uint32_t *signs, *escapes, *digits;
    column *of_column;
    uint16_t *rates; /* by N */
    int16_t *logits; /* by P >> 10 */
    int32_t ahead;       /* see look_ahead */
    int16_t *predictors; /* [columns][stride] */
    int16_t *values;     /* [columns + ORDER_UNIT]: this row, clipped to 15, then 0 */
    int16_t *above;      /* the same of the row above, times ABOVE_UNIT */
    int16_t *steps;      /* [columns]: of this row up to the present column, then of the row above */
};

INLINE int32_t clip(int32_t number, int32_t minimum, int32_t maximum) {
    return number < minimum ? minimum : number > maximum ? maximum : number;
}

INLINE uint32_t lower(uint32_t left, uint32_t right) {
    return left < right ? left : right;
}

/* ---- 1. "The range decoder", "The end of the bits" ---- */

INLINE uint32_t take_byte(sqz_context *coder) {
    if (coder->at < coder->end) {
        return *coder->at++;
    }
    coder->over++;
    return 0;
}

INLINE uint32_t take_two_bytes(sqz_context *coder) {
    uint32_t first = take_byte(coder);
    return first << 8 | take_byte(coder);
}

static void begin_bits(sqz_context *coder, sqz_span span) {
    int i;
    coder->begin = coder->at = span.begin;
    coder->end = span.end;
    coder->width = (uint64_t)1 << 32;
    for (i = 0; i < 3; i++) {
        coder->x = coder->x << 16 | take_two_bytes(coder);
    }
    coder->x <<= 16;
    coder->spare = 16;
}

INLINE uint32_t leading_zeros(uint32_t number) {
#if defined(__GNUC__)
    return (uint32_t)__builtin_clz(number);
#else
    uint32_t zeros = 31;
    while (number >>= 1) {
        zeros--;
    }
    return zeros;
#endif
}

/* Processors cannot predict these bits: so there is no branch on them. */
INLINE uint32_t take_bit(sqz_context *coder, uint32_t probability) {
    uint32_t bound = (uint32_t)(coder->width >> 16) * probability, rest = (uint32_t)(coder->width - bound), shift;
    uint32_t bit = coder->x < (uint64_t)bound << 32, zero = bit - 1; /* all ones for a 0 */
    coder->x -= (uint64_t)(bound & zero) << 32;
    bound ^= (bound ^ rest) & zero;
    shift = leading_zeros(bound) & 24; /* W is at least 2^13 */
    coder->width = (uint64_t)bound << shift;
    coder->x <<= shift;
    coder->spare -= shift;
    if (coder->spare < 16) {
        coder->x |= (uint64_t)take_two_bytes(coder) << (16 - coder->spare);
        coder->spare += 16;
    }
    return bit;
}

/* Takes a byte before a level, if there is room: otherwise take_bit would take two at times that processors cannot
 * predict. Small processors and WebAssembly gain nothing. */
#if HAS_VECTORS && !defined(__wasm__)
#define TAKES_SPARE_BYTES 1
#else
#define TAKES_SPARE_BYTES 0
#endif

INLINE void take_spare_byte(sqz_context *coder) {
    if (TAKES_SPARE_BYTES && coder->at < coder->end) {
        uint32_t has_room = (coder->spare - 24) >> 31;
        coder->x |= (uint64_t)(*coder->at & (0 - has_room)) << ((24 - coder->spare) & 31);
        coder->at += has_room;
        coder->spare += 8 * has_room;
    }
}

/* j = 4 is always possible. */
int sqzi_context_ends(const sqz_context *coder) {
    size_t length = (size_t)(coder->end - coder->begin);
    size_t settled = (size_t)(coder->at - coder->begin) + coder->over - coder->spare / 8 - 4;
    uint32_t z = 0, s;
    uint64_t share = (uint64_t)1 << 32, first = 0;
    size_t i;
    if (settled > length) {
        return 0;
    }
    for (i = settled; i < settled + 4; i++) {
        z = z << 8 | (i < length ? coder->begin[i] : 0u);
    }
    s = z - (uint32_t)(coder->x >> 32);
    for (i = 0; i <= 4; i++, share >>= 8) {
        first = (s + share - 1) & ~(share - 1);
        if (first + share <= s + coder->width) {
            break;
        }
    }
    return length == settled + i && z == (first & 0xFFFFFFFFu);
}

/* ---- 2. "Logits" ---- */

/* The largest and the smallest x whose sigmoid is a probability that need not be clipped. */
enum { MIN_MIXED = -1961, MAX_MIXED = 1952, MIN_PROBABILITY = 32 };

INLINE int32_t sigmoid(int32_t logit) {
    static const struct {
        int32_t first, slope; /* 128 K[i] + 64, K[i + 1] - K[i] */
    } pieces[32] = {
        {2880, 14},      {4672, 24},      {7744, 38},      {12608, 64},     {20800, 105},    {34240, 172},
        {56256, 281},    {92224, 459},    {150976, 742},   {245952, 1187},  {397888, 1863},  {636352, 2841},
        {1000000, 4143}, {1530304, 5670}, {2256064, 7118}, {3167168, 8025}, {4194368, 8025}, {5221568, 7118},
        {6132672, 5670}, {6858432, 4143}, {7388736, 2841}, {7752384, 1863}, {7990848, 1187}, {8142784, 742},
        {8237760, 459},  {8296512, 281},  {8332480, 172},  {8354496, 105},  {8367936, 64},   {8376128, 38},
        {8380992, 24},   {8384064, 14}};
    int32_t i = (logit + 2048) >> 7;
    return (pieces[i].first + ((logit + 2048) & 127) * pieces[i].slope) >> 7;
}

/* Fills the table of logit(P) by P >> 10. */
static void fill_logits(int16_t *logits) {
    int32_t x = -MAX_LOGIT, i;
    for (i = 0; i < LOGITS; i++) {
        while (x < MAX_LOGIT && sigmoid(x) < 16 * i + 8) {
            x++;
        }
        logits[i] = (int16_t)x;
    }
}

/* ---- 3. "An adaptive probability", "A mixer" ----
 *
 * An adaptive probability is P times 256, plus N. */

#define ONE_HALF ((uint32_t)1 << 29)

static void fill_rates(uint16_t *rates) {
    uint32_t n;
    for (n = 0; n <= MAX_UPDATES; n++) {
        rates[n] = (uint16_t)(327680u / (5u * n + 8u));
    }
}

/* `target` is P of a certain 1 or 0. */
INLINE void update(const sqz_context *coder, uint32_t *adaptive, int64_t target) {
    uint32_t before = *adaptive, n = before & MAX_UPDATES;
    int64_t change = (target - (before >> 8)) * coder->rates[n] >> 8;
    *adaptive = before + ((uint32_t)change & ~(uint32_t)MAX_UPDATES) + ((n - MAX_UPDATES) >> 31);
}

INLINE uint32_t take_adaptive(sqz_context *coder, uint32_t *adaptive) {
    uint32_t bit = take_bit(coder, (uint32_t)clip((int32_t)(*adaptive >> 14), MIN_PROBABILITY, 65536 - MIN_PROBABILITY));
    update(coder, adaptive, (int64_t)bit << 22);
    return bit;
}

INLINE int32_t logit_of(const sqz_context *coder, uint32_t adaptive) {
    return coder->logits[adaptive >> 18];
}

INLINE int32_t mixed(int64_t sum, int32_t minimum, int32_t maximum) {
    sum >>= 16;
    return sum < minimum ? minimum : sum > maximum ? maximum : (int32_t)sum;
}

/* Weights of 32 bits suffice for 2^29 levels: gradient steps, which are below 2^13, lead away from 0 only as a random walk
 * does, but for 3 a level where the logit is clipped. */
INLINE void learn(int32_t *weight, int32_t input, int32_t error) {
    *weight += (input * error + (1 << 17)) >> 18;
}

/* A bit with a mixer: its inputs, one or three adaptive probabilities and a given logit, and its probability. */
typedef struct mixed_bit {
    uint32_t *adaptive[SIZE_INPUTS - 1];
    unsigned count;
    int32_t inputs[SIZE_INPUTS], probability;
    int32_t *weights;
} mixed_bit;

/* Sets the probability. */
INLINE void mix(const sqz_context *coder, mixed_bit *mixture, int32_t logit) {
    int64_t sum = (int64_t)logit * mixture->weights[mixture->count];
    unsigned i;
    for (i = 0; i < mixture->count; i++) {
        mixture->inputs[i] = logit_of(coder, *mixture->adaptive[i]);
        sum += (int64_t)mixture->inputs[i] * mixture->weights[i];
    }
    mixture->inputs[i] = logit;
    mixture->probability = sigmoid(mixed(sum, MIN_MIXED, MAX_MIXED));
}

/* Updates three adaptive probabilities: at once where that is faster, with a division for the table of rates. The
 * quotients must be exact, which those of -ffast-math are not. */
#if HAS_VECTORS && defined(__GNUC__) && defined(__x86_64__) && !defined(__FAST_MATH__) && !defined(__RECIPROCAL_MATH__)
typedef uint32_t four_words __attribute__((vector_size(16)));
typedef int32_t four_integers __attribute__((vector_size(16)));
typedef float four_floats __attribute__((vector_size(16)));

INLINE void update_three(const sqz_context *coder, uint32_t *const *adaptive, uint32_t bit) {
    four_words before = {*adaptive[0], *adaptive[1], *adaptive[2], 0};
    four_integers n = (four_integers)(before & MAX_UPDATES);
    four_integers missing = (int32_t)(bit << 22) - (four_integers)(before >> 8);
    four_floats divisor = __builtin_convertvector(5 * n + 8, four_floats); /* quotients never round up to an integer */
    four_integers rate = __builtin_convertvector(327680.0f / divisor, four_integers);
    four_integers change = (missing >> 8) * rate + ((missing & 255) * rate >> 8); /* of 256 P; 31 bits */
    (void)coder;
    before += (four_words)(change & ~MAX_UPDATES) - (four_words)(n < MAX_UPDATES); /* true is -1 */
    *adaptive[0] = before[0];
    *adaptive[1] = before[1];
    *adaptive[2] = before[2];
}

#else
INLINE void update_three(const sqz_context *coder, uint32_t *const *adaptive, uint32_t bit) {
    unsigned i;
    for (i = 0; i < 3; i++) {
        update(coder, adaptive[i], (int64_t)bit << 22);
    }
}
#endif

INLINE uint32_t take_mixed(sqz_context *coder, const mixed_bit *mixture) {
    uint32_t bit = take_bit(coder, (uint32_t)mixture->probability);
    int32_t error = (int32_t)(6 * ((bit << 16) - (uint32_t)mixture->probability));
    unsigned i;
    for (i = 0; i <= mixture->count; i++) {
        learn(mixture->weights + i, mixture->inputs[i], error);
    }
    if (mixture->count == 3) {
        update_three(coder, mixture->adaptive, bit);
    } else {
        update(coder, mixture->adaptive[0], (int64_t)bit << 22);
    }
    return bit;
}

/* ---- 4. Tables ---- */

static uint32_t kinds_of(const sqz_shape *shape) {
    return lower(shape->taps, TAP_KINDS);
}

/* Contexts of a neighborhood: 64 for the first tap of a kernel, 48 for each further one, up to 15. */
static uint32_t neighborhoods_of(const sqz_shape *shape) {
    return FIRST_TAP_NEIGHBORHOODS + TAP_NEIGHBORHOODS * (lower(shape->taps, 16) - 1);
}

/* Decisions in unary times quantizers: the first two decisions have probabilities for each quantizer. */
static uint32_t planes_of(unsigned quantizers) {
    return UNARY - 2 + 2 * quantizers;
}

static uint32_t digits_of(unsigned unit_bits) {
    return unit_bits ? (uint32_t)UNIT_KINDS << unit_bits : 0;
}

static uint32_t order_of(const sqz_shape *shape) {
    uint64_t per_row = 4 * (uint64_t)shape->rows;
    uint32_t order = lower(shape->columns, MAX_ORDER);
    return per_row < order ? (uint32_t)per_row : order;
}

INLINE uint32_t in_units(uint32_t order) {
    return (order + ORDER_UNIT - 1) / ORDER_UNIT * ORDER_UNIT;
}

/* The head of a stream, "3, `context`": returns 0 if it is missing or out of range. */
static int read_head(sqz_span span, unsigned *octaves, unsigned *unit_bits, unsigned *quantizers, int *prediction) {
    unsigned head = span_bytes(span) ? *span.begin : MAX_HEAD + 1;
    *octaves = (head >> 2) / UNIT_CHOICES;
    *unit_bits = (head >> 2) % UNIT_CHOICES;
    *quantizers = 1 + (head >> 1 & 1);
    *prediction = head & 1;
    return head <= MAX_HEAD;
}

/* Takes `bytes` of the tables, in multiples of 8; counts only if there are no tables. */
static void *take_table(uint8_t *tables, uint64_t *taken, uint64_t bytes) {
    uint8_t *table = tables ? tables + (size_t)*taken : NULL;
    *taken += (bytes + 7) & ~(uint64_t)7;
    return table;
}

/* Places all tables at `tables`, and returns their bytes. */
static uint64_t place_tables(sqz_context *coder, const sqz_shape *shape, int prediction, uint8_t *tables) {
    uint32_t kinds = kinds_of(shape), planes = planes_of(coder->quantizers);
    uint64_t taken = 0;
    (void)take_table(tables, &taken, sizeof *coder);
    coder->order = prediction ? order_of(shape) : 0;
    coder->stride = in_units(coder->order);
    coder->planes = planes;
    coder->size_weights = take_table(tables, &taken, 2 * UNARY * sizeof *coder->size_weights);
    coder->sign_weights = take_table(tables, &taken, kinds * sizeof *coder->sign_weights);
    coder->regression = take_table(tables, &taken, kinds * sizeof *coder->regression);
    coder->means = take_table(tables, &taken, 4u * MEAN_CONTEXTS * MEAN_CONTEXTS * planes);
    coder->neighborhoods = take_table(tables, &taken, 4u * neighborhoods_of(shape) * planes);
    coder->first_certainties = take_table(tables, &taken, 4u * FIRST_CERTAINTIES * coder->quantizers);
    coder->certainties = take_table(tables, &taken, 4u * CERTAINTIES * (planes - coder->quantizers));
    coder->signs = take_table(tables, &taken, 4u * SIGN_CONTEXTS * kinds);
    coder->escapes = take_table(tables, &taken, 4u * ESCAPES);
    coder->digits = take_table(tables, &taken, 4u * digits_of(coder->unit_bits));
    coder->rates = take_table(tables, &taken, (MAX_UPDATES + 1) * sizeof *coder->rates);
    coder->logits = take_table(tables, &taken, LOGITS * sizeof *coder->logits);
    coder->of_column = take_table(tables, &taken, (uint64_t)shape->columns * sizeof *coder->of_column);
    if (coder->order) {
        coder->predictors = take_table(tables, &taken, 2 * (uint64_t)shape->columns * coder->stride);
        coder->values = take_table(tables, &taken, 2 * ((uint64_t)shape->columns + ORDER_UNIT));
        coder->above = take_table(tables, &taken, 2 * ((uint64_t)shape->columns + ORDER_UNIT));
        coder->steps = take_table(tables, &taken, 2 * (uint64_t)shape->columns);
    }
    return taken;
}

uint64_t sqzi_context_bytes(sqz_span span, const sqz_shape *shape) {
    sqz_context coder;
    unsigned octaves;
    int prediction;
    if (!read_head(span, &octaves, &coder.unit_bits, &coder.quantizers, &prediction)) {
        return 0;
    }
    return place_tables(&coder, shape, prediction, NULL) + 7;
}

static void fill(uint32_t *table, size_t count, uint32_t number) {
    size_t i;
    for (i = 0; i < count; i++) {
        table[i] = number;
    }
}

/* Sets all adaptive probabilities to one half, those of digits after the updates that the table in "A level" says. */
static void fill_probabilities(sqz_context *coder, uint32_t *end_of_escapes) {
    unsigned unit, digit;
    fill(coder->means, (size_t)(end_of_escapes - coder->means), ONE_HALF);
    for (unit = 0; unit < UNIT_KINDS && coder->unit_bits; unit++) {
        uint32_t *digits = coder->digits + ((size_t)unit << coder->unit_bits);
        digits[0] = ONE_HALF; /* not used */
        for (digit = 0; digit < coder->unit_bits; digit++) {
            uint32_t updates = lower(8u << (coder->unit_bits - 1 - digit), 255);
            fill(digits + ((size_t)1 << digit), (size_t)1 << digit, ONE_HALF + updates);
        }
    }
}

static void fill_weights(sqz_context *coder, uint32_t kinds) {
    uint32_t i, j;
    for (i = 0; i < 2 * UNARY; i++) {
        for (j = 0; j < SIZE_INPUTS; j++) {
            coder->size_weights[i][j] = 18000;
        }
    }
    for (i = 0; i < kinds; i++) {
        coder->sign_weights[i][0] = coder->sign_weights[i][1] = 30000;
        for (j = 0; j < SIGN_INPUTS; j++) {
            coder->regression[i][j] = j == PREDICTION ? 30000 : 0;
        }
    }
}

INLINE void begin_row(sqz_context *coder) {
    uint32_t i;
    coder->column = coder->tap = 0;
    coder->row_mean = coder->mean;
    coder->near_sum = 0;
    coder->power = (int32_t)(100u * (uint64_t)coder->mean * (uint64_t)coder->mean >> 16);
    coder->power = coder->power > 1 ? coder->power : 1;
    if (coder->order) {
        memcpy(coder->above, coder->values, 2 * (size_t)coder->columns);
        memset(coder->values, 0, 2 * (size_t)coder->columns);
        for (i = 0; ABOVE_UNIT > 1 && i < coder->columns; i++) {
            coder->above[i] = (int16_t)(ABOVE_UNIT * coder->above[i]);
        }
    }
}

sqz_context *sqzi_context_open(sqz_span span, const sqz_shape *shape, uint8_t *workspace) {
    uint8_t *tables = workspace + (8 - (uintptr_t)workspace % 8) % 8;
    sqz_context *coder = (sqz_context *)(void *)tables, head;
    unsigned octaves;
    int prediction;
    uint32_t i;
    if (!read_head(span, &octaves, &head.unit_bits, &head.quantizers, &prediction)) {
        return NULL;
    }
    memset(coder, 0, sizeof *coder);
    coder->unit_bits = head.unit_bits;
    coder->quantizers = head.quantizers;
    (void)place_tables(coder, shape, prediction, tables);
    begin_bits(coder, span_between(span.begin + 1, span.end));
    coder->rows = shape->rows;
    coder->columns = shape->columns;
    coder->taps = shape->taps;
    coder->kernel_width = shape->width;
    coder->mean = coder->total_mean = MEAN_OFFSET * ((1 << octaves) - 1);
    coder->prediction_scale = 393216 / (coder->mean > 1 ? coder->mean : 1);
    fill_rates(coder->rates);
    fill_logits(coder->logits);
    fill_probabilities(coder, coder->escapes + ESCAPES);
    fill_weights(coder, kinds_of(shape));
    memset(coder->of_column, 0, (size_t)shape->columns * sizeof *coder->of_column);
    for (i = 0; i < shape->columns; i++) {
        coder->of_column[i].mean_and_state = (uint32_t)coder->mean << 12;
    }
    if (coder->order) {
        memset(coder->predictors, 0, 2 * (size_t)shape->columns * coder->stride);
        memset(coder->values, 0, 2 * ((size_t)shape->columns + ORDER_UNIT));
        memset(coder->above, 0, 2 * ((size_t)shape->columns + ORDER_UNIT));
        memset(coder->steps, 0, 2 * (size_t)shape->columns);
    }
    begin_row(coder);
    return coder;
}

/* ---- 5. "Contexts", "Mean magnitudes" ---- */

/* For numbers below 2^28. */
INLINE int32_t log_of(int32_t number) {
    uint32_t q = 31 ^ leading_zeros((uint32_t)number);
    return (int32_t)(8 * q + (((uint32_t)number << 3) >> q & 7));
}

INLINE int32_t updated_mean(const sqz_context *coder, int32_t mean, int32_t magnitude, uint32_t n) {
    int32_t change = 256 * clip(magnitude, 0, 4095) - mean;
    return mean + (int32_t)(((int64_t)change * coder->rates[n]) >> 16);
}

/* Returns a level of this row, `back` columns before; 0 before the first. */
INLINE int32_t level_before(const sqz_context *coder, uint32_t back) {
    return back > coder->column ? 0 : coder->of_column[coder->column - back].level;
}

INLINE int32_t magnitude_of(int32_t level) {
    return level < 0 ? -level : level;
}

INLINE int32_t sign_of(int32_t level) {
    return (level > 0) - (level < 0);
}

INLINE uint32_t neighborhood_of(const sqz_context *coder, const column *here) {
    uint32_t tap = coder->tap, seen = lower(tap, TAPS_BEFORE);
    if (tap == 0) {
        int32_t sum = 4 * magnitude_of(here->level) + 3 * here->above;
        return (uint32_t)clip(log_of(sum + 4 * magnitude_of(level_before(coder, coder->taps)) + 1), 0, 63);
    }
    return FIRST_TAP_NEIGHBORHOODS + TAP_NEIGHBORHOODS * (lower(tap, 15) - 1) +
           (uint32_t)clip(log_of(16 * coder->near_sum / (int32_t)seen + 4), 0, 63) - MIN_TAP_NEIGHBORHOOD;
}

/* The context of step 2: three signs, in the order of kinds of taps. */
INLINE uint32_t sign_context_of(const sqz_context *coder) {
    int32_t left = 0, over = 0, first = 0;
    if (coder->tap) {
        left = sign_of(level_before(coder, 1));
        first = sign_of(level_before(coder, coder->tap));
    }
    if (coder->tap >= coder->kernel_width) {
        over = sign_of(level_before(coder, coder->kernel_width));
    }
    return (uint32_t)(SIGN_CONTEXTS * (int32_t)lower(coder->tap, TAP_KINDS - 1) + 9 * left + 3 * over + first + 13);
}

/* The level of the column `rows` rows before its next one, clipped to 3; 0 before the first row. */
INLINE int32_t history_at(const column *here, uint32_t rows) {
    return (int32_t)((int64_t)(here->history << (64 - 4 * rows)) >> 60);
}

/* Fills the inputs of the sign logit, except the prediction, and returns it. */
INLINE int32_t sign_logit_of(const sqz_context *coder, const column *here, const int32_t *weights, int32_t *inputs) {
    int64_t sum = 0;
    uint32_t i, seen = lower(coder->tap, TAPS_BEFORE);
    for (i = 0; i < seen; i++) {
        inputs[i] = 256 * history_at(here - 1 - i, 1);
        sum += (int64_t)inputs[i] * weights[i];
    }
    inputs[8] = 256 * history_at(here, 1);
    inputs[9] = 128 * here->sum_of_4;
    inputs[10] = 64 * here->sum_of_16;
    inputs[11] = coder->taps > coder->column ? 0 : 256 * history_at(here - coder->taps, 1);
    for (i = TAPS_BEFORE; i < SIGN_INPUTS; i++) {
        sum += (int64_t)inputs[i] * weights[i];
    }
    return mixed(sum, -MAX_LOGIT, MAX_LOGIT);
}

/* Adds a level to the column's levels. */
INLINE void store_level(column *here, int32_t level) {
    int32_t value = clip(level, -3, 3);
    here->sum_of_4 = (int8_t)(here->sum_of_4 + value - history_at(here, 4));
    here->sum_of_16 = (int8_t)(here->sum_of_16 + value - history_at(here, HISTORY));
    here->history = here->history << 4 | ((uint32_t)value & 15u);
    here->above = (int8_t)magnitude_of(here->level);
    here->level = (int8_t)clip(level, -127, 127);
}

/* ---- 6. "Prediction" ----
 *
 * The weights of a column are updated a row later, just before they predict again: so both take one pass over them. */

/* Returns a weight after its update with a step and a level of the row above, times ABOVE_UNIT. */
#if HAS_VECTORS
INLINE int16_t lower16(int16_t left, int16_t right) {
    return left < right ? left : right;
}

INLINE int16_t higher16(int16_t left, int16_t right) {
    return left < right ? right : left;
}

/* All numbers have 16 bits, which makes vectors of the most elements: so the weight is clipped before its change. For
 * clang, the integer part and the fraction of the step have products of at most 14 bits. */
INLINE int16_t updated(int16_t weight, int16_t above, int16_t step) {
#if defined(__clang__)
    int16_t rounded = (int16_t)((int16_t)((step & 63) * above) + 32);
    int16_t change = (int16_t)((int16_t)((step >> 6) * above) + (rounded >> 6));
#else
    int16_t change = (int16_t)(((step * above >> 14) + 1) >> 1);
#endif
    int16_t minimum = (int16_t)(-32767 - lower16(change, 0)), maximum = (int16_t)(32767 - higher16(change, 0));
    return (int16_t)(lower16(higher16(weight, minimum), maximum) + change);
}

#else
/* Numbers of 32 bits take fewer instructions one by one. */
INLINE int16_t updated(int16_t weight, int16_t above, int16_t step) {
    return above ? (int16_t)clip(weight + ((step * above + 32) >> 6), -32767, 32767) : weight;
}
#endif

/* Updates weights with a step and the levels of the row above, and returns the sum of their products with the levels of
 * this row: at most 1,024 products of 15 and a weight, 29 bits. Takes a multiple of ORDER_UNIT weights, without a rest
 * that compilers would not vectorize: those after the order meet levels of this row that are still 0. */
INLINE int32_t update_and_predict(int16_t *restrict weights, const int16_t *restrict above,
                                  const int16_t *restrict values, uint32_t count, int16_t step) {
    int32_t sum = 0;
    uint32_t i;
    count &= ~(ORDER_UNIT - 1u);
#if defined(__clang__)
#pragma clang loop vectorize_width(8) /* rather than 4, the number of sums in a vector */
#endif
    for (i = 0; i < count; i++) {
        weights[i] = updated(weights[i], above[i], step);
        sum += weights[i] * values[i];
    }
    return sum;
}

/* The number of levels that a column is predicted from. */
INLINE uint32_t order_at(const sqz_context *coder, uint32_t c) {
    return lower(c, coder->order);
}

/* The weights of a column have the order of the levels that they belong to: a(n) first. */
INLINE int16_t *predictors_at(const sqz_context *coder, uint32_t c) {
    return coder->predictors + (size_t)c * coder->stride;
}

INLINE int32_t predict(const sqz_context *coder) {
    uint32_t order = order_at(coder, coder->column);
    return order ? coder->ahead + predictors_at(coder, coder->column)[order - 1] * coder->values[coder->column - 1] : 0;
}

/* Predicts the next column as if the present level were 0: this must not wait for that level, whose bits take time. */
INLINE void look_ahead(sqz_context *coder) {
    uint32_t next = coder->column + 1, order = order_at(coder, next), first = next - order;
    if (next < coder->columns) {
        coder->ahead = update_and_predict(predictors_at(coder, next), coder->above + first, coder->values + first,
                                          in_units(order), coder->steps[next]);
    }
}

/* Stores the present level and the step of its weights. */
INLINE void learn_level(sqz_context *coder, int32_t level, int32_t prediction) {
    uint32_t order = order_at(coder, coder->column);
    int16_t *values = coder->values + coder->column - order;
    int32_t value = clip(level, -15, 15), error = 16384 * value - prediction;
    uint64_t size = (uint64_t)magnitude_of(error) * 77 / (4 * (uint64_t)coder->power);
    int32_t step = size > 32767 ? 32767 : (int32_t)size;
    coder->steps[coder->column] = (int16_t)(error < 0 ? -step : step);
    coder->power += value * value - (order == coder->order ? values[0] * values[0] : 0);
    values[order] = (int16_t)value;
}

/* ---- 7. "A level", "The trellis" ---- */

INLINE uint32_t parity(uint32_t bits) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__wasm__))
    return (uint32_t)__builtin_parity(bits);
#else
    bits ^= bits >> 8;
    bits ^= bits >> 4;
    return 0x6996u >> (bits & 15) & 1;
#endif
}

/* What the decisions "larger?" of a level need. The adaptive probabilities have a plane for each decision. */
typedef struct size_contexts {
    uint32_t *means, *neighborhoods;
    int32_t (*weights)[SIZE_INPUTS];
    int32_t logit;
} size_contexts;

/* Prepares decision d of step 1. */
INLINE mixed_bit larger(const sqz_context *coder, const size_contexts *contexts, uint32_t d, uint32_t plane,
                        uint32_t *certainty) {
    mixed_bit mixture;
    mixture.adaptive[0] = contexts->means + plane;
    mixture.adaptive[1] = contexts->neighborhoods + plane;
    mixture.adaptive[2] = certainty;
    mixture.count = 3;
    mixture.weights = contexts->weights[d];
    mix(coder, &mixture, contexts->logit);
    return mixture;
}

/* Step 2. */
INLINE uint32_t take_sign(sqz_context *coder, int32_t sign_logit, uint32_t kind, const int32_t *inputs) {
    uint32_t positive, i, seen = lower(coder->tap, TAPS_BEFORE);
    int32_t *weights = coder->regression[kind], error;
    mixed_bit mixture;
    mixture.adaptive[0] = coder->signs + sign_context_of(coder);
    mixture.count = 1;
    mixture.weights = coder->sign_weights[kind];
    mix(coder, &mixture, sign_logit);
    positive = take_mixed(coder, &mixture);
    error = (int32_t)(10 * ((positive << 16) - (uint32_t)sigmoid(sign_logit)));
    for (i = 0; i < seen; i++) {
        learn(weights + i, inputs[i], error);
    }
    for (i = TAPS_BEFORE; i < SIGN_INPUTS; i++) {
        learn(weights + i, inputs[i], error);
    }
    return positive;
}

/* Step 3. */
INLINE uint32_t take_escape(sqz_context *coder, uint32_t scale) {
    uint32_t *longer = coder->escapes + lower(scale / 4, 7) * ESCAPE_BITS, *digits, exponent = 0, number = 1;
    while (exponent < ESCAPE_BITS - 1 && take_adaptive(coder, longer + exponent)) {
        exponent++;
    }
    digits = coder->escapes + ESCAPE_SCALES * ESCAPE_BITS + ESCAPE_CONTEXTS * exponent;
    while (exponent--) {
        number = 2 * number + take_adaptive(coder, digits + (number < 8 ? number : 8 + exponent));
    }
    return number;
}

/* Step 4: returns the magnitude of an index with this many units, at least one. */
INLINE uint32_t take_digits(sqz_context *coder, uint32_t units) {
    uint32_t *digits = coder->digits + ((size_t)(lower(units, UNIT_KINDS) - 1) << coder->unit_bits), number = 1;
    unsigned i;
    for (i = 0; i < coder->unit_bits; i++) {
        number = 2 * number + take_adaptive(coder, digits + number);
    }
    return ((units - 2) << coder->unit_bits) + number + 1; /* `number` has a further 1 in front */
}

/* Steps 1 to 4: returns the magnitude of an index, and sets its sign. `scale` is s, `quantizer` Q. */
INLINE uint32_t take_magnitude(sqz_context *coder, const size_contexts *contexts, uint32_t scale, uint32_t quantizer,
                               int32_t sign_logit, const int32_t *inputs, uint32_t *positive) {
    uint32_t d = 1, certainty = lower((uint32_t)magnitude_of(sign_logit) / 100, 7), plane;
    uint32_t *certainties = coder->first_certainties + (certainty * SCALES + scale) * coder->quantizers + quantizer;
    mixed_bit nonzero = larger(coder, contexts, 0, quantizer, certainties), mixture;
    int32_t agreement;
    if (coder->order) {
        look_ahead(coder);
    }
    if (!take_mixed(coder, &nonzero)) {
        return 0;
    }
    *positive = take_sign(coder, sign_logit, lower(coder->tap, TAP_KINDS - 1), inputs);
    agreement = (*positive ? sign_logit : -sign_logit) + 800;
    certainty = agreement < 0 ? 0 : lower((uint32_t)agreement / 100, 15);
    certainties = coder->certainties + (certainty * SCALES + scale) * (coder->planes - coder->quantizers);
    plane = quantizer;
    for (; d < UNARY; d++) {
        mixture = larger(coder, contexts, d, coder->quantizers + plane, certainties + plane);
        if (!take_mixed(coder, &mixture)) {
            break;
        }
        plane = coder->quantizers + d - 1;
    }
    if (d == UNARY) {
        d = UNARY - 1 + take_escape(coder, scale);
    }
    return coder->unit_bits ? take_digits(coder, d) : d;
}

/* Goes to the next column, or to the next row. */
INLINE void advance(sqz_context *coder) {
    if (++coder->tap == coder->taps) {
        coder->tap = 0;
        coder->near_sum = 0;
    }
    if (++coder->column == coder->columns) {
        coder->row++;
        begin_row(coder);
    }
}

/* Updates everything that depends on decoded levels, and advances. */
INLINE void finish_level(sqz_context *coder, column *here, uint32_t state, int32_t level) {
    int32_t mean = (int32_t)(here->mean_and_state >> 12), magnitude = magnitude_of(level);
    coder->row_mean = updated_mean(coder, coder->row_mean, magnitude, lower(2 + coder->column, 70));
    mean = updated_mean(coder, mean, magnitude, lower(2 + coder->row, 70));
    here->mean_and_state = (uint32_t)mean << 12 | state;
    coder->total_mean = updated_mean(coder, coder->total_mean, magnitude, 2 + coder->levels);
    coder->levels += 2 + coder->levels < MAX_UPDATES;
    store_level(here, level);
    coder->near_sum += magnitude_of(here->level);
    coder->near_sum -= coder->tap >= TAPS_BEFORE ? magnitude_of(here[-TAPS_BEFORE].level) : 0;
    advance(coder);
}

/* Decodes the next level to its symbol; returns 0 if it is out of range. */
INLINE int take_level(sqz_context *coder, uint32_t *symbol) {
    column *here = coder->of_column + coder->column;
    uint32_t state = here->mean_and_state & MAX_STATE, kind = lower(coder->tap, TAP_KINDS - 1), positive = 0, index;
    uint32_t mean, quantizer = coder->quantizers == 1 ? 0 : parity(state & 0x609u);
    int32_t row_log = log_of(coder->row_mean + MEAN_OFFSET), prediction = 0, expected, sign_logit, level;
    int32_t column_log = log_of((int32_t)(here->mean_and_state >> 12) + MEAN_OFFSET), inputs[SIGN_INPUTS];
    size_contexts contexts;
    take_spare_byte(coder);
    inputs[PREDICTION] = 0;
    if (coder->order) {
        int64_t scaled = ((int64_t)(prediction = predict(coder)) * coder->prediction_scale) >> 16;
        inputs[PREDICTION] = scaled < -2000 ? -2000 : scaled > 2000 ? 2000 : (int32_t)scaled;
    }
    expected = clip(row_log + column_log - log_of(coder->total_mean + MEAN_OFFSET), 0, 255);
    mean = MEAN_CONTEXTS * (lower((uint32_t)row_log / 5, 24) - MIN_MEAN_CONTEXT) +
           lower((uint32_t)column_log / 5, 24) - MIN_MEAN_CONTEXT;
    contexts.means = coder->means + mean * coder->planes;
    contexts.neighborhoods = coder->neighborhoods + neighborhood_of(coder, here) * coder->planes;
    contexts.weights = coder->size_weights + (coder->tap ? UNARY : 0);
    contexts.logit = 22 * (expected - 64 - 8 * (int32_t)coder->unit_bits);
    sign_logit = sign_logit_of(coder, here, coder->regression[kind], inputs);
    index = take_magnitude(coder, &contexts, lower((uint32_t)expected / 4, SCALES - 1), quantizer, sign_logit, inputs,
                           &positive);
    level = (int32_t)index;
    if (coder->quantizers == 2) {
        level = 2 * level - (level ? (int32_t)quantizer : 0);
        state = (2 * state + ((index & 1) ^ parity(state & 0xD52u))) & MAX_STATE;
    }
    *symbol = 2 * (uint32_t)level - positive;
    if (*symbol > UINT16_MAX) {
        return 0;
    }
    level = (level ^ ((int32_t)positive - 1)) + 1 - (int32_t)positive; /* negated without a branch if not positive */
    if (coder->order) {
        learn_level(coder, level, prediction);
    }
    finish_level(coder, here, state, level);
    return 1;
}

/* What a compiler may know of a stream: nothing; a trellis and units of 1; the same, and one tap. */
typedef enum stream_kind { ANY, TRELLIS, TRELLIS_OF_POINTS } stream_kind;

INLINE uint32_t take_levels(sqz_context *stored, uint16_t *symbols, uint32_t count, stream_kind kind) {
    sqz_context coder = *stored; /* no table overlaps a local copy: so the compiler keeps it in registers */
    uint32_t i;
    if (kind != ANY) {
        coder.quantizers = 2;
        coder.planes = planes_of(2);
        coder.unit_bits = 0;
    }
    if (kind == TRELLIS_OF_POINTS) {
        coder.taps = coder.kernel_width = 1;
        coder.tap = 0;
    }
    for (i = 0; i < count; i++) {
        uint32_t symbol;
        if (!take_level(&coder, &symbol) || coder.over > 8) {
            break;
        }
        symbols[i] = (uint16_t)symbol;
    }
    *stored = coder;
    return i;
}

#if defined(SQZI_AVX2) || defined(__AVX2__)
/* The same in programs for large machines: with code of its own for the kinds of streams that are large. */
INLINE uint32_t take_levels_of_kind(sqz_context *coder, uint16_t *symbols, uint32_t count) {
    if (HAS_VECTORS && coder->quantizers == 2 && coder->unit_bits == 0) {
        return coder->taps == 1 ? take_levels(coder, symbols, count, TRELLIS_OF_POINTS)
                                : take_levels(coder, symbols, count, TRELLIS);
    }
    return take_levels(coder, symbols, count, ANY);
}
#endif

#ifdef SQZI_AVX2
SQZI_AVX2 static uint32_t take_levels_avx2(sqz_context *coder, uint16_t *symbols, uint32_t count) {
    return take_levels_of_kind(coder, symbols, count);
}
#endif

uint32_t sqzi_context_take(sqz_context *coder, uint16_t *symbols, uint32_t count) {
#ifdef SQZI_AVX2
    if (sqzi_has_avx2()) {
        return take_levels_avx2(coder, symbols, count);
    }
#endif
#ifdef __AVX2__
    return take_levels_of_kind(coder, symbols, count);
#else
    return take_levels(coder, symbols, count, ANY);
#endif
}

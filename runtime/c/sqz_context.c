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

enum {
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
    MAX_STATE = 4095
};

/* A column of the matrix: its running mean, its trellis state, and its levels. */
typedef struct column {
    uint32_t mean_and_state; /* mean times 4,096, plus the state */
    int8_t level;            /* the last one decoded, clipped to 127 */
    int8_t above;            /* the magnitude of the one before, clipped to 127 */
    int8_t sum_of_4, sum_of_16; /* of the last levels, clipped to 3 */
    uint8_t history[HISTORY / 2]; /* these levels; row r is nibble r mod 16 */
} column;

struct sqz_context {
    const uint8_t *begin, *at, *end;
    uint64_t width; /* W */
    uint32_t x;     /* X */
    uint32_t over;  /* bytes taken beyond the end */

    uint32_t rows, columns, taps, kernel_width;
    uint32_t row, column, tap; /* of the next level */
    uint32_t levels;           /* number of levels before, up to 253 */
    uint32_t order;            /* of prediction, 0 without it */
    int32_t mean, row_mean, total_mean, near_sum, power, prediction_scale;
    unsigned unit_bits, quantizers; /* quantizers: 1, or 2 with the trellis */
    int32_t inputs[SIGN_INPUTS];

    /* Tables in the workspace. */
    int64_t (*size_weights)[SIZE_INPUTS]; /* [UNARY * 2] */
    int64_t (*sign_weights)[2];           /* [kinds] */
    int64_t (*regression)[SIGN_INPUTS];   /* [kinds] */
    uint32_t *means, *neighborhoods, *certainties, *signs, *escapes, *digits;
    column *of_column;
    uint16_t *rates; /* by N */
    int16_t *logits; /* by P >> 10 */
    int16_t *predictors; /* [columns][order] */
    int8_t *values;      /* [columns], clipped to 15 */
    uint32_t neighborhood_count;
};

static inline int32_t clip(int32_t number, int32_t minimum, int32_t maximum) {
    return number < minimum ? minimum : number > maximum ? maximum : number;
}

static inline uint32_t lower(uint32_t left, uint32_t right) {
    return left < right ? left : right;
}

/* ---- 1. "The range decoder", "The end of the bits" ---- */

static inline uint32_t take_byte(sqz_context *coder) {
    if (coder->at < coder->end) {
        return *coder->at++;
    }
    coder->over++;
    return 0;
}

static void begin_bits(sqz_context *coder, sqz_span span) {
    int i;
    coder->begin = coder->at = span.begin;
    coder->end = span.end;
    coder->width = (uint64_t)1 << 32;
    for (i = 0; i < 4; i++) {
        coder->x = coder->x << 8 | take_byte(coder);
    }
}

static inline uint32_t take_bit(sqz_context *coder, uint32_t probability) {
    uint32_t bound = (uint32_t)(coder->width >> 16) * probability, bit = coder->x < bound;
    if (bit) {
        coder->width = bound;
    } else {
        coder->x -= bound;
        coder->width -= bound;
    }
    while (coder->width < 1u << 24) {
        coder->x = coder->x << 8 | take_byte(coder);
        coder->width <<= 8;
    }
    return bit;
}

/* j = 4 is always possible. */
int sqzi_context_ends(const sqz_context *coder) {
    size_t length = (size_t)(coder->end - coder->begin), settled = (size_t)(coder->at - coder->begin) + coder->over - 4;
    uint32_t z = 0, s;
    uint64_t share = (uint64_t)1 << 32, first = 0;
    size_t i;
    if (coder->over > 4) {
        return 0;
    }
    for (i = settled; i < settled + 4; i++) {
        z = z << 8 | (i < length ? coder->begin[i] : 0u);
    }
    s = z - coder->x;
    for (i = 0; i <= 4; i++, share >>= 8) {
        first = (s + share - 1) & ~(share - 1);
        if (first + share <= s + coder->width) {
            break;
        }
    }
    return length == settled + i && z == (first & 0xFFFFFFFFu);
}

/* ---- 2. "Logits" ---- */

static inline int32_t sigmoid(int32_t logit) {
    static const uint16_t knots[17] = {22,   36,   60,   98,   162,  267,   439,   720,  1179,
                                       1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768};
    int32_t i = (logit + 2048) >> 7, f = (logit + 2048) & 127;
    int32_t low = i <= 16 ? knots[i] : 65536 - knots[32 - i], high = i < 16 ? knots[i + 1] : 65536 - knots[31 - i];
    return (low * (128 - f) + high * f + 64) >> 7;
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

static inline void update(const sqz_context *coder, uint32_t *adaptive, uint32_t bit) {
    uint32_t n = *adaptive & MAX_UPDATES;
    int32_t p = (int32_t)(*adaptive >> 8);
    p += (int32_t)(((int64_t)((int32_t)(bit << 22) - p) * coder->rates[n]) >> 16);
    *adaptive = (uint32_t)p << 8 | (n < MAX_UPDATES ? n + 1 : n);
}

static inline uint32_t take_adaptive(sqz_context *coder, uint32_t *adaptive) {
    uint32_t bit = take_bit(coder, (uint32_t)clip((int32_t)(*adaptive >> 14), 32, 65504));
    update(coder, adaptive, bit);
    return bit;
}

static inline int32_t logit_of(const sqz_context *coder, uint32_t adaptive) {
    return coder->logits[adaptive >> 18];
}

static inline int32_t mixed(int64_t sum) {
    sum >>= 16;
    return sum < -MAX_LOGIT ? -MAX_LOGIT : sum > MAX_LOGIT ? MAX_LOGIT : (int32_t)sum;
}

static inline void learn(int64_t *weight, int32_t input, int32_t error) {
    *weight += ((int64_t)input * error + (1 << 17)) >> 18;
}

/* Takes a bit with a mixer of `count` adaptive probabilities and a given logit. */
static uint32_t take_mixed(sqz_context *coder, uint32_t *const *adaptive, unsigned count, int32_t logit,
                           int64_t *weights) {
    int32_t inputs[SIZE_INPUTS], probability, error;
    int64_t sum = logit * weights[count];
    uint32_t bit;
    unsigned i;
    for (i = 0; i < count; i++) {
        inputs[i] = logit_of(coder, *adaptive[i]);
        sum += inputs[i] * weights[i];
    }
    inputs[count] = logit;
    probability = clip(sigmoid(mixed(sum)), 32, 65504);
    bit = take_bit(coder, (uint32_t)probability);
    error = 6 * ((int32_t)(bit << 16) - probability);
    for (i = 0; i <= count; i++) {
        learn(weights + i, inputs[i], error);
    }
    for (i = 0; i < count; i++) {
        update(coder, adaptive[i], bit);
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

static uint32_t plane_of(const sqz_context *coder, uint32_t d, uint32_t quantizer) {
    return coder->quantizers == 1 ? d : d < 2 ? 2 * d + quantizer : d + 2;
}

static uint32_t certainties_of(unsigned quantizers) {
    return FIRST_CERTAINTIES * quantizers + CERTAINTIES * (planes_of(quantizers) - quantizers);
}

static uint32_t digits_of(unsigned unit_bits) {
    return unit_bits ? (uint32_t)UNIT_KINDS << unit_bits : 0;
}

static uint32_t order_of(const sqz_shape *shape) {
    uint64_t per_row = 4 * (uint64_t)shape->rows;
    uint32_t order = lower(shape->columns, MAX_ORDER);
    return per_row < order ? (uint32_t)per_row : order;
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
    coder->neighborhood_count = neighborhoods_of(shape);
    coder->size_weights = take_table(tables, &taken, 2 * UNARY * sizeof *coder->size_weights);
    coder->sign_weights = take_table(tables, &taken, kinds * sizeof *coder->sign_weights);
    coder->regression = take_table(tables, &taken, kinds * sizeof *coder->regression);
    coder->means = take_table(tables, &taken, 4u * MEAN_CONTEXTS * MEAN_CONTEXTS * planes);
    coder->neighborhoods = take_table(tables, &taken, 4u * coder->neighborhood_count * planes);
    coder->certainties = take_table(tables, &taken, 4u * certainties_of(coder->quantizers));
    coder->signs = take_table(tables, &taken, 4u * SIGN_CONTEXTS * kinds);
    coder->escapes = take_table(tables, &taken, 4u * ESCAPES);
    coder->digits = take_table(tables, &taken, 4u * digits_of(coder->unit_bits));
    coder->rates = take_table(tables, &taken, (MAX_UPDATES + 1) * sizeof *coder->rates);
    coder->logits = take_table(tables, &taken, LOGITS * sizeof *coder->logits);
    coder->of_column = take_table(tables, &taken, (uint64_t)shape->columns * sizeof *coder->of_column);
    if (coder->order) {
        coder->predictors = take_table(tables, &taken, 2 * (uint64_t)shape->columns * coder->order);
        coder->values = take_table(tables, &taken, shape->columns);
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

static void begin_row(sqz_context *coder) {
    coder->column = coder->tap = 0;
    coder->row_mean = coder->mean;
    coder->near_sum = 0;
    coder->power = (int32_t)(100u * (uint64_t)coder->mean * (uint64_t)coder->mean >> 16);
    coder->power = coder->power > 1 ? coder->power : 1;
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
        memset(coder->predictors, 0, 2 * (size_t)shape->columns * coder->order);
    }
    begin_row(coder);
    return coder;
}

/* ---- 5. "Contexts", "Mean magnitudes" ---- */

static int32_t log_of(int32_t number) {
    int32_t q = 0, left = number;
    for (; left >= 256; left >>= 8) {
        q += 8;
    }
    q += left >= 16 ? 4 : 0;
    left >>= left >= 16 ? 4 : 0;
    q += left >= 8 ? 3 : left >= 4 ? 2 : left >= 2;
    return 8 * q + (int32_t)((8 * (int64_t)number >> q) & 7);
}

static int32_t updated_mean(const sqz_context *coder, int32_t mean, int32_t magnitude, uint32_t n) {
    int32_t change = 256 * clip(magnitude, 0, 4095) - mean;
    return mean + (int32_t)(((int64_t)change * coder->rates[n]) >> 16);
}

/* Returns a level of this row, `back` columns before; 0 before the first. */
static int32_t level_before(const sqz_context *coder, uint32_t back) {
    return back > coder->column ? 0 : coder->of_column[coder->column - back].level;
}

static int32_t magnitude_of(int32_t level) {
    return level < 0 ? -level : level;
}

static int32_t sign_of(int32_t level) {
    return (level > 0) - (level < 0);
}

static uint32_t neighborhood_of(const sqz_context *coder, const column *here) {
    uint32_t tap = coder->tap, seen = lower(tap, TAPS_BEFORE);
    if (tap == 0) {
        int32_t sum = 4 * magnitude_of(here->level) + 3 * here->above;
        return (uint32_t)clip(log_of(sum + 4 * magnitude_of(level_before(coder, coder->taps)) + 1), 0, 63);
    }
    return FIRST_TAP_NEIGHBORHOODS + TAP_NEIGHBORHOODS * (lower(tap, 15) - 1) +
           (uint32_t)clip(log_of(16 * coder->near_sum / (int32_t)seen + 4), 0, 63) - MIN_TAP_NEIGHBORHOOD;
}

/* The context of step 2: three signs, in the order of kinds of taps. */
static uint32_t sign_context_of(const sqz_context *coder) {
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

/* Fills the inputs of the sign logit, except the prediction, and returns it. */
static int32_t sign_logit_of(sqz_context *coder, const column *here, const int64_t *weights) {
    int32_t *inputs = coder->inputs;
    int64_t sum = 0;
    uint32_t i, seen = lower(coder->tap, TAPS_BEFORE);
    for (i = 0; i < seen; i++) {
        inputs[i] = 256 * clip(here[-1 - (ptrdiff_t)i].level, -3, 3);
        sum += inputs[i] * weights[i];
    }
    inputs[8] = 256 * clip(here->level, -3, 3);
    inputs[9] = 128 * here->sum_of_4;
    inputs[10] = 64 * here->sum_of_16;
    inputs[11] = 256 * clip(level_before(coder, coder->taps), -3, 3);
    for (i = TAPS_BEFORE; i < SIGN_INPUTS; i++) {
        sum += inputs[i] * weights[i];
    }
    return mixed(sum);
}

/* A level of the history, clipped to 3, `rows` above the present row; 0 before the first row. */
static int32_t history_at(const column *here, uint32_t row) {
    int32_t nibble = here->history[row % HISTORY / 2] >> (row % 2 * 4) & 15;
    return (nibble ^ 8) - 8;
}

/* Adds the level of the present row to the column's levels. */
static void store_level(const sqz_context *coder, column *here, int32_t level) {
    uint32_t row = coder->row, shift = row % 2 * 4;
    uint8_t *pair = here->history + row % HISTORY / 2;
    int32_t value = clip(level, -3, 3);
    here->sum_of_4 = (int8_t)(here->sum_of_4 + value - history_at(here, row + HISTORY - 4));
    here->sum_of_16 = (int8_t)(here->sum_of_16 + value - history_at(here, row));
    *pair = (uint8_t)((*pair & ~(15u << shift)) | ((uint32_t)value & 15u) << shift);
    here->above = (int8_t)magnitude_of(here->level);
    here->level = (int8_t)clip(level, -127, 127);
}

/* ---- 6. "Prediction" ---- */

/* At most 1,024 products of 15 and a weight: 29 bits. */
INLINE int32_t product_of(const int16_t *weights, const int8_t *values, uint32_t count) {
    int32_t sum = 0;
    uint32_t i;
    for (i = 0; i < count; i++) {
        sum += weights[i] * values[i];
    }
    return sum;
}

INLINE void add_multiple(int16_t *weights, const int8_t *values, uint32_t count, int32_t step) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        weights[i] = (int16_t)clip(weights[i] + ((step * values[i] + 32) >> 6), -32767, 32767);
    }
}

#ifdef SQZI_AVX2
SQZI_AVX2 static int32_t wide_product_of(const int16_t *weights, const int8_t *values, uint32_t count) {
    return product_of(weights, values, count);
}

SQZI_AVX2 static void wide_add_multiple(int16_t *weights, const int8_t *values, uint32_t count, int32_t step) {
    add_multiple(weights, values, count, step);
}
#else
#define wide_product_of product_of
#define wide_add_multiple add_multiple
#endif

static int32_t predict(const sqz_context *coder) {
    uint32_t order = lower(coder->column, coder->order);
    const int16_t *weights = coder->predictors + (size_t)coder->column * coder->order;
    const int8_t *values = coder->values + coder->column - order;
    return sqzi_has_avx2() ? wide_product_of(weights, values, order) : product_of(weights, values, order);
}

/* Updates the weights of the present column, which have the order of the levels that they belong to: a(n) first. */
static void teach(sqz_context *coder, int32_t level, int32_t prediction) {
    uint32_t order = lower(coder->column, coder->order);
    int16_t *weights = coder->predictors + (size_t)coder->column * coder->order;
    int8_t *values = coder->values + coder->column - order;
    int32_t value = clip(level, -15, 15), error = 16384 * value - prediction, step;
    int64_t size = (int64_t)magnitude_of(error) * 77 / (4 * (int64_t)coder->power);
    step = size > 32767 ? 32767 : (int32_t)size;
    step = error < 0 ? -step : step;
    if (sqzi_has_avx2()) {
        wide_add_multiple(weights, values, order, step);
    } else {
        add_multiple(weights, values, order, step);
    }
    coder->power += value * value - (order == coder->order ? values[0] * values[0] : 0);
    values[order] = (int8_t)value;
}

/* ---- 7. "A level", "The trellis" ---- */

static uint32_t parity(uint32_t bits) {
    bits ^= bits >> 8;
    bits ^= bits >> 4;
    return 0x6996u >> (bits & 15) & 1;
}

/* Steps 1 and 2 need these contexts; `mean` is the pair of contexts of row and column. */
typedef struct size_contexts {
    uint32_t mean, neighborhood, scale, quantizer;
    int32_t logit, sign_logit;
} size_contexts;

/* Decodes "larger?" number d of step 1, with a context of certainty. */
static uint32_t take_larger(sqz_context *coder, const size_contexts *contexts, uint32_t d, uint32_t certainty) {
    uint32_t plane = plane_of(coder, d, contexts->quantizer), mixer = (coder->tap ? UNARY : 0) + d;
    uint32_t *adaptive[3];
    adaptive[0] = coder->means + MEAN_CONTEXTS * MEAN_CONTEXTS * plane + contexts->mean;
    adaptive[1] = coder->neighborhoods + coder->neighborhood_count * plane + contexts->neighborhood;
    adaptive[2] = coder->certainties + certainty * SCALES + contexts->scale;
    adaptive[2] += d == 0 ? FIRST_CERTAINTIES * plane
                          : FIRST_CERTAINTIES * coder->quantizers + CERTAINTIES * (plane - coder->quantizers);
    return take_mixed(coder, adaptive, 3, contexts->logit, coder->size_weights[mixer]);
}

/* Step 2. */
static uint32_t take_sign(sqz_context *coder, int32_t sign_logit, uint32_t kind) {
    uint32_t *adaptive = coder->signs + sign_context_of(coder), positive, i;
    int64_t *weights = coder->regression[kind];
    int32_t error;
    positive = take_mixed(coder, &adaptive, 1, sign_logit, coder->sign_weights[kind]);
    error = 10 * ((int32_t)(positive << 16) - sigmoid(sign_logit));
    for (i = 0; i < SIGN_INPUTS; i++) {
        if (i < coder->tap || i >= TAPS_BEFORE) {
            learn(weights + i, coder->inputs[i], error);
        }
    }
    return positive;
}

/* Step 3. */
static uint32_t take_escape(sqz_context *coder, uint32_t scale) {
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
static uint32_t take_digits(sqz_context *coder, uint32_t units) {
    uint32_t *digits = coder->digits + ((size_t)(lower(units, UNIT_KINDS) - 1) << coder->unit_bits), number = 1;
    unsigned i;
    for (i = 0; i < coder->unit_bits; i++) {
        number = 2 * number + take_adaptive(coder, digits + number);
    }
    return ((units - 2) << coder->unit_bits) + number + 1; /* `number` has a further 1 in front */
}

/* Steps 1 to 4: returns the magnitude of an index, and sets its sign. */
static uint32_t take_magnitude(sqz_context *coder, const size_contexts *contexts, uint32_t *positive) {
    uint32_t d = 0, certainty = lower((uint32_t)magnitude_of(contexts->sign_logit) / 100, 7);
    while (d < UNARY && take_larger(coder, contexts, d, certainty)) {
        if (d++ == 0) {
            int32_t agreement = contexts->sign_logit;
            *positive = take_sign(coder, agreement, lower(coder->tap, TAP_KINDS - 1));
            agreement = (*positive ? agreement : -agreement) + 800;
            certainty = agreement < 0 ? 0 : lower((uint32_t)agreement / 100, 15);
        }
    }
    if (d == UNARY) {
        d = UNARY - 1 + take_escape(coder, contexts->scale);
    }
    return coder->unit_bits && d ? take_digits(coder, d) : d;
}

/* Goes to the next column, or to the next row. */
static void advance(sqz_context *coder) {
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
static void finish_level(sqz_context *coder, column *here, uint32_t state, int32_t level) {
    int32_t mean = (int32_t)(here->mean_and_state >> 12), magnitude = magnitude_of(level);
    coder->row_mean = updated_mean(coder, coder->row_mean, magnitude, lower(2 + coder->column, 70));
    mean = updated_mean(coder, mean, magnitude, lower(2 + coder->row, 70));
    here->mean_and_state = (uint32_t)mean << 12 | state;
    coder->total_mean = updated_mean(coder, coder->total_mean, magnitude, 2 + coder->levels);
    coder->levels += 2 + coder->levels < MAX_UPDATES;
    store_level(coder, here, level);
    coder->near_sum += magnitude_of(here->level);
    coder->near_sum -= coder->tap >= TAPS_BEFORE ? magnitude_of(here[-TAPS_BEFORE].level) : 0;
    advance(coder);
}

int32_t sqzi_context_next(sqz_context *coder) {
    column *here = coder->of_column + coder->column;
    uint32_t state = here->mean_and_state & MAX_STATE, kind = lower(coder->tap, TAP_KINDS - 1), positive = 0, index;
    int32_t row_log = log_of(coder->row_mean + MEAN_OFFSET), prediction = 0, expected, level;
    int32_t column_log = log_of((int32_t)(here->mean_and_state >> 12) + MEAN_OFFSET);
    size_contexts contexts;
    if (coder->order) {
        int64_t scaled = ((int64_t)(prediction = predict(coder)) * coder->prediction_scale) >> 16;
        coder->inputs[PREDICTION] = scaled < -2000 ? -2000 : scaled > 2000 ? 2000 : (int32_t)scaled;
    }
    expected = clip(row_log + column_log - log_of(coder->total_mean + MEAN_OFFSET), 0, 255);
    contexts.mean = (uint32_t)(MEAN_CONTEXTS * (clip(row_log / 5, 0, 24) - MIN_MEAN_CONTEXT) +
                               clip(column_log / 5, 0, 24) - MIN_MEAN_CONTEXT);
    contexts.neighborhood = neighborhood_of(coder, here);
    contexts.scale = lower((uint32_t)expected / 4, SCALES - 1);
    contexts.quantizer = coder->quantizers == 1 ? 0 : parity(state & 0x609u);
    contexts.logit = 22 * (expected - 64 - 8 * (int32_t)coder->unit_bits);
    contexts.sign_logit = sign_logit_of(coder, here, coder->regression[kind]);
    index = take_magnitude(coder, &contexts, &positive);
    level = (int32_t)index;
    if (coder->quantizers == 2) {
        level = 2 * level - (level ? (int32_t)contexts.quantizer : 0);
        state = (2 * state + ((index & 1) ^ parity(state & 0xD52u))) & MAX_STATE;
    }
    level = positive ? level : -level;
    if (level > 32768 || level < -32767 || coder->over > 4) {
        return -1;
    }
    if (coder->order) {
        teach(coder, level, prediction);
    }
    finish_level(coder, here, state, level);
    return level > 0 ? 2 * level - 1 : -2 * level;
}

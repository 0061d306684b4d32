/* Operations on activations: sqz_operators.h describes them. */
#include "sqz_operators.h"

#include "sqz_internal.h"

#include <math.h>
#include <string.h>

/* ---- Convolution ---- */

/* What all tiles of a block have in common. `run` weights follow one another in the input, in `taps` places of each of
 * `rows` rows. */
typedef struct tile_job {
    const float *weights;
    unsigned rows, taps, run, channels;
    size_t row_step, tap_step, pixel_step, out_step; /* floats */
    int relu, depthwise;
} tile_job;

enum { DEPTHWISE = 16 }; /* more than PIXELS of any tile */

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define UNROLL _Pragma("GCC unroll 16")
#else
#define UNROLL
#endif

/* GCC copies the body of a loop of up to SQZ_BLOCK steps that often, which makes it no faster. */
#if defined(__GNUC__) && !defined(__clang__)
#define ROLLED _Pragma("GCC unroll 1")
#else
#define ROLLED
#endif

/* The widest vectors that the compiler may use, and tiles that fill the registers. */
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ == 2 /* x87: no product of a vector and a number */
#define LANES 1
#define PIXELS 1
#elif defined(__GNUC__) && defined(__AVX512F__)
#define LANES 16
#define PIXELS 12
#elif defined(__GNUC__) && defined(__AVX2__)
#define LANES 8
#define PIXELS 6
#elif defined(__GNUC__) && defined(__aarch64__)
#define LANES 4
#define PIXELS 6
#elif defined(__GNUC__) && defined(__wasm_simd128__) /* browsers on x86-64 keep a register for themselves */
#define LANES 4
#define PIXELS 2
#elif defined(__GNUC__) && (defined(__SSE2__) || defined(__ARM_NEON))
#define LANES 4
#define PIXELS 3
#else
#define LANES 1
#define PIXELS 1
#endif
#define TARGET
#define NAME(function) base_##function
#include "sqz_tile.h"

#ifdef SQZI_AVX2
#define LANES 8
#define PIXELS 6
#define TARGET SQZI_AVX2
#define NAME(function) avx2_##function
#include "sqz_tile.h"
#else
#define avx2_row base_row
#endif

void sqz_convolve(const sqz_map *in, const sqz_map *out, const float *weights, const sqz_window *window, int depthwise,
                  sqz_activation activation) {
    int is_dense = in->pixel_step == in->channels && window->dilation[1] == 1 && !depthwise; /* a kernel row is a run */
    int wide = sqzi_has_avx2();
    uint32_t y;
    tile_job job;
    job.weights = weights;
    job.rows = window->kernel[0];
    job.taps = is_dense ? 1 : window->kernel[1];
    job.run = depthwise ? 1 : is_dense ? window->kernel[1] * in->channels : in->channels;
    job.channels = out->channels;
    job.row_step = window->dilation[0] * in->row_step;
    job.tap_step = window->dilation[1] * in->pixel_step;
    job.pixel_step = window->stride[1] * in->pixel_step;
    job.out_step = out->pixel_step;
    job.relu = activation.kind == SQZ_RELU;
    job.depthwise = depthwise;
    for (y = 0; y < out->height; y++) {
        const float *from = in->at - window->padding[0] * in->row_step - window->padding[1] * in->pixel_step;
        (wide ? avx2_row : base_row)(&job, from + y * (size_t)window->stride[0] * in->row_step,
                                     out->at + y * out->row_step, out->width);
    }
    if (!job.relu) {
        sqz_activate(out, activation);
    }
}

/* ---- Pools ---- */

static float *pixel(const sqz_map *map, uint32_t y, uint32_t x) {
    return map->at + y * map->row_step + x * map->pixel_step;
}

/* Pixels of the input in a window, from `begin` up to `end` along one axis. */
typedef struct extent {
    uint32_t begin, end;
} extent;

static extent clip(const sqz_window *window, int axis, uint32_t position, uint32_t limit) {
    uint32_t start = position * window->stride[axis], end = start + window->kernel[axis];
    uint32_t padding = window->padding[axis];
    extent clipped;
    clipped.begin = start < padding ? 0 : start - padding;
    clipped.end = end < padding ? 0 : end - padding;
    clipped.end = clipped.end < limit ? clipped.end : limit;
    return clipped;
}

static void take_larger(float *restrict sums, const float *restrict x, uint32_t channels) {
    uint32_t c;
    for (c = 0; c < channels; c++) {
        sums[c] = x[c] < sums[c] ? sums[c] : x[c];
    }
}

/* Average pixels in blocks of channels. The sums are compensated (Kahan 1965): on a large map of nearly equal numbers, all
 * roundings of a plain sum may go in one direction. */
static void average(const sqz_map *in, extent rows, extent columns, float count, float *to) {
    uint32_t first, i, j, c;
    for (first = 0; first < in->channels; first += SQZ_BLOCK) {
        uint32_t channels = in->channels - first < SQZ_BLOCK ? in->channels - first : SQZ_BLOCK;
        float sums[SQZ_BLOCK] = {0}, excess[SQZ_BLOCK] = {0};
        for (i = rows.begin; i < rows.end; i++) {
            for (j = columns.begin; j < columns.end; j++) {
                const float *x = pixel(in, i, j) + first;
                ROLLED for (c = 0; c < channels; c++) {
                    float next = x[c] - excess[c], sum = sums[c] + next;
                    excess[c] = sum - sums[c] - next;
                    sums[c] = sum;
                }
            }
        }
        ROLLED for (c = 0; c < channels; c++) {
            to[first + c] = sums[c] / count;
        }
    }
}

void sqz_max_pool(const sqz_map *in, const sqz_map *out, const sqz_window *window) {
    uint32_t y, x, i, j;
    for (y = 0; y < out->height; y++) {
        extent rows = clip(window, 0, y, in->height);
        for (x = 0; x < out->width; x++) {
            extent columns = clip(window, 1, x, in->width);
            float *to = pixel(out, y, x);
            memcpy(to, pixel(in, rows.begin, columns.begin), out->channels * sizeof *to);
            for (i = rows.begin; i < rows.end; i++) {
                for (j = columns.begin; j < columns.end; j++) {
                    take_larger(to, pixel(in, i, j), out->channels);
                }
            }
        }
    }
}

void sqz_average_pool(const sqz_map *in, const sqz_map *out, const sqz_window *window, int counts_padding) {
    uint32_t y, x;
    for (y = 0; y < out->height; y++) {
        extent rows = clip(window, 0, y, in->height);
        for (x = 0; x < out->width; x++) {
            extent columns = clip(window, 1, x, in->width);
            float count = (float)window->kernel[0] * (float)window->kernel[1];
            if (!counts_padding) {
                count = (float)(rows.end - rows.begin) * (float)(columns.end - columns.begin);
            }
            average(in, rows, columns, count, pixel(out, y, x));
        }
    }
}

/* ---- Each element ---- */

static void combine(sqz_pairing pairing, const float *restrict a, const float *restrict b, float *restrict to,
                    uint32_t count) {
    uint32_t i;
    switch (pairing) {
    case SQZ_SUM:
        for (i = 0; i < count; i++) {
            to[i] = a[i] + b[i];
        }
        break;
    case SQZ_PRODUCT:
        for (i = 0; i < count; i++) {
            to[i] = a[i] * b[i];
        }
        break;
    case SQZ_DIFFERENCE:
        for (i = 0; i < count; i++) {
            to[i] = a[i] - b[i];
        }
        break;
    case SQZ_QUOTIENT:
        for (i = 0; i < count; i++) {
            to[i] = a[i] / b[i];
        }
        break;
    case SQZ_SLOPES:
        for (i = 0; i < count; i++) {
            to[i] = a[i] < 0 ? b[i] * a[i] : a[i];
        }
        break;
    }
}

/* A map whose only pixel is in all places. */
static sqz_map spread(const sqz_map *map) {
    sqz_map everywhere = *map;
    if (map->height == 1 && map->width == 1) {
        everywhere.pixel_step = everywhere.row_step = 0;
    }
    return everywhere;
}

void sqz_combine(sqz_pairing pairing, const sqz_map *left, const sqz_map *right, const sqz_map *out) {
    sqz_map a = spread(left), b = spread(right);
    uint32_t y, x;
    for (y = 0; y < out->height; y++) {
        for (x = 0; x < out->width; x++) {
            combine(pairing, pixel(&a, y, x), pixel(&b, y, x), pixel(out, y, x), out->channels);
        }
    }
}

void sqz_copy(const sqz_map *in, const sqz_map *out) {
    uint32_t y, x;
    for (y = 0; y < out->height; y++) {
        for (x = 0; x < out->width; x++) {
            memcpy(pixel(out, y, x), pixel(in, y, x), out->channels * sizeof(float));
        }
    }
}

void sqz_copy_channels(const sqz_map *in, const sqz_map *out, uint32_t first, uint32_t groups) {
    uint32_t step = out->channels / groups, y, x, c, i;
    for (y = 0; y < out->height; y++) {
        for (x = 0; x < out->width; x++) {
            const float *from = pixel(in, y, x) + first;
            float *to = pixel(out, y, x);
            for (c = i = 0; c < out->channels; c++) {
                to[c] = from[i];
                i += step;
                i -= i < out->channels ? 0 : out->channels - 1; /* to the next channel of the first group */
            }
        }
    }
}

void sqz_pad(const sqz_map *in, const sqz_map *out, uint32_t top, uint32_t left, uint32_t first) {
    sqz_map inner = *in;
    uint32_t y, x;
    for (y = 0; y < out->height; y++) {
        for (x = 0; x < out->width; x++) {
            memset(pixel(out, y, x), 0, out->channels * sizeof(float));
        }
    }
    inner.at = pixel(out, top, left) + first;
    inner.pixel_step = out->pixel_step;
    inner.row_step = out->row_step;
    sqz_copy(in, &inner);
}

static float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

/* x times the normal distribution function, as Abramowitz and Stegun 7.1.26: its error is below 8e-8. */
static float gelu(float x) {
    float size = fabsf(x), t = 1.0f / (1.0f + 0.231641889f * size);
    float series = ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f) * t;
    float tail = 0.5f * series * expf(-0.5f * x * x);
    return x * (x < 0 ? tail : 1 - tail);
}

/* x tanh(ln(1 + e^x)). */
static float mish(float x) {
    float power = expf(x < 20 ? x : 20), n = power * (power + 2);
    return x * (n / (n + 2));
}

/* Activations that need an exponential. */
static float curve(float x, sqz_activation activation) {
    switch (activation.kind) {
    case SQZ_SIGMOID: return sigmoid(x);
    case SQZ_SWISH: return x * sigmoid(x);
    case SQZ_TANH: return 2 * sigmoid(2 * x) - 1;
    case SQZ_ELU: return x < 0 ? activation.first * (expf(x) - 1) : x;
    case SQZ_GELU: return gelu(x);
    case SQZ_GELU_TANH: return x * sigmoid(1.5957691f * (x + 0.044715f * x * x * x));
    default: return mish(x);
    }
}

static float clipped(float x, float minimum, float maximum) {
    return x < minimum ? minimum : x > maximum ? maximum : x;
}

static void limit(float *x, uint32_t count, float minimum, float maximum) {
    uint32_t i;
    for (i = 0; i < count; i++) {
        x[i] = clipped(x[i], minimum, maximum);
    }
}

static void activate(float *x, uint32_t count, sqz_activation activation) {
    float first = activation.first, second = activation.second;
    uint32_t i;
    switch (activation.kind) {
    case SQZ_RELU: limit(x, count, 0, INFINITY); break;
    case SQZ_RELU6: limit(x, count, 0, 6); break;
    case SQZ_CLIP: limit(x, count, first, second); break;
    case SQZ_HARDSWISH:
        for (i = 0; i < count; i++) {
            x[i] *= clipped(x[i] + 3, 0, 6) / 6;
        }
        break;
    case SQZ_HARDSIGMOID:
        for (i = 0; i < count; i++) {
            x[i] = clipped(x[i] + 3, 0, 6) / 6;
        }
        break;
    case SQZ_LEAKY_RELU:
        for (i = 0; i < count; i++) {
            x[i] = x[i] < 0 ? first * x[i] : x[i];
        }
        break;
    case SQZ_SCALE:
        for (i = 0; i < count; i++) {
            x[i] = first * x[i] + second;
        }
        break;
    default:
        for (i = 0; i < count; i++) {
            x[i] = curve(x[i], activation);
        }
    }
}

void sqz_activate(const sqz_map *map, sqz_activation activation) {
    uint32_t y, x;
    for (y = 0; activation.kind != SQZ_IDENTITY && y < map->height; y++) {
        for (x = 0; x < map->width; x++) {
            activate(pixel(map, y, x), map->channels, activation);
        }
    }
}

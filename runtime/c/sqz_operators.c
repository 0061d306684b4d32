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

/* The widest vectors that the compiler may use, and tiles that fill the registers. */
#if defined(__GNUC__) && defined(__AVX512F__)
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

static void take_larger(float *sums, const float *x, uint32_t channels) {
    uint32_t c;
    for (c = 0; c < channels; c++) {
        sums[c] = x[c] < sums[c] ? sums[c] : x[c];
    }
}

static void add(float *sums, const float *x, uint32_t channels) {
    uint32_t c;
    for (c = 0; c < channels; c++) {
        sums[c] += x[c];
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
    uint32_t y, x, i, j, c;
    for (y = 0; y < out->height; y++) {
        extent rows = clip(window, 0, y, in->height);
        for (x = 0; x < out->width; x++) {
            extent columns = clip(window, 1, x, in->width);
            float *to = pixel(out, y, x), count = (float)window->kernel[0] * (float)window->kernel[1];
            if (!counts_padding) {
                count = (float)(rows.end - rows.begin) * (float)(columns.end - columns.begin);
            }
            memset(to, 0, out->channels * sizeof *to);
            for (i = rows.begin; i < rows.end; i++) {
                for (j = columns.begin; j < columns.end; j++) {
                    add(to, pixel(in, i, j), out->channels);
                }
            }
            for (c = 0; c < out->channels; c++) {
                to[c] /= count;
            }
        }
    }
}

/* ---- Each element ---- */

/* The pixel of the second input of a sum or product. */
static const float *second_pixel(const sqz_map *map, uint32_t y, uint32_t x) {
    return map->height == 1 && map->width == 1 ? map->at : pixel(map, y, x);
}

void sqz_sum(const sqz_map *left, const sqz_map *right, const sqz_map *out) {
    uint32_t y, x;
    sqz_copy(left, out);
    for (y = 0; y < out->height; y++) {
        for (x = 0; x < out->width; x++) {
            add(pixel(out, y, x), second_pixel(right, y, x), out->channels);
        }
    }
}

void sqz_product(const sqz_map *left, const sqz_map *right, const sqz_map *out) {
    uint32_t y, x, c;
    for (y = 0; y < out->height; y++) {
        for (x = 0; x < out->width; x++) {
            const float *a = pixel(left, y, x), *b = second_pixel(right, y, x);
            float *to = pixel(out, y, x);
            for (c = 0; c < out->channels; c++) {
                to[c] = a[c] * b[c];
            }
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

static float clipped(float x, float maximum) {
    return x < 0 ? 0 : x > maximum ? maximum : x;
}

static float sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

static void activate(float *x, uint32_t count, sqz_activation activation) {
    uint32_t i;
    switch (activation.kind) {
    case SQZ_RELU:
        for (i = 0; i < count; i++) {
            x[i] = x[i] < 0 ? 0 : x[i];
        }
        break;
    case SQZ_RELU6:
        for (i = 0; i < count; i++) {
            x[i] = clipped(x[i], 6);
        }
        break;
    case SQZ_HARDSWISH:
        for (i = 0; i < count; i++) {
            x[i] *= clipped(x[i] + 3, 6) / 6;
        }
        break;
    case SQZ_HARDSIGMOID:
        for (i = 0; i < count; i++) {
            x[i] = clipped(x[i] + 3, 6) / 6;
        }
        break;
    case SQZ_SIGMOID:
        for (i = 0; i < count; i++) {
            x[i] = sigmoid(x[i]);
        }
        break;
    case SQZ_SWISH:
        for (i = 0; i < count; i++) {
            x[i] *= sigmoid(x[i]);
        }
        break;
    case SQZ_TANH:
        for (i = 0; i < count; i++) {
            x[i] = 2 * sigmoid(2 * x[i]) - 1;
        }
        break;
    case SQZ_LEAKY_RELU:
        for (i = 0; i < count; i++) {
            x[i] = x[i] < 0 ? activation.slope * x[i] : x[i];
        }
        break;
    case SQZ_SCALE:
        for (i = 0; i < count; i++) {
            x[i] = activation.slope * x[i] + activation.shift;
        }
        break;
    default: break;
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

/* From a photo to network input: docs/format.md, "Preprocessing". sqz_network.h describes its use.
 *
 * The resizing is that of Pillow 13, `Image.resize(..., BILINEAR)`: a triangle filter, as wide as the photo shrinks,
 * one direction after the other. Weights have 22 bits, and each direction rounds to 8 bits. Only the part of the result
 * that the network sees is computed.
 *
 * Horizontal first: rows that are resized along their length wait in a ring until the last output row that needs them.
 * Vertical first: rows of the photo are added up, and the sum is resized along its length. */
#include "sqz_operators.h"

#include <string.h>

enum { WEIGHT_BITS = 22, MAX_SIDE = 1 << 16 };

#define MAX_RESIZED_PIXELS 89478485u /* Pillow's limit, beyond which it suspects an attack */

/* One direction of the resizing: the output has `size` pixels, of which the network sees `seen`, from `first` on. */
typedef struct axis {
    uint32_t in, size, seen;
    int64_t first;
    double scale, support; /* input pixels to an output pixel; half the width of the filter */
    size_t most_taps;      /* input pixels that an output pixel depends on */
} axis;

static axis make_axis(uint32_t in, uint32_t size, uint32_t seen, int64_t first) {
    axis made;
    made.in = in;
    made.size = size;
    made.seen = seen;
    made.first = first;
    made.scale = (double)in / (double)size;
    made.support = made.scale < 1 ? 1 : made.scale;
    made.most_taps = 2 * (size_t)made.support + 3;
    return made;
}

/* Half of the difference, rounded to even, as Python's `round`. */
static int64_t center(int64_t outer, int64_t inner) {
    int64_t difference = outer - inner, half = (difference - (difference & 1)) / 2;
    return half + (difference & 1 & half);
}

/* Both directions, vertical first; 0 if the photo cannot be resized so. */
static int make_axes(const sqz_file *file, uint32_t height, uint32_t width, axis *axes) {
    uint64_t shorter = height < width ? height : width, rows = file->height, columns = file->width;
    if (height < 1 || width < 1 || height > MAX_SIDE || width > MAX_SIDE || rows < 1 || columns < 1) {
        return 0;
    }
    if (file->resize == 0) {
        axes[0] = make_axis(height, file->height, file->height, 0);
        axes[1] = make_axis(width, file->width, file->width, 0);
        return 1;
    }
    rows = file->short_side * (uint64_t)height / shorter;
    columns = file->short_side * (uint64_t)width / shorter;
    if (rows < 1 || columns < 1 || rows * columns > MAX_RESIZED_PIXELS) {
        return 0;
    }
    axes[0] = make_axis(height, (uint32_t)rows, file->height, center((int64_t)rows, file->height));
    axes[1] = make_axis(width, (uint32_t)columns, file->width, center((int64_t)columns, file->width));
    return 1;
}

/* Whether Pillow resizes vertically first: the height shrinks, and by more than twice as many pixels as the width.
 * Versions before 13 resize horizontally first; a few pixels then differ by 1. */
static int is_vertical_first(const axis *axes) {
    int64_t rows = (int64_t)axes[0].in - axes[0].size, columns = (int64_t)axes[1].in - axes[1].size;
    return rows > 0 && rows > 2 * columns;
}

/* The input pixels that an output pixel depends on, and their weights in units of 2^-22. `volatile` keeps a compiler
 * from fusing operations, which would change the rounding. */
typedef struct taps {
    uint32_t first, count;
    const int32_t *weights;
} taps;

static double triangle(double distance) {
    distance = distance < 0 ? -distance : distance;
    return distance < 1 ? 1 - distance : 0;
}

static double tap_weight(const axis *along, uint32_t tap, double middle) {
    volatile double distance = ((double)tap - middle + 0.5) * (1 / along->support);
    return triangle(distance);
}

static taps make_taps(const axis *along, uint32_t position, int32_t *weights) {
    volatile double middle = (position + 0.5) * along->scale;
    double begin = middle - along->support + 0.5, end = middle + along->support + 0.5, sum = 0;
    uint32_t first = begin < 0 ? 0 : (uint32_t)begin, last = end > along->in ? along->in : (uint32_t)end, i;
    taps made;
    for (i = first; i < last; i++) {
        sum += tap_weight(along, i, middle);
    }
    for (i = first; i < last; i++) {
        double weight = tap_weight(along, i, middle);
        weights[i - first] = (int32_t)(0.5 + (sum != 0 ? weight / sum : weight) * (1 << WEIGHT_BITS));
    }
    made.first = first;
    made.count = last - first;
    made.weights = weights;
    return made;
}

static uint8_t rounded(int32_t sum) {
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* The sum of `count` pixels times their weights, rounded to 8 bits. */
static uint8_t weighted(const taps *of, const uint8_t *pixels, size_t step) {
    int32_t sum = 1 << (WEIGHT_BITS - 1);
    uint32_t i;
    for (i = 0; i < of->count; i++, pixels += step) {
        sum += *pixels * of->weights[i];
    }
    return rounded(sum);
}

/* The state of a resizing. All memory is in the caller's workspace. */
typedef struct resizer {
    const sqz_photo *photo;
    axis axes[2];
    uint8_t order;         /* of channels: 0 RGB, 1 BGR, 2 L */
    uint8_t channels;      /* of the input */
    int vertical_first;
    int32_t *column_taps;  /* of each column: first, count, weights */
    int32_t *row_weights;  /* of one output row */
    int32_t *sums;         /* of weighted rows */
    uint8_t *line, *row;   /* a row of the photo, or one that is only resized vertically; an output row */
    uint8_t *ring;         /* horizontal first: resized rows of the photo, each at its number modulo most_taps */
    uint32_t rows_resized; /* rows of the photo before this one are in the ring, if they are needed */
} resizer;

static size_t tap_step(const axis *along) {
    return along->most_taps + 2;
}

/* Pixels of a sum of rows. */
static uint32_t sum_pixels(const axis *axes) {
    return is_vertical_first(axes) ? axes[1].in : axes[1].seen;
}

/* Bytes of the workspace: int32s, then bytes, rounded up to whole int32s, so that an arena has whole floats. */
static size_t workspace_bytes_of(const axis *axes, uint32_t channels) {
    uint64_t ints = (uint64_t)axes[1].seen * tap_step(&axes[1]) + axes[0].most_taps;
    uint64_t rows = is_vertical_first(axes) ? 1 : 1 + axes[0].most_taps;
    ints += (uint64_t)channels * sum_pixels(axes);
    ints += (channels * (axes[1].in + axes[1].seen * rows) + sizeof(int32_t) - 1) / sizeof(int32_t);
    return ints > SIZE_MAX / sizeof(int32_t) ? SIZE_MAX : (size_t)ints * sizeof(int32_t);
}

static uint32_t channels_of(const sqz_file *file) {
    return file->channels == 2 ? 1 : 3;
}

size_t sqz_preprocess_bytes(const sqz_file *file, uint32_t photo_height, uint32_t photo_width) {
    axis axes[2];
    return make_axes(file, photo_height, photo_width, axes) ? workspace_bytes_of(axes, channels_of(file)) : 0;
}

/* The taps of an output pixel; none beside the photo, which is black. */
static taps taps_at(const axis *along, uint32_t pixel, int32_t *weights) {
    int64_t position = along->first + pixel;
    taps none = {0, 0, NULL};
    return position >= 0 && position < along->size ? make_taps(along, (uint32_t)position, weights) : none;
}

static void begin_resizing(resizer *state, const sqz_file *file, const sqz_photo *photo, void *workspace) {
    const axis *across = &state->axes[1];
    uint32_t x;
    state->photo = photo;
    state->order = file->channels;
    state->channels = (uint8_t)channels_of(file);
    state->vertical_first = is_vertical_first(state->axes);
    state->column_taps = (int32_t *)workspace;
    state->row_weights = state->column_taps + across->seen * tap_step(across);
    state->sums = state->row_weights + state->axes[0].most_taps;
    state->line = (uint8_t *)(state->sums + (size_t)sum_pixels(state->axes) * state->channels);
    state->row = state->line + (size_t)across->in * state->channels;
    state->ring = state->row + (size_t)across->seen * state->channels;
    state->rows_resized = 0;
    for (x = 0; x < across->seen; x++) {
        int32_t *column = state->column_taps + x * tap_step(across);
        taps made = taps_at(across, x, column + 2);
        column[0] = (int32_t)made.first;
        column[1] = (int32_t)made.count;
    }
}

/* Convert a row of the photo to the network's channels. Gray is Pillow's: ITU-R 601 luma in 16 bits. */
static void read_line(resizer *state, uint32_t row) {
    const sqz_photo *photo = state->photo;
    const uint8_t *from = photo->pixels + row * photo->row_bytes;
    uint8_t *to = state->line;
    uint32_t x;
    for (x = 0; x < photo->width; x++, from += photo->channels, to += state->channels) {
        uint8_t red = from[0], green = photo->channels > 1 ? from[1] : red, blue = photo->channels > 1 ? from[2] : red;
        if (state->order == 2) {
            to[0] = (uint8_t)((19595u * red + 38470u * green + 7471u * blue + 0x8000u) >> 16);
        } else {
            to[0] = state->order ? blue : red;
            to[1] = green;
            to[2] = state->order ? red : blue;
        }
    }
}

/* Resize the line along its length. */
static void resize_line(const resizer *state, uint8_t *to) {
    const axis *across = &state->axes[1];
    uint32_t x, c;
    for (x = 0; x < across->seen; x++) {
        const int32_t *column = state->column_taps + x * tap_step(across);
        taps of;
        of.first = (uint32_t)column[0];
        of.count = (uint32_t)column[1];
        of.weights = column + 2;
        for (c = 0; c < state->channels; c++) {
            *to++ = weighted(&of, state->line + of.first * state->channels + c, state->channels);
        }
    }
}

static uint8_t *ring_row(const resizer *state, uint32_t row) {
    return state->ring + row % state->axes[0].most_taps * state->axes[1].seen * state->channels;
}

/* Bring the rows that an output row depends on into the ring. */
static void fill_ring(resizer *state, const taps *of) {
    state->rows_resized = state->rows_resized < of->first ? of->first : state->rows_resized;
    for (; state->rows_resized < of->first + of->count; state->rows_resized++) {
        read_line(state, state->rows_resized);
        resize_line(state, ring_row(state, state->rows_resized));
    }
}

/* Sum the weighted rows of an output row, and round the sums to `to`. */
static void sum_rows(resizer *state, const taps *of, uint8_t *to) {
    size_t count = (size_t)sum_pixels(state->axes) * state->channels, at;
    uint32_t i;
    for (at = 0; at < count; at++) {
        state->sums[at] = 1 << (WEIGHT_BITS - 1);
    }
    for (i = 0; i < of->count; i++) {
        const uint8_t *row = state->vertical_first ? state->line : ring_row(state, of->first + i);
        int32_t weight = of->weights[i];
        if (state->vertical_first) {
            read_line(state, of->first + i);
        }
        for (at = 0; at < count; at++) {
            state->sums[at] += row[at] * weight;
        }
    }
    for (at = 0; at < count; at++) {
        to[at] = rounded(state->sums[at]);
    }
}

/* Compute an output row. */
static void resize_row(resizer *state, uint32_t y) {
    taps of = taps_at(&state->axes[0], y, state->row_weights);
    if (state->vertical_first) {
        sum_rows(state, &of, state->line);
        resize_line(state, state->row);
    } else {
        fill_ring(state, &of);
        sum_rows(state, &of, state->row);
    }
}

static float number_of(const uint8_t *numbers, uint8_t count, uint32_t channel) {
    return (float)sqz_float64(numbers + 8 * (size_t)(count > 1 ? channel : 0));
}

/* Normalize an output row. */
static void write_row(const resizer *state, const sqz_file *file, float *to, size_t pixel_step) {
    float scale = (float)file->scale;
    uint32_t x, c;
    for (c = 0; c < state->channels; c++) {
        float mean = number_of(file->mean, file->mean_count, c), std = number_of(file->std, file->std_count, c);
        for (x = 0; x < state->axes[1].seen; x++) {
            to[x * pixel_step + c] = ((float)state->row[(size_t)x * state->channels + c] * scale - mean) / std;
        }
    }
}

static int fits_channels(const sqz_file *file, uint8_t count) {
    return count == 1 || count == channels_of(file);
}

static sqz_error check_photo(const sqz_file *file, const sqz_photo *photo) {
    if (!fits_channels(file, file->mean_count) || !fits_channels(file, file->std_count)) {
        return SQZ_BAD_NETWORK;
    }
    if (photo->channels != 1 && photo->channels != 3 && photo->channels != 4) {
        return SQZ_BAD_PHOTO;
    }
    return SQZ_OK;
}

sqz_error sqz_preprocess_into(const sqz_file *file, const sqz_photo *photo, const sqz_map *input, void *workspace,
                              size_t workspace_bytes) {
    resizer state;
    uint32_t y;
    sqz_error error = check_photo(file, photo);
    if (error) {
        return error;
    }
    if (!make_axes(file, photo->height, photo->width, state.axes)) {
        return SQZ_BAD_PHOTO;
    }
    if (workspace_bytes < workspace_bytes_of(state.axes, channels_of(file))) {
        return SQZ_SMALL_WORKSPACE;
    }
    begin_resizing(&state, file, photo, workspace);
    for (y = 0; y < file->height; y++) {
        resize_row(&state, y);
        write_row(&state, file, input->at + y * input->row_step, input->pixel_step);
    }
    return SQZ_OK;
}

sqz_error sqz_preprocess(const sqz_file *file, const sqz_photo *photo, float *input, void *workspace,
                         size_t workspace_bytes) {
    sqz_map map;
    map.at = input;
    map.channels = channels_of(file);
    map.height = file->height;
    map.width = file->width;
    map.pixel_step = map.channels;
    map.row_step = map.pixel_step * map.width;
    return sqz_preprocess_into(file, photo, &map, workspace, workspace_bytes);
}

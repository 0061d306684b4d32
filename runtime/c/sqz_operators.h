/* Operations on activations; private to the runtime. sqz_network.c checks all extents before it calls them. */
#ifndef SQZ_OPERATORS_H
#define SQZ_OPERATORS_H

#include "sqz_network.h"

/* Output channels that a convolution computes at a time. Their weights are packed side by side. */
enum { SQZ_BLOCK = 16 };

enum {
    SQZ_IDENTITY = 0,
    SQZ_RELU = 1,
    SQZ_RELU6 = 2,
    SQZ_HARDSWISH = 3,
    SQZ_HARDSIGMOID = 4,
    SQZ_SIGMOID = 5,
    SQZ_SWISH = 6,
    SQZ_TANH = 7,
    SQZ_LEAKY_RELU = 8,
    SQZ_ELU = 9,
    SQZ_GELU = 10,
    SQZ_GELU_TANH = 11,
    SQZ_MISH = 12,
    SQZ_CLIP = 13,
    SQZ_ACTIVATIONS = 14, /* in files */
    SQZ_SCALE = 14        /* an operation of its own in files */
};

typedef struct sqz_activation {
    uint32_t kind;
    float first, second; /* slope below zero of SQZ_LEAKY_RELU; alpha of SQZ_ELU; limits of SQZ_CLIP; factor and summand
                            of SQZ_SCALE */
} sqz_activation;

/* What an operation makes of two values. */
typedef enum sqz_pairing { SQZ_SUM, SQZ_PRODUCT, SQZ_DIFFERENCE, SQZ_QUOTIENT, SQZ_SLOPES } sqz_pairing;

/* An activation in memory: height x width x channels, with channels side by side. */
typedef struct sqz_map {
    float *at; /* the top left pixel */
    uint32_t channels, height, width;
    size_t pixel_step, row_step; /* floats */
} sqz_map;

/* A window that slides over a map; pairs are vertical, horizontal. */
typedef struct sqz_window {
    uint32_t kernel[2], stride[2], padding[2], dilation[2];
} sqz_window;

/* Convolve `in` with one block of filters. The result is `out`, at most SQZ_BLOCK channels of a map. Zeros for the
 * padding surround the pixels of `in`. With `depthwise` each channel has its own filter, and `in` has the channels of
 * `out`; up to SQZ_BLOCK - 1 floats after its last one are read and ignored.
 *
 * `weights` are the bias of the block, then the weights in the order
 * [kernel row][kernel column][input channel][channel of the block]. */
void sqz_convolve(const sqz_map *in, const sqz_map *out, const float *weights, const sqz_window *window, int depthwise,
                  sqz_activation activation);

void sqz_max_pool(const sqz_map *in, const sqz_map *out, const sqz_window *window);
void sqz_average_pool(const sqz_map *in, const sqz_map *out, const sqz_window *window, int counts_padding);

/* Combine two values; the only pixel of one of them may stand for all. SQZ_SLOPES: numbers of `left` below zero are
 * multiplied by `right`. */
void sqz_combine(sqz_pairing pairing, const sqz_map *left, const sqz_map *right, const sqz_map *out);

void sqz_copy(const sqz_map *in, const sqz_map *out);

/* Copy channels from `first` on, as many as `out` has. With several groups, the first channel of each group comes first,
 * then the second of each, and so on. */
void sqz_copy_channels(const sqz_map *in, const sqz_map *out, uint32_t first, uint32_t groups);

/* Copy `in` to the place `top`, `left` of `out`, to its channels from `first` on, and write zeros elsewhere. */
void sqz_pad(const sqz_map *in, const sqz_map *out, uint32_t top, uint32_t left, uint32_t first);
void sqz_activate(const sqz_map *map, sqz_activation activation);

/* Write the photo as network input into a map. */
sqz_error sqz_preprocess_into(const sqz_file *file, const sqz_photo *photo, const sqz_map *input, void *workspace,
                              size_t workspace_bytes);

#endif

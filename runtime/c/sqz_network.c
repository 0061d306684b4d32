/* sqz_network.c - plans and runs a network; sqz_network.h describes its use.
 *
 *     1. Program      reads operations one after another             docs/format.md, "The program"
 *     2. Built in     programs of SqueezeNet
 *     3. Shapes       the result of each operation, and its checks
 *     4. Memory       places of results in the arena
 *     5. Weights      decodes and packs them, whole or a block at a time
 *     6. Run          executes the operations
 *     7. Interface
 *
 * Every field of a program is checked in part 3, when the network is opened. Later parts rely on it. */
#include "sqz_internal.h"
#include "sqz_operators.h"

#include <math.h>
#include <string.h>

enum { MAX_EXTENT = 1 << 16, MAX_PIECE = 64 };

#define NONE 0xFFFFFFFFu /* no tensor */

static uint32_t larger(uint32_t left, uint32_t right) {
    return left > right ? left : right;
}

static size_t larger_size(size_t left, size_t right) {
    return left > right ? left : right;
}

/* ---- 1. Program ---- */

enum {
    CONVOLUTION,
    LINEAR,
    MAX_POOL,
    AVERAGE_POOL,
    GLOBAL_AVERAGE,
    SUM,
    PRODUCT,
    CONCATENATION,
    ACTIVATION,
    NORM,
    SCALE,
    CHANNELS,
    PADDING,
    TENSOR,
    NUMBERS,
    DIFFERENCE,
    QUOTIENT,
    SLOPES,
    KINDS
};

/* An operation and its fields. */
typedef struct operation {
    uint32_t kind;
    sqz_activation activation;
    uint32_t input[2];      /* numbers of values; those of a concatenation are in `list` */
    uint32_t input_count;
    uint32_t weights, bias; /* tensors of the file; NONE: no bias. The first and the last tensor of a norm */
    uint32_t groups;
    uint32_t flag;          /* ceil mode of a max pool; an average pool counts padding; a norm has weights; NUMBERS has
                               one for all channels */
    float epsilon;          /* of a norm */
    sqz_activation scale;   /* of SCALE */
    uint32_t channels[2];   /* the first one and their number; zeros before and behind; of TENSOR and NUMBERS the first */
    sqz_window window;      /* its padding is also that of PADDING, before the first pixel; its kernel, behind the last */
    const uint8_t *list;    /* inputs of a concatenation, or NUMBERS */
} operation;

enum { BAD = 1, UNKNOWN = 2 }; /* reader.bad: UNKNOWN is an operation or activation of a later version */

/* Reads a program. `bad` is set by a field that is cut off or too large. */
typedef struct reader {
    const uint8_t *at, *end;
    int bad;
} reader;

static uint32_t take(reader *program, uint32_t maximum) {
    uint32_t number = 0, shift, byte;
    for (shift = 0; shift < 28 && program->at < program->end; shift += 7) {
        byte = *program->at++;
        number |= (byte & 127u) << shift;
        if (byte < 128 && (byte || !shift) && number <= maximum) {
            return number;
        }
        if (byte < 128) {
            break;
        }
    }
    program->bad = BAD;
    return 0;
}

/* Take a finite float32: the lower and the upper 16 bits. */
static float take_float(reader *program) {
    uint32_t lower = take(program, 0xFFFF), upper = take(program, 0xFFFF), bits = upper << 16 | lower;
    float number;
    memcpy(&number, &bits, sizeof number);
    program->bad |= (upper & 0x7F80) == 0x7F80;
    return number;
}

static sqz_activation take_activation(reader *program) {
    sqz_activation activation;
    int is_clip;
    activation.kind = take(program, MAX_EXTENT);
    is_clip = activation.kind == SQZ_CLIP;
    activation.first =
        is_clip || activation.kind == SQZ_LEAKY_RELU || activation.kind == SQZ_ELU ? take_float(program) : 0;
    activation.second = is_clip ? take_float(program) : 0;
    return activation;
}

/* Take a value of an operation: its distance from the result, `value`. */
static uint32_t take_input(reader *program, uint32_t value) {
    uint32_t distance = take(program, value);
    program->bad |= distance == 0;
    return value - distance;
}

static void take_pair(reader *program, uint32_t *pair) {
    pair[0] = take(program, MAX_EXTENT);
    pair[1] = take(program, MAX_EXTENT);
}

static void take_tensors(reader *program, operation *next) {
    uint32_t bias;
    next->weights = take(program, SQZ_MAX_TENSORS);
    bias = take(program, SQZ_MAX_TENSORS);
    next->bias = bias ? bias - 1 : NONE;
}

/* Take the tensors of a batch norm, which follow one another: weights and bias if the flag says so, means, variances. */
static void take_norm(reader *program, operation *next) {
    next->flag = take(program, 1);
    next->weights = take(program, SQZ_MAX_TENSORS);
    next->bias = next->weights + (next->flag ? 3 : 1);
    next->epsilon = take_float(program);
}

static void take_inputs(reader *program, operation *next, uint32_t value) {
    uint32_t i;
    next->input_count = take(program, SQZ_MAX_OPERATIONS);
    next->list = program->at;
    for (i = 0; i < next->input_count && !program->bad; i++) {
        (void)take_input(program, value);
    }
    program->bad |= next->input_count == 0;
}

/* Take numbers: one for each channel, or one for all. */
static void take_numbers(reader *program, operation *next) {
    uint32_t count, i;
    next->channels[0] = take(program, MAX_EXTENT);
    next->flag = take(program, 1);
    next->list = program->at;
    count = next->flag ? 1 : next->channels[0];
    for (i = 0; i < count && !program->bad; i++) {
        (void)take_float(program);
    }
}

static int has_two_inputs(uint32_t kind) {
    return kind == SUM || kind == PRODUCT || kind >= DIFFERENCE;
}

/* Take the operation whose result is `value`. */
static operation take_operation(reader *program, uint32_t value) {
    operation next;
    memset(&next, 0, sizeof next);
    next.kind = take(program, MAX_EXTENT);
    next.activation = take_activation(program);
    if (!program->bad && (next.kind >= KINDS || next.activation.kind >= SQZ_ACTIVATIONS)) {
        program->bad = UNKNOWN;
        return next;
    }
    if (next.kind != CONCATENATION && next.kind != TENSOR && next.kind != NUMBERS) {
        next.input[0] = take_input(program, value);
        next.input_count = 1;
    }
    if (has_two_inputs(next.kind)) {
        next.input[1] = take_input(program, value);
        next.input_count = 2;
    }
    switch (next.kind) {
    case CONCATENATION: take_inputs(program, &next, value); break;
    case CONVOLUTION:
        take_tensors(program, &next);
        next.groups = take(program, MAX_EXTENT);
        take_pair(program, next.window.stride);
        take_pair(program, next.window.padding);
        take_pair(program, next.window.dilation);
        break;
    case LINEAR: take_tensors(program, &next); break;
    case MAX_POOL:
    case AVERAGE_POOL:
        take_pair(program, next.window.kernel);
        take_pair(program, next.window.stride);
        take_pair(program, next.window.padding);
        next.window.dilation[0] = next.window.dilation[1] = 1;
        next.flag = take(program, 1);
        break;
    case NORM: take_norm(program, &next); break;
    case SCALE:
        next.scale.kind = SQZ_SCALE;
        next.scale.first = take_float(program);
        next.scale.second = take_float(program);
        break;
    case TENSOR:
        next.weights = take(program, SQZ_MAX_TENSORS);
        next.bias = NONE;
        next.channels[0] = take(program, MAX_EXTENT);
        break;
    case NUMBERS: take_numbers(program, &next); break;
    case CHANNELS:
        next.channels[0] = take(program, MAX_EXTENT);
        next.channels[1] = take(program, MAX_EXTENT);
        next.groups = take(program, MAX_EXTENT);
        break;
    case PADDING:
        take_pair(program, next.window.padding);
        take_pair(program, next.window.kernel);
        take_pair(program, next.channels);
        break;
    default: break;
    }
    return next;
}

/* Whether an operation has tensors. */
static int is_layer(const operation *of) {
    return of->kind == CONVOLUTION || of->kind == LINEAR || of->kind == NORM || of->kind == TENSOR;
}

/* The reader of a network's program, behind the number of operations. */
static reader program_of(const sqz_network *network, uint32_t *count) {
    reader program;
    program.at = network->program;
    program.end = network->program_end;
    program.bad = 0;
    *count = take(&program, SQZ_MAX_OPERATIONS);
    return program;
}

/* ---- 2. Built in ---- */

#include "sqz_squeezenet.h"

/* The CRC-32 of the names of all tensors, each with a zero byte; 0 if one is longer than any name of SqueezeNet. */
static uint32_t crc_of_names(const sqz_file *file) {
    sqz_tensor tensor;
    sqz_error error;
    uint32_t crc = 0;
    for (error = sqz_first(file, &tensor); error == SQZ_OK; error = sqz_next(file, &tensor)) {
        char name[32];
        if (sqz_name(file, &tensor, name, sizeof name)) {
            return 0;
        }
        crc = sqz_crc32(crc, (const uint8_t *)name, tensor.name_bytes + 1);
    }
    return crc;
}

/* Find the program of an architecture. Its tensors must have SqueezeNet's names in SqueezeNet's order. The number of
 * tensors is compared first: sqz_name reads all names before. */
static sqz_error find_builtin(sqz_network *network) {
    const sqz_file *file = network->file;
    size_t i;
    for (i = 0; i < sizeof BUILTIN / sizeof *BUILTIN; i++) {
        if (file->architecture_bytes != strlen(BUILTIN[i].architecture) ||
            memcmp(file->architecture, BUILTIN[i].architecture, file->architecture_bytes) != 0) {
            continue;
        }
        if (file->tensors != SQUEEZENET_TENSORS || crc_of_names(file) != BUILTIN[i].crc_of_names) {
            return SQZ_BAD_NETWORK;
        }
        network->program = BUILTIN[i].program;
        network->program_end = network->program + BUILTIN[i].bytes;
        return SQZ_OK;
    }
    return SQZ_UNSUPPORTED_NETWORK;
}

/* ---- 3. Shapes ---- */

/* Read the shape of the tensor at a place that find_tensors found. */
static sqz_error read_shape(const sqz_file *file, sqz_place place, sqz_tensor *tensor) {
    sqzi_seek(file, place, tensor);
    return sqzi_read_next(tensor);
}

/* A convolution or linear layer as the packed weights see it. */
typedef struct layer {
    uint32_t outputs, inputs, taps; /* of one group: filters, input channels, and the product of the kernel's sides */
    uint32_t groups;
    uint32_t blocks; /* in all groups */
    int depthwise;
} layer;

static uint32_t blocks_of(uint32_t outputs) {
    return (outputs + SQZ_BLOCK - 1) / SQZ_BLOCK;
}

static size_t block_floats(const layer *of) {
    return SQZ_BLOCK * (1 + (size_t)of->taps * of->inputs);
}

/* Make the layer of an operation from its weights' shape and its input; 0 if they do not fit each other. A linear layer
 * is a convolution with a kernel as large as its input. Sets the extents of the kernel. */
static int make_layer(operation *of, const sqz_tensor *weights, const sqz_value *in, layer *made) {
    uint32_t groups = of->kind == LINEAR ? 1 : of->groups, columns = weights->columns;
    if (of->kind == LINEAR) {
        of->window.kernel[0] = in->height;
        of->window.kernel[1] = in->width;
        of->window.stride[0] = of->window.stride[1] = of->window.dilation[0] = of->window.dilation[1] = 1;
    } else if (weights->dimensions == 4) {
        of->window.kernel[0] = weights->shape[2];
        of->window.kernel[1] = weights->shape[3];
    }
    made->taps = of->window.kernel[0] * of->window.kernel[1];
    if (weights->dimensions != (of->kind == LINEAR ? 2 : 4) || weights->weights == 0 || groups == 0 ||
        weights->rows % groups) {
        return 0;
    }
    if (of->kind == LINEAR) {
        if (columns % made->taps) {
            return 0;
        }
        columns /= made->taps;
    }
    if (columns * (uint64_t)groups != in->channels) {
        return 0;
    }
    made->depthwise = groups > 1 && columns == 1 && weights->rows == groups;
    made->groups = made->depthwise ? 1 : groups;
    made->outputs = weights->rows / made->groups;
    made->inputs = columns;
    made->blocks = made->groups * blocks_of(made->outputs);
    return 1;
}

/* Make a batch norm a depthwise convolution with kernels of one weight; 0 if the tensor does not fit the input. */
static int make_norm(operation *of, const sqz_tensor *first, const sqz_value *in, layer *made) {
    of->window.kernel[0] = of->window.kernel[1] = 1;
    of->window.stride[0] = of->window.stride[1] = of->window.dilation[0] = of->window.dilation[1] = 1;
    made->outputs = in->channels;
    made->inputs = made->taps = made->groups = 1;
    made->blocks = blocks_of(in->channels);
    made->depthwise = 1;
    return first->dimensions == 1 && first->weights == in->channels;
}

/* Make a tensor a convolution with an empty kernel, whose bias it is; 0 if it is not one number or one a channel. */
static int make_tensor(const operation *of, const sqz_tensor *tensor, layer *made) {
    memset(made, 0, sizeof *made);
    made->outputs = of->channels[0];
    made->groups = 1;
    made->blocks = blocks_of(made->outputs);
    return tensor->weights == 1 || tensor->weights == made->outputs;
}

/* Set the output's extent along an axis; 0 if the window does not fit. Floor mode, as all but some max pools. */
static int slide(const sqz_window *window, int axis, uint32_t in, int is_ceil, uint32_t *out) {
    uint64_t kernel = window->kernel[axis], stride = window->stride[axis], padding = window->padding[axis];
    uint64_t reach = window->dilation[axis] * (kernel - 1) + 1, room = in + 2 * padding;
    if (kernel < 1 || stride < 1 || window->dilation[axis] < 1 || room < reach) {
        return 0;
    }
    *out = (uint32_t)((room - reach + (is_ceil ? stride - 1 : 0)) / stride + 1);
    if (is_ceil && (*out - 1) * stride >= in + padding) { /* the last window would lie in the padding */
        (*out)--;
    }
    return 1;
}

static int slide_both(const sqz_window *window, const sqz_value *in, int is_ceil, sqz_value *out) {
    return slide(window, 0, in->height, is_ceil, &out->height) && slide(window, 1, in->width, is_ceil, &out->width);
}

/* A pool's window reaches at least one pixel everywhere. */
static int is_pool_valid(const sqz_window *window) {
    return 2 * window->padding[0] <= window->kernel[0] && 2 * window->padding[1] <= window->kernel[1];
}

/* Check that the tensors of a norm after the first one have its shape. */
static sqz_error check_norm(const operation *of, const sqz_tensor *first) {
    sqz_tensor next = *first;
    uint32_t number;
    for (number = of->weights; number < of->bias; number++) {
        sqz_error error = sqzi_read_next(&next);
        if (error) {
            return error;
        }
        if (next.dimensions != 1 || next.weights != first->weights) {
            return SQZ_BAD_NETWORK;
        }
    }
    return SQZ_OK;
}

/* Prepare the layer of the operation whose result is `value`; `tensor` becomes its weights. Also checks the bias. */
static sqz_error find_layer(const sqz_network *network, operation *of, uint32_t value, sqz_tensor *tensor,
                            layer *made) {
    const sqz_place *places = network->values[value].places;
    sqz_tensor bias;
    sqz_error error = read_shape(network->file, places[0], tensor);
    if (error) {
        return error;
    }
    if (of->kind == TENSOR) {
        return make_tensor(of, tensor, made) ? SQZ_OK : SQZ_BAD_NETWORK;
    }
    if (of->kind == NORM) {
        return make_norm(of, tensor, &network->values[of->input[0]], made) ? check_norm(of, tensor) : SQZ_BAD_NETWORK;
    }
    if (!make_layer(of, tensor, &network->values[of->input[0]], made)) {
        return SQZ_BAD_NETWORK;
    }
    if (of->bias != NONE) {
        error = read_shape(network->file, places[1], &bias);
        if (!error && (bias.dimensions != 1 || bias.weights != tensor->rows)) {
            return SQZ_BAD_NETWORK;
        }
    }
    return error;
}

/* Set the shape of a layer's output. */
static sqz_error shape_layer(const sqz_network *network, operation *of, uint32_t value, sqz_value *out) {
    sqz_tensor weights;
    layer made;
    sqz_error error = find_layer(network, of, value, &weights, &made);
    if (error) {
        return error;
    }
    out->channels = made.outputs * made.groups;
    if (of->kind == TENSOR) {
        out->height = out->width = 1;
        return SQZ_OK;
    }
    return slide_both(&of->window, &network->values[of->input[0]], 0, out) ? SQZ_OK : SQZ_BAD_NETWORK;
}

/* The inputs of a concatenation, or numbers, one after another. */
static reader list_of(const sqz_network *network, const operation *of) {
    reader list;
    list.at = of->list;
    list.end = network->program_end;
    list.bad = 0;
    return list;
}

static sqz_error shape_concatenation(const sqz_network *network, const operation *of, uint32_t value, sqz_value *out) {
    reader inputs = list_of(network, of);
    uint32_t i;
    for (i = 0; i < of->input_count; i++) {
        const sqz_value *in = &network->values[take_input(&inputs, value)];
        if ((i && (in->height != out->height || in->width != out->width)) || of->activation.kind) {
            return SQZ_BAD_NETWORK;
        }
        out->height = in->height;
        out->width = in->width;
        out->channels += in->channels; /* at most SQZ_MAX_OPERATIONS times MAX_EXTENT */
    }
    return SQZ_OK;
}

static int have_one_shape(const sqz_value *left, const sqz_value *right) {
    return left->channels == right->channels && left->height == right->height && left->width == right->width;
}

static int is_one_pixel_of(const sqz_value *one, const sqz_value *other) {
    return one->channels == other->channels && one->height == 1 && one->width == 1;
}

/* Set the shape of what is made of two values; 0 if neither has the shape or one pixel of the other. */
static int shape_pair(const sqz_value *left, const sqz_value *right, sqz_value *out) {
    const sqz_value *larger_one = is_one_pixel_of(left, right) ? right : left;
    out->height = larger_one->height;
    out->width = larger_one->width;
    return have_one_shape(left, right) || is_one_pixel_of(left, right) || is_one_pixel_of(right, left);
}

/* Set the channels of the result of CHANNELS; 0 if the input has fewer, or groups do not divide them. */
static int shape_channels(const operation *of, const sqz_value *in, sqz_value *out) {
    out->channels = of->channels[1];
    return of->groups && of->channels[1] % of->groups == 0 && of->channels[0] + of->channels[1] <= in->channels;
}

static void shape_padding(const operation *of, sqz_value *out) {
    out->channels += of->channels[0] + of->channels[1];
    out->height += of->window.padding[0] + of->window.kernel[0];
    out->width += of->window.padding[1] + of->window.kernel[1];
}

/* Set the shape of an operation's result. Sets the border that its input needs. */
static sqz_error shape_result(const sqz_network *network, operation *of, uint32_t value) {
    sqz_value *out = &network->values[value], *in = &network->values[of->input[0]];
    const sqz_value *other = &network->values[of->input[1]];
    out->channels = in->channels;
    out->height = in->height;
    out->width = in->width;
    switch (of->kind) {
    case CONVOLUTION:
        in->border = larger(in->border, larger(of->window.padding[0], of->window.padding[1]));
        return shape_layer(network, of, value, out);
    case LINEAR:
    case NORM:
    case TENSOR: return shape_layer(network, of, value, out);
    case MAX_POOL:
    case AVERAGE_POOL:
        if (!is_pool_valid(&of->window)) {
            return SQZ_BAD_NETWORK;
        }
        return slide_both(&of->window, in, of->kind == MAX_POOL && of->flag, out) ? SQZ_OK : SQZ_BAD_NETWORK;
    case GLOBAL_AVERAGE: out->height = out->width = 1; return SQZ_OK;
    case SUM:
    case PRODUCT:
    case DIFFERENCE:
    case QUOTIENT:
    case SLOPES: return shape_pair(in, other, out) ? SQZ_OK : SQZ_BAD_NETWORK;
    case NUMBERS:
        out->channels = of->channels[0];
        out->height = out->width = 1;
        return SQZ_OK;
    case CHANNELS: return shape_channels(of, in, out) ? SQZ_OK : SQZ_BAD_NETWORK;
    case PADDING: shape_padding(of, out); return SQZ_OK;
    case CONCATENATION: out->channels = 0; return shape_concatenation(network, of, value, out);
    default: return SQZ_OK;
    }
}

/* Floats of a buffer, with its border, and those behind it that a depthwise convolution reads. */
static uint64_t buffer_floats(const sqz_value *of) {
    uint64_t height = of->height + 2 * (uint64_t)of->border, width = of->width + 2 * (uint64_t)of->border;
    return height * width * of->channels + SQZ_BLOCK;
}

/* Check the extents of a value, so that later arithmetic cannot overflow. */
static sqz_error check_extents(const sqz_value *of) {
    if (of->channels < 1 || of->height < 1 || of->width < 1) {
        return SQZ_BAD_NETWORK;
    }
    if (of->channels > MAX_EXTENT || of->height > MAX_EXTENT || of->width > MAX_EXTENT || of->border > MAX_EXTENT ||
        (of->height + 2 * (uint64_t)of->border) * (of->width + 2 * (uint64_t)of->border) > SQZ_MAX_ACTIVATION ||
        buffer_floats(of) > SQZ_MAX_ACTIVATION) {
        return SQZ_LARGE_NETWORK;
    }
    return SQZ_OK;
}

static void begin_value(sqz_value *of, uint32_t number) {
    memset(of, 0, sizeof *of);
    of->buffer = number;
    of->first_use = of->last_use = number;
}

static sqz_error shape_input(const sqz_network *network) {
    const sqz_file *file = network->file;
    sqz_value *input = &network->values[0];
    input->channels = file->channels == 2 ? 1 : 3;
    input->height = file->height;
    input->width = file->width;
    return check_extents(input);
}

/* Until find_tensors knows a tensor's place, `record` is its number, and `payload` is NONE. */
static void seek_later(sqz_place *place, uint32_t number) {
    place->record = number == NONE ? 0 : number;
    place->payload = number == NONE ? 0 : NONE;
}

/* Check that the program is complete, and note the tensors of each operation. */
static sqz_error begin_values(const sqz_network *network) {
    uint32_t count, value;
    reader program = program_of(network, &count);
    begin_value(&network->values[0], 0);
    for (value = 1; value <= count; value++) {
        operation next = take_operation(&program, value);
        sqz_value *of = &network->values[value];
        if (program.bad) {
            return program.bad == UNKNOWN ? SQZ_UNSUPPORTED_NETWORK : SQZ_BAD_NETWORK;
        }
        begin_value(of, value);
        seek_later(&of->places[0], is_layer(&next) ? next.weights : NONE);
        seek_later(&of->places[1], is_layer(&next) ? next.bias : NONE);
    }
    return program.at == program.end ? SQZ_OK : SQZ_BAD_NETWORK;
}

/* Let all operations that wait for a tensor know its place; returns whether any needs it. Those that have their first
 * tensor and wait for the last one may be norms, which need those between. */
static int place_tensor(sqz_value *values, uint32_t count, uint32_t number, sqz_place place) {
    uint32_t value, i;
    int is_used = 0;
    for (value = 1; value <= count; value++) {
        for (i = 0; i < 2; i++) {
            sqz_place *waiting = &values[value].places[i];
            if (waiting->payload == NONE && waiting->record == number) {
                *waiting = place;
                is_used = 1;
            }
        }
        is_used |= values[value].places[0].payload != NONE && values[value].places[1].payload == NONE;
    }
    return is_used;
}

/* Find the tensors of all operations, and the workspace for them. Files have no index of tensors: they are passed once,
 * so that the time does not grow by the order in which a program uses them. */
static sqz_error find_tensors(sqz_network *network, uint32_t count) {
    const sqz_file *file = network->file;
    sqz_value *values = network->values;
    sqz_place place = {0, 0};
    sqz_tensor tensor;
    uint32_t value;
    sqz_error error;
    network->file_workspace_bytes = file->workspace_bytes;
    for (error = sqz_first(file, &tensor); error == SQZ_OK; error = sqz_next(file, &tensor)) {
        size_t payload = (size_t)(tensor.next_payloads.begin - file->payloads.begin);
        if (place_tensor(values, count, tensor.index, place)) {
            network->file_workspace_bytes = larger_size(network->file_workspace_bytes, tensor.workspace_bytes);
        }
        if (payload >= NONE) {
            return SQZ_LARGE_NETWORK;
        }
        place.record = (uint32_t)(tensor.next_records.begin - file->records.begin);
        place.payload = (uint32_t)payload;
    }
    for (value = 1; value <= count; value++) {
        if (values[value].places[0].payload == NONE || values[value].places[1].payload == NONE) {
            return SQZ_BAD_NETWORK; /* there is no such tensor */
        }
    }
    return error == SQZ_DONE ? SQZ_OK : error;
}

/* Set the shapes of all values, and check that operations fit each other. */
static sqz_error shape_values(const sqz_network *network) {
    uint32_t count, value;
    reader program = program_of(network, &count);
    const sqz_value *last = &network->values[count];
    sqz_error error = shape_input(network);
    for (value = 1; value <= count && !error; value++) {
        operation next = take_operation(&program, value);
        error = shape_result(network, &next, value);
        error = error ? error : check_extents(&network->values[value]);
    }
    if (error) {
        return error;
    }
    return last->channels == network->file->classes && last->height == 1 && last->width == 1 ? SQZ_OK
                                                                                              : SQZ_BAD_NETWORK;
}

/* ---- 4. Memory ---- */

/* Let the inputs of a concatenation lie in its own memory. An input of several lies in the last one; others copy it. */
static void place_inputs(const sqz_network *network, const operation *of, uint32_t value) {
    reader inputs = list_of(network, of);
    uint32_t i, channel = 0;
    for (i = 0; i < of->input_count; i++) {
        sqz_value *in = &network->values[take_input(&inputs, value)];
        if (in->buffer != value) {
            in->buffer = value;
            in->channel = channel;
        }
        channel += in->channels;
    }
}

/* Find the outermost concatenation of each value, from the last value on, and collect the border and the first use. */
static void find_buffers(const sqz_network *network, uint32_t count) {
    uint32_t value;
    for (value = count + 1; value-- > 0;) {
        sqz_value *of = &network->values[value], *buffer = &network->values[of->buffer];
        of->channel += buffer == of ? 0 : buffer->channel;
        of->buffer = buffer->buffer;
        buffer = &network->values[of->buffer];
        buffer->border = larger(buffer->border, of->border);
        buffer->first_use = value < buffer->first_use ? value : buffer->first_use;
    }
}

static void use(const sqz_network *network, uint32_t input, uint32_t value) {
    sqz_value *buffer = &network->values[network->values[input].buffer];
    buffer->last_use = larger(buffer->last_use, value);
}

/* Set each buffer's last use. */
static void find_last_uses(const sqz_network *network) {
    uint32_t count, value, i;
    reader program = program_of(network, &count);
    for (value = 1; value <= count; value++) {
        operation next = take_operation(&program, value);
        reader inputs = list_of(network, &next);
        use(network, value, value);
        for (i = 0; i < next.input_count; i++) {
            use(network, next.kind == CONCATENATION ? take_input(&inputs, value) : next.input[i], value);
        }
    }
    use(network, count, count + 1); /* the logits are read after the last operation */
}

/* Whether two buffers would share memory that both need at the same time, if `left` were at `offset`. */
static int collides(const sqz_value *left, uint64_t offset, const sqz_value *right) {
    return left->first_use <= right->last_use && right->first_use <= left->last_use &&
           offset < right->offset + buffer_floats(right) && right->offset < offset + buffer_floats(left);
}

/* Place a buffer at the lowest offset where it collides with none that is placed already. */
static sqz_error place_buffer(sqz_network *network, uint32_t count, sqz_value *buffer) {
    uint64_t offset = 0, end;
    uint32_t i;
    for (i = 0; i <= count;) {
        const sqz_value *other = &network->values[i];
        if (other->offset != SIZE_MAX && collides(buffer, offset, other)) {
            offset = other->offset + buffer_floats(other);
            i = 0;
        } else {
            i++;
        }
    }
    end = offset + buffer_floats(buffer);
    if (end > SIZE_MAX / sizeof(float) / 2) {
        return SQZ_LARGE_NETWORK;
    }
    buffer->offset = (size_t)offset;
    network->activation_floats = larger_size(network->activation_floats, (size_t)end);
    return SQZ_OK;
}

/* Place all buffers, the largest first. */
static sqz_error place_buffers(sqz_network *network, uint32_t count) {
    uint32_t i;
    for (;;) {
        sqz_value *largest = NULL;
        sqz_error error;
        for (i = 0; i <= count; i++) {
            sqz_value *of = &network->values[i];
            if (of->buffer == i && of->offset == SIZE_MAX &&
                (largest == NULL || buffer_floats(of) > buffer_floats(largest))) {
                largest = of;
            }
        }
        if (largest == NULL) {
            return SQZ_OK;
        }
        error = place_buffer(network, count, largest);
        if (error) {
            return error;
        }
    }
}

static sqz_error plan_memory(sqz_network *network) {
    uint32_t count, value;
    reader program = program_of(network, &count);
    for (value = 1; value <= count; value++) {
        operation next = take_operation(&program, value);
        if (next.kind == CONCATENATION) {
            place_inputs(network, &next, value);
        }
    }
    find_buffers(network, count);
    find_last_uses(network);
    for (value = 0; value <= count; value++) {
        sqz_error error = check_extents(&network->values[value]); /* again, now that its border is known */
        network->values[value].offset = SIZE_MAX;                 /* not placed yet */
        if (error) {
            return error;
        }
    }
    return place_buffers(network, count);
}

/* ---- 5. Weights ---- */

/* The weights of a layer while they are decoded. Where the decoder cannot deliver them in pieces, `whole` has them all;
 * otherwise `pieces` delivers them, in the order of the blocks if `is_in_order`. */
typedef struct weight_source {
    layer of;
    sqz_tensor tensor;
    sqz_weights pieces;
    float *bias, *whole;
    int is_norm, is_tensor, is_whole, is_in_order;
} weight_source;

static void describe_source(weight_source *source, const operation *of) {
    const sqz_tensor *tensor = &source->tensor;
    int is_row_major = tensor->scan_order == SQZ_OUT_IN;
    source->is_norm = of->kind == NORM;
    source->is_tensor = of->kind == TENSOR;
    source->is_whole = source->is_norm || source->is_tensor || tensor->coefficients || (tensor->form == SQZ_PRUNED && !is_row_major);
    source->is_in_order = source->is_whole || is_row_major;
}

/* Floats that a source needs, besides the blocks: bias and whole weights; of a norm also its means and variances. */
static uint64_t source_floats(const weight_source *source) {
    if (source->is_norm || source->is_tensor) {
        return (source->is_norm ? 4 : 1) * (uint64_t)source->of.outputs;
    }
    return source->tensor.rows + (source->is_whole ? (uint64_t)source->tensor.weights : 0);
}

/* Decode a tensor, whose shape is read already. */
static sqz_error decode_whole(const sqz_file *file, sqz_tensor *tensor, float *weights) {
    sqzi_find_workspace(file, tensor);
    return sqz_decode(file, tensor, weights, tensor->weights);
}

/* Decode a batch norm to the weights and the bias that scale and shift each channel. */
static sqz_error begin_norm(const sqz_file *file, const operation *of, weight_source *source) {
    uint32_t channels = source->tensor.rows, c, i = of->flag ? 0 : 2;
    float *means = source->whole + channels, *variances = means + channels, *targets[4];
    sqz_tensor tensor = source->tensor;
    sqz_error error = decode_whole(file, &tensor, i ? means : source->whole);
    targets[0] = source->whole;
    targets[1] = source->bias;
    targets[2] = means;
    targets[3] = variances;
    for (i++; i < 4 && !error; i++) {
        error = sqzi_read_next(&tensor);
        error = error ? error : decode_whole(file, &tensor, targets[i]);
    }
    for (c = 0; c < channels && !error; c++) {
        float scale = (of->flag ? source->whole[c] : 1.0f) / sqrtf(variances[c] + of->epsilon);
        source->whole[c] = scale;
        source->bias[c] -= means[c] * scale;
    }
    return error;
}

/* Decode a tensor to the bias: one number for each channel, or one for all. */
static sqz_error begin_tensor(const sqz_file *file, weight_source *source) {
    sqz_error error = decode_whole(file, &source->tensor, source->bias);
    uint32_t c;
    for (c = source->tensor.weights; c < source->of.outputs && !error; c++) {
        source->bias[c] = *source->bias;
    }
    return error;
}

/* Begin to decode the weights of `source->tensor`, of the operation whose result is `value`; `scratch` has
 * source_floats. */
static sqz_error begin_source(const sqz_network *network, const operation *of, uint32_t value, weight_source *source,
                              float *scratch) {
    const sqz_file *file = network->file;
    sqz_tensor *tensor = &source->tensor, bias;
    sqz_error error = SQZ_OK;
    source->bias = scratch;
    if (source->is_tensor) {
        return begin_tensor(file, source);
    }
    source->whole = scratch + tensor->rows;
    memset(source->bias, 0, tensor->rows * sizeof *scratch);
    if (source->is_norm) {
        return begin_norm(file, of, source);
    }
    if (of->bias != NONE) {
        error = read_shape(file, network->values[value].places[1], &bias);
        error = error ? error : decode_whole(file, &bias, source->bias);
    }
    if (error) {
        return error;
    }
    sqzi_find_workspace(file, tensor);
    return source->is_whole ? sqz_decode(file, tensor, source->whole, tensor->weights)
                            : sqz_begin(file, tensor, &source->pieces);
}

/* Filters of a block: `count` of them, from the row `begin` on. */
typedef struct block_rows {
    uint32_t begin, count;
} block_rows;

static block_rows rows_of(const layer *of, uint32_t block) {
    uint32_t in_group = blocks_of(of->outputs), first = block % in_group * SQZ_BLOCK;
    block_rows rows;
    rows.begin = block / in_group * of->outputs + first;
    rows.count = of->outputs - first < SQZ_BLOCK ? of->outputs - first : SQZ_BLOCK;
    return rows;
}

/* The place of a filter's first weight in packed blocks, whose first one is number `first`. */
static float *filter_slot(const layer *of, float *blocks, uint32_t first, uint32_t row) {
    uint32_t group = row / of->outputs, filter = row % of->outputs;
    uint32_t block = group * blocks_of(of->outputs) + filter / SQZ_BLOCK - first;
    return blocks + block * block_floats(of) + SQZ_BLOCK + filter % SQZ_BLOCK;
}

/* Pack some weights of a filter from the place `column` on, input channels first. */
static void pack_filter(const layer *of, float *filter, uint32_t column, const float *weights, uint32_t count) {
    uint32_t input = column / of->taps, tap = column % of->taps, i;
    for (i = 0; i < count; i++) {
        filter[SQZ_BLOCK * ((size_t)tap * of->inputs + input)] = weights[i];
        if (++tap == of->taps) {
            tap = 0;
            input++;
        }
    }
}

static void pack_whole(const weight_source *source, float *blocks, uint32_t first, block_rows rows) {
    uint32_t columns = source->of.taps * source->of.inputs, row;
    for (row = rows.begin; row < rows.begin + rows.count; row++) {
        float *filter = filter_slot(&source->of, blocks, first, row);
        pack_filter(&source->of, filter, 0, source->whole + (size_t)row * columns, columns);
    }
}

/* Decode pieces and pack them, up to a row if they are in order, otherwise all. */
static sqz_error pack_pieces(weight_source *source, float *blocks, uint32_t first, uint32_t end) {
    sqz_weights *pieces = &source->pieces;
    uint32_t columns = source->of.taps * source->of.inputs;
    float some[MAX_PIECE];
    while (pieces->left && (!source->is_in_order || pieces->row < end)) {
        float *filter = filter_slot(&source->of, blocks, first, pieces->row);
        uint32_t column = pieces->column * source->tensor.taps + pieces->tap, count = 1;
        sqz_error error;
        if (source->is_in_order) {
            count = columns - column < MAX_PIECE ? columns - column : MAX_PIECE;
        }
        error = sqz_read_weights(pieces, some, count);
        if (error) {
            return error;
        }
        pack_filter(&source->of, filter, column, some, count);
    }
    return SQZ_OK;
}

/* Pack the next `count` blocks, from number `first` on: all of them unless the source is in order. */
static sqz_error pack_blocks(weight_source *source, float *blocks, uint32_t first, uint32_t count) {
    block_rows rows = {0, 0};
    uint32_t block;
    memset(blocks, 0, count * block_floats(&source->of) * sizeof *blocks);
    for (block = first; block < first + count; block++) {
        rows = rows_of(&source->of, block);
        memcpy(blocks + (block - first) * block_floats(&source->of), source->bias + rows.begin,
               rows.count * sizeof *blocks);
        if (source->is_whole && !source->is_tensor) {
            pack_whole(source, blocks, first, rows);
        }
    }
    return source->is_whole ? SQZ_OK : pack_pieces(source, blocks, first, rows.begin + rows.count);
}

/* Blocks that are packed at a time while a network runs without loaded weights. */
static uint32_t blocks_at_a_time(const weight_source *source) {
    return source->is_in_order ? 1 : source->of.blocks;
}

/* Plan the memory of one layer's weights; all counts are in floats. */
static void plan_layer(const weight_source *source, sqz_value *value, uint64_t *packed, uint64_t *loading,
                       uint64_t *scratch) {
    uint64_t block = SQZ_BLOCK * (1 + (uint64_t)source->of.taps * source->of.inputs), needed;
    value->weights = (size_t)*packed;
    *packed += source->of.blocks * block;
    needed = *packed + source_floats(source);
    *loading = needed > *loading ? needed : *loading;
    needed = source_floats(source) + blocks_at_a_time(source) * block;
    *scratch = needed > *scratch ? needed : *scratch;
}

/* Plan the memory of all weights: packed and loaded, or scratch memory of each run. */
static sqz_error plan_weights(sqz_network *network) {
    uint64_t packed = 0, loading = 0, scratch = 0;
    uint32_t count, value;
    reader program = program_of(network, &count);
    weight_source source;
    for (value = 1; value <= count; value++) {
        operation next = take_operation(&program, value);
        if (is_layer(&next)) {
            sqz_error error = find_layer(network, &next, value, &source.tensor, &source.of);
            if (error) {
                return error;
            }
            describe_source(&source, &next);
            plan_layer(&source, &network->values[value], &packed, &loading, &scratch);
            if (packed > SIZE_MAX / sizeof(float) / 2 || loading > SIZE_MAX / sizeof(float) / 2 ||
                scratch > SIZE_MAX / sizeof(float) / 2) {
                return SQZ_LARGE_NETWORK;
            }
        }
    }
    network->weights_bytes = (size_t)loading * sizeof(float);
    network->scratch_floats = (size_t)scratch;
    return network->file_workspace_bytes - network->file->header_workspace_bytes > network->file->workspace_left
               ? SQZ_SMALL_WORKSPACE
               : SQZ_OK;
}

sqz_error sqz_network_load(sqz_network *network, float *weights, size_t weights_bytes) {
    uint32_t count, value;
    reader program = program_of(network, &count);
    weight_source source;
    if (weights_bytes < network->weights_bytes) {
        return SQZ_SMALL_BUFFER;
    }
    network->weights = NULL;
    for (value = 1; value <= count; value++) {
        operation next = take_operation(&program, value);
        float *blocks = weights + network->values[value].weights;
        sqz_error error = SQZ_OK;
        if (!is_layer(&next)) {
            continue;
        }
        error = find_layer(network, &next, value, &source.tensor, &source.of);
        if (!error) {
            describe_source(&source, &next);
            error = begin_source(network, &next, value, &source, blocks + source.of.blocks * block_floats(&source.of));
        }
        error = error ? error : pack_blocks(&source, blocks, 0, source.of.blocks);
        if (error) {
            return error;
        }
    }
    network->weights = weights;
    return SQZ_OK;
}

/* ---- 6. Run ---- */

static sqz_map map_of(const sqz_network *network, float *arena, uint32_t value) {
    const sqz_value *of = &network->values[value], *buffer = &network->values[of->buffer];
    sqz_map map;
    map.channels = of->channels;
    map.height = of->height;
    map.width = of->width;
    map.pixel_step = buffer->channels;
    map.row_step = map.pixel_step * (buffer->width + 2 * (size_t)buffer->border);
    map.at = arena + buffer->offset + buffer->border * (map.row_step + map.pixel_step) + of->channel;
    return map;
}

/* Some channels of a map. */
static sqz_map slice(const sqz_map *map, uint32_t first, uint32_t channels) {
    sqz_map some = *map;
    some.at += first;
    some.channels = channels;
    return some;
}

/* Write zeros around a value, before the first write to its buffer. */
static void clear_border(const sqz_network *network, float *arena, uint32_t value) {
    const sqz_value *buffer = &network->values[network->values[value].buffer];
    if (buffer->border && buffer->first_use == value) {
        memset(arena + buffer->offset, 0, (size_t)buffer_floats(buffer) * sizeof *arena);
    }
}

static void run_block(const operation *of, const layer *as, const sqz_map *in, const sqz_map *out, uint32_t block,
                      const float *weights) {
    block_rows rows = rows_of(as, block);
    uint32_t first = as->depthwise ? rows.begin : rows.begin / as->outputs * as->inputs;
    sqz_map from = slice(in, first, as->depthwise ? rows.count : as->inputs), to = slice(out, rows.begin, rows.count);
    sqz_convolve(&from, &to, weights, &of->window, as->depthwise, of->activation);
}

/* Run a layer with weights that are decoded on the way. */
static sqz_error run_decoding(const sqz_network *network, const operation *of, uint32_t value, weight_source *source,
                              const sqz_map *in, const sqz_map *out, float *scratch) {
    uint32_t block, step = blocks_at_a_time(source), i;
    float *blocks = scratch + (size_t)source_floats(source);
    sqz_error error = begin_source(network, of, value, source, scratch);
    for (block = 0; block < source->of.blocks && !error; block += step) {
        error = pack_blocks(source, blocks, block, step);
        for (i = 0; i < step && !error; i++) {
            run_block(of, &source->of, in, out, block + i, blocks + i * block_floats(&source->of));
        }
    }
    return error;
}

static sqz_error run_layer(const sqz_network *network, operation *of, uint32_t value, const sqz_map *in,
                           const sqz_map *out, float *arena) {
    weight_source source;
    sqz_error error = find_layer(network, of, value, &source.tensor, &source.of);
    uint32_t block;
    if (error) {
        return error;
    }
    if (network->weights == NULL) {
        describe_source(&source, of);
        return run_decoding(network, of, value, &source, in, out, arena + network->activation_floats);
    }
    for (block = 0; block < source.of.blocks; block++) {
        const float *weights = network->weights + network->values[value].weights;
        run_block(of, &source.of, in, out, block, weights + block * block_floats(&source.of));
    }
    return SQZ_OK;
}

/* Copy those inputs that do not lie in their place already. */
static void concatenate(const sqz_network *network, const operation *of, uint32_t value, float *arena) {
    reader inputs = list_of(network, of);
    sqz_map out = map_of(network, arena, value);
    uint32_t i, channel = 0;
    for (i = 0; i < of->input_count; i++) {
        sqz_map in = map_of(network, arena, take_input(&inputs, value)), to = slice(&out, channel, in.channels);
        if (in.at != to.at) {
            sqz_copy(&in, &to);
        }
        channel += in.channels;
    }
}

static sqz_window whole_window(const sqz_map *map) {
    sqz_window window;
    memset(&window, 0, sizeof window);
    window.kernel[0] = window.stride[0] = map->height;
    window.kernel[1] = window.stride[1] = map->width;
    return window;
}

static void write_numbers(const sqz_network *network, const operation *of, const sqz_map *out) {
    reader numbers = list_of(network, of);
    uint32_t c;
    for (c = 0; c < out->channels; c++) {
        out->at[c] = of->flag && c ? *out->at : take_float(&numbers);
    }
}

static sqz_error run_operation(const sqz_network *network, operation *of, uint32_t value, float *arena) {
    sqz_map in = map_of(network, arena, of->input[0]), other = map_of(network, arena, of->input[1]);
    sqz_map out = map_of(network, arena, value);
    clear_border(network, arena, value);
    switch (of->kind) {
    case CONVOLUTION:
    case LINEAR:
    case NORM:
    case TENSOR: return run_layer(network, of, value, &in, &out, arena);
    case MAX_POOL: sqz_max_pool(&in, &out, &of->window); break;
    case AVERAGE_POOL: sqz_average_pool(&in, &out, &of->window, of->flag != 0); break;
    case GLOBAL_AVERAGE: {
        sqz_window window = whole_window(&in);
        sqz_average_pool(&in, &out, &window, 1);
        break;
    }
    case SUM: sqz_combine(SQZ_SUM, &in, &other, &out); break;
    case PRODUCT: sqz_combine(SQZ_PRODUCT, &in, &other, &out); break;
    case DIFFERENCE: sqz_combine(SQZ_DIFFERENCE, &in, &other, &out); break;
    case QUOTIENT: sqz_combine(SQZ_QUOTIENT, &in, &other, &out); break;
    case SLOPES: sqz_combine(SQZ_SLOPES, &in, &other, &out); break;
    case NUMBERS: write_numbers(network, of, &out); break;
    case CONCATENATION: concatenate(network, of, value, arena); break;
    case SCALE:
        sqz_copy(&in, &out);
        sqz_activate(&out, of->scale);
        break;
    case CHANNELS: sqz_copy_channels(&in, &out, of->channels[0], of->groups); break;
    case PADDING: sqz_pad(&in, &out, of->window.padding[0], of->window.padding[1], of->channels[0]); break;
    default: sqz_copy(&in, &out);
    }
    sqz_activate(&out, of->activation);
    return SQZ_OK;
}

/* Run all operations on the input, which is in the arena. */
static sqz_error run_program(const sqz_network *network, float *arena, float *logits) {
    uint32_t count, value;
    reader program = program_of(network, &count);
    sqz_map result = map_of(network, arena, count);
    for (value = 1; value <= count; value++) {
        operation next = take_operation(&program, value);
        sqz_error error = run_operation(network, &next, value, arena);
        if (error) {
            return error;
        }
    }
    memcpy(logits, result.at, result.channels * sizeof *logits);
    return SQZ_OK;
}

/* ---- 7. Interface ---- */

/* Find the program: that of the file, or a built-in one. */
static sqz_error find_program(sqz_network *network) {
    sqz_span program = network->file->program;
    if (program.begin == NULL) {
        return find_builtin(network);
    }
    network->program = program.begin;
    network->program_end = program.end;
    return SQZ_OK;
}

sqz_error sqz_network_open(sqz_network *network, const sqz_file *file, sqz_value *values, uint32_t capacity) {
    sqz_error error;
    uint32_t count;
    reader program;
    memset(network, 0, sizeof *network);
    network->file = file;
    network->values = values;
    error = find_program(network);
    if (error) {
        return error;
    }
    program = program_of(network, &count);
    if (program.bad || count == 0) {
        return SQZ_BAD_NETWORK;
    }
    network->value_count = count + 1;
    if (capacity < network->value_count) {
        return SQZ_SMALL_BUFFER;
    }
    error = begin_values(network);
    error = error ? error : find_tensors(network, count);
    error = error ? error : shape_values(network);
    error = error ? error : plan_memory(network);
    return error ? error : plan_weights(network);
}

static size_t run_bytes(const sqz_network *network) {
    size_t floats = network->activation_floats + (network->weights ? 0 : network->scratch_floats);
    return floats * sizeof(float);
}

/* The workspace of the preprocessing lies before the input in the arena, or else behind it. */
static size_t preprocess_offset(const sqz_network *network, size_t workspace_bytes) {
    const sqz_value *input = &network->values[network->values[0].buffer];
    size_t before = input->offset * sizeof(float);
    return workspace_bytes <= before ? 0 : before + (size_t)buffer_floats(input) * sizeof(float);
}

size_t sqz_arena_bytes(const sqz_network *network, uint32_t photo_height, uint32_t photo_width) {
    size_t workspace = sqz_preprocess_bytes(network->file, photo_height, photo_width);
    size_t offset = preprocess_offset(network, workspace);
    return workspace > SIZE_MAX - offset ? SIZE_MAX : larger_size(run_bytes(network), offset + workspace);
}

sqz_error sqz_classify(const sqz_network *network, const sqz_photo *photo, float *arena, size_t arena_bytes,
                       float *logits) {
    size_t workspace = sqz_preprocess_bytes(network->file, photo->height, photo->width);
    sqz_map input = map_of(network, arena, 0);
    sqz_error error;
    if (arena_bytes < sqz_arena_bytes(network, photo->height, photo->width)) {
        return SQZ_SMALL_ARENA;
    }
    clear_border(network, arena, 0);
    error = sqz_preprocess_into(network->file, photo, &input,
                                (uint8_t *)arena + preprocess_offset(network, workspace), workspace);
    return error ? error : run_program(network, arena, logits);
}

sqz_error sqz_run(const sqz_network *network, const float *input, float *arena, size_t arena_bytes, float *logits) {
    sqz_map map = map_of(network, arena, 0);
    uint32_t y, x;
    if (arena_bytes < run_bytes(network)) {
        return SQZ_SMALL_ARENA;
    }
    clear_border(network, arena, 0);
    for (y = 0; y < map.height; y++) {
        for (x = 0; x < map.width; x++, input += map.channels) {
            memcpy(map.at + y * map.row_step + x * map.pixel_step, input, map.channels * sizeof *input);
        }
    }
    return run_program(network, arena, logits);
}

void sqz_softmax(float *logits, uint32_t classes) {
    float largest = logits[0], sum = 0;
    uint32_t i;
    for (i = 1; i < classes; i++) {
        largest = logits[i] > largest ? logits[i] : largest;
    }
    for (i = 0; i < classes; i++) {
        logits[i] = expf(logits[i] - largest);
        sum += logits[i];
    }
    for (i = 0; i < classes; i++) {
        logits[i] /= sum;
    }
}

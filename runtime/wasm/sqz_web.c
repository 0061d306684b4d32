/* The runtime as a WebAssembly module: one model, and one photo at a time. compress/export/web_page/worker.js uses it.
 *
 *     place_model(bytes)           memory for the file, which the caller fills
 *     open_model()                 opens the network and decodes its weights; an sqz_error
 *     model_info()                 what a page shows of the model
 *     place_photo(height, width)   memory for the pixels, 4 bytes each, which the caller fills
 *     classify()                   writes the probabilities of model_info(); an sqz_error
 *     error_name(error)
 *
 * The module has no imports. Its memory grows as needed: the model stays at the start, and photos share the rest. Memory
 * that cannot be had is NULL, or an error of small memory. */
#include "sqz_memory.h"
#include "sqz_network.h"

enum { PIXEL_BYTES = 4 };

typedef struct model_fields {
    const char *architecture, *labels;
    uint32_t architecture_bytes, label_bytes, classes, height, width;
    float *probabilities;
} model_fields;

static sqz_file file;
static sqz_network network;
static sqz_photo photo;
static model_fields fields;
static uint8_t *file_bytes, *model_end;
static size_t file_length;

/* Open the file with a workspace of this size, or with a larger one if its header needs it. */
static sqz_error open_file(size_t workspace_bytes) {
    for (;;) {
        void *workspace = take(workspace_bytes);
        sqz_error error =
            workspace ? sqz_open(&file, file_bytes, file_length, workspace, workspace_bytes) : SQZ_SMALL_BUFFER;
        if (error != SQZ_SMALL_WORKSPACE) {
            return error;
        }
        workspace_bytes = file.workspace_bytes;
    }
}

/* Open the network: first without memory, to learn how much it needs. */
static sqz_error open_network(void) {
    sqz_error error = sqz_network_open(&network, &file, NULL, 0);
    uint32_t count = network.value_count;
    sqz_value *values;
    if (error != SQZ_SMALL_BUFFER) {
        return error;
    }
    values = take((uint64_t)count * sizeof *values);
    if (!values) {
        return error;
    }
    error = sqz_network_open(&network, &file, values, count);
    if (!error || error == SQZ_SMALL_WORKSPACE) {
        size_t network_bytes = network.file_workspace_bytes, label_bytes = file.label_workspace_bytes;
        error = open_file(network_bytes > label_bytes ? network_bytes : label_bytes);
        error = error ? error : sqz_network_open(&network, &file, values, count);
    }
    return error;
}

static sqz_error load_weights(void) {
    float *weights = take(network.weights_bytes);
    return weights ? sqz_network_load(&network, weights, network.weights_bytes) : SQZ_SMALL_BUFFER;
}

static sqz_error read_labels(void) {
    char *labels = take(file.label_plain_bytes);
    fields.labels = labels;
    fields.label_bytes = file.label_plain_bytes;
    return labels ? sqz_labels(&file, labels, file.label_plain_bytes) : SQZ_SMALL_BUFFER;
}

static sqz_error fill_fields(void) {
    fields.architecture = file.architecture;
    fields.architecture_bytes = (uint32_t)file.architecture_bytes;
    fields.classes = file.classes;
    fields.height = file.height;
    fields.width = file.width;
    fields.probabilities = take((uint64_t)file.classes * sizeof(float));
    return fields.probabilities ? SQZ_OK : SQZ_SMALL_BUFFER;
}

EXPORT(place_model) uint8_t *place_model(uint32_t bytes) {
    top = &__heap_base;
    file_length = bytes;
    file_bytes = take(bytes);
    return file_bytes;
}

EXPORT(open_model) sqz_error open_model(void) {
    sqz_error error = open_file(0);
    error = error ? error : open_network();
    error = error ? error : load_weights();
    error = error ? error : read_labels();
    error = error ? error : fill_fields();
    model_end = top;
    return error;
}

EXPORT(model_info) const model_fields *model_info(void) {
    return &fields;
}

EXPORT(place_photo) uint8_t *place_photo(uint32_t height, uint32_t width) {
    uint8_t *pixels;
    top = model_end;
    pixels = take((uint64_t)height * width * PIXEL_BYTES);
    photo.pixels = pixels;
    photo.height = height;
    photo.width = width;
    photo.channels = PIXEL_BYTES;
    photo.row_bytes = (size_t)width * PIXEL_BYTES;
    return pixels;
}

EXPORT(classify) sqz_error classify(void) {
    size_t arena_bytes = sqz_arena_bytes(&network, photo.height, photo.width);
    float *arena = take(arena_bytes);
    sqz_error error = arena ? sqz_classify(&network, &photo, arena, arena_bytes, fields.probabilities) : SQZ_SMALL_ARENA;
    if (!error) {
        sqz_softmax(fields.probabilities, fields.classes);
    }
    return error;
}

EXPORT(error_name) const char *error_name(sqz_error error) {
    return sqz_error_name(error);
}

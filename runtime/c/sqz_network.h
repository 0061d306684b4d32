/* Runs the network of a `.sqz` file on a photo, in C99, without allocation. It extends sqz.h.
 *
 *     sqz_open              the file
 *     sqz_network_open      checks the network and plans its memory
 *     sqz_network_load      decodes all weights once; without it each run decodes them again, in less memory
 *     sqz_classify          photo -> logits: sqz_preprocess and sqz_run in one
 *     sqz_softmax           logits -> probabilities
 *
 * It runs SqueezeNet v1.0 and v1.1, and each network whose file has a program: docs/format.md, "The program".
 *
 * Activations lie in the arena, which the caller passes to each run. Arithmetic is in float32, except for the weights
 * of the resizing, which are computed in float64 once a photo.
 */
#ifndef SQZ_NETWORK_H
#define SQZ_NETWORK_H

#include "sqz.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Limits of what a file may demand: operations of a network, and floats of one activation. */
#ifndef SQZ_MAX_OPERATIONS
#define SQZ_MAX_OPERATIONS 512u
#endif
#ifndef SQZ_MAX_ACTIVATION
#define SQZ_MAX_ACTIVATION 268435456u
#endif

/* The result of an operation, or the input, and its place in the arena. Private. */
typedef struct sqz_value {
    uint32_t channels, height, width;
    uint32_t border;              /* zeros around the pixels, for the padding of convolutions */
    uint32_t buffer;              /* the value in whose memory it lies: a concatenation, or itself */
    uint32_t channel;             /* its first channel there */
    uint32_t first_use, last_use; /* of the buffer: operations */
    size_t offset;                /* of the buffer in the arena, floats */
    size_t weights;               /* of the operation, floats from the start of the weights */
    sqz_place places[2];          /* of the operation's weights and bias in the file */
} sqz_value;

/* An open network. */
typedef struct sqz_network {
    uint32_t value_count; /* values that sqz_network_open needs; set on SQZ_SMALL_BUFFER too */
    size_t weights_bytes; /* that sqz_network_load needs */
    size_t file_workspace_bytes; /* that sqz_open needs, to decode the weights; set on SQZ_SMALL_WORKSPACE too */

    /* Private. */
    const sqz_file *file;
    const uint8_t *program, *program_end;
    sqz_value *values;
    const float *weights; /* NULL: decoded in each run */
    size_t activation_floats, scratch_floats;
} sqz_network;

/* A photo: 8 bits a channel, rows from the top. Channels are 1 gray, 3 RGB or 4 RGB and one that is ignored. */
typedef struct sqz_photo {
    const uint8_t *pixels;
    uint32_t height, width;
    uint8_t channels;
    size_t row_bytes; /* from one row to the next */
} sqz_photo;

/* Find the network of an open file, check every tensor's shape against it, and plan the memory. `values` and the file
 * must stay valid. SQZ_SMALL_BUFFER: `capacity` is less than network->value_count. SQZ_SMALL_WORKSPACE: open the file
 * again with network->file_workspace_bytes. */
sqz_error sqz_network_open(sqz_network *network, const sqz_file *file, sqz_value *values, uint32_t capacity);

/* Decode all weights once into the caller's memory, of network->weights_bytes, which must stay valid. */
sqz_error sqz_network_load(sqz_network *network, float *weights, size_t weights_bytes);

/* Bytes of the arena for photos of this size; 0 and 0 without photos. Less after sqz_network_load. */
size_t sqz_arena_bytes(const sqz_network *network, uint32_t photo_height, uint32_t photo_width);

/* Classify a photo: write one logit for each class. */
sqz_error sqz_classify(const sqz_network *network, const sqz_photo *photo, float *arena, size_t arena_bytes,
                       float *logits);

/* The same for input that is prepared already: height x width x channels, in the file's order of channels. */
sqz_error sqz_run(const sqz_network *network, const float *input, float *arena, size_t arena_bytes, float *logits);

/* Resize, crop and normalize a photo as the file says, with the pixels of Pillow's bilinear resize. The workspace,
 * aligned to int32_t, has sqz_preprocess_bytes; SQZ_SMALL_WORKSPACE if it has less. */
size_t sqz_preprocess_bytes(const sqz_file *file, uint32_t photo_height, uint32_t photo_width);
sqz_error sqz_preprocess(const sqz_file *file, const sqz_photo *photo, float *input, void *workspace,
                         size_t workspace_bytes);

/* Turn logits into probabilities, in place. */
void sqz_softmax(float *logits, uint32_t classes);

#ifdef __cplusplus
}
#endif

#endif

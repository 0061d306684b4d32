/* The model, and the memory that it needs: see README.md. */
#ifndef MODEL_H
#define MODEL_H

#include "sqz_network.h"

$numbers

#ifdef __cplusplus
extern "C" {
#endif

extern const uint8_t model[MODEL_BYTES]; /* the .sqz file */
extern const char *const model_classes[MODEL_CLASSES];
extern const sqz_photo sample;

#ifdef __cplusplus
}
#endif

#endif

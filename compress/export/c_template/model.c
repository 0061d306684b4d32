#include "model.h"

const char *const model_classes[MODEL_CLASSES] = {
$classes};

const uint8_t model[MODEL_BYTES] = {
$bytes};

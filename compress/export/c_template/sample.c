/* A photo of a cat. Replace it by what your camera sees. */
#include "model.h"

static const uint8_t pixels[$count] = {
$pixels};

const sqz_photo sample = {pixels, $side, $side, 3, 3 * $side};

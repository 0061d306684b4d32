/* Classifies ten handwritten digits with a network that runs from its compressed file in flash. */
#include "board.h"
#include "digits.h"
#include "model.h"

/* Weights are decoded for each photo, 16 filters at a time. */
static uint64_t workspace[MODEL_WORKSPACE_BYTES / sizeof(uint64_t) + 1];
static sqz_value values[MODEL_VALUES];
static float arena[MODEL_STREAMING_ARENA_BYTES / sizeof(float)], logits[MODEL_CLASSES];

static int refuse(sqz_error error) {
    board_print(sqz_error_name(error));
    board_print("\n");
    return 1;
}

static void print(const char *before, uint32_t number, const char *after) {
    board_print(before);
    board_print_number(number);
    board_print(after);
}

/* Prints the most probable class and its probability. */
static void print_answer(void) {
    uint32_t i, best = 0;
    sqz_softmax(logits, MODEL_CLASSES);
    for (i = 1; i < MODEL_CLASSES; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    print(", answer ", best, "");
    print(", probability ", (uint32_t)(1000 * logits[best] + 0.5f), "/1000");
}

int main(void) {
    sqz_file file;
    sqz_network network;
    uint32_t i;
    sqz_error error = sqz_open(&file, model, MODEL_BYTES, workspace, sizeof workspace);
    error = error ? error : sqz_network_open(&network, &file, values, MODEL_VALUES);
    if (error) {
        return refuse(error);
    }
    for (i = 0; i < DIGITS; i++) {
        sqz_photo photo = {digits[i], DIGIT_SIDE, DIGIT_SIDE, 1, DIGIT_SIDE};
        uint64_t begin = board_cycles();
        error = sqz_classify(&network, &photo, arena, sizeof arena, logits);
        if (error) {
            return refuse(error);
        }
        begin = board_cycles() - begin;
        print("digit ", i, "");
        print_answer();
        print(", ", (uint32_t)begin, " cycles\n");
    }
    print("flash: ", board_flash_bytes(), " bytes\n");
    print("RAM: ", board_ram_bytes(), " bytes\n");
    return 0;
}

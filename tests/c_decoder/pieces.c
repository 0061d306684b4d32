/* Test of the decoder with the exact minimum of workspace, and of weights computed from symbols. Prints the first
 * failure; exit code 0 without one. */
#include "sqz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, size_t number) {
    printf("%s: %lu\n", what, (unsigned long)number);
    return 1;
}

/* Checks that symbols, read one by one, give the decoded weights at their positions. */
static int check_tensor(const sqz_file *file, const sqz_tensor *tensor) {
    float *weights = (float *)malloc(4 * (size_t)tensor->weights + 1);
    sqz_weights pieces;
    sqz_error error = sqz_decode(file, tensor, weights, tensor->weights);
    int bad = error ? fail(sqz_error_name(error), tensor->index) : 0;
    if (!bad && tensor->form == SQZ_SHARED) {
        float none;
        bad = sqz_begin(file, tensor, &pieces) ? fail("begin", tensor->index) : 0;
        if (!bad && tensor->coefficients && tensor->weights) {
            error = sqz_read_weights(&pieces, &none, 1);
            bad = error != SQZ_UNSUPPORTED_IN_PIECES ? fail("a single weight of a kernel", error) : 0;
        }
        while (!bad && pieces.left) {
            uint32_t row = pieces.row, column = pieces.column, tap = pieces.tap;
            size_t at = ((size_t)row * tensor->columns + column) * tensor->taps + tap;
            uint16_t symbol;
            float weight;
            bad = sqz_read_symbols(&pieces, &symbol, 1) ? fail("symbols", at) : 0;
            if (!bad && !tensor->coefficients) {
                weight = sqz_codebook(&pieces, symbol) * sqz_scale(&pieces, row, column);
                bad = memcmp(&weight, weights + at, 4) ? fail("weight", at) : 0;
            }
        }
    }
    free(weights);
    return bad;
}

/* Opens the file with this much workspace, and checks the tensor with this index if that succeeds. */
static sqz_error with_workspace(const uint8_t *bytes, size_t length, size_t workspace_bytes, uint32_t index,
                                sqz_file *file, sqz_tensor *tensor, int *bad) {
    uint8_t *workspace = (uint8_t *)malloc(workspace_bytes + 1);
    sqz_error error = sqz_open(file, bytes, length, workspace + 1, workspace_bytes); /* at an odd address */
    memset(tensor, 0, sizeof *tensor);
    for (error = error ? error : sqz_first(file, tensor); !error && tensor->index < index;) {
        error = sqz_next(file, tensor);
    }
    if (!error) {
        sqz_weights pieces;
        error = sqz_begin(file, tensor, &pieces);
        *bad |= error ? 0 : check_tensor(file, tensor);
    }
    free(workspace);
    return error;
}

int main(void) {
    static uint8_t bytes[1 << 16];
    size_t length = fread(bytes, 1, sizeof bytes, stdin), needed, given;
    uint32_t index, tensors = 1;
    int bad = 0;
    sqz_file file;
    sqz_tensor tensor;
    for (index = 0; index < tensors && !bad; index++) {
        sqz_error error = with_workspace(bytes, length, sizeof bytes, index, &file, &tensor, &bad);
        if (error) {
            return fail(sqz_error_name(error), index);
        }
        tensors = file.tensors;
        needed = tensor.workspace_bytes > file.workspace_bytes ? tensor.workspace_bytes : file.workspace_bytes;
        for (given = 0; given <= needed && !bad; given = given == 2000 && needed > 2100 ? needed - 100 : given + 1) {
            error = with_workspace(bytes, length, given, index, &file, &tensor, &bad);
            if (error != (given < needed ? SQZ_SMALL_WORKSPACE : SQZ_OK)) {
                return fail("unexpected answer with this workspace", given);
            }
        }
    }
    return bad;
}

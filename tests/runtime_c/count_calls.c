/* Opens a network and prints how many functions of the runtime were called: count_calls MODEL. It is built with
 * -finstrument-functions, which calls the function below at the start of each one. */
#include "sqz_network.h"

#include <stdio.h>
#include <stdlib.h>

#define UNCOUNTED __attribute__((no_instrument_function))

void __cyg_profile_func_enter(void *function, void *caller);
void __cyg_profile_func_exit(void *function, void *caller);

static unsigned long calls;

UNCOUNTED void __cyg_profile_func_enter(void *function, void *caller) {
    (void)function;
    (void)caller;
    calls++;
}

UNCOUNTED void __cyg_profile_func_exit(void *function, void *caller) {
    (void)function;
    (void)caller;
}

UNCOUNTED int main(int count, char **words) {
    static uint8_t bytes[1 << 24], workspace[1 << 24];
    static sqz_value values[SQZ_MAX_OPERATIONS + 1];
    FILE *in = count == 2 ? fopen(words[1], "rb") : NULL;
    size_t length = in == NULL ? 0 : fread(bytes, 1, sizeof bytes, in);
    sqz_file file;
    sqz_network network;
    sqz_error error = sqz_open(&file, bytes, length, workspace, sizeof workspace);
    calls = 0; /* names are compared by another bound */
    error = error ? error : sqz_network_open(&network, &file, values, SQZ_MAX_OPERATIONS + 1);
    printf("%s %lu", sqz_error_name(error), calls);
    return 0;
}

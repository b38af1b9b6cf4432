/* fuzz.h -- what a fuzz target offers: the same as libFuzzer wants. */
#ifndef PTT_FUZZ_H
#define PTT_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Uses `data` as foreign bytes.  A defect ends the process (abort, a sanitizer, a fault).  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif

/* error.h -- from the kernel's errors to ours. */
#ifndef PTQ_BASE_ERROR_H
#define PTQ_BASE_ERROR_H

#include <ptq/err.h>

/* The answer that stands for an errno; PTQ_ESYS for those that nobody foresaw; PTQ_OK for 0. */
enum ptq_err pti_err_from_errno(int error);

#endif

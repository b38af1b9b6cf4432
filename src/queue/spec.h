/* spec.h -- what carriers need of specs: the one spelling of a text form, and the size of its messages. */
#ifndef PTQ_QUEUE_SPEC_H
#define PTQ_QUEUE_SPEC_H

#include <ptq/spec.h>

/* Reads the text form and writes it as ptq_spec_text does.  "" is no spec.  The error says what is wrong. */
enum ptq_err pti_spec_read(const char *text, struct ptq_error *error, char canonical[PTQ_SPEC_TEXT_MAX + 1],
                           uint32_t *ret_size);

#endif

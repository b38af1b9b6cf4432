/* null.h -- the queue "!null": gives empty messages for ever and takes everything away. */
#ifndef PTQ_QUEUE_NULL_H
#define PTQ_QUEUE_NULL_H

#include "queue/port.h"

#define PTI_NULL_NAME "!null"

enum ptq_err pti_null_open(struct pti_port **ret_port);

#endif

/* out.h -- outboxes of a bus: what is put with PTQ_ACK_LOCAL stands here until the ptqbridge has carried it home.
 *
 *      ~out.<key>~v2     the queue; <key>: 16 digits, a hash of the target
 *      ~out.<key>~page   whose it is, and how far it was carried:
 *
 *          0  magic   8  version   16  numbers of the target   64  words   120  texts
 *
 * The queue's only consumer is the mover of the bridge that serves this bus.  The page is made before the queue, as a whole, and what
 * stands before and behind the words is never changed but `why`.  Readers believe nothing in it that they have not checked.
 */
#ifndef PTQ_BUS_OUT_H
#define PTQ_BUS_OUT_H

#include "bus/bus.h"
#include "os/segment.h"

#define PTI_OUT_KEY 16 /* digits */
#define PTI_OUT_NAME 32

enum pti_out_state { PTI_OUT_LYING = 0, PTI_OUT_WAITING = 1, PTI_OUT_CARRIED = 2 };

struct pti_out_target {
    uint64_t capacity, bytes;
    uint32_t item_size, header_size, max_deliveries, full;
    uint8_t id[16]; /* of the queue, when the outbox was made */
};

struct pti_out_words {
    _Atomic uint64_t settled; /* by the mover: everything up to this position was carried, or refused */
    _Atomic uint64_t moved, refused; /* messages */
    _Atomic uint32_t news;    /* a futex: settled or refused has changed */
    _Atomic uint32_t refusal; /* enum ptq_err of the last */
    _Atomic uint32_t state;   /* enum pti_out_state, as long as the mover lives */
    uint32_t reserved[5];
};

struct pti_out_page {
    uint64_t magic;
    uint32_t version, has_run;
    struct pti_out_target target;
    struct pti_out_words words;
    char url[256], run[136], name[136], home_run[136], node[64], where[256], spec[1024 + 8];
    char why[256]; /* by the mover: what it waits for */
};

struct pti_out_map {
    struct pti_segment segment;
    struct pti_out_page *page;
};

void pti_out_key(const char *url, const char *run, const char *name, char key[static PTI_OUT_KEY + 1]); /* run: NULL */
void pti_out_queue(const char *key, char name[static PTI_OUT_NAME]);
bool pti_out_is_queue(const char *name);

/* PTQ_ENOENT; PTQ_ECORRUPT; PTQ_EVERSION; PTQ_EPERM. */
enum ptq_err pti_out_open(ptq_bus *bus, const char *key, struct pti_out_map *ret_out);
/* One that is there already is opened. */
enum ptq_err pti_out_make(ptq_bus *bus, const char *key, const struct pti_out_page *page, struct pti_out_map *ret_out);
void pti_out_close(struct pti_out_map *out);
bool pti_out_is_named(ptq_bus *bus, const char *key, const struct pti_out_map *out);

/* Takes the outbox away, if it is empty and nobody has it open.  True: it is gone. */
bool pti_out_remove(ptq_bus *bus, const char *key, struct pti_out_map *out);

/* Calls `each` with the key of every outbox, in no order, until it returns false. */
void pti_out_list(ptq_bus *bus, bool (*each)(const char *key, void *context), void *context);

#endif

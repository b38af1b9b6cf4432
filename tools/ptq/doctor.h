/* doctor.h -- what ptq doctor finds: how it is said, and the rooms that it looks into. */
#ifndef PTQ_DOCTOR_H
#define PTQ_DOCTOR_H

#include <jansson.h>

#include "command.h"

enum doctor_level {
    DOCTOR_OK,   /* looked at, and well */
    DOCTOR_NOTE, /* worth knowing */
    DOCTOR_MEND  /* a trap: say what to do */
};

struct doctor {
    bool quiet;         /* only what is to be mended */
    json_t *findings;   /* NULL: printed as they come */
    unsigned mend;      /* how many */
    char dir[400];      /* where buses live */
    char path[600];     /* the bus: <dir>/<run> */
    const char *run;
    bool chosen;        /* dir was named by somebody */
    bool is_there;      /* path exists */
    uint64_t free_bytes; /* on its mount */
    uint64_t could_grow; /* by so much may the queues of the bus still grow */
    uint64_t largest;    /* file of a queue; 0: there is none */
};

/* A finding: of which check, what was found, and what to do (NULL: nothing). */
void doctor_say(struct doctor *doctor, enum doctor_level level, const char *check, const char *remedy, const char *format,
                ...) __attribute__((format(printf, 5, 6)));

void doctor_look_at_place(struct doctor *doctor);  /* doctor_place.c: directory and mount */
void doctor_look_at_queues(struct doctor *doctor); /* doctor_queues.c */
void doctor_look_at_host(struct doctor *doctor);   /* doctor_host.c: systemd, limits, cgroup, kernel */

/* doctor_pair.c: do these two processes share memory?  TOOL_OK, or TOOL_ERROR: they do not. */
int doctor_pair(const char *one, const char *other, bool json);

/* Reads a small file; false: it cannot be read.  Ends with 0. */
bool doctor_read(const char *path, char *buffer, size_t size);

#endif

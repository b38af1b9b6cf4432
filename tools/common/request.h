/* request.h -- the head of an HTTP request, read from bytes that anybody may have sent. */
#ifndef PTQ_TOOLS_REQUEST_H
#define PTQ_TOOLS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define REQUEST_HEAD_MOST 4096  /* bytes, with the empty line behind it */
#define REQUEST_LINE_MOST 2048  /* of these, the first line */
#define REQUEST_PATH_MOST 512
#define REQUEST_ACCEPT_MOST 1024

struct request {
    bool head_only;                   /* HEAD */
    char path[REQUEST_PATH_MOST + 1]; /* without the query, as it was sent: nothing is decoded */
    char accept[REQUEST_ACCEPT_MOST + 1];
};

/**
 * Looks at the first `size` bytes of a connection.  0: more has to come; 200: it is a GET or HEAD, in *ret_request; else the
 * status that it deserves: 400, 405, 414, 431, 505.  *ret_why: a sentence for it, constant.
 * The same bytes have the same answer however they were cut, once it is not 0.
 */
int request_read(const char *bytes, size_t size, struct request *ret_request, const char **ret_why);

/** How much somebody who says `accept` wants this type, in thousandths: the most precise range that fits decides.  "": 1000. */
int request_wants(const char *accept, const char *type);

#endif

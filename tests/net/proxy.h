/* proxy.h -- a link with faults: forwards a port of the loopback to another, and spoils what it is told to spoil.
 *
 * Nothing that one link waits for (a delay, a socket that takes no more) holds up another.
 */
#ifndef PTQ_TESTS_NET_PROXY_H
#define PTQ_TESTS_NET_PROXY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct proxy_thread;

/* Which way the bytes go: from who dialled, or back. */
enum { PROXY_UP = 0, PROXY_DOWN = 1 };

/* What is done to one direction, of whichever link it meets first.  Counters go back to 0 when they have struck. */
struct proxy_way {
    _Atomic int64_t truncate;       /* > 0: after so many bytes the rest of a piece is lost, and the link goes on */
    _Atomic int64_t duplicate;      /* > 0: after so many bytes the rest of a piece comes twice */
    _Atomic int64_t half_close;     /* > 0: after so many bytes this direction ends, the other goes on */
    _Atomic int stall_after_header; /* > 0: of the so manieth frame only the header goes on; then nothing, on that link */
    _Atomic bool stall;             /* nothing goes on this way, on any link */
};

struct proxy {
    struct proxy_thread *thread;
    char url[64]; /* where to dial instead */
    /* what it does to every byte stream from now on; written by the test at any time */
    _Atomic int delay_ms;      /* before each piece goes on */
    _Atomic int piece;         /* bytes of a piece; 0: as they come */
    _Atomic bool stall;        /* nothing goes on, the links stay */
    _Atomic int cut;           /* > 0: so many links are cut now, in the middle of what they carry */
    _Atomic int64_t corrupt;   /* > 0: after so many bytes one is changed */
    _Atomic int64_t cut_after; /* > 0: after so many bytes the link is cut */
    struct proxy_way way[2];   /* PROXY_UP, PROXY_DOWN */
    /* what happened */
    _Atomic uint64_t links, bytes, faults;
};

/* Forwards to `url` ("tcp://127.0.0.1:port", or ws). */
void proxy_start(struct proxy *proxy, const char *url);
void proxy_stop(struct proxy *proxy);

/* Cuts every link that there is, and waits until that is done. */
void proxy_cut_all(struct proxy *proxy);

#endif

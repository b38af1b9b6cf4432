/* proxy.h -- a link with faults: forwards a port of the loopback to another, and spoils what it is told to spoil. */
#ifndef PTQ_TESTS_NET_PROXY_H
#define PTQ_TESTS_NET_PROXY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct proxy_thread;

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
    /* what happened */
    _Atomic uint64_t links, bytes, faults;
};

/* Forwards to `url` ("tcp://127.0.0.1:port"). */
void proxy_start(struct proxy *proxy, const char *url);
void proxy_stop(struct proxy *proxy);

/* Cuts every link that there is, and waits until that is done. */
void proxy_cut_all(struct proxy *proxy);

#endif

/* figures.h -- what a bridge does, counted by the one thread that owns it, for others to tell.
 *
 * Whoever wants to know leaves a sheet and wakes the serving thread, which fills it between two rounds: nothing of the server is
 * locked or shared for that, and a thread that does not fill it does not serve either, which is what health is about.
 *
 *      IDLE --ask--> ASKED --serving thread--> FILLING --> FILLED --ask--> IDLE
 *                      +-- too late: taken back --> IDLE
 */
#ifndef PTQ_REMOTE_FIGURES_H
#define PTQ_REMOTE_FIGURES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ptq/err.h>
#include <ptq/metrics.h>

#include "base/atomic.h"
#include "remote/caps.h"

#define PTI_CODES 64 /* of enum ptq_err */

struct pti_server;

struct pti_traffic {
    uint64_t links, frames_in, frames_out, bytes_in, bytes_out;
};

/* One session. */
struct pti_session_figures {
    uint64_t number;
    char node[64], peer[96], identity[128];
    bool is_up;
    int64_t down_ms;
    uint64_t channels, leases, requests, rtt_ns; /* requests: without an answer, or not known to be received */
    struct pti_traffic traffic; /* of the link that it has now */
};

struct pti_figures {
    bool lists_sessions; /* asked for */
    bool is_draining;
    int64_t certs_until; /* seconds of 1970; 0: there is none */
    uint64_t listeners, links, sessions, sessions_up, channels, leases, requests, streams, buses;
    uint64_t used[PTI_CAP_THINGS]; /* of what is capped, by all peers */
    struct pti_traffic traffic; /* of all links, ever */
    uint64_t refused[PTI_CODES], denied; /* links; requests */
    struct pti_session_figures *list; /* free() */
    size_t count;
};

struct pti_figures_desk {
    pthread_mutex_t asking;    /* one at a time; the serving thread never takes it */
    _Atomic uint32_t state;
    struct pti_figures *sheet; /* while it is not IDLE */
    ptq_scrape *scrape;        /* with `asking`; NULL: not asked for yet */
    int64_t opened;            /* the bridge */
    struct pti_moved_told {    /* of each address; under the server's `parts` */
        char url[256];
        uint64_t before, told; /* by carriers that are no more; what was told last */
    } *moved;
    size_t moved_count, moved_room;
};

void pti_figures_init(struct pti_figures_desk *desk);
void pti_figures_fini(struct pti_figures_desk *desk);

/* With desk->asking held.  PTQ_TIMEDOUT: the serving thread was busy elsewhere for so long. */
PTQ_MUST_CHECK enum ptq_err pti_figures_ask(struct pti_server *server, int timeout_ms, struct pti_figures *sheet);
/* The same, by who does not hold desk->asking, within PTI_FIGURES_MS; sheet->list is his to free. */
#define PTI_FIGURES_MS 1000
PTQ_MUST_CHECK enum ptq_err pti_figures_look(struct pti_server *server, bool lists_sessions, struct pti_figures *ret_sheet);
/* An address, or a sentence with one, without what stands between :// and @ in it: somebody may have written a password there.  `buffer`. */
const char *pti_figures_clean(const char *text, char *buffer, size_t size);
/* With `parts` held.  The row of an address; NULL: no memory. */
struct pti_moved_told *pti_figures_moved(struct pti_figures_desk *desk, const char *url);
/* A carrier ended that had carried so many. */
void pti_figures_carrier_ended(struct pti_server *server, const char *url, uint64_t moved);

/* The serving thread, once a round. */
void pti_figures_answer(struct pti_server *server);

#endif

/* service.h -- the bridge's side of programs without links: what its files share.
 *
 *      reader    takes requests, one after the other, and hands each to a worker
 *      workers   do what is asked, through links, and wait for it: a request that waits holds one
 *      poster    puts answers, rings bells, frees; so each queue is entered by two threads, and not by every worker
 */
#ifndef PTQ_REMOTE_VIA_SERVICE_H
#define PTQ_REMOTE_VIA_SERVICE_H

#include <uthash.h>

#include "remote/via/out.h"
#include "remote/via/via.h"

struct pti_via_service;

/* A lease that a program has, by the number under which it knows it. */
struct pti_via_lease {
    uint64_t number;
    struct ptq_msg *msg;
    UT_hash_handle hh;
};

/* A handle of a program. */
struct pti_proxy {
    struct pti_via_service *service;
    uint8_t client[PTI_CLIENT_BYTES];
    UT_hash_handle hh;         /* in service->proxies, under its mutex, unless closing */
    struct pti_port *port;     /* over a link */
    uint32_t thing;            /* 0 a queue; a share, a log */
    struct pti_port *answer;
    pthread_mutex_t mutex;
    struct pti_via_lease *leases;
    _Atomic bool closing;
    _Atomic uint32_t running;  /* jobs */
    TAILQ_HEAD(, pti_via_job) jobs; /* under service->mutex: those that are running */
    struct pti_via_bell {
        struct pti_proxy *proxy;
        struct pti_port *port; /* NULL: not asked for */
        int fd;
    } bells[2];
};

/* A queue of requests; what somebody took away is kept until all that came by it are answered. */
struct pti_via_requests {
    struct pti_port *port;
    _Atomic uint32_t under_way;       /* taken by the reader, and not yet acked by the poster */
    struct pti_via_requests *before;  /* of those that were taken away the newest; NULL */
};

/* A request that is under way. */
struct pti_via_job {
    TAILQ_ENTRY(pti_via_job) listed, running, turning;
    struct pti_proxy *proxy; /* NULL: OPEN, LOOK */
    struct pti_ask ask;
    struct ptq_msg *msg;     /* leased from `from`; NULL: the bridge's own */
    struct pti_via_requests *from;
    const uint8_t *body;
    size_t size;
    int64_t deadline;
    uint8_t *own;            /* the body, where there is no msg */
    bool is_listed;          /* in proxy->jobs */
    bool is_turning;         /* in service->turns */
    enum pti_via_end { PTI_VIA_END, PTI_VIA_BEGINS_AGAIN, PTI_VIA_BRIDGE_STOPS } end; /* why a handle is closed */
    bool is_short;           /* it may not wait for as long as it was asked to */
    _Atomic bool cancelled;
};

/* What the poster is to do. */
struct pti_via_post {
    TAILQ_ENTRY(pti_via_post) listed;
    struct pti_proxy *proxy;
    struct ptq_msg *request; /* to be acked; NULL */
    struct pti_via_requests *from;
    uint8_t *answer;         /* NULL: none */
    size_t size;
    uint8_t client[PTI_CLIENT_BYTES]; /* where proxy is NULL */
    bool frees;              /* the proxy, after that */
};

struct pti_via_service {
    ptq_bus *bus;
    pti_via_log *log;
    void *log_context;
    struct pti_via_requests *requests; /* under the mutex, but for the reader, who alone changes it */
    struct pti_via_carrier *carrier; /* of the outboxes */
    int poll_fd, wake_fd;
    pthread_t reader, poster;
    bool has_reader, has_poster;
    _Atomic bool stopping, is_posting, is_serving;
    _Atomic uint64_t last_lease;
    pthread_mutex_t mutex;
    pthread_cond_t news;     /* a job, or the end */
    pthread_cond_t fewer;    /* workers, or proxies */
    TAILQ_HEAD(, pti_via_job) jobs;
    TAILQ_HEAD(, pti_via_job) turns; /* that open or close a handle: of one handle in turn */
    TAILQ_HEAD(, pti_via_post) posts;
    struct pti_proxy *proxies;
    unsigned proxy_count;    /* those that are closing included */
    unsigned workers, idle;
};

/* Where it may be killed, for tests: those of remote/step.h that service.c comes by (it cannot include that beside the ring's own). */
enum pti_via_step { PTI_VIA_READ, PTI_VIA_DONE, PTI_VIA_POSTED, PTI_VIA_ACKED };
void pti_via_step(enum pti_via_step step);

/* work.c: does what is asked, and lets the poster answer. */
void pti_via_do(struct pti_via_service *service, struct pti_via_job *job);
/* Nobody waits for its answer any more. */
bool pti_via_is_given_up(const struct pti_via_job *job);

/* share.c: does a look or a wait.  May such a thing be asked so?  Are these puts a change of a share? */
void pti_via_share_do(struct pti_via_job *job);
bool pti_via_share_takes(const struct pti_proxy *proxy, uint8_t verb);
bool pti_via_share_puts(const struct pti_put *puts, size_t count);

/* proxy.c: the life of a handle, as it is asked for. */
void pti_proxy_open(struct pti_via_service *service, struct pti_via_job *job);
void pti_proxy_close(struct pti_via_job *job);
void pti_proxy_cancel(struct pti_via_service *service, struct pti_via_job *job);
enum ptq_err pti_proxy_add_bell(struct pti_proxy *proxy, enum ptq_side side);
void pti_via_look(struct pti_via_service *service, struct pti_via_job *job);
void pti_proxy_free(struct pti_proxy *proxy); /* by the poster */

/* answer.c: with so many bytes behind its head, which are the caller's to write (NULL: no memory); and said, with a value, why, or as the
 * link explains it where it does. */
uint8_t *pti_via_new_answer(const struct pti_via_job *job, uint32_t code, uint64_t value, size_t behind);
void pti_via_answer(struct pti_via_service *service, struct pti_via_job *job, uint32_t code, uint64_t value);
void pti_via_answer_why(struct pti_via_service *service, struct pti_via_job *job, uint32_t code, const char *text);
void pti_via_answer_code(struct pti_via_job *job, enum ptq_err code, uint64_t value);

/* poster.c: its thread. */
void *pti_via_post_answers(void *service);

/* workers.c */
void pti_via_submit(struct pti_via_service *service, struct pti_via_job *job);
/* Takes the answer.  request may be NULL. */
void pti_via_post(struct pti_via_service *service, struct pti_via_job *job, uint8_t *answer, size_t size, bool frees);
void pti_via_job_free(struct pti_via_job *job);

/* handles.c.  find, add_job: with the mutex held; all others here take it.  Only the reader takes handles out of the list, and whoever stops
 * the service once the reader has ended. */
struct pti_proxy *pti_via_find(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES]);
/* The job is one of this handle's, which is counted. */
void pti_via_add_job(struct pti_proxy *proxy, struct pti_via_job *job);
/* The job is one of this handle's; false: that is not known any more. */
bool pti_via_join(struct pti_via_service *service, struct pti_proxy *proxy, struct pti_via_job *job);
/* It is known from now on; false: the service is being stopped, or the handle is being opened anew. */
bool pti_via_enlist(struct pti_via_service *service, struct pti_proxy *proxy, const struct pti_via_job *job);
/* By the reader, and when that has ended: nobody finds it any more, and a worker ends it: for the program, or by ourselves.  Law: the home
 * forgets the handle's puts only with the handle: not with this bridge. */
void pti_via_end_handle(struct pti_via_service *service, struct pti_proxy *proxy, struct pti_via_job *job);
void pti_via_close_handle(struct pti_via_service *service, struct pti_proxy *proxy, enum pti_via_end end);
/* The other open has its stream: it is closed behind that. */
void pti_via_begin_again(struct pti_via_service *service, struct pti_proxy *proxy);
/* The first one, after NULL.  By the reader: workers add to the list meanwhile, but take nobody out. */
struct pti_proxy *pti_via_next(struct pti_via_service *service, const struct pti_proxy *proxy);
/* Handles, or some that are being opened and may be listed at any moment? */
bool pti_via_is_anybody_here(struct pti_via_service *service);
void pti_via_look_for_dead(struct pti_via_service *service);
/* What programs that were killed left, when no bridge was there to see it. */
void pti_via_remove_strays(ptq_bus *bus);

/* turns.c.  join, supersede: with the mutex held: it comes after those that are there; whoever opens the handle is late, for it is opened
 * again. */
void pti_via_turn_join(struct pti_via_service *service, struct pti_via_job *job);
void pti_via_turn_supersede(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES]);
/* Waits until those before it, of its handle, have ended theirs. */
void pti_via_turn_begin(struct pti_via_service *service, struct pti_via_job *job);
void pti_via_turn_end(struct pti_via_service *service, struct pti_via_job *job);
/* Waits until nobody opens the handle. */
void pti_via_turn_wait(struct pti_via_service *service, const uint8_t client[PTI_CLIENT_BYTES]);

/* service.c */
void pti_via_say(struct pti_via_service *service, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

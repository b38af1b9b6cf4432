/* main.c -- what a spawned worker does: reads its command line, ties itself to its parent, works, leaves.
 *
 *   argv: <program> --ptq-worker pool=<address> run= dir= node= peers= via= [insecure=1] [keys=] [name=] count= [exec=] [unseen=1] [record=]
 *         [plugin=] [jobs=] [rss=] [cpus=] [spread=1] [nice=]
 *         slot=<n> status=<descriptor> alarm=<descriptor> tether=<descriptor>                            (staff.c, supervisor.c, child.c)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/bus.h"
#include "os/spawn.h"
#include "pool/pool.h"
#include "process/affinity.h"
#include "process/life.h"
#include "process/tether.h"
#include "process/watchdog.h"
#include "process/words.h"

static bool main_was_called;
static struct {
    enum ptq_err (*fn)(void *user);
    void *user;
} init;

bool pti_worker_main_was_called(void)
{
    return main_was_called;
}

void ptq_worker_init(enum ptq_err (*fn)(void *user), void *user)
{
    init.fn = fn;
    init.user = user;
}

/* Asked to leave by the parent, in the thread of the tether; perhaps before the pool is open or while it is closed. */
static struct {
    pthread_mutex_t mutex;
    ptq_pool *pool;
    bool asked;
} work_for = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void leave(void *unused)
{
    (void)unused;
    (void)pthread_mutex_lock(&work_for.mutex);
    work_for.asked = true;
    if (work_for.pool != NULL)
        ptq_pool_leave(work_for.pool);
    (void)pthread_mutex_unlock(&work_for.mutex);
}

/* Which pool is to be left; NULL: none any more. */
static void set_pool(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&work_for.mutex);
    work_for.pool = pool;
    if (pool != NULL && work_for.asked)
        ptq_pool_leave(pool);
    (void)pthread_mutex_unlock(&work_for.mutex);
}

/* -- the command line ----------------------------------------------------------------------------------------- */

/* Its processors and its place among the others: before it has threads, which get the same. */
static void settle_down(char **words, unsigned slot)
{
    const char *cpus = pti_words_find(words, "cpus="), *nice_text = pti_words_find(words, "nice=");
    char one[16];
    if (cpus != NULL)
        (void)pti_cpus_keep_to(cpus); /* one that was taken away meanwhile: then any */
    if (pti_words_find(words, "spread=") != NULL) {
        (void)snprintf(one, sizeof one, "%u", pti_cpus_nth(slot));
        (void)pti_cpus_keep_to(one);
    }
    if (nice_text != NULL)
        (void)!nice(atoi(nice_text)); /* a hint */
}

/* -- the work ------------------------------------------------------------------------------------------------- */

static enum ptq_err open_bus(char **words, struct ptq_error *error, ptq_bus **ret_bus)
{
    struct ptq_bus_options options = {.dir = pti_words_find(words, "dir="), .peers = pti_words_find(words, "peers="),
                                      .node = pti_words_find(words, "node="), .via = pti_words_find(words, "via="),
                                      .insecure = pti_words_find(words, "insecure=") != NULL,
                                      .keys = pti_words_find(words, "keys="), .error = error};
    return ptq_bus_open(pti_words_find(words, "run="), &options, ret_bus);
}

static void name_worker(struct pti_worker *worker, const char *name)
{
    int most = PTI_RESULT_NAME_MAX - 12;
    (void)snprintf(worker->name, sizeof worker->name, "%.*s-%u", most, name != NULL ? name : "worker", worker->slot);
}

static enum ptq_err call_init(struct ptq_error *error)
{
    enum ptq_err err = init.fn != NULL ? init.fn(init.user) : PTQ_OK;
    if (err == PTQ_OK)
        return PTQ_OK;
    return pti_error(error, err, "the function given to ptq_worker_init answered %s: %s", ptq_err_name(err),
                     ptq_strerror(err));
}

/* In place before the tether's thread begins, which is the watchdog. */
static struct pti_worker the_worker;

static enum ptq_err run(char **words, ptq_pool *pool, struct pti_status *status, struct ptq_error *error)
{
    struct pti_worker *worker = &the_worker;
    *worker = (struct pti_worker){.pool = pool, .exec = pti_words_find(words, "exec="), .status = status, .watched = true,
                                  .unseen = pti_words_find(words, "unseen=") != NULL, .record = pti_words_count(words, "record="),
                                  .most_jobs = pti_words_count(words, "jobs="), .most_bytes = pti_words_count(words, "rss="),
                                  .slot = (unsigned)pti_words_number(words, "slot="), .count = (unsigned)pti_words_number(words, "count=")};
    name_worker(worker, pti_words_find(words, "name="));
    pti_crash_watch(worker);
    set_pool(pool);
    enum ptq_err err = pti_worker_run(worker);
    set_pool(NULL);
    pti_worker_fini(worker);
    char text[300];
    if (err != PTQ_OK && err != PTQ_EINTR && err != PTQ_EGONE)
        return pti_error(error, err, "%s", ptq_pool_explain(pool, err, text, sizeof text));
    return PTQ_OK;
}

static enum ptq_err work(char **words, struct pti_status *status, struct ptq_error *error)
{
    ptq_bus *bus = NULL;
    ptq_pool *pool = NULL;
    struct ptq_pool_options options = {.mode = PTQ_ATTACH, .error = error};
    enum ptq_err err = open_bus(words, error, &bus);
    if (err == PTQ_OK && pti_words_find(words, "plugin=") != NULL)
        err = ptq_task_load(pti_words_find(words, "plugin="), error);
    if (err == PTQ_OK)
        err = ptq_pool_open(bus, pti_words_find(words, "pool="), &options, &pool);
    if (err == PTQ_EGONE || err == PTQ_ENOENT)
        err = PTQ_OK; /* aborted in the meantime: nothing is left to do */
    else if (err == PTQ_OK)
        err = call_init(error);
    if (err == PTQ_OK && pool != NULL)
        err = run(words, pool, status, error);
    ptq_pool_close(pool);
    ptq_bus_close(bus);
    return err;
}

void ptq_worker_main(int argc, char **argv)
{
    main_was_called = true;
    pti_process_main(argc, argv); /* does not return in a supervised process */
    if (argc < 2 || strcmp(argv[1], PTI_WORKER_FLAG) != 0)
        return;
    char **words = argv + 2;
    struct pti_status *status = NULL;
    struct ptq_error error = {.code = PTQ_OK};
    int tether = pti_words_number(words, "tether="), page = pti_words_number(words, "status="), slot = pti_words_number(words, "slot=");

    if (tether < 0 || page < 0 || slot < 0 || pti_words_find(words, "pool=") == NULL) {
        (void)fprintf(stderr, "%s: %s is for ptq_pool_spawn only\n", argv[0], PTI_WORKER_FLAG);
        exit(2);
    }
    pti_name_process(argv[0]);
    settle_down(words, (unsigned)slot);
    if (pti_status_join(page, (unsigned)slot, &status) != 0)
        exit(1);
    struct pti_watchdog_options limits = {.last_word = pti_limit_last_word, .context = &the_worker, .status = status,
                                          .alarm = pti_words_number(words, "alarm=")};
    if (pti_watchdog_start(&limits) != 0 || pti_tether_hold(tether, leave, NULL) != 0)
        exit(1);
    enum ptq_err err = work(words, status, &error);
    pti_store_release(&status->left, err != PTQ_OK ? 0 : the_worker.used_up ? 2 : 1);
    if (err != PTQ_OK)
        (void)snprintf(status->last_words, sizeof status->last_words, "%.199s", error.text);
    exit(err == PTQ_OK ? 0 : 1);
}

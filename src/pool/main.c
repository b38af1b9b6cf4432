/* main.c -- what a spawned worker does: reads its command line, ties itself to its parent, works, leaves.
 *
 *   argv: <program> --ptq-worker pool=<address> run= dir= node= peers= via= [insecure=1] [keys=] [name=] count= [exec=]
 *         slot=<n> status=<descriptor> tether=<descriptor>                            (staff.c, supervisor.c, child.c)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/bus.h"
#include "os/spawn.h"
#include "pool/pool.h"
#include "process/tether.h"

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

/* The value of "key=value" among the words; NULL: it is not there. */
static const char *value_of(char **words, const char *key)
{
    size_t size = strlen(key);
    for (; *words != NULL; words++)
        if (strncmp(*words, key, size) == 0)
            return *words + size;
    return NULL;
}

static int number_of(char **words, const char *key)
{
    const char *value = value_of(words, key);
    return value != NULL ? atoi(value) : -1;
}

/* -- the work ------------------------------------------------------------------------------------------------- */

static enum ptq_err open_bus(char **words, struct ptq_error *error, ptq_bus **ret_bus)
{
    struct ptq_bus_options options = {.dir = value_of(words, "dir="), .peers = value_of(words, "peers="),
                                      .node = value_of(words, "node="), .via = value_of(words, "via="),
                                      .insecure = value_of(words, "insecure=") != NULL,
                                      .keys = value_of(words, "keys="), .error = error};
    return ptq_bus_open(value_of(words, "run="), &options, ret_bus);
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

static enum ptq_err run(char **words, ptq_pool *pool, struct pti_status *status, struct ptq_error *error)
{
    struct pti_worker worker = {.pool = pool, .exec = value_of(words, "exec="), .status = status,
                                .slot = (unsigned)number_of(words, "slot="),
                                .count = (unsigned)number_of(words, "count=")};
    name_worker(&worker, value_of(words, "name="));
    set_pool(pool);
    enum ptq_err err = pti_worker_run(&worker);
    set_pool(NULL);
    pti_worker_fini(&worker);
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
    if (err == PTQ_OK)
        err = ptq_pool_open(bus, value_of(words, "pool="), &options, &pool);
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
    if (argc < 2 || strcmp(argv[1], PTI_WORKER_FLAG) != 0)
        return;
    char **words = argv + 2;
    struct pti_status *status = NULL;
    struct ptq_error error = {.code = PTQ_OK};
    int tether = number_of(words, "tether="), page = number_of(words, "status="), slot = number_of(words, "slot=");

    if (tether < 0 || page < 0 || slot < 0 || value_of(words, "pool=") == NULL) {
        (void)fprintf(stderr, "%s: %s is for ptq_pool_spawn only\n", argv[0], PTI_WORKER_FLAG);
        exit(2);
    }
    pti_name_process(argv[0]);
    if (pti_tether_hold(tether, leave, NULL) != 0 || pti_status_join(page, (unsigned)slot, &status) != 0)
        exit(1);
    enum ptq_err err = work(words, status, &error);
    pti_store_release(&status->left, err == PTQ_OK);
    if (err != PTQ_OK)
        (void)snprintf(status->last_words, sizeof status->last_words, "%.223s", error.text);
    exit(err == PTQ_OK ? 0 : 1);
}

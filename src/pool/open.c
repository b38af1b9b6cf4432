/* open.c -- a pool is two queues: <pool>.jobs and <pool>.done.
 *
 * Law: done is made first and jobs last, so whoever finds jobs finds done.  A creator that dies or is stopped in between leaves a done
 * without jobs, and nothing in it: whoever would have made the same one makes the jobs.  Any other done without jobs is what a remover left:
 * the next creator removes it.  Law: nobody removes a done but where there are no jobs.
 */
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fork.h"
#include "base/time.h"
#include "bus/bus.h"
#include "os/event.h"
#include "pool/pool.h"

#define DEFAULT_ITEM_SIZE 4096u
#define DEFAULT_CAPACITY 1000u
#define WINDOW_PER_PROCESSOR 10u
#define POLITE_MS 1000
#define RETRY_NS (5 * PTI_NS_PER_MS)
#define RETRIES 400

unsigned pti_processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (unsigned)count : 1;
}

int pti_ms_until(int64_t deadline)
{
    if (deadline == PTI_DEADLINE_NEVER)
        return -1;
    int64_t left = (deadline - pti_now_ns() + PTI_NS_PER_MS - 1) / PTI_NS_PER_MS;
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* -- names ---------------------------------------------------------------------------------------------------- */

/* "index@node" and ".jobs" make "index.jobs@node"; an address gets it at its end.  NULL: no memory. */
static char *with_suffix(const char *address, const char *suffix)
{
    bool is_url = strstr(address, "://") != NULL;
    size_t bare = is_url ? strlen(address) : strcspn(address, "@");
    char *name = NULL;
    if (asprintf(&name, "%.*s%s%s", (int)bare, address, suffix, address + bare) < 0)
        return NULL;
    return name;
}

static void bare_name(const char *address, char *buffer, size_t size)
{
    const char *slash = strstr(address, "://") != NULL ? strrchr(address, '/') : NULL;
    const char *start = slash != NULL ? slash + 1 : address;
    (void)snprintf(buffer, size, "%.*s", (int)strcspn(start, "@"), start);
}

struct names {
    char *jobs, *done;
};

static void free_names(struct names *names)
{
    free(names->jobs);
    free(names->done);
}

static enum ptq_err make_names(const char *address, struct ptq_error *error, struct names *ret_names)
{
    char bare[PTQ_NAME_MAX + 16];
    bare_name(address, bare, sizeof bare);
    if (!pti_name_is_valid(bare) || strlen(bare) > PTQ_NAME_MAX - 5)
        return pti_error(error, PTQ_EINVAL,
                         "'%.140s' is not a name for a pool: use letters, digits, '.', '_' and '-', up to %d, the first "
                         "not a dot",
                         address, PTQ_NAME_MAX - 5);
    *ret_names = (struct names){with_suffix(address, ".jobs"), with_suffix(address, ".done")};
    if (ret_names->jobs != NULL && ret_names->done != NULL)
        return PTQ_OK;
    free_names(ret_names);
    return pti_error(error, PTQ_ENOMEM, "no memory to open pool '%s'", bare);
}

/* -- the two queues ------------------------------------------------------------------------------------------- */

static struct pti_open base_of(const struct ptq_pool_options *options, enum ptq_open_mode mode)
{
    return (struct pti_open){
        .options = {.mode = mode, .max_endpoints = mode == PTQ_ATTACH ? 0 : options->max_endpoints,
                    .file_mode = options->file_mode, .ephemeral = options->ephemeral, .error = options->error},
        .window = options->window,
    };
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* A trace fits in any case; larger items have room for more headers by themselves. */
static uint32_t header_size(uint32_t item_size)
{
    return item_size < 1024 ? 128 : 0;
}

static uint32_t done_item_size(uint32_t result_size)
{
    return larger(result_size, PTI_RESULT_LEAST) + PTI_RESULT_ROOM;
}

static enum ptq_err attach(ptq_pool *pool, const struct names *names, const struct ptq_pool_options *options,
                           const struct pti_open *more)
{
    struct pti_open jobs = base_of(options, PTQ_ATTACH), done = jobs;
    jobs.options.wait_ms = options->mode == PTQ_ATTACH ? options->wait_ms : 0;
    jobs.options.flags = more != NULL ? more->options.flags : 0;
    jobs.options.capacity = options->capacity;
    jobs.options.item_size = options->item_size != 0 ? options->item_size + PTI_JOB_ROOM : 0;
    done.options.item_size = options->result_size != 0 ? done_item_size(options->result_size) : 0;
    enum ptq_err err = pti_queue_open(pool->bus, names->jobs, &jobs, &pool->jobs);
    if (err != PTQ_OK)
        return err;
    if (pool->jobs->port->window == 0 || pool->jobs->port->placed)
        return pti_error(options->error, PTQ_EMISMATCH,
                         "'%s' is an ordinary queue, not the jobs of a pool: choose another name for the pool",
                         pool->jobs->name);
    err = pti_queue_open(pool->bus, names->done, &done, &pool->done);
    if (err == PTQ_ENOENT)
        return pti_error(options->error, PTQ_EGONE,
                         "the pool '%s' has lost its queue of results: remove it and make it again", pool->name);
    if (err != PTQ_OK)
        return err;
    pool->unordered = !pool->done->port->placed;
    if (options->unordered && !pool->unordered)
        return pti_error(options->error, PTQ_EMISMATCH,
                         "pool '%s' exists and gives its results in order: open it without unordered, or choose another name",
                         pool->name);
    return PTQ_OK;
}

/* A done that somebody else has just made, or has died making: is it what we would have made, and not used yet?  PTQ_EEXIST: no. */
static enum ptq_err join(ptq_pool *pool, const struct names *names, const struct ptq_pool_options *options, const struct pti_open *asked)
{
    struct pti_open attach = base_of(options, PTQ_ATTACH);
    struct ptq_queue_stats stats;
    attach.window = 0;
    enum ptq_err err = pti_queue_open(pool->bus, names->done, &attach, &pool->done);
    if (err != PTQ_OK)
        return err == PTQ_ENOENT || err == PTQ_EGONE || err == PTQ_EMISMATCH ? PTQ_EEXIST : err; /* gone meanwhile, or another one */
    const struct pti_port *port = pool->done->port;
    bool same = port->capacity == asked->options.capacity && port->item_size == asked->options.item_size &&
                port->window == asked->window && port->placed == asked->placed; /* room for headers follows from item_size */
    if (same && asked->start == 0 && ptq_queue_stats(pool->done, &stats) == PTQ_OK && stats.put == 0 && !stats.ended)
        return PTQ_OK;
    ptq_queue_close(pool->done);
    pool->done = NULL;
    return PTQ_EEXIST;
}

/* Both rings get the same number of slots: done's capacity is what the larger of capacity and window asks for. */
static enum ptq_err create(ptq_pool *pool, const struct names *names, const struct ptq_pool_options *options,
                           const struct pti_open *more)
{
    uint64_t window = options->window != 0 ? options->window : (uint64_t)WINDOW_PER_PROCESSOR * pti_processors();
    uint64_t capacity = options->capacity != 0 ? options->capacity : DEFAULT_CAPACITY;
    uint32_t result_size = options->result_size != 0 ? options->result_size : DEFAULT_ITEM_SIZE;
    struct pti_open jobs = base_of(options, PTQ_CREATE), done;
    jobs.window = window;
    jobs.start = more != NULL ? more->start : 0;
    jobs.options.last_producer_ends = more != NULL && more->options.last_producer_ends;
    jobs.options.flags = more != NULL ? more->options.flags : 0;
    jobs.options.max_deliveries = PTQ_NEVER; /* the pool counts lives itself: a dead letter would be a hole */
    done = jobs;
    done.options.flags = 0;
    done.options.last_producer_ends = false;
    jobs.options.capacity = capacity;
    jobs.options.item_size = (options->item_size != 0 ? options->item_size : DEFAULT_ITEM_SIZE) + PTI_JOB_ROOM;
    done.options.capacity = capacity > window ? capacity : window;
    done.options.item_size = done_item_size(result_size);
    jobs.options.header_size = header_size(jobs.options.item_size);
    done.options.header_size = header_size(done.options.item_size);
    pool->unordered = options->unordered;
    done.placed = !pool->unordered;
    done.window = pool->unordered ? 0 : window;
    enum ptq_err err = pti_queue_open(pool->bus, names->done, &done, &pool->done);
    if (err == PTQ_EEXIST)
        err = join(pool, names, options, &done);
    if (err != PTQ_OK)
        return err;
    err = pti_queue_open(pool->bus, names->jobs, &jobs, &pool->jobs);
    if (err == PTQ_OK)
        return PTQ_OK;
    ptq_queue_close(pool->done);
    pool->done = NULL;
    if (err != PTQ_EEXIST) { /* else somebody was faster, and done is his */
        enum ptq_err ignored = ptq_queue_unlink(pool->bus, names->done, false);
        (void)ignored;
    }
    return err;
}

static void close_queues(ptq_pool *pool)
{
    ptq_queue_close(pool->jobs);
    ptq_queue_close(pool->done);
    pool->jobs = pool->done = NULL;
}

static bool has_jobs(ptq_pool *pool, const struct names *names, const struct ptq_pool_options *options)
{
    struct pti_open attach = base_of(options, PTQ_ATTACH);
    attach.window = 0;
    enum ptq_err err = pti_queue_open(pool->bus, names->jobs, &attach, &pool->jobs);
    close_queues(pool);
    return err != PTQ_ENOENT;
}

/* A done without jobs that is not to be joined: another creator is just at it, with other options, or a remover died there. */
static void clear_away(ptq_pool *pool, const struct names *names, const struct ptq_pool_options *options, unsigned attempt)
{
    if (attempt % 8 == 7 && !has_jobs(pool, names, options) && ptq_queue_unlink(pool->bus, names->done, false) == PTQ_OK)
        return; /* nobody had it open */
    (void)nanosleep(&(struct timespec){.tv_nsec = RETRY_NS}, NULL);
}

static enum ptq_err open_or_create(ptq_pool *pool, const struct names *names, const struct ptq_pool_options *options,
                                   const struct pti_open *more)
{
    enum ptq_err err = PTQ_EBUSY;
    for (unsigned attempt = 0; attempt < RETRIES; attempt++) {
        err = attach(pool, names, options, more);
        if (err == PTQ_OK && options->mode == PTQ_CREATE) {
            close_queues(pool);
            return pti_error(options->error, PTQ_EEXIST, "pool '%s' exists already: attach to it, or choose another name",
                             pool->name);
        }
        if (err != PTQ_ENOENT || options->mode == PTQ_ATTACH)
            return err;
        err = create(pool, names, options, more);
        if (err != PTQ_EEXIST)
            return err;
        close_queues(pool);
        clear_away(pool, names, options, attempt);
    }
    return pti_error(options->error, PTQ_EBUSY, "pool '%s' is just being made or removed by somebody else: try again",
                     pool->name);
}

/* -- the handle ----------------------------------------------------------------------------------------------- */

static enum ptq_err check_options(const struct ptq_pool_options *options)
{
    if (options->item_size > PTQ_POOL_ITEM_MAX || options->result_size > PTQ_POOL_ITEM_MAX)
        return pti_error(options->error, PTQ_EINVAL, "item_size and result_size of a pool may be %u at most",
                         (unsigned)PTQ_POOL_ITEM_MAX);
    if (options->lives > UINT16_MAX)
        return pti_error(options->error, PTQ_EINVAL, "lives may be %u at most", UINT16_MAX);
    if (!(options->per_second >= 0 && options->per_second <= 1e9))
        return pti_error(options->error, PTQ_EINVAL, "per_second may be from 0 to 1e9");
    struct pti_job_call call;
    if (!pti_job_call_of(&options->call, 0, &call))
        return pti_error(options->error, PTQ_EINVAL,
                         "in call, timeout_ms and delay_ms may be %u at most, retries %u, and backoff is from 1 to %u",
                         PTI_JOB_MS_MAX, PTI_JOB_RETRIES_MAX, PTI_JOB_BACKOFF_MAX / 100);
    return PTQ_OK;
}

static enum ptq_err init_pool(ptq_pool *pool, ptq_bus *bus, const char *address, const struct ptq_pool_options *options)
{
    pool->bus = bus;
    pool->interval_ns = options->per_second > 0 ? (int64_t)(1e9 / options->per_second) : 0;
    pool->generation = pti_fork_generation();
    (void)pti_job_call_of(&options->call, options->lives != 0 ? options->lives : PTI_POOL_DEFAULT_LIVES, &pool->call);
    bare_name(address, pool->name, sizeof pool->name);
    pool->address = strdup(address);
    pti_order_init(&pool->order);
    pti_claims_init(&pool->claims);
    pti_staff_init(&pool->staff);
    (void)pthread_mutex_init(&pool->mutex, NULL);
    return pool->address != NULL ? PTQ_OK : PTQ_ENOMEM;
}

static enum ptq_err open_pool(ptq_bus *bus, const char *name, const struct ptq_pool_options *options,
                              const struct pti_open *more, ptq_pool **ret_pool)
{
    struct names names;
    enum ptq_err err = check_options(options);
    if (err == PTQ_OK)
        err = make_names(name, options->error, &names);
    if (err != PTQ_OK)
        return err;
    ptq_pool *pool = calloc(1, sizeof *pool);
    err = pool != NULL ? init_pool(pool, bus, name, options) : PTQ_ENOMEM;
    if (err == PTQ_OK)
        err = open_or_create(pool, &names, options, more);
    if (err == PTQ_OK && pool->unordered)
        err = pti_unordered_begin(pool);
    free_names(&names);
    if (err != PTQ_OK) {
        ptq_pool_close(pool);
        return err;
    }
    pool->window = pool->jobs->port->window;
    pool->item_size = pool->jobs->port->item_size - PTI_JOB_ROOM;
    pool->result_size = pool->done->port->item_size - PTI_RESULT_ROOM;
    *ret_pool = pool;
    return PTQ_OK;
}

enum ptq_err pti_pool_open(ptq_bus *bus, const char *name, const struct ptq_pool_options *options,
                           const struct pti_open *more, ptq_pool **ret_pool)
{
    /* An attempt that fails on the way to success must not show in the caller's error. */
    struct ptq_pool_options own = {0};
    struct ptq_error error = {0};
    if (bus == NULL || name == NULL || ret_pool == NULL)
        return PTQ_EINVAL;
    if (options != NULL)
        own = *options;
    own.error = &error;
    enum ptq_err err = open_pool(bus, name, &own, more, ret_pool);
    if (err != PTQ_OK && options != NULL && options->error != NULL) {
        if (error.code != err)
            (void)pti_error(&error, err, "cannot open pool '%.140s': %s", name, ptq_strerror(err));
        *options->error = error;
    }
    return err;
}

enum ptq_err ptq_pool_open(ptq_bus *bus, const char *name, const struct ptq_pool_options *options, ptq_pool **ret_pool)
{
    return pti_pool_open(bus, name, options, NULL, ret_pool);
}

void ptq_pool_close(ptq_pool *pool)
{
    if (pool == NULL)
        return;
    pti_staff_fini(pool, POLITE_MS);
    if (pool->halt_event > 0)
        (void)close(pool->halt_event);
    pti_claims_fini(pool);
    pti_order_fini(pool);
    close_queues(pool);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool->address);
    free(pool);
}

enum ptq_err ptq_pool_unlink(ptq_bus *bus, const char *name, bool force)
{
    struct names names;
    if (bus == NULL || name == NULL)
        return PTQ_EINVAL;
    enum ptq_err err = make_names(name, NULL, &names);
    if (err != PTQ_OK)
        return err;
    err = ptq_queue_unlink(bus, names.jobs, force); /* jobs first: see the law above */
    if (err == PTQ_OK)
        err = ptq_queue_unlink(bus, names.done, force);
    free_names(&names);
    return err;
}

const char *ptq_pool_name(const ptq_pool *pool)
{
    return pool->name;
}

uint64_t ptq_pool_window(const ptq_pool *pool)
{
    return pool->window;
}

/* -- shared by the files of this room --------------------------------------------------------------------------- */

enum ptq_err pti_pool_check(const ptq_pool *pool)
{
    if (pool == NULL)
        return PTQ_EINVAL;
    return pool->generation == pti_fork_generation() ? PTQ_OK : PTQ_EFORKED;
}

enum ptq_err pti_pool_answer(ptq_pool *pool, enum ptq_err err)
{
    return err == PTQ_EGONE && pti_load_acquire(&pool->aborted) != 0 ? PTQ_EABORTED : err;
}

enum ptq_err pti_pool_let_halt(ptq_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    enum ptq_err err = pti_staff_begin(pool);
    if (err == PTQ_OK && pool->halt_event == 0)
        err = pti_err_from_errno(pti_event_new(false, &pool->halt_event));
    if (err == PTQ_OK && pti_gather_add(&pool->staff.gather, pool->halt_event) != 0)
        err = PTQ_ENOMEM;
    (void)pthread_mutex_unlock(&pool->mutex);
    return err;
}

void pti_pool_halt(ptq_pool *pool)
{
    pti_store_seq(&pool->halted, 1);
    pti_event_set(pool->halt_event);
    ptq_interrupt(pool->jobs);
    ptq_interrupt(pool->done);
}

enum ptq_err pti_pool_take_job(ptq_pool *pool, int64_t deadline, ptq_msg **ret_msg)
{
    size_t count;
    enum ptq_err err = pti_queue_take(pool->jobs, 1, deadline, ret_msg, &count);
    pti_store_relaxed(&pool->took_jobs, 1); /* a hint of our own */
    return err;
}

enum ptq_err pti_pool_place_first(ptq_pool *pool, uint64_t ticket, enum ptq_err code, const char *text)
{
    unsigned char entry[PTI_RESULT_ROOM + PTI_RESULT_LEAST];
    struct pti_result result = {.code = code, .text = text};
    struct pti_put put = {.data = entry, .size = (uint32_t)pti_result_write_head(entry, &result), .kind = PTI_KIND_ERROR};
    return pti_queue_place(pool->done, ticket, &put, PTI_DEADLINE_NOW);
}

enum ptq_err pti_pool_place_error(ptq_pool *pool, uint64_t ticket, enum ptq_err code, const char *text)
{
    enum ptq_err err = pti_pool_place_first(pool, ticket, code, text);
    return err == PTQ_ELATE ? PTQ_OK : err;
}

/* Beyond the limit no slot is free for it, and no getter can be there yet: he will look for himself. */
void pti_pool_note_end(ptq_pool *pool)
{
    struct ptq_queue_stats stats;
    uint64_t head;
    if (pool->unordered) {
        (void)pti_unordered_end(pool);
        return;
    }
    if (ptq_queue_stats(pool->jobs, &stats) != PTQ_OK || !stats.ended)
        return;
    if (pti_queue_head(pool->done, &head) != PTQ_OK)
        return;
    if (pti_position_compare(stats.end_position, head + pool->window) < 0)
        (void)pti_pool_place_error(pool, stats.end_position, PTQ_END, "the pool was stopped and everything in it is done");
}

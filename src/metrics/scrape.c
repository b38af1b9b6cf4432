/* scrape.c -- the queues of a bus as families of figures.
 *
 * Each queue is opened for reading, read, and closed: a view that stayed open would hold the memory of a removed queue, and a
 * descriptor.  What is kept is what was told, by name.
 *
 * Law: a counter that was told never goes back.  A queue that was made again counts on from there; and where the counters of a busy
 * queue were read in an unlucky moment (a unit's records are counted when it is closed), the higher of both figures is told.
 */
#include "metrics/scrape.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/families.h"
#include "metrics/pools.h"
#include "metrics/waits.h"

#define GONE_MOST 65536u /* removed queues that are remembered */

enum counter { PUT, TAKEN, ACKED, NACKED, REDELIVERED, BYTES_PUT, BYTES_ACKED, RECOVERED, DROPPED, COUNTERS = DROPPED + PTQ_DROPS };

/* As the counters of struct known. */
struct waits {
    struct pti_wait_steps base, told;
};

/* A name, and what was told of it. */
struct known {
    struct waits *waits; /* NULL: none was measured yet */
    uint8_t id[16];
    uint64_t base[COUNTERS]; /* of queues of this name that are no more */
    uint64_t told[COUNTERS];
    uint64_t scrape;         /* the last that saw it */
    size_t row;              /* ... where */
    char name[];
};

/* Of one queue, now. */
struct reading {
    struct ptq_view_info info;
    struct ptq_queue_stats stats;
    struct ptq_view_waits waits;
};

struct row {
    struct known *known;
    int64_t made_ms; /* Unix time */
    bool placed;     /* results of an ordered pool */
    struct ptq_queue_stats stats;
};

struct ptq_scrape {
    ptq_bus *bus;
    struct known **known; /* by name; while it reads, the new ones stand behind the `sorted` */
    size_t known_count, known_room, sorted;
    uint64_t number;
    size_t most; /* queues that are told of */
    bool (*wants)(const char *name, void *context); /* NULL: all */
    void *context;
    size_t told_last, old; /* that were told of the last time */
    size_t fresh; /* ... and were not, but are now */
    struct row *rows; /* of this one; scratch */
    size_t count, room;
    struct ptq_view_info *jobs; /* of pools; of this one; scratch */
    size_t jobs_count, jobs_room;
    struct pti_pools pools;
    uint64_t unreadable, untold;
    bool failed;
};

/* ---- reading ---- */

/* One more. */
static bool make_room(void **array, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return true;
    size_t more = *room == 0 ? 64 : 2 * *room;
    void *larger = realloc(*array, more * size);
    if (larger == NULL)
        return false;
    *array = larger;
    *room = more;
    return true;
}

static int compare_known(const void *a, const void *b)
{
    return strcmp((*(struct known *const *)a)->name, (*(struct known *const *)b)->name);
}

static int compare_name(const void *name, const void *known)
{
    return strcmp(name, (*(struct known *const *)known)->name);
}

static struct known *find_known(struct ptq_scrape *scrape, const char *name)
{
    size_t length = strlen(name);
    struct known **found = scrape->sorted > 0 ? bsearch(name, scrape->known, scrape->sorted, sizeof *found, compare_name) : NULL;

    if (found != NULL)
        return *found;
    if (!make_room((void **)&scrape->known, &scrape->known_room, scrape->known_count, sizeof(struct known *)))
        return NULL;
    struct known *known = calloc(1, sizeof *known + length + 1);
    if (known == NULL)
        return NULL;
    memcpy(known->name, name, length + 1);
    scrape->known[scrape->known_count++] = known;
    return known;
}

static void read_counters(const struct ptq_queue_stats *stats, uint64_t counters[COUNTERS])
{
    counters[PUT] = stats->put;
    counters[TAKEN] = stats->taken;
    counters[ACKED] = stats->acked;
    counters[NACKED] = stats->nacked;
    counters[REDELIVERED] = stats->redelivered;
    counters[BYTES_PUT] = stats->bytes_put;
    counters[BYTES_ACKED] = stats->bytes_acked;
    counters[RECOVERED] = stats->recovered;
    memcpy(&counters[DROPPED], stats->dropped_by, sizeof stats->dropped_by);
}

static void raise_to(uint64_t *told, uint64_t figure)
{
    if (figure > *told)
        *told = figure;
}

/* False: no memory. */
static bool tell_waits(struct known *known, bool is_another, const struct ptq_view_waits *waits)
{
    struct pti_wait_steps now;

    if (known->waits == NULL && waits->count == 0)
        return true;
    if (known->waits == NULL)
        known->waits = calloc(1, sizeof *known->waits);
    if (known->waits == NULL)
        return false;
    struct pti_wait_steps *base = &known->waits->base, *told = &known->waits->told;
    pti_wait_steps_of(waits, &now);
    if (is_another)
        *base = *told;
    for (unsigned i = 0; i <= PTI_WAIT_STEPS; i++)
        raise_to(&told->count[i], base->count[i] + now.count[i]);
    raise_to(&told->sum_us, base->sum_us + now.sum_us);
    return true;
}

static bool tell(struct ptq_scrape *scrape, struct known *known, const struct reading *reading)
{
    uint64_t now[COUNTERS];
    bool is_another = memcmp(known->id, reading->info.id, sizeof known->id) != 0;

    read_counters(&reading->stats, now);
    if (is_another)
        memcpy(known->base, known->told, sizeof known->base);
    memcpy(known->id, reading->info.id, sizeof known->id);
    for (size_t i = 0; i < COUNTERS; i++)
        raise_to(&known->told[i], known->base[i] + now[i]);
    known->scrape = scrape->number;
    return tell_waits(known, is_another, &reading->waits);
}

static enum ptq_err read_queue(struct ptq_scrape *scrape, const char *name, struct reading *reading)
{
    ptq_view *view;
    enum ptq_err answer = ptq_view_open(scrape->bus, name, NULL, &view);

    if (answer != PTQ_OK)
        return answer;
    answer = ptq_view_info(view, &reading->info);
    if (answer == PTQ_OK)
        answer = ptq_view_stats(view, &reading->stats);
    if (answer == PTQ_OK)
        answer = ptq_view_waits(view, &reading->waits);
    ptq_view_close(view);
    return answer;
}

/* It was told of the last time. */
static bool is_old(const struct ptq_scrape *scrape, const struct known *known)
{
    return known->scrape != 0 && known->scrape == scrape->number - 1;
}

static bool keep_jobs(struct ptq_scrape *scrape, const struct ptq_view_info *info)
{
    size_t stem;

    if (!pti_pool_is(info, &stem))
        return true;
    if (!make_room((void **)&scrape->jobs, &scrape->jobs_room, scrape->jobs_count, sizeof *scrape->jobs))
        return false;
    scrape->jobs[scrape->jobs_count++] = *info;
    return true;
}

/* Of one that nothing was told of yet, a second look sees what an unlucky first one did not. */
static bool tell_first(struct ptq_scrape *scrape, struct known *known, const struct reading *reading)
{
    struct reading again;

    if (!tell(scrape, known, reading))
        return false;
    return read_queue(scrape, known->name, &again) != PTQ_OK || memcmp(again.info.id, known->id, sizeof known->id) != 0 ||
           tell(scrape, known, &again);
}

static bool keep_row(struct ptq_scrape *scrape, const char *name, const struct reading *reading)
{
    if (!make_room((void **)&scrape->rows, &scrape->room, scrape->count, sizeof *scrape->rows))
        return false;
    struct row *row = &scrape->rows[scrape->count];
    struct known *known = find_known(scrape, name);
    bool is_fresh = known != NULL && !is_old(scrape, known);
    if (known == NULL)
        return false;
    bool is_another = memcmp(known->id, reading->info.id, sizeof known->id) != 0;
    if (!(is_another ? tell_first : tell)(scrape, known, reading) || !keep_jobs(scrape, &reading->info))
        return false;
    *row = (struct row){.known = known, .made_ms = reading->info.created_unix_ms, .placed = reading->info.placed, .stats = reading->stats};
    scrape->fresh += is_fresh;
    known->row = scrape->count++;
    return true;
}

/* Who was told of the last time goes first: what is told of does not change because others come. */
static bool has_place(const struct ptq_scrape *scrape, const char *name)
{
    struct known *const *found = scrape->sorted > 0 ? bsearch(name, scrape->known, scrape->sorted, sizeof *found, compare_name) : NULL;

    return (found != NULL && is_old(scrape, *found)) || scrape->old + scrape->fresh < scrape->most;
}

/* One that is removed meanwhile is not there. */
static bool look_at(const char *name, void *context)
{
    struct ptq_scrape *scrape = context;
    struct reading reading;

    if (scrape->wants != NULL && !scrape->wants(name, scrape->context))
        return true;
    if (!has_place(scrape, name)) {
        scrape->untold++;
        return true;
    }
    enum ptq_err answer = read_queue(scrape, name, &reading);
    if (answer != PTQ_OK) {
        scrape->unreadable += answer != PTQ_ENOENT && answer != PTQ_EGONE;
        return true;
    }
    scrape->failed = !keep_row(scrape, name, &reading);
    return !scrape->failed;
}

/* The queue of results of a pool; NULL: it was not told of. */
static const struct row *find_done(const struct ptq_scrape *scrape, const struct ptq_view_info *jobs, size_t stem)
{
    char name[PTQ_NAME_MAX + 1];

    snprintf(name, sizeof name, "%.*s.done", (int)stem, jobs->name);
    struct known *const *found = scrape->sorted > 0 ? bsearch(name, scrape->known, scrape->sorted, sizeof *found, compare_name) : NULL;
    return found != NULL && (*found)->scrape == scrape->number ? &scrape->rows[(*found)->row] : NULL;
}

static bool look_at_pools(struct ptq_scrape *scrape)
{
    bool good = true;

    pti_pools_begin(&scrape->pools);
    for (size_t i = 0; i < scrape->jobs_count && good; i++) {
        size_t stem;
        const struct row *done = pti_pool_is(&scrape->jobs[i], &stem) ? find_done(scrape, &scrape->jobs[i], stem) : NULL;
        good = done == NULL || pti_pools_look(&scrape->pools, scrape->bus, &scrape->jobs[i], &done->stats, done->placed);
    }
    return good;
}

static int compare_age(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The scrape that saw the latest of those that are to be forgotten; 0: none are. */
static uint64_t find_oldest_to_keep(const struct ptq_scrape *scrape)
{
    size_t gone = scrape->known_count - scrape->count, at = 0;
    uint64_t *ages = gone > GONE_MOST ? malloc(gone * sizeof *ages) : NULL, oldest = 0;

    if (ages == NULL)
        return 0;
    for (size_t i = 0; i < scrape->known_count; i++) {
        if (scrape->known[i]->scrape != scrape->number && at < gone)
            ages[at++] = scrape->known[i]->scrape;
    }
    qsort(ages, at, sizeof *ages, compare_age);
    oldest = ages[at - GONE_MOST / 2]; /* half of them at once, so that it is done rarely */
    free(ages);
    return oldest;
}

static void free_known(struct known *known)
{
    free(known->waits);
    free(known);
}

static void forget(struct ptq_scrape *scrape)
{
    uint64_t oldest = find_oldest_to_keep(scrape);
    size_t kept = 0;

    for (size_t i = 0; i < scrape->known_count && oldest > 0; i++) {
        if (scrape->known[i]->scrape < oldest)
            free_known(scrape->known[i]);
        else
            scrape->known[kept++] = scrape->known[i];
    }
    scrape->known_count = oldest > 0 ? kept : scrape->known_count;
}

/* In the order of names, however it ended. */
static void sort_known(struct ptq_scrape *scrape)
{
    if (scrape->sorted < scrape->known_count)
        qsort(scrape->known, scrape->known_count, sizeof *scrape->known, compare_known);
    scrape->sorted = scrape->known_count;
}

/* ---- writing ---- */

static struct pti_labels label(const struct row *row, const char *name, const char *value)
{
    return (struct pti_labels){{{"queue", row->known->name}, {name, value}}};
}

struct figure {
    const char *value; /* of the second label; NULL: there is none */
    uint64_t (*read)(const struct row *row);
};

static void write_family(const struct ptq_scrape *scrape, struct pti_text *text, const char *name, const struct figure *figures, size_t count)
{
    for (size_t i = 0; i < scrape->count; i++) {
        for (size_t j = 0; j < count; j++) {
            struct pti_labels labels = label(&scrape->rows[i], figures[j].value != NULL ? name : NULL, figures[j].value);
            pti_text_count(text, "", &labels, figures[j].read(&scrape->rows[i]));
        }
    }
}

#define COUNTER(word, which)                                                                                           \
    static uint64_t word(const struct row *row)                                                                        \
    {                                                                                                                  \
        return row->known->told[which];                                                                                \
    }
#define GAUGE(word, field)                                                                                             \
    static uint64_t word(const struct row *row)                                                                        \
    {                                                                                                                  \
        return row->stats.field;                                                                                       \
    }
COUNTER(put, PUT)
COUNTER(taken, TAKEN)
COUNTER(acked, ACKED)
COUNTER(nacked, NACKED)
COUNTER(redelivered, REDELIVERED)
COUNTER(bytes_put, BYTES_PUT)
COUNTER(bytes_acked, BYTES_ACKED)
COUNTER(recovered, RECOVERED)
COUNTER(oldest, DROPPED + PTQ_DROP_OLDEST)
COUNTER(newest, DROPPED + PTQ_DROP_NEWEST)
COUNTER(expired, DROPPED + PTQ_DROP_EXPIRED)
COUNTER(purged, DROPPED + PTQ_DROP_PURGED)
COUNTER(dead_overflow, DROPPED + PTQ_DROP_DEAD_OVERFLOW)
GAUGE(ready, ready)
GAUGE(leased, leased)
GAUGE(delayed, delayed)
GAUGE(dead, dead)
GAUGE(capacity, capacity)
GAUGE(memory, bytes)
GAUGE(producers, producers)
GAUGE(consumers, consumers)
GAUGE(endpoints, endpoints)
GAUGE(dead_endpoints, dead_endpoints)
GAUGE(ended, ended)
GAUGE(paused, paused)

#define TELL(id, label, ...)                                                                                           \
    do {                                                                                                               \
        static const struct figure figures[] = {__VA_ARGS__};                                                          \
        pti_family_begin(text, PTI_FAMILY_##id);                                                                               \
        write_family(scrape, text, label, figures, sizeof figures / sizeof figures[0]);                                \
    } while (0)

static void write_gauges(const struct ptq_scrape *scrape, struct pti_text *text)
{
    TELL(QUEUE_MESSAGES, "state", {"ready", ready}, {"leased", leased}, {"delayed", delayed}, {"dead", dead});
    TELL(QUEUE_CAPACITY, NULL, {NULL, capacity});
    TELL(QUEUE_MEMORY, NULL, {NULL, memory});
    TELL(QUEUE_HANDLES, "role", {"producer", producers}, {"consumer", consumers}, {"attached", endpoints}, {"dead", dead_endpoints});
    TELL(QUEUE_ENDED, NULL, {NULL, ended});
    TELL(QUEUE_PAUSED, NULL, {NULL, paused});
}

static void write_made(const struct ptq_scrape *scrape, struct pti_text *text)
{
    pti_family_begin(text, PTI_FAMILY_QUEUE_MADE);
    for (size_t i = 0; i < scrape->count; i++) {
        struct pti_labels labels = label(&scrape->rows[i], NULL, NULL);
        pti_text_seconds(text, "", &labels, scrape->rows[i].made_ms);
    }
}

static void write_oldest(const struct ptq_scrape *scrape, struct pti_text *text)
{
    pti_family_begin(text, PTI_FAMILY_QUEUE_OLDEST);
    for (size_t i = 0; i < scrape->count; i++) {
        struct pti_labels labels = label(&scrape->rows[i], NULL, NULL);
        pti_text_sample(text, "", &labels, (double)scrape->rows[i].stats.oldest_ms / 1000);
    }
}

/* The end of a step, in seconds: digits, so that no locale has a say, and no zeroes behind them. */
static char *write_end(char text[32], uint64_t us)
{
    int size = snprintf(text, 32, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);

    while (text[size - 1] == '0' && text[size - 2] != '.')
        text[--size] = '\0';
    return text;
}

/* Of one queue: so many waited so long, or less. */
static void write_steps(const struct row *row, struct pti_text *text)
{
    const struct pti_wait_steps *told = &row->known->waits->told;
    struct pti_labels labels = label(row, NULL, NULL);
    uint64_t count = 0;

    for (unsigned i = 0; i <= PTI_WAIT_STEPS; i++) {
        char end[32];

        count += told->count[i];
        struct pti_labels step = label(row, "le", i < PTI_WAIT_STEPS ? write_end(end, pti_wait_step_us(i)) : "+Inf");
        pti_text_count(text, "_bucket", &step, count);
    }
    pti_text_count(text, "_count", &labels, count);
    pti_text_sample(text, "_sum", &labels, (double)told->sum_us / 1e6);
}

static void write_waits(const struct ptq_scrape *scrape, struct pti_text *text)
{
    pti_family_begin(text, PTI_FAMILY_QUEUE_WAIT);
    for (size_t i = 0; i < scrape->count; i++) {
        if (scrape->rows[i].known->waits != NULL)
            write_steps(&scrape->rows[i], text);
    }
}

static void write_counters(const struct ptq_scrape *scrape, struct pti_text *text)
{
    TELL(MESSAGES, "op", {"put", put}, {"taken", taken}, {"acked", acked}, {"nacked", nacked}, {"redelivered", redelivered});
    TELL(DROPPED, "reason", {"oldest", oldest}, {"newest", newest}, {"expired", expired}, {"purged", purged},
         {"dead_overflow", dead_overflow});
    TELL(BYTES, "op", {"put", bytes_put}, {"acked", bytes_acked});
    TELL(RECOVERIES, NULL, {NULL, recovered});
}

/* All that is there now. */
static enum ptq_err look_at_all(struct ptq_scrape *scrape)
{
    scrape->number++;
    scrape->old = scrape->told_last;
    scrape->fresh = scrape->count = scrape->jobs_count = 0;
    scrape->unreadable = scrape->untold = 0;
    scrape->failed = false;
    enum ptq_err answer = ptq_bus_list(scrape->bus, look_at, scrape);
    sort_known(scrape);
    if (answer == PTQ_OK && (scrape->failed || !look_at_pools(scrape)))
        answer = PTQ_ENOMEM;
    scrape->told_last = scrape->count;
    return answer;
}

static void write_all(const struct ptq_scrape *scrape, struct pti_text *text)
{
    write_gauges(scrape, text);
    write_made(scrape, text);
    write_oldest(scrape, text);
    write_waits(scrape, text);
    write_counters(scrape, text);
    pti_pools_write(&scrape->pools, text);
    pti_family_count(text, PTI_FAMILY_QUEUES, scrape->count);
    pti_family_count(text, PTI_FAMILY_UNREADABLE, scrape->unreadable);
    pti_family_count(text, PTI_FAMILY_UNTOLD, scrape->untold);
}

enum ptq_err pti_scrape_write(struct ptq_scrape *scrape, struct pti_text *text)
{
    enum ptq_err answer = look_at_all(scrape);

    if (answer == PTQ_OK) {
        write_all(scrape, text);
        forget(scrape);
        scrape->sorted = scrape->known_count;
    }
    free(scrape->rows);
    free(scrape->jobs);
    scrape->rows = NULL;
    scrape->jobs = NULL;
    scrape->count = scrape->room = scrape->jobs_count = scrape->jobs_room = 0;
    return answer;
}

/* ---- life ---- */

enum ptq_err ptq_scrape_open(ptq_bus *bus, ptq_scrape **ret_scrape)
{
    if (bus == NULL || ret_scrape == NULL)
        return PTQ_EINVAL;
    ptq_scrape *scrape = calloc(1, sizeof *scrape);
    if (scrape == NULL)
        return PTQ_ENOMEM;
    scrape->bus = bus;
    scrape->most = PTQ_SCRAPE_QUEUES;
    *ret_scrape = scrape;
    return PTQ_OK;
}

void ptq_scrape_close(ptq_scrape *scrape)
{
    if (scrape == NULL)
        return;
    for (size_t i = 0; i < scrape->known_count; i++)
        free_known(scrape->known[i]);
    free(scrape->known);
    pti_pools_fini(&scrape->pools);
    free(scrape);
}

void ptq_scrape_choose(ptq_scrape *scrape, size_t most, bool (*wants)(const char *name, void *context), void *context)
{
    if (scrape == NULL)
        return;
    scrape->most = most > 0 ? most : PTQ_SCRAPE_QUEUES;
    scrape->wants = wants;
    scrape->context = context;
}

enum ptq_err ptq_scrape_text(ptq_scrape *scrape, enum ptq_metrics_format format, char **ret_text, size_t *ret_size)
{
    struct pti_text text;

    if (scrape == NULL || ret_text == NULL || ret_size == NULL || (unsigned)format > PTQ_METRICS_PROMETHEUS)
        return PTQ_EINVAL;
    pti_text_init(&text, format);
    enum ptq_err answer = pti_scrape_write(scrape, &text);
    if (answer != PTQ_OK) {
        pti_text_drop(&text);
        return answer;
    }
    return pti_text_end(&text, ret_text, ret_size);
}

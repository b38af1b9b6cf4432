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
    struct ptq_queue_stats stats;
};

struct ptq_scrape {
    ptq_bus *bus;
    struct known **known; /* by name; while it reads, the new ones stand behind the `sorted` */
    size_t known_count, known_room, sorted;
    uint64_t number;
    struct row *rows; /* of this one; scratch */
    size_t count, room;
    uint64_t unreadable;
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

/* One that is removed meanwhile is not there. */
static bool look_at(const char *name, void *context)
{
    struct ptq_scrape *scrape = context;
    struct reading reading;

    if (!make_room((void **)&scrape->rows, &scrape->room, scrape->count, sizeof *scrape->rows))
        return !(scrape->failed = true);
    struct row *row = &scrape->rows[scrape->count];
    enum ptq_err answer = read_queue(scrape, name, &reading);
    if (answer != PTQ_OK) {
        scrape->unreadable += answer != PTQ_ENOENT && answer != PTQ_EGONE;
        return true;
    }
    row->known = find_known(scrape, name);
    if (row->known == NULL || !tell(scrape, row->known, &reading))
        return !(scrape->failed = true);
    row->stats = reading.stats;
    scrape->count++;
    return true;
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

#define FAMILY(type, name, unit, help, label, ...)                                                                     \
    do {                                                                                                               \
        static const struct figure figures[] = {__VA_ARGS__};                                                          \
        pti_text_family(text, type, name, unit, help);                                                                 \
        write_family(scrape, text, label, figures, sizeof figures / sizeof figures[0]);                                \
    } while (0)

static void write_gauges(const struct ptq_scrape *scrape, struct pti_text *text)
{
    FAMILY(PTI_GAUGE, "ptq_queue_messages", "", "Messages in the queue now, by state.", "state", {"ready", ready}, {"leased", leased},
           {"delayed", delayed}, {"dead", dead});
    FAMILY(PTI_GAUGE, "ptq_queue_capacity", "", "Messages that the queue was made for.", NULL, {NULL, capacity});
    FAMILY(PTI_GAUGE, "ptq_queue_memory_bytes", "bytes", "Shared memory that the queue has taken.", NULL, {NULL, memory});
    FAMILY(PTI_GAUGE, "ptq_queue_handles", "",
           "Handles: producers have put, consumers have got, attached are alive, dead are not recovered yet.", "role",
           {"producer", producers}, {"consumer", consumers}, {"attached", endpoints}, {"dead", dead_endpoints});
    FAMILY(PTI_GAUGE, "ptq_queue_ended", "", "1: its producers said that nothing more will come.", NULL, {NULL, ended});
    FAMILY(PTI_GAUGE, "ptq_queue_paused", "", "1: gets answer as on an empty queue.", NULL, {NULL, paused});
}

static void write_oldest(const struct ptq_scrape *scrape, struct pti_text *text)
{
    pti_text_family(text, PTI_GAUGE, "ptq_queue_oldest_seconds", "seconds",
                    "Age of the oldest ready message that bears the time of its put (every 64th does, unless the queue was made otherwise, "
                    "and each with a time to live).");
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
    pti_text_family(text, PTI_HISTOGRAM, "ptq_queue_wait_seconds", "seconds",
                    "How long messages waited from put to first take: of those that bear the time of their put (every 64th does, unless the "
                    "queue was made otherwise, and each with a time to live), where one was taken yet.");
    for (size_t i = 0; i < scrape->count; i++) {
        if (scrape->rows[i].known->waits != NULL)
            write_steps(&scrape->rows[i], text);
    }
}

static void write_counters(const struct ptq_scrape *scrape, struct pti_text *text)
{
    FAMILY(PTI_COUNTER, "ptq_messages", "", "Messages since the queue was made, by what was done.", "op", {"put", put}, {"taken", taken},
           {"acked", acked}, {"nacked", nacked}, {"redelivered", redelivered});
    FAMILY(PTI_COUNTER, "ptq_dropped_messages", "", "Messages that left the queue without being acked, by reason.", "reason",
           {"oldest", oldest}, {"newest", newest}, {"expired", expired}, {"purged", purged}, {"dead_overflow", dead_overflow});
    FAMILY(PTI_COUNTER, "ptq_bytes", "bytes", "Bytes of messages since the queue was made.", "op", {"put", bytes_put},
           {"acked", bytes_acked});
    FAMILY(PTI_COUNTER, "ptq_recoveries", "", "Handles whose process died and whose work was given back.", NULL, {NULL, recovered});
}

enum ptq_err pti_scrape_write(struct ptq_scrape *scrape, struct pti_text *text)
{
    scrape->number++;
    scrape->count = 0;
    scrape->unreadable = 0;
    scrape->failed = false;
    enum ptq_err answer = ptq_bus_list(scrape->bus, look_at, scrape);
    if (answer == PTQ_OK && scrape->failed)
        answer = PTQ_ENOMEM;
    sort_known(scrape);
    if (answer == PTQ_OK) {
        write_gauges(scrape, text);
        write_oldest(scrape, text);
        write_waits(scrape, text);
        write_counters(scrape, text);
        pti_text_family(text, PTI_GAUGE, "ptq_queues", "", "Queues that were read.");
        pti_text_count(text, "", NULL, scrape->count);
        pti_text_family(text, PTI_GAUGE, "ptq_unreadable_queues", "", "Queues that could not be read: not ours, of another layout, damaged.");
        pti_text_count(text, "", NULL, scrape->unreadable);
        forget(scrape);
        scrape->sorted = scrape->known_count;
    }
    free(scrape->rows);
    scrape->rows = NULL;
    scrape->count = scrape->room = 0;
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
    free(scrape);
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

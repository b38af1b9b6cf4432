/* crowd.c -- many threads of one handle do everything at once; in the end the ledger is exact.
 *
 *     crowd [MILLISECONDS [SEED [KIND]]]     so long for each kind of queue, or for one
 *
 * A thread is an endpoint, and all share one mapping: this is where ThreadSanitizer sees what processes do to each other.  Threads
 * put, batch, lend, flush, get, receive, hold too long, give back, hand their leases to other threads, read dead letters, kick,
 * purge, pause, interrupt, open and close.  Each message has a byte in the ledger.  At the end: who was put was acked or counted
 * as dropped, nobody was acked twice, nobody came whose put had failed, and the queue is sound.  The history of all calls is checked
 * besides (history.h).
 *
 * The ledger is relaxed: it must not order what the queue has to.  A second handle is a second mapping, and ThreadSanitizer takes
 * the two for different memory: under it what came in one mapping does not leave in the other.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "stress/history.h"
#include "stress/totals.h"

#define EVENTS (UINT64_C(1) << 23) /* of a round */
#define PRODUCERS 3
#define CONSUMERS 4
#define NUMBERS (1u << 17) /* of one producer, in one round */
#define SLOTS 4
#define LARGEST (96u << 10)
#define STALL_MS 60000
#define ROUND_MS 2000 /* longer than that: more rounds */

#if defined(__SANITIZE_THREAD__)
#define ONE_MAPPING true
#else
#define ONE_MAPPING false
#endif

#define add(p, n) atomic_fetch_add_explicit((p), (n), memory_order_relaxed)
#define mark(p, bits) atomic_fetch_or_explicit((p), (uint8_t)(bits), memory_order_relaxed)
#define load(p) atomic_load_explicit((p), memory_order_relaxed)

/* A byte a message: what is known of it. */
enum { IS_PUT = 1, IS_REFUSED = 2, IS_GOT = 4, IS_ACKED = 8 };

struct kind {
    const char *name;
    struct ptq_queue_options options;
    uint32_t most;  /* bytes of a message */
    bool ack_ahead; /* packs: what was acked ahead of another may come again */
};

static const struct kind kinds[] = {
    {"letters", {.capacity = 40, .item_size = 400, .max_deliveries = 3, .max_dead = 8}, .most = 300},
    {"leases", {.capacity = 40, .item_size = 400, .lease_ms = 5, .max_deliveries = 6, .max_dead = 8}, .most = 300},
    {"oldest", {.capacity = 16, .item_size = 400, .bytes = 2500, .full = PTQ_FULL_DROP_OLDEST, .stamps = PTQ_STAMPS_ALL,
                .max_deliveries = PTQ_NEVER}, .most = 300},
    {"newest", {.capacity = 16, .item_size = 400, .full = PTQ_FULL_DROP_NEWEST, .ttl_ms = 4, .expired_to_dead = true, .max_dead = 8},
     .most = 300},
    {"pipeline", {.capacity = 200, .item_size = 400, .flags = PTQ_PIPELINE, .max_deliveries = PTQ_NEVER}, .most = 60, .ack_ahead = true},
    {"exclusive", {.capacity = 200, .item_size = 400, .pack_size = 2048, .flags = PTQ_EXCLUSIVE, .max_deliveries = PTQ_NEVER}, .most = 60, .ack_ahead = true},
    {"large", {.capacity = 12, .item_size = 2u << 20, .lease_ms = 5, .max_deliveries = 6, .max_dead = 4}, .most = LARGEST},
};

struct note {
    uint32_t producer, number, check, size;
};

static struct crowd {
    char dir[64];
    const struct kind *kind;
    ptq_bus *bus;
    ptq_queue *queue, *letters;
    uint64_t seed;
    atomic_bool stop;
    _Atomic(ptq_msg *) slots[SLOTS]; /* leases on their way to another thread */
    struct history *history;
    _Atomic uint64_t acks, violations, moved;
    _Atomic uint8_t known[PRODUCERS][NUMBERS];
} crowd;

struct member {
    pthread_t thread;
    uint32_t number, next;
    uint64_t random;
    struct history_writer writer;
    struct history_event *events[5]; /* of the puts under way */
    unsigned char *bytes;
};

static void violation(const char *format, ...)
{
    va_list arguments;

    if (add(&crowd.violations, 1) >= 5)
        return;
    va_start(arguments, format);
    flockfile(stdout);
    printf("crowd: %s: ", crowd.kind->name);
    vprintf(format, arguments);
    putchar('\n');
    funlockfile(stdout);
    va_end(arguments);
}

static uint64_t roll(struct member *me, uint64_t below)
{
    me->random ^= me->random << 13;
    me->random ^= me->random >> 7;
    me->random ^= me->random << 17;
    return me->random % below;
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void rest_us(uint64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000}, NULL);
}

/* What a call may answer when nothing is wrong. */
static bool is_ordinary(enum ptq_err err)
{
    return err == PTQ_OK || err == PTQ_FULL || err == PTQ_EMPTY || err == PTQ_TIMEDOUT || err == PTQ_EINTR;
}

static enum ptq_err may(enum ptq_err err, const char *what)
{
    if (!is_ordinary(err))
        violation("%s answered %s", what, ptq_err_name(err));
    return err;
}

/* ---- producers */

static uint32_t check_of(const struct note *note) { return note->producer * 2654435761u ^ note->number * 40503u ^ note->size; }

static uint32_t value_of(const void *data)
{
    struct note note;

    memcpy(&note, data, sizeof note);
    return note.number * PRODUCERS + note.producer;
}

/* The next message of `me`, at `to`; its size.  It is the index-th of one call. */
static size_t make_message(struct member *me, unsigned char *to, uint32_t most, uint32_t index, unsigned flags)
{
    struct note note = {.producer = me->number, .number = me->next++};

    me->events[index] = history_begin(&me->writer, HISTORY_PUT, flags | (crowd.kind->ack_ahead ? HISTORY_PACKED : 0u),
                                      note.number * PRODUCERS + note.producer);
    note.size = (uint32_t)(sizeof note + roll(me, roll(me, 8) ? 60 : most));
    note.size = note.size < most ? note.size : most;
    note.check = check_of(&note);
    memcpy(to, &note, sizeof note);
    memset(to + sizeof note, (int)(note.check & 255), note.size - sizeof note);
    return note.size;
}

/* The last `count` numbers, of which the first `put` are in the queue. */
static void note_put(struct member *me, uint32_t count, uint32_t put)
{
    for (uint32_t i = 0; i < count; i++)
        history_end(me->events[i], i < put ? PTQ_OK : PTQ_EINTR);
    for (uint32_t i = 0; i < count; i++)
        mark(&crowd.known[me->number][me->next - count + i], i < put ? IS_PUT : IS_REFUSED);
    add(&crowd.moved, put);
}

static void put_batch(struct member *me)
{
    struct ptq_bytes items[5];
    uint32_t count = 2 + (uint32_t)roll(me, 4), most = crowd.kind->most < 300 ? crowd.kind->most : 300;
    size_t put = 0;
    struct ptq_put_options options = {.flags = roll(me, 2) ? PTQ_PARTIAL : 0, .ret_count = &put};
    enum ptq_err err;

    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct ptq_bytes){me->bytes + i * 400, make_message(me, me->bytes + i * 400, most, i, HISTORY_BATCH)};
    err = may(ptq_put_many_with(crowd.queue, items, count, &options, (int)roll(me, 3)), "put_many");
    note_put(me, count, err != PTQ_OK ? 0 : options.flags & PTQ_PARTIAL ? (uint32_t)put : count);
}

static void put_loan(struct member *me)
{
    uint32_t most = crowd.kind->most;
    ptq_msg *loan = NULL;
    size_t size;

    if (may(ptq_loan(crowd.queue, most, (int)roll(me, 3), &loan), "loan") != PTQ_OK)
        return;
    size = make_message(me, ptq_msg_buffer(loan), most, 0, 0);
    if (roll(me, 8) != 0 && may(ptq_publish(loan, size, (int)roll(me, 3), NULL), "publish") == PTQ_OK) {
        note_put(me, 1, 1);
        return;
    }
    note_put(me, 1, 0);
    ptq_abort(loan);
}

static void put_with(struct member *me)
{
    struct ptq_header header = {.name = "crowd", .value = &me->next, .size = sizeof me->next};
    struct ptq_put_options options = {.headers = &header, .header_count = roll(me, 2), .delay_ms = (int64_t)roll(me, 3),
                                      .ttl_ms = roll(me, 3) ? 0 : 3};
    size_t size = make_message(me, me->bytes, crowd.kind->most, 0, options.delay_ms ? HISTORY_DELAYED : 0);

    note_put(me, 1, may(ptq_put_with(crowd.queue, me->bytes, size, &options, (int)roll(me, 3)), "put_with") == PTQ_OK);
}

/* Of all threads; but each knows only its own for promised by it. */
static enum ptq_err flush(struct member *me, int timeout_ms)
{
    struct history_event *event = history_begin(&me->writer, HISTORY_FLUSH, 0, HISTORY_NOBODY);
    enum ptq_err err = may(ptq_flush(crowd.queue, timeout_ms), "flush");

    history_end(event, err);
    return err;
}

static void *produce(void *context)
{
    struct member *me = context;

    while (!load(&crowd.stop) && me->next + 5 <= NUMBERS) {
        uint64_t which = roll(me, 100);
        if (which < 60) {
            size_t size = make_message(me, me->bytes, crowd.kind->most, 0, 0);
            note_put(me, 1, may(ptq_put(crowd.queue, me->bytes, size, (int)roll(me, 3)), "put") == PTQ_OK);
        } else if (which < 75) {
            put_batch(me);
        } else if (which < 85) {
            put_loan(me);
        } else if (which < 95) {
            put_with(me);
        } else {
            (void)flush(me, (int)roll(me, 3));
        }
    }
    while (crowd.violations == 0 && flush(me, 20) != PTQ_OK)
        ;
    return NULL;
}

/* ---- consumers */

static _Atomic uint8_t *look_at(const unsigned char *data, size_t size)
{
    struct note note = {0};

    if (size >= sizeof note)
        memcpy(&note, data, sizeof note);
    if (size != note.size || note.producer >= PRODUCERS || note.number >= NUMBERS || note.check != check_of(&note)) {
        violation("a message of %zu bytes that nobody put", size);
        return NULL;
    }
    for (size_t i = sizeof note; i < size; i++)
        if (data[i] != (note.check & 255)) {
            violation("message %u.%u is damaged at %zu", note.producer, note.number, i);
            return NULL;
        }
    return &crowd.known[note.producer][note.number];
}

static void note_acked(_Atomic uint8_t *known)
{
    if (known && mark(known, IS_ACKED) & IS_ACKED && !crowd.kind->ack_ahead)
        violation("a message was acked twice");
    add(&crowd.acks, 1);
    add(&crowd.moved, 1);
}

static void settled(enum ptq_err err, const char *what)
{
    if (err != PTQ_OK && !(err == PTQ_ELEASELOST && (crowd.kind->options.lease_ms || crowd.kind->ack_ahead)))
        violation("%s answered %s", what, ptq_err_name(err));
}

static void settle(struct member *me, ptq_msg *msg)
{
    static const int delays[] = {0, 1, 2, PTQ_BACKOFF};
    _Atomic uint8_t *known = look_at(ptq_msg_data(msg), ptq_msg_size(msg));
    struct history_event *event;
    enum ptq_err err;

    if (roll(me, 10) == 0 && !load(&crowd.stop)) {
        if (crowd.kind->options.lease_ms)
            rest_us(1000 * roll(me, 2 * crowd.kind->options.lease_ms + 2));
        look_at(ptq_msg_data(msg), ptq_msg_size(msg)); /* it stays as it is, whoever else has it */
    }
    if (roll(me, 5) == 0 && !load(&crowd.stop)) {
        settled(ptq_nack(msg, delays[roll(me, 4)]), "nack");
        return;
    }
    event = history_begin(&me->writer, HISTORY_ACK, 0, value_of(ptq_msg_data(msg)));
    err = ptq_ack(msg);
    history_end(event, err);
    settled(err, "ack");
    if (err == PTQ_OK)
        note_acked(known);
}

static void receive(struct member *me, ptq_msg *msg)
{
    _Atomic uint8_t *known = look_at(ptq_msg_data(msg), ptq_msg_size(msg));
    size_t size;

    if (known)
        mark(known, IS_GOT);
    (void)ptq_msg_header(msg, "crowd", &size);
    if (roll(me, 8) == 0 && !load(&crowd.stop))
        msg = atomic_exchange(&crowd.slots[roll(me, SLOTS)], msg); /* now another settles it */
    if (msg)
        settle(me, msg);
}

static void sweep_slots(struct member *me)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        ptq_msg *msg = atomic_exchange(&crowd.slots[i], NULL);
        if (msg)
            settle(me, msg);
    }
}

static enum ptq_err get_some(struct member *me, size_t most)
{
    ptq_msg *msgs[4];
    size_t count = 0;
    struct history_event *event = history_begin(&me->writer, HISTORY_GET, 0, HISTORY_NOBODY);
    enum ptq_err err = ptq_get_many(crowd.queue, msgs, roll(me, 3) ? 0 : most, most, (int)roll(me, 3), &count);

    for (size_t i = 0; err == PTQ_OK && i < count; i++)
        history_took(&me->writer, event, i == 0, value_of(ptq_msg_data(msgs[i])), msgs[i], 0);
    history_end(event, err);
    if (err == PTQ_OK) {
        for (size_t i = 0; i < count; i++)
            receive(me, msgs[i]);
    }
    return err;
}

static enum ptq_err get_copy(struct member *me)
{
    size_t size = 0;
    struct history_event *event = history_begin(&me->writer, HISTORY_RECV, 0, HISTORY_NOBODY);
    enum ptq_err err = ptq_recv(crowd.queue, me->bytes, LARGEST, (int)roll(me, 3), &size);

    if (err == PTQ_OK)
        event->value = value_of(me->bytes);
    history_end(event, err);
    if (err == PTQ_OK) {
        _Atomic uint8_t *known = look_at(me->bytes, size);
        if (known)
            mark(known, IS_GOT);
        note_acked(known);
    }
    return err;
}

static void read_letter(struct member *me)
{
    ptq_msg *letter = NULL;
    enum ptq_err err = ptq_get(crowd.letters, PTQ_NOWAIT, &letter);

    if (err == PTQ_OK)
        settle(me, letter);
    else if (err != PTQ_END)
        (void)may(err, "get of a letter");
}

static void *consume(void *context)
{
    struct member *me = context;
    enum ptq_err err = PTQ_OK;

    while (err != PTQ_END) {
        struct ptq_wait waits[] = {{.queue = crowd.queue}, {.queue = crowd.letters}};
        uint64_t which = roll(me, 100);

        if (which < 50)
            err = get_some(me, 1);
        else if (which < 75)
            err = get_some(me, 4);
        else if (which < 90)
            err = get_copy(me);
        else if (which < 95 || ONE_MAPPING)
            err = ptq_wait_any(waits, 2, 2, NULL);
        else
            read_letter(me);
        if (err != PTQ_END)
            (void)may(err, "a get");
        if (load(&crowd.stop))
            sweep_slots(me);
    }
    sweep_slots(me);
    return NULL;
}

/* ---- who comes and goes, and who tends the queue */

static void visit(struct member *me)
{
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};
    ptq_msg *msgs[3];
    ptq_queue *queue = NULL;
    size_t count = 0;
    enum ptq_err err = ptq_queue_open(crowd.bus, "crowd", &options, &queue);

    if (err != PTQ_OK) {
        violation("an open answered %s", ptq_err_name(err));
        return;
    }
    if (!ONE_MAPPING && may(ptq_get_many(queue, msgs, 0, 3, (int)roll(me, 3), &count), "a visitor's get") == PTQ_OK && roll(me, 2))
        settle(me, msgs[0]); /* the others go back with the handle */
    ptq_queue_close(queue);
}

static void pause_a_little(struct member *me)
{
    if (ptq_queue_pause(crowd.queue, true) != PTQ_OK)
        violation("pause was refused");
    rest_us(roll(me, 2000));
    if (ptq_queue_pause(crowd.queue, false) != PTQ_OK)
        violation("resume was refused");
}

static void *tend(void *context)
{
    struct member *me = context;
    struct ptq_queue_stats stats;
    char text[300];
    int fd;

    while (!load(&crowd.stop)) {
        switch (roll(me, 10)) {
        case 0:
            pause_a_little(me);
            break;
        case 1:
            (void)may(!ONE_MAPPING && roll(me, 2) ? ptq_queue_purge(crowd.letters, NULL) : ptq_queue_purge(crowd.queue, NULL), "purge");
            break;
        case 2:
            ptq_interrupt(crowd.queue);
            break;
        case 3:
            visit(me);
            break;
        case 4:
            (void)may(ptq_queue_fd(crowd.queue, roll(me, 2) ? PTQ_SIDE_GET : PTQ_SIDE_PUT, &fd), "queue_fd");
            break;
        case 5:
            ptq_queue_explain(crowd.queue, PTQ_FULL, 10, text, sizeof text);
            break;
        case 6:
            (void)may(ptq_queue_stats(crowd.queue, &stats), "stats");
            break;
        default:
            (void)may(ptq_queue_kick(ONE_MAPPING || roll(me, 2) ? crowd.queue : crowd.letters, roll(me, 3), NULL), "kick");
        }
        rest_us(roll(me, 1500));
    }
    return NULL;
}

/* ---- a round */

static void must(enum ptq_err err, const char *what, const struct ptq_error *error)
{
    if (err == PTQ_OK)
        return;
    printf("crowd: %s: %s answered %s: %s\n", crowd.kind->name, what, ptq_err_name(err), error ? error->text : "");
    exit(1);
}

static void start(struct member *member, void *(*work)(void *), uint32_t number)
{
    *member = (struct member){.number = number, .random = crowd.seed * 1000003 + number * 7919 + 1, .bytes = malloc(LARGEST)};
    history_live(&member->writer, crowd.history);
    if (!member->bytes || pthread_create(&member->thread, NULL, work, member) != 0) {
        printf("crowd: no memory or no thread\n");
        exit(1);
    }
}

static void join(struct member *member)
{
    pthread_join(member->thread, NULL);
    free(member->bytes);
}

static void end_queue(void)
{
    struct history_writer writer;
    struct history_event *event;
    enum ptq_err err;
    int64_t late = now_ms() + STALL_MS;

    do
        err = ptq_flush(crowd.queue, 100);
    while (is_ordinary(err) && err != PTQ_OK && now_ms() < late);
    must(err, "the last flush", NULL);
    history_live(&writer, crowd.history);
    event = history_begin(&writer, HISTORY_CLOSE, 0, HISTORY_NOBODY);
    do
        err = ptq_end(crowd.queue);
    while (is_ordinary(err) && err != PTQ_OK && now_ms() < late);
    history_end(event, err);
    must(err, "end", NULL);
}

static void find(const char *finding, void *context)
{
    (void)context;
    violation("verify: %s", finding);
}

/* Some gets are undone here (min above 1), and loans, copies and threads' own blocks bound the queue beside its capacity. */
static void check_history(uint64_t dropped)
{
    struct history_rules rules = {.dropped = dropped, .has_ended = true, .is_given_back = true,
                                  .is_passed_on = crowd.kind->ack_ahead};
    struct history_report report;

    if (!history_check(crowd.history, &rules, &report)) {
        violation("history: %s (%llu in all)", report.text, (unsigned long long)report.violations);
        history_tell(crowd.history, report.value);
    }
    totals_add_history(&report);
    totals_add(TOTAL_ROUNDS, 1);
}

static void count_totals(uint64_t put, const struct ptq_queue_stats *stats)
{
    totals_add(TOTAL_PUT, put);
    for (unsigned i = 0; i < PTQ_DROPS; i++)
        totals_add(TOTAL_DROPPED + i, stats->dropped_by[i]);
}

static void balance(const struct member *producers)
{
    struct ptq_queue_stats stats;
    uint64_t put = 0, lost = 0;
    struct ptq_verify_report report;
    ptq_view *view = NULL;

    must(ptq_queue_purge(crowd.letters, NULL), "the last purge", NULL);
    must(ptq_queue_stats(crowd.queue, &stats), "the last stats", NULL);
    for (uint32_t p = 0; p < PRODUCERS; p++)
        for (uint32_t i = 0; i < producers[p].next; i++) {
            uint8_t known = crowd.known[p][i];
            put += known & IS_PUT;
            lost += (known & (IS_PUT | IS_ACKED)) == IS_PUT;
            if ((known & (IS_REFUSED | IS_GOT)) == (IS_REFUSED | IS_GOT))
                violation("message %u.%u came, but its put had failed", p, i);
        }
    if (stats.put != put)
        violation("%llu were put, the queue counts %llu", (unsigned long long)put, (unsigned long long)stats.put);
    if (stats.put != stats.acked + stats.dropped || stats.ready || stats.leased || stats.delayed || stats.dead)
        violation("put %llu, acked %llu, dropped %llu, ready %llu, leased %llu, delayed %llu, dead %llu",
                  (unsigned long long)stats.put, (unsigned long long)stats.acked, (unsigned long long)stats.dropped,
                  (unsigned long long)stats.ready, (unsigned long long)stats.leased, (unsigned long long)stats.delayed,
                  (unsigned long long)stats.dead);
    if (crowd.kind->ack_ahead ? lost > stats.dropped : lost != stats.dropped)
        violation("%llu were neither acked nor refused, %llu were dropped", (unsigned long long)lost,
                  (unsigned long long)stats.dropped);
    if (!crowd.kind->ack_ahead && stats.acked != crowd.acks)
        violation("%llu acks, the queue counts %llu", (unsigned long long)crowd.acks, (unsigned long long)stats.acked);
    must(ptq_view_open(crowd.bus, "crowd", NULL, &view), "view", NULL);
    must(ptq_view_verify(view, find, NULL, &report), "verify", NULL);
    ptq_view_close(view);
    printf("crowd: %s: %llu put, %llu acked, %llu dropped, %llu given back, %llu again\n", crowd.kind->name,
           (unsigned long long)put, (unsigned long long)stats.acked, (unsigned long long)stats.dropped,
           (unsigned long long)stats.nacked, (unsigned long long)stats.redelivered);
    if (stats.acked == 0)
        violation("nothing was done");
    count_totals(put, &stats);
    check_history(stats.dropped);
}

static void run_round(const struct kind *kind, int milliseconds)
{
    struct member producers[PRODUCERS], consumers[CONSUMERS], tender;
    struct ptq_error error = {0};
    struct ptq_bus_options bus = {.dir = crowd.dir, .error = &error};
    struct ptq_queue_options options = kind->options;

    crowd.kind = kind;
    crowd.seed++;
    crowd.stop = false;
    crowd.acks = 0;
    history_reset(crowd.history);
    for (uint32_t p = 0; p < PRODUCERS; p++)
        for (uint32_t i = 0; i < NUMBERS; i++)
            atomic_store_explicit(&crowd.known[p][i], 0, memory_order_relaxed);
    options.error = &error;
    options.header_size = 64;
    must(ptq_bus_open("crowd", &bus, &crowd.bus), "bus open", &error);
    must(ptq_queue_open(crowd.bus, "crowd", &options, &crowd.queue), "open", &error);
    options = (struct ptq_queue_options){.mode = PTQ_ATTACH, .error = &error};
    must(ptq_queue_open(crowd.bus, "crowd" PTQ_DEAD_SUFFIX, &options, &crowd.letters), "open of the letters", &error);

    for (uint32_t i = 0; i < CONSUMERS; i++)
        start(&consumers[i], consume, 100 + i);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        start(&producers[i], produce, i);
    start(&tender, tend, 200);
    rest_us((uint64_t)milliseconds * 1000);
    while (load(&crowd.acks) == 0 && load(&crowd.violations) == 0) /* nobody has come to run yet */
        rest_us(1000);
    crowd.stop = true;
    join(&tender);
    for (uint32_t i = 0; i < PRODUCERS; i++)
        join(&producers[i]);
    end_queue();
    for (uint32_t i = 0; i < CONSUMERS; i++)
        join(&consumers[i]);

    balance(producers);
    ptq_queue_close(crowd.letters);
    ptq_queue_close(crowd.queue);
    must(ptq_queue_unlink(crowd.bus, "crowd", false), "unlink", NULL);
    ptq_bus_close(crowd.bus);
}

/* Nobody may stand still: the whole would, in a join. */
static void *watch(void *context)
{
    uint64_t last = 0;
    int64_t at = now_ms();

    (void)context;
    for (;;) {
        rest_us(100000);
        if (load(&crowd.moved) != last) {
            last = load(&crowd.moved);
            at = now_ms();
        } else if (now_ms() - at > STALL_MS) {
            printf("crowd: %s: nothing moved for %d ms\n", crowd.kind->name, STALL_MS);
            fflush(stdout);
            abort();
        }
    }
}

int main(int argc, char **argv)
{
    int milliseconds = argc > 1 ? atoi(argv[1]) : 500;
    pthread_t watcher;
    char command[100];

    crowd.seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)now_ms() * 2654435761u;
    crowd.kind = &kinds[0];
    printf("crowd: seed %#llx\n", (unsigned long long)crowd.seed);
    fflush(stdout);
    snprintf(crowd.dir, sizeof crowd.dir, "/dev/shm/ptq-test.XXXXXX");
    crowd.history = history_new(EVENTS);
    if (!crowd.history || !mkdtemp(crowd.dir) || pthread_create(&watcher, NULL, watch, NULL) != 0 || pthread_detach(watcher) != 0) {
        perror("crowd");
        return 1;
    }
    for (int left = milliseconds; left > 0 && crowd.violations == 0; left -= ROUND_MS)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds && crowd.violations == 0; i++)
            if (argc < 4 || strcmp(argv[3], kinds[i].name) == 0)
                run_round(&kinds[i], left < ROUND_MS ? left : ROUND_MS);
    snprintf(command, sizeof command, "rm -rf %s", crowd.dir);
    if (system(command) != 0)
        return 1;
    return crowd.violations != 0;
}

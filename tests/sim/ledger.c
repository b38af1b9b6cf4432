/* ledger.c -- what was promised, and whether it was kept: nothing lost, nothing doubled in silence, nothing taken from the living,
 * in order, batches whole, no EMPTY beside a message, counts exact.
 */
#include "sim/ledger.h"

#include <string.h>

#include "sim/scenario.h"

enum put_state { NOT_PUT, PUTTING, GATHERED, IS_PUT, REFUSED };
enum lease_state { HELD, ACKING, ACKED, NACKING, NACKED, LOST /* its holder died, or gave it back */, IN_DOUBT /* while acking */ };

#define LEASES 60

struct lease {
    unsigned char by, life;
    bool flagged;
    enum lease_state state;
    uint64_t begin, end; /* of the get */
    unsigned index;      /* in what that get gave */
    uint64_t due_us;     /* of its nack */
};

struct message {
    enum put_state put;
    unsigned char by;
    bool abandoned; /* its producer died in the put */
    unsigned batch; /* 1 + the first of those put together; 0: alone */
    unsigned batch_index;
    uint64_t begin, end;
    uint64_t due_us, ttl_us, end_us; /* not before; not after so long; when its put was over */
    unsigned lease_count;
    struct lease leases[LEASES];
    unsigned char bytes[LEDGER_BYTES];
    unsigned size;
};

struct emptiness {
    uint64_t begin, end;
};

static struct message messages[LEDGER_MESSAGES];
static unsigned count;
static uint64_t get_began[SIM_PROCS], get_began_us[SIM_PROCS];
static bool getting[SIM_PROCS];
static bool given_back; /* by a nack */
static bool put_off;    /* something was, by a put or a nack */
static unsigned lost_gets; /* who died in a get may have leased what nobody saw */
static struct emptiness empty[64];
static unsigned empty_count;
static uint64_t end_told; /* when a get had first answered END; 0: never */

void ledger_reset(void)
{
    count = lost_gets = empty_count = 0;
    given_back = put_off = false;
    end_told = 0;
    memset(getting, 0, sizeof getting);
}

unsigned ledger_count(void) { return count; }

static uint64_t tick(void) { return ++sim.step; }

/* ---- puts */

static void fill(struct message *message, unsigned id)
{
    message->size = 4 + (id * 7) % (LEDGER_BYTES - 3);
    memset(message->bytes, (int)(id * 31 + 7) & 0xff, sizeof message->bytes);
    memcpy(message->bytes, &id, sizeof id);
}

unsigned ledger_put_begins(unsigned wanted, struct ptq_bytes *items)
{
    unsigned first = count;

    if (count + wanted > LEDGER_MESSAGES)
        sim_fail("the ledger is full");
    for (unsigned i = 0; i < wanted; i++) {
        struct message *message = &messages[count];
        memset(message, 0, sizeof *message);
        message->put = PUTTING;
        message->by = (unsigned char)sim_me->number;
        message->batch = wanted > 1 ? first + 1 : 0;
        message->batch_index = i;
        message->begin = tick();
        fill(message, count++);
        items[i] = (struct ptq_bytes){message->bytes, message->size};
    }
    return first;
}

static uint64_t now_us(void) { return (uint64_t)sim.now / 1000; }

void ledger_put_is_delayed(unsigned first, unsigned delay_ms)
{
    put_off = true;
    messages[first].due_us = now_us() + 1000 * delay_ms;
}
void ledger_put_expires(unsigned first, unsigned ttl_ms) { messages[first].ttl_us = 1000 * ttl_ms; }

void ledger_put_ends(unsigned first, unsigned wanted, enum ptq_err err)
{
    uint64_t now = tick();

    for (unsigned i = first; i < first + wanted; i++) {
        messages[i].put = err == PTQ_OK ? IS_PUT : REFUSED;
        messages[i].end = now;
        messages[i].end_us = now_us();
        if (err != PTQ_OK && messages[i].lease_count > 0)
            sim_fail("message %u came, and its put answered %s", i, sim_api()->ptq_err_name(err));
    }
}

void ledger_gathered(unsigned first) { messages[first].put = GATHERED; }

void ledger_flush_ends(enum ptq_err err)
{
    for (unsigned i = 0; i < count && err == PTQ_OK; i++)
        if (messages[i].put == GATHERED && messages[i].by == sim_me->number && !messages[i].abandoned) {
            messages[i].put = IS_PUT;
            messages[i].end = tick();
        }
}

/* ---- gets */

void ledger_get_begins(void)
{
    get_began[sim_me->number] = tick();
    get_began_us[sim_me->number] = now_us();
    getting[sim_me->number] = true;
}

void ledger_get_ends(enum ptq_err err, bool waited)
{
    getting[sim_me->number] = false;
    if (err == PTQ_END && end_told == 0)
        end_told = tick();
    if (err == PTQ_EMPTY && sim.racing && !sim_me->role->letters && sim_ready_since(get_began[sim_me->number]))
        sim_fail("a get answered EMPTY, and all the while there was something to get");
    if ((err == PTQ_EMPTY || (err == PTQ_TIMEDOUT && !waited)) && empty_count < sizeof empty / sizeof empty[0])
        empty[empty_count++] = (struct emptiness){get_began[sim_me->number], tick()};
}

static bool is_known(const void *data, size_t size, unsigned *ret_id)
{
    unsigned id;

    if (size < sizeof id)
        return false;
    memcpy(&id, data, sizeof id);
    *ret_id = id;
    return id < count && messages[id].size == size && memcmp(messages[id].bytes, data, size) == 0;
}

static void check_earlier(unsigned id, const struct message *message, bool flagged)
{
    const struct lease *last = &message->leases[message->lease_count - 1];

    if (message->lease_count == 0) {
        if (flagged && lost_gets == 0 && !sim.config.scenario->limited) /* one who is slow in a get may lose it */
            sim_fail("message %u came flagged, and nobody had had it", id);
        return;
    }
    if (sim.config.scenario->limited && last->end > get_began[sim_me->number])
        return; /* leased before, shown after: its ack will tell that the lease is lost */
    if (last->state == ACKED)
        sim_fail("message %u came to %u, and %u had acked it", id, sim_me->number, last->by);
    if ((last->state == HELD || last->state == ACKING) && !sim.config.scenario->limited)
        sim_fail("message %u came to %u, and %u, who lives, has it", id, sim_me->number, last->by);
    if (!flagged)
        sim_fail("message %u came again without a flag", id);
}

/* Neither before its time nor after it. */
static void check_times(unsigned id, const struct message *message)
{
    const struct lease *last = &message->leases[message->lease_count - 1];
    uint64_t now = now_us(), began = get_began_us[sim_me->number];

    if (sim_me->role->letters)
        return;
    if (message->lease_count == 0 && message->due_us > now)
        sim_fail("message %u came %llu us before its time", id, (unsigned long long)(message->due_us - now));
    if (message->lease_count > 0 && last->state == NACKED && last->due_us > now)
        sim_fail("message %u came again %llu us before its time", id, (unsigned long long)(last->due_us - now));
    if (message->ttl_us != 0 && message->put == IS_PUT && began > message->end_us + message->ttl_us + message->ttl_us / 64 + 1000)
        sim_fail("message %u came after its time", id);
}

static void check_deliveries(unsigned id, ptq_msg *msg)
{
    unsigned most = sim.config.scenario->options.max_deliveries, times = sim_api()->ptq_msg_deliveries(msg);

    if (!sim.config.scenario->letters || sim_me->number == 0)
        return;
    if (sim_me->role->letters && times < most)
        sim_fail("message %u is a dead letter, and was handed out %u times", id, times);
    if (!sim_me->role->letters && times > most)
        sim_fail("message %u is handed out for the %u. time", id, times);
}

int ledger_got(ptq_msg *msg, unsigned index)
{
    const struct sim_api *api = sim_api();
    unsigned id = 0;
    bool flagged = api->ptq_msg_redelivered(msg);

    if (!is_known(api->ptq_msg_data(msg), api->ptq_msg_size(msg), &id)) {
        sim_fail("a message of %zu bytes came that nobody put", api->ptq_msg_size(msg));
        return -1;
    }
    struct message *message = &messages[id];
    sim_trace_note("  %u has message %u%s", sim_me->number, id, flagged ? ", flagged" : "");
    if (message->put == REFUSED)
        sim_fail("message %u came, and its put was refused", id);
    if (!sim.config.scenario->letters && end_told != 0 && end_told < get_began[sim_me->number])
        sim_fail("message %u came after a get had answered END", id);
    check_earlier(id, message, flagged);
    check_times(id, message);
    check_deliveries(id, msg);
    if (message->lease_count == LEASES) {
        sim_fail("message %u comes and comes", id);
        return -1;
    }
    message->leases[message->lease_count++] = (struct lease){.by = (unsigned char)sim_me->number,
                                                             .life = (unsigned char)sim_me->life,
                                                             .flagged = flagged,
                                                             .state = HELD,
                                                             .begin = get_began[sim_me->number],
                                                             .end = tick(),
                                                             .index = index};
    return (int)id;
}

static struct lease *last_lease(int id) { return &messages[id].leases[messages[id].lease_count - 1]; }

/* With a limit of leases another may have it meanwhile. */
static struct lease *own_lease(int id)
{
    for (unsigned i = messages[id].lease_count; i-- > 0;)
        if (messages[id].leases[i].by == sim_me->number && messages[id].leases[i].life == (unsigned char)sim_me->life)
            return &messages[id].leases[i];
    return last_lease(id);
}

void ledger_ack_begins(int id) { own_lease(id)->state = ACKING; tick(); }
void ledger_nack_begins(int id, unsigned delay_ms)
{
    own_lease(id)->state = NACKING;
    given_back = true;
    put_off |= delay_ms != 0;
    own_lease(id)->due_us = now_us() + 1000 * delay_ms;
    tick();
}

void ledger_ack_ends(int id, enum ptq_err err)
{
    for (unsigned i = 0; i < messages[id].lease_count; i++)
        if (err == PTQ_OK && messages[id].leases[i].state == ACKED)
            sim_fail("message %d is acked by %u, and %u had acked it", id, sim_me->number, messages[id].leases[i].by);
    if (err == PTQ_OK)
        own_lease(id)->state = ACKED;
    else if (err == PTQ_ELEASELOST && sim.config.scenario->limited)
        own_lease(id)->state = LOST;
    else
        sim_fail("an ack of message %d answered %s", id, sim_api()->ptq_err_name(err));
    tick();
}

void ledger_nack_ends(int id, enum ptq_err err)
{
    if (err == PTQ_OK)
        own_lease(id)->state = NACKED;
    else if (err == PTQ_ELEASELOST && sim.config.scenario->limited)
        own_lease(id)->state = LOST;
    else
        sim_fail("a nack of message %d answered %s", id, sim_api()->ptq_err_name(err));
    tick();
}

static void end_leases(unsigned number, bool died)
{
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < messages[i].lease_count; j++) {
            struct lease *lease = &messages[i].leases[j];
            if (lease->by != number)
                continue;
            if (lease->state == HELD || lease->state == NACKING)
                lease->state = LOST;
            else if (lease->state == ACKING)
                lease->state = IN_DOUBT;
        }
        if (died && messages[i].by == number && (messages[i].put == PUTTING || messages[i].put == GATHERED))
            messages[i].abandoned = true;
    }
}

void ledger_gives_back(void) { end_leases(sim_me->number, false); }

void ledger_died(const struct sim_proc *proc)
{
    /* a put that drops leases what it drops, and one that parks what is not due to make room leases that */
    lost_gets += getting[proc->number] || ((sim.config.scenario->drops || put_off) && proc->inside != NULL);
    getting[proc->number] = false;
    sim_procs[proc->number].puts_since = sim_procs[proc->number].gets_since = 0;
    end_leases(proc->number, true);
}

/* ---- when all is over */

/* Acked, or perhaps so by one who died of it. */
static bool is_settled(const struct message *message)
{
    for (unsigned i = 0; i < message->lease_count; i++)
        if (message->leases[i].state == ACKED || message->leases[i].state == IN_DOUBT)
            return true;
    return false;
}

/* Nobody knows that it is acked: it may as well have been dropped. */
static bool is_in_doubt(const struct message *message)
{
    bool in_doubt = false;

    for (unsigned i = 0; i < message->lease_count; i++) {
        if (message->leases[i].state == ACKED)
            return false;
        in_doubt |= message->leases[i].state == IN_DOUBT;
    }
    return in_doubt;
}

/* What is missing was dropped; of what is in doubt some may be.  Returns how many puts are in that nobody saw. */
static uint64_t check_drops(const struct ptq_queue_stats *stats, uint64_t in, uint64_t missing, uint64_t unseen, uint64_t in_doubt)
{
    uint64_t more = stats->put - in;

    if (more > unseen)
        sim_fail("put counts %llu, %llu were, and %llu perhaps", (unsigned long long)stats->put, (unsigned long long)in,
                 (unsigned long long)unseen);
    if (missing + more > stats->dropped || stats->dropped > missing + more + in_doubt)
        sim_fail("%llu are missing, %llu are counted as dropped", (unsigned long long)missing + more,
                 (unsigned long long)stats->dropped);
    return more;
}

static void check_order_of(unsigned a, unsigned b)
{
    const struct lease *first = &messages[a].leases[0], *second = &messages[b].leases[0];

    if (messages[a].lease_count == 0 || messages[b].lease_count == 0 || first->flagged || second->flagged ||
        (sim.config.scenario->packed && first->by != second->by))
        return;
    bool is_inverted = second->end < first->begin ||
                       (second->by == first->by && second->begin == first->begin && second->index < first->index);
    if (is_inverted)
        sim_fail("message %u was put before %u, and came after it", a, b);
}

static void check_orders(void)
{
    for (unsigned a = 0; a < count; a++) {
        for (unsigned b = 0; b < count; b++) {
            bool together = messages[a].batch != 0 && messages[a].batch == messages[b].batch && a < b;
            bool before = messages[a].put == IS_PUT && messages[a].end < messages[b].begin;
            bool same = messages[a].by == messages[b].by && a < b && messages[a].put == IS_PUT && messages[b].put == IS_PUT;
            if (together || before || same)
                check_order_of(a, b);
        }
    }
}

/* "Nothing there", while a message was certainly inside: put before the call, and not taken until it was over.  One that came
 * flagged at first may have been leased by somebody who died. */
static void check_empties(void)
{
    for (unsigned e = 0; e < empty_count; e++) {
        for (unsigned i = 0; i < count; i++) {
            const struct message *message = &messages[i];
            if (message->put == IS_PUT && message->due_us == 0 && message->end < empty[e].begin && message->lease_count > 0 &&
                !message->leases[0].flagged && message->leases[0].begin > empty[e].end)
                sim_fail("a get answered EMPTY, and message %u was inside", i);
        }
    }
}

static void check_batches(void)
{
    for (unsigned i = 0; i + 1 < count; i++) {
        const struct message *a = &messages[i], *b = &messages[i + 1];
        if (a->batch == 0 || a->batch != b->batch || a->put == GATHERED || sim.config.scenario->drops)
            continue;
        if ((a->lease_count > 0) != (b->lease_count > 0) && lost_gets == 0)
            sim_fail("of a batch message %u came, and %u did not", a->lease_count > 0 ? i : i + 1, a->lease_count > 0 ? i + 1 : i);
    }
}

void ledger_check(const struct ptq_queue_stats *stats)
{
    uint64_t in = 0, missing = 0, unseen = 0, in_doubt = 0;

    for (unsigned i = 0; i < count && !sim.failed; i++) {
        const struct message *message = &messages[i];
        bool came = message->lease_count > 0;
        if ((message->put == IS_PUT || came) && !is_settled(message))
            missing++;
        if ((message->put == IS_PUT || came) && !is_settled(message) && !sim.config.scenario->drops)
            sim_fail("message %u was put and is lost: it came %u times", i, message->lease_count);
        in += message->put == IS_PUT || came;
        in_doubt += is_in_doubt(message);
        unseen += !came && (message->put == PUTTING || message->put == GATHERED) && message->abandoned;
        if (!came && message->put == PUTTING && !message->abandoned)
            sim_fail("message %u is being put, and its producer is done", i);
    }
    if (sim.failed)
        return;
    if (sim.config.scenario->drops)
        in += check_drops(stats, in, missing, unseen, in_doubt);
    if (sim.failed)
        return;
    /* What a dead one had not shown yet of a pack, or stood behind what was given back, comes late and without a flag: nobody has
     * seen it. */
    if (!sim.config.scenario->unordered && !(sim.config.scenario->packed && (sim.kills > 0 || given_back)))
        check_orders();
    if (!sim.config.scenario->pauses && !sim.config.scenario->packed && !sim.config.scenario->puts_back)
        check_empties();
    check_batches();
    if (stats->put != in)
        sim_fail("put counts %llu, %llu were", (unsigned long long)stats->put, (unsigned long long)in);
    if (stats->acked != in - stats->dropped)
        sim_fail("acked counts %llu, of %llu put and %llu dropped", (unsigned long long)stats->acked, (unsigned long long)in,
                 (unsigned long long)stats->dropped);
    if (stats->ready + stats->leased + stats->delayed + stats->dead != 0)
        sim_fail("drained, it counts %llu ready, %llu leased, %llu delayed, %llu dead", (unsigned long long)stats->ready,
                 (unsigned long long)stats->leased, (unsigned long long)stats->delayed, (unsigned long long)stats->dead);
}

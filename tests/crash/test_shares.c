/* test_shares.c -- a share, or a log, in which somebody is killed at an instruction of a call, or stopped there and overtaken, and goes on or
 * is killed later.
 *
 * Afterwards: what was promised is there and whole; all can be cleared; and the share takes as many cells as there are entries, each with a
 * value of its own that nobody else overwrites.
 *     crash_shares [all]: every instruction; else some, by PTT_SEED.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/log.h>
#include <ptq/ptq.h>
#include <ptq/share.h>

#include "bus/bus.h"
#include "crash/path.h"
#include "share/layout.h"
#include "support/ptt.h"

#define CELLS 4u
#define ENDPOINTS 3u
#define ROOM 200u /* of a value: more than a line */

static bool all;

enum { BEGUN, DONE }; /* words of the page: calls */

struct run {
    struct ptt_scratch scratch;
    struct ptt_page *page;
    const struct script *script;
    ptq_bus *bus; /* the victim's */
    uint64_t seed, deaths;
};

struct script {
    const char *name;
    int (*victim)(struct run *run, ptq_share *share); /* its calls, each between BEGUN and DONE */
    void (*audit)(struct run *run, ptq_share *share); /* what they promised */
};

/* ---- values that show whose they are, in each byte */

static void write_value(char *bytes, unsigned char mark) { memset(bytes, mark, ROOM); }

static bool is_value(const char *bytes, size_t size, unsigned char mark)
{
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)bytes[i] != mark)
            return false;
    return size == ROOM;
}

static enum ptq_err make_value(ptq_share *share, const char *name, unsigned char mark)
{
    char bytes[ROOM];
    ptq_cell *cell = NULL;

    write_value(bytes, mark);
    enum ptq_err err = ptq_share_bytes(share, name, bytes, sizeof bytes, &cell);
    ptq_cell_free(cell);
    return err;
}

static enum ptq_err set_value(ptq_share *share, const char *name, unsigned char mark)
{
    char bytes[ROOM];
    ptq_cell *cell;
    enum ptq_err err = ptq_share_find(share, name, &cell);

    if (err != PTQ_OK)
        return err;
    write_value(bytes, mark);
    err = ptq_cell_write(cell, bytes, sizeof bytes);
    ptq_cell_free(cell);
    return err;
}

/* 0: there is none; else its mark. */
static unsigned char mark_of(ptq_share *share, const char *name)
{
    char bytes[ROOM];
    size_t size;
    ptq_cell *cell;
    enum ptq_err err = ptq_share_find(share, name, &cell);

    if (err == PTQ_ENOENT)
        return 0;
    assert_ok(err);
    assert_ok(ptq_cell_read(cell, bytes, sizeof bytes, &size, NULL));
    if (!is_value(bytes, size, (unsigned char)bytes[0]))
        fail_msg("the value of '%s' is torn", name);
    ptq_cell_free(cell);
    return (unsigned char)bytes[0];
}

/* ---- what victims do */

#define CALL(run, call)                      \
    do {                                     \
        (run)->page->words[BEGUN]++;         \
        if ((call) != PTQ_OK)                \
            return 2;                        \
        (run)->page->words[DONE]++;          \
    } while (0)

static int make_write_delete(struct run *run, ptq_share *share)
{
    CALL(run, make_value(share, "v", 1));
    CALL(run, set_value(share, "v", 2));
    CALL(run, ptq_share_delete(share, "v"));
    CALL(run, make_value(share, "v", 3));
    return 0;
}

static void audit_make_write_delete(struct run *run, ptq_share *share)
{
    static const unsigned char is[] = {0, 1, 2, 0, 3};
    uint64_t done = run->page->words[DONE], begun = run->page->words[BEGUN];
    unsigned char mark = mark_of(share, "v");

    if (mark != is[done] && mark != is[begun])
        fail_msg("the value is %u after %llu of %llu calls", mark, (unsigned long long)done, (unsigned long long)begun);
}

static int count_up(struct run *run, ptq_share *share)
{
    ptq_cell *cell;

    CALL(run, ptq_share_i64(share, "n", 0, &cell));
    for (int i = 0; i < 3; i++)
        CALL(run, ptq_i64_apply(cell, PTQ_ADD, 1, NULL));
    return 0;
}

static void audit_count_up(struct run *run, ptq_share *share)
{
    int64_t least = (int64_t)run->page->words[DONE] - 1, most = (int64_t)run->page->words[BEGUN] - 1, value = -1;
    ptq_cell *cell;
    enum ptq_err err = ptq_share_find(share, "n", &cell);

    if (err == PTQ_OK) {
        assert_ok(ptq_i64_get(cell, &value));
        ptq_cell_free(cell);
    }
    if (value < least || value > most)
        fail_msg("the sum is %lld, of %lld promised and %lld begun", (long long)value, (long long)least, (long long)most);
}

static int use_keys(struct run *run, ptq_share *share)
{
    char bytes[ROOM];

    write_value(bytes, 7);
    CALL(run, ptq_map_set(share, "m", "k", 1, bytes, sizeof bytes));
    CALL(run, ptq_set_add(share, "s", "k", 1));
    CALL(run, ptq_map_remove(share, "m", "k", 1));
    CALL(run, ptq_set_remove(share, "s", "k", 1));
    return 0;
}

static void audit_use_keys(struct run *run, ptq_share *share)
{
    static const bool map[] = {false, true, true, false, false}, set[] = {false, false, true, true, false};
    uint64_t done = run->page->words[DONE], begun = run->page->words[BEGUN];
    char bytes[ROOM];
    size_t size;
    enum ptq_err err = ptq_map_get(share, "m", "k", 1, bytes, sizeof bytes, &size, NULL);

    assert_true(err == PTQ_OK ? is_value(bytes, size, 7) && (map[done] || map[begun]) : err == PTQ_ENOENT && !(map[done] && map[begun]));
    err = ptq_set_has(share, "s", "k", 1);
    assert_true(err == PTQ_OK ? set[done] || set[begun] : err == PTQ_ENOENT && !(set[done] && set[begun]));
}

static int64_t add_one(int64_t value, void *context)
{
    (void)context;
    return value + 1;
}

static enum ptq_err write_value_if(ptq_share *share, const char *name, unsigned char mark)
{
    char bytes[ROOM];
    ptq_cell *cell;
    enum ptq_err err = ptq_share_find(share, name, &cell);

    if (err != PTQ_OK)
        return err;
    uint64_t version;
    write_value(bytes, mark);
    err = ptq_cell_version(cell, &version);
    if (err == PTQ_OK)
        err = ptq_cell_write_if(cell, version, bytes, sizeof bytes);
    ptq_cell_free(cell);
    return err;
}

static int compare_and_set(struct run *run, ptq_share *share)
{
    ptq_cell *n, *u, *f;

    CALL(run, ptq_share_i64(share, "n", 0, &n));
    CALL(run, ptq_share_u64(share, "u", 0, &u));
    CALL(run, ptq_share_f64(share, "f", 0, &f));
    CALL(run, ptq_i64_cas(n, &(int64_t){0}, 1));
    CALL(run, ptq_u64_cas(u, &(uint64_t){0}, 1));
    CALL(run, ptq_f64_cas(f, &(double){0}, 1));
    CALL(run, ptq_i64_update(n, add_one, NULL, NULL));
    CALL(run, ptq_u64_swap(u, 2, NULL));
    CALL(run, ptq_f64_apply(f, PTQ_MAX, 2, NULL));
    CALL(run, make_value(share, "v", 1));
    CALL(run, write_value_if(share, "v", 2));
    return 0;
}

/* After so many calls; -1: there is none.  `call`: which of them makes it, and the third and sixth after it change it. */
static int number_after(uint64_t calls, uint64_t call)
{
    return calls < call ? -1 : calls < call + 3 ? 0 : calls < call + 6 ? 1 : 2;
}

static void check_number(struct run *run, uint64_t call, const char *name, double value)
{
    int done = number_after(run->page->words[DONE], call), begun = number_after(run->page->words[BEGUN], call);

    if (value != done && value != begun)
        fail_msg("'%s' is %g after %llu of %llu calls", name, value, (unsigned long long)run->page->words[DONE],
                 (unsigned long long)run->page->words[BEGUN]);
}

static void audit_compare_and_set(struct run *run, ptq_share *share)
{
    uint64_t done = run->page->words[DONE], begun = run->page->words[BEGUN], u = 0;
    unsigned char mark = mark_of(share, "v");
    int64_t n = 0;
    double f = 0;
    ptq_cell *cells[3] = {NULL, NULL, NULL};
    static const char *const names[] = {"n", "u", "f"};

    for (int i = 0; i < 3; i++) {
        enum ptq_err err = ptq_share_find(share, names[i], &cells[i]);
        assert_true(err == PTQ_OK || err == PTQ_ENOENT);
    }
    if (cells[0] != NULL)
        assert_ok(ptq_i64_get(cells[0], &n));
    if (cells[1] != NULL)
        assert_ok(ptq_u64_get(cells[1], &u));
    if (cells[2] != NULL)
        assert_ok(ptq_f64_get(cells[2], &f));
    check_number(run, 1, "n", cells[0] == NULL ? -1 : (double)n);
    check_number(run, 2, "u", cells[1] == NULL ? -1 : (double)u);
    check_number(run, 3, "f", cells[2] == NULL ? -1 : f);
    for (int i = 0; i < 3; i++)
        ptq_cell_free(cells[i]);
    if (mark != (done < 10 ? 0 : done - 9) && mark != (begun < 10 ? 0 : begun - 9))
        fail_msg("'v' is %u after %llu of %llu calls", mark, (unsigned long long)done, (unsigned long long)begun);
}

#define RECORDS 5u

static enum ptq_err append_next(ptq_log *log, uint64_t number)
{
    char bytes[ROOM];

    write_value(bytes, (unsigned char)number);
    return ptq_log_append(log, bytes, sizeof bytes, NULL);
}

static int append(struct run *run, ptq_share *share)
{
    struct ptq_log_options options = {.capacity = 8, .item_size = ROOM, .max_endpoints = ENDPOINTS};
    ptq_log *log;

    (void)share;
    CALL(run, ptq_log_open(run->bus, "l", &options, &log));
    for (uint64_t i = 1; i <= RECORDS; i++)
        CALL(run, append_next(log, i));
    return 0;
}

static void audit_append(struct run *run, ptq_share *share)
{
    struct ptq_log_options options = {.capacity = 8, .item_size = ROOM, .max_endpoints = ENDPOINTS};
    uint64_t done = run->page->words[DONE], begun = run->page->words[BEGUN], oldest, next;
    struct ptq_log_record record;
    char bytes[ROOM];
    ptq_log *log;

    (void)share;
    assert_ok(ptq_log_open(run->scratch.bus, "l", &options, &log));
    assert_ok(append_next(log, 99)); /* behind what is there */
    assert_ok(ptq_log_bounds(log, &oldest, &next));
    assert_int_equal(oldest, 0);
    if (next < done || next > (begun == 0 ? 1 : begun)) /* the first call made the log, and ours is one more */
        fail_msg("%llu records after %llu of %llu calls", (unsigned long long)next, (unsigned long long)done, (unsigned long long)begun);
    for (uint64_t i = 0; i < next; i++) {
        assert_ok(ptq_log_read(log, i, bytes, sizeof bytes, &record));
        assert_true(is_value(bytes, record.size, (unsigned char)(i + 1 == next ? 99 : i + 1)));
    }
    for (uint64_t i = 0; i < 20; i++) /* every block is used anew */
        assert_ok(append_next(log, i));
    assert_ok(ptq_log_bounds(log, &oldest, &next));
    assert_int_equal(next - oldest, 8);
    for (uint64_t i = oldest; i < next; i++) {
        assert_ok(ptq_log_read(log, i, bytes, sizeof bytes, &record));
        assert_true(is_value(bytes, record.size, (unsigned char)(20 - (next - i))));
    }
    ptq_log_close(log);
    assert_ok(ptq_log_unlink(run->scratch.bus, "l", false));
}

static const struct script scripts[] = {
    {"compare and set", compare_and_set, audit_compare_and_set},
    {"append to a log", append, audit_append},
    {"make, write, delete", make_write_delete, audit_make_write_delete},
    {"add", count_up, audit_count_up},
    {"keys", use_keys, audit_use_keys},
};

/* ---- what holds of every share, whoever died in it */

static bool count_one(const struct ptq_cell_info *info, void *context)
{
    (void)info;
    ++*(unsigned *)context;
    return true;
}

/* Fills it: each value is whole after all have been written anew, three times. */
static void assert_takes_all(struct run *run, ptq_share *share, const char *where, uint64_t at)
{
    unsigned count = 0, listed = 0;
    char name[8];

    for (enum ptq_err err = PTQ_OK; count < 2 * CELLS + 20; count++) {
        snprintf(name, sizeof name, "c%u", count);
        err = make_value(share, name, (unsigned char)(100 + count));
        if (err == PTQ_EAGAIN)
            break;
        assert_ok(err);
    }
    if (count < CELLS + ENDPOINTS) /* with those that nobody has in hand now */
        fail_msg("%s: %s %llu: it takes %u cells only", run->script->name, where, (unsigned long long)at, count);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < count; i++) {
            snprintf(name, sizeof name, "c%u", i);
            enum ptq_err err = set_value(share, name, (unsigned char)(100 + i));
            if (err != PTQ_OK)
                fail_msg("%s: %s %llu: '%s' of %u is not written: %s", run->script->name, where, (unsigned long long)at, name, count, ptq_err_name(err));
        }
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "c%u", i);
        if (mark_of(share, name) != (unsigned char)(100 + i))
            fail_msg("%s: %s %llu: '%s' was overwritten", run->script->name, where, (unsigned long long)at, name);
    }
    assert_ok(ptq_share_each(share, count_one, &listed));
    assert_int_equal(listed, count);
}

static const struct script overtaken;

static void audit(struct run *run, const char *where, uint64_t at)
{
    unsigned left = 0;
    ptq_share *share;

    run->deaths++;
    assert_ok(ptq_share_open(run->scratch.bus, "s", NULL, &share));
    if (run->script == &overtaken || run->script->victim == append || ptt_random(&run->seed) % 2) /* whoever looks for a name tidies up there: it must not need that */
        run->script->audit(run, share);
    assert_ok(ptq_share_clear(share));
    assert_ok(ptq_share_each(share, count_one, &left));
    if (left != 0)
        fail_msg("%s: %s %llu: %u cells are left when all were cleared", run->script->name, where, (unsigned long long)at, left);
    assert_takes_all(run, share, where, at);
    ptq_share_close(share);
    assert_ok(ptq_share_unlink(run->scratch.bus, "s", false));
}

/* ---- the victim */

static int be_victim(void *context)
{
    struct run *run = context;
    ptq_bus *bus = run->bus = ptt_scratch_open(&run->scratch);
    ptq_share *share;

    if (ptq_share_open(bus, "s", NULL, &share) != PTQ_OK)
        return 1;
    victim_mark();
    int code = run->script->victim(run, share);
    run->page->words[2] = 1; /* through */
    return code;
}

static void begin(struct run *run, struct victim *victim)
{
    ptq_share *share;

    memset(run->page, 0, sizeof *run->page);
    assert_ok(ptq_share_open(run->scratch.bus, "s",
                             &(struct ptq_share_options){.cells = CELLS, .value_size = ROOM, .max_endpoints = ENDPOINTS}, &share));
    ptq_share_close(share);
    victim_start(victim, be_victim, run);
}

static uint64_t step(struct run *run, struct victim *victim, uint64_t most)
{
    uint64_t steps = 0;

    while (steps < most && run->page->words[2] == 0 && victim_step(victim))
        steps++;
    return steps;
}

static struct path way; /* of the script */

static void follow(struct run *run)
{
    struct victim victim;

    begin(run, &victim);
    path_step(&way, &victim, 1000, &run->page->words[2]);
    victim_kill(&victim);
    audit(run, "at the end,", way.count);
    assert_in_range(way.count, 100, PATH_MOST - 1);
    print_message("  %s: %llu instructions\n", run->script->name, (unsigned long long)way.count);
}

/* It stands at that instruction; or it went another way this time, and is over. */
static void bring(struct run *run, struct victim *victim, uint64_t at)
{
    begin(run, victim);
    if (!victim_run_to(victim, way.places[at], way.times[at], 5000))
        victim_finish(victim);
}

static void kill_at(struct run *run, uint64_t at)
{
    struct victim victim;

    bring(run, &victim, at);
    victim_kill(&victim);
    audit(run, "killed at", at);
}

static void init(struct run *run)
{
    *run = (struct run){.page = ptt_page_new()};
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        ptt_page_free(run->page);
        skip();
    }
    ptt_scratch_init(&run->scratch);
    run->seed = ptt_seed();
}

static void fini(struct run *run)
{
    print_message("  %llu deaths\n", (unsigned long long)run->deaths);
    ptt_scratch_fini(&run->scratch);
    ptt_page_free(run->page);
}

#define SOME 40

static void whoever_is_killed_at_an_instruction_leaves_it_whole(void **state)
{
    struct run run;

    (void)state;
    init(&run);
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        run.script = &scripts[i];
        follow(&run);
        for (uint64_t n = 0; n < (all ? way.count : SOME); n++)
            kill_at(&run, all ? n : ptt_random(&run.seed) % way.count);
    }
    fini(&run);
}

/* ---- stopped, while somebody else uses the same cells and others */

static void add_five(ptq_share *share)
{
    ptq_cell *cell;

    assert_ok(ptq_share_i64(share, "n", 0, &cell));
    for (int i = 0; i < 5; i++)
        assert_ok(ptq_i64_apply(cell, PTQ_ADD, 1, NULL));
    ptq_cell_free(cell);
}

static void write_some(ptq_share *share)
{
    assert_ok(make_value(share, "v", 9));
    assert_ok(make_value(share, "w", 1));
    for (unsigned i = 2; i < 8; i++) {
        assert_ok(set_value(share, "v", 9));
        assert_ok(set_value(share, "w", (unsigned char)i));
    }
    assert_int_equal(mark_of(share, "v"), 9);
    assert_int_equal(mark_of(share, "w"), 7);
}

static void stop_at(struct run *run, uint64_t at, void (*meanwhile)(ptq_share *share))
{
    struct victim victim;
    ptq_share *share;
    int64_t sum;
    ptq_cell *cell;

    bring(run, &victim, at);
    assert_ok(ptq_share_open(run->scratch.bus, "s", NULL, &share));
    alarm(60); /* whoever waits for the stopped one ends here */
    meanwhile(share);
    alarm(0);
    victim_finish(&victim);
    assert_int_equal(victim.status, 0);
    if (meanwhile == add_five) {
        assert_ok(ptq_share_find(share, "n", &cell));
        assert_ok(ptq_i64_get(cell, &sum));
        ptq_cell_free(cell);
        assert_int_equal(sum, 8);
    } else {
        unsigned char v = mark_of(share, "v");
        if (v != 3 && v != 9)
            fail_msg("stopped at %llu: 'v' is %u", (unsigned long long)at, v);
        assert_int_equal(mark_of(share, "w"), 7);
    }
    ptq_share_close(share);
    run->deaths++;
    assert_ok(ptq_share_unlink(run->scratch.bus, "s", false));
}

static void whoever_is_stopped_at_an_instruction_stops_nobody_and_undoes_nothing(void **state)
{
    static const struct {
        struct script script;
        void (*meanwhile)(ptq_share *share);
    } both[] = {{{"add", count_up, audit_count_up}, add_five}, {{"make, write, delete", make_write_delete, audit_make_write_delete}, write_some}};
    struct run run;

    (void)state;
    init(&run);
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        run.script = &both[i].script;
        follow(&run);
        for (uint64_t n = 0; n < (all ? way.count : SOME / 2); n++)
            stop_at(&run, all ? n : ptt_random(&run.seed) % way.count, both[i].meanwhile);
    }
    fini(&run);
}

/* ---- overtaken, and killed later */

#define WRITES 12u /* goes round all blocks: the one that the first call let go is taken again */

static int make_and_write_another(struct run *run, ptq_share *share)
{
    CALL(run, make_value(share, "v", 1)); /* somebody else makes it meanwhile */
    for (unsigned i = 1; i <= WRITES; i++)
        CALL(run, set_value(share, "w", (unsigned char)(1 + i)));
    return 0;
}

static void audit_make_and_write_another(struct run *run, ptq_share *share)
{
    unsigned char done = (unsigned char)run->page->words[DONE], begun = (unsigned char)run->page->words[BEGUN];
    unsigned char v = mark_of(share, "v"), w = mark_of(share, "w");

    assert_true(v == 1 || v == 9);
    if (w != (done == 0 ? 1 : done) && w != (begun == 0 ? 1 : begun))
        fail_msg("'w' is %u after %u of %u calls", w, done, begun);
    /* Every entry and every block is used anew: what the killed one wrote is overwritten by none of it. */
    for (unsigned i = 0; i < CELLS + ENDPOINTS - 2; i++) {
        char name[8];
        snprintf(name, sizeof name, "z%u", i);
        assert_ok(make_value(share, name, 50));
    }
    for (unsigned i = 0; i < 3 * (CELLS + ENDPOINTS); i++)
        assert_ok(set_value(share, "v", 9));
    if (mark_of(share, "w") != w)
        fail_msg("'w' was %u, and is overwritten", w);
}

static const struct script overtaken = {"overtaken", make_and_write_another, audit_make_and_write_another};

/* Until so many calls are done: the steps of that. */
static uint64_t step_to_call(struct run *run, struct victim *victim, uint64_t done)
{
    uint64_t steps = 0;

    while (run->page->words[DONE] < done && victim_step(victim))
        steps++;
    return steps;
}

/* An entry that is nobody's points to no value: else whoever takes that value next, and is killed, seems to have it there. */
static void assert_free_entries_point_nowhere(const struct run *run)
{
    char path[300];
    struct stat stat;

    snprintf(path, sizeof path, "%s/test/s%s", run->scratch.dir, PTI_SHARE_SUFFIX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &stat) == 0);
    const char *base = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(base != MAP_FAILED);
    close(fd);
    const struct pti_share_geometry *g = &((const struct pti_share_header *)(const void *)base)->geometry;
    const _Atomic uint64_t *tags = (const void *)(base + g->off_tags[1]);
    const struct pti_entry_of_share *entries = (const void *)(base + g->off_blocks[1]);
    for (uint32_t i = 0; i < g->blocks[1]; i++) {
        struct pti_pair_is is;
        assert_true(pti_pair_read(&entries[i].pair, &is));
        if (pti_tag_state(tags[i]) == PTI_TAG_FREE && !pti_pair_is_dead(is) && pti_pair_type(is) == PTQ_CELL_BYTES)
            fail_msg("entry %u is free and points to value %u", i, (unsigned)is.value);
    }
    munmap((void *)(uintptr_t)base, (size_t)stat.st_size);
}

/* The same at full speed: it stops only where it says that a call is done. */
static void run_to_call(struct run *run, struct victim *victim, uint64_t done)
{
    while (run->page->words[DONE] < done)
        assert_true(victim_run_to_write(victim, (const void *)&run->page->words[DONE]));
}

/* Begun, overtaken in its first call at instruction `at`, and in what follows as far as `done` calls say. */
static void overtake(struct run *run, struct victim *victim, uint64_t at, uint64_t done)
{
    ptq_share *share;

    begin(run, victim);
    assert_ok(ptq_share_open(run->scratch.bus, "s", NULL, &share));
    assert_ok(make_value(share, "w", 1));
    step(run, victim, at);
    assert_ok(make_value(share, "v", 9));
    ptq_share_close(share);
    run_to_call(run, victim, 1);
    assert_free_entries_point_nowhere(run);
    run_to_call(run, victim, done);
}

static void whoever_was_overtaken_and_is_killed_later_leaves_it_whole(void **state)
{
    struct victim victim;
    struct run run;

    (void)state;
    init(&run);
    run.script = &overtaken;
    ptq_share *share;
    uint64_t first, lengths[WRITES];
    begin(&run, &victim);
    assert_ok(ptq_share_open(run.scratch.bus, "s", NULL, &share));
    assert_ok(make_value(share, "w", 1));
    first = step_to_call(&run, &victim, 1); /* with nobody in its way */
    for (unsigned i = 0; i < WRITES; i++)
        lengths[i] = step_to_call(&run, &victim, i + 2);
    victim_kill(&victim);
    ptq_share_close(share);
    audit(&run, "at the end,", first);
    for (unsigned n = 0; n < (all ? 20000 : 100); n++) {
        /* Around the swap that ends a write: before it nothing is decided, and what a killed one holds is looked after as ever. */
        uint64_t call = ptt_random(&run.seed) % WRITES, at = ptt_random(&run.seed) % first, back = ptt_random(&run.seed) % 200;
        uint64_t then = lengths[call] - (back < lengths[call] ? back : 0);
        overtake(&run, &victim, at, 1 + call);
        step(&run, &victim, then);
        if (!victim.over)
            victim_kill(&victim);
        audit(&run, "overtaken, killed in a write at", then);
    }
    fini(&run);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whoever_is_killed_at_an_instruction_leaves_it_whole),
        cmocka_unit_test(whoever_is_stopped_at_an_instruction_stops_nobody_and_undoes_nothing),
        cmocka_unit_test(whoever_was_overtaken_and_is_killed_later_leaves_it_whole),
    };

    all = argc > 1 && strcmp(argv[1], "all") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

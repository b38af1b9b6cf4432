/* memory_damage.c -- foreign bytes: whatever stands in a segment, calls answer error codes; no signal, no hang.
 *
 * A rich queue is made once and kept as an image.  A child writes a damaged copy, makes every call on it, and goes on to
 * the next; when the child dies or hangs the parent knows by the shared page which damage it was, and fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract/contract.h"
#include "ring/layout.h"

struct damage {
    struct contract *c;
    struct ptt_page *page; /* words[0]: which damage; words[1]: seed or offset; words[2]: call; words[8..]: answers seen */
    unsigned char *image;
    size_t size, used; /* used: bytes that hold anything */
    uint64_t seed;
    void (*apply)(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number);
    uint64_t count;
    const char *what;
    char path[200];
    struct pti_geometry geometry;
};

static ptq_queue *make_rich_queue(struct contract *c)
{
    struct ptq_queue_options options = {.capacity = 20, .item_size = 64, .max_deliveries = 2, .max_endpoints = 8};
    ptq_queue *queue = contract_open(c, "tasks", &options);
    struct caller batch = {.call = call_put_many, .queue = queue, .timeout_ms = PTQ_NOWAIT, .number = 50, .count = 4};

    for (uint64_t i = 0; i < 70; i++) {
        put_number(queue, i);
        assert_int_equal(recv_number(queue), i);
    }
    put_range(queue, 0, 6);
    assert_ok(call_put_many(&batch));
    for (int i = 0; i < 2; i++)
        assert_ok(ptq_nack(get_number(queue, 0), 0));
    assert_ok(ptq_nack(get_number(queue, 1), 0)); /* 0 is a dead letter now */
    ptq_msg *msg = get_number(queue, 1);
    assert_ok(ptq_nack(get_number(queue, 2), 3600 * 1000));
    get_number(queue, 3); /* leased; the copy's holder is dead */
    assert_ok(ptq_nack(msg, 0));
    return queue;
}

static void take_image(struct damage *damage)
{
    struct contract *c = damage->c;
    struct pti_header header;

    ptq_queue *queue = make_rich_queue(c); /* the image is taken while it is open: this is what the dead leave */
    snprintf(damage->path, sizeof damage->path, "%s/test/tasks~v%d", c->dir, PTQ_LAYOUT_VERSION);
    int fd = open(damage->path, O_RDONLY);
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    damage->size = (size_t)status.st_size;
    damage->image = malloc(damage->size);
    assert_int_equal(pread(fd, damage->image, damage->size, 0), (ssize_t)damage->size);
    close(fd);
    ptq_queue_close(queue);
    assert_ok(pti_header_read(damage->image, damage->size, &header));
    damage->geometry = header.geometry;
    for (damage->used = damage->size; damage->used > 0 && damage->image[damage->used - 1] == 0; damage->used--)
        ;
}

static void write_copy(const struct damage *damage, const unsigned char *bytes, size_t size)
{
    unlink(damage->path);
    int fd = open(damage->path, O_CREAT | O_EXCL | O_RDWR, 0600);
    size_t used = size < damage->used ? size : damage->used;

    if (fd < 0 || ftruncate(fd, (off_t)size) != 0 || pwrite(fd, bytes, used, 0) != (ssize_t)used)
        _exit(90);
    close(fd);
}

/* ---- every call, on whatever stands there */

static void note(struct damage *damage, enum ptq_err err)
{
    damage->page->words[2]++;
    if (err > PTQ_ESYS)
        damage->page->words[3] = 1; /* no such answer */
    else
        damage->page->words[8 + err]++;
}

static uint64_t read_all(const ptq_msg *msg)
{
    const unsigned char *bytes = ptq_msg_data(msg);
    uint64_t sum = ptq_msg_position(msg) + ptq_msg_sub(msg) + ptq_msg_deliveries(msg);

    for (size_t i = 0; i < ptq_msg_size(msg); i++)
        sum += bytes[i];
    return sum;
}

static bool peek_all(const struct ptq_view_msg *msg, void *context)
{
    uint64_t *sum = context;

    for (size_t i = 0; i < msg->size; i++)
        *sum += ((const unsigned char *)msg->data)[i];
    return true;
}

static void view_everything(struct damage *damage, ptq_bus *bus)
{
    struct ptq_verify_report report;
    struct ptq_queue_stats stats;
    struct ptq_view_info info;
    struct ptq_view_endpoint endpoints[8];
    uint64_t sum = 0;
    size_t count = 0;
    ptq_view *view = NULL;
    enum ptq_err err = ptq_view_open(bus, "tasks", NULL, &view);

    note(damage, err);
    if (err != PTQ_OK)
        return;
    note(damage, ptq_view_stats(view, &stats));
    note(damage, ptq_view_info(view, &info));
    note(damage, ptq_view_endpoints(view, endpoints, 8, &count));
    note(damage, ptq_view_peek(view, peek_all, &sum));
    note(damage, ptq_view_verify(view, NULL, NULL, &report));
    ptq_view_close(view);
}

static void use_everything(struct damage *damage, ptq_queue *queue)
{
    struct ptq_queue_stats stats;
    char bytes[64] = "";
    struct ptq_bytes items[3] = {{bytes, 8}, {bytes, 64}, {NULL, 0}};
    ptq_msg *msgs[4], *held = NULL;
    size_t size = 0;
    uint64_t sum = 0;

    note(damage, ptq_queue_stats(queue, &stats));
    for (int i = 0; i < 4; i++)
        note(damage, ptq_put(queue, bytes, 8, PTQ_NOWAIT));
    note(damage, ptq_put_many(queue, items, 3, PTQ_NOWAIT, NULL));
    enum ptq_err err = ptq_loan(queue, 64, PTQ_NOWAIT, &held);
    note(damage, err);
    if (err == PTQ_OK) {
        memset(ptq_msg_buffer(held), 7, 64);
        if ((err = ptq_publish(held, 64, PTQ_NOWAIT, NULL)) != PTQ_OK)
            ptq_abort(held);
        note(damage, err);
    }
    for (int i = 0; i < 40; i++) {
        ptq_msg *msg = NULL;
        note(damage, err = ptq_get(queue, PTQ_NOWAIT, &msg));
        if (err != PTQ_OK)
            break;
        sum += read_all(msg);
        note(damage, i % 3 == 0 ? ptq_nack(msg, 0) : ptq_ack(msg));
    }
    note(damage, err = ptq_get_many(queue, msgs, 1, 4, PTQ_NOWAIT, &size));
    for (size_t i = 0; err == PTQ_OK && i < size; i++) {
        sum += read_all(msgs[i]);
        note(damage, ptq_ack(msgs[i]));
    }
    int timeout_ms = damage->page->words[0] % 16 == 0; /* sleeping is dear: only now and then */
    note(damage, ptq_recv(queue, bytes, sizeof bytes, timeout_ms, &size));
    note(damage, ptq_put(queue, bytes, 8, timeout_ms));
    note(damage, ptq_end(queue));
    note(damage, ptq_queue_stats(queue, &stats));
    damage->page->words[4] = sum;
}

static int use_damaged_copies(void *context)
{
    struct damage *damage = context;
    unsigned char *bytes = malloc(damage->size);
    struct ptq_bus_options options = {.dir = damage->c->dir};
    ptq_bus *bus = NULL;

    if (bytes == NULL || ptq_bus_open("test", &options, &bus) != PTQ_OK)
        return 91;
    for (uint64_t number = damage->page->words[0]; number < damage->count; number++) {
        struct itimerval soon = {.it_value = {30, 0}}; /* a hang ends by SIGALRM */
        size_t size = damage->size;
        ptq_queue *queue = NULL;

        damage->page->words[0] = number;
        memcpy(bytes, damage->image, damage->used);
        memset(bytes + damage->used, 0, damage->size - damage->used);
        damage->apply(damage, bytes, &size, number);
        write_copy(damage, bytes, size);
        setitimer(ITIMER_REAL, &soon, NULL);
        view_everything(damage, bus);
        enum ptq_err err = ptq_queue_open(bus, "tasks", NULL, &queue);
        note(damage, err);
        if (err == PTQ_OK) {
            use_everything(damage, queue);
            ptq_queue_close(queue);
        }
        view_everything(damage, bus);
        struct ptq_gc_report report;
        if (number % 7 == 0)
            note(damage, ptq_bus_gc(bus, false, &report));
    }
    ptq_bus_close(bus);
    return 0;
}

static void run_damage(struct contract *c, const char *what, uint64_t count,
                       void (*apply)(struct damage *, unsigned char *, size_t *, uint64_t))
{
    struct damage damage = {.c = c, .what = what, .count = count, .apply = apply, .page = ptt_page_new()};
    int bad = 0;

    damage.seed = ptt_seed();
    take_image(&damage);
    while (damage.page->words[0] + 1 < count && bad < 10) {
        int status = ptt_reap(ptt_fork(use_damaged_copies, &damage), 120000);
        if (status == 0)
            break;
        bad++;
        print_error("%s, number %llu (word %llu), call %llu: %s %d\n", what, (unsigned long long)damage.page->words[0],
                    (unsigned long long)damage.page->words[1], (unsigned long long)damage.page->words[2],
                    WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        damage.page->words[0]++;
    }
    for (int err = 0; err <= PTQ_ESYS; err++)
        if (damage.page->words[8 + err] > 0)
            print_message("  %s: %llu %s\n", what, (unsigned long long)damage.page->words[8 + err],
                          ptq_err_name((enum ptq_err)err));
    assert_int_equal(damage.page->words[3], 0);
    assert_int_equal(bad, 0);
    free(damage.image);
    ptt_page_free(damage.page);
}

/* ---- kinds of damage */

static void leave_sound(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    (void)damage, (void)bytes, (void)size, (void)number;
}

static void a_sound_copy_of_a_dead_queue_recovers(void **state)
{
    struct contract *c = *state;
    struct damage damage = {.c = c, .page = ptt_page_new(), .count = 1, .apply = leave_sound};
    struct ptq_error error = {0};

    take_image(&damage);
    write_copy(&damage, damage.image, damage.size);
    ptq_queue *queue = NULL;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .error = &error};
    if (ptq_queue_open(c->bus, "tasks", &options, &queue) != PTQ_OK)
        fail_msg("%s", error.text);

    assert_int_equal(contract_stats(queue).dead, 1);
    static const uint64_t expected[] = {1, 3, 4, 5, 50, 51, 52, 53};
    for (int i = 0; i < 8; i++)
        if (i > 0)
            assert_int_equal(recv_number(queue), expected[i]); /* 1 was delivered twice: buried by the third */
    ptq_queue_close(queue);
    contract_verify(c, "tasks");
    free(damage.image);
    ptt_page_free(damage.page);
}

static void flip_header_bit(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    (void)size;
    damage->page->words[1] = number;
    bytes[number / 8] ^= (unsigned char)(1u << number % 8);
}

static void any_flipped_bit_of_the_header_is_answered(void **state)
{
    run_damage(*state, "header bit", sizeof(struct pti_header) * 8, flip_header_bit);
}

static void cut_short(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    static const size_t small[] = {0, 1, 7, 8, 63, 64, 4095, 4096, 4097, 8191, 8192};

    (void)bytes;
    *size = number < 11 ? small[number] : (size_t)(damage->size * (number - 10) / 60);
    damage->page->words[1] = *size;
}

static void a_truncated_file_is_answered(void **state) { run_damage(*state, "truncated", 70, cut_short); }

static void scribble_all(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    size_t from = number % 2 == 0 ? 0 : sizeof(struct pti_header);

    (void)size;
    contract_fill(bytes + from, damage->used - from, damage->seed + number);
}

static void random_bytes_are_answered(void **state) { run_damage(*state, "random bytes", 60, scribble_all); }

/* A value that may hurt: bits of what was there, extremes, words that look right and name what is not there. */
static uint64_t evil_value(struct damage *damage, uint64_t was)
{
    uint64_t random = ptt_random(&damage->seed);

    switch (ptt_random(&damage->seed) % 8) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return random;
    case 3: return was ^ UINT64_C(1) << random % 64;
    case 4: return was + 1;
    case 5: return was - 1;
    case 6: return (was & ~UINT64_C(0xffff)) | (random & 0xffff); /* another state and owner */
    default: return random & UINT32_MAX;
    }
}

static void scribble_words_in(struct damage *damage, unsigned char *bytes, size_t from, size_t to, uint64_t number)
{
    damage->seed = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    for (uint64_t words = 1 + ptt_random(&damage->seed) % 4; words > 0; words--) {
        size_t at = from + (size_t)(ptt_random(&damage->seed) % ((to - from) / 8)) * 8;
        uint64_t value = 0;
        memcpy(&value, bytes + at, 8);
        value = evil_value(damage, value);
        memcpy(bytes + at, &value, 8);
        damage->page->words[1] = at;
    }
}

static void scribble_hints(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    (void)size;
    scribble_words_in(damage, bytes, damage->geometry.off_hints, damage->geometry.off_slots, number);
}

static void scribble_slots(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    (void)size;
    scribble_words_in(damage, bytes, damage->geometry.off_slots, damage->geometry.off_entries, number);
}

static void scribble_entries(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    (void)size;
    scribble_words_in(damage, bytes, damage->geometry.off_entries,
                      damage->geometry.off_entries + damage->geometry.endpoints * sizeof(struct pti_entry), number);
}

/* Words and meta of blocks, and the lists in batch headers. */
static void scribble_blocks(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    struct pti_geometry *geometry = &damage->geometry;
    uint64_t block = ptt_random(&damage->seed) % geometry->blocks;
    size_t from = geometry->off_blocks + block * geometry->stride;

    (void)size;
    if (from + geometry->stride > damage->used)
        from = geometry->off_blocks;
    scribble_words_in(damage, bytes, from, from + geometry->stride / 8 * 8, number);
}

static void scribbled_hints_are_answered(void **state) { run_damage(*state, "hints", 3000, scribble_hints); }
static void scribbled_slots_are_answered(void **state) { run_damage(*state, "slots", 2000, scribble_slots); }
static void scribbled_entries_are_answered(void **state) { run_damage(*state, "entries", 2000, scribble_entries); }
static void scribbled_blocks_are_answered(void **state) { run_damage(*state, "blocks", 5000, scribble_blocks); }

/* Due later than any clock says, where what next_due can bear of it is past. */
static void spoil_a_time(struct damage *damage, unsigned char *bytes, size_t *size, uint64_t number)
{
    const struct pti_geometry *geometry = &damage->geometry;
    bool found = false;

    (void)size;
    for (uint32_t i = 0; i < geometry->blocks; i++) {
        struct pti_block *block = (struct pti_block *)(void *)(bytes + geometry->off_blocks + i * geometry->stride);
        if (pti_word_state(block->word) != PTI_DELAYED)
            continue;
        block->due_us = UINT64_C(1) << (48 + number % 16) | 1;
        found = true;
    }
    assert_true(found);
    damage->page->words[1] = number;
}

static void a_time_that_is_nonsense_holds_no_get_for_ever(void **state) { run_damage(*state, "times", 33, spoil_a_time); }

static void what_is_no_file_is_answered(void **state)
{
    struct contract *c = *state;
    char path[200], target[200];
    ptq_queue *queue = NULL;
    ptq_view *view = NULL;
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.error = &error};

    ptq_queue_close(contract_open(c, "real", NULL));
    snprintf(path, sizeof path, "%s/test/tasks~v%d", c->dir, PTQ_LAYOUT_VERSION);
    snprintf(target, sizeof target, "%s/test/real~v%d", c->dir, PTQ_LAYOUT_VERSION);
    for (int kind = 0; kind < 3; kind++) {
        int made = kind == 0 ? mkdir(path, 0700) : kind == 1 ? mkfifo(path, 0600) : symlink(target, path);
        assert_int_equal(made, 0);
        enum ptq_err err = ptq_queue_open(c->bus, "tasks", &options, &queue);
        if (err == PTQ_OK || error.text[0] == '\0')
            fail_msg("kind %d was answered %s: %s", kind, ptq_err_name(err), error.text);
        assert_int_not_equal(ptq_view_open(c->bus, "tasks", NULL, &view), PTQ_OK);
        assert_int_equal(remove(path), 0);
    }
}

static void another_layout_or_byte_order_is_eversion_and_says_so(void **state)
{
    struct contract *c = *state;
    struct damage damage = {.c = c, .page = ptt_page_new()};
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.error = &error};
    ptq_queue *queue = NULL;

    take_image(&damage);
    struct pti_header *header = (struct pti_header *)(void *)damage.image;
    header->layout = PTQ_LAYOUT_VERSION + 1;
    write_copy(&damage, damage.image, damage.size);
    assert_answer(PTQ_EVERSION, ptq_queue_open(c->bus, "tasks", &options, &queue));
    assert_non_null(strstr(error.text, "tasks"));
    header->layout = PTQ_LAYOUT_VERSION;
    memcpy(damage.image, "no magic", 8);
    write_copy(&damage, damage.image, damage.size);
    assert_answer(PTQ_ECORRUPT, ptq_queue_open(c->bus, "tasks", &options, &queue));

    free(damage.image);
    ptt_page_free(damage.page);
}

/* ---- a live scribbler: words change under the calls of healthy processes */

struct victimized {
    struct contract *c;
    struct ptt_page *page; /* words[0]: stop; words[1 + n]: rounds of user n */
    unsigned number;
};

static void use_once(ptq_queue *queue, uint64_t *seed)
{
    char bytes[64] = "";
    struct ptq_bytes items[3] = {{bytes, 8}, {bytes, 64}, {NULL, 0}};
    struct ptq_queue_stats stats;
    ptq_msg *msg = NULL;
    size_t size = 0;
    enum ptq_err err = PTQ_OK;

    switch (ptt_random(seed) % 8) {
    case 0: err = ptq_put_many(queue, items, 3, PTQ_NOWAIT, NULL); break;
    case 1: err = ptq_recv(queue, bytes, sizeof bytes, 2, &size); break;
    case 2: err = ptq_queue_stats(queue, &stats); break;
    case 3:
    case 4: err = ptq_put(queue, bytes, ptt_random(seed) % 65, (int)(ptt_random(seed) % 3)); break;
    default:
        if ((err = ptq_get(queue, (int)(ptt_random(seed) % 3), &msg)) == PTQ_OK) {
            *seed += read_all(msg);
            err = ptt_random(seed) % 4 == 0 ? ptq_nack(msg, (int)(ptt_random(seed) % 2)) : ptq_ack(msg);
        }
    }
    if (err > PTQ_ESYS)
        _exit(4);
}

static int use_while_scribbled(void *context)
{
    struct victimized *me = context;
    struct ptq_bus_options options = {.dir = me->c->dir};
    uint64_t seed = (uint64_t)getpid() * 7919;
    ptq_bus *bus = NULL;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK)
        return 3;
    while (me->page->words[0] == 0) {
        ptq_queue *queue = NULL;
        if (ptq_queue_open(bus, "tasks", &(struct ptq_queue_options){.mode = PTQ_ATTACH}, &queue) != PTQ_OK)
            continue;
        for (uint64_t calls = 1 + ptt_random(&seed) % 300; calls > 0 && me->page->words[0] == 0; calls--) {
            use_once(queue, &seed);
            me->page->words[1 + me->number]++;
        }
        ptq_queue_close(queue);
    }
    ptq_bus_close(bus);
    return 0;
}

static void scribble_for(const struct damage *damage, int64_t milliseconds, uint64_t *seed, unsigned pause_us)
{
    int fd = open(damage->path, O_RDWR | O_CLOEXEC);
    _Atomic uint64_t *words = mmap(NULL, damage->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    size_t first = damage->geometry.off_hints / 8, count = damage->used / 8;
    int64_t end = contract_now_ms() + milliseconds;

    assert_true(fd >= 0 && words != MAP_FAILED);
    while (contract_now_ms() < end) {
        struct damage copy = *damage;
        size_t at = first + (size_t)(ptt_random(seed) % (count - first));
        copy.seed = ptt_random(seed);
        words[at] = evil_value(&copy, words[at]);
        if (pause_us > 0)
            usleep(pause_us);
    }
    munmap(words, damage->size);
    close(fd);
}

static void a_live_scribbler_hurts_nobody(void **state)
{
    struct contract *c = *state;
    struct damage damage = {.c = c, .page = ptt_page_new()};
    uint64_t seed = ptt_seed();

    take_image(&damage);
    for (int round = 0; round < 12; round++) {
        struct victimized users[3];
        pid_t pids[3];
        memset(damage.page, 0, sizeof *damage.page);
        write_copy(&damage, damage.image, damage.size);
        for (unsigned i = 0; i < 3; i++) {
            users[i] = (struct victimized){c, damage.page, i};
            pids[i] = ptt_fork(use_while_scribbled, &users[i]);
        }
        for (unsigned i = 0; i < 3; i++)
            assert_true(ptt_wait_word(&damage.page->words[1 + i], 1, PTT_LONG));
        scribble_for(&damage, 200, &seed, round % 3 == 0 ? 0 : round % 3 == 1 ? 20 : 500);
        damage.page->words[0] = 1;
        for (unsigned i = 0; i < 3; i++)
            ptt_assert_exit(pids[i], 0, PTT_LONG);
    }
    free(damage.image);
    ptt_page_free(damage.page);
}

static const struct contract_case damage_cases[] = {
    CONTRACT_CASE(a_sound_copy_of_a_dead_queue_recovers),
    CONTRACT_CASE(any_flipped_bit_of_the_header_is_answered),
    CONTRACT_CASE(a_truncated_file_is_answered),
    CONTRACT_CASE(random_bytes_are_answered),
    CONTRACT_CASE(scribbled_hints_are_answered),
    CONTRACT_CASE(scribbled_slots_are_answered),
    CONTRACT_CASE(scribbled_entries_are_answered),
    CONTRACT_CASE(scribbled_blocks_are_answered),
    CONTRACT_CASE(a_time_that_is_nonsense_holds_no_get_for_ever),
    CONTRACT_CASE(a_live_scribbler_hurts_nobody),
    CONTRACT_CASE(what_is_no_file_is_answered),
    CONTRACT_CASE(another_layout_or_byte_order_is_eversion_and_says_so),
};
CONTRACT_GROUP(damage);

/* test_pipe_bad.c -- pipes without memory, without descriptors, and with garbage in their word: an answer, nothing left, no hang. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "process/pipe.h"
#include "ring/layout.h"
#include "support/ptt.h"

#define OPTIONS(...) (&(struct ptq_pipe_options){__VA_ARGS__})

enum { NO_NAMESPACE = 77, ITEM = 50000 };

/* -- a file system of 1 MiB ------------------------------------------------------------------------------------- */

struct room {
    struct ptt_page *page; /* words: where it went wrong, the answer; how many sends; then a text */
    char dir[64];
};

static int wrong(struct room *room, uint64_t where, enum ptq_err err)
{
    room->page->words[0] = where;
    room->page->words[1] = (uint64_t)err;
    return 1;
}

static unsigned count_files(const char *dir)
{
    char path[128];
    unsigned count = 0;
    (void)snprintf(path, sizeof path, "%s/test", dir);
    DIR *files = opendir(path);
    for (struct dirent *entry; files != NULL && (entry = readdir(files)) != NULL;)
        count += entry->d_name[0] != '.';
    if (files != NULL)
        closedir(files);
    return count;
}

static int send_until_no_space(struct room *room, ptq_pipe *pipe, unsigned *ret_count)
{
    static char bytes[ITEM];
    enum ptq_err err;
    for (*ret_count = 0; (err = ptq_pipe_send(pipe, bytes, sizeof bytes, PTQ_NOWAIT)) == PTQ_OK; ++*ret_count)
        ;
    return err == PTQ_ENOSPC ? 0 : wrong(room, 10, err);
}

static int receive(struct room *room, ptq_pipe *pipe, unsigned count)
{
    static char bytes[ITEM];
    size_t size;
    for (unsigned i = 0; i < count; i++) {
        enum ptq_err err = ptq_pipe_recv(pipe, bytes, sizeof bytes, PTQ_NOWAIT, &size);
        if (err != PTQ_OK || size != sizeof bytes)
            return wrong(room, 20 + i, err);
    }
    return 0;
}

static int fill_with_messages(struct room *room, ptq_bus *bus)
{
    ptq_pipe *anchor, *point;
    unsigned count, again;
    enum ptq_err err = ptq_pipe_pair(bus, OPTIONS(.item_size = ITEM, .capacity = 100), &anchor, &point);
    if (err != PTQ_OK)
        return wrong(room, 1, err);
    if (send_until_no_space(room, anchor, &count) != 0 || receive(room, point, count) != 0 ||
        send_until_no_space(room, anchor, &again) != 0 || receive(room, point, again) != 0)
        return 1;
    room->page->words[2] = count;
    if (again < count)
        return wrong(room, 2, PTQ_OK);
    ptq_pipe_close(anchor); /* its END needs no room */
    if ((err = ptq_pipe_recv(point, NULL, 0, PTQ_FOREVER, &(size_t){0})) != PTQ_END)
        return wrong(room, 3, err);
    ptq_pipe_close(point);
    return count_files(room->dir) == 0 ? 0 : wrong(room, 4, PTQ_OK);
}

static int fill_with_pipes(struct room *room, ptq_bus *bus)
{
    enum { MOST = 200 };
    static ptq_pipe *ends[MOST][2];
    struct ptq_error error = {0};
    unsigned count = 0;
    enum ptq_err err;
    while (count < MOST && (err = ptq_pipe_pair(bus, OPTIONS(.error = &error), &ends[count][0], &ends[count][1])) == PTQ_OK)
        count++;
    room->page->words[3] = count;
    if (count == MOST || err != PTQ_ENOSPC || strstr(error.text, "free") == NULL)
        return wrong(room, 30, err);
    if (count_files(room->dir) != 2 * count)
        return wrong(room, 31, PTQ_OK);
    while (count-- > 0) {
        ptq_pipe_close(ends[count][0]);
        ptq_pipe_close(ends[count][1]);
    }
    return count_files(room->dir) == 0 ? 0 : wrong(room, 32, PTQ_OK);
}

static int fill_1_mib(void *context)
{
    struct room *room = context;
    ptq_bus *bus;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", room->dir, "tmpfs", 0, "size=1m,mode=0700") != 0)
        return NO_NAMESPACE;
    if (ptq_bus_open("test", &(struct ptq_bus_options){.dir = room->dir}, &bus) != PTQ_OK)
        return wrong(room, 5, PTQ_OK);
    if (fill_with_messages(room, bus) != 0 || fill_with_pipes(room, bus) != 0)
        return 1;
    ptq_bus_close(bus);
    return 0;
}

static void a_full_file_system_is_told_and_nothing_is_left_in_it(void **state)
{
    struct room room = {.page = ptt_page_new()};
    (void)state;
    (void)snprintf(room.dir, sizeof room.dir, "/dev/shm/ptq-test.XXXXXX");
    assert_non_null(mkdtemp(room.dir));
    int status = ptt_reap(ptt_fork(fill_1_mib, &room), PTT_LONG);
    (void)rmdir(room.dir);
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == NO_NAMESPACE) {
        print_message("skipped: a mount namespace of one's own is not permitted here\n");
        ptt_page_free(room.page);
        skip();
    }
    if (status != 0)
        fail_msg("status %#x at place %llu: %s", (unsigned)status, (unsigned long long)room.page->words[0],
                 ptq_err_name((enum ptq_err)room.page->words[1]));
    assert_true(room.page->words[2] >= 8);
    assert_true(room.page->words[3] >= 2);
    ptt_page_free(room.page);
}

/* -- no descriptors --------------------------------------------------------------------------------------------- */

static int next_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(fd);
    return fd;
}

struct owner {
    struct ptt_scratch *scratch;
    struct ptt_page *page;
};

static int own_the_point(void *context)
{
    struct owner *owner = context;
    ptq_pipe *point;
    if (ptq_pipe_open(ptt_scratch_open(owner->scratch), "p", NULL, &point) != PTQ_OK)
        return 1;
    atomic_store(&owner->page->words[0], 1);
    (void)pause();
    return 0;
}

static void without_descriptors_a_pipe_is_not_made_and_one_that_is_goes_on(void **state)
{
    struct owner owner = {*state, ptt_page_new()};
    struct ptt_scratch *scratch = *state;
    struct rlimit before, less;
    ptq_pipe *anchor = NULL, *point = NULL;
    enum ptq_err err = PTQ_EMPTY;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    less = before;
    int fd = next_descriptor();
    unsigned refused = 0;
    for (unsigned more = 0; err != PTQ_OK; more++) {
        less.rlim_cur = (rlim_t)fd + more;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
        err = ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &anchor, NULL);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(more < 30);
        if (err != PTQ_OK) {
            refused++;
            assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
            assert_int_equal(next_descriptor(), fd);
        }
    }
    assert_true(refused >= 2);
    pid_t pid = ptt_fork(own_the_point, &owner);
    assert_true(ptt_wait_word(&owner.page->words[0], 1, PTT_LONG));
    less.rlim_cur = (rlim_t)next_descriptor();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    enum ptq_err open = ptq_pipe_open(scratch->bus, "p", NULL, &point);
    err = ptq_pipe_recv(anchor, NULL, 0, 300, &(size_t){0});
    enum ptq_err sent = ptq_pipe_send(anchor, "x", 1, PTQ_FOREVER);
    ptt_kill(pid);
    enum ptq_err died = ptq_pipe_recv(anchor, NULL, 0, PTT_LONG, &(size_t){0});
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_not_equal(open, PTQ_OK);
    assert_int_equal(err, PTQ_TIMEDOUT);
    assert_int_equal(sent, PTQ_OK);
    assert_int_equal(died, PTQ_EDIED);
    ptq_pipe_close(anchor);
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
    ptt_page_free(owner.page);
}

/* -- garbage ---------------------------------------------------------------------------------------------------- */

static _Atomic uint64_t *map_word(const struct ptt_scratch *scratch, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/test/%s.point~v2", scratch->dir, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(page != MAP_FAILED);
    (void)close(fd);
    return (_Atomic uint64_t *)(void *)(page + PTI_WORD_OFFSET);
}

static void unmap_word(_Atomic uint64_t *word)
{
    (void)munmap((char *)word - PTI_WORD_OFFSET, 4096);
}

static void a_word_that_no_pipe_writes_is_told(void **state)
{
    struct ptt_scratch *scratch = *state;
    enum ptq_pipe_peer peer;
    ptq_pipe *anchor, *point;
    char ref[PTQ_REF_SIZE];

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p"), &anchor, &point));
    _Atomic uint64_t *word = map_word(scratch, "p");
    uint64_t was = *word;
    assert_int_equal(was, (uint64_t)0x101 << 32 | 0x101);
    *word = (was & UINT32_MAX) | (uint64_t)0x109 << 32;
    assert_answer(PTQ_ECORRUPT, ptq_pipe_peer(anchor, &peer));
    assert_answer(PTQ_ECORRUPT, ptq_pipe_recv(anchor, NULL, 0, PTQ_NOWAIT, &(size_t){0}));
    assert_answer(PTQ_ECORRUPT, ptq_pipe_give(point, ref, sizeof ref));
    ptq_pipe_close(point);
    assert_answer(PTQ_ECORRUPT, ptq_pipe_open(scratch->bus, "p", NULL, &point));
    *word = 0;
    assert_answer(PTQ_ENOENT, ptq_pipe_open(scratch->bus, "p", NULL, &point));
    ptq_pipe_close(anchor);
    unmap_word(word);
    assert_ok(ptq_pipe_unlink(scratch->bus, "p", false));
}

static bool is_sane(enum ptq_err err)
{
    return err == PTQ_OK || err == PTQ_EMPTY || err == PTQ_FULL || err == PTQ_TIMEDOUT || err == PTQ_END || err == PTQ_EENDED ||
           err == PTQ_EDIED || err == PTQ_ECORRUPT || err == PTQ_EGONE || err == PTQ_EBUSY || err == PTQ_ENOENT || err == PTQ_EPERM ||
           err == PTQ_EEXIST;
}

static void use_beside_garbage(struct ptt_scratch *scratch, uint64_t *random)
{
    ptq_pipe *ends[2] = {NULL, NULL}, *other;
    enum ptq_pipe_peer peer;
    char bytes[64], ref[PTQ_REF_SIZE];
    size_t size;

    assert_ok(ptq_pipe_pair(scratch->bus, OPTIONS(.name = "p", .capacity = 4), &ends[0], &ends[1]));
    _Atomic uint64_t *word = map_word(scratch, "p");
    for (int i = 0; i < 40 && ends[1] != NULL; i++) {
        uint64_t bits = ptt_random(random);
        ptq_pipe *end = ends[bits % 2];
        *word = bits >> 8 & 3 ? ptt_random(random) & 0x0303030303030303 : ptt_random(random);
        assert_true(is_sane(ptq_pipe_send(end, bytes, sizeof bytes, bits >> 16 & 1)));
        assert_true(is_sane(ptq_pipe_recv(end, bytes, sizeof bytes, bits >> 17 & 1, &size)));
        assert_true(is_sane(ptq_pipe_peer(end, &peer)));
        enum ptq_err err = ptq_pipe_open(scratch->bus, "p", NULL, &other);
        assert_true(is_sane(err));
        if (err == PTQ_OK)
            ptq_pipe_close(other);
        if (bits >> 20 & 15)
            continue;
        err = ptq_pipe_give(ends[1], ref, sizeof ref);
        assert_true(is_sane(err));
        if (err == PTQ_OK)
            ends[1] = NULL;
    }
    ptq_pipe_close(ends[1]);
    ptq_pipe_close(ends[0]);
    unmap_word(word);
    assert_ok(ptq_pipe_unlink(scratch->bus, "p", true));
    assert_int_equal(ptt_scratch_files(scratch, NULL), 0);
}

static void garbage_in_the_word_hurts_nobody(void **state)
{
    uint64_t random = ptt_seed();
    for (int i = 0; i < 40; i++)
        use_beside_garbage(*state, &random);
}

static void a_guarded_pipe_that_somebody_truncates_answers(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_bus *bus;
    ptq_pipe *anchor, *point;
    enum ptq_pipe_peer peer;
    char path[256];

    assert_ok(ptq_bus_open("test", &(struct ptq_bus_options){.dir = scratch->dir, .guard = true}, &bus));
    assert_ok(ptq_pipe_pair(bus, OPTIONS(.name = "p"), &anchor, &point));
    (void)snprintf(path, sizeof path, "%s/test/p.point~v2", scratch->dir);
    assert_int_equal(truncate(path, 0), 0);
    assert_true(is_sane(ptq_pipe_peer(anchor, &peer)));
    assert_answer(PTQ_ECORRUPT, ptq_pipe_send(anchor, "x", 1, PTQ_FOREVER));
    assert_answer(PTQ_ECORRUPT, ptq_pipe_recv(point, NULL, 0, PTQ_FOREVER, &(size_t){0}));
    ptq_pipe_close(point);
    ptq_pipe_close(anchor);
    ptq_bus_close(bus);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_full_file_system_is_told_and_nothing_is_left_in_it),
        CASE(without_descriptors_a_pipe_is_not_made_and_one_that_is_goes_on),
        CASE(a_word_that_no_pipe_writes_is_told),
        CASE(garbage_in_the_word_hurts_nobody),
        CASE(a_guarded_pipe_that_somebody_truncates_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

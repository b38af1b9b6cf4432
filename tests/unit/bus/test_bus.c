/* test_bus.c -- opening a bus: which directory, which checks, which names. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "bus/bus.h"
#include "bus/directory.h"
#include "support/ptt.h"

static struct ptq_error last_error;

static enum ptq_err open_in(const char *dir, const char *run, ptq_bus **ret_bus)
{
    struct ptq_bus_options options = {.dir = dir, .error = &last_error};

    last_error = (struct ptq_error){0};
    return ptq_bus_open(run, &options, ret_bus);
}

static void assert_refused(enum ptq_err expected, const char *dir, const char *run, const char *word)
{
    ptq_bus *bus = NULL;

    assert_answer(expected, open_in(dir, run, &bus));

    assert_null(bus);
    assert_int_equal(last_error.code, expected);
    if (strstr(last_error.text, word) == NULL)
        fail_msg("'%s' does not say '%s'", last_error.text, word);
}

static void open_makes_private_directories(void **state)
{
    struct ptt_scratch *scratch = *state;
    char dir[128];
    struct stat status;
    ptq_bus *bus = NULL;

    snprintf(dir, sizeof dir, "%s/fresh/", scratch->dir);
    assert_ok(open_in(dir, "night", &bus));

    assert_string_equal(ptq_bus_run(bus), "night");
    assert_int_equal(stat(ptq_bus_path(bus), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    snprintf(dir, sizeof dir, "%s/fresh/night", scratch->dir);
    assert_string_equal(ptq_bus_path(bus), dir);
    ptq_bus_close(bus);
}

static void open_refuses_a_link(void **state)
{
    struct ptt_scratch *scratch = *state;
    char real[128], link[128], slashed[160];

    snprintf(real, sizeof real, "%s/real", scratch->dir);
    snprintf(link, sizeof link, "%s/link", scratch->dir);
    snprintf(slashed, sizeof slashed, "%s//", link);
    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(symlink(real, link), 0);

    assert_refused(PTQ_EPERM, link, NULL, "link");
    assert_refused(PTQ_EPERM, slashed, NULL, "link");
    assert_refused(PTQ_EPERM, scratch->dir, "link", "link");
}

static void open_refuses_a_file(void **state)
{
    struct ptt_scratch *scratch = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/file", scratch->dir);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);

    assert_refused(PTQ_EPERM, path, NULL, "no directory");
}

static void open_refuses_a_directory_that_is_open_to_everybody(void **state)
{
    struct ptt_scratch *scratch = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/wide", scratch->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0701), 0);

    assert_refused(PTQ_EPERM, path, NULL, "open to everybody");
}

static int open_as_another_user(void *context)
{
    ptq_bus *bus = NULL;

    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 77;
    return open_in(context, NULL, &bus) == PTQ_EPERM ? 0 : 1;
}

static void open_refuses_the_directory_of_another_user(void **state)
{
    struct ptt_scratch *scratch = *state;
    char path[128];

    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(scratch->dir, 0711), 0);
    snprintf(path, sizeof path, "%s/theirs", scratch->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chown(path, 12345, 12345), 0);

    ptt_assert_exit(ptt_fork(open_as_another_user, path), 0, PTT_LONG);
}

static void root_looks_at_the_bus_of_another_user_but_makes_none(void **state)
{
    struct ptt_scratch *scratch = *state;
    char path[128], run[160];
    ptq_bus *bus = NULL;

    if (geteuid() != 0)
        skip();
    snprintf(path, sizeof path, "%s/theirs", scratch->dir);
    snprintf(run, sizeof run, "%s/day", path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mkdir(run, 0700), 0);
    assert_int_equal(chown(path, 12345, 12345), 0);
    assert_int_equal(chown(run, 12345, 12345), 0);

    assert_refused(PTQ_ENOENT, path, "other", "root makes none");
    assert_ok(open_in(path, "day", &bus));

    ptq_bus_close(bus);
}

static void open_says_which_directory_is_missing(void **state)
{
    struct ptt_scratch *scratch = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/no/such", scratch->dir);

    assert_refused(PTQ_ENOENT, path, NULL, "/no/such");
}

static long pretended_file_system;

/* Stands in for the kernel's (the linker wraps it): no NFS is at hand. */
int __real_fstatfs(int fd, struct statfs *place);
int __wrap_fstatfs(int fd, struct statfs *place);
int __wrap_fstatfs(int fd, struct statfs *place)
{
    int result = __real_fstatfs(fd, place);

    if (pretended_file_system != 0)
        place->f_type = pretended_file_system;
    return result;
}

static void open_refuses_file_systems_of_other_hosts(void **state)
{
    static const struct {
        long type;
        const char *name;
    } cases[] = {{0x6969, "NFS"}, {0x65735546, "FUSE"}, {(int)0xff534d42, "SMB"}};
    struct ptt_scratch *scratch = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pretended_file_system = cases[i].type;
        assert_refused(PTQ_EINVAL, scratch->dir, NULL, cases[i].name);
    }
    pretended_file_system = 0;
}

static void open_refuses_bad_names(void **state)
{
    struct ptt_scratch *scratch = *state;
    char longest[PTQ_NAME_MAX + 1], too_long[PTQ_NAME_MAX + 2];
    ptq_bus *bus = NULL;

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';

    assert_refused(PTQ_EINVAL, scratch->dir, "", "run name");
    assert_refused(PTQ_EINVAL, scratch->dir, ".hidden", "run name");
    assert_refused(PTQ_EINVAL, scratch->dir, "a/b", "run name");
    assert_refused(PTQ_EINVAL, scratch->dir, "a~b", "run name");
    assert_refused(PTQ_EINVAL, scratch->dir, too_long, "run name");
    assert_ok(open_in(scratch->dir, longest, &bus));

    ptq_bus_close(bus);
}

static void open_refuses_too_long_a_path(void **state)
{
    char dir[600];

    (void)state;
    memset(dir, 'd', sizeof dir - 1);
    dir[0] = '/';
    dir[sizeof dir - 1] = '\0';

    assert_refused(PTQ_EINVAL, dir, NULL, "too long");
}

static void the_environment_names_what_is_not_given(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_bus *bus = NULL;
    char path[128];

    setenv("PTQ_DIR", scratch->dir, 1);
    setenv("PTQ_RUN", "fromenv", 1);
    setenv("PTQ_NODE", "west", 1);
    setenv("PTQ_PEERS", "east=tcp://127.0.0.1:7400, south=ipc:///tmp/s", 1);
    setenv("PTQ_INSECURE", "1", 1);
    enum ptq_err answer = ptq_bus_open(NULL, NULL, &bus);
    unsetenv("PTQ_DIR"), unsetenv("PTQ_RUN"), unsetenv("PTQ_NODE"), unsetenv("PTQ_PEERS"), unsetenv("PTQ_INSECURE");

    assert_ok(answer);
    snprintf(path, sizeof path, "%s/fromenv", scratch->dir);
    assert_string_equal(ptq_bus_path(bus), path);
    assert_string_equal(bus->node, "west");
    assert_true(bus->insecure);
    assert_int_equal(bus->peer_count, 2);
    assert_string_equal(bus->peers[0].node, "east");
    assert_string_equal(bus->peers[1].url, "ipc:///tmp/s");
    ptq_bus_close(bus);
}

static void options_win_over_the_environment(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_bus_options options = {.dir = scratch->dir, .peers = "", .node = "here"};
    ptq_bus *bus = NULL;

    setenv("PTQ_DIR", "/nonexistent/x", 1);
    setenv("PTQ_RUN", "fromenv", 1);
    setenv("PTQ_NODE", "west", 1);
    setenv("PTQ_PEERS", "east=tcp://127.0.0.1:7400", 1);
    enum ptq_err answer = ptq_bus_open("given", &options, &bus);
    unsetenv("PTQ_DIR"), unsetenv("PTQ_RUN"), unsetenv("PTQ_NODE"), unsetenv("PTQ_PEERS");

    assert_ok(answer);
    assert_string_equal(ptq_bus_run(bus), "given");
    assert_string_equal(bus->node, "here");
    assert_int_equal(bus->peer_count, 0);
    assert_false(bus->insecure);
    ptq_bus_close(bus);
}

static void open_refuses_bad_peers(void **state)
{
    static const char *const lists[] = {"east",         "=tcp://h:1",    "east=",
                                        "east=h:1",     "ea st=tcp://h", "east=tcp://h:1,east=tcp://i:1",
                                        "east=://host"};
    struct ptt_scratch *scratch = *state;

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct ptq_bus_options options = {.dir = scratch->dir, .peers = lists[i], .error = &last_error};
        ptq_bus *bus = NULL;

        assert_answer(PTQ_EINVAL, ptq_bus_open("test", &options, &bus));

        assert_null(bus);
        assert_non_null(strstr(last_error.text, "peer"));
    }
}

static bool gather(const char *name, void *context)
{
    strcat(context, name);
    strcat(context, " ");
    return strcmp(name, "stop") != 0;
}

static void make_file(const ptq_bus *bus, const char *name)
{
    int fd = openat(bus->dirfd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static void list_gives_segments_of_this_layout_in_alphabetical_order(void **state)
{
    static const char *const files[] = {"b~v2", "a~v2", "B~v2", "a~get", "c~v3", "~v2", ".d~v2", "e~new.0123", "f g~v2"};
    struct ptt_scratch *scratch = *state;
    char seen[256] = "";

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        make_file(scratch->bus, files[i]);

    assert_ok(ptq_bus_list(scratch->bus, gather, seen));

    assert_string_equal(seen, "B a b ");
}

static void list_stops_when_told(void **state)
{
    struct ptt_scratch *scratch = *state;
    char seen[256] = "";

    make_file(scratch->bus, "start~v2");
    make_file(scratch->bus, "stop~v2");
    make_file(scratch->bus, "unseen~v2");

    assert_ok(ptq_bus_list(scratch->bus, gather, seen));

    assert_string_equal(seen, "start stop ");
}

static bool count_peers(const char *node, const char *url, void *context)
{
    (void)node, (void)url;
    ++*(unsigned *)context;
    return true;
}

static int list_peers(void *context)
{
    ptq_bus *bus = ptt_scratch_open(context);
    unsigned count = 0;

    return ptq_bus_list_peers(bus, count_peers, &count) == PTQ_OK && count == 0 ? 0 : 1;
}

static void a_fifo_in_place_of_the_peers_holds_nobody_up(void **state)
{
    struct ptt_scratch *scratch = *state;
    char path[128];

    snprintf(path, sizeof path, "%s/test/" PTI_PEERS_FILE, scratch->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    ptt_assert_exit(ptt_fork(list_peers, scratch), 0, PTT_LONG);
}

static void a_bus_lives_as_long_as_somebody_holds_it(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_bus *bus = ptt_scratch_open(scratch);
    ptq_bus *held = pti_bus_hold(bus);

    ptq_bus_close(bus);

    assert_true(fcntl(held->dirfd, F_GETFD) >= 0);
    assert_string_equal(held->run, "test");
    pti_bus_drop(held);
}

static void nothing_is_left_open(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptt_traces before;
    ptq_bus *bus = NULL;
    char seen[8] = "";

    ptt_traces_take(&before);
    assert_ok(open_in(scratch->dir, "test", &bus));
    assert_ok(ptq_bus_list(bus, gather, seen));
    ptq_bus_close(bus);
    assert_answer(PTQ_EINVAL, open_in(scratch->dir, "/", &bus));
    assert_answer(PTQ_EPERM, open_in("/proc/version", NULL, &bus));

    ptt_traces_assert_none_left(&before);
}

struct look {
    int dirfd;
    struct timespec seen;
};

static bool is_same(void *context)
{
    struct look *look = context;

    return pti_directory_is_same(look->dirfd, 30, &look->seen);
}

static void a_directory_is_the_same_until_something_is_made_renamed_or_removed(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct look look = {.dirfd = scratch->bus->dirfd};

    for (int change = 0; change < 3; change++) {
        if (change == 0)
            assert_int_equal(mkdirat(look.dirfd, "one", 0700), 0);
        else if (change == 1)
            assert_int_equal(renameat(look.dirfd, "one", look.dirfd, "two"), 0);
        else
            assert_int_equal(unlinkat(look.dirfd, "two", AT_REMOVEDIR), 0);
        assert_false(is_same(&look));
        assert_true(ptt_wait_until(is_same, &look, PTT_LONG)); /* once it is so old that another change would be told from it */
        assert_true(is_same(&look));
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(open_makes_private_directories),
        CASE(open_refuses_a_link),
        CASE(open_refuses_a_file),
        CASE(open_refuses_a_directory_that_is_open_to_everybody),
        CASE(open_refuses_the_directory_of_another_user),
        CASE(root_looks_at_the_bus_of_another_user_but_makes_none),
        CASE(open_says_which_directory_is_missing),
        CASE(open_refuses_file_systems_of_other_hosts),
        CASE(open_refuses_bad_names),
        CASE(open_refuses_too_long_a_path),
        CASE(the_environment_names_what_is_not_given),
        CASE(options_win_over_the_environment),
        CASE(open_refuses_bad_peers),
        CASE(list_gives_segments_of_this_layout_in_alphabetical_order),
        CASE(list_stops_when_told),
        CASE(a_fifo_in_place_of_the_peers_holds_nobody_up),
        CASE(a_bus_lives_as_long_as_somebody_holds_it),
        CASE(a_directory_is_the_same_until_something_is_made_renamed_or_removed),
        CASE(nothing_is_left_open),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

/* test_users.c -- two users and a group: who is let in, who may only watch, and what they are told. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "hosts/hosts.h"

enum { ALICE = 61001, BOB = 61002, CAROL = 61003, TEAM = 61500 };

static bool become(uid_t who, bool in_team)
{
    gid_t team = TEAM;

    return hosts_become(who, who, &team, in_team ? 1 : 0);
}

static mode_t mode_of(const char *format, ...)
{
    char path[300];
    struct stat status;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    return lstat(path, &status) == 0 ? status.st_mode & 07777 : 0;
}

/* What an administrator does: a directory of root's, for the team. */
static void make_team_directory(struct hosts *h)
{
    assert_int_equal(mkdir(h->bus, 0700), 0);
    assert_int_equal(chown(h->bus, 0, TEAM), 0);
    assert_int_equal(chmod(h->bus, 02770), 0);
}

static int alice_shares(void *context)
{
    struct hosts *h = context;
    struct ptq_queue_options shared = {.group = "61500"}, readable = {.group = "61500", .file_mode = 0640};
    ptq_bus *bus = NULL;
    ptq_queue *own = NULL, *open = NULL, *shown = NULL;

    umask(0777); /* has no effect */
    HOSTS_TRUE(h, become(ALICE, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_TRUE(h, mode_of("%s/test", h->bus) == 02770);
    HOSTS_OK(h, hosts_queue(bus, "own", NULL, &own));
    HOSTS_OK(h, hosts_queue(bus, "open", &shared, &open));
    HOSTS_OK(h, hosts_queue(bus, "shown", &readable, &shown));
    HOSTS_TRUE(h, mode_of("%s/test/own~v%d", h->bus, PTQ_LAYOUT_VERSION) == 0600);
    HOSTS_TRUE(h, mode_of("%s/test/open~v%d", h->bus, PTQ_LAYOUT_VERSION) == 0660);
    HOSTS_TRUE(h, mode_of("%s/test/shown~v%d", h->bus, PTQ_LAYOUT_VERSION) == 0640);
    HOSTS_OK(h, ptq_put(own, "1", 1, PTQ_NOWAIT));
    HOSTS_OK(h, ptq_put(open, "1", 1, PTQ_NOWAIT));
    HOSTS_OK(h, ptq_put(shown, "1", 1, PTQ_NOWAIT));
    ptq_queue_close(own);
    ptq_queue_close(open);
    ptq_queue_close(shown);
    ptq_bus_close(bus);
    return 0;
}

static int bob_tries(void *context)
{
    struct hosts *h = context;
    struct ptq_queue_stats stats;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_view *view = NULL;
    ptq_msg *msg = NULL;

    HOSTS_TRUE(h, become(BOB, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "own", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'own'", "user 61001", "mode 0600", "user 61002", "--group");
    HOSTS_ANSWER(h, PTQ_EPERM, ptq_view_open(bus, "own", &hosts_error, &view));

    HOSTS_OK(h, hosts_queue(bus, "open", NULL, &queue));
    HOSTS_OK(h, ptq_get(queue, PTQ_NOWAIT, &msg));
    HOSTS_OK(h, ptq_ack(msg));
    HOSTS_OK(h, ptq_put(queue, "2", 1, PTQ_NOWAIT));
    ptq_queue_close(queue);

    queue = NULL;
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "shown", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'shown'", "mode 0640", "watch", "0660");
    HOSTS_OK(h, ptq_view_open(bus, "shown", &hosts_error, &view));
    HOSTS_OK(h, ptq_view_stats(view, &stats));
    HOSTS_TRUE(h, stats.ready == 1 && queue == NULL);
    ptq_view_close(view);
    ptq_bus_close(bus);
    return 0;
}

static int carol_is_refused(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;

    HOSTS_TRUE(h, become(CAROL, false));
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_bus(h->bus, &bus));
    HOSTS_SAYS(h, hosts_text, h->bus, "user 61003");
    return 0;
}

static void a_group_shares_what_was_given_to_it_and_nothing_else(void **state)
{
    struct hosts *h = *state;

    make_team_directory(h);
    hosts_run(h, alice_shares);
    hosts_run(h, bob_tries);
    hosts_run(h, carol_is_refused);
}

/* ---- directories of other users ---- */

static int alice_keeps_to_herself(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;

    HOSTS_TRUE(h, become(ALICE, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    ptq_bus_close(bus);
    return 0;
}

static int bob_is_refused(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;

    HOSTS_TRUE(h, become(BOB, true));
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_bus(h->bus, &bus));
    HOSTS_SAYS(h, hosts_text, h->bus, h->argument);
    return 0;
}

static void a_directory_of_another_user_is_refused_unless_shared_with_a_group(void **state)
{
    struct hosts *h = *state;

    assert_int_equal(mkdir(h->bus, 0700), 0);
    assert_int_equal(chown(h->bus, ALICE, TEAM), 0);
    h->argument = "user 61002";
    hosts_run(h, alice_keeps_to_herself);
    hosts_run(h, bob_is_refused);
    hosts_run(h, carol_is_refused);

    assert_int_equal(chmod(h->bus, 02770), 0);
    hosts_run(h, bob_is_refused); /* the run is still alice's alone */
    hosts_run(h, carol_is_refused);

    char run[200];
    snprintf(run, sizeof run, "%s/test", h->bus);
    assert_int_equal(rmdir(run), 0);
    hosts_run(h, alice_shares);
    hosts_run(h, bob_tries);
    hosts_run(h, carol_is_refused);

    assert_int_equal(chmod(h->bus, 02777), 0);
    h->argument = "open to everybody";
    hosts_run(h, bob_is_refused);
}

static int alice_gives_away(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_TRUE(h, become(ALICE, false));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "tasks", &(struct ptq_queue_options){.group = "61500"}, &queue));
    HOSTS_SAYS(h, hosts_text, "'tasks'", "'61500'", "not in group");
    HOSTS_ANSWER(h, PTQ_EINVAL, hosts_queue(bus, "tasks", &(struct ptq_queue_options){.group = "no-such-group"}, &queue));
    HOSTS_SAYS(h, hosts_text, "no group 'no-such-group'");
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_ANSWER(h, PTQ_EMISMATCH, hosts_queue(bus, "tasks", &(struct ptq_queue_options){.file_mode = 0660}, &queue));
    HOSTS_SAYS(h, hosts_text, "0600", "0660");
    HOSTS_ANSWER(h, PTQ_EMISMATCH, hosts_queue(bus, "tasks", &(struct ptq_queue_options){.group = "61500"}, &queue));
    HOSTS_SAYS(h, hosts_text, "61001", "61500");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static void a_group_that_is_not_ones_own_is_refused(void **state)
{
    struct hosts *h = *state;

    assert_int_equal(mkdir(h->bus, 0700), 0);
    assert_int_equal(chown(h->bus, ALICE, ALICE), 0);
    hosts_run(h, alice_gives_away);
}

/* ---- shares and logs ---- */

static int alice_shares_values(void *context)
{
    struct hosts *h = context;
    struct ptq_error error = {0};
    ptq_bus *bus = NULL;
    ptq_share *share = NULL, *own = NULL;
    ptq_log *log = NULL;
    ptq_cell *cell = NULL;

    umask(0777);
    HOSTS_TRUE(h, become(ALICE, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, ptq_share_open(bus, "open", &(struct ptq_share_options){.group = "61500", .error = &error}, &share));
    HOSTS_OK(h, ptq_share_open(bus, "own", NULL, &own));
    HOSTS_OK(h, ptq_log_open(bus, "shown", &(struct ptq_log_options){.group = "61500", .file_mode = 0640, .error = &error}, &log));
    HOSTS_TRUE(h, mode_of("%s/test/open~s%d", h->bus, 1) == 0660);
    HOSTS_TRUE(h, mode_of("%s/test/own~s%d", h->bus, 1) == 0600);
    HOSTS_TRUE(h, mode_of("%s/test/shown~g%d", h->bus, 1) == 0640);
    HOSTS_OK(h, ptq_share_i64(share, "n", 4, &cell));
    ptq_cell_free(cell);
    ptq_share_close(share);
    ptq_share_close(own);
    ptq_log_close(log);
    HOSTS_ANSWER(h, PTQ_EMISMATCH, ptq_share_open(bus, "own", &(struct ptq_share_options){.group = "61001", .error = &error}, &own));
    HOSTS_SAYS(h, error.text, "share 'own' exists with group 61500, '61001' was asked");
    HOSTS_ANSWER(h, PTQ_EMISMATCH, ptq_share_open(bus, "own", &(struct ptq_share_options){.file_mode = 0640, .error = &error}, &own));
    HOSTS_SAYS(h, error.text, "share 'own' exists with mode 0600, 0640");
    HOSTS_ANSWER(h, PTQ_EINVAL, ptq_log_open(bus, "new", &(struct ptq_log_options){.group = "no-such-group", .error = &error}, &log));
    HOSTS_SAYS(h, error.text, "log 'new'", "no group 'no-such-group'");
    HOSTS_ANSWER(h, PTQ_EPERM, ptq_share_open(bus, "new", &(struct ptq_share_options){.group = "0", .error = &error}, &own));
    HOSTS_SAYS(h, error.text, "share 'new'", "not in group '0'");
    HOSTS_ANSWER(h, PTQ_ENOENT, ptq_share_open(bus, "new", &(struct ptq_share_options){.mode = PTQ_ATTACH}, &own)); /* nothing is left of it */
    ptq_bus_close(bus);
    return 0;
}

static int bob_adds(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_share *share = NULL;
    ptq_log *log = NULL;
    ptq_cell *cell = NULL;
    int64_t value = 0;

    HOSTS_TRUE(h, become(BOB, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, ptq_share_open(bus, "open", NULL, &share));
    HOSTS_OK(h, ptq_share_i64(share, "n", 0, &cell));
    HOSTS_OK(h, ptq_i64_apply(cell, PTQ_ADD, 1, &value));
    HOSTS_TRUE(h, value == 5);
    ptq_cell_free(cell);
    ptq_share_close(share);
    HOSTS_ANSWER(h, PTQ_EPERM, ptq_share_open(bus, "own", NULL, &share));
    HOSTS_ANSWER(h, PTQ_EPERM, ptq_log_open(bus, "shown", NULL, &log));
    ptq_bus_close(bus);
    return 0;
}

static void a_share_of_a_group_is_used_by_its_users(void **state)
{
    struct hosts *h = *state;

    make_team_directory(h);
    hosts_run(h, alice_shares_values);
    hosts_run(h, bob_adds);
}

/* ---- death over users ---- */

static int alice_holds(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_TRUE(h, become(ALICE, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", &(struct ptq_queue_options){.group = "61500"}, &queue));
    HOSTS_OK(h, ptq_put(queue, "1", 1, PTQ_NOWAIT));
    HOSTS_OK(h, ptq_get(queue, PTQ_NOWAIT, &msg));
    atomic_store(&h->page->words[0], 1);
    for (;;)
        pause();
}

static int bob_waits(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_TRUE(h, become(BOB, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_ANSWER(h, PTQ_EMPTY, ptq_get(queue, PTQ_NOWAIT, &msg));
    atomic_store(&h->page->words[1], 1);
    HOSTS_OK(h, ptq_get(queue, PTT_LONG, &msg));
    HOSTS_TRUE(h, ptq_msg_redelivered(msg));
    HOSTS_OK(h, ptq_ack(msg));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static void what_a_killed_user_held_comes_to_another(void **state)
{
    struct hosts *h = *state;

    make_team_directory(h);
    pid_t alice = hosts_start(h, alice_holds);
    assert_true(ptt_wait_word(&h->page->words[0], 1, PTT_LONG));
    pid_t bob = hosts_start(h, bob_waits);
    assert_true(ptt_wait_word(&h->page->words[1], 1, PTT_LONG));

    ptt_kill(alice);

    hosts_judge(h, bob);
}

/* ---- files that are none of ours ---- */

static int meet_strange_files(void *context)
{
    struct hosts *h = context;
    char file[200], other[220];
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;

    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    snprintf(file, sizeof file, "%s/tasks~v%d", ptq_bus_path(bus), PTQ_LAYOUT_VERSION);
    snprintf(other, sizeof other, "%s/elsewhere", h->dir);

    HOSTS_TRUE(h, symlink(other, file) == 0);
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'tasks'", "link", "remove it");
    HOSTS_TRUE(h, access(other, F_OK) != 0 && unlink(file) == 0);

    HOSTS_TRUE(h, mkfifo(file, 0600) == 0);
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'tasks'", "no regular file");
    HOSTS_TRUE(h, unlink(file) == 0 && mkdir(file, 0700) == 0);
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'tasks'", "no regular file");
    HOSTS_TRUE(h, rmdir(file) == 0);

    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    ptq_queue_close(queue);
    HOSTS_TRUE(h, link(file, other) == 0);
    strcat(other, "2");
    HOSTS_TRUE(h, link(file, other) == 0);
    HOSTS_ANSWER(h, PTQ_EPERM, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_SAYS(h, hosts_text, "'tasks'", "3 names (hard links)");
    ptq_bus_close(bus);
    return 0;
}

static void links_and_other_files_are_refused_by_name(void **state) { hosts_run(*state, meet_strange_files); }

/* ---- large messages: a file that one made is the other's too */

#define LARGE (2u << 20)

static int large_step(struct hosts *h, uid_t who, uint64_t get, uint64_t put)
{
    static unsigned char bytes[LARGE];
    struct ptq_queue_options shared = {.group = "61500", .item_size = LARGE, .capacity = 1};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    umask(0777); /* has no effect */
    HOSTS_TRUE(h, become(who, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, hosts_queue(bus, "large", &shared, &queue));
    if (get != 0) {
        HOSTS_OK(h, ptq_get(queue, PTQ_NOWAIT, &msg));
        memset(bytes, (int)get, sizeof bytes);
        HOSTS_TRUE(h, ptq_msg_size(msg) == LARGE - get && memcmp(ptq_msg_data(msg), bytes, LARGE - get) == 0);
        HOSTS_OK(h, ptq_ack(msg));
    }
    memset(bytes, (int)put, sizeof bytes);
    HOSTS_OK(h, ptq_put(queue, bytes, LARGE - put, PTQ_NOWAIT));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static int alice_puts_large(void *context) { return large_step(context, ALICE, 0, 1); }
static int bob_goes_on(void *context) { return large_step(context, BOB, 1, 2); }
static int alice_goes_on(void *context) { return large_step(context, ALICE, 2, 3); }

static int bob_removes(void *context)
{
    struct hosts *h = context;
    ptq_bus *bus = NULL;

    HOSTS_TRUE(h, become(BOB, true));
    HOSTS_OK(h, hosts_bus(h->bus, &bus));
    HOSTS_OK(h, ptq_queue_unlink(bus, "large", true));
    ptq_bus_close(bus);
    return 0;
}

static void side_files_are_the_group_s_whoever_made_them(void **state)
{
    struct hosts *h = *state;
    char path[300];

    make_team_directory(h);
    hosts_run(h, alice_puts_large);
    hosts_run(h, bob_goes_on);
    hosts_run(h, alice_goes_on);
    hosts_run(h, bob_removes);
    snprintf(path, sizeof path, "%s/test", h->bus);
    assert_int_equal(rmdir(path), 0); /* it holds nothing */
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        HOSTS_CASE(a_group_shares_what_was_given_to_it_and_nothing_else),
        HOSTS_CASE(a_directory_of_another_user_is_refused_unless_shared_with_a_group),
        HOSTS_CASE(a_group_that_is_not_ones_own_is_refused),
        HOSTS_CASE(a_share_of_a_group_is_used_by_its_users),
        HOSTS_CASE(what_a_killed_user_held_comes_to_another),
        HOSTS_CASE(side_files_are_the_group_s_whoever_made_them),
        HOSTS_CASE(links_and_other_files_are_refused_by_name),
    };

    hosts_need_root();
    return cmocka_run_group_tests(cases, NULL, NULL);
}

/* test_operate.c -- ptqbridge as systemd and an operator meet it: what it tells its manager, signals. */
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"
#include "net/ledger.h"

/* ---- systemd ---- */

/* The manager's end: what was told since it was asked last is kept, a line each. */
struct manager {
    int fd;
    char path[108];
    char told[8000];
};

static void listen_as_manager(struct manager *manager, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);

    *manager = (struct manager){.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = '\0';
    else
        strcpy(manager->path, name);
    assert_int_equal(bind(manager->fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)), 0);
    setenv("NOTIFY_SOCKET", name, 1);
}

static void end_manager(struct manager *manager)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    close(manager->fd);
    if (manager->path[0] != '\0')
        unlink(manager->path);
}

/* The next datagram, with a newline at its end. */
static void next_told(struct manager *manager)
{
    size_t length = strlen(manager->told);

    assert_true(ptt_wait_readable(manager->fd, PTT_LONG));
    assert_true(length < sizeof manager->told - 700);
    ssize_t size = recv(manager->fd, manager->told + length, 600, 0);
    assert_true(size > 0);
    strcpy(manager->told + length + size, "\n");
}

static void wait_until_told(struct manager *manager, const char *words, unsigned times)
{
    for (;;) {
        unsigned found = 0;
        for (const char *at = strstr(manager->told, words); at != NULL; at = strstr(at + 1, words))
            found++;
        if (found >= times)
            return;
        next_told(manager);
    }
}

static void a_manager_is_told(const char *name)
{
    struct manager manager;
    struct net net;

    listen_as_manager(&manager, name);
    setenv("WATCHDOG_USEC", "100000", 1);
    net_init(&net, NULL);
    wait_until_told(&manager, "READY=1\nSTATUS=Listening on tcp://127.0.0.1:", 1);
    wait_until_told(&manager, "WATCHDOG=1\n", 3);
    assert_null(strstr(manager.told, "STOPPING"));
    assert_int_equal(net_bridge_end(&net), 0);
    wait_until_told(&manager, "STOPPING=1\nSTATUS=", 1);
    net_fini(&net);
    end_manager(&manager);
}

static void a_manager_is_told_by_the_path_of_its_socket(void **state)
{
    struct ptt_scratch scratch;
    char name[120];
    (void)state;

    ptt_scratch_init_dir(&scratch);
    snprintf(name, sizeof name, "%s/notify", scratch.dir);
    a_manager_is_told(name);
    ptt_scratch_fini(&scratch);
}

static void a_manager_is_told_in_the_abstract_name_space(void **state)
{
    char name[64];
    (void)state;

    snprintf(name, sizeof name, "@ptq-test-%d-%lld", (int)getpid(), (long long)pti_now_ns());
    a_manager_is_told(name);
}

/* Nobody there, no name at all, one that is too long: it serves all the same. */
static void a_manager_that_is_not_there_is_no_obstacle(void **state)
{
    static const char *const names[] = {"/nowhere/at/all", "", "x", "vsock:2:1234",
                                        "/a/path/that/is/longer/than/any/socket/may/have/a/path/that/is/longer/than/any/socket/may/have/"
                                        "a/path/that/is/longer"};
    struct net net;
    (void)state;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        setenv("WATCHDOG_USEC", i % 2 == 0 ? "50000" : "nonsense", 1);
        net_init(&net, NULL);
        assert_int_equal(net_bridge_end(&net), 0);
        net_fini(&net);
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
}

/* ---- SIGHUP ---- */

/* A bridge that was told by a file alone, over the bus of `home`; it listens on a socket beside that. */
struct told {
    struct ptt_scratch home, far;
    char conf[128], log[128], url[160];
    pid_t pid;
    ptq_bus *here, *there;
};

static void write_conf(const struct told *told, const char *more)
{
    char part[140];

    snprintf(part, sizeof part, "%s.part", told->conf);
    FILE *file = fopen(part, "we");
    assert_non_null(file);
    fprintf(file, "[bridge]\ndir = %s/bus\nrun = test\nnode = home\nlog-level = debug\nhttp = unix:%s/pages\n%s\n[listen first]\nurl = %s\n",
            told->home.dir, told->home.dir, more, told->url);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(part, told->conf), 0);
}

static char *read_log(const struct told *told)
{
    static char text[1 << 20];
    int fd = open(told->log, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;

    close(fd);
    text[size > 0 ? size : 0] = '\0';
    return text;
}

struct saying {
    const struct told *told;
    const char *words;
    unsigned times;
};

static unsigned count_said(const struct told *told, const char *words)
{
    unsigned found = 0;

    for (const char *at = strstr(read_log(told), words); at != NULL; at = strstr(at + 1, words))
        found++;
    return found;
}

static bool is_said(void *context)
{
    const struct saying *saying = context;

    return count_said(saying->told, saying->words) >= saying->times;
}

static void wait_said(const struct told *told, const char *words, unsigned times)
{
    if (!ptt_wait_until(is_said, &(struct saying){told, words, times}, PTT_LONG))
        fail_msg("'%s' was not said %u times: %s", words, times, read_log(told));
}

static ptq_bus *open_bus(const char *dir, const char *more, const char *peers, const char *node)
{
    char path[160];
    struct ptq_bus_options options = {.dir = path, .peers = peers, .node = node};
    ptq_bus *bus;

    snprintf(path, sizeof path, "%s%s", dir, more);
    assert_ok(ptq_bus_open("test", &options, &bus));
    return bus;
}

static void start_told(struct told *told, const char *more)
{
    char command[600], peers[200], line[8];
    int fd;

    memset(told, 0, sizeof *told);
    ptt_scratch_init_dir(&told->home);
    ptt_scratch_init_dir(&told->far);
    snprintf(told->conf, sizeof told->conf, "%s/conf", told->home.dir);
    snprintf(told->log, sizeof told->log, "%s/log", told->home.dir);
    snprintf(told->url, sizeof told->url, "ipc://%s/first", told->home.dir);
    write_conf(told, more);
    snprintf(command, sizeof command, "exec '%s' --config '%s' --ready-fd 1 2>'%s'", PTQBRIDGE, told->conf, told->log);
    told->pid = net_spawn("/bin/sh", (const char *const[]){"-c", command, NULL}, &fd);
    net_read_line(fd, line, sizeof line);
    close(fd);
    wait_said(told, "listening on", 1);
    snprintf(peers, sizeof peers, "home=%s", told->url);
    told->here = open_bus(told->home.dir, "/bus", "", "home");
    told->there = open_bus(told->far.dir, "", peers, "far");
}

static void end_told(struct told *told)
{
    ptq_bus_close(told->there);
    ptq_bus_close(told->here);
    assert_int_equal(kill(told->pid, SIGTERM), 0);
    assert_int_equal(ptt_reap(told->pid, PTT_LONG), 0);
    ptt_scratch_fini(&told->far);
    ptt_scratch_fini(&told->home);
}

/* Tells it more, and waits until it says `words` once more. */
static void reload(const struct told *told, const char *more, const char *words)
{
    unsigned before = count_said(told, words);

    write_conf(told, more);
    assert_int_equal(kill(told->pid, SIGHUP), 0);
    wait_said(told, words, before + 1);
}

static bool is_idle_of(ptq_bus *bus, const char *name, enum ptq_err expected)
{
    ptq_queue *queue = NULL;
    struct ptq_queue_options options = {.mode = PTQ_ATTACH};
    enum ptq_err answer = ptq_queue_open(bus, name, &options, &queue);

    ptq_queue_close(queue);
    return answer == expected;
}

/* Everything is changed under them but what they use: nobody notices. */
static void messages_flow_across_sighup(void **state)
{
    enum { COUNT = 4000 };
    char more[600];
    struct told told;
    pthread_t producer, consumer;
    (void)state;

    start_told(&told, "");
    ptq_queue *in = net_open(told.there, "flow@home", NULL), *out = net_open(told.there, "flow@home", NULL);
    struct ledger *put = ledger_new(in, COUNT), *got = ledger_new(out, COUNT);
    pthread_create(&consumer, NULL, ledger_consume, got);
    pthread_create(&producer, NULL, ledger_produce, put);
    for (int i = 0; i < 8; i++) {
        ptt_wait_word(&put->done, atomic_load(&put->done) + 200, 1000);
        snprintf(more, sizeof more,
                 "grace = %ds\n[listen l%d]\nurl = ipc://%s/l%d\n[deny]\nqueue = other-%d\n[rename]\nx%d = y\n"
                 "[link east%d]\nurl = ipc://%s/nobody\n[move]\nurgent-%d = east%d\n[limits]\nmax-links = %d\n",
                 5 + i, i, told.home.dir, i, i, i, i / 4, told.home.dir, i, i / 4, 500 + i);
        reload(&told, more, "event=reloaded");
    }
    pthread_join(producer, NULL);
    net_end(in);
    pthread_join(consumer, NULL);

    assert_int_equal(put->refused + got->refused + put->in_doubt, 0);
    ledger_assert(put, got);
    struct ptq_queue_stats stats;
    ptq_queue *here = net_open(told.here, "flow", NULL);
    assert_ok(ptq_queue_stats(here, &stats));
    assert_int_equal(stats.redelivered, 0);
    assert_int_equal(count_said(&told, "component=session event=up"), 1);
    assert_int_equal(count_said(&told, "component=link event=down"), 0);
    ptq_queue_close(here);
    free(put);
    free(got);
    ptq_queue_close(in);
    ptq_queue_close(out);
    end_told(&told);
}

static void a_bad_file_changes_nothing_and_is_logged(void **state)
{
    static const char *const bad[] = {"grac = 1s\n", "grace = soon\n", "[listen second]\nurl = foo://bar\n", "[deny]\nqueue = a/b\n",
                                      "[move]\nx = nobody\n", "[listen second]\nurl = ipc:///no/such/folder/sock\n[deny]\nqueue = served\n",
                                      "rules = /no/such/file\n[deny]\nqueue = served\n", "\1\2"};
    struct told told;
    (void)state;

    start_told(&told, "");
    ptq_queue *here = net_open(told.here, "served", NULL), *far = net_open(told.there, "served@home", NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        reload(&told, bad[i], "event=kept");
        assert_ok(ptq_put(far, "x", 1, PTT_LONG));
        assert_true(is_idle_of(told.there, "served@home", PTQ_OK));
    }
    assert_true(count_said(&told, "component=config event=mistake why=") >= 5);
    assert_int_equal(unlink(told.conf), 0);
    assert_int_equal(kill(told.pid, SIGHUP), 0);
    wait_said(&told, "event=kept", sizeof bad / sizeof bad[0] + 1);
    assert_int_equal(count_said(&told, "event=reloaded"), 0);
    assert_int_equal(count_said(&told, "component=session event=up"), 1);
    reload(&told, "", "event=reloaded"); /* and it can be mended */
    assert_ok(ptq_put(far, "x", 1, PTT_LONG));
    ptq_queue_close(far);
    ptq_queue_close(here);
    end_told(&told);
}

static void listeners_come_and_go_and_their_links_stay(void **state)
{
    char more[300], peers[200];
    struct told told;
    (void)state;

    start_told(&told, "");
    snprintf(more, sizeof more, "[listen second]\nurl = ipc://%s/second\n", told.home.dir);
    reload(&told, more, "event=reloaded");
    snprintf(peers, sizeof peers, "home=ipc://%s/second", told.home.dir);
    ptq_bus *other = open_bus(told.far.dir, "", peers, "other");
    ptq_queue *far = net_open(other, "served@home", &(struct ptq_queue_options){.capacity = 10});
    reload(&told, "", "event=reloaded");
    assert_ok(ptq_put(far, "x", 1, PTT_LONG));
    assert_int_not_equal(access(peers + strlen("home=ipc://"), F_OK), 0);
    ptq_queue *first = net_open(told.there, "served@home", NULL);
    assert_ok(ptq_put(first, "x", 1, PTT_LONG));
    ptq_queue_close(first);
    ptq_queue_close(far);
    ptq_bus_close(other);
    end_told(&told);
}

/* Who used it begins again without it; nobody else does. */
static void what_is_denied_later_is_taken_away(void **state)
{
    struct told told;
    ptq_msg *msg;
    (void)state;

    start_told(&told, "");
    char peers[200];
    snprintf(peers, sizeof peers, "home=%s", told.url);
    int fd;
    ptq_queue *secret = net_open(told.here, "secret", NULL), *open = net_open(told.here, "open", NULL);
    const char *client[] = {"put", "--dir", told.far.dir, "--run", "test", "--peers", peers, "secret@home", "x", NULL};
    pid_t pid = net_spawn(PTQ, client, &fd); /* a session of its own */
    assert_int_equal(ptt_reap(pid, PTT_LONG), 0);
    close(fd);
    assert_ok(ptq_get(secret, PTT_LONG, &msg));
    assert_ok(ptq_ack(msg));

    ptq_queue *far = net_open(told.there, "secret@home", NULL), *far_open = net_open(told.there, "open@home", NULL);
    assert_ok(ptq_put(far, "x", 1, PTT_LONG));
    reload(&told, "[deny]\nqueue = secret\n", "event=reloaded");
    enum ptq_err answer = ptq_put(far, "x", 1, PTT_LONG);
    assert_true(answer == PTQ_ENOENT || answer == PTQ_EGONE || answer == PTQ_EINDOUBT || answer == PTQ_EPERM);
    int64_t end = pti_deadline(PTT_LONG);
    do
        answer = ptq_put(far_open, "y", 1, PTT_LONG);
    while ((answer == PTQ_EUNREACHABLE || answer == PTQ_EINDOUBT) && pti_now_ns() < end);
    assert_ok(answer);
    assert_true(is_idle_of(told.there, "secret@home", PTQ_ENOENT));
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(secret, &stats));
    assert_int_equal(stats.put, 2);
    reload(&told, "", "event=reloaded");
    assert_true(is_idle_of(told.there, "secret@home", PTQ_OK));
    ptq_queue_close(far_open);
    ptq_queue_close(far);
    ptq_queue_close(open);
    ptq_queue_close(secret);
    end_told(&told);
}

static bool knows_peer(void *context)
{
    const struct saying *saying = context;
    char path[200], text[4000];

    snprintf(path, sizeof path, "%s/~peers", ptq_bus_path(saying->told->here));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[size > 0 ? size : 0] = '\0';
    return strstr(text, saying->words) != NULL;
}

/* Peers come and go; what moves, moves where it is told; and who is there all the time is never forgotten. */
static void peers_and_moves_change_while_it_runs(void **state)
{
    char more[500];
    struct told west, east;
    char text[16];
    size_t size;
    (void)state;

    start_told(&east, "");
    start_told(&west, "");
    snprintf(more, sizeof more, "[link east]\nurl = %s\n[move]\nurgent = east\n", east.url);
    ptq_queue *here = net_open(west.here, "urgent", NULL), *there = net_open(east.here, "urgent", NULL);
    assert_ok(ptq_put(here, "moved", 5, PTT_LONG));
    reload(&west, more, "event=reloaded");
    assert_ok(ptq_recv(there, text, sizeof text, PTT_LONG, &size));
    assert_true(ptt_wait_until(knows_peer, &(struct saying){&west, " up\n", 0}, PTT_LONG));

    size_t length = strlen(more);
    snprintf(more + length, sizeof more - length, "[link more]\nurl = %s\n", west.url);
    write_conf(&west, more);
    assert_int_equal(kill(west.pid, SIGHUP), 0);
    int64_t end = pti_deadline(PTT_LONG);
    while (count_said(&west, "event=reloaded") < 2) {
        assert_true(knows_peer(&(struct saying){&west, "peer east", 0}));
        assert_true(pti_now_ns() < end);
    }
    assert_true(ptt_wait_until(knows_peer, &(struct saying){&west, "peer more", 0}, PTT_LONG));
    assert_ok(ptq_put(here, "again", 5, PTT_LONG));
    assert_ok(ptq_recv(there, text, sizeof text, PTT_LONG, &size));
    assert_int_equal(count_said(&west, "event=up peer=east"), 1);

    reload(&west, "", "event=reloaded");
    assert_false(knows_peer(&(struct saying){&west, "peer", 0}));
    assert_ok(ptq_put(here, "stays", 5, PTT_LONG));
    assert_answer(PTQ_TIMEDOUT, ptq_recv(there, text, sizeof text, 700, &size));
    assert_ok(ptq_recv(here, text, sizeof text, PTT_LONG, &size));
    ptq_queue_close(there);
    ptq_queue_close(here);
    end_told(&west);
    end_told(&east);
}

/* The messages that were ever carried, as /metrics tells them over the bridge's socket. */
static double ask_moved(const struct told *told)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static char text[200000];
    size_t size = 0;
    ssize_t got;

    snprintf(address.sun_path, sizeof address.sun_path, "%s/pages", told->home.dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
    while (size < sizeof text - 1 && (got = read(fd, text + size, sizeof text - 1 - size)) > 0)
        size += (size_t)got;
    close(fd);
    text[size] = '\0';
    const char *at = strstr(text, "\nptq_moved_messages_total{to=");
    return at != NULL ? strtod(strchr(at, '}') + 1, NULL) : 0;
}

struct moved {
    const struct told *told;
    double least;
};

static bool has_moved(void *context)
{
    const struct moved *moved = context;

    return ask_moved(moved->told) >= moved->least;
}

static void what_was_told_of_moves_is_never_less_after_sighup(void **state)
{
    char more[600];
    struct told west, east;
    (void)state;

    start_told(&east, "");
    start_told(&west, "");
    ptq_queue *there = net_open(east.here, "urgent", NULL), *here = net_open(west.here, "urgent", NULL);
    int length = snprintf(more, sizeof more, "[link east]\nurl = %s\n[move]\nurgent = east\n", east.url);
    reload(&west, more, "event=reloaded");
    for (int life = 1; life <= 3; life++) {
        assert_ok(ptq_put(here, "moved", 5, PTT_LONG));
        assert_true(ptt_wait_until(has_moved, &(struct moved){&west, life}, PTT_LONG));
        length += snprintf(more + length, sizeof more - (size_t)length, "other-%d = east\n", life);
        reload(&west, more, "event=reloaded");
        assert_true(ask_moved(&west) >= life);
    }
    ptq_queue_close(there);
    ptq_queue_close(here);
    end_told(&west);
    end_told(&east);
}

static void what_only_a_restart_changes_is_said(void **state)
{
    struct told told;
    (void)state;

    start_told(&told, "");
    char more[100];
    snprintf(more, sizeof more, "all-runs = yes\ninsecure = yes\n");
    reload(&told, more, "event=reloaded");
    wait_said(&told, "component=config event=waits key=insecure", 1);
    assert_int_equal(count_said(&told, "event=waits"), 1);
    reload(&told, more, "event=reloaded"); /* it waits still */
    wait_said(&told, "component=config event=waits key=insecure", 2);
    reload(&told, "", "event=reloaded"); /* and now there is nothing that waits */
    reload(&told, "", "event=reloaded");
    assert_int_equal(count_said(&told, "event=waits"), 2);
    end_told(&told);
}

static void limits_follow_sighup(void **state)
{
    struct told told;
    (void)state;

    start_told(&told, "[limits]\nmax-queues = 1\n");
    ptq_queue *first = net_open(told.there, "first@home", NULL), *second = NULL;
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.error = &error};
    assert_answer(PTQ_EAGAIN, ptq_queue_open(told.there, "second@home", &options, &second));
    assert_non_null(strstr(error.text, "--max-queues"));
    reload(&told, "[limits]\nmax-queues = 2\n", "event=reloaded");
    assert_int_equal(count_said(&told, "event=waits"), 0);
    second = net_open(told.there, "second@home", NULL);
    ptq_queue_close(second);
    ptq_queue_close(first);
    end_told(&told);
}

static void sigusr1_tells_what_it_does(void **state)
{
    struct told told;
    char more[200], path[160], text[20000];
    (void)state;

    start_told(&told, "");
    ptq_queue *far = net_open(told.there, "told@home", &(struct ptq_queue_options){.capacity = 4});
    assert_int_equal(kill(told.pid, SIGUSR1), 0);
    wait_said(&told, "component=bridge event=status json={", 1);
    assert_non_null(strstr(strstr(read_log(&told), "json={"), "\"v\":1"));
    snprintf(path, sizeof path, "%s/status", told.home.dir);
    snprintf(more, sizeof more, "status-file = %s\n", path);
    reload(&told, more, "event=reloaded");
    assert_int_equal(kill(told.pid, SIGUSR1), 0);
    wait_said(&told, "component=bridge event=status file=", 1);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    assert_true(size > 2 && text[0] == '{' && text[size - 1] == '\n' && text[size - 2] == '}');
    reload(&told, "status-file = /no/such/folder/status\n", "event=reloaded");
    assert_int_equal(kill(told.pid, SIGUSR1), 0);
    wait_said(&told, "event=no_status file=\"/no/such/folder/status\" why=\"No such file or directory\"", 1);
    snprintf(more, sizeof more, "status-file = %s/bus\n", told.home.dir); /* which is a folder */
    reload(&told, more, "event=reloaded");
    assert_int_equal(kill(told.pid, SIGUSR1), 0);
    wait_said(&told, "why=\"Is a directory\"", 1);
    snprintf(path, sizeof path, "%s/bus.part", told.home.dir);
    assert_int_not_equal(access(path, F_OK), 0);
    ptq_queue_close(far);
    end_told(&told);
}

static void restart(struct told *told, int number)
{
    char command[600], line[8];
    int fd;

    assert_int_equal(kill(told->pid, number), 0);
    (void)!ptt_reap(told->pid, PTT_LONG);
    (void)unlink(told->url + strlen("ipc://"));
    snprintf(command, sizeof command, "exec '%s' --config '%s' --ready-fd 1 2>>'%s'", PTQBRIDGE, told->conf, told->log);
    told->pid = net_spawn("/bin/sh", (const char *const[]){"-c", command, NULL}, &fd);
    net_read_line(fd, line, sizeof line);
    close(fd);
}

/* Both bridges between a program and its queue end and begin again, by either signal; the program only puts, and the home's only gets. */
static void either_bridge_may_be_restarted_at_any_time(void **state)
{
    enum { COUNT = 4000, RESTARTS = 8 };
    static const int signals[] = {SIGKILL, SIGTERM};
    char more[300];
    struct told home, near;
    pthread_t producer, consumer;
    (void)state;

    start_told(&home, "drain = 200\n");
    snprintf(more, sizeof more, "drain = 200\n[link home]\nurl = %s\n", home.url);
    start_told(&near, more);
    char path[160];
    snprintf(path, sizeof path, "%s/bus", near.home.dir);
    struct ptq_bus_options options = {.dir = path, .peers = "", .node = "near", .via = "bridge"};
    ptq_bus *bus;
    assert_ok(ptq_bus_open("test", &options, &bus));
    assert_true(ptt_wait_until(knows_peer, &(struct saying){&near, " up\n", 0}, PTT_LONG));
    ptq_queue *out = net_open(home.here, "flow", NULL), *in = net_open(bus, "flow@home", NULL);
    struct ledger *put = ledger_new(in, COUNT), *got = ledger_new(out, COUNT);
    atomic_store(&put->open_to, 0);
    pthread_create(&consumer, NULL, ledger_consume, got);
    pthread_create(&producer, NULL, ledger_produce, put);
    for (unsigned i = 0; i < RESTARTS; i++) {
        ledger_go_on(put, COUNT / RESTARTS);
        restart(i % 2 == 0 ? &home : &near, signals[i / 2 % 2]);
    }
    pthread_join(producer, NULL);
    assert_ok(ptq_end(out));
    pthread_join(consumer, NULL);
    assert_int_equal(put->refused + got->refused + got->lost_leases, 0);
    assert_true(put->in_doubt <= RESTARTS);
    ledger_assert(put, got);
    struct ptq_queue_stats stats;
    assert_ok(ptq_queue_stats(out, &stats));
    assert_true(stats.put == stats.acked && stats.put <= COUNT);
    free(put);
    free(got);
    ptq_queue_close(in);
    ptq_queue_close(out);
    ptq_bus_close(bus);
    end_told(&near);
    end_told(&home);
}

/* In a row, with good and bad files, and while it ends: it never hangs and never dies of it. */
static void a_storm_of_sighup_is_weathered(void **state)
{
    struct told told;
    (void)state;

    char more[200];

    start_told(&told, "");
    snprintf(more, sizeof more, "[link x]\nurl = %s\n", told.url);
    ptq_queue *far = net_open(told.there, "stormy@home", &(struct ptq_queue_options){.capacity = 4});
    for (int i = 0; i < 60; i++) {
        write_conf(&told, i % 3 == 0 ? more : i % 3 == 1 ? "nonsense\n" : "[rename]\na = b\n");
        assert_int_equal(kill(told.pid, SIGHUP), 0);
    }
    wait_said(&told, "event=reloaded", 1);
    assert_int_equal(kill(told.pid, SIGHUP), 0);
    ptq_queue_close(far);
    end_told(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manager_is_told_by_the_path_of_its_socket),
        cmocka_unit_test(a_manager_is_told_in_the_abstract_name_space),
        cmocka_unit_test(a_manager_that_is_not_there_is_no_obstacle),
        cmocka_unit_test(messages_flow_across_sighup),
        cmocka_unit_test(a_bad_file_changes_nothing_and_is_logged),
        cmocka_unit_test(listeners_come_and_go_and_their_links_stay),
        cmocka_unit_test(what_is_denied_later_is_taken_away),
        cmocka_unit_test(peers_and_moves_change_while_it_runs),
        cmocka_unit_test(what_was_told_of_moves_is_never_less_after_sighup),
        cmocka_unit_test(what_only_a_restart_changes_is_said),
        cmocka_unit_test(limits_follow_sighup),
        cmocka_unit_test(sigusr1_tells_what_it_does),
        cmocka_unit_test(either_bridge_may_be_restarted_at_any_time),
        cmocka_unit_test(a_storm_of_sighup_is_weathered),
    };

    return ptt_run_beside(tests, sizeof tests / sizeof *tests, 4);
}

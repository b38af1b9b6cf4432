/* test_operate.c -- ptqbridge as systemd and an operator meet it: what it tells its manager, signals. */
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
#include "net/kit.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manager_is_told_by_the_path_of_its_socket),
        cmocka_unit_test(a_manager_is_told_in_the_abstract_name_space),
        cmocka_unit_test(a_manager_that_is_not_there_is_no_obstacle),
    };

    cmocka_set_test_filter(getenv("PTT_FILTER"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}

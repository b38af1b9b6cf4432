/* test_request.c -- requests as anybody may send them: what is answered, however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/listen.h"
#include "common/request.h"

static int read_all(const char *bytes, size_t size, struct request *request)
{
    const char *why = NULL;
    int status = request_read(bytes, size, request, &why);

    assert_non_null(why);
    if (status >= 400 && why[0] == '\0')
        fail_msg("no sentence for %d: %.*s", status, (int)size, bytes);
    return status;
}

static int read_text(const char *text)
{
    struct request request = {0};

    return read_all(text, strlen(text), &request);
}

static void a_get_is_a_path_and_what_is_accepted(void **state)
{
    static const char text[] = "GET /metrics?name=x HTTP/1.1\r\nHost: a\r\naccept:  text/plain \r\nX: y\r\nAccept: */*;q=0.1\r\n\r\n";
    struct request request = {0};
    (void)state;

    assert_int_equal(read_all(text, sizeof text - 1, &request), 200);
    assert_string_equal(request.path, "/metrics");
    assert_string_equal(request.accept, "text/plain,*/*;q=0.1");
    assert_false(request.head_only);
}

static void old_and_sloppy_clients_are_understood(void **state)
{
    struct request request = {0};
    (void)state;

    assert_int_equal(read_text("GET / HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(read_text("GET / HTTP/1.0\n\n"), 200);
    assert_int_equal(read_text("\r\nGET / HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(read_text("GET /x HTTP/1.1\r\nhost:a:80\r\nContent-Length: 0\r\n\r\nGET /pipelined HTTP/1.1\r\n"), 200);
    assert_int_equal(read_all("HEAD http://a.b/x?y HTTP/1.1\r\nHost: a\r\n\r\n", 43, &request), 200);
    assert_string_equal(request.path, "/x");
    assert_true(request.head_only);
    assert_int_equal(read_all("GET http://a.b HTTP/1.0\r\n\r\n", 27, &request), 200);
    assert_string_equal(request.path, "/");
}

static void nothing_is_decoded(void **state)
{
    struct request request = {0};
    (void)state;

    assert_int_equal(read_all("GET /%41/../%2e%2e/%00 HTTP/1.0\r\n\r\n", 35, &request), 200);
    assert_string_equal(request.path, "/%41/../%2e%2e/%00");
}

static void what_makes_no_sense_is_refused(void **state)
{
    static const struct {
        int status;
        const char *text;
    } wanted[] = {
        {400, "GET\r\n\r\n"}, {400, "GET /\r\n\r\n"}, {400, "GET / HTTP/1.1\r\n\r\n"}, {400, "GET  / HTTP/1.0\r\n\r\n"},
        {400, "GET / HTTP/1.0 \r\n\r\n"}, {400, "GET / HTTP/1.00\r\n\r\n"}, {400, "GET / http/1.0\r\n\r\n"}, {400, "GET x HTTP/1.0\r\n\r\n"},
        {400, "G(T / HTTP/1.0\r\n\r\n"}, {400, "GET /\xc3\xa4 HTTP/1.0\r\n\r\n"}, {400, "GET /\x1b HTTP/1.0\r\n\r\n"},
        {400, "GET / HTTP/1.0\r\n folded: 1\r\n\r\n"}, {400, "GET / HTTP/1.0\r\nno colon\r\n\r\n"}, {400, "GET / HTTP/1.0\r\nHost : a\r\n\r\n"},
        {400, "GET / HTTP/1.0\r\n: a\r\n\r\n"}, {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"}, {400, "GET / HTTP/1.0\r\nX: \r y\r\n\r\n"},
        {400, "GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n"}, {400, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {405, "POST / HTTP/1.1\r\n\r\n"}, {405, "get / HTTP/1.0\r\n\r\n"}, {405, "PRI * HTTP/1.1\r\n\r\n"}, {505, "PRI * HTTP/2.0\r\n\r\n"},
        {505, "GET / HTTP/0.9\r\n\r\n"}, {400, "\x16\x03\x01\n"}, {400, "$-1\r\n"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (read_text(wanted[i].text) != wanted[i].status)
            fail_msg("%d for: %s", read_text(wanted[i].text), wanted[i].text);
    }
    assert_int_equal(read_all("GET /\0 HTTP/1.0\r\n\r\n", 20, &(struct request){0}), 400);
    assert_int_equal(read_all("GET / HTTP/1.0\r\nA: \0\r\n\r\n", 24, &(struct request){0}), 400);
}

static void four_kilobytes_are_all_that_is_read(void **state)
{
    char text[REQUEST_HEAD_MOST + 100];
    struct request request = {0};
    (void)state;

    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    assert_int_equal(read_all(text, REQUEST_LINE_MOST - 1, &request), 0);
    assert_int_equal(read_all(text, REQUEST_LINE_MOST, &request), 414);
    memcpy(text + 600, " HTTP/1.0\r\n", 11); /* a line of a length that is read, with a path that nobody has */
    assert_int_equal(read_all(text, 700, &request), 414);
    memcpy(text + 9, " HTTP/1.0\r\nX: ", 14);
    assert_int_equal(read_all(text, 590, &request), 0);
    memset(text + 600, 'a', 11);
    assert_int_equal(read_all(text, REQUEST_HEAD_MOST - 1, &request), 0);
    assert_int_equal(read_all(text, REQUEST_HEAD_MOST, &request), 431);
    memcpy(text + REQUEST_HEAD_MOST - 4, "\r\n\r\n", 4);
    assert_int_equal(read_all(text, REQUEST_HEAD_MOST, &request), 200);
    memset(text, '\n', sizeof text);
    assert_int_equal(read_all(text, sizeof text, &request), 414);
}

static void cuts_change_nothing(void **state)
{
    static const char *const texts[] = {"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\nmore", "POST / HTTP/1.1\r\n\r\n",
                                        "GET / HTTP/1.0\r\nno colon\r\n\r\n", "\r\n\r\nHEAD / HTTP/1.0\n\nx"};
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct request request = {0};
        size_t size = strlen(texts[i]);
        int whole = read_all(texts[i], size, &request), before = 0;
        for (size_t cut = 0; cut <= size; cut++) {
            int status = read_all(texts[i], cut, &request);
            assert_true(status == whole || (status == 0 && before == 0));
            before = status;
        }
    }
}

static void the_most_precise_range_says_how_much_it_is_wanted(void **state)
{
    static const char prometheus[] = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.25,*/*;q=0.1";
    (void)state;

    assert_int_equal(request_wants("", "text/plain"), 1000);
    assert_int_equal(request_wants("*/*", "text/plain"), 1000);
    assert_int_equal(request_wants(prometheus, "application/openmetrics-text"), 500);
    assert_int_equal(request_wants(prometheus, "text/plain"), 250);
    assert_int_equal(request_wants(prometheus, "text/html"), 100);
    assert_int_equal(request_wants("text/*;q=0.3, text/plain ; q=0.7", "TEXT/plain"), 700);
    assert_int_equal(request_wants("text/*;q=0.3, text/plain;q=0", "text/plain"), 0);
    assert_int_equal(request_wants("image/png", "text/plain"), 0);
    assert_int_equal(request_wants(",;;=,text/;q=,q=1", "text/plain"), 0);
}

static void nobody_listens_beyond_the_loopback_without_saying_so(void **state)
{
    static const char *const good[] = {"127.0.0.1:0", "127.255.0.9:80", "localhost:9417", "[::1]:65535", "unix:/x"};
    static const char *const bad[] = {"",         "9417",         ":9417",        "127.0.0.1",       "127.0.0.1:",      "127.0.0.1:x",  "127.0.0.1:65536",
                                      "127.1:80", "[::1:80",      "::1:80",       "unix:x",          "unix:",           "127.0.0.1:-1", "127.0.0.1: 80",
                                      "host:80",  "[127.0.0.1]:1", "localhost.:1", "http://127.0.0.1:80"};
    static const char *const far[] = {"0.0.0.0:80", "192.168.1.1:80", "[::]:80", "[fe80::1]:80", "[::ffff:10.0.0.1]:1"};
    char why[300];
    (void)state;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(listen_check(good[i], false, why, sizeof why), PTQ_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (listen_check(bad[i], true, why, sizeof why) != PTQ_EINVAL)
            fail_msg("taken: %s", bad[i]);
    }
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        assert_int_equal(listen_check(far[i], false, why, sizeof why), PTQ_EPERM);
        assert_non_null(strstr(why, "beyond the loopback"));
        assert_non_null(strstr(why, "--insecure (PTQ_INSECURE=1)"));
        assert_int_equal(listen_check(far[i], true, why, sizeof why), PTQ_OK);
    }
}

struct place {
    char dir[32], path[48], address[64], why[500];
};

static void place_init(struct place *place)
{
    strcpy(place->dir, "/dev/shm/ptq-test.XXXXXX");
    assert_non_null(mkdtemp(place->dir));
    snprintf(place->path, sizeof place->path, "%s/s", place->dir);
    snprintf(place->address, sizeof place->address, "unix:%s", place->path);
}

static void place_fini(struct place *place)
{
    unlink(place->path);
    assert_int_equal(rmdir(place->dir), 0);
}

/* It is not had, and what stands there is left. */
static void assert_left(struct place *place, const char *words)
{
    struct stat before, after;
    struct listen listener;

    assert_int_equal(lstat(place->path, &before), 0);
    assert_int_equal(listen_open(place->address, false, place->why, sizeof place->why, &listener), PTQ_ESYS);
    if (strstr(place->why, words) == NULL)
        fail_msg("not \"%s\": %s", words, place->why);
    assert_int_equal(lstat(place->path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
}

static void a_socket_is_its_users_alone_and_a_dead_ones_is_taken_over(void **state)
{
    struct place place;
    struct listen listener, other;
    struct stat status;
    (void)state;

    place_init(&place);
    assert_int_equal(listen_open(place.address, false, place.why, sizeof place.why, &listener), PTQ_OK);
    assert_int_equal(stat(place.path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_left(&place, "somebody listens there already");
    close(listener.fd); /* as if killed */
    assert_int_equal(listen_open(place.address, false, place.why, sizeof place.why, &other), PTQ_OK);
    listen_close(&other);
    assert_int_not_equal(stat(place.path, &status), 0);
    fclose(fopen(place.path, "w"));
    assert_left(&place, "no socket");
    place_fini(&place);
}

static int bind_there(const struct place *place, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, place->path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* It takes no connections of streams, and yet it is somebody's. */
static void a_socket_for_datagrams_is_left_to_whom_it_belongs(void **state)
{
    static const int types[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    struct place place;
    (void)state;

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        place_init(&place);
        int fd = bind_there(&place, types[i]);
        assert_left(&place, "somebody listens there already");
        close(fd);
        place_fini(&place);
    }
}

static void a_socket_that_cannot_be_looked_at_is_left(void **state)
{
    struct place place;
    struct rlimit before, few;
    (void)state;

    place_init(&place);
    int fd = bind_there(&place, SOCK_STREAM);
    assert_int_equal(listen(fd, 1), 0);
    /* one descriptor is left: for the listener, and none to ask who is there */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(fd);
    close(next);
    few = before;
    few.rlim_cur = (rlim_t)next + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct listen listener;
    enum ptq_err answer = listen_open(place.address, false, place.why, sizeof place.why, &listener);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(answer, PTQ_ESYS);
    assert_non_null(strstr(place.why, strerror(EMFILE)));
    assert_left(&place, "somebody listens there already");
    close(fd);
    place_fini(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_is_a_path_and_what_is_accepted),
        cmocka_unit_test(old_and_sloppy_clients_are_understood),
        cmocka_unit_test(nothing_is_decoded),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(four_kilobytes_are_all_that_is_read),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(the_most_precise_range_says_how_much_it_is_wanted),
        cmocka_unit_test(nobody_listens_beyond_the_loopback_without_saying_so),
        cmocka_unit_test(a_socket_is_its_users_alone_and_a_dead_ones_is_taken_over),
        cmocka_unit_test(a_socket_for_datagrams_is_left_to_whom_it_belongs),
        cmocka_unit_test(a_socket_that_cannot_be_looked_at_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

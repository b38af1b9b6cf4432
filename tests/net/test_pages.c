/* test_pages.c -- what a ptqbridge tells over --http, to those who ask well and to those who do not. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <ptq/bridge.h>
#include <ptq/ptq.h>

#include "base/time.h"
#include "net/keys.h"
#include "net/kit.h"

#define ANSWER_MOST (4 << 20)

struct site {
    struct net net;
    char where[160]; /* as the bridge says it */
};

static bool has_said_where(void *context)
{
    struct site *site = context;
    char path[96], line[300];
    bool found = false;

    snprintf(path, sizeof path, "%s/bridge.log", site->net.home.dir);
    FILE *file = fopen(path, "r");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
        found = sscanf(line, "ptqbridge: pages on %159s", site->where) == 1;
    if (file != NULL)
        fclose(file);
    return found;
}

static void site_init_with(struct site *site, const char *const *options)
{
    memset(site, 0, sizeof *site);
    net_init(&site->net, options);
    assert_true(ptt_wait_until(has_said_where, site, PTT_LONG));
}

static void site_init(struct site *site)
{
    static const char *const options[] = {"--http", "127.0.0.1:0", NULL};

    site_init_with(site, options);
}

/* ---- a client */

static int dial(const struct site *site)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PTT_LONG / 1000};
    bool is_local = strncmp(site->where, "unix:", 5) == 0;
    int fd = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (is_local)
        snprintf(local.sun_path, sizeof local.sun_path, "%.100s", site->where + 5);
    else
        address.sin_port = htons((in_port_t)atoi(strrchr(site->where, ':') + 1));
    int failed = is_local ? connect(fd, (struct sockaddr *)&local, sizeof local) : connect(fd, (struct sockaddr *)&address, sizeof address);
    if (failed != 0)
        fail_msg("cannot reach %s: %s", site->where, strerror(errno));
    return fd;
}

static void say(int fd, const void *bytes, size_t size)
{
    (void)!send(fd, bytes, size, MSG_NOSIGNAL);
}

/* All that comes until the end; "" where there was a reset.  Closes. */
static char *hear(int fd)
{
    char *text = malloc(ANSWER_MOST + 1);
    ssize_t got;
    size_t size = 0;

    assert_non_null(text);
    while (size < ANSWER_MOST && ((got = recv(fd, text + size, ANSWER_MOST - size, 0)) > 0 || (got < 0 && errno == EINTR)))
        size += got > 0 ? (size_t)got : 0; /* stopped: a deadline's call ends */
    text[size] = '\0';
    close(fd);
    return text;
}

static char *exchange(const struct site *site, const void *bytes, size_t size)
{
    int fd = dial(site);

    say(fd, bytes, size);
    return hear(fd);
}

static char *ask(const struct site *site, const char *path, const char *headers)
{
    char request[600];
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, headers);

    return exchange(site, request, (size_t)size);
}

static int status_of(const char *answer)
{
    int status = 0;

    (void)!sscanf(answer, "HTTP/1.1 %d ", &status);
    return status;
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");

    return end != NULL ? end + 4 : "";
}

static void assert_says(const struct site *site, const char *path, int status, const char *words)
{
    char *answer = ask(site, path, "");

    if (status_of(answer) != status || strstr(answer, words) == NULL)
        fail_msg("%s: not %d with \"%s\": %.500s", path, status, words, answer);
    free(answer);
}

/* Feeds it to a command of the shell, whose exit code it is. */
static int feed(const char *command, const char *text)
{
    FILE *pipe = popen(command, "w");

    assert_non_null(pipe);
    fputs(text, pipe);
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- pages */

static void pages_tell_how_things_are(void **state)
{
    struct site site;
    (void)state;

    site_init(&site);
    ptq_queue *queue = net_open(site.net.there, "tasks@home", NULL);
    assert_ok(ptq_put(queue, "12345", 5, PTQ_FOREVER));
    assert_says(&site, "/healthz", 200, "\r\n\r\nok\n");
    assert_says(&site, "/readyz", 200, "\r\n\r\nready\n");
    assert_says(&site, "/metrics", 200, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
    char *answer = ask(&site, "/metrics?x=y", "Accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n");
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "\nptq_messages_total{queue=\"tasks\",op=\"put\"} 1\n"));
    assert_non_null(strstr(answer, "\nptq_sessions{state=\"up\"} 1\n"));
    assert_null(strstr(answer, "# EOF"));
    free(answer);
    answer = ask(&site, "/metrics", "");
    assert_string_equal(answer + strlen(answer) - 7, "\n# EOF\n");
    free(answer);
    ptq_queue_close(queue);
    net_fini(&site.net);
}

static void status_is_json_without_passwords(void **state)
{
    static const char *const options[] = {"--http", "127.0.0.1:0", "--peer", "east=tcp://me:hunter2@127.0.0.1:1", "--move", "x-*=east",
                                          "--insecure", NULL};
    struct site site;
    (void)state;

    site_init_with(&site, options);
    ptq_queue *queue = net_open(site.net.there, "tasks@home", NULL);
    char *answer = ask(&site, "/status", "");
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "Content-Type: application/json\r\n"));
    assert_null(strstr(answer, "hunter2"));
    assert_int_equal(feed("jq -e '.v == 1 and .node == \"home\" and .run == \"test\" and (.sessions | length) == 1 and .sessions[0].up and "
                          ".sessions[0].queues == 1 and .links.now == 1 and .peers[0].peer == \"east\" and (.peers[0].up | not) and "
                          "(.queues | map(.queue)) == [\"tasks\"] and (.caps | map(select(.cap == \"max-links\"))[0].used) == 1 and .uptime_ms >= 0 and .moves == [] and "
                          ".outboxes == [] and .programs.served' >/dev/null",
                          body_of(answer)),
                     0);
    free(answer);
    answer = ask(&site, "/metrics", "");
    assert_null(strstr(answer, "hunter2"));
    assert_non_null(strstr(answer, "\nptq_peer_up{peer=\"east\"} 0\n"));
    free(answer);
    ptq_queue_close(queue);
    net_fini(&site.net);
}

static void the_end_of_the_certificate_is_told(void **state)
{
    struct keys keys;
    struct site site;
    (void)state;

    keys_make(&keys, (const char *const[]){"home", NULL});
    site_init_with(&site, (const char *const[]){"--http", "127.0.0.1:0", "--keys", keys_path(&keys, "home", NULL), NULL});
    char *answer = ask(&site, "/metrics", "");
    const char *row = strstr(answer, "\nptq_certificate_end_timestamp_seconds ");
    assert_non_null(row);
    double days = (strtod(strchr(row, ' '), NULL) - (double)time(NULL)) / 86400;
    assert_true(days > 820 && days < 826);
    free(answer);
    answer = ask(&site, "/status", "");
    assert_int_equal(feed("jq -e '.certificate_end_s > 1700000000' >/dev/null", body_of(answer)), 0);
    free(answer);
    net_fini(&site.net);
    keys_free(&keys);
}

static void promtool_finds_nothing_to_mend(void **state)
{
    struct site site;
    (void)state;

    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        print_message("promtool (of Debian's prometheus) is not installed\n");
        skip();
    }
    site_init(&site);
    ptq_queue *queue = net_open(site.net.there, "tasks@home", NULL);
    assert_ok(ptq_put(queue, "12345", 5, PTQ_FOREVER));
    char *answer = ask(&site, "/metrics", "Accept: text/plain\r\n");
    assert_int_equal(feed("promtool check metrics >&2", body_of(answer)), 0);
    free(answer);
    ptq_queue_close(queue);
    net_fini(&site.net);
}

static void a_head_is_the_same_without_its_body(void **state)
{
    static const char request[] = "HEAD /healthz HTTP/1.0\r\n\r\n";
    struct site site;
    (void)state;

    site_init(&site);
    char *answer = exchange(&site, request, sizeof request - 1);
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "Content-Length: 3\r\n"));
    assert_string_equal(body_of(answer), "");
    free(answer);
    net_fini(&site.net);
}

static void a_socket_of_the_host_serves_too_and_goes_with_the_bridge(void **state)
{
    struct ptt_scratch scratch;
    struct site site;
    struct stat status;
    char address[100];
    (void)state;

    ptt_scratch_init_dir(&scratch);
    snprintf(address, sizeof address, "unix:%s/pages", scratch.dir);
    const char *const options[] = {"--http", address, NULL};
    site_init_with(&site, options);
    assert_says(&site, "/readyz", 200, "ready");
    assert_int_equal(stat(address + 5, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(net_bridge_end(&site.net), 0);
    assert_int_not_equal(stat(address + 5, &status), 0);
    net_fini(&site.net);
    ptt_scratch_fini(&scratch);
}

/* Frames so far, both ways. */
static double count_frames(const struct site *site)
{
    char *answer = ask(site, "/metrics", "");
    double frames = 0;

    for (const char *at = strstr(answer, "\nptq_link_frames_total{"); at != NULL; at = strstr(at + 1, "\nptq_link_frames_total{"))
        frames += strtod(strchr(at, '}') + 1, NULL);
    free(answer);
    return frames;
}

/* The round trip of the one session is known. */
static bool knows_round_trip(void *context)
{
    char *answer = ask(context, "/status", "");
    const char *sessions = strstr(answer, "\"sessions\":["), *at = sessions != NULL ? strstr(sessions, "\"rtt_us\":") : NULL;
    bool knows = at != NULL && strtoull(at + strlen("\"rtt_us\":"), NULL, 10) > 0;

    free(answer);
    return knows;
}

static void an_idle_link_carries_one_ping_a_second(void **state)
{
    struct timespec nap = {.tv_sec = 4};
    struct site site;
    (void)state;

    site_init(&site);
    ptq_queue *queue = net_open(site.net.there, "tasks@home", NULL);
    assert_true(ptt_wait_until(knows_round_trip, &site, PTT_LONG));
    double before = count_frames(&site);
    int64_t begun = pti_now_ns();
    nanosleep(&nap, NULL); /* the time in which it is idle */
    double frames = count_frames(&site) - before, seconds = (double)(pti_now_ns() - begun) / PTI_NS_PER_S;
    if (frames < 2 || frames > 2 * seconds + 3) /* each with its answer */
        fail_msg("%g frames in %g s", frames, seconds);
    assert_answer(PTQ_OK, ptq_put(queue, "12345", 5, PTQ_FOREVER));
    ptq_queue_close(queue);
    net_fini(&site.net);
}

/* ---- health */

static bool is_draining(void *context)
{
    char *answer = ask(context, "/readyz", "");
    bool drains = status_of(answer) == 503 && strstr(answer, "not ready: it is going down") != NULL;

    free(answer);
    return drains;
}

static void a_bridge_that_drains_is_well_and_not_ready(void **state)
{
    struct site site;
    ptq_msg *msg;
    (void)state;

    site_init(&site);
    ptq_queue *queue = net_open(site.net.there, "tasks@home", NULL);
    assert_ok(ptq_put(queue, "12345", 5, PTQ_FOREVER));
    assert_ok(ptq_get(queue, PTQ_FOREVER, &msg));
    kill(site.net.bridge, SIGTERM);
    assert_true(ptt_wait_until(is_draining, &site, PTT_LONG));
    assert_says(&site, "/healthz", 200, "ok");
    assert_ok(ptq_ack(msg));
    ptt_assert_exit(site.net.bridge, 0, PTT_LONG);
    site.net.bridge = 0;
    ptq_queue_close(queue);
    net_fini(&site.net);
}

static void a_bridge_whose_bus_was_taken_away_is_not_ready(void **state)
{
    struct site site;
    char from[100], to[100];
    (void)state;

    site_init(&site);
    snprintf(from, sizeof from, "%s/test", site.net.home.dir);
    snprintf(to, sizeof to, "%s/other", site.net.home.dir);
    assert_int_equal(rename(from, to), 0);
    assert_says(&site, "/readyz", 503, "was removed or replaced");
    assert_says(&site, "/healthz", 200, "ok");
    assert_int_equal(rename(to, from), 0);
    assert_says(&site, "/readyz", 200, "ready");
    net_fini(&site.net);
}

/* One that nobody runs: its serving thread does not get on. */
static int ask_one_that_stands(struct ptt_scratch *scratch)
{
    static const char *const listen[] = {"tcp://127.0.0.1:0"};
    struct ptq_bridge_options options = {.listen = listen, .listen_count = 1};
    ptq_bus *bus = ptt_scratch_open(scratch);
    char why[200] = "";
    ptq_bridge *bridge;
    char *text = NULL;
    size_t size;

    assert_ok(ptq_bridge_open(bus, &options, &bridge));
    assert_answer(PTQ_TIMEDOUT, ptq_bridge_alive(bridge, why, sizeof why));
    assert_string_equal(why, "the serving thread has not answered for 1000 ms");
    assert_ok(ptq_bridge_metrics(bridge, PTQ_METRICS_OPENMETRICS, &text, &size)); /* what can be told without it */
    assert_non_null(strstr(text, "\nptq_bridge_answers 0\n"));
    assert_null(strstr(text, "ptq_sessions"));
    free(text);
    ptq_bridge_close(bridge);
    ptq_bus_close(bus);
    return 0;
}

/* As a program of its own: nng may have begun in this one, for a case before. */
static int stand_anew(void *context)
{
    struct ptt_scratch *scratch = context;

    execl("/proc/self/exe", "net_pages", "stand", scratch->dir, (char *)NULL);
    return 126;
}

static void a_bridge_whose_thread_stands_is_not_well(void **state)
{
    struct ptt_scratch scratch;
    (void)state;

    ptt_scratch_init_dir(&scratch);
    ptt_assert_exit(ptt_fork(stand_anew, &scratch), 0, PTT_LONG);
    ptt_scratch_fini(&scratch);
}

static void an_address_that_cannot_be_is_said_at_once(void **state)
{
    static const struct {
        const char *address, *words;
    } wanted[] = {{"0.0.0.0:0", "beyond the loopback"}, {"nowhere", "no address for pages"}, {"unix:/nowhere/x", "No such file"}};
    (void)state;

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct ptt_scratch scratch;
        char said[600];
        ptt_scratch_init_dir(&scratch);
        int code = net_run(said, sizeof said, PTQBRIDGE, "--dir %s --listen tcp://127.0.0.1:0 --http %s", scratch.dir, wanted[i].address);
        if (code <= 0 || code >= 100 || strstr(said, wanted[i].words) == NULL)
            fail_msg("%s: %s", wanted[i].address, said);
        ptt_scratch_fini(&scratch);
    }
}

/* ---- those who do not ask well */

#define SAYS(status, text) {status, text, sizeof text - 1}

static void nonsense_has_its_answer(void **state)
{
    static const struct {
        int status;
        const char *text;
        size_t size;
    } wanted[] = {
        SAYS(404, "GET /%41 HTTP/1.0\r\n\r\n"), SAYS(404, "GET /../etc/passwd HTTP/1.0\r\n\r\n"), SAYS(404, "GET / HTTP/1.0\r\n\r\n"),
        SAYS(405, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"), SAYS(405, "DELETE / HTTP/1.0\r\n\r\n"),
        SAYS(400, "GET /\0healthz HTTP/1.0\r\n\r\n"), SAYS(400, "\0\0\0\0\n\0\0\n\n"), SAYS(400, "\x16\x03\x01\x02\n\x01\x01"),
        SAYS(505, "GET /healthz HTTP/9.9\r\n\r\n"), SAYS(400, "GET /healthz HTTP/1.1\r\n\r\n"),
        SAYS(200, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /\xff\xff\0\0 HTTP/3\n\n\nxxx"),
    };
    struct site site;
    (void)state;

    site_init(&site);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char *answer = exchange(&site, wanted[i].text, wanted[i].size);
        if (status_of(answer) != wanted[i].status)
            fail_msg("%zu: not %d: %s", i, wanted[i].status, answer);
        if (wanted[i].status != 200)
            assert_non_null(strstr(body_of(answer), "/metrics")); /* says what there is */
        if (wanted[i].status == 405)
            assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
        free(answer);
    }
    net_fini(&site.net);
}

static void long_requests_are_read_no_further_than_4_kib(void **state)
{
    size_t size = 1 << 20;
    char *bytes = malloc(size);
    struct site site;
    (void)state;

    site_init(&site);
    memset(bytes, 'a', size);
    memcpy(bytes, "GET /healthz HTTP/1.0\r\nX: ", 26);
    char *answer = exchange(&site, bytes, 5000);
    assert_int_equal(status_of(answer), 431);
    free(answer);
    memset(bytes, 'a', 30);
    memcpy(bytes, "GET /", 5);
    answer = exchange(&site, bytes, 5000);
    assert_int_equal(status_of(answer), 414);
    free(answer);
    answer = exchange(&site, bytes, size); /* a reset may have overtaken its answer: it went on sending */
    assert_true(answer[0] == '\0' || status_of(answer) == 414);
    free(answer);
    assert_says(&site, "/healthz", 200, "ok");
    free(bytes);
    net_fini(&site.net);
}

static void a_request_has_five_seconds(void **state)
{
    struct timespec nap = {.tv_nsec = 200000000};
    struct site site;
    char byte;
    (void)state;

    site_init(&site);
    int64_t begun = pti_now_ns();
    int silent = dial(&site), slow = dial(&site);
    say(slow, "GET /healthz HTTP/1.0\r\n", 23);
    while (pti_now_ns() - begun < 15 * PTI_NS_PER_S && recv(slow, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0) {
        say(slow, "x", 1); /* a byte now and then */
        nanosleep(&nap, NULL);
    }
    int64_t took = (pti_now_ns() - begun) / PTI_NS_PER_MS;
    assert_in_range(took, 4500, 10000);
    char *answer = hear(slow);
    assert_true(answer[0] == '\0' || status_of(answer) == 408); /* "": what was sent meanwhile has reset it */
    free(answer);
    assert_int_equal(recv(silent, &byte, 1, 0), 0);
    close(silent);
    net_fini(&site.net);
}

static void half_a_request_is_dropped_with_its_connection(void **state)
{
    struct site site;
    (void)state;

    site_init(&site);
    for (int i = 0; i < 100; i++) {
        int fd = dial(&site);
        say(fd, "GET /healthz HT", 15);
        shutdown(fd, SHUT_WR);
        char *answer = hear(fd);
        assert_string_equal(answer, "");
        free(answer);
    }
    assert_says(&site, "/healthz", 200, "ok");
    net_fini(&site.net);
}

#define CROWD 1000

/* Silent, half, binary: all stay open. */
static void gather(const struct site *site, int fds[CROWD])
{
    static const char *const words[] = {"", "GET /metrics HTTP/1.1\r\n", "\x01\x02\x03", "GET /metr"};

    for (size_t i = 0; i < CROWD; i++) {
        fds[i] = dial(site);
        say(fds[i], words[i % 4], strlen(words[i % 4]));
    }
}

static uint64_t spent_ms(pid_t pid)
{
    unsigned long long user = 0, system = 0;
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    (void)!fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system);
    fclose(file);
    return (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static void a_thousand_who_say_nothing_keep_nobody_out(void **state)
{
    struct rlimit limit;
    static int fds[CROWD];
    struct site site;
    (void)state;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    site_init(&site);
    ptq_queue *queue = net_open(site.net.there, "tasks@home", NULL);
    gather(&site, fds);
    int64_t begun = pti_now_ns();
    assert_says(&site, "/readyz", 200, "ready");
    assert_in_range((pti_now_ns() - begun) / PTI_NS_PER_MS, 0, 6000); /* about 1.6 s: the crowd goes through first */
    assert_ok(ptq_put(queue, "12345", 5, PTQ_FOREVER));
    assert_says(&site, "/metrics", 200, "\nptq_messages_total{queue=\"tasks\",op=\"put\"} 1\n");
    assert_in_range(spent_ms(site.net.bridge), 0, 1500);
    for (size_t i = 0; i < CROWD; i++)
        close(fds[i]);
    assert_says(&site, "/healthz", 200, "ok");
    ptq_queue_close(queue);
    net_fini(&site.net);
}

static void they_who_do_not_read_keep_nobody_out(void **state)
{
    enum { QUEUES = 400, READERS = 40 };
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct ptq_queue_options options = {.capacity = 4, .item_size = 64};
    const int little = 4096;
    struct site site;
    int fds[READERS];
    (void)state;

    site_init(&site);
    for (int i = 0; i < QUEUES; i++) { /* a page that fits no buffer of the kernel */
        char name[PTQ_NAME_MAX + 1];
        memset(name, 'q', sizeof name);
        snprintf(name + 120, sizeof name - 120, "%d", i);
        ptq_queue_close(net_open(site.net.here, name, &options));
    }
    for (int i = 0; i < READERS; i++) {
        fds[i] = dial(&site);
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
        say(fds[i], request, sizeof request - 1);
    }
    int64_t begun = pti_now_ns();
    assert_says(&site, "/readyz", 200, "ready");
    assert_in_range((pti_now_ns() - begun) / PTI_NS_PER_MS, 0, 6000);
    char *answer = ask(&site, "/metrics", "");
    assert_true(strlen(answer) > 1000000);
    assert_string_equal(answer + strlen(answer) - 7, "\n# EOF\n");
    free(answer);
    for (int i = 0; i < READERS; i++)
        close(fds[i]);
    net_fini(&site.net);
}

/* Where there are no descriptors it neither spins nor ends. */
static void without_descriptors_it_waits(void **state)
{
    struct rlimit limit = {.rlim_cur = 10, .rlim_max = 10}, before;
    struct timespec nap = {.tv_nsec = 300000000};
    struct site site;
    int fds[8];
    (void)state;

    site_init(&site);
    assert_says(&site, "/healthz", 200, "ok"); /* it runs: all that it needs it has opened */
    assert_int_equal(prlimit(site.net.bridge, RLIMIT_NOFILE, NULL, &before), 0);
    limit.rlim_max = before.rlim_max;
    assert_int_equal(prlimit(site.net.bridge, RLIMIT_NOFILE, &limit, NULL), 0);
    for (int i = 0; i < 8; i++)
        fds[i] = dial(&site);
    uint64_t spent = spent_ms(site.net.bridge);
    nanosleep(&nap, NULL); /* the time in which it might spin */
    assert_in_range(spent_ms(site.net.bridge) - spent, 0, 150);
    for (int i = 0; i < 8; i++)
        close(fds[i]);
    assert_int_equal(prlimit(site.net.bridge, RLIMIT_NOFILE, &before, NULL), 0);
    assert_says(&site, "/healthz", 200, "ok");
    net_fini(&site.net);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_has_five_seconds),
        cmocka_unit_test(an_idle_link_carries_one_ping_a_second),
        cmocka_unit_test(a_thousand_who_say_nothing_keep_nobody_out),
        cmocka_unit_test(they_who_do_not_read_keep_nobody_out),
        cmocka_unit_test(a_bridge_whose_thread_stands_is_not_well),
        cmocka_unit_test(pages_tell_how_things_are),
        cmocka_unit_test(status_is_json_without_passwords),
        cmocka_unit_test(the_end_of_the_certificate_is_told),
        cmocka_unit_test(promtool_finds_nothing_to_mend),
        cmocka_unit_test(a_head_is_the_same_without_its_body),
        cmocka_unit_test(a_socket_of_the_host_serves_too_and_goes_with_the_bridge),
        cmocka_unit_test(a_bridge_that_drains_is_well_and_not_ready),
        cmocka_unit_test(a_bridge_whose_bus_was_taken_away_is_not_ready),
        cmocka_unit_test(an_address_that_cannot_be_is_said_at_once),
        cmocka_unit_test(nonsense_has_its_answer),
        cmocka_unit_test(long_requests_are_read_no_further_than_4_kib),
        cmocka_unit_test(half_a_request_is_dropped_with_its_connection),
        cmocka_unit_test(without_descriptors_it_waits),
    };

    if (argc == 3 && strcmp(argv[1], "stand") == 0) {
        struct ptt_scratch scratch;
        snprintf(scratch.dir, sizeof scratch.dir, "%s", argv[2]);
        return ask_one_that_stands(&scratch);
    }
    return ptt_run_beside(tests, sizeof tests / sizeof tests[0], 4) == 0 ? 0 : 1;
}

/* kit.c -- two buses that share nothing stand for two hosts. */
#include "net/kit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/time.h"

struct spawning {
    char *const *words;
    int out;
    const char *log; /* where its standard error goes; NULL: where ours goes */
};

static int exec_program(void *context)
{
    struct spawning *spawning = context;

    dup2(spawning->out, STDOUT_FILENO);
    if (spawning->log != NULL)
        dup2(open(spawning->log, O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
    execv(spawning->words[0], spawning->words);
    return 126;
}

static pid_t spawn(const char *program, const char *const *arguments, const char *log, int *ret_fd)
{
    char *words[56] = {(char *)(uintptr_t)program};
    int ends[2];

    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i < 54);
        words[i + 1] = (char *)(uintptr_t)arguments[i];
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct spawning spawning = {words, ends[1], log};
    pid_t pid = ptt_fork(exec_program, &spawning);
    close(ends[1]);
    *ret_fd = ends[0];
    return pid;
}

pid_t net_spawn(const char *program, const char *const *arguments, int *ret_fd)
{
    return spawn(program, arguments, NULL, ret_fd);
}

int net_run(char *text, size_t size, const char *program, const char *format, ...)
{
    char words[700], command[1000];
    size_t length = 0, part;
    va_list arguments;

    va_start(arguments, format);
    assert_true((size_t)vsnprintf(words, sizeof words, format, arguments) < sizeof words);
    va_end(arguments);
    snprintf(command, sizeof command, "exec timeout 20 '%s' %s 2>&1", program, words);
    FILE *output = popen(command, "re");
    assert_non_null(output);
    while (length + 1 < size && (part = fread(text + length, 1, size - 1 - length, output)) > 0)
        length += part;
    text[length] = '\0';
    int status = pclose(output);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void net_read_line(int fd, char *line, size_t size)
{
    size_t length = 0;

    while (length + 1 < size) {
        assert_true(ptt_wait_readable(fd, PTT_LONG));
        if (read(fd, line + length, 1) != 1 || line[length] == '\n')
            break;
        length++;
    }
    line[length] = '\0';
}

#define PORTS_FIRST 10000u
#define PORTS 20000u /* below those that the kernel gives to who dials, or asks for any */
#define PORT_TRIES 20

/* False: it did not come up. */
static bool start_bridge(struct net *net, const char *url, const char *const *options, const char *log)
{
    const char *words[52] = {"--dir", net->home.dir, "--run", "test", "--node", "home", "--quiet", "--ready-fd", "1", "--listen", url};
    char line[160] = "";
    size_t count = 11;
    int fd;

    for (size_t i = 0; options != NULL && options[i] != NULL; i++)
        words[count++] = options[i];
    net->bridge = spawn(PTQBRIDGE, words, log, &fd);
    net_read_line(fd, line, sizeof line);
    close(fd);
    if (sscanf(line, "listening on %127s", net->url) == 1)
        return true;
    (void)ptt_reap(net->bridge, PTT_LONG);
    net->bridge = 0;
    return false;
}

static unsigned draw_port(void)
{
    static uint64_t seed;

    if (seed == 0)
        seed = (uint64_t)getpid() << 32 ^ (uint64_t)pti_now_ns();
    return PORTS_FIRST + (unsigned)(ptt_random(&seed) % PORTS);
}

void net_find_url(char *url, size_t size)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), bound = -1;
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    for (int i = 0; bound != 0 && i < PORT_TRIES; i++) {
        name.sin_port = htons((uint16_t)draw_port());
        bound = bind(fd, (struct sockaddr *)&name, sizeof name);
    }
    assert_int_equal(bound, 0);
    close(fd);
    snprintf(url, size, "tcp://127.0.0.1:%u", ntohs(name.sin_port));
}

/* Its port, if it is 0; else NULL. */
static const char *find_any_port(const char *url)
{
    const char *port = strstr(url, "://") != NULL ? strrchr(strstr(url, "://") + 3, ':') : NULL;

    return port != NULL && strtoul(port + 1, NULL, 10) == 0 ? port + 1 : NULL;
}

/* What the log said last: the directory is gone when the test has failed. */
static void show_log(const char *path)
{
    char line[400];
    FILE *log = fopen(path, "re");

    while (log != NULL && fgets(line, sizeof line, log) != NULL)
        print_error("%s", line);
    if (log != NULL)
        fclose(log);
}

/* Law: a bridge that is killed gets its address again.  So it is none that the kernel may give to others meanwhile. */
void net_bridge_start(struct net *net, const char *const *options)
{
    char wanted[sizeof net->url], url[sizeof net->url + 16], log[96];
    bool up = false;

    snprintf(log, sizeof log, "%s/bridge.log", net->home.dir);
    snprintf(wanted, sizeof wanted, "%s", net->url[0] != '\0' ? net->url : "tcp://127.0.0.1:0");
    const char *any = find_any_port(wanted);
    for (int i = 0; !up && i < (any != NULL ? PORT_TRIES : 1); i++) {
        snprintf(url, sizeof url, "%s", wanted);
        if (any != NULL)
            snprintf(url, sizeof url, "%.*s%u%s", (int)(any - wanted), wanted, draw_port(), any + 1);
        up = start_bridge(net, url, options, log);
    }
    if (!up) {
        show_log(log);
        fail_msg("ptqbridge did not come up at '%s'", url);
    }
}

void net_bridge_kill(struct net *net)
{
    if (net->bridge != 0)
        ptt_kill(net->bridge);
    net->bridge = 0;
}

int net_bridge_end(struct net *net)
{
    assert_int_equal(kill(net->bridge, SIGTERM), 0);
    int status = ptt_reap(net->bridge, PTT_LONG);
    net->bridge = 0;
    return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void net_near_start(struct net *near, const struct net *net, const char *const *options)
{
    const char *words[40] = {"--node", "far"};
    size_t count = 2;

    for (size_t i = 0; options != NULL && options[i] != NULL; i++) {
        assert_true(count < 39);
        words[count++] = options[i];
    }
    *near = (struct net){.home = net->far};
    net_bridge_start(near, words);
}

ptq_bus *net_open_way(const struct net *net, const char *peers, const char *via)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = net->far.dir, .peers = peers, .node = "far", .via = via, .error = &error};
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK)
        fail_msg("%s", error.text);
    return bus;
}

ptq_bus *net_open_far(const struct net *net, const char *peers)
{
    return net_open_way(net, peers, NULL);
}

void net_init_at(struct net *net, const char *url, const char *const *options)
{
    memset(net, 0, sizeof *net);
    snprintf(net->url, sizeof net->url, "%s", url);
    ptt_scratch_init_dir(&net->home);
    ptt_scratch_init_dir(&net->far);
    net->here = ptt_scratch_open(&net->home);
    net_bridge_start(net, options);
    snprintf(net->peers, sizeof net->peers, "home=%s", net->url);
    net->there = net_open_far(net, net->peers);
}

void net_init(struct net *net, const char *const *options)
{
    net_init_at(net, "", options);
}

void net_fini(struct net *net)
{
    net_bridge_kill(net);
    ptq_bus_close(net->there);
    ptq_bus_close(net->here);
    ptt_scratch_fini(&net->far);
    ptt_scratch_fini(&net->home);
}

ptq_queue *net_open(ptq_bus *bus, const char *name, const struct ptq_queue_options *options)
{
    struct ptq_error error = {0};
    struct ptq_queue_options given = {0};
    ptq_queue *queue = NULL;

    if (options != NULL)
        given = *options;
    given.error = &error;
    enum ptq_err answer = ptq_queue_open(bus, name, &given, &queue);
    if (answer != PTQ_OK)
        fail_msg("open %s: %s: %s", name, ptq_err_name(answer), error.text);
    return queue;
}

enum ptq_err net_try_open(ptq_bus *bus, const char *name, enum ptq_open_mode mode, struct ptq_error *error)
{
    ptq_queue *queue = NULL;
    struct ptq_queue_options options = {.mode = mode, .error = error};
    enum ptq_err answer = ptq_queue_open(bus, name, &options, &queue);

    ptq_queue_close(queue);
    return answer;
}

ptq_queue *net_open_pipe(ptq_bus *bus, const char *name)
{
    return net_open(bus, name, &(struct ptq_queue_options){.mode = PTQ_ATTACH, .flags = PTQ_PIPELINE});
}

void net_assert_number(ptq_queue *queue, uint64_t number)
{
    uint64_t got;
    size_t size;

    assert_ok(ptq_recv(queue, &got, sizeof got, PTT_LONG, &size));
    assert_int_equal(got, number);
}

ptq_queue *net_open_pool(ptq_bus *bus, const char *name, bool placed, uint64_t window)
{
    struct ptq_error error = {0};
    struct pti_open open = {.options = {.error = &error}, .placed = placed, .window = window};
    ptq_queue *queue = NULL;
    enum ptq_err answer = pti_queue_open(bus, name, &open, &queue);

    if (answer != PTQ_OK)
        fail_msg("open %s: %s: %s", name, ptq_err_name(answer), error.text);
    return queue;
}

static bool has_ended(void *queue)
{
    return ptq_end(queue) == PTQ_EALREADY;
}

void net_end(ptq_queue *queue)
{
    if (!ptt_wait_until(has_ended, queue, PTT_LONG))
        fail_msg("the queue could not be ended: %s", ptq_err_name(ptq_end(queue)));
}

void net_assert_serves(const struct net *net)
{
    ptq_queue *queue = net_open(net->there, "innocent@home", NULL);
    ptq_msg *msg;

    assert_ok(ptq_put(queue, "yes", 3, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
}

/* test_colocation.c -- who shares the memory of a home finds out, and takes it; who only looks alike takes the network. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hosts/hosts.h"
#include "net/kit.h"

/* Words of the page. */
enum { PID_HOME = 0, PID_FAR = 1, PORT = 2, DONE = 3, READY = 4 };

#define TWIN "twin" /* what both containers are called */

/* What one case is about: the directories, and what the far side has to find. */
struct pair {
    const char *home, *far; /* below the test's directory */
    bool copies;            /* the home's page is copied into the far one once the home serves */
    bool remote;
    const char *why;
};

static const char *const paths[] = {"/mnt/bus", "/mnt/somewhere/else"};

static const struct pair *pair_of(const struct hosts *h) { return h->argument; }

static int open_far_bus(const char *dir, uint64_t port, ptq_bus **ret_bus, char peers[80])
{
    struct ptq_bus_options options = {.dir = dir, .peers = peers, .error = &hosts_error};

    snprintf(peers, 80, TWIN "=tcp://127.0.0.1:%u", (unsigned)port);
    return ptq_bus_open("test", &options, ret_bus) == PTQ_OK ? 0 : 1;
}

/* ---- the home ---- */

static pid_t start_bridge(uint64_t *ret_port)
{
    const char *const words[] = {"--dir", paths[0], "--run", "test", "--quiet", "--ready-fd", "1",
                                 "--listen", "tcp://127.0.0.1:0", NULL};
    char line[160] = "";
    unsigned port = 0;
    int fd;
    pid_t pid = net_spawn(PTQBRIDGE, words, &fd);

    net_read_line(fd, line, sizeof line);
    close(fd);
    sscanf(line, "listening on tcp://127.0.0.1:%u", &port);
    *ret_port = port;
    return pid;
}

static int serve(struct hosts *h)
{
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    uint64_t port = 0;

    HOSTS_TRUE(h, sethostname(TWIN, strlen(TWIN)) == 0);
    HOSTS_OK(h, hosts_bus(paths[0], &bus));
    HOSTS_OK(h, hosts_queue(bus, "tasks", NULL, &queue));
    HOSTS_OK(h, ptq_put(queue, "work", 4, PTQ_NOWAIT));
    pid_t bridge = start_bridge(&port);
    HOSTS_TRUE(h, port != 0);
    atomic_store(&h->page->words[PORT], port);
    atomic_store(&h->page->words[READY], 1);
    HOSTS_TRUE(h, ptt_wait_word(&h->page->words[DONE], 1, PTT_LONG));
    HOSTS_TRUE(h, kill(bridge, SIGTERM) == 0);
    HOSTS_TRUE(h, ptt_reap(bridge, PTT_LONG) == 0);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

/* ---- the far side ---- */

static int ask_the_tool(struct hosts *h, const char *name, const char *peers, const char *word)
{
    char command[400], text[4000] = "";
    size_t length = 0, part;

    snprintf(command, sizeof command, "PTQ_DIR=%s PTQ_RUN=test PTQ_PEERS=%s '%s' info %s 2>&1", paths[1], peers, PTQ, name);
    FILE *pipe = popen(command, "re");
    HOSTS_TRUE(h, pipe != NULL);
    while ((part = fread(text + length, 1, sizeof text - 1 - length, pipe)) > 0)
        length += part;
    HOSTS_TRUE(h, pclose(pipe) >= 0);
    HOSTS_SAYS(h, text, "\n  path         ", "\n  via          ", "\n  why          ", word, pair_of(h)->why);
    return 0;
}

static int look(struct hosts *h, ptq_bus *bus, const char *name, const char *peers)
{
    struct ptq_queue_path path;
    ptq_queue *queue = NULL;
    ptq_msg *msg = NULL;

    HOSTS_OK(h, hosts_queue(bus, name, &(struct ptq_queue_options){.mode = PTQ_ATTACH}, &queue));
    HOSTS_OK(h, ptq_queue_path(queue, &path));
    if (path.remote != pair_of(h)->remote)
        return hosts_wrong(h, "%s went by %s (%s), for: %s", name, path.via, path.where, path.why);
    HOSTS_TRUE(h, (path.url != NULL) == path.remote && strcmp(path.via, path.remote ? "direct" : "memory") == 0);
    HOSTS_SAYS(h, path.why, pair_of(h)->why);
    HOSTS_OK(h, ptq_get(queue, PTT_LONG, &msg)); /* the same queue, either way */
    HOSTS_TRUE(h, ptq_msg_size(msg) == 4 && memcmp(ptq_msg_data(msg), "work", 4) == 0);
    HOSTS_OK(h, ptq_nack(msg, 0));
    ptq_queue_close(queue);
    return ask_the_tool(h, name, peers, pair_of(h)->remote ? "a link to another host" : "shared memory");
}

static int visit(struct hosts *h)
{
    ptq_bus *bus = NULL;
    char peers[80], address[120];
    uint64_t port = atomic_load(&h->page->words[PORT]);

    HOSTS_TRUE(h, sethostname(TWIN, strlen(TWIN)) == 0);
    if (open_far_bus(paths[1], port, &bus, peers) != 0)
        return hosts_wrong(h, "%s", hosts_text);
    snprintf(address, sizeof address, "ptq://127.0.0.1:%u/test/tasks", (unsigned)port);
    int answer = look(h, bus, "tasks@" TWIN, peers);
    if (answer == 0)
        answer = look(h, bus, address, peers);
    ptq_bus_close(bus);
    return answer;
}

/* ---- both ---- */

static int contain(struct hosts *h, const char *name, const char *path, int (*work)(struct hosts *h), int pid_word)
{
    char shared[160];

    snprintf(shared, sizeof shared, "%s/%s", h->dir, name);
    return hosts_contain(h, shared, path, work, &h->page->words[pid_word]);
}

static int contain_home(void *h) { return contain(h, pair_of(h)->home, paths[0], serve, PID_HOME); }
static int contain_far(void *h) { return contain(h, pair_of(h)->far, paths[1], visit, PID_FAR); }

static void make_directory(const struct hosts *h, const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", h->dir, name);
    assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
}

/* As one does who copies a volume: byte by byte, while it is in use. */
static void copy_page(const struct hosts *h, const struct pair *pair)
{
    char from[160], to[160], bytes[4096];

    snprintf(from, sizeof from, "%s/%s/test/~node", h->dir, pair->home);
    snprintf(to, sizeof to, "%s/%s/test", h->dir, pair->far);
    assert_int_equal(mkdir(to, 0700), 0);
    strcat(to, "/~node");
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(in >= 0 && out >= 0);
    ssize_t size = read(in, bytes, sizeof bytes);
    assert_true(size > 0 && write(out, bytes, (size_t)size) == size);
    close(in);
    close(out);
}

static void run_pair(struct hosts *h, const struct pair *pair)
{
    h->argument = pair;
    make_directory(h, pair->home);
    make_directory(h, pair->far);
    pid_t home = hosts_start(h, contain_home);
    if (!ptt_wait_word(&h->page->words[READY], 1, PTT_LONG))
        hosts_judge(h, home);
    if (pair->copies)
        copy_page(h, pair);
    pid_t far = hosts_start(h, contain_far);
    int status = ptt_reap(far, PTT_LONG);
    atomic_store(&h->page->words[DONE], 1);
    hosts_judge(h, home);
    if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the far side: %s", (const char *)(h->page->words + 256));
}

static void containers_of_one_host_name_with_directories_of_their_own_take_the_network(void **state)
{
    run_pair(*state, &(struct pair){.home = "one", .far = "two", .remote = true, .why = "has no ~node"});
}

static void containers_that_share_the_directory_take_shared_memory(void **state)
{
    run_pair(*state, &(struct pair){.home = "both", .far = "both", .remote = false, .why = "one memory"});
}

static void a_copied_directory_proves_nothing(void **state)
{
    run_pair(*state, &(struct pair){.home = "one", .far = "two", .copies = true, .remote = true, .why = "is a copy"});
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        HOSTS_CASE(containers_of_one_host_name_with_directories_of_their_own_take_the_network),
        HOSTS_CASE(containers_that_share_the_directory_take_shared_memory),
        HOSTS_CASE(a_copied_directory_proves_nothing),
    };

    hosts_need_root();
    return cmocka_run_group_tests(cases, NULL, NULL);
}

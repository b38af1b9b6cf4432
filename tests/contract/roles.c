/* roles.c -- what the suite's own processes do.  Each is this program again, with a bus of its own, as a user's would be:
 *     contract --child CARRIER DIR PEERS ROLE QUEUE PAGE-FD ARGUMENT
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "contract/contract.h"
#include "queue/queue.h"

struct role {
    const char *name;
    int (*run)(ptq_queue *queue, struct ptt_page *page, uint64_t argument);
};

_Noreturn static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* Leases `argument` messages, tells, and holds them until it is killed. */
static int hold_leases(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    for (uint64_t i = 0; i < argument; i++) {
        ptq_msg *msg = NULL;
        if (ptq_get(queue, PTT_LONG, &msg) != PTQ_OK)
            return 1;
    }
    page->words[0] = 1;
    wait_for_ever();
}

/* Puts 0 .. argument-1, a loan that it never publishes, tells, and lives on. */
static int put_and_live(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    ptq_msg *loan = NULL;

    for (uint64_t i = 0; i < argument; i++)
        if (ptq_put(queue, &i, sizeof i, PTT_LONG) != PTQ_OK)
            return 1;
    if (ptq_loan(queue, 8, PTT_LONG, &loan) != PTQ_OK)
        return 2;
    memset(ptq_msg_buffer(loan), 0xee, 8);
    page->words[0] = 1;
    wait_for_ever();
}

/* Sleeps in a get until it is killed. */
static int sleep_in_get(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    ptq_msg *msg = NULL;

    (void)argument;
    page->words[0] = (uint64_t)getpid();
    enum ptq_err err = ptq_get(queue, PTQ_FOREVER, &msg);
    page->words[1] = 1 + (uint64_t)err;
    return 0;
}

/* words[1] counts what all of them put, words[2] what they got: argument of each. */
static int put_and_get(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    for (uint64_t i = 0; i < argument; i++) {
        uint64_t number = i + 1;
        size_t size = 0;
        if (ptq_put(queue, &number, sizeof number, PTT_LONG) != PTQ_OK)
            return 1;
        page->words[1] += number;
        if (ptq_recv(queue, &number, sizeof number, PTT_LONG, &size) != PTQ_OK || size != sizeof number)
            return 2;
        page->words[2] += number;
    }
    return 0;
}

/* Puts 0 .. argument-1, waiting for room. */
static int put_numbers(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    (void)page;
    for (uint64_t i = 0; i < argument; i++)
        if (ptq_put(queue, &i, sizeof i, PTT_LONG) != PTQ_OK)
            return 1;
    return 0;
}

/* Receives to the end; words[1] counts. */
static int recv_to_end(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    (void)argument;
    for (;;) {
        uint64_t number = 0;
        size_t size = 0;
        enum ptq_err err = ptq_recv(queue, &number, sizeof number, PTT_LONG, &size);
        if (err == PTQ_END)
            return 0;
        if (err != PTQ_OK)
            return 1;
        page->words[1]++;
    }
}

/* Gets a message that is the text of a handle, and puts `argument` into that queue. */
static int answer_to(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    struct ptq_error error = {0};
    char text[PTQ_REF_SIZE] = "";
    ptq_queue *replies = NULL;
    size_t size = 0;

    (void)page;
    if (ptq_recv(queue, text, sizeof text - 1, PTT_LONG, &size) != PTQ_OK)
        return 1;
    if (ptq_queue_from_ref(queue->bus, text, &(struct ptq_queue_options){.error = &error}, &replies) != PTQ_OK) {
        fprintf(stderr, "%s: %s\n", text, error.text);
        return 2;
    }
    enum ptq_err err = ptq_put(replies, &argument, sizeof argument, PTT_LONG);
    ptq_queue_close(replies);
    return err == PTQ_OK ? 0 : 3;
}

static struct contract own;          /* of this process */
static unsigned threads_before_open;

/* words[1] and [2]: threads before the queue was opened, and after it was used. */
static int tell_threads(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    page->words[1] = threads_before_open;
    int code = put_and_get(queue, contract_page_new(), 1);
    page->words[2] = ptt_count_threads();
    (void)argument;
    return code;
}

/* words[1]: what a child of this process is answered that opens a handle of its own, and uses it. */
static int fork_and_open(ptq_queue *queue, struct ptt_page *page, uint64_t argument)
{
    (void)argument;
    if (ptq_put(queue, "x", 1, PTT_LONG) != PTQ_OK)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        ptq_queue *ours;
        ptq_msg *msg;
        own.carrier->attach(&own);
        enum ptq_err err = ptq_queue_open(own.bus, contract_address(&own, "tasks"), NULL, &ours);
        if (err == PTQ_OK)
            err = ptq_get(ours, PTT_LONG, &msg);
        if (err == PTQ_OK)
            err = ptq_ack(msg);
        page->words[1] = (uint64_t)err;
        _exit(0);
    }
    return ptt_reap(child, PTT_LONG);
}

static const struct role roles[] = {
    {"count-threads", tell_threads}, {"fork-and-open", fork_and_open},
    {"answer-to", answer_to},
    {"hold-leases", hold_leases}, {"put-and-live", put_and_live}, {"sleep-in-get", sleep_in_get},
    {"put-and-get", put_and_get}, {"put-numbers", put_numbers},   {"recv-to-end", recv_to_end},
};

static struct ptt_page *map_page(const char *text)
{
    int fd = atoi(text);

    if (fd < 0)
        return NULL;
    void *page = mmap(NULL, sizeof(struct ptt_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page == MAP_FAILED ? NULL : page;
}

static int run_role(const struct role *role, char **argv)
{
    struct contract c = {.carrier = contract_carrier_named(argv[2])};
    ptq_queue *queue = NULL;

    threads_before_open = ptt_count_threads();
    snprintf(c.dir, sizeof c.dir, "%s", argv[3]);
    snprintf(c.peers, sizeof c.peers, "%s", argv[4]);
    own = c;
    c.carrier->attach(&c);
    if (ptq_queue_open(c.bus, contract_address(&c, argv[6]), NULL, &queue) != PTQ_OK)
        return 99;
    int code = role->run(queue, map_page(argv[7]), strtoull(argv[8], NULL, 10));
    ptq_queue_close(queue);
    ptq_bus_close(c.bus);
    return code;
}

int contract_child_main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc != 9)
        return 98;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i].name, argv[5]) == 0)
            return run_role(&roles[i], argv);
    return 97;
}

#define PAGE_FD 511 /* the parent's descriptor of the page, in its last word: a child after exec maps it again */

struct ptt_page *contract_page_new(void)
{
    int fd = memfd_create("contract", 0);

    assert_true(fd >= 0 && ftruncate(fd, sizeof(struct ptt_page)) == 0);
    struct ptt_page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true((void *)page != MAP_FAILED);
    page->words[PAGE_FD] = (uint64_t)fd;
    return page;
}

void contract_page_free(struct ptt_page *page)
{
    close((int)page->words[PAGE_FD]);
    munmap(page, sizeof *page);
}

pid_t contract_child(struct contract *c, const char *role, const char *queue, struct ptt_page *page, uint64_t argument)
{
    char fd_text[16], number[24];

    snprintf(fd_text, sizeof fd_text, "%d", page != NULL ? (int)page->words[PAGE_FD] : -1);
    snprintf(number, sizeof number, "%llu", (unsigned long long)argument);
    char *arguments[] = {(char *)(uintptr_t) "contract", (char *)(uintptr_t) "--child",
                         (char *)(uintptr_t)c->carrier->name, c->dir, c->peers, (char *)(uintptr_t)role,
                         (char *)(uintptr_t)queue, fd_text, number, NULL};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execv("/proc/self/exe", arguments);
        _exit(96);
    }
    return pid;
}

/* process.c -- a supervised process: it crawls a list of pages, loses its connection, hangs, and is killed, and comes to a result.
 *
 *     ./process
 *     12 pages, 54 links; 1 failure and 2 deaths on the way, 6 lives left; 12 fetches of less than 1 s each
 *
 * It is this program again: main begins with ptq_worker_main.  The connection is pretended; everything else is not.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <ptq/ptq.h>

enum { PAGES = 12 };

static void must(enum ptq_err answer, const char *what)
{
    if (answer == PTQ_OK)
        return;
    fprintf(stderr, "process: %s: %s\n", what, ptq_strerror(answer));
    exit(1);
}

/* -- a resource: opened where it is used, and again after each failure ---------------------------------------- */

static enum ptq_err connect_to(void **ret_connection, void *user, struct ptq_error *error)
{
    (void)error; /* its text would be part of the message, if there were one */
    *ret_connection = user;
    return PTQ_OK;
}

/* -- the process ---------------------------------------------------------------------------------------------- */

struct tally {
    int pages, links;
};
static struct tally tally;

/* In each new process: go on where the one before stood. */
static enum ptq_err start(ptq_self *self, void *user)
{
    size_t size;
    const struct tally *before = ptq_self_restored(self, &size);
    (void)user;
    if (before != NULL && size == sizeof tally)
        tally = *before;
    return PTQ_OK;
}

static enum ptq_err fetch(ptq_self *self, void *user)
{
    static int failed;
    void *connection;
    struct ptq_error error;
    int page = (int)ptq_self_run(self);

    (void)user;
    enum ptq_err answer = ptq_resource_get("server", &connection, &error);
    if (answer != PTQ_OK)
        return ptq_self_fail(self, answer, "%s", error.text);
    if (page == 3 && !failed++)
        return ptq_self_fail(self, PTQ_EUNREACHABLE, "page %d: the server has closed the connection", page);
    if (page == 6 && ptq_self_restarts(self) == 0)
        raise(SIGKILL); /* as the kernel does where memory is short */
    while (page == 9 && ptq_self_restarts(self) == 1)
        ; /* the limit of run ends this */
    tally.pages++;
    tally.links += page % 9 + 1;
    return PTQ_OK;
}

/* What is told and kept counts as done: a death before it makes this run again, one after it does not. */
static enum ptq_err keep(ptq_self *self, void *user)
{
    (void)user;
    enum ptq_err answer = ptq_self_tell(self, &tally.pages, sizeof tally.pages, 1000);
    return answer == PTQ_OK ? ptq_self_checkpoint(self, &tally, sizeof tally) : answer;
}

static enum ptq_err give(ptq_self *self, void *user)
{
    (void)user;
    return ptq_self_give(self, &tally, sizeof tally);
}

/* -- the program ---------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    static char address[] = "server.example:80";
    struct ptq_resource_hooks server = {.open = connect_to};
    struct ptq_process_hooks crawler = {.start = start, .run = fetch, .postrun = keep, .result = give};
    ptq_bus *bus;
    ptq_process *process;

    must(ptq_resource_register("server", &server, address), "register the resource");
    must(ptq_process_register("crawler", &crawler, NULL), "register the process");
    ptq_worker_main(argc, argv); /* does not return in the process */

    must(ptq_bus_open("crawl", NULL, &bus), "open bus");
    struct ptq_error error;
    struct ptq_process_options options = {.runs = PAGES, .lives = 9, .timeout_ms = {[PTQ_SECTION_RUN] = 200}, .grace_ms = 20,
                                          .error = &error};
    if (ptq_process_new(bus, "crawler", &options, &process) != PTQ_OK) {
        fprintf(stderr, "process: %s\n", error.text);
        return 1;
    }
    must(ptq_process_start(process), "start");

    int page, pages = 0;
    size_t size;
    while (ptq_process_listen(process, &page, sizeof page, PTQ_FOREVER, &size) == PTQ_OK)
        pages = page; /* for a progress bar */

    const void *data;
    struct ptq_process_error last;
    enum ptq_err answer = ptq_process_result(process, PTQ_FOREVER, &data, &size);
    ptq_process_error(process, &last);
    if (answer != PTQ_OK) {
        fprintf(stderr, "process: %s\n", last.text);
        return 1;
    }
    const struct tally *all = data;
    struct ptq_process_status status;
    struct ptq_timer fetches;
    must(ptq_process_status(process, &status), "status");
    must(ptq_process_timer(process, PTQ_SECTION_RUN, &fetches), "timer");
    printf("%d pages, %d links; %u failure and %u deaths on the way, %u lives left; %d fetches of less than 1 s each\n", all->pages,
           all->links, 9 - status.lives - status.deaths, status.deaths, status.lives,
           ptq_timer_percentile(&fetches, 99) < 1e9 ? (int)fetches.count : 0);
    int right = all->pages == PAGES && pages == PAGES;
    ptq_process_free(process);
    ptq_bus_close(bus);
    return right ? 0 : 1;
}

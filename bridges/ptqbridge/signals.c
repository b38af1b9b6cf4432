/* signals.c -- a thread that waits for signals, for what the log still has to tell, and for systemd's clock. */
#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"

static struct {
    struct signals_events events;
    pthread_t thread;
    bool started;
    int signal_fd, stop_fd;
    unsigned ends;
} self = {.signal_fd = -1, .stop_fd = -1};

static void fill(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
}

void signals_block(void)
{
    sigset_t set;

    fill(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void heed(const struct signalfd_siginfo *info)
{
    int number = (int)info->ssi_signo;

    if (number == SIGHUP)
        self.events.reload(self.events.context);
    else if (number == SIGUSR1)
        self.events.report(self.events.context);
    else
        self.events.end(self.events.context, number, ++self.ends);
}

static int sooner(int one, int other)
{
    return one < 0 || (other >= 0 && other < one) ? other : one;
}

/* Law: without systemd's watchdog and with nothing folded it sleeps until somebody wants something. */
static void *wait_for_signals(void *unused)
{
    struct pollfd polls[] = {{self.signal_fd, POLLIN, 0}, {log_wake_fd(), POLLIN, 0}, {self.stop_fd, POLLIN, 0}};
    int watchdog_ms = notify_watchdog_ms();
    struct signalfd_siginfo info;
    uint64_t word;
    (void)unused;

    while ((polls[2].revents & POLLIN) == 0) {
        if (watchdog_ms >= 0 && self.events.alive(self.events.context))
            notify("WATCHDOG=1");
        if (poll(polls, 3, sooner(watchdog_ms, log_flush(false))) < 0 && errno != EINTR)
            break;
        if ((polls[1].revents & POLLIN) != 0)
            (void)!read(polls[1].fd, &word, sizeof word);
        if ((polls[0].revents & POLLIN) != 0 && read(polls[0].fd, &info, sizeof info) == sizeof info)
            heed(&info);
    }
    return NULL;
}

bool signals_start(const struct signals_events *events)
{
    sigset_t set;

    fill(&set);
    self.events = *events;
    self.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    self.stop_fd = eventfd(0, EFD_CLOEXEC);
    self.started = self.signal_fd >= 0 && self.stop_fd >= 0 && log_wake_fd() >= 0 &&
                   pthread_create(&self.thread, NULL, wait_for_signals, NULL) == 0;
    return self.started;
}

void signals_stop(void)
{
    if (self.started) {
        eventfd_write(self.stop_fd, 1);
        pthread_join(self.thread, NULL);
    }
    if (self.signal_fd >= 0)
        close(self.signal_fd);
    if (self.stop_fd >= 0)
        close(self.stop_fd);
    self.started = false;
    self.signal_fd = self.stop_fd = -1;
}

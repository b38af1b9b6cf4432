/* restore.c -- the terminal is given back whatever happens.
 *
 * A wish to end (SIGINT, SIGTERM, SIGHUP, SIGQUIT) is noted and the loop leaves.  A crash cannot call curses: it writes the
 * sequences that were fetched before, sets the terminal's modes back, and dies of its signal as it would have.  Who is killed by
 * SIGKILL, as the kernel does where memory is short, can do nothing: a guard, a child that waits for the end of a pipe, does it.
 */
#include "restore.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

static const int wishes[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

enum word { WORD_LEAVES = 'l', WORD_STOPS = 's', WORD_GOES_ON = 'g' };

static struct {
    struct termios modes;
    bool has_modes;
    char sequence[256]; /* end of keypad mode, cursor on, attributes off, the other screen */
    size_t length;
    volatile sig_atomic_t wish;
    struct termios ours; /* while the screen is ours */
    pid_t guard;         /* 0: there is none */
    int guard_fd;        /* what it is told: enum word */
    void (*stop)(int);   /* what SIGTSTP did */
} saved;

static void note_wish(int number)
{
    saved.wish = number;
}

/* The modes first: who sees that the screen is given back may type. */
static void give_back(void)
{
    if (saved.has_modes)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved.modes);
    ssize_t ignored = write(STDOUT_FILENO, saved.sequence, saved.length);
    (void)ignored;
}

static void tell_guard(enum word word)
{
    const char byte = (char)word;

    if (saved.guard == 0)
        return;
    ssize_t ignored = write(saved.guard_fd, &byte, 1);
    (void)ignored;
}

static void dismiss_guard(void)
{
    tell_guard(WORD_LEAVES);
    saved.guard = 0;
}

/* While it is stopped, the terminal is the shell's. */
static void stop(int number)
{
    int error = errno;

    tell_guard(WORD_STOPS);
    saved.stop(number);
    tell_guard(WORD_GOES_ON);
    errno = error;
}

static void crash(int number)
{
    dismiss_guard();
    give_back();
    raise(number); /* SA_RESETHAND: it has its way now */
}

static void set_handlers(const int *numbers, size_t count, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < count; i++)
        sigaction(numbers[i], &action, NULL);
}

void restore_prepare(void)
{
    saved.has_modes = tcgetattr(STDIN_FILENO, &saved.modes) == 0;
}

static void keep_sequence(const char *capability)
{
    const char *text = tigetstr(capability);

    if (text == NULL || text == (const char *)-1 || saved.length + strlen(text) > sizeof saved.sequence)
        return;
    memcpy(saved.sequence + saved.length, text, strlen(text));
    saved.length += strlen(text);
}

void restore_arm(void)
{
    saved.length = 0;
    keep_sequence("sgr0");
    keep_sequence("cnorm");
    keep_sequence("rmkx");
    keep_sequence("rmcup");
    set_handlers(wishes, sizeof wishes / sizeof wishes[0], note_wish, 0);
    set_handlers(crashes, sizeof crashes / sizeof crashes[0], crash, (int)SA_RESETHAND | SA_NODEFER);
}

/* -- the guard ----------------------------------------------------------------------------------------------------- */

/* Are they as we set them?  Not where a shell has set its own already. */
static bool are_ours(const struct termios *modes)
{
    return modes->c_lflag == saved.ours.c_lflag && modes->c_iflag == saved.ours.c_iflag && modes->c_oflag == saved.ours.c_oflag;
}

/* In a group of its own, so that what ends a job of the shell does not end it before us. */
static void guard(int fd)
{
    static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP, SIGTTOU, SIGTTIN, SIGPIPE};
    struct termios now;
    char word = WORD_GOES_ON;
    ssize_t got;

    setpgid(0, 0);
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++)
        signal(crashes[i], SIG_DFL);
    if (fd != 3)
        dup2(fd, 3);
    syscall(SYS_close_range, 4U, ~0U, 0U); /* an older kernel: they are open a while longer */
    while (word != WORD_LEAVES && ((got = read(3, &word, 1)) > 0 || (got < 0 && errno == EINTR)))
        continue;
    saved.has_modes = tcgetattr(STDIN_FILENO, &now) == 0 && are_ours(&now);
    if (word == WORD_GOES_ON)
        give_back();
    _exit(0);
}

/* Without one it goes, too. */
void restore_guard(void)
{
    int ends[2];

    if (!saved.has_modes || tcgetattr(STDIN_FILENO, &saved.ours) != 0 || pipe2(ends, O_CLOEXEC) != 0)
        return;
    pid_t child = fork();
    if (child == 0)
        guard(ends[0]);
    close(ends[0]);
    if (child < 0) {
        close(ends[1]);
        return;
    }
    saved.guard = child;
    saved.guard_fd = ends[1];
    struct sigaction old, action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGTSTP, NULL, &old) == 0 && old.sa_handler != SIG_IGN && old.sa_handler != SIG_DFL) {
        saved.stop = old.sa_handler;
        sigaction(SIGTSTP, &action, NULL);
    }
}

static void end_guard(void)
{
    pid_t child = saved.guard;

    if (child == 0)
        return;
    dismiss_guard();
    close(saved.guard_fd);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
}

void restore_disarm(void)
{
    end_guard();
    set_handlers(wishes, sizeof wishes / sizeof wishes[0], SIG_DFL, 0);
    set_handlers(crashes, sizeof crashes / sizeof crashes[0], SIG_DFL, 0);
    if (saved.wish != 0)
        raise(saved.wish);
}

bool restore_wanted(void)
{
    return saved.wish != 0;
}

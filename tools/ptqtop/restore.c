/* restore.c -- the terminal is given back whatever happens.
 *
 * A wish to end (SIGINT, SIGTERM, SIGHUP, SIGQUIT) is noted and the loop leaves.  A crash cannot call curses: it writes the
 * sequences that were fetched before, sets the terminal's modes back, and dies of its signal as it would have.
 */
#include "restore.h"

#include <curses.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

static const int wishes[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static struct {
    struct termios modes;
    bool has_modes;
    char sequence[256]; /* end of keypad mode, cursor on, attributes off, the other screen */
    size_t length;
    volatile sig_atomic_t wish;
} saved;

static void note_wish(int number)
{
    saved.wish = number;
}

static void crash(int number)
{
    ssize_t ignored = write(STDOUT_FILENO, saved.sequence, saved.length);
    (void)ignored;
    if (saved.has_modes)
        tcsetattr(STDIN_FILENO, TCSANOW, &saved.modes);
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

void restore_disarm(void)
{
    set_handlers(wishes, sizeof wishes / sizeof wishes[0], SIG_DFL, 0);
    set_handlers(crashes, sizeof crashes / sizeof crashes[0], SIG_DFL, 0);
    if (saved.wish != 0)
        raise(saved.wish);
}

bool restore_wanted(void)
{
    return saved.wish != 0;
}

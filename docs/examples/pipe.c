/* pipe.c -- a pipe between a program and its child: words go there, their lengths come back, and the end of one is told to the other.
 *
 *     ./pipe
 *     5 words, 27 letters; then the child closed its end
 *
 * The child is this program again, started with the point of the pipe as its argument.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/ptq.h>

static void must(enum ptq_err answer, const char *what)
{
    if (answer == PTQ_OK)
        return;
    fprintf(stderr, "pipe: %s: %s\n", what, ptq_strerror(answer));
    exit(1);
}

static ptq_bus *open_bus(void)
{
    ptq_bus *bus;
    must(ptq_bus_open("pipe-example", NULL, &bus), "cannot open the bus");
    return bus;
}

/* The child: until the other end says that nothing more will come. */
static int measure(const char *ref)
{
    ptq_bus *bus = open_bus();
    ptq_pipe *point;
    char word[64];
    size_t size;
    enum ptq_err answer;

    must(ptq_pipe_open(bus, ref, NULL, &point), "cannot open the point");
    while ((answer = ptq_pipe_recv(point, word, sizeof word, PTQ_FOREVER, &size)) == PTQ_OK)
        must(ptq_pipe_send(point, &size, sizeof size, PTQ_FOREVER), "cannot answer");
    ptq_pipe_close(point);
    ptq_bus_close(bus);
    return answer == PTQ_END ? 0 : 1; /* PTQ_EDIED: our parent was killed */
}

static pid_t start(const char *program, const char *ref)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", program, ref, (char *)NULL);
        _exit(127);
    }
    return pid;
}

int main(int argc, char **argv)
{
    static const char *const words[] = {"a", "pipe", "between", "two", "ends-of-ours"};
    size_t letters = 0, length, size;
    unsigned count = 0;
    char ref[PTQ_REF_SIZE];
    ptq_pipe *anchor, *point;

    if (argc > 1)
        return measure(argv[1]);
    ptq_bus *bus = open_bus();
    must(ptq_pipe_pair(bus, NULL, &anchor, &point), "cannot make a pipe");
    must(ptq_pipe_give(point, ref, sizeof ref), "cannot give its point away");
    pid_t child = start(argv[0], ref);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        must(ptq_pipe_send(anchor, words[i], strlen(words[i]), PTQ_FOREVER), "cannot send");
    must(ptq_pipe_end(anchor), "cannot end");
    enum ptq_err answer;
    while ((answer = ptq_pipe_recv(anchor, &length, sizeof length, 10000, &size)) == PTQ_OK) {
        letters += length;
        count++;
    }
    printf("%u words, %zu letters; then %s\n", count, letters,
           answer == PTQ_END ? "the child closed its end" : answer == PTQ_EDIED ? "the child died" : ptq_strerror(answer));
    ptq_pipe_close(anchor);
    ptq_bus_close(bus);
    return waitpid(child, NULL, 0) == child ? 0 : 1;
}

/* quiet.c -- a program that only uses local queues: `quiet get` sleeps for a message and answers it, `quiet put` sends one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/ptq.h>

static void must(enum ptq_err answer, const char *what)
{
    if (answer == PTQ_OK)
        return;
    fprintf(stderr, "quiet: %s: %s\n", what, ptq_strerror(answer));
    exit(1);
}

int main(int count, char **arguments)
{
    ptq_bus *bus;
    ptq_queue *there, *back;
    ptq_msg *msg;
    char text[16];
    size_t size;

    if (count != 2)
        return 2;
    must(ptq_bus_open("quiet", NULL, &bus), "open bus");
    must(ptq_queue_open(bus, "there", NULL, &there), "open there");
    must(ptq_queue_open(bus, "back", NULL, &back), "open back");
    if (strcmp(arguments[1], "get") == 0) {
        must(ptq_get(there, PTQ_FOREVER, &msg), "get");
        must(ptq_put(back, ptq_msg_data(msg), ptq_msg_size(msg), PTQ_NOWAIT), "put back");
        must(ptq_ack(msg), "ack");
    } else {
        must(ptq_put(there, "quietly", 7, PTQ_NOWAIT), "put");
        must(ptq_recv(back, text, sizeof text, 20000, &size), "recv");
        must(size == 7 && memcmp(text, "quietly", 7) == 0 ? PTQ_OK : PTQ_ECORRUPT, "compare");
    }
    ptq_queue_close(there);
    ptq_queue_close(back);
    ptq_bus_close(bus);
    return 0;
}

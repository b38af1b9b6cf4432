/* client.c -- a far process that tests kill or stop: it says on standard output what it did, a line each.
 *
 *      client PTQ_DIR PEERS QUEUE hold N     takes N messages, says "held POSITION" for each, then waits for a line on
 *                                            standard input, acks them all and says "ack NAME-OF-ANSWER" for each
 *      client PTQ_DIR PEERS QUEUE put        puts 1, 2, 3, ... for ever; says "put N" after each that returned PTQ_OK
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ptq/ptq.h>

static ptq_bus *bus;

static ptq_queue *open_queue(char **words)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = words[1], .peers = words[2], .error = &error};
    ptq_queue *queue;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK ||
        ptq_queue_open(bus, words[3], &(struct ptq_queue_options){.error = &error}, &queue) != PTQ_OK) {
        printf("failed %s\n", error.text);
        exit(1);
    }
    return queue;
}

static int hold(ptq_queue *queue, size_t count)
{
    ptq_msg *msgs[64];
    char line[16];

    for (size_t i = 0; i < count && i < 64; i++) {
        if (ptq_get(queue, 20000, &msgs[i]) != PTQ_OK)
            return 1;
        printf("held %llu\n", (unsigned long long)ptq_msg_position(msgs[i]));
    }
    if (fgets(line, sizeof line, stdin) == NULL)
        return 0;
    for (size_t i = 0; i < count && i < 64; i++)
        printf("ack %s\n", ptq_err_name(ptq_ack(msgs[i])));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static int put_for_ever(ptq_queue *queue)
{
    for (uint64_t number = 1;; number++) {
        if (ptq_put(queue, &number, sizeof number, 20000) != PTQ_OK)
            return 1;
        printf("put %llu\n", (unsigned long long)number);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 5)
        return 2;
    ptq_queue *queue = open_queue(argv);
    return strcmp(argv[4], "hold") == 0 ? hold(queue, (size_t)atoi(argv[5])) : put_for_ever(queue);
}

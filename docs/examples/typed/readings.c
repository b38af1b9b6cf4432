/* readings.c -- protobuf-c messages through a queue: packed straight into shared memory, their type checked.
 *
 * A child process measures, the parent sums up.  Prints
 *
 *     1000 readings of boiler, mean 62.45
 */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/pb.h>
#include <ptq/ptq.h>

#include "reading.pb-c.h"

enum { READINGS = 1000 };

static int fail(const char *what, enum ptq_err err)
{
    fprintf(stderr, "readings: %s: %s\n", what, ptq_strerror(err));
    return 1;
}

/* In a process of its own, with its own handles. */
static int measure(void)
{
    ptq_bus *bus;
    ptq_queue *queue;
    enum ptq_err err = ptq_bus_open("readings", NULL, &bus);

    if (err != PTQ_OK)
        return fail("bus", err);
    err = ptq_queue_open(bus, "boiler", NULL, &queue);
    if (err != PTQ_OK)
        return fail("queue", err);
    for (int i = 0; i < READINGS && err == PTQ_OK; i++) {
        int32_t raw[2] = {500 + i % 251, i};
        Example__Reading reading = EXAMPLE__READING__INIT;
        reading.sensor = (char[]){"boiler"};
        reading.celsius = raw[0] / 10.0;
        reading.raw = raw;
        reading.n_raw = 2;
        err = ptq_put_pb(queue, &reading.base, PTQ_FOREVER);
    }
    if (err == PTQ_OK)
        err = ptq_end(queue);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return err == PTQ_OK ? 0 : fail("put", err);
}

static int sum_up(ptq_queue *queue)
{
    double sum = 0;
    int count = 0;
    char sensor[32] = "";
    enum ptq_err err;

    for (;;) {
        ProtobufCMessage *message;
        ptq_msg *msg;
        err = ptq_get_pb(queue, &example__reading__descriptor, PTQ_FOREVER, NULL, &msg, &message);
        if (err != PTQ_OK)
            break;
        const Example__Reading *reading = (const Example__Reading *)message;
        snprintf(sensor, sizeof sensor, "%s", reading->sensor);
        sum += reading->celsius;
        count++;
        ptq_pb_free(message);
        ptq_ack(msg); /* only now: what dies before comes again */
    }
    if (err != PTQ_END)
        return fail("get", err);
    printf("%d readings of %s, mean %.2f\n", count, sensor, sum / count);
    return 0;
}

int main(void)
{
    ptq_bus *bus;
    ptq_queue *queue;
    int status = 1, code;
    pid_t child = fork();

    if (child == 0)
        _exit(measure());
    enum ptq_err err = ptq_bus_open("readings", NULL, &bus);
    if (err != PTQ_OK)
        return fail("bus", err);
    err = ptq_queue_open(bus, "boiler", NULL, &queue);
    if (err != PTQ_OK)
        return fail("queue", err);
    code = sum_up(queue);
    if (waitpid(child, &status, 0) != child || status != 0)
        code = 1;
    ptq_queue_close(queue);
    if (ptq_queue_unlink(bus, "boiler", true) != PTQ_OK)
        code = 1;
    ptq_bus_close(bus);
    return code;
}

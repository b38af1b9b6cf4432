/* given.h -- what pieces of C on the pages may use without saying where it comes from. */
#ifndef GIVEN_H
#define GIVEN_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ptq/log.h>
#include <ptq/map.h>
#include <ptq/pipe.h>
#include <ptq/pipeline.h>
#include <ptq/pool.h>
#include <ptq/process.h>
#include <ptq/ptq.h>
#include <ptq/share.h>
#include <ptq/worker.h>

extern int argc;
extern char **argv;
extern ptq_bus *bus;
extern ptq_queue *queue, *tasks, *results;
extern ptq_msg *msg;
extern enum ptq_err err;
extern const void *data;
extern size_t size;
extern char buffer[4096];

#endif

/* fork.c -- a process-wide list of descriptors that a forked child closes at once.
 *
 * Law: the mutex is held across fork, so the child finds the list whole and as the parent's table of descriptors was.
 * It is recursive, and a recursive mutex of glibc knows its owner by thread id: the child sets it up anew.
 */
#include "base/fork.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"

/* The file is remembered too: after closefrom() the number may stand for another. */
struct listed {
    int fd;
    dev_t dev;
    ino_t ino;
};

static pthread_mutex_t mutex;
static struct listed *list;
static size_t count, room;
static int start_error;
static _Atomic uint32_t generation;

static void init_mutex(void)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

void pti_fork_block(void)
{
    pthread_mutex_lock(&mutex);
}

void pti_fork_allow(void)
{
    pthread_mutex_unlock(&mutex);
}

static void start_child(void)
{
#ifdef __SANITIZE_THREAD__
    (void)!pthread_mutex_unlock(&mutex); /* refused, as the parent's; but ThreadSanitizer now knows it as free */
#endif
    init_mutex();
    for (size_t i = 0; i < count; i++) {
        struct stat status;
        if (fstat(list[i].fd, &status) == 0 && status.st_dev == list[i].dev && status.st_ino == list[i].ino)
            close(list[i].fd);
    }
    count = 0;
    pti_store_relaxed(&generation, pti_load_relaxed(&generation) + 1); /* the child has one thread */
}

/* The library is never unloaded (nodelete), so the handlers stay valid. */
__attribute__((constructor)) static void start_process(void)
{
    init_mutex();
    start_error = pthread_atfork(pti_fork_block, pti_fork_allow, start_child);
}

uint32_t pti_fork_generation(void)
{
    return pti_load_relaxed(&generation); /* changes only where there is one thread */
}

static int make_room(void)
{
    if (count < room)
        return 0;
    size_t more = room == 0 ? 16 : room * 2;
    struct listed *grown = realloc(list, more * sizeof *grown);
    if (grown == NULL)
        return ENOMEM;
    list = grown;
    room = more;
    return 0;
}

int pti_fork_close_fd_add(int fd)
{
    struct stat status;

    if (start_error != 0)
        return start_error;
    if (fstat(fd, &status) != 0)
        return errno;
    pti_fork_block();
    int error = make_room();
    if (error == 0)
        list[count++] = (struct listed){.fd = fd, .dev = status.st_dev, .ino = status.st_ino};
    pti_fork_allow();
    return error;
}

void pti_fork_close_fd_remove(int fd)
{
    pti_fork_block();
    for (size_t i = 0; i < count; i++) {
        if (list[i].fd == fd) {
            list[i] = list[--count];
            break;
        }
    }
    pti_fork_allow();
}

void pti_fork_close(int fd)
{
    if (fd < 0)
        return;
    pti_fork_block();
    pti_fork_close_fd_remove(fd);
    close(fd);
    pti_fork_allow();
}

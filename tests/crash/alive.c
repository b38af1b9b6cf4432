/* alive.c -- an image in which somebody lives. */
#include "crash/alive.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "os/life.h"

#define END (PTI_LIFE_BASE + PTI_LIFE_BYTES)

void alive_look(struct alive *alive, const struct scene *scene)
{
    char path[128];

    *alive = (struct alive){.fd = -1};
    snprintf(path, sizeof path, "%s/test/" SCENE_QUEUE "~v%d", scene->scratch.dir, PTQ_LAYOUT_VERSION);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (int64_t from = PTI_LIFE_BASE; from < END;) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = from, .l_len = END - from};
        assert_int_equal(fcntl(fd, F_OFD_GETLK, &lock), 0); /* the first one of somebody else */
        if (lock.l_type == F_UNLCK)
            break;
        assert_true(alive->count < ALIVE_MOST);
        lock.l_pid = 0;
        alive->locks[alive->count++] = lock;
        from = lock.l_start + lock.l_len;
    }
    close(fd);
}

void alive_raise(struct alive *alive, const struct scene *scene)
{
    alive->fd = open(scene->image_path, O_RDWR | O_CLOEXEC);
    assert_true(alive->fd >= 0);
    for (size_t i = 0; i < alive->count; i++)
        assert_int_equal(fcntl(alive->fd, F_OFD_SETLK, &alive->locks[i]), 0);
}

void alive_kill(struct alive *alive)
{
    close(alive->fd);
    alive->fd = -1;
}

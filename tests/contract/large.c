/* large.c -- what the groups of large messages share. */
#include "contract/large.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

ptq_queue *large_open(struct contract *c, const char *name, uint64_t capacity)
{
    return contract_open_sized(c, name, capacity, LARGEST);
}

void large_look_at_sides(struct contract *c, const char *queue, struct sides *sides)
{
    char path[300], prefix[160];
    struct dirent *entry;
    struct stat status;

    snprintf(path, sizeof path, "%s/test", c->home.dir);
    snprintf(prefix, sizeof prefix, "%s~L", queue);
    memset(sides, 0, sizeof *sides);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        sides->count++;
        snprintf(sides->path, sizeof sides->path, "%s/%.250s", path, entry->d_name);
        if (lstat(sides->path, &status) == 0)
            sides->bytes += (uint64_t)status.st_blocks * 512;
    }
    closedir(dir);
}

void large_assert_sides(struct contract *c, const char *queue, unsigned count)
{
    struct sides sides;

    large_look_at_sides(c, queue, &sides);
    assert_int_equal(sides.count, count);
}

void large_put(ptq_queue *queue, size_t size, uint64_t seed)
{
    void *bytes = malloc(size + 1);

    contract_fill(bytes, size, seed);
    assert_ok(ptq_put(queue, bytes, size, PTT_LONG));
    free(bytes);
}

void large_assert_is(const ptq_msg *msg, size_t size, uint64_t seed)
{
    assert_int_equal(ptq_msg_size(msg), size);
    assert_true(contract_is_filled(ptq_msg_data(msg), size, seed));
}

void large_get(ptq_queue *queue, size_t size, uint64_t seed)
{
    ptq_msg *msg;

    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    large_assert_is(msg, size, seed);
    assert_ok(ptq_ack(msg));
}

/* memory_space.c -- a file system of 1 MiB, or 64: PTQ_ENOSPC with mount, need and free space; never SIGBUS; later it works again.
 *
 * The file system is a tmpfs in a mount namespace of a child's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "contract/contract.h"

enum { OK = 0, NO_NAMESPACE = 77 };

struct room {
    struct ptt_page *page;
    char text[500];
    char dir[64];
};

/* words: what failed, and its answer, for the parent to tell. */
static int wrong(struct room *room, uint64_t where, enum ptq_err err)
{
    room->page->words[0] = where;
    room->page->words[1] = (uint64_t)err;
    return 1;
}

static bool mount_sized(const char *dir, const char *how)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", dir, "tmpfs", 0, how) == 0;
}
static bool mount_small(const char *dir) { return mount_sized(dir, "size=1m,mode=0700"); }

static int fill_file_system(const char *dir, size_t leave)
{
    char path[128];
    static char bytes[4096];

    snprintf(path, sizeof path, "%s/ballast", dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    size_t written = 0;
    for (ssize_t got; (got = write(fd, bytes, sizeof bytes)) > 0;)
        written += (size_t)got;
    if (ftruncate(fd, (off_t)(written > leave ? written - leave : 0)) != 0)
        return -1;
    return close(fd);
}

static int put_until_no_space(struct room *room, ptq_queue *queue, uint64_t *ret_count)
{
    static char bytes[60000];
    uint64_t count = 0;
    enum ptq_err err;

    for (;; count++) {
        contract_fill(bytes, sizeof bytes, count);
        err = ptq_put(queue, bytes, sizeof bytes, PTQ_NOWAIT);
        if (err != PTQ_OK)
            break;
        if (count > 1000)
            return wrong(room, 10, err);
    }
    *ret_count = count;
    if (err != PTQ_ENOSPC)
        return wrong(room, 11, err);
    ptq_queue_explain(queue, err, sizeof bytes, (char *)(room->page->words + 16), 500);
    err = ptq_put(queue, bytes, sizeof bytes, 20); /* waiting does not help, and it says so at once or later */
    return err == PTQ_ENOSPC ? 0 : wrong(room, 12, err);
}

static int drain(struct room *room, ptq_queue *queue, uint64_t count)
{
    static char bytes[60000];
    size_t size = 0;

    for (uint64_t i = 0; i < count; i++) {
        enum ptq_err err = ptq_recv(queue, bytes, sizeof bytes, PTQ_NOWAIT, &size);
        if (err != PTQ_OK)
            return wrong(room, 20 + i, err);
        if (size != sizeof bytes || !contract_is_filled(bytes, size, i))
            return wrong(room, 1000 + i, PTQ_OK);
    }
    return 0;
}

static int fill_1_mib(void *context)
{
    struct room *room = context;
    struct ptq_bus_options options = {.dir = room->dir};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    uint64_t count = 0, again = 0;
    enum ptq_err err;

    if (!mount_small(room->dir))
        return NO_NAMESPACE;
    if ((err = ptq_bus_open("test", &options, &bus)) != PTQ_OK)
        return wrong(room, 1, err);
    err = ptq_queue_open(bus, "tasks", &(struct ptq_queue_options){.capacity = 100, .item_size = 60000}, &queue);
    if (err != PTQ_OK)
        return wrong(room, 2, err);
    if (put_until_no_space(room, queue, &count) != 0 || drain(room, queue, count) != 0)
        return 1;
    room->page->words[2] = count;
    if (put_until_no_space(room, queue, &again) != 0 || drain(room, queue, again) != 0)
        return 1;
    if (again < count)
        return wrong(room, 3, PTQ_OK); /* what it had once it keeps */
    ptq_queue_close(queue);
    if ((err = ptq_queue_unlink(bus, "tasks", false)) != PTQ_OK)
        return wrong(room, 4, err);
    ptq_bus_close(bus);
    return OK;
}

static void run_in_namespace(struct room *room, int (*work)(void *))
{
    snprintf(room->dir, sizeof room->dir, "/dev/shm/ptq-test.XXXXXX");
    assert_non_null(mkdtemp(room->dir));
    room->page = ptt_page_new();
    pid_t child = ptt_fork(work, room);
    int status = ptt_reap(child, 2 * PTT_LONG);
    rmdir(room->dir);
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == NO_NAMESPACE) {
        print_message("skipped: a mount namespace of one's own is not permitted here\n");
        ptt_page_free(room->page);
        skip();
    }
    if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("status %#x at place %llu: %s", (unsigned)status, (unsigned long long)room->page->words[0],
                 ptq_err_name((enum ptq_err)room->page->words[1]));
}

static void a_full_file_system_is_enospc_and_says_mount_need_and_free(void **state)
{
    struct room room = {0};

    (void)state;
    run_in_namespace(&room, fill_1_mib);

    const char *text = (const char *)(room.page->words + 16);
    assert_true(room.page->words[2] >= 8); /* 1 MiB holds that many */
    if (strstr(text, room.dir) == NULL || strstr(text, "tasks") == NULL || strstr(text, "free") == NULL)
        fail_msg("'%s' does not name tasks, %s and the free space", text, room.dir);
    ptt_page_free(room.page);
}

/* Puts run dry, another frees the space, puts go on: by the same handle. */
static int free_later(void *context)
{
    struct room *room = context;
    struct ptq_bus_options options = {.dir = room->dir};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    uint64_t count = 0;
    static char bytes[60000];
    char path[128];

    if (!mount_small(room->dir))
        return NO_NAMESPACE;
    enum ptq_err err = ptq_bus_open("test", &options, &bus);
    if (err == PTQ_OK)
        err = ptq_queue_open(bus, "tasks", &(struct ptq_queue_options){.capacity = 100, .item_size = 60000}, &queue);
    if (err != PTQ_OK)
        return wrong(room, 1, err);
    if (fill_file_system(room->dir, 0) != 0)
        return wrong(room, 2, PTQ_OK);
    if (put_until_no_space(room, queue, &count) != 0)
        return 1;
    struct ptq_bytes items[3] = {{bytes, sizeof bytes}, {bytes, sizeof bytes}, {bytes, sizeof bytes}};
    err = ptq_put_many(queue, items, 3, PTQ_NOWAIT, NULL);
    if (err != PTQ_ENOSPC)
        return wrong(room, 3, err);
    snprintf(path, sizeof path, "%s/ballast", room->dir);
    unlink(path);
    contract_fill(bytes, sizeof bytes, count);
    if ((err = ptq_put(queue, bytes, sizeof bytes, PTQ_NOWAIT)) != PTQ_OK)
        return wrong(room, 4, err);
    if (drain(room, queue, count + 1) != 0)
        return 1;
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return OK;
}

static void puts_go_on_when_space_is_free_again(void **state)
{
    struct room room = {0};

    (void)state;
    run_in_namespace(&room, free_later);
    ptt_page_free(room.page);
}

static int create_on_full(void *context)
{
    struct room *room = context;
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = room->dir};
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    char path[128];

    if (!mount_small(room->dir))
        return NO_NAMESPACE;
    enum ptq_err err = ptq_bus_open("test", &options, &bus);
    if (err != PTQ_OK)
        return wrong(room, 1, err);
    struct ptq_queue_options asked = {.capacity = 1000, .item_size = 4096, .prefault = true, .error = &error};
    if ((err = ptq_queue_open(bus, "big", &asked, &queue)) != PTQ_ENOSPC) /* 4 MiB at once into 1 MiB */
        return wrong(room, 2, err);
    memcpy((char *)(room->page->words + 16), error.text, 400);
    if (fill_file_system(room->dir, 0) != 0)
        return wrong(room, 3, PTQ_OK);
    asked.prefault = false;
    if ((err = ptq_queue_open(bus, "big", &asked, &queue)) != PTQ_ENOSPC)
        return wrong(room, 4, err);
    snprintf(path, sizeof path, "%s/ballast", room->dir);
    unlink(path);
    if ((err = ptq_queue_open(bus, "big", &asked, &queue)) != PTQ_OK)
        return wrong(room, 5, err);
    if ((err = ptq_put(queue, "x", 1, PTQ_NOWAIT)) != PTQ_OK)
        return wrong(room, 6, err);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return OK;
}

static void creating_on_a_full_file_system_is_enospc_and_leaves_nothing(void **state)
{
    struct room room = {0};

    (void)state;
    run_in_namespace(&room, create_on_full);
    const char *text = (const char *)(room.page->words + 16);
    if (strstr(text, "big") == NULL || strstr(text, room.dir) == NULL)
        fail_msg("'%s' does not name big and %s", text, room.dir);
    ptt_page_free(room.page);
}

/* ---- large messages in 64 MiB */

#define MIB ((size_t)1 << 20)

/* So many of `size` fit; the next one is PTQ_ENOSPC, and says why. */
static int fill_with(struct room *room, ptq_queue *queue, void *bytes, size_t size, uint64_t *ret_count)
{
    enum ptq_err err = PTQ_OK;

    for (*ret_count = 0; *ret_count < 1000; ++*ret_count) {
        contract_fill(bytes, size, *ret_count);
        err = ptq_put(queue, bytes, size, PTQ_NOWAIT);
        if (err != PTQ_OK)
            break;
    }
    if (err != PTQ_ENOSPC)
        return wrong(room, 30, err);
    ptq_queue_explain(queue, err, size, (char *)(room->page->words + 16), 500);
    return 0;
}

static int empty_of(struct room *room, ptq_queue *queue, size_t size, uint64_t count)
{
    ptq_msg *msg;

    for (uint64_t i = 0; i < count; i++) {
        enum ptq_err err = ptq_get(queue, PTQ_NOWAIT, &msg);
        if (err != PTQ_OK)
            return wrong(room, 40, err);
        if (ptq_msg_size(msg) != size || !contract_is_filled(ptq_msg_data(msg), size, i))
            return wrong(room, 41, PTQ_OK);
        if ((err = ptq_ack(msg)) != PTQ_OK)
            return wrong(room, 42, err);
    }
    return 0;
}

static int fill_64_mib(void *context)
{
    struct room *room = context;
    struct ptq_bus_options options = {.dir = room->dir};
    unsigned char *bytes = malloc(60 * MIB);
    ptq_bus *bus = NULL;
    ptq_queue *queue = NULL;
    ptq_msg *loan;
    uint64_t count = 0;
    enum ptq_err err;

    if (!mount_sized(room->dir, "size=64m,mode=0700"))
        return NO_NAMESPACE;
    err = ptq_bus_open("test", &options, &bus);
    if (err == PTQ_OK)
        err = ptq_queue_open(bus, "tasks", &(struct ptq_queue_options){.capacity = 100, .item_size = 60 * MIB}, &queue);
    if (err != PTQ_OK)
        return wrong(room, 1, err);
    for (int round = 0; round < 3; round++) { /* files that lie idle give their memory to others */
        if (fill_with(room, queue, bytes, 7 * MIB, &count) != 0)
            return 1;
        if (count != 9 && count != 8)
            return wrong(room, 2, (enum ptq_err)count);
        if (round == 0) {
            struct ptq_bytes items[2] = {{bytes, 10}, {bytes, 7 * MIB}};
            if ((err = ptq_put_many(queue, items, 2, PTQ_NOWAIT, NULL)) != PTQ_ENOSPC)
                return wrong(room, 3, err);
            if ((err = ptq_loan(queue, 7 * MIB, PTQ_NOWAIT, &loan)) != PTQ_ENOSPC)
                return wrong(room, 4, err);
        }
        if (empty_of(room, queue, 7 * MIB, count) != 0)
            return 1;
        contract_fill(bytes, 59 * MIB, 0);
        if ((err = ptq_put(queue, bytes, 59 * MIB, PTQ_NOWAIT)) != PTQ_OK)
            return wrong(room, 5, err);
        if (empty_of(room, queue, 59 * MIB, 1) != 0)
            return 1;
    }
    if (fill_file_system(room->dir, 0) != 0)
        return wrong(room, 6, PTQ_OK);
    contract_fill(bytes, 59 * MIB, 0);
    if ((err = ptq_put(queue, bytes, 59 * MIB, PTQ_NOWAIT)) != PTQ_OK) /* has its memory already */
        return wrong(room, 7, err);
    if (empty_of(room, queue, 59 * MIB, 1) != 0)
        return 1;
    ptq_queue_close(queue);
    if ((err = ptq_queue_unlink(bus, "tasks", false)) != PTQ_OK)
        return wrong(room, 8, err);
    ptq_bus_close(bus);
    free(bytes);
    return OK;
}

static void large_messages_on_a_full_file_system_are_enospc_and_idle_files_give_way(void **state)
{
    struct room room = {0};

    (void)state;
    run_in_namespace(&room, fill_64_mib);
    const char *text = (const char *)(room.page->words + 16);
    if (strstr(text, room.dir) == NULL || strstr(text, "7340032") == NULL || strstr(text, "free") == NULL)
        fail_msg("'%s' does not name the need, %s and the free space", text, room.dir);
    ptt_page_free(room.page);
}

static const struct contract_case space_cases[] = {
    CONTRACT_CASE(a_full_file_system_is_enospc_and_says_mount_need_and_free),
    CONTRACT_CASE(puts_go_on_when_space_is_free_again),
    CONTRACT_CASE(large_messages_on_a_full_file_system_are_enospc_and_idle_files_give_way),
    CONTRACT_CASE(creating_on_a_full_file_system_is_enospc_and_leaves_nothing),
};
CONTRACT_GROUP(space);

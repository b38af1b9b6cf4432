/* test_ref.c -- S13: a handle means its queue, whatever the bus directory is called where it is read, and in whichever run. */
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <ptq/ptq.h>

#include "support/ptt.h"

struct elsewhere {
    struct ptt_scratch here, there; /* two directories; in the child `there` shows what is in `here` */
    char ref[PTQ_REF_SIZE];
};

enum { NOT_PERMITTED = 77 };

static int put_from_elsewhere(void *context)
{
    const struct elsewhere *e = context;
    struct ptq_bus_options options = {.dir = e->there.dir, .node = "container"};
    ptq_queue *queue = NULL;
    ptq_bus *bus = NULL;

    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount(e->here.dir, e->there.dir, NULL, MS_BIND, NULL) != 0)
        return NOT_PERMITTED;
    if (mount("tmpfs", e->here.dir, "tmpfs", 0, NULL) != 0) /* the old path leads nowhere now */
        return NOT_PERMITTED;
    if (ptq_bus_open("other", &options, &bus) != PTQ_OK) /* and another run is open */
        return 1;
    if (ptq_queue_from_ref(bus, e->ref, NULL, &queue) != PTQ_OK)
        return 2;
    if (ptq_put(queue, "from elsewhere", 14, PTT_LONG) != PTQ_OK)
        return 3;
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    return 0;
}

static void a_handle_is_good_where_its_directory_is_mounted_under_another_name(void **state)
{
    struct elsewhere e = {0};
    ptq_queue *queue = NULL;
    char bytes[32];
    size_t size = 0;
    (void)state;

    ptt_scratch_init(&e.here);
    ptt_scratch_init_dir(&e.there);
    assert_ok(ptq_queue_open(e.here.bus, "tasks", NULL, &queue));
    assert_ok(ptq_queue_ref(queue, e.ref, sizeof e.ref));
    int status = ptt_reap(ptt_fork(put_from_elsewhere, &e), PTT_LONG);
    bool is_skipped = status == NOT_PERMITTED << 8;

    if (!is_skipped) {
        assert_int_equal(status, 0);
        assert_ok(ptq_recv(queue, bytes, sizeof bytes, PTT_LONG, &size));
        assert_memory_equal(bytes, "from elsewhere", 14);
    }
    ptq_queue_close(queue);
    ptt_scratch_fini(&e.there);
    ptt_scratch_fini(&e.here);
    if (is_skipped)
        skip(); /* no right to mount */
}

static void a_run_that_is_not_there_is_not_made_by_a_handle(void **state)
{
    struct ptt_scratch scratch = {0};
    struct ptq_bus_options options = {.dir = scratch.dir};
    ptq_queue *queue = NULL, *other = NULL;
    ptq_bus *bus = NULL;
    char ref[PTQ_REF_SIZE], copy[PTQ_REF_SIZE + 8];
    (void)state;

    ptt_scratch_init(&scratch);
    assert_ok(ptq_queue_open(scratch.bus, "tasks", NULL, &queue));
    assert_ok(ptq_queue_ref(queue, ref, sizeof ref));
    assert_memory_equal(ref, "ptq:///test/", 12);
    strcpy(copy, "ptq:///nowhere/");
    strcat(copy, ref + 12);

    assert_answer(PTQ_ENOENT, ptq_queue_from_ref(scratch.bus, copy, NULL, &other));
    assert_ok(ptq_bus_open("another", &options, &bus)); /* of the same directory */
    assert_ok(ptq_queue_from_ref(bus, ref, NULL, &other));
    ptq_bus_close(bus);
    assert_ok(ptq_put(other, "x", 1, PTQ_NOWAIT));
    ptq_queue_close(other);
    strcpy(copy, scratch.dir);
    strcat(copy, "/nowhere");
    assert_int_equal(access(copy, F_OK), -1);
    ptq_queue_close(queue);
    ptt_scratch_fini(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_is_good_where_its_directory_is_mounted_under_another_name),
        cmocka_unit_test(a_run_that_is_not_there_is_not_made_by_a_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

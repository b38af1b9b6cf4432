/* test_layouts.c -- queues of another memory layout: recognised, named, refused, removed on request, never misread.
 *
 * fixtures/layout1.gz is a queue of layout 1, as ptq made it before its first release, with the messages one, two, three.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>
#include <ptq/version.h>

#include "bus/bus.h"
#include "os/life.h"
#include "support/ptt.h"

static ptq_bus *bus_of(void **state) { return ((struct ptt_scratch *)*state)->bus; }

/* Unpacks the fixture as `file`. */
static void leave_layout1(ptq_bus *bus, const char *file)
{
    char command[1200], buffer[65536];
    int fd = openat(bus->dirfd, file, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    FILE *pipe;
    size_t count;

    assert_true(fd >= 0);
    snprintf(command, sizeof command, "gzip -dc '%s/layout1.gz'", FIXTURES);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    while ((count = fread(buffer, 1, sizeof buffer, pipe)) > 0)
        assert_int_equal(write(fd, buffer, count), (ssize_t)count);
    assert_int_equal(pclose(pipe), 0);
    close(fd);
}

static uint64_t sum_of(ptq_bus *bus, const char *file)
{
    unsigned char buffer[4096];
    uint64_t sum = 1469598103934665603u;
    int fd = openat(bus->dirfd, file, O_RDONLY | O_CLOEXEC);
    ssize_t count;

    assert_true(fd >= 0);
    while ((count = read(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t i = 0; i < count; i++)
            sum = (sum ^ buffer[i]) * 1099511628211u;
    close(fd);
    return sum;
}

static bool has_file(ptq_bus *bus, const char *file)
{
    return faccessat(bus->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void an_earlier_layout_is_refused_with_its_number_and_left_as_it_is(void **state)
{
    static const enum ptq_open_mode modes[] = {PTQ_OPEN_OR_CREATE, PTQ_ATTACH, PTQ_CREATE};
    ptq_bus *bus = bus_of(state);
    struct ptq_error error = {0};
    ptq_view *view;
    uint64_t before;

    leave_layout1(bus, "old~v1");
    before = sum_of(bus, "old~v1");

    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct ptq_queue_options options = {.mode = modes[i], .error = &error};
        ptq_queue *queue;

        assert_answer(PTQ_EVERSION, ptq_queue_open(bus, "old", &options, &queue));
        assert_non_null(strstr(error.text, "layout 1"));
        assert_non_null(strstr(error.text, "old~v1"));
    }
    assert_answer(PTQ_EVERSION, ptq_view_open(bus, "old", &error, &view));

    assert_true(sum_of(bus, "old~v1") == before);
    assert_int_equal(ptt_scratch_files(*state, NULL), 1);
}

static void an_earlier_layout_under_todays_name_is_refused(void **state)
{
    ptq_bus *bus = bus_of(state);
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.error = &error};
    ptq_queue *queue;

    leave_layout1(bus, "old~v2");

    assert_answer(PTQ_EVERSION, ptq_queue_open(bus, "old", &options, &queue));
}

static void a_later_layout_is_refused(void **state)
{
    char file[PTI_FILE_NAME_MAX];
    ptq_bus *bus = bus_of(state);
    struct ptq_error error = {0};
    struct ptq_queue_options options = {.error = &error};
    ptq_queue *queue;

    snprintf(file, sizeof file, "new~v%d", PTQ_LAYOUT_VERSION + 1);
    leave_layout1(bus, file);

    assert_answer(PTQ_EVERSION, ptq_queue_open(bus, "new", &options, &queue));
    assert_non_null(strstr(error.text, file));
}

static bool note(const char *name, int layout, void *context)
{
    char *all = context;

    snprintf(all + strlen(all), 200 - strlen(all), "%s:%d ", name, layout);
    return true;
}

static void a_list_of_other_layouts_names_them_and_nothing_else(void **state)
{
    static const char *const others[] = {"a~v2", "~v1", "b~vx", "c~v", "d~v1x", ".e~v1", "f~v01", "g~new.0123"};
    char all[200] = "";
    ptq_bus *bus = bus_of(state);

    leave_layout1(bus, "old~v1");
    for (unsigned i = 0; i < sizeof others / sizeof others[0]; i++)
        leave_layout1(bus, others[i]);

    assert_ok(ptq_bus_list_other(bus, note, all));
    assert_string_equal(all, "old:1 ");
}

static void rm_removes_one_that_nobody_has_open_and_then_the_name_is_free(void **state)
{
    ptq_bus *bus = bus_of(state);
    ptq_queue *queue;

    leave_layout1(bus, "old~v1");

    assert_ok(ptq_queue_unlink(bus, "old", false));
    assert_false(has_file(bus, "old~v1"));
    assert_ok(ptq_queue_open(bus, "old", NULL, &queue));
    ptq_queue_close(queue);
}

struct user {
    ptq_bus *bus;
    struct ptt_page *page;
};

static int hold_a_byte(void *context)
{
    struct user *user = context;
    int fd = openat(user->bus->dirfd, "old~v1", O_RDWR | O_CLOEXEC);

    if (fd < 0 || pti_life_lock_write(fd, 3) != 0)
        return 1;
    user->page->words[0] = 1;
    pause();
    return 0;
}

static void one_that_lives_is_spared_by_rm_and_gc_unless_forced(void **state)
{
    struct ptq_gc_report report;
    ptq_bus *bus = bus_of(state);
    struct ptt_page *page = ptt_page_new();
    struct user held = {bus, page};
    pid_t user;

    leave_layout1(bus, "old~v1");
    user = ptt_fork(hold_a_byte, &held);
    assert_true(ptt_wait_word(&page->words[0], 1, PTT_LONG));

    assert_answer(PTQ_EBUSY, ptq_queue_unlink(bus, "old", false));
    assert_ok(ptq_bus_gc(bus, true, &report));
    assert_int_equal(report.live, 1);
    assert_true(has_file(bus, "old~v1"));
    assert_ok(ptq_queue_unlink(bus, "old", true));
    assert_false(has_file(bus, "old~v1"));

    ptt_kill(user);
    ptt_page_free(page);
}

static void gc_keeps_one_and_by_force_removes_it(void **state)
{
    struct ptq_gc_report report;
    ptq_bus *bus = bus_of(state);

    leave_layout1(bus, "old~v1");

    assert_ok(ptq_bus_gc(bus, false, &report));
    assert_int_equal(report.kept, 1);
    assert_true(has_file(bus, "old~v1"));
    assert_ok(ptq_bus_gc(bus, true, &report));
    assert_int_equal(report.removed, 1);
    assert_false(has_file(bus, "old~v1"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, ptt_setup_scratch, ptt_teardown_scratch)

int main(void)
{
    const struct CMUnitTest cases[] = {
        CASE(an_earlier_layout_is_refused_with_its_number_and_left_as_it_is),
        CASE(an_earlier_layout_under_todays_name_is_refused),
        CASE(a_later_layout_is_refused),
        CASE(a_list_of_other_layouts_names_them_and_nothing_else),
        CASE(rm_removes_one_that_nobody_has_open_and_then_the_name_is_free),
        CASE(one_that_lives_is_spared_by_rm_and_gc_unless_forced),
        CASE(gc_keeps_one_and_by_force_removes_it),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}

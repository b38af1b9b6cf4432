/* test_recording.c -- recordings: what is in a whole frame is read, whatever happens to the rest; nothing is read that was not written. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "common/recording.h"
#include "common/recording_bytes.h"

static char path[64];
static unsigned char *whole; /* a file in memory */
static size_t whole_size;

static const struct record_about about = {.queue = "tasks", .ref = "ptq:///test/tasks#1", .host = "here", .capacity = 7, .item_size = 99};

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/dev/shm/ptq-test-recording.XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    free(whole);
    whole = NULL;
    return 0;
}

static const char *text_of(uint64_t number, char text[32])
{
    snprintf(text, 32, "message %llu", (unsigned long long)number);
    return text;
}

static void add(struct record_writer *writer, uint64_t number)
{
    static const unsigned char headers[] = {1, 2, 0, 'k', 'v', 'w'};
    char text[32];
    struct record_message message = {.time_ns = (int64_t)number * 1000, .age_ms = -1, .position = 1000 + number, .sub = (uint32_t)number % 3,
                                     .deliveries = 2, .type = 77, .redelivered = number % 2, .data = text_of(number, text),
                                     .size = strlen(text)};

    if (number % 4 == 1) {
        message.headers = headers;
        message.header_bytes = sizeof headers;
    }
    if (number % 4 == 2) {
        message.has_trace = true;
        memset(message.trace.trace_id, (int)number, 16);
    }
    assert_int_equal(record_add(writer, &message), 0);
}

/* `frames` frames of `each` messages; a gap in the middle. */
static void begin(struct record_writer *writer, enum record_begin how, bool compress)
{
    uint64_t cut = 0;

    *writer = (struct record_writer){.compress = compress};
    assert_int_equal(record_create(writer, path, how, &about, &cut), 0);
}

static void fill(struct record_writer *writer, uint64_t first, int frames, int each)
{
    for (int i = 0; i < frames; i++) {
        for (int n = 0; n < each; n++)
            add(writer, first++);
        assert_int_equal(record_cut(writer), 0);
    }
}

static void load(void)
{
    int fd = open(path, O_RDONLY);

    free(whole);
    whole_size = (size_t)lseek(fd, 0, SEEK_END);
    whole = malloc(whole_size + 1);
    assert_int_equal(pread(fd, whole, whole_size, 0), whole_size);
    close(fd);
}

static void store(const void *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

struct seen {
    uint64_t messages, damages, cuts, missed, first, begins;
    bool closed;
};

/* Reads all of it; each message must be as it was written. */
static struct seen read_all(struct record_reader *reader)
{
    struct record_message message;
    struct seen seen = {0};
    char text[32];

    for (int i = 0; i < 100000; i++) {
        enum record_answer answer = record_next(reader, &message);
        assert_int_not_equal(answer, RECORD_FAILED);
        if (answer == RECORD_END)
            break;
        seen.begins += answer == RECORD_BEGINS;
        seen.damages += answer == RECORD_DAMAGE;
        seen.cuts += answer == RECORD_CUT;
        seen.missed += answer == RECORD_MISSED ? reader->missed : 0;
        if (answer != RECORD_MESSAGE)
            continue;
        seen.first = seen.messages++ == 0 ? message.number : seen.first;
        text_of(message.number, text);
        assert_int_equal(message.size, strlen(text));
        assert_memory_equal(message.data, text, message.size);
        assert_int_equal(message.position, 1000 + message.number);
        assert_int_equal(message.time_ns, message.number * 1000);
        assert_int_equal(message.has_trace, message.number % 4 == 2);
    }
    seen.closed = reader->closed;
    return seen;
}

static struct seen read_file(void)
{
    struct record_reader reader;

    assert_int_equal(record_open(&reader, path), 0);
    struct seen seen = read_all(&reader);
    record_reader_fini(&reader);
    return seen;
}

static void what_is_written_is_read(void **state)
{
    struct record_message message;
    struct record_writer writer;
    struct record_reader reader;
    char name[PTQ_HEADER_NAME_MAX + 1];
    const void *value;
    size_t at = 0, size;

    (void)state;
    begin(&writer, RECORD_REPLACE, false);
    fill(&writer, 1, 5, 7);
    assert_int_equal(record_gap(&writer, 12, 5), 0);
    fill(&writer, 36, 5, 7);
    assert_int_equal(record_close(&writer), 0);
    struct seen seen = read_file();
    assert_int_equal(seen.messages, 70);
    assert_int_equal(seen.missed, 12);
    assert_true(seen.closed);
    assert_int_equal(seen.damages + seen.cuts, 0);
    assert_int_equal(record_open(&reader, path), 0);
    assert_int_equal(record_next(&reader, &message), RECORD_BEGINS);
    assert_string_equal(reader.about.ref, about.ref);
    assert_int_equal(reader.about.capacity, 7);
    assert_int_equal(record_next(&reader, &message), RECORD_MESSAGE);
    assert_true(record_header_next(&message, &at, name, &value, &size));
    assert_string_equal(name, "k");
    assert_memory_equal(value, "vw", size);
    assert_false(record_header_next(&message, &at, name, &value, &size));
    record_reader_fini(&reader);
}

static void packed_frames_are_smaller_and_the_same(void **state)
{
    struct record_writer writer;

    (void)state;
    if (!record_can_compress())
        skip();
    begin(&writer, RECORD_REPLACE, true);
    fill(&writer, 1, 2, 1000);
    assert_int_equal(record_close(&writer), 0);
    load();
    assert_true(whole_size < 2000 * RECORD_FIXED / 2);
    assert_int_equal(read_file().messages, 2000);
}

static void a_file_cut_at_any_byte_has_all_whole_frames_and_says_so(void **state)
{
    struct record_writer writer;
    size_t ends[12]; /* of its frames */
    int frames = 0;

    (void)state;
    begin(&writer, RECORD_REPLACE, false);
    ends[frames++] = writer.offset;
    for (uint64_t i = 0; i < 6; i++) {
        fill(&writer, 1 + 3 * i, 1, 3);
        ends[frames++] = writer.offset;
    }
    assert_int_equal(record_close(&writer), 0);
    load();
    for (size_t size = 0; size < whole_size; size++) {
        struct record_reader reader;
        uint64_t want = 0;
        bool between = size == RECORD_HEAD;
        store(whole, size);
        for (int i = 1; i < frames && ends[i] <= size; i++)
            want += 3;
        for (int i = 0; i < frames; i++)
            between = between || ends[i] == size;
        if (size < RECORD_HEAD) {
            assert_int_equal(record_open(&reader, path), EPROTO);
            continue;
        }
        struct seen seen = read_file();
        assert_int_equal(seen.messages, want);
        assert_false(seen.closed);
        assert_int_equal(seen.damages, 0);
        assert_int_equal(seen.cuts, !between && size < whole_size - RECORD_TAIL);
    }
}

static void a_cut_file_is_gone_on_with(void **state)
{
    struct record_writer writer;

    (void)state;
    begin(&writer, RECORD_REPLACE, false);
    fill(&writer, 1, 4, 2);
    assert_int_equal(record_close(&writer), 0);
    load();
    for (size_t size = 0; size <= whole_size; size++) {
        store(whole, size);
        begin(&writer, RECORD_APPEND, false);
        uint64_t kept = writer.count;
        for (uint64_t i = 1; i <= kept; i++)
            assert_true(record_has(&writer, 1000 + i, (uint32_t)i % 3));
        assert_false(record_has(&writer, 1000 + kept + 1, (uint32_t)(kept + 1) % 3));
        fill(&writer, kept + 1, 1, 5);
        assert_int_equal(record_close(&writer), 0);
        struct seen seen = read_file();
        assert_int_equal(seen.messages, kept + 5);
        assert_int_equal(seen.damages + seen.cuts, 0);
        assert_true(seen.closed);
    }
}

static void a_byte_that_is_another_costs_its_frame_alone(void **state)
{
    struct record_writer writer;

    (void)state;
    begin(&writer, RECORD_REPLACE, false);
    fill(&writer, 1, 5, 2);
    assert_int_equal(record_close(&writer), 0);
    load();
    for (size_t at = RECORD_HEAD; at < whole_size; at++) {
        whole[at] ^= 0x41;
        store(whole, whole_size);
        whole[at] ^= 0x41;
        struct seen seen = read_file();
        assert_in_range(seen.messages, 8, 10);
        assert_true(seen.messages == 10 || seen.damages == 1);
        assert_true(seen.damages + seen.cuts > 0 || !seen.closed);
    }
}

static void behind_garbage_the_next_frame_is_found(void **state)
{
    struct record_writer writer;
    unsigned char *bytes;
    size_t first;

    (void)state;
    begin(&writer, RECORD_REPLACE, false);
    fill(&writer, 1, 1, 4);
    first = writer.offset;
    fill(&writer, 5, 1, 4);
    assert_int_equal(record_close(&writer), 0);
    load();
    bytes = malloc(whole_size + 200000);
    memcpy(bytes, whole, first);
    memset(bytes + first, record_mark[0], 200000);
    for (int i = 0; i < 150000; i += 5)
        memcpy(bytes + first + i, record_mark, 4);
    memcpy(bytes + first + 200000, whole + first, whole_size - first);
    store(bytes, whole_size + 200000);
    free(bytes);
    struct seen seen = read_file();
    assert_int_equal(seen.messages, 8);
    assert_int_equal(seen.damages, 1);
}

static uint64_t first_from(uint64_t number, int64_t time_ns)
{
    struct record_reader reader;

    assert_int_equal(record_open(&reader, path), 0);
    if (number != 0)
        record_seek_number(&reader, number);
    if (time_ns != 0)
        record_seek_time(&reader, time_ns);
    struct seen seen = read_all(&reader);
    assert_int_equal(seen.begins, 1);
    record_reader_fini(&reader);
    return seen.first;
}

static void it_is_sought_by_number_and_time_with_an_index_and_without(void **state)
{
    struct record_writer writer;

    (void)state;
    begin(&writer, RECORD_REPLACE, false);
    fill(&writer, 1, 300, 20); /* some 400 KB: several entries */
    assert_true(writer.index.count > 3);
    assert_int_equal(record_close(&writer), 0);
    load();
    for (int without = 0; without < 2; without++) {
        store(whole, whole_size - (without ? 10 : 0));
        assert_int_equal(first_from(1, 0), 1);
        assert_int_equal(first_from(4711, 0), 4711);
        assert_int_equal(first_from(6000, 0), 6000);
        assert_int_equal(first_from(6001, 0), 0);
        assert_int_equal(first_from(0, 5000 * 1000), 5000);
        assert_int_equal(first_from(0, 5000 * 1000 - 1), 5000);
        assert_int_equal(first_from(3000, 5000 * 1000), 5000);
        assert_int_equal(first_from(5500, 5000 * 1000), 5500);
    }
}

static void a_long_index_is_thinned_out(void **state)
{
    struct record_index index = {0};

    (void)state;
    for (uint64_t i = 0; i < 300000; i++)
        assert_true(record_index_add(&index, i * RECORD_INDEX_SPACING, i, (int64_t)i));
    assert_in_range(index.count, RECORD_INDEX_MOST / 2, RECORD_INDEX_MOST);
    for (size_t i = 1; i < index.count; i++)
        assert_true(index.entries[i].offset > index.entries[i - 1].offset);
    free(index.entries);
}

static void two_do_not_write_one_file_and_a_file_of_others_is_left_alone(void **state)
{
    struct record_writer writer, other = {0};
    uint64_t cut;

    (void)state;
    store("mine\n", 5);
    assert_int_equal(record_create(&other, path, RECORD_NEW, &about, &cut), EEXIST);
    assert_int_equal(record_create(&other, path, RECORD_APPEND, &about, &cut), EPROTO);
    load();
    assert_int_equal(whole_size, 5);
    begin(&writer, RECORD_REPLACE, false);
    assert_int_equal(record_create(&other, path, RECORD_APPEND, &about, &cut), EBUSY);
    assert_int_equal(record_close(&writer), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_written_is_read),
        CASE(packed_frames_are_smaller_and_the_same),
        CASE(a_file_cut_at_any_byte_has_all_whole_frames_and_says_so),
        CASE(a_cut_file_is_gone_on_with),
        CASE(a_byte_that_is_another_costs_its_frame_alone),
        CASE(behind_garbage_the_next_frame_is_found),
        CASE(it_is_sought_by_number_and_time_with_an_index_and_without),
        CASE(a_long_index_is_thinned_out),
        CASE(two_do_not_write_one_file_and_a_file_of_others_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_scrape.c -- a bus as text: the figures are those of the queues, counters never go back, nothing is held. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/metrics.h>
#include <ptq/ptq.h>

#include "support/ptt.h"

static char *scrape_text(ptq_scrape *scrape)
{
    char *text;
    size_t size;

    assert_ok(ptq_scrape_text(scrape, PTQ_METRICS_OPENMETRICS, &text, &size));
    assert_int_equal(strlen(text), size);
    return text;
}

/* The value of a sample; -1: there is none. */
static double find(const char *text, const char *sample)
{
    char line[300];

    snprintf(line, sizeof line, "\n%s ", sample);
    const char *at = strstr(text, line);
    return at != NULL ? strtod(at + strlen(line), NULL) : -1;
}

static void assert_sample(ptq_scrape *scrape, const char *sample, double wanted)
{
    char *text = scrape_text(scrape);
    double got = find(text, sample);

    free(text);
    if (got != wanted)
        fail_msg("%s is %g, not %g", sample, got, wanted);
}

static ptq_queue *make(ptq_bus *bus, const char *name)
{
    struct ptq_queue_options options = {.capacity = 4, .full = PTQ_FULL_DROP_NEWEST};
    ptq_queue *queue;

    assert_ok(ptq_queue_open(bus, name, &options, &queue));
    return queue;
}

static void put(ptq_queue *queue, int count)
{
    for (int i = 0; i < count; i++)
        assert_ok(ptq_put(queue, "12345", 5, PTQ_NOWAIT));
}

static void figures_are_those_of_the_queues(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_queue *a = make(scratch->bus, "a"), *b = make(scratch->bus, "b.c-d_e");
    ptq_scrape *scrape;
    ptq_msg *msg;

    put(a, 6);
    put(b, 2);
    assert_ok(ptq_get(b, PTQ_NOWAIT, &msg));
    assert_ok(ptq_scrape_open(scratch->bus, &scrape));
    assert_sample(scrape, "ptq_queue_messages{queue=\"a\",state=\"ready\"}", 4);
    assert_sample(scrape, "ptq_messages_total{queue=\"a\",op=\"put\"}", 6);
    assert_sample(scrape, "ptq_dropped_messages_total{queue=\"a\",reason=\"newest\"}", 2);
    assert_sample(scrape, "ptq_bytes_total{queue=\"b.c-d_e\",op=\"put\"}", 10);
    assert_sample(scrape, "ptq_queue_messages{queue=\"b.c-d_e\",state=\"leased\"}", 1);
    assert_sample(scrape, "ptq_queue_handles{queue=\"b.c-d_e\",role=\"consumer\"}", 1);
    assert_sample(scrape, "ptq_queues", 2);
    assert_sample(scrape, "ptq_unreadable_queues", 0);
    ptq_ack(msg);
    ptq_scrape_close(scrape);
    ptq_queue_close(a);
    ptq_queue_close(b);
}

static void a_queue_that_is_made_again_counts_on(void **state)
{
    static const char sample[] = "ptq_messages_total{queue=\"a\",op=\"put\"}";
    struct ptt_scratch *scratch = *state;
    ptq_scrape *scrape;

    assert_ok(ptq_scrape_open(scratch->bus, &scrape));
    for (int life = 0; life < 3; life++) {
        ptq_queue *queue = make(scratch->bus, "a");
        assert_sample(scrape, sample, 3 * life);
        put(queue, 2);
        assert_sample(scrape, sample, 3 * life + 2);
        put(queue, 1);
        assert_sample(scrape, sample, 3 * life + 3);
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(scratch->bus, "a", true));
        if (life == 1)
            assert_sample(scrape, sample, -1); /* silent meanwhile, or not asked */
    }
    ptq_scrape_close(scrape);
}

/* One line each of bucket, count, sum: counts rise, the last bucket is the count. */
static void assert_histogram(const char *text, const char *queue, double count)
{
    char sample[200];
    double before = 0;

    for (uint64_t us = 1; us <= UINT64_C(1) << 34; us *= 4) {
        char end[32];
        int size = snprintf(end, sizeof end, "%llu.%06llu", (unsigned long long)us / 1000000, (unsigned long long)us % 1000000);
        while (end[size - 1] == '0')
            end[--size] = '\0';
        snprintf(sample, sizeof sample, "ptq_queue_wait_seconds_bucket{queue=\"%s\",le=\"%s\"}", queue, end);
        assert_true(find(text, sample) >= before);
        before = find(text, sample);
    }
    snprintf(sample, sizeof sample, "ptq_queue_wait_seconds_bucket{queue=\"%s\",le=\"+Inf\"}", queue);
    assert_true(before == count); /* nothing here waited for hours */
    assert_true(find(text, sample) == count);
    snprintf(sample, sizeof sample, "ptq_queue_wait_seconds_count{queue=\"%s\"}", queue);
    assert_true(find(text, sample) == count);
    snprintf(sample, sizeof sample, "ptq_queue_wait_seconds_sum{queue=\"%s\"}", queue);
    assert_true(find(text, sample) >= 0);
}

static void waits_are_a_histogram_that_counts_on(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_queue_options options = {.capacity = 4, .stamps = PTQ_STAMPS_ALL};
    ptq_queue *silent = make(scratch->bus, "silent"), *queue;
    char buffer[8], *text;
    ptq_scrape *scrape;
    size_t size;

    put(silent, 1);
    assert_ok(ptq_scrape_open(scratch->bus, &scrape));
    for (int life = 1; life <= 3; life++) {
        assert_ok(ptq_queue_open(scratch->bus, "a", &options, &queue));
        put(queue, 2);
        for (int i = 0; i < 2; i++)
            assert_ok(ptq_recv(queue, buffer, sizeof buffer, PTQ_NOWAIT, &size));
        text = scrape_text(scrape);
        assert_histogram(text, "a", 2 * life);
        assert_non_null(strstr(text, "# TYPE ptq_queue_wait_seconds histogram\n# UNIT ptq_queue_wait_seconds seconds\n"));
        assert_null(strstr(text, "ptq_queue_wait_seconds_count{queue=\"silent\"}")); /* nothing was taken */
        free(text);
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(scratch->bus, "a", true));
    }
    ptq_scrape_close(scrape);
    ptq_queue_close(silent);
}

static void other_queues_come_and_go_beside_one_that_stays(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_queue *stays = make(scratch->bus, "m");
    ptq_scrape *scrape;
    char name[8];

    assert_ok(ptq_scrape_open(scratch->bus, &scrape));
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "%c%d", i % 2 == 0 ? 'a' : 'z', (7 * i) % 20);
        ptq_queue *queue = make(scratch->bus, name);
        put(queue, 1);
        put(stays, 1);
        assert_sample(scrape, "ptq_messages_total{queue=\"m\",op=\"put\"}", i + 1);
        ptq_queue_close(queue);
        assert_ok(ptq_queue_unlink(scratch->bus, name, true));
    }
    ptq_scrape_close(scrape);
    ptq_queue_close(stays);
}

static void nothing_is_held_and_nothing_moves(void **state)
{
    struct ptt_scratch *scratch = *state;
    struct ptq_queue_stats before, after;
    struct ptt_traces traces;
    ptq_queue *queue = make(scratch->bus, "a");
    ptq_scrape *scrape;

    put(queue, 3);
    assert_ok(ptq_scrape_open(scratch->bus, &scrape));
    free(scrape_text(scrape));
    assert_ok(ptq_queue_stats(queue, &before));
    ptt_traces_take(&traces);
    free(scrape_text(scrape));
    ptt_traces_assert_none_left(&traces);
    assert_ok(ptq_queue_stats(queue, &after));
    before.oldest_ms = after.oldest_ms;
    assert_memory_equal(&before, &after, sizeof before);
    ptq_scrape_close(scrape);
    ptq_queue_close(queue);
}

static void what_cannot_be_read_is_counted(void **state)
{
    struct ptt_scratch *scratch = *state;
    char path[300];
    ptq_scrape *scrape;
    struct ptq_view_info info;
    ptq_view *view;
    ptq_queue *queue = make(scratch->bus, "a");

    ptq_queue_close(make(scratch->bus, "b"));
    assert_ok(ptq_view_open(scratch->bus, "b", NULL, &view));
    assert_ok(ptq_view_info(view, &info));
    ptq_view_close(view);
    snprintf(path, sizeof path, "%.299s", info.path);
    assert_int_equal(truncate(path, 100), 0);
    assert_ok(ptq_scrape_open(scratch->bus, &scrape));
    assert_sample(scrape, "ptq_queues", 1);
    assert_sample(scrape, "ptq_unreadable_queues", 1);
    ptq_scrape_close(scrape);
    ptq_queue_close(queue);
}

static void nonsense_is_an_answer(void **state)
{
    struct ptt_scratch *scratch = *state;
    ptq_scrape *scrape;
    char *text;
    size_t size;

    assert_answer(PTQ_EINVAL, ptq_scrape_open(NULL, &scrape));
    assert_answer(PTQ_EINVAL, ptq_scrape_open(scratch->bus, NULL));
    assert_ok(ptq_scrape_open(scratch->bus, &scrape));
    assert_answer(PTQ_EINVAL, ptq_scrape_text(scrape, (enum ptq_metrics_format)2, &text, &size));
    assert_answer(PTQ_EINVAL, ptq_scrape_text(NULL, PTQ_METRICS_OPENMETRICS, &text, &size));
    ptq_scrape_close(scrape);
    ptq_scrape_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(figures_are_those_of_the_queues, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(a_queue_that_is_made_again_counts_on, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(waits_are_a_histogram_that_counts_on, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(other_queues_come_and_go_beside_one_that_stays, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(nothing_is_held_and_nothing_moves, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_counted, ptt_setup_scratch, ptt_teardown_scratch),
        cmocka_unit_test_setup_teardown(nonsense_is_an_answer, ptt_setup_scratch, ptt_teardown_scratch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

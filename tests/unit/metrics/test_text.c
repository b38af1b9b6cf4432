/* test_text.c -- figures as text: both forms to the letter, whatever stands in labels. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/text.h"
#include "support/ptt.h"

static void write_some(struct pti_text *text, enum ptq_metrics_format format)
{
    pti_text_init(text, format);
    pti_text_family(text, &(struct pti_family){PTI_GAUGE, "q_age_seconds", "seconds", "Age."});
    pti_text_sample(text, "", &(struct pti_labels){{{"queue", "a"}}}, 0.25);
    pti_text_family(text, &(struct pti_family){PTI_COUNTER, "q_messages", "", "All\nof \\ them."});
    pti_text_count(text, "", &(struct pti_labels){{{"queue", "a"}, {"op", "put"}}}, UINT64_MAX);
    pti_text_family(text, &(struct pti_family){PTI_INFO, "q", "", "Which."});
    pti_text_count(text, "", &(struct pti_labels){{{"version", "1"}}}, 1);
    pti_text_family(text, &(struct pti_family){PTI_HISTOGRAM, "q_wait_seconds", "seconds", "Wait."});
    pti_text_count(text, "_bucket", &(struct pti_labels){{{"le", "+Inf"}}}, 2);
    pti_text_sample(text, "_sum", NULL, INFINITY);
    pti_text_count(text, "_count", NULL, 2);
}

static void assert_text(enum ptq_metrics_format format, const char *wanted)
{
    struct pti_text text;
    char *bytes;
    size_t size;

    write_some(&text, format);
    assert_ok(pti_text_end(&text, &bytes, &size));
    assert_int_equal(size, strlen(bytes));
    assert_string_equal(bytes, wanted);
    free(bytes);
}

static void openmetrics_has_units_and_an_end(void **state)
{
    (void)state;
    assert_text(PTQ_METRICS_OPENMETRICS, "# TYPE q_age_seconds gauge\n# UNIT q_age_seconds seconds\n# HELP q_age_seconds Age.\n"
                                         "q_age_seconds{queue=\"a\"} 0.25\n"
                                         "# TYPE q_messages counter\n# HELP q_messages All\\nof \\\\ them.\n"
                                         "q_messages_total{queue=\"a\",op=\"put\"} 18446744073709551615\n"
                                         "# TYPE q info\n# HELP q Which.\nq_info{version=\"1\"} 1\n"
                                         "# TYPE q_wait_seconds histogram\n# UNIT q_wait_seconds seconds\n# HELP q_wait_seconds Wait.\n"
                                         "q_wait_seconds_bucket{le=\"+Inf\"} 2\nq_wait_seconds_sum +Inf\nq_wait_seconds_count 2\n# EOF\n");
}

static void prometheus_has_names_of_samples(void **state)
{
    (void)state;
    assert_text(PTQ_METRICS_PROMETHEUS, "# TYPE q_age_seconds gauge\n# HELP q_age_seconds Age.\n"
                                        "q_age_seconds{queue=\"a\"} 0.25\n"
                                        "# TYPE q_messages_total counter\n# HELP q_messages_total All\\nof \\\\ them.\n"
                                        "q_messages_total{queue=\"a\",op=\"put\"} 18446744073709551615\n"
                                        "# TYPE q_info gauge\n# HELP q_info Which.\nq_info{version=\"1\"} 1\n"
                                        "# TYPE q_wait_seconds histogram\n# HELP q_wait_seconds Wait.\n"
                                        "q_wait_seconds_bucket{le=\"+Inf\"} 2\nq_wait_seconds_sum +Inf\nq_wait_seconds_count 2\n");
}

static void labels_may_be_any_bytes(void **state)
{
    struct pti_text text;
    char *bytes;
    size_t size;
    (void)state;

    pti_text_init(&text, PTQ_METRICS_OPENMETRICS);
    pti_text_family(&text, &(struct pti_family){PTI_GAUGE, "q", "", "x"});
    pti_text_count(&text, "", &(struct pti_labels){{{"a", "\"\\\n\xc3\xa9\xff\xed\xa0\x80}"}}}, 1);
    assert_ok(pti_text_end(&text, &bytes, &size));
    assert_non_null(strstr(bytes, "q{a=\"\\\"\\\\\\n\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd}\"} 1\n"));
    free(bytes);
}

static void json_is_json_whatever_its_bytes_are(void **state)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&bytes, &size);
    (void)state;

    pti_json_text(file, "a\"\\/\b\n\x1f\x7f\xf0\x9f\x98\x80\xf0\x9f\xc0\xaf");
    fclose(file);
    assert_string_equal(bytes, "\"a\\\"\\\\/\\u0008\\u000a\\u001f\\u007f\xf0\x9f\x98\x80\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openmetrics_has_units_and_an_end),
        cmocka_unit_test(prometheus_has_names_of_samples),
        cmocka_unit_test(labels_may_be_any_bytes),
        cmocka_unit_test(json_is_json_whatever_its_bytes_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

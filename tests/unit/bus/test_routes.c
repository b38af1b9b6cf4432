/* test_routes.c -- a name there leads to one queue here and back to itself, or nowhere, whatever the rules say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bus/routes.h"
#include "support/ptt.h"

static void add(struct pti_routes *routes, enum pti_rule_kind kind, const char *text)
{
    struct ptq_error error = {0};

    if (pti_routes_add(routes, kind, text, &error) != PTQ_OK)
        fail_msg("%s", error.text);
}

static void without_rules_everything_goes_as_it_is_called(void **state)
{
    struct pti_routes routes = {0};
    char name[PTQ_NAME_MAX + 1];
    (void)state;

    assert_true(pti_routes_export(&routes, "tasks", name));
    assert_string_equal(name, "tasks");
    assert_true(pti_routes_seek(&routes, "tasks", name));
    assert_string_equal(name, "tasks");
    assert_false(pti_routes_renames(&routes));
}

static void what_is_denied_goes_nowhere(void **state)
{
    struct pti_routes routes = {0};
    char name[PTQ_NAME_MAX + 1];
    (void)state;

    add(&routes, PTI_RULE_EXPORT, "jobs-*");
    add(&routes, PTI_RULE_EXPORT, "tasks");
    add(&routes, PTI_RULE_DENY, "*-private");
    assert_true(pti_routes_export(&routes, "jobs-1", name));
    assert_true(pti_routes_serve(&routes, "tasks", name));
    assert_false(pti_routes_export(&routes, "other", name));
    assert_false(pti_routes_serve(&routes, "jobs-private", name));
    assert_true(pti_routes_import(&routes, "other", name)); /* exports are not imports */
    assert_false(pti_routes_import(&routes, "x-private", name));
    assert_false(pti_routes_seek(&routes, "x-private", name));

    pti_routes_free(&routes);
}

static void a_star_stands_for_the_same_in_both_names(void **state)
{
    struct pti_routes routes = {0};
    char name[PTQ_NAME_MAX + 1], longest[PTQ_NAME_MAX + 1];
    (void)state;

    add(&routes, PTI_RULE_RENAME, "tasks=work");
    add(&routes, PTI_RULE_RENAME, "*=east.*");
    assert_true(pti_routes_export(&routes, "tasks", name));
    assert_string_equal(name, "work");
    assert_true(pti_routes_export(&routes, "jobs", name));
    assert_string_equal(name, "east.jobs");
    assert_true(pti_routes_serve(&routes, "east.jobs", name));
    assert_string_equal(name, "jobs");
    assert_false(pti_routes_serve(&routes, "jobs", name));       /* it is called so here alone */
    assert_false(pti_routes_serve(&routes, "east.tasks", name)); /* the first rename has taken it */
    assert_true(pti_routes_renames(&routes));
    memset(longest, 'x', PTQ_NAME_MAX);
    longest[PTQ_NAME_MAX] = '\0';
    if (pti_routes_export(&routes, longest, name)) /* east.<that> is no name */
        assert_string_equal(name, longest);

    pti_routes_free(&routes);
}

static void a_rename_onto_a_name_that_is_taken_hides_one_of_the_two(void **state)
{
    struct pti_routes routes = {0};
    char name[PTQ_NAME_MAX + 1];
    (void)state;

    add(&routes, PTI_RULE_RENAME, "a=b");
    assert_true(pti_routes_serve(&routes, "b", name));
    assert_string_equal(name, "a");
    assert_false(pti_routes_export(&routes, "b", name));
    assert_false(pti_routes_serve(&routes, "a", name));

    pti_routes_free(&routes);
}

static void what_is_no_rule_is_told_so(void **state)
{
    static const char *const renames[] = {"", "a", "=", "a=", "=b", "a=b=c", "a*=b", "a=b*", "a**=b**", "a=b/c", ".a=b", "a=*.",
                                          "a b=c"};
    static const char *const globs[] = {"", "a/b", "a b", "a=b", "\n", "../x", "a\x01"};
    struct pti_routes routes = {0};
    struct ptq_error error;
    (void)state;

    for (size_t i = 0; i < sizeof renames / sizeof renames[0]; i++) {
        assert_answer(PTQ_EINVAL, pti_routes_add(&routes, PTI_RULE_RENAME, renames[i], &error));
        assert_non_null(strstr(error.text, "rename"));
    }
    for (size_t i = 0; i < sizeof globs / sizeof globs[0]; i++)
        assert_answer(PTQ_EINVAL, pti_routes_add(&routes, PTI_RULE_DENY, globs[i], &error));
    assert_int_equal(routes.count, 0);
}

static void rules_travel_as_lines(void **state)
{
    struct pti_routes routes = {0}, read = {0};
    char *text = NULL, name[PTQ_NAME_MAX + 1];
    size_t size;
    FILE *file = open_memstream(&text, &size);
    (void)state;

    add(&routes, PTI_RULE_EXPORT, "never-told");
    add(&routes, PTI_RULE_IMPORT, "in-*");
    add(&routes, PTI_RULE_DENY, "in-x");
    add(&routes, PTI_RULE_RENAME, "in-*=out-*");
    fprintf(file, "ptq-peers 2\nuntil 1 2\n");
    pti_routes_write(&routes, file);
    fprintf(file, "peer east tcp://127.0.0.1:1 up\nqueue import x\n");
    fclose(file);
    assert_ok(pti_routes_read(&read, text));
    assert_int_equal(read.count, 3);
    assert_true(pti_routes_seek(&read, "in-a", name));
    assert_string_equal(name, "out-a");
    assert_false(pti_routes_seek(&read, "in-x", name));
    assert_false(pti_routes_seek(&read, "else", name));

    free(text);
    pti_routes_free(&read);
    pti_routes_free(&routes);
}

/* ---- any rules ---- */

static uint64_t seed;

static unsigned draw(unsigned below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % below;
}

static void draw_name(char *name, bool star)
{
    unsigned length = 1 + draw(3), at = draw(length);

    for (unsigned i = 0; i < length; i++)
        name[i] = star && i == at ? '*' : "ab"[draw(2)];
    name[length] = '\0';
}

static void draw_rules(struct pti_routes *routes)
{
    char here[8], there[8], text[20];

    for (unsigned i = 1 + draw(4); i > 0; i--) {
        bool star = draw(2) == 0;
        enum pti_rule_kind kind = draw(2) == 0 ? PTI_RULE_RENAME : (enum pti_rule_kind)draw(3);
        draw_name(here, star);
        draw_name(there, star);
        snprintf(text, sizeof text, kind == PTI_RULE_RENAME ? "%s=%s" : "%s", here, there);
        add(routes, kind, text);
    }
}

static void name_of(unsigned number, char *name)
{
    for (; number > 0; number = (number - 1) / 2)
        *name++ = "ab"[(number - 1) % 2];
    *name = '\0';
}

enum { NAMES = 127, RULES = 3000 }; /* all names of up to six letters a and b */

static void whatever_the_rules_a_name_there_leads_to_one_queue_and_back(void **state)
{
    char name[8], there[PTQ_NAME_MAX + 1], here[PTQ_NAME_MAX + 1];
    unsigned exported = 0;
    (void)state;

    seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int i = 0; i < RULES; i++) {
        struct pti_routes routes = {0};
        draw_rules(&routes);
        for (unsigned number = 1; number < NAMES; number++) {
            name_of(number, name);
            if (pti_routes_export(&routes, name, there)) {
                exported++;
                assert_true(pti_routes_serve(&routes, there, here));
                assert_string_equal(here, name);
            }
            if (pti_routes_serve(&routes, name, here)) {
                assert_true(pti_routes_export(&routes, here, there));
                assert_string_equal(there, name);
            }
            if (pti_routes_seek(&routes, name, there)) {
                assert_true(pti_routes_import(&routes, there, here));
                assert_string_equal(here, name);
            }
        }
        pti_routes_free(&routes);
    }
    assert_true(exported > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_rules_everything_goes_as_it_is_called),
        cmocka_unit_test(what_is_denied_goes_nowhere),
        cmocka_unit_test(a_star_stands_for_the_same_in_both_names),
        cmocka_unit_test(a_rename_onto_a_name_that_is_taken_hides_one_of_the_two),
        cmocka_unit_test(what_is_no_rule_is_told_so),
        cmocka_unit_test(rules_travel_as_lines),
        cmocka_unit_test(whatever_the_rules_a_name_there_leads_to_one_queue_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

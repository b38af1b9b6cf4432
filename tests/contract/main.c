/* main.c -- runs groups of cases over a carrier: contract CARRIER [GROUP [CASE]]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract/contract.h"

static const struct contract_carrier *carrier;

static int set_up(void **state)
{
    struct contract *c = calloc(1, sizeof *c);

    if (c == NULL)
        return -1;
    c->carrier = carrier;
    ptt_scratch_init(&c->home);
    carrier->start(c);
    *state = c;
    return 0;
}

static int tear_down(void **state)
{
    struct contract *c = *state;

    ptq_bus_close(c->bus);
    carrier->stop(c);
    ptt_scratch_fini(&c->home);
    free(c);
    return 0;
}

static int run_group(const struct contract_group *group)
{
    struct CMUnitTest tests[64];
    char name[64];

    snprintf(name, sizeof name, "%s.%s", carrier->name, group->name);
    if (group->count > sizeof tests / sizeof *tests)
        return 1;
    for (size_t i = 0; i < group->count; i++)
        tests[i] = (struct CMUnitTest){group->cases[i].name, group->cases[i].run, set_up, tear_down, NULL};
    return _cmocka_run_group_tests(name, tests, group->count, NULL, NULL);
}

int main(int argc, char **argv)
{
    int failed = 0, ran = 0;

    if (argc > 1 && strcmp(argv[1], "--child") == 0)
        return contract_child_main(argc, argv);
    carrier = argc > 1 ? contract_carrier_named(argv[1]) : NULL;
    if (carrier == NULL) {
        fprintf(stderr, "usage: contract local|general|remote|ipc|ws|bridge [GROUP [CASE]]\n");
        return 2;
    }
    if (argc > 3)
        cmocka_set_test_filter(argv[3]);
    for (size_t i = 0; contract_groups[i] != NULL; i++) {
        if (argc > 2 && strcmp(contract_groups[i]->name, argv[2]) != 0)
            continue;
        failed += run_group(contract_groups[i]);
        ran++;
    }
    return ran == 0 ? 2 : failed != 0;
}

/* test_config_memory.c -- ptqbridge's configuration, each of its allocations made to fail: an error that is told, never an end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../bridges/ptqbridge/config.h"

static unsigned fail_at, asked; /* 0: none */
static char said[4000];

void *__real_malloc(size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    return ++asked == fail_at ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return ++asked == fail_at ? NULL : __real_realloc(memory, size);
}

static void note(const char *line)
{
    size_t length = strlen(said);

    snprintf(said + length, sizeof said - length, "%s\n", line);
}

static void write_file(const char *path)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs("[bridge]\nnode = here\ngrace = 2s\n", file);
    for (int i = 0; i < 70; i++)
        fprintf(file, "[listen l%d]\nurl = tcp://127.0.0.1:%d\n[export e%d]\n", i, i + 1, i);
    fclose(file);
}

static bool load(const char *path, unsigned failing, struct config *config)
{
    const struct config told = {0};

    *config = (struct config){.complain = note};
    said[0] = '\0';
    asked = 0;
    fail_at = failing;
    bool good = config_load(config, &told, path);
    fail_at = 0;
    return good;
}

static void each_allocation_that_fails_is_an_error_that_is_told(void **state)
{
    char path[] = "/dev/shm/ptq-test.XXXXXX";
    struct config config;
    (void)state;

    close(mkstemp(path));
    write_file(path);
    assert_true(load(path, 0, &config));
    unsigned all = asked;
    assert_int_equal(config.values.listen.count, 70);
    config_fini(&config);
    assert_true(all > 200);
    for (unsigned i = 1; i <= all; i++) {
        bool good = load(path, i, &config);
        if (good || config.errors == 0 || strstr(said, "no memory") == NULL)
            fail_msg("number %u of %u: %s", i, all, good ? "it is as if nothing were missing" : said);
        config_fini(&config);
    }
    assert_true(load(path, 0, &config));
    config_fini(&config);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_that_fails_is_an_error_that_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

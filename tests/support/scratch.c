/* scratch.c -- a directory and a bus for one test. */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/ptt.h"

void ptt_assert_answer(enum ptq_err expected, enum ptq_err got, const char *call, const char *file, int line)
{
    if (expected == got)
        return;
    print_error("%s answered %s, not %s\n", call, ptq_err_name(got), ptq_err_name(expected));
    _fail(file, line);
}

void ptt_assert_found(const char *text, const char *words, const char *file, int line)
{
    if (strstr(text, words) != NULL)
        return;
    print_error("'%s' does not say '%s'\n", text, words);
    _fail(file, line);
}

void ptt_scratch_init_dir(struct ptt_scratch *scratch)
{
    *scratch = (struct ptt_scratch){.dir = "/dev/shm/ptq-test.XXXXXX"};
    assert_non_null(mkdtemp(scratch->dir));
}

ptq_bus *ptt_scratch_open(const struct ptt_scratch *scratch)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = scratch->dir, .error = &error};
    ptq_bus *bus = NULL;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK)
        fail_msg("%s", error.text);
    return bus;
}

void ptt_scratch_init(struct ptt_scratch *scratch)
{
    ptt_scratch_init_dir(scratch);
    scratch->bus = ptt_scratch_open(scratch);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

void ptt_scratch_fini(struct ptt_scratch *scratch)
{
    ptq_bus_close(scratch->bus);
    scratch->bus = NULL;
    if (scratch->dir[0] != '\0')
        nftw(scratch->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    scratch->dir[0] = '\0';
}

static bool ends_with(const char *text, const char *suffix)
{
    size_t length = strlen(text), end = strlen(suffix);

    return length >= end && strcmp(text + length - end, suffix) == 0;
}

/* What is no litter: "~node" and "~ask" are a served bus's own, for as long as it is there. */
static bool is_furniture(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "~node") == 0 || strcmp(name, "~streams~v1") == 0 ||
           strncmp(name, "~ask", 4) == 0;
}

unsigned ptt_scratch_files(const struct ptt_scratch *scratch, const char *suffix)
{
    char path[128];
    unsigned count = 0;
    struct dirent *entry;

    snprintf(path, sizeof path, "%s/test", scratch->dir);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return 0;
    while ((entry = readdir(directory)) != NULL)
        count += !is_furniture(entry->d_name) && (suffix == NULL || ends_with(entry->d_name, suffix));
    closedir(directory);
    return count;
}

int ptt_setup_scratch(void **state)
{
    struct ptt_scratch *scratch = calloc(1, sizeof *scratch);

    if (scratch == NULL)
        return -1;
    ptt_scratch_init(scratch);
    *state = scratch;
    return 0;
}

int ptt_teardown_scratch(void **state)
{
    ptt_scratch_fini(*state);
    free(*state);
    return 0;
}

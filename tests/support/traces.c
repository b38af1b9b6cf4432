/* traces.c -- what this process holds: descriptors, threads, children, mappings. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/ptt.h"

static unsigned count_entries(const char *path)
{
    unsigned count = 0;
    DIR *directory = opendir(path);

    if (directory == NULL)
        return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count - 2;
}

static unsigned count_children(void)
{
    char path[64], text[4096];
    unsigned count = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    for (size_t i = 0; i < length; i++)
        count += text[i] == ' ';
    return count;
}

static unsigned count_mappings(void)
{
    char line[1024];
    unsigned count = 0;
    FILE *file = fopen("/proc/self/maps", "re");

    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, "/dev/shm/") != NULL;
    fclose(file);
    return count;
}

void ptt_traces_take(struct ptt_traces *traces)
{
    *traces = (struct ptt_traces){.descriptors = count_entries("/proc/self/fd"),
                                  .threads = count_entries("/proc/self/task"),
                                  .children = count_children(),
                                  .mappings = count_mappings()};
}

/* ThreadSanitizer starts a thread of its own, with the first of ours. */
#ifdef __SANITIZE_THREAD__
enum { FOREIGN_THREADS = 1 };
#else
enum { FOREIGN_THREADS = 0 };
#endif

unsigned ptt_count_threads(void)
{
    unsigned threads = count_entries("/proc/self/task");

    return threads > FOREIGN_THREADS ? threads - FOREIGN_THREADS : threads;
}

uint64_t ptt_anonymous_kib(pid_t pid)
{
    unsigned long long kib = 0;
    char path[64], line[200];

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL && sscanf(line, "RssAnon: %llu kB", &kib) != 1)
        ;
    if (file != NULL)
        fclose(file);
    return kib;
}

static bool is_clean(void *context)
{
    const struct ptt_traces *before = context;
    struct ptt_traces now;

    ptt_traces_take(&now);
    return now.descriptors <= before->descriptors && now.threads <= before->threads + FOREIGN_THREADS &&
           now.children <= before->children && now.mappings <= before->mappings;
}

void ptt_traces_assert_none_left(const struct ptt_traces *before)
{
    struct ptt_traces now;

    if (ptt_wait_until(is_clean, (void *)before, PTT_LONG))
        return;
    ptt_traces_take(&now);
    fail_msg("left behind: descriptors %u -> %u, threads %u -> %u, children %u -> %u, mappings %u -> %u",
             before->descriptors, now.descriptors, before->threads, now.threads, before->children, now.children,
             before->mappings, now.mappings);
}

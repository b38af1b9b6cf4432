/* seen.c -- supervised processes of this host as somebody sees them who is not their parent.
 *
 * Each has said on its command line what it is (main.c), and holds the record that it shares with its parent (record.h).  Both are in /proc, for
 * whoever may look into the process; the first words of the record are read by read(2).  Nobody is asked, and nothing is written.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bus/bus.h"
#include "os/clock.h"
#include "process/life.h"
#include "process/words.h"

#define LINE_MOST 16384 /* bytes of a command line; the words of ours stand at its beginning */
#define WORDS_MOST 32

struct line {
    char text[LINE_MOST + 1];
    char *words[WORDS_MOST + 1];
};

/* Of its command line the words behind our flag; false: it is none of ours, or is gone. */
static bool read_line(int pid, struct line *line)
{
    char path[64];
    size_t count = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, line->text, LINE_MOST) : -1;
    if (fd >= 0)
        (void)close(fd);
    if (size <= 0)
        return false;
    line->text[size] = '\0';
    const char *end = line->text + size;
    char *at = line->text + strlen(line->text) + 1;
    if (at >= end || strcmp(at, PTI_PROCESS_FLAG) != 0)
        return false;
    for (at += strlen(at) + 1; at < end && count < WORDS_MOST; at += strlen(at) + 1)
        line->words[count++] = at;
    line->words[count] = NULL;
    return true;
}

static bool is_of_bus(const ptq_bus *bus, char **words)
{
    char path[sizeof bus->path];
    const char *run = pti_words_find(words, "run="), *dir = pti_words_find(words, "dir=");
    if (run == NULL || dir == NULL || snprintf(path, sizeof path, "%s/%s", dir, run) >= (int)sizeof path)
        return false;
    return strcmp(path, bus->path) == 0;
}

/* What stands before the checkpoints; false: it may not be read, or is not there any more. */
static bool read_record(int pid, char **words, struct pti_record *record)
{
    char path[64];
    const size_t size = offsetof(struct pti_record, checkpoint);
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, pti_words_number(words, "record="));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool good = fd >= 0 && pread(fd, record, size, 0) == (ssize_t)size;
    if (fd >= 0)
        (void)close(fd);
    return good && record->places.size >= sizeof *record;
}

static int64_t parent_of(int pid)
{
    char path[64], text[512];
    int parent = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    size_t size = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file != NULL)
        (void)fclose(file);
    text[size] = '\0';
    const char *close = strrchr(text, ')');
    return close != NULL && sscanf(close + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* relaxed, as all here: words that others write, each good by itself */
static void fill(struct ptq_process_seen *seen, const struct pti_record *record)
{
    uint32_t section = pti_load_relaxed(&record->section);
    int64_t since = pti_load_relaxed(&record->since_ns), now = pti_host_ns();
    seen->section = section < PTQ_SECTIONS ? (enum ptq_section)section : PTQ_SECTION_NONE;
    seen->section_ns = seen->section != PTQ_SECTION_NONE && since != 0 && now > since ? (uint64_t)(now - since) : 0;
    seen->runs = pti_load_relaxed(&record->runs_done);
    seen->lives = pti_load_relaxed(&record->lives);
    seen->restarts = pti_load_relaxed(&record->restarts);
    seen->stopping = pti_load_relaxed(&record->stop) != 0;
    seen->slot = record->slot;
}

static bool look(ptq_bus *bus, int pid, struct line *line, struct pti_record *record, struct ptq_process_seen *seen)
{
    if (!read_line(pid, line) || !is_of_bus(bus, line->words) || !read_record(pid, line->words, record))
        return false;
    const char *name = pti_words_find(line->words, "hooks=");
    *seen = (struct ptq_process_seen){.pid = pid, .parent = parent_of(pid)};
    (void)snprintf(seen->name, sizeof seen->name, "%s", name != NULL ? name : "");
    fill(seen, record);
    return true;
}

enum ptq_err ptq_bus_list_processes(ptq_bus *bus, bool (*each)(const struct ptq_process_seen *process, void *context), void *context)
{
    if (bus == NULL || each == NULL)
        return PTQ_EINVAL;
    struct line *line = malloc(sizeof *line);
    struct pti_record *record = calloc(1, sizeof *record);
    DIR *all = line != NULL && record != NULL ? opendir("/proc") : NULL;
    enum ptq_err err = line == NULL || record == NULL ? PTQ_ENOMEM : all == NULL ? PTQ_ESYS : PTQ_OK;
    const struct dirent *entry;
    struct ptq_process_seen seen;
    bool more = true;
    while (err == PTQ_OK && more && (entry = readdir(all)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && look(bus, atoi(entry->d_name), line, record, &seen))
            more = each(&seen, context);
    if (all != NULL)
        (void)closedir(all);
    free(record);
    free(line);
    return err;
}

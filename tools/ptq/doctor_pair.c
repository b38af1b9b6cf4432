/* doctor_pair.c -- ptq doctor PID PID: do these two processes meet in shared memory, and if not, why?
 *
 * What they have mapped decides: a queue is shared if both map the same file.  Where they share none, the reasons are looked for
 * in the order in which they hide one another: no rights to look, no queue open, user, directory, mount namespace, run.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/report.h"
#include "common/text.h"
#include "doctor.h"

#define QUEUES_MAX 4096 /* of one process */

/* A queue that a process has mapped. */
struct mapped {
    dev_t dev;
    ino_t ino;
    bool removed;
    char name[PTQ_NAME_MAX + 1];
};

struct party {
    const char *pid;
    char command[64];
    uid_t uid;
    char dir[400], run[PTQ_NAME_MAX + 1];
    char mounts[64]; /* its mount namespace, as the kernel names it */
    bool has_place;  /* <dir>/<run> is there, as it sees it, */
    struct stat place;
    struct mapped *queues;
    size_t count;
};

struct verdict {
    json_t *reasons, *queues; /* NULL: printed */
};

static void say(struct verdict *verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct verdict *verdict, const char *format, ...)
{
    char text[1600], safe[3200];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (verdict->reasons != NULL)
        json_array_append_new(verdict->reasons, tool_text_json(text));
    else
        puts(tool_escape(text, strlen(text), safe, sizeof safe)); /* names and paths are other processes' words */
}

/* ---- what a process has */

/* "<dir>/<name>~v2", perhaps " (deleted)". */
static bool read_queue_path(char *path, struct mapped *queue)
{
    static const char deleted[] = " (deleted)";
    size_t length = strlen(path);

    queue->removed = length > strlen(deleted) && strcmp(path + length - strlen(deleted), deleted) == 0;
    if (queue->removed)
        path[length - strlen(deleted)] = '\0';
    char *suffix = strrchr(path, '~'), *slash = strrchr(path, '/');
    if (suffix == NULL || slash == NULL || suffix < slash || suffix[1] != 'v' || !isdigit((unsigned char)suffix[2]) ||
        suffix - slash - 1 > PTQ_NAME_MAX)
        return false;
    snprintf(queue->name, sizeof queue->name, "%.*s", (int)(suffix - slash - 1), slash + 1);
    return true;
}

static void keep_queue(struct party *party, const struct mapped *queue)
{
    for (size_t i = 0; i < party->count; i++)
        if (party->queues[i].ino == queue->ino && party->queues[i].dev == queue->dev)
            return;
    if (party->count < QUEUES_MAX)
        party->queues[party->count++] = *queue;
}

static bool read_maps(struct party *party)
{
    char path[64];
    char *line = NULL;
    size_t room = 0;

    snprintf(path, sizeof path, "/proc/%s/maps", party->pid);
    FILE *file = fopen(path, "re");
    party->queues = calloc(QUEUES_MAX, sizeof *party->queues);
    if (file == NULL || party->queues == NULL)
        return file != NULL && fclose(file) != 0;
    while (getline(&line, &room, file) > 0) {
        struct mapped queue = {0};
        unsigned major_number, minor_number;
        unsigned long long inode;
        int at = 0;

        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%*s %*s %*s %x:%x %llu %n", &major_number, &minor_number, &inode, &at) != 3 || at == 0 || inode == 0)
            continue;
        queue.dev = makedev(major_number, minor_number);
        queue.ino = (ino_t)inode;
        if (read_queue_path(line + at, &queue))
            keep_queue(party, &queue);
    }
    free(line);
    fclose(file);
    return true;
}

/* A variable of its environment as it was when it began. */
static bool read_variable(const struct party *party, const char *name, char *value, size_t size)
{
    char path[64];
    char *text = calloc(1, 1 << 20);
    bool found = false;

    snprintf(path, sizeof path, "/proc/%s/environ", party->pid);
    FILE *file = fopen(path, "re");
    size_t length = file != NULL && text != NULL ? fread(text, 1, (1 << 20) - 1, file) : 0;
    for (char *one = text; !found && one < text + length; one += strlen(one) + 1) {
        if (strncmp(one, name, strlen(name)) == 0 && one[strlen(name)] == '=' && one[strlen(name) + 1] != '\0') {
            snprintf(value, size, "%s", one + strlen(name) + 1);
            found = true;
        }
    }
    if (file != NULL)
        fclose(file);
    free(text);
    return found;
}

static void find_place(struct party *party)
{
    char path[800];

    if (!read_variable(party, "PTQ_DIR", party->dir, sizeof party->dir))
        snprintf(party->dir, sizeof party->dir, "/dev/shm/ptq-%u", (unsigned)party->uid);
    if (!read_variable(party, "PTQ_RUN", party->run, sizeof party->run))
        strcpy(party->run, "default");
    snprintf(path, sizeof path, "/proc/%s/%s%s%s/%s", party->pid, party->dir[0] == '/' ? "root" : "cwd",
             party->dir[0] == '/' ? "" : "/", party->dir, party->run);
    party->has_place = stat(path, &party->place) == 0;
}

static bool read_identity(struct party *party)
{
    char path[64], text[4096];

    snprintf(path, sizeof path, "/proc/%s/status", party->pid);
    const char *line = doctor_read(path, text, sizeof text) ? strstr(text, "\nUid:") : NULL;
    unsigned effective = 0;
    if (line == NULL || sscanf(line, "\nUid: %*u %u", &effective) != 1)
        return false;
    party->uid = effective;
    snprintf(path, sizeof path, "/proc/%s/comm", party->pid);
    if (doctor_read(path, party->command, sizeof party->command))
        party->command[strcspn(party->command, "\n")] = '\0';
    snprintf(path, sizeof path, "/proc/%s/ns/mnt", party->pid);
    ssize_t length = readlink(path, party->mounts, sizeof party->mounts - 1);
    party->mounts[length > 0 ? length : 0] = '\0';
    return true;
}

static int read_party(struct party *party, const char *pid)
{
    party->pid = pid;
    if (!read_identity(party))
        return tool_fail(PTQ_ENOENT, pid, "there is no such process here"), TOOL_ERROR;
    if (!read_maps(party) || party->mounts[0] == '\0')
        return tool_fail(PTQ_EPERM, pid, "cannot look into it (%s), it belongs to user %u - run this as that user, or as root",
                         party->command, (unsigned)party->uid);
    find_place(party);
    return TOOL_OK;
}

static bool is_number(const char *text) { return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0'; }

/* ---- the verdict */

static const struct mapped *find_same(const struct party *party, const struct mapped *queue)
{
    for (size_t i = 0; i < party->count; i++)
        if (party->queues[i].ino == queue->ino && party->queues[i].dev == queue->dev)
            return &party->queues[i];
    return NULL;
}

static size_t tell_shared(struct verdict *verdict, const struct party *one, const struct party *other)
{
    size_t shared = 0;

    for (size_t i = 0; i < one->count; i++) {
        if (find_same(other, &one->queues[i]) == NULL)
            continue;
        shared++;
        if (verdict->queues != NULL)
            json_array_append_new(verdict->queues, tool_text_json(one->queues[i].name));
        say(verdict, "%s (%s) and %s (%s) both have queue '%s' mapped: what one puts there, the other gets from shared memory%s.",
            one->pid, one->command, other->pid, other->command, one->queues[i].name,
            one->queues[i].removed ? "; but its file was removed, nobody else can join them, and their calls will answer PTQ_EGONE"
                                   : "");
    }
    return shared;
}

static void tell_open(struct verdict *verdict, const struct party *party)
{
    size_t used = 0;
    char names[600] = "";

    for (size_t i = 0; i < party->count && used < sizeof names - PTQ_NAME_MAX - 20; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s'%s'%s", i > 0 ? ", " : "", party->queues[i].name,
                                 party->queues[i].removed ? " (its file was removed)" : "");
    if (party->count == 0)
        say(verdict, "%s (%s) has no queue of this host open: it has not opened one yet, has closed it, or reaches it over a link.",
            party->pid, party->command);
    else
        say(verdict, "%s (%s) has open: %s.", party->pid, party->command, names);
}

/* The same name, but two files: the most puzzling case. */
static void tell_twins(struct verdict *verdict, const struct party *one, const struct party *other)
{
    for (size_t i = 0; i < one->count; i++)
        for (size_t j = 0; j < other->count; j++) {
            const struct mapped *a = &one->queues[i], *b = &other->queues[j];
            if (strcmp(a->name, b->name) != 0)
                continue;
            say(verdict, "Both have a queue '%s', but these are two files (device %u:%u inode %llu, device %u:%u inode %llu).",
                a->name, major(a->dev), minor(a->dev), (unsigned long long)a->ino, major(b->dev), minor(b->dev),
                (unsigned long long)b->ino);
            if (a->removed != b->removed)
                say(verdict, "The file of %s was removed after it was opened (RemoveIPC, rm, ptq rm): let it close the queue and open "
                             "it again.",
                    a->removed ? one->pid : other->pid);
        }
}

static bool is_same_place(const struct party *one, const struct party *other)
{
    return one->has_place && other->has_place && one->place.st_dev == other->place.st_dev &&
           one->place.st_ino == other->place.st_ino;
}

static void tell_entry(struct verdict *verdict, const struct party *party)
{
    bool owner = party->place.st_uid == party->uid || party->uid == 0;

    if (!owner && (party->place.st_mode & S_IRWXG) == 0)
        say(verdict, "That directory belongs to user %u and has mode %04o, %s runs as user %u: share it with a group of both, "
                     "chmod 2770, and create queues with --group.",
            (unsigned)party->place.st_uid, (unsigned)party->place.st_mode & 07777, party->pid, (unsigned)party->uid);
}

static void tell_places(struct verdict *verdict, const struct party *one, const struct party *other)
{
    const struct party *both[] = {one, other};

    if (is_same_place(one, other)) {
        say(verdict, "Both would find their queues in the same directory (%s/%s of %s): any queue that both open by the same name is "
                     "shared.",
            one->dir, one->run, one->pid);
        tell_entry(verdict, one);
        tell_entry(verdict, other);
        return;
    }
    for (int i = 0; i < 2; i++)
        say(verdict, "%s (%s, user %u) %s %s/%s%s.", both[i]->pid, both[i]->command, (unsigned)both[i]->uid,
            both[i]->has_place ? "looks in" : "would look in", both[i]->dir, both[i]->run,
            both[i]->has_place ? "" : ", which does not exist there");
    if (strcmp(one->dir, other->dir) == 0 && strcmp(one->run, other->run) == 0 && strcmp(one->mounts, other->mounts) != 0)
        say(verdict, "The paths are the same, but the two are in different mount namespaces (containers), where that path leads to "
                     "different file systems: mount one volume, or the host's directory, at that path in both.");
    else if (strcmp(one->dir, other->dir) != 0 && one->uid != other->uid)
        say(verdict, "Their directories differ, as those of different users do by default: set PTQ_DIR of both to one directory that "
                     "is shared with a group of both.");
    else if (strcmp(one->dir, other->dir) != 0)
        say(verdict, "Their directories differ: set PTQ_DIR of both to the same one%s.",
            strcmp(one->mounts, other->mounts) != 0 ? ", mounted from one volume in both containers" : "");
    else if (strcmp(one->run, other->run) != 0)
        say(verdict, "Their runs differ: set PTQ_RUN of both to the same name.");
    if (strcmp(one->run, other->run) != 0 && strcmp(one->dir, other->dir) != 0)
        say(verdict, "Their runs differ too: set PTQ_RUN of both to the same name.");
}

int doctor_pair(const char *one_pid, const char *other_pid, bool json)
{
    struct verdict verdict = {json ? json_array() : NULL, json ? json_array() : NULL};
    struct party one = {0}, other = {0};
    size_t shared = 0;
    int code = TOOL_OK;

    if (!is_number(one_pid) || !is_number(other_pid))
        code = tool_misuse("doctor", "'%s' is no PID", is_number(one_pid) ? other_pid : one_pid);
    if (code == TOOL_OK)
        code = read_party(&one, one_pid);
    if (code == TOOL_OK)
        code = read_party(&other, other_pid);
    if (code == TOOL_OK) {
        shared = tell_shared(&verdict, &one, &other);
        if (shared == 0) {
            say(&verdict, "%s (%s) and %s (%s) share no queue.", one.pid, one.command, other.pid, other.command);
            tell_open(&verdict, &one);
            tell_open(&verdict, &other);
            tell_twins(&verdict, &one, &other);
            tell_places(&verdict, &one, &other);
            say(&verdict, "(PTQ_DIR and PTQ_RUN are those with which a process began; a program may have chosen others.)");
        }
        code = shared > 0 ? TOOL_OK : TOOL_ERROR;
    }
    free(one.queues);
    free(other.queues);
    if (!json)
        return code;
    if (one.pid == NULL || other.pid == NULL || (json_array_size(verdict.reasons) == 0)) {
        json_decref(verdict.reasons);
        json_decref(verdict.queues);
        return code;
    }
    tool_print_json(json_pack("{s:i, s:[s, s], s:b, s:o, s:o}", "v", 1, "pair", one_pid, other_pid, "shared", shared > 0,
                              "queues", verdict.queues, "reasons", verdict.reasons),
                    stdout);
    return code;
}

/* doctor_queues.c -- ptq doctor: what is in the bus: damage, other layouts, what the dead left, and what may still be asked. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ptq/metrics.h>

#include "common/text.h"
#include "doctor.h"
#include "names.h"

/* So many of a kind, the first few by name. */
struct bunch {
    unsigned count;
    char names[200];
};

static void add_name(struct bunch *bunch, const char *name)
{
    size_t used = strlen(bunch->names);

    if (bunch->count < 3)
        snprintf(bunch->names + used, sizeof bunch->names - used, "%s%.60s", used > 0 ? ", " : "", name);
    else if (bunch->count == 3)
        snprintf(bunch->names + used, sizeof bunch->names - used, ", ...");
    bunch->count++;
}

struct survey {
    struct doctor *doctor;
    ptq_bus *bus;
    unsigned queues;
    struct bunch with_dead, crowded, unused, refused;
};

static void note_room(struct doctor *doctor, const struct ptq_view_info *info)
{
    struct stat status;
    uint64_t has = stat(info->path, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;

    if (info->file_bytes > has)
        doctor->could_grow += info->file_bytes - has;
    if (info->file_bytes > doctor->largest)
        doctor->largest = info->file_bytes;
}

static void look_at_queue(struct survey *survey, const char *name)
{
    struct ptq_error error = {0};
    struct ptq_queue_stats stats;
    struct ptq_view_info info;
    ptq_view *view = NULL;

    survey->queues++;
    enum ptq_err err = ptq_view_open(survey->bus, name, &error, &view);
    if (err == PTQ_EPERM)
        add_name(&survey->refused, name);
    else if (err != PTQ_OK && err != PTQ_ENOENT)
        doctor_say(survey->doctor, DOCTOR_MEND, "queues", NULL, "%s", error.text);
    if (err != PTQ_OK)
        return;
    if (ptq_view_info(view, &info) == PTQ_OK && ptq_view_stats(view, &stats) == PTQ_OK) {
        note_room(survey->doctor, &info);
        if (stats.dead_endpoints > 0)
            add_name(&survey->with_dead, name);
        if (stats.endpoints * 10 >= info.max_endpoints * 9)
            add_name(&survey->crowded, name);
        if (stats.endpoints == 0)
            add_name(&survey->unused, name);
    }
    ptq_view_close(view);
}

static bool note_other_layout(const char *name, int layout, void *context)
{
    doctor_say(context, DOCTOR_MEND, "queues", "empty it with the ptq that made it, then remove it with ptq rm --force",
               "queue '%s' has memory layout %d, this ptq has layout %d: neither can use the other's", name, layout,
               PTQ_LAYOUT_VERSION);
    return true;
}

/* A half-made file whose creator is gone: nobody holds a lock in it. */
static bool is_abandoned(int dirfd, const char *file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = openat(dirfd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool abandoned = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;

    if (fd >= 0)
        close(fd);
    return abandoned;
}

static void look_for_leftovers(struct doctor *doctor)
{
    DIR *directory = opendir(doctor->path);
    struct bunch left = {0};
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (strstr(entry->d_name, "~new.") != NULL && is_abandoned(dirfd(directory), entry->d_name))
            add_name(&left, entry->d_name);
    }
    if (directory != NULL)
        closedir(directory);
    if (left.count > 0)
        doctor_say(doctor, DOCTOR_MEND, "leftovers", "remove them with ptq gc", "%u half-made file%s of killed creators: %s",
                   left.count, left.count == 1 ? "" : "s", left.names);
}

/* ---- names that are here and elsewhere: a bare name means the one here, on another host perhaps the other */

#define ASKED_MOST 100 /* names */

/* A name that is looked for at each peer. */
struct twin {
    ptq_bus *bus;
    const char *name;
    char node[64]; /* where it is, too */
    size_t asked;
};

static bool ask_peer(const char *node, const char *url, void *context)
{
    struct twin *twin = context;
    struct ptq_queue_options attach = {.mode = PTQ_ATTACH};
    struct ptq_queue_path path;
    ptq_queue *queue = NULL;
    char full[PTQ_NAME_MAX + 80];
    (void)url;

    twin->asked++;
    snprintf(full, sizeof full, "%s@%s", twin->name, node);
    if (ptq_queue_open(twin->bus, full, &attach, &queue) == PTQ_OK && ptq_queue_path(queue, &path) == PTQ_OK && path.remote)
        snprintf(twin->node, sizeof twin->node, "%s", node);
    ptq_queue_close(queue);
    return twin->node[0] == '\0';
}

static void look_at_names(struct doctor *doctor, const struct names *names)
{
    struct ptq_bus_options options = {.dir = globals.dir, .peers = globals.peers, .insecure = globals.insecure, .keys = globals.keys};
    struct bunch twins = {0};
    struct twin twin = {0};
    char where[64] = "";

    if (ptq_bus_open(doctor->run, &options, &twin.bus) != PTQ_OK)
        return;
    for (size_t i = 0; i < names->count && i < ASKED_MOST; i++) {
        twin.name = names->items[i];
        twin.node[0] = '\0';
        if (ptq_bus_list_peers(twin.bus, ask_peer, &twin) != PTQ_OK || twin.node[0] == '\0')
            continue;
        add_name(&twins, twin.name);
        strcpy(where, twin.node);
    }
    ptq_bus_close(twin.bus);
    if (twins.count > 0)
        doctor_say(doctor, DOCTOR_MEND, "names", "empty and remove one of the two, or write NAME@self and NAME@NODE",
                   "%u both here and at another host ('%s'), where the bare name means another queue than here: %s", twins.count,
                   where, twins.names);
    else if (twin.asked > 0)
        doctor_say(doctor, DOCTOR_OK, "names", NULL, "none of this bus was found at a peer too");
    if (twin.asked > 0 && names->count > ASKED_MOST)
        doctor_say(doctor, DOCTOR_NOTE, "names", NULL, "only the first %d of %zu names were asked for at peers", ASKED_MOST,
                   names->count);
}

static void tell(struct survey *survey)
{
    struct doctor *doctor = survey->doctor;
    char grow[16], free_text[16];

    if (survey->with_dead.count > 0)
        doctor_say(doctor, DOCTOR_MEND, "queues", "ptq gc recovers them, and so does whoever uses the queue next",
                   "%u with dead processes that nobody has recovered: %s", survey->with_dead.count, survey->with_dead.names);
    if (survey->crowded.count > 0)
        doctor_say(doctor, DOCTOR_MEND, "queues", "close some, or make the queue anew with more --max-endpoints, to 2047",
                   "%u with nearly all endpoints taken (each thread that uses a queue is one): %s", survey->crowded.count,
                   survey->crowded.names);
    if (survey->refused.count > 0)
        doctor_say(doctor, DOCTOR_NOTE, "queues", "their owner may share them: ptq create --group, or chgrp and chmod 0660",
                   "%u that user %u may not look at: %s", survey->refused.count, (unsigned)geteuid(), survey->refused.names);
    if (survey->unused.count > 0)
        doctor_say(doctor, DOCTOR_NOTE, "queues", "ptq gc removes those that are empty",
                   "%u that nobody has open: %s", survey->unused.count, survey->unused.names);
    if (doctor->could_grow > doctor->free_bytes)
        doctor_say(doctor, DOCTOR_MEND, "space", "enlarge the file system, or make smaller queues; --prefault takes all at create",
                   "full queues would need %s more than they have, %s are free: then a put answers PTQ_ENOSPC",
                   tool_human(doctor->could_grow, 1024, grow), tool_human(doctor->free_bytes, 1024, free_text));
    if (survey->with_dead.count + survey->crowded.count == 0)
        doctor_say(doctor, DOCTOR_OK, "queues", NULL, "%u looked at", survey->queues);
}

void doctor_look_at_queues(struct doctor *doctor)
{
    struct ptq_bus_options options = {.dir = globals.dir, .peers = ""};
    struct survey survey = {.doctor = doctor};
    struct names names = {0};

    if (!doctor->is_there || ptq_bus_open(doctor->run, &options, &survey.bus) != PTQ_OK)
        return;
    if (names_read(&names, survey.bus) == TOOL_OK) {
        for (size_t i = 0; i < names.count; i++)
            look_at_queue(&survey, names.items[i]);
        tell(&survey);
        look_at_names(doctor, &names);
    }
    names_fini(&names);
    if (ptq_bus_list_other(survey.bus, note_other_layout, doctor) != PTQ_OK)
        doctor_say(doctor, DOCTOR_NOTE, "queues", NULL, "queues of other layouts could not be looked for");
    look_for_leftovers(doctor);
    ptq_bus_close(survey.bus);
}

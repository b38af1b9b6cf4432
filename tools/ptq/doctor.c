/* doctor.c -- ptq doctor: what stands in the way of a bus on this host, and what to do about it. */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "common/report.h"
#include "common/text.h"

struct doctor_options {
    bool json, quiet;
};

static const struct tool_option doctor_options[] = {
    {'q', "quiet", TOOL_FLAG, offsetof(struct doctor_options, quiet), NULL, "show only what is to be mended"},
    {0, "json", TOOL_FLAG, offsetof(struct doctor_options, json), NULL, "one JSON object"},
    {0}};

const struct tool_usage doctor_usages[] = {
    {.name = "doctor",
     .operands = "[PID PID]",
     .summary = "find what stands in a bus's way, or between two processes",
     .text = "Looks at the directory of the bus and its file system, at systemd's RemoveIPC, the limits of this process, inotify, "
             "control groups, the kernel, and at the queues: damaged ones, those of another memory layout, what the dead left.  "
             "It changes nothing.  Each line says what was looked at; one that begins with MEND says what to do.\n\n"
             "With two processes: says whether they have a queue in common in shared memory, and if not, why: another directory "
             "or run, another user, a mount namespace in which the same path leads elsewhere, a queue that was removed under "
             "one of them.  It needs the right to look at both (their user, or root).\n\n"
             "Exits 0 if all is well, or if the two share memory; 1 if something is to be mended, or if they do not.",
     .examples = "ptq doctor\nptq doctor 1234 1240",
     .options = doctor_options},
    {0}};

static const char *const level_words[] = {"ok", "note", "MEND"};

void doctor_say(struct doctor *doctor, enum doctor_level level, const char *check, const char *remedy, const char *format,
                ...)
{
    char text[1000], safe[2000];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    doctor->mend += level == DOCTOR_MEND;
    if (doctor->findings != NULL) {
        json_t *finding = json_pack("{s:s, s:s}", "check", check, "level", level == DOCTOR_MEND ? "mend" : level_words[level]);
        json_object_set_new(finding, "found", tool_text_json(text));
        if (remedy != NULL)
            json_object_set_new(finding, "remedy", tool_text_json(remedy));
        json_array_append_new(doctor->findings, finding);
    } else if (!doctor->quiet || level == DOCTOR_MEND) {
        printf("%-4s  %-10s  %s%s%s\n", level_words[level], check,
               tool_escape(text, strlen(text), safe, sizeof safe), remedy != NULL ? " - " : "",
               remedy != NULL ? remedy : "");
    }
}

bool doctor_read(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t got = 0;

    while (fd >= 0 && used < size - 1 && (got = read(fd, buffer + used, size - 1 - used)) > 0)
        used += (size_t)got;
    if (fd >= 0)
        close(fd);
    buffer[used] = '\0';
    return fd >= 0 && got >= 0;
}

/* As the library chooses them (ptq/bus.h). */
static void find_bus(struct doctor *doctor)
{
    const char *dir = globals.dir != NULL ? globals.dir : getenv("PTQ_DIR");
    const char *run = globals.run != NULL ? globals.run : getenv("PTQ_RUN");

    doctor->chosen = dir != NULL && dir[0] != '\0';
    doctor->run = run != NULL && run[0] != '\0' ? run : "default";
    if (doctor->chosen)
        snprintf(doctor->dir, sizeof doctor->dir, "%s", dir);
    else
        snprintf(doctor->dir, sizeof doctor->dir, "/dev/shm/ptq-%u", (unsigned)geteuid());
    snprintf(doctor->path, sizeof doctor->path, "%s/%s", doctor->dir, doctor->run);
}

static int look(const struct doctor_options *options)
{
    struct doctor doctor = {.quiet = options->quiet};

    find_bus(&doctor);
    if (options->json)
        doctor.findings = json_array();
    if (strcmp(ptq_version(), PTQ_VERSION) != 0)
        doctor_say(&doctor, DOCTOR_MEND, "version", "install both of one release",
                   "this program is of ptq %s, the library that it loads is %s", PTQ_VERSION, ptq_version());
    else
        doctor_say(&doctor, DOCTOR_OK, "version", NULL, "ptq %s, memory layout %d, wire %d", ptq_version(),
                   PTQ_LAYOUT_VERSION, PTQ_WIRE_VERSION);
    doctor_look_at_place(&doctor);
    doctor_look_at_queues(&doctor);
    doctor_look_at_host(&doctor);
    if (options->json)
        tool_print_json(json_pack("{s:i, s:s, s:b, s:i, s:o}", "v", 1, "bus", doctor.path, "well", doctor.mend == 0, "mend",
                                  (int)doctor.mend, "findings", doctor.findings),
                        stdout);
    return doctor.mend == 0 ? TOOL_OK : TOOL_ERROR;
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor_options options = {0};
    int first = tool_read_operands(doctor_usages, argc, argv, &options, 0, 2);

    if (argc - first == 1)
        return tool_misuse("doctor", "a pair is two processes: give two PIDs, or none");
    int code = argc == first ? look(&options) : doctor_pair(argv[first], argv[first + 1], options.json);
    int finished = tool_finish();
    return code != TOOL_OK ? code : finished;
}

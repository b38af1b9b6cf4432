/* doctor_host.c -- ptq doctor: what the host does behind a bus's back: systemd, limits, inotify, control groups, the kernel. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/membarrier.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/text.h"
#include "doctor.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* ---- systemd: RemoveIPC */

#define FIRST_PERSON 1000 /* below are system users, whom RemoveIPC leaves alone */

/* The last "RemoveIPC=" in the file decides; -1: it says nothing. */
static int read_remove_ipc(const char *path, int before)
{
    char text[16384];
    char *rest = text, *line;
    int value = before;

    if (!doctor_read(path, text, sizeof text))
        return before;
    while ((line = strsep(&rest, "\n")) != NULL) {
        line += strspn(line, " \t");
        if (strncmp(line, "RemoveIPC", 9) != 0)
            continue;
        line += 9 + strspn(line + 9, " \t=");
        value = strncmp(line, "no", 2) != 0 && strncmp(line, "0", 1) != 0 && strncmp(line, "false", 5) != 0 &&
                strncmp(line, "off", 3) != 0;
    }
    return value;
}

static int read_drop_ins(const char *pattern, int value)
{
    glob_t found;

    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++)
            value = read_remove_ipc(found.gl_pathv[i], value);
        globfree(&found);
    }
    return value;
}

static bool lingers(void)
{
    const struct passwd *user = getpwuid(geteuid());
    char path[300];

    if (user == NULL)
        return false;
    snprintf(path, sizeof path, "/var/lib/systemd/linger/%s", user->pw_name);
    return access(path, F_OK) == 0;
}

static void look_at_remove_ipc(struct doctor *doctor)
{
    int value = 1; /* as systemd is built */

    if (access("/run/systemd/system", F_OK) != 0) {
        doctor_say(doctor, DOCTOR_OK, "removeipc", NULL, "no systemd here: nobody removes what is in /dev/shm at logout");
        return;
    }
    value = read_remove_ipc("/usr/lib/systemd/logind.conf", value);
    value = read_remove_ipc("/etc/systemd/logind.conf", value);
    value = read_drop_ins("/usr/lib/systemd/logind.conf.d/*.conf", value);
    value = read_drop_ins("/run/systemd/logind.conf.d/*.conf", value);
    value = read_drop_ins("/etc/systemd/logind.conf.d/*.conf", value);
    if (value == 0)
        doctor_say(doctor, DOCTOR_OK, "removeipc", NULL, "RemoveIPC=no: queues stay when their user logs out");
    else if (strncmp(doctor->dir, "/dev/shm", 8) != 0)
        doctor_say(doctor, DOCTOR_OK, "removeipc", NULL, "RemoveIPC is on, but reaches only /dev/shm");
    else if (geteuid() < FIRST_PERSON || lingers())
        doctor_say(doctor, DOCTOR_OK, "removeipc", NULL, "RemoveIPC is on, but leaves user %u alone%s", (unsigned)geteuid(),
                   geteuid() < FIRST_PERSON ? " (a system user)" : " (it lingers)");
    else
        doctor_say(doctor, DOCTOR_MEND, "removeipc",
                   "set RemoveIPC=no in /etc/systemd/logind.conf.d/ptq.conf, or loginctl enable-linger, or run as a system user",
                   "systemd removes the queues of user %u from /dev/shm when its last session ends: calls answer PTQ_EGONE",
                   (unsigned)geteuid());
}

/* ---- limits */

static void look_at_limit(struct doctor *doctor, int resource, const char *what, const char *remedy, uint64_t least)
{
    struct rlimit limit;
    char text[16];

    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= least)
        return;
    doctor_say(doctor, DOCTOR_MEND, "limits", remedy, "this process may have only %s%s", tool_human(limit.rlim_cur, 1024, text),
               what);
}

static void look_at_limits(struct doctor *doctor)
{
    uint64_t file = doctor->largest > 0 ? doctor->largest : 16u << 20;
    unsigned before = doctor->mend;

    look_at_limit(doctor, RLIMIT_NOFILE, " descriptors; an open queue needs one, a sleeping thread up to four",
                  "ulimit -n 1024, LimitNOFILE= in a unit", 256);
    look_at_limit(doctor, RLIMIT_FSIZE, " bytes in a file: larger queues cannot be made", "ulimit -f unlimited, LimitFSIZE= in a unit",
                  file);
    look_at_limit(doctor, RLIMIT_AS, " bytes of address space: queues are mapped whole", "ulimit -v unlimited, LimitAS= in a unit",
                  file + (256u << 20));
    if (doctor->mend == before)
        doctor_say(doctor, DOCTOR_OK, "limits", NULL, "descriptors, file size and address space suffice; memory is never locked");
}

/* ---- inotify */

static unsigned long read_figure(const char *path)
{
    char text[64];

    return doctor_read(path, text, sizeof text) ? strtoul(text, NULL, 10) : 0;
}

static unsigned count_watches(const char *fdinfo)
{
    char line[512];
    unsigned count = 0;
    FILE *file = fopen(fdinfo, "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        count += strncmp(line, "inotify wd:", 11) == 0;
    if (file != NULL)
        fclose(file);
    return count;
}

static void count_of_process(const char *pid, unsigned *instances, unsigned *watches)
{
    char path[300], target[32];
    struct dirent *entry;

    snprintf(path, sizeof path, "/proc/%.20s/fd", pid);
    DIR *directory = opendir(path);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (strcmp(target, "anon_inode:inotify") != 0 && strcmp(target, "inotify") != 0)
            continue;
        ++*instances;
        snprintf(path, sizeof path, "/proc/%.20s/fdinfo/%.20s", pid, entry->d_name);
        *watches += count_watches(path);
    }
    if (directory != NULL)
        closedir(directory);
}

static void count_of_user(unsigned *instances, unsigned *watches)
{
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    struct stat status;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
            fstatat(dirfd(directory), entry->d_name, &status, 0) == 0 && status.st_uid == geteuid())
            count_of_process(entry->d_name, instances, watches);
    }
    if (directory != NULL)
        closedir(directory);
}

static void look_at_inotify(struct doctor *doctor)
{
    unsigned long most = read_figure("/proc/sys/fs/inotify/max_user_instances");
    unsigned long most_watches = read_figure("/proc/sys/fs/inotify/max_user_watches");
    unsigned instances = 0, watches = 0;
    int fd = inotify_init1(IN_CLOEXEC);

    if (fd >= 0)
        close(fd);
    count_of_user(&instances, &watches);
    if (fd < 0)
        doctor_say(doctor, DOCTOR_MEND, "inotify", "sysctl fs.inotify.max_user_instances=1024",
                   "user %u can have no more instances (%u seen of %lu): sleepers look every 250 ms instead of being woken",
                   (unsigned)geteuid(), instances, most);
    else if (most > 0 && instances * 10 >= most * 9)
        doctor_say(doctor, DOCTOR_MEND, "inotify", "sysctl fs.inotify.max_user_instances=1024",
                   "user %u has %u instances of %lu: each process that sleeps for long needs one", (unsigned)geteuid(), instances,
                   most);
    else if (most_watches > 0 && watches * 10ul >= most_watches * 9)
        doctor_say(doctor, DOCTOR_MEND, "inotify", "sysctl fs.inotify.max_user_watches=1048576",
                   "user %u has %u watches of %lu: each queue that a process waits for needs one", (unsigned)geteuid(), watches,
                   most_watches);
    else
        doctor_say(doctor, DOCTOR_OK, "inotify", NULL, "%u of %lu instances and %u of %lu watches are in use by user %u",
                   instances, most, watches, most_watches, (unsigned)geteuid());
}

/* ---- control groups */

/* Where the hierarchy with this file-system type and option is mounted. */
static bool find_hierarchy(const char *type, const char *option, char *mount, size_t size)
{
    FILE *file = fopen("/proc/self/mounts", "re");
    char line[2048], place[1024], kind[64], options[512];
    bool found = false;

    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found = sscanf(line, "%*s %1023s %63s %511s", place, kind, options) == 3 && strcmp(kind, type) == 0 &&
                (option == NULL || strstr(options, option) != NULL);
    }
    if (file != NULL)
        fclose(file);
    if (found)
        snprintf(mount, size, "%s", place);
    return found;
}

/* The path of this process in a hierarchy: the line "N:<controllers>:<path>". */
static bool find_group(const char *controller, char *path, size_t size)
{
    char text[8192];
    char *rest = text, *line;

    if (!doctor_read("/proc/self/cgroup", text, sizeof text))
        return false;
    while ((line = strsep(&rest, "\n")) != NULL) {
        char *names = strchr(line, ':'), *where = names != NULL ? strchr(names + 1, ':') : NULL;
        if (where == NULL)
            continue;
        *where++ = '\0';
        names++;
        if (strcmp(names, controller) != 0)
            continue;
        snprintf(path, size, "%s", where);
        return true;
    }
    return false;
}

/* The least limit on the way up, and what is left of it. */
static bool find_memory_limit(const char *mount, char *path, const char *max_file, const char *used_file, uint64_t *ret_max,
                              uint64_t *ret_left)
{
    char file[2048], text[64];
    bool found = false;

    for (;;) {
        snprintf(file, sizeof file, "%s%s/%s", mount, path, max_file);
        if (doctor_read(file, text, sizeof text) && text[0] >= '0' && text[0] <= '9') {
            uint64_t max = strtoull(text, NULL, 10), used = 0;
            snprintf(file, sizeof file, "%s%s/%s", mount, path, used_file);
            if (doctor_read(file, text, sizeof text))
                used = strtoull(text, NULL, 10);
            uint64_t left = max > used ? max - used : 0;
            if (max < UINT64_C(1) << 60 && (!found || left < *ret_left)) {
                *ret_max = max;
                *ret_left = left;
                found = true;
            }
        }
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return found;
        *slash = '\0';
    }
}

static void look_at_cgroup(struct doctor *doctor)
{
    char mount[1024], path[1024], max_text[16], left_text[16], grow_text[16];
    uint64_t max = 0, left = 0;
    bool limited = find_hierarchy("cgroup2", NULL, mount, sizeof mount) && find_group("", path, sizeof path) &&
                   find_memory_limit(mount, path, "memory.max", "memory.current", &max, &left);

    if (!limited)
        limited = find_hierarchy("cgroup", "memory", mount, sizeof mount) && find_group("memory", path, sizeof path) &&
                  find_memory_limit(mount, path, "memory.limit_in_bytes", "memory.usage_in_bytes", &max, &left);
    if (!limited) {
        doctor_say(doctor, DOCTOR_OK, "cgroup", NULL, "no limit of memory");
        return;
    }
    tool_human(max, 1024, max_text);
    tool_human(left, 1024, left_text);
    uint64_t grow = doctor->could_grow < doctor->free_bytes ? doctor->could_grow : doctor->free_bytes;
    if (grow > left)
        doctor_say(doctor, DOCTOR_MEND, "cgroup", "raise memory.max (docker run --memory), make smaller queues, or --prefault",
                   "the control group may have %s of memory and has %s left, full queues would need %s more: they count to whoever "
                   "writes first, and beyond the limit the kernel kills, where a full file system would be an answer",
                   max_text, left_text, tool_human(grow, 1024, grow_text));
    else
        doctor_say(doctor, DOCTOR_OK, "cgroup", NULL, "a limit of %s, of which %s are left: enough for these queues", max_text,
                   left_text);
}

/* ---- the kernel */

static void look_at_clock(struct doctor *doctor)
{
    char text[512];
    long long seconds = 0;
    const char *line = doctor_read("/proc/self/timens_offsets", text, sizeof text) ? strstr(text, "monotonic") : NULL;

    if (line != NULL && sscanf(line, "monotonic %lld", &seconds) == 1 && seconds != 0)
        doctor_say(doctor, DOCTOR_NOTE, "clock", NULL,
                   "a time namespace, %lld s from the host's clock: delays and ages are kept by the host's", seconds);
    if (access("/proc/self/stat", R_OK) != 0)
        doctor_say(doctor, DOCTOR_NOTE, "proc", "mount -t proc proc /proc",
                   "no /proc: the offset of a time namespace is unknown, and creators that are killed leave files");
}

static void look_at_kernel(struct doctor *doctor)
{
    long barriers = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
    bool has_barrier = barriers >= 0 && (barriers & MEMBARRIER_CMD_GLOBAL_EXPEDITED) != 0;
    bool has_waitv = !(syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && (errno == ENOSYS || errno == EPERM));
    long pidfd = syscall(SYS_pidfd_open, getpid(), 0);

    if (!has_barrier)
        doctor_say(doctor, DOCTOR_NOTE, "kernel", "allow membarrier(2): Linux 4.16 or later, and the seccomp profile",
                   "no membarrier: every ack is an atomic exchange, which is slower");
    if (!has_waitv)
        doctor_say(doctor, DOCTOR_NOTE, "kernel", "allow futex_waitv(2): Linux 5.16 or later, and the seccomp profile",
                   "no futex_waitv: waiting on several queues goes through descriptors");
    if (pidfd < 0)
        doctor_say(doctor, DOCTOR_MEND, "kernel", "allow pidfd_open(2): Linux 5.3 or later, and the seccomp profile",
                   "no pidfd: pools cannot watch their workers");
    else
        close((int)pidfd);
    if (has_barrier && has_waitv && pidfd >= 0)
        doctor_say(doctor, DOCTOR_OK, "kernel", NULL, "membarrier, futex_waitv and pidfd work");
}

void doctor_look_at_host(struct doctor *doctor)
{
    look_at_remove_ipc(doctor);
    look_at_limits(doctor);
    look_at_inotify(doctor);
    look_at_cgroup(doctor);
    look_at_clock(doctor);
    look_at_kernel(doctor);
}

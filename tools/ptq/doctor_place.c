/* doctor_place.c -- ptq doctor: the directory of the bus, and the file system under it. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/text.h"
#include "doctor.h"

#define DOCKER_SHM (64u << 20)       /* what a container gets if nobody says more */
#define FEW_BYTES (16u << 20)        /* a queue of the default size needs about as much when it is full */
#define FEW_INODES 16u

/* ---- the file system */

static const char *name_type(long type)
{
    static const struct {
        unsigned long type;
        const char *name;
    } names[] = {{0x01021994, "tmpfs"}, {0xef53, "ext4"},        {0x58465342, "xfs"},  {0x9123683e, "btrfs"},
                 {0x794c7630, "overlayfs"}, {0x858458f6, "ramfs"}, {0x6969, "NFS"},      {0x65735546, "FUSE"},
                 {0xfe534d42, "SMB"},    {0xff534d42, "SMB"},     {0x01021997, "9P"},   {0x00c36400, "Ceph"}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (((unsigned long)type & 0xffffffffu) == names[i].type)
            return names[i].name;
    return "another type";
}

static void judge_type(struct doctor *doctor, const char *type)
{
    if (strcmp(type, "NFS") == 0 || strcmp(type, "FUSE") == 0 || strcmp(type, "SMB") == 0 || strcmp(type, "9P") == 0 ||
        strcmp(type, "Ceph") == 0)
        doctor_say(doctor, DOCTOR_MEND, "mount", "set PTQ_DIR to a directory on tmpfs",
                   "%s is on %s: its locks do not tell who is alive, so no bus is opened there", doctor->dir, type);
    else if (strcmp(type, "overlayfs") == 0)
        doctor_say(doctor, DOCTOR_NOTE, "mount", "to share it with other containers, mount one volume at PTQ_DIR in each",
                   "%s is on overlayfs, a container's own file system: no other container can see it", doctor->dir);
    else if (strcmp(type, "tmpfs") != 0 && strcmp(type, "ramfs") != 0)
        doctor_say(doctor, DOCTOR_NOTE, "mount", "a directory on tmpfs is faster, and no less durable",
                   "%s is on %s: the kernel writes what is in the queues to disk now and then", doctor->dir, type);
}

static void judge_space(struct doctor *doctor, const char *place, const char *type, const struct statvfs *space)
{
    uint64_t size = (uint64_t)space->f_blocks * space->f_frsize;
    char free_text[16], size_text[16];

    doctor->free_bytes = (uint64_t)space->f_bavail * space->f_frsize;
    tool_human(doctor->free_bytes, 1024, free_text);
    tool_human(size, 1024, size_text);
    if ((space->f_flag & ST_RDONLY) != 0)
        doctor_say(doctor, DOCTOR_MEND, "mount", "mount it writable; until then queues can be watched, not used",
                   "the file system of %s is mounted read-only", place);
    if (doctor->free_bytes < FEW_BYTES)
        doctor_say(doctor, DOCTOR_MEND, "space", "free some, or enlarge it: mount -o remount,size=1G, docker run --shm-size 1g",
                   "%s of %s are free under %s: a put that needs more answers PTQ_ENOSPC", free_text, size_text, place);
    else if (size > 0 && size <= DOCKER_SHM && strcmp(type, "tmpfs") == 0)
        doctor_say(doctor, DOCTOR_MEND, "space",
                   "give it more: docker run --shm-size 1g, or an emptyDir of medium Memory with a sizeLimit",
                   "the whole file system of %s has %s, which is what a container gets by default", place, size_text);
    else
        doctor_say(doctor, DOCTOR_OK, "space", NULL, "%s: %s, %s free of %s", place, type, free_text, size_text);
    if (space->f_files > 0 && space->f_favail < FEW_INODES)
        doctor_say(doctor, DOCTOR_MEND, "space", "remove files, or mount it with a larger nr_inodes",
                   "%llu inodes are left under %s: a queue needs one", (unsigned long long)space->f_favail, place);
}

static void look_at_mount(struct doctor *doctor, const char *place)
{
    struct statvfs space;
    struct statfs kind;

    if (statvfs(place, &space) != 0 || statfs(place, &kind) != 0) {
        doctor_say(doctor, DOCTOR_MEND, "mount", "see that it exists and may be entered", "%s cannot be looked at: %s", place,
                   strerror(errno));
        return;
    }
    judge_type(doctor, name_type((long)kind.f_type));
    judge_space(doctor, place, name_type((long)kind.f_type), &space);
}

/* ---- what the kernel can do there */

static void look_at_files(struct doctor *doctor)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int fd = open(doctor->path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        if (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)
            doctor_say(doctor, DOCTOR_NOTE, "files", "ptq gc removes what killed creators leave",
                       "no unnamed files (O_TMPFILE) there: a creator that is killed leaves one behind");
        return;
    }
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0)
        doctor_say(doctor, DOCTOR_MEND, "files", "set PTQ_DIR to a directory on tmpfs",
                   "no open-file-description locks there (%s): nobody would know who is alive", strerror(errno));
    else
        doctor_say(doctor, DOCTOR_OK, "files", NULL, "unnamed files and open-file-description locks work there");
    close(fd);
}

/* ---- the directory */

static void look_at_parent(struct doctor *doctor)
{
    char parent[400];

    snprintf(parent, sizeof parent, "%s", doctor->dir);
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        strcpy(parent, ".");
    else
        slash[slash == parent] = '\0';
    if (access(parent, F_OK) != 0)
        doctor_say(doctor, DOCTOR_MEND, "directory", "make it, or set PTQ_DIR to another",
                   "%s does not exist, and neither does %s: only the last part is made", doctor->dir, parent);
    else if (access(parent, W_OK | X_OK) != 0)
        doctor_say(doctor, DOCTOR_MEND, "directory", "make it for this user, or set PTQ_DIR to another",
                   "%s does not exist, and user %u may not make it in %s", doctor->dir, (unsigned)geteuid(), parent);
    else
        doctor_say(doctor, DOCTOR_OK, "directory", NULL, "%s does not exist yet: the first to open a bus makes it",
                   doctor->dir);
    if (access(parent, F_OK) == 0)
        look_at_mount(doctor, parent);
}

/* The library's own verdict. */
static void open_it(struct doctor *doctor)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = globals.dir, .peers = "", .error = &error};
    struct stat status;
    ptq_bus *bus = NULL;

    if (ptq_bus_open(doctor->run, &options, &bus) != PTQ_OK) {
        doctor_say(doctor, DOCTOR_MEND, "directory", NULL, "%s", error.text);
        return;
    }
    if (stat(ptq_bus_path(bus), &status) == 0)
        doctor_say(doctor, DOCTOR_OK, "directory", NULL, "%s belongs to user %u, group %u, mode %04o", ptq_bus_path(bus),
                   (unsigned)status.st_uid, (unsigned)status.st_gid, (unsigned)status.st_mode & 07777);
    if (access(ptq_bus_path(bus), W_OK) != 0)
        doctor_say(doctor, DOCTOR_NOTE, "directory", "its owner may give the group the right to write: chmod g+w",
                   "user %u can make no queue in %s", (unsigned)geteuid(), ptq_bus_path(bus));
    ptq_bus_close(bus);
    doctor->is_there = true;
}

void doctor_look_at_place(struct doctor *doctor)
{
    struct stat status;

    if (lstat(doctor->dir, &status) != 0) {
        look_at_parent(doctor);
        return;
    }
    look_at_mount(doctor, doctor->dir);
    if (lstat(doctor->path, &status) != 0 && errno == ENOENT) {
        doctor_say(doctor, DOCTOR_OK, "directory", NULL, "%s has no run '%s' yet: the first to open it makes it", doctor->dir,
                   doctor->run);
        return;
    }
    open_it(doctor);
    if (doctor->is_there)
        look_at_files(doctor);
}

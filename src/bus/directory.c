/* directory.c -- the directory that is a bus: names, checks, the list of what is in it.
 *
 * Laws.  No link is followed into a bus, and no directory is used that somebody else could change: it belongs to this
 * user; to root, or to somebody who opened it to a group of this process, if it was chosen by a person; to anybody, if this
 * is root, who comes as a guest and makes nothing.  Others have no access, a group only where a person chose the directory.  It lies on a file system of this host: only there
 * does a lock tell the truth about the dead.
 */
#include "bus/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <ptq/version.h>

#include "base/error.h"
#include "bus/bus.h"
#include "os/group.h"
#include "os/segment.h"

#define SEGMENT_SUFFIX "~v2"

_Static_assert(PTQ_LAYOUT_VERSION == 2, "SEGMENT_SUFFIX names the layout");

/* ---- names ---- */

static bool is_name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '.' || byte == '_' || byte == '-';
}

bool pti_name_is_valid(const char *name)
{
    size_t length = 0;

    if (name == NULL || name[0] == '\0' || name[0] == '.')
        return false;
    while (length <= PTQ_NAME_MAX && is_name_byte(name[length]))
        length++;
    return length <= PTQ_NAME_MAX && name[length] == '\0';
}

void pti_segment_file(const char *name, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s" SEGMENT_SUFFIX, name);
}

/* So many layouts after ours are looked for; those before ours all. */
#define LATER_LAYOUTS 4

int pti_segment_other_layout(ptq_bus *bus, const char *name, char *file, size_t size)
{
    for (int layout = 1; layout <= PTQ_LAYOUT_VERSION + LATER_LAYOUTS; layout++) {
        snprintf(file, size, "%s~v%d", name, layout);
        if (layout != PTQ_LAYOUT_VERSION && faccessat(bus->dirfd, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return layout;
    }
    return 0;
}

/* ---- what a person is told ---- */

enum ptq_err pti_error(struct ptq_error *error, enum ptq_err code, const char *format, ...)
{
    va_list arguments;

    if (error == NULL)
        return code;
    error->code = code;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return code;
}

/* ---- the checks ---- */

/* File systems of other hosts, or of a program: linux/magic.h has not all of them. */
static const char *name_foreign_file_system(long type)
{
    switch ((unsigned long)type & 0xffffffffu) {
    case 0x6969:
        return "NFS";
    case 0x65735546:
        return "FUSE";
    case 0x517b:
    case 0xff534d42:
    case 0xfe534d42:
        return "SMB";
    case 0x01021997:
        return "9P";
    case 0x00c36400:
        return "Ceph";
    case 0x5346414f:
    case 0x6b414653:
        return "AFS";
    case 0x73757245:
        return "Coda";
    case 0x47504653:
        return "GPFS";
    case 0x0bd00bd0:
        return "Lustre";
    default:
        return NULL;
    }
}

/* Opened to a group that this process is in: then a person let it in. */
static bool is_shared_with_us(const struct stat *status)
{
    return (status->st_mode & S_IXGRP) != 0 && pti_group_is_mine(status->st_gid);
}

static enum ptq_err check_owner(const struct stat *status, const char *path, bool chosen, struct ptq_error *error)
{
    uid_t me = geteuid();

    if (status->st_uid != me && me != 0 && !(chosen && (status->st_uid == 0 || is_shared_with_us(status))))
        return pti_error(error, PTQ_EPERM,
                         "bus directory '%s' belongs to user %u, group %u, mode %04o, this is user %u; set PTQ_DIR to a "
                         "directory of your own, or let its owner share it: chgrp a group of both, chmod 2770",
                         path, (unsigned)status->st_uid, (unsigned)status->st_gid, (unsigned)status->st_mode & 07777,
                         (unsigned)me);
    if ((status->st_mode & S_IRWXO) != 0 || (!chosen && (status->st_mode & S_IRWXG) != 0))
        return pti_error(error, PTQ_EPERM,
                         "bus directory '%s' is open to %s (mode %04o); close it with chmod %s, or set PTQ_DIR to another",
                         path, (status->st_mode & S_IRWXO) != 0 ? "everybody" : "its group",
                         (unsigned)(status->st_mode & 07777), chosen ? "o=" : "0700");
    return PTQ_OK;
}

static enum ptq_err check_directory(int fd, const char *path, bool chosen, struct ptq_error *error)
{
    struct stat status;
    struct statfs place;

    if (fstat(fd, &status) != 0 || fstatfs(fd, &place) != 0)
        return pti_error(error, pti_err_from_errno(errno), "bus directory '%s' cannot be looked at: %s", path,
                         strerror(errno));
    enum ptq_err answer = check_owner(&status, path, chosen, error);
    if (answer != PTQ_OK)
        return answer;
    const char *foreign = name_foreign_file_system((long)place.f_type);
    if (foreign != NULL)
        return pti_error(error, PTQ_EINVAL,
                         "bus directory '%s' is on %s, where locks do not tell who is alive; set PTQ_DIR to a directory on "
                         "tmpfs or on a local disk",
                         path, foreign);
    return PTQ_OK;
}

static enum ptq_err explain_open(int reason, const char *path, struct ptq_error *error)
{
    if (reason == ELOOP || reason == ENOTDIR)
        return pti_error(error, PTQ_EPERM,
                         "bus directory '%s' is a link or no directory; remove it, or set PTQ_DIR to another", path);
    if (reason == ENOENT)
        return pti_error(error, PTQ_ENOENT, "bus directory '%s' cannot be made: the directory above it is missing; make that, or set PTQ_DIR to another", path);
    if (reason == EACCES || reason == EPERM)
        return pti_error(error, PTQ_EPERM,
                         "bus directory '%s' may not be entered or made by user %u; ask its owner, or set PTQ_DIR to another",
                         path, (unsigned)geteuid());
    if (reason == EROFS)
        return pti_error(error, PTQ_EPERM,
                         "bus directory '%s' cannot be made: its file system is mounted read-only; set PTQ_DIR to another", path);
    if (reason == ENOSPC || reason == EDQUOT)
        return pti_error(error, PTQ_ENOSPC,
                         "bus directory '%s' cannot be made: no space or no inode is left there; free some, or set PTQ_DIR to "
                         "another",
                         path);
    if (reason == EMFILE || reason == ENFILE)
        return pti_error(error, PTQ_ENOMEM, "bus directory '%s' cannot be opened: %s; raise ulimit -n", path,
                         strerror(reason));
    return pti_error(error, pti_err_from_errno(reason), "bus directory '%s' cannot be opened: %s", path,
                     strerror(reason));
}

/* The bits of a directory that is made here, whatever the umask: a run opens to the group as the directory above it does. */
static void shape_directory(int dirfd, const char *name, const struct stat *above)
{
    mode_t mode = 0700;

    if (above != NULL && (above->st_mode & S_IRWXG) != 0 &&
        fchownat(dirfd, name, (uid_t)-1, above->st_gid, AT_SYMLINK_NOFOLLOW) == 0)
        mode |= above->st_mode & (S_IRWXG | S_ISGID);
    (void)!fchmodat(dirfd, name, mode, 0); /* what it became is checked when it is opened */
}

/* Opens `name` in `dirfd`, made where it is missing and `may_make`. */
static enum ptq_err enter_directory(int dirfd, const char *name, const char *path, bool chosen, bool may_make,
                                    struct ptq_error *error, int *ret_fd)
{
    struct stat above;
    int made = may_make ? mkdirat(dirfd, name, 0700) : -1;

    if (may_make && made != 0 && errno != EEXIST)
        return explain_open(errno, path, error);
    if (made == 0)
        shape_directory(dirfd, name, dirfd != AT_FDCWD && chosen && fstat(dirfd, &above) == 0 ? &above : NULL);
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return explain_open(errno, path, error);
    enum ptq_err answer = check_directory(fd, path, chosen, error);
    if (answer != PTQ_OK) {
        close(fd);
        return answer;
    }
    *ret_fd = fd;
    return PTQ_OK;
}

/* Absolute, without slashes at its end: "link/" would follow the link. */
static bool make_absolute(const char *dir, char *path, size_t size)
{
    size_t length = 0;

    if (dir[0] != '/') {
        if (getcwd(path, size - 1) == NULL)
            return false;
        length = strlen(path);
        path[length++] = '/';
    }
    if (strlen(dir) >= size - length)
        return false;
    strcpy(path + length, dir);
    for (length = strlen(path); length > 1 && path[length - 1] == '/'; length--)
        path[length - 1] = '\0';
    return true;
}

enum ptq_err pti_directory_open(const char *dir, const char *run, bool chosen, struct ptq_error *error, char *path,
                                size_t size, int *ret_dirfd)
{
    struct stat status;
    int base = -1;

    if (!make_absolute(dir, path, size) || strlen(path) + 1 + strlen(run) >= size)
        return pti_error(error, PTQ_EINVAL, "bus directory '%.100s...' has too long a path; set PTQ_DIR to a shorter one", dir);
    enum ptq_err answer = enter_directory(AT_FDCWD, path, path, chosen, true, error, &base);
    if (answer != PTQ_OK)
        return answer;
    bool guest = fstat(base, &status) == 0 && status.st_uid != geteuid() && geteuid() == 0;
    strcat(path, "/");
    strcat(path, run);
    answer = enter_directory(base, run, path, chosen, !guest, error, ret_dirfd);
    if (answer == PTQ_ENOENT && guest)
        pti_error(error, answer, "there is no bus '%s': '%s' is missing, and root makes none in another user's directory",
                  run, path);
    close(base);
    return answer;
}

/* ---- the list ---- */

static int order_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static bool is_segment_file(const char *file, char name[static PTQ_NAME_MAX + 1])
{
    size_t length = strlen(file), suffix = strlen(SEGMENT_SUFFIX);

    if (length <= suffix || length - suffix > PTQ_NAME_MAX || strcmp(file + length - suffix, SEGMENT_SUFFIX) != 0)
        return false;
    memcpy(name, file, length - suffix);
    name[length - suffix] = '\0';
    return pti_name_is_valid(name);
}

struct name_list {
    char **names;
    size_t count, room;
};

static bool add_name(struct name_list *list, const char *name)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        char **names = realloc(list->names, room * sizeof *names);
        if (names == NULL)
            return false;
        list->names = names;
        list->room = room;
    }
    list->names[list->count] = strdup(name);
    return list->names[list->count] != NULL && ++list->count > 0;
}

/* "<name>~v<number>", the number not ours. */
static int other_layout_of(const char *file, char name[static PTQ_NAME_MAX + 1])
{
    const char *mark = strrchr(file, '~');
    char *end;
    long layout;

    if (mark == NULL || mark[1] != 'v' || mark[2] < '1' || mark[2] > '9' || mark - file > PTQ_NAME_MAX)
        return 0;
    layout = strtol(mark + 2, &end, 10);
    if (*end != '\0' || layout > 9999 || layout == PTQ_LAYOUT_VERSION)
        return 0;
    memcpy(name, file, (size_t)(mark - file));
    name[mark - file] = '\0';
    return pti_name_is_valid(name) ? (int)layout : 0;
}

static enum ptq_err read_names(DIR *directory, struct name_list *list)
{
    char name[PTQ_NAME_MAX + 1];
    struct dirent *entry;

    for (errno = 0; (entry = readdir(directory)) != NULL; errno = 0) {
        if (is_segment_file(entry->d_name, name) && !add_name(list, name))
            return PTQ_ENOMEM;
    }
    return pti_err_from_errno(errno);
}

/* Opened anew: two lists at once must not share one offset. */
static DIR *open_list(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);

    if (directory == NULL && fd >= 0)
        close(fd);
    return directory;
}

bool pti_directory_is_same(int dirfd, int settled_ms, struct timespec *seen)
{
    struct timespec now, before = *seen;
    struct stat status;

    *seen = (struct timespec){0};
    if (fstat(dirfd, &status) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0)
        return false;
    const struct timespec *changed = &status.st_mtim;
    if ((now.tv_sec - changed->tv_sec) * 1000 + (now.tv_nsec - changed->tv_nsec) / 1000000 < settled_ms)
        return false;
    *seen = *changed;
    return before.tv_sec == changed->tv_sec && before.tv_nsec == changed->tv_nsec;
}

enum ptq_err ptq_bus_list(ptq_bus *bus, bool (*each)(const char *name, void *context), void *context)
{
    struct name_list list = {0};

    if (bus == NULL || each == NULL)
        return PTQ_EINVAL;
    DIR *directory = open_list(bus->dirfd);
    if (directory == NULL)
        return pti_err_from_errno(errno);
    enum ptq_err answer = read_names(directory, &list);
    closedir(directory);
    if (answer == PTQ_OK && list.count > 0) {
        qsort(list.names, list.count, sizeof *list.names, order_names);
        for (size_t i = 0; i < list.count && each(list.names[i], context); i++)
            ;
    }
    for (size_t i = 0; i < list.count; i++)
        free(list.names[i]);
    free(list.names);
    return answer;
}

enum ptq_err ptq_bus_list_other(ptq_bus *bus, bool (*each)(const char *name, int layout, void *context), void *context)
{
    char name[PTQ_NAME_MAX + 1];
    struct dirent *entry;

    if (bus == NULL || each == NULL)
        return PTQ_EINVAL;
    DIR *directory = open_list(bus->dirfd);
    if (directory == NULL)
        return pti_err_from_errno(errno);
    while ((entry = readdir(directory)) != NULL) {
        int layout = other_layout_of(entry->d_name, name);

        if (layout != 0 && !each(name, layout, context))
            break;
    }
    closedir(directory);
    return PTQ_OK;
}

/* ---- pages in it ---- */

int pti_directory_share(int dirfd, const struct pti_segment *segment)
{
    struct stat status;

    if (fstat(dirfd, &status) != 0)
        return errno;
    if ((status.st_mode & S_IRWXG) == 0)
        return 0;
    int number = pti_segment_share(segment, status.st_gid, 0660);
    return number == EPERM ? 0 : number;
}

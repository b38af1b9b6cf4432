/* explain.c -- why the file of a queue or a share could not be made or opened, in a sentence that says what to do. */
#include "bus/explain.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"

static unsigned long long limit_of(int resource)
{
    struct rlimit limit;

    return getrlimit(resource, &limit) == 0 ? (unsigned long long)limit.rlim_cur : 0;
}

/* The mount point under the bus's directory. */
static const char *find_place(ptq_bus *bus, char *mount, size_t size)
{
    struct stat status;
    uint64_t space;

    if (fstat(bus->dirfd, &status) == 0) {
        struct pti_segment directory = {.fd = bus->dirfd, .dev = status.st_dev};
        pti_segment_space(&directory, &space, mount, size);
    }
    return mount[0] != '\0' ? mount : bus->path;
}

/* ---- permission */

static enum ptq_err explain_kind(struct ptq_error *error, ptq_bus *bus, const struct pti_thing *it, const char *file,
                                 const struct stat *status)
{
    if (S_ISLNK(status->st_mode))
        return pti_error(error, PTQ_EPERM, "%s '%s': %s/%s is a link, which is never followed; remove it", it->kind, it->name, bus->path,
                         file);
    if (!S_ISREG(status->st_mode))
        return pti_error(error, PTQ_EPERM, "%s '%s': %s/%s is no regular file; remove it", it->kind, it->name, bus->path, file);
    if (status->st_nlink > 2)
        return pti_error(error, PTQ_EPERM, "%s '%s': %s/%s has %u names (hard links); remove the others", it->kind, it->name, bus->path,
                         file, (unsigned)status->st_nlink);
    return PTQ_OK;
}

static enum ptq_err explain_permission(struct ptq_error *error, ptq_bus *bus, const struct pti_thing *it)
{
    const char *file = it->file;
    struct stat status;

    if (fstatat(bus->dirfd, file, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return pti_error(error, PTQ_EPERM, "%s '%s': user %u may not write in '%s'; ask the owner of that directory, or "
                                           "set PTQ_DIR to another",
                         it->kind, it->name, (unsigned)geteuid(), bus->path);
    if (explain_kind(error, bus, it, file, &status) != PTQ_OK)
        return PTQ_EPERM;
    if (faccessat(bus->dirfd, file, R_OK, AT_EACCESS) == 0)
        return pti_error(error, PTQ_EPERM,
                         "%s '%s' belongs to user %u, group %u, mode %04o: user %u may watch it (ptq peek, ptqtop), not use "
                         "it; its owner may share it with chmod 0660",
                         it->kind, it->name, (unsigned)status.st_uid, (unsigned)status.st_gid, (unsigned)status.st_mode & 07777,
                         (unsigned)geteuid());
    return pti_error(error, PTQ_EPERM,
                     "%s '%s' belongs to user %u, group %u, mode %04o: user %u may not use it; its owner may create it "
                     "with --group and --mode 0660",
                     it->kind, it->name, (unsigned)status.st_uid, (unsigned)status.st_gid, (unsigned)status.st_mode & 07777,
                     (unsigned)geteuid());
}

/* ---- space */

static enum ptq_err explain_space(struct ptq_error *error, ptq_bus *bus, const struct pti_thing *it)
{
    struct statvfs space;
    char mount[200] = "";
    const char *place = find_place(bus, mount, sizeof mount);

    if (fstatvfs(bus->dirfd, &space) == 0 && space.f_files > 0 && space.f_favail == 0)
        return pti_error(error, PTQ_ENOSPC,
                         "%s '%s': no inode is left on %s (all %" PRIu64 " in use); remove files, or mount it with a "
                         "larger nr_inodes",
                         it->kind, it->name, place, (uint64_t)space.f_files);
    return pti_error(error, PTQ_ENOSPC, "%s '%s': no space is left on %s; free some, or enlarge it", it->kind, it->name, place);
}

static enum ptq_err explain_read_only(struct ptq_error *error, ptq_bus *bus, const struct pti_thing *it)
{
    char mount[200] = "";

    return pti_error(error, PTQ_EPERM,
                     "%s '%s': %s is mounted read-only here: queues on it may be watched (ptq peek, ptqtop), not used; "
                     "mount it writable",
                     it->kind, it->name, find_place(bus, mount, sizeof mount));
}

/* ---- all of it */

bool pti_bus_is_gone(ptq_bus *bus)
{
    struct stat status;

    return fstat(bus->dirfd, &status) == 0 && status.st_nlink == 0;
}

enum ptq_err pti_explain_gone(struct ptq_error *error, ptq_bus *bus, const struct pti_thing *it)
{
    return pti_error(error, PTQ_EGONE,
                     "%s '%s': the directory of its bus, '%s', was removed meanwhile; close the bus and open it anew", it->kind, it->name,
                     bus->path);
}

enum ptq_err pti_explain_file(struct ptq_error *error, ptq_bus *bus, const struct pti_thing *it, uint64_t size, int number)
{
    switch (number) {
    case ENOENT:
        if (pti_bus_is_gone(bus))
            return pti_explain_gone(error, bus, it);
        return pti_error(error, PTQ_ENOENT, "%s '%s' does not exist; create it, or check the bus and its directory",
                         it->kind, it->name);
    case EIO:
        return pti_error(error, PTQ_ECORRUPT, "%s '%s': its file is too short to be one; remove it",
                         it->kind, it->name);
    case EPERM:
    case EACCES:
    case ELOOP:
        return explain_permission(error, bus, it);
    case EROFS:
        return explain_read_only(error, bus, it);
    case ENOSPC:
    case EDQUOT:
        return explain_space(error, bus, it);
    case EMFILE:
    case ENFILE:
        return pti_error(error, PTQ_ENOMEM, "%s '%s': no descriptors left (%s, the limit is %llu); raise ulimit -n", it->kind, it->name,
                         strerror(number), limit_of(RLIMIT_NOFILE));
    case EFBIG:
        return pti_error(error, PTQ_ENOMEM,
                         "%s '%s' has a file of %" PRIu64 " bytes, and this process may write none larger than %llu; raise "
                         "ulimit -f, or make it smaller",
                         it->kind, it->name, size, limit_of(RLIMIT_FSIZE));
    case ENOMEM:
        return pti_error(error, PTQ_ENOMEM,
                         "%s '%s': its memory cannot be mapped: %s; raise ulimit -v, or make it smaller", it->kind, it->name,
                         strerror(number));
    default:
        return pti_error(error, pti_err_from_errno(number), "%s '%s' cannot be %s: %s", it->kind, it->name,
                         size > 0 ? "made" : "opened", strerror(number));
    }
}

enum ptq_err pti_explain_reserve(struct ptq_error *error, const struct pti_thing *it, const struct pti_segment *segment,
                                 uint64_t need, int number)
{
    uint64_t space = 0;
    char mount[200] = "";

    if (number != ENOSPC)
        return pti_error(error, pti_err_from_errno(number), "%s '%s': cannot reserve memory: %s", it->kind, it->name,
                         strerror(number));
    pti_segment_space(segment, &space, mount, sizeof mount);
    return pti_error(error, PTQ_ENOSPC,
                     "%s '%s' needs %" PRIu64 " bytes, %" PRIu64 " are free on %s; free some, enlarge "
                     "that, or make the %s smaller",
                     it->kind, it->name, need, space, mount[0] ? mount : "its file system", it->kind);
}

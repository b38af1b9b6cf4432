/* kernel.c -- files without a disk: one directory, inodes in the arena, OFD locks; each call is a step that may be the last.
 *
 * All processes see a mapping at the same address: they have no pointers in it.  As in Linux, a file that is closed tells
 * inotify first and lets go of its locks a little later.
 */
#include "sim/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/wraps.h"

#define DEVICE 77
#define PAGE 4096u
#define DIRECTORY "/sim"

static struct sim_node nodes[SIM_NODES];
struct sim_file sim_files[SIM_FILES];

void sim_kernel_reset(void)
{
    for (unsigned i = 0; i < SIM_NODES; i++)
        nodes[i].used = false;
    for (unsigned i = 0; i < SIM_FILES; i++)
        sim_files[i].kind = SIM_FILE_FREE;
    sim.ino_next = 10;
    sim_memory_clear();
}

void sim_enter_kernel(const char *call)
{
    if (sim_me == NULL)
        return;
    sim_point();
    sim_flush(sim_me);
    if (__builtin_expect(sim.tracing, 0))
        sim_trace_note("  %u calls %s", sim_me->number, call);
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* ---- descriptors */

struct sim_file *sim_file_new(enum sim_kind kind, int *ret_fd)
{
    unsigned i = 0, fd = 3;

    while (i < SIM_FILES && sim_files[i].kind != SIM_FILE_FREE)
        i++;
    while (fd < SIM_FDS && sim_me->files[fd] != NULL)
        fd++;
    if (i == SIM_FILES || fd == SIM_FDS) {
        errno = EMFILE;
        return NULL;
    }
    memset(&sim_files[i], 0, sizeof sim_files[i]);
    sim_files[i].kind = kind;
    sim_files[i].refs = 1;
    sim_files[i].owner = sim_me;
    sim_files[i].when = SIM_NEVER;
    sim_me->files[fd] = &sim_files[i];
    *ret_fd = (int)fd;
    return &sim_files[i];
}

struct sim_file *sim_file_of(int fd)
{
    if (fd < 0 || fd >= SIM_FDS || sim_me->files[fd] == NULL) {
        errno = EBADF;
        return NULL;
    }
    return sim_me->files[fd];
}

/* ---- inodes */

static struct sim_node *find_name(const char *name)
{
    for (unsigned i = 0; i < SIM_NODES; i++)
        if (nodes[i].used && nodes[i].links > 0 && strcmp(nodes[i].name, name) == 0)
            return &nodes[i];
    return NULL;
}

static struct sim_node *new_node(const char *name, bool is_dir)
{
    for (unsigned i = 0; i < SIM_NODES; i++) {
        struct sim_node *node = &nodes[i];
        if (node->used)
            continue;
        memset(node, 0, offsetof(struct sim_node, locks));
        node->lock_count = 0;
        node->used = true;
        node->is_dir = is_dir;
        node->ino = sim.ino_next++;
        node->links = name[0] != '\0';
        node->mode = is_dir ? S_IFDIR | 0700 : S_IFREG | 0600;
        snprintf(node->name, sizeof node->name, "%s", name);
        return node;
    }
    sim_fail("no inodes are left");
    return NULL;
}

static void drop_node(struct sim_node *node)
{
    if (node->links == 0 && node->opens == 0)
        node->used = false; /* its bytes stay as they are until the run is over */
}

/* A path without the directory, which is the one there is; "" for the directory. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    path = slash != NULL ? slash + 1 : path;
    return strcmp(path, ".") == 0 || strcmp(path, "sim") == 0 || strcmp(path, "default") == 0 ? "" : path;
}

struct sim_node *sim_node_of_path(const char *path)
{
    int fd;

    if (sscanf(path, "/proc/self/fd/%d", &fd) == 1)
        return sim_file_of(fd) != NULL ? sim_file_of(fd)->node : NULL;
    return find_name(base_name(path));
}

static void describe(const struct sim_node *node, struct stat *status)
{
    memset(status, 0, sizeof *status);
    status->st_dev = DEVICE;
    status->st_uid = status->st_gid = 1000;
    status->st_mode = node == NULL ? S_IFDIR | 0700 : node->mode;
    status->st_ino = node == NULL ? 2 : node->ino;
    status->st_nlink = node == NULL ? 2 : node->links;
    status->st_size = node == NULL ? 0 : (off_t)node->size;
}

static int open_node(struct sim_node *node, int flags)
{
    int fd;
    struct sim_file *file = sim_file_new(SIM_FILE_NODE, &fd);

    if (file == NULL)
        return -1;
    file->node = node;
    file->writable = (flags & O_ACCMODE) != O_RDONLY;
    if (node != NULL)
        node->opens++;
    return fd;
}

static int open_path(const char *path, int flags)
{
    const char *name = base_name(path);
    struct sim_node *node;

    if (strncmp(path, "/proc", 5) == 0)
        return fail(ENOENT);
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return open_node(new_node("", false), flags);
    if (name[0] == '\0')
        return open_node(NULL, flags);
    node = find_name(name);
    if (node != NULL && (flags & O_EXCL) != 0)
        return fail(EEXIST);
    if (node == NULL && (flags & O_CREAT) == 0)
        return fail(ENOENT);
    return open_node(node != NULL ? node : new_node(name, false), flags);
}

int __wrap_open(const char *path, int flags, ...)
{
    sim_enter_kernel("open");
    return open_path(path, flags);
}

int __wrap_openat(int dirfd, const char *path, int flags, ...)
{
    (void)dirfd;
    sim_enter_kernel("openat");
    return open_path(path, flags);
}

int __wrap_fstat(int fd, struct stat *ret_status)
{
    sim_enter_kernel("fstat");
    if (sim_file_of(fd) == NULL)
        return -1;
    describe(sim_file_of(fd)->node, ret_status);
    return 0;
}

int __wrap_fstatat(int dirfd, const char *path, struct stat *ret_status, int flags)
{
    (void)dirfd, (void)flags;
    sim_enter_kernel("fstatat");
    if (base_name(path)[0] != '\0' && find_name(base_name(path)) == NULL)
        return fail(ENOENT);
    describe(base_name(path)[0] != '\0' ? find_name(base_name(path)) : NULL, ret_status);
    return 0;
}

int __wrap_access(const char *path, int mode)
{
    (void)mode;
    sim_enter_kernel("access");
    return sim_node_of_path(path) != NULL ? 0 : fail(ENOENT);
}

int __wrap_faccessat(int dirfd, const char *path, int mode, int flags)
{
    (void)dirfd, (void)mode, (void)flags;
    sim_enter_kernel("faccessat");
    return base_name(path)[0] == '\0' || find_name(base_name(path)) != NULL ? 0 : fail(ENOENT);
}

int __wrap_linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
    struct sim_node *node;

    (void)fromfd, (void)tofd, (void)flags;
    sim_enter_kernel("linkat");
    node = sim_node_of_path(from);
    if (node == NULL)
        return fail(ENOENT);
    if (find_name(to) != NULL)
        return fail(EEXIST);
    snprintf(node->name, sizeof node->name, "%s", to);
    node->links = 1;
    return 0;
}

int __wrap_unlinkat(int dirfd, const char *path, int flags)
{
    struct sim_node *node;

    (void)dirfd, (void)flags;
    sim_enter_kernel("unlinkat");
    node = find_name(base_name(path));
    if (node == NULL)
        return fail(ENOENT);
    node->links = 0;
    sim_notify(node, IN_ATTRIB);
    drop_node(node);
    return 0;
}

int __wrap_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags)
{
    struct sim_node *node, *other;

    (void)fromfd, (void)tofd, (void)flags;
    sim_enter_kernel("renameat2");
    node = find_name(from);
    other = find_name(to);
    if (node == NULL)
        return fail(ENOENT);
    if (other != NULL)
        return fail(EEXIST);
    snprintf(node->name, sizeof node->name, "%s", to);
    return 0;
}

int __wrap_mkdirat(int dirfd, const char *path, mode_t mode)
{
    (void)dirfd, (void)path, (void)mode;
    return fail(EEXIST);
}
int __wrap_fchmod(int fd, mode_t mode)
{
    if (sim_file_of(fd) == NULL)
        return -1;
    sim_file_of(fd)->node->mode = S_IFREG | (mode & 07777);
    return 0;
}
int __wrap_fchown(int fd, uid_t user, gid_t group) { (void)fd, (void)user, (void)group; return 0; }
int __wrap_fchmodat(int d, const char *p, mode_t m, int f) { (void)d, (void)p, (void)m, (void)f; return 0; }
int __wrap_fchownat(int d, const char *p, uid_t u, gid_t g, int f) { (void)d, (void)p, (void)u, (void)g, (void)f; return 0; }

/* Bytes are given when the size is known, and never moved. */
int __wrap_ftruncate(int fd, off_t size)
{
    struct sim_file *file = sim_file_of(fd);
    struct sim_node *node = file != NULL ? file->node : NULL;

    sim_enter_kernel("ftruncate");
    if (node == NULL)
        return -1;
    if ((uint64_t)size > node->room) {
        node->room = ((uint64_t)size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
        node->at = sim_arena_used;
        if (sim_arena_used + node->room > SIM_ARENA_BYTES) {
            sim_fail("the arena is used up");
            return -1;
        }
        sim_arena_used += node->room;
    }
    node->size = (uint64_t)size;
    return 0;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
    (void)fd, (void)mode, (void)offset, (void)length;
    sim_enter_kernel("fallocate");
    return 0;
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    (void)at, (void)protection, (void)offset;
    if ((flags & MAP_ANONYMOUS) != 0) {
        void *p = __wrap_aligned_alloc(PAGE, size);
        return p != NULL ? memset(p, 0, size) : MAP_FAILED;
    }
    sim_enter_kernel("mmap");
    if (sim_file_of(fd) == NULL || sim_file_of(fd)->node == NULL)
        return MAP_FAILED;
    return (char *)(uintptr_t)SIM_ARENA + sim_file_of(fd)->node->at;
}

int __wrap_munmap(void *at, size_t size) { (void)at, (void)size; return 0; }
int __wrap_madvise(void *at, size_t size, int advice) { (void)at, (void)size, (void)advice; return 0; }

/* ---- OFD locks */

static void let_go(struct sim_node *node, const struct sim_file *holder, int64_t start, int64_t end)
{
    for (unsigned i = 0; i < node->lock_count;) {
        struct sim_lock *lock = &node->locks[i];
        if (lock->holder == holder && lock->start < end && start < lock->end) {
            if (lock->start < start || lock->end > end)
                sim_fail("a lock is let go in part, which the simulator does not know");
            *lock = node->locks[--node->lock_count];
        } else {
            i++;
        }
    }
}

static bool conflicts(const struct sim_node *node, const struct sim_file *holder, bool write, int64_t start, int64_t end)
{
    for (unsigned i = 0; i < node->lock_count; i++) {
        const struct sim_lock *lock = &node->locks[i];
        if (lock->holder != holder && lock->start < end && start < lock->end && (write || lock->write))
            return true;
    }
    return false;
}

static int set_lock(struct sim_file *file, const struct flock *flock)
{
    int64_t start = flock->l_start, end = start + flock->l_len;
    bool write = flock->l_type == F_WRLCK;

    if (flock->l_type != F_UNLCK && conflicts(file->node, file, write, start, end))
        return fail(EAGAIN);
    if (write && !file->writable)
        return fail(EBADF);
    let_go(file->node, file, start, end);
    if (flock->l_type == F_UNLCK)
        return 0;
    if (file->node->lock_count == SIM_LOCKS) {
        sim_fail("too many locks");
        return -1;
    }
    file->node->locks[file->node->lock_count++] = (struct sim_lock){file, write, start, end};
    return 0;
}

static int duplicate(int fd, int least)
{
    struct sim_file *file = sim_file_of(fd);

    while (least < SIM_FDS && sim_me->files[least] != NULL)
        least++;
    if (file == NULL || least >= SIM_FDS)
        return fail(file == NULL ? EBADF : EINVAL);
    sim_me->files[least] = file;
    file->refs++;
    return least;
}

int __wrap_fcntl(int fd, int command, ...)
{
    struct sim_file *file;
    struct flock *flock;
    long argument;
    va_list arguments;
    static const char *const names[] = {"fcntl(read lock)", "fcntl(write lock)", "fcntl(unlock)"};

    va_start(arguments, command);
    argument = va_arg(arguments, long);
    va_end(arguments);
    flock = (struct flock *)(uintptr_t)argument;
    if (command == F_DUPFD_CLOEXEC || command == F_DUPFD)
        return duplicate(fd, (int)argument);
    if (command != F_OFD_SETLK && command != F_OFD_GETLK)
        return 0;
    sim_enter_kernel(names[flock->l_type == F_RDLCK ? 0 : flock->l_type == F_WRLCK ? 1 : 2]);
    file = sim_file_of(fd);
    if (file == NULL || file->node == NULL)
        return fail(EBADF);
    if (command == F_OFD_SETLK) {
        int answer = set_lock(file, flock);
        if (__builtin_expect(sim.tracing, 0))
            sim_trace_note("    byte %lld: %s", (long long)(flock->l_start - (INT64_C(1) << 40)), answer == 0 ? "ok" : "no");
        return answer;
    }
    if (!conflicts(file->node, file, flock->l_type == F_WRLCK, flock->l_start, flock->l_start + flock->l_len))
        flock->l_type = F_UNLCK;
    return 0;
}

/* ---- closing */

static void release(struct sim_file *file)
{
    struct sim_node *node = file->node;

    sim_events_forget(file);
    file->kind = SIM_FILE_FREE;
    if (node == NULL)
        return;
    let_go(node, file, INT64_MIN, INT64_MAX);
    node->opens--;
    drop_node(node);
}

static void tell(struct sim_file *file)
{
    if (file->kind == SIM_FILE_NODE && file->node != NULL && file->writable)
        sim_notify(file->node, IN_CLOSE_WRITE);
    file->closing = true;
}

int __wrap_close(int fd)
{
    struct sim_file *file;

    sim_enter_kernel("close");
    file = sim_file_of(fd);
    if (file == NULL)
        return -1;
    if (file->refs > 1) {
        file->refs--;
        sim_me->files[fd] = NULL;
        return 0;
    }
    tell(file);
    if (file->kind == SIM_FILE_NODE && file->node != NULL)
        sim_enter_kernel("close: its locks go");
    sim_me->files[fd] = NULL;
    release(file);
    return 0;
}

void sim_kernel_close_all(struct sim_proc *proc, bool locks_later)
{
    for (unsigned fd = 0; fd < SIM_FDS; fd++)
        if (proc->files[fd] != NULL && !proc->files[fd]->closing)
            tell(proc->files[fd]);
    if (!locks_later)
        sim_kernel_release(proc);
}

void sim_kernel_release(struct sim_proc *proc)
{
    for (unsigned fd = 0; fd < SIM_FDS; fd++) {
        if (proc->files[fd] != NULL && --proc->files[fd]->refs == 0)
            release(proc->files[fd]);
        proc->files[fd] = NULL;
    }
}

/* ---- reading, writing, asking */

ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    struct sim_file *file;

    sim_enter_kernel("pwrite");
    file = sim_file_of(fd);
    if (file == NULL || file->node == NULL)
        return fail(EBADF);
    sim_memory_mark((char *)(uintptr_t)SIM_ARENA + file->node->at + offset, size);
    memcpy((char *)(uintptr_t)SIM_ARENA + file->node->at + offset, data, size);
    sim_notify(file->node, IN_MODIFY);
    return (ssize_t)size;
}

ssize_t __wrap_readlink(const char *path, char *buffer, size_t size) { (void)path, (void)buffer, (void)size; return fail(ENOENT); }
FILE *__wrap_fopen(const char *path, const char *mode)
{
    (void)path, (void)mode;
    errno = ENOENT;
    return NULL;
}
int __wrap_fstatfs(int fd, struct statfs *ret_status)
{
    (void)fd;
    memset(ret_status, 0, sizeof *ret_status);
    ret_status->f_type = 0x01021994;
    return 0;
}
int __wrap_fstatvfs(int fd, struct statvfs *ret_status)
{
    (void)fd;
    memset(ret_status, 0, sizeof *ret_status);
    ret_status->f_bavail = 1 << 20;
    ret_status->f_frsize = PAGE;
    return 0;
}
int __wrap_getrlimit(int resource, struct rlimit *ret_limit)
{
    (void)resource;
    ret_limit->rlim_cur = ret_limit->rlim_max = RLIM_INFINITY;
    return 0;
}
char *__wrap_getcwd(char *buffer, size_t size) { snprintf(buffer, size, DIRECTORY); return buffer; }
int __wrap_gethostname(char *name, size_t size) { snprintf(name, size, "sim"); return 0; }

/* ---- the list of the directory: a DIR is the file it was made of */

static struct dirent entries[SIM_PROCS];

DIR *__wrap_fdopendir(int fd)
{
    struct sim_file *file = sim_file_of(fd);

    if (file != NULL) {
        file->listed = 0;
        file->count = (uint64_t)fd;
    }
    return (DIR *)(void *)file;
}

struct dirent *__wrap_readdir(DIR *directory)
{
    struct sim_file *file = (struct sim_file *)(void *)directory;
    struct dirent *entry = &entries[sim_me->number];

    sim_enter_kernel("readdir");
    while (file->listed < SIM_NODES) {
        const struct sim_node *node = &nodes[file->listed++];
        if (!node->used || node->links == 0)
            continue;
        memset(entry, 0, sizeof *entry);
        entry->d_ino = node->ino;
        snprintf(entry->d_name, sizeof entry->d_name, "%s", node->name);
        return entry;
    }
    return NULL;
}

int __wrap_closedir(DIR *directory) { return __wrap_close((int)((struct sim_file *)(void *)directory)->count); }

const unsigned char *sim_segment(void)
{
    const struct sim_node *node = find_name("q~v2");

    return node != NULL ? (const unsigned char *)(uintptr_t)(SIM_ARENA + node->at) : NULL;
}

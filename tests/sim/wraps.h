/* wraps.h -- what the library calls instead of libc: linked with --wrap, the list is in CMakeLists.txt. */
#ifndef PTQ_TESTS_SIM_WRAPS_H
#define PTQ_TESTS_SIM_WRAPS_H

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <time.h>

void *__wrap_malloc(size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void __wrap_free(void *p);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex);
int __wrap_pthread_mutexattr_init(pthread_mutexattr_t *attributes);
int __wrap_pthread_mutexattr_settype(pthread_mutexattr_t *attributes, int type);
int __wrap_pthread_mutexattr_destroy(pthread_mutexattr_t *attributes);
int __wrap_pthread_setcancelstate(int state, int *ret_old);
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void));
int __wrap_pthread_key_create(pthread_key_t *ret_key, void (*destroy)(void *));
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_once(pthread_once_t *once, void (*function)(void));
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old);
int __wrap_sigpending(sigset_t *ret_set);
char *__wrap_secure_getenv(const char *name);
pid_t __wrap_getpid(void);
pid_t __wrap_gettid(void);
uid_t __wrap_geteuid(void);
gid_t __wrap_getegid(void);
long __wrap_sysconf(int name);
void __wrap_pti_rest(void);
int __wrap_sched_yield(void);
ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags);

int __wrap_open(const char *path, int flags, ...);
int __wrap_openat(int dirfd, const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_fstat(int fd, struct stat *ret_status);
int __wrap_fstatat(int dirfd, const char *path, struct stat *ret_status, int flags);
int __wrap_access(const char *path, int mode);
int __wrap_faccessat(int dirfd, const char *path, int mode, int flags);
int __wrap_linkat(int fromfd, const char *from, int tofd, const char *to, int flags);
int __wrap_unlinkat(int dirfd, const char *path, int flags);
int __wrap_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags);
int __wrap_mkdirat(int dirfd, const char *path, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchown(int fd, uid_t user, gid_t group);
int __wrap_fchmodat(int dirfd, const char *path, mode_t mode, int flags);
int __wrap_fchownat(int dirfd, const char *path, uid_t user, gid_t group, int flags);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t size);
int __wrap_madvise(void *at, size_t size, int advice);
int __wrap_fcntl(int fd, int command, ...);
ssize_t __wrap_pwrite(int fd, const void *data, size_t size, off_t offset);
ssize_t __wrap_read(int fd, void *data, size_t size);
ssize_t __wrap_write(int fd, const void *data, size_t size);
ssize_t __wrap_readlink(const char *path, char *buffer, size_t size);
FILE *__wrap_fopen(const char *path, const char *mode);
int __wrap_fstatfs(int fd, struct statfs *ret_status);
int __wrap_fstatvfs(int fd, struct statvfs *ret_status);
int __wrap_getrlimit(int resource, struct rlimit *ret_limit);
char *__wrap_getcwd(char *buffer, size_t size);
int __wrap_gethostname(char *name, size_t size);
DIR *__wrap_fdopendir(int fd);
struct dirent *__wrap_readdir(DIR *directory);
int __wrap_closedir(DIR *directory);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);
int __wrap_nanosleep(const struct timespec *time, struct timespec *ret_left);
long __wrap_syscall(long number, ...);
int __wrap_eventfd(unsigned count, int flags);
int __wrap_timerfd_create(int clock, int flags);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *setting, struct itimerspec *ret_old);
int __wrap_inotify_init1(int flags);
int __wrap_inotify_add_watch(int fd, const char *path, uint32_t mask);
int __wrap_inotify_rm_watch(int fd, int wd);
int __wrap_epoll_create1(int flags);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int room, int timeout_ms);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask);

#endif

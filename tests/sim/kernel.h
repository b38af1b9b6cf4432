/* kernel.h -- the simulated kernel's files: what kernel.c keeps and events.c signals. */
#ifndef PTQ_TESTS_SIM_KERNEL_H
#define PTQ_TESTS_SIM_KERNEL_H

#include <sys/types.h>

#include "sim/sim.h"

#define SIM_NODES 24
#define SIM_FILES 200
#define SIM_LOCKS 40
#define SIM_WATCHES 8
#define SIM_QUEUED 32

enum sim_kind { SIM_FILE_FREE, SIM_FILE_NODE, SIM_FILE_EPOLL, SIM_FILE_EVENT, SIM_FILE_TIMER, SIM_FILE_INOTIFY };

struct sim_file;

struct sim_lock {
    struct sim_file *holder; /* NULL: none */
    bool write;
    int64_t start, end;
};

struct sim_node {
    bool used, is_dir;
    uint64_t ino;
    unsigned links, opens, maps;
    mode_t mode;
    char name[160];
    uint64_t size, at, room; /* its bytes in the arena */
    struct sim_lock locks[SIM_LOCKS];
    unsigned lock_count;
};

struct sim_file {
    enum sim_kind kind;
    unsigned refs; /* descriptors */
    struct sim_proc *owner;
    struct sim_node *node;
    bool writable, closing; /* closing: told, and its locks not yet free */
    unsigned listed;        /* of a directory that is read */
    uint64_t count;     /* of an eventfd */
    int64_t when;       /* of a timerfd */
    struct {
        struct sim_node *node;
        int wd;
        uint32_t mask;
    } watches[SIM_WATCHES]; /* of an inotify instance */
    int last_wd;            /* numbers are not given again */
    struct {
        int wd;
        uint32_t mask;
    } queue[SIM_QUEUED];
    unsigned queued;
    struct {
        struct sim_file *file;
        int fd;
        uint32_t events;
        uint64_t data;
    } members[SIM_WATCHES * 2]; /* of an epoll */
    unsigned member_count;
};

struct sim_file *sim_file_new(enum sim_kind kind, int *ret_fd);
struct sim_file *sim_file_of(int fd);
struct sim_node *sim_node_of_path(const char *path);
void sim_notify(struct sim_node *node, uint32_t mask);
void sim_events_forget(struct sim_file *file);
bool sim_file_ready(const struct sim_file *file);
extern struct sim_file sim_files[SIM_FILES];

#endif

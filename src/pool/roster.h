/* roster.h -- who works for a pool on this host: a row a worker, in a file beside the queue of jobs.
 *
 *   <pool>.jobs~L2.<id>.staff     a side file of the queue (ring/side.h): unlinked with it, else collected by gc
 *      0   magic:64 | rows that were ever used:64 | obituaries ever:64
 *     64   of a stage of a pipeline: which group is being handed on to it, and where (line.h): from + 1:64, 0: none | to:64
 *   4096   PTI_ROSTER_ROWS rows
 *   behind them PTI_ROSTER_NOTES obituaries, by turns: of which job's worker died, and how
 *
 * Laws:
 *   1. A row belongs to whoever holds the lock of its byte (os/life.h), and is written by him alone.  Death is the kernel's word.
 *   2. Nothing depends on a row but what people are shown.  A worker that gets none works all the same.  On the note of a relay depends
 *      that what it hands on is handed on once; it is written by the getter of the stage before alone.
 *   3. Numbers are single words.  Texts are good if `version` was even, and the same, before and after they were read.
 *   4. Whoever reads, reads by read(2): a file that somebody has cut is short, and no SIGBUS.
 */
#ifndef PTQ_POOL_ROSTER_H
#define PTQ_POOL_ROSTER_H

#include <ptq/worker.h>

#include "bus/bus.h"
#include "os/guard.h"

#define PTI_ROSTER_ROWS PTQ_WORKERS_MAX
#define PTI_ROSTER_HEAD 4096u
#define PTI_ROSTER_MAGIC UINT64_C(0x3166666174737470) /* "ptstaff1" */

/* Times are those of the host's clock (os/clock.h). */
struct pti_row {
    _Atomic uint64_t version;
    _Atomic int64_t pid;
    _Atomic uint64_t pid_space; /* inode of the namespace that pid is of */
    _Atomic int64_t started_unix_ms;
    _Atomic int64_t started_ns;
    _Atomic uint32_t deaths;
    _Atomic uint32_t kind;      /* 1: there is somebody */
    _Atomic uint64_t unused[2];
    /* line 1: at every job */
    _Atomic uint64_t spent_ns[4]; /* in each enum ptq_worker_state */
    _Atomic uint64_t done;
    _Atomic uint64_t failed;
    _Atomic uint64_t phase;     /* ticket + 1:48, 0: none | tries:13 | enum ptq_worker_state:3 */
    _Atomic int64_t since_ns;
    /* texts */
    _Atomic uint64_t error;
    char name[64];
    char host[64];
    char task[64];
    char error_text[128];
    _Atomic uint64_t past[7];   /* of those who had this row before: enum pti_past */
};
_Static_assert(sizeof(struct pti_row) == 512, "a row is eight lines");

/* spent_ns first, as enum ptq_worker_state.  PTI_PAST_BEGAN: when the first of all was ready. */
enum pti_past { PTI_PAST_DONE = 4, PTI_PAST_FAILED = 5, PTI_PAST_BEGAN = 6 };

/* Why a job's worker died.  Written by the dying worker or its parent, read by who gets the job next.  A hint: where it is missing,
 * the job was "its worker died". */
enum pti_death { PTI_DEATH_UNKNOWN = 0, PTI_DEATH_OVERDUE = 1, PTI_DEATH_SIGNAL = 2, PTI_DEATH_EXIT = 3 };
struct pti_obituary {
    _Atomic uint64_t ticket; /* + 1; 0: nothing, or it is just being written */
    int64_t pid;
    uint64_t ran_ns;
    uint32_t death;          /* enum pti_death */
    int32_t code;            /* signal, or exit status */
    uint32_t core;
    uint32_t unused[7];
    char trace[960];         /* a line a frame */
};
_Static_assert(sizeof(struct pti_obituary) == 1024, "16 lines");
#define PTI_ROSTER_NOTES 32u

struct pti_roster {
    int fd; /* holds the lock; -1: no row */
    struct pti_row *row;
    void *base; /* of the mapping */
    struct pti_guard *guard;
    _Atomic uint32_t damaged;
};
#define PTI_ROSTER_NONE ((struct pti_roster){.fd = -1})

/* Joins: 0, or why there is no row (EAGAIN: all are taken; ENOSPC, EPERM, ...).  `jobs`, `id`: the pool's queue of jobs. */
int pti_roster_join(struct pti_roster *roster, ptq_bus *bus, const char *jobs, const uint8_t id[16], const char *name,
                    uint32_t deaths);
/* The same without a row: to write and read obituaries. */
int pti_roster_open(struct pti_roster *roster, ptq_bus *bus, const char *jobs, const uint8_t id[16]);
void pti_roster_leave(struct pti_roster *roster);

/* From now on it is in this state.  `now_ns` as base/time.h; returns nothing, waits for nothing. */
void pti_roster_turn(struct pti_row *row, enum ptq_worker_state state, uint64_t ticket, uint32_t tries, int64_t now_ns);
/* The task of the job in hand; the error that it ended with. */
void pti_roster_task(struct pti_row *row, const char *task);
void pti_roster_error(struct pti_row *row, enum ptq_err code, const char *text);

/* Reads (roster_read.c) all rows whose workers live: up to `max`, *ret_count how many there are.  0 or an errno; no file: none. */
int pti_roster_read(ptq_bus *bus, const char *jobs, const uint8_t id[16], struct ptq_worker_status *array, size_t max,
                    size_t *ret_count);

/* The note of the relay that feeds this pool: its group `from` begins at ticket `to`.  Read: false, there is none of that group. */
void pti_roster_write_relay(struct pti_roster *roster, uint64_t from, uint64_t to);
bool pti_roster_read_relay(const struct pti_roster *roster, uint64_t from, uint64_t *ret_to);

/* What was done in a row, by all who ever had it. */
struct pti_work {
    char name[64];       /* of the last */
    int64_t pid;
    bool lives;
    uint64_t done, failed;
    uint64_t spent_ns[4]; /* enum ptq_worker_state */
    int64_t began_ns, until_ns; /* host's clock: when the first was ready, when the last was seen at work; now, if it lives */
};
/* Of all rows that were ever used: up to `max`, *ret_count how many.  0 or an errno. */
int pti_roster_work(ptq_bus *bus, const char *jobs, const uint8_t id[16], struct pti_work *array, size_t max, size_t *ret_count);

/* Writes an obituary, of which `note->ticket` is a plain ticket here.  Async-signal-safe; does nothing where nothing is open. */
void pti_roster_bury(struct pti_roster *roster, const struct pti_obituary *note);
/* The last one of a ticket: a copy, its texts with an end. */
bool pti_roster_find(struct pti_roster *roster, uint64_t ticket, struct pti_obituary *ret_note);
/* It is not to be found again; false: it was not there, or somebody else was faster. */
bool pti_roster_forget(struct pti_roster *roster, uint64_t ticket);
/* Of a worker that died there is one already: adds what its parent knows of its end. */
bool pti_roster_amend(struct pti_roster *roster, uint64_t ticket, int64_t pid, bool core);

/* Of which namespace the pids of this process are; 0: it cannot be told. */
uint64_t pti_roster_pid_space(void);

/* The name of the file; size PTI_SIDE_NAME_MAX. */
void pti_roster_file(const char *jobs, const uint8_t id[16], char *buffer);

#endif

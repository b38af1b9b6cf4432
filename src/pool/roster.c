/* roster.c -- rows of workers: claimed and written; obituaries; the note of a relay.  (Rows are read by roster_read.c.) */
#include "pool/roster.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/life.h"
#include "os/side.h"
#include "pool/side.h"
#include "ring/side.h"

#define NOTES_AT (PTI_ROSTER_HEAD + PTI_ROSTER_ROWS * sizeof(struct pti_row))
#define SIZE (NOTES_AT + PTI_ROSTER_NOTES * sizeof(struct pti_obituary))

struct head {
    _Atomic uint64_t magic, used, notes, unused[5];
    _Atomic uint64_t relay_from, relay_to;
};

void pti_roster_file(const char *jobs, const uint8_t id[16], char *buffer)
{
    pti_side_prefix(jobs, id, buffer);
    size_t length = strlen(buffer);
    (void)snprintf(buffer + length, PTI_SIDE_NAME_MAX - length, PTI_SIDE_ROSTER);
}

/* -- a row of one's own ---------------------------------------------------------------------------------------- */

static int lock_free_row(int fd, unsigned *ret_index)
{
    for (unsigned i = 0; i < PTI_ROSTER_ROWS; i++) {
        int error = pti_life_lock_write(fd, i);
        if (error == 0)
            *ret_index = i;
        if (error != EAGAIN)
            return error;
    }
    return EAGAIN;
}

static int map_rows(struct pti_roster *roster, ptq_bus *bus)
{
    struct stat status;
    if (fstat(roster->fd, &status) != 0 || (status.st_size < (off_t)SIZE && ftruncate(roster->fd, (off_t)SIZE) != 0))
        return errno;
    int error = pti_side_map(roster->fd, SIZE, true, &roster->base);
    if (error == 0 && bus->guard)
        error = pti_guard_new(roster->base, SIZE, &roster->damaged, 1, &roster->guard);
    return error;
}

uint64_t pti_roster_pid_space(void)
{
    struct stat status;
    return stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0;
}

static void begin_texts(struct pti_row *row)
{
    (void)pti_fetch_or_seq(&row->version, 1);
}

static void end_texts(struct pti_row *row)
{
    pti_store_release(&row->version, (pti_load_relaxed(&row->version) | 1) + 1); /* one writer */
}

/* What was done by whoever had it before is not forgotten. */
static void keep_past(struct pti_row *row)
{
    for (unsigned i = 0; i < 4; i++) /* relaxed, as all of a row is: one writer */
        pti_store_relaxed(&row->past[i], pti_load_relaxed(&row->past[i]) + pti_load_relaxed(&row->spent_ns[i]));
    pti_store_relaxed(&row->past[PTI_PAST_DONE], pti_load_relaxed(&row->past[PTI_PAST_DONE]) + pti_load_relaxed(&row->done));
    pti_store_relaxed(&row->past[PTI_PAST_FAILED], pti_load_relaxed(&row->past[PTI_PAST_FAILED]) + pti_load_relaxed(&row->failed));
    if (pti_load_relaxed(&row->past[PTI_PAST_BEGAN]) == 0)
        pti_store_relaxed(&row->past[PTI_PAST_BEGAN], (uint64_t)pti_host_ns());
}

static void fill_row(struct pti_row *row, const ptq_bus *bus, const char *name, uint32_t deaths)
{
    pti_store_seq(&row->kind, 0);
    keep_past(row);
    begin_texts(row); /* perhaps its owner died in the middle */
    memset(row->task, 0, sizeof row->task);
    memset(row->error_text, 0, sizeof row->error_text);
    (void)snprintf(row->name, sizeof row->name, "%s", name);
    (void)snprintf(row->host, sizeof row->host, "%.63s", bus->node);
    end_texts(row);
    for (unsigned i = 0; i < 4; i++)
        pti_store_relaxed(&row->spent_ns[i], 0); /* all of these: seen with `kind` */
    pti_store_relaxed(&row->done, 0);
    pti_store_relaxed(&row->failed, 0);
    pti_store_relaxed(&row->error, 0);
    pti_store_relaxed(&row->phase, 0);
    pti_store_relaxed(&row->deaths, deaths);
    pti_store_relaxed(&row->pid, getpid());
    pti_store_relaxed(&row->pid_space, pti_roster_pid_space());
    pti_store_relaxed(&row->started_unix_ms, pti_unix_ms());
    int64_t now = pti_host_ns();
    pti_store_relaxed(&row->started_ns, now);
    pti_store_relaxed(&row->since_ns, now);
    pti_store_seq(&row->kind, 1);
}

static void note_used(struct head *head, uint64_t count)
{
    uint64_t used = pti_load_relaxed(&head->used);
    while (used < count && !pti_cas(&head->used, &used, count))
        ;
}

/* Memory first: a full file system is an errno, and no SIGBUS. */
static int take_row(struct pti_roster *roster, ptq_bus *bus, const char *name, uint32_t deaths)
{
    unsigned index;
    int error = lock_free_row(roster->fd, &index);
    uint64_t from = PTI_ROSTER_HEAD + index * sizeof(struct pti_row);
    if (error == 0)
        error = pti_side_reserve(roster->fd, from, from + sizeof(struct pti_row));
    if (error != 0)
        return error;
    roster->row = (struct pti_row *)(void *)((char *)roster->base + from);
    fill_row(roster->row, bus, name, deaths);
    note_used(roster->base, index + 1);
    return 0;
}

int pti_roster_open(struct pti_roster *roster, ptq_bus *bus, const char *jobs, const uint8_t id[16])
{
    *roster = PTI_ROSTER_NONE;
    int fd;
    int error = pti_pool_side_join(bus, jobs, id, PTI_SIDE_ROSTER, &fd);
    if (error != 0)
        return error;
    roster->fd = fd;
    error = map_rows(roster, bus);
    if (error == 0)
        error = pti_side_reserve(roster->fd, 0, sizeof(struct head));
    if (error == 0)
        error = pti_side_reserve(roster->fd, NOTES_AT, SIZE);
    if (error != 0) {
        pti_roster_leave(roster);
        return error;
    }
    struct head *head = roster->base;
    pti_store_seq(&head->magic, PTI_ROSTER_MAGIC);
    return 0;
}

int pti_roster_join(struct pti_roster *roster, ptq_bus *bus, const char *jobs, const uint8_t id[16], const char *name,
                    uint32_t deaths)
{
    int error = pti_roster_open(roster, bus, jobs, id);
    return error != 0 ? error : take_row(roster, bus, name, deaths);
}

void pti_roster_leave(struct pti_roster *roster)
{
    if (roster->row != NULL) {
        pti_roster_turn(roster->row, PTQ_WORKER_WAITS_FOR_JOB, 0, 0, pti_host_ns());
        pti_store_seq(&roster->row->kind, 0);
    }
    if (roster->base != NULL)
        pti_side_unmap(roster->base, SIZE);
    pti_guard_free(roster->guard);
    pti_fork_close(roster->fd);
    *roster = PTI_ROSTER_NONE;
}

/* -- writing --------------------------------------------------------------------------------------------------- */

#define PHASE(ticket, tries, state) ((ticket) << 16 | (uint64_t)((tries) < 0x1fff ? (tries) : 0x1fff) << 3 | (uint64_t)(state))

void pti_roster_turn(struct pti_row *row, enum ptq_worker_state state, uint64_t ticket, uint32_t tries, int64_t now_ns)
{
    if (row == NULL)
        return;
    unsigned before = (unsigned)(pti_load_relaxed(&row->phase) & 3); /* our own words */
    int64_t since = pti_load_relaxed(&row->since_ns);
    pti_store_relaxed(&row->spent_ns[before], pti_load_relaxed(&row->spent_ns[before]) + (uint64_t)(now_ns - since));
    pti_store_release(&row->since_ns, now_ns);
    bool has_job = state == PTQ_WORKER_WORKS || state == PTQ_WORKER_HANDS_IN;
    pti_store_release(&row->phase, PHASE(has_job ? ticket + 1 : 0, tries, state));
}

void pti_roster_task(struct pti_row *row, const char *task)
{
    if (row == NULL || strcmp(row->task, task) == 0)
        return;
    begin_texts(row);
    (void)snprintf(row->task, sizeof row->task, "%s", task);
    end_texts(row);
}

void pti_roster_error(struct pti_row *row, enum ptq_err code, const char *text)
{
    if (row == NULL)
        return;
    begin_texts(row);
    (void)snprintf(row->error_text, sizeof row->error_text, "%.*s", (int)sizeof row->error_text - 1, text);
    pti_store_relaxed(&row->error, (uint64_t)code);
    end_texts(row);
}

/* -- obituaries ------------------------------------------------------------------------------------------------ */

static struct pti_obituary *note_at(const struct pti_roster *roster, uint64_t turn)
{
    char *base = roster->base;
    return (struct pti_obituary *)(void *)(base + NOTES_AT) + turn % PTI_ROSTER_NOTES;
}

void pti_roster_bury(struct pti_roster *roster, const struct pti_obituary *note)
{
    if (roster->base == NULL)
        return;
    struct head *head = roster->base;
    struct pti_obituary *to = note_at(roster, pti_fetch_add_seq(&head->notes, 1));
    pti_store_seq(&to->ticket, 0);
    memcpy((char *)to + sizeof to->ticket, (const char *)note + sizeof note->ticket, sizeof *note - sizeof note->ticket);
    pti_store_seq(&to->ticket, pti_load_relaxed(&note->ticket) + 1); /* a copy of the caller's */
}

/* The newest of a ticket.  NULL: none. */
static struct pti_obituary *find_note(struct pti_roster *roster, uint64_t ticket)
{
    if (roster->base == NULL)
        return NULL;
    const struct head *head = roster->base;
    uint64_t turn = pti_load_acquire(&head->notes);
    for (unsigned i = 1; i <= PTI_ROSTER_NOTES; i++)
        if (pti_load_acquire(&note_at(roster, turn - i)->ticket) == ticket + 1)
            return note_at(roster, turn - i);
    return NULL;
}

bool pti_roster_find(struct pti_roster *roster, uint64_t ticket, struct pti_obituary *ret_note)
{
    struct pti_obituary *note = find_note(roster, ticket);
    if (note == NULL)
        return false;
    memcpy((char *)ret_note + sizeof note->ticket, (const char *)note + sizeof note->ticket, sizeof *note - sizeof note->ticket);
    ret_note->trace[sizeof ret_note->trace - 1] = 0;
    return pti_load_seq(&note->ticket) == ticket + 1;
}

bool pti_roster_forget(struct pti_roster *roster, uint64_t ticket)
{
    uint64_t expected = ticket + 1;
    struct pti_obituary *note = find_note(roster, ticket);
    return note != NULL && pti_cas(&note->ticket, &expected, 0);
}

bool pti_roster_amend(struct pti_roster *roster, uint64_t ticket, int64_t pid, bool core)
{
    struct pti_obituary *note = find_note(roster, ticket);
    if (note == NULL || note->pid != pid)
        return false;
    note->core |= core;
    return true;
}

/* -- the note of a relay ---------------------------------------------------------------------------------------- */

/* `to` first: whoever finds `from` finds what belongs to it.  In between it belongs to a group that is done. */
void pti_roster_write_relay(struct pti_roster *roster, uint64_t from, uint64_t to)
{
    struct head *head = roster->base;
    pti_store_release(&head->relay_to, to);
    pti_store_release(&head->relay_from, from + 1);
}

bool pti_roster_read_relay(const struct pti_roster *roster, uint64_t from, uint64_t *ret_to)
{
    const struct head *head = roster->base;
    if (pti_load_acquire(&head->relay_from) != from + 1)
        return false;
    *ret_to = pti_load_acquire(&head->relay_to);
    return true;
}

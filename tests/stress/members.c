/* members.c -- of the chaos: what all its members share. */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "stress/chaos.h"

void chaos_violation(struct chaos *chaos, const char *format, ...)
{
    va_list arguments;

    if (chaos->violations++ > 0)
        return;
    va_start(arguments, format);
    vsnprintf(chaos->text, sizeof chaos->text, format, arguments);
    va_end(arguments);
}

uint64_t chaos_random(uint64_t *state)
{
    uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15));

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* ---- opening and closing */

static const char *own_dir; /* in a container */
static unsigned descriptors; /* before the first open */

void chaos_rename_dir(const char *dir) { own_dir = dir; }

static unsigned count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        closedir(dir);
    return count;
}

ptq_queue *chaos_open(struct chaos *chaos, const char *name, ptq_bus **ret_bus)
{
    return chaos_open_with(chaos, name, 0, ret_bus);
}

ptq_queue *chaos_open_with(struct chaos *chaos, const char *name, unsigned flags, ptq_bus **ret_bus)
{
    struct ptq_error error = {0};
    struct ptq_bus_options bus_options = {.dir = own_dir ? own_dir : chaos->dir, .error = &error};
    struct ptq_queue_options options = {.mode = PTQ_ATTACH, .wait_ms = 5000, .error = &error};
    ptq_queue *queue = NULL;

    options.flags = flags | (chaos->packs && !chaos->units && strcmp(name, CHAOS_QUEUE) == 0 ? PTQ_PIPELINE : 0);
    if (descriptors == 0)
        descriptors = count_descriptors();
    if (ptq_bus_open("chaos", &bus_options, ret_bus) != PTQ_OK ||
        ptq_queue_open(*ret_bus, name, &options, &queue) != PTQ_OK) {
        chaos_violation(chaos, "an open answered %s: %s", ptq_err_name(error.code), error.text);
        _exit(1);
    }
    return queue;
}

int chaos_close(struct chaos *chaos, ptq_queue *queue, ptq_bus *bus)
{
    unsigned now;

    ptq_queue_close(queue);
    ptq_bus_close(bus);
    now = count_descriptors();
    if (now > descriptors)
        chaos_violation(chaos, "%u descriptors are left after closing", now - descriptors);
    return now > descriptors;
}

void chaos_live(struct chaos *chaos, struct chaos_member *me, struct history_writer *ret_writer)
{
    history_live(ret_writer, chaos->history);
    me->actor = ret_writer->actor;
}

/* ---- messages: a note and its number, over and over */

static uint32_t check_of(const struct chaos_note *note)
{
    return (note->producer + 1) * UINT32_C(2654435761) ^ note->number * UINT32_C(40503) ^ note->size;
}

size_t chaos_write(unsigned char *bytes, uint32_t producer, uint32_t number, size_t item_size)
{
    size_t room = item_size - sizeof(struct chaos_note);
    struct chaos_note note = {.producer = producer, .number = number};

    note.size = (uint32_t)(sizeof note + number * 7u % (room < 200 ? room + 1 : 200));
    note.check = check_of(&note);
    memcpy(bytes, &note, sizeof note);
    memset(bytes + sizeof note, (int)(number & 255), note.size - sizeof note);
    return note.size;
}

bool chaos_read(const void *data, size_t size, struct chaos_note *ret_note)
{
    const unsigned char *bytes = data;

    if (size < sizeof *ret_note)
        return false;
    memcpy(ret_note, bytes, sizeof *ret_note);
    if (ret_note->size != size || ret_note->check != check_of(ret_note) || ret_note->producer >= CHAOS_PRODUCERS ||
        ret_note->number >= CHAOS_NUMBERS)
        return false;
    for (size_t i = sizeof *ret_note; i < size; i++)
        if (bytes[i] != (ret_note->number & 255))
            return false;
    return true;
}

bool chaos_is_refusal(enum ptq_err err)
{
    return err == PTQ_FULL || err == PTQ_TIMEDOUT || err == PTQ_EINTR || err == PTQ_ETOOBIG; /* a batch beyond the budget */
}

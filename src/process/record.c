/* record.c -- memory that a process and its parent share. */
#include "process/record.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/segment.h"

static uint64_t round_up(uint64_t size)
{
    return (size + 63) / 64 * 64;
}

static struct pti_place place_twin(uint64_t room, uint64_t *offset)
{
    struct pti_place place = {.offset = *offset, .room = round_up(room)};
    *offset += 2 * place.room;
    return place;
}

int pti_record_new(size_t input_size, size_t checkpoint_size, size_t result_size, struct pti_places *ret_places, int *ret_fd,
                   struct pti_record **ret_record)
{
    struct pti_places places = {.input = round_up(sizeof(struct pti_record))};
    places.size = places.input + round_up(input_size);
    places.checkpoint = place_twin(checkpoint_size, &places.size);
    places.result = place_twin(result_size, &places.size);

    int fd = memfd_create("ptq-process", MFD_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = pti_file_reserve(fd, 0, places.size);
    void *base = error == 0 ? mmap(NULL, places.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (base == MAP_FAILED) {
        error = error != 0 ? error : errno;
        (void)close(fd);
        return error;
    }
    struct pti_record *record = base;
    record->places = places;
    record->input_size = input_size;
    *ret_places = places;
    *ret_fd = fd;
    *ret_record = record;
    return 0;
}

void pti_record_free(const struct pti_places *places, int fd, struct pti_record *record)
{
    if (record == NULL)
        return;
    (void)munmap(record, places->size);
    (void)close(fd);
}

int pti_record_join(int fd, struct pti_record **ret_record)
{
    struct stat facts;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fstat(fd, &facts) != 0)
        return errno;
    if ((size_t)facts.st_size < sizeof(struct pti_record))
        return EINVAL;
    void *base = mmap(NULL, (size_t)facts.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return errno;
    *ret_record = base;
    return 0;
}

/* -- bytes, and failures -------------------------------------------------------------------------------------- */

static uint64_t offset_of(const struct pti_place *place, uint64_t turn)
{
    return place->offset + turn % 2 * place->room;
}

bool pti_twin_write(struct pti_record *record, struct pti_twin *twin, const struct pti_place *place, const void *data, size_t size)
{
    uint64_t turn = pti_load_relaxed(&twin->turn) + 1; /* ours alone to write */
    if (size > place->room)
        return false;
    if (size != 0)
        memcpy((char *)record + offset_of(place, turn), data, size);
    pti_store_relaxed(&twin->size[turn % 2], size);
    pti_store_release(&twin->turn, turn); /* here it counts */
    return true;
}

const void *pti_twin_read(const struct pti_record *record, const struct pti_twin *twin, const struct pti_place *place,
                          size_t *ret_size)
{
    uint64_t turn = pti_load_acquire(&twin->turn), size = pti_load_relaxed(&twin->size[turn % 2]);
    if (turn == 0 || size > place->room)
        return NULL;
    *ret_size = size;
    return (const char *)record + offset_of(place, turn);
}

void pti_failure_note(struct pti_failures *failures, const struct pti_failure *failure)
{
    uint64_t turn = pti_load_relaxed(&failures->turn) + 1;
    failures->place[turn % 2] = *failure;
    pti_store_release(&failures->turn, turn);
}

/* Two notes after the look, the place may have been written anew: then once more.  A process makes few of them. */
bool pti_failure_get(const struct pti_failures *failures, struct pti_failure *ret_failure)
{
    for (unsigned tries = 0; tries < 100; tries++) {
        uint64_t turn = pti_load_acquire(&failures->turn);
        if (turn == 0)
            return false;
        pti_copy_guess(ret_failure, &failures->place[turn % 2], sizeof *ret_failure);
        ret_failure->text[sizeof ret_failure->text - 1] = '\0';
        if (pti_load_seq(&failures->turn) == turn)
            return true;
    }
    return true;
}

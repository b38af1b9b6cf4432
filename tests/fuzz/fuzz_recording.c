/* fuzz_recording.c -- foreign bytes as a recording: as they are, and as bodies of frames whose sums are right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../tools/common/recording.h"
#include "../../tools/common/say.h"
#include "../../tools/common/option.h"
#include "fuzz/fuzz.h"

const struct tool_program tool_program = {.name = "fuzz_recording"};

static void check(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz_recording: %s\n", what);
        abort();
    }
}

static unsigned touch(const struct record_message *message)
{
    char name[PTQ_HEADER_NAME_MAX + 1];
    const unsigned char *bytes = message->data;
    const void *value;
    size_t at = 0, size;
    unsigned sum = 0;

    for (size_t i = 0; i < message->size; i++)
        sum += bytes[i];
    while (record_header_next(message, &at, name, &value, &size)) {
        check(at <= message->header_bytes && strlen(name) <= PTQ_HEADER_NAME_MAX, "a header beyond its message");
        for (size_t i = 0; i < size; i++)
            sum += ((const unsigned char *)value)[i];
    }
    return sum;
}

static void read_all(int fd, size_t file_size, uint64_t from)
{
    struct record_message message;
    struct record_reader reader;
    volatile unsigned sum = 0;
    uint64_t answers = 0;

    if (record_open_fd(&reader, fd) != 0)
        return;
    if (from != 0)
        record_seek_number(&reader, from);
    for (;;) {
        enum record_answer answer = record_next(&reader, &message);
        if (answer == RECORD_END || answer == RECORD_FAILED)
            break;
        if (answer == RECORD_MESSAGE)
            sum += touch(&message);
        if (answer == RECORD_DAMAGE || answer == RECORD_CUT)
            check(reader.damage_at + reader.damage_size <= file_size, "a damage beyond the file");
        check(++answers < 100000000, "it does not end");
    }
    record_reader_fini(&reader);
}

/* kind, flags, count, length u16, body: again and again. */
static void write_frames(int fd, const uint8_t *bytes, size_t size)
{
    unsigned char head[RECORD_HEAD], frame[RECORD_FRAME_HEAD];
    uint64_t number = 1;

    record_seal_head(head, 7);
    check(write(fd, head, sizeof head) == (ssize_t)sizeof head, "no file");
    while (size >= 5) {
        size_t length = (size_t)bytes[3] | (size_t)bytes[4] << 8;
        if (length > size - 5)
            length = size - 5;
        record_seal(frame, 7, bytes[0] % 6, bytes[1], bytes + 5, length, bytes[1] & 2 ? 100 : length, number, (int64_t)number * 1000, bytes[2]);
        check(write(fd, frame, sizeof frame) == (ssize_t)sizeof frame && write(fd, bytes + 5, length) == (ssize_t)length, "no file");
        number += bytes[2];
        bytes += 5 + length;
        size -= 5 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    for (int how = 0; how < 3; how++) {
        int fd = memfd_create("recording", MFD_CLOEXEC);
        check(fd >= 0, "no memory file");
        if (how == 1)
            write_frames(fd, bytes, size);
        else
            check(write(fd, bytes, size) == (ssize_t)size, "no memory file");
        read_all(fd, (size_t)lseek(fd, 0, SEEK_END), how == 2 ? 3 : 0);
    }
    return 0;
}

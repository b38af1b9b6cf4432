/* driver.c -- runs a fuzz target without libFuzzer: first the stored corpus, then mutations of it for a while.
 *
 *   fuzz_x CORPUS [SECONDS [SEED]]
 *
 * What ends the process is in ./crash-<target>, to be added to the corpus with the mending.  Guided fuzzing, which finds
 * more and makes the corpus: tests/run fuzz.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/fuzz.h"

#define INPUT_MAX 4096
#define INPUTS_MAX 4096

struct input {
    uint8_t bytes[INPUT_MAX];
    size_t size;
};

static struct input *inputs[INPUTS_MAX];
static size_t input_count;
static struct input now;
static uint64_t state;
static char crash_file[256];

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Keeps the input that ends us; only open, write and close. */
static void keep_crash(int number)
{
    FILE *file = fopen(crash_file, "wb");

    if (file) {
        fwrite(now.bytes, 1, now.size, file);
        fclose(file);
    }
    fprintf(stderr, "driver: the input is in %s\n", crash_file);
    signal(number, SIG_DFL);
    raise(number);
}

static void read_corpus(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[1024];

    if (!dir) {
        perror(path);
        exit(2);
    }
    while ((entry = readdir(dir)) != NULL && input_count < INPUTS_MAX) {
        FILE *file;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        file = fopen(name, "rb");
        if (!file || !(inputs[input_count] = calloc(1, sizeof *inputs[0]))) {
            perror(name);
            exit(2);
        }
        inputs[input_count]->size = fread(inputs[input_count]->bytes, 1, INPUT_MAX, file);
        input_count++;
        fclose(file);
    }
    closedir(dir);
}

/* Words that mean something to somebody. */
static void mutate(void)
{
    static const uint64_t words[] = {0, 1, 2, 15, 16, 63, 64, 127, 255, 4095, 65535, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 63};
    size_t at = now.size ? draw() % now.size : 0, count;

    switch (draw() % 6) {
    case 0:
        now.bytes[at] ^= (uint8_t)(1u << draw() % 8);
        break;
    case 1:
        now.bytes[at] = (uint8_t)draw();
        break;
    case 2:
        count = now.size - at < 8 ? now.size - at : 8;
        memcpy(now.bytes + at, &words[draw() % (sizeof words / sizeof words[0])], count);
        break;
    case 3: /* more */
        for (count = draw() % 32; count > 0 && now.size < INPUT_MAX; count--)
            now.bytes[now.size++] = (uint8_t)draw();
        break;
    case 4: /* less */
        now.size = at;
        break;
    case 5: { /* a piece of another */
        const struct input *other = inputs[draw() % input_count];
        size_t from = other->size ? draw() % other->size : 0;

        count = other->size - from;
        if (count > INPUT_MAX - at)
            count = INPUT_MAX - at;
        memcpy(now.bytes + at, other->bytes + from, count);
        if (at + count > now.size)
            now.size = at + count;
        break;
    }
    }
}

int main(int argc, char **argv)
{
    static const int fatal[] = {SIGABRT, SIGSEGV, SIGFPE, SIGILL};
    const char *name = strrchr(argv[0], '/');
    int64_t seconds = argc > 2 ? atoll(argv[2]) : 0;
    uint64_t runs = 0;
    time_t end;

    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS [SECONDS [SEED]]\n", argv[0]);
        return 2;
    }
    state = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)time(NULL) * 2654435761u + (uint64_t)getpid();
    state |= 1;
    printf("seed 0x%llx\n", (unsigned long long)state);
    fflush(stdout);
    snprintf(crash_file, sizeof crash_file, "crash-%.200s", name ? name + 1 : argv[0]);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        signal(fatal[i], keep_crash);
    read_corpus(argv[1]);
    for (size_t i = 0; i < input_count; i++) {
        now = *inputs[i];
        LLVMFuzzerTestOneInput(now.bytes, now.size);
    }
    end = time(NULL) + seconds;
    while (seconds > 0 && input_count > 0 && time(NULL) < end) {
        now = *inputs[draw() % input_count];
        for (uint64_t n = 1 + draw() % 6; n > 0; n--)
            mutate();
        LLVMFuzzerTestOneInput(now.bytes, now.size);
        runs++;
    }
    printf("%zu stored inputs, %llu mutations\n", input_count, (unsigned long long)runs);
    return input_count > 0 ? 0 : 1;
}

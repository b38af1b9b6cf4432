/* tbb.c -- peer: TBB's parallel_pipeline with two threads: trivial tasks, results in order. */
#include "../kit.h"
#include "tbb.h"

struct scene {
    struct bench *bench;
    struct bench_seen seen;
    uint64_t next, count;
    int64_t first, begin, end;
};

static bool pull(void *context, uint64_t *words)
{
    struct scene *scene = context;
    bench_fill_large(words, scene->bench->options.size, scene->next++, 0);
    return true;
}

static bool give(void *context, const uint64_t *words)
{
    struct scene *scene = context;
    uint64_t number = bench_check(&scene->seen, words, scene->bench->options.size, true);
    scene->count++;
    if (number % 64 != 0)
        return true;
    scene->end = bench_now_ns();
    if (scene->first == 0)
        scene->first = scene->end;
    if (scene->begin == 0 && scene->end - scene->first > 50000000) {
        scene->begin = scene->end;
        scene->count = 0;
    }
    return scene->begin == 0 || scene->end - scene->begin < (int64_t)scene->bench->options.ms * 1000000;
}

int main(int argc, char **argv)
{
    struct bench bench = {.name = "tbb", .options = {.ms = 1000, .size = 64}};
    static struct scene scene;

    bench_init(&bench, argc, argv);
    scene.bench = &bench;
    (void)bench_tbb_run(bench.options.size, 64, pull, give, &scene);
    bench_print(&bench, (double)scene.count / (double)(scene.end - scene.begin) * 1000, "M/s");
    return 0;
}

/* tbb.cpp -- peer: TBB's parallel_pipeline, threads of one process: in order, trivial work, in order. */
#include "tbb.h"

#include <tbb/global_control.h>
#include <tbb/parallel_pipeline.h>

#include <cstring>

uint64_t bench_tbb_run(size_t size, size_t tokens, bool (*pull)(void *, uint64_t *), bool (*give)(void *, const uint64_t *),
                       void *context)
{
    tbb::global_control threads(tbb::global_control::max_allowed_parallelism, 2);
    uint64_t count = 0;
    bool over = false;
    tbb::parallel_pipeline(
        tokens, tbb::make_filter<void, uint64_t *>(tbb::filter_mode::serial_in_order,
                                                   [&](tbb::flow_control &flow) -> uint64_t * {
                                                       uint64_t *words = over ? nullptr : new uint64_t[size / 8];
                                                       if (words == nullptr || !pull(context, words)) {
                                                           delete[] words;
                                                           flow.stop();
                                                           return nullptr;
                                                       }
                                                       return words;
                                                   }) &
                    tbb::make_filter<uint64_t *, uint64_t *>(tbb::filter_mode::parallel,
                                                             [&](uint64_t *words) {
                                                                 uint64_t *result = new uint64_t[size / 8];
                                                                 std::memcpy(result, words, size);
                                                                 delete[] words;
                                                                 return result;
                                                             }) &
                    tbb::make_filter<uint64_t *, void>(tbb::filter_mode::serial_in_order, [&](uint64_t *words) {
                        if (!give(context, words))
                            over = true;
                        delete[] words;
                        count++;
                    }));
    return count;
}

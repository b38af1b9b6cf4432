/* plus.h -- the two peers that are written in C++, as C sees them. */
#ifndef PTQ_BENCH_PLUS_H
#define PTQ_BENCH_PLUS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Made under `name`, which is gone on return: forked processes share it.  NULL: `error` says why. */
void *boost_queue_new(const char *name, size_t capacity, size_t size, char *error, size_t error_size);
void boost_queue_put(void *queue, const void *bytes, size_t size);
void boost_queue_get(void *queue, void *bytes, size_t size);

void *moodycamel_new(size_t capacity, size_t producers, size_t size); /* messages of 8 or 64 bytes; NULL: others */
void *moodycamel_producer(void *queue);             /* a thread's own, as its authors advise */
void *moodycamel_consumer(void *queue);
bool moodycamel_put(void *producer, const void *bytes);
bool moodycamel_get(void *consumer, void *bytes);

#ifdef __cplusplus
}
#endif
#endif

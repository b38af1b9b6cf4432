/* memory.c -- every access of the library to shared memory: what gcc calls for -fsanitize=thread, here a step of the schedule.
 *
 * Stores weaker than seq_cst may wait in a store buffer, as x86 has it: the process itself sees them, the others do not, until a
 * read-modify-write, a seq_cst store, a call of the kernel, somebody's membarrier or chance drains it.  C11 allows that and more.
 * Who dies leaves nothing in it: the kernel lets go of locks long after the last store was retired.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "sim/sim.h"

uint64_t sim_arena_used;

void sim_memory_init(void)
{
    void *at = mmap((void *)(uintptr_t)SIM_ARENA, SIM_ARENA_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (at != (void *)(uintptr_t)SIM_ARENA) {
        fprintf(stderr, "sim: no memory at its place\n");
        exit(2);
    }
}

/* Which pages were written: only these are cleared.  A payload is copied in without a call of ours, behind its block's meta. */
#define PAGE_BITS 12
#define PAYLOAD 512
static unsigned char is_dirty[SIM_ARENA_BYTES >> PAGE_BITS];
static uint32_t dirty[SIM_ARENA_BYTES >> PAGE_BITS];
static unsigned dirty_count;

static inline void mark_page(uint64_t page)
{
    if (__builtin_expect(is_dirty[page], 1))
        return;
    is_dirty[page] = 1;
    dirty[dirty_count++] = (uint32_t)page;
}

void sim_memory_mark(const volatile void *p, uint64_t size)
{
    uint64_t from = (uint64_t)(uintptr_t)p - SIM_ARENA, to = from + size + PAYLOAD;

    for (uint64_t page = from >> PAGE_BITS; page <= to >> PAGE_BITS && page < sizeof is_dirty; page++)
        mark_page(page);
}

static void check_clean(void)
{
    static unsigned looks;
    const uint64_t *words = (const uint64_t *)(uintptr_t)SIM_ARENA;

    if (looks++ >= 20)
        return;
    for (uint64_t i = 0; i < sim_arena_used / 8; i++)
        if (words[i] != 0) {
            fprintf(stderr, "sim: byte %llu of the arena was written unseen\n", (unsigned long long)i * 8);
            exit(2);
        }
}

void sim_memory_clear(void)
{
    for (unsigned i = 0; i < dirty_count; i++) {
        memset((char *)(uintptr_t)SIM_ARENA + ((uint64_t)dirty[i] << PAGE_BITS), 0, 1 << PAGE_BITS);
        is_dirty[dirty[i]] = 0;
    }
    dirty_count = 0;
    check_clean();
    sim_arena_used = 0;
}

/* ---- the store buffer */

static void apply(const struct sim_store *store)
{
    if (store->size == 8 && store->address >= sim_ready_from)
        sim_ready_note(store->address, *(const uint64_t *)(uintptr_t)store->address, store->value);
    memcpy((void *)(uintptr_t)store->address, &store->value, store->size);
}

static void drain(struct sim_proc *proc, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        apply(&proc->buffer[i]);
    proc->buffered -= count;
    memmove(proc->buffer, proc->buffer + count, proc->buffered * sizeof proc->buffer[0]);
}

void sim_flush(struct sim_proc *proc)
{
    if (proc->buffered > 0)
        drain(proc, proc->buffered);
}

static bool overlaps(const struct sim_store *store, uint64_t address, uint64_t size)
{
    return store->address < address + size && address < store->address + store->size;
}

/* What of it waits goes out first: for accesses that do not forward. */
static void settle(const volatile void *p, uint64_t size)
{
    for (unsigned i = sim_me->buffered; i-- > 0;)
        if (overlaps(&sim_me->buffer[i], (uintptr_t)p, size)) {
            drain(sim_me, i + 1);
            return;
        }
}

static bool forward(const volatile void *p, unsigned size, uint64_t *ret_value)
{
    for (unsigned i = sim_me->buffered; i-- > 0;) {
        if (!overlaps(&sim_me->buffer[i], (uintptr_t)p, size))
            continue;
        if (sim_me->buffer[i].address == (uintptr_t)p && sim_me->buffer[i].size == size) {
            *ret_value = sim_me->buffer[i].value;
            return true;
        }
        drain(sim_me, i + 1);
        return false;
    }
    return false;
}

static void store(volatile void *p, unsigned size, uint64_t value, int order)
{
    struct sim_store wanted = {(uintptr_t)p, value, size};

    sim_memory_mark(p, size);
    if (!sim.buffers || order == __ATOMIC_SEQ_CST) {
        sim_flush(sim_me);
        apply(&wanted);
        return;
    }
    if (sim_me->buffered == SIM_BUFFER)
        drain(sim_me, 1);
    sim_me->buffer[sim_me->buffered++] = wanted;
    if (sim_chance(6))
        drain(sim_me, 1 + (unsigned)sim_random(sim_me->buffered));
}

/* ---- atomics */

static void begin(const char *what, const volatile void *p, unsigned size, uint64_t value)
{
    sim_point();
    if (__builtin_expect(sim.tracing, 0))
        sim_trace_access(what, p, size, value);
}

#define OURS(p) (sim_me != NULL && sim_is_shared(p))

#define DEFINE(bits)                                                                                                   \
    typedef uint##bits##_t a##bits;                                                                                    \
    a##bits __tsan_atomic##bits##_load(const volatile a##bits *p, int order);                                          \
    void __tsan_atomic##bits##_store(volatile a##bits *p, a##bits value, int order);                                   \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile a##bits *p, a##bits *expected, a##bits value, int order, \
                                                      int fail_order);                                                 \
    a##bits __tsan_atomic##bits##_load(const volatile a##bits *p, int order)                                           \
    {                                                                                                                  \
        uint64_t value;                                                                                                \
        (void)order;                                                                                                   \
        if (!OURS(p))                                                                                                  \
            return *p;                                                                                                 \
        sim_point();                                                                                                   \
        if (sim_me->buffered == 0 || !forward(p, bits / 8, &value))                                                    \
            value = *p;                                                                                                \
        if (__builtin_expect(sim.tracing, 0))                                                                          \
            sim_trace_access("load", p, bits / 8, value);                                                              \
        return (a##bits)value;                                                                                         \
    }                                                                                                                  \
    void __tsan_atomic##bits##_store(volatile a##bits *p, a##bits value, int order)                                    \
    {                                                                                                                  \
        if (!OURS(p)) {                                                                                                \
            *p = value;                                                                                                \
            return;                                                                                                    \
        }                                                                                                              \
        begin("store", p, bits / 8, value);                                                                            \
        store(p, bits / 8, value, order);                                                                              \
    }                                                                                                                  \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile a##bits *p, a##bits *expected, a##bits value, int order, \
                                                      int fail_order)                                                  \
    {                                                                                                                  \
        a##bits was;                                                                                                   \
        (void)order, (void)fail_order;                                                                                 \
        if (OURS(p)) {                                                                                                 \
            sim_point();                                                                                               \
            sim_flush(sim_me);                                                                                         \
            sim_memory_mark(p, bits / 8);                                                                              \
        }                                                                                                              \
        was = *p;                                                                                                      \
        if (was == *expected) {                                                                                        \
            *p = value;                                                                                                \
            if (bits == 64 && (uintptr_t)p >= sim_ready_from)                                                          \
                sim_ready_note((uintptr_t)p, was, value);                                                              \
        }                                                                                                              \
        if (__builtin_expect(sim.tracing, 0) && OURS(p))                                                               \
            sim_trace_access(was == *expected ? "cas to" : "cas fails, not to", p, bits / 8, value);                   \
        if (was == *expected)                                                                                          \
            return 1;                                                                                                  \
        *expected = was;                                                                                               \
        return 0;                                                                                                      \
    }
#define DEFINE_RMW(bits, name, result)                                                                                 \
    a##bits __tsan_atomic##bits##_##name(volatile a##bits *p, a##bits value, int order);                               \
    a##bits __tsan_atomic##bits##_##name(volatile a##bits *p, a##bits value, int order)                                \
    {                                                                                                                  \
        a##bits was;                                                                                                   \
        (void)order;                                                                                                   \
        if (OURS(p)) {                                                                                                 \
            sim_point();                                                                                               \
            sim_flush(sim_me);                                                                                         \
            sim_memory_mark(p, bits / 8);                                                                              \
        }                                                                                                              \
        was = *p;                                                                                                      \
        *p = (a##bits)(result);                                                                                        \
        if (__builtin_expect(sim.tracing, 0) && OURS(p))                                                               \
            sim_trace_access(#name, p, bits / 8, *p);                                                                  \
        return was;                                                                                                    \
    }
#define DEFINE_ALL(bits)                                                                                               \
    DEFINE(bits)                                                                                                       \
    DEFINE_RMW(bits, exchange, value)                                                                                  \
    DEFINE_RMW(bits, fetch_add, was + value)                                                                           \
    DEFINE_RMW(bits, fetch_sub, was - value)                                                                           \
    DEFINE_RMW(bits, fetch_and, was &value)                                                                            \
    DEFINE_RMW(bits, fetch_or, was | value)

DEFINE_ALL(8)
DEFINE_ALL(16)
DEFINE_ALL(32)
DEFINE_ALL(64)

/* ---- plain accesses: a write may be the last that a process does; a read needs no step of its own */

static void plain_write(volatile void *p, uint64_t size)
{
    if (!OURS(p))
        return;
    sim_point();
    sim_memory_mark(p, size);
    if (sim_me->buffered > 0)
        settle(p, size);
    if (__builtin_expect(sim.tracing, 0))
        sim_trace_access("plain write", p, (unsigned)size, 0);
}

static void plain_read(const volatile void *p, uint64_t size)
{
    if (OURS(p) && sim_me->buffered > 0)
        settle(p, size);
}

#define DEFINE_PLAIN(size)                                                                                             \
    void __tsan_read##size(void *p);                                                                                   \
    void __tsan_write##size(void *p);                                                                                  \
    void __tsan_read##size(void *p) { plain_read(p, size); }                                                           \
    void __tsan_write##size(void *p) { plain_write(p, size); }
DEFINE_PLAIN(1)
DEFINE_PLAIN(2)
DEFINE_PLAIN(4)
DEFINE_PLAIN(8)
DEFINE_PLAIN(16)

void __tsan_read_range(void *p, unsigned long size);
void __tsan_write_range(void *p, unsigned long size);
void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_thread_fence(int order);
void __tsan_init(void);
void __tsan_read_range(void *p, unsigned long size) { plain_read(p, size); }
void __tsan_write_range(void *p, unsigned long size) { plain_write(p, size); }
void __tsan_atomic_signal_fence(int order) { (void)order; }
void __tsan_init(void) {}

void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    if (sim_me)
        sim_flush(sim_me);
}

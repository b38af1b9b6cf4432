/* process.c -- a simulated process's private state: its copy of the library, its heap, what libc keeps for it.
 *
 * The file of the library is opened once for each process under another inode, so each copy has variables of its own; they are
 * taken down after loading and put back at each birth.  The copies share one thread, so thread-local variables are the copy's
 * own too, for each is another module.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/sim.h"
#include "sim/wraps.h"

#define AREAS 4

struct area {
    char *at, *image;
    size_t size;
};

struct copy {
    void *handle;
    uintptr_t base;
    struct area areas[AREAS];
    unsigned count;
    char *heap;
};

static struct copy copies[SIM_PROCS];

static void give_up(const char *what)
{
    fprintf(stderr, "sim: %s\n", what);
    exit(2);
}

static void take_down(struct copy *copy, char *at, size_t size)
{
    if (at == NULL || size == 0)
        return;
    if (copy->count == AREAS)
        give_up("the library has too many areas of variables");
    struct area area = {.at = at, .image = malloc(size), .size = size};
    memcpy(area.image, at, size);
    copy->areas[copy->count++] = area;
}

static int look_at_module(struct dl_phdr_info *info, size_t size, void *context)
{
    struct copy *copy = context;

    (void)size;
    if (info->dlpi_addr != copy->base)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_W) != 0)
            take_down(copy, (char *)(copy->base + header->p_vaddr), header->p_memsz);
        if (header->p_type == PT_TLS) {
            void *block = NULL;
            if (dlinfo(copy->handle, RTLD_DI_TLS_DATA, &block) != 0 || block == NULL)
                give_up("no thread-local variables");
            take_down(copy, block, header->p_memsz);
        }
    }
    return 1;
}

static int copy_file(const char *path)
{
    static char bytes[1 << 16];
    int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("ptq-sim", 0);
    ssize_t length;

    if (from < 0 || to < 0)
        give_up("the library cannot be read");
    while ((length = read(from, bytes, sizeof bytes)) > 0)
        if (write(to, bytes, (size_t)length) != length)
            give_up("the library cannot be copied");
    close(from);
    return to;
}

static void *find(void *handle, const char *name)
{
    void *symbol = dlsym(handle, name);

    if (symbol == NULL) {
        fprintf(stderr, "sim: the library has no %s\n", name);
        exit(2);
    }
    return symbol;
}

static void load_copy(const char *path, struct sim_proc *proc, struct copy *copy)
{
    char name[64];
    struct link_map *map;

    snprintf(name, sizeof name, "/proc/self/fd/%d", copy_file(path));
    sim_me = proc;
    copy->heap = mmap(NULL, SIM_HEAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    copy->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (copy->handle == NULL)
        give_up(dlerror());
    sim_me = NULL;
    if (dlinfo(copy->handle, RTLD_DI_LINKMAP, &map) != 0)
        give_up("no link map");
    copy->base = map->l_addr;
#define SIM_FIND(symbol) proc->api.symbol = (__typeof__(&symbol))find(copy->handle, #symbol);
    SIM_API(SIM_FIND)
    find(copy->handle, "pti_lane_cache"); /* whose address makes libc give this copy its thread-local block */
    dl_iterate_phdr(look_at_module, copy);
}

void sim_library_load(const char *path)
{
    for (unsigned i = 0; i < SIM_PROCS; i++) {
        sim_procs[i].number = i;
        sim_procs[i].stack = mmap(NULL, SIM_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
        if (sim_procs[i].stack == MAP_FAILED)
            give_up("no memory for stacks");
        load_copy(path, &sim_procs[i], &copies[i]);
    }
}

const char *sim_library_stale(void) { return dlsym(copies[0].handle, "sim_mutant_is_stale"); }

void sim_process_reset(struct sim_proc *proc)
{
    struct copy *copy = &copies[proc->number];

    for (unsigned i = 0; i < copy->count; i++)
        memcpy(copy->areas[i].at, copy->areas[i].image, copy->areas[i].size);
    proc->heap_used = 0;
    proc->key_value = NULL;
    proc->buffered = 0;
}

/* ---- the heap: grows until the process is born anew, but for the last sizes given back */

struct chunk {
    size_t size;
    struct chunk *next;
};

static void *take(size_t size, size_t align)
{
    struct copy *copy = &copies[sim_me->number];
    uint64_t at = (sim_me->heap_used + sizeof(struct chunk) + align - 1) & ~(uint64_t)(align - 1);
    struct chunk *chunk;

    if (at + size > SIM_HEAP_BYTES) {
        sim_fail("the heap of process %u is used up", sim_me->number);
        return NULL;
    }
    sim_me->heap_used = at + size;
    chunk = (struct chunk *)(void *)(copy->heap + at) - 1;
    chunk->size = size;
    return chunk + 1;
}

void *__wrap_malloc(size_t size) { return take(size, 16); }
void *__wrap_aligned_alloc(size_t align, size_t size) { return take(size, align < 16 ? 16 : align); }
void __wrap_free(void *p) { (void)p; }

void *__wrap_calloc(size_t count, size_t size)
{
    void *p = take(count * size, 16);

    return p != NULL ? memset(p, 0, count * size) : NULL;
}

void *__wrap_realloc(void *p, size_t size)
{
    void *grown = take(size, 16);
    size_t before = p == NULL ? 0 : ((struct chunk *)p - 1)->size;

    if (grown != NULL && before > 0)
        memcpy(grown, p, before < size ? before : size);
    return grown;
}

char *__wrap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = take(size, 16);

    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

/* ---- libc: one thread a process, so nobody waits for a mutex */

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    (void)attributes;
    memset(mutex, 0, sizeof *mutex);
    return 0;
}
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex) { (void)mutex; return 0; }
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex) { (void)mutex; return 0; }
int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex) { (void)mutex; return 0; }
int __wrap_pthread_mutexattr_init(pthread_mutexattr_t *attributes) { (void)attributes; return 0; }
int __wrap_pthread_mutexattr_settype(pthread_mutexattr_t *attributes, int type) { (void)attributes, (void)type; return 0; }
int __wrap_pthread_mutexattr_destroy(pthread_mutexattr_t *attributes) { (void)attributes; return 0; }
int __wrap_pthread_setcancelstate(int state, int *ret_old)
{
    if (ret_old)
        *ret_old = state;
    return 0;
}
int __wrap_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    (void)prepare, (void)parent, (void)child;
    return 0;
}
int __wrap_pthread_key_create(pthread_key_t *ret_key, void (*destroy)(void *))
{
    (void)destroy;
    *ret_key = 1;
    return 0;
}
int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    (void)key;
    sim_me->key_value = (void *)(uintptr_t)value;
    return 0;
}
int __wrap_pthread_once(pthread_once_t *once, void (*function)(void))
{
    if (*once == PTHREAD_ONCE_INIT) {
        *once = PTHREAD_ONCE_INIT + 1;
        function();
    }
    return 0;
}
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *ret_old)
{
    (void)how, (void)set;
    if (ret_old)
        sigemptyset(ret_old);
    return 0;
}
int __wrap_sigpending(sigset_t *ret_set) { return sigemptyset(ret_set); }
char *__wrap_secure_getenv(const char *name) { (void)name; return NULL; }
pid_t __wrap_getpid(void) { return sim_pid(sim_me); }
pid_t __wrap_gettid(void) { return __wrap_getpid(); }
uid_t __wrap_geteuid(void) { return 1000; }
gid_t __wrap_getegid(void) { return 1000; }
long __wrap_sysconf(int name) { return name == _SC_NPROCESSORS_ONLN ? (long)sim.processors : sysconf(name); }
void __wrap_pti_rest(void) { sim_yield(); }
int __wrap_sched_yield(void) { sim_yield(); return 0; }

ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags)
{
    (void)flags;
    memset(buffer, 0x5a, size);
    return (ssize_t)size;
}

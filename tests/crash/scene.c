/* scene.c -- the live queue, its images, and who has been seen before. */
#include "crash/scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

ptq_bus *script_bus;
char script_path[128];

void scene_init(struct scene *scene)
{
    struct ptq_error error = {0};

    *scene = (struct scene){.image_fd = -1};
    ptt_scratch_init(&scene->scratch);
    struct ptq_bus_options options = {.dir = scene->scratch.dir, .error = &error};
    if (ptq_bus_open("images", &options, &scene->image_bus) != PTQ_OK)
        fail_msg("%s", error.text);
    scene->seen_room = 1u << 14;
    scene->seen = calloc(scene->seen_room, sizeof *scene->seen);
    assert_non_null(scene->seen);
    scene->ledger = ledger_new();
}

void scene_fini(struct scene *scene)
{
    ledger_free(scene->ledger);
    free(scene->seen);
    ptq_bus_close(scene->image_bus);
    ptt_scratch_fini(&scene->scratch);
}

static uint64_t measure_blocks(struct scene *scene)
{
    struct ptq_queue_options options = scene->script->options;
    ptq_queue *queue = NULL;

    options.flags &= ~PTQ_EXCLUSIVE; /* a message a block */
    assert_ok(ptq_queue_open(scene->scratch.bus, "ruler", &options, &queue));
    uint64_t blocks = audit_blocks(scene->scratch.bus, queue, scene->script->options.capacity);
    ptq_queue_close(queue);
    assert_ok(ptq_queue_unlink(scene->scratch.bus, "ruler", true));
    return blocks;
}

static void map_live(struct scene *scene)
{
    char path[128];
    struct stat status;

    snprintf(path, sizeof path, "%s/test/" SCENE_QUEUE "~v%d", scene->scratch.dir, PTQ_LAYOUT_VERSION);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    scene->size = (size_t)status.st_size;
    scene->live = mmap(NULL, scene->size, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(scene->live != MAP_FAILED);
    close(fd);
    scene->last = calloc(1, scene->size);
    snprintf(scene->image_path, sizeof scene->image_path, "%s/images/" SCENE_QUEUE "~v%d", scene->scratch.dir,
             PTQ_LAYOUT_VERSION);
    scene->image_fd = open(scene->image_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    assert_true(scene->image_fd >= 0);
}

void scene_set(struct scene *scene, const struct script *script)
{
    struct ledger_actor actor = {.ledger = scene->ledger, .item_size = script->options.item_size, .next = LEDGER_SETUP};

    scene->script = script;
    memset(scene->ledger, 0, sizeof *scene->ledger);
    scene->ledger->limited = script->options.lease_ms != 0;
    scene->ledger->drops = script->options.full == PTQ_FULL_DROP_OLDEST;
    if (scene->blocks == 0)
        scene->blocks = measure_blocks(scene);
    assert_true(scene->blocks > script->options.capacity);
    assert_ok(ptq_queue_open(scene->scratch.bus, SCENE_QUEUE, &script->options, &actor.queue));
    if (script->setup != NULL)
        script->setup(&actor);
    ledger_close(&actor);
    assert_int_equal(scene->ledger->wrong, 0);
    map_live(scene);
    scene_forget(scene);
}

void scene_clear(struct scene *scene)
{
    munmap((void *)(uintptr_t)scene->live, scene->size);
    free(scene->last);
    close(scene->image_fd);
    unlink(scene->image_path);
    scene->live = scene->last = NULL;
    scene->image_fd = -1;
    scene->blocks = 0;
    assert_ok(ptq_queue_unlink(scene->scratch.bus, SCENE_QUEUE, true));
}

static int run_script(struct scene *scene, const struct script *script, struct ledger_actor *actor)
{
    script_bus = ptt_scratch_open(&scene->scratch);
    snprintf(script_path, sizeof script_path, "%s/test/" SCENE_QUEUE "~v%d", scene->scratch.dir, PTQ_LAYOUT_VERSION);
    if (!script->opens && ptq_queue_open(script_bus, SCENE_QUEUE, NULL, &actor->queue) != PTQ_OK)
        return 1;
    if (script->prepare != NULL)
        script->prepare(actor);
    scene_forget_looks();
    victim_mark();
    scene->ledger->phase = 1;
    script->act(actor);
    scene->ledger->phase = 2;
    return 0;
}

int scene_run_victim(void *context)
{
    struct scene *scene = context;
    struct ledger_actor actor = {
        .ledger = scene->ledger, .item_size = scene->script->options.item_size, .next = LEDGER_VICTIM};

    return run_script(scene, scene->script, &actor);
}

int scene_run_second(void *context)
{
    struct scene *scene = context;
    struct ledger_actor actor = {
        .ledger = scene->ledger, .item_size = scene->script->options.item_size, .who = 1, .next = LEDGER_SECOND};

    return run_script(scene, scene->second, &actor);
}

/* ---- what is new */

static uint64_t hash_bytes(const void *bytes, size_t size, uint64_t hash)
{
    const uint64_t *words = bytes;

    for (size_t i = 0; i < size / 8; i++)
        if (words[i] != 0) {
            hash = (hash ^ words[i] ^ (uint64_t)i << 40) * UINT64_C(0x9e3779b97f4a7c15);
            hash ^= hash >> 29;
        }
    return hash | 1;
}

static bool note_hash(struct scene *scene, uint64_t hash)
{
    size_t at = (size_t)(hash >> 7) % scene->seen_room;

    for (; scene->seen[at] != 0; at = (at + 1) % scene->seen_room)
        if (scene->seen[at] == hash)
            return false;
    assert_true(++scene->seen_count < scene->seen_room / 2);
    scene->seen[at] = hash;
    return true;
}

bool scene_is_new(struct scene *scene)
{
    bool same_ledger = memcmp(&scene->last_ledger, scene->ledger, sizeof scene->last_ledger) == 0;

    if (same_ledger && memcmp(scene->last, scene->live, scene->size) == 0)
        return false;
    memcpy(scene->last, scene->live, scene->size);
    memcpy(&scene->last_ledger, scene->ledger, sizeof scene->last_ledger);
    uint64_t hash = hash_bytes(scene->last, scene->size, 1);
    return note_hash(scene, hash_bytes(&scene->last_ledger, sizeof scene->last_ledger, hash));
}

void scene_forget(struct scene *scene)
{
    memset(scene->seen, 0, scene->seen_room * sizeof *scene->seen);
    memset(scene->last, 0xff, scene->size);
    scene->seen_count = 0;
}

/* ---- images */

void scene_put_image(struct scene *scene, const unsigned char *bytes)
{
    assert_int_equal(pwrite(scene->image_fd, bytes, scene->size, 0), (ssize_t)scene->size);
}

void scene_put_live(struct scene *scene, const unsigned char *bytes)
{
    char path[128];

    snprintf(path, sizeof path, "%s/test/" SCENE_QUEUE "~v%d", scene->scratch.dir, PTQ_LAYOUT_VERSION);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && pwrite(fd, bytes, scene->size, 0) == (ssize_t)scene->size);
    close(fd);
}

bool scene_audit_image(struct scene *scene, const struct ledger *ledger)
{
    struct audit audit = {.ledger = ledger,
                          .capacity = scene->script->options.capacity,
                          .item_size = scene->script->options.item_size,
                          .blocks = scene->blocks};

    scene->images++;
    bool sound = audit_queue(&audit, scene->image_bus, SCENE_QUEUE);
    scene->violations += !sound;
    memcpy(scene->text, audit.text, sizeof scene->text);
    return sound;
}

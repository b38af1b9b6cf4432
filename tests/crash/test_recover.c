/* test_recover.c -- the recoverer dies too: of each of many images, recovery is stepped through, and killed at each instruction.
 *
 * First a script is stepped through and some of its images are kept.  Each is laid over a queue that nobody has open; a
 * victim opens (or collects) it, which recovers the dead; and at each instruction of that the segment is copied, and a
 * stranger recovers both deaths.
 *     crash_recover [all]: of each image; else of a few of each script, by PTT_SEED, which others each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash/scene.h"

#define KEPT_MOST 2

static bool all;
static uint64_t seed;

struct kept {
    unsigned char *bytes;
    struct ledger ledger;
    uint64_t at;
};

struct run {
    struct scene scene;
    struct kept kept[400];
    size_t count;
    bool by_gc;
    uint64_t skip_calls; /* calls of the kernel before the segment first changes */
};

/* ---- first deaths */

static void keep_images(struct run *run, const struct script *script)
{
    struct scene *scene = &run->scene;
    struct victim victim;

    run->count = 0;
    scene_set(scene, script);
    victim_start(&victim, scene_run_victim, scene);
    do {
        if (!scene_is_new(scene) || run->count == sizeof run->kept / sizeof *run->kept)
            continue;
        struct kept *kept = &run->kept[run->count++];
        kept->bytes = malloc(scene->size);
        memcpy(kept->bytes, scene->last, scene->size);
        kept->ledger = scene->last_ledger;
        kept->at = victim.steps;
    } while (scene->ledger->phase != 2 && victim_step(&victim));
    victim_kill(&victim);
}

static void drop_images(struct run *run)
{
    for (size_t i = 0; i < run->count; i++)
        free(run->kept[i].bytes);
    scene_clear(&run->scene);
}

/* ---- second deaths */

static int recover(void *context)
{
    struct run *run = context;
    ptq_bus *bus = ptt_scratch_open(&run->scene.scratch);
    struct ptq_gc_report report;
    ptq_queue *queue = NULL;

    victim_mark();
    enum ptq_err err =
        run->by_gc ? ptq_bus_gc(bus, false, &report) : ptq_queue_open(bus, SCENE_QUEUE, NULL, &queue);
    run->scene.ledger->wrong = err == PTQ_OK ? 0 : 1 + (int32_t)err;
    run->scene.ledger->phase = 3;
    return 0;
}

/* How far may the victim run by whole kernel calls before it changes the segment?  Looked up once a form. */
static uint64_t calls_before_change(struct run *run)
{
    struct victim victim;
    uint64_t calls = 0;

    victim_start(&victim, recover, run);
    while (victim_run_to_call(&victim, calls, true) &&
           memcmp(run->kept[0].bytes, run->scene.live, run->scene.size) == 0)
        calls++;
    victim_kill(&victim);
    return calls;
}

static void look(struct run *run, const struct kept *kept, const struct victim *victim)
{
    struct scene *scene = &run->scene;

    memcpy(scene->ledger, &kept->ledger, sizeof kept->ledger); /* the recoverer makes no promise of its own */
    if (!scene_is_new(scene))
        return;
    scene_put_image(scene, scene->last);
    if (!scene_audit_image(scene, &kept->ledger) && scene->violations <= 20)
        print_error("%s, first death at %llu, recoverer (%s) at %llu: %s\n", scene->script->name,
                    (unsigned long long)kept->at, run->by_gc ? "gc" : "open", (unsigned long long)victim->steps,
                    scene->text);
}

static void step_through_recovery(struct run *run, const struct kept *kept)
{
    struct scene *scene = &run->scene;
    struct victim victim;
    bool is_over = false;

    scene_put_live(scene, kept->bytes);
    scene->ledger->phase = 0;
    victim_start(&victim, recover, run);
    if (run->skip_calls > 0)
        assert_true(victim_run_to_call(&victim, run->skip_calls - 1, true));
    while (!is_over) {
        is_over = scene->ledger->phase == 3;
        if (is_over && scene->ledger->wrong != 0)
            fail_msg("%s: the recoverer's call answered %s", scene->script->name,
                     ptq_err_name((enum ptq_err)(scene->ledger->wrong - 1)));
        look(run, kept, &victim);
        if (!is_over && !victim_step(&victim))
            fail_msg("%s: the recoverer ended early, status %#x", scene->script->name, (unsigned)victim.status);
    }
    victim_kill(&victim);
    scene->steps += victim.steps;
}

/* gc would remove an empty queue under the audit's feet. */
static bool may_be_empty(const struct ledger *ledger)
{
    for (uint32_t id = 0; id < LEDGER_IDS; id++)
        if (ledger->msgs[id].put == IS_PUT && (ledger->msgs[id].out == IS_LEASED || ledger->msgs[id].out == IS_NACKED))
            return false;
    return true;
}

static void recover_from(struct run *run, const struct script *script)
{
    struct scene *scene = &run->scene;
    uint64_t images = scene->images;

    keep_images(run, script);
    size_t stride = run->count > KEPT_MOST && !all ? run->count / KEPT_MOST : 1;
    for (int form = 0; form < 2; form++) {
        run->by_gc = form == 1;
        scene_put_live(scene, run->kept[0].bytes);
        run->skip_calls = 0;
        run->skip_calls = calls_before_change(run);
        for (size_t i = ptt_random(&seed) % stride; i < run->count; i += stride)
            if (!run->by_gc || (i % 2 == 0 && !may_be_empty(&run->kept[i].ledger)))
                step_through_recovery(run, &run->kept[i]);
    }
    print_message("  %-30s %4zu first images %6llu second ones\n", script->name, run->count,
                  (unsigned long long)(scene->images - images));
    drop_images(run);
}

/* W16 */
static void a_recoverer_may_die_at_any_instruction(void **state)
{
    static const char *const names[] = {"first put",     "put_many", "put_many beside used batches", "loan, publish, abort",
                                        "get of a batch", "get_many", "get of what comes again",     "ack",
                                        "nack",           "nack delayed", "recv", "end reached", "close",
                                        "put over the oldest", "put that is dropped", "get that parks", "within a byte budget",
                                        "lease handed on", "close too late", "own lease handed on"};
    static struct run run;

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    scene_init(&run.scene);
    seed = ptt_seed();
    for (size_t i = 0; i < script_count; i++)
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (strcmp(scripts[i].name, names[k]) == 0)
                recover_from(&run, &scripts[i]);
    print_message("  %llu instructions, %llu images, %llu violations\n", (unsigned long long)run.scene.steps,
                  (unsigned long long)run.scene.images, (unsigned long long)run.scene.violations);

    assert_int_equal(run.scene.violations, 0);
    assert_true(run.scene.images > 500);
    scene_fini(&run.scene);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_recoverer_may_die_at_any_instruction)};

    all = argc > 1 && strcmp(argv[1], "all") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_images.c -- the victim dies at each instruction: the segment as it is then, with nobody alive in it, must recover.
 *
 * And the product: it stops there, a peer works beside it, and then it dies.  test_stops.c lets it go on instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crash/alive.h"
#include "crash/meeting.h"

static uint64_t beside; /* images in which a peer worked beside the stopped victim */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The same image with the victim alive in it, standing still: a peer works beside it, and only then it dies. */
static void work_beside(struct scene *scene, struct alive *alive, size_t peer, const struct victim *victim)
{
    static struct meeting meeting;
    static struct ledger ledger;

    memcpy(&ledger, &scene->last_ledger, sizeof ledger);
    scene_put_image(scene, scene->last);
    alive_raise(alive, scene);
    meeting_begin(&meeting, scene->script, &ledger, scene->blocks);
    assert_ok(ptq_queue_open(scene->image_bus, SCENE_QUEUE, NULL, &meeting.peer.queue));
    alarm(30); /* a peer that waits for the stopped one ends here */
    bool sound = meeting_go(&meeting, peer);
    ptq_queue_close(meeting.peer.queue);
    alive_kill(alive);
    sound = sound && audit_queue(&meeting.audit, scene->image_bus, SCENE_QUEUE);
    alarm(0);
    beside++;
    scene->violations += !sound;
    if (!sound && scene->violations <= 20)
        print_error("%s, stopped at instruction %llu, call %u, peer: %s, then killed: %s\n", scene->script->name,
                    (unsigned long long)victim->steps, ledger.calls, meeting_peers[peer], meeting.audit.text);
}

static void look(struct scene *scene, const struct victim *victim)
{
    struct alive alive;

    if (!scene_is_new(scene))
        return;
    scene_put_image(scene, scene->last);
    if (!scene_audit_image(scene, &scene->last_ledger) && scene->violations <= 20)
        print_error("%s, instruction %llu, call %u: %s\n", scene->script->name, (unsigned long long)victim->steps,
                    scene->last_ledger.calls, scene->text);
    if (!meeting_is_for(scene->script))
        return;
    alive_look(&alive, scene);
    for (size_t peer = 0; peer < MEETING_PEERS; peer++)
        work_beside(scene, &alive, peer, victim);
}

static void step_through(struct scene *scene, const struct script *script)
{
    struct victim victim;
    uint64_t images = scene->images;
    int64_t start = now_ms();

    scene_set(scene, script);
    victim_start(&victim, scene_run_victim, scene);
    do
        look(scene, &victim);
    while (scene->ledger->phase != 2 && victim_step(&victim));
    if (victim.over)
        fail_msg("%s: the victim ended early, status %#x", script->name, (unsigned)victim.status);
    look(scene, &victim);
    victim_kill(&victim);
    scene->steps += victim.steps;
    print_message("  %-38s %6llu instructions %4llu images %5lld ms\n", script->name, (unsigned long long)victim.steps,
                  (unsigned long long)(scene->images - images), (long long)(now_ms() - start));
    scene_clear(scene);
}

static void every_instruction_may_be_the_last(void **state)
{
    const char *only = getenv("PTQ_CRASH_SCRIPT"); /* scripts with this in their names */
    struct scene scene;
    size_t scripts_done = 0;

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    scene_init(&scene);
    for (const struct script *script; (script = script_at(scripts_done)) != NULL; scripts_done++)
        if (only == NULL || strstr(script->name, only) != NULL)
            step_through(&scene, script);
    print_message("  %llu instructions, %llu images, %llu with a peer, %llu violations\n", (unsigned long long)scene.steps,
                  (unsigned long long)scene.images, (unsigned long long)beside, (unsigned long long)scene.violations);

    assert_int_equal(scene.violations, 0);
    assert_true(only != NULL || scene.images + beside > 10000);
    scene_fini(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_instruction_may_be_the_last)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

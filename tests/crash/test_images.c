/* test_images.c -- the victim dies at each instruction: the segment as it is then, with nobody alive in it, must recover. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "crash/scene.h"

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void look(struct scene *scene, const struct victim *victim)
{
    if (!scene_is_new(scene))
        return;
    scene_put_image(scene, scene->last);
    if (!scene_audit_image(scene, &scene->last_ledger) && scene->violations <= 20)
        print_error("%s, instruction %llu, call %u: %s\n", scene->script->name, (unsigned long long)victim->steps,
                    scene->last_ledger.calls, scene->text);
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
    print_message("  %-30s %6llu instructions %4llu images %5lld ms\n", script->name, (unsigned long long)victim.steps,
                  (unsigned long long)(scene->images - images), (long long)(now_ms() - start));
    scene_clear(scene);
}

static void every_instruction_may_be_the_last(void **state)
{
    struct scene scene;

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    scene_init(&scene);
    for (size_t i = 0; i < script_count; i++)
        step_through(&scene, &scripts[i]);
    print_message("  %llu instructions, %llu images, %llu violations\n", (unsigned long long)scene.steps,
                  (unsigned long long)scene.images, (unsigned long long)scene.violations);

    assert_int_equal(scene.violations, 0);
    assert_true(scene.images > 500);
    scene_fini(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_instruction_may_be_the_last)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

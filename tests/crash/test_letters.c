/* test_letters.c -- who buries, reads, acks, gives back, kicks or drops dead letters dies at each instruction.
 *
 * In the ledger a message is IS_BURIED while it must be a letter; ACKING or IS_ACKED where it may, or must, be gone; NACKING or
 * IS_NACKED where it may, or must, have been kicked.  `group` says that it may have been dropped for there were too many.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "crash/scene.h"

#define DEADLY(max) .options = {.capacity = 6, .item_size = 80, .max_endpoints = 6, .max_deliveries = 1, .max_dead = (max)}

static ptq_queue *letters; /* the victim's view */
static ptq_msg *held[4];

static void expect(struct ledger_actor *actor, enum ptq_err err) { ledger_expect(actor, PTQ_OK, err); }

static void set_out(struct ledger_actor *actor, uint32_t first, uint32_t count, enum ledger_out out)
{
    for (uint32_t id = first; id < first + count; id++)
        actor->ledger->msgs[id].out = (uint8_t)out;
}

/* ---- what was before */

/* `count` messages that the next take kills. */
static void doom(struct ledger_actor *actor, uint32_t count)
{
    ptq_msg *msg = NULL;

    for (uint32_t i = 0; i < count; i++) {
        set_out(actor, actor->next, 1, IS_BURIED);
        expect(actor, ledger_put(actor));
    }
    for (uint32_t i = 0; i < count; i++) {
        expect(actor, ptq_get(actor->queue, PTQ_NOWAIT, &msg));
        held[i] = msg;
    }
    for (uint32_t i = 0; i < count; i++)
        expect(actor, ptq_nack(held[i], 0));
}

static void bury(struct ledger_actor *actor, uint32_t count)
{
    ptq_msg *msg = NULL;

    doom(actor, count);
    ledger_expect(actor, PTQ_EMPTY, ptq_get(actor->queue, PTQ_NOWAIT, &msg));
}

static void three_letters(struct ledger_actor *actor) { bury(actor, 3); }

static void two_letters_and_two_doomed(struct ledger_actor *actor)
{
    bury(actor, 2);
    doom(actor, 2);
    actor->ledger->msgs[0].group = actor->ledger->msgs[1].group = 1;
}

static void one_letter_and_one_doomed(struct ledger_actor *actor)
{
    bury(actor, 1);
    doom(actor, 1);
    actor->ledger->msgs[0].group = 1;
}

/* ---- in the victim */

static void open_view(struct ledger_actor *actor)
{
    expect(actor, ptq_queue_open(script_bus, SCENE_QUEUE "!dead", NULL, &letters));
}

static void hold_two(struct ledger_actor *actor)
{
    open_view(actor);
    for (unsigned i = 0; i < 2; i++)
        expect(actor, ptq_get(letters, PTQ_NOWAIT, &held[i]));
}

static void hold_one_and_bury_another(struct ledger_actor *actor)
{
    ptq_msg *msg = NULL;

    open_view(actor);
    expect(actor, ptq_get(letters, PTQ_NOWAIT, &held[0]));
    ledger_expect(actor, PTQ_EMPTY, ptq_get(actor->queue, PTQ_NOWAIT, &msg));
}

static void act_take_and_give_back(struct ledger_actor *actor)
{
    size_t count = 0;

    expect(actor, ptq_get(letters, PTQ_NOWAIT, &held[0]));
    expect(actor, ptq_nack(held[0], 0));
    expect(actor, ptq_get_many(letters, held, 1, 3, PTQ_NOWAIT, &count));
    for (size_t i = 0; i < count; i++)
        expect(actor, ptq_nack(held[i], 0));
}

static void act_ack(struct ledger_actor *actor)
{
    for (unsigned i = 0; i < 2; i++) {
        set_out(actor, i, 1, ACKING);
        expect(actor, ptq_ack(held[i]));
        set_out(actor, i, 1, IS_ACKED);
    }
}

static void act_recv(struct ledger_actor *actor)
{
    char bytes[80];
    size_t size = 0;

    ledger_expect(actor, PTQ_EMSGSIZE, ptq_recv(letters, bytes, 1, PTQ_NOWAIT, &size));
    for (unsigned i = 0; i < 3; i++) {
        set_out(actor, i, 1, ACKING);
        expect(actor, ptq_recv(letters, bytes, sizeof bytes, PTQ_NOWAIT, &size));
        set_out(actor, i, 1, IS_ACKED);
    }
    ledger_expect(actor, PTQ_EMPTY, ptq_recv(letters, bytes, sizeof bytes, PTQ_NOWAIT, &size));
}

static void act_kick(struct ledger_actor *actor)
{
    uint64_t count = 0;

    set_out(actor, 0, 2, NACKING);
    expect(actor, ptq_queue_kick(actor->queue, 2, &count));
    set_out(actor, 0, 2, IS_NACKED);
    set_out(actor, 2, 1, NACKING);
    expect(actor, ptq_queue_kick(letters, 0, &count));
    set_out(actor, 2, 1, IS_NACKED);
}

static void act_purge(struct ledger_actor *actor)
{
    uint64_t count = 0;

    set_out(actor, 0, 3, ACKING);
    expect(actor, ptq_queue_purge(letters, &count));
    set_out(actor, 0, 3, IS_ACKED);
}

static void act_bury(struct ledger_actor *actor)
{
    ptq_msg *msg = NULL;

    ledger_expect(actor, PTQ_EMPTY, ptq_get(actor->queue, PTQ_NOWAIT, &msg));
}

static void act_give_back(struct ledger_actor *actor) { expect(actor, ptq_nack(held[0], 0)); }

static void act_close(struct ledger_actor *actor)
{
    (void)actor;
    ptq_queue_close(letters);
}

static const struct script table[] = {
    {"take, and give back", DEADLY(0), three_letters, open_view, act_take_and_give_back, false},
    {"ack", DEADLY(0), three_letters, hold_two, act_ack, false},
    {"recv", DEADLY(0), three_letters, open_view, act_recv, false},
    {"kick", DEADLY(0), three_letters, open_view, act_kick, false},
    {"purge", DEADLY(0), three_letters, open_view, act_purge, false},
    {"bury beyond max_dead", DEADLY(2), two_letters_and_two_doomed, NULL, act_bury, false},
    {"give back beyond max_dead", DEADLY(1), one_letter_and_one_doomed, hold_one_and_bury_another, act_give_back, false},
    {"close", DEADLY(0), three_letters, hold_two, act_close, false},
};

/* ---- the audit: a stranger opens what was left */

struct finds {
    uint32_t dead[LEDGER_IDS], out[LEDGER_IDS]; /* times */
    uint32_t letters, messages;
};

static bool wrong(struct scene *scene, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct scene *scene, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(scene->text, sizeof scene->text, format, arguments);
    va_end(arguments);
    return false;
}

static bool drain(struct scene *scene, ptq_queue *queue, bool is_view, struct finds *finds)
{
    uint32_t *times = is_view ? finds->dead : finds->out;
    ptq_msg *msg = NULL;
    enum ptq_err err;
    int last = -1;

    while ((err = ptq_get(queue, PTQ_NOWAIT, &msg)) == PTQ_OK) {
        int id = ledger_id_of(ptq_msg_data(msg), ptq_msg_size(msg));
        if (id < 0 || times[id]++ > 0)
            return wrong(scene, "message %d came twice, or is none", id);
        if (id < last)
            return wrong(scene, "message %d came after %d", id, last);
        if (!is_view && (ptq_msg_deliveries(msg) != 1 || !ptq_msg_redelivered(msg)))
            return wrong(scene, "message %d comes with %u deliveries", id, ptq_msg_deliveries(msg));
        last = id;
        *(is_view ? &finds->letters : &finds->messages) += 1;
        if (ptq_ack(msg) != PTQ_OK)
            return wrong(scene, "an ack failed");
    }
    return err == PTQ_EMPTY || wrong(scene, "a get answered %s", ptq_err_name(err));
}

static bool check_fates(struct scene *scene, const struct ledger *ledger, const struct finds *finds, uint32_t *ret_gone)
{
    uint32_t put = 0;

    for (uint32_t id = 0; id < LEDGER_IDS; id++) {
        const struct ledger_msg *msg = &ledger->msgs[id];
        bool dead = finds->dead[id], out = finds->out[id], gone = !dead && !out;

        if (msg->put != IS_PUT) {
            if (!gone)
                return wrong(scene, "message %u was not put", id);
            continue;
        }
        put++;
        *ret_gone += gone;
        if (dead && out)
            return wrong(scene, "message %u is dead and alive", id);
        if (out && msg->out != NACKING && msg->out != IS_NACKED)
            return wrong(scene, "letter %u was handed out like a message", id);
        if (!out && msg->out == IS_NACKED)
            return wrong(scene, "letter %u was kicked and is not handed out", id);
        if (gone && msg->out != ACKING && msg->out != IS_ACKED && !msg->group)
            return wrong(scene, "letter %u is lost", id);
        if (!gone && msg->out == IS_ACKED)
            return wrong(scene, "letter %u was acked and is there", id);
    }
    return true;
}

static void note_finding(const char *finding, void *scene) { wrong(scene, "verify: %s", finding); }

static bool check_balance(struct scene *scene)
{
    struct ptq_verify_report report = {0};
    ptq_view *view = NULL;

    if (ptq_view_open(scene->image_bus, SCENE_QUEUE, NULL, &view) != PTQ_OK)
        return wrong(scene, "no view");
    enum ptq_err err = ptq_view_verify(view, note_finding, scene, &report);
    ptq_view_close(view);
    return (err == PTQ_OK && report.quiet && report.imbalance == 0) ||
           wrong(scene, "verify answered %s, imbalance %lld", ptq_err_name(err), (long long)report.imbalance);
}

static bool check_all(struct scene *scene, const struct ledger *ledger, ptq_queue *queue, ptq_queue *view)
{
    static struct finds finds;
    struct ptq_queue_stats opened, before, after;
    uint32_t gone = 0;
    uint64_t blocks;

    memset(&finds, 0, sizeof finds);
    if (!check_balance(scene) || ptq_queue_stats(queue, &opened) != PTQ_OK)
        return false;
    if (!drain(scene, queue, false, &finds) || ptq_queue_stats(queue, &before) != PTQ_OK)
        return false;
    if (before.leased + before.delayed + before.ready != 0)
        return wrong(scene, "recovered and drained, something is not settled");
    if (before.dead > scene->script->options.max_dead + 1 && scene->script->options.max_dead != 0)
        return wrong(scene, "%llu letters are kept", (unsigned long long)before.dead);
    if (!drain(scene, view, true, &finds) || ptq_queue_stats(queue, &after) != PTQ_OK || !check_balance(scene))
        return false;
    if (scene->script->options.max_dead == 0 && opened.ready != finds.messages)
        return wrong(scene, "%llu were ready before letters were made of them", (unsigned long long)opened.ready);
    if (before.dead != finds.letters || after.dead != 0)
        return wrong(scene, "%llu letters are counted, %u came", (unsigned long long)before.dead, finds.letters);
    if (!check_fates(scene, ledger, &finds, &gone))
        return false;
    if (after.acked + after.dropped != after.put || after.acked + after.dropped != gone + finds.letters + finds.messages)
        return wrong(scene, "put %llu, acked %llu, dropped %llu; %u are gone", (unsigned long long)after.put,
                     (unsigned long long)after.acked, (unsigned long long)after.dropped, gone);
    blocks = audit_blocks(scene->image_bus, queue, scene->script->options.capacity);
    return blocks == scene->blocks || wrong(scene, "%llu blocks are left of %llu", (unsigned long long)blocks,
                                            (unsigned long long)scene->blocks);
}

static void audit(struct scene *scene, const struct ledger *ledger, const struct victim *victim)
{
    ptq_queue *queue = NULL, *view = NULL;
    bool sound = false;

    scene->images++;
    scene->text[0] = '\0';
    if (ledger->wrong != 0)
        wrong(scene, "a call of the victim answered %d", ledger->wrong - 1);
    else if (ptq_queue_open(scene->image_bus, SCENE_QUEUE, NULL, &queue) != PTQ_OK ||
             ptq_queue_open(scene->image_bus, SCENE_QUEUE "!dead", NULL, &view) != PTQ_OK)
        wrong(scene, "open failed");
    else
        sound = check_all(scene, ledger, queue, view);
    ptq_queue_close(view);
    ptq_queue_close(queue);
    if (sound)
        return;
    if (scene->violations++ < 20)
        print_error("%s, instruction %llu: %s\n", scene->script->name, (unsigned long long)victim->steps, scene->text);
}

static void step_through(struct scene *scene, const struct script *script)
{
    struct victim victim;
    uint64_t images = scene->images;

    scene_set(scene, script);
    victim_start(&victim, scene_run_victim, scene);
    do {
        if (!scene_is_new(scene))
            continue;
        scene_put_image(scene, scene->last);
        audit(scene, &scene->last_ledger, &victim);
    } while (scene->ledger->phase != 2 && victim_step(&victim));
    if (victim.over)
        fail_msg("%s: the victim ended early, status %#x", script->name, (unsigned)victim.status);
    victim_kill(&victim);
    print_message("  %-30s %6llu instructions %4llu images\n", script->name, (unsigned long long)victim.steps,
                  (unsigned long long)(scene->images - images));
    scene_clear(scene);
}

static void letters_outlive_whoever_handles_them(void **state)
{
    struct scene scene;

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    scene_init(&scene);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        step_through(&scene, &table[i]);
    print_message("  %llu images, %llu violations\n", (unsigned long long)scene.images, (unsigned long long)scene.violations);

    assert_int_equal(scene.violations, 0);
    assert_true(scene.images > 100);
    scene_fini(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(letters_outlive_whoever_handles_them)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

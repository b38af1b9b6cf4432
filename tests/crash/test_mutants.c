/* test_mutants.c -- is the auditor worth its name?  Each kind of damage that a wrong library could do is done to an image by
 * hand, and must be found; the same image, unharmed, must pass.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash/scene.h"
#include "ring/layout.h"

struct patient {
    unsigned char *bytes;
    struct pti_geometry g;
};

static struct pti_block *block_at(struct patient *p, uint32_t i)
{
    return (struct pti_block *)(void *)(p->bytes + p->g.off_blocks + (uint64_t)i * p->g.stride);
}

static struct pti_entry *entry_at(struct patient *p, uint32_t i)
{
    return (struct pti_entry *)(void *)(p->bytes + p->g.off_entries) + i;
}

static _Atomic uint64_t *slots_of(struct patient *p) { return (_Atomic uint64_t *)(void *)(p->bytes + p->g.off_slots); }

static struct pti_hints *hints_of(struct patient *p)
{
    return (struct pti_hints *)(void *)(p->bytes + p->g.off_hints);
}

/* The n-th block in `state` whose slot names it or, for other states than COMMIT, any; NULL: none. */
static struct pti_block *find(struct patient *p, enum pti_state state, unsigned n)
{
    for (uint32_t i = 0; i < p->g.blocks; i++) {
        struct pti_block *b = block_at(p, i);
        uint64_t word = b->word, position = pti_word_position(word);
        uint64_t slot = slots_of(p)[position & (p->g.slots - 1)];
        bool named = pti_slot_block(slot) == i && pti_slot_lap(slot) == position >> p->g.slot_bits;
        if (pti_word_state(word) != state || (state == PTI_COMMIT && !named && b->link == 0))
            continue;
        if (n-- == 0)
            return b;
    }
    return NULL;
}

static uint64_t with_state(uint64_t word, enum pti_state state, unsigned flag)
{
    return pti_word(state, pti_word_owner(word), pti_word_position(word), flag);
}

static struct pti_entry *busy_entry(struct patient *p, bool (*is_it)(const struct pti_entry *))
{
    for (uint32_t i = 0; i < p->g.endpoints; i++)
        if (is_it(entry_at(p, i)))
            return entry_at(p, i);
    return NULL;
}

/* ---- damage; each answers whether there was anything to damage */

static bool lose_message(struct patient *p)
{
    struct pti_block *b = find(p, PTI_COMMIT, 0);
    if (b != NULL)
        b->word = pti_word(PTI_FREE, 0, pti_word_position(b->word), 0);
    return b != NULL;
}

static bool double_in_silence(struct patient *p)
{
    struct pti_block *b = find(p, PTI_LEASED, 0);
    if (b != NULL) {
        b->word = with_state(b->word, PTI_COMMIT, 0);
        hints_of(p)->head = pti_word_position(b->word);
    }
    return b != NULL;
}

static bool raise_acked(struct patient *p)
{
    for (uint32_t i = 0; i < p->g.blocks; i++) {
        struct pti_block *b = block_at(p, i);
        if ((pti_word_state(b->word) == PTI_FREE || pti_word_state(b->word) == PTI_OWNED) && b->deliveries > 0 &&
            ledger_id_of(b->payload, b->length) >= 0) {
            b->word = pti_word(PTI_LEASED, 1, pti_word_position(b->word), 0);
            entry_at(p, 1)->state = 1;
            hints_of(p)->entries_used = 6;
            return true;
        }
    }
    return false;
}

static bool has_put(const struct pti_entry *entry) { return entry->put > 0; }
static bool has_acked(const struct pti_entry *entry) { return entry->acked > 0; }

static bool count_a_put_too_many(struct patient *p)
{
    struct pti_entry *entry = busy_entry(p, has_put);
    if (entry != NULL)
        entry->put++;
    return entry != NULL;
}

/* One too few would look like an open line, and be mended. */
static bool count_two_acks_too_few(struct patient *p)
{
    struct pti_entry *entry = busy_entry(p, has_acked);
    if (entry != NULL)
        entry->acked -= 2;
    return entry != NULL;
}

static bool is_open(const struct pti_entry *entry)
{
    uint64_t line = entry->journal;

    return pti_journal_status(line) == PTI_LINE_OPEN && entry->state == 1;
}

static bool tear_out_the_journal(struct patient *p)
{
    struct pti_entry *entry = busy_entry(p, is_open);
    if (entry != NULL)
        entry->journal = 0;
    return entry != NULL;
}

static bool decide_the_journal_wrongly(struct patient *p)
{
    struct pti_entry *entry = busy_entry(p, is_open);
    if (entry != NULL)
        entry->journal = (entry->journal & ~UINT64_C(15)) | PTI_LINE_DONE;
    return entry != NULL;
}

static bool leak_a_block(struct patient *p)
{
    struct pti_block *b = find(p, PTI_FREE, 0);
    if (b != NULL)
        b->word = pti_word(PTI_OWNED, 5, pti_word_position(b->word), 0);
    return b != NULL;
}

static bool swap_two_messages(struct patient *p)
{
    struct pti_block *a = find(p, PTI_COMMIT, 0), *b = find(p, PTI_COMMIT, 1);
    unsigned char bytes[1024];
    uint32_t length;

    if (a == NULL || b == NULL)
        return false;
    memcpy(bytes, a->payload, sizeof bytes);
    memcpy(a->payload, b->payload, sizeof bytes);
    memcpy(b->payload, bytes, sizeof bytes);
    length = a->length;
    a->length = b->length;
    b->length = length;
    return true;
}

static bool lose_an_element(struct patient *p)
{
    for (uint32_t i = 0; i < p->g.blocks; i++) {
        struct pti_block *b = block_at(p, i);
        if (pti_word_state(b->word) == PTI_COMMIT && b->link != 0 && b->sub == 1) {
            b->word = pti_word(PTI_FREE, 0, pti_word_position(b->word), 0);
            return true;
        }
    }
    return false;
}

static bool alter_a_byte(struct patient *p)
{
    struct pti_block *b = find(p, PTI_COMMIT, 1);
    if (b != NULL)
        b->payload[9] ^= 4;
    return b != NULL;
}

static bool hide_the_flag(struct patient *p)
{
    struct pti_block *b = find(p, PTI_REDELIV, 0);
    if (b != NULL)
        b->word = with_state(b->word, PTI_REDELIV, 0);
    return b != NULL;
}

static bool forget_the_redelivery(struct patient *p)
{
    struct pti_block *b = find(p, PTI_REDELIV, 0);
    if (b != NULL)
        memset(p->bytes + p->g.off_special, 0, p->g.off_extents - p->g.off_special);
    return b != NULL;
}

static bool forget_marks_of_parked(struct patient *p)
{
    struct pti_block *b = find(p, PTI_DELAYED, 0);
    if (b != NULL)
        memset(p->bytes + p->g.off_special, 0, p->g.off_extents - p->g.off_special);
    return b != NULL;
}

static bool hint_ahead_of_the_truth(struct patient *p)
{
    struct pti_block *b = find(p, PTI_COMMIT, 0);
    if (b != NULL)
        hints_of(p)->head = (pti_word_position(b->word) + 3);
    return b != NULL;
}

static bool take_away_the_end(struct patient *p)
{
    for (uint64_t i = 0; i < p->g.slots; i++) {
        uint64_t slot = slots_of(p)[i];
        if (pti_slot_block(slot) == PTI_END_BLOCK) {
            slots_of(p)[i] = pti_slot(pti_slot_lap(slot) - 1, 0);
            hints_of(p)->flags &= ~PTI_FLAG_ENDED;
            return true;
        }
    }
    return false;
}

static bool drop_a_dead_letter(struct patient *p)
{
    struct pti_block *b = find(p, PTI_DEAD, 0);
    if (b != NULL)
        b->word = pti_word(PTI_FREE, 0, pti_word_position(b->word), 0);
    return b != NULL;
}

static bool has_dropped(const struct pti_entry *entry) { return entry->dropped[PTQ_DROP_OLDEST] > 0; }
static bool has_bytes(const struct pti_entry *entry) { return entry->bytes_taken > 0; }

static bool forget_a_drop(struct patient *p)
{
    struct pti_entry *entry = busy_entry(p, has_dropped);
    if (entry != NULL)
        entry->dropped[PTQ_DROP_OLDEST]--;
    if (entry != NULL)
        entry->journal = 0; /* or it would look like an open line, and be mended */
    return entry != NULL;
}

static bool forget_taken_bytes(struct patient *p)
{
    struct pti_entry *entry = busy_entry(p, has_bytes);
    if (entry != NULL)
        entry->bytes_taken--;
    return entry != NULL;
}

static bool note_other_bytes(struct patient *p)
{
    struct pti_entry *entry = busy_entry(p, is_open);
    if (entry != NULL)
        entry->journal_bytes += 7;
    return entry != NULL;
}

static bool forget_the_due_time(struct patient *p)
{
    for (uint32_t i = 0; i < p->g.blocks; i++)
        if (pti_word_state(block_at(p, i)->word) == PTI_LEASED && block_at(p, i)->due_us != 0) {
            block_at(p, i)->due_us = 0;
            return true;
        }
    return false;
}

/* ---- runs */

struct mutant {
    const char *name, *script;
    bool (*damage)(struct patient *patient);
    bool at_each; /* at each instruction; else when all calls have returned */
};

static const struct mutant mutants[] = {
    {"a message is lost", "put", lose_message, false},
    {"a message is doubled in silence", "get", double_in_silence, false},
    {"an acked message comes again", "ack", raise_acked, false},
    {"a put is counted twice", "put", count_a_put_too_many, false},
    {"acks are not counted", "recv", count_two_acks_too_few, false},
    {"the journal is not kept: put", "put", tear_out_the_journal, true},
    {"the journal is not kept: put_many", "put_many", tear_out_the_journal, true},
    {"the journal is not kept: ack", "ack", tear_out_the_journal, true},
    {"the journal is decided wrongly: put", "put", decide_the_journal_wrongly, true},
    {"the journal is decided wrongly: ack", "ack", decide_the_journal_wrongly, true},
    {"a block is leaked", "put", leak_a_block, false},
    {"two messages change places", "put", swap_two_messages, false},
    {"an element of a batch is lost", "put_many", lose_an_element, false},
    {"an element of an unreturned batch is lost", "put_many", lose_an_element, true},
    {"a byte changes", "put", alter_a_byte, false},
    {"a redelivery is not flagged", "get of what comes again", hide_the_flag, true},
    {"a redelivery is forgotten", "get of what comes again", forget_the_redelivery, true},
    {"a hint runs ahead", "put", hint_ahead_of_the_truth, false},
    {"the end is lost", "end", take_away_the_end, false},
    {"a drop is not counted", "put over the oldest", forget_a_drop, false},
    {"the journal is not kept: drop", "put over the oldest", tear_out_the_journal, true},
    {"the journal is not kept: put that is dropped", "put that is dropped", tear_out_the_journal, true},
    {"the journal is decided wrongly: put that is dropped", "put that is dropped", decide_the_journal_wrongly, true},
    {"bytes taken are not counted", "within a byte budget", forget_taken_bytes, false},
    {"the journal notes other bytes", "within a byte budget", note_other_bytes, true},
    {"a parker's due time is lost", "get that parks", forget_the_due_time, true},
    {"the mark of what is parked is lost", "get that parks", forget_marks_of_parked, true},
    {"a dead letter vanishes", "get that buries", drop_a_dead_letter, false},
};

static const struct script *script_named(const char *name)
{
    for (size_t i = 0; i < script_count; i++)
        if (strcmp(scripts[i].name, name) == 0)
            return &scripts[i];
    fail_msg("no script '%s'", name);
    return NULL;
}

struct score {
    unsigned damaged, found;
    char text[200];
};

static void try_damage(struct scene *scene, const struct mutant *mutant, struct score *score)
{
    struct patient patient = {.bytes = malloc(scene->size)};

    memcpy(patient.bytes, scene->last, scene->size);
    memcpy(&patient.g, &((const struct pti_header *)(const void *)scene->last)->geometry, sizeof patient.g);
    if (mutant->damage(&patient)) {
        score->damaged++;
        scene_put_image(scene, patient.bytes);
        if (!scene_audit_image(scene, &scene->last_ledger)) {
            score->found++;
            snprintf(score->text, sizeof score->text, "%.190s", scene->text);
        }
    }
    free(patient.bytes);
}

static struct score run_mutant(struct scene *scene, const struct mutant *mutant)
{
    struct score score = {0};
    struct victim victim;

    scene_set(scene, script_named(mutant->script));
    victim_start(&victim, scene_run_victim, scene);
    do
        if (mutant->at_each && scene_is_new(scene))
            try_damage(scene, mutant, &score);
    while (scene->ledger->phase != 2 && victim_step(&victim));
    assert_false(victim.over);
    scene_is_new(scene);
    if (!mutant->at_each)
        try_damage(scene, mutant, &score);
    scene_put_image(scene, scene->last);
    if (!scene_audit_image(scene, &scene->last_ledger))
        fail_msg("%s: unharmed, it fails: %s", mutant->name, scene->text);
    victim_kill(&victim);
    scene_clear(scene);
    return score;
}

/* W26 */
static void every_kind_of_damage_is_found(void **state)
{
    struct scene scene;
    unsigned missed = 0;

    (void)state;
    if (!victim_is_possible()) {
        print_message("skipped: no single steps here\n");
        skip();
    }
    scene_init(&scene);
    for (size_t i = 0; i < sizeof mutants / sizeof *mutants; i++) {
        struct score score = run_mutant(&scene, &mutants[i]);
        print_message("  %-42s %2u of %2u: %s\n", mutants[i].name, score.found, score.damaged, score.text);
        missed += score.found == 0;
    }
    scene_fini(&scene);

    assert_int_equal(missed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_kind_of_damage_is_found)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

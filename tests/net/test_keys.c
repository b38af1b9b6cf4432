/* test_keys.c -- both sides prove who they are: who has a key gets in, and nobody else, whatever he has heard or recorded. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "net/keys.h"

static struct net net;
static struct keys keys, strangers; /* strangers: the same names, of another keygen */

static int begin(void **state)
{
    (void)state;
    keys_make(&keys, (const char *const[]){"home", "far", "other", NULL});
    keys_make(&strangers, (const char *const[]){"home", "far", NULL});
    net_init(&net, (const char *const[]){"--keys", keys_path(&keys, "home", NULL), NULL});
    return 0;
}

static int end(void **state)
{
    (void)state;
    net_fini(&net);
    keys_free(&keys);
    keys_free(&strangers);
    return 0;
}

static void expect_refusal(const char *node, const struct keys *whose, const char *peers, enum ptq_err code, const char *word)
{
    ptq_bus *bus = keys_open_bus(&net, whose, node, peers);
    struct ptq_error error;
    ptq_queue *queue;

    assert_answer(code, keys_try_open(bus, "refused@home", PTQ_OPEN_OR_CREATE, &error, &queue));
    ptt_assert_says(error.text, word);
    ptq_bus_close(bus);
}

/* The link that was there is told something else first, or is down, and then dials anew. */
static void expect_refusal_in_the_end(const char *node, const struct keys *whose, const char *peers, enum ptq_err code, const char *word)
{
    ptq_bus *bus = keys_open_bus(&net, whose, node, peers);
    int64_t end = pti_deadline(PTT_LONG);
    struct ptq_error error;
    enum ptq_err answer;
    ptq_queue *queue;

    do {
        answer = keys_try_open(bus, "refused@home", PTQ_OPEN_OR_CREATE, &error, &queue);
        if (answer != PTQ_EUNREACHABLE)
            assert_answer(code, answer);
    } while (strstr(error.text, word) == NULL && pti_now_ns() < end);
    assert_answer(code, answer);
    ptt_assert_says(error.text, word);
    ptq_bus_close(bus);
}

/* ---- who may ---- */

static void who_has_a_key_is_let_in(void **state)
{
    ptq_bus *bus = keys_open_bus(&net, &keys, "far", net.peers);
    char text[32];
    ptq_msg *msg;
    (void)state;

    ptq_queue *queue = net_open(bus, "kept@home", NULL);
    assert_ok(ptq_put(queue, "hello", 5, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), 5);
    snprintf(text, sizeof text, "%.*s", 5, (const char *)ptq_msg_data(msg));
    assert_string_equal(text, "hello");
    assert_ok(ptq_ack(msg));

    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void a_link_that_broke_is_proven_again(void **state)
{
    ptq_bus *bus = keys_open_bus(&net, &keys, "far", net.peers);
    (void)state;

    ptq_queue *queue = net_open(bus, "broken@home", NULL);
    keys_restart(&net, &keys, NULL);
    assert_ok(ptq_put(queue, "x", 1, PTT_LONG));

    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void over_ws_it_is_the_same(void **state)
{
    char peers[160];
    struct net other;
    (void)state;

    net_init_at(&other, "ws://127.0.0.1:0/ptq", (const char *const[]){"--keys", keys_path(&keys, "other", NULL), NULL});
    snprintf(peers, sizeof peers, "other=%s", other.url);
    ptq_bus *bus = keys_open_bus(&net, &keys, "far", peers);
    ptq_queue *queue = net_open(bus, "over-ws@other", NULL);
    assert_ok(ptq_put(queue, "x", 1, PTT_LONG));

    ptq_queue_close(queue);
    ptq_bus_close(bus);
    net_fini(&other);
}

/* ---- who may not ---- */

static void who_has_no_key_is_refused(void **state)
{
    (void)state;
    expect_refusal("", &keys, net.peers, PTQ_EPERM, "lets nobody in without a key");
}

static void a_key_of_another_keygen_is_refused_by_both(void **state)
{
    struct pti_error_message error;
    uint8_t proof[PTI_PROOF_BYTES];
    struct hand hand;
    (void)state;

    expect_refusal("far", &strangers, net.peers, PTQ_EPERM, "does not prove to have the key of 'far'");
    net_log_wait(&net, "the other side does not go on");
    hand_dial(&hand, net.url, "far", 1);
    assert_true(hand_is_challenged(&hand, &error));
    hand_prove(&hand, &strangers, PTI_PROVER_FAR, proof);
    hand_say_proof(&hand, proof);
    assert_false(hand_is_let_in(&hand, &error));
    assert_int_equal(error.code, PTQ_EPERM);
    ptt_assert_says(error.text, "does not prove it");
    raw_close(&hand.raw);
}

static void who_is_not_among_the_peers_is_refused(void **state)
{
    struct pti_error_message error;
    struct hand hand;
    (void)state;

    hand_dial(&hand, net.url, "nobody-here", 1);
    assert_false(hand_is_challenged(&hand, &error));
    assert_int_equal(error.code, PTQ_EPERM);
    ptt_assert_says(error.text, "'nobody-here' is not known");
    raw_close(&hand.raw);
}

static void a_home_without_keys_and_one_with_them_are_refused_by_each_other(void **state)
{
    struct net plain;
    (void)state;

    net_init(&plain, NULL);
    expect_refusal("far", &keys, plain.peers, PTQ_EPERM, "has no keys");
    assert_int_equal(net_log_count(&plain, "asks for a proof"), 1);
    net_fini(&plain);
}

static int welcome_without_proof(void *context)
{
    struct pti_goaway goaway;
    struct pti_frame frame;
    struct raw raw;

    raw_welcome(&raw, *(int *)context, 1, false);
    raw_expect(&raw, PTI_FRAME_GOAWAY, &frame);
    assert_ok(pti_goaway_unpack(frame.payload, frame.length, &goaway));
    return strstr(goaway.reason, "proves no key") != NULL ? 0 : 1;
}

/* An old one passes over what it does not know, and says HELLO. */
static void a_home_that_proves_nothing_is_not_believed(void **state)
{
    char url[64], peers[100];
    int listener = raw_listen(url, sizeof url);
    (void)state;

    snprintf(peers, sizeof peers, "home=%s", url);
    pid_t child = ptt_fork(welcome_without_proof, &listener);
    close(listener);
    expect_refusal("far", &keys, peers, PTQ_EPERM, "proves no key");
    ptt_assert_exit(child, 0, PTT_LONG);
}

/* ---- what was heard is of no use ---- */

/* Of a conversation that went well, what the far side said: byte by byte. */
struct record {
    uint8_t bytes[4096];
    size_t size;
};

static void add_frame(struct record *record, const struct pti_frame *frame)
{
    memcpy(record->bytes + record->size + PTI_FRAME_HEADER, frame->payload, frame->length);
    pti_frame_seal(record->bytes + record->size, frame);
    record->size += PTI_FRAME_HEADER + frame->length;
}

static void record_greeting(struct record *record)
{
    struct pti_error_message error;
    uint8_t proof[PTI_PROOF_BYTES], bytes[64];
    struct hand hand;

    hand_dial(&hand, net.url, "far", 77);
    assert_true(hand_is_challenged(&hand, &error));
    hand_prove(&hand, &keys, PTI_PROVER_FAR, proof);
    hand_say_proof(&hand, proof);
    assert_true(hand_is_let_in(&hand, &error));
    raw_close(&hand.raw);
    size_t size = pti_proof_pack(proof, bytes, sizeof bytes);
    record->size = 0;
    add_frame(record, &(struct pti_frame){.version = 1, .type = PTI_FRAME_HELLO, .length = (uint32_t)hand.hello_size, .payload = hand.hello_bytes});
    add_frame(record, &(struct pti_frame){.version = 1, .type = PTI_FRAME_PROOF, .length = (uint32_t)size, .payload = bytes});
}

static void expect_replay_is_refused(const struct record *record, const char *url)
{
    struct pti_error_message error;
    struct pti_frame frame;
    struct raw raw;

    raw_dial(&raw, url);
    raw_send(&raw, record->bytes, record->size);
    raw_expect(&raw, PTI_FRAME_CHALLENGE, &frame);
    assert_true(raw_next(&raw, &frame));
    assert_int_equal(frame.type, PTI_FRAME_ERROR);
    assert_ok(pti_error_unpack(frame.payload, frame.length, &error));
    assert_int_equal(error.code, PTQ_EPERM);
    raw_close(&raw);
}

static void a_greeting_that_was_recorded_is_of_no_use_there_nor_elsewhere(void **state)
{
    struct record record;
    struct net other;
    (void)state;

    record_greeting(&record);
    expect_replay_is_refused(&record, net.url);
    expect_replay_is_refused(&record, net.url);
    net_init(&other, (const char *const[]){"--keys", keys_path(&keys, "other", NULL), NULL});
    expect_replay_is_refused(&record, other.url);
    net_fini(&other);
}

static void what_the_home_proves_cannot_be_said_back_to_it(void **state)
{
    struct pti_error_message error;
    struct hand hand;
    (void)state;

    hand_dial(&hand, net.url, "far", 1);
    assert_true(hand_is_challenged(&hand, &error));
    hand_say_proof(&hand, hand.challenge.proof);
    assert_false(hand_is_let_in(&hand, &error));
    assert_int_equal(error.code, PTQ_EPERM);
    raw_close(&hand.raw);
}

/* Two links at once: what is asked over one is asked of the home over the other. */
static void a_challenge_of_one_link_is_not_answered_by_another(void **state)
{
    struct pti_error_message error;
    uint8_t proof[PTI_PROOF_BYTES];
    struct hand one, other;
    (void)state;

    hand_dial(&one, net.url, "far", 1);
    assert_true(hand_is_challenged(&one, &error));
    hand_dial(&other, net.url, "far", 2);
    assert_true(hand_is_challenged(&other, &error));
    hand_prove(&one, &keys, PTI_PROVER_FAR, proof);
    hand_say_proof(&other, proof);
    assert_false(hand_is_let_in(&other, &error));
    hand_say_proof(&one, proof);
    assert_true(hand_is_let_in(&one, &error));
    raw_close(&one.raw);
    raw_close(&other.raw);
}

/* Everything is carried to another home, which says who it is. */
static void relay(int from, int to)
{
    struct pollfd ends[2] = {{.fd = from, .events = POLLIN}, {.fd = to, .events = POLLIN}};
    uint8_t bytes[4096];

    for (;;) {
        if (poll(ends, 2, PTT_LONG) <= 0)
            return;
        for (int i = 0; i < 2; i++) {
            ssize_t size = ends[i].revents != 0 ? recv(ends[i].fd, bytes, sizeof bytes, 0) : 1;
            if (size <= 0 || (ends[i].revents != 0 && send(ends[1 - i].fd, bytes, (size_t)size, MSG_NOSIGNAL) != size))
                return;
        }
    }
}

static int carry_to_home(void *context)
{
    struct raw from, to;

    raw_accept(&from, *(int *)context);
    raw_dial(&to, net.url);
    relay(from.fd, to.fd);
    return 0;
}

static void who_carries_us_to_another_home_is_found_out(void **state)
{
    char url[64], peers[100];
    int listener = raw_listen(url, sizeof url);
    struct ptq_error error;
    ptq_queue *queue;
    (void)state;

    pid_t child = ptt_fork(carry_to_home, &listener);
    close(listener);
    snprintf(peers, sizeof peers, "other=%s", url);
    ptq_bus *bus = keys_open_bus(&net, &keys, "far", peers);
    assert_answer(PTQ_EPERM, keys_try_open(bus, "carried@other", PTQ_OPEN_OR_CREATE, &error, &queue));
    ptt_assert_says(error.text, "it is 'home' that answers there, and 'other' is meant to");
    ptq_bus_close(bus);
    ptt_kill(child);
}

static int prove_2_and_say_1(void *context)
{
    struct pti_challenge challenge = {.identity = "home", .nonce = {1}, .version = 2};
    uint8_t bytes[PTI_CONTROL_BYTES];
    struct pti_frame frame;
    struct pti_hello hello;
    struct pti_key key;
    struct raw raw;

    raw_accept(&raw, *(int *)context);
    raw_expect(&raw, PTI_FRAME_HELLO, &frame);
    assert_ok(pti_hello_unpack(frame.payload, frame.length, &hello));
    assert_ok(pti_keys_peer(keys_path(&keys, "home", NULL), "far", "home", NULL, &key));
    struct pti_scene scene = {"home", "far", challenge.nonce, hello.nonce, 2, frame.payload, frame.length};
    assert_true(pti_proof_make(key.secret, PTI_PROVER_HOME, &scene, challenge.proof));
    size_t size = pti_challenge_pack(&challenge, bytes, sizeof bytes);
    raw_say(&raw, &(struct pti_frame){.type = PTI_FRAME_CHALLENGE, .length = (uint32_t)size, .payload = bytes});
    raw_expect(&raw, PTI_FRAME_PROOF, &frame);
    hello.version = 1;
    hello.incarnation = 5;
    raw_say_hello(&raw, &hello, PTI_FRAME_REPLY);
    raw_expect(&raw, PTI_FRAME_GOAWAY, &frame);
    return 0;
}

/* A home that knows the key, and says less than it has proven: somebody between wants an older version to be spoken. */
static void a_version_that_was_not_proven_is_not_spoken(void **state)
{
    char url[64], peers[100];
    int listener = raw_listen(url, sizeof url);
    (void)state;

    pid_t child = ptt_fork(prove_2_and_say_1, &listener);
    close(listener);
    snprintf(peers, sizeof peers, "home=%s", url);
    expect_refusal("far", &keys, peers, PTQ_EPERM, "proves no key");
    ptt_assert_exit(child, 0, PTT_LONG);
}

static void greet_as(struct hand *hand, const char *identity, uint8_t session, struct pti_error_message *ret_error, bool *ret_in)
{
    uint8_t proof[PTI_PROOF_BYTES];

    hand_dial(hand, net.url, identity, session);
    assert_true(hand_is_challenged(hand, ret_error));
    hand_prove(hand, &keys, PTI_PROVER_FAR, proof);
    hand_say_proof(hand, proof);
    *ret_in = hand_is_let_in(hand, ret_error);
}

static void a_session_is_gone_on_with_by_nobody_else(void **state)
{
    struct pti_error_message error;
    struct hand one, other;
    bool in;
    (void)state;

    greet_as(&one, "far", 99, &error, &in);
    assert_true(in);
    greet_as(&other, "other", 99, &error, &in);
    assert_false(in);
    assert_int_equal(error.code, PTQ_EPERM);
    ptt_assert_says(error.text, "somebody else's");
    raw_close(&one.raw);
    raw_close(&other.raw);
}

static void who_is_on_his_way_in_does_not_wait_for_what_others_of_his_address_owe(void **state)
{
    struct pti_error_message error;
    static struct hand hands[40];
    (void)state;

    keys_restart(&net, &keys, (const char *const[]){"--max-peer-request-rate", "5", NULL});
    for (uint8_t i = 0; i < 40; i++) {
        hand_dial(&hands[i], net.url, "far", 100 + i);
        assert_true(hand_is_challenged(&hands[i], &error));
    }
    who_has_a_key_is_let_in(NULL);
    for (unsigned i = 0; i < 40; i++)
        raw_close(&hands[i].raw);
    keys_restart(&net, &keys, NULL);
}

/* ---- files ---- */

static void a_key_that_others_may_read_is_not_used(void **state)
{
    (void)state;

    assert_int_equal(chmod(keys_path(&keys, "far", "node.key"), 0644), 0);
    expect_refusal("far", &keys, net.peers, PTQ_EPERM, "chmod 600");
    assert_int_equal(chmod(keys_path(&keys, "far", "node.key"), 0600), 0);
    assert_int_equal(chmod(keys_path(&keys, "home", "peers/far.key"), 0640), 0);
    expect_refusal("far", &keys, net.peers, PTQ_EPERM, "cannot be used");
    assert_int_equal(chmod(keys_path(&keys, "home", "peers/far.key"), 0600), 0);
}

static void a_key_that_makes_no_sense_is_told_so(void **state)
{
    static const char *const texts[] = {"", "ptq-key-1", "ptq-key-1 far", "ptq-key-1 far 00", "ptq-key-2 far 00\n", "garbage\n"};
    (void)state;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        keys_write(&strangers, "far", "node.key", texts[i], 0600);
        expect_refusal("far", &strangers, net.peers, PTQ_EINVAL, "is no key");
    }
    unlink(keys_path(&strangers, "far", "node.key"));
    unlink(keys_path(&strangers, "far", "node.pem"));
    expect_refusal("far", &strangers, net.peers, PTQ_EINVAL, "keygen");
}

static void keygen_writes_over_nothing_and_lets_those_who_are_new_in(void **state)
{
    struct pti_key before, after;
    struct pti_error_message error;
    struct hand hand;
    bool in;
    (void)state;

    assert_ok(pti_keys_own(keys_path(&keys, "far", NULL), NULL, &before));
    keys_add(&keys, (const char *const[]){"far", "late", NULL});
    assert_ok(pti_keys_own(keys_path(&keys, "far", NULL), NULL, &after));
    assert_memory_equal(before.secret, after.secret, sizeof before.secret);
    greet_as(&hand, "late", 5, &error, &in);
    assert_true(in);
    raw_close(&hand.raw);
}

/* ---- secrets ---- */

static bool holds(pid_t pid, const void *secret, size_t size)
{
    char line[512], path[64];
    unsigned long from, to;
    bool found = false;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(path, "re");
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int mem = open(path, O_RDONLY | O_CLOEXEC);
    assert_non_null(maps);
    assert_true(mem >= 0);
    while (!found && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx rw", &from, &to) != 2 || strstr(line, " rw") == NULL || to - from > (64u << 20))
            continue;
        char *bytes = malloc(to - from);
        ssize_t part = pread(mem, bytes, to - from, (off_t)from);
        found = part > 0 && memmem(bytes, (size_t)part, secret, size) != NULL;
        free(bytes);
    }
    fclose(maps);
    close(mem);
    return found;
}

static void no_secret_is_in_memory_nor_in_the_log(void **state)
{
    char hex[2 * PTI_KEY_BYTES + 1], folder[200];
    struct pti_key own, peer;
    (void)state;

    ptq_bus *bus = keys_open_bus(&net, &keys, "far", net.peers);
    ptq_queue *queue = net_open(bus, "seen@home", NULL);
    snprintf(folder, sizeof folder, "%s", keys_path(&keys, "home", NULL));
    assert_true(holds(net.bridge, folder, strlen(folder))); /* the search finds what is there */
    assert_ok(pti_keys_own(keys_path(&keys, "home", NULL), NULL, &own));
    assert_ok(pti_keys_peer(keys_path(&keys, "home", NULL), "far", "home", NULL, &peer));
    assert_false(holds(net.bridge, own.secret, sizeof own.secret));
    assert_false(holds(net.bridge, peer.secret, sizeof peer.secret));
    for (size_t i = 0; i < PTI_KEY_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", peer.secret[i]);
    assert_false(holds(net.bridge, hex, 2 * PTI_KEY_BYTES));
    assert_int_equal(net_log_count(&net, hex), 0);

    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

/* ---- taking back ---- */

static void take_back(const char *file)
{
    assert_int_equal(unlink(file), 0);
    assert_int_equal(kill(net.bridge, SIGHUP), 0);
}

static void a_key_that_is_taken_back_ends_what_it_opened_and_nothing_else(void **state)
{
    struct keys some;
    struct pti_error_message error;
    struct pti_frame frame;
    struct hand late;
    char file[200];
    ptq_msg *msg;
    (void)state;

    keys_make(&some, (const char *const[]){"home", "far", "other", NULL});
    snprintf(file, sizeof file, "%s", keys_path(&some, "home", "peers/far.key"));
    keys_restart(&net, &some, NULL);
    ptq_bus *bad = keys_open_bus(&net, &some, "far", net.peers), *good = keys_open_bus(&net, &some, "other", net.peers);
    ptq_queue *his = net_open(bad, "revoked@home", NULL), *ours = net_open(good, "revoked@home", NULL);
    assert_ok(ptq_put(his, "held", 4, PTT_LONG));
    assert_ok(ptq_get(his, PTT_LONG, &msg));
    hand_dial(&late, net.url, "far", 7); /* challenged in time, and too late with its proof */
    assert_true(hand_is_challenged(&late, &error));

    take_back(file);
    net_log_wait(&net, "the key of 'far' was taken back at 'home'");
    assert_ok(ptq_get(ours, PTT_LONG, &msg)); /* what he had leased is there for others, at once */
    assert_ok(ptq_ack(msg));
    expect_refusal_in_the_end("far", &some, net.peers, PTQ_EPERM, "'far' is not known to 'home'");
    raw_expect(&late.raw, PTI_FRAME_ERROR, &frame);
    assert_ok(pti_error_unpack(frame.payload, frame.length, &error));
    ptt_assert_says(error.text, "the key of 'far' was taken back at 'home'");
    raw_close(&late.raw);
    assert_int_equal(net_log_count(&net, "why=\"its key was taken back\" channels=1 leases_returned=1"), 1);
    ptq_queue_close(his);
    ptq_queue_close(ours);
    ptq_bus_close(bad);
    ptq_bus_close(good);
    keys_restart(&net, &keys, NULL);
    keys_free(&some);
}

static void a_key_that_is_replaced_ends_what_the_old_one_opened(void **state)
{
    struct keys some, newer;
    char text[400];
    (void)state;

    keys_make(&some, (const char *const[]){"home", "far", NULL});
    keys_make(&newer, (const char *const[]){"home", "far", NULL});
    keys_restart(&net, &some, NULL);
    unsigned before = net_log_count(&net, "the key of 'far' was taken back");
    ptq_bus *bus = keys_open_bus(&net, &some, "far", net.peers);
    ptq_queue *queue = net_open(bus, "replaced@home", NULL);
    FILE *file = fopen(keys_path(&newer, "home", "peers/far.key"), "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    keys_write(&some, "home", "peers/far.key", text, 0600);
    assert_int_equal(kill(net.bridge, SIGHUP), 0);
    net_log_wait_times(&net, "the key of 'far' was taken back", before + 1);
    expect_refusal_in_the_end("far", &some, net.peers, PTQ_EPERM, "does not prove");
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    bus = keys_open_bus(&net, &newer, "far", net.peers); /* who has the new one comes in */
    queue = net_open(bus, "replaced@home", NULL);
    ptq_queue_close(queue);
    ptq_bus_close(bus);
    keys_restart(&net, &keys, NULL);
    keys_free(&some);
    keys_free(&newer);
}

/* ---- words ---- */

static void each_who_is_refused_is_logged_once_and_counted_each_time(void **state)
{
    struct pti_error_message error;
    struct hand hand;
    (void)state;

    keys_restart(&net, &keys, (const char *const[]){"--verbose", NULL});
    unsigned before = net_log_count(&net, "identity=\"insistent\" code");
    for (int i = 0; i < 7; i++) {
        hand_dial(&hand, net.url, "insistent", 1);
        assert_false(hand_is_challenged(&hand, &error));
        raw_close(&hand.raw);
    }
    assert_int_equal(keys_end_and_count(&net, "refused_links"), 7);
    assert_int_equal(net_log_count(&net, "identity=\"insistent\" code"), before + 1);
    keys_restart(&net, &keys, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_a_key_is_let_in),
        cmocka_unit_test(a_link_that_broke_is_proven_again),
        cmocka_unit_test(over_ws_it_is_the_same),
        cmocka_unit_test(who_has_no_key_is_refused),
        cmocka_unit_test(a_key_of_another_keygen_is_refused_by_both),
        cmocka_unit_test(who_is_not_among_the_peers_is_refused),
        cmocka_unit_test(a_home_without_keys_and_one_with_them_are_refused_by_each_other),
        cmocka_unit_test(a_home_that_proves_nothing_is_not_believed),
        cmocka_unit_test(a_greeting_that_was_recorded_is_of_no_use_there_nor_elsewhere),
        cmocka_unit_test(what_the_home_proves_cannot_be_said_back_to_it),
        cmocka_unit_test(a_challenge_of_one_link_is_not_answered_by_another),
        cmocka_unit_test(who_carries_us_to_another_home_is_found_out),
        cmocka_unit_test(a_version_that_was_not_proven_is_not_spoken),
        cmocka_unit_test(a_session_is_gone_on_with_by_nobody_else),
        cmocka_unit_test(who_is_on_his_way_in_does_not_wait_for_what_others_of_his_address_owe),
        cmocka_unit_test(a_key_that_others_may_read_is_not_used),
        cmocka_unit_test(a_key_that_makes_no_sense_is_told_so),
        cmocka_unit_test(keygen_writes_over_nothing_and_lets_those_who_are_new_in),
        cmocka_unit_test(no_secret_is_in_memory_nor_in_the_log),
        cmocka_unit_test(a_key_that_is_taken_back_ends_what_it_opened_and_nothing_else),
        cmocka_unit_test(a_key_that_is_replaced_ends_what_the_old_one_opened),
        cmocka_unit_test(each_who_is_refused_is_logged_once_and_counted_each_time),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

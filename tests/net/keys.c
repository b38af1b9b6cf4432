/* keys.c -- hosts with keys, made by ptqbridge keygen at test time, and greetings by hand. */
#include "net/keys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

void keys_add(const struct keys *keys, const char *const *nodes)
{
    const char *words[20] = {"keygen", keys->scratch.dir};
    int fd;

    for (size_t i = 0; nodes[i] != NULL; i++)
        words[i + 2] = nodes[i];
    pid_t pid = net_spawn(PTQBRIDGE, words, &fd);
    char bit[4096];
    while (read(fd, bit, sizeof bit) > 0)
        ;
    close(fd);
    ptt_assert_exit(pid, 0, PTT_LONG);
}

void keys_make(struct keys *keys, const char *const *nodes)
{
    ptt_scratch_init_dir(&keys->scratch);
    keys_add(keys, nodes);
}

void keys_free(struct keys *keys)
{
    ptt_scratch_fini(&keys->scratch);
}

const char *keys_path(const struct keys *keys, const char *node, const char *file)
{
    static char paths[4][200];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s%s%s", keys->scratch.dir, node, file != NULL ? "/" : "", file != NULL ? file : "");
    return path;
}

void keys_write(const struct keys *keys, const char *node, const char *file, const char *text, unsigned mode)
{
    const char *path = keys_path(keys, node, file);

    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

ptq_bus *keys_open_bus(const struct net *net, const struct keys *keys, const char *node, const char *peers)
{
    struct ptq_error error = {0};
    struct ptq_bus_options options = {.dir = net->far.dir, .peers = peers, .node = "far", .error = &error,
                                      .keys = node[0] != '\0' ? keys_path(keys, node, NULL) : ""};
    ptq_bus *bus;

    if (ptq_bus_open("test", &options, &bus) != PTQ_OK)
        fail_msg("%s", error.text);
    return bus;
}

enum ptq_err keys_try_open(ptq_bus *bus, const char *name, enum ptq_open_mode mode, struct ptq_error *error, ptq_queue **ret_queue)
{
    struct ptq_queue_options options = {.mode = mode, .error = error};

    memset(error, 0, sizeof *error);
    return ptq_queue_open(bus, name, &options, ret_queue);
}

void keys_restart(struct net *net, const struct keys *keys, const char *const *options)
{
    const char *words[40];
    size_t count = 0;

    for (; options != NULL && options[count] != NULL; count++)
        words[count] = options[count];
    if (keys != NULL) {
        words[count++] = "--keys";
        words[count++] = keys_path(keys, "home", NULL);
    }
    words[count] = NULL;
    if (net->bridge != 0)
        net_bridge_kill(net);
    net_bridge_start(net, words);
}

uint64_t keys_end_and_count(struct net *net, const char *name)
{
    assert_int_equal(net_bridge_end(net), 0);
    return net_log_total(net, name);
}

/* ---- by hand ---- */

void hand_dial(struct hand *hand, const char *url, const char *identity, uint8_t session)
{
    struct pti_frame frame = {.type = PTI_FRAME_HELLO, .payload = hand->hello_bytes};

    hand->hello = (struct pti_hello){.version_min = 1, .version_max = 2, .session = {session}, .limits = pti_limits_own(), .attempt = 1};
    snprintf(hand->hello.identity, sizeof hand->hello.identity, "%s", identity);
    if (identity[0] != '\0')
        assert_int_equal(getrandom(hand->hello.nonce, sizeof hand->hello.nonce, 0), sizeof hand->hello.nonce);
    hand->hello_size = pti_hello_pack(&hand->hello, hand->hello_bytes, sizeof hand->hello_bytes);
    frame.length = (uint32_t)hand->hello_size;
    raw_dial(&hand->raw, url);
    raw_say(&hand->raw, &frame);
}

static bool hear(struct hand *hand, enum pti_frame_type type, struct pti_frame *ret_frame, struct pti_error_message *ret_error)
{
    assert_true(raw_next(&hand->raw, ret_frame));
    if (ret_frame->type == type)
        return true;
    assert_int_equal(ret_frame->type, PTI_FRAME_ERROR);
    assert_ok(pti_error_unpack(ret_frame->payload, ret_frame->length, ret_error));
    return false;
}

bool hand_is_challenged(struct hand *hand, struct pti_error_message *ret_error)
{
    struct pti_frame frame;

    if (!hear(hand, PTI_FRAME_CHALLENGE, &frame, ret_error))
        return false;
    assert_int_equal(frame.version, 1);
    assert_ok(pti_challenge_unpack(frame.payload, frame.length, &hand->challenge));
    return true;
}

void hand_prove(const struct hand *hand, const struct keys *keys, enum pti_prover who, uint8_t ret_proof[PTI_PROOF_BYTES])
{
    struct pti_scene scene = {.home = hand->challenge.identity, .far = hand->hello.identity, .home_nonce = hand->challenge.nonce,
                              .far_nonce = hand->hello.nonce, .version = hand->challenge.version, .hello = hand->hello_bytes,
                              .hello_size = hand->hello_size};
    uint8_t key[PTI_KEY_BYTES];
    struct ptq_error error;
    struct pti_key own;

    if (pti_keys_own(keys_path(keys, hand->hello.identity, NULL), &error, &own) != PTQ_OK)
        fail_msg("%s", error.text);
    assert_true(pti_proof_derive(own.secret, hand->challenge.identity, key));
    assert_true(pti_proof_make(key, who, &scene, ret_proof));
}

void hand_say_proof(struct hand *hand, const uint8_t proof[PTI_PROOF_BYTES])
{
    uint8_t bytes[64];
    struct pti_frame frame = {.type = PTI_FRAME_PROOF, .payload = bytes};

    frame.length = (uint32_t)pti_proof_pack(proof, bytes, sizeof bytes);
    raw_say(&hand->raw, &frame);
}

bool hand_is_let_in(struct hand *hand, struct pti_error_message *ret_error)
{
    struct pti_frame frame;
    struct pti_hello hello;

    if (!hear(hand, PTI_FRAME_HELLO, &frame, ret_error))
        return false;
    assert_ok(pti_hello_unpack(frame.payload, frame.length, &hello));
    hand->raw.version = (uint8_t)hello.version;
    return true;
}

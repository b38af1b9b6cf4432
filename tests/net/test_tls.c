/* test_tls.c -- links over tls: both sides have a certificate of one authority, and the home's is of the name that is meant. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "net/keys.h"

static struct net net;
static struct keys keys, foreign;
static char peers[300];

static int begin(void **state)
{
    char url[64];
    (void)state;

    keys_make(&keys, (const char *const[]){"home", "far", NULL});
    keys_make(&foreign, (const char *const[]){"home", "far", NULL});
    net_init(&net, NULL);
    net_bridge_kill(&net);
    snprintf(url, sizeof url, "tls+%.60s", net.url);
    snprintf(net.url, sizeof net.url, "%s", url);
    keys_restart(&net, &keys, NULL);
    snprintf(peers, sizeof peers, "home=%s", net.url);
    return 0;
}

static int end(void **state)
{
    (void)state;
    net_fini(&net);
    keys_free(&keys);
    keys_free(&foreign);
    return 0;
}

static void assert_says(const char *text, const char *word)
{
    if (strstr(text, word) == NULL)
        fail_msg("'%s' does not say '%s'", text, word);
}

static void run(const char *script)
{
    const char *words[] = {"-c", script, NULL};
    int fd;

    pid_t pid = net_spawn("/bin/sh", words, &fd);
    close(fd);
    ptt_assert_exit(pid, 0, PTT_LONG);
}

static void expect_through(const char *where, const struct keys *whose)
{
    ptq_bus *bus = keys_open_bus(&net, whose, "far", where);
    ptq_msg *msg;

    ptq_queue *queue = net_open(bus, "over-tls@home", NULL);
    assert_ok(ptq_put(queue, "hello", 5, 1000));
    assert_ok(ptq_get(queue, 1000, &msg));
    assert_memory_equal(ptq_msg_data(msg), "hello", 5);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void expect_refusal(const char *where, const struct keys *whose, enum ptq_err code, const char *word)
{
    ptq_bus *bus = keys_open_bus(&net, whose, "far", where);
    struct ptq_error error;
    ptq_queue *queue;
    enum ptq_err answer;

    /* A home that closes may reset the link before its last word was read: then nobody knows why it ended. */
    for (int i = 0; i < 20; i++) {
        answer = keys_try_open(bus, "refused@home", PTQ_OPEN_OR_CREATE, &error, &queue);
        if (answer == code || answer != PTQ_EUNREACHABLE || strstr(error.text, "certificate") == NULL)
            break;
    }
    assert_answer(code, answer);
    assert_says(error.text, word);
    ptq_bus_close(bus);
}

/* ---- who may ---- */

static void with_certificates_and_keys_messages_go_through(void **state)
{
    (void)state;
    expect_through(peers, &keys);
    expect_through(peers, &keys);
}

static void a_large_message_goes_through(void **state)
{
    static char large[3 << 20];
    ptq_bus *bus = keys_open_bus(&net, &keys, "far", peers);
    ptq_msg *msg;
    (void)state;

    ptq_queue *queue = net_open(bus, "large@home", &(struct ptq_queue_options){.item_size = sizeof large, .capacity = 4});
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (char)(i * 7);
    assert_ok(ptq_put(queue, large, sizeof large, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
    assert_int_equal(ptq_msg_size(msg), sizeof large);
    assert_memory_equal(ptq_msg_data(msg), large, sizeof large);
    assert_ok(ptq_ack(msg));
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void a_link_that_broke_comes_again(void **state)
{
    ptq_bus *bus = keys_open_bus(&net, &keys, "far", peers);
    (void)state;

    ptq_queue *queue = net_open(bus, "broken@home", NULL);
    for (int i = 0; i < 3; i++) {
        net_bridge_kill(&net);
        keys_restart(&net, &keys, NULL);
        assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

/* Another bridge of the home, with another address. */
static void serve_at(struct net *other, const char *scheme, const char *path, const struct keys *whose, const char *const *options)
{
    static int port;
    const char *words[20];
    size_t count = 0;

    for (; options != NULL && options[count] != NULL; count++)
        words[count] = options[count];
    words[count++] = "--keys";
    words[count++] = keys_path(whose, "home", NULL);
    words[count] = NULL;
    net_init(other, NULL);
    net_bridge_kill(other);
    snprintf(other->url, sizeof other->url, "%s://127.0.0.1:%d%s", scheme, 30000 + (getpid() + 37 * port++) % 2000, path);
    net_bridge_start(other, words);
    snprintf(other->peers, sizeof other->peers, "home=%s", other->url);
}

static void over_wss_it_is_the_same(void **state)
{
    struct net other;
    (void)state;

    serve_at(&other, "wss", "/ptq", &keys, NULL);
    expect_through(other.peers, &keys);
    expect_refusal(other.peers, &foreign, PTQ_EPERM, "certificate");
    net_fini(&other);
}

/* Who has a certificate is nobody in particular. */
static void certificates_alone_let_in_whom_the_rules_let_do_something(void **state)
{
    char script[400];
    struct keys alone;
    struct net other;
    (void)state;

    keys_make(&alone, (const char *const[]){"home", "far", NULL});
    snprintf(script, sizeof script, "rm -r %s/*/node.key %s/*/peers", alone.dir, alone.dir);
    run(script);
    keys_write(&alone, "home", "rules", "* over-tls all\n", 0600);
    serve_at(&other, "tls+tcp", "", &alone, NULL);
    expect_through(other.peers, &alone);
    expect_refusal(other.peers, &alone, PTQ_EPERM, "nobody in particular may see");
    expect_refusal(other.peers, &keys, PTQ_EPERM, "certificate");
    net_fini(&other);
    keys_free(&alone);
}

/* ---- who may not ---- */

static void a_certificate_of_another_authority_is_refused_logged_once_and_counted(void **state)
{
    struct net other;
    (void)state;

    serve_at(&other, "tls+tcp", "", &keys, (const char *const[]){"--verbose", NULL});
    for (int i = 0; i < 3; i++)
        expect_refusal(other.peers, &foreign, PTQ_EPERM, "certificate");
    assert_int_equal(keys_count_log(&other, "event=refused"), 1);
    assert_true(keys_end_and_count(&other, "refused_links") >= 3);
    net_fini(&other);
}

/* The home's own keys say another authority than the link's: whoever answers there is not believed. */
static void a_home_of_another_authority_is_not_believed(void **state)
{
    struct net other;
    (void)state;

    serve_at(&other, "tls+tcp", "", &foreign, NULL);
    expect_refusal(other.peers, &keys, PTQ_EPERM, "certificate");
    net_fini(&other);
}

static void a_certificate_that_has_expired_is_refused(void **state)
{
    char script[1200];
    struct keys old;
    struct net other;
    (void)state;

    keys_make(&old, (const char *const[]){"home", "far", NULL});
    snprintf(script, sizeof script,
             "cd %s && umask 077 && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=far -keyout k -out r 2>/dev/null &&"
             " openssl x509 -req -in r -CA ca.crt -CAkey ca.key -set_serial 7 -days -1 -out c 2>/dev/null && cat c k >far/node.pem",
             old.dir);
    serve_at(&other, "tls+tcp", "", &old, NULL);
    expect_through(other.peers, &old);
    run(script);
    expect_refusal(other.peers, &old, PTQ_EPERM, "certificate");
    net_fini(&other);
    keys_free(&old);
}

static void the_certificate_of_another_host_is_refused_by_its_name(void **state)
{
    char script[400];
    struct keys swapped;
    struct net other;
    (void)state;

    keys_make(&swapped, (const char *const[]){"home", "far", NULL});
    snprintf(script, sizeof script, "cp %s/far/node.pem %s/home/node.pem", swapped.dir, swapped.dir);
    run(script);
    serve_at(&other, "tls+tcp", "", &swapped, NULL);
    expect_refusal(other.peers, &swapped, PTQ_EPERM, "certificate");
    net_fini(&other);
    keys_free(&swapped);
}

/* Its certificate is good, its key is another's. */
static void a_good_certificate_does_not_make_up_for_a_wrong_key(void **state)
{
    char script[400];
    struct keys mixed;
    (void)state;

    keys_make(&mixed, (const char *const[]){"home", "far", NULL});
    snprintf(script, sizeof script, "cp %s/far/node.pem %s/far/ca.crt %s/far/", keys.dir, keys.dir, mixed.dir);
    run(script);
    expect_refusal(peers, &mixed, PTQ_EPERM, "does not prove to have the key of 'far'");
    keys_free(&mixed);
}

static void who_has_no_certificate_is_refused(void **state)
{
    char script[400];
    struct net other;
    (void)state;

    serve_at(&other, "tls+tcp", "", &keys, (const char *const[]){"--verbose", NULL});
    snprintf(script, sizeof script, "openssl s_client -connect %s -CAfile %s/ca.crt </dev/null >/dev/null 2>&1; true", other.url + 10, keys.dir);
    run(script);
    for (int64_t until = pti_deadline(PTT_LONG); keys_count_log(&other, "event=refused") == 0 && pti_now_ns() < until;)
        usleep(1000);
    assert_int_equal(keys_count_log(&other, "event=refused"), 1);
    assert_int_equal(keys_count_log(&other, "event=up"), 0);
    net_fini(&other);
}

static void a_folder_without_certificates_is_told_so(void **state)
{
    struct keys bare;
    char path[200];
    (void)state;

    keys_make(&bare, (const char *const[]){"home", "far", NULL});
    assert_int_equal(chmod(keys_path(&bare, "far", "node.pem"), 0644), 0);
    expect_refusal(peers, &bare, PTQ_EPERM, "chmod 600");
    snprintf(path, sizeof path, "%s", keys_path(&bare, "far", "node.pem"));
    unlink(path);
    expect_refusal(peers, &bare, PTQ_EINVAL, "needs ca.crt and node.pem");
    keys_free(&bare);
}

static void who_speaks_no_tls_is_refused(void **state)
{
    char plain[100];
    struct hand hand;
    struct pti_frame frame;
    (void)state;

    hand_dial(&hand, net.url, "far", 1);
    assert_false(raw_next(&hand.raw, &frame));
    raw_close(&hand.raw);
    snprintf(plain, sizeof plain, "home=%s", net.url + 4);
    expect_refusal(plain, &keys, PTQ_EUNREACHABLE, "does not answer");
}

/* It takes the link, and never says a word: neither the call nor the end of the process waits for it for long. */
static void a_home_that_says_nothing_is_given_up(void **state)
{
    char url[64], where[100];
    int listener = raw_listen(url, sizeof url);
    int64_t before = pti_now_ns();
    (void)state;

    snprintf(where, sizeof where, "home=tls+%s", url);
    expect_refusal(where, &keys, PTQ_EUNREACHABLE, "does not answer");
    assert_true(pti_now_ns() - before < (int64_t)PTT_LONG * PTI_NS_PER_MS);
    close(listener);
}

/* ---- where ---- */

static void check(const struct keys *whose, const char *url, int code)
{
    const char *words[] = {"--keys", keys_path(whose, "home", NULL), "--listen", url, "--check", NULL};
    int fd;

    pid_t pid = net_spawn(PTQBRIDGE, words, &fd);
    ptt_assert_exit(pid, code, PTT_LONG);
    close(fd);
}

static void beyond_the_loopback_it_takes_tls_or_a_key(void **state)
{
    struct keys certificates;
    (void)state;

    keys_make(&certificates, (const char *const[]){"home", NULL});
    check(&certificates, "tcp://0.0.0.0:0", 0);
    unlink(keys_path(&certificates, "home", "node.key"));
    check(&certificates, "tcp://0.0.0.0:0", 6);
    check(&certificates, "ws://0.0.0.0:0/ptq", 6);
    check(&certificates, "tls+tcp://0.0.0.0:0", 0);
    check(&certificates, "wss://0.0.0.0:0/ptq", 0);
    keys_free(&certificates);
}

static void a_bridge_with_keys_leaves_no_core(void **state)
{
    char path[64], line[200], limit[32] = "";
    (void)state;

    snprintf(path, sizeof path, "/proc/%d/limits", (int)net.bridge);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "Max core file size %31s", limit);
    fclose(file);
    assert_string_equal(limit, "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_certificates_and_keys_messages_go_through),
        cmocka_unit_test(a_large_message_goes_through),
        cmocka_unit_test(a_link_that_broke_comes_again),
        cmocka_unit_test(over_wss_it_is_the_same),
        cmocka_unit_test(certificates_alone_let_in_whom_the_rules_let_do_something),
        cmocka_unit_test(a_certificate_of_another_authority_is_refused_logged_once_and_counted),
        cmocka_unit_test(a_home_of_another_authority_is_not_believed),
        cmocka_unit_test(a_certificate_that_has_expired_is_refused),
        cmocka_unit_test(the_certificate_of_another_host_is_refused_by_its_name),
        cmocka_unit_test(a_good_certificate_does_not_make_up_for_a_wrong_key),
        cmocka_unit_test(who_has_no_certificate_is_refused),
        cmocka_unit_test(a_folder_without_certificates_is_told_so),
        cmocka_unit_test(who_speaks_no_tls_is_refused),
        cmocka_unit_test(a_home_that_says_nothing_is_given_up),
        cmocka_unit_test(beyond_the_loopback_it_takes_tls_or_a_key),
        cmocka_unit_test(a_bridge_with_keys_leaves_no_core),
    };
    return cmocka_run_group_tests(tests, begin, end);
}

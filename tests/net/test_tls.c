/* test_tls.c -- links over tls: both sides have a certificate of one authority, and the home's is of the name that is meant. */
#include <fcntl.h>
#include <signal.h>
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

#define TLS "tls+tcp://127.0.0.1:0"

static int begin(void **state)
{
    (void)state;

    keys_make(&keys, (const char *const[]){"home", "far", NULL});
    keys_make(&foreign, (const char *const[]){"home", "far", NULL});
    net_init_at(&net, TLS, (const char *const[]){"--keys", keys_path(&keys, "home", NULL), NULL});
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
    assert_ok(ptq_put(queue, "hello", 5, PTT_LONG));
    assert_ok(ptq_get(queue, PTT_LONG, &msg));
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
    ptt_assert_says(error.text, word);
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
        keys_restart(&net, &keys, NULL);
        assert_ok(ptq_put(queue, "x", 1, PTT_LONG));
    }
    ptq_queue_close(queue);
    ptq_bus_close(bus);
}

static void over_wss_it_is_the_same(void **state)
{
    struct net other;
    (void)state;

    net_init_at(&other, "wss://127.0.0.1:0/ptq", (const char *const[]){"--keys", keys_path(&keys, "home", NULL), NULL});
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
    snprintf(script, sizeof script, "rm -r %s/*/node.key %s/*/peers", alone.scratch.dir, alone.scratch.dir);
    run(script);
    keys_write(&alone, "home", "rules", "* over-tls all\n", 0600);
    net_init_at(&other, TLS, (const char *const[]){"--keys", keys_path(&alone, "home", NULL), NULL});
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

    net_init_at(&other, TLS, (const char *const[]){"--verbose", "--keys", keys_path(&keys, "home", NULL), NULL});
    for (int i = 0; i < 3; i++)
        expect_refusal(other.peers, &foreign, PTQ_EPERM, "certificate");
    net_log_wait_times(&other, "component=link event=closed", 3); /* it sees them end after us */
    assert_int_equal(net_log_count(&other, "event=refused"), 1);
    assert_int_equal(kill(other.bridge, SIGUSR1), 0);
    net_log_wait(&other, "\"refused\":{\"PTQ_EPERM\":");
    assert_true(keys_end_and_count(&other, "refused_links") >= 3);
    net_fini(&other);
}

/* The home's own keys say another authority than the link's: whoever answers there is not believed. */
static void a_home_of_another_authority_is_not_believed(void **state)
{
    struct net other;
    (void)state;

    net_init_at(&other, TLS, (const char *const[]){"--keys", keys_path(&foreign, "home", NULL), NULL});
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
             old.scratch.dir);
    net_init_at(&other, TLS, (const char *const[]){"--keys", keys_path(&old, "home", NULL), NULL});
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
    snprintf(script, sizeof script, "cp %s/far/node.pem %s/home/node.pem", swapped.scratch.dir, swapped.scratch.dir);
    run(script);
    net_init_at(&other, TLS, (const char *const[]){"--keys", keys_path(&swapped, "home", NULL), NULL});
    expect_refusal(other.peers, &swapped, PTQ_EPERM, "certificate");
    net_fini(&other);
    keys_free(&swapped);
}

/* nng before 1.6 does not tell the home whose certificate it is. */
static void the_certificate_of_another_far_side_is_refused_where_nng_tells_its_name(void **state)
{
    char script[400];
    struct keys swapped;
    struct net other;
    (void)state;

    keys_make(&swapped, (const char *const[]){"home", "far", "thief", NULL});
    snprintf(script, sizeof script, "cp %s/thief/node.pem %s/far/node.pem", swapped.scratch.dir, swapped.scratch.dir);
    run(script);
    net_init_at(&other, TLS, (const char *const[]){"--keys", keys_path(&swapped, "home", NULL), NULL});
#ifdef PTQ_NNG_TELLS_NAMES
    expect_refusal(other.peers, &swapped, PTQ_EPERM, "it proves to be 'far', and has the certificate of 'thief'");
#else
    expect_through(other.peers, &swapped);
#endif
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
    snprintf(script, sizeof script, "cp %s/far/node.pem %s/far/ca.crt %s/far/", keys.scratch.dir, keys.scratch.dir, mixed.scratch.dir);
    run(script);
    expect_refusal(peers, &mixed, PTQ_EPERM, "does not prove to have the key of 'far'");
    keys_free(&mixed);
}

static void who_has_no_certificate_is_refused(void **state)
{
    char script[400];
    struct net other;
    (void)state;

    net_init_at(&other, TLS, (const char *const[]){"--verbose", "--keys", keys_path(&keys, "home", NULL), NULL});
    snprintf(script, sizeof script, "openssl s_client -connect %s -CAfile %s/ca.crt </dev/null >/dev/null 2>&1; true", other.url + 10, keys.scratch.dir);
    run(script);
    net_log_wait(&other, "component=link event=closed");
    assert_int_equal(net_log_count(&other, "event=refused"), 1);
    assert_int_equal(net_log_count(&other, "event=up"), 0);
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

/* ---- renewed while it runs ---- */

/* The certificates of `from`, that is, of its authority, in the place of those of `to`; the keys stay.  As tar does: a new file each. */
static void give_certificates(const struct keys *from, const struct keys *to, const char *node)
{
    char script[600];

    snprintf(script, sizeof script, "cd %s/%s && for file in ca.crt node.pem; do cp -p %s/%s/$file .new && mv .new $file; done", to->scratch.dir,
             node, from->scratch.dir, node);
    run(script);
}

static void reload(struct net *site, const char *words)
{
    unsigned before = net_log_count(site, words);

    assert_int_equal(kill(site->bridge, SIGHUP), 0);
    net_log_wait_times(site, words, before + 1);
}

/* Three of one node: as they are, with certificates of another authority, and what each of them is told. */
static void certificates_are_renewed_at(const char *url)
{
    struct keys own, next;
    struct net site;

    keys_make(&own, (const char *const[]){"home", "far", "near", NULL});
    keys_make(&next, (const char *const[]){"home", "far", "near", NULL});
    net_init_at(&site, url, (const char *const[]){"--verbose", "--keys", keys_path(&own, "home", NULL), NULL});
    ptq_bus *bus = keys_open_bus(&site, &own, "near", site.peers);
    ptq_queue *stays = net_open(bus, "stays@home", NULL);
    give_certificates(&next, &own, "far");
    expect_refusal(site.peers, &own, PTQ_EPERM, "certificate");

    give_certificates(&next, &own, "home");
    reload(&site, "component=keys event=certificates_renewed until=");
    expect_through(site.peers, &own);
    expect_through(site.peers, &own);
    assert_ok(ptq_put(stays, "x", 1, PTT_LONG)); /* its link is older than all that */
    assert_int_equal(net_log_count(&site, "event=up"), 3);
    reload(&site, "event=reloaded");
    assert_int_equal(net_log_count(&site, "event=certificates_renewed"), 1);
    ptq_queue_close(stays);
    ptq_bus_close(bus);
    net_fini(&site);
    keys_free(&next);
    keys_free(&own);
}

/* Nobody is refused on the way, where for a while all believe both. */
static void an_authority_is_changed_step_by_step(void **state)
{
    char script[900];
    struct keys own, next;
    struct net site;
    (void)state;

    keys_make(&own, (const char *const[]){"home", "far", NULL});
    keys_make(&next, (const char *const[]){"home", "far", NULL});
    net_init_at(&site, TLS, (const char *const[]){"--verbose", "--keys", keys_path(&own, "home", NULL), NULL});
    snprintf(script, sizeof script, "cd %s && for node in home far; do cat %s/ca.crt >>$node/ca.crt; done", own.scratch.dir, next.scratch.dir);
    run(script);
    reload(&site, "event=certificates_renewed");
    expect_through(site.peers, &own);
    snprintf(script, sizeof script, "cp -p %s/far/node.pem %s/far/", next.scratch.dir, own.scratch.dir);
    run(script);
    expect_through(site.peers, &own);
    snprintf(script, sizeof script, "cp -p %s/home/node.pem %s/home/", next.scratch.dir, own.scratch.dir);
    run(script);
    reload(&site, "event=certificates_renewed");
    expect_through(site.peers, &own);
    assert_int_equal(net_log_count(&site, "event=refused"), 0);
    net_fini(&site);
    keys_free(&next);
    keys_free(&own);
}

static void a_renewed_certificate_is_shown_after_sighup(void **state)
{
    (void)state;
    certificates_are_renewed_at(TLS);
}

static void over_wss_too(void **state)
{
    (void)state;
    certificates_are_renewed_at("wss://127.0.0.1:0/ptq");
}

/* Garbage, half of it, the key of another, one that has ended, none: said which, and the old one is shown on. */
static void a_bad_certificate_is_not_taken_over(void **state)
{
    static const struct {
        const char *script, *words;
    } bad[] = {
        {"echo garbage >ca.crt", "ca.crt' is no certificate"},
        {"sed -n '/BEGIN CERT/,/END CERT/p' node.pem >n && chmod 600 n && mv n node.pem", "node.pem' has no key"},
        {"sed -n '/PRIVATE/,/PRIVATE/p' node.pem >n && chmod 600 n && mv n node.pem", "node.pem' has no certificate"},
        {"(sed -n '/BEGIN CERT/,/END CERT/p' node.pem; sed -n '/PRIVATE/,/PRIVATE/p' ../far/node.pem) >n && chmod 600 n && mv n node.pem",
         "do not belong together"},
        {"openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=home -keyout k -out r 2>/dev/null && "
         "openssl x509 -req -in r -CA ../ca.crt -CAkey ../ca.key -set_serial 7 -days -1 -out c 2>/dev/null && cat c k >n && chmod 600 n && mv n node.pem",
         "ended on 20"},
        {"chmod 644 node.pem", "chmod 600 it"},
        {"rm node.pem", "tls needs ca.crt and node.pem"},
    };
    char script[800];
    struct keys own;
    struct net site;
    (void)state;

    keys_make(&own, (const char *const[]){"home", "far", NULL});
    net_init_at(&site, TLS, (const char *const[]){"--verbose", "--keys", keys_path(&own, "home", NULL), NULL});
    snprintf(script, sizeof script, "cd %s && cp -rp home kept", own.scratch.dir);
    run(script);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(script, sizeof script, "cd %s/home && { %s; }", own.scratch.dir, bad[i].script);
        run(script);
        reload(&site, "event=kept");
        if (net_log_count(&site, bad[i].words) == 0)
            fail_msg("not said: %s", bad[i].words);
        expect_through(site.peers, &own);
        snprintf(script, sizeof script, "cd %s && rm -r home && cp -rp kept home", own.scratch.dir);
        run(script);
    }
    reload(&site, "event=reloaded");
    expect_through(site.peers, &own);
    net_fini(&site);
    keys_free(&own);
}

/* As for a start, which does not ask for them either. */
static void a_bad_certificate_that_nobody_shows_does_not_stop_a_reload(void **state)
{
    char script[800];
    struct keys own;
    struct net site;
    (void)state;

    keys_make(&own, (const char *const[]){"home", "far", NULL});
    net_init_at(&site, "tcp://127.0.0.1:0", (const char *const[]){"--verbose", "--keys", keys_path(&own, "home", NULL), NULL});
    snprintf(script, sizeof script, "cd %s/home && cp -p node.pem ../good.pem && echo garbage >node.pem", own.scratch.dir);
    run(script);
    reload(&site, "event=reloaded");
    reload(&site, "event=reloaded");
    assert_int_equal(net_log_count(&site, "event=kept"), 0);
    snprintf(script, sizeof script, "cd %s && mv good.pem home/node.pem", own.scratch.dir);
    run(script);
    reload(&site, "event=certificates_renewed");
    net_fini(&site);
    keys_free(&own);
}

/* Told at the start and at each SIGHUP. */
static void a_certificate_that_ends_soon_is_told(void **state)
{
    char script[1200];
    struct keys own;
    struct net site;
    (void)state;

    keys_make(&own, (const char *const[]){"home", "far", NULL});
    snprintf(script, sizeof script,
             "cd %s/home && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=home -keyout k -out r 2>/dev/null &&"
             " openssl x509 -req -in r -CA ../ca.crt -CAkey ../ca.key -set_serial 7 -days 12 -out c 2>/dev/null && cat c k >n && chmod 600 n && "
             "cp -p node.pem ../good.pem && mv n node.pem", own.scratch.dir);
    run(script);
    net_init_at(&site, TLS, (const char *const[]){"--verbose", "--keys", keys_path(&own, "home", NULL), NULL});
    net_log_wait(&site, "event=certificate_ends until=");
    net_log_wait(&site, " days=1"); /* 11, or 12 if no second has passed */
    reload(&site, "event=certificate_ends");
    snprintf(script, sizeof script, "cd %s && mv good.pem home/node.pem", own.scratch.dir);
    run(script);
    reload(&site, "event=certificates_renewed");
    assert_int_equal(net_log_count(&site, "event=certificate_ends"), 2);
    net_fini(&site);
    keys_free(&own);
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
        cmocka_unit_test(the_certificate_of_another_far_side_is_refused_where_nng_tells_its_name),
        cmocka_unit_test(a_good_certificate_does_not_make_up_for_a_wrong_key),
        cmocka_unit_test(who_has_no_certificate_is_refused),
        cmocka_unit_test(a_folder_without_certificates_is_told_so),
        cmocka_unit_test(who_speaks_no_tls_is_refused),
        cmocka_unit_test(a_home_that_says_nothing_is_given_up),
        cmocka_unit_test(beyond_the_loopback_it_takes_tls_or_a_key),
        cmocka_unit_test(a_bridge_with_keys_leaves_no_core),
        cmocka_unit_test(a_renewed_certificate_is_shown_after_sighup),
        cmocka_unit_test(over_wss_too),
        cmocka_unit_test(an_authority_is_changed_step_by_step),
        cmocka_unit_test(a_bad_certificate_is_not_taken_over),
        cmocka_unit_test(a_bad_certificate_that_nobody_shows_does_not_stop_a_reload),
        cmocka_unit_test(a_certificate_that_ends_soon_is_told),
    };
    return ptt_run_beside_with(tests, sizeof tests / sizeof *tests, 3, begin, end);
}

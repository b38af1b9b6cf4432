/* test_access.c -- which addresses may be used, and which need somebody's word. */
#include <string.h>

#include "remote/access.h"
#include "support/ptt.h"

static void the_loopback_needs_nobodys_word(void **state)
{
    static const char *const urls[] = {"tcp://127.0.0.1:7400", "tcp://127.8.9.10:1", "tcp://[::1]:7400",
                                       "tcp://localhost:0", "ipc:///run/ptq.sock", "ws://127.0.0.1:0/ptq",
                                       "ws://127.0.0.1:1", "ws://[::1]:7400/a/b",
                                       "tls+tcp://10.0.0.1:1", "wss://10.0.0.1:1/ptq", "tls+tcp://*:1", "wss://home:1/x"}; /* who is there has to have a certificate */
    struct ptq_error error;
    (void)state;

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        assert_ok(pti_access_check("dial", urls[i], false, &error));
}

static void beyond_it_somebody_has_to_say_so(void **state)
{
    static const char *const urls[] = {"tcp://0.0.0.0:1",       "tcp://*:1",    "tcp://:1",         "tcp://10.0.0.1:1",
                                       "tcp://[2001:db8::1]:1", "tcp://[::]:1", "tcp://128.0.0.1:1", "ws://*:1/ptq",
                                       "ws://10.0.0.1:1/127.0.0.1", "ws://localhost:1/ptq"}; /* where a name leads, ws does not tell */
    struct ptq_error error;
    (void)state;

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_answer(PTQ_EPERM, pti_access_check("listen on", urls[i], false, &error));
        assert_non_null(strstr(error.text, urls[i]));
        assert_non_null(strstr(error.text, "--insecure"));
        assert_ok(pti_access_check("listen on", urls[i], true, &error));
    }
}

static void what_is_no_address_is_refused_in_any_case(void **state)
{
    static const char *const urls[] = {"",
                                       "tcp",
                                       "tcp://",
                                       "tcp://x",
                                       "tcp://127.0.0.1:",
                                       "tcp://127.0.0.1:65536",
                                       "tcp://127.0.0.1:1x",
                                       "tcp://[]:1",
                                       "tcp://::1]:1x",
                                       "ipc://x",
                                       "ws://127.0.0.1",
                                       "ws:///path",
                                       "wss://127.0.0.1/ptq",
                                       "tls+tcp://127.0.0.1",
                                       "tls+tcp://",
                                       "wss://",
                                       "tls://127.0.0.1:1",
                                       "inproc://x"};
    struct ptq_error error;
    (void)state;

    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        assert_answer(PTQ_EINVAL, pti_access_check("dial", urls[i], true, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loopback_needs_nobodys_word),
        cmocka_unit_test(beyond_it_somebody_has_to_say_so),
        cmocka_unit_test(what_is_no_address_is_refused_in_any_case),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_call.c -- the bytes of a call, wherever pieces cut them. */
#include <string.h>

#include "remote/call.h"
#include "support/ptt.h"
#include "wire/frame.h"
#include "wire/record.h"

#define BODY 2000u
/* head, the first put, and of the second's record all but the upper five bytes of its delay */
#define PIECE (PTI_PUT_HEAD + PTI_PUT_RECORD + BODY + PTI_PUT_RECORD + PTI_RECORD_MORE - 5)

/* The clock of the host stands, and is put on by hand (the linker wraps pti_host_ns). */
static int64_t now_us;
int64_t __wrap_pti_host_ns(void);
int64_t __wrap_pti_host_ns(void) { return now_us * 1000; }

/* The payload of the next frame, behind what came before. */
static size_t hear(struct pti_outbox *outbox, uint8_t *payload, size_t size)
{
    uint8_t bytes[PTI_FRAME_HEADER + PIECE];
    size_t came = pti_outbox_fill(outbox, bytes, sizeof bytes);

    assert_true(came > PTI_FRAME_HEADER);
    memcpy(payload + size, bytes + PTI_FRAME_HEADER, came - PTI_FRAME_HEADER);
    return size + came - PTI_FRAME_HEADER;
}

static void a_delay_that_is_cut_is_of_one_moment(void **state)
{
    static struct pti_remote remote;
    static uint8_t body[BODY], payload[2 * PIECE];
    const struct pti_put puts[] = {{.data = body, .size = BODY}, {.data = body, .size = 5, .due_us = 0x02000000}};
    struct pti_outbox outbox;
    struct pti_lane lane;
    struct pti_record_cursor cursor;
    struct pti_record record;
    uint32_t timeout;
    (void)state;

    pti_outbox_init(&outbox, 2, PIECE);
    pti_lane_init(&lane, 1, UINT64_MAX);
    struct pti_call *call = pti_call_new(&remote, PTI_FRAME_PUT);
    assert_non_null(call);
    pti_write_put_head(call->head, 2, 0);
    pti_call_set_head(call, PTI_PUT_HEAD, 4);
    pti_call_set_puts(call, puts, 2);
    size_t whole = call->out.size;

    now_us = 0x02000000 - 0x01000003; /* left: 01000003 */
    pti_outbox_push(&outbox, &lane, &call->out);
    size_t size = hear(&outbox, payload, 0);
    assert_int_equal(size, PIECE);
    now_us += 16; /* left: 00fffff3 */
    size = hear(&outbox, payload, size);
    assert_int_equal(size, whole);

    assert_int_equal(pti_read_put(payload, size, &timeout, &cursor), PTQ_OK);
    assert_int_equal(pti_read_record(&cursor, &record), PTQ_OK);
    assert_int_equal(pti_read_record(&cursor, &record), PTQ_OK);
    assert_int_equal(record.delay_us, 0x01000003);
    pti_lane_fini(&outbox, &lane);
    pti_outbox_fini(&outbox);
    pti_call_free(call);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_delay_that_is_cut_is_of_one_moment)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

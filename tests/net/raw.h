/* raw.h -- a link without the library's far side: frames by hand. */
#ifndef PTQ_TESTS_NET_RAW_H
#define PTQ_TESTS_NET_RAW_H

#include <stdbool.h>

#include "wire/envelope.h"
#include "wire/frame.h"

struct raw {
    int fd;
    struct pti_frame_reader reader;
    uint8_t version; /* of frames but HELLO */
};

/* To "tcp://127.0.0.1:port"; or what has been accepted. */
void raw_dial(struct raw *raw, const char *url);
void raw_dial_from(struct raw *raw, const char *url, const char *address); /* of this host: 127.0.0.2, say */
void raw_take(struct raw *raw, int fd);
void raw_close(struct raw *raw);

/* Listens on the loopback; its address goes to `url`. */
int raw_listen(char *url, size_t size);
void raw_accept(struct raw *raw, int listener);

void raw_send(struct raw *raw, const void *bytes, size_t size);
void raw_say(struct raw *raw, const struct pti_frame *frame); /* its payload is sealed behind it */
void raw_say_hello(struct raw *raw, const struct pti_hello *hello, uint16_t flags);

/* The next frame that comes, but PINGs; borrowed until the next call.  False: the link has ended. */
bool raw_next(struct raw *raw, struct pti_frame *ret_frame);
/* The next frame is of this type, or the test fails. */
void raw_expect(struct raw *raw, enum pti_frame_type type, struct pti_frame *ret_frame);

/* ---- as who dials: a session of this name, of version 2; asks for a queue, which is made. */
void raw_greet(struct raw *raw, uint64_t session);
void raw_open(struct raw *raw, uint32_t channel, const char *name);

/* ---- as a home: hears HELLO on the next link, and answers it; opens what is asked for. */
struct pti_hello raw_hear_hello(struct raw *raw, int listener);
void raw_welcome(struct raw *raw, int listener, uint64_t generation, bool known);
uint32_t raw_serve_open(struct raw *raw, const struct pti_opened *opened); /* NULL: something usual; its channel */
void raw_say_result(struct raw *raw, uint32_t channel, uint64_t number, uint32_t code, uint64_t value);
/* Answers CLOSE, and reads on until the link ends. */
void raw_serve_end(struct raw *raw);

#endif

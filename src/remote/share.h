/* share.h -- shares and logs over a link: both sides. */
#ifndef PTQ_REMOTE_SHARE_H
#define PTQ_REMOTE_SHARE_H

#include "share/far.h"
#include "wire/envelope.h"
#include "wire/frame.h"

struct pti_channel;
struct pti_request;
struct pti_port;

/* `open` of struct pti_far_carrier. */
enum ptq_err pti_remote_share_open(ptq_bus *bus, enum pti_share_kind kind, const char *name, const struct ptq_share_options *options,
                                   char here[PTQ_NAME_MAX + 1], struct pti_far **ret_far);

/* "share", "log", "queue": of pti_open.thing and its likes. */
static inline const char *pti_thing_word(uint32_t thing)
{
    return thing == PTI_SHARE_CELLS ? "share" : thing == PTI_SHARE_LOG ? "log" : "queue";
}

/* ---- share_far.c: over a link of this process; a look may be asked twice.  What was said, as it stands on the wire: free(). */
enum ptq_err pti_share_link_look(struct pti_port *port, const struct pti_share_ask *ask, uint8_t **ret_bytes, size_t *ret_size);
enum ptq_err pti_share_link_await(struct pti_port *port, const struct pti_share_ask *ask, int64_t deadline, uint64_t *ret_value);

/* ---- share_home.c */

/* Opens it for a channel, as a port that takes puts: changes.  `here`: what it is called on this bus. */
enum ptq_err pti_share_home_open(ptq_bus *bus, const char *here, const struct pti_open_message *asked, struct ptq_error *error,
                                 struct pti_channel *channel);
/* The name that its streams have: that of no queue. */
void pti_share_home_row(const struct pti_channel *channel, const char *here, char *buffer, size_t size);
/* May a frame of this type come on this channel? */
bool pti_share_home_takes(const struct pti_channel *channel, uint8_t type);
/* Before those who wait look: what happens from now on is told again. */
void pti_share_home_drain(struct pti_channel *channel);
enum ptq_err pti_share_home_look(struct pti_channel *channel, const struct pti_frame *frame, const uint8_t *payload, size_t size,
                                 const char **ret_reason);
/* AWAIT: answered, or it waits; PTQ_EPROTO with a sentence.  try: PTQ_EMPTY: not yet. */
enum ptq_err pti_share_home_await(struct pti_request *request, const uint8_t *payload, size_t size, const char **ret_reason);
enum ptq_err pti_share_home_try(struct pti_request *request, uint64_t *ret_value);

#endif

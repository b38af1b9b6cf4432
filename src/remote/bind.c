/* bind.c -- a channel and the stream whose numbers its puts bear: found when it is opened, let go with it. */
#define HASH_NONFATAL_OOM 1
#include <string.h>

#include "os/clock.h"
#include "remote/server.h"
#include "remote/share.h"

static const uint8_t no_stream[PTI_STREAM_BYTES];

/* Its sender speaks over another session by now, where he asks again for what he does not know the fate of. */
static void lose_stream(struct pti_channel *channel)
{
    struct pti_request *request;

    channel->stream = NULL;
    channel->lost_stream = true;
    while ((request = TAILQ_FIRST(&channel->puts)) != NULL)
        pti_request_finish(request, PTQ_EINTR, 0);
}

/* Said once for as long as it is so: each of its rows would say the same. */
static void tell_if_not_kept(struct pti_channel *channel, struct pti_streams *streams)
{
    const char *why = pti_streams_why_new(streams);

    if (why != NULL)
        pti_server_log(channel->session->server, PTQ_BRIDGE_WARNING,
                       "component=streams event=not_kept queue=%s why=\"%s\" effect=\"what is in doubt when this bridge is killed "
                       "comes flagged\"",
                       channel->name, why);
}

enum ptq_err pti_channel_bind(struct pti_channel *channel, const struct pti_open_message *asked, const char *here,
                              struct pti_streams *streams, struct ptq_error *error)
{
    struct pti_stream_asker asker = {.stream = asked->stream, .queue = here, .queue_id = channel->port->id,
                                     .has_put = asked->first > 0 || (asked->carrier != 0 && asked->carrier != PTI_CARRIER_PROGRAM)};
    struct pti_stream *stream;
    bool known;

    if (memcmp(asked->stream, no_stream, sizeof no_stream) == 0 || channel->session->guest->outbox.version < 2)
        return PTQ_OK;
    struct pti_party *peer = channel->session->peer;
    if (!pti_streams_has(streams, asked->stream) && pti_caps_left(peer->server, peer, PTI_CAP_STREAMS) == 0) {
        char why[160];
        (void)!pti_caps_take(peer->server, peer, PTI_CAP_STREAMS, 1, why, sizeof why);
        return pti_error(error, PTQ_EAGAIN,
                         "%s '%s': %s (each is kept for 10 minutes after its link broke); close some, or try again later",
                         pti_thing_word(channel->thing), channel->name, why);
    }
    enum ptq_err answer = pti_stream_find(streams, &asker, &stream, &known);
    if (answer == PTQ_EAGAIN)
        return pti_error(error, answer,
                         "%s '%s': %u handles of other hosts are known here, which is the most (each is kept for 10 minutes "
                         "after its link broke); close some, or try again later",
                         pti_thing_word(channel->thing), channel->name, pti_streams_count(streams));
    if (answer == PTQ_EBUSY)
        return pti_error(error, answer, "%s '%s': this handle is known here for another; open it anew", pti_thing_word(channel->thing),
                         channel->name);
    if (answer != PTQ_OK)
        return pti_error(error, answer, "%s '%s': no memory for its numbers", pti_thing_word(channel->thing), channel->name);
    tell_if_not_kept(channel, streams);
    pti_caps_pay_stream(peer, stream);
    struct pti_channel *before = *pti_stream_owner(stream);
    if (before != NULL)
        lose_stream(before);
    *pti_stream_owner(stream) = channel;
    channel->stream = stream;
    channel->stream_known = known;
    channel->unordered = asked->carrier == PTI_CARRIER_PROGRAM;
    if (asked->first > 0) {
        channel->highest = channel->received = asked->first - 1;
        if (!pti_stream_is_keyed(stream))
            pti_stream_received(stream, asked->first - 1);
    }
    return PTQ_OK;
}

void pti_channel_unbind(struct pti_channel *channel, bool ended)
{
    if (channel->stream == NULL)
        return;
    if (ended)
        pti_stream_close(channel->stream);
    else
        pti_stream_leave(channel->stream, pti_host_ns());
    channel->stream = NULL;
}

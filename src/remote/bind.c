/* bind.c -- a channel and the stream whose numbers its puts bear: found when it is opened, let go with it. */
#define HASH_NONFATAL_OOM 1
#include <string.h>

#include "os/clock.h"
#include "remote/server.h"

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

enum ptq_err pti_channel_bind(struct pti_channel *channel, const struct pti_open_message *asked, struct pti_streams *streams,
                              struct ptq_error *error)
{
    struct pti_stream *stream;
    bool known;

    if (memcmp(asked->stream, no_stream, sizeof no_stream) == 0 || streams == NULL || channel->session->guest->outbox.version < 2)
        return PTQ_OK;
    enum ptq_err answer =
        pti_stream_find(streams, asked->stream, channel->name, channel->port->id, &stream, &known);
    if (answer == PTQ_EAGAIN)
        return pti_error(error, answer,
                         "queue '%s': %u far handles have put here, or are kept for ten minutes after their links broke, which is "
                         "the most; close some",
                         channel->name, PTI_STREAMS_MOST);
    if (answer == PTQ_EBUSY)
        return pti_error(error, answer, "queue '%s': this handle is known here for another queue; open it anew", channel->name);
    if (answer != PTQ_OK)
        return pti_error(error, answer, "queue '%s': no memory for its numbers", channel->name);
    struct pti_channel *before = *pti_stream_owner(stream);
    if (before != NULL)
        lose_stream(before);
    *pti_stream_owner(stream) = channel;
    channel->stream = stream;
    channel->stream_known = known;
    if (asked->first > 0)
        channel->highest = channel->received = asked->first - 1;
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

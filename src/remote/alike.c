/* alike.c -- what a link of one's own and the way through the bridge of this host do alike. */
#include "remote/alike.h"

#include "bus/bus.h"
#include "wire/crc32c.h"

uint32_t pti_puts_sum(const struct pti_put *puts, size_t count)
{
    uint32_t crc = 0;

    for (size_t i = 0; i < count; i++) {
        const struct pti_put *put = &puts[i];
        uint32_t facts[] = {put->size, put->type, put->kind, put->headers};
        crc = pti_crc32c(crc, facts, sizeof facts);
        crc = pti_crc32c(crc, put->header_bytes, 4u * put->headers);
        crc = pti_crc32c(crc, put->data, put->size);
    }
    return crc;
}

enum ptq_err pti_check_far_flags(const char *url, const char *name, unsigned flags, struct ptq_error *error)
{
    if (flags & PTQ_WATCH_PEERS)
        return pti_error(error, PTQ_EINVAL,
                         "queue '%s' is on another host ('%s'), whose living are not seen from here: open it without "
                         "PTQ_WATCH_PEERS",
                         name, url);
    if (flags & PTQ_EXCLUSIVE)
        return pti_error(error, PTQ_EINVAL, "queue '%s' is on another host: PTQ_EXCLUSIVE is a lock on its memory there; open it "
                         "without", name);
    return PTQ_OK;
}

/* redial.c -- how long to wait before a home is dialled again. */
#include "remote/redial.h"

#include "base/time.h"

#define DOUBLINGS 6u

int64_t pti_redial_pause_ns(unsigned failures, uint32_t random)
{
    int64_t most = (int64_t)PTI_REDIAL_FIRST_MS << (failures < DOUBLINGS ? failures : DOUBLINGS);

    most = (most < PTI_REDIAL_MOST_MS ? most : PTI_REDIAL_MOST_MS) * PTI_NS_PER_MS;
    return (int64_t)((uint64_t)most * random >> 32);
}

unsigned pti_redial_count(unsigned failures, bool was_up, int64_t up_ns)
{
    if (!was_up)
        return failures + 1;
    if (up_ns > PTI_REDIAL_GOOD_MS * PTI_NS_PER_MS)
        return 0;
    return failures < PTI_REDIAL_FLAPPING ? failures + 1 : PTI_REDIAL_FLAPPING;
}

/* totals.h -- what all stress tests of a soak have done together.  The soak shares the sheet; without one it is the program's own. */
#ifndef PTQ_TESTS_STRESS_TOTALS_H
#define PTQ_TESTS_STRESS_TOTALS_H

#include <stdint.h>

#include "stress/history.h"

#define TOTALS_ENVIRONMENT "PTQ_SOAK_TOTALS" /* the path of the sheet */

enum total {
    TOTAL_PUT, /* promised */
    TOTAL_TAKEN,
    TOTAL_FLAGGED,
    TOTAL_ACKED,
    TOTAL_DEAD,      /* letters: kicked, or acked in the end */
    TOTAL_DROPPED,   /* + enum ptq_drop */
    TOTAL_KILLS = TOTAL_DROPPED + PTQ_DROPS,
    TOTAL_STOPS,
    TOTAL_LOST,
    TOTAL_DOUBLED,
    TOTAL_ROUNDS,    /* queues made, used, ended, verified and removed */
    TOTAL_CONTAINED, /* of them with everybody in a container of its own */
    TOTAL_EVENTS,    /* calls written down and checked */
    TOTAL_NOTHING,   /* gets that found nothing, judged */
    TOTAL_NO_ROOM,   /* puts that found no room, judged */
    TOTAL_BREACHES,  /* of laws of histories */
    TOTALS
};

/* Makes the sheet (the soak); joins it (its children do so by themselves). */
_Atomic uint64_t *totals_make(const char *path);

void totals_add(unsigned total, uint64_t count); /* an enum total */
void totals_add_history(const struct history_report *report);
uint64_t totals_get(unsigned total);


#endif

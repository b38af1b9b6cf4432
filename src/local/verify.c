/* verify.c -- does what stands in a queue add up, and make sense?  By a read-only map: sure only where nothing moves meanwhile. */
#include <ptq/metrics.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "local/view.h"
#include "ring/tally.h"

static bool same(const struct pti_tally *a, const struct pti_tally *b)
{
    return a->put == b->put && a->taken == b->taken && a->acked == b->acked && a->nacked == b->nacked &&
           a->redelivered == b->redelivered && a->open_lines == 0 && b->open_lines == 0 && a->leased == b->leased &&
           a->dropped == b->dropped && a->ready == b->ready && a->redeliverable == b->redeliverable && a->delayed == b->delayed &&
           a->dead == b->dead && a->owned == b->owned && a->ring_bytes == b->ring_bytes && a->bytes_put == b->bytes_put &&
           a->bytes_taken == b->bytes_taken;
}

static void tell_imbalance(const struct ptq_verify_report *report, void (*each)(const char *finding, void *context),
                           void *context)
{
    char text[200];

    snprintf(text, sizeof text,
             "put %llu is not ready %llu + leased %llu + delayed %llu + dead %llu + acked %llu + dropped %llu: %+lld",
             (unsigned long long)report->put, (unsigned long long)report->ready, (unsigned long long)report->leased,
             (unsigned long long)report->delayed, (unsigned long long)report->dead, (unsigned long long)report->acked,
             (unsigned long long)report->dropped, (long long)report->imbalance);
    if (each)
        each(text, context);
}

/* With a byte budget it must be known at any time how much of it is spent. */
static void tell_bytes(const struct pti_tally *tally, void (*each)(const char *finding, void *context), void *context)
{
    char text[200];

    snprintf(text, sizeof text, "bytes put %llu - bytes taken %llu is not what is ready, %llu",
             (unsigned long long)tally->bytes_put, (unsigned long long)tally->bytes_taken,
             (unsigned long long)tally->ring_bytes);
    if (each)
        each(text, context);
}

/* Findings are kept until it is known whether anything moved while they were made. */
struct kept {
    uint32_t count;
    char text[20][200];
};

static void keep(const char *text, void *context)
{
    struct kept *kept = context;

    if (kept->count < 20)
        snprintf(kept->text[kept->count++], sizeof kept->text[0], "%s", text);
}

enum ptq_err ptq_view_verify(ptq_view *view, void (*each)(const char *finding, void *context), void *context,
                             struct ptq_verify_report *ret_report)
{
    const struct timespec a_little = {0, 5000000};
    struct ptq_verify_report report;
    struct pti_tally tally, again;
    struct kept kept;

    if (!view || !ret_report)
        return PTQ_EINVAL;
    if (pti_view_check(view) != PTQ_OK)
        return pti_view_check(view);
    memset(&report, 0, sizeof report);
    for (unsigned tries = 0; tries < 10 && !report.quiet; tries++) {
        if (tries > 0)
            nanosleep(&a_little, NULL);
        kept.count = 0;
        pti_tally_make(&view->ring, &tally);
        report.findings = pti_tally_check(&view->ring, keep, &kept);
        pti_tally_make(&view->ring, &again);
        report.quiet = same(&tally, &again);
    }
    if (pti_view_check(view) == PTQ_ECORRUPT) {
        if (each)
            each("its file was truncated", context);
        return PTQ_ECORRUPT;
    }
    report.put = again.put;
    report.acked = again.acked;
    report.dropped = again.dropped;
    report.ready = again.ready + again.redeliverable;
    report.leased = again.leased;
    report.delayed = again.delayed;
    report.dead = again.dead;
    report.in_transit = again.owned + again.unpublished;
    report.imbalance = (int64_t)(report.put - report.ready - report.leased - report.delayed - report.dead -
                                 report.acked - report.dropped);
    for (uint32_t i = 0; each && i < kept.count; i++)
        each(kept.text[i], context);
    if (report.quiet && view->ring.geometry.bytes != 0 && again.bytes_put - again.bytes_taken != again.ring_bytes) {
        report.findings++;
        tell_bytes(&again, each, context);
    }
    if (report.quiet && report.imbalance != 0) {
        report.findings++;
        tell_imbalance(&report, each, context);
    }
    *ret_report = report;
    return report.findings == 0 ? PTQ_OK : PTQ_ECORRUPT;
}

/* report.h -- queues as JSON, the same from ptq and from ptqtop.
 *
 * Every object begins with "v":1.  queue_size, queue_capacity, queue_utilization_percent and queue_item_size_bytes are the keys
 * that users of shared-multiprocess-queue know.
 */
#ifndef TOOL_REPORT_H
#define TOOL_REPORT_H

#include <jansson.h>

#include <ptq/metrics.h>

/* What the queue is: "queue", or "jobs" and "done" of a pool. */
const char *tool_queue_kind(const struct ptq_view_info *info);

/* Messages that are not settled: ready, leased, delayed. */
uint64_t tool_queue_depth(const struct ptq_queue_stats *stats);

/* Ready ones of the capacity, in percent; 0 for a capacity of 0. */
double tool_queue_fill(const struct ptq_queue_stats *stats);

/* How the tools and their options name things. */
extern const char *const tool_full_words[];   /* enum ptq_full */
extern const char *const tool_stamp_words[];  /* enum ptq_stamps */
extern const char *const tool_drop_words[PTQ_DROPS]; /* enum ptq_drop */

/* Short letters for what is remarkable: F full, D dead letters, R recovered after a death, X a dead one not yet recovered, E ended,
 * P paused, G gone.  "" for nothing. */
char *tool_queue_flags(const struct ptq_queue_stats *stats, char buffer[16]);

/* An object about a queue; `info` is NULL for a remote one.  NULL: no memory.  Release with json_decref. */
json_t *tool_queue_json(const char *name, const struct ptq_view_info *info, const struct ptq_queue_stats *stats);

/* Sets waits_measured, wait_mean_us, wait_p50_us, wait_p90_us, wait_p99_us, wait_max_us: these but the first only if some were measured. */
void tool_set_waits(json_t *object, const struct ptq_view_waits *waits);

json_t *tool_endpoint_json(const struct ptq_view_endpoint *endpoint);

/* Text that may not be UTF-8: as a string, else with \xHH. */
json_t *tool_text_json(const char *text);

/* Sets `key` to a whole number; numbers above 2^63 are not met with. */
void tool_set_number(json_t *object, const char *key, uint64_t number);

/* Sets "data" to the text, or "base64" where it is not UTF-8; and "size". */
void tool_set_data(json_t *object, const void *data, size_t size);

/* Writes a line of JSON to `out` and drops the object.  TOOL_OK or TOOL_ERROR. */
int tool_print_json(json_t *object, FILE *out);

#endif

/* report.c -- queues as JSON, the same from ptq and from ptqtop. */
#include "common/report.h"

#include <stdlib.h>
#include <string.h>

#include "common/say.h"
#include "common/text.h"

const char *const tool_full_words[] = {"block", "fail", "drop-oldest", "drop-newest"};
const char *const tool_stamp_words[] = {"sampled", "all", "off"};
const char *const tool_drop_words[PTQ_DROPS] = {"oldest", "newest", "expired", "purged", "dead_overflow"};

const char *tool_queue_kind(const struct ptq_view_info *info)
{
    if (info == NULL || info->window == 0)
        return "queue";
    return info->placed ? "done" : "jobs";
}

uint64_t tool_queue_depth(const struct ptq_queue_stats *stats)
{
    return stats->ready + stats->leased + stats->delayed;
}

double tool_queue_fill(const struct ptq_queue_stats *stats)
{
    return stats->capacity == 0 ? 0.0 : 100.0 * (double)stats->ready / (double)stats->capacity;
}

char *tool_queue_flags(const struct ptq_queue_stats *stats, char buffer[16])
{
    size_t used = 0;

    if (stats->capacity > 0 && stats->ready >= stats->capacity)
        buffer[used++] = 'F';
    if (stats->dead > 0)
        buffer[used++] = 'D';
    if (stats->recovered > 0)
        buffer[used++] = 'R';
    if (stats->dead_endpoints > 0)
        buffer[used++] = 'X';
    if (stats->ended)
        buffer[used++] = 'E';
    if (stats->paused)
        buffer[used++] = 'P';
    if (stats->removed)
        buffer[used++] = 'G';
    buffer[used] = '\0';
    return buffer;
}

void tool_set_number(json_t *object, const char *key, uint64_t number)
{
    json_object_set_new(object, key, json_integer((json_int_t)number));
}

json_t *tool_text_json(const char *text)
{
    json_t *string = json_string(text);
    char safe[2048];

    return string != NULL ? string : json_string(tool_escape(text, strlen(text), safe, sizeof safe));
}

void tool_set_data(json_t *object, const void *data, size_t size)
{
    tool_set_number(object, "size", size);
    json_t *text = json_stringn(size > 0 ? data : "", size); /* NULL where it is not UTF-8 */
    if (text != NULL) {
        json_object_set_new(object, "data", text);
        return;
    }
    char *base64 = tool_base64(data, size);
    json_object_set_new(object, "base64", base64 != NULL ? json_string(base64) : NULL);
    free(base64);
}

static void set_info(json_t *object, const struct ptq_view_info *info)
{
    json_object_set_new(object, "path", tool_text_json(info->path));
    tool_set_number(object, "file_bytes", info->file_bytes);
    tool_set_number(object, "slots", info->slots);
    tool_set_number(object, "blocks", info->blocks);
    tool_set_number(object, "block_stride", info->block_stride);
    if (info->max_deliveries == PTQ_NEVER)
        json_object_set_new(object, "max_deliveries", json_null());
    else
        tool_set_number(object, "max_deliveries", info->max_deliveries);
    tool_set_number(object, "max_endpoints", info->max_endpoints);
    json_object_set_new(object, "policy", json_string(tool_full_words[info->full]));
    json_object_set_new(object, "stamps", json_string(tool_stamp_words[info->stamps]));
    tool_set_number(object, "byte_budget", info->bytes);
    tool_set_number(object, "header_size", info->header_size);
    tool_set_number(object, "ttl_ms", info->ttl_ms);
    json_object_set_new(object, "expired_to_dead", json_boolean(info->expired_to_dead));
    tool_set_number(object, "lease_ms", info->lease_ms);
    tool_set_number(object, "max_dead", info->max_dead);
    json_object_set_new(object, "last_producer_ends", json_boolean(info->last_producer_ends));
    json_object_set_new(object, "ephemeral", json_boolean(info->ephemeral));
    tool_set_number(object, "layout", info->layout);
    tool_set_number(object, "window", info->window);
    tool_set_number(object, "limit", info->limit);
    json_object_set_new(object, "mode", json_sprintf("%04o", info->mode));
    tool_set_number(object, "uid", info->uid);
    tool_set_number(object, "gid", info->gid);
    tool_set_number(object, "creator_pid", (uint64_t)info->creator_pid);
    json_object_set_new(object, "created_unix_ms", json_integer(info->created_unix_ms));
}

static void set_stats(json_t *object, const struct ptq_queue_stats *stats)
{
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {"bytes", stats->bytes},         {"depth", tool_queue_depth(stats)},
        {"ready", stats->ready},         {"leased", stats->leased},
        {"delayed", stats->delayed},     {"dead", stats->dead},
        {"put", stats->put},             {"taken", stats->taken},
        {"acked", stats->acked},         {"nacked", stats->nacked},
        {"redelivered", stats->redelivered}, {"dropped", stats->dropped},
        {"bytes_put", stats->bytes_put}, {"bytes_acked", stats->bytes_acked},
        {"recovered", stats->recovered}, {"head", stats->head},
        {"tail", stats->tail},           {"oldest_ms", stats->oldest_ms},
        {"producers", stats->producers}, {"consumers", stats->consumers},
        {"endpoints", stats->endpoints}, {"dead_endpoints", stats->dead_endpoints},
    };

    tool_set_number(object, "queue_size", stats->ready);
    tool_set_number(object, "queue_capacity", stats->capacity);
    json_object_set_new(object, "queue_utilization_percent", json_real(tool_queue_fill(stats)));
    tool_set_number(object, "queue_item_size_bytes", stats->item_size);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        tool_set_number(object, numbers[i].key, numbers[i].number);
    for (size_t i = 0; i < PTQ_DROPS; i++) {
        char key[32];

        snprintf(key, sizeof key, "dropped_%s", tool_drop_words[i]);
        tool_set_number(object, key, stats->dropped_by[i]);
    }
    json_object_set_new(object, "paused", json_boolean(stats->paused));
    json_object_set_new(object, "ended", json_boolean(stats->ended));
    if (stats->ended)
        tool_set_number(object, "end_position", stats->end_position);
    json_object_set_new(object, "removed", json_boolean(stats->removed));
}

json_t *tool_queue_json(const char *name, const struct ptq_view_info *info, const struct ptq_queue_stats *stats)
{
    json_t *object = json_pack("{s:i, s:o, s:s, s:s}", "v", 1, "name", tool_text_json(name), "kind", tool_queue_kind(info),
                               "where", stats->remote ? "link" : "shm");

    if (object == NULL)
        return NULL;
    set_stats(object, stats);
    if (info != NULL)
        set_info(object, info);
    return object;
}

void tool_set_waits(json_t *object, const struct ptq_view_waits *waits)
{
    tool_set_number(object, "waits_measured", waits->count);
    if (waits->count == 0)
        return;
    json_object_set_new(object, "wait_mean_us", json_real((double)waits->sum_us / (double)waits->count));
    tool_set_number(object, "wait_p50_us", ptq_waits_quantile_us(waits, 0.5));
    tool_set_number(object, "wait_p90_us", ptq_waits_quantile_us(waits, 0.9));
    tool_set_number(object, "wait_p99_us", ptq_waits_quantile_us(waits, 0.99));
    tool_set_number(object, "wait_max_us", ptq_waits_quantile_us(waits, 1));
}

json_t *tool_endpoint_json(const struct ptq_view_endpoint *endpoint)
{
    json_t *object = json_object();

    tool_set_number(object, "index", endpoint->index);
    json_object_set_new(object, "alive", json_boolean(endpoint->alive));
    json_object_set_new(object, "pid", json_integer(endpoint->pid));
    json_object_set_new(object, "command", tool_text_json(endpoint->command));
    json_object_set_new(object, "since_unix_ms", json_integer(endpoint->since_unix_ms));
    tool_set_number(object, "put", endpoint->put);
    tool_set_number(object, "taken", endpoint->taken);
    tool_set_number(object, "acked", endpoint->acked);
    tool_set_number(object, "nacked", endpoint->nacked);
    tool_set_number(object, "leased", endpoint->leased);
    if (endpoint->leased > 0)
        tool_set_number(object, "oldest_position", endpoint->oldest_position);
    return object;
}

int tool_print_json(json_t *object, FILE *out)
{
    int failed = object == NULL || json_dumpf(object, out, JSON_COMPACT | JSON_REAL_PRECISION(6)) != 0 || fputc('\n', out) < 0;

    json_decref(object);
    return failed ? TOOL_ERROR : TOOL_OK;
}

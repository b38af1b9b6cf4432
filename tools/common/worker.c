/* worker.c -- workers of pools as JSON, the same from ptq and from ptqtop. */
#include "common/worker.h"

#include "common/report.h"

const char *const tool_worker_states[] = {[PTQ_WORKER_WAITS_FOR_JOB] = "idle", [PTQ_WORKER_WAITS_FOR_ROOM] = "no room",
                                          [PTQ_WORKER_WORKS] = "works", [PTQ_WORKER_HANDS_IN] = "hands in"};

json_t *tool_worker_json(const struct ptq_worker_status *worker)
{
    json_t *object = json_object();

    json_object_set_new(object, "name", tool_text_json(worker->name));
    json_object_set_new(object, "host", tool_text_json(worker->host));
    json_object_set_new(object, "pid", json_integer(worker->pid));
    json_object_set_new(object, "state", json_string(tool_worker_states[worker->state]));
    json_object_set_new(object, "state_ms", json_integer(worker->since_ns / 1000000));
    json_object_set_new(object, "ticket", worker->has_job ? json_integer((json_int_t)worker->ticket) : json_null());
    json_object_set_new(object, "task", tool_text_json(worker->task));
    tool_set_number(object, "tries", worker->has_job ? worker->tries : 0);
    json_object_set_new(object, "started_unix_ms", json_integer(worker->started_unix_ms));
    tool_set_number(object, "uptime_ms", worker->uptime_ns / 1000000);
    tool_set_number(object, "done", worker->jobs_done);
    tool_set_number(object, "failed", worker->jobs_failed);
    tool_set_number(object, "busy_ms", worker->busy_ns / 1000000);
    tool_set_number(object, "wait_job_ms", worker->wait_job_ns / 1000000);
    tool_set_number(object, "wait_room_ms", worker->wait_room_ns / 1000000);
    json_object_set_new(object, "efficiency", json_real(ptq_worker_efficiency(worker)));
    json_object_set_new(object, "total_efficiency", json_real(ptq_worker_total_efficiency(worker)));
    json_object_set_new(object, "seconds_per_job", json_real(ptq_worker_seconds_per_job(worker)));
    tool_set_number(object, "rss_bytes", worker->rss_bytes);
    tool_set_number(object, "deaths", worker->deaths);
    json_object_set_new(object, "last_error", worker->last_error == PTQ_OK ? json_null()
                                                                           : tool_text_json(worker->last_error_text));
    return object;
}

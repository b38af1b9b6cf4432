/* status.c -- what workers show of themselves, and what follows from it. */
#include <ptq/worker.h>

#include "base/error.h"
#include "pool/pool.h"
#include "pool/roster.h"

enum ptq_err ptq_view_workers(ptq_bus *bus, const struct ptq_view_info *jobs, struct ptq_worker_status *array, size_t max,
                              size_t *ret_count)
{
    size_t count = 0;
    if (bus == NULL || jobs == NULL || ret_count == NULL || (array == NULL && max != 0))
        return PTQ_EINVAL;
    enum ptq_err err = pti_err_from_errno(pti_roster_read(bus, jobs->name, jobs->id, array, max, &count));
    if (err == PTQ_OK)
        *ret_count = count;
    return err;
}

enum ptq_err ptq_pool_workers(ptq_pool *pool, struct ptq_worker_status *array, size_t max, size_t *ret_count)
{
    enum ptq_err err = pti_pool_check(pool);
    if (err != PTQ_OK || ret_count == NULL || (array == NULL && max != 0))
        return err != PTQ_OK ? err : PTQ_EINVAL;
    size_t count = 0;
    if (!pool->jobs->port->remote) {
        err = pti_err_from_errno(pti_roster_read(pool->bus, pool->jobs->name, pool->jobs->port->id, array, max, &count));
        if (err != PTQ_OK)
            return err;
    }
    *ret_count = count;
    return PTQ_OK;
}

/* -- derived --------------------------------------------------------------------------------------------------- */

static double part(uint64_t of, uint64_t whole)
{
    return whole == 0 ? 0 : of < whole ? (double)of / (double)whole : 1;
}

static uint64_t active_ns(const struct ptq_worker_status *status)
{
    return status->busy_ns + status->wait_job_ns + status->wait_room_ns;
}

double ptq_worker_efficiency(const struct ptq_worker_status *status)
{
    return part(status->busy_ns, active_ns(status));
}

double ptq_worker_total_efficiency(const struct ptq_worker_status *status)
{
    return part(status->busy_ns, status->uptime_ns);
}

double ptq_worker_seconds_per_job(const struct ptq_worker_status *status)
{
    return status->jobs_done == 0 ? 0 : (double)status->busy_ns / 1e9 / (double)status->jobs_done;
}

struct ptq_worker_averages ptq_worker_average(const struct ptq_worker_status *array, size_t count)
{
    struct ptq_worker_averages all = {.workers = count};
    size_t active = 0;
    uint64_t busy_ns = 0;
    for (size_t i = 0; i < count; i++) {
        all.working += array[i].has_job;
        all.efficiency += ptq_worker_efficiency(&array[i]);
        all.total_efficiency += ptq_worker_total_efficiency(&array[i]);
        active += active_ns(&array[i]) != 0;
        busy_ns += array[i].busy_ns;
        all.jobs_done += array[i].jobs_done;
        all.jobs_failed += array[i].jobs_failed;
        all.rss_bytes += array[i].rss_bytes;
    }
    all.efficiency = active == 0 ? 0 : all.efficiency / (double)active;
    all.total_efficiency = count == 0 ? 0 : all.total_efficiency / (double)count;
    all.seconds_per_job = all.jobs_done == 0 ? 0 : (double)busy_ns / 1e9 / (double)all.jobs_done;
    return all;
}

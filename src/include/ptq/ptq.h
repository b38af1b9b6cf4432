/* ptq.h -- all of ptq in one include.
 *
 * Threads: a bus and a queue may be used by several threads at once; a message by one at a time.
 * Fork: a child must not use what it inherited (PTQ_EFORKED); it opens its own.
 * Crash: what a killed process had leased is redelivered; what it had put is in the queue; see docs/failure.md.
 * Local use starts no thread and opens no socket.
 */
#ifndef PTQ_PTQ_H
#define PTQ_PTQ_H

#include <ptq/bus.h>
#include <ptq/err.h>
#include <ptq/log.h>
#include <ptq/map.h>
#include <ptq/metrics.h>
#include <ptq/pipe.h>
#include <ptq/pipeline.h>
#include <ptq/pool.h>
#include <ptq/process.h>
#include <ptq/queue.h>
#include <ptq/share.h>
#include <ptq/spec.h>
#include <ptq/version.h>
#include <ptq/worker.h>

#endif

/* away.h -- between the files of this room: the calls of handles that are far, and what a home needs to do them. */
#ifndef PTQ_SHARE_AWAY_H
#define PTQ_SHARE_AWAY_H

#include "share/far.h"
#include "share/share.h"

/* -- far.c: the public calls, for handles that are far -- */

bool pti_far_is_named(const char *name); /* does the name lead to another host? */
enum ptq_err pti_far_open_share(ptq_bus *bus, enum pti_share_kind kind, const char *name, const struct ptq_share_options *options,
                                ptq_share **ret_share);

/* first NULL, type 0: it is only looked for. */
enum ptq_err pti_far_open_cell(ptq_share *share, const char *name, size_t size, unsigned type, const void *first, size_t first_size,
                               unsigned *ret_type);
enum ptq_err pti_far_get(ptq_cell *cell, enum ptq_cell_type type, uint64_t *ret_bits);
enum ptq_err pti_far_apply(ptq_cell *cell, enum ptq_cell_type type, enum ptq_op op, uint64_t *bits, bool wants);
enum ptq_err pti_far_swap(ptq_cell *cell, enum ptq_cell_type type, uint64_t *bits);
enum ptq_err pti_far_cas(ptq_cell *cell, enum ptq_cell_type type, uint64_t *expected, uint64_t bits);
enum ptq_err pti_far_read(ptq_cell *cell, void *buffer, size_t size, size_t *ret_size, uint64_t *ret_version);
enum ptq_err pti_far_write(ptq_cell *cell, const uint64_t *version, const void *data, size_t size);
enum ptq_err pti_far_version(ptq_cell *cell, uint64_t *ret_version);
enum ptq_err pti_far_wait(ptq_cell *cell, uint64_t version, int timeout_ms, uint64_t *ret_version);
enum ptq_err pti_far_delete(ptq_share *share, const char *name, size_t size);
enum ptq_err pti_far_clear(ptq_share *share);
enum ptq_err pti_far_each(ptq_share *share, bool (*each)(const struct ptq_cell_info *info, void *context), void *context);
/* The name is that of the map, a 0, and the key. */
enum ptq_err pti_far_map_set(ptq_share *share, const char *name, size_t size, const void *data, size_t data_size);
enum ptq_err pti_far_set_add(ptq_share *share, const char *name, size_t size);
enum ptq_err pti_far_has(ptq_share *share, const char *name, size_t size);

enum ptq_err pti_far_append(ptq_share *share, const void *data, size_t size, uint64_t *ret_position);
enum ptq_err pti_far_record(ptq_share *share, uint64_t position, void *buffer, size_t size, struct ptq_log_record *ret_record);
enum ptq_err pti_far_bounds(ptq_share *share, uint64_t *ret_oldest, uint64_t *ret_next);
enum ptq_err pti_far_wait_log(ptq_share *share, uint64_t position, int timeout_ms);

static inline bool pti_cell_is_far(const ptq_cell *cell) { return cell != NULL && cell->share->far != NULL; }

/* -- for do.c: nothing of this waits; PTQ_EMPTY: not yet.  arm: then whoever changes it makes the waiter of the share readable -- */

/* wait.c */
enum ptq_err pti_cell_look_for_change(ptq_cell *cell, uint64_t version, bool arm, uint64_t *ret_version);
/* log.c */
enum ptq_err pti_log_look_for(ptq_log *log, uint64_t position, bool arm);
enum ptq_err pti_log_append_as(ptq_log *log, int64_t pid, const void *data, size_t size, uint64_t *ret_position);
/* each.c: of one bucket; stopped: by `each`. */
enum ptq_err pti_share_each_of(ptq_share *share, uint32_t bucket, bool (*each)(const struct ptq_cell_info *info, void *context), void *context,
                               bool *ret_stopped);

#endif

/* lines.h -- what tests of pipelines share: a scratch bus with a pipeline on it, and tasks of stages.
 *
 * Numbers go through; each task keeps to what its name says, so that what comes out can be foretold.
 */
#ifndef PTQ_TESTS_PROCESS_LINES_H
#define PTQ_TESTS_PROCESS_LINES_H

#include <ptq/pipeline.h>

#include "support/ptt.h"

/* "slow" passes after 10 ms; "count" counts its jobs in each worker, and fails at its first, for its hook does.  How many such counts there are
 * in this process: */
int lines_kept(void);

struct lines {
    struct ptt_scratch scratch;
    const struct ptq_stage *stages;
    size_t count;
    ptq_pipeline *line;
};

/* First in main, before ptq_worker_main.  Tasks: "pass" gives what it got; "split" gives n % 4 outputs, "<n>.0", "<n>.1", ...; "odd" drops even
 * numbers; "fail-seventh" fails for multiples of 7, else passes; "die-once" kills its worker at the first try of multiples of 10; "die"
 * always for multiples of 10; "a", "b" put that letter before it; "spin" passes after up to 0.7 ms of work. */
void lines_register(void);

void lines_init(struct lines *lines, const struct ptq_stage *stages, size_t count, const struct ptq_pipeline_options *options);
void lines_fini(struct lines *lines);
/* Another handle on the same pipeline. */
ptq_pipeline *lines_open(const struct lines *lines, const struct ptq_pipeline_options *options);

uint64_t lines_submit(ptq_pipeline *line, unsigned number);
/* Gets the next output, which is to be this. */
void lines_expect(ptq_pipeline *line, const char *text);
void lines_expect_error(ptq_pipeline *line, uint64_t input, enum ptq_err code, const char *stage);
void lines_expect_end(ptq_pipeline *line);

#endif

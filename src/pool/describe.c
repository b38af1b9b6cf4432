/* describe.c -- how large the inputs and outputs of a pipeline are, where its stages describe them. */
#include <string.h>

#include <ptq/spec.h>

#include "base/error.h"
#include "pool/line.h"

/* What comes out of a level of stages, or goes into the first. */
struct flowing {
    ptq_spec *spec; /* of each message; NULL: not known, or not the same of all */
    uint64_t size;  /* of the largest; 0: not known */
};

/* One stage of a level more. */
static void add(struct flowing *all, ptq_spec *out, bool first)
{
    uint64_t size = ptq_spec_count(out) != 0 ? ptq_spec_size(out) : 0;
    bool same = first || (all->spec != NULL && ptq_spec_equal(all->spec, out));
    all->size = size == 0 || (!first && all->size == 0) ? 0 : size > all->size ? size : all->size;
    if (first && size != 0) {
        all->spec = out;
        return;
    }
    if (!same || size == 0) {
        ptq_spec_free(all->spec);
        all->spec = NULL;
    }
    ptq_spec_free(out);
}

/* What the stage gives for `in`: a new spec, empty if it does not say. */
static enum ptq_err ask(const struct ptq_stage *stage, const ptq_spec *in, struct ptq_error *error, ptq_spec **ret_out)
{
    enum ptq_err err = ptq_spec_new(ret_out);
    if (err != PTQ_OK || stage->describe == NULL)
        return err;
    err = stage->describe(stage, in, *ret_out);
    if (err == PTQ_OK)
        return PTQ_OK;
    ptq_spec_free(*ret_out);
    return pti_error(error, err, "stage '%s': its description answered: %s", stage->name, ptq_strerror(err));
}

static enum ptq_err take_size(const struct ptq_stage *stage, uint64_t size, const char *what, uint32_t *to, struct ptq_error *error)
{
    if (*to != 0 || size == 0)
        return PTQ_OK;
    if (size > PTI_LINE_SIZE_MAX)
        return pti_error(error, PTQ_EINVAL, "stage '%s' is described with %llu bytes in an %s, %u are the most", stage->name,
                         (unsigned long long)size, what, (unsigned)PTI_LINE_SIZE_MAX);
    *to = (uint32_t)size;
    return PTQ_OK;
}

static enum ptq_err describe_stage(struct ptq_stage *stage, const struct flowing *in, struct flowing *out, bool first, struct ptq_error *error)
{
    ptq_spec *given;
    enum ptq_err err = ask(stage, in->spec, error, &given);
    if (err != PTQ_OK)
        return err;
    err = take_size(stage, in->size, "input", &stage->item_size, error);
    if (err == PTQ_OK && ptq_spec_count(given) != 0)
        err = take_size(stage, ptq_spec_size(given), "output", &stage->output_size, error);
    add(out, given, first);
    return err;
}

enum ptq_err pti_line_describe(struct ptq_stage *stages, size_t count, const char *input, struct ptq_error *error)
{
    struct flowing in = {NULL, 0}, out = {NULL, 0};
    enum ptq_err err = input != NULL && input[0] != 0 ? ptq_spec_parse(input, error, &in.spec) : PTQ_OK;
    if (err == PTQ_OK && in.spec != NULL)
        in.size = ptq_spec_size(in.spec);
    for (size_t i = 0; i < count && err == PTQ_OK; i++) {
        bool first = i == 0 || !stages[i].beside;
        if (first && i != 0) {
            ptq_spec_free(in.spec);
            in = out;
            out = (struct flowing){NULL, 0};
        }
        err = describe_stage(&stages[i], &in, &out, first, error);
    }
    ptq_spec_free(in.spec);
    ptq_spec_free(out.spec);
    return err;
}

/* failure.c -- what went wrong, as a sentence. */
#include <stdio.h>
#include <string.h>

#include "process/life.h"

static bool is_of_a_run(enum ptq_section section)
{
    return section == PTQ_SECTION_PRERUN || section == PTQ_SECTION_RUN || section == PTQ_SECTION_POSTRUN;
}

static void name_run(char *text, size_t size, enum ptq_section section, uint64_t run)
{
    text[0] = '\0';
    if (is_of_a_run(section))
        (void)snprintf(text, size, " on run %llu", (unsigned long long)run);
}

void pti_failure_make(struct pti_failure *failure, enum ptq_err code, enum ptq_section section, uint64_t run, const char *why)
{
    char on[40];
    size_t size = sizeof failure->text;
    const char *name = ptq_section_name(section);
    failure->code = code;
    failure->section = section;
    failure->run = run;
    name_run(on, sizeof on, section, run);
    if (code == PTQ_TIMEDOUT)
        (void)snprintf(failure->text, size, "timeout in %s after %d ms%s%s%s", name, (int)failure->timeout_ms, on,
                       why != NULL ? ": " : "", why != NULL ? why : "");
    else if (section == PTQ_SECTION_NONE)
        (void)snprintf(failure->text, size, "%s", why);
    else if (code == PTQ_EFAILED)
        (void)snprintf(failure->text, size, "error in %s%s: %s", name, on, why);
    else
        (void)snprintf(failure->text, size, "%s in %s%s", why, name, on);
}

/* The other side wrote it: no number goes out that is not one of ours. */
static enum ptq_err code_of(uint32_t code)
{
    return code <= PTQ_ESYS ? (enum ptq_err)code : PTQ_EFAILED;
}

void pti_failure_show(const struct pti_failures *first, const struct pti_failures *second, struct ptq_process_error *ret_error)
{
    struct pti_failure failure;
    *ret_error = (struct ptq_process_error){.code = PTQ_OK};
    if (pti_failure_get(first, &failure)) {
        ret_error->code = code_of(failure.code);
        ret_error->section = failure.section < PTQ_SECTIONS ? (enum ptq_section)failure.section : PTQ_SECTION_NONE;
        ret_error->run = failure.run;
        ret_error->timeout_ms = failure.timeout_ms;
        ret_error->cause = code_of(failure.cause);
        memcpy(ret_error->text, failure.text, sizeof ret_error->text);
    }
    if (pti_failure_get(second, &failure)) {
        ret_error->second = code_of(failure.code == PTQ_EFAILED ? failure.cause : failure.code);
        memcpy(ret_error->second_text, failure.text, sizeof ret_error->second_text);
    }
}

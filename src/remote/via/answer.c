/* answer.c -- what the bridge says to a program, made and handed to the poster. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "remote/via/service.h"

uint8_t *pti_via_new_answer(const struct pti_via_job *job, uint32_t code, uint64_t value, size_t behind)
{
    struct pti_answer head = {.layout = PTI_ASK_LAYOUT, .code = code, .number = job->ask.number, .value = value};
    uint8_t *answer = malloc(sizeof head + behind);

    if (answer != NULL)
        memcpy(answer, &head, sizeof head);
    return answer;
}

void pti_via_answer(struct pti_via_service *service, struct pti_via_job *job, uint32_t code, uint64_t value)
{
    pti_via_post(service, job, pti_via_new_answer(job, code, value, 0), sizeof(struct pti_answer), false);
}

void pti_via_answer_why(struct pti_via_service *service, struct pti_via_job *job, uint32_t code, const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    uint8_t *answer = pti_via_new_answer(job, code, 0, length);

    if (answer != NULL) {
        memcpy(answer + sizeof(struct pti_answer), text, length);
        memcpy(answer + offsetof(struct pti_answer, text), &length, sizeof length);
    }
    pti_via_post(service, job, answer, sizeof(struct pti_answer) + length, false);
}

/* As the link explains it, where it does. */
void pti_via_answer_code(struct pti_via_job *job, enum ptq_err code, uint64_t value)
{
    struct pti_proxy *proxy = job->proxy;
    char why[400] = "";

    if (code != PTQ_OK && proxy->port->ops->explain != NULL)
        proxy->port->ops->explain(proxy->port, code, why, sizeof why);
    if (why[0] != '\0')
        pti_via_answer_why(proxy->service, job, code, why);
    else
        pti_via_answer(proxy->service, job, code, value);
}

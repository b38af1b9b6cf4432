/* families.h -- the families of figures that ptq tells, by the names they have in C. */
#ifndef PTQ_METRICS_FAMILIES_H
#define PTQ_METRICS_FAMILIES_H

#include "metrics/text.h"

enum pti_family_id {
#define FAMILY(id, type, name, unit, labels, who, help) PTI_FAMILY_##id,
#include "metrics/families.def"
#undef FAMILY
    PTI_FAMILIES
};

/* What follows is of this one. */
void pti_family_begin(struct pti_text *text, enum pti_family_id id);
/* The whole of one that has no labels. */
void pti_family_count(struct pti_text *text, enum pti_family_id id, uint64_t value);

#endif

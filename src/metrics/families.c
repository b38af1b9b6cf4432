/* families.c -- the table of families.def, and how one of it is begun. */
#include "metrics/families.h"

static const struct pti_family families[] = {
#define FAMILY(id, type, name, unit, labels, who, help) {PTI_##type, name, unit, help},
#include "metrics/families.def"
#undef FAMILY
};

void pti_family_begin(struct pti_text *text, enum pti_family_id id)
{
    pti_text_family(text, &families[id]);
}

void pti_family_count(struct pti_text *text, enum pti_family_id id, uint64_t value)
{
    pti_family_begin(text, id);
    pti_text_count(text, "", NULL, value);
}

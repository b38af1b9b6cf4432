/* memory_groups.c -- the groups that only shared memory can run. */
#include "contract/contract.h"

extern const struct contract_group group_fork, group_damage, group_space, group_limits, group_wrap, group_large, group_giant;
extern const struct contract_group group_lease, group_unit, group_large_others, group_large_garbage;

const struct contract_group *const contract_groups[] = {
    &group_lease, &group_unit,
    &group_fork, &group_damage, &group_space, &group_limits, &group_wrap, &group_large, &group_large_others,
    &group_large_garbage, &group_giant, NULL,
};

const struct contract_carrier *const contract_carriers[] = {&contract_local, &contract_general, NULL};

/* groups.c -- the groups that run over both carriers. */
#include "contract/contract.h"

extern const struct contract_group group_open, group_put, group_get, group_batch, group_loan, group_wait, group_end,
    group_life, group_many, group_descriptor, group_look, group_random,
    group_pb, group_ref, group_null,
    group_header, group_spec, group_policy, group_time, group_dead, group_peers,
    group_select, group_pack, group_differences;

const struct contract_group *const contract_groups[] = {
    &group_open, &group_put,  &group_get,  &group_batch,      &group_loan, &group_wait,   &group_end,
    &group_life, &group_many, &group_descriptor, &group_look, &group_random, &group_header, &group_spec,
    &group_policy, &group_time, &group_dead, &group_peers,
    &group_select, &group_pack, &group_differences,
#if CONTRACT_PB
    &group_pb,
#endif
    &group_ref, &group_null,
    NULL,
};

#if CONTRACT_REMOTE
const struct contract_carrier *const contract_carriers[] = {&contract_local, &contract_general, &contract_remote, &contract_ipc,
                                                           &contract_ws, &contract_tls, &contract_bridge, NULL};
#else
const struct contract_carrier *const contract_carriers[] = {&contract_local, &contract_general, NULL};
#endif

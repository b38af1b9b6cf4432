/* check.c -- what a bridge was told: is it right? */
#include "bus/bus.h"
#include "remote/access.h"
#include "remote/certs.h"
#include "remote/route.h"
#include "remote/server.h"

enum ptq_err pti_options_routes(const struct ptq_bridge_options *options, struct pti_routes *ret_routes)
{
    const struct {
        enum pti_rule_kind kind;
        const char *const *texts;
        size_t count;
    } lists[] = {{PTI_RULE_EXPORT, options->exports, options->export_count},
                 {PTI_RULE_IMPORT, options->imports, options->import_count},
                 {PTI_RULE_DENY, options->denies, options->deny_count},
                 {PTI_RULE_RENAME, options->renames, options->rename_count}};
    enum ptq_err answer = PTQ_OK;

    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (size_t j = 0; j < lists[i].count && answer == PTQ_OK; j++)
            answer = pti_routes_add(ret_routes, lists[i].kind, lists[i].texts[j], options->error);
    }
    return answer;
}

enum ptq_err pti_options_check(const struct ptq_bridge_options *options, bool far)
{
    struct pti_routes routes = {0};
    enum ptq_err answer = pti_options_routes(options, &routes);

    pti_routes_free(&routes);
    for (size_t i = 0; i < options->listen_count && answer == PTQ_OK; i++)
        answer = pti_access_check("listen on", options->listen[i], far, options->error);
    if (answer == PTQ_OK)
        answer = pti_peers_check(options->peers, options->peer_count, far, options->error);
    if (answer == PTQ_OK)
        answer = pti_moves_check(options, far);
    return answer;
}

/* Rules that cannot be read are a mistake here, though a bridge serves on without them: nobody may do anything then. */
enum ptq_err pti_options_check_rights(const char *keys, const struct ptq_bridge_options *options)
{
    char name[PTI_KEY_NAME];
    struct pti_grants grants = {0};
    enum ptq_err answer = keys != NULL ? pti_keys_name(keys, options->error, name) : PTQ_OK;

    for (size_t i = 0; i < options->listen_count && answer == PTQ_OK; i++) {
        if (pti_access_is_tls(options->listen[i]))
            answer = pti_certs_may_show(keys != NULL ? keys : "", options->listen[i], options->error);
    }
    for (size_t i = 0; i < options->rule_count && answer == PTQ_OK; i++)
        answer = pti_grants_add(&grants, &options->rules[i], options->error);
    if (answer == PTQ_OK && options->rules_file != NULL)
        answer = pti_grants_read(&grants, options->rules_file, options->error);
    pti_grants_free(&grants);
    return answer;
}

enum ptq_err ptq_bridge_check(const struct ptq_bus_options *bus, const struct ptq_bridge_options *options)
{
    const char *keys = bus != NULL && bus->keys != NULL && bus->keys[0] != '\0' ? bus->keys : NULL;

    if (options == NULL)
        return PTQ_EINVAL;
    enum ptq_err answer = pti_options_check(options, bus != NULL && (bus->insecure || (keys != NULL && pti_keys_can_prove(keys))));
    return answer == PTQ_OK ? pti_options_check_rights(keys, options) : answer;
}

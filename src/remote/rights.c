/* rights.c -- who may do what at this home: its keys and rules as they were given, and the answers to those who may not. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "remote/server.h"
#include "remote/share.h"

/* ---- what was given ---- */

/* Law: rules that cannot be read allow nothing. */
static void read_file(struct pti_server *server, const char *path, struct pti_grants *grants)
{
    struct ptq_error error = {0};

    if (pti_grants_read(grants, path, &error) != PTQ_OK)
        pti_server_log(server, PTQ_BRIDGE_ERROR, "component=access event=rules_unreadable file=\"%s\" why=\"%s\" effect=\"what it would allow is denied\"",
                       path, error.text);
}

static enum ptq_err read_rules(struct pti_server *server, const struct ptq_bridge_options *options, struct pti_grants *grants)
{
    char path[sizeof server->bus->keys + 8];

    for (size_t i = 0; i < options->rule_count; i++) {
        enum ptq_err answer = pti_grants_add(grants, &options->rules[i], options->error);
        if (answer != PTQ_OK)
            return answer;
    }
    snprintf(path, sizeof path, "%s/rules", server->bus->keys);
    if (options->rules_file != NULL)
        read_file(server, options->rules_file, grants);
    else if (server->bus->keys[0] != '\0' && options->rule_count == 0)
        read_file(server, path, grants);
    return PTQ_OK;
}

enum ptq_err pti_rights_open(struct pti_server *server, const struct ptq_bridge_options *options)
{
    bool keys = server->bus->keys[0] != '\0';
    enum ptq_err answer = keys ? pti_keys_name(server->bus->keys, options->error, server->key_name) : PTQ_OK;

    if (answer != PTQ_OK)
        return answer;
    server->grants.guarded = keys || options->guarded || options->rule_count > 0 || options->rules_file != NULL;
    answer = read_rules(server, options, &server->grants);
    if (answer == PTQ_OK && server->grants.guarded)
        pti_server_log(server, server->grants.count > 0 ? PTQ_BRIDGE_INFO : PTQ_BRIDGE_WARNING,
                       "component=access event=guarded identity=\"%s\" rules=%zu%s", server->key_name, server->grants.count,
                       server->grants.count == 0 ? " effect=\"nobody may do anything\"" : "");
    return answer;
}

/* Who may come to a socket is said by its mode, unless rules say it of users: then they decide. */
void pti_rights_share(const struct pti_server *server, const char *const *urls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strncmp(urls[i], "ipc://", 6) == 0 && pti_grants_name_users(&server->grants))
            (void)!chmod(urls[i] + 6, 0666);
    }
}

/* Law: a bridge that was guarded stays so. */
enum ptq_err pti_rights_read(struct pti_server *server, const struct ptq_bridge_options *options, struct pti_grants *ret_grants)
{
    *ret_grants = (struct pti_grants){.guarded = server->grants.guarded || options->rule_count > 0 || options->rules_file != NULL};
    return read_rules(server, options, ret_grants);
}

/* ---- questions ---- */

unsigned pti_session_rights(const struct pti_session *session, const char *here)
{
    return pti_grants_of(&session->server->grants, session->identity, here);
}

static const char *name_right(unsigned right)
{
    return right != 0 ? pti_right_name(right) : "see";
}

/* "may not ... queue 'tasks'" */
static const char *describe_right(unsigned right, uint32_t thing)
{
    if (thing != 0 && right != 0 && right != PTQ_RIGHT_ADMIN)
        return right == PTQ_RIGHT_PUT ? "change" : "read";
    return right == PTQ_RIGHT_PUT ? "put into" : right == PTQ_RIGHT_GET ? "get from" : right == PTQ_RIGHT_ADMIN ? "make or administer"
           : right == 0           ? "see"
                                  : "look at";
}

enum ptq_err pti_session_explain_denial(struct pti_session *session, uint32_t thing, const char *name, unsigned right,
                                        struct ptq_error *error)
{
    const char *node = session->server->bus->node, *what = describe_right(right, thing), *word = pti_thing_word(thing);
    const char *rule = right != 0 ? name_right(right) : "peek";

    if (session->identity[0] == '\0')
        return pti_error(error, PTQ_EPERM, "nobody in particular may %s %s '%s' at '%s': connect with a key (PTQ_KEYS), or let '* %s %s' "
                         "stand among the rules of its ptqbridge", what, word, name, node, name, rule);
    return pti_error(error, PTQ_EPERM,
                     "'%s' may not %s %s '%s' at '%s': no rule allows it; '%s %s %s' among the rules of its ptqbridge would", session->identity, what, word, name, node, session->identity, name, rule);
}

enum ptq_err pti_session_deny(struct pti_session *session, uint32_t thing, const char *name, unsigned right, struct ptq_error *error)
{
    struct pti_server *server = session->server;
    const char *word = name_right(right);

    if (pti_refusals_note(server, PTI_REFUSED_RIGHT, session->identity, name, word))
        pti_server_log(server, PTQ_BRIDGE_WARNING,
                       "component=access event=denied identity=\"%s\" %s=%s right=%s session=%llu why=\"no rule allows it\" "
                       "again=\"is counted, not said\"",
                       session->identity, pti_thing_word(thing), name, word, (unsigned long long)session->number);
    return pti_session_explain_denial(session, thing, name, right, error);
}

bool pti_channel_may(struct pti_channel *channel, unsigned right, struct ptq_error *error)
{
    if ((channel->rights & right) != 0)
        return true;
    (void)!pti_session_deny(channel->session, channel->thing, channel->name, right, error);
    return false;
}

/* routes.h -- which queues of a bus others see, which of others are seen here, and under which names.
 *
 * A rename has two names: what a queue is called here, in this bus, and there, by other hosts.  Globs are of names as
 * they are here.  Law: a name there leads to one queue here and back to itself, or nowhere.
 */
#ifndef PTQ_BUS_ROUTES_H
#define PTQ_BUS_ROUTES_H

#include <stdbool.h>
#include <stdio.h>

#include <ptq/err.h>
#include <ptq/queue.h>

enum pti_rule_kind { PTI_RULE_EXPORT, PTI_RULE_IMPORT, PTI_RULE_DENY, PTI_RULE_RENAME };

struct pti_rule {
    enum pti_rule_kind kind;
    char here[PTQ_NAME_MAX + 1], there[PTQ_NAME_MAX + 1]; /* there: of a rename */
};

/* All zero: everything is exported and imported as it is called. */
struct pti_routes {
    struct pti_rule *rules;
    size_t count;
};

/* One more: a glob, or "HERE=THERE" with one * in both or in none.  PTQ_EINVAL with a sentence, PTQ_ENOMEM. */
enum ptq_err pti_routes_add(struct pti_routes *routes, enum pti_rule_kind kind, const char *text, struct ptq_error *error);
void pti_routes_free(struct pti_routes *routes);

/* Is it a glob of names of queues? */
bool pti_routes_is_glob(const char *text);

bool pti_routes_renames(const struct pti_routes *routes);

/* What others call the queue `here`, if it is exported. */
bool pti_routes_export(const struct pti_routes *routes, const char *here, char ret_there[PTQ_NAME_MAX + 1]);
/* Which queue others mean by `there`, if it is exported. */
bool pti_routes_serve(const struct pti_routes *routes, const char *there, char ret_here[PTQ_NAME_MAX + 1]);
/* Likewise of queues of others: what is called `there` among them, and what is called `here` in this bus. */
bool pti_routes_import(const struct pti_routes *routes, const char *there, char ret_here[PTQ_NAME_MAX + 1]);
bool pti_routes_seek(const struct pti_routes *routes, const char *here, char ret_there[PTQ_NAME_MAX + 1]);
/* What the queue `here` is called where it is carried to, if it is not denied. */
bool pti_routes_carry(const struct pti_routes *routes, const char *here, char ret_there[PTQ_NAME_MAX + 1]);

/* What concerns imports, as lines: for the processes of this host (queue/peers.c).  read: passes over other lines. */
void pti_routes_write(const struct pti_routes *routes, FILE *file);
enum ptq_err pti_routes_read(struct pti_routes *routes, const char *text);

#endif

/* grants.c -- who may do what with which queues: rules {identity, queues, rights}; what no rule allows is denied. */
#include "remote/grants.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/bus.h"
#include "bus/routes.h"

#define FILE_BYTES_MOST (1u << 20)

static const struct {
    const char *name;
    unsigned right;
} words[] = {{"put", PTQ_RIGHT_PUT}, {"get", PTQ_RIGHT_GET}, {"peek", PTQ_RIGHT_PEEK}, {"admin", PTQ_RIGHT_ADMIN}, {"all", PTI_RIGHTS_ALL}};

const char *pti_right_name(unsigned right)
{
    for (size_t i = 0; i < 4; i++) {
        if ((words[i].right & right) != 0)
            return words[i].name;
    }
    return "";
}

/* ---- one rule ---- */

/* A node's name, or "uid:" and a number, or a glob of those. */
static bool is_identity_glob(const char *text)
{
    return text[0] != '\0' && strlen(text) < PTI_IDENTITY_BYTES &&
           pti_routes_is_glob(strncmp(text, "uid:", 4) == 0 ? text + 4 : text);
}

enum ptq_err pti_grants_add(struct pti_grants *grants, const struct ptq_bridge_rule *rule, struct ptq_error *error)
{
    if (rule->identity == NULL || !is_identity_glob(rule->identity))
        return pti_error(error, PTQ_EINVAL, "rule '%.100s': that is no identity; it may be the name of a node, uid:NUMBER, or a glob of these",
                         rule->identity != NULL ? rule->identity : "");
    if (rule->queues == NULL || !pti_routes_is_glob(rule->queues))
        return pti_error(error, PTQ_EINVAL, "rule for '%s': '%.200s' is no glob of names of queues, as 'tasks' or 'jobs-*'", rule->identity,
                         rule->queues != NULL ? rule->queues : "");
    if (rule->rights == 0 || (rule->rights & ~(unsigned)PTI_RIGHTS_ALL) != 0)
        return pti_error(error, PTQ_EINVAL, "rule for '%s': it gives no right; say put, get, peek, admin, several with a comma between, or all",
                         rule->identity);
    struct pti_grant *grown = realloc(grants->items, (grants->count + 1) * sizeof *grown);
    if (grown == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for rules");
    grants->items = grown;
    struct pti_grant *grant = &grown[grants->count++];
    snprintf(grant->identity, sizeof grant->identity, "%s", rule->identity);
    snprintf(grant->queues, sizeof grant->queues, "%s", rule->queues);
    grant->rights = rule->rights;
    return PTQ_OK;
}

/* ---- a file ---- */

/* "put,get"; 0: one of them is no right. */
static unsigned read_rights(char *text)
{
    unsigned rights = 0;
    char *rest = NULL;

    for (char *word = strtok_r(text, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        unsigned right = 0;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            right |= strcmp(word, words[i].name) == 0 ? words[i].right : 0;
        if (right == 0)
            return 0;
        rights |= right;
    }
    return rights;
}

static enum ptq_err read_line(struct pti_grants *grants, char *line, struct ptq_error *error)
{
    char *parts[4] = {NULL}, *rest = NULL;
    size_t count = 0;

    line[strcspn(line, "#")] = '\0';
    for (char *part = strtok_r(line, " \t\r", &rest); part != NULL; part = strtok_r(NULL, " \t\r", &rest)) {
        if (count == 3)
            return pti_error(error, PTQ_EINVAL, "there is more than IDENTITY QUEUES RIGHTS, as 'west jobs-* put,get'");
        parts[count++] = part;
    }
    if (count == 0)
        return PTQ_OK;
    if (count < 3)
        return pti_error(error, PTQ_EINVAL, "there is less than IDENTITY QUEUES RIGHTS, as 'west jobs-* put,get'");
    struct ptq_bridge_rule rule = {parts[0], parts[1], read_rights(parts[2])};
    return pti_grants_add(grants, &rule, error);
}

static enum ptq_err read_text(struct pti_grants *grants, const char *path, char *text, struct ptq_error *error)
{
    struct ptq_error why = {0};
    enum ptq_err answer = PTQ_OK;
    size_t number = 0;

    while (text != NULL && answer == PTQ_OK) {
        char *line = strsep(&text, "\n");
        number++;
        answer = read_line(grants, line, &why);
    }
    return answer == PTQ_OK ? PTQ_OK : pti_error(error, answer, "%s:%zu: %s", path, number, why.text);
}

/* Whoever can write it could give himself rights. */
static enum ptq_err open_file(const char *path, struct ptq_error *error, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat facts;

    if (fd < 0)
        return pti_error(error, errno == ENOENT || errno == ENOTDIR ? PTQ_ENOENT : PTQ_EPERM, "cannot read the rules '%s': %s", path,
                         strerror(errno));
    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size > FILE_BYTES_MOST) {
        close(fd);
        return pti_error(error, PTQ_EINVAL, "the rules '%s' are no file, or too long a one", path);
    }
    if ((facts.st_mode & 022) != 0 || (facts.st_uid != geteuid() && facts.st_uid != 0)) {
        close(fd);
        return pti_error(error, PTQ_EPERM, "others may write the rules '%s': chmod go-w it, and look whether they did", path);
    }
    *ret_fd = fd;
    return PTQ_OK;
}

static enum ptq_err load(int fd, const char *path, struct ptq_error *error, char **ret_text)
{
    char *text = malloc(FILE_BYTES_MOST + 1);
    size_t size = 0;
    ssize_t part = 1;

    while (text != NULL && part > 0 && size < FILE_BYTES_MOST) {
        part = read(fd, text + size, FILE_BYTES_MOST - size);
        size += part > 0 ? (size_t)part : 0;
    }
    if (text == NULL || part < 0 || memchr(text, '\0', size) != NULL) {
        free(text);
        return pti_error(error, text == NULL ? PTQ_ENOMEM : PTQ_EINVAL, "the rules '%s' cannot be read, or are no text", path);
    }
    text[size] = '\0';
    *ret_text = text;
    return PTQ_OK;
}

enum ptq_err pti_grants_read(struct pti_grants *grants, const char *path, struct ptq_error *error)
{
    size_t before = grants->count;
    char *text = NULL;
    int fd = -1;

    enum ptq_err answer = open_file(path, error, &fd);
    if (answer != PTQ_OK)
        return answer;
    answer = load(fd, path, error, &text);
    close(fd);
    if (answer != PTQ_OK)
        return answer;
    answer = read_text(grants, path, text, error);
    if (answer != PTQ_OK)
        grants->count = before;
    free(text);
    return answer;
}

void pti_grants_free(struct pti_grants *grants)
{
    free(grants->items);
    *grants = (struct pti_grants){0};
}

/* ---- questions ---- */

unsigned pti_grants_of(const struct pti_grants *grants, const char *identity, const char *queue)
{
    unsigned rights = 0;

    if (!grants->guarded)
        return PTI_RIGHTS_ALL;
    for (size_t i = 0; i < grants->count; i++) {
        const struct pti_grant *grant = &grants->items[i];
        if (fnmatch(grant->identity, identity, 0) == 0 && fnmatch(grant->queues, queue, 0) == 0)
            rights |= grant->rights;
    }
    return rights;
}

bool pti_grants_name_users(const struct pti_grants *grants)
{
    for (size_t i = 0; i < grants->count; i++) {
        if (strncmp(grants->items[i].identity, "uid:", 4) == 0)
            return true;
    }
    return false;
}

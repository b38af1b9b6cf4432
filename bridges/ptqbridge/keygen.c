/* keygen.c -- ptqbridge keygen: keys for hosts that are to know each other.
 *
 *      DIR/NODE/node.key          the secret of NODE; what it has with each other is derived from it
 *      DIR/NODE/peers/OTHER.key   what OTHER proves itself with to NODE
 *      DIR/NODE/rules             who may do what there
 *      and certificates, where openssl(1) is: certs.c
 *
 * DIR is kept where nobody else comes; DIR/NODE goes to NODE.  What is there is never written over, so a host is added by
 * the same command with its name behind the others.
 */
#include "keygen.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbedtls/md.h>

#include "certs.h"
#include "common/say.h"

#define NODES_MOST 256
#define KEY_BYTES 32
#define NAME_MOST 63
#define PLACE "/etc/ptq/keys" /* at a host */
#define HEX_BYTES (2 * KEY_BYTES + 1)

const struct tool_usage keygen_usage = {
    .name = "keygen",
    .operands = "DIR NODE...",
    .summary = "make keys for hosts that are to know each other",
    .text = "Makes DIR/NODE for each of them: copy what is in it to that host, as /etc/ptq/keys, for the user of its programs alone, and "
            "name that to ptqbridge by --keys and to programs by PTQ_KEYS.  Keep DIR itself where nobody else comes.  What is there is never "
            "written over: a host is added by the same command with its name behind the others.",
    .examples = "ptqbridge keygen /root/ptq-keys east west",
    .options = (const struct tool_option[]){{0}}};

struct vault {
    const char *dir;
    const char *nodes[NODES_MOST]; /* all that are there now; the first `asked` were asked for */
    uint8_t secrets[NODES_MOST][KEY_BYTES];
    bool new[NODES_MOST];
    size_t count, asked;
    bool tls; /* there are certificates */
};

/* ---- files ---- */

/* False, and said why.  One that is there stays as it is. */
static bool make_dir(const char *path)
{
    struct stat facts;

    if (mkdir(path, 0700) == 0)
        return true;
    if (errno != EEXIST || stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        tool_error(path, "cannot make this folder: %s", strerror(errno));
        return false;
    }
    if ((facts.st_mode & 077) != 0) {
        tool_error(path, "others may look into this folder - chmod 700 it, or name another");
        return false;
    }
    return true;
}

/* Whole, or not at all: it gets its name when all of it is there.  *ret_new: it was not there before. */
static bool make_file(const char *path, const char *text, size_t size, bool *ret_new)
{
    char half[4200];
    bool good;

    *ret_new = false;
    snprintf(half, sizeof half, "%s.%d", path, (int)getpid());
    int fd = open(half, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    good = fd >= 0 && write(fd, text, size) == (ssize_t)size && fsync(fd) == 0;
    if (fd >= 0)
        good = close(fd) == 0 && good;
    if (good && link(half, path) == 0)
        *ret_new = true;
    else if (good)
        good = errno == EEXIST;
    if (!good)
        tool_error(path, "cannot write it: %s", strerror(errno));
    unlink(half);
    return good;
}

/* ---- secrets ---- */

static void write_hex(const uint8_t secret[KEY_BYTES], char hex[HEX_BYTES])
{
    for (size_t i = 0; i < KEY_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", secret[i]);
}

static bool read_hex(const char *hex, uint8_t secret[KEY_BYTES])
{
    for (size_t i = 0; i < KEY_BYTES; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i] != '\0' ? hex[2 * i + 1] : '\0', '\0'}, *end;
        secret[i] = (uint8_t)strtoul(pair, &end, 16);
        if (end != pair + 2 || pair[0] == '+' || pair[0] == '-' || pair[0] == ' ')
            return false;
    }
    return true;
}

/* The one that is there, or one that is drawn now. */
static bool read_secret(const char *path, const char *node, uint8_t secret[KEY_BYTES])
{
    char text[400] = "", head[100];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;

    if (fd >= 0)
        close(fd);
    snprintf(head, sizeof head, "ptq-key-1 %s ", node);
    bool good = size > 0 && strncmp(text, head, strlen(head)) == 0 && read_hex(text + strlen(head), secret);
    explicit_bzero(text, sizeof text);
    if (!good)
        tool_error(path, "this is no key of '%s' - take it away if it is of no use, and call keygen again", node);
    return good;
}

static bool make_secret(const char *path, const char *node, uint8_t secret[KEY_BYTES], bool *ret_new)
{
    char text[400], hex[HEX_BYTES];

    if (access(path, F_OK) != 0) {
        if (getrandom(secret, KEY_BYTES, 0) != (ssize_t)KEY_BYTES) {
            tool_error(path, "no random numbers: %s", strerror(errno));
            return false;
        }
        write_hex(secret, hex);
        snprintf(text, sizeof text, "ptq-key-1 %s %s\n", node, hex);
        bool good = make_file(path, text, strlen(text), ret_new);
        explicit_bzero(text, sizeof text);
        explicit_bzero(hex, sizeof hex);
        if (!good)
            return false;
    }
    return read_secret(path, node, secret); /* as it is there, whoever made it */
}

/* ---- one host ---- */

static bool make_node(struct vault *vault, size_t index)
{
    char path[4100];

    snprintf(path, sizeof path, "%s/%s", vault->dir, vault->nodes[index]);
    if (!make_dir(path))
        return false;
    snprintf(path, sizeof path, "%s/%s/peers", vault->dir, vault->nodes[index]);
    if (!make_dir(path))
        return false;
    snprintf(path, sizeof path, "%s/%s/node.key", vault->dir, vault->nodes[index]);
    return make_secret(path, vault->nodes[index], vault->secrets[index], &vault->new[index]);
}

/* As docs/wire.md says. */
static bool derive(const uint8_t secret[KEY_BYTES], const char *home, uint8_t ret_key[KEY_BYTES])
{
    char text[sizeof "ptq-home-1" + NAME_MOST] = "ptq-home-1";

    memcpy(text + sizeof "ptq-home-1", home, strlen(home));
    return mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), secret, KEY_BYTES, (const unsigned char *)text,
                           sizeof "ptq-home-1" + strlen(home), ret_key) == 0;
}

/* What `far` proves itself with to `home`.  One of an older secret of `far` is worth nothing, and said to be so. */
static bool make_peer(const struct vault *vault, size_t home, size_t far)
{
    char path[4100], text[400], hex[HEX_BYTES], there[sizeof text] = "";
    uint8_t key[KEY_BYTES];
    bool new;

    if (!derive(vault->secrets[far], vault->nodes[home], key)) {
        tool_error(NULL, "no memory");
        return false;
    }
    write_hex(key, hex);
    snprintf(text, sizeof text, "ptq-peer-key-1 %s@%s %s\n", vault->nodes[far], vault->nodes[home], hex);
    snprintf(path, sizeof path, "%s/%s/peers/%s.key", vault->dir, vault->nodes[home], vault->nodes[far]);
    bool good = make_file(path, text, strlen(text), &new);
    int fd = good && !new ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)!read(fd, there, sizeof there - 1);
        close(fd);
        if (strcmp(there, text) != 0)
            tool_error(path, "it is not made of the key of '%s' that is here: %s would not let it in - take it away and call keygen again",
                       vault->nodes[far], vault->nodes[home]);
        good = strcmp(there, text) == 0;
    } else if (new) {
        printf("made %s\n", path);
    }
    explicit_bzero(key, sizeof key);
    explicit_bzero(hex, sizeof hex);
    explicit_bzero(text, sizeof text);
    explicit_bzero(there, sizeof there);
    return good;
}

static bool make_rules(const struct vault *vault, size_t home)
{
    char path[4100], *text = NULL;
    size_t size = 0;
    bool new = false;
    FILE *file = open_memstream(&text, &size);

    if (file == NULL)
        return false;
    fprintf(file, "# Who may do what with the queues of %s: IDENTITY QUEUES RIGHTS, globs; rights are put, get, peek, admin, or all.\n"
                  "# Rules add up; what none allows is denied.  admin is to make, purge, pause, kick.  uid:NUMBER is a user of this host, over ipc.\n",
            vault->nodes[home]);
    for (size_t i = 0; i < vault->count; i++)
        fprintf(file, "%s * all\n", vault->nodes[i]);
    fprintf(file, "uid:%u * all\n", (unsigned)getuid());
    bool good = fclose(file) == 0;
    snprintf(path, sizeof path, "%s/%s/rules", vault->dir, vault->nodes[home]);
    good = good && make_file(path, text, size, &new);
    if (new)
        printf("made %s\n", path);
    free(text);
    return good;
}

/* ---- all of them ---- */

static bool is_name(const char *text)
{
    return text[0] != '\0' && text[0] != '.' && strlen(text) <= NAME_MOST &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == strlen(text);
}

static bool is_there(const struct vault *vault, const char *node)
{
    for (size_t i = 0; i < vault->count; i++) {
        if (strcmp(vault->nodes[i], node) == 0)
            return true;
    }
    return false;
}

/* False, and said why. */
static bool add_other(struct vault *vault, const char *node)
{
    if (vault->count == NODES_MOST) {
        tool_error(vault->dir, "there are more than %d hosts in this folder, and nothing is made for some of them only - keep those "
                   "that need not know each other in folders of their own", NODES_MOST);
        return false;
    }
    char *name = strdup(node);
    if (name == NULL) {
        tool_error(vault->dir, "out of memory - nothing was made; end other programs and call it again");
        return false;
    }
    vault->nodes[vault->count++] = name;
    return true;
}

/* Those who were made before: whoever is new gets to know them. */
static bool find_others(struct vault *vault)
{
    DIR *dir = opendir(vault->dir);
    struct dirent *entry;
    char path[4100];
    bool good = dir != NULL;

    if (!good)
        tool_error(vault->dir, "cannot look into this folder: %s", strerror(errno));
    while (good && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "%s/%s/node.key", vault->dir, entry->d_name);
        if (is_name(entry->d_name) && !is_there(vault, entry->d_name) && access(path, F_OK) == 0)
            good = add_other(vault, entry->d_name);
    }
    if (dir != NULL)
        closedir(dir);
    return good;
}

static bool make_all(struct vault *vault)
{
    bool good = make_dir(vault->dir) && find_others(vault);

    for (size_t i = 0; i < vault->count && good; i++)
        good = make_node(vault, i);
    for (size_t i = 0; i < vault->count && good; i++) {
        if (vault->new[i])
            printf("made %s/%s/node.key\n", vault->dir, vault->nodes[i]);
    }
    for (size_t home = 0; home < vault->count && good; home++) {
        for (size_t far = 0; far < vault->count && good; far++) /* a host's own programs may dial its bridge */
            good = make_peer(vault, home, far);
        good = good && make_rules(vault, home);
    }
    explicit_bzero(vault->secrets, sizeof vault->secrets);
    vault->tls = good && certs_can();
    return good && (!vault->tls || certs_make(vault->dir, vault->nodes, vault->count));
}

static void say_what_to_do(const struct vault *vault)
{
    const char *one = vault->nodes[0], *other = vault->count > 1 ? vault->nodes[1] : vault->nodes[0];

    printf("\nCopy what is in each folder to its host, for the user there (ptq, if it is the service's) alone; keep %s where nobody else comes:\n",
           vault->dir);
    for (size_t i = 0; i < vault->asked; i++)
        printf("    tar -C %s/%s -c . | ssh root@%s 'mkdir -pm 700 " PLACE " && tar -C " PLACE " -x --keep-newer-files && chown -R ptq: " PLACE "'\n",
               vault->dir, vault->nodes[i], vault->nodes[i]);
    printf("The same line brings what is new later on; what was changed there since, as the rules, stays.\n");
    const char *scheme = vault->tls ? "tls+tcp" : "tcp";

    printf("\nThen two lines make two hosts talk; on %s, and on %s:\n"
           "    ptqbridge --keys " PLACE " --listen %s://0.0.0.0:7400\n"
           "    PTQ_KEYS=" PLACE " PTQ_PEERS=%s=%s://%s:7400 ptq info tasks@%s\n",
           one, other, scheme, one, scheme, one, one);
    if (vault->tls)
        printf("\nCertificates are good for %d days: to renew one, take node.pem away and call this again.\n", CERT_NODE_DAYS);
    else
        printf("\nThere is no openssl(1) here, so there are keys and no certificates: what is carried is not encrypted.\n");
    if (vault->count > vault->asked)
        printf("\nThose that were here before do not know the new ones by their rules: add lines as '%s * put,get' there, and bring them what is new in their folders.\n", one);
    printf("\nWho may do what at a host stands in its file rules: at first each of these may do everything.\n");
}

int keygen(int argc, char **argv)
{
    static struct vault vault;
    int first = tool_read_operands(&keygen_usage, argc, argv, &vault, 2, 2 + NODES_MOST / 2);

    vault = (struct vault){.dir = argv[first]};
    if (strlen(vault.dir) > 3000)
        return tool_misuse("keygen", "the path of the folder is too long");
    for (int i = first + 1; i < argc; i++) {
        if (!is_name(argv[i]))
            return tool_misuse("keygen", "'%s' is no name of a host: use up to %d of [A-Za-z0-9._-], not beginning with a dot", argv[i],
                               NAME_MOST);
        if (is_there(&vault, argv[i]))
            return tool_misuse("keygen", "'%s' is named twice", argv[i]);
        vault.nodes[vault.count++] = argv[i];
    }
    vault.asked = vault.count;
    bool good = make_all(&vault);
    if (good)
        say_what_to_do(&vault);
    for (size_t i = vault.asked; i < vault.count; i++)
        free((void *)(uintptr_t)vault.nodes[i]);
    return good ? tool_finish() : TOOL_ERROR;
}

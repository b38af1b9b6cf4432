/* keys.c -- who we are to other hosts, and who they are to us: a folder of keys, as ptqbridge keygen makes it. */
#include "remote/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/bus.h"

#define FILE_BYTES 400u
#define OWN "ptq-key-1 "
#define PEER "ptq-peer-key-1 "

/* ---- files ---- */

static enum ptq_err check_file(int fd, const char *path, struct ptq_error *error)
{
    struct stat facts;

    if (fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode))
        return pti_error(error, PTQ_EINVAL, "the key '%s' is no file", path);
    if (facts.st_uid != geteuid() && facts.st_uid != 0)
        return pti_error(error, PTQ_EPERM, "the key '%s' belongs to another user (%u), who could change it: chown it", path,
                         (unsigned)facts.st_uid);
    if ((facts.st_mode & 077) != 0)
        return pti_error(error, PTQ_EPERM, "others may read the key '%s' (mode %04o): chmod 600 it, and make a new one if they did", path,
                         (unsigned)facts.st_mode & 07777);
    return PTQ_OK;
}

/* No stdio: its buffers would keep a copy. */
static enum ptq_err read_file(const char *path, char text[FILE_BYTES], struct ptq_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return pti_error(error, errno == ENOENT || errno == ENOTDIR ? PTQ_ENOENT : PTQ_EPERM, "cannot read the key '%s': %s", path,
                         strerror(errno));
    enum ptq_err answer = check_file(fd, path, error);
    ssize_t size = answer == PTQ_OK ? read(fd, text, FILE_BYTES - 1) : 0;
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    return answer;
}

/* ---- lines ---- */

static int digit(char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* 64 digits, and the end of the line. */
static bool read_secret(const char *text, uint8_t secret[PTI_KEY_BYTES])
{
    for (size_t i = 0; i < PTI_KEY_BYTES; i++) {
        int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);
        if (low < 0)
            return false;
        secret[i] = (uint8_t)(high << 4 | low);
    }
    return strcmp(text + 2 * PTI_KEY_BYTES, "\n") == 0 || text[2 * PTI_KEY_BYTES] == '\0';
}

/* "<kind><name> <secret>"; `name` is what stands there. */
static bool read_line(const char *text, const char *kind, char *name, size_t room, uint8_t secret[PTI_KEY_BYTES])
{
    size_t head = strlen(kind), length = strncmp(text, kind, head) == 0 ? strcspn(text + head, " \n") : 0;

    if (length == 0 || length >= room || text[head + length] != ' ')
        return false;
    memcpy(name, text + head, length);
    name[length] = '\0';
    return read_secret(text + head + length + 1, secret);
}

static enum ptq_err malformed(struct ptq_error *error, const char *path)
{
    return pti_error(error, PTQ_EINVAL, "'%s' is no key as ptqbridge keygen makes them: copy it again from where it was made", path);
}

/* ---- keys ---- */

enum ptq_err pti_keys_own(const char *folder, struct ptq_error *error, struct pti_key *ret_key)
{
    char path[500], text[FILE_BYTES];
    struct pti_key key = {{0}, {0}};

    snprintf(path, sizeof path, "%s/node.key", folder);
    enum ptq_err answer = read_file(path, text, error);
    if (answer == PTQ_OK && (!read_line(text, OWN, key.name, sizeof key.name, key.secret) || !pti_name_is_valid(key.name)))
        answer = malformed(error, path);
    if (answer == PTQ_OK)
        *ret_key = key;
    pti_wipe(text, sizeof text);
    pti_wipe(&key, sizeof key);
    return answer;
}

enum ptq_err pti_keys_peer(const char *folder, const char *peer, const char *home, struct ptq_error *error,
                           struct pti_key *ret_key)
{
    char path[600], text[FILE_BYTES], wanted[2 * PTI_KEY_NAME + 2], name[sizeof wanted];
    struct pti_key key = {{0}, {0}};

    snprintf(path, sizeof path, "%s/peers/%s.key", folder, peer);
    snprintf(wanted, sizeof wanted, "%s@%s", peer, home);
    enum ptq_err answer = read_file(path, text, error);
    if (answer == PTQ_OK && !read_line(text, PEER, name, sizeof name, key.secret))
        answer = malformed(error, path);
    if (answer == PTQ_OK && strcmp(name, wanted) != 0)
        answer = pti_error(error, PTQ_EINVAL, "'%s' is the key of %s, and not of %s", path, name, wanted);
    if (answer == PTQ_OK) {
        snprintf(key.name, sizeof key.name, "%s", peer);
        *ret_key = key;
    }
    pti_wipe(text, sizeof text);
    pti_wipe(&key, sizeof key);
    return answer;
}

static bool has(const char *folder, const char *file)
{
    char path[500];

    snprintf(path, sizeof path, "%s/%s", folder, file);
    return access(path, F_OK) == 0;
}

bool pti_keys_can_prove(const char *folder)
{
    return folder[0] != '\0' && has(folder, "node.key");
}

enum ptq_err pti_keys_check_tls(const char *folder, const char *url, struct ptq_error *error)
{
    char path[500];

    if (folder[0] == '\0' || !has(folder, "ca.crt") || !has(folder, "node.pem"))
        return pti_error(error, PTQ_EINVAL, "'%s': tls needs ca.crt and node.pem in the folder of keys (%s): ptqbridge keygen makes them where openssl(1) is (--keys, PTQ_KEYS); or go through the ptqbridge of this host (PTQ_VIA=bridge)",
                         url, folder[0] != '\0' ? folder : "none is named");
    snprintf(path, sizeof path, "%s/node.pem", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return pti_error(error, PTQ_EPERM, "cannot read the certificate '%s': %s", path, strerror(errno));
    enum ptq_err answer = check_file(fd, path, error);
    close(fd);
    return answer;
}

enum ptq_err pti_keys_name(const char *folder, struct ptq_error *error, char ret_name[PTI_KEY_NAME])
{
    struct pti_key key;
    enum ptq_err answer = pti_keys_own(folder, error, &key);

    if (answer == PTQ_OK)
        memcpy(ret_name, key.name, PTI_KEY_NAME);
    if (answer == PTQ_ENOENT && has(folder, "node.pem")) {
        ret_name[0] = '\0';
        return PTQ_OK;
    }
    if (answer == PTQ_ENOENT)
        answer = pti_error(error, PTQ_EINVAL, "there is no key in '%s': it is to be the folder that ptqbridge keygen made for this host (--keys, PTQ_KEYS)",
                           folder);
    pti_wipe(&key, sizeof key);
    return answer;
}

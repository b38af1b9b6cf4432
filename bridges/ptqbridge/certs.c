/* certs.c -- certificates for tls, by openssl(1): an authority of our own, and one certificate a host.
 *
 *      DIR/ca.key, DIR/ca.crt     the authority: whoever has ca.key can be anybody
 *      DIR/NODE/ca.crt            whom NODE believes
 *      DIR/NODE/node.pem          its certificate, with CN and DNS name NODE, for both ends of a link, and the key of that
 *
 * Everything is made in a folder of its own and gets its name when it is whole; what is there is left as it is.
 */
#include "certs.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/say.h"

#define PATH_BYTES 4300
extern char **environ;

struct workshop {
    const char *dir;
    char place[3100]; /* where the unfinished lies */
};

static const char *path_of(const char *folder, const char *file, char buffer[PATH_BYTES])
{
    snprintf(buffer, PATH_BYTES, "%s/%s", folder, file);
    return buffer;
}

/* ---- openssl ---- */

/* What it says goes to `log` ("": nowhere); its exit code, -1: it did not run. */
static int run(const char *const *words, const char *log)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status = -1;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, log[0] != '\0' ? log : "/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int failed = posix_spawnp(&pid, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool certs_can(void)
{
    return run((const char *const[]){"openssl", "version", NULL}, "") == 0;
}

static bool ask_openssl(const struct workshop *shop, const char *const *words)
{
    char log[PATH_BYTES], line[300] = "";

    if (run(words, path_of(shop->place, "log", log)) == 0)
        return true;
    FILE *file = fopen(log, "re");
    if (file != NULL) {
        for (char part[300]; fgets(part, sizeof part, file) != NULL;)
            snprintf(line, sizeof line, "%.*s", (int)strcspn(part, "\n"), part);
        fclose(file);
    }
    tool_error(shop->dir, "openssl %s failed: %s", words[1], line[0] != '\0' ? line : "it said nothing");
    return false;
}

/* ---- files ---- */

static bool append(int to, const char *path)
{
    char bytes[8192];
    int from = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = from >= 0 ? read(from, bytes, sizeof bytes) : -1;
    bool good = size > 0 && size < (ssize_t)sizeof bytes && write(to, bytes, (size_t)size) == size;

    if (from >= 0)
        close(from);
    explicit_bzero(bytes, sizeof bytes);
    return good;
}

/* One file of one or two others, under its name when it is whole.  One that is there stays. */
static bool finish(const struct workshop *shop, const char *one, const char *other, const char *name)
{
    char whole[PATH_BYTES], path[PATH_BYTES];
    int fd = open(path_of(shop->place, "whole", whole), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && append(fd, path_of(shop->place, one, path)) &&
                (other == NULL || append(fd, path_of(shop->place, other, path))) && fsync(fd) == 0;

    if (fd >= 0)
        good = close(fd) == 0 && good;
    if (good && link(whole, name) == 0)
        printf("made %s\n", name);
    else if (good)
        good = errno == EEXIST;
    if (!good)
        tool_error(name, "cannot write it: %s", strerror(errno));
    unlink(whole);
    return good;
}

static bool copy_in(const struct workshop *shop, const char *path, const char *name)
{
    char to[PATH_BYTES];
    int fd = open(path_of(shop->place, name, to), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool good = fd >= 0 && append(fd, path);

    if (fd >= 0)
        good = close(fd) == 0 && good;
    if (!good)
        tool_error(path, "cannot copy it: %s", strerror(errno));
    return good;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- the authority, the hosts ---- */

static bool make_authority(const struct workshop *shop)
{
    char key[PATH_BYTES], cert[PATH_BYTES], new_key[PATH_BYTES], new_cert[PATH_BYTES], days[16], subject[64];
    uint32_t random = 0;

    path_of(shop->dir, "ca.key", key);
    path_of(shop->dir, "ca.crt", cert);
    if (is_there(key) && is_there(cert))
        return true;
    if (is_there(key) || is_there(cert)) {
        tool_error(is_there(key) ? cert : key, "it is missing beside the other of the authority - bring it back, or make keys for all hosts in "
                                               "another folder: hosts whose certificates are of two authorities do not trust each other");
        return false;
    }
    (void)!getrandom(&random, sizeof random, 0);
    snprintf(days, sizeof days, "%d", CERT_AUTHORITY_DAYS);
    snprintf(subject, sizeof subject, "/CN=ptq authority %08x", random);
    return ask_openssl(shop, (const char *const[]){"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                                                   "-sha256", "-days", days, "-subj", subject, "-addext",
                                                   "basicConstraints=critical,CA:TRUE,pathlen:0", "-addext",
                                                   "keyUsage=critical,keyCertSign,cRLSign", "-keyout", path_of(shop->place, "ca.key", new_key),
                                                   "-out", path_of(shop->place, "ca.crt", new_cert), NULL}) &&
           finish(shop, "ca.key", NULL, key) && finish(shop, "ca.crt", NULL, cert);
}

static bool write_extensions(const struct workshop *shop, const char *node, char path[PATH_BYTES])
{
    FILE *file = fopen(path_of(shop->place, "extensions", path), "we");

    if (file == NULL)
        return false;
    fprintf(file, "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
                  "subjectAltName=DNS:%s\n", node);
    return fclose(file) == 0;
}

static bool sign(const struct workshop *shop, const char *node)
{
    char key[PATH_BYTES], request[PATH_BYTES], cert[PATH_BYTES], extensions[PATH_BYTES], ca[PATH_BYTES], ca_key[PATH_BYTES], days[16],
        subject[100], serial[40];
    uint64_t random = 0;

    (void)!getrandom(&random, sizeof random, 0);
    snprintf(serial, sizeof serial, "0x1%015llx", (unsigned long long)random >> 4);
    snprintf(days, sizeof days, "%d", CERT_NODE_DAYS);
    snprintf(subject, sizeof subject, "/CN=%s", node);
    return write_extensions(shop, node, extensions) &&
           ask_openssl(shop, (const char *const[]){"openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                                                   "-sha256", "-subj", subject, "-keyout", path_of(shop->place, "node.key", key), "-out",
                                                   path_of(shop->place, "node.csr", request), NULL}) &&
           ask_openssl(shop, (const char *const[]){"openssl", "x509", "-req", "-in", request, "-CA", path_of(shop->dir, "ca.crt", ca), "-CAkey",
                                                   path_of(shop->dir, "ca.key", ca_key), "-set_serial", serial, "-sha256", "-days", days,
                                                   "-extfile", extensions, "-out", path_of(shop->place, "node.crt", cert), NULL});
}

static bool make_node(const struct workshop *shop, const char *node)
{
    char folder[PATH_BYTES - 20], path[PATH_BYTES];

    snprintf(folder, sizeof folder, "%s/%s", shop->dir, node);
    if (!copy_in(shop, path_of(shop->dir, "ca.crt", path), "ca.crt") || !finish(shop, "ca.crt", NULL, path_of(folder, "ca.crt", path)))
        return false;
    if (is_there(path_of(folder, "node.pem", path)))
        return true;
    return sign(shop, node) && finish(shop, "node.crt", "node.key", path);
}

/* ---- all ---- */

static void clean_up(const struct workshop *shop)
{
    static const char *const files[] = {"log", "whole", "ca.key", "ca.crt", "extensions", "node.key", "node.csr", "node.crt"};
    char path[PATH_BYTES];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(path_of(shop->place, files[i], path));
    rmdir(shop->place);
}

bool certs_make(const char *dir, const char *const *nodes, size_t count)
{
    struct workshop shop = {.dir = dir};
    mode_t before = umask(077);

    snprintf(shop.place, sizeof shop.place, "%s/.new.XXXXXX", dir);
    bool good = mkdtemp(shop.place) != NULL;
    if (!good)
        tool_error(dir, "cannot make a folder in it: %s", strerror(errno));
    bool made = good;
    good = good && make_authority(&shop);
    for (size_t i = 0; i < count && good; i++)
        good = make_node(&shop, nodes[i]);
    if (made)
        clean_up(&shop);
    umask(before);
    return good;
}

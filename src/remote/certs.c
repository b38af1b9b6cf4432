/* certs.c -- the certificates in a folder of keys, looked at before nng gets them: it says of a bad one only that it is bad, and of a key
 * that belongs to another certificate nothing at all. */
#include "remote/certs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>

#include "bus/bus.h"
#include "remote/keys.h"

#define FILE_MOST 65536u

/* ---- the same files? ---- */

static void mark_file(const char *folder, const char *file, int64_t words[6])
{
    char path[500];
    struct stat facts;

    snprintf(path, sizeof path, "%s/%s", folder, file);
    if (folder[0] == '\0' || stat(path, &facts) != 0)
        return;
    words[0] = (int64_t)facts.st_dev;
    words[1] = (int64_t)facts.st_ino;
    words[2] = (int64_t)facts.st_size;
    words[3] = (int64_t)facts.st_mtim.tv_sec;
    words[4] = (int64_t)facts.st_mtim.tv_nsec;
    words[5] = (int64_t)facts.st_ctim.tv_sec * 1000000000 + facts.st_ctim.tv_nsec;
}

void pti_certs_mark(const char *folder, struct pti_certs_mark *ret_mark)
{
    *ret_mark = (struct pti_certs_mark){{0}};
    mark_file(folder, "ca.crt", ret_mark->words);
    mark_file(folder, "node.pem", ret_mark->words + 6);
}

bool pti_certs_same(const struct pti_certs_mark *one, const struct pti_certs_mark *other)
{
    return memcmp(one, other, sizeof *one) == 0;
}

/* ---- reading ---- */

static ssize_t read_whole(int fd, unsigned char *text, size_t room)
{
    size_t size = 0;
    ssize_t part = 1;

    while (size < room && (part = read(fd, text + size, room - size)) > 0)
        size += (size_t)part;
    return part < 0 ? -1 : (ssize_t)size;
}

/* With a 0 at its end, which mbedtls counts; to be wiped and freed.  No stdio: its buffers would keep a copy. */
static unsigned char *read_file(const char *path, struct ptq_error *error, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    unsigned char *text = fd >= 0 ? calloc(1, FILE_MOST + 1) : NULL;
    ssize_t size = text != NULL ? read_whole(fd, text, FILE_MOST) : -1;
    int failed = errno;

    if (fd >= 0)
        close(fd);
    if (size >= 0 && size < (ssize_t)FILE_MOST) {
        *ret_size = (size_t)size + 1;
        return text;
    }
    if (text != NULL)
        pti_wipe(text, FILE_MOST); /* what came of it may be half a key */
    free(text);
    (void)pti_error(error, PTQ_EPERM, "cannot read the certificate '%s': %s", path, size < 0 ? strerror(failed) : "it is too long for one");
    return NULL;
}

#if MBEDTLS_VERSION_MAJOR >= 3
static int draw(void *unused, unsigned char *bytes, size_t size)
{
    (void)unused;
    return getrandom(bytes, size, 0) == (ssize_t)size ? 0 : -1;
}
#define DRAW , draw, NULL
#else
#define DRAW
#endif

struct pair {
    mbedtls_x509_crt authority, own;
    mbedtls_pk_context key;
};

/* What to do where a file is not as it was made. */
#define COPY_AGAIN ": copy it again from where it was made (ptqbridge keygen)"

static enum ptq_err read_authority(const char *path, unsigned char *text, size_t size, struct pair *pair, struct ptq_error *error)
{
    if (mbedtls_x509_crt_parse(&pair->authority, text, size) == 0)
        return PTQ_OK;
    return pti_error(error, PTQ_EINVAL, "'%s' is no certificate" COPY_AGAIN, path);
}

static enum ptq_err read_own(const char *path, unsigned char *text, size_t size, struct pair *pair, struct ptq_error *error)
{
    if (mbedtls_x509_crt_parse(&pair->own, text, size) != 0)
        return pti_error(error, PTQ_EINVAL, "'%s' has no certificate that can be read" COPY_AGAIN, path);
    if (mbedtls_pk_parse_key(&pair->key, text, size, NULL, 0 DRAW) != 0)
        return pti_error(error, PTQ_EINVAL, "'%s' has no key that can be read" COPY_AGAIN, path);
    if (mbedtls_pk_check_pair(&pair->own.pk, &pair->key DRAW) != 0)
        return pti_error(error, PTQ_EINVAL, "the certificate and the key in '%s' do not belong together" COPY_AGAIN, path);
    return PTQ_OK;
}

/* A file of the folder, as `read` understands it; no trace of it stays in memory. */
static enum ptq_err with_file(const char *folder, const char *file, struct pair *pair, struct ptq_error *error,
                              enum ptq_err (*read)(const char *path, unsigned char *text, size_t size, struct pair *pair, struct ptq_error *error))
{
    char path[500];
    size_t size;

    snprintf(path, sizeof path, "%s/%s", folder, file);
    unsigned char *text = read_file(path, error, &size);
    if (text == NULL)
        return PTQ_EPERM;
    enum ptq_err answer = read(path, text, size, pair, error);
    pti_wipe(text, size);
    free(text);
    return answer;
}

/* ---- from when, until when ---- */

static int64_t seconds_of(const mbedtls_x509_time *time)
{
    struct tm parts = {.tm_year = time->year - 1900, .tm_mon = time->mon - 1, .tm_mday = time->day, .tm_hour = time->hour,
                       .tm_min = time->min, .tm_sec = time->sec};

    return (int64_t)timegm(&parts);
}

enum ptq_err pti_certs_read(const char *folder, struct ptq_error *error, int64_t *ret_since, int64_t *ret_until)
{
    struct pair pair;

    mbedtls_x509_crt_init(&pair.authority);
    mbedtls_x509_crt_init(&pair.own);
    mbedtls_pk_init(&pair.key);
    enum ptq_err answer = with_file(folder, "ca.crt", &pair, error, read_authority);
    if (answer == PTQ_OK)
        answer = with_file(folder, "node.pem", &pair, error, read_own);
    if (answer == PTQ_OK) {
        *ret_since = seconds_of(&pair.own.valid_from);
        *ret_until = seconds_of(&pair.own.valid_to);
    }
    mbedtls_pk_free(&pair.key); /* wipes it */
    mbedtls_x509_crt_free(&pair.own);
    mbedtls_x509_crt_free(&pair.authority);
    return answer;
}

enum ptq_err pti_certs_check(const char *folder, struct ptq_error *error, int64_t *ret_until)
{
    char when[40];
    int64_t since, until, now = (int64_t)time(NULL);
    enum ptq_err answer = pti_certs_read(folder, error, &since, &until);

    if (answer != PTQ_OK)
        return answer;
    if (now > until)
        return pti_error(error, PTQ_EINVAL, "the certificates in '%s' ended on %s: take node.pem away in the folder of ptqbridge keygen, call it "
                                            "again, and copy what it made", folder, pti_certs_time(until, when));
    if (now < since)
        return pti_error(error, PTQ_EINVAL, "the certificates in '%s' hold from %s on: is the clock of this host right?", folder,
                         pti_certs_time(since, when));
    *ret_until = until;
    return PTQ_OK;
}

enum ptq_err pti_certs_may_show(const char *folder, const char *url, struct ptq_error *error)
{
    int64_t since, until;
    enum ptq_err answer = pti_keys_check_tls(folder, url, error);

    return answer == PTQ_OK ? pti_certs_read(folder, error, &since, &until) : answer;
}

const char *pti_certs_time(int64_t seconds, char buffer[40])
{
    time_t time = (time_t)seconds;
    struct tm parts;

    if (gmtime_r(&time, &parts) == NULL || strftime(buffer, 40, "%Y-%m-%d %H:%M:%S UTC", &parts) == 0)
        snprintf(buffer, 40, "%lld", (long long)seconds);
    return buffer;
}

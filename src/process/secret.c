/* secret.c -- passwords and the like, by name: from a file or the environment, never through a message. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/life.h"

/* Reads all of it: PTQ_EMSGSIZE if it does not fit with its final 0. */
static enum ptq_err read_all(int fd, char *buffer, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t count = read(fd, buffer + length, size - length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return PTQ_ESYS;
        if (count == 0)
            break;
        length += (size_t)count;
    }
    if (length == size)
        return PTQ_EMSGSIZE;
    if (length > 0 && buffer[length - 1] == '\n')
        length--;
    buffer[length] = '\0';
    return PTQ_OK;
}

static enum ptq_err read_file(const char *folder, const char *name, char *buffer, size_t size)
{
    char path[4096];
    struct stat facts;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return PTQ_EINVAL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? PTQ_ENOENT : PTQ_EPERM;
    enum ptq_err err = PTQ_EPERM;
    if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && (facts.st_mode & S_IWOTH) == 0)
        err = read_all(fd, buffer, size);
    (void)close(fd);
    return err;
}

static enum ptq_err read_environment(const char *name, char *buffer, size_t size)
{
    char key[PTQ_PROCESS_NAME_MAX + 16] = "PTQ_SECRET_";
    size_t length = strlen(key);
    for (; *name != '\0'; name++)
        key[length++] = (char)(isalnum((unsigned char)*name) ? toupper((unsigned char)*name) : '_');
    key[length] = '\0';
    const char *value = secure_getenv(key);
    if (value == NULL)
        return PTQ_ENOENT;
    if (strlen(value) >= size)
        return PTQ_EMSGSIZE;
    memcpy(buffer, value, strlen(value) + 1);
    return PTQ_OK;
}

enum ptq_err ptq_secret(const char *name, char *buffer, size_t size)
{
    static const char *const folders[] = {"PTQ_SECRETS", "CREDENTIALS_DIRECTORY"};
    if (!pti_process_name_is_valid(name) || buffer == NULL || size == 0)
        return PTQ_EINVAL;
    for (unsigned i = 0; i < 2; i++) {
        const char *folder = secure_getenv(folders[i]);
        enum ptq_err err = folder != NULL && folder[0] == '/' ? read_file(folder, name, buffer, size) : PTQ_ENOENT;
        if (err != PTQ_ENOENT)
            return err;
    }
    return read_environment(name, buffer, size);
}

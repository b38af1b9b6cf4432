/* run_keep.c -- ptq pool run --results: what each job wrote, in a folder of its own: FOLDER/NUMBER/stdout, stderr, command. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool_run.h"

static int fail(const char *path, const char *what)
{
    tool_error(path, "cannot %s: %s - make room, or give another folder with --results", what, strerror(errno));
    return TOOL_ERROR;
}

int run_keep_folder(const char *folder)
{
    return mkdir(folder, 0777) == 0 || errno == EEXIST ? TOOL_OK : fail(folder, "make the folder of --results");
}

int run_keep_write(int fd, const char *folder, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t wrote = write(fd, data, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return fail(folder, "write");
        data += wrote;
        size -= (size_t)wrote;
    }
    return TOOL_OK;
}

static int open_file(const char *folder, uint64_t seq, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%.3900s/%llu/%s", folder, (unsigned long long)seq, name);
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

int run_keep_open(const char *folder, uint64_t seq, const char *command, size_t size, int ret_fds[2])
{
    char path[4096];

    snprintf(path, sizeof path, "%.3900s/%llu", folder, (unsigned long long)seq);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return fail(path, "make a folder");
    int about = open_file(folder, seq, "command");
    ret_fds[0] = open_file(folder, seq, "stdout");
    ret_fds[1] = open_file(folder, seq, "stderr");
    int code = about >= 0 && ret_fds[0] >= 0 && ret_fds[1] >= 0 ? TOOL_OK : fail(path, "write into it");
    if (code == TOOL_OK)
        code = run_keep_write(about, path, command, size);
    if (code == TOOL_OK)
        code = run_keep_write(about, path, "\n", 1);
    if (about >= 0)
        close(about);
    return code;
}

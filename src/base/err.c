/* err.c -- the one table of answers: number, name, sentence. */
#include <errno.h>

#include <ptq/err.h>

#include "base/error.h"

struct answer {
    const char *name;
    const char *sentence;
};

#define ANSWER(code, sentence) [code] = {#code, sentence}

static const struct answer answers[] = {
    ANSWER(PTQ_OK, "success"),
    ANSWER(PTQ_EMPTY, "nothing to get now"),
    ANSWER(PTQ_FULL, "no room now"),
    ANSWER(PTQ_TIMEDOUT, "the deadline passed first"),
    ANSWER(PTQ_END, "the queue was ended and everything in it is settled"),
    ANSWER(PTQ_EENDED, "the queue was ended: nothing more can be put"),
    ANSWER(PTQ_ETOOBIG, "the batch can never fit this queue"),
    ANSWER(PTQ_EMSGSIZE, "the message is larger than the item size or than the buffer"),
    ANSWER(PTQ_ENOSPC, "the file system that holds the queue is full"),
    ANSWER(PTQ_ENOMEM, "the process has no memory or no descriptors left"),
    ANSWER(PTQ_EEXIST, "it exists already"),
    ANSWER(PTQ_ENOENT, "there is no such thing"),
    ANSWER(PTQ_EBUSY, "somebody else has it"),
    ANSWER(PTQ_EAGAIN, "a limit was reached: later it may work"),
    ANSWER(PTQ_EPERM, "not allowed, by permissions or by the rules of its home"),
    ANSWER(PTQ_EINVAL, "an argument makes no sense"),
    ANSWER(PTQ_EMISMATCH, "it exists with other properties than those asked for"),
    ANSWER(PTQ_EVERSION, "it was made by a version that this one cannot speak to"),
    ANSWER(PTQ_ECORRUPT, "the shared memory holds what no correct process writes"),
    ANSWER(PTQ_EPROTO, "the peer sent what no correct peer sends"),
    ANSWER(PTQ_EFORKED, "the handle belongs to the parent of this process: open one here"),
    ANSWER(PTQ_EINTR, "interrupted by a signal or by ptq_interrupt"),
    ANSWER(PTQ_EGONE, "the queue was removed"),
    ANSWER(PTQ_ENOPEERS, "nobody is alive at the other end"),
    ANSWER(PTQ_ELEASELOST, "the lease had ended before"),
    ANSWER(PTQ_ELATE, "that position has its result already"),
    ANSWER(PTQ_ELOST, "the job was lost"),
    ANSWER(PTQ_EINDOUBT, "the link broke before the answer came: it may have taken effect"),
    ANSWER(PTQ_EUNREACHABLE, "the other host does not answer"),
    ANSWER(PTQ_ENOTASK, "there is no task of that name"),
    ANSWER(PTQ_EDIED, "the process that had it died"),
    ANSWER(PTQ_EALREADY, "it was done already"),
    ANSWER(PTQ_ENOTSTARTED, "it was not started"),
    ANSWER(PTQ_ENOWORKERS, "nobody is left to do the work"),
    ANSWER(PTQ_EABORTED, "it was given up on request"),
    ANSWER(PTQ_EFAILED, "the task itself answered with an error"),
    ANSWER(PTQ_ESYS, "the operating system refused something unforeseen"),
};

static const struct answer *find_answer(enum ptq_err err)
{
    static const struct answer unknown = {"PTQ_?", "an answer that this version does not know"};
    size_t number = (size_t)err;

    if (number >= sizeof answers / sizeof answers[0] || answers[number].name == NULL)
        return &unknown;
    return &answers[number];
}

const char *ptq_strerror(enum ptq_err err)
{
    return find_answer(err)->sentence;
}

const char *ptq_err_name(enum ptq_err err)
{
    return find_answer(err)->name;
}

enum ptq_err pti_err_from_errno(int error)
{
    switch (error) {
    case 0:
        return PTQ_OK;
    case ENOSPC:
    case EDQUOT:
        return PTQ_ENOSPC;
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        return PTQ_ENOMEM;
    case EEXIST:
        return PTQ_EEXIST;
    case ENOENT:
    case ENOTDIR:
        return PTQ_ENOENT;
    case EBUSY:
        return PTQ_EBUSY;
    case EAGAIN:
        return PTQ_EAGAIN;
    case EPERM:
    case EACCES:
    case EROFS:
    case ELOOP:
        return PTQ_EPERM;
    case EINVAL:
    case ENAMETOOLONG:
        return PTQ_EINVAL;
    case EINTR:
        return PTQ_EINTR;
    case ETIMEDOUT:
        return PTQ_TIMEDOUT;
    default:
        return PTQ_ESYS;
    }
}

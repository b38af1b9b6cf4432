/* hosts.h -- children in namespaces, as other users and with less than enough: what the tests of tests/hosts share.
 *
 * A scene runs in a child, which makes its own namespaces, mounts and limits, so that nothing is left when it ends.  It
 * records what is wrong and the parent tells it.  All of it needs root; main answers 77 (skipped) where it is not.
 */
#ifndef PTQ_TESTS_HOSTS_H
#define PTQ_TESTS_HOSTS_H

#include <stdatomic.h>
#include <string.h>
#include <sys/types.h>

#include "support/ptt.h"

#include <ptq/ptq.h>

enum { HOSTS_SKIP = 77 };

struct hosts {
    struct ptt_page *page; /* words[0..255] for the scene; the text of what is wrong behind them */
    char dir[64];          /* /dev/shm/ptq-test.XXXXXX, mode 0711 */
    char bus[80];          /* <dir>/bus, which no one has made yet */
    const void *argument;
};

/* As cmocka fixtures. */
int hosts_setup(void **state);
int hosts_teardown(void **state);
#define HOSTS_CASE(name) cmocka_unit_test_setup_teardown(name, hosts_setup, hosts_teardown)

/* Ends the program with 77 and a reason unless this is root. */
void hosts_need_root(void);

/* In a scene: records the sentence and answers 1, or 77. */
int hosts_wrong(struct hosts *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
int hosts_cannot(struct hosts *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* In a scene: leaves it unless the call gives that answer. */
#define HOSTS_ANSWER(h, expected, call)                                                                                \
    do {                                                                                                               \
        enum ptq_err got_ = (call);                                                                                    \
        if (got_ != (expected))                                                                                        \
            return hosts_wrong((h), "line %d: %s answered %s", __LINE__, #call, ptq_err_name(got_));                   \
    } while (0)
#define HOSTS_OK(h, call) HOSTS_ANSWER((h), PTQ_OK, (call))
#define HOSTS_TRUE(h, what)                                                                                            \
    do {                                                                                                               \
        if (!(what))                                                                                                   \
            return hosts_wrong((h), "line %d: not true: %s (errno %d)", __LINE__, #what, errno);                       \
    } while (0)
/* ... unless the text says each of these words. */
#define HOSTS_SAYS(h, text, ...)                                                                                       \
    do {                                                                                                               \
        const char *lacking_ = hosts_lacks((text), (const char *const[]){__VA_ARGS__, NULL});                          \
        if (lacking_ != NULL)                                                                                          \
            return hosts_wrong((h), "line %d: '%s' does not say '%s'", __LINE__, (text), lacking_);                    \
    } while (0)
const char *hosts_lacks(const char *text, const char *const *words);

/* Starts a scene; waits for it and fails the test with its sentence, or skips.  run: both. */
pid_t hosts_start(struct hosts *h, int (*scene)(void *h));
void hosts_judge(struct hosts *h, pid_t pid);
void hosts_run(struct hosts *h, int (*scene)(void *h));

/* In a scene: a mount namespace of its own.  False: not permitted here. */
bool hosts_own_mounts(void);

/* In a scene: a container.  Everything is its own (mounts, PIDs: the work is pid 1, IPC, host name, /proc, /dev/shm), but for
 * `shared`, which stands at `path` there (below /mnt).  Its pid, as the caller's namespace has it, goes to *ret_pid at once.
 * Returns what `work` did, or 128 + the signal that ended it. */
int hosts_contain(struct hosts *h, const char *shared, const char *path, int (*work)(struct hosts *h),
                  _Atomic uint64_t *ret_pid);

/* In a scene: becomes that user, for good. */
bool hosts_become(uid_t uid, gid_t gid, const gid_t *groups, size_t count);

/* Opens a bus or a queue; the text of a failure goes to hosts_text. */
enum ptq_err hosts_bus(const char *dir, ptq_bus **ret_bus);
enum ptq_err hosts_queue(ptq_bus *bus, const char *name, const struct ptq_queue_options *options, ptq_queue **ret_queue);
extern struct ptq_error hosts_error; /* of the last of them that failed */
#define hosts_text (hosts_error.text)

#endif

/* save.c -- this frame as JSON, in a file of the folder where ptqtop was started.  None that is there is touched. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/say.h"
#include "screen.h"

void save_frame(struct screen *screen)
{
    char name[64], when[32];
    time_t now = (time_t)(screen->frame->unix_ms / 1000);
    struct tm local;
    FILE *file = NULL;
    int fd = -1;

    localtime_r(&now, &local);
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", &local);
    for (int i = 0; i < 100 && fd < 0; i++) {
        snprintf(name, sizeof name, i == 0 ? "ptqtop-%s.json" : "ptqtop-%s-%d.json", when, i);
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd >= 0)
        file = fdopen(fd, "w");
    bool good = file != NULL && render_json(screen->frame, file) == TOOL_OK;
    if (file != NULL && fclose(file) != 0)
        good = false;
    else if (file == NULL && fd >= 0)
        close(fd);
    if (good)
        snprintf(screen->said, sizeof screen->said, "saved as %s", name);
    else
        snprintf(screen->said, sizeof screen->said, "cannot save %s: %s", name, strerror(errno));
}

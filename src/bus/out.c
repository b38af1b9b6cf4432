/* out.c -- outboxes of a bus: their names and pages, made, found and taken away. */
#include "bus/out.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "bus/attach.h"
#include "bus/directory.h"

#define MAGIC UINT64_C(0x74756f7174700002) /* "\2\0ptqout" */
#define VERSION 1u
#define PREFIX "~out."
#define PAGE "~page"

_Static_assert(offsetof(struct pti_out_page, words) == 64 && sizeof(struct pti_out_words) == 56, "a page is what its head says");
_Static_assert(offsetof(struct pti_out_page, url) == 120 && offsetof(struct pti_out_page, why) == 2136, "texts follow the words");

static uint64_t hash(uint64_t value, const char *text)
{
    do
        value = (value ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    while (*text++ != '\0');
    return value;
}

void pti_out_key(const char *url, const char *run, const char *name, char key[static PTI_OUT_KEY + 1])
{
    uint64_t value = hash(hash(hash(UINT64_C(0xcbf29ce484222325), url), run != NULL ? run : "~"), name);

    snprintf(key, PTI_OUT_KEY + 1, "%016llx", (unsigned long long)value);
}

void pti_out_queue(const char *key, char name[static PTI_OUT_NAME])
{
    snprintf(name, PTI_OUT_NAME, PREFIX "%.16s", key);
}

bool pti_out_is_queue(const char *name)
{
    return strncmp(name, PREFIX, strlen(PREFIX)) == 0 && strlen(name) == strlen(PREFIX) + PTI_OUT_KEY &&
           strspn(name + strlen(PREFIX), "0123456789abcdef") == PTI_OUT_KEY;
}

static void page_file(const char *key, char name[static PTI_OUT_NAME])
{
    snprintf(name, PTI_OUT_NAME, PREFIX "%.16s" PAGE, key);
}

#define ENDS(page, text) (memchr((page)->text, '\0', sizeof(page)->text) != NULL)

static enum ptq_err check(const struct pti_out_page *page)
{
    if (page->magic != MAGIC)
        return PTQ_ECORRUPT;
    if (page->version != VERSION)
        return PTQ_EVERSION;
    return ENDS(page, url) && ENDS(page, run) && ENDS(page, name) && ENDS(page, home_run) && ENDS(page, node) && ENDS(page, where) &&
                   ENDS(page, spec) && pti_name_is_valid(page->name)
               ? PTQ_OK
               : PTQ_ECORRUPT;
}

enum ptq_err pti_out_open(ptq_bus *bus, const char *key, struct pti_out_map *ret_out)
{
    struct pti_out_map out;
    char name[PTI_OUT_NAME];

    page_file(key, name);
    int number = pti_segment_open(bus->dirfd, name, true, sizeof(struct pti_out_page), &out.segment);
    if (number != 0)
        return number == EIO ? PTQ_ECORRUPT : pti_err_from_errno(number);
    out.page = out.segment.base;
    enum ptq_err err = check(out.page);
    if (err != PTQ_OK)
        pti_segment_close(&out.segment);
    else
        *ret_out = out;
    return err;
}

enum ptq_err pti_out_make(ptq_bus *bus, const char *key, const struct pti_out_page *page, struct pti_out_map *ret_out)
{
    struct pti_segment segment;
    struct pti_segment_temp temp;
    char name[PTI_OUT_NAME];

    page_file(key, name);
    int number = pti_segment_create(bus->dirfd, name, sizeof *page, 0600, &segment, &temp);
    if (number != 0)
        return pti_err_from_errno(number);
    number = pti_segment_reserve(&segment, 0, sizeof *page);
    if (number == 0) {
        memcpy(segment.base, page, sizeof *page);
        ((struct pti_out_page *)segment.base)->magic = MAGIC;
        ((struct pti_out_page *)segment.base)->version = VERSION;
        number = pti_directory_share(bus->dirfd, &segment);
    }
    if (number == 0)
        number = pti_segment_link(&segment, &temp, bus->dirfd, name);
    if (number != 0)
        pti_segment_discard(&segment, &temp, bus->dirfd);
    else
        pti_segment_close(&segment);
    return number == 0 || number == EEXIST ? pti_out_open(bus, key, ret_out) : pti_err_from_errno(number);
}

void pti_out_close(struct pti_out_map *out)
{
    if (out->page != NULL)
        pti_segment_close(&out->segment);
    out->page = NULL;
}

bool pti_out_is_named(ptq_bus *bus, const char *key, const struct pti_out_map *out)
{
    char name[PTI_OUT_NAME];

    page_file(key, name);
    return pti_segment_is_named(&out->segment, bus->dirfd, name) == 0;
}

/* Law: the page goes first, and comes back if somebody has the queue: who opens it looks, once he has the queue, whether the page that
 * he found has its name still. */
bool pti_out_remove(ptq_bus *bus, const char *key, struct pti_out_map *out)
{
    struct pti_segment_temp temp = {.temp_name = ""};
    char name[PTI_OUT_NAME], queue[PTI_OUT_NAME];

    page_file(key, name);
    pti_out_queue(key, queue);
    if (!pti_out_is_named(bus, key, out) || unlinkat(bus->dirfd, name, 0) != 0)
        return false;
    if (pti_reap_empty(bus, queue) == PTQ_OK)
        return true;
    if (pti_segment_link(&out->segment, &temp, bus->dirfd, name) != 0) { /* unlinked for good: a copy, then */
        struct pti_out_map copy;
        if (pti_out_make(bus, key, out->page, &copy) == PTQ_OK) {
            pti_out_close(out);
            *out = copy;
        }
    }
    return false;
}

static bool is_page(const char *file, char key[static PTI_OUT_KEY + 1])
{
    if (strlen(file) != strlen(PREFIX) + PTI_OUT_KEY + strlen(PAGE) || strncmp(file, PREFIX, strlen(PREFIX)) != 0 ||
        strcmp(file + strlen(PREFIX) + PTI_OUT_KEY, PAGE) != 0)
        return false;
    memcpy(key, file + strlen(PREFIX), PTI_OUT_KEY);
    key[PTI_OUT_KEY] = '\0';
    return strspn(key, "0123456789abcdef") == PTI_OUT_KEY;
}

void pti_out_list(ptq_bus *bus, bool (*each)(const char *key, void *context), void *context)
{
    int fd = openat(bus->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    char key[PTI_OUT_KEY + 1];
    struct dirent *entry;

    if (directory == NULL && fd >= 0)
        close(fd);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (is_page(entry->d_name, key) && !each(key, context))
            break;
    }
    if (directory != NULL)
        closedir(directory);
}

/* ---- for people */

struct listing {
    ptq_bus *bus;
    bool (*each)(const struct ptq_outbox *outbox, void *context);
    void *context;
};

static bool tell(const char *key, void *context)
{
    const struct listing *listing = context;
    struct pti_out_map out = {0};
    struct pti_out_page copy;
    char queue[PTI_OUT_NAME];

    if (pti_out_open(listing->bus, key, &out) != PTQ_OK)
        return true; /* it went meanwhile, or is not ours to read */
    memcpy(&copy, out.page, sizeof copy);
    struct ptq_outbox outbox = {.moved = pti_load_relaxed(&out.page->words.moved),
                                .refused = pti_load_relaxed(&out.page->words.refused),
                                .carried = pti_load_relaxed(&out.page->words.state) == PTI_OUT_CARRIED};
    pti_out_close(&out);
    copy.why[sizeof copy.why - 1] = '\0';
    if (check(&copy) != PTQ_OK)
        return true;
    pti_out_queue(key, queue);
    outbox.name = queue;
    outbox.target = copy.where;
    outbox.url = copy.url;
    outbox.why = copy.why;
    return listing->each(&outbox, listing->context);
}

enum ptq_err ptq_bus_list_outboxes(ptq_bus *bus, bool (*each)(const struct ptq_outbox *outbox, void *context), void *context)
{
    struct listing listing = {bus, each, context};

    if (bus == NULL || each == NULL)
        return PTQ_EINVAL;
    pti_out_list(bus, tell, &listing);
    return PTQ_OK;
}

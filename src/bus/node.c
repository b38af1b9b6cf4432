/* node.c -- who this bus is to others, and the page by which they find out that they are here already: "~node".
 *
 *      0  magic   8  version   16  id[16]   32  boot[16]   48  inode   64  slots: 64 x 8
 *
 * Laws.  A slot grows with each HELLO: a page that was copied, with its directory or in an image, stands still, and so
 * does not know what was said after it was copied.  Boot and inode are those of the page when it was made: a page of
 * another kernel (a directory on a network), or at another inode, is a copy, and a bridge that finds one makes its own.
 */
#include "bus/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "bus/directory.h"
#include "os/life.h"
#include "os/segment.h"

#define MAGIC UINT64_C(0x65646f6e71747000) /* "\0ptqnode" */
#define VERSION 1u
#define TELLINGS_MOST (UINT64_C(1) << 32) /* between what was told and what is seen */
#define TRIES 16

struct page {
    uint64_t magic;
    uint32_t version, reserved;
    uint8_t id[PTI_NODE_BYTES];
    uint8_t boot[PTI_NODE_BYTES]; /* of the kernel under which it was made */
    uint64_t inode;               /* its own, when it was made */
    uint64_t reserved2;
    uint64_t slots[PTI_NODE_SLOTS]; /* each by the bridge that holds its lock */
};
_Static_assert(offsetof(struct page, slots) == 64 && sizeof(struct page) == 576, "a page is what its head says");

struct pti_node {
    struct pti_segment segment;
    uint8_t id[PTI_NODE_BYTES];
    unsigned slot;
    uint64_t count;
};

/* ---- this kernel ---- */

static int digit_of(char byte)
{
    return byte >= '0' && byte <= '9' ? byte - '0' : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Zeroes where there is no /proc: then the inode and the count have to do. */
static void read_boot(uint8_t boot[PTI_NODE_BYTES])
{
    char text[64] = "";
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    size_t digits = 0;

    memset(boot, 0, PTI_NODE_BYTES);
    if (fd < 0)
        return;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    for (ssize_t i = 0; i < length && digits < 2 * PTI_NODE_BYTES; i++) {
        int digit = digit_of(text[i]);
        if (digit < 0)
            continue;
        boot[digits / 2] = (uint8_t)(boot[digits / 2] << 4 | digit);
        digits++;
    }
}

static bool read_page(const struct pti_segment *segment, struct page *page)
{
    return pread(segment->fd, page, sizeof *page, 0) == (ssize_t)sizeof *page && page->magic == MAGIC &&
           page->version == VERSION;
}

/* The one that was made, not a copy of it. */
static bool is_original(const struct pti_segment *segment, const struct page *page)
{
    uint8_t boot[PTI_NODE_BYTES];

    read_boot(boot);
    return page->inode == (uint64_t)segment->ino && memcmp(page->boot, boot, sizeof boot) == 0;
}

/* ---- making one ---- */

static int make_page(ptq_bus *bus)
{
    struct pti_segment segment;
    struct pti_segment_temp temp;
    int number = pti_segment_create(bus->dirfd, PTI_NODE_FILE, sizeof(struct page), 0600, &segment, &temp);

    if (number != 0)
        return number;
    struct page page = {.magic = MAGIC, .version = VERSION, .inode = (uint64_t)segment.ino};
    read_boot(page.boot);
    number = getrandom(page.id, sizeof page.id, 0) == sizeof page.id ? pti_directory_share(bus->dirfd, &segment) : EIO;
    if (number == 0 && pwrite(segment.fd, &page, sizeof page, 0) != sizeof page)
        number = ENOSPC;
    if (number == 0)
        number = pti_segment_link(&segment, &temp, bus->dirfd, PTI_NODE_FILE);
    if (number != 0)
        pti_segment_discard(&segment, &temp, bus->dirfd);
    else
        pti_segment_close(&segment);
    return number == EEXIST ? 0 : number; /* somebody else was faster */
}

/* A copy, or no page at all, makes room; two bridges that do this at once agree on the one that has the name. */
static int open_page(ptq_bus *bus, struct pti_segment *ret_segment, uint8_t ret_id[PTI_NODE_BYTES])
{
    struct page page;
    int number = 0;

    for (int i = 0; i < TRIES; i++) {
        number = pti_segment_open(bus->dirfd, PTI_NODE_FILE, true, sizeof(struct page), ret_segment);
        if (number == 0 && read_page(ret_segment, &page) && is_original(ret_segment, &page)) {
            memcpy(ret_id, page.id, sizeof page.id);
            return 0;
        }
        if (number == 0)
            pti_segment_close(ret_segment);
        if (number == 0 || number == EIO)
            number = unlinkat(bus->dirfd, PTI_NODE_FILE, 0) == 0 || errno == ENOENT ? ENOENT : errno;
        if (number == ENOENT)
            number = make_page(bus);
        if (number != 0)
            return number;
    }
    return EAGAIN;
}

static bool take_slot(struct pti_node *node)
{
    for (node->slot = 0; node->slot < PTI_NODE_SLOTS; node->slot++) {
        if (pti_life_lock_write(node->segment.fd, node->slot) == 0)
            return true;
    }
    return false;
}

/* Law: the count is in the page before it is told. */
static bool write_count(const struct pti_node *node)
{
    off_t at = (off_t)(offsetof(struct page, slots) + sizeof node->count * node->slot);

    return pwrite(node->segment.fd, &node->count, sizeof node->count, at) == sizeof node->count;
}

static enum ptq_err begin_counting(struct pti_node *node)
{
    if (getrandom(&node->count, sizeof node->count, 0) != sizeof node->count)
        return PTQ_ESYS;
    node->count = node->count >> 1 | 1; /* never 0, and never over the end */
    return write_count(node) ? PTQ_OK : PTQ_ESYS;
}

enum ptq_err pti_node_open(ptq_bus *bus, struct ptq_error *error, struct pti_node **ret_node)
{
    struct pti_node *node = calloc(1, sizeof *node);

    if (node == NULL)
        return pti_error(error, PTQ_ENOMEM, "no memory for a bridge");
    int number = open_page(bus, &node->segment, node->id);
    if (number != 0) {
        free(node);
        return pti_error(error, pti_err_from_errno(number), "a bridge cannot make '%s/%s', by which others know it: %s",
                         bus->path, PTI_NODE_FILE, strerror(number));
    }
    enum ptq_err answer = take_slot(node) ? begin_counting(node) : PTQ_EAGAIN;
    if (answer != PTQ_OK) {
        pti_segment_close(&node->segment);
        free(node);
        return pti_error(error, answer, answer == PTQ_EAGAIN ? "%u bridges serve the bus '%s' already, which is the most"
                                                             : "a bridge cannot get random numbers (%u; '%s')",
                         PTI_NODE_SLOTS, bus->path);
    }
    *ret_node = node;
    return PTQ_OK;
}

void pti_node_close(struct pti_node *node)
{
    if (node == NULL)
        return;
    pti_segment_close(&node->segment); /* lets go the lock */
    free(node);
}

const uint8_t *pti_node_own_id(const struct pti_node *node)
{
    return node->id;
}

unsigned pti_node_slot(const struct pti_node *node)
{
    return node->slot;
}

bool pti_node_slot_is_held(const struct pti_node *node, unsigned slot)
{
    return slot == node->slot || pti_life_is_locked(node->segment.fd, slot) != 0;
}

void pti_node_tell(struct pti_node *node, struct pti_token *ret_token)
{
    *ret_token = (struct pti_token){0};
    node->count++;
    if (!write_count(node))
        return;
    memcpy(ret_token->page, node->id, sizeof ret_token->page);
    ret_token->slot = node->slot;
    ret_token->value = node->count;
}

/* ---- looking into one's own ---- */

static bool find_page(ptq_bus *bus, struct page *page, bool *ret_original)
{
    struct pti_segment segment;

    if (pti_segment_open(bus->dirfd, PTI_NODE_FILE, false, sizeof *page, &segment) != 0)
        return false;
    bool good = read_page(&segment, page);
    *ret_original = good && is_original(&segment, page);
    pti_segment_close(&segment);
    return good;
}

bool pti_node_id(ptq_bus *bus, uint8_t ret_id[PTI_NODE_BYTES])
{
    struct page page;
    bool original;

    if (!find_page(bus, &page, &original) || !original)
        return false;
    memcpy(ret_id, page.id, sizeof page.id);
    return true;
}

enum pti_seen pti_node_sees(ptq_bus *bus, const struct pti_token *token)
{
    struct page page;
    bool original;

    if (token->value == 0 || token->slot >= PTI_NODE_SLOTS)
        return PTI_SEEN_NO_TOKEN;
    if (!find_page(bus, &page, &original))
        return PTI_SEEN_NO_PAGE;
    if (memcmp(page.id, token->page, sizeof page.id) != 0)
        return PTI_SEEN_OTHER_PAGE;
    uint64_t counted = page.slots[token->slot];
    return original && counted >= token->value && counted - token->value < TELLINGS_MOST ? PTI_SEEN_HERE
                                                                                         : PTI_SEEN_COPY;
}

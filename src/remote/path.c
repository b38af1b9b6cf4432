/* path.c -- the header that says which nodes a message has left. */
#include "remote/path.h"

#include <string.h>

#include "queue/header.h"

#define NODES_MOST (PTQ_HEADERS_MAX / PTI_PATH_NODE)

static bool is_path(const struct pti_header_found *found)
{
    return !found->is_trace && found->name_size == strlen(PTI_PATH_HEADER) && memcmp(found->name, PTI_PATH_HEADER, found->name_size) == 0;
}

/* What another process may write to meanwhile is copied first, and then looked at.  Returns how many nodes. */
static size_t copy_path(const struct ptq_msg *msg, uint8_t nodes[NODES_MOST][PTI_PATH_NODE])
{
    struct pti_header_found found;
    size_t at = 0;

    while (pti_header_next(pti_headers_of(msg), 4u * msg->headers, &at, &found)) {
        if (!is_path(&found))
            continue;
        size_t count = found.value_size / PTI_PATH_NODE < NODES_MOST ? found.value_size / PTI_PATH_NODE : NODES_MOST;
        memcpy(nodes, found.value, count * PTI_PATH_NODE);
        return count;
    }
    return 0;
}

bool pti_path_holds(const struct ptq_msg *msg, const uint8_t node[PTI_PATH_NODE])
{
    uint8_t nodes[NODES_MOST][PTI_PATH_NODE];
    size_t count = copy_path(msg, nodes);

    while (count > 0 && memcmp(nodes[count - 1], node, PTI_PATH_NODE) != 0)
        count--;
    return count > 0;
}

/* All but the path, as they stand.  How many bytes; more than `most`: they do not fit. */
static size_t copy_others(const struct ptq_msg *msg, size_t most, uint8_t *buffer)
{
    const uint8_t *bytes = pti_headers_of(msg);
    struct pti_header_found found;
    size_t at = 0, before = 0, size = 0;

    for (; pti_header_next(bytes, 4u * msg->headers, &at, &found); before = at) {
        if (is_path(&found))
            continue;
        if (size + (at - before) > most)
            return most + 1;
        memcpy(buffer + size, bytes + before, at - before);
        size += at - before;
    }
    return size;
}

bool pti_path_extend(const struct ptq_msg *msg, const uint8_t node[PTI_PATH_NODE], unsigned most, uint8_t *buffer,
                     uint8_t *ret_units)
{
    uint8_t nodes[NODES_MOST + 1][PTI_PATH_NODE];
    size_t count = copy_path(msg, nodes), room = most < PTQ_HEADERS_MAX / 4 ? 4u * most : PTQ_HEADERS_MAX;
    size_t size = copy_others(msg, room, buffer);

    if (size > room)
        return false;
    memcpy(nodes[count++], node, PTI_PATH_NODE);
    struct ptq_header header = {.name = PTI_PATH_HEADER, .value = nodes, .size = count * PTI_PATH_NODE};
    while (size % 4 != 0 && size < room)
        buffer[size++] = 0;
    *ret_units = (uint8_t)(size / 4);
    return pti_headers_append(&header, buffer, most, ret_units);
}

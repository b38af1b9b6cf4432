/* envelope.c -- control messages as plain structs; protobuf-c stays behind this file. */
#include "wire/envelope.h"

#include <stdlib.h>
#include <string.h>

#include <protobuf-c/protobuf-c.h>

#include "ptq/v1/control.pb-c.h"
#include "wire/record.h"

/* ---- an arena: what unpacking may take, whatever the bytes say ---- */

#define ARENA_BASE (16u << 10)
#define ARENA_PER_BYTE 24u /* an empty text of two bytes takes a pointer and a byte, doubled while the list grows */

struct arena {
    ProtobufCAllocator allocator;
    size_t left;
};

/* Each piece is a malloc of its own, so that a sanitizer sees its ends; `left` is only ever spent. */
static void *arena_alloc(void *data, size_t size)
{
    struct arena *arena = data;

    if (size > arena->left)
        return NULL;
    arena->left -= size;
    return malloc(size > 0 ? size : 1);
}

static void arena_free(void *data, void *piece)
{
    (void)data;
    free(piece);
}

static void arena_init(struct arena *arena, size_t bytes)
{
    arena->allocator = (ProtobufCAllocator){arena_alloc, arena_free, arena};
    arena->left = ARENA_BASE + bytes * ARENA_PER_BYTE;
}

static void *unpack(const ProtobufCMessageDescriptor *descriptor, struct arena *arena, const uint8_t *bytes,
                    size_t size)
{
    arena_init(arena, size);
    return size <= PTI_WIRE_FRAME_BYTES ? protobuf_c_message_unpack(descriptor, &arena->allocator, size, bytes) : NULL;
}

static void drop(void *message, struct arena *arena)
{
    protobuf_c_message_free_unpacked(message, &arena->allocator);
}

static size_t pack(const void *message, uint8_t *buffer, size_t room)
{
    return protobuf_c_message_get_packed_size(message) <= room ? protobuf_c_message_pack(message, buffer) : 0;
}

/* ---- texts ---- */

/* Law: a text of a peer is printed somewhere some day: control characters do not come in. */
static bool copy_text(char *to, size_t room, const char *from)
{
    size_t length = from == NULL ? 0 : strlen(from);

    if (length >= room)
        return false;
    for (size_t i = 0; i < length; i++)
        to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? '?' : from[i];
    to[length] = '\0';
    return true;
}

static bool is_name(const char *text)
{
    size_t length = strlen(text);

    return length > 0 && length <= PTQ_NAME_MAX && text[0] != '.' &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == length;
}

static bool copy_name(char *to, size_t room, const char *from, bool may_be_empty)
{
    if (from == NULL || from[0] == '\0') {
        to[0] = '\0';
        return may_be_empty;
    }
    return is_name(from) && copy_text(to, room, from);
}

#define COPY_TEXT(to, from) copy_text((to), sizeof(to), (from))
#define COPY_NAME(to, from) copy_name((to), sizeof(to), (from), false)
#define COPY_NAME_OR_NONE(to, from) copy_name((to), sizeof(to), (from), true)

/* pack never changes what it is given, but protobuf-c has no const. */
static char *borrow(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- HELLO ---- */

size_t pti_hello_pack(const struct pti_hello *hello, uint8_t *buffer, size_t room)
{
    Ptq__V1__Limits limits = PTQ__V1__LIMITS__INIT;
    Ptq__V1__Hello message = PTQ__V1__HELLO__INIT;

    limits.frame_bytes = hello->limits.frame_bytes;
    limits.request_bytes = hello->limits.request_bytes;
    limits.requests = hello->limits.requests;
    limits.channels = hello->limits.channels;
    message.version_min = hello->version_min;
    message.version_max = hello->version_max;
    message.version = hello->version;
    message.session.data = (uint8_t *)(uintptr_t)hello->session;
    message.session.len = sizeof hello->session;
    message.node = borrow(hello->node);
    message.software = borrow(hello->software);
    message.run = borrow(hello->run);
    message.limits = &limits;
    message.resume = hello->resume;
    message.known = hello->known;
    message.grace_ms = hello->grace_ms;
    message.incarnation = hello->incarnation;
    return pack(&message, buffer, room);
}

static bool read_limits(struct pti_limits *limits, const Ptq__V1__Limits *message)
{
    if (message == NULL || message->frame_bytes < PTI_WIRE_FRAME_FIRST ||
        message->request_bytes < message->frame_bytes || message->requests == 0 || message->channels == 0)
        return false;
    *limits = (struct pti_limits){message->frame_bytes, message->request_bytes, message->requests, message->channels};
    return true;
}

static bool read_hello(struct pti_hello *hello, const Ptq__V1__Hello *message)
{
    hello->version_min = message->version_min;
    hello->version_max = message->version_max;
    hello->version = message->version;
    hello->resume = message->resume;
    hello->known = message->known;
    hello->grace_ms = message->grace_ms;
    hello->incarnation = message->incarnation;
    if (message->session.len != sizeof hello->session || message->version_min > message->version_max)
        return false;
    memcpy(hello->session, message->session.data, sizeof hello->session);
    return COPY_TEXT(hello->node, message->node) && COPY_TEXT(hello->software, message->software) &&
           COPY_NAME_OR_NONE(hello->run, message->run) && read_limits(&hello->limits, message->limits);
}

/* The rest of the file is the same three steps for each message: unpack in an arena, read into a local with all checks,
 * hand it over only if they passed. */
#define UNPACK(type, descriptor, read, bytes, size, ret)                                                               \
    do {                                                                                                               \
        struct arena arena;                                                                                            \
        type *message = unpack(&descriptor, &arena, (bytes), (size));                                                  \
        if (message == NULL)                                                                                           \
            return PTQ_EPROTO;                                                                                         \
        __typeof__(*(ret)) local = {0};                                                                                \
        bool good = read(&local, message);                                                                             \
        drop(message, &arena);                                                                                         \
        if (!good)                                                                                                     \
            return PTQ_EPROTO;                                                                                         \
        *(ret) = local;                                                                                                \
        return PTQ_OK;                                                                                                 \
    } while (0)

enum ptq_err pti_hello_unpack(const uint8_t *bytes, size_t size, struct pti_hello *ret_hello)
{
    UNPACK(Ptq__V1__Hello, ptq__v1__hello__descriptor, read_hello, bytes, size, ret_hello);
}

/* ---- OPEN ---- */

/* Properties of a queue that have the same name and width on both sides. */
#define OPEN_PROPERTIES(each)                                                                                          \
    each(bytes) each(header_size) each(full) each(stamps) each(ttl_ms) each(expired_to_dead) each(lease_ms)            \
    each(max_dead) each(last_producer_ends) each(letters) each(roles)
#define PROPERTY_TO_MESSAGE(field) message.field = open->field;
#define PROPERTY_OF_MESSAGE(field) open->field = message->field;

size_t pti_open_pack(const struct pti_open_message *open, uint8_t *buffer, size_t room)
{
    Ptq__V1__Open message = PTQ__V1__OPEN__INIT;

    message.run = borrow(open->run);
    message.name = borrow(open->name);
    message.mode = open->mode;
    message.capacity = open->capacity;
    message.item_size = open->item_size;
    message.max_deliveries = open->max_deliveries;
    message.max_endpoints = open->max_endpoints;
    message.file_mode = open->file_mode;
    message.prefault = open->prefault;
    message.ephemeral = open->ephemeral;
    message.placed = open->placed;
    message.window = open->window;
    message.start = open->start;
    message.spec = borrow(open->spec);
    OPEN_PROPERTIES(PROPERTY_TO_MESSAGE)
    return pack(&message, buffer, room);
}

static bool read_open(struct pti_open_message *open, const Ptq__V1__Open *message)
{
    open->mode = message->mode;
    open->capacity = message->capacity;
    open->item_size = message->item_size;
    open->max_deliveries = message->max_deliveries;
    open->max_endpoints = message->max_endpoints;
    open->file_mode = message->file_mode;
    open->prefault = message->prefault;
    open->ephemeral = message->ephemeral;
    open->placed = message->placed;
    open->window = message->window;
    open->start = message->start;
    OPEN_PROPERTIES(PROPERTY_OF_MESSAGE)
    return message->mode <= PTQ_CREATE && (message->file_mode & ~0777u) == 0 &&
           message->full <= PTQ_FULL_DROP_NEWEST && message->stamps <= PTQ_STAMPS_OFF &&
           COPY_NAME_OR_NONE(open->run, message->run) && COPY_NAME(open->name, message->name) &&
           COPY_TEXT(open->spec, message->spec);
}

enum ptq_err pti_open_unpack(const uint8_t *bytes, size_t size, struct pti_open_message *ret_open)
{
    UNPACK(Ptq__V1__Open, ptq__v1__open__descriptor, read_open, bytes, size, ret_open);
}

size_t pti_opened_pack(const struct pti_opened *opened, uint8_t *buffer, size_t room)
{
    Ptq__V1__Opened message = PTQ__V1__OPENED__INIT;

    message.capacity = opened->capacity;
    message.item_size = opened->item_size;
    message.max_deliveries = opened->max_deliveries;
    message.window = opened->window;
    message.placed = opened->placed;
    message.credit_bytes = opened->credit_bytes;
    message.header_size = opened->header_size;
    message.run = borrow(opened->run);
    message.node = borrow(opened->node);
    message.spec = borrow(opened->spec);
    message.id.data = (uint8_t *)(uintptr_t)opened->id;
    message.id.len = sizeof opened->id;
    return pack(&message, buffer, room);
}

static bool read_opened(struct pti_opened *opened, const Ptq__V1__Opened *message)
{
    opened->capacity = message->capacity;
    opened->item_size = message->item_size;
    opened->max_deliveries = message->max_deliveries;
    opened->window = message->window;
    opened->placed = message->placed;
    opened->credit_bytes = message->credit_bytes;
    opened->header_size = message->header_size;
    if (message->id.len != 0 && message->id.len != sizeof opened->id)
        return false;
    if (message->id.len != 0)
        memcpy(opened->id, message->id.data, sizeof opened->id);
    return message->capacity > 0 && message->item_size > 0 && message->item_size <= PTI_WIRE_ITEM_BYTES &&
           message->header_size <= PTQ_HEADERS_MAX && message->credit_bytes > 0 && COPY_NAME(opened->run, message->run) &&
           COPY_TEXT(opened->node, message->node) && COPY_TEXT(opened->spec, message->spec);
}

enum ptq_err pti_opened_unpack(const uint8_t *bytes, size_t size, struct pti_opened *ret_opened)
{
    UNPACK(Ptq__V1__Opened, ptq__v1__opened__descriptor, read_opened, bytes, size, ret_opened);
}

/* ---- CREDIT, PING ---- */

size_t pti_credit_pack(uint64_t credit_bytes, uint8_t *buffer, size_t room)
{
    Ptq__V1__Credit message = PTQ__V1__CREDIT__INIT;

    message.bytes = credit_bytes;
    return pack(&message, buffer, room);
}

static bool read_credit(uint64_t *credit_bytes, const Ptq__V1__Credit *message)
{
    *credit_bytes = message->bytes;
    return message->bytes > 0;
}

enum ptq_err pti_credit_unpack(const uint8_t *bytes, size_t size, uint64_t *ret_credit_bytes)
{
    UNPACK(Ptq__V1__Credit, ptq__v1__credit__descriptor, read_credit, bytes, size, ret_credit_bytes);
}

size_t pti_ping_pack(uint64_t stamp, uint8_t *buffer, size_t room)
{
    Ptq__V1__Ping message = PTQ__V1__PING__INIT;

    message.stamp = stamp;
    return pack(&message, buffer, room);
}

static bool read_ping(uint64_t *stamp, const Ptq__V1__Ping *message)
{
    *stamp = message->stamp;
    return true;
}

enum ptq_err pti_ping_unpack(const uint8_t *bytes, size_t size, uint64_t *ret_stamp)
{
    UNPACK(Ptq__V1__Ping, ptq__v1__ping__descriptor, read_ping, bytes, size, ret_stamp);
}

/* ---- DIRECTORY ---- */

size_t pti_directory_ask_pack(const struct pti_directory_ask *ask, uint8_t *buffer, size_t room)
{
    Ptq__V1__DirectoryAsk message = PTQ__V1__DIRECTORY_ASK__INIT;

    message.run = borrow(ask->run);
    message.name = borrow(ask->name);
    message.after = borrow(ask->after);
    return pack(&message, buffer, room);
}

static bool read_directory_ask(struct pti_directory_ask *ask, const Ptq__V1__DirectoryAsk *message)
{
    return COPY_NAME_OR_NONE(ask->run, message->run) && COPY_NAME_OR_NONE(ask->name, message->name) &&
           COPY_NAME_OR_NONE(ask->after, message->after);
}

enum ptq_err pti_directory_ask_unpack(const uint8_t *bytes, size_t size, struct pti_directory_ask *ret_ask)
{
    UNPACK(Ptq__V1__DirectoryAsk, ptq__v1__directory_ask__descriptor, read_directory_ask, bytes, size, ret_ask);
}

size_t pti_directory_pack(const struct pti_directory *directory, uint8_t *buffer, size_t room)
{
    Ptq__V1__Directory message = PTQ__V1__DIRECTORY__INIT;
    char *names[PTI_WIRE_NAMES];

    if (directory->count > PTI_WIRE_NAMES)
        return 0;
    for (size_t i = 0; i < directory->count; i++)
        names[i] = directory->names[i];
    message.node = borrow(directory->node);
    message.run = borrow(directory->run);
    message.served = directory->served;
    message.more = directory->more;
    message.names = names;
    message.n_names = directory->count;
    return pack(&message, buffer, room);
}

static bool read_directory(struct pti_directory *directory, const Ptq__V1__Directory *message)
{
    if (message->n_names > PTI_WIRE_NAMES || !COPY_TEXT(directory->node, message->node) ||
        !COPY_NAME_OR_NONE(directory->run, message->run))
        return false;
    directory->served = message->served;
    directory->more = message->more && message->n_names > 0;
    if (message->n_names == 0)
        return true;
    directory->names = calloc(message->n_names, sizeof *directory->names);
    if (directory->names == NULL)
        return false;
    for (; directory->count < message->n_names; directory->count++) {
        if (!COPY_NAME(directory->names[directory->count], message->names[directory->count])) {
            free(directory->names);
            return false;
        }
    }
    return true;
}

enum ptq_err pti_directory_unpack(const uint8_t *bytes, size_t size, struct pti_directory *ret_directory)
{
    UNPACK(Ptq__V1__Directory, ptq__v1__directory__descriptor, read_directory, bytes, size, ret_directory);
}

/* ---- STATS ---- */

/* Fields that have the same name and width on both sides. */
#define STATS_FIELDS(each)                                                                                             \
    each(capacity) each(item_size) each(bytes) each(ready) each(leased) each(delayed) each(dead) each(put) each(acked) \
    each(nacked) each(taken) each(redelivered) each(dropped) each(bytes_put) each(bytes_acked) each(recovered)         \
    each(head) each(tail) each(end_position) each(oldest_ms) each(producers) each(consumers) each(endpoints)           \
    each(dead_endpoints) each(ended) each(removed) each(paused)

size_t pti_stats_pack(const struct ptq_queue_stats *stats, uint8_t *buffer, size_t room)
{
    Ptq__V1__Stats message = PTQ__V1__STATS__INIT;
    uint64_t by[PTQ_DROPS];

#define GIVE(field) message.field = stats->field;
    STATS_FIELDS(GIVE)
#undef GIVE
    memcpy(by, stats->dropped_by, sizeof by);
    message.n_dropped_by = PTQ_DROPS;
    message.dropped_by = by;
    return pack(&message, buffer, room);
}

static bool read_stats(struct ptq_queue_stats *stats, const Ptq__V1__Stats *message)
{
#define TAKE(field) stats->field = message->field;
    STATS_FIELDS(TAKE)
#undef TAKE
    for (size_t i = 0; i < message->n_dropped_by && i < PTQ_DROPS; i++)
        stats->dropped_by[i] = message->dropped_by[i];
    stats->remote = true;
    return true;
}

enum ptq_err pti_stats_unpack(const uint8_t *bytes, size_t size, struct ptq_queue_stats *ret_stats)
{
    UNPACK(Ptq__V1__Stats, ptq__v1__stats__descriptor, read_stats, bytes, size, ret_stats);
}

/* ---- GOAWAY, ERROR ---- */

size_t pti_goaway_pack(const struct pti_goaway *goaway, uint8_t *buffer, size_t room)
{
    Ptq__V1__Goaway message = PTQ__V1__GOAWAY__INIT;

    message.reason = borrow(goaway->reason);
    message.drain_ms = goaway->drain_ms;
    return pack(&message, buffer, room);
}

static bool read_goaway(struct pti_goaway *goaway, const Ptq__V1__Goaway *message)
{
    goaway->drain_ms = message->drain_ms;
    return COPY_TEXT(goaway->reason, message->reason);
}

enum ptq_err pti_goaway_unpack(const uint8_t *bytes, size_t size, struct pti_goaway *ret_goaway)
{
    UNPACK(Ptq__V1__Goaway, ptq__v1__goaway__descriptor, read_goaway, bytes, size, ret_goaway);
}

size_t pti_error_pack(const struct pti_error_message *error, uint8_t *buffer, size_t room)
{
    Ptq__V1__Error message = PTQ__V1__ERROR__INIT;

    message.code = (uint32_t)error->code;
    message.text = borrow(error->text);
    return pack(&message, buffer, room);
}

static bool read_error(struct pti_error_message *error, const Ptq__V1__Error *message)
{
    error->code = (enum ptq_err)message->code;
    return pti_is_answer(message->code) && message->code != PTQ_OK && COPY_TEXT(error->text, message->text);
}

enum ptq_err pti_error_unpack(const uint8_t *bytes, size_t size, struct pti_error_message *ret_error)
{
    UNPACK(Ptq__V1__Error, ptq__v1__error__descriptor, read_error, bytes, size, ret_error);
}

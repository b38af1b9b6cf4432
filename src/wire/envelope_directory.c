/* envelope_directory.c -- DIRECTORY and its answer as plain structs. */
#include "wire/envelope.h"

#include <stdlib.h>
#include <string.h>

#include "wire/arena.h"

size_t pti_directory_ask_pack(const struct pti_directory_ask *ask, uint8_t *buffer, size_t room)
{
    Ptq__V1__DirectoryAsk message = PTQ__V1__DIRECTORY_ASK__INIT;

    message.run = pti_borrow(ask->run);
    message.name = pti_borrow(ask->name);
    message.after = pti_borrow(ask->after);
    message.node_id = pti_borrow_id(ask->node_id, sizeof ask->node_id);
    message.making = ask->making;
    return pti_pack(&message, buffer, room);
}

static bool read_directory_ask(struct pti_directory_ask *ask, const Ptq__V1__DirectoryAsk *message)
{
    ask->making = message->making;
    return pti_copy_id(ask->node_id, sizeof ask->node_id, &message->node_id) && COPY_NAME_OR_NONE(ask->run, message->run) && COPY_NAME_OR_NONE(ask->name, message->name) &&
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
    message.node = pti_borrow(directory->node);
    message.run = pti_borrow(directory->run);
    message.served = directory->served;
    message.more = directory->more;
    message.names = names;
    message.n_names = directory->count;
    message.node_id = pti_borrow_id(directory->node_id, sizeof directory->node_id);
    message.incarnation = directory->incarnation;
    message.ttl_ms = directory->ttl_ms;
    return pti_pack(&message, buffer, room);
}

static bool read_directory(struct pti_directory *directory, const Ptq__V1__Directory *message)
{
    if (message->n_names > PTI_WIRE_NAMES || !COPY_WORDS(directory->node, message->node) ||
        !COPY_NAME_OR_NONE(directory->run, message->run) ||
        !pti_copy_id(directory->node_id, sizeof directory->node_id, &message->node_id))
        return false;
    directory->incarnation = message->incarnation;
    directory->ttl_ms = message->ttl_ms;
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

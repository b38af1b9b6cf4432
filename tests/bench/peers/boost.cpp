/* boost.cpp -- Boost.Interprocess's message_queue for C; see boost.c. */
#include "plus.h"

#include <boost/interprocess/ipc/message_queue.hpp>
#include <cstdio>

using boost::interprocess::message_queue;

void *boost_queue_new(const char *name, size_t capacity, size_t size, char *error, size_t error_size)
{
    try {
        auto *queue = new message_queue(boost::interprocess::create_only, name, capacity, size);
        message_queue::remove(name);
        return queue;
    } catch (const std::exception &failure) {
        message_queue::remove(name);
        std::snprintf(error, error_size, "%s", failure.what());
        return nullptr;
    }
}

void boost_queue_put(void *queue, const void *bytes, size_t size)
{
    static_cast<message_queue *>(queue)->send(bytes, size, 0);
}

void boost_queue_get(void *queue, void *bytes, size_t size)
{
    message_queue::size_type received;
    unsigned priority;
    static_cast<message_queue *>(queue)->receive(bytes, size, received, priority);
}

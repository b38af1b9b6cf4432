/* moodycamel.cpp -- moodycamel::ConcurrentQueue for C; see moodycamel.c. */
#include "plus.h"

#include <concurrentqueue/concurrentqueue.h>
#include <cstdint>
#include <cstring>

namespace {

struct any {
    virtual void *producer() = 0;
    virtual void *consumer() = 0;
    virtual ~any() = default;
};

template <size_t Size> struct message {
    uint64_t words[Size / 8];
};

template <size_t Size> struct queue : any {
    using of = moodycamel::ConcurrentQueue<message<Size>>;
    of messages;
    size_t room;
    queue(size_t capacity, size_t producers) : messages(capacity, producers, 0), room(capacity) {}
    void *producer() override;
    void *consumer() override;
};

/* What a thread holds. */
struct handle {
    bool (*put)(handle *, const void *);
    bool (*get)(handle *, void *);
};

template <size_t Size> struct put_side : handle {
    queue<Size> &line;
    moodycamel::ProducerToken token;
    unsigned turn = 0;
    explicit put_side(queue<Size> &q) : line(q), token(q.messages)
    {
        put = [](handle *self, const void *bytes) {
            auto *me = static_cast<put_side *>(self);
            message<Size> copy;
            std::memcpy(copy.words, bytes, Size);
            if (me->turn % 64 == 0 && me->line.messages.size_approx() >= me->line.room)
                return false;
            me->turn++;
            return me->line.messages.enqueue(me->token, copy);
        };
    }
};

template <size_t Size> struct get_side : handle {
    queue<Size> &line;
    moodycamel::ConsumerToken token;
    explicit get_side(queue<Size> &q) : line(q), token(q.messages)
    {
        get = [](handle *self, void *bytes) {
            auto *me = static_cast<get_side *>(self);
            message<Size> copy;
            if (!me->line.messages.try_dequeue(me->token, copy))
                return false;
            std::memcpy(bytes, copy.words, Size);
            return true;
        };
    }
};

template <size_t Size> void *queue<Size>::producer()
{
    return static_cast<handle *>(new put_side<Size>(*this));
}

template <size_t Size> void *queue<Size>::consumer()
{
    return static_cast<handle *>(new get_side<Size>(*this));
}

} // namespace

void *moodycamel_new(size_t capacity, size_t producers, size_t size)
{
    if (size == 8)
        return static_cast<any *>(new queue<8>(capacity, producers));
    if (size == 64)
        return static_cast<any *>(new queue<64>(capacity, producers));
    return nullptr;
}

void *moodycamel_producer(void *queue)
{
    return static_cast<any *>(queue)->producer();
}

void *moodycamel_consumer(void *queue)
{
    return static_cast<any *>(queue)->consumer();
}

bool moodycamel_put(void *producer, const void *bytes)
{
    auto *side = static_cast<handle *>(producer);
    return side->put(side, bytes);
}

bool moodycamel_get(void *consumer, void *bytes)
{
    auto *side = static_cast<handle *>(consumer);
    return side->get(side, bytes);
}

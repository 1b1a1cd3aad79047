// Boost.Interprocess' message_queue behind plain functions. No exception leaves this file: each
// function gives false or null and leaves the reason in a buffer.

#include <boost/interprocess/ipc/message_queue.hpp>

#include <cstddef>
#include <cstdio>
#include <exception>

using boost::interprocess::message_queue;

namespace {

template <typename Result, typename Function>
Result guarded(char *reason, std::size_t room, Result failed, Function function) {
    try {
        return function();
    } catch (const std::exception &error) {
        std::snprintf(reason, room, "%s", error.what());
        return failed;
    }
}

} // namespace

extern "C" {

void *compare_boost_create(const char *name, std::size_t messages, std::size_t longest,
                           char *reason, std::size_t room) {
    return guarded(reason, room, static_cast<void *>(nullptr), [&]() -> void * {
        return new message_queue(boost::interprocess::create_only, name, messages, longest);
    });
}

void *compare_boost_open(const char *name, char *reason, std::size_t room) {
    return guarded(reason, room, static_cast<void *>(nullptr), [&]() -> void * {
        return new message_queue(boost::interprocess::open_only, name);
    });
}

bool compare_boost_send(void *queue, const void *bytes, std::size_t len, char *reason,
                        std::size_t room) {
    return guarded(reason, room, false, [&] {
        static_cast<message_queue *>(queue)->send(bytes, len, 0);
        return true;
    });
}

bool compare_boost_receive(void *queue, void *bytes, std::size_t longest, std::size_t *len,
                           char *reason, std::size_t room) {
    return guarded(reason, room, false, [&] {
        message_queue::size_type received = 0;
        unsigned int priority = 0;
        static_cast<message_queue *>(queue)->receive(bytes, longest, received, priority);
        *len = received;
        return true;
    });
}

void compare_boost_remove(const char *name) { message_queue::remove(name); }
}

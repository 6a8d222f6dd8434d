#pragma once
// What the web servers of the controller have in common: how an address is written, and the threads
// that serve it, which the library has once for the whole process.
//
// Threading: at start and at the end, from one thread.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace handfast::metrics {

// "http" and "127.0.0.1:10254", ":10254" or "[::1]:10254" -> a URI; nothing for what is none. Port
// 0 is none: nobody could tell which one it became.
[[nodiscard]] std::optional<std::string> try_listen_uri(std::string_view scheme,
                                                        const std::string& address);

// Before the first server; later calls do nothing.
void start_server_threads();

// Lends the library this thread until then. A listener that closes waits for its connections on the
// library's thread, which they need to end: with one thread it would wait for good.
void serve_until(const std::function<bool()>& is_done);

}  // namespace handfast::metrics

#pragma once
// What the web servers of the controller have in common: how an address is written, and the threads
// that serve it, which the library has once for the whole process.
//
// Threading: any thread.

#include <optional>
#include <string>
#include <string_view>

namespace handfast::metrics {

// "http" and "127.0.0.1:10254", ":10254" or "[::1]:10254" -> a URI; nothing for what is none. Port
// 0 is none: nobody could tell which one it became.
[[nodiscard]] std::optional<std::string> try_listen_uri(std::string_view scheme,
                                                        const std::string& address);

// Before a server is opened. False: somebody else has made the library's pool, of one thread
// (controller/kube/api_client.h says why), and no server may be closed: it waits on that thread for
// connections which need it to end. Such a server is silenced and left to the end of the process.
[[nodiscard]] bool start_server_threads();

}  // namespace handfast::metrics

#pragma once
// A small HTTP/1.1 server for the process itself: control socket, metrics, admin page. One request
// a connection; not for traffic.
//
// Strangers may reach the metrics, and the loop is also that of probes and of the controller: so
// each byte is read once, a body is taken only where one is wanted, a connection has a minute, and
// each listener has room for so many connections and for so many bytes of answers that nobody
// fetches. Of connections the oldest that hasn't asked yet goes for the next, of answers the
// oldest.
//
// Threading: one loop's. A reply may come later, from the same thread.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/buffer.h"
#include "proxy/base/unique_fd.h"
#include "proxy/event/loop.h"
#include "proxy/net/listener.h"

namespace handfast::server {

struct HttpRequest {
  std::string method;
  std::string path;
  std::string body;
  std::string query{};  // without '?'
  std::string host{};   // of its Host, without the port
};

struct HttpReply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string headers{};  // more lines, each with its end
};

class HttpService {
 public:
  using Answer = std::function<void(HttpReply)>;
  // Must call `answer` once, now or later, on the loop's thread.
  using Handle = std::function<void(const HttpRequest& request, Answer answer)>;

  struct Access {
    std::size_t body_bytes = 0;  // that a request may bring; more: 413
    std::size_t connections = 256;
    std::size_t unsent_bytes = std::size_t{64} << 20;
    // Unix sockets; peers of another user (but root) are closed without an answer (SO_PEERCRED).
    bool same_user_only = false;
  };

  HttpService(event::Loop& loop, BufferPool& buffers);
  ~HttpService();

  // Takes a listening socket.
  Status listen(UniqueFd fd, Handle handle, Access access);

 private:
  class Session;
  struct Port {
    Handle handle;
    Access access;
  };

  void adopt(net::Socket socket, const Port& port);
  void make_room(const Port& port);
  void bound_unsent(const Session& newest);
  void close(Session& session);

  event::Loop& loop_;
  BufferPool& buffers_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::vector<std::unique_ptr<Session>> sessions_;  // in the order in which they came
};

}  // namespace handfast::server

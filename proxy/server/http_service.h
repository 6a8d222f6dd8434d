#pragma once
// A small HTTP/1.1 server for the process itself: control socket, metrics, admin page. One request
// a connection, bodies up to 1 MiB; not for traffic.
//
// Threading: one loop's. A reply may come later, from the same thread.

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

  HttpService(event::Loop& loop, BufferPool& buffers);
  ~HttpService();

  // Takes a listening socket. `same_user_only`: Unix sockets; peers of another user (but root) are
  // closed without an answer (SO_PEERCRED).
  Status listen(UniqueFd fd, Handle handle, bool same_user_only = false);

 private:
  class Session;
  void adopt(net::Socket socket, const Handle& handle, bool same_user_only);
  void close(Session& session);

  event::Loop& loop_;
  BufferPool& buffers_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::vector<std::unique_ptr<Session>> sessions_;
};

}  // namespace handfast::server

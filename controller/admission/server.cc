#include "controller/admission/server.h"

#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_listener.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "controller/admission/review.h"
#include "controller/metrics/listening.h"
#include "proxy/base/log.h"

namespace handfast::admission {
namespace {

using web::http::http_request;
using web::http::http_response;
using web::http::methods;
using web::http::experimental::listener::http_listener;
using web::http::experimental::listener::http_listener_config;

constexpr std::size_t kMaxWaiting = 32;
constexpr std::chrono::seconds kBodyTimeout{10};

// Whether the reply arrived is the peer's business; asking for it keeps the library from ending the
// process over an unobserved error.
void send(const http_request& request, const http_response& response) {
  request.reply(response).then([](const pplx::task<void>& sent) {
    try {
      sent.get();
    } catch (const std::exception& e) {
      log(LogLevel::Debug, "an admission client went away", {{"detail", e.what()}});
    }
  });
}

http_response response_of(const Server::Reply& reply) {
  http_response response(static_cast<web::http::status_code>(reply.status));
  response.set_body(reply.body,
                    reply.status == 200 ? "application/json" : "text/plain; charset=utf-8");
  if (reply.status == 405) response.headers().add("Allow", "POST");
  if (reply.status == 429) response.headers().add("Retry-After", "1");
  return response;
}

// The library reads on whatever is answered, and answers only after it: with an error in the buffer
// it stops at the next bytes.
void read_no_further(const http_request& request) {
  request.body().streambuf().close(std::ios_base::out,
                                   std::make_exception_ptr(std::runtime_error("refused")));
}

void refuse(const http_request& request, const Server::Reply& reply) {
  read_no_further(request);
  http_response response = response_of(reply);
  response.headers().add("Connection", "close");
  send(request, response);
}

// Thinks about reviews: the library's own threads are few, and others wait for them.
class Worker final {
 public:
  Worker() : thread_{[this] { run(); }} {}
  // What is queued is done first.
  ~Worker() {
    {
      const std::lock_guard lock{mutex_};
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void add(std::function<void()> job) {
    {
      const std::lock_guard lock{mutex_};
      jobs_.push_back(std::move(job));
    }
    changed_.notify_all();
  }

 private:
  void run() {
    std::unique_lock lock{mutex_};
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      const std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;  // guarded by mutex_; at most kMaxWaiting
  bool stopping_ = false;                   // guarded by mutex_
  std::thread thread_;
};

class Listener final {
 public:
  Listener(const std::string& uri, ServingTls& tls, Server::Handler handler)
      : tls_(&tls), handler_(std::move(handler)), listener_(web::uri(uri), config()) {
    listener_.support([this](const http_request& request) {
      try {
        on_request(request);
      } catch (const std::exception& e) {
        log(LogLevel::Warning, "an admission request failed", {{"detail", e.what()}});
      }
    });
  }

  void close() {
    try {
      listener_.close().wait();
    } catch (const std::exception& e) {
      log(LogLevel::Warning, "the admission webhook did not close", {{"detail", e.what()}});
    }
  }

  // No handshake succeeds and nothing is handled from here on; waits for what is being handled.
  void silence() {
    const std::lock_guard lock{borrowed_};
    tls_ = nullptr;
    handler_ = nullptr;
  }

  void open() { listener_.open().wait(); }

 private:
  struct Waiting {
    std::chrono::steady_clock::time_point until;
    http_request request;
    bool has_come = false;  // its body, whole
  };

  void on_request(const http_request& request);
  // Answers its number, or 0 if there are too many.
  std::size_t enter(const http_request& request);
  // False: it has been given up.
  bool note_body(std::size_t number);
  void leave(std::size_t number);
  http_listener_config config();
  void answer(const http_request& request, std::size_t number, const std::string& body);

  std::mutex borrowed_;
  ServingTls* tls_;          // guarded by borrowed_; null: it is over
  Server::Handler handler_;  // guarded by borrowed_
  std::mutex mutex_;
  std::map<std::size_t, Waiting> waiting_;  // guarded by mutex_
  std::size_t last_ = 0;                    // guarded by mutex_
  Worker worker_;
  http_listener listener_;
};

void Listener::on_request(const http_request& request) {
  if (request.relative_uri().path() != "/validate") return refuse(request, {404, "not found\n"});
  if (request.method() != methods::POST) return refuse(request, {405, "only POST\n"});
  if (!request.headers().has("Content-Length")) {
    return refuse(request, {411, "Content-Length is missing\n"});
  }
  if (request.headers().content_length() > kMaxReviewBytes) {
    return refuse(request, {413, "larger than 3 MiB\n"});
  }
  const std::size_t number = enter(request);
  if (number == 0) return refuse(request, {429, "too many reviews at once\n"});
  request.extract_vector().then(
      [this, request, number](const pplx::task<std::vector<unsigned char>>& body) {
        try {
          const std::vector<unsigned char>& bytes = body.get();
          if (bytes.size() == request.headers().content_length() && note_body(number)) {
            std::string text(bytes.begin(), bytes.end());
            worker_.add([this, request, number, text] { answer(request, number, text); });
            return;
          }
        } catch (const std::exception& e) {
          log(LogLevel::Debug, "an admission request did not arrive", {{"detail", e.what()}});
        }
        leave(number);
        refuse(request, {408, "the body did not arrive\n"});
      });
}

void Listener::answer(const http_request& request, std::size_t number, const std::string& body) {
  try {
    const std::lock_guard lock{borrowed_};
    const Server::Reply over{503, "shutting down\n"};
    send(request, response_of(handler_ ? handler_(body) : over));
  } catch (const std::exception& e) {
    log(LogLevel::Warning, "an admission request failed", {{"detail", e.what()}});
  }
  leave(number);
}

http_listener_config Listener::config() {
  http_listener_config made;
  made.set_ssl_context_callback([this](boost::asio::ssl::context& context) {
    const std::lock_guard lock{borrowed_};
    if (tls_ != nullptr) tls_->prepare(context.native_handle());
  });
  return made;
}

std::size_t Listener::enter(const http_request& request) {
  const auto now = std::chrono::steady_clock::now();
  std::vector<http_request> late;
  std::size_t number = 0;
  {
    const std::lock_guard lock{mutex_};
    // Who sends nothing must not keep the API server waiting: the oldest goes for the next.
    const auto is_late = [&](const auto& each) {
      return !each.second.has_come && (each.second.until < now || waiting_.size() >= kMaxWaiting);
    };
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      if (!is_late(*at)) {
        ++at;
        continue;
      }
      late.push_back(at->second.request);
      at = waiting_.erase(at);
    }
    if (waiting_.size() < kMaxWaiting) {
      number = ++last_;
      waiting_.emplace(number, Waiting{now + kBodyTimeout, request});
    }
  }
  for (const http_request& each : late) read_no_further(each);
  return number;
}

bool Listener::note_body(std::size_t number) {
  const std::lock_guard lock{mutex_};
  const auto found = waiting_.find(number);
  if (found == waiting_.end()) return false;
  found->second.has_come = true;
  return true;
}

void Listener::leave(std::size_t number) {
  const std::lock_guard lock{mutex_};
  waiting_.erase(number);
}

class Handle final : public Server {
 public:
  Handle(std::unique_ptr<Listener> listener, bool can_close)
      : listener_(std::move(listener)), can_close_(can_close) {}
  ~Handle() override {
    if (can_close_) {
      listener_->close();
    } else {
      listener_.release()->silence();
    }
  }

 private:
  std::unique_ptr<Listener> listener_;
  const bool can_close_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::open(const std::string& address, ServingTls& tls,
                                             Handler handler) {
  const auto uri = metrics::try_listen_uri("https", address);
  if (!uri) {
    return fail(Reason::InvalidValue,
                "\"" + address + "\" is not an address like 0.0.0.0:9443 (port 1 to 65535)");
  }
  const bool can_close = metrics::start_server_threads();
  try {
    auto listener = std::make_unique<Listener>(*uri, tls, std::move(handler));
    listener->open();
    return std::make_unique<Handle>(std::move(listener), can_close);
  } catch (const std::exception& e) {
    return fail(Reason::Io, "can't listen on " + address + ": " + e.what());
  }
}

}  // namespace handfast::admission

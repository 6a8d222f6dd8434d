#include "controller/fetch/http_getter.h"

#include <pplx/threadpool.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

#include "controller/kube/http_exchange.h"

namespace handfast::fetch {
namespace {

tl::unexpected<Error> failed(const std::string& url, const std::string& why) {
  return fail(Reason::Io, url + ": " + why);
}

}  // namespace

struct HttpGetter::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool cancelled = false;                                    // guarded by mutex
  std::optional<pplx::cancellation_token_source> under_way;  // guarded by mutex
};

namespace {

// What has come of one request. Owned by its callbacks too, which the library lets go when it
// likes.
struct Exchange {
  std::mutex mutex;
  std::condition_variable ended;
  bool is_over = false;  // the rest is guarded by mutex, and whole once this is set
  int status = 0;
  std::string body;
  std::string failure;
};

void on_end(Exchange& exchange, std::string failure) {
  const std::lock_guard lock{exchange.mutex};
  exchange.is_over = true;
  exchange.failure = std::move(failure);
  exchange.ended.notify_all();
}

// On the pool's thread, as all that happens to a connection (controller/kube/api_client.h).
void send(const std::string& url, const GetLimits& limits,
          const std::shared_ptr<Exchange>& exchange, const pplx::cancellation_token& token) {
  web::http::client::http_client_config config;
  config.set_timeout(limits.time);
  config.set_max_redirects(0);
  auto client = std::make_shared<web::http::client::http_client>(url, config);
  web::http::http_request message(web::http::methods::GET);
  message.headers().add("User-Agent", "handfast-controller/" HANDFAST_VERSION);
  kube::exchange(*client, std::move(message), token,
                 {.on_head =
                      [exchange](const auto& head) {
                        const std::lock_guard lock{exchange->mutex};
                        exchange->status = head.status_code();
                      },
                  .on_bytes =
                      [exchange, most = limits.bytes](std::string_view bytes) {
                        const std::lock_guard lock{exchange->mutex};
                        if (exchange->body.size() + bytes.size() > most) return false;
                        exchange->body += bytes;
                        return true;
                      },
                  .on_end = [exchange, client](
                                std::string failure) { on_end(*exchange, std::move(failure)); }});
}

}  // namespace

HttpGetter::HttpGetter(const GetLimits& limits)
    : limits_(limits), shared_(std::make_shared<Shared>()) {}
HttpGetter::~HttpGetter() = default;

Result<std::string> HttpGetter::get(const std::string& url) {
  pplx::cancellation_token_source source;
  {
    const std::lock_guard lock{shared_->mutex};
    if (shared_->cancelled) return failed(url, "the controller stops");
    shared_->under_way = source;
  }
  auto exchange = std::make_shared<Exchange>();
  auto& service = crossplat::threadpool::shared_instance().service();
  service.post([url, limits = limits_, exchange, source] {
    try {
      send(url, limits, exchange, source.get_token());
    } catch (const std::exception& e) {
      on_end(*exchange, e.what());
    }
  });
  std::unique_lock lock{exchange->mutex};
  const auto is_over = [&exchange] { return exchange->is_over; };
  if (!exchange->ended.wait_for(lock, limits_.time, is_over)) {
    service.post([source] { source.cancel(); });
    return failed(url, "nothing whole came in " + std::to_string(limits_.time.count()) + " s");
  }
  if (!exchange->failure.empty()) return failed(url, exchange->failure);
  if (exchange->status != 200) {
    return failed(url, "the answer was " + std::to_string(exchange->status));
  }
  return std::move(exchange->body);
}

void HttpGetter::cancel() {
  const std::lock_guard lock{shared_->mutex};
  shared_->cancelled = true;
  if (!shared_->under_way) return;
  crossplat::threadpool::shared_instance().service().post(
      [source = *shared_->under_way] { source.cancel(); });
}

}  // namespace handfast::fetch

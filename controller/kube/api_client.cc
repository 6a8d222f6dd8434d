#include "controller/kube/api_client.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#define _TURN_OFF_PLATFORM_STRING
#include <cpprest/http_client.h>
#include <pplx/threadpool.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <charconv>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "controller/kube/credentials.h"
#include "controller/kube/http_exchange.h"
#include "controller/kube/tls_material.h"
#include "controller/objects/names.h"
#include "proxy/base/check.h"
#include "proxy/base/log.h"

namespace handfast::kube {
namespace {

using web::http::http_request;
using web::http::http_response;
using web::http::client::http_client;
using web::http::client::http_client_config;

// The callers watch over silence themselves; this is for what they can't see.
constexpr std::chrono::seconds kMostSilence{600};
// Of a body that isn't read as lines though lines were asked for: an error.
constexpr std::size_t kMaxErrorBody = std::size_t{64} << 10;

constexpr std::chrono::seconds kMostWaitForEnd{5};

constexpr int kKeepAliveIdle = 15;
constexpr int kKeepAliveInterval = 10;
constexpr int kKeepAliveProbes = 3;
constexpr unsigned kUserTimeoutMs = 30'000;

using Stream = boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>;

// Where a TLS connection keeps the way back to its socket.
int stream_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// Failures are no reason to give up a connection.
void set_tcp_options(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveIdle, sizeof kKeepAliveIdle);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepAliveInterval,
                     sizeof kKeepAliveInterval);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kKeepAliveProbes, sizeof kKeepAliveProbes);
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUserTimeoutMs, sizeof kUserTimeoutMs);
}

// The library shows the socket before it is open and never again, so its options are set when the
// handshake begins. Of a name with several addresses only the first has them: the callers' limits
// on silence hold for the others.
void on_tls_event(const SSL* ssl, int where, int value) {
  // The library says that a handshake failed, and not why.
  if ((where & SSL_CB_ALERT) != 0 && (value & 0xff) != SSL_AD_CLOSE_NOTIFY) {
    log(LogLevel::Warning, "the TLS connection to the API server failed",
        {{"alert", SSL_alert_desc_string_long(value)},
         {"sent_by", (where & SSL_CB_WRITE) != 0 ? "us" : "the server"},
         {"verification", X509_verify_cert_error_string(SSL_get_verify_result(ssl))}});
    return;
  }
  if ((where & SSL_CB_HANDSHAKE_START) == 0) return;
  auto* const stream = static_cast<Stream*>(SSL_get_ex_data(ssl, stream_index()));
  if (stream != nullptr && stream->next_layer().is_open()) {
    set_tcp_options(stream->next_layer().native_handle());
  }
}

std::optional<std::chrono::seconds> retry_after(const http_response& response) {
  const auto found = response.headers().find("Retry-After");
  if (found == response.headers().end()) return std::nullopt;
  unsigned seconds = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return std::chrono::seconds(seconds);
}

bool is_address(const std::string& name) {
  return objects::is_ipv4(name) || objects::is_ipv6(name);
}

// The library hands a host with brackets to the resolver, which knows none; without them it takes
// what follows the last colon for the port.
std::string base_of(const std::string& server, const ServerAddress& address) {
  if (!objects::is_ipv6(address.host)) return server;
  return "https://" + address.host + ':' + address.port + address.path;
}

}  // namespace

void start_thread() {
  try {
    crossplat::threadpool::initialize_with_threads(1);
  } catch (const std::exception&) {
    // It runs already.
  }
}

struct ApiClient::Shared {
  Shared(Access access, const ServerAddress& server, const Clock& clock)
      : credentials(std::move(access), clock),
        name(credentials.access().server_name.empty() ? server.host
                                                      : credentials.access().server_name),
        tls(name, is_address(name)) {}

  void prepare(SSL_CTX* context) {
    auto pems = credentials.pems();
    Status status = pems ? tls.prepare(context, *pems) : fail(std::move(pems.error()));
    if (!status) {
      TlsMaterial::close_off(context);
      log(LogLevel::Error, "the API server can't be asked securely, so it isn't asked",
          {{"detail", status.error().detail}});
    }
    SSL_CTX_set_info_callback(context, on_tls_event);
  }

  Credentials credentials;
  const std::string name;
  TlsMaterial tls;
  std::unique_ptr<http_client> client;

  std::mutex mutex;
  std::condition_variable ended;
  std::map<Id, pplx::cancellation_token_source> under_way;  // guarded by mutex
  Id next = 1;                                              // guarded by mutex
};

// One request. All but its making happens on the pool's thread.
class ApiClient::Exchange {
 public:
  Exchange(std::shared_ptr<Shared> shared, Id id, const Request& request, Callbacks callbacks)
      : shared_(std::move(shared)),
        id_(id),
        is_stream_(request.is_stream),
        max_bytes_(request.max_bytes),
        callbacks_(std::move(callbacks)) {}

  void on_head(const http_response& response) {
    answer_.status = response.status_code();
    answer_.retry_after = retry_after(response);
    if (answer_.status == 401) shared_->credentials.on_refused();
    if (gives_lines() && callbacks_.on_open) callbacks_.on_open();
    std::string early = std::exchange(pending_, {});
    is_open_ = true;
    // What is too large here is found out at the next bytes, or at the end.
    if (!early.empty()) (void)on_bytes(early);
  }

  // False: more than was allowed.
  bool on_bytes(std::string_view bytes) {
    if (!is_open_) {
      pending_ += bytes;
      return pending_.size() <= max_bytes_;
    }
    if (!gives_lines()) {
      const std::size_t most = is_stream_ ? kMaxErrorBody : max_bytes_;
      if (answer_.body.size() + bytes.size() > most) return false;
      answer_.body += bytes;
      return true;
    }
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      line_ += bytes.substr(0, end);
      if (line_.size() > max_bytes_) return false;
      if (end == std::string_view::npos) break;
      bytes.remove_prefix(end + 1);
      if (!line_.empty()) callbacks_.on_line(std::exchange(line_, {}));
    }
    return true;
  }

  void on_end(std::string failure) {
    answer_.failure = std::move(failure);
    if (callbacks_.on_end) callbacks_.on_end(std::move(answer_));
    callbacks_ = {};
    const std::lock_guard lock{shared_->mutex};
    shared_->under_way.erase(id_);
    shared_->ended.notify_all();
  }

 private:
  [[nodiscard]] bool gives_lines() const { return is_stream_ && answer_.status == 200; }

  const std::shared_ptr<Shared> shared_;
  const Id id_;
  const bool is_stream_;
  const std::size_t max_bytes_;
  Callbacks callbacks_;
  Answer answer_;
  bool is_open_ = false;
  std::string pending_;  // that came before the head was told
  std::string line_;     // the beginning of one
};

Result<std::unique_ptr<ApiClient>> ApiClient::make(Access access, const Clock& clock) {
  const auto server = parse_server(access.server);
  if (!server) return within(access.server, server.error());
  const std::string base = base_of(access.server, *server);
  auto shared = std::make_shared<Shared>(std::move(access), *server, clock);
  if (Status status = shared->credentials.start(); !status) return fail(std::move(status.error()));

  http_client_config config;
  config.set_timeout(kMostSilence);
  config.set_max_redirects(0);
  config.set_request_compressed_response(true);
  config.set_tlsext_sni_enabled(!is_address(shared->name));
  Shared* const borrowed = shared.get();
  config.set_ssl_context_callback([borrowed](boost::asio::ssl::context& context) {
    borrowed->prepare(context.native_handle());
  });
  config.set_nativehandle_options([](web::http::client::native_handle handle) {
    auto* const stream = static_cast<Stream*>(handle);
    (void)SSL_set_ex_data(stream->native_handle(), stream_index(), stream);
  });
  try {
    shared->client = std::make_unique<http_client>(base, config);
  } catch (const std::exception& e) {
    return fail(Reason::InvalidValue, base + ": " + e.what());
  }
  return std::unique_ptr<ApiClient>(new ApiClient(std::move(shared)));
}

ApiClient::ApiClient(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

ApiClient::~ApiClient() {
  std::unique_lock lock{shared_->mutex};
  for (auto& [id, source] : shared_->under_way) {
    crossplat::threadpool::shared_instance().service().post([source = source] { source.cancel(); });
  }
  // One that looks up a name ends when that does; what it holds lives as long as it needs it.
  (void)shared_->ended.wait_for(lock, kMostWaitForEnd,
                                [this] { return shared_->under_way.empty(); });
}

Api::Id ApiClient::send(Request request, Callbacks callbacks) {
  pplx::cancellation_token_source source;
  Id id = 0;
  {
    const std::lock_guard lock{shared_->mutex};
    id = shared_->next++;
    shared_->under_way.emplace(id, source);
  }
  auto exchange = std::make_shared<Exchange>(shared_, id, request, std::move(callbacks));
  // Made and sent on the pool's thread, as all that happens to a connection.
  crossplat::threadpool::shared_instance().service().post([shared = shared_, exchange, source,
                                                           request = std::move(request)] {
    try {
      http_request message(request.method);
      message.set_request_uri(request.target);
      auto& headers = message.headers();
      headers.add("Accept", "application/json");
      // The API server wants just that word: what the library adds, with weights, it passes
      // over.
      if (!request.is_stream) headers.add("Accept-Encoding", "gzip");
      headers.add("User-Agent", "handfast-controller/" HANDFAST_VERSION);
      // By this name the library checks the certificate a second time.
      const Access& access = shared->credentials.access();
      if (!access.server_name.empty()) headers.add("Host", access.server_name);
      if (const std::string token = shared->credentials.token(); !token.empty()) {
        headers.add("Authorization", "Bearer " + token);
      }
      if (!request.body.empty()) message.set_body(request.body, request.content_type);
      kube::exchange(
          *shared->client, std::move(message), source.get_token(),
          {.on_head = [exchange](const auto& head) { exchange->on_head(head); },
           .on_bytes = [exchange](auto bytes) { return exchange->on_bytes(bytes); },
           .on_end = [exchange](std::string failure) { exchange->on_end(std::move(failure)); }});
    } catch (const std::exception& e) {
      exchange->on_end(e.what());
    }
  });
  return id;
}

void ApiClient::cancel(Id id) {
  const std::lock_guard lock{shared_->mutex};
  const auto found = shared_->under_way.find(id);
  if (found == shared_->under_way.end()) return;
  crossplat::threadpool::shared_instance().service().post(
      [source = found->second] { source.cancel(); });
}

}  // namespace handfast::kube

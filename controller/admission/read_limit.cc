#include "controller/admission/read_limit.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <utility>

#include "controller/admission/review.h"

namespace handfast::admission {
namespace {

constexpr std::size_t kOrdinary = std::size_t{64} << 10;
constexpr std::size_t kMostOfOne = kMaxReviewBytes + kOrdinary;
constexpr std::size_t kMostOfAll = std::size_t{64} << 20;

struct Count {
  std::size_t bytes = 0;
  std::shared_ptr<std::atomic<std::size_t>> sum;

  void add(std::size_t more) {
    bytes += more;
    sum->fetch_add(more, std::memory_order_relaxed);
  }
  void clear() { sum->fetch_sub(std::exchange(bytes, 0), std::memory_order_relaxed); }
  [[nodiscard]] bool is_over() const {
    return bytes > kMostOfOne ||
           (bytes > kOrdinary && sum->load(std::memory_order_relaxed) > kMostOfAll);
  }
};

void free_count(void*, void* count, CRYPTO_EX_DATA*, int, long, void*) {
  if (count == nullptr) return;
  static_cast<Count*>(count)->clear();
  delete static_cast<Count*>(count);
}

int count_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, free_count);
  return index;
}

// Called for each record: `content_type` is SSL3_RT_HEADER with its five bytes, or, of TLS 1.3,
// what is inside.
void on_message(int is_written, int version, int content_type, const void* bytes, std::size_t size,
                SSL* ssl, void* argument) {
  auto& count = *static_cast<Count*>(argument);
  const auto* at = static_cast<const unsigned char*>(bytes);
  if (is_written != 0) {
    const bool is_inner = content_type == SSL3_RT_INNER_CONTENT_TYPE && size == 1;
    const bool is_outer = content_type == SSL3_RT_HEADER && size >= SSL3_RT_HEADER_LENGTH &&
                          SSL_version(ssl) < TLS1_3_VERSION;
    // An answer: what came before it has been worked off.
    if ((is_inner || is_outer) && at[0] == SSL3_RT_APPLICATION_DATA) count.clear();
    return;
  }
  (void)version;
  if (content_type != SSL3_RT_HEADER || size < SSL3_RT_HEADER_LENGTH) return;
  count.add(static_cast<std::size_t>(at[3]) << 8 | at[4]);
  if (count.is_over()) SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
}

}  // namespace

bool ReadLimit::apply(ssl_ctx_st* context) const {
  auto count = std::make_unique<Count>();
  count->sum = sum_;
  if (SSL_CTX_set_ex_data(context, count_index(), count.get()) != 1) return false;
  SSL_CTX_set_msg_callback(context, on_message);
  SSL_CTX_set_msg_callback_arg(context, count.release());
  return true;
}

}  // namespace handfast::admission

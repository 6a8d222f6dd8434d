#include "controller/kube/http_exchange.h"

#include <cpprest/streams.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>

namespace handfast::kube {
namespace {

class Body final : public concurrency::streams::details::streambuf_state_manager<uint8_t> {
 public:
  explicit Body(std::function<bool(std::string_view)> take)
      : streambuf_state_manager(std::ios_base::out), take_(std::move(take)) {}

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(std::ios_base::openmode /*unused*/) const override { return 0; }
  void set_buffer_size(size_t /*unused*/, std::ios_base::openmode /*unused*/) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode /*unused*/) const override { return traits::eof(); }
  pos_type seekpos(pos_type /*unused*/, std::ios_base::openmode /*unused*/) override {
    return traits::eof();
  }
  pos_type seekoff(off_type /*unused*/, std::ios_base::seekdir /*unused*/,
                   std::ios_base::openmode /*unused*/) override {
    return traits::eof();
  }
  bool acquire(uint8_t*& pointer, size_t& count) override {
    pointer = nullptr;
    count = 0;
    return false;
  }
  void release(uint8_t* /*unused*/, size_t /*unused*/) override {}

 protected:
  pplx::task<size_t> _putn(const uint8_t* bytes, size_t count) override {
    if (!take_({reinterpret_cast<const char*>(bytes), count})) {
      return pplx::task_from_exception<size_t>(
          std::make_exception_ptr(std::length_error("more than is allowed came")));
    }
    return pplx::task_from_result(count);
  }
  pplx::task<int_type> _putc(uint8_t byte) override {
    return _putn(&byte, 1).then([byte](size_t) { return static_cast<int_type>(byte); });
  }
  pplx::task<int_type> _bumpc() override { return nothing(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return nothing(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return nothing(); }
  pplx::task<int_type> _ungetc() override { return nothing(); }
  pplx::task<size_t> _getn(uint8_t* /*unused*/, size_t /*unused*/) override {
    return pplx::task_from_result<size_t>(0);
  }
  size_t _scopy(uint8_t* /*unused*/, size_t /*unused*/) override { return 0; }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  uint8_t* _alloc(size_t /*unused*/) override { return nullptr; }
  void _commit(size_t /*unused*/) override {}

 private:
  static pplx::task<int_type> nothing() { return pplx::task_from_result<int_type>(traits::eof()); }

  const std::function<bool(std::string_view)> take_;
};

}  // namespace

void exchange(web::http::client::http_client& client, web::http::http_request message,
              const pplx::cancellation_token& token, HttpCallbacks callbacks) {
  using web::http::http_response;
  message.set_response_stream(concurrency::streams::ostream(
      concurrency::streams::streambuf<uint8_t>(std::make_shared<Body>(callbacks.on_bytes))));
  client.request(std::move(message), token)
      .then([on_head = std::move(callbacks.on_head)](const pplx::task<http_response>& head) {
        try {
          const http_response response = head.get();
          on_head(response);
          return response.content_ready();
        } catch (...) {
          return pplx::task_from_exception<http_response>(std::current_exception());
        }
      })
      .then([on_end = std::move(callbacks.on_end)](const pplx::task<http_response>& whole) {
        try {
          (void)whole.get();
          on_end({});
        } catch (const std::exception& e) {
          on_end(*e.what() == '\0' ? "it broke" : e.what());
        }
      });
}

}  // namespace handfast::kube

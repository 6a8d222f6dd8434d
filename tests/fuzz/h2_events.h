#pragma once
// What the two HTTP/2 targets share: a record of events that doesn't depend on how bytes were cut.

#include <string>
#include <string_view>

#include "proxy/base/buffer.h"
#include "proxy/base/check.h"
#include "proxy/http/chars.h"
#include "proxy/http/fields.h"
#include "proxy/http/h2_codec.h"

namespace handfast::http {

class H2EventRecord : public H2Codec::Events {
 public:
  std::string text;

  void on_h2_request(H2StreamId stream, const RequestHead& head) override {
    note(stream, "request", head.target);
    check_fields(head.headers);
  }
  void on_h2_bad_request(H2StreamId stream, int status, std::string_view what) override {
    check(!what.empty(), "refused for nothing");
    note(stream, "bad", std::to_string(status));
  }
  void on_h2_response(H2StreamId stream, const ResponseHead& head) override {
    note(stream, "response", std::to_string(head.status));
    check_fields(head.headers);
  }
  // Of a body that turns out too long, more or less came before.
  void on_h2_data(H2StreamId, std::string_view payload) override {
    check(!payload.empty(), "empty data");
  }
  void on_h2_end(H2StreamId stream, const HeaderList& trailers) override {
    note(stream, "end", std::to_string(trailers.items().size()));
    check_fields(trailers);
  }
  void on_h2_closed(H2StreamId stream, H2Error error) override {
    note(stream, "closed", std::to_string(static_cast<std::uint32_t>(error)));
  }
  void on_h2_drained(H2StreamId) override {}
  void on_h2_goaway(H2StreamId last, H2Error) override { note(last, "goaway", ""); }

 private:
  void note(H2StreamId stream, std::string_view what, std::string_view more) {
    text.append(std::to_string(stream)).append(" ").append(what);
    text.append(" ").append(more).append("\n");
  }
  static void check_fields(const HeaderList& fields) {
    for (const Header& field : fields.items()) {
      check(is_token(field.name), "not a name");
      const char* const end = field.value.data() + field.value.size();
      check(find_non_value(field.value.data(), end) == end, "not a value");
      check(trim_blanks(field.value) == field.value, "blanks around a value");
    }
  }
};

// Everything that is to be sent; bounded.
inline std::string drain(H2Codec& codec) {
  BufferPool pool;
  Buffer out(pool);
  codec.produce(out, 1 << 20);
  check(out.size() <= (1 << 20) + 16'384, "more than the mark");
  return std::string(out.view());
}

}  // namespace handfast::http

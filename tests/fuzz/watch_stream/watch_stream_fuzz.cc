// What an API server sends: pages of a list, and lines of a watch, to a reflector that is in the
// middle of either. Whatever comes, the reflector ends up in a state in which something is due.

#include <string_view>
#include <utility>
#include <vector>

#include "controller/kube/reflector.h"
#include "proxy/base/check.h"
#include "tests/fuzz/fuzz_one.h"

namespace handfast {
namespace {

constexpr kube::Resource kSecrets{"Secret", "secrets", "", {"v1"}};

class Counter final : public kube::Listener {
 public:
  bool wants(const objects::ObjectKey& key) override {
    check(!key.name.empty() && !key.ns.empty(), "an object without a name");
    return key.name != "unwanted";
  }
  void on_object(const objects::ObjectKey& key, objects::Object object) override {
    check(objects::key(object) == key, "an object under another's name");
  }
  void on_bad(const objects::ObjectKey& /*key*/,
              std::vector<objects::Decoded::Problem> problems) override {
    check(!problems.empty(), "bad for no reason");
  }
  void on_gone(const objects::ObjectKey& /*key*/) override {}
  void on_name(const objects::ObjectKey& /*key*/) override {}
};

void watch(std::string_view text, bool is_resumed) {
  Counter counter;
  kube::Reflector reflector(kSecrets, {}, counter, [] { return 0.5; });
  Monotonic now{std::chrono::seconds{1}};
  if (is_resumed) {
    (void)reflector.take_request(now);
    kube::Answer refused;
    refused.status = 422;
    reflector.on_end(refused, now);
    (void)reflector.take_request(now);
    kube::Answer page;
    page.status = 200;
    page.body = R"({"metadata":{"resourceVersion":"10"},"items":[]})";
    reflector.on_end(page, now);
  }
  (void)reflector.take_request(now);
  reflector.on_open(now);
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (!reflector.on_line(text.substr(0, end), now)) break;
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  kube::Answer over;
  over.status = 200;
  reflector.on_end(over, now);
  check(reflector.take_request(reflector.due()).has_value(), "nothing is due anymore");
}

}  // namespace

void fuzz_one(std::span<const std::byte> input) {
  const std::string_view text{reinterpret_cast<const char*>(input.data()), input.size()};
  watch(text, false);
  watch(text, true);
  if (const auto page = kube::parse_list(text, kSecrets, 0)) {
    for (const kube::Item& item : page->items) (void)kube::decode(item);
  }
  (void)kube::message_of(text);
}

}  // namespace handfast

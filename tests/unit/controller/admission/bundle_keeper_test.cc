#include "controller/admission/bundle_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "controller/objects/decode.h"
#include "controller/objects/json_reader.h"
#include "tests/support/test_authority.h"
#include "tests/support/times.h"

namespace handfast::admission {
namespace {

using handfast::testing::kYear2026;
using ::testing::HasSubstr;

// An API server with one configuration: answers from a thread of its own, as a client does.
class FakeApi final : public kube::Api {
 public:
  FakeApi() : thread_{[this] { run(); }} {}
  ~FakeApi() override {
    {
      const std::lock_guard lock{mutex_};
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  FakeApi(const FakeApi&) = delete;
  FakeApi& operator=(const FakeApi&) = delete;

  Id send(kube::Request request, kube::Callbacks callbacks) override {
    {
      const std::lock_guard lock{mutex_};
      queue_.emplace_back(std::move(request), std::move(callbacks));
    }
    changed_.notify_all();
    return 1;
  }
  void cancel(Id) override {
    const std::lock_guard lock{mutex_};
    if (watch_) queue_.emplace_back(kube::Request{}, std::move(*watch_));
    watch_.reset();
    changed_.notify_all();
  }

  // What the configuration's one webhook has, PEM.
  std::string bundle() {
    const std::lock_guard lock{mutex_};
    return objects::decode_base64(bundle_).value_or("?");
  }
  void await(const std::function<bool(const std::string& bundle)>& is_so) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return is_so(objects::decode_base64(bundle_).value_or("?")); });
  }
  void await_watch() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return watch_.has_value(); });
  }
  // Somebody else writes.
  void overwrite(const std::string& base64) {
    std::function<void(std::string)> tell;
    {
      const std::lock_guard lock{mutex_};
      bundle_ = base64;
      ++version_;
      if (watch_) tell = watch_->on_line;
    }
    if (tell) tell("{}");
  }

  int conflicts_ahead = 0;  // before the first request

 private:
  void run() {
    std::unique_lock lock{mutex_};
    while (true) {
      changed_.wait(lock, [this] { return over_ || !queue_.empty(); });
      if (queue_.empty()) return;
      auto [request, callbacks] = std::move(queue_.front());
      queue_.pop_front();
      if (request.is_stream) {
        watch_ = std::move(callbacks);
        changed_.notify_all();
        continue;
      }
      kube::Answer answer = answer_to(request);
      lock.unlock();
      callbacks.on_end(std::move(answer));
      lock.lock();
      changed_.notify_all();
    }
  }

  kube::Answer answer_to(const kube::Request& request) {
    kube::Answer answer;
    answer.status = 200;
    if (request.method == "PATCH") {
      objects::JsonReader reader{request.body, 1};
      const auto patch = reader.next();
      const std::string version = patch->list[0].find("value")->scalar;
      if (conflicts_ahead > 0) {
        --conflicts_ahead;
        ++version_;
      }
      if (version != std::to_string(version_)) {
        answer.status = 409;
        return answer;
      }
      bundle_ = patch->list[1].find("value")->scalar;
      ++version_;
    }
    answer.body = R"({"kind":"ValidatingWebhookConfiguration","metadata":{"resourceVersion":")" +
                  std::to_string(version_) +
                  R"("},"webhooks":[{"name":"a","clientConfig":{"caBundle":")" + bundle_ +
                  R"("}}]})";
    return answer;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<kube::Request, kube::Callbacks>> queue_;
  std::optional<kube::Callbacks> watch_;
  std::string bundle_;
  int version_ = 1;
  bool over_ = false;
  std::thread thread_;
};

class BundleKeeperTest : public ::testing::Test {
 protected:
  BundleKeeperTest() {
    auto tls = ServingTls::open({});
    EXPECT_TRUE(tls.has_value());
    tls_ = std::move(*tls);
    auto own = OwnCertificate::make({"a.svc"}, kYear2026);
    EXPECT_TRUE(own.has_value());
    certificate_ = own->serving().certificate;
    keeper_.emplace(api_, "handfast", std::move(*own), *tls_, clock_);
  }
  void start() {
    thread_ = std::thread{[this] { keeper_->run(); }};
  }
  void end() {
    keeper_->stop();
    thread_.join();
  }
  [[nodiscard]] auto has_own() const {
    return [this](const std::string& bundle) {
      return bundle.find(certificate_) != std::string::npos;
    };
  }

  const handfast::testing::FakeClock clock_;
  FakeApi api_;
  std::unique_ptr<ServingTls> tls_;
  std::string certificate_;
  std::optional<BundleKeeper> keeper_;
  std::thread thread_;
};

TEST_F(BundleKeeperTest, PutsItsCertificateIntoTheBundleAndTakesItOutAtTheEnd) {
  start();
  api_.await(has_own());

  end();

  EXPECT_EQ(api_.bundle(), "");
}

TEST_F(BundleKeeperTest, TriesAgainWhenOthersWrite) {
  api_.conflicts_ahead = 3;
  start();

  api_.await(has_own());
  end();
}

TEST_F(BundleKeeperTest, PutsABundleRightThatSomebodyResets) {
  start();
  api_.await(has_own());
  api_.await_watch();

  api_.overwrite("");

  api_.await(has_own());
  end();
}

}  // namespace
}  // namespace handfast::admission

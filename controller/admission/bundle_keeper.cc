#include "controller/admission/bundle_keeper.h"

#include <algorithm>
#include <utility>

#include "controller/admission/webhook_configuration.h"
#include "proxy/base/log.h"

namespace handfast::admission {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kTimeout{10};
constexpr seconds kLastTimeout{3};
constexpr milliseconds kFirstBackoff{1'000};
constexpr milliseconds kMostBackoff{60'000};
// Between two looks, whatever the watch says.
constexpr milliseconds kPause{1'000};
// Without a watch of more than this it may take until somebody notices a bundle that was reset.
constexpr milliseconds kMostSilence{600'000};
constexpr int kTries = 8;

std::string path_of(const std::string& name) {
  return std::string(kConfigurationsPath) + '/' + name;
}

Error error_of(const kube::Answer& answer) {
  if (answer.status == 0) return {Reason::Io, answer.failure};
  return {answer.status == 403 ? Reason::NotPermitted : Reason::Io,
          "the API server answers " + std::to_string(answer.status)};
}

}  // namespace

// What callbacks touch, which may come after the keeper is gone.
struct BundleKeeper::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;
  bool is_news = false;  // somebody wrote, or the watch ended
  std::optional<kube::Api::Id> watch;
  bool watch_failed = false;
};

BundleKeeper::BundleKeeper(kube::Api& api, std::string name, OwnCertificate certificate,
                           ServingTls& tls, const Clock& clock)
    : api_(api),
      name_(std::move(name)),
      certificate_(std::move(certificate)),
      tls_(tls),
      clock_(clock),
      shared_(std::make_shared<Shared>()) {}
BundleKeeper::~BundleKeeper() = default;

void BundleKeeper::run() {
  milliseconds backoff = kFirstBackoff;
  bool is_running = true;
  while (is_running) {
    const auto switched = certificate_.advance(clock_.unix_now());
    if (!switched) {
      tell(fail(switched.error()));
    } else if (*switched) {
      const SelfSigned& serving = certificate_.serving();
      tell(tls_.use(serving.certificate, serving.key));
    }
    const Status written = write(certificate_.wanted(), certificate_.unwanted(), kTimeout);
    tell(written);
    if (written) {
      certificate_.on_written(clock_.unix_now());
      backoff = kFirstBackoff;
      watch();
      const seconds due{std::max<UnixSeconds>(certificate_.due() - clock_.unix_now(), 1)};
      is_running = wait(std::min<milliseconds>(due, kMostSilence));
    } else {
      is_running = wait(backoff);
      backoff = std::min(2 * backoff, kMostBackoff);
    }
  }
  std::optional<kube::Api::Id> watching;
  {
    const std::lock_guard lock{shared_->mutex};
    watching = shared_->watch;
  }
  if (watching) api_.cancel(*watching);
  std::vector<std::string> own = certificate_.wanted();
  std::ranges::move(certificate_.unwanted(), std::back_inserter(own));
  if (const Status removed = write({}, own, kLastTimeout); !removed) {
    log(LogLevel::Info, "our certificate stays in the caBundle until it expires",
        {{"detail", removed.error().detail}});
  }
}

void BundleKeeper::stop() {
  {
    const std::lock_guard lock{shared_->mutex};
    shared_->stopping = true;
  }
  shared_->changed.notify_all();
}

Status BundleKeeper::write(const std::vector<std::string>& wanted,
                           const std::vector<std::string>& unwanted, seconds timeout) {
  for (int tries = 0; tries < kTries; ++tries) {
    kube::Request get;
    get.target = path_of(name_);
    const kube::Answer found = call(std::move(get), timeout);
    if (found.status != 200) return within(name_, error_of(found));
    const auto patch = patch_bundles(found.body, wanted, unwanted, clock_.unix_now());
    if (!patch) return within(name_, patch.error());
    resource_version_ = patch->resource_version;
    if (!patch->json) return {};

    kube::Request change;
    change.method = "PATCH";
    change.target = path_of(name_);
    change.content_type = "application/json-patch+json";
    change.body = *patch->json;
    const kube::Answer done = call(std::move(change), timeout);
    if (done.status == 200) {
      const auto now = patch_bundles(done.body, {}, {}, clock_.unix_now());
      if (now) resource_version_ = now->resource_version;
      return {};
    }
    if (done.status != 409) return within(name_, error_of(done));
  }
  return fail(Reason::Io, name_ + ": others write to it all the time");
}

kube::Answer BundleKeeper::call(kube::Request request, seconds timeout) {
  struct Call {
    std::mutex mutex;
    std::condition_variable ended;
    std::optional<kube::Answer> answer;
  };
  const auto call = std::make_shared<Call>();
  kube::Callbacks callbacks;
  callbacks.on_end = [call](kube::Answer answer) {
    {
      const std::lock_guard lock{call->mutex};
      call->answer = std::move(answer);
    }
    call->ended.notify_all();
  };
  const kube::Api::Id id = api_.send(std::move(request), std::move(callbacks));
  std::unique_lock lock{call->mutex};
  const auto has_ended = [&call] { return call->answer.has_value(); };
  if (!call->ended.wait_for(lock, timeout, has_ended)) {
    lock.unlock();
    api_.cancel(id);
    kube::Answer late;
    late.failure = "no answer in time";
    return late;
  }
  return std::move(*call->answer);
}

void BundleKeeper::watch() {
  const std::lock_guard lock{shared_->mutex};
  if (shared_->watch || shared_->watch_failed) return;
  kube::Request request;
  request.target = std::string(kConfigurationsPath) + "?watch=1&fieldSelector=metadata.name%3D" +
                   name_ + "&resourceVersion=" + resource_version_ + "&timeoutSeconds=480";
  request.is_stream = true;
  kube::Callbacks callbacks;
  const auto tell_all = [shared = shared_](bool is_over, bool has_failed) {
    {
      const std::lock_guard held{shared->mutex};
      shared->is_news = true;
      if (is_over) shared->watch.reset();
      shared->watch_failed = shared->watch_failed || has_failed;
    }
    shared->changed.notify_all();
  };
  callbacks.on_line = [tell_all](const std::string&) { tell_all(false, false); };
  // Forbidden: looking now and then must do.
  callbacks.on_end = [tell_all](const kube::Answer& answer) {
    tell_all(true, answer.status == 403);
  };
  shared_->watch = api_.send(std::move(request), std::move(callbacks));
}

void BundleKeeper::tell(const Status& status) {
  const std::string detail = status ? std::string{} : status.error().detail;
  if (detail == told_) return;
  told_ = detail;
  if (status) {
    log(LogLevel::Info, "the caBundle of the admission webhook is in order", {{"name", name_}});
  } else {
    log(LogLevel::Error, "the caBundle of the admission webhook can't be kept",
        {{"reason", to_string(status.error().reason)}, {"detail", detail}});
  }
}

bool BundleKeeper::wait(milliseconds at_most) {
  std::unique_lock lock{shared_->mutex};
  const auto is_stopped = [this] { return shared_->stopping; };
  if (shared_->changed.wait_for(lock, std::min(kPause, at_most), is_stopped)) return false;
  if (at_most > kPause) {
    shared_->changed.wait_for(lock, at_most - kPause,
                              [this] { return shared_->stopping || shared_->is_news; });
  }
  shared_->is_news = false;
  return !shared_->stopping;
}

}  // namespace handfast::admission

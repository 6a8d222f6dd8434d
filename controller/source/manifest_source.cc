#include "controller/source/manifest_source.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "controller/source/file_tree.h"
#include "controller/source/manifest_store.h"
#include "controller/source/volume.h"
#include "proxy/base/check.h"
#include "proxy/base/unique_fd.h"

namespace handfast::source {
namespace {

using std::chrono::milliseconds;
using SteadyTime = std::chrono::steady_clock::time_point;

// IN_MODIFY only keeps a burst from ending while a file is being written.
constexpr std::uint32_t kWatched = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE |
                                   IN_DELETE | IN_ATTRIB | IN_MODIFY | IN_DELETE_SELF |
                                   IN_MOVE_SELF | IN_ONLYDIR;

void add_crl_directory(FileTree& tree, const std::string& path, const WatchDirectory& watch) {
  watch_way(path, watch);
  tree.files[path] = look_at_volume(path, crl_directory_key(), watch);
}

}  // namespace

// The notices of the kernel, and the way to be woken by stop().
class ManifestSource::Watch {
 public:
  Watch()
      : notices_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
        wakeup_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    check(static_cast<bool>(wakeup_), "no eventfd for the manifests directory");
    if (!notices_) first_error_ = errno;
  }

  void stop() {
    stop_.request_stop();
    const std::uint64_t one = 1;
    // A full counter is readable too.
    (void)!::write(wakeup_.get(), &one, sizeof one);
  }

  [[nodiscard]] std::stop_token stopped() const { return stop_.get_token(); }

  // A listing: the directories that are added between the two calls are watched from then on, and
  // no others.
  void begin_listing() {
    listed_.clear();
    next_.clear();
    notices_taken_ = {};
    error_ = notices_ ? 0 : first_error_;
  }

  void add(const std::string& directory) {
    if (!notices_ || !listed_.insert(directory).second) return;
    // Asked again for a directory that is watched, the kernel answers the same number: that makes a
    // directory that was made anew under its old name no special case.
    const int number = ::inotify_add_watch(notices_.get(), directory.c_str(), kWatched);
    if (number >= 0) {
      next_[number].insert(directory);
    } else if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
      error_ = errno;
    }
  }

  void end_listing() {
    for (const auto& [number, directories] : current_) {
      if (!next_.contains(number)) (void)::inotify_rm_watch(notices_.get(), number);
    }
    current_.swap(next_);
  }

  // What the kernel told of since the last call: names in directories.
  struct Notices {
    // Something that doesn't come down to names: everything is to be listed.
    bool is_everything = false;
    std::set<std::pair<std::string, std::string>> names;
  };
  Notices take_notices() { return std::exchange(notices_taken_, {}); }

  // errno of what could not be watched in the last listing, or 0.
  [[nodiscard]] int error() const { return error_; }

  enum class Woken : std::uint8_t { Timeout, Notice, Stop };

  // Waits for a notice that matters.
  Woken wait_until(SteadyTime deadline) {
    for (;;) {
      if (stop_.stop_requested()) return Woken::Stop;
      const auto left =
          std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
      if (left.count() <= 0) return drain() ? Woken::Notice : Woken::Timeout;
      std::array<pollfd, 2> waits{{{wakeup_.get(), POLLIN, 0}, {notices_.get(), POLLIN, 0}}};
      const auto limit = std::min<milliseconds::rep>(left.count(), 3'600'000);
      const int ready = ::poll(waits.data(), waits.size(), static_cast<int>(limit));
      check(ready >= 0 || errno == EINTR, "poll failed");
      if (ready > 0 && drain()) return Woken::Notice;
    }
  }

 private:
  // Takes what is there. Answers whether any of it matters.
  bool drain() {
    bool is_any = false;
    alignas(inotify_event) std::array<char, 16384> buffer{};
    while (notices_) {
      const ssize_t size = ::read(notices_.get(), buffer.data(), buffer.size());
      if (size <= 0) break;
      for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
        inotify_event event{};
        std::memcpy(&event, buffer.data() + at, sizeof event);
        const char* const name = buffer.data() + at + sizeof event;
        if (const std::string_view text = event.len > 0 ? name : ""; matters(event, text)) {
          is_any = true;
          remember(event, text);
        }
        at += sizeof event + event.len;
      }
    }
    return is_any;
  }

  static bool matters(const inotify_event& event, std::string_view name) {
    if ((event.mask & IN_IGNORED) != 0) return false;
    // A log that someone writes into the directory is no reason to look.
    if ((event.mask & IN_MODIFY) != 0) return is_manifest_name(name);
    return true;
  }

  void remember(const inotify_event& event, std::string_view name) {
    constexpr std::uint32_t kNames = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE |
                                     IN_DELETE | IN_ATTRIB | IN_MODIFY;
    const auto at = current_.find(event.wd);
    const bool is_name =
        (event.mask & kNames) != 0 && (event.mask & IN_ISDIR) == 0 && !name.empty();
    // One that is reached in two ways has names in both.
    if (!is_name || at == current_.end() || at->second.size() != 1) {
      notices_taken_.is_everything = true;
    } else {
      notices_taken_.names.emplace(*at->second.begin(), name);
    }
  }

  UniqueFd notices_;
  UniqueFd wakeup_;
  std::stop_source stop_;
  int first_error_ = 0;
  int error_ = 0;
  std::set<std::string> listed_;
  // Paths by the kernel's number.
  std::map<int, std::set<std::string>> current_;
  std::map<int, std::set<std::string>> next_;
  Notices notices_taken_;
};

// One run().
class ManifestSource::Loop {
 public:
  Loop(const std::string& directory, const std::string& crl_directory, const Timing& timing,
       Watch& watch, Sink& sink)
      : directory_(directory),
        crl_directory_(crl_directory),
        timing_(timing),
        watch_(watch),
        sink_(sink) {}

  void run() {
    bool is_everything = true;
    while (!watch_.stopped().stop_requested()) {
      if (is_everything || !scan_names()) scan();
      const bool looks_again = should_retry_ || !store_.unsettled().empty();
      const auto wait = looks_again ? std::min(timing_.retry, rescan_after()) : rescan_after();
      const auto woken = watch_.wait_until(std::chrono::steady_clock::now() + wait);
      if (woken == Watch::Woken::Notice) wait_for_quiet();
      const bool is_late = std::chrono::steady_clock::now() >= listed_at_ + rescan_after();
      is_everything = should_retry_ || is_late;
    }
  }

 private:
  void scan() {
    listed_at_ = std::chrono::steady_clock::now();
    watch_.begin_listing();
    const WatchDirectory watch = [&](const std::string& path) { watch_.add(path); };
    tree_ = {};
    if (!directory_.empty()) {
      tree_ = list_manifests(directory_, {}, /*allow_file=*/false, watch);
    }
    if (!crl_directory_.empty()) add_crl_directory(tree_, crl_directory_, watch);
    watch_.end_listing();
    listing_took_ = std::chrono::steady_clock::now() - listed_at_;
    if (watch_.error() != 0) {
      tree_.problems.push_back({{},
                                {directory_, 0},
                                {},
                                {Reason::Io, "can't be watched, so it is read every second: " +
                                                 describe(watch_.error())},
                                "Raise fs.inotify.max_user_watches and max_user_instances."});
    }
    ManifestStore::Update update = store_.update(tree_, watch_.stopped());
    forget_plain_files();
    deliver(std::move(update));
  }

  // What is looked at again by its name needs no entry, and there may be very many.
  void forget_plain_files() {
    std::erase_if(tree_.files, [this](const auto& file) {
      return file.second.is_plain && !store_.unsettled().contains(file.first);
    });
  }

  // Looks at what notices name, and at what was just being written. False: that isn't enough.
  bool scan_names() {
    const Watch::Notices notices = watch_.take_notices();
    if (notices.is_everything) return false;
    std::set<std::string> names;
    for (const auto& [directory, name] : notices.names) {
      const auto listed = tree_.listed.find(directory);
      if (listed == tree_.listed.end() || tree_.ways.contains(directory)) return false;
      std::string whole = listed->second + name;
      if (!look_again(tree_, whole, directory + '/' + name)) return false;
      names.insert(std::move(whole));
    }
    for (const std::string& name : store_.unsettled()) {
      const auto file = tree_.files.find(name);
      if (names.contains(name)) continue;
      if (file == tree_.files.end()) return false;
      if (!look_again(tree_, name, std::string(file->second.path))) return false;
      names.insert(name);
    }
    ManifestStore::Update update = store_.update(tree_, names, watch_.stopped());
    forget_plain_files();
    deliver(std::move(update));
    return true;
  }

  void deliver(ManifestStore::Update update) {
    if (watch_.stopped().stop_requested()) return;
    should_retry_ = update.should_retry || watch_.error() != 0;
    const bool was_synced = is_synced_;
    // Who could say that somebody is revoked has been heard, or nothing is served.
    const bool is_whole = tree_.root == FileTree::Root::Listed && !store_.is_unread(crl_directory_);
    is_synced_ = is_synced_ || is_whole;
    update.batch.synced = is_synced_;
    if (!update.is_news && is_synced_ == was_synced) return;
    sink_.on_batch(std::move(update.batch));
  }

  // A listing of very many files takes a hundredth of the time at most.
  [[nodiscard]] milliseconds rescan_after() const {
    return std::max(timing_.rescan, std::chrono::ceil<milliseconds>(100 * listing_took_));
  }

  void wait_for_quiet() {
    const SteadyTime end = std::chrono::steady_clock::now() + timing_.at_most;
    for (;;) {
      const SteadyTime quiet = std::chrono::steady_clock::now() + timing_.quiet;
      if (watch_.wait_until(std::min(quiet, end)) != Watch::Woken::Notice) return;
      if (std::chrono::steady_clock::now() >= end) return;
    }
  }

  const std::string& directory_;
  const std::string& crl_directory_;
  const Timing& timing_;
  Watch& watch_;
  Sink& sink_;
  ManifestStore store_;
  FileTree tree_;
  SteadyTime listed_at_{};
  std::chrono::steady_clock::duration listing_took_{};
  bool should_retry_ = false;
  bool is_synced_ = false;
};

ManifestSource::ManifestSource(std::string directory, std::string crl_directory, Timing timing)
    : directory_(std::move(directory)),
      crl_directory_(std::move(crl_directory)),
      timing_(timing),
      watch_(std::make_unique<Watch>()) {}

ManifestSource::~ManifestSource() = default;

void ManifestSource::run(Sink& sink) {
  Loop(directory_, crl_directory_, timing_, *watch_, sink).run();
}

void ManifestSource::stop() { watch_->stop(); }

Batch read_once(const std::vector<std::string>& paths, const std::string& crl_directory) {
  FileTree all;
  for (const std::string& path : paths) {
    FileTree tree = list_manifests(path, path, /*allow_file=*/true, [](const std::string&) {});
    all.files.merge(tree.files);
    std::ranges::move(tree.problems, std::back_inserter(all.problems));
  }
  if (!crl_directory.empty()) add_crl_directory(all, crl_directory, [](const std::string&) {});
  ManifestStore store;
  return store.update(all, std::stop_token{}).batch;
}

}  // namespace handfast::source

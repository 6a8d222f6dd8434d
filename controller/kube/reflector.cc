#include "controller/kube/reflector.h"

#include <algorithm>
#include <utility>

#include "proxy/base/hex.h"

namespace handfast::kube {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstDelay{800};
constexpr milliseconds kMostDelay{30'000};
constexpr milliseconds kAskAgainIfAbsent{30'000};
// A 404 in the place of a list that held something is asked about again before it is believed: a
// server that starts may not know of every CRD yet.
constexpr milliseconds kDoubt{1'500};
constexpr int kBelieveNotFound = 3;

// The server keeps a watch for this long, at least, and up to twice as long: so that not all of
// them end together.
constexpr int kLeastWatch = 300;
// Header lines come at once; pages take a while; an idle watch has a bookmark each minute.
constexpr seconds kMostUntilOpen{20};
constexpr seconds kMostUntilPage{60};
constexpr seconds kMostSilence{90};
// A watch that ends sooner than this has not done the server's part.
constexpr milliseconds kShortWatch{1'000};

constexpr std::size_t kPageLimit = 500;
// Twice in memory, and as a tree beside that. What is larger comes in smaller pages.
constexpr std::size_t kMaxPage = std::size_t{64} << 20;
// An object has at most 1.5 MiB in etcd; base64 and JSON's escapes make more of it.
constexpr std::size_t kMaxLine = std::size_t{16} << 20;

std::string id_of(const objects::ObjectKey& key) { return key.ns + "/" + key.name; }

}  // namespace

Reflector::Reflector(const Resource& resource, Scope scope, Listener& listener,
                     std::function<double()> random)
    : resource_(resource),
      scope_(std::move(scope)),
      listener_(listener),
      random_(std::move(random)),
      delay_(kFirstDelay),
      page_limit_(kPageLimit) {}

// --- requests
// --------------------------------------------------------------------------------------

std::string Reflector::selectors() const {
  std::string text;
  if (!scope_.field_selector.empty())
    text += "&fieldSelector=" + percent_encode(scope_.field_selector);
  if (!scope_.label_selector.empty())
    text += "&labelSelector=" + percent_encode(scope_.label_selector);
  return text;
}

Request Reflector::discovery_request() const {
  Request request;
  request.target = "/apis/" + std::string(resource_.group);
  if (!to_look_at_.empty()) request.target += "/" + to_look_at_.back();
  return request;
}

Request Reflector::list_request() const {
  Request request;
  request.max_bytes = kMaxPage;
  request.target = collection_path(resource_, version_, scope_.ns) +
                   "?limit=" + std::to_string(page_limit_) + selectors();
  if (!continue_.empty()) request.target += "&continue=" + percent_encode(continue_);
  return request;
}

Request Reflector::watch_request() {
  Request request;
  request.is_stream = true;
  request.max_bytes = kMaxLine;
  const int timeout = kLeastWatch + static_cast<int>(random_() * kLeastWatch);
  request.target = collection_path(resource_, version_, scope_.ns) +
                   "?watch=1&allowWatchBookmarks=true&timeoutSeconds=" + std::to_string(timeout) +
                   selectors();
  request.target += is_initial() ? "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
                                 : "&resourceVersion=" + percent_encode(resource_version_);
  return request;
}

std::optional<Request> Reflector::take_request(Monotonic now) {
  if (state_ != State::Waiting || is_waiting_for_server_ || now < at_) return std::nullopt;
  heard_ = now;
  watch_error_ = 0;
  watch_message_.clear();
  has_event_ = false;
  if (is_discovering_) {
    state_ = State::Discovering;
    return discovery_request();
  }
  if (is_initial() && (!has_watch_list_ || !continue_.empty())) {
    if (continue_.empty()) ++round_;
    state_ = State::Listing;
    return list_request();
  }
  if (is_initial()) ++round_;
  state_ = State::Opening;
  return watch_request();
}

bool Reflector::is_silent(Monotonic now) const { return state_ != State::Waiting && now >= due(); }

Monotonic Reflector::due() const {
  switch (state_) {
    case State::Waiting:
      return is_waiting_for_server_ ? Monotonic::max() : at_;
    case State::Discovering:
    case State::Listing:
      return heard_ + kMostUntilPage;
    case State::Opening:
      return heard_ + kMostUntilOpen;
    case State::Watching:
      break;
  }
  return heard_ + kMostSilence;
}

void Reflector::try_server(Monotonic now) {
  if (!is_waiting_for_server_) return;
  is_waiting_for_server_ = false;
  at_ = now;
}

void Reflector::on_reachable(Monotonic now) {
  if (!is_waiting_for_server_) return;
  is_waiting_for_server_ = false;
  at_ = now + duration_cast<milliseconds>(milliseconds{1'000} * random_());
}

// --- answers
// ---------------------------------------------------------------------------------------

void Reflector::on_open(Monotonic now) {
  if (state_ != State::Opening) return;
  state_ = State::Watching;
  opened_ = heard_ = now;
  is_absent_ = false;
  not_found_ = 0;
  is_discovering_ = false;
  if (!is_initial()) be_well(now);
}

bool Reflector::on_line(std::string_view line, Monotonic now) {
  if (state_ != State::Watching) return false;
  heard_ = now;
  auto event = parse_watch_event(line, resource_, version_);
  if (!event) {
    // What comes after it is unknown: only a list tells.
    watch_message_ = event.error().detail;
    start_over();
    return false;
  }
  return on_event(std::move(*event), now);
}

bool Reflector::on_event(WatchEvent event, Monotonic now) {
  using Type = WatchEvent::Type;
  if (event.type == Type::Error) {
    watch_error_ = event.code;
    watch_message_ = std::move(event.message);
    return false;
  }
  const std::string& version = event.item.resource_version;
  if (!is_initial()) {
    if (went_back(version_number(version))) {
      watch_message_ = "the API server's versions went backwards";
      start_over();
      return false;
    }
    if (!version.empty()) resource_version_ = version;
    be_steady(now);
  }
  has_event_ = true;
  switch (event.type) {
    case Type::Changed:
      see(std::move(event.item));
      break;
    case Type::Deleted:
      remove(event.item);
      break;
    case Type::Bookmark:
      if (is_initial() && event.ends_initial_events) return finish_round(version, now);
      break;
    case Type::Error:
      break;
  }
  return true;
}

void Reflector::on_end(const Answer& answer, Monotonic now) {
  const State was = std::exchange(state_, State::Waiting);
  if (answer.status == 0) {
    is_waiting_for_server_ = true;
    continue_.clear();
    be_in_trouble(0, "the API server can't be reached: " + answer.failure, now);
  } else if (was == State::Discovering) {
    on_discovery_end(answer, now);
  } else if (was == State::Watching) {
    on_watch_end(answer, now);
  } else if (answer.status == 200 && was == State::Listing) {
    on_list_end(answer, now);
  } else if (answer.status == 200) {
    wait(Wait::Backoff, now);  // a watch that ended before anybody was told of its begin
  } else {
    on_refusal(answer, now);
  }
}

void Reflector::on_list_end(const Answer& answer, Monotonic now) {
  if (!answer.failure.empty()) {
    // Perhaps the objects are large, and fewer of them would come through.
    page_limit_ = std::max<std::size_t>(page_limit_ / 2, 1);
    continue_.clear();
    be_in_trouble(0, "a list was cut: " + answer.failure, now);
    wait(Wait::Backoff, now);
    return;
  }
  auto page = parse_list(answer.body, resource_, version_);
  if (!page) {
    // It may hold more values than a document may: any tenant can write such objects.
    const bool is_least = page_limit_ == 1;
    page_limit_ = std::max<std::size_t>(page_limit_ / 2, 1);
    continue_.clear();
    be_in_trouble(0, page.error().detail, now);
    wait(is_least ? Wait::Backoff : Wait::Soon, now);
    return;
  }
  is_absent_ = false;
  not_found_ = 0;
  for (Item& item : page->items) see(std::move(item));
  continue_ = std::move(page->next);
  if (continue_.empty() && !finish_round(std::move(page->resource_version), now)) {
    return wait(Wait::Backoff, now);
  }
  wait(Wait::Soon, now);
}

void Reflector::on_watch_end(const Answer& answer, Monotonic now) {
  // One that ended in order is over, however little there was to tell.
  const bool was_silent = !answer.failure.empty() && now - heard_ >= kMostSilence;
  if (watch_error_ == 410) {
    start_over();
    // Where a version that was just listed is too old at once, listing it again at once is a storm.
    wait(now - opened_ < kShortWatch ? Wait::Backoff : Wait::Soon, now);
    return;
  }
  if (is_initial()) {
    // Of a beginning that the server itself gives up, as client-go: the next one is a list.
    if (watch_error_ != 0 || was_silent || answer.failure.empty()) has_watch_list_ = false;
  } else if (was_silent) {
    // A server that was restored from a backup passes over all that is older than where the watch
    // resumes, bookmarks too.
    start_over();
  }
  if (watch_error_ == 0 && watch_message_.empty() && answer.failure.empty() && !is_initial() &&
      (has_event_ || now - opened_ >= kShortWatch)) {
    if (now - opened_ >= kShortWatch) be_steady(now);
    wait(Wait::Soon, now);  // its time was over
    return;
  }
  const std::string& why = watch_message_.empty() ? answer.failure : watch_message_;
  be_in_trouble(0, "a watch ended: " + (why.empty() ? "too soon" : why), now);
  wait(Wait::Backoff, now);
}

void Reflector::on_refusal(const Answer& answer, Monotonic now) {
  const int status = answer.status;
  const bool was_list = is_initial();
  if (status == 404) return on_not_found(answer, now);
  if (status == 410) {
    // A version that is too old, or a page of a list that is.
    start_over();
    return wait(Wait::Backoff, now);
  }
  const std::string message = message_of(answer.body);
  if (was_list && has_watch_list_ && continue_.empty() &&
      (status == 400 || status == 422 || status == 500)) {
    has_watch_list_ = false;  // an older server; its own words are no trouble
    return wait(Wait::Soon, now);
  }
  continue_.clear();
  if (status == 401) {
    be_in_trouble(status, "the API server does not accept our credentials", now);
  } else if (status == 403) {
    be_in_trouble(status, message, now);
  } else {
    be_in_trouble(status,
                  "the API server answers " + std::to_string(status) +
                      (message.empty() ? std::string() : ": " + message),
                  now);
  }
  wait(Wait::Backoff, now);
  if (answer.retry_after) {
    const auto asked = duration_cast<milliseconds>(*answer.retry_after) +
                       duration_cast<milliseconds>(milliseconds{1'000} * random_());
    at_ = std::max(at_, now + std::min<milliseconds>(asked, kMostDelay));
  }
}

void Reflector::on_not_found(const Answer& answer, Monotonic now) {
  start_over();
  if (version_ + 1 < resource_.version_count()) {
    ++version_;
    return wait(Wait::Soon, now);
  }
  version_ = 0;
  if (!resource_.may_be_absent) {
    be_in_trouble(
        answer.status,
        "the API server does not know " + resource_.full_name() + ": " + message_of(answer.body),
        now);
    return wait(Wait::Backoff, now);
  }
  is_discovering_ = true;
  to_look_at_.clear();
  other_versions_.clear();
  wait(Wait::Soon, now);
}

void Reflector::on_discovery_end(const Answer& answer, Monotonic now) {
  const bool is_group = to_look_at_.empty();
  if (answer.status == 200 && answer.failure.empty()) {
    if (!is_group) return look_at_version(answer, now);
    to_look_at_ = parse_group_versions(answer.body);
    if (!to_look_at_.empty()) return wait(Wait::Soon, now);
    return conclude_discovery(now);
  }
  if (answer.status == 404 || answer.status == 403) {
    if (!is_group) return look_at_version({}, now);
    return conclude_discovery(now);
  }
  be_in_trouble(answer.status,
                "discovery answers " + std::to_string(answer.status) + " " + answer.failure, now);
  wait(Wait::Backoff, now);
}

void Reflector::look_at_version(const Answer& answer, Monotonic now) {
  const std::string version = std::move(to_look_at_.back());
  to_look_at_.pop_back();
  if (lists_resource(answer.body, resource_.plural)) {
    const auto* const ours = std::ranges::find(resource_.versions, version);
    if (ours != resource_.versions.end()) {
      version_ = static_cast<std::size_t>(ours - resource_.versions.begin());
      is_discovering_ = false;
      return wait(Wait::Soon, now);
    }
    other_versions_.push_back(version);
  }
  if (!to_look_at_.empty()) return wait(Wait::Soon, now);
  conclude_discovery(now);
}

void Reflector::conclude_discovery(Monotonic now) {
  const auto later = duration_cast<milliseconds>(kAskAgainIfAbsent * (0.75 + 0.5 * random_()));
  if (!other_versions_.empty()) {
    be_in_trouble(404,
                  "the API server has " + resource_.full_name() +
                      " only in versions that Handfast doesn't read: " + other_versions_.front(),
                  now);
    other_versions_.clear();
    at_ = now + later;
    return;
  }
  if (!known_.empty() && ++not_found_ < kBelieveNotFound) {
    at_ = now + kDoubt;
    return;
  }
  ++round_;
  (void)finish_round({}, now);
  is_absent_ = true;
  at_ = now + later;
}

// --- objects
// ---------------------------------------------------------------------------------------

bool Reflector::went_back(std::uint64_t version) const {
  const std::uint64_t position = version_number(resource_version_);
  return version != 0 && position != 0 && version < position;
}

void Reflector::see(Item item) {
  const std::string id = id_of(item.key);
  if (!listener_.wants(item.key)) {
    known_.erase(id);
    return;
  }
  const std::uint64_t version = version_number(item.resource_version);
  newest_ = std::max(newest_, version);
  Known& known = known_[id];
  known.round = round_;
  if (version != 0 && version <= known.version) return;
  known.version = version;

  objects::Decoded decoded = decode(item);
  const bool is_bad = !decoded.problems.empty();
  if (decoded.objects.empty() && !is_bad) listener_.on_name(item.key);
  for (objects::Object& object : decoded.objects) listener_.on_object(item.key, std::move(object));
  if (is_bad) listener_.on_bad(item.key, std::move(decoded.problems));
}

void Reflector::remove(const Item& item) {
  const auto found = known_.find(id_of(item.key));
  if (found == known_.end()) {
    if (listener_.wants(item.key)) listener_.on_gone(item.key);
    return;
  }
  const std::uint64_t version = version_number(item.resource_version);
  if (version != 0 && version < found->second.version) return;  // it is there again
  known_.erase(found);
  listener_.on_gone(item.key);
}

bool Reflector::finish_round(std::string resource_version, Monotonic now) {
  const std::uint64_t version = version_number(resource_version);
  if (version != 0 && version < newest_) {
    // The server was restored: its versions say nothing about what we know. The list that has just
    // been read may have been passed over in part, so it is read once more.
    newest_ = 0;
    for (auto& [id, known] : known_) known.version = 0;
    start_over();
    watch_error_ = 410;
    return false;
  }
  for (auto at = known_.begin(); at != known_.end();) {
    if (at->second.round == round_) {
      ++at;
      continue;
    }
    const std::size_t slash = at->first.find('/');
    const objects::ObjectKey key{std::string(resource_.kind), at->first.substr(0, slash),
                                 at->first.substr(slash + 1)};
    at = known_.erase(at);
    listener_.on_gone(key);
  }
  resource_version_ = std::move(resource_version);
  is_synced_ = true;
  ++lists_;
  has_watch_list_ = true;  // asked again next time: servers are upgraded
  page_limit_ = kPageLimit;
  be_steady(now);
  return true;
}

void Reflector::start_over() {
  resource_version_.clear();
  continue_.clear();
}

bool Reflector::adopt(const objects::ObjectKey& key, std::string_view resource_version) {
  const std::uint64_t version = version_number(resource_version);
  Known& known = known_[id_of(key)];
  if (version != 0 && version <= known.version) return false;
  // Not of this round: it may have gone before the list that is under way began.
  known.version = version;
  newest_ = std::max(newest_, version);
  return true;
}

void Reflector::forget(const objects::ObjectKey& key) { known_.erase(id_of(key)); }

// --- waiting
// ---------------------------------------------------------------------------------------

void Reflector::wait(Wait how, Monotonic now) {
  at_ = now;
  if (how == Wait::Soon) return;
  at_ += duration_cast<milliseconds>(delay_ * random_());
  delay_ = std::min(2 * delay_, kMostDelay);
}

void Reflector::be_well(Monotonic now) {
  last_well_ = now;
  trouble_.reset();
}

// Something came that took more than a connection: what fails next is a new trouble.
void Reflector::be_steady(Monotonic now) {
  be_well(now);
  delay_ = kFirstDelay;
}

void Reflector::be_in_trouble(int status, std::string detail, Monotonic now) {
  const Monotonic since = trouble_ ? trouble_->since : now;
  trouble_ = Trouble{status, std::move(detail), since};
}

}  // namespace handfast::kube

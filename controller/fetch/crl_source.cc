#include "controller/fetch/crl_source.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <functional>
#include <sstream>
#include <utility>

#include "controller/fetch/kept_file.h"
#include "controller/fetch/schedule.h"
#include "proxy/base/log.h"
#include "proxy/config/model.h"

namespace handfast::fetch {
namespace {

using std::chrono::seconds;

constexpr seconds kLatest{3600};
constexpr std::size_t kMostNameBytes = 80;

// A name for files and findings that says where the list is from, and no other has.
std::string name_of(const std::string& url) {
  std::string name = url.substr(url.find("//") + 2, kMostNameBytes);
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-';
  };
  std::ranges::replace_if(name, std::not_fn(is_plain), '_');
  return name + '-' + config::sha256_hex(url).substr(0, 8);
}

Result<std::string> read_whole(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream text;
  if (!in || !(text << in.rdbuf())) return fail(Reason::Io, path + " can't be read");
  return std::move(text).str();
}

}  // namespace

struct CrlSource::List {
  CrlPoint point;
  std::string name;
  std::string bytes;
  std::shared_ptr<const pki::CrlSet> set;  // null: none was had so far
  std::string problem;                     // of the last fetch; empty: it went well
  Monotonic due;
  int failures = 0;
  bool tried = false;
  bool is_kept = false;  // on disk
};

CrlSource::CrlSource(std::vector<CrlPoint> points, std::unique_ptr<Getter> getter,
                     std::unique_ptr<publish::FileSystem> cache, const Clock& clock)
    : getter_(std::move(getter)), cache_(std::move(cache)), clock_(clock) {
  for (CrlPoint& point : points) {
    List& list = lists_.emplace_back();
    list.name = name_of(point.url);
    list.point = std::move(point);
  }
}

CrlSource::~CrlSource() = default;

void CrlSource::run(source::Sink& sink) {
  begin(sink);
  for (;;) {
    const Monotonic due = fetch_due(sink);
    std::unique_lock lock{mutex_};
    const auto is_stopped = [this] { return stopped_; };
    if (stopping_.wait_for(lock, due - clock_.now(), is_stopped)) return;
  }
}

void CrlSource::stop() {
  getter_->cancel();
  const std::lock_guard lock{mutex_};
  stopped_ = true;
  stopping_.notify_all();
}

void CrlSource::begin(source::Sink& sink) {
  began_ = clock_.now();
  for (List& list : lists_) {
    list.due = began_;
    load(list);
  }
  tell(sink);
}

Monotonic CrlSource::fetch_due(source::Sink& sink) {
  for (List& list : lists_) {
    if (list.due > clock_.now()) continue;
    {
      const std::lock_guard lock{mutex_};
      if (stopped_) return clock_.now();
    }
    fetch(list);
    tell(sink);
  }
  return std::ranges::min_element(lists_, {}, &List::due)->due;
}

// From the disk: signed and whole, or it isn't there.
void CrlSource::load(List& list) {
  auto bytes = cache_->read_file(list.name);
  if (!bytes || !*bytes) return;
  const Status good = accept(list, std::move(**bytes));
  list.is_kept = good.has_value();
  if (!good) {
    log(LogLevel::Warning, "a CRL that was kept can't be used",
        {{"url", list.point.url}, {"detail", good.error().detail}});
  }
}

void CrlSource::fetch(List& list) {
  auto bytes = getter_->get(list.point.url);
  Status status = bytes ? accept(list, std::move(*bytes)) : fail(std::move(bytes.error()));
  list.tried = true;
  if (status) {
    list.failures = 0;
    list.problem.clear();
    list.due = clock_.now() +
               time_until_next(list.set->info().front().next_update, clock_.unix_now(), kLatest);
    if (list.is_kept) return;
    const Status kept = keep_file(*cache_, list.name, list.bytes);
    list.is_kept = kept.has_value();
    if (!kept) {
      log(LogLevel::Warning, "a CRL can't be kept on disk",
          {{"url", list.point.url}, {"detail", kept.error().detail}});
    }
    return;
  }
  list.due = clock_.now() + time_until_retry(++list.failures);
  list.problem = status.error().detail;
  log(LogLevel::Warning, "a CRL can't be fetched",
      {{"url", list.point.url}, {"detail", list.problem}});
}

Status CrlSource::accept(List& list, std::string bytes) {
  const auto refuse = [&list](const std::string& why) {
    return fail(Reason::BadCrl, list.point.url + ": " + why);
  };
  const auto pem = read_whole(list.point.ca_file);
  if (!pem) return fail(pem.error());
  const auto authority = pki::CaBundle::load(*pem, clock_.unix_now());
  if (!authority) {
    return fail(Reason::BadCa, list.point.ca_file + ": " + authority.error().detail);
  }
  auto set = pki::CrlSet::load(bytes);
  if (!set) return refuse(set.error().detail);
  if ((*set)->info().size() != 1) return refuse("holds several lists");
  if (!(*set)->is_signed_by((*authority)->anchors())) {
    return refuse("is not signed by a certificate of " + list.point.ca_file);
  }
  const pki::CrlSet::Info& info = (*set)->info().front();
  if (list.set != nullptr && info.this_update < list.set->info().front().this_update) {
    return refuse("is older than the list that was there before");
  }
  if (bytes == list.bytes) return {};
  list.bytes = std::move(bytes);
  list.set = std::move(*set);
  list.is_kept = false;
  is_changed_ = true;
  return {};
}

void CrlSource::tell(source::Sink& sink) {
  source::Batch batch;
  for (const List& list : lists_) {
    if (list.problem.empty()) continue;
    objects::Decoded::Problem problem;
    problem.key = {"ConfigMap", {}, std::string(objects::kFetchedCrlsName)};
    problem.origin.file = "--crl-fetch";
    problem.field = list.name;
    problem.error = {list.set == nullptr ? Reason::CrlMissing : Reason::BadCrl, list.problem};
    problem.remedy = list.set == nullptr ? "Nobody is refused by it until it can be fetched."
                                         : "The list that was fetched before holds.";
    batch.problems.push_back(std::move(problem));
  }
  const auto is_known = [](const List& list) { return list.tried || list.set != nullptr; };
  batch.synced = std::ranges::all_of(lists_, is_known) || clock_.now() - began_ >= kMostWait;
  if (std::exchange(is_changed_, false)) {
    objects::ConfigMap all;
    all.meta.name = objects::kFetchedCrlsName;
    all.meta.origin.file = "--crl-fetch";
    for (const List& list : lists_) {
      if (list.set != nullptr) all.data[list.name].bytes = list.bytes;
    }
    batch.events.push_back({{"ConfigMap", {}, all.meta.name}, objects::Object(std::move(all))});
  }
  sink.on_batch(std::move(batch));
}

}  // namespace handfast::fetch

#include "controller/fetch/staple_source.h"

#include <algorithm>
#include <cctype>
#include <span>
#include <thread>
#include <utility>

#include "controller/fetch/kept_file.h"
#include "controller/fetch/schedule.h"
#include "proxy/base/hex.h"
#include "proxy/base/log.h"
#include "proxy/pki/pem.h"

namespace handfast::fetch {
namespace {

constexpr std::string_view kScheme = "http://";
constexpr std::chrono::seconds kForEver{24 * 3600};

std::string to_lower(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower;
}

// HOST, or HOST:PORT where that isn't 80; empty for what is no URL that we would ask.
std::string authority_of(std::string_view url) {
  std::string_view rest = url.substr(kScheme.size());
  rest = rest.substr(0, rest.find_first_of("/?#"));
  if (rest.find('@') != std::string_view::npos) return {};
  if (rest.ends_with(":80")) rest.remove_suffix(3);
  return to_lower(rest);
}

// RFC 6960 appendix A.1: the request in base64, for a path.
std::string url_of(const pki::OcspQuestion& question) {
  std::string url = question.url;
  if (!url.ends_with('/')) url += '/';
  return url + percent_encode(pki::encode_base64(question.request));
}

}  // namespace

void add_stapling_flag(OptionSet& options) {
  options.add_list("ocsp-stapling", "HOST,...",
                   "OCSP responders that are asked about our certificates");
}

Result<std::set<std::string>> read_stapling_flag(const ParsedOptions& parsed) {
  std::set<std::string> responders;
  for (const std::string& text : parsed.list("ocsp-stapling")) {
    const bool plain = !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '.' || c == '-' || c == ':';
    });
    if (!plain) {
      return fail(Reason::InvalidValue, "--ocsp-stapling: " + text + " is no HOST or HOST:PORT");
    }
    responders.insert(authority_of(std::string(kScheme) + text));
  }
  return responders;
}

StapleSource::StapleSource(std::unique_ptr<source::Source> inner, std::set<std::string> responders,
                           std::unique_ptr<Getter> getter,
                           std::unique_ptr<publish::FileSystem> cache, const Clock& clock)
    : inner_(std::move(inner)),
      responders_(std::move(responders)),
      getter_(std::move(getter)),
      cache_(std::move(cache)),
      clock_(clock) {}

StapleSource::~StapleSource() = default;

void StapleSource::begin(source::Sink& sink) {
  const std::lock_guard lock{mutex_};
  sink_ = &sink;
}

void StapleSource::run(source::Sink& sink) {
  begin(sink);
  std::thread fetching{[this] {
    for (;;) {
      const Monotonic due = fetch_due();
      std::unique_lock lock{mutex_};
      if (stopped_) return;
      changed_.wait_for(lock, due - clock_.now());
      if (stopped_) return;
    }
  }};
  inner_->run(*this);
  fetching.join();
}

void StapleSource::stop() {
  getter_->cancel();
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    changed_.notify_all();
  }
  inner_->stop();
}

void StapleSource::on_batch(source::Batch batch) {
  const std::lock_guard lock{mutex_};
  for (source::Event& event : batch.events) {
    if (event.key.kind != "Secret") continue;
    auto* const secret = event.object ? std::get_if<objects::Secret>(&*event.object) : nullptr;
    if (secret == nullptr) {
      entries_.erase(event.key);
    } else {
      notice(*secret);
    }
  }
  last_ = {.events = {},
           .problems = batch.problems,
           .skipped_documents = batch.skipped_documents,
           .synced = batch.synced,
           .answered = {}};
  sink_->on_batch(std::move(batch));
  changed_.notify_all();
}

// Puts the response in that is known.
void StapleSource::notice(objects::Secret& secret) {
  const objects::ObjectKey key = objects::key(secret);
  const auto pem = secret.data.find("tls.crt");
  std::optional<pki::OcspQuestion> question;
  std::optional<pki::CertificateChain> chain;
  if (pem != secret.data.end() && !secret.data.contains(objects::kStapleKey)) {
    if (auto loaded = pki::load_chain(pem->second.bytes)) chain = std::move(*loaded);
    if (chain) question = pki::ocsp_question(*chain->leaf, chain->intermediates.get());
  }
  if (!question || !responders_.contains(authority_of(question->url))) {
    entries_.erase(key);
    return;
  }
  Entry entry{.secret = secret,
              .chain = std::move(*chain),
              .question = std::move(*question),
              .name = {},
              .response = {},
              .valid_until = 0,
              .due = clock_.now(),
              .failures = 0};
  entry.name = pki::describe(*entry.chain.leaf).sha256;
  const auto before = entries_.find(key);
  if (before != entries_.end() && before->second.name == entry.name) {
    entry.response = before->second.response;
    entry.valid_until = before->second.valid_until;
    entry.due = before->second.due;
    entry.failures = before->second.failures;
  } else {
    load(entry);
  }
  if (!entry.response.empty()) secret.data[std::string(objects::kStapleKey)].bytes = entry.response;
  entries_.insert_or_assign(key, std::move(entry));
}

bool StapleSource::accept(Entry& entry, std::string response, std::string& why) const {
  const UnixSeconds now = clock_.unix_now();
  const auto verdict = pki::judge_own_ocsp(
      {reinterpret_cast<const unsigned char*>(response.data()), response.size()}, *entry.chain.leaf,
      entry.chain.intermediates.get(), now);
  why = verdict.detail;
  if (verdict.reason != Reason::Ok) return false;
  entry.response = std::move(response);
  entry.valid_until = verdict.valid_until;
  return true;
}

void StapleSource::load(Entry& entry) {
  auto bytes = cache_->read_file(entry.name);
  std::string unheard;
  if (!bytes || !*bytes || !accept(entry, std::move(**bytes), unheard)) return;
  entry.due = clock_.now() + time_until_next(entry.valid_until, clock_.unix_now(), kLatest);
}

std::optional<objects::ObjectKey> StapleSource::find_due() {
  const std::lock_guard lock{mutex_};
  if (stopped_) return std::nullopt;
  for (const auto& [key, entry] : entries_) {
    if (entry.due <= clock_.now()) return key;
  }
  return std::nullopt;
}

Monotonic StapleSource::fetch_due() {
  while (const auto key = find_due()) fetch(*key);
  const std::lock_guard lock{mutex_};
  Monotonic next = clock_.now() + kForEver;
  for (const auto& [key, entry] : entries_) next = std::min(next, entry.due);
  return next;
}

void StapleSource::fetch(const objects::ObjectKey& key) {
  std::string url, name;
  {
    const std::lock_guard lock{mutex_};
    const auto found = entries_.find(key);
    if (found == entries_.end()) return;
    url = url_of(found->second.question);
    name = found->second.name;
  }
  auto response = getter_->get(url);
  const std::lock_guard lock{mutex_};
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.name != name) return;  // another certificate by now
  Entry& entry = found->second;
  std::string why;
  if (!response) why = response.error().detail;
  if (response && accept(entry, std::move(*response), why)) {
    entry.failures = 0;
    entry.due = clock_.now() + time_until_next(entry.valid_until, clock_.unix_now(), kLatest);
    if (const Status kept = keep_file(*cache_, name, entry.response); !kept) {
      log(LogLevel::Warning, "an OCSP response can't be kept on disk",
          {{"detail", kept.error().detail}});
    }
    tell(entry);
    return;
  }
  entry.due = clock_.now() + time_until_retry(++entry.failures);
  log(LogLevel::Warning, "no OCSP response could be fetched",
      {{"secret", key.ns + '/' + key.name}, {"responder", entry.question.url}, {"detail", why}});
}

// Before the inner source is in sync its batches bring it.
void StapleSource::tell(const Entry& entry) {
  if (!last_.synced || sink_ == nullptr) return;
  source::Batch batch = last_;
  objects::Secret secret = entry.secret;
  secret.data[std::string(objects::kStapleKey)].bytes = entry.response;
  objects::ObjectKey key = objects::key(secret);
  batch.events.push_back({std::move(key), objects::Object(std::move(secret))});
  sink_->on_batch(std::move(batch));
}

}  // namespace handfast::fetch

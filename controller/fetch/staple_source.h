#pragma once
// OCSP responses about certificates of ours, fetched from their responders and put into the Secrets
// that hold them: a source around another. Whoever reads a Secret finds the response under
// objects::kStapleKey, as if somebody had put it there.
//
// Asked is only about a certificate (tls.crt) whose responder's host the operator allows, since
// whoever makes a Secret makes the URL; a Secret that brings a response is left alone. A response
// counts once it vouches for the certificate now (pki/ocsp.h). It is kept on disk by certificate,
// so that a restart has it before the network is asked; what can't be fetched is logged, and the
// last one stays until its own time is over.
//
//   batches of the inner source -> notice() -> the sink
//   fetch_due(), on a thread of its own -> the Secret once more, with its response -> the sink
//
// Threading: as Source's; run() makes one thread more. The sink is called one at a time.

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controller/fetch/getter.h"
#include "controller/publish/file_system.h"
#include "controller/source/source.h"
#include "proxy/base/clock.h"
#include "proxy/base/options.h"
#include "proxy/base/result.h"
#include "proxy/pki/identity.h"
#include "proxy/pki/ocsp.h"

namespace handfast::fetch {

// --ocsp-stapling: "HOST" or "HOST:PORT", lower case.
void add_stapling_flag(OptionSet& options);
[[nodiscard]] Result<std::set<std::string>> read_stapling_flag(const ParsedOptions& parsed);

class StapleSource final : public source::Source, public source::Sink {
 public:
  static constexpr std::chrono::seconds kLatest{6 * 3600};

  // Borrows the clock. `cache`: a directory of its own.
  StapleSource(std::unique_ptr<source::Source> inner, std::set<std::string> responders,
               std::unique_ptr<Getter> getter, std::unique_ptr<publish::FileSystem> cache,
               const Clock& clock);
  ~StapleSource() override;

  void run(source::Sink& sink) override;
  void stop() override;
  [[nodiscard]] bool want(std::set<objects::ObjectKey> references) override {
    return inner_->want(std::move(references));
  }

  // What run() consists of. What comes of it goes to the sink.
  void begin(source::Sink& sink);
  // Of the inner source.
  void on_batch(source::Batch batch) override;
  // Fetches what is due; answers when the next is. One thread's.
  [[nodiscard]] Monotonic fetch_due();

 private:
  // A Secret about whose certificate there is something to ask.
  struct Entry {
    objects::Secret secret;
    pki::CertificateChain chain;
    pki::OcspQuestion question;
    std::string name;  // of the kept file: the certificate's sha256
    std::string response;
    UnixSeconds valid_until = 0;
    Monotonic due;
    int failures = 0;
  };

  void notice(objects::Secret& secret);
  [[nodiscard]] bool accept(Entry& entry, std::string response, std::string& why) const;
  void load(Entry& entry);
  void fetch(const objects::ObjectKey& key);
  void tell(const Entry& entry);
  [[nodiscard]] std::optional<objects::ObjectKey> find_due();

  const std::unique_ptr<source::Source> inner_;
  const std::set<std::string> responders_;
  const std::unique_ptr<Getter> getter_;
  const std::unique_ptr<publish::FileSystem> cache_;
  const Clock& clock_;

  std::mutex mutex_;
  std::condition_variable changed_;  // something is due, or it stops
  // Guarded by mutex_, all of them.
  source::Sink* sink_ = nullptr;
  std::map<objects::ObjectKey, Entry> entries_;
  source::Batch last_;  // of the inner source, without its events
  bool stopped_ = false;
};

}  // namespace handfast::fetch

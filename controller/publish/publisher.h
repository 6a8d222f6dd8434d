#pragma once
// From shards to a generation that the proxy serves: write N, load N, acknowledged, `current` -> N.
//
//   publish() --write--> written --load--> acknowledged --> current
//                           |                   ^
//                           +- shards rejected: replaced, written again as N+1, within the call
//                           +- rejected for files that somebody damaged: Failed; the next
//                           |  publish() writes them anew
//                           +- nobody listens: current -> N unacknowledged, so that a proxy that
//                           |  starts has something to start from; poll() loads it when one is
//                           there
//                           +- no answer: poll() tries again; `current` stays where it was
//
// What no proxy could read, a text that is too long or against the rules, isn't written at all: one
// object, or many that make one shard, must not keep everybody's changes from being loaded.
//
// A generation over which the proxy died is not made current because nobody listens afterwards.
//
// Threading: one thread's; calls block for as long as the proxy takes. Ownership: borrows its
// parts. Errors: in the Outcome. After a failure, publish() with the newest content is the way to
// go on.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/publish/generation_writer.h"
#include "controller/publish/proxy_client.h"
#include "proxy/base/clock.h"

namespace handfast::publish {

// All that is wanted, or a change of what was wanted before.
struct Content {
  std::vector<config::Shard> shards;  // of a change: those that are new or may be other
  std::optional<config::KeyPairRef> default_certificate;
  // Of what isn't on disk: all that the shards here name may be needed.
  FileSet files;
  bool is_change = false;
  std::vector<std::string> gone = {};  // names of shards, of a change
};

struct Outcome {
  enum class Kind : std::uint8_t {
    Unchanged,     // the content is what the proxy has acknowledged
    Acknowledged,  // just now
    Pending,       // written, but no proxy has answered; poll() goes on
    Failed,        // not written, or refused whole; `error`
  };
  Kind kind = Kind::Unchanged;
  std::uint64_t generation = 0;
  // Shards newly replaced, with why.
  std::vector<config::Rejection> replaced;
  Error error;  // of Failed; of Pending if a proxy is there and did not answer
};

class Publisher {
 public:
  // After the writer's recover().
  Publisher(GenerationWriter& writer, ProxyControl& proxy, const Clock& clock)
      : writer_(writer), proxy_(proxy), clock_(clock), last_good_(writer.current()) {}

  // A change is one of what was published last. Precondition: it isn't one if needs_whole().
  [[nodiscard]] Outcome publish(const Content& content);

  // Nothing was published yet, it failed, files on disk are damaged, or due() has come: everything
  // is needed.
  [[nodiscard]] bool needs_whole() const;
  // When to try again what the proxy could not read though it is whole: it was out of descriptors,
  // or of memory, and a newer CRL must not wait for its next change. max(): there is no such thing.
  [[nodiscard]] Monotonic due() const;

  // Asks the proxy for the newest generation again: it may have been absent, have started anew, or
  // have missed the notice. Call it every second or two.
  [[nodiscard]] Outcome poll();

  // The generation that the proxy acknowledged last; 0: none since this controller started.
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }
  // Whether something else stands in for this shard.
  [[nodiscard]] bool is_replaced(std::string_view shard) const { return replaced_.contains(shard); }
  // How many shards stand in for what the proxy would not take.
  [[nodiscard]] std::size_t replaced_count() const { return replaced_.size(); }

 private:
  // What stands in for a shard as long as its wanted form has the hash `rejected`.
  struct Replaced {
    std::string rejected;
    PreparedShard instead;
    bool is_lost = false;                // only because the files of the wanted form aren't there
    Monotonic again = Monotonic::max();  // when the wanted form is tried again
  };

  [[nodiscard]] Draft make(const Content& content, std::vector<config::Rejection>& replaced);
  [[nodiscard]] Outcome write_and_load(const Content& content);
  void forget_replaced(const Content& content);
  [[nodiscard]] bool has_files(const std::string& directory, const FileSet& files) const;
  [[nodiscard]] std::optional<std::string> lost_directory(const PreparedShard& shard,
                                                          const FileSet& files) const;
  [[nodiscard]] PreparedShard choose(const config::Shard& shard, const FileSet& files,
                                     std::vector<config::Rejection>& replaced);
  void load(Outcome& outcome);
  // Fails if what was rejected is damaged on disk: nothing is wrong with the shard then.
  [[nodiscard]] Status verify_files(const std::vector<config::Rejection>& rejected);
  void acknowledge(Outcome& outcome);
  [[nodiscard]] Status make_current(std::uint64_t generation);
  // Writes the newest generation again without what was rejected. False: nothing could be replaced.
  [[nodiscard]] bool replace(const std::vector<config::Rejection>& rejected, Outcome& outcome);
  [[nodiscard]] std::optional<PreparedShard> replacement(const config::Rejection& rejection) const;

  GenerationWriter& writer_;
  ProxyControl& proxy_;
  const Clock& clock_;
  std::map<std::string, Replaced, std::less<>> replaced_;
  std::optional<config::KeyPairRef> rejected_default_;
  std::uint64_t last_good_;  // whose shards may stand in for rejected ones
  std::uint64_t acknowledged_ = 0;
  bool is_written_ = false;      // what was wanted last is the newest generation
  std::uint64_t died_over_ = 0;  // load of this one was cut or hung
};

}  // namespace handfast::publish

#include "controller/source/joined_source.h"

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <thread>
#include <utility>

#include "proxy/base/check.h"

namespace handfast::source {

class JoinedSource::Junction {
 public:
  Junction(Sink& sink, std::size_t count) : sink_(sink), parts_(count) {
    for (std::size_t n = 0; n < count; ++n) inlets_.push_back(Inlet{*this, n});
  }

  [[nodiscard]] Sink& inlet(std::size_t number) { return inlets_[number]; }

 private:
  class Inlet final : public Sink {
   public:
    Inlet(Junction& junction, std::size_t number) : junction_(junction), number_(number) {}
    void on_batch(Batch batch) override { junction_.on_batch(number_, std::move(batch)); }

   private:
    Junction& junction_;
    std::size_t number_;
  };

  struct Part {
    std::vector<objects::Decoded::Problem> problems;
    std::size_t skipped_documents = 0;
    bool synced = false;
  };

  void on_batch(std::size_t number, Batch batch) {
    const std::lock_guard lock{mutex_};
    parts_[number] = {std::exchange(batch.problems, {}), batch.skipped_documents,
                      parts_[number].synced || batch.synced};
    batch.skipped_documents = 0;
    for (const Part& part : parts_) {
      batch.problems.insert(batch.problems.end(), part.problems.begin(), part.problems.end());
      batch.skipped_documents += part.skipped_documents;
    }
    batch.synced = std::ranges::all_of(parts_, &Part::synced);
    sink_.on_batch(std::move(batch));
  }

  Sink& sink_;
  std::mutex mutex_;
  std::vector<Part> parts_;  // guarded by mutex_
  std::vector<Inlet> inlets_;
};

JoinedSource::JoinedSource(std::vector<std::unique_ptr<Source>> sources)
    : sources_(std::move(sources)) {
  check(!sources_.empty(), "nothing to join");
}

void JoinedSource::run(Sink& sink) {
  Junction junction(sink, sources_.size());
  std::vector<std::thread> others;
  for (std::size_t n = 1; n < sources_.size(); ++n) {
    others.emplace_back(
        [&source = *sources_[n], &inlet = junction.inlet(n)] { source.run(inlet); });
  }
  sources_[0]->run(junction.inlet(0));
  for (std::thread& other : others) other.join();
}

void JoinedSource::stop() {
  for (const auto& source : sources_) source->stop();
}

bool JoinedSource::want(std::set<objects::ObjectKey> references) {
  bool delivers_everything = true;
  for (const auto& source : sources_) {
    delivers_everything = source->want(references) && delivers_everything;
  }
  return delivers_everything;
}

}  // namespace handfast::source

#pragma once
// A source whose objects the index hears of too, before the controller does.
//
// Threading: as the source. Ownership: borrows both.

#include <set>
#include <utility>

#include "controller/admission/index.h"
#include "controller/source/source.h"

namespace handfast::admission {

class Feed final : public source::Source, private source::Sink {
 public:
  Feed(Index& index, source::Source& source) : index_(index), source_(source) {}

  void run(source::Sink& sink) override {
    sink_ = &sink;
    source_.run(*this);
  }
  void stop() override { source_.stop(); }

  [[nodiscard]] bool want(std::set<objects::ObjectKey> references) override {
    index_.set_asked(references);
    const bool is_all = source_.want(std::move(references));
    if (is_all) index_.set_told(Index::Told::All);
    return is_all;
  }

 private:
  void on_batch(source::Batch batch) override {
    for (const source::Event& event : batch.events) {
      if (event.object) {
        index_.apply(*event.object);
      } else {
        index_.remove(event.key);
      }
    }
    for (const objects::ObjectKey& key : batch.answered) index_.add_answered(key);
    if (batch.synced) index_.set_synced();
    sink_->on_batch(std::move(batch));
  }

  Index& index_;
  source::Source& source_;
  source::Sink* sink_ = nullptr;  // while it runs
};

}  // namespace handfast::admission

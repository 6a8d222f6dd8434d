#pragma once
// Between a source and the controller: the index hears of every object before translation does.
//
// Threading: the source's. Ownership: borrows both.

#include <utility>

#include "controller/admission/index.h"
#include "controller/source/source.h"

namespace handfast::admission {

class Feed final : public source::Sink {
 public:
  Feed(Index& index, source::Sink& next) : index_(index), next_(next) {}

  void on_batch(source::Batch batch) override {
    for (const source::Event& event : batch.events) {
      if (event.object) {
        index_.apply(*event.object);
      } else {
        index_.remove(event.key);
      }
    }
    if (batch.synced) index_.set_synced();
    next_.on_batch(std::move(batch));
  }

 private:
  Index& index_;
  source::Sink& next_;
};

}  // namespace handfast::admission

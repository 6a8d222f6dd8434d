#pragma once
// What the HTTP/2 codec keeps of each stream, and of those that were. Internal to proxy/http.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/http/h2_codec.h"
#include "proxy/http/h2_head.h"
#include "proxy/http/message.h"

namespace handfast::http {

// Body bytes to be sent, in order.
class H2SendQueue {
 public:
  [[nodiscard]] std::size_t size() const { return bytes_.size() - begin_; }
  [[nodiscard]] std::string_view front(std::size_t bytes) const {
    return std::string_view(bytes_).substr(begin_, bytes);
  }
  void append(std::string_view bytes) {
    // Moves no more bytes than were drawn since the last time.
    if (begin_ > bytes_.size() / 2) {
      bytes_.erase(0, begin_);
      begin_ = 0;
    }
    bytes_.append(bytes);
  }
  void consume(std::size_t bytes) {
    begin_ += bytes;
    if (begin_ == bytes_.size()) clear();
  }
  void clear() {
    bytes_.clear();
    begin_ = 0;
  }
  void shrink(std::size_t bytes) {
    if (bytes_.capacity() > bytes) std::string().swap(bytes_);
  }

 private:
  std::string bytes_;
  std::size_t begin_ = 0;
};

struct H2Stream {
  H2StreamId id = 0;
  H2Head head;
  H2Head trailers;  // being received
  H2SendQueue out;
  std::vector<Header> out_trailers;  // views of the next
  std::string out_trailer_bytes;
  bool announced = false;     // Events know the stream
  bool final_head = false;    // the request's or the final response's was received
  bool refused = false;       // no request: what follows is ignored
  bool to_head = false;       // client: HEAD was asked
  bool answering = false;     // server: the final head is queued
  bool answered = false;      // and was drawn
  bool ended = false;         // our half, by the caller
  bool end_drawn = false;     // and that was drawn
  bool deferred = false;      // nothing to draw when last asked
  bool above_mark = false;    // on_h2_drained() is owed
  bool remote_ended = false;  // the peer's half is complete
  bool peer_reset = false;
  bool resetting = false;  // by us
  bool charged = false;    // that was the peer's fault, and is counted

  [[nodiscard]] bool takes_sends() const { return !ended && !resetting; }
  // For another stream; keeps some memory.
  void clear() {
    constexpr std::size_t kKept = 4 * 1024;
    head.clear();
    head.shrink(kKept);
    trailers.clear();
    trailers.shrink(kKept);
    out.clear();
    out.shrink(kKept);
    out_trailers.clear();
    out_trailer_bytes.clear();
    announced = final_head = refused = to_head = answering = answered = ended = end_drawn = false;
    deferred = above_mark = remote_ended = peer_reset = resetting = charged = false;
  }
  void keep_trailers(std::span<const Header> fields) {
    std::size_t bytes = 0;
    for (const Header& field : fields) bytes += field.name.size() + field.value.size();
    out_trailer_bytes.reserve(bytes);  // the views stay good
    for (const Header& field : fields) {
      const std::size_t at = out_trailer_bytes.size();
      out_trailer_bytes.append(field.name).append(field.value);
      const std::string_view both = std::string_view(out_trailer_bytes).substr(at);
      out_trailers.push_back(
          {both.substr(0, field.name.size()), both.substr(field.name.size()), field.id});
    }
  }
};

// Open streams by id. Ids grow, so that new ones go to the end; there are a hundred at most.
class H2StreamTable {
 public:
  [[nodiscard]] H2Stream* find(H2StreamId id) const {
    const std::size_t at = position(id);
    return at < streams_.size() && streams_[at]->id == id ? streams_[at].get() : nullptr;
  }
  H2Stream& open(H2StreamId id) {
    std::unique_ptr<H2Stream> stream;
    if (spares_.empty()) {
      stream = std::make_unique<H2Stream>();
    } else {
      stream = std::move(spares_.back());
      spares_.pop_back();
    }
    stream->id = id;
    const auto at = static_cast<std::ptrdiff_t>(position(id));
    return **streams_.insert(streams_.begin() + at, std::move(stream));
  }
  // Null if there is none. What it holds stays until give_back().
  [[nodiscard]] std::unique_ptr<H2Stream> take(H2StreamId id) {
    const std::size_t at = position(id);
    if (at == streams_.size() || streams_[at]->id != id) return nullptr;
    std::unique_ptr<H2Stream> stream = std::move(streams_[at]);
    streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(at));
    return stream;
  }
  void give_back(std::unique_ptr<H2Stream> stream) {
    if (spares_.size() >= kMaxSpares) return;
    stream->clear();
    spares_.push_back(std::move(stream));
  }
  void release_memory() {
    spares_.clear();
    spares_.shrink_to_fit();
    if (streams_.empty()) streams_.shrink_to_fit();
  }
  [[nodiscard]] std::size_t size() const { return streams_.size(); }

 private:
  static constexpr std::size_t kMaxSpares = 32;

  // Of the first stream that isn't before `id`.
  [[nodiscard]] std::size_t position(H2StreamId id) const {
    if (streams_.empty() || streams_.back()->id < id) return streams_.size();
    const auto at = std::lower_bound(
        streams_.begin(), streams_.end(), id,
        [](const std::unique_ptr<H2Stream>& stream, H2StreamId one) { return stream->id < one; });
    return static_cast<std::size_t>(at - streams_.begin());
  }

  std::vector<std::unique_ptr<H2Stream>> streams_;
  std::vector<std::unique_ptr<H2Stream>> spares_;
};

// The last closed streams of a kind; holds no memory before the first.
class H2ClosedStreams {
 public:
  void add(H2StreamId id) {
    if (ids_.size() < kRemembered) {
      ids_.push_back(id);
      return;
    }
    ids_[next_] = id;
    next_ = (next_ + 1) % kRemembered;
  }
  [[nodiscard]] bool has(H2StreamId id) const {
    return std::find(ids_.begin(), ids_.end(), id) != ids_.end();
  }

 private:
  static constexpr std::size_t kRemembered = 256;

  std::vector<H2StreamId> ids_;
  std::size_t next_ = 0;
};

}  // namespace handfast::http

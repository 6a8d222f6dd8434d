#pragma once
// What an HTTP/2 peer may cost for nothing, and where its frames begin. Internal to proxy/http.
//
// Each kind of frame that makes work without use draws from an allowance, and work that is of use
// fills it up again: a connection that serves may go on forever, and one that only makes work is
// cut after a number of frames that is known beforehand. Time gives back resets alone: whoever
// cancels calls now and then, all of them unanswered, does no harm; nothing else wants a clock.
//
//   Resets          streams that the client resets before they are answered (CVE-2023-44487), and
//                   resets of ours that it provokes by errors (CVE-2025-8671); back: a stream that
//                   is answered whole, and kResetsBack in time
//   Continuations   more frames than kMaxContinuations for one head (CVE-2024-27316)
//   Control         PING, SETTINGS, PRIORITY, WINDOW_UPDATE, GOAWAY, what is unknown, and what is
//                   for streams that are closed; back: heads and data of open streams either way
//                   and each read, so that keep-alive pings on a quiet connection cost nothing
//   EmptyFrames     DATA without payload or end; back: a stream that is answered whole
//   Headers         a head many times larger than the limit: a decompression bomb; no allowance
//
// A stream that was answered in part when the client reset it isn't counted: it had its use. An
// answer that still waits to be written is none: of those that nobody reads a few hundred pile up.

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/base/clock.h"
#include "proxy/http/h2_codec.h"

namespace handfast::http {

inline constexpr int kMaxContinuations = 16;
inline constexpr std::size_t kHeadBombFactor = 4;

// RFC 9113 4.1.
struct H2Frame {
  enum Type : std::uint8_t {
    Data = 0,
    Headers = 1,
    Priority = 2,
    RstStream = 3,
    Settings = 4,
    PushPromise = 5,
    Ping = 6,
    Goaway = 7,
    WindowUpdate = 8,
    Continuation = 9,
  };
  static constexpr std::uint8_t kEndStream = 0x1;
  static constexpr std::uint8_t kPadded = 0x8;

  std::uint32_t length = 0;
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  H2StreamId stream = 0;
  H2StreamId depends_on = 0;  // of PRIORITY

  [[nodiscard]] bool ends_stream() const {
    return (type == Data || type == Headers) && (flags & kEndStream) != 0;
  }
};

// Cuts what comes in at the frames' boundaries.
class H2FrameCutter {
 public:
  // `preface`: bytes before the first frame.
  explicit H2FrameCutter(std::size_t preface) : payload_left_(preface) {}

  struct Piece {
    std::size_t size = 0;  // bytes from the front; not 0 unless there are none
    // Whose header is whole with these bytes (PRIORITY: and the stream that it depends on).
    const H2Frame* frame = nullptr;
  };
  // A piece holds bytes of one frame.
  [[nodiscard]] Piece take(std::string_view bytes);

 private:
  static constexpr std::size_t kHeaderBytes = 9;
  static constexpr std::size_t kDependencyBytes = 4;

  std::array<char, kHeaderBytes + kDependencyBytes> header_{};
  std::size_t header_size_ = 0;  // of a header that isn't whole
  std::size_t header_wanted_ = kHeaderBytes;
  std::size_t payload_left_;
  H2Frame frame_;
};

class H2Floods {
 public:
  // A deadline that passes for all calls of a busy client at once is no attack; 10,000 resets in a
  // row are, and end within the first thousand.
  static constexpr int kResets = 800;
  static constexpr std::chrono::milliseconds kResetsBack{100};  // one each
  static constexpr int kControl = 1000;
  static constexpr int kEmptyFrames = 100;

  void set_now(Monotonic now) {
    if (now < next_back_) return;
    const auto times = 1 + (now - next_back_) / kResetsBack;
    if (next_back_ != Monotonic{}) {
      give(resets_, static_cast<int>(std::min<std::int64_t>(times, kResets)), kResets);
      next_back_ += times * kResetsBack;
    } else {
      next_back_ = now + kResetsBack;
    }
  }
  void on_read() { give(control_, 1, kControl); }
  void on_useful_frame() { give(control_, 4, kControl); }
  void on_answered_stream() {
    give(resets_, 1, kResets);
    give(empty_frames_, 1, kEmptyFrames);
  }

  // Each: false when that was one too many.
  [[nodiscard]] bool take_reset() { return take(resets_, H2Flood::Resets); }
  [[nodiscard]] bool take_control() { return take(control_, H2Flood::Control); }
  [[nodiscard]] bool take_empty_frame() { return take(empty_frames_, H2Flood::EmptyFrames); }
  // For each frame: counts those that follow one another.
  [[nodiscard]] bool take_continuation(bool is_continuation);
  void set(H2Flood flood) { flood_ = flood; }

  [[nodiscard]] H2Flood flood() const noexcept { return flood_; }

 private:
  static void give(int& allowance, int back, int most) {
    allowance = std::min(allowance + back, most);
  }
  bool take(int& allowance, H2Flood kind) {
    if (--allowance >= 0) return true;
    flood_ = kind;
    return false;
  }

  int resets_ = kResets;
  Monotonic next_back_{};  // when time gives back the next
  int control_ = kControl;
  int empty_frames_ = kEmptyFrames;
  int continuations_ = 0;
  H2Flood flood_ = H2Flood::None;
};

}  // namespace handfast::http

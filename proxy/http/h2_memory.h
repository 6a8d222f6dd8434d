#pragma once
// The memory of one HTTP/2 session, so that idle ones are small. Internal to proxy/http.
//
// nghttp2 makes what a session may ever need when it begins: 16 KiB for a frame, of which the first
// page is written to at once, and tables of 6 KiB that the first request fills. Here these lie on
// pages of their own, which the kernel gives when they are touched, and takes back when no frame
// waits there. All else comes from malloc().
//
//   construction of the session -> seal() -> release_frame()* -> destruction, after the session's
//
// Threading: each belongs to its session's worker; the pages come from one list of the process.

#include <nghttp2/nghttp2.h>

#include <cstddef>

namespace handfast::http {

class H2Memory {
 public:
  H2Memory();
  H2Memory(const H2Memory&) = delete;
  H2Memory& operator=(const H2Memory&) = delete;
  ~H2Memory();

  [[nodiscard]] nghttp2_mem* functions() noexcept { return &functions_; }
  // The session is made: what it asks for from now on comes and goes.
  void seal() noexcept { sealed_ = true; }
  // Forgets what is in the frame's buffer: not while a frame is being sent.
  void release_frame() noexcept;

 private:
  [[nodiscard]] void* place(std::size_t size) noexcept;
  [[nodiscard]] bool owns(const void* block) const noexcept;

  static void* on_malloc(std::size_t size, void* self);
  static void on_free(void* block, void* self);
  static void* on_calloc(std::size_t count, std::size_t size, void* self);
  static void* on_realloc(void* block, std::size_t size, void* self);

  nghttp2_mem functions_;
  char* pages_ = nullptr;
  std::size_t tables_ = 0;  // bytes of them
  bool has_frame_ = false;
  bool sealed_ = false;
};

}  // namespace handfast::http

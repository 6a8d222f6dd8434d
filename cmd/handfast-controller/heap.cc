// How jemalloc, the controller's malloc, is set up (ARCHITECTURE.md 34; its manual, "TUNING").

// The name that jemalloc looks for.
// One arena: objects go from thread to thread, and what one lets go of is of use to all. What is
// free goes back within a second or so, by a thread of jemalloc's own, for most of the memory is
// taken at the start, and after that little happens.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" [[gnu::used, gnu::visibility("default")]] const char* const malloc_conf =
    "narenas:1,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";

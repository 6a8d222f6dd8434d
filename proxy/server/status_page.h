#pragma once
// The status page: what `--admin` shows to a person's browser, and the same as JSON.
//
//   GET /             the page: HTML of this binary, which asks for what follows
//   GET /page.css, /page.js
//   GET /status.json  status_json.h, by the query of status_query.h
//
// Only whoever is on this machine (in this pod, or by kubectl port-forward) can connect; what a
// browser there is told by other sites must not get in either. So nothing is answered whose Host is
// no address and not localhost (DNS rebinding), nothing can be changed here, and the page may load
// nothing from elsewhere, run no script but its own, and stand in no frame. It makes text of
// whatever it shows, and never markup.
//
// Threading: answer() on the loop's thread, where answers are given too; what takes time is done on
// a thread of its own, since the loader's must be free for a revocation. Ownership: borrows loader,
// loop and handshakes, ends before them.

#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>

#include "proxy/base/crew.h"
#include "proxy/event/loop.h"
#include "proxy/server/http_service.h"
#include "proxy/server/last_handshakes.h"
#include "proxy/server/loader.h"
#include "proxy/server/status_json.h"

namespace handfast::server {

class StatusPage {
 public:
  // Questions that wait for their answer at once; more are told to come back.
  static constexpr std::size_t kMostWaiting = 8;

  // `facts`: called on the loop's thread.
  StatusPage(Loader& loader, event::Loop& loop, const LastHandshakes& handshakes,
             std::function<StatusFacts()> facts)
      : loader_(loader), loop_(loop), handshakes_(handshakes), facts_(std::move(facts)) {}

  void answer(const HttpRequest& request, const HttpService::Answer& answer);

  // To the thread that makes the answers.
  void post(std::function<void()> task) { crew_.post(std::move(task)); }

 private:
  void answer_json(const HttpRequest& request, const HttpService::Answer& answer);

  Loader& loader_;
  event::Loop& loop_;
  const LastHandshakes& handshakes_;
  const std::function<StatusFacts()> facts_;
  std::size_t waiting_ = 0;
  Crew crew_{1};  // ends first
};

// Of whatever the admin address answers: nothing is loaded but from here, nothing is made of text,
// and no other site sees or frames it.
extern const std::string_view kAdminHeaders;

// Whether a request that names this host may be answered on a loopback listener: `localhost` and
// what ends in `.localhost`, which no resolver but the machine's own answers for (RFC 6761 section
// 6.3), and IP addresses, which no name can be turned into. As in RequestHead::host.
[[nodiscard]] bool is_own_host(std::string_view host);

}  // namespace handfast::server

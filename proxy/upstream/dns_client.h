#pragma once
// Asks DNS for the addresses of names, with c-ares, on a thread of its own.
//
// As the C library would, but for many names at once and with their TTLs: /etc/hosts first,
// servers, search domains and ndots of /etc/resolv.conf, which is read again when it changes; A and
// AAAA side by side, and what answers of the two is enough. A server gets `timeout` to answer, then
// twice as long, `tries` times in all. Addresses that this machine has no route to are left out if
// it has one to others: a name with both families must not cost every second request a failed try
// in a network of one.
//
// Threading: ask() from any thread; `answered` runs on the client's own. Ownership: what hasn't
// been answered when the client ends never is.

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/base/result.h"
#include "proxy/base/unique_fd.h"
#include "proxy/upstream/name_answer.h"

namespace handfast::upstream {

class DnsClient {
 public:
  struct Options {
    std::string servers{};  // "192.0.2.53,[2001:db8::53]:5353"; empty: those of resolv_conf
    std::string resolv_conf = "/etc/resolv.conf";
    bool hosts_file = true;
    std::chrono::milliseconds timeout{1'000};
    int tries = 3;
    std::function<bool(const net::Address&)> has_route = DnsClient::has_route;
  };
  static Result<std::unique_ptr<DnsClient>> create(Options options);
  ~DnsClient();

  void ask(const std::string& name, std::function<void(NameAnswer)> answered);

  [[nodiscard]] static bool has_route(const net::Address& address);

 private:
  struct Question {
    std::string name;
    std::function<void(NameAnswer)> answered;
  };
  class Channel;  // c-ares

  DnsClient(Options options, UniqueFd wake);
  void run();
  [[nodiscard]] std::vector<Question> take_questions(std::size_t limit);

  Options options_;
  UniqueFd wake_;
  std::unique_ptr<Channel> channel_;  // the thread's
  std::mutex mutex_;
  std::vector<Question> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace handfast::upstream

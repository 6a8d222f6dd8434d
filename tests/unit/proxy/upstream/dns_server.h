#pragma once
// A DNS server for tests, on a free port of loopback: UDP and TCP, a thread of its own.

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/base/check.h"
#include "proxy/base/unique_fd.h"
#include "proxy/net/address.h"
#include "proxy/net/listener.h"

namespace handfast::testing {

class DnsServer {
 public:
  static constexpr int kNoError = 0;
  static constexpr int kServerFailure = 2;
  static constexpr int kNoSuchName = 3;
  static constexpr std::uint16_t kA = 1;
  static constexpr std::uint16_t kCname = 5;
  static constexpr std::uint16_t kAaaa = 28;

  DnsServer() {
    // A port that is free for both: others may have it for one of them.
    do {
      address_ = net::Address::from_ip("127.0.0.1", 0).value();
      udp_ = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      check(::bind(udp_.get(), address_.data(), address_.length()) == 0, "bind");
      address_ = net::local_address(udp_.get());
      tcp_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    } while (::bind(tcp_.get(), address_.data(), address_.length()) != 0);
    check(::listen(tcp_.get(), 8) == 0, "listen");
    stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
    thread_ = std::thread([this] { run(); });
  }
  ~DnsServer() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
  }

  [[nodiscard]] std::string address() const { return address_.to_string(); }

  void add(const std::string& name, const char* ip, std::uint32_t ttl = 60) {
    const net::Address address = net::Address::from_ip(ip, 0).value();
    const bool v4 = address.family() == AF_INET;
    // Behind family and port; of IPv6 also behind the flow label.
    const auto* bytes = reinterpret_cast<const char*>(address.data()) + (v4 ? 4 : 8);
    const std::lock_guard lock(mutex_);
    records_[name].push_back(
        {v4 ? kA : kAaaa, ttl, std::string(bytes, v4 ? std::size_t{4} : std::size_t{16})});
  }
  void add_alias(const std::string& name, const std::string& target, std::uint32_t ttl) {
    const std::lock_guard lock(mutex_);
    records_[name].push_back({kCname, ttl, target});
  }
  // What is answered for a name instead; -1: nothing at all.
  void set_failure(const std::string& name, int rcode, std::uint16_t only_type = 0) {
    const std::lock_guard lock(mutex_);
    failures_[name] = {rcode, only_type};
  }
  [[nodiscard]] std::set<std::string> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  struct Record {
    std::uint16_t type;
    std::uint32_t ttl;
    std::string data;
  };

  static void append16(std::string& out, std::size_t value) {
    out.push_back(static_cast<char>(value >> 8 & 255));
    out.push_back(static_cast<char>(value & 255));
  }
  static std::string encode_name(const std::string& name) {
    std::string out;
    for (std::size_t from = 0; from < name.size();) {
      const std::size_t dot = std::min(name.find('.', from), name.size());
      out.push_back(static_cast<char>(dot - from));
      out.append(name, from, dot - from);
      from = dot + 1;
    }
    out.push_back('\0');
    return out;
  }

  void run() {
    for (;;) {
      pollfd fds[] = {{stop_.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
      ::poll(fds, 3, -1);
      if (fds[0].revents != 0) return;
      if (fds[1].revents != 0) serve_udp();
      if (fds[2].revents != 0) serve_tcp();
    }
  }
  void serve_udp() {
    char bytes[1500];
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    const ssize_t size =
        ::recvfrom(udp_.get(), bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 12) return;
    std::string answer = answer_to(std::string(bytes, static_cast<std::size_t>(size)));
    if (answer.empty()) return;
    if (answer.size() > 512) {
      answer.resize(answer.find('\0', 12) + 5);      // header and question
      answer[2] = static_cast<char>(answer[2] | 2);  // truncated
      answer[6] = answer[7] = 0;
    }
    ::sendto(udp_.get(), answer.data(), answer.size(), 0, reinterpret_cast<sockaddr*>(&from),
             length);
  }
  // One connection at a time, until the client closes it.
  void serve_tcp() {
    const UniqueFd connection(::accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::string received;
    for (;;) {
      pollfd fds[] = {{stop_.get(), POLLIN, 0}, {connection.get(), POLLIN, 0}};
      ::poll(fds, 2, -1);
      if (fds[0].revents != 0) return;
      char bytes[1500];
      const ssize_t size = ::read(connection.get(), bytes, sizeof bytes);
      if (size <= 0) return;
      received.append(bytes, static_cast<std::size_t>(size));
      while (received.size() > 2) {
        const std::size_t length = static_cast<unsigned char>(received[0]) * 256u +
                                   static_cast<unsigned char>(received[1]);
        if (received.size() < 2 + length) break;
        const std::string answer = answer_to(received.substr(2, length));
        received.erase(0, 2 + length);
        std::string framed;
        append16(framed, answer.size());
        framed += answer;
        // In pieces, as the network may deliver it.
        for (std::size_t at = 0; at < framed.size(); at += 100) {
          (void)!::write(connection.get(), framed.data() + at,
                         std::min<std::size_t>(100, framed.size() - at));
        }
      }
    }
  }

  std::string answer_to(const std::string& query) {
    std::string name;
    std::size_t at = 12;
    while (at < query.size() && query[at] != 0) {
      const auto length = static_cast<std::size_t>(query[at]);
      if (!name.empty()) name += '.';
      name.append(query, at + 1, length);
      at += 1 + length;
    }
    const std::string question = query.substr(12, at + 5 - 12);
    const auto type = static_cast<std::uint16_t>(static_cast<unsigned char>(query[at + 1]) * 256u +
                                                 static_cast<unsigned char>(query[at + 2]));
    const std::lock_guard lock(mutex_);
    asked_.insert(name);
    int rcode = records_.contains(name) ? kNoError : kNoSuchName;
    if (const auto failure = failures_.find(name);
        failure != failures_.end() &&
        (failure->second.second == 0 || failure->second.second == type)) {
      rcode = failure->second.first;
      if (rcode < 0) return {};
    }
    std::string answers;
    std::size_t count = 0;
    if (rcode == kNoError) append_answers(name, type, answers, count);
    std::string out = query.substr(0, 2);
    out.push_back(static_cast<char>(0x85));
    out.push_back(static_cast<char>(0x80 | rcode));
    append16(out, 1);
    append16(out, count);
    append16(out, 0);
    append16(out, 0);
    return out + question + answers;
  }
  // The name's own records of the type, or its alias and what that has.
  void append_answers(const std::string& name, std::uint16_t type, std::string& out,
                      std::size_t& count) {
    for (const Record& record : records_[name]) {
      if (record.type != type && record.type != kCname) continue;
      const std::string data = record.type == kCname ? encode_name(record.data) : record.data;
      out += encode_name(name);
      append16(out, record.type);
      append16(out, 1);
      append16(out, record.ttl >> 16);
      append16(out, record.ttl & 0xffff);
      append16(out, data.size());
      out += data;
      ++count;
      if (record.type == kCname) append_answers(record.data, type, out, count);
    }
  }

  UniqueFd udp_;
  UniqueFd tcp_;
  UniqueFd stop_;
  net::Address address_;
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Record>> records_;
  std::map<std::string, std::pair<int, std::uint16_t>> failures_;
  std::set<std::string> asked_;
  std::thread thread_;
};

}  // namespace handfast::testing

#include "proxy/upstream/dns_client.h"

#include <ares.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <utility>

#include "proxy/base/check.h"
#include "proxy/base/log.h"

namespace handfast::upstream {
namespace {

// More names wait for their turn: what a server's socket can't hold is lost, and costs a timeout.
constexpr std::size_t kUnderWay = 64;

NameAnswer read_answer(int status, const ares_addrinfo* found) {
  NameAnswer answer;
  if (status != ARES_SUCCESS || found == nullptr || found->nodes == nullptr) {
    const bool none = status == ARES_SUCCESS || status == ARES_ENOTFOUND ||
                      status == ARES_ENODATA || status == ARES_EBADNAME;
    answer.kind = none ? NameAnswer::Kind::NoSuchName : NameAnswer::Kind::Failed;
    answer.detail = ares_strerror(status);
    return answer;
  }
  answer.kind = NameAnswer::Kind::Found;
  int ttl = found->nodes->ai_ttl;
  for (const auto* alias = found->cnames; alias != nullptr; alias = alias->next) {
    ttl = std::min(ttl, alias->ttl);
  }
  for (const auto* node = found->nodes; node != nullptr; node = node->ai_next) {
    ttl = std::min(ttl, node->ai_ttl);
    answer.addresses.push_back(
        net::Address::from_sockaddr(node->ai_addr, static_cast<socklen_t>(node->ai_addrlen)));
  }
  answer.ttl = std::chrono::seconds(std::max(ttl, 0));
  return answer;
}

}  // namespace

class DnsClient::Channel {
 public:
  explicit Channel(const Options& options) : options_(options) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() { close(); }

  Status open();
  // Reads resolv.conf again if it has changed and nothing is under way.
  void follow_resolv_conf();
  void ask(Question question);
  // Waits until something happens to the sockets, a try has taken too long, or `wake` is readable.
  void wait(int wake);

  [[nodiscard]] std::size_t under_way() const { return under_way_; }

 private:
  struct Asked {
    Channel& channel;
    std::function<void(NameAnswer)> answered;
  };
  struct FileVersion {
    ino_t inode = 0;
    timespec changed{};
  };

  static void on_socket(void* self, ares_socket_t fd, int readable, int writable);
  static void on_answer(void* asked, int status, int timeouts, ares_addrinfo* found);
  [[nodiscard]] FileVersion file_version() const;
  void close();

  const Options& options_;
  ares_channel channel_ = nullptr;
  FileVersion version_;
  std::vector<pollfd> sockets_;
  std::vector<pollfd> polled_;
  std::size_t under_way_ = 0;
  bool closing_ = false;
};

Status DnsClient::Channel::open() {
  ares_options options{};
  options.timeout = static_cast<int>(options_.timeout.count());
  options.tries = options_.tries;
  options.sock_state_cb = on_socket;
  options.sock_state_cb_data = this;
  // c-ares copies both texts.
  options.resolvconf_path = const_cast<char*>(options_.resolv_conf.c_str());
  options.lookups = const_cast<char*>("b");
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_RESOLVCONF;
  if (!options_.hosts_file) mask |= ARES_OPT_LOOKUPS;
  version_ = file_version();
  ares_channel made = nullptr;
  int status = ares_init_options(&made, &options, mask);
  if (status == ARES_SUCCESS && !options_.servers.empty()) {
    status = ares_set_servers_ports_csv(made, options_.servers.c_str());
    if (status != ARES_SUCCESS) ares_destroy(made);
  }
  if (status != ARES_SUCCESS) {
    return fail(Reason::Io, std::string("names can't be resolved: ") + ares_strerror(status));
  }
  close();
  channel_ = made;
  return {};
}

void DnsClient::Channel::close() {
  if (channel_ == nullptr) return;
  closing_ = true;
  ares_destroy(std::exchange(channel_, nullptr));
  closing_ = false;
  sockets_.clear();
}

DnsClient::Channel::FileVersion DnsClient::Channel::file_version() const {
  struct stat info{};
  if (::stat(options_.resolv_conf.c_str(), &info) != 0) return {};
  return {info.st_ino, info.st_mtim};
}

void DnsClient::Channel::follow_resolv_conf() {
  if (under_way_ > 0) return;
  const FileVersion now = file_version();
  if (now.inode == version_.inode && now.changed.tv_sec == version_.changed.tv_sec &&
      now.changed.tv_nsec == version_.changed.tv_nsec) {
    return;
  }
  if (const Status opened = open(); !opened) {
    log(LogLevel::Warning, "resolv.conf changed and can't be used",
        {{"detail", opened.error().detail}});
  }
}

void DnsClient::Channel::ask(Question question) {
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NOSORT;
  ++under_way_;
  ares_getaddrinfo(channel_, question.name.c_str(), nullptr, &hints, on_answer,
                   new Asked{*this, std::move(question.answered)});
}

void DnsClient::Channel::on_socket(void* self, ares_socket_t fd, int readable, int writable) {
  std::vector<pollfd>& sockets = static_cast<Channel*>(self)->sockets_;
  const auto events =
      static_cast<short>((readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0));
  std::erase_if(sockets, [fd](const pollfd& one) { return one.fd == fd; });
  if (events != 0) sockets.push_back({fd, events, 0});
}

void DnsClient::Channel::on_answer(void* asked, int status, int /*timeouts*/,
                                   ares_addrinfo* found) {
  const std::unique_ptr<Asked> owned(static_cast<Asked*>(asked));
  Channel& channel = owned->channel;
  --channel.under_way_;
  NameAnswer answer = read_answer(status, found);
  ares_freeaddrinfo(found);
  if (channel.closing_) return;
  std::vector<net::Address>& addresses = answer.addresses;
  if (const auto& has_route = channel.options_.has_route; std::ranges::any_of(addresses, has_route))
    std::erase_if(addresses, [&](const net::Address& address) { return !has_route(address); });
  owned->answered(std::move(answer));
}

void DnsClient::Channel::wait(int wake) {
  polled_ = sockets_;
  polled_.push_back({wake, POLLIN, 0});
  timeval left{};
  int milliseconds = -1;
  if (const timeval* next = ares_timeout(channel_, nullptr, &left); next != nullptr) {
    // Rounded up: waking early would be a loop.
    milliseconds = static_cast<int>(next->tv_sec * 1000 + (next->tv_usec + 999) / 1000);
  }
  const int ready = ::poll(polled_.data(), polled_.size(), milliseconds);
  check(ready >= 0 || errno == EINTR, "poll");
  if (polled_.back().revents != 0) {
    std::uint64_t count = 0;
    (void)!::read(wake, &count, sizeof count);
  }
  polled_.pop_back();
  for (const pollfd& one : polled_) {
    if (ready <= 0 || one.revents == 0) continue;
    const bool readable = (one.revents & (POLLIN | POLLERR | POLLHUP)) != 0;
    ares_process_fd(channel_, readable ? one.fd : ARES_SOCKET_BAD,
                    (one.revents & POLLOUT) != 0 ? one.fd : ARES_SOCKET_BAD);
  }
  ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // tries that took too long
}

Result<std::unique_ptr<DnsClient>> DnsClient::create(Options options) {
  if (const int status = ares_library_init(ARES_LIB_INIT_ALL); status != ARES_SUCCESS) {
    return fail(Reason::Io, std::string("c-ares: ") + ares_strerror(status));
  }
  UniqueFd wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake) return fail(Reason::Io, std::string("eventfd: ") + ::strerror(errno));
  std::unique_ptr<DnsClient> client(new DnsClient(std::move(options), std::move(wake)));
  if (const Status opened = client->channel_->open(); !opened) return fail(opened.error());
  client->thread_ = std::thread([raw = client.get()] { raw->run(); });
  return client;
}

DnsClient::DnsClient(Options options, UniqueFd wake)
    : options_(std::move(options)),
      wake_(std::move(wake)),
      channel_(std::make_unique<Channel>(options_)) {}

DnsClient::~DnsClient() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  check(::eventfd_write(wake_.get(), 1) == 0, "eventfd");
  thread_.join();
}

void DnsClient::ask(const std::string& name, std::function<void(NameAnswer)> answered) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({name, std::move(answered)});
  }
  check(::eventfd_write(wake_.get(), 1) == 0, "eventfd");
}

void DnsClient::run() {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
    }
    channel_->follow_resolv_conf();
    // Until none is left: one that /etc/hosts answers doesn't stay under way.
    for (;;) {
      std::vector<Question> questions = take_questions(kUnderWay - channel_->under_way());
      if (questions.empty()) break;
      for (Question& question : questions) channel_->ask(std::move(question));
    }
    channel_->wait(wake_.get());
  }
  channel_.reset();
}

std::vector<DnsClient::Question> DnsClient::take_questions(std::size_t limit) {
  std::vector<Question> taken;
  const std::lock_guard lock(mutex_);
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(std::min(limit, queue_.size()));
  taken.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  return taken;
}

bool DnsClient::has_route(const net::Address& address) {
  // Connecting a datagram socket sends nothing, but asks the routing table.
  const UniqueFd fd(::socket(address.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return false;
  auto target = net::Address::from_ip(address.ip(), 53);
  return target && ::connect(fd.get(), target->data(), target->length()) == 0;
}

}  // namespace handfast::upstream

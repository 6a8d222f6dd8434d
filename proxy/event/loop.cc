#include "proxy/event/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <utility>

#include "proxy/base/check.h"

namespace handfast::event {
namespace {

constexpr std::uint32_t kInterest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

}  // namespace

Result<std::unique_ptr<Loop>> Loop::create(const Clock& clock) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  UniqueFd wake(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!epoll || !wake) return fail(Reason::Io, std::string("event loop: ") + ::strerror(errno));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;  // the mailbox
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return fail(Reason::Io, std::string("event loop: ") + ::strerror(errno));
  }
  return std::unique_ptr<Loop>(new Loop(clock, std::move(epoll), std::move(wake)));
}

Loop::Loop(const Clock& clock, UniqueFd epoll, UniqueFd wake)
    : clock_(clock),
      epoll_(std::move(epoll)),
      wake_(std::move(wake)),
      timers_(clock.now()),
      now_(clock.now()),
      unix_now_(clock.unix_now()) {}

Loop::~Loop() = default;

void Loop::read_clock() {
  now_ = clock_.now();
  unix_now_ = clock_.unix_now();
}

void Loop::run() {
  stopping_ = false;
  std::array<epoll_event, 256> events;
  while (!stopping_) {
    const int timeout = timers_.wait_milliseconds(clock_.now());
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    check(count >= 0 || errno == EINTR, "epoll_wait");
    read_clock();
    bool mail = false;
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == nullptr) {
        mail = true;
      } else {
        static_cast<Handler*>(event.data.ptr)->on_event(event.events);
      }
    }
    timers_.advance(now_);
    if (mail) run_mail();
    end_round();
  }
}

void Loop::stop() {
  post([this] { stopping_ = true; });
}

Status Loop::add(int fd, Handler& handler) {
  epoll_event event{};
  event.events = kInterest;
  event.data.ptr = &handler;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail(Reason::Io, std::string("epoll_ctl: ") + ::strerror(errno));
  }
  return {};
}

void Loop::rebind(int fd, Handler& handler) {
  epoll_event event{};
  event.events = kInterest;
  event.data.ptr = &handler;
  check(::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) == 0, "epoll_ctl MOD");
}

void Loop::remove(int fd) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Loop::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mail_mutex_);
    mail_.push_back(std::move(task));
  }
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake anyway.
  [[maybe_unused]] const auto written = ::write(wake_.get(), &one, sizeof one);
}

void Loop::run_mail() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void()>> mail;
  {
    const std::lock_guard lock(mail_mutex_);
    mail.swap(mail_);
  }
  for (auto& task : mail) task();
}

void Loop::at_round_end(RoundEnd& work) {
  if (work.scheduled_) return;
  work.scheduled_ = true;
  round_end_.push_back(&work);
}

void Loop::defer_delete(std::unique_ptr<Deletable> object) {
  deleted_.push_back(std::move(object));
}

void Loop::end_round() {
  // Work may schedule more work, and deletions more of both: until nothing is left.
  while (!round_end_.empty() || !deleted_.empty()) {
    for (std::size_t i = 0; i < round_end_.size(); ++i) {
      RoundEnd* work = round_end_[i];
      work->scheduled_ = false;
      work->on_round_end();
    }
    round_end_.clear();
    std::vector<std::unique_ptr<Deletable>> dying;
    dying.swap(deleted_);
  }
}

}  // namespace handfast::event

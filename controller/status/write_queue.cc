#include "controller/status/write_queue.h"

#include <algorithm>

namespace handfast::status {

void WriteQueue::put_in_line(const std::string& key, const Entry& entry) {
  if (entry.wanted && !entry.under_way) line_of(*entry.wanted).emplace(entry.not_before, key);
}

void WriteQueue::take_out_of_line(const std::string& key, const Entry& entry) {
  if (entry.wanted && !entry.under_way) line_of(*entry.wanted).erase({entry.not_before, key});
}

// What was written long enough ago needs no memory.
void WriteQueue::purge(Monotonic now) {
  while (!written_.empty() && now >= written_.front().first + kResend) {
    const auto found = entries_.find(written_.front().second);
    if (found != entries_.end() && found->second.is_written && !found->second.wanted &&
        !found->second.under_way && now >= found->second.written_at + kResend) {
      entries_.erase(found);
    }
    written_.pop_front();
  }
}

void WriteQueue::want(Write write, Monotonic now) {
  purge(now);
  const std::string key = write.key;
  Entry& entry = entries_[key];
  entry.is_forgotten = false;
  take_out_of_line(key, entry);
  const bool is_recent = entry.is_written && now < entry.written_at + kResend;
  if (entry.last == write && (entry.under_way || is_recent)) {
    entry.wanted.reset();
    return;
  }
  if (entry.wanted != write) entry.backoff = kFirstRetry;
  entry.wanted = std::move(write);
  put_in_line(key, entry);
}

void WriteQueue::forget(const std::string& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  take_out_of_line(key, found->second);
  if (!found->second.under_way) {
    entries_.erase(found);
    return;
  }
  found->second.wanted.reset();
  found->second.is_forgotten = true;
}

std::optional<Write> WriteQueue::next(Monotonic now, bool leads) {
  purge(now);
  if (is_full()) return std::nullopt;
  for (Waiting* line : {&own_, leads ? &lead_ : nullptr}) {
    if (line == nullptr || line->empty() || now < line->begin()->first) continue;
    Entry& entry = entries_.at(line->begin()->second);
    line->erase(line->begin());
    entry.under_way = true;
    entry.is_written = false;
    ++under_way_;
    entry.last = *std::exchange(entry.wanted, std::nullopt);
    return entry.last;
  }
  return std::nullopt;
}

void WriteQueue::on_answer(const std::string& key, Outcome outcome, Monotonic now,
                           std::chrono::seconds least) {
  const auto found = entries_.find(key);
  if (found == entries_.end() || !found->second.under_way) return;
  Entry& entry = found->second;
  entry.under_way = false;
  --under_way_;
  if (entry.is_forgotten || (outcome == Outcome::Gone && !entry.wanted)) {
    entries_.erase(found);
    return;
  }
  switch (outcome) {
    case Outcome::Written:
      entry.is_written = true;
      entry.written_at = now;
      entry.backoff = kFirstRetry;
      written_.emplace_back(now, key);
      break;
    case Outcome::Gone:
      break;
    case Outcome::Refused:
    case Outcome::Retry:
      if (!entry.wanted) entry.wanted = entry.last;
      entry.not_before =
          now + (outcome == Outcome::Refused ? kMostRetry : std::max(entry.backoff, least));
      entry.backoff = std::min(2 * entry.backoff, kMostRetry);
      break;
  }
  put_in_line(key, entry);
}

std::optional<Monotonic> WriteQueue::due(bool leads) const {
  std::optional<Monotonic> first;
  for (const Waiting* line : {&own_, leads ? &lead_ : nullptr}) {
    if (line == nullptr || line->empty()) continue;
    if (!first || line->begin()->first < *first) first = line->begin()->first;
  }
  return first;
}

}  // namespace handfast::status

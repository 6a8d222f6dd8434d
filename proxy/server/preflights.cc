#include "proxy/server/preflights.h"

#include <chrono>
#include <future>
#include <memory>
#include <utility>

#include "proxy/server/materials.h"
#include "proxy/server/snapshot_builder.h"
#include "proxy/upstream/channel.h"
#include "proxy/upstream/probe.h"

namespace handfast::server {
namespace {

// How soon an end is noticed.
constexpr std::chrono::milliseconds kSlice{100};

config::Acceptance acceptance_of(upstream::Acceptance seen) {
  switch (seen) {
    case upstream::Acceptance::Unasked:
      return config::Acceptance::Unasked;
    case upstream::Acceptance::Heard:
    case upstream::Acceptance::Finished:
      return config::Acceptance::Accepted;
    case upstream::Acceptance::NotConfirmed:
      return config::Acceptance::NotConfirmed;
    case upstream::Acceptance::Unknown:
    case upstream::Acceptance::Rejected:
      return config::Acceptance::Unknown;
  }
  return config::Acceptance::Unknown;
}

std::string text_of(const config::Endpoint& endpoint) {
  const auto address = net::Address::from_ip(endpoint.address, endpoint.port);
  return address ? address->to_string() : endpoint.address + ':' + std::to_string(endpoint.port);
}

}  // namespace

void Preflights::ask(config::PreflightRequest request, Done done) {
  crew_.post([this, request = std::move(request), done = std::move(done)] {
    const config::PreflightAnswer told = answer(request);
    if (!crew_.stopping()) done(told);
  });
}

config::PreflightAnswer Preflights::answer(const config::PreflightRequest& request) {
  config::PreflightAnswer answer;
  const auto refuse = [&answer](const Error& error) {
    answer.refused = error.reason;
    answer.detail = error.detail;
    return answer;
  };
  Materials materials(root_, clock_);
  config::Rejection rejection;
  const auto policy = make_policy(request.tls, materials, rejection);
  if (!policy) return refuse(policy.error());
  if (const Status usable = (*policy)->usable(clock_.unix_now()); !usable) {
    return refuse(usable.error());
  }
  upstream::Prober prober(clock_, &crew_.stopping());
  for (const config::Endpoint& endpoint : request.endpoints) {
    if (crew_.stopping()) break;
    config::PreflightVote vote;
    vote.address = text_of(endpoint);
    const auto address = locate(request, endpoint);
    if (!address) {
      vote.reason = address.error().reason;
      vote.detail = address.error().detail;
    } else {
      vote.address = address->to_string();
      upstream::ProbeResult seen =
          prober.run(*address, *policy, upstream::wire_of(request.http2), kTimeout);
      vote.reason = seen.verdict.reason;
      vote.detail = std::move(seen.verdict.detail);
      vote.acceptance = acceptance_of(seen.acceptance);
    }
    answer.votes.push_back(std::move(vote));
  }
  return answer;
}

// The first address of a name is enough: they all are one Service.
Result<net::Address> Preflights::locate(const config::PreflightRequest& request,
                                        const config::Endpoint& endpoint) {
  const auto nowhere = [&endpoint] {
    return fail(Reason::NoEndpoints, endpoint.address + ": no address that may be connected to");
  };
  const auto literal = net::Address::from_ip(endpoint.address, endpoint.port);
  if (!request.external_name) {
    if (!literal) return nowhere();
    return *literal;
  }
  if (literal) {
    const auto admitted = resolver_.admit(*literal);
    if (admitted.empty()) return nowhere();
    return admitted.front();
  }
  auto promise = std::make_shared<std::promise<upstream::Addresses>>();
  auto coming = promise->get_future();
  upstream::Addresses found = resolver_.lookup(
      endpoint.address, endpoint.port,
      [promise](upstream::Addresses addresses) { promise->set_value(std::move(addresses)); });
  const Monotonic deadline = clock_.now() + kTimeout;
  while (found == nullptr && !crew_.stopping() && clock_.now() < deadline) {
    if (coming.wait_for(kSlice) != std::future_status::ready) continue;
    found = coming.get();
    break;
  }
  if (found == nullptr || found->empty()) return nowhere();
  return found->front();
}

}  // namespace handfast::server

#pragma once
// Where Ingresses are reached when no Service and no address was named: the nodes whose own ports
// lead to a ready pod of ours (hostPort or host network), as ingress-nginx reports them.
//
//   our pod's labels -> the pods that have them -> their nodes' addresses
//
// A node's external addresses count, or the internal one where it has none; that one is in the
// pod's own status, so that nobody is asked about nodes who wants the internal ones.
//
// Asked by who leads, once a minute, at first sooner while no pod is ready yet; a node again after
// ten.
//
// Threading: find() on one thread; answers come on the Api's. Ownership: borrows api and clock,
// whose callbacks end before they do.

#include <chrono>
#include <memory>
#include <string>

#include "controller/kube/api.h"
#include "controller/status/ingress_status.h"
#include "proxy/base/clock.h"

namespace handfast::status {

class NodeAddresses {
 public:
  static constexpr std::chrono::seconds kAgain{60};
  static constexpr std::chrono::seconds kSoon{5};  // and twice as long each time that it is in vain
  static constexpr std::chrono::minutes kNodeAgain{10};
  // What is older isn't known: somebody else has led meanwhile, or the API server is away.
  static constexpr std::chrono::minutes kTrust{5};

  struct Settings {
    std::string ns, pod;       // ours
    bool is_internal = false;  // --report-node-internal-ip-address
  };

  NodeAddresses(kube::Api& api, const Clock& clock, Settings settings);
  ~NodeAddresses();
  NodeAddresses(const NodeAddresses&) = delete;
  NodeAddresses& operator=(const NodeAddresses&) = delete;

  // As far as is known; what is old is asked, for the next time.
  [[nodiscard]] Addresses find();

 private:
  struct Search;
  std::shared_ptr<Search> search_;  // callbacks own it too
};

}  // namespace handfast::status

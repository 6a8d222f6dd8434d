#pragma once
// A cluster as a source: the objects of a Kubernetes API server, listed and watched.
//
//   everything but Secrets and ConfigMaps --all seen--> the first batch with `synced`
//   --want()--> Secrets and ConfigMaps, of which those that somebody refers to are kept
//   --all seen--> Batch::answered, and from then on what changes
//
// A Secret that is referred to later is fetched by itself; one that nobody refers to anymore is
// gone. Releases of helm, the largest of Secrets, are never asked for.
//
// Batches are states of single objects, never differences, so nothing is lost whatever becomes of a
// connection. While the API server is away, what was known stays and the problem is told. One
// request then tries again for all, so that its return finds no crowd; when it has been found, all
// come back within a second. No more than a few whole
// lists are under way at once.
//
// Threading: run() on one thread; stop() and want() from any. Ownership: borrows all it is given.

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "controller/kube/api.h"
#include "controller/objects/objects.h"
#include "controller/source/cluster_view.h"
#include "controller/source/source.h"
#include "proxy/base/clock.h"

namespace handfast::source {

class ClusterInbox;

// What is told of the exchange with the API server. From the thread of run().
class ClusterObserver {
 public:
  virtual ~ClusterObserver() = default;
  // An answer, or the end of one; 0: no connection.
  virtual void on_answer(int status) = 0;
  // The moment up to which all that happened in the cluster is known.
  virtual void on_in_step(UnixSeconds when) = 0;
};

class ClusterSource final : public Source {
 public:
  struct Settings {
    std::vector<std::string> namespaces;    // --watch-namespace; empty: all
    std::string namespace_selector;         // --watch-namespace-selector
    std::vector<objects::ObjectKey> named;  // Secrets, ConfigMaps and Services of other flags
    ClusterView::Timing timing{};
    // What is over sooner isn't told, nor believed: a server that restarts is no news, and it
    // refuses everybody for a moment before it has read who may do what.
    std::chrono::milliseconds patience{3'000};
  };
  struct Parts {
    kube::Api& api;
    const Clock& clock;
    std::function<double()> random;  // from 0 to 1, without 1
    ClusterObserver* observer = nullptr;
  };

  ClusterSource(Parts parts, Settings settings);
  ~ClusterSource() override;
  ClusterSource(const ClusterSource&) = delete;
  ClusterSource& operator=(const ClusterSource&) = delete;

  void run(Sink& sink) override;
  void stop() override;
  [[nodiscard]] bool want(std::set<objects::ObjectKey> references) override;

 private:
  class Loop;
  class Wishes;

  Parts parts_;
  const Settings settings_;
  std::shared_ptr<ClusterInbox> inbox_;
  std::unique_ptr<Wishes> wishes_;
};

}  // namespace handfast::source

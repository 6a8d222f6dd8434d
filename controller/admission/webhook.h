#pragma once
// The validating admission webhook as a whole: its flags, the index, the judge, the server, and
// whoever keeps its certificate known.
//
// Threading: open() and stop() from one thread. Ownership: borrows metrics, clock, API and source.

#include <memory>
#include <optional>
#include <string>

#include "controller/metrics/metrics.h"
#include "controller/source/source.h"
#include "controller/translate/options.h"
#include "proxy/base/clock.h"
#include "proxy/base/options.h"
#include "proxy/base/result.h"

namespace handfast::kube {
class Api;
}

namespace handfast::admission {

struct WebhookSettings {
  std::string address;  // empty: no webhook
  std::string certificate, key, client_ca;
  std::optional<translate::NamespacedName> service;
  std::string configuration;
};

// --validating-webhook and the flags that begin with it.
void add_flags(OptionSet& options);
[[nodiscard]] Result<WebhookSettings> read_flags(const ParsedOptions& parsed);

class Webhook {
 public:
  struct Parts {
    metrics::Metrics& metrics;
    const Clock& clock;
    kube::Api* api = nullptr;  // null: there is no API server
  };

  virtual ~Webhook() = default;

  // Reads the files and listens; reviews get 503 until the source has told everything. Without an
  // address nothing is done, and source() is `source`.
  [[nodiscard]] static Result<std::unique_ptr<Webhook>> open(const WebhookSettings& settings,
                                                             const translate::Options& options,
                                                             Parts parts, source::Source& source);

  // What the controller must take its objects from.
  [[nodiscard]] virtual source::Source& source() = 0;

  // Takes our certificate out of the caBundle. Reviews are answered until the end: API servers hear
  // late of what is over.
  virtual void stop() = 0;
};

}  // namespace handfast::admission

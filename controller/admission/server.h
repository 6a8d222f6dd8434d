#pragma once
// The HTTPS server that the API server asks: POST /validate, one AdmissionReview at a time for each
// connection.
//
// Strangers may connect where no client CA is demanded, so all is bounded, by serving/web_server.h:
// 256 connections; a body says how long it is, at most 3 MiB, and comes within 10 seconds; 32 may
// be here, 8 of them of one network, of which the oldest that is on its way is given up for the
// next. Networks take turns. A connection ends within a second when the client CA is another, or
// the client's certificate has expired.
//
// Threading: the handler is called from threads of the server's own, one review at a time. The
// destructor waits for it. Ownership: borrows the TLS material and the clock.

#include <functional>
#include <memory>
#include <string>

#include "controller/admission/serving_tls.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

namespace handfast::admission {

class Server {
 public:
  struct Reply {
    int status = 200;
    std::string body;  // JSON for 200, else a line of text
  };
  using Handler = std::function<Reply(const std::string& body)>;

  virtual ~Server() = default;

  // InvalidValue for a bad address, Io for one that can't be listened on.
  [[nodiscard]] static Result<std::unique_ptr<Server>> open(const std::string& address,
                                                            ServingTls& tls, Handler handler,
                                                            const Clock& clock);
};

}  // namespace handfast::admission

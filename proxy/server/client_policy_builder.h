#pragma once
// From what a generation says about the clients of a host to what handshakes go by.

#include <memory>

#include "proxy/base/result.h"
#include "proxy/config/control.h"
#include "proxy/config/model.h"
#include "proxy/server/materials.h"
#include "proxy/tls/client_policy.h"

namespace handfast::server {

// On failure `rejection` names field and file. The loader's thread.
[[nodiscard]] Result<std::shared_ptr<const tls::ClientPolicy>> make_client_policy(
    const config::ClientTls& client, Materials& materials, config::Rejection& rejection);

}  // namespace handfast::server

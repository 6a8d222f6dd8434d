#include "controller/status/events.h"

#include "controller/kube/resource.h"
#include "controller/objects/decode.h"
#include "controller/status/text.h"
#include "controller/translate/findings.h"
#include "proxy/config/emit.h"
#include "proxy/config/model.h"

namespace handfast::status {
namespace {

using config::JsonObject;

constexpr kube::Resource kEvents{
    .kind = "Event", .plural = "events", .group = "events.k8s.io", .versions = {"v1"}};

// The API's limit is 1,024 bytes.
constexpr std::size_t kMaxNote = 960;
constexpr std::size_t kMaxNameStem = 200;

}  // namespace

std::optional<Write> make_event(const translate::Finding& finding, std::string_view uid,
                                const Reporter& reporter, UnixSeconds now) {
  if (uid.empty() || finding.severity == translate::Severity::Info) return std::nullopt;
  const objects::ObjectKey& about = finding.object;
  const std::string note = translate::clip(translate::sentence(finding), kMaxNote);
  const std::string reason = camel_case(to_string(finding.reason));
  const std::string digest =
      config::sha256_hex(std::string(uid) + '\n' + reason + '\n' + note).substr(0, 16);
  const std::string ns = about.ns.empty() ? "default" : about.ns;
  const std::string name = about.name.substr(0, kMaxNameStem) + '.' + digest;

  Write write;
  write.key = "event " + ns + '/' + name;
  write.method = "POST";
  write.path = kube::collection_path(kEvents, 0, ns);
  write.content_type = "application/json";
  {
    JsonObject event{write.body};
    event.text("apiVersion", kEvents.api_version(0));
    event.text("kind", "Event");
    {
      JsonObject meta{event.key("metadata")};
      meta.text("namespace", ns);
      meta.text("name", name);
    }
    event.text("eventTime", micro_time(now));
    event.text("type", "Warning");
    event.text("reason", reason);
    event.text("action", "Translate");
    event.text("note", note);
    event.text("reportingController", reporter.controller);
    event.text("reportingInstance", reporter.instance);
    JsonObject regarding{event.key("regarding")};
    regarding.text("apiVersion", objects::api_version(about.kind));
    regarding.text("kind", about.kind);
    if (!about.ns.empty()) regarding.text("namespace", about.ns);
    regarding.text("name", about.name);
    regarding.text("uid", uid);
  }
  return write;
}

}  // namespace handfast::status

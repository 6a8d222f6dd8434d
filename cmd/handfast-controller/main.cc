// handfast-controller: watches objects, publishes generations. Parses options, builds, runs.

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "cmd/handfast-controller/sources.h"
#include "cmd/handfast-controller/statuses.h"
#include "controller/admission/webhook.h"
#include "controller/kube/api_client.h"
#include "controller/metrics/endpoint.h"
#include "controller/preflight/asker.h"
#include "controller/reconcile/controller.h"
#include "controller/reconcile/last_good.h"
#include "controller/reconcile/ticket_ring.h"
#include "controller/translate/flags.h"
#include "proxy/base/log.h"
#include "proxy/base/options.h"
#include "proxy/base/process.h"
#include "proxy/config/document.h"
#include "proxy/pki/library.h"

namespace handfast {
namespace {

struct Settings {
  SourceSettings source;
  StatusSettings status;
  std::string state_directory, control_path, metrics;
  translate::Options translate;
  std::chrono::seconds ticket_rotation{};  // 0: none
  admission::WebhookSettings webhook;
};

OptionSet make_options() {
  OptionSet options{"handfast-controller", "turns manifests into what handfast-proxy serves"};
  add_source_flags(options);
  options.add_text("state-dir", "DIR", "/run/handfast", "where generations are written, mode 0700");
  options.add_text("control", "PATH", "", "control socket (control.sock in the state directory)");
  options.add_text("metrics", "ADDR:PORT", "0.0.0.0:10254",
                   "/metrics, /healthz, /readyz; off for none");
  translate::add_flags(options);
  add_status_flags(options);
  options.add_duration("session-ticket-rotation", "12h",
                       "how old a ticket key gets without a Secret; 0: no ring");
  admission::add_flags(options);
  options.add_choice("log-level", {"debug", "info", "warning", "error"}, "info",
                     "least level on stderr");
  return options;
}

Result<Settings> read_options(const ParsedOptions& parsed) {
  Settings settings;
  auto source = read_source_flags(parsed);
  if (!source) return fail(std::move(source.error()));
  settings.source = std::move(*source);
  auto status = read_status_flags(parsed);
  if (!status) return fail(std::move(status.error()));
  settings.status = std::move(*status);
  settings.source.publish_service = settings.status.publish_service;
  settings.state_directory = parsed.text("state-dir");
  settings.control_path = parsed.text("control");
  settings.metrics = parsed.text("metrics");
  if (settings.state_directory.empty()) {
    return fail(Reason::InvalidValue, "--state-dir: must not be empty");
  }
  settings.source.state_directory = settings.state_directory;
  if (settings.control_path.empty()) {
    settings.control_path = settings.state_directory + "/control.sock";
  }
  auto options = translate::read_flags(parsed);
  if (!options) return fail(std::move(options.error()));
  settings.translate = std::move(*options);
  const auto rotation = parsed.duration("session-ticket-rotation");
  settings.ticket_rotation = std::chrono::duration_cast<std::chrono::seconds>(rotation);
  if (settings.ticket_rotation != rotation) {
    return fail(Reason::InvalidValue, "--session-ticket-rotation: must be whole seconds");
  }
  auto webhook = admission::read_flags(parsed);
  if (!webhook) return fail(std::move(webhook.error()));
  settings.webhook = std::move(*webhook);
  return settings;
}

LogLevel level_of(const std::string& name) {
  if (name == "debug") return LogLevel::Debug;
  if (name == "warning") return LogLevel::Warning;
  return name == "error" ? LogLevel::Error : LogLevel::Info;
}

int usage_error(const Error& error) {
  std::fprintf(stderr, "handfast-controller: %s\n", error.detail.c_str());
  return 2;
}

int start_error(const Error& error) {
  log(LogLevel::Error, "the controller can't start",
      {{"reason", to_string(error.reason)}, {"detail", error.detail}});
  return 1;
}

// The ring that the current generation names; nothing if there is none, or it is damaged.
void restore(reconcile::TicketRing& ring, const config::Front& front,
             const publish::GenerationWriter& writer, publish::FileSystem& files) {
  for (const config::FileRef& file : front.ticket_keys) {
    if (!reconcile::TicketRing::is_own(file) ||
        !writer.has_directory(file.path.substr(0, file.path.rfind('/')))) {
      continue;
    }
    auto bytes = files.read_file(file.path);
    if (!bytes || !*bytes) continue;
    (void)ring.restore(file, **bytes);
    ::explicit_bzero((*bytes)->data(), (*bytes)->size());
  }
}

// What lies in the state directory, for the first translation.
Result<translate::LastGood> recover(publish::GenerationWriter& writer) {
  translate::LastGood found;
  Status recovered = writer.recover(
      [&found](const config::Shard& shard) { reconcile::remember_items(shard, found); });
  if (!recovered) return fail(std::move(recovered.error()));
  const auto& certificate = writer.manifest(writer.current()).default_certificate;
  if (certificate) reconcile::remember_items(*certificate, found);
  reconcile::keep_whole(
      found, [&writer](const std::string& directory) { return writer.has_directory(directory); });
  return found;
}

int run(const Settings& settings, const sigset_t& signals) {
  auto files = publish::DirectoryFileSystem::open(settings.state_directory);
  if (!files) return start_error(files.error());
  publish::GenerationWriter writer{**files};
  auto last_good = recover(writer);
  if (!last_good) return start_error(last_good.error());
  log(LogLevel::Info, "state directory read",
      {{"current", std::to_string(writer.current())},
       {"last_good_items", std::to_string(last_good->size())}});

  const SystemClock clock;
  metrics::Metrics metrics;
  publish::ProxyClient proxy{settings.control_path};
  publish::Publisher publisher{writer, proxy, clock};
  std::optional<reconcile::TicketRing> ring;
  if (settings.ticket_rotation.count() > 0) {
    restore(ring.emplace(settings.ticket_rotation), last_good->front, writer, **files);
  }
  const auto sources = make_sources(settings.source, settings.translate, clock, metrics);
  if (!sources) return start_error(sources.error());
  const auto webhook = admission::Webhook::open(
      settings.webhook, settings.translate, {metrics, clock, sources->api.get()}, *sources->source);
  if (!webhook && webhook.error().reason == Reason::InvalidValue) {
    return usage_error(webhook.error());
  }
  if (!webhook) return start_error(webhook.error());
  source::Source& source = (*webhook)->source();
  std::optional<Statuses> statuses;
  if (sources->api != nullptr) {
    StatusSettings wanted = settings.status;
    if (wanted.ns.empty()) wanted.ns = sources->ns;
    statuses.emplace(std::move(wanted), *sources->api, proxy, settings.translate, clock);
  }
  preflight::AskerThreads asker{
      [&proxy](const config::PreflightRequest& request) { return proxy.preflight(request); }};
  reconcile::Reconciler reconciler{{writer, publisher, metrics, clock, ring ? &*ring : nullptr,
                                    &source, statuses ? &statuses->parts() : nullptr, &asker},
                                   settings.translate,
                                   std::move(*last_good)};
  reconcile::Controller controller{reconciler};
  asker.set_on_reply(
      [&controller](preflight::Reply reply) { controller.on_reply(std::move(reply)); });

  std::unique_ptr<metrics::Endpoint> endpoint;
  if (settings.metrics != "off") {
    auto opened = metrics::Endpoint::open(
        settings.metrics,
        {[&metrics] { return metrics.render(); }, [&reconciler] { return reconciler.is_ready(); }});
    if (!opened && opened.error().reason == Reason::InvalidValue) {
      return usage_error({Reason::InvalidValue, "--metrics: " + opened.error().detail});
    }
    if (!opened) return start_error(opened.error());
    endpoint = std::move(*opened);
  }

  if (statuses) statuses->start();
  std::thread source_thread{[&source, &controller] { source.run(controller); }};
  std::thread controller_thread{[&controller] { controller.run(); }};
  int signal_number = 0;
  ::sigwait(&signals, &signal_number);
  log(LogLevel::Info, "stopping", {{"signal", signal_number == SIGTERM ? "SIGTERM" : "SIGINT"}});
  (*webhook)->stop();
  source.stop();
  proxy.stop();
  controller.stop();
  source_thread.join();
  controller_thread.join();
  asker.stop();
  if (statuses) statuses->stop();
  return 0;
}

int main_of(int argc, char** argv) {
  const OptionSet options = make_options();
  const auto parsed = options.parse(argc, argv, environ);
  if (!parsed) return usage_error(parsed.error());
  if (parsed->help()) {
    std::fputs(options.usage().c_str(), stdout);
    return 0;
  }
  // Every thread inherits this, the library's too, which would die of a signal that comes before
  // run() waits for it.
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT}) ::sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  pki::start_openssl();
  kube::start_thread();
  if (parsed->version()) {
    std::printf("handfast-controller %s (%s, %s)\n", HANDFAST_VERSION,
                pki::openssl_version().c_str(), config::yaml_library().data());
    return 0;
  }
  const auto settings = read_options(*parsed);
  if (!settings) return usage_error(settings.error());
  set_log_level(level_of(parsed->text("log-level")));
  forbid_core_dumps();
  ::signal(SIGPIPE, SIG_IGN);
  return run(*settings, signals);
}

}  // namespace
}  // namespace handfast

// What is ours has ended. What is left is the library's: its statics wait for connections of
// others.
int main(int argc, char** argv) {
  const int status = handfast::main_of(argc, argv);
  (void)std::fflush(nullptr);
  ::_exit(status);
}

#include "controller/admission/webhook.h"

#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "controller/admission/bundle_keeper.h"
#include "controller/admission/feed.h"
#include "controller/admission/index.h"
#include "controller/admission/judge.h"
#include "controller/admission/own_certificate.h"
#include "controller/admission/review.h"
#include "controller/admission/server.h"
#include "controller/admission/serving_tls.h"
#include "controller/admission/stand_ins.h"
#include "controller/objects/names.h"

namespace handfast::admission {
namespace {

class Off final : public Webhook {
 public:
  explicit Off(source::Source& source) : source_(source) {}
  source::Source& source() override { return source_; }
  void stop() override {}

 private:
  source::Source& source_;
};

class On final : public Webhook {
 public:
  On(const translate::Options& options, Parts parts, StandIns stand_ins,
     std::unique_ptr<ServingTls> tls, source::Source& source)
      : parts_(parts),
        index_(options, Index::Told::Asked),
        judge_(options, index_, std::move(stand_ins)),
        tls_(std::move(tls)),
        feed_(index_, source) {}
  ~On() override { stop(); }

  Status listen(const std::string& address) {
    auto opened = Server::open(
        address, *tls_, [this](const std::string& body) { return ask(body); }, parts_.clock);
    if (!opened) return fail(std::move(opened.error()));
    server_ = std::move(*opened);
    return {};
  }

  Status keep_bundle(const std::string& name, OwnCertificate certificate) {
    const SelfSigned& serving = certificate.serving();
    if (Status used = tls_->use(serving.certificate, serving.key); !used) return used;
    keeper_.emplace(*parts_.api, name, std::move(certificate), *tls_, parts_.clock);
    keeper_thread_ = std::thread{[this] { keeper_->run(); }};
    return {};
  }

  source::Source& source() override { return feed_; }

  void stop() override {
    if (!keeper_thread_.joinable()) return;
    keeper_->stop();
    keeper_thread_.join();
  }

 private:
  Server::Reply ask(const std::string& body) {
    if (!index_.is_synced()) return {503, "the cluster isn't known yet\n"};
    const Monotonic begin = parts_.clock.now();
    auto answer = review(body, judge_, parts_.clock.unix_now());
    const std::chrono::duration<double> took = parts_.clock.now() - begin;
    if (!answer) {
      parts_.metrics.count_admission("other", "bad_request", took.count());
      return {400, answer.error().detail + '\n'};
    }
    parts_.metrics.count_admission(answer->kind, answer->result, took.count());
    return {200, std::move(answer->json)};
  }

  const Parts parts_;
  Index index_;
  const Judge judge_;
  const std::unique_ptr<ServingTls> tls_;
  Feed feed_;
  std::optional<BundleKeeper> keeper_;
  std::thread keeper_thread_;
  std::unique_ptr<Server> server_;
};

}  // namespace

void add_flags(OptionSet& options) {
  options.add_text("validating-webhook", "ADDR:PORT", "",
                   "HTTPS for admission reviews, like :9443; none without");
  options.add_text("validating-webhook-certificate", "FILE", "",
                   "its certificate chain, PEM; its own without");
  options.add_text("validating-webhook-key", "FILE", "", "the key of that, PEM");
  options.add_text("validating-webhook-client-ca", "FILE", "",
                   "PEM; who asks must show a certificate of these CAs");
  options.add_text("validating-webhook-service", "NS/NAME", "",
                   "the webhook's Service: the names of its own certificate");
  options.add_text("validating-webhook-configuration", "NAME", "",
                   "whose caBundle gets its own certificate");
}

Result<WebhookSettings> read_flags(const ParsedOptions& parsed) {
  WebhookSettings settings;
  settings.address = parsed.text("validating-webhook");
  settings.certificate = parsed.text("validating-webhook-certificate");
  settings.key = parsed.text("validating-webhook-key");
  settings.client_ca = parsed.text("validating-webhook-client-ca");
  settings.configuration = parsed.text("validating-webhook-configuration");
  if (const std::string& service = parsed.text("validating-webhook-service"); !service.empty()) {
    auto name = translate::parse_namespaced_name(service);
    if (!name) return within("--validating-webhook-service", std::move(name.error()));
    settings.service = std::move(*name);
  }
  if (settings.address.empty()) return settings;
  if (settings.certificate.empty() != settings.key.empty()) {
    return fail(Reason::InvalidValue,
                "--validating-webhook-certificate and --validating-webhook-key belong together");
  }
  const bool has_files = !settings.certificate.empty();
  if (has_files != settings.configuration.empty() || has_files == settings.service.has_value()) {
    return fail(Reason::InvalidValue,
                "--validating-webhook: needs a certificate and a key, or "
                "--validating-webhook-service and --validating-webhook-configuration");
  }
  if (!has_files && !objects::is_dns_subdomain(settings.configuration)) {
    return fail(Reason::InvalidValue,
                "--validating-webhook-configuration: must be lower-case letters, digits, '-' and "
                "'.'");
  }
  return settings;
}

Result<std::unique_ptr<Webhook>> Webhook::open(const WebhookSettings& settings,
                                               const translate::Options& options, Parts parts,
                                               source::Source& source) {
  if (settings.address.empty()) return std::make_unique<Off>(source);
  auto tls = ServingTls::open({settings.certificate, settings.key, settings.client_ca});
  if (!tls) return within("--validating-webhook", std::move(tls.error()));
  auto stand_ins = StandIns::make();
  if (!stand_ins) return fail(std::move(stand_ins.error()));
  auto webhook =
      std::make_unique<On>(options, parts, std::move(*stand_ins), std::move(*tls), source);
  if (settings.certificate.empty()) {
    if (parts.api == nullptr) {
      return fail(Reason::InvalidValue,
                  "--validating-webhook: without an API server it needs a certificate and a key");
    }
    auto certificate = OwnCertificate::make(
        names_of_service(settings.service->ns, settings.service->name, options.cluster_domain),
        parts.clock.unix_now());
    if (!certificate) return fail(std::move(certificate.error()));
    if (Status kept = webhook->keep_bundle(settings.configuration, std::move(*certificate));
        !kept) {
      return fail(std::move(kept.error()));
    }
  }
  if (Status listening = webhook->listen(settings.address); !listening) {
    return within("--validating-webhook", std::move(listening.error()));
  }
  return webhook;
}

}  // namespace handfast::admission

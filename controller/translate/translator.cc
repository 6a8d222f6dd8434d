#include "controller/translate/translator.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <unordered_set>
#include <utility>

#include "controller/translate/names.h"
#include "controller/translate/tcp_services.h"
#include "controller/translate/traffic.h"

namespace handfast::translate {
namespace {

// For a finding about an object that isn't there.
objects::Meta meta_of(const NamespacedName& ref) {
  objects::Meta meta;
  meta.ns = ref.ns;
  meta.name = ref.name;
  return meta;
}

bool is_policy(const objects::ObjectKey& key) {
  return key.kind == "UpstreamTLSPolicy" || key.kind == "BackendTLSPolicy";
}

}  // namespace

Translator::Translator(const state::ClusterState& state, const LastGood& last_good, Options flags,
                       std::int64_t now)
    : all_(state),
      last_good_(last_good),
      flags_(std::move(flags)),
      settings_{.options = flags_, .front = {}},
      options_(settings_.options),
      tracer_(now),
      state_(state, tracer_),
      materials_(state_, last_good, tracer_),
      operator_crls_(state_, materials_, tracer_),
      targets_(state_, tracer_),
      policies_(state_, options_, materials_, operator_crls_, tracer_),
      clusters_(state_, tracer_),
      classes_(state_, options_),
      backend_tls_(options_, materials_, tracer_),
      client_auth_(materials_),
      front_tls_(materials_),
      auth_servers_(state_, options_, backend_tls_, targets_, policies_),
      aim_({state_, options_, clusters_, targets_, policies_, backend_tls_, auth_servers_,
            operator_crls_}),
      global_auth_({state_, options_, clusters_, auth_servers_, operator_crls_, tracer_}),
      hosts_({state_, front_tls_, client_auth_, operator_crls_, tracer_}),
      worker_({state_, options_, classes_, backend_tls_, client_auth_, clusters_, targets_, aim_,
               global_auth_, hosts_, tracer_}) {
  mark_singles();
}

void Translator::mark_singles() {
  for (Unit* unit :
       std::initializer_list<Unit*>{&settings_unit_, &global_auth_.unit(), &certificate_unit_,
                                    &tickets_unit_, &default_unit_, &tcp_unit_}) {
    tracer_.mark(*unit);
  }
}

Change Translator::update(const Touched& touched, std::int64_t now, bool whole) {
  tracer_.set_now(now);
  const Touched roots = is_first_ ? all_roots() : Touched{};
  take_policies(is_first_ ? roots : touched);
  take_ingresses(is_first_ ? roots : touched);
  for (const objects::ObjectKey& topic : touched) tracer_.touch(topic);
  if (whole && !is_first_) mark_everything();
  read_settings();
  global_auth_.refresh();
  work_on_ingresses();
  work_on_rests();
  work_on_singles();
  hosts_.refresh();
  policies_.refresh();
  operator_crls_.refresh();
  targets_.tell();
  clusters_.refresh();
  Change change = collect(whole || is_first_);
  is_first_ = false;
  return change;
}

// What the work begins with; everything else is asked for.
Translator::Touched Translator::all_roots() const {
  Touched keys = all_.keys_of("Ingress");
  keys.merge(all_.keys_of("UpstreamTLSPolicy"));
  keys.merge(all_.keys_of("BackendTLSPolicy"));
  return keys;
}

void Translator::take_policies(const Touched& touched) {
  // All are taken out first: what they claim is ordered by what the objects were.
  for (const objects::ObjectKey& key : touched) {
    if (!is_policy(key)) continue;
    targets_.remove(key);
    policies_.remove(key);
  }
  for (const objects::ObjectKey& key : touched) {
    if (!is_policy(key)) continue;
    PolicyRef policy;
    if (key.kind == "UpstreamTLSPolicy") {
      policy.upstream = all_.find_upstream_tls_policy(key.ns, key.name);
    } else {
      policy.backend = all_.find_backend_tls_policy(key.ns, key.name);
    }
    if (policy == PolicyRef{}) continue;
    targets_.put(policy);
    policies_.put(policy);
  }
}

void Translator::take_ingresses(const Touched& touched) {
  for (const objects::ObjectKey& key : touched) {
    if (key.kind != "Ingress" || all_.find_ingress(key.ns, key.name) == nullptr) continue;
    const auto [found, added] = ingresses_.try_emplace(key);
    if (!added) continue;
    found->second.key = &found->first;
    tracer_.mark(found->second);
  }
}

void Translator::mark_everything() {
  for (auto& [key, unit] : ingresses_) tracer_.mark(unit);
  policies_.mark_everything();
  hosts_.mark_everything();
  clusters_.mark_everything();
  materials_.mark_everything();
  targets_.mark_everything();
  mark_singles();
}

void Translator::read_settings() {
  if (!settings_unit_.is_dirty) return;
  Options before = options_;
  {
    Tracer::Scope scope{tracer_, settings_unit_};
    if (flags_.config_map) tracer_.on_asked(last_good_front_topic());
    settings_ = read_config_map(state_, flags_, last_good_.front, scope.findings());
  }
  if (!is_first_ && before != options_) mark_everything();
}

void Translator::work_on_ingresses() {
  std::vector<Unit*> units = tracer_.take_dirty(UnitKind::Ingress);
  for (Unit* each : units) {
    auto& unit = static_cast<IngressUnit&>(*each);
    hosts_.take_out(unit);
    worker_.look(all_, unit);
    hosts_.put_in(unit);
  }
  hosts_.settle_heads();
  // Those that must look again at a host: which hosts they name is the same.
  const std::vector<Unit*> others = tracer_.take_dirty(UnitKind::Ingress);
  units.insert(units.end(), others.begin(), others.end());
  for (Unit* each : units) {
    auto& unit = static_cast<IngressUnit&>(*each);
    hosts_.take_roots(unit);
    worker_.work(unit);
    hosts_.put_roots(unit);
    hosts_.mark(unit);
    if (unit.rest != nullptr) tracer_.mark(*unit.rest);
  }
  hosts_.settle_roots();
}

void Translator::work_on_rests() {
  for (Unit* each : tracer_.take_dirty(UnitKind::Rest)) {
    auto& unit = static_cast<RestUnit&>(*each);
    worker_.work(unit);
    hosts_.mark(*unit.of);
  }
}

void Translator::work_on_singles() {
  // They are asked one by one.
  static_cast<void>(tracer_.take_dirty(UnitKind::Single));
  if (certificate_unit_.is_dirty) add_default_certificate();
  if (tickets_unit_.is_dirty) add_session_tickets();
  if (default_unit_.is_dirty) add_operator_default();
  if (tcp_unit_.is_dirty) add_tcp_ports();
}

void Translator::add_default_certificate() {
  Tracer::Scope scope{tracer_, certificate_unit_};
  default_certificate_.reset();
  if (!options_.default_certificate) return;
  const NamespacedName& ref = *options_.default_certificate;
  const ItemKey key{.kind = "Secret", .ns = ref.ns, .name = ref.name, .item = ItemKind::KeyPair};
  const Item& item = materials_.find(key);
  if (item.usable()) {
    default_certificate_ = materials_.use_pair(key, Materials::Side::Front);
  } else if (item.state == Item::State::Absent) {
    const objects::Meta meta = meta_of(ref);
    ObjectReport{scope.findings(), "Secret", meta}.warn(
        Reason::FrontCertificate, "data[tls.crt]",
        "The default certificate isn't there; a self-signed one is used.",
        "Create the Secret with tls.crt and tls.key, or correct --default-ssl-certificate.");
  }
}

void Translator::add_session_tickets() {
  Tracer::Scope scope{tracer_, tickets_unit_};
  ticket_keys_.clear();
  if (!options_.session_tickets) return;
  const NamespacedName& ref = *options_.session_tickets;
  const ItemKey key{.kind = "Secret", .ns = ref.ns, .name = ref.name, .item = ItemKind::TicketKeys};
  const Item& item = materials_.find(key);
  if (item.usable()) {
    ticket_keys_ = {materials_.use_file(key)};
  } else if (item.state == Item::State::Absent) {
    const objects::Meta meta = meta_of(ref);
    ObjectReport{scope.findings(), "Secret", meta}.warn(
        Reason::SecretMissing, "data[ticket.key]",
        "The session ticket key isn't there; tickets are made with keys that nobody else knows.",
        "Create the Secret with 48 or 80 random bytes, or correct --session-ticket-secret.");
  }
}

void Translator::add_operator_default() {
  std::optional<HostPlan::Route> route;
  {
    Tracer::Scope scope{tracer_, default_unit_};
    if (options_.default_backend) {
      const NamespacedName& ref = *options_.default_backend;
      const objects::Service* found = state_.find_service(ref.ns, ref.name);
      const objects::Meta meta = found == nullptr ? meta_of(ref) : found->meta;
      ObjectReport report{scope.findings(), "Service", meta};
      route.emplace();
      route->route.path = "/";
      route->route.ingress_namespace = ref.ns;
      route->redirect_with_tls = options_.ssl_redirect;
      route->redirect_always = options_.force_ssl_redirect;
      apply_defaults(options_.traffic, route->route);
      keep_first(route->route.refused, options_.unenforced);
      bool told = false;
      global_auth_.apply(ref.ns, report, told, route->route);
      aim_.aim_default(ref, report, route->route);
    }
  }
  if (route == default_route_) return;
  default_route_ = route;
  hosts_.set_default(std::move(route));
}

void Translator::add_tcp_ports() {
  Tracer::Scope scope{tracer_, tcp_unit_};
  tcp_ports_.clear();
  if (!options_.tcp_services) return;
  const NamespacedName& ref = *options_.tcp_services;
  const objects::ConfigMap* map = state_.find_config_map(ref.ns, ref.name);
  if (map == nullptr) {
    const objects::Meta absent = meta_of(ref);
    ObjectReport{scope.findings(), "ConfigMap", absent}.warn(
        Reason::BadObject, "data", "The ConfigMap of TCP services isn't there.",
        "Create it, or correct --tcp-services-configmap.");
    return;
  }
  tcp_ports_ = make_tcp_ports(
      *map, options_, materials_, operator_crls_, scope.findings(),
      [this](const std::string& ns, const objects::ServiceBackend& backend,
             const std::string& field, ObjectReport& report,
             config::StreamRoute& route) { aim_.aim_stream(ns, backend, field, report, route); });
}

void join(Change& first, Change second) {
  const auto append = [](auto& to, auto& from) {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  };
  if (second.is_whole) {
    first.is_whole = true;
    first.shards.clear();
    first.items.clear();
  }
  for (auto& [name, shard] : second.shards) {
    if (shard || !first.is_whole) {
      first.shards[name] = std::move(shard);
    } else {
      first.shards.erase(name);
    }
  }
  for (auto& [key, item] : second.items) {
    if (item || !first.is_whole) {
      first.items[key] = std::move(item);
    } else {
      first.items.erase(key);
    }
  }
  for (auto& [path, bytes] : second.files) first.files[path] = std::move(bytes);
  first.default_certificate = std::move(second.default_certificate);
  first.front = std::move(second.front);
  append(first.findings_over, second.findings_over);
  append(first.findings_new, second.findings_new);
  append(first.references.gone, second.references.gone);
  append(first.references.added, second.references.added);
}

}  // namespace handfast::translate

#include "controller/translate/global_auth.h"

#include <cstddef>
#include <utility>

#include "controller/translate/auth_settings.h"
#include "controller/translate/config_map_table.h"
#include "controller/translate/names.h"

namespace handfast::translate {
namespace {

constexpr std::string_view kPrefix = "global-auth-";

objects::ObjectKey topic() { return {"global auth", {}, {}}; }

// Keys that say something about it that isn't done: whoever writes one means to ask.
std::optional<config::Refusal> refuse_others(const objects::ConfigMap& map, ObjectReport& report) {
  std::optional<config::Refusal> refused;
  for (const auto& [key, value] : map.data) {
    if (!key.starts_with(kPrefix)) continue;
    const ConfigKeyRow* row = find_config_key(key);
    if (row != nullptr && row->what == ConfigKeyClass::Implemented) continue;
    if (row != nullptr && value.problem.empty() && trim(value.bytes).empty()) continue;
    keep_first(
        refused,
        report.refuse(Reason::Unsupported, "data[" + clip(key) + ']',
                      row == nullptr ? "There is no such key."
                                     : "It is not implemented (" + std::string{row->why} + ").",
                      "Correct or remove it; until then Ingresses without an auth-url of "
                      "their own answer 503."));
  }
  return refused;
}

}  // namespace

void GlobalAuth::refresh() {
  if (!unit_.is_dirty) return;
  std::vector<Answer> answers;
  {
    Tracer::Scope scope{parts_.tracer, unit_};
    unit_.fresh.clear();
    unit_.shards.clear();
    answers = plan(scope.findings());
  }
  if (answers == answers_) return;
  answers_ = std::move(answers);
  parts_.tracer.touch(topic());
}

std::vector<GlobalAuth::Answer> GlobalAuth::plan(Report& findings) {
  const auto& ref = parts_.options.config_map;
  if (!ref) return {};
  const objects::ConfigMap* map = parts_.state.find_config_map(ref->ns, ref->name);
  if (map == nullptr) return {};  // which is told with all else that it could say
  ObjectReport report{findings, "ConfigMap", map->meta};
  std::optional<config::Refusal> refused = refuse_others(*map, report);
  const AuthSettings settings{*map, report};
  auto plan = parts_.auth_servers.plan(map->meta, settings, report, refused);
  if (!plan && !refused) return {};
  std::vector<Answer> answers;
  if (refused) {
    const std::size_t floors = parts_.options.minimum_upstream_tls.size();
    answers.assign(1 + floors, Answer{.auth = {}, .refused = refused, .below = {}, .remedy = {}});
    return answers;
  }
  lead_to(*plan, parts_.clusters, report);
  answers.push_back({.auth = plan->auth, .refused = {}, .below = {}, .remedy = {}});
  for (const Floor& floor : parts_.options.minimum_upstream_tls) {
    answers.push_back(hold_to(floor, *plan, settings.words().floor_of_policy));
  }
  if (plan->tls) add_policy(*std::move(plan->tls));
  return answers;
}

GlobalAuth::Answer GlobalAuth::hold_to(const Floor& floor, const AuthPlan& plan,
                                       const FloorWords& words) {
  Answer answer{.auth = plan.auth, .refused = {}, .below = {}, .remedy = {}};
  const auto refuse = [&answer](std::string below, std::string remedy) {
    answer.auth.reset();
    answer.below = std::move(below);
    answer.remedy = std::move(remedy);
  };
  if (!plan.tls) {
    if (floor.minimum != MinimumTls::None) {
      refuse("The operator's minimum asks for TLS, and the global auth server is asked without.",
             "Write https:// in global-auth-url.");
    }
    return answer;
  }
  if (plan.tls->refused) return answer;  // the policy says so itself
  config::UpstreamTls tls = *plan.tls;
  Report findings;
  const objects::Meta nobody;
  ObjectReport report{findings, "ConfigMap", nobody};
  const bool has_no_newer = tls.versions.back() < floor.least_version;
  apply_floor(floor, has_no_newer, words, tls, report);
  if (tls.refused) {
    refuse("The global auth server: " + findings.front().message, findings.front().remedy);
  } else if (tls != *plan.tls) {
    // What a floor can raise is the least version.
    tls.name.insert(tls.name.rfind('/'), "-1.3");
    answer.auth->upstream_tls = tls.name;
    if (!unit_.shards.contains(tls.name)) add_policy(std::move(tls));
  }
  return answer;
}

void GlobalAuth::add_policy(config::UpstreamTls rules) {
  unit_.shards.insert(rules.name);
  parts_.operator_crls.add_to(rules);
  unit_.fresh.push_back(std::move(rules));
}

const GlobalAuth::Answer& GlobalAuth::ask(std::string_view ns) {
  static const Answer kNobody;
  parts_.tracer.on_asked(topic());
  if (answers_.empty()) return kNobody;
  const Floor* floor = find_floor(parts_.options, ns);
  const auto& floors = parts_.options.minimum_upstream_tls;
  return answers_[floor == nullptr ? 0 : 1 + static_cast<std::size_t>(floor - floors.data())];
}

void GlobalAuth::apply(std::string_view ns, ObjectReport& report, bool& told,
                       config::Route& route) {
  const Answer& answer = ask(ns);
  route.auth = answer.auth;
  keep_first(route.refused, answer.refused);
  if (answer.below.empty()) return;
  if (!std::exchange(told, true)) {
    report.refuse(Reason::BelowMinimum, "metadata", answer.below, answer.remedy);
  }
  keep_first(route.refused, config::Refusal{Reason::BelowMinimum, answer.below});
}

}  // namespace handfast::translate

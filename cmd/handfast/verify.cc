#include "cmd/handfast/verify.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cmd/handfast/version.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/pki/identity.h"
#include "proxy/pki/trust.h"
#include "proxy/pki/verify.h"

namespace handfast {
namespace {

constexpr std::string_view kUsage =
    "usage: handfast verify --chain FILE --ca FILE [--crl FILE]... [--name NAME]...\n"
    "                       [--time RFC3339] [--depth N]\n"
    "Judges a server's certificate chain as the proxy would.\n"
    "  --chain FILE    the peer's certificates, PEM: its own first, then intermediates\n"
    "  --ca FILE       the authorities to believe, PEM\n"
    "  --crl FILE      revocation lists, PEM or DER; every certificate of the chain must be "
    "covered\n"
    "  --name NAME     DNS name, IP address or URI; any one is enough. Without: no name is judged\n"
    "  --time RFC3339  judge as of then, such as 2026-11-24T04:03:38Z; otherwise now\n"
    "  --depth N       intermediates allowed between certificate and authority (4)\n"
    "Exit: 0 and `ok`; 1 and the reason word; 2 for wrong usage or a file that can't be read.\n";

struct Options {
  std::string chain;
  std::string ca;
  std::vector<std::string> crls;
  std::vector<std::string> names;
  std::optional<UnixSeconds> time;
  int depth = 4;
  bool help = false;
  bool version = false;
};

std::optional<int> parse_number(std::string_view text, int least, int most) {
  int value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < least || value > most) return std::nullopt;
  return value;
}

// "+02:00" as seconds.
std::optional<int> parse_offset(std::string_view text) {
  if (text == "Z" || text == "z") return 0;
  if (text.size() != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':') {
    return std::nullopt;
  }
  const auto hours = parse_number(text.substr(1, 2), 0, 23);
  const auto minutes = parse_number(text.substr(4, 2), 0, 59);
  if (!hours || !minutes) return std::nullopt;
  const int seconds = *hours * 3600 + *minutes * 60;
  return text[0] == '-' ? -seconds : seconds;
}

// RFC 3339 5.6, fractions of a second dropped.
std::optional<UnixSeconds> parse_time(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] | 0x20) != 't' ||
      text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  const auto year = parse_number(text.substr(0, 4), 0, 9999);
  const auto month = parse_number(text.substr(5, 2), 1, 12);
  const auto day = parse_number(text.substr(8, 2), 1, 31);
  const auto hour = parse_number(text.substr(11, 2), 0, 23);
  const auto minute = parse_number(text.substr(14, 2), 0, 59);
  const auto second = parse_number(text.substr(17, 2), 0, 60);
  std::string_view rest = text.substr(19);
  if (rest.starts_with('.')) {
    const std::size_t end = rest.find_first_not_of("0123456789", 1);
    if (end == std::string_view::npos || end == 1) return std::nullopt;
    rest.remove_prefix(end);
  }
  const auto offset = parse_offset(rest);
  if (!year || !month || !day || !hour || !minute || !second || !offset) return std::nullopt;
  std::tm parts{};
  parts.tm_year = *year - 1900;
  parts.tm_mon = *month - 1;
  parts.tm_mday = *day;
  parts.tm_hour = *hour;
  parts.tm_min = *minute;
  parts.tm_sec = *second;
  const std::time_t time = timegm(&parts);
  // timegm makes 3 March of 31 February.
  if (parts.tm_mday != *day) return std::nullopt;
  return static_cast<UnixSeconds>(time) - *offset;
}

Status set_option(Options& options, std::string_view name, std::string_view value) {
  if (name == "--chain" || name == "--ca") {
    std::string& file = name == "--ca" ? options.ca : options.chain;
    if (!file.empty()) return fail(Reason::InvalidValue, std::string(name) + " is given twice");
    file = value;
  } else if (name == "--crl") {
    options.crls.emplace_back(value);
  } else if (name == "--name") {
    options.names.emplace_back(value);
  } else if (name == "--time") {
    options.time = parse_time(value);
    if (!options.time) {
      return fail(Reason::InvalidValue, "--time: expected a time such as 2026-11-24T04:03:38Z");
    }
  } else if (name == "--depth") {
    const auto depth = parse_number(value, 0, 100);
    if (!depth) return fail(Reason::InvalidValue, "--depth: expected a number from 0 to 100");
    options.depth = *depth;
  } else {
    return fail(Reason::InvalidValue, "unknown option " + std::string(name));
  }
  return {};
}

Result<Options> parse_options(std::span<const std::string_view> arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view name = arguments[i];
    if (name == "--help" || name == "-h" || name == "--version") {
      (name == "--version" ? options.version : options.help) = true;
      return options;
    }
    std::string_view value;
    if (const auto equals = name.find('='); equals != std::string_view::npos) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    } else if (name.starts_with("--") && i + 1 < arguments.size()) {
      value = arguments[++i];
    }
    // An empty --name would otherwise be as good as none.
    if (value.empty()) {
      return fail(Reason::InvalidValue, std::string(name) + ": expected an option and its value");
    }
    if (const Status set = set_option(options, name, value); !set) return fail(set.error());
  }
  if (options.chain.empty() || options.ca.empty()) {
    return fail(Reason::InvalidValue, "--chain and --ca are needed");
  }
  return options;
}

Result<std::string> read_file(const std::string& path) {
  // Not an fstream: libstdc++ throws from one that turns out to be a directory.
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  std::string bytes;
  std::array<char, 65536> block{};
  while (file != nullptr) {
    const std::size_t got = std::fread(block.data(), 1, block.size(), file.get());
    bytes.append(block.data(), got);
    if (got < block.size()) break;
  }
  if (file == nullptr || std::ferror(file.get()) != 0) {
    return fail(Reason::Io, path + ": can't be read: " + std::strerror(errno));
  }
  return bytes;
}

struct Material {
  pki::CertificateChain chain;
  std::vector<std::shared_ptr<const pki::CaBundle>> trust;
  std::vector<std::shared_ptr<const pki::CrlSet>> crls;
};

Result<Material> load(const Options& options, UnixSeconds now) {
  Material material;
  const auto chain_pem = read_file(options.chain);
  if (!chain_pem) return fail(chain_pem.error());
  auto chain = pki::load_chain(*chain_pem);
  if (!chain) return within(options.chain, std::move(chain.error()));
  material.chain = std::move(*chain);

  const auto ca_pem = read_file(options.ca);
  if (!ca_pem) return fail(ca_pem.error());
  auto bundle = pki::CaBundle::load(*ca_pem, now);
  if (!bundle) return within(options.ca, std::move(bundle.error()));
  for (const std::string& warning : (*bundle)->warnings()) {
    std::fprintf(stderr, "warning: %s: left out: %s\n", options.ca.c_str(), warning.c_str());
  }
  for (const std::string& early : (*bundle)->early()) {
    std::fprintf(stderr, "warning: %s: %s\n", options.ca.c_str(), early.c_str());
  }
  material.trust.push_back(std::move(*bundle));

  for (const std::string& path : options.crls) {
    const auto bytes = read_file(path);
    if (!bytes) return fail(bytes.error());
    auto set = pki::CrlSet::load(*bytes);
    if (!set) return within(path, std::move(set.error()));
    material.crls.push_back(std::move(*set));
  }
  return material;
}

int answer(Reason reason, const std::string& detail) {
  const std::string word(to_string(reason));
  std::printf("%s\n", word.c_str());
  if (!detail.empty()) std::fprintf(stderr, "%s\n", detail.c_str());
  return reason == Reason::Ok ? 0 : 1;
}

}  // namespace

int verify_command(std::span<const std::string_view> arguments) {
  const auto options = parse_options(arguments);
  if (!options) {
    std::fprintf(stderr, "handfast verify: %s\n%s", options.error().detail.c_str(), kUsage.data());
    return 2;
  }
  if (options->help) {
    std::fputs(kUsage.data(), stdout);
    return 0;
  }
  if (options->version) {
    print_version();
    return 0;
  }
  const UnixSeconds now = options->time.value_or(SystemClock().unix_now());
  const auto material = load(*options, now);
  if (!material) {
    if (material.error().reason != Reason::Io) {
      return answer(material.error().reason, material.error().detail);
    }
    std::fprintf(stderr, "handfast verify: %s\n", material.error().detail.c_str());
    return 2;
  }
  pki::VerifyRules rules;
  rules.purpose = pki::Purpose::Server;
  rules.depth = options->depth;
  rules.names = options->names;
  rules.names_not_judged = options->names.empty();
  rules.crl_scope = options->crls.empty() ? pki::CrlScope::Off : pki::CrlScope::Chain;
  const pki::Verdict verdict =
      pki::verify_chain(material->chain.leaf.get(), material->chain.intermediates.get(),
                        material->trust, material->crls, rules, now);
  return answer(verdict.reason, verdict.detail);
}

}  // namespace handfast

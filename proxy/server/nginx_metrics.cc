#include "proxy/server/nginx_metrics.h"

#include <cstdio>
#include <string>

#include "proxy/server/route_metrics.h"

namespace handfast::server {
namespace {

// The dashboards of ingress-nginx select by it; there it is the controller that was asked for.
constexpr std::string_view kClass = "k8s.io/ingress-nginx";

class Writer {
 public:
  Writer(std::string& out, std::string_view labels) : out_(out), labels_(labels) {}

  void type(std::string_view name, std::string_view kind) {
    name_ = "nginx_ingress_controller_" + std::string(name);
    out_.append("# TYPE ").append(name_).append(" ").append(kind).append("\n");
  }
  void value(double value, std::string_view more = {}) {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g", value);
    out_.append(name_).append("{").append(labels_);
    if (!more.empty()) out_.append(",").append(more);
    out_.append("} ").append(text).append("\n");
  }
  void one(std::string_view name, std::string_view kind, double number) {
    type(name, kind);
    value(number);
  }

 private:
  std::string& out_;
  std::string_view labels_;
  std::string name_;
};

void write_process(Writer& writer, const NginxFacts& facts) {
  const auto open = static_cast<double>(facts.connections);
  const auto busy = static_cast<double>(facts.requests_in_flight);
  writer.type("nginx_process_connections", "gauge");
  writer.value(open, "state=\"active\"");
  writer.value(busy, "state=\"writing\"");
  writer.value(open > busy ? open - busy : 0, "state=\"waiting\"");
  writer.one("nginx_process_requests_total", "counter", static_cast<double>(facts.requests));
  writer.one("nginx_process_num_procs", "gauge", 1);
  writer.one("nginx_process_cpu_seconds_total", "counter", facts.process.cpu_seconds);
  writer.one("nginx_process_resident_memory_bytes", "gauge",
             static_cast<double>(facts.process.resident_bytes));
  writer.one("nginx_process_virtual_memory_bytes", "gauge",
             static_cast<double>(facts.process.virtual_bytes));
  writer.one("nginx_process_oldest_start_time_seconds", "gauge", static_cast<double>(facts.start));
}

}  // namespace

std::string nginx_labels(std::string_view ns, std::string_view pod) {
  return "controller_class=\"" + std::string(kClass) + "\",controller_namespace=\"" +
         escape_label(ns) + "\",controller_pod=\"" + escape_label(pod) + "\"";
}

void write_nginx_facts(std::string& out, const NginxFacts& facts, std::string_view labels) {
  Writer writer(out, labels);
  writer.type("build_info", "gauge");
  writer.value(1, "build=\"handfast\",release=\"" HANDFAST_VERSION "\",repository=\"handfast\"");
  writer.one("config_hash", "gauge", static_cast<double>(facts.generation));
  writer.one("config_last_reload_successful", "gauge", facts.last_load_accepted ? 1 : 0);
  writer.one("config_last_reload_successful_timestamp_seconds", "gauge",
             static_cast<double>(facts.last_load));
  writer.one("success", "counter", static_cast<double>(facts.loads_accepted));
  writer.one("errors", "counter", static_cast<double>(facts.loads_rejected));
  write_process(writer, facts);
}

void write_nginx_certificates(std::string& out, const route::Snapshot& snapshot) {
  out.append("# TYPE nginx_ingress_controller_ssl_expire_time_seconds gauge\n");
  for (const auto& bucket : snapshot.buckets) {
    if (bucket == nullptr) continue;
    for (const auto& [name, host] : bucket->hosts) {
      for (std::size_t i = 0; i < host->certificates.size(); ++i) {
        const pki::CertificateInfo& info = host->certificates[i]->info();
        // "Secret/shop/orders-tls"
        std::string source = host->certificate_sources[i];
        source.erase(0, source.find('/') + 1);
        const std::size_t slash = source.find('/');
        out.append("nginx_ingress_controller_ssl_expire_time_seconds{class=\"").append(kClass);
        out.append("\",host=\"").append(escape_label(name));
        out.append("\",identifier=\"").append(escape_label(info.serial));
        out.append("\",namespace=\"").append(escape_label(source.substr(0, slash)));
        out.append("\",secret_name=\"");
        out.append(escape_label(slash == source.npos ? source : source.substr(slash + 1)));
        out.append("\"} ").append(std::to_string(info.not_after)).append("\n");
      }
    }
  }
}

}  // namespace handfast::server

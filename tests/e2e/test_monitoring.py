"""Debian's Prometheus scrapes the pods by the chart's annotations and the documented jobs. It is built
without Kubernetes' discovery: what that would tell is written into files, and the jobs choose."""

import json
import re
import sys
import unittest
import urllib.parse
import urllib.request

import case
import kube
import yaml
from kube import eventually
from harness.pki import from_now
from harness.processes import Process

sys.path.append(str(kube.ROOT / "tests/chart"))

from dashboards import queries  # noqa: E402

DOCUMENT = kube.ROOT / "docs/operate.md"


def underscored(prefix, words):
    return {prefix + re.sub(r"\W", "_", key): value for key, value in words.items()}


def discovered_pods():
    """role: pod; a target for each port of each container."""
    for pod in kube.get("pods", None, None, "-A")["items"]:
        meta, address = pod["metadata"], pod["status"].get("podIP")
        for container in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]):
            for port in container.get("ports", ()):
                yield f"{address}:{port['containerPort']}", {
                    "__meta_kubernetes_pod_ip": address,
                    "__meta_kubernetes_pod_name": meta["name"],
                    **underscored("__meta_kubernetes_pod_annotation_",
                                  meta.get("annotations", {}))}


def discovered_endpointslices():
    """role: endpointslice; a target for each port of each endpoint."""
    for one in kube.get("endpointslices", None, None, "-A")["items"]:
        name = one["metadata"]["labels"].get("kubernetes.io/service-name")
        if not name:
            continue
        service = kube.get("service", name, one["metadata"]["namespace"])
        for endpoint in one["endpoints"]:
            for port in one["ports"]:
                yield f"{endpoint['addresses'][0]}:{port['port']}", {
                    "__meta_kubernetes_endpointslice_port_name": port.get("name", ""),
                    "__meta_kubernetes_pod_name": endpoint.get("targetRef", {}).get("name", ""),
                    **underscored("__meta_kubernetes_service_label_",
                                  service["metadata"].get("labels", {}))}


DISCOVERY = {"pod": discovered_pods, "endpointslice": discovered_endpointslices}


# Panels of what doesn't happen in this release: nothing fails, is refused, let through or at its last
# good, and there are neither TLS at the front nor TCP ports nor auth servers.
QUIET = {"Server errors by Ingress", "Connects that failed", "TCP connections", "TCP bytes",
         "Asked of auth servers", "What is wrong with objects", "Failures by reason",
         "Failures of the last hour", "Certificates that clients see",
         "Routes without verification", "Audits: what would be refused",
         "Let through without a list", "Refused routes", "Served at their last good",
         "Hosts with the default certificate"}


class Prometheus:
    """With the jobs of docs/operate.md, outside of the cluster's pods but in its network."""

    def __init__(self):
        text = DOCUMENT.read_text()
        jobs = yaml.safe_load(re.search(r"^```yaml\n(scrape_configs:\n.*?)^rule_files", text,
                                        re.DOTALL | re.MULTILINE)[1])["scrape_configs"]
        for job in jobs:
            files = []
            for discovery in job.pop("kubernetes_sd_configs"):
                file = kube.RUN / f"targets-{discovery['role']}.json"
                file.write_text(json.dumps([{"targets": [target], "labels": labels} for
                                            target, labels in DISCOVERY[discovery["role"]]()]))
                files.append(str(file))
            job["file_sd_configs"] = [{"files": files}]
        config = kube.RUN / "prometheus.yml"
        config.write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s",
                       "evaluation_interval": "1s"},
            "scrape_configs": jobs, "rule_files": [str(kube.CHART / "rules/handfast.yaml")]}))
        self.process = Process(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={kube.RUN}/prometheus",
             "--web.listen-address=127.0.0.1:9090", "--log.level=warn"], kube.RUN / "log")

    def ask(self, what, **parameters):
        url = f"http://127.0.0.1:9090/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        return self.ask("query", query=expression)["result"]

    def value(self, expression):
        return sum(float(one["value"][1]) for one in self.query(expression))

    def close(self):
        self.process.stop()


class Monitoring(case.ServedCase):
    values = {"controller": {"metrics": {"enabled": True, "compatibility": "ingress-nginx"}}}

    @classmethod
    def install(cls):
        super().install()
        cls.prometheus = Prometheus()
        cls.addClassCleanup(cls.prometheus.close)
        with case.Load(cls.host, rate=60) as load:
            eventually(lambda: cls.prometheus.value(
                'sum(rate(handfast_requests_total{namespace="shop"}[10s]))') > 10,
                "traffic in Prometheus", patience=60)
            load.stop()

    def test_both_programs_of_each_pod_are_scraped(self):
        pods = kube.names(case.OURS)

        def scraped():
            for metric in ("handfast_generation", "handfast_controller_objects"):
                found = {one["metric"]["pod"] for one in self.prometheus.query(metric)}
                self.assertEqual(found, pods, metric)
            return True

        eventually(scraped, "a series of each program of each pod")
        self.assertEqual({one["health"] for one in self.prometheus.ask("targets")["activeTargets"]},
                         {"up"})

    def test_queries_have_data(self):
        for query in (
                'sum by (host) (rate(handfast_requests_total{ingress="orders", status="200"}[1m]))',
                'histogram_quantile(0.99, sum by (le) (rate('
                'handfast_request_duration_seconds_bucket{namespace="shop"}[1m])))',
                'sum(handfast_upstream_tls_handshakes_total{service="orders", result="ok"})',
                'min(handfast_client_certificate_not_after_seconds{secret="orders-client"})',
                'min(handfast_crl_next_update_seconds{namespace="shop"})',
                'sum(nginx_ingress_controller_requests{ingress="orders"})',
                'sum(handfast_controller_publishes_total{result="acknowledged"})'):
            with self.subTest(query):
                self.assertGreater(self.prometheus.value(query), 0)

    def test_queries_of_the_dashboards_have_data(self):
        with case.Load(self.host, rate=60) as load:
            for board, title, query in queries():
                with self.subTest(f"{board}: {title}"):
                    if title in QUIET and not query.endswith("vector(0)"):
                        self.assertEqual(self.prometheus.query(query), [])
                        continue
                    found = eventually(lambda query=query: self.prometheus.query(query),
                                       f"{title}: data for {query}", patience=15)
                    print(f"{board}: {title}: " + ", ".join(
                        f"{' '.join(one['metric'].values())} {one['value'][1]}".strip()
                        for one in found))
            load.stop()

    def test_rules_are_loaded_and_well(self):
        def evaluated():
            rules = [rule for group in self.prometheus.ask("rules")["groups"]
                     for rule in group["rules"]]
            self.assertEqual({rule["health"] for rule in rules}, {"ok"})
            return len(rules) > 5

        eventually(evaluated, "every rule evaluated")

    def test_certificate_that_expires_fires_the_alert_and_a_new_one_ends_it(self):
        self.assertNotIn("HandfastClientCertificateExpired", self.firing())
        self.addCleanup(self.show, self.shown)

        self.show(self.ca.client("handfast", not_after=from_now(hours=1)))

        eventually(lambda: "HandfastClientCertificateExpired" in self.firing(), "the alert")
        self.show(self.ca.client("handfast"))
        eventually(lambda: "HandfastClientCertificateExpired" not in self.firing(),
                   "the alert's end")

    def firing(self):
        return {one["labels"]["alertname"] for one in self.prometheus.ask("alerts")["alerts"]
                if one["state"] == "firing"}


if __name__ == "__main__":
    unittest.main()

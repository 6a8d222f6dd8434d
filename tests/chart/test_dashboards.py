"""The dashboards against a real Prometheus that scrapes the real programs: each query has data."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

import chart
from dashboards import DASHBOARDS, concrete, panels, queries

chart.skip_without("prometheus")
sys.path.insert(0, str(chart.ROOT / "tests/integration"))

from harness import clients, manifests  # noqa: E402
from harness.backends import Backend, Nginx  # noqa: E402
from harness.handfast import Handfast, free_port  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402
from harness.processes import Process  # noqa: E402
from harness.waiting import eventually  # noqa: E402

if not (chart.BIN / "handfast").exists():
    sys.exit(print("skipped: handfast isn't built") or 77)

class Prometheus:
    """One that scrapes every half second; it ends with the test. `targets`: name to address. The
    job `theirs` is one as ingress-nginx's dashboards want it: labels of the target win."""

    def __init__(self, folder, targets):
        self.port = free_port()
        config = pathlib.Path(folder) / "prometheus.yml"
        jobs = [{"job_name": name, "honor_labels": name != "theirs",
                 "static_configs": [{"targets": [f"{host}:{port}"], "labels": {
                     "namespace": "handfast"} if name == "theirs" else {}}]}
                for name, (host, port) in targets.items()]
        config.write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms",
                       "evaluation_interval": "500ms"},
            "scrape_configs": jobs,
            "rule_files": [str(chart.CHART / "rules/handfast.yaml")]}))
        self.process = Process(
            [chart.find("prometheus"), f"--config.file={config}",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{self.port}",
             "--log.level=warn"], folder)

    def query(self, expression):
        url = (f"http://127.0.0.1:{self.port}/api/v1/query?"
               + urllib.parse.urlencode({"query": expression}))
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code >= 500:  # it starts: asked again
                raise
            raise RuntimeError(f"{expression}: {error.read().decode()}") from error

    def close(self):
        self.process.stop()


class Scene:
    """One of everything: what works, what fails, what is let through, what is refused."""

    def __init__(self):
        self.ca, self.other = Authority("backends"), Authority("others")
        self.tcp_port = free_port()
        self.open = []
        self.handfast = Handfast(
            "--tcp-services-configmap", "shop/tcp", "--allow-insecure-upstream", "shop/loose",
            "--upstream-verification-audit", "shop/audited@2099-01-01",
            "--metrics-compatibility", "ingress-nginx", controller_metrics=True)
        self.open.append(self.handfast)
        self.handfast.apply("class", manifests.ingress_class())
        self.routes()

    def backend(self, name, authority=None):
        """A TLS backend with the name that is expected of the Service `name`."""
        found = Backend((authority or self.ca).server(f"{name}.shop.svc"),
                        client_ca=self.ca.cert_pem)
        self.open.append(found)
        return found

    def route(self, name, port, **annotations):
        own = {key.replace("_", "-"): value for key, value in annotations.items()}
        tls = own.pop("front", None)
        own["ssl-redirect"] = "false"
        self.handfast.apply(f"route-{name}",
                            manifests.ingress(name, f"{name}.test", annotations=own, tls=tls),
                            manifests.service(name, port))

    def routes(self):
        client = self.ca.client("handfast", not_after=from_now(hours=1))
        self.handfast.apply(
            "secrets",
            manifests.secret("good", tls_crt=client.chain_pem, tls_key=client.key_pem,
                             ca_crt=self.ca.cert_pem, ca_crl=self.ca.crl()),
            manifests.secret("rotted", tls_crt=client.chain_pem, tls_key=client.key_pem,
                             ca_crt=self.ca.cert_pem))
        https = {"backend_protocol": "HTTPS", "proxy_ssl_secret": "shop/good"}
        front = self.ca.server("works.test")
        self.handfast.apply("front", manifests.secret("front", tls_crt=front.chain_pem,
                                                      tls_key=front.key_pem))
        self.route("works", self.backend("works").port, **https,
                   front=[{"hosts": ["works.test"], "secretName": "front"}])
        self.route("fails", self.backend("fails", self.other).port, **https)
        self.route("audited", self.backend("audited", self.other).port, **https)
        self.route("loose", self.backend("loose", self.other).port, **https,
                   proxy_ssl_verify="off")
        self.route("rotted", self.backend("rotted").port, backend_protocol="HTTPS",
                   proxy_ssl_secret="shop/rotted")
        self.route("bare", self.backend("bare").port, **https,
                   front=[{"hosts": ["bare.test"], "secretName": "none"}])
        self.route("refused", self.backend("refused").port, backend_protocol="HTTPS",
                   proxy_ssl_secret="shop/none")
        self.plain = Nginx(None, location='return 200 "plain";')
        self.open.append(self.plain)
        self.route("plain", self.plain.port)
        self.route("dead", free_port())
        self.route("asks", self.plain.port, auth_url="http://plain.shop.svc.cluster.local/")
        stale = self.backend("stale")
        self.handfast.apply(
            "stale", manifests.secret("stale", ca_crt=self.ca.cert_pem),
            manifests.config_map("stale-crl", ca_crl=self.other.crl()),
            manifests.upstream_tls_policy(
                "stale", "stale", ca=[manifests.material_ref("Secret", "stale")],
                client="good", validation={
                    "hostname": "stale.shop.svc",
                    "revocation": {"crlRefs": [manifests.material_ref("ConfigMap", "stale-crl")],
                                   "onUnavailable": "AllowWithWarning"}}))
        self.route("stale", stale.port)
        self.handfast.apply("tcp", manifests.config_map(
            "tcp", **{str(self.tcp_port): "shop/plain:443"}))

    def break_things(self):
        """A bad update, after which the last good is served; a change that closes connections."""
        client = self.ca.client("handfast", not_after=from_now(hours=1))
        self.handfast.apply(
            "secrets",
            manifests.secret("good", tls_crt=client.chain_pem, tls_key=client.key_pem,
                             ca_crt=self.ca.cert_pem, ca_crl=self.ca.crl()),
            manifests.secret("rotted", tls_crt=client.chain_pem, tls_key="torn",
                             ca_crt=self.ca.cert_pem))

    def traffic(self):
        for name in ("works", "fails", "audited", "loose", "rotted", "refused", "plain", "dead",
                     "asks", "stale", "bare", "nobody"):
            self.handfast.get(f"{name}.test", "/")
        clients.fetch(("127.0.0.1", self.tcp_port), "plain.test", "/")

    def close(self):
        for one in reversed(self.open):
            one.close()


class Dashboards(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="handfast-prometheus-")
        cls.scene = Scene()
        cls.scene.handfast.wait_for("works.test", 200)
        cls.prometheus = Prometheus(cls.temporary.name, {
            "handfast": cls.scene.handfast.metrics_address,
            "handfast-controller": cls.scene.handfast.controller_address,
            "theirs": cls.scene.handfast.metrics_address})
        eventually(cls.counted, "a first scrape with traffic in it")
        cls.scene.break_things()

    @classmethod
    def counted(cls):
        cls.scene.traffic()
        return cls.prometheus.query('handfast_requests_total{ingress="works"}')

    @classmethod
    def tearDownClass(cls):
        cls.prometheus.close()
        cls.scene.close()
        cls.temporary.cleanup()

    def assert_data(self, expression, where):
        def check():
            self.scene.traffic()
            found = self.prometheus.query(expression)
            return [one for one in found if one["value"][1] != "NaN"]

        eventually(check, f"{where}: data for {expression}")

    def test_each_query_of_each_panel_has_data(self):
        for board, title, query in queries():
            with self.subTest(f"{board}: {title}"):
                self.assert_data(query, title)

    def test_each_variable_has_values(self):
        for path in sorted(DASHBOARDS.glob("*.json")):
            for variable in json.loads(path.read_text())["templating"]["list"]:
                if variable["type"] != "query":
                    continue
                series, label = re.match(r"label_values\((.*), (\w+)\)$",
                                         variable["query"]["query"]).groups()
                self.assert_data(f'count by ({label}) ({concrete(series)})', variable["name"])

    def test_each_label_of_a_legend_is_one_that_the_query_has(self):
        for path in sorted(DASHBOARDS.glob("*.json")):
            for panel in panels(json.loads(path.read_text())):
                for target in panel["targets"]:
                    labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)",
                                                                     target["expr"])
                               for label in group.split(",")}
                    self.assertLessEqual(labels, grouped, panel["title"])

    def test_a_certificate_that_ends_soon_fires_its_alert(self):
        self.assert_data('ALERTS{alertname="HandfastClientCertificateExpired", '
                         'alertstate="firing", secret="good"}', "the alert")

    def test_series_are_what_dashboards_of_ingress_nginx_ask_for(self):
        who = 'controller_pod=~".*", controller_class="k8s.io/ingress-nginx"'
        route = f'{who}, namespace="handfast", exported_namespace="shop", ingress="works"'
        for query in (
                f"sum(rate(nginx_ingress_controller_requests{{{route}, status!~'[4-5].*'}}[30s]))",
                f"avg(nginx_ingress_controller_nginx_process_connections{{{who}, state='active'}})",
                f"rate(nginx_ingress_controller_success{{{who}}}[30s])",
                f"count(nginx_ingress_controller_config_last_reload_successful{{{who}}})",
                f"nginx_ingress_controller_config_last_reload_successful_timestamp_seconds{{{who}}}",
                f"nginx_ingress_controller_config_hash{{{who}, controller_namespace=~'.*'}}",
                f"sum(rate(nginx_ingress_controller_request_size_sum{{{route}}}[30s]))",
                f"sum(rate(nginx_ingress_controller_response_size_sum{{{route}}}[30s]))",
                f"rate(nginx_ingress_controller_nginx_process_cpu_seconds_total{{{who}}}[30s])",
                f"nginx_ingress_controller_nginx_process_resident_memory_bytes{{{who}}}",
                "histogram_quantile(0.9, sum by (le, method, host, path) (rate("
                f"nginx_ingress_controller_request_duration_seconds_bucket{{{route}}}[30s])))",
                "histogram_quantile(0.9, sum by (le, method, host, path) (rate("
                f"nginx_ingress_controller_response_duration_seconds_bucket{{{route}}}[30s])))",
                "sum by (method, host, path, status) (rate(nginx_ingress_controller_request_"
                "duration_seconds_count{ingress='fails', status=~'[4-5].*'}[30s]))",
                "sum by (le) (rate(nginx_ingress_controller_response_size_bucket[30s]))",
                "avg by (host) (nginx_ingress_controller_ssl_expire_time_seconds) - time()"):
            with self.subTest(query):
                self.assert_data(query, "ingress-nginx")


class Form(unittest.TestCase):
    def test_boards_are_what_grafana_imports(self):
        for path in sorted(DASHBOARDS.glob("*.json")):
            board = json.loads(path.read_text())
            self.assertGreaterEqual(board["schemaVersion"], 39)
            self.assertNotIn("id", board)
            self.assertNotIn("__inputs", board)
            found = list(panels(board))
            self.assertEqual(len({panel["id"] for panel in found}), len(found))
            for panel in found:
                self.assertIn(panel["type"], ("timeseries", "stat", "table"))
                grid = panel["gridPos"]
                self.assertLessEqual(grid["x"] + grid["w"], 24)
                for target in panel["targets"]:
                    self.assertEqual(target["datasource"]["uid"], "${datasource}")

    def test_panels_do_not_overlap(self):
        for path in sorted(DASHBOARDS.glob("*.json")):
            taken = set()
            for panel in json.loads(path.read_text())["panels"]:
                grid = panel["gridPos"]
                cells = {(x, y) for x in range(grid["x"], grid["x"] + grid["w"])
                         for y in range(grid["y"], grid["y"] + grid["h"])}
                self.assertFalse(cells & taken, f"{path.name}: {panel['title']}")
                taken |= cells

    def test_a_metric_that_is_not_there_would_be_found(self):
        # The premise of the others: Prometheus answers with nothing, and not with an error.
        self.assertEqual(concrete('x{namespace=~"$namespace"}[$__rate_interval]'),
                         'x{namespace=~".*"}[30s]')


if __name__ == "__main__":
    unittest.main()

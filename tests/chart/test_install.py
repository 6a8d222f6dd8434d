"""The chart against a real API server: what helm installs is taken, is enough for the controller, and
goes again. Without nodes: no pod of it runs, the controller and the proxy run beside the cluster."""

import json
import subprocess
import sys
import tempfile
import unittest

import yaml

import chart
from chart import flags

chart.skip_without("helm")
sys.path.insert(0, str(chart.ROOT / "tests/integration"))

from harness import cluster, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.cluster import ApiError, Cluster, ClusterPair  # noqa: E402
from harness.pki import Authority  # noqa: E402
from harness.waiting import eventually  # noqa: E402

from ingress_nginx import INGRESS_NGINX  # noqa: E402

cluster.skip_without_programs()
if not (chart.BIN / "handfast-controller").exists():
    sys.exit(print("skipped: handfast-controller isn't built") or 77)

CASES = chart.ROOT / "tests/chart/cases"
FOREIGN = (("ServiceMonitor", "servicemonitors", "monitoring.coreos.com"),
           ("PrometheusRule", "prometheusrules", "monitoring.coreos.com"),
           ("Certificate", "certificates", "cert-manager.io"),
           ("Issuer", "issuers", "cert-manager.io"))
# What a namespace has of its own accord.
OWN = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


class InstallCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.apply(*(manifests.crd(*one) for one in FOREIGN))
        cls.cluster.namespace("handfast", **{"pod-security.kubernetes.io/enforce": "restricted"})
        cls.cluster.namespace("shop")
        for one in FOREIGN:
            eventually(lambda one=one: cls.cluster.request("GET", f"/apis/{one[2]}/v1"),
                       f"the kind {one[0]}")

    def helm(self, *arguments, values=None):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(values or {}, file)
            file.flush()
            more = ["--values", file.name] if values is not None else []
            done = subprocess.run(
                [chart.find("helm"), *map(str, arguments), *more, "--namespace", "handfast",
                 "--kubeconfig", self.cluster.kubeconfig], capture_output=True, text=True,
                timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def install(self, values):
        self.helm("install", "handfast", chart.CHART, values=values)
        self.addCleanup(self.helm, "uninstall", "handfast", "--ignore-not-found")

    def objects(self):
        """Whatever lies in the release's namespace, and what of the cluster has its label."""
        found = set()
        listed = self.cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
        own = self.cluster.kubectl("api-resources", "--verbs=list", "--namespaced", "-o",
                                   "name").split()
        for where in (["-n", "handfast", "get", ",".join(own)],
                      ["get", ",".join(set(listed) - set(own)), "-l",
                       "app.kubernetes.io/name=handfast"]):
            for one in json.loads(self.cluster.kubectl(*where, "-o", "json"))["items"]:
                found.add((one["kind"], one["metadata"]["name"]))
        return {one for one in found if one[0] != "Event"} - OWN


class Install(InstallCase):
    def test_each_case_is_taken_and_leaves_nothing(self):
        before = self.objects()
        cases = {case.name: yaml.safe_load((case / "values.yaml").read_text())
                 for case in sorted(CASES.iterdir())}
        for name, values in {"default": {}, "ingress-nginx": INGRESS_NGINX, **cases}.items():
            with self.subTest(name):
                self.helm("install", "handfast", chart.CHART, values=values)
                self.assertGreater(len(self.objects()), 5)

                self.helm("uninstall", "handfast")

                self.assertEqual(self.objects(), before)

    def test_upgrade_and_rollback(self):
        self.install({})

        self.helm("upgrade", "handfast", chart.CHART, values={"controller": {"replicaCount": 5}})
        self.assertEqual(self.replicas(), 5)
        self.helm("rollback", "handfast")

        self.assertEqual(self.replicas(), 2)

    def replicas(self):
        path = "/apis/apps/v1/namespaces/handfast/deployments/handfast"
        return self.cluster.request("GET", path)["spec"]["replicas"]

    def test_pod_is_one_that_a_restricted_namespace_takes(self):
        for values in ({}, yaml.safe_load((CASES / "everything/values.yaml").read_text())):
            spec = chart.Objects.of(values).pod
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}
            pods = "/api/v1/namespaces/handfast/pods?dryRun=All"
            self.cluster.request("POST", pods, pod)

            spec["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
            with self.assertRaisesRegex(ApiError, "restricted"):
                self.cluster.request("POST", pods, pod)

    def test_manifests_are_taken(self):
        for name in ("install.yaml", "install-daemonset.yaml"):
            file = str(chart.ROOT / "manifests" / name)
            self.cluster.kubectl("apply", "--dry-run=server", "-f",
                                 str(chart.ROOT / "manifests/crds"))
            self.cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", file)

    def test_examples_are_taken(self):
        self.install({})  # the definition of UpstreamTLSPolicy
        for path in sorted((chart.ROOT / "manifests/examples").glob("*/*.yaml")):
            objects = [one for one in yaml.safe_load_all(path.read_text())
                       if one and "cert-manager" not in one["apiVersion"]]
            with self.subTest(path.name):
                self.cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-",
                                     stdin=manifests.dump(*objects))


class Run(InstallCase):
    """Controller and proxy with the flags and the permissions of a release."""

    def start(self, values):
        self.install(values)
        token = self.cluster.folder / "token"
        self.cluster.write_token(token, self.cluster.token("handfast"))
        objects = chart.Objects.of(values)
        own = ("state-dir", "control", "metrics", "log-level")
        rendered = [f"--{flag}" if value is None else f"--{flag}={value}"
                    for flag, value in flags(objects.controller) if flag not in own]
        pair = ClusterPair(self.cluster.write_kubeconfig("release.kubeconfig",
                                                         {"tokenFile": str(token)}), *rendered)
        self.addCleanup(pair.close)
        pair.start()
        return pair

    def serve(self, values, **ingress):
        ca = Authority("backends")
        backend = Backend(ca.server("works.shop.svc"), client_ca=ca.cert_pem,
                          address=self.cluster.host)
        self.addCleanup(backend.close)
        client = ca.client("handfast")
        pair = self.start(values)
        objects = [
            manifests.secret("works", tls_crt=client.chain_pem, tls_key=client.key_pem,
                             ca_crt=ca.cert_pem, ca_crl=ca.crl()),
            manifests.ingress("works", "works.test", annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/works"}, **ingress),
            manifests.service("works", backend.port)]
        self.addCleanup(self.cluster.delete, *objects)
        self.cluster.apply(*objects)
        pair.wait_for("works.test", 200)
        return pair

    def test_default_release_serves_with_what_it_may_read(self):
        pair = self.serve({})

        self.assertEqual(pair.findings(reason="not_permitted"), [])

    def test_release_for_one_namespace_serves_without_a_cluster_role(self):
        values = yaml.safe_load((CASES / "one-namespace/values.yaml").read_text())
        values["upstreamTLS"] = {"minimum": ["mutual"]}

        self.serve(values, class_name="shop")


if __name__ == "__main__":
    unittest.main()

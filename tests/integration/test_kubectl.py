"""`kubectl handfast`: over a real API server, and over the metrics of a real proxy."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import cluster, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.handfast import BIN, ROOT, Handfast  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402
from harness.waiting import eventually  # noqa: E402

PLUGIN = ROOT / "cmd/kubectl-handfast"


def run(*arguments, path, **environment):
    """The plugin as kubectl would call it, with handfast and `path` on the PATH."""
    search = os.pathsep.join((str(BIN), str(path), os.environ["PATH"]))
    return subprocess.run([PLUGIN, *arguments], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL,
                          env={**os.environ, "PATH": search, **environment})


@unittest.skipUnless(cluster.programs(), "no API server; ./dev kube builds it")
class Objects(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.close)
        for name in ("handfast", "shop"):
            cls.cluster.namespace(name)
        ca = Authority("backends")
        client = ca.client()
        cls.cluster.apply(
            manifests.ingress_class(),
            manifests.secret("good", tls_crt=client.chain_pem, tls_key=client.key_pem,
                             ca_crt=ca.cert_pem),
            *(one for name, secret in (("works", "good"), ("fails", "none")) for one in (
                manifests.ingress(name, f"{name}.test", annotations={
                    "backend-protocol": "HTTPS", "proxy-ssl-secret": f"shop/{secret}"}),
                manifests.service(name, 8443))))

    def plugin(self, *arguments):
        return run(*arguments, path=self.cluster.bin, KUBECONFIG=str(self.cluster.kubeconfig))

    def pod(self, *flags):
        """Of a release that runs with these flags of the controller."""
        pods = "/api/v1/namespaces/handfast/pods"
        self.cluster.request("POST", pods, {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "handfast", "labels": {"app.kubernetes.io/name": "handfast"}},
            "spec": {"initContainers": [{"name": "controller", "image": "handfast",
                                         "restartPolicy": "Always", "args": list(flags)}],
                     "containers": [{"name": "proxy", "image": "handfast"}]}})
        self.addCleanup(self.cluster.request, "DELETE", f"{pods}/handfast?gracePeriodSeconds=0")

    def test_lint_names_the_object_and_no_file_of_ours(self):
        done = self.plugin("lint")

        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^error: Ingress shop/fails: .*There is no Secret")
        self.assertNotIn(".json", done.stdout + done.stderr)

    def test_explain_tells_what_serves_and_what_does_not(self):
        done = self.plugin("explain", "works.test/")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("served: yes", done.stdout)
        self.assertIn("ingress: shop/works\n", done.stdout)

        done = self.plugin("explain", "fails.test/")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("reason: secret_missing", done.stdout)

    def test_flags_are_those_of_the_controller_that_runs(self):
        self.pod("--controller-class=other.dev/controller", "--ingress-class=other",
                 "--metrics=0.0.0.0:10254", "--watch-namespace=shop", "--crl-dir=/etc/crls",
                 "--state-dir=/run/handfast")

        done = self.plugin("explain", "works.test/")

        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("reason: no_route", done.stdout)

    def test_nothing_of_a_secret_is_left(self):
        def ours():
            return {path for place in ("/dev/shm", tempfile.gettempdir())
                    for path in pathlib.Path(place).glob("tmp.*/secrets.json")}

        before = ours()
        self.plugin("lint")
        self.assertEqual(ours() - before, set())


class Pods(unittest.TestCase):
    """What is asked of pods: kubectl is a script here, which answers for one pod."""

    @classmethod
    def setUpClass(cls):
        cls.handfast = Handfast("--allow-insecure-upstream", "shop/loose", controller_metrics=True)
        cls.addClassCleanup(cls.handfast.close)
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        proxy, controller = cls.handfast.metrics_address[1], cls.handfast.controller_address[1]
        kubectl = pathlib.Path(cls.temporary.name) / "kubectl"
        kubectl.write_text(f"""#!/bin/sh
case "$*" in
  *"get pods"*) echo 'handfast-1 {proxy} {controller} ["--admin=127.0.0.1:10365","--x=y"]' ;;
  *"get --raw /api/v1/namespaces/edge/pods/handfast-1:"*)
    port=${{*##*handfast-1:}}
    exec curl -s "http://127.0.0.1:${{port%%/*}}/metrics" ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
""")
        kubectl.chmod(0o755)
        ca, other = Authority("backends"), Authority("others")
        client = ca.client(not_after=from_now(hours=30))
        cls.handfast.apply("class", manifests.ingress_class())
        cls.handfast.apply("secret", manifests.secret(
            "good", tls_crt=client.chain_pem, tls_key=client.key_pem, ca_crt=ca.cert_pem,
            ca_crl=ca.crl()))
        for name, annotations in (("fails", {}), ("loose", {"proxy-ssl-verify": "off"}),
                                  ("refused", {"proxy-ssl-secret": "shop/none"})):
            backend = Backend(other.server(f"{name}.shop.svc"))
            cls.addClassCleanup(backend.close)
            cls.handfast.apply(name, manifests.ingress(name, f"{name}.test", annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/good", **annotations}),
                               manifests.service(name, backend.port))
        cls.handfast.wait_for("fails.test", 502)
        cls.handfast.wait_for("loose.test", 200)

    def plugin(self, *arguments):
        return run(*arguments, path=self.temporary.name)

    def test_status_tells_what_is_not_as_it_should_be(self):
        def check():
            done = self.plugin("status", "-n", "edge")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, r"^handfast-1: generation [1-9]\d*, \d+ connections")
            self.assertIn("  routes refused: secret_missing (1)\n", done.stdout)
            self.assertIn("  routes without verification: shop/loose (1)\n", done.stdout)
            self.assertRegex(done.stdout, r"handshakes failed: shop/fails: untrusted_issuer \(\d+\)")
            self.assertIn("kubectl -n edge port-forward handfast-1 10365, then "
                          "http://localhost:10365/\n", done.stdout)
            return True

        eventually(check, "the status")

    def test_certs_tells_what_ends_first(self):
        done = self.plugin("certs", "--namespace=edge")

        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^(29|30) h +our certificate +shop/good$")
        self.assertRegex(lines[1], r"^(29|30) days +revocation list +shop/good$")
        self.assertTrue(any("CA " in line for line in lines), done.stdout)

    def test_another_namespace_is_asked_for(self):
        self.assertEqual(self.plugin("bogus").returncode, 2)
        self.assertEqual(self.plugin("status", "extra").returncode, 2)


if __name__ == "__main__":
    unittest.main()

"""What a person asks of a release that runs: `kubectl handfast`, and the status page by port-forward."""

import json
import re
import subprocess
import unittest
import urllib.request

import case
import kube
from kube import eventually, kubectl
from harness import manifests


class Forward:
    """`kubectl port-forward`, to any port here."""

    def __init__(self, what, port):
        self._child = subprocess.Popen(
            ["kubectl", "-n", "handfast", "port-forward", what, f":{port}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self._child.stdout.readline()
        found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
        if not found:
            self.close()
            raise AssertionError(f"port-forward: {line}")
        self.port = int(found[1])

    def get(self, path):
        with urllib.request.urlopen(f"http://localhost:{self.port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def close(self):
        self._child.kill()
        self._child.communicate()


class Plugin(case.ServedCase):
    values = {"controller": {"admissionWebhooks": {"enabled": False}}}

    @classmethod
    def install(cls):
        super().install()
        config = kubectl("config", "view", "--raw", "--flatten")
        kube.apply(
            manifests.secret("operator", config=config),
            case.pod("operator", "shop", image="handfast-e2e/operator:1",
                     volumes=[{"name": "kube", "secret": {"secretName": "operator",
                                                          "defaultMode": 0o440}}],
                     container={"env": [{"name": "KUBECONFIG", "value": "/kube/config"}],
                                "volumeMounts": [{"name": "kube", "mountPath": "/kube"}]}))
        kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/operator", "--timeout=60s")

    def plugin(self, *arguments):
        return kubectl("-n", "shop", "exec", "operator", "--", "kubectl", "handfast", *arguments)

    def broken(self):
        """An Ingress that is refused, until the test ends."""
        self.use(manifests.ingress("broken", "broken.example", annotations={
            "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/none"}))
        self.client.wait_for("broken.example", 503)

    def test_status_tells_of_each_pod_what_is_wrong(self):
        self.broken()

        said = self.plugin("status")

        self.assertEqual(set(re.findall(r"^(\S+): generation [1-9]", said, re.MULTILINE)),
                         kube.names(case.OURS))
        self.assertIn("routes refused: secret_missing (1)", said)

    def test_certs_tells_what_ends_first(self):
        lines = self.plugin("certs").splitlines()

        for what in ("our certificate", "CA", "revocation list"):
            self.assertTrue([line for line in lines
                             if re.search(rf" {what} +shop/orders-client$", line)], lines)

    def test_explain_and_lint_tell_what_serves_and_what_does_not(self):
        said = self.plugin("explain", f"{self.host}/")
        self.assertIn("served: yes", said)
        self.assertIn("ingress: shop/orders", said)
        self.broken()

        with self.assertRaisesRegex(kube.Refused, "secret_missing"):
            self.plugin("explain", "broken.example/")
        with self.assertRaisesRegex(kube.Refused, "Ingress shop/broken: .*There is no Secret"):
            self.plugin("lint")

    def test_verify_does_the_handshakes_of_every_backend(self):
        self.assertRegex(self.plugin("verify", "--all"), r"shop/orders\b.*ok")
        self.addCleanup(self.show, self.shown)
        self.show(self.shown, revoked=[self.leaf])

        with self.assertRaisesRegex(kube.Refused, "revoked"):
            self.plugin("verify", "--all")

    def test_status_page_by_port_forward(self):
        forward = Forward("deploy/handfast", 10265)
        self.addCleanup(forward.close)

        self.assertIn("<title>", forward.get("/"))
        def handshakes():
            host, = (one for one in json.loads(forward.get("/status.json"))["hosts"]
                     if one["host"] == self.host)
            endpoints = host["routes"][0]["service"]["endpoints"]
            self.assertEqual(len(endpoints), 2)
            self.client.get(self.host)
            return [one["handshake"]["result"] for one in endpoints if one["handshake"]]

        eventually(lambda: "ok" in handshakes(), "the handshake in the status")
        self.assertNotIn("PRIVATE KEY", forward.get("/status.json"))


if __name__ == "__main__":
    unittest.main()

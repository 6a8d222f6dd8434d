"""A values.yaml of ingress-nginx, with the keys that people set most, really runs."""

import sys
import unittest

import case
import kube
from kube import eventually, kubectl
from harness import manifests

sys.path.append(str(kube.ROOT / "tests/chart"))

from ingress_nginx import INGRESS_NGINX  # noqa: E402

# What its values want of a cluster.
OPERATOR = (("ServiceMonitor", "servicemonitors", "monitoring.coreos.com"),
            ("PrometheusRule", "prometheusrules", "monitoring.coreos.com"))
LABELS = ("node-role.kubernetes.io/edge", "topology.kubernetes.io/zone")


class IngressNginx(case.ReleaseCase):
    values = INGRESS_NGINX

    @classmethod
    def install(cls):
        kube.apply(*(manifests.crd(*one) for one in OPERATOR))
        kubectl("label", "node", "node", *(f"{label}=" for label in LABELS), "--overwrite")
        for _, plural, group in OPERATOR:
            cls.addClassCleanup(kubectl, "delete", "crd", f"{plural}.{group}")
            kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}")
        cls.addClassCleanup(kubectl, "label", "node", "node", *(f"{label}-" for label in LABELS))
        super().install()

    def test_it_serves_with_as_many_pods_as_the_autoscaler_wants(self):
        eventually(lambda: len([one for one in kube.pods(case.OURS) if kube.is_ready(one)]) == 3,
                   "three ready pods", patience=90)
        kube.apply(case.pod("hello", "shop", command=["python3", "-m", "http.server", "8080"]),
                   manifests.ingress("hello", "hello.example", port=80,
                                     class_name="nginx-internal"))
        kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/hello", "--timeout=60s")
        kubectl("-n", "shop", "expose", "pod/hello", "--port=80", "--target-port=8080")

        self.client.wait_for("hello.example", 200, "Directory listing")
        for service in ("handfast", "handfast-internal"):
            self.assertEqual(self.client.get("hello.example", to=f"{service}.handfast.svc").status,
                             200)

    def test_its_webhook_judges_its_class(self):
        with self.assertRaisesRegex(kube.Refused, "denied the request"):
            self.use(manifests.ingress("wrong", "wrong.example", class_name="nginx-internal",
                                       annotations={"proxy-ssl-verfy": "on"}))

    def test_notes_name_what_has_no_effect(self):
        self.assertIn("controller.allowSnippetAnnotations: ", self.notes)


if __name__ == "__main__":
    unittest.main()

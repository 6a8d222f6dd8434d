"""The chart's webhook, with the certificate that the chart makes, behind the real API server."""

import unittest

import case
import kube
from kube import eventually, kubectl
from harness import manifests

VALUES = {"controller": {"admissionWebhooks": {"enabled": True, "failurePolicy": "Fail"}}}


class Webhook(case.ReleaseCase):
    values = VALUES

    @classmethod
    def install(cls):
        super().install()
        # kube-proxy may be a moment later than helm.
        eventually(lambda: kubectl("apply", "--dry-run=server", "-f", "-",
                                   stdin=manifests.dump(manifests.ingress("a", "a.example"))),
                   "the webhook's answer")

    def test_what_is_right_comes_in_and_what_is_missing_warns(self):
        self.use(manifests.ingress("right", "right.example", annotations={
            "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/absent"}))

    def test_what_is_wrong_is_refused_with_the_reason(self):
        with self.assertRaisesRegex(kube.Refused, "denied the request(.|\n)*proxy-ssl-verfy"):
            self.use(manifests.ingress("wrong", "wrong.example", annotations={
                "proxy-ssl-verfy": "on"}))
        policy = manifests.upstream_tls_policy("wrong", "wrong", validation={"hostname": "a b"})
        with self.assertRaises(kube.Refused):
            self.use(policy)
        self.assertEqual(kube.get("ingress", None, "shop")["items"], [])

    def test_path_of_somebody_else_is_refused(self):
        self.use(manifests.ingress("first", "taken.example"))

        with self.assertRaisesRegex(kube.Refused, "denied the request(.|\n)*shop/first"):
            self.use(manifests.ingress("second", "taken.example"))

    def test_upgrade_keeps_its_certificate(self):
        before = kube.get("secret", "handfast-admission")["data"]

        self.upgrade(VALUES | {"commonLabels": {"upgraded": "yes"}})

        self.assertEqual(kube.get("secret", "handfast-admission")["data"], before)
        with self.assertRaisesRegex(kube.Refused, "denied the request"):
            self.use(manifests.ingress("wrong", "wrong.example", annotations={
                "proxy-ssl-verfy": "on"}))

    def test_without_controllers_only_our_class_waits(self):
        kubectl("-n", "handfast", "scale", "deploy/handfast", "--replicas=0")
        kubectl("-n", "handfast", "delete", "pods", "-l", case.OURS, "--grace-period=1")
        self.addCleanup(kube.wait_ready, case.OURS, 2)
        self.addCleanup(kubectl, "-n", "handfast", "scale", "deploy/handfast", "--replicas=2")

        with self.assertRaisesRegex(kube.Refused, "failed calling webhook"):
            self.use(manifests.ingress("ours", "ours.example"))
        self.use(manifests.ingress("theirs", "theirs.example", class_name="nginx"))


if __name__ == "__main__":
    unittest.main()

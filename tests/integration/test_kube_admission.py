"""The admission webhook, asked by a real API server through the Service and the configuration that
it is installed with: what is refused, what passes, and its certificate in the caBundle."""

import base64
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import cluster, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.cluster import NAMESPACE, ApiError, ClusterPair  # noqa: E402
from harness.handfast import free_port  # noqa: E402
from harness.kube_case import KubeCase  # noqa: E402
from harness.waiting import eventually  # noqa: E402

CONFIGURATION = ("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/handfast")
NGINX = "nginx.ingress.kubernetes.io/"


def flags(port):
    return ("--validating-webhook", f"0.0.0.0:{port}", "--validating-webhook-service",
            f"{NAMESPACE}/handfast-admission", "--validating-webhook-configuration", "handfast")


class AdmissionCase(KubeCase):
    # Without nodes nobody routes the Service's address: the API server asks its endpoints.
    cluster_flags = ("--enable-aggregator-routing=true",)

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.install("validating-webhook.yaml")
        port = free_port()
        cls.controller_flags = flags(port)
        cls.cluster.apply({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "handfast-admission", "namespace": NAMESPACE,
                         "labels": {"kubernetes.io/service-name": "handfast-admission"}},
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [cls.cluster.host], "conditions": {"ready": True}}]})

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        eventually(lambda: cls.admits("first"), "the webhook's first answer", patience=60)

    @classmethod
    def admits(cls, name):
        """Whether API server and webhook have come together: a dry run stores nothing."""
        one = manifests.ingress(name, f"{name}.test")
        try:
            cls.cluster.request("PATCH", cls.cluster.path_of(one) +
                                "?fieldManager=test&force=true&dryRun=All", one,
                                content_type="application/apply-patch+yaml")
        except ApiError as error:
            if error.status in (500, 503):
                return False
            raise
        return True

    def refused(self, one):
        with self.assertRaises(ApiError) as raised:
            self.cluster.apply(one)
        self.assertEqual(raised.exception.status, 403, str(raised.exception))
        return str(raised.exception)

    def warnings(self, one):
        done = subprocess.run(
            [self.cluster.bin / "kubectl", "--kubeconfig", self.cluster.kubeconfig, "apply", "-f",
             "-"], input=manifests.dump(one), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def bundles(self):
        found = self.cluster.request("GET", CONFIGURATION)
        return [base64.b64decode(one["clientConfig"].get("caBundle", "")).decode()
                for one in found["webhooks"]]

    def own_bundles(self, count):
        return eventually(lambda: all(one.count("BEGIN CERT") == count for one in self.bundles()),
                          f"{count} certificates in each bundle", patience=30)


class Reviews(AdmissionCase):
    def test_fault_of_the_object_is_refused_with_the_sentence_of_lint(self):
        one = manifests.ingress(self.name, self.host,
                                annotations={"proxy-ssl-verfy": "on"})
        text = self.refused(one)
        self.assertIn("There is no such annotation. Did you mean", text)
        self.assertIn(f"Ingress shop/{self.name}", text)

    def test_ingress_before_its_service_and_secret_is_warned_and_served_when_they_come(self):
        leaf, client = self.server(), self.ca.client()
        text = self.warnings(self.tls_ingress())
        self.assertIn(f"Warning: spec.rules[0].http.paths[0].backend.service: There is no Service "
                      f"shop/{self.name}.", text)
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        self.cluster.apply(self.secret(client, ca=self.ca),
                           manifests.service(self.name, backend.port))
        self.wait_for(200)

    def test_path_of_another_is_refused_until_that_is_gone(self):
        self.cluster.apply(self.plain_ingress())
        other = manifests.ingress(f"{self.name}-other", self.host)
        eventually(lambda: f"served by Ingress shop/{self.name}" in self.refusal_of(other),
                   "the refusal")
        self.cluster.apply(self.plain_ingress(annotations={"proxy-body-size": "8m"}))

        self.cluster.delete(self.plain_ingress())
        eventually(lambda: self.refusal_of(other) == "", "the path to be free")

    def refusal_of(self, one):
        try:
            self.cluster.request("PATCH", self.cluster.path_of(one) +
                                 "?fieldManager=test&force=true&dryRun=All", one,
                                 content_type="application/apply-patch+yaml")
        except ApiError as error:
            return str(error)
        return ""

    def test_solver_of_acme_passes_while_the_certificate_is_missing(self):
        site = self.plain_ingress()
        site["spec"]["tls"] = [{"hosts": [self.host], "secretName": f"{self.name}-web"}]
        self.cluster.apply(site)
        solver = manifests.ingress(f"{self.name}-solver", self.host)
        solver["metadata"]["annotations"] = {
            NGINX + "whitelist-source-range": "0.0.0.0/0,::/0"}
        path = solver["spec"]["rules"][0]["http"]["paths"][0]
        path.update(path="/.well-known/acme-challenge/token", pathType="ImplementationSpecific")
        self.cluster.apply(solver)

    def test_ingress_with_a_generated_name_is_judged(self):
        one = manifests.ingress("unused", self.host, annotations={"proxy-ssl-verfy": "on"})
        del one["metadata"]["name"]
        one["metadata"]["generateName"] = "solver-"
        with self.assertRaises(ApiError) as raised:
            self.cluster.request("POST", "/apis/networking.k8s.io/v1/namespaces/shop/ingresses",
                                 one)
        self.assertIn("There is no such annotation", str(raised.exception))

    def test_ingress_of_another_class_never_waits_for_us(self):
        one = manifests.ingress(self.name, self.host, annotations={"proxy-ssl-verfy": "on"})
        one["spec"]["ingressClassName"] = "nginx"
        self.cluster.apply(one)

    def test_policy_that_can_not_be_served_is_refused(self):
        one = {"apiVersion": "handfast.dev/v1alpha1", "kind": "UpstreamTLSPolicy",
               "metadata": {"name": self.name, "namespace": "shop"},
               "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": self.name}],
                        "validation": {"insecureSkipVerify": True,
                                       "hostname": f"{self.name}.shop.svc"}}}
        self.assertIn("Verification may be turned off only where", self.refused(one))

    def test_wrong_one_can_be_labelled_and_deleted(self):
        one = manifests.ingress(self.name, self.host, annotations={"proxy-ssl-verfy": "on"})
        one["spec"]["ingressClassName"] = "nginx"
        one["metadata"]["finalizers"] = ["test.example/wait"]
        self.cluster.apply(one)
        path = self.cluster.path_of(one)
        change = {"content_type": "application/merge-patch+json"}
        with self.assertRaises(ApiError):
            self.cluster.request("PATCH", path, {"spec": {"ingressClassName": "handfast"}}, **change)

        self.cluster.delete(one)
        self.cluster.request("PATCH", path, {"metadata": {"finalizers": None}}, **change)


class Certificates(AdmissionCase):
    def test_bundle_that_somebody_resets_is_put_right(self):
        self.own_bundles(1)
        self.cluster.request("PATCH", CONFIGURATION, [
            {"op": "add", "path": f"/webhooks/{n}/clientConfig/caBundle", "value": ""}
            for n in range(2)], content_type="application/json-patch+json")

        self.own_bundles(1)
        eventually(lambda: self.admits(self.name), "the webhook's answer")

    def test_each_replica_has_its_certificate_in_the_bundle_while_it_runs(self):
        self.own_bundles(1)
        second = ClusterPair(self.pair.kubeconfig, *flags(free_port()))
        self.addCleanup(second.close)
        second.start_controller()
        self.own_bundles(2)

        second.controller.stop()
        self.own_bundles(1)

    def test_reviews_are_counted(self):
        self.cluster.apply(self.plain_ingress())
        self.assertGreater(self.pair.controller_metrics().value(
            "handfast_controller_admission_requests_total", kind="Ingress"), 0)


if __name__ == "__main__":
    cluster.skip_without_programs()
    unittest.main()

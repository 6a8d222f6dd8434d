"""The controller over a real Kubernetes API server, under its own account: what `kubectl apply`
does, reaches backends, and what is revoked, doesn't."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import cluster, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.cluster import ClusterPair  # noqa: E402
from harness.kube_case import KubeCase  # noqa: E402
from harness.relay import Relay  # noqa: E402
from harness.waiting import eventually  # noqa: E402


class Applying(KubeCase):
    """The main job's manifests by kubectl."""

    def test_request_reaches_a_backend_by_mutual_tls_and_a_revocation_ends_that(self):
        leaf, client = self.server(), self.ca.client("handfast-1")
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        secret = self.secret(client, ca=self.ca, crl=self.ca.crl())
        self.cluster.kubectl_apply(secret, self.tls_ingress(),
                                   *manifests.service(self.name, backend.port))
        answer = self.wait_for(200).json()
        self.assertEqual(answer["serial"], str(client.serial))

        self.cluster.kubectl_apply(self.secret(client, ca=self.ca, crl=self.ca.crl([leaf])))
        self.wait_for(502)
        self.wait_for_reason("revoked")

        backend.show(self.server())
        self.wait_for(200)

        self.cluster.kubectl_apply(self.secret(client, crl=self.ca.crl([leaf])))
        self.wait_for(503)
        self.wait_for_reason("ca_missing")

        rotated = self.ca.client("handfast-2")
        self.cluster.kubectl_apply(self.secret(rotated, ca=self.ca, crl=self.ca.crl([leaf])))
        self.wait_for(200, text=str(rotated.serial))

    def test_ingress_that_comes_before_its_secret_heals_when_that_comes(self):
        leaf, client = self.server(), self.ca.client()
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        self.cluster.apply(self.tls_ingress(), manifests.service(self.name, backend.port))
        self.wait_for(503)
        self.wait_for_reason("secret_missing")

        self.cluster.apply(self.secret(client, ca=self.ca))
        self.wait_for(200)

        self.cluster.delete(self.secret(client, ca=self.ca))
        self.wait_for(503)

    def test_fresh_ingress_whose_secret_is_there_is_never_refused(self):
        leaf, client = self.server(), self.ca.client()
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        self.cluster.apply(self.secret(client, ca=self.ca),
                           manifests.service(self.name, backend.port))
        self.cluster.apply(self.tls_ingress())

        statuses = set()

        def check():
            statuses.add(self.get().status)
            return 200 in statuses

        eventually(check, "a 200")
        self.assertLessEqual(statuses, {404, 200})

    def test_endpoints_come_and_go(self):
        first = self.use(Backend(address="0.0.0.0"))
        second = self.use(Backend(address="0.0.0.0"))
        self.cluster.apply(self.plain_ingress(), manifests.service(self.name, first.port))
        self.wait_for(200)

        self.cluster.apply(manifests.endpoint_slice(f"{self.name}-0", self.name, second.port))
        eventually(lambda: self.get().status == 200 and second.seen, "the second backend")
        self.cluster.delete(manifests.endpoint_slice(f"{self.name}-0", self.name, second.port))
        self.wait_for(503)

    def test_policy_counts_as_in_a_directory(self):
        leaf, client = self.server(), self.ca.client()
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        self.cluster.apply(*self.policy_objects(client, backend.port))
        self.wait_for(200)

        self.cluster.apply(manifests.config_map(f"{self.name}-ca", ca_crt=self.other_ca.cert_pem))
        self.wait_for(502)
        self.wait_for_reason("untrusted_issuer")


class Keeping(KubeCase):
    """What the controller knows and does not know."""

    def test_secrets_that_nobody_refers_to_are_not_kept(self):
        for number in range(20):
            self.cluster.apply(manifests.secret(f"{self.name}-{number}", v="x"))
        leaf, client = self.server(), self.ca.client()
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        before = self.known("Secret")
        self.cluster.apply(self.secret(client, ca=self.ca), self.tls_ingress(),
                           manifests.service(self.name, backend.port))
        self.wait_for(200)
        eventually(lambda: self.known("Secret") == before + 1, "one Secret more")

        self.cluster.delete(self.tls_ingress())
        eventually(lambda: self.known("Secret") == before, "no Secret more")

    def test_metrics_tell_how_far_it_is_in_step(self):
        metrics = self.pair.controller_metrics()
        self.assertGreater(metrics.value("handfast_controller_in_step_seconds"), 1.7e9)
        eventually(lambda: self.pair.controller_metrics().value(
            "handfast_controller_api_answers_total", code="200"), "an answer counted", patience=5)

    def known(self, kind):
        return self.pair.controller_metrics().value("handfast_controller_objects", kind=kind) or 0


class Addresses(KubeCase):
    def test_api_server_is_reached_by_an_ipv6_address(self):
        try:
            relay = Relay(self.cluster.port, "::1")
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        self.addCleanup(relay.close)
        pair = ClusterPair(self.cluster.account_kubeconfig(
            "ipv6.kubeconfig", server=f"https://[::1]:{relay.port}"))
        self.addCleanup(pair.close)
        pair.start()
        backend = self.use(Backend(address="0.0.0.0"))
        self.cluster.apply(self.plain_ingress(), manifests.service(self.name, backend.port))
        pair.wait_for(self.host, 200)


class WrongObjects(KubeCase):
    """What the API server takes and we can't serve hurts nobody else."""

    def test_object_that_the_schema_allows_and_we_do_not_hurts_itself_alone(self):
        backend = self.use(Backend(address="0.0.0.0"))
        self.cluster.apply(self.plain_ingress(), manifests.service(self.name, backend.port))
        self.wait_for(200)
        wrong = [
            manifests.ingress(f"{self.name}-a", f"a.{self.host}",
                              annotations={"backend-protocol": "FCGI"}, service=self.name),
            manifests.ingress(f"{self.name}-b", f"b.{self.host}",
                              annotations={"proxy-ssl-secret": "no/slash/es"},
                              service=self.name),
            manifests.ingress(f"{self.name}-c", f"c.{self.host}",
                              annotations={"proxy-read-timeout": "x" * 200_000},
                              service=self.name),
            manifests.secret(f"{self.name}-huge", v="x" * 1_000_000),
            manifests.config_map(f"{self.name}-huge", v="x" * 1_000_000),
        ]
        self.cluster.apply(*wrong)
        self.cluster.apply(manifests.ingress(f"{self.name}-d", f"d.{self.host}",
                                             service=self.name, port=443))
        self.pair.wait_for(f"d.{self.host}", 200)
        self.pair.wait_for(f"a.{self.host}", 503)
        self.assertEqual(self.get().status, 200)

    def test_secret_that_flips_its_type_and_content_is_followed(self):
        leaf, client = self.server(), self.ca.client()
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        self.cluster.apply(self.secret(client, ca=self.ca), self.tls_ingress(),
                           manifests.service(self.name, backend.port))
        self.wait_for(200)

        # The type is immutable, so it goes and comes back as another.
        other = self.secret(client, ca=self.ca)
        other["type"] = "kubernetes.io/tls"
        self.cluster.delete(other)
        self.cluster.apply(other)

        self.wait_for(200)

    def test_namespace_that_is_deleted_takes_its_objects_along(self):
        backend = self.use(Backend(address="0.0.0.0"))
        self.cluster.namespace(self.name)
        objects = [manifests.ingress(self.name, self.host, namespace=self.name, service=self.name),
                   *manifests.service(self.name, backend.port, namespace=self.name)]
        self.cluster.apply(*objects)
        self.wait_for(200)

        # Without a controller-manager nobody empties it: that is done here as that would.
        self.cluster.delete(*reversed(objects))
        self.cluster.delete({"kind": "Namespace", "metadata": {"name": self.name}})

        self.wait_for(404)


if __name__ == "__main__":
    cluster.skip_without_programs()
    unittest.main()

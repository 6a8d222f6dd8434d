"""What the controller writes to a cluster: where Ingresses are reached, what proxies made of
policies, Events; by one replica of several."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import cluster, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.cluster import ACCOUNT, NAMESPACE, ClusterPair  # noqa: E402
from harness.kube_case import KubeCase  # noqa: E402
from harness.waiting import eventually  # noqa: E402

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/ingress-controller-leader"


class StatusCase(KubeCase):
    controller_flags = ("--publish-service", f"{NAMESPACE}/front", "--election-ttl", "4s")

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.set_address("203.0.113.7")

    @classmethod
    def set_address(cls, address):
        front = {"apiVersion": "v1", "kind": "Service",
                 "metadata": {"namespace": NAMESPACE, "name": "front"},
                 "spec": {"type": "LoadBalancer", "ports": [{"port": 443}]}}
        cls.cluster.apply(front)
        cls.cluster.request("PATCH", cls.cluster.path_of(front) + "/status", {
            "status": {"loadBalancer": {"ingress": [{"ip": address}]}}},
            content_type="application/merge-patch+json")

    def status(self, kind, name=None):
        path = self.cluster.path_of({"kind": kind, "metadata": {"namespace": "shop",
                                                                "name": name or self.name}})
        return self.cluster.request("GET", path).get("status", {})

    def addresses(self, name=None):
        return self.status("Ingress", name).get("loadBalancer", {}).get("ingress", [])

    def conditions(self):
        return {one["type"]: one for one in self.status("UpstreamTLSPolicy").get("conditions", [])}

    def wait_for_condition(self, kind, status, reason):
        def check():
            found = self.conditions().get(kind, {})
            return found if (found.get("status"), found.get("reason")) == (status, reason) else None

        return eventually(check, f"{kind}={status}/{reason}", patience=60)

    def holder(self):
        return self.cluster.request("GET", LEASE)["spec"]["holderIdentity"]

    def replica(self, pod):
        pair = ClusterPair(self.pair.kubeconfig, *self.controller_flags, pod=pod)
        self.addCleanup(pair.close)
        pair.start()
        return pair

    def serve_policy(self, **options):
        leaf, client = self.server(), self.ca.client()
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        self.cluster.apply(*self.policy_objects(client, backend.port, **options))
        self.wait_for(200)


class Ingresses(StatusCase):
    def test_ingress_says_where_it_is_reached_and_follows_the_service(self):
        self.cluster.apply(self.plain_ingress())
        eventually(lambda: self.addresses() == [{"ip": "203.0.113.7", "ipMode": "VIP"}]
                   or self.addresses() == [{"ip": "203.0.113.7"}], "the address")
        self.set_address("203.0.113.8")
        self.addCleanup(self.set_address, "203.0.113.7")
        eventually(lambda: [one["ip"] for one in self.addresses()] == ["203.0.113.8"],
                   "the new address")

    def test_ingress_of_another_class_is_left_alone(self):
        other = self.plain_ingress()
        other["spec"]["ingressClassName"] = "nginx"
        self.cluster.apply(other)
        self.cluster.apply(manifests.ingress(f"{self.name}-b", f"b.{self.host}"))
        eventually(lambda: self.addresses(f"{self.name}-b"), "the address of ours")
        self.assertEqual(self.addresses(), [])

    def test_what_is_wrong_is_an_event_on_the_object(self):
        self.cluster.apply(manifests.ingress(self.name, self.host, service="nowhere"))

        def events():
            found = self.cluster.request("GET", "/apis/events.k8s.io/v1/namespaces/shop/events")
            return [one for one in found["items"] if one["regarding"]["name"] == self.name]

        event = eventually(events, "an Event")[0]
        self.assertEqual((event["type"], event["reason"]), ("Warning", "ServiceMissing"))
        self.assertIn("nowhere", event["note"])
        self.assertEqual(event["reportingInstance"], "handfast-0")
        self.assertIn("ServiceMissing",
                      self.cluster.kubectl("-n", "shop", "describe", "ingress", self.name))
        self.assertEqual(len(events()), 1)


class Nodes(StatusCase):
    """Neither a Service nor an address is named: pods are reached at their nodes."""

    controller_flags = ("--election-ttl", "4s")
    expected = ["10.0.0.2", "203.0.113.1"]

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.add_node("node-1", ExternalIP="203.0.113.1", InternalIP="10.0.0.1")
        for number in (2, 3, 4):
            cls.cluster.add_node(f"node-{number}", InternalIP=f"10.0.0.{number}")
        cls.cluster.add_pod("handfast-0")
        cls.cluster.add_pod("handfast-1", "node-2", host_ip="10.0.0.2", hostNetwork=True)
        cls.cluster.add_pod("handfast-2", "node-3", host_ip="10.0.0.3", ready=False)
        cls.cluster.add_pod("handfast-3", "node-4", host_ip="10.0.0.4",
                            containers=[{"name": "proxy", "image": "handfast"}])

    @classmethod
    def tearDownClass(cls):
        try:
            for number in range(4):
                cls.cluster.delete_pod(f"handfast-{number}")
        finally:
            super().tearDownClass()

    def test_ingress_is_reached_at_the_nodes_whose_ports_lead_to_ready_pods(self):
        self.cluster.apply(self.plain_ingress())
        eventually(lambda: sorted(one["ip"] for one in self.addresses()) == self.expected,
                   "the nodes' addresses", patience=60)


class InternalNodes(Nodes):
    controller_flags = ("--election-ttl", "4s", "--report-node-internal-ip-address")
    expected = ["10.0.0.1", "10.0.0.2"]


class Policies(StatusCase):
    def test_policy_is_programmed_and_verified_by_what_the_proxy_does(self):
        self.serve_policy()
        self.wait_for_condition("Programmed", "True", "Programmed")
        told = self.wait_for_condition("Verified", "True", "Verified")
        self.assertEqual(told["observedGeneration"], 1)
        status = self.status("UpstreamTLSPolicy")
        self.assertEqual(status["proxies"], {"ready": 1, "total": 1, "generation": 1})
        self.assertEqual(status["client"]["secretRef"], f"shop/{self.name}-tls")
        self.assertRegex(status["client"]["sha256"], "^[0-9a-f]{64}$")
        self.assertEqual([one["pod"] for one in status["replicas"]], ["handfast-0"])
        self.assertIn("Verified", self.cluster.kubectl("-n", "shop", "get", "utls", self.name))

    def test_policy_that_is_wrong_says_what_and_heals(self):
        self.serve_policy()
        self.wait_for_condition("Accepted", "True", "Accepted")
        self.cluster.delete(manifests.config_map(f"{self.name}-ca", ca_crt=self.ca.cert_pem))
        found = self.wait_for_condition("ResolvedRefs", "False", "InvalidCACertificateRef")
        self.assertIn(f"{self.name}-ca", found["message"])
        self.wait_for_condition("Programmed", "False", "Refused")
        self.cluster.apply(manifests.config_map(f"{self.name}-ca", ca_crt=self.ca.cert_pem))
        self.wait_for_condition("Programmed", "True", "Programmed")

    def test_backend_that_fails_is_named(self):
        self.serve_policy()
        self.cluster.apply(manifests.config_map(f"{self.name}-ca", ca_crt=self.other_ca.cert_pem))
        self.wait_for(502)
        found = self.wait_for_condition("Verified", "False", "UntrustedIssuer")
        self.assertIn(self.cluster.host, found["message"])

    def test_status_that_somebody_alters_is_put_right(self):
        self.serve_policy()
        self.wait_for_condition("Programmed", "True", "Programmed")
        path = self.cluster.path_of({"kind": "UpstreamTLSPolicy", "metadata": {
            "namespace": "shop", "name": self.name}})
        self.cluster.request("PATCH", path + "/status", {"status": {"conditions": []}},
                             content_type="application/merge-patch+json")
        self.wait_for_condition("Programmed", "True", "Programmed")


class GatewayPolicies(StatusCase):
    """BackendTLSPolicies of Gateway API, whose status others write too."""

    FOREIGN = {"ancestorRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway",
                               "name": "edge"},
               "controllerName": "example.net/gateway",
               "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted",
                               "message": "fine", "observedGeneration": 1,
                               "lastTransitionTime": "2026-01-01T00:00:00Z"}]}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.apply(manifests.backend_tls_policy_crd())
        eventually(lambda: cls.cluster.request("GET", "/apis/gateway.networking.k8s.io/v1"),
                   "the definition")

    def ancestors(self):
        return self.status("BackendTLSPolicy").get("ancestors", [])

    def wait_for_ancestors(self, *expected):
        """In this order: controller, and what it says of Accepted and of ResolvedRefs."""
        def check():
            found = [(one["controllerName"], *(
                next((c["reason"] for c in one["conditions"] if c["type"] == kind), None)
                for kind in ("Accepted", "ResolvedRefs"))) for one in self.ancestors()]
            return found == list(expected)

        eventually(check, f"the ancestors {expected}", patience=60)

    def test_policy_that_serves_has_our_entry_beside_those_of_others(self):
        foreign = (self.FOREIGN["controllerName"], "Accepted", None)
        ours = "handfast.dev/ingress-controller"
        backend = self.use(Backend(self.server(), address="0.0.0.0"))
        ca = manifests.config_map(f"{self.name}-ca", ca_crt=self.ca.cert_pem)
        policy = manifests.backend_tls_policy(
            self.name, self.name, [manifests.material_ref("ConfigMap", f"{self.name}-ca")])
        self.cluster.apply(ca, policy, manifests.service(self.name, backend.port))
        self.cluster.set_status(policy, {"ancestors": [self.FOREIGN]})
        self.assertEqual(self.ancestors(), [self.FOREIGN])

        self.cluster.apply(self.plain_ingress())
        self.wait_for(200)
        self.wait_for_ancestors(foreign, (ours, "Accepted", "ResolvedRefs"))
        self.assertEqual(self.ancestors()[0], self.FOREIGN)
        self.assertEqual(self.ancestors()[1]["ancestorRef"], {
            "group": "networking.k8s.io", "kind": "IngressClass", "name": "handfast"})

        self.cluster.delete(ca)
        self.wait_for_ancestors(foreign, (ours, "NoValidCACertificate",
                                          "InvalidCACertificateRef"))
        # Whoever writes the list without us, as others' patches may, is put right.
        self.cluster.set_status(policy, {"ancestors": [self.FOREIGN]})
        self.wait_for_ancestors(foreign, (ours, "NoValidCACertificate",
                                          "InvalidCACertificateRef"))
        self.cluster.apply(ca)
        self.wait_for_ancestors(foreign, (ours, "Accepted", "ResolvedRefs"))

        self.cluster.delete(self.plain_ingress())
        self.wait_for_ancestors(foreign)
        self.assertEqual(self.ancestors(), [self.FOREIGN])


class Installations(StatusCase):
    """Two of them, of two classes, each with its own Lease."""

    LEASE = "internal-leader"
    CLASS = "internal"

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.apply(manifests.ingress_class(cls.CLASS, "example.net/internal"))
        meta = {"name": cls.LEASE, "namespace": NAMESPACE}
        rbac = "rbac.authorization.k8s.io"
        cls.cluster.apply(
            {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": [
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                 "verbs": ["get", "create", "patch"]}]},
            {"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", "metadata": meta,
             "roleRef": {"apiGroup": rbac, "kind": "Role", "name": cls.LEASE},
             "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}]})
        for pod in ("handfast-0", "internal-0"):
            cls.cluster.add_pod(pod)

    @classmethod
    def tearDownClass(cls):
        try:
            for pod in ("handfast-0", "internal-0"):
                cls.cluster.delete_pod(pod)
        finally:
            super().tearDownClass()

    def test_policy_of_both_is_told_by_one_and_nobody_undoes_it(self):
        self.serve_policy()
        self.wait_for_condition("Programmed", "True", "Programmed")
        other = ClusterPair(self.pair.kubeconfig, "--publish-status-address", "203.0.113.9",
                            "--election-ttl", "4s", "--election-id", self.LEASE, "--ingress-class",
                            self.CLASS, "--controller-class", "example.net/internal",
                            pod="internal-0")
        self.addCleanup(other.close)
        other.start()
        internal = manifests.ingress(f"{self.name}-i", f"i.{self.host}", service=self.name,
                                     class_name=self.CLASS)
        self.cluster.apply(internal)
        other.wait_for(f"i.{self.host}", 200)
        eventually(lambda: self.addresses(f"{self.name}-i"), "the address of the other")
        eventually(lambda: self.status("UpstreamTLSPolicy")["proxies"]["total"] == 2, "both",
                   patience=60)
        self.wait_for_condition("Programmed", "True", "Programmed")
        self.assertEqual([one["ip"] for one in self.addresses(f"{self.name}-i")], ["203.0.113.9"])
        self.wait_for_quiet()

        self.cluster.delete(self.plain_ingress())
        eventually(lambda: self.status("UpstreamTLSPolicy")["proxies"]["total"] == 1,
                   "the one that still uses it", patience=60)
        self.wait_for_condition("Programmed", "True", "Programmed")
        self.assertEqual({one["pod"]: one["programmed"]
                          for one in self.status("UpstreamTLSPolicy")["replicas"]},
                         {"handfast-0": "NotReferenced", "internal-0": "Programmed"})

    def wait_for_quiet(self):
        """Each looks at what is written once in ten seconds: in twelve nobody has altered it."""
        path = self.cluster.path_of({"kind": "UpstreamTLSPolicy", "metadata": {
            "namespace": "shop", "name": self.name}})
        seen = []

        def check():
            version = self.cluster.request("GET", path)["metadata"]["resourceVersion"]
            if not seen or seen[-1][0] != version:
                seen.append((version, time.monotonic()))
            return time.monotonic() - seen[-1][1] > 12

        eventually(check, "an end of writing", patience=60, every=0.1)


class Replicas(StatusCase):
    POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": NAMESPACE,
                                                           "name": "handfast-0"},
           "spec": {"containers": [{"name": "controller", "image": "handfast"}]}}

    def test_every_replica_tells_and_one_writes_and_another_goes_on(self):
        self.serve_policy()
        self.wait_for_condition("Programmed", "True", "Programmed")
        # Nobody runs them, but they are there: the leader takes out who has no pod.
        self.cluster.apply(self.POD, {**self.POD, "metadata": {**self.POD["metadata"],
                                                               "name": "handfast-1"}})
        first = self.holder()
        self.assertTrue(first.startswith("handfast-0_"))
        other = self.replica("handfast-1")
        eventually(lambda: self.status("UpstreamTLSPolicy")["proxies"]["total"] == 2, "both")
        self.assertEqual(self.holder(), first)
        self.wait_for_condition("Programmed", "True", "Programmed")

        # The leader goes: the other takes over at once, and what the first said is taken out,
        # since there is no such pod.
        self.pair.controller.signal(15)
        self.pair.controller.wait(30)
        self.cluster.request("DELETE", self.cluster.path_of(self.POD) + "?gracePeriodSeconds=0")
        eventually(lambda: self.holder().startswith("handfast-1_"), "another leader", patience=10)
        eventually(lambda: self.status("UpstreamTLSPolicy")["proxies"]["total"] == 1,
                   "the entry of the one that is gone", patience=90)
        self.assertEqual([one["pod"] for one in self.status("UpstreamTLSPolicy")["replicas"]],
                         ["handfast-1"])
        self.cluster.apply(manifests.ingress(f"{self.name}-b", f"b.{self.host}"))
        eventually(lambda: self.addresses(f"{self.name}-b"), "an address by the new leader")
        self.assertEqual(self.get().status, 200)
        self.cluster.apply(self.POD)
        self.pair.start_controller()
        eventually(lambda: self.status("UpstreamTLSPolicy")["proxies"]["total"] == 2, "both again",
                   patience=90)
        other.kill_controller()
        eventually(lambda: self.holder().startswith("handfast-0_"), "the first again", patience=60)

    def test_replica_that_may_not_write_serves(self):
        role = {"kind": "ClusterRole", "metadata": {"name": "handfast-controller"}}
        before = self.cluster.request("GET", self.cluster.path_of(role))
        rules = [rule for rule in before["rules"] if "patch" not in rule["verbs"]]

        def put(rules):
            self.cluster.request("PUT", self.cluster.path_of(role), {
                "apiVersion": before["apiVersion"], "kind": "ClusterRole",
                "metadata": {"name": "handfast-controller"}, "rules": rules})

        put(rules)
        self.addCleanup(put, before["rules"])
        self.serve_policy()
        eventually(lambda: self.pair.controller.logged(
            message="the API server refuses a status; it is tried again in a minute"),
            "a line in the log")
        self.assertEqual(self.addresses(), [])
        self.assertEqual(self.get().status, 200)


if __name__ == "__main__":
    cluster.skip_without_programs()
    unittest.main()

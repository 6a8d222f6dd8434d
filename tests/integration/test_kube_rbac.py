"""The controller's permissions: it needs each that it is installed with, uses no other, and says
which is missing; tokens that change; namespaces by Roles alone; kinds that aren't there."""

import collections
import json
import os
import signal
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import cluster, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.cluster import ACCOUNT, NAMESPACE, ROOT, ClusterPair  # noqa: E402
from harness.kube_case import KubeCase  # noqa: E402
from harness.waiting import eventually  # noqa: E402

# Done without, as docs/kubernetes.md says; any other that is missing keeps the controller waiting.
DISPENSABLE = {"ingressclasses", "referencegrants", "clustertrustbundles"}
GATEWAY_KINDS = ("BackendTLSPolicy", "backendtlspolicies"), ("ReferenceGrant", "referencegrants")


class RbacCase(KubeCase):
    def role(self, kind="ClusterRole", ns=None):
        path = self.cluster.path_of({"kind": kind, "metadata": {"name": ACCOUNT, "namespace": ns}})
        return self.cluster.request("GET", path)

    def put_role(self, role, rules):
        new = {"apiVersion": role["apiVersion"], "kind": role["kind"], "rules": rules,
               "metadata": {key: role["metadata"][key] for key in ("name", "namespace")
                            if key in role["metadata"]}}
        self.cluster.request("PUT", self.cluster.path_of(new), new)


class EachRule(RbacCase):
    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.apply(*(manifests.crd(*names) for names in GATEWAY_KINDS))

    def start_controller(self, *flags):
        pair = ClusterPair(self.pair.kubeconfig, *flags)
        self.addCleanup(pair.close)
        pair.start_controller()
        eventually(pair.state.exists, "the state directory")
        pair.start_proxy()
        return pair

    def test_with_each_rule_removed_in_turn_something_fails_by_name(self):
        role = self.role()
        self.addCleanup(self.put_role, role, role["rules"])
        resources = [name for rule in role["rules"] if "list" in rule["verbs"]
                     for name in rule["resources"]]
        self.assertGreater(len(resources), 8)
        # Something refers to a Secret and to a ConfigMap, or nobody asks for them.
        self.cluster.apply(self.tls_ingress())
        for missing in resources:
            if missing == "clustertrustbundles":
                continue  # not served by this API server: absent, whatever the permission
            with self.subTest(missing=missing):
                rules = [{**rule, "resources": [one for one in rule["resources"]
                                                if one != missing]}
                         for rule in role["rules"]]
                self.put_role(role, [rule for rule in rules if rule["resources"]])
                pair = self.start_controller()
                found = eventually(
                    lambda: [line for line in pair.findings(reason="not_permitted")
                             if missing in json.dumps(line)], f"a finding about {missing}")
                self.assertIn("Permit list and watch of", json.dumps(found[0]))
                if missing in DISPENSABLE:
                    eventually(pair.is_ready, f"readiness without {missing}")
                else:
                    self.assertFalse(pair.is_ready())
                    self.put_role(role, role["rules"])
                    eventually(pair.is_ready, f"readiness with {missing}", patience=60)

    def test_without_the_rule_for_nodes_it_is_told_which_is_missing(self):
        role = self.role()
        self.put_role(role, [rule for rule in role["rules"] if rule["resources"] != ["nodes"]])
        self.addCleanup(self.put_role, role, role["rules"])
        self.cluster.add_pod("handfast-0")
        self.addCleanup(self.cluster.delete_pod, "handfast-0")
        pair = self.start_controller("--disable-leader-election")
        told = eventually(lambda: pair.controller.logged(
            message="it isn't known where Ingresses are reached"), "the warning", patience=60)
        self.assertIn("GET /api/v1/nodes/node-1 answered 403", json.dumps(told))

    def test_rule_that_is_removed_while_it_runs_is_told_and_serving_goes_on(self):
        backend = self.use(Backend(address="0.0.0.0"))
        self.cluster.apply(manifests.service(self.name, backend.port), self.plain_ingress())
        self.wait_for(200)
        role = self.role()
        self.put_role(role, [rule for rule in role["rules"]
                             if "ingresses" not in rule["resources"]])
        self.addCleanup(self.put_role, role, role["rules"])
        self.cluster.restart_apiserver()  # permissions are asked for when a watch begins

        eventually(lambda: [line for line in self.pair.findings(reason="not_permitted")
                            if "ingresses" in json.dumps(line)], "a finding", patience=60)
        self.assertEqual(self.get().status, 200)
        self.assertTrue(self.pair.is_ready())

        self.put_role(role, role["rules"])
        self.cluster.apply(manifests.ingress(f"{self.name}-b", f"b.{self.host}",
                                             service=self.name))
        self.pair.wait_for(f"b.{self.host}", 200, patience=60)

    def test_token_that_is_revoked_is_told_and_a_new_one_is_taken(self):
        backend = self.use(Backend(address="0.0.0.0"))
        self.cluster.apply(manifests.service(self.name, backend.port), self.plain_ingress())
        self.wait_for(200)
        account = {"apiVersion": "v1", "kind": "ServiceAccount",
                   "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}}
        self.cluster.delete(account)
        self.cluster.apply(account)  # another one, by its uid
        self.cluster.restart_apiserver()

        eventually(lambda: [line for line in self.pair.findings(reason="not_permitted")
                            if "credentials" in json.dumps(line)], "a finding", patience=60)
        self.assertEqual(self.get().status, 200)

        self.cluster.write_token(self.cluster.folder / f"{type(self).__name__}.kubeconfig.token")
        self.cluster.apply(manifests.ingress(f"{self.name}-b", f"b.{self.host}",
                                             service=self.name))
        self.pair.wait_for(f"b.{self.host}", 200, patience=60)


class Kinds(RbacCase):
    """Definitions that come and go."""

    def test_definition_that_appears_counts_and_one_that_vanishes_is_no_error(self):
        leaf = self.server()
        backend = self.use(Backend(leaf, address="0.0.0.0"))
        self.cluster.kubectl("delete", "crd", "upstreamtlspolicies.handfast.dev",
                             "--ignore-not-found")
        self.pair.close()
        type(self).pair = ClusterPair(self.pair.kubeconfig).start()
        self.assertEqual(self.pair.findings(severity="error"), [])
        self.cluster.apply(manifests.service(self.name, backend.port), self.plain_ingress(),
                           manifests.config_map(f"{self.name}-ca", ca_crt=self.ca.cert_pem))
        self.wait_for(502)  # plain HTTP to a TLS backend

        self.cluster.install("crds")
        policy = manifests.upstream_tls_policy(
            self.name, self.name, mode="ServerOnly",
            ca=[manifests.material_ref("ConfigMap", f"{self.name}-ca")])

        def apply():
            self.cluster.apply(policy)
            return True

        eventually(apply, "the new kind")
        self.wait_for(200, patience=60)

        self.cluster.kubectl("delete", "crd", "upstreamtlspolicies.handfast.dev")
        self.wait_for(502, patience=60)
        self.cluster.install("crds")

    def test_definition_of_the_future_does_not_pass_for_none(self):
        self.cluster.kubectl("delete", "crd", "upstreamtlspolicies.handfast.dev",
                             "--ignore-not-found")

        def install_the_future():
            self.cluster.apply(manifests.crd("UpstreamTLSPolicy", "upstreamtlspolicies", "handfast.dev", "v9"))
            found = self.cluster.request("GET", "/apis/handfast.dev/v9")
            return any(one["name"] == "upstreamtlspolicies" for one in found["resources"])

        eventually(install_the_future, "the definition of the future")
        pair = ClusterPair(self.pair.kubeconfig)
        self.addCleanup(pair.close)
        pair.start_controller()
        eventually(pair.state.exists, "the state directory")
        pair.start_proxy()
        try:
            found = eventually(lambda: pair.findings(reason="unsupported", severity="error") or
                               pair.findings(reason="unsupported"), "a finding")
            self.assertIn("v9", json.dumps(found))
            self.assertFalse(pair.is_ready())
        finally:
            self.cluster.kubectl("delete", "crd", "upstreamtlspolicies.handfast.dev")
            self.cluster.install("crds")
        eventually(pair.is_ready, "readiness", patience=90)


class SomeNamespaces(RbacCase):
    """--watch-namespace, by Roles alone."""

    controller_flags = ("--watch-namespace", "shop,blog", "--default-ssl-certificate",
                        "ops/default-cert")

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.kubectl("delete", "clusterrolebinding", ACCOUNT, "--ignore-not-found")
        for name in ("shop", "blog", "ops", "other"):
            cls.cluster.namespace(name)
        for name in ("shop", "blog"):
            cls.cluster.kubectl("-n", name, "apply", "-f",
                                str(ROOT / "manifests/rbac-namespace.yaml"))
        meta = {"name": ACCOUNT, "namespace": "ops"}
        cls.cluster.apply(
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta,
             "rules": [{"apiGroups": [""], "resources": ["secrets"],
                        "resourceNames": ["default-cert"], "verbs": ["get", "list", "watch"]}]},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
             "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}]})
        cls.front = cls.ca.server("default.test")
        cls.cluster.apply(manifests.secret("default-cert", namespace="ops",
                                           tls_crt=cls.front.chain_pem,
                                           tls_key=cls.front.key_pem))

    def test_roles_are_enough_and_other_namespaces_are_not_served(self):
        backend = self.use(Backend(address="0.0.0.0"))
        for ns in ("shop", "blog", "other"):
            self.cluster.apply(
                manifests.ingress(self.name, f"{ns}.{self.host}", namespace=ns),
                *manifests.service(self.name, backend.port, namespace=ns))
        for ns in ("shop", "blog"):
            self.pair.wait_for(f"{ns}.{self.host}", 200)
        self.assertEqual(self.pair.get(f"other.{self.host}").status, 404)
        self.assertEqual(self.pair.findings(reason="not_permitted"), [])


class Selector(RbacCase):
    """--watch-namespace-selector."""

    controller_flags = ("--watch-namespace-selector", "handfast in (yes)")

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.cluster.install("rbac.yaml")
        role = cls.cluster.request("GET", cls.cluster.path_of(
            {"kind": "ClusterRole", "metadata": {"name": ACCOUNT}}))
        role["rules"].append({"apiGroups": [""], "resources": ["namespaces"],
                              "verbs": ["list", "watch"]})
        cls.cluster.request("PUT", cls.cluster.path_of(role), role)

    def test_namespace_that_gets_the_label_is_served_and_one_that_loses_it_is_not(self):
        backend = self.use(Backend(address="0.0.0.0"))
        self.cluster.namespace(self.name)
        self.cluster.apply(manifests.ingress(self.name, self.host, namespace=self.name),
                           *manifests.service(self.name, backend.port, namespace=self.name))
        self.wait_for(404)

        self.cluster.namespace(self.name, handfast="yes")
        self.wait_for(200)
        self.cluster.namespace(self.name, handfast="no")
        self.wait_for(404)


POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy",
          "rules": [{"level": "Metadata"}], "omitStages": ["RequestReceived"]}


class Audit(unittest.TestCase):
    """What the server says was asked for, beside what the Role permits."""

    def test_what_is_permitted_is_used_and_nothing_else_is_asked_for(self):
        used = collections.Counter()
        # With WatchList a watch is enough; servers without it are listed.
        for number, more in enumerate(((), ("--feature-gates=WatchList=false",))):
            used.update(self.run_once(*more))
        with open(ROOT / "manifests/rbac.yaml", encoding="utf-8") as file:
            text = file.read()
        permitted = set()
        for rule in self.rules(text):
            permitted |= {(verb, resource) for verb in rule["verbs"]
                          for resource in rule["resources"]}
        self.assertEqual(set(used) - permitted, set(), "asked for without a permission")
        self.assertEqual(permitted - set(used), set(), "permitted and never asked for")

    @staticmethod
    def rules(text):
        """Of all Roles; the file has them on lines of this form."""
        rules, current = [], None
        for line in text.splitlines():
            name, _, value = line.strip().lstrip("- ").partition(": ")
            items = [one.strip().strip('"') for one in value.strip("[]").split(",")]
            if line.startswith("  - apiGroups:"):
                current = {}
                rules.append(current)
            elif current is not None and name in ("resources", "verbs"):
                current[name] = items
        return rules

    @staticmethod
    def let_it_write(case):
        """Statuses, an Event, the Lease, and looks for a replica that isn't there and for nodes."""
        policy = f"/apis/handfast.dev/v1alpha1/namespaces/shop/upstreamtlspolicies/{case.name}"
        case.cluster.request("PATCH", f"{policy}/status?fieldManager=gone&force=true", {
            "apiVersion": "handfast.dev/v1alpha1", "kind": "UpstreamTLSPolicy",
            "metadata": {"namespace": "shop", "name": case.name},
            "status": {"replicas": [{"pod": "gone"}]}}, content_type="application/apply-patch+yaml")
        case.cluster.apply(manifests.ingress(f"{case.name}-b", f"b.{case.host}", service="nowhere"))
        eventually(lambda: case.cluster.request(
            "GET", "/apis/events.k8s.io/v1/namespaces/shop/events")["items"], "an Event")
        lease = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/ingress-controller-leader"
        first = case.cluster.request("GET", lease)["spec"]["renewTime"]
        eventually(lambda: case.cluster.request("GET", lease)["spec"]["renewTime"] != first,
                   "a renewal")
        ingress = case.cluster.path_of(case.plain_ingress())
        eventually(lambda: case.cluster.request("GET", ingress)["status"]["loadBalancer"],
                   "an address", patience=90)
        other = manifests.backend_tls_policy(f"{case.name}-b", case.name, [
            manifests.material_ref("ConfigMap", f"{case.name}-ca")])
        case.cluster.apply(other)
        eventually(lambda: case.cluster.request("GET", case.cluster.path_of(other))["status"],
                   "an entry of its ancestors", patience=60)

    def run_once(self, *flags):
        """Answers what the controller's account asked for."""
        with tempfile.TemporaryDirectory() as folder:
            policy, log = f"{folder}/policy.yaml", f"{folder}/audit.log"
            with open(policy, "w", encoding="utf-8") as file:
                json.dump(POLICY, file)

            class Once(KubeCase):
                cluster_flags = (
                    "--audit-policy-file", policy, "--audit-log-path", log,
                    "--runtime-config=certificates.k8s.io/v1beta1/clustertrustbundles=true",
                    "--feature-gates=ClusterTrustBundle=true", *flags)

                @classmethod
                def prepare(cls):
                    super().prepare()
                    cls.cluster.apply(manifests.backend_tls_policy_crd(),
                                      manifests.crd(*GATEWAY_KINDS[1]))
                    cls.cluster.add_node("node-1", ExternalIP="203.0.113.7")
                    cls.cluster.add_pod("handfast-0")

                controller_flags = ("--election-ttl", "4s")

                def runTest(self):  # noqa: N802, unittest's name
                    pass

            if len(flags) == 1:  # one flag, given once
                Once.cluster_flags = tuple(
                    f"{one},{flags[0].split('=', 1)[1]}" if one.startswith("--feature-gates")
                    else one for one in Once.cluster_flags[:-1])
            Once.setUpClass()
            try:
                case = Once()
                case.setUp()
                leaf, client = case.server(), case.ca.client()
                with Backend(leaf, client_ca=case.ca.cert_pem, address="0.0.0.0") as backend:
                    case.cluster.apply(*case.policy_objects(client, backend.port))
                    case.wait_for(200)
                    self.let_it_write(case)
                Once.cluster.stop_apiserver(signal.SIGTERM)  # the log is written to its end
                with open(log, encoding="utf-8") as file:
                    events = [json.loads(line) for line in file]
            finally:
                Once.tearDownClass()
        user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
        mine = [one for one in events if one["user"]["username"] == user]
        self.assertTrue(mine)
        for one in mine:
            code = one.get("responseStatus", {}).get("code", 200)
            self.assertNotIn(code, (401, 403), one)
        return {(one["verb"], "/".join(one["objectRef"][key] for key in ("resource", "subresource")
                                       if key in one["objectRef"])) for one in mine}


if __name__ == "__main__":
    cluster.skip_without_programs()
    unittest.main()

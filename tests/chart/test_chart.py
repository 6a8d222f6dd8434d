"""What the chart renders: whole objects for a few releases, and what must hold for each of them."""

import difflib
import os
import re
import subprocess
import unittest

import chart
from chart import Objects, flags

chart.skip_without("helm")

CASES = chart.ROOT / "tests/chart/cases"

# Flags of handfast-controller that its --help doesn't print yet, and that the chart leaves out.
MISSING = set(re.search(r'define "handfast.missingFlags" -}}(.*?){{', (
    chart.CHART / "templates/_args.tpl").read_text(), re.DOTALL)[1].split())

EVERYTHING = {
    "controller": {
        "autoscaling": {"enabled": True}, "networkPolicy": {"enabled": True},
        "watchIngressWithoutClass": True, "ingressClassByName": True, "electionTTL": "30s",
        "disableLeaderElection": True,
        "scope": {"namespaceSelector": "team=shop"},
        "metrics": {"enabled": True, "compatibility": "ingress-nginx",
                    "serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True},
                    "dashboards": {"enabled": True}},
        "service": {"internal": {"enabled": True, "annotations": {"cloud": "internal"}}},
        "admissionWebhooks": {"enabled": True, "certManager": {"enabled": True}},
        "config": {"use-proxy-protocol": "true", "use-forwarded-headers": "true",
                   "proxy-real-ip-cidr": "10.0.0.0/8", "keep-alive": 75, "worker-processes": 2,
                   "keep-alive-requests": 100, "max-worker-connections": 16384,
                   "client-header-timeout": 60, "client-body-timeout": 60,
                   "upstream-keepalive-timeout": 60, "compute-full-forwarded-for": True,
                   "disable-access-log": True}},
    "upstreamTLS": {"minimum": ["shop-*=mutual,crl", "server"], "defaultCA": "system",
                    "allowInsecure": ["dev/*"], "audit": ["shop/*@2027-01-31"]},
    "tcp": {"9000": "shop/orders:9000"},
}


class Golden(unittest.TestCase):
    """tests/chart/cases: HANDFAST_UPDATE=1 writes what is expected anew."""

    maxDiff = None

    def test_each_case_renders_what_its_file_says(self):
        for case in sorted(CASES.iterdir()):
            with self.subTest(case.name):
                text = chart.template(None, "--values", case / "values.yaml")
                expected = case / "expected.yaml"
                if os.environ.get("HANDFAST_UPDATE"):
                    expected.write_text(text)
                difference = "\n".join(difflib.unified_diff(
                    expected.read_text().splitlines(), text.splitlines(), "expected", "rendered",
                    lineterm=""))
                self.assertEqual(difference, "")


class Chart(unittest.TestCase):
    def test_lint_finds_nothing(self):
        for case in (None, *sorted(CASES.iterdir())):
            with self.subTest(case and case.name):
                values = ["--values", case / "values.yaml"] if case else []
                done = chart.helm("lint", "--strict", chart.CHART, *values)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_definitions_are_those_of_the_manifests(self):
        original = {one.name: one.read_bytes()
                    for one in (chart.ROOT / "manifests/crds").glob("*.yaml")}
        ours = {one.name: one.read_bytes() for one in (chart.CHART / "crds").glob("*.yaml")}
        self.assertTrue(original)
        self.assertEqual(ours, original)

    def test_every_flag_is_one_that_the_program_knows(self):
        objects = Objects.of(EVERYTHING)
        known = {}
        for program in ("handfast-controller", "handfast-proxy"):
            if not (chart.BIN / program).exists():
                self.skipTest(f"{program} isn't built")
            known[program] = subprocess.run([chart.BIN / program, "--help"], capture_output=True,
                                            text=True, timeout=30, check=True).stdout.split()
        unknown = [f"--{flag}" for container in (objects.controller, objects.proxy)
                   for flag, _ in flags(container)
                   if f"--{flag}" not in known[container["command"][0]]]
        self.assertEqual(unknown, [])

    def test_no_flag_is_left_out_that_is_known(self):
        program = chart.BIN / "handfast-controller"
        if not program.exists():
            self.skipTest("handfast-controller isn't built")
        known = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=30,
                               check=True).stdout.split()
        self.assertEqual([flag for flag in MISSING if f"--{flag}" in known], [])


class Pod(unittest.TestCase):
    RELEASES = ({}, EVERYTHING, {"controller": {"kind": "DaemonSet", "hostPort": {"enabled": True}}})

    def each(self):
        for values in self.RELEASES:
            objects = Objects.of(values)
            for container in (objects.controller, objects.proxy):
                yield objects, container

    def test_controller_starts_before_the_proxy_and_ends_after_it(self):
        objects = Objects.of()

        self.assertEqual(objects.controller["restartPolicy"], "Always")
        self.assertEqual([one["name"] for one in objects.pod["containers"]], ["proxy"])

    def test_only_the_controller_has_a_token(self):
        objects = Objects.of(EVERYTHING)

        self.assertIs(objects.pod["automountServiceAccountToken"], False)
        self.assertIs(objects.get("ServiceAccount")["automountServiceAccountToken"], False)
        tokens = {one["name"] for one in objects.pod["volumes"]
                  if any("serviceAccountToken" in source
                         for source in one.get("projected", {}).get("sources", []))}
        self.assertEqual(tokens, {"token"})
        mounts = {container["name"]: {one["name"] for one in container["volumeMounts"]}
                  for container in (objects.controller, objects.proxy)}
        self.assertIn("token", mounts["controller"])
        self.assertNotIn("token", mounts["proxy"])

    def test_proxy_reads_the_state_and_writes_only_socket_and_bodies(self):
        objects = Objects.of(EVERYTHING)

        writable = {one["name"] for one in objects.proxy["volumeMounts"] if not one.get("readOnly")}
        self.assertEqual(writable, {"control", "temp"})
        volumes = {one["name"]: one for one in objects.pod["volumes"]}
        for name in ("state", "control"):
            self.assertEqual(volumes[name]["emptyDir"]["medium"], "Memory")
            self.assertIn("sizeLimit", volumes[name]["emptyDir"])

    def test_both_containers_agree_on_state_and_socket(self):
        for objects, _ in self.each():
            controller, proxy = dict(flags(objects.controller)), dict(flags(objects.proxy))
            for flag in ("state-dir", "control"):
                self.assertEqual(controller[flag], proxy[flag])

    def test_pod_security_is_restricted(self):
        for objects, container in self.each():
            pod = objects.pod["securityContext"]
            self.assertEqual((pod["runAsNonRoot"], pod["runAsUser"]), (True, 65532))
            self.assertEqual(pod["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertEqual(container["securityContext"],
                             {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                              "capabilities": {"drop": ["ALL"]}})

    def test_drain_leaves_time_before_the_grace_period_ends(self):
        for grace, delay in ((300, "10s"), (30, "5s"), (10, "10s")):
            objects = Objects.of({"controller": {"terminationGracePeriodSeconds": grace},
                                  "proxy": {"shutdownDelay": delay}})
            drain = int(dict(flags(objects.proxy))["drain-timeout"].rstrip("s"))
            self.assertEqual(drain, max(1, grace - int(delay.rstrip("s")) - 10))

    def test_low_ports_need_no_capability(self):
        low = {"controller": {"containerPort": {"http": 80, "https": 443}}}
        sysctls = Objects.of(low).pod["securityContext"]["sysctls"]
        self.assertEqual(sysctls, [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}])
        self.assertNotIn("sysctls", Objects.of().pod["securityContext"])

        low["controller"]["hostNetwork"] = True
        with self.assertRaisesRegex(RuntimeError, "below 1024"):
            Objects.of(low)

    def test_second_family_is_listened_on_where_the_service_has_it(self):
        dual = Objects.of({"controller": {"service": {"ipFamilyPolicy": "PreferDualStack"}}})
        self.assertEqual(dict(flags(dual.proxy))["http"], "0.0.0.0:8080,[::]:8080")
        self.assertEqual(dict(flags(Objects.of().proxy))["http"], "0.0.0.0:8080")


class Access(unittest.TestCase):
    """What the controller may do; never more than it needs."""

    WRITES = {("networking.k8s.io", "ingresses/status"), ("handfast.dev", "upstreamtlspolicies/status"),
              ("gateway.networking.k8s.io", "backendtlspolicies/status"),
              ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")}

    @staticmethod
    def rules(objects):
        return [rule for one in objects.all if one["kind"] in ("Role", "ClusterRole")
                for rule in one["rules"]]

    def test_writes_are_status_events_and_the_lease(self):
        for values in ({}, EVERYTHING, NAMESPACED):
            written = {(group, resource) for rule in self.rules(Objects.of(values))
                       if set(rule["verbs"]) - {"get", "list", "watch"}
                       for group in rule["apiGroups"] for resource in rule["resources"]}
            self.assertEqual(written, self.WRITES)

    def test_nothing_is_deleted_and_no_verb_is_a_wildcard(self):
        for rule in self.rules(Objects.of(EVERYTHING)):
            self.assertLessEqual(set(rule["verbs"]),
                                 {"get", "list", "watch", "create", "update", "patch"})
            self.assertNotIn("*", rule["resources"] + rule["apiGroups"])

    def test_nodes_are_read_only_where_their_addresses_are_published(self):
        nodes = {"publishService": {"enabled": False}}
        for controller, expected in (({}, (False, False)), (nodes, (True, True)),
                                     ({**nodes, "reportNodeInternalIp": True}, (False, True)),
                                     ({**nodes, "extraArgs": {"update-status": "false"}},
                                      (False, False))):
            rules = self.rules(Objects.of({"controller": controller}))
            found = (any(rule["resources"] == ["nodes"] for rule in rules),
                     any(rule["resources"] == ["pods"] and "list" in rule["verbs"]
                         for rule in rules))
            self.assertEqual(found, expected, controller)

    def test_lease_is_named(self):
        rules = [rule for rule in self.rules(Objects.of()) if "leases" in rule["resources"]]
        self.assertEqual([(rule.get("resourceNames"), rule["verbs"]) for rule in rules],
                         [(["handfast-leader"], ["get", "patch"]), (None, ["create"])])

    def test_namespaced_release_has_nothing_of_the_cluster(self):
        objects = Objects.of(NAMESPACED)
        self.assertEqual(objects.names("ClusterRole") + objects.names("ClusterRoleBinding"), [])
        self.assertEqual({one["metadata"]["namespace"] for one in objects.all
                          if one["kind"] == "Role"}, {"handfast", "shop"})
        self.assertEqual(dict(flags(objects.controller))["watch-namespace"], "shop")
        with self.assertRaisesRegex(RuntimeError, "controller.scope.enabled"):
            Objects.of({"rbac": {"scope": True}})


NAMESPACED = {"rbac": {"scope": True},
              "controller": {"scope": {"enabled": True, "namespace": "shop"}}}


class Optional(unittest.TestCase):
    def test_default_release_has_what_it_needs_and_no_more(self):
        kinds = sorted({one["kind"] for one in Objects.of().all})
        self.assertEqual(kinds, ["ClusterRole", "ClusterRoleBinding", "ConfigMap", "Deployment",
                                 "IngressClass", "Lease", "PodDisruptionBudget", "Role",
                                 "RoleBinding", "Service", "ServiceAccount"])

    def test_lease_is_the_one_that_the_controllers_take(self):
        for values, name in (({}, "handfast-leader"),
                             ({"controller": {"electionID": "mine"}}, "mine")):
            objects = Objects.of(values)
            self.assertEqual(objects.names("Lease"), [name])
            self.assertEqual(dict(flags(objects.controller))["election-id"], name)
        alone = Objects.of({"controller": {"disableLeaderElection": True}})
        self.assertEqual(alone.names("Lease"), [])

    def test_everything_renders(self):
        objects = Objects.of(EVERYTHING)
        for kind, name in (("HorizontalPodAutoscaler", "handfast"), ("NetworkPolicy", "handfast"),
                           ("ServiceMonitor", "handfast"), ("PrometheusRule", "handfast"),
                           ("ConfigMap", "handfast-dashboards"), ("ConfigMap", "handfast-tcp"),
                           ("Service", "handfast-internal"), ("Service", "handfast-metrics"),
                           ("Certificate", "handfast-admission"),
                           ("ValidatingWebhookConfiguration", "handfast-admission")):
            objects.get(kind, name)

    def test_webhook_without_cert_manager_has_a_certificate_that_its_bundle_vouches_for(self):
        objects = Objects.of({"controller": {"admissionWebhooks": {"enabled": True}}})
        hook = objects.get("ValidatingWebhookConfiguration", "handfast-admission")["webhooks"][0]
        secret = objects.get("Secret", "handfast-admission")
        self.assertEqual(hook["clientConfig"]["caBundle"], secret["data"]["ca.crt"])
        if "validating-webhook" not in MISSING:
            self.assertEqual(dict(flags(objects.controller))["validating-webhook-certificate"],
                             "/etc/handfast/webhook/tls.crt")

    def test_network_policy_names_no_port_of_a_sidecar(self):
        policy = Objects.of({"controller": {"networkPolicy": {"enabled": True},
                                            "admissionWebhooks": {"enabled": True}}}).get(
                                                "NetworkPolicy")
        ports = [one["port"] for rule in policy["spec"]["ingress"] for one in rule["ports"]]
        self.assertEqual(ports, [8080, 8443, 9443, 10264, 10254])

    def test_webhook_lets_ingresses_of_other_classes_pass(self):
        def expression(**controller):
            values = {"controller": {"admissionWebhooks": {"enabled": True}, **controller}}
            hook = Objects.of(values).get("ValidatingWebhookConfiguration", "handfast-admission")
            conditions = hook["webhooks"][0]["matchConditions"]
            self.assertEqual([one["name"] for one in conditions], ["our-class"])
            return conditions[0]["expression"]
        self.assertIn("object.spec.ingressClassName in [\"handfast\"]", expression())
        self.assertTrue(expression().endswith(": false)"), expression())
        several = expression(ingressClass="old", watchIngressWithoutClass=True,
                             ingressClassResource={"name": "edge", "aliases": ["nginx"]})
        self.assertIn("in [\"edge\",\"nginx\"]", several)
        self.assertIn("== \"old\"", several)
        self.assertTrue(several.endswith(": true)"), several)

    def test_one_replica_has_no_disruption_budget_and_autoscaling_no_count(self):
        one = Objects.of({"controller": {"replicaCount": 1}})
        self.assertEqual(one.names("PodDisruptionBudget"), [])
        scaled = Objects.of({"controller": {"autoscaling": {"enabled": True}}})
        self.assertNotIn("replicas", scaled.get("Deployment")["spec"])

    def test_everything_lies_in_the_namespace_that_is_asked_for(self):
        cluster = {"ClusterRole", "ClusterRoleBinding", "IngressClass",
                   "ValidatingWebhookConfiguration"}
        for one in Objects.of({**EVERYTHING, "namespaceOverride": "edge"}).all:
            if one["kind"] not in cluster:
                self.assertEqual(one["metadata"]["namespace"], "edge", one["kind"])

    def test_names_follow_the_release(self):
        self.assertEqual(Objects.of(release="edge").names("Service"), ["edge-handfast"])
        self.assertEqual(Objects.of({"fullnameOverride": "edge"}).names("Service"), ["edge"])


if __name__ == "__main__":
    unittest.main()

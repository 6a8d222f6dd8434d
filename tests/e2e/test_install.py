"""`helm install`, the first requests, what the image is, and that nothing is left in the end."""

import json
import re

import case
import examples
import kube
from kube import eventually, kubectl


class FirstRequests(case.ReleaseCase):
    def setUp(self):
        self.folder = examples.Folder()
        self.addCleanup(self.folder.close)

    def test_request_from_another_pod_reaches_a_backend_by_mutual_tls(self):
        script = examples.commands("mtls")[0].partition("curl")[0]
        self.folder.run(script)
        kube.rollout("deploy/orders", "shop")

        answer = self.client.wait_for("orders.example", 200)

        self.assertEqual(answer.text, "hello, CN=orders-client\n")
        self.assertEqual(self.client.get("nobody.example").status, 404)

    def test_address_of_the_load_balancer_leads_in_and_is_the_status(self):
        kube.apply(json.loads(kubectl("create", "ingress", "plain", "-n", "shop", "--class=handfast",
                                      "--rule=plain.example/*=orders:443", "--dry-run=client",
                                      "-o", "json")))
        address = examples.address()

        eventually(lambda: kube.get("ingress", "plain", "shop")["status"]["loadBalancer"][
            "ingress"] == [{"ip": address}], "the Ingress's status")
        self.assertEqual(self.client.get("nobody.example", to=address).status, 404)

    def test_notes_tell_commands_that_work(self):
        for command in re.findall(r"^  (kubectl .*[^&])$", self.notes, re.MULTILINE):
            self.folder.run(command)

    def test_programs_tell_no_error_and_never_start_again(self):
        for container in ("controller", "proxy"):
            for pod in kube.names(case.OURS):
                log = kubectl("-n", "handfast", "logs", pod, "-c", container)
                lines = [json.loads(line) for line in log.splitlines()]
                self.assertEqual([line for line in lines if line.get("level") == "error"
                                  and line["message"] != "finding"], [])
        restarts = [status["restartCount"] for pod in kube.pods(case.OURS)
                    for status in pod["status"]["containerStatuses"]]
        self.assertEqual(set(restarts), {0})


class OnTheNodes(case.ServedCase):
    """A pod on each node, on its ports: no Service, no load balancer."""

    values = {"controller": {"kind": "DaemonSet", "hostPort": {"enabled": True},
                             "service": {"enabled": False}}}
    # Ports of the node are beyond what the other levels allow.
    level = "privileged"

    @classmethod
    def address(cls):
        return next(one["address"] for one in kube.get("node", "node", None)["status"]["addresses"]
                    if one["type"] == "InternalIP")

    @classmethod
    def wait_for_requests(cls):
        cls.client.wait_for(cls.host, 200, to=cls.address())

    def test_ports_of_the_node_lead_in_and_its_address_is_the_status(self):
        eventually(lambda: kube.get("ingress", "orders", "shop")["status"]["loadBalancer"][
            "ingress"] == [{"ip": self.address()}], "the Ingress's status")
        self.assertEqual(self.client.get(self.host, to=self.address()).status, 200)
        self.assertEqual(self.client.get("nobody.example", to=self.address(), scheme="https",
                                         curl=["-k"]).status, 404)
        self.assertEqual(kubectl("-n", "handfast", "get", "services", "-o", "name"), "")

    def test_restart_leaves_no_node_without_a_pod_for_longer_than_it_takes(self):
        before = kube.names(case.OURS)

        kubectl("-n", "handfast", "rollout", "restart", "daemonset/handfast")
        kube.rollout("daemonset/handfast")

        self.assertEqual(before & kube.names(case.OURS), set())
        self.wait_for_requests()


class Image(case.ReleaseCase):
    values = {"controller": {"replicaCount": 1}}

    def in_proxy(self, *command):
        return kubectl("-n", "handfast", "exec", "deploy/handfast", "-c", "proxy", "--", *command)

    def test_it_is_small_and_not_of_root(self):
        image = json.loads((kube.RUN / "image.json").read_text())

        self.assertLess(image["beyond_base"], 60e6)
        self.assertEqual(image["config"]["User"], "65532:65532")
        labels = image["config"]["Labels"]
        self.assertEqual(labels["org.opencontainers.image.licenses"], "Apache-2.0")
        self.assertEqual(self.in_proxy("id", "-u").strip(), "65532")

    def test_it_has_the_programs_and_no_compiler(self):
        for program in ("handfast", "handfast-controller", "handfast-proxy"):
            self.assertIn("0.1.0", self.in_proxy(program, "--version"))
        for tool in ("gcc", "g++", "cmake", "curl", "python3"):
            with self.assertRaises(kube.Refused):
                self.in_proxy("sh", "-c", f"command -v {tool}")

    def test_its_list_of_packages_is_complete(self):
        listed = json.loads(self.in_proxy("cat", "/usr/share/doc/handfast/sbom.spdx.json"))
        installed = self.in_proxy("dpkg-query", "-W", "-f", "${Package} ${Version}\n")

        self.assertEqual(listed["spdxVersion"], "SPDX-2.3")
        self.assertEqual({f"{one['name']} {one['versionInfo']}" for one in listed["packages"]}
                         - {"handfast 0.1.0"}, set(installed.splitlines()))


class Uninstall(case.ReleaseCase):
    values = {"controller": {"admissionWebhooks": {"enabled": True},
                             "metrics": {"enabled": True, "dashboards": {"enabled": True}},
                             "networkPolicy": {"enabled": True}}}

    def test_nothing_is_left_but_the_definitions(self):
        eventually(lambda: kube.get("lease", "handfast-leader")["spec"]["holderIdentity"],
                   "a leader")

        kube.helm("uninstall", "handfast", "--wait")

        left = case.leftovers() - self.before
        own = {("Namespace", "", "handfast"), ("Namespace", "", "shop"),
               *((kind, namespace, name) for namespace in ("handfast", "shop")
                 for kind, name in (("ConfigMap", "kube-root-ca.crt"),
                                    ("ServiceAccount", "default")))}
        self.assertEqual({one for one in left - own if one[0] != "CustomResourceDefinition"}, set())
        eventually(lambda: not kube.get("pods")["items"], "no pod", patience=60)

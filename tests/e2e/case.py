"""The base of the tests: a release of the chart for each class, the namespace `shop` for apps, and a pod
that is the client. What a class installs goes with it, and nothing is left."""

import json
import subprocess
import time
import unittest

import kube
from kube import eventually, kubectl
from harness import manifests
from harness.pki import Authority

TOOLS = "handfast-e2e/tools:1"
OURS = "app.kubernetes.io/instance=handfast"
RESTRICTED = {"runAsNonRoot": True, "runAsUser": 65534, "fsGroup": 65534,
              "seccompProfile": {"type": "RuntimeDefault"}}


class Answer:
    """Of curl, asked in the client's pod."""

    def __init__(self, text):
        self.text, _, numbers = text.rpartition("\n")
        self.status = int(numbers)


class Client:
    """A pod that only sends requests."""

    namespace = "clients"

    def start(self):
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}},
                   pod("client", self.namespace, command=["sleep", "infinity"]))
        kubectl("-n", self.namespace, "wait", "--for=condition=Ready", "pod/client",
                "--timeout=60s")
        self.write("/tmp/load.py", (kube.ROOT / "tests/e2e/load.py").read_text())

    def call(self, *command, **options):
        stdin = ["-i"] if "stdin" in options else []
        return kubectl("-n", self.namespace, "exec", *stdin, "client", "--", *command, **options)

    def write(self, path, text):
        self.call("sh", "-c", f"cat >{path}", stdin=text)

    def get(self, host, path="/", *, to="handfast.handfast.svc", scheme="http", curl=()):
        return Answer(self.call("curl", "-sS", "-m", "20", "-w", "\n%{http_code}", "-H",
                                f"Host: {host}", *curl, f"{scheme}://{to}{path}"))

    def wait_for(self, host, status, text="", **options):
        """Until it answers so."""
        def check():
            answer = self.get(host, **options)
            if answer.status != status or text not in answer.text:
                raise AssertionError(f"{answer.status}: {answer.text[:300]}")
            return answer

        return eventually(check, f"{host}: {status} {text}", patience=60, every=0.1)


def pod(name, namespace, *, image=TOOLS, command=None, labels=None, container=None,
        **spec):
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels or {"app": name}},
            "spec": {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
                     "securityContext": RESTRICTED, **spec, "containers": [{
                         "name": name, "image": image, **({"command": command} if command else {}),
                         "securityContext": {"allowPrivilegeEscalation": False,
                                             "capabilities": {"drop": ["ALL"]}},
                         **(container or {})}]}}


def nginx(name, port, locations, namespace="shop"):
    """A pod of nginx that shows the pair of the Secret `name`-server, and asks for a certificate of
    its ca.crt."""
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
         "data": {"default.conf": f"""
            server {{
              listen {port} ssl;
              ssl_certificate /tls/tls.crt;
              ssl_certificate_key /tls/tls.key;
              ssl_client_certificate /tls/ca.crt;
              ssl_verify_client on;
              {locations}
            }}"""}},
        pod(name, namespace, image="nginxinc/nginx-unprivileged:stable", volumes=[
            {"name": "config", "configMap": {"name": name}},
            {"name": "tls", "secret": {"secretName": f"{name}-server", "defaultMode": 0o440}}],
            container={"volumeMounts": [
                {"name": "config", "mountPath": "/etc/nginx/conf.d"},
                {"name": "tls", "mountPath": "/tls"}]})]


class ReleaseCase(unittest.TestCase):
    """`values` are of the release; `names` outside of `handfast` are told apart by `leftovers`."""

    values = {}
    level = "restricted"  # of Pod Security, where the release is
    client = Client()
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(cls.clean)
        if not kubectl("get", "namespace", "clients", "--ignore-not-found"):
            cls.client.start()
        cls.before = leftovers()
        for name, level in (("handfast", cls.level), ("shop", "baseline")):
            kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
                "pod-security.kubernetes.io/enforce": level}}})
        cls.install()

    @classmethod
    def install(cls):
        started = time.monotonic()
        cls.notes = kube.helm("install", "handfast", kube.CHART, "--wait", "--timeout", "180s",
                              values=cls.values)
        print(f"helm install --wait: {time.monotonic() - started:.1f} s", flush=True)

    @classmethod
    def clean(cls):
        kube.helm("uninstall", "handfast", "--ignore-not-found")
        kube.remove_namespace("shop")
        kube.remove_namespace("handfast")

    @classmethod
    def upgrade(cls, values):
        """Until its pods are those of the new values, and no other is there."""
        kube.helm("upgrade", "handfast", kube.CHART, "--wait", "--timeout", "180s", values=values)

    def use(self, *objects):
        """Applied, and deleted when the test ends."""
        self.addCleanup(kubectl, "delete", "--ignore-not-found", "--wait=false", "-f", "-",
                        stdin=manifests.dump(*objects))
        kube.apply(*objects)


class ServedCase(ReleaseCase):
    """With an app behind mutual TLS, orders.example: `/` tells which certificate of ours it has seen,
    `/slow` takes minutes."""

    host = "orders.example"

    @classmethod
    def install(cls):
        cls.ca = Authority("shop")
        cls.leaf = cls.ca.server("orders.shop.svc")
        config, one = nginx("orders", 8443, """
            location / { return 200 "serial $ssl_client_serial\\n"; }
            location /slow { limit_rate 20k; alias /usr/local/bin/kubectl; }""")
        kube.apply(
            manifests.secret("orders-server", tls_crt=cls.leaf.chain_pem, ca_crt=cls.ca.cert_pem,
                             tls_key=cls.leaf.key_pem),
            config, deployment(one, 2),
            {"apiVersion": "v1", "kind": "Service",
             "metadata": {"name": "orders", "namespace": "shop"},
             "spec": {"selector": {"app": "orders"},
                      "ports": [{"name": "https", "port": 443, "targetPort": 8443}]}},
            manifests.ingress("orders", cls.host, annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/orders-client"}))
        cls.show(cls.ca.client("handfast"))
        super().install()
        kube.rollout("deploy/orders", "shop")
        cls.wait_for_requests()

    @classmethod
    def wait_for_requests(cls):
        cls.client.wait_for(cls.host, 200)

    @classmethod
    def show(cls, leaf, revoked=()):
        """What we show the app, and which of its certificates are revoked."""
        kube.apply(manifests.secret("orders-client", tls_crt=leaf.chain_pem, tls_key=leaf.key_pem,
                                    ca_crt=cls.ca.cert_pem, ca_crl=cls.ca.crl(revoked)))
        cls.shown = leaf

    def assert_nothing_failed(self, seen):
        self.assertEqual(seen["failures"], [], f"of {seen['requests']} requests")
        self.assertGreater(seen["requests"], 30)
        print(f"{seen['requests']} requests over {seen['connections']} connections, ", end="")


def deployment(one, replicas):
    """Of a pod."""
    metadata = one["metadata"]
    spec = {key: value for key, value in one["spec"].items() if key != "restartPolicy"}
    return {"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "spec": {"replicas": replicas, "selector": {"matchLabels": metadata["labels"]},
                     "template": {"metadata": {"labels": metadata["labels"]}, "spec": spec}}}


def leftovers():
    """Everything of the cluster that a release may leave: (kind, namespace, name)."""
    kinds = ",".join(sorted(set(kubectl("api-resources", "--verbs=list,delete", "-o",
                                        "name").split())))
    passing = {"Event", "Pod", "EndpointSlice", "Endpoints", "ReplicaSet", "ControllerRevision",
               "PodMetrics"}
    found = json.loads(kubectl("get", kinds, "-A", "-o", "json"))["items"]
    return {(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
            for one in found if one["kind"] not in passing}


def state():
    """What a person would look at first."""
    words = []
    for command in (("get", "pods", "-A", "-o", "wide"),
                    ("get", "events", "-A", "--field-selector=type=Warning"),
                    ("-n", "handfast", "logs", "-l", OURS, "--all-containers", "--tail=10")):
        try:
            words.append(kubectl(*command))
        except kube.Refused as error:
            words.append(str(error))
    return "\n".join(words)


class Load:
    """Well-behaved clients in the client's pod, while something happens: load.py has their rules."""

    def __init__(self, host, *, keeping=8, fresh=4, rate=120, to="handfast.handfast.svc"):
        self._child = subprocess.Popen(
            ["kubectl", "-n", Client.namespace, "exec", "-i", "client", "--", "python3", "-u",
             "/tmp/load.py", to, "80", host, str(keeping), str(fresh), str(rate)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if "running" not in self._child.stdout.readline():
            self._child.kill()
            raise AssertionError("the load did not start")

    def stop(self):
        out, _ = self._child.communicate("stop\n", timeout=60)
        return json.loads(out.splitlines()[-1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()

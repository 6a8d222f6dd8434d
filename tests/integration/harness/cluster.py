"""A real Kubernetes API server with its etcd, on loopback, without nodes; and Handfast beside it,
under its own ServiceAccount and the rules that it is installed with.

The programs are those that `./dev kube` builds, or those in $KUBEBUILDER_ASSETS. Without them a test
file is skipped: exit code 77.
"""

import base64
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from . import manifests
from .backends import Backend
from .handfast import BIN, NO_LIMITS, ROOT, Pair, free_port
from .pki import Authority, Leaf, new_key
from .processes import Process
from .waiting import eventually

ACCOUNT = "handfast-controller"
NAMESPACE = "handfast"


def programs():
    """The folder of etcd, kube-apiserver and kubectl, or None."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(os.environ.get("KUBEBUILDER_ASSETS") or
                          pathlib.Path(cache) / "handfast/kube/bin")
    wanted = ("etcd", "kube-apiserver", "kubectl")
    return folder if all((folder / name).exists() for name in wanted) else None


def skip_without_programs():
    if programs() is None:
        print("skipped: no etcd, kube-apiserver and kubectl; ./dev kube builds them")
        sys.exit(77)


def own_address():
    """Of this machine, not of loopback: no API server takes an endpoint of that. No packet is
    sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return probe.getsockname()[0]


class ApiError(ValueError):
    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:500]}")
        self.status = status


# Where the kinds of the tests live, and by which path.
PATHS = {
    "Namespace": ("api/v1", "namespaces", False),
    "Secret": ("api/v1", "secrets", True),
    "ConfigMap": ("api/v1", "configmaps", True),
    "Service": ("api/v1", "services", True),
    "ServiceAccount": ("api/v1", "serviceaccounts", True),
    "Pod": ("api/v1", "pods", True),
    "Node": ("api/v1", "nodes", False),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices", True),
    "Ingress": ("apis/networking.k8s.io/v1", "ingresses", True),
    "IngressClass": ("apis/networking.k8s.io/v1", "ingressclasses", False),
    "UpstreamTLSPolicy": ("apis/handfast.dev/v1alpha1", "upstreamtlspolicies", True),
    "BackendTLSPolicy": ("apis/gateway.networking.k8s.io/v1", "backendtlspolicies", True),
    "ReferenceGrant": ("apis/gateway.networking.k8s.io/v1beta1", "referencegrants", True),
    "ClusterRole": ("apis/rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles", True),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings", True),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions",
                                 False),
    "ClusterTrustBundle": ("apis/certificates.k8s.io/v1beta1", "clustertrustbundles", False),
}


class Cluster:
    def __init__(self, *apiserver_flags):
        self.bin = programs()
        self._temporary = tempfile.TemporaryDirectory(prefix="handfast-kube-")
        self.folder = pathlib.Path(self._temporary.name)
        self.flags = apiserver_flags
        self.ca = Authority("kubernetes")
        (self.folder / "ca.crt").write_text(self.ca.cert_pem)
        (self.folder / "sa.key").write_text(Leaf(None, new_key("rsa2048")).key_pem)
        self.admin = self.ca.client("admin", organization="system:masters")
        self.admin.write(self.folder, "admin")
        self.renew_certificate()
        self.etcd = self.apiserver = None
        self._start_on_free_ports()
        self.kubeconfig = self.write_kubeconfig("admin.kubeconfig", {
            "client-certificate": str(self.folder / "admin.crt"),
            "client-key": str(self.folder / "admin.key")})
        self.host = own_address()

    def renew_certificate(self, ca=None):
        """The server's, for its next start: it reads the file again within a minute."""
        leaf = (ca or self.ca).issue("kube-apiserver", dns=("kubernetes.default.svc", "localhost"),
                                     ips=("127.0.0.1", "::1"))
        leaf.write(self.folder, "apiserver")

    # --- processes ------------------------------------------------------------------------------

    def _start_on_free_ports(self):
        for attempt in range(5):
            self.port, self.etcd_port, self.peer_port = free_port(), free_port(), free_port()
            try:
                self.start_etcd()
                self.start_apiserver()
                return
            except RuntimeError:  # somebody else has taken a port meanwhile
                self.stop()
                if attempt == 4:
                    raise

    def start_etcd(self):
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.etcd_port, self.peer_port))
        self.etcd = Process(
            [self.bin / "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync",
             "--log-level", "warn", "--listen-client-urls", client, "--advertise-client-urls",
             client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"default={peer}"], self.folder)

    def start_apiserver(self, wait=True):
        at = self.folder
        self.apiserver = Process(
            [self.bin / "kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{self.etcd_port}",
             "--bind-address", "127.0.0.1", "--secure-port", self.port, "--advertise-address",
             "127.0.0.1", "--endpoint-reconciler-type", "none", "--tls-cert-file",
             at / "apiserver.crt", "--tls-private-key-file", at / "apiserver.key",
             "--client-ca-file", at / "ca.crt", "--authorization-mode", "RBAC",
             "--service-account-issuer", "https://kubernetes.default.svc",
             "--service-account-key-file", at / "sa.key", "--service-account-signing-key-file",
             at / "sa.key", "--service-cluster-ip-range", "198.19.0.0/16",
             "--disable-admission-plugins", "ServiceAccount", "--profiling=false",
             "--shutdown-delay-duration", "0s", *self.flags], self.folder)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        def check():
            for process in (self.etcd, self.apiserver):
                if not process.is_running():
                    raise RuntimeError(process.tail())
            return self.request("GET", "/readyz", raw=True) == b"ok"

        eventually(check, "the API server's readiness", patience=90)

    def stop_apiserver(self, number=signal.SIGKILL):
        """At once, without a word to anybody, unless asked otherwise."""
        self.apiserver.signal(number)
        self.apiserver.wait(60)
        self.apiserver.kill()

    def restart_apiserver(self, pause=0.0):
        self.stop_apiserver()
        time.sleep(pause)
        self.start_apiserver()

    def compact(self):
        """Of etcd's history only the newest state is left."""
        found = self._etcd("kv/range", {"key": base64.b64encode(b"/").decode(), "limit": "1"})
        self._etcd("kv/compaction", {"revision": found["header"]["revision"], "physical": True})

    def _etcd(self, call, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.etcd_port, timeout=30)
        try:
            connection.request("POST", f"/v3/{call}", json.dumps(body))
            response = connection.getresponse()
            text = response.read().decode()
            if response.status != 200:
                raise ApiError(response.status, text)
            return json.loads(text)
        finally:
            connection.close()

    def stop(self):
        for process in (self.apiserver, self.etcd):
            if process is not None:
                process.signal(signal.SIGKILL)
                process.kill()

    def close(self):
        self.stop()
        self._temporary.cleanup()

    # --- objects --------------------------------------------------------------------------------

    def request(self, method, path, body=None, *, raw=False,
                content_type="application/json"):
        context = ssl.create_default_context(cafile=self.folder / "ca.crt")
        context.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context,
                                                 timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": content_type} if body is not None else {})
            response = connection.getresponse()
            text = response.read()
            if response.status >= 300:
                raise ApiError(response.status, text.decode(errors="replace"))
            return text if raw else json.loads(text)
        finally:
            connection.close()

    @staticmethod
    def path_of(one):
        base, plural, has_namespace = PATHS[one["kind"]]
        metadata = one["metadata"]
        middle = f"/namespaces/{metadata.get('namespace', 'default')}" if has_namespace else ""
        return f"/{base}{middle}/{plural}/{metadata['name']}"

    def apply(self, *objects):
        """Server-side apply, without the half second that kubectl takes."""
        for one in self.flat(objects):
            self.request("PATCH", self.path_of(one) + "?fieldManager=test&force=true", one,
                         content_type="application/apply-patch+yaml")

    def delete(self, *objects):
        for one in self.flat(objects):
            try:
                self.request("DELETE", self.path_of(one))
            except ApiError as error:
                if error.status != 404:
                    raise

    def flat(self, objects):
        """Endpoints on loopback, which no API server takes, become those of this machine."""
        for one in objects:
            if isinstance(one, list):
                yield from self.flat(one)
                continue
            if one["kind"] == "EndpointSlice":
                one = json.loads(json.dumps(one).replace('"127.0.0.1"', f'"{self.host}"'))
            yield one

    def namespace(self, name, **labels):
        self.apply({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": name, "labels": labels}})

    def set_status(self, one, status):
        """As whoever runs such objects would, in a cluster that has them."""
        self.request("PATCH", self.path_of(one) + "/status", {"status": status},
                     content_type="application/merge-patch+json")

    def add_node(self, name, **addresses):
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        self.apply(node)
        self.set_status(node, {"addresses": [{"type": kind, "address": address}
                                             for kind, address in addresses.items()]})

    def add_pod(self, name, node="node-1", *, ready=True, host_ip="10.0.0.1", **spec):
        """One of ours that nobody runs. On a port of its node, unless told otherwise."""
        spec.setdefault("containers", [{"name": "proxy", "image": "handfast", "ports": [
            {"containerPort": 443, "hostPort": 443}]}])
        pod = {"apiVersion": "v1", "kind": "Pod",
               "metadata": {"name": name, "namespace": NAMESPACE, "labels": {
                   "app": "handfast", "pod-template-hash": name}},
               "spec": {"nodeName": node, **spec}}
        self.apply(pod)
        self.set_status(pod, {"phase": "Running", "hostIP": host_ip, "conditions": [
            {"type": "Ready", "status": str(ready)}]})

    def delete_pod(self, name):
        """At once, as nobody is there who would end it."""
        self.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/{name}?gracePeriodSeconds=0")

    def kubectl(self, *arguments, stdin=None):
        done = subprocess.run([self.bin / "kubectl", "--kubeconfig", self.kubeconfig, *arguments],
                              input=stdin, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def kubectl_apply(self, *objects):
        return self.kubectl("apply", "-f", "-", stdin=manifests.dump(*self.flat(objects)))

    # --- accounts -------------------------------------------------------------------------------

    def install(self, *files):
        """The manifests that a cluster gets, from manifests/."""
        for file in files:
            self.kubectl("apply", "-f", str(ROOT / "manifests" / file))

    def token(self, account=ACCOUNT, namespace=NAMESPACE):
        return self.kubectl("-n", namespace, "create", "token", account).strip()

    def write_kubeconfig(self, file, user, server=None, server_name=None):
        place = self.folder / file
        place.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": server or f"https://127.0.0.1:{self.port}",
                **({"tls-server-name": server_name} if server_name else {}),
                "certificate-authority": str(self.folder / "ca.crt")}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
        return place

    def account_kubeconfig(self, file="controller.kubeconfig", **server):
        """With a token in a file beside it, as kubelet would keep it fresh."""
        token = self.folder / f"{file}.token"
        self.write_token(token)
        return self.write_kubeconfig(file, {"tokenFile": str(token)}, **server)

    def write_token(self, place, token=None):
        new = place.with_suffix(".new")
        new.write_text(token or self.token())
        new.rename(place)


class ClusterPair(Pair):
    """Controller and proxy over a cluster."""

    def __init__(self, kubeconfig, *controller_flags, workers=2, pod="handfast-0", prefix=()):
        """`prefix`: a command that runs the controller, elsewhere."""
        super().__init__(*controller_flags, workers=workers)
        self.kubeconfig = kubeconfig
        self.prefix = prefix
        self.pod = pod
        self.controller_address = ("127.0.0.1", free_port())

    def start_controller(self):
        self.controller = Process(
            [*self.prefix, BIN / "handfast-controller", "--kubeconfig", self.kubeconfig,
             "--state-dir", self.state, "--metrics", f"127.0.0.1:{self.controller_address[1]}",
             *self.controller_flags], self.folder, name="handfast-controller",
            env={"POD_NAME": self.pod, "POD_NAMESPACE": NAMESPACE})

    def start_proxy(self, wait=True):
        self.proxy = Process(
            [BIN / "handfast-proxy", "--state-dir", self.state, "--http", "127.0.0.1:0", "--https",
             "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--admin", "off", "--workers",
             self.workers, *NO_LIMITS], self.folder)
        if wait:
            self.find_proxy()

    def findings(self, **fields):
        return self.controller.logged(message="finding", **fields)


class ClusterHandfast(ClusterPair):
    """As `Handfast`, so that its cases run here too: what they put into a file of the directory is
    applied to the API server, and deleted when the file has it no more."""

    def __init__(self, cluster, kubeconfig, *controller_flags, workers=2):
        super().__init__(kubeconfig, *controller_flags, workers=workers)
        self.manifests = None
        self.cluster = cluster
        self.endpoint_host = cluster.host
        self._files = {}
        self._namespaces = set()
        self._ca = Authority("marker")
        self._backend = Backend(self._ca.server("marker.test"), client_ca=self._ca.cert_pem)

    def apply(self, file, *objects):
        """Returns once all of it is served, as if it had come at once: a directory's file does."""
        self._write(file, *objects)
        self.barrier()

    def _write(self, file, *objects):
        flat = list(self.cluster.flat(objects))
        new = {self.cluster.path_of(one): one for one in flat}
        for namespace in {one["metadata"].get("namespace") for one in flat} - {None}:
            if namespace not in self._namespaces:
                self.cluster.namespace(namespace)
                self._namespaces.add(namespace)
        self.cluster.delete(*(one for path, one in self._files.get(file, {}).items()
                              if path not in new))
        self._files[file] = new
        self.cluster.apply(*flat)

    def delete(self, file):
        if file not in self._files:
            raise FileNotFoundError(file)
        self.cluster.delete(*self._files.pop(file).values())

    def barrier(self):
        """As Handfast.barrier(). Watches of two kinds have no order, so there is a marker of each
        kind that the cases are made of, and all of them are needed for its answer."""
        name = f"marker-{next(self._markers)}"
        leaf = self._ca.client("marker-client")
        material = [manifests.material_ref("ConfigMap", name)]
        self._write(
            "marker",
            manifests.secret(name, namespace="marker", tls_crt=leaf.chain_pem,
                             tls_key=leaf.key_pem),
            manifests.config_map(name, namespace="marker", ca_crt=self._ca.cert_pem,
                                 ca_crl=self._ca.crl()),
            manifests.upstream_tls_policy(
                name, name, namespace="marker", hostname="marker.test", ca=material, client=name,
                validation={"revocation": {"crlRefs": material}}),
            manifests.service(name, self._backend.port, namespace="marker"),
            manifests.ingress(name, f"{name}.test", namespace="marker",
                              annotations={"enable-global-auth": "false"}))
        self.wait_for(f"{name}.test", 200, streak=16)

    def close(self):
        try:
            for file in list(self._files):
                self.delete(file)
        finally:
            super().close()
            self._backend.close()

"""A whole Kubernetes cluster on one node, in namespaces that it is the first process of: control plane,
kubelet, containerd, a bridge for pods, kube-proxy, CoreDNS, and addresses for load balancers.

    node.py FOLDER CGROUP IMAGES.tar

run.py starts it. FOLDER/ready appears when the node is Ready; logs are in FOLDER/log. It runs until
it is told to end, and ends when one of its programs does. Nothing of it is seen outside: what the
programs write below /var/lib, /run and /var/log, and the kernel's settings that the kubelet changes,
lie over or beside the machine's own.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from harness.pki import Authority, Leaf, new_key  # noqa: E402
from harness.processes import Process  # noqa: E402

from load_balancers import LoadBalancers  # noqa: E402
import spaces  # noqa: E402

NODE, NODE_ADDRESS = "node", "198.18.0.1"
PODS, SERVICES, API = "198.18.128.0/17", "198.19.0.0/16", "198.19.0.1"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or
                     pathlib.Path.home() / ".cache") / "handfast"
PLUGINS = "/usr/lib/cni"
# What the kubelet sets for the whole machine: it may set files of ours.
SETTINGS = {"vm/overcommit_memory": 1, "kernel/panic": 10, "kernel/panic_on_oops": 1,
            "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise spaces.Failed(f"{' '.join(map(str, command))}: {done.stderr or done.stdout}")
    return done.stdout


def program(name):
    for folder in (CACHE / "e2e/bin", CACHE / "kube/bin", CACHE / "helm"):
        if (folder / name).exists():
            return folder / name
    return name


class Node:
    def __init__(self, folder, cgroup, images):
        self.folder, self.cgroup, self.images = pathlib.Path(folder), cgroup, images
        self.log, self.pki = self.folder / "log", self.folder / "pki"
        for path in (self.log, self.pki):
            path.mkdir(parents=True)
        self.processes = []
        self.ca = Authority("kubernetes")

    # --- what the programs find -----------------------------------------------------------------

    def cover(self):
        """Fixed paths and settings of the machine."""
        run("hostname", NODE)
        run("mount", "--make-rshared", "/")  # what the kubelet mounts has to reach containers
        nameserver = self.write("resolv.conf", f"nameserver {NODE_ADDRESS}\n")
        own = self.write("own-resolv.conf", f"nameserver {NODE_ADDRESS}\nsearch default.svc."
                         "cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
        self.resolver = nameserver
        for path in ("/run", "/var/log"):
            run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path)
        os.makedirs("/run/lock")
        os.makedirs("/run/netns")
        target = pathlib.Path("/etc/resolv.conf").resolve()
        if not target.exists():  # a link below /run
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        run("mount", "--bind", own, target)
        for path in ("/var/lib", "/usr/libexec"):
            upper, work = (self.folder / "over" / path.strip("/") / one for one in ("up", "work"))
            for one in (upper, work):
                one.mkdir(parents=True)
            run("mount", "-t", "overlay", "-o",
                f"lowerdir={path},upperdir={upper},workdir={work}", "overlay", path)
        for name, value in SETTINGS.items():
            run("mount", "--bind", self.write(f"settings/{name}", f"{value}\n"),
                f"/proc/sys/{name}")

    def connect(self):
        """A link that leads nowhere: what goes to a Service needs some route before it is led on."""
        for command in ("link set lo up", "link add node0 type veth peer name node1",
                        "link set node1 up", "link set node0 up",
                        f"addr add {NODE_ADDRESS}/24 dev node0", "route add default dev node0"):
            run("ip", *command.split())
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")

    def certify(self):
        (self.pki / "ca.crt").write_text(self.ca.cert_pem)
        (self.pki / "ca.key").write_text(Leaf(self.ca.certificate, self.ca.key).key_pem)
        (self.pki / "sa.key").write_text(Leaf(None, new_key("rsa2048")).key_pem)
        kubernetes = ["kubernetes" + end for end in ("", ".default", ".default.svc",
                                                     ".default.svc.cluster.local")]
        self.ca.issue("kube-apiserver", dns=("localhost", *kubernetes),
                      ips=(NODE_ADDRESS, "127.0.0.1", API)).write(self.pki, "apiserver")
        self.ca.issue(NODE, dns=(NODE,), ips=(NODE_ADDRESS,)).write(self.pki, "kubelet-serving")
        for name, common_name, organization in (
                ("admin", "admin", "system:masters"),
                ("kubelet", f"system:node:{NODE}", "system:nodes"),
                ("manager", "system:kube-controller-manager", "handfast"),
                ("scheduler", "system:kube-scheduler", "handfast"),
                ("proxy", "system:kube-proxy", "handfast")):
            leaf = self.ca.client(common_name, organization=organization)
            crt, key = leaf.write(self.pki, name)
            self.write(f"{name}.kubeconfig", json.dumps({
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "clusters": [{"name": "c", "cluster": {
                    "server": f"https://{NODE_ADDRESS}:6443",
                    "certificate-authority": str(self.pki / "ca.crt")}}],
                "users": [{"name": "u", "user": {"client-certificate": str(crt),
                                                 "client-key": str(key)}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    # --- the programs ---------------------------------------------------------------------------

    def start(self, name, *flags):
        self.processes.append(Process([program(name), *flags], self.log, name,
                                      env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}))

    def start_control_plane(self):
        pki = self.pki
        self.start("etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--log-level",
                   "warn", "--listen-client-urls", "http://127.0.0.1:2379",
                   "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls",
                   "http://127.0.0.1:2380")
        self.start("kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--bind-address",
                   "0.0.0.0", "--secure-port", "6443", "--advertise-address", NODE_ADDRESS,
                   "--tls-cert-file", pki / "apiserver.crt", "--tls-private-key-file",
                   pki / "apiserver.key", "--client-ca-file", pki / "ca.crt",
                   "--authorization-mode", "Node,RBAC", "--service-account-issuer",
                   "https://kubernetes.default.svc.cluster.local", "--service-account-key-file",
                   pki / "sa.key", "--service-account-signing-key-file", pki / "sa.key",
                   "--service-cluster-ip-range", SERVICES, "--kubelet-client-certificate",
                   pki / "admin.crt", "--kubelet-client-key", pki / "admin.key",
                   "--kubelet-certificate-authority", pki / "ca.crt",
                   "--kubelet-preferred-address-types", "InternalIP",
                   "--enable-admission-plugins", "NodeRestriction", "--profiling=false")

    def start_controllers(self):
        common = ("--bind-address", "127.0.0.1", "--leader-elect=false", "--profiling=false")
        self.start("kube-controller-manager", *common, "--kubeconfig",
                   self.folder / "manager.kubeconfig", "--use-service-account-credentials",
                   "--service-account-private-key-file", self.pki / "sa.key", "--root-ca-file",
                   self.pki / "ca.crt", "--cluster-signing-cert-file", self.pki / "ca.crt",
                   "--cluster-signing-key-file", self.pki / "ca.key", "--kube-api-qps", "500",
                   "--kube-api-burst", "1000")
        self.start("kube-scheduler", *common, "--kubeconfig",
                   self.folder / "scheduler.kubeconfig")

    def start_containerd(self):
        self.write("cni/10-pods.conflist", {"cniVersion": "1.0.0", "name": "pods", "plugins": [
            {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": False,
             "hairpinMode": True,
             "ipam": {"type": "host-local", "dataDir": str(self.folder / "addresses"),
                      "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]}},
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}]})
        # restrict_oom_score_adj: root of a container or a small VM may not lower that.
        config = self.write("containerd.toml", f"""\
version = 2
root = "{self.folder}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/handfast-e2e/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{PLUGINS}"
    conf_dir = "{self.folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
""")
        self.start("containerd", "--config", config, "--log-level", "warn")

    def start_kubelet(self):
        config = self.write("kubelet.yaml", {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "failCgroupV1": False, "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{self.cgroup}",
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                               "x509": {"clientCAFile": str(self.pki / "ca.crt")}},
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(self.pki / "kubelet-serving.crt"),
            "tlsPrivateKeyFile": str(self.pki / "kubelet-serving.key"),
            "clusterDNS": [NODE_ADDRESS], "clusterDomain": "cluster.local",
            "resolvConf": str(self.resolver), "failSwapOn": False,
            # A full disk of this machine is no matter of the tests.
            "evictionHard": {"memory.available": "100Mi", **{
                name: "0%" for name in ("nodefs.available", "nodefs.inodesFree",
                                        "imagefs.available", "imagefs.inodesFree")}},
            "imageGCHighThresholdPercent": 100, "localStorageCapacityIsolation": False,
            "podLogsDir": "/var/log/pods"})
        self.start("kubelet", "--config", config, "--kubeconfig",
                   self.folder / "kubelet.kubeconfig", "--root-dir", self.folder / "kubelet",
                   "--hostname-override", NODE, "--node-ip", NODE_ADDRESS)

    def start_network(self):
        config = self.write("proxy.yaml", {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(self.folder / "proxy.kubeconfig")},
            "clusterCIDR": PODS, "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249", "hostnameOverride": NODE,
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s",
                          "tcpCloseWaitTimeout": "0s"}})
        self.start("kube-proxy", "--config", config)
        corefile = self.write("Corefile", f"""\
.:53 {{
  bind {NODE_ADDRESS}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {self.folder}/admin.kubeconfig
    ttl 5
  }}
}}
""")
        self.start("coredns", "-conf", corefile)

    # --- waiting --------------------------------------------------------------------------------

    def kubectl(self, *arguments):
        return run(program("kubectl"), "--kubeconfig", self.folder / "admin.kubeconfig",
                   *arguments)

    def wait(self, what, patience, *command):
        deadline = time.monotonic() + patience
        while True:
            self.check()
            try:
                return run(*command)
            except spaces.Failed as error:
                if time.monotonic() > deadline:
                    raise spaces.Failed(f"{what}: {error}") from error
            time.sleep(0.1)

    def check(self):
        for process in self.processes:
            if not process.is_running():
                raise spaces.Failed(process.tail())

    def bring_up(self):
        self.cover()
        self.connect()
        self.certify()
        self.start_containerd()
        self.start_control_plane()
        self.wait("containerd", 30, "ctr", "version")
        run("ctr", "--namespace", "k8s.io", "images", "import", self.images)
        kubectl = (program("kubectl"), "--kubeconfig", self.folder / "admin.kubeconfig")
        self.wait("the API server", 180, *kubectl, "get", "--raw", "/readyz")
        # Earlier they would wait long for what isn't there yet.
        self.start_controllers()
        self.start_kubelet()
        self.start_network()
        self.wait("the node", 120, *kubectl, "wait", "--for=condition=Ready", f"node/{NODE}",
                  "--timeout=5s")
        self.wait("the default account", 60, *kubectl, "-n", "default", "get", "serviceaccount",
                  "default")

    def watch(self):
        balancers = LoadBalancers((NODE_ADDRESS, 6443), self.pki)
        while True:
            self.check()
            balancers.look()
            time.sleep(0.5)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    socket.setdefaulttimeout(20)
    node = Node(*sys.argv[1:])
    try:
        node.bring_up()
        (node.folder / "ready").touch()
        node.watch()
    except spaces.Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

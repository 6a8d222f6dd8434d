"""Every example of manifests/examples: applied as it stands, its app really running, and its README's
commands typed. Only what a README calls yours differs, and cert-manager, whose part the test plays."""

import base64
import unittest

import case
import examples
import kube
import yaml
from kube import EXAMPLES, eventually, kubectl
from harness import manifests
from harness.pki import Authority

# What cert-manager and trust-manager define.
FOREIGN = (("Issuer", "issuers", "cert-manager.io", "v1"),
           ("Certificate", "certificates", "cert-manager.io", "v1"),
           ("Bundle", "bundles", "trust.cert-manager.io", "v1alpha1"))

GREET = """
import grpc, sys
channel = grpc.secure_channel("handfast.handfast.svc:443",
    grpc.ssl_channel_credentials(sys.stdin.buffer.read()),
    [("grpc.ssl_target_name_override", "greeter.example")])
print(channel.unary_unary("/example.Greeter/Hello")(
    b"hello", timeout=5, wait_for_ready=True).decode(), end="")
"""


def pair(name, leaf, **more):
    return manifests.secret(name, tls_crt=leaf.chain_pem, tls_key=leaf.key_pem, **more)


class ExampleCase(case.ReleaseCase):
    def setUp(self):
        self.ca = Authority("shop")
        self.folder = examples.Folder()
        self.addCleanup(self.folder.close)
        kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        self.addCleanup(kube.remove_namespace, "shop")

    def server_secret(self, name, ca=None, client_ca=None):
        leaf = (ca or self.ca).server(f"{name}.shop.svc")
        kube.apply(pair(f"{name}-server", leaf, ca_crt=client_ca or self.ca.cert_pem))
        return leaf

    def roots(self, name, ca):
        kube.apply(manifests.config_map(name, ca_crt=ca.cert_pem))

    def apply_orders(self, change=lambda text: text):
        """The app of the example `mtls`, without its Service and Ingress."""
        objects = yaml.safe_load_all(change((EXAMPLES / "mtls/mtls.yaml").read_text()))
        kube.apply(*(one for one in objects if one["kind"] in ("ConfigMap", "Deployment")))
        kube.rollout("deploy/orders", "shop")

    def assert_refused(self, host, word):
        self.client.wait_for(host, 502)
        log = [kubectl("-n", "handfast", "logs", pod, "-c", "proxy", "--tail=200")
               for pod in kube.names(case.OURS)]
        self.assertIn(f'"{word}"', "".join(log))


class Examples(ExampleCase):
    def test_first_ingress(self):
        script = examples.commands("first-ingress")[0]
        apply, look, request = script.strip().splitlines()
        self.folder.run(apply)
        kube.rollout("deploy/hello", "shop")
        self.client.wait_for("hello.example", 200, "Directory listing")

        answer = self.folder.run(f"{look}\n{request}")

        self.assertIn("Directory listing", answer)

    def test_mtls_and_a_revocation(self):
        self.folder.run(examples.commands("mtls")[0], address=examples.address())
        kube.rollout("deploy/orders", "shop")
        self.client.wait_for("orders.example", 200, "hello, CN=orders-client")

        ca = Authority.of_files(self.folder.path / "ca.crt", self.folder.path / "ca.key")
        server = Authority.of_files(self.folder.path / "server.crt",
                                    self.folder.path / "server.key")
        crl = base64.b64encode(ca.crl([server.serial]).encode()).decode()
        kubectl("-n", "shop", "patch", "secret", "orders-client", "-p",
                f'{{"data": {{"ca.crl": "{crl}"}}}}')

        self.assert_refused("orders.example", "revoked")

    def test_cert_manager(self):
        kube.apply(*(manifests.crd(*one) for one in FOREIGN))
        for _, plural, group, _ in FOREIGN:
            self.addCleanup(kubectl, "delete", "crd", f"{plural}.{group}")
            kubectl("wait", "--for=condition=Established", f"crd/{plural}.{group}")
        eventually(lambda: self.folder.run(examples.commands("cert-manager")[0].splitlines()[0]),
                   "the kinds of cert-manager")
        # What cert-manager and trust-manager do.
        self.server_secret("orders")
        self.roots("shop-roots", self.ca)
        first = self.ca.client("handfast")
        kube.apply(pair("orders-client", first))
        self.client.wait_for("orders.example", 200, "CN=handfast")

        kubectl("-n", "shop", "delete", "secret", "orders-client")
        kube.apply(pair("orders-client", self.ca.client("renewed")))

        self.client.wait_for("orders.example", 200, "CN=renewed")

    def test_grpc(self):
        front = Authority("front")
        self.server_secret("greeter")
        kube.apply(pair("greeter-client", self.ca.client("handfast"), ca_crt=self.ca.cert_pem),
                   pair("greeter-front", front.server("greeter.example")))
        self.folder.run("kubectl apply -f grpc")
        kube.rollout("deploy/greeter", "shop")

        answer = eventually(lambda: self.client.call("python3", "-c", GREET, stdin=front.cert_pem),
                            "an answer of the greeter", patience=60)

        self.assertEqual(answer, "hello")

    def test_tcp(self):
        self.server_secret("db")
        kube.apply(pair("db-client", self.ca.client("handfast"), ca_crt=self.ca.cert_pem),
                   *case.nginx("db", 5432, 'location / { return 200 "$ssl_client_s_dn\\n"; }'))

        self.folder.run(examples.commands("tcp")[0])

        kube.rollout("deploy/handfast")
        self.client.wait_for("db", 200, "CN=handfast", to="handfast.handfast.svc:5432")

    def test_rotation_step_by_step_under_load(self):
        new = Authority("successor")
        both = self.ca.cert_pem + new.cert_pem
        self.server_secret("orders", client_ca=both)
        self.apply_orders()
        self.roots("orders-roots-old", self.ca)
        kube.apply(pair("orders-client", self.ca.client("first")))
        (self.folder.path / "new-ca.crt").write_text(new.cert_pem)
        new.client("second").write(self.folder.path, "new")
        readme = (EXAMPLES / "rotation/README.md").read_text()
        trust, change = (part for part in readme.split("`") if part.startswith("kubectl -n shop"))
        self.folder.run(trust)
        self.folder.run("kubectl apply -f rotation")
        self.client.wait_for("orders.example", 200, "CN=first")

        with case.Load("orders.example") as load:
            self.folder.run(change)
            self.client.wait_for("orders.example", 200, "CN=second")
            self.server_secret("orders", new, both)
            kubectl("-n", "shop", "scale", "deploy/orders", "--replicas=2")
            kubectl("-n", "shop", "rollout", "restart", "deploy/orders")
            kube.rollout("deploy/orders", "shop")
            self.folder.apply("rotation", lambda text: text.replace(
                "      - {kind: ConfigMap, name: orders-roots-old}\n", ""))
            self.client.wait_for("orders.example", 200, "CN=second")
            seen = load.stop()

        self.assertEqual(seen["failures"], [])
        self.server_secret("orders", self.ca, both)
        kubectl("-n", "shop", "rollout", "restart", "deploy/orders")
        self.assert_refused("orders.example", "untrusted_issuer")

    def test_crl_refresh(self):
        leaf = self.server_secret("orders")
        # The example shows no certificate of ours.
        self.apply_orders(lambda text: text.replace("ssl_verify_client on", "ssl_verify_client off"))
        self.roots("shop-roots", self.ca)
        kube.apply(case.pod("lists", "shop", command=["python3", "-m", "http.server", "8080",
                                                      "--directory", "/tmp"]))
        kubectl("-n", "shop", "expose", "pod/lists", "--port=80", "--target-port=8080")

        def publish(name, revoked):
            kubectl("-n", "shop", "exec", "-i", "lists", "--", "sh", "-c",
                    f"base64 -d >/tmp/{name}.crl",
                    stdin=base64.b64encode(self.ca.crl_der(revoked)).decode())
            self.folder.apply("crl-refresh", lambda text: text.replace(
                "http://crl.example/shop.crl", f"http://lists.shop.svc/{name}.crl"))
            kubectl("-n", "shop", "create", "job", "--from=cronjob/orders-crl", f"now-{name}")
            kubectl("-n", "shop", "wait", "--for=condition=Complete", f"job/now-{name}",
                    "--timeout=110s")

        kubectl("-n", "shop", "wait", "--for=condition=Ready", "pod/lists", "--timeout=60s")
        publish("first", [])
        self.client.wait_for("orders.example", 200)

        publish("second", [leaf])

        self.assert_refused("orders.example", "revoked")

    def test_sidecar(self):
        servers = Authority("servers")
        servers.server("app.shop.svc").write(self.folder.path, "server")
        client = self.ca.client("somebody")
        (self.folder.path / "ca.crt").write_text(self.ca.cert_pem)
        (self.folder.path / "ca.crl").write_text(self.ca.crl())
        for name, text in (("servers-ca.crt", servers.cert_pem), ("client.crt", client.chain_pem),
                           ("client.key", client.key_pem)):
            self.client.write(f"/tmp/{name}", text)
        kubectl("config", "set-context", "--current", "--namespace=shop")
        self.addCleanup(kubectl, "config", "set-context", "--current", "--namespace=default")
        secrets, apply = examples.commands("sidecar")

        self.folder.run(secrets)
        self.folder.run(f"cd sidecar\n{apply.splitlines()[0]}")
        kube.rollout("deploy/app", "shop")

        request = apply.splitlines()[1].replace("NAMESPACE", "shop")
        # kube-proxy may learn of the pod a moment later.
        answer = eventually(lambda: self.client.call("sh", "-c", f"cd /tmp && {request}"),
                            "an answer of the app")
        self.assertIn("Directory listing", answer)
        bare = self.client.get("app", to="app.shop.svc", scheme="https", curl=("-k",))
        self.assertEqual(bare.status, 400)
        self.assertIn("no_client_certificate",
                      kubectl("-n", "shop", "logs", "deploy/app", "-c", "handfast"))


class Folders(unittest.TestCase):
    def test_each_example_has_a_test(self):
        folders = {path.parent.name for path in EXAMPLES.glob("*/README.md")}
        tested = [name[5:].replace("_", "-") for name in dir(Examples)
                  if name.startswith("test_")]
        self.assertEqual({folder for folder in folders
                          if not any(name.startswith(folder) for name in tested)}, set())


if __name__ == "__main__":
    unittest.main()

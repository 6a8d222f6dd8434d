"""Each example of manifests/examples through the real programs, as it stands: with the Secrets that
its README asks for, and a backend of ours where its app would be. Only endpoints differ, which the
cluster makes. The sidecar has a test of its own, tests/integration/test_sidecar.py."""

import sys
import unittest

import chart

sys.path.insert(0, str(chart.ROOT / "tests/integration"))

from harness import clients, manifests, rpc  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.handfast import Handfast, free_port  # noqa: E402
from harness.pki import Authority  # noqa: E402
from harness.waiting import eventually  # noqa: E402

if not (chart.BIN / "handfast").exists():
    sys.exit(print("skipped: handfast isn't built") or 77)

EXAMPLES = chart.ROOT / "manifests/examples"


class Example(unittest.TestCase):
    flags = ()

    def setUp(self):
        self.ca = Authority("shop")
        self.handfast = Handfast(*self.flags)
        self.addCleanup(self.handfast.close)
        self.handfast.apply("class", manifests.ingress_class())

    def use(self, backend):
        self.addCleanup(backend.close)
        return backend

    def backend(self, name, ca=None):
        """One that demands a certificate of `self.ca`, or of `ca`, and shows one for the Service."""
        ca = ca or self.ca
        return self.use(Backend(ca.server(f"{name}.shop.svc"), client_ca=ca.cert_pem))

    def apply(self, folder, change=lambda text: text):
        for path in sorted((EXAMPLES / folder).glob("*.yaml")):
            self.handfast.manifests.write(path.name, change(path.read_text()))

    def endpoint(self, name, port, port_name="https"):
        self.handfast.apply(f"slice-{name}", manifests.endpoint_slice(f"{name}-1", name, port,
                                                                      port_name=port_name))

    def secret(self, name, leaf=None, **keys):
        if leaf is not None:
            keys.update(tls_crt=leaf.chain_pem, tls_key=leaf.key_pem)
        self.handfast.apply(f"secret-{name}", manifests.secret(name, **keys))

    def assert_refused(self, host, reason):
        self.handfast.wait_for(host, 502)
        self.handfast.get(host, "/why")
        self.assertEqual(self.handfast.reason(host, "/why"), reason)

    def roots(self, name, ca):
        self.handfast.apply(f"roots-{name}", manifests.config_map(name, ca_crt=ca.cert_pem))


class Http(Example):
    def test_first_ingress(self):
        self.apply("first-ingress")
        self.endpoint("hello", self.use(Backend()).port, "http")

        self.handfast.wait_for("hello.example", 200)

    def test_mtls_and_its_revocation(self):
        backend = self.backend("orders")
        client = self.ca.client("orders-client")
        self.apply("mtls")
        self.endpoint("orders", backend.port)
        self.secret("orders-client", client, ca_crt=self.ca.cert_pem)
        self.handfast.wait_for("orders.example", 200, text="CN=orders-client")

        serial = eventually(lambda: self.handfast.last_log("orders.example")[
            "upstream_peer_serial"], "the backend's serial number")
        self.secret("orders-client", client, ca_crt=self.ca.cert_pem,
                    ca_crl=self.ca.crl([int(serial.replace(":", ""), 16)]))

        self.assert_refused("orders.example", "revoked")

    def test_cert_manager(self):
        self.apply("cert-manager")
        self.endpoint("orders", self.backend("orders").port)
        self.roots("shop-roots", self.ca)
        self.secret("orders-client", self.ca.client("handfast"))

        self.handfast.wait_for("orders.example", 200, text="CN=handfast")

    def test_crl_refresh(self):
        leaf = self.ca.server("orders.shop.svc")
        self.apply("crl-refresh")
        self.endpoint("orders", self.use(Backend(leaf)).port)
        self.roots("shop-roots", self.ca)
        self.secret("orders-crl", ca_crl=self.ca.crl())
        self.handfast.wait_for("orders.example", 200)

        self.secret("orders-crl", ca_crl=self.ca.crl([leaf]))

        self.assert_refused("orders.example", "revoked")

    def test_rotation_step_by_step(self):
        new = Authority("successor")
        both = self.ca.cert_pem + new.cert_pem
        backend = self.use(Backend(self.ca.server("orders.shop.svc"), client_ca=both))
        self.roots("orders-roots-old", self.ca)
        self.roots("orders-roots-new", new)
        self.secret("orders-client", self.ca.client("first"))
        self.apply("rotation")
        self.endpoint("orders", backend.port)
        self.handfast.wait_for("orders.example", 200, text="CN=first")

        self.secret("orders-client", new.client("second"))
        self.handfast.wait_for("orders.example", 200, text="CN=second")

        successor = self.use(Backend(new.server("orders.shop.svc"), client_ca=both))
        self.endpoint("orders", successor.port)
        eventually(lambda: self.handfast.get("orders.example").status == 200 and successor.seen,
                   "a request at the backend of the new CA")

        self.apply("rotation", lambda text: text.replace(
            "      - {kind: ConfigMap, name: orders-roots-old}\n", ""))
        self.handfast.wait_for("orders.example", 200, text="CN=second")
        self.endpoint("orders", backend.port)
        self.assert_refused("orders.example", "untrusted_issuer")


class Grpc(Example):
    def test_grpc(self):
        front = Authority("front")
        server = self.use(rpc.Server(self.ca.server("greeter.shop.svc"), self.ca.cert_pem))
        self.apply("grpc")
        self.endpoint("greeter", server.port, "grpcs")
        self.secret("greeter-client", self.ca.client("handfast"), ca_crt=self.ca.cert_pem)
        self.secret("greeter-front", front.server("greeter.example"))
        self.handfast.barrier()

        with rpc.Client(self.handfast, "greeter.example", ca=front) as client:
            self.assertEqual(client.unary(b"hello", timeout=20, wait_for_ready=True), b"hello")
        self.assertEqual(server.calls[-1][3], "handfast")


class Tcp(Example):
    flags = ("--tcp-services-configmap", "shop/tcp-services")

    def test_tcp(self):
        port = free_port()
        self.apply("tcp", lambda text: text.replace('"5432":', f'"{port}":'))
        self.endpoint("db", self.backend("db").port, "postgres")
        self.secret("db-client", self.ca.client("handfast"), ca_crt=self.ca.cert_pem)

        def answered():
            try:
                return clients.fetch(("127.0.0.1", port), "db", "/").status == 200
            except EOFError as error:  # closed: it isn't verified yet
                raise AssertionError(error) from error

        eventually(answered, "bytes of the backend, through the port")


class Folders(unittest.TestCase):
    def test_each_has_a_test(self):
        folders = {path.parent.name for path in EXAMPLES.glob("*/README.md")}
        tested = {name[5:].replace("_", "-") for case in (Http, Grpc, Tcp) for name in dir(case)
                  if name.startswith("test_")}
        missing = {folder for folder in folders - {"sidecar"}
                   if not any(name.startswith(folder) for name in tested)}
        self.assertEqual(missing, set())


if __name__ == "__main__":
    unittest.main()

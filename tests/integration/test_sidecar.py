"""The sidecar of manifests/examples/sidecar: its manifests and its flags, in front of an app that
speaks plain HTTP, with Secrets that lie and change as kubelet mounts them."""

import contextlib
import json
import os
import pathlib
import re
import socket
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, http2, rpc  # noqa: E402
from harness.backends import Backend, echo  # noqa: E402
from harness.handfast import BIN, ROOT, SANITIZER, Front, run_lint  # noqa: E402
from harness.pki import Authority  # noqa: E402
from harness.processes import Process  # noqa: E402
from harness.volume import Volume  # noqa: E402
from harness.waiting import eventually  # noqa: E402

EXAMPLE = ROOT / "manifests/examples/sidecar/sidecar.yaml"
HOST = "app.default.svc"

UPGRADE = (f"GET /tunnel HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
SWITCHING = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


def example_manifests():
    block = re.search(r"^  app\.yaml: \|\n((?:    .*\n|\n)+)", EXAMPLE.read_text(), re.M)[1]
    return re.sub(r"^    ", "", block, flags=re.M)


def example_flags():
    return dict(re.findall(r"^ +- (--[a-z-]+)=(\S+)$", EXAMPLE.read_text(), re.M))


def app(connection, request):
    """Tells what it was told; a tunnel echoes."""
    if not request.header("upgrade"):
        return echo(connection, request)
    connection.send(SWITCHING)
    while connection.buffer or connection.fill():
        data, connection.buffer = connection.buffer, b""
        connection.send(data)
    return None


class Pod(Front):
    """The container of the example, but for its paths and ports."""

    listeners = ("https", "metrics")

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.volume = Volume(folder / "etc")
        (folder / "run").mkdir()

    def flags(self):
        flags = {**example_flags(), "--https": "127.0.0.1:0", "--metrics": "127.0.0.1:0",
                 "--shutdown-delay": "0"}
        for name in ("--state-dir", "--temp-dir"):
            flags[name] = flags[name].replace("/run/handfast", f"{self.folder}/run")
        return [f"{name}={value}" for name, value in flags.items()]

    def start(self):
        self.proxy = Process([BIN / "handfast", "run", self.volume.folder, *self.flags()],
                             self.folder)
        self._read_listeners(self.proxy)
        eventually(self.is_ready, "readiness")

    def stop(self):
        code = self.proxy.stop(patience=60)
        if code != 0 or SANITIZER.search(self.proxy.err.text()):
            raise AssertionError(f"exit {code}\n{self.proxy.tail()}")


class SidecarCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers, cls.clients = Authority("servers"), Authority("clients")
        cls.alice, cls.bob = cls.clients.client("alice"), cls.clients.client("bob")
        cls.mallory = Authority("others").client("mallory")

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="handfast-sidecar-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        self.manifests = example_manifests()
        self.server = self.servers.server(HOST)
        self.client_secret = {"ca.crt": self.clients.cert_pem, "ca.crl": self.clients.crl()}
        self.pod = Pod(self.folder)

    def serve(self, backend=None):
        self.app = backend or Backend(handle=app)
        self.addCleanup(self.app.close)
        self.manifests = self.manifests.replace("8080", str(self.app.port))
        self.change_volume()
        self.pod.start()
        self.addCleanup(self.pod.stop)

    def change_volume(self):
        files = {"app.yaml": self.manifests, "server.secret/tls.crt": self.server.chain_pem,
                 "server.secret/tls.key": self.server.key_pem}
        files.update({f"clients.secret/{key}": text for key, text in self.client_secret.items()})
        self.pod.volume.swap(files)

    def context(self, leaf=None):
        """A client that takes the servers' CA alone."""
        context = clients.any_client_context()
        context.load_verify_locations(cadata=self.servers.cert_pem)
        context.verify_mode = clients.ssl.CERT_REQUIRED
        if leaf is not None:
            context.load_cert_chain(*leaf.write(self.folder, leaf.common_name))
        return context

    def wait_for(self, status, leaf=None):
        def check():
            try:
                return self.pod.wait_for(HOST, status, tls=self.context(leaf))
            except EOFError as error:  # revoked before its answer
                raise AssertionError(str(error)) from error

        return eventually(check, f"{status} for {leaf and leaf.common_name}")

    def get(self, leaf=None, target="/", **options):
        return self.pod.get(HOST, target, tls=self.context(leaf), **options)

    def open(self, leaf):
        """A connection of each kind, in use: HTTP/1.1, HTTP/2, a WebSocket."""
        first = self.pod.connect(tls=self.context(leaf), server_name=HOST)
        tunnel = self.pod.connect(tls=self.context(leaf), server_name=HOST)
        second = http2.connect(self.pod, HOST, tls=self.context(leaf))
        for connection in (first, tunnel, second):
            self.addCleanup(connection.close)
        tunnel.send(UPGRADE)
        self.assertEqual(tunnel.head().status, 101)
        kinds = first, second, tunnel
        self.assert_open(kinds)
        return kinds

    def assert_open(self, kinds):
        first, second, tunnel = kinds
        self.assertEqual(first.request(HOST).status, 200)
        self.assertEqual(second.fetch(HOST, scheme="https").status, 200)
        tunnel.send(b"still here")
        self.assertEqual(tunnel.take(10), b"still here")

    def assert_closed(self, kinds, deadline):
        def left():
            return max(0.05, deadline - time.monotonic())

        first, second, tunnel = kinds
        self.assertTrue(first.is_closed(within=left()))
        second.wait_lost(left())
        self.assertTrue(tunnel.is_closed(within=left()))


class Example(SidecarCase):
    def test_it_has_no_findings(self):
        self.change_volume()

        flag = f"--default-ssl-certificate={example_flags()['--default-ssl-certificate']}"
        for path, flags in ((self.pod.volume.folder, [flag]), (EXAMPLE, [])):
            code, text = run_lint(path, flags=flags)
            self.assertEqual(code, 0, text)
            self.assertNotIn("warning", text)
            self.assertNotIn("error", text)

    def test_it_mounts_the_secrets_that_it_names(self):
        text = EXAMPLE.read_text()
        self.assertEqual(re.findall(r"path: (\S+)}", text.partition("sources:")[2]),
                         ["server.secret/tls.crt", "server.secret/tls.key",
                          "clients.secret/ca.crt", "clients.secret/ca.crl"])
        self.assertIn("auth-tls-secret: default/clients", self.manifests)
        self.assertEqual(example_flags()["--default-ssl-certificate"], "default/server")


class Access(SidecarCase):
    def test_only_a_certificate_of_the_clients_ca_gets_in(self):
        self.serve()
        self.wait_for(200, self.alice)
        before = len(self.app.seen)

        for leaf, word in ((None, "no_client_certificate"),
                           (self.mallory, "bad_client_certificate")):
            self.assertEqual(self.get(leaf, f"/{word}").status, 400)
            self.pod.last_log(HOST, f"/{word}", upstream_tls_error=word)
            with http2.connect(self.pod, HOST, tls=self.context(leaf)) as peer:
                self.assertEqual(peer.fetch(HOST, scheme="https").status, 400)
            with self.pod.connect(tls=self.context(leaf), server_name=HOST) as tunnel:
                tunnel.send(UPGRADE)
                self.assertEqual(tunnel.head().status, 400)

        self.assertEqual(len(self.app.seen), before)

    def test_under_every_name_and_under_none(self):
        self.serve()
        self.wait_for(200, self.alice)
        before = len(self.app.seen)

        for server_name, host in ((None, "10.0.0.1"), ("other.test", "other.test"),
                                  (HOST, "other.test"), ("other.test", HOST)):
            for leaf, status in ((None, 400), (self.alice, 200)):
                with self.subTest(server_name=server_name, host=host, status=status):
                    with self.pod.connect(tls=self.context(leaf),
                                          server_name=server_name) as connection:
                        self.assertEqual(connection.request(host).status, status)

        self.assertEqual(len(self.app.seen), before + 4)

    def test_app_is_told_who_the_client_is_by_nobody_else(self):
        self.serve()
        self.wait_for(200, self.alice)
        forged = [("ssl-client-subject-dn", "CN=root"), ("SSL_Client_Verify", "SUCCESS"),
                  ("X-Forwarded-Client-Cert", "Subject=CN=root")]

        told = [self.get(self.alice, headers=forged)]
        with http2.connect(self.pod, HOST, tls=self.context(self.alice)) as peer:
            told.append(peer.fetch(HOST, scheme="https", headers=[
                (name.lower(), value) for name, value in forged]))

        for answer in told:
            headers = json.loads(answer.body)["headers"]
            found = {name.lower(): value for name, value in headers}
            self.assertEqual(found["ssl-client-verify"], "SUCCESS")
            self.assertEqual(found["ssl-client-subject-dn"], "CN=alice,O=integration")
            self.assertIn('Subject="CN=alice', found["x-forwarded-client-cert"])
            self.assertNotIn("root", str(headers))
            self.assertEqual(len(found), len(headers), headers)

    def test_nothing_listens_for_plain_http(self):
        self.serve()
        self.wait_for(200, self.alice)

        with socket.create_connection(self.pod.https, timeout=20) as plain:
            plain.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while data := plain.recv(4096):
                    answer += data
        self.assertNotIn(b" 200 ", answer)
        named = {line["listener"] for line in self.pod.proxy.logged(message="listening")}
        self.assertEqual(named, {"https", "metrics"})

    def test_grpc_app_behind_it(self):
        self.manifests = self.manifests.replace(
            "  annotations:\n", "  annotations:\n    handfast.dev/backend-protocol: GRPC\n")
        self.serve(rpc.Server())

        with rpc.Client(self.pod, HOST, self.servers, self.alice) as client:
            self.assertEqual(client.unary(b"x", timeout=20, wait_for_ready=True), b"x")
        with rpc.Client(self.pod, HOST, self.servers) as client:
            with self.assertRaises(rpc.grpc.RpcError) as refused:
                client.unary(b"x", timeout=20)
            self.assertEqual(refused.exception.code(), rpc.grpc.StatusCode.UNAUTHENTICATED)

        self.assertEqual(len(self.app.calls), 1)


class Change(SidecarCase):
    def test_rotation_of_its_own_certificate_closes_nothing(self):
        self.serve()
        self.wait_for(200, self.alice)
        kinds = self.open(self.alice)

        for _ in range(3):
            self.server = self.servers.server(HOST)
            self.change_volume()
            eventually(lambda: clients.shown_certificate(self.pod.https, HOST).serial_number ==
                       self.server.serial, "the new certificate")
            self.assert_open(kinds)

        self.wait_for(200, self.alice)

    def test_client_that_is_revoked_is_refused_and_its_connections_end(self):
        self.serve()
        self.wait_for(200, self.alice)
        kept, cut = self.open(self.bob), self.open(self.alice)

        self.client_secret["ca.crl"] = self.clients.crl([self.alice])
        self.change_volume()
        self.wait_for(400, self.alice)

        self.assert_closed(cut, time.monotonic() + 1)
        self.assert_open(kept)

    def test_without_the_clients_ca_nobody_gets_in(self):
        kept, self.client_secret = self.client_secret, {}
        self.serve()
        self.wait_for(403, self.alice)
        self.pod.last_log(HOST, upstream_tls_error="ca_missing")

        self.client_secret = kept
        self.change_volume()
        self.wait_for(200, self.alice)
        kinds = self.open(self.alice)

        for left in ({}, {"ca.crl": kept["ca.crl"]}):
            self.client_secret = left
            self.change_volume()
            self.wait_for(403, self.alice)
            self.assert_closed(kinds, time.monotonic() + 1)

            self.client_secret = kept
            self.change_volume()
            self.wait_for(200, self.alice)
            kinds = self.open(self.alice)


if __name__ == "__main__":
    unittest.main()

"""gRPC's own interoperability cases by its Go implementation, through the proxy: plain and TLS
clients, backend-protocol GRPC, and GRPCS with our certificate demanded."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness import manifests  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.processes import Process  # noqa: E402
from harness.waiting import eventually  # noqa: E402

from tools import skip_without, tool  # noqa: E402

PROGRAM = "grpc_interop"
CASES = 14


class Server:
    """The interop server; with a leaf it demands client certificates of `client_ca`."""

    def __init__(self, leaf=None, client_ca=None):
        self._folder = tempfile.TemporaryDirectory(prefix="handfast-it-")
        folder = pathlib.Path(self._folder.name)
        command = [tool(PROGRAM), "server"]
        if leaf is not None:
            cert, key = leaf.write(folder, "server")
            (folder / "ca.crt").write_text(client_ca)
            command += ["-cert", cert, "-key", key, "-client-ca", folder / "ca.crt"]
        self.process = Process(command, folder)
        line = eventually(self.process.out.text, "the interop server's port")
        self.port = int(line.split()[1])

    def close(self):
        self.process.kill()
        self._folder.cleanup()


class Interop(HandfastCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.servers = {"grpc": Server(),
                       "grpcs": Server(cls.ca.server("grpcs.shop.svc"), cls.ca.cert_pem)}
        client = cls.ca.client()
        front = cls.other_ca.server("grpc.test", "grpcs.test")
        cls.front_ca = pathlib.Path(cls.folder.name) / "front-ca.crt"
        cls.front_ca.write_text(cls.other_ca.cert_pem)
        tls = [{"hosts": ["grpc.test", "grpcs.test"], "secretName": "front-tls"}]
        objects = [
            manifests.secret("front-tls", tls_crt=front.chain_pem, tls_key=front.key_pem),
            manifests.secret("client-tls", tls_crt=client.chain_pem, tls_key=client.key_pem,
                             ca_crt=cls.ca.cert_pem, ca_crl=cls.ca.crl())]
        for name, server in cls.servers.items():
            annotations = {"backend-protocol": name.upper(), "ssl-redirect": "false"}
            if name == "grpcs":
                annotations["proxy-ssl-secret"] = "shop/client-tls"
            objects += [manifests.service(name, server.port),
                        manifests.ingress(name, f"{name}.test", annotations=annotations, tls=tls)]
        cls.handfast.apply("routes", *objects)
        cls.handfast.barrier()

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers.values():
            server.close()
        cls.folder.cleanup()
        super().tearDownClass()

    def run_cases(self, host, tls):
        cases = subprocess.run([tool(PROGRAM), "cases"], capture_output=True,
                               check=True).stdout.decode().split()
        self.assertEqual(len(cases), CASES)
        address = self.handfast.https if tls else self.handfast.http
        command = [tool(PROGRAM), "client", "-address", f"{address[0]}:{address[1]}",
                   "-authority", host]
        if tls:
            command += ["-ca", self.front_ca]
        for case in cases:
            with self.subTest(case=case):
                done = subprocess.run([*command, "-case", case], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, timeout=60)
                self.assertEqual((done.returncode, done.stdout.decode()), (0, f"ok {case}\n"))

    def test_plain_client_plain_backend(self):
        self.run_cases("grpc.test", tls=False)

    def test_plain_client_mtls_backend(self):
        self.run_cases("grpcs.test", tls=False)

    def test_tls_client_plain_backend(self):
        self.run_cases("grpc.test", tls=True)

    def test_tls_client_mtls_backend(self):
        self.run_cases("grpcs.test", tls=True)


if __name__ == "__main__":
    skip_without(PROGRAM)
    unittest.main()

"""Every certificate, list and handshake of the table of cases, shown by four TLS implementations:
the answer, the word, and that nothing of the request reached a backend that wasn't verified."""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness import manifests  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import is_sanitized  # noqa: E402
from harness.waiting import eventually  # noqa: E402

import peers  # noqa: E402
from tools import skip_without  # noqa: E402
from upstream_rows import NAME, TABLE, Setup, World  # noqa: E402

SLOWER = 5 if is_sanitized() else 1


class Case:
    """One row with one server: a Service and an Ingress of their own."""

    def __init__(self, row, server, setup, place):
        self.row, self.server = row, server
        self.name = f"{server}-{place}"
        self.host = f"{self.name}.test"
        self.peer = peers.KINDS[server](setup.leaf, setup.tls)

    def objects(self, setup, secret):
        annotations = {}
        if setup.policy is None:
            annotations = {"backend-protocol": "HTTPS", "proxy-ssl-name": NAME,
                           "proxy-ssl-secret": f"shop/{secret}", **setup.annotations}
        objects = [manifests.ingress(self.name, self.host, annotations=annotations),
                   *manifests.service(self.name, self.peer.port)]
        if setup.policy is not None:
            objects.append(self.policy(setup, secret))
        return objects

    def policy(self, setup, secret):
        said = setup.policy(secret) if callable(setup.policy) else setup.policy
        fields = {**said, "validation": dict(said.get("validation", {}))}
        reference = manifests.material_ref("Secret", secret)
        if "revocation" in fields["validation"]:
            fields["validation"]["revocation"] = {"crlRefs": [reference],
                                                  **fields["validation"]["revocation"]}
        return manifests.upstream_tls_policy(
            self.name, self.name, hostname=NAME, ca=[reference],
            client=secret if setup.client is not None else None, **fields)


def secret_of(world, setup, name):
    ca = setup.ca or world.ca
    keys = {"ca_crt": ca if isinstance(ca, (str, bytes)) else ca.cert_pem, "ca_crl": setup.crl}
    if setup.client is not None:
        keys.update(tls_crt=setup.client.chain_pem, tls_key=setup.client.key_pem)
    keys.update(setup.secret)
    return manifests.secret(name, **keys)


class UpstreamTable(HandfastCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world = World()

    def begin(self, name):
        """Starts the servers of all rows and routes to each, so that one wait is enough."""
        cases, objects = [], []
        for number, row in enumerate(TABLE[name]):
            made = row.make(self.world)
            setup = made if isinstance(made, Setup) else Setup(made)
            secret = f"{name}-{number}"
            objects.append(secret_of(self.world, setup, secret))
            for server in row.servers:
                case = Case(row, server, setup, f"{name}-{number}")
                self.use(case.peer)
                objects += case.objects(setup, secret)
                cases.append(case)
        self.handfast.apply(name, *objects)
        self.handfast.barrier()
        return cases

    def judge(self, case):
        row = case.row
        began = time.monotonic()
        status = self.handfast.get(case.host, f"/{row.status}").status
        took = time.monotonic() - began
        word = self.handfast.reason(case.host, f"/{row.status}")
        words = row.word if isinstance(row.word, tuple) else (row.word,)
        self.assertEqual((status, word in words), (row.status, True), word)
        if row.detail:
            log = self.handfast.last_log(case.host, f"/{row.status}")
            self.assertIn(row.detail, log["detail"])
        if row.seconds:
            self.assertLess(took, row.seconds * SLOWER)
        if status == 200:
            eventually(case.peer.saw_bytes, "the server tells of the request")
        elif row.ours:
            self.assertFalse(case.peer.saw_requests())
        elif row.status >= 500 and not row.verified:
            self.assertFalse(case.peer.saw_bytes())

    def check(self, name):
        for case in self.begin(name):
            with self.subTest(case.row.name, server=case.server):
                self.judge(case)

    def test_chains(self):
        self.check("chains")

    def test_extensions(self):
        self.check("extensions")

    def test_names(self):
        self.check("names")

    def test_strength(self):
        self.check("strength")

    def test_versions(self):
        self.check("versions")

    def test_protocols_inside(self):
        self.check("inside")

    def test_revocation(self):
        self.check("revocation")

    def test_lists(self):
        self.check("lists")

    def test_material_of_ours(self):
        self.check("material")

    def test_client_certificates(self):
        self.check("clients")

    def test_backends_that_do_no_tls(self):
        self.check("others")


if __name__ == "__main__":
    skip_without(peers.GO_PROGRAM)
    unittest.main(warnings="ignore")  # of TLS 1.0 and 1.1

"""kill -9 at random moments: whatever is cut off, the proxy never loads a torn generation, what it
answers is always one of the whole ones, and it ends on the last."""

import hashlib
import os
import random
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import clients, manifests  # noqa: E402
from harness.backends import Nginx  # noqa: E402
from harness.handfast import Handfast, Pair  # noqa: E402
from harness.pki import Authority  # noqa: E402
from harness.waiting import eventually  # noqa: E402

CHANGES = int(os.environ.get("HANDFAST_CRASHES", "200"))
SEED = int(os.environ.get("HANDFAST_SEED") or random.SystemRandom().randrange(10**6))
HASH = re.compile(r"\b[0-9a-f]{64}\b")
TLS_FILE = re.compile(r"\btls/[a-z0-9.-]+/[a-z0-9.-]+/[0-9a-f]{16}/[a-z.]+")


def check_generation(state):
    """What `current` names is whole: every file is there, and is what its name says."""
    link = os.readlink(state / "current")
    digest = lambda text: hashlib.sha256(text.encode()).hexdigest()  # noqa: E731
    files = 0

    def check_files(text):
        nonlocal files
        for file in TLS_FILE.findall(text):
            if not (state / file).read_bytes():
                raise AssertionError(f"{file} of {link} is empty")
            files += 1

    index = (state / link / "index.yaml").read_text()
    check_files(index)
    for bucket in set(HASH.findall(index)):
        path = state / "shards" / bucket[:2] / f"{bucket}.yaml"
        if not path.exists():
            raise AssertionError(f"{link} names {bucket}, which isn't there")
        head, *shards = re.split(r"^---\n", path.read_text(), flags=re.MULTILINE)
        if digest(head) != bucket:
            raise AssertionError(f"{path} of {link} is torn: its bucket has {digest(head)}")
        packed = {digest(shard): shard for shard in shards}
        for shard in set(HASH.findall(head)):
            own = state / "shards" / shard[:2] / f"{shard}.yaml"
            text = packed[shard] if shard in packed else own.read_text()
            if digest(text) != shard:
                raise AssertionError(f"{own} of {link} is torn: its content has {digest(text)}")
            check_files(text)
    return files


class Crashes(unittest.TestCase):
    def test_kill_at_random_moments_never_leaves_a_torn_generation(self):
        print(f"\nHANDFAST_SEED={SEED}", file=sys.stderr)
        chance = random.Random(SEED)
        ca = Authority("backends")
        backend = Nginx(ca.server("orders.shop.svc"), client_ca=ca.cert_pem)
        self.addCleanup(backend.close)
        pair = Pair()
        self.addCleanup(pair.close)
        pair.manifests.apply(
            "all", manifests.ingress_class(), manifests.service("orders", backend.port),
            manifests.ingress("orders", "orders.test", annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/orders-tls"}))
        known = {}

        def apply(number):
            leaf = ca.client(f"c{number}")
            known[f"{leaf.serial:x}"] = number
            pair.manifests.apply("secret", manifests.secret(
                "orders-tls", tls_crt=leaf.cert_pem, tls_key=leaf.key_pem, ca_crt=ca.cert_pem,
                ca_crl=ca.crl()))

        def ask(newest):
            """One request: of a whole generation, or refused by a proxy that isn't there."""
            answer = pair.get("orders.test")
            self.assertEqual(answer.status, 200, f"change {newest}: {answer!r}")
            serial = re.search(rb"serial=0*(\w+)", answer.body)[1].decode().lower()
            self.assertIn(serial, known)
            return known[serial]

        apply(0)
        pair.start()
        pair.wait_for("orders.test", 200)
        kills = {"controller": 0, "proxy": 0, "both": 0}
        for number in range(1, CHANGES + 1):
            apply(number)
            time.sleep(chance.random() * 0.2)  # the moment: before, within or after the publish
            victim = chance.choices(list(kills), weights=(5, 4, 1))[0]
            kills[victim] += 1
            if victim != "proxy":
                pair.kill_controller()
                check_generation(pair.state)
            if victim != "controller":
                pair.kill_proxy()
                pair.start_proxy(wait=False)
            if victim != "proxy":
                pair.start_controller()
            if victim != "controller":
                pair.find_proxy()
                eventually(pair.is_ready, f"readiness after change {number}")
            ask(number)

        eventually(lambda: ask(CHANGES) == CHANGES, "the last change is served")
        self.assertGreater(check_generation(pair.state), 0)
        for process in [pair.proxy, *pair.past]:
            if process.name == "handfast-proxy":
                self.assertEqual(process.logged(level="error"), [])
            self.assertIn(process.exit_code, (None, -signal.SIGKILL), process.tail())
        rejected = [line for process in [pair.controller, *pair.past] for line in
                    process.logged(level="error")]
        self.assertEqual(rejected, [])
        # What crashes left behind is collected: one pair, one CA, one CRL, and those before.
        eventually(lambda: len(list(pair.state.glob("tls/shop/orders-tls/*/tls.pem"))) <= 2,
                   "old keys removed")
        eventually(lambda: not list((pair.state / "tmp").glob("*")), "nothing left in tmp")
        print(f"{CHANGES} changes, kills: {kills}", file=sys.stderr)


class DamagedFiles(unittest.TestCase):
    def setUp(self):
        ca = Authority("backends")
        backend = Nginx(ca.server("orders.shop.svc"), client_ca=ca.cert_pem)
        self.addCleanup(backend.close)
        leaf = ca.client("orders")
        self.pair = Pair()
        self.addCleanup(self.pair.close)
        self.pair.manifests.apply(
            "all", manifests.ingress_class(), manifests.service("orders", backend.port),
            manifests.secret("orders-tls", tls_crt=leaf.cert_pem, tls_key=leaf.key_pem,
                             ca_crt=ca.cert_pem, ca_crl=ca.crl()),
            manifests.ingress("orders", "orders.test", annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/orders-tls"}))
        self.pair.start()
        self.pair.wait_for("orders.test", 200)

    def damage(self):
        """Each file in its own way; answers them with their content of before."""
        files = {path: path.read_bytes()
                 for path in sorted(self.pair.state.glob("tls/shop/orders-tls/*/*"))}
        self.assertEqual({path.name for path in files}, {"tls.pem", "ca.crt", "ca.crl"})
        for path, content in files.items():
            path.unlink()
            if path.name == "tls.pem":
                path.touch()
            elif path.name == "ca.crl":
                path.write_bytes(content[:len(content) // 2])
        return files

    def check_healed(self, files):
        self.pair.wait_for("orders.test", 200)
        for path, content in files.items():
            self.assertEqual(path.read_bytes(), content, path)
        eventually(lambda: not list((self.pair.state / "tmp").glob("*")), "nothing left in tmp")

    def test_are_written_anew_when_both_start_again(self):
        self.pair.kill_controller()
        self.pair.kill_proxy()
        files = self.damage()
        self.pair.start()

        self.check_healed(files)

    def test_are_written_anew_when_a_proxy_that_starts_rejects_them(self):
        self.pair.kill_proxy()
        files = self.damage()
        self.pair.start_proxy()

        self.check_healed(files)


class Supervision(unittest.TestCase):
    """`handfast run` starts a child again that died."""

    def setUp(self):
        ca = Authority("backends")
        self.client = ca.client("first")
        backend = Nginx(ca.server("a.shop.svc"), client_ca=ca.cert_pem)
        self.addCleanup(backend.close)
        self.handfast = Handfast()
        self.addCleanup(self.handfast.close)
        self.secret = lambda leaf: manifests.secret("a-tls", tls_crt=leaf.cert_pem,
                                                    tls_key=leaf.key_pem, ca_crt=ca.cert_pem)
        self.ca = ca
        self.handfast.apply("all", manifests.ingress_class(),
                            manifests.service("a", backend.port),
                            manifests.ingress("a", "a.test", annotations={
                                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/a-tls"}))
        self.handfast.apply("secret", self.secret(self.client))
        self.handfast.wait_for("a.test", 200, text="CN=first")

    def test_killed_proxy_comes_back_and_serves_from_its_files(self):
        old = self.handfast.child("handfast-proxy")
        before = len(self.handfast.proxy.logged(message="listening"))

        os.kill(old, signal.SIGKILL)

        eventually(lambda: len(self.handfast.proxy.logged(message="listening")) >= before + 3,
                   "the new listeners")
        self.handfast._read_listeners(self.handfast.proxy)
        self.handfast.wait_for("a.test", 200, text="CN=first")
        self.handfast.apply("secret", self.secret(self.ca.client("second")))
        self.handfast.wait_for("a.test", 200, text="CN=second")

    def test_killed_controller_comes_back_and_the_proxy_served_all_the_time(self):
        old = self.handfast.child("handfast-controller")

        os.kill(old, signal.SIGKILL)
        self.handfast.apply("secret", self.secret(self.ca.client("second")))

        def check():
            answer = clients.fetch(self.handfast.http, "a.test")
            self.assertEqual(answer.status, 200)
            return b"CN=second" in answer.body

        eventually(check, "the change")


if __name__ == "__main__":
    unittest.main()

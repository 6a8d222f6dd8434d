"""Large revocation lists: one of a million entries, and one that hundreds of routes share."""

import os
import pathlib
import re
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import apps, manifests  # noqa: E402
from harness.backends import Backend, Nginx  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.crl_case import CrlDirectoryCase  # noqa: E402
from harness.handfast import is_sanitized  # noqa: E402
from harness.waiting import eventually  # noqa: E402

SANITIZED = is_sanitized()  # slow, and of a memory of its own
ENTRIES = 100_000 if SANITIZED else 1_000_000
SHARED_ENTRIES = 10_000
ROUTES = 500


class Memory:
    """Of a process, in bytes more than when this was made."""

    def __init__(self, pid):
        self._status = pathlib.Path(f"/proc/{pid}/status")
        self._base = self._bytes("VmRSS")

    def _bytes(self, field):
        return 1024 * int(re.search(rf"{field}:\s+(\d+)", self._status.read_text())[1])

    def now(self):
        return self._bytes("VmRSS") - self._base

    def most(self):
        return self._bytes("VmHWM") - self._base

    def assert_settles(self, limit):
        def check():
            assert self.now() < limit, f"{self.now():,} bytes more"
            return True

        eventually(check, f"less than {limit:,} bytes more")


class Asking:
    """Requests, one after the other over one connection, for `hosts` in turn, until stop()."""

    def __init__(self, front, hosts):
        self.front, self.hosts = front, hosts
        self.answers = []  # (begin, end, status)
        self._failure = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            with self.front.connect() as connection:
                while not self._end.wait(0.002):
                    began = time.monotonic()
                    host = self.hosts[len(self.answers) % len(self.hosts)]
                    connection.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
                    status = connection.response().status
                    self.answers.append((began, time.monotonic(), status))
        except Exception as error:  # noqa: B902, whatever it is, the test fails
            self._failure = error

    def stop(self):
        self._end.set()
        self._thread.join(60)
        if self._failure is not None:
            raise self._failure
        return self.answers


class MillionEntries(CrlDirectoryCase):
    def serve(self, name, leaf=None):
        """At NAME.test, by mutual TLS if with a leaf."""
        backend = self.use(Backend(leaf, handle=apps.h1))
        annotations = {"backend-protocol": "HTTPS", "proxy-ssl-secret": f"shop/{self.name}-tls"}
        self.apply(name, manifests.ingress(name, f"{name}.test",
                                           annotations=annotations if leaf else {}),
                   manifests.service(name, backend.port))
        self.handfast.wait_for(f"{name}.test", 200)

    def put(self, crl):
        """Returns when it is served."""
        before = self.handfast.generation()
        self.volume.swap({"huge": crl})
        eventually(lambda: self.handfast.generation() > before, "the list", patience=120)

    def test_is_enforced_and_keeps_nobody_waiting(self):
        good, revoked = self.ca.server("good.shop.svc"), self.ca.server("revoked.shop.svc")
        self.apply_secret(self.ca.client(), self.ca)
        self.serve("good", good)
        self.serve("revoked", revoked)
        self.serve("other")
        crl = self.ca.huge_crl_der(ENTRIES, [revoked])
        proxy = Memory(self.handfast.child("handfast-proxy"))
        controller = Memory(self.handfast.child("handfast-controller"))

        asking = [Asking(self.handfast, ["other.test"]) for _ in range(4)]
        self.put(crl)
        served = time.monotonic()
        answers = [each.stop() for each in asking]
        load = self.handfast.metrics().value("handfast_generation_load_seconds")

        self.assertEqual(self.handfast.get("revoked.test", "/now").status, 502)
        self.assertEqual(self.handfast.reason("revoked.test", "/now"), "revoked")
        self.assertEqual(self.handfast.get("good.test").status, 200)
        for each in answers:
            self.assertEqual({status for _, _, status in each}, {200})
            self.assertLess(max(end - began for began, end, _ in each), load / 2 + 0.5)
            self.assertGreater(sum(served - load < end < served for _, end, _ in each), 20)

        # Nothing of the list before is kept, though a connection lives on.
        self.put(self.ca.huge_crl_der(ENTRIES, [revoked]))
        self.assertEqual(self.handfast.get("good.test").status, 200)
        if not SANITIZED:
            proxy.assert_settles(3 * len(crl))
            controller.assert_settles(4 * len(crl))
            self.assertLess(proxy.most(), 8 * len(crl))
            self.assertLess(controller.most(), 8 * len(crl))


class SharedByHundreds(HandfastCase):
    def test_is_held_once_and_a_change_of_it_is_everybodys(self):
        names = [f"{self.name}-{number}" for number in range(ROUTES)]
        hosts = [f"{name}.test" for name in names]
        leaf, client = self.ca.server(*(f"{name}.shop.svc" for name in names)), self.ca.client()
        backend = self.use(Nginx(leaf))
        annotations = {"backend-protocol": "HTTPS", "proxy-ssl-secret": f"shop/{self.name}-tls"}
        self.apply_secret(client, self.ca, crl=self.ca.crl())
        self.apply("routes", *(
            group for name, host in zip(names, hosts)
            for group in (manifests.ingress(name, host, annotations=annotations),
                          manifests.service(name, backend.port))))
        self.handfast.wait_for(hosts[-1], 200)
        for host in hosts:
            self.assertEqual(self.handfast.get(host).status, 200)
        proxy = Memory(self.handfast.child("handfast-proxy"))
        generation = self.handfast.generation()
        crl = self.ca.huge_crl_der(SHARED_ENTRIES)
        self.apply_secret(client, self.ca, crl=crl)
        eventually(lambda: self.handfast.generation() > generation, "the list")

        asking = Asking(self.handfast, hosts)
        eventually(lambda: len(asking.answers) > ROUTES, "answers")
        changed = time.monotonic()
        self.apply_secret(client, self.ca, crl=self.ca.huge_crl_der(SHARED_ENTRIES, [leaf]))
        eventually(lambda: asking.answers[-1][2] == 502, "a refusal")
        last = len(asking.answers)
        eventually(lambda: len(asking.answers) > last + ROUTES, "answers of all")
        answers = asking.stop()

        self.assertEqual({status for _, _, status in answers}, {200, 502})
        good = [began for began, _, status in answers if status == 200]
        self.assertLess(good[-1] - changed, 5 if SANITIZED else 1)
        self.assertEqual({status for _, _, status in answers[-ROUTES:]}, {502})
        if not SANITIZED:
            proxy.assert_settles(ROUTES // 4 * len(crl))


if __name__ == "__main__":
    unittest.main()

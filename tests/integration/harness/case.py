"""The base of the test cases: one running program for a class, a host of its own for each test."""

import itertools
import unittest

from . import manifests
from .handfast import Handfast
from .pki import Authority


class NamedCase(unittest.TestCase):
    """A test takes names that no other test has, so the tests of a class also show that objects
    don't disturb each other. `ca` is whom backends have their certificates of, `programs` answers
    requests."""

    numbers = itertools.count(1)

    def setUp(self):
        self.name = f"t{next(self.numbers)}"
        self.host = f"{self.name}.test"

    def use(self, backend):
        """Closes a backend when the test ends."""
        self.addCleanup(backend.close)
        return backend

    def server(self, name=None, **options):
        """A server certificate with the name that is expected of this test's Service."""
        return self.ca.server(f"{name or self.name}.shop.svc", **options)

    def secret(self, leaf=None, ca=None, crl=None, **more):
        keys = dict(more)
        if leaf is not None:
            keys.setdefault("tls_crt", leaf.chain_pem)
            keys.setdefault("tls_key", leaf.key_pem)
        if ca is not None:
            keys.setdefault("ca_crt", ca if isinstance(ca, (str, bytes)) else ca.cert_pem)
        if crl is not None:
            keys.setdefault("ca_crl", crl)
        return manifests.secret(f"{self.name}-tls", **keys)

    def get(self, target="/", **options):
        return self.programs.get(self.host, target, **options)

    def wait_for(self, status, text=None, **options):
        return self.programs.wait_for(self.host, status, text=text, **options)

    def reason_now(self, **options):
        """The word that a request of now is logged with."""
        target = f"/why-{next(self.numbers)}"
        self.get(target, **options)
        return self.programs.reason(self.host, target)


class HandfastCase(NamedCase):
    """Starts `handfast run` once for the class."""

    flags = ()
    workers = 2
    controller_metrics = False

    @classmethod
    def setUpClass(cls):
        cls.ca = Authority("backends")
        cls.other_ca = Authority("others")
        cls.handfast = cls.start_programs()
        cls.handfast.apply("class", manifests.ingress_class())

    @classmethod
    def start_programs(cls):
        return Handfast(*cls.flags, workers=cls.workers, controller_metrics=cls.controller_metrics)

    @classmethod
    def tearDownClass(cls):
        cls.handfast.close()

    @property
    def programs(self):
        return self.handfast

    def apply(self, suffix, *objects):
        self.handfast.apply(f"{self.name}-{suffix}", *objects)

    def delete(self, suffix):
        self.handfast.delete(f"{self.name}-{suffix}")

    def apply_secret(self, leaf=None, ca=None, crl=None, **more):
        self.apply("secret", self.secret(leaf, ca, crl, **more))

    def apply_ingress(self, *ports, annotations=None, prefix=manifests.NGINX, secret=True,
                      protocol="HTTPS", **options):
        """An Ingress, its Service and its endpoints, all with the test's name."""
        all_of_them = {}
        if protocol:
            all_of_them["backend-protocol"] = protocol
        if secret and protocol == "HTTPS":
            all_of_them["proxy-ssl-secret"] = f"shop/{self.name}-tls"
        all_of_them.update(annotations or {})
        all_of_them = {k: v for k, v in all_of_them.items() if v is not None}
        self.apply("ingress",
                   manifests.ingress(self.name, self.host, annotations=all_of_them, prefix=prefix,
                                     **options),
                   manifests.service(self.name, *ports))

    def assert_refused(self, status, word):
        """The host settles on `status`, with the word in the access log; `word` may be a tuple."""
        words = word if isinstance(word, tuple) else (word,)
        self.wait_for(status)
        self.assertIn(self.reason_now(), words)

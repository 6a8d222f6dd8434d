"""The base of the test cases against a real API server: one of these, and one Handfast, for a file
or a class."""

import itertools
import unittest

from . import manifests
from .cluster import Cluster, ClusterPair
from .pki import Authority
from .waiting import eventually


class KubeCase(unittest.TestCase):
    """As HandfastCase, with a cluster in the directory's place. The cluster is started for the first
    class of a file that asks and ends with the process; a class with `cluster_flags` has its own."""

    cluster_flags = ()
    controller_flags = ()
    numbers = itertools.count(1)
    _shared = None

    @classmethod
    def setUpClass(cls):
        cls.ca = Authority("backends")
        cls.other_ca = Authority("others")
        if cls.cluster_flags:
            cls.cluster = Cluster(*cls.cluster_flags)
        else:
            if KubeCase._shared is None:
                KubeCase._shared = Cluster()
            cls.cluster = KubeCase._shared
        cls.prepare()
        cls.pair = ClusterPair(cls.cluster.account_kubeconfig(f"{cls.__name__}.kubeconfig"),
                               *cls.controller_flags)
        cls.pair.start()

    @classmethod
    def prepare(cls):
        cls.cluster.install("rbac.yaml", "crds")
        cls.cluster.namespace("shop")
        cls.cluster.apply(manifests.ingress_class())

    @classmethod
    def tearDownClass(cls):
        try:
            cls.pair.close()
        finally:
            if cls.cluster_flags:
                cls.cluster.close()

    def setUp(self):
        self.name = f"t{next(self.numbers)}"
        self.host = f"{self.name}.test"

    def use(self, backend):
        self.addCleanup(backend.close)
        return backend

    def server(self, name=None, **options):
        return self.ca.server(f"{name or self.name}.shop.svc", **options)

    def secret(self, leaf=None, ca=None, crl=None):
        keys = {}
        if leaf is not None:
            keys.update(tls_crt=leaf.chain_pem, tls_key=leaf.key_pem)
        if ca is not None:
            keys["ca_crt"] = ca.cert_pem
        if crl is not None:
            keys["ca_crl"] = crl
        return manifests.secret(f"{self.name}-tls", **keys)

    def tls_ingress(self, **options):
        return manifests.ingress(self.name, self.host, annotations={
            "backend-protocol": "HTTPS", "proxy-ssl-secret": f"shop/{self.name}-tls"}, **options)

    def plain_ingress(self, **options):
        return manifests.ingress(self.name, self.host, **options)

    def get(self, target="/", **options):
        return self.pair.get(self.host, target, **options)

    def wait_for(self, status, text=None, **options):
        return self.pair.wait_for(self.host, status, text=text, **options)

    def reason_now(self):
        target = f"/why-{next(self.numbers)}"
        self.get(target)
        return self.pair.reason(self.host, target)

    def wait_for_reason(self, word):
        """Objects come one after the other, so that there may be another reason at first."""
        return eventually(lambda: self.reason_now() == word, f"the reason {word}")

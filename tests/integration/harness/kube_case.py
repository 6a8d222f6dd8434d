"""The base of the test cases against a real API server: one of these, and one Handfast, for a file
or a class."""

import functools

from . import manifests
from .case import NamedCase
from .cluster import Cluster, ClusterPair
from .pki import Authority
from .waiting import eventually


@functools.lru_cache(maxsize=1)
def shared_cluster():
    return Cluster()


def install(cluster):
    cluster.install("rbac.yaml", "crds")
    cluster.namespace("shop")
    cluster.apply(manifests.ingress_class())


class KubeCase(NamedCase):
    """As HandfastCase, with a cluster in the directory's place. The cluster is started for the first
    class of a file that asks and ends with the process; a class with `cluster_flags` has its own."""

    cluster_flags = ()
    controller_flags = ()

    @classmethod
    def setUpClass(cls):
        cls.ca = Authority("backends")
        cls.other_ca = Authority("others")
        cls.cluster = Cluster(*cls.cluster_flags) if cls.cluster_flags else shared_cluster()
        cls.prepare()
        cls.pair = ClusterPair(cls.cluster.account_kubeconfig(f"{cls.__name__}.kubeconfig"),
                               *cls.controller_flags)
        cls.pair.start()

    @classmethod
    def prepare(cls):
        install(cls.cluster)

    @classmethod
    def tearDownClass(cls):
        try:
            cls.pair.close()
        finally:
            if cls.cluster_flags:
                cls.cluster.close()

    @property
    def programs(self):
        return self.pair

    def policy_objects(self, client, port, **options):
        """An Ingress and a Service under a policy by which `client` is shown and our CA believed."""
        return (self.secret(client), self.plain_ingress(), manifests.service(self.name, port),
                manifests.config_map(f"{self.name}-ca", ca_crt=self.ca.cert_pem),
                manifests.upstream_tls_policy(
                    self.name, self.name, client=f"{self.name}-tls",
                    ca=[manifests.material_ref("ConfigMap", f"{self.name}-ca")], **options))

    def tls_ingress(self, **options):
        return manifests.ingress(self.name, self.host, annotations={
            "backend-protocol": "HTTPS", "proxy-ssl-secret": f"shop/{self.name}-tls"}, **options)

    def plain_ingress(self, **options):
        return manifests.ingress(self.name, self.host, **options)

    def wait_for_reason(self, word):
        """Objects come one after the other, so that there may be another reason at first."""
        return eventually(lambda: self.reason_now() == word, f"the reason {word}")

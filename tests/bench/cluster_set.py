"""A cluster as large as one may get: for each app an Ingress, a Service, a TLS Secret and two
EndpointSlices, as objects of the Kubernetes API. How they are delivered is the caller's.

Every Secret has a key pair of its own: what thousands of them cost is what is asked. Making them
takes seconds, so they are kept in a folder of the caller's (`Pairs`)."""

import base64
import datetime
import ipaddress
import json
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAMESPACES = 100
SLICES = 2
# No API server takes an endpoint on loopback: the bench has a network where all of these are local.
NETWORK = ipaddress.ip_network("100.64.0.0/10")
BACKEND_NAME = "backend.scale.svc"
_PREFIX = "nginx.ingress.kubernetes.io/"


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_text(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


class Pairs:
    """Certificates of one authority, each with its own EC key; in one file of the folder."""

    def __init__(self, folder, count):
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "pairs.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        if known.get("until", "") < datetime.datetime.now().isoformat():
            known = {}
        if len(known.get("pairs", ())) < count:
            known = self._make(known, count)
            file.write_text(json.dumps(known))
        self.ca = known["ca"]
        self.backend = known["backend"]
        self._pairs = known["pairs"]

    def __getitem__(self, number):
        """(certificate, key), in PEM."""
        return self._pairs[number]

    def _make(self, known, count):
        now = datetime.datetime.now(datetime.timezone.utc)
        until = now + datetime.timedelta(days=25)
        key = ec.generate_private_key(ec.SECP256R1())
        authority = self._certificate("scale CA", key.public_key(), "scale CA", key, now, None)
        issue = lambda number, names: self._issue(number, names, key, now)  # noqa: E731
        return {
            "until": (until - datetime.timedelta(days=10)).replace(tzinfo=None).isoformat(),
            "ca": authority, "backend": issue("backend", [BACKEND_NAME]),
            "pairs": [issue(str(i), [host(i)]) for i in range(count)]}

    def _issue(self, name, names, authority, now):
        key = ec.generate_private_key(ec.SECP256R1())
        return [self._certificate(name, key.public_key(), "scale CA", authority, now, names),
                _key_text(key)]

    @staticmethod
    def _certificate(subject, public, issuer, key, now, names):
        builder = (x509.CertificateBuilder()
                   .subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(public)
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=40))
                   .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), True))
        if names is not None:
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = (builder
                       .add_extension(x509.ExtendedKeyUsage(both), False)
                       .add_extension(x509.SubjectAlternativeName(
                           [x509.DNSName(name) for name in names]), False))
        return builder.sign(key, hashes.SHA256()).public_bytes(
            serialization.Encoding.PEM).decode()


def namespace(number):
    return f"team-{number % NAMESPACES:03}"


def app(number):
    return f"app-{number:05}"


def host(number):
    return f"{app(number)}.scale.example"


def _meta(number, name, **more):
    return {"namespace": namespace(number), "name": name, **more}


def ingress(number):
    path = {"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": app(number), "port": {"number": 443}}}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": _meta(number, app(number), annotations={
                _PREFIX + "backend-protocol": "HTTPS",
                _PREFIX + "proxy-ssl-secret": f"{namespace(number)}/{app(number)}-tls",
                _PREFIX + "proxy-ssl-name": BACKEND_NAME,
                _PREFIX + "ssl-redirect": "false"}),
            "spec": {"ingressClassName": "handfast",
                     "tls": [{"hosts": [host(number)], "secretName": f"{app(number)}-tls"}],
                     "rules": [{"host": host(number), "http": {"paths": [path]}}]}}


def ingress_class():
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "handfast"},
            "spec": {"controller": "handfast.dev/ingress-controller"}}


def service(number):
    return {"apiVersion": "v1", "kind": "Service", "metadata": _meta(number, app(number)),
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 8443}]}}


def secret(number, pairs, pair=None):
    """`pair`: of another app's, for a rotation."""
    certificate, key = pairs[number if pair is None else pair]
    data = {"tls.crt": certificate, "tls.key": key, "ca.crt": pairs.ca}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": _meta(number, f"{app(number)}-tls"),
            "data": {name: base64.b64encode(text.encode()).decode()
                     for name, text in data.items()}}


def address(number, which, turn=0):
    """Of the network namespace, another one for each endpoint and turn."""
    return str(NETWORK[0] + (number * SLICES + which) * 64 + turn % 64 + 1)


def endpoint_slice(number, which, port, turn=0):
    labels = {"kubernetes.io/service-name": app(number)}
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": _meta(number, f"{app(number)}-{which}", labels=labels),
            "addressType": "IPv4", "ports": [{"name": "https", "port": port}],
            "endpoints": [{"addresses": [address(number, which, turn)],
                           "conditions": {"ready": True}}]}


def everything(count, pairs, port):
    """All objects, by (app or None, object)."""
    yield None, ingress_class()
    for number in range(count):
        yield number, ingress(number)
        yield number, service(number)
        yield number, secret(number, pairs)
        for which in range(SLICES):
            yield number, endpoint_slice(number, which, port)


class Directory:
    """Delivers as a directory of manifests: a file for each object, replaced by one rename."""

    environment = {}

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self._staging = self.folder.parent / f"{self.folder.name}.staging"
        for each in (self.folder, self._staging):
            each.mkdir(parents=True)
        self.controller_arguments = ("--manifests", self.folder)

    def load(self, things):
        for each in things:
            self.put(each)

    def close(self):
        """The folder is the caller's."""

    def put(self, thing):
        meta = thing["metadata"]
        place = self.folder / meta.get("namespace", "_cluster")
        name = f"{thing['kind'].lower()}-{meta['name']}.json"
        if not place.exists():
            place.mkdir()
        new = self._staging / name
        new.write_text(json.dumps(thing))
        new.rename(place / name)

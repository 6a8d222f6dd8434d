"""Nothing fails open: one field, key, object or byte of a working set-up is dropped or altered at
random, and no request reaches a backend unverified, under another identity, or in plaintext; nor
one of a client who shows no certificate where one is asked for, or whom an auth server denies.
Half of the requests come over HTTP/2, and each backend is one of HTTP/1.1, HTTP/2 and gRPC in turn.

Under the operator's floor (mutual TLS, with a CRL), since without it a person may well ask for
plain HTTP by dropping an annotation. HANDFAST_SEED repeats a run; HANDFAST_MUTATIONS says how many,
10 at least (500; `./dev soak` takes 10,000)."""

import copy
import json
import os
import pathlib
import random
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import apps, clients, http2, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.handfast import Handfast  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402

SEED = int(os.environ.get("HANDFAST_SEED") or random.SystemRandom().randrange(10**6))
MUTATIONS = int(os.environ.get("HANDFAST_MUTATIONS", "500"))
TENANTS = 10  # each round alters one thing of each, the last one of those that are left
ENOUGH = 100  # alterations, to say that some disturb and some don't

PROTOCOLS = ("HTTP/1.1", "HTTP/2", "gRPC")
GRPC = [("content-type", "application/grpc"), ("te", "trailers")]
# What answers to gRPC mean elsewhere; 502 stands for what has that number there, too.
STATUSES = {"0": 200, "7": 403, "12": 404, "13": 500, "14": 502, "16": 400}

# What a person writes to open a route to everybody is no alteration by chance.
VERIFY_CLIENT = manifests.NGINX + "auth-tls-verify-client"
OPENERS = ("off", "optional", "optional_no_ca")

WORDS = ("", "off", "on", "none", "true", "false", "0", "1", "-1", "HTTP", "http", "optional",
         "system", "*", "null", "TLSv1", "\x00", "ffff", "é", " ", "/")


def status_of(answer):
    fields = [*answer.headers, *(getattr(answer, "trailers", None) or [])]
    grpc = dict(fields).get("grpc-status")
    return answer.status if grpc is None else STATUSES[grpc]


def answer_h2(stream):
    if stream.seen.header("content-type") != dict(GRPC)["content-type"]:
        apps.h2_reply(stream)
        return
    stream.send_headers([(":status", "200"), GRPC[0]])
    stream.send(bytes(5))  # a message without content
    stream.end([("grpc-status", "0")])


class Wire:
    """A backend without TLS: whatever arrives is kept."""

    def __init__(self):
        self.received = []
        self._backend = Backend(on_accept=self._take)
        self.port = self._backend.port
        self.close = self._backend.close

    def _take(self, sock):
        sock.settimeout(5)
        data = sock.recv(65536)
        if data:
            self.received.append(data)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def leaks(self):
        """A ClientHello is a record of type 22; a request in the clear begins with a letter."""
        return [data[:60] for data in self.received if data[0] != 22]


# --- one alteration ------------------------------------------------------------------------------

def places(value, path=()):
    """The paths of everything below a document."""
    inner = (value.items() if isinstance(value, dict) else
             enumerate(value) if isinstance(value, list) else ())
    for key, one in inner:
        yield path + (key,)
        yield from places(one, path + (key,))


def holder(document, path):
    for key in path[:-1]:
        document = document[key]
    return document


def alter_text(rng, text):
    kind = rng.randrange(5)
    if not text or kind == 0:
        return rng.choice(WORDS)
    at = rng.randrange(len(text))
    if kind == 1:
        return text[:at]
    if kind == 2:
        return text[:at] + text[at + 1:]
    if kind == 3:
        return text.swapcase()
    return text[:at] + chr(rng.randrange(32, 127)) + text[at + 1:]


def alter(rng, documents):
    """Drops or alters one thing; answers the bytes of the file and what was done."""
    documents = copy.deepcopy(documents)
    index = rng.randrange(len(documents))
    document = documents[index]
    title = f"{document['kind']} {document['metadata']['name']}"
    kind = rng.randrange(10)
    if kind == 0:
        del documents[index]
        return manifests.dump(*documents).encode(), f"{title}: dropped"
    if kind == 1:
        text = bytearray(manifests.dump(*documents).encode())
        at = rng.randrange(len(text))
        before, text[at] = text[at], rng.randrange(256)
        return bytes(text), f"byte {at} of the file: {before:#x} -> {text[at]:#x}"
    path = rng.choice(list(places(document)))
    if rng.random() < 0.6:  # else they would hardly ever be the ones
        kinds = [(found, one) for found in documents for one in places(found)
                 if len(one) > 1 and one[-2] in ("annotations", "data")]
        document, path = rng.choice(kinds)
        title = f"{document['kind']} {document['metadata']['name']}"
    if path[-1] == "annotations":  # all that was asked for at once: an Ingress that asks for nothing
        path += (rng.choice(list(document["metadata"]["annotations"])),)
    where = holder(document, path)
    value = where[path[-1]]
    if kind <= 4:
        del where[path[-1]]
        return manifests.dump(*documents).encode(), f"{title}: {path} dropped"
    if kind == 5 and isinstance(where, dict):
        new = alter_text(rng, path[-1])
        where[new] = where.pop(path[-1])
        return manifests.dump(*documents).encode(), f"{title}: {path} is called {new!r}"
    if isinstance(value, str):
        new = alter_text(rng, value)
    elif isinstance(value, (bool, int)):
        new = rng.choice([True, False, None, 0, 1, -1, 65536, "x", [], {}])
    else:
        new = rng.choice([None, "x", 1, True, [], {}])
    if path[-1] == VERIFY_CLIENT and str(new).strip().lower() in OPENERS:
        new = "on "
    where[path[-1]] = new
    return manifests.dump(*documents).encode(), f"{title}: {path} is now {json.dumps(new)[:80]}"


class FailOpen(unittest.TestCase):
    """By annotations."""

    flags = ("--minimum-upstream-tls", "mutual,crl", "--access-log", "off")
    share = MUTATIONS * 3 // 5

    @classmethod
    def setUpClass(cls):
        cls.ca, cls.foreign = Authority("backends"), Authority("foreign")
        cls.people = Authority("people")
        cls.client = cls.ca.client("handfast")
        cls.decoy = cls.ca.client("decoy")  # as good to the backend, but nobody's to present
        revoked = cls.ca.server("revoked.shop.svc", "good.shop.svc")
        expired = cls.ca.server("expired.shop.svc", "good.shop.svc",
                                not_before=from_now(days=-3), not_after=from_now(days=-1))
        cls.crl = cls.ca.crl([revoked.serial])

        def serve(leaf):
            return http2.Http2Backend(leaf, client_ca=cls.ca.cert_pem, verify="optional",
                                      on_stream=answer_h2, alpn=("h2", "http/1.1"))

        cls.wire = Wire()
        cls.good = serve(cls.ca.server("good.shop.svc", "tenant.svc"))
        cls.evil = {
            "foreign": serve(cls.foreign.server("foreign.shop.svc", "good.shop.svc")),
            "misnamed": serve(cls.ca.server("somebody.else.test")),
            "revoked": serve(revoked),
            "expired": serve(expired),
        }
        names = [f"t{number}-auth.shop.svc" for number in range(TENANTS)]
        cls.denier = Backend(cls.ca.server(*names), client_ca=cls.ca.cert_pem,
                             handle=lambda connection, _: connection.reply(status="403 No"))
        cls.nowhere = Backend(cls.ca.server("nowhere.shop.svc"), client_ca=cls.ca.cert_pem,
                              handle=lambda connection, _: connection.reply(status="404 No"))
        # One for each protocol, since ALPN is the context's.
        cls.persons = [clients.any_client_context() for _ in range(2)]
        with tempfile.TemporaryDirectory() as folder:
            files = cls.people.client("alice").write(pathlib.Path(folder), "a")
            for person in cls.persons:
                person.load_cert_chain(*files)
        cls.choices = random.Random(SEED + 1)  # not those of the alterations
        cls.connection = None
        cls.handfast = Handfast(*cls.flags)
        cls.handfast.apply("class", manifests.ingress_class())
        # An Ingress that loses its host claims the requests for hosts that others lost in the same
        # round, which opens nothing: this one comes before it in the order of conflicts.
        cls.handfast.apply(
            "any-host",
            manifests.secret("any-tls", tls_crt=cls.client.chain_pem, tls_key=cls.client.key_pem,
                             ca_crt=cls.ca.cert_pem, ca_crl=cls.crl),
            manifests.ingress("z-any-host", annotations={
                "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/any-tls",
                "proxy-ssl-name": "nowhere.shop.svc"}),
            manifests.service("z-any-host", cls.nowhere.port))
        cls.handfast.apply("decoy", manifests.secret(
            "decoy", tls_crt=cls.decoy.chain_pem, tls_key=cls.decoy.key_pem,
            ca_crt=cls.foreign.cert_pem, ca_crl=cls.foreign.crl()))

    @classmethod
    def tearDownClass(cls):
        for backend in (cls.wire, cls.good, cls.denier, cls.nowhere, *cls.evil.values()):
            backend.close()
        if cls.connection is not None:
            cls.connection.close()
        cls.handfast.close()

    # --- the working set-up ---------------------------------------------------------------------

    def peers(self):
        """By the first label of the host. "private" is the good one, for people with a
        certificate; "asked" the good one behind an auth server that denies everything."""
        return {"good": self.good, "private": self.good, "asked": self.good, "wire": self.wire,
                **self.evil}

    def protocol(self, tenant, peer):
        """What its backend is spoken to in."""
        return PROTOCOLS[(int(tenant[1:]) + list(self.peers()).index(peer)) % len(PROTOCOLS)]

    def documents(self, tenant):
        """One Ingress and Service for each backend, and the Secrets of them all."""
        found = [manifests.secret(f"{tenant}-tls", tls_crt=self.client.chain_pem,
                                  tls_key=self.client.key_pem, ca_crt=self.ca.cert_pem,
                                  ca_crl=self.crl),
                 manifests.secret(f"{tenant}-people", ca_crt=self.people.cert_pem)]
        for peer, backend in self.peers().items():
            annotations = {**self.upstream(tenant, self.protocol(tenant, peer)),
                           "proxy-next-upstream": "error timeout"}
            if peer == "private":
                annotations.update({"auth-tls-secret": f"shop/{tenant}-people",
                                    "auth-tls-verify-client": "on", "ssl-redirect": "false"})
            if peer == "asked":
                annotations.update({
                    "auth-url": f"https://{tenant}-auth.shop.svc/check",
                    "auth-response-headers": "X-Auth-User",
                    manifests.OWN + "auth-proxy-ssl-secret": f"shop/{tenant}-tls"})
                found += manifests.service(f"{tenant}-auth", self.denier.port)
            found += [manifests.ingress(f"{tenant}-{peer}", f"{peer}.{tenant}.test",
                                        annotations=annotations)]
            found += manifests.service(f"{tenant}-{peer}", backend.port)
        return found + self.policies(tenant)

    def upstream(self, tenant, protocol):
        http2_too = {http2.ANNOTATION: "true"} if protocol == "HTTP/2" else {}
        return {"backend-protocol": "GRPCS" if protocol == "gRPC" else "HTTPS", **http2_too,
                "proxy-ssl-secret": f"shop/{tenant}-tls",
                "proxy-ssl-verify": "on", "proxy-ssl-verify-depth": "2",
                "proxy-ssl-name": "good.shop.svc", "proxy-ssl-server-name": "on",
                "proxy-ssl-protocols": "TLSv1.2 TLSv1.3"}

    def policies(self, _tenant):
        return []

    # --- what must hold -------------------------------------------------------------------------

    def fetch(self, tenant, peer, target="/", tls=None):
        """The status, by one of both protocols; `tls`: contexts for them."""
        host = f"{peer}.{tenant}.test"
        if self.choices.random() < 0.5:
            return self.handfast.get(host, target, tls=tls and tls[0]).status
        grpc = self.protocol(tenant, peer) == "gRPC"
        said = {"method": "POST", "headers": GRPC} if grpc else {}
        if tls is None:
            return status_of(self.connect().fetch(host, target, **said))
        with http2.connect(self.handfast, host, tls[1]) as connection:
            return status_of(connection.fetch(host, target, scheme="https", **said))

    def connect(self):
        """Where many hosts are asked for, as long as it lives."""
        if self.connection is None or self.connection.lost or self.connection.goaway:
            type(self).connection = http2.connect(self.handfast)
        return self.connection

    def ask(self, tenant):
        """The statuses by peer."""
        statuses = {}
        for peer in self.peers():
            target = f"/{peer}" if peer in ("private", "asked") else "/"
            statuses[peer] = self.fetch(tenant, peer, target)
            self.assertIn(statuses[peer], {200, 308, 400, 403, 404, 500, 502, 503, 504}, peer)
        statuses["private over TLS"] = self.fetch(tenant, "private", "/private", tls=(True, True))
        return statuses

    def faults(self):
        """What reached a backend and should not have."""
        found = [("plaintext", data) for data in self.wire.leaks()]
        found += [(name, request.target) for name, backend in self.evil.items()
                  for request in list(backend.seen)]
        found += [("identity", request.connection.client_name) for request in list(self.good.seen)
                  if request.connection.client_serial != self.client.serial]
        found += [("a stranger", request.target) for request in list(self.good.seen)
                  if request.target == "/private"]
        found += [("denied", request.target) for request in list(self.good.seen)
                  if request.target == "/asked"]
        found += [("identity", request.connection.client_name)
                  for request in list(self.denier.seen)
                  if request.connection.client_serial != self.client.serial]
        return found

    def test_one_thing_altered_opens_nothing(self):
        rng = random.Random(SEED)
        everybody = [f"t{number}" for number in range(TENANTS)]
        originals = {tenant: self.documents(tenant) for tenant in everybody}
        print(f"\nHANDFAST_SEED={SEED}", file=sys.stderr)
        served = 0
        for before in range(0, self.share, TENANTS):
            tenants = everybody[:self.share - before]
            for tenant in everybody:
                self.handfast.apply(tenant, originals[tenant])
            self.handfast.barrier()
            for tenant in tenants:
                working = self.ask(tenant)
                self.assertEqual(working.pop("good"), 200, "the set-up that is altered works")
                for who in ("private", "private over TLS"):
                    self.assertIn(working.pop(who), {400, 403}, who)
                self.assertEqual(working.pop("asked"), 403)
                self.assertEqual(set(working.values()), {502}, working)
                self.assertEqual(self.fetch(tenant, "private", "/person", tls=self.persons), 200)

            done = {}
            for tenant in tenants:
                text, done[tenant] = alter(rng, originals[tenant])
                self.handfast.manifests.write(tenant, text)
            self.ask(rng.choice(tenants))  # while the change is on its way
            self.handfast.barrier()
            for tenant in tenants:
                statuses = self.ask(tenant)
                served += statuses["good"] == 200
                for peer, status in statuses.items():
                    if peer != "good":
                        self.assertNotEqual(status, 200, f"{peer} of {tenant} after {done}")
                self.assertEqual(self.faults(), [], f"after {done}")
            del self.good.seen[:]
        # Most single changes disturb another host than the good one, or nothing.
        if self.share >= ENOUGH:
            self.assertGreater(served, self.share // 4)
            self.assertLess(served, self.share)
        self.assertEqual(self.handfast.get("unclaimed.test").status, 404)
        self.assertTrue(self.nowhere.seen, "it was the one for any host that answered")


class FailOpenByPolicy(FailOpen):
    """By policy objects; the Ingresses say nothing of TLS."""

    share = MUTATIONS - FailOpen.share

    def upstream(self, _tenant, protocol):
        return {"backend-protocol": "GRPC"} if protocol == "gRPC" else {}

    def policies(self, tenant):
        found = [manifests.config_map(f"{tenant}-roots", ca_crt=self.ca.cert_pem),
                 manifests.config_map(f"{tenant}-lists", ca_crl=self.crl)]
        for peer in self.peers():
            alpn = ({"protocol": {"alpn": ["h2"]}} if self.protocol(tenant, peer) == "HTTP/2" else
                    {})
            found.append(manifests.upstream_tls_policy(
                f"{tenant}-{peer}", f"{tenant}-{peer}", hostname="good.shop.svc", **alpn,
                client=f"{tenant}-tls", ca=[manifests.material_ref("ConfigMap", f"{tenant}-roots")],
                validation={"verifyDepth": 2, "revocation": {"crlRefs": [
                    manifests.material_ref("ConfigMap", f"{tenant}-lists")]}}))
        return found


if __name__ == "__main__":
    unittest.main()

"""The table: each row is a backend, the material that the proxy has, and what must come of it.

`make(world)` answers a Setup, or only the Leaf that the backend shows. The status and the word are
those of the design's table; a word of None means that the request is served."""

import contextlib
import dataclasses
import ipaddress
import pathlib
import socket
import struct
import subprocess
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import manifests
from harness.pki import Authority, Leaf, from_now, new_key

from peers import Tls

NAME = "orders.shop.svc"
ALL = ("openssl", "nginx", "go", "python")
OPENSSL = ("openssl", "nginx", "python")  # who can do what Go's library won't
LIBSSL, SCRIPTED = ("libssl",), ("scripted",)
PLAIN = ("nginx", "go")  # which answer what they don't understand
PAST = {"not_before": from_now(days=-3), "not_after": from_now(days=-1)}
FUTURE = {"not_before": from_now(days=1)}
OLD_LIST = {"last_update": from_now(days=-3), "next_update": from_now(days=-1)}


@dataclasses.dataclass
class Setup:
    leaf: object                     # or a script, of a backend that doesn't do TLS
    tls: Tls = Tls()
    ca: object = None                # PEM or an Authority; default the world's
    crl: object = None               # PEM or DER
    client: Leaf = None              # ours
    secret: dict = dataclasses.field(default_factory=dict)  # other keys of the Secret; None: none
    annotations: dict = dataclasses.field(default_factory=dict)
    # Fields of an UpstreamTLSPolicy, which then decides; or what makes them of the Secret's name.
    policy: object = None


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    make: object
    status: int = 200
    word: str = None
    servers: tuple = ALL
    # It is our own certificate that is refused: a request may be on its way to whom we have verified.
    ours: bool = False
    # The backend is who it should be: a request may have reached it, whatever came of it.
    verified: bool = False
    seconds: float = None            # within which it is refused
    detail: str = ""                 # in what the log says of it


class World:
    def __init__(self):
        self.ca, self.other = Authority("table"), Authority("other")

    def leaf(self, *names, ca=None, **options):
        return (ca or self.ca).issue("", dns=names or (NAME,), **options)

    def below(self, *names, **options):
        """A leaf under as many intermediates; the options are the first one's."""
        authority = self.ca
        for name in names:
            authority = authority.intermediate(name, **options)
            options = {}
        return self.leaf(ca=authority)

    def client(self, **options):
        return self.ca.client("proxy", **options)


# --- TLS 1.2, byte by byte, for peers that no library plays any more ------------------------------

NO_RENEGOTIATION_YET = b"\xff\x01\0\x01\0"  # RFC 5746: without it the hello alone is refused
ALPN_H2 = b"\0\x10\0\x05\0\x03\x02h2"


def record(*messages, version=b"\x03\x03"):
    content = b"".join(messages)
    return b"\x16" + version + len(content).to_bytes(2, "big") + content


def message(kind, body):
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def server_hello(version=b"\x03\x03", compression=0, extensions=b""):
    """ECDHE-ECDSA-AES128-GCM-SHA256, with a new session that has no name."""
    extensions = b"" if version == b"\x03\0" else NO_RENEGOTIATION_YET + extensions
    return message(2, version + bytes(range(32)) + b"\0" + b"\xc0\x2b" + bytes((compression,)) +
                   (len(extensions).to_bytes(2, "big") + extensions if extensions else b""))


def certificates(*ders):
    chain = b"".join(len(one).to_bytes(3, "big") + one for one in ders)
    return message(11, len(chain).to_bytes(3, "big") + chain)


def script_of(*answers, first=b"", reset=False, wait=True):
    """A backend that doesn't shake hands. Says `first`, reads a ClientHello, and says the rest."""
    def script(sock, got):
        with contextlib.suppress(OSError):
            sock.sendall(first)
            got(sock.recv(65536))
            for answer in answers:
                sock.sendall(answer)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif wait:
                while more := sock.recv(65536):
                    got(more)

    return script


# --- chains ---------------------------------------------------------------------------------------

def expired_root(_):
    old = Authority("old", **PAST)
    return Setup(old.server(NAME), ca=old)


def expired_root_beside_a_good_one(w):
    old = Authority("old", **PAST)
    return Setup(old.server(NAME), ca=w.ca.cert_pem + old.cert_pem)


def root_of_tomorrow(_):
    new = Authority("new", **FUTURE)
    return Setup(new.server(NAME), ca=new)


def beside_a_root_of_tomorrow(w):
    return Setup(w.leaf(), ca=Authority("new", **FUTURE).cert_pem + w.ca.cert_pem)


def rollover(signer, below=False):
    """Authorities of one name, and certificates that don't say which key signed them."""
    def make(_w):
        both = [Authority("rolled", identifiers=False) for _ in range(2)]
        issuer = both[signer]
        if below:
            issuer = issuer.intermediate("issuer", identifiers=False)
        return Setup(issuer.server(NAME), ca="".join(one.cert_pem for one in both),
                     crl="".join(one.crl() for one in (*both, issuer)) if below else None)

    return make


def cross_signed(trust_new):
    """A new root that the old one has signed too: clients of either take the chain."""
    def make(_w):
        old, new = Authority("old root"), Authority("new root")
        issuer = new.intermediate("issuer")
        crossed = Authority("new root", parent=old, key=new.key)
        return Setup(with_chain(issuer.server(NAME), issuer.certificate, crossed.certificate),
                     ca=new if trust_new else old)

    return make


def signed_by_a_stranger_too(stranger_first):
    """An intermediate with two certificates, of which one leads to nobody who is trusted."""
    def make(w):
        issuer = w.ca.intermediate("issuer")
        other = Authority("issuer", parent=w.other, key=issuer.key)
        both = [issuer.certificate, other.certificate]
        return with_chain(issuer.server(NAME), *(reversed(both) if stranger_first else both))

    return make


def impostor(w):
    """The name of an authority that is trusted, and another key."""
    return Authority("table").server(NAME)


def with_chain(leaf, *chain):
    return Leaf(leaf.certificate, leaf.key, chain)


def disordered(w):
    leaf = w.below("one", "two", "three")
    stranger = w.other.intermediate("stranger").certificate
    chain = list(reversed(leaf.intermediates))
    return with_chain(leaf, stranger, *chain, *chain, stranger)


def cycle(_):
    one, two = Authority("one"), Authority("two")
    crossed = [Authority("one", parent=two, key=one.key), Authority("two", parent=one, key=two.key)]
    return with_chain(one.server(NAME), *(authority.certificate for authority in crossed))


def ballast(w):
    return with_chain(w.leaf(), *(w.other.intermediate(f"ballast {i}").certificate
                                  for i in range(250)))


def version_1(w):
    """An intermediate without extensions, as old tools made them."""
    authority = w.ca.intermediate("v1")
    request = x509.CertificateSigningRequestBuilder().subject_name(authority.name).sign(
        authority.key, authority.certificate.signature_hash_algorithm)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "csr").write_bytes(request.public_bytes(serialization.Encoding.PEM))
        Leaf(w.ca.certificate, w.ca.key).write(folder, "ca")
        subprocess.run(["openssl", "x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey",
                        "ca.key", "-CAcreateserial", "-out", "v1.crt"], cwd=folder, check=True,
                       capture_output=True)
        authority.certificate = x509.load_pem_x509_certificate((folder / "v1.crt").read_bytes())
    return w.leaf(ca=authority)


def constrained(w, permitted=None, excluded=None, leaf=None):
    names = x509.NameConstraints(permitted and [x509.DNSName(one) for one in permitted],
                                 excluded and [x509.DNSName(one) for one in excluded])
    issuer = w.ca.intermediate("constrained", extensions=[names])
    return w.leaf(*(leaf or ()), ca=issuer)


def constrained_address(w):
    network = x509.IPAddress(ipaddress.ip_network("10.0.0.0/8"))
    issuer = w.ca.intermediate("constrained", extensions=[x509.NameConstraints([network], None)])
    return Setup(issuer.issue("", ips=["127.0.0.1"]), annotations={"proxy-ssl-name": "127.0.0.1"})


def bomb(w):
    """More comparisons of names with constraints than anybody needs, in less than 100 kB."""
    return constrained(w, excluded=[f"x{i}.evil.test" for i in range(1500)],
                       leaf=[NAME, *(f"n{i}.shop.svc" for i in range(1500))])


def critical_unknown(w):
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5.6"), b"\5\0")
    return w.leaf(extensions=[unknown])


CHAINS = (
    Row("good leaf", lambda w: w.leaf()),
    Row("expired leaf", lambda w: w.leaf(**PAST), 502, "expired"),
    Row("leaf of tomorrow", lambda w: w.leaf(**FUTURE), 502, "not_yet_valid"),
    Row("expired intermediate", lambda w: w.below("one", **PAST), 502, "expired"),
    Row("intermediate of tomorrow", lambda w: w.below("one", **FUTURE), 502, "not_yet_valid"),
    # Such an authority never becomes an anchor, and of a bundle the good ones stay.
    Row("expired root", expired_root, 503, "bad_ca"),
    Row("expired root beside a good one", expired_root_beside_a_good_one, 502, "untrusted_issuer"),
    Row("root of tomorrow", root_of_tomorrow, 502, "not_yet_valid"),
    Row("beside a root of tomorrow", beside_a_root_of_tomorrow),
    Row("first of two authorities of one name", rollover(0)),
    Row("second of two authorities of one name", rollover(1)),
    Row("below the first of two of one name", rollover(0, below=True)),
    Row("below the second of two of one name", rollover(1, below=True)),
    Row("cross-signed root, the old one trusted", cross_signed(False)),
    Row("cross-signed root, the new one trusted", cross_signed(True)),
    Row("intermediate that a stranger signed too", signed_by_a_stranger_too(False)),
    Row("intermediate that a stranger signed too, its first", signed_by_a_stranger_too(True)),
    Row("authority that nobody trusts", lambda w: w.leaf(ca=w.other), 502, "untrusted_issuer"),
    Row("name of the authority, another key", impostor, 502, "untrusted_issuer"),
    Row("signed by itself", lambda w: with_chain(Authority(NAME).server(NAME)), 502,
        "untrusted_issuer"),
    Row("missing intermediate", lambda w: with_chain(w.below("one")), 502, "untrusted_issuer"),
    Row("disordered, doubled, with strangers", disordered),
    Row("authorities that vouch for each other", cycle, 502, "untrusted_issuer", seconds=1),
    Row("four intermediates", lambda w: w.below(*"abcd")),
    Row("five intermediates", lambda w: w.below(*"abcde"), 502, "chain_too_long"),
    Row("chain of more than 100 kB", ballast, 502, "protocol", seconds=1),
)

EXTENSIONS = (
    Row("for clients only", lambda w: w.leaf(usage="client"), 502, "wrong_purpose"),
    Row("for e-mail", lambda w: w.leaf(usage="email"), 502, "wrong_purpose"),
    Row("for nothing in particular", lambda w: w.leaf(usage="none")),
    Row("for both", lambda w: w.leaf(usage="both")),
    Row("issuer that is no authority", lambda w: w.below("one", is_ca=False), 502,
        "wrong_purpose"),
    Row("issuer that may not sign", lambda w: w.below("one", cert_sign=False), 502,
        "wrong_purpose"),
    Row("path longer than an authority allows", lambda w: w.below("one", "two", path_length=0), 502,
        "wrong_purpose"),
    Row("issuer of version 1", version_1, 502, "wrong_purpose"),
    Row("critical extension that nobody knows", critical_unknown, 502, "wrong_purpose"),
    Row("name within the constraints", lambda w: constrained(w, permitted=["shop.svc"])),
    Row("name that is not permitted", lambda w: constrained(w, permitted=["office.svc"]), 502,
        "untrusted_issuer"),
    Row("name that is excluded", lambda w: constrained(w, excluded=["shop.svc"]), 502,
        "untrusted_issuer"),
    Row("address that is not permitted", constrained_address, 502, "untrusted_issuer"),
    Row("too many names and constraints", bomb, 502, "untrusted_issuer", seconds=1),
)


# --- names ----------------------------------------------------------------------------------------

def named(expected, **san):
    """`san`: dns, ips, uris, and the common name as `cn`."""
    def make(w):
        return Setup(w.ca.issue(san.pop("cn", ""), **san),
                     annotations={"proxy-ssl-name": expected})

    san = dict(san)
    return make


def by_policy(wanted, **san):
    def make(w):
        return Setup(w.ca.issue("", **san), policy={"validation": {"subjectAltNames": wanted}})

    return make


def utf8_name(w):
    """The bytes that a careless tool writes for an international name."""
    san = x509.SubjectAlternativeName([x509.DNSName("xn--bcher-kva.shop.svc")])
    der = san.public_bytes().replace(b"xn--bcher-kva", "bücher".encode().ljust(13, b"x"))
    raw = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, der)
    return Setup(w.ca.issue("", extensions=[raw]),
                 annotations={"proxy-ssl-name": "xn--bcher-kva.shop.svc"})


URI = "spiffe://shop.example/ns/shop/sa/orders"
MISMATCH = (502, "name_mismatch")


NAMES = (
    Row("another Service's", lambda w: w.leaf("other.shop.svc"), *MISMATCH),
    Row("another namespace's", lambda w: w.leaf("orders.office.svc"), *MISMATCH),
    Row("common name alone", lambda w: w.ca.issue(NAME), *MISMATCH),
    Row("one of several", lambda w: w.leaf("a.test", NAME, "b.test")),
    Row("upper case", lambda w: w.leaf(NAME.upper())),
    Row("trailing dot", lambda w: w.leaf(NAME + "."), *MISMATCH),
    Row("end of a longer name", lambda w: w.leaf("evil" + NAME), *MISMATCH),
    Row("beginning of a longer name", lambda w: w.leaf(NAME + ".evil.test"), *MISMATCH),
    Row("NUL after the name", lambda w: w.leaf(NAME + "\0.evil.test"), *MISMATCH),
    Row("space after the name", lambda w: w.leaf(NAME + " "), *MISMATCH),
    Row("UTF-8 where ASCII is expected", utf8_name, *MISMATCH, OPENSSL),
    Row("punycode", named("xn--bcher-kva.shop.svc", dns=["xn--bcher-kva.shop.svc"])),
    Row("wildcard", lambda w: w.leaf("*.shop.svc")),
    Row("wildcard for two labels", lambda w: w.leaf("*.svc"), *MISMATCH),
    Row("wildcard in a label", lambda w: w.leaf("o*.shop.svc"), *MISMATCH),
    Row("wildcard at the end of a label", lambda w: w.leaf("*rders.shop.svc"), *MISMATCH),
    Row("wildcard not at the left", lambda w: w.leaf("orders.*.svc"), *MISMATCH),
    Row("wildcard alone", lambda w: w.leaf("*"), *MISMATCH),
    Row("wildcard of all that ends in .com", named("example.com", dns=["*.com"]), *MISMATCH),
    Row("address", named("127.0.0.1", ips=["127.0.0.1"])),
    Row("address of version 6", named("::1", ips=["::1"])),
    Row("another address", named("127.0.0.1", ips=["127.0.0.2"]), *MISMATCH),
    Row("address as a DNS name", named("127.0.0.1", dns=["127.0.0.1"]), *MISMATCH),
    Row("address as a common name", named("127.0.0.1", cn="127.0.0.1"), *MISMATCH),
    Row("address that the connection has, name expected",
        lambda w: w.ca.issue("", ips=["127.0.0.1"]), *MISMATCH),
    Row("URI", by_policy([{"type": "URI", "uri": URI}], uris=[URI])),
    Row("another URI", by_policy([{"type": "URI", "uri": URI}], uris=[URI + "x"]), *MISMATCH),
    Row("any of several names", by_policy([{"type": "Hostname", "hostname": "a.test"},
                                           {"type": "URI", "uri": URI}], uris=[URI])),
    Row("URI as a DNS name", lambda w: w.ca.issue("", uris=[f"https://{NAME}"]), *MISMATCH),
)


# --- strength and versions ------------------------------------------------------------------------

def odd(*options, **more):
    """A leaf by `openssl req`, of an RSA authority, which any digest goes with."""
    def make(_w):
        authority = Authority("rsa", key=new_key("rsa2048"))
        return Setup(authority.server_by_openssl(NAME, *options), ca=authority,
                     tls=Tls(weak=True, **more))

    return make


def explicit_curve():
    return odd("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt",
               "ec_param_enc:explicit")


def der(tag, content):
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


ML_DSA_65 = bytes.fromhex("0609608648016503040312")  # 2.16.840.1.101.3.4.3.18
ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def ml_dsa_by_hand(authority):
    """The DER of a leaf with such a key, where no library makes one."""
    leaf = authority.issue("", dns=[NAME], key=new_key("ed25519"))
    tbs = leaf.certificate.tbs_certificate_bytes
    assert tbs[:2] == b"\x30\x82"
    key = der(0x30, der(0x30, ML_DSA_65) + der(0x03, bytes(1 + 1952)))
    tbs = der(0x30, tbs[4:].replace(leaf.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo), key))
    signature = authority.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return der(0x30, tbs + ECDSA_WITH_SHA256 + der(0x03, b"\0" + signature))


def of_kind(kind, **tls):
    return lambda w: Setup(w.leaf(key=new_key(kind)), tls=Tls(**tls))


def issued_by_kind(kind, **tls):
    def make(w):
        issuer = w.ca.intermediate("odd", key=new_key(kind))
        return Setup(w.leaf(ca=issuer), tls=Tls(**tls))

    return make


def ml_dsa():
    """With OpenSSL 3.5, a key as any other; before that a server has to be played."""
    known = subprocess.run(["openssl", "list", "-signature-algorithms"], check=True,
                           capture_output=True)
    if b"ML-DSA-65" in known.stdout:
        return Row("ML-DSA", odd("-newkey", "ML-DSA-65", least="1.3"), servers=("openssl",))
    return Row("ML-DSA, which this OpenSSL doesn't know", lambda w: Setup(script_of(record(
        server_hello(), certificates(ml_dsa_by_hand(w.ca))))), 502, "weak", SCRIPTED,
               detail="2.16.840.1.101.3.4.3.18")


STRENGTH = (
    Row("P-384", of_kind("p384")),
    Row("Ed25519", of_kind("ed25519")),
    Row("RSA of 2,048 bits", of_kind("rsa2048")),
    Row("RSA-PSS", odd("-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"), servers=OPENSSL),
    ml_dsa(),
    Row("explicit parameters of a curve", explicit_curve(), 502, "weak", OPENSSL),
    # Nobody offers them a suite or a group.
    Row("P-192", of_kind("p192", weak=True), 502, "protocol", ("openssl",)),
    Row("DSA", of_kind("dsa", weak=True), 502, "protocol", ("openssl",)),
    Row("RSA of 1,024 bits", of_kind("rsa1024", weak=True), 502, "weak"),
    Row("issuer with RSA of 1,024 bits", issued_by_kind("rsa1024", weak=True), 502, "weak"),
    Row("issuer with P-192", issued_by_kind("p192", weak=True), 502, "weak", OPENSSL),
    Row("issuer with DSA", issued_by_kind("dsa", weak=True), 502, "weak", OPENSSL),
    Row("SHA-1", odd("-sha1"), 502, "weak"),
    Row("MD5", odd("-md5"), 502, "weak"),
)

def endless(what, **tls):
    return lambda w: Setup(w.leaf(), Tls(endless=what, **tls))


def scripted(*answers, **options):
    return lambda w: Setup(script_of(*answers, **options))


VERSIONS = (
    Row("TLS 1.3 alone", lambda w: Setup(w.leaf(), Tls(least="1.3"))),
    Row("TLS 1.2 alone", lambda w: Setup(w.leaf(), Tls(most="1.2"))),
    Row("TLS 1.1 alone", lambda w: Setup(w.leaf(), Tls(least="1.1", most="1.1", weak=True)), 502,
        "protocol"),
    Row("TLS 1.0 alone", lambda w: Setup(w.leaf(), Tls(least="1.0", most="1.0", weak=True)), 502,
        "protocol"),
    Row("RSA key exchange alone", lambda w: Setup(w.leaf(key=new_key("rsa2048")), Tls(
        least="1.2", most="1.2", static_rsa=True)), 502, "protocol"),
    Row("TLS 1.2 where only 1.3 is allowed", lambda w: Setup(
        w.leaf(), Tls(most="1.2"), annotations={"proxy-ssl-protocols": "TLSv1.3"}), 502,
        "protocol"),
    Row("twenty session tickets", lambda w: Setup(w.leaf(), Tls(tickets=20)), servers=("python",)),
    Row("thousands of session tickets", lambda w: Setup(w.leaf(), Tls(tickets=5000)), 502,
        "bad_response", ("python",), verified=True),
    Row("key updates without end", endless("key updates", least="1.3"), 502, "bad_response", LIBSSL,
        verified=True, seconds=2),
    Row("requests to shake hands again without end", endless("handshakes", most="1.2"), 502,
        "bad_response", LIBSSL, verified=True, seconds=2),
    # That the hello alone is none of the reasons for which those behind it are refused.
    Row("a ServerHello and no more", scripted(record(server_hello()), wait=False), 502,
        "handshake_closed", SCRIPTED),
    Row("SSL 3.0 alone", scripted(record(server_hello(b"\x03\0"), version=b"\x03\0")), 502,
        "protocol", SCRIPTED),
    Row("compression that wasn't offered", scripted(record(server_hello(compression=1))), 502,
        "protocol", SCRIPTED),
)


# --- the protocol inside --------------------------------------------------------------------------

def over(protocol, h2=None, **tls):
    """`protocol` of the Ingress; `h2` as its annotation for HTTP/2 says."""
    annotations = {"backend-protocol": protocol}
    if h2 is not None:
        annotations[manifests.OWN + "upstream-http2"] = h2
    return lambda w: Setup(w.leaf(), Tls(**tls), annotations=annotations)


def demanded(*protocols, **tls):
    return lambda w: Setup(w.leaf(), Tls(**tls), policy={"protocol": {"alpn": list(protocols)}})


NOT_OFFERED = (502, ("protocol", "alpn"), LIBSSL)
INSIDE = (
    Row("no HTTP/2 where gRPC needs it", over("GRPCS"), 502, "alpn"),
    Row("no HTTP/2 where a policy demands it", demanded("h2"), 502, "alpn", PLAIN),
    Row("no HTTP/2 where it is offered", over("HTTPS", "true")),
    Row("no HTTP/2 where a policy offers it", demanded("h2", "http/1.1"), servers=PLAIN),
    Row("HTTP/1.1 where it is offered", over("HTTPS", "true", chosen=b"http/1.1"), servers=LIBSSL),
    Row("HTTP/1.1 where it wasn't offered", over("GRPCS", chosen=b"http/1.1"), *NOT_OFFERED),
    Row("HTTP/1.1 where it wasn't offered, TLS 1.2", over("GRPCS", chosen=b"http/1.1", most="1.2"),
        *NOT_OFFERED),
    Row("something that wasn't offered", over("HTTPS", "true", chosen=b"spdy/3"), *NOT_OFFERED),
    Row("HTTP/2 where nothing was offered",
        scripted(record(server_hello(extensions=ALPN_H2))), 502, "protocol", SCRIPTED),
)


# --- revocation -----------------------------------------------------------------------------------

def revocation(lists, **more):
    """`lists(w, root, issuer, leaf)` answers the CRLs; the leaf has one intermediate."""
    def make(w):
        issuer = w.ca.intermediate("issuer", **more)
        leaf = w.leaf(ca=issuer)
        return Setup(leaf, crl=lists(w, w.ca, issuer, leaf))

    return make


def leaf_scope(revoke_intermediate=False, revoke_leaf=False):
    def make(w):
        issuer = w.ca.intermediate("issuer")
        leaf = w.leaf(ca=issuer)
        crl = issuer.crl([leaf] if revoke_leaf else [])
        if revoke_intermediate:
            crl += w.ca.crl([issuer])
        return Setup(leaf, crl=crl, policy={"validation": {"revocation": {"scope": "Leaf"}}})

    return make


def anchored(revoke=False):
    """The intermediate is the trust anchor."""
    def make(w):
        issuer = w.ca.intermediate("anchor")
        leaf = w.leaf(ca=issuer)
        return Setup(leaf, ca=issuer, crl=issuer.crl([leaf] if revoke else []))

    return make


def huge(revoke):
    def make(w):
        leaf = w.leaf()
        others = range(2**64, 2**64 + 100_000)
        return Setup(leaf, crl=w.ca.crl([*others, leaf] if revoke else others))

    return make


def damaged(crl):
    """The same bytes but for the last of the signature."""
    der = bytearray(crl)
    der[-1] ^= 1
    return bytes(der)


INDIRECT = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
SOME_REASONS = x509.IssuingDistributionPoint(
    None, None, False, False, frozenset([x509.ReasonFlags.key_compromise]), False, False)
FOR_CAS = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
FOR_USERS = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
ELSEWHERE = x509.IssuingDistributionPoint(
    [x509.UniformResourceIdentifier("http://crl.test/other")], None, False, False, None, False,
    False)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5.6"), b"\5\0")

REVOCATION = (
    Row("nobody is revoked", revocation(lambda w, root, i, leaf: root.crl() + i.crl())),
    Row("others are revoked", revocation(lambda w, root, i, leaf: root.crl([5]) + i.crl([6, 7]))),
    Row("revoked leaf", revocation(lambda w, root, i, leaf: root.crl() + i.crl([leaf])), 502,
        "revoked"),
    Row("revoked intermediate", revocation(lambda w, root, i, leaf: root.crl([i]) + i.crl()), 502,
        "revoked"),
    Row("revoked by the newer of two lists", revocation(
        lambda w, root, i, leaf: root.crl() + i.crl(last_update=from_now(hours=-3)) +
        i.crl([leaf])), 502, "revoked"),
    Row("revoked leaf, intermediates unjudged", leaf_scope(revoke_leaf=True), 502, "revoked"),
    Row("revoked intermediate, intermediates unjudged", leaf_scope(revoke_intermediate=True)),
    Row("no list of the intermediate", revocation(lambda w, root, i, leaf: root.crl()), 502,
        "crl_missing"),
    Row("no list of the root", revocation(lambda w, root, i, leaf: i.crl()), 502, "crl_missing"),
    Row("list of another authority", revocation(
        lambda w, root, i, leaf: root.crl() + w.other.crl()), 502, "crl_missing"),
    Row("list of a namesake", revocation(
        lambda w, root, i, leaf: root.crl() + Authority("issuer").crl()), 502, "crl_missing"),
    Row("list of a namesake that doesn't say which key signed it", revocation(
        lambda w, root, i, leaf: root.crl() + Authority("issuer").crl(identifier=False)), 502,
        "crl_missing", ("go",)),
    Row("lists for authorities and for others apart", revocation(
        lambda w, root, i, leaf: root.crl(extensions=[FOR_CAS]) + i.crl(extensions=[FOR_USERS])),
        servers=("go",)),
    Row("list of another distribution point", revocation(
        lambda w, root, i, leaf: root.crl() + i.crl(extensions=[ELSEWHERE])), 502, "crl_missing",
        ("go",)),
    Row("list that another key signed", revocation(
        lambda w, root, i, leaf: root.crl() + i.crl(key=w.other.key)), 502, "crl_missing"),
    Row("list with a broken signature", lambda w: Setup(w.leaf(), crl=damaged(w.ca.crl_der())), 502,
        "crl_missing"),
    Row("expired list", revocation(lambda w, root, i, leaf: root.crl() + i.crl(**OLD_LIST)), 502,
        "crl_expired"),
    Row("list of tomorrow", revocation(lambda w, root, i, leaf: root.crl() + i.crl(
        last_update=from_now(days=1))), 502, "crl_not_yet_valid"),
    Row("expired list and a fresh one", revocation(
        lambda w, root, i, leaf: root.crl() + i.crl(**OLD_LIST) + i.crl())),
    Row("expired list that revokes", revocation(
        lambda w, root, i, leaf: root.crl() + i.crl([leaf], **OLD_LIST)), 502,
        ("revoked", "crl_expired")),
    Row("issuer that may not sign lists", revocation(
        lambda w, root, i, leaf: root.crl() + i.crl(), crl_sign=False), 502, "crl_missing"),
    Row("anchor is an intermediate", anchored()),
    Row("anchor is an intermediate, leaf revoked", anchored(revoke=True), 502, "revoked"),
    Row("100,000 others", huge(False), seconds=1),
    Row("100,000 others and the leaf", huge(True), 502, "revoked", seconds=1),
)

LISTS = (
    Row("DER", lambda w: Setup(w.leaf(), crl=w.ca.crl_der())),
    Row("text, CRLF", lambda w: Setup(w.leaf(), crl="Our list\r\n" + w.ca.crl().replace(
        "\n", "\r\n") + "The end\r\n")),
    Row("byte order mark", lambda w: Setup(w.leaf(), crl="\ufeff" + w.ca.crl())),
    Row("empty list file", lambda w: Setup(w.leaf(), crl=""), 503, "bad_crl"),
    Row("junk", lambda w: Setup(w.leaf(), crl="junk"), 503, "bad_crl"),
    Row("torn list", lambda w: Setup(w.leaf(), crl=w.ca.crl()[:200]), 503, "bad_crl"),
    Row("torn list, DER", lambda w: Setup(w.leaf(), crl=w.ca.crl_der()[:-10]), 503, "bad_crl",
        ("python",)),
    Row("certificate in its place", lambda w: Setup(w.leaf(), crl=w.ca.cert_pem), 503, "bad_crl"),
    Row("delta list alone", lambda w: Setup(w.leaf(), crl=w.ca.crl([5], delta_base=1)), 503,
        "bad_crl", ("python",)),
    Row("delta list", lambda w: Setup(w.leaf(), crl=w.ca.crl() + w.ca.crl([5], delta_base=1)), 503,
        "bad_crl"),
    Row("indirect list", lambda w: Setup(w.leaf(), crl=w.ca.crl(extensions=[INDIRECT])), 503,
        "bad_crl"),
    Row("list for some reasons only", lambda w: Setup(w.leaf(), crl=w.ca.crl(
        extensions=[SOME_REASONS])), 502, "crl_missing"),
    Row("critical extension that nobody knows", lambda w: Setup(w.leaf(), crl=w.ca.crl(
        extensions=[UNKNOWN])), 503, "bad_crl"),
)


# --- our own material -----------------------------------------------------------------------------

def ours(client=None, **secret):
    """The backend demands a client certificate; `secret` replaces keys of the Secret."""
    def make(w):
        leaf = client(w) if client else w.client()
        return Setup(w.leaf(), Tls(client_ca=w.ca.cert_pem), client=leaf, secret={
            key: value(w, leaf) if callable(value) else value for key, value in secret.items()})

    return make


def noted(**annotations):
    return lambda w: Setup(w.leaf(), annotations={
        key.replace("_", "-"): value for key, value in annotations.items()})


def sealed(given):
    """Our key is under "secret"; a policy names what is given in the same Secret."""
    def make(w):
        setup = ours(tls_key=lambda w, leaf: leaf.key_pem_as("pkcs8", "secret"))(w)
        setup.secret["data"] = {"passphrase": given}
        setup.policy = lambda secret: {"privateKeyPassphraseRef": {"name": secret}}
        return setup

    return make


MATERIAL = (
    Row("PKCS#8", ours()),
    Row("SEC1", ours(tls_key=lambda w, leaf: leaf.key_pem_as("traditional"))),
    Row("PKCS#1", ours(lambda w: w.client(key=new_key("rsa2048")),
                       tls_key=lambda w, leaf: leaf.key_pem_as("traditional"))),
    Row("chain of ours", ours(lambda w: w.ca.intermediate("clients").client("deep"))),
    Row("leaf of ours behind its issuer", ours(
        lambda w: w.ca.intermediate("clients").client("deep"),
        tls_crt=lambda w, leaf: leaf.chain_pem[len(leaf.cert_pem):] + leaf.cert_pem)),
    Row("key in DER", ours(tls_key=lambda w, leaf: leaf.key_der), 503, "bad_key"),
    Row("key with another behind it", ours(tls_key=lambda w, leaf: leaf.key_pem + new_leaf_key()),
        503, "bad_key"),
    Row("junk behind the certificate", ours(tls_crt=lambda w, leaf: leaf.cert_pem + "-----BEGIN"),
        503, "bad_certificate"),
    # Who put it there should know: it isn't taken out silently.
    Row("private key beside the CA", ours(ca_crt=lambda w, leaf: w.ca.cert_pem + leaf.key_pem), 503,
        "bad_ca"),
    Row("another one's key", ours(tls_key=lambda w, leaf: new_leaf_key()), 503, "key_mismatch"),
    Row("key of another kind", ours(tls_key=lambda w, leaf: new_leaf_key("rsa2048")), 503,
        "key_mismatch"),
    Row("key that is torn", ours(tls_key=lambda w, leaf: leaf.key_pem[:100]), 503, "bad_key"),
    Row("empty key", ours(tls_key=""), 503, "bad_key"),
    Row("certificate that is torn", ours(tls_crt=lambda w, leaf: leaf.cert_pem[:300]), 503,
        "bad_certificate"),
    Row("certificate without a key", ours(tls_key=None), 503, "key_mismatch"),
    Row("key without a certificate", ours(tls_crt=None), 503, "key_mismatch"),
    Row("key under a passphrase that nobody gave",
        ours(tls_key=lambda w, leaf: leaf.key_pem_as("pkcs8", "secret")), 503, "passphrase"),
    Row("key under another passphrase", sealed("wrong"), 503, "passphrase", ("python",)),
    Row("key under the passphrase that is given", sealed("secret"), servers=("python",)),
    Row("expired certificate of ours", ours(lambda w: w.client(**PAST)), 503,
        "client_certificate_expired"),
    Row("certificate of ours of tomorrow", ours(lambda w: w.client(**FUTURE)), 503,
        "client_certificate_not_yet_valid"),
    Row("no CA", ours(ca_crt=None), 503, "ca_missing"),
    Row("Secret that holds nothing of all that", lambda w: Setup(w.leaf(), secret={
        "ca_crt": None, "data": {"password": "x"}}), 503, "secret_missing"),
    Row("CA that is torn", lambda w: Setup(w.leaf(), ca=w.ca.cert_pem[:300]), 503, "bad_ca"),
    Row("CA that is none", lambda w: Setup(w.leaf(), ca=w.leaf().cert_pem), 503, "bad_ca"),
    Row("no Secret", noted(proxy_ssl_secret="shop/nowhere"), 503, "secret_missing"),
    Row("Secret of another namespace", noted(proxy_ssl_secret="office/secret"), 503,
        ("not_permitted", "invalid_value")),
    Row("word that means nothing", noted(proxy_ssl_verify="yes"), 503, "invalid_value"),
    Row("word in another case", noted(proxy_ssl_verify="On"), 503, "invalid_value"),
    Row("empty word", noted(proxy_ssl_verify=""), 503, "invalid_value"),
    Row("word with a new line", noted(proxy_ssl_verify="on\nproxy_ssl_verify off"), 503,
        "invalid_value"),
    Row("word with what ends a line of nginx", noted(proxy_ssl_verify="on; proxy_ssl_verify off"),
        503, "invalid_value", ("python",)),
    Row("word with a brace", noted(proxy_ssl_verify="on{"), 503, "invalid_value", ("python",)),
    Row("word that only looks like it", noted(proxy_ssl_verify="оn"), 503, "invalid_value",
        ("python",)),  # with a Cyrillic о
    Row("name with what ends a line of nginx", noted(proxy_ssl_name=f"{NAME};"), 503,
        "invalid_value", ("python",)),
    Row("verification off, and the operator doesn't allow it", noted(proxy_ssl_verify="off"), 503,
        "not_permitted"),
)


def new_leaf_key(kind="p256"):
    return Leaf(None, new_key(kind)).key_pem


def asked(verify="required", ours_is=None, policy=False, **tls):
    """A backend that asks for a client certificate of the world's authority."""
    def make(w):
        return Setup(w.leaf(), Tls(client_ca=verify and w.ca.cert_pem, verify=verify or "required",
                                   **tls),
                     client=ours_is and ours_is(w), policy={} if policy else None)

    return make


def good(w):
    return w.client()


def strange(w):
    return w.other.client("stranger")


REJECTED = (502, "client_certificate_rejected")
# nginx finishes the handshake and answers 400: its answer, which is passed on.
REFUSERS = ("openssl", "go", "python")
CLIENTS = (
    Row("asks, and ours is good", asked(ours_is=good)),
    Row("asks but needn't have one, and ours is good", asked("optional", good)),
    Row("asks but needn't have one, and there is none", asked("optional")),
    Row("never asks, an annotation names ours", asked(None, good)),
    Row("never asks, a policy names ours", asked(None, good, policy=True), 502,
        "client_certificate_not_requested"),
    Row("never asks under TLS 1.2, a policy names ours", asked(None, good, policy=True, most="1.2"),
        502, "client_certificate_not_requested"),
    Row("asks but needn't have one, a policy names ours", asked("optional", good, policy=True)),
    Row("refuses ours after the handshake", asked(ours_is=strange, least="1.3"), *REJECTED,
        REFUSERS, ours=True),
    Row("refuses ours in the handshake", asked(ours_is=strange, most="1.2"), *REJECTED, REFUSERS,
        ours=True),
    Row("misses ours after the handshake", asked(least="1.3"), *REJECTED, REFUSERS, ours=True),
    Row("misses ours in the handshake", asked(most="1.2"), *REJECTED, REFUSERS, ours=True),
    Row("answers 400 to ours", asked(ours_is=strange), 400, None, ("nginx",)),
    Row("answers 400 to none", asked(), 400, None, ("nginx",)),
)


# --- those who don't do TLS -----------------------------------------------------------------------

OTHERS = (
    Row("plain HTTP", lambda w: Setup(None), 502, "not_tls", PLAIN),
    Row("an answer in plain HTTP", scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 502,
        "not_tls", SCRIPTED),
    Row("talks before the handshake", scripted(first=b"SSH-2.0-OpenSSH_9.2\r\n"), 502, "not_tls",
        SCRIPTED),
    Row("garbage", scripted(bytes(range(200, 250)) * 20), 502, "not_tls", SCRIPTED),
    Row("closes at once", scripted(wait=False), 502, "handshake_closed", SCRIPTED),
    Row("resets", scripted(reset=True), 502, "handshake_closed", SCRIPTED),
    Row("closes within a record", scripted(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03",
                                           wait=False), 502, "handshake_closed", SCRIPTED),
    Row("an alert for an answer", scripted(b"\x15\x03\x03\x00\x02\x02\x28"), 502, "protocol",
        SCRIPTED),
    Row("records without content for ever", scripted(b"\x16\x03\x03\x00\x00" * 100_000), 502,
        "protocol", SCRIPTED, seconds=2),
    Row("silence", scripted(), 504, "handshake_timeout", SCRIPTED),
)

TABLE = {"chains": CHAINS, "extensions": EXTENSIONS, "names": NAMES, "strength": STRENGTH,
         "versions": VERSIONS, "inside": INSIDE, "revocation": REVOCATION, "lists": LISTS,
         "material": MATERIAL,
         "clients": CLIENTS, "others": OTHERS}

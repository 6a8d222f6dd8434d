"""Authorities, certificates and revocation lists, made when a test asks for them.

P-256 unless a test wants otherwise: a key takes a tenth of a millisecond.
"""

import datetime
import ipaddress
import pathlib
import subprocess
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

UTC = datetime.timezone.utc
USAGES = {
    "server": [ExtendedKeyUsageOID.SERVER_AUTH],
    "client": [ExtendedKeyUsageOID.CLIENT_AUTH],
    "both": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    "email": [ExtendedKeyUsageOID.EMAIL_PROTECTION],
    "none": None,
}


def from_now(**delta):
    """A point in time relative to now: from_now(days=-1) is yesterday."""
    return datetime.datetime.now(UTC).replace(microsecond=0) + datetime.timedelta(**delta)


def new_key(kind="p256"):
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind in ("p192", "p384"):
        return ec.generate_private_key({"p192": ec.SECP192R1, "p384": ec.SECP384R1}[kind]())
    if kind == "dsa":
        return dsa.generate_private_key(2048)
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=int(kind[3:]))


def _digest(key):
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _not_after(certificate):
    when = getattr(certificate, "not_valid_after_utc", None)  # from cryptography 42 on
    return int((when or certificate.not_valid_after.replace(tzinfo=UTC)).timestamp())


def name_of(common_name, organization="integration"):
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]
    if common_name:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name))
    return x509.Name(parts)


class Leaf:
    """A certificate with its key and the intermediates that belong in its chain."""

    def __init__(self, certificate, key, intermediates=()):
        self.certificate = certificate
        self.key = key
        self.intermediates = list(intermediates)

    @property
    def serial(self):
        return self.certificate.serial_number

    @property
    def common_name(self):
        found = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return found[0].value if found else ""

    @property
    def sha256(self):
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def not_after(self):
        """Unix seconds."""
        return _not_after(self.certificate)

    @property
    def cert_pem(self):
        return _pem(self.certificate)

    @property
    def chain_pem(self):
        return self.cert_pem + "".join(_pem(one) for one in self.intermediates)

    @property
    def key_pem(self):
        return self._key_as(serialization.Encoding.PEM).decode()

    @property
    def key_der(self):
        return self._key_as(serialization.Encoding.DER)

    def _key_as(self, encoding):
        return self.key.private_bytes(encoding, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())

    def key_pem_as(self, form, passphrase=None):
        shape = {"pkcs8": serialization.PrivateFormat.PKCS8,
                 "traditional": serialization.PrivateFormat.TraditionalOpenSSL}[form]
        closed = (serialization.BestAvailableEncryption(passphrase.encode()) if passphrase
                  else serialization.NoEncryption())
        return self.key.private_bytes(serialization.Encoding.PEM, shape, closed).decode()

    def pkcs12(self, passphrase):
        return pkcs12.serialize_key_and_certificates(
            b"client", self.key, self.certificate, self.intermediates or None,
            serialization.BestAvailableEncryption(passphrase.encode()))

    def write(self, folder, stem):
        """Writes stem.crt (the chain) and stem.key; answers both paths."""
        crt, key = folder / f"{stem}.crt", folder / f"{stem}.key"
        crt.write_text(self.chain_pem)
        key.write_text(self.key_pem)
        return crt, key


class FileLeaf(Leaf):
    """One that cryptography need not understand."""

    def __init__(self, cert_pem, key_pem, intermediates=()):  # pylint: disable=super-init-not-called
        self._cert_pem, self._key_pem = cert_pem, key_pem
        self.intermediates = list(intermediates)

    @property
    def certificate(self):
        return x509.load_pem_x509_certificate(self._cert_pem.encode())

    @property
    def cert_pem(self):
        return self._cert_pem

    @property
    def key_pem(self):
        return self._key_pem


class Authority:
    def __init__(self, name, *, parent=None, not_before=None, not_after=None, key=None,
                 is_ca=True, path_length=None, cert_sign=True, crl_sign=True, extensions=(),
                 identifiers=True):
        """`extensions`: more of them, all critical. Without `identifiers` nothing that it signs says
        which key signed it."""
        self.name = name_of(name)
        self.key = key or new_key()
        self.parent = parent
        self.identifiers = identifiers
        issuer = parent or self
        builder = (x509.CertificateBuilder()
                   .subject_name(self.name).issuer_name(issuer.name)
                   .public_key(self.key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(not_before or from_now(hours=-1))
                   .not_valid_after(not_after or from_now(days=365))
                   .add_extension(x509.BasicConstraints(is_ca, path_length if is_ca else None),
                                  critical=True)
                   .add_extension(_key_usage(key_cert_sign=is_ca and cert_sign,
                                             crl_sign=crl_sign and is_ca,
                                             digital_signature=not is_ca), critical=True))
        if identifiers:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(
                self.key.public_key()), critical=False)
        if issuer.identifiers:
            builder = builder.add_extension(_issuer_key(issuer), critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        self.certificate = builder.sign(issuer.key, _digest(issuer.key))
        self.issued_crls = 0

    @classmethod
    def of_files(cls, crt, key):
        """One that somebody else has made."""
        found = cls.__new__(cls)
        found.certificate = x509.load_pem_x509_certificate(crt.read_bytes())
        found.key = serialization.load_pem_private_key(key.read_bytes(), None)
        found.name, found.parent, found.issued_crls = found.certificate.subject, None, 0
        found.identifiers = True
        return found

    @property
    def serial(self):
        return self.certificate.serial_number

    @property
    def cert_pem(self):
        return _pem(self.certificate)

    @property
    def cert_der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def intermediate(self, name, **options):
        return Authority(name, parent=self, **options)

    def chain(self):
        """The intermediates from this authority up, without the root."""
        found, authority = [], self
        while authority.parent is not None:
            found.append(authority.certificate)
            authority = authority.parent
        return found

    def issue(self, common_name, *, dns=(), ips=(), uris=(), usage="server", not_before=None,
              not_after=None, key=None, with_chain=True, extensions=(),
              organization="integration", responder=None):
        """`extensions`: more of them, all critical. `responder`: the URL of OCSP's."""
        key = key or new_key()
        builder = (x509.CertificateBuilder()
                   .subject_name(name_of(common_name, organization)).issuer_name(self.name)
                   .public_key(key.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(not_before or from_now(hours=-1))
                   .not_valid_after(not_after or from_now(days=90))
                   .add_extension(x509.BasicConstraints(False, None), critical=True)
                   .add_extension(_key_usage(digital_signature=True), critical=True))
        if self.identifiers:
            builder = builder.add_extension(_issuer_key(self), critical=False)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        if responder:
            builder = builder.add_extension(x509.AuthorityInformationAccess([
                x509.AccessDescription(AuthorityInformationAccessOID.OCSP,
                                       x509.UniformResourceIdentifier(responder))]),
                critical=False)
        names = ([x509.DNSName(name) for name in dns] +
                 [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips] +
                 [x509.UniformResourceIdentifier(uri) for uri in uris])
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if USAGES[usage]:
            builder = builder.add_extension(x509.ExtendedKeyUsage(USAGES[usage]), critical=False)
        certificate = builder.sign(self.key, _digest(self.key))
        return Leaf(certificate, key, self.chain() if with_chain else ())

    def server(self, *names, **options):
        """A server certificate for DNS names."""
        return self.issue(names[0] if names else "", dns=names, usage="server", **options)

    def server_by_openssl(self, name, *options):
        """What cryptography doesn't make: old digests, odd keys. `options` of `openssl req`."""
        key = options if "-newkey" in options else (
            *options, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "ca.crt").write_text(self.cert_pem)
            (folder / "ca.key").write_text(Leaf(self.certificate, self.key).key_pem)
            subprocess.run(
                ["openssl", "req", "-x509", "-CA", "ca.crt", "-CAkey", "ca.key", *key, "-nodes",
                 "-keyout", "leaf.key", "-out", "leaf.crt", "-subj", f"/CN={name}", "-addext",
                 f"subjectAltName=DNS:{name}"], cwd=folder, check=True, capture_output=True)
            return FileLeaf((folder / "leaf.crt").read_text(), (folder / "leaf.key").read_text(),
                            self.chain())

    def server_signed_with_sha1(self, name):
        return self.server_by_openssl(name, "-sha1")

    def client(self, common_name="handfast", **options):
        return self.issue(common_name, usage="client", **options)

    def crl(self, revoked=(), **options):
        return self._crl(revoked, **options).public_bytes(serialization.Encoding.PEM).decode()

    def crl_der(self, revoked=(), **options):
        return self._crl(revoked, **options).public_bytes(serialization.Encoding.DER)

    def huge_crl_der(self, entries, revoked=(), **options):
        """One of `entries` entries: those of `revoked`, and others before them. Put together by
        hand: as objects, a million of them would take minutes."""
        fields = list(_der_elements(self._crl(revoked or [1], **options).tbs_certlist_bytes))
        at = next(i for i in range(4, len(fields)) if fields[i][0] == 0x30)  # after the times
        named = list(_der_elements(fields[at]))
        date = list(_der_elements(named[0]))[1]
        # Serials of 16 bytes, the last four of which count.
        other = _der(0x30, _der(0x02, b"\1" + bytes(15)) + date)
        count = entries - len(named)
        others = bytearray(other * count)
        numbers = b"".join(number.to_bytes(4, "big") for number in range(count))
        for byte in range(4):
            others[len(other) - len(date) - 4 + byte::len(other)] = numbers[byte::4]
        fields[at] = _der(0x30, bytes(others) + b"".join(named))
        tbs = _der(0x30, b"".join(fields))
        signature = self.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        return _der(0x30, tbs + fields[1] + _der(0x03, b"\0" + signature))

    def _crl(self, revoked, *, last_update=None, next_update=None, number=None, delta_base=None,
             extensions=(), key=None, identifier=True):
        """`extensions`: more of them, all critical; `key`: not ours, to sign with. Without
        `identifier` it doesn't say whose key that is."""
        self.issued_crls += 1
        entries = [x509.RevokedCertificateBuilder()
                   .serial_number(one if isinstance(one, int) else one.serial)
                   .revocation_date(from_now(hours=-1)).build() for one in revoked]
        # Given as a whole: each add_revoked_certificate() copies the list.
        builder = (x509.CertificateRevocationListBuilder(revoked_certificates=entries)
                   .issuer_name(self.name)
                   .last_update(last_update or from_now(hours=-1))
                   .next_update(next_update or from_now(days=30))
                   .add_extension(x509.CRLNumber(number or self.issued_crls), critical=False))
        if identifier:
            builder = builder.add_extension(_issuer_key(self), critical=False)
        if delta_base is not None:
            builder = builder.add_extension(x509.DeltaCRLIndicator(delta_base), critical=True)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        return builder.sign(key or self.key, _digest(key or self.key))


def _der(tag, content):
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _der_elements(der):
    """The encodings of what stands in a SEQUENCE, one after the other."""
    def content(at):
        size, at = der[at + 1], at + 2
        if size < 128:
            return at, at + size
        start = at + (size & 0x7f)
        return start, start + int.from_bytes(der[at:start], "big")

    at, end = content(0)
    while at < end:
        _, after = content(at)
        yield der[at:after]
        at = after


def _key_usage(digital_signature=False, key_cert_sign=False, crl_sign=False):
    return x509.KeyUsage(digital_signature=digital_signature, key_cert_sign=key_cert_sign,
                         crl_sign=crl_sign, content_commitment=False, key_encipherment=False,
                         data_encipherment=False, key_agreement=False, encipher_only=False,
                         decipher_only=False)


def _issuer_key(authority):
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())

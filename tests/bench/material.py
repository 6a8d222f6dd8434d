"""Certificates and bodies, made anew for each run in a temporary directory."""

import dataclasses
import pathlib
import subprocess

# The name that the backend's certificate has and every proxy checks.
BACKEND_NAME = "backend.bench.svc"
BODIES = {"/1k": 1024, "/1m": 1024 * 1024}


@dataclasses.dataclass
class Pair:
    certificate: pathlib.Path
    key: pathlib.Path

    def together(self):
        """One file with both, as HAProxy wants it."""
        path = self.certificate.with_suffix(".both.pem")
        path.write_bytes(self.certificate.read_bytes() + self.key.read_bytes())
        path.chmod(0o600)
        return path


class Material:
    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()
        for path, size in BODIES.items():
            (self.root / path[1:]).write_bytes(b"x" * size)
        authority = self._make("ca", "/CN=bench CA",
                               "basicConstraints=critical,CA:TRUE",
                               "keyUsage=critical,keyCertSign,cRLSign")
        self.ca = authority.certificate
        leaf = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature")
        self.backend = self._make("backend", "/CN=backend", *leaf, "extendedKeyUsage=serverAuth",
                                  f"subjectAltName=DNS:{BACKEND_NAME}", issuer=authority)
        self.client = self._make("client", "/CN=proxy", *leaf, "extendedKeyUsage=clientAuth",
                                 issuer=authority)
        self.front = self._make("front", "/CN=front", *leaf, "extendedKeyUsage=serverAuth",
                                "subjectAltName=DNS:*.bench", issuer=authority)

    def _make(self, name, subject, *extensions, issuer=None):
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        # With a configuration of its own: the system's would add extensions of its own too.
        config = self.folder / f"{name}.cnf"
        config.write_text("[req]\ndistinguished_name = dn\nx509_extensions = ext\n[dn]\n[ext]\n" +
                          "".join(f"{line.replace('=', ' = ', 1)}\n" for line in extensions))
        command = ["openssl", "req", "-x509", "-config", config, "-subj", subject, "-days", "30",
                   "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                   "-keyout", pair.key, "-out", pair.certificate]
        if issuer is not None:
            command += ["-CA", issuer.certificate, "-CAkey", issuer.key]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        return pair

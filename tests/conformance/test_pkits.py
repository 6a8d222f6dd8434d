"""NIST PKITS, sections 4.1 to 4.7 and 4.13 to 4.15, through `handfast verify --chain`.

Nothing that is invalid or revoked may pass. What is valid and doesn't pass is on a list, with the
reason; a case that leaves the list has to be taken off it. Certificate policies (4.8 to 4.12) have
no meaning for TLS to a backend and aren't judged.
"""

import json
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness.handfast import BIN  # noqa: E402

from tools import SKIPPED, pkits  # noqa: E402

SECTIONS = (1, 2, 3, 4, 5, 6, 7, 13, 14, 15)
CASES = 159
THEN = "2015-01-01T00:00:00Z"  # in date, and no day of any change

# Valid, and refused: the word and why. Each fails closed.
FALSE_REJECTS = {
    ("weak", "DSA keys are no keys for TLS 1.2 or 1.3"): "4.1.4 4.1.5",
    ("crl_missing", "the CRL is signed by another key of the CA than the certificate: only the key "
                    "that issued it vouches"):
        "4.4.19 4.5.1 4.5.4 4.5.6 4.6.15 4.6.17 4.13.19",
    ("crl_missing", "CRLs that hold some reasons each aren't added up"): "4.14.18 4.14.19",
    ("bad_crl", "indirect CRLs, of several issuers, aren't taken"):
        "4.14.22 4.14.24 4.14.25 4.14.28 4.14.29 4.14.30 4.14.33",
    ("bad_crl", "a delta CRL is refused, so that nobody takes it for the complete one"):
        "4.15.2 4.15.5 4.15.7 4.15.8",
}

# Invalid, and the word for it.
REFUSED = {
    "untrusted_issuer": "4.1.2 4.1.3 4.3.1 4.3.2 4.13.2 4.13.3 4.13.7 4.13.8 4.13.9 4.13.10 4.13.12 "
                        "4.13.13 4.13.15 4.13.16 4.13.17 4.13.20 4.13.22 4.13.24 4.13.26 4.13.28 "
                        "4.13.29 4.13.31 4.13.33 4.13.35 4.13.37 4.13.38",
    "weak": "4.1.6",
    "not_yet_valid": "4.2.1 4.2.2",
    "expired": "4.2.5 4.2.6 4.2.7",
    "wrong_purpose": "4.5.8 4.6.1 4.6.2 4.6.3 4.6.5 4.6.6 4.6.9 4.6.10 4.6.11 4.6.12 4.6.16 4.7.1 "
                     "4.7.2",
    "revoked": "4.4.2 4.4.3 4.4.15 4.4.18 4.14.2 4.14.6 4.14.15 4.14.16 4.14.20 4.14.21",
    "crl_missing": "4.4.1 4.4.4 4.4.5 4.4.6 4.4.20 4.4.21 4.5.2 4.5.5 4.5.7 4.7.4 4.7.5 4.14.3 "
                   "4.14.8 4.14.9 4.14.11 4.14.12 4.14.14 4.14.17 4.14.27",
    "crl_expired": "4.4.11 4.4.12",
    "bad_crl": "4.4.8 4.4.9 4.4.10 4.14.23 4.14.26 4.14.31 4.14.32 4.14.34 4.14.35 4.15.1 4.15.3 "
               "4.15.4 4.15.6 4.15.9 4.15.10",
}


class Case:
    """One test of the suite: "40402" is 4.4.2."""

    def __init__(self, row):
        section, number = int(row["id"][1:3]), int(row["id"][3:])
        self.section = section
        self.id = f"4.{section}.{number}"
        self.certificates = [row["cert"], *row.get("other_certs", ())]
        self.crls = ["TrustAnchorRootCRL.crl", *row.get("crls", ())]
        # The suite's own verdict is in the names of its certificates.
        self.valid = re.match(r"(Valid|Invalid)", row["cert"])[1] == "Valid" \
            if section in SECTIONS else None

    def judge(self, folder):
        """The word, and the detail."""
        chain = folder / f"{self.id}.pem"
        chain.write_text("".join(map(certificate_pem, self.certificates)))
        crls = [text for name in self.crls for text in ("--crl", pkits() / "crls" / name)]
        done = subprocess.run([BIN / "handfast", "verify", "--chain", chain, "--ca",
                               folder / "root.pem", "--time", THEN, "--depth", "20", *crls],
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode not in (0, 1) or (done.returncode == 0) != (done.stdout == "ok\n"):
            raise AssertionError((self.id, done))
        return done.stdout.strip(), done.stderr.strip()


def certificate_pem(name):
    return ssl.DER_cert_to_PEM_cert((pkits() / "certs" / name).read_bytes())


class Pkits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rows = json.loads((pkits() / "pkits.json").read_text())
        cls.cases = [case for case in map(Case, rows) if case.section in SECTIONS]
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as pool:
            folder = pathlib.Path(folder)
            (folder / "root.pem").write_text(certificate_pem("TrustAnchorRootCertificate.crt"))
            answers = list(pool.map(lambda case: case.judge(folder), cls.cases))
        cls.word = {case.id: word for case, (word, _) in zip(cls.cases, answers)}
        cls.detail = {case.id: detail for case, (_, detail) in zip(cls.cases, answers)}

    def test_all_cases_of_the_sections_are_there(self):
        self.assertEqual(len(self.word), CASES)
        self.assertEqual({case.section for case in self.cases}, set(SECTIONS))

    def test_nothing_invalid_or_revoked_passes(self):
        self.assertEqual([case.id for case in self.cases
                          if not case.valid and self.word[case.id] == "ok"], [])

    def test_what_is_invalid_has_its_word(self):
        expected = {case: word for word, ids in REFUSED.items() for case in ids.split()}
        self.assertEqual({case.id: self.word[case.id] for case in self.cases if not case.valid},
                         expected)

    def test_what_is_valid_passes_but_for_a_list_with_reasons(self):
        expected = {case: word for (word, _), ids in FALSE_REJECTS.items() for case in ids.split()}
        refused = {case.id: self.word[case.id] for case in self.cases
                   if case.valid and self.word[case.id] != "ok"}
        self.assertEqual(refused, expected, {case: self.detail[case] for case in refused})


if __name__ == "__main__":
    if not (pkits() / "pkits.json").exists():
        print(f"skipped: no PKITS in {pkits()}; ./dev conformance fetches it")
        sys.exit(SKIPPED)
    unittest.main()

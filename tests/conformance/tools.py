"""The programs of tests/conformance/go, which `./dev` builds, and the data that it fetches."""

import os
import pathlib
import sys

BIN = pathlib.Path(os.environ.get("HANDFAST_CONFORMANCE_BIN") or
                   pathlib.Path(__file__).resolve().parents[2] / "build/conformance/bin")
SKIPPED = 77  # to ctest


def tool(name):
    return BIN / name


def pkits():
    """The directory with the certificates, lists and cases of NIST PKITS."""
    return BIN.parent / "pkits"


def skip_without(*names):
    """Ends this test as skipped where they aren't built; `./dev test` builds them first."""
    missing = [name for name in names if not tool(name).exists()]
    if missing:
        print(f"skipped: {', '.join(missing)} not in {BIN}; ./dev conformance builds them")
        sys.exit(SKIPPED)

"""A case with `--crl-dir`: a volume of revocation lists of the operator, swapped as kubelet does."""

import pathlib
import tempfile

from harness.case import HandfastCase
from harness.volume import Volume


class CrlDirectoryCase(HandfastCase):
    volume = None

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="handfast-crls-")
        cls.addClassCleanup(temporary.cleanup)
        cls.volume = Volume(pathlib.Path(temporary.name) / "crls")
        cls.flags = ("--crl-dir", cls.volume.folder)
        cls.volume.swap({"none": "not read as a list"})
        super().setUpClass()

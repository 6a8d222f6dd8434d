"""The examples of manifests/, by what their READMEs say."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import kube
from kube import EXAMPLES


def commands(name):
    """The shell blocks of an example's README, in their order."""
    text = (EXAMPLES / name / "README.md").read_text()
    return re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


class Folder:
    """Where a person stands who reads the examples: their folders are there, and what commands write
    lies beside them."""

    def __init__(self):
        self._temporary = tempfile.TemporaryDirectory(prefix="handfast-e2e-")
        self.path = pathlib.Path(self._temporary.name)
        shutil.copytree(EXAMPLES, self.path, dirs_exist_ok=True)
        (self.path / "charts").symlink_to(kube.ROOT / "charts")

    def run(self, script, **variables):
        """As it stands; what it printed. The first command that fails ends it."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=self.path, text=True,
                              env=dict(os.environ, **variables), capture_output=True, timeout=180)
        if done.returncode:
            raise kube.Refused(f"{script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def apply(self, name, change=lambda text: text):
        """All of its objects, as they stand but for `change`."""
        for path in sorted((EXAMPLES / name).glob("*.yaml")):
            kube.kubectl("apply", "-f", "-", stdin=change(path.read_text()))

    def close(self):
        self._temporary.cleanup()


def address():
    return kube.kubectl("-n", "handfast", "get", "service", "handfast", "-o",
                        "jsonpath={.status.loadBalancer.ingress[0].ip}")

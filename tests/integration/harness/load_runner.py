"""Starts and ends load.py, and judges what it saw."""

import json
import pathlib
import subprocess
import sys

from .waiting import NeverHappened


class Load:
    """Keep-alive clients against one host, until stop()."""

    def __init__(self, address, host, clients=8, rate=1000):
        self._child = subprocess.Popen(
            [sys.executable, "-B", pathlib.Path(__file__).with_name("load.py"), address[0],
             str(address[1]), host, str(clients), str(rate)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self._child.stdout.readline()
        if "running" not in line:
            self.kill()
            raise NeverHappened(f"the load did not start: {line!r}")

    def stop(self):
        """Ends the clients between two requests; what they counted."""
        out, _ = self._child.communicate("stop\n", timeout=60)
        return json.loads(out.splitlines()[-1])

    def kill(self):
        self._child.kill()
        self._child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._child.poll() is None:
            self.kill()



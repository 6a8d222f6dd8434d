"""A network namespace and the cable to it, which can be cut as real ones are: nothing arrives any
more, and nobody is told."""

import itertools
import os
import subprocess

from .processes import Process
from .waiting import eventually

_numbers = itertools.count(1)


class NoNamespaces(Exception):
    """This machine, or who we are on it, can't make any."""


class Cable:
    """`near` is our address of it, `far` that inside the namespace. It takes root."""

    def __init__(self):
        number = next(_numbers)
        net = f"198.18.{os.getpid() % 250}.{number * 4}".rsplit(".", 1)
        self.near, self.far = (f"{net[0]}.{int(net[1]) + n}" for n in (1, 2))
        self._device = f"hf{os.getpid() % 100000}n{number}"
        self._macs = tuple(f"02:00:00:00:{number:02x}:0{n}" for n in (1, 2))
        self._holder = None
        try:
            self._make()
        except (OSError, RuntimeError, AssertionError) as error:
            self.close()
            raise NoNamespaces(str(error)) from error

    def _make(self):
        own = os.readlink("/proc/self/ns/net")
        self._holder = Process(["unshare", "--net", "sleep", "infinity"])
        namespace = f"/proc/{self._holder.pid}/ns/net"
        eventually(lambda: os.readlink(namespace) != own, "a network namespace", patience=5)
        self.prefix = ("nsenter", f"--net={namespace}")
        self._run("ip", "link", "add", self._device, "address", self._macs[0], "type", "veth",
                  "peer", "name", "far", "address", self._macs[1], "netns",
                  str(self._holder.pid))
        self._run("ip", "address", "add", f"{self.near}/30", "dev", self._device)
        self._run("ip", "link", "set", self._device, "up")
        for command in (("address", "add", f"{self.far}/30", "dev", "far"),
                        ("link", "set", "far", "up"), ("link", "set", "lo", "up")):
            self._run(*self.prefix, "ip", *command)
        self.mend()

    @staticmethod
    def _run(*command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

    def _send_to(self, near_mac, far_mac):
        self._run("ip", "neighbour", "replace", self.far, "lladdr", far_mac, "dev", self._device,
                  "nud", "permanent")
        self._run(*self.prefix, "ip", "neighbour", "replace", self.near, "lladdr", near_mac, "dev",
                  "far", "nud", "permanent")

    def cut(self):
        """What is sent in either direction is addressed to nobody, and lost."""
        self._send_to("02:00:00:00:ff:fe", "02:00:00:00:ff:ff")

    def mend(self):
        self._send_to(*self._macs)

    def close(self):
        """The cable goes with the namespace, and that with its last process."""
        if self._holder is not None:
            self._holder.kill()

"""Changes of certificates and of trust through the API, in pods that serve and in one that leaves."""

import subprocess
import unittest

import case
import kube
from kube import eventually, kubectl


def serial(leaf):
    """As nginx writes it: whole bytes."""
    return f"serial {leaf.serial.to_bytes((leaf.serial.bit_length() + 7) // 8, 'big').hex().upper()}"


class Trust(case.ServedCase):
    def test_new_certificate_reaches_the_backend_under_load(self):
        first, second = self.shown, self.ca.client("rotated")
        with case.Load(self.host) as load:
            self.show(second)
            self.client.wait_for(self.host, 200, serial(second))
            seen = load.stop()

        self.assert_nothing_failed(seen)
        answers = " ".join(seen["answers"])
        self.assertIn(serial(first), answers)
        self.assertIn(serial(second), answers)
        for _ in range(8):
            self.assertIn(serial(second), self.client.get(self.host).text)

    def test_revocation_is_enforced_in_a_pod_that_drains(self):
        pod = kube.pods(case.OURS)[0]
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        download = subprocess.Popen(
            ["kubectl", "-n", "clients", "exec", "client", "--", "curl", "-sS", "-o", "/tmp/slow",
             "-m", "200", "-H", f"Host: {self.host}", f"http://{address}:8080/slow"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(download.kill)
        self.addCleanup(self.show, self.shown)
        eventually(lambda: int(self.client.call("stat", "-c", "%s", "/tmp/slow")), "the download")
        kubectl("-n", "handfast", "delete", "pod", name, "--wait=false")

        # After the shutdown delay it says goodbye to everybody, and what is under way goes on.
        eventually(lambda: "connection: close" in self.client.get(
            self.host, to=f"{address}:8080", curl=("-i",)).text.lower(),
            "the end of the shutdown delay", patience=60, every=0.5)
        self.assertIsNone(download.poll(), "the download ended by itself")

        self.show(self.shown, revoked=[self.leaf])

        _, words = download.communicate(timeout=10)
        self.assertRegex(words, "exit code (18|56)", "curl's words for a transfer that is cut off")
        eventually(lambda: not kubectl("-n", "handfast", "get", "pod", name, "--ignore-not-found"),
                   "the end of the pod", patience=30)
        self.client.wait_for(self.host, 502)
        self.show(self.shown)
        self.client.wait_for(self.host, 200)


if __name__ == "__main__":
    unittest.main()

"""What each program answers about itself, and to a command line that is none."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness.handfast import BIN  # noqa: E402
from harness.processes import Process  # noqa: E402
from harness.waiting import eventually  # noqa: E402

COMMANDS = (("handfast",), ("handfast", "run"), ("handfast", "lint"), ("handfast", "explain"),
            ("handfast", "verify"), ("handfast-controller",), ("handfast-proxy",))


class Commands(unittest.TestCase):
    def run_program(self, program, *arguments):
        """The exit code, and what came on stdout and stderr."""
        done = subprocess.run([BIN / program, *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_version_is_told_by_every_program_and_command(self):
        for command in COMMANDS:
            with self.subTest(" ".join(command)):
                code, out, err = self.run_program(*command, "--version")

                self.assertEqual((code, err), (0, ""))
                self.assertRegex(out, rf"^{command[0]} \d+\.\d+\.\d+ \(.*OpenSSL 3\..*\)\n$")

    def test_help_fits_a_screen(self):
        for command in COMMANDS:
            with self.subTest(" ".join(command)):
                code, out, err = self.run_program(*command, "--help")

                self.assertEqual((code, err), (0, ""))
                lines = out.splitlines()
                self.assertIn("sage:", lines[0])
                # `run` has the flags of both programs; the controller's are many.
                most = {"run": 70, "handfast-controller": 60}.get(command[-1], 50)
                self.assertLessEqual(len(lines), most)
                self.assertLessEqual(max(map(len, lines)), 100)

    def test_wrong_usage_exits_2_and_names_what_is_wrong(self):
        for command in COMMANDS:
            with self.subTest(" ".join(command)):
                code, out, err = self.run_program(*command, "--no-such-flag=1")

                self.assertEqual((code, out), (2, ""))
                self.assertIn("--no-such-flag", err)

    def test_timeout_that_would_end_everything_at_once_is_refused(self):
        for flag in ("--client-header-timeout", "--client-body-timeout", "--client-send-timeout",
                     "--keep-alive", "--upstream-keepalive-timeout"):
            with self.subTest(flag):
                code, out, err = self.run_program("handfast-proxy", flag, "0")

                self.assertEqual((code, out), (2, ""))
                self.assertIn(flag, err)

    @unittest.skipIf(os.path.exists("/var/run/secrets/kubernetes.io/serviceaccount/namespace"),
                     "this is a pod, whose namespace is known")
    def test_pod_that_does_not_know_its_namespace_says_what_to_set(self):
        environment = {key: value for key, value in os.environ.items() if key != "POD_NAMESPACE"}
        environment.update(KUBERNETES_SERVICE_HOST="10.0.0.1", KUBERNETES_SERVICE_PORT="443")
        with tempfile.TemporaryDirectory(prefix="handfast-it-") as folder:
            done = subprocess.run(
                [BIN / "handfast-controller", "--state-dir", f"{folder}/state", "--metrics", "off"],
                env=environment, capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("set POD_NAMESPACE", done.stderr)

    def test_controller_that_is_told_to_stop_while_it_starts_ends_in_order(self):
        for _ in range(10):
            with tempfile.TemporaryDirectory(prefix="handfast-it-") as folder:
                controller = Process([BIN / "handfast-controller", "--manifests", folder,
                                      "--state-dir", f"{folder}/state", "--metrics", "off"])
                eventually(lambda p=controller: "state directory read" in p.err.text(), "its start")
                self.assertEqual(controller.stop(), 0)


if __name__ == "__main__":
    unittest.main()

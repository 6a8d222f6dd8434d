"""manifests/ is what the chart says, and its examples are objects that Handfast takes."""

import pathlib
import subprocess
import unittest

import yaml

import chart
import generate
from chart import Objects

chart.skip_without("helm")

EXAMPLES = chart.ROOT / "manifests/examples"
INSTALL = chart.ROOT / "manifests/install.yaml"  # it has the IngressClass


class Manifests(unittest.TestCase):
    def test_what_is_made_of_the_chart_is_up_to_date(self):
        stale = [str(path.relative_to(chart.ROOT)) for path, content in generate.files().items()
                 if not path.exists() or path.read_text() != content]
        self.assertEqual(stale, [], "run ./dev manifests")

    def test_nothing_of_helm_is_left(self):
        for name in generate.INSTALLS:
            self.assertNotIn("elm", generate.install(name).replace("helm install", ""))

    def test_every_object_lies_in_the_namespace_that_is_made(self):
        for name in generate.INSTALLS:
            objects = Objects(generate.install(name))
            self.assertEqual(objects.names("Namespace"), ["handfast"])
            self.assertEqual({one["metadata"].get("namespace") for one in objects.all},
                             {None, "handfast"})

    def test_rbac_is_that_of_the_chart(self):
        path = chart.ROOT / "manifests/rbac.yaml"
        if not path.exists():
            self.skipTest("there is no manifests/rbac.yaml")

        def verbs(objects):
            found = {}
            for one in objects:
                for rule in one.get("rules", ()) if one["kind"] in ("Role", "ClusterRole") else ():
                    for group in rule["apiGroups"]:
                        for resource in rule["resources"]:
                            found.setdefault((group, resource), set()).update(rule["verbs"])
            return found

        # It knows nobody's flags: the status may have a Service's address or the nodes'.
        ours = verbs(Objects.of({"controller": {"publishService": {"enabled": False}}}).all)
        for what, needed in verbs(filter(None, yaml.safe_load_all(path.read_text()))).items():
            self.assertLessEqual(needed, ours.get(what, set()), what)


class Examples(unittest.TestCase):
    def folders(self):
        return sorted(path.parent for path in EXAMPLES.glob("*/README.md"))

    def test_there_are_the_ones_that_the_readme_lists(self):
        readme = (EXAMPLES / "README.md").read_text()
        for folder in self.folders():
            self.assertIn(f"]({folder.name}/", readme)
        self.assertGreaterEqual(len(self.folders()), 8)

    def test_every_example_is_yaml_with_a_name_and_a_kind(self):
        for path in EXAMPLES.rglob("*.yaml"):
            for one in filter(None, yaml.safe_load_all(path.read_text())):
                self.assertTrue(one["kind"] and one["metadata"]["name"], path)

    def test_lint_has_nothing_to_say_against_them(self):
        """But for what comes into being in the cluster only: Secrets and EndpointSlices."""
        if not (chart.BIN / "handfast").exists():
            self.skipTest("handfast isn't built")
        for folder in self.folders():
            with self.subTest(folder.name):
                done = subprocess.run([chart.BIN / "handfast", "lint", folder, INSTALL,
                                       *flags_of(folder)], capture_output=True, text=True,
                                      timeout=30)
                self.assertIn(done.returncode, (0, 1), done.stderr)
                errors = [line for line in done.stdout.splitlines()
                          if not any(word in line for word in WITHOUT_CLUSTER)]
                self.assertEqual(errors, [])


# Words of findings that say that something isn't there: it comes into being in the cluster.
WITHOUT_CLUSTER = ("secret_missing", "ca_missing", "no_endpoints", "front_certificate",
                   "crl_missing")


def flags_of(folder):
    """The flags that an example's README asks for, as `--flag=value` in a line of its own."""
    text = pathlib.Path(folder, "README.md").read_text()
    return [line.strip() for line in text.splitlines() if line.startswith("    --")]


if __name__ == "__main__":
    unittest.main()

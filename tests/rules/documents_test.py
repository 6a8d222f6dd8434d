"""What exists is documented: every flag that --help prints, every metric that the code names."""

import os
import pathlib
import re
import subprocess
import unittest

import tree

COMMANDS = ("handfast", "handfast run", "handfast lint", "handfast explain", "handfast verify",
            "handfast-controller", "handfast-proxy")

_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_METRIC = re.compile(r"\bhandfast_[a-z][a-z0-9_]*[a-z0-9]\b")


def help_of(command):
    program, *words = command.split()
    path = pathlib.Path(os.environ["HANDFAST_BIN"]) / program
    done = subprocess.run([path, *words, "--help"], capture_output=True, text=True, timeout=30,
                          check=True, stdin=subprocess.DEVNULL)
    return done.stdout


def fields_of_spec(crd):
    """The names that stand right below a `properties:` in the schema of spec."""
    fields, parents = set(), []
    in_spec = False
    for line in crd.splitlines():
        match = re.match(r"( *)(- )?([A-Za-z-]+):", line)
        if not match:
            continue
        indent, name = len(match[1]), match[3]
        in_spec = (in_spec or line == "          spec:") and line != "          status:"
        while parents and parents[-1][0] >= indent:
            parents.pop()
        if in_spec and parents and parents[-1][1] == "properties":
            fields.add(name)
        parents.append((indent, name))
    return fields - {"spec"}


def undocumented(names, document):
    return sorted(name for name in set(names)
                  if not re.search(re.escape(name) + r"(?![a-z0-9_-])", document))


class Documents(unittest.TestCase):
    def test_every_flag_is_in_the_reference(self):
        reference = tree.text("docs/flags.md")
        for command in COMMANDS:
            flags = _FLAG.findall(help_of(command))
            self.assertTrue(flags, f"{command} --help prints no flag")
            self.assertEqual(undocumented(flags, reference), [], f"{command}: not in docs/flags.md")

    def test_help_fits_a_screen(self):
        for command in COMMANDS:
            self.assertLessEqual(max(map(len, help_of(command).splitlines())), 100, command)

    def test_every_metric_is_in_the_reference(self):
        metrics = [name for path in tree.sources(*tree.PARTS)
                   for literal in tree.string_literals(tree.text(path))
                   for name in _METRIC.findall(literal)]
        self.assertTrue(metrics)
        # The series of a histogram are documented by its name.
        metrics = [re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics]
        self.assertEqual(undocumented(metrics, tree.text("docs/metrics.md")), [],
                         "not in docs/metrics.md")

    def test_every_field_of_a_policy_is_in_the_reference(self):
        document = tree.text("docs/upstream-tls-policy.md")
        fields = fields_of_spec(tree.text("manifests/crds/upstreamtlspolicies.yaml"))
        self.assertGreater(len(fields), 30)
        self.assertEqual(sorted(name for name in fields if not re.search(
            r"`[a-z.]*" + name + r"(\[\])?`", document)), [], "not in docs/upstream-tls-policy.md")

    def test_every_document_that_a_document_links_to_exists(self):
        for path in tree.files(suffixes={".md"}):
            folder = (tree.ROOT / path).parent
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", tree.text(path)):
                self.assertTrue((folder / target).exists(), f"{path} links to {target}")

    def test_a_longer_name_does_not_document_a_shorter_one(self):
        self.assertEqual(undocumented(["--http"], "`--https ADDR`"), ["--http"])
        self.assertEqual(undocumented(["--http"], "`--http ADDR`"), [])
        self.assertEqual(undocumented(["handfast_a"], "`handfast_a_total`"), ["handfast_a"])


if __name__ == "__main__":
    unittest.main()

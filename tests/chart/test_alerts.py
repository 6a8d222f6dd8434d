"""The rules load, fire when they should, and each alert has its section in docs/operate.md."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import yaml

import chart

chart.skip_without("promtool")

RULES = chart.CHART / "rules/handfast.yaml"
TESTS = chart.ROOT / "tests/chart/alerts.yaml"


def promtool(*arguments, cwd=None):
    return subprocess.run([chart.find("promtool"), *arguments], cwd=cwd, text=True,
                          capture_output=True, timeout=60)


class Alerts(unittest.TestCase):
    def setUp(self):
        groups = yaml.safe_load(RULES.read_text())["groups"]
        self.alerts = [rule for group in groups for rule in group["rules"]]

    def test_rules_are_well_formed(self):
        done = promtool("check", "rules", RULES)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_fires_when_it_should_and_not_before(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(RULES, pathlib.Path(folder) / "rules.yaml")
            shutil.copy(TESTS, folder)
            done = promtool("test", "rules", TESTS.name, cwd=folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_is_tested(self):
        cases = yaml.safe_load(TESTS.read_text())["tests"]
        fired = {one["alertname"] for case in cases for one in case["alert_rule_test"]
                 if one.get("exp_alerts")}
        self.assertEqual({rule["alert"] for rule in self.alerts}, fired)

    def test_each_has_a_section_that_its_annotation_leads_to(self):
        text = (chart.ROOT / "docs/operate.md").read_text()
        anchors = {re.sub(r"[^a-z0-9-]", "", line.strip("# ").lower().replace(" ", "-"))
                   for line in text.splitlines() if line.startswith("#")}
        for rule in self.alerts:
            document, _, anchor = rule["annotations"]["runbook"].partition("#")
            self.assertEqual(document, "docs/operate.md")
            self.assertIn(anchor, anchors, rule["alert"])

    def test_metrics_are_those_of_the_reference(self):
        reference = (chart.ROOT / "docs/metrics.md").read_text()
        for rule in self.alerts:
            names = set(re.findall(r"handfast_[a-z_]+", rule["expr"]))
            self.assertTrue(names, rule["alert"])
            for name in names:
                self.assertIn(f"`{name}`", reference, rule["alert"])


if __name__ == "__main__":
    unittest.main()

"""The chart as helm renders it, and what is read of it."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

try:
    import yaml
except ImportError:
    sys.exit(print("skipped: python3-yaml isn't installed") or 77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/handfast"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or
                     pathlib.Path.home() / ".cache") / "handfast/helm"
BIN = pathlib.Path(os.environ.get("HANDFAST_BIN") or os.environ.get("HANDFAST_BIN_DEFAULT") or
                   ROOT / "build/release/bin").resolve()


def find(program):
    """Where a program is, or None; `./dev chart` puts helm into the cache."""
    return shutil.which(program) or shutil.which(program, path=str(CACHE))


def skip_without(*programs):
    missing = [one for one in programs if not find(one)]
    if missing:
        print(f"skipped: {', '.join(missing)} missing: ./dev chart brings it")
        sys.exit(77)


def helm(*arguments, stdin=None):
    return subprocess.run([find("helm"), *map(str, arguments)], input=stdin, text=True,
                          capture_output=True, timeout=60)


def template(values=None, *arguments, namespace="handfast", release="handfast"):
    """The rendered text, without the blank lines that some versions of helm put between objects;
    an error is raised with helm's words."""
    done = helm("template", release, CHART, "--namespace", namespace, "--values", "-", *arguments,
                stdin=yaml.safe_dump(values or {}))
    if done.returncode:
        raise RuntimeError(done.stderr)
    return re.sub(r"\n+(---\n|$)", r"\n\1", done.stdout)


def notes(values=None):
    """What `helm install` prints; nothing is sent to a cluster."""
    done = helm("install", "handfast", CHART, "--namespace", "handfast", "--dry-run=client",
                "--values", "-", stdin=yaml.safe_dump(values or {}))
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout.partition("\nNOTES:\n")[2]


class Objects:
    """Rendered objects by kind and name."""

    def __init__(self, text):
        self.all = [one for one in yaml.safe_load_all(text) if one]

    @classmethod
    def of(cls, values=None, *arguments, **options):
        return cls(template(values, *arguments, **options))

    def names(self, kind):
        return [one["metadata"]["name"] for one in self.all if one["kind"] == kind]

    def get(self, kind, name="handfast"):
        found = [one for one in self.all
                 if (one["kind"], one["metadata"]["name"]) == (kind, name)]
        if len(found) != 1:
            raise KeyError(f"{kind} {name}: {len(found)} of {sorted({o['kind'] for o in self.all})}")
        return found[0]

    @property
    def pod(self):
        workload = [one for one in self.all if one["kind"] in ("Deployment", "DaemonSet")]
        return workload[0]["spec"]["template"]["spec"]

    @property
    def controller(self):
        return [one for one in self.pod["initContainers"] if one["name"] == "controller"][0]

    @property
    def proxy(self):
        return [one for one in self.pod["containers"] if one["name"] == "proxy"][0]


def flags(container):
    """The flags of a container as a list of (name, value)."""
    pairs = [re.match(r"--([a-z0-9-]+)(?:=(.*))?$", one, re.DOTALL) for one in container["args"]]
    return [(match[1], match[2]) for match in pairs]


def values_file():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def ignored():
    return yaml.safe_load((CHART / "ignored-values.yaml").read_text())

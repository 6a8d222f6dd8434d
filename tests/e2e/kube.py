"""kubectl and helm in the cluster of the run, and objects of it."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/handfast"
EXAMPLES = ROOT / "manifests/examples"
sys.path.insert(0, str(ROOT / "tests/integration"))

from harness import manifests  # noqa: E402
from harness.waiting import eventually  # noqa: E402

if "HANDFAST_E2E" not in os.environ:
    sys.exit("these tests run in the cluster of ./dev e2e")
RUN = pathlib.Path(os.environ["HANDFAST_E2E"])


class Refused(ValueError):
    """A command that failed, and its words."""


def command(*arguments, stdin=None, timeout=120, cwd=None):
    done = subprocess.run(list(map(str, arguments)), input=stdin, capture_output=True, text=True,
                          timeout=timeout, cwd=cwd)
    if done.returncode:
        raise Refused(f"{' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
    return done.stdout


def kubectl(*arguments, **options):
    return command("kubectl", *arguments, **options)


def apply(*objects):
    flat = [one for group in objects for one in (group if isinstance(group, list) else [group])]
    return kubectl("apply", "-f", "-", stdin=manifests.dump(*flat))


def get(kind, name=None, namespace="handfast", *arguments):
    where = ["-n", namespace] if namespace else []
    names = [name] if name else []
    return json.loads(kubectl("get", kind, *names, *where, *arguments, "-o", "json"))


def helm(*arguments, values=None, namespace="handfast"):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values or {}, file)
        file.flush()
        more = ["--values", file.name] if values is not None else []
        return command("helm", *arguments, *more, "--namespace", namespace, timeout=400)


def pods(selector, namespace="handfast"):
    """Those that aren't leaving."""
    return [one for one in get("pods", None, namespace, "-l", selector)["items"]
            if "deletionTimestamp" not in one["metadata"]]


def names(selector, namespace="handfast"):
    return {one["metadata"]["name"] for one in pods(selector, namespace)}


def is_ready(pod):
    return any(one["type"] == "Ready" and one["status"] == "True"
               for one in pod["status"].get("conditions", ()))


def wait_ready(selector, count, namespace="handfast", patience=90):
    """So many pods that are ready, and none that is leaving."""
    def check():
        every = get("pods", None, namespace, "-l", selector)["items"]
        return (len(every) == count and all(is_ready(one) for one in every)
                and not any("deletionTimestamp" in one["metadata"] for one in every))

    eventually(check, f"{count} ready pods of {selector}", patience=patience, every=0.1)


def rollout(workload, namespace="handfast"):
    kubectl("-n", namespace, "rollout", "status", workload, "--timeout=120s", timeout=150)


def remove_namespace(name):
    """At once: what its pods would do until their grace period ends is nobody's concern. Pods go
    first, for Kubernetes looks again only after half of the longest of those."""
    if not kubectl("get", "namespace", name, "--ignore-not-found"):
        return
    kubectl("-n", name, "delete", "deployments,jobs,cronjobs", "--all", "--wait=false")

    def is_empty():
        if not get("pods", None, name)["items"]:
            return True
        kubectl("-n", name, "delete", "pods", "--all", "--grace-period=1", "--wait=false")
        return False

    eventually(is_empty, f"no pod in {name}", patience=90, every=0.3)
    kubectl("delete", "namespace", name)


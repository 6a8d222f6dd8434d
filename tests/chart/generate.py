"""What is made of the chart: manifests for kubectl, the copies of the definitions, docs/values.md.

`./dev manifests` writes it, test_manifests.py holds that it is up to date.
"""

import json
import pathlib
import re

import yaml

import chart

NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: handfast
  labels:
    pod-security.kubernetes.io/enforce: {level}
"""

HEAD = """\
# {what}
# Made of charts/handfast by `./dev manifests`; change the chart, not this file.
# kubectl apply -f manifests/crds -f manifests/{name}
"""

INSTALLS = {
    "install.yaml": (
        "Two replicas behind a Service of type LoadBalancer, for the whole cluster.", "restricted",
        {}),
    "install-daemonset.yaml": (
        "A pod on each node, on the node's ports 80 and 443: without a load balancer.",
        "privileged",  # hostPort is beyond `baseline`; nothing else of the pod is
        {"controller": {"kind": "DaemonSet", "hostPort": {"enabled": True},
                        "service": {"enabled": False}, "publishService": {"enabled": False},
                        "reportNodeInternalIp": True}}),
}

# What helm says about itself.
_HELM = re.compile(r"^ *(helm\.sh/chart: .*|app\.kubernetes\.io/managed-by: Helm|# Source: .*)\n",
                   re.MULTILINE)


def install(name):
    what, level, values = INSTALLS[name]
    text = _HELM.sub("", chart.template(values))
    return HEAD.format(what=what, name=name) + "---\n" + NAMESPACE.format(level=level) + text


def _cell(value):
    return "`" + json.dumps(value) + "`"


def values_reference():
    text = (chart.CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows, comment, path = [], [], []
    started = False
    for line in text.splitlines():
        match = re.match(r"( *)([A-Za-z][\w]*):", line)
        if not line.strip():
            started, comment = True, []  # the comment at the head of the file is the file's
        elif line.lstrip().startswith("#"):
            comment.append(line.strip("# "))
        elif match:
            del path[len(match[1]) // 2:]
            path.append(match[2])
            if comment and started:
                value = values
                for part in path:
                    value = value[part]
                rows.append((list(path), " ".join(comment), value))
            comment = []
    out = ["# Values of the chart", "",
           "Made of `charts/handfast/values.yaml` by `./dev manifests`.",
           "What of ingress-nginx's values has no effect is in `charts/handfast/ignored-values.yaml`.",
           "An unknown key is an error (`values.schema.json`), and so is one of the wrong type.", ""]
    section = None

    def section_of(where):
        return where[0] if isinstance(values[where[0]], dict) and values[where[0]] else ""

    # What has no section of its own comes first.
    for where, what, value in sorted(rows, key=lambda row: section_of(row[0]) != ""):
        top = section_of(where)
        if top != section:
            section = top
            out += ["", f"## {top or 'Of the release'}", ""]
            if len(where) == 1 and top:
                out += [what, ""]
            out += ["| value | default | meaning |", "|---|---|---|"]
            if len(where) == 1 and top:
                continue
        out.append(f"| `{'.'.join(where)}` | {_cell(value)} | {what} |")
    text = "\n".join(out).replace("\n\n\n", "\n\n")
    return text.replace("docs/", "") + "\n"


def files():
    """Every file that is made, with what it should hold."""
    found = {chart.ROOT / "manifests" / name: install(name) for name in INSTALLS}
    found[chart.ROOT / "docs/values.md"] = values_reference()
    for crd in (chart.ROOT / "manifests/crds").glob("*.yaml"):
        found[chart.CHART / "crds" / crd.name] = crd.read_text()
    return found


if __name__ == "__main__":
    chart.skip_without("helm")
    for target, content in files().items():
        if not target.exists() or target.read_text() != content:
            pathlib.Path(target).write_text(content)
            print(target.relative_to(chart.ROOT))

"""The dashboards of the chart as Grafana reads them."""

import json
import pathlib
import re

DASHBOARDS = pathlib.Path(__file__).resolve().parents[2] / "charts/handfast/dashboards"


def panels(board):
    for panel in board["panels"]:
        yield from panel.get("panels", ())
        if panel["type"] != "row":
            yield panel


def concrete(expression):
    """A query as Grafana sends it, with everything selected."""
    for name, value in (("$__rate_interval", "30s"), ("$__range", "1h")):
        expression = expression.replace(name, value)
    return re.sub(r"\$\{?[a-z_]+\}?", ".*", expression)


def queries():
    """Of every panel: (dashboard, title, query)."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in panels(json.loads(path.read_text())):
            for target in panel["targets"]:
                yield path.stem, panel["title"], concrete(target["expr"])

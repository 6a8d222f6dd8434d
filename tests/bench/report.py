"""The table, as text and as JSON."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess

from arithmetic import judge, median, medians
from rows import FLOOR, OURS, PEERS

HEAD = (f"{'row':17}{'':6}{'handfast':>10}{'nginx':>9}{'haproxy':>9}{'floor':>8}"
        f"{'ratio':>7}{'target':>8}{'above':>7}  verdict")


def first_line(command, pattern):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "?"


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    kernel = os.uname()
    return {"cores": os.cpu_count(), "model": model[1] if model else kernel.machine,
            "kernel": kernel.release.split("-")[0],
            "openssl": first_line(["openssl", "version"], r"OpenSSL (\S+)"),
            "nginx": first_line(["nginx", "-v"], r"nginx/(\S+)"),
            "haproxy": first_line(["haproxy", "-v"], r"version (\S+?)[-\s]"),
            "nghttp2": first_line(["h2load", "--version"], r"nghttp2/(\S+)")}


def summarise(rows, found, reasons, arguments):
    everything = [sample for rounds in found.values() for one in rounds for sample in one.values()
                  if sample.rate]
    result = {"machine": machine(), "rounds": arguments.rounds, "seconds": arguments.seconds,
              "strangers": median([one.others for one in everything]) if everything else 0.0,
              "rows": []}
    for row in rows:
        rounds = found[row.name]
        peers = [name for name in PEERS if name in row.columns]
        verdict = judge(rounds, OURS, peers, row.target, FLOOR if row.floor else None)
        columns = {}
        for column in (*row.columns, FLOOR):
            samples = [one[column] for one in rounds if column in one]
            if samples:
                columns[column] = dataclasses.asdict(medians(samples))
        result["rows"].append({
            "name": row.name, "title": row.title, "unit": row.unit, "target": row.target,
            "not_measured": {column: reason for (name, column), reason in reasons.items()
                             if name == row.name},
            "median": columns,
            "verdict": dataclasses.asdict(verdict) if verdict else None,
            "rounds": [{column: dataclasses.asdict(sample) for column, sample in one.items()}
                       for one in rounds]})
    return result


def cell(row, column, field, form, width):
    if column in row["median"]:
        return f"{row['median'][column][field]:{width}{form}}"
    return f"{'n/a' if column in row['not_measured'] else '':>{width}}"


def judgement(row):
    verdict = row["verdict"]
    if verdict is None:
        return "n/a: " + row["not_measured"][OURS] if OURS in row["not_measured"] else "n/a"
    errors = sum(one["errors"] for one in row["median"].values())
    word = "reported" if row["target"] is None else "met" if verdict["met"] else "NOT MET"
    if not verdict["ahead"] and row["target"] is not None and row["target"] <= 1.0:
        word += ", worse than " + verdict["peer"]
    return word + (f", {errors:g} errors" if errors else "")


def table(result):
    about = result["machine"]
    lines = [f"{about['cores']} cores ({about['model']}), Linux {about['kernel']}, OpenSSL "
             f"{about['openssl']}, nginx {about['nginx']}, HAProxy {about['haproxy']}; "
             f"{result['rounds']} rounds of {result['seconds']} s; strangers used "
             f"{result['strangers']:.2f} cores meanwhile", "", HEAD]
    for row in result["rows"]:
        unit = "us/req" if row["unit"] == "us" else "B/conn"
        verdict = row["verdict"]
        ratio = f"{verdict['ratio']:7.2f}" if verdict else f"{'':7}"
        target = f"{row['target']:8.2f}" if row["target"] is not None else f"{'':8}"
        above = (f"{verdict['above_floor']:7.2f}"
                 if verdict and verdict["above_floor"] is not None else f"{'':7}")
        lines.append(f"{row['name']:17}{unit:6}" + cell(row, OURS, "cost", ".1f", 10) +
                     cell(row, "nginx", "cost", ".1f", 9) + cell(row, "haproxy", "cost", ".1f", 9) +
                     cell(row, FLOOR, "cost", ".1f", 8) + ratio + target + above +
                     f"  {judgement(row)}")
        if row["unit"] == "us":
            for title, field, form in (("  req/s", "rate", ".0f"), ("  p99 ms", "p99", ".2f"),
                                       ("  RSS MB", "rss", ".1f")):
                lines.append(f"{title:23}" + "".join(
                    cell(scaled(row, field), column, field, form, width)
                    for column, width in ((OURS, 10), ("nginx", 9), ("haproxy", 9), (FLOOR, 8))
                    # The floor shakes hands while others wait, which says nothing.
                    if (column, field) != (FLOOR, "p99")))
    lines += ["", "ratio: ours / better peer; above: (ours - floor) / (better peer - floor), "
              "which meets the target too from 0.35 down", ""]
    lines += [*(f"{row['name']:17}{row['title']}" for row in result["rows"])]
    return "\n".join(lines)


def scaled(row, field):
    """RSS is kept in kB and shown in MB."""
    if field != "rss":
        return row
    return {**row, "median": {column: {**one, "rss": one["rss"] / 1024}
                              for column, one in row["median"].items()}}


def write(path, result):
    path.write_text(json.dumps(result, indent=1) + "\n")

"""tables - one run's results as the tables of docs/performance.md"""
import os
import re
from pathlib import Path

from figures import medians


def rows_table(rows):
    """A row for each case and server, Todoku's first in each case as they were run."""
    text = ["| case | server | messages/s | CPU ms a message | peak MiB | lost | doubled |", "|---|---|---|---|---|---|---|"]
    for (case, name), m in medians(rows).items():
        own = [r for r in rows if (r["case"], r["name"]) == (case, name)]
        lost, doubled = sum(r["lost"] for r in own), sum(r["doubled"] for r in own)
        text.append(f"| {case} | {name} | {m['rate']:,.0f} | {m['cpu']:.3f} | {m['memory']:.0f} | {lost} | {doubled} |")
    return text


def figures_table(results):
    text = ["| figure | asked | measured | |", "|---|---|---|---|"]
    for f in results:
        asked = "" if f["asked"] is None else f"{'≤' if f['below'] else '≥'} {f['asked']:g}"
        text.append(f"| {f['what']} | {asked} | {f['measured']:.2f}{'' if f['met'] else ', **missed**'} | {f['note']} |")
    return text


def bounds_table(bounds):
    text = ["| bound | |", "|---|---|", f"| one RSA-2048 signature, `openssl speed` | {bounds['signature']:.3f} ms of a core |"]
    for s in bounds["straight"]:
        text.append(f"| generator straight into the receiver, {s['case']} | {s['rate']:,.0f}/s, {s['cpu']:.3f} ms of both together |")
    for size, d in bounds["disk"].items():
        text.append(f"| the disk, {size // 1024} KiB appended and synced | {d['alone']:,.0f}/s one by one, {d['group']:,.0f}/s in groups of the clients' number |")
    return text


def document(rows, bounds, results, rounds, load):
    head = f"{os.cpu_count()} cores, medians of {rounds} rounds; load average of the machine before the run {load:.1f}."
    return "\n\n".join([head, "\n".join(figures_table(results)), "\n".join(bounds_table(bounds)), "\n".join(rows_table(rows))]) + "\n"


def write(path, text):
    """Into the file between its two marks, if it has them; else the file is the text."""
    path, marks = Path(path), r"(<!-- tables -->\n)(.*?)(<!-- end of tables -->)"
    old = path.read_text() if path.exists() else ""
    marked = re.search(marks, old, re.DOTALL)
    path.write_text(old[: marked.end(1)] + text + old[marked.start(3):] if marked else text)

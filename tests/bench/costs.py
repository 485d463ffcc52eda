#!/usr/bin/python3
"""costs - what network, disk, processor and etcd cost on this machine, for runs of the simulator at scale

    tests/bench/costs.py                # measures, and prints what it found beside what the simulator takes for it
    tests/bench/costs.py --check        # ... and fails where the simulator is more than --factor (3) times cheaper
    tests/bench/costs.py --write        # ... and writes tests/sim/costs.h

Two minutes. The programs behind it: bench_bus (ZeroMQ on loopback, with CURVE), bench_spool (a real disk, given by --work), bench_store (three
real etcds, the program's own client) and threads.py (the node's thread, relaying 10 KiB over real SMTP). Everybody shares this machine, so each cost
has the others' processor time in it: dearer than on machines of their own, and never cheaper, but for a network between them.
What is compared is a cost in microseconds, or the time for a KB; a faster machine than the one of costs.h passes, a slower one may not.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]

from daemon import BUILD, LabError  # noqa: E402
from etcd import Etcd  # noqa: E402

HEADER = HERE.parent / "sim" / "costs.h"
WATCHERS = 200
NAMES = {  # name: (unit, what it is)
    "BUS_US": "bus: a message of 100 octets, one way",
    "BUS_KB_S": "bus: KB a second out of one member",
    "SYNC_US": "spool: until a frame of 10 KiB is on the disk, when nobody else waits",
    "SYNC_KB_S": "spool: KB a second, 64 frames at a time",
    "NODE_US": "node: processor time of its thread for a message, from INJECT to DONE",
    "STORE_US": "etcd, three members: a transaction, there and back, the median",
    "STORE_LATE_US": "the slowest of a hundred",
    "STORE_KEEP_US": "a lease kept, there and back",
    "STORE_TOLD_KB_S": "KB a second to all watchers of all three together",
    "VIEW_READ_KB_S": "KB of a view that a member reads a second",
}


def run(program, *args, seconds=300):
    path = Path(os.environ["BENCH_BUILD"]) / "tests" / "bench" / program
    if not path.exists():
        raise LabError(f"there is no {path}: build it (ninja {program})")
    done = subprocess.run([str(path), *map(str, args)], capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise LabError(f"{program} failed: {done.stderr.strip()[-400:]}")
    return done.stdout


def number(pattern, text):
    found = re.search(pattern, text)
    if not found:
        raise LabError(f"no `{pattern}` in: {text[-400:]}")
    return float(found[1])


def bus():
    rate = r"bus_zmq +(\d+) messages/s"
    small = number(rate, run("bench_bus", 3, 100, 1))
    large = number(rate, run("bench_bus", 3, 102400, 32))
    return {"BUS_US": 1e6 / small / 2, "BUS_KB_S": large * 102.4}


def spool(work):
    text = run("bench_spool", work, 2, 10240)
    many = re.search(r"spool, 64 +(\d+) appends/s.* (\d+) bytes/frame", text)
    return {"SYNC_US": 1e6 / number(r"spool, 1 +(\d+) appends/s", text), "SYNC_KB_S": float(many[1]) * float(many[2]) / 1000}


def store(work):
    with Etcd(work, size=3) as etcd:
        text = run("bench_store", ",".join(etcd.endpoints), 3, WATCHERS)
    told = re.search(rf"told {WATCHERS} (\d+) +p50 (\d+) us", text)
    alone = number(r"told 1 \d{4,} +p50 (\d+) us", text)
    return {
        "STORE_US": number(r"txn +p50 (\d+) us", text), "STORE_LATE_US": number(r"txn +p50 \d+ us, p99 (\d+) us", text),
        "STORE_KEEP_US": number(r"keep +p50 (\d+) us", text),
        "STORE_TOLD_KB_S": WATCHERS * float(told[1]) / 1000 / max(float(told[2]) - alone, 1000) * 1e6,
        "VIEW_READ_KB_S": number(r"read (\d+) KB a second", text),
    }


def node(work):
    """Of the threads of a process that relays, the one with the most to do."""
    done = subprocess.run([sys.executable, str(HERE / "threads.py"), "--count", "5000", "--rounds", "1", "--config", '{"node": {"loops": 1}}', "--work", str(work), "--todoku",
                           str(Path(os.environ["BENCH_BUILD"]) / "todoku")], capture_output=True, text=True, timeout=300)
    found = re.findall(r"(\S+) +\d+ +([\d.]+) ms a message", done.stdout)
    mine = [float(ms) for name, ms in found if "node" in name]
    if done.returncode or not mine:
        raise LabError(f"threads.py failed: {(done.stderr or done.stdout).strip()[-400:]}")
    return {"NODE_US": max(mine) * 1000}


def taken():
    return {name: float(value) for name, value in re.findall(r"COST_(\w+) = (\d+)", HEADER.read_text())}


def processor():
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else "a processor without a name"


def write(costs):
    lines = "".join(f"    COST_{name} = {round(costs[name])}, /* {what} */\n" for name, what in NAMES.items())
    text = HEADER.read_text()
    text = re.sub(r"(?s)/\* \d{4}-.*?\*/", f"/* {time.strftime('%Y-%m-%d')}: {os.cpu_count()} processors, {processor()}; all on one machine, load {os.getloadavg()[0]:.0f} */", text)
    text = re.sub(r"(?s)enum \{.*?\};", "enum {\n" + lines + "};", text)
    HEADER.write_text(text)
    if shutil.which("clang-format"):
        subprocess.run(["clang-format", "-i", str(HEADER)], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail where the simulator is too cheap")
    parser.add_argument("--write", action="store_true", help="write tests/sim/costs.h")
    parser.add_argument("--factor", type=float, default=3, help="how much too cheap (3)")
    parser.add_argument("--build", default=str(Path(BUILD) / "release"), metavar="FOLDER", help="where the programs are (build/release)")
    parser.add_argument("--work", default=str(Path(BUILD) / "costs"), metavar="FOLDER", help="on a real disk (build/costs)")
    args = parser.parse_args()
    os.environ["BENCH_BUILD"] = args.build
    work = Path(args.work).resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    costs = bus() | spool(work) | store(work) | node(work)
    old, bad = taken(), 0
    print(f"{'':16} {'measured':>12} {'simulator':>12}   cheaper by")
    for name, what in NAMES.items():
        per = name.endswith("_S") and not name.endswith("_US")
        factor = old[name] / costs[name] if per else costs[name] / old[name]
        bad += factor > args.factor
        print(f"{name:16} {costs[name]:12.0f} {old[name]:12.0f}   {factor:6.2f}{'  TOO CHEAP' if factor > args.factor else '':12} {what}")
    if args.write:
        write(costs)
    shutil.rmtree(work, ignore_errors=True)
    return 1 if args.check and bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as problem:
        sys.exit(f"costs: {problem}")

#!/usr/bin/python3
"""threads - which of Todoku's threads spends how much processor time while it relays

    tests/bench/threads.py [the options of run.py that say what is sent: --size, --dkim, --tls, --long-tail, --count, --config, ...]

Starts the case as run.py does and reads /proc/PID/task/*/stat before and after. The busiest thread is the ceiling of a machine with
cores enough: it can't do more than 1000 / (its ms a message) messages a second, however many cores there are.
"""
import contextlib
import os
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import run  # noqa: E402
from daemon import LabError, Skip  # noqa: E402
from rounds import measure  # noqa: E402


def thread_times(pids):
    """{(pid, thread): (name, seconds)}"""
    out = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                head, _, rest = (task / "stat").read_text().rpartition(")")
                precise = int((task / "schedstat").read_text().split()[0]) / 1e9
            except (OSError, ValueError):
                continue
            ticks = sum(map(int, rest.split()[11:13])) / os.sysconf("SC_CLK_TCK")
            out[pid, int(task.name)] = (head.partition("(")[2], precise or ticks)
    return out


def watch(table_r):
    @contextlib.contextmanager
    def beside(pids):
        before = thread_times(pids)
        yield
        for key, (name, seconds) in thread_times(pids).items():
            table_r.append((seconds - before.get(key, ("", 0.0))[1], name, key[1]))
    return beside


def main():
    args = run.parse()
    if args.todoku:
        os.environ["TODOKU"] = str(Path(args.todoku).resolve())
    args.only = args.only or "todoku"
    for case, names in run.asked_cases(args):
        for _ in range(args.rounds):
            table = []
            row = measure(names[0], case, args.work, beside=watch(table))
            print(run.line(row))
            table.sort(reverse=True)
            whole = sum(seconds for seconds, _, _ in table) or 1
            for seconds, name, tid in table:
                if seconds / whole >= 0.005:
                    per = seconds / max(row["accepted"], 1) * 1000
                    print(f"{'':16} {name:16} {tid:8d} {per:8.4f} ms a message {100 * seconds / whole:6.1f} %", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, Skip) as problem:
        sys.exit(f"threads: {problem}")

#!/usr/bin/python3
"""deep - a node with a very deep queue: fill it, kill it, let it recover and deliver everything

    tests/bench/deep.py distinct              1,000,000 messages of 2 KiB to 1,000,000 domains
    tests/bench/deep.py bodies                10,000,000 deliveries of 1,000 bodies of 10 KiB to 100,000 domains: each body comes in
                                              10 envelopes of 1,000 recipients
    tests/bench/deep.py bodies --envelopes 1000     each body comes in 1,000 envelopes of 10 recipients
    tests/bench/deep.py distinct --scale 0.01 a hundredth of it
    tests/bench/deep.py distinct --lose-table the table is removed before the start after the kill: all of the log is read
    tests/bench/deep.py distinct --kills 2    it is killed twice more while it delivers

First a small queue, for comparison: a node takes some ten thousand deliveries while the receiver is not there, is killed with SIGKILL,
the receiver starts, the node starts again on what it left on the disk, and delivers. Then the same with the deep queue. Every accepted
delivery must arrive; twice only what was in flight when the node was killed: nothing at first, since the receiver had never been there.

What is measured, and what is to be reached:

    resident memory, the most at any time                                        512 MiB
    from the start after the kill to the first arrival, with progress told       30 s
    `todoku queues --limit 50`, the longest of several, while it delivers too    1 s
    accepted deliveries a second, the last tenth by the first tenth              0.8
    deliveries a second until 95 in 100 have arrived, the deep queue by the small one   0.8
    lost, doubled                                                                none

Each is printed with PASS or missed. Exit status 1 if anything was lost or doubled, or not all was accepted.

Bounded: --seconds for filling and for delivering each. With --work on a disk with 20 GiB free for `bodies`.
"""
import argparse
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from daemon import BUILD, LabError, Skip, compile_c, free_port  # noqa: E402
from load import Smtp  # noqa: E402
from sink import Sink  # noqa: E402
from todoku import Todoku, merge  # noqa: E402

HERE = Path(__file__).resolve().parent
SINK = "127.0.9.2"
MIB = 1 << 20
SMALL = 50_000  # deliveries
SOURCES, CONNECTIONS = 2, 50


class Case:
    def __init__(self, args):
        bodies, recipients, domains, self.size = {"distinct": (1_000_000, 1, 1_000_000, 2048), "bodies": (1_000, 10_000, 100_000, 10240)}[args.case]
        self.envelopes = args.envelopes or (10 if args.case == "bodies" else 1)
        self.recipients = max(1, recipients // self.envelopes)
        self.messages = max(10, int(bodies * args.scale) * self.envelopes)
        self.domains = max(10, int(domains * args.scale))
        self.args = args

    def small(self):
        """The same with fewer messages, killed once."""
        small = Case(argparse.Namespace(**{**vars(self.args), "kills": 0, "lose_table": False}))
        small.messages = max(10, min(self.messages // 10, SMALL // self.recipients))
        return small

    @property
    def in_flight(self):
        """At most, at all kills together."""
        return self.args.kills * SOURCES * CONNECTIONS * max(1, self.recipients // self.domains)

    @property
    def deliveries(self):
        return self.messages * self.recipients


def resident_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Watch(threading.Thread):
    """The largest resident size of Todoku, from the first moment of each of its starts; looked at ten times a second."""

    def __init__(self, t):
        super().__init__(daemon=True)
        self.t, self.most, self.last, self.over = t, 0, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            try:
                self.last = resident_kib(self.t.daemon.pid) // 1024
            except (OSError, AttributeError):
                continue
            self.most = max(self.most, self.last)

    def take(self):
        """The most since the last time."""
        most, self.most = self.most, self.last
        return most


class Arrivals:
    """Reads a quiet sink's log as it grows: how often each delivery came; `total`: how many came at least once."""

    def __init__(self, path, case):
        self.path, self.recipients = path, case.recipients
        self.times = bytearray(case.deliveries)
        self.offset, self.rest, self.total, self.strange = 0, b"", 0, 0

    def read(self):
        if not self.path.exists():
            return self.total
        with open(self.path, "rb") as log:
            log.seek(self.offset)
            while block := log.read(8 * MIB):
                self.offset += len(block)
                *lines, self.rest = (self.rest + block).split(b"\n")
                self.take(lines)
        return self.total

    def take(self, lines):
        for line in lines:
            name = line.partition(b"\t")[2].partition(b"@")[0]  # g7 or g7.12
            number, _, which = name[1:].partition(b".")
            try:
                at = int(number) * self.recipients + int(which or 0)
                self.total += self.times[at] == 0
                self.times[at] = min(255, self.times[at] + 1)
            except (ValueError, IndexError):
                self.strange += 1

    def lost(self, work):
        """Of those that got 250."""
        lost = 0
        for path in work.glob("accepted.*"):
            with open(path) as ids:
                for line in ids:
                    at = int(line[1:]) * self.recipients
                    lost += self.times.count(0, at, at + self.recipients)
        return lost

    def doubled(self):
        return sum(n - 1 for n in self.times if n > 1) if max(self.times, default=0) > 1 else 0


def fill(server, case, accepted):
    """Generator runs for the first tenth, the middle, the last tenth: [(messages, seconds)]."""
    gen = str(compile_c(HERE / "gen.c", "gen"))
    tenth, parts, seconds = max(1, case.messages // 10), [], case.args.seconds
    for begin, end in ((0, tenth), (tenth, case.messages - tenth), (case.messages - tenth, case.messages)):
        if end <= begin:
            continue
        argv = [gen, "--to", "%s:%d" % server, "--begin", begin, "--count", end - begin, "--recipients", case.recipients, "--envelopes", case.envelopes,
                "--domains", case.domains, "--skew", "even", "--size", case.size, "--connections", case.args.connections, "--seconds", seconds,
                "--accepted", f"{accepted}.{begin}"]
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=seconds + 30)
        words = done.stdout.replace(",", "").split()
        if len(words) < 10:
            raise LabError(f"the generator failed: {done.stdout}{done.stderr}")
        parts.append((int(words[0]), float(words[6])))
    return parts


def queues_seconds(t, times=3):
    """How long each of so many listings took. (Without an answer: two seconds.)"""
    took = []
    for _ in range(times):
        start = time.monotonic()
        done = t.cli("queues", "--limit", "50", "--json", seconds=120)
        took.append(time.monotonic() - start)
        if done.returncode and "does not answer" not in done.stderr:
            raise LabError(f"todoku queues failed ({done.returncode}): {done.stdout[-300:]}{done.stderr[-300:]}")
    return took


class Run:
    """One queue: filled, killed, delivered."""

    def __init__(self, case, name):
        self.case, self.name = case, name
        self.work = Path(case.args.work).resolve() / f"deep-{case.args.case}" / name
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.port = free_port(SINK)
        more = {"delivery": {"sink": f"{SINK}:{self.port}", "tls": "none", "retry": ["5s"], "max_age": "4d"},
                "providers": [{"name": "default", "connections": CONNECTIONS, "messages_per_connection": 0, "rate": "none"}]}
        self.t = Todoku(self.work, dns=None, port=self.port, sources=[(f"127.0.1.{i}", f"mx{i}.sender.test", ["a"]) for i in range(1, SOURCES + 1)],
                        more=merge(more, {"node": {"window": case.args.window}} if case.args.window else {}))
        self.watch = Watch(self.t)
        self.listings = []

    def say(self, text):
        print(f"{self.name}: {text}", flush=True)

    def fill(self):
        self.t.start()
        with Smtp(*self.t.smtp) as smtp:
            smtp.hello()
        parts = fill(self.t.smtp, self.case, self.work / "accepted")
        self.accepted = sum(n for n, _ in parts)
        rates = [n * self.case.recipients / s for n, s in parts]
        self.insert_ratio = rates[-1] / rates[0]
        count = self.accepted * self.case.recipients
        self.say(f"accepted {self.accepted:,} messages, {count:,} deliveries: {rates[0]:,.0f}/s in the first tenth, {rates[-1]:,.0f}/s in the last "
                 f"({self.insert_ratio:.2f} x)")
        self.most = self.watch.take()
        used = sum(f.stat().st_size for f in self.t.data.rglob("*") if f.is_file() and "log" not in f.parts[-2:])
        self.say(f"resident {self.watch.last} MiB, at most {self.most} MiB; on the disk {used / MIB:,.0f} MiB, {used / max(1, count):.0f} bytes a delivery")

    def list_queues(self):
        took = queues_seconds(self.t)
        self.listings += took
        self.say(f"todoku queues, the first 50: {', '.join(f'{s:.2f}' for s in took)} s")

    def restart(self, arrivals):
        """SIGKILL is over: how long until it is ready, and until the first arrival."""
        self.watch.take()
        start = time.monotonic()
        self.t.start(seconds=self.case.args.seconds)
        ready = time.monotonic() - start
        while arrivals.read() == 0 and time.monotonic() - start < self.case.args.seconds and self.t.daemon.exit_status() is None:
            time.sleep(0.02)
        self.first = time.monotonic() - start
        told = [line for line in self.t.text().splitlines() if "reading the log" in line]
        self.progress = len(told)
        self.start_most = self.watch.take()
        self.say(f"after kill -9: ready after {ready:.1f} s, the first arrival after {self.first:.1f} s, progress told {self.progress} times; "
                 f"resident at most {self.start_most} MiB")

    def deliver(self, arrivals, listings):
        want, limit, t = self.accepted * self.case.recipients, self.case.args.seconds, self.t
        begun, told, self.rate, killed = time.monotonic(), time.monotonic(), 0, 0
        while arrivals.read() < want and time.monotonic() - begun < limit and t.daemon.exit_status() is None:
            time.sleep(0.05)
            if self.rate == 0 and arrivals.total >= 0.95 * want:
                self.rate = arrivals.total / max(0.001, time.monotonic() - begun)
            if killed < self.case.args.kills and arrivals.total >= want * (killed + 1) / (self.case.args.kills + 1):
                killed += 1
                t.kill()
                self.say(f"    killed again after {arrivals.total:,}")
                t.start(seconds=limit)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                took = queues_seconds(t, 1) if listings else []
                self.listings += took
                self.say(f"    {arrivals.total:,} of {want:,} arrived, resident {self.watch.last} MiB" + "".join(f", queues {s:.2f} s" for s in took))
        self.rate = self.rate or arrivals.total / max(0.001, time.monotonic() - begun)
        time.sleep(2)
        arrivals.read()
        self.deliver_most = self.watch.take()
        self.say(f"delivered {arrivals.total:,} at {self.rate:,.0f}/s; resident at most {self.deliver_most} MiB")

    def all(self, listings):
        try:
            self.fill()
            if listings:
                self.list_queues()
            self.t.kill()
            if self.case.args.lose_table:
                shutil.rmtree(self.t.data / "table")
            arrivals = Arrivals(self.work / "sink.tsv", self.case)
            with Sink(self.work, [f"{SINK}:{self.port}"], quiet=True):
                self.restart(arrivals)
                self.deliver(arrivals, listings)
                if self.t.daemon.exit_status() is None:
                    self.t.stop(60)
            self.lost, self.doubled, self.strange = arrivals.lost(self.work), arrivals.doubled(), arrivals.strange
            self.say(f"lost {self.lost}, doubled {self.doubled}, strange {self.strange}")
        finally:
            self.watch.over.set()
            self.t.__exit__()
            if not self.case.args.keep:
                shutil.rmtree(self.work, ignore_errors=True)
        return self

    @property
    def good(self):
        return self.lost + self.strange == 0 and self.doubled <= self.case.in_flight and self.accepted == self.case.messages


def goal(what, text, reached):
    print(f"{'PASS  ' if reached else 'missed'}  {what}: {text}")


def judge(small, deep):
    most = max(deep.most, deep.start_most, deep.deliver_most)
    ratio = deep.rate / small.rate
    goal("resident memory", f"at most {most} MiB (goal: 512)", most <= 512)
    goal("first arrival after a crash", f"{deep.first:.1f} s (goal: 30), progress told {deep.progress} times", deep.first <= 30 and deep.progress > 0)
    goal("todoku queues", f"{statistics.median(deep.listings):.2f} s, the longest {max(deep.listings):.2f} s (goal: 1)", max(deep.listings) <= 1)
    goal("taking mail", f"{deep.insert_ratio:.2f} of the rate into an empty queue (goal: 0.80)", deep.insert_ratio >= 0.8)
    goal("delivering", f"{ratio:.2f} of a small queue's rate (goal: 0.80): {deep.rate:,.0f}/s of {small.rate:,.0f}/s", ratio >= 0.8)
    goal("lost, doubled", f"{deep.lost}, {deep.doubled} (goal: 0, {deep.case.in_flight})", deep.good)


def read_arguments(argv=None):
    parser = argparse.ArgumentParser(description="Fill a very deep queue, kill the node, let it recover and deliver everything.")
    parser.add_argument("case", choices=("distinct", "bodies"))
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the case only (1.0)")
    parser.add_argument("--envelopes", type=int, metavar="N", help="each body comes in so many envelopes (bodies: 10, distinct: 1)")
    parser.add_argument("--connections", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=3600, help="for filling, and for delivering (3600)")
    parser.add_argument("--work", metavar="FOLDER", default=BUILD / "bench")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--window", metavar="SIZE", help="node.window (as usual)")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="killed so often while it delivers (0)")
    parser.add_argument("--lose-table", action="store_true", help="the table is removed after the first kill")
    return parser.parse_args(argv)


def main():
    args = read_arguments()
    case = Case(args)
    small = Run(case.small(), "small").all(listings=False)
    deep = Run(case, "deep").all(listings=True)
    judge(small, deep)
    return 0 if small.good and deep.good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, Skip) as problem:
        sys.exit(f"deep: {problem}")

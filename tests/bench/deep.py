#!/usr/bin/python3
"""deep - a node with a very deep queue: fill it, kill it, let it recover and deliver everything

    tests/bench/deep.py distinct              1,000,000 messages of 2 KiB to 1,000,000 domains
    tests/bench/deep.py bodies                10,000,000 deliveries: 10,000 messages of 10 KiB to 1,000 recipients each, 100,000 domains
    tests/bench/deep.py distinct --scale 0.01 a hundredth of it

The receiver is not there while the queue fills. Then `todoku up` is killed with SIGKILL, the receiver starts, Todoku starts again on
what it left on the disk, and all is delivered. Every accepted delivery must arrive; twice only what was in flight when it was killed,
and nothing was: the receiver had never been there.

It prints: how fast it took mail in its first and last tenth (the ratio is what a deep queue costs at intake), resident memory, how long
`todoku queues` takes, the time from the start after the kill to readiness and to the first arrival, how fast it delivered, bytes on
the disk for each delivery, lost, doubled. Exit status 1 if anything was lost or doubled.

Bounded: --seconds for filling and for delivering each. With --work on a disk with 20 GiB free for `bodies`.
"""
import argparse
import shutil
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
from todoku import Todoku  # noqa: E402

HERE = Path(__file__).resolve().parent
SINK = "127.0.9.2"
MIB = 1 << 20

# messages, recipients a message, domains, bytes
CASES = {"distinct": (1_000_000, 1, 1_000_000, 2048), "bodies": (10_000, 1000, 100_000, 10240)}


def status_kib(pid, key):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return 0


class Arrivals:
    """Counts the lines of a quiet sink's log as they come, and how often each delivery came, without keeping them."""

    def __init__(self, path, messages, recipients):
        self.path, self.recipients = path, recipients
        self.times = bytearray(messages * recipients)
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
                self.times[at] = min(255, self.times[at] + 1)
            except (ValueError, IndexError):
                self.strange += 1
        self.total += len(lines)


def fill(server, messages, recipients, domains, size, args, accepted):
    """Generator runs for the first tenth, the middle, the last tenth: [(messages, seconds)]."""
    gen = str(compile_c(HERE / "gen.c", "gen"))
    tenth, parts = max(1, messages // 10), []
    for begin, end in ((0, tenth), (tenth, messages - tenth), (messages - tenth, messages)):
        if end <= begin:
            continue
        argv = [gen, "--to", "%s:%d" % server, "--begin", str(begin), "--count", str(end - begin), "--recipients", str(recipients), "--domains", str(domains),
                "--skew", "even", "--size", str(size), "--connections", str(args.connections), "--seconds", str(args.seconds),
                "--accepted", f"{accepted}.{begin}"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=args.seconds + 30)
        words = done.stdout.replace(",", "").split()
        if len(words) < 10:
            raise LabError(f"the generator failed: {done.stdout}{done.stderr}")
        parts.append((int(words[0]), float(words[6])))
    return parts


class Watch(threading.Thread):
    """The largest resident size of a process, looked at ten times a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.last, self.over = pid, 0, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            try:
                self.last = status_kib(self.pid, "VmRSS")
            except OSError:
                return
            self.most = max(self.most, self.last)


def queues_seconds(t):
    start = time.monotonic()
    done = t.cli("queues", "--limit", "50", "--json", seconds=120)
    took = time.monotonic() - start
    return took, done.returncode, len(done.stdout.splitlines())


def run(args):
    messages, recipients, domains, size = CASES[args.case]
    messages, domains = max(10, int(messages * args.scale)), max(10, int(domains * args.scale))
    work = Path(args.work).resolve() / f"deep-{args.case}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    port = free_port(SINK)
    more = {"delivery": {"sink": f"{SINK}:{port}", "tls": "none", "retry": ["10s"], "max_age": "4d"},
            "providers": [{"name": "default", "connections": 50, "messages_per_connection": 0, "rate": "none"}]}
    t = Todoku(work, dns=None, port=port, sources=[(f"127.0.1.{i}", f"mx{i}.sender.test", ["a"]) for i in (1, 2)], more=more)
    figures = {}
    try:
        t.start()
        watch = Watch(t.daemon.pid)
        with Smtp(*t.smtp) as smtp:
            smtp.hello()
        parts = fill(t.smtp, messages, recipients, domains, size, args, work / "accepted")
        accepted = sum(n for n, _ in parts)
        rates = [n * recipients / s for n, s in parts]
        print(f"accepted {accepted:,} messages, {accepted * recipients:,} deliveries: {rates[0]:,.0f}/s in the first tenth, {rates[-1]:,.0f}/s in the last "
              f"({rates[-1] / rates[0]:.2f} x)", flush=True)
        used = sum(f.stat().st_size for f in t.data.rglob("*") if f.is_file() and "log" not in f.parts[-2:])
        print(f"resident {watch.last // 1024} MiB (at most {watch.most // 1024} MiB), {watch.most * 1024 / (accepted * recipients):.0f} bytes a delivery; on the disk "
              f"{used / MIB:,.0f} MiB, {used / (accepted * recipients):.0f} bytes a delivery", flush=True)
        took, code, rows = queues_seconds(t)
        print(f"todoku queues, the first 50: {took:.2f} s (exit {code}, {rows} rows)", flush=True)
        watch.over.set()
        t.kill()

        arrivals = Arrivals(work / "sink.tsv", messages, recipients)
        with Sink(work, [f"{SINK}:{port}"], quiet=True) as sink:
            start = time.monotonic()
            t.start(seconds=args.seconds)
            ready = time.monotonic() - start
            watch = Watch(t.daemon.pid)
            while arrivals.read() == 0 and time.monotonic() - start < args.seconds and t.daemon.exit_status() is None:
                time.sleep(0.05)
            first = time.monotonic() - start
            print(f"after kill -9: ready after {ready:.1f} s, the first arrival after {first:.1f} s", flush=True)
            begun, seen, told = time.monotonic(), arrivals.total, time.monotonic()
            want = accepted * recipients
            while arrivals.read() < want and time.monotonic() - begun < args.seconds and t.daemon.exit_status() is None:
                time.sleep(0.2)
                if time.monotonic() - told > 10:
                    told = time.monotonic()
                    print(f"        {arrivals.total:,} of {want:,} arrived, resident {watch.last // 1024} MiB", flush=True)
            rate = (arrivals.total - seen) / max(0.001, time.monotonic() - begun)
            time.sleep(2)
            arrivals.read()
            print(f"delivered {arrivals.total:,} at {rate:,.0f}/s; resident at most {watch.most // 1024} MiB since the start", flush=True)
            watch.over.set()
            if t.daemon.exit_status() is None:
                t.stop(60)
            del sink
        figures["lost"] = count_lost(work, arrivals, recipients)
        figures["doubled"] = sum(n - 1 for n in arrivals.times if n > 1)
        print(f"lost {figures['lost']}, doubled {figures['doubled']}, strange {arrivals.strange}")
        return 1 if figures["lost"] or figures["doubled"] or arrivals.strange or accepted < messages else 0
    finally:
        t.__exit__()
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)


def count_lost(work, arrivals, recipients):
    lost = 0
    for path in work.glob("accepted.*"):
        with open(path) as ids:
            for line in ids:
                at = int(line[1:]) * recipients
                lost += arrivals.times.count(0, at, at + recipients)
    return lost


def main():
    parser = argparse.ArgumentParser(description="Fill a very deep queue, kill the node, let it recover and deliver everything.")
    parser.add_argument("case", choices=sorted(CASES))
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the case only (1.0)")
    parser.add_argument("--connections", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=1800, help="for filling, and for delivering (1800)")
    parser.add_argument("--work", metavar="FOLDER", default=BUILD / "bench")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    return run(args)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, Skip) as problem:
        sys.exit(f"deep: {problem}")

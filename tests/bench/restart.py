#!/usr/bin/python3
"""restart - what a node with a deep queue and a second copy sends to others when it is started again

    tests/bench/restart.py                             20,000 messages of 1 KiB
    tests/bench/restart.py --count 1000000             a million; --work on a disk with 8 GiB free
    tests/bench/restart.py --kinds kill:1,stop:8       how it goes, and for how many seconds it is away (these two, if nothing is said)

Three nodes in networks of their own, `copies: 2`. n1 alone has sources for the mail that is handed in, so its spool has all of it, and
another node has the copy. The tenant is paused. For each of --kinds n1 goes (kill: SIGKILL; stop: SIGTERM, waited for), is away for so long,
and is started. What all nodes send meanwhile, to whomever (log, copies, etcd, heartbeats; with the headers of TCP/IP and Ethernet), is
counted at their cables, until n1 is up, holds as much as before, and its mirror has everything. At the end the tenant is resumed.

    bytes that nodes sent from its end until the mirror has everything, by the messages' bytes     < 1 %
        (without what they send at rest in that time, which is told besides)
    `served`: from its start until it is up for the coordinator, with a mirror and the whole queue
    `first arrival`: from the resuming

An absence of more than some 5 s after a kill is a death: another node takes the queue over, and makes a copy of all of it. So a larger share is
to be expected there, and only told.

Each is printed with PASS or missed. Exit status 1 if one was missed, or mail did not get in. Needs root, as tests/lab/netns.py says.
"""
import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from cluster import rows  # noqa: E402
from daemon import BUILD, LabError, Skip, compile_c, until  # noqa: E402
from netcluster import NetCluster  # noqa: E402
from peers import Peers  # noqa: E402

GOAL = 0.01  # of the queue's bytes
LEASE = 5  # seconds: who is away for longer without having said so is dead
MIB = 1 << 20
POOLS = {"pools": {"a": {"overflow": "none"}, "b": {"overflow": "none"}}, "tenants": [{"id": "acme", "pools": ["a", "b"], "domains": ["sender.test"]}]}


def sent(c):
    """Bytes that the nodes have sent since their cables were there: what the router got from them."""
    total = 0
    with c.net.hub.inside(), open("/proc/thread-self/net/dev") as lines:
        for line in lines:
            name, _, figures = line.partition(":")
            if name.strip() in c.ids("n"):
                total += int(figures.split()[0])
    return total


def row(c):
    """n1, as `todoku nodes` has it; {} while nobody says."""
    done = c.coordinators[0].run("nodes", "--json")
    return next((r for r in rows(done.stdout) if r.get("node") == "n1" and r.get("role") == "node"), {}) if done.returncode == 0 else {}


def whole(c, count):
    """Whether n1 serves all of it, and its mirror has it too."""
    r = row(c)
    return (r.get("state") == "up" and r.get("doing") == "running" and r.get("queued", 0) >= count and r.get("mirror") in c.ids("n") and
            r.get("unacked_bytes", 1) == 0)


class Bench:
    def __init__(self, args):
        self.args, self.good = args, True
        self.work = Path(args.work).resolve() / "restart"
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.gen = str(compile_c(Path(__file__).with_name("gen.c"), "gen"))

    def goal(self, what, text, reached):
        self.good = self.good and reached
        print(f"{'PASS  ' if reached else 'missed'}  {what}: {text}", flush=True)

    def run(self):
        with NetCluster(self.work, Peers(), nodes=3, coordinators=1, stores=1, copies=2, more=POOLS) as c:
            for node in c.nodes[1:]:
                for source in node.config["node"]["sources"]:
                    source["pools"] = ["b"]
                node.write_config()
            c.start().paired()
            c.coordinators[0].run_well("pause", "--tenant", "acme")
            count = self.fill(c)
            for kind in self.args.kinds.split(","):
                how, _, seconds = kind.partition(":")
                self.again(c, how, float(seconds or 1), count)
            self.deliver(c)
        return self

    def fill(self, c):
        args, start = self.args, time.monotonic()
        done = subprocess.run([self.gen, "--to", "%s:%d" % c.coordinators[0].smtp, "--count", str(args.count), "--size", str(args.size), "--connections",
                               str(args.connections), "--seconds", str(args.seconds)], capture_output=True, text=True, timeout=args.seconds + 30)
        words = done.stdout.replace(",", "").split()
        if len(words) < 10:
            raise LabError(f"the generator failed: {done.stdout}{done.stderr}")
        accepted, took = int(words[0]), time.monotonic() - start
        until("all of it to be in both copies", lambda: whole(c, accepted), 60, every=0.3)
        self.bytes = accepted * args.size
        log = sum(f.stat().st_size for f in (c["n1"].data / "spool").glob("*.seg"))
        at_rest, start = sent(c), time.monotonic()
        time.sleep(4)
        self.rest = (sent(c) - at_rest) / (time.monotonic() - start)
        print(f"{accepted:,} of {args.count:,} messages of {args.size} bytes accepted, {accepted / took:,.0f}/s: {self.bytes / MIB:,.1f} MiB; {log / MIB:,.1f} MiB in n1's log; "
              f"at rest the nodes send {self.rest / 1024:.1f} KiB/s", flush=True)
        if accepted < args.count / 2:
            self.goal("mail", f"only {accepted:,} messages got in", False)
        return accepted

    def again(self, c, how, away, count):
        before, node = c.registers(), c["n1"]
        bytes_, start = sent(c), time.monotonic()
        node.kill() if how == "kill" else node.stop()
        time.sleep(max(0.0, away - (time.monotonic() - start)))
        node.launch()
        launched = time.monotonic()
        until(f"n1 to serve its queue again after {how}", lambda: whole(c, count) or not self.own(c), self.args.seconds, every=0.1, alive=node.daemon)
        served = time.monotonic() - launched
        if not self.own(c):
            c.handed_on(self.args.seconds).paired(self.args.seconds)
        bytes_, took = sent(c) - bytes_, time.monotonic() - start
        after = c.registers()
        fate = "its spool was taken over" if not self.own(c) else "its copy was severed and made anew" if after["n1.0"]["mirror"] != before["n1.0"]["mirror"] else \
            "its copy was severed and came back" if after["n1.0"]["epoch"] > before["n1.0"]["epoch"] + 1 else "its copy stayed"
        beyond = max(0, bytes_ - self.rest * took)
        text = (f"{100 * beyond / self.bytes:.3f} % of the queue ({bytes_ / 1024:,.0f} KiB in {took:.1f} s, {100 * bytes_ / self.bytes:.3f} %, with what goes at rest); "
                f"served {served:.1f} s after the start; {fate}")
        what = f"{how}, away for {away:g} s"
        if how == "kill" and away > LEASE - 1:
            print(f"        {what}: {text}", flush=True)
        else:
            self.goal(what, text, beyond < GOAL * self.bytes)

    @staticmethod
    def own(c):
        """Whether n1's first spool is still its own."""
        return c.registers().get("n1.0", {}).get("node") == "n1"

    def deliver(self, c):
        start = time.monotonic()
        c.coordinators[0].run_well("resume", "--tenant", "acme")
        c.sink.wait_count(1, 60)
        print(f"        first arrival {time.monotonic() - start:.2f} s after the resuming", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Start a node with a deep queue and a second copy again, and count what goes over the network.")
    parser.add_argument("--count", type=int, default=20_000, help="messages (20,000)")
    parser.add_argument("--size", type=int, default=1024, help="bytes of each (1,024)")
    parser.add_argument("--kinds", default="kill:1,stop:8", metavar="HOW:SECONDS,...")
    parser.add_argument("--connections", type=int, default=40)
    parser.add_argument("--seconds", type=int, default=600, help="for filling, and for each start (600)")
    parser.add_argument("--work", metavar="FOLDER", default=BUILD / "bench")
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    bench = Bench(args)
    try:
        return 0 if bench.run().good else 1
    finally:
        if not args.keep:
            shutil.rmtree(bench.work, ignore_errors=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, Skip) as problem:
        sys.exit(f"restart: {problem}")

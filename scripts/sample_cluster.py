#!/usr/bin/python3
"""sample_cluster - starts a cluster, sends a campaign, shows it arrive; scripts/cluster builds first and then calls this

    scripts/sample_cluster.py [--once] [--nodes N] [--copies 1|2]

Everything lies in build/cluster: configurations, keys, data, logs, what arrived. Every wait is bounded, and all processes are
ended by their pids, whatever happens. Exit: 0, or 1 when something did not arrive, with the reason.
"""
import collections
import shutil
import subprocess
import sys
import time

from sample import ROOT, port, run, say  # also puts the lab on the path

from cluster import Cluster, run_well, senders
from daemon import LabError, Skip
from dns import DOMAINS, Nsd
from etcd import Etcd
from load import Load, check_arrivals
from peers import Peers
from sink import Sink
from todoku import program

WORK = ROOT / "build" / "cluster"
SENDER = "news@sender.test"
COUNT = 10000
PATIENCE = 120  # seconds for each thing waited for


def place(path):
    """A path as one may type it here."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


class SampleCluster:
    def __init__(self, nodes, copies):
        self.nodes, self.copies = nodes, min(copies, nodes)
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        self.to = port("0.0.0.0", 2600)

    def start(self):
        say("Starting nsd: 100 domains, d000.test to d099.test, over 25 sets of mail hosts")
        self.dns = Nsd(Peers(), WORK)
        say(f"Starting a receiver on port {self.to} of all mail hosts, 127.4.0.1 to 127.4.24.3")
        self.sink = Sink(WORK, [f"0.0.0.0:{self.to}"])
        say("Starting etcd")
        self.etcd = Etcd(WORK)
        doors = {f"c{i}": (port("127.0.0.1", 2524 + i), port("127.0.0.1", 8024 + i)) for i in (1, 2)}
        c = self.cluster = Cluster(WORK, self.etcd, self.dns, self.to, name="sample", folder="members", doors=doors,
                                   nodes=self.nodes, copies=self.copies)
        say("Making keys and letting members in, each like this:")
        for i, member in enumerate(c.members.values()):
            c.add(member)
            if i == 0:
                say(f"    todoku keygen {place(member.secret)}\n    todoku members add {member.id} '{member.public}' --role {member.role} -c {place(member.file)}")
        for member in c.members.values():
            say(f"Starting todoku {member.role} -c {place(member.file)}")
            member.launch()
        c.wait_nodes(*(n.id for n in c.nodes), seconds=PATIENCE)

    # ---- the campaign ----

    def campaign(self):
        c = self.cluster
        say(f"Sending a campaign of {COUNT} messages to {len(DOMAINS)} domains, few of them big, through {' and '.join(m.id for m in c.coordinators)}")
        load = Load(DOMAINS, SENDER, COUNT, prefix="sample", header="X-Todoku-Campaign: sample")
        self.stream = c.stream(load, connections=8, patience=PATIENCE)
        self.watch(load)
        self.stream.finish(PATIENCE)
        self.check(load)
        self.table()
        for words in (("status",), ("nodes",), ("explain", f"reader@{DOMAINS[0]}")):
            say(f"\n$ todoku {' '.join(words)}\n{run_well(*words, api=c['c1'].api).rstrip()}")

    def watch(self, load):
        """Shows both counts grow until all is there; LabError when nothing more comes."""
        shown, moved, alone = None, time.monotonic(), sys.stdout.isatty()
        while True:
            have = (len(load.accepted), self.sink.count())
            if have != shown:
                bar = "#" * (have[1] * 40 // COUNT)
                text = f"Accepted {have[0]:5}, arrived {have[1]:5} of {COUNT} |{bar:40}|"
                print(f"{chr(13) if alone else ''}{text}", end="" if alone else "\n", flush=True)
                shown, moved = have, time.monotonic()
            if have[1] >= COUNT or time.monotonic() - moved > PATIENCE / 4:
                break
            time.sleep(0.2 if alone else 1)
        if alone:
            say()
        if have[1] < COUNT:
            logs = "".join(m.daemon.tail(5) for m in self.cluster.members.values())
            raise LabError(f"only {have[1]} of {COUNT} arrived, and nothing more for {PATIENCE / 4:.0f} s; {len(load.refused)} refused\n{logs}")

    def check(self, load):
        report = check_arrivals(load, self.sink)
        for what, keys in (("lost", report.lost), ("doubled", report.doubled), ("damaged", report.damaged), ("uninvited", report.uninvited)):
            if keys:
                raise LabError(f"{len(keys)} deliveries are {what}, such as {list(keys)[:3]}")
        say(f"All {report.expected} are there, each once, byte for byte; accepted by {', '.join(f'{d}: {n}' for d, n in sorted(self.stream.doors_used.items()))}.\n")

    def table(self):
        """Which node sent to how many domains, from which address how much."""
        arrivals = self.sink.arrivals()
        brought = collections.Counter(a.peer for a in arrivals)
        spread = senders(self.cluster, arrivals)
        split = {d: set(nodes) for d, nodes in spread.items() if len(nodes) > 1}
        if split:
            raise LabError(f"{len(split)} domains were sent to by several nodes: {list(split.items())[:3]}")
        biggest = sorted(spread, key=lambda d: -spread[d].total())
        say(f"{'node':6}{'domains':>8}{'messages':>10}   from its addresses             its biggest domains")
        for node in self.cluster.nodes:
            mine = [d for d in biggest if node.id in spread[d]]
            from_ = "  ".join(f"{s} {brought[s]}" for s in sorted(node.sources))
            say(f"{node.id:6}{len(mine):8}{sum(brought[s] for s in node.sources):10}   {from_:30} {' '.join(mine[:4])}")

    def stay(self):
        c = self.cluster
        say()
        for m in c.members.values():
            doors = f"web page and API {m.api}/   SMTP 127.0.0.1:{m.smtp[1]}" if m.role == "coordinator" else f"sends from {' '.join(sorted(m.sources))}"
            say(f"{m.id}   pid {m.daemon.pid:<8} {doors}   log {place(m.dir / 'log')}")
        say(f"etcd {self.etcd.endpoints[0]}   arrived {place(self.sink.arrived)}\n\nTo see what goes on, and what happens when one is killed:\n"
            f"    export TODOKU_API={c['c1'].api}\n    {place(program())} events --follow\n    kill -9 {c['n2'].daemon.pid}; {place(program())} nodes\n"
            f"    {place(program())} node -c {place(c['n2'].file)}\n\nCtrl-C ends all.")
        told = set()
        while True:
            for m in c.members.values():
                if not m.running() and m.id not in told:
                    told.add(m.id)
                    say(f"{m.id} has ended with status {m.daemon.exit_status()}; the others go on")
            if len(told) == len(c.members):
                raise LabError("all members have ended")
            time.sleep(0.5)

    def stop(self):
        say("Stopping all")
        self.cluster.stop()
        self.etcd.__exit__()
        self.sink.end()
        self.dns.end()


if __name__ == "__main__":
    try:
        sys.exit(run(SampleCluster, "cluster", nodes=(3, "how many nodes"), copies=(2, "on how many nodes' disks each message is: 1 or 2")))
    except (LabError, Skip, subprocess.TimeoutExpired) as problem:
        sys.exit(f"cluster: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)

#!/usr/bin/python3
"""run - Todoku against a tuned Postfix: durable relay of 10 KiB messages over loopback

    tests/bench/run.py                        both, three alternating rounds of 10,000 messages each
    tests/bench/run.py --only todoku --count 50000
    tests/bench/run.py --cluster              `todoku up` and the same as two processes: coordinator and node, members of an etcd

Same generator (gen.c), same receiver (sink.c, --quiet), same disk, same domains, no TLS; each accepts a message only when it is
synced to disk. Both servers get a fresh spool for every round and 500 messages to warm up that are not counted. A round ends
when the last message has arrived at the receiver.

  messages/s   from the generator's start to the last arrival
  intake/s     accepted by the server, from the generator's start to its end
  CPU s/1000   processor seconds of the server's whole process tree (a cgroup of its own) for 1,000 messages, idle cost included
  lost         accepted with 250 and not arrived       doubled   extra copies that arrived

Postfix is set up for relay as its TUNING_README and QSHAPE/STRESS_README advise: no chroot, no in-flow delay, many delivery processes,
long-lived processes, high destination concurrency, connection reuse without a count limit, no client limits, no header checks or rewriting of clients' mail.
Its syncing stays on.

With --cluster the two processes speak over TCP with CURVE, as between machines, on the same cores as all the rest; etcd's own processor
time is not counted. What is asked of it: at least half of `todoku up`'s messages a second.

Bounded: a round that is not done after --seconds fails. The last lines are the medians and the ratio of the two.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from cluster import Cluster  # noqa: E402
from daemon import BUILD, LabError, Skip, compile_c, free_port, until  # noqa: E402
from etcd import Etcd  # noqa: E402
from load import Smtp  # noqa: E402
from peers import Peers  # noqa: E402
from sink import Sink  # noqa: E402
from todoku import Todoku  # noqa: E402

HERE = Path(__file__).resolve().parent
WORK = BUILD / "bench"
SINK = "127.0.9.1"
WARM = 500

POSTFIX = {
    "smtp_tls_security_level": "none", "smtpd_tls_security_level": "none", "default_process_limit": "300", "max_use": "10000",
    "in_flow_delay": "0", "qmgr_message_active_limit": "50000", "qmgr_message_recipient_limit": "50000",
    "initial_destination_concurrency": "20", "default_destination_concurrency_limit": "40", "smtp_destination_concurrency_limit": "40",
    "smtp_connection_cache_on_demand": "yes", "smtp_connection_reuse_time_limit": "600s", "smtp_connection_reuse_count_limit": "0",
    "smtpd_client_connection_count_limit": "0", "smtpd_client_connection_rate_limit": "0", "smtpd_client_message_rate_limit": "0",
    "smtpd_client_event_limit_exceptions": "127.0.0.0/8", "smtpd_delay_reject": "no", "smtputf8_enable": "no",
    "local_header_rewrite_clients": "", "receive_override_options": "no_header_body_checks,no_address_mappings",
    "disable_dns_lookups": "yes", "strict_mailbox_ownership": "no",
}


class Cpu:
    """The processor time of a process tree: a cgroup where we may make one, else the sum over /proc."""

    def __init__(self, name):
        self.group = None
        for base in (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
            group = base / f"todoku-bench-{os.getpid()}-{name}"
            try:
                group.mkdir()
            except OSError:
                continue
            if (group / "cpuacct.usage").exists() or (group / "cpu.stat").exists():
                self.group = group
                break
            group.rmdir()

    def join(self):
        """Called in the child before it becomes the server."""
        if self.group:
            (self.group / "cgroup.procs").write_text("0")

    def seconds(self, pids):
        if self.group and (self.group / "cpuacct.usage").exists():
            return int((self.group / "cpuacct.usage").read_text()) / 1e9
        if self.group:
            return int((self.group / "cpu.stat").read_text().split()[1]) / 1e6
        return sum(map(tree_seconds, pids))

    def close(self):
        if self.group:
            for _ in range(50):
                try:
                    return self.group.rmdir()
                except OSError:
                    time.sleep(0.1)


def tree_seconds(pid):
    """User and system time of a process, its reaped children and all its living descendants."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            stats[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    total, family = 0, {pid}
    grown = True
    while grown:
        grown = {p for p, (parent, _) in stats.items() if parent in family} - family
        family |= grown
    for p in family & stats.keys():
        total += stats[p][1]
    return total / os.sysconf("SC_CLK_TCK")


def sending(sink_port, args):
    """What the file says of sources and limits, in both of Todoku's shapes."""
    sources = [(f"127.0.1.{i}", f"mx{i}.sender.test", ["a"]) for i in (1, 2)]
    return sources, {"delivery": {"sink": f"{SINK}:{sink_port}", "tls": "none", "timeouts": None},
                     "providers": [{"name": "default", "connections": args.out, "messages_per_connection": 0, "rate": "none"}]}


def start_todoku(work, sink_port, cpu, args):
    sources, more = sending(sink_port, args)
    t = Todoku(work, dns=None, port=sink_port, sources=sources, more=more)
    t.before = cpu.join
    t.start()
    return t.daemon, t.smtp


class Pair:
    """A coordinator and a node, treated like one daemon."""

    def __init__(self, work, sink_port, cpu, args):
        sources, more = sending(sink_port, args)
        self.name, self.etcd = "pair", Etcd(work)
        self.cluster = Cluster(work, self.etcd, port=sink_port, nodes=0, coordinators=1, more=more)
        self.cluster.make("n1", "node", more={"node": {"sources": [{"address": a, "helo": h, "pools": p} for a, h, p in sources]}})
        for m in self.cluster.members.values():
            m.before = cpu.join
        self.cluster.start()

    @property
    def daemons(self):
        return [m.daemon for m in self.cluster.members.values() if m.daemon]

    @property
    def pids(self):
        return [d.pid for d in self.daemons]

    def exit_status(self):
        return next((d.exit_status() for d in self.daemons if d.exit_status() is not None), None)

    def tail(self):
        return "".join(d.tail() for d in self.daemons)

    def end(self):
        self.cluster.end()
        self.etcd.__exit__()


def start_pair(work, sink_port, cpu, args):
    pair = Pair(work, sink_port, cpu, args)
    return pair, pair.cluster["c1"].smtp


def start_postfix(work, sink_port, cpu, args):
    port = free_port("127.0.5.9")
    postfix = Peers().postfix(work, "127.0.5.9", port, relayhost=f"[{SINK}]:{sink_port}", more=POSTFIX, before=cpu.join)
    return postfix, ("127.0.5.9", port)


STARTERS = {"todoku": start_todoku, "postfix": start_postfix, "pair": start_pair}


def generate(server, count, prefix, args, accepted=None):
    """Run the generator to its end; (accepted, seconds, cpu seconds)."""
    argv = [str(compile_c(HERE / "gen.c", "gen")), "--to", "%s:%d" % server, "--count", str(count), "--connections", str(args.connections),
            "--size", str(args.size), "--prefix", prefix, "--seconds", str(args.seconds)]
    if accepted:
        argv += ["--accepted", str(accepted)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=args.seconds + 10)
    words = done.stdout.replace(",", "").split()
    if len(words) < 10:
        raise LabError(f"the generator failed: {done.stdout}{done.stderr}")
    return int(words[0]), float(words[6]), float(words[8]), done.stdout.strip()


def measure(name, round_, args):
    """One round with one server: a dictionary of figures."""
    work = Path(args.work).resolve() / f"{name}-{round_}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    sink_port = free_port(SINK)
    cpu = Cpu(f"{name}-{round_}")
    daemon = None
    try:
        with Sink(work, [f"{SINK}:{sink_port}"], quiet=True) as sink:
            daemon, server = STARTERS[name](work, sink_port, cpu, args)
            with Smtp(*server) as smtp:
                smtp.hello()
            generate(server, WARM, "warm", args)
            sink.wait_count(WARM, args.seconds, alive=daemon)
            os.sync()
            time.sleep(1)
            pids = getattr(daemon, "pids", None) or [daemon.pid]
            before, sink_before, start = cpu.seconds(pids), tree_seconds(sink.pid), time.monotonic()
            accepted, seconds, gen_cpu, text = generate(server, args.count, "g", args, work / "accepted")
            until_arrived(sink, WARM + accepted, start + args.seconds, daemon)
            end = time.monotonic()
            used, sink_used = cpu.seconds(pids) - before, tree_seconds(sink.pid) - sink_before
            time.sleep(1)  # late copies
            arrived = [a.id for a in sink.arrivals() if a.id.startswith("g")]
            wanted = set((work / "accepted").read_text().split())
            return {"name": name, "rate": len(set(arrived)) / (end - start), "intake": accepted / seconds, "cpu": used / max(accepted, 1) * 1000,
                    "cores": used / (end - start), "around": (gen_cpu + sink_used) / (end - start), "accepted": accepted,
                    "lost": len(wanted - set(arrived)), "doubled": len(arrived) - len(set(arrived)), "text": text}
    finally:
        if daemon:
            daemon.end()
        cpu.close()
        if not args.keep:
            shutil.rmtree(work, ignore_errors=True)


def until_arrived(sink, n, deadline, daemon):
    try:
        until("the last message", lambda: sink.count() >= n, max(1, deadline - time.monotonic()), every=0.02, alive=daemon)
    except LabError as error:
        print(f"        {str(error).splitlines()[0]}: {sink.count()} of {n} arrived", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Measure durable relaying: Todoku against a tuned Postfix, or against itself as two processes, in alternating rounds.")
    parser.add_argument("--count", type=int, default=10000, help="messages a round (10000)")
    parser.add_argument("--size", type=int, default=10240, help="bytes a message (10240)")
    parser.add_argument("--connections", type=int, default=40, help="connections into the server (40)")
    parser.add_argument("--out", type=int, default=50, help="Todoku's connections a source; it has two (50)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=120, help="give up a round after this long (120)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", choices=sorted(STARTERS))
    which.add_argument("--cluster", action="store_true", help="`todoku up` against coordinator and node as two processes (pair)")
    parser.add_argument("--todoku", metavar="PATH", help="the program (default build/release/todoku)")
    parser.add_argument("--work", metavar="FOLDER", default=WORK, help="where the spools lie (build/bench); on /dev/shm the disk counts for nothing")
    parser.add_argument("--keep", action="store_true", help="keep spools and logs under build/bench")
    args = parser.parse_args()
    if args.todoku:
        os.environ["TODOKU"] = str(Path(args.todoku).resolve())
    names = [args.only] if args.only else ["todoku", "pair"] if args.cluster else ["todoku", "postfix"]
    rounds = []
    print(f"{args.count} messages of {args.size} bytes, {args.connections} connections, {os.cpu_count()} cores; medians of {args.rounds} rounds")
    print(f"{'':9} {'messages/s':>10} {'intake/s':>9} {'CPU s/1000':>10} {'cores':>6} {'lab cores':>9} {'accepted':>8} {'lost':>5} {'doubled':>7}")
    for round_ in range(args.rounds):
        for name in names:
            r = measure(name, round_, args)
            rounds.append(r)
            print(f"{name:9} {r['rate']:10.0f} {r['intake']:9.0f} {r['cpu']:10.3f} {r['cores']:6.2f} {r['around']:9.2f} {r['accepted']:8d} "
                  f"{r['lost']:5d} {r['doubled']:7d}", flush=True)
    middle = {n: {k: statistics.median(r[k] for r in rounds if r["name"] == n) for k in ("rate", "intake", "cpu")} for n in names}
    for n in names:
        print(f"median {n}: {middle[n]['rate']:.0f} messages/s, {middle[n]['intake']:.0f} intake/s, {middle[n]['cpu']:.3f} CPU s per 1,000 messages")
    if len(names) == 2:
        one, other = ("pair", "todoku") if args.cluster else ("todoku", "postfix")
        rate, cpu = (middle[one][k] / middle[other][k] for k in ("rate", "cpu"))
        print(f"ratio {one} / {other}: {rate:.2f} x messages/s, {cpu:.2f} x CPU per message" + (" (at least 0.5 is asked)" if args.cluster else ""))
    bad = [r for r in rounds if r["lost"] or r["doubled"] or r["accepted"] < args.count]
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, Skip) as problem:
        sys.exit(f"bench: {problem}")

"""rounds - one round of the benchmark: start the receiver, perhaps a name server, and one server; send; count; end all of it

    case = Case("relay", size=10240, count=10000)
    row = measure("postfix", case, work)        # a dictionary of figures, see `measure`

The generator (gen.c), the receiver (../lab/sink.c) and the disk are the same for every server. A server gets a fresh spool for every
round and WARM messages that are not counted; then everything on the disk is synced, so that nobody pays for the one before. A
round ends when the last message has arrived, or after `seconds`: then what has not arrived counts as lost.
"""
import contextlib
import dataclasses
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from accounts import Accounts, tree_seconds
from daemon import LabError, compile_c, free_port, until
from dns import Nsd
from load import Smtp
from ours import OURS
from peers import Peers, certificate
from rivals import RIVALS
from sink import Sink

HERE = Path(__file__).resolve().parent
SINKS = [f"127.0.9.{i}" for i in range(1, 9)]
WARM = 500
SERVERS = {**OURS, **RIVALS}


@dataclasses.dataclass
class Case:
    name: str
    size: int = 10240
    count: int = 10000
    domains: int = 100
    skew: str = "zipf"
    tls: bool = False
    dkim: str = ""        # rsa, ed25519, both
    dns: str = ""         # "": all mail goes to one receiver. shared: MX by DNS, eight MX hosts. own: every domain has an MX host of its own
    pause: int = 0        # idle: milliseconds between two messages, one at a time
    connections: int = 40
    out: int = 50
    seconds: int = 120
    config: dict = dataclasses.field(default_factory=dict)  # laid over Todoku's
    sink: tuple = ()      # set by measure
    dns_server: object = None


def zone(case):
    """test. for this case: domain i is received by sink i modulo eight."""
    lines = ["$ORIGIN test.", "$TTL 3600", "@ SOA ns hostmaster 1 3600 600 86400 60", "@ NS ns", "ns A 127.0.0.53"]
    lines += [f"mx{k}.sinks A {address}" for k, address in enumerate(SINKS)]
    for i in range(case.domains):
        if case.dns == "own":
            lines += [f"d{i:03d} MX 10 mx.d{i:03d}", f"mx.d{i:03d} A {SINKS[i % len(SINKS)]}"]
        else:
            lines.append(f"d{i:03d} MX 10 mx{i % len(SINKS)}.sinks")
    return "\n".join(lines) + "\n"


def generate(server, case, count, prefix, *more):
    """Run the generator to its end; (accepted, seconds, cpu seconds)."""
    connections = 1 if case.pause else case.connections
    argv = [compile_c(HERE / "gen.c", "gen"), "--to", "%s:%d" % server, "--count", count, "--connections", connections, "--size", case.size,
            "--domains", case.domains, "--skew", case.skew, "--prefix", prefix, "--seconds", case.seconds, *more]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=case.seconds + 10)
    words = done.stdout.replace(",", "").split()
    if len(words) < 10:
        raise LabError(f"the generator failed: {done.stdout}{done.stderr}")
    return int(words[0]), float(words[6]), float(words[8])


def open_sink(work, case):
    tls = certificate(work / "tls", "sink.test") if case.tls else None
    port = free_port(SINKS[0])
    case.sink = (SINKS[0], port)
    return Sink(work, [f"{address}:{port}" for address in SINKS], quiet=not case.pause, tls=tls)


def measure(name, case, folder, keep=False, beside=None):
    """One round with one server: rate, intake (messages/s), cpu (s per 1,000), cores, around (the lab's cores), memory (MiB), accepted,
    lost, doubled; with case.pause also `idle`: see idle_figures. `beside(pids)` is a context that is entered while it is counted."""
    work = Path(folder).resolve() / f"{case.name}-{name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    accounts, opened = Accounts(f"{case.name}-{name}"), []
    try:
        sink = open_sink(work, case)
        opened.append(sink)
        if case.dns:
            case.dns_server = Nsd(Peers(), work, text=zone(case))
            opened.append(case.dns_server)
        daemon, server = SERVERS[name](work, case, accounts)
        opened.append(daemon)
        with Smtp(*server) as smtp:
            smtp.hello()
        return one_round(name, case, work, sink, daemon, server, accounts, beside or (lambda pids: contextlib.nullcontext()))
    finally:
        case.dns_server = None
        for daemon in reversed(opened):
            daemon.end()
        accounts.close()
        if not keep:
            shutil.rmtree(work, ignore_errors=True)


def one_round(name, case, work, sink, daemon, server, accounts, beside):
    pids = getattr(daemon, "pids", None) or [daemon.pid]
    accounts.watch(pids)
    warm = 10 if case.pause else WARM
    generate(server, case, warm, "warm")
    until_arrived(sink, warm, time.monotonic() + case.seconds, daemon)
    os.sync()
    time.sleep(1)
    before, sink_before = accounts.seconds(), tree_seconds(sink.pid)
    more = ("--times", 1, "--pause", case.pause) if case.pause else ()
    with beside(pids):
        start = time.monotonic()
        accepted, seconds, gen_cpu = generate(server, case, case.count, "g", "--accepted", work / "accepted", *more)
        until_arrived(sink, warm + accepted, start + case.seconds, daemon)
        end = time.monotonic()
    used, sink_used = accounts.seconds() - before, tree_seconds(sink.pid) - sink_before
    time.sleep(1)  # late copies
    arrivals = [a for a in sink.arrivals() if a.id.startswith("g")]
    arrived = {a.id for a in arrivals}
    lines = [line.split("\t") for line in (work / "accepted").read_text().splitlines()]
    row = {"name": name, "case": case.name, "rate": len(arrived) / (end - start), "intake": accepted / seconds, "cpu": used / max(accepted, 1) * 1000,
           "cores": used / (end - start), "around": (gen_cpu + sink_used) / (end - start), "memory": accounts.peak_mib(), "accepted": accepted,
           "asked": case.count, "lost": len({line[0] for line in lines} - arrived), "doubled": len(arrivals) - len(arrived)}
    if case.pause:
        row["idle"] = idle_figures(lines, arrivals)
    return row


def until_arrived(sink, n, deadline, daemon):
    try:
        until("the last message", lambda: sink.count() >= n, max(1, deadline - time.monotonic()), every=0.02, alive=daemon)
    except LabError as error:
        print(f"        {str(error).splitlines()[0]}: {sink.count()} of {n} arrived", flush=True)


def quantiles(values):
    """p50, p99 and the largest."""
    values = sorted(values) or [0.0]
    return {"p50": statistics.median(values), "p99": values[min(len(values) - 1, int(len(values) * 0.99))], "max": values[-1], "n": len(values)}


def idle_figures(lines, arrivals):
    """Milliseconds from the client's 250 to the receiver's final dot, both clocks being this machine's. `reused`: over a connection that was
    open already; `opened`: the first of its connection. `intake`: from the client's MAIL to its 250."""
    accepted_at, seen = {line[0]: float(line[1]) for line in lines}, set()
    waits = {"all": [], "reused": [], "opened": []}
    for a in sorted(arrivals, key=lambda a: a.time):
        wait = (a.time - accepted_at.get(a.id, a.time)) * 1000
        waits["all"].append(wait)
        waits["reused" if a.connection in seen else "opened"].append(wait)
        seen.add(a.connection)
    return {**{k: quantiles(v) for k, v in waits.items()}, "intake": quantiles([float(line[2]) / 1000 for line in lines])}

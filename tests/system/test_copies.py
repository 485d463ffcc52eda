"""Two copies with real processes: three nodes, one coordinator, one etcd. Each spool has its mirror, whoever dies."""
import json
import time

from cluster import rows
from daemon import until
from dns import DOMAINS
from lab import SENDER, Load, check
from test_cluster import arrived
from verdicts import untold

APART = True


def spool_of(c, node):
    """Its home spool: another one after a takeover."""
    return next((r["spool"] for r in rows(c.coordinators[0].run_well("nodes", "--json")) if r.get("node") == node.id), f"{node.id}.0")


def register(c, node):
    """Who serves the node's home spool, and where its mirror is."""
    return json.loads(c.etcd.get(f"/todoku/{c.name}/spool/{spool_of(c, node)}"))


def disk(folder):
    return (folder / "disk").read_text().split()[3]


def copy_of(c, node):
    """The folder of the copy that the register names, None while it names none."""
    reg = register(c, node)
    if not reg["mirror"]:
        return None
    folder = c[reg["mirror_node"]].data / "copies" / spool_of(c, node)
    check(disk(folder) == reg["mirror"], f"the register of {node.id} names disk {reg['mirror']}, {folder} is another")
    return folder


def paired(c, *nodes):
    until(f"a mirror for {', '.join(n.id for n in nodes)}", lambda: all(register(c, n)["mirror"] for n in nodes), 20, every=0.1)


def octets(folder):
    return sum(f.stat().st_size for f in folder.glob("*.seg"))


def test_there_are_two(lab):
    "with `copies: 2` what was accepted lies on two disks; a mirror killed, then a primary killed and started again: nothing lost, twice came only what was told to be in doubt"
    sink = lab.sink()
    c = lab.cluster(copies=2, coordinators=1)
    paired(c, *c.nodes)
    first = c.stream(Load(DOMAINS, SENDER, 1500, prefix="first", size=3000), connections=8).finish()
    arrived(first, sink)
    for node in c.nodes:
        own, copied = octets(node.data / "spool"), octets(copy_of(c, node))
        check(own > 500_000 and abs(copied - own) < own / 4, f"{node.id}: {own} octets in its log, {copied} in the copy of it")

    stream = c.stream(Load(DOMAINS, SENDER, 60000, prefix="run", size=600), connections=8, pace=200)
    stream.wait_accepted(300)
    # A mirror is killed: who had it goes on alone, then pairs with another one.
    victim = c[register(c, c["n1"])["mirror_node"]]
    orphans = [n for n in c.nodes if n is not victim and register(c, n)["mirror_node"] == victim.id]
    before = {n.id: register(c, n) for n in orphans}
    victim.kill()
    start = time.monotonic()
    until("others in its place", lambda: all(register(c, n).get("mirror_node", victim.id) != victim.id for n in orphans), 20, every=0.1)
    took = time.monotonic() - start
    for n in orphans:
        check(register(c, n)["epoch"] >= before[n.id]["epoch"] + 2, f"{n.id}: severed and paired in one step? {before[n.id]} {register(c, n)}")
    # It comes back: its own spool was paired, and is again.
    victim.start()
    c.wait_nodes("n1", "n2", "n3")
    paired(c, *c.nodes)
    # A primary is killed and started at once: what it had on its disk alone is brought to the mirror first.
    primary = c["n1"]
    epoch = register(c, primary)["epoch"]
    primary.kill()
    primary.start()
    until("n1 to serve again", lambda: register(c, primary)["epoch"] > epoch, 10, every=0.1)
    c.wait_nodes("n1", "n2", "n3")
    paired(c, *c.nodes)
    taken = stream.accepted()
    stream.wait_accepted(taken + 200)
    stream.stop()
    # What was in flight at the two kills may have been sent twice: its dot was not known to be taken. Each is told.
    report = arrived(stream, sink, doubled=2 * 10 * 100)
    silently, doubts = untold(c, report.doubled, stream.twice)
    check(not silently, lambda: f"{len(silently)} came twice without a doubt told of it, such as {list(silently.items())[:3]}")
    print(f"        {report.expected} deliveries; another mirror {took:.1f} s after the kill; "
          f"{sum(n - 1 for n in report.doubled.values())} twice, {doubts.total()} in doubt; {len(stream.later)} times 4xx")
    c.stop()

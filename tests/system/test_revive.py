"""A last resort: a spool whose disk is lost while its copy was cut off is served from that copy, by an operator's word."""
import collections
import json
import shutil
import time

from cluster import rows, run
from daemon import until
from lab import SENDER, Load, check
from load import check_arrivals
from test_copies import paired

APART = True
BEFORE, AFTER = 300, 60


def register(c, spool):
    return json.loads(c.etcd.get(f"/todoku/{c.name}/spool/{spool}"))


def spools(c, *args):
    return run("spools", *args, "-c", c.nodes[0].file, env=c.env)


def row(c, spool):
    return next(r for r in rows(spools(c, "--json").stdout) if r["spool"] == spool)


def refused(c, words, *args):
    done = spools(c, "revive", *args)
    check(done.returncode == 1 and words in done.stderr, f"revive {' '.join(args)}: {done.returncode} {done.stdout!r} {done.stderr!r}")


def test_lost_disk(lab):
    "two nodes, one is cut off with its copy, then the other one's disk burns: refused while somebody has all; what the copy has is sent, all of it in doubt and told; what came later is lost, and said to be"
    c = lab.cluster(nodes=2, coordinators=1, more={"cluster": {"copies": 2, "min_copies": 1}})
    paired(c, *c.nodes)
    victim = c[c.owner("down.test")]
    keeper = next(n for n in c.nodes if n is not victim)
    spool = f"{victim.id}.0"
    check(row(c, spool)["state"] == "paired" and row(c, spool)["mirror"] == keeper.id, f"{row(c, spool)}")
    refused(c, "is there: it serves it", spool, "--from", keeper.id, "--yes")
    before = c.stream(Load(["down.test"], SENDER, BEFORE, prefix="before"), connections=8).finish()
    keeper.kill()
    until("the copy to be cut off", lambda: register(c, spool)["old"], 20, every=0.1)
    check(row(c, spool)["state"] == "alone" and row(c, spool)["old"] == keeper.id, f"{row(c, spool)}")
    after = c.stream(Load(["down.test"], SENDER, AFTER, prefix="after"), connections=8).finish()
    victim.kill()
    shutil.rmtree(victim.data / "spool")
    refused(c, "is there: it serves it", spool, "--from", keeper.id, "--yes")  # its lease lives yet
    keeper.start()
    until("its lease to end", lambda: c.etcd.get(f"/todoku/{c.name}/live/{victim.id}") is None, 20, every=0.2)
    until(f"{keeper.id} to be there", lambda: c.etcd.get(f"/todoku/{c.name}/live/{keeper.id}") is not None, 20, every=0.2)
    check(row(c, spool)["state"] == "lost", f"{row(c, spool)}")
    refused(c, "there is nobody to ask", spool, "--from", keeper.id)
    refused(c, "is the one that has the spool", spool, "--from", victim.id, "--disk", register(c, spool)["disk"], "--yes")
    refused(c, "names no copy at node", spool, "--from", "n9", "--yes")
    refused(c, "there is no spool n9.0", "n9.0", "--from", keeper.id, "--yes")
    was, began = register(c, spool), time.monotonic()
    done = spools(c, "revive", spool, "--from", keeper.id, "--yes")
    check(done.returncode == 0 and f"node {keeper.id} serves spool {spool}" in done.stdout, f"{done.returncode} {done.stdout!r} {done.stderr!r}")
    took = time.monotonic() - began
    check("is lost" in done.stderr and "in doubt" in done.stderr, f"it warns: {done.stderr!r}")
    reg = register(c, spool)
    check(reg["disk"] == was["old"] and reg["old"] == was["disk"] and reg["revived"] == was["epoch"] + 1 and reg["epoch"] == was["epoch"] + 2, f"{was} -> {reg}")
    refused(c, "is there: it serves it", spool, "--from", victim.id, "--yes")
    audit, = (e for e in keeper.events(event="audit") if e["action"] == "revive")
    check(audit["spool"] == spool and audit["former"] == victim.id and " at " in audit["by"], f"{audit}")

    def doubts():
        return collections.Counter(e["to"] for e in keeper.events(event="doubt") if e["spool"] == spool)

    check(not doubts(), "a doubt before the quarantine is over")
    until("all of the copy to be told as in doubt", lambda: sum(doubts().values()) >= BEFORE, 60, every=0.5)
    check(sum(doubts().values()) == BEFORE and row(c, spool)["state"] == "emptied", f"{doubts()} {row(c, spool)}")
    sink = lab.sink(listen=["127.4.206.1"])
    sink.wait_count(BEFORE, 60, alive=keeper.daemon)
    report = check_arrivals(before.load, sink)
    check(not report.lost and not report.doubled and len(after.load.accepted) == AFTER, f"{report}")
    check({c.node_of(a.peer) for a in sink.arrivals()} == {keeper.id}, "who sent it")
    # The lost disk's node comes back with an empty one: another spool, and the former one stays where it is.
    victim.start()
    c.wait_nodes("n1", "n2")
    check(register(c, spool)["disk"] == reg["disk"], f"{register(c, spool)}")
    check(not check_arrivals(before.load, sink).doubled and len(sink.arrivals()) == BEFORE, "what was lost came all the same")
    print(f"        revived in {took:.1f} s; {BEFORE} in doubt, all sent; {AFTER} that came later are lost, as was said")
    c.stop()

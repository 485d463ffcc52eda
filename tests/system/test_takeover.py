"""A dead node's mail goes on from the second copy: real processes, three nodes, `copies: 2`."""
import json
import time

from cluster import rows, run
from daemon import until
from dns import DOMAINS
from lab import SENDER, Load, check
from load import check_arrivals
from test_cluster import arrived
from verdicts import MOVING, VERDICT, moves, nth, spread, untold, verdict

APART = True
QUEUED = 2000


def register(c, spool):
    return json.loads(c.etcd.get(f"/todoku/{c.name}/spool/{spool}"))


def paired(c, *ids):
    until(f"a mirror for {', '.join(ids)}", lambda: all(register(c, f"{i}.0")["mirror"] for i in ids), 20, every=0.1)


def waiting(c, ids):
    """What the living nodes have of the queue for the dead domain."""
    said = rows(run("queues", "--json", api=c.coordinators[0].api).stdout)
    return sum(r.get("queued", 0) for r in said if r.get("domain") == "down.test")


def test_dead_node(lab):
    "a node is killed and never comes back: its queue and what it had in hand arrive all the same, from others; twice came only what was in doubt"
    connections = 5
    sink = lab.sink(listen=[f"127.4.{s}.{n}" for s in range(8) for n in (1, 2, 3)], extra=["--think", "400"])
    c = lab.cluster(copies=2, coordinators=1,
                    more={"providers": [{"name": "default", "connections": connections, "messages_per_connection": 100, "rate": "none"}]})
    ids = [n.id for n in c.nodes]
    paired(c, *ids)
    victim = c[c.owner("down.test")]
    rest = [n for n in ids if n != victim.id]
    spool = f"{victim.id}.0"
    heir = register(c, spool)["mirror_node"]
    queued = c.stream(Load(["down.test"], SENDER, QUEUED, prefix="queued", size=3000), connections=8).finish()
    stream = c.stream(Load(DOMAINS[:8], SENDER, 60000, prefix="flow"), connections=8, pace=200)
    stream.wait_accepted(600)
    killed = time.time()
    victim.kill()
    until("the takeover", lambda: register(c, spool)["node"] == heir, 30, every=0.02)
    taken = time.time()
    check(register(c, spool)["old"] and not register(c, spool)["mirror"], f"the register after the takeover is {register(c, spool)}")
    until("its queue at the others", lambda: waiting(c, rest) >= QUEUED, 30, every=0.1)
    more = stream.accepted()
    stream.wait_accepted(more + 200)
    stream.stop()
    # What the dead node had in the air waits out its quarantine, and is told.
    until("the end of the quarantine", lambda: not any(r.get("in_doubt", 0) for r in rows(run("nodes", "--json", api=c.coordinators[0].api).stdout)), 45, every=0.3)
    check(time.time() - taken > 25, "nothing waited: nothing was in doubt")
    down = verdict(c, victim.id, killed)
    times = moves(c, queued.load.prefix, [down])[down]
    check(down.time - killed <= VERDICT, f"declared down only {down.time - killed:.1f} s after the kill")
    check(len(times) == QUEUED and nth(times, 0.99) <= MOVING, f"{len(times)} of {QUEUED} were its own, and moved after the verdict: {spread(times)}")
    report = arrived(stream, sink, doubled=2 * connections * 8)
    silently, doubts = untold(c, report.doubled, stream.twice)
    check(not silently, lambda: f"{len(silently)} came twice without a doubt told of it, such as {list(silently.items())[:3]}")
    check(doubts and max(doubts.values()) == 1, lambda: f"doubts: {doubts.most_common(3)}")
    late = lab.sink(listen=["127.4.206.1"], name="late")
    late.wait_count(QUEUED, 60, alive=c[heir].daemon)
    arrived(queued, late)
    by = {c.node_of(a.peer) for a in late.arrivals()}
    check(victim.id not in by and by <= set(rest), f"its queue came from {sorted(by)}")
    said = c[c.coordinators[0].id].get("/metrics")[2].splitlines()
    counted = sum(float(line.rsplit(" ", 1)[1]) for line in said if line.startswith("todoku_doubts_total"))
    check(counted == sum(doubts.values()), f"/metrics counts {counted} doubts, {sum(doubts.values())} were told")
    print(f"        down {down.time - killed:.1f} s after the kill, taken over {taken - down.time:.2f} s after the verdict, {QUEUED} moved: {spread(times)} after it; "
          f"{sum(doubts.values())} in doubt, {sum(n - 1 for n in report.doubled.values())} came twice; {len(stream.later)} times 4xx; gap {stream.gap:.1f} s")


def test_stopped_for_good(lab):
    "a node is stopped in order and will not come back, its operator says: its mirror has its queue within seconds, nothing is in doubt, lost or doubled"
    sink = lab.sink(listen=[f"127.4.{s}.{n}" for s in range(8) for n in (1, 2, 3)])
    c = lab.cluster(copies=2, coordinators=1)
    ids = [n.id for n in c.nodes]
    paired(c, *ids)
    victim = c[c.owner("down.test")]
    rest = [n for n in ids if n != victim.id]
    spool = f"{victim.id}.0"
    queued = c.stream(Load(["down.test"], SENDER, QUEUED, prefix="queued", size=3000), connections=8).finish()
    stream = c.stream(Load(DOMAINS[:8], SENDER, 60000, prefix="flow"), connections=8, pace=200)
    stream.wait_accepted(600)
    began = time.monotonic()
    victim.stop()
    stopped = time.monotonic()
    until("its lease to end", lambda: c.etcd.get(f"/todoku/{c.name}/live/{victim.id}") is None, 10, every=0.05)
    done = c.admin("set", victim.id, "--dead")
    check(done.returncode == 0, f"members set --dead: {done.stderr!r}")
    until("the takeover", lambda: register(c, spool)["node"] != victim.id, 20, every=0.02)
    taken = time.monotonic()
    until("its queue at the others", lambda: waiting(c, rest) >= QUEUED, 30, every=0.1)
    moved = time.monotonic()
    stream.wait_accepted(stream.accepted() + 100)
    stream.stop()
    arrived(stream, sink)
    doubts = sum(len(c[i].events(event="doubt")) for i in rest)
    check(doubts == 0, f"{doubts} in doubt after a stop in order")
    late = lab.sink(listen=["127.4.206.1"], name="late")
    late.wait_count(QUEUED, 60, alive=c[rest[0]].daemon)
    arrived(queued, late)
    print(f"        stopped in {stopped - began:.1f} s, taken over {taken - stopped:.1f} s later, {QUEUED} moved {moved - taken:.1f} s after that; gap {stream.gap:.1f} s")
    c.stop()

"""A node whose spool is another's by now, or whose disk was lost, is a member again by itself: with another spool, and its former log kept as a copy."""
import json
import shutil
import signal
import time

from cluster import rows, run_well
from daemon import until
from dns import DOMAINS, SETS
from lab import SENDER, Load, check
from load import check_arrivals
from test_cluster import arrived

APART = True
OTHER = "f" * 32  # no disk of ours


def spool_of(c, id_):
    """The home spool of a node, as the view has it."""
    return next(r["spool"] for r in rows(run_well("nodes", "--json", api=c.coordinators[0].api)) if r.get("node", r.get("id")) == id_)


def register(c, spool):
    return json.loads(c.etcd.get(f"/todoku/lab/spool/{spool}"))


def take_over(c, spool, node="n9"):
    """What the mirror of a dead node does, by hand: a disk that none of these has is primary from now on."""
    was = register(c, spool)
    now = {**was, "epoch": was["epoch"] + 1, "incarnation": was["incarnation"] + 1, "node": node, "disk": OTHER, "mirror": "", "old": was["disk"]}
    now.pop("process", None)
    c.etcd.put(f"/todoku/lab/spool/{spool}", json.dumps(now))
    return register(c, spool)


def paired(c):
    """Each node's spool has its second copy."""
    until("every node to have a mirror", lambda: all(register(c, spool_of(c, n.id)).get("mirror") for n in c.nodes), 30, every=0.2)


def disk(folder):
    return (folder / "disk").read_text().split()[3]


def came_back(c, victim, former, taken):
    """It has a spool named by its disk, the old log is a copy, the register of the former spool is as it was."""
    c.wait_nodes("n1", "n2")
    home, aside = victim.data / "spool", victim.data / "copies" / former
    fresh = f"{victim.id}.{disk(home)[:8]}"
    check((home / "home").read_text() == f"todoku-home 1\nspool {fresh}\n", "the directory does not say its spool")
    until("the new spool in the view", lambda: spool_of(c, victim.id) == fresh, 10, every=0.2)
    check(register(c, fresh)["disk"] == disk(home), f"{register(c, fresh)}")
    check(disk(aside) == taken["old"] and json.loads((aside / "note").read_text())["newest"] == taken["epoch"], "the old log is no copy")
    check(register(c, former) == taken, f"the register of {former} changed: {register(c, former)}")
    return fresh


def takes_and_sends(c, sink, victim, prefix):
    """Mail of all domains arrives, a good part of it from that node."""
    stream = c.stream(Load(DOMAINS, SENDER, 300, prefix=prefix), connections=4).finish()
    until(f"the arrival of {prefix}", lambda: not check_arrivals(stream.load, sink).lost, 40, every=0.3)
    by = [c.node_of(a.peer) for a in sink.arrivals() if a.id.startswith(prefix)]
    check(by.count(victim.id) > 20, f"{by.count(victim.id)} of {len(by)} came from {victim.id}")


def actions(c, member):
    """What the node's own events say of its spools."""
    return [e["action"] for e in rows(run_well("events", "--event", "node", "--json", api=c.coordinators[0].api)) if e.get("member") == member and "spool" in e]


def test_taken_over(lab):
    "a stopped node's spool is another's when it starts: it sets it aside and is a member with another one, which it finds again; nothing of the old one is sent from it"
    sink, c = lab.sink(listen=[f"127.4.{s}.{n}" for s in range(SETS) for n in (1, 2, 3)]), lab.cluster(nodes=2)
    victim = c[c.owner("down.test")]
    former = f"{victim.id}.0"
    queued = c.stream(Load(["down.test"], SENDER, 50, prefix="queued")).finish()
    check(spool_of(c, victim.id) == former, "its first spool")
    victim.kill()
    taken = take_over(c, former)
    victim.start()
    fresh = came_back(c, victim, former, taken)
    check("spool %s was taken over by node n9" % former in victim.text(), victim.daemon.tail())
    takes_and_sends(c, sink, victim, "one")
    late = lab.sink(listen=["127.4.206.1"], name="late")
    check(actions(c, victim.id) == ["set_aside"], f"events: {actions(c, victim.id)}")
    victim.stop()
    victim.start()
    check(came_back(c, victim, former, taken) == fresh, "another spool after a second start")
    takes_and_sends(c, sink, victim, "two")
    time.sleep(1)
    check(not late.arrivals() and len(queued.load.accepted) == 50, f"{len(late.arrivals())} messages of a spool that is another's were sent")
    c.stop()


def test_disk_lost(lab):
    "a node's spool directory is deleted: it starts all the same, under another spool name, says what became of the mail; the old disk, brought back, is served again, and the one between, as a copy, is emptied"
    sink, c = lab.sink(listen=[f"127.4.{s}.{n}" for s in range(SETS) for n in (1, 2, 3)]), lab.cluster(nodes=2)
    victim = c[c.owner("down.test")]
    former, away = f"{victim.id}.0", victim.data / "away"
    c.stream(Load(["down.test"], SENDER, 50, prefix="queued")).finish()
    victim.stop()
    shutil.move(victim.data / "spool", away)
    victim.start()
    c.wait_nodes("n1", "n2")
    fresh = f"{victim.id}.{disk(victim.data / 'spool')[:8]}"
    check(spool_of(c, victim.id) == fresh, f"{spool_of(c, victim.id)}, not {fresh}")
    check("nobody else has it: if that disk is not lost, stop this node, bring its directory back" in victim.text(), victim.daemon.tail())
    check(actions(c, victim.id) == ["new_spool"], f"events: {actions(c, victim.id)}")
    takes_and_sends(c, sink, victim, "one")
    c.stream(Load(["down.test"], SENDER, 30, prefix="later")).finish()
    victim.stop()
    (victim.data / "copies").mkdir(exist_ok=True)
    shutil.move(victim.data / "spool", victim.data / "copies" / fresh)
    shutil.move(away, victim.data / "spool")
    late = lab.sink(listen=["127.4.206.1"], name="late")
    victim.start()
    c.wait_nodes("n1", "n2")
    check(spool_of(c, victim.id) == former, f"{spool_of(c, victim.id)}, not {former}")
    late.wait_count(80, 40, alive=victim.daemon)
    check(len({a.id for a in late.arrivals()}) == 80, f"{len(late.arrivals())} deliveries")
    until("the later spool to be empty", lambda: register(c, fresh).get("retired") or "nothing is left to be moved of spool" in victim.text(), 10, every=0.2)
    c.stop()


def test_deposed(lab):
    "a running node's spool is taken over: it begins no attempt of it any more, and is a member with another spool in the same process; its name, its addresses and its lease stay"
    sink, c = lab.sink(listen=[f"127.4.{s}.{n}" for s in range(SETS) for n in (1, 2, 3)]), lab.cluster(nodes=2, more={"cluster": {"copies": 2, "min_copies": 1}})
    victim = c[c.owner("down.test")]
    former, pid = f"{victim.id}.0", victim.daemon.pid
    c.stream(Load(["down.test"], SENDER, 50, prefix="queued")).finish()
    takes_and_sends(c, sink, victim, "before")
    lease = json.loads(c.etcd.ctl("get", f"/todoku/lab/live/{victim.id}", "-w", "json"))["kvs"][0]["lease"]
    taken = take_over(c, former)
    until("the new spool in the view", lambda: spool_of(c, victim.id) not in (former, "") and victim.id in c.up_nodes(c.coordinators[0]), 30, every=0.2)
    came_back(c, victim, former, taken)
    check(victim.daemon.pid == pid and victim.running(), "another process")
    check(json.loads(c.etcd.ctl("get", f"/todoku/lab/live/{victim.id}", "-w", "json"))["kvs"][0]["lease"] == lease, "another lease")
    late = lab.sink(listen=["127.4.206.1"], name="late")
    takes_and_sends(c, sink, victim, "after")
    time.sleep(1)
    check(not late.arrivals(), f"{len(late.arrivals())} messages of a spool that is another's were sent")
    check(actions(c, victim.id) == ["deposed", "set_aside"], f"events: {actions(c, victim.id)}")
    c.stop()


def test_frozen(lab):
    "a node with two copies stands still for longer than its lease amid sending: its mirror sends what it had; it goes on, and is a member again with another spool, in the same process; nothing is lost, few doubled"
    connections = 5
    sink = lab.sink()
    c = lab.cluster(nodes=3, more={"cluster": {"copies": 2, "min_copies": 2},
                                   "providers": [{"name": "default", "connections": connections, "messages_per_connection": 100, "rate": "none"}]})
    paired(c)
    stream = c.stream(Load(DOMAINS, SENDER, 4000), pace=250, connections=8)
    stream.wait_accepted(500)
    victim = c["n2"]
    former, pid = "n2.0", victim.daemon.pid
    victim.daemon.signal(signal.SIGSTOP)
    frozen = time.monotonic()
    until("its mirror to take its spool over", lambda: register(c, former)["node"] != "n2", 30, every=0.2)
    took = time.monotonic() - frozen
    taken = register(c, former)
    time.sleep(3)
    victim.daemon.signal(signal.SIGCONT)
    until("the new spool in the view", lambda: spool_of(c, "n2") not in (former, "") and "n2" in c.up_nodes(c.coordinators[0]), 30, every=0.2)
    back = time.monotonic() - frozen
    check(victim.daemon.pid == pid and victim.running(), "another process")
    fresh = f"n2.{disk(victim.data / 'spool')[:8]}"
    check(spool_of(c, "n2") == fresh and actions(c, "n2") == ["deposed", "set_aside"], f"{spool_of(c, 'n2')} {actions(c, 'n2')}")
    stream.finish()
    report = arrived(stream, sink, doubled=2 * connections * SETS)
    paired(c)
    check(register(c, former)["node"] == taken["node"], f"{register(c, former)}")
    takes_and_sends(c, sink, victim, "after")
    print(f"        taken over after {took:.1f} s by {taken['node']}; a member again after {back:.1f} s; {len(report.doubled)} doubled, longest time without a 250: {stream.gap:.1f} s")
    c.stop()

"""Copies on disks that go bad, with real processes: taken away while in use or while the node is down, without memory, or full. The
mail goes on, and each spool has a sound copy again, on another disk."""
import json
import shutil
import time

from cluster import rows
from daemon import until
from dns import DOMAINS
from lab import SENDER, Load, check
from test_cluster import arrived
from verdicts import untold

APART = True


def register(c, node):
    return json.loads(c.etcd.get(f"/todoku/{c.name}/spool/{node.id}.0"))


def another_copy(c, node, disk):
    """Waits until the node's spool has a mirror that is not this disk; the folder of it."""
    found = []

    def there():
        found[:] = [register(c, node)]
        return found[0]["mirror"] not in ("", disk)

    until(f"another copy of {node.id} than {disk}", there, 30, every=0.1)
    folder = c[found[0]["mirror_node"]].data / "copies" / f"{node.id}.0"
    check(found[0]["mirror"] in (folder / "disk").read_text(), f"{found[0]} names a disk that {folder} is not")
    return folder


def node_rows(c):
    return [row for row in rows(c.coordinators[0].run_well("nodes", "--json")) if row["role"] == "node"]


def octets(folder):
    return sum(f.stat().st_size for f in folder.glob("*.seg"))


def test_lost(lab):
    "copies taken away while they are in use, while their node is down, and one that lost its note: each is made anew, no mail is lost"
    sink, c = lab.sink(), lab.cluster(copies=2, coordinators=1)
    n1 = c["n1"]
    another_copy(c, n1, "")
    stream = c.stream(Load(DOMAINS, SENDER, 60000, size=1500), connections=8, pace=150)
    stream.wait_accepted(200)

    def anew(what, spoil):
        reg = register(c, n1)
        holder, taken = c[reg["mirror_node"]], stream.accepted()
        spoil(holder, holder.data / "copies" / f"{n1.id}.0")
        folder = another_copy(c, n1, reg["mirror"])
        stream.wait_accepted(max(stream.accepted(), taken) + 150)
        check(octets(folder) > 1000, f"{what}: {folder} has {octets(folder)} octets")
        return folder

    anew("in use", lambda holder, folder: shutil.rmtree(folder))

    def while_down(holder, folder):
        holder.kill()
        shutil.rmtree(folder.parent)
        holder.start()

    anew("while down", while_down)

    def without_note(holder, folder):
        holder.kill()
        (folder / "note").write_text("{")
        holder.start()
        until("it to be set aside", lambda: (folder.parent / f"{folder.name}~1" / "disk").exists(), 20, every=0.1)

    anew("without its note", without_note)
    stream.stop()
    report = arrived(stream, sink, doubled=2 * 2 * 10 * 100)  # two nodes were killed
    silently, doubts = untold(c, report.doubled, stream.twice)
    check(not silently, lambda: f"{len(silently)} came twice without a doubt told of it, such as {list(silently.items())[:3]}")
    print(f"        {report.expected} deliveries, {sum(n - 1 for n in report.doubled.values())} twice, {doubts.total()} in doubt, {len(stream.later)} times 4xx, "
          f"longest gap {stream.gap:.1f} s")
    c.stop()


def test_full(lab):
    "a node whose disk is low keeps no copies: those who had theirs there go to another, and it takes them again when there is room"
    sink, c = lab.sink(), lab.cluster(copies=2, coordinators=1)
    n1 = c["n1"]
    another_copy(c, n1, "")
    c.stream(Load(DOMAINS, SENDER, 500, prefix="first", size=1500), connections=4).finish()
    reg = register(c, n1)
    holder = c[reg["mirror_node"]]
    room = holder.config["node"].get("spool")
    holder.stop()
    holder.config["node"]["spool"] = {"reserve": "1000TiB"}
    holder.write_config()
    holder.start()
    c.wait_nodes("n1", "n2", "n3")
    folder = another_copy(c, n1, reg["mirror"])
    check(folder.parents[2] != holder.dir, f"the copy is still on {holder.id}")

    def is_ill():
        row, = (r for r in node_rows(c) if r["node"] == holder.id)
        return row["copies_kept"] > 0 and row["copies_ill"] == row["copies_kept"]

    until(f"{holder.id} to say that its copies take nothing", is_ill, 10, every=0.3)
    second = c.stream(Load(DOMAINS, SENDER, 500, prefix="second", size=1500), connections=4).finish()
    arrived(second, sink)
    holder.stop()
    holder.config["node"]["spool"] = room or {"reserve": "1MiB"}
    holder.write_config()
    holder.start()
    c.wait_nodes("n1", "n2", "n3")
    ids = {n.id for n in c.nodes}
    until("all to have a copy", lambda: all(row.get("mirror") in ids for row in node_rows(c)), 30, every=0.3)
    arrived(c.stream(Load(DOMAINS, SENDER, 500, prefix="third", size=1500), connections=4).finish(), sink)
    c.stop()


def test_outdated(lab):
    "a cluster of two: a copy's node was away while the log that it lacks was tidied away: another copy is begun beside it, by itself"
    sink = lab.sink()
    c = lab.cluster(nodes=2, coordinators=1, start=False, more={"cluster": {"copies": 2, "min_copies": 1}})
    for node in c.nodes:
        node.config["node"]["spool"] = {"segment": "1MiB"}
        node.write_config()
    c.start()
    n1, n2 = c["n1"], c["n2"]
    former = another_copy(c, n1, "")
    was = register(c, n1)["mirror"]
    arrived(c.stream(Load(DOMAINS, SENDER, 200, prefix="first", size=3000), connections=8).finish(), sink)
    n2.kill()
    until("it to be cut off", lambda: register(c, n1)["old"] == was, 20, every=0.1)
    arrived(c.stream(Load(DOMAINS, SENDER, 150, prefix="away", size=40000, own=True), connections=8).finish(), sink)
    # All of it has ended: in ten minutes the node would do that by itself.
    n1.stop()
    for file in sorted((n1.data / "spool").glob("*.seg"))[:3]:
        file.unlink()
    n1.start()
    n2.start()
    c.wait_nodes("n1", "n2")
    began = time.monotonic()
    folder = another_copy(c, n1, was)
    check(folder == former, f"{folder}")
    aside = folder.with_name(folder.name + "~old")
    check(was in (aside / "disk").read_text(), "the former copy is not kept beside it")
    took = time.monotonic() - began
    arrived(c.stream(Load(DOMAINS, SENDER, 200, prefix="then", size=3000), connections=8).finish(), sink)
    if lab.long:
        until("what made room to go", lambda: not aside.exists(), 90, every=0.5)
    print(f"        another copy after {took:.1f} s")
    c.stop()

"""Two versions of the program side by side. "The next" is built of the same sources (tests/lab/CMakeLists.txt): it speaks wire versions 1
to 3, greets other nodes with a message of its own where the cluster speaks 3, and writes records that version 2 does not know."""
import json
import re
import shutil
import time

from daemon import until
from dns import DOMAINS, SETS
from lab import SENDER, Load, check
from test_cluster import ALL, arrived
from todoku import program

APART = True


def next_program():
    path = program().parent / "tests" / "lab" / "todoku_next"
    check(path.exists(), f"there is no {path}; build it")
    return path


def wires(c):
    """What each member says in live/ that it speaks."""
    live = {key.rpartition("/")[2]: json.loads(c.etcd.get(key)) for key in c.etcd.keys("/todoku/lab/live/")}
    return {name: (record["wire_min"], record["wire"]) for name, record in live.items()}


def spoken(c):
    """The versions that the running coordinators' views say."""
    return {c.status(m).get("wire") for m in c.coordinators if m.running()}


def gap(stream, since, until_):
    """The longest time without a 250 that began in there (seconds of time.monotonic())."""
    times = [stream._start + t for t in stream.times]
    steps = [(b - a, a) for a, b in zip(times, times[1:]) if since <= a <= until_]
    return max(steps, default=(0.0, 0.0))[0]


def exchange(c, stream, member, program_):
    """Stop it in order, start it as that program; the longest time without a 250 meanwhile."""
    begun = time.monotonic()
    member.stop()
    if member.role == "node":  # then all of its log is read, what the other version wrote too
        shutil.rmtree(member.data / "table", ignore_errors=True)
    member.program = program_
    member.start()
    c.wait_nodes(*ALL)
    time.sleep(1.5)
    return gap(stream, begun, time.monotonic())


def unknown(c):
    """Lines of logs that tell of something that could not be understood."""
    found = []
    for m in c.members.values():
        lines = (m.dir / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        found += [f"{m.id}: {line}" for line in lines if re.search(r"is not known here|does not know|can't be understood|left out|damage", line)]
    return found


def skipped(node):
    """How many records of the newer program its starts have passed over."""
    text = (node.dir / "log").read_text(encoding="utf-8", errors="replace")
    return sum(int(n) for n in re.findall(r"(\d+) records of a newer Todoku were passed over", text))


def test_there_and_back(lab):
    "two coordinators and three nodes go one by one to the next version amid sending, and back: nothing lost or doubled, mixed states work"
    sink = lab.sink(listen=[f"127.4.{s}.{n}" for s in range(SETS) for n in (1, 2, 3)])
    c, newer = lab.cluster(), next_program()
    waiting = c.stream(Load(["down.test"], SENDER, 150, prefix="wait")).finish()
    stream = c.stream(Load(DOMAINS, SENDER, 60000, size=600), connections=16, pace=200)
    stream.wait_accepted(400)
    check(spoken(c) == {2}, f"the cluster speaks {spoken(c)}")
    order, gaps = [c["n1"], c["c1"], c["n2"], c["c2"], c["n3"]], []
    for i, member in enumerate(order):
        gaps.append(exchange(c, stream, member, newer))
        if i + 1 < len(order):
            check(spoken(c) == {2}, f"with {len(order) - 1 - i} old members left the cluster speaks {spoken(c)}")
    until("the cluster to speak version 3", lambda: spoken(c) == {3}, 10, every=0.2)
    check(set(wires(c).values()) == {(1, 3)}, f"live/ says {wires(c)}")
    taken = stream.accepted()
    time.sleep(3)
    check(stream.accepted() - taken > 300, f"{stream.accepted() - taken} accepted in 3 s at version 3")

    old = c["c1"]  # refused as long as the cluster speaks version 3, and says why
    old.stop()
    old.program = None
    old.launch()
    check(old.daemon.wait_exit(20) != 0, "the older program joined a cluster that speaks version 3")
    check("is of wire version 3, this program speaks 1 to 2" in old.daemon.tail(20), f"it says:\n{old.daemon.tail(20)}")
    old.program = newer
    old.start()
    check(spoken(c) == {3}, f"after its return the cluster speaks {spoken(c)}")

    old.write_config({"cluster": {"wire": 2}})  # the way back: one member's word, without a restart
    old.reload()
    until("the cluster to speak version 2 again", lambda: spoken(c) == {2}, 10, every=0.2)
    for member in reversed(order):
        gaps.append(exchange(c, stream, member, None))
        check(spoken(c) == {2}, f"on the way back the cluster speaks {spoken(c)}")
    check(set(wires(c).values()) == {(1, 2)}, f"live/ says {wires(c)}")
    stream.stop()
    report = arrived(stream, sink)
    arrived(waiting, lab.sink(listen=["127.4.206.1"], name="late"))
    passed = {n.id: skipped(n) for n in c.nodes}
    check(all(passed.values()), f"records of the newer program that the older one passed over: {passed}")
    check(not unknown(c), f"{len(unknown(c))} lines, such as {unknown(c)[:3]}")
    check(max(gaps) < 1, f"for {max(gaps):.2f} s nothing was accepted: {[f'{g:.2f}' for g in gaps]}")
    print(f"        {report.expected} deliveries at 200/s, longest time without a 250 {max(gaps):.2f} s ({' '.join(f'{g:.2f}' for g in gaps)}); "
          f"passed over: {passed}; {len(stream.later)} times 4xx, {len(stream.again)} sent twice by clients")
    c.stop()


test_there_and_back.seconds = 60

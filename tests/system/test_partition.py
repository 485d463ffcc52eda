"""Lines cut, processes killed and frozen, under a load that does not wait: members in networks of their own, see tests/lab/netcluster.py."""
import collections
import time

from cluster import rows
from daemon import until
from dns import DOMAINS
from lab import SENDER, Load, check
from load import check_arrivals
from faults import KINDS, plan
from steady import Steady
from test_cluster import apply, takes
from verdicts import MOVING, VERDICT, is_down, moves, nth, spread, verdicts

APART = True
NAMES = ["c1", "c2", "n1", "n2", "n3", "n4", "n5", "e1", "e2", "e3"]
PACE = 100  # messages a second
GAP = 4.0  # seconds without a 250 that a fault may cause: a node goes on without a mirror that it hears nothing of for 3
LONG = ((1, 8), (6.5, 15))  # seconds of a fault, with --long
THINK = 0.3  # seconds for which the receiver keeps its 250: what is being sent
KEPT = 1000  # messages that are queued all the time, paused: what a dead node's heir has to move at once
SLACK = 2.0  # seconds more, in which what is being sent when a fault begins was received


def everything(c, stream, seconds=60, kept=0):
    """Wait for all that was accepted: nothing lost, damaged or uninvited. The extra copies: {delivery: [arrivals]}, without those that
    the client had to send in again. `kept`: so many stay queued."""
    def queued():
        return c.status()["queued"] - kept

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (c.sink.count() < len(stream.load.deliveries()) or check_arrivals(stream.load, c.sink).lost):
        time.sleep(0.3)
    c.handed_on()  # what is in doubt waits half a minute, and may come again then
    until("empty queues", lambda: queued() == 0, 30, every=0.3)
    r = check_arrivals(stream.load, c.sink)
    check(not stream.load.refused, f"refused for good: {list(stream.load.refused.values())[:2]}")
    check(not r.lost, lambda: f"{len(r.lost)} of {r.expected} accepted messages are missing, such as {r.lost[:3]}; queued: {queued()}")
    check(not r.damaged and not r.uninvited, lambda: f"damaged {r.damaged[:3]}, uninvited {r.uninvited[:3]}")
    return {key: copies for key, copies in c.sink.by_key().items() if len(copies) > 1 and key[0] not in stream.twice}


def unexplained(c, doubled, faults):
    """Those whose first copy was not being sent when its node was killed or frozen; faults: [(Round, begin, end)] by the wall clock."""
    def explained(copies):
        first = min(copies, key=lambda a: a.time)
        return any(one.stops(c.node_of(first.peer)) and begin - THINK - SLACK < first.time < begin + SLACK for one, begin, _ in faults)

    return {key: [(c.node_of(a.peer), a.time) for a in copies] for key, copies in doubled.items() if not explained(copies)}


def undoubted(c, doubled):
    """With two copies: those that came more often than a node said that it does not know whether they were sent."""
    doubts = collections.Counter(event["to"] for n in c.nodes for event in n.events(event="doubt"))
    return {key: [(c.node_of(a.peer), a.time) for a in copies] for key, copies in doubled.items() if len(copies) - 1 > doubts[key[1]]}, doubts.total()


def figures(stream):
    waits = stream.waits()
    return (f"longest time without a 250 {stream.gap:.2f} s; from due to 250: half {waits[len(waits) // 2] * 1000:.0f} ms, 99 % {waits[len(waits) * 99 // 100]:.1f} s, "
            f"all {waits[-1]:.1f} s; {len(stream.again)} sent again, {len(stream.later)} times 4xx")


def run_rounds(c, rounds, prefix):
    """(the stream that ran meanwhile, brought to its end; [(Round, begin, end)] by the wall clock; those with no 250 for long though one could be)"""
    seconds = sum(r.seconds + (150 if r.kind.startswith("disk") else 2) for r in rounds)  # at most: the rest is not sent
    faults, load = [], Load(DOMAINS, SENDER, int(PACE * seconds), prefix=prefix)
    stream, ahead = Steady(load, c.coordinators, PACE).start(), time.time() - time.monotonic()
    for one in rounds:
        begin = one.begin(c)
        time.sleep(one.seconds)
        one.end(c)
        faults.append((one, begin, time.time()))
        time.sleep(1)
    c.whole()
    stream.stop()
    gaps = []
    for one, begin, end in faults:
        accepted, gap, wait = stream.during(begin - ahead, end + 1 - ahead)
        print(f"        {str(one):40} {accepted:4} accepted, longest time without a 250 {gap:.2f} s, longest wait for one {wait:.1f} s", flush=True)
        if gap >= GAP + stream.late and not one.may_stop_all():
            gaps.append(f"{one}: {gap:.2f} s without a 250 ({stream.late:.2f} s of that were the client's own at most)")
    return stream, faults, gaps


def judged(c, faults, crowded):
    """What was too late: the leader's verdicts, and what the dead node had queued, with others. `crowded`: for the latter count only rounds that
    began when all was moved on and had two copies. What a node holds that came from one that is away too is given back there first."""
    found = [(one, begin, v) for one, begin, end in faults for v in verdicts(c, begin, end + 2) if one.kills(v.node)]
    single = [(one, begin, v) for one, begin, v in found if len(one.who) == 1]  # of several that go at once one is judged after the other
    late = [f"{one}: declared down after {v.time - begin:.1f} s" for one, begin, v in single if v.time - begin > VERDICT]
    late += [f"{one}: not declared down" for one, begin, _ in faults if one.kills(one.who[0]) and len(one.who) == 1 and one.seconds > VERDICT and
             not any(one is other for other, _, _ in found) and not is_down(c, one.who[0], begin)]
    moved = moves(c, "kept", [v for _, _, v in found])
    for one, begin, v in found:
        print(f"        {str(one):40} {v.node} declared down after {v.time - begin:.1f} s; {len(moved[v])} moved: {spread(moved[v])} after that")
    times = [t for one, _, v in found for t in moved[v] if not crowded or one.kind.startswith("disk")]
    print(f"        {len(found)} verdicts: {spread([v.time - begin for _, begin, v in single])}; {sum(map(len, moved.values()))} moved after them: "
          f"{spread([t for v in moved for t in moved[v]])}; of these count {len(times)}: {spread(times)}", flush=True)
    return late if times and nth(times, 0.99) <= MOVING else [*late, f"what was queued moved after the verdicts: {spread(times)}"]


def keep(c, count):
    """Mail that stays queued until unkeep()."""
    c.coordinators[0].run_well("pause", "--tenant", "acme", "--campaign", "kept")
    return c.stream(Load(DOMAINS, SENDER, count, prefix="kept", size=600, header="X-Todoku-Campaign: kept")).finish()


def unkeep(c, kept):
    c.coordinators[0].run_well("resume", "--tenant", "acme", "--campaign", "kept")
    doubled = {key: copies for key, copies in everything(c, kept).items() if key[0].startswith(kept.load.prefix)}
    check(not doubled, lambda: f"{len(doubled)} came twice that were queued all the time, such as {list(doubled.items())[:3]}")


def rounds_of(lab, copies, rounds):
    c = lab.netcluster(think=int(THINK * 1000), copies=copies).start()
    print(f"        seed {lab.seed}")
    faults, bad, again, kept = [], [], set(), keep(c.paired(), KEPT) if copies == 2 else None
    for i in range(0, len(rounds), 20):
        stream, new, gaps = run_rounds(c, rounds[i:i + 20], f"r{i:03d}-")
        faults += new
        again |= stream.twice
        doubled = {key: found for key, found in everything(c, stream, kept=KEPT if kept else 0).items() if key[0] not in again}
        strange, doubts = undoubted(c, doubled) if copies == 2 else (unexplained(c, doubled, faults), "no")
        print(f"        {stream.accepted()} messages, {len(doubled)} doubled, {doubts} in doubt; {figures(stream)}", flush=True)
        bad += gaps + [f"{len(strange)} came twice though no attempt was open when a fault began, such as {list(strange.items())[:3]}"] * bool(strange)
    if kept:
        bad += judged(c, faults, lab.long)
        unkeep(c, kept)
    check(not bad, "\n".join(bad))


def test_rounds(lab):
    "5 nodes, 2 coordinators, 3 etcds, each in a network of its own, one copy: killed, frozen and cut off in turn at 100 messages/s: none missing when all are back, few doubled"
    rounds_of(lab, 1, plan(lab.seed, lab.rounds // 4, NAMES, LONG) if lab.long else plan(lab.seed, 6, NAMES, kinds=("freeze node", "kill node", "alone", "mute", "no store", "kill etcd")))


def test_rounds_copied(lab):
    "the same with two copies, a disk lost, and mail that stays queued: none missing, only those doubled that a node was in doubt of; verdicts and what moves after them in time"
    kinds = tuple(KINDS)
    rounds_of(lab, 2, plan(lab.seed, lab.rounds, NAMES, LONG, kinds) if lab.long else plan(lab.seed, len(kinds), NAMES, kinds=kinds))


test_rounds.seconds, test_rounds.long_limit = 60, 1800
test_rounds_copied.seconds, test_rounds_copied.limit, test_rounds_copied.long_limit = 110, 240, 7200


# ---- the store ----

def all_up(c, when):
    for m in c.coordinators:
        up = c.up_nodes(m)
        check(up == {n.id for n in c.nodes}, f"{m.id} sees only {up} up {when}")


def test_store_away(lab):
    "all three etcds away for 60 s, frozen and then killed, at 300 messages/s, two copies: no second without a 250, nobody leaves; then leases, views and config work"
    c, pace, half = lab.netcluster(copies=2).start().paired(), 300, 300 if lab.long else 30
    stream = Steady(Load(DOMAINS, SENDER, pace * (2 * half + 60)), c.coordinators, pace).start()
    stream.wait_accepted(3 * pace)
    epoch, start = c.status()["view_epoch"], time.monotonic()
    c.etcd.freeze()
    time.sleep(half)
    c.etcd.kill()
    all_up(c, "while etcd is away")
    time.sleep(half)
    inside = stream.since(start, time.monotonic())
    check(all(m.running() for m in c.members.values()), f"ended while etcd was away: {[m.id for m in c.members.values() if not m.running()]}")
    all_up(c, "while etcd is away")
    c.etcd.start()
    back = time.monotonic()
    while time.monotonic() < back + 10:
        all_up(c, f"{time.monotonic() - back:.1f} s after etcd's return")
        time.sleep(0.3)
    stream.stop()
    check(inside >= 0.99 * pace * 2 * half, f"only {inside} of {pace * 2 * half} messages were accepted while etcd was away")
    check(not stream.later and not stream.again, f"not taken at once: {stream.later[:3]} {list(stream.again)[:3]}")
    check(stream.gap < 1 + stream.late, f"{stream.gap:.2f} s without a 250 ({stream.late:.2f} s of that were the client's own at most)")
    doubled = everything(c, stream)
    check(not doubled, lambda: f"doubled: {list(doubled)[:3]}")
    until("all leases and a head", lambda: len(c.etcd.keys("/todoku/lab/live/")) == 7 and c.head(), 15, every=0.5)
    c["n3"].stop()
    c.wait_nodes(*(n.id for n in c.nodes if n.running()))
    c["n3"].start()
    c.whole()
    apply(c, {"tenants": [{**c.base["tenants"][0], "domains": ["sender.test", "late.test"]}]})
    until("the new domain to be let in", lambda: takes(c.coordinators[0], "x@late.test", "x@d001.test"), 10, every=0.3)
    print(f"        {inside} of {pace * 2 * half} accepted meanwhile; {figures(stream)}; epoch {epoch} before, {c.status()['view_epoch']} after")


test_store_away.seconds, test_store_away.long_limit = 100, 900

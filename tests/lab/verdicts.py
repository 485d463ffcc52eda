"""verdicts - how long until a node that went was declared down, and until its queued mail was with others, and what was in doubt: all out of
what the members told

    queue = Load(...); c.stream(queue).finish()              # mail that stays queued: to a dead host, or paused
    begin = time.time(); c["n2"].kill(); ...
    v = verdict(c, "n2", begin)                              # Verdict(node, time, epoch), None: there was none until now
    moves(c, queue.prefix, [v])                              # {v: [seconds after the verdict, of each delivery that it had]}
    print(spread([...])); check(v.time - begin <= VERDICT and nth(moves, 0.99) <= MOVING, ...)

Times are those of the members' clocks, which is one machine's: a verdict's is the one that the head gave it, a delivery's when a node
told that it has it (`transferred`: it is in that one's log, and the next attempt is made there). What is not told yet counts as never. A node
that had no second copy when it went (another fault had just taken its mirror away) comes back with its mail, which moves to nobody.
"""
import collections
import datetime
import json
import math

VERDICT, MOVING = 10.0, 5.0  # seconds from a death to the verdict, at most; from there until the queue moves, 99 in 100
NEVER = float("inf")

Verdict = collections.namedtuple("Verdict", "node time epoch")


def clock(text):
    """Seconds since 1970 of an event's time."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def told(c, *names):
    """All events of these names that the nodes have written down, as objects, each node's in order."""
    marks = [f'"event":"{name}"'.encode() for name in names]
    for node in c.nodes:
        for path in sorted(p for p in (node.data / "log").rglob("*") if p.is_file()):
            for line in path.read_bytes().splitlines():
                if any(mark in line for mark in marks):
                    try:
                        yield json.loads(line)
                    except ValueError:
                        continue  # a line that a crash has cut


def turns(c, action):
    """[Verdict], the oldest first, of nodes that are "down", or "up"; what was told twice counts once."""
    return sorted({Verdict(e["member"], clock(e["since"]), e["epoch"]) for e in told(c, "node") if e.get("action") == action and e.get("role") == "node"},
                  key=lambda v: v.time)


def verdicts(c, begin=0.0, end=NEVER):
    """[Verdict] between these moments."""
    return [v for v in turns(c, "down") if begin <= v.time < end]


def is_down(c, id_, moment):
    """Whether the last that was told of it until then is that it is down: from a fault before."""
    ups, downs = ([v.time for v in turns(c, action) if v.node == id_ and v.time < moment] for action in ("up", "down"))
    return max(downs, default=0) > max(ups, default=0)


def verdict(c, id_, begin):
    """The first one on this node since then, None while there is none."""
    return next((v for v in verdicts(c, begin) if v.node == id_), None)


def moves(c, prefix, found):
    """{verdict: [seconds]} for the deliveries, to recipients whose names begin so, that were the node's when it was given."""
    steps = collections.defaultdict(list)
    for e in told(c, "accepted", "transferred"):
        if e["to"].startswith(prefix):
            steps[e["id"]].append((clock(e["time"]), e["node"]))
    out = {v: [] for v in found}
    for path in steps.values():
        path.sort()
        for v in found:
            before = [node for time, node in path if time <= v.time]
            if before and before[-1] == v.node:
                out[v].append(next((time - v.time for time, _ in path if time > v.time), NEVER))
    ups = turns(c, "up")
    return {v: [] if min(times, default=NEVER) > _back(v, ups) and _alone(c, v) else times for v, times in out.items()}


def _back(v, ups):
    """After how long it served again."""
    return next((up.time - v.time for up in ups if up.node == v.node and up.time > v.time), NEVER)


def _alone(c, v):
    """Whether the node had no second copy at that moment, as far as it knew."""
    last = ""
    for line in (c[v.node].dir / "log").read_text(encoding="utf-8", errors="replace").splitlines():
        if ("goes on without its copy" in line or "has its second copy" in line) and clock(line.split()[0]) < v.time:
            last = line
    return "goes on without" in last


def untold(c, doubled, again=()):
    """({delivery: how often}, all that was told): what came more often than nodes said that they don't know whether they have sent it. `doubled`
    as check_arrivals() has it; `again`: ids of messages that the client had to send in twice."""
    doubts = collections.Counter(e["to"] for e in told(c, "doubt"))
    return {key: n for key, n in doubled.items() if key[0] not in again and n - 1 > doubts[key[1]]}, doubts


def nth(values, part):
    """The value that this part of them does not exceed."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def spread(values):
    return f"p50 {nth(values, 0.5):.2f}, p99 {nth(values, 0.99):.2f}, max {max(values):.2f} s" if values else "none"

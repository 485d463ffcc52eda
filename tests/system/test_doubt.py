"""What is being sent when its node dies is told as in doubt, and nothing else comes twice."""
import collections
import time

from dns import DOMAINS
from daemon import until
from lab import SENDER, Load, check
from test_cluster import arrived
from test_copies import paired

APART = True
THINK = 1.5


def test_restart(lab):
    "with `copies: 2`, a node killed with final dots in the air and started again: what comes twice was told as doubt before, and no more often"
    sink = lab.sink(extra=["--think", str(int(THINK * 1000))])
    c = lab.cluster(copies=2, coordinators=1)
    paired(c, *c.nodes)
    stream = c.stream(Load(DOMAINS, SENDER, 400, prefix="doubt", rcpts=(1, 3), size=600), connections=16)
    stream.wait_accepted(100)
    until("messages to arrive", lambda: sink.count() >= 60, 20, every=0.05)
    # All that arrived within the last second has not been answered yet.
    fresh = [a for a in sink.arrivals() if a.time > time.time() - THINK + 0.5]
    node = c[collections.Counter(c.node_of(a.peer) for a in fresh).most_common(1)[0][0]]
    node.kill()
    node.start()
    c.wait_nodes("n1", "n2", "n3")
    stream.finish()
    report = arrived(stream, sink, doubled=400)
    doubts = collections.Counter(e["to"] for n in c.nodes for e in n.events(event="doubt"))
    twice = {rcpt: n - 1 for (_, rcpt), n in report.doubled.items()}
    check(twice, "nothing came twice: the kill met no message on its way")
    untold = {rcpt: n for rcpt, n in twice.items() if doubts[rcpt] < n}
    check(not untold, lambda: f"{len(untold)} came twice without a doubt told of it, such as {list(untold.items())[:3]}")
    check(max(doubts.values()) == 1, lambda: f"told more than once: {doubts.most_common(3)}")
    counted = sum(float(line.rsplit(" ", 1)[1]) for line in c["c1"].get("/metrics")[2].splitlines() if line.startswith("todoku_doubts_total"))
    print(f"        {report.expected} deliveries; {sum(doubts.values())} in doubt after the kill of {node.id}, {sum(twice.values())} came twice")
    check(counted == sum(doubts.values()), f"/metrics counts {counted} doubts")
    c.stop()

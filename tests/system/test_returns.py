"""Who is only away keeps its spool; nobody is declared dead whose mail no living node has; and both can be seen."""
import json
import time

from cluster import rows
from daemon import until
from lab import check

APART = True


def row_of(c, node):
    """Its row of `todoku nodes`."""
    return next(r for r in rows(c.coordinators[0].run_well("nodes", "--json")) if r.get("node") == node.id)


def mirrors(c):
    """{node: the node with its second copy} when all have one, else None."""
    found = {n.id: row_of(c, n).get("mirror", "none") for n in c.nodes}
    return None if any(m not in found for m in found.values()) else found


def log(c):
    return c.coordinators[0].daemon.text()


def state(c, node):
    return row_of(c, node)["state"]


def test_stopped(lab):
    "a node that is stopped for some seconds has its own spool when it is back; where the second copy is stands in nodes and /readyz"
    c = lab.cluster(copies=2, coordinators=1)
    door, n1 = c.coordinators[0], c["n1"]
    until("a mirror for each", lambda: mirrors(c), 20)
    status, _, text = door.get("/readyz")
    check(status == 200 and json.loads(text.splitlines()[0])["min_copies"] == 2, f"/readyz: {status} {text}")
    n1.stop()
    until("n1 to be away", lambda: state(c, n1) == "down", 10)
    check("n1 is away for now" in log(c), f"the head does not say so: {door.daemon.tail()}")
    time.sleep(4)  # its mirror would have had the spool for long
    n1.start()
    c.wait_nodes("n1", "n2", "n3")
    check(row_of(c, n1)["spool"] == "n1.0", f"its spool was taken over: {row_of(c, n1)}")
    until("a mirror for each again", lambda: mirrors(c), 20)


def test_both_gone(lab):
    "two nodes die that have all there is of one's mail: that one is not declared dead until its mirror is back, or an operator says so"
    c = lab.cluster(copies=2, coordinators=1)
    door = c.coordinators[0]
    until("a mirror for each", lambda: mirrors(c), 20)
    pairs = mirrors(c)
    first = c["n1"]
    second = c[pairs["n1"]]
    third = next(n for n in c.nodes if n not in (first, second))
    first.kill()
    second.kill()
    until("the head to say that it waits", lambda: f"{first.id} is gone, but is not declared down" in log(c), 20)
    check(state(c, first) != "down", f"{first.id} is declared down")
    until("no node to take mail", lambda: door.get("/readyz")[0] == 503, 15)
    check("there is no second copy" in door.get("/readyz")[2] and row_of(c, third)["doing"] == "alone", f"{door.get('/readyz')} {row_of(c, third)}")
    alone = lambda: [a for a in rows(door.run_well("alerts", "--json")) if a.get("alert") == "copies" and a.get("node") == third.id]
    until("an alert", alone, 20)
    check(alone()[0]["severity"] == "critical", f"{alone()}")
    check(c.admin("set", third.id, "--dead").returncode == 1, "one that runs was given up")
    check(c.admin("set", first.id, "--dead").returncode == 0, "members set --dead failed")
    until(f"{first.id} to be declared down", lambda: state(c, first) == "down", 20)
    first.start()
    second.start()
    c.wait_nodes("n1", "n2", "n3")
    until("a mirror for each again", lambda: mirrors(c), 30)

"""What became of the members is told: each turn and each handing over once, whoever is head; and a loop that hangs is a death."""
import json
import time

from cluster import rows, run_well
from daemon import Daemon, until
from dns import DOMAINS
from hang import hung
from lab import SENDER, Load, check
from load import check_arrivals
from todoku import program

APART = True
ALL = ("n1", "n2", "n3")


def follow(lab, at, name):
    """`todoku events --follow` at a coordinator, from now on."""
    follower = lab.keep(Daemon([program(), "events", "--follow", "--json", "--event", "node", "--api", at.api], log=lab.work / name, name=name))
    time.sleep(1)
    return follower


def told(follower):
    return [json.loads(line) for line in follower.text().splitlines() if line.startswith("{")]


def find(events, member, action):
    return [e for e in events if e.get("member") == member and e["action"] == action]


def once(events, member, action, reason=""):
    """The one event of that kind."""
    found = find(events, member, action)
    check(len(found) == 1, f"`{member} {action}` was told {len(found)} times: {found or events}")
    check(reason in found[0].get("reason", ""), f"`{member} {action}`, because {found[0].get('reason')}; expected: {reason}")
    return found[0]


def wait_told(follower, member, action, seconds=15):
    until(f"the event that {member} is {action}", lambda: find(told(follower), member, action), seconds, every=0.1)
    return find(told(follower), member, action)[0]


def log_of(c, *options):
    return rows(run_well("events", "--json", "--event", "node", "-n", "1000", *options, api=next(m for m in c.coordinators if m.running()).api))


def test_turns(lab):
    "joining, draining with its handing over, a death under a new head, the return: each is told once, with since and why, live and later"
    lab.sink(listen=["127.4.0.1"])  # nobody is there for down.test
    c = lab.cluster()
    for member in (*ALL, "c1", "c2"):
        event = once(log_of(c), member, "up", "it has joined")
        check(event["role"] == ("node" if member in ALL else "coordinator") and event["since"] and event["epoch"] > 0, f"{event}")
    stay = next(m for m in c.coordinators if m is not c.head())
    follower = follow(lab, stay, "follower")
    queued = c.stream(Load(["down.test"], SENDER, 200, prefix="queued")).finish()
    owner = c.owner("down.test", stay)
    check(c.admin("set", owner, "--drain").returncode == 0, "members set --drain failed")
    wait_told(follower, owner, "draining")
    until("the queue to be handed over", lambda: any(e["moved"] >= 200 for e in find(told(follower), owner, "handed_over")), 20, every=0.2)
    begin, end = once(told(follower), owner, "handing_over", "an operator drains it"), once(told(follower), owner, "handed_over")
    check(begin["queued"] >= 200 and end["moved"] >= 200 and end["queued"] == 0 and end["took_ms"] >= 0, f"{begin} {end}")
    check(len(queued.load.accepted) == 200, f"{len(queued.load.accepted)} accepted")
    check(c.admin("set", owner, "--undrain").returncode == 0, "members set --undrain failed")
    until("the end of the draining", lambda: "ended its draining" in str(told(follower)), 10, every=0.1)
    # The head dies, then a node which is not the one that tells: by the next head, once.
    old = c.head()
    old.kill()
    wait_told(follower, old.id, "down", 25)
    teller = find(told(follower), old.id, "down")[0]["node"]
    victim = next(n for n in ALL if n != teller)
    c[victim].kill()
    wait_told(follower, victim, "down")
    c[victim].start()
    until("its return", lambda: len(find(told(follower), victim, "up")) >= 1, 20, every=0.1)
    time.sleep(1)
    events = told(follower)
    once(events, old.id, "down", "its lease is over")
    down = once(events, victim, "down", "its lease is over")
    up = once(events, victim, "up", "" if victim != owner else "it was started again")
    check(up["epoch"] > down["epoch"] and up["since"] > down["since"], f"{down} {up}")
    # The one that tells dies: another one tells that, at least; what is told again has the same epoch.
    c[teller].kill()
    event = wait_told(follower, teller, "down", 20)
    check(event["node"] != teller, f"{event}")
    c[teller].start()
    wait_told(follower, teller, "up", 20)
    later = log_of(c)
    for e in told(follower):
        if e["action"] in ("up", "down", "draining"):
            check(e["epoch"] in {x["epoch"] for x in find(later, e["member"], e["action"])}, f"in no log: {e}")


def test_hung_loop(lab):
    "a node's own thread hangs, its process goes on: it is declared down all the same, mail goes elsewhere; then it is back, nothing lost"
    sink, c = lab.sink(), lab.cluster()
    stream = c.stream(Load(DOMAINS, SENDER, 3000), pace=200)
    stream.wait_accepted(300)
    follower = follow(lab, c["c1"], "follower")
    victim = c["n2"]
    with hung(victim.daemon.pid, "node"):
        began = time.monotonic()
        until("the lease of n2 to be over", lambda: "/todoku/lab/live/n2" not in c.etcd.keys("/todoku/lab/live/"), 20, every=0.2)
        wait_told(follower, "n2", "down")
        took = time.monotonic() - began
        check(took < 12, f"declared down after {took:.1f} s")
        check("its own loop has not turned for 3 s" in victim.text(), f"n2 says nothing of it:\n{victim.daemon.tail()}")
        c.wait_nodes("n1", "n3")
        time.sleep(3)
        check("/todoku/lab/live/n2" not in c.etcd.keys("/todoku/lab/live/"), "n2 took a lease while it hung")
    c.wait_nodes(*ALL)
    check(victim.running() and "its loop turns again" in victim.text(), f"n2 after it hung:\n{victim.daemon.tail()}")
    stream.finish()
    until("all mail's arrival", lambda: not check_arrivals(stream.load, sink).lost, 60, every=0.3)
    wait_told(follower, "n2", "up")
    events = told(follower)
    once(events, "n2", "down", "its lease is over")
    once(events, "n2", "up", "its process serves again")
    print(f"        down after {took:.1f} s, {len(stream.later)} times 4xx")

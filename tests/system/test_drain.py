"""A node is drained: it ends empty, whoever waits is told how far it is and what can't leave; nothing is lost or doubled."""
import json
import re
import signal
import subprocess
import time

from cluster import rows, run, run_well, senders
from daemon import until
from dns import DOMAINS
from lab import SENDER, LabError, Load, check, whole
from load import check_arrivals, fnv1a
from todoku import program

APART = True
ALL = ("n1", "n2", "n3")


def drain(c, node, *options, seconds=60, at=None):
    return run("drain", node, *options, api=(at or c.coordinators[0]).api, seconds=seconds)


def row_of(c, node, at=None):
    found = [r for r in rows(run_well("nodes", "--json", api=(at or c.coordinators[0]).api)) if r.get("node") == node]
    check(len(found) == 1, f"todoku nodes has {found} for {node}")
    return found[0]


def emptied(done, node):
    """It ended with 0 and says so."""
    check(done.returncode == 0, f"drain --wait ended with {done.returncode}: {done.stdout!r} {done.stderr[-1500:]!r}")
    check(f"{node} is empty" in done.stdout, f"drain --wait said {done.stdout!r}")


def all_arrived(loads, sink, seconds=60, doubled=0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and check_arrivals(loads, sink).lost:
        time.sleep(0.3)
    time.sleep(0.3)
    return whole(loads, sink, doubled=doubled)


def send_paused(c, count, **options):
    """Pause everything, then hand in; the load, and how many were accepted a second."""
    run_well("pause", "--tenant", "acme", api=c.coordinators[0].api)
    load = Load(DOMAINS, SENDER, count, **options)
    start = time.monotonic()
    stream = c.stream(load, connections=8).finish()
    rate = count / (time.monotonic() - start)
    check(len(load.accepted) == count and not stream.twice, f"accepted {len(load.accepted)}, {len(stream.twice)} were sent again")
    return load, rate


def resume(c):
    run_well("resume", "--tenant", "acme", api=c.coordinators[0].api)


# ---- leaving ----

def test_under_load(lab):
    "a node is drained amid sending: it ends empty and gets no new mail, nothing is lost or doubled; undrained it gets its domains again"
    sink, c = lab.sink(), lab.cluster()
    stream = c.stream(Load(DOMAINS, SENDER, 15000, prefix="during"), pace=200)  # more than it takes; stopped below
    stream.wait_accepted(600)
    owned = {d for d in DOMAINS[::3] if c.owner(d) == "n3"}
    check(owned, "n3 owns no domain: the test proves nothing")
    done = drain(c, "n3", "--wait", "--timeout", "40s")
    emptied(done, "n3")
    moment = stream.accepted()
    check(moment < 14000, "all was accepted before the node was empty: the test proves nothing")
    row = row_of(c, "n3", c.coordinators[1])
    check(row["state"] == "draining" and row["queued"] == 0, f"todoku nodes: {row}")
    check(not any(c.owner(d) == "n3" for d in owned), "n3 owns domains still")
    sent = sum(c.node_of(a.peer) == "n3" for a in sink.arrivals())
    time.sleep(2)
    check(sum(c.node_of(a.peer) == "n3" for a in sink.arrivals()) == sent, "n3 sent on though it was empty")
    done = run("undrain", "n3", api=c.coordinators[1].api)
    check(done.returncode == 0 and "gets new mail again" in done.stdout, f"undrain: {done.returncode} {done.stdout!r} {done.stderr!r}")
    c.wait_nodes(*ALL)
    moment_back = stream.accepted()
    stream.wait_accepted(moment_back + 400)
    stream.stop()
    check({d for d in DOMAINS[::3] if c.owner(d) == "n3"} == owned, "n3 has not got its domains back")
    all_arrived(stream.load, sink, doubled=len(stream.twice))
    check(sum(c.node_of(a.peer) == "n3" for a in sink.arrivals()) > sent, "n3 sent nothing after it was taken back")
    audit = [e for e in rows(run_well("events", "--json", "--event", "audit", api=c.coordinators[0].api)) if e.get("member") == "n3"]
    check([e["action"] for e in audit] == ["drain", "undrain"] and all(e["by"] for e in audit), f"audit events: {audit}")
    print(f"        empty when {moment} were accepted")


def test_paused_backlog(lab):
    "a node with a paused backlog is drained: all of it goes to the others, who send it after the pause, once each; the node is removed"
    sink, c = lab.sink(), lab.cluster()
    load, accepted = send_paused(c, 9000, size=1500)
    held = row_of(c, "n3")["queued"]
    check(held > 1000, f"n3 holds {held} only")
    start = time.monotonic()
    emptied(drain(c, "n3", "--wait"), "n3")
    took = time.monotonic() - start
    left = {n: row_of(c, n)["queued"] for n in ALL}
    check(left["n3"] == 0 and sum(left.values()) == 9000, f"queued: {left}")
    check(c.admin("remove", "n3").returncode == 0, "members remove failed")
    c["n3"].daemon.wait_exit(30)
    resume(c)
    all_arrived(load, sink)
    check(not any("n3" in nodes for nodes in senders(c, sink.arrivals()).values()), "n3 sent some of it")
    print(f"        {held} left in {took:.1f} s: {held / took:.0f}/s; three nodes accepted {accepted:.0f}/s")


def bus_bytes(c):
    """What each node has sent and received over the bus."""
    time.sleep(1.5)  # the figures are looked at once a second
    found = {}
    for line in c.coordinators[0].get("/metrics")[2].splitlines():
        match = re.match(r'todoku_bus_(sent|received)_bytes_total\{node="(n\d)"\} (\d+)', line)
        if match:
            found[match.group(2), match.group(1)] = int(match.group(3))
    return found


def test_bodies_cross_once(lab):
    "two copies: of a mailing that is drained its text crosses once to each other node, of other mail each body once; the bytes are told"
    sink, c = lab.sink(), lab.cluster(copies=2)
    text = b"Content-Type: text/plain\r\n\r\n" + b"".join(b"%04d The same words for everybody, and many of them.\r\n" % i for i in range(200))
    loads, twice = [], 0
    for name in ("mailing", "letters"):
        run_well("pause", "--tenant", "acme", api=c.coordinators[0].api)
        load = Load(DOMAINS, SENDER, 1500, prefix=name)
        bodies = [text + b"%d\r\n" % (i if name == "letters" else 0) for i in range(1500)]
        load.messages = [m._replace(body=body, hash=format(fnv1a(body), "016x")) for m, body in zip(load.messages, bodies)]
        stream = c.stream(load, connections=8).finish()
        held = row_of(c, "n3")["queued"]
        check(held > 300, f"n3 holds {held} only")
        size, before, start = len(text), bus_bytes(c), time.monotonic()
        emptied(drain(c, "n3", "--wait"), "n3")
        took, after = time.monotonic() - start, bus_bytes(c)
        sent, mirrored = (after["n3", "sent"] - before["n3", "sent"]) / held, sum(after[n, "sent"] - before[n, "sent"] for n in ("n1", "n2")) / held
        print(f"        {name}: {held} of {size} bytes left in {took:.1f} s; for each n3 sent {sent:.0f} bytes, the others {mirrored:.0f}")
        check(sent < 2000 + (size if name == "letters" else 0), f"n3 sent {sent:.0f} bytes for each of {size}")
        run_well("undrain", "n3", api=c.coordinators[0].api)
        resume(c)
        c.wait_nodes(*ALL)
        loads.append(load)
        twice += len(stream.twice)
        all_arrived(loads, sink, doubled=twice)


def letters(prefix, count):
    """Each another text, of some 5 KB."""
    load = Load(DOMAINS, SENDER, count, prefix=prefix)
    bodies = [b"\r\n%06d " % i + b"of a letter to one, and to nobody else.\r\n" * 130 for i in range(count)]
    load.messages = [m._replace(body=body, hash=format(fnv1a(body), "016x")) for m, body in zip(load.messages, bodies)]
    return load


def test_a_join_at_a_rate(lab):
    "a node joins while move_rate is set: nobody hands on faster, todoku nodes tells how much is to leave, how fast and till when; all arrives once"
    rate = 256 << 10
    sink, c = lab.sink(), lab.cluster(nodes=2, more={"cluster": {"move_rate": "256KiB"}})
    run_well("pause", "--tenant", "acme", api=c.coordinators[0].api)
    load = letters("join", 1000)
    stream = c.stream(load, connections=8).finish()
    c.join("n3")
    told, ends = {"n1": [], "n2": []}, {}
    deadline = time.monotonic() + 60
    while len(ends) < 2 and time.monotonic() < deadline:
        for row in rows(run_well("nodes", "--json", api=c.coordinators[0].api)):
            if row.get("node") in told and "moved_in_ms" in row:
                told[row["node"]].append((time.monotonic(), row["to_move"], row["moves_per_second"], row["moved_in_ms"] / 1000))
        for event in rows(run_well("events", "--json", "--event", "node", api=c.coordinators[0].api)):
            if event.get("action") == "handed_over" and event["moved"] > 50:
                ends.setdefault(event["node"], (time.monotonic(), event))
        time.sleep(0.2)
    check(len(ends) == 2, f"handed over: {ends}")
    for node, (end, event) in ends.items():
        size = len(load.messages[0].body)
        pace = event["moved"] * (size + 512) / (event["took_ms"] / 1000)
        check(pace < rate * 1.2, f"{node} handed on {pace:.0f} bytes a second, {rate} are allowed")
        at, left, speed, takes = told[node][len(told[node]) // 2]
        print(f"        {node}: {event['moved']} in {event['took_ms']} ms, {pace / rate:.2f} of the rate; told in the middle: {left} left, {speed:.0f}/s, {takes:.1f} s; it was {end - at:.1f} s")
        check(left > 0 and speed > 0 and abs(takes - (end - at)) < 3, f"{node} told {left} left, {speed}/s, {takes} s; it was {end - at:.1f} s")
    resume(c)
    all_arrived(load, sink, doubled=len(stream.twice))


def test_at_rest(lab):
    "mail that waits for a retry and lies in the table leaves too, and is sent by the others, once each"
    count = 1500
    sink = lab.sink(trouble=[f"mail:451*{count}"])
    c = lab.cluster(more={"delivery": {"retry": ["90s"]}})
    stream = c.stream(Load(DOMAINS, SENDER, count, size=1000), connections=8).finish()

    def deferred():
        return sum(r.get("deferred", 0) for r in rows(run_well("nodes", "--json", api=c.coordinators[0].api)))

    def at_rest():
        return sum(r["queued"] for r in rows(run_well("queues", "--json", "--node", "n3", api=c.coordinators[0].api)) if r["state"] == "parked")

    until("every message to be deferred", lambda: deferred() >= count, 30, every=0.3)
    held = row_of(c, "n3")["queued"]
    check(held > 100, f"n3 holds {held} only")
    until("all that n3 holds to be at rest", lambda: at_rest() == held, 20, every=0.3)
    emptied(drain(c, "n3", "--wait", "--timeout", "40s"), "n3")
    left = {n: row_of(c, n)["queued"] for n in ALL}
    check(left["n3"] == 0 and sum(left.values()) == count, f"queued: {left}")
    check(not sink.arrivals(), "some of it was sent before its time")
    run_well("retry", "--tenant", "acme", "--yes", api=c.coordinators[0].api)
    all_arrived(stream.load, sink, doubled=len(stream.twice))
    check(not any(c.node_of(a.peer) == "n3" for a in sink.arrivals()), "n3 sent some of it")
    print(f"        {held} at rest left n3")


# ---- what can't leave ----

def test_nobody_else(lab):
    "mail of a pool that no other node has: the drain says so, --timeout ends with 1, Ctrl-C ends the waiting only; undrain takes it back"
    sink = lab.sink()
    tenants = [{"id": "acme", "pools": ["a", "b"], "domains": ["sender.test"]}]
    c = lab.cluster(start=False, coordinators=1, more={"pools": {"a": {}, "b": {}}, "tenants": tenants})
    c["n3"].write_config({"node": {"sources": [{"address": "127.0.13.1", "helo": "mx1.n3.sender.test", "pools": ["a", "b"]}]}})
    c.start()
    plain, _ = send_paused(c, 600, prefix="plain")
    own = Load(DOMAINS, SENDER, 50, prefix="own", header="X-Todoku-Pool: b")
    c.stream(own).finish()
    done = drain(c, "n3", "--wait", "--timeout", "12s", "--json")
    said = json.loads(done.stdout)
    check(done.returncode == 1 and said["empty"] is False and said["queued"] == 50, f"drain --wait: {done.returncode} {said} {done.stderr!r}")
    check(any(re.search(r"50 of pool b .*no other node", w) for w in said["why"]), f"why: {said['why']}")
    check("no other node takes mail of its pools: b" in done.stderr and "goes on" in done.stderr, f"stderr: {done.stderr!r}")
    waiting = subprocess.Popen([str(program()), "drain", "n3", "--wait"], env={"TODOKU_API": c.coordinators[0].api}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(3)
    waiting.send_signal(signal.SIGINT)
    try:
        out, err = waiting.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        waiting.kill()
        raise LabError("drain --wait did not end at Ctrl-C") from None
    check(waiting.returncode == 1 and "50 queued" in err and "goes on" in err and not out, f"{waiting.returncode} {out!r} {err!r}")
    check(row_of(c, "n3")["state"] == "draining", "the drain has ended with the waiting")
    # What it may still send goes from here, and then it is empty.
    resume(c)
    emptied(drain(c, "n3", "--wait", "--timeout", "30s"), "n3")
    check(run("undrain", "n3", api=c.coordinators[0].api).returncode == 0, "undrain failed")
    c.wait_nodes(*ALL)
    all_arrived([plain, own], sink)


def test_told_why(lab):
    "a name that is none, a coordinator, a dead node, etcd away, a drain that is taken back, a tenant's question: each is told in a sentence"
    lab.sink()
    c = lab.cluster()
    send_paused(c, 300)
    for args, words in ((("n33",), "no member `n33`; did you mean `n3`"), (("c1",), "c1 is a coordinator"), (("no such",), "no member's name"),
                        (("n3", "--timeout", "5s"), "goes with --wait"), ((), "NODE is missing")):
        done = run("drain", *args, api=c.coordinators[0].api)
        check(done.returncode in (1, 2) and words in done.stderr, f"drain {args}: {done.returncode} {done.stderr!r}")
    c["n3"].kill()
    done = drain(c, "n3", "--wait", "--timeout", "9s", "--json")
    why = json.loads(done.stdout)["why"]
    check(done.returncode == 1 and any("n3" in w and ("down" in w or "not answer" in w) for w in why), f"of a dead node: {done.returncode} {why}")
    c["n3"].start()
    emptied(drain(c, "n3", "--wait", "--timeout", "30s"), "n3")
    # Taken back by somebody else while one waits.
    run_well("undrain", "n3", api=c.coordinators[0].api)
    c.wait_nodes(*ALL)
    others = [c["n1"].daemon, c["n3"].daemon]
    for other in others:  # so that nothing can leave
        other.signal(signal.SIGSTOP)
    waiting = subprocess.Popen([str(program()), "drain", "n2", "--wait"], env={"TODOKU_API": c.coordinators[0].api}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until("n2 to be drained", lambda: row_of(c, "n2")["state"] == "draining", 15, every=0.3)
    run_well("undrain", "n2", api=c.coordinators[1].api)
    try:
        out, err = waiting.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        waiting.kill()
        raise LabError("drain --wait did not notice that the drain was taken back") from None
    for other in others:
        other.signal(signal.SIGCONT)
    check(waiting.returncode == 1 and "taken the drain back" in err, f"{waiting.returncode} {out!r} {err!r}")
    c.etcd.kill()
    done = drain(c, "n2", "--wait")
    check(done.returncode == 1 and "Nothing was changed" in done.stderr, f"with etcd away: {done.returncode} {done.stderr!r}")
    c.etcd.start()

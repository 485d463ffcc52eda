"""Operators' pauses and commands: what is told at one door holds on every node within a second, and for queued mail too."""
import os
import pty
import threading
import time

from cluster import rows, run, run_well
from daemon import until
from dns import DOMAINS
from lab import SENDER, Load, check, whole
from load import fnv1a
from todoku import program

APART = True
OTHER = "news@other.test"
TWO_TENANTS = {"tenants": [{"id": "acme", "pools": ["a"], "domains": ["sender.test"]},
                           {"id": "other", "pools": ["a"], "domains": ["other.test"]}]}
# All of the lab's domains are one provider's: so much a second from each source.
SLOW = {"providers": [{"name": "default", "connections": 2}, {"name": "big", "match": {"mx_suffix": ["test"]}, "connections": 2, "rate": "40/s"}]}
IN_FLIGHT = 1.5  # what has begun by then may still come in: a transaction on a busy machine


def tell(t, *args, api=None, code=0):
    """A command of the CLI; its output. `code`: how it must end."""
    done = run(*args, api=api) if api else t.cli(*args)
    check(done.returncode == code, f"todoku {' '.join(args)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[:400]}")
    return done.stdout if code == 0 else done.stderr


class OtherTenant(Load):
    """Mail of the tenant `other`, handed in over the API."""

    def __init__(self, count):
        super().__init__(DOMAINS, OTHER, count, prefix="othr", size=600, seed=2)
        body = b"Content-Type: text/plain\r\n\r\nHello.\r\n"
        self.messages = [m._replace(body=body, hash=format(fnv1a(body), "016x")) for m in self.messages]

    def hand_in(self, t):
        for m in self.messages:
            status, answer, _ = t.post("/v1/messages", {"tenant": "other", "from": m.sender, "to": m.rcpts, "raw": (m.header + m.body).decode()})
            (self.accepted if status == 202 else self.refused)[m.id] = m if status == 202 else answer


def feed(t, *loads):
    """Hand all of them in, at the same time."""
    threads = [threading.Thread(target=load.hand_in, args=[t], daemon=True) if isinstance(load, OtherTenant) else
               threading.Thread(target=load.run, args=t.smtp, kwargs={"connections": 2}, daemon=True) for load in loads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for load in loads:
        check(len(load.accepted) == len(load.messages), f"{len(load.accepted)} of {len(load.messages)} were accepted: {list(load.refused.values())[:2]}")


def times(sink, load):
    """When each of this load's deliveries arrived."""
    return [a.time for a in sink.arrivals() if a.id.startswith(load.prefix)]


def all_in(sink, loads, seconds=60):
    """Everything accepted arrived, once each."""
    wanted = sum(len(load.deliveries()) for load in loads)
    sink.wait_count(wanted, seconds)
    time.sleep(0.3)  # late copies
    return whole(loads, sink)


def ours(prefix, count, seed=1, domains=DOMAINS, campaign=None):
    """Mail of the tenant acme, over SMTP."""
    return Load(domains, SENDER, count, prefix=prefix, size=600, seed=seed, header=f"X-Todoku-Campaign: {campaign}" if campaign else "")


def test_pause_amid_a_stream(lab):
    "a tenant is paused amid queued mail to slow receivers: nothing of it starts later than 1 s after the command, the other tenant's flows; resumed, all arrive, none twice"
    sink, t = lab.sink(), lab.todoku(more={**TWO_TENANTS, **SLOW})
    mine, others = ours("acme", 400), OtherTenant(300)
    feed(t, mine, others)
    sink.wait_count(60, 20)
    said = tell(t, "pause", "--tenant", "acme", "--reason", "wrong link")
    told = time.time()
    check("todoku resume " in said, f"`todoku pause` says: {said}")
    time.sleep(4)
    late = [at - told for at in times(sink, mine) if at > told + IN_FLIGHT]
    check(not late, f"{len(late)} deliveries of the paused tenant came later than {IN_FLIGHT} s after the command, the last after {max(late, default=0):.1f} s")
    check(len(times(sink, mine)) < 380, "the tenant's mail was all sent before the pause: the test proves nothing")
    print(f"        the last one came {max((at - told for at in times(sink, mine)), default=0) * 1000:.0f} ms after the command")
    flowing = [at for at in times(sink, others) if at > told + 1]
    check(len(flowing) > 30, f"only {len(flowing)} deliveries of the other tenant came in the 3 s behind it")
    row, = t.cli_json("pauses")
    check(row["tenant"] == "acme" and row["reason"] == "wrong link" and "until" not in row, f"`todoku pauses` says {row}")
    explained = tell(t, "explain", "someone@d001.test", "--tenant", "acme")
    check("wrong link" in explained, f"`todoku explain` does not say why:\n{explained}")
    check("wrong link" not in tell(t, "explain", "someone@d001.test", "--tenant", "other"), "explain says it of another tenant too")
    tell(t, "resume", "--tenant", "acme")
    all_in(sink, [mine, others])
    actions = [(e["action"], e.get("tenant"), bool(e.get("by"))) for e in t.events(event="audit")]
    check(actions == [("pause", "acme", True), ("resume", "acme", True)], f"the audit events are {actions}")
    t.stop()


def test_pause_ends_by_itself(lab):
    "a pause with --for 3s ends by itself; what is accepted meanwhile waits, then arrives; the end is told once"
    sink, t = lab.sink(), lab.todoku(more=TWO_TENANTS)
    tell(t, "pause", "--domain", "d001.test", "--for", "3s")
    told = time.time()
    held, free = ours("held", 20, domains=["d001.test"]), ours("free", 20, domains=["d002.test"])
    feed(t, held, free)
    all_in(sink, [held, free], 20)
    first, last = min(times(sink, held)) - told, max(times(sink, held)) - told
    check(2.0 < first and last < 6.0, f"a pause of 3 s held mail from {first:.1f} to {last:.1f} s")
    check(max(times(sink, free)) - told < 2.5, "mail to another domain waited too")
    ended = t.wait_event(5, event="audit", action="expired")
    check(ended["domain"] == "d001.test", f"the event of the end says {ended}")
    tell(t, "pause", "--domain", "d003.test")  # another change of the set tells no end again
    time.sleep(0.5)
    check(len(t.events(event="audit", action="expired")) == 1, "the end was told more than once")
    check([r["domain"] for r in t.cli_json("pauses")] == ["d003.test"], "an ended pause is still listed")
    t.stop()


def test_pause_survives_a_restart(lab):
    "a pause, and what it holds, survive kill -9 and a restart; lifted by its id, all arrive once"
    sink, t = lab.sink(), lab.todoku(more=TWO_TENANTS)
    id_ = t.cli_json("pause", "--tenant", "acme")[0]["id"]
    mine, others = ours("acme", 100), OtherTenant(100)
    feed(t, mine)
    t.kill()
    t.start()
    feed(t, others)
    sink.wait_count(100, 20)
    time.sleep(1)
    check(not times(sink, mine), f"{len(times(sink, mine))} held deliveries were sent after the restart")
    check([r["id"] for r in t.cli_json("pauses")] == [id_], "the pause is not listed after the restart")
    audit = [e["action"] for e in t.events(event="audit")]
    check(audit == ["pause"], f"the audit events after a restart are {audit}")
    tell(t, "resume", id_)
    all_in(sink, [mine, others])
    tell(t, "resume", id_, code=1)
    t.stop()


def test_delete_of_a_queue(lab):
    "5,000 queued messages are deleted: an event `cancelled` for each, none arrives later, the other tenant's all do"
    sink, t = lab.sink(), lab.todoku(more=TWO_TENANTS)
    tell(t, "pause", "--campaign", "none-such")  # one more does no harm
    tell(t, "pause", "--pool", "a")
    mine, others = ours("acme", 5000), OtherTenant(100)
    feed(t, mine, others)
    check("at least" in tell(t, "delete", code=2), "`todoku delete` without selectors is not refused")
    check("0 deliveries deleted" in tell(t, "delete", "--tenant", "acme", "--domain", "nowhere.test"), "a delete that fits nothing touches something")
    said = tell(t, "delete", "--tenant", "acme", "--reason", "sent by mistake")
    until("5,000 events `cancelled`", lambda: len(t.events(event="cancelled")) >= 5000, 20, every=0.5, alive=t.daemon)
    check("5000 of 5000" in said or "at it" in said, f"`todoku delete` says: {said}")
    cancelled = t.events(event="cancelled")
    check(len(cancelled) == 5000 and {e["tenant"] for e in cancelled} == {"acme"}, f"{len(cancelled)} events `cancelled` of {set(e['tenant'] for e in cancelled)}")
    t.kill()  # what is deleted stays deleted
    t.start()
    tell(t, "resume", "--pool", "a")
    all_in(sink, [others])
    time.sleep(1)
    check(not times(sink, mine), f"{len(times(sink, mine))} deleted deliveries arrived")
    check(t.cli_json("status")[0]["queued"] == 0, "something is still queued")
    t.stop()


def test_retry_goes_at_once(lab):
    "mail that waits for its next attempt is tried at once by `todoku retry`; `todoku bounce` gives the rest up"
    sink = lab.sink(trouble=["rcpt:451*20"])
    t = lab.todoku(more={**TWO_TENANTS, "delivery": {"retry": ["1h"]}})
    mine = ours("acme", 10, domains=["d001.test", "d002.test"])
    feed(t, mine)
    until("every message to be deferred", lambda: len(t.events(event="deferred")) >= 10, 20, alive=t.daemon)
    tell(t, "retry", "--tenant", "acme")
    until("another attempt of each", lambda: len(t.events(event="deferred")) >= 20, 20, alive=t.daemon)
    tell(t, "bounce", "--domain", "d002.test", "--reason", "closed")
    gone = sum(r.endswith("@d002.test") for _, r in mine.deliveries())
    until("the bounces", lambda: len(t.events(event="bounced")) >= gone, 10, alive=t.daemon)
    tell(t, "retry", "--tenant", "acme")
    sink.wait_count(10 - gone, 20)
    check({a.rcpt.rpartition("@")[2] for a in sink.arrivals()} == {"d001.test"}, "bounced mail arrived")
    t.stop()


def test_wrong_words(lab):
    "names that there are not, and times that are none, are refused with what was meant; nothing is paused"
    t = lab.todoku(more=TWO_TENANTS)
    for args, word in ((["--tenant", "acmee"], "did you mean `acme`"), (["--pool", "b"], "no pool `b`"), (["--provider", "defalt"], "did you mean `default`"), (["--source", "127.0.1.9"], "127.0.1.1"),
                       (["--tenant", "acme", "--for", "2"], "`for`"), (["--tenant", "acme", "--until", "tomorrow"], "`until`")):
        said = tell(t, "pause", *args, code=1)
        check(word in said, f"`todoku pause {' '.join(args)}` says: {said}")
    tell(t, "pause", code=2), tell(t, "resume", code=2), tell(t, "resume", "zz", code=1), tell(t, "resume", "--tenant", "acme", code=1)
    check(not t.cli_json("pauses"), "something is paused")
    t.stop()


def at_terminal(t, answer, *args):
    """A command as a person runs it who answers its question; (exit status, what was shown)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(program(), ["todoku", *args], {**os.environ, "TODOKU_API": "http://%s:%d" % t.http})
    os.write(terminal, answer.encode() + b"\n")
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:  # its other end is closed
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_asks_first(lab):
    "`todoku delete` at a terminal asks first: no touches nothing, yes does it, --yes does not ask"
    t = lab.todoku(more=TWO_TENANTS)
    lab.sink()
    tell(t, "pause", "--pool", "a")
    feed(t, ours("acme", 10))
    status, shown = at_terminal(t, "n", "delete", "--tenant", "acme")
    check(status == 1 and "tenant acme? [y/N]" in shown and "nothing was done" in shown, f"ended with {status}: {shown}")
    check(t.cli_json("status")[0]["queued"] == 10, "something was deleted")
    status, shown = at_terminal(t, "y", "delete", "--tenant", "acme", "--campaign", "none")
    check(status == 0 and "0 deliveries deleted" in shown, f"ended with {status}: {shown}")
    status, shown = at_terminal(t, "", "delete", "--yes", "--tenant", "acme")
    check(status == 0 and "[y/N]" not in shown and "10 deliveries deleted" in shown, f"ended with {status}: {shown}")
    t.stop()


# ---- in a cluster ----

def held_everywhere(c, hold):
    """Until every node that runs has told that it heeds this hold."""
    until("every node to heed it", lambda: all(n.events(event="audit", hold=hold, action="pause") for n in c.nodes if n.running()), 10)


def test_pause_in_a_cluster(lab):
    "a pause told to c1 holds on every node within a second, is listed and lifted at c2; a delete touches all nodes and says how many on each"
    sink, c = lab.sink(), lab.cluster(more=SLOW)
    mine, others = ours("mine", 400, campaign="spring"), ours("othr", 400, seed=2, campaign="autumn")
    streams = [c.stream(mine), c.stream(others)]
    for stream in streams:
        stream.finish()
    hold = rows(run_well("pause", "--campaign", "spring", "--json", api=c["c1"].api))[0]["id"]
    told = time.time()
    time.sleep(4)
    late = [at - told for at in times(sink, mine) if at > told + IN_FLIGHT]
    check(not late, f"{len(late)} deliveries came later than {IN_FLIGHT} s after the command, the last after {max(late, default=0):.1f} s")
    held_everywhere(c, hold)
    until("c2 to list it", lambda: [r["id"] for r in rows(run_well("pauses", "--json", api=c["c2"].api))] == [hold], 5)
    before = len(times(sink, mine))
    check(before < 380, "the mail was all sent before the pause: the test proves nothing")
    print(f"        the last one came {max((at - told for at in times(sink, mine)), default=0) * 1000:.0f} ms after the command")
    said = rows(run_well("delete", "--campaign", "spring", "--json", api=c["c2"].api))
    total, = [r for r in said if r.get("total")]
    check({r["node"] for r in said if "node" in r} == {"n1", "n2", "n3"}, f"`todoku delete` names {said}")
    until("the events", lambda: sum(len(n.events(event="cancelled")) for n in c.nodes) >= 400 - before, 20)
    check(total["done"] <= 400 - before, f"{total} are said to be deleted, and {before} had arrived")
    run_well("resume", "--campaign", "spring", api=c["c2"].api)
    sink.wait_count(400 + before, 60)
    time.sleep(1)
    check(len(times(sink, mine)) == before, "deleted mail arrived")
    c.stop()


def test_pause_while_the_store_is_away(lab):
    "a pause survives a node's restart while etcd is stopped: it holds on when the node is back; pauses are still listed, and a new one is refused with the reason"
    sink, c = lab.sink(), lab.cluster()
    hold = rows(run_well("pause", "--campaign", "spring", "--json", api=c["c1"].api))[0]["id"]
    held_everywhere(c, hold)
    mine, others = ours("mine", 150, campaign="spring"), ours("othr", 150, seed=2)
    streams = [c.stream(mine), c.stream(others)]
    for stream in streams:
        stream.finish()
    sink.wait_count(150, 30)
    c.etcd.freeze()
    c["n2"].kill()
    c["n2"].launch()
    listed = run("pauses", "--json", api=c["c2"].api, seconds=60)
    check(listed.returncode == 0 and hold in listed.stdout, f"`todoku pauses` with etcd away: {listed.stdout} {listed.stderr}")
    refused = run("pause", "--tenant", "acme", api=c["c1"].api, seconds=60)
    check(refused.returncode == 1, f"`todoku pause` with etcd away ends with {refused.returncode}: {refused.stdout}")
    time.sleep(3)
    check(not times(sink, mine), "held mail was sent while etcd was away")
    c.etcd.thaw()
    c.wait_nodes("n1", "n2", "n3", seconds=60)
    time.sleep(2)
    check(not times(sink, mine), f"{len(times(sink, mine))} held deliveries were sent after the restart")
    run_well("resume", hold, api=c["c2"].api)
    all_in(sink, [mine, others])
    c.stop()

"""A cluster of real processes: two coordinators and three nodes on a real etcd. Whatever stops, mail goes on, once each."""
import json
import shutil
import signal
import time

from cluster import rows, run, run_well, senders
from daemon import Daemon, until
from dns import DOMAINS, SETS
from lab import SENDER, LabError, Load, Smtp, check, mail, queue_id, whole
from load import check_arrivals
from todoku import program, yaml

APART = True
ALL = ("n1", "n2", "n3")


def arrived(streams, sink, seconds=60, doubled=0):
    """Wait for all that was accepted; nothing lost or damaged. Twice came only what a client had to send twice, and `doubled` more."""
    streams = streams if isinstance(streams, (list, tuple)) else [streams]
    loads = [s.load for s in streams]
    wanted = sum(len(load.deliveries()) for load in loads)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and check_arrivals(loads, sink).lost:
        time.sleep(0.3)
    time.sleep(0.3)  # late copies
    refused = [r for load in loads for r in load.refused.values()]
    check(not refused, f"{len(refused)} messages were refused for good, such as {refused[:2]}")
    report = whole(loads, sink, doubled=len(sink.arrivals()))
    again = set().union(*(s.twice for s in streams))
    strange = {k: n for k, n in report.doubled.items() if k[0] not in again and k[0].startswith(tuple(load.prefix for load in loads))}
    extra = sum(n - 1 for n in strange.values())
    check(extra <= doubled, f"{extra} of {wanted} deliveries came twice (at most {doubled} may) though each was sent in once, such as {list(strange.items())[:3]}")
    return report


def split(spread):
    """The domains whose mail came from more than one node."""
    return {domain: dict(nodes) for domain, nodes in spread.items() if len(nodes) > 1}


# ---- mail ----

def test_ten_thousand(lab):
    "10,000 messages to 100 Zipf domains through two coordinators arrive once each; a domain's mail comes from its owner's two addresses"
    sink, c = lab.sink(), lab.cluster()
    plain = c.stream(Load(DOMAINS, SENDER, 8000, prefix="one", size=1500), connections=8)
    mixed = c.stream(Load(DOMAINS, SENDER, 2000, prefix="mix", rcpts=(2, 4), seed=2), connections=4)
    plain.finish(), mixed.finish()
    report = arrived([plain, mixed], sink)
    check(not plain.later and not mixed.later, f"refused for now: {(plain.later + mixed.later)[:3]}")
    check(all(plain.doors_used[m.id] > 1000 for m in c.coordinators), f"one coordinator took it all: {plain.doors_used}")
    arrivals = sink.arrivals()
    spread = senders(c, arrivals)
    check(not split(spread), lambda: f"{len(split(spread))} domains were sent to from several nodes: {list(split(spread).items())[:3]}")
    for at in c.coordinators:
        for domain in DOMAINS[::9]:
            owner, = spread[domain]
            check(c.owner(domain, at) == owner, f"{at.id} says {domain} is {c.owner(domain, at)}'s, but its mail came from {owner}")
    used = {a.peer for a in arrivals}
    check(used == set().union(*(n.sources for n in c.nodes)), f"used sources: {sorted(used)}")
    shares = {n: sum(n in nodes for nodes in spread.values()) for n in ALL}
    check(all(15 <= share <= 55 for share in shares.values()), f"100 domains are spread over three nodes as {shares}")
    print(f"        {report.expected} deliveries; domains a node: {shares}; messages a door: {dict(plain.doors_used)}")
    c.stop()


def test_store_is_left_alone(lab):
    "at full mail rate, and at rest, etcd gets fewer than 10 writes a second"
    lab.sink()
    c = lab.cluster()
    stream = c.stream(Load(DOMAINS, SENDER, 60000, size=600), connections=8)
    stream.wait_accepted(500)
    before, sent, start = c.etcd.writes(), stream.accepted(), time.monotonic()
    time.sleep(10)
    took = time.monotonic() - start
    busy, rate = (c.etcd.writes() - before) / took, (stream.accepted() - sent) / took
    stream.stop()
    before, start = c.etcd.writes(), time.monotonic()
    time.sleep(4)
    idle = (c.etcd.writes() - before) / (time.monotonic() - start)
    print(f"        {busy:.1f} writes/s at {rate:.0f} messages/s, {idle:.1f} at rest; {c.etcd.size() / 1024:.0f} KiB in etcd")
    check(rate > 100, f"only {rate:.0f} messages/s")
    check(busy < 10 and idle < 10, f"{busy:.1f} writes/s to etcd at {rate:.0f} messages/s, {idle:.1f} at rest")


# ---- members come and go ----

def test_fourth_node(lab):
    "a fourth node joins amid sending: it gets about a quarter of the domains, no other domain moves, nothing is lost or doubled"
    sink, c = lab.sink(), lab.cluster()
    before = {d: c.owner(d) for d in DOMAINS[::2]}
    during = c.stream(Load(DOMAINS, SENDER, 4000, prefix="during"), pace=500)
    during.wait_accepted(500)
    c.join("n4")
    moment = during.accepted()
    during.finish()
    check(moment < 4000, "all was accepted before the node had joined: the test proves nothing")
    after = c.stream(Load(DOMAINS, SENDER, 3000, prefix="after", seed=2), connections=8).finish()
    arrived([during, after], sink)
    now = senders(c, [a for a in sink.arrivals() if a.id.startswith("after")])
    check(not split(now), f"sent to from several nodes: {list(split(now).items())[:3]}")
    share = sum("n4" in nodes for nodes in now.values())
    check(10 <= share <= 45, f"n4 got {share} of {len(now)} domains, not about a quarter")
    strayed = {d: (owner, set(now[d])) for d, owner in before.items() if now[d] and set(now[d]) not in ({owner}, {"n4"})}
    check(not strayed, f"went from one old node to another: {list(strayed.items())[:3]}")
    early = sum(c.node_of(a.peer) == "n4" for a in sink.arrivals() if a.id.startswith("during"))
    check(early > 0, "n4 got nothing of what was being sent when it joined")
    print(f"        n4 got {share} of {len(now)} domains and {early} of the {4000 - moment} messages sent while it had just joined")


def test_head_killed(lab):
    "the head coordinator is killed amid sending: nothing accepted is lost, clients go on at the other, which becomes head and publishes views"
    sink, c = lab.sink(), lab.cluster()
    head = until("a head", c.head, 10)
    other = next(m for m in c.coordinators if m is not head)
    stream = c.stream(Load(DOMAINS, SENDER, 6000), pace=400)
    stream.wait_accepted(1000)
    head.kill()
    start = time.monotonic()
    until(f"{other.id} to become head", lambda: c.head() is other, 20, every=0.2, alive=other.daemon)
    took = time.monotonic() - start
    c["n3"].stop()
    c.wait_nodes("n1", "n2")
    c["n3"].start()
    c.wait_nodes(*ALL)
    head.start()
    stream.finish()
    arrived(stream, sink)
    check(c.head() is other, f"the head changed again when {head.id} came back")
    c.wait_nodes(*ALL)
    print(f"        {other.id} was head after {took:.1f} s; {len(stream.again)} of 6,000 sent twice by clients, longest time without a 250: {stream.gap:.2f} s")


def test_node_stopped(lab):
    "nodes are stopped and started again amid sending, in order: nobody waits for one that is away, nothing is lost or doubled"
    sink, c = lab.sink(), lab.cluster()
    stream = c.stream(Load(DOMAINS, SENDER, 60000, size=600), connections=16, pace=300)
    stream.wait_accepted(600)
    for victim in c.nodes[:2]:
        victim.stop()
        stopped = time.monotonic()
        time.sleep(5)
        taken = stream.since(stopped + 1, stopped + 5)
        check(taken > 600, f"with {victim.id} stopped {taken} messages were accepted in 4 s, of 1,200: clients wait for it")
        victim.start()
        c.wait_nodes(*ALL)
    arrived(stream.stop(), sink)
    c.stop()


def test_node_killed(lab):
    "a node is killed amid sending: new mail goes to others, its queue waits and is delivered after its return, nothing is lost, few doubled"
    connections = 5
    sink = lab.sink(listen=[f"127.4.{s}.{n}" for s in range(SETS) for n in (1, 2, 3)])
    c = lab.cluster(more={"providers": [{"name": "default", "connections": connections, "messages_per_connection": 100, "rate": "none"}]})
    victim = c[c.owner("down.test")]
    rest = [n for n in ALL if n != victim.id]
    queued = c.stream(Load(["down.test"], SENDER, 300, prefix="queued")).finish()
    stream = c.stream(Load(DOMAINS, SENDER, 6000, prefix="flow"), pace=400)
    stream.wait_accepted(1500)
    victim.kill()
    killed = time.monotonic()
    c.wait_nodes(*rest)
    noticed = time.monotonic() - killed
    fresh = c.stream(Load(DOMAINS, SENDER, 1500, prefix="fresh", seed=3), connections=6).finish(60)
    until("the new mail's arrival", lambda: not check_arrivals(fresh.load, sink).lost, 30, every=0.3)
    strange = [a for a in sink.arrivals() if a.id.startswith("fresh") and c.node_of(a.peer) not in rest]
    check(not strange, f"new mail was sent by the dead: {strange[:2]}")
    done = run("queues", "--json", api=c.coordinators[0].api)
    check(victim.id in done.stdout + done.stderr, f"`queues` doesn't say that {victim.id} could not be asked: {done.stdout[-300:]} {done.stderr}")
    late = lab.sink(listen=["127.4.206.1"], name="late")
    victim.start()
    c.wait_nodes(*ALL)
    stream.finish()
    bound = 2 * connections * SETS
    report = arrived([stream, fresh], sink, doubled=bound)
    late.wait_count(300, 30, alive=victim.daemon)
    arrived(queued, late)
    by = {c.node_of(a.peer) for a in late.arrivals()}  # others too: what it moved to them as long as the view had it down
    print(f"        its queue was delivered by {' '.join(sorted(by))}; {victim.id} was out of the view after {noticed:.1f} s; {len(report.doubled)} doubled (bound {bound}), {len(stream.again)} "
          f"sent twice by clients, {len(stream.later)} times 4xx")


def test_node_frozen(lab):
    "a node stands still for 12 s amid sending and goes on, its lease lost: it is a member again by itself, nothing is lost, few doubled"
    connections = 5
    sink = lab.sink()
    c = lab.cluster(more={"providers": [{"name": "default", "connections": connections, "messages_per_connection": 100, "rate": "none"}]})
    stream = c.stream(Load(DOMAINS, SENDER, 5000), pace=300, connections=8)
    stream.wait_accepted(600)
    victim, epoch = c["n2"], c.status()["view_epoch"]
    victim.daemon.signal(signal.SIGSTOP)
    frozen = time.monotonic()
    c.wait_nodes("n1", "n3")
    until("the lease of n2 to be over", lambda: "/todoku/lab/live/n2" not in c.etcd.keys("/todoku/lab/live/"), 15, every=0.3)
    time.sleep(max(0.0, 12 - (time.monotonic() - frozen)))
    victim.daemon.signal(signal.SIGCONT)
    c.wait_nodes(*ALL)
    check(victim.running(), f"n2 ended\n{victim.daemon.tail()}")
    stream.finish()
    bound = 2 * connections * SETS
    report = arrived(stream, sink, doubled=bound)
    last = c.stream(Load(DOMAINS, SENDER, 1000, prefix="last", seed=4)).finish()
    arrived(last, sink)
    by = {c.node_of(a.peer) for a in sink.arrivals() if a.id.startswith("last")}
    check(by == set(ALL), f"after its return new mail is sent by {by}")
    print(f"        {len(report.doubled)} doubled (bound {bound}), {len(stream.later)} times 4xx, view {epoch} before, {c.status()['view_epoch']} after")


# ---- the store ----

def test_one_of_three_stores(lab):
    "one of three etcds is killed, the leader: sending, leases, views and config go on as if nothing had happened"
    sink, etcd = lab.sink(), lab.etcd(size=3)
    c = lab.cluster(etcd)
    stream = c.stream(Load(DOMAINS, SENDER, 5000), pace=250)
    stream.wait_accepted(250)
    etcd.kill(until("a leader among the etcds", lambda: [etcd.leader()] if etcd.leader() is not None else None, 10)[0])
    deadline = time.monotonic() + 9
    while time.monotonic() < deadline:
        for m in c.coordinators:
            up = c.up_nodes(m)
            check(up == set(ALL), f"{m.id} sees {up} up after one etcd of three has gone")
        time.sleep(0.3)
    c["n2"].stop()
    c.wait_nodes("n1", "n3")
    c["n2"].start()
    c.wait_nodes(*ALL)
    stream.finish()
    arrived(stream, sink)
    check(not stream.later, f"refused for now: {stream.later[:3]}")


# ---- the operator ----

def test_seen_from_everywhere(lab):
    "status, nodes, queues, messages, message, explain and events --follow, asked at either coordinator, cover all nodes; a dead one is named"
    sink, c = lab.sink(), lab.cluster()
    of = {}
    for domain in DOMAINS:
        of.setdefault(c.owner(domain), domain)
        if len(of) == 3:
            break
    check(set(of) == set(ALL), f"owners of 100 domains: {set(of)}")
    follower = lab.keep(Daemon([program(), "events", "--follow", "--json", "--api", c["c2"].api], log=lab.work / "events", name="events"))
    time.sleep(1)
    ids = {}
    for n, domain in of.items():
        with Smtp(*c["c1"].smtp) as smtp:
            smtp.hello()
            ids[n] = queue_id(smtp.send(SENDER, [f"ok.{n}@{domain}"], mail(f"ok-{n}"))[0])
            queue_id(smtp.send(SENDER, [f"defer451.{n}@{domain}"], mail(f"later-{n}"))[0])
    sink.wait_count(3, 20)

    def followed():
        events = [json.loads(line) for line in follower.text().splitlines() if line.startswith("{")]
        return {e["node"] for e in events if e.get("event") == "delivered"} == set(ALL)

    until("`events --follow` at c2 to tell of all three nodes' deliveries", followed, 10, every=0.2)
    for at in c.coordinators:
        whole_ = c.status(at)
        check(whole_["nodes"] == whole_["up"] == 3 and not whole_.get("down") and not whole_.get("missing") and whole_["queued"] == 3, f"`status` at {at.id}: {whole_}")
        members = {row.get("coordinator") for row in rows(run_well("nodes", "--json", api=at.api))}
        check({"c1", "c2"} <= members, f"`nodes` at {at.id} lists the coordinators {members}")
        for command in ("nodes", "queues", "sources", "lanes"):
            seen = run_well(command, "--json", api=at.api)
            nodes = {row.get("node") for row in rows(seen)}
            check(set(ALL) <= nodes, f"`{command}` at {at.id} covers {nodes}: {seen[:500]}")
        for n, id_ in ids.items():
            text = run_well("message", id_, "--json", api=at.api)
            check(f"ok.{n}@" in text and "delivered" in text, f"`message` at {at.id} about {n}'s: {text[:300]}")
            text = run_well("messages", "--to", f"ok.{n}@{of[n]}", "--json", api=at.api)
            check(id_ in text, f"`messages --to` at {at.id} about {n}'s: {text[:300]}")
            check(c.owner(of[n], at) == n, f"`explain` at {at.id}: {of[n]} is {c.owner(of[n], at)}'s, not {n}'s")
    status, _, text = c["c2"].get("/metrics")
    check(status == 200 and all(f'node="{n}"' in text for n in ALL), f"/metrics at c2: {status} {text[:300]}")
    c["n2"].kill()
    for at in c.coordinators:
        start = time.monotonic()
        done = run("queues", "--json", api=at.api)
        took = time.monotonic() - start
        check("n2" in done.stdout + done.stderr and took < 4, f"with n2 dead, `queues` at {at.id} took {took:.1f} s and said: {done.stdout[-300:]}{done.stderr}")
        check({"n1", "n3"} <= {row.get("node") for row in rows(done.stdout)}, f"with n2 dead: {done.stdout[:300]}")


def applied(c, more):
    """The cluster-wide part of the config with `more` laid over it."""
    return {k: v for k, v in {**c.base, **more}.items() if k in ("delivery", "pools", "tenants", "providers", "routes", "limits")}


def apply(c, more, *options, at=None, name="applied.yaml"):
    file = c.work / name
    file.write_text(yaml(applied(c, more)))
    return (at or c.coordinators[0]).run_well("config", "apply", file, *options)


def takes(coordinator, sender, rcpt):
    """Whether it takes a message from that sender."""
    with Smtp(*coordinator.smtp) as smtp:
        smtp.hello()
        return smtp.send(sender, [rcpt], mail(f"from {sender}", sender=sender, id_="taken"))[0].startswith("250")


def test_config(lab):
    "config apply takes effect everywhere without a restart, history tells who and why, rollback brings the old one back, a faulty file nothing"
    lab.sink()
    c = lab.cluster()
    check(not takes(c["c1"], "ceo@other.test", "x@d001.test"), "other.test was allowed before")
    tenants = [{**c.base["tenants"][0], "domains": ["sender.test", "other.test"]}]
    apply(c, {}, "--comment", "as it was")
    apply(c, {"tenants": tenants, "providers": [{"name": "default", "connections": 3, "messages_per_connection": 7, "rate": "50/s"}]}, "--comment", "other.test too")
    for at in c.coordinators:
        until(f"{at.id} to take other.test's mail", lambda at=at: takes(at, "ceo@other.test", "x@d001.test"), 10, every=0.2)

    def limits():
        return {(row.get("max_connections"), row.get("messages_per_connection")) for d in DOMAINS[:8] for row in c.explain(f"x@{d}") if "owner" in row}

    until("all nodes to go by the new limits", lambda: limits() == {(3, 7)}, 10, every=0.3)
    history = rows(run_well("config", "history", "--json", api=c["c2"].api))
    check(len(history) == 2 and "other.test too" in json.dumps(history[0]) and "as it was" in json.dumps(history[1]), f"history, newest first: {history}")
    check("other.test" in run_well("config", "show", api=c["c2"].api), "`config show` doesn't show it")
    bad = c.work / "bad.yaml"
    bad.write_text(yaml(applied(c, {"tenants": [{"id": "acme", "pools": ["nowhere"], "domains": ["*"]}]})))
    done = run("config", "apply", bad, api=c["c1"].api)
    check(done.returncode != 0 and "nowhere" in done.stderr, f"a faulty file: {done.returncode} {done.stdout}{done.stderr}")
    first = min(int(row.get("version", row.get("number", 0))) for row in history)
    run_well("config", "rollback", first, api=c["c2"].api)
    for at in c.coordinators:
        until(f"{at.id} to refuse other.test again", lambda at=at: not takes(at, "ceo@other.test", "x@d001.test"), 10, every=0.2)
    check(len(rows(run_well("config", "history", "--json", api=c["c1"].api))) == 3, "the rollback is not in the history")
    c["n1"].stop()
    c["n1"].start()
    c.wait_nodes(*ALL)
    check(limits() == {(10, 100)}, f"after a restart a node goes by {limits()}")
    check(takes(c["c1"], SENDER, "x@d002.test"), "sender.test is refused")


def signed_by(c, addresses):
    """The nodes that would sign mail to these."""
    return {row["node"] for address in addresses for row in c.explain(address) if row.get("signatures")}


def test_domain_keys(lab):
    "a shared configuration with a DKIM key: nodes that have the file sign, one that lacks it keeps what it had, and does not start without"
    sink = lab.sink(keep=True)
    c = lab.cluster()
    some = [f"x@{d}" for d in DOMAINS[:20]]
    run_well("dkim", "--generate", c["n1"].dir / "s1.pem", "--type", "ed25519")
    shutil.copy2(c["n1"].dir / "s1.pem", c["n2"].dir / "s1.pem")
    keys = [{"domain": "sender.test", "selector": "s1", "key_file": "s1.pem"}]
    apply(c, {"tenants": [{**c.base["tenants"][0], "dkim": keys}]})
    until("n3 to say what it lacks", lambda: "s1.pem" in c["n3"].text() and "everything stays as it was" in c["n3"].text(), 10, every=0.2)
    until("the others to sign", lambda: signed_by(c, some) == {"n1", "n2"}, 10, every=0.3)
    c["n3"].stop()
    c["n3"].start()
    until("n3 to refuse the start", lambda: not c["n3"].running(), 15, every=0.2)
    check("names a key that this machine lacks" in c["n3"].text(), f"n3 does not say why it does not start:\n{c['n3'].daemon.tail()}")
    shutil.copy2(c["n1"].dir / "s1.pem", c["n3"].dir / "s1.pem")
    c["n3"].start()
    c.wait_nodes(*ALL)
    until("all three to sign", lambda: signed_by(c, some) == set(ALL), 10, every=0.3)
    for i, domain in enumerate(DOMAINS[:20]):
        lab.send(c["c1"], f"k{i}@{domain}", id_=f"key{i}")
    sink.wait_count(20, 20)
    check(all(m.startswith(b"DKIM-Signature: ") for _, m in sink.contents()), "something left unsigned")

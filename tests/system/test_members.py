"""Whoever may not join, and whatever else comes in wrong at a cluster: a clear sentence, and the others' mail goes on."""
import json
import os
import re
import socket
import struct
import time

from cluster import Cluster, run
from daemon import LabError, until
from dns import DOMAINS
from etcd import Certificates
from frames import BadMember, field, fixed64
from lab import SENDER, Load, check, whole
from load import check_arrivals

APART = True
ALL = ("n1", "n2", "n3")
PATIENCE = 30  # seconds for a refusal: a lease may outlive a dead process


def says(member, *words, seconds=PATIENCE):
    """Its log comes to hold all the words (regular expressions), in one line."""
    def said():
        return any(all(re.search(w, line, re.I) for w in words) for line in member.daemon.text().splitlines())
    try:
        until(f"{member.id} to say {' and '.join(map(repr, words))}", said, seconds, every=0.2)
    except LabError as error:
        raise LabError(f"{error}\n{member.daemon.tail()}") from None


def refused(member, *words, status=None):
    """It ends by itself, without a crash, and says the words in one line."""
    code = member.daemon.wait_exit(PATIENCE)
    check(code in ((status,) if status is not None else (1, 2)), f"{member.id} ended with status {code}\n{member.daemon.tail()}")
    says(member, *words, seconds=0.1)


def healthy(stream, sink, seconds=60):
    """What was sent meanwhile arrived, once each."""
    stream.finish()
    check(not stream.later and not stream.load.refused, f"refused: {(stream.later + list(stream.load.refused.items()))[:3]}")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and check_arrivals(stream.load, sink).lost:
        time.sleep(0.3)
    whole(stream.load, sink, doubled=len(stream.twice))


def flow(c, count=600, pace=100, **options):
    return c.stream(Load(DOMAINS, SENDER, count, **options), pace=pace)


# ---- who may join ----

def test_newcomers_refused(lab):
    "not in spec, with another key, in another's role or name or with another's address: told what to do; the others go on"
    sink = lab.sink()
    c = lab.cluster()
    stream = flow(c, 1200)
    twin_data = lab.work / "twin"

    unknown = c.make("n4", "node")
    unknown.keygen()
    wrong = c.make("n5", "node")
    c.add(wrong)
    wrong.secret.unlink()
    wrong.keygen()
    role = c.make("n6", "node")
    role.keygen()
    check(c.admin("add", "n6", role.public, "--role", "coordinator").returncode == 0, "members add --role coordinator failed")
    thief = c.add(c.make("n7", "node", more={"node": {"sources": [{"address": "127.0.11.2", "helo": "thief.sender.test", "pools": ["a"]}]}}))
    twin = Cluster(lab.work, c.etcd, dns=lab.dns, port=lab.port, nodes=1, coordinators=0, folder="twin")["n1"]
    twin.write_config({"node": {"data_dir": str(twin_data), "sources": [{"address": "127.0.19.1", "helo": "twin.sender.test", "pools": ["a"]}]}})
    twin.secret.write_bytes(c["n1"].secret.read_bytes())
    twin.secret.chmod(0o600)
    c.members["twin"] = twin
    for member in (unknown, wrong, role, thief, twin):
        member.launch()
    refused(unknown, "todoku members add n4 '?" + re.escape(unknown.public))
    refused(wrong, "key", "spec|members")
    refused(role, "coordinator", "node")
    refused(thief, r"127\.0\.11\.2", r"\bn1\b")
    refused(twin, r"\bn1\b", "another|already|holds|runs|in use")
    for member in (unknown, wrong, role, thief, twin):
        del c.members["twin" if member is twin else member.id]
    c.wait_nodes(*ALL)
    healthy(stream, sink)
    check(all(c[n].running() for n in ALL), "one of the others ended")


def test_members_command(lab):
    "members add, set, list, remove; wrong names and keys are refused with a sentence; a key is never written over"
    etcd = lab.etcd()
    c = lab.cluster(etcd, start=False, dns=None)
    n1 = c["n1"]
    c.add(n1, "--weight", "3")
    done = run("keygen", n1.secret)
    check(done.returncode == 1 and str(n1.secret) in done.stderr, f"keygen over a key: {done.returncode} {done.stderr!r}")
    check(n1.secret.stat().st_mode & 0o077 == 0, f"others may read the key: {n1.secret.stat().st_mode:o}")
    listed = [json.loads(line) for line in c.admin("list", "--json").stdout.splitlines()]
    check(len(listed) == 1 and n1.public in json.dumps(listed) and "n1" in json.dumps(listed), f"members list: {listed}")
    check(c.admin("set", "n1", "--weight", "5").returncode == 0, "members set failed")
    check(b"5" in etcd.get("/todoku/lab/spec/n1"), f"spec/n1: {etcd.get('/todoku/lab/spec/n1')}")
    check(c.admin("add", "n1", n1.public).returncode == 0, "adding n1 again as it is was refused")
    other = c["n2"].keygen()
    for wrong, words in ((("add", "n 2", n1.public), "name"), (("add", "n2", "short"), "key"), (("add", "n1", other), "n1.*(another|other) key"),
                         (("add", "n2", n1.public), "n1"), (("remove", "n9"), "n9"), (("set", "n9", "--weight", "1"), "n9")):
        done = c.admin(*wrong)
        check(done.returncode in (1, 2) and re.search(words, done.stderr), f"members {' '.join(wrong)}: {done.returncode} {done.stdout!r} {done.stderr!r}")
    check(c.admin("remove", "n1").returncode == 0 and etcd.get("/todoku/lab/spec/n1") is None, "members remove failed")
    etcd.kill()
    start = time.monotonic()
    done = c.admin("list")
    check(done.returncode == 1 and etcd.endpoints[0].split("//")[1] in done.stderr and time.monotonic() - start < 25,
          f"members list without etcd: {done.returncode} {done.stderr!r} after {time.monotonic() - start:.0f} s")


def test_removed(lab):
    "a member taken out of spec/ ends with a sentence that says so; the others go on"
    sink = lab.sink()
    c = lab.cluster()
    stream = flow(c, 1500)
    stream.wait_accepted(200)
    victim = c["n3"]
    check(c.admin("remove", "n3").returncode == 0, "members remove failed")
    refused(victim, "n3|spec|members", "removed|taken out|no longer|not a member|members add")
    c.wait_nodes("n1", "n2")
    del c.members["n3"]
    fresh = flow(c, 400, prefix="fresh")
    fresh.finish()
    until("the new mail's arrival", lambda: not check_arrivals(fresh.load, sink).lost, 30, every=0.3)
    # What it still held waits on its disk, and clients wait for its answers: let in again, it delivers and answers.
    c.members["n3"] = victim
    check(c.admin("add", "n3", victim.public, "--role", "node").returncode == 0, "members add again failed")
    victim.start()
    c.wait_nodes(*ALL)
    stream.finish()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and check_arrivals([stream.load, fresh.load], sink).lost:
        time.sleep(0.3)
    whole([stream.load, fresh.load], sink, doubled=len(stream.twice))


# ---- etcd ----

def test_no_store_at_start(lab):
    "with etcd away at the start each process says where it looks for it, and goes on when it comes"
    sink, etcd = lab.sink(), lab.etcd()
    c = lab.cluster(etcd, start=False)
    for m in c.members.values():
        c.add(m)
    etcd.kill()
    for m in c.members.values():
        m.launch()
    address = re.escape(etcd.endpoints[0].split("//")[1])
    for m in c.members.values():
        says(m, "etcd", address)
    waiting = [m for m in c.members.values() if m.running()]
    etcd.start()
    for m in c.members.values():
        if m not in waiting:
            check(m.daemon.exit_status() in (1, 2), f"{m.id} ended with {m.daemon.exit_status()}")
            m.launch()
    c.wait_nodes(*ALL)
    healthy(flow(c, 300, 300), sink)
    print(f"        {len(waiting)} of {len(c.members)} waited for etcd")


def test_store_with_certificates(lab):
    "a cluster over mutual TLS delivers; another authority, no certificate, a stranger's one: each is told with the endpoint"
    sink, tls = lab.sink(), Certificates(lab.work / "tls")
    etcd = lab.etcd(tls=tls)
    c = lab.cluster(etcd, nodes=2, coordinators=1)
    stream = flow(c, 600)
    stranger = Certificates(lab.work / "stranger", "somebody else")
    cert, key = stranger.make("client")
    address = re.escape(etcd.endpoints[0].split("//")[1])
    base = etcd.settings()
    cases = {"n4": {"ca": str(stranger.ca)}, "n5": {"cert": str(cert), "key": str(key)}, "n6": {"cert": None, "key": None}, "n7": {"ca": "nowhere.pem"}}
    for id_, more in cases.items():
        member = c.make(id_, "node", more={"cluster": {"etcd": {**base, **more}}})
        member.write_config({"cluster": {"etcd": more}})
        member.keygen()
        check(c.admin("add", id_, member.public, "--role", "node").returncode == 0, "members add failed")
        member.launch()
    says(c["n4"], address, "certificate|TLS|authority|ca\\b")
    says(c["n5"], address, "certificate|TLS|handshake")
    says(c["n6"], address, "certificate|TLS|handshake")
    refused(c["n7"], r"nowhere\.pem")
    for id_ in cases:
        c.members.pop(id_).daemon.end()
    c.wait_nodes("n1", "n2")
    healthy(stream, sink)


def test_store_with_passwords(lab):
    "with etcd's users on, a cluster with the right password works; a wrong one, an unknown user and none at all are told"
    sink, etcd = lab.sink(), lab.etcd()
    etcd.add_user("todoku", "secret", "/todoku/")
    right = {"user": "todoku", "password": "secret"}
    c = lab.cluster(etcd, nodes=2, coordinators=1, more={"cluster": {"etcd": right}})
    stream = flow(c, 600)
    cases = {"n4": {"password": "wrong"}, "n5": {"user": "nobody"}, "n6": {"user": None, "password": None}}
    for id_, more in cases.items():
        member = c.make(id_, "node")
        member.write_config({"cluster": {"etcd": more}})
        member.keygen()
        check(c.admin("add", id_, member.public, "--role", "node").returncode == 0, "members add failed")
        member.launch()
    says(c["n4"], "password|authentication", "todoku|user")
    says(c["n5"], "password|authentication|user", "nobody|user")
    says(c["n6"], "user")
    for id_ in cases:
        c.members.pop(id_).daemon.end()
    c.wait_nodes("n1", "n2")
    healthy(stream, sink)


# ---- the bus ----

GREETING = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x00" # ZMTP 3.0: signature, version; then mechanism (20), as-server, filler (31)


def greeting(mechanism):
    return GREETING + mechanism.ljust(20, b"\0") + b"\0" + bytes(31)


BABBLE = {
    "random": os.urandom(4096),
    "http": b"GET / HTTP/1.1\r\nHost: todoku\r\n\r\n",
    "null": greeting(b"NULL") + b"\x04\x26\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER",
    "plain": greeting(b"PLAIN") + b"\x04\x10\x05HELLO\x04root\x04root",
    "huge": greeting(b"CURVE") + b"\x06" + struct.pack(">Q", 1 << 62) + b"x" * 1000,
    "hello": greeting(b"CURVE") + b"\x04\xc8\x05HELLO" + bytes(194),
    "garbage": greeting(b"CURVE") + b"\x04\xff" + os.urandom(255),
    "old": b"\x01\x00" + b"\x7f" * 64,
    "silent": b"",
}


def resident(member):
    """KiB of memory in use."""
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{member.daemon.pid}/status", encoding="ascii").read())[1])


def sanitized(member):
    """The address sanitizer keeps what was freed for a while."""
    return "libasan" in open(f"/proc/{member.daemon.pid}/maps", encoding="utf-8").read()


def test_babble_on_the_bus(lab):
    "garbage, other protocols, no key, endless frames and 300 silent connections on every bus port: dropped, the members and their mail go on"
    sink = lab.sink()
    c = lab.cluster()
    stream = flow(c, 1500, 150)
    before, held = {m.id: resident(m) for m in c.members.values()}, []
    for m in c.members.values():
        host, _, port = m.bus.partition("//")[2].rpartition(":")
        for name, data in BABBLE.items():
            for _ in range(20):
                s = socket.create_connection((host, int(port)), timeout=5)
                s.settimeout(5)
                try:
                    s.sendall(data)
                except OSError:
                    pass
                held.append(s)
        for _ in range(300 // len(c.members)):
            held.append(socket.create_connection((host, int(port)), timeout=5))
    healthy(stream, sink)
    c.wait_nodes(*ALL)
    for s in held:
        s.close()
    check(all(m.running() for m in c.members.values()), "a member ended")
    grown = {m.id: resident(m) - before[m.id] for m in c.members.values()}
    check(all(kib < 60 << 10 for kib in grown.values()), f"memory grew by {grown} KiB")
    healthy(flow(c, 200, 400, prefix="after"), sink)


def test_strangers_on_the_bus(lab):
    "a coordinator of another cluster, and a key that spec/ doesn't have, call our nodes: told and dropped; both clusters go on"
    sink, etcd = lab.sink(), lab.etcd()
    ours = lab.cluster(etcd, coordinators=1)
    theirs = lab.cluster(etcd, start=False, coordinators=0, nodes=1, first=8, name="theirs", folder="theirs")
    theirs.make("c8", "coordinator")
    theirs.start()
    # Their view gets a node that is in truth our n1 (its key, its endpoint); our spec knows their coordinator's key, too.
    live = json.loads(etcd.get("/todoku/lab/live/n1"))
    check(theirs.admin("add", "n1", ours["n1"].public, "--role", "node").returncode == 0, "members add failed")
    etcd.put("/todoku/theirs/live/n1", json.dumps(live))
    says_from = len(ours["n1"].daemon.text())
    stream = flow(ours, 900)
    until("their view to hold our n1", lambda: '"n1"' in run("nodes", "--json", api=theirs["c8"].api).stdout, 15, every=0.2)
    check(ours.admin("add", "c8", theirs["c8"].public, "--role", "coordinator").returncode == 0, "members add failed")

    def told():
        return re.search(r"another cluster|cluster .?theirs|foreign", ours["n1"].daemon.text()[says_from:])

    until("n1 to tell of frames from another cluster", told, 20, every=0.2, alive=ours["n1"].daemon)
    ours.wait_nodes(*ALL)
    healthy(stream, sink)
    check(all(m.running() for m in [*ours.members.values(), *theirs.members.values()]), "a member ended")
    check(ours.admin("remove", "c8").returncode == 0 and theirs.admin("remove", "n1").returncode == 0, "members remove failed")
    etcd.delete("/todoku/theirs/live/n1")
    theirs.wait_nodes("n8")
    healthy(flow(theirs, 200, prefix="their"), sink)


def envelope(from_="n4", cluster="lab", wire=1, to="n1", process=77, type_=1, payload=b"", **more):
    """A BusEnvelope (proto/bus.proto) by hand; `more`: its other fields as f6=..."""
    out = field(1, wire) + field(2, cluster) + field(3, from_) + field(4, to) + fixed64(5, process)
    out += fixed64(6, more.get("f6", 5)) + field(7, more.get("f7", 1)) + field(8, more.get("f8", 5000))
    out += field(9, type_) + field(10, payload) + field(11, 1)
    if "credit" in more:
        out += fixed64(13, 5) + field(14, more["credit"]) + field(15, more["credit"]) + field(16, more["credit"])
    return out


def bad_frames():
    """[frames] a member's key may bring and no member ever sends."""
    top = (1 << 64) - 1
    out = [[os.urandom(n)] for n in (1, 2, 7, 64, 1000, 60000)] + [[b""], [b"", b""], [b"x"] * 20, [b"\xff" * 300, b"y" * (1 << 20)]]
    out += [[envelope()], [envelope(), b"body"], [envelope(type_=0, credit=top)], [envelope(type_=0, f6=top, f7=top, f8=top)], [envelope(f8=top), b"z" * 100]]
    out += [[envelope(wire=9)], [envelope(wire=0)], [envelope(cluster="other")], [envelope(cluster="")], [envelope(from_="c1")], [envelope(from_="")],
            [envelope(from_="x" * 5000)], [envelope(to="nobody")], [envelope(to="y" * 100000)], [envelope(process=0)]]
    for type_ in [*range(1, 9), 77, top]:
        for payload in (b"", os.urandom(200), field(7, b"short id"), field(12, b"queues?" * 50000), field(9, b"\x08\x01") * 100000,
                        field(8, os.urandom(100)) + field(7, bytes(16)), field(5, "s" * 5000)):
            out += [[envelope(type_=type_, payload=payload)], [envelope(type_=type_, payload=payload), os.urandom(3000)]]
    return out + [[envelope(payload=b"p" * (3 << 20))], [envelope(), b"b" * (140 << 20)]]


def test_member_gone_bad(lab):
    "a member's key brings garbage, forged senders, absurd credit, 3 MiB envelopes and a 140 MiB body: dropped, the others and their mail go on"
    sink = lab.sink()
    c = lab.cluster()
    bad = c.add(c.make("n4", "node"))
    stream = flow(c, 2000, 150)
    secret = next(w for w in bad.secret.read_text(encoding="ascii").split() if len(w) == 40 and w != bad.public)
    time.sleep(1.5)  # everybody has read spec/ again
    before, sent, seen = {m: resident(c[m]) for m in ("c1", "n1")}, 0, {m: len(c[m].daemon.text()) for m in ("c1", "n1")}
    for target in ("c1", "n1"):
        for frames in bad_frames():
            with BadMember("n4", bad.public, secret, c[target].bus, c[target].public) as member:
                sent += member.send(*frames)
    del c.members["n4"]
    healthy(stream, sink)
    check(all(m.running() for m in c.members.values()), f"ended: {[m.id for m in c.members.values() if not m.running()]}")
    c.wait_nodes(*ALL)
    for target in ("c1", "n1"):
        new = c[target].daemon.text()[seen[target]:]
        check(re.search(r"n4", new), f"{target} says nothing of the frames that it dropped:\n{new[-1000:]}")
        check(len(new.splitlines()) < 200, f"{target} wrote {len(new.splitlines())} lines about {sent // 2} bad frames: a log could be filled that way")
    grown = {m: resident(c[m]) - before[m] for m in before}
    bound = 600 if sanitized(c["n1"]) else 200
    check(all(kib < bound << 10 for kib in grown.values()), f"memory grew by {grown} KiB")
    healthy(flow(c, 200, 400, prefix="after"), sink)


# ---- records ----

def test_records_gone_wrong(lab):
    "a member of a newer wire version, garbage in live/, spec/, leader's view and config/: told, passed over, and mail goes on"
    sink = lab.sink()
    c = lab.cluster()
    etcd = c.etcd
    stream = flow(c, 1800)
    stream.wait_accepted(100)
    newer = c.make("n9", "node")
    newer.keygen()
    check(c.admin("add", "n9", newer.public, "--role", "node").returncode == 0, "members add failed")
    live = json.loads(etcd.get("/todoku/lab/live/n1"))
    live.update({key: "n9" for key, value in live.items() if value == "n1"} | {"wire": 9, "wire_min": 8, "sources": []})
    etcd.put("/todoku/lab/live/n9", json.dumps(live))
    head = until("a head", c.head, 10)
    says(head, "n9", "wire|version")
    del c.members["n9"]
    for key, value in (("live/n8", "no json {{{"), ("live/n7", "[]"), ("spec/n8", '{"key": 7}'), ("spec/" + "x" * 200, "{}"), ("live/n6", '{"sources": 1e999}')):
        etcd.put(f"/todoku/lab/{key}", value)
    time.sleep(2)
    c.wait_nodes(*ALL)
    etcd.put("/todoku/lab/view/current", os.urandom(300))
    for m in c.members.values():
        says(m, "view")
    time.sleep(2)
    check(all(m.running() for m in c.members.values()), f"ended: {[m.id for m in c.members.values() if not m.running()]}")
    etcd.put("/todoku/lab/config/current", "no json {{{")
    time.sleep(1)
    healthy(stream, sink)
    check(all(m.running() for m in c.members.values()), f"ended: {[m.id for m in c.members.values() if not m.running()]}")
    c["n3"].stop()
    c.wait_nodes("n1", "n2")  # views are published again in spite of it


# ---- config of a member ----

def test_member_config_faults(lab):
    "no etcd, no key file, an open or broken key file, no bus: each told at the start"
    c = lab.cluster(lab.etcd(), start=False, dns=None)
    n1 = c.add(c["n1"])
    good = dict(n1.config)
    cases = [({"cluster": {"etcd": None}}, "etcd"), ({"cluster": {"curve_secret_file": None}}, "curve_secret_file"), ({"node": {"bus": None}}, "bus"),
             ({"cluster": {"curve_secret_file": str(lab.work / "nowhere")}}, "nowhere"), ({"node": {"bus": "tcp://0.0.0.0:7100"}}, "0\\.0\\.0\\.0"),
             ({"node": {"bus": "tcp://203.0.113.9:7100"}}, "203\\.0\\.113\\.9"), ({"node": {"id": "n 1"}}, "n 1")]
    for more, words in cases:
        n1.config = dict(good)
        n1.write_config(more)
        n1.launch()
        refused(n1, words)
    n1.config = dict(good)
    n1.write_config()
    n1.secret.chmod(0o644)
    n1.launch()
    refused(n1, re.escape(str(n1.secret)), "read|mode|chmod|permission")
    n1.secret.chmod(0o600)
    text = n1.secret.read_bytes()
    n1.secret.write_bytes(b"not a key\n")
    n1.launch()
    refused(n1, re.escape(str(n1.secret)), "key")
    n1.secret.write_bytes(text)
    n1.write_config({"cluster": {"copies": 1, "min_copies": 2}})
    n1.launch()
    refused(n1, "min_copies")

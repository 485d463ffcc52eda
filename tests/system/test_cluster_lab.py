"""The lab's cluster parts test themselves first: an etcd that can be taken away, a client that loses nothing."""
import errno
import socket
import time
from pathlib import Path

from cluster import Stream
from dns import DOMAINS
from etcd import Certificates
from lab import SENDER, LabError, Load, check, whole
from netns import Network
from faults import ONE_COPY, plan

APART = True


def test_etcd_comes_and_goes(lab):
    "frozen and killed, the lab's etcd answers nothing; afterwards its data is there; its writes are counted"
    etcd = lab.etcd()
    etcd.put("/todoku/a", "{ [ '\"")
    before = etcd.writes()
    for i in range(5):
        etcd.put("/todoku/b", f"-{i}")
    check(5 <= etcd.writes() - before <= 6, f"5 puts were counted as {etcd.writes() - before} writes")
    etcd.freeze()
    start = time.monotonic()
    check(etcd.ctl("get", "/todoku/a", seconds=7, check=False).returncode != 0 and time.monotonic() - start > 1, "a frozen etcd answered")
    etcd.thaw()
    etcd.kill()
    check(not etcd.members[0].healthy(), "a killed etcd answered")
    etcd.start()
    check(etcd.keys() == {"/todoku/a": b"{ [ '\"", "/todoku/b": b"-4"}, f"after the kill it holds {etcd.keys()}")


def test_three_etcds(lab):
    "three etcds go on without their leader, over TLS, and know users"
    etcd = lab.etcd(size=3, tls=Certificates(lab.work / "tls"))
    etcd.add_user("todoku", "secret", "/todoku/")
    etcd.put("/todoku/a", "1")
    etcd.kill(etcd.leader())
    for _ in range(20):
        if etcd.ctl("put", "/todoku/a", "2", check=False).returncode == 0:
            break
        time.sleep(0.5)
    check(etcd.get("/todoku/a") == b"2", f"holds {etcd.keys()}")
    etcd.login = ("todoku", "secret")
    check(etcd.ctl("put", "/elsewhere", "1", check=False).returncode != 0, "the user may write everywhere")
    etcd.login = ("todoku", "wrong")
    check(etcd.ctl("get", "/todoku/a", check=False).returncode != 0, "a wrong password was taken")


def test_network(lab):
    "a cut line swallows packets one way only, at once and also of open connections; the machine has no part in such networks"
    net, mine = lab.keep(Network()), Path("/proc/net/dev").read_text().count("\n")
    a, b = net.place("a", "10.2.1", ("11",)), net.place("b", "10.2.2", local="10.4.0.0/16")
    with b.inside():
        server = lab.keep(socket.create_server(("0.0.0.0", 2525)))
        to_a = lab.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with a.inside():
        udp = lab.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind((a.address, 2525))
        client = lab.keep(socket.create_connection(("10.4.17.3", 2525), timeout=2, source_address=("10.2.1.11", 0)))
    accepted, peer = server.accept()
    check(peer[0] == "10.2.1.11" and accepted.getsockname()[0] == "10.4.17.3", f"connected from {peer} to {accepted.getsockname()}")
    udp.settimeout(0.5), accepted.settimeout(0.5)
    net.cut(["a"], ["b"])
    client.sendall(b"x")
    to_a.sendto(b"y", (a.address, 2525))
    check(udp.recv(9) == b"y", "the way back is cut too")
    try:
        check(not accepted.recv(9), "the cut line carried something")
    except TimeoutError:
        pass
    net.heal()
    accepted.settimeout(5)
    check(accepted.recv(9) == b"x", "what was sent into the cut did not come after it")
    net.part(["a"], ["b"])
    start = time.monotonic()
    with a.inside():
        nobody = socket.socket()
        nobody.settimeout(0.5)
        check(nobody.connect_ex(("10.4.17.3", 2525)) and time.monotonic() - start > 0.4, "a connection into a cut was answered")
    with net.hub.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        check(out.connect_ex(("192.0.2.1", 53)) == errno.ENETUNREACH, "a way leads out")
    check(Path("/proc/net/dev").read_text().count("\n") == mine, "the machine's own network has other cables than before")


def test_rounds_are_drawn(lab):
    "the same seed draws the same rounds, another one others, and every kind comes once before one comes again"
    names = ["c1", "c2", "n1", "n2", "n3", "e1"]
    kinds = len(ONE_COPY)
    first = plan(7, 2 * kinds, names)
    check(first == plan(7, 2 * kinds, names) and first != plan(8, 2 * kinds, names), "seeds don't tell")
    check({one.kind for one in first[:kinds]} == set(ONE_COPY) == {one.kind for one in first[kinds:]}, "a kind is missing")
    check(all(not set(one.who) & set(one.others) for one in first), "a member is cut off from itself")


def test_stream(lab):
    "a stream brings all of its mail in though one door is killed and comes back, and knows what may have come twice"
    sink = lab.sink()
    doors = [lab.todoku(name=n, sources=[(f"127.0.1.{i}", "mx.sender.test", ["a"])]) for i, n in enumerate(("left", "right"), 1)]
    stream = Stream(Load(DOMAINS, SENDER, 3000), doors, pace=1000).start()
    stream.wait_accepted(500)
    doors[0].kill()
    stream.wait_accepted(1500)
    doors[0].start()
    stream.finish()
    check(len(stream.load.accepted) == 3000 and not stream.load.refused, f"accepted {len(stream.load.accepted)}")
    check(min(stream.doors_used.values()) > 100 and len(stream.doors_used) == 2, f"doors: {stream.doors_used}")
    sink.wait_count(3000, 30)
    report = whole(stream.load, sink, doubled=150)
    print(f"        {len(stream.again)} sent twice, {len(report.doubled)} doubled")
    shut = Stream(Load(DOMAINS, SENDER, 10, prefix="x"), doors, patience=2)
    for door in doors:
        door.stop()
    try:
        shut.start().finish()
    except LabError as error:
        check("10 messages have found no door" in str(error), f"said {error}")
    else:
        raise LabError("closed doors were not noticed")

"""The lab's cluster parts test themselves first: an etcd that can be taken away, a client that loses nothing."""
import time

from cluster import Stream
from dns import DOMAINS
from etcd import Certificates
from lab import SENDER, LabError, Load, check, whole

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

"""etcd restored from an old backup, or made anew: members notice, take nothing from it, send on; an operator's word ends it."""
import json
import time

from cluster import rows, run
from daemon import until
from dns import DOMAINS
from lab import SENDER, Load, check
from test_cluster import ALL, apply, arrived, takes

APART = True
REFUSED = "is not the store that this member knows"


def refusal(coordinator):
    """The detail of its alert about etcd, or nothing."""
    done = run("alerts", "--json", api=coordinator.api)
    return next((r["detail"] for r in rows(done.stdout) if r.get("alert") == "etcd"), "") if done.returncode in (0, 1) else ""


def log(member):
    return (member.dir / "log").read_text(encoding="utf-8", errors="replace")


def registers(etcd):
    return {key.rpartition("/")[2]: json.loads(value) for key, value in etcd.keys("/todoku/lab/spool/").items()}


def bounce(c, id_):
    """Two views, and an incarnation."""
    others = [n for n in ALL if n != id_]
    c[id_].stop()
    c.wait_nodes(*others)
    c[id_].start()
    c.wait_nodes(*ALL)


def nobody_took_it(c, etcd, stream, before, seconds=8):
    """While the store is refused: mail is accepted, nobody leaves, and nothing of ours is written there."""
    start, accepted = time.monotonic(), stream.accepted()
    while time.monotonic() < start + seconds:
        for m in c.coordinators:
            up = c.up_nodes(m)
            check(up == set(ALL), f"{m.id} sees only {up} up though nobody but etcd is old")
        time.sleep(0.3)
    check(stream.accepted() > accepted + 20 * seconds, f"only {stream.accepted() - accepted} messages were accepted in {seconds} s beside an old etcd")
    kept = {key: value for key, value in etcd.keys("/todoku/lab/").items() if "/live/" not in key and "/source/" not in key and "/leader" not in key}
    check(kept == before, f"keys were written in an old etcd: {[k for k in kept if kept[k] != before.get(k)] or set(before) - set(kept)}")


def refused_by_all(c, part):
    for m in c.coordinators:
        text = until(f"{m.id} to refuse the store", lambda m=m: refusal(m) if REFUSED in refusal(m) else None, 20, every=0.3)
        check(part in text and "todoku members adopt" in text, f"{m.id} says: {text}")
    for m in c.nodes:
        until(f"{m.id} to say so in its log", lambda m=m: REFUSED in log(m), 15, every=0.3)


def test_old_backup(lab):
    "etcd is put back to a backup while mail flows: all members refuse it, a node that starts waits, mail goes on; adopted, all goes on above the old numbers, nothing lost"
    sink, etcd = lab.sink(), lab.etcd()
    c = lab.cluster(etcd)
    stream = c.stream(Load(DOMAINS, SENDER, 4500), pace=50)
    stream.wait_accepted(50)
    etcd.stop(), etcd.save(), etcd.start()
    time.sleep(3)
    for id_ in ("n2", "n3"):
        bounce(c, id_)
    check(REFUSED not in "".join(log(m) for m in c.members.values()), "an etcd that was only restarted was refused")
    epoch, newest = c.status()["view_epoch"], registers(etcd)
    etcd.kill(), etcd.restore(), etcd.start()
    before = {key: value for key, value in etcd.keys("/todoku/lab/").items() if "/live/" not in key and "/source/" not in key and "/leader" not in key}
    check(registers(etcd)["n2.0"]["incarnation"] < newest["n2.0"]["incarnation"], "the backup is not older")
    refused_by_all(c, "it is at revision")
    nobody_took_it(c, etcd, stream, before)
    n1 = c["n1"]  # a start, with what its disk remembers
    n1.stop()
    n1.start()
    until("n1 to say that it waits", lambda: log(n1).count("waits: the store to answer: etcd is not the store") > 0, 15, every=0.3)
    time.sleep(2)
    check(n1.running() and registers(etcd)["n1.0"] == json.loads(before["/todoku/lab/spool/n1.0"]), "n1 joined by an old etcd")
    done = c.admin("adopt")
    check(done.returncode == 1 and "--yes" in done.stderr, f"adopting asked nobody: {done.returncode} {done.stderr}")
    done = c.admin("adopt", "--yes")
    check(done.returncode == 0 and "5 members of lab" in done.stdout, f"adopting: {done.stdout} {done.stderr}")
    c.wait_nodes(*ALL)
    for m in c.coordinators:
        until(f"{m.id} to be content", lambda m=m: not refusal(m), 15, every=0.3)
    until("views above the old ones", lambda: all(rows(run("status", "--json", api=m.api).stdout)[0]["view_epoch"] > epoch for m in c.coordinators), 15, every=0.3)
    now = until("the registers to be those of today", lambda: registers(etcd) if all(r["incarnation"] >= newest[s]["incarnation"] for s, r in registers(etcd).items()) else None, 15, every=0.3)
    check(now["n1.0"]["incarnation"] > newest["n1.0"]["incarnation"], f"n1's incarnation was given twice: {now['n1.0']}")
    check(all(now[s]["incarnation"] == newest[s]["incarnation"] and now[s]["epoch"] > newest[s]["epoch"] for s in ("n2.0", "n3.0")), f"of a node that ran on: {now}")
    bounce(c, "n3")
    check(registers(etcd)["n3.0"]["incarnation"] == newest["n3.0"]["incarnation"] + 1, "n3's next incarnation")
    apply(c, {"tenants": [{**c.base["tenants"][0], "domains": ["sender.test", "late.test"]}]})
    until("the new domain to be let in", lambda: takes(c.coordinators[0], "x@late.test", "x@d001.test"), 10, every=0.3)
    stream.finish()
    arrived(stream, sink)
    check(log(n1).count("took the store as it is") == 1, "the word is heard once")
    print(f"        view {epoch} before, {c.status()['view_epoch']} after; incarnations {[r['incarnation'] for r in newest.values()]} before; "
          f"longest time without a 250 {stream.gap:.2f} s")


def test_made_anew(lab):
    "an empty etcd in the place of the old one is refused, and so is adopting it; with the right one back all goes on without a word"
    sink, etcd = lab.sink(), lab.etcd()
    c = lab.cluster(etcd)
    stream = c.stream(Load(DOMAINS, SENDER, 1500), pace=50)
    stream.wait_accepted(50)
    etcd.kill(), etcd.save(), etcd.restore(None), etcd.start()
    refused_by_all(c, "it is at revision")
    nobody_took_it(c, etcd, stream, {}, 4)
    done = c.admin("adopt", "--yes")
    check(done.returncode == 1 and "knows no member of lab" in done.stderr, f"an empty store was adopted: {done.stdout} {done.stderr}")
    etcd.kill(), etcd.restore(), etcd.start()
    for m in c.coordinators:
        until(f"{m.id} to be content", lambda m=m: not refusal(m), 20, every=0.3)
    c.wait_nodes(*ALL)
    bounce(c, "n1")
    stream.finish()
    arrived(stream, sink)


test_old_backup.seconds = 95

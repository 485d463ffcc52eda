"""Real servers at the other end, because what we read in an RFC and what they do are two things."""
import collections
import json
import re
import threading

from daemon import until
from dns import PEER_ADDRESS
from lab import SENDER, Load, check, whole
from verify import signatures, verify


def check_maildir(peer, load):
    """Every message is in the maildir once, its bytes after the X-Test-Id line as they were sent (LF line ends)."""
    found = {}
    for message in peer.messages():
        head, _, rest = message.partition(b"X-Test-Id: ")
        id_, _, rest = rest.partition(b"\n")
        check(id_.decode().strip() not in found, f"{peer.kind} has {id_} twice")
        found[id_.decode().strip()] = rest
    check(set(found) == set(load.accepted), f"{peer.kind} has {len(found)} of {len(load.accepted)} messages")
    for id_, m in load.accepted.items():
        sent = re.sub(rb"\r\n\.", b"\r\n", m.body).replace(b"\r\n", b"\n")
        check(found[id_].replace(b"\r\n", b"\n").rstrip(b"\n") == sent.rstrip(b"\n"), f"{peer.kind} has other bytes for {id_}")


def deliver_to(lab, kind, **options):
    """40 awkward messages to a real server, there whole and once; (the server, Todoku stopped)."""
    peer = lab.keep(getattr(lab.peers, kind)(lab.work, PEER_ADDRESS[kind], lab.port, domains=[f"{kind}.test"], **options))
    t = lab.todoku()
    load = Load([f"{kind}.test"], SENDER, 40, prefix=kind).run(*t.smtp, connections=2)
    check(len(load.accepted) == 40, f"accepted {len(load.accepted)}: {list(load.refused.values())[:2]}")
    until(f"40 messages in {kind}'s maildir", lambda: len(peer.messages()) >= 40, 40, every=0.3, alive=t.daemon)
    t.stop()
    check_maildir(peer, load)
    return peer, t


def check_encrypted(peer, t):
    check(peer.says_tls in peer.text(), lambda: f"{peer.kind}'s log knows of no TLS:\n{peer.tail(8)}")
    plain = [e for e in t.events(event="delivered") if not e.get("tls")]
    check(not plain, f"events without tls: {plain[:2]}")


def test_postfix(lab):
    "real Postfix takes our mail over STARTTLS, whole and once"
    check_encrypted(*deliver_to(lab, "postfix"))


def test_exim(lab):
    "real Exim takes our mail over STARTTLS, whole and once"
    check_encrypted(*deliver_to(lab, "exim"))


def test_opensmtpd(lab):
    "real OpenSMTPD, which lacks PIPELINING, takes our mail over STARTTLS, whole and once"
    peer, t = deliver_to(lab, "opensmtpd")
    check_encrypted(peer, t)
    for message in peer.messages():
        head = message.partition(b"\nX-Test-Id: ")[0]
        over_tls = re.search(rb"by opensmtpd\.test \(OpenSMTPD\) with ESMTPS id \S+ \(TLSv1\.[23]:", head)
        check(over_tls, f"came in clear text: {head}")


def test_opensmtpd_broken_tls(lab):
    "a real OpenSMTPD that offers STARTTLS and fails every handshake gets our mail all the same, whole and once"
    peer, t = deliver_to(lab, "opensmtpd", broken_tls=True)
    check(peer.says_broken_tls in peer.text(), "STARTTLS was not even tried")
    check(peer.says_tls not in peer.text(), "its TLS works, so this test shows nothing")


def test_postfix_as_client(lab):
    "a real Postfix with relayhost = Todoku hands us 300 messages; they arrive once each, unchanged"
    sink = lab.sink(listen=["127.4.0.1", "127.4.5.1", "127.4.10.1"])
    t = lab.todoku()
    postfix = lab.keep(lab.peers.postfix(lab.work, PEER_ADDRESS["postfix"], lab.port, relayhost=f"[127.0.0.1]:{t.smtp[1]}"))
    load = Load(["d000.test", "d005.test", "d010.test"], SENDER, 300, rcpts=(1, 3)).run(postfix.address, postfix.port)
    check(len(load.accepted) == 300, f"Postfix accepted {len(load.accepted)}")
    sink.wait_count(len(load.deliveries()), 60, alive=t.daemon)
    t.stop()
    whole(load, sink)
    check("status=sent (250 2.0.0 queued as" in postfix.text(), lambda: f"Postfix saw another reply:\n{postfix.tail(3)}")


def test_tls_required(lab):
    "tls: required never sends in clear text to a receiver without STARTTLS, and says why it waits"
    sink = lab.sink()
    t = lab.todoku(more={"delivery": {"tls": "required"}})
    lab.send(t, "bob@d001.test")
    event = t.wait_event(event="deferred", to="bob@d001.test")
    check("TLS" in event.get("reply", ""), f"the event gives another reason: {event}")
    check(sink.count() == 0, "it was sent in clear text")


# Keys of sender.test and of the operator, who signs with a domain of his own.
RSA, ED25519, NEXT, OPERATOR = [("sender.test", s) for s in ("r1", "e1", "r2")] + [("op.test", "o1")]


def dkim(*keys):
    return [{"domain": d, "selector": s, "key_file": f"{s}.pem", **({"expire": "7d"} if s == "o1" else {})} for d, s in keys]


def signing(lab, tenants, **options):
    """Todoku, not yet started, with keys in files beside its configuration."""
    acme = {"id": "acme", "pools": ["a"], "domains": ["sender.test"], "dkim": dkim(*tenants)}
    t = lab.todoku(start=False, more={"tenants": [acme], "operator_dkim": dkim(OPERATOR)}, **options)
    for _, selector in (RSA, ED25519, NEXT, OPERATOR):
        kind = "ed25519" if selector == "e1" else "rsa"
        done = t.cli("dkim", "--generate", t.dir / f"{selector}.pem", "--type", kind)
        check(done.returncode == 0, done.stderr)
    return t


def records(t):
    """What the operator is told to publish: {name: record}."""
    done = t.cli("dkim", "-c", t.file, "--json")
    check(done.returncode == 0, done.stderr)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row["record"] for row in rows}


def check_signed(messages, published, work, *wanted):
    """Each message carries just one of the wanted sets of signatures, and all of them verify. {selector: messages}"""
    verdicts, seen = verify(messages, published, work), collections.Counter()
    for v in verdicts:
        check(all(said is True for said in v.says.values()), lambda v=v: f"{v.domain} {v.selector}: {v.says}\n{messages[v.message][:3000].decode('latin1')}")
    for n, message in enumerate(messages):
        keys = tuple((v.domain, v.selector) for v in verdicts if v.message == n)
        check(keys in wanted, lambda keys=keys, message=message: f"signed by {keys}, not by {wanted}:\n{message[:1500].decode('latin1')}")
        seen.update(selector for _, selector in keys)
    return seen


def test_domain_keys(lab):
    "all that leaves carries the tenant's RSA and Ed25519 signatures and the operator's; two verifiers that are not ours take them"
    sink = lab.sink(listen=["127.4.0.1", "127.4.5.1", "127.4.10.1"], keep=True)
    old = lab.sink(listen=["127.4.203.1", "127.4.203.2"], without=["8BITMIME"], keep=True, name="old")
    t = signing(lab, (RSA, ED25519)).start()
    load = Load(["d000.test", "d005.test", "d010.test"], SENDER, 60, rcpts=(1, 3)).run(*t.smtp, connections=4)
    eight = Load(["two-a.test"], SENDER, 6, prefix="eight").run(*t.smtp, connections=1)
    status, answer, _ = t.post("/v1/messages", {"from": f"News <{SENDER}>", "to": ["http@d000.test"], "subject": "caf\u00e9", "text": "na\u00efve\r\n.\r\n",
                                                "html": "<p>na\u00efve</p>"})
    check(status == 202, f"POST: {status} {answer}")
    check(len(load.accepted) == 60 and len(eight.accepted) == 6, f"accepted {len(load.accepted)} and {len(eight.accepted)}")
    sink.wait_count(len(load.deliveries()) + 1, 40, alive=t.daemon)
    old.wait_count(6, 40, alive=t.daemon)
    said = t.cli_json("explain", "bob@d000.test")[0]["signatures"]
    check(said == ["d=sender.test s=r1 a=rsa-sha256", "d=sender.test s=e1 a=ed25519-sha256", "d=op.test s=o1 a=rsa-sha256"], f"explain says {said}")
    t.stop()
    published = records(t)
    check_signed([m for _, m in sink.contents()], published, lab.work / "verify", (RSA, ED25519, OPERATOR))
    converted = [m for _, m in old.contents()]
    check_signed(converted, published, lab.work / "verify-old", (RSA, ED25519, OPERATOR))
    check(all(max(m) < 128 for m in converted), "eight-bit bytes reached a receiver without 8BITMIME")
    check(all("x" in s for m in converted for s in signatures(m) if s["s"] == "o1"), "`expire` made no x=")


def test_domain_keys_rotate(lab):
    "SIGHUP amid sending takes another selector: the former's signatures before, the new one's after, nothing unsigned, nothing lost"
    sink = lab.sink(listen=["127.4.0.1", "127.4.5.1", "127.4.10.1"], keep=True)
    t = signing(lab, (RSA,)).start()
    before = records(t)
    load = Load(["d000.test", "d005.test", "d010.test"], SENDER, 700, rcpts=(1, 2))
    worker = threading.Thread(target=load.run, args=t.smtp, kwargs={"connections": 4})
    worker.start()
    try:
        until("200 messages to be sent", lambda: sink.count() >= 200, 30, alive=t.daemon)
        acme = dict(t.config["tenants"][0], dkim=dkim(NEXT))
        t.write_config({"tenants": [acme]})
        t.reload()
        until("the reload", lambda: "read again" in t.text(), 10, alive=t.daemon)
    finally:
        worker.join(60)
    late = Load(["d000.test"], SENDER, 50, prefix="late").run(*t.smtp, connections=2)
    sink.wait_count(len(load.deliveries()) + len(late.deliveries()), 60, alive=t.daemon)
    whole([load, late], sink)
    contents = sink.contents()
    published = {**before, **records(t)}
    seen = check_signed([m for _, m in contents], published, lab.work / "verify", (RSA, OPERATOR), (NEXT, OPERATOR))
    check(seen["r1"] > 100 and seen["r2"] > 100, f"the reload did not come amid sending: {seen}")
    check_signed([m for id_, m in contents if id_.startswith("late")], published, lab.work / "verify-late", (NEXT, OPERATOR))
    t.write_config({"tenants": [dict(acme, dkim=dkim(NEXT, ("sender.test", "missing")))]})
    t.reload()
    until("the reload that fails", lambda: "everything stays as it was" in t.text(), 10, alive=t.daemon)
    check("missing.pem" in t.text(), "the log does not name the file")
    t.stop()
    done = t.cli("check", "-c", t.file)
    check(done.returncode == 2 and "missing.pem" in done.stderr, f"check: {done.returncode} {done.stderr}")
    t.start(ready=False)
    check(until("the end of a start without its key", lambda: t.daemon.exit_status() is not None, 10), "it runs")
    check("missing.pem" in t.text(), "the start does not name the file")

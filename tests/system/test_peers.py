"""Real servers at the other end, because what we read in an RFC and what they do are two things."""
import re

from daemon import until
from dns import PEER_ADDRESS
from lab import SENDER, Load, check, whole


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

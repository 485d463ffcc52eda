"""One message's whole way, ten thousand times: in over SMTP and HTTP, out from the right source to the right MX, once."""
import collections
import email
import json

from daemon import until
from dns import DOMAINS
from lab import SENDER, TWO_POOLS, Load, check, mail, queue_id, whole
from load import smtp_source

POOL_OF = {address: pools[0] for address, _, pools in TWO_POOLS}
HELO_OF = {address: helo for address, helo, _ in TWO_POOLS}


def check_sources(arrivals, pool):
    """Only the pool's addresses were used, each with its own HELO name, and each of them had work."""
    seen = collections.Counter((a.peer, a.helo) for a in arrivals)
    for (peer, helo), count in seen.items():
        check(POOL_OF.get(peer) == pool, f"{count} deliveries of pool {pool} came from {peer}")
        check(HELO_OF[peer] == helo, f"{peer} said HELO {helo}, not {HELO_OF[peer]}")
    idle = [address for address, p in POOL_OF.items() if p == pool and address not in {peer for peer, _ in seen}]
    check(not idle, f"pool {pool} never used {idle} for {len(arrivals)} deliveries")


def test_ten_thousand(lab):
    "10,000 messages to 100 Zipf domains from four sources in two pools arrive once each, unchanged, from the right IP"
    sink = lab.sink()
    t = lab.todoku(sources=TWO_POOLS)
    a = Load(DOMAINS, SENDER, 3000, prefix="a", rcpts=(1, 2)).run(*t.smtp)
    b = Load(DOMAINS, SENDER, 3000, prefix="b", header="X-Todoku-Pool: b", seed=2).run(*t.smtp)
    for load in (a, b):
        check(not load.refused and not load.unknown, f"refused: {list(load.refused.values())[:3]}, unanswered: {len(load.unknown)}")
    numbered = set()
    for i in range(10):
        numbered |= smtp_source(lab.peers, *t.smtp, SENDER, f"source@{DOMAINS[i * 7]}", 400)
    total = len(a.deliveries()) + len(b.deliveries()) + len(numbered)
    sink.wait_count(total, 90, alive=t.daemon)
    t.stop()
    whole([a, b], sink)
    arrivals = sink.arrivals()
    check(len(arrivals) == total, f"{len(arrivals)} deliveries arrived, not {total}")
    check_sources([x for x in arrivals if x.id.startswith("a")], "a")
    check_sources([x for x in arrivals if x.id.startswith("b")], "b")
    plain = collections.Counter(x.rcpt for x in arrivals if x.id == "-")
    check(plain == collections.Counter(numbered), f"smtp-source's 4,000: {sorted(numbered ^ set(plain))[:5]} differ, "
          f"{sum(n > 1 for n in plain.values())} doubled")
    hosts = {x.rcpt.partition("@")[2]: x.local for x in arrivals}
    wrong = [(d, l) for d, l in hosts.items() if not l.startswith(f"127.4.{int(d[1:4]) % 25}.")]
    check(not wrong, f"went to an address that is not the domain's: {wrong[:3]}")


def test_mx_preference(lab):
    "the best MX is used while it answers, equal ones share the work, a dead first MX leads to the second"
    sink = lab.sink(listen=["127.4.1.1", "127.4.1.2", "127.4.1.3", "127.4.205.2", "127.4.202.1", "127.4.202.2", "127.4.202.3", "127.4.202.4",
                            "127.4.201.1", "127.4.0.1", "127.4.204.1", "127.4.203.2"])
    t = lab.todoku(more={"providers": [{"name": "default", "connections": 4, "messages_per_connection": 3, "rate": "none"}]})
    domains = {"d001.test": 60, "equal.test": 120, "second.test": 5, "implicit.test": 5, "cname.test": 5, "mxcname.test": 5, "v6.test": 5, "two-a.test": 5}
    loads = [Load([d], SENDER, n, prefix=d.split(".")[0]).run(*t.smtp, connections=2) for d, n in domains.items()]
    sink.wait_count(sum(domains.values()), 60, alive=t.daemon)
    whole(loads, sink)
    used = collections.defaultdict(set)
    for a in sink.arrivals():
        used[a.rcpt.partition("@")[2]].add(a.local.rpartition(":")[0])
    check(used["d001.test"] <= {"127.4.1.1", "127.4.1.2"}, f"d001.test went to {used['d001.test']}, not to its preference 10")
    check(len(used["equal.test"]) >= 3, f"four equal MX, but only {used['equal.test']} were used for 120 messages")
    check(used["second.test"] == {"127.4.205.2"}, f"second.test went to {used['second.test']}")
    check(used["implicit.test"] == {"127.4.201.1"}, f"implicit MX: {used['implicit.test']}")


def test_ipv6(lab):
    "a domain with IPv6 only is reached from the IPv6 source, one with both over either; without an IPv6 source the reason is told"
    sink = lab.sink()
    t = lab.todoku(sources=[("127.0.1.1", "mx1.sender.test", ["a"]), ("::1", "mx6.sender.test", ["a"])])
    loads = [Load(["v6only.test"], SENDER, 10, prefix="only").run(*t.smtp), Load(["v6.test"], SENDER, 10, prefix="both").run(*t.smtp),
             Load(["d001.test"], SENDER, 10, prefix="four").run(*t.smtp)]
    sink.wait_count(30, 20, alive=t.daemon)
    whole(loads, sink)
    pairs = {"only": {"::1"}, "four": {"127.0.1.1"}}
    for a in sink.arrivals():
        check(a.peer in pairs.get(a.id[:4], {"::1", "127.0.1.1"}), f"{a.rcpt} was sent from {a.peer}")
        check((":" in a.peer) == ("[" in a.local) and a.helo == ("mx6.sender.test" if ":" in a.peer else "mx1.sender.test"), f"{a}")
    t.stop()
    four = lab.todoku(name="four")
    lab.send(four, "bob@v6only.test")
    event = until("a verdict", lambda: [e for e in four.events(to="bob@v6only.test") if e["event"] in ("deferred", "bounced")], 15, every=0.2)[0]
    check(event.get("reply"), f"{event['event']} without a reason: {event}")


def test_http(lab):
    "POST /v1/messages: raw and composed mail arrive; the id leads to the history"
    sink = lab.sink()
    t = lab.todoku()
    raw = mail("raw", id_="raw1").decode()
    status, answer, _ = t.post("/v1/messages", {"from": SENDER, "to": ["a@d001.test", "b@d002.test"], "raw": raw, "tags": {"batch": "7"}})
    check(status == 202 and answer.get("id") and len(answer.get("recipients", [])) == 2, f"{status}: {answer}")
    check({r["address"] for r in answer["recipients"]} == {"a@d001.test", "b@d002.test"}, f"recipients: {answer['recipients']}")
    composed = {"from": SENDER, "to": ["c@d003.test"], "subject": "Grüße", "text": "Hällo\n", "html": "<p>Hällo</p>", "headers": {"X-Test-Id": "composed1"}}
    status, second, _ = t.post("/v1/messages", composed)
    check(status == 202, f"composed: {status}: {second}")
    sink.wait_count(3, 20, alive=t.daemon)
    got = {(a.id, a.rcpt) for a in sink.arrivals()}
    check(got == {("raw1", "a@d001.test"), ("raw1", "b@d002.test"), ("composed1", "c@d003.test")}, f"arrived: {got}")
    event = t.wait_event(event="delivered", to="a@d001.test")
    check(event.get("tags") == {"batch": "7"}, f"the tags did not come back: {event}")
    check(event.get("message") == answer["id"], f"the event names message {event.get('message')}, the answer {answer['id']}")
    history = json.dumps(t.get_json(f"/v1/messages/{answer['id']}"))
    check("a@d001.test" in history and "delivered" in history, f"history: {history[:400]}")


def test_idempotency(lab):
    "an Idempotency-Key repeated gives the same id and one message; with another body 422"
    sink = lab.sink()
    t = lab.todoku()
    body = {"from": SENDER, "to": ["a@d001.test"], "subject": "once", "text": "once", "headers": {"X-Test-Id": "once"}}
    first, again = (t.post("/v1/messages", body, Idempotency_Key="k-1") for _ in (1, 2))
    check(first[0] == again[0] == 202 and first[1]["id"] == again[1]["id"], f"{first[:2]} and {again[:2]}")
    status, problem, kind = t.post("/v1/messages", {**body, "text": "other"}, Idempotency_Key="k-1")
    check(status == 422, f"another body under the same key: {status} {problem}")
    check(kind.startswith("application/problem+json"), f"the 422 is {kind}")
    t.stop()
    t.start()
    after = t.post("/v1/messages", body, Idempotency_Key="k-1")
    check(after[0] == 202 and after[1]["id"] == first[1]["id"], f"after a restart the key is forgotten: {after[:2]}")
    status, other, _ = t.post("/v1/messages", {**body, "to": ["z@d001.test"]}, Idempotency_Key="k-2")
    check(status == 202 and other["id"] != first[1]["id"], "another key gave the same message")
    sink.wait_count(2, 15, alive=t.daemon)
    t.stop()
    check(sink.count() == 2, f"{sink.count()} deliveries of 2 messages")


def test_bounce_to_sender(lab):
    "a 550 bounces at once; with dsn: failure the sender gets a delivery report from the null sender (RFC 3464)"
    sink = lab.sink(keep=True)
    t = lab.todoku(more={"delivery": {"dsn": "failure"}})
    reply = lab.send(t, "fail550.bob@d001.test", "ok@d001.test")
    check(reply.startswith("250"), reply)
    event = t.wait_event(event="bounced", to="fail550.bob@d001.test")
    check(event["code"] == 550 and str(event.get("enhanced", "")).startswith("5.1.1"), f"the event: {event}")
    sink.wait_count(2, 20, alive=t.daemon)
    reports = [a for a in sink.arrivals() if a.rcpt == SENDER]
    check(len(reports) == 1 and reports[0].sender == "<>", f"delivery reports: {reports}")
    texts = [m for _, m in sink.contents() if b"multipart/report" in m]
    check(len(texts) == 1, "no multipart/report arrived")
    report = email.message_from_bytes(texts[0])
    status = [p for p in report.walk() if p.get_content_type() == "message/delivery-status"]
    check(len(status) == 1, f"the report's parts: {[p.get_content_type() for p in report.walk()]}")
    fields = status[0].as_string()
    for wanted in ("Action: failed", "Status: 5.1.1", "fail550.bob@d001.test"):
        check(wanted in fields, f"no {wanted} in the delivery-status part: {fields}")


def test_greylisting(lab):
    "a recipient deferred with 451 is tried again and delivered; nobody else of the message gets it twice"
    sink = lab.sink()
    t = lab.todoku()
    queue_id(lab.send(t, "grey451@d001.test", "plain@d001.test", "other@d002.test"))
    sink.wait_count(3, 20, alive=t.daemon)
    t.wait_event(event="deferred", to="grey451@d001.test")
    check(sorted(a.rcpt for a in sink.arrivals()) == ["grey451@d001.test", "other@d002.test", "plain@d001.test"], "someone got it twice")


def test_receiver_without_8bitmime(lab):
    "a receiver without 8BITMIME and PIPELINING gets a converted copy that decodes to the same text"
    sink = lab.sink(without=["8BITMIME", "PIPELINING", "SMTPUTF8"], keep=True)
    t = lab.todoku()
    text = "Grüße, 届く\r\n" * 5
    kind = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    queue_id(lab.send(t, "a@d001.test", message=mail("eight", body=text, extra=kind)))
    sink.wait_count(1, 15, alive=t.daemon)
    (_, got), = sink.contents()
    check(max(got) < 128, "8-bit bytes were sent to a receiver without 8BITMIME")
    decoded = email.message_from_bytes(got).get_payload(decode=True).decode().replace("\r\n", "\n")
    check(decoded == text.replace("\r\n", "\n"), f"decoded to {decoded!r}")

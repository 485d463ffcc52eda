"""Who goes first through a narrow lane: classes, tenants and campaigns, as the receiver sees it."""
import collections
import time

from daemon import until
from lab import SENDER, Load, Smtp, check, mail, whole
from test_keys import log_in, make_key

# Every domain of the lab is one provider's, and one source sends: a single lane, 100 messages a second.
RATE = 100
LANE = {"providers": [{"name": "default", "connections": 10},
                      {"name": "big", "match": {"mx_suffix": ["test"]}, "connections": 5, "messages_per_connection": 0, "rate": f"{RATE}/s"}]}
DOMAINS = [f"d{i:03d}.test" for i in range(10)]


def send_all(smtp, messages):
    """Hand them in one after the other; [wall-clock time of each 250]."""
    times = []
    for rcpt, content in messages:
        reply, refused = smtp.send(SENDER, [rcpt], content)
        check(reply.startswith("250") and not refused, f"{rcpt}: {reply}")
        times.append(time.time())
    return times


def test_transactional_first(lab):
    "50 transactional messages behind 3,000 bulk ones of other campaigns at the same provider are out first: p99 within 1 s beyond the lane's rate; bulk goes on"
    sink = lab.sink()
    t = lab.todoku(more=LANE)
    bulk = Load(DOMAINS, SENDER, 3000, prefix="b", header="X-Todoku-Priority: bulk\r\nX-Todoku-Campaign: news").run(*t.smtp, connections=4)
    check(not bulk.refused and not bulk.unknown, f"{len(bulk.refused)} refused")
    sink.wait_count(20, 20, alive=t.daemon)
    urgent = [(f"u{i}@{DOMAINS[i % 10]}", mail(f"u{i}", extra="X-Todoku-Priority: transactional\r\nX-Todoku-Campaign: codes\r\n")) for i in range(50)]
    with Smtp(*t.smtp) as smtp:
        smtp.hello()
        taken = send_all(smtp, urgent)
    sink.wait_count(20 + 50, 20, alive=t.daemon)
    deadline = time.monotonic() + 15
    while sum(a.id.startswith("u") for a in sink.arrivals()) < 50 and time.monotonic() < deadline:
        time.sleep(0.1)
    arrived = {a.id: a.time for a in sink.arrivals() if a.id.startswith("u")}
    check(len(arrived) == 50, f"{len(arrived)} of 50 urgent messages arrived; {sink.count()} in all")
    # The i-th of them could not have gone earlier than i places after the first, by the lane's own rate.
    waits = sorted(arrived[f"u{i}"] - max(taken[i], taken[0] + i / RATE) for i in range(50))
    check(waits[-1] <= 1.0, f"the slowest waited {waits[-1]:.2f} s beyond the lane's rate, half of them {waits[25]:.2f} s")
    begin, end = min(taken), max(arrived.values())
    between = sum(a.id.startswith("b") and begin <= a.time <= end for a in sink.arrivals())
    check(between > 0 or end - begin < 0.5, f"no bulk message moved for {end - begin:.1f} s")
    print(f"        urgent: half waited {waits[25] * 1000:.0f} ms, the slowest {waits[-1] * 1000:.0f} ms; {between} bulk messages in between")
    t.stop()


def test_tenants_share(lab):
    "two tenants with queued mail at one provider get half of the lane each, though one has 20 campaigns and five times the mail"
    sink = lab.sink()
    tenants = [{"id": "acme", "pools": ["a"], "domains": ["sender.test"]}, {"id": "small", "pools": ["a"], "domains": ["sender.test"]}]
    t = lab.todoku(start=False, more={**LANE, "coordinator": {"keys_file": str(lab.work / "keys")}, "tenants": tenants})
    key = make_key(t, "--tenant", "small")
    t.start()
    with Smtp(*t.smtp) as smtp:
        smtp.hello()
        send_all(smtp, [(f"a{i}@{DOMAINS[i % 10]}", mail(f"a{i}", extra=f"X-Todoku-Campaign: c{i % 20}\r\n")) for i in range(2000)])
    smtp, reply = log_in(t, "small", key)
    check(reply.startswith("235"), reply)
    begin = send_all(smtp, [(f"s{i}@{DOMAINS[i % 10]}", mail(f"s{i}")) for i in range(400)])[-1]
    smtp.close()
    sink.wait_count(RATE * 3, 30, alive=t.daemon)
    time.sleep(4)
    window = [a for a in sink.arrivals() if begin + 0.3 <= a.time <= begin + 3.3]
    share = collections.Counter(a.id[0] for a in window)
    check(len(window) > 2 * RATE, f"only {len(window)} messages in 3 s at {RATE}/s")
    check(0.42 <= share["s"] / len(window) <= 0.58, f"of {len(window)} messages {dict(share)}")
    t.stop()


def test_send_at_and_max_age(lab):
    "a message for later goes at its time, not before; one that is deferred too long expires"
    sink = lab.sink()
    t = lab.todoku(more={"delivery": {"retry": ["1s"], "max_age": "6s"}})
    when = time.time() + 3
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when + 1))
    with Smtp(*t.smtp) as smtp:
        smtp.hello()
        send_all(smtp, [("later@d000.test", mail("later", extra=f"X-Todoku-Send-At: {stamp}\r\n")), ("now@d000.test", mail("now")),
                        ("defer451never@d000.test", mail("never"))])
    until("both to arrive", lambda: {"now", "later"} <= {a.id for a in sink.arrivals()}, 15, alive=t.daemon)
    arrived = {a.id: a.time for a in sink.arrivals()}
    check(arrived["now"] < when, "the one for now waited for the other")
    check(int(when + 1) <= arrived["later"] <= when + 3, f"the one for {stamp} arrived {arrived['later'] - when - 1:+.2f} s off")
    event = t.wait_event(seconds=15, event="expired")
    check(event["to"] == "defer451never@d000.test", f"expired: {event}")
    t.stop()

"""kill -9 in the middle: what got 250 arrives, and only what was in flight may arrive twice."""
import threading
import time

from dns import DOMAINS, SETS
from lab import SENDER, Load, check, stop_amid_sending, whole

# Domains of four MX sets: 2 sources x 4 providers x 5 connections = 40 attempts in flight at most.
FEW = [d for i, d in enumerate(DOMAINS) if i % SETS < 4]
SOURCES = [("127.0.1.1", "mx1.sender.test", ["a"]), ("127.0.1.2", "mx2.sender.test", ["a"])]
CONNECTIONS = 5
BOUND = len(SOURCES) * 4 * CONNECTIONS
LIMITS = {"providers": [{"name": "default", "connections": CONNECTIONS, "messages_per_connection": 100, "rate": "none"}]}


def test_kill_in_the_middle(lab):
    "kill -9 amid 10,000 messages: nothing with 250 is lost, at most 40 (all connections) are doubled"
    sink = lab.sink()
    t = lab.todoku(sources=SOURCES, more=LIMITS)
    first = Load(FEW, SENDER, 10000, prefix="k", size=1500)
    sender = threading.Thread(target=first.run, args=t.smtp, kwargs={"connections": 8}, daemon=True)
    sender.start()
    deadline = time.monotonic() + 60
    while sink.count() < 2500 and time.monotonic() < deadline and t.daemon.exit_status() is None:
        time.sleep(0.01)
    t.kill()
    killed_at = sink.count()
    sender.join(30)
    accepted = len(first.accepted)
    check(killed_at >= 2500, f"only {killed_at} deliveries within 60 s\n{t.daemon.tail()}")
    check(accepted < 10000, "all was accepted before the kill: the test proves nothing")
    t.start(seconds=30)
    first.run(*t.smtp)
    check(not first.refused, f"refused after the restart: {list(first.refused.values())[:3]}")
    check(len(first.accepted) + len(first.unknown) == 10000, "messages without an outcome")
    wanted = {(id_, m.rcpts[0]) for id_, m in first.accepted.items()}
    deadline = time.monotonic() + 60
    while not wanted <= set(sink.by_key()) and time.monotonic() < deadline:
        time.sleep(0.3)
    t.stop()
    report = whole(first, sink, doubled=BOUND)
    print(f"        killed after {killed_at} deliveries with {accepted} accepted; {len(report.doubled)} doubled (bound {BOUND}), "
          f"{len(first.unknown)} without an answer")


def test_kill_with_a_queue(lab):
    "kill -9 with 1,000 messages queued and nothing in flight: all arrive, none twice"
    t = lab.todoku(sources=SOURCES, more={**LIMITS, "delivery": {"retry": ["3s"]}})
    load = Load(["down.test"], SENDER, 1000, prefix="q").run(*t.smtp)
    check(len(load.accepted) == 1000, f"accepted {len(load.accepted)}: {list(load.refused.values())[:2]}")
    t.wait_event(event="deferred")
    t.kill()
    sink = lab.sink(listen=["127.4.206.1"])
    t.start()
    sink.wait_count(1000, 60, alive=t.daemon)
    t.stop()
    whole(load, sink)


def test_clean_stop(lab):
    "SIGTERM amid sending, three times over: nothing lost, nothing doubled"
    sink = lab.sink()
    t = lab.todoku(sources=SOURCES, more=LIMITS)
    load = Load(FEW, SENDER, 6000, prefix="s", size=1500)
    stop_amid_sending(t, sink, load, 1200, connections=4)
    t.stop()
    whole(load, sink)

"""Work spread over several loops, which this machine alone might not do: the same promises, with threads between intake, core and sockets."""
import threading

from dns import DOMAINS
from lab import SENDER, TWO_POOLS, Load, Smtp, check, mail, queue_id, stop_amid_sending, whole
from peers import certificate

FOUR = {"node": {"loops": 4}, "coordinator": {"loops": 4}}
MANY = {"providers": [{"name": "default", "connections": 4, "messages_per_connection": 20, "rate": "none"}]}


def test_encrypted(lab):
    "four loops: 3,000 messages go to 100 domains over TLS and arrive once each, unchanged; clients with TLS and reloads meanwhile change nothing"
    cert, key = certificate(lab.work / "tls", "todoku.test")
    sink = lab.sink(tls=(cert, key))
    t = lab.todoku(sources=TWO_POOLS, more={**MANY, **FOUR}, start=False)
    t.write_config({"coordinator": {"smtp": [{"listen": "%s:%d" % t.smtp, "tls_cert": str(cert), "tls_key": str(key)}]}})
    t.start()
    load = Load(DOMAINS, SENDER, 3000, prefix="e", rcpts=(1, 2))
    sender = threading.Thread(target=load.run, args=t.smtp, daemon=True)
    sender.start()
    for i in range(10):
        with Smtp(*t.smtp) as smtp:
            smtp.hello()
            smtp.starttls()
            queue_id(smtp.send(SENDER, [f"tls{i}@d001.test"], mail(id_=f"tls{i}"))[0])
        t.reload()
    sender.join(60)
    check(not load.refused and not load.unknown, f"refused: {list(load.refused.values())[:3]}, unanswered: {len(load.unknown)}")
    sink.wait_count(len(load.deliveries()) + 10, 60, alive=t.daemon)
    check(all(e.get("tls") for e in t.events(event="delivered", limit=100)), "some went in clear text")
    t.stop()
    whole(load, sink, uninvited=False)


def test_long_bodies(lab):
    "four loops: bodies of 8 MiB, one of nothing but dots, arrive once; those cut off by a reset go again"
    sink = lab.sink(trouble=["body:reset*3"])
    t = lab.todoku(more={**MANY, **FOUR})
    dots, text = b"..\r\n" * (1 << 20), (b"x" * 998 + b"\r\n") * 8192
    head = b"From: <%s>\r\nX-Test-Id: %s\r\n\r\n"
    with Smtp(*t.smtp) as smtp:
        smtp.hello()
        for name, body in (("dots", dots), ("text", text), ("more", text)):
            queue_id(smtp.send(SENDER, [f"{name}@d00{len(name)}.test"], head % (SENDER.encode(), name.encode()) + body)[0])
    sink.wait_count(3, 60, alive=t.daemon)
    t.stop()
    sizes = {a.id: a.bytes for a in sink.arrivals()}
    check(len(sink.arrivals()) == 3, f"{len(sink.arrivals())} arrived, not 3")
    check(sizes["dots"] > 3 << 20 and sizes["text"] > 8000000 and sizes["more"] == sizes["text"], f"sizes: {sizes}")


def test_stop_amid_sending(lab):
    "four loops: SIGTERM amid sending, three times over: nothing lost, nothing doubled; the last time with clients that never say QUIT"
    sink = lab.sink()
    t = lab.todoku(sources=TWO_POOLS, more={**MANY, **FOUR})
    load = Load(DOMAINS[:20], SENDER, 4000, prefix="s", size=1500)
    stop_amid_sending(t, sink, load, 800, connections=6)
    with Smtp(*t.smtp) as idle:
        idle.hello()
        t.stop()
    whole(load, sink)

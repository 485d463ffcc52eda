"""A day in its life: started as root, reloaded, asked questions, stopped, started twice by mistake."""
import json
import os
import re
import socket
import time

from daemon import Skip, until
from lab import SENDER, TWO_POOLS, Load, as_root, check, mail, queue_id, whole


def status_line(pid, name):
    for line in open(f"/proc/{pid}/status", encoding="ascii"):
        if line.startswith(name + ":"):
            return line.split()[1:]
    return []


def test_drop_to_user(lab):
    "with `user: nobody` it holds nobody's rights only, listens where root bound, and still delivers"
    if not as_root():
        raise Skip("needs root to drop from")
    import pwd
    nobody = pwd.getpwnam("nobody")
    sink = lab.sink()
    closed = [str(p) for p in lab.work.parents if not p.stat().st_mode & 0o001]
    if closed:
        raise Skip(f"nobody may not enter {closed[-1]}")
    t = lab.todoku(start=False, more={"user": "nobody"})
    t.data.mkdir()
    os.chown(t.data, nobody.pw_uid, nobody.pw_gid)
    t.start()
    pid = t.daemon.pid
    check(status_line(pid, "Uid") == [str(nobody.pw_uid)] * 4, f"uids {status_line(pid, 'Uid')}")
    check(status_line(pid, "Gid") == [str(nobody.pw_gid)] * 4, f"gids {status_line(pid, 'Gid')}")
    check("0" not in status_line(pid, "Groups"), "still in root's group")
    for kind in ("CapEff", "CapPrm"):
        rights = int(status_line(pid, kind)[0], 16)
        check(rights & ~(1 << 10) == 0, f"{kind} {rights:#x}: more than CAP_NET_BIND_SERVICE")
    load = Load(["d001.test", "d002.test"], SENDER, 50).run(*t.smtp)
    sink.wait_count(50, 15, alive=t.daemon)
    t.stop()
    whole(load, sink)


def test_reload(lab):
    "SIGHUP amid 3,000 messages: a changed config takes effect, a broken one is told and ignored, nothing is lost or doubled"
    sink = lab.sink()
    t = lab.todoku()
    load = Load(["d001.test", "d002.test", "d003.test"], SENDER, 1000, prefix="r").run(*t.smtp)
    check(not lab.send(t, "x@d001.test", sender="ceo@other.test").startswith("250"), "other.test was allowed before the reload")
    t.write_config({"tenants": [{"id": "acme", "pools": ["a"], "domains": ["sender.test", "other.test"]}]})
    t.reload()
    second = Load(["d001.test", "d002.test", "d003.test"], SENDER, 1000, prefix="t").run(*t.smtp)
    until("the new From domain to be allowed", lambda: lab.send(t, "after@d001.test", sender="ceo@other.test").startswith("250"), 10, every=0.3)
    good = t.file.read_text()
    t.file.write_text(good + "nonsense: 1\n")
    t.reload()
    t.daemon.wait_text("nonsense", 10)
    third = Load(["d001.test", "d002.test", "d003.test"], SENDER, 1000, prefix="u").run(*t.smtp)
    sink.wait_count(3001, 40, alive=t.daemon)
    t.stop()
    whole([load, second, third], sink)


def test_stop_finishes(lab):
    "SIGTERM with slow deliveries in flight: they finish, status 0, within seconds, and are not sent again"
    sink = lab.sink()
    t = lab.todoku()
    load = Load([f"d{i:03d}.test" for i in range(40)], SENDER, 2000, size=30000).run(*t.smtp)
    start = time.monotonic()
    t.stop(15)
    took = time.monotonic() - start
    t.start()
    sink.wait_count(len(load.deliveries()), 40, alive=t.daemon)
    t.stop()
    whole(load, sink)
    check(took < 15, f"the stop took {took:.1f} s")


def test_second_start(lab):
    "a second process on the same data_dir is refused with a sentence; the first is not disturbed"
    sink = lab.sink()
    first = lab.todoku()
    second = lab.todoku(start=False, name="second", more={"node": {"data_dir": str(first.data)}})
    second.start(ready=False)
    code = second.daemon.wait_exit(15)
    check(code in (1, 2), f"ended with {code}")
    check(str(first.data) in second.text() and re.search(r"lock|in use|another|already", second.text(), re.I), f"said: {second.text()}")
    queue_id(lab.send(first, "bob@d001.test"))
    sink.wait_count(1, 10, alive=first.daemon)


def test_commands(lab):
    "status, queues, lanes, sources, message, messages, explain, send, events: tables for people, --json for programs"
    sink = lab.sink()
    t = lab.todoku(sources=TWO_POOLS)
    id_ = queue_id(lab.send(t, "bob@d001.test", "fail550@d002.test"))
    queue_id(lab.send(t, "defer451.later@d004.test"))
    sink.wait_count(1, 10, alive=t.daemon)
    t.wait_event(event="bounced", to="fail550@d002.test")
    for command in ("status", "queues", "lanes", "sources", "nodes", "providers", "tenants"):
        done = t.cli(command)
        check(done.returncode == 0 and done.stdout.strip(), f"{command}: {done.returncode} {done.stderr}")
        check("\x1b" not in done.stdout, f"{command}: colour though this is no terminal")
        objects = t.cli_json(command)
        check(objects and all(isinstance(o, dict) for o in objects), f"{command} --json: {objects}")
    check({o.get("address") for o in t.cli_json("sources")} == {a for a, _, _ in TWO_POOLS}, "sources --json doesn't list the four")
    history = json.dumps(t.cli_json("message", id_))
    check("bob@d001.test" in history and "delivered" in history and "bounced" in history, f"message: {history[:500]}")
    for field, value in (("--to", "bob@d001.test"), ("--tenant", "acme")):
        found = json.dumps(t.cli_json("messages", field, value))
        check(id_ in found, f"messages {field} {value}: {found[:300]}")
    check(t.cli_json("messages", "--to", "nobody@nowhere.test") == [], "messages --to nobody found something")
    why = t.cli("explain", "bob@d001.test")
    check(why.returncode == 0 and "mx1.set01.test" in why.stdout and re.search(r"127\.0\.1\.[12]", why.stdout), f"explain: {why.stdout}{why.stderr}")
    sent = t.cli("send", "--from", SENDER, "--to", "carol@d003.test", "--campaign", "spring", "-", input=mail("sent", id_="sent").decode())
    check(sent.returncode == 0, f"send: {sent.returncode} {sent.stderr}")
    sink.wait_count(2, 10, alive=t.daemon)
    event = t.wait_event(event="delivered", to="carol@d003.test")
    check(event["campaign"] == "spring" and event["message"] in sent.stdout, f"send printed {sent.stdout!r}, the event is {event}")
    unknown = t.cli("message", "0000000000nosuchid")
    check(unknown.returncode == 1 and unknown.stderr.strip(), f"message of an unknown id: {unknown.returncode} {unknown.stderr!r}")
    last = max(a for a, _, _ in TWO_POOLS)
    check([o["address"] for o in t.cli_json("sources", "--sort", "-address", "--limit", "1")] == [last], "sources --json is not sorted, or not limited")
    for wrong in (["nosuchcommand"], ["queues", "--nosuchoption"], ["send"], ["sources", "--json", "--sort", "nosuch"],
                  ["dkim", "--generate", t.dir / "no.pem", "--bits", "2048x"], ["dkim", "--generate", t.dir / "no.pem", "--json"]):
        done = t.cli(*wrong)
        check(done.returncode == 2 and done.stderr.strip(), f"{' '.join(map(str, wrong))}: status {done.returncode}, not 2; {done.stderr!r}")
    t.stop()
    away = t.cli("status")
    check(away.returncode == 1 and str(t.http[1]) in away.stderr, f"status without a server: {away.returncode} {away.stderr!r}")


def test_events(lab):
    "every delivery leaves accepted and one final event with the promised fields and its own cursor"
    sink = lab.sink()
    t = lab.todoku()
    load = Load(["d001.test", "d002.test"], SENDER, 20, rcpts=(2, 2)).run(*t.smtp)
    sink.wait_count(40, 15, alive=t.daemon)
    until("40 delivered events", lambda: len(t.events(event="delivered")) == 40, 10, every=0.2, alive=t.daemon)
    fields = {"time", "cursor", "event", "id", "message", "tenant", "from", "to", "domain", "provider", "node", "source", "mx", "attempt", "code",
              "reply", "category", "queued_ms", "size"}
    for e in t.events(event="delivered"):
        check(fields <= set(e), f"missing in {e}: {sorted(fields - set(e))}")
        check(e["tenant"] == "acme" and e["node"] == "n1" and e["source"] == "127.0.1.1" and e["code"] == 250 and e["attempt"] == 1, f"{e}")
    accepted = {e["id"] for e in t.events(event="accepted")}
    delivered = [e["id"] for e in t.events(event="delivered")]
    check(len(set(delivered)) == 40 and set(delivered) <= accepted, "delivered ids differ from accepted ones")
    cursors = [e["cursor"] for e in t.events()]
    check(len(set(cursors)) == len(cursors), "a cursor was used twice")
    check(len(load.accepted) == 20, "not all were accepted")


def test_event_stream(lab):
    "GET /v1/events streams events as they happen, as server-sent events"
    sink = lab.sink()
    t = lab.todoku()
    with socket.create_connection(t.http, timeout=10) as s, s.makefile("rb") as lines:
        s.sendall(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
        head = b"".join(iter(lines.readline, b"\r\n")).lower()
        check(b" 200 " in head and b"text/event-stream" in head, f"answered {head[:200]}")
        id_ = queue_id(lab.send(t, "bob@d001.test"))
        sink.wait_count(1, 10, alive=t.daemon)
        deadline, seen = time.monotonic() + 10, []
        while time.monotonic() < deadline and "delivered" not in seen:
            line = lines.readline(100000)
            if line.startswith(b"data:"):
                event = json.loads(line[5:])
                if event.get("message") == id_:
                    seen.append(event["event"])
    check(seen == ["accepted", "delivered"], f"the stream told {seen} about the message")


def test_metrics_and_health(lab):
    "/healthz, /readyz, /metrics and the web page answer; the counters count"
    sink = lab.sink()
    t = lab.todoku()
    Load(["d001.test"], SENDER, 25).run(*t.smtp)
    sink.wait_count(25, 10, alive=t.daemon)
    check(t.get("/healthz")[0] == 200 and t.get("/readyz")[0] == 200, "not healthy or not ready")

    def counted(name):
        return sum(float(l.rsplit(" ", 1)[1]) for l in t.get("/metrics")[2].splitlines() if l.startswith(name))

    until("todoku_delivered... to reach 25", lambda: counted("todoku_delivered") >= 25, 10, every=0.3)
    status, headers, page = t.get("/")
    check(status == 200 and "html" in headers.get("Content-Type", "") and "<" in page, f"the page: {status} {headers.get('Content-Type')}")

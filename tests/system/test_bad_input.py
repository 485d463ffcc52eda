"""Everything that comes in wrong: config, disk, names, receivers, clients. A clear answer each time, and no other mail suffers."""
import contextlib
import json
import re
import socket
import time

from daemon import LabError, Skip, until
from dns import TROUBLES, TROUBLE_ADDRESS
from lab import SENDER, Load, Smtp, as_root, check, mail, whole
from todoku import yaml

HEALTHY = "d001.test"


def refuses_to_start(t, *words, status=None):
    """It must end by itself with a message that holds all the words (regular expressions), without a crash."""
    t.start(ready=False)
    code = t.daemon.wait_exit(15)
    check(code in ((status,) if status is not None else (1, 2)), f"ended with status {code}\n{t.daemon.tail()}")
    for word in words:
        check(re.search(word, t.text(), re.I), f"the message doesn't say {word!r}:\n{t.text()}")


# ---- config ----

def test_config_faults(lab):
    "unknown key, wrong unit, missing file, duplicate key: each named with file:line, nothing starts"
    good = lab.todoku(start=False)
    cases = [
        ({"delivery": {"prot": 25}}, r"todoku\.yaml:\d+(:\d+)?: .*prot"),
        ({"delivery": {"max_age": "4 parsecs"}}, r"todoku\.yaml:\d+(:\d+)?: .*(parsecs|duration)"),
        ({"coordinator": {"intake": {"max_size": "25 elephants"}}}, r"todoku\.yaml:\d+(:\d+)?: .*(elephants|size)"),
        ({"limits": [{"name": "x", "match": {"tenant": "acme"}, "rate": ["5/fortnight"]}]}, r"todoku\.yaml:\d+(:\d+)?: .*(fortnight|rate)"),
        ({"coordinator": {"default_tenant": "nobody"}}, r"todoku\.yaml:\d+(:\d+)?: .*nobody"),
        ({"node": {"sources": [{"address": "127.0.1.300", "helo": "x.test", "pools": ["a"]}]}}, r"todoku\.yaml:\d+(:\d+)?: .*127\.0\.1\.300"),
    ]
    for more, words in cases:
        t = lab.todoku(start=False, more=more)
        refuses_to_start(t, words, status=2)
    listener = {"listen": "%s:%d" % good.smtp, "tls_cert": "nowhere.pem", "tls_key": "nowhere.key"}
    refuses_to_start(lab.todoku(start=False, more={"coordinator": {"smtp": [listener]}}), r"nowhere\.(pem|key)", "No such file|not found|missing")
    good.file.write_text(yaml(good.config) + "delivery: {}\n")
    refuses_to_start(good, r"todoku\.yaml:\d+(:\d+)?: .*(twice|duplicate|again|already).*delivery|delivery.*(twice|duplicate|again|already)", status=2)
    good.file.write_text("")
    refuses_to_start(good, "empty", status=2)
    good.file.unlink()
    refuses_to_start(good, r"todoku\.yaml", "No such file|not found|missing")


def test_many_faults_at_once(lab):
    "`todoku check` lists several faults in one pass, each with its line, and ends with 2; a good file with 0"
    t = lab.todoku(start=False)
    done = t.cli("check", "-c", t.file)
    check(done.returncode == 0, f"a good config: {done.returncode} {done.stdout}{done.stderr}")
    lines = ["node:", f"  data_dir: {t.data}", "  windwo: 1MiB", "  sources:", "    - { address: 127.0.1.1, helo: mx1.sender.test, pools: [nopool] }",
             "delivery:", "  retry: [5m, soon]", "colour: blue"]
    t.file.write_text("\n".join(lines) + "\n")
    done = t.cli("check", "-c", t.file)
    text = done.stdout + done.stderr
    check(done.returncode == 2, f"status {done.returncode}, not 2: {text}")
    for line, word in ((3, "windwo"), (5, "nopool"), (7, "soon"), (8, "colour")):
        check(re.search(rf"todoku\.yaml:{line}(:\d+)?: .*{word}", text), f"no fault at line {line} about {word}:\n{text}")


def test_port_in_use(lab):
    "a taken port ends the start with the address and the reason"
    t = lab.todoku(start=False)
    with socket.socket() as taken:
        taken.bind(t.smtp)
        taken.listen()
        refuses_to_start(t, str(t.smtp[1]), "in use")


def test_address_not_ours(lab):
    "a source address this machine doesn't have is told at the start, not at the first message"
    t = lab.todoku(start=False, sources=[("203.0.113.77", "mx1.sender.test", ["a"])])
    refuses_to_start(t, r"203\.0\.113\.77")


# ---- disk ----

def test_full_disk(lab):
    "a full disk: intake answers 451, what was accepted is delivered, and intake opens again when there is room"
    if not as_root():
        raise Skip("mounting a small tmpfs needs root")
    t = lab.todoku(start=False, more={"node": {"spool": {"reserve": "6MiB", "segment": "4MiB"}}, "delivery": {"retry": ["2s"]}})
    t.data.mkdir()
    t.wrap = ["unshare", "--mount", "/bin/sh", "-c", f'mount -t tmpfs -o size=24m lab "{t.data}" && exec "$0" "$@"']
    t.start()
    load = Load(["down.test"], SENDER, 4000, prefix="f", size=20000, own=True).run(*t.smtp, connections=40)
    check(load.refused, f"24 MiB took {len(load.accepted)} messages of 20 kB without a complaint")
    odd = [r for r in load.refused.values() if not re.match(r"451 4\.\d+\.\d+ ", r)]
    check(not odd, f"refusals that are no 451: {odd[:3]}")
    check(not load.unknown, f"{len(load.unknown)} messages got no answer: the connection was lost")
    check(t.daemon.exit_status() is None, f"it ended\n{t.daemon.tail()}")
    check(len(load.accepted) > 200, f"only {len(load.accepted)} were accepted")
    sink = lab.sink(listen=["127.4.206.1"])
    sink.wait_count(len(load.deliveries()), 60, alive=t.daemon)
    whole(load, sink)
    until("intake to open again", lambda: lab.send(t, "after@down.test").startswith("250"), 20, every=0.5)
    sink.wait_count(len(load.deliveries()) + 1, 20, alive=t.daemon)
    t.stop()


def newest_file(folder):
    files = [p for p in folder.rglob("*") if p.is_file() and p.stat().st_size > 4096]
    check(files, f"no data file under {folder}")
    return max(files, key=lambda p: (p.stat().st_mtime, p.stat().st_size))


def test_corrupt_spool(lab):
    "flipped bytes in the middle of the spool: the start says which file and where, all other messages are delivered"
    t = lab.todoku(more={"delivery": {"retry": ["3s"]}})
    load = Load(["down.test"], SENDER, 200, prefix="c", own=True).run(*t.smtp)
    check(len(load.accepted) == 200, f"accepted {len(load.accepted)}")
    t.stop()
    path = newest_file(t.data / "spool")
    at = path.stat().st_size // 4
    with open(path, "r+b") as f:
        f.seek(at)
        old = f.read(8)
        f.seek(at)
        f.write(bytes(b ^ 0x5A for b in old))
    t.start()
    said = [l for l in t.text().splitlines() if path.name in l and re.search(r"damage|corrupt|checksum|crc", l, re.I)]
    check(said, lambda: f"nothing is said about {path.name}:\n{t.daemon.tail(30)}")
    offsets = [int(n) for l in said for n in re.findall(r"\d+", l)]
    check(any(abs(n - at) < 65536 for n in offsets), f"no offset near {at} in: {said}")
    sink = lab.sink(listen=["127.4.206.1"])
    try:
        sink.wait_count(200, 20, alive=t.daemon)
    except LabError:
        pass
    arrived = sink.by_key()
    check(t.daemon.exit_status() is None, f"it ended\n{t.daemon.tail()}")
    check(len(arrived) >= 198, f"only {len(arrived)} of 200 were delivered: one frame was hit")
    check(all(len(v) == 1 for v in arrived.values()), "some were delivered twice")
    good = {m.id: m.hash for m in load.messages}
    check(all(v[0].hash == good[k[0]] for k, v in arrived.items()), "a damaged message was delivered")


test_full_disk.apart = test_corrupt_spool.apart = True  # they wait


# ---- names ----

def test_bad_names(lab):
    "SERVFAIL, silence and garbage from DNS defer; NXDOMAIN bounces at once; other mail flows meanwhile"
    sink = lab.sink()
    bad = lab.bad_dns()
    t = lab.todoku(dns=bad, more={"delivery": {"retry": ["5s"]}})
    kinds = ["servfail", "timeout", "garbage", "short", "wrongid", "loop", "trunc", "formerr", "refused"]
    for kind in kinds:
        check(lab.send(t, f"bob@{kind}.bad.test").startswith("250"), f"{kind}: not accepted")
    lab.send(t, "bob@nx.test", "bob@txtonly.test", "bob@loop1.test", "bob@noaddr.test")
    load = Load([HEALTHY, "d002.test"], SENDER, 50).run(*t.smtp)
    sink.wait_count(50, 10, alive=t.daemon)
    for kind in kinds:
        event = t.wait_event(seconds=25, event="deferred", to=f"bob@{kind}.bad.test")
        check(event.get("reply"), f"{kind}: deferred without a reason: {event}")
    t.wait_event(event="deferred", to="bob@noaddr.test")
    for domain in ("nx.test", "txtonly.test"):
        t.wait_event(event="bounced", to=f"bob@{domain}")
    whole(load, sink)
    check(t.daemon.exit_status() is None, "it ended")


def test_null_mx(lab):
    "a null MX (RFC 7505) bounces at once with 5.1.10"
    t = lab.todoku()
    lab.send(t, "bob@null.test")
    event = t.wait_event(event="bounced", to="bob@null.test", seconds=5)
    check(event.get("enhanced") == "5.1.10", f"{event}")


# ---- receivers ----

def test_bad_receivers(lab):
    "21 receivers that hang, reset, babble or fail STARTTLS: each mail is deferred or bounced, healthy mail flows, nothing is doubled"
    sink = lab.sink(trouble=[f"{TROUBLE_ADDRESS[name]}={trouble}" for name, trouble in TROUBLES])
    short = {"connect": "1s", "greeting": "1s", "command": "1s", "data": "1s", "block": "1s", "dot": "1s"}
    t = lab.todoku(more={"delivery": {"timeouts": short, "retry": ["30s"]}})
    for name, _ in TROUBLES:
        check(lab.send(t, f"bob@{name}.test", subject=name).startswith("250"), f"{name}: not accepted")
    healthy = Load([HEALTHY, "d002.test"], SENDER, 100).run(*t.smtp)
    until("the healthy mail", lambda: {k[0] for k in sink.by_key()} >= set(healthy.accepted), 10, alive=t.daemon)
    check(len(healthy.accepted) == 100, f"accepted {len(healthy.accepted)} of 100")
    fine = {"close-second"}                     # the first message of a connection is taken
    maybe = {"tls-garbage", "tls-inject", "tls-hang"}  # opportunistic TLS may fall back to clear text on a new connection
    until("a verdict for each", lambda: len({e["to"] for e in t.events() if e["event"] in ("deferred", "bounced", "delivered")
                                             and e.get("to", "").startswith("bob@")}) == len(TROUBLES), 40, every=0.5, alive=t.daemon)
    for name, _ in TROUBLES:
        events = t.events(to=f"bob@{name}.test")
        verdicts = {e["event"] for e in events} - {"accepted"}
        if name in fine:
            check(verdicts == {"delivered"}, f"{name}: {verdicts}")
        elif name in maybe:
            check(verdicts <= {"deferred", "delivered"}, f"{name}: {verdicts}")
        else:
            check(verdicts and verdicts <= {"deferred", "bounced"}, f"{name}: {verdicts}")
        check(all(len(e.get("reply", "")) < 10000 for e in events), f"{name}: a reply of {max(len(e.get('reply', '')) for e in events)} bytes was kept")
    injected = [e for e in t.events() if "injected" in e.get("reply", "")]
    check(not injected, f"an injected reply was believed: {injected[:1]}")
    doubled = {k: len(v) for k, v in sink.by_key().items() if len(v) > 1}
    check(not doubled, f"doubled: {doubled}")
    check(t.daemon.exit_status() is None, "it ended")
    t.stop()


def test_trouble_then_fine(lab):
    "a receiver that resets three times and then behaves gets the message once"
    sink = lab.sink(trouble=["body:reset*3"])
    t = lab.todoku()
    lab.send(t, "bob@d000.test", body="A line.\r\n" * 2000)
    sink.wait_count(1, 30, alive=t.daemon)
    time.sleep(1)
    check(sink.count() == 1, f"arrived {sink.count()} times")


# ---- clients ----

def test_open_relay(lab):
    "a client that is not trusted and not logged in may not hand in mail"
    t = lab.todoku(more={"coordinator": {"trusted": ["127.0.0.9/32"]}})
    with Smtp(*t.smtp) as smtp:
        smtp.hello()
        reply, _ = smtp.send(SENDER, ["bob@d001.test"], mail())
        check(re.match(r"5\d\d 5\.7\.\d+ ", reply), f"answered {reply}")
    with Smtp(*t.smtp, local="127.0.0.9") as smtp:
        smtp.hello()
        check(smtp.send(SENDER, ["bob@d001.test"], mail())[0].startswith("250"), "the trusted client was refused")


def test_smtp_refusals(lab):
    "wrong From 550, line too long 550 5.6.0 with its number, too many recipients 452, too large 552, bare CR and LF refused"
    sink = lab.sink()
    t = lab.todoku(more={"coordinator": {"intake": {"max_size": "100KiB", "max_recipients": 5, "max_line": 998}}})

    def refused(pattern, message, what, sender=SENDER, params=""):
        with Smtp(*t.smtp) as smtp:
            smtp.hello()
            reply, _ = smtp.send(sender, ["bob@d001.test"], message, params)
            check(re.match(pattern, reply), f"{what}: answered {reply!r}")

    refused(r"550 5\.7\.", mail(sender="ceo@elsewhere.test"), "From of another domain")
    refused(r"55\d 5\.7\.", mail(), "MAIL FROM of another domain", sender="ceo@elsewhere.test")
    refused(r"550 5\.6\.0 .*\b8\b", mail(body="x" * 1200 + "\r\n"), "line 8 of 1,200 octets")
    refused(r"552 5\.3\.4", mail(body="x" * 70 + "\r\n", extra="X-Pad: 1\r\n") + b"y" * 70 + b"\r\n" * 60000, "120 kB")
    refused(r"552 5\.3\.4", mail(), "SIZE=200000", params=" SIZE=200000")
    refused(r"5\d\d 5\.\d+\.\d+ ", mail().replace(b"Hello.\r\n", b"Hel\nlo.\r\n"), "a bare LF")
    refused(r"5\d\d 5\.\d+\.\d+ ", mail().replace(b"Hello.\r\n", b"Hel\rlo.\r\n"), "a bare CR")
    with Smtp(*t.smtp) as smtp:
        smtp.hello()
        _, turned_away = smtp.send(SENDER, [f"r{i}@d001.test" for i in range(8)], mail("five"))
        check([text[:9] for _, text in turned_away] == ["452 4.5.3"] * 3, f"recipients 6 to 8: {turned_away}")
    sink.wait_count(5, 15, alive=t.daemon)
    check(len(sink.arrivals()) == 5, "something refused was delivered")


def test_smuggling(lab):
    "LF.LF, CR.CR and LF.CRLF do not end a message: no second message can be smuggled in (CVE-2023-51764)"
    sink = lab.sink()
    t = lab.todoku()
    inner = b"MAIL FROM:<news@sender.test>\r\nRCPT TO:<smuggled@d001.test>\r\nDATA\r\n" + mail("smuggled")
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r.\r\n"):
        with Smtp(*t.smtp, seconds=5) as smtp:
            smtp.hello()
            reply, _ = smtp.send(SENDER, ["bob@d001.test"], mail()[:-2] + end + inner)
            check(not reply.startswith("250"), f"accepted with {end!r} in it: {reply}")
    time.sleep(1)
    check(not [a for a in sink.arrivals() if "smuggled" in a.rcpt], "a smuggled message was delivered")


def test_rude_clients(lab):
    "garbage, endless lines, half messages and hang-ups leave the front door open, and no half message is sent"
    sink = lab.sink()
    t = lab.todoku()
    for data in (b"\x00\xff" * 500 + b"\r\n", b"A" * 300000, b"\r\n" * 1000, b"DATA\r\nRCPT TO:<>\r\nMAIL FROM:<>\r\nEHLO\r\n", b"\x16\x03\x01" * 100):
        with Smtp(*t.smtp, seconds=3) as smtp:
            try:
                smtp.say(data)
                smtp.reply()
            except (OSError, LabError):
                pass
    for cut in (1, 200):
        smtp = Smtp(*t.smtp)
        smtp.hello()
        smtp.say(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<half@d001.test>\r\nDATA\r\n")
        for _ in range(3):
            smtp.reply()
        smtp.say(mail("half")[:-cut])
        smtp.close()
    check(lab.send(t, "whole@d001.test").startswith("250"), "the next client was refused")
    sink.wait_count(1, 10, alive=t.daemon)
    time.sleep(0.5)
    check([a.rcpt for a in sink.arrivals()] == ["whole@d001.test"], f"arrived: {[a.rcpt for a in sink.arrivals()]}")


def test_starttls_injection(lab):
    "clear text a client sends together with STARTTLS is dropped, not run after the handshake (CVE-2011-0411)"
    from peers import certificate
    import ssl
    cert, key = certificate(lab.work / "tls", "todoku.test")
    t = lab.todoku(start=False)
    t.write_config({"coordinator": {"smtp": [{"listen": "%s:%d" % t.smtp, "tls_cert": str(cert), "tls_key": str(key)}]}})
    t.start()
    smtp = Smtp(*t.smtp, seconds=5)
    check("STARTTLS" in smtp.hello(), "no STARTTLS offered")
    smtp.say(b"STARTTLS\r\nNOOP injected\r\n")
    smtp.socket.settimeout(0.5)
    clear = b""
    with contextlib.suppress(TimeoutError):
        while chunk := smtp.socket.recv(4096):
            clear += chunk
    check(b"250" not in clear and clear[:1] in b"245", f"the injected command was answered in clear text: {clear!r}")
    if not clear.startswith(b"220 ") or b"\r\n421 " in clear:
        return  # refusing such a client, or ending the session, is as good
    smtp.socket.settimeout(5)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with context.wrap_socket(smtp.socket) as secure:
            secure.sendall(b"EHLO client.test\r\n")
            answer = secure.recv(4096)
        check(b"-" in answer[:4] and answer.startswith(b"250"), f"the first reply under TLS is {answer[:80]!r}: the injected command ran")
    except (ssl.SSLError, ConnectionError):
        pass  # and so is ending the handshake


def test_http_refusals(lab):
    "bad requests get RFC 9457 problem objects with a detail, and the right status"
    t = lab.todoku()
    good = {"from": SENDER, "to": ["a@d001.test"], "subject": "x", "text": "x"}
    cases = [(b"{", 400), (b"[]", 400), ({**good, "to": []}, 400), ({**good, "to": ["not an address"]}, 400), ({**good, "from": "ceo@elsewhere.test"}, 403),
             ({**good, "tags": {str(i): "x" for i in range(11)}}, 400), ({**good, "raw": "x", "text": "y"}, 400), ({**good, "colour": "blue"}, 400),
             ({**good, "send_at": "tomorrowish"}, 400), ({**good, "pool": "nopool"}, 400)]
    for body, want in cases:
        status, problem, kind = t.post("/v1/messages", body)
        shown = body if isinstance(body, bytes) else json.dumps({k: v for k, v in body.items() if good.get(k) != v})
        check(status in (want, 422) if want in (400, 403) else status == want, f"{shown}: {status}, not {want}: {problem}")
        check(kind.startswith("application/problem+json"), f"{shown}: {kind}")
        check(isinstance(problem.get("detail"), str) and len(problem["detail"]) > 10, f"{shown}: no detail: {problem}")
    for method, path, want in (("GET", "/v1/messages/nosuchid", (400, 404)), ("GET", "/v1/nothing", (404,)), ("PUT", "/v1/messages", (405,)), ("GET", "/%00%ff/../..", (400, 404))):
        status, headers, text = t.request(method, path)
        check(status in want, f"{method} {path}: {status}")
        check(headers.get("Content-Type", "").startswith("application/problem+json"), f"{method} {path}: {headers.get('Content-Type')} {text[:100]}")
    status, _, _ = t.request("POST", "/v1/messages", b'{"from":"' + b"x" * 40_000_000 + b'"}')
    check(status in (413, 0), f"40 MB: {status}")
    check(t.get("/readyz")[0] == 200, "not ready any more")

"""The lab tests itself first: a witness that can't see a loss proves nothing."""
import socket
import subprocess
import sys
from pathlib import Path

import daemon
from daemon import PORTS, can_connect, free_port, until
from dns import PEER_ADDRESS, ask
from lab import SENDER, LabError, Load, Smtp, check, mail, whole
from load import check_arrivals, smtp_source


def test_sink_remembers(lab):
    "awkward mail to two addresses arrives in the sink's log byte for byte, IPv6 too"
    sink = lab.sink(listen=["127.0.3.1", "[::1]"])
    loads = [Load(["a.test", "b.test"], SENDER, 300, prefix="four", rcpts=(1, 5)).run("127.0.3.1", lab.port),
             Load(["a.test"], SENDER, 100, prefix="six").run("::1", lab.port)]
    report = whole(loads, sink)
    check(report.expected == report.arrived >= 400, f"expected and arrived differ: {report}")
    check({a.peer for a in sink.arrivals()} == {"127.0.0.1", "::1"}, "the sink saw other peers than 127.0.0.1 and ::1")
    check(sink.stop() == 0 and "400 messages" in sink.text(), f"no summary of 400 messages: {sink.text()}")


def test_witness_sees(lab):
    "lost, doubled, damaged and uninvited deliveries are each noticed"
    sink = lab.sink(listen=["127.0.3.1"])
    load = Load(["a.test"], SENDER, 20).run("127.0.3.1", lab.port)
    with Smtp("127.0.3.1", lab.port) as again:
        again.hello()
        first, second = load.messages[0], load.messages[1]
        again.send(first.sender, first.rcpts, first.header + first.body)
        again.send(second.sender, second.rcpts, second.header + second.body + b"one more line\r\n")
        again.send(SENDER, ["nobody@a.test"], mail(id_="m999999"))
    try:
        whole(load, sink, doubled=2)
        raise AssertionError("a damaged message was not noticed")
    except LabError as error:
        check("arrived with other bytes" in str(error), f"noticed something else: {error}")
    report = check_arrivals(load, sink)
    check(len(report.doubled) == 2 and len(report.damaged) == 1 and len(report.uninvited) == 1, f"seen: {report}")
    load.accepted["m777777"] = load.messages[0]._replace(id="m777777")
    check(len(check_arrivals(load, sink).lost) == 1, "a lost message was not noticed")


def test_sink_misbehaves(lab):
    "each misbehaviour does what its name says, at the address it is set for only"
    troubles = ["127.0.3.1=connect:554", "127.0.3.2=mail:421", "127.0.3.3=mail:long", "127.0.3.4=data:reset", "127.0.3.5=ehlo:endless",
                "127.0.3.6=mail:hang", "127.0.3.7=starttls:inject", "127.0.3.8=mail:close+1", "127.0.3.9=dot:451*1"]
    lab.sink(listen=[f"127.0.3.{i}" for i in range(1, 11)], trouble=troubles)

    def talk(n):
        smtp = lab.keep(Smtp(f"127.0.3.{n}", lab.port, seconds=1))
        return smtp, "" if n == 5 else smtp.hello()

    def dies(action):
        try:
            action()
        except (OSError, LabError):
            return True
        return False

    check(Smtp("127.0.3.1", lab.port).greeting.startswith("554"), "connect:554 greeted otherwise")
    check(talk(2)[0].ask("MAIL FROM:<>").startswith("421"), "mail:421 said otherwise")
    check(len(talk(3)[0].ask("MAIL FROM:<>")) > 99000, "mail:long was short")
    check(dies(lambda: talk(4)[0].send(SENDER, ["x@a.test"], mail())), "data:reset did not reset")
    check(dies(lambda: talk(5)[0].hello()), "ehlo:endless ended")
    check(dies(lambda: talk(6)[0].ask("MAIL FROM:<>")), "mail:hang answered")
    smtp, hello = talk(7)
    check("STARTTLS" in hello, "starttls:inject doesn't offer STARTTLS")
    smtp.say("STARTTLS\r\n")
    check(smtp.reply().startswith("220") and smtp.reply().startswith("250"), "starttls:inject injected nothing")
    smtp, _ = talk(8)
    check(smtp.send(SENDER, ["x@a.test"], mail())[0].startswith("250"), "mail:close+1 closed too early")
    check(dies(lambda: smtp.ask("MAIL FROM:<>")), "mail:close+1 stayed")
    smtp, _ = talk(9)
    replies = [smtp.send(SENDER, ["x@a.test"], mail())[0][:3] for _ in (1, 2)]
    check(replies == ["451", "250"], f"dot:451*1 said {replies}")
    smtp, hello = talk(10)
    check("STARTTLS" not in hello, "a well-behaved address offers STARTTLS")
    rcpts = ["fail550@a.test", "defer451@a.test", "full452@a.test", "grey451@a.test", "ok@a.test"]
    refused = [text[:3] for _, text in smtp.send(SENDER, rcpts, mail())[1]]
    check(refused == ["550", "451", "452", "451"], f"wishes answered with {refused}")
    check(smtp.send(SENDER, ["grey451@a.test"], mail())[1] == [], "grey451 was refused twice")


def test_names(lab):
    "nsd answers for the generated zone; the bad responder goes wrong as asked"
    server, bad = lab.dns.server, lab.bad_dns().server
    want = {"d000.test": (0, 1), "d001.test": (0, 3), "null.test": (0, 1), "equal.test": (0, 4), "implicit.test": (0, 0), "nx.test": (3, 0)}
    for name, answer in want.items():
        for s in (server, bad):
            got = ask(s, name)
            check(got == answer, f"{s} answered {got} for {name}, not {answer}")
    check(ask(bad, "servfail.bad.test") == (2, 0), "servfail.bad.test is no SERVFAIL")
    check(ask(bad, "timeout.bad.test", seconds=0.3) is None, "timeout.bad.test was answered")


def test_real_servers(lab):
    "Postfix, Exim and OpenSMTPD from unpacked packages take a message into their maildirs, over STARTTLS"
    for kind, address in PEER_ADDRESS.items():
        peer = lab.keep(getattr(lab.peers, kind)(lab.work, address, lab.port, domains=[f"{kind}.test"]))
        with Smtp(address, lab.port) as smtp:
            smtp.hello()
            check(peer.says_tls not in peer.text(), f"{kind}'s log tells of TLS before there was any")
            smtp.starttls()
            reply, _ = smtp.send(SENDER, [f"bob@{kind}.test"], mail())
        check(reply.startswith("250"), f"{kind} said {reply}")
        until(f"the message in {kind}'s maildir", lambda: len(peer.messages()) == 1, 10, alive=peer)
        until(f"a word of TLS in {kind}'s log", lambda: peer.says_tls in peer.text(), 5, alive=peer)


def test_smtp_source(lab):
    "Postfix's smtp-source numbers its recipients, so each of its messages can be told apart"
    sink = lab.sink(listen=["127.0.3.1"])
    sent = smtp_source(lab.peers, "127.0.3.1", lab.port, SENDER, "bob@a.test", 200)
    arrived = {a.rcpt for a in sink.arrivals()}
    check(arrived == sent, f"{len(arrived)} of {len(sent)} recipients arrived: {sorted(arrived ^ sent)[:5]}")


def test_relay_whole_way(lab):
    "600 messages through a real Postfix arrive once each: the witness agrees with a relay we trust"
    sink = lab.sink(listen=["127.0.3.1"])
    postfix = lab.keep(lab.peers.postfix(lab.work, "127.0.5.1", lab.port, relayhost=f"[127.0.3.1]:{lab.port}",
                                         more={"smtpd_tls_security_level": "none"}))
    load = Load([f"d{i:03d}.test" for i in range(100)], SENDER, 600, rcpts=(1, 3)).run(postfix.address, lab.port)
    check(len(load.accepted) == 600, f"Postfix accepted {len(load.accepted)} of 600: {list(load.refused.values())[:2]}")
    sink.wait_count(len(load.deliveries()), 60, alive=postfix)
    whole(load, sink)


def test_free_ports(lab):
    "a port in use is not handed out as free, nor one that another process may be given, whoever listens there by then"
    with socket.socket() as s:
        s.bind(("127.0.0.1", lab.port))
        s.listen()
        check(can_connect("127.0.0.1", lab.port), "a listening port can't be connected to")
        ours = {free_port() for _ in range(2 * PORTS)}
        check(len(ours) > PORTS / 2 and lab.port not in ours, f"a used port was given, or few are: {len(ours)}")
    text = f"from daemon import free_port; print(*[free_port() for _ in range({PORTS})])"
    others = subprocess.run([sys.executable, "-c", text], cwd=Path(daemon.__file__).parent, text=True, capture_output=True, check=True, timeout=20).stdout
    check(len(others.split()) == PORTS and not ours & {int(port) for port in others.split()}, "two processes were given the same port")

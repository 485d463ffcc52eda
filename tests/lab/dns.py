#!/usr/bin/python3
"""dns - the lab's corner of the domain name system

Two servers, both real sockets:

- Nsd: Debian's nsd, authoritative for `test.`, from a generated zone: 100 ordinary domains over 25 MX sets, and one domain
  for every curious thing an MX lookup can meet (see CURIOUS below). `text`: another zone instead.
- BadDns: our own small UDP responder that passes everything on to an Nsd, except names under bad.test, whose first label says
  what goes wrong: servfail refused timeout garbage short wrongid loop trunc formerr.

    with Nsd(peers, work) as dns:               # dns.server is "127.0.0.53:PORT"
        with BadDns(dns) as bad: ...            # bad.server

Addresses of MX hosts: 127.4.SET.N for the ordinary sets, 127.5.0.N for TROUBLES (one receiver that misbehaves each), 127.0.5.N for
the peers. All receivers of a test listen on the same port, the config's delivery.port.
"""
import argparse
import shlex
import socket
import struct
import sys
import threading
from pathlib import Path

from daemon import BUILD, Daemon, LabError, free_port

ADDRESS = "127.0.0.53"
DOMAINS = [f"d{i:03d}.test" for i in range(100)]
SETS = 25

# One domain each, <name>.test, whose only MX shows this trouble (sink.c, --trouble).
TROUBLES = [("hang-connect", "connect:hang"), ("hang-ehlo", "ehlo:hang"), ("hang-mail", "mail:hang"), ("hang-rcpt", "rcpt:hang"),
            ("hang-data", "data:hang"), ("hang-dot", "dot:hang"), ("greet554", "connect:554"), ("greet421", "connect:421"),
            ("mail421", "mail:421"), ("dot421", "dot:421"), ("reset-body", "body:reset"), ("close-dot", "dot:close"),
            ("long-ehlo", "ehlo:long"), ("long-mail", "mail:long"), ("endless-ehlo", "ehlo:endless"), ("endless-rcpt", "rcpt:endless"),
            ("tls-garbage", "starttls:garbage"), ("tls-inject", "starttls:inject"), ("tls-hang", "starttls:hang"),
            ("close-second", "mail:close+1"), ("reset-connect", "connect:reset")]
TROUBLE_ADDRESS = {name: f"127.5.0.{i + 1}" for i, (name, _) in enumerate(TROUBLES)}

PEER_ADDRESS = {"postfix": "127.0.5.1", "exim": "127.0.5.2", "opensmtpd": "127.0.5.3"}

CURIOUS = """
; Curious things an MX lookup meets
sender        MX 10 mx.sender
mx.sender     A     127.4.200.1
null          MX 0  .
implicit      A     127.4.201.1
cname         CNAME d000
mxcname       MX 10 alias.mxcname
alias.mxcname CNAME mx1.set00
equal         MX 10 mx1.equal
equal         MX 10 mx2.equal
equal         MX 10 mx3.equal
equal         MX 10 mx4.equal
mx1.equal     A     127.4.202.1
mx2.equal     A     127.4.202.2
mx3.equal     A     127.4.202.3
mx4.equal     A     127.4.202.4
two-a         MX 10 mx.two-a
mx.two-a      A     127.4.203.1
mx.two-a      A     127.4.203.2
v6            MX 10 mx.v6
mx.v6         AAAA  ::1
mx.v6         A     127.4.204.1
v6only        MX 10 mx.v6only
mx.v6only     AAAA  ::1
noaddr        MX 10 nowhere.noaddr
second        MX 10 dead.second
second        MX 20 mx.second
dead.second   A     127.4.205.1
mx.second     A     127.4.205.2
down          MX 10 mx.down
mx.down       A     127.4.206.1
loop1         CNAME loop2
loop2         CNAME loop1
txtonly       TXT   "no mail here"
"""


def zone(mx="127.4"):
    """The text of the zone test. : SOA, the ordinary domains with their hosts at MX.SET.N, the curious ones, the troubles and the peers."""
    lines = ["$ORIGIN test.", "$TTL 60", "@ SOA ns hostmaster 1 3600 600 86400 60", "@ NS ns", f"ns A {ADDRESS}"]
    for s in range(SETS):
        lines += [f"mx{n}.set{s:02d} A {mx}.{s}.{n}" for n in (1, 2, 3)]
    for i, domain in enumerate(DOMAINS):
        s = i % SETS
        preferences = ((10, 1), (10, 2), (20, 3)) if s % 5 else ((10, 1),)
        lines += [f"{domain}. MX {p} mx{n}.set{s:02d}" for p, n in preferences]
    lines.append(CURIOUS)
    for name, address in [*TROUBLE_ADDRESS.items(), *PEER_ADDRESS.items()]:
        lines += [f"{name} MX 10 mx.{name}", f"mx.{name} A {address}"]
    return "\n".join(lines) + "\n"


class Nsd(Daemon):
    def __init__(self, peers, work, address=ADDRESS, text=None):
        files, run = peers.fetch("nsd"), Path(work).resolve() / "nsd"
        run.mkdir(parents=True, exist_ok=True)
        self.address, self.port = address, free_port(address)
        self.server = f"{address}:{self.port}"
        (run / "test.zone").write_text(text or zone())
        (run / "nsd.conf").write_text(f"""\
server:
    ip-address: {address}@{self.port}
    username: ""
    zonesdir: "{run}"
    database: ""
    pidfile: "{run}/nsd.pid"
    xfrdfile: "{run}/xfrd.state"
    zonelistfile: "{run}/zone.list"
    xfrdir: "{run}"
    cookie-secret-file: "{run}/cookie"
    server-count: 1
    rrl-ratelimit: 0
    verbosity: 1
remote-control:
    control-enable: no
zone:
    name: test.
    zonefile: test.zone
""")
        libraries = f"{files}/usr/lib/x86_64-linux-gnu:{files}/usr/lib/aarch64-linux-gnu"
        super().__init__([files / "usr/sbin/nsd", "-d", "-c", run / "nsd.conf"], log=run / "log", name="nsd", env={"LD_LIBRARY_PATH": libraries})
        self.wait_port(address, self.port, 10)


def question(name, qtype=15, number=1):
    """The bytes of a query for MX (15), A (1), AAAA (28), ..."""
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.rstrip(".").split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", qtype, 1)


def ask(server, name, qtype=15, seconds=2.0):
    """(rcode, number of answers) from a server "ADDR:PORT"; None when nothing came in time."""
    host, _, port = server.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(seconds)
        s.sendto(question(name, qtype), (host, int(port)))
        try:
            reply = s.recv(4096)
        except socket.timeout:
            return None
    if len(reply) < 12:
        return None
    _, flags, _, answers, _, _ = struct.unpack(">6H", reply[:12])
    return flags & 15, answers


class BadDns:
    """A thread with a UDP socket; `queries` is the list of (name, qtype) it was asked."""

    def __init__(self, behind, address="127.0.0.54"):
        self.behind = (behind.address, behind.port)
        self.queries = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.settimeout(0.2)
        self.server = f"{address}:{self.socket.getsockname()[1]}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(2)
        self.socket.close()

    def _run(self):
        while not self._stop.is_set():
            try:
                query, client = self.socket.recvfrom(4096)
            except socket.timeout:
                continue
            except OSError:
                return
            answer = self.answer(query)
            if answer is not None:
                self.socket.sendto(answer, client)

    def answer(self, query):
        """The reply to a query, None for silence."""
        labels, at = [], 12
        while at < len(query) and query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace").lower())
            at += 1 + query[at]
        body = query[12:at + 5]
        self.queries.append((".".join(labels), int.from_bytes(query[at + 1:at + 3], "big")))
        number = query[:2]

        def header(rcode=0, answers=0, flags=0x8400, number=number):
            return number + struct.pack(">5H", flags | rcode, 1, answers, 0, 0)

        if labels[-2:] != ["bad", "test"]:
            return self._forward(query)
        record = b"\xc0\x0c" + struct.pack(">2HIH", 15, 1, 60, 4)  # MX for the name asked; 4 bytes of data to come
        return {
            "servfail": lambda: header(2) + body,
            "formerr": lambda: header(1) + body,
            "refused": lambda: header(5) + body,
            "timeout": lambda: None,
            "garbage": lambda: number + bytes((i * 37 + 11) & 255 for i in range(60)),
            "short": lambda: number + b"\x84",
            "wrongid": lambda: header(0, number=bytes([number[0] ^ 1, number[1]])) + body,
            "loop": lambda: header(0, 1) + body + record + struct.pack(">H", 10) + struct.pack(">H", 0xC000 | (12 + len(body) + 14)),
            "trunc": lambda: header(0, flags=0x8600) + body,
        }.get(labels[0], lambda: header(3) + body)()

    def _forward(self, query):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            try:
                s.sendto(query, self.behind)
                return s.recv(4096)
            except OSError:
                return None


def main():
    from peers import Peers
    parser = argparse.ArgumentParser(description="Print the lab's zone, or serve it with nsd until Ctrl-C.")
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    if not args.serve:
        print(zone(), end="")
        return 0
    with Nsd(Peers(), BUILD / "lab" / "dns") as nsd:
        print(f"nsd listens on {shlex.quote(nsd.server)}; Ctrl-C ends it", flush=True)
        try:
            nsd.process.wait()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as problem:
        sys.exit(f"dns: {problem}")

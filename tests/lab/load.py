#!/usr/bin/python3
"""load - a sender of mail that knows afterwards exactly what was accepted

A batch of messages with ids, to domains drawn from a Zipf distribution, over several connections with PIPELINING. The
messages are of the awkward kind: lines of 998 octets, 8-bit bytes, lines that begin with one or more dots, an empty body.

    load = Load(domains=[...], sender="news@sender.test", count=1000, rcpts=(1, 3), header="X-Todoku-Pool: b")
    load.run("127.0.0.1", 2525, connections=8)
    load.accepted        {id: Message} that got 250 after the dot
    load.unknown         {id: Message} whose connection ended before the answer came
    load.refused         {id: "reply"}
    check_arrivals(load, sink) -> Report with lost, doubled, damaged, uninvited

Also wraps Postfix's smtp-source (see peers.py). As a program: load.py HOST:PORT --count 1000 --domains a.test,b.test
"""
import argparse
import bisect
import collections
import random
import socket
import ssl
import sys
import threading
import time

from daemon import LabError

FNV_START, FNV_PRIME, MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def fnv1a(data, h=FNV_START):
    for byte in data:
        h = ((h ^ byte) * FNV_PRIME) & MASK
    return h


def awkward_bodies(rng, size, n=24):
    """n bodies of about `size` bytes as a list of (body as the author wrote it, dot-stuffed)."""
    bodies = [b"", b".\r\n", b"..\r\n.\r\n.leading\r\n", b"x" * 998 + b"\r\n" + b"." + b"y" * 997 + b"\r\n"]
    eight_bit = bytes(b for b in range(1, 256) if b not in (10, 13))
    while len(bodies) < n:
        lines, left = [], max(1, int(size * rng.uniform(0.3, 1.7)))
        while left > 0:
            width = min(rng.choice((0, 1, 40, 76, 76, 76, 300, 998)), left)
            line = bytes(rng.choice(eight_bit) for _ in range(min(width, 40))) * (width // 40 + 1)
            lines.append((rng.choice((b"", b"", b"", b".", b"..")) + line)[:998])
            left -= width + 2
        bodies.append(b"\r\n".join(lines) + b"\r\n")
    return [(b, b"\r\n".join(b"." + l if l.startswith(b".") else l for l in b.split(b"\r\n"))) for b in bodies]


class Zipf:
    """Draws items with weight 1/rank: the first of 100 gets about a fifth, the last hardly anything."""

    def __init__(self, items, rng):
        self.items, self.rng, self.sums = list(items), rng, []
        total = 0.0
        for rank in range(1, len(self.items) + 1):
            total += 1.0 / rank
            self.sums.append(total)

    def draw(self):
        return self.items[bisect.bisect_left(self.sums, self.rng.random() * self.sums[-1])]


Message = collections.namedtuple("Message", "id sender rcpts header body hash")


class Load:
    def __init__(self, domains, sender, count, prefix="m", rcpts=(1, 1), size=2000, header="", seed=1, own=False):
        """own: no two have the same text, so that none is stored once for many."""
        rng = random.Random(seed)
        self.prefix, self.sender = prefix, sender
        zipf = Zipf(domains, rng)
        tail = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        bodies = [(stuffed, format(fnv1a(tail + body), "016x")) for body, stuffed in awkward_bodies(rng, size)]
        extra = f"{header}\r\n" if header else ""
        self.messages = []
        for i in range(count):
            id_ = f"{prefix}{i:06d}"
            to = []
            for r in range(rng.randint(*rcpts)):
                to.append(f"{id_}.{r}@{zipf.draw()}")
            body, digest = rng.choice(bodies)
            if own:
                line = f"{id_}\r\n".encode()
                body, digest = body + line, format(fnv1a(line, int(digest, 16)), "016x")
            head = (f"From: The Lab <{sender}>\r\nTo: undisclosed-recipients:;\r\nDate: Mon, 02 Jun 2025 10:00:00 +0000\r\n"
                    f"Message-ID: <{id_}@lab.test>\r\nSubject: {id_}\r\n{extra}X-Test-Id: {id_}\r\n").encode()
            self.messages.append(Message(id_, sender, to, head, tail + body, digest))
        self.accepted, self.unknown, self.refused, self.rcpt_refused = {}, {}, {}, {}
        self._next, self._lock, self.seconds = 0, threading.Lock(), 0.0

    def deliveries(self):
        """(id, recipient) of everything accepted."""
        return [(m.id, r) for m in self.accepted.values() for r in m.rcpts if (m.id, r) not in self.rcpt_refused]

    def _take(self):
        with self._lock:
            if self._next >= len(self.messages):
                return None
            self._next += 1
            return self.messages[self._next - 1]

    def left(self):
        return len(self.messages) - self._next

    def run(self, host, port, connections=8, stop=None, local=None):
        """Send all that is left; returns when done or when the server is gone. `stop`: a threading.Event to end early."""
        stop = stop or threading.Event()
        start = time.monotonic()
        threads = [threading.Thread(target=self._connection, args=(host, port, stop, local), daemon=True) for _ in range(connections)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(300)
        self.seconds += time.monotonic() - start
        return self

    def _connection(self, host, port, stop, local):
        message = None
        try:
            with Smtp(host, port, local=local) as smtp:
                smtp.hello()
                while not stop.is_set():
                    message = self._take()
                    if message is None:
                        return
                    reply, refused = smtp.send(message.sender, message.rcpts, message.header + message.body)
                    with self._lock:
                        for rcpt, text in refused:
                            self.rcpt_refused[message.id, rcpt] = text
                        if reply.startswith("2"):
                            self.accepted[message.id] = message
                        else:
                            self.refused[message.id] = reply
                    message = None
        except (OSError, LabError):
            if message is not None:
                with self._lock:
                    self.unknown[message.id] = message


class Smtp:
    """A small SMTP client: exact about bytes, bounded in time. Replies come back as text, the last line's code first."""

    def __init__(self, host, port, local=None, seconds=60):
        self.socket = socket.create_connection((host, port), timeout=seconds, source_address=(local, 0) if local else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 65536)
        self.capabilities = []
        self.greeting = self.reply()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.socket.sendall(b"QUIT\r\n")
        except OSError:
            pass
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def reply(self):
        lines = []
        for _ in range(200):
            line = self.file.readline(100000)
            if not line.endswith(b"\n"):
                raise LabError("the server closed the connection")
            lines.append(line.rstrip(b"\r\n").decode("utf-8", "replace"))
            if lines[-1][3:4] != "-":
                return "\n".join([lines[-1], *lines[:-1]]) if len(lines) > 1 else lines[0]
        raise LabError("a reply of more than 200 lines")

    def say(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def ask(self, line):
        self.say(line + "\r\n")
        return self.reply()

    def hello(self, name="client.lab.test"):
        text = self.ask(f"EHLO {name}")
        self.capabilities = sorted(line[4:] for line in text.splitlines())
        return text

    def starttls(self):
        """Encrypt, without looking at the certificate (that is what opportunistic TLS does), and say EHLO again."""
        answer = self.ask("STARTTLS")
        if not answer.startswith("220"):
            raise LabError(f"STARTTLS refused: {answer}")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.file.close()
        self.socket = context.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb", 65536)
        return self.hello()

    def send(self, sender, rcpts, stuffed, params=""):
        """One transaction, pipelined where the server offers it (RFC 2920). (reply after the dot, [(recipient, refusal)]). `stuffed` ends in CRLF."""
        if "PIPELINING" not in self.capabilities:
            return self._send_slowly(sender, rcpts, stuffed, params)
        lines = [f"MAIL FROM:<{sender}>{params}", *(f"RCPT TO:<{r}>" for r in rcpts), "DATA"]
        self.say("".join(l + "\r\n" for l in lines))
        mail = self.reply()
        answers = [(r, self.reply()) for r in rcpts]
        data = self.reply()
        refused = [(r, text) for r, text in answers if not text.startswith("2")]
        if not data.startswith("354"):
            return (mail if not mail.startswith("2") else refused[0][1] if refused else data), refused
        self.say(stuffed + b".\r\n")
        return self.reply(), refused

    def _send_slowly(self, sender, rcpts, stuffed, params):
        mail = self.ask(f"MAIL FROM:<{sender}>{params}")
        if not mail.startswith("2"):
            return mail, []
        refused = [(r, text) for r in rcpts if not (text := self.ask(f"RCPT TO:<{r}>")).startswith("2")]
        data = self.ask("DATA")
        if not data.startswith("354"):
            return (refused[0][1] if refused else data), refused
        self.say(stuffed + b".\r\n")
        return self.reply(), refused


Report = collections.namedtuple("Report", "expected arrived lost doubled damaged uninvited")


def check_arrivals(loads, sink, ignore=()):
    """Compare what was accepted with what arrived. `ignore`: ids that may or may not arrive (no answer was seen)."""
    loads = loads if isinstance(loads, (list, tuple)) else [loads]
    expected = {key: load.accepted[key[0]] for load in loads for key in load.deliveries()}
    arrived = sink.by_key()
    may = {m for load in loads for m in load.unknown} | set(ignore)
    lost = [k for k in expected if k not in arrived]
    doubled = {k: len(v) for k, v in arrived.items() if len(v) > 1}
    damaged = [k for k, v in arrived.items() if k in expected and any(a.hash != expected[k].hash for a in v)]
    prefixes = tuple(load.prefix for load in loads)
    uninvited = [k for k in arrived if k not in expected and k[0].startswith(prefixes) and k[0] not in may]
    return Report(len(expected), sum(map(len, arrived.values())), lost, doubled, damaged, uninvited)


def smtp_source(peers, host, port, sender, rcpt, count, sessions=5, length=4096, seconds=120):
    """Postfix's own generator, with -N: recipients become 1rcpt, 2rcpt, ... Returns the set of these; LabError if it failed."""
    run = peers.run("postfix", ["/usr/sbin/smtp-source", "-N", "-d", "-s", sessions, "-m", count, "-l", length,
                                "-f", sender, "-t", rcpt, f"{host}:{port}"], seconds=seconds)
    if run.returncode:
        raise LabError(f"smtp-source ended with status {run.returncode}: {run.stderr.strip()[-500:]}")
    return {f"{i}{rcpt}" for i in range(1, count + 1)}


def main():
    parser = argparse.ArgumentParser(description="Send awkward mail and say what was accepted.")
    parser.add_argument("server", help="HOST:PORT")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--domains", default="d000.test,d001.test,d002.test")
    parser.add_argument("--sender", default="news@sender.test")
    parser.add_argument("--max-rcpts", type=int, default=1)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--header", default="", help='an extra header, such as "X-Todoku-Pool: b"')
    parser.add_argument("--prefix", default="m", help="ids start with this")
    args = parser.parse_args()
    host, _, port = args.server.rpartition(":")
    load = Load(args.domains.split(","), args.sender, args.count, args.prefix, (1, args.max_rcpts), args.size, args.header)
    load.run(host.strip("[]"), int(port), args.connections)
    print(f"{len(load.accepted)} accepted, {len(load.refused)} refused, {len(load.unknown)} without an answer, "
          f"{len(load.deliveries())} deliveries, {load.seconds:.2f} s, {len(load.accepted) / max(load.seconds, 1e-9):.0f} messages/s")
    for id_, reply in list(load.refused.items())[:5]:
        print(f"  {id_}: {reply}")
    return 0 if len(load.accepted) == args.count else 1


if __name__ == "__main__":
    sys.exit(main())

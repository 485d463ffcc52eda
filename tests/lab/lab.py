"""lab - what a test is handed: a work folder, the servers around, and the certainty that all of it ends

    def test_something(lab):
        "what this proves, in one line: the runner prints it"
        sink = lab.sink()
        with lab.todoku() as t: ...

A test fails by raising: use `check(condition, text)` or LabError; Skip says why it can't run here.
"""
import contextlib
import os
import shutil
import threading
import time

from cluster import Cluster
from daemon import BUILD, LabError, free_port
from dns import BadDns, Nsd
from etcd import Etcd
from load import Load, Smtp, check_arrivals
from netcluster import NetCluster
from peers import Peers
from sink import Sink
from todoku import Todoku

TWO_POOLS = [("127.0.1.1", "mx1.sender.test", ["a"]), ("127.0.1.2", "mx2.sender.test", ["a"]),
             ("127.0.1.3", "mx3.sender.test", ["b"]), ("127.0.1.4", "mx4.sender.test", ["b"])]
SENDER = "news@sender.test"


def check(condition, text):
    if not condition:
        raise LabError(text() if callable(text) else text)


def mail(subject="hello", sender=SENDER, body="Hello.\r\n", id_=None, extra=""):
    """A plain small message as bytes, with CRLF."""
    id_ = id_ or subject
    return (f"From: <{sender}>\r\nTo: <someone@lab.test>\r\nDate: Mon, 02 Jun 2025 10:00:00 +0000\r\nMessage-ID: <{id_}@lab.test>\r\n"
            f"Subject: {subject}\r\n{extra}X-Test-Id: {id_}\r\n\r\n{body}").encode()


class Lab:
    """One test's lab. Servers made through it are ended when it is closed."""

    peers = Peers()
    long = False  # --long: there is time for hundreds of rounds
    rounds = 200  # --rounds: so many with --long
    seed = 1  # --seed: of what is drawn; a test that draws prints it

    def __init__(self, name):
        self.work = BUILD / "system" / name
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.port = free_port("0.0.0.0")
        self._stack = contextlib.ExitStack()
        self._dns = None

    def close(self):
        self._stack.close()

    def keep(self, context):
        return self._stack.enter_context(context)

    @property
    def dns(self):
        """nsd, started when first asked for."""
        if self._dns is None:
            self._dns = self.keep(Nsd(self.peers, self.work))
        return self._dns

    def bad_dns(self):
        return self.keep(BadDns(self.dns))

    def sink(self, listen=None, **options):
        """A receiver on the delivery port of every address (or those given), logging to the work folder."""
        addresses = listen or ["0.0.0.0", "[::1]"]
        return self.keep(Sink(self.work, [f"{a}:{self.port}" for a in addresses], **options))

    def todoku(self, start=True, **options):
        options.setdefault("dns", self.dns)
        t = Todoku(self.work, port=self.port, **options)
        self._stack.callback(lambda: t.daemon and t.daemon.end())
        return t.start() if start else t

    def etcd(self, **options):
        """A real etcd (size=3: three)."""
        return self.keep(Etcd(self.work, **options))

    def cluster(self, etcd=None, start=True, **options):
        """Two coordinators and three nodes as processes; with start=False only their folders and files."""
        options.setdefault("dns", self.dns)
        options.setdefault("port", self.port)
        c = self.keep(Cluster(self.work, etcd or self.etcd(), **options))
        return c.start() if start else c

    def netcluster(self, **options):
        """A cluster with a network for each member, not started. This thread lives in its client's network until it ends."""
        return self.keep(NetCluster(self.work, self.peers, **options))

    def send(self, t, *rcpts, sender=SENDER, subject="hello", message=None, **options):
        """Hand one message to Todoku over SMTP; its reply after the dot (or the first refusal)."""
        with Smtp(*t.smtp) as smtp:
            smtp.hello()
            return smtp.send(sender, list(rcpts), message or mail(subject, sender=sender or SENDER, **options))[0]


def queue_id(reply):
    """The id in "250 2.0.0 queued as ID"."""
    check(reply.startswith("250") and "queued as " in reply, f'no "250 2.0.0 queued as ID" but: {reply}')
    return reply.split("queued as ")[1].split()[0]


def whole(loads, sink, uninvited=True, doubled=0):
    """Check that what was accepted arrived: nothing lost or damaged, no more than `doubled` extra copies. The report."""
    r = check_arrivals(loads, sink)
    extra = sum(n - 1 for n in r.doubled.values())
    check(not r.lost, lambda: f"{len(r.lost)} of {r.expected} accepted deliveries were lost, such as {r.lost[:3]}")
    check(not r.damaged, lambda: f"{len(r.damaged)} deliveries arrived with other bytes, such as {r.damaged[:3]}")
    check(extra <= doubled, lambda: f"{extra} extra copies (at most {doubled} may be), such as {list(r.doubled.items())[:3]}")
    if uninvited:
        check(not r.uninvited, lambda: f"{len(r.uninvited)} deliveries nobody was promised, such as {r.uninvited[:3]}")
    return r


def stop_amid_sending(t, sink, load, step, connections):
    """SIGTERM and a new start whenever `step` more have arrived, three times over; then the rest of the load, until all has arrived."""
    for round_ in range(3):
        sender = threading.Thread(target=load.run, args=t.smtp, kwargs={"connections": connections}, daemon=True)
        sender.start()
        goal, deadline = (round_ + 1) * step, time.monotonic() + 30
        while sink.count() < goal and time.monotonic() < deadline:
            time.sleep(0.01)
        t.stop()
        sender.join(30)
        t.start()
    load.run(*t.smtp)
    sink.wait_count(len(load.deliveries()), 60, alive=t.daemon)


def as_root():
    return os.geteuid() == 0


__all__ = ["BadDns", "Lab", "LabError", "Load", "SENDER", "Sink", "Smtp", "TWO_POOLS", "as_root", "check", "mail", "queue_id", "stop_amid_sending",
           "whole"]

#!/usr/bin/python3
"""sample - starts Todoku and a receiver, sends a campaign, shows it arrive; scripts/run builds first and then calls this

    scripts/sample.py [--once]

Everything lies in build/run: the configuration, the data, the logs, every mail that arrived. Every wait is bounded, and both
processes are ended by their pids, whatever happens. Exit: 0, or 1 when something did not arrive, with the reason.
"""
import argparse
import collections
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from daemon import Daemon, LabError, free_port, until  # noqa: E402
from load import Load, Message, check_arrivals, fnv1a  # noqa: E402
from sink import Sink  # noqa: E402

WORK = ROOT / "build" / "run"
PROGRAM = ROOT / "build" / "release" / "todoku"
SENDER = "news@acme.example"
DOMAINS = [f"{name}.example" for name in ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "isle", "juniper")]
BY_COMMAND, BY_SMTP = 4, 96
PATIENCE = 60  # seconds for each thing waited for

CONFIG = """\
# One machine's Todoku, as scripts/run starts it.
cluster: {{ name: sample }}
coordinator:
  id: c1
  smtp: [ "{smtp}" ]
  http: "{http}"
  trusted: [ 127.0.0.0/8 ]             # may hand in mail without a password, as default_tenant
  default_tenant: acme
node:
  id: n1
  data_dir: {data}
  sources:                             # all of 127.0.0.0/8 is this machine
    - {{ address: 127.0.1.1, helo: mx1.acme.example, pools: [news] }}
    - {{ address: 127.0.1.2, helo: mx2.acme.example, pools: [news] }}
    - {{ address: 127.0.1.3, helo: mx3.acme.example, pools: [receipts] }}
    - {{ address: 127.0.1.4, helo: mx4.acme.example, pools: [receipts] }}
delivery: {{ sink: "{sink}", tls: none, retry: [5s, 30s, 5m] }}       # a sandbox: everything goes to this receiver
pools: {{ news: {{ overflow: none }}, receipts: {{ overflow: none }} }}
tenants:
  - {{ id: acme, pools: [news, receipts], domains: [acme.example] }}
"""


def say(text=""):
    print(text, flush=True)


def port(host, wanted):
    """The wanted port when it is free, else another."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((host, wanted))
            return wanted
        except OSError:
            return free_port(host)


class Sample:
    def __init__(self):
        shutil.rmtree(WORK, ignore_errors=True)
        WORK.mkdir(parents=True)
        self.smtp, self.http, self.to = (("127.0.0.1", port("127.0.0.1", 2525)), ("127.0.0.1", port("127.0.0.1", 8025)),
                                         ("127.0.2.1", port("127.0.2.1", 2600)))
        self.config = WORK / "todoku.yaml"
        self.config.write_text(CONFIG.format(smtp="%s:%d" % self.smtp, http="%s:%d" % self.http, sink="%s:%d" % self.to, data=WORK / "data"))
        self.url = "http://%s:%d" % self.http

    def start(self):
        say(f"Starting a receiver on {self.to[0]}:{self.to[1]}")
        self.sink = Sink(WORK, ["%s:%d" % self.to], keep=True)
        say(f"Starting todoku up -c {self.config.relative_to(ROOT)}")
        self.todoku = Daemon([PROGRAM, "up", "-c", self.config], log=WORK / "todoku.log", name="todoku")
        until(f"{self.url}/readyz", self.ready, PATIENCE, alive=self.todoku)

    def ready(self):
        try:
            with urllib.request.urlopen(self.url + "/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    # ---- the campaign ----

    def send(self):
        """[loads]: what was accepted, by SMTP and by the command."""
        say(f"Sending a campaign of {BY_COMMAND + BY_SMTP} messages to {len(DOMAINS)} domains: {BY_COMMAND} by `todoku send`, {BY_SMTP} by SMTP")
        by_command = Load(DOMAINS, SENDER, 0, prefix="command")
        self.ids = [self.send_one(by_command, i) for i in range(BY_COMMAND)]
        half = BY_SMTP // 2
        loads = [Load(DOMAINS, SENDER, count, prefix=pool, header=f"X-Todoku-Campaign: sample\r\nX-Todoku-Pool: {pool}", seed=count)
                 for pool, count in (("news", half), ("receipts", BY_SMTP - half))]
        for load in loads:
            load.run(*self.smtp, connections=4)
            if len(load.accepted) != len(load.messages):
                raise LabError(f"{len(load.refused)} messages were refused, {len(load.unknown)} got no answer, such as "
                               f"{list(load.refused.values())[:1] or list(load.unknown)[:1]}")
        return [by_command, *loads]

    def send_one(self, load, i):
        id_, to = f"{load.prefix}{i}", f"reader{i}@{DOMAINS[i % len(DOMAINS)]}"
        body = b"Content-Type: text/plain; charset=utf-8\r\n\r\nGood morning!\r\n.\r\n..and a line that begins with dots.\r\n"
        head = f"From: Acme <{SENDER}>\r\nTo: <{to}>\r\nDate: Mon, 02 Jun 2025 10:00:00 +0000\r\nMessage-ID: <{id_}@acme.example>\r\nSubject: Good morning\r\n"
        file = WORK / f"{id_}.eml"
        file.write_bytes(head.encode() + f"X-Test-Id: {id_}\r\n".encode() + body)
        said = self.command("send", "--from", SENDER, "--to", to, "--campaign", "sample", str(file))
        _, _, queued = said.partition("queued as ")
        if not queued.split():
            raise LabError(f"`todoku send` named no id but said: {said.strip()}")
        load.accepted[id_] = Message(id_, SENDER, [to], head.encode(), body, format(fnv1a(body), "016x"))
        return queued.split()[0]

    def command(self, *words):
        env = dict(os.environ, TODOKU_API=self.url)
        done = subprocess.run([str(PROGRAM), *words], capture_output=True, text=True, timeout=30, env=env, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise LabError(f"todoku {' '.join(words)} ended with status {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def show(self, *words):
        say(f"\n$ todoku {' '.join(words)}\n{self.command(*words).rstrip()}")

    # ---- its arrival ----

    def watch(self, wanted):
        """Shows the count grow until all is there; LabError when it stands still for too long."""
        shown, deadline, alone = -1, time.monotonic() + PATIENCE, sys.stdout.isatty()
        while True:
            have = self.sink.count()
            if have != shown:
                bar = "#" * (have * 40 // wanted)
                print(f"{chr(13) if alone else ''}Arrived {have:3} of {wanted} |{bar:40}|", end="" if alone else "\n", flush=True)
                shown = have
            if have >= wanted or time.monotonic() > deadline or self.todoku.exit_status() is not None:
                break
            time.sleep(0.2 if alone else 1)
        if alone:
            say()
        if have < wanted:
            raise LabError(f"only {have} of {wanted} arrived within {PATIENCE} s\n{self.todoku.tail()}")

    def check(self, loads):
        report = check_arrivals(loads, self.sink)
        for what, keys in (("lost", report.lost), ("doubled", report.doubled), ("damaged", report.damaged), ("uninvited", report.uninvited)):
            if keys:
                raise LabError(f"{len(keys)} deliveries are {what}, such as {list(keys)[:3]}")
        say(f"All {report.expected} are there, each once, byte for byte.\n")

    def table(self):
        """Which source brought how many to which domain."""
        brought = collections.Counter((a.rcpt.rpartition("@")[2], a.peer.rpartition(":")[0] or a.peer) for a in self.sink.arrivals())
        sources = sorted({source for _, source in brought})
        say(f"{'arrived at':18}" + "".join(f"{'from ' + s:>16}" for s in sources))
        for domain in sorted({d for d, _ in brought}):
            say(f"{domain:18}" + "".join(f"{brought[domain, s] or '':>16}" for s in sources))

    def campaign(self):
        loads = self.send()
        self.watch(sum(len(load.deliveries()) for load in loads))
        self.check(loads)
        self.table()
        for words in (("status",), ("sources",), ("queues",), ("message", self.ids[0])):
            self.show(*words)

    def stay(self):
        say(f"\nweb page    {self.url}/\nAPI         {self.url}/v1/status\nSMTP        {self.smtp[0]}:{self.smtp[1]}, From: anything@acme.example\n"
            f"arrived     {self.sink.kept.relative_to(ROOT)}\ncommands    TODOKU_API={self.url} {PROGRAM.relative_to(ROOT)} events --follow\n"
            "\nCtrl-C ends all.")
        while self.todoku.exit_status() is None:
            time.sleep(0.5)
        raise LabError(f"todoku ended by itself with status {self.todoku.exit_status()}\n{self.todoku.tail()}")

    def stop(self):
        say("Stopping")
        status = self.todoku.stop(30)
        self.sink.end()
        if status != 0:
            raise LabError(f"todoku ended with status {status}\n{self.todoku.tail()}")


def run(sample_class, name, **options):
    """The whole life of `scripts/NAME [--once]`: one at a time in this folder, a campaign, then it stays until Ctrl-C. The exit status.
    Options: name=(default, help), numbers; the sample is made with them."""
    parser = argparse.ArgumentParser(prog=f"scripts/{name}", description="Run a sample; see the top of the script.")
    parser.add_argument("--once", action="store_true", help="end when the campaign has arrived")
    for option, (default, about) in options.items():
        parser.add_argument(f"--{option}", type=int, default=default, help=f"{about} ({default})")
    chosen = vars(parser.parse_args())
    once = chosen.pop("once")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when a shell started this in the background
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    lock = open(WORK.parent / f"{name}.lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise LabError(f"another scripts/{name} is at work in this folder; end it first") from None
    sample = sample_class(**chosen)
    sample.start()
    try:
        sample.campaign()
        if not once:
            sample.stay()
    except KeyboardInterrupt:
        say()
    sample.stop()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run(Sample, "run"))
    except (LabError, subprocess.TimeoutExpired) as problem:
        sys.exit(f"run: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)

"""cluster - a whole cluster on one machine: coordinators and nodes as processes, members of a real etcd

    with Etcd(work) as etcd:
        c = Cluster(work, etcd, dns=nsd, port=2600)      # c1, c2; n1, n2, n3 with two sources each
        c.start()                                        # keys made, members added, all started, view complete
        stream = c.stream(load); ...; stream.finish()    # mail through both front doors
        c.owner("d001.test")                             # "n2", as `todoku explain` says
        c["n2"].kill(); c.wait_nodes("n1", "n3"); c["n2"].start()
        c.end()

| address | whose |
|---|---|
| 127.0.6.1, .2 | buses of c1 and c2 (their SMTP and HTTP doors are on 127.0.0.1) |
| 127.0.7.N | bus of node N |
| 127.0.10+N.1, .2 | sources of node N: 127.0.11.1, 127.0.11.2, 127.0.12.1, ... |

Errors: LabError with the tail of the member's log, or with what the command said.
"""
import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from daemon import Daemon, LabError, free_port, until
from load import Smtp
from todoku import Todoku, loops, merge, program, yaml

LEAKS = Path(__file__).with_name("leaks.txt")  # of the libraries
BROKEN = r"runtime error: |(Address|Leak|Thread|UndefinedBehavior)Sanitizer|\bpanic at "
DELIVERY = {"tls": "opportunistic", "retry": ["1s", "2s", "3s"], "dsn": "none",
            "timeouts": {"connect": "5s", "greeting": "5s", "command": "5s", "data": "5s", "dot": "10s"}}


class Here:
    """Where the members live: on addresses of this machine's own loopback. netcluster.py has another such: each in a network of its own."""

    trusted = ["127.0.0.0/8"]

    def inside(self, id_):
        """A context; what is started or bound in it lives where that member does."""
        return contextlib.nullcontext()

    def bus(self, role, number):
        return f"127.0.{6 if role == 'coordinator' else 7}.{number}"

    def door(self, number):
        """A coordinator's address for SMTP."""
        return "127.0.0.1"

    def sources(self, number):
        """A node's two sources."""
        return [f"127.0.{10 + number}.{i}" for i in (1, 2)]


def run(*args, seconds=30, input=None, api=None, env=None):
    """`todoku ARGS`: a CompletedProcess with text."""
    env = dict(os.environ, NO_COLOR="1", **({"TODOKU_API": api} if api else {}), **(env or {}))
    argv = [str(program()), *map(str, args)]
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, env=env, input=input or "")
    except subprocess.TimeoutExpired:
        raise LabError(f"todoku {' '.join(map(str, args))} still ran after {seconds} s") from None


def run_well(*args, **options):
    """The same, LabError unless it ended with 0; what it printed."""
    done = run(*args, **options)
    if done.returncode:
        raise LabError(f"todoku {' '.join(map(str, args))} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[:500]}")
    return done.stdout


class Member(Todoku):
    """One process of a cluster. A coordinator has `smtp` and `http` and all that Todoku has; a node has `sources`."""

    def __init__(self, folder, id_, role, config, more=None, doors=None, where=None):
        self.where = where or Here()
        self.dir = Path(folder).resolve() / id_
        self.dir.mkdir(parents=True, exist_ok=True)
        self.id = self.name = id_
        self.role = self.command = role
        self.data, self.secret, self.file = self.dir / "data", self.dir / "key", self.dir / "todoku.yaml"
        self.wrap, self.daemon, self.before, self.public, self.env = [], None, None, None, {}
        self.program = None  # another one than program(), from the next start on
        self.smtp = self.http = ("127.0.0.1", 0)
        number = int("".join(c for c in id_ if c.isdigit()) or 0)
        self.bus = self._bus(self.where.bus(role, number))
        config = merge(config, {"cluster": {"curve_secret_file": str(self.secret)}})
        if role == "coordinator":
            door = self.where.door(number)
            with self.inside():
                smtp, http = doors or (free_port(door), free_port())
            self.smtp, self.http = (door, smtp), ("127.0.0.1", http)
            config["coordinator"] = {"id": id_, "bus": self.bus, "smtp": ["%s:%d" % self.smtp], "http": "%s:%d" % self.http,
                                     "trusted": self.where.trusted, "default_tenant": "acme"}
        else:
            config["node"] = {"id": id_, "bus": self.bus, "data_dir": str(self.data),
                              "sources": [{"address": a, "helo": f"mx{i}.n{number}.sender.test", "pools": ["a"]} for i, a in enumerate(self.where.sources(number), 1)]}
        self.config = merge(merge(config, loops(role)), more)
        self.write_config()

    def _bus(self, host):
        with self.inside():
            return f"tcp://{host}:{free_port(host)}"

    def inside(self):
        return self.where.inside(self.id)

    @property
    def api(self):
        return "http://%s:%d" % self.http

    @property
    def sources(self):
        return {s["address"] for s in self.config["node"]["sources"]}

    def keygen(self):
        """Make the key pair; the public key."""
        words = run_well("keygen", self.secret).split()
        keys = [w.strip("\"'") for w in words if len(w.strip("\"'")) == 40]
        if len(keys) != 1:
            raise LabError(f"todoku keygen printed no public key of 40 characters but: {' '.join(words)}")
        self.public = keys[0]
        return self.public

    def launch(self):
        """Start without waiting."""
        argv = [*self.wrap, self.program or program(), self.command, "-c", self.file]
        with self.inside():
            self.daemon = Daemon(argv, log=self.dir / "log", name=self.name, before=self.before, env=self.env)
        return self

    def start(self, ready=True, seconds=30):
        """A coordinator is waited for until /readyz; whether a node is in the view, Cluster.wait_nodes tells."""
        self.launch()
        if ready and self.role == "coordinator":
            until(f"/readyz of {self.id}", self.ready, seconds, alive=self.daemon)
        return self

    def ready(self):
        return self.get("/readyz")[0] == 200

    def run(self, *args, **options):
        """`todoku ARGS` asking this coordinator: a CompletedProcess with text."""
        with self.inside():
            return run(*args, api=self.api, **options)

    def run_well(self, *args, **options):
        with self.inside():
            return run_well(*args, api=self.api, **options)

    def running(self):
        return self.daemon is not None and self.daemon.exit_status() is None

    def crashes(self):
        """What its log, of all its starts, says of crashes and sanitizers, and how it ended when not by order."""
        lines = (self.dir / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        found = [f"{self.id}: {line[:300]}" for line in lines if re.search(BROKEN, line)][:5]
        status = self.daemon.exit_status()
        if status is not None and status < 0 and -status not in (signal.SIGKILL, signal.SIGTERM):
            found.append(f"{self.id} was ended by signal {-status}\n{self.daemon.tail()}")
        return found


class Cluster:
    def __init__(self, work, etcd, dns=None, port=25, nodes=3, coordinators=2, more=None, name="lab", folder="cluster", first=1, doors=None,
                 where=None, copies=1):
        """`first`: number of the first node; `doors`: {"c1": (SMTP port, HTTP port)}, else any that are free; `where`: another Here."""
        self.work, self.etcd, self.name, self.where = Path(work).resolve() / folder, etcd, name, where
        self.env = {"LSAN_OPTIONS": f"suppressions={LEAKS}:print_suppressions=0"} if etcd.tls else {}
        server = dns.server if hasattr(dns, "server") else dns
        self.base = merge({
            "cluster": {"name": name, "etcd": etcd.settings(), "copies": copies, "min_copies": copies},
            "resolver": {"servers": [server], "timeout": "1s"} if server else {"timeout": "5s"},
            "delivery": {"port": port, **DELIVERY},
            "pools": {"a": {"overflow": "none"}},
            "tenants": [{"id": "acme", "pools": ["a"], "domains": ["sender.test"]}],
            "providers": [{"name": "default", "connections": 10, "messages_per_connection": 100, "rate": "none"}],
        }, more)
        self.members = {}
        for i in range(1, coordinators + 1):
            self.make(f"c{i}", "coordinator", doors=(doors or {}).get(f"c{i}"))
        for i in range(first, first + nodes):
            self.make(f"n{i}", "node")

    def make(self, id_, role, more=None, doors=None):
        """Another member: its folder and file only."""
        self.members[id_] = Member(self.work, id_, role, self.base, more, doors, self.where)
        self.members[id_].env = self.env
        return self.members[id_]

    def __getitem__(self, id_):
        return self.members[id_]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Ends all; LabError when one of them crashed or a sanitizer had something to say."""
        for m in self.members.values():
            if m.running():
                m.daemon.signal(signal.SIGTERM)
        problems = []
        for m in self.members.values():
            if m.daemon:
                m.daemon.end()
                problems += m.crashes()
        if problems:
            raise LabError("\n".join(problems))

    def of(self, role):
        return [m for m in self.members.values() if m.role == role]

    @property
    def coordinators(self):
        return self.of("coordinator")

    @property
    def nodes(self):
        return self.of("node")

    # ---- members ----

    def admin(self, *args, **options):
        """`todoku members ARGS` against this cluster's etcd; a CompletedProcess."""
        return run("members", *args, "-c", next(iter(self.members.values())).file, env=self.env, **options)

    def add(self, member, *options):
        """Make its key and let it in."""
        done = self.admin("add", member.id, member.public or member.keygen(), "--role", member.role, *options)
        if done.returncode:
            raise LabError(f"todoku members add {member.id} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[:500]}")
        return member

    def start(self, seconds=40):
        for m in self.members.values():
            self.add(m)
        for m in self.members.values():
            m.launch()
        for m in self.coordinators:
            until(f"/readyz of {m.id}", m.ready, seconds, alive=m.daemon)
        return self.wait_nodes(*(m.id for m in self.nodes), seconds=seconds)

    def join(self, id_, role="node", seconds=30):
        """One more member, added and started; waits until it is in the view."""
        member = self.add(self.make(id_, role))
        member.start()
        if role == "node":
            self.wait_nodes(*(m.id for m in self.nodes if m.running()), seconds=seconds)
        return member

    def stop(self, seconds=30):
        """SIGTERM to all, nodes last; LabError unless each ends with 0."""
        for m in [*self.coordinators, *self.nodes]:
            if m.running():
                m.stop(seconds)

    # ---- the view ----

    @staticmethod
    def up_nodes(coordinator, newest=False):
        """Ids of the nodes that are up in its view, None when it can't say. `newest`: of those that have that view themselves; one with the view
        before hands what it gets to somebody who has gone."""
        done = coordinator.run("nodes", "--json")
        if done.returncode:
            return None
        found = rows(done.stdout)
        epoch = max((row.get("epoch", 0) for row in found if row.get("role") == "coordinator"), default=0) if newest else 0
        return {row["node"] for row in found if row.get("role", "node") == "node" and row.get("state") == "up" and row.get("epoch", 0) >= epoch}

    def wait_nodes(self, *ids, seconds=30):
        """Until exactly these nodes are up in the view of every coordinator that runs, and know it."""
        for c in self.coordinators:
            if not c.running():
                continue
            seen = []

            def agreed():
                seen[:] = [self.up_nodes(c, newest=True)]
                return seen[0] == set(ids)

            try:
                until(f"{c.id} to see {', '.join(sorted(ids))} up", agreed, seconds, every=0.2, alive=c.daemon)
            except LabError as error:
                logs = "".join(m.daemon.tail(6) for m in self.nodes if m.daemon)
                raise LabError(f"{error}; it sees {sorted(seen[0] or []) if seen else None}\n{logs}") from None
        return self

    def head(self):
        """The coordinator that etcd says is the leader, None while there is none."""
        record = self.etcd.get(f"/todoku/{self.name}/leader")
        text = (record or b"").decode("utf-8", "replace")
        found = [m for m in self.coordinators if f'"{m.id}"' in text or text == m.id]
        return found[0] if found else None

    def _at(self, coordinator):
        return coordinator or next(c for c in self.coordinators if c.running())

    def status(self, at=None):
        """The row of `todoku status` at a coordinator (the first that runs)."""
        return rows(self._at(at).run_well("status", "--json"))[0]

    def explain(self, address, at=None):
        """The rows of `todoku explain` at a coordinator."""
        return rows(self._at(at).run_well("explain", address, "--tenant", "acme", "--pool", "a", "--json"))

    def owner(self, domain, at=None):
        """The node that a domain's mail goes to."""
        owners = {row["owner"] for row in self.explain(f"x@{domain}", at) if "owner" in row}
        if len(owners) != 1:
            raise LabError(f"explain names {sorted(owners) or 'nobody'} as the owner of {domain}")
        return owners.pop()

    def node_of(self, address):
        """Whose source an address is."""
        return next((m.id for m in self.nodes if address in m.sources), None)

    def stream(self, load, doors=None, **options):
        return Stream(load, doors or self.coordinators, **options).start()


def rows(text):
    """The objects of JSON lines."""
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def senders(cluster, arrivals):
    """{domain: Counter of nodes} of what arrived."""
    out = collections.defaultdict(collections.Counter)
    for a in arrivals:
        out[a.rcpt.rpartition("@")[2]][cluster.node_of(a.peer)] += 1
    return out


class Stream:
    """A load sent in the background through several front doors, as a client does it who must not lose anything: what gets no answer,
    or a 4xx, is sent again by whoever is free, at the next door.

    pace: messages a second, None as fast as it goes. After finish(): load.accepted as always;
    again    ids without an answer at least once;  later: [(seconds since the start, id, reply)] of 4xx;  refused ones: load.refused
    twice    ids of both kinds: these may arrive twice, since a 451 may follow a wait for an answer from a node that has died
    gap      the longest time in which nothing was accepted;  doors_used: Counter of names, who took how many
    """

    def __init__(self, load, doors, connections=4, pace=None, patience=90):
        self.load, self.doors, self.pace, self.patience = load, list(doors), pace, patience
        self.again, self.later, self.times, self.doors_used = set(), [], [], collections.Counter()
        self._todo, self._lock, self._stop = collections.deque(load.messages), threading.Lock(), threading.Event()
        self._open, self._start, self._next = len(load.messages), time.monotonic(), 0.0
        self._threads = [threading.Thread(target=self._client, args=(i,), daemon=True) for i in range(connections)]

    def start(self):
        self._start = time.monotonic()
        for t in self._threads:
            t.start()
        return self

    def stop(self):
        """Nothing new any more; what is open is still brought to its end."""
        with self._lock:
            tried = self.twice
            kept = [m for m in self._todo if m.id in tried]
            self._open -= len(self._todo) - len(kept)
            self._todo = collections.deque(kept)
        return self.finish()

    def finish(self, seconds=None):
        """Wait for the end; LabError when messages are left without an outcome."""
        deadline = time.monotonic() + (seconds or self.patience)
        for t in self._threads:
            t.join(max(0.1, deadline - time.monotonic()))
        self._stop.set()
        with self._lock:
            if self._open:
                raise LabError(f"{self._open} messages have found no door; {len(self.load.accepted)} are accepted, the last replies were {self.later[-2:]}")
        return self

    def accepted(self):
        return len(self.load.accepted)

    def wait_accepted(self, n, seconds=60):
        until(f"{n} messages to be accepted", lambda: len(self.load.accepted) >= n, seconds)

    @property
    def twice(self):
        return self.again | {id_ for _, id_, _ in self.later}

    @property
    def gap(self):
        times = sorted(self.times)
        return max((b - a for a, b in zip(times, times[1:])), default=0.0)

    def since(self, start, end):
        """How many were accepted between two moments of time.monotonic()."""
        return sum(start - self._start <= t < end - self._start for t in self.times)

    def _take(self):
        with self._lock:
            return self._todo.popleft() if self._todo else None

    def _wait_turn(self):
        if self.pace:
            with self._lock:
                now = time.monotonic()
                self._next = max(self._next, now - 0.5) + 1 / self.pace
                wait = self._next - now
            if wait > 0:
                self._stop.wait(wait)

    def _client(self, number):
        door = number
        while self._open and not self._stop.is_set():
            message = None
            try:
                at = self.doors[door % len(self.doors)]
                with Smtp(*at.smtp, seconds=self.patience) as smtp:
                    smtp.hello()
                    while self._open and not self._stop.is_set():
                        message = self._take()
                        if message is None:
                            self._stop.wait(0.05)
                            continue
                        self._wait_turn()
                        reply, refused = smtp.send(message.sender, message.rcpts, message.header + message.body)
                        self._note(at, message, reply, refused)
                        message = None
            except (OSError, LabError):
                with self._lock:
                    if message is not None:
                        self.again.add(message.id)
                        self._todo.append(message)
            door += 1
            self._stop.wait(0.1)

    def _note(self, at, message, reply, refused):
        now = time.monotonic() - self._start
        with self._lock:
            if reply.startswith("4"):
                self.later.append((now, message.id, reply))
                self._todo.append(message)
                return
            self._open -= 1
            if reply.startswith("2"):
                self.load.accepted[message.id] = message
                self.load.rcpt_refused.update({(message.id, rcpt): text for rcpt, text in refused})
                self.times.append(now)
                self.doors_used[at.name] += 1
            else:
                self.load.refused[message.id] = reply


__all__ = ["Cluster", "Member", "Stream", "rows", "run", "run_well", "senders", "yaml"]

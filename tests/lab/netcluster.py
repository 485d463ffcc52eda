"""netcluster - a cluster whose members each have a network of their own, so that any line between them can be cut; and other faults

    with NetCluster(work, peers, nodes=5, copies=1) as c:   # c1, c2; n1 to n5; e1, e2, e3; a name server, a receiver
        c.start()
        stream = Steady(load, c.coordinators, pace=300).start()
        c.part(["n2"], c.ids()); ...; c.heal()              # n2 is cut off from the cluster; it still reaches the world
        c.cut(["n2"], c.ids("n"))                           # the other nodes hear nothing of it, it hears them
        c.kill("n3"); c.lose_disk("n3"); c.launch("n3")
        c.freeze("e1"); c.thaw("e1")
        c.sink.arrivals()

| range | who |
|---|---|
| 10.1.N.0/24 | coordinator N: bus and SMTP on .1; its API on 127.0.0.1, inside |
| 10.2.N.0/24 | node N: bus on .1, sources .11 and .12 |
| 10.3.N.0/24 | etcd N |
| 10.4.0.0/16 | all mail hosts of the zone, one receiver |
| 10.5.0.0/24, 10.6.0.0/24, 10.7.0.0/24 | that receiver's cable; the client (who made this: the test); the name server |

These are inside, see netns.py: this machine's own networks have none of them. From its making to its end the thread that made it is in
the client's network, and so are threads and processes that it starts. Etcd members take part in faults under their names as others do.
"""
import contextlib
import json
import re
import shutil
import signal

from cluster import Cluster, Here
from daemon import LabError, until
from dns import Nsd, zone
from etcd import Etcd
from netns import Network
from sink import Sink

PORT = 2525  # of all mail hosts


class Apart(Here):
    trusted = ["10.6.0.0/24"]

    def __init__(self, net):
        self.net = net

    def inside(self, id_):
        return self.net[id_].inside()

    def bus(self, role, number):
        return f"10.{1 if role == 'coordinator' else 2}.{number}.1"

    def door(self, number):
        return f"10.1.{number}.1"

    def sources(self, number):
        return [f"10.2.{number}.{i}" for i in (11, 12)]


class NetCluster(Cluster):
    def __init__(self, work, peers, nodes=5, coordinators=2, stores=3, think=0, **options):
        """`think`: milliseconds until the receiver answers a dot: so long an attempt is open that may come twice."""
        self._stack = contextlib.ExitStack()
        peers.fetch("nsd")  # out there: from inside nothing can be fetched
        try:
            self.net = self._stack.enter_context(Network())
            client, world, names = (self.net.place("client", "10.6.0"), self.net.place("world", "10.5.0", local="10.4.0.0/16"),
                                    self.net.place("names", "10.7.0"))
            self._stack.enter_context(client.inside())
            with names.inside():
                self.dns = self._stack.enter_context(Nsd(peers, work, names.address, zone(mx="10.4")))
            with world.inside():
                self.sink = self._stack.enter_context(Sink(work, [f"0.0.0.0:{PORT}"], extra=["--think", str(think)]))
            for i in range(1, stores + 1):
                self.net.place(f"e{i}", f"10.3.{i}")
            etcd = self._stack.enter_context(Etcd(work, stores, where=lambda name: (self.net[name].address, self.net[name].inside)))
            super().__init__(work, etcd, self.dns, PORT, nodes, coordinators, where=Apart(self.net), **options)
        except BaseException:
            self._stack.close()
            raise

    def end(self):
        try:
            self.heal()
            for id_ in self.members:
                self.thaw(id_)
            super().end()
        finally:
            self._stack.close()

    def make(self, id_, role, more=None, doors=None):
        number = int(id_[1:])
        self.net.place(id_, f"10.1.{number}") if role == "coordinator" else self.net.place(id_, f"10.2.{number}", ("11", "12"))
        return super().make(id_, role, more, doors)

    def ids(self, kinds="cne"):
        """Names of members: "c" coordinators, "n" nodes, "e" etcds."""
        return [name for name in [*self.members, *(m.name for m in self.etcd.members)] if name[0] in kinds]

    # ---- lines ----

    def cut(self, senders, receivers):
        self.net.cut(senders, receivers)

    def part(self, some, others):
        """Neither way between these; those in both lists count for the first."""
        self.net.part(some, [o for o in others if o not in some])

    def heal(self):
        self.net.heal()

    # ---- processes and disks ----

    def _store(self, id_):
        return next((i for i, m in enumerate(self.etcd.members) if m.name == id_), None)

    def process(self, id_):
        """The Daemon, None before its first start."""
        return self.members[id_].daemon if id_ in self.members else self.etcd.members[self._store(id_)].daemon

    def kill(self, id_):
        self.process(id_).kill()

    def freeze(self, id_):
        self.process(id_).signal(signal.SIGSTOP)

    def thaw(self, id_):
        if self.process(id_):
            self.process(id_).signal(signal.SIGCONT)

    def launch(self, id_):
        """Start again, without waiting."""
        self.members[id_].launch() if id_ in self.members else self.etcd.launch(self._store(id_))

    def lose_disk(self, id_):
        """A node that does not run loses its spool, and the copies it held of others'."""
        node = self.members[id_]
        if node.running():
            raise LabError(f"{id_} runs: its disk can't be taken away")
        for folder in ("spool", "copies"):
            shutil.rmtree(node.data / folder, ignore_errors=True)

    def registers(self):
        """{spool: what etcd says of it}, without those that are retired."""
        found = {key.rpartition("/")[2]: json.loads(value) for key, value in self.etcd.keys(f"/todoku/{self.name}/spool/").items()}
        return {spool: reg for spool, reg in found.items() if not reg.get("retired")}

    def handed_on(self, seconds=150):
        """Until all that was taken over has been moved on: before that it lies on one disk only. (What is to go to a spool that was lost with its
        disk waits for a minute.)"""
        def left():
            logs = [(n.dir / "log").read_text(encoding="utf-8", errors="replace") for n in self.nodes if n.daemon]
            return [spool for log in logs for spool in re.findall(r"spool (\S+) is taken over: ", log)
                    if log.rfind(f"spool {spool} is taken over: ") > log.rfind(f"nothing is left to be moved of spool {spool};")]

        try:
            until("what was taken over to be moved on", lambda: not left(), seconds, every=0.3)
        except LabError as error:
            raise LabError(f"{error}: {left()}") from None
        return self

    def paired(self, seconds=60):
        """Until every running node's own spool has its second copy."""
        def alone():
            regs = self.registers()
            return [n.id for n in self.nodes if n.running() and not any(r["node"] == n.id and r["mirror"] for r in regs.values())]

        until("every spool to have its second copy", lambda: not alone(), seconds, every=0.3)
        return self

    def whole(self, seconds=40):
        """Until all run, every node is up for every coordinator, etcd is well, and there is a head."""
        for m in self.etcd.members:
            until(f"etcd {m.name} to be healthy", m.healthy, seconds, every=0.2, alive=m.daemon)
        for m in self.coordinators:
            until(f"/readyz of {m.id}", m.ready, seconds, every=0.2, alive=m.daemon)
        self.wait_nodes(*(n.id for n in self.nodes), seconds=seconds)
        until("a head", self.head, seconds, every=0.5)
        return self

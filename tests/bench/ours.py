"""ours - Todoku as the benchmark starts it: one process, or coordinator and node as two members of a cluster

Nothing is tuned here but what the case asks for: two sources, `connections` to a receiver, TLS or not, keys or not. The spool is
synced before each 250, as always; there is no switch for that.
"""
import json
import os
import subprocess

from cluster import Cluster
from daemon import LabError, until
from etcd import Etcd
from todoku import Todoku, merge

KEYS = {"rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "ed25519": ["-algorithm", "ED25519"]}


def signing_keys(work, wanted):
    """Private keys as files that only we may read; what the configuration says of them."""
    rows = []
    for kind in KEYS if wanted == "both" else [wanted]:
        path = work / f"{kind}.key"
        done = subprocess.run(["openssl", "genpkey", *KEYS[kind], "-out", str(path)], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise LabError(f"openssl genpkey: {done.stderr.strip()[-300:]}")
        path.chmod(0o600)
        rows.append({"domain": "sender.test", "selector": kind, "key_file": str(path)})
    return rows


def sending(work, case):
    """What the file says of sources and limits, in both of Todoku's shapes."""
    sources = [(f"127.0.1.{i}", f"mx{i}.sender.test", ["a"]) for i in (1, 2)]
    delivery = {"tls": "opportunistic" if case.tls else "none", "timeouts": None}
    if not case.dns:
        delivery["sink"] = "%s:%d" % case.sink
    more = {"delivery": delivery, "providers": [{"name": "default", "connections": case.out, "messages_per_connection": 0, "rate": "none"}]}
    if case.dkim:
        more["tenants"] = [{"id": "acme", "pools": ["a"], "domains": ["sender.test"], "dkim": signing_keys(work, case.dkim)}]
    return sources, merge(more, case.config)


def todoku(work, case, accounts):
    sources, more = sending(work, case)
    t = Todoku(work, dns=case.dns_server, port=case.sink[1], sources=sources, more=more)
    t.before = accounts.join
    t.start(seconds=60)
    return t.daemon, t.smtp


def other(work, case, accounts):
    """The program that --against names, in the same way."""
    usual = os.environ.get("TODOKU")
    os.environ["TODOKU"] = os.environ["TODOKU_OTHER"]
    try:
        return todoku(work, case, accounts)
    finally:
        os.environ.pop("TODOKU")
        if usual:
            os.environ["TODOKU"] = usual


class Members:
    """A coordinator and nodes, which share the sources, treated like one daemon."""

    def __init__(self, name, work, case, accounts, nodes=1, copies=1):
        sources, more = sending(work, case)
        self.name, self.etcd = name, Etcd(work)
        self.cluster = Cluster(work, self.etcd, port=case.sink[1], nodes=0, coordinators=1, more=more, copies=copies)
        for i in range(nodes):
            its = [{"address": a, "helo": h, "pools": p} for a, h, p in sources[i::nodes]]
            self.cluster.make(f"n{i + 1}", "node", more={"node": {"sources": its}})
        for m in self.cluster.members.values():
            m.before = accounts.join
        self.cluster.start()
        for node in self.cluster.nodes if copies > 1 else ():
            until(f"the mirror of {node.id}", lambda key=f"/todoku/lab/spool/{node.id}.0": json.loads(self.etcd.get(key))["mirror"], 20)

    @property
    def daemons(self):
        return [m.daemon for m in self.cluster.members.values() if m.daemon]

    @property
    def pids(self):
        return [d.pid for d in self.daemons]

    def exit_status(self):
        return next((d.exit_status() for d in self.daemons if d.exit_status() is not None), None)

    def tail(self):
        return "".join(d.tail() for d in self.daemons)

    def end(self):
        self.cluster.end()
        self.etcd.__exit__()


def pair(work, case, accounts):
    both = Members("pair", work, case, accounts)
    return both, both.cluster["c1"].smtp


def single(work, case, accounts):
    three = Members("single", work, case, accounts, nodes=2)
    return three, three.cluster["c1"].smtp


def double(work, case, accounts):
    three = Members("double", work, case, accounts, nodes=2, copies=2)
    return three, three.cluster["c1"].smtp


OURS = {"todoku": todoku, "other": other, "pair": pair, "single": single, "double": double}


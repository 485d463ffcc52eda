#!/usr/bin/python3
"""etcd - real etcds, one or three, that a test may stop, freeze, kill and bring back

    with Etcd(work) as etcd:                        # one member; size=3 for three
        etcd.endpoints                              # ["http://127.0.0.1:21234"]
        etcd.freeze(); ...; etcd.thaw()             # SIGSTOP, SIGCONT: connections stay, nothing answers
        etcd.kill(); ...; etcd.start()              # the data is kept
    etcd.save(); ...; etcd.restore()            # while it is stopped: a copy of its data, and back to that
        etcd.keys("/todoku/lab/live/")              # {name: bytes}
        etcd.writes()                               # how many changes it has agreed on: for "less than 10 a second"
    Etcd(work, tls=Certificates(work / "tls"))      # TLS, clients must show a certificate
    etcd.add_user("todoku", "secret", "/todoku/")   # and from then on nobody without a password

Etcd syncs as in production (no --unsafe-no-fsync). All of it lies in WORK/etcd*; errors: LabError with the log's tail.
By hand: etcd.py --serve [--size 3], until Ctrl-C.
"""
import argparse
import contextlib
import json
import base64
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from daemon import BUILD, Daemon, LabError, free_port, until

HOST = "127.0.0.1"


def need(program, package):
    if not shutil.which(program):
        raise LabError(f"there is no `{program}`; as root: apt-get install --no-install-recommends {package}")


def openssl(*args, input=None):
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, text=True, timeout=30, input=input)
    if done.returncode:
        raise LabError(f"openssl {' '.join(map(str, args[:3]))} failed: {done.stderr.strip()[-400:]}")
    return done.stdout


class Certificates:
    """An authority and what it signed: `ca`, server() and client() as (certificate, key)."""

    def __init__(self, folder, name="the lab's authority"):
        need("openssl", "openssl")
        self.folder = Path(folder).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca, self._key = self.folder / "ca.pem", self.folder / "ca.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 30, "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self._key, "-out", self.ca)

    def make(self, name, days=30):
        """(certificate, key) for 127.0.0.1 and localhost, good for servers and clients."""
        cert, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        more = self.folder / f"{name}.ext"
        more.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._key, "-CAcreateserial", "-days", days, "-extfile", more, "-out", cert)
        return cert, key


class Member:
    """One etcd: its ports and folder outlive its processes."""

    def __init__(self, folder, name, kind, where):
        self.name, self.folder, self.daemon = name, folder, None
        host, self.inside = where(name) if where else (HOST, contextlib.nullcontext)
        with self.inside():
            self.client, self.peer, self.metrics = free_port(host), free_port(host), free_port(HOST)
        self.url, self.peer_url = f"{kind}://{host}:{self.client}", f"http://{host}:{self.peer}"

    def running(self):
        return self.daemon is not None and self.daemon.exit_status() is None

    def healthy(self):
        try:
            with self.inside(), urllib.request.urlopen(f"http://{HOST}:{self.metrics}/health", timeout=1) as answer:
                return json.load(answer).get("health") in ("true", True)
        except (OSError, ValueError):
            return False

    def figures(self):
        """Its /metrics without labels: {name: value}."""
        with self.inside(), urllib.request.urlopen(f"http://{HOST}:{self.metrics}/metrics", timeout=3) as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#")) if "{" not in name}


class Etcd:
    def __init__(self, work, size=1, tls=None, start=True, name="etcd", where=None):
        """`where`: name of a member -> (its address, what gives a context to start it in), else 127.0.0.1."""
        need("etcd", "etcd-server")
        self.work, self.tls, self.login = Path(work).resolve() / name, tls, None
        self._server = tls.make("etcd") if tls else None
        self._client = tls.make("client") if tls else None
        self.members = [Member(self.work / f"e{i + 1}", f"e{i + 1}", "https" if tls else "http", where) for i in range(size)]
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members:
            if member.daemon:
                member.daemon.signal(signal.SIGCONT)
                member.daemon.kill()  # its data is the test's own: no need for a long goodbye
                member.daemon.end()

    @property
    def endpoints(self):
        return [m.url for m in self.members]

    # ---- its life; `which` is an index, None means all ----

    def _some(self, which):
        return self.members if which is None else [self.members[which]]

    def launch(self, which=None):
        """Start without waiting."""
        cluster = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        for m in self._some(which):
            if m.running():
                continue
            m.folder.mkdir(parents=True, exist_ok=True)
            argv = ["etcd", "--name", m.name, "--data-dir", m.folder / "data", "--listen-client-urls", m.url, "--advertise-client-urls", m.url,
                    "--listen-peer-urls", m.peer_url, "--initial-advertise-peer-urls", m.peer_url, "--initial-cluster", cluster,
                    "--initial-cluster-token", f"lab-{self.members[0].peer}", "--listen-metrics-urls", f"http://{HOST}:{m.metrics}",
                    "--logger", "zap", "--log-level", "warn", "--log-outputs", "stderr"]
            if self.tls:
                cert, key = self._server
                argv += ["--cert-file", cert, "--key-file", key, "--trusted-ca-file", self.tls.ca, "--client-cert-auth"]
            with m.inside():
                m.daemon = Daemon(argv, log=m.folder / "log", name=m.name)

    def start(self, which=None, seconds=20):
        self.launch(which)
        for m in self._some(which):
            until(f"etcd {m.name} to be healthy", m.healthy, seconds, alive=m.daemon)
        return self

    def stop(self, which=None):
        for m in self._some(which):
            m.daemon.stop()

    def kill(self, which=None):
        for m in self._some(which):
            m.daemon.kill()

    def save(self, name="saved"):
        """A copy of all members' data, while they are stopped."""
        for m in self.members:
            shutil.copytree(m.folder / "data", m.folder / name)

    def restore(self, name="saved"):
        """Back to that copy; `name` None: to nothing at all."""
        for m in self.members:
            shutil.rmtree(m.folder / "data")
            if name:
                shutil.copytree(m.folder / name, m.folder / "data")

    def freeze(self, which=None):
        for m in self._some(which):
            m.daemon.signal(signal.SIGSTOP)

    def thaw(self, which=None, seconds=20):
        for m in self._some(which):
            m.daemon.signal(signal.SIGCONT)
        for m in self._some(which):
            until(f"etcd {m.name} to be healthy again", m.healthy, seconds, alive=m.daemon)

    def leader(self):
        """The index of the raft leader among the members, None while there is none."""
        for i, m in enumerate(self.members):
            try:
                if m.running() and m.figures().get("etcd_server_is_leader") == 1:
                    return i
            except OSError:
                continue
        return None

    # ---- what is in it ----

    def ctl(self, *args, input=None, seconds=20, check=True):
        """etcdctl's stdout (or the CompletedProcess with check=False)."""
        need("etcdctl", "etcd-client")
        argv = ["etcdctl", "--endpoints", ",".join(m.url for m in self.members if m.running()), "--command-timeout", f"{max(1, seconds - 5)}s"]
        if self.tls:
            argv += ["--cacert", self.tls.ca, "--cert", self._client[0], "--key", self._client[1]]
        if self.login:
            argv += ["--user", "%s:%s" % self.login]
        env = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        argv, data = [str(a) for a in [*argv, *args]], input.encode() if isinstance(input, str) else input
        done = subprocess.run(argv, capture_output=True, timeout=seconds, input=data or b"", env=dict(env, ETCDCTL_API="3"))
        done.stdout, done.stderr = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        if check and done.returncode:
            raise LabError(f"etcdctl {' '.join(map(str, args))} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.stdout if check else done

    def keys(self, prefix="/todoku/"):
        """{key: value as bytes} below a prefix."""
        found = json.loads(self.ctl("get", "--prefix", prefix, "-w", "json")).get("kvs", [])
        return {base64.b64decode(f["key"]).decode(): base64.b64decode(f.get("value", "")) for f in found}

    def get(self, key):
        """The value as bytes, None when there is none."""
        return self.keys(key).get(key)

    def put(self, key, value):
        """`value`: text or bytes (at least one)."""
        self.ctl("put", key, input=value)

    def delete(self, key):
        self.ctl("del", key)

    def add_user(self, user, password, prefix):
        """One user who may touch what begins with `prefix`, and authentication switched on. We are root from then on."""
        self.ctl("user", "add", "root:root")
        self.ctl("user", "grant-role", "root", "root")
        self.ctl("role", "add", user)
        self.ctl("role", "grant-permission", user, "--prefix=true", "readwrite", prefix)
        self.ctl("user", "add", f"{user}:{password}")
        self.ctl("user", "grant-role", user, user)
        self.ctl("auth", "enable")
        self.login = ("root", "root")

    def writes(self):
        """Changes agreed on since its start: raft's proposals, which are puts, deletes, leases made and revoked (not their renewal)."""
        return max(m.figures()["etcd_server_proposals_applied_total"] for m in self.members if m.running())

    def size(self):
        """Bytes of data in use, at the biggest member."""
        return max(m.figures().get("etcd_mvcc_db_total_size_in_use_in_bytes", 0) for m in self.members if m.running())

    def settings(self, **more):
        """What a config's `cluster.etcd` says to reach it."""
        out = {"endpoints": self.endpoints}
        if self.tls:
            out |= {"ca": str(self.tls.ca), "cert": str(self._client[0]), "key": str(self._client[1])}
        return out | more


def main():
    parser = argparse.ArgumentParser(description="Run etcd until Ctrl-C.")
    parser.add_argument("--serve", action="store_true", required=True)
    parser.add_argument("--size", type=int, default=1)
    args = parser.parse_args()
    with Etcd(BUILD / "lab" / f"etcd-{os.getpid()}", args.size) as etcd:
        print(f"etcd listens on {' '.join(etcd.endpoints)}; Ctrl-C ends it", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as problem:
        sys.exit(f"etcd: {problem}")

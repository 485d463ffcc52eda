"""netns - networks of their own on one machine: each place has an address range and a cable to a router; any way can be cut, either way

    with Network() as net:
        n1 = net.place("n1", "10.2.1", ["11", "12"])     # 10.2.1.1, and 10.2.1.11, .12
        e1 = net.place("e1", "10.3.1")
        with n1.inside():                                # this thread, and what it starts, lives there: sockets, processes, threads
            Daemon([...])
        net.cut(["n1"], ["e1"])                          # n1 hears e1, e1 hears nothing of n1: packets vanish, as on a bad line
        net.cut(["e1"], ["n1"])                          # now neither way
        net.heal()

A place is a network namespace that only this process holds open: it has no name, and is gone with its last process and this one, however
they end. No network of the machine is touched, and no way leads out: the router, a namespace as well, has cables to the places and nothing
else. What is cut is dropped by the router without a word (a policy rule "blackhole", so no module of the kernel is needed).

Needs root, iproute2, and a /proc/sys that can be written (the router forwards). Skip says which of them is missing; LabError: `ip` refused.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess

from daemon import LabError, Skip

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _enter(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise LabError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")


class Place:
    """A network namespace. `address` is its first address, `range` all of them."""

    def __init__(self, name, prefix=None, local=None):
        self.name, self.prefix = name, prefix
        self.address, self.router = f"{prefix}.1", f"{prefix}.254"
        self.range = local or f"{prefix}.0/24"
        with open("/proc/thread-self/ns/net") as before:
            if _libc.unshare(CLONE_NEWNET):
                raise Skip(f"networks of their own need root: unshare: {os.strerror(ctypes.get_errno())}")
            try:
                self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            finally:
                _enter(before.fileno())

    def close(self):
        os.close(self.fd)

    @property
    def path(self):
        """For `ip link ... netns` and `nsenter --net=`, while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextlib.contextmanager
    def inside(self):
        """This thread and all that it starts meanwhile are in here."""
        with open("/proc/thread-self/ns/net") as before:
            _enter(self.fd)
            try:
                yield self
            finally:
                _enter(before.fileno())

    def ip(self, lines):
        with self.inside():
            done = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise LabError(f"`ip` in {self.name} refused: {done.stderr.strip()[:400]}")


class Network:
    def __init__(self):
        if not shutil.which("ip"):
            raise Skip("there is no `ip`; as root: apt-get install --no-install-recommends iproute2")
        self.places, self.cuts = {}, set()  # names: Place; (from, to)
        self.hub = Place("router")
        try:
            self.hub.ip(["link set dev lo up"])
            with self.hub.inside(), open("/proc/sys/net/ipv4/ip_forward", "w") as forward:
                forward.write("1")
        except (OSError, LabError) as problem:
            self.hub.close()
            raise Skip(f"a router between networks can't be had here: {problem}") from problem

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Cables and rules go with the namespaces, and these with the last process in them."""
        for place in [*self.places.values(), self.hub]:
            place.close()
        self.places = {}

    def __getitem__(self, name):
        return self.places[name]

    def place(self, name, prefix, more=(), local=None):
        """A place with a cable to the router: addresses PREFIX.1 and PREFIX.MORE. `local`: a range of which it is every address."""
        p = self.places[name] = Place(name, prefix, local)
        self.hub.ip([f"link add name {name} type veth peer name eth0 netns {p.path}", f"address add {p.router}/24 dev {name}", f"link set dev {name} up"])
        p.ip(["link set dev lo up", *(f"address add {prefix}.{last}/24 dev eth0" for last in ("1", *more)), "link set dev eth0 up",
              f"route add default via {p.router}", *([f"route add local {local} dev lo"] if local else [])])
        if local:
            self.hub.ip([f"route add {local} via {p.address}"])
        return p

    # ---- what does not get through ----

    def cut(self, senders, receivers):
        """Nothing from any of the senders reaches any of the receivers (names); the other way is left as it is."""
        new = {(a, b) for a in senders for b in receivers if a != b} - self.cuts
        self._rules("add", new)
        self.cuts |= new

    def part(self, some, others):
        """Neither way."""
        self.cut(some, others)
        self.cut(others, some)

    def heal(self):
        """Everything gets through again."""
        self._rules("del", self.cuts)
        self.cuts = set()

    def _rules(self, verb, pairs):
        if pairs:
            self.hub.ip([f"rule {verb} priority 100 from {self[a].range} to {self[b].range} blackhole" for a, b in sorted(pairs)])

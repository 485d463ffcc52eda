"""accounts - what a server and all its processes cost: processor time and memory

    accounts = Accounts("postfix-0")
    daemon = Daemon(..., before=accounts.join)         # in the child, before it becomes the server
    accounts.watch([daemon.pid])                       # memory is sampled by a thread from now on
    ... accounts.seconds() ... accounts.peak_mib() ...
    accounts.close()

Processor time is that of a cgroup of its own (cpuacct or version 2), so that children which lived for a millisecond count as
well; where no cgroup can be made it is the sum over /proc, which misses those and says so (`exact`).

Memory is the largest sum of proportional set sizes (Pss in /proc/PID/smaps_rollup) over all processes of the group, looked at every
quarter of a second (less often where looking is dear: at most 2 % of a core goes there): a page shared by ten processes counts
once, the page cache of files not at all. A peak between two looks is missed.
"""
import os
import threading
import time
from pathlib import Path

EVERY = 0.25


def tree_of(roots, stats):
    """The processes `roots` and all their living descendants. stats: {pid: (parent, ...)}"""
    family = set(roots)
    grown = True
    while grown:
        grown = {p for p, (parent, *_) in stats.items() if parent in family} - family
        family |= grown
    return family & stats.keys()


def all_stats():
    """{pid: (parent, ticks of itself and of its reaped children)}"""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            stats[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    return stats


def tree_seconds(*pids):
    """User and system time of processes, their reaped children and all their living descendants."""
    stats = all_stats()
    return sum(stats[p][1] for p in tree_of(pids, stats)) / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid):
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


class Accounts:
    def __init__(self, name):
        self.group, self._pids, self._peak, self._stop, self._thread = None, [], 0, threading.Event(), None
        for base in (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")):
            group = base / f"todoku-bench-{os.getpid()}-{name}"
            try:
                group.mkdir()
            except OSError:
                continue
            if (group / "cpuacct.usage").exists() or (group / "cpu.stat").exists():
                self.group = group
                break
            group.rmdir()

    @property
    def exact(self):
        return self.group is not None

    def join(self):
        """Called in the child before it becomes the server."""
        if self.group:
            (self.group / "cgroup.procs").write_text("0")

    def watch(self, pids):
        self._pids = list(pids)
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def seconds(self):
        if self.group and (self.group / "cpuacct.usage").exists():
            return int((self.group / "cpuacct.usage").read_text()) / 1e9
        if self.group:
            return int((self.group / "cpu.stat").read_text().split()[1]) / 1e6
        return tree_seconds(*self._pids)

    def processes(self):
        if not self.group:
            return tree_of(self._pids, all_stats())
        try:
            return {int(pid) for pid in (self.group / "cgroup.procs").read_text().split()}
        except OSError:
            return set()

    def peak_mib(self):
        return self._peak / 2**20

    def _sample(self):
        while not self._stop.is_set():
            start = time.thread_time()
            self._peak = max(self._peak, sum(map(pss_bytes, self.processes())))
            self._stop.wait(max(EVERY, 50 * (time.thread_time() - start)))

    def close(self):
        self._stop.set()
        if self._thread:
            self._thread.join(5)
        if self.group:
            for _ in range(50):
                try:
                    return self.group.rmdir()
                except OSError:
                    time.sleep(0.1)

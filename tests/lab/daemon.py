"""daemon - processes that tests start, and surely end

Every process the lab starts goes through Daemon: it gets a log file, a bounded wait until it is ready, and is ended by
its own pid, also when the test fails or the interpreter leaves early (atexit). Nothing here ever searches for a process
by name.

    with Daemon(["nsd", "-d"], log=work / "nsd.log") as nsd:
        nsd.wait_port("127.0.0.53", 5353)

Errors: LabError with a sentence and the tail of the process's log.
"""
import atexit
import collections
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("LAB_BUILD", ROOT / "build"))
LAB = BUILD / "lab"

PORTS = 200  # of a process: see _Ports

_running = []


class LabError(Exception):
    """Something in the lab could not be done; the text says what and where."""


class Skip(Exception):
    """A test can't run here (a peer can't be had, no right to mount); the text says why."""


def until(what, condition, seconds, every=0.05, alive=None):
    """Wait until condition() is true and return its value; LabError after `seconds`, or at once when `alive` died."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if alive is not None and alive.exit_status() is not None:
            raise LabError(f"{alive.name} ended with status {alive.exit_status()} while waiting for {what}\n{alive.tail()}")
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:g} s in vain for {what}" + (f"\n{alive.tail()}" if alive else ""))
        time.sleep(every)


def can_connect(host, port, seconds=1.0):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(seconds)
        return s.connect_ex((host, port)) == 0


class _Ports:
    """A slice of the ports for this process alone, among all on this machine that choose theirs here: a port is free until its
    daemon has come up, and tests run beside each other. Below the ephemeral range, so outgoing connections don't race for it."""

    FIRST, SLICES = 12000, 100

    def __init__(self):
        self._pid = self._file = None
        self._ports = collections.deque()

    def next(self):
        if self._pid != os.getpid():  # forked: the former one's slice is his
            self._pid, self._file = os.getpid(), self._lock()
        self._ports.rotate(-1)
        return self._ports[-1]

    def _lock(self):
        folder = Path(tempfile.gettempdir()) / f"todoku-ports-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        for i in sorted(range(self.SLICES), key=lambda i: (i - os.getpid()) % self.SLICES):
            file = open(folder / str(i), "w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            self._ports = collections.deque(range(self.FIRST + i * PORTS, self.FIRST + (i + 1) * PORTS))
            return file
        raise LabError(f"all {self.SLICES} slices of ports are in use: see {folder}")


_ports = _Ports()


def free_port(host="127.0.0.1"):
    """A TCP port nobody uses on `host` now, and that nobody else who asks here is given."""
    for _ in range(PORTS):
        port = _ports.next()
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as s:
            try:
                s.bind((host, port))
                return port
            except OSError:
                continue
    raise LabError(f"no free port on {host}")


class Daemon:
    """A started process, its log, its end. `stop_signal` is what a polite stop means for it."""

    def __init__(self, argv, log, name=None, env=None, cwd=None, stop_signal=signal.SIGTERM, before=None):
        self.argv = [str(a) for a in argv]
        self.name = name or Path(self.argv[0]).name
        self.log = Path(log)
        self.stop_signal = stop_signal
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as out:
            try:
                self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=cwd,
                                                env=dict(os.environ, **(env or {})), start_new_session=True, preexec_fn=before)
            except OSError as error:
                raise LabError(f"cannot start {self.argv[0]}: {error.strerror}") from error
        self.pid = self.process.pid
        _running.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def exit_status(self):
        """None while it runs; negative: ended by that signal."""
        return self.process.poll()

    def text(self):
        """What this start of the process has logged so far."""
        with open(self.log, "rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def tail(self, lines=15):
        return "".join(f"    {self.name}| {line}\n" for line in self.text().splitlines()[-lines:])

    def wait_port(self, host, port, seconds=15):
        until(f"{self.name} on {host}:{port}", lambda: can_connect(host, port), seconds, alive=self)
        return self

    def wait_text(self, text, seconds=15):
        until(f'"{text}" in {self.log}', lambda: text in self.text(), seconds, alive=self)
        return self

    def wait_exit(self, seconds=15):
        """Its exit status; LabError when it doesn't end in time."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} (pid {self.pid}) still runs after {seconds:g} s\n{self.tail()}") from None

    def signal(self, number):
        if self.exit_status() is None:
            os.kill(self.pid, number)

    def stop(self, seconds=20):
        """Stop politely; its exit status."""
        self.signal(self.stop_signal)
        return self.wait_exit(seconds)

    def kill(self):
        """kill -9, and reap."""
        self.signal(signal.SIGKILL)
        return self.wait_exit(10)

    def end(self):
        """Make sure it is gone, politely if that works."""
        if self in _running:
            _running.remove(self)
        if self.exit_status() is not None:
            return
        try:
            self.stop(5)
        except LabError:
            self.kill()


@atexit.register
def end_all():
    for daemon in list(reversed(_running)):
        daemon.end()


def _on_sigterm(*_):
    sys.exit(143)  # so that atexit runs


signal.signal(signal.SIGTERM, _on_sigterm)


def compile_c(source, program, flags=("-O2",), libraries=()):
    """Compile one C file into build/lab when it is newer than the program. Its own headers count too."""
    source, program = Path(source), LAB / program
    newest = max(f.stat().st_mtime for f in [source, *source.parent.glob("*.h")])
    if program.exists() and program.stat().st_mtime >= newest:
        return program
    LAB.mkdir(parents=True, exist_ok=True)
    fresh = program.with_name(f".{program.name}.{os.getpid()}")
    argv = [os.environ.get("CC", "cc"), "-std=c17", "-Wall", "-Wextra", *flags, "-o", fresh, source, *libraries]
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"cannot compile {source}:\n{done.stderr}")
    fresh.rename(program)
    return program

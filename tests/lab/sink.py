"""sink - start tests/lab/sink.c and read what arrived

    with Sink(work, listen=["127.0.3.1:2600"], trouble=["mail:hang"]) as sink:
        ...
        for a in sink.arrivals(): print(a.id, a.rcpt, a.peer)

tls=(certificate, key), as files: it offers STARTTLS.
"""
import collections
from pathlib import Path

from daemon import Daemon, LabError, compile_c, until

Arrival = collections.namedtuple("Arrival", "time peer local helo sender rcpt id bytes hash connection")


class Sink(Daemon):
    def __init__(self, work, listen, trouble=(), without=(), quiet=False, keep=False, extra=(), name="sink", before=None, tls=None):
        source = Path(__file__).with_name("sink.c")
        program = compile_c(source, "sink-tls", ("-O2", "-DSINK_TLS"), ("-lssl", "-lcrypto")) if tls else compile_c(source, "sink")
        self.arrived = Path(work) / f"{name}.tsv"
        self.arrived.parent.mkdir(parents=True, exist_ok=True)
        self._lines, self._offset, self._rest = [], 0, b""
        argv = [program, "--log", self.arrived, *extra]
        for address in listen:
            argv += ["--listen", address]
        for one in trouble:
            argv += ["--trouble", one]
        if without:
            argv += ["--without", ",".join(without)]
        self.kept = Path(work) / f"{name}.kept"
        if keep:
            argv += ["--keep", self.kept]
        if quiet:
            argv.append("--quiet")
        if tls:
            argv += ["--tls", ",".join(map(str, tls))]
        self.quiet = quiet
        super().__init__(argv, log=Path(work) / f"{name}.log", name=name, before=before)
        self.wait_text("ready", 5)

    def _read(self):
        if not self.arrived.exists():
            return
        with open(self.arrived, "rb") as log:
            log.seek(self._offset)
            new = log.read()
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        self._lines += lines

    def count(self):
        """Deliveries so far (a message to two recipients counts twice)."""
        self._read()
        return len(self._lines)

    def arrivals(self):
        """Everything that arrived so far, oldest first. A quiet sink knows id and recipient only."""
        self._read()
        if self.quiet:
            return [Arrival(0, "", "", "", "", rcpt, id_, 0, "", 0) for id_, rcpt in (l.decode().split("\t") for l in self._lines)]
        out = []
        for line in self._lines:
            f = line.decode("utf-8", "surrogateescape").split("\t")
            if len(f) != 10:
                raise LabError(f"{self.arrived}: a line with {len(f)} columns: {line[:200]!r}")
            out.append(Arrival(float(f[0]), f[1], f[2], f[3], f[4], f[5], f[6], int(f[7]), f[8], int(f[9])))
        return out

    def by_key(self):
        """{(id, recipient): [arrivals]} — for messages without an id header the id is "-" and the recipient must be unique."""
        out = collections.defaultdict(list)
        for a in self.arrivals():
            out[a.id, a.rcpt].append(a)
        return out

    def peak(self):
        """The most connections open at once; known after stop()."""
        return int(self.text().rpartition(" at once")[0].rpartition("(")[2])

    def contents(self):
        """[(id, whole message as bytes)] of a sink started with keep=True."""
        out, data, at = [], self.kept.read_bytes() if self.kept.exists() else b"", 0
        while at < len(data):
            head = data[at:data.index(b"\n", at)]
            id_, _, length = head.decode().rpartition("\t")
            at += len(head) + 1
            out.append((id_, data[at:at + int(length)]))
            at += int(length)
        return out

    def wait_count(self, n, seconds, alive=None):
        """Wait until n deliveries arrived, as long as they keep coming: LabError when `seconds` pass without reaching n."""
        try:
            until(f"{n} deliveries at {self.name}", lambda: self.count() >= n, seconds, every=0.1, alive=alive)
        except LabError as error:
            raise LabError(f"{error} (have {self.count()})") from None

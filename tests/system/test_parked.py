"""Messages at rest lie in a table beside the log: they survive kill -9, come back in time, and the table may be lost."""
import re
import shutil
import time

from dns import DOMAINS
from lab import SENDER, Load, check, whole

APART = True  # it waits a lot

RETRY = {"delivery": {"retry": ["75s"]}}
COUNT = 2000


def park(lab):
    """A node with COUNT messages that were deferred, and are at rest by now and by its table; and who will take them next time."""
    sink = lab.sink(trouble=[f"mail:451*{COUNT}"])
    t = lab.todoku(more=RETRY)
    load = Load(DOMAINS, SENDER, COUNT, prefix="p").run(*t.smtp)
    check(len(load.accepted) == COUNT, f"accepted {len(load.accepted)}: {list(load.refused.values())[:2]}")
    deadline = time.monotonic() + 30
    while len(t.events(event="deferred")) < COUNT and time.monotonic() < deadline:
        time.sleep(0.2)
    deferred = len(t.events(event="deferred"))
    check(deferred == COUNT, f"{deferred} were deferred, not {COUNT}")
    time.sleep(22)  # two checkpoints
    return sink, t, load


def at_rest(t):
    """What the last start found in its table."""
    found = re.findall(r"(\d+) messages at rest; the log was read from", t.text())
    return int(found[-1]) if found else 0


def finish(sink, t, load, at_once=False):
    """All arrive when they are due, or `at_once`: an operator has them tried now."""
    if at_once:
        done = t.cli("retry", "--tenant", "acme")
        check(done.returncode == 0, f"todoku retry: {done.stdout}{done.stderr}")
    sink.wait_count(COUNT, 90, alive=t.daemon)
    time.sleep(1)
    t.stop()
    whole(load, sink)


def test_killed_at_rest(lab):
    "2,000 messages that wait are at rest in the table; after kill -9 they are found there, and arrive once each, in time"
    sink, t, load = park(lab)
    t.kill()
    began = time.monotonic()
    t.start()
    took = time.monotonic() - began
    rows = at_rest(t)
    check(rows == COUNT, f"{rows} messages were at rest, not {COUNT}\n{t.daemon.tail()}")
    finish(sink, t, load)
    print(f"        {rows} rows; started in {took:.2f} s")


def test_table_lost(lab):
    "the table is removed while the node is down: all of the log is read, nothing is lost or doubled"
    sink, t, load = park(lab)
    t.kill()
    shutil.rmtree(t.data / "table")
    t.start()
    check(at_rest(t) == 0, "something was found in a table that is not there")
    finish(sink, t, load, at_once=True)


def test_table_damaged(lab):
    "the table's files are overwritten: the node says so, reads all of the log, nothing is lost or doubled"
    sink, t, load = park(lab)
    t.kill()
    for path in (t.data / "table").iterdir():
        if path.name not in ("LOCK",) and path.is_file():
            path.write_bytes(b"nonsense" * 100)
    t.start()
    check("to make it anew" in t.text(), f"nothing is said of the damage:\n{t.daemon.tail()}")
    finish(sink, t, load, at_once=True)


test_killed_at_rest.seconds = 85

"""A body that many recipients get lies on the disk once, whether it came in one envelope or in many."""
import time

from dns import DOMAINS
from lab import SENDER, Load, check, whole
from load import fnv1a

APART = True

ACME = {"tenants": [{"id": "acme", "pools": ["a"], "domains": ["sender.test"]}]}
PART = b"Content-Type: text/plain\r\n\r\n"
TEXT = b"".join(b"%04d The same words for everybody, and many of them.\r\n" % i for i in range(200))  # 10.8 KiB


def mailing(prefix, count, rcpts=(1, 1)):
    """`count` envelopes of one text."""
    load = Load(DOMAINS, SENDER, count, prefix=prefix, rcpts=rcpts)
    load.messages = [m._replace(body=PART + TEXT, hash=format(fnv1a(PART + TEXT), "016x")) for m in load.messages]
    return load


def log_size(t):
    """Of what is written; blocks reserved ahead don't count."""
    return sum(path.stat().st_size for path in (t.data / "spool").glob("*.seg"))


def hand_in(t, load):
    """How many bytes it took on the disk."""
    before = log_size(t)
    load.run(*t.smtp, connections=10)
    check(len(load.accepted) == len(load.messages), f"{len(load.accepted)} were accepted: {list(load.refused.values())[:2]}")
    check(not load.rcpt_refused, f"recipients were refused: {list(load.rcpt_refused.values())[:2]}")
    return log_size(t) - before


def test_one_text(lab):
    "one body in 200 envelopes and in one of 1,000 recipients: at most header + 600 bytes an envelope and 200 a recipient on the disk; all arrive whole after kill -9"
    sink, t = lab.sink(), lab.todoku(more=ACME)
    t.cli("pause", "--tenant", "acme", "--reason", "to be counted")
    first, many, single, crowd = mailing("first", 1), mailing("many", 200), mailing("single", 1), mailing("crowd", 1, (1000, 1000))
    hand_in(t, first)
    envelope = hand_in(t, many) / 200
    recipient = (hand_in(t, crowd) - hand_in(t, single)) / 999
    header = len(many.messages[0].header + PART)
    print(f"        {envelope:.0f} bytes an envelope (its header: {header}), {recipient:.0f} a recipient; the body: {len(TEXT)}")
    check(envelope <= header + 600, f"an envelope more takes {envelope:.0f} bytes, with a header of {header}")
    check(recipient <= 200, f"a recipient more takes {recipient:.0f} bytes")
    t.kill()
    t.start()
    again = mailing("again", 50)
    hand_in(t, again)
    t.cli("resume", "--tenant", "acme")
    sink.wait_count(1252, 60, alive=t.daemon)
    time.sleep(0.5)
    t.stop()
    whole([first, many, single, crowd, again], sink)


def test_many_texts(lab):
    "texts that differ in their last byte only, each in several envelopes and between each other: everybody gets his own"
    sink, t = lab.sink(), lab.todoku(more=ACME)
    t.cli("pause", "--tenant", "acme", "--reason", "to be counted")
    load = mailing("mix", 300)
    bodies = [PART + TEXT + b"%d\r\n" % i for i in range(10)]
    hashes = [format(fnv1a(body), "016x") for body in bodies]
    load.messages = [m._replace(body=bodies[i % 10], hash=hashes[i % 10]) for i, m in enumerate(load.messages)]
    taken = hand_in(t, load)
    check(taken < 10 * len(TEXT) * 2 + 300 * 1200, f"{taken} bytes for ten texts in 300 envelopes")
    t.kill()
    t.start()
    t.cli("resume", "--tenant", "acme")
    sink.wait_count(300, 60, alive=t.daemon)
    time.sleep(0.5)
    t.stop()
    whole(load, sink)

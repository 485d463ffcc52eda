"""A deep queue behind a small window: what does not fit in memory lies in the table, and survives kill -9 while it is delivered."""
import sys
from pathlib import Path

from lab import check

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
import deep  # noqa: E402

APART = True  # it waits a lot


def deliver(lab, *options):
    """20,000 deliveries in a window of 1,024: the receiver is not there, then it is, and the node is killed before and meanwhile."""
    args = deep.read_arguments(["bodies", "--scale", "0.002", "--window", "1MiB", "--seconds", "60", "--connections", "4", "--work", str(lab.work), *options])
    run = deep.Run(deep.Case(args), "deep").all(listings=False)
    check(run.accepted == run.case.messages, f"only {run.accepted} of {run.case.messages} messages were accepted")
    check(run.lost == 0, f"{run.lost} deliveries were lost")
    check(run.doubled <= run.case.in_flight, f"{run.doubled} extra copies; {run.case.in_flight} may have been in flight")
    check(run.strange == 0, f"{run.strange} arrivals that nobody sent")


def test_killed_while_it_delivers(lab):
    "20,000 deliveries are queued; kill -9, then twice more while they are delivered: none lost, doubled only what was in flight"
    deliver(lab, "--kills", "2")


def test_killed_and_the_table_lost(lab):
    "the same, and the table is removed after the first kill: all of the log is read"
    deliver(lab, "--kills", "1", "--lose-table")

#!/usr/bin/python3
"""run - the system tests: real processes, real sockets, real disks

    tests/system/run.py                    all of them
    tests/system/run.py whole kill         those with "whole" or "kill" in their name (file.test)
    tests/system/run.py --list
    tests/system/run.py --long [--seed N]  with hundreds of rounds (--rounds) where tests draw faults, and minutes where others wait for one;
                                           a seed is printed, and draws the same again

Tests of a file that says APART = True (or a test with `apart`) come first, four at a time (--jobs), each in a process of its own: they wait a lot, and measure
nothing that a busy machine would spoil. The others follow one by one. One line a test with its time; logs of all processes stay under
build/system/<test>/ (those of passed tests are removed).
The last line is `N passed, N failed`, with `, N skipped` when something could not be had. Exit status 0, 1 after failures,
2 when there is nothing to run. Tests send to 127.0.0.0/8 and ::1 only.
"""
import argparse
import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]

from daemon import LabError, Skip, end_all  # noqa: E402
from lab import Lab  # noqa: E402

LIMIT = 150  # seconds for one test without a `limit`, or with --long a `long_limit`, of its own
JOBS = 4  # tests of APART files at a time; together they want less than one processor
TOTAL = 1200  # seconds for all, and with --long the long ones' limits; what has not begun by then has failed


class TimedOut(LabError):
    pass


def find_tests():
    """[(name, function)] in the order of files and lines."""
    tests = []
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        found = [f for n, f in vars(module).items() if n.startswith("test_") and callable(f)]
        for f in sorted(found, key=lambda f: f.__code__.co_firstlineno):
            tests.append((f"{path.stem[5:]}.{f.__name__[5:]}", f))
    return tests


def limit_of(function):
    return getattr(function, "long_limit" if Lab.long else "limit", LIMIT)


def where(error):
    """The line of the test file that failed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/tests/system/test_" in f.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""


def run_test(name, function):
    """("ok" | "FAILED" | "skipped", text)"""

    limit = limit_of(function)

    def on_alarm(*_):
        raise TimedOut(f"took longer than {limit} s")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(limit)
    lab, outcome, text = None, "ok", ""
    try:
        lab = Lab(name)
        function(lab)
    except Skip as why:
        outcome, text = "skipped", str(why)
    except Exception as error:
        outcome = "FAILED"
        text = where(error) + (str(error) if isinstance(error, LabError) else "".join(traceback.format_exception(error)))
    finally:
        signal.alarm(0)
        if lab:
            try:
                lab.close()
            except LabError as error:
                outcome, text = "FAILED", f"{text}\nwhile cleaning up: {error}"
        end_all()
    if lab and outcome == "FAILED":
        (lab.work / "FAILURE").write_text(text + "\n")
    elif lab:
        shutil.rmtree(lab.work, ignore_errors=True)
    return outcome, text


class Apart:
    """A test in a process of its own; what it prints is kept until it has ended."""

    def __init__(self, name, function):
        self.name, self.function, self.start = name, function, time.monotonic()
        self.output = tempfile.TemporaryFile()
        self.result = tempfile.TemporaryFile()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._child()

    def _child(self):
        try:
            os.dup2(self.output.fileno(), 1)
            outcome = run_test(self.name, self.function)
            sys.stdout.flush()
            os.write(self.result.fileno(), json.dumps(outcome).encode())
        finally:
            end_all()
            os._exit(0)

    def ended(self):
        """(outcome, text) when it has, else None."""
        if os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            return None
        self.pid = None
        self.output.seek(0)
        self.result.seek(0)
        print(self.output.read().decode("utf-8", "replace"), end="")
        try:
            return json.loads(self.result.read())
        except ValueError:
            return "FAILED", "its process ended without a result"

    def end(self):
        if self.pid:
            os.kill(self.pid, signal.SIGTERM)
            os.waitpid(self.pid, 0)


class Run:
    def __init__(self, total):
        self.counts, self.begun, self.total = {"ok": 0, "FAILED": 0, "skipped": 0}, time.monotonic(), total

    def late(self, name, function):
        if time.monotonic() - self.begun < self.total:
            return False
        self.tell(name, function, time.monotonic(), "FAILED", f"not begun: the others took more than {self.total} s")
        return True

    def tell(self, name, function, start, outcome, text):
        self.counts[outcome] += 1
        print(f"{outcome:7} {time.monotonic() - start:6.1f} s  {name:34} {function.__doc__ or ''}", flush=True)
        if text:
            print("        " + text.strip().replace("\n", "\n        "), flush=True)

    def apart(self, tests, jobs):
        tests, at_work = list(tests), []
        try:
            if len(tests) > 1:
                with contextlib.suppress(Skip, LabError):
                    Lab.peers.fetch("nsd")  # all of them want it, and only one may fetch it
            while tests or at_work:
                while tests and len(at_work) < jobs:
                    name, function = tests.pop(0)
                    if not self.late(name, function):
                        at_work.append(Apart(name, function))
                for one in list(at_work):
                    result = one.ended()
                    if result:
                        at_work.remove(one)
                        self.tell(one.name, one.function, one.start, *result)
                time.sleep(0.1)
        finally:
            for one in at_work:
                one.end()

    def one_by_one(self, tests):
        for name, function in tests:
            start = time.monotonic()
            if not self.late(name, function):
                self.tell(name, function, start, *run_test(name, function))


def main():
    parser = argparse.ArgumentParser(description="Run the system tests.")
    parser.add_argument("names", nargs="*", help="run tests whose name (file.test) contains one of these")
    parser.add_argument("--list", action="store_true", help="print the names and what each proves")
    parser.add_argument("--todoku", metavar="PATH", help="the program (default build/release/todoku)")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"how many tests at a time, of those that may run side by side ({JOBS})")
    parser.add_argument("--long", action="store_true", help="hundreds of rounds instead of a dozen; an hour and more")
    parser.add_argument("--rounds", type=int, default=Lab.rounds, metavar="N", help=f"rounds of faults with --long ({Lab.rounds}); where one copy is kept, a quarter")
    parser.add_argument("--seed", type=int, help="what tests draw their faults by (1; with --long the time)")
    args = parser.parse_args()
    Lab.long, Lab.rounds, Lab.seed = args.long, args.rounds, args.seed if args.seed is not None else int(time.time()) if args.long else 1
    if args.todoku:
        os.environ["TODOKU"] = str(Path(args.todoku).resolve())
    tests = [(n, f) for n, f in find_tests() if not args.names or any(part in n for part in args.names)]
    if args.list:
        for name, function in tests:
            print(f"{name:34} {function.__doc__ or ''}")
        return 0
    run = Run(TOTAL + sum(limit_of(f) - LIMIT for _, f in tests))
    apart = [(n, f) for n, f in tests if getattr(f, "apart", False) or getattr(sys.modules[f.__module__], "APART", False)]
    run.apart(sorted(apart, key=lambda t: -getattr(t[1], "seconds", 0)), max(1, args.jobs))
    run.one_by_one([t for t in tests if t not in apart])
    counts = run.counts
    print(f"{time.monotonic() - run.begun:.0f} s in all" + ("; logs of the failures are under build/system" if counts["FAILED"] else ""))
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['ok']} passed, {counts['FAILED']} failed{skipped}")
    return 2 if not tests else 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())

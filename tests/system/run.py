#!/usr/bin/python3
"""run - the system tests: real processes, real sockets, real disks

    tests/system/run.py                    all of them
    tests/system/run.py whole kill         those with "whole" or "kill" in their name (file.test)
    tests/system/run.py --list

One line a test with its time; logs of all processes stay under build/system/<test>/ (those of passed tests are removed).
The last line is `N passed, N failed`, with `, N skipped` when something could not be had. Exit status 0, 1 after failures,
2 when there is nothing to run. Tests send to 127.0.0.0/8 and ::1 only.
"""
import argparse
import importlib
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]

from daemon import LabError, Skip, end_all  # noqa: E402
from lab import Lab  # noqa: E402

LIMIT = 150  # seconds for one test
TOTAL = 1200  # seconds for all; what has not begun by then has failed


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


def where(error):
    """The line of the test file that failed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/tests/system/test_" in f.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}: " if frames else ""


def run_test(name, function):
    """("ok" | "FAILED" | "skipped", text)"""

    def on_alarm(*_):
        raise TimedOut(f"took longer than {LIMIT} s")

    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(LIMIT)
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


def main():
    parser = argparse.ArgumentParser(description="Run the system tests.")
    parser.add_argument("names", nargs="*", help="run tests whose name (file.test) contains one of these")
    parser.add_argument("--list", action="store_true", help="print the names and what each proves")
    parser.add_argument("--todoku", metavar="PATH", help="the program (default build/release/todoku)")
    args = parser.parse_args()
    if args.todoku:
        os.environ["TODOKU"] = str(Path(args.todoku).resolve())
    tests = [(n, f) for n, f in find_tests() if not args.names or any(part in n for part in args.names)]
    if args.list:
        for name, function in tests:
            print(f"{name:34} {function.__doc__ or ''}")
        return 0
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    begun = time.monotonic()
    for name, function in tests:
        start = time.monotonic()
        if start - begun < TOTAL:
            outcome, text = run_test(name, function)
        else:
            outcome, text = "FAILED", f"not begun: the others took more than {TOTAL} s"
        counts[outcome] += 1
        print(f"{outcome:7} {time.monotonic() - start:6.1f} s  {name:34} {function.__doc__ or ''}", flush=True)
        if text:
            print("        " + text.strip().replace("\n", "\n        "), flush=True)
    print(f"{time.monotonic() - begun:.0f} s in all" + ("; logs of the failures are under build/system" if counts["FAILED"] else ""))
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['ok']} passed, {counts['FAILED']} failed{skipped}")
    return 2 if not tests else 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""bounds - what this machine can do at best, measured in the same run as the servers

    straight   the generator sends right into the receiver: no server, no disk. Nobody can relay faster through these two.
    disk       bodies appended in groups as large as the number of clients, each group synced before the next. No server may answer
               250 more often. Beside it groups of one: what a client alone can get.
    signature  processor seconds of one RSA-2048 signature, as `openssl speed` counts them (user time, one core): what every
               DKIM-signed message costs at least, per signature.
"""
import re
import shutil
import subprocess
import time
from pathlib import Path

from accounts import tree_seconds
from daemon import LabError, compile_c
from rounds import HERE, generate, open_sink, quantiles


def straight(case, folder):
    """{"rate", "cpu": s per 1,000 of generator and receiver together, and with case.pause "own": milliseconds a message}"""
    work = Path(folder).resolve() / f"bound-{case.name}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with open_sink(work, case) as sink:
            before, start = tree_seconds(sink.pid), time.monotonic()
            more = ("--accepted", work / "times", "--times", 1, "--pause", case.pause) if case.pause else ()
            accepted, _, cpu = generate(case.sink, case, case.count, "b", *more)
            seconds, used = time.monotonic() - start, tree_seconds(sink.pid) - before + cpu
            if accepted != case.count:
                raise LabError(f"the receiver alone took {accepted} of {case.count}")
            row = {"case": case.name, "rate": accepted / seconds, "cpu": used / accepted * 1000}
            if case.pause:
                row["own"] = quantiles([float(line.split("\t")[2]) / 1000 for line in (work / "times").read_text().splitlines()])
            return row
    finally:
        shutil.rmtree(work, ignore_errors=True)


def disk(folder, size, group, seconds=2):
    """Bodies a second, each group of `group` synced."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    argv = [str(compile_c(HERE / "disk.c", "disk")), str(folder), str(size), str(group), str(seconds)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise LabError(f"disk: {done.stderr.strip()}")
    return float(done.stdout.split()[0])


def signature(seconds=2):
    """Milliseconds of processor time that one RSA-2048 signature takes on one core."""
    done = subprocess.run(["openssl", "speed", "-seconds", str(seconds), "rsa2048"], capture_output=True, text=True, timeout=30 + 4 * seconds)
    found = re.search(r"rsa 2048 bits.*?\s([\d.]+)\s+[\d.]+\s*$", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise LabError(f"openssl speed: {(done.stderr or done.stdout).strip()[-300:]}")
    return 1000 / float(found.group(1))

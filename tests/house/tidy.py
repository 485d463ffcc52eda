#!/usr/bin/python3
"""tidy - clang-tidy over every .c of the project, but only where something changed since it last had nothing to say

    tests/house/tidy.py BUILD [FILE...]     BUILD: a folder configured by CMake and built, such as build/release

A file counts as changed when it, one of the project's headers it includes (directly or not), .clang-tidy, or how it
is compiled changed. What was clean is remembered under BUILD/tidy. A file that several programs have is looked at once for each
set of definitions it is compiled with. Runs one clang-tidy a core. Prints what clang-tidy says.
Exit: 0, or 1 when it said something.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.M)
SECONDS = 300  # for one file


def closure(path, seen):
    """The file and the project's headers behind it; those made by the build change with their schemas' users."""
    if path in seen or not path.is_file():
        return seen
    seen.add(path)
    for name in INCLUDE.findall(path.read_bytes()):
        closure(ROOT / name.decode(), seen)
        closure(path.parent / name.decode(), seen)
    return seen


def ways(build):
    """{file: [entry of compile_commands.json]}: those that differ by more than whose program they are for."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        definitions = tuple(sorted(re.findall(r"(?<=\s)-[DU]\S+", entry["command"])))
        found.setdefault(entry["file"], {}).setdefault(definitions, entry)
    return {file: list(entries.values()) for file, entries in found.items()}


def key(source, entries):
    digest = hashlib.sha256("\0".join(entry["command"] for entry in entries).encode())
    for path in [ROOT / ".clang-tidy", *sorted(closure(source, set()))]:
        digest.update(str(path).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def tidy(folder, source):
    """What clang-tidy says, or nothing; it looks once for each entry of the folder's compile_commands.json."""
    try:
        done = subprocess.run(["clang-tidy", "-p", folder, "--quiet", source], capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return f"{source}: clang-tidy took longer than {SECONDS} s\n"
    return done.stdout + done.stderr if done.returncode else ""


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    build = Path(sys.argv[1])
    entries = ways(build)
    names = sys.argv[2:] or subprocess.run(["git", "ls-files", "*.c"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    stamps = build / "tidy"
    stamps.mkdir(exist_ok=True)
    (stamps / "compile_commands.json").write_text(json.dumps([entry for each in entries.values() for entry in each], indent=0))
    waiting = []
    for name in names:
        source = ROOT / name
        if source.is_file():
            stamp = stamps / (name.replace("/", "+") + ".clean")
            now = key(source, entries.get(str(source), []))
            if not stamp.exists() or stamp.read_text() != now:
                waiting.append((source, stamp, now))
    print(f"{len(waiting)} of {len(names)} files to look at", flush=True)
    said = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (source, stamp, now), text in zip(waiting, pool.map(lambda w: tidy(stamps, w[0]), waiting)):
            if text:
                said += 1
                print(text, flush=True)
            else:
                stamp.write_text(now)
    print(f"clang-tidy said something about {said} files" if said else "clang-tidy said nothing")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())

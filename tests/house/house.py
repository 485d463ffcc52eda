#!/usr/bin/python3
"""house - the rules of the house, each checked over every file of the project

    tests/house/house.py [FOLDER]     FOLDER: another tree (default: the one this file is in)

    arrows      an include goes along cli -> coordinator, node -> cluster -> proto -> base, or stays in its folder
    doors       a foreign library's header is included only behind its door (a file with its suffix)
    clocks      a core gets `now` and its seeds: only doors, cli/ and the files named here ask for them
    lists       every .c stands in its folder's CMakeLists.txt, and every .c that stands there exists
    mutants     a guard that a simulator is built without is named with each source that has it
    first page  every .c and .h begins with a comment: "name - what it is for"; a test may leave out its name
    length      no .c or .h above 700 lines (told above 450)
    finished    no words of unfinished work in the code
    places      no path of the machine where something was written
    spaces      no trailing blank, no carriage return, a line end at the end of every text file

Files that git ignores don't count; without git those under build/ don't. Tests may include whatever they test.
Prints each offence as file:line: rule: what, then `N passed, N failed`, counting rules. Exit: 0, or 1 when a
rule is broken.
"""
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ARROWS = {
    "base": {"base"},
    "proto": {"base", "proto"},
    "cluster": {"base", "proto", "cluster"},
    "coordinator": {"base", "proto", "cluster", "coordinator"},
    "node": {"base", "proto", "cluster", "node"},
    "cli": {"base", "proto", "cluster", "coordinator", "node", "cli"},
}
ROOMS = set(ARROWS)

# suffix: what such a file may include. A name may carry two.
DOORS = {
    "uv": r"uv\.h|uv/.*",
    "zmq": r"zmq.*\.h",
    "grpc": r"grpc/.*",
    "rocks": r"rocksdb/.*",
    "cares": r"ares.*\.h",
    "ossl": r"openssl/.*",
    "curl": r"curl/.*",
    "mhd": r"microhttpd\.h",
    "yaml": r"yaml\.h",
    "json": r"jansson\.h",
    "idn": r"idn2\.h",
    "psl": r"libpsl\.h",
    "hs": r"hs/.*|hs.*\.h",
    "unbound": r"unbound.*\.h",
    "icu": r"unicode/.*\.h",
}
ALSO = {"cares": {"uv"}}  # c-ares 1.18 has no loop of its own: its sockets hang on libuv's
ONE_FILE = {"uthash.h": "base/map.c", "utlist.h": "base/map.c", "utarray.h": "base/map.c", "xxhash.h": "base/hash.c"}
SYSTEM = r"(arpa|linux|net|netinet|sys)/\w+\.h"
STANDARD = set("""
    assert ctype errno float inttypes limits locale math setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio
    stdlib stdnoreturn string strings time wchar
    dirent dlfcn err execinfo fcntl fnmatch ftw getopt glob grp ifaddrs langinfo libgen netdb poll pthread pwd regex sched
    semaphore spawn syslog termios unistd""".split())
MADE = {"unit_test": "test_{}.c", "fuzz_target": "fuzz_{}.c"}  # CMake functions that make a file's name

RAW_CLOCK = re.compile(r"\b(time|clock|clock_gettime|gettimeofday|rand|random|getrandom|getentropy)\(")
CLOCK = re.compile(r"\bclock_now\(\)")
MAY_READ = re.compile(r"base/(clock|hash|random|log)\.c|node/spool(_\w+)?\.c|cluster/control\.c")  # the spool's threads time their disk; control is a keeper

TOO_LONG, LONG = 700, 450
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|stub|placeholder|not implemented)\b", re.I)
PLACES = re.compile(r"(?<![\w.$}/-])/(work|workspace|home/\w+|Users/\w+)/")
INCLUDE = re.compile(r'\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
LISTED = re.compile(r"[\w./-]+\.c\b")

Tree = namedtuple("Tree", "root files")


def read_tree(root):
    """The tracked files (and those about to be: not ignored) that exist, or all files where there is no git."""
    try:
        done = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, timeout=60)
        names = done.stdout.decode().split("\0") if done.returncode == 0 else []
    except OSError:
        names = []
    if not any(names):
        names = [n for p in root.rglob("*") if not (n := str(p.relative_to(root))).startswith(("build/", ".git/"))]
    return Tree(root, sorted(n for n in set(names) if n and (root / n).is_file()))


def lines(tree, name):
    return (tree.root / name).read_bytes().decode("utf-8", "replace").split("\n")


def code_files(tree):
    return [n for n in tree.files if n.endswith((".c", ".h"))]


def room(name):
    return name.partition("/")[0]


def includes(tree, name):
    """[(line number, header in quotes or None, header in angles or None)]"""
    found = []
    for number, line in enumerate(lines(tree, name), 1):
        match = INCLUDE.match(line)
        if match:
            found.append((number, match[1], match[2]))
    return found


def may_open(name):
    """The doors that a file is, by its name: {"cares", "uv"}; empty for a core."""
    own = DOORS.keys() & set(Path(name).stem.split("_")[1:])
    return own.union(*(ALSO.get(suffix, ()) for suffix in own))


# ---- the rules: each yields (file, line, what) ----


def arrows(tree):
    for name in code_files(tree):
        if room(name) not in ROOMS:
            continue
        for number, ours, _ in includes(tree, name):
            if ours is None:
                continue
            if ours.endswith(".pb-c.h"):
                if room(name) != "proto":
                    yield name, number, f"{ours} is made from a schema; only proto/ includes it"
            elif room(ours) not in ROOMS or "/" not in ours or ".." in ours:
                yield name, number, f'"{ours}" is not written from the root'
            elif room(ours) not in ARROWS[room(name)]:
                yield name, number, f"no arrow goes from {room(name)}/ to {room(ours)}/"
            elif not (tree.root / ours).is_file():
                yield name, number, f"there is no {ours}"


def doors(tree):
    for name in code_files(tree):
        if room(name) not in ROOMS:
            continue
        for number, ours, foreign in includes(tree, name):
            what = closed_door(name, foreign) if foreign else None
            if what:
                yield name, number, what


def closed_door(name, header):
    """Why `name` may not include <header>; None when it may."""
    if header in ONE_FILE:
        return None if name == ONE_FILE[header] else f"<{header}> belongs in {ONE_FILE[header]} only"
    if header.startswith(("protobuf-c/", "google/")):
        return None if room(name) == "proto" else f"<{header}> belongs in proto/ only"
    for suffix, pattern in DOORS.items():
        if re.fullmatch(pattern, header):
            return None if suffix in may_open(name) else f"<{header}> belongs behind a door: a file whose name ends in _{suffix}"
    if re.fullmatch(SYSTEM, header) or header.removesuffix(".h") in STANDARD:
        return None
    return f"<{header}> is neither the system's nor has it a door; name its door in tests/house/house.py"


def clocks(tree):
    for name in code_files(tree):
        if room(name) not in ROOMS - {"cli"} or MAY_READ.fullmatch(name) or may_open(name):
            continue
        for number, line in enumerate(lines(tree, name), 1):
            match = RAW_CLOCK.search(line) or CLOCK.search(line)
            if match and not line.lstrip().startswith(("/*", "*")):
                yield name, number, f"{match[0].rstrip('()')}() in a core: let the caller pass it in"


def lists(tree):
    for name in tree.files:
        if name.endswith("CMakeLists.txt") and room(name) in ROOMS | {"tests"}:
            yield from listed(tree, name)


def listed(tree, cmake):
    """One folder: each .c is named in the list, by itself or by a function of MADE."""
    folder = str(Path(cmake).parent)
    text = "\n".join(line.partition("#")[0] for line in lines(tree, cmake))
    named = {n for n in LISTED.findall(text) if "/" not in n}
    named |= {MADE[kind].format(noun) for kind, noun in re.findall(r"\b(unit_test|fuzz_target)\((\w+)", text) if noun != "name"}
    there = {Path(n).name for n in tree.files if n.endswith(".c") and str(Path(n).parent) == folder}
    for missing in sorted(there - named):
        if not built_by_runner(tree, folder, missing):
            yield cmake, 1, f"{missing} is not in the list"
    for gone in sorted(named - there):
        yield cmake, 1, f"{gone} is in the list, but there is no such file"


def built_by_runner(tree, folder, source):
    """A tool of a test that a script of its folder compiles by itself."""
    scripts = [n for n in tree.files if n.endswith(".py") and str(Path(n).parent) == folder]
    return any(f'"{source}"' in line for n in scripts for line in lines(tree, n))


def mutants(tree):
    """A guard that is taken out is taken out where it stands: in each source that has it. (A header's is in what includes it.)"""
    guards = {}
    for name in code_files(tree):
        if name.endswith(".c") and room(name) in ROOMS:
            for definition in re.findall(r"TODOKU_WITHOUT_(\w+)", "\n".join(lines(tree, name))):
                guards.setdefault(definition, set()).add(name)
    for cmake in (name for name in tree.files if name.endswith("CMakeLists.txt")):
        for number, line in enumerate(lines(tree, cmake), 1):
            match = re.match(r"sim_mutant\((\w+) (\w+) (.*)\)", line)
            there = guards.get(match[2], set()) if match else set()
            named = set(re.findall(r"[\w/]+\.c\b", match[3])) if match else set()
            if there and there != named:
                yield cmake, number, f"the guard {match[2]} stands in {', '.join(sorted(there))}"


def first_page(tree):
    for name in code_files(tree):
        first = lines(tree, name)[0]
        if not first.startswith("/* "):
            yield name, 1, "it doesn't begin with a comment that says what it is for"
        elif room(name) in ROOMS and not first.startswith((f"/* {Path(name).stem} - ", f"/* {Path(name).name} - ")):
            yield name, 1, f'its first line should be "/* {Path(name).stem} - what it is for"'


def length(tree):
    for name in code_files(tree):
        count = len(lines(tree, name)) - 1
        if count > TOO_LONG:
            yield name, TOO_LONG, f"{count} lines; {TOO_LONG} are the limit"
        elif count > LONG:
            print(f"{name}: {count} lines: would splitting show the idea better?")


def finished(tree):
    for name in code_files(tree):
        for number, line in enumerate(lines(tree, name), 1):
            match = UNFINISHED.search(line)
            if match:
                yield name, number, f'"{match[0]}": finish it, or say what is so'


def places(tree):
    for name in tree.files:
        if is_text(tree, name):
            for number, line in enumerate(lines(tree, name), 1):
                match = PLACES.search(line)
                if match:
                    yield name, number, f"{match[0]} is a path of one machine"


def spaces(tree):
    for name in tree.files:
        if not is_text(tree, name) or name.startswith("tests/data/") or name.endswith(".talk"):  # there, blanks are what is said
            continue
        text = lines(tree, name)
        for number, line in enumerate(text, 1):
            if line != line.rstrip(" \t\r"):
                yield name, number, "blanks at the end of the line"
        if text[-1]:
            yield name, len(text), "the last line has no end"


def is_text(tree, name):
    with open(tree.root / name, "rb") as f:
        return b"\0" not in f.read(8000)


RULES = (arrows, doors, clocks, lists, mutants, first_page, length, finished, places, spaces)


def offences(root):
    """{rule's name: [(file, line, what)]}"""
    tree = read_tree(Path(root).resolve())
    return {rule.__name__.replace("_", " "): list(rule(tree)) for rule in RULES}


def main():
    if len(sys.argv) > 2 or (len(sys.argv) == 2 and sys.argv[1].startswith("-")):
        print(__doc__)
        return 0 if sys.argv[1] in ("-h", "--help") else 2
    root = sys.argv[1] if len(sys.argv) == 2 else Path(__file__).resolve().parents[2]
    found = offences(root)
    for rule, broken in found.items():
        for name, number, what in broken:
            print(f"{name}:{number}: {rule}: {what}")
    failed = sum(1 for broken in found.values() if broken)
    print(f"{len(found) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

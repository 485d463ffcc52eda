#!/usr/bin/python3
"""test_house - the house rules can fail: a small tree that obeys all of them, broken in one way at a time

    tests/house/test_house.py

Ends with `N passed, N failed`. Exit: 0, or 1 when a broken tree passed or a good one didn't.
"""
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from house import LONG, TOO_LONG, offences  # noqa: E402

GOOD = {
    "base/CMakeLists.txt": "add_library(base STATIC clock.c map.c stream_uv.c)\n",
    "base/clock.c": "/* clock - the time */\n#include <time.h>\n#include \"base/clock.h\"\nint now(void)\n{\n    return clock_gettime(0, 0);\n}\n",
    "base/clock.h": "/* clock - the time */\n",
    "base/map.c": "/* map - finds by key */\n#include <uthash.h>\n",
    "base/stream_uv.c": "/* stream_uv - bytes over sockets */\n#include <uv.h>\n#include <sys/socket.h>\n",
    "proto/CMakeLists.txt": "add_library(proto STATIC\n    reply.c # the parser\n)\n",
    "proto/reply.c": "/* reply - reads replies; Todoku's own */\n#include \"base/clock.h\"\n#include \"proto/reply.pb-c.h\"\n",
    "node/CMakeLists.txt": "add_library(node STATIC resolve_cares.c site.c turn.c)\n",
    "node/resolve_cares.c": "/* resolve_cares - asks */\n#include <ares.h>\n#include <uv.h>\n",
    "node/site.c": "/* site - a receiver; takes clock_now() from its caller */\n#include \"proto/reply.h\"\n",
    "proto/reply.h": "/* reply - reads replies */\n",
    "coordinator/CMakeLists.txt": "add_library(coordinator STATIC)\n",
    "coordinator/route.h": "/* route - which node */\n",
    "cli/CMakeLists.txt": "add_executable(todoku main.c)\n",
    "cli/main.c": "/* main - the program */\n#include \"coordinator/route.h\"\n#include \"proto/reply.h\"\n",
    "tests/unit/CMakeLists.txt": "function(unit_test name)\n    add_executable(test_${name} test_${name}.c)\nendfunction()\nunit_test(site node)\n",
    "tests/unit/test_site.c": "/* What a site does. */\n#include <uv.h>\n#include \"node/site.h\"\n#include \"coordinator/route.h\"\n",
    "tests/lab/run.py": "compile_c(\"tool.c\")\n",
    "tests/lab/CMakeLists.txt": "# built by run.py\n",
    "tests/lab/tool.c": "/* tool - helps */\n",
    "node/turn.c": "/* turn - whose it is */\n#ifndef TODOKU_WITHOUT_TURN\n#endif\n",
    "tests/sim/CMakeLists.txt": "sim_mutant(turn TURN ${any} node/turn.c)\nsim_mutant(lane LANE ${any} node/site.c) # node/lane.h's\n",
    "README.md": "See https://www.example.com/work/of/art and docs/work/.\n",
}

# (rule, what is broken, {file: its new text; None takes it away}); "+" adds to the file of the good tree
BROKEN = [
    ("arrows", "base includes proto", {"base/map.c": '+#include "proto/reply.h"\n'}),
    ("arrows", "proto includes node", {"proto/reply.c": '+#include "node/site.h"\n'}),
    ("arrows", "node includes coordinator", {"node/site.c": '+#include "coordinator/route.h"\n'}),
    ("arrows", "coordinator includes node", {"coordinator/route.h": '+  #  include "node/site.h"\n'}),
    ("arrows", "coordinator includes cli", {"coordinator/route.h": '+#include "cli/main.h"\n'}),
    ("arrows", "a room includes a test", {"node/site.c": '+#include "tests/unit/help.h"\n'}),
    ("arrows", "an include not from the root", {"node/site.c": '+#include "site.h"\n'}),
    ("arrows", "a schema's header outside proto", {"node/site.c": '+#include "proto/reply.pb-c.h"\n'}),
    ("arrows", "a header that isn't there", {"node/site.c": '+#include "base/nothing.h"\n'}),
    ("doors", "a core opens libuv", {"node/site.c": "+#include <uv.h>\n"}),
    ("doors", "a door opens another's library", {"base/stream_uv.c": "+#include <openssl/ssl.h>\n"}),
    ("doors", "uthash outside base/map.c", {"node/site.c": "+#include <uthash.h>\n"}),
    ("doors", "xxhash outside base/hash.c", {"base/map.c": "+#include <xxhash.h>\n"}),
    ("doors", "protobuf-c outside proto", {"node/site.c": "+#include <protobuf-c/protobuf-c.h>\n"}),
    ("doors", "a library nobody named a door for", {"node/site.c": "+#include <lua.h>\n"}),
    ("clocks", "a core reads the clock", {"node/site.c": "+    usec_t now = clock_now();\n"}),
    ("clocks", "a core draws its own randomness", {"proto/reply.c": "+    int x = rand();\n"}),
    ("mutants", "a guard that has moved", {"node/turn.c": "/* turn - whose it is */\n", "node/site.c": "+#ifndef TODOKU_WITHOUT_TURN\n#endif\n"}),
    ("mutants", "a guard that stands in two sources", {"node/site.c": "+#ifndef TODOKU_WITHOUT_TURN\n#endif\n"}),
    ("lists", "a source in no list", {"proto/address.c": "/* address - reads addresses */\n"}),
    ("lists", "a source only in a comment", {"proto/CMakeLists.txt": "add_library(proto STATIC) # reply.c\n"}),
    ("lists", "a listed source is gone", {"base/map.c": None}),
    ("lists", "a test in no list", {"tests/unit/test_view.c": "/* What a view does. */\n"}),
    ("lists", "a listed test is gone", {"tests/unit/test_site.c": None}),
    ("lists", "a tool nobody builds", {"tests/lab/run.py": "print()\n"}),
    ("first page", "no first page", {"base/clock.h": "#ifndef BASE_CLOCK_H\n#endif\n"}),
    ("first page", "a first page of another file", {"base/clock.h": "/* map - finds by key */\n"}),
    ("first page", "a test without a comment", {"tests/unit/test_site.c": "int main(void);\n"}),
    ("length", "a crowded file", {"proto/reply.h": "/* reply - reads replies */\n" + "int x;\n" * TOO_LONG}),
    ("finished", "work left over", {"node/site.c": "+/* to" + "do: the rest */\n"}),
    ("finished", "a promise for later", {"node/site.c": "+    return not" + " implemented;\n"}),
    ("places", "somebody's home", {"README.md": "Run /ho" + "me/anna/run.\n"}),
    ("spaces", "blanks at the end", {"README.md": "Hello. \n"}),
    ("spaces", "lines of another system", {"README.md": "Hello.\r\n"}),
    ("spaces", "no end of the last line", {"README.md": "Hello."}),
]


def broken_rules(changes):
    """The names of the rules that the good tree breaks after these changes."""
    with tempfile.TemporaryDirectory(prefix="house-") as folder:
        for name, text in {**GOOD, **changes}.items():
            if text is None:
                continue
            if text.startswith("+"):
                text = GOOD[name] + text[1:]
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        # A header made from a schema is nowhere in the tree.
        return {rule for rule, found in offences(folder).items() if found}


def main():
    cases = [(set(), "a tree that obeys", {}),
             (set(), "a long file is told, no more", {"proto/reply.h": "/* reply - reads replies */\n" + "int x;\n" * LONG})]
    cases += [({rule}, what, changes) for rule, what, changes in BROKEN]
    failed = 0
    for expected, what, changes in cases:
        found = broken_rules(changes)
        if found != expected:
            failed += 1
            print(f"FAILED: {what}: expected {sorted(expected)} broken, found {sorted(found)}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

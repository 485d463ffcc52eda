#!/usr/bin/python3
"""config_page - does docs/man/todoku.yaml.5 say what cluster/settings_rows.c says?

    tests/house/config_page.py            compares the page with the table: keys, types, defaults, bounds, words
    tests/house/config_page.py --outline  prints what the page must say of each key, one a line

A key stands on the page as three lines: `.TP`, `\\fBcoordinator.http\\fR \\fItype\\fR`, and what it may be: `Required.`, or
`Default \\fB5s\\fR; at least 10ms, at most 5m.` (any part may be missing; where the table has no default the page may tell one
in words). Items of lists have `[]` behind the list's name; names that the operator chooses are called NAME.

Then it breaks a copy of the page in every way that counts and looks whether each is noticed. Prints each difference, then
`N passed, N failed`. Exit: 0, or 1.
"""
import re
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE, PAGE, MAIL = ROOT / "cluster/settings_rows.c", ROOT / "docs/man/todoku.yaml.5", ROOT / "proto/mail.h"

TYPES = {"TEXT": "text", "PATH": "file", "NUMBER": "number", "BOOL": "true | false", "DURATION": "duration", "SIZE": "size"}
READERS = {"name": "name", "overflow": "pool | none", "campaign": "campaign", "endpoint": "address:port", "peer": "address[:port]",
           "bus": "tcp://address:port", "address": "address", "url": "URL", "network": "network", "domain": "domain",
           "window": "window", "zone": "time zone", "domain_or_any": "domain | *", "selector": "selector", "suffix": "domain", "rate": "rate"}
UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
         "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
CONSTANTS = {"USEC_MS": UNITS["ms"], "USEC_SEC": UNITS["s"], "USEC_MIN": UNITS["m"], "USEC_HOUR": UNITS["h"], "USEC_DAY": UNITS["d"]}

MANY = {"name": "names", "window": "windows", "network": "networks", "duration": "durations", "domain": "domains", "domain | *": "domains", "rate": "rates",
        "address[:port]": "addresses", "URL": "URLs"}

# default: as it stands in the table, or None; least, most: 0 = none
Key = namedtuple("Key", "type required default least most")


class Trouble(Exception):
    pass


# ---- the table ----

def split(text):
    """The parts of a C initializer between its top-level commas."""
    parts, depth, quoted, start = [], 0, False, 0
    for i, c in enumerate(text):
        if c == '"' and text[i - 1] != "\\":
            quoted = not quoted
        elif not quoted and c in "{(":
            depth += 1
        elif not quoted and c in "})":
            depth -= 1
        elif not quoted and depth == 0 and c == ",":
            parts.append(text[start:i])
            start = i + 1
    return [p.strip() for p in parts + [text[start:]] if p.strip()]


def braced(text, at):
    """What stands in the braces that open at or behind `at`."""
    begin = text.index("{", at)
    depth = 0
    for i in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[begin + 1:i]
    raise Trouble(f"{TABLE.name}: braces that don't end")


class Table:
    def __init__(self, text, constants):
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S).replace("\\\n", " ")
        self.constants = dict(constants)
        for name, value in re.findall(r"^#define (\w+) +([^{\n]*?\d[^\n{]*)$", text, re.M):
            if "(" not in name and "." not in value:
                self.constants[name] = self.number(value)
        self.rows, self.words = {}, {}
        for match in re.finditer(r"(?:static )?const struct config_word (\w+)\[\] =", text):
            self.words[match[1]] = re.findall(r'\{"([\w/]+)"', braced(text, match.end()))
        for match in re.finditer(r"(?:static )?const struct config_row (\w+)(\[\])? =", text):
            body = braced(text, match.end())
            self.rows[match[1]] = split(body) if match[2] else [body]
        shared = re.search(r"#define PROVIDERS_ROW +", text)
        self.shared = braced(text, shared.end())

    def number(self, expression):
        expression = re.sub(r"\(uint64_t\)|(?<=\d)[uUlL]+\b", "", expression)
        if not re.fullmatch(r"[\w\s*()<+]+", expression):
            raise Trouble(f"{TABLE.name}: what is `{expression}`?")
        return int(eval(expression, {"__builtins__": {}}, self.constants))

    def fields(self, row):
        """A row's initializer as a dictionary; what the macros of settings_rows.c stand for is filled in."""
        if row.startswith("TIMEOUT("):
            name, _, initial = split(row[len("TIMEOUT("):-1])
            return {"name": name.strip('"'), "type": "DURATION", "initial": initial.strip('"'),
                    "min": self.number("10 * USEC_MS"), "max": self.number("USEC_HOUR")}
        if row == "PROVIDERS_ROW":
            row = self.shared
        found = {}
        for part in split(row.strip("{}") if row.startswith("{") else row):
            macro = re.match(r"(READ|LIST|NAMED)\((.*)\)$", part, re.S)
            field = re.match(r"\.(\w+) = (.*)$", part, re.S)
            if macro and macro[1] == "READ":
                found |= {"type": "CUSTOM", "reader": macro[2]}
            elif macro:
                most, item = split(macro[2])[3:]
                found |= {"type": macro[1], "max": self.number(most), "rows": item}
            elif field and field[1] in ("min", "max"):
                found[field[1]] = self.number(field[2])
            elif field:
                found[field[1]] = re.sub(r"^CONFIG_|^&|\"", "", field[2]).strip('"')
        return found

    def type_of(self, row):
        kind = row["type"]
        if kind == "CUSTOM":
            return READERS[row["reader"]]
        if kind == "WORD":
            return " | ".join(self.words[row["words"]])
        if kind == "LIST":
            item = self.fields(self.rows[row["rows"]][0])
            return "list of mappings" if item["type"] == "MAP" else f"list of {MANY[self.type_of(item)]}"
        if kind == "NAMED":
            return "mapping of names"
        return TYPES[kind]

    def walk(self, name, path, keys):
        for text in self.rows[name]:
            if text == "END":
                continue
            row = self.fields(text)
            where = f"{path}{row['name']}"
            if row["type"] == "MAP":
                if "initial" in row:
                    keys[where] = Key("mapping", False, row["initial"], 0, 0)
                self.walk(row["rows"], where + ".", keys)
                continue
            keys[where] = Key(self.type_of(row), row.get("required") == "true", row.get("initial"), row.get("min", 0), row.get("max", 0))
            if row["type"] in ("LIST", "NAMED"):
                item = self.fields(self.rows[row["rows"]][0])
                if item["type"] == "MAP":
                    self.walk(item["rows"], where + ("[]." if row["type"] == "LIST" else ".NAME."), keys)
        return keys


# ---- the page ----

def plain(roff):
    return re.sub(r"\\f[BIRP]|\\&", "", roff).replace("\\-", "-").replace("\\(bu", "*").replace("\\e", "\\")


def measure(text):
    match = re.fullmatch(r"(\d+)(\w*)", text)
    if not match or match[2] not in UNITS:
        raise Trouble(f"what is `{text}`?")
    return int(match[1]) * UNITS[match[2]]


def read_page(text):
    keys = {}
    lines = text.split("\n")
    for i, line in enumerate(lines):
        head = re.fullmatch(r"\\fB([\w.\[\]]+)\\fR \\fI(.+)\\fR", line)
        if lines[i - 1] != ".TP" or not head:
            continue
        says = plain(lines[i + 1])
        default = re.search(r"\bDefault ([^;.]*(?:\.\w[^;.]*)*)", says) if "\\fB" in lines[i + 1] else None
        least, most = re.search(r"\bat least (\w+)", says, re.I), re.search(r"\bat most (\w+)", says, re.I)
        if head[1] in keys:
            raise Trouble(f"line {i + 1}: {head[1]} is there twice")
        keys[head[1]] = Key(plain(head[2]), says.startswith("Required"), default[1] if default else None,
                            measure(least[1]) if least else 0, measure(most[1]) if most else 0)
    return keys


def differences(table, page):
    for key in sorted(set(table) - set(page)):
        yield f"{key} is not on the page"
    for key in sorted(set(page) - set(table)):
        yield f"{key} is on the page and not in the table"
    for key in sorted(set(table) & set(page)):
        for field, ours, said in zip(Key._fields, table[key], page[key]):
            if ours != said:
                yield f"{key}: {field} is {ours!r} in the table and {said!r} on the page"


def outline(keys):
    for name, key in keys.items():
        print(name, *(f"{field}={value!r}" for field, value in key._asdict().items() if value), sep="  ")


def broken(text):
    """(what, a copy of the page that is wrong in that way)"""
    def change(what, pattern, to):
        out, count = re.subn(pattern, to, text, count=1)
        if count != 1:
            raise Trouble(f"no {what} to break on the page")
        return what, out
    yield change("a key that is missing", r"\.TP\n\\fBdelivery\.port\\fR", r".TP\n\\fBdelivery.sport\\fR")
    yield change("a default", r"(?<=Default \\fB)5s", "6s")
    yield change("a bound", r"(?<=at least )10ms", "11ms")
    yield change("a word", r"\bopportunistic \| required", "opportunistic | always")
    yield change("a required key", r"\nRequired\.", "\nOptional.")
    yield change("a type", r"\\fIsize\\fR", r"\\fInumber\\fR")


def main():
    recipients = re.search(r"MAIL_MAX_RECIPIENTS (\d+)", MAIL.read_text())
    table = Table(TABLE.read_text(), {**CONSTANTS, "MAIL_MAX_RECIPIENTS": int(recipients[1])}).walk("settings_rows", "", {})
    if sys.argv[1:] == ["--outline"]:
        outline(table)
        return 0
    text = PAGE.read_text()
    found = list(differences(table, read_page(text)))
    for difference in found:
        print(f"{PAGE.name}: {difference}")
    failed, passed = (1, 0) if found or len(table) < 50 else (0, 1)
    for what, page in broken(text):
        if list(differences(table, read_page(page))) != found:
            passed += 1
        else:
            failed += 1
            print(f"{what} that is wrong is not noticed")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        sys.exit(f"config_page: {trouble}")

#!/usr/bin/python3
"""run - Todoku beside other mail servers: durable relaying over loopback, counted

    tests/bench/run.py                        Todoku and Postfix, 10 KiB, three alternating rounds of 10,000 messages each
    tests/bench/run.py --all --json FILE      everything that the figures need: rivals, sizes, signing, TLS, many domains, latency
    tests/bench/run.py --cases relay,dkim-rsa some of these
    tests/bench/run.py --rivals postfix,exim,opensmtpd,haraka
    tests/bench/run.py --only todoku --size 2,10,50,100        KiB
    tests/bench/run.py --only todoku --dkim rsa                ed25519, both
    tests/bench/run.py --only todoku --tls
    tests/bench/run.py --only todoku --long-tail 50000         as many messages to as many domains, DNS by a local nsd
    tests/bench/run.py --only todoku --idle                    one at a time: from 250 to the receiver's final dot
    tests/bench/run.py --against PATH         another build of Todoku, in alternating rounds
    tests/bench/run.py --cluster              `todoku up` and the same as two processes: coordinator and node, members of an etcd
    tests/bench/run.py --copies               a coordinator and two nodes: with one copy of each message, and with two

Same generator (gen.c), same receiver (../lab/sink.c, --quiet), same disk, same domains (Zipf: the n-th as frequent as 1/n); each accepts
a message only when it is synced to disk. rivals.py says how the others are set up, ours.py how we are, rounds.py what a round is,
bounds.py what the machine itself can do, figures.py what is asked.

  messages/s   from the generator's start to the last arrival
  intake/s     accepted by the server, from the generator's start to its end
  CPU s/1000   processor seconds of the server's whole process tree (a cgroup of its own) for 1,000 messages, idle cost included
  MiB          the largest sum of the tree's proportional set sizes (accounts.py); the page cache does not count
  lost         accepted with 250 and not arrived       doubled   extra copies that arrived

With --cluster the two processes speak over TCP with CURVE, as between machines, on the same cores as all the rest; etcd's own
processor time is not counted.

A rival that can't be had here is skipped, and the reason said. Bounded: a round that is not done after --seconds ends. The exit status
is 1 when a round of ours lost or doubled something or did not take all; a rival's trouble is told in its row.
"""
import argparse
import json
import os
import statistics
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import bounds  # noqa: E402
from daemon import BUILD, LabError, Skip  # noqa: E402
from figures import RELAY, figures, medians  # noqa: E402
from ours import OURS  # noqa: E402
from rivals import RIVALS, SYNCS  # noqa: E402
from rounds import SERVERS, Case, measure  # noqa: E402
from tables import document, write  # noqa: E402

WORK = BUILD / "bench"
HEAD = (f"{'':16} {'':9} {'messages/s':>10} {'intake/s':>9} {'CPU s/1000':>10} {'cores':>6} {'lab cores':>9} {'MiB':>6} {'accepted':>8} {'lost':>5} "
        f"{'doubled':>7}")
OURS_MORE = 4  # --all: our rounds have so many times the rivals' messages, so that they last as long


def line(r):
    text = (f"{r['case']:16} {r['name']:9} {r['rate']:10.0f} {r['intake']:9.0f} {r['cpu']:10.3f} {r['cores']:6.2f} {r['around']:9.2f} {r['memory']:6.0f} "
            f"{r['accepted']:8d} {r['lost']:5d} {r['doubled']:7d}")
    if "idle" in r:
        text += "".join(f"\n{'':26} {k:7} p50 {v['p50']:7.2f}  p99 {v['p99']:7.2f}  max {v['max']:7.2f} ms  ({v['n']})" for k, v in r["idle"].items())
    return text


def asked_cases(args):
    """[(case, names of servers)] for what the options say."""
    common = {"connections": args.connections, "out": args.out, "seconds": args.seconds, "config": args.config}
    names = [args.only] if args.only else ["todoku", "pair"] if args.cluster else ["single", "double"] if args.copies else ["todoku", "other"] if args.against else ["todoku", *args.rivals]
    if args.idle:
        return [(Case("idle", count=args.count or 500, pause=20, **common), ["todoku"])]
    if args.long_tail:
        return tail_cases(args.long_tail, args.mx, common)
    out = []
    for kib in args.size:
        plain = "relay" if kib == 10 else f"{kib}k"
        name = "-".join(filter(None, [plain if kib != 10 or not (args.tls or args.dkim) else "", "tls" if args.tls else "",
                                      f"dkim-{args.dkim}" if args.dkim else ""]))
        out.append((Case(name, size=kib * 1024, count=args.count or 10000, domains=args.domains, tls=args.tls, dkim=args.dkim or "", **common), names))
    return out


def tail_cases(count, kinds, common):
    few = min(count, 40000)
    rows = [(Case("hundred", count=few, dns="shared", **common), ["todoku"])]
    return rows + [(Case(f"long-tail-{mx}", count=count, domains=count, skew="even", dns=mx, **common), ["todoku"]) for mx in kinds]


def all_cases(args):
    common = {"connections": args.connections, "out": args.out, "seconds": args.seconds, "config": args.config}
    count, ours = args.count or 10000, (args.count or 10000) * OURS_MORE
    us = ["todoku"]
    # What a figure compares stands side by side, the fastest rivals next to us.
    return [*[(Case("relay", count=count, **common), [rival]) for rival in reversed(args.rivals)], (Case("relay", count=ours, **common), us),
            (Case("tls", count=ours, tls=True, **common), us), (Case("dkim-rsa", count=ours, dkim="rsa", **common), us),
            (Case("2k", size=2048, count=ours, **common), us), (Case("50k", size=51200, count=count, **common), us),
            (Case("100k", size=102400, count=count, **common), us), (Case("dkim-ed25519", count=ours, dkim="ed25519", **common), us),
            (Case("dkim-both", count=ours, dkim="both", **common), us),
            (Case("100k-dkim", size=102400, count=count, dkim="rsa", **common), us),
            *tail_cases(5 * count, ["shared", "own"], common), (Case("idle", count=500, pause=20, **common), us)]


def measure_bounds(cases, args):
    """What bounds.py finds for the sizes at hand; told as it comes."""
    out = {"signature": bounds.signature(), "disk": {}, "straight": []}
    print(f"bound: an RSA-2048 signature takes {out['signature']:.3f} ms of a core")
    for size in sorted({case.size for case, _ in cases}):
        group = bounds.disk(args.work, size, args.connections)
        out["disk"][size] = {"alone": bounds.disk(args.work, size, 1), "group": group}
        out["straight"].append(bounds.straight(Case(f"{size // 1024}k", size=size, count=10000, connections=args.connections), args.work))
        s = out["straight"][-1]
        print(f"bound: {size // 1024:3d} KiB: generator straight into the receiver {s['rate']:.0f}/s, {s['cpu']:.3f} CPU s/1000 for the two; disk "
              f"{out['disk'][size]['alone']:.0f}/s synced one by one, {group:.0f}/s by {args.connections}", flush=True)
    if any(case.pause for case, _ in cases):
        out["idle"] = bounds.straight(Case("idle", count=300, pause=20), args.work)["own"]
        print(f"bound: one message at rest, straight into the receiver: p50 {out['idle']['p50']:.2f} ms, p99 {out['idle']['p99']:.2f} ms")
    return out


def run_rounds(cases, args):
    """All rows; each has its round, and `relay` how long a signature took just before."""
    rows, skipped = [], {}
    print(HEAD)
    for at in range(args.rounds):
        for case, names in cases:
            for name in names:
                if (case.name, name) in skipped:
                    continue
                beside = {"round": at, **({"signature": bounds.signature()} if (case.name, name) == RELAY else {})}
                try:
                    rows.append({**measure(name, case, args.work, keep=args.keep), **beside})
                    print(line(rows[-1]), flush=True)
                except (Skip, LabError) as problem:
                    skipped[case.name, name] = str(problem)
                    print(f"{case.name:16} {name:9} left out: {problem}", flush=True)
    return rows, skipped


def parse():
    parser = argparse.ArgumentParser(description="Measure durable relaying: Todoku beside other mail servers, or beside itself, in alternating rounds.")
    listed = lambda kind: lambda text: [kind(part) for part in text.split(",") if part]  # noqa: E731
    parser.add_argument("--all", action="store_true", help="all cases that the figures need, and all rivals")
    parser.add_argument("--cases", type=listed(str), metavar="LIST", help="of those of --all only these, such as relay,dkim-rsa,tls")
    parser.add_argument("--rivals", type=listed(str), metavar="LIST", help=f"of {','.join(RIVALS)} (postfix; with --all: all)")
    parser.add_argument("--count", type=int, help="messages a round (10000)")
    parser.add_argument("--size", type=listed(int), default=[10], metavar="LIST", help="KiB a message (10)")
    parser.add_argument("--domains", type=int, default=100, help="recipient domains, Zipf (100)")
    parser.add_argument("--tls", action="store_true", help="the receiver offers STARTTLS")
    parser.add_argument("--dkim", choices=["rsa", "ed25519", "both"], help="Todoku signs")
    parser.add_argument("--long-tail", type=int, metavar="N", help="N messages to N domains beside as many to 100 domains")
    parser.add_argument("--mx", type=listed(str), default=["shared", "own"], help="--long-tail: eight MX hosts shared by all, or each domain its own (shared,own)")
    parser.add_argument("--idle", action="store_true", help="one message at a time: latency")
    parser.add_argument("--connections", type=int, default=40, help="connections into the server (40)")
    parser.add_argument("--out", type=int, default=50, help="Todoku's connections a source; it has two (50)")
    parser.add_argument("--config", type=json.loads, default={}, metavar="JSON", help="laid over Todoku's configuration, such as '{\"delivery\": {\"idle\": \"1s\"}}'")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=120, help="give up a round after this long (120)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", choices=sorted(SERVERS.keys() - {"other"}))
    which.add_argument("--against", metavar="PATH", help="another build of Todoku instead of rivals: was a change worth it?")
    which.add_argument("--copies", action="store_true", help="two nodes with one copy of each message (single) and with two (double)")
    which.add_argument("--cluster", action="store_true", help="`todoku up` against coordinator and node as two processes (pair)")
    parser.add_argument("--json", metavar="FILE", help="write all rounds, bounds and figures")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables, into docs/performance.md for instance: between its marks")
    parser.add_argument("--todoku", metavar="PATH", help="the program (default build/release/todoku)")
    parser.add_argument("--work", metavar="FOLDER", default=WORK, help="where the spools lie (build/bench); on /dev/shm the disk counts for nothing")
    parser.add_argument("--keep", action="store_true", help="keep spools and logs under build/bench")
    args = parser.parse_args()
    if args.against:
        os.environ["TODOKU_OTHER"] = str(Path(args.against).resolve())
    if args.rivals is None:
        args.rivals = list(RIVALS) if args.all else [] if args.cases else ["postfix"]
    unknown = [name for name in args.rivals if name not in RIVALS]
    if unknown:
        parser.error(f"--rivals: {unknown[0]} is none of {', '.join(RIVALS)}")
    return args


def main():
    args = parse()
    if args.todoku:
        os.environ["TODOKU"] = str(Path(args.todoku).resolve())
    cases = all_cases(args) if args.all or args.cases else asked_cases(args)
    if args.cases:
        cases = [(case, names) for case, names in cases if case.name in args.cases]
    print(f"{args.connections} connections, {os.cpu_count()} cores; medians of {args.rounds} rounds")
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"note: others use this machine (load average {load:.1f}): messages/s will be low, several processes get more of it than one")
    for name in sorted({name for _, names in cases for name in names} & SYNCS.keys()):
        print(f"{name} syncs: {SYNCS[name]}")
    found = measure_bounds(cases, args)
    rows, skipped = run_rounds(cases, args)
    signatures = [found["signature"], *(row["signature"] for row in rows if "signature" in row)]
    found["signature"] = statistics.median(signatures)
    print("bound: RSA-2048 signatures, at the start and before each `relay`: " + ", ".join(f"{ms:.3f}" for ms in signatures) + " ms; the median counts")
    for (case, name), m in medians(rows).items():
        print(f"median {case} {name}: {m['rate']:.0f} messages/s, {m['intake']:.0f} intake/s, {m['cpu']:.3f} CPU s per 1,000 messages, {m['memory']:.0f} MiB")
    results = figures(rows, found)
    for f in results:
        judged = f" ({f['asked']} asked: {'met' if f['met'] else 'MISSED'})" if f["asked"] else ""
        print(f"figure: {f['what']}: {f['measured']:.2f}{judged}; {f['note']}")
    if args.json:
        text = json.dumps({"rounds": rows, "bounds": found, "figures": results, "skipped": {" ".join(k): v for k, v in skipped.items()}}, indent=1)
        Path(args.json).write_text(text + "\n")
    if args.markdown:
        write(args.markdown, document(rows, found, results, args.rounds, load))
    bad = [r for r in rows if r["name"] in OURS and (r["lost"] or r["doubled"] or r["accepted"] < r["asked"])]
    bad += [name for case, name in skipped if name in OURS]
    for r in rows:
        if r["name"] in RIVALS and (r["lost"] or r["doubled"] or r["accepted"] < r["asked"]):
            print(f"note: {r['name']} in {r['case']}: {r['accepted']} of {r['asked']} accepted, {r['lost']} lost or late, {r['doubled']} doubled")
    return 1 if bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, Skip) as problem:
        sys.exit(f"bench: {problem}")

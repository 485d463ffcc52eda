"""figures - what is asked of Todoku, beside what one run has measured

Every figure is a ratio within one run, or has its bound measured in the same run, so that another machine, or the same one on a
bad day, still tells the same. `figures(rows, bounds)` gives a list of (what, measured, asked, met, note); a figure whose case
was not run is left out.

A ratio is taken within each round, of what was measured one soon after the other, and the median of the rounds counts: a machine's
speed may change by a third within a minute, which the ratio of two medians would take for a difference. The cases are named as run.py
names them.
"""
import statistics

HOUR = 3600


def medians(rows):
    """{(case, server): {figure: median}}"""
    groups, out = {}, {}
    for row in rows:
        groups.setdefault((row["case"], row["name"]), []).append(row)
    for key, group in groups.items():
        out[key] = {k: statistics.median(r[k] for r in group) for k in ("rate", "intake", "cpu", "memory")}
        if all("idle" in r for r in group):
            out[key]["idle"] = {part: {q: statistics.median(r["idle"][part][q] for r in group) for q in ("p50", "p99", "max", "n")}
                                for part in group[0]["idle"]}
    return out


class Rounds:
    """The rows of each round by (case, server)."""

    def __init__(self, rows):
        self.rounds = {}
        for row in rows:
            self.rounds.setdefault(row["round"], {})[row["case"], row["name"]] = row

    def median(self, of, *keys):
        """The median of of(row, row...) over the rounds that have all of them; None if there is none."""
        found = [of(*(rows[key] for key in keys)) for rows in self.rounds.values() if all(key in rows for key in keys)]
        return statistics.median(found) if found else None


def best_rival(middle):
    rates = {name: m["rate"] for (case, name), m in middle.items() if case == "relay" and name not in ("todoku", "other", "pair")}
    return max(rates, key=rates.get) if rates else None


def entry(what, measured, asked, below, note):
    return {"what": what, "measured": measured, "asked": asked, "below": below, "met": measured <= asked if below else measured >= asked, "note": note}


RELAY = ("relay", "todoku")


def cpu_figures(rounds, middle):
    cpu = {case: m["cpu"] for (case, name), m in middle.items() if name == "todoku"}
    one = rounds.median(lambda relay: relay["cpu"] / relay["signature"], RELAY)
    rsa = rounds.median(lambda dkim, relay: (dkim["cpu"] - relay["cpu"]) / relay["signature"], ("dkim-rsa", "todoku"), RELAY)
    tls = rounds.median(lambda tls, relay: tls["cpu"] / relay["cpu"], ("tls", "todoku"), RELAY)
    if one:
        yield entry("CPU a message, 10 KiB synced, in RSA-2048 signatures", one, 0.55, True,
                    f"{cpu['relay']:.3f} ms a message; a signature is {cpu['relay'] / one:.3f} ms of a core (openssl speed)")
    if rsa:
        yield entry("CPU that RSA-2048 DKIM adds, in signatures", rsa, 1.15, True, f"{cpu['dkim-rsa']:.3f} ms with, {cpu['relay']:.3f} without")
    if tls:
        yield entry("CPU with STARTTLS out, sessions reused, / plain", tls, 1.25, True, f"{cpu['tls']:.3f} ms with, {cpu['relay']:.3f} without")


def rate_figures(rounds, middle, bounds):
    rival = best_rival(middle)
    if RELAY in middle and rival:
        yield entry(f"messages/s / best rival ({rival})", rounds.median(rate_ratio, RELAY, ("relay", rival)), 15, False,
                    f"{middle[RELAY]['rate']:.0f} and {middle['relay', rival]['rate']:.0f} a second; 20 is the goal")
    big = middle.get(("100k-dkim", "todoku"))
    if big:
        disk = bounds.get("disk", {}).get(102400, {}).get("group")
        yield entry("100 KiB with RSA-2048 DKIM, million an hour", big["rate"] * HOUR / 1e6, 4.03, False,
                    f"{big['rate']:.0f} a second" + (f"; this disk alone syncs {disk:.0f} such bodies a second" if disk else ""))
    for mx in ("shared", "own"):
        tail, hundred = (f"long-tail-{mx}", "todoku"), ("hundred", "todoku")
        measured = rounds.median(rate_ratio, tail, hundred)
        if measured:
            yield entry(f"one message a domain, {MX[mx]}, / rate to 100 domains", measured, 0.25, False,
                        f"{middle[tail]['rate']:.0f} and {middle[hundred]['rate']:.0f} a second, both with MX by DNS")


def rate_ratio(one, other):
    return one["rate"] / other["rate"]


def cpu_ratio(one, other):
    return one["cpu"] / other["cpu"]


MX = {"shared": "MX hosts shared", "own": "MX hosts of their own"}


def idle_figure(middle, bounds):
    idle, own = middle.get(("idle", "todoku")), bounds.get("idle")
    if idle and own:
        yield entry("250 to the receiver's final dot at rest, p99, ms beyond the receiver's own median", idle["idle"]["all"]["p99"] - own["p50"], 5.0, True,
                    f"p50 {idle['idle']['all']['p50']:.2f}, p99 {idle['idle']['all']['p99']:.2f} ms; generator straight into the receiver: "
                    f"p50 {own['p50']:.2f}, p99 {own['p99']:.2f} ms")


def cluster_figure(rounds):
    pair = ("relay", "pair")
    measured = rounds.median(rate_ratio, pair, RELAY)
    if measured:
        yield entry("coordinator and node over TCP / todoku up, messages/s", measured, 0.5, False,
                    f"{rounds.median(cpu_ratio, pair, RELAY):.2f} x CPU per message")


def other_figure(rounds, middle):
    for case, _ in [key for key in middle if key[1] == "other"]:
        us, them = (case, "todoku"), (case, "other")
        measured = rounds.median(cpu_ratio, us, them)
        if measured:
            yield {"what": f"{case}: CPU a message / the other program's", "measured": measured, "asked": None, "below": True, "met": True,
                   "note": f"{middle[us]['cpu']:.4f} and {middle[them]['cpu']:.4f} ms; {rounds.median(rate_ratio, us, them):.3f} x messages/s"}


def figures(rows, bounds):
    middle, rounds = medians(rows), Rounds(rows)
    return [*cpu_figures(rounds, middle), *rate_figures(rounds, middle, bounds), *idle_figure(middle, bounds), *cluster_figure(rounds),
            *other_figure(rounds, middle)]

"""figures - what is asked of Todoku, beside what one run has measured

Every figure is a ratio within one run, or has its bound measured in the same run, so that another machine, or the same one on a
bad day, still tells the same. `figures(rows, bounds)` gives a list of (what, measured, asked, met, note); a figure whose case
was not run is left out.

Rows are reduced to medians over the rounds first. The cases are named as run.py names them.
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


def best_rival(middle):
    rates = {name: m["rate"] for (case, name), m in middle.items() if case == "relay" and name not in ("todoku", "other", "pair")}
    return max(rates, key=rates.get) if rates else None


def entry(what, measured, asked, below, note):
    return {"what": what, "measured": measured, "asked": asked, "below": below, "met": measured <= asked if below else measured >= asked, "note": note}


def cpu_figures(middle, signature):
    relay = middle.get(("relay", "todoku"))
    if not relay:
        return
    yield entry("CPU a message, 10 KiB synced, in RSA-2048 signatures", relay["cpu"] / signature, 0.55, True,
                f"{relay['cpu']:.3f} ms a message; a signature is {signature:.3f} ms of a core (openssl speed)")
    rsa, tls = middle.get(("dkim-rsa", "todoku")), middle.get(("tls", "todoku"))
    if rsa:
        yield entry("CPU that RSA-2048 DKIM adds, in signatures", (rsa["cpu"] - relay["cpu"]) / signature, 1.15, True,
                    f"{rsa['cpu']:.3f} ms with, {relay['cpu']:.3f} without")
    if tls:
        yield entry("CPU with STARTTLS out, sessions reused, / plain", tls["cpu"] / relay["cpu"], 1.25, True,
                    f"{tls['cpu']:.3f} ms with, {relay['cpu']:.3f} without")


def rate_figures(middle, bounds):
    relay, rival = middle.get(("relay", "todoku")), best_rival(middle)
    if relay and rival:
        other = middle["relay", rival]["rate"]
        yield entry(f"messages/s / best rival ({rival})", relay["rate"] / other, 15, False,
                    f"{relay['rate']:.0f} and {other:.0f} a second; 20 is the goal")
    big = middle.get(("100k-dkim", "todoku"))
    if big:
        disk = bounds.get("disk", {}).get(102400, {}).get("group")
        yield entry("100 KiB with RSA-2048 DKIM, million an hour", big["rate"] * HOUR / 1e6, 4.03, False,
                    f"{big['rate']:.0f} a second" + (f"; this disk alone syncs {disk:.0f} such bodies a second" if disk else ""))
    for mx in ("shared", "own"):
        tail, hundred = middle.get((f"long-tail-{mx}", "todoku")), middle.get(("hundred", "todoku"))
        if tail and hundred:
            yield entry(f"one message a domain, {MX[mx]}, / rate to 100 domains", tail["rate"] / hundred["rate"], 0.25, False,
                        f"{tail['rate']:.0f} and {hundred['rate']:.0f} a second, both with MX by DNS")


MX = {"shared": "MX hosts shared", "own": "MX hosts of their own"}


def idle_figure(middle, bounds):
    idle, own = middle.get(("idle", "todoku")), bounds.get("idle")
    if idle and own:
        yield entry("250 to the receiver's final dot at rest, p99, ms beyond the receiver's own median", idle["idle"]["all"]["p99"] - own["p50"], 5.0, True,
                    f"p50 {idle['idle']['all']['p50']:.2f}, p99 {idle['idle']['all']['p99']:.2f} ms; generator straight into the receiver: "
                    f"p50 {own['p50']:.2f}, p99 {own['p99']:.2f} ms")


def cluster_figure(middle):
    pair, up = middle.get(("relay", "pair")), middle.get(("relay", "todoku"))
    if pair and up:
        yield entry("coordinator and node over TCP / todoku up, messages/s", pair["rate"] / up["rate"], 0.5, False,
                    f"{pair['cpu'] / up['cpu']:.2f} x CPU per message")


def other_figure(middle):
    for case, _ in [key for key in middle if key[1] == "other"]:
        us, them = middle.get((case, "todoku")), middle[case, "other"]
        if us:
            yield {"what": f"{case}: CPU a message / the other program's", "measured": us["cpu"] / them["cpu"], "asked": None, "below": True, "met": True,
                   "note": f"{us['cpu']:.4f} and {them['cpu']:.4f} ms; {us['rate'] / them['rate']:.3f} x messages/s"}


def figures(rows, bounds):
    middle = medians(rows)
    out = list(cpu_figures(middle, bounds["signature"])) if bounds.get("signature") else []
    return [*out, *rate_figures(middle, bounds), *idle_figure(middle, bounds), *cluster_figure(middle), *other_figure(middle)]

"""When mail may start: windows by the clock of a zone, releases in intervals, a time that the sender wants."""
import collections
import datetime
import time
import zoneinfo

from daemon import until
from lab import SENDER, Load, check, whole

APART = True
ZONE = "Asia/Kathmandu"  # 5:45 ahead of UTC: whoever takes the machine's clock is wrong


def clock(ahead):
    """What the zone's clocks show so many minutes from now."""
    return (datetime.datetime.now(zoneinfo.ZoneInfo(ZONE)) + datetime.timedelta(minutes=ahead)).strftime("%H:%M")


def window(name, begin, end, **match):
    return {"name": name, "match": match, "timezone": ZONE, "windows": [f"{clock(begin)}-{clock(end)}"]}


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def load(prefix, count, campaign, domain="d001.test", header=""):
    return Load([domain], SENDER, count, prefix=prefix, size=600, header=header or f"X-Todoku-Campaign: {campaign}")


def arrived(sink, one):
    return [a.time for a in sink.arrivals() if a.id.startswith(one.prefix)]


def test_windows(lab):
    "mail waits for its window by the clock of its zone and starts when that opens, on the minute; a reload counts at once"
    sink = lab.sink()
    opens = (int(time.time()) // 60 + 1) * 60
    if opens - time.time() < 8:
        opens += 60
    minutes = round((opens - time.time()) / 60 + 0.5)
    later = window("later", 180, 240, campaign="later")
    t = lab.todoku(more={"schedules": [window("soon", minutes, minutes + 5, campaign="soon"), later]})
    soon, far, free = load("soon", 30, "soon"), load("late", 20, "later"), load("free", 10, "free")
    for one in (soon, far, free):
        one.run(*t.smtp, connections=2)
    sink.wait_count(10, 20, alive=t.daemon)
    check(not arrived(sink, soon) and not arrived(sink, far), "mail was sent outside its window")
    rows = {r["campaign"]: r for r in t.cli_json("queues")}
    check(rows["soon"]["state"] == "scheduled" and rows["soon"]["schedule"] == "soon", f"`todoku queues` says {rows['soon']}")
    check(rows["soon"]["opens"].startswith(stamp(opens)[:16]), f"it opens at {stamp(opens)}, `todoku queues` says {rows['soon']['opens']}")
    sink.wait_count(40, 80, alive=t.daemon)
    first = min(arrived(sink, soon))
    check(-0.1 < first - opens < 2, f"the first came {first - opens:.2f} s after the window opened")
    check(not arrived(sink, far), "mail was sent outside its window")
    t.write_config({"schedules": [{**later, "windows": [f"{clock(-60)}-{clock(60)}"]}]})
    t.reload()
    sink.wait_count(60, 10, alive=t.daemon)
    t.stop()
    whole([soon, far, free], sink)


def test_release(lab):
    "a release of 5 every 3 s: never more in an interval counted from 1970, and the next five as soon as one begins"
    sink = lab.sink()
    t = lab.todoku(more={"schedules": [{"name": "drops", "match": {"campaign": "drops"}, "release": {"count": 5, "every": "3s"}}]})
    drops, free = load("drop", 23, "drops"), load("free", 30, "free")
    time.sleep(3.3 - time.time() % 3)  # what starts late in an interval would arrive in the next
    drops.run(*t.smtp, connections=1)
    free.run(*t.smtp, connections=1)
    sink.wait_count(53, 40, alive=t.daemon)
    t.stop()
    whole([drops, free], sink)
    times = arrived(sink, drops)
    each = collections.Counter(int(at + 0.05) // 3 for at in times)
    check(max(each.values()) <= 5, f"in intervals of 3 s arrived {sorted(each.items())}")
    begins = [(min(at for at in times if int(at + 0.05) // 3 == i) + 0.05) % 3 for i in sorted(each)[1:]]
    check(max(begins) < 1, f"an interval's first came {max(begins):.2f} s after it had begun")
    check(max(arrived(sink, free)) - min(times) < 5, "mail of another campaign waited too")


def test_send_at(lab):
    "a time in the header or in the API's JSON: not sent before, shown by `todoku message`; deleted before it is due"
    sink, t = lab.sink(), lab.todoku()
    due = int(time.time()) + 5
    over_smtp = load("smtp", 3, "", header=f"X-Todoku-Send-At: {stamp(due)}")
    over_smtp.run(*t.smtp, connections=1)
    ids = []
    for campaign in ("http", "gone"):
        status, answer, _ = t.post("/v1/messages", {"from": SENDER, "to": ["a@d002.test"], "subject": "x", "text": "x", "campaign": campaign, "send_at": due})
        check(status == 202, f"POST /v1/messages answered {status}: {answer}")
        ids.append(answer["id"])
    row, = (r for r in t.cli_json("message", ids[0]) if "state" in r)
    check(row["state"] == "waiting" and row["due"].startswith(stamp(due)[:19]), f"`todoku message` says {row}")
    done = t.cli("delete", "--campaign", "gone", "--reason", "not needed")
    check(done.returncode == 0, f"todoku delete: {done.stderr}{done.stdout}")
    event = t.wait_event(5, event="cancelled")
    check(event["message"] == ids[1] and "not needed" in event["reply"], f"the event says {event}")
    check(not sink.arrivals(), "mail was sent before its time")
    until("mail that was due at its time", lambda: len(sink.arrivals()) >= 4, 15)
    early = due - min(a.time for a in sink.arrivals())
    check(early < 0.05, f"mail was sent {early:.2f} s before its time")
    time.sleep(1)
    check(len(sink.arrivals()) == 4, f"{len(sink.arrivals())} messages arrived; one of five was deleted")
    t.stop()

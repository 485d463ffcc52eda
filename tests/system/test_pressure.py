"""Back-pressure: a node near a bound takes new mail more slowly, then says no with the reason, and goes on with what it has."""
import json
import time

from daemon import until
from lab import SENDER, Load, check, whole

APART = True
BOUND = 1000


def submission(n):
    return {"from": SENDER, "to": [f"h{n}@down.test"], "subject": "pressure", "text": "one more\n"}


def test_queue_limit(lab):
    "node.max_queued: slower from 80 % on, then 451 and 429 with the reason, /readyz 503; what was accepted arrives; it opens again"
    t = lab.todoku(more={"node": {"max_queued": BOUND}, "delivery": {"retry": ["2s"]}})
    easy = Load(["down.test"], SENDER, BOUND * 7 // 10, prefix="e").run(*t.smtp, connections=4)
    check(not easy.refused and not easy.unknown, f"refused far from the bound: {list(easy.refused.values())[:3]}")
    start = time.monotonic()
    rest = Load(["down.test"], SENDER, BOUND * 4 // 10, prefix="r").run(*t.smtp, connections=4)
    took = time.monotonic() - start
    refused = list(rest.refused.values())
    check(refused and not rest.unknown, f"{len(rest.accepted)} more were accepted, {len(refused)} refused, {len(rest.unknown)} got no answer")
    odd = [r for r in refused if not (r.startswith("451 4.3.1 ") and "max_queued" in r)]
    check(not odd, f"refused without the reason: {odd[:3]}")
    # 200 messages between 80 % and 100 % wait a third of a second each on the average, four at a time.
    check(took > 5, f"intake was not slowed: {len(rest.accepted)} more within {took:.1f} s")

    status, _, text = t.get("/readyz")
    check(status == 503 and "max_queued" in text, f"/readyz says {status} {text}")
    status, headers, text = t.request("POST", "/v1/messages", submission(1))
    check(status == 429 and headers.get("Retry-After") and "max_queued" in json.loads(text)["detail"], f"HTTP says {status} {dict(headers)} {text}")
    alerts = t.cli_json("alerts")
    check([a for a in alerts if a["alert"] == "pressure" and a["severity"] == "critical"], f"alerts: {alerts}")

    sink = lab.sink(listen=["127.4.206.1"])
    accepted = len(easy.accepted) + len(rest.accepted)
    sink.wait_count(accepted, 60, alive=t.daemon)
    whole([easy, rest], sink)
    until("intake to open again", lambda: t.request("POST", "/v1/messages", submission(2))[0] == 202, 20, every=0.2)
    until("/readyz to say so", lambda: t.get("/readyz")[0] == 200, 10)
    sink.wait_count(accepted + 1, 20, alive=t.daemon)
    t.stop()

"""Who may: keys for the HTTP API and passwords for SMTP AUTH, from `todoku key add` to `revoke`."""
import base64
import json
import re

from daemon import until
from lab import SENDER, Smtp, check, mail

TENANTS = [{"id": "acme", "pools": ["a"], "domains": ["sender.test"]}, {"id": "other", "pools": ["a"], "domains": ["other.test"]}]


def make_key(t, *who):
    done = t.cli("key", "add", *who, "-c", t.file)
    check(done.returncode == 0, f"key add: {done.returncode} {done.stderr}")
    found = re.findall(r"\btdk_\w+", done.stdout)
    check(len(found) == 1, f"key add printed {done.stdout!r}")
    return found[0]


def log_in(t, user, password):
    smtp = Smtp(*t.smtp)
    smtp.hello()
    token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    return smtp, smtp.ask(f"AUTH PLAIN {token}")


def test_keys(lab):
    "a tenant's key logs in over SMTP and HTTP as that tenant only; wrong, missing and revoked keys are refused"
    sink = lab.sink()
    t = lab.todoku(start=False, more={"coordinator": {"keys_file": str(lab.work / "keys"), "trusted": None, "default_tenant": None}, "tenants": TENANTS})
    acme, other, admin = make_key(t, "--tenant", "acme"), make_key(t, "--tenant", "other"), make_key(t, "--admin")
    t.start()

    def post(key, sender):
        return t.post("/v1/messages", {"from": sender, "to": ["http@d001.test"], "subject": "x", "text": "x"}, **({"Authorization": f"Bearer {key}"} if key else {}))[0]

    smtp, reply = log_in(t, "acme", acme)
    check(reply.startswith("235"), f"the right password: {reply}")
    reply, _ = smtp.send(SENDER, ["smtp@d001.test"], mail())
    check(reply.startswith("250"), f"logged in: {reply}")
    reply, _ = smtp.send("ceo@other.test", ["smtp@d001.test"], mail(sender="ceo@other.test"))
    check(reply.startswith("550 5.7."), f"acme sent as other.test: {reply}")
    for user, password in (("acme", acme[:-1] + "x"), ("acme", other), ("acme", ""), ("nobody", acme)):
        reply = log_in(t, user, password)[1]
        check(re.match(r"5(35|01) ", reply), f"user {user} with a wrong password: {reply}")
    check(post(acme, SENDER) == 202, "acme's key was refused over HTTP")
    check(post(acme, "ceo@other.test") == 403, "acme's key sent as other.test over HTTP")
    check(post(None, SENDER) == 401 and post("tdk_000000000000_" + "0" * 64, SENDER) == 401, "no key or a wrong one was taken over HTTP")
    check(t.get("/readyz")[0] == 200, "/readyz asks for a key")
    sink.wait_count(2, 15, alive=t.daemon)
    status, _, text = t.request("GET", "/v1/queues", headers={"Authorization": f"Bearer {other}"})
    check(status == 200 and "acme" not in text, f"other's key sees acme's queues: {status} {text[:200]}")
    keys = t.cli("key", "list", "--json", "-c", t.file).stdout.splitlines()
    check(len(keys) == 3 and not any(k in line for k in (acme, other, admin) for line in keys), f"key list: {keys}")
    id_ = acme.split("_")[1]
    check(any(json.loads(line).get("id") == id_ for line in keys), f"no id {id_} in {keys}")
    check(t.cli("key", "revoke", id_, "-c", t.file).returncode == 0, "revoke failed")
    t.reload()
    until("the revoked key to be refused", lambda: post(acme, SENDER) == 401, 10, every=0.3)
    check(log_in(t, "acme", acme)[1].startswith("535"), "the revoked key logs in over SMTP")
    check(log_in(t, "other", other)[1].startswith("235"), "the other key stopped working")


def test_open_to_the_world(lab):
    "an API that listens beyond loopback without a keys_file is refused at the start, with the command that makes a key"
    t = lab.todoku(start=False)
    t.write_config({"coordinator": {"http": f"0.0.0.0:{t.http[1]}"}})
    t.start(ready=False)
    code = t.daemon.wait_exit(15)
    check(code in (1, 2) and "todoku key add" in t.text(), f"ended with {code}: {t.text()}")

"""todoku - the program under test: its config, its life, its API

    t = Todoku(work, sources=[("127.0.1.1", "mx1.sender.test", ["a"])], dns=nsd, port=2600)
    t.start();  ...  t.stop()

The config is made from keyword arguments and `more`, a dictionary laid over it (nested dictionaries are merged, anything
else replaced; None removes a key). It is written with one top-level key a line, so that a fault can be found by line.

Errors: LabError with the tail of the program's log.
"""
import contextlib
import copy
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from daemon import ROOT, Daemon, LabError, free_port, until


def program():
    """The binary: $TODOKU, else build/release/todoku."""
    path = Path(os.environ.get("TODOKU", ROOT / "build" / "release" / "todoku"))
    if not path.exists():
        raise LabError(f"there is no {path}; build it with scripts/build, or set TODOKU to the program")
    return path


def merge(base, more):
    """`more` laid over a copy of `base`."""
    out = copy.deepcopy(base)
    for key, value in (more or {}).items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        else:
            out[key] = copy.deepcopy(value)
    return out


def loops(*halves):
    """$TODOKU_LOOPS: the work of every half is spread over so many loops, whatever the machine has."""
    wanted = os.environ.get("TODOKU_LOOPS")
    return {half: {"loops": int(wanted)} for half in halves} if wanted else {}


def yaml(config):
    """JSON is YAML; a line for every top-level key is enough to stay readable."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items())


class Todoku:
    command = "up"

    def __init__(self, work, dns=None, port=25, sources=(("127.0.1.1", "mx1.sender.test", ["a"]),), more=None, name="todoku", wrap=()):
        self.dir = Path(work).resolve() / name
        self.dir.mkdir(parents=True, exist_ok=True)
        self.data = self.dir / "data"
        self.smtp = ("127.0.0.1", free_port())
        self.http = ("127.0.0.1", free_port())
        self.wrap, self.daemon, self.name, self.before = list(wrap), None, name, None
        pools = list(dict.fromkeys(p for _, _, ps in sources for p in ps))
        server = dns.server if hasattr(dns, "server") else dns
        self.config = merge(merge({
            "cluster": {"name": "lab"},
            "coordinator": {"id": "c1", "smtp": [{"listen": "%s:%d" % self.smtp}], "http": "%s:%d" % self.http,
                            "trusted": ["127.0.0.0/8"], "default_tenant": "acme"},
            "node": {"id": "n1", "data_dir": str(self.data),
                     "sources": [{"address": a, "helo": h, "pools": ps} for a, h, ps in sources]},
            "resolver": {"servers": [server], "timeout": "1s"} if server else None,
            "delivery": {"port": port, "tls": "opportunistic", "retry": ["1s", "2s", "3s"], "dsn": "none",
                         "timeouts": {"connect": "5s", "greeting": "5s", "command": "5s", "data": "5s", "dot": "10s"}},
            "pools": {p: {"overflow": "none"} for p in pools},
            "tenants": [{"id": "acme", "pools": pools, "domains": ["sender.test"]}],
            "providers": [{"name": "default", "connections": 10, "messages_per_connection": 100, "rate": "none"}],
        }, loops("coordinator", "node")), more)
        self.config = {k: v for k, v in self.config.items() if v is not None}
        self.file = self.dir / "todoku.yaml"
        self.write_config()

    def write_config(self, more=None):
        self.config = merge(self.config, more)
        self.file.write_text(yaml(self.config))

    # ---- its life ----

    def start(self, ready=True, seconds=20):
        self.daemon = Daemon([*self.wrap, program(), self.command, "-c", self.file], log=self.dir / "log", name=self.name, before=self.before)
        if ready:
            until(f"/readyz on port {self.http[1]}", lambda: self.get("/readyz")[0] == 200, seconds, alive=self.daemon)
        return self

    def __enter__(self):
        return self if self.daemon else self.start()

    def __exit__(self, *_):
        if self.daemon:
            self.daemon.end()

    def stop(self, seconds=30):
        """SIGTERM; LabError unless it ends with status 0 in time."""
        status = self.daemon.stop(seconds)
        if status != 0:
            raise LabError(f"todoku ended with status {status} after SIGTERM\n{self.daemon.tail()}")

    def kill(self):
        self.daemon.kill()

    def reload(self):
        self.daemon.signal(signal.SIGHUP)

    def text(self):
        return self.daemon.text()

    # ---- its API ----

    def inside(self):
        """A context in which its addresses can be reached."""
        return contextlib.nullcontext()

    def request(self, method, path, body=None, headers=None, seconds=15):
        """(status, headers, text); status 0 when nobody answered."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
        request = urllib.request.Request("http://%s:%d%s" % (*self.http, path), data=data, method=method, headers=headers)
        try:
            with self.inside(), urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, answer.headers, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode("utf-8", "replace")
        except OSError:
            return 0, {}, ""

    def get(self, path):
        return self.request("GET", path)

    def get_json(self, path):
        status, _, text = self.get(path)
        if status != 200:
            raise LabError(f"GET {path} answered {status}: {text[:300]}")
        return json.loads(text)

    def post(self, path, body, **headers):
        """(status, object). Header names are given with underscores: Idempotency_Key="x"."""
        status, answer_headers, text = self.request("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        kind = answer_headers.get("Content-Type", "") if answer_headers else ""
        try:
            return status, json.loads(text), kind
        except ValueError:
            return status, {"text": text}, kind

    def cli(self, *args, input=None, seconds=30):
        """Run a subcommand against this server; a CompletedProcess with text."""
        env = dict(os.environ, TODOKU_API="http://%s:%d" % self.http, NO_COLOR="1")
        try:
            return subprocess.run([str(program()), *map(str, args)], input=input, capture_output=True, text=True, timeout=seconds, env=env)
        except subprocess.TimeoutExpired:
            raise LabError(f"todoku {' '.join(map(str, args))} still ran after {seconds} s") from None

    def cli_json(self, *args):
        """The objects a listing prints with --json, one a line."""
        done = self.cli(*args, "--json")
        if done.returncode:
            raise LabError(f"todoku {' '.join(args)} --json ended with {done.returncode}: {done.stderr.strip()[:500]}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    # ---- what it wrote down ----

    def events(self, **wanted):
        """The events under data_dir/log that have all the given fields' values; from_ stands for from."""
        wanted = {k.rstrip("_"): v for k, v in wanted.items()}
        out = []
        for path in sorted(p for p in (self.data / "log").rglob("*") if p.is_file()):
            for line in path.read_bytes().splitlines():
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict) and "event" in event and all(event.get(k) == v for k, v in wanted.items()):
                    out.append(event)
        return out

    def wait_event(self, seconds=15, **wanted):
        """The first event with these fields, when it comes."""
        return until(f"an event with {wanted}", lambda: self.events(**wanted), seconds, every=0.2, alive=self.daemon)[0]

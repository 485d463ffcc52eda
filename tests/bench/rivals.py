"""rivals - the servers that the benchmark compares, each set up to be as fast as its own guides make it

Every server relays: it takes mail from 127.0.0.0/8 in, has it on disk, answers 250, and passes it on to the receiver (case.sink).
None has its syncing switched off (SYNCS below says what that comes to), none scans or rewrites anything. What we chose, and where it is advised:

  postfix    TUNING_README, QSHAPE_README, STRESS_README: many processes that live long, connection reuse without a count limit,
             high destination concurrency, no in-flow delay, no client limits, no rewriting of clients' mail, no chroot.
  exim       The specification's chapters on performance and on a relay: split_spool_directory, no per-message logs, delivery at once by
             a process of its own without dropping and regaining root (deliver_drop_privilege), no limit on what comes in.
             The other way, queue_only with up to 40 queue runners, was tried: intake is faster, the whole is not.
  opensmtpd  smtpd.conf(5): scheduler max-inflight raised; the limits to one relay host raised (parse.y: `limit mta`).
  haraka     Its wiki's Performance Tuning: one worker a core (nodes=cpus), log level warn, only a plugin that lets the mail through.

    daemon, (host, port) = RIVALS["postfix"](work, case, accounts)

Errors: Skip with the reason when a rival can't be had on this machine; LabError when it does not start.
"""
import json
import shutil
import subprocess
from pathlib import Path

from daemon import BUILD, Daemon, LabError, Skip, free_port
from peers import Exim, OpenSmtpd, Peers

HARAKA = "3.3.4"
ADDRESS = {"postfix": "127.0.5.9", "exim": "127.0.5.10", "opensmtpd": "127.0.5.11", "haraka": "127.0.5.12"}

POSTFIX = {
    "smtp_tls_security_level": "none", "smtpd_tls_security_level": "none", "default_process_limit": "300", "max_use": "10000",
    "in_flow_delay": "0", "qmgr_message_active_limit": "50000", "qmgr_message_recipient_limit": "50000",
    "initial_destination_concurrency": "20", "default_destination_concurrency_limit": "40", "smtp_destination_concurrency_limit": "40",
    "smtp_connection_cache_on_demand": "yes", "smtp_connection_reuse_time_limit": "600s", "smtp_connection_reuse_count_limit": "0",
    "smtpd_client_connection_count_limit": "0", "smtpd_client_connection_rate_limit": "0", "smtpd_client_message_rate_limit": "0",
    "smtpd_client_event_limit_exceptions": "127.0.0.0/8", "smtpd_delay_reject": "no", "smtputf8_enable": "no",
    "local_header_rewrite_clients": "", "receive_override_options": "no_header_body_checks,no_address_mappings",
    "disable_dns_lookups": "yes", "strict_mailbox_ownership": "no",
}


def postfix(work, case, accounts):
    address, port = ADDRESS["postfix"], free_port(ADDRESS["postfix"])
    relayhost = "[%s]:%d" % case.sink
    return Peers().postfix(work, address, port, relayhost=relayhost, more=POSTFIX, before=accounts.join), (address, port)


def on_real_disk(peer, where, owner):
    """Shell lines that put the peer's queue on the disk itself, not on an overlay of it."""
    spool = peer.dir / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    return f"mkdir -p {where}\nmount --bind {spool} {where}\nchown {owner} {where}\n"


class EximRelay(Exim):
    def configure(self):
        host, port = self.options["sink"]
        etc = self.etc / "exim4"
        etc.mkdir()
        (etc / "exim4.conf").write_text(f"""\
primary_hostname = exim.test
local_interfaces = <; {self.address}.{self.port}
daemon_smtp_ports = {self.port}
tls_advertise_hosts =
log_file_path = /var/log/exim4/%slog
acl_smtp_rcpt = take
acl_smtp_data = take
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
smtp_connect_backlog = 200
split_spool_directory
message_logs = false
deliver_drop_privilege
queue_run_max = 40
remote_max_parallel = 40
smtp_enforce_sync = false
begin acl
take:
  accept
begin routers
relay:
  driver = manualroute
  route_data = {host}
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = {port}
  hosts_avoid_tls = *
  connection_max_messages = 500
  allow_localhost
begin retry
*  *  F,1h,1m
""")
        var = "/var/spool/exim4"
        setup = (on_real_disk(self, var, "Debian-exim:Debian-exim") + f"mkdir -p {var}/input {var}/db {var}/msglog /var/log/exim4\n"
                 f"chown -R Debian-exim:Debian-exim {var} /var/log/exim4")
        return "/usr/sbin/exim4 -bdf -q1m", setup


def exim(work, case, accounts):
    address, port = ADDRESS["exim"], free_port(ADDRESS["exim"])
    return EximRelay(Peers(), work, address, port, before=accounts.join, sink=case.sink), (address, port)


class OpenSmtpdRelay(OpenSmtpd):
    def configure(self):
        host, port = self.options["sink"]
        (self.etc / "smtpd.conf").write_text(f"""\
listen on {self.address} port {self.port} hostname opensmtpd.test
smtp limit max-mails 100000
scheduler limit max-inflight 20000
mta limit max-conn-per-host 40 max-conn-per-route 40 max-conn-per-connector 40 conn-delay-route 0 reconn-delay-route 0 conn-delay-relay 0 session-mail-max 1000 task-hiwat 1000 task-lowat 500 session-keepalive 1
mta max-deferred 20000
action out relay host "smtp://{host}:{port}"
match from any for any action out
""")
        (self.etc / "mailname").write_text("opensmtpd.test\n")
        var = "/var/spool/smtpd"
        setup = (on_real_disk(self, var, "root") + f"mkdir -p /var/lib/opensmtpd/empty {var}/offline /run/opensmtpd\n"
                 f"chmod 711 {var}\nchmod 755 /var/lib/opensmtpd /var/lib/opensmtpd/empty\n"
                 f"chown root:opensmtpq {var}/offline\nchmod 770 {var}/offline")
        return "/usr/sbin/smtpd -d -f /etc/smtpd.conf", setup


def opensmtpd(work, case, accounts):
    address, port = ADDRESS["opensmtpd"], free_port(ADDRESS["opensmtpd"])
    return OpenSmtpdRelay(Peers(), work, address, port, before=accounts.join, sink=case.sink), (address, port)


def fetch_haraka():
    """The folder with Haraka and what it needs, by npm into build/peers, once."""
    home = BUILD / "peers" / "haraka"
    package = home / "node_modules" / "Haraka" / "package.json"
    if package.exists() and json.loads(package.read_text())["version"] == HARAKA:
        return home
    if not shutil.which("node") or not shutil.which("npm"):
        raise Skip("haraka: needs node and npm")
    home.mkdir(parents=True, exist_ok=True)
    argv = ["npm", "install", "--prefix", str(home), "--no-fund", "--no-audit", "--omit=optional", "--ignore-scripts", f"Haraka@{HARAKA}"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, cwd=home, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Skip("haraka: npm took more than five minutes") from None
    if done.returncode or not package.exists():
        raise Skip(f"haraka: npm cannot install Haraka {HARAKA}: {done.stderr.strip()[-300:]}")
    return home


def write_haraka(home, folder, address, port, sink):
    """Its configuration folder: one plugin that takes all mail and names the receiver as everybody's MX."""
    config, plugins = folder / "config", folder / "plugins"
    for d in (config, plugins, folder / "queue"):
        d.mkdir(parents=True, exist_ok=True)
    shutil.copy(home / "node_modules/Haraka/config/connection.ini", config)  # it does not start without
    (config / "me").write_text("haraka.test\n")
    (config / "plugins").write_text("through\n")
    (config / "loglevel").write_text("WARN\n")
    (config / "databytes").write_text("52428800\n")
    (config / "smtp.ini").write_text(f"listen={address}:{port}\nnodes=cpus\n")
    (config / "outbound.ini").write_text("enable_tls=false\nlocal_mx_ok=true\nconcurrency_max=50\n")
    (plugins / "through.js").write_text(f"""\
exports.hook_connect = (next, connection) => {{ connection.relaying = true; next() }}
exports.hook_get_mx = (next) => next(OK, [{{ priority: 0, exchange: '{sink[0]}', port: {sink[1]} }}])
""")


def haraka(work, case, accounts):
    home = fetch_haraka()
    address, port = ADDRESS["haraka"], free_port(ADDRESS["haraka"])
    folder = Path(work) / "haraka"
    write_haraka(home, folder, address, port, case.sink)
    daemon = Daemon(["node", home / "node_modules/Haraka/bin/haraka", "-c", folder], log=folder / "log", name="haraka", before=accounts.join)
    try:
        daemon.wait_port(address, port, 30)
    except LabError:
        daemon.end()
        raise
    return daemon, (address, port)


RIVALS = {"postfix": postfix, "exim": exim, "opensmtpd": opensmtpd, "haraka": haraka}
# What a message costs in syncs, as strace -f -e trace=fsync,fdatasync on all of a server's processes shows it over 500 messages.
SYNCS = {
    "postfix": "one fsync, of the queue file",
    "exim": "four fsyncs a message in all",
    "opensmtpd": "none: as Debian 12 has it, a message is renamed into the queue without being synced",
    "haraka": "one fsync, of the queue file; its folder is not synced",
}

#!/usr/bin/python3
"""peers - real mail and name servers, fetched from Debian, never installed

`apt-get download` and `dpkg-deb -x` put the packages (and the shared libraries this machine lacks) under
build/peers/<name>/; a second call finds them there. A peer runs in a mount namespace of its own where its files lie over
/usr, /etc and /var as overlays, with private copies of passwd and group that know its users, and in a pid namespace, so
that ending the one process we started ends all of its children. The machine itself is not changed.

    peers = Peers()                               # Skip when the packages can't be had
    with peers.postfix(work, "127.0.5.1", 2600, domains=["postfix.test"]) as postfix:
        ...
        postfix.messages()                        # [bytes] of every message in its maildirs
        postfix.text()                            # its log

Needs root (mount). Errors: Skip when a package or the right to mount can't be had, LabError when a peer doesn't start.
"""
import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from daemon import BUILD, Daemon, LabError, Skip

PACKAGES = {"postfix": ["postfix"], "exim": ["exim4-daemon-light"], "opensmtpd": ["opensmtpd", "libengine-pkcs11-openssl"],
            "nsd": ["nsd"]}

PASSWD = """\
postfix:x:4101:4101::/var/spool/postfix:/usr/sbin/nologin
Debian-exim:x:4103:4103::/var/spool/exim4:/usr/sbin/nologin
opensmtpd:x:4104:4104::/var/lib/opensmtpd/empty:/usr/sbin/nologin
opensmtpq:x:4105:4105::/var/lib/opensmtpd/empty:/usr/sbin/nologin
labmail:x:4110:4110::/nonexistent:/usr/sbin/nologin
"""
GROUP = """\
postfix:x:4101:
postdrop:x:4102:
Debian-exim:x:4103:
opensmtpd:x:4104:
opensmtpq:x:4105:
labmail:x:4110:
"""
LABMAIL = 4110
MAIL = "/var/labmail"  # where a peer keeps its maildirs, in its own view of /var


def _run(argv, seconds, cwd=None):
    return subprocess.run(argv, capture_output=True, text=True, timeout=seconds, cwd=cwd, stdin=subprocess.DEVNULL)


class Peers:
    def __init__(self, home=None):
        self.home = Path(home or BUILD / "peers")

    # ---- having them ----

    def fetch(self, name):
        """The folder with the peer's files, fetched if need be."""
        folder, archives = self.home / name, self.home / "archives" / name
        # A folder from before a package was added to the list lacks that package's archive.
        if (folder / ".complete").exists() and all(any(archives.glob(f"{package}_*.deb")) for package in PACKAGES[name]):
            return folder
        if os.geteuid() != 0:
            raise Skip(f"{name}: needs root to run in a mount namespace")
        (folder / ".complete").unlink(missing_ok=True)
        archives.mkdir(parents=True, exist_ok=True)
        for attempt in (1, 2):
            try:
                wanted = self._missing(name)
                done = _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", *wanted], 180, cwd=archives)
                if done.returncode == 0:
                    break
                why = done.stderr.strip()[-300:]
            except (OSError, subprocess.TimeoutExpired) as error:
                why = str(error)
            if attempt == 2:
                raise Skip(f"{name}: cannot fetch {' '.join(PACKAGES[name])}: {why}")
            try:
                _run(["apt-get", "-o", "DPkg::Lock::Timeout=120", "update"], 180)
            except (OSError, subprocess.TimeoutExpired):
                pass
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for deb in sorted(archives.glob("*.deb")):
            done = _run(["dpkg-deb", "-x", str(deb), str(folder)], 60)
            if done.returncode:
                raise Skip(f"{name}: cannot unpack {deb.name}: {done.stderr.strip()}")
        self._merge_usr(folder)
        for d in ("usr", "etc", "var"):
            (folder / d).mkdir(exist_ok=True)
        (folder / ".complete").touch()
        return folder

    def _missing(self, name):
        """The peer's packages and those of their dependencies that this machine lacks, as apt would choose them."""
        plan = _run(["apt-get", "install", "-s", "--no-install-recommends", *PACKAGES[name]], 60)
        found = [line.split()[1] for line in plan.stdout.splitlines() if line.startswith("Inst ")]
        return sorted(set(PACKAGES[name]) | set(found))

    @staticmethod
    def _merge_usr(folder):
        """Debian 12 has /lib -> usr/lib and so on; a package's own lib/ would hide it under an overlay."""
        for d in ("lib", "lib64", "bin", "sbin"):
            if (folder / d).is_dir():
                shutil.copytree(folder / d, folder / "usr" / d, symlinks=True, dirs_exist_ok=True)
                shutil.rmtree(folder / d)

    # ---- running them ----

    def script(self, name, run, command, setup=""):
        """A shell script that builds the peer's world out of namespaces and then becomes `command`."""
        files, run = self.fetch(name), Path(run).resolve()
        lines = ["set -e"]
        for d in ("etc", "var"):
            (run / d).mkdir(parents=True, exist_ok=True)
            (run / f".{d}.work").mkdir(exist_ok=True)
            lines.append(f"mount -t overlay lab -o lowerdir={files}/{d}:/{d},upperdir={run}/{d},workdir={run}/.{d}.work /{d}")
        lines.append(f"mount -t overlay lab -o lowerdir={files}/usr:/usr /usr")
        lines.append("mount -t tmpfs lab /run")
        (run / "etc" / "passwd").write_text(self._with("/etc/passwd", PASSWD))
        (run / "etc" / "group").write_text(self._with("/etc/group", GROUP))
        lines += [setup, f"exec {command}"]
        path = run / "start.sh"
        path.write_text("\n".join(lines) + "\n")
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "/bin/sh", path]

    @staticmethod
    def _with(path, more):
        names = {line.split(":")[0] for line in more.splitlines()}
        kept = [line for line in Path(path).read_text().splitlines() if line.split(":")[0] not in names]
        return "\n".join(kept) + "\n" + more

    def run(self, name, argv, seconds=60):
        """Run one of the peer's programs to its end in a throw-away world."""
        run = self.home / "run" / f"{name}-{os.getpid()}"
        try:
            return _run([str(a) for a in self.script(name, run, shlex.join(map(str, argv)))], seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"{argv[0]} still ran after {seconds} s") from None
        finally:
            shutil.rmtree(run, ignore_errors=True)

    def postfix(self, work, address, port, **options):
        return Postfix(self, work, address, port, **options)

    def exim(self, work, address, port, **options):
        return Exim(self, work, address, port, **options)

    def opensmtpd(self, work, address, port, **options):
        return OpenSmtpd(self, work, address, port, **options)


def certificate(folder, name):
    """A self-signed certificate; (certificate, key). What most of the world's MTAs show on port 25."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    done = _run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                 "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(cert)], 30)
    if done.returncode:
        raise LabError(f"openssl req: {done.stderr}")
    key.chmod(0o600)
    return cert, key


class Peer(Daemon):
    """A peer with STARTTLS and maildirs. `domains`: it accepts any recipient in these."""

    kind = ""
    says_tls = ""  # how its log tells of an encrypted connection

    def __init__(self, peers, work, address, port, domains=(), name=None, before=None, **options):
        name = name or self.kind
        self.address, self.port, self.domains, self.options = address, port, list(domains), options
        peers.fetch(self.kind)
        self.dir = Path(work).resolve() / name
        shutil.rmtree(self.dir, ignore_errors=True)
        self.mail = self.dir / "var" / "labmail"  # what the peer sees as MAIL
        self.mail.mkdir(parents=True)
        os.chown(self.mail, LABMAIL, LABMAIL)
        self.cert, self.key = certificate(self.dir / "tls", f"{self.kind}.test")
        self.etc = self.dir / "etc"
        self.etc.mkdir()
        command, setup = self.configure()
        super().__init__(peers.script(self.kind, self.dir, command, setup), log=self.dir / "log", name=name, before=before)
        try:
            self.wait_port(address, port, 30)
        except LabError:
            self.end()
            raise

    def configure(self):
        """Write the configuration under self.etc; (command, shell lines to run before it)."""
        raise NotImplementedError

    def first_process(self):
        """The pid of the pid namespace's process 1: when that ends, the kernel ends all the others in there."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def end(self):
        # unshare's --kill-child is not enough: a process that changes its user (Postfix's master) drops that tie.
        first = self.first_process() if self.exit_status() is None else None
        if first:
            os.kill(first, signal.SIGKILL)
            self.wait_exit(10)
        super().end()

    def messages(self):
        """Every message in the maildirs, as bytes."""
        return [p.read_bytes() for p in sorted(self.mail.rglob("*")) if p.is_file() and p.parent.name in ("new", "cur")]


class Postfix(Peer):
    """options: relayhost="[127.0.0.1]:2525", spool=DIR (a real disk for benchmarks), more={main.cf parameter: value}"""

    kind = "postfix"
    says_tls = "TLS connection established from"

    def configure(self):
        etc = self.etc / "postfix"
        etc.mkdir()
        spool = Path(self.options.get("spool") or self.dir / "spool")
        spool.mkdir(parents=True, exist_ok=True)
        main = {
            "compatibility_level": "3.6", "queue_directory": "/var/spool/postfix", "myhostname": "postfix.test", "mydestination": "",
            "inet_interfaces": "loopback-only", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8", "maillog_file": "/dev/stdout",
            "local_recipient_maps": "", "alias_maps": "", "smtpd_tls_security_level": "may", "smtpd_tls_cert_file": self.cert,
            "smtpd_tls_key_file": self.key, "smtpd_tls_loglevel": "1", "smtp_tls_security_level": "may", "smtp_tls_loglevel": "1",
            "smtpd_tls_session_cache_database": "", "smtp_tls_session_cache_database": "", "message_size_limit": "52428800", "mailbox_size_limit": "0", "virtual_mailbox_limit": "0",
            "virtual_mailbox_domains": " ".join(self.domains), "virtual_mailbox_base": MAIL, "virtual_mailbox_maps": "static:all/",
            "virtual_uid_maps": f"static:{LABMAIL}", "virtual_gid_maps": f"static:{LABMAIL}", "virtual_minimum_uid": "100",
            "smtpd_recipient_restrictions": "permit_mynetworks,reject_unauth_destination", "append_dot_mydomain": "no",
            "smtp_host_lookup": "native", "smtpd_peername_lookup": "no", "relayhost": self.options.get("relayhost", ""),
        }
        main.update(self.options.get("more") or {})
        (etc / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in main.items()))
        services = [f"{self.address}:{self.port} inet n - n - - smtpd", "pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup",
                    "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite",
                    "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce",
                    "verify unix - - n - 1 verify", "flush unix n - n 1000? 0 flush", "proxymap unix - - n - - proxymap",
                    "smtp unix - - n - - smtp", "relay unix - - n - - smtp", "showq unix n - n - - showq", "error unix - - n - - error",
                    "retry unix - - n - - error", "discard unix - - n - - discard", "virtual unix - n n - - virtual",
                    "anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd"]
        (etc / "master.cf").write_text("\n".join(services) + "\n")
        setup = (f"mkdir -p /var/spool/postfix /var/lib/postfix\nmount --bind {spool} /var/spool/postfix\nchown postfix /var/lib/postfix\n"
                 "postfix set-permissions >/dev/null 2>&1 || true")
        return "postfix start-fg", setup

    def sendmail(self, peers, sender, rcpts, message):
        """Hand in a message at its SMTP port, as any client would."""
        from load import Smtp
        with Smtp(self.address, self.port) as smtp:
            smtp.hello()
            return smtp.send(sender, rcpts, message)


class Exim(Peer):
    kind = "exim"
    says_tls = " X=TLS"

    def configure(self):
        etc = self.etc / "exim4"
        etc.mkdir()
        (etc / "exim4.conf").write_text(f"""\
primary_hostname = exim.test
domainlist ours = {" : ".join(self.domains)}
local_interfaces = <; {self.address}.{self.port}
daemon_smtp_ports = {self.port}
tls_advertise_hosts = *
tls_certificate = /etc/exim4/cert.pem
tls_privatekey = /etc/exim4/key.pem
log_selector = +tls_cipher +received_recipients
log_file_path = /var/log/exim4/%slog
acl_smtp_rcpt = accept_ours
acl_smtp_data = accept_all
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
message_size_limit = 50M
begin acl
accept_ours:
  accept domains = +ours
  deny message = relay not permitted
accept_all:
  accept
begin routers
all:
  driver = accept
  domains = +ours
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = {MAIL}/all
  maildir_format
  create_directory
  user = labmail
  group = labmail
""")
        for source, name in ((self.cert, "cert.pem"), (self.key, "key.pem")):
            shutil.copy(source, etc / name)
            os.chown(etc / name, 4103, 4103)
        setup = "mkdir -p /var/spool/exim4/input /var/spool/exim4/db /var/spool/exim4/msglog /var/log/exim4\nchown -R Debian-exim:Debian-exim /var/spool/exim4 /var/log/exim4"
        return "/usr/sbin/exim4 -bdf -q1m", setup

    def text(self):
        main = self.dir / "var/log/exim4/mainlog"
        return super().text() + (main.read_text(errors="replace") if main.exists() else "")


class OpenSmtpd(Peer):
    """Debian 12's 6.8.0p2 was written for OpenSSL 1.1 and as it comes fails every TLS handshake (its issues 1171 and 1239).

    Its SMTP process has no private key. It takes the public key out of the certificate, marks that as standing in for the
    real one, and its crypto engine asks another process whenever a marked key is to sign. OpenSSL 3 keeps keys in a new
    form and shows the engine copies without the mark: "missing private key". OpenSSL 3 stays with keys in the old form if
    some engine has public-key methods for their algorithm, and Debian's pkcs11 engine has, for RSA and EC; without a token
    it hands every key on to the usual methods. So loading it is all that's needed, and nothing else is changed.

    options: broken_tls=True leaves it as it comes: a real receiver that offers STARTTLS and then fails it.
    """

    kind = "opensmtpd"
    says_tls = "smtp tls ciphers=TLS"
    says_broken_tls = "smtp disconnected reason=\"io-error: error:"

    OPENSSL_CONF = """\
openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
default_algorithms = PKEY
"""

    def configure(self):
        (self.etc / "smtpd.conf").write_text(f"""\
pki lab cert "{self.cert}"
pki lab key "{self.key}"
table ours {{ {", ".join(self.domains)} }}
table users {{ "@" = "labmail" }}
listen on {self.address} port {self.port} tls pki lab hostname opensmtpd.test
action keep maildir "{MAIL}/all" virtual <users>
match from any for domain <ours> action keep
match from any for any reject
""")
        setup = ("mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd/offline /run/opensmtpd\n"
                 "chmod 711 /var/spool/smtpd\nchmod 755 /var/lib/opensmtpd /var/lib/opensmtpd/empty\n"
                 "chown root:opensmtpq /var/spool/smtpd/offline\nchmod 770 /var/spool/smtpd/offline")
        (self.etc / "smtpd-openssl.cnf").write_text("" if self.options.get("broken_tls") else self.OPENSSL_CONF)
        return "env OPENSSL_CONF=/etc/smtpd-openssl.cnf /usr/sbin/smtpd -d -f /etc/smtpd.conf", setup


def main():
    parser = argparse.ArgumentParser(description="Fetch the peers (into build/peers); with --run, run one until Ctrl-C.")
    parser.add_argument("names", nargs="*", default=sorted(PACKAGES), help=f"of {', '.join(sorted(PACKAGES))}")
    parser.add_argument("--run", metavar="ADDR:PORT", help="run the one named peer here, accepting NAME.test")
    args = parser.parse_args()
    peers = Peers()
    for name in args.names:
        print(f"{name}: {peers.fetch(name)}")
    if args.run:
        name, (address, _, port) = args.names[0], args.run.rpartition(":")
        with getattr(peers, name)(BUILD / "peers" / "run", address, int(port), domains=[f"{name}.test"]) as peer:
            print(f"{name} listens on {args.run}, log in {peer.log}; Ctrl-C ends it")
            try:
                peer.process.wait()
            except KeyboardInterrupt:
                pass
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Skip, LabError) as problem:
        sys.exit(f"peers: {problem}")

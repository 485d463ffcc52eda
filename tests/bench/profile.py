#!/usr/bin/python3
"""profile - where Todoku's processor time goes while it relays

    tests/bench/profile.py [the options of run.py that say what is sent: --size, --dkim, --tls, --long-tail, --count, ...]

Starts the case as run.py does and lets perf look at all threads of the process, 999 times a second of processor time, with call
stacks by frame pointers (our code keeps them; libraries of the system may not, then a stack ends early and the leaf decides).
Prints two tables: what the time was spent on, and the functions at the top. A sample belongs to the first rule below that
fits: in the kernel, by the system call it came from; in our own code, by the innermost function that tells. What the kernel does on
loopback for the other end (its TCP, in the sender's context) counts as sending: over a real wire an interrupt would carry it.

Needs perf (package linux-perf) and the right to use it; ends with a sentence otherwise.
"""
import collections
import contextlib
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True

import run  # noqa: E402
from daemon import LabError, Skip  # noqa: E402
from rounds import measure  # noqa: E402

KERNEL = [
    ("kernel: the log's sync", r"fdatasync|fsync|jbd2|ext4_sync|blkdev_issue_flush|sync_file_range"),
    ("kernel: the log's write", r"ext4_file_write|ext4_buffered|generic_perform_write|shmem_file_write|vfs_fallocate|ftruncate"),
    ("kernel: connections opened and closed", r"sys_connect|sys_accept|sys_socket|sys_close|sys_shutdown|sys_bind|task_work_run|__fput"),
    ("kernel: sending", r"sock_sendmsg|sock_write_iter|tcp_sendmsg|udp_sendmsg|unix_stream_sendmsg|sys_send"),
    ("kernel: receiving", r"sock_recvmsg|sock_read_iter|tcp_recvmsg|udp_recvmsg|sys_recv|unix_stream_read"),
    ("kernel: epoll", r"epoll|ep_poll"),
    ("kernel: threads waking each other", r"futex|eventfd"),
    ("kernel: page faults, memory", r"page_fault|sys_m(un)?map|sys_brk|madvise"),
    ("kernel: files read, names", r"sys_openat|sys_unlink|sys_newfstat|filemap|ext4_file_read|sys_rename"),
    ("kernel: scheduling, interrupts, the rest", r""),
]
OWN = [
    ("malloc", r"^(_int_)?(malloc|free|calloc|realloc)|^malloc_|^unlink_chunk|^x(malloc|calloc|realloc|strdup)$|^tcache|^__libc_(malloc|calloc|free)|^sysmalloc"),
    ("signing: RSA, Ed25519", r"^rsa|RSA|^bn_|^BN_|ed25519|ED25519|^ge_|^fe_|^fe51|^x25519|^signing_key"),
    ("hashing", r"sha256|SHA256|sha512|XXH|hash_|digest|EVP_Digest|siphash"),
    ("TLS", r"^SSL_|^ssl|^tls_|aes|gcm|AES|GCM|EVP_|CRYPTO_|BIO_|ossl_"),
    ("DKIM: canonical text", r"^dkim"),
    ("DNS", r"^ares|^resolve|^dns_|^mx_|^cache_|^family_|^host_(new|free|asking|use|answered)"),
    ("SMTP in", r"^smtp_server|^door_|^intake|^smtp_door|^inlet|^command_|^data_|^stuff"),
    ("the message's shape (parsing)", r"^message_|^mail_|^address_|^field_|^downgrade|^header_|^received"),
    ("SMTP out", r"^smtp_client|^client_|^reply_|^session_|^batch_|^link_|^on_connect"),
    ("the log (spool)", r"^spool|^frame|^segment|^output_|^writer_|^record_"),
    ("events, history", r"^event|^history|^json"),
    ("custody", r"^custody|^held_|^tomb|^id_"),
    ("scheduling", r"^node_|^queue|^site|^lane|^domain|^delivery|^due_|^outcome|^census|^gate|^turn|^heap|^expiry|^crowd|^provider|^body_"),
    ("routing between the halves", r"^bus|^route|^keeper|^placement|^view|^coordinator|^asking|^local_"),
    ("log, metrics, the rest of ours", r"^log_|^metric|^map_|^list_|^buffer_|^blob_|^arena|^clock_"),
    ("libuv", r"^uv_|^uv__"),
]
LIBRARIES = {"libcrypto": "OpenSSL: signatures, hashes, ciphers", "libssl": "OpenSSL: TLS records", "libuv": "libuv", "libcares": "DNS",
             "libprotobuf-c": "routing between the halves", "libc": "libc, callers unknown"}
SKIPPED = re.compile(r"mem(cpy|move|set|cmp|chr)|^str(len|cmp|chr|casecmp|ncasecmp)|^__str|^__mem|vfprintf|snprintf|^_IO_|\[unknown\]|^0x|^main$|^start_thread")
KERNEL, OWN = [[(name, re.compile(rule)) for name, rule in rules] for rules in (KERNEL, OWN)]


def kind_of(frames):
    """The row a sample belongs to; frames are (symbol, object), the innermost first."""
    if "[kernel" in frames[0][1] or frames[0][1].startswith("(["):
        kernel = [symbol for symbol, dso in frames if "[kernel" in dso or dso.startswith("([")]
        return next(name for name, rule in KERNEL if any(rule.search(symbol) for symbol in kernel))
    for symbol, _ in frames:
        if not SKIPPED.search(symbol):
            for name, rule in OWN:
                if rule.search(symbol):
                    return name
    library = re.sub(r"\.so.*", "", Path(frames[0][1].strip("()")).name)
    return LIBRARIES.get(library, f"in {library}, callers unknown" if library != "todoku" else "not told apart")


def read_samples(text):
    """Stacks out of `perf script -F ip,sym,dso`."""
    for block in text.split("\n\n"):
        frames = []
        for row in block.strip().splitlines():
            found = re.match(r"\s*[0-9a-f]+ (.*) (\(\S*\))$", row)
            if found:
                frames.append((re.sub(r"\+0x[0-9a-f]+$", "", found.group(1)), found.group(2)))
        if frames:
            yield frames


def report(data):
    script = subprocess.run(["perf", "script", "-i", str(data), "-F", "ip,sym,dso"], capture_output=True, text=True, timeout=300)
    kinds, leaves, total = collections.Counter(), collections.Counter(), 0
    for frames in read_samples(script.stdout):
        total += 1
        kinds[kind_of(frames)] += 1
        leaves[frames[0]] += 1
    if not total:
        raise LabError(f"perf saw nothing: {script.stderr.strip()[-300:]}")
    return kinds, leaves, total


def perf(data, report_r):
    @contextlib.contextmanager
    def beside(pids):
        argv = ["perf", "record", "-q", "-F", "999", "--call-graph", "fp", "-o", str(data), "-p", ",".join(map(str, pids))]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            report_r.append(errors.decode(errors="replace"))
    return beside


def main():
    if not shutil.which("perf"):
        raise Skip("perf is not here; it is in the package linux-perf")
    args = run.parse()
    if args.todoku:
        run.os.environ["TODOKU"] = str(Path(args.todoku).resolve())
    args.only = "todoku"
    data = Path(args.work).resolve() / "perf.data"
    data.parent.mkdir(parents=True, exist_ok=True)
    for case, names in run.asked_cases(args):
        said = []
        row = measure(names[0], case, args.work, beside=perf(data, said))
        print(run.HEAD)
        print(run.line(row))
        kinds, leaves, total = report(data)
        print(f"{total} samples of {row['cpu']:.3f} ms a message")
        for name, n in kinds.most_common():
            print(f"{100 * n / total:6.1f} %  {row['cpu'] * n / total * 1000:7.1f} us  {name}")
        print("functions:")
        for (symbol, dso), n in leaves.most_common(25):
            print(f"{100 * n / total:6.1f} %  {symbol} {dso}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LabError, Skip) as problem:
        sys.exit(f"profile: {problem}")

"""verify - what verifiers that are not ours say of DKIM signatures: dkimpy and Perl's Mail::DKIM

    for verdict in verify(messages, records, work): print(verdict.domain, verdict.selector, verdict.says)

`messages` are whole ones as bytes, CRLF lines; `records` is {"s1._domainkey.acme.test": "v=DKIM1; ..."} and stands for DNS.
Mail::DKIM may be too old for Ed25519: then its word on those is left out. Skip when one of the two is not there at all.
"""
import collections
import re
import subprocess
from pathlib import Path

from daemon import LabError, Skip

PERL = Path(__file__).resolve().parents[1] / "unit" / "dkim_verify.pl"

# message: its place in `messages`; says: {"dkimpy": True or the reason, ...}
Verdict = collections.namedtuple("Verdict", "message domain selector algorithm says")


def signatures(message):
    """[{tag: value}] of its DKIM-Signature fields, the first one first."""
    head = message.partition(b"\r\n\r\n")[0].decode("ascii", "replace") + "\r\n"
    fields = re.findall(r"^DKIM-Signature:(.*?\r\n)(?![ \t])", head, re.M | re.S | re.I)
    return [{k.strip(): re.sub(r"\s", "", v) for k, _, v in (tag.partition("=") for tag in field.split(";"))} for field in fields]


def by_python(messages, records):
    try:
        import dkim
    except ImportError:
        raise Skip("python3-dkim is not there") from None

    def dns(name, timeout=5):
        record = records.get(name.decode().rstrip(".").lower())
        return None if record is None else record.encode()

    def verdict(message, i):
        try:
            return dkim.DKIM(message).verify(idx=i, dnsfunc=dns) or "does not verify"
        except dkim.DKIMException as why:
            return str(why)
    return [[verdict(message, i) for i in range(len(signatures(message)))] for message in messages]


def by_perl(messages, records, work):
    work.mkdir(parents=True, exist_ok=True)
    (work / "records").write_text("".join(f"{name}\t{record}\n" for name, record in records.items()))
    files = [work / f"{i}.eml" for i in range(len(messages))]
    for file, message in zip(files, messages):
        file.write_bytes(message)
    done = subprocess.run([PERL, work / "records"], input="".join(f"{f}\n" for f in files), capture_output=True, text=True, timeout=120)
    if done.returncode == 77:
        raise Skip("libmail-dkim-perl is not there")
    if done.returncode:
        raise LabError(f"{PERL.name} ended with {done.returncode}: {done.stderr[:500]}")
    return [[True if r == "pass" else r for r in line.split()[:-1]] for line in done.stdout.splitlines()]


def perl_knows_ed25519():
    return subprocess.run(["perl", "-MMail::DKIM::Algorithm::ed25519_sha256", "-e1"], stderr=subprocess.DEVNULL, timeout=60).returncode == 0


def verify(messages, records, work):
    """A Verdict for every signature of every message."""
    python, perl, new_perl = by_python(messages, records), by_perl(messages, records, Path(work)), perl_knows_ed25519()
    out = []
    for n, message in enumerate(messages):
        for i, tags in enumerate(signatures(message)):
            says = {"dkimpy": python[n][i]}
            if tags["a"] == "rsa-sha256" or new_perl:
                says["Mail::DKIM"] = perl[n][i]
            out.append(Verdict(n, tags["d"], tags["s"], tags["a"], says))
    return out

#!/usr/bin/python3
"""dkim_verifiers - what two verifiers that are not ours say of our DKIM signatures

    dkim_verifiers.py DKIM_SIGN [COUNT [SEED]]      DKIM_SIGN: the built tests/unit/dkim_sign

Messages of nasty shapes, the same with the same seed, are signed with RSA and Ed25519, relaxed and simple, one and two signatures,
and verified by dkimpy and by Perl's Mail::DKIM (RSA only, if its Ed25519 is not there). Every one must verify, and no longer once
a field that may occur once was added or the body was changed. No DNS: the keys' records are handed to the verifiers.
Exit: 0, 1 after a difference (its files stay), 77 when neither verifier is there.
"""
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import dkim
except ImportError:
    dkim = None

HERE = Path(__file__).resolve().parent
SKIPPED = 77
WORDS = ("a", "to", "list", "mail", "=?utf-8?Q?caf=C3=A9?=", "<p>", "x=1;", "b=", "bh=", "--", ".", "..", "-- ", "http://a.example/?q=%20&r", "0" * 60)


def space(rng):
    return rng.choice((" ", " ", " ", "  ", "\t", " \t ", "   "))


def fold(rng):
    return "\r\n" + rng.choice((" ", "\t", "  ", " \t"))


def value(rng, start):
    """What stands behind a colon, spaces and folds anywhere."""
    text = rng.choice(("", " ", " ", " ", "  ", "\t")) + start
    for _ in range(rng.randrange(8)):
        text += rng.choice((space, space, fold))(rng) + rng.choice(WORDS)
    return text + rng.choice(("", "", "", " ", "\t", "  \t"))


def case(rng, name):
    return rng.choice((name, name, name.upper(), name.lower(), name.title()))


def header(rng):
    fields = [("From", "Acme <news@acme.example>")]
    once = (("To", "b@x.example"), ("Subject", "hello"), ("Date", "Fri, 11 Jul 2025 21:00:37 -0700"), ("Message-ID", "<1@acme.example>"), ("Cc", "c@x.example"),
            ("Reply-To", "r@acme.example"), ("MIME-Version", "1.0"), ("Content-Type", "text/plain"), ("Sender", "s@acme.example"), ("List-Id", "<l.acme.example>"),
            ("List-Unsubscribe", "<https://acme.example/u/1>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"), ("References", "<0@acme.example>"))
    fields += [f for f in once if rng.random() < 0.6]
    for _ in range(rng.randrange(4)):
        fields.append(rng.choice((("Received", "from a by b"), ("X-Mailer", "m"), ("Resent-To", "z@x.example"), ("Resent-From", "y@x.example"), ("Subject", "again"))))
    rng.shuffle(fields)
    return "".join(f"{case(rng, name)}:{value(rng, text)}\r\n" for name, text in fields).encode()


def body(rng):
    kind = rng.randrange(12)
    if kind < 3:
        return (b"", b"\r\n" * rng.randrange(5), b" \t\r\n" * rng.randrange(4))[kind]
    out = bytearray()
    for _ in range(rng.choice((1, 3, 20, 200))):
        shape = rng.randrange(10)
        if shape == 0:
            out += b"\r\n" * rng.randrange(4)
        elif shape == 1:
            out += bytes(rng.choice(b" \t") for _ in range(rng.randrange(40)))
        elif shape == 2:
            out += bytes(rng.randrange(0x80, 0x100) for _ in range(rng.randrange(60)))
        elif shape == 3:
            out += b"x" * rng.randrange(900)
        else:
            out += "".join(rng.choice(WORDS) + space(rng) for _ in range(rng.randrange(10))).encode()
        out += b"" if rng.random() < 0.1 else b"\r\n"
    out += rng.choice((b"", b"\r\n\r\n\r\n", b" \r\n\t\r\n", b"no end", b"no end \t", b" "))
    return bytes(out)


def message(rng):
    if rng.random() < 0.03:
        return header(rng)  # and nothing else, not even the empty line
    return header(rng) + b"\r\n" + body(rng)


class Keys:
    def __init__(self, sign, folder):
        self.files, self.records = {}, {}
        kinds = {"rsa2048": ("rsa", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]), "rsa1024": ("rsa", ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
                 "ed25519": ("ed25519", ["-algorithm", "ed25519"])}
        for name, (kind, how) in kinds.items():
            file = folder / f"{name}.pem"
            subprocess.run(["openssl", "genpkey", *how, "-out", file], check=True, stderr=subprocess.DEVNULL, timeout=60)
            file.chmod(0o600)
            p = subprocess.run([sign, "public", file], check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout.strip()
            self.files[name] = file
            self.records[f"{name}._domainkey.acme.example"] = f"v=DKIM1; k={kind}; p={p}"
        self.list = folder / "records"
        self.list.write_text("".join(f"{name}\t{record}\n" for name, record in self.records.items()))

    def dns(self, name, timeout=5):
        record = self.records.get(name.decode().rstrip(".").lower())
        return None if record is None else record.encode()


def sign_all(sign, keys, folder, count, seed):
    """[(file, keys of its signatures)]"""
    rng, lines, files = random.Random(seed), [], []
    combinations = [(h, b) for h in ("relaxed", "simple") for b in ("relaxed", "simple")]
    for i in range(count):
        source = folder / f"{i}.eml"
        source.write_bytes(message(rng))
        for h, b in combinations:
            rsa = rng.choice(("rsa1024", "rsa2048"))
            one, two = folder / f"{i}.{h}.{b}.rsa", folder / f"{i}.{h}.{b}.both"
            lines.append(f"{keys.files[rsa]} {rsa} {h} {b} {source} {one}")
            lines.append(f"{keys.files['ed25519']} ed25519 {h} {b} {one} {two}")
            files += [(one, (rsa,)), (two, ("ed25519", rsa))]
    subprocess.run([sign, "sign"], input="\n".join(lines), text=True, check=True, timeout=300)
    return files


def spoil(rng, file, n):
    """What nobody may be able to do to a signed message: (what, the bytes)."""
    data = file.read_bytes()
    head, empty, rest = data.partition(b"\r\n\r\n")
    added = [b"From: x@evil.example", b"Subject: other", b"To: x@evil.example", b"Reply-To: x@evil.example", b"Content-Type: text/html", b"Date: now", b"Cc: x@y"]
    if n % 2 == 0 or not empty:
        field = rng.choice(added)
        return field.decode() + " added", field + b"\r\n" + data
    return "body grown", head + empty + b"x" + rest


def spoiled(files, folder, seed):
    rng, out = random.Random(seed), []
    for n, (file, keys) in enumerate(files[:: max(1, len(files) // 200)]):
        what, data = spoil(rng, file, n)
        bad = folder / f"spoiled.{n}"
        bad.write_bytes(data)
        out.append((bad, keys, what))
    return out


def by_python(keys, files):
    """{file: [verdict of each signature]}"""
    out = {}
    for file, names, *_ in files:
        data, verdicts = file.read_bytes(), []
        for i in range(len(names)):
            try:
                verdicts.append(dkim.DKIM(data).verify(idx=i, dnsfunc=keys.dns))
            except dkim.DKIMException as why:
                verdicts.append(str(why))
        out[file] = verdicts
    return out


def by_perl(keys, files):
    """The same, or None without Mail::DKIM. "pass" is True; None: it knows no such algorithm."""
    listed = "".join(f"{file}\n" for file, *_ in files)
    done = subprocess.run([HERE / "dkim_verify.pl", keys.list], input=listed, text=True, stdout=subprocess.PIPE, timeout=400)
    if done.returncode == SKIPPED:
        return None
    if done.returncode != 0:
        sys.exit(f"dkim_verify.pl ended with {done.returncode}")
    algorithms = {(file, i): name for file, names, *_ in files for i, name in enumerate(names)}
    has_ed25519 = subprocess.run(["perl", "-MMail::DKIM::Algorithm::ed25519_sha256", "-e1"], stderr=subprocess.DEVNULL, timeout=60).returncode == 0
    out = {}
    for line in done.stdout.splitlines():
        *results, name = line.split(" ")
        file = Path(name)
        out[file] = [None if algorithms[file, i] == "ed25519" and not has_ed25519 else r == "pass" or r for i, r in enumerate(results)]
    return out


def judge(sign, folder, count, seed):
    """Sentences about signatures that somebody sees otherwise than we do; None when there is nobody to ask."""
    keys = Keys(sign, folder)
    good = sign_all(sign, keys, folder, count, seed)
    bad = spoiled(good, folder, seed)
    opinions = {"dkimpy": by_python(keys, good + bad) if dkim else None, "Mail::DKIM": by_perl(keys, good + bad)}
    faults = []
    for who, said in opinions.items():
        if said is None:
            print(f"{who}: not there")
            continue
        checked = 0
        for file, names, *what in good + bad:
            for name, verdict in zip(names, said[file], strict=True):
                if verdict is None:
                    continue
                checked += 1
                if (verdict is True) == bool(what):
                    faults.append(f"{who}: {file} ({name}{', ' + what[0] if what else ''}): {verdict}")
        print(f"{who}: {checked} signatures, {count} messages, seed {seed}")
    return None if all(said is None for said in opinions.values()) else faults


def main():
    sign, count, seed = sys.argv[1], int((sys.argv[2:3] or [200])[0]), int((sys.argv[3:4] or [20261122])[0])
    if not Path(sign).is_file():
        print(f"{sign} is not built")
        return 1
    if not shutil.which("openssl"):
        print("skipped: openssl is not there")
        return SKIPPED
    folder, faults = Path(tempfile.mkdtemp(prefix="todoku-dkim-")), None
    try:
        faults = judge(sign, folder, count, seed)
    finally:
        if not faults:
            shutil.rmtree(folder)
    if faults is None:
        print("skipped: neither python3-dkim nor libmail-dkim-perl is there")
        return SKIPPED
    print("".join(f"{fault}\n" for fault in faults[:20]), end="")
    return 1 if faults else 0


sys.exit(main())

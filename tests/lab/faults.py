"""faults - a plan of faults out of a seed, and how each is begun and ended on a NetCluster

    for one in plan(seed=7, count=12, names=c.ids()):
        begin = one.begin(c); time.sleep(one.seconds); one.end(c)

A plan depends on its arguments alone: the same seed is the same rounds. Every kind comes once before any comes again, in another order each
time. Seconds are drawn from `seconds`: (short ones, long ones); a fault that the leader shall judge a death gets a long one, and with more
than the usual seconds a process is frozen for 1 to 120.

| kind | what |
|---|---|
| kill, freeze | SIGKILL and a new start; SIGSTOP and SIGCONT |
| disk of node | killed, and its disk is gone; begun when every spool has two whole copies |
| alone | cut off from all members, not from the world: neither way, nobody hears it (`mute`), or it hears nobody (`deaf`) |
| no store | a node and the etcds; no peers: a node and the other nodes; no doors: a node and the coordinators |
| split | about a third of all members from the others |
"""
import collections
import random
import time

DEADLY = "long"  # long enough for a verdict

SHORT = ((1.5, 4), (6.5, 8))  # seconds of faults, and of those that are DEADLY

# kind: (which sort of member, for how long at least)
KINDS = {
    "kill node": ("n", DEADLY), "freeze node": ("n", DEADLY), "kill coordinator": ("c", ""), "freeze coordinator": ("c", ""),
    "kill etcd": ("e", ""), "freeze etcd": ("e", ""), "alone": ("n", DEADLY), "mute": ("n", ""), "deaf": ("n", ""), "no store": ("n", DEADLY),
    "no peers": ("n", ""), "no doors": ("n", ""), "split": ("cne", DEADLY), "disk of node": ("n", DEADLY),
}
ONE_COPY = tuple(kind for kind in KINDS if not kind.startswith("disk"))  # what can be survived with a single one


class Round(collections.namedtuple("Round", "number kind who others seconds")):
    """`who` has the fault (names), `others`: on the other side of the cut."""

    def __str__(self):
        return f"{self.number:3} {self.kind}: {' '.join(self.who)}, {self.seconds:.1f} s"

    def begin(self, c):
        """The moment when it was there, by the wall clock."""
        act, who = self.kind.split()[0], self.who
        if act == "disk":
            c.handed_on().paired()
        begin = time.time()
        if act in ("kill", "disk"):
            c.kill(who[0])
        elif act == "freeze":
            c.freeze(who[0])
        elif self.kind == "mute":
            c.cut(who, self.others)
        elif self.kind == "deaf":
            c.cut(self.others, who)
        else:
            c.part(who, self.others)
        return begin

    def end(self, c):
        act, who = self.kind.split()[0], self.who
        if act == "disk":
            c.lose_disk(who[0])
        if act in ("kill", "disk"):
            c.launch(who[0])
        elif act == "freeze":
            c.thaw(who[0])
        else:
            c.heal()

    def may_stop_all(self):
        """A split that leaves the nodes without a coordinator, or without a majority of the (three) etcds: a node whose mirror is on the
        other side can't write down then that it goes on without."""
        return self.kind == "split" and (all(n[0] != "c" for n in self.others) or sum(n[0] == "e" for n in self.others) < 2)

    def kills(self, name):
        """Whether the leader shall judge that node dead, if it lasts."""
        return name in self.who and KINDS[self.kind][1] == DEADLY

    def stops(self, name):
        """Whether it stops that member's process in the middle of what it does."""
        return name in self.who and self.kind.split()[0] in ("kill", "freeze", "disk")


def _others(kind, who, names):
    towards = {"no store": "e", "no peers": "n", "no doors": "c"}.get(kind, "cne")
    return [n for n in names if n[0] in towards and n not in who]


def _seconds(rng, kind, seconds):
    short, long_ = seconds
    if kind.startswith("freeze") and long_[1] > SHORT[1][1]:
        return 120 ** rng.random()  # 1 to 120 s, as many below 11 as above
    return rng.uniform(*(long_ if KINDS[kind][1] else short))


def plan(seed, count, names, seconds=SHORT, kinds=ONE_COPY):
    rng, bag, out = random.Random(seed), [], []
    for number in range(1, count + 1):
        if not bag:
            bag = list(kinds)
            rng.shuffle(bag)
            bag.sort(key=lambda kind: kind.startswith("disk"))  # taken first: otherwise what was taken over must be moved on before
        kind = bag.pop()
        among = [n for n in names if n[0] in KINDS[kind][0]]
        who = sorted(rng.sample(among, max(1, len(among) // 3) if kind == "split" else 1))
        out.append(Round(number, kind, who, _others(kind, who, names), _seconds(rng, kind, seconds)))
    return out

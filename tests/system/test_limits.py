"""A lane's own limits are exact (promise P6), as the receiver counts them."""
import collections

from lab import SENDER, Load, check, whole


def lane(connections, per_connection, rate):
    return {"providers": [{"name": "default", "connections": connections, "messages_per_connection": per_connection, "rate": rate}]}


def test_connections(lab):
    "connections: 2 and messages_per_connection: 7 are never exceeded, over 400 messages"
    sink = lab.sink()
    t = lab.todoku(more=lane(2, 7, "none"))
    load = Load(["d000.test"], SENDER, 400).run(*t.smtp)
    sink.wait_count(400, 40, alive=t.daemon)
    t.stop()
    whole(load, sink)
    used = collections.Counter(a.connection for a in sink.arrivals())
    check(max(used.values()) <= 7, f"{max(used.values())} messages on one connection")
    check(max(used.values()) > 1, "no connection was used twice")
    sink.stop()
    check(sink.peak() <= 2, f"{sink.peak()} connections at once")


def test_rate(lab):
    "rate: 40/s is kept in every window of a second and used to 90 % and more, over 200 messages"
    sink = lab.sink()
    t = lab.todoku(more=lane(10, 100, "40/s"))
    load = Load(["d000.test"], SENDER, 200).run(*t.smtp)
    sink.wait_count(200, 40, alive=t.daemon)
    t.stop()
    whole(load, sink)
    times = sorted(a.time for a in sink.arrivals())
    def busiest(times):
        return max((sum(start <= x < start + 1.0 for x in times) for start in times), default=0)

    # A bucket of one second's worth may be full at the start; arrivals jitter by a few.
    check(busiest(times) <= 80 + 4, f"{busiest(times)} arrivals within one second at 40/s")
    steady = busiest([x for x in times if x > times[0] + 1.5])
    check(steady <= 40 + 4, f"{steady} arrivals within one second at 40/s, after the first burst")
    took = times[-1] - times[0]
    check(took <= 200 / 40 / 0.9, f"200 messages at 40/s took {took:.1f} s")


def test_sources_share_nothing(lab):
    "limits are per source and provider: a second source doubles what a provider gets, a slow provider slows no other"
    sink = lab.sink(trouble=["127.5.0.3=mail:hang"])
    t = lab.todoku(sources=[("127.0.1.1", "mx1.sender.test", ["a"]), ("127.0.1.2", "mx2.sender.test", ["a"])], more=lane(1, 100, "none"))
    slow = Load(["hang-mail.test"], SENDER, 20, prefix="slow").run(*t.smtp)
    load = Load(["d000.test", "d005.test"], SENDER, 300).run(*t.smtp)
    sink.wait_count(300, 20, alive=t.daemon)
    whole(load, sink)
    check(len(slow.accepted) == 20, "the slow mail was not accepted")
    shares = collections.Counter(a.peer for a in sink.arrivals())
    check(min(shares["127.0.1.1"], shares["127.0.1.2"]) >= 60, f"the sources' shares: {dict(shares)}")

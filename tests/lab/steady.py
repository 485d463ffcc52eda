"""steady - an open loop: so many messages a second come, whether those before them are answered or not, as from a crowd of senders

    stream = Steady(load, doors, pace=300).start(); ...; stream.finish()

It is a Stream (cluster.py) with the same questions, and besides:

    late     the longest time for which a message had to wait here, for want of a connection (at most `most` are opened) or of this
             machine's processor: what the measurement itself may have added to `gap`
    waits()  seconds from the moment a message was due until its 250, of all, in order: those that were sent again count whole

What gets no answer or a 4xx is due again a second later, at the next door.
"""
import collections
import heapq
import threading
import time

from cluster import Stream
from daemon import LabError
from load import Smtp


class Steady(Stream):
    def __init__(self, load, doors, pace, most=600, patience=90):
        super().__init__(load, doors, connections=0, pace=pace, patience=patience)
        self.most, self.late, self._ready, self._idle = most, 0.0, threading.Condition(), 0
        self._due, self._again, self._first, self._since = collections.deque(), [], {}, {}

    def start(self):
        super().start()
        self._threads = [threading.Thread(target=self._clock, daemon=True)]
        self._threads[0].start()
        return self

    def stop(self):
        """Nothing new any more; what is open is still brought to its end."""
        with self._ready:
            with self._lock:
                self._open -= len(self._todo)
                self._todo.clear()
        return self.finish()

    def finish(self, seconds=None):
        self._threads[0].join((len(self._todo) / self.pace if self.pace else 0) + (seconds or self.patience))
        return super().finish(seconds)

    def waits(self):
        return sorted(self._since.values())

    def during(self, start, end):
        """(accepted, longest time without a 250, longest wait of what was due) between two moments of time.monotonic()."""
        a, b = start - self._start, end - self._start
        times = sorted([a, *(t for t in self.times if a < t < b), b])
        return len(times) - 2, max(y - x for x, y in zip(times, times[1:])), max((self._since.get(i, 0) for i, due in self._first.items() if start <= due < end), default=0)

    # ---- the clock: what is due goes to a client that is free, or to a new one ----

    def _clock(self):
        due = time.monotonic()
        while self._open and not self._stop.is_set():
            now = time.monotonic()
            while due <= now and self._todo:
                self._hand(self._todo.popleft(), due, now)
                due += 1 / self.pace
            while self._again and self._again[0][0] <= now:
                _, _, message = heapq.heappop(self._again)
                self._hand(message, now, now)
            time.sleep(max(0.001, min(due - time.monotonic(), 0.02)))
        with self._ready:
            self._ready.notify_all()

    def _hand(self, message, due, now):
        self._first.setdefault(message.id, due)
        with self._ready:
            self._due.append((due, message))
            if self._idle >= len(self._due):
                self._ready.notify()
            elif len(self._threads) <= self.most:
                self._threads.append(threading.Thread(target=self._client, args=(len(self._threads),), daemon=True))
                self._threads[-1].start()

    def _await(self):
        """The message that has been due longest; None when all is done."""
        with self._ready:
            self._idle += 1
            while not self._due and self._open and not self._stop.is_set():
                self._ready.wait(0.5)
            self._idle -= 1
            if not self._due:
                return None
            due, message = self._due.popleft()
            self.late = max(self.late, time.monotonic() - due)
            return message

    # ---- one client ----

    def _client(self, number):
        door = number
        while self._open and not self._stop.is_set():
            message = None
            try:
                at = self.doors[door % len(self.doors)]
                with Smtp(*at.smtp, seconds=self.patience) as smtp:
                    smtp.hello()
                    while (message := self._await()) is not None:
                        reply, refused = smtp.send(message.sender, message.rcpts, message.header + message.body)
                        self._note(at, message, reply, refused)
                        if reply.startswith("4"):
                            break
                    else:
                        return
            except (OSError, LabError):
                if message is not None:
                    with self._lock:
                        self.again.add(message.id)
                    self._later(message)
            door += 1
            self._stop.wait(0.2)

    def _later(self, message):
        with self._lock:
            heapq.heappush(self._again, (time.monotonic() + 1, message.id, message))

    def _note(self, at, message, reply, refused):
        super()._note(at, message, reply, refused)
        if reply.startswith("4"):
            with self._lock:
                self._todo.remove(message)
            self._later(message)
        elif reply.startswith("2"):
            self._since[message.id] = time.monotonic() - self._first[message.id]

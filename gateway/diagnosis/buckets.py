"""From readings to one robust number for each stretch of time.

Readings -> medians of nine -> a mean for each of the eight parts of a rhythm (a day, most often) -> the mean of those parts without
the outer ones -> one value a bucket, which holds a whole number of rhythms. So spikes do not get through (a quarter of the readings
may be wild), a daily rhythm averages out, and a bucket of which too little was seen gives nothing.

Of readings that come fast only a sample is needed: `next_in` says when the next is wanted, a median for each part, at times
spread by the golden ratio so that no cycle of the machine can be in step with them.

Times are seconds since the first reading.
"""

from array import array
from typing import Any, NamedTuple

GROUP = 9  # readings to a median
SLOTS = 8  # parts of a rhythm
SAMPLES = GROUP  # readings that are enough for a part
WHOLE = 0.6  # of the parts that buckets usually see, a bucket must have seen this share
FADE = 0.97  # how slowly a new habit of reading less is taken over
GOLDEN = 0.6180339887498949


class Value(NamedTuple):
    """What a bucket came to; `at` is the middle of what was seen of it."""

    at: float
    value: float


class Bucket:
    """The stretch at hand. `width` is a whole number of rhythms, `slot` an eighth of one (s)."""

    __slots__ = ("_counts", "_group", "_mask", "_part", "_parts", "_round", "_rounds", "_sums", "_total", "_usual", "_when")

    def __init__(self) -> None:
        self._part = -1  # which part of time; -1 before the first reading
        self._group = array("d")  # readings that are not yet a median
        self._sums = 0.0  # of the medians in this part
        self._counts = 0
        self._round = array("d")  # values of the parts of the present rhythm
        self._total = 0.0  # of the rhythms in this bucket
        self._rounds = 0
        self._when = 0.0  # sum of the times at which its parts began to be seen
        self._parts = 0
        self._mask = 0  # which parts of a rhythm were seen
        self._usual = 0.0  # how many buckets usually see

    def add(self, at: float, value: float, slot: float, per_bucket: int) -> Value | None:
        """Take in a reading; returns the bucket that it ended, if enough of that was seen."""
        done = None
        # Half a bucket before the first reading time begins, so that one reading a bucket falls into its middle.
        part = int(at // slot) + per_bucket // 2
        if part != self._part:
            if part // per_bucket != self._part // per_bucket:
                done = self._end()
            elif self._group or self._counts:
                self._end_part()
            self._part = part
            self._mask |= 1 << part % SLOTS
            self._when += at
            self._parts += 1
        group = self._group
        group.append(value)
        if len(group) == GROUP:
            self._sums += sorted(group)[GROUP // 2]
            self._counts += 1
            del group[:]
        return done

    def next_in(self, slot: float) -> float:
        """In how many seconds the next reading is wanted."""
        taken = GROUP * self._counts + len(self._group)
        return slot / SAMPLES * (0.5 + taken * GOLDEN % 1.0)

    def _end_part(self) -> None:
        size = len(self._group)
        if size and (size > GROUP // 2 or not self._counts):
            group = sorted(self._group)
            self._sums += (group[size // 2] + group[(size - 1) // 2]) / 2.0
            self._counts += 1
        del self._group[:]
        self._round.append(self._sums / self._counts)
        self._sums = 0.0
        self._counts = 0
        if len(self._round) == SLOTS:
            self._end_round()

    def _end_round(self) -> None:
        """A rhythm is over: the mean of its parts without the outer ones."""
        values = sorted(self._round)
        cut = (len(values) + 1) // 4
        inner = values[cut : len(values) - cut]
        self._total += sum(inner) / len(inner)
        self._rounds += 1
        del self._round[:]

    def _end(self) -> Value | None:
        done = None
        if self._parts == 1 and len(self._group) == 1 and not self._counts:
            if self._usual < 1.7:  # one reading is what buckets usually hold
                done = Value(self._when, self._group[0])
            del self._group[:]
            self._usual = max(1.0, self._usual * FADE)
        elif self._parts:
            if self._group or self._counts:
                self._end_part()
            if len(self._round) > (SLOTS // 2 if self._rounds else 0):
                self._end_round()
            del self._round[:]
            seen = self._mask.bit_count()
            if seen >= WHOLE * self._usual:
                done = Value(self._when / self._parts, self._total / self._rounds)
            self._usual = max(float(seen), self._usual * FADE)
        self._total = self._when = 0.0
        self._rounds = self._parts = self._mask = 0
        return done

    # ------------------------------------------------------------ across a restart

    def memory(self) -> list[Any]:
        """Itself as plain data."""
        return [getattr(self, name) for name in _NUMBERS] + [self._group.tolist(), self._round.tolist()]

    def recall(self, memory: list[Any]) -> None:
        """Take up what `memory` gave."""
        for name, value in zip(_NUMBERS, memory, strict=False):
            setattr(self, name, value)
        self._group, self._round = array("d", memory[-2]), array("d", memory[-1])


_NUMBERS = [name for name in Bucket.__slots__ if name not in {"_group", "_round"}]

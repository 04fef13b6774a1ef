"""The recent past of a device, in constant memory: for evidence, and for rules that compare with what was.

Kept per device and by column, because there C does the work: a batch is stored as one row of doubles, and every few rows the
least and greatest value of each column go into *tiers*. A tier is a row of equal buckets of one length, the oldest falling off:
the last hour in steps of 3 min, ten hours in half hours, three days in steps of 4 h. A rule may add a tier of its own (`reach`).
That makes about 1.2 KB a point, for ever, and some 0.1 µs a reading.

Where there was no number (no value, text) a row holds NaN; comparisons pass over it.
"""

import math
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from operator import sub
from typing import Any, cast

from drivers.contract import Outcome
from gateway.diagnosis.contract import Evidence
from gateway.diagnosis.evidence import Sample, thin
from gateway.diagnosis.watch import Extremes

KEEP = 20  # rows, and buckets of a tier
LENGTHS = (180.0, 1800.0, 14400.0)  # s
FOLD = 8  # rows that are folded into the tiers at once
PARTS = 8  # of a rule's window: what is remembered of it is exact to one part
LEAD = 0.25  # of the length of an episode: how much of the time before it is shown at least
INFINITE = math.inf


class Tier:
    """Equal buckets of one length (s), a row of minima and of maxima each; a bucket begins with the first row that is its own.

    Maxima are kept as the distance from the minimum, in single precision: enough for evidence, also of a meter that stands at
    123,456.789 m³. An `exact` tier keeps them as they are.
    """

    __slots__ = ("counts", "exact", "keep", "length", "lows", "spreads", "starts", "width")

    def __init__(self, length: float, width: int, keep: int = KEEP, *, exact: bool = False) -> None:
        self.length = length
        self.width = width
        self.keep = keep
        self.exact = exact
        self.starts = array("d")
        self.counts = array("L")
        self.lows = array("d")  # `width` a bucket, buckets in the order of time; infinite where there was no number
        self.spreads: array[float] = array("d" if exact else "f")

    def ends(self, at: float) -> float:
        """When the bucket ends that a row of time `at` belongs to."""
        end = self.starts[-1] + self.length if self.starts else -INFINITE
        return end if at < end else at + self.length

    def add(self, at: float, count: int, lows: Sequence[float], highs: Sequence[float]) -> None:
        """Take in the extremes of `count` rows of one bucket, the first of time `at`."""
        width = self.width
        if self.starts and at < self.starts[-1] + self.length:
            before, spreads = self.lows[-width:], self.spreads[-width:]
            highs = list(map(max, self._highs(before, spreads), highs))
            lows = list(map(min, before, lows))
            count += self.counts.pop()
            del self.lows[-width:], self.spreads[-width:]
        else:
            self.starts.append(at)
        self.counts.append(count)
        self.lows.extend(lows)
        self.spreads.extend(highs if self.exact else map(sub, highs, lows))
        if len(self.starts) > self.keep:
            del self.starts[0], self.counts[0], self.lows[:width], self.spreads[:width]

    def _highs(self, lows: Sequence[float], spreads: Sequence[float]) -> Sequence[float]:
        if self.exact:
            return spreads
        return [low + spread if spread >= 0 else -INFINITE for low, spread in zip(lows, spreads, strict=True)]

    def rows(self) -> Iterator[tuple[float, Sequence[float], Sequence[float]]]:
        """Beginning, minima and maxima of each bucket, in the order of time."""
        for place, start in enumerate(self.starts):
            part = slice(place * self.width, (place + 1) * self.width)
            yield start, self.lows[part], self._highs(self.lows[part], self.spreads[part])

    def samples(self, column: int) -> Iterator[Sample]:
        """One column, in the order of time."""
        lows, spreads = self.lows[column :: self.width], self.spreads[column :: self.width]
        return map(Sample, self.starts, self.counts, lows, self._highs(lows, spreads))

    def memory(self) -> dict[str, Any]:
        """Itself as plain data; None where there was no number."""
        return {
            "keep": [self.length, self.keep],
            "starts": self.starts.tolist(),
            "counts": self.counts.tolist(),
            "lows": list(map(_plain, self.lows)),
            "spreads": list(map(_plain, self.spreads)),
        }

    def recall(self, memory: dict[str, Any], shift: float) -> None:
        """Take up what `memory` gave."""
        self.starts.extend(start + shift for start in memory["starts"])
        self.counts.extend(memory["counts"])
        self.lows.extend(INFINITE if low is None else low for low in memory["lows"])
        self.spreads.extend(-INFINITE if spread is None else spread for spread in memory["spreads"])


class History:
    """The past of one device's batches of one shape, `width` columns wide."""

    __slots__ = ("_pending", "_rows", "_tiers", "_width", "_windows")

    def __init__(self, width: int) -> None:
        self._width = width
        self._rows: deque[tuple[float, array[float]]] = deque(maxlen=KEEP)
        self._pending = 0  # the newest rows, not yet in the tiers
        self._tiers = [Tier(length, width) for length in LENGTHS]
        self._windows: dict[float, Tier] = {}  # those that rules look back on, exact

    def reach(self, window: float) -> None:
        """Remember the last `window` seconds, for `extremes`."""
        self._windows[window] = Tier(window / PARTS, self._width, PARTS + 1, exact=True)

    def _all(self) -> Iterator[Tier]:
        return chain(self._tiers, self._windows.values())

    def add(self, at: float, values: Sequence[Outcome]) -> None:
        """Take in the values of one batch, in the order of time."""
        if self._pending >= FOLD:
            self._fold()
        try:
            row = array("d", cast("Sequence[float]", values))
        except (TypeError, OverflowError):
            row = array("d", map(_number, values))
        if len(row) != self._width:
            row = array("d", islice((*row, *[math.nan] * self._width), self._width))
        self._rows.append((at, row))
        self._pending += 1

    def _recent(self) -> Iterator[tuple[float, "array[float]"]]:
        return islice(self._rows, len(self._rows) - self._pending, None)

    def _fold(self) -> None:
        """Put the pending rows into the tiers, those of one bucket at once."""
        if not self._pending:
            return
        times, rows = zip(*self._recent(), strict=True)
        count = len(rows)
        known: dict[tuple[int, int], tuple[Sequence[float], Sequence[float]]] = {}  # extremes of a run of rows
        for tier in self._all():
            begin = 0
            while begin < count:
                end = bisect_left(times, tier.ends(times[begin]), begin + 1)
                run = begin, end
                if run not in known:
                    known[run] = self._extremes(rows[begin:end])
                tier.add(times[begin], end - begin, *known[run])
                begin = end
        self._pending = 0

    def _extremes(self, rows: Sequence["array[float]"]) -> tuple[Sequence[float], Sequence[float]]:
        """Least and greatest of each column; infinite where there is no number.

        What stands first is no NaN, and min and max pass over a NaN anywhere else.
        """
        if len(rows) == 1 and all(map(math.isfinite, rows[0])):
            return rows[0], rows[0]
        first = [INFINITE] * self._width
        lows = list(map(min, zip(first, *rows, strict=True)))
        first = [-INFINITE] * self._width
        highs = list(map(max, zip(first, *rows, strict=True)))
        if INFINITE in highs or -INFINITE in lows:  # from a device that says so; rare, and no number
            return self._extremes([array("d", map(_number, row)) for row in rows])
        return lows, highs

    def extremes(self, column: int, window: float, at: float) -> Extremes | None:
        """Least and greatest value of the last `window` seconds before `at`; None where there was no number.

        Exact to an eighth of the window, which `reach` must have been told of: a part that lies half outside is left out.
        """
        since = at - window
        low = high = math.nan
        low_at = high_at = since
        self._fold()
        for start, _, least, most in self._windows[window].samples(column):
            if start < since or not (math.isfinite(least) and math.isfinite(most)):
                continue
            if not least > low:  # the latest of equals; the first is less than NaN
                low, low_at = least, start
            if not most < high:
                high, high_at = most, start
        return None if math.isnan(low) else Extremes(low, low_at, high, high_at)

    def evidence(self, column: int, unit: str, since: float, at: float) -> Evidence | None:
        """One column, in the finest steps that show what came before `since` too (or reach as far back as anything does)."""
        self._fold()
        best: list[Sample] = []
        rows = [Sample(at, 1, *((row[column],) * 2)) for at, row in self._rows]
        for samples in (rows, *(list(tier.samples(column)) for tier in self._tiers)):
            if not best or samples[0].at < best[0].at:
                best = samples
            if best and best[0].at <= since - LEAD * (at - since):
                break
        return thin(best, unit)

    def past(self) -> Iterator[tuple[float, Sequence[float]]]:
        """Times and rows as far back as anything is remembered, oldest first, each stretch in the finest steps that are left of it.

        Of a bucket there are the minima, and half its length later the maxima. Not finite where there was no number.
        """
        self._fold()
        first_row = self._rows[0][0] if self._rows else INFINITE
        firsts = [tier.starts[0] if tier.starts else INFINITE for tier in self._tiers]
        for place, tier in reversed(list(enumerate(self._tiers))):
            until = min([first_row, *firsts[:place]])
            for start, lows, highs in tier.rows():
                if start < until:
                    yield start, lows
                if start + tier.length / 2 < until:
                    yield start + tier.length / 2, highs
        yield from self._rows

    # ------------------------------------------------------------ across a restart

    def memory(self) -> dict[str, Any]:
        """All of it as plain data; None where there was no number."""
        return {
            "rows": [[at, list(map(_plain, row))] for at, row in self._rows],
            "pending": self._pending,
            "tiers": [tier.memory() for tier in self._all()],
        }

    def recall(self, memory: dict[str, Any], shift: float) -> None:
        """Take up what `memory` gave, as far as the tiers are still wanted."""
        for at, row in memory["rows"]:
            self._rows.append((at + shift, array("d", (math.nan if value is None else value for value in row))))
        tiers = {(tier.length, tier.keep): tier for tier in self._all()}
        for kept in memory["tiers"]:
            if tier := tiers.get(tuple(kept["keep"])):
                tier.recall(kept, shift)
        self._pending = memory["pending"]


def _number(value: object) -> float:
    if isinstance(value, (int, float)):
        try:
            return float(value) if math.isfinite(value) else math.nan
        except OverflowError:
            return math.nan
    return math.nan


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None

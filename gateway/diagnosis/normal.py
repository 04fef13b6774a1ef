"""A point's own normal, learnt from its readings as they come, and how surprising each of them is.

There is no model of the signal, only its own records (`records.py`), kept of a few views of it:

    value     a reading's departure from the level                           spikes, dips, jumps
    mean      that departure over about 8 and 64 readings, each clipped      more or less than usual, bursts, another level
    step      a reading's departure from the last dozen                      jumps of a signal that wanders
    rhythm    its departure from this time of day or week (`rhythm.py`)      what is missing, or comes at an odd hour

Level and spread are running means of clipped departures: Huber's estimate of location ("Robust estimation of a location
parameter", 1964) in a streaming form, with an exponential memory. A signal that wanders has shown fewer independent values
than readings, and its surprises are believed the less.

Where readings come faster than LASTING, one wild reading is no departure: all views look at a mean over that time instead of at
the reading, there is no step, and each innovation of that mean is clipped.

A departure freezes what has been learnt (an illness must not become the normal by being watched) until the view is back below
half of its peak. If it is not back after long enough, the new level is the normal.
"""

# ruff: noqa: FURB136  (what runs at every reading compares in place: a call of min costs more than what it does)

import math
from collections.abc import Iterator, Sequence

from gateway.diagnosis.records import Independence, Record
from gateway.diagnosis.rhythm import Rhythm

LASTING = 20.0  # s; shorter departures are not told
SCALES = (8, 64)  # readings: the means beside the value itself
STEP_SCALE = 12  # readings: the recent past that a step is held against
MEMORY = 10_000  # readings after which level and spread have forgotten most
WARM = 100  # readings before records count
CLIP = 6.0  # spreads; a single reading weighs no more than this in any mean
INNOVATION = 3.0  # spreads; the same for the first mean of a fast signal
AGREE = 0.1  # of what the other views say
FLOOR_VALUE = 3.5  # typical sizes: the least that a record is taken for
FLOOR_MEAN = 4.0
FLOOR_FAST = 4.5  # means of a fast signal: more looks an hour, so more proof is wanted
FLOOR_STEP = 5.0
GAP = 12.0  # readings; peaks nearer than this and twice the scale of the view are one burst
BACK = 0.5  # of the peak: below this a departure is over
TINY = 1e-12
NOBODY = -1


class Normal:
    """What is normal for one point whose readings come every `step` seconds."""

    __slots__ = (
        *("began", "count", "fast", "independence", "level", "means", "recent", "records", "rhythm", "scales", "spread", "steps"),
        *("away", "peak", "settled", "since", "since_at", "view"),
    )

    def __init__(self, step: float) -> None:
        smooth = max(1, round(LASTING / step))
        self.scales = (smooth, *(scale for scale in SCALES if scale > smooth))
        self.fast = smooth > 1  # all views look at a mean, because readings come faster than what is worth telling
        self.means = [0.0] * len(self.scales)  # of the departure from the level, one a scale
        self.rhythm = Rhythm(step)
        floor = FLOOR_FAST if self.fast else FLOOR_MEAN
        of_means = [Record(GAP + 2.0 * scale, FLOOR_VALUE if scale == 1 else floor) for scale in self.scales]
        of_step = [] if self.fast else [Record(GAP + 2.0, FLOOR_STEP)]
        self.records = (*of_means, *of_step, self.rhythm.day.record, self.rhythm.week.record)
        self.count = 0
        self.began = 0.0  # when the first was read
        self.level = self.spread = self.recent = 0.0
        self.independence = Independence()  # of readings
        self.steps = Independence()  # of steps: a signal may wander so slowly that only its steps are many
        self.view = NOBODY  # whose record the last reading beat by most, as an index of `records`
        self.away = NOBODY  # whose departure is running
        self.peak = 0.0  # its greatest size in that departure
        self.since = 0  # the reading that began it
        self.since_at = 0.0  # and its time
        self.settled = 0.0  # the level during it: what may become the normal

    # ------------------------------------------------------------ readings

    def take(self, at: float, half_hour: int | None, value: float, steps: float) -> float:
        """Learn a reading that comes `steps` steps after the last; returns how surprising it is (0: not at all).

        `half_hour` is which of the week it is by local time, None where that is not known.
        """
        self.count = count = self.count + 1
        if count == 1:
            self.level = self.recent = value
            self.began = at
        apart = value - self.level
        size = apart if apart >= 0.0 else -apart
        spread = self.spread
        bound = CLIP * (spread or size or TINY)
        clipped = apart if size < bound else (bound if apart > 0.0 else -bound)
        if self.away == NOBODY:
            rate = 1.0 / count if count < MEMORY else 1.0 / MEMORY
            self.spread = spread + rate * ((size if size < 2.0 * bound else 2.0 * bound) - spread)
            self.level += rate * clipped
        else:
            rate = 0.0
        self.independence.learn(clipped, rate)
        log_count = math.log(count)
        best, self.view = self._judge(self._views(value, apart, clipped, bound, rate, steps), rate, log_count)
        if half_hour is not None:
            shown = self.level + self.means[0] if self.fast else value
            odd = self.rhythm.judge(half_hour, shown, self.level, bound, rate, at - self.began, count, log_count)
            if odd > best:
                best, self.view = odd, len(self.records) - (1 if self.rhythm.is_weekly() else 2)
        return best

    def _views(self, value: float, apart: float, clipped: float, bound: float, rate: float, steps: float) -> list[float]:
        """What each view but the rhythm shows now."""
        means, least = self.means, 1.0 / self.count
        fast = self.fast
        for index, scale in enumerate(self.scales):
            share = steps / scale
            share = least if share < least else (share if share < 1.0 else 1.0)
            mean = means[index]
            off = (clipped if index or fast else apart) - mean
            if fast and not index:
                most = INNOVATION * self.spread
                off = most if off > most else (off if off > -most else -most)
            means[index] = mean + share * off
        if fast:
            return means
        share = steps / STEP_SCALE
        share = least if share < least else (share if share < 1.0 else 1.0)
        step = value - self.recent
        clipped = bound if step > bound else (step if step > -bound else -bound)
        self.recent += share * clipped
        self.steps.learn(clipped, rate)
        return [*means, step]

    def _judge(self, views: Sequence[float], rate: float, log_count: float) -> tuple[float, int]:
        """The greatest surprise of any view, and which."""
        count, records = self.count, self.records
        if count <= WARM:
            for record, number in zip(records, views, strict=False):
                record.learn(number, rate)
            return 0.0, NOBODY
        best, total, view = 0.0, 0.0, NOBODY
        for index, number in enumerate(views):
            surprise = records[index].judge(number, rate, count, log_count)
            if surprise > 0.0:
                independence = self.steps if index == len(self.means) else self.independence
                surprise *= independence.trust(count)
                total += surprise
                if surprise > best:
                    best, view = surprise, index
        return best + AGREE * (total - best), view

    # ------------------------------------------------------------ a departure

    def leave(self, at: float, value: float) -> None:
        """The last reading was the first of a departure: learn nothing until it is over."""
        self.away = self.view
        self.peak = abs(self.records[self.away].value)
        self.since, self.since_at = self.count, at
        self.settled = value

    def is_back(self, value: float) -> bool:
        """Whether the departure is over with this reading, which has been taken."""
        age = self.count - self.since
        self.settled += (value - self.settled) / min(age + 1.0, 64.0)
        size = abs(self.records[self.away].value)
        if size > self.peak:
            self.peak = size
            return False
        if size >= BACK * self.peak:
            return False
        bound = CLIP * self.spread
        present = max(-bound, min(self.means[0], bound))
        for index in range(1, len(self.means)):
            if age > self.scales[index]:  # lies wholly inside the departure: it starts again from the present
                self.means[index] = present
        self.away = NOBODY
        return True

    def adopt(self) -> None:
        """The departure has lasted: what it settled at is the normal from now on."""
        if self.away < len(self.means):
            self.level = self.settled
            for index in range(len(self.means)):
                self.means[index] = 0.0
                self.records[index].forget_burst(self.count)
        else:
            self.records[self.away].accept_burst()
        self.away = NOBODY

    # ------------------------------------------------------------ what people are told

    def named(self, view: int) -> str:
        """What a view is called: "value", "mean", "step", "day" or "week"."""
        rhythm = view - len(self.records)
        if rhythm >= -2:
            return "day" if rhythm == -2 else "week"
        if view == len(self.means):
            return "step"
        return "mean" if view or self.fast else "value"

    def span(self, view: int) -> int:
        """How many readings a view goes back."""
        return self.scales[view] if view < len(self.scales) else 1

    def usual(self, half_hour: int | None) -> tuple[float, float, bool]:
        """The range where nine readings of ten lie, and whether that is known for this time of day."""
        known = self.rhythm.usual(half_hour) if half_hour is not None else None
        middle, spread = known or (self.level, self.spread)
        low, high = middle - 2.0 * spread, middle + 2.0 * spread
        if self.fast or known:
            return low, high, bool(known)
        value = self.records[0]  # nobody has seen it further out than this
        return max(low, middle - value.down.furthest()), min(high, middle + value.up.furthest()), False

    # ------------------------------------------------------------ across a restart

    def state(self) -> list[float]:
        """Itself as numbers; the first two are times."""
        numbers = [self.began, self.since_at, self.count, self.level, self.spread, self.recent]
        numbers += [
            self.view,
            self.away,
            self.peak,
            self.since,
            self.settled,
            *self.means,
            *self.independence.state(),
            *self.steps.state(),
        ]
        for record in self.records[:-2]:
            numbers += record.state()
        return numbers + self.rhythm.state()

    def restore(self, state: Sequence[float], shift: float) -> None:
        """Take up what `state` gave; `shift` is added to its times."""
        numbers: Iterator[float] = iter(state)
        self.began, self.since_at = next(numbers) + shift, next(numbers) + shift
        self.count, self.level, self.spread, self.recent = int(next(numbers)), next(numbers), next(numbers), next(numbers)
        self.view, self.away, self.peak = int(next(numbers)), int(next(numbers)), next(numbers)
        self.since, self.settled = int(next(numbers)), next(numbers)
        self.means[:] = [next(numbers) for _ in self.means]
        self.independence.restore(numbers)
        self.steps.restore(numbers)
        for record in self.records[:-2]:
            record.restore(numbers)
        self.rhythm.restore(numbers)

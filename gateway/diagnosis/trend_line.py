"""A straight line through the buckets of one point, how far it may be trusted, and when it meets the limit.

Slope     Three windows draw one each: the last 16 buckets, the last 40, and the whole life in at most 24 points. Of pairs that are
          two thirds of the window apart (Theil, "A rank-invariant method of linear and polynomial regression analysis", 1950, the
          incomplete method; Sen, JASA 1968) the middle half is averaged (the midmean of Tukey's "Exploratory Data Analysis",
          1977), so a quarter of the pairs may be wild. The windows are blended by how little their past forecasts erred (Dawid,
          "Statistical theory: the prequential approach", JRSS A 1984).
Level     Trimmed mean of the last eight residuals, so that short recoveries count for as long as they usually last.
Steps     A step that stays for four buckets is a repair, a refill or a new sensor, not wear: it is taken out of what came before.
          Until it is known whether it stays, the line goes on as it was.
Interval  At every fit the forecasts made 4, 8 and 20 buckets ago are held against what came; the running mean error at those
          distances is the width of the band around the line, and where the band meets the limit is the interval of the date. Its
          early side reckons with the recent slope where that is steeper. For noise around a line the band stays narrow; for a
          random walk it opens faster than the line moves, its later side never reaches the limit, and nothing is announced.

Memory: about 170 doubles, whatever the history. Work: every other bucket. Times are seconds since the first reading; values are in
the unit of the point, as distance past the limit: negative while all is well.
"""

from array import array
from collections.abc import Sequence
from enum import Flag, auto
from math import isfinite, sqrt
from typing import Any

from gateway.diagnosis.buckets import Value
from gateway.diagnosis.forecast import NEVER, Z80, Outlook, Terms
from gateway.diagnosis.life import dot

LEAST = 10  # buckets before there is a line
EVERY = 2  # buckets from one fit to the next; divides the distances below
KEEP = 40  # buckets kept: the long window
SHORT = 16  # buckets in the short one
COARSE = 24  # points kept of the whole life
LEVEL, TRIM = 8, 2  # buckets whose residuals make the level, and how many are left out on each side
AHEAD = (4, 8, 20)  # buckets; the distances at which forecasts are checked
MIDDLE = 8  # buckets; the distance at which the windows compete
FAVOUR = 6.0  # how sharply the better window is preferred
MEMORY = 24  # buckets over which the running mean errors look back
WILD = 4.0  # an error counts no more than this many times the usual one
BLUR = 0.85  # share of the scatter of single buckets that blurs the date
STEP, STAY = 6.0, 4  # scatters; buckets further off than this, so many in a row, are a step
STILL = 1e-6  # share of the values themselves that is never a step
ENDS = MIDDLE // EVERY  # past forecasts kept of each window
TOLD = AHEAD[-1] // EVERY + 1  # and of the line
# `Past` is one row of numbers: three slopes; levels that the windows foresaw; level and slope of each forecast; mean errors.
ENDS_FROM = 3
TOLD_FROM = ENDS_FROM + 3 * ENDS
ERRORS_FROM = TOLD_FROM + 2 * TOLD
SIZE = ERRORS_FROM + 3 + len(AHEAD)

Knots = list[tuple[float, float]]


class News(Flag):
    """What a bucket brought."""

    NOTHING = 0
    FITTED = auto()  # there is a new outlook
    CROSSED = auto()  # the limit was reached
    PUT_RIGHT = auto()  # a step away from the limit, after which no crossing is near


class Line:
    """The line of one point. `width` is that of a bucket (s)."""

    __slots__ = (
        "_away", "_held", "_now", "_outlook", "_over", "_past", "_recent", "_scatter", "_since", "_span", "_sum_t", "_sum_y",
        "_whole", "count", "level", "slope",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = 0  # buckets ever
        self.level = self.slope = 0.0  # at the time `_now`; units, units per second
        self._scatter = 0.0
        self._now = 0.0
        self._outlook = Outlook()  # from `_now`
        self._recent = array("d")  # time and value of each bucket, in turn
        self._whole = array("d")  # the same of the whole life, in points that double in span when full
        self._span = 1  # buckets in each of those
        self._sum_t = self._sum_y = 0.0  # of the next of those
        self._held = 0
        self._past = Past()
        self._since = 0  # number of the first bucket that no step has been taken out of
        self._away = 0  # buckets in a row far off the line, with the sign of their side
        self._over = 0  # buckets in a row past the limit

    @property
    def is_drawn(self) -> bool:
        """Whether there have been buckets enough."""
        return self.count > LEAST

    @property
    def drawn(self) -> float:
        """How much has been seen of what a line needs, 0 to 1."""
        return min(1.0, self.count / (LEAST + 1))

    @property
    def is_over(self) -> bool:
        """Whether the limit has been reached, and the line has not come back from it."""
        return self._over > 0

    def outlook(self, at: float) -> Outlook:
        """When the limit will be crossed, as seen from the time `at`."""
        return self._outlook.after(at - self._now)

    def seen(self) -> list[Value]:
        """The buckets at hand that are as they were read: those after the last step."""
        kept = 2 * min(self.count - self._since, KEEP)
        recent = self._recent[-kept:]
        return [Value(*pair) for pair in zip(recent[::2], recent[1::2], strict=True)] if kept else []

    def add(self, bucket: Value, width: float, terms: Terms, size: float) -> News:
        """Take in a bucket. `size` is the magnitude of the readings themselves: of the limit, that is."""
        at, y = bucket
        self._recent.extend(bucket)
        if len(self._recent) > 2 * KEEP:
            del self._recent[:2]
        number = self.count
        self.count += 1
        news = News.PUT_RIGHT if self._step(at, y, terms.lead, size) else News.NOTHING
        self._remember(at, y)
        if len(self._recent) >= 2 * LEAST and not number % EVERY:
            if self._away:
                self._past.note(number, self.level + self.slope * (at - self._now), self.slope, MIDDLE * width)
            else:
                self._fit(number, width, terms)
                news |= News.FITTED
        if y >= 0.0:
            self._over += 1
            if self._over == 1:
                news |= News.CROSSED
        elif self._over and self.level < -self._scatter:
            self._over = 0
        return news

    def _step(self, at: float, y: float, lead: float, size: float) -> bool:
        """Whether this bucket completes a step that puts things right."""
        if self.count <= LEAST + 1:
            return False
        off = y - self.level - self.slope * (at - self._now)
        if abs(off) < max(STEP * self._scatter, STILL * (size + abs(self.level))):
            self._away = 0
            return False
        sign = 1 if off > 0.0 else -1
        self._away = self._away + sign if self._away * sign > 0 else sign
        if abs(self._away) < STAY:
            return False
        self._away = 0
        self._since = self.count - STAY
        recent = self._recent
        offs = sorted(recent[-i] - self.level - self.slope * (recent[-i - 1] - self._now) for i in range(1, 2 * STAY, 2))
        jump = (offs[1] + offs[2]) / 2.0
        for i in range(1, len(recent) - 2 * STAY, 2):
            recent[i] += jump
        for i in range(1, len(self._whole), 2):
            self._whole[i] += jump
        self._past.shift(jump)
        self.level += jump
        return jump < 0.0 and not (self.slope > 0.0 and -self.level / self.slope < lead)

    def _remember(self, at: float, y: float) -> None:
        """Whole life in at most COARSE points: neighbours are merged when it is full."""
        self._sum_t += at
        self._sum_y += y
        self._held += 1
        if self._held < self._span:
            return
        whole = self._whole
        whole.extend((self._sum_t / self._held, self._sum_y / self._held))
        self._sum_t = self._sum_y = 0.0
        self._held = 0
        if len(whole) == 2 * COARSE:
            times, values = whole[::2], whole[1::2]
            merged = [((a[i] + a[i + 1]) / 2.0) for i in range(0, COARSE, 2) for a in (times, values)]
            self._whole = array("d", merged)
            self._span *= 2

    def _fit(self, number: int, width: float, terms: Terms) -> None:
        """Slope, level and band at the last bucket, and the check of earlier forecasts against it."""
        times, values = self._recent[::2], self._recent[1::2]
        now = times[-1]
        is_first = len(times) <= LEAST + 1
        # The short window is drawn anew at every fit, the slower ones in turn.
        past = self._past
        recent = pooled(times[-SHORT:], values[-SHORT:])
        past.draw(2, recent)
        if is_first or number % (2 * EVERY):
            past.draw(1, pooled(times, values))
        if is_first or not number % (2 * EVERY):
            past.draw(0, pooled(self._whole[::2], self._whole[1::2]) if self._span > 1 else pooled(times, values))
        slope = past.blended()
        level, scatter = middle(times[-LEVEL:], values[-LEVEL:], slope, now)
        if number > LEAST:
            scatter = max(scatter, 0.95 * self._scatter)
        past.check(number, level, now, times)
        past.note(number, level, slope, MIDDLE * width)
        self._now, self.level, self.slope, self._scatter = now, level, slope, scatter
        knots = past.band(number, width, BLUR * scatter, 1.5 * scatter)
        self._outlook = outlook(-level, slope, max(slope, recent), knots, width, terms)

    # ------------------------------------------------------------ across a restart

    def memory(self) -> list[Any]:
        """Itself as plain data."""
        numbers = [getattr(self, name) for name in _NUMBERS]
        times = [time if isfinite(time) else None for time in self._outlook]
        return [numbers, times, self._recent.tolist(), self._whole.tolist(), self._past.memory()]

    def recall(self, memory: list[Any]) -> None:
        """Take up what `memory` gave."""
        numbers, times, recent, whole, past = memory
        for name, value in zip(_NUMBERS, numbers, strict=True):
            setattr(self, name, value)
        self._outlook = Outlook(*(NEVER if time is None else time for time in times))
        self._recent = array("d", recent)
        self._whole = array("d", whole)
        self._past.recall(past)


_NUMBERS = [name for name in Line.__slots__ if name not in {"_outlook", "_past", "_recent", "_whole"}]


class Past:
    """Forecasts made, and how far off they were: of the three windows at the middle distance, of the line at each distance."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = array("d", bytes(8 * SIZE))

    @property
    def slopes(self) -> Sequence[float]:
        """Of the whole life, of the long window, of the short one."""
        return self._numbers[:ENDS_FROM]

    def draw(self, window: int, slope: float) -> None:
        """A window has got a new slope."""
        self._numbers[window] = slope

    def blended(self) -> float:
        """The three slopes as one, each as heavy as its forecasts were good."""
        errors = self._numbers[ERRORS_FROM : ERRORS_FROM + 3]
        best = min(errors)
        if best <= 0.0:
            return sum(self.slopes) / 3.0
        weights: list[float] = [(best / error) ** FAVOUR for error in errors]
        return dot(weights, self.slopes) / sum(weights)

    def check(self, number: int, level: float, at: float, times: Sequence[float]) -> None:
        """The level at the time `at`, bucket `number`, has become known."""
        seen = _seen(number, MIDDLE)
        if seen > 0:
            ends = self._numbers[_ends(number) : _ends(number) + 3]
            for i, end in enumerate(ends, ERRORS_FROM):
                self._learn(i, abs(level - end), seen)
        for i, ahead in enumerate(AHEAD, ERRORS_FROM + 3):
            seen = _seen(number, ahead)
            if seen <= 0:
                break
            j = _told(number - ahead)
            foretold = self._numbers[j] + self._numbers[j + 1] * (at - times[-1 - ahead])
            self._learn(i, abs(level - foretold), seen)

    def _learn(self, i: int, error: float, seen: int) -> None:
        old = self._numbers[i]
        if seen > 8:
            error = min(error, WILD * old)
        self._numbers[i] = old + (error - old) / min(seen, MEMORY)

    def note(self, number: int, level: float, slope: float, ahead: float) -> None:
        """What is said at a bucket, and what each window alone would have said of the time `ahead`."""
        for i, each in enumerate(self.slopes, _ends(number)):
            self._numbers[i] = level + each * ahead
        i = _told(number)
        self._numbers[i], self._numbers[i + 1] = level, slope

    def band(self, number: int, width: float, blur: float, unproven: float) -> Knots:
        """Half-width of the band around the line, in standard deviations, at the distances that have been checked (s)."""
        knots = [(0.0, blur)]
        widest = blur
        for i, ahead in enumerate(AHEAD, ERRORS_FROM + 3):
            seen = _seen(number, ahead)
            if seen < 5:
                break
            error = 1.25 * self._numbers[i] * (1.0 + 2.0 / seen)
            widest = max(widest, sqrt(error * error + blur * blur))
            knots.append((ahead * width, widest))
        if len(knots) == 1:
            knots.append((AHEAD[0] * width, unproven))
        return knots

    def shift(self, jump: float) -> None:
        """A step was taken out."""
        for i in (*range(ENDS_FROM, TOLD_FROM), *range(TOLD_FROM, ERRORS_FROM, 2)):
            self._numbers[i] += jump

    def memory(self) -> list[float]:
        """Itself as plain data."""
        return self._numbers.tolist()

    def recall(self, memory: list[float]) -> None:
        """Take up what `memory` gave."""
        self._numbers = array("d", memory)


def _ends(number: int) -> int:
    """Where the levels stand that the windows foresaw for bucket `number`, and then those that they foresee at it."""
    return ENDS_FROM + 3 * (number // EVERY % ENDS)


def _told(number: int) -> int:
    """Where stands what was said of the line at bucket `number`."""
    return TOLD_FROM + 2 * (number // EVERY % TOLD)


def _seen(number: int, ahead: int) -> int:
    """How many forecasts over this distance have been checked by bucket `number`."""
    return (number - LEAST - ahead) // EVERY + 1


def pooled(times: Sequence[float], values: Sequence[float]) -> float:
    """Slope: mean of the middle half of the slopes of pairs two thirds of the window apart."""
    lag = 2 * len(times) // 3
    slopes = [
        (y1 - y0) / (t1 - t0) for t0, t1, y0, y1 in zip(times, times[lag:], values, values[lag:], strict=False)
    ]  # as many as the later ones
    slopes.sort()
    cut = len(slopes) // 4
    inner = slopes[cut : len(slopes) - cut]
    return sum(inner) / len(inner)


def middle(times: Sequence[float], values: Sequence[float], slope: float, now: float) -> tuple[float, float]:
    """Level at `now`: trimmed mean of the residuals; and their usual scatter."""
    residuals = sorted([y - slope * (t - now) for t, y in zip(times, values, strict=True)])
    size = len(residuals)
    inner = residuals[TRIM : size - TRIM]
    return sum(inner) / len(inner), (residuals[size - 1 - size // 6] - residuals[size // 6]) / 2.0


def outlook(gap: float, slope: float, steepest: float, knots: Knots, width: float, terms: Terms) -> Outlook:
    """When a line that is `gap` below the limit will meet it; a date is known to the bucket at best."""
    eta = early = 0.0
    if gap > 0.0:
        eta = gap / slope if slope > 0.0 else NEVER
        early = max(0.0, min(eta, reach(gap, steepest, knots, Z80)) - 0.5 * width)
    if slope <= 0.0:
        return Outlook(eta, early)
    late = max(eta, reach(max(0.0, gap), slope, knots, -Z80)) + width
    surely = max(eta, reach(max(0.0, gap), slope, knots, -Z80 * terms.surely)) if eta < terms.lead else NEVER
    return Outlook(eta, early, late, surely)


def reach(gap: float, slope: float, knots: Knots, z: float) -> float:
    """First time at which the edge of the band (z standard deviations off the line) has made up the gap."""
    at, width = knots[0]
    way = z * width
    if gap <= way:
        return 0.0
    rate = 0.0
    for next_at, next_width in knots[1:]:
        next_way = slope * next_at + z * next_width
        if next_way >= gap:
            return at + (next_at - at) * (gap - way) / (next_way - way)
        # Beyond the last check the width grows as it did last, but at least half in proportion.
        rate = slope + z * max((next_width - width) / (next_at - at), 0.5 * next_width / next_at)
        at, way, width = next_at, next_way, next_width
    return at + (gap - way) / rate if rate > 0.0 else NEVER

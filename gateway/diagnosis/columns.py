"""Where readings meet watches: one `Plan` per shape of batch, one `Column` per point.

A plan keeps, in the order of its batches, the band in which no watch of a point has any interest, as two flat lists. Comparing a
batch with them is one pass over three lists (some 30 ns a reading), and for nearly all readings that is all that ever happens.
"""

import math
from collections.abc import Sequence

from drivers.contract import NoValue, Outcome, Value
from gateway.diagnosis.contract import STATE, PointInfo
from gateway.diagnosis.history import History
from gateway.diagnosis.watch import ANYTHING, NOTHING, WIDEST, Extremes, Local, Watch

LONG_AGO = -math.inf
ANY_TEXT = ("", "\U0010ffff")
NO_TEXT = ("b", "a")  # a band for texts that none is in
NOT_A_NUMBER = NoValue("not a number")


class Column:
    """One point: its watches, and what they may ask of it (`watch.Sight`)."""

    __slots__ = ("device", "index", "known_since", "missing", "others", "plan", "point", "seen_before", "text", "watches")

    def __init__(self, point: PointInfo, device: "Device", started: float) -> None:
        self.point = point
        self.device = device
        self.watches: Sequence[Watch] = ()
        self.missing: NoValue | None = None  # why there is no value now
        self.known_since: float | None = None  # since when there has been one without a break; None before the first
        self.text = False  # the value now is one
        self.seen_before = started  # when there last was one, while there is none
        self.plan: Plan | None = None  # the shape of batch that it comes in, and where in it
        self.index = 0
        self.others: tuple[tuple[Plan, int], ...] = ()  # the other shapes that it comes in

    def places(self) -> tuple[tuple["Plan", int], ...]:
        """Everywhere it is read."""
        return ((self.plan, self.index), *self.others) if self.plan else ()

    def put(self, plan: "Plan", index: int) -> None:
        """It is also read here."""
        if self.plan is None:
            self.plan, self.index = plan, index
        else:
            self.others = (*self.others, (plan, index))

    def last(self) -> tuple[Outcome, float] | None:
        """The newest reading and its time."""
        if self.plan is not None and not self.others and self.index < len(self.plan.values):
            return self.plan.values[self.index], self.plan.at
        read = [(plan.at, plan.values[index]) for plan, index in self.places() if index < len(plan.values)]
        if not read:
            return None
        at, value = max(read, key=lambda pair: pair[0])
        return value, at

    # ------------------------------------------------------------ what watches may ask

    def seen(self) -> float:
        """See `Sight.seen`."""
        if self.missing is not None or self.plan is None:
            return self.seen_before
        return max(self.seen_before, self.plan.at, *(plan.at for plan, _ in self.others))

    def seen_but_for(self, plan: "Plan", before: float) -> float:
        """When it was seen, if the batch at hand of a plan (last read at `before`) is left out."""
        others = (other.at for other, _ in self.places() if other is not plan)
        return max(self.seen_before, before, *others)

    def device_seen(self) -> float | None:
        """See `Sight.device_seen`."""
        others = (column for column in self.device.columns if column is not self and column.point.name != STATE)
        return max((column.seen() for column in others), default=None)

    def extremes(self, within: float, at: float) -> Extremes | None:
        """See `Sight.extremes`."""
        found = [plan.history.extremes(index, within, at) for plan, index in self.places() if plan.history]
        known = [extremes for extremes in found if extremes]
        if not known:
            return None
        lowest = min(known, key=lambda extremes: extremes.low)
        highest = max(known, key=lambda extremes: extremes.high)
        return Extremes(lowest.low, lowest.low_at, highest.high, highest.high_at)

    def local(self, at: float) -> float | None:
        """See `Sight.local`."""
        return self.device.local(at)

    # ------------------------------------------------------------ the band that all its watches share

    def rest(self, value: Value | None) -> None:
        """Sleep until a value leaves the band of some watch; `value` is the one at hand. A text wakes all when it changes."""
        low: float | str = -WIDEST
        high: float | str = WIDEST
        if self.missing is not None or self.point.name == STATE:
            low, high = NOTHING  # a device's state is rarely told, and concerns all its points
        else:
            for watch in self.watches:
                low = max(low, watch.low)
                high = min(high, watch.high)
            if isinstance(value, str):
                low, high = ANY_TEXT if not self.watches else (value, value) if low <= high else NO_TEXT  # type: ignore[operator]
        for plan, index in self.places():
            plan.lows[index] = low
            plan.highs[index] = high

    def wake(self) -> None:
        """Ask at the next reading, whatever it is."""
        for plan, index in self.places():
            plan.lows[index], plan.highs[index] = NOTHING


class Plan:
    """One shape of batch of one device: its columns, its last batch, its past."""

    __slots__ = ("at", "columns", "highs", "history", "lows", "points", "values")

    def __init__(self, points: tuple[str, ...], columns: Sequence[Column]) -> None:
        self.points = points
        self.columns = columns
        self.at = LONG_AGO
        self.values: tuple[Outcome, ...] = ()
        watched = [bool(column.watches) or column.point.name == STATE for column in columns]
        low, high = NOTHING  # the first reading of a point concerns somebody in any case: from then on it is known
        self.lows: list[float | str] = [low] * len(columns)
        self.highs: list[float | str] = [high] * len(columns)
        self.history: History | None = None
        if any(watched) and points != (STATE,):
            self.history = History(len(points))
            for window in {watch.window for column in columns for watch in column.watches} - {0.0}:
                self.history.reach(window)
        for index, column in enumerate(columns):
            column.put(self, index)

    def outside(self, values: Sequence[Outcome]) -> list[tuple[Column, Outcome]]:
        """The readings that some watch wants to see."""
        try:
            return [
                (column, value)
                for column, value, low, high in zip(self.columns, values, self.lows, self.highs, strict=False)
                if not low <= value <= high  # type: ignore[operator]
            ]
        except TypeError:  # a text where a number was, or the other way round
            return [
                (column, value)
                for column, value, low, high in zip(self.columns, values, self.lows, self.highs, strict=False)
                if isinstance(value, str) is not isinstance(low, str) or not low <= value <= high  # type: ignore[operator]
            ]


class Device:
    """One device: its points, and the shapes of batch that it has been heard in."""

    __slots__ = ("columns", "local", "plan", "plans")

    def __init__(self, local: Local) -> None:
        self.local = local
        self.columns: list[Column] = []
        self.plans: dict[tuple[str, ...], Plan] = {}
        self.plan: Plan | None = None  # the latest


def missing(value: Outcome) -> NoValue | None:
    """Why this is no value that could be compared with anything; None where it is one."""
    if isinstance(value, NoValue):
        return value
    if isinstance(value, str) or ANYTHING[0] <= value <= ANYTHING[1]:
        return None
    return NOT_A_NUMBER

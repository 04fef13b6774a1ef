"""Watches the life of one unit: an eye on each point that the model needs, one episode for the device.

A row is whole when every point that has a value was read anew; a point that has none is left out of it, and the model makes do
with the others. Rows come as often as in the histories that the model was learnt from, at most twice as often.
"""

from collections.abc import Sequence
from typing import Any

from drivers.contract import Outcome, Value
from gateway.diagnosis.contract import Phase, PointInfo
from gateway.diagnosis.forecast import Outlook, Terms
from gateway.diagnosis.foreseen import Foreseen, Sampler
from gateway.diagnosis.life import Life, LifeModel, Remaining
from gateway.diagnosis.watch import ANOTHER, ANYTHING, NEVER, NOTHING, REPLACED, Rule, Verdict, Watch, all_of
from gateway.diagnosis.words import duration, number


class UnitLife(Foreseen):
    """One unit on its way to its end."""

    __slots__ = ("began", "fresh", "leaning", "left", "life", "live", "model", "points", "read", "row", "sampler")

    def __init__(self, rule: Rule, points: Sequence[PointInfo], model: LifeModel, terms: Terms) -> None:
        """`points` are those of the model, in its order."""
        super().__init__(rule, all_of(points), terms)
        self.eyes = [Eye(self, point, 1 << index) for index, point in enumerate(points)]
        self.points = points
        self.model = model
        self.leaning = max(range(len(points)), key=lambda index: abs(model.axes[0][index]))  # the point that tells most
        self.began = NEVER  # when its first row was
        self.read = 0.0  # when its last one was
        self.sampler = Sampler()
        self.life = Life(model)
        self.left: Remaining | None = None  # as seen from `read`
        self.row: list[float | None] = [None] * len(points)
        self.live = (1 << len(points)) - 1  # a bit for each point that may have a value
        self.fresh = 0  # of those, the ones read since the last row was whole

    @property
    def about(self) -> PointInfo:
        """See `Watch.about`: so that its evidence is shown."""
        return self.points[self.leaning]

    def start(self, now: float) -> None:  # noqa: ARG002
        """See `Watch.start`."""
        self.low, self.high = ANYTHING

    def see(self, bit: int, value: float, at: float) -> None:
        """One of its points was read."""
        self.turn = None
        if at < self.sampler.wanted:
            return
        if self.fresh & bit:  # again, before all others: they are not waited for
            self._end_row()
        self.row[bit.bit_length() - 1] = value
        self.live |= bit
        self.fresh |= bit
        self.read = at
        if self.fresh == self.live:
            self._end_row()

    def miss(self, bit: int) -> None:
        """One of its points has no value from now on."""
        self.turn = None
        self.live &= ~bit
        self.fresh &= ~bit
        if self.fresh and self.fresh == self.live:
            self._end_row()

    def _end_row(self) -> None:
        at = self.read
        row = [value if self.fresh >> index & 1 else None for index, value in enumerate(self.row)]
        self.fresh = 0
        every = self.model.every_s
        self.sampler.take(at, every / 2, every / 2)
        if self.began == NEVER:
            self.began = at
        left = self.life.add(at - self.began, row)
        if left is None:
            return
        self.left = left
        terms = self.announcer.terms
        surely = left.left_s + (left.most_s - left.left_s) * terms.surely
        self.turn = self.announcer.hear(at - self.began, Outlook(*left, surely))

    def noted(self, event: str, at: float) -> None:  # noqa: ARG002
        """See `Watch.noted`: another unit, at the start of its life."""
        if event == REPLACED:
            self.began, self.left, self.life, self.sampler = NEVER, None, Life(self.model), Sampler()
            self.row, self.fresh = [None] * len(self.points), 0
            self.turn = self.announcer.put_right()

    def outlook(self, at: float) -> Outlook | None:
        """See `Foreseen.outlook`."""
        return self.left and Outlook(*self.left).after(at - self.read)

    def end(self) -> float:
        """See `Foreseen.end`: nothing is left."""
        return 0.0

    def value(self, value: Outcome | None) -> Outcome | None:  # noqa: ARG002
        """See `Watch.value`: of the point that it is about."""
        return self.row[self.leaning]

    def limit(self) -> str:
        """See `Watch.limit`."""
        return "the end of its life"

    def says(self, phase: Phase, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.says`."""
        if phase is Phase.CLOSED:
            return "{device} is no longer on its way to {limit}."
        if phase is Phase.WITHDRAWN:
            return "{device} is not expected to reach {limit} soon, after all."
        return "{device} will reach {limit} in about {about}."

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:  # noqa: ARG002
        """See `Watch.because`."""
        if phase is Phase.WITHDRAWN and self.announcer.ended is None:
            return "the rule has been changed since, and foretells nothing"
        if phase is Phase.CLOSED:
            return f"{ANOTHER}{self.past()}"
        made, age = self.model.made_from, self.read - self.began
        off = duration(made.held_out_rmse_s)
        return (
            f"this is how units of the model {self.model.name} looked at that distance from their end, judged by "
            f"{number(len(self.points))} points over {duration(age)}; it was learnt from {made.units} units, and is off by "
            f"{off} on units that it has not seen{self.past()}"
        )

    def memory(self) -> Any:
        """See `Watch.memory`."""
        if self.began == NEVER and not self.fresh and self.live == (1 << len(self.points)) - 1:
            return None
        began = None if self.began == NEVER else self.began
        left = self.left and list(self.left)
        parts = (self.sampler, self.life, self.announcer)
        return [began, self.read, left, list(self.row), self.live, self.fresh, *(part.memory() for part in parts)]

    def recall(self, memory: Any, shift: float) -> None:
        """See `Watch.recall`."""
        began, read, left, self.row, self.live, self.fresh, sampler, life, announcer = memory
        self.began = NEVER if began is None else began + shift
        self.read = read + shift
        self.left = left and Remaining(*left)
        self.sampler.recall(sampler, shift)
        self.life.recall(life)
        self.announcer.recall(announcer)


class Eye(Watch):
    """One point of a unit."""

    __slots__ = ("bit",)

    def __init__(self, unit: UnitLife, point: PointInfo, bit: int) -> None:
        super().__init__(unit.rule, point)
        self.head: UnitLife = unit
        self.bit = bit

    def start(self, now: float) -> None:  # noqa: ARG002
        """See `Watch.start`."""
        self.head.sampler.rest(self)

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:
        """See `Watch.look`."""
        assert not isinstance(value, str)
        unit = self.head
        unit.see(self.bit, float(value), at)
        unit.sampler.rest(self)
        if is_open and unit.left is None and unit.announcer.ended is None:  # of a rule that has been changed
            return Verdict.UNKNOWN
        return unit.verdict()

    def noted(self, event: str, at: float) -> None:  # noqa: ARG002
        """See `Watch.noted`."""
        if event == REPLACED:
            self.low, self.high = NOTHING

    def lost(self, at: float) -> Verdict:  # noqa: ARG002
        """See `Watch.lost`: the others may do; and a life does not stand still while nobody looks."""
        self.head.miss(self.bit)
        return Verdict.UNKNOWN if self.head.left is None else self.head.verdict()

"""What the watches have in common that foresee a crossing or an end: how a forecast becomes an episode, and its words."""

import math
from collections.abc import Mapping
from typing import ClassVar

from gateway.diagnosis.contract import Forecast, Kind, Phase, PointInfo
from gateway.diagnosis.forecast import Announcer, Outlook, Score, Terms, Turn
from gateway.diagnosis.watch import ANYTHING, NEVER, NOTHING, Rule, Verdict, Watch


class Foreseen(Watch):
    """What a crossing and an end that are foreseen have in common."""

    __slots__ = ("announcer", "turn")

    KIND: ClassVar[Kind] = "prediction"
    GATHERS: ClassVar[bool] = True

    def __init__(self, rule: Rule, point: PointInfo, terms: Terms) -> None:
        super().__init__(rule, point)
        self.announcer = Announcer(terms)
        self.turn: Turn | None = None  # that the reading at hand brought

    @property
    def lasting(self) -> float:
        """See `Watch.lasting`: what it waits for is to be sure."""
        return 0.0

    def outlook(self, at: float) -> Outlook | None:
        """How things stand as seen from `at`; None before there is a forecast."""
        raise NotImplementedError

    def verdict(self) -> Verdict:
        """Unhappy as long as a forecast stands."""
        return Verdict.UNHAPPY if self.announcer.is_open else Verdict.WELL

    def tells(self, phase: Phase | None) -> Phase | None:
        """See `Watch.tells`."""
        if self.turn is Turn.SOONER:
            return Phase.WORSENED
        if self.turn is Turn.LATER:
            return Phase.EASED
        if phase is Phase.CLOSED and self.announcer.ended not in (Turn.CAME_TRUE, Turn.AVERTED):  # or the rule was changed
            return Phase.WITHDRAWN
        return phase

    def how(self) -> str:
        """See `Watch.how`."""
        return self.announcer.ended.value if self.announcer.ended else ""

    def forecast(self, at: float) -> Forecast | None:
        """See `Watch.forecast`."""
        outlook = self.outlook(at)
        if outlook is None or outlook.earliest_s == NEVER:
            return None
        return Forecast(self.end(), *outlook[:3], self.announcer.terms.chance(outlook))

    def end(self) -> float:
        """The value at which it ends."""
        raise NotImplementedError

    @property
    def score(self) -> Score | None:
        """See `Watch.score`."""
        return self.announcer.score

    def words(self, at: float) -> Mapping[str, str]:
        """See `Watch.words`."""
        outlook = self.outlook(at)
        if outlook is None:
            return {}
        return dict(zip(("in", "earliest", "latest", "about"), (*map(roughly, outlook[:3]), about(outlook)), strict=True))

    def past(self) -> str:
        """Its own score, as the end of a reason."""
        words = self.announcer.score.words()
        return f"; forecasts so far: {words}" if words else ""


class Sampler:
    """Which readings are taken where they come faster than is of use."""

    __slots__ = ("read", "wanted")

    def __init__(self) -> None:
        self.read = -NEVER  # when the last one was taken
        self.wanted = -NEVER  # when the next one is; long ago where every one is

    def take(self, at: float, enough: float, next_in: float) -> None:
        """One was taken at `at`; one every `enough` seconds would do, and the next would best come in `next_in`."""
        is_fast = at - self.wanted < enough if self.wanted > -NEVER else at - self.read < enough / 2
        self.read = at
        self.wanted = at + next_in if is_fast else -NEVER

    def rest(self, watch: Watch) -> None:
        """State the band and the deadline of a watch that has nothing else to wait for."""
        watch.low, watch.high, watch.due = (*ANYTHING, self.wanted) if self.wanted > -NEVER else (*NOTHING, NEVER)

    def memory(self) -> list[float | None]:
        """Itself as plain data."""
        return [time if time > -NEVER else None for time in (self.read, self.wanted)]

    def recall(self, memory: list[float | None], shift: float) -> None:
        """Take up what `memory` gave."""
        self.read, self.wanted = (-NEVER if time is None else time + shift for time in memory)


_SPANS = ((7 * 86400.0, "weeks"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
MANY = 14  # of the next smaller unit, before a larger one is used


def about(outlook: Outlook) -> str:
    """A time to come and its interval: "12 days (9 to 16)"."""
    likely, least, most, _ = outlook
    if likely == NEVER:
        return "an unknown time"
    size, unit = _span(likely)
    most_words = "more" if most == NEVER else f"{_round(most, size)}"
    return f"{_round(likely, size)} {unit} ({_round(least, size)} {'or' if most == NEVER else 'to'} {most_words})"


def roughly(seconds: float) -> str:
    """A time to come in one unit: "12 days"."""
    if seconds == NEVER:
        return "an unknown time"
    size, unit = _span(seconds)
    return f"{_round(seconds, size)} {unit}"


def _span(seconds: float) -> tuple[float, str]:
    return next((span for span in _SPANS if seconds >= (MANY if span[1] == "weeks" else 1.5) * span[0]), _SPANS[-1])


def _round(seconds: float, size: float) -> int:
    return math.floor(seconds / size + 0.5)

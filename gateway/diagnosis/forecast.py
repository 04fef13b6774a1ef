"""When to speak of a forecast, and how good the past ones were.

A forecast is announced when the crossing is believed, at the stated confidence, to lie within the lead; it is told again only when
the date that was told has become wrong by much; it ends as come true, averted or withdrawn.

The score counts only what was said beforehand (Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation",
JASA 2007): of each episode the first promise is held against what happened.

Times are seconds on any axis that the caller keeps to.
"""

import math
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple

NEVER = math.inf
Z80 = 1.2815515594457412  # 90 % point of the normal curve: what is told is the interval from 10 % to 90 %
CHANGE = 0.5  # a told date is wrong when off by this share of what remains
RECEDED = 1.5  # leads; further off than this, even at the earliest, a crossing is out of sight


class Outlook(NamedTuple):
    """When a limit will be crossed, in seconds from the time of the outlook; infinite where no crossing is in sight."""

    in_s: float = NEVER
    earliest_s: float = NEVER  # it lies between these two eight times in ten
    latest_s: float = NEVER
    surely_s: float = NEVER  # it comes before this at the confidence of the rule

    def after(self, seconds: float) -> "Outlook":
        """The same crossing, seen so much later."""
        return Outlook(*(max(0.0, time - seconds) for time in self))


class Terms:
    """What a rule asks of its forecasts; shared by its watches.

    lead        how far ahead a crossing is worth a moment (s)
    confidence  that it lies within the lead, 0..1
    hold        forecasts in a row that must agree before anything is said
    """

    def __init__(self, lead: float, confidence: float, hold: int) -> None:
        self.lead = lead
        self.confidence = confidence
        self.hold = hold

    @cached_property
    def surely(self) -> float:
        """Where the stated confidence lies between the likeliest time (0) and the latest (1) of an interval."""
        from statistics import NormalDist  # and all that it brings, only where a rule foresees anything

        return NormalDist().inv_cdf(self.confidence) / Z80

    def chance(self, outlook: Outlook) -> float:
        """Probability that the crossing lies within the lead: each side of the interval is read as half a normal curve."""
        eta, low, high, surely = outlook
        if eta == NEVER:
            return 0.0
        least = self.confidence if surely <= self.lead else 0.0
        side = high - eta if self.lead >= eta else eta - low
        if side == NEVER:
            return max(least, 0.5 if self.lead >= eta else 0.0)
        chance = 0.5 + 0.5 * math.erf(Z80 * (self.lead - eta) / max(side, 1e-9 * self.lead) / math.sqrt(2.0))
        return max(least, chance)


class Turn(Enum):
    """What became of a forecast."""

    ANNOUNCED = "announced"
    SOONER = "sooner"
    LATER = "later"
    CAME_TRUE = "came true"
    AVERTED = "averted"
    WITHDRAWN = "withdrawn"


class Promise(NamedTuple):
    """What was said first, and when."""

    at: float
    in_s: float
    earliest_s: float
    latest_s: float


class Score(NamedTuple):
    """The rule's own forecasts on one point: promised against actual."""

    announced: int = 0
    came_true: int = 0
    inside: int = 0  # of those, how many came within the told interval
    averted: int = 0
    withdrawn: int = 0
    unforeseen: int = 0  # crossings that had not been announced
    error: float = 0.0  # sum of |actual - promised| / actual

    def kept(self, promise: Promise, actual_s: float) -> "Score":
        """A promise has come true after `actual_s`."""
        return self._replace(
            came_true=self.came_true + 1,
            inside=self.inside + (promise.earliest_s <= actual_s <= promise.latest_s),
            error=self.error + (abs(actual_s - promise.in_s) / actual_s if actual_s > 0.0 else 0.0),
        )

    def words(self) -> str:
        """Itself in words; empty while there is nothing to tell."""
        parts = []
        if self.came_true:
            off = f"{100.0 * self.error / self.came_true:.0f} %"
            parts.append(f"{self.came_true} came true ({self.inside} within the told interval, off by {off} on average)")
        parts += [f"{count} {what}" for count, what in ((self.averted, "averted"), (self.withdrawn, "withdrawn")) if count]
        if self.unforeseen:
            parts.append(f"{self.unforeseen} crossing{'s' if self.unforeseen > 1 else ''} not foreseen")
        return ", ".join(parts)


NOTHING_YET = Score()


class Announcer:
    """Turns running forecasts into few turns."""

    __slots__ = ("_agreed", "_eased", "_end", "ended", "is_open", "promise", "score", "terms")

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.is_open = False  # whether a forecast that was announced still stands
        self.promise: Promise | None = None  # the first of that forecast, or of the last
        self.ended: Turn | None = None  # how the last one ended; None while one stands
        self.score = NOTHING_YET
        self._end = 0.0  # the date last told
        self._agreed = 0  # forecasts in a row that ask for a turn
        self._eased = 0  # how often a later date has been told

    def hear(self, at: float, outlook: Outlook) -> Turn | None:
        """A new forecast; returns what is to be told of it."""
        lead = self.terms.lead
        if not self.is_open:
            if outlook.surely_s > lead:
                self._agreed = 0
                return None
            if not self._agree(self.terms.hold):
                return None
            self.is_open, self.promise, self.ended = True, Promise(at, *outlook[:3]), None
            self._eased = 0
            self._end = at + outlook.in_s
            self.score = self.score._replace(announced=self.score.announced + 1)
            return Turn.ANNOUNCED
        if outlook.earliest_s > RECEDED * lead:
            if not self._agree(2 * self.terms.hold):
                return None
            self.score = self.score._replace(withdrawn=self.score.withdrawn + 1)
            return self._end_as(Turn.WITHDRAWN)
        told, eta = self._end - at, outlook.in_s
        wrong = not outlook.earliest_s <= told <= outlook.latest_s and abs(eta - told) > CHANGE * max(eta, told, 0.1 * lead)
        if eta == NEVER or not wrong:
            self._agreed = 0
            return None
        is_later = eta > told
        # Good news can wait, each time longer: a level that settles just above its limit would be told of for ever.
        if not self._agree(self.terms.hold << min(self._eased, 10) if is_later else self.terms.hold):
            return None
        self._end = at + eta
        self._eased += is_later
        return Turn.LATER if is_later else Turn.SOONER

    def _agree(self, times: int) -> bool:
        """One more forecast asks for a turn; whether that is enough."""
        self._agreed += 1
        if self._agreed < times:
            return False
        self._agreed = 0
        return True

    def crossed(self, at: float) -> Turn | None:
        """The limit was reached."""
        self._agreed = 0
        if not self.is_open or self.promise is None:
            self.score = self.score._replace(unforeseen=self.score.unforeseen + 1)
            return None
        self.score = self.score.kept(self.promise, at - self.promise.at)
        return self._end_as(Turn.CAME_TRUE)

    def put_right(self) -> Turn | None:
        """The cause is gone: refilled, replaced, recharged."""
        self._agreed = 0
        if not self.is_open:
            return None
        self.score = self.score._replace(averted=self.score.averted + 1)
        return self._end_as(Turn.AVERTED)

    def _end_as(self, turn: Turn) -> Turn:
        self.is_open = False
        self.ended = turn
        return turn

    # ------------------------------------------------------------ across a restart

    def memory(self) -> list[Any]:
        """Itself as plain data."""
        promise = self.promise and [None if time == NEVER else time for time in self.promise]
        ended = self.ended and self.ended.value
        return [self.is_open, promise, ended, self._end, self._agreed, self._eased, list(self.score)]

    def recall(self, memory: list[Any]) -> None:
        """Take up what `memory` gave."""
        self.is_open, promise, ended, self._end, self._agreed, self._eased, score = memory
        self.ended = Turn(ended) if ended else None
        self.promise = promise and Promise(*(NEVER if time is None else time for time in promise))
        self.score = Score(*score)

"""A watch: one rule on one point, asleep until something happens that it would care about.

Most readings change nothing for most rules, so a watch says in advance what it has no interest in, and the engine leaves it
alone for as long. It states

- a *quiet band* `low..high`: values within it tell it nothing new. `ANYTHING` is the widest, `NOTHING` asks for every reading.
- a deadline `due`: by then it wants to be asked again, whatever the values are.

When a value leaves the band the engine calls `look`; the answer is a `Verdict`, and the watch has stated its next band and
deadline. A deadline that passes only opens the band, so that the next reading decides: an episode is opened by evidence, not by
the lack of it (`silent`, whose business is that lack, overrides `elapse`). When a reading comes without a value, `lost` is
called once.

A watch over several points has an *eye* on each: a watch of its own, with its own band and deadline, whose verdicts concern the
episode of its `head`. The head itself sleeps; it stands for the points together (`all_of`), and the eyes tell it what they see.

To be asked more often than needed must change nothing: the engine may do so at any time (after a restart it does), and a test
keeps every kind to it. So a band is a promise: while values stay within it and `due` has not come, the verdict stays the same.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from fnmatch import fnmatchcase
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

from drivers.contract import NoValue, Outcome, Value
from gateway.diagnosis.contract import HUB, Evidence, Forecast, Kind, Phase, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.episode import Episode
from gateway.diagnosis.forecast import Score
from gateway.diagnosis.words import quantity

NEVER = float("inf")
REPLACED = "replaced"
"""What is noted when another device is in the place of one: what was learnt of it is forgotten, what is open is judged anew."""
ANOTHER = "another device is in its place, and nothing is known of it yet"
WIDEST = sys.float_info.max
ANYTHING = (-WIDEST, WIDEST)
NOTHING = (WIDEST, -WIDEST)


class Verdict(IntEnum):
    """What a rule thinks of its point."""

    WELL = 0
    UNHAPPY = 1
    WORSE = 2  # unhappy, and one severity up
    UNKNOWN = 3  # no value, so no opinion: whatever was thought before is held


class Extremes(NamedTuple):
    """Least and greatest value of a stretch of time, each with a time before which it was not read."""

    low: float
    low_at: float
    high: float
    high_at: float


class Sight(Protocol):
    """What a watch may ask of its point."""

    missing: NoValue | None

    def last(self) -> tuple[Outcome, float] | None:
        """The newest reading and its time."""

    def seen(self) -> float:
        """When it last had a value; when the hub started, if it never had."""

    def device_seen(self) -> float | None:
        """When any other point of its device last had a value; None if it has no other."""

    def extremes(self, within: float, at: float) -> Extremes | None:
        """Over the last `within` seconds up to `at`, or an eighth less; only for the `window` that the watch has named."""

    def local(self, at: float) -> float | None:
        """Seconds since the last Monday began, by the clock on the wall there; None while nobody knows what it says."""


Local: TypeAlias = Callable[[float], float | None]
"""From a time of the hub's timeline to the local time of the week; see `Sight.local`."""


class Rule:
    """One rule of the config, shared by its watches."""

    __slots__ = ("id", "keys")

    def __init__(self, rule_id: str, keys: RuleKeys) -> None:
        self.id = rule_id
        self.keys = keys


class ToUnit(Protocol):
    """How quantities of the config become numbers in a point's unit; given by whoever builds the engine."""

    def __call__(self, quantity: Quantity, unit: str, *, difference: bool = False) -> float:
        """`quantity` in `unit`; with `difference` as the distance between two values, so that no zero of a scale matters."""


class Watch:
    """Base of every kind's watch: the state that the engine needs, and answers that suit most kinds."""

    __slots__ = ("armed", "count", "due", "episode", "eyes", "head", "high", "low", "number", "point", "rule", "sight")

    KIND: ClassVar[Kind] = "problem"
    TEXT: ClassVar[bool] = False  # whether `look` understands text; otherwise a text is no value to it
    LEARNS: ClassVar[bool] = False  # whether its memory is of the point, and so outlives a change of the rule
    GATHERS: ClassVar[bool] = False  # whether its memory takes days to gather, and so is saved while all is well, too

    def __init__(self, rule: Rule, point: PointInfo) -> None:
        self.rule = rule
        self.point = point
        self.low, self.high = NOTHING
        self.due = NEVER
        self.head: Watch = self  # whose episode its verdicts concern
        self.eyes: Sequence[Watch] = ()  # the watches whose head it is, but for itself
        self.episode: Episode | None = None
        self.count = 0  # episodes opened so far
        self.sight: Sight  # given by the engine, like the two below
        self.number: int
        self.armed = NEVER

    @property
    def lasting(self) -> float:
        """How long it must be unhappy before an episode opens (s)."""
        return self.rule.keys.lasting or 0.0

    @property
    def window(self) -> float:
        """Length of the recent past whose extremes it will ask for (s); 0 for none."""
        return 0.0

    @property
    def kind(self) -> Kind:
        """Of what kind its moments are. A milestone is told once: there is nothing to put right, so its episode ends there."""
        return self.KIND

    @property
    def absence(self) -> bool:
        """Whether it is unhappy about hearing nothing, which what its device hangs on may explain."""
        return False

    @property
    def about(self) -> PointInfo:
        """Which point its moments are about."""
        return self.point

    @property
    def learning(self) -> float:
        """How much it has learnt of what it needs to know before it says anything, 0 to 1; for views."""
        return 1.0

    def start(self, now: float) -> None:
        """The engine has been built, or restored: state the first deadline, unless `recall` did."""

    def look(self, value: Value, at: float, is_open: bool) -> Verdict:
        """Judge a value and state the next band and deadline. `is_open`: its episode is open, so hysteresis applies."""
        raise NotImplementedError

    def lost(self, at: float) -> Verdict:  # noqa: ARG002  (kinds need it)
        """The point has no value from now on."""
        return Verdict.UNKNOWN

    def elapse(self, at: float) -> Verdict | None:  # noqa: ARG002
        """`due` has come. None: no opinion, ask me at the next reading."""
        self.low, self.high = NOTHING
        self.due = NEVER
        return None

    def noted(self, event: str, at: float) -> None:
        """Somebody did something to the device ("visit", "service", "remedy", `REPLACED`). The next reading or deadline decides."""

    def pause(self, seconds: float) -> None:
        """The hub read nothing for so long, until now. Called after `recall`; what was going on is taken to have stood still."""

    def since(self, at: float) -> float:
        """When what it is now unhappy about began."""
        return at

    def value(self, value: Outcome | None) -> Outcome | None:
        """What to report as the value, given the reading that brought the change (None where none did)."""
        return value

    def limit(self) -> str:
        """What `{limit}` says."""
        return ""

    def words(self, at: float) -> Mapping[str, str]:  # noqa: ARG002
        """What the placeholders say that only its kind knows."""
        return {}

    def forecast(self, at: float) -> Forecast | None:  # noqa: ARG002
        """When its limit will be crossed, as seen from `at`; None where it foresees nothing."""
        return None

    def evidence(self) -> Evidence | None:
        """What it saw, where it keeps more of it than the history of its point does."""
        return None

    @property
    def score(self) -> Score | None:
        """How good its forecasts have been; None of a kind that makes none."""
        return None

    def tells(self, phase: Phase | None) -> Phase | None:
        """What is told of a step of its episode (None: nothing happened to it), right after the verdict that brought it."""
        return phase

    def says(self, phase: Phase, lasting: float) -> str:
        """Text of a moment where the technician has written none; placeholders allowed."""
        raise NotImplementedError

    def because(self, phase: Phase, value: Outcome | None, lasting: float) -> str:
        """What was compared with what."""
        raise NotImplementedError

    def confidence(self) -> float | None:
        """How sure it is of its unhappiness, 0 to 1; None where it has no measure of that."""
        return None

    def how(self) -> str:
        """How an episode that closes now came to its end."""
        return "by itself"

    def memory(self) -> Any:
        """What must survive a restart, as plain data; None for nothing. Times go through `recall`'s `shift`."""
        return None

    def recall(self, memory: Any, shift: float) -> None:
        """Take up what `memory` gave; `shift` is to be added to its times."""

    def episode_id(self) -> str:
        """Name of its present episode, or of the last: the same across restarts, and never used again."""
        return f"{self.rule.id}:{self.point.id}#{self.count}"

    def written(self, value: Outcome | None, apart_from: float | None = None) -> str:
        """A value of this point in words."""
        return quantity(value, self.about.unit, apart_from)


def matching(rule: Rule, points: Sequence[PointInfo], fits: Callable[[PointInfo], str | None]) -> Iterator[PointInfo]:
    """The points that a rule is written for: any of its globs matches, and the kind can do something with them."""
    keys = rule.keys
    for point in points:
        if is_meant(point.id, keys.on) and not is_meant(point.id, keys.except_) and fits(point) is None:
            yield point


def is_meant(point_id: str, globs: Sequence[str]) -> bool:
    """Whether any of the globs is for a point. The hub's own points must be named: who writes "*/*" means the devices."""
    own = point_id.startswith(f"{HUB}/")
    return any(fnmatchcase(point_id, glob) for glob in globs if not own or glob.startswith(HUB))


def all_of(points: Sequence[PointInfo]) -> PointInfo:
    """The point that stands for several of one device: "pump-1/*". Nobody reads it."""
    first = points[0]
    return PointInfo(f"{first.device}/*", first.device, "*", "", first.device_label, first.device_label)

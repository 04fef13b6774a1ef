"""What has been told of one rule about one point, and what is being held back.

    (quiet) -> settling -> told        its opening waits for a moment, in case something else turns out to explain it
               settling -> attached    it is explained: the cause is told instead, and counts it
    (quiet) -> muted                   somebody asked not to hear of it: it is recorded
    told, and over -> told             for a while its end is held back, in case it comes again

An opening soon after the end (`gap`) is the same episode going on. Many openings in a short time (`folds` within `folds_within`)
are one *unstable* episode, told once, which counts them and ends when there has been none for that long. Episodes of one fault
within months of each other are counted as its recurrence, by three numbers however many they are.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from msgspec.structs import replace

from drivers.contract import NoValue
from gateway.diagnosis.contract import Change, Forecast, Kind, Phase, PointInfo, RuleKeys, Severity
from gateway.diagnosis.watch import NEVER, Watch
from gateway.diagnosis.words import age, duration, ordinal

REMEMBERED = 180 * 86400.0  # s without an episode after which the next one is the first again


class Stage(StrEnum):
    """How far an episode has come on its way to those whom it concerns."""

    QUIET = "quiet"
    SETTLING = "settling"
    ATTACHED = "attached"
    MUTED = "muted"
    TOLD = "told"


class Telling:
    """The account of one rule about one point. Times in seconds of the hub's timeline."""

    __slots__ = (
        "armed",
        "attached",
        "began_at",
        "cause",
        "caused_by",
        "closing",
        "due",
        "episode",
        "first_at",
        "is_open",
        "is_raised",
        "is_unstable",
        "kind",
        "last_at",
        "opening",
        "openings",
        "raise_at",
        "recent",
        "recurrence",
        "severity",
        "since",
        "stage",
        "watch",
    )

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.stage = Stage.QUIET
        self.is_open = False  # what the rule says now, whatever has been told
        self.episode = ""  # the name under which it is told
        self.kind: Kind = "problem"  # as it was told last, like the next
        self.severity: Severity = "warning"
        self.since = 0.0
        self.began_at = 0.0  # the first opening of those that this episode counts
        self.openings = 0  # within this episode
        self.recent: list[float] = []  # the newest openings, at most `folds` of them
        self.is_unstable = False
        self.is_raised = False  # one severity up, for its age
        self.raise_at = NEVER  # when it will be
        self.due = NEVER  # when to look at it again: it has settled, its cause has been over for long enough, its end is certain
        self.opening: Change | None = None  # while it settles
        self.closing: Change | None = None  # while its end is held back
        self.cause = ""  # key of what explains it
        self.caused_by = ""  # the episode of that, once this one has been handed over to it
        self.attached = 0  # openings that this one explains
        self.recurrence = 0  # episodes told since `first_at`
        self.first_at = self.last_at = -NEVER
        self.armed = NEVER  # what the teller's heap knows of its deadlines

    @property
    def key(self) -> str:
        """Its name among all."""
        return f"{self.watch.rule.id}:{self.watch.point.id}"

    @property
    def next(self) -> float:
        """Its next deadline."""
        return min(self.due, self.raise_at)

    # ------------------------------------------------------------ openings and ends

    def begin(self, change: Change) -> None:
        """An episode begins that has not been told of."""
        self.episode = change.episode
        self.openings = 1
        self.began_at = change.at
        self.is_unstable = self.is_raised = False
        self.raise_at = self.due = NEVER
        self.cause = self.caused_by = ""
        self.attached = 0

    def opened(self, change: Change) -> None:
        """The rule is unhappy from now on."""
        self.is_open = True
        self.since = change.since
        self.closing = None

    def told(self, change: Change) -> Change:
        """Its opening is told; returns what is said of it."""
        keys = self.watch.rule.keys
        self.stage = Stage.TOLD
        self.opening = None
        self.due = NEVER
        if keys.escalate is not None:
            self.raise_at = change.at + keys.escalate
        self._note(change.at)
        return self._unsteady(change) if self.folds() else change

    def again(self, at: float) -> None:
        """It has opened once more before its end was told."""
        keys = self.watch.rule.keys
        self.openings += 1
        self.due = NEVER
        if keys.escalate is not None and not self.is_raised:
            self.raise_at = max(at, self.began_at + keys.escalate)
        self._note(at)

    def _note(self, at: float) -> None:
        folds = self.watch.rule.keys.folds
        self.recent = [*self.recent, at][-folds:] if folds else []

    def folds(self) -> bool:
        """Whether its newest openings are so many in so short a time that it must be called unstable."""
        keys = self.watch.rule.keys
        return bool(keys.folds) and len(self.recent) == keys.folds and self.recent[-1] - self.recent[0] <= keys.folds_within

    def ends_at(self, at: float) -> float:
        """When an episode that is over as of `at` may be told as closed."""
        keys = self.watch.rule.keys
        steady = self.recent[-1] + keys.folds_within if self.is_unstable and self.recent else at
        return max(at + keys.gap, steady)

    def settled(self) -> None:
        """Nothing more is to be told of it."""
        self.stage = Stage.QUIET
        self.opening = self.closing = None
        self.due = self.raise_at = NEVER

    # ------------------------------------------------------------ words

    def count(self, at: float) -> str:
        """Count an episode that is told now; returns a sentence about it where it is not the first."""
        if at - self.last_at > REMEMBERED:
            self.recurrence, self.first_at = 0, at
        self.recurrence += 1
        self.last_at = at
        if self.recurrence == 1 or self.is_unstable:
            return ""
        return f" The {ordinal(self.recurrence)} time in {age(at - self.first_at)}."

    def _unsteady(self, change: Change) -> Change:
        """Its opening, as one of many in a short time."""
        self.is_unstable = True
        self.openings, self.began_at = len(self.recent), self.recent[0]
        within = duration(self.recent[-1] - self.began_at)
        return replace(change, says=f"Unstable: it has opened {self.openings} times in {within}. {change.says}")

    def ended(self, change: Change) -> Change:
        """Its end, with how often it came and went."""
        if self.openings == 1:
            return change
        within = duration(change.at - self.began_at)
        return replace(change, says=f"{change.says} It has opened and closed {self.openings} times in {within}.")

    # ------------------------------------------------------------ across a restart

    def memory(self) -> dict[str, Any]:
        """Itself as plain data."""
        kept = {name: getattr(self, name) for name in PLAIN if getattr(self, name) != PLAIN[name]}
        times = {name: getattr(self, name) for name in TIMES if abs(getattr(self, name)) < NEVER}
        notices = {"opening": notice(self.opening), "closing": notice(self.closing)}
        return {
            "stage": self.stage.value,
            **kept,
            "about": list(self.watch.about),
            "times": times,
            "recent": self.recent,
            **{name: made for name, made in notices.items() if made},
        }

    def recall(self, memory: Mapping[str, Any], shift: float) -> None:
        """Take up what `memory` gave; `shift` is added to its times."""
        self.stage = Stage(memory["stage"])
        for name in PLAIN:
            if name in memory:
                setattr(self, name, memory[name])
        for name, time in memory["times"].items():
            setattr(self, name, time + shift)
        self.recent = [time + shift for time in memory["recent"]]
        self.opening = noticed(memory.get("opening"), self.watch, shift)
        self.closing = noticed(memory.get("closing"), self.watch, shift)


PLAIN: dict[str, Any] = {
    "is_open": False,
    "episode": "",
    "openings": 0,
    "is_unstable": False,
    "is_raised": False,
    "cause": "",
    "caused_by": "",
    "kind": "problem",
    "severity": "warning",
    "attached": 0,
    "recurrence": 0,
}
TIMES = ("since", "began_at", "raise_at", "due", "first_at", "last_at")


def notice(change: Change | None) -> dict[str, Any] | None:
    """A change that is held back, as plain data: its rule, point and evidence are found again when it is told."""
    if change is None:
        return None
    value = [change.value.reason] if isinstance(change.value, NoValue) else change.value
    forecast = [time if time < NEVER else None for time in change.forecast] if change.forecast else None  # JSON has no infinity
    names = ("episode", "kind", "severity", "at", "since", "says", "because", "how", "confidence")
    rest = {name: getattr(change, name) for name in names}
    return {**rest, "phase": change.phase.value, "value": value, "forecast": forecast}


def noticed(memory: Mapping[str, Any] | None, watch: Watch, shift: float) -> Change | None:
    """The change that `notice` gave."""
    if memory is None:
        return None
    value, forecast = memory["value"], memory["forecast"]
    told = {
        "phase": Phase(memory["phase"]),
        "value": NoValue(value[0]) if isinstance(value, list) else value,
        "forecast": Forecast(*(NEVER if time is None else time for time in forecast)) if forecast else None,
        "at": memory["at"] + shift,
        "since": memory["since"] + shift,
    }
    return Change(rule_id=watch.rule.id, rule=watch.rule.keys, point=watch.about, **{**memory, **told})


def abandoned(rule_id: str, rule_kind: str, kept: Mapping[str, Any] | None, shift: float, now: float) -> Iterator[Change]:
    """The end of an episode whose rule or point is no more: whoever was told of it is told that it is over."""
    if kept is None or kept["stage"] != Stage.TOLD:
        return
    point = PointInfo(*kept["about"])
    since = kept["times"]["since"] + shift
    yield Change(
        episode=kept["episode"],
        rule_id=rule_id,
        rule=RuleKeys(kind=rule_kind, on=(point.id,), severity=kept.get("severity", "warning")),
        point=point,
        kind=kept.get("kind", "problem"),
        phase=Phase.CLOSED,
        severity=kept.get("severity", "warning"),
        at=now,
        since=since,
        value=None,
        says=f"{point.label} is no longer watched for this; it had lasted for {duration(now - since)}.",
        because=f"the rule {rule_id} no longer covers this point",
        how="no longer watched",
    )

"""The casebook: what is known of each case that is not closed, for all parts of the service.

Promises
- A case is in the book from the moment that it is told as opened until it is told as closed; `casework.py` alone puts it in and
  takes it out, and says which episodes belong to it.
- An episode belongs to one case, and no two cases are about the same point.
- What other parts do about a case (a remedy that was tried, a visit, a step that worked) they write into it, so that its end can
  say how it came about.
"""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import field
from msgspec.structs import replace

from gateway import moments
from gateway.config.model import Config
from gateway.diagnosis.contract import Change, Fault, Kind, Phase, PointInfo, RuleKeys, Severity
from gateway.service.contract import Facts, Statement, Try

Stage = Literal["open", "proving"]
MOST_KEPT = 20  # hand-overs that a case remembers, the newest


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """A case went from one owner to another: their ids, the reason in words, and who decided it; "" stands for what was seen."""

    at: float
    from_: str
    to: str
    because: str
    by: str = ""


class End(msgspec.Struct, frozen=True, kw_only=True):
    """What was said when the last episode of a case ended, kept until that is proven."""

    at: float
    says: str
    because: str


class Case(msgspec.Struct, kw_only=True):
    """One case. Times in seconds of the hub's timeline.

    told_at: when its newest moment was; none is told with an earlier time, though the diagnosis may have waited with it.
    key: the name of the episode that it began with; its number hangs on that. lead: the episode that it is told of and that moves
    its owner; rule_id, point, says are of that. episodes: those of the diagnosis that are open and belong to it, with their
    severities. points, rules: all that it has been about, and whose unhappiness it was. fault: what it is laid to; None for the
    device of its point. cause: the episode that it is laid to, if it is; caused_by: the case of that, if it is another one.
    well_since, end: since when all of its episodes are over and what was said of that, while it is being proven. openings: how
    often it has opened; counted: how many of these the diagnosis counts within the leading episode. tried: what was done, the
    newest last. credit: what brought it to its end, as far as is known, in the words of `how`: "by the visit of Jan"; "" stands for
    nobody. least: its severity at least, since something that was tried has failed. told_well: whether somebody was told that it is
    well (by a recovery or a visit), so that its return is news.
    """

    key: str
    rule_id: str
    rule_kind: str
    point: str
    kind: Kind
    severity: Severity
    owner: moments.Owner
    since: float
    opened_at: float
    told_at: float
    says: str
    lead: str
    stage: Stage = "open"
    episodes: dict[str, Severity] = field(default_factory=dict)
    points: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    fault: Fault | None = None
    cause: str = ""
    caused_by: str = ""
    well_since: float | None = None
    end: End | None = None
    openings: int = 1
    counted: int = 1
    recurrence: int = 1
    handovers: list[Handover] = field(default_factory=list)
    tried: list[Try] = field(default_factory=list)
    credit: str = ""
    least: Severity = "info"
    told_well: bool = False
    visit: str = ""
    acknowledged: str = ""

    @property
    def about(self) -> tuple[tuple[str, str], ...]:
        """See `Statement.about`; empty where its moments are about all there is."""
        pairs = tuple((point, rule) for point in self.points for rule in self.rules)
        return pairs if len(pairs) > 1 else ()

    def moved_by(self, shift: float) -> "Case":
        """The same case on a timeline that begins elsewhere."""
        return replace(
            self,
            since=self.since + shift,
            opened_at=self.opened_at + shift,
            told_at=self.told_at + shift,
            well_since=None if self.well_since is None else self.well_since + shift,
            end=self.end and replace(self.end, at=self.end.at + shift),
            handovers=[replace(one, at=one.at + shift) for one in self.handovers],
            tried=[replace(one, at=one.at + shift) for one in self.tried],
        )


class Casebook:
    """All cases that are not closed, by key."""

    def __init__(self, config: Config, facts: Facts) -> None:
        self.cases: dict[str, Case] = {}
        self._rules = config.rules
        self._facts = facts
        self._of_episode: dict[str, str] = {}  # episode -> key
        self._of_point: dict[str, str] = {}  # point -> key
        self.at_work: frozenset[str] = frozenset()  # devices and buses ("bus.NAME") that a visit is about, which `visits.py` says

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases.values())

    def get(self, key: str) -> Case | None:
        """The case of this key, if it is not closed."""
        return self.cases.get(key)

    def holding(self, episode: str) -> Case | None:
        """The case that an open episode of the diagnosis belongs to."""
        return self.cases.get(self._of_episode.get(episode, ""))

    def about(self, point: str) -> Case | None:
        """The case about a point."""
        return self.cases.get(self._of_point.get(point, ""))

    def of_device(self, device: str) -> list[Case]:
        """The cases about a device, a bus ("bus.NAME") or the hub."""
        return [case for case in self if case.point.partition("/")[0] == device]

    # ------------------------------------------------------------ what `casework.py` writes

    def put(self, case: Case) -> None:
        """A case begins, or comes back from before a restart."""
        self.cases[case.key] = case
        self._of_episode.update(dict.fromkeys(case.episodes, case.key))
        self._of_point.update(dict.fromkeys(case.points, case.key))

    def add(self, case: Case, change: Change) -> None:
        """An episode belongs to a case from now on."""
        case.episodes[change.episode] = change.severity
        self._of_episode[change.episode] = case.key
        if change.rule_id not in case.rules:
            case.rules.append(change.rule_id)
        if change.point.id not in self._of_point:
            case.points.append(change.point.id)
            self._of_point[change.point.id] = case.key

    def drop(self, case: Case, episode: str) -> None:
        """An episode of a case is over."""
        case.episodes.pop(episode, None)
        self._of_episode.pop(episode, None)

    def remove(self, case: Case) -> None:
        """A case is closed."""
        del self.cases[case.key]
        for episode in case.episodes:
            self._of_episode.pop(episode, None)
        for point in case.points:
            self._of_point.pop(point, None)

    # ------------------------------------------------------------ telling of a case

    def statement(self, case: Case, phase: Phase, at: float, *, says: str, because: str, **more: Any) -> Statement:
        """A step of a case that the diagnosis knows nothing of. `more`: fields of `Change`, and of `moments.Account`."""
        point = self._facts.point(case.point) or bare(case.point)
        last = self._facts.last(case.point)
        case.told_at = at = max(at, case.told_at)
        change = Change(
            episode=case.key,
            rule_id=case.rule_id,
            rule=self._rules.get(case.rule_id) or RuleKeys(kind=case.rule_kind, on=(case.point,), severity=case.severity),
            point=point,
            kind=more.pop("kind", case.kind),
            phase=phase,
            severity=more.pop("severity", case.severity),
            at=at,
            since=case.since,
            value=more.pop("value", last[0] if last else None),
            says=says,
            because=because,
            evidence=more.pop("evidence", None) or self._facts.evidence(point, case.since, at),
            how=more.pop("how", ""),
            openings=case.openings,
            recurrence=case.recurrence,
            caused_by=case.caused_by,
            fault=case.fault,
        )
        return Statement(change=change, owner=case.owner, tried=tuple(case.tried), adds=more, about=case.about)

    # ------------------------------------------------------------ across a restart

    def memory(self) -> list[dict[str, Any]]:
        """All cases, as plain data."""
        made: list[dict[str, Any]] = msgspec.to_builtins(list(self.cases.values()))
        return made

    def recall(self, memory: list[dict[str, Any]], shift: float) -> None:
        """Take up what `memory` gave. Raises ValueError (msgspec.ValidationError) for anything else."""
        for case in msgspec.convert(memory, list[Case]):
            self.put(case.moved_by(shift))


def bare(point_id: str) -> PointInfo:
    """A point of which only the name is known."""
    device, _, name = point_id.partition("/")
    return PointInfo(point_id, device, name, "", f"{device} {name}", device)

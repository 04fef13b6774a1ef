"""Casework: from the episodes of the diagnosis to cases, each with one number, one owner at a time and one end.

    (none) -> open -> proving -> (closed)          proving: all of its episodes are over, which has yet to prove true
                ^        |
                +--------+ it is back

Promises
- A case is told once as opened and once as closed or withdrawn; in between it is never lost, whatever happens and however often the
  hub is restarted or given another config.
- What is about the same point, or has the same cause, is one case. When its cause is found, the case is handed over, not doubled.
- Nothing is closed because data stopped, or because a condition went false for a moment: see `proof.py`. What comes back before
  that is proven is the same case, and is told only to whom it is news.
- A case has one owner, who stays while the evidence stays; another one takes over only by a moment that says so, and why. Two who
  have had it from each other within an hour do not go on so: it stays with the last.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from gateway import moments
from gateway.config.model import Config
from gateway.diagnosis.causes import SEVERITIES
from gateway.diagnosis.contract import Change, Fault, Phase, Severity
from gateway.diagnosis.words import duration
from gateway.service import owners
from gateway.service.casebook import MOST_KEPT, Case, Casebook, End, Handover
from gateway.service.contract import NEVER, Facts, Statement
from gateway.service.proof import Proof

ENDS = (Phase.CLOSED, Phase.WITHDRAWN)
KINDS = ("problem", "prediction", "hub")  # of which cases are made
PING_PONG = 3600.0  # s in which a case goes to and fro between the same two once, and no more
BY_ITSELF = "by itself"
NO_LONGER_WATCHED = "no longer watched"  # as the diagnosis says it, like the two around it
AVERTED = "averted"
BY_CONFIG = "by another configuration"


class Casework:
    """The first part: it keeps the casebook."""

    def __init__(self, config: Config, facts: Facts, book: Casebook) -> None:
        self.next_due = NEVER
        self._config = config
        self._book = book
        self._proof = Proof(config.rules, facts)
        self._links: dict[str, Change] = {}  # cause -> the hand-over to it of what it explains, of the changes at hand

    def look_ahead(self, changes: Sequence[Change]) -> None:
        """These changes come next: which of them are causes of what was told before."""
        links = [change for change in reversed(changes) if change.phase is Phase.HANDED_OVER and change.caused_by]
        self._links = {change.caused_by: change for change in links}  # of several the first

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`."""
        change = statement.change
        case = self._book.holding(change.episode)
        if change.kind not in KINDS:
            yield statement
        elif change.phase is Phase.OPENED:
            yield from self._opened(change)
        elif case is None:  # of an episode that was told before there were cases
            yield statement
        elif change.phase in ENDS:
            yield from self._ended(case, change)
        elif change.phase is Phase.HANDED_OVER:
            yield from self._explained(case, change)
        else:
            yield from self._went_on(case, change)

    # ------------------------------------------------------------ openings

    def _opened(self, change: Change) -> Iterator[Statement]:
        link = self._links.get(change.episode)
        effect = self._book.holding(link.episode) if link else None
        case = self._book.about(change.point.id) or effect or self._book.holding(change.caused_by)
        if case is None:
            yield self._begin(change)
        elif case.stage == "proving":
            yield from self._reopen(case, change)
        elif link and case is effect:
            yield self._found_cause(case, change, link)
        else:
            yield from self._join(case, change)

    def _begin(self, change: Change) -> Statement:
        case = Case(
            key=change.episode,
            rule_id=change.rule_id,
            rule_kind=change.rule.kind,
            point=change.point.id,
            kind=change.kind,
            severity=change.severity,
            owner=owners.owner(self._config, change),
            since=change.since,
            opened_at=change.at,
            told_at=change.at,
            says=change.says,
            lead=change.episode,
            episodes={change.episode: change.severity},
            points=[change.point.id],
            rules=[change.rule_id],
            fault=owners.fault_of(self._config, change),
            openings=change.openings,
            counted=change.openings,
            recurrence=change.recurrence,
        )
        self._book.put(case)
        return self._told(case, change)

    def _reopen(self, case: Case, change: Change) -> Iterator[Statement]:
        """It is back before it was proven to be well."""
        assert case.well_since is not None
        pause = change.at - case.well_since
        is_news = case.told_well or _severer(change.severity, case.severity)
        case.stage, case.well_since, case.end = "open", None, None
        case.credit, case.told_well = "", False
        case.openings = max(case.openings + 1, change.openings)
        self._book.add(case, change)
        self._lead(case, change)
        case.severity = max(case.severity, change.severity, key=SEVERITIES.index)
        yield from self._follow_evidence(case, change)
        if is_news:
            says = f"It is back after {duration(pause)}: {change.says}"
            yield self._told(case, replace(change, phase=Phase.WORSENED, says=says))

    def _join(self, case: Case, change: Change) -> Iterator[Statement]:
        """Another episode of what a case is about already: told only if that makes it worse."""
        came_true = case.kind == "prediction" and change.kind != "prediction"
        is_worse = came_true or _severer(change.severity, case.severity)
        self._book.add(case, change)
        if is_worse:
            self._lead(case, change)
            case.severity = max(case.severity, change.severity, key=SEVERITIES.index)
            yield from self._follow_evidence(case, change)
            yield self._told(case, replace(change, phase=Phase.WORSENED))

    def _found_cause(self, case: Case, change: Change, link: Change) -> Statement:
        """What begins now explains a case that was told before: it goes to whom the cause belongs, under its own number.

        link: what the diagnosis says of that.
        """
        fault = change.fault or Fault("device", change.point.device, "")
        change = replace(change, fault=fault._replace(because=link.because))
        self._book.add(case, change)
        case.cause = change.episode
        case.severity = max(case.severity, change.severity, key=SEVERITIES.index)
        adds = self._pass_on(case, owners.owner(self._config, change), change)
        says = f"{change.says} That explains: {case.says}"
        return self._told(case, replace(change, phase=Phase.HANDED_OVER, says=says), adds)

    def _lead(self, case: Case, change: Change) -> None:
        """From now on the case is told of this episode."""
        case.lead, case.counted, case.recurrence = change.episode, change.openings, change.recurrence
        case.rule_id, case.rule_kind, case.point, case.says = change.rule_id, change.rule.kind, change.point.id, change.says
        if case.kind == "prediction":
            case.kind = change.kind

    # ------------------------------------------------------------ on its way

    def _went_on(self, case: Case, change: Change) -> Iterator[Statement]:
        """An episode of a case worsens or eases."""
        leads = change.episode == case.lead
        is_worse = _severer(change.severity, case.severity)
        case.episodes[change.episode] = change.severity
        if leads:
            self._count(case, change)
        if leads or is_worse:
            case.severity = _severest(case)
            if leads:
                yield from self._follow_evidence(case, change)
            yield self._told(case, change)

    def _explained(self, case: Case, change: Change) -> Iterator[Statement]:
        """The diagnosis lays an episode to another one, or to none any more."""
        if change.episode != case.lead or change.caused_by == case.cause:  # it was told with its cause
            return
        heir = owners.owner(self._config, change)
        if heir.id != case.owner.id and not self._may_go(case, heir.id, change.at):
            return
        cause = self._book.holding(change.caused_by)
        case.cause = change.caused_by
        case.caused_by = "" if cause is None or cause is case else cause.key
        self._count(case, change)
        adds = self._pass_on(case, heir, change)
        yield self._told(case, change, adds)

    def _count(self, case: Case, change: Change) -> None:
        """Take over how often its leading episode has opened, as the diagnosis counts it."""
        case.openings += change.openings - case.counted
        case.counted = change.openings

    # ------------------------------------------------------------ ends

    def _ended(self, case: Case, change: Change) -> Iterator[Statement]:
        leads = change.episode == case.lead
        if leads:
            self._count(case, change)
        self._book.drop(case, change.episode)
        if case.episodes:
            if leads:
                case.lead = next(iter(case.episodes))
                case.counted = 1
            if _severer(case.severity, _severest(case)):
                case.severity = _severest(case)
                says = f"{change.says} Something else about it is still open."
                yield self._told(case, replace(change, phase=Phase.EASED, says=says, how=""))
            return
        foretold = change.kind == "prediction" and case.kind != "prediction"
        if foretold and change.how != NO_LONGER_WATCHED:  # how a forecast ended says nothing of what it became
            change = replace(change, phase=Phase.CLOSED, how=BY_ITSELF)
        if change.how == BY_ITSELF and self._proof.is_gone(case):
            change = replace(change, how=NO_LONGER_WATCHED)
        if change.how == BY_ITSELF:
            case.stage, case.well_since = "proving", change.at
            case.end = End(at=change.at, says=change.says, because=change.because)
            if self._proof.lasts(case):
                self.next_due = min(self.next_due, change.at + self._proof.lasts(case))
                return
        yield self._close(case, self._told(case, replace(change, how=_how(case, change.how))))

    def tick(self, now: float) -> Iterator[Statement]:
        """See `Part.tick`: which proofs are over."""
        due = NEVER
        for case in [case for case in self._book if case.stage == "proving"]:
            over = self._proof.over(case, now)
            if over <= now:
                yield self._proven(case, now)
            else:
                due = min(due, over)
        self.next_due = due

    def _proven(self, case: Case, now: float) -> Statement:
        assert case.end is not None
        begun = self._proof.begun(case)
        stayed = duration(now - (case.end.at if begun is None else begun))
        again = f", and has opened {case.openings} times in all" if case.openings > 1 else ""
        says = f"{case.end.says} It has stayed so for {stayed}{again}."
        told = self._book.statement(case, Phase.CLOSED, now, says=says, because=case.end.because, how=_how(case, BY_ITSELF))
        return self._close(case, told)

    def _close(self, case: Case, last: Statement) -> Statement:
        self._book.remove(case)
        return last

    # ------------------------------------------------------------ owners

    def hand_over(self, case: Case, to: str, because: str, at: float, by: str = "the desk") -> list[Statement]:
        """Somebody at the desk gives a case to another owner, by id; nothing if they have it. Raises LookupError for a stranger."""
        if not owners.exists(self._config, to):
            raise LookupError(to)
        if to == case.owner.id:
            return []
        heir = owners.of(self._config, to, because or f"{by} decided so")
        return [self._give(case, heir, at, by)]

    def _follow_evidence(self, case: Case, change: Change) -> Iterator[Statement]:
        """Hand a case over where what its leading episode says of the fault has moved."""
        if change.caused_by and (change.caused_by == case.cause or change.caused_by in case.episodes):
            return
        fault = owners.fault_of(self._config, change)
        if _place(fault, change.point.device) == _place(case.fault, case.point.partition("/")[0]):
            return
        heir = owners.owner(self._config, change)
        if heir.id == case.owner.id:
            case.fault = fault
        elif self._may_go(case, heir.id, change.at):
            case.fault = fault
            yield self._give(case, heir, change.at)

    def _give(self, case: Case, heir: moments.Owner, at: float, by: str = "") -> Statement:
        """A hand-over that no other moment tells."""
        before = case.owner
        handed = self._enter(case, heir, at, by)
        says = f"{case.says} It goes from {before.name or before.id} to {heir.name or heir.id}."
        return self._book.statement(case, Phase.HANDED_OVER, at, says=says, because=heir.because, handed_over=handed)

    def _pass_on(self, case: Case, heir: moments.Owner, change: Change) -> dict[str, Any]:
        """Hand a case over with the moment about a change, where that is another owner's; returns what it has to add."""
        if heir.id != case.owner.id and not self._may_go(case, heir.id, change.at):
            return {}
        case.fault = owners.fault_of(self._config, change)
        return {"handed_over": self._enter(case, heir, change.at)} if heir.id != case.owner.id else {}

    def _enter(self, case: Case, heir: moments.Owner, at: float, by: str = "") -> moments.HandedOver:
        """One line of the history of a case."""
        line = Handover(at=max(at, case.told_at), from_=case.owner.id, to=heir.id, because=heir.because, by=by)
        case.handovers = [*case.handovers, line][-MOST_KEPT:]
        case.owner = heir
        return moments.HandedOver(from_=line.from_, to=line.to, because=line.because)

    def _may_go(self, case: Case, to: str, at: float) -> bool:
        """Whether another hand-over between these two would not be one too many."""
        pair = {case.owner.id, to}
        return sum({one.from_, one.to} == pair and at - one.at < PING_PONG for one in case.handovers) < 2

    # ------------------------------------------------------------ telling

    def _told(self, case: Case, change: Change, adds: dict[str, Any] | None = None) -> Statement:
        """A change as a step of its case."""
        case.told_at = max(change.at, case.told_at)
        told = replace(
            change,
            episode=case.key,
            kind=case.kind,
            severity=case.severity,
            at=case.told_at,
            openings=case.openings,
            caused_by=case.caused_by,
            fault=case.fault,
        )
        return Statement(change=told, owner=case.owner, tried=tuple(case.tried), adds=adds or {}, about=case.about)

    # ------------------------------------------------------------ across a restart, or another config

    def memory(self) -> Any:
        """See `Part.memory`."""
        return self._book.memory()

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:
        """See `Part.recall`. What another config has no place for is closed or handed over."""
        self._book.recall(memory, shift)
        self.next_due = now
        for case in list(self._book):
            if case.stage == "proving" and self._proof.is_gone(case):  # what is open, the diagnosis ends
                says = f"{case.point} is no longer watched for this."
                because = f"the rule {case.rule_id} no longer covers this point"
                yield self._close(case, self._book.statement(case, Phase.CLOSED, now, says=says, because=because, how=BY_CONFIG))
            elif owners.exists(self._config, case.owner.id):
                case.owner = owners.of(self._config, case.owner.id, case.owner.because)
            else:
                fault = case.fault or Fault("device", case.point.partition("/")[0], "")
                heir = owners.responsible(self._config, case.rule_id, self._config.rules.get(case.rule_id), fault)
                because = f"{case.owner.name or case.owner.id} is no longer in the config; {heir.because}"
                yield self._give(case, replace(heir, because=because), now)

    def pause(self, seconds: float) -> None:
        """The hub read nothing for so long, until now: no proof goes on in that time. Called after `recall`."""
        for case in self._book:
            if case.well_since is not None:
                case.well_since += seconds


def _severer(one: Severity, other: Severity) -> bool:
    return SEVERITIES.index(one) > SEVERITIES.index(other)


def _severest(case: Case) -> Severity:
    return max([*case.episodes.values(), case.least], key=SEVERITIES.index)


def _place(fault: Fault | None, device: str) -> tuple[str, str]:
    """Where a fault lies, in short."""
    return (fault.layer, fault.where) if fault else ("device", device)


def _how(case: Case, how: str) -> str:
    """How a case came to its end, `how` being what the diagnosis says."""
    if how == NO_LONGER_WATCHED:
        return BY_CONFIG
    if how == AVERTED and case.credit:
        return f"{how} {case.credit}"
    if how == BY_ITSELF and case.handovers:
        return case.credit or "by the owner it was handed over to"
    return case.credit or how if how == BY_ITSELF else how

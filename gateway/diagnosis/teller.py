"""From what the rules see to what is told of it: between the raw steps of episodes and the changes that leave the engine.

Promises
- Every opening that a rule sees is told, attached to the episode that explains it and counted there, counted in the unstable
  episode that it is part of, or recorded while it is muted and told or counted when that is over. None is lost.
- Whoever is told that an episode opened is told once that it closed.
- While a cause is open, nothing is told of what it explains. What had been told already keeps its case and is handed over to it,
  and handed back if it lives on when that is over.
- The order in which a cause and its effects are noticed does not matter, as long as both come within the settling time.

An opening that something could explain waits for that time (`Surroundings.settle`), longer while a cause may be on its way.
When a cause is over, what it explained has `grace` to follow; what does not is told by itself. What explains what is found by
`situation`, what follows from that is done by `explanations`, and what is told leaves by `voice`.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from gateway.diagnosis.causes import Surroundings, Together
from gateway.diagnosis.contract import Change, Fault, OpenEpisode, Phase, PointInfo, Withheld
from gateway.diagnosis.episode import SEVERER
from gateway.diagnosis.explanations import Explanations
from gateway.diagnosis.mute import Mutes
from gateway.diagnosis.situation import Cause, Facts, Situation
from gateway.diagnosis.telling import Stage, Telling
from gateway.diagnosis.voice import Voice
from gateway.diagnosis.watch import NEVER, Watch
from gateway.diagnosis.words import duration

PATIENCE = 5  # settling times at most, while a cause may be on its way
ENDS = (Phase.CLOSED, Phase.WITHDRAWN)
LONG_OPEN = "it has been open for "  # begins the reason of what is told once more only because of that


class Teller:
    """Decides of each step of an episode whether it is told, held, attached, or recorded while it is muted."""

    def __init__(self, facts: Facts, surroundings: Surroundings, points: Sequence[PointInfo], now: float) -> None:
        self._facts = facts
        self._settle = surroundings.settle
        self._situation = Situation(facts, surroundings, points)
        self._voice = Voice(facts, self._situation)
        self._explanations = Explanations(facts, surroundings, self._situation, self._voice, self._arm)
        self._mutes = Mutes(surroundings.windows, surroundings.wall)
        self._due: list[tuple[float, str]] = []  # a heap of (time, key); what is out of date is skipped
        self._mutes.start(now)

    @property
    def next_due(self) -> float:
        """When `elapse` has something to do, as far as is known now."""
        return min(self._due[0][0] if self._due else NEVER, self._mutes.next)

    # ------------------------------------------------------------ what the rules see

    def take(self, watch: Watch, change: Change) -> None:
        """A step of an episode, as its rule sees it."""
        telling = self._situation.tellings.get(watch.number) or self._situation.place(Telling(watch))
        if change.kind == "milestone":
            self._milestone(telling, change)
        elif change.phase is Phase.OPENED:
            telling.opened(change)
            self._opened(telling, change)
            self._explanations.fails(watch.about.id, telling)
        elif change.phase in ENDS:
            telling.is_open = False
            self._ended(telling, change)
            self._explanations.works(watch.about.id, telling, change.at)
        elif telling.stage is Stage.TOLD:
            self._voice.tell(telling, change)
        self._arm(telling)

    def _milestone(self, telling: Telling, change: Change) -> None:
        """Good news is told once, and has no end."""
        if mute := self._mutes.of(telling.watch):
            mute.miss(telling.watch)
        else:
            self._facts.tell(change)

    def _opened(self, telling: Telling, change: Change) -> None:
        if telling.stage is Stage.TOLD:  # its end has not been told
            telling.again(change.at)
            self._explanations.wait(telling, change.at)
            return
        telling.begin(change)
        self._present(telling, change, change.at)

    def _present(self, telling: Telling, change: Change, at: float) -> None:
        """An opening that has not been told: mute it, hold it, or tell it."""
        if self._mutes.of(telling.watch):
            telling.stage = Stage.MUTED
        elif (cause := self._situation.cause(telling)) is not None:
            self._explanations.attach(telling, cause)
        elif any(self._situation.explaining(telling)):
            telling.stage = Stage.SETTLING
            telling.opening = replace(change, evidence=None)
            telling.due = at + self._settle
        else:
            self._open(telling, change, at)

    def _ended(self, telling: Telling, change: Change) -> None:
        if telling.stage is Stage.SETTLING:
            self._open_settled(telling, change.at)
        if telling.stage is Stage.TOLD:
            telling.closing = replace(change, evidence=None)
            telling.due = telling.ends_at(change.at)
            if telling.due <= change.at:
                self._close(telling)
            return
        if telling.stage is Stage.MUTED and (mute := self._mutes.of(telling.watch)):
            mute.miss(telling.watch)
        telling.settled()

    # ------------------------------------------------------------ telling

    def _open(self, telling: Telling, change: Change, at: float, fault: Fault | None = None) -> None:
        change = telling.told(change)
        says = change.says + telling.count(change.at)
        affected, behind = self._voice.behind(telling.watch.about, at)
        self._voice.tell(telling, replace(change, says=says + behind, affected=affected), fault)
        self._explanations.take_over(telling, telling.watch.about.id, at)

    def _open_settled(self, telling: Telling, at: float) -> None:
        change = telling.opening
        assert change is not None
        self._open(telling, change, at, self._voice.alone(telling, at))

    def _close(self, telling: Telling) -> None:
        change = telling.closing
        assert change is not None
        if telling.attached:
            what = "1 episode" if telling.attached == 1 else f"{telling.attached} episodes"
            change = replace(change, says=f"{change.says} {what} that it explains had not been told.")
        self._voice.tell(telling, telling.ended(change))
        telling.settled()

    # ------------------------------------------------------------ deadlines

    def elapse(self, until: float) -> None:
        """Deal with the deadlines up to a time, in their order."""
        while self.next_due <= until:
            if self._mutes.next <= (self._due[0][0] if self._due else NEVER):
                self._unmute(self._mutes.next)
                continue
            at, key = heapq.heappop(self._due)
            subject = self._situation.by_key.get(key)
            if subject is None or subject.armed != at:
                continue
            subject.armed = NEVER
            if subject.next <= at:
                self._explanations.end_group(subject, at) if isinstance(subject, Together) else self._telling_due(subject, at)
            self._arm(subject)

    def _arm(self, subject: Cause) -> None:
        if subject.next < subject.armed:
            subject.armed = subject.next
            heapq.heappush(self._due, (subject.next, subject.key))

    def _telling_due(self, telling: Telling, at: float) -> None:
        if telling.raise_at <= at:
            self._raise(telling, at)
        elif telling.stage is Stage.TOLD and telling.is_open:
            self._explanations.hand_back(telling, at)
        elif telling.stage is Stage.TOLD:
            self._close(telling)
        elif telling.stage is Stage.SETTLING:
            self._decide(telling, at)
        elif telling.stage is Stage.ATTACHED:
            telling.cause = ""
            telling.stage = Stage.SETTLING
            telling.opening = replace(self._facts.compose(telling.watch, at), evidence=None)
            self._decide(telling, at)

    def _decide(self, telling: Telling, at: float) -> None:
        """An opening has settled: it is explained, or one of several, or by itself."""
        assert telling.opening is not None
        telling.due = NEVER
        if self._mutes.of(telling.watch):
            telling.stage, telling.opening = Stage.MUTED, None
        elif (cause := self._situation.cause(telling)) is not None:
            self._explanations.attach(telling, cause)
        elif at < telling.opening.at + PATIENCE * self._settle and self._situation.is_in_doubt(telling):
            telling.due = at + self._settle
        elif not self._explanations.find_common(telling, at):
            self._open_settled(telling, at)

    def _raise(self, telling: Telling, at: float) -> None:
        """An episode has been open for long enough to be one severity up."""
        telling.raise_at = NEVER
        if telling.is_raised or not telling.is_open:
            return
        if self._mutes.of(telling.watch):
            telling.raise_at = self._mutes.next  # it is told when that is over
            return
        change = self._facts.compose(telling.watch, at)
        if SEVERER[change.severity] == change.severity:
            return
        telling.is_raised = True
        because = f"{LONG_OPEN}{duration(telling.watch.rule.keys.escalate or 0.0)}; {change.because}"
        self._voice.tell(telling, replace(change, phase=Phase.WORSENED, because=because))

    # ------------------------------------------------------------ muting

    def mute(self, what: str, until: float) -> None:
        """See `Mutes.mute`."""
        self._mutes.mute(what, until)

    def muted(self) -> list[tuple[str, float]]:
        """See `Mutes.muted`."""
        return self._mutes.muted()

    def _unmute(self, at: float) -> None:
        """Some silence may be over: what is still open is presented now."""
        for account in self._mutes.elapse(at):
            self._facts.tell(account)
        for telling in self._situation.tellings.values():
            if telling.stage is Stage.MUTED and telling.is_open and not self._mutes.of(telling.watch):
                change = self._facts.compose(telling.watch, at)
                because = f"{change.because}; it was muted, and is still open"
                telling.stage = Stage.QUIET
                self._present(telling, replace(change, because=because), at)
                self._arm(telling)

    # ------------------------------------------------------------ views

    def open_episodes(self) -> Iterator[OpenEpisode]:
        """What has been told as opened and not yet as closed."""
        for _, telling in sorted(self._situation.tellings.items()):
            if telling.stage is Stage.TOLD:
                watch, episode = telling.watch, telling.watch.episode
                yield OpenEpisode(
                    episode=telling.episode,
                    rule_id=watch.rule.id,
                    point=watch.about,
                    severity=telling.severity,
                    since=telling.since,
                    clearing=not telling.is_open or (episode is not None and episode.due != NEVER),
                    held=self._facts.why_held(watch),
                    caused_by=telling.caused_by,
                )
        for group in self._situation.groups.values():
            if group.told:
                info = self._situation.tree.info(group.node)
                clearing = group.due != NEVER
                yield OpenEpisode(group.episode, "common-cause", info, group.severity, group.since, clearing, "", group.caused_by)

    def withheld(self) -> Iterator[Withheld]:
        """What is open and not told, with the reason."""
        for _, telling in sorted(self._situation.tellings.items()):
            if telling.is_open and telling.stage in (Stage.SETTLING, Stage.ATTACHED, Stage.MUTED):
                cause = self._situation.by_key.get(telling.cause)
                why = cause.episode if cause and telling.stage is Stage.ATTACHED else telling.stage.value
                yield Withheld(telling.watch.rule.id, telling.watch.about, telling.since, why)

    # ------------------------------------------------------------ across a restart

    def memory_of(self, watch: Watch) -> dict[str, Any] | None:
        """What must survive about one rule on one point, as plain data; None for nothing."""
        telling = self._situation.tellings.get(watch.number)
        return telling.memory() if telling else None

    def memory(self) -> dict[str, Any]:
        """Everything else that must survive."""
        return {"groups": {node: group.memory() for node, group in self._situation.groups.items()}, "mutes": self._mutes.memory()}

    def recall_of(self, watch: Watch, memory: Mapping[str, Any], shift: float, off: float) -> None:
        """Take up what `memory_of` gave."""
        telling = self._situation.place(Telling(watch))
        telling.recall(memory, shift)
        telling.due += off
        telling.raise_at += off

    def recall(self, memory: Mapping[str, Any], shift: float, off: float, now: float) -> None:
        """Take up what `memory` gave, after all that `memory_of` did."""
        for node, kept in memory["groups"].items():
            group = self._situation.group(node)
            group.recall(kept, shift)
            group.due += off
        self._mutes.recall(memory["mutes"], shift, now)
        self._explanations.settle_in(now)

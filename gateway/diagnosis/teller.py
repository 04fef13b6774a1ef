"""From what the rules see to what is told of it: between the raw steps of episodes and the changes that leave the engine.

Promises
- Every opening that a rule sees is told, attached to the episode that explains it and counted there, counted in the unstable
  episode that it is part of, or recorded while it is muted and told or counted when that is over. None is lost.
- Whoever is told that an episode opened is told once that it closed.
- While a cause is open, nothing is told of what it explains. What had been told already keeps its case and is handed over to it,
  and handed back if it lives on when that is over.
- The order in which a cause and its effects are noticed does not matter, as long as both come within the settling time.

An opening that something could explain waits for that time (`Surroundings.settle`), longer while a cause may be on its way.
When a cause is over, what it explained has `grace` to follow; what does not is told by itself.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from msgspec.structs import replace

from gateway.diagnosis.causes import SEVERITIES, Ear, Surroundings, Together, Tree, layer, node_of, place
from gateway.diagnosis.contract import HUB, STATE, Change, Evidence, Fault, OpenEpisode, Phase, PointInfo, RuleKeys, Withheld
from gateway.diagnosis.episode import SEVERER
from gateway.diagnosis.mute import Mutes
from gateway.diagnosis.telling import Stage, Telling
from gateway.diagnosis.watch import NEVER, Watch
from gateway.diagnosis.words import duration, listed

PATIENCE = 5  # settling times at most, while a cause may be on its way
ENDS = (Phase.CLOSED, Phase.WITHDRAWN)
LONG_OPEN = "it has been open for "  # begins the reason of what is told once more only because of that
FOLLOW = 2.0  # of its own periods that a device has to follow its cause, where that is longer than `grace`


class Facts(Protocol):
    """What the teller asks the engine."""

    def compose(self, watch: Watch, at: float) -> Change:
        """What there is to tell of a watch whose episode is open, now."""

    def evidence(self, point: PointInfo, since: float, at: float) -> Evidence | None:
        """What the hub saw of a point."""

    def heard(self, device: str) -> float | None:
        """When a device last said anything; None where it has no points."""

    def is_suspect(self, node: str) -> bool:
        """Whether a node may be about to fail: a rule is unhappy about it, but not yet for long enough."""

    def why_held(self, watch: Watch) -> str:
        """Why nothing is known at present of what an open episode is about; empty when it is known."""

    def tell(self, change: Change) -> None:
        """Let a change leave the engine."""


Cause: TypeAlias = Telling | Together


class Teller:
    """All tellings of an engine, and the causes among them."""

    def __init__(self, facts: Facts, surroundings: Surroundings, points: Sequence[PointInfo], now: float) -> None:
        self._facts = facts
        self._tree = Tree(surroundings.parents, points)
        self._settle = surroundings.settle
        self._grace = surroundings.grace
        self._ear = Ear(self._tree, facts.heard, surroundings.settle)
        self._mutes = Mutes(surroundings.windows, surroundings.wall)
        self._tellings: dict[int, Telling] = {}  # by the number of the watch
        self._of_device: dict[str, list[Telling]] = {}
        self._groups: dict[str, Together] = {}  # by node
        self._failing: dict[str, dict[str, Cause]] = {}  # node -> what is wrong with it, by key
        self._due: list[tuple[float, str]] = []  # a heap of (time, key); what is out of date is skipped
        self._by_key: dict[str, Cause] = {}
        self._needed: set[str] = set()  # nodes that some rule needs, beyond what the tree says
        self._mutes.start(now)

    @property
    def next_due(self) -> float:
        """When `elapse` has something to do, as far as is known now."""
        return min(self._due[0][0] if self._due else NEVER, self._mutes.next)

    # ------------------------------------------------------------ what the rules see

    def take(self, watch: Watch, change: Change) -> None:
        """A step of an episode, as its rule sees it."""
        telling = self._tellings.get(watch.number) or self._place(Telling(watch))
        if change.kind == "milestone":
            self._milestone(telling, change)
        elif change.phase is Phase.OPENED:
            telling.opened(change)
            self._opened(telling, change)
            self._fails(watch.about.id, telling)
        elif change.phase in ENDS:
            telling.is_open = False
            self._ended(telling, change)
            self._works(watch.about.id, telling, change.at)
        elif telling.stage is Stage.TOLD:
            self._tell(telling, change)
        self._arm(telling)

    def _place(self, telling: Telling) -> Telling:
        self._tellings[telling.watch.number] = self._by_key[telling.key] = telling
        self._of_device.setdefault(telling.watch.point.device, []).append(telling)
        self._needed.update(map(node_of, telling.watch.rule.keys.needs))
        return telling

    def _milestone(self, telling: Telling, change: Change) -> None:
        """Good news is told once, and has no end."""
        if mute := self._mutes.of(telling.watch):
            mute.miss(telling.watch)
        else:
            self._facts.tell(change)

    def _opened(self, telling: Telling, change: Change) -> None:
        if telling.stage is Stage.TOLD:  # its end has not been told
            telling.again(change.at)
            self._await(telling, change.at)
            return
        telling.begin(change)
        self._present(telling, change, change.at)

    def _present(self, telling: Telling, change: Change, at: float) -> None:
        """An opening that has not been told: mute it, hold it, or tell it."""
        if self._mutes.of(telling.watch):
            telling.stage = Stage.MUTED
        elif (cause := self._cause(telling)) is not None:
            self._attach(telling, cause)
        elif any(self._explaining(telling)):
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
        affected, behind = self._behind(telling.watch.about, at)
        self._tell(telling, replace(change, says=says + behind, affected=affected), fault)
        self._hand_over_to(telling, telling.watch.about.id, at)

    def _open_settled(self, telling: Telling, at: float) -> None:
        change = telling.opening
        assert change is not None
        self._open(telling, change, at, self._alone(telling, at))

    def _close(self, telling: Telling) -> None:
        change = telling.closing
        assert change is not None
        if telling.attached:
            what = "1 episode" if telling.attached == 1 else f"{telling.attached} episodes"
            change = replace(change, says=f"{change.says} {what} that it explains had not been told.")
        self._tell(telling, telling.ended(change))
        telling.settled()

    def _tell(self, telling: Telling, change: Change, fault: Fault | None = None) -> None:
        """Let a change leave, under the name and with the severity and the counts of the episode as it has been told."""
        point = change.point
        told = replace(
            change,
            episode=telling.episode,
            kind="hub" if point.device == HUB and change.kind == "problem" else change.kind,
            severity=SEVERER[change.severity] if telling.is_raised else change.severity,
            evidence=change.evidence or self._facts.evidence(point, change.since, change.at),
            openings=telling.openings,
            recurrence=max(1, telling.recurrence),
            caused_by=telling.caused_by,
            fault=fault or change.fault or self._fault(telling),
        )
        telling.kind, telling.severity = told.kind, told.severity
        self._facts.tell(told)

    def _behind(self, point: PointInfo, at: float) -> tuple[int, str]:
        """How many devices are silent because of a node, and a sentence about them."""
        on_it = self._tree.devices(point.id)
        if not on_it:
            return 0, ""
        silent = self._ear.silent(point.id, at)
        if not silent:
            return 0, ""
        if len(on_it) == 1:
            return 1, f" {on_it[0].device_label} behind it is silent."
        names = listed([one.device_label for one in silent])
        number = f"All {len(on_it)}" if len(silent) == len(on_it) else f"{len(silent)} of the {len(on_it)}"
        return len(silent), f" {number} devices behind it are silent: {names}."

    def _fault(self, telling: Telling) -> Fault:
        """What is at fault, by the node that it is about and by what is still well beside that."""
        point = telling.watch.about
        kind = layer(point.id)
        if kind == "device":
            reason = self._beside(point)
        elif kind == "bus":
            reason = self._beside_bus(point)
        else:
            reason = "the hub works; what is beyond it does not" if kind == "network" else "it is the hub itself"
        return Fault(kind, place(point.id), reason)

    def _beside(self, point: PointInfo) -> str:
        wrong = {one.watch.about for one in self._of_device.get(point.device, ()) if one.is_open} - {point}
        others = listed([one.label for one in sorted(wrong)])
        if not others:
            return f"nothing else about {point.device_label} is wrong"
        return f"{others} {'is' if len(wrong) == 1 else 'are'} wrong too"

    def _beside_bus(self, point: PointInfo) -> str:
        others = [bus for bus in self._tree.buses if bus != point.id]
        well = sum(bus not in self._failing and not self._facts.is_suspect(bus) for bus in others)
        devices = self._tree.devices(point.id)
        reason = f"{point.device_label} itself is down: the line, not the {len(devices)} devices on it"
        return f"{reason}; {well} of the {len(others)} other lines {'is' if well == 1 else 'are'} well" if others else reason

    def _alone(self, telling: Telling, at: float) -> Fault | None:
        point = telling.watch.about
        if not telling.watch.absence or layer(point.id) != "device":
            return None
        return self._ear.alone(self._tree.info(f"{point.device}/{STATE}"), at)

    # ------------------------------------------------------------ causes

    def _explaining(self, telling: Telling) -> Iterator[str]:
        """The nodes whose failure would explain an episode, the nearest first."""
        watch = telling.watch
        if watch.absence or layer(watch.about.id) != "device":
            yield from self._tree.above(watch.about.id)
        if watch.rule.keys.needs:
            yield from self._tree.over([node_of(need) for need in watch.rule.keys.needs], but=watch.about.id)

    def _cause(self, telling: Telling) -> Cause | None:
        """What explains an episode, of what is wrong now."""
        if not self._failing:
            return None
        for node in self._explaining(telling):
            for cause in self._failing.get(node, {}).values():
                if self._explains(cause, telling):
                    return cause
        return None

    def _explains(self, cause: Cause, telling: Telling) -> bool:
        """Whether something that is wrong above an episode explains it; it does unless they go round in a circle, or apart."""
        if cause is telling or self._leads_to(cause, telling):
            return False
        if isinstance(cause, Telling):
            return True
        node = self._node(telling)  # what fell silent together explains what did at the same moment, and nothing else
        if layer(node) == "device":
            return self._ear.fits(self._tree.info(node), cause.since, cause.every)
        return cause.since - self._settle <= telling.since <= cause.since + cause.every + self._settle

    def _leads_to(self, cause: Cause, telling: Telling) -> bool:
        """Whether a cause is itself explained by an episode: two that need each other do not explain one another."""
        seen: set[str] = set()
        while isinstance(cause, Telling) and cause.stage is Stage.ATTACHED and cause.cause not in seen:
            seen.add(cause.cause)
            above = self._by_key.get(cause.cause)
            if above is telling:
                return True
            if above is None:
                break
            cause = above
        return False

    def _attach(self, telling: Telling, cause: Cause) -> None:
        telling.stage = Stage.ATTACHED
        telling.opening = None
        telling.due = NEVER
        telling.cause = cause.key
        cause.attached += 1

    def _fails(self, node: str, cause: Cause) -> None:
        """A node fails: what waits to be told and is explained by that is attached."""
        if not self._tree.carries(node) and node not in self._needed:
            return
        self._failing.setdefault(node, {})[cause.key] = cause
        for telling in self._tellings.values():
            waits = telling.stage is Stage.SETTLING or (telling.stage is Stage.ATTACHED and telling.due < NEVER)
            if waits and telling.is_open and (found := self._cause(telling)) is not None:
                self._attach(telling, found)
            elif telling.stage is Stage.TOLD and telling.is_open and telling.caused_by and telling.cause == cause.key:
                telling.due, telling.caused_by = NEVER, cause.episode  # it fails again before this could be handed back

    def _hand_over_to(self, cause: Cause, node: str, at: float) -> None:
        """A cause is told: what has been told already, and began with it rather than long before, is handed over to it."""
        if node not in self._failing and not self._tree.carries(node) and node not in self._needed:
            return
        for telling in list(self._tellings.values()):
            if telling.stage is not Stage.TOLD or not telling.is_open or telling.caused_by or telling is cause:
                continue
            began_with = telling.since + telling.watch.about.every + self._settle >= cause.since
            if began_with and node in self._explaining(telling) and self._explains(cause, telling):
                self._hand_over(telling, cause, self._about(cause), at)
        for group in self._groups.values():
            above = (group.node, *self._tree.above(group.node))
            began_with = group.since + group.every + self._settle >= cause.since
            if group is not cause and group.told and not group.caused_by and node in above and began_with:
                self._facts.tell(group.hand_over(self._tree.info(group.node), self._about(cause), cause.episode, at))

    def _hand_over(self, telling: Telling, cause: Cause, info: PointInfo, at: float) -> None:
        telling.cause, telling.caused_by = cause.key, cause.episode
        change = replace(self._facts.compose(telling.watch, at), phase=Phase.HANDED_OVER, forecast=None, evidence=None)
        says = f"{info.device_label} explains this: {change.says}"
        because = f"{info.device_label} failed no later, and {telling.watch.about.device_label} hangs on it"
        self._tell(telling, replace(change, says=says, because=because), Fault(layer(info.id), place(info.id), because))

    def _works(self, node: str, cause: Cause, at: float) -> None:
        """A node works again: what it explained has a while to follow."""
        wrong = self._failing.get(node, {})
        if wrong.pop(cause.key, None) is not None:
            for telling in self._effects(cause):
                if telling.stage is Stage.ATTACHED or telling.caused_by:
                    slow = telling.caused_by and not telling.watch.absence  # what has warmed up takes about as long to cool
                    telling.due = at + max(self._patience(telling), at - cause.since if slow else 0.0)
                    self._arm(telling)
            for group in self._groups.values():
                if group.told and group.caused_by == cause.episode and group.due == NEVER:
                    group.due = at + max(map(self._patience, self._effects(group)), default=self._grace)
                    self._arm(group)
        if not wrong:
            self._failing.pop(node, None)
        if isinstance(cause, Telling):
            self._follows(cause, at)

    def _await(self, telling: Telling, at: float) -> None:
        """What had been handed over to a cause that is over by now has a while to follow it."""
        if telling.is_open and telling.caused_by and not any(telling.cause in wrong for wrong in self._failing.values()):
            telling.due = at + self._patience(telling)

    def _hand_back(self, telling: Telling, at: float) -> None:
        """Its cause has been over for a while, and it lives on: it has another one, or is a matter of its own."""
        if any(map(self._facts.is_suspect, self._explaining(telling))):  # it may be about to fail again
            telling.due = at + self._patience(telling)
            return
        telling.due = NEVER
        before = self._by_key.get(telling.cause)
        telling.cause = telling.caused_by = ""
        if (cause := self._cause(telling)) is not None:
            self._hand_over(telling, cause, self._about(cause), at)
            return
        label = self._about(before).device_label if before else "What explained this"
        change = replace(self._facts.compose(telling.watch, at), phase=Phase.HANDED_OVER, forecast=None, evidence=None)
        alone = self._alone(telling, at) or self._fault(telling)
        because = f"{label} works again, and this has not followed"
        fault = alone._replace(because=f"{because}; {alone.because}")
        self._tell(telling, replace(change, says=f"{label} does not explain this: {change.says}", because=because), fault)

    def _about(self, cause: Cause) -> PointInfo:
        """What a cause is about."""
        return self._tree.info(cause.node) if isinstance(cause, Together) else cause.watch.about

    def _effects(self, cause: Cause) -> list[Telling]:
        """What a cause explains and is still open."""
        return [one for one in self._tellings.values() if one.is_open and one.cause == cause.key]

    def _patience(self, telling: Telling) -> float:
        """How long a device may take to follow its cause."""
        return max(self._grace, FOLLOW * telling.watch.about.every)

    def _follows(self, telling: Telling, at: float) -> None:
        """One of several that fell silent together is heard again: now it shows whether the others are."""
        group = self._by_key.get(telling.cause)
        if not isinstance(group, Together) or not group.told:
            return
        rest = self._effects(group)
        if not rest:
            self._end_group(group, at)
        elif group.due == NEVER:
            group.due = at + max(map(self._patience, rest))
            self._arm(group)

    def _end_group(self, group: Together, at: float) -> None:
        rest = self._effects(group)
        self._facts.tell(group.close(self._tree.info(group.node), at))
        self._works(group.node, group, at)
        for telling in rest:
            if telling.stage is Stage.ATTACHED:
                telling.due = at  # their time to follow is over
                self._arm(telling)

    # ------------------------------------------------------------ deadlines

    def elapse(self, until: float) -> None:
        """Deal with the deadlines up to a time, in their order."""
        while self.next_due <= until:
            if self._mutes.next <= (self._due[0][0] if self._due else NEVER):
                self._unmute(self._mutes.next)
                continue
            at, key = heapq.heappop(self._due)
            subject = self._by_key.get(key)
            if subject is None or subject.armed != at:
                continue
            subject.armed = NEVER
            if subject.next <= at:
                self._end_group(subject, at) if isinstance(subject, Together) else self._telling_due(subject, at)
            self._arm(subject)

    def _arm(self, subject: Cause) -> None:
        if subject.next < subject.armed:
            subject.armed = subject.next
            heapq.heappush(self._due, (subject.next, subject.key))

    def _telling_due(self, telling: Telling, at: float) -> None:
        if telling.raise_at <= at:
            self._raise(telling, at)
        elif telling.stage is Stage.TOLD and telling.is_open:
            self._hand_back(telling, at)
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
        elif (cause := self._cause(telling)) is not None:
            self._attach(telling, cause)
        elif at < telling.opening.at + PATIENCE * self._settle and any(map(self._facts.is_suspect, self._explaining(telling))):
            telling.due = at + self._settle
        elif not self._find_common(telling, at):
            self._open_settled(telling, at)

    def _find_common(self, telling: Telling, at: float) -> bool:
        """Whether others fell silent at the same moment; then that is told, and this one attached to it."""
        watch = telling.watch
        node = self._node(telling)
        if not watch.absence:
            return False
        info = self._tree.info(node)
        heard = self._facts.heard(info.device)
        if layer(node) == "device" and (heard is None or heard > telling.since):
            return False  # the device speaks: it is the point alone
        silence = self._ear.together(node, telling.since, info.every, at)
        if silence is None or (silence.node in self._groups and self._groups[silence.node].told):
            return False
        group = self._groups.setdefault(silence.node, Together(silence.node))
        self._by_key[group.key] = group
        ids = {one.id for one in silence.silent}
        members = [one for one in self._tellings.values() if one.is_open and one.watch.absence and self._node(one) in ids]
        severity = max((one.watch.rule.keys.severity for one in [telling, *members]), key=SEVERITIES.index)
        times = [heard for one in silence.silent if (heard := self._facts.heard(one.device)) is not None]
        span = (min([telling.since, *times]), max([telling.since, *times]))
        self._facts.tell(group.open(silence, self._tree.info(silence.node), severity, span, at))
        self._attach(telling, group)
        self._fails(group.node, group)
        self._hand_over_to(group, group.node, at)
        return True

    def _node(self, telling: Telling) -> str:
        """The node that an episode is about: a device, for a point of it."""
        point = telling.watch.about
        return point.id if layer(point.id) != "device" else f"{point.device}/{STATE}"

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
        self._tell(telling, replace(change, phase=Phase.WORSENED, because=because))

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
        for telling in self._tellings.values():
            if telling.stage is Stage.MUTED and telling.is_open and not self._mutes.of(telling.watch):
                change = self._facts.compose(telling.watch, at)
                because = f"{change.because}; it was muted, and is still open"
                telling.stage = Stage.QUIET
                self._present(telling, replace(change, because=because), at)
                self._arm(telling)

    # ------------------------------------------------------------ views

    def open_episodes(self) -> Iterator[OpenEpisode]:
        """What has been told as opened and not yet as closed."""
        for _, telling in sorted(self._tellings.items()):
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
        for group in self._groups.values():
            if group.told:
                info = self._tree.info(group.node)
                clearing = group.due != NEVER
                yield OpenEpisode(group.episode, "common-cause", info, group.severity, group.since, clearing, "", group.caused_by)

    def withheld(self) -> Iterator[Withheld]:
        """What is open and not told, with the reason."""
        for _, telling in sorted(self._tellings.items()):
            if telling.is_open and telling.stage in (Stage.SETTLING, Stage.ATTACHED, Stage.MUTED):
                cause = self._by_key.get(telling.cause)
                why = cause.episode if cause and telling.stage is Stage.ATTACHED else telling.stage.value
                yield Withheld(telling.watch.rule.id, telling.watch.about, telling.since, why)

    # ------------------------------------------------------------ across a restart

    def memory_of(self, watch: Watch) -> dict[str, Any] | None:
        """What must survive about one rule on one point, as plain data; None for nothing."""
        telling = self._tellings.get(watch.number)
        return telling.memory() if telling else None

    def memory(self) -> dict[str, Any]:
        """Everything else that must survive."""
        return {"groups": {node: group.memory() for node, group in self._groups.items()}, "mutes": self._mutes.memory()}

    def recall_of(self, watch: Watch, memory: Mapping[str, Any], shift: float, off: float) -> None:
        """Take up what `memory_of` gave."""
        telling = self._place(Telling(watch))
        telling.recall(memory, shift)
        telling.due += off
        telling.raise_at += off

    def recall(self, memory: Mapping[str, Any], shift: float, off: float, now: float) -> None:
        """Take up what `memory` gave, after all that `memory_of` did."""
        for node, kept in memory["groups"].items():
            group = self._groups[node] = Together(node)
            group.recall(kept, shift)
            group.due += off
            self._by_key[group.key] = group
        self._mutes.recall(memory["mutes"], shift, now)
        self._settle_in(now)

    def _settle_in(self, now: float) -> None:
        """After a restart: what fails is known from the episodes; what hung on something that is no more is on its own."""
        for telling in self._tellings.values():
            node = telling.watch.about.id
            if telling.is_open and (self._tree.carries(node) or node in self._needed):
                self._failing.setdefault(node, {})[telling.key] = telling
        for group in self._groups.values():
            if group.told:
                self._failing.setdefault(group.node, {})[group.key] = group
                if not self._effects(group):
                    group.due = now
        failing = {key for wrong in self._failing.values() for key in wrong}
        for telling in self._tellings.values():
            if telling.stage is Stage.ATTACHED and telling.due == NEVER and telling.cause not in failing:
                telling.due = now + self._patience(telling)
            elif telling.stage is Stage.TOLD and telling.due == NEVER:
                self._await(telling, now)
        for subject in self._by_key.values():
            self._arm(subject)


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

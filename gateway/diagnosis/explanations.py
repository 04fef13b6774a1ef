"""Between a cause and what it explains: attaching, handing over, handing back; and the cause that several have in common.

Promises
- What a cause explains and has not been told is attached to it and counted there; what has been told is handed over to it.
- When a cause is over, what it explained has a while to follow. What lives on then goes to another cause, or is on its own.
- Several that fell silent together are told as one episode, which ends when all are heard again, or when the rest are on their own.
"""

from collections.abc import Callable

from msgspec.structs import replace

from gateway.diagnosis.causes import SEVERITIES, Surroundings, Together, layer, place
from gateway.diagnosis.contract import Fault, Phase, PointInfo
from gateway.diagnosis.situation import Cause, Facts, Situation
from gateway.diagnosis.telling import Stage, Telling
from gateway.diagnosis.voice import Voice
from gateway.diagnosis.watch import NEVER


class Explanations:
    """What happens when something above an episode fails, is told and works again. `arm` is told of each new deadline."""

    def __init__(
        self, facts: Facts, surroundings: Surroundings, situation: Situation, voice: Voice, arm: Callable[[Cause], None]
    ) -> None:
        self._facts = facts
        self._situation = situation
        self._voice = voice
        self._arm = arm
        self._settle = surroundings.settle
        self._grace = surroundings.grace

    # ------------------------------------------------------------ a cause comes

    def attach(self, telling: Telling, cause: Cause) -> None:
        """Tell nothing of an episode while its cause is open."""
        telling.stage = Stage.ATTACHED
        telling.opening = None
        telling.due = NEVER
        telling.cause = cause.key
        cause.attached += 1

    def fails(self, node: str, cause: Cause) -> None:
        """A node fails: what waits to be told and is explained by that is attached."""
        if not self._situation.bears(node):
            return
        self._situation.fails(node, cause)
        for telling in self._situation.tellings.values():
            waits = telling.stage is Stage.SETTLING or (telling.stage is Stage.ATTACHED and telling.due < NEVER)
            if waits and telling.is_open and (found := self._situation.cause(telling)) is not None:
                self.attach(telling, found)
            elif telling.stage is Stage.TOLD and telling.is_open and telling.caused_by and telling.cause == cause.key:
                telling.due, telling.caused_by = NEVER, cause.episode  # it fails again before this could be handed back

    def take_over(self, cause: Cause, node: str, at: float) -> None:
        """A cause is told: what has been told already, and began with it rather than long before, is handed over to it."""
        if not self._situation.is_failing(node) and not self._situation.bears(node):
            return
        for telling in list(self._situation.tellings.values()):
            if telling.stage is not Stage.TOLD or not telling.is_open or telling.caused_by or telling is cause:
                continue
            began_with = telling.since + telling.watch.about.every + self._settle >= cause.since
            if began_with and node in self._situation.explaining(telling) and self._situation.explains(cause, telling):
                self._hand_over(telling, cause, self._situation.about(cause), at)
        for group in self._situation.groups.values():
            above = (group.node, *self._situation.tree.above(group.node))
            began_with = group.since + group.every + self._settle >= cause.since
            if group is not cause and group.told and not group.caused_by and node in above and began_with:
                info = self._situation.tree.info(group.node)
                self._facts.tell(group.hand_over(info, self._situation.about(cause), cause.episode, at))

    def _hand_over(self, telling: Telling, cause: Cause, info: PointInfo, at: float) -> None:
        telling.cause, telling.caused_by = cause.key, cause.episode
        change = replace(self._facts.compose(telling.watch, at), phase=Phase.HANDED_OVER, forecast=None, evidence=None)
        says = f"{info.device_label} explains this: {change.says}"
        because = f"{info.device_label} failed no later, and {telling.watch.about.device_label} hangs on it"
        self._voice.tell(telling, replace(change, says=says, because=because), Fault(layer(info.id), place(info.id), because))

    # ------------------------------------------------------------ a cause goes

    def works(self, node: str, cause: Cause, at: float) -> None:
        """A node works again: what it explained has a while to follow."""
        if self._situation.works(node, cause):
            for telling in self._situation.effects(cause):
                if telling.stage is Stage.ATTACHED or telling.caused_by:
                    slow = telling.caused_by and not telling.watch.absence  # what has warmed up takes about as long to cool
                    telling.due = at + max(self._situation.patience(telling), at - cause.since if slow else 0.0)
                    self._arm(telling)
            for group in self._situation.groups.values():
                if group.told and group.caused_by == cause.episode and group.due == NEVER:
                    group.due = at + max(map(self._situation.patience, self._situation.effects(group)), default=self._grace)
                    self._arm(group)
        if isinstance(cause, Telling):
            self._follows(cause, at)

    def wait(self, telling: Telling, at: float) -> None:
        """What had been handed over to a cause that is over by now has a while to follow it."""
        if telling.is_open and telling.caused_by and self._situation.is_over(telling.cause):
            telling.due = at + self._situation.patience(telling)

    def hand_back(self, telling: Telling, at: float) -> None:
        """Its cause has been over for a while, and it lives on: it has another one, or is a matter of its own."""
        if self._situation.is_in_doubt(telling):  # it may be about to fail again
            telling.due = at + self._situation.patience(telling)
            return
        telling.due = NEVER
        before = self._situation.by_key.get(telling.cause)
        telling.cause = telling.caused_by = ""
        if (cause := self._situation.cause(telling)) is not None:
            self._hand_over(telling, cause, self._situation.about(cause), at)
            return
        label = self._situation.about(before).device_label if before else "What explained this"
        change = replace(self._facts.compose(telling.watch, at), phase=Phase.HANDED_OVER, forecast=None, evidence=None)
        alone = self._voice.alone(telling, at) or self._voice.fault(telling)
        because = f"{label} works again, and this has not followed"
        fault = alone._replace(because=f"{because}; {alone.because}")
        self._voice.tell(telling, replace(change, says=f"{label} does not explain this: {change.says}", because=because), fault)

    # ------------------------------------------------------------ several at once

    def find_common(self, telling: Telling, at: float) -> bool:
        """Whether others fell silent at the same moment; then that is told, and this one attached to it."""
        watch = telling.watch
        node = self._situation.node(telling)
        if not watch.absence:
            return False
        info = self._situation.tree.info(node)
        heard = self._facts.heard(info.device)
        if layer(node) == "device" and (heard is None or heard > telling.since):
            return False  # the device speaks: it is the point alone
        silence = self._situation.ear.together(node, telling.since, info.every, at)
        if silence is None or (silence.node in self._situation.groups and self._situation.groups[silence.node].told):
            return False
        group = self._situation.group(silence.node)
        members = [telling, *self._situation.silent_of(silence)]
        severity = max((one.watch.rule.keys.severity for one in members), key=SEVERITIES.index)
        times = [heard for one in silence.silent if (heard := self._facts.heard(one.device)) is not None]
        span = (min([telling.since, *times]), max([telling.since, *times]))
        self._facts.tell(group.open(silence, self._situation.tree.info(silence.node), severity, span, at))
        self.attach(telling, group)
        self.fails(group.node, group)
        self.take_over(group, group.node, at)
        return True

    def _follows(self, telling: Telling, at: float) -> None:
        """One of several that fell silent together is heard again: now it shows whether the others are."""
        group = self._situation.by_key.get(telling.cause)
        if not isinstance(group, Together) or not group.told:
            return
        rest = self._situation.effects(group)
        if not rest:
            self.end_group(group, at)
        elif group.due == NEVER:
            group.due = at + max(map(self._situation.patience, rest))
            self._arm(group)

    def end_group(self, group: Together, at: float) -> None:
        """Those that fell silent together are heard again, or have had their time to follow."""
        rest = self._situation.effects(group)
        self._facts.tell(group.close(self._situation.tree.info(group.node), at))
        self.works(group.node, group, at)
        for telling in rest:
            if telling.stage is Stage.ATTACHED:
                telling.due = at  # their time to follow is over
                self._arm(telling)

    # ------------------------------------------------------------ across a restart

    def settle_in(self, now: float) -> None:
        """After a restart: what fails is known from the episodes; what hung on something that is no more is on its own."""
        for telling in self._situation.tellings.values():
            node = telling.watch.about.id
            if telling.is_open and self._situation.bears(node):
                self._situation.fails(node, telling)
        for group in self._situation.groups.values():
            if group.told:
                self._situation.fails(group.node, group)
                if not self._situation.effects(group):
                    group.due = now
        for telling in self._situation.tellings.values():
            if telling.stage is Stage.ATTACHED and telling.due == NEVER and self._situation.is_over(telling.cause):
                telling.due = now + self._situation.patience(telling)
            elif telling.stage is Stage.TOLD and telling.due == NEVER:
                self.wait(telling, now)
        for subject in self._situation.by_key.values():
            self._arm(subject)

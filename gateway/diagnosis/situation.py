"""What is wrong now, and what of it explains what.

A node fails while an episode about it is open, or while all that hangs on it is silent at once. What fails explains the episodes
below it, and those of the rules that need it, unless they go round in a circle, or are apart in time. The nearest cause counts.

Nothing here is told or changes what is told: that is for `explanations` and `teller`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias

from gateway.diagnosis.causes import Ear, Silence, Surroundings, Together, Tree, layer, node_of
from gateway.diagnosis.contract import STATE, Change, Evidence, PointInfo
from gateway.diagnosis.telling import Stage, Telling
from gateway.diagnosis.watch import Watch

FOLLOW = 2.0  # of its own periods that a device has to follow its cause, where that is longer than `grace`


class Facts(Protocol):
    """What those who tell ask the engine."""

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


class Situation:
    """All tellings of an engine, the groups among them, and the nodes that fail."""

    def __init__(self, facts: Facts, surroundings: Surroundings, points: Sequence[PointInfo]) -> None:
        self.tree = Tree(surroundings.parents, points)
        self.ear = Ear(self.tree, facts.heard, surroundings.settle)
        self.tellings: dict[int, Telling] = {}  # by the number of the watch
        self.groups: dict[str, Together] = {}  # by node
        self.by_key: dict[str, Cause] = {}
        self._facts = facts
        self._settle = surroundings.settle
        self._grace = surroundings.grace
        self._of_device: dict[str, list[Telling]] = {}
        self._failing: dict[str, dict[str, Cause]] = {}  # node -> what is wrong with it, by key
        self._needed: set[str] = set()  # nodes that some rule needs, beyond what the tree says

    # ------------------------------------------------------------ who is who

    def place(self, telling: Telling) -> Telling:
        """Take up the telling of a watch; returns it."""
        self.tellings[telling.watch.number] = self.by_key[telling.key] = telling
        self._of_device.setdefault(telling.watch.point.device, []).append(telling)
        self._needed.update(map(node_of, telling.watch.rule.keys.needs))
        return telling

    def group(self, node: str) -> Together:
        """The group of a node, which is there from then on."""
        group = self.groups.setdefault(node, Together(node))
        self.by_key[group.key] = group
        return group

    def about(self, cause: Cause) -> PointInfo:
        """What a cause is about."""
        return self.tree.info(cause.node) if isinstance(cause, Together) else cause.watch.about

    def node(self, telling: Telling) -> str:
        """The node that an episode is about: a device, for a point of it."""
        point = telling.watch.about
        return point.id if layer(point.id) != "device" else f"{point.device}/{STATE}"

    def beside(self, telling: Telling) -> set[PointInfo]:
        """What else is wrong about the device of an episode."""
        wrong = {one.watch.about for one in self._of_device.get(telling.watch.about.device, ()) if one.is_open}
        return wrong - {telling.watch.about}

    # ------------------------------------------------------------ what fails

    def bears(self, node: str) -> bool:
        """Whether anything hangs on a node, or needs it."""
        return self.tree.carries(node) or node in self._needed

    def is_failing(self, node: str) -> bool:
        """Whether something is wrong with a node that explains other things."""
        return node in self._failing

    def fails(self, node: str, cause: Cause) -> None:
        """Something is wrong with a node from now on."""
        self._failing.setdefault(node, {})[cause.key] = cause

    def works(self, node: str, cause: Cause) -> bool:
        """A node is well again in this respect; returns whether it was not."""
        wrong = self._failing.get(node, {})
        was_wrong = wrong.pop(cause.key, None) is not None
        if not wrong:
            self._failing.pop(node, None)
        return was_wrong

    def is_over(self, key: str) -> bool:
        """Whether a cause is over by now."""
        return not any(key in wrong for wrong in self._failing.values())

    # ------------------------------------------------------------ what explains what

    def explaining(self, telling: Telling) -> Iterator[str]:
        """The nodes whose failure would explain an episode, the nearest first."""
        watch = telling.watch
        if watch.absence or layer(watch.about.id) != "device":
            yield from self.tree.above(watch.about.id)
        if watch.rule.keys.needs:
            yield from self.tree.over([node_of(need) for need in watch.rule.keys.needs], but=watch.about.id)

    def is_in_doubt(self, telling: Telling) -> bool:
        """Whether a node may be about to fail that would explain an episode."""
        return any(map(self._facts.is_suspect, self.explaining(telling)))

    def cause(self, telling: Telling) -> Cause | None:
        """What explains an episode, of what is wrong now."""
        if not self._failing:
            return None
        for node in self.explaining(telling):
            for cause in self._failing.get(node, {}).values():
                if self.explains(cause, telling):
                    return cause
        return None

    def explains(self, cause: Cause, telling: Telling) -> bool:
        """Whether something that is wrong above an episode explains it; it does unless they go round in a circle, or apart."""
        if cause is telling or self._leads_to(cause, telling):
            return False
        if isinstance(cause, Telling):
            return True
        node = self.node(telling)  # what fell silent together explains what did at the same moment, and nothing else
        if layer(node) == "device":
            return self.ear.fits(self.tree.info(node), cause.since, cause.every)
        return cause.since - self._settle <= telling.since <= cause.since + cause.every + self._settle

    def _leads_to(self, cause: Cause, telling: Telling) -> bool:
        """Whether a cause is itself explained by an episode: two that need each other do not explain one another."""
        seen: set[str] = set()
        while isinstance(cause, Telling) and cause.stage is Stage.ATTACHED and cause.cause not in seen:
            seen.add(cause.cause)
            above = self.by_key.get(cause.cause)
            if above is telling:
                return True
            if above is None:
                break
            cause = above
        return False

    def effects(self, cause: Cause) -> list[Telling]:
        """What a cause explains and is still open."""
        return [one for one in self.tellings.values() if one.is_open and one.cause == cause.key]

    def silent_of(self, silence: Silence) -> list[Telling]:
        """The open episodes that are part of a silence of several."""
        ids = {one.id for one in silence.silent}
        return [one for one in self.tellings.values() if one.is_open and one.watch.absence and self.node(one) in ids]

    def patience(self, telling: Telling) -> float:
        """How long a device may take to follow its cause."""
        return max(self._grace, FOLLOW * telling.watch.about.every)

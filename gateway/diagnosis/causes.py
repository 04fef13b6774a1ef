"""What explains what: the tree of what hangs on what, and what a silence of several at once points to.

    hub/power, hub/* -> hub/network -> bus.plant/state -> freezer-1/state -> freezer-1/core_temp
    hub/clock, hub/network -> hub/uplink                whatever `needs` says -> whoever needs it

Nodes are point ids; a node has failed while a rule is unhappy about that point. The tree is plain data: the parents of each node.

Several devices that fall silent at one moment have a common cause, though nothing above them has failed that the hub can see: a
cut line, a fuse, a connector. Here is how that is found. A device that was last heard at time h and should be heard every p seconds
fell silent between h and h + p. Devices fell silent together if one moment fits all of them, give or take the settling time. Of the
nodes above, the one is at fault all of whose devices did; or else the lowest one that holds all that did, if at least three did.

Assumes that failures of devices by themselves are rare, so that two within seconds are not a coincidence.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.diagnosis.contract import HUB, STATE, Change, Fault, Layer, Phase, PointInfo, RuleKeys, Severity
from gateway.diagnosis.mute import Wall, Window
from gateway.diagnosis.watch import NEVER
from gateway.diagnosis.words import duration, listed

MANY = 3  # silent devices of several, of which some answer, are a common cause

COMMON = "common-cause"
SHARED: dict[Layer, tuple[str, str]] = {  # where to look when some fell silent together, and when all did
    "device": ("", ""),
    "bus": ("a cable, a connector or what powers these", "the line: its cable, its power or its adapter"),
    "network": ("the part of the network that these are on", "the network"),
    "hub": ("what these share beside the hub", "the hub, or what powers them all"),
    "energy": ("", ""),
}
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


def unknown(at: float) -> None:
    """The local time where nobody tells it."""


class Surroundings(NamedTuple):
    """What the hub knows of the place that it is in, beyond points and rules. Times in seconds."""

    parents: Mapping[str, Sequence[str]] = {}  # node -> what it hangs on, the nearest first
    settle: float = 15.0  # how long an opening is held that something else may explain
    grace: float = 600.0  # how long what was explained may stay silent after its cause is over
    windows: Mapping[str, Window] = {}
    wall: Wall = unknown


class Tree:
    """Who hangs on whom."""

    def __init__(self, parents: Mapping[str, Sequence[str]], points: Sequence[PointInfo]) -> None:
        self._parents = parents
        self._above: dict[str, tuple[str, ...]] = {}
        self._infos = {point.id: point for point in points if point.name == STATE or point.device == HUB or point.id in parents}
        self._carriers = {parent for several in parents.values() for parent in several} | set(parents)
        self.buses = tuple(node for node in parents if node.startswith("bus."))
        self._devices: dict[str, list[PointInfo]] = {}
        for node in parents:
            info = self._infos.get(node)
            if info and info.name == STATE and info.bus:
                for above in self.above(node):
                    self._devices.setdefault(above, []).append(info)

    def above(self, node: str) -> tuple[str, ...]:
        """All that a node hangs on, the nearest first. A point hangs on its device."""
        found = self._above.get(node)
        if found is None:
            device, _, name = node.rpartition("/")
            state = f"{device}/{STATE}"
            parents = self._parents.get(node) or ((state,) if name != STATE and state in self._parents else ())
            found = self.over(parents, but=node)
            if node in self._parents:
                self._above[node] = found
        return found

    def over(self, nodes: Sequence[str], but: str = "") -> tuple[str, ...]:
        """These nodes and all that they hang on, level by level."""
        found: dict[str, None] = {}
        level = list(nodes)
        while level:
            fresh = [node for node in dict.fromkeys(level) if node not in found and node != but]
            found.update(dict.fromkeys(fresh))
            level = [parent for node in fresh for parent in self._parents.get(node, ())]
        return tuple(found)

    def carries(self, node: str) -> bool:
        """Whether anything hangs on a node."""
        return node in self._carriers

    def devices(self, node: str) -> Sequence[PointInfo]:
        """The states of the devices that hang on a node."""
        return self._devices.get(node, ())

    def info(self, node: str) -> PointInfo:
        """A node as a point."""
        device, _, name = node.rpartition("/")
        label = "the hub" if device == HUB else device
        return self._infos.get(node) or PointInfo(node, device, name, "", f"{label} {name}", label)


def layer(node: str) -> Layer:
    """Which layer a node is of."""
    if node in (f"{HUB}/uplink", f"{HUB}/network"):
        return "network"
    if node.startswith(f"{HUB}/"):
        return "hub"
    return "bus" if node.startswith("bus.") else "device"


def place(node: str) -> str:
    """A node in the words of an owner's `covers`, but for "device."."""
    device, _, name = node.rpartition("/")
    return f"{HUB}.{name}" if device == HUB and name != "*" else device


def node_of(need: str) -> str:
    """The node that somebody needs: "bus.plant" and "device.boiler" stand for their states."""
    return need if "/" in need else f"{need.removeprefix('device.')}/{STATE}"


class Silence(NamedTuple):
    """Devices that fell silent together, and the node that explains it."""

    node: str
    silent: tuple[PointInfo, ...]
    devices: int  # on that node

    @property
    def is_whole(self) -> bool:
        """Whether none of them answers."""
        return len(self.silent) == self.devices


class Ear:
    """When devices were last heard, and what that says. `heard` tells it of a device by its name; None where it has no points."""

    def __init__(self, tree: Tree, heard: Callable[[str], float | None], slack: float) -> None:
        self._tree = tree
        self._heard = heard
        self._slack = slack

    def silent(self, node: str, at: float) -> list[PointInfo]:
        """The devices on a node that should have been heard by now and have not."""
        return [info for info in self._tree.devices(node) if self._is_overdue(info, at)]

    def _is_overdue(self, info: PointInfo, at: float) -> bool:
        heard = self._heard(info.device)
        return heard is not None and at - heard > info.every + self._slack

    def fits(self, info: PointInfo, since: float, every: float) -> bool:
        """Whether a device fell silent together with another, which did at `since` or at most `every` seconds later."""
        heard = self._heard(info.device)
        return heard is not None and heard <= since + every + self._slack and since <= heard + info.every + self._slack

    def together(self, node: str, since: float, every: float, at: float) -> Silence | None:
        """What a silence of one that began at `since` shares with others; None where it is alone.

        A bus that is down explains its own devices: only what is silent beside them points further up.
        """
        own = max(1, len(self.silent(node, at)))
        whole: Silence | None = None
        some: Silence | None = None
        for above in self._tree.above(node):
            on_it = self._tree.devices(above)
            silent = tuple(info for info in on_it if self._is_overdue(info, at) and self.fits(info, since, every))
            found = Silence(above, silent, len(on_it))
            if found.is_whole and len(silent) > (len(whole.silent) if whole else own):
                whole = found
            elif len(silent) > (len(some.silent) if some else max(own, MANY - 1)):
                some = found
        if whole and some and len(some.silent) >= len(whole.silent) + MANY:
            return some
        return whole or some

    def alone(self, info: PointInfo, at: float) -> Fault | None:
        """The fault of a device that is silent by itself: that its neighbours answer; None where it has none."""
        for above in self._tree.above(info.id):
            others = [one for one in self._tree.devices(above) if one.id != info.id]
            if not others:
                continue
            silent = sum(self._is_overdue(one, at) for one in others)
            if silent == len(others):
                continue
            bus = self._tree.info(above).device_label
            number = f"{len(others) - silent} of the {len(others)} other devices" if len(others) > 1 else "the other device"
            verb = "answers" if len(others) == 1 or len(others) - silent == 1 else "answer"
            return Fault("device", info.device, f"{number} on {bus} {verb}: the device, not the line")
        return None


class Together:
    """The episode of several devices that fell silent at one moment; a cause like any other, which no rule has found."""

    __slots__ = ("armed", "attached", "caused_by", "count", "due", "every", "node", "opened_at", "severity", "since", "told")

    stage = "told"

    def __init__(self, node: str) -> None:
        self.node = node
        self.count = 0  # episodes so far
        self.told = False
        self.since = self.opened_at = 0.0
        self.every = 0.0  # s after `since` within which the moment lay
        self.severity: Severity = "warning"
        self.attached = 0
        self.caused_by = ""
        self.due = NEVER  # once some are heard again: when the others are on their own
        self.armed = NEVER

    @property
    def key(self) -> str:
        """Its name among all causes."""
        return f"{COMMON}:{self.node}"

    @property
    def episode(self) -> str:
        """The name under which it is told."""
        return f"{self.key}#{self.count}"

    @property
    def next(self) -> float:
        """Its next deadline."""
        return self.due

    def open(self, silence: Silence, info: PointInfo, severity: Severity, span: tuple[float, float], at: float) -> Change:
        """It begins: `span` is from when the first was last heard to when the last was."""
        self.count += 1
        self.told = True
        self.since, self.opened_at = span[0], at
        self.every = span[1] - span[0]
        self.severity = severity
        self.attached, self.caused_by, self.due = 0, "", NEVER
        number, label = len(silence.silent), info.device_label
        names = listed([one.device_label for one in silence.silent])
        all_of_them = "Both" if number == 2 else f"All {number}"
        each = f"{all_of_them} devices" if silence.is_whole else f"{number} of {silence.devices} devices"
        within = f" within {duration(max(self.every, 1.0))}"
        where = "and what they share is" if silence.is_whole else "and the others answer, so look at"
        what = SHARED[layer(self.node)][silence.is_whole] or label
        because = f"each fell silent at the same moment, {where} {what}"
        fault = Fault(layer(self.node), place(self.node), f"{number} of {silence.devices} devices on {label} fell silent together")
        says = f"{each} on {label} fell silent{within}: {names}."
        return self._change(info, Phase.OPENED, at, says, because, len(silence.silent), fault)

    def close(self, info: PointInfo, at: float) -> Change:
        """It ends."""
        says = f"Devices on {info.device_label} that fell silent together are heard again after {duration(at - self.since)}."
        change = self._change(info, Phase.CLOSED, at, says, "what it explained is over, or is looked at by itself from now on", 0)
        self.told = False
        self.due = NEVER
        return change

    def hand_over(self, info: PointInfo, cause: PointInfo, episode: str, at: float) -> Change:
        """What explains it has been found after all."""
        self.caused_by = episode
        because = f"{cause.device_label} failed no later, and {info.device_label} hangs on it"
        if cause.id == info.id:
            because = f"{cause.device_label} itself has failed"
        fault = Fault(layer(cause.id), place(cause.id), because)
        says = f"{cause.device_label} explains what fell silent together."
        return self._change(info, Phase.HANDED_OVER, at, says, because, 0, fault)

    def _change(
        self, info: PointInfo, phase: Phase, at: float, says: str, because: str, affected: int, fault: Fault | None = None
    ) -> Change:
        return Change(
            episode=self.episode,
            rule_id=COMMON,
            rule=RuleKeys(kind=COMMON, on=(info.id,), severity=self.severity),
            point=info,
            kind="problem",
            phase=phase,
            severity=self.severity,
            at=at,
            since=self.since,
            value=None,
            says=says,
            because=because,
            how="by itself" if phase is Phase.CLOSED else "",
            affected=affected,
            caused_by=self.caused_by,
            fault=fault or Fault(layer(self.node), place(self.node), "they fell silent together"),
        )

    def memory(self) -> dict[str, Any]:
        """Itself as plain data."""
        names = ("count", "told", "since", "opened_at", "every", "severity", "attached", "caused_by")
        return {"due": None if self.due == NEVER else self.due, **{name: getattr(self, name) for name in names}}

    def recall(self, memory: Mapping[str, Any], shift: float) -> None:
        """Take up what `memory` gave."""
        for name, value in memory.items():
            setattr(self, name, value)
        self.since += shift
        self.opened_at += shift
        self.due = NEVER if memory["due"] is None else memory["due"] + shift

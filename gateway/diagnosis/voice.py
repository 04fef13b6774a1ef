"""How a change leaves: under the name of its episode as it has been told, with what is at fault and what is silent behind it.

What is at fault is the node that an episode is about; the reason is what is still well beside it.
"""

from msgspec.structs import replace

from gateway.diagnosis.causes import layer, place
from gateway.diagnosis.contract import HUB, STATE, Change, Fault, PointInfo
from gateway.diagnosis.episode import SEVERER
from gateway.diagnosis.situation import Facts, Situation
from gateway.diagnosis.telling import Telling
from gateway.diagnosis.words import listed


class Voice:
    """What lets changes leave the engine."""

    def __init__(self, facts: Facts, situation: Situation) -> None:
        self._facts = facts
        self._situation = situation

    def tell(self, telling: Telling, change: Change, fault: Fault | None = None) -> None:
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
            fault=fault or change.fault or self.fault(telling),
        )
        telling.kind, telling.severity = told.kind, told.severity
        self._facts.tell(told)

    def behind(self, point: PointInfo, at: float) -> tuple[int, str]:
        """How many devices are silent because of a node, and a sentence about them."""
        on_it = self._situation.tree.devices(point.id)
        if not on_it:
            return 0, ""
        silent = self._situation.ear.silent(point.id, at)
        if not silent:
            return 0, ""
        if len(on_it) == 1:
            return 1, f" {on_it[0].device_label} behind it is silent."
        names = listed([one.device_label for one in silent])
        number = f"All {len(on_it)}" if len(silent) == len(on_it) else f"{len(silent)} of the {len(on_it)}"
        return len(silent), f" {number} devices behind it are silent: {names}."

    def fault(self, telling: Telling) -> Fault:
        """What is at fault, by the node that it is about and by what is still well beside that."""
        point = telling.watch.about
        kind = layer(point.id)
        if kind == "device":
            reason = self._beside(telling)
        elif kind == "bus":
            reason = self._beside_bus(point)
        else:
            reason = "the hub works; what is beyond it does not" if kind == "network" else "it is the hub itself"
        return Fault(kind, place(point.id), reason)

    def _beside(self, telling: Telling) -> str:
        wrong = self._situation.beside(telling)
        others = listed([one.label for one in sorted(wrong)])
        if not others:
            return f"nothing else about {telling.watch.about.device_label} is wrong"
        return f"{others} {'is' if len(wrong) == 1 else 'are'} wrong too"

    def _beside_bus(self, point: PointInfo) -> str:
        others = [bus for bus in self._situation.tree.buses if bus != point.id]
        well = sum(not self._situation.is_failing(bus) and not self._facts.is_suspect(bus) for bus in others)
        devices = self._situation.tree.devices(point.id)
        reason = f"{point.device_label} itself is down: the line, not the {len(devices)} devices on it"
        return f"{reason}; {well} of the {len(others)} other lines {'is' if well == 1 else 'are'} well" if others else reason

    def alone(self, telling: Telling, at: float) -> Fault | None:
        """The fault of a device that is silent by itself; None where it is another matter, or has no neighbours."""
        point = telling.watch.about
        if not telling.watch.absence or layer(point.id) != "device":
            return None
        return self._situation.ear.alone(self._situation.tree.info(f"{point.device}/{STATE}"), at)

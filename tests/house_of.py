"""A small house for tests of what hangs on what: devices on buses on a hub, that fail and recover as a test wants."""

import json
from typing import Any

from rules_of import rule

from drivers.contract import Batch
from gateway.config.units import convert
from gateway.diagnosis.causes import Surroundings
from gateway.diagnosis.contract import Change, PointInfo, RuleKeys
from gateway.diagnosis.engine import Engine

EVERY, AFTER, SETTLE, GRACE = 5.0, 20.0, 6.0, 60.0
RULES: dict[str, RuleKeys] = {
    "device-silent": rule("silent", "[!b]*/state", after=AFTER),
    "bus-down": rule("silent", "bus.*/state", after=10.0),
    "power": rule("threshold", "hub/power", below=1),
}


def info(point_id: str, bus: str = "", type: str = "text") -> PointInfo:  # noqa: A002
    device, name = point_id.split("/")
    title = {"bus.": f"bus {device[4:]}", "hub": "the hub"}.get(device[:4].split("/")[0], device)
    return PointInfo(point_id, device, name, "", f"{title} {name}", title, type, bus, EVERY if bus else 0.0)


class House:
    """Buses by name with the names of their devices; each device is read every EVERY seconds, unless something is wrong."""

    def __init__(self, buses: dict[str, list[str]], rules: dict[str, RuleKeys] | None = None, **more: Any) -> None:
        self.rules = RULES if rules is None else rules
        self.bus_of = {device: bus for bus, devices in buses.items() for device in devices}
        self.points = [info("hub/power", type="flag")]
        parents: dict[str, tuple[str, ...]] = {"hub/*": ("hub/power",)}
        for bus, devices in buses.items():
            self.points.append(info(f"bus.{bus}/state"))
            parents[f"bus.{bus}/state"] = ("hub/*",)
            for device in devices:
                self.points += [info(f"{device}/x", bus, "number"), info(f"{device}/state", bus)]
                parents[f"{device}/state"] = (*more.get("needs", {}).get(device, ()), f"bus.{bus}/state")
        self.surroundings = Surroundings(parents, SETTLE, GRACE, more.get("windows", {}), more.get("wall", lambda _: None))
        self.now = 0.0
        self.wrong: set[str] = (
            set()
        )  # devices, "bus.NAME" (the port is gone), "line.NAME" (the port is there, the line is cut), "hub"
        self.told: list[Change] = []
        self.engine = self.build()

    def build(self) -> Engine:
        return Engine(self.rules, self.points, convert, self.now, surroundings=self.surroundings)

    def restart(self) -> None:
        """Save, through JSON, and go on with a new engine."""
        state = json.loads(json.dumps(self.engine.state()))
        self.engine = self.build()
        self.told += self.engine.restore(state)

    def fail(self, *what: str) -> "House":
        for each in what:
            self.wrong.add(each)
            if each.startswith("bus."):
                self._feed(each, "state", "down")
            if each == "hub":
                self._feed("hub", "power", False)
        return self

    def mend(self, *what: str) -> "House":
        for each in what:
            self.wrong.discard(each)
            if each.startswith("bus."):
                self._feed(each, "state", "well")
            if each == "hub":
                self._feed("hub", "power", True)
        return self

    def run(self, seconds: float) -> "House":
        """Let time pass: a device is asked in its turn, spread over EVERY."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            self.told += self.engine.tick(self.now - 0.25)
            for number, (device, bus) in enumerate(self.bus_of.items()):
                answers = not self.wrong & {device, f"bus.{bus}", f"line.{bus}", "hub"}
                if (self.now - number * 0.5) % EVERY == 0 and answers:
                    self._feed(device, "x", self.now, at=self.now + number / 1024)
        return self

    def _feed(self, device: str, point: str, value: Any, at: float | None = None) -> None:
        self.told += self.engine.feed(Batch(device, self.now if at is None else at, (point,), (value,)))

    def said(self) -> list[tuple[str, str]]:
        """What was told: about what, and which step."""
        return [(change.point.id, change.phase.value) for change in self.told]

    def take(self) -> list[Change]:
        """What was told since the last time."""
        told, self.told = self.told, []
        return told

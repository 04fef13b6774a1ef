"""Buses and devices: whose keys are whose, which profile a device follows, and whether the driver is content.

A device is read as one table that holds what all devices have, what its driver adds, and its points. A profile lies beneath that
table: what is written inline wins, point by point and key by key.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import drivers
from drivers.contract import BusSpec, DeviceSpec, Driver, Keys
from gateway.config.findings import Findings
from gateway.config.fragments import Sections
from gateway.config.model import Bus, BusConfig, Device, DeviceConfig
from gateway.config.points import check_device_name, check_name, read_points
from gateway.config.problems import Path, Told, Unfit, described, nearest, one_of, quoted
from gateway.config.profiles import Shelf, Written
from gateway.config.tables import table
from gateway.config.watched import Sort


class Line(NamedTuple):
    """A bus on its way to a BusConfig; `common` and `keys` are None where they have a mistake."""

    driver: Driver
    common: Bus | None
    keys: Keys | None


def read_buses(sections: Sections, findings: Findings) -> dict[str, Line | None]:
    """Every bus by name; None for one whose driver is not known, so that nothing can be said about its devices' keys."""
    return {name: _read_bus(name, raw, findings) for name, raw in sections["bus"].items()}


def _read_bus(name: str, raw: dict[str, Any], findings: Findings) -> Line | None:
    at = ("bus", name)
    check_name(at, findings)
    wanted = raw.get("driver")
    if not isinstance(wanted, str):
        known = one_of(sorted(drivers.available()))
        if wanted is not None:
            findings.add((*at, "driver"), f"found {described(wanted)}", known)
        elif findings.whole:
            findings.add(at, '"driver" is missing', known, key=True)
        return None
    driver = _load_driver(wanted, (*at, "driver"), findings)
    if driver is None:
        return None
    common, keys = table(Bus, driver.bus_keys).read_all(raw, at, findings)
    return Line(driver, common, keys)


def _load_driver(name: str, at: Path, findings: Findings) -> Driver | None:
    try:
        return drivers.load(name)
    except drivers.UnknownDriverError:
        known = sorted(drivers.available())
        near = nearest(name, known)
        findings.add(at, f"no driver is called {quoted(name)}", "" if near else one_of(known), near and quoted(near))
    except (ImportError, AttributeError) as error:
        findings.add(at, f"the driver {quoted(name)} cannot be loaded ({error})", "its package to be installed")
    return None


class Devices:
    """All devices of a config, and the buses that they make."""

    def __init__(self, sections: Sections, lines: Mapping[str, Line | None], shelf: Shelf, findings: Findings) -> None:
        self._lines = lines
        self._shelf = shelf
        self._findings = findings
        self._sets: list[Mapping[str, Any]] = []  # of points, each once: devices that are alike share theirs
        self.sorts: dict[str, dict[str, Sort] | None] = {}  # device -> point -> its sort; None where its points are not known
        self.read = {name: self._device(name, raw) for name, raw in sections["device"].items()}
        self._of_bus: dict[str, list[str]] = {name: [] for name in lines}
        for name, raw in sections["device"].items():
            self._of_bus.get(str(raw.get("bus")), []).append(name)

    def good(self) -> dict[str, DeviceConfig]:
        """Those without a mistake."""
        return {name: device for name, device in self.read.items() if device}

    def buses(self) -> dict[str, BusConfig]:
        """The buses with their devices. The drivers have their say about whatever has no mistake so far."""
        made = {}
        for name, line in self._lines.items():
            if line is None or line.common is None or line.keys is None:
                continue
            specs = tuple(spec(device) for one in self._of_bus[name] if (device := self.read[one]))
            bus = BusSpec(name=name, keys=line.keys, devices=specs)
            if specs or not self._of_bus[name]:
                for complaint in line.driver.check(bus):
                    self._findings.add(complaint.path, complaint.found, complaint.expected)
            made[name] = BusConfig(name=name, common=line.common, spec=bus)
        return made

    # ------------------------------------------------------------ one device

    def _device(self, name: str, raw: dict[str, Any]) -> DeviceConfig | None:
        at = ("device", name)
        check_device_name(at, self._findings)
        self.sorts[name] = None
        line = self._bus(raw, at)
        try:
            profile = self._profile(raw, at)
        except Told:
            line, profile = None, None
        else:
            self._note_sorts(name, _points_over(profile, raw))
        if line is None or not self._is_of_family(line, raw, profile, at):
            self._read_common(raw, at)
            return None
        written = {**profile.keys, **raw} if profile else raw
        common, keys = table(Device, line.driver.device_keys, also=frozenset({"points"})).read_all(written, at, self._findings)
        points = self._points(raw, at, line.driver, profile)
        if points is None or common is None or keys is None:
            return None
        self.sorts[name] = {point: Sort(keys.unit, keys.holds) for point, keys in points.items()}
        self._check_firmware_point(common.firmware_point, points, (*at, "firmware_point"))
        return DeviceConfig(name=name, common=common, keys=keys, points=points)

    def _check_firmware_point(self, wanted: str, points: Mapping[str, Any], at: Path) -> None:
        if wanted and wanted not in points:
            near = nearest(wanted, points)
            found = f"this device has no point {quoted(wanted)}"
            self._findings.add(at, found, "" if near else one_of(list(points), 10), near and quoted(near))

    def _read_common(self, raw: dict[str, Any], at: Path) -> None:
        """What can be said about a device whose driver is not known."""
        known = table(Device)
        known.read_all({key: value for key, value in raw.items() if key in known.fields}, at, self._findings)

    def _bus(self, raw: dict[str, Any], at: Path) -> Line | None:
        wanted, known = raw.get("bus"), list(self._lines)
        if isinstance(wanted, str) and wanted in self._lines:
            return self._lines[wanted]
        if not self._findings.whole:
            return None
        if isinstance(wanted, str) and wanted:
            near = nearest(wanted, known)
            expected = "" if near else one_of(known) if known else "a bus, such as [bus.plant]"
            self._findings.add((*at, "bus"), f"no bus is called {quoted(wanted)}", expected, near and quoted(near))
        elif not wanted:
            self._findings.add(at, '"bus" is missing', one_of(known) if known else "the name of a bus", key=True)
        return None

    def _profile(self, raw: dict[str, Any], at: Path) -> Written | None:
        """The profile that a device follows, if any. Raises Told when it cannot be used."""
        wanted = raw.get("profile")
        if not isinstance(wanted, str) or not wanted:
            return None
        try:
            profile = self._shelf.profile(wanted)
        except Unfit as unfit:
            self._findings.unfit((*at, "profile"), unfit)
            raise Told from None
        self._findings.stand_behind(at, profile.document)
        if not profile.document.whole:
            raise Told
        return profile

    def _is_of_family(self, line: Line, raw: dict[str, Any], profile: Written | None, at: Path) -> bool:
        """Whether a device, or the profile that it follows, is for the bus that it hangs on."""
        family = raw.get("driver", profile.keys.get("driver") if profile else None)
        if not isinstance(family, str) or family in ("", line.driver.family):
            return True
        what = "this profile" if profile else "this device"
        found = f"{what} is for {quoted(family)}, and the driver of its bus is of {quoted(line.driver.family)}"
        self._findings.add((*at, "profile" if profile else "driver"), found, f"a bus for {quoted(family)}")
        return False

    def _points(self, raw: dict[str, Any], at: Path, driver: Driver, profile: Written | None) -> Mapping[str, Any] | None:
        """The points: those of the profile, and over them those written here. None when any has a mistake."""
        here = (*at, "points")
        if "points" in raw and not isinstance(raw["points"], dict):
            self._findings.add(here, f"found {described(raw['points'])}", "a table of points: core_temp = { ... }")
            return None
        points = profile.read_points(driver, self._findings) if profile else {}
        if inline := raw.get("points"):
            written = {name: point for name, point in _points_over(profile, raw).items() if name in inline}
            points = {**points, **read_points(written, here, driver, self._findings)}
        if not points and not profile and self._findings.whole:
            self._findings.add(at, "this device has no points", "some, as in points.core_temp = { ... }, or a profile", key=True)
        return None if not points or None in points.values() else self._shared(points)

    def _shared(self, points: Mapping[str, Any]) -> Mapping[str, Any]:
        for known in self._sets:
            if known == points:
                return known
        self._sets.append(points)
        return points

    def _note_sorts(self, device: str, written: Mapping[str, Any]) -> None:
        """Remember which points there are, and their units as far as they can be told before they are read."""
        raws = {name: point if isinstance(point, dict) else {} for name, point in written.items()}
        if raws:
            self.sorts[device] = {name: Sort(str(point.get("unit", ""))) for name, point in raws.items()}


def _points_over(profile: Written | None, raw: dict[str, Any]) -> dict[str, Any]:
    """The points as written: those of the profile, and over them, key by key, those of the device itself."""
    below = profile.points if profile else {}
    inline = raw.get("points")
    if not isinstance(inline, dict):
        return below
    return {**below, **{name: _over(below.get(name), point) for name, point in inline.items()}}


def _over(below: Any, above: Any) -> Any:
    return {**below, **above} if isinstance(below, dict) and isinstance(above, dict) else above


def spec(device: DeviceConfig) -> DeviceSpec:
    """A device as its driver gets it."""
    return DeviceSpec(name=device.name, keys=device.keys, points=device.points, timeout=device.common.timeout)

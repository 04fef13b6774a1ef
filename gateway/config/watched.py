"""Every point that a config has, for whoever names some of them: rules, maintenance windows, remedies."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from gateway.config.problems import nearest
from gateway.diagnosis.contract import HUB, STATE, PointInfo, PointType
from gateway.diagnosis.hub_parts import PARTS
from gateway.diagnosis.watch import is_meant


class Points:
    """Every point that a rule may watch: device (or "bus.NAME") -> point -> unit."""

    def __init__(self, devices: Mapping[str, dict[str, str] | None], buses: Iterable[str]) -> None:
        self._units = {device: {**(units or {}), STATE: ""} for device, units in devices.items()}
        self._units.update({f"bus.{bus}": {STATE: ""} for bus in buses})
        self._units[HUB] = {part.name: part.unit for part in PARTS}
        self._unsure = {device for device, units in devices.items() if units is None}
        self._names = {name for units in self._units.values() for name in units}

    def matching(self, glob: str) -> list[PointInfo]:
        """The points that a glob such as "freezer-*/core_temp" is written for: as the engine sees it."""
        device_glob, slash, point_glob = glob.partition("/")
        if slash and "/" not in point_glob:  # an id has one slash, so the halves may be matched by themselves
            names = {name for name in self._names if fnmatchcase(name, point_glob)}
            devices = [device for device in self._units if is_meant(f"{device}/", (f"{device_glob}/",))]
            return [self._info(device, name) for device in devices for name in self._units[device] if name in names]
        return [self._info(device, name) for device, name in self._all() if is_meant(f"{device}/{name}", (glob,))]

    def may_match(self, glob: str) -> bool:
        """Whether a glob may be for a device whose points could not be made out."""
        return any(fnmatchcase(device, glob.partition("/")[0]) for device in self._unsure)

    def nearest(self, glob: str) -> str:
        """The glob that was probably meant, where this one matches nothing."""
        device_glob, slash, point_glob = glob.partition("/")
        if not slash:
            point = device_glob if device_glob in self._names else nearest(device_glob, self._names)
            return f"*/{point}" if point else ""
        devices = [device for device in self._units if fnmatchcase(device, device_glob)]
        if devices:
            point = nearest(point_glob, {name for device in devices for name in self._units[device]})
            return f"{device_glob}/{point}" if point else ""
        having = [device for device in self._units if any(fnmatchcase(name, point_glob) for name in self._units[device])]
        device = nearest(device_glob, having)
        return f"{re.sub(r'[0-9]+$', '*', device) if '*' in device_glob else device}/{point_glob}" if device else ""

    def everything(self) -> list[PointInfo]:
        """All points of all devices and buses."""
        return [self._info(device, name) for device, name in self._all()]

    def _all(self) -> Iterator[tuple[str, str]]:
        return ((device, name) for device, units in self._units.items() for name in units)

    def _info(self, device: str, name: str) -> PointInfo:
        kind: PointType = "text" if name == STATE else "number"
        return PointInfo(f"{device}/{name}", device, name, self._units[device][name], name, device, kind)

"""Every point that a config has, for whoever names some of them: rules, maintenance windows, remedies."""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from gateway.config.problems import nearest
from gateway.diagnosis.contract import HUB, STATE, PointInfo, PointType
from gateway.diagnosis.hub_parts import PARTS
from gateway.diagnosis.watch import is_meant


class Sort(NamedTuple):
    """What is known of a point before its device is: the unit and the type of its values."""

    unit: str = ""
    type: PointType = "number"


SAID = Sort("", "text")


class Points:
    """Every point that a rule may watch: device (or "bus.NAME") -> point -> its sort."""

    def __init__(self, devices: Mapping[str, Mapping[str, Sort] | None], buses: Iterable[str]) -> None:
        self._sorts = {device: {**(sorts or {}), STATE: SAID} for device, sorts in devices.items()}
        self._sorts.update({f"bus.{bus}": {STATE: SAID} for bus in buses})
        self._sorts[HUB] = {part.name: Sort(part.unit, part.type) for part in PARTS}
        self._unsure = {device for device, sorts in devices.items() if sorts is None}
        self._names = {name for sorts in self._sorts.values() for name in sorts}

    def matching(self, glob: str) -> list[PointInfo]:
        """The points that a glob such as "freezer-*/core_temp" is written for: as the engine sees it."""
        device_glob, slash, point_glob = glob.partition("/")
        if slash and "/" not in point_glob:  # an id has one slash, so the halves may be matched by themselves
            names = {name for name in self._names if fnmatchcase(name, point_glob)}
            devices = [device for device in self._sorts if is_meant(f"{device}/", (f"{device_glob}/",))]
            return [self._info(device, name) for device in devices for name in self._sorts[device] if name in names]
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
        devices = [device for device in self._sorts if fnmatchcase(device, device_glob)]
        if devices:
            point = nearest(point_glob, {name for device in devices for name in self._sorts[device]})
            return f"{device_glob}/{point}" if point else ""
        having = [device for device in self._sorts if any(fnmatchcase(name, point_glob) for name in self._sorts[device])]
        device = nearest(device_glob, having)
        return f"{re.sub(r'[0-9]+$', '*', device) if '*' in device_glob else device}/{point_glob}" if device else ""

    def everything(self) -> list[PointInfo]:
        """All points of all devices and buses."""
        return [self._info(device, name) for device, name in self._all()]

    def _all(self) -> Iterator[tuple[str, str]]:
        return ((device, name) for device, sorts in self._sorts.items() for name in sorts)

    def _info(self, device: str, name: str) -> PointInfo:
        sort = self._sorts[device][name]
        return PointInfo(f"{device}/{name}", device, name, sort.unit, name, device, sort.type)

"""How far the remedies of a config reach: what they act on, and what they go by.

A config that comes from elsewhere may not define a remedy. Nor may it turn one against something else, by giving another address to
the point that it writes, or another meaning to the one that it asks beforehand.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from gateway.config.actions import Cycle, Reopen, Reset, Run, Write
from gateway.config.model import Config
from gateway.config.remedies import Remedy
from gateway.diagnosis.expression import read


def reach(config: Config) -> dict[str, Any]:
    """All that decides what the remedies do, by its path in the config: buses, devices and points."""
    found: dict[str, Any] = {}
    for remedy in config.remedies.values():
        for bus in _buses(remedy):
            found |= _bus(config, bus)
        for device, point in {*_written(remedy), *_asked(remedy, config)}:
            if known := config.devices.get(device):
                found |= _bus(config, known.common.bus)
                found[f"device.{device}"] = (known.common.bus, known.keys)
                found[f"device.{device}.points.{point}"] = known.points.get(point)
    return found


def _bus(config: Config, name: str) -> dict[str, Any]:
    bus = config.buses[name]
    return {f"bus.{name}": (bus.common.driver, bus.spec.keys)}


def _buses(remedy: Remedy) -> Iterator[str]:
    match remedy.action:
        case Reopen(bus=bus) | Reset(bus=bus):
            yield bus


def _written(remedy: Remedy) -> Iterator[tuple[str, str]]:
    match remedy.action:
        case Write(device=device, point=point) | Cycle(device=device, point=point):
            yield device, point
        case Reopen() | Reset() | Run():
            return


def _asked(remedy: Remedy, config: Config) -> Iterator[tuple[str, str]]:
    """The points that its conditions name; one without its device is one of each device that it may be for."""
    for text in filter(None, (remedy.when, remedy.proof, remedy.harm)):
        for node in read(text).names:
            device, slash, point = node.name.rpartition("/")
            if slash:
                yield device, point
                continue
            for name in config.devices:
                if not remedy.on or any(fnmatchcase(name, glob) for glob in remedy.on):
                    yield name, point

"""What the hub knows of itself, as points of the device "hub", which rules watch like any. Flags are true while all is well."""

from typing import NamedTuple

from gateway.diagnosis.contract import HUB, PointInfo, PointType

EVERY = 60.0
"""Seconds between two readings, at most."""


class Part(NamedTuple):
    """One point of the hub."""

    name: str
    unit: str
    label: str
    type: PointType = "number"


PARTS = (
    Part("power", "", "Hub's supply voltage", "flag"),
    Part("network", "", "Hub's network", "flag"),
    Part("uplink", "", "Hub's uplink", "flag"),
    Part("clock", "", "Hub's clock", "flag"),
    Part("clock_leap", "s", "Leap of the hub's clock"),
    Part("cpu_temp", "°C", "Hub's processor temperature"),
    Part("memory_free", "%", "Hub's free memory"),
    Part("disk_free", "%", "Hub's free disk space"),
)


def points() -> list[PointInfo]:
    """The hub's points as rules know them."""
    return [PointInfo(f"{HUB}/{name}", HUB, name, unit, label, "the hub", kind, "", EVERY) for name, unit, label, kind in PARTS]

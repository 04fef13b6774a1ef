"""Buses and devices: from bytes to `Batch`. See README.md in this folder for how to add a device in ten minutes."""

from importlib import import_module
from typing import TYPE_CHECKING

from drivers.contract import Driver

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "canary.drivers"  # of the entry points of third parties
OURS = {
    "modbus-tcp": "drivers.modbus:TCP",
    "modbus-rtu": "drivers.modbus:RTU",
    "modbus-rtu-over-tcp": "drivers.modbus:RTU_OVER_TCP",
    "serial": "drivers.serial_line:SERIAL",
    "ble": "drivers.ble:BLE",
}
"""By name, so that a hub that needs no other looks through no installed package for them, which takes time and memory."""


class UnknownDriverError(LookupError):
    """No installed package offers a driver of this name; the message lists what there is."""


def available() -> "dict[str, EntryPoint]":
    """Every installed driver by name, third parties' and ours (which win), without importing any of them."""
    from importlib.metadata import EntryPoint, entry_points

    theirs = {entry.name: entry for entry in entry_points(group=GROUP)}
    return theirs | {name: EntryPoint(name, value, GROUP) for name, value in OURS.items()}


def load(name: str) -> Driver:
    """Import one driver by the name that a `[bus.*]` table gives it.

    Raises UnknownDriverError with the nearest names when there is none.
    """
    driver: Driver
    if name in OURS:
        module, _, attribute = OURS[name].partition(":")
        driver = getattr(import_module(module), attribute)
    else:
        driver = _theirs(name).load()
    return driver


def _theirs(name: str) -> "EntryPoint":
    drivers = available()
    if name not in drivers:
        from difflib import get_close_matches

        near = get_close_matches(name, drivers, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "known: " + ", ".join(sorted(drivers))
        raise UnknownDriverError(f'driver "{name}" is not installed; {hint}')
    return drivers[name]

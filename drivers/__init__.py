"""Buses and devices: from bytes to `Batch`. See README.md in this folder for how to add a device in ten minutes."""

import difflib
from importlib.metadata import EntryPoint, entry_points

from drivers.contract import Driver

GROUP = "canary.drivers"


class UnknownDriverError(LookupError):
    """No installed package offers a driver of this name; the message lists what there is."""


def available() -> dict[str, EntryPoint]:
    """Every installed driver by name, ours and third parties', without importing any of them."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def load(name: str) -> Driver:
    """Import one driver by the name that a `[bus.*]` table gives it.

    Raises UnknownDriverError with the nearest names when there is none.
    """
    drivers = available()
    if name not in drivers:
        near = difflib.get_close_matches(name, drivers, n=1)
        hint = f'did you mean "{near[0]}"?' if near else "known: " + ", ".join(sorted(drivers))
        raise UnknownDriverError(f'driver "{name}" is not installed; {hint}')
    driver: Driver = drivers[name].load()
    return driver

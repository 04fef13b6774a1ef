"""Names that people give, and the points of a device or profile."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from drivers.contract import Driver
from gateway.config.problems import Path, Told, Unfit, quoted
from gateway.config.tables import table
from gateway.config.values import Report
from gateway.diagnosis.contract import HUB, STATE

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""Names of buses, devices, points, owners and rules: they become parts of point ids, topics and case numbers."""


def check_name(at: Path, report: Report) -> None:
    """Tell it when the last part of a path cannot be a name."""
    name = str(at[-1])
    if NAME.fullmatch(name):
        return
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    meant = re.sub(r"[^A-Za-z0-9_-]+", "-", plain).strip("-_")[:63]
    expected = "letters, digits, - and _, at most 63 (what people call it is its label)"
    report.add(at, f"the name {quoted(name)} cannot be used", expected, quoted(meant) if meant else "", key=True)


def check_device_name(at: Path, report: Report) -> None:
    """Tell it when a device cannot be called so."""
    check_name(at, report)
    if at[-1] == HUB:
        report.add(at, f'"{HUB}" is the hub itself', "another name", key=True)


def read_points(written: Mapping[str, Any], at: Path, driver: Driver, report: Report) -> dict[str, Any]:
    """Points by name, of the driver's `point_keys`; None for each that has a mistake."""
    points: dict[str, Any] = {}
    keys = table(driver.point_keys)
    for name, raw in written.items():
        here = (*at, name)
        points[name] = None
        check_name(here, report)
        if name == STATE:
            report.add(
                here, f'every device has a point "{STATE}" of its own: how the hub gets on with it', "another name", key=True
            )
        try:
            points[name] = keys.read(raw, here, report)
        except Unfit as unfit:
            report.unfit(here, unfit)
        except Told:
            continue
    return points

"""A look at a file before it is put to work: without devices, without its secrets."""

import os
from collections.abc import Sized

from gateway.config.document import Document
from gateway.config.fragments import NAMED, SINGLE
from gateway.config.profiles import read_profile
from gateway.config.reader import load


def check_file(path: str | os.PathLike[str]) -> str:
    """What a config or a profile holds, in one line. Raises ConfigError with every mistake in it."""
    if is_profile(Document.read(path)):
        profile = read_profile(path)
        return f"{os.fspath(path)}: a profile with {_count(profile.device.points, 'point')} and {_count(profile.samples, 'sample')}"
    config = load(path, resolve_secrets=False)
    points = [point for device in config.devices.values() for point in device.points]
    counts = [
        _count(config.buses, "bus", "buses"),
        _count(config.devices, "device"),
        _count(points, "point"),
        _count(config.rules.keys() - config.built_in, "rule"),
    ]
    return f"{os.fspath(path)}: {', '.join(counts[:-1])} and {counts[-1]}"


def is_profile(document: Document) -> bool:
    """Whether a file is a profile rather than the config of a hub."""
    keys = document.data.keys()
    return not keys & {*SINGLE, *NAMED} and bool(keys & {"points", "samples", "driver"})


def _count(things: Sized, one: str, many: str = "") -> str:
    number = len(things)
    return f"{number} {one if number == 1 else many or one + 's'}"

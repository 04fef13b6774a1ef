"""A scratch file in memory for what changes all the time: it survives a kill and a restart of the hub, and wears no card.

systemd gives the folder (`RuntimeDirectory=`, on a tmpfs, kept across restarts); without it nothing is kept. A power cut empties
it, so it never holds anything but what is newer than the same on the disk.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

NAME = "learnt"


class Sheet(msgspec.Struct):
    """What the file holds: rows by name, as of a time of a timeline; `generation` is the store's that they belong to."""

    generation: str
    timeline: str
    at: float
    rows: dict[str, bytes]


class Scratch:
    """The file in a folder; None where there is none."""

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / NAME if folder else None

    def write(self, generation: str, timeline: str, at: float, rows: Mapping[str, bytes]) -> None:
        """Put these in the place of those of the last time. What goes wrong costs what it is for, and nothing else."""
        if self._path is None:
            return
        new = self._path.with_suffix(".new")
        with suppress(OSError):
            new.write_bytes(msgspec.msgpack.encode(Sheet(generation, timeline, at, dict(rows))))
            new.replace(self._path)

    def read(self, generation: str, timeline: str, at: float) -> Sheet | None:
        """What was written last; None unless it belongs to this store and timeline, and is as new as this time at least."""
        if self._path is None:
            return None
        try:
            sheet = msgspec.msgpack.decode(self._path.read_bytes(), type=Sheet)
        except (OSError, msgspec.DecodeError):
            return None
        return sheet if (sheet.generation, sheet.timeline) == (generation, timeline) and sheet.at >= at else None


def runtime_folder() -> Path | None:
    """The folder that systemd gives."""
    name = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(name) if name else None

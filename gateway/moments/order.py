"""The place of a moment among others: its number in the hub's sequence, and what goes first where not all can go."""

from typing import Literal

from msgspec.structs import replace

from gateway.moments.shape import Moment


def numbered(moment: Moment, generation: str, seq: int) -> Moment:
    """The same moment with its place in the hub's sequence; the outbox's business alone."""
    hub_id = moment.source.removeprefix("/hubs/")
    return replace(moment, id=f"{hub_id}/{generation}/{seq:08d}", data=replace(moment.data, seq=seq, generation=generation))


Class = Literal["critical", "warning", "info", "digest"]
CLASSES: tuple[Class, ...] = ("critical", "warning", "info", "digest")
"""Of moments that wait: the first is sent first and dropped last. "digest" is what is good to know and asks nothing of anybody."""


def rank(moment: Moment) -> int:
    """The place of the moment's class in `CLASSES`."""
    if moment.data.severity == "critical":
        return 0
    if moment.data.kind in {"milestone", "insight", "digest"}:
        return 3
    return 1 if moment.data.severity == "warning" else 2

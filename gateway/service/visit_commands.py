"""What may be asked about visits: the commands that `visits.py` carries out."""

from typing import Annotated

from msgspec import Meta

from drivers.contract import Seconds
from gateway.commands import Command

MOST = 12  # notes, findings and replacements of one visit: what its moment has room for

Text = Annotated[
    str, Meta(pattern=r"\S", max_length=300, description="In a sentence or two.", examples=["The condenser was full of dust."])
]


class Start(Command, frozen=True, kw_only=True):
    """A technician begins to work: what happens to these devices is held until they have done."""

    by: Annotated[str, Meta(pattern=r"\S", max_length=80, description="Who is on site.", examples=["Jan Peeters"])]
    on: Annotated[
        tuple[str, ...],
        Meta(max_length=MOST, description='Devices, and "bus.NAME" with all that hangs on it; globs allowed. All if not given.'),
    ] = ()
    for_: Annotated[Seconds, Meta(ge=60, le=86400, description="How long at most; then it ends by itself.")] = 4 * 3600.0


class Note(Command, frozen=True, kw_only=True):
    """Write down what was done during the visit."""

    text: Text


class Found(Command, frozen=True, kw_only=True):
    """Write down what was found to be wrong."""

    text: Text


class Replaced(Command, frozen=True, kw_only=True):
    """A device was replaced by another: what was learnt of it is forgotten, its history is kept."""

    device: Annotated[str, Meta(description="Its name in the config.", examples=["freezer-1"])]
    serial: Annotated[str, Meta(max_length=80, description="The serial number of the new one.")] = ""


class Serviced(Command, frozen=True, kw_only=True):
    """The maintenance of a device was done."""

    device: Annotated[str, Meta(description="Its name in the config.", examples=["freezer-1"])]


class End(Command, frozen=True, kw_only=True):
    """The visit is over."""

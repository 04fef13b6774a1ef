"""From a step of an episode to the message about it, and to its bytes on the wire and back.

    Change -> `compose` (making) -> `Moment` (shape) -> `numbered` (order) -> `to_wire` (wire)

A `Moment` has the very shape that it has on the wire. Pure: no I/O and no clock. A moment has no `id` and no `seq` before the
outbox has numbered it.
"""

from gateway.moments.making import compose, rule_version
from gateway.moments.order import CLASSES, Class, numbered, rank
from gateway.moments.shape import (
    MAX_POINTS,
    Account,
    Comparison,
    Desk,
    Device,
    Digest,
    Evidence,
    Forecast,
    HandedOver,
    Hub,
    Mentioned,
    Moment,
    Owner,
    Replaced,
    Rule,
    Step,
    StillOpen,
    Tried,
    Visit,
    Wire,
)
from gateway.moments.wire import MAX_BYTES, from_wire, restamped, schema, to_wire, within

__all__ = [
    "CLASSES",
    "MAX_BYTES",
    "MAX_POINTS",
    "Account",
    "Class",
    "Comparison",
    "Desk",
    "Device",
    "Digest",
    "Evidence",
    "Forecast",
    "HandedOver",
    "Hub",
    "Mentioned",
    "Moment",
    "Owner",
    "Replaced",
    "Rule",
    "Step",
    "StillOpen",
    "Tried",
    "Visit",
    "Wire",
    "compose",
    "from_wire",
    "numbered",
    "rank",
    "restamped",
    "rule_version",
    "schema",
    "to_wire",
    "within",
]

"""`[remedy.NAME]`: what the hub may try by itself, for what, within which limits, and what shows that it has helped.

A remedy is one action of `actions.py`, never more than what the config says. Whether it is tried is decided in
`gateway/service/remedies.py`.
"""

from fnmatch import fnmatchcase
from typing import Annotated

from msgspec import Meta

from drivers.contract import Seconds
from gateway.config.actions import ActionKeys
from gateway.diagnosis.contract import Severity
from gateway.diagnosis.hours import Hours, HoursText

DAY = 86400.0


class Remedy(ActionKeys, frozen=True, kw_only=True):
    """`[remedy.NAME]`: one action that the hub may try, by itself or when it is asked to, and how far it may go."""

    for_: Annotated[
        tuple[str, ...],
        Meta(min_length=1, description="Rules whose cases it is for, by their names; globs allowed.", examples=["router-silent"]),
    ]
    on: Annotated[
        tuple[str, ...],
        Meta(description='Devices whose cases it is for, globs allowed, or "bus.NAME"; all that the rules watch if not given.'),
    ] = ()
    label: Annotated[str, Meta(max_length=80, description='What people call it: "restart of the router".')] = ""
    when: Annotated[
        str,
        Meta(
            description='Only while this condition holds, as in a rule of kind "when"; a point alone is one of the device that the '
            "case is about.",
            examples=["door == off and core_temp > -10 °C"],
        ),
    ] = ""
    proof: Annotated[
        str,
        Meta(description="What shows that it has helped; that the case is over, if not given.", examples=["core_temp < -16 °C"]),
    ] = ""
    within: Annotated[Seconds, Meta(ge=1, le=7 * DAY, description="How long its effect may take.")] = 600.0
    harm: Annotated[
        str, Meta(description="What shows that it does harm. So does a case that gets worse.", examples=["core_temp > 0 °C"])
    ] = ""
    tries: Annotated[int, Meta(ge=1, le=20, description="How often it is tried in one case.")] = 2
    spacing: Annotated[Seconds, Meta(ge=1, le=7 * DAY, description="Least time between two tries.")] = 900.0
    per_day: Annotated[int, Meta(ge=1, le=100, description="How often it is tried in any 24 hours.")] = 4
    hours: Annotated[
        tuple[HoursText, ...],
        Meta(description='When it may be tried, local time: "08:00..20:00", "Mon-Fri 18:00..07:00"; always if not given.'),
    ] = ()
    severity: Annotated[Severity, Meta(description="Least severity of a case for which it is tried by itself.")] = "info"
    after: Annotated[Seconds, Meta(description="How long a case has been open before it is tried by itself.")] = 0.0
    dry_run: Annotated[bool, Meta(description="True: it is never tried, and what would have been done is told instead.")] = False

    def __post_init__(self) -> None:
        """As for its action; and refuse hours that are none."""
        super().__post_init__()
        Hours(self.hours)

    def is_for(self, rule_id: str, device: str) -> bool:
        """Whether it is for a case of this rule on this device, "bus.NAME" or hub."""
        return any(fnmatchcase(rule_id, glob) for glob in self.for_) and (
            not self.on or any(fnmatchcase(device, glob) for glob in self.on)
        )

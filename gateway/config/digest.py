"""The digest: the periodic account of the service that nobody saw, when it is made, and in which language."""

from typing import Annotated, Literal

from msgspec import Meta

from drivers.contract import Keys
from gateway.config.maintenance import Weekday

Every = Literal["weekly", "daily", "monthly", "off"]
Language = Literal["en", "nl"]


class Digest(Keys, frozen=True, kw_only=True):
    """`[digest]`: the customer's account of what was watched, noticed, prevented and put right."""

    every: Annotated[Every, Meta(description="How often; off: never.")] = "weekly"
    day: Annotated[
        Weekday,
        Meta(description="On which day of the week; a monthly one on the first such day of a month, a daily one on all."),
    ] = "mon"
    hour: Annotated[int, Meta(ge=0, le=23, description="At which hour of the day, local time.")] = 8
    language: Annotated[Language, Meta(description="The customer's language: English or Dutch.")] = "en"
    to: Annotated[str, Meta(max_length=60, description='Whom it greets: "Bakery Janssens"; nobody by name if left out.')] = ""

"""Whether something runs, read from one point: a flag, a level with hysteresis, or a text."""

import math
from typing import Annotated

from msgspec import Meta

from drivers.contract import KeyMistake, Value
from gateway.diagnosis.contract import AWAY, Quantity, RuleKeys
from gateway.diagnosis.watch import NEVER, WIDEST, ToUnit

RESTING = AWAY | {"off", "idle", "standby", "stopped", "closed"}
"""Texts that mean rest, where a rule does not say which mean running."""


class RunningKeys(RuleKeys, frozen=True, kw_only=True):
    """Keys of the kinds that must know when something runs."""

    on_above: Annotated[Quantity | None, Meta(description='It runs above this: "50 W"; above 0, or when true, if left out.')] = None
    off_below: Annotated[
        Quantity | None, Meta(description='It stops only below this: "20 W", so that noise is no start; `on_above` if left out.')
    ] = None
    is_: Annotated[
        tuple[str, ...], Meta(description='Of a point that tells text: what it says while it runs, such as "heating".')
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.is_ and (self.on_above or self.off_below):
            raise KeyMistake("is", "texts beside a level", 'either is = "..." or on_above = "..."')
        if self.off_below is None:
            return
        if self.on_above is None:
            raise KeyMistake("off_below", "a level to stop at without one to start at", 'on_above = "..." as well')
        if self.on_above.unit == self.off_below.unit and self.off_below.value > self.on_above.value:
            raise KeyMistake("off_below", f"{self.off_below.value:g}, above on_above", "a level below on_above")


class Running:
    """Tells running from resting, and the band in which that does not change."""

    __slots__ = ("high", "low", "texts")

    def __init__(self, keys: RunningKeys, unit: str, to_unit: ToUnit) -> None:
        self.high = to_unit(keys.on_above, unit) if keys.on_above else 0.0
        self.low = to_unit(keys.off_below, unit) if keys.off_below else None
        self.texts = frozenset(keys.is_)

    def at(self, value: Value, was: bool | None) -> bool:
        """Whether it runs, given whether it did."""
        if isinstance(value, str):
            return value in self.texts if self.texts else value not in RESTING
        if was and self.low is not None:
            return value >= self.low
        return value > self.high

    def band(self, runs: bool) -> tuple[float, float]:
        """The numbers that change nothing. A text that changes is always looked at."""
        if not runs:
            return -WIDEST, self.high
        return (math.nextafter(self.high, NEVER) if self.low is None else self.low), WIDEST

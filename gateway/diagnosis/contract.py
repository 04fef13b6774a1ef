"""The words that rules, episodes and whoever listens to them share. Pure: no I/O, no clock, no asyncio.

A rule, from config, is told what happens by an engine that is driven by readings, deadlines and a passed-in `now`. Out come
`Change`s: the few steps in the life of an episode that are worth telling.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, NamedTuple

import msgspec
from msgspec import Meta

from drivers.contract import KeyMistake, Keys, Outcome, Seconds
from gateway.diagnosis.forecast import Score
from gateway.diagnosis.words import PLACEHOLDERS, strangers

Severity = Literal["info", "warning", "critical"]
Layer = Literal["device", "bus", "hub", "network", "energy"]
"""Where a fault lies, from the thing itself to what it hangs on: the owner follows from it."""

Kind = Literal["problem", "prediction", "recovery", "milestone", "insight", "visit", "digest", "hub"]


class Phase(StrEnum):
    """Steps of an episode that are told."""

    OPENED = "opened"
    WORSENED = "worsened"
    EASED = "eased"
    HANDED_OVER = "handed_over"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class Quantity(NamedTuple):
    """A number with the unit it was written with: "-15 °C". The empty unit stands for the unit of the point it is held against."""

    value: float
    unit: str


Difference = Annotated[Quantity, Meta(extra={"quantity": "difference"})]
"""A Quantity that is the distance between two values of the point, so that no zero of a scale matters: "0.5 °C" is "0.9 °F"."""

Margin = Annotated[Quantity, Meta(extra={"quantity": "margin"})]
"""A Difference; or, in %, a share of the value that it is a difference from."""

Rate = Annotated[Quantity, Meta(extra={"quantity": "rate"})]
"""A Quantity that is a change per time: "2 °C/min". A key of type plain Quantity is a level of the point itself."""


By = Literal["customer", "desk", "technician"]


class Step(Keys, frozen=True, kw_only=True):
    """`steps = [{ do = ... }, ...]` of a rule: one thing that a person can do about it, and by what the hub sees that it helped."""

    do: Annotated[str, Meta(min_length=1, max_length=200, description="What to do, in one sentence.", examples=["Close the door."])]
    by: Annotated[By, Meta(description="Who can do it.")] = "customer"
    effect: Annotated[
        str, Meta(max_length=200, description="What comes of it when it helps.", examples=["The core cools within 30 min."])
    ] = ""
    shown_by: Annotated[
        str,
        Meta(
            description='Condition that comes true when it has helped, as in a rule of kind "when"; a point alone is one of the '
            "device that the case is about.",
            examples=["core_temp < -16 °C"],
        ),
    ] = ""
    within: Annotated[
        Seconds, Meta(ge=1, le=7 * 86400, description="How long its effect may take; then it is the next step's turn.")
    ] = 1800.0


SHORTEST_PROOF, LONGEST_PROOF = 60.0, 86400.0  # s, where a rule says nothing of its proof of repair


class RuleKeys(Keys, frozen=True, kw_only=True):
    """Keys that every rule has; a rule kind's own keys inherit from this and live in the file of that kind."""

    WORDS: ClassVar[tuple[str, ...]] = PLACEHOLDERS  # what `says` may hold in braces

    kind: Annotated[str, Meta(description='Such as "threshold", "silent", "stuck", "rate".')]
    on: Annotated[
        tuple[str, ...], Meta(min_length=1, description='Points, as "device/point", globs allowed: "freezer-*/core_temp".')
    ]
    severity: Severity = "warning"
    owner: Annotated[str, Meta(description="Who puts it right; follows from the device and bus where this is empty.")] = ""
    says: Annotated[str, Meta(description="Text of the moment; {device}, {point}, {value}, {limit}, {lasting} are filled in.")] = ""
    advice: Annotated[tuple[str, ...], Meta(description="What to do, in order.")] = ()
    steps: Annotated[
        tuple[Step, ...],
        Meta(max_length=8, description="The same as steps that the hub follows: who can do each, and what shows that it helped."),
    ] = ()
    lasting: Annotated[Seconds | None, Meta(description="How long it must last before it is told.")] = None
    clear_lasting: Annotated[Seconds | None, Meta(description="How long it must be well again before it is closed.")] = None
    proof: Annotated[
        Seconds | None,
        Meta(
            description="How long it must stay well, with values throughout, before its case is closed; as long as it had to last "
            "to be told if not given, but at least 1 min and at most a day."
        ),
    ] = None
    gap: Annotated[Seconds, Meta(description="Opened again so soon, it is the same episode; its end is told then.")] = 0.0
    folds: Annotated[int, Meta(ge=0, le=20, description="So many openings in a short time are one unstable episode; 0: never.")] = 4
    folds_within: Annotated[Seconds, Meta(ge=1, description="That short time; after so long without one it is steady.")] = 3600.0
    escalate: Annotated[Seconds | None, Meta(description="Open for so long, it is told once more, one severity up.")] = None
    needs: Annotated[
        tuple[str, ...],
        Meta(description='What explains it when that fails: "device.NAME", "bus.NAME" or "device/point", such as "hub/uplink".'),
    ] = ()
    except_: Annotated[tuple[str, ...], Meta(description='Points that `on` does not mean, in the same form: "freezer-9/*".')] = ()
    enabled: Annotated[bool, Meta(description="False sets the rule aside.")] = True

    @property
    def proven_after(self) -> float:
        """How long it must stay well before its case is closed (s)."""
        if self.proof is not None:
            return self.proof
        return min(max(self.lasting or 0.0, self.clear_lasting or 0.0, SHORTEST_PROOF), LONGEST_PROOF)

    def __post_init__(self) -> None:
        for word in strangers(self.says, self.WORDS):
            raise KeyMistake("says", f"{{{word}}}", "one of " + ", ".join(f"{{{known}}}" for known in self.WORDS))


class Mistake(NamedTuple):
    """What is wrong with a rule, as only its kind can see it: what was found, what was expected, and what was probably meant.

    `path` is below the rule's table (("on", 1)), `offset` counts characters within the text there. `lacks` is a glob of the points
    that are missed, if any: where it may be for points that could not be made out, there is nothing to tell.
    """

    found: str
    expected: str = ""
    suggestion: str = ""
    offset: int | None = None
    lacks: str = ""
    path: tuple[str | int, ...] = ()


STATE = "state"
"""Name of the point that every device and bus has: how the hub gets on with it."""

AWAY = frozenset({"mute", "parked", "down"})
"""Values of that point with which nothing is known of the others."""

HUB = "hub"
"""The device whose points tell how the hub itself is doing. A glob means it only where it is named: "hub/*", not "*/*"."""

PointType = Literal["number", "flag", "text"]


class PointInfo(NamedTuple):
    """What a rule may know of a point."""

    id: str  # "freezer-1/core_temp"
    device: str
    name: str
    unit: str
    label: str  # "Freezer 1 core temp"
    device_label: str
    type: PointType = "number"
    bus: str = ""  # what its device hangs on; empty for a bus itself
    every: float = 0.0  # s between two readings; 0 where nobody knows


THE_HUB = PointInfo(f"{HUB}/*", HUB, "*", "", "The hub", "The hub", "text")
"""The hub as a whole, for what is about several devices or none."""


class Forecast(NamedTuple):
    """When a limit will be crossed, in seconds from the moment of telling."""

    crosses: float
    in_s: float
    earliest_s: float
    latest_s: float
    confidence: float


class Evidence(NamedTuple):
    """What the hub saw, thinned to at most 60 values: `values[i]` was read at `from_at + i * every_s`, give or take a step.

    Minimum and maximum of the span are always among the values; None where there was no value. `readings` counts what was
    condensed into this.
    """

    unit: str
    from_at: float
    every_s: float
    values: tuple[float | str | bool | None, ...]
    readings: int


class Fault(NamedTuple):
    """What is at fault, so that whoever looks after that is told."""

    layer: Layer
    where: str  # "freezer-1", "bus.plant", "hub.uplink"
    because: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one episode that is worth telling."""

    episode: str  # unique and stable for the life of the episode; the case number hangs on it
    rule_id: str
    rule: RuleKeys
    point: PointInfo
    kind: Kind
    phase: Phase
    severity: Severity
    at: float
    since: float  # when the condition began; `at - since` is how long it has lasted
    value: Outcome | None
    says: str
    because: str  # the reason, in words: what was compared with what
    evidence: Evidence | None = None
    forecast: Forecast | None = None
    confidence: float | None = None  # 0 to 1: how sure the rule is, where it has a measure of that
    how: str = ""  # of a closed episode: by itself, by a remedy, ...
    openings: int = 1  # how often it has opened within this episode
    recurrence: int = 1  # which time this is, of those within some months
    affected: int = 0  # devices that are silent because of it
    caused_by: str = ""  # the episode that explains this one
    fault: Fault | None = None  # None: the point's own device


class Learning(NamedTuple):
    """A rule that says nothing yet of a point because it still learns what is normal there, for views."""

    rule_id: str
    point: PointInfo
    share: float  # learnt so far, 0 to 1


class Standing(NamedTuple):
    """The present forecast of a rule about a point, told or not, and how good its forecasts have been; for views."""

    rule_id: str
    point: PointInfo
    forecast: Forecast | None  # None where no crossing is in sight
    is_told: bool  # its episode is open
    score: Score


class OpenEpisode(NamedTuple):
    """An episode that has been opened and not yet closed, for views."""

    episode: str
    rule_id: str
    point: PointInfo
    severity: Severity
    since: float
    clearing: bool  # well again, but not yet for long enough
    held: str  # why nothing is known at present ("sensor open"); empty when it is known
    caused_by: str = ""  # the episode that explains it


class Withheld(NamedTuple):
    """An episode that has been opened and is not told, for views."""

    rule_id: str
    point: PointInfo
    since: float
    why: str  # "settling", "muted" or the episode that explains it

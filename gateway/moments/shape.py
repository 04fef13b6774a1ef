"""The shape of a moment: a CloudEvent (CloudEvents 1.0, JSON format) around `Account`, its data.

Promise: these types are the shape on the wire; `config/moment.schema.json` is generated from them. A reader ignores fields that it
does not know, so fields may be added within a version of `type`; none changes its meaning.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from drivers.contract import PrivacyClass, Value
from gateway.diagnosis.contract import By, Kind, Layer, Phase, Severity

MAX_POINTS = 60


class Wire(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything that goes on the wire: what is absent or empty is left out."""


class Rule(Wire, frozen=True, kw_only=True):
    """The rule that spoke. `version` changes whenever a key of the rule does."""

    id: str
    kind: str
    version: str


class Device(Wire, frozen=True, kw_only=True):
    """The device as the hub knows it: by its config, and by what was said since of what was done to it.

    serviced: when it last had maintenance.
    """

    id: str
    label: str = ""
    maker: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    installed: date | None = None
    warranty_until: date | None = None
    serviced: date | None = None


class Forecast(Wire, frozen=True, kw_only=True):
    """When the point will cross a limit, in seconds from `time`; a missing end of the interval is open."""

    crosses: float
    in_s: int | None = None
    earliest_s: int | None = None
    latest_s: int | None = None
    confidence: float


class Evidence(Wire, frozen=True, kw_only=True):
    """What the hub saw: `values[i]` was read at `from` + i x `every_s`, give or take one step; null where there was no value.

    Minimum and maximum of the span are among the values. `readings` counts what was condensed into them.
    """

    unit: str = ""
    from_: Annotated[datetime, Meta(tz=True)] = field(name="from")
    every_s: float
    values: Annotated[tuple[Value | None, ...], Meta(max_length=MAX_POINTS)]
    readings: int


class Owner(Wire, frozen=True, kw_only=True):
    """Who puts it right, and the reason why it is them, in words.

    reachable: when they can be reached, by the hours in the hub's config: the time of the moment itself where that is now, else a
    later one; absent where nobody knows.
    """

    id: str
    name: str = ""
    contact: str = ""
    because: str
    reachable: Annotated[datetime, Meta(tz=True)] | None = None


class Desk(Wire, frozen=True, kw_only=True):
    """The one contact that the customer hears from."""

    name: str = ""
    contact: str = ""


class HandedOver(Wire, frozen=True, kw_only=True):
    """A case goes from one owner to another, because what was seen moved the fault: ids of owners, and the reason in words."""

    from_: str = field(name="from")
    to: str
    because: str


class Step(Wire, frozen=True, kw_only=True):
    """One thing that a person can do about it. effect: what comes of it when it helps; the hub watches for that where it can."""

    do: str
    by: By
    effect: str = ""


class Tried(Wire, frozen=True, kw_only=True):
    """What was done about a case, and what came of it.

    what: "remedy NAME", "step 2", "visit". result: begun (nobody knows yet), worked (it was seen to help), failed (it was done and
    did not help), harmed (it made things worse), impossible (it could not be done), interrupted (the hub ended in the middle, and
    nobody knows how far it came).
    """

    what: str
    at: Annotated[datetime, Meta(tz=True)]
    result: Literal["begun", "worked", "failed", "harmed", "impossible", "interrupted"]
    says: str = ""


class Comparison(Wire, frozen=True, kw_only=True):
    """What a point read before something was done about it, and what it reads after; absent where nobody knows."""

    point: str
    unit: str = ""
    before: Value | None = None
    after: Value | None = None


class Mentioned(Wire, frozen=True, kw_only=True):
    """Another case, its point, and what was said of it when it opened."""

    case: str
    subject: str
    says: str


class Replaced(Wire, frozen=True, kw_only=True):
    """A device that another one has taken the place of: its serial number and that of the one before, as far as they are known."""

    device: str
    serial: str = ""
    was: str = ""


class Visit(Wire, frozen=True, kw_only=True):
    """Somebody was on site; of kind `visit`.

    on: the devices that it was about, and buses as "bus.NAME". open_before and open_after: some of the cases about these that were
    open when it began and when it ended; `were_open` and `are_open` is how many there were. passed: how many came and went in
    between, of which nothing was told. done, found: what was noted. serviced: devices whose maintenance was done.
    """

    by: str
    from_: Annotated[datetime, Meta(tz=True)] = field(name="from")
    until: Annotated[datetime, Meta(tz=True)]
    on: tuple[str, ...] = ()
    were_open: int = 0
    open_before: tuple[Mentioned, ...] = ()
    are_open: int = 0
    open_after: tuple[Mentioned, ...] = ()
    passed: int = 0
    done: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    serviced: tuple[str, ...] = ()


class StillOpen(Wire, frozen=True, kw_only=True):
    """A case that is not closed: its point, what people call that, and who puts it right."""

    case: str = ""
    subject: str
    label: str
    severity: Severity
    since: Annotated[datetime, Meta(tz=True)]
    owner: str = ""


class Digest(Wire, frozen=True, kw_only=True):
    """The account of what the hub did from one digest to the next; of kind `digest`, whose `says` is the same as text.

    devices: that were watched, with so many readings. noticed: cases that opened, by kind. prevented: failures that were seen
    coming and did not come. healed: cases that closed, by what brought it about (itself, remedy, step, visit, owner, settings,
    other). changed: hand-overs, devices that were replaced, visits and changes of the settings. milestones: that were told. open:
    some of the cases that are, the gravest first; `are_open` is how many there are. asks: what the customer can do about them.
    """

    language: str
    from_: Annotated[datetime, Meta(tz=True)] = field(name="from")
    until: Annotated[datetime, Meta(tz=True)]
    devices: int = 0
    readings: int = 0
    noticed: dict[str, int] = {}
    prevented: int = 0
    healed: dict[str, int] = {}
    changed: dict[str, int] = {}
    milestones: int = 0
    are_open: int = 0
    open: tuple[StillOpen, ...] = ()
    asks: tuple[str, ...] = ()


class Hub(Wire, frozen=True, kw_only=True):
    """The hub when the moment was made.

    clock:    "synced", or "unsynced": its times are not to be trusted; "corrected": they were not, but have been put right since.
    timeline: names the hub's own timeline, where the clock was unsynced; `at` is when on it (s). Two moments of one timeline are
              as far apart as their `at`, whatever their times say.
    """

    clock: Literal["synced", "unsynced", "corrected"]
    version: str
    timeline: str = ""
    at: float | None = None


class Account(Wire, frozen=True, kw_only=True):
    """What happened, why the hub thinks so, and who should act: the `data` of a moment.

    `seq` has no gaps within one `generation` of the hub's store, except for moments that were dropped and counted. `since` is
    when the condition began. `because` is what was compared with what. `how` is said of a closed episode only. `counts` are numbers
    of moments that were not told one by one, by their rule or by the reason why not; of kind `hub` only. `caused_by` is the case
    that explains this one, `at_fault` the layer that it is laid to. `openings` is how often it has opened within this case,
    `recurrence` which time this is within some months, `affected` how many devices are silent because of it. `handed_over` is of
    the phase of that name, `tried` what was done about it so far, `steps` what people can do, in order. `comparisons` are points
    before and after that. `during` is the case of a visit, of what began while it was on and was told when it had ended. `bears_on`
    is what else is at stake: a warranty that ends soon or first, a maintenance that is due first. `privacy` is whose business the
    points are of which it speaks; of what is not "open" less may be told.
    """

    seq: Annotated[int, Meta(ge=0)]
    generation: str
    case: str
    kind: Kind
    phase: Phase
    severity: Severity
    rule: Rule
    device: Device | None = None
    says: str
    because: str = ""
    value: Value | None = None
    advice: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    since: Annotated[datetime, Meta(tz=True)]
    how: str = ""
    forecast: Forecast | None = None
    evidence: Evidence | None = None
    counts: dict[str, int] = {}
    owner: Owner
    desk: Desk | None = None
    caused_by: str = ""
    at_fault: Layer | None = None
    openings: int = 1
    recurrence: int = 1
    affected: int = 0
    handed_over: HandedOver | None = None
    tried: tuple[Tried, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    visit: Visit | None = None
    digest: Digest | None = None
    during: str = ""
    bears_on: tuple[Literal["warranty", "maintenance"], ...] = ()
    privacy: PrivacyClass = "open"
    hub: Hub


class Moment(Wire, frozen=True, kw_only=True, omit_defaults=False):
    """One moment as a CloudEvent. `subject` is the point, as "device/point"; `id` never repeats."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: Annotated[datetime, Meta(tz=True)]
    datacontenttype: Literal["application/json"] = "application/json"
    data: Account

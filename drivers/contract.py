"""What the hub and its drivers agree on, and nothing else.

A driver turns the words of one bus family into values. It never sleeps, retries, logs or catches what it cannot name: it
returns values or raises `DeviceFault`. Timing, retrying, parking and isolating are the business of `gateway/polling.py`.
Nothing of `gateway/` may be imported here; drivers know nothing of rules, moments or the uplink.

Two shapes of bus are enough. On a *polled* bus the hub asks (`PolledBus.read`); on a *broadcast* bus devices speak when they
like (`BroadcastBus.listen`). A bus may be both: a Bluetooth adapter hears adverts and reads characteristics.

Beside that a bus may be able to *act*: to write a point (`ActingBus`), to put its own medium right (`ResettableBus`). Both are
optional, and what may be written is only what the config declares so, point by point.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

# ---------------------------------------------------------------- values


class NoValue(msgspec.Struct, frozen=True):
    """The device was asked and there is no value; `reason` says why in a few plain words ("sensor open", "void").

    It is never 0, NaN or -1. It compares as outside of every range, so that `low <= value <= high` is false for it and
    whoever watches a range wakes up and looks.
    """

    reason: str

    def __lt__(self, other: object) -> bool:
        return False

    __le__ = __gt__ = __ge__ = __lt__


Value: TypeAlias = float | int | bool | str
Held: TypeAlias = Literal["number", "flag", "text"]
Outcome: TypeAlias = Value | NoValue


class Reading(NamedTuple):
    """One point at one time. `at` is in seconds of the hub's own timeline (`gateway/clock.py`), which never jumps."""

    point: str
    at: float
    value: Outcome


class Batch(msgspec.Struct, frozen=True):
    """The readings of one poll (or one advert) of one device, by column: cheap to make, cheap to walk.

    `points` is the same tuple object from poll to poll where the device is polled, so that a reader can keep its plan by it.
    """

    device: str
    at: float
    points: tuple[str, ...]
    values: tuple[Outcome, ...]

    def __iter__(self) -> Iterator[Reading]:
        at = self.at
        return (Reading(point, at, value) for point, value in zip(self.points, self.values, strict=True))


# ---------------------------------------------------------------- faults

FaultKind = Literal["silent", "garbled", "refused", "gone", "busy", "misfit"]


class DeviceFault(Exception):  # noqa: N818  (the design's word: a device is at fault, not the program)
    """A device or its bus did not do what was asked.

    kind:  silent (no answer in time), garbled (an answer that fails its checks), refused (the device said no), gone (the port,
           adapter or connection is not there), busy (try later), misfit (answers, but not as this profile says).
    layer: "device" when its neighbours on the bus may well be fine, "bus" when nothing on this bus can work now.
    hint:  what a technician should try, as one short sentence.
    """

    def __init__(self, what: str, *, kind: FaultKind, layer: Literal["device", "bus"] = "device", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.kind: FaultKind = kind
        self.layer: Literal["device", "bus"] = layer
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}" if self.hint else self.what


class NotTaken(DeviceFault):
    """A write was acknowledged, but what was read back is something else: `found`."""

    def __init__(self, what: str, found: Outcome, *, hint: str = "") -> None:
        super().__init__(what, kind="refused", hint=hint)
        self.found = found


# ---------------------------------------------------------------- keys: what a technician writes

Seconds = Annotated[float, msgspec.Meta(extra={"unit": "s"})]
"""A time, written with its unit: "500 ms", "5 s", "10 min", "2 h", "7 d". Never negative; a key may set its own least with `ge`."""

Secret = Annotated[str, msgspec.Meta(extra={"secret": True})]
"""Written by reference only ({ file = ... }, { env = ... }, { credential = ... }); holds the resolved text, read at start.

The text is empty where a config is only checked. It prints as stars, in an f-string too: take it by `.encode()` or the like.
"""


class Keys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table of the config. Field names are the keys; `msgspec.Meta(description=...)` is what help shows.

    A field called `is_`, `from_` or the like is written without the underscore. What concerns several keys of one table is
    checked in `__post_init__`, which raises `KeyMistake`.
    """


class KeyMistake(ValueError):  # noqa: N818  (a person made it, not the program)
    """Raised by `__post_init__` of a `Keys` class: `key` is where the person should look ("" for the table as a whole)."""

    def __init__(self, key: str, found: str, expected: str) -> None:
        super().__init__(f"{key}: {found}; expected {expected}")
        self.key, self.found, self.expected = key, found, expected


PrivacyClass: TypeAlias = Literal["open", "household", "personal"]
"""Whose business a value is: nobody's in particular, that of those who live there, or one person's."""


class PointKeys(Keys, frozen=True, kw_only=True):
    """Keys that every point has, whatever its bus; a driver's point keys inherit from this."""

    unit: Annotated[str, msgspec.Meta(description='Unit of the value, as people write it: "°C", "W", "kWh", "bar".')] = ""
    label: Annotated[str, msgspec.Meta(description="What a person calls it; the point's name where this is empty.")] = ""
    privacy: Annotated[
        Literal["", "open", "household", "personal"],
        msgspec.Meta(description="Its class, which says what may leave the hub; that of its device where this is empty."),
    ] = ""

    @property
    def told(self) -> bool:
        """Whether the device ever tells its value; one that is only ever written is watched by no rule."""
        return True

    @property
    def holds(self) -> Held:
        """What its values are, as far as the keys tell; a rule that can do nothing with that is a mistake in the config."""
        return "number"


class DeviceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One device as its driver gets it: `keys` is of the driver's `device_keys`, each point of its `point_keys`.

    timeout: seconds after which a `read` is cut short. What only the driver can know, such as noise instead of silence, it tells
        before that.
    """

    name: str
    keys: Any
    points: Mapping[str, Any]
    timeout: float


class BusSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One bus as its driver gets it: `keys` is of the driver's `bus_keys`."""

    name: str
    keys: Any
    devices: tuple[DeviceSpec, ...]


class Complaint(NamedTuple):
    """A mistake that only the driver can see: where (a path below the bus or device), what was found, what was expected."""

    path: tuple[str, ...]  # ("device", "meter-1", "points", "power", "count") or ("bus", "plant", "port")
    found: str
    expected: str


class Misfit(NamedTuple):
    """Why something cannot be written: what was found, what was expected ("21.53, between two of its values", "21.5 or 21.6").

    of_point: no value would do, for the point is not declared writable.
    """

    found: str
    expected: str
    of_point: bool = False

    def __str__(self) -> str:
        return f"{self.found}; expected {self.expected}"


# ---------------------------------------------------------------- the two shapes

Hear: TypeAlias = Callable[[str, tuple[str, ...], tuple[Outcome, ...]], None]
"""hear(device, points, values): called on the event loop for what a broadcast device said; returns at once."""

Tell: TypeAlias = Callable[[str, str], None]
"""tell(device or bus name, text): for the rare thing worth telling a person once, such as an address the device refuses."""


class PolledBus(Protocol):
    """A bus on which the hub asks. One task uses it at a time, except that `parallel` reads may run at once."""

    parallel: int
    polled: Mapping[str, tuple[str, ...]]  # device -> its points, in the order in which `read` returns values

    async def connect(self) -> None:
        """Open the port, socket or adapter; does nothing when open. Raises DeviceFault(layer="bus")."""

    async def read(self, device: str) -> tuple[Outcome, ...]:
        """All points of one device, in the order of `polled[device]`. Raises DeviceFault. Safe to cancel at any await."""

    async def close(self) -> None:
        """Let go of everything; never raises, may be called twice, and `connect` works again after it."""


class BroadcastBus(Protocol):
    """A bus on which devices speak by themselves."""

    heard: Mapping[str, tuple[str, ...]]  # device -> the points it may say

    async def listen(self, hear: Hear) -> None:
        """Hear until cancelled. Raises DeviceFault(layer="bus") when the medium is gone or deaf; then it is called again."""

    async def close(self) -> None:
        """As for a polled bus."""


Bus: TypeAlias = Any
"""A PolledBus, a BroadcastBus or both; told apart by whether `polled` and `heard` have entries."""


class ActingBus(Protocol):
    """What a bus offers beside its shape where it can write. It has `PolledBus.connect` and `close` in any case."""

    writable: Mapping[str, frozenset[str]]  # device -> those of its points that the config declares writable

    def misfit(self, device: str, point: str, value: Value) -> Misfit | None:
        """Why this cannot be written, found without touching the device; None where it can. Never raises."""

    async def write(self, device: str, point: str, value: Value) -> Outcome:
        """Write one point, in the unit in which it is read, and read it back: what was read, or NoValue where nothing can be.

        Raises DeviceFault: NotTaken where it reads back as something else; kind "misfit", before anything is sent, where
        `misfit` has something to say. After any other fault it is not known whether the device took it. May take twice the
        device's timeout: once to write, once to read back. Safe to cancel at any await, and never written twice.
        """


class ResettableBus(Protocol):
    """What a bus offers besides where it can put its own medium right, such as an adapter that is switched off and on."""

    async def reset(self) -> None:
        """Do so, and be usable afterwards. Raises DeviceFault(layer="bus"). Never leaves the medium off, even when cancelled."""

    async def restore(self) -> None:
        """Have the medium on, which SIGKILL in a reset may have left off; one that is on is left alone. Raises as `reset`."""


class ActingDriver(Protocol):
    """What a `Driver` offers besides where its buses can act."""

    resets: bool  # whether they are each a ResettableBus; where this is missing, they are none

    def misfit(self, device: DeviceSpec, point: str, value: Value) -> Misfit | None:
        """As `ActingBus.misfit`, for a config that is only checked."""


class Driver(Protocol):
    """One bus family: the object behind an entry point of the group `canary.drivers`."""

    family: str  # "modbus", "serial", "ble": which profiles fit
    bus_keys: type[Keys]
    device_keys: type[Keys]
    point_keys: type[PointKeys]
    sample_keys: type[Keys]  # a profile's `[[samples]]`: the raw bytes of one exchange; the key `readings` is not among them

    def check(self, bus: BusSpec) -> Sequence[Complaint]:
        """Mistakes across keys, found without touching any device."""

    def open(self, bus: BusSpec, tell: Tell) -> Bus:
        """Plan the reads; no I/O yet."""

    def decode(self, device: DeviceSpec, sample: Any) -> Mapping[str, Outcome]:
        """What the recorded exchange of a profile's sample says, by the very code that decodes live answers."""

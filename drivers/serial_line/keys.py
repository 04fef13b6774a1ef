"""What a technician writes about devices on a serial line, and the mistakes in it that only the driver can see. Pure."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta

from drivers.contract import BusSpec, Complaint, DeviceSpec, KeyMistake, Keys, Seconds
from drivers.serial_line.checksum import ChecksumKeys
from drivers.serial_line.commands import check_command
from drivers.serial_line.framing import FrameKeys, check_octets
from drivers.serial_line.parsing import ParseKeys, SaidKeys, check_prefix, misfits, places_of


class SerialDeviceKeys(ParseKeys, frozen=True, kw_only=True):
    """`[device.NAME]` on a serial line. "{address}" in what is sent and expected stands for `address`."""

    frame: FrameKeys
    checksum: ChecksumKeys | None = None
    address: Annotated[str, Meta(description='Which of the devices on the line it is: "01".')] = ""
    request: Annotated[
        str, Meta(description='What it is asked with; "{checksum}" is filled in. One that talks by itself has none.')
    ] = ""
    requests: Annotated[Mapping[str, str], Meta(description="Several requests by name; each point then names its `request`.")] = {}
    wake: Annotated[str, Meta(description="Sent before every request to a device that sleeps.")] = ""
    wake_pause: Annotated[Seconds, Meta(le=5, description="Silence that a device needs after `wake`.")] = 0.1
    command_pause: Annotated[
        Seconds, Meta(ge=0.01, le=5, description="Silence after a `command`, before it is asked whether it took it.")
    ] = 0.2
    when: Annotated[
        str | tuple[str, ...],
        Meta(description='Only frames that begin so (or so) are its: ">{address}", "hex: 02 ??" with any byte.'),
    ] = ()
    refusal: Annotated[str | tuple[str, ...], Meta(description="A frame that begins so (or so) says that the device refuses.")] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.request and self.requests:
            raise KeyMistake("requests", "requests beside a request", "one of them")
        sent = {"request": self.request, "wake": self.wake, **{f"requests.{name}": text for name, text in self.requests.items()}}
        for key, text in sent.items():
            if "{checksum}" in text and self.checksum is None:
                raise KeyMistake(key, '"{checksum}" without a checksum', "`checksum`, which says how it is made")
            check_octets(key, self.addressed(text).replace("{checksum}", ""))
        check_prefix("when", self.prefixes(self.when))
        check_prefix("refusal", self.prefixes(self.refusal))

    @property
    def questions(self) -> Mapping[str, str]:
        """Every request by name; a single one has the empty name."""
        return {"": self.request} if self.request else self.requests

    def addressed(self, text: str) -> str:
        """The text with this device's address in it."""
        return text.replace("{address}", self.address)

    def prefixes(self, texts: str | tuple[str, ...]) -> tuple[str, ...]:
        """Likewise of what is expected, whether one text or several were written."""
        return tuple(self.addressed(text) for text in ((texts,) if isinstance(texts, str) else texts))


class SerialPointKeys(SaidKeys, frozen=True, kw_only=True):
    """`[device.NAME.points.POINT]` on a serial line."""

    request: Annotated[str, Meta(description="Which of the device's `requests` it answers to.")] = ""
    command: Annotated[
        str, Meta(description='What sets it: "R1={value}\\r"; "{checksum}" is filled in. A remedy may write a point that has one.')
    ] = ""
    on: Annotated[str, Meta(description='How true is written in its `command`: "ON", "01".')] = ""
    off: Annotated[str, Meta(description="How false is written there.")] = ""
    write_only: Annotated[bool, Meta(description="No frame ever says it; it has a `command` and nothing else.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_octets("command", check_command("command", self.command).replace("{address}", "").replace("{checksum}", ""))
        for key, other in (("on", self.off), ("off", self.on)):
            text = getattr(self, key)
            if text and not (self.command and other):
                raise KeyMistake(key, f'"{text}" alone', "`command`, `on` and `off` together")
            check_octets(key, f"hex:{text}" if self.command.startswith("hex:") else text)
        if self.write_only and (not self.command or places_of(self)):
            found = places_of(self)[0] if self.command else "no `command`"
            raise KeyMistake("write_only", found, "a `command`, and no place in a frame")

    @property
    def told(self) -> bool:
        """See `PointKeys.told`."""
        return not self.write_only

    @property
    def words(self) -> Mapping[bool, str]:
        """How true and false are written, where the config says so."""
        return {True: self.on, False: self.off} if self.on else {}


class SerialSampleKeys(Keys, frozen=True, kw_only=True):
    """`[[samples]]`: what a device sent, terminator and checksum included."""

    frame: Annotated[str, Meta(min_length=1, description='Text, or "hex:" and digits.')]
    request: Annotated[str, Meta(description="Which of the device's `requests` it answers.")] = ""

    def __post_init__(self) -> None:
        check_octets("frame", self.frame)


# ---------------------------------------------------------------- mistakes across keys


def complaints(bus: BusSpec) -> Iterator[Complaint]:
    """Mistakes across the keys of a bus, its devices and their points."""
    asked = [device.name for device in bus.devices if device.keys.questions]
    talkers = [device.name for device in bus.devices if said_points(device) and not device.keys.questions]
    for device in bus.devices:
        keys: SerialDeviceKeys = device.keys
        place = ("device", device.name)
        for path, found, expected in misfits(keys, said_points(device)):
            yield Complaint((*place, *path), found, expected)
        for name, point in device.points.items():
            if "{checksum}" in point.command and keys.checksum is None:
                found = '"{checksum}" without a checksum'
                yield Complaint((*place, "points", name, "command"), found, "`checksum` of the device, which says how it is made")
        if device.name in talkers:
            if asked:
                yield Complaint(place, f'no request, while "{asked[0]}" on the same bus has one', "a bus of its own, or a request")
            if len(talkers) > 1 and not keys.when:
                yield Complaint(place, f"{len(talkers)} devices that talk by themselves on one bus", "`when`: how its frames begin")
            if keys.frame.end == "" and keys.frame.gap is None and not (keys.frame.start or keys.checksum):
                yield Complaint((*place, "frame"), "frames of a talker with neither start nor checksum", "`start`, or `checksum`")
        yield from _unasked(device)


def said_points(device: DeviceSpec) -> dict[str, SerialPointKeys]:
    """The points that its frames say; the others are only ever written."""
    return {name: point for name, point in device.points.items() if not point.write_only}


def _unasked(device: DeviceSpec) -> Iterator[Complaint]:
    """Points of no request, and requests of no point."""
    keys: SerialDeviceKeys = device.keys
    questions = keys.questions or {"": ""}
    for name, point in said_points(device).items():
        if point.request not in questions:
            known = ", ".join(f'"{question}"' for question in questions if question) or "none: the device has one request at most"
            yield Complaint(("device", device.name, "points", name, "request"), f'"{point.request}"', known)
    for question in keys.requests.keys() - {point.request for point in said_points(device).values()}:
        yield Complaint(("device", device.name, "requests", question), "a request of no point", "a point that names it")

"""Devices on a serial line that speak in lines or frames: meters, scales, sensors, receivers. All from TOML, without code.

A device with a `request` is asked; several may share a line, in turn. A device without one talks by itself and is listened to.
`framing.py` says where its frames begin and end, `checksum.py` whether one arrived whole, `parsing.py` what it says.

The port is looked up at every opening: an adapter that was pulled out and put back is found again, whatever it is called now.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from drivers.contract import BusSpec, Complaint, DeviceFault, DeviceSpec, Hear, KeyMistake, Keys, Outcome, Seconds, Tell
from drivers.layout import MISSING
from drivers.serial_line.checksum import Checksum, ChecksumKeys
from drivers.serial_line.framing import FrameKeys, Framer, Garbled, check_octets, octets
from drivers.serial_line.line import Echo, Line, LineKeys, gone, open_line
from drivers.serial_line.parsing import ParseKeys, SaidKeys, check_prefix, compile_parser, compile_prefix, misfits

ASKING = 0.95  # of the time a read may take: the rest is for telling what was wrong, before the hub gives up by itself
GARBLED_IN_A_ROW = 3  # so many bad frames of a talker are no bad luck, but a wrong setting or a bad line
WIRING = "check baud, parity and wiring, and the termination of a long line"

# ---------------------------------------------------------------- keys


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


class SerialSampleKeys(Keys, frozen=True, kw_only=True):
    """`[[samples]]`: what a device sent, terminator and checksum included."""

    frame: Annotated[str, Meta(min_length=1, description='Text, or "hex:" and digits.')]
    request: Annotated[str, Meta(description="Which of the device's `requests` it answers.")] = ""

    def __post_init__(self) -> None:
        check_octets("frame", self.frame)


# ---------------------------------------------------------------- one device, planned


class _Question:
    """One request and what its answer says."""

    def __init__(self, keys: SerialDeviceKeys, text: str, points: Mapping[str, SerialPointKeys], checksum: Checksum | None) -> None:
        self.request = _request(keys.addressed(text), checksum)
        self.parse = compile_parser(keys, points)


def _request(text: str, checksum: Checksum | None) -> bytes:
    head, placeholder, rest = text.partition("{checksum}")
    body = octets(head)
    if not placeholder or checksum is None:
        return body
    return body + checksum.seal(body) + octets("hex:" + rest if head.startswith("hex:") else rest)


class _Device:
    """What is known of one device before any byte is read."""

    def __init__(self, spec: DeviceSpec) -> None:
        keys: SerialDeviceKeys = spec.keys
        self.name = spec.name
        self.points = tuple(spec.points)
        self.patience = spec.timeout * ASKING
        self.proven = keys.checksum is not None
        checksum = Checksum(keys.checksum) if keys.checksum else None
        self.framer = Framer(keys.frame, checksum)
        self.parse = compile_parser(keys, spec.points)
        self.is_its = compile_prefix(keys.prefixes(keys.when))
        self.refuses = compile_prefix(keys.prefixes(keys.refusal)) if keys.refusal else None
        self.wake, self.wake_pause = octets(keys.addressed(keys.wake)), keys.wake_pause
        self.questions = {
            question: _Question(keys, text, {n: point for n, point in spec.points.items() if point.request == question}, checksum)
            for question, text in keys.questions.items()
        }
        self.garbled_in_a_row = 0


class _Evidence:
    """What came instead of an answer, and so whose fault the silence is."""

    def __init__(self) -> None:
        self.restless = False
        self.came = False
        self.garbled = ""
        self.unfit = False

    def fault(self, device: _Device) -> DeviceFault:
        if self.restless:
            what = f"{device.name} cannot be asked: its line is never silent"
            return DeviceFault(what, kind="busy", hint="does a device on this line talk by itself? It needs a line of its own")
        if self.garbled:
            return DeviceFault(f"{device.name} answered, but {self.garbled}", kind="garbled", hint=WIRING)
        if self.unfit and device.proven:
            return DeviceFault(
                f"{device.name} answers, but says nothing of its points",
                kind="misfit",
                hint="is it the model of this profile? Compare an answer with its points",
            )
        if self.unfit or self.came:
            return DeviceFault(f"{device.name}: what came is no answer", kind="garbled", hint=WIRING)
        return DeviceFault(f"{device.name} does not answer", kind="silent", hint="check power, wiring and address")


# ---------------------------------------------------------------- the bus


class SerialBus:
    """One serial line with the devices on it: all asked, or all listened to."""

    parallel = 1

    def __init__(self, spec: BusSpec, tell: Tell) -> None:
        self._keys: LineKeys = spec.keys
        self._tell = tell
        self._devices = {device.name: _Device(device) for device in spec.devices}
        self.polled = {name: device.points for name, device in self._devices.items() if device.questions}
        self.heard = {name: device.points for name, device in self._devices.items() if not device.questions}
        self.dropped: Counter[str] = Counter()  # bad frames of each talker
        self._told: set[str] = set()
        self._line: Line | None = None

    async def connect(self) -> None:
        """See `PolledBus.connect`."""
        if self._line is None or self._line.lost:
            self._line = await open_line(self._keys)

    async def close(self) -> None:
        """See `PolledBus.close`."""
        if self._line is not None:
            self._line.close()
            self._line = None

    async def read(self, device: str) -> tuple[Outcome, ...]:
        """See `PolledBus.read`. Waits for a good answer to the last, whatever else comes; then says what came instead."""
        asked, evidence = self._devices[device], _Evidence()
        said: dict[str, Outcome] = {}
        try:
            async with asyncio.timeout(asked.patience):
                for question in asked.questions.values():
                    evidence = _Evidence()
                    said |= await self._ask(asked, question, evidence)
        except TimeoutError:
            raise evidence.fault(asked) from None
        return tuple([said.get(point, MISSING) for point in asked.points])

    async def _ask(self, asked: _Device, question: _Question, evidence: _Evidence) -> dict[str, Outcome]:
        line = self._line
        if line is None:
            raise gone(self._keys.port)
        evidence.restless = True
        await line.hush(self._keys.gap)
        if asked.wake:
            line.send(asked.wake)
            await line.hush(asked.wake_pause)
        evidence.restless = False
        asked.framer.reset()
        line.send(question.request)
        echo = Echo(question.request if self._keys.echo else b"")
        while True:
            came = await line.receive(asked.framer.gap)
            data = echo.without(came)
            evidence.came = evidence.came or bool(data)
            for frame in asked.framer.feed(data) if came else asked.framer.idle():
                if isinstance(frame, Garbled):
                    evidence.garbled = frame.reason
                elif asked.refuses and asked.refuses(frame):
                    raise DeviceFault(f"{asked.name} refuses: {frame[:40]!r}", kind="refused", hint="check `request` and `address`")
                elif not asked.is_its(frame):
                    evidence.came = False  # a whole frame of somebody else
                elif said := question.parse(frame):
                    return said
                else:
                    evidence.unfit = True

    async def listen(self, hear: Hear) -> None:
        """See `BroadcastBus.listen`. A bad frame is dropped and counted, and told once when it is not alone."""
        await self.connect()
        line = self._line
        assert line is not None
        talkers = [self._devices[name] for name in self.heard]
        gaps = [device.framer.gap for device in talkers if device.framer.gap]
        step, longest, idle = min(gaps, default=None), max(gaps, default=0.0), 0.0
        try:
            while True:
                data = await line.receive(step if idle < longest else None)
                idle = 0.0 if data else idle + (step or 0.0)
                for device in talkers:
                    if data:
                        self._hear(device, device.framer.feed(data), hear)
                    elif (device.framer.gap or 0.0) <= idle:
                        self._hear(device, device.framer.idle(), hear)
        finally:
            for device in talkers:
                device.framer.reset()
            await self.close()

    def _hear(self, device: _Device, frames: list[bytes | Garbled], hear: Hear) -> None:
        for frame in frames:
            if isinstance(frame, Garbled):
                self._drop(device, frame)
            elif device.is_its(frame):
                device.garbled_in_a_row = 0
                if said := device.parse(frame):
                    hear(device.name, tuple(said), tuple(said.values()))

    def _drop(self, device: _Device, frame: Garbled) -> None:
        self.dropped[device.name] += 1
        device.garbled_in_a_row += 1
        if device.garbled_in_a_row >= GARBLED_IN_A_ROW and device.name not in self._told:
            self._told.add(device.name)
            self._tell(device.name, f"{GARBLED_IN_A_ROW} frames in a row are bad: {frame.reason}; {WIRING}")


# ---------------------------------------------------------------- the driver


class SerialDriver:
    """Driver "serial"."""

    family = "serial"
    bus_keys = LineKeys
    device_keys = SerialDeviceKeys
    point_keys = SerialPointKeys
    sample_keys = SerialSampleKeys

    def check(self, bus: BusSpec) -> Sequence[Complaint]:
        """See `Driver.check`."""
        return list(_complaints(bus))

    def open(self, bus: BusSpec, tell: Tell) -> SerialBus:
        """See `Driver.open`."""
        return SerialBus(bus, tell)

    def decode(self, device: DeviceSpec, sample: SerialSampleKeys) -> Mapping[str, Outcome]:
        """See `Driver.decode`. Raises DeviceFault where the sample holds a bad frame or none, or answers no request."""
        decoder = _Device(device)
        if device.keys.requests and sample.request not in decoder.questions:
            hint = "name it: " + ", ".join(f'request = "{question}"' for question in decoder.questions)
            raise DeviceFault(f"a sample of {device.name} answers no request", kind="misfit", hint=hint)
        parse = decoder.questions[sample.request].parse if device.keys.requests else decoder.parse
        frames = decoder.framer.feed(octets(sample.frame)) + decoder.framer.idle()
        said: dict[str, Outcome] = {}
        for frame in frames or [Garbled("it holds no whole frame")]:
            if isinstance(frame, Garbled):
                raise DeviceFault(f"a sample of {device.name} is no good: {frame.reason}", kind="garbled")
            if decoder.is_its(frame):
                said |= parse(frame)
        return said


def _complaints(bus: BusSpec) -> Iterator[Complaint]:
    asked = [device.name for device in bus.devices if device.keys.questions]
    talkers = [device.name for device in bus.devices if not device.keys.questions]
    for device in bus.devices:
        keys: SerialDeviceKeys = device.keys
        place = ("device", device.name)
        for path, found, expected in misfits(keys, device.points):
            yield Complaint((*place, *path), found, expected)
        if device.name in talkers:
            if asked:
                yield Complaint(place, f'no request, while "{asked[0]}" on the same bus has one', "a bus of its own, or a request")
            if len(talkers) > 1 and not keys.when:
                yield Complaint(place, f"{len(talkers)} devices that talk by themselves on one bus", "`when`: how its frames begin")
            if keys.frame.end == "" and keys.frame.gap is None and not (keys.frame.start or keys.checksum):
                yield Complaint((*place, "frame"), "frames of a talker with neither start nor checksum", "`start`, or `checksum`")
        yield from _unasked(device)


def _unasked(device: DeviceSpec) -> Iterator[Complaint]:
    """Points of no request, and requests of no point."""
    keys: SerialDeviceKeys = device.keys
    questions = keys.questions or {"": ""}
    for name, point in device.points.items():
        if point.request not in questions:
            known = ", ".join(f'"{question}"' for question in questions if question) or "none: the device has one request at most"
            yield Complaint(("device", device.name, "points", name, "request"), f'"{point.request}"', known)
    for question in keys.requests.keys() - {point.request for point in device.points.values()}:
        yield Complaint(("device", device.name, "requests", question), "a request of no point", "a point that names it")


SERIAL = SerialDriver()

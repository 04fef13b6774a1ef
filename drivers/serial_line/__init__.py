"""Devices on a serial line that speak in lines or frames: meters, scales, sensors, receivers. All from TOML, without code.

A device with a `request` is asked; several may share a line, in turn. A device without one talks by itself and is listened to.
`framing.py` says where its frames begin and end, `checksum.py` whether one arrived whole, `parsing.py` what it says.

The port is looked up at every opening: an adapter that was pulled out and put back is found again, whatever it is called now.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from drivers import inverse
from drivers.contract import BusSpec, Complaint, DeviceFault, DeviceSpec, Hear, Misfit, NotTaken, NoValue, Outcome, Tell, Value
from drivers.layout import MISSING
from drivers.serial_line.device import Device, Question, misfit
from drivers.serial_line.framing import Garbled, octets
from drivers.serial_line.keys import SerialDeviceKeys, SerialPointKeys, SerialSampleKeys, complaints
from drivers.serial_line.line import Echo, Line, LineKeys, gone, open_line

UNSAID = NoValue("the device does not say it")
GARBLED_IN_A_ROW = 3  # so many bad frames of a talker are no bad luck, but a wrong setting or a bad line
WIRING = "check baud, parity and wiring, and the termination of a long line"


class _Evidence:
    """What came instead of an answer, and so whose fault the silence is."""

    def __init__(self) -> None:
        self.restless = False
        self.came = False
        self.garbled = ""
        self.unfit = False

    def fault(self, device: Device) -> DeviceFault:
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


def _sift(asked: Device, came: bytes, echo: Echo, evidence: _Evidence) -> Iterator[bytes]:
    """The device's own whole frames in what came (nothing came: in what came before); the rest is evidence."""
    data = echo.without(came)
    evidence.came = evidence.came or bool(data)
    for frame in asked.framer.feed(data) if came else asked.framer.idle():
        if isinstance(frame, Garbled):
            evidence.garbled = frame.reason
        elif asked.refuses and asked.refuses(frame):
            hint = "check `request`, `command` and `address`"
            raise DeviceFault(f"{asked.name} refuses: {frame[:40]!r}", kind="refused", hint=hint)
        elif not asked.is_its(frame):
            evidence.came = False  # a whole frame of somebody else
        else:
            yield frame


class _Awaited:
    """A point that somebody waits for, of a device that talks by itself. `came` is done when it agrees."""

    def __init__(self, device: str, point: str, agrees: Callable[[Outcome], bool]) -> None:
        self.found: Outcome = UNSAID
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._device, self._point, self._agrees = device, point, agrees

    def hear(self, device: str, said: Mapping[str, Outcome]) -> None:
        """It said something."""
        if device == self._device and self._point in said:
            self.found = said[self._point]
            if self._agrees(self.found) and not self.came.done():
                self.came.set_result(None)


# ---------------------------------------------------------------- the bus


class SerialBus:
    """One serial line with the devices on it: all asked, or all listened to. See `PolledBus`, `BroadcastBus`, `ActingBus`."""

    parallel = 1

    def __init__(self, spec: BusSpec, tell: Tell) -> None:
        self._keys: LineKeys = spec.keys
        self._tell = tell
        self._devices = {device.name: Device(device) for device in spec.devices}
        self.polled = {name: device.points for name, device in self._devices.items() if device.questions}
        self.heard = {name: device.points for name, device in self._devices.items() if device.points and not device.questions}
        self.writable = {name: frozenset(device.commands) for name, device in self._devices.items() if device.commands}
        self.dropped: Counter[str] = Counter()  # bad frames of each talker
        self._told: set[str] = set()
        self._opening = asyncio.Lock()
        self._line: Line | None = None
        self._listening = False
        self._awaited: _Awaited | None = None

    async def connect(self) -> None:
        """See `PolledBus.connect`."""
        async with self._opening:
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

    async def _ask(self, asked: Device, question: Question, evidence: _Evidence) -> dict[str, Outcome]:
        line, echo = await self._send(asked, question.request, evidence)
        while True:
            came = await line.receive(asked.framer.gap)
            for frame in _sift(asked, came, echo, evidence):
                if said := question.parse(frame):
                    return said
                evidence.unfit = True

    async def _send(self, asked: Device, data: bytes, evidence: _Evidence) -> tuple[Line, Echo]:
        """Wait for silence, wake the device, and send."""
        line = self._present_line()
        evidence.restless = True
        await line.hush(self._keys.gap)
        if asked.wake:
            line.send(asked.wake)
            await line.hush(asked.wake_pause)
        evidence.restless = False
        asked.framer.reset()
        line.send(data)
        return line, Echo(data if self._keys.echo else b"")

    def _present_line(self) -> Line:
        if self._line is None:
            raise gone(self._keys.port)
        return self._line

    # ------------------------------------------------------------ writing

    def misfit(self, device: str, point: str, value: Value) -> Misfit | None:
        """See `ActingBus`."""
        planned = self._devices[device].commands[point].plan(value)
        return planned if isinstance(planned, Misfit) else None

    async def write(self, device: str, point: str, value: Value) -> Outcome:
        """See `ActingBus`. What counts is what it says when asked again; else what it answers to the command, or says by itself."""
        told = self._devices[device]
        command = told.commands[point]
        data = command.plan(value)
        if isinstance(data, Misfit):
            raise DeviceFault(f"{point}: {data}", kind="misfit")
        if device in self.heard:
            found = await self._tell_talker(told, point, data, lambda said: command.agrees(said, value))
        else:
            found = (await self._command(told, data)).get(point, UNSAID)
            if question := told.question_of.get(point):
                found = (await self._ask_again(told, question)).get(point, UNSAID)
        if found is not UNSAID and not command.agrees(found, value):
            what = f"{point} was set to {inverse.show(value)}, but reads back {inverse.show(found)}"
            raise NotTaken(what, found, hint="is it locked, or does something else set it, too?")
        return found

    async def _command(self, told: Device, data: bytes) -> dict[str, Outcome]:
        """Send a command; what it says to that, until it has been silent for a while. Raises DeviceFault where it refuses."""
        said: dict[str, Outcome] = {}
        evidence, silent = _Evidence(), 0.0
        step = min(told.framer.gap or told.pause, told.pause)
        try:
            async with asyncio.timeout(told.patience):
                line, echo = await self._send(told, data, evidence)
                while silent < told.pause:
                    came = await line.receive(step)
                    silent = 0.0 if came else silent + step
                    for frame in _sift(told, came, echo, evidence):
                        said |= told.parse(frame)
        except TimeoutError:
            if evidence.restless:  # it was never sent
                raise evidence.fault(told) from None
        return said

    async def _ask_again(self, told: Device, question: Question) -> dict[str, Outcome]:
        evidence = _Evidence()
        try:
            async with asyncio.timeout(told.patience):
                return await self._ask(told, question, evidence)
        except TimeoutError:
            raise evidence.fault(told) from None

    async def _tell_talker(self, told: Device, point: str, data: bytes, agrees: Callable[[Outcome], bool]) -> Outcome:
        """Send a command to a device that talks by itself, and wait until it says so, if it ever says that point."""
        line = self._present_line()
        line.send(data)
        if point not in told.points or not self._listening:
            return UNSAID
        awaited = self._awaited = _Awaited(told.name, point, agrees)
        try:
            async with asyncio.timeout(told.patience):
                await awaited.came
        except TimeoutError:
            if awaited.found is UNSAID:
                hint = "check power and wiring; a device that says it rarely needs a longer timeout"
                raise DeviceFault(f"{told.name} has not said {point} since", kind="silent", hint=hint) from None
        finally:
            self._awaited = None
        return awaited.found

    # ------------------------------------------------------------ listening

    async def listen(self, hear: Hear) -> None:
        """See `BroadcastBus.listen`. A bad frame is dropped and counted, and told once when it is not alone."""
        await self.connect()
        line = self._line
        assert line is not None
        talkers = [self._devices[name] for name in self.heard]
        gaps = [device.framer.gap for device in talkers if device.framer.gap]
        step, longest, idle = min(gaps, default=None), max(gaps, default=0.0), 0.0
        self._listening = True
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
            self._listening = False
            for device in talkers:
                device.framer.reset()
            await self.close()

    def _hear(self, device: Device, frames: list[bytes | Garbled], hear: Hear) -> None:
        for frame in frames:
            if isinstance(frame, Garbled):
                self._drop(device, frame)
            elif device.is_its(frame):
                device.garbled_in_a_row = 0
                if said := device.parse(frame):
                    hear(device.name, tuple(said), tuple(said.values()))
                    if self._awaited:
                        self._awaited.hear(device.name, said)

    def _drop(self, device: Device, frame: Garbled) -> None:
        self.dropped[device.name] += 1
        device.garbled_in_a_row += 1
        if device.garbled_in_a_row >= GARBLED_IN_A_ROW and device.name not in self._told:
            self._told.add(device.name)
            self._tell(device.name, f"{GARBLED_IN_A_ROW} frames in a row are bad: {frame.reason}; {WIRING}")


# ---------------------------------------------------------------- the driver


class SerialDriver:
    """Driver "serial". See `Driver` and `ActingDriver`."""

    family = "serial"
    resets = False
    bus_keys = LineKeys
    device_keys = SerialDeviceKeys
    point_keys = SerialPointKeys
    sample_keys = SerialSampleKeys

    def check(self, bus: BusSpec) -> Sequence[Complaint]:
        """See `Driver.check`."""
        return list(complaints(bus))

    def open(self, bus: BusSpec, tell: Tell) -> SerialBus:
        """See `Driver.open`."""
        return SerialBus(bus, tell)

    def misfit(self, device: DeviceSpec, point: str, value: Value) -> Misfit | None:
        """See `ActingDriver.misfit`."""
        return misfit(device, point, value)

    def decode(self, device: DeviceSpec, sample: SerialSampleKeys) -> Mapping[str, Outcome]:
        """See `Driver.decode`. Raises DeviceFault where the sample holds a bad frame or none, or answers no request."""
        decoder = Device(device)
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


SERIAL = SerialDriver()

"""Bluetooth Low Energy: adverts are heard, characteristics are asked for.

A device is one or the other. A *broadcaster* says its values in its adverts: in BTHome v2 (`format = "bthome"`), or in manufacturer
or service data whose layout is given. A *peripheral* has points with a `characteristic`: it is connected to, read, and let go of,
at every poll.

    [device.cold-room]                          [device.attic]                      [device.meter]
    bus = "air"                                 bus = "air"                         bus = "air"
    address = "54:48:E6:8F:80:A5"               address = "CB:B8:33:4C:88:4F"       address = "A4:C1:38:00:00:01"
    format = "bthome"                           manufacturer_data = 0x0499          every = "10 min"
    [device.cold-room.points]                   starts = "05"                       timeout = "20 s"
    temp = { object = "temperature" }           [device.attic.points]               [device.meter.points]
    link = { rssi = true }                      temp = { at = 1, type = "int16",    temp = { characteristic = "2a6e",
                                                  endian = "big", scale = 0.005 }     type = "int16", scale = 0.01 }

Adverts come from the radio (bluez.py) or, with `adapter = "stand-in:/run/canary/adverts"`, as datagrams on a Unix socket
(adverts.py). All that is here is the same for both.

A scanner goes deaf without a word when its adapter is switched off and on, or when bluetoothd restarts. So one that has heard
nothing at all for `deaf_after` is replaced; if its successor hears nothing for as long, the bus is at fault. The silence of one
device means nothing: BlueZ may tell an unchanged advert once only.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drivers import inverse
from drivers.ble import bthome
from drivers.ble import keys as ble_keys
from drivers.ble.adverts import UNMEASURED, Advert, AdvertSource, Scan, StandIn, Told, full_uuid
from drivers.ble.broadcaster import Broadcaster, Spoken
from drivers.ble.changes import Change, change
from drivers.ble.keys import STAND_IN, BusKeys, DeviceKeys, PointKeys, SampleKeys, is_peripheral
from drivers.contract import BusSpec, Complaint, DeviceFault, DeviceSpec, Hear, Misfit, NotTaken, NoValue, Outcome, Tell, Value
from drivers.layout import MISSING, Field, compile_field

if TYPE_CHECKING:
    from drivers.ble.bluez import Link, Radio


NOT_READ_BACK = NoValue("it only starts something")
UNREADABLE = NoValue("it cannot be read")


class _Peripheral:
    """One device that is connected to, and the plan of what is fetched from it: every characteristic once."""

    def __init__(self, device: DeviceSpec) -> None:
        keys: DeviceKeys = device.keys
        self.device = device.name
        self.who = keys.address.upper() or keys.name
        self.timeout = device.timeout
        self.points = tuple(device.points)
        self.plan: dict[str, list[tuple[int, Field]]] = {}
        self.notified: set[str] = set()
        self.writable: dict[str, PointKeys] = {name: point for name, point in device.points.items() if point.writable}
        for index, point in enumerate(device.points.values()):
            uuid = full_uuid(point.characteristic)
            self.plan.setdefault(uuid, []).append((index, compile_field(point)))
            if point.notify:
                self.notified.add(uuid)

    async def fetch(self, link: "Link", deadline: float, remark: Callable[[str, str], None]) -> tuple[Outcome, ...]:
        """All its points. A characteristic that it lacks or refuses costs only the points in it."""
        values: list[Outcome] = [MISSING] * len(self.points)
        refusal: DeviceFault | None = None
        answered = False
        for uuid, fields in self.plan.items():
            try:
                data = await link.fetch(uuid, deadline, notified=uuid in self.notified)
            except DeviceFault as fault:
                if fault.kind not in {"refused", "misfit"}:
                    raise
                refusal = fault
                remark(uuid, str(fault))
                for index, _ in fields:
                    values[index] = NoValue(fault.what)
                continue
            answered = True
            for index, field in fields:
                values[index] = field(data)
        if refusal and not answered:
            raise refusal
        return tuple(values)

    async def put(self, link: "Link", point: PointKeys, planned: Change, deadline: float) -> None:
        """Write one point; what else stands in its characteristic stays."""
        uuid = full_uuid(point.characteristic)
        data: bytes | None = bytes(planned.at + planned.size)
        if not planned.whole or len(self.plan[uuid]) > 1:
            data = await link.fetch(uuid, deadline, notified=False)
        data = planned.onto(data or b"")
        if data is None:
            hint = "check model, firmware and profile"
            raise DeviceFault(f"characteristic {point.characteristic} is too short", kind="misfit", hint=hint)
        await link.put(uuid, data, deadline)

    async def read_back(self, link: "Link", name: str, planned: Change, deadline: float) -> Outcome:
        """What a point reads once it was written; NoValue where that says nothing."""
        point = self.writable[name]
        uuid = full_uuid(point.characteristic)
        if not point.read_back:
            return NOT_READ_BACK
        if not link.readable(uuid):
            return UNREADABLE
        found = compile_field(point)(await link.fetch(uuid, deadline, notified=False))
        if found != planned.reads:
            what = f"{name} was set to {inverse.show(planned.reads)}, but reads back {inverse.show(found)}"
            raise NotTaken(what, found, hint="is it locked, or does something else set it, too?")
        return found


class _Named:
    """A broadcaster that is known by the name in its adverts, and the address that it has at present."""

    def __init__(self, broadcaster: Broadcaster) -> None:
        self.broadcaster = broadcaster
        self.address = ""
        self.heard_at = 0.0


class BleBus:
    """One adapter: broadcasters are `heard`, peripherals are `polled`. See also `ActingBus` and `ResettableBus`."""

    def __init__(self, spec: BusSpec, tell: Tell) -> None:
        keys: BusKeys = spec.keys
        self._name = spec.name
        self._tell = tell
        self._told: set[tuple[str, str]] = set()
        self._peripherals = {device.name: _Peripheral(device) for device in spec.devices if is_peripheral(device)}
        broadcasters = [(device.keys, Broadcaster(device)) for device in spec.devices if not is_peripheral(device)]
        self._by_address = {known.address.upper(): device for known, device in broadcasters if known.address}
        self._by_name = {known.name: _Named(device) for known, device in broadcasters if not known.address}
        self.polled = {name: peripheral.points for name, peripheral in self._peripherals.items()}
        self.heard = {device.device: device.points for _, device in broadcasters}
        self.writable = {name: frozenset(one.writable) for name, one in self._peripherals.items() if one.writable}
        self.parallel = keys.parallel
        self._deaf_after = keys.deaf_after
        self._connecting = asyncio.Lock()
        self._renew = asyncio.Event()
        self._hear: Hear | None = None
        source, self._radio = self._source(spec)
        sought = frozenset(peripheral.who for peripheral in self._peripherals.values())
        self._scan = Scan(source, self._advertised, sought)

    def _source(self, spec: BusSpec) -> "tuple[AdvertSource, Radio | None]":
        keys: BusKeys = spec.keys
        if keys.adapter.startswith(STAND_IN):
            path = keys.adapter.removeprefix(STAND_IN)
            self._remark("stand-in", f"hears no radio: its adverts come from a stand-in, by the socket {path}")
            return StandIn(path, lambda text: self._remark("no advert", text)), None

        from drivers.ble.bluez import Radio  # bleak takes 6 MB: only a hub that uses Bluetooth pays for it

        passive = keys.scanning == "passive" or (keys.scanning == "auto" and not list(ble_keys.only_active(spec.devices)))
        patterns = ble_keys.patterns(spec.devices) if passive else []
        insist = keys.scanning == "passive"
        radio = Radio(keys.adapter, patterns, lambda text: self._remark("passive", text), insist=insist)
        return radio, radio

    def _remark(self, topic: str, text: str, device: str = "") -> None:
        """Tell a person, but once."""
        if (device, topic) not in self._told:
            self._told.add((device, topic))
            self._tell(device or self._name, text)

    # ------------------------------------------------------------ listening

    async def listen(self, hear: Hear) -> None:
        """Hear until cancelled. Raises DeviceFault(layer="bus") when there is nothing to hear with, or nothing to be heard."""
        self._hear = hear
        self._renew.clear()
        try:
            async with self._scan:
                while True:
                    await self._until_deaf()
                    self._renew.clear()
                    await self._scan.renew()
        finally:
            self._hear = None

    async def _until_deaf(self) -> None:
        """Ends when a new scanner is due: this one has gone deaf, or was let go of."""
        heard = -1
        while heard < self._scan.adverts and not self._renew.is_set():
            heard = self._scan.adverts
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._deaf_after):
                    await self._renew.wait()
        if not self._scan.adverts and not self._renew.is_set():
            raise DeviceFault(
                f"a new scanner has heard nothing at all for {self._deaf_after:g} s",
                kind="silent",
                layer="bus",
                hint="check adapter and antenna; where only rare speakers are near, set a longer deaf_after",
            )

    def _advertised(self, address: str, advert: Advert) -> None:
        broadcaster = self._by_address.get(address) or (self._by_name and self._named(address, advert))
        if not broadcaster or not self._hear:
            return
        try:
            spoken = broadcaster.hear(address, advert, asyncio.get_running_loop().time())
        except bthome.Unreadable as error:
            if broadcaster.language.understood:  # a broken advert, or another's: it is passed over, but said
                self._remark(error.remedy, f"an advert is passed over: {error}", broadcaster.device)
                return
            self._remark(error.remedy, f"its adverts cannot be read: {error}", broadcaster.device)
            spoken = Spoken(broadcaster.points, (NoValue(error.reason),) * len(broadcaster.points))
        if spoken:
            self._hear(broadcaster.device, spoken.points, spoken.values)

    def _named(self, address: str, advert: Advert) -> Broadcaster | None:
        """The broadcaster of that name. Should two devices have it, the second is not taken for the first.

        A device may change its address (a new battery will do); so the name is free again once the first has been quiet for long.
        """
        named = self._by_name.get(advert.local_name or "")
        if named is None:
            return None
        now = asyncio.get_running_loop().time()
        if address != named.address:
            if named.address and now - named.heard_at < self._deaf_after:
                both = f"two devices call themselves {advert.local_name}, {named.address} and {address}"
                self._remark("name", f"{both}; give the address of the one that is meant", named.broadcaster.device)
                return None
            named.address = address
        named.heard_at = now
        return named.broadcaster

    # ------------------------------------------------------------ polling

    async def connect(self) -> None:
        """Make sure that the adapter is there and can scan; connections to devices are made by `read`."""
        async with self._scan:
            pass

    async def read(self, device: str) -> tuple[Outcome, ...]:
        """Find, connect, fetch, disconnect.

        Finding and connecting is done for one device at a time and may take half of its timeout, so that one that does not answer
        leaves the other half to the next.
        """
        peripheral = self._peripherals[device]
        async with self._linked(peripheral) as link:
            deadline = _within(peripheral.timeout)  # before the hub's own patience ends, to say what it was
            return await peripheral.fetch(link, deadline, lambda topic, text: self._remark(topic, text, device))

    @contextlib.asynccontextmanager
    async def _linked(self, peripheral: _Peripheral) -> "AsyncIterator[Link]":
        assert self._radio, "check() lets no peripheral on a stand-in"
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with self._connecting:
                    deadline = asyncio.get_running_loop().time() + peripheral.timeout / 2
                    handle = await self._find(peripheral, deadline)
                    link = await stack.enter_async_context(self._radio.link(handle, deadline))
                yield link
        except BaseException:
            self._scan.forget(peripheral.who)
            raise

    async def _find(self, peripheral: _Peripheral, deadline: float) -> Any:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._scan.find(peripheral.who)
        except TimeoutError:
            hint = "check its battery and address, bring it nearer, and disconnect a phone that holds it"
            raise DeviceFault("it does not advertise", kind="silent", hint=hint) from None

    # ------------------------------------------------------------ acting

    def misfit(self, device: str, point: str, value: Value) -> Misfit | None:
        """See `ActingBus`."""
        planned = change(self._peripherals[device].writable[point], value)
        return planned if isinstance(planned, Misfit) else None

    async def write(self, device: str, point: str, value: Value) -> Outcome:
        """Find, connect, write, read back, disconnect. See `ActingBus`."""
        peripheral = self._peripherals[device]
        keys = peripheral.writable[point]
        planned = change(keys, value)
        if isinstance(planned, Misfit):
            raise DeviceFault(f"{point}: {planned}", kind="misfit")
        async with self._linked(peripheral) as link:
            await peripheral.put(link, keys, planned, _within(peripheral.timeout))
            return await peripheral.read_back(link, point, planned, _within(peripheral.timeout))

    async def reset(self) -> None:
        """Switch the adapter off and on. See `ResettableBus`."""
        try:
            async with self._scan.stopped():
                await self._adapter().power_cycle()
        finally:
            self._renew.set()

    async def restore(self) -> None:
        """Switch the adapter on, where it is off. See `ResettableBus`."""
        await self._adapter().power_on()

    def _adapter(self) -> "Radio":
        if self._radio is None:
            raise DeviceFault("a stand-in has no adapter that could be reset", kind="misfit", layer="bus")
        return self._radio

    async def close(self) -> None:
        """A scan that goes on, as when a read met a bus that is down, gets a new scanner; nothing else outlives a call."""
        self._renew.set()


def _within(timeout: float) -> float:
    """Until when, on the loop's clock, one half of what a device may take in all goes on."""
    return asyncio.get_running_loop().time() + timeout * 0.45


class BleDriver:
    """The bus family "ble". See `Driver` and `ActingDriver`."""

    family = "ble"
    resets = True
    bus_keys = BusKeys
    device_keys = DeviceKeys
    point_keys = PointKeys
    sample_keys = SampleKeys

    def check(self, bus: BusSpec) -> Sequence[Complaint]:
        """See `ble_keys.check`."""
        return ble_keys.check(bus)

    def open(self, bus: BusSpec, tell: Tell) -> BleBus:
        """The bus; no I/O yet."""
        return BleBus(bus, tell)

    def misfit(self, device: DeviceSpec, point: str, value: Value) -> Misfit | None:
        """See `ActingDriver`."""
        keys: PointKeys | None = device.points.get(point)
        if keys is None or not keys.writable:
            return Misfit(f"{point}, which is not declared writable", "`writable = true` at the point", of_point=True)
        planned = change(keys, value)
        return planned if isinstance(planned, Misfit) else None

    def decode(self, device: DeviceSpec, sample: SampleKeys) -> Mapping[str, Outcome]:
        """What the sample says, by way of an advert or a link that never was."""
        if is_peripheral(device):
            said = {full_uuid(uuid): bytes.fromhex(data) for uuid, data in sample.characteristics.items()}
            fields = {name: (full_uuid(point.characteristic), compile_field(point)) for name, point in device.points.items()}
            return {name: field(said[uuid]) if uuid in said else MISSING for name, (uuid, field) in fields.items()}
        keys: DeviceKeys = device.keys
        manufacturer_data = {keys.manufacturer_data or 0: bytes.fromhex(sample.manufacturer_data)}
        service_data = {full_uuid(keys.service_data or bthome.UUID): bytes.fromhex(sample.service_data)}
        advert = Told(None, UNMEASURED, manufacturer_data, service_data)
        broadcaster = Broadcaster(device)
        try:
            spoken = broadcaster.hear(keys.address or "00:00:00:00:00:00", advert, 0.0)
        except bthome.Unreadable as error:
            return dict.fromkeys(broadcaster.points, NoValue(error.reason))
        return dict(zip(*spoken, strict=True)) if spoken else {}


BLE = BleDriver()

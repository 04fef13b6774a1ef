"""A Modbus bus and the drivers that open it: what is the same on TCP, on a serial line, and over a converter.

How bytes travel is `drivers/modbus/__init__.py`'s business, what a device is asked is `unit.py`'s.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from drivers.contract import BusSpec, Complaint, DeviceFault, DeviceSpec, Keys, Misfit, Outcome, PointKeys, Tell, Value
from drivers.modbus import writing
from drivers.modbus.keys import BITS, ModbusDevice, ModbusPoint, ModbusRtu, ModbusSample
from drivers.modbus.unit import Ask, Prepare, Unit, blocks_of, decode_sample, size_of
from drivers.modbus.writing import PrepareWrite, Writer

REQUEST_COST = 8 + 5 + 7
"""What a request costs on a serial line beside its data, in characters: 8 asked, 5 around the answer, twice 3.5 of silence."""


class Link(Protocol):
    """An open connection, as far as a bus needs to know it."""

    usable: bool

    async def exchange(self, asked: Any, deadline: float) -> bytes:
        """Ask, and wait for the answer until `deadline` on the loop's clock. Raises DeviceFault."""

    async def close(self) -> None:
        """Drop the connection now, and return when it is gone."""


OpenLink: TypeAlias = Callable[[Any, frozenset[int]], Awaitable[Link]]
"""open_link(bus keys, units on the bus). Raises DeviceFault(layer="bus")."""


class ModbusBus:
    """Devices that share a serial line or a TCP endpoint. See `PolledBus` and `ActingBus`."""

    heard: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def __init__(
        self,
        units: Mapping[str, Unit],
        link: Callable[[], Awaitable[Link]],
        parallel: int,
        writers: Mapping[str, Writer] = MappingProxyType({}),
    ) -> None:
        self.parallel = parallel
        self.polled = {name: unit.points for name, unit in units.items()}
        self.writable = {name: writer.writable for name, writer in writers.items() if writer.writable}
        self._units = units
        self._writers = writers
        self._open = link
        self._link: Link | None = None
        self._opening = asyncio.Lock()

    async def connect(self) -> None:
        """See `PolledBus`."""
        async with self._opening:
            if self._link is None or not self._link.usable:
                await self.close()
                self._link = await self._open()

    async def read(self, device: str) -> tuple[Outcome, ...]:
        """See `PolledBus`. A connection that was closed meanwhile is opened first."""
        link, unit = await self._present_link(), self._units[device]
        now = asyncio.get_running_loop().time()
        deadline = now + unit.patience
        return await unit.read(lambda asked: link.exchange(asked, deadline), until=now + unit.patience / 2)

    def misfit(self, device: str, point: str, value: Value) -> Misfit | None:
        """See `ActingBus`."""
        planned = self._writers[device].plan(point, value)
        return planned if isinstance(planned, Misfit) else None

    async def write(self, device: str, point: str, value: Value) -> Outcome:
        """See `ActingBus`."""
        writer = self._writers[device]
        planned = writer.plan(point, value)
        if isinstance(planned, Misfit):
            raise DeviceFault(f"{point}: {planned}", kind="misfit")
        link, patience = await self._present_link(), self._units[device].patience
        await writer.write(point, planned, _asking(link, patience))
        return await writer.read_back(point, planned, _asking(link, patience))

    async def _present_link(self) -> Link:
        if self._link is None or not self._link.usable:
            await self.connect()
        assert self._link is not None
        return self._link

    async def close(self) -> None:
        """See `PolledBus`."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()


def _asking(link: Link, patience: float) -> Ask:
    """Requests that must all be answered within so many seconds from now."""
    deadline = asyncio.get_running_loop().time() + patience
    return lambda asked: link.exchange(asked, deadline)


class Modbus:
    """The driver of one kind of Modbus bus. See `Driver` and `ActingDriver`."""

    family = "modbus"
    resets = False
    device_keys: type[Keys] = ModbusDevice
    point_keys: type[PointKeys] = ModbusPoint
    sample_keys: type[Keys] = ModbusSample

    def __init__(
        self,
        bus_keys: type[Keys],
        open_link: OpenLink,
        prepare: Prepare,
        prepare_write: PrepareWrite,
        *,
        highest_unit: int,
        max_gap: int,
    ) -> None:
        self.bus_keys = bus_keys
        self._open_link = open_link
        self._prepare = prepare
        self._prepare_write = prepare_write
        self._highest_unit = highest_unit
        self._max_gap = max_gap

    def check(self, bus: BusSpec) -> Sequence[Complaint]:
        """See `Driver`."""
        return [complaint for device in bus.devices for complaint in self._complaints(bus.keys, device)]

    def _complaints(self, bus: Keys, device: DeviceSpec) -> Iterator[Complaint]:
        keys: ModbusDevice = device.keys
        here = ("device", device.name)
        if not device.points:
            yield Complaint((*here, "points"), "no points", "at least one, or a profile")
        if keys.unit > self._highest_unit:
            yield Complaint((*here, "unit"), str(keys.unit), f"1 to {self._highest_unit} on this kind of bus")
        too_long = [name for name, point in device.points.items() if point.count > keys.max_registers and point.table not in BITS]
        for name in too_long:
            point: ModbusPoint = device.points[name]
            path = (*here, "points", name, "type" if point.length is None else "length")
            yield Complaint(path, f"{point.count} registers", f"at most {keys.max_registers}, the device's max_registers")
        if isinstance(bus, ModbusRtu) and not too_long:
            needed = sum(
                bus.character * (REQUEST_COST + size_of(table, block.extent))
                for table, block in blocks_of(keys, device.points.values(), self._max_gap)
            )
            if needed > device.timeout:
                expected = f"more than {needed:.1f} s: its points take that long at {bus.baud} baud"
                yield Complaint((*here, "timeout"), f"{device.timeout:g} s", expected)

    def open(self, bus: BusSpec, tell: Tell) -> ModbusBus:
        """See `Driver`."""
        units = {device.name: Unit(device, max_gap=self._max_gap, prepare=self._prepare, tell=tell) for device in bus.devices}
        ids = frozenset(device.keys.unit for device in bus.devices)
        writers = {device.name: Writer(device, self._prepare, self._prepare_write) for device in bus.devices}
        return ModbusBus(units, lambda: self._open_link(bus.keys, ids), getattr(bus.keys, "parallel", 1), writers)

    def misfit(self, device: DeviceSpec, point: str, value: Value) -> Misfit | None:
        """See `ActingDriver`."""
        return writing.misfit(device, point, value)

    def decode(self, device: DeviceSpec, sample: ModbusSample) -> Mapping[str, Outcome]:
        """See `Driver`."""
        return decode_sample(device, sample)

"""Writing to one device on a Modbus bus, and reading back what became of it.

Promises
- What the config does not declare writable is never written, and a value that does not fit is refused before anything is sent.
- Each write is sent once. The one exception: a device that answers that it has no function for a single coil or register is asked
  with the function for several, for then it did nothing.
- Of a register in which others have bits, the others stay as they were read just before.
- What counts is what is read back by a request of its own: an adapter that hears itself makes its own answer to a write.

How a request travels and what a fault looks like is not known here: `prepare`, `prepare_write` and `ask` are given.
"""

from typing import Any, Protocol

from drivers import inverse
from drivers.contract import DeviceSpec, Misfit, NotTaken, NoValue, Outcome, Value
from drivers.modbus import faults
from drivers.modbus.changes import Change, change
from drivers.modbus.faults import AddressRefusedError
from drivers.modbus.keys import BITS, ModbusDevice, ModbusPoint, Table
from drivers.modbus.registers import Place, decoder
from drivers.modbus.unit import ANSWER_HEAD, Ask, Prepare

NOT_READ_BACK = NoValue("it only starts something")
UNREADABLE = NoValue("the device refuses to tell it")


class PrepareWrite(Protocol):
    """How a write is worded."""

    def __call__(self, unit: int, table: Table, start: int, data: bytes, *, several: bool) -> Any:
        """A request, in whatever form `ask` takes. `several`: by the function for several cells."""


class Writer:
    """The writes of one device. `writable`: its points that may be written."""

    def __init__(self, spec: DeviceSpec, prepare: Prepare, prepare_write: PrepareWrite) -> None:
        self._keys: ModbusDevice = spec.keys
        self._points: dict[str, ModbusPoint] = {name: point for name, point in spec.points.items() if point.writable}
        self._prepare = prepare
        self._prepare_write = prepare_write
        self.writable = frozenset(self._points)

    def plan(self, point: str, value: Value) -> Change | Misfit:
        """What is to be done so that the point reads as `value`."""
        return change(self._keys, self._points[point], value)

    async def write(self, name: str, planned: Change, ask: Ask) -> None:
        """Send it, and take the device's word for it. Raises DeviceFault."""
        point = self._points[name]
        present = await self._cells(point, ask) if planned.partial else b""
        data = planned.data(present)
        try:
            await self._send(point, data, ask, several=point.count > 1)
        except AddressRefusedError as refusal:
            raise faults.write_refused(self._keys.unit, refusal.code) from refusal

    async def _send(self, point: ModbusPoint, data: bytes, ask: Ask, *, several: bool) -> None:
        try:
            await ask(self._prepare_write(self._keys.unit, point.table, point.span.start, data, several=several))
        except AddressRefusedError as refusal:
            if several or refusal.code != faults.NO_SUCH_FUNCTION:
                raise
            await self._send(point, data, ask, several=True)

    async def read_back(self, name: str, planned: Change, ask: Ask) -> Outcome:
        """What it reads now; NoValue where that says nothing. Raises DeviceFault: NotTaken where it is not what was planned."""
        point = self._points[name]
        if not point.read_back:
            return NOT_READ_BACK
        try:
            cells = await self._cells(point, ask)
        except AddressRefusedError:  # a register for writing only
            return UNREADABLE
        decode = decoder([(point, Place(0, point.span.start))], word_order=self._keys.word_order, byte_order=self._keys.byte_order)
        found = decode(cells)[0]
        if found != planned.reads:
            what = f"{name} was set to {inverse.show(planned.reads)}, but reads back {inverse.show(found)}"
            raise NotTaken(what, found, hint="is it locked, or does something else set it, too?")
        return found

    async def _cells(self, point: ModbusPoint, ask: Ask) -> bytes:
        """What stands in the point's own registers, as on the wire; of a coil one byte."""
        answer = await ask(self._prepare(self._keys.unit, point.table, point.span))
        return answer[ANSWER_HEAD:] if point.table not in BITS else bytes([answer[ANSWER_HEAD] & 1])


def misfit(spec: DeviceSpec, name: str, value: Value) -> Misfit | None:
    """See `ActingDriver.misfit`."""
    point: ModbusPoint | None = spec.points.get(name)
    if point is None or not point.writable:
        return Misfit(f"{name}, which is not declared writable", "`writable = true` at the point", of_point=True)
    found = change(spec.keys, point, value)
    return found if isinstance(found, Misfit) else None

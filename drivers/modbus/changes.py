"""From values to registers: what is written to a point, found by way of what would be read from it. Pure."""

import struct
from typing import NamedTuple

from drivers import inverse
from drivers.contract import Misfit, NoValue, Outcome, Value
from drivers.modbus.keys import BITS, NUMBERS, ModbusDevice, ModbusPoint
from drivers.modbus.registers import Place, decoder, gathered

_TOLERANCE = {"float32": inverse.SINGLE}


class Change(NamedTuple):
    """What a point's cells are to become.

    gather: which byte on the wire comes where in the number, most significant first. mask: the bits of the number that are meant;
    the others stay as they are. reads: what the point reads as afterwards.
    """

    number: int
    gather: tuple[int, ...]
    mask: int
    reads: Outcome

    @property
    def partial(self) -> bool:
        """Whether the registers must be read first."""
        return self.mask != (1 << 8 * len(self.gather)) - 1

    def data(self, present: bytes = b"") -> bytes:
        """The bytes to be written; `present` are those that stand there, where the change is `partial`."""
        kept = int.from_bytes(bytes(present[place] for place in self.gather), "big") & ~self.mask if self.partial else 0
        number = (kept | self.number).to_bytes(len(self.gather), "big")
        wire = bytearray(len(self.gather))
        for place, byte in zip(self.gather, number, strict=True):
            wire[place] = byte
        return bytes(wire)


def change(device: ModbusDevice, point: ModbusPoint, value: Value) -> Change | Misfit:
    """What must be written so that the point reads as `value`. Of a coil, one byte: 1 or 0."""
    bits = point.table in BITS
    word_order, byte_order = point.word_order or device.word_order, point.byte_order or device.byte_order
    place = Place(0, point.span.start)
    gather = (0,) if bits else tuple(gathered(point, place, word_order, byte_order))
    decode = decoder([(point, place)], word_order=device.word_order, byte_order=device.byte_order)
    shift, mask = _field(point, 8 * len(gather))

    def becoming(raw: int) -> Change:
        bare = Change((raw << shift) & mask, gather, mask, NoValue("not decoded yet"))
        return bare._replace(reads=decode(bare.data(bytes(len(gather))))[0])

    raw = _raw(point, value, lambda number: becoming(number).reads)
    if isinstance(raw, Misfit):
        return raw
    made = becoming(raw)
    step = 0.0 if point.kind.startswith("float") else abs(point.scale)
    if inverse.same(made.reads, value, _TOLERANCE.get(point.kind, inverse.AS_READ), step):
        return made
    return Misfit(f"{inverse.show(value)}, which would read as {inverse.show(made.reads)}", "another value")


def _field(point: ModbusPoint, width: int) -> tuple[int, int]:
    """Where the point lies in its number: how far from the right, and its mask. A bool of a register is all of it."""
    if point.kind == "bit":
        return point.bit or 0, 1 << (point.bit or 0)
    if point.kind == "bitfield":
        low, high = point.field
        return low, ((2 << high - low) - 1) << low
    return 0, (1 << width) - 1


def _raw(point: ModbusPoint, value: Value, means: inverse.Means) -> int | Misfit:
    """The raw number, not yet in its place: a float as the bits that it is made of."""
    kind = point.kind
    if point.values:
        found = inverse.word(value, point.values)
        return found if isinstance(found, Misfit) else int(found, 0)
    if kind in ("bool", "bit"):
        return inverse.switch(value)
    if kind.startswith("float"):
        real = inverse.real(value, point.scale, point.offset)
        return real if isinstance(real, Misfit) else _bits(NUMBERS[kind][0], real)
    return inverse.integer(value, point.scale, point.offset, _limits(point), means)


def _bits(code: str, real: float) -> int | Misfit:
    try:
        return int.from_bytes(struct.pack(f">{code}", real), "big")
    except OverflowError:
        return Misfit(inverse.show(real), "a number that a float32 can hold")


def _limits(point: ModbusPoint) -> tuple[int, int]:
    if point.kind == "bitfield":
        low, high = point.field
        return 0, (2 << high - low) - 1
    width = 16 * point.count
    return (-(1 << width - 1), (1 << width - 1) - 1) if point.kind.startswith("int") else (0, (1 << width) - 1)

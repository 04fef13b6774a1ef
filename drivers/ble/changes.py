"""From values to bytes: what is written to a characteristic so that a point in it reads as meant. Pure."""

import struct
from typing import Literal, NamedTuple

from drivers import inverse
from drivers.ble.keys import PointKeys
from drivers.contract import Misfit, Outcome, Value
from drivers.layout import FLOATS, INTEGERS, compile_field

_TOLERANCE = {"float16": inverse.HALF, "float32": inverse.SINGLE}


class Change(NamedTuple):
    """What a field becomes: `number` in the bits of `mask`, of the `size` bytes at `at`. reads: what the point reads as then."""

    at: int
    size: int
    endian: Literal["little", "big"]
    mask: int
    number: int
    reads: Outcome

    @property
    def whole(self) -> bool:
        """Whether nothing need be known of what stands there."""
        return self.at == 0 and self.mask == (1 << 8 * self.size) - 1

    def onto(self, present: bytes) -> bytes | None:
        """What stands there with the field in it; None where it is too short for that."""
        end = self.at + self.size
        if len(present) < end:
            return None
        kept = int.from_bytes(present[self.at : end], self.endian) & ~self.mask
        return present[: self.at] + (kept | self.number).to_bytes(self.size, self.endian) + present[end:]


def change(point: PointKeys, value: Value) -> Change | Misfit:
    """What must be written so that the point reads as `value`."""
    size, shift, width = _place(point)
    field, mask = compile_field(point), ((1 << width) - 1) << shift

    def becoming(raw: int) -> Change:
        bare = Change(point.at, size, point.endian, mask, (raw << shift) & mask, 0)
        return bare._replace(reads=field(bare.onto(bytes(point.at + size)) or b""))

    raw = _raw(point, value, width, lambda number: becoming(number).reads)
    if isinstance(raw, Misfit):
        return raw
    made = becoming(raw)
    step = 0.0 if point.type in FLOATS else abs(point.scale)
    if inverse.same(made.reads, value, _TOLERANCE.get(str(point.type), inverse.AS_READ), step):
        return made
    return Misfit(f"{inverse.show(value)}, which would read as {inverse.show(made.reads)}", "another value")


def _place(point: PointKeys) -> tuple[int, int, int]:
    """Bytes of the field; bits from its right to the point; bits of the point."""
    if point.type == "bit":
        return 1, point.bit or 0, 1
    if point.type in FLOATS:
        size = struct.calcsize(FLOATS[point.type])
        return size, 0, 8 * size
    width = INTEGERS.get(str(point.type), 8)  # a bool is a byte
    if point.bits:
        low, high = point.slice
        return width // 8, low, high - low + 1
    return width // 8, 0, width


def _raw(point: PointKeys, value: Value, width: int, means: inverse.Means) -> int | Misfit:
    """The raw number, not yet in its place: a float as the bits that it is made of."""
    if point.values:
        found = inverse.word(value, point.values)
        return found if isinstance(found, Misfit) else int(found, 0)
    if point.type in ("bool", "bit"):
        return inverse.switch(value)
    if point.type in FLOATS:
        real = inverse.real(value, point.scale, point.offset)
        try:
            return real if isinstance(real, Misfit) else int.from_bytes(struct.pack(f">{FLOATS[point.type]}", real), "big")
        except OverflowError:
            return Misfit(inverse.show(value), f"a number that a {point.type} can hold")
    signed = str(point.type).startswith("int")
    limits = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
    return inverse.integer(value, point.scale, point.offset, limits, means)

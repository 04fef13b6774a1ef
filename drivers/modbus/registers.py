"""From registers to values. Pure.

Decoding is compiled once per plan, because it runs at every poll: one gather brings the bytes of all points into the order of the
points, most significant first; one `struct` makes numbers of them; only points that ask for it (a scale, a void value, a bit) are
touched again, one function each.
"""

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from drivers.contract import NoValue, Outcome
from drivers.modbus.keys import BITS, NUMBERS, ModbusPoint, Order

VOID = NoValue("void")
NOT_A_NUMBER = NoValue("not a number")


class Place(NamedTuple):
    """Where a point is found: the byte at which its block begins in the joined answers, and the address that stands there."""

    at: int
    start: int


Decode: TypeAlias = Callable[[bytes], tuple[Outcome, ...]]
Finish: TypeAlias = Callable[[Any], Outcome]


def decoder(
    points: Iterable[tuple[ModbusPoint, Place | NoValue]], *, word_order: Order = "big", byte_order: Order = "big"
) -> Decode:
    """A function from the joined answers to the values of these points, in this order.

    A point that was not read has the reason in place of its place. The orders are for points that do not set their own.
    """
    gather: list[int] = []  # which byte of the answers comes where
    codes = ">"
    finishes: list[tuple[int, Finish]] = []
    finite: list[int] = []  # floats that need nothing but to be numbers
    for index, (point, place) in enumerate(points):
        if isinstance(place, NoValue):
            codes += "0s"
            finishes.append((index, _always(place)))
            continue
        gather += gathered(point, place, point.word_order or word_order, point.byte_order or byte_order)
        codes += _code(point)
        finish = _finish(point, place)
        if finish is _number:
            finite.append(index)
        elif finish is not None:
            finishes.append((index, finish))
    if "s" in codes:  # not all is numbers: they cannot be added up below
        finishes += [(index, _number) for index in finite]
        finite = []
    unpack = _unpacker(gather, codes)
    if not finishes and not finite:
        return unpack

    def decode(answers: bytes) -> tuple[Outcome, ...]:
        raw = unpack(answers)
        values = list(raw)
        # Infinities and what is not a number survive adding up, so one sum tells whether any of the floats needs a look.
        if finite and not math.isfinite(sum(raw)):
            for index in finite:
                values[index] = _number(values[index])
        for index, finish in finishes:
            values[index] = finish(values[index])
        return tuple(values)

    return decode


def _unpacker(gather: Sequence[int], codes: str) -> Callable[[bytes], tuple[Any, ...]]:
    layout = struct.Struct(codes)
    if not gather:
        return lambda _: layout.unpack(b"")
    first = gather[0]
    if list(gather) == list(range(first, first + len(gather))):  # all as the device sent it
        unpack_from = layout.unpack_from
        return lambda answers: unpack_from(answers, first)
    pick = itemgetter(*gather)
    return lambda answers: layout.unpack(bytes(pick(answers)))


def gathered(point: ModbusPoint, place: Place, word_order: Order, byte_order: Order) -> list[int]:
    """The bytes of a point in the answers, most significant first (of a string: in reading order)."""
    start = point.span.start - place.start
    if point.table in BITS:
        return [place.at + start // 8]
    words = range(start, start + point.count)
    if word_order == "little" and point.kind != "string":
        words = words[::-1]
    pair = (0, 1) if byte_order == "big" else (1, 0)
    return [place.at + 2 * word + byte for word in words for byte in pair]


def _code(point: ModbusPoint) -> str:
    if point.table in BITS:
        return "B"
    return f"{2 * point.count}s" if point.kind == "string" else NUMBERS.get(point.kind, ("H", 1))[0]


def _finish(point: ModbusPoint, place: Place) -> Finish | None:
    """What is still to be done to a point's raw value; None where nothing is."""
    kind = point.kind
    if kind in NUMBERS:
        return _finish_number(point)
    if kind == "string":
        return _text
    if kind == "bitfield":
        low, high = point.field
        take = _bit_run(low, (2 << high - low) - 1)
    elif kind == "bit":
        take = _bit_test(1 << (point.bit or 0))
    else:  # a bool is one bit of a byte, or any bit of a register
        take = _bit_test(1 << (point.span.start - place.start) % 8 if point.table in BITS else 0xFFFF)
    return _worded(point, take) if point.values else take


def _finish_number(point: ModbusPoint) -> Finish | None:
    voids = frozenset(point.raw_voids)
    if point.values:
        finish: Finish | None = _worded(point, None)
    elif point.scaled:
        finish = _scaled(float(point.scale), point.offset, point.decimals)
    else:
        finish = _number if point.kind.startswith("float") else None
    if not voids:
        return finish

    def unless_void(raw: float) -> Outcome:
        return VOID if raw in voids else raw if finish is None else finish(raw)

    return unless_void


def _always(outcome: Outcome) -> Finish:
    return lambda _: outcome


def _number(raw: float) -> Outcome:
    return raw if math.isfinite(raw) else NOT_A_NUMBER


def _scaled(scale: float, offset: float, decimals: int | None) -> Finish:
    # 1234 * 0.1 is 123.4 and a crumb, 1234 / 10 is 123.4: where a scale is one part of a whole number, divide.
    parts = round(1 / scale) if 1e-12 < abs(scale) < 1 else 0
    divisor = parts if parts and math.isclose(parts * scale, 1, rel_tol=1e-12) else 0

    def finish(raw: float) -> Outcome:
        value = (raw / divisor if divisor else raw * scale) + offset
        if not math.isfinite(value):
            return NOT_A_NUMBER
        return value if decimals is None else round(value, decimals)

    return finish


def _bit_test(mask: int) -> Finish:
    def finish(raw: int) -> bool:
        return raw & mask != 0

    return finish


def _bit_run(low: int, mask: int) -> Finish:
    def finish(raw: int) -> int:
        return raw >> low & mask

    return finish


def _worded(point: ModbusPoint, take: Finish | None) -> Finish:
    words = {int(number, 0): word for number, word in point.values.items()}

    def finish(raw: int) -> Outcome:
        number = int(raw if take is None else take(raw))  # type: ignore[arg-type]
        return words.get(number) or str(number)  # a number without a word is told as it is, not lost

    return finish


def _text(raw: bytes) -> Outcome:
    """Characters up to the first NUL, without blanks around; what is not ASCII shows as a question mark in a box."""
    text = raw.split(b"\0", 1)[0].decode("ascii", "replace").strip()
    return text or NoValue("empty")

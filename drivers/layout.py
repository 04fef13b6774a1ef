"""From bytes to values, by a layout: where a field lies, how it is packed, and what its raw number means.

Pure and total: any bytes give one outcome a field, never an exception. A layout is compiled once, when the config is read;
after that a field costs about half a microsecond.

Two steps, each of use by itself: `compile_field` takes the raw value out of the bytes; `compile_value` gives a raw value, be it
from bytes or from text, its meaning: void, named, or scaled.
"""

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from drivers.contract import KeyMistake, NoValue, Outcome, PointKeys, Value

MISSING = NoValue("not in this message")
NOT_A_NUMBER = NoValue("not a number")
VOID = NoValue("void")

FieldType = Literal[
    "int8", "int16", "int24", "int32", "int64",
    "uint8", "uint16", "uint24", "uint32", "uint64",
    "float16", "float32", "float64",
    "bool", "bit", "bcd", "string",
]  # fmt: skip

_INTEGERS = {f"{sign}int{width}": width for sign in ("", "u") for width in (8, 16, 24, 32, 64)}
_FLOATS = {"float16": "e", "float32": "f", "float64": "d"}

# ---------------------------------------------------------------- what a raw value means


class ValueKeys(PointKeys, frozen=True, kw_only=True):
    """What a raw value means: value = raw * scale + offset, unless the raw value is void or has a name."""

    scale: Annotated[float, Meta(description="The raw number is multiplied by this.")] = 1.0
    offset: Annotated[float, Meta(description="Added after scaling.")] = 0.0
    void: Annotated[
        Value | tuple[Value, ...],
        Meta(description="Raw value (or several) by which the device says that it has no value: -32768, 0xFFFF."),
    ] = ()
    values: Annotated[
        Mapping[str, Value],
        Meta(description='Names of raw values: { 0 = "off", 1 = "on" }. A raw value without a name is "no value".'),
    ] = {}

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale) or self.scale == 0:
            raise KeyMistake("scale", f"{self.scale:g}", "a number other than 0")
        if not math.isfinite(self.offset):
            raise KeyMistake("offset", f"{self.offset:g}", "a number")
        if self.values and (self.scale, self.offset) != (1.0, 0.0):
            raise KeyMistake("values", "names together with scale or offset", "either names or a number")

    @property
    def voids(self) -> frozenset[Value]:
        """The void values, whether one or several were written."""
        return frozenset(self.void if isinstance(self.void, tuple) else (self.void,))


Meaning: TypeAlias = Callable[[Value], Outcome]


def compile_value(keys: ValueKeys, *, numeric: bool = True) -> Meaning:
    """A function from a raw value to what it means. `numeric`: names are of numbers ("0x10" and "16" alike), not of text.

    An int stays an int where neither scale nor offset is given; NaN and the infinities are no value.
    """
    voids = keys.voids
    if keys.values:
        names: dict[Value, Value] = {int(raw, 0) if numeric else raw: name for raw, name in keys.values.items()}
        return lambda raw: VOID if raw in voids else names[raw] if raw in names else NoValue(f"unknown code {raw}")

    scaled = _linear(keys.scale, keys.offset)

    def means(raw: Value) -> Outcome:
        if raw in voids:
            return VOID
        if isinstance(raw, str | bool):
            return raw
        try:
            value = scaled(raw) if scaled else raw
            return value if math.isfinite(value) else NOT_A_NUMBER
        except OverflowError:
            return NOT_A_NUMBER

    return means


def _linear(scale: float, offset: float) -> Callable[[float], float] | None:
    """The line raw * scale + offset, as exactly as floats can; None where that changes nothing.

    A scale such as 0.1 is done as a division by 10, which is correctly rounded: 3 gives 0.3, not 0.30000000000000004.
    """
    if (scale, offset) == (1.0, 0.0):
        return None
    divisor = round(1 / scale)
    if divisor and 1 / divisor == scale:
        return (lambda raw: raw / divisor + offset) if offset else (lambda raw: raw / divisor)
    return lambda raw: raw * scale + offset


# ---------------------------------------------------------------- where a field lies


class LayoutKeys(ValueKeys, frozen=True, kw_only=True):
    """One field of a binary message. `type` is None where the driver finds the point by other means than a layout."""

    type: Annotated[FieldType | None, Meta(description="How the field is packed.")] = None
    at: Annotated[int, Meta(ge=0, le=65535, description="Where the field begins, in bytes from the start of the message.")] = 0
    endian: Annotated[Literal["little", "big"], Meta(description="Which byte comes first: the lowest or the highest.")] = "little"
    bit: Annotated[
        Annotated[int, Meta(ge=0, le=63)] | None,
        Meta(description="The bit of a `bit`, or the lowest bit taken of an integer; 0 is the least significant."),
    ] = None
    bits: Annotated[
        Annotated[int, Meta(ge=1, le=64)] | None, Meta(description="How many bits of an integer are taken, from `bit` on.")
    ] = None
    length: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        Meta(description="Bytes of a string (to the end where left out) or of a bcd number."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type is not None:
            self._check_field(self.type)

    def _check_field(self, kind: FieldType) -> None:
        width = _INTEGERS.get(kind, 8 if kind == "bit" else 0)
        first, count = self.bit, self.bits
        if kind == "bit" and (first is None or count is not None):
            raise KeyMistake("bit", "no bit number" if first is None else "bits beside it", "`bit = 0` to `bit = 7`, and no `bits`")
        if first is not None and not width:
            raise KeyMistake("bit", f"a bit of a {kind}", "an integer type or bit")
        if (first is None) != (count is None) and kind != "bit":
            raise KeyMistake("bits", "one of `bit` and `bits`", "the lowest bit as `bit`, and how many as `bits`")
        if first is not None and first + (count or 1) > width:
            raise KeyMistake("bit", f"bit {first + (count or 1) - 1}", f"at most bit {width - 1} in a {kind}")
        if kind == "bcd" and self.length is None:
            raise KeyMistake("length", "no length", "the number of bytes of a bcd number")
        if self.length is not None and kind not in ("bcd", "string"):
            raise KeyMistake("length", f"a length for a {kind}", "none: the type says it")
        if kind == "string":
            if (self.scale, self.offset) != (1.0, 0.0):
                raise KeyMistake("scale", "a scale or offset for a string", "none")
        else:
            _check_names(self.values)


def _check_names(values: Mapping[str, Value]) -> None:
    for raw in values:
        try:
            int(raw, 0)
        except ValueError:
            raise KeyMistake("values", f'"{raw}"', 'raw numbers as keys: { 0 = "off", 0x10 = "on" }') from None


Extract: TypeAlias = Callable[[bytes], Value | None]
Field: TypeAlias = Callable[[bytes], Outcome]
Layout: TypeAlias = Callable[[bytes], tuple[Outcome, ...]]


def compile_field(keys: LayoutKeys) -> Field:
    """A function from bytes to the outcome of one field: "not in this message" where the message is too short for it."""
    if keys.type in ("float16", "float32"):
        keys = msgspec.structs.replace(keys, void=tuple(_as_sent(void, _FLOATS[keys.type]) for void in keys.voids))
    extract, means = _extractor(keys), compile_value(keys, numeric=keys.type != "string")

    def field(data: bytes) -> Outcome:
        try:
            raw = extract(data)
        except (struct.error, IndexError):
            return MISSING
        return NOT_A_NUMBER if raw is None else means(raw)

    return field


def _as_sent(void: Value, code: str) -> Value:
    """A void value such as -9999.9 as it comes out of a float of fewer bits: -9999.900390625."""
    try:
        return struct.unpack(code, struct.pack(code, void))[0]  # type: ignore[no-any-return]
    except (struct.error, OverflowError):
        return void


def compile_layout(points: Iterable[LayoutKeys]) -> Layout:
    """A function from bytes to one outcome a point, in the order of `points`."""
    fields = tuple(compile_field(keys) for keys in points)
    return lambda data: tuple([field(data) for field in fields])


def _extractor(keys: LayoutKeys) -> Extract:
    """Takes the raw value out of the bytes: raises struct.error or IndexError where there are too few, None if it is no number."""
    kind, at, endian = keys.type, keys.at, keys.endian
    assert kind is not None, "a point without a type has no layout"
    if kind in _INTEGERS:
        return _integer(keys, _INTEGERS[kind], signed=kind[0] == "i")
    if kind in _FLOATS:
        unpack = struct.Struct(("<" if endian == "little" else ">") + _FLOATS[kind]).unpack_from
        return lambda data: unpack(data, at)[0]
    if kind == "bool":
        return lambda data: data[at] != 0
    if kind == "bit":
        mask = 1 << (keys.bit or 0)
        return lambda data: data[at] & mask != 0
    if kind == "bcd":
        return _bcd(at, keys.length or 1, endian)
    return _string(at, keys.length)


def _integer(keys: LayoutKeys, width: int, *, signed: bool) -> Extract:
    at, endian, end = keys.at, keys.endian, keys.at + width // 8

    def whole(data: bytes) -> int:
        if len(data) < end:
            raise IndexError
        return int.from_bytes(data[at:end], endian, signed=signed)

    if keys.bit is None:
        return whole
    first, count = keys.bit, keys.bits or width
    mask, sign = (1 << count) - 1, 1 << (count - 1) if signed else 0
    return lambda data: (((whole(data) >> first) & mask) ^ sign) - sign  # a slice of a signed type is signed itself


def _bcd(at: int, length: int, endian: str) -> Extract:
    """Two decimal digits a byte, the higher in the upper half."""

    def extract(data: bytes) -> int | None:
        field = data[at : at + length]
        if len(field) < length:
            raise IndexError
        digits = bytes(field if endian == "big" else field[::-1]).hex()
        return int(digits) if digits.isdecimal() else None

    return extract


def _string(at: int, length: int | None) -> Extract:
    """UTF-8 up to the first NUL, without blanks around it; bytes that are none of it show as U+FFFD."""
    end = None if length is None else at + length

    def extract(data: bytes) -> str:
        if len(data) < (at + 1 if end is None else end):
            raise IndexError
        return bytes(data[at:end]).split(b"\0", 1)[0].decode("utf-8", "replace").strip()

    return extract

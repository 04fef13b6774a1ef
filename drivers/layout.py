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

from drivers.contract import Held, KeyMistake, NoValue, Outcome, PointKeys, Value

MISSING = NoValue("not in this message")
NOT_A_NUMBER = NoValue("not a number")
VOID = NoValue("void")

FieldType = Literal[
    "int8", "int16", "int24", "int32", "int64",
    "uint8", "uint16", "uint24", "uint32", "uint64",
    "float16", "float32", "float64",
    "bool", "bit", "bcd", "string",
]  # fmt: skip

INTEGERS = {f"{sign}int{width}": width for sign in ("", "u") for width in (8, 16, 24, 32, 64)}
_LONGEST_BCD = 16  # bytes; no counter has more than 32 digits
FLOATS = {"float16": "e", "float32": "f", "float64": "d"}

# ---------------------------------------------------------------- what a raw value means


class ValueKeys(PointKeys, frozen=True, kw_only=True):
    """What a raw value means: raw * scale + offset, rounded to `decimals`, unless the raw value is void or has a name."""

    scale: Annotated[float, Meta(description="The raw number is multiplied by this.")] = 1.0
    offset: Annotated[float, Meta(description="Added after scaling.")] = 0.0
    decimals: Annotated[Annotated[int, Meta(ge=0, le=12)] | None, Meta(description="Round to so many places.")] = None
    void: Annotated[
        Value | tuple[Value, ...],
        Meta(description="Raw value (or several) by which the device says that it has no value: -32768, 0xFFFF."),
    ] = ()
    values: Annotated[
        Mapping[str, Value],
        Meta(description='Names of raw values: { 0 = "off", 1 = "on" }. Others are told as they are, among texts.'),
    ] = {}

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale) or self.scale == 0:
            raise KeyMistake("scale", f"{self.scale:g}", "a number other than 0")
        if not math.isfinite(self.offset):
            raise KeyMistake("offset", f"{self.offset:g}", "a number")
        if self.values and self.scaled:
            raise KeyMistake("values", "names together with scale, offset or decimals", "either names or a number")

    @property
    def scaled(self) -> bool:
        """Whether the value is another number than the raw one."""
        return (self.scale, self.offset, self.decimals) != (1.0, 0.0, None)

    @property
    def holds(self) -> Held:
        """See `PointKeys.holds`."""
        named = set(map(type, self.values.values()))
        return "text" if str in named else "flag" if named == {bool} else "number"

    @property
    def voids(self) -> frozenset[Value]:
        """The void values, whether one or several were written."""
        return frozenset(self.void if isinstance(self.void, tuple) else (self.void,))


Meaning: TypeAlias = Callable[[Value], Outcome]


def compile_value(keys: ValueKeys, *, numeric: bool = True) -> Meaning:
    """A function from a raw value to what it means. `numeric`: names are of numbers ("0x10" and "16" alike), not of text.

    An int stays an int where no scale and no offset is given; NaN and the infinities are no value.
    """
    voids = keys.voids
    if keys.values:
        names: dict[Value, Value] = {int(raw, 0) if numeric else raw: name for raw, name in keys.values.items()}
        texts = all(isinstance(name, str) for name in names.values())

        def named(raw: Value) -> Outcome:
            if raw in voids:
                return VOID
            # Among texts a code that no manual names is told, not lost; among truths or numbers it would be a lie.
            return names[raw] if raw in names else str(raw) if texts else NoValue(f"unknown code {raw}")

        return named

    scaled, decimals = _linear(keys.scale, keys.offset), keys.decimals

    def means(raw: Value) -> Outcome:
        if raw in voids:
            return VOID
        if isinstance(raw, str | bool):
            return raw
        value = scaled(raw) if scaled else raw
        if not math.isfinite(value):
            return NOT_A_NUMBER
        return value if decimals is None else round(value, decimals)

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
    bit: Annotated[Annotated[int, Meta(ge=0, le=7)] | None, Meta(description='Which bit, for type "bit"; 0 is the lowest.')] = None
    bits: Annotated[
        str,
        Meta(
            pattern=r"^(\d{1,2} *\.\. *\d{1,2})?$", examples=["4..7"], description="Which bits of an integer are meant, if not all."
        ),
    ] = ""
    length: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        Meta(description="Bytes of a string (to the end where left out) or of a bcd number."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.type is not None:
            self._check_field(self.type)

    def _check_field(self, kind: FieldType) -> None:
        if (self.bit is None) == (kind == "bit"):
            raise KeyMistake("bit", f"type {kind}" if kind != "bit" else "no bit number", '`bit` with type "bit", such as bit = 3')
        if self.bits and kind not in INTEGERS:
            raise KeyMistake("bits", f"bits of a {kind}", "an integer type")
        if self.bits and not self.slice[0] <= self.slice[1] < INTEGERS[kind]:
            raise KeyMistake("bits", f'"{self.bits}"', f'lowest and highest of bits 0 to {INTEGERS[kind] - 1}, such as "4..7"')
        if kind == "bcd" and not 1 <= (self.length or 0) <= _LONGEST_BCD:
            raise KeyMistake("length", f"{self.length or 'no length'}", f"the bytes of a bcd number, at most {_LONGEST_BCD}")
        if self.length is not None and kind not in ("bcd", "string"):
            raise KeyMistake("length", f"a length for a {kind}", "none: the type says it")
        if kind == "string":
            if self.scaled:
                raise KeyMistake("scale", "scale, offset or decimals for a string", "none")
        else:
            _check_names(self.values)

    @property
    def holds(self) -> Held:
        """See `PointKeys.holds`."""
        if self.type == "string":
            return "text"
        return "flag" if self.type in ("bool", "bit") and not self.values else super().holds

    @property
    def slice(self) -> tuple[int, int]:
        """Lowest and highest of the `bits`."""
        low, high = self.bits.split("..")
        return int(low), int(high)


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
    keys = msgspec.structs.replace(keys, void=tuple(_as_read(keys, void) for void in keys.voids))
    extract, means = _extractor(keys), compile_value(keys, numeric=keys.type != "string")

    def field(data: bytes) -> Outcome:
        try:
            raw = extract(data)
        except (struct.error, IndexError):
            return MISSING
        return NOT_A_NUMBER if raw is None else means(raw)

    return field


def _as_read(keys: LayoutKeys, void: Value) -> Value:
    """A void value as it comes out of the bytes: 0x8000 of an int16 is -32768, and -9999.9 of a float32 is -9999.900390625."""
    if keys.type in FLOATS:
        code = FLOATS[keys.type]
        try:
            return struct.unpack(code, struct.pack(code, void))[0]  # type: ignore[no-any-return]
        except (struct.error, OverflowError):  # more than it can hold: then it never comes
            return void
    if keys.type in INTEGERS and keys.type.startswith("int") and isinstance(void, int):
        width = keys.slice[1] - keys.slice[0] + 1 if keys.bits else INTEGERS[keys.type]
        return void - (1 << width) if void >= 1 << width - 1 else void
    return void


def compile_layout(points: Iterable[LayoutKeys]) -> Layout:
    """A function from bytes to one outcome a point, in the order of `points`."""
    fields = tuple(compile_field(keys) for keys in points)
    return lambda data: tuple([field(data) for field in fields])


def _extractor(keys: LayoutKeys) -> Extract:
    """Takes the raw value out of the bytes: raises struct.error or IndexError where there are too few, None if it is no number."""
    kind, at, endian = keys.type, keys.at, keys.endian
    assert kind is not None, "a point without a type has no layout"
    if kind in INTEGERS:
        return _integer(keys, INTEGERS[kind], signed=kind[0] == "i")
    if kind in FLOATS:
        unpack = struct.Struct(("<" if endian == "little" else ">") + FLOATS[kind]).unpack_from
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

    if not keys.bits:
        return whole
    first, last = keys.slice
    count = last - first + 1
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

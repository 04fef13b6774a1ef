"""What a technician writes about Modbus: buses, devices, points and samples. Pure.

Modbus knows four tables: coils and discrete inputs are bits, input and holding registers have 16 bits. All else is convention of
the maker: which registers make up a number, in which order, what it is scaled by, which value means "nothing there". A point says
so.
"""

import math
import struct
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.contract import Held, KeyMistake, Keys, PointKeys, Seconds
from drivers.modbus.blocks import Span

Table = Literal["coil", "discrete", "input", "holding"]
TABLES: tuple[Table, ...] = ("coil", "discrete", "input", "holding")
BITS: tuple[Table, ...] = ("coil", "discrete")
WRITABLE: tuple[Table, ...] = ("coil", "holding")

Type = Literal["int16", "int32", "int64", "uint16", "uint32", "uint64", "float32", "float64", "bool", "bit", "bitfield", "string"]
Order = Literal["big", "little"]
Address = Annotated[int, Meta(ge=0, le=0xFFFF)]

# type -> (struct code, registers)
NUMBERS: dict[str, tuple[str, int]] = {
    "int16": ("h", 1), "uint16": ("H", 1), "int32": ("i", 2), "uint32": ("I", 2),
    "int64": ("q", 4), "uint64": ("Q", 4), "float32": ("f", 2), "float64": ("d", 4),
}  # fmt: skip


# ---------------------------------------------------------------- buses and devices


class ModbusTcp(Keys, frozen=True, kw_only=True):
    """A Modbus TCP endpoint: one device, or a gateway with many units behind it."""

    host: Annotated[str, Meta(min_length=1, description="Its name or address.")]
    port: Annotated[int, Meta(ge=1, le=0xFFFF, description="Its TCP port.")] = 502
    parallel: Annotated[
        int, Meta(ge=1, le=16, description="Devices that may be asked at once; 1 suits every gateway, few take more.")
    ] = 1


class ModbusRtu(Keys, frozen=True, kw_only=True):
    """A serial line with Modbus RTU, which always has 8 data bits. What is left out is as the Modbus standard wants it."""

    port: Annotated[str, Meta(min_length=1, description='Name in /dev/serial/by-id, "serial:USBSERIAL", or a path.')]
    baud: Annotated[int, Meta(ge=300, le=4_000_000, description="Bits per second, as set in the devices.")] = 19200
    parity: Annotated[Literal["none", "even", "odd"], Meta(description="As set in the devices.")] = "even"
    stop_bits: Annotated[Literal[1, 2], Meta(description="As set in the devices.")] = 1
    gap: Annotated[Seconds | None, Meta(description="Silence before each request; 3.5 characters where nothing is said.")] = None
    rs485: Annotated[bool, Meta(description="The port's own driver must switch the transceiver (boards, rarely adapters).")] = False

    @property
    def character(self) -> float:
        """Seconds that one character takes: a start bit, 8 data bits, parity and stop bits."""
        return (9 + (self.parity != "none") + self.stop_bits) / self.baud


class ModbusRtuOverTcp(Keys, frozen=True, kw_only=True):
    """A serial line behind a converter that passes RTU frames on as they are ("transparent", "raw TCP")."""

    host: Annotated[str, Meta(min_length=1, description="Name or address of the converter.")]
    port: Annotated[int, Meta(ge=1, le=0xFFFF, description="TCP port of the converter.")]
    gap: Annotated[Seconds, Meta(description="Silence before each request, where the converter does not see to it.")] = 0.0


class ModbusDevice(Keys, frozen=True, kw_only=True):
    """One unit on a Modbus bus."""

    unit: Annotated[int, Meta(ge=1, le=255, description="Unit id, 1 to 247; on TCP some devices want 255.")]
    word_order: Annotated[Order, Meta(description='Of its numbers: "big" has the most significant register first.')] = "big"
    byte_order: Annotated[Order, Meta(description='Within a register; nearly always "big".')] = "big"
    max_registers: Annotated[int, Meta(ge=1, le=125, description="The most registers that it answers at once.")] = 125
    max_coils: Annotated[int, Meta(ge=1, le=2000, description="The most coils or discrete inputs that it answers at once.")] = 2000
    max_gap: Annotated[
        Annotated[int, Meta(ge=0, le=124)] | None,
        Meta(description="The most unused registers to read along rather than ask twice; 16 times that in coils."),
    ] = None


# ---------------------------------------------------------------- points


class ModbusPoint(PointKeys, frozen=True, kw_only=True):
    """One point. Exactly one of `coil`, `discrete`, `input`, `holding` says where it is.

    Addresses are those on the wire and begin at 0. A manual that counts from 1, or that writes the table as a leading digit, means
    one less: register 40001 is `holding = 0`, 30053 is `input = 52`.
    """

    coil: Annotated[Address | None, Meta(description="Address of a coil (a bit that can be written), from 0.")] = None
    discrete: Annotated[Address | None, Meta(description="Address of a discrete input (a bit), from 0.")] = None
    input: Annotated[Address | None, Meta(description="Address of an input register, from 0: 30001 in old manuals is 0.")] = None
    holding: Annotated[Address | None, Meta(description="Address of a holding register, from 0: 40001 in old manuals is 0.")] = None
    type: Annotated[Type | None, Meta(description='What the registers hold; "uint16" where nothing is said ("bool" of a bit).')] = (
        None
    )
    bit: Annotated[
        Annotated[int, Meta(ge=0, le=15)] | None, Meta(description='Which bit of a register, for type "bit"; 0 is the lowest.')
    ] = None
    bits: Annotated[
        str, Meta(pattern=r"^(\d{1,2} *\.\. *\d{1,2})?$", description='Which bits of a register, for type "bitfield": "4..7".')
    ] = ""
    length: Annotated[
        Annotated[int, Meta(ge=1, le=125)] | None, Meta(description='Registers of a "string", two characters each.')
    ] = None
    word_order: Annotated[Order | None, Meta(description='Which register comes first: "big" is the most significant.')] = None
    byte_order: Annotated[Order | None, Meta(description='Which byte of a register comes first; nearly always "big".')] = None
    scale: Annotated[float, Meta(description="What the raw number is multiplied by.")] = 1.0
    offset: Annotated[float, Meta(description="What is added after that.")] = 0.0
    decimals: Annotated[Annotated[int, Meta(ge=0, le=12)] | None, Meta(description="Round to so many places.")] = None
    void: Annotated[
        int | float | str | tuple[int | float, ...] | None,
        Meta(description='Raw value or values that mean "no value": 0x8000, -9999, [0x7FFF, 0x8000], "nan".'),
    ] = None
    values: Annotated[dict[str, str], Meta(description='What the numbers mean: { 0 = "off", 1 = "on" }.')] = msgspec.field(
        default_factory=dict
    )
    writable: Annotated[bool, Meta(description="A remedy may write it: a coil or a holding register.")] = False
    read_back: Annotated[
        bool, Meta(description="Once written it reads as it was written; false of one that only starts something, as a restart.")
    ] = True

    def __post_init__(self) -> None:
        self._check_place()
        self._check_type()
        self._check_meaning()

    def _check_place(self) -> None:
        tables = [table for table in TABLES if getattr(self, table) is not None]
        if len(tables) != 1:
            raise KeyMistake(
                tables[1] if tables else "", " and ".join(tables) or "no address", "one of coil, discrete, input, holding"
            )
        if self.span.end > 0x10000:
            raise KeyMistake(
                tables[0],
                f"address {self.span.start}",
                f"at most {0x10000 - self.span.end + self.span.start}: it has more registers",
            )

    def _check_type(self) -> None:
        kind = self.kind
        if self.table in BITS and kind != "bool":
            raise KeyMistake("type", f'"{kind}" of a {self.table}', 'nothing, or "bool": it is one bit')
        for key, given, needed in (
            ("bit", self.bit is not None, "bit"),
            ("bits", bool(self.bits), "bitfield"),
            ("length", self.length is not None, "string"),
        ):
            if given and kind != needed:
                raise KeyMistake(key, f'type "{kind}"', f'type "{needed}" for `{key}`')
            if kind == needed and not given:
                raise KeyMistake(key, f'type "{kind}" without `{key}`', _NEEDED[key])
        if self.bits and not 0 <= self.field[0] <= self.field[1] <= 15:
            raise KeyMistake("bits", f'"{self.bits}"', 'lowest and highest of bits 0 to 15, such as "4..7"')
        if self.word_order and (kind == "string" or self.count < 2):
            raise KeyMistake("word_order", f'type "{kind}"', "a number of two or four registers")
        if self.byte_order and self.table in BITS:
            raise KeyMistake("byte_order", f"a {self.table}", "a register")
        if self.writable and (self.table not in WRITABLE or kind == "string"):
            found = f'a point of type "{kind}"' if self.table in WRITABLE else f"a point of the table `{self.table}`"
            raise KeyMistake("writable", found, "a coil, or a number or bit of a holding register")
        if not (self.read_back or self.writable):
            raise KeyMistake("read_back", "a point that is never written", "`writable = true` beside it")

    def _check_meaning(self) -> None:
        number = self.kind in NUMBERS
        whole = not self.kind.startswith("float")
        if self.scaled and (self.values or not number):
            key = "scale" if self.scale != 1 else "offset" if self.offset != 0 else "decimals"
            raise KeyMistake(key, "also `values`" if self.values else f'type "{self.kind}"', "a number")
        if self.decimals is not None and whole and self.scale == 1 and self.offset == 0:
            raise KeyMistake("decimals", "a whole number", "a scale, an offset or a float")
        if self.scale == 0 or not math.isfinite(self.scale):
            raise KeyMistake("scale", str(self.scale), "a number other than 0")
        if not math.isfinite(self.offset):
            raise KeyMistake("offset", str(self.offset), "a number")
        if self.void is not None and not number:
            raise KeyMistake("void", f'type "{self.kind}"', "a number")
        for value in self._voids:
            self._check_void(value)
        if self.values and (self.kind == "string" or not whole):
            raise KeyMistake("values", f'type "{self.kind}"', "a whole number or a bit")
        for text in self.values:
            if _whole(text) is None:
                raise KeyMistake(f"values.{text}", f'"{text}"', 'a whole number, such as 0 = "off"')

    def _check_void(self, value: float | str) -> None:
        if self.kind.startswith("float"):
            if isinstance(value, str) and value != "nan":
                raise KeyMistake("void", f'"{value}"', 'a number or "nan"')
            return
        bits = 16 * self.count
        least = -(1 << bits - 1) if self.kind.startswith("int") else 0
        if not isinstance(value, int) or not least <= value < 1 << bits:
            found = f'"{value}"' if isinstance(value, str) else str(value)
            raise KeyMistake("void", found, f"a raw value of {self.kind}: {least} to {(1 << bits) - 1}")

    # ------------------------------------------------------------ what follows from it

    @property
    def table(self) -> Table:
        """Where it is."""
        return next(table for table in TABLES if getattr(self, table) is not None)

    @property
    def holds(self) -> Held:
        """See `PointKeys.holds`."""
        if self.values or self.kind == "string":
            return "text"
        return "flag" if self.kind in ("bool", "bit") else "number"

    @property
    def kind(self) -> Type:
        """Its type, with what follows from other keys filled in."""
        if self.type is not None:
            return self.type
        if self.table in BITS:
            return "bool"
        return "bit" if self.bit is not None else "bitfield" if self.bits else "uint16" if self.length is None else "string"

    @property
    def count(self) -> int:
        """How many registers (or bits, of a coil or discrete input) it takes."""
        return NUMBERS[self.kind][1] if self.kind in NUMBERS else self.length or 1

    @property
    def span(self) -> Span:
        """Its addresses in its table."""
        start: int = getattr(self, self.table)
        return Span(start, start + self.count)

    @property
    def where(self) -> tuple[Table, Span]:
        """Its table and its addresses."""
        return self.table, self.span

    @property
    def field(self) -> tuple[int, int]:
        """Lowest and highest bit of a bitfield."""
        low, high = self.bits.split("..")
        return int(low), int(high)

    @property
    def scaled(self) -> bool:
        """Whether its value is another number than its raw one."""
        return self.scale != 1 or self.offset != 0 or self.decimals is not None

    @property
    def raw_voids(self) -> tuple[float, ...]:
        """Its void values as decoding meets them: 0x8000 of an int16 is -32768, and a float32 is no finer than 32 bits."""
        code, registers = NUMBERS[self.kind]
        numbers = [value for value in self._voids if not isinstance(value, str)]
        if code in "fd":
            return tuple(_through(code, value) for value in numbers)
        half = 1 << 16 * registers - 1
        return tuple(value - 2 * half if code in "hiq" and value >= half else value for value in numbers)

    @property
    def _voids(self) -> tuple[float | str, ...]:
        return () if self.void is None else self.void if isinstance(self.void, tuple) else (self.void,)


_NEEDED = {
    "bit": "which bit, such as bit = 3",
    "bits": 'which bits, such as bits = "4..7"',
    "length": "how many registers, such as length = 8",
}


def _through(code: str, value: float) -> float:
    """A number after a trip through its registers."""
    try:
        number: float = struct.unpack(f">{code}", struct.pack(f">{code}", value))[0]
    except OverflowError:  # larger than it can hold: then it never comes
        return value
    return number


def _whole(text: str) -> int | None:
    """A whole number as TOML may write one (12, -1, 0x1F), or None."""
    try:
        return int(text, 0)
    except ValueError:
        return None


class ModbusSample(Keys, frozen=True, kw_only=True):
    """A recorded exchange: what stood in the tables, from some address on. Bits are written 0 and 1, registers as 4 hex digits.

    `holding = { 0 = "0000 0E10", 0x20 = "4366 3333" }`, `coil = { 16 = "1011" }`.
    """

    coil: Annotated[dict[str, str], Meta(description="Bits by address.")] = msgspec.field(default_factory=dict)
    discrete: Annotated[dict[str, str], Meta(description="Bits by address.")] = msgspec.field(default_factory=dict)
    input: Annotated[dict[str, str], Meta(description="Registers by address, 4 hex digits each.")] = msgspec.field(
        default_factory=dict
    )
    holding: Annotated[dict[str, str], Meta(description="Registers by address, 4 hex digits each.")] = msgspec.field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        for table in TABLES:
            digits, word = (set("01"), "bits: 0 or 1 each") if table in BITS else (_HEX, "registers: 4 hex digits each")
            for address, text in getattr(self, table).items():
                packed = "".join(text.split())
                if _whole(address) is None:
                    raise KeyMistake(f"{table}.{address}", f'"{address}"', "an address")
                if not packed or set(packed) - digits or (table not in BITS and len(packed) % 4):
                    raise KeyMistake(f"{table}.{address}", f'"{text}"', word)

    def cells(self, table: Table) -> dict[int, int]:
        """What is known of one table: address -> bit or register."""
        width = 1 if table in BITS else 4
        known: dict[int, int] = {}
        for address, text in getattr(self, table).items():
            packed = "".join(text.split())
            for place in range(0, len(packed), width):
                known[int(address, 0) + place // width] = int(packed[place : place + width], 16)
        return known


_HEX = set("0123456789abcdefABCDEF")

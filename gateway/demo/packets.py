"""MQTT packets: bytes to fields and back, for the demo's broker (OASIS standard "MQTT Version 5.0", chapters 1.5 and 2).

Any bytes give fields or a `Breach`, nothing else.
"""

import asyncio
import struct
from typing import NamedTuple, NoReturn

# Types of the properties (2.2.2.2). B, H, I: an integer of that size; v: one of variable size; s: text; x: bytes; p: two texts.
PROPERTIES = dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), "B")
PROPERTIES |= dict.fromkeys((0x13, 0x21, 0x22, 0x23), "H") | dict.fromkeys((0x02, 0x11, 0x18, 0x27), "I") | {0x0B: "v"}
PROPERTIES |= dict.fromkeys((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F), "s") | dict.fromkeys((0x09, 0x16), "x") | {0x26: "p"}


class Breach(Exception):  # noqa: N818
    """The client broke the protocol; `reason` is a reason code of version 5."""

    def __init__(self, reason: int) -> None:
        super().__init__(f"0x{reason:02X}")
        self.reason = reason


def malformed() -> NoReturn:
    """These bytes are no packet."""
    raise Breach(0x81)


class Property(NamedTuple):
    """One property, with its value where that is a number."""

    name: int
    number: int  # 0 for what is no number
    raw: bytes  # with its name


class Packet:
    """Reads the fields of a packet one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes were not read yet."""
        return len(self._body) - self._at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            malformed()
        self._at += count
        return self._body[self._at - count : self._at]

    def byte(self) -> int:
        """An integer of one byte."""
        return self.take(1)[0]

    def short(self) -> int:
        """An integer of two bytes (1.5.2)."""
        return int.from_bytes(self.take(2), "big")

    def data(self) -> bytes:
        """Bytes behind their length (1.5.6)."""
        return self.take(self.short())

    def text(self) -> str:
        """UTF-8 behind its length (1.5.4)."""
        try:
            words = self.data().decode()
        except UnicodeDecodeError:
            malformed()
        return words if "\0" not in words else malformed()

    def variable(self) -> int:
        """An integer of one to four bytes (1.5.5)."""
        number = 0
        for shift in (0, 7, 14, 21):
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
        malformed()

    def properties(self) -> list[Property]:
        """All properties of the packet."""
        block = Packet(self.take(self.variable()))
        found = []
        while block.left:
            start = block._at
            name = block.variable()
            kind = PROPERTIES.get(name) or malformed()
            number = 0
            if kind == "s":
                block.text()
            elif kind == "p":
                block.text(), block.text()
            elif kind == "x":
                block.data()
            else:
                number = block.variable() if kind == "v" else int.from_bytes(block.take(struct.calcsize(f">{kind}")), "big")
            found.append(Property(name, number, block._body[start : block._at]))
        return found


def variable(number: int) -> bytes:
    """A variable byte integer (1.5.5)."""
    digits = bytearray()
    while True:
        number, digit = divmod(number, 128)
        digits.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(digits)


def text(words: str) -> bytes:
    """A text as a field."""
    data = words.encode()
    return len(data).to_bytes(2, "big") + data


async def read(reader: asyncio.StreamReader, most: int) -> tuple[int, Packet]:
    """The first byte of the next packet, and the rest of it without the length, which is at most `most` bytes."""
    kind = (await reader.readexactly(1))[0]
    length = 0
    for shift in (0, 7, 14, 21):
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        malformed()
    if length > most:
        raise Breach(0x95)
    return kind, Packet(await reader.readexactly(length))

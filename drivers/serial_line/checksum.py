"""Checksums of serial protocols: which bytes a device guards, how, and where it puts the proof.

Pure. CRCs are parametrised as in the catalogue of parametrised CRC algorithms (Greg Cook's, after Ross Williams' model) and go
by its names; the names that manuals like to use are there as well. Every one is proven by its check value for "123456789".
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Literal, NamedTuple, TypeAlias

from msgspec import Meta

from drivers.contract import KeyMistake, Keys


class Crc(NamedTuple):
    """One CRC: width in bits, polynomial without its highest term, start value, lowest bit first or not, final XOR."""

    width: int
    poly: int
    init: int
    reflected: bool
    xorout: int


CRCS: dict[str, Crc] = {
    "crc-8/smbus": Crc(8, 0x07, 0x00, False, 0x00),
    "crc-8/i-432-1": Crc(8, 0x07, 0x00, False, 0x55),
    "crc-8/rohc": Crc(8, 0x07, 0xFF, True, 0x00),
    "crc-8/maxim-dow": Crc(8, 0x31, 0x00, True, 0x00),
    "crc-8/nrsc-5": Crc(8, 0x31, 0xFF, False, 0x00),
    "crc-8/sae-j1850": Crc(8, 0x1D, 0xFF, False, 0xFF),
    "crc-8/autosar": Crc(8, 0x2F, 0xFF, False, 0xFF),
    "crc-8/dvb-s2": Crc(8, 0xD5, 0x00, False, 0x00),
    "crc-16/arc": Crc(16, 0x8005, 0x0000, True, 0x0000),
    "crc-16/modbus": Crc(16, 0x8005, 0xFFFF, True, 0x0000),
    "crc-16/usb": Crc(16, 0x8005, 0xFFFF, True, 0xFFFF),
    "crc-16/maxim-dow": Crc(16, 0x8005, 0x0000, True, 0xFFFF),
    "crc-16/umts": Crc(16, 0x8005, 0x0000, False, 0x0000),
    "crc-16/cms": Crc(16, 0x8005, 0xFFFF, False, 0x0000),
    "crc-16/xmodem": Crc(16, 0x1021, 0x0000, False, 0x0000),
    "crc-16/ibm-3740": Crc(16, 0x1021, 0xFFFF, False, 0x0000),
    "crc-16/spi-fujitsu": Crc(16, 0x1021, 0x1D0F, False, 0x0000),
    "crc-16/genibus": Crc(16, 0x1021, 0xFFFF, False, 0xFFFF),
    "crc-16/gsm": Crc(16, 0x1021, 0x0000, False, 0xFFFF),
    "crc-16/kermit": Crc(16, 0x1021, 0x0000, True, 0x0000),
    "crc-16/ibm-sdlc": Crc(16, 0x1021, 0xFFFF, True, 0xFFFF),
    "crc-16/mcrf4xx": Crc(16, 0x1021, 0xFFFF, True, 0x0000),
    "crc-16/riello": Crc(16, 0x1021, 0xB2AA, True, 0x0000),
    "crc-16/dnp": Crc(16, 0x3D65, 0x0000, True, 0xFFFF),
    "crc-16/en-13757": Crc(16, 0x3D65, 0x0000, False, 0xFFFF),
    "crc-16/profibus": Crc(16, 0x1DCF, 0xFFFF, False, 0xFFFF),
    "crc-32/iso-hdlc": Crc(32, 0x04C11DB7, 0xFFFFFFFF, True, 0xFFFFFFFF),
}

ALIASES = {
    "crc-8": "crc-8/smbus",
    "crc-16": "crc-16/arc",
    "crc-16/ibm": "crc-16/arc",
    "crc-16/ccitt-false": "crc-16/ibm-3740",
    "crc-16/x-25": "crc-16/ibm-sdlc",
    "crc-32": "crc-32/iso-hdlc",
}

Algorithm = Literal[
    "nmea", "xor", "sum-8", "sum-16", "ones-complement-8", "twos-complement-8", "twos-complement-16",
    "crc-8", "crc-8/smbus", "crc-8/i-432-1", "crc-8/rohc", "crc-8/maxim-dow", "crc-8/nrsc-5", "crc-8/sae-j1850", "crc-8/autosar",
    "crc-8/dvb-s2", "crc-16", "crc-16/arc", "crc-16/ibm", "crc-16/modbus", "crc-16/usb", "crc-16/maxim-dow", "crc-16/umts",
    "crc-16/cms", "crc-16/xmodem", "crc-16/ibm-3740", "crc-16/ccitt-false", "crc-16/spi-fujitsu", "crc-16/genibus", "crc-16/gsm",
    "crc-16/kermit", "crc-16/ibm-sdlc", "crc-16/x-25", "crc-16/mcrf4xx", "crc-16/riello", "crc-16/dnp", "crc-16/en-13757",
    "crc-16/profibus", "crc-32", "crc-32/iso-hdlc",
]  # fmt: skip

Compute: TypeAlias = Callable[[bytes], int]


def algorithm(name: str) -> tuple[int, Compute]:
    """Width in bytes, and the function from the guarded bytes to the checksum, of one `Algorithm` but "nmea"."""
    if name in _SUMS:
        return _SUMS[name]
    crc = CRCS[ALIASES.get(name, name)]
    return crc.width // 8, _crc(crc)


def _xor(data: bytes) -> int:
    result = 0
    for byte in data:
        result ^= byte
    return result


_SUMS: dict[str, tuple[int, Compute]] = {
    "xor": (1, _xor),
    "sum-8": (1, lambda data: sum(data) & 0xFF),
    "sum-16": (2, lambda data: sum(data) & 0xFFFF),
    "ones-complement-8": (1, lambda data: ~sum(data) & 0xFF),
    "twos-complement-8": (1, lambda data: -sum(data) & 0xFF),  # with it, all bytes add up to 0: the LRC of Modbus ASCII
    "twos-complement-16": (2, lambda data: -sum(data) & 0xFFFF),
}


@cache
def _crc(crc: Crc) -> Compute:
    """The function that computes one CRC, by a table of 256 entries."""
    width, poly, init, reflected, xorout = crc
    mask, top = (1 << width) - 1, 1 << (width - 1)
    if reflected:
        poly, init = (int(f"{number:0{width}b}"[::-1], 2) for number in (poly, init))
        table = [_divide(index, 8, lambda rest: rest >> 1 ^ (poly if rest & 1 else 0)) for index in range(256)]

        def compute(data: bytes) -> int:
            rest = init
            for byte in data:
                rest = rest >> 8 ^ table[(rest ^ byte) & 0xFF]
            return rest ^ xorout

    else:
        shift = width - 8
        table = [_divide(index << shift, 8, lambda rest: (rest << 1 ^ (poly if rest & top else 0)) & mask) for index in range(256)]

        def compute(data: bytes) -> int:
            rest = init
            for byte in data:
                rest = rest << 8 & mask ^ table[rest >> shift ^ byte]
            return rest ^ xorout

    return compute


def _divide(rest: int, bits: int, step: Callable[[int], int]) -> int:
    for _ in range(bits):
        rest = step(rest)
    return rest


class ChecksumKeys(Keys, frozen=True, kw_only=True):
    """`checksum`: by what a frame proves that it arrived whole. It lies at the end of the frame, before the terminator.

        frame: [ skip ][ guarded ............. ][ separator ][ checksum ][ trailing ][ terminator ]

    "nmea" is short for { algorithm = "xor", format = "hex", skip = 1, separator = "*" }.
    """

    algorithm: Annotated[Algorithm, Meta(description='Such as "xor", "sum-8", "crc-16/modbus", "nmea".')]
    format: Annotated[
        Literal["binary", "hex"] | None, Meta(description='How it is written: as bytes, or "hex" as digits. Binary where left out.')
    ] = None
    endian: Annotated[
        Literal["little", "big"] | None, Meta(description="Which of its bytes comes first; hex digits are big where left out.")
    ] = None
    skip: Annotated[
        Annotated[int, Meta(ge=0, le=65535)] | None, Meta(description="Bytes at the start of the frame that it does not guard.")
    ] = None
    separator: Annotated[
        Annotated[str, Meta(max_length=8)] | None, Meta(description="Text between what it guards and itself, not guarded.")
    ] = None
    trailing: Annotated[int, Meta(ge=0, le=65535, description="Bytes that follow it, before the terminator.")] = 0

    def __post_init__(self) -> None:
        if self.algorithm == "nmea":
            for key in ("format", "endian", "skip", "separator"):
                if getattr(self, key) is not None:
                    raise KeyMistake(key, "written beside nmea", "nothing: nmea says it")
        elif self.format != "hex" and self.endian is None and algorithm(self.algorithm)[0] > 1:
            raise KeyMistake("endian", "none", f'"little" or "big": {self.algorithm} has several bytes')
        if self.separator and not self.separator.isascii():
            raise KeyMistake("separator", f'"{self.separator}"', "plain ASCII text")


class Checksum:
    """Checks frames and seals requests by one way of proving."""

    def __init__(self, keys: ChecksumKeys) -> None:
        nmea = keys.algorithm == "nmea"
        self._size, self._compute = algorithm("xor" if nmea else keys.algorithm)
        self._hex = nmea or keys.format == "hex"
        self._endian: Literal["little", "big"] = keys.endian or "big"
        self._skip = 1 if nmea else keys.skip or 0
        self._separator = b"*" if nmea else (keys.separator or "").encode()
        self._trailing = keys.trailing

    def open(self, frame: bytes) -> bytes | None:
        """The frame up to what is guarded, its first bytes included; None where the proof is missing or wrong."""
        at = len(frame) - self._trailing - self._size * (2 if self._hex else 1)
        end = at - len(self._separator)
        if end < self._skip:
            return None
        proof = frame[at : len(frame) - self._trailing]
        sealed = frame[end:at] + (proof.upper() if self._hex else proof)
        return frame[:end] if sealed == self.seal(frame[:end]) else None

    def seal(self, body: bytes) -> bytes:
        """Separator and checksum for what a request says up to there."""
        proof = self._compute(body[self._skip :]).to_bytes(self._size, self._endian)
        return self._separator + (proof.hex().upper().encode() if self._hex else proof)

"""Promises of drivers/serial_line/checksum.py."""

import binascii
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.serial_line.checksum import ALIASES, CRCS, Algorithm, Checksum, ChecksumKeys, algorithm

CHECK = {  # catalogue of parametrised CRC algorithms: what each gives for the text "123456789"
    "crc-8/smbus": 0xF4, "crc-8/i-432-1": 0xA1, "crc-8/rohc": 0xD0, "crc-8/maxim-dow": 0xA1, "crc-8/nrsc-5": 0xF7,
    "crc-8/sae-j1850": 0x4B, "crc-8/autosar": 0xDF, "crc-8/dvb-s2": 0xBC, "crc-16/arc": 0xBB3D, "crc-16/modbus": 0x4B37,
    "crc-16/usb": 0xB4C8, "crc-16/maxim-dow": 0x44C2, "crc-16/umts": 0xFEE8, "crc-16/cms": 0xAEE7, "crc-16/xmodem": 0x31C3,
    "crc-16/ibm-3740": 0x29B1, "crc-16/spi-fujitsu": 0xE5CC, "crc-16/genibus": 0xD64E, "crc-16/gsm": 0xCE3C,
    "crc-16/kermit": 0x2189, "crc-16/ibm-sdlc": 0x906E, "crc-16/mcrf4xx": 0x6F91, "crc-16/riello": 0x63D0, "crc-16/dnp": 0xEA82,
    "crc-16/en-13757": 0xC2B7, "crc-16/profibus": 0xA819, "crc-32/iso-hdlc": 0xCBF43926,
}  # fmt: skip
SUMS = {
    "xor": 0x31,
    "sum-8": 0xDD,
    "sum-16": 0x01DD,
    "ones-complement-8": 0x22,
    "twos-complement-8": 0x23,
    "twos-complement-16": 0xFE23,
}
NAMES = typing.get_args(Algorithm)


def checksum(**written):
    return Checksum(msgspec.convert(written, ChecksumKeys))


def test_every_algorithm_that_can_be_written_is_proven_by_its_check_value():
    assert set(NAMES) == {"nmea", *SUMS, *CRCS, *ALIASES}
    assert CHECK.keys() == CRCS.keys()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"nmea"}))
def test_check_value(name):
    _, compute = algorithm(name)
    assert compute(b"123456789") == (CHECK | SUMS)[ALIASES.get(name, name)]


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_crcs_agree_with_those_of_the_standard_library(data):
    assert algorithm("crc-32")[1](data) == binascii.crc32(data)
    assert algorithm("crc-16/xmodem")[1](data) == binascii.crc_hqx(data, 0)


@pytest.mark.parametrize(
    ("written", "frame", "says"),
    [
        ({"algorithm": "nmea"}, b"$GPGLL,4916.45,N,12311.12,W,225444,A*31", b"$GPGLL,4916.45,N,12311.12,W,225444,A"),
        ({"algorithm": "xor", "skip": 1}, b"\x02ab\x03\x00", b"\x02ab\x03"),
        (
            {"algorithm": "crc-16/modbus", "endian": "little"},
            bytes.fromhex("01 04 02 ff ff b8 80"),
            bytes.fromhex("01 04 02 ff ff"),
        ),
        ({"algorithm": "sum-8", "format": "hex"}, b"@00" + b"a0", b"@00"),
        (
            {"algorithm": "twos-complement-16", "endian": "big", "skip": 2, "trailing": 1},
            bytes.fromhex("dd03 001b ffe5 77"),
            bytes.fromhex("dd03 001b"),
        ),
    ],
)
def test_a_whole_frame_says_what_lies_before_its_checksum(written, frame, says):
    assert checksum(**written).open(frame) == says
    for at in range(len(frame)):
        broken = bytearray(frame)
        broken[at] ^= 0x01
        opened = checksum(**written).open(bytes(broken))
        guarded = written.get("skip", 1 if written["algorithm"] == "nmea" else 0) <= at < len(frame) - written.get("trailing", 0)
        assert (opened is None) == guarded, at


@pytest.mark.parametrize("frame", [b"", b"*", b"00", b"*00", b"$*"])
def test_a_frame_too_short_for_what_is_skipped_is_none(frame):
    assert checksum(algorithm="nmea").open(frame) is None


def test_hexadecimal_digits_may_be_small():
    assert checksum(algorithm="xor", format="hex").open(b"\xabab") == b"\xab"
    assert checksum(algorithm="xor", format="hex").open(b"\xabAB") == b"\xab"


@settings(max_examples=300)
@given(st.sampled_from(NAMES), st.binary(max_size=40), st.sampled_from(["little", "big"]), st.booleans(), st.binary(max_size=20))
def test_what_is_sealed_opens_and_any_other_bytes_do_no_harm(name, body, endian, as_hex, noise):
    written = (
        {"algorithm": name} if name == "nmea" else {"algorithm": name, "endian": endian, "format": "hex" if as_hex else "binary"}
    )
    way = checksum(**written)
    body = b"$" + body
    assert way.open(body + way.seal(body)) == body
    assert way.open(noise) is None or noise.startswith(way.open(noise))


def test_a_checksum_of_several_bytes_must_say_its_byte_order():
    with pytest.raises(msgspec.ValidationError, match=r"^endian: "):
        checksum(algorithm="crc-16/modbus")
    with pytest.raises(msgspec.ValidationError, match=r"^skip: "):
        checksum(algorithm="nmea", skip=1)

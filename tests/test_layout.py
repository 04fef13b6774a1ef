"""Promises of drivers/layout.py."""

import math
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import NoValue
from drivers.layout import MISSING, NOT_A_NUMBER, VOID, FieldType, LayoutKeys, compile_field, compile_layout

KINDS: tuple[FieldType, ...] = FieldType.__args__


def keys(**written):
    return msgspec.convert(written, LayoutKeys)


def read(data, **written):
    return compile_field(keys(**written))(data)


@pytest.mark.parametrize(
    ("written", "data", "value"),
    [
        ({"type": "int8"}, "ff", -1),
        ({"type": "uint8", "at": 2}, "00 00 ff", 255),
        ({"type": "int16"}, "fe ff", -2),
        ({"type": "int16", "endian": "big"}, "ff fe", -2),
        ({"type": "uint24"}, "01 02 03", 0x030201),
        ({"type": "int24", "endian": "big"}, "ff ff fe", -2),
        ({"type": "uint32", "endian": "big"}, "00 01 00 00", 65536),
        ({"type": "int64"}, "ff ff ff ff ff ff ff ff", -1),
        ({"type": "float16", "endian": "big"}, "3c 00", 1.0),
        ({"type": "float32", "endian": "big"}, "41 48 00 00", 12.5),
        ({"type": "float64"}, struct.pack("<d", 0.1).hex(), 0.1),
        ({"type": "bool"}, "02", True),
        ({"type": "bit", "bit": 3}, "08", True),
        ({"type": "bit", "bit": 3}, "f7", False),
        ({"type": "uint16", "bits": "4..6"}, "50 00", 5),
        ({"type": "int16", "bits": "0 .. 11"}, "ff ff", -1),
        ({"type": "int16", "bits": "0 .. 11"}, "ff f7", 2047),
        ({"type": "bcd", "length": 3, "endian": "big"}, "01 23 45", 12345),
        ({"type": "bcd", "length": 2}, "45 23", 2345),
        ({"type": "string", "length": 6}, "41 42 20 00 58 59", "AB"),
        ({"type": "string", "at": 1}, "00 c2 b0 43", "°C"),
    ],
)
def test_every_type_reads_what_its_bytes_say(written, data, value):
    outcome = read(bytes.fromhex(data), **written)
    assert outcome == value
    assert type(outcome) is type(value)


def test_a_scaled_value_is_the_decimal_that_people_write():
    """0.1 times 3 is 0.3, and times 1171 is 117.1: no digits that nobody measured."""
    for raw in range(-5000, 5000):
        assert repr(read(raw.to_bytes(2, "little", signed=True), type="int16", scale=0.1)) == str(raw / 10)
    assert read(b"\x28", type="uint8", scale=0.5, offset=-40) == -20.0
    assert read(b"\x03", type="uint8", scale=0.3) == 0.3 * 3


def test_decimals_are_what_the_device_can_tell_apart():
    assert read(struct.pack("<f", 21.3), type="float32") != 21.3
    assert read(struct.pack("<f", 21.3), type="float32", decimals=2) == 21.3


def test_a_number_without_scale_stays_whole_and_with_one_is_a_float():
    assert type(read(b"\x05", type="uint8")) is int
    assert type(read(b"\x05", type="uint8", scale=10)) is float


@pytest.mark.parametrize(
    ("written", "data"),
    [
        ({"type": "int16", "void": -32768, "scale": 0.1}, b"\x00\x80"),
        ({"type": "int16", "void": 0x8000}, b"\x00\x80"),
        ({"type": "int16", "bits": "0..3", "void": 8}, b"\x08\x00"),
        ({"type": "uint16", "void": [0xFFFF, 0xFFFE]}, b"\xfe\xff"),
        ({"type": "float32", "void": -9999.9}, struct.pack("<f", -9999.9)),
        ({"type": "string", "void": "---"}, b"---"),
        ({"type": "uint8", "void": 255, "values": {"0": "off", "1": "on"}}, b"\xff"),
    ],
)
def test_a_void_value_is_no_value(written, data):
    assert read(data, **written) == VOID


def test_names_stand_for_raw_values():
    assert [read(bytes([raw]), type="uint8", values={"0": "off", "0x10": "on"}) for raw in (0, 16)] == ["off", "on"]
    assert read(b"\x01", type="bit", bit=0, values={"0": "closed", "1": "open"}) == "open"
    assert read(b"\x01", type="bool", values={"0": True, "1": False}) is False


def test_a_code_without_a_name_is_told_among_texts_and_is_no_value_among_others():
    assert read(b"\x05", type="uint8", values={"0": "off", "1": "on"}) == "5"
    assert read(b"\x05", type="uint8", values={"0": False, "1": True}) == NoValue("unknown code 5")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_value(value):
    assert read(struct.pack("<d", value), type="float64") == NOT_A_NUMBER
    assert read(struct.pack("<d", value), type="float64", scale=10) == NOT_A_NUMBER


def test_overflow_in_scaling_and_wrong_decimal_digits_are_no_number():
    assert read(struct.pack("<d", 1e308), type="float64", scale=1e10) == NOT_A_NUMBER
    assert read(b"\x1a", type="bcd", length=1) == NOT_A_NUMBER


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_that_is_too_short_does_not_hold_the_field(kind):
    extra = {"bit": {"bit": 0}, "bcd": {"length": 2}, "string": {"length": 2}}.get(kind, {})
    assert read(b"", type=kind, at=3, **extra) == MISSING
    assert read(b"\x00\x00\x00", type=kind, at=3, **extra) == MISSING


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ({"type": "bit"}, "bit"),
        ({"type": "bit", "bit": 0, "bits": "0..1"}, "bits"),
        ({"type": "uint8", "bit": 3}, "bit"),
        ({"type": "uint8", "bits": "6..8"}, "bits"),
        ({"type": "uint8", "bits": "3..2"}, "bits"),
        ({"type": "float32", "bits": "0..1"}, "bits"),
        ({"type": "bcd"}, "length"),
        ({"type": "bcd", "length": 17}, "length"),
        ({"type": "int16", "length": 2}, "length"),
        ({"type": "string", "length": 2, "scale": 0.1}, "scale"),
        ({"type": "uint8", "scale": 0}, "scale"),
        ({"type": "uint8", "offset": math.inf}, "offset"),
        ({"type": "uint8", "values": {"on": True}}, "values"),
        ({"type": "uint8", "values": {"0": "off"}, "scale": 0.1}, "values"),
    ],
)
def test_keys_that_contradict_each_other_are_a_mistake(written, key):
    with pytest.raises(msgspec.ValidationError, match=f"^{key}: "):
        keys(**written)


def layouts():
    """Any field that the keys allow."""
    at, endian = st.integers(0, 12), st.sampled_from(["little", "big"])
    width = st.sampled_from(["int8", "int16", "uint24", "int32", "uint64"])
    meaning = st.one_of(
        st.fixed_dictionaries({}, optional={"scale": st.sampled_from([0.1, 3.0, 1e300]), "void": st.integers(-1, 255)}),
        st.just({"values": {"0": "off", "1": True}}),
    )
    plain = st.fixed_dictionaries({"type": st.sampled_from([kind for kind in KINDS if kind not in ("bit", "bcd", "string")])})
    part = st.fixed_dictionaries({"type": width, "bits": st.sampled_from(["0..0", "0..7", "3..5"])})
    bit = st.fixed_dictionaries({"type": st.just("bit"), "bit": st.integers(0, 7)})
    bcd = st.fixed_dictionaries({"type": st.just("bcd"), "length": st.integers(1, 6)})
    string = st.fixed_dictionaries({"type": st.just("string")}, optional={"length": st.integers(1, 6)})
    place = st.fixed_dictionaries({"at": at, "endian": endian})
    return st.tuples(
        st.one_of(st.tuples(st.one_of(plain, part, bit, bcd), meaning).map(lambda both: both[0] | both[1]), string), place
    ).map(lambda both: keys(**both[0], **both[1]))


@settings(max_examples=300)
@given(st.lists(layouts(), max_size=6), st.binary(max_size=24))
def test_any_bytes_give_one_outcome_a_field(points, data):
    outcomes = compile_layout(points)(data)
    assert len(outcomes) == len(points)
    for outcome in outcomes:
        assert isinstance(outcome, float | int | bool | str | NoValue)
        assert not isinstance(outcome, float) or math.isfinite(outcome)


@settings(max_examples=300)
@given(st.sampled_from([8, 16, 24, 32, 64]), st.booleans(), st.sampled_from(["little", "big"]), st.data())
def test_what_was_packed_is_what_is_read(width, signed, endian, draw):
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
    number = draw.draw(st.integers(low, high))
    data = b"\xaa" + number.to_bytes(width // 8, endian, signed=signed) + b"\xaa"
    assert read(data, type=f"{'' if signed else 'u'}int{width}", at=1, endian=endian) == number

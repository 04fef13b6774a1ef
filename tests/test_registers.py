"""Registers become the values that a technician wrote they hold, whatever the type, the order and the neighbours."""

import math
import struct

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.contract import KeyMistake, NoValue
from drivers.modbus.keys import ModbusPoint, ModbusSample
from drivers.modbus.registers import NOT_A_NUMBER, VOID, Place, decoder

INTEGERS = {"int16": 1, "int32": 2, "int64": 4, "uint16": 1, "uint32": 2, "uint64": 4}
FLOATS = {"float32": 2, "float64": 4}
SIZES = INTEGERS | FLOATS
orders = st.sampled_from(["big", "little"])


def registers(kind: str, value: float, word_order: str = "big", byte_order: str = "big") -> bytes:
    """How a device holds a number, written independently of the driver: by whole bytes, words turned round one by one."""
    size = 2 * SIZES[kind]
    if kind in FLOATS:
        raw = struct.pack(">f" if kind == "float32" else ">d", value)
    else:
        raw = value.to_bytes(size, "big", signed=kind.startswith("int"))
    words = [raw[place : place + 2] for place in range(0, size, 2)]
    if word_order == "little":
        words.reverse()
    if byte_order == "little":
        words = [word[1:] + word[:1] for word in words]
    return b"".join(words)


def read(answer: bytes, **keys) -> object:
    """The value of one point whose registers are all that was answered."""
    point = ModbusPoint(**({"holding": 0} | keys))
    return decoder([(point, Place(0, 0))])(answer)[0]


@st.composite
def numbers(draw):
    """A type and a value that it can hold exactly."""
    kind = draw(st.sampled_from(sorted(SIZES)))
    if kind in FLOATS:
        return kind, draw(st.floats(width=32 if kind == "float32" else 64, allow_nan=False, allow_infinity=False))
    bits = 16 * INTEGERS[kind]
    signed = kind.startswith("int")
    return kind, draw(st.integers(-(1 << bits - 1) if signed else 0, (1 << bits - signed) - 1))


@given(
    st.lists(st.tuples(numbers(), orders, orders), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.binary(min_size=20),
)
def test_every_type_in_every_order_is_read_as_it_was_written(cases, chance, rubbish):
    """Many points at once: in any order, with unwanted registers between them, in an answer that begins anywhere."""
    answer, points, start, at = rubbish[: chance.randrange(20)], [], chance.randrange(1000), 0
    head, address = len(answer), start
    for (kind, value), word_order, byte_order in cases:
        gap = chance.randrange(3)
        answer += rubbish[: 2 * gap] + registers(kind, value, word_order, byte_order)
        address += gap
        order = {"word_order": word_order} if SIZES[kind] > 1 else {}
        points.append((ModbusPoint(holding=address, type=kind, byte_order=byte_order, **order), value))
        address += SIZES[kind]
        at += gap
    chance.shuffle(points)
    values = decoder([(point, Place(head, start)) for point, _ in points])(answer)
    assert values == tuple(value for _, value in points)
    assert [type(value) for value in values] == [type(value) for _, value in points]


@given(numbers(), orders, orders)
def test_a_device_s_orders_hold_for_points_that_say_nothing(number, word_order, byte_order):
    kind, value = number
    decode = decoder([(ModbusPoint(input=7, type=kind), Place(0, 7))], word_order=word_order, byte_order=byte_order)
    assert decode(registers(kind, value, word_order, byte_order)) == (value,)


def test_a_string_is_read_in_reading_order_whatever_the_order_of_numbers():
    decode = decoder([(ModbusPoint(input=7, length=3), Place(0, 7))], word_order="little")
    assert decode(b"SDM120") == ("SDM120",)


def test_points_may_share_registers():
    points = [
        ModbusPoint(holding=0, type="uint32"),
        ModbusPoint(holding=1),
        ModbusPoint(holding=1, bit=0),
        ModbusPoint(holding=1, bit=15),
        ModbusPoint(holding=1, bits="4..7"),
        ModbusPoint(holding=0, type="bool"),
    ]
    values = decoder([(point, Place(2, 0)) for point in points])(b"\x03\x04\x00\x00\x80\xa4")
    assert values == (0x80A4, 0x80A4, False, True, 0xA, False)


@given(st.integers(0, 0xFFFF), st.integers(0, 15), st.integers(0, 15))
def test_bits_are_counted_from_the_lowest(word, one, other):
    low, high = sorted((one, other))
    answer = word.to_bytes(2, "big")
    assert read(answer, bit=low) is (f"{word:016b}"[15 - low] == "1")
    assert read(answer, bits=f"{low}..{high}") == int(f"{word:016b}"[15 - high : 16 - low], 2)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 500), st.randoms(use_true_random=False))
def test_coils_and_discrete_inputs_are_bits_lowest_first(bits, start, chance):
    packed = int("".join("1" if bit else "0" for bit in reversed(bits)), 2).to_bytes((len(bits) + 7) // 8, "little")
    wanted = list(range(len(bits)))
    chance.shuffle(wanted)
    points = [(ModbusPoint(coil=start + place), Place(2, start)) for place in wanted]
    assert decoder(points)(b"\x01\x05" + packed) == tuple(bits[place] for place in wanted)


@pytest.mark.parametrize(
    ("answer", "keys", "value"),
    [
        (b"\x00\x01", {"type": "bool"}, True),
        (b"SDM120\0\0", {"type": "string", "length": 4}, "SDM120"),
        (b"DS1M02\0\0", {"type": "string", "length": 4, "byte_order": "little"}, "SDM120"),
        (b"AB\0\0CD  ", {"length": 4}, "AB"),
        (b"  \xff\x41", {"length": 2}, "\N{REPLACEMENT CHARACTER}A"),
        (b"\0\0\0\0", {"length": 2}, NoValue("empty")),
        (b"\x00\x02", {"values": {"2": "heating"}}, "heating"),
        (b"\x00\x03", {"values": {"0x2": "heating"}}, "3"),
        (b"\xff\xff", {"type": "int16", "values": {"-1": "fault"}}, "fault"),
        (b"\x00\x20", {"bits": "4..7", "values": {"2": "auto"}}, "auto"),
        (b"\x00\x20", {"bit": 5, "values": {"0": "closed", "1": "open"}}, "open"),
    ],
)
def test_words_bits_and_strings(answer, keys, value):
    assert read(answer, **keys) == value


# ---------------------------------------------------------------- scales


@given(st.integers(-32768, 32767), st.sampled_from([0.1, 0.01, 0.001, -0.1, 0.5, 10, 2.5]), st.sampled_from([0, -40, 12.5]))
def test_a_scaled_value_is_the_decimal_that_a_person_expects(raw, scale, offset):
    value = read(registers("int16", raw), type="int16", scale=scale, offset=offset)
    assert isinstance(value, float)
    assert math.isclose(value, raw * scale + offset, rel_tol=1e-12, abs_tol=1e-12)
    if offset == 0 and scale == 0.1:
        assert len(str(value).partition(".")[2]) == 1, "no crumbs such as 123.40000000000001"


def test_decimals_take_the_crumbs_of_a_float32():
    assert read(registers("float32", 49.9), type="float32", decimals=2) == 49.9


@given(st.binary(min_size=8, max_size=8), st.sampled_from(sorted(SIZES)), st.floats(allow_nan=False, allow_infinity=False))
@example(b"\x7f\xef\xff\xff\xff\xff\xff\xff", "float64", 10.0)
def test_any_registers_give_a_number_or_no_value(answer, kind, scale):
    if scale:
        for keys in ({}, {"scale": scale}, {"scale": scale, "decimals": 3} if scale != 1 else {}):
            value = read(answer, type=kind, **keys)
            assert isinstance(value, NoValue) or math.isfinite(value)


# ---------------------------------------------------------------- no value


@pytest.mark.parametrize("bits", [b"\x7f\xc0\x00\x00", b"\xff\xff\xff\xff", b"\x7f\x80\x00\x00", b"\xff\x80\x00\x00"])
@pytest.mark.parametrize("keys", [{}, {"scale": 0.1}, {"void": 0}])
def test_what_is_not_a_number_is_no_value(bits, keys):
    assert read(bits, type="float32", **keys) == NOT_A_NUMBER


def test_one_bad_float_among_good_ones_is_the_only_one_without_a_value():
    points = [(ModbusPoint(input=2 * n, type="float32"), Place(0, 0)) for n in range(4)]
    good = registers("float32", 1.5)
    assert decoder(points)(good + b"\x7f\x80\0\0" + good + b"\xff\x80\0\0") == (1.5, NOT_A_NUMBER, 1.5, NOT_A_NUMBER)
    texts = [*points, (ModbusPoint(input=0, length=1), Place(0, 0))]
    assert decoder(texts)(good + b"\x7f\x80\0\0" + good * 2)[:4] == (1.5, NOT_A_NUMBER, 1.5, 1.5)


@pytest.mark.parametrize(
    ("kind", "raw", "void"),
    [
        ("int16", -32768, 0x8000),
        ("int16", -32768, -32768),
        ("uint16", 0xFFFF, 0xFFFF),
        ("int32", -(1 << 31), 0x80000000),
        ("uint32", 0xFFFFFFFF, (0x7FFFFFFF, 0xFFFFFFFF)),
        ("uint64", 2**64 - 1, 2**64 - 1),
        ("float32", struct.unpack(">f", struct.pack(">f", -9999.9))[0], -9999.9),
    ],
)
@pytest.mark.parametrize("keys", [{}, {"scale": 0.01}])
def test_a_void_value_is_no_value_and_the_one_beside_it_is_one(kind, raw, void, keys):
    assert read(registers(kind, raw), type=kind, void=void, **keys) == VOID
    assert not isinstance(read(registers(kind, 1), type=kind, void=void, **keys), NoValue)


def test_a_point_that_was_not_read_has_the_reason_for_a_value():
    reason = NoValue("the device refuses this address")
    points = [(ModbusPoint(holding=0), Place(0, 0)), (ModbusPoint(holding=9), reason)]
    assert decoder(points)(b"\x00\x07") == (7, reason)
    assert decoder([(ModbusPoint(holding=9), reason)])(b"") == (reason,)


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({}, "", "one of coil"),
        ({"input": 1, "holding": 1}, "holding", "one of coil"),
        ({"coil": 1, "type": "int16"}, "type", "it is one bit"),
        ({"holding": 1, "type": "bit"}, "bit", "bit = 3"),
        ({"holding": 1, "type": "bitfield"}, "bits", '"4..7"'),
        ({"holding": 1, "type": "string"}, "length", "length = 8"),
        ({"holding": 1, "type": "int32", "bit": 3}, "bit", 'type "bit"'),
        ({"holding": 1, "bits": "7..4"}, "bits", "bits 0 to 15"),
        ({"holding": 1, "bits": "4..16"}, "bits", "bits 0 to 15"),
        ({"holding": 1, "length": 2, "type": "uint16"}, "length", 'type "string"'),
        ({"holding": 65535, "type": "uint32"}, "holding", "at most 65534"),
        ({"holding": 1, "word_order": "little"}, "word_order", "two or four registers"),
        ({"coil": 1, "byte_order": "little"}, "byte_order", "a register"),
        ({"holding": 1, "bit": 1, "scale": 0.1}, "scale", "a number"),
        ({"holding": 1, "length": 4, "offset": 1.0}, "offset", "a number"),
        ({"holding": 1, "decimals": 1}, "decimals", "a scale"),
        ({"holding": 1, "values": {"0": "off"}, "scale": 0.1}, "scale", "a number"),
        ({"holding": 1, "scale": 0}, "scale", "other than 0"),
        ({"holding": 1, "scale": math.inf}, "scale", "a number"),
        ({"holding": 1, "offset": math.nan}, "offset", "a number"),
        ({"holding": 1, "bit": 1, "void": 0}, "void", "a number"),
        ({"holding": 1, "void": "nan"}, "void", "raw value of uint16"),
        ({"holding": 1, "void": -1}, "void", "raw value of uint16"),
        ({"holding": 1, "type": "int16", "void": [0x8000, 0x10000]}, "void", "raw value of int16"),
        ({"holding": 1, "type": "float32", "void": "none"}, "void", 'a number or "nan"'),
        ({"holding": 1, "type": "float32", "values": {"1": "on"}}, "values", "a whole number"),
        ({"holding": 1, "values": {"on": "1"}}, "values.on", "0 = "),
    ],
)
def test_a_mistake_in_a_point_is_told_where_it_is(keys, key, expected):
    with pytest.raises(KeyMistake) as caught:
        ModbusPoint(**(keys | ({"void": tuple(keys["void"])} if isinstance(keys.get("void"), list) else {})))
    assert caught.value.key == key
    assert expected in caught.value.expected


def test_a_point_is_written_in_toml_as_in_the_reference():
    """What TOML gives for each of the forms of a key is taken."""
    for keys in (
        {"holding": 1, "type": "int16", "void": [0x7FFF, 0x8000]},
        {"input": 2, "type": "float32", "void": "nan", "unit": "V"},
        {"input": 2, "type": "float32", "void": -9999.0},
        {"discrete": 3, "values": {"0": "closed", "1": "open"}, "label": "Door"},
        {"holding": 4, "bits": "4 .. 7"},
    ):
        msgspec.convert(keys, ModbusPoint)


# ---------------------------------------------------------------- samples


def test_a_sample_is_written_as_registers_and_bits():
    sample = ModbusSample(input={"0": "4366 3333", "0x10": "0001"}, coil={"16": "10 1"})
    assert sample.cells("input") == {0: 0x4366, 1: 0x3333, 16: 1}
    assert sample.cells("coil") == {16: 1, 17: 0, 18: 1}


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"input": {"0": "436"}}, "input.0"),
        ({"input": {"0": ""}}, "input.0"),
        ({"holding": {"0": "43G6"}}, "holding.0"),
        ({"holding": {"x": "4366"}}, "holding.x"),
        ({"coil": {"0": "12"}}, "coil.0"),
    ],
)
def test_a_mistake_in_a_sample_is_told_where_it_is(keys, key):
    with pytest.raises(KeyMistake) as caught:
        ModbusSample(**keys)
    assert caught.value.key == key

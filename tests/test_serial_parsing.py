"""Promises of drivers/serial_line/parsing.py."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import NoValue
from drivers.layout import NOT_A_NUMBER, VOID
from drivers.serial_line.parsing import EMPTY, LONGEST_LINE, ParseKeys, SaidKeys, compile_parser, compile_prefix, misfits


def device(**written):
    return msgspec.convert(written, ParseKeys)


def points(**written):
    return msgspec.convert(written, dict[str, SaidKeys])


def parse(frame, keys, **written):
    assert list(misfits(keys, points(**written))) == []
    return compile_parser(keys, points(**written))(frame)


def test_a_pattern_names_the_points():
    keys = device(pattern=r"T=(?P<temperature>[-0-9.]+) (?:H=(?P<humidity>[0-9.]+))?")
    both = {"temperature": {"offset": -0.5}, "humidity": {}}
    assert parse(b"T=21.5 H=40", keys, **both) == {"temperature": 21.0, "humidity": 40}
    assert parse(b"T=21.5 ", keys, **both) == {"temperature": 21.0}
    assert parse(b"ERROR", keys, **both) == {}


def test_several_patterns_read_several_kinds_of_lines():
    keys = device(pattern=[r"^T(?P<t>[0-9]+)$", r"^P(?P<p>[0-9]+)$"], lines="\r\n")
    assert parse(b"T21\r\nP1013\r\nX9", keys, t={}, p={}) == {"t": 21, "p": 1013}


def test_fields_go_by_number():
    keys = device(delimiter=",")
    assert parse(b"A, 12.5 ,OK", keys, value={"field": 1}, state={"field": 2, "text": True}) == {"value": 12.5, "state": "OK"}
    assert parse(b"A", keys, value={"field": 1}) == {}


def test_a_blank_delimiter_stands_for_any_blanks():
    assert parse(b"  12.5 \t  7", device(delimiter=" "), a={"field": 0}, b={"field": 1}) == {"a": 12.5, "b": 7}


def test_obis_codes_are_keys():
    keys = device(lines="\r\n", delimiter="(")
    telegram = b"/ISK5\r\n\r\n1-0:1.8.1(000123.456*kWh)\r\n0-1:24.2.1(101209112500W)(12785.123*m3)\r\n!"
    said = parse(
        telegram,
        keys,
        energy={"key": "1-0:1.8.1", "suffix": "*kWh)"},
        gas={"key": "0-1:24.2.1", "field": 2, "suffix": "*m3)"},
        absent={"key": "1-0:2.8.1", "suffix": "*kWh)"},
        wrong_unit={"key": "1-0:1.8.1", "suffix": "*MWh)"},
    )
    assert said == {"energy": 123.456, "gas": 12785.123, "wrong_unit": NOT_A_NUMBER}


def test_fixed_columns_hold_text_or_packed_numbers():
    said = parse(
        b"ST,GS,+0012.5kg\x01\x02",
        device(),
        weight={"at": 6, "length": 7},
        unit={"at": 13, "length": 2, "text": True},
        raw={"at": 15, "type": "uint16", "endian": "big"},
        beyond={"at": 16, "length": 4},
    )
    assert said == {"weight": 12.5, "unit": "kg", "raw": 0x0102}


def test_a_point_may_wait_for_its_kind_of_frame():
    keys = device(delimiter=",")
    both = {
        "fix": {"when": ["$GPGGA,", "$GNGGA,"], "field": 6},
        "status": {"when": ["$GPRMC,", "$GNRMC,"], "field": 2, "values": {"A": True, "V": False}},
    }
    assert parse(b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9", keys, **both) == {"fix": 1}
    assert parse(b"$GNRMC,123519,V", keys, **both) == {"status": False}
    assert parse(b"$GPGSV,3,1,11", keys, **both) == {}


def test_prefixes_are_texts_or_hex_with_wildcards():
    assert compile_prefix(())(b"")
    assert compile_prefix("?1")(b"?1.5")
    assert not compile_prefix("?1")(b"21")
    assert compile_prefix(("A", "hex: 42"))(b"B")
    assert compile_prefix("hex: 02 ?? ff")(b"\x02\n\xff")
    assert not compile_prefix("hex: 02 ?? ff")(b"\x02\n\xfe")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("+ 12.50", 12.5),
        ("-  3", -3),
        ("0002", 2),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.5e3", 1500.0),
        ("", EMPTY),
        ("   ", EMPTY),
        ("---", NOT_A_NUMBER),
        ("1_000", NOT_A_NUMBER),
        ("12 kg", NOT_A_NUMBER),
        ("1,5", NOT_A_NUMBER),
        ("nan", NOT_A_NUMBER),
        ("inf", NOT_A_NUMBER),
        ("1e999", NOT_A_NUMBER),
        ("9" * 400, NOT_A_NUMBER),
        ("٣", NOT_A_NUMBER),
    ],
)
def test_a_text_is_exactly_a_number_or_no_value(text, value):
    said = compile_parser(device(pattern="(?s)^(?P<x>.*)$"), points(x={}))(text.encode("utf-8"))
    assert said == {"x": value}
    assert type(said["x"]) is type(value)


@pytest.mark.parametrize(
    ("written", "text", "value"),
    [
        ({"base": 16}, b"0xA1", 161),
        ({"base": 16}, b"ff", 255),
        ({"base": 16}, b"fg", NOT_A_NUMBER),
        ({"suffix": " g"}, b"12.5 g", 12.5),
        ({"suffix": " g"}, b"12.5g", 12.5),
        ({"suffix": "g"}, b"12.5 kg", NOT_A_NUMBER),
        ({"suffix": "g"}, b"12.5", NOT_A_NUMBER),
        ({"void": [-1, "---"]}, b"-1", VOID),
        ({"void": [-1, "---"]}, b"---", VOID),
        ({"scale": 0.1}, b"3", 0.3),
        ({"values": {"ON": True, "OFF": False}}, b"ON", True),
        ({"values": {"ON": True, "OFF": False}}, b"?", NoValue("unknown code ?")),
        ({"text": True, "void": "none"}, b"none", VOID),
    ],
)
def test_what_a_text_means(written, text, value):
    assert parse(text, device(delimiter=";"), x={"field": 0, **written}) == {"x": value}


def test_a_decimal_comma():
    keys = device(delimiter=";", decimal=",")
    assert parse(b"21,5;21.5;1.021,5", keys, a={"field": 0}, b={"field": 1}, c={"field": 2}) == {
        "a": 21.5,
        "b": NOT_A_NUMBER,
        "c": NOT_A_NUMBER,
    }


@pytest.mark.parametrize(
    ("keys", "point", "place"),
    [
        ({"delimiter": ","}, {}, ("points", "x")),
        ({"delimiter": ","}, {"type": "uint8"}, ("points", "x")),
        ({"delimiter": ",", "lines": "\n"}, {"field": 1}, ("points", "x")),
        ({"pattern": "(?P<y>.)"}, {}, ("pattern",)),
        ({"pattern": "(?P<x>.)"}, {"field": 1}, ("points", "x", "field")),
        ({}, {}, ("points", "x")),
        ({}, {"key": "A"}, ("points", "x")),
    ],
)
def test_points_that_do_not_fit_the_style_are_told_with_their_place(keys, point, place):
    assert next(misfits(device(**keys), points(x=point)))[0] == place


@pytest.mark.parametrize(
    "pattern", ["(", "(?P<x>a+)+b", "(?P<x>(a|b*)*)", "(.*.*)*", ".*a.*b.*c.*d(?P<x>.)", "(?:(?P<x>[0-9]+),?)+"]
)
def test_a_pattern_that_is_wrong_or_could_hang_the_hub_is_a_mistake(pattern):
    with pytest.raises(msgspec.ValidationError, match=r"^pattern: "):
        device(pattern=pattern)


@pytest.mark.parametrize("pattern", [r"(?P<x>[-0-9.]+)\s*(?:kg|g)?$", r"^.*?(?P<x>\d+).*$", r"(?:[0-9]{2}:){2}(?P<x>[0-9]+)"])
def test_an_ordinary_pattern_is_none(pattern):
    assert device(pattern=pattern)


def test_a_pattern_is_not_tried_on_a_line_that_is_too_long():
    keys = device(pattern="(?P<x>[0-9])$")
    assert parse(b" " * (LONGEST_LINE - 1) + b"7", keys, x={}) == {"x": 7}
    assert parse(b" " * LONGEST_LINE + b"7", keys, x={}) == {}


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ({"type": "uint8", "field": 1}, "field"),
        ({"type": "uint8", "suffix": "g"}, "suffix"),
        ({"field": 1, "length": 2}, "length"),
        ({"field": 1, "text": True, "scale": 0.1}, "text"),
        ({"when": "hex: 0"}, "when"),
    ],
)
def test_keys_of_a_point_that_contradict_each_other_are_a_mistake(written, key):
    with pytest.raises(msgspec.ValidationError, match=f"{key}: "):
        points(x=written)


STYLES = [
    (device(delimiter=","), {"a": {"field": 0}, "b": {"field": 3, "text": True}, "c": {"key": "T", "base": 16}}),
    (device(delimiter="(", lines="\r\n"), {"a": {"key": "1", "suffix": "*kWh)"}, "b": {"key": "2", "field": 2, "scale": 0.1}}),
    (device(delimiter=" ", decimal=","), {"a": {"field": 1, "values": {"A": 1}}, "b": {"field": 0, "void": 0}}),
    (device(pattern="(?P<a>[-+0-9.eE]*),(?P<b>.*)"), {"a": {"scale": 1e300}, "b": {"text": True}}),
    (device(), {"a": {"at": 1, "length": 3}, "b": {"at": 2, "type": "float32"}, "c": {"at": 0, "type": "string", "when": "1"}}),
]


@settings(max_examples=400)
@given(
    st.sampled_from(STYLES),
    st.one_of(st.binary(max_size=40), st.text("0123456789+-.,eE(*kWh)\r\n T12", max_size=40).map(str.encode)),
)
def test_any_bytes_give_outcomes_of_known_points(style, frame):
    keys, written = style
    said = parse(frame, keys, **written)
    assert said.keys() <= written.keys()
    for outcome in said.values():
        assert isinstance(outcome, float | int | bool | str | NoValue)
        assert not isinstance(outcome, float) or math.isfinite(outcome)

"""Slips of the pen: what is not TOML is told with what was meant, and does not hide the rest."""

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.document import Document


def read(text: str) -> Document:
    return Document.decode("hub.toml", text.encode())


@pytest.mark.parametrize(
    ("line", "found", "meant", "value"),
    [
        ("x = plant", "text without quotes", '"plant"', "plant"),
        ("x = /dev/ttyUSB0  # the adapter", "text without quotes", '"/dev/ttyUSB0"', "/dev/ttyUSB0"),
        ("x = 192.168.1.5", "text without quotes", '"192.168.1.5"', "192.168.1.5"),
        ("x = 54:48:E6:8F:80:A5", "text without quotes", '"54:48:E6:8F:80:A5"', "54:48:E6:8F:80:A5"),
        ("x = freezer-*/core_temp", "text without quotes", '"freezer-*/core_temp"', "freezer-*/core_temp"),
        ("x = C:\\new", "text without quotes", "'C:\\new'", "C:\\new"),
        ('x = "plant', "a quote is missing", '"plant"', "plant"),
        ('x = "plant“', "a quote is missing", '"plant"', "plant"),
        ("x = 'plant", "a quote is missing", "'plant'", "plant"),
        ("x = „plant“", "quotes that are not straight", '"plant"', "plant"),
        ("x = “plant”", "quotes that are not straight", '"plant"', "plant"),
        ("x = it's", "text without quotes", '"it\'s"', "it's"),
        ("x = 'it's'", "a single quote between single quotes", '"it\'s"', "it's"),
        ('x = "the "big" one"', "double quotes between double quotes", "'the \"big\" one'", 'the "big" one'),
        ('x = "C:\\Users"', "a backslash between double quotes", "'C:\\Users'", "C:\\Users"),
        ("x = 5 s", "a unit outside of quotes", '"5 s"', "5 s"),
        ("x = 10m", "a unit outside of quotes", '"10m"', "10m"),
        ("x = -15 °C", "a unit outside of quotes", '"-15 °C"', "-15 °C"),
        ("x = –15 °C", "a unit outside of quotes", '"-15 °C"', "-15 °C"),
        ("x = 50%", "a unit outside of quotes", '"50%"', "50%"),
        ("x = 2 °C/min", "a unit outside of quotes", '"2 °C/min"', "2 °C/min"),
        ("x = 3,5", "a decimal comma", "3.5", 3.5),
        ("x = 3,5 kW", "a decimal comma", '"3.5 kW"', "3.5 kW"),
        ("x = .5", "a number that begins with its point", "0.5", 0.5),
        ("x = 5.", "a number that ends in its point", "5.0", 5.0),
        ("x = 007", "a number that begins with 0", "7", 7),
        ("x = –5", "a dash instead of a minus sign", "-5", -5),
        ("x = True", "a switch in another form", "true", True),
        ("x = off", "a switch in another form", "false", False),
        ("x == 5", 'more than one "="', "5", 5),
        ("x: 5", '":" instead of "="', "x = 5", 5),
        ("x 5", '"=" is missing', "x = 5", 5),
        ('x "plant"', '"=" is missing', 'x = "plant"', "plant"),
        ("x = 1.5.2024", "a date in another form", "2024-05-01", "2024-05-01"),
        ("x = 2024/5/1", "a date in another form", "2024-05-01", "2024-05-01"),
        ('x = ["a", b, "c"]', "text without quotes", '"b"', ["a", "b", "c"]),
        ("x = [5 s]", "a unit outside of quotes", '"5 s"', ["5 s"]),
        ('x = ["a', "a quote is missing", '"a"', ["a"]),
        ("x = { a = 0,1 }", "a decimal comma", "0.1", {"a": 0.1}),
        ("x = { a = b }", "text without quotes", '"b"', {"a": "b"}),
    ],
)
def test_a_slip_is_told_with_what_was_meant_and_read_as_it_was_meant(line, found, meant, value):
    document = read(f"before = 1\n{line}\nafter = 2\n")
    first = document.problems[0]
    assert (first.line, first.found, first.suggestion) == (2, found, meant)
    assert str(document.data["x"]) == str(value)
    assert (document.data["before"], document.data["after"]) == (1, 2)
    assert document.whole


@pytest.mark.parametrize(
    ("text", "found", "data"),
    [
        ("x = [1 2]", "a comma is missing", {"x": [1, 2]}),
        ('x = [\n"a"\n"b"\n]', "a comma is missing", {"x": ["a", "b"]}),
        ("x = { a = 1 b = 2 }", "a comma is missing", {"x": {"a": 1, "b": 2}}),
        ("x = [1, 2\ny = 3", 'no "]" ends this', {"x": [1, 2], "y": 3}),
        ("x = [1,\ny = 3", 'no "]" ends this', {"x": [1], "y": 3}),
        ("x = { a = 1\n[t]\ny = 3", 'no "}" ends this', {"x": {"a": 1}, "t": {"y": 3}}),
        ('x = "a" y = 3', "two keys in one line", {"x": "a", "y": 3}),
        ("x = 5 y = 3", "two keys in one line", {"x": 5, "y": 3}),
        ("[t] y = 3", "two keys in one line", {"t": {"y": 3}}),
        ('x = "a" here', "there is something behind the value", {"x": "a"}),
        ("// a remark\nx = 1", 'a comment begins with "#", not with "//"', {"x": 1}),
        ("; a remark\nx = 1", 'a comment begins with "#", not with ";"', {"x": 1}),
        ("größe = 1", "a key outside of quotes has only letters, digits, - and _", {"größe": 1}),
        ("keep alive = 1", "a key has no blanks", {"keep_alive": 1}),
        ("[device.freezer 1]\nx = 1", "a name has only letters, digits, - and _", {"device": {"freezer-1": {"x": 1}}}),
        ("[device.freezer\nx = 1", '"]" is missing', {"device": {"freezer": {"x": 1}}}),
        ("[[samples]\nx = 1", '"]" is missing', {"samples": [{"x": 1}]}),
        ("x\N{NO-BREAK SPACE}= 1\ny\N{NO-BREAK SPACE}= 2", "an invisible character (U+00A0)", {"x": 1, "y": 2}),
        ("x = 1\0", "an invisible character (U+0000)", {"x": 1}),
        ("x = 1\nx = 2\ny = 3", '"x" is defined twice, first in line 1', {"x": 1, "y": 3}),
        ("[t]\nx = 1\n[t]\nx = 2\n[u]\ny = 3", '"t" is defined twice, first in line 1', {"t": {"x": 1}, "u": {"y": 3}}),
    ],
)
def test_a_slip_between_values_is_mended_too(text, found, data):
    document = read(text + "\n")
    assert document.problems[0].found == found
    assert document.data == data
    assert document.whole


@pytest.mark.parametrize(
    ("text", "found", "data"),
    [
        ("x =\ny = 3", 'there is nothing after "="', {"y": 3}),
        ("y = 3\n= 5", 'there is no key before "="', {"y": 3}),
        ("y = 3\nx", 'there is no "=" after the key', {"y": 3}),
        ("x = null\ny = 3", "there is no null in TOML", {"y": 3}),
        ("x = 31/12/2024\ny = 3", "this is no date", {"y": 3}),
        ("x = { a = 1, a = 2 }\ny = 3", '"a" is defined twice', {"y": 3}),
        ("y = 3\n[]\nx = 1\n[t]\nz = 4", "a table without a name", {"y": 3, "t": {"z": 4}}),
        ('y = 3\nx = """\nz = 4', 'no """ ends this text', {"y": 3}),
    ],
)
def test_what_cannot_be_mended_is_left_out_and_the_rest_is_read(text, found, data):
    document = read(text + "\n")
    assert [problem.found for problem in document.problems] == [found]
    assert document.data == data
    assert not document.whole, "what seems to be missing may be what was left out"


def test_places_are_those_of_the_text_as_it_was_written():
    document = read('a = 5 s b = x\nc = "y\n\nd = { e = 0,1 f = 3,5 }\n')
    assert [(problem.line, problem.column) for problem in document.problems] == [
        (1, 9),
        (1, 5),
        (1, 13),
        (2, 5),
        (4, 11),
        (4, 15),
        (4, 19),
    ]
    assert document.place(("d", "f")) == (4, 19)
    assert document.place(("b",), key=True) == (1, 9)


@given(st.text(st.sampled_from("ab1.,=[]{}\"'\\#\n -:°é„"), max_size=40))
def test_good_toml_is_never_touched_and_other_text_is_told(text):
    document = read(text)
    try:
        expected = tomli.loads(text)
    except tomli.TOMLDecodeError:
        assert document.problems
    else:
        assert (document.data, document.problems, document.whole) == (expected, [], True)

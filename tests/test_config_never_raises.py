"""Whatever a file holds, it gives a config or a ConfigError that says where and what, and nothing else."""

import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers
from gateway import diagnosis
from gateway.config import Config, ConfigError, check_file, load, model
from gateway.config.fragments import NAMED, SINGLE
from gateway.config.tables import fields

EXAMPLE = (Path(__file__).parent.parent / "config" / "hub.toml").read_bytes()
SIGNS = [
    "=",
    "[",
    "]",
    "[[",
    "{",
    "}",
    '"',
    "'",
    '"""',
    "'''",
    ",",
    ".",
    "\n",
    "\r\n",
    " ",
    "#",
    "\\",
    "°",
    "\x00",
    "–",
    "\xa0",
    "5 s",
    "1e999",
]


def told(raw: bytes) -> tuple:
    """The problems of a file with this content; none when it is a config."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "hub.toml")
        file.write_bytes(raw)
        try:
            assert isinstance(load(file, resolve_secrets=False), Config)
        except ConfigError as error:
            found = error
        else:
            return ()
    assert found.problems
    assert str(found).startswith(str(file))
    lines = raw.decode("utf-8", "replace").count("\n") + 1
    assert all(problem.found and 0 <= problem.line <= lines and "\n" not in problem.text for problem in found.problems)
    return found.problems


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes(raw):
    told(raw)


@settings(max_examples=60)
@given(st.text(max_size=300))
def test_any_text(text):
    told(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=100)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_any_damage_to_a_good_config(lot: random.Random, times):
    raw = EXAMPLE
    for _ in range(times):
        start = lot.randrange(len(raw))
        end = min(len(raw), start + lot.choice([0, 0, 1, 1, 3, 30, 300]))
        other = lot.randrange(len(raw))
        piece = lot.choice([b"", lot.choice(SIGNS).encode(), lot.randbytes(2), raw[other : other + 60]])
        raw = raw[:start] + piece + raw[end:]
    told(raw)


# ---------------------------------------------------------------- TOML that is well formed and makes no sense

KINDS = [diagnosis.load_kind(kind).Keys for kind in diagnosis.kinds()]
DRIVERS = [drivers.load(name) for name in ("modbus-tcp", "serial", "ble")]
CLASSES = [model.Hub, model.Uplink, model.Tls, model.Desk, model.Owner, model.Bus, model.Device, *KINDS]
CLASSES += [keys for driver in DRIVERS for keys in (driver.bus_keys, driver.device_keys, driver.point_keys)]
KEYS = st.sampled_from(sorted({field.key for keys in CLASSES for field in fields(keys)} | {"points", "x", '"a b"'}))
WORDS = st.sampled_from(
    [
        *[
            "",
            "x",
            "5 s",
            "-15 °C",
            "2 °C/min",
            "plant",
            "dev/p",
            "*",
            "[*",
            "threshold",
            "stuck",
            "int16",
            "{value}",
            "{",
            "dsmr-p1",
        ],
        *["modbus-tcp", "serial", "ble", "modbus", "mqtts://x", "mqtt://[::1", "../x", "\\u0000", "Europe/Brussels", "Europe"],
        *["../../etc/passwd", "hci0", "bthome", "54:48:E6:8F:80:A5"],
    ]
)
NUMBERS = st.sampled_from(["0", "1", "-1", "70000", "1.5", "nan", "inf", "1e300", "0xFFFFFFFFFFFFFFFFFFFF", "true"])
TIMES = st.sampled_from(["2024-05-01", "07:30:00", "2024-05-01T07:30:00Z"])


def written(table):
    return "{" + ", ".join(f"{key} = {table[key]}" for key in table) + "}"


VALUES = st.recursive(
    st.one_of(WORDS.map('"{}"'.format), NUMBERS, TIMES),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(KEYS, inner, max_size=4).map(written)
    ),
    max_leaves=8,
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=8)
PLACES = st.one_of(
    st.sampled_from(SINGLE),
    st.tuples(st.sampled_from(NAMED), st.sampled_from(["plant", "dev", "p", '"ü"'])).map(".".join),
    st.tuples(st.just("device.dev.points"), st.sampled_from(["p", "q", "state"])).map(".".join),
    st.sampled_from(["samples", "rule", "x.y"]),
)


@settings(max_examples=100)
@given(st.dictionaries(PLACES, TABLES, max_size=7))
def test_any_sense_or_nonsense_in_good_toml(tables):
    told(
        "\n".join(f"[{place}]\n" + "".join(f"{key} = {tables[place][key]}\n" for key in tables[place]) for place in tables).encode()
    )


GOOD = '[hub]\nid = "h"\nsite = "Bäckerei"\n'


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter():
    assert told(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()) == ()


def test_a_mistake_in_a_file_with_windows_line_ends_is_told_at_its_place():
    (problem,) = told(b'[hub]\r\nid = "h"\r\nsite = 5\r\n')
    assert (problem.line, problem.column) == (3, 8)


def test_a_file_in_another_encoding_is_told_with_the_place_and_what_to_do():
    (problem,) = told(GOOD.encode("cp1252"))
    assert (problem.line, problem.column) == (3, 10)
    assert problem.text == "byte 0xE4 is not UTF-8, expected the file to be saved as UTF-8"
    (problem,) = told(GOOD.encode("utf-16"))
    assert problem.text == "this file is written in UTF-16, expected it to be saved as UTF-8"


@pytest.mark.parametrize(
    "content", ["x = " + "[" * 100_000, "x = " + "9" * 5000, ".".join("a" * 5000) + " = 1", "x = " + "{a=" * 1000]
)
def test_what_the_parser_cannot_bear_is_told(content):
    (problem,) = told(content.encode())
    assert problem.expected


def problems_of(path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems[0].text


def test_what_is_no_file_is_told(tmp_path):
    assert problems_of(tmp_path / "hub.toml") == "there is no such file, expected the config to be here"
    assert problems_of(tmp_path).startswith("this is a folder")
    assert problems_of("a\0b").startswith("this file cannot be read")
    assert problems_of("").startswith("this is a folder")
    assert problems_of("/proc/self/mem").startswith("this file cannot be read")
    assert problems_of("/dev/zero") == "this file is larger than 8 MiB, expected a config"
    with pytest.raises(ConfigError, match="no such file"):
        check_file(tmp_path / "hub.toml")


def test_a_file_that_must_not_be_read_is_told(tmp_path):
    file = tmp_path / "hub.toml"
    file.write_text(GOOD)
    file.chmod(0)
    was = os.geteuid()
    try:
        if was == 0:
            tmp_path.chmod(0o755)
            for parent in tmp_path.parents[:2]:
                parent.chmod(0o755)
            os.seteuid(65534)
        assert problems_of(file).startswith("this file must not be read by the present user")
    finally:
        os.seteuid(was)


def test_many_problems_are_all_told_however_many_there_are():
    assert len(told(("[hub]\nid = 'h'\n" + "".join(f"key{number} = 1\n" for number in range(500))).encode())) == 500

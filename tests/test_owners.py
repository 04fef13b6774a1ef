"""Owners have hours, in the time of the site, and cover what a device is a part of."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from config_of import config_of
from hypothesis import given
from hypothesis import strategies as st

from gateway import moments
from gateway.clock import VirtualClock
from gateway.config.model import Config
from gateway.config.office_hours import DAYS, parse, reachable
from gateway.config.problems import Unfit
from gateway.diagnosis.contract import Change, Fault, PointInfo
from gateway.service.desk import Desk
from gateway.service.owners import fault_of, owner
from gateway.store import Store

from moments_of import change

GHENT = ZoneInfo("Europe/Brussels")
MONDAY = datetime(2026, 3, 2, tzinfo=GHENT)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A time of the week that begins on Monday, the second of March."""
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


# ---------------------------------------------------------------- hours


@pytest.mark.parametrize(
    ("hours", "asked", "expected"),
    [
        (("mon-fri 08:00-17:00",), at(0, 9), at(0, 9)),
        (("mon-fri 08:00-17:00",), at(0, 7, 59), at(0, 8)),
        (("mon-fri 08:00-17:00",), at(0, 17), at(1, 8)),
        (("mon-fri 08:00-17:00",), at(4, 18), at(7, 8)),
        (("mon-fri 08:00-17:00", "sat 09:00-12:30"), at(4, 18), at(5, 9)),
        (("mon,wed,fri 10:00-11:00",), at(0, 12), at(2, 10)),
        (("fri-mon 10:00-11:00",), at(1, 12), at(4, 10)),
        (("00:00-24:00",), at(6, 3), at(6, 3)),
        (("22:00-06:00",), at(3, 5, 59), at(3, 5, 59)),
        (("22:00-06:00",), at(3, 6), at(3, 22)),
        (("sun 22:00-06:00",), at(7, 5), at(7, 5)),
        (("sun 22:00-06:00",), at(1, 5), at(6, 22)),
        (("mon 08:00-17:00",), at(0, 18), at(7, 8)),
        ((), at(0, 9), None),
    ],
)
def test_when_somebody_can_be_reached(hours: tuple[str, ...], asked: datetime, expected: datetime | None) -> None:
    assert reachable(hours, asked) == expected


texts = st.builds(
    lambda days, times: f"{days}{times[0]:02d}:30-{times[1]:02d}:00",
    st.sampled_from(["", "mon-fri ", "sat ", "sun-tue ", "mon,thu "]),
    st.tuples(st.integers(0, 23), st.integers(0, 24)),
)


@given(st.lists(texts, min_size=1, max_size=3), st.integers(0, 365 * 24 * 60))
def test_the_next_time_is_within_the_hours_and_no_time_before_it_is(hours: list[str], minute: int) -> None:
    asked = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    when = reachable(hours, asked)
    assert when is not None
    assert any(parse(text).holds(when) for text in hours)
    minutes = int((when - asked).total_seconds() // 60)
    assert 0 <= minutes <= 7 * 24 * 60
    assert not any(parse(text).holds(asked + timedelta(minutes=minute)) for minute in range(0, minutes, 7) for text in hours)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Monday to Friday 8-17", "mon-fri 08:00-17:00"),
        ("mo-fr 8.00-17.00", "mon-fri 08:00-17:00"),
        ("Mon-Fri 08:00-17:00", "mon-fri 08:00-17:00"),
        ("mon - fri 08:00 - 17:00", "mon-fri 08:00-17:00"),
        ("sat and sun: 9h30 until 12h", "sat,sun 09:30-12:00"),
        ("8:00-17:00", "08:00-17:00"),
        ("whenever", ""),
        ("mon-fri", ""),
        ("mon-fri 08:00-25:00", ""),
        ("mon-fri 08:61-17:00", ""),
        ("mon-fir 08:00-17:00", "mon-fri 08:00-17:00"),
        ("", ""),
    ],
)
def test_hours_that_are_written_otherwise_are_told_as_they_were_meant(text: str, meant: str) -> None:
    with pytest.raises(Unfit) as caught:
        parse(text)
    assert caught.value.suggestion == (f'"{meant}"' if meant else "")
    assert caught.value.expected == 'days and times such as "mon-fri 08:00-17:00"'


minutes = st.tuples(st.integers(0, 25), st.integers(0, 61)).map(lambda at: f"{at[0]:02}:{at[1]:02}")


@given(
    st.text(max_size=40)
    | st.tuples(st.sampled_from([*(f"{day} " for day in DAYS), "mon-fri ", "sat-mon ", ""]), minutes, minutes).map(
        lambda said: f"{said[0]}{said[1]}-{said[2]}"
    )
    | st.lists(st.sampled_from([*DAYS, " ", "-", ",", "8", "17", ":", "00", "h", "to"]), max_size=12).map("".join)
)
def test_no_text_is_too_strange(text: str) -> None:
    try:
        hours = parse(text)
    except Unfit:
        return
    assert hours.days
    assert 0 <= hours.begins < hours.ends <= 48 * 60


# ---------------------------------------------------------------- what they cover

CONFIG = """
[hub]
id = "hub-1"
time_zone = "Europe/Brussels"
[owner.operator]
name = "NetOne"
role = "network"
hours = ["mon-fri 08:00-18:00"]
covers = ["network"]
[owner.grid]
role = "energy"
[owner.landlord]
covers = ["building"]
[owner.tenant]
covers = ["cust*"]
[owner.cabling]
covers = ["bus.*"]
[bus.shop]
driver = "modbus-tcp"
host = "192.168.1.20"
"""
PARTS = {"router": "network", "supply": "energy", "lift": "building", "oven": "customer", "till": ""}
DEVICES = "".join(
    f'[device.{name}]\nbus = "shop"\nunit = {unit}\npart_of = "{part}"\npoints.x = {{ input = 0 }}\n'
    for unit, (name, part) in enumerate(PARTS.items(), 1)
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_of(CONFIG + DEVICES, tmp_path)


PAGE = Path(__file__).parent.parent / "docs" / "cases.md"
AROUND = """
[hub]
id = "hub-1"
[bus.shop]
driver = "modbus-tcp"
host = "192.168.1.20"
[device.switch]
bus = "shop"
unit = 2
points.loss = { input = 0 }
"""


def about(device: str, fault: Fault | None = None) -> Change:
    return change(point=PointInfo(f"{device}/x", device, "x", "", "x", device), fault=fault)


@pytest.mark.parametrize(
    ("device", "expected", "because"),
    [
        ("router", "operator", 'they cover "network", and this is router, a part of it'),
        ("supply", "grid", "their role is energy"),
        ("lift", "landlord", 'they cover "building", and this is lift, a part of it'),
        ("oven", "tenant", 'they cover "cust*", and this is oven, a part of it'),
        ("till", "cabling", 'they cover "bus.*", and this is bus.shop'),
    ],
)
def test_what_a_device_is_a_part_of_says_who_looks_after_it(config: Config, device: str, expected: str, because: str) -> None:
    who = owner(config, about(device))
    assert (who.id, who.because) == (expected, because)


def test_a_device_that_is_a_part_of_the_network_is_a_fault_of_the_network(config: Config) -> None:
    beside = Fault("device", "router", "nothing else about it is wrong")
    assert fault_of(config, about("router", beside)) == beside._replace(layer="network")
    assert fault_of(config, about("till", beside._replace(where="till"))) == beside._replace(where="till")
    assert fault_of(config, about("router", line := Fault("bus", "bus.shop", "the line"))) == line


@pytest.mark.parametrize(("where", "expected"), [("hub.uplink", "operator"), ("hub.network", "operator"), ("hub.power", "desk")])
def test_who_covers_the_network_covers_all_of_it(config: Config, where: str, expected: str) -> None:
    layer = "hub" if where == "hub.power" else "network"
    assert owner(config, about("hub", Fault(layer, where, "for a reason"))).id == expected


def test_the_page_about_cases_shows_a_config_that_works(tmp_path: Path) -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    begin = lines.index("    [owner.cabling]")
    end = next(number for number in range(begin, len(lines)) if lines[number] and not lines[number].startswith("    "))
    config = config_of("\n".join([*(line.removeprefix("    ") for line in lines[begin:end]), AROUND]), tmp_path)
    assert (owner(config, about("router")).id, owner(config, about("switch")).id) == ("operator", "cabling")


def test_a_moment_says_when_its_owner_can_be_reached(config: Config, tmp_path: Path) -> None:
    clock = VirtualClock(datetime(2026, 3, 6, 18, 30, tzinfo=UTC))  # a Friday evening
    with Store.open(tmp_path / "canary.db") as store:
        desk = Desk(config, store, clock, lambda: moments.Hub(clock="synced", version="0"))
        assert desk.moment(about("router")).data.owner.reachable == datetime(2026, 3, 9, 7, tzinfo=UTC)
        clock.leap(2.75 * 86400.0)
        assert (told := desk.moment(about("router"))).data.owner.reachable == told.time  # it is Monday afternoon
        assert desk.moment(about("lift")).data.owner.reachable is None
        clock.trusted = False
        assert desk.moment(about("router")).data.owner.reachable is None

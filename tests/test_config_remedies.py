"""Remedies and steps in a config: what they come to, and that what the documentation shows is what may be written."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from config_of import PLANT, config_of

from gateway.config import ConfigError
from gateway.config.actions import Cycle, Reopen, Run, Write
from gateway.config.changes import changes
from gateway.config.reach import reach
from gateway.trial import _oversteps

PAGE = Path(__file__).parent.parent / "docs" / "remedies.md"
DEVICES = """
[device.freezer-1]
bus = "plant"
unit = 1
[device.freezer-1.points]
core_temp = { input = 100, type = "int16", scale = 0.1, unit = "°C" }
door = { discrete = 3 }
setpoint = { holding = 3, type = "int16", scale = 0.1, unit = "°C", writable = true }
[device.relay]
bus = "plant"
unit = 2
[device.relay.points]
router = { coil = 3, writable = true }
[device.router]
bus = "plant"
unit = 3
[device.router.points]
signal = { input = 0 }
"""
HOUSE = PLANT + DEVICES


@pytest.fixture
def read(tmp_path):
    def read(text, house=HOUSE):
        return config_of(house + text, tmp_path)

    return read


@pytest.fixture
def told(read):
    """The mistakes in a text, each in one line."""

    def told(text):
        with pytest.raises(ConfigError) as caught:
            read(text)
        return [problem.text for problem in caught.value.problems]

    return told


def test_what_the_documentation_shows_may_be_written(read):
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text("utf-8"), re.MULTILINE)
    config = read("".join(dedent(block) for block in blocks if block.lstrip("\n").startswith("    [")))
    remedy = config.remedies["restart-router"]
    assert remedy.action == Cycle("relay", "router", 10.0, off=False, on=True)
    assert (remedy.tries, remedy.spacing, remedy.per_day, remedy.hours) == (2, 900.0, 4, ("06:00..23:00",))
    close, defrost = config.rules["freezer-warm"].steps
    assert (close.do, close.by, close.shown_by, close.within) == ("Close the door.", "customer", "door == off", 1800.0)
    assert (defrost.by, defrost.effect) == ("technician", "")


@pytest.mark.parametrize(
    ("keys", "action"),
    [
        ('write = "freezer-1/setpoint"\nvalue = -20.0', Write("freezer-1", "setpoint", -20.0)),
        (
            'cycle = "relay/router"\noff_for = "1 min"\noff_value = true\non_value = false',
            Cycle("relay", "router", 60.0, True, False),
        ),
        ('reopen = "bus.plant"', Reopen("plant")),
        ('run = ["/usr/sbin/modem", "restart"]\nlimit = "5 s"', Run(("/usr/sbin/modem", "restart"), 5.0)),
    ],
)
def test_each_action_comes_to_what_is_written(read, keys, action):
    assert read(f'[remedy.x]\nfor = "device-silent"\non = "router"\n{keys}\n').remedies["x"].action == action


def test_it_is_for_the_cases_of_its_rules_on_its_devices(read):
    remedy = read('[remedy.x]\nfor = ["device-*", "bus-down"]\non = ["r*"]\nreopen = "bus.plant"\n').remedies["x"]
    assert remedy.is_for("device-silent", "router")
    assert remedy.is_for("bus-down", "relay")
    assert not remedy.is_for("device-silent", "freezer-1")
    assert not remedy.is_for("hub-uplink", "router")


def test_without_devices_it_is_for_all_that_its_rules_watch_where_that_is_no_risk(read, told):
    """One that opens a bus again is for that bus and what is on it; one that runs a program knows what it does."""
    assert read('[remedy.x]\nfor = ["device-silent", "bus-down"]\nreopen = "bus.plant"\n').remedies["x"].on == ()
    assert read('[remedy.x]\nfor = "device-silent"\nrun = "/bin/true"\n').remedies["x"].on == ()
    (problem,) = told('[remedy.x]\nfor = "device-silent"\ncycle = "relay/router"\n')
    assert problem == (
        'remedy.x: it acts on "relay", whichever of the 3 that its rules watch the case is about, '
        'expected to be told whose cases it is for, such as on = "freezer-1"'
    )
    hall = '[bus.hall]\ndriver = "modbus-tcp"\nhost = "192.168.1.21"\n'
    oven = '[device.oven]\nbus = "hall"\nunit = 1\npoints.t = { input = 0 }\n'
    assert len(told(hall + oven + '[remedy.x]\nfor = "device-silent"\nreopen = "bus.plant"\n')) == 1


def test_a_condition_is_asked_of_each_device_that_it_is_for(read, told):
    text = '[remedy.x]\nfor = "device-silent"\non = "{on}"\nreopen = "bus.plant"\nwhen = "core_temp > -10 °C"\n'
    assert read(text.format(on="freezer-1")).remedies
    assert read(text.format(on="*")).remedies, "what lacks the point was not meant"
    assert told(text.format(on="router")) == ['remedy.x.when: no point is called "core_temp", expected a point of router']


def test_a_mistake_elsewhere_is_not_told_again_for_the_remedy(told):
    """The device that it writes to, the rule that it is for, the bus that it opens."""
    text = '[remedy.x]\nfor = "warm"\non = "oven"\nwrite = "oven/on"\nvalue = true\nwhen = "heat > 3"\n'
    oven = '[device.oven]\nbus = "plant"\nunit = 999\npoints.on = { coil = 1, writable = true }\npoints.heat = { input = 1 }\n'
    (problem,) = told(f'{text}[rule.warm]\nkind = "threshold"\non = "oven/heat"\nabove = 3\n{oven}')
    assert problem.startswith("device.oven.unit")


def test_a_reload_knows_which_remedies_have_changed(read):
    text = '[remedy.a]\nfor = "device-silent"\nreopen = "bus.plant"\n'
    old, new = read(text), read(text.replace("remedy.a", "remedy.b"))
    assert changes(old, new).remedies == {"a", "b"}
    assert not changes(old, read(text))


def test_how_far_the_remedies_reach_is_known_by_what_they_write_open_and_ask(read):
    text = '[remedy.x]\nfor = "device-silent"\non = "r*"\ncycle = "relay/router"\n'
    text += 'when = "freezer-1/door == off"\nproof = "signal > 3"\n'
    config = read(text + '[remedy.y]\nfor = "bus-down"\nreopen = "bus.plant"\n')
    assert sorted(reach(config)) == [
        "bus.plant", "device.freezer-1", "device.freezer-1.points.door", "device.relay", "device.relay.points.router",
        "device.relay.points.signal", "device.router", "device.router.points.signal",
    ]  # fmt: skip
    assert reach(config)["device.relay.points.signal"] is None
    assert reach(read("")) == {}


@pytest.mark.parametrize(
    ("was", "is_", "path"),
    [
        ("router = { coil = 3,", "router = { coil = 4,", "device.relay.points.router"),
        ("door = { discrete = 3 }", "door = { discrete = 4 }", "device.freezer-1.points.door"),
        ('bus = "plant"\nunit = 2', 'bus = "plant"\nunit = 3', "device.relay"),
        ('host = "192.168.1.20"', 'host = "192.168.1.21"', "bus.plant"),
        ("signal = { input = 0 }", "signal = { input = 1 }", ""),
    ],
)
def test_a_fetched_config_cannot_turn_a_remedy_against_something_else(read, was, is_, path):
    """It may change whatever else it likes."""
    text = '[remedy.x]\nfor = "device-silent"\non = "router"\ncycle = "relay/router"\nwhen = "freezer-1/door == off"\n'
    before = read(text)
    fetched = read(text, HOUSE.replace(was, is_))
    assert [told for told, _ in _oversteps(before, fetched)] == ([path] if path else [])

"""Rules that every hub has, maintenance windows, and what devices and rules need."""

import pytest
from config_of import PLANT, config_of

from gateway.config import ConfigError, check_file
from gateway.config.rules import built_in
from gateway.config.units import convert
from gateway.diagnosis.contract import PointInfo
from gateway.diagnosis.engine import Engine

FREEZERS = """
[device.freezer-1]
bus = "plant"
unit = 1
every = "5 min"
points.t = { input = 0, unit = "°C" }
[device.freezer-2]
bus = "plant"
unit = 2
points.t = { input = 0, unit = "°C" }
"""


@pytest.fixture
def read(tmp_path):
    def read(more: str = ""):
        return config_of(PLANT + FREEZERS + more, tmp_path)

    return read


@pytest.fixture
def told(read):
    def told(more: str):
        with pytest.raises(ConfigError) as caught:
            read(more)
        return [str(problem) for problem in caught.value.problems]

    return told


def watched(config, rule_id):
    engine = Engine({rule_id: config.rules[rule_id]}, config.points(), convert, 0.0)
    return {watch.about.id: watch for watch in engine._watches}


def test_a_config_without_a_rule_still_tells_of_silent_devices_buses_and_the_hub(read, tmp_path):
    config = read()
    assert config.rules.keys() == config.built_in == built_in().keys()
    assert watched(config, "device-silent").keys() == {"freezer-1/state", "freezer-2/state"}
    assert watched(config, "bus-down").keys() == {"bus.plant/state"}
    assert all(len(watched(config, name)) == 1 for name in built_in() if name.startswith("hub-"))
    assert check_file(tmp_path / "hub.toml").endswith("2 points and 0 rules")


def test_a_device_that_is_asked_rarely_is_silent_later(read):
    """Ten minutes, or three times its period."""
    after = {point: watch.after for point, watch in watched(read(), "device-silent").items()}
    assert after == {"freezer-1/state": 900.0, "freezer-2/state": 600.0}


def test_a_rule_of_the_same_name_changes_it_key_by_key_or_sets_it_aside(read):
    config = read('[rule.device-silent]\nafter = "1 h"\nseverity = "critical"\n[rule.hub-hot]\nenabled = false\n')
    rule = config.rules["device-silent"]
    assert (rule.after, rule.severity, rule.advice) == (3600.0, "critical", ("Check its power, its cable and its address.",))
    assert "hub-hot" not in config.rules
    assert "device-silent" not in config.built_in


def test_where_a_rule_listens_for_silence_the_built_in_one_leaves_it_alone(read):
    config = read('[rule.quiet]\nkind = "silent"\non = "freezer-1/*"\n')
    assert watched(config, "device-silent").keys() == {"freezer-2/state"}
    assert watched(config, "bus-down").keys() == {"bus.plant/state"}


def test_any_rule_may_be_set_aside_or_leave_points_out(read):
    config = read(
        '[rule.a]\nkind = "stuck"\non = "*/t"\nexcept = "freezer-2/*"\n[rule.b]\nkind = "stuck"\non = "*/t"\nenabled = false\n'
    )
    assert watched(config, "a").keys() == {"freezer-1/t"}
    assert "b" not in config.rules


def test_who_writes_a_star_means_the_devices_and_not_the_hub(read):
    config = read('[rule.a]\nkind = "stuck"\non = "*/*"\n[rule.b]\nkind = "stuck"\non = "hub/*"\n')
    assert watched(config, "a").keys() == {"freezer-1/t", "freezer-2/t"}
    assert "hub/disk_free" in watched(config, "b")


def test_no_device_may_be_called_hub(told):
    (problem,) = told('[device.hub]\nbus = "plant"\nunit = 3\npoints.t = { input = 0 }\n')
    assert problem.endswith('"hub" is the hub itself, expected another name')


# ---------------------------------------------------------------- what hangs on what


def test_the_tree_follows_from_the_config(read):
    config = read(
        '[device.freezer-3]\nbus = "plant"\nunit = 3\nneeds = ["device.freezer-1", "hub/uplink"]\npoints.t = { input = 0 }\n'
    )
    parents = config.surroundings(lambda _: None).parents
    assert parents["freezer-3/state"] == ("freezer-1/state", "hub/uplink", "bus.plant/state")
    assert parents["bus.plant/state"] == ("hub/network",)
    assert parents["hub/uplink"] == ("hub/network", "hub/clock")
    states = [point for point in config.points() if point.name == "state"]
    assert states[0] == PointInfo(
        "freezer-1/state", "freezer-1", "state", "", "freezer-1 state", "freezer-1", "text", "plant", 300.0
    )


@pytest.mark.parametrize(
    ("needs", "end"),
    [
        ('"device.freezr-1"', 'nothing is called "device.freezr-1"; did you mean "device.freezer-1"?'),
        ('["bus.plant", "hub/uplnk"]', 'nothing is called "hub/uplnk"; did you mean "hub/uplink"?'),
        ('"moon"', 'nothing is called "moon", expected "device.NAME", "bus.NAME" or "device/point"'),
    ],
)
def test_what_is_needed_must_be_there(told, needs, end):
    for table in ('[device.d]\nbus = "plant"\nunit = 3\npoints.t = { input = 0 }\n', '[rule.r]\nkind = "stuck"\non = "*/t"\n'):
        (problem,) = told(f"{table}needs = {needs}\n")
        assert problem.endswith(end)


# ---------------------------------------------------------------- maintenance


def test_a_maintenance_window_is_read(read):
    text = '[maintenance.clean]\non = ["freezer-*/*", "bus.plant"]\ndays = ["sat", "sun"]\nfrom = 22:00:00\nto = 06:30:00\n'
    config = read(text + '[maintenance.holiday]\non = "device-silent"\nfirst = 1970-01-06\nlast = 1970-01-07\n')
    windows = config.surroundings(lambda _: None).windows
    assert windows["clean"] == (("freezer-*/*", "bus.plant"), frozenset({5, 6}), 79200.0, 23400.0, None, None)
    assert windows["holiday"] == (("device-silent",), frozenset(range(7)), 0.0, 0.0, 1, 2)
    holiday = windows["holiday"]
    assert [holiday.edge(day * 86400.0 + 1.0)[0] for day in range(5)] == [False, True, True, False, False]


def test_a_maintenance_window_of_nothing_is_a_mistake(told):
    (problem,) = told('[maintenance.x]\non = "freezr-1"\n')
    assert problem.endswith('"freezr-1" is nothing in this config; did you mean "freezer-1"?')
    (problem,) = told('[maintenance.x]\non = "freezer-1"\nfirst = 2026-02-02\nlast = 2026-02-01\n')
    assert problem.endswith("2026-02-01, before the first day, expected 2026-02-02 or later")

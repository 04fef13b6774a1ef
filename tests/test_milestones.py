"""Good news is told once, and only where it is true: of devices that were heard, on days on which the hub was at work."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from hub_of import edit, hubs
from hypothesis import given, settings
from hypothesis import strategies as st
from stories_of import Hub

from drivers.contract import Batch
from gateway.diagnosis.contract import Phase, PointInfo
from gateway.service.contract import Statement
from gateway.service.milestones import LEAST_QUIET, RETURNING, SEASON, Returning, chance_of_so_few

from moments_of import change

HOUR, DAY = 3600.0, 86400.0
START = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)

PLANT = """
[hub]
id = "hub-1"
[digest]
every = "off"
[bus.plant]
driver = "modbus-tcp"
host = "192.168.1.20"
[device.freezer]
bus = "plant"
unit = 1
every = "6 h"
label = "Freezer"
firmware = "1.0"
points.x = {{ input = 1 }}
[device.oven]
bus = "plant"
unit = 2
every = "6 h"
label = "Oven"
firmware_point = "version"
points.x = {{ input = 1 }}
points.version = {{ input = 2 }}
[rule.device-silent]
enabled = false
[rule.bus-down]
enabled = false
[rule.high]
kind = "threshold"
on = "*/x"
above = 10
proof = "0 s"
gap = "0 s"
folds = 0
{more}
"""

Build = Callable[..., Hub]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Hubs of this plant, without wires."""
    with hubs(tmp_path) as made:
        yield lambda more="": made(PLANT.format(more=more), START)


def live(hub: Hub, days: float, *, freezer: float | None = 1.0, oven: float | None = 1.0, version: str = "1.0") -> None:
    """Both devices are read every six hours; one of which no value is given is not heard."""
    for _ in range(round(days * 4)):
        at = hub.now() + 6 * HOUR
        if freezer is not None:
            hub.feed(Batch("freezer", at, ("x",), (freezer,)))
        if oven is not None:
            hub.feed(Batch("oven", at + 1, ("x", "version"), (oven, version)))
        hub.wait_until(at + 2)


def fault(hub: Hub, days: float = 1.0) -> None:
    """The freezer has one case, at the beginning of so many days."""
    live(hub, 0.25, freezer=20.0)
    live(hub, days - 0.25)


def news(hub: Hub) -> list[tuple[str, str]]:
    """What was told as a milestone: the rule, and the words."""
    return [(moment.data.rule.id, moment.data.says) for moment in hub.moments if moment.data.kind == "milestone"]


def rows(hub: Hub) -> int:
    """Cases that the store remembers."""
    return len(hub.case_numbers())


# ---------------------------------------------------------------- a season


def test_devices_that_come_to_a_season_together_are_told_in_one_moment_and_once(build: Build) -> None:
    """Since they were installed; a season later there is nothing new about that."""
    hub = build()
    live(hub, SEASON - 1)
    assert not news(hub)
    live(hub, 2)
    assert news(hub) == [("season", "All 2 devices have worked for a season without a fault: Freezer and Oven.")]
    live(hub, SEASON + 1)
    assert len(news(hub)) == 1
    assert rows(hub) == 0


def test_a_season_begins_when_a_fault_has_ended(build: Build) -> None:
    """However long the case was open; and only the device that had it waits for it."""
    hub = build()
    live(hub, 1)
    live(hub, 60, freezer=20.0)
    live(hub, SEASON - 2)
    assert [rule for rule, _ in news(hub)] == ["season"]
    assert "Oven has worked for a season without a fault, from its first day" in news(hub)[0][1]
    live(hub, 3)
    assert news(hub)[1:] == [("season", "Freezer has worked for a season without a fault, since its last one.")]


def test_a_device_that_was_replaced_begins_a_season_of_its_own(build: Build) -> None:
    """What the one before it did is not to its credit, nor to its blame."""
    hub = build()
    fault(hub)
    live(hub, 50)
    hub.do(["visit", "start", "Jan", "on", "freezer"])
    hub.do(["visit", "replaced", "freezer"])
    hub.do(["visit", "end"])
    live(hub, SEASON - 10)
    assert not [says for rule, says in news(hub) if rule == "season" and "Freezer" in says]
    live(hub, 12)
    freezer = [says for rule, says in news(hub) if rule == "season" and "Freezer" in says]
    assert freezer == ["Freezer has worked for a season without a fault, from its first day with this hub."]


def test_no_season_is_told_while_a_fault_is_foretold(build: Build) -> None:
    """Nobody is congratulated on what is about to break; when the forecast is withdrawn, the count goes on where it was."""
    hub = build()
    live(hub, SEASON - 10, oven=None)
    dry = {"episode": "dry:freezer/x#1", "rule_id": "dry", "kind": "prediction", "severity": "warning"}
    point = next(point for point in hub.config.points() if point.id == "freezer/x")
    hub.tell(hub.service.take([change(**dry, point=point, at=hub.now(), since=hub.now())]))
    live(hub, 40, oven=None)
    assert not news(hub)
    hub.tell(hub.service.take([change(**dry, point=point, at=hub.now(), since=hub.now(), phase=Phase.WITHDRAWN)]))
    live(hub, 8, oven=None)
    assert not news(hub)
    live(hub, 4, oven=None)
    assert [says for _, says in news(hub)] == ["Freezer has worked for a season without a fault, from its first day with this hub."]


def test_days_on_which_a_device_is_not_heard_do_not_count(build: Build) -> None:
    """Silence is no proof of health."""
    hub = build()
    live(hub, 10)
    live(hub, 30, oven=None)
    live(hub, SEASON - 38)
    assert "Freezer" in news(hub)[0][1]
    assert "Oven" not in news(hub)[0][1]
    live(hub, 31)
    assert "Oven" in news(hub)[1][1]


def test_a_hub_that_was_off_has_seen_no_season(build: Build) -> None:
    """The time passes, and nobody has watched."""
    hub = build()
    live(hub, 10)
    hub.clock.advance(200 * DAY)
    hub.restart()
    live(hub, 70)
    assert not news(hub)
    live(hub, 15)
    assert len(news(hub)) == 1


def test_nothing_is_told_twice_after_a_restart(build: Build) -> None:
    """A hub that is restarted every third day tells the same, once, some days later at most."""
    hub = build()
    for _ in range(40):
        live(hub, 3)
        hub.restart()
    assert len(news(hub)) == 1


def test_a_restart_just_before_the_daily_look_costs_no_day(build: Build) -> None:
    """Nothing has been read yet then, and nobody is taken for silent: who was heard is asked an hour later."""
    hub = build()
    hub.wait_until(1.0)
    for _ in range(SEASON):
        look_at = hub.service.memory()["milestones"]["look_at"]
        hub.feed(Batch("freezer", look_at - 6 * HOUR, ("x",), (1.0,)))
        hub.wait_until(look_at - 300.0)
        saved = json.loads(json.dumps([hub.engine.state(history=False), hub.service.memory()]))
        hub._begin()
        hub.engine.restore(saved[0])
        hub.tell(hub.service.recall(saved[1], 0.0, hub.now()))
        hub.feed(Batch("freezer", look_at + 300.0, ("x",), (1.0,)))
        hub.wait_until(look_at + 2 * HOUR)
    assert news(hub) == [("season", "Freezer has worked for a season without a fault, from its first day with this hub.")]


RUNS = st.lists(st.tuples(st.sampled_from(["well", "ill", "mute"]), st.integers(1, 100)), min_size=1, max_size=6)


@settings(max_examples=10)
@given(RUNS)
def test_seasons_are_told_as_a_plain_count_of_days_says(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[str, int]]
) -> None:
    """Whatever comes in whatever order, and with a restart after each run."""
    days, told, expected = 0, False, 0
    with hubs(tmp_path_factory.mktemp("season")) as made:
        hub = made(PLANT.format(more=""), START)
        for state, length in runs:
            live(hub, length, freezer={"well": 1.0, "ill": 20.0, "mute": None}[state], oven=None)
            if state == "ill":
                days, told = 0, False
            elif state == "well":
                days += length
            if days >= SEASON + len(runs) and not told:  # each change, and each restart, may cost a day
                told, expected = True, expected + 1
            elif SEASON - len(runs) <= days and not told:
                return  # neither is wrong
        assert len(news(hub)) == expected


# ---------------------------------------------------------------- better since


def test_fewer_cases_since_a_visit_are_told_after_a_month(build: Build) -> None:
    """As many days before as after, in figures."""
    hub = build()
    for _ in range(5):
        fault(hub, 5.0)
    hub.do(["visit", "start", "Jan", "on", "freezer"])
    hub.do(["visit", "end"])
    live(hub, 29)
    assert not [one for one in news(hub) if one[0] == "better-since-visit"]
    live(hub, 3)
    assert [one for one in news(hub) if one[0] == "better-since-visit"] == [
        ("better-since-visit", "Freezer is better since the visit: 5 cases in the 30 days before, none in the 30 days after.")
    ]
    live(hub, 40)
    assert len([one for one in news(hub) if one[0] == "better-since-visit"]) == 1


def test_cases_of_long_ago_do_not_make_a_visit_look_good(build: Build) -> None:
    """What had got better by itself, months before somebody came."""
    hub = build()
    for _ in range(6):
        fault(hub, 3.0)
    live(hub, 31)
    hub.do(["visit", "start", "Jan", "on", "freezer"])
    hub.do(["visit", "end"])
    live(hub, 33)
    assert not [one for one in news(hub) if one[0].startswith("better")]


@pytest.mark.parametrize(("before", "after"), [(5, 4), (3, 0), (1, 0), (0, 0), (6, 2)])
def test_what_may_be_chance_is_not_told_as_better(build: Build, before: int, after: int) -> None:
    """Three cases before and none after happens by itself too often."""
    hub = build()
    live(hub, 25.0 - 5 * before)
    for _ in range(before):
        fault(hub, 5.0)
    hub.do(["visit", "start", "Jan", "on", "freezer"])
    hub.do(["visit", "end"])
    for _ in range(after):
        fault(hub, 5.0)
    live(hub, 35.0 - 5 * after)
    assert not [one for one in news(hub) if one[0].startswith("better")]


def test_firmware_that_changed_is_a_change_as_a_visit_is(build: Build, tmp_path: Path) -> None:
    """By what the config says of it, with a reload; also by what the device says of itself."""
    hub = build()
    for _ in range(6):
        live(hub, 0.25, freezer=20.0, oven=20.0)
        live(hub, 3.75)
    edit(hub, tmp_path, 'firmware = "1.0"', 'firmware = "1.1"')
    live(hub, 33, version="2.0")
    (told,) = [one for one in news(hub) if one[0] == "better-since-firmware"]
    assert told[1].startswith("Freezer and Oven are better since their firmware was changed: 12 cases in the 30 days before, none")


@given(st.integers(0, 9), st.integers(0, 9))
def test_the_chance_of_so_few_is_that_of_fair_coins(before: int, after: int) -> None:
    """Of all ways in which so many cases may fall to the two months, those with so few after."""
    total = before + after
    if total > 10:
        return
    ways = [sum(way) for way in product((0, 1), repeat=total)]
    assert chance_of_so_few(before, after) == pytest.approx(sum(one <= after for one in ways) / len(ways))


# ---------------------------------------------------------------- stays away


def test_what_came_back_and_has_stayed_away_is_told_once(build: Build) -> None:
    """Every five days for a month, and then not for three weeks: by chance that is one in twenty."""
    hub = build()
    for _ in range(6):
        fault(hub, 5.0)
    live(hub, 15)
    assert not [one for one in news(hub) if one[0] == "stays-away"]
    live(hub, 6)
    expected = ("stays-away", 'Freezer x has been well for 3 weeks; before that, "high" came back every 5 days.')
    assert [one for one in news(hub) if one[0] == "stays-away"] == [expected]
    hub.restart()
    live(hub, 30)
    fault(hub, 5.0)
    live(hub, 30)
    assert len([one for one in news(hub) if one[0] == "stays-away"]) == 1


@given(st.lists(st.floats(0.1, 30.0), min_size=1, max_size=12), st.floats(0.0, 1.0) | st.floats(1.0, 150.0))
def test_how_long_it_must_stay_away_follows_from_how_often_it_came(gaps: Sequence[float], share: float) -> None:
    """Never less than a week, never told of what came back less than three times, and sooner the more often it came."""
    quiet = round(share * sum(gaps) / len(gaps))
    one = Returning(count=len(gaps) + 1, first=0.0, last=sum(gaps) * DAY, quiet=quiet)
    if len(gaps) < 3 or quiet < LEAST_QUIET:
        assert not one.is_over()
    elif quiet > 8 * sum(gaps):
        assert one.is_over()
    elif quiet < sum(gaps) / len(gaps):
        assert not one.is_over()


# ---------------------------------------------------------------- what is remembered


def test_what_is_remembered_stays_small(build: Build) -> None:
    """Whatever happens: the records of two devices take no more after a thousand cases than after fifty."""
    hub = build()
    for _ in range(25):
        fault(hub, 0.5)
    few = len(json.dumps(hub.service.memory()["milestones"]))
    for _ in range(60):
        fault(hub, 0.5)
    assert len(json.dumps(hub.service.memory()["milestones"])) <= few + 50


def test_of_what_comes_back_as_much_is_remembered_as_there_is_room_for(build: Build) -> None:
    """The newest, where there is more."""
    hub = build()
    part = hub.service._parts["milestones"]
    for number in range(2 * RETURNING):
        point = PointInfo(f"freezer/p{number}", "freezer", f"p{number}", "", "", "")
        list(part.take(Statement(change=change(point=point, rule_id="high"))))
    known = part.memory()["returning"]
    assert list(known) == [f"high freezer/p{number}" for number in range(RETURNING, 2 * RETURNING)]


def test_devices_that_are_gone_are_forgotten(build: Build, tmp_path: Path) -> None:
    """And one that is new begins with its first day."""
    hub = build()
    live(hub, 10)
    edit(hub, tmp_path, "[device.oven]", "[device.stove]")  # another name is another device
    known = hub.service.memory()["milestones"]["devices"]
    assert set(known) == {"freezer", "stove"}
    assert known["freezer"]["days"] > known["stove"]["days"] == 0

"""Who hears of a forecast hears what the calendar has to do with it; a date that passes by itself is told once."""

from datetime import UTC, date, datetime

import pytest
from config_of import PLANT, config_of, with_own_rules
from msgspec.structs import replace
from stories_of import Hub

from drivers.contract import Batch
from gateway.diagnosis.contract import Forecast, Phase
from gateway.service.contract import Statement
from gateway.store import Store

from moments_of import change

DAY = 86400.0
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
FREEZER = """
[device.freezer-1]
bus = "plant"
unit = 1
label = "Freezer 1"
serial = "S-1"
{keys}
[device.freezer-1.points]
core_temp = {{ input = 100, type = "int16", unit = "°C" }}
[rule.warm]
kind = "threshold"
on = "freezer-1/core_temp"
above = "-15 °C"
"""


@pytest.fixture
def hub(tmp_path, request):
    """A hub whose freezer has the keys that the test is marked with."""
    with Store.open(tmp_path / "canary.db") as store:
        yield Hub(read(tmp_path, request.param), store, START)


def read(folder, keys):
    return with_own_rules(config_of(PLANT + FREEZER.format(keys=keys), folder))


def keys(text):
    return pytest.mark.parametrize("hub", [text], indirect=True, ids=[""])


def foretold(hub, days, **facts):
    """What is said with a forecast that is to come true in so many days; the words that were added, and what they bear on."""
    forecast = Forecast(-15.0, days * DAY, days * DAY, days * DAY, 0.9)
    told = change(**{"kind": "prediction", "says": "It will.", "forecast": forecast, "at": hub.now(), "since": hub.now()} | facts)
    (statement,) = hub.service._parts["life"].take(Statement(change=told))
    return statement.change.says.removeprefix("It will.").strip(), statement.adds.get("bears_on", ())


def insights(hub):
    return [moment.data.says for moment in hub.moments if moment.data.kind == "insight"]


def warm(hub, value=-10.0):
    hub.feed(Batch("freezer-1", hub.now() + 60.0, ("core_temp",), (value,)))


# ---------------------------------------------------------------- with a forecast


@keys("warranty_until = 2026-03-20")
def test_a_warranty_that_ends_before_a_forecast_comes_true_is_told_with_it(hub):
    assert foretold(hub, 30) == ("The warranty ends on 2026-03-20, before that: ask the maker while it lasts.", ("warranty",))


@keys("warranty_until = 2027-05-01")
def test_a_warranty_that_ends_long_after_is_not_worth_a_word(hub):
    assert foretold(hub, 30) == ("", ())


@keys("warranty_until = 2026-03-01")
def test_a_warranty_that_has_ended_is_not_worth_a_word(hub):
    assert foretold(hub, 30) == ("", ())


@keys("warranty_until = 2026-03-20")
def test_a_problem_in_the_last_weeks_of_a_warranty_says_so(hub):
    said = foretold(hub, 0, kind="problem", forecast=None)
    assert said == ("The warranty ends on 2026-03-20, in 18 days.", ("warranty",))


@keys('installed = 2025-09-10\nmaintenance_every = "180 d"')
def test_a_maintenance_that_is_due_before_a_forecast_comes_true_is_told_with_it(hub):
    assert foretold(hub, 30) == ("Its maintenance is due on 2026-03-09, before that, and may prevent this.", ("maintenance",))
    assert foretold(hub, 5) == ("", ())


@keys('installed = 2020-01-01\nserviced = 2025-09-01\nmaintenance_every = "180 d"\nwarranty_until = 2026-03-20')
def test_both_are_told_with_one_moment(hub):
    says, bears_on = foretold(hub, 30)
    assert bears_on == ("warranty", "maintenance")
    assert "was due on 2026-02-28, and may prevent this" in says


@keys("warranty_until = 2026-03-20")
def test_what_was_said_with_the_opening_is_not_said_again(hub):
    assert foretold(hub, 30)[0]
    assert foretold(hub, 30, phase=Phase.EASED) == ("", ())
    hub.wait_until(hub.now() + 2 * DAY)
    assert insights(hub) == []


@keys("warranty_until = 2026-05-20")
def test_a_forecast_that_moves_beyond_the_warranty_says_so_then(hub):
    assert foretold(hub, 30) == ("", ())
    assert foretold(hub, 90, phase=Phase.EASED)[1] == ("warranty",)


# ---------------------------------------------------------------- by itself


@keys("warranty_until = 2026-05-10")
def test_a_warranty_that_ends_soon_is_told_twice_while_something_is_open(hub):
    warm(hub)
    hub.wait_until(hub.now() + 8 * DAY)
    assert insights(hub) == []
    hub.wait_until(hub.now() + 40 * DAY)
    hub.restart()
    hub.wait_until(hub.now() + 40 * DAY)
    assert insights(hub) == [
        "The warranty of Freezer 1 ends on 2026-05-10, in 60 days, and 1 case about it is open.",
        "The warranty of Freezer 1 ends on 2026-05-10, in 30 days, and 1 case about it is open.",
    ]


@keys("warranty_until = 2026-04-20")
def test_a_warranty_of_what_is_well_ends_in_silence(hub):
    hub.wait_until(hub.now() + 80 * DAY)
    assert insights(hub) == []


@keys('installed = 2025-09-10\nmaintenance_every = "180 d"')
def test_a_maintenance_that_is_overdue_is_told_once_and_again_for_the_next_date(hub):
    hub.wait_until(hub.now() + 30 * DAY)
    hub.restart()
    hub.wait_until(hub.now() + 30 * DAY)
    assert insights(hub) == ["The maintenance of Freezer 1 was due on 2026-03-09, 1 day ago."]
    for words in (["start", "by", "Jan"], ["serviced", "freezer-1"], ["end"]):
        hub.do(["visit", *words])
    hub.restart()
    hub.wait_until(hub.now() + 179 * DAY)
    assert len(insights(hub)) == 1
    hub.wait_until(hub.now() + 5 * DAY)
    assert insights(hub)[1:] == ["The maintenance of Freezer 1 was due on 2026-10-28, 1 day ago."]
    assert hub.moments[-1].data.device.serviced == date(2026, 5, 1)


@keys('serviced = 2020-01-01\nmaintenance_every = "180 d"')
def test_another_device_in_its_place_needs_no_maintenance_yet(hub):
    for words in (["start", "by", "Jan"], ["replaced", "freezer-1", "serial", "S-2"], ["end"]):
        hub.do(["visit", *words])
    hub.wait_until(hub.now() + 30 * DAY)
    assert insights(hub) == []


@keys('installed = 2020-01-01\nmaintenance_every = "180 d"\nwarranty_until = 2026-03-20')
def test_while_nobody_knows_what_day_it_is_nothing_is_said(hub):
    hub.clock.trusted = False
    assert foretold(hub, 30) == ("", ())
    hub.wait_until(hub.now() + DAY)
    assert insights(hub) == []
    hub.clock.trusted = True
    hub.wait_until(hub.now() + DAY)
    assert len(insights(hub)) == 1


def test_of_many_that_are_overdue_few_are_told_at_a_time_and_none_is_forgotten(tmp_path):
    known = read(tmp_path, 'installed = 2020-01-01\nmaintenance_every = "180 d"')
    one = known.devices["freezer-1"]
    devices = {f"freezer-{n}": replace(one, name=f"freezer-{n}") for n in range(12)}
    with Store.open(tmp_path / "canary.db") as store:
        hub = Hub(replace(known, devices=devices, rules={}), store, START)
        hub.wait_until(60.0)
        assert len(insights(hub)) == 5
        hub.wait_until(DAY)
        assert len(insights(hub)) == 12

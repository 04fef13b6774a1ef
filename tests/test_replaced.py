"""A device that was replaced is learnt afresh, by every kind of rule that learns; what was open of it comes to an end."""

import random

import pytest
from rules_of import Story, engine, rule
from trends_of import DAY, falling

from drivers.contract import Batch
from gateway.config.units import Quantity
from gateway.diagnosis.contract import Phase

HOUR = 3600.0
CHANCE = random.Random(3)
WAVERING = [(n * HOUR, round(20 + CHANCE.gauss(0, 1), 6)) for n in range(1, 60 * 24)]
RULES = {
    "anomaly": rule("anomaly", "d/x"),
    "drift": rule("drift", "d/x"),
    "trend": rule("trend", "d/x", below=0, lead=21 * DAY),
    "hours": rule("usage", "d/x", hours=1e9, on_above=Quantity(10.0, "")),
    "amount": rule("usage", "d/x", amount=Quantity(1e6, "")),
}


@pytest.mark.parametrize("kind", RULES)
def test_what_was_learnt_of_it_is_forgotten(kind):
    story = Story(RULES[kind]).read(WAVERING)
    (watch,), at = story.engine._watches, WAVERING[-1][0]
    known = watch.tally.total(at) if kind in ("hours", "amount") else watch.learning
    assert known
    assert not story.engine.note("replaced", "d", at)
    assert not (watch.tally.total(at) if kind in ("hours", "amount") else watch.learning)
    assert not story.read([(at + HOUR, 20.0)]).told


def test_another_device_is_not_concerned():
    story = Story(RULES["anomaly"]).read(WAVERING)
    before = story.engine.state()
    story.engine.note("replaced", "somebody else", WAVERING[-1][0])
    assert story.engine.state() == before


def test_a_forecast_about_the_one_that_went_is_averted():
    series = falling(190)
    story = Story(RULES["trend"]).read(series)
    assert [change.phase for change in story.told] == [Phase.OPENED]
    told = story.engine.note("replaced", "d", series[-1][0])
    assert not told
    (last,) = story.read([(series[-1][0] + HOUR, 100.0)]).told[1:]
    assert (last.phase, last.how) == (Phase.CLOSED, "averted")
    assert "another device is in its place" in last.because
    assert story.engine._watches[0].learning < 0.1


def test_what_was_unusual_about_the_one_that_went_is_over():
    at = WAVERING[-1][0]
    story = Story(RULES["anomaly"]).read([*WAVERING, *((at + n * HOUR, 60.0) for n in range(1, 4))])
    assert story.told[-1].phase is Phase.OPENED
    story.engine.note("replaced", "d", at + 3 * HOUR)
    story.read([(at + 4 * HOUR, 60.0)])
    assert story.told[-1].phase is Phase.CLOSED
    assert "learnt anew" in story.told[-1].says


def test_a_drift_of_the_one_that_went_is_over():
    begun = WAVERING[-1][0]
    away = [(begun + n * HOUR, round(30 + CHANCE.gauss(0, 1), 6)) for n in range(1, 24 * 21)]
    story = Story(RULES["drift"]).read([*WAVERING, *away])
    assert story.told[-1].phase is Phase.OPENED
    story.engine.note("replaced", "d", away[-1][0])
    story.read([(away[-1][0] + HOUR, 30.0)])
    assert story.told[-1].phase is Phase.CLOSED
    assert "another device is in its place" in story.told[-1].because


def test_one_of_several_siblings_begins_to_learn_its_share():
    names = [f"s-{n}" for n in range(5)]
    rules = {"r": rule("compare", "s-*/x", relative=True, above=0, learns=3 * DAY, within=HOUR, least=Quantity(10.0, "%"))}
    subject = engine(rules, *(f"{name}/x" for name in names))
    told = []

    def days(begin, end, odd):
        for n in range(int(begin * 24 * 4), int(end * 24 * 4)):
            for place, name in enumerate(names):
                value = (place + 1.0) * (odd if name == "s-0" else 1.0)
                told.extend(subject.feed(Batch(name, n * 900.0 + 1 + place, ("x",), (value,))))

    days(0, 5, 1.0)
    assert not subject.learning()
    days(5, 6, 3.0)
    assert [change.phase for change in told] == [Phase.OPENED]
    told.extend(subject.note("replaced", "s-0", 6 * DAY))
    days(6, 8, 3.0)
    assert [change.phase for change in told] == [Phase.OPENED, Phase.CLOSED]
    assert [one.point.device for one in subject.learning()] == ["s-0"]
    days(8, 12, 3.0)
    assert not subject.learning()
    assert len(told) == 2, "three times as much is what is usual for the new one"

"""drift: what it tells of days that are no longer what they were, and what it takes for the ways of the world."""

import json
import math
import random
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_of import batch, point, rule

from drivers.contract import KeyMistake, NoValue, Outcome
from gateway.config.units import convert
from gateway.diagnosis.contract import Change, Quantity
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.reference import Day, Reference, Watchman

DAY, HOUR = 86400.0, 3600.0
Readings = Iterable[tuple[float, Outcome]]


def engine(now: float = 0.0, **keys: object) -> Engine:
    return Engine({"slow": rule("drift", "d/*", **keys)}, [point("d/x", "°C")], convert, now)


def feed(subject: Engine, readings: Readings) -> list[Change]:
    return [change for at, value in readings for change in subject.feed(batch(at, x=value))]


def room(
    days: int,
    seed: int = 1,
    *,
    a_week: float = 0.0,
    since: int = 60,
    weekend: float = 0.0,
    winter: float = 0.0,
    wander: float = 0.5,
) -> Iterator[tuple[float, float]]:
    """A room read once an hour: warmer by day, its days 0.3 °C apart and like the days before; and what else there is (°C)."""
    chance = random.Random(seed)
    weather = 0.0
    for day in range(days):
        weather = wander * weather + chance.gauss(0, 0.3 * math.sqrt(1 - wander**2))
        level = 20 + weather + a_week / 7 * max(0, day - since) + winter * math.sin(math.tau * day / 365)
        for hour in range(24):
            of_hour = 3 * math.sin(math.tau * hour / 24) + chance.gauss(0, 0.2)
            yield day * DAY + hour * HOUR, level + of_hour + (weekend if day % 7 > 4 else 0)


def opened(changes: Iterable[Change]) -> list[Change]:
    return [change for change in changes if change.phase == "opened"]


# ---------------------------------------------------------------- what it tells


def test_a_sensor_that_drifts_by_a_tenth_of_a_degree_a_week_is_told_within_a_season() -> None:
    """With the level it had and the one it has, since when, and what days differ by anyway."""
    told = feed(engine(), room(190, a_week=0.1))
    assert 90 < told[0].at / DAY < 180
    assert 45 < told[0].since / DAY < told[0].at / DAY
    assert told[0].says.startswith("d x has gone from 20.15 °C to 21.54 °C in ")
    assert told[0].says.endswith(" days, and stays away.")
    assert told[0].because.startswith("the last 14 days are ")
    assert "by chance they would differ by less than " in told[0].because
    assert isinstance(told[0].value, float)
    assert told[0].value == pytest.approx(21.54, abs=0.01)


@pytest.mark.parametrize("weekend", [0.0, -4.0])
def test_a_loss_of_strength_is_told_whether_or_not_weekends_differ(weekend: float) -> None:
    """A third of a degree a week, told in two months at most."""
    assert 60 < opened(feed(engine(), room(125, a_week=-0.33, weekend=weekend)))[0].at / DAY < 120


def test_what_has_settled_is_the_new_normal_on_the_record() -> None:
    """A new level is told once, closed as the new normal a month later, and not told again."""
    moved = ((at, value + (2 if at > 50 * DAY else 0)) for at, value in room(200, 3))
    first, last = feed(engine(), moved)
    assert first.since / DAY == pytest.approx(50, abs=3)
    assert (last.phase, last.how) == ("closed", "new normal")
    assert last.at - first.at == 28 * DAY
    assert last.says.startswith("d x has settled around 21.9")
    assert last.says.endswith("that is its new normal.")


def test_what_comes_back_is_told_as_back() -> None:
    """A month away and back: closed by itself, held against the old days."""
    moved = ((at, value + (2 if 50 * DAY < at < 75 * DAY else 0)) for at, value in room(120, 3))
    _, last = feed(engine(), moved)
    assert last.how == "by itself"
    assert 75 < last.at / DAY < 85
    assert last.says.startswith("d x is back where it was after ")


def test_it_shows_how_far_it_has_learnt() -> None:
    """A day in the middle of the month is half of it."""
    subject = engine()
    feed(subject, room(14))
    (learning,) = subject.learning()
    assert learning.share == pytest.approx(0.5)
    feed(subject, ((at, value) for at, value in room(30) if at >= 14 * DAY))
    assert not subject.learning()


# ---------------------------------------------------------------- what it keeps to itself


def watch_days(levels: Iterable[float], learn: int = 28) -> int:
    """How often days are told, the rule's way but without its readings."""
    days: list[Day] = []
    watchman, told = None, 0
    for number, level in enumerate(levels):
        if watchman is None:
            days.append(Day(number, level))
            if len(days) == learn:
                watchman, days = Watchman(Reference(days)), []
        elif watchman.take(Day(number, level), 0.0, 0.0):
            told, watchman = told + 1, None
    return told


@pytest.mark.parametrize(("alike", "years"), [(0.0, 0), (0.5, 0), (0.8, 5)])
def test_days_that_only_follow_each_other_are_hardly_ever_told(alike: float, years: int) -> None:
    """A hundred years of days, by how much each is like the one before."""
    told = 0
    for seed in range(100):
        chance, levels = random.Random(seed), [0.0]
        for _ in range(364):
            levels.append(alike * levels[-1] + chance.gauss(0, math.sqrt(1 - alike**2)))
        told += watch_days(levels)
    assert told <= years


def test_weekends_are_no_drift() -> None:
    """Offices, by seven years of days."""
    for seed in range(7):
        chance = random.Random(seed)
        assert not watch_days(chance.gauss(0, 1) + (8 if number % 7 > 4 else 0) for number in range(365))


def test_rhythms_of_day_and_week_and_a_year_within_what_is_written_are_no_drift() -> None:
    """Seasons bring up to 5.2 °C a month here; 6 °C are allowed, and without that word a season is told."""
    assert not feed(engine(season=Quantity(6.0, "°C")), room(365, weekend=-3, winter=10))
    assert opened(feed(engine(), room(365, winter=10)))


def test_a_drift_faster_than_the_season_is_told_all_the_same() -> None:
    """What exceeds the season adds up."""
    assert opened(feed(engine(season=Quantity(0.5, "°C")), room(200, a_week=0.4)))


def test_less_than_is_worth_telling_is_not_told() -> None:
    """`least` is a difference in any unit."""
    assert not feed(engine(least=Quantity(9.0, "°F")), room(250, a_week=0.1))


def test_days_that_are_all_the_same_have_no_measure() -> None:
    """A setpoint that is moved is no drift."""
    assert not feed(engine(), ((hour * HOUR, 21.0 if hour < 1000 else 22.0) for hour in range(2400)))


# ---------------------------------------------------------------- promises

STORY = list(room(110, 3, a_week=0.5, since=40))


def told(changes: Iterable[Change], off: float = 0.0) -> list[tuple[float, str, str, str]]:
    return [(change.at - off, change.phase.value, change.says, change.because) for change in changes]


@settings(max_examples=10)
@given(st.integers(0, len(STORY)), st.sampled_from([0.0, -4096.0, 1048576.0]))
def test_a_restart_at_any_reading_changes_nothing(cut: int, shift: float) -> None:
    """Saved through JSON, and restored with a timeline that begins anew."""
    whole = told(feed(engine(), STORY))
    assert whole
    before = engine()
    first = told(feed(before, STORY[:cut]))
    after = engine(now=(STORY[cut - 1][0] if cut else 0.0) + shift)
    after.restore(json.loads(json.dumps(before.state(), allow_nan=False)), shift=shift)
    assert first + told(feed(after, ((at + shift, value) for at, value in STORY[cut:])), shift) == whole


@pytest.mark.parametrize("scale", [0.25, -1024.0])
def test_scaled_readings_are_told_at_the_same_times(scale: float) -> None:
    """The unit does not matter."""
    scaled = told(feed(engine(), ((at, scale * value) for at, value in STORY)))
    assert [change[:2] for change in scaled] == [change[:2] for change in told(feed(engine(), STORY))]


def test_missing_days_and_wild_readings_change_little() -> None:
    """A tenth of all days lost, a tenth of all readings void or wild: the same drift, within a fortnight."""
    chance = random.Random(1)
    lost = {chance.randrange(110) for _ in range(11)}
    wild: list[Outcome] = [NoValue("void"), math.nan, 1e300, -500.0, "off"]
    messy = ((at, chance.choice(wild) if chance.random() < 0.1 else value) for at, value in STORY if at // DAY not in lost)
    clean = feed(engine(), STORY)[0]
    assert feed(engine(), messy)[0].at == pytest.approx(clean.at, abs=14 * DAY)


def test_a_point_that_is_read_every_second_is_looked_at_some_seventy_times_a_day() -> None:
    """More would tell no more."""
    subject = engine()
    (watch,) = subject._watches
    asked, look = [], watch.look
    type(watch).look, kept = (lambda self, *given: asked.append(given[1]) or look(*given)), type(watch).look
    try:
        feed(subject, ((float(second), 20.0 + second % 7) for second in range(2 * 86400)))
    finally:
        type(watch).look = kept
    assert len([at for at in asked if at >= DAY]) < 100


def test_what_it_remembers_of_a_point_is_less_than_a_kilobyte() -> None:
    """As numbers of eight bytes, while it learns what may be the new normal."""
    subject = engine()
    feed(subject, ((at, value + (2 if at > 50 * DAY else 0)) for at, value in room(85)))
    (watch,) = subject._watches
    assert watch.episode
    assert 8 * json.dumps(watch.memory()).count(",") < 1024


@pytest.mark.parametrize("keys", [{"season": 0.0}, {"least": -1.0}, {"lasting": 60.0}])
def test_mistakes_are_told_with_the_key_to_look_at(keys: dict[str, float]) -> None:
    """What cannot be meant is refused when the rule is read."""
    (key, value), *_ = keys.items()
    with pytest.raises(KeyMistake) as mistake:
        rule("drift", **{key: value if key == "lasting" else Quantity(value, "")})
    assert mistake.value.key == key

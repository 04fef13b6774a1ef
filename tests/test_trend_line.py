"""The parts of a trend: buckets that spikes do not get into, a line that steps do not bend, and few words about it."""

import random

import pytest

from gateway.diagnosis.buckets import SLOTS, Bucket, Value
from gateway.diagnosis.forecast import NEVER, Announcer, Outlook, Terms, Turn
from gateway.diagnosis.foreseen import about, roughly
from gateway.diagnosis.trend_line import Line, News, reach

DAY = 86400.0
TERMS = Terms(28 * DAY, 0.9, 1)


def buckets(readings: list[tuple[float, float]]) -> list[Value]:
    bucket = Bucket()
    ended = (bucket.add(at, value, DAY / SLOTS, SLOTS) for at, value in readings)
    return [value for value in ended if value]


def test_a_quarter_of_the_readings_may_be_wild():
    """Spikes of a thousand on one reading in eight move the day by less than the noise does."""
    chance = random.Random(1)
    minutes = range(10 * 1440)
    wild = [(minute * 60.0, 20.0 + chance.gauss(0, 1) + (1000.0 if chance.random() < 0.125 else 0.0)) for minute in minutes]
    days = buckets(wild)
    assert len(days) == 10
    assert all(abs(day.value - 20.0) < 0.5 for day in days)


def test_a_day_of_which_only_the_warm_half_was_seen_is_no_day():
    """Where the rhythm was seen in part, its mean would be that part's."""
    hours = [(hour * 3600.0, 30.0 if 8 <= hour % 24 < 16 else 10.0) for hour in range(10 * 24)]
    holed = [(at, value) for at, value in hours if not (4.5 * DAY <= at < 6.5 * DAY and value == 10.0)]
    assert len(buckets(hours)) == 10
    days = buckets(holed)[1:]  # the first begins at midnight, and is half a day
    assert len({day.value for day in days}) == 1
    assert len(days) == 7


def test_one_reading_a_day_is_a_day():
    """Its value as it is, at its time."""
    assert buckets([(day * DAY, float(day)) for day in range(5)]) == [(day * DAY, float(day)) for day in range(4)]


def drawn(values: list[float]) -> tuple[Line, list[News]]:
    line = Line()
    return line, [line.add(Value(day * DAY, value), DAY, TERMS, 100.0) for day, value in enumerate(values)]


def test_a_line_through_points_without_noise_is_exact():
    """100 below the limit and 1 nearer every day: crossed on day 100, as seen from anywhere."""
    line, _ = drawn([day - 100.0 for day in range(61)])
    assert line.outlook(60 * DAY).in_s == pytest.approx(40 * DAY)
    assert line.outlook(70 * DAY).in_s == pytest.approx(30 * DAY)


def test_only_a_step_away_from_the_limit_puts_right():
    """And neither way is it taken for a slope."""
    chance = random.Random(2)
    for step, right in ((-30.0, True), (30.0, False)):
        line, news = drawn([-60.0 + chance.gauss(0, 0.5) + (step if day >= 40 else 0.0) for day in range(60)])
        assert any(News.PUT_RIGHT in each for each in news) is right
        assert abs(line.slope) * DAY < 0.1
        assert line.level == pytest.approx(-60.0 + step, abs=1.0)


def test_a_step_spoils_no_forecast_that_was_made_before_it():
    """After it the interval is as narrow as without it."""
    chance = random.Random(3)
    noise = [chance.gauss(0, 1.0) for _ in range(80)]
    plain, _ = drawn([0.5 * day - 100.0 + noise[day] for day in range(80)])
    stepped, _ = drawn([0.5 * day - 100.0 + noise[day] + (50.0 if day < 50 else 0.0) for day in range(80)])
    wide = [line.outlook(79 * DAY).latest_s - line.outlook(79 * DAY).earliest_s for line in (plain, stepped)]
    assert wide[1] == pytest.approx(wide[0], rel=0.15)


def test_the_edge_of_a_band_that_opens_faster_than_the_line_moves_is_never_reached():
    knots = [(0.0, 1.0), (4.0, 3.0)]
    assert reach(10.0, 1.0, knots, 0.0) == pytest.approx(10.0)
    assert reach(10.0, 1.0, knots, 1.0) == pytest.approx(6.0)
    assert reach(10.0, 0.4, knots, -1.0) == NEVER
    assert reach(0.5, 1.0, knots, 1.0) == 0.0


# ---------------------------------------------------------------- when to speak


def test_it_waits_until_it_is_sure_and_until_enough_forecasts_agree():
    """Likely is not sure; and one forecast in between that is not sure begins the count anew."""
    announcer = Announcer(Terms(28.0, 0.9, 3))
    unsure, sure = Outlook(20.0, 10.0, 50.0, 40.0), Outlook(20.0, 10.0, 30.0, 27.0)
    said = [announcer.hear(at, each) for at, each in enumerate([unsure, sure, sure, unsure, sure, sure, sure])]
    assert said == [None] * 6 + [Turn.ANNOUNCED]


def test_a_crossing_that_recedes_far_beyond_the_lead_is_withdrawn():
    """One and a half leads, at the earliest; not by a hair more than the lead."""
    announcer = Announcer(Terms(28.0, 0.9, 1))
    assert announcer.hear(0.0, Outlook(20.0, 15.0, 25.0, 24.0)) is Turn.ANNOUNCED
    assert announcer.hear(1.0, Outlook(45.0, 40.0, 50.0, 49.0)) is Turn.LATER
    assert announcer.hear(2.0, Outlook(50.0, 43.0, 60.0, 55.0)) is None
    assert announcer.hear(3.0, Outlook(50.0, 43.0, 60.0, 55.0)) is Turn.WITHDRAWN
    assert announcer.ended is Turn.WITHDRAWN


def test_a_promise_is_held_against_what_came():
    """The first word of each episode counts, not the last correction; what nobody foresaw counts too."""
    announcer = Announcer(Terms(28.0, 0.9, 1))
    announcer.crossed(0.0)
    announcer.hear(10.0, Outlook(20.0, 15.0, 25.0, 24.0))
    announcer.hear(11.0, Outlook(5.0, 4.0, 6.0, 5.5))
    assert announcer.crossed(20.0) is Turn.CAME_TRUE
    assert announcer.score.words() == ("1 came true (0 within the told interval, off by 100 % on average), 1 crossing not foreseen")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (40.0, "40 s"),
        (100.0, "2 min"),
        (5000.0, "83 min"),
        (3 * 3600.0, "3 h"),
        (1.5 * DAY, "2 days"),
        (97 * DAY, "97 days"),
        (100 * DAY, "14 weeks"),
        (NEVER, "an unknown time"),
    ],
)
def test_a_time_to_come_has_one_unit(seconds, words):
    assert roughly(seconds) == words


def test_an_interval_is_told_in_the_unit_of_its_middle():
    assert about(Outlook(12 * DAY, 9.4 * DAY, 16 * DAY)) == "12 days (9 to 16)"
    assert about(Outlook(12 * DAY, 0.2 * DAY, NEVER)) == "12 days (0 or more)"

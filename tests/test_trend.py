"""trend: when a point will cross its limit, told early, rarely, and with its own score."""

import math
import random

import pytest
from rules_of import Story, every, point, rule
from trends_of import DAY, daily, falling, gapped, openings, spiked, told, trend

from drivers.contract import KeyMistake, NoValue
from gateway.config.units import convert
from gateway.diagnosis.contract import Phase, Quantity
from gateway.diagnosis.engine import Engine

SHAPES = {
    "steady": falling(110),
    "once a day": falling(110, per=1),
    "daily rhythm": daily(falling(110), 15.0),
    "spikes": spiked(falling(110), 0.05, 60.0),
    "stretches missing": gapped(falling(110)),
    "read every ten minutes": falling(110, per=144),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_crossing_is_announced_weeks_ahead_and_comes_true(shape):
    """100 falls by 0.5 a day and crosses 50 on day 100: told 7 to 30 days ahead, within a fifth of that, whatever lies on it."""
    story = told(SHAPES[shape])
    ((day, foretold),) = openings(story)
    assert 70 <= day <= 93
    assert abs(foretold - 100) <= 0.2 * (100 - day)
    assert len(story.told) <= 3
    last = story.told[-1]
    assert (last.phase, last.how) == (Phase.CLOSED, "came true")
    assert 99 <= last.at / DAY <= 103


def test_a_forecast_names_the_limit_and_an_interval_that_holds_the_crossing():
    """What is told beside the words: when, from when to when, how sure."""
    change = told(SHAPES["steady"]).told[0]
    assert change.kind == "prediction"
    crosses, in_s, earliest, latest, confidence = change.forecast
    assert crosses == 50.0
    assert 0.9 <= confidence <= 1
    assert earliest < in_s < latest
    assert earliest < 100 * DAY - change.at < latest


def test_its_evidence_are_the_weeks_that_it_judged_by():
    """A value a day of the last forty, in the point's own unit; after a step only what came since."""
    opened = told(SHAPES["spikes"]).told[0].evidence
    assert len(opened.values) == 40
    assert opened.every_s == pytest.approx(DAY, rel=0.01)
    assert [value for value in opened.values if abs(value - (100 - 0.5 * (opened.from_at / DAY + 20))) > 15] == []
    assert opened.values[0] - opened.values[-1] == pytest.approx(0.5 * 39, abs=4)
    averted = told(falling(88) + [(at + 88 * DAY, value) for at, value in falling(30, per_day=0.1)]).told[-1].evidence
    assert averted.every_s < DAY


def test_a_leak_that_slows_down_is_told_again_as_eased():
    """Half as fast from day 78 on: the later date is told, twice in a month at the most, and comes true."""
    after = [(at + 78 * DAY, value - 39) for at, value in falling(60, per_day=0.25)]
    story = told(falling(78) + after)
    assert [change.phase.value for change in story.told] == ["opened", "eased", "eased", "closed"]
    dates = [change.at + change.forecast.in_s for change in story.told[:-1]]
    assert dates == sorted(dates)


def test_it_is_told_in_plain_words_with_the_reason():
    """A person reads what will happen, when, give or take what, and why it is thought so."""
    story = told(SHAPES["once a day"])
    first, last = story.told[0], story.told[-1]
    assert first.says == "d x will be below 50 in about 21 days (17 to 26)."
    assert first.because == "it falls by 0.4829 a day and has come to 60.74; the limit is 50"
    assert last.says == "d x is below 50, as was foretold."
    assert last.because.startswith("its mean has reached the limit of 50; ")
    assert last.because.endswith("forecasts so far: 1 came true (1 within the told interval, off by 17 % on average)")


def test_a_technicians_own_words_have_placeholders_for_the_time():
    """{in}, {earliest} and {latest} are filled in; a word that nobody knows is a mistake that names them."""
    story = told(SHAPES["once a day"], says="Change it within {in} ({earliest} to {latest}), at {limit}")
    assert story.told[0].says == "Change it within 21 days (17 days to 26 days), at 50"
    assert "{" not in story.told[-1].says
    with pytest.raises(KeyMistake, match=r"{in}, {earliest}, {latest}"):
        trend(says="{when}")


def test_noise_a_rhythm_and_a_level_that_settles_are_no_trend():
    """Without a trend towards the limit nothing is told in a year."""
    chance = random.Random(2)
    days = range(365)
    still = [60 + chance.gauss(0, 4) for _ in days]
    settling = [65 + 60 * math.exp(-day / 30) + chance.gauss(0, 0.5) for day in days]
    rising = [60 + 0.2 * day + chance.gauss(0, 2) for day in days]
    for values in (still, settling, rising):
        assert not Story(trend()).read(every(DAY, values)).told


def test_a_battery_that_is_changed_is_averted_and_counts_as_such():
    """A step away from the limit, which stays, ends the forecast."""
    before = falling(88)
    after = [(at + 88 * DAY, value) for at, value in falling(30, per_day=0.1)]
    story = told(before + after)
    last = story.told[-1]
    assert (last.phase, last.how) == (Phase.CLOSED, "averted")
    assert 88 < last.at / DAY < 94
    assert last.says == "d x is no longer on its way to 50."
    assert story.engine.forecasts(last.at)[0].score.averted == 1


def test_a_trend_that_ends_by_itself_is_withdrawn():
    """When the line turns away slowly, the forecast is taken back, and says so; it is not called a success."""
    before = falling(85)
    after = [(at + 85 * DAY, 57 + 0.3 * at / DAY + random.Random(at).gauss(0, 1)) for at, _ in falling(60)]
    story = told(before + after)
    assert [change.phase for change in story.told][-1] == Phase.WITHDRAWN
    assert story.told[-1].says == "d x is not expected to be below 50 soon, after all."
    assert story.told[-1].how == ""
    assert story.engine.forecasts(0.0)[0].score.withdrawn == 1


def test_a_leak_that_gets_worse_is_told_again_and_only_when_the_date_was_wrong():
    """Twice as fast from day 78 on: told once more, as worsened, with an earlier date."""
    before = falling(78)
    after = [(at + 78 * DAY, value - 39) for at, value in falling(12, per_day=1.0)]
    story = told(before + after)
    phases = [change.phase.value for change in story.told]
    assert phases == ["opened", "worsened", "closed"]
    opened, worsened, _ = story.told
    assert worsened.at + worsened.forecast.in_s < opened.at + opened.forecast.in_s - 3 * DAY


def test_wear_within_minutes_is_foretold_with_a_short_lead():
    """With a lead of 20 min and a reading a second it needs ten minutes to see where a point is going."""
    chance = random.Random(3)
    values = [100 - n / 60 + chance.gauss(0, 0.5) for n in range(3600)]
    story = Story(trend(lead=1200.0)).read(every(1.0, values))
    opened, closed = story.told[0], story.told[-1]
    assert opened.phase is Phase.OPENED
    assert 1700 < opened.at < 2700
    assert abs(opened.at + opened.forecast.in_s - 3000) < 0.25 * (3000 - opened.at)
    assert opened.says.startswith("d x will be below 50 in about ")
    assert " min (" in opened.says
    assert closed.how == "came true"


def test_the_side_of_the_limit_and_its_unit_are_the_rules():
    """`above` is as good as `below`, and a limit is turned into the unit of the point."""
    values = [2.0 * 100 - value for _, value in falling(110, per=1)]
    keys = rule("trend", above=Quantity(1.5, "bar"))
    subject = Story(keys, unit="mbar")
    subject.read(every(DAY, [value * 10 for value in values]))
    assert [change.phase for change in subject.told] == [Phase.OPENED, Phase.CLOSED]
    assert subject.told[0].says.startswith("d x will be above 1500 mbar in about ")


def test_its_score_and_present_forecast_are_there_for_views():
    """Before eleven days there is no forecast; then it is shown, told or not, with the score of those before."""
    story = told(falling(10))
    (standing,) = story.engine.forecasts(10 * DAY)
    assert standing.forecast is None
    assert story.engine.learning()[0].share < 1
    story.read([reading for reading in falling(60) if reading[0] > 10 * DAY])
    (standing,) = story.engine.forecasts(60 * DAY)
    assert not standing.is_told
    assert 30 * DAY < standing.forecast.in_s < 50 * DAY
    assert not story.engine.learning()
    story.read([reading for reading in falling(110) if reading[0] > 60 * DAY])
    assert story.engine.forecasts(110 * DAY)[0].score[:3] == (1, 1, 1)


def test_a_crossing_that_nobody_foresaw_is_counted():
    """The score is honest about what was missed."""
    values = [80 + random.Random(n).gauss(0, 1) for n in range(40)] + [20.0] * 6
    story = Story(trend()).read(every(DAY, values))
    assert not story.told
    assert story.engine.forecasts(46 * DAY)[0].score.unforeseen == 1


def test_rewording_a_rule_keeps_what_it_has_learnt_and_another_limit_begins_anew():
    """Weeks of readings are not thrown away for a word; an open episode of a changed limit is withdrawn once that is known."""
    series = falling(90)
    opened = told(series)
    reworded = Story(trend(says="{point}: {in}", severity="critical"))
    reworded.engine.restore(opened.engine.state())
    assert reworded.engine.forecasts(90 * DAY)[0].forecast is not None
    other = Story(trend(below=10))
    other.engine.restore(opened.engine.state())
    assert other.engine.forecasts(90 * DAY)[0].forecast is None
    other.read([reading for reading in falling(120) if reading[0] > 90 * DAY])
    assert [change.phase for change in other.told] == [Phase.WITHDRAWN]
    assert 100 < other.told[0].at / DAY < 104
    assert other.told[0].because.startswith("the rule has been changed since, and foretells nothing")


def test_no_value_is_passed_over():
    """A sensor that is open for a while bends no line."""
    plain = SHAPES["once a day"]
    holed = [(at, NoValue("sensor open") if at // DAY % 9 == 4 else value) for at, value in plain]
    ((day, foretold),) = openings(Story(trend()).read(holed))
    assert 70 <= day <= 93
    assert abs(foretold - 100) <= 0.2 * (100 - day)


def test_readings_that_come_fast_cost_next_to_nothing():
    """At one reading a second it looks at fewer than 150 a day."""
    engine = Engine({"r": trend()}, [point("d/x")], convert, 0.0)
    (watch,) = engine._watches
    story = Story()
    story.engine = engine
    looks = 0
    at = 0.0
    for _ in range(86400):
        at += 1.0
        before = watch.sampler.read
        story.read([(at, 80.0 - at / DAY)])
        looks += watch.sampler.read != before
    assert 60 < looks < 150


@pytest.mark.parametrize("shift", [-1048576.0, 1048576.0])
def test_samples_go_on_after_a_reboot(shift):
    """The hub's times start over; which readings are taken of those that come fast does not change."""
    chance = random.Random(4)
    readings = every(1.0, [100 - n / 300 + chance.gauss(0, 1) for n in range(9000)])
    whole = Story(trend(lead=7200.0)).read(readings)
    before, after = Story(trend(lead=7200.0)).read(readings[:5001]), Story(trend(lead=7200.0), now=shift)
    after.engine.restore(before.engine.state(), shift=shift)
    after.read([(at + shift, value) for at, value in readings[5001:]])
    mine, other = (story.engine.forecasts(at)[0].forecast for story, at in ((whole, 9000.0), (after, 9000.0 + shift)))
    assert mine == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"below": None}, ""),
        ({"above": 60}, "below"),
        ({"rhythm": 12 * DAY}, "rhythm"),
        ({"lasting": 60.0}, "lasting"),
        ({"clear_lasting": 60.0}, "clear_lasting"),
        ({"below": None, "model": "{}"}, "model"),
    ],
)
def test_keys_that_make_no_sense_together_are_mistakes(keys, where):
    """Each is told at the key where a person should look."""
    given = {key: value for key, value in ({"below": 50} | keys).items() if value is not None}
    with pytest.raises(KeyMistake) as mistake:
        rule("trend", **given)
    assert mistake.value.key == where


def test_only_numbers_have_a_trend():
    """A text or a flag is no point for this kind."""
    engine = Engine({"r": trend()}, [point("d/t", type="text"), point("d/f", type="flag")], convert, 0.0)
    assert not engine.forecasts(0.0)


def test_a_level_that_settles_just_above_its_limit_is_not_told_of_for_ever():
    """Slower and slower towards 50: good news is told, each time after a longer wait."""
    values = [50.2 + 300 / (day + 5) + random.Random(day).gauss(0, 0.1) for day in range(365)]
    story = Story(trend()).read(every(DAY, values))
    assert story.told[0].phase is Phase.OPENED
    assert len(story.told) <= 7

"""anomaly: what it tells of a point that leaves its own normal, and what it keeps to itself."""

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_of import batch, point, rule

from drivers.contract import Batch, NoValue, Outcome
from gateway.config.units import convert
from gateway.diagnosis.contract import Change, RuleKeys
from gateway.diagnosis.engine import Engine

HOUR, DAY, WEEK = 3600.0, 86400.0, 604800.0
STEP = 300.0


def monday(at: float) -> float:
    """The timeline of these tests begins on a Monday, at midnight."""
    return at % WEEK


def engine(
    *points: str, local: Callable[[float], float | None] = monday, now: float = 0.0, unit: str = "bar", **keys: object
) -> Engine:
    return Engine({"odd": rule("anomaly", "d/*", **keys)}, [point(each, unit) for each in points or ("d/x",)], convert, now, local)


def feed(subject: Engine, values: Sequence[Outcome], step: float = STEP, start: float = 0.0) -> list[Change]:
    """One reading of d/x a step."""
    return [change for number, value in enumerate(values) for change in subject.feed(batch(start + step * number, x=value))]


def steps(changes: Sequence[Change], step: float = STEP) -> list[tuple[int, str]]:
    """At which reading, and what."""
    return [(round(change.at / step), change.phase.value) for change in changes]


def noise(count: int, seed: int = 1, level: float = 2.0, size: float = 0.1) -> list[float]:
    chance = random.Random(seed)
    return [level + chance.gauss(0, size) for _ in range(count)]


def room(days: int, seed: int = 1) -> list[float]:
    """A heated room, warmer by day and less so at weekends, that wanders a little."""
    chance = random.Random(seed)
    values, drift = [], 0.0
    for number in range(round(days * DAY / STEP)):
        day = number * STEP / DAY
        drift = 0.9 * drift + chance.gauss(0, 0.3)
        values.append(20 + (2 if int(day) % 7 > 4 else 4) * math.sin(math.tau * day) + drift)
    return values


def opened(changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.phase == "opened"]


# ---------------------------------------------------------------- what it tells


def test_it_says_nothing_while_it_learns_and_shows_how_far_it_is() -> None:
    """Whatever comes in the first day is the normal; views see the share that is learnt."""
    subject = engine()
    assert not feed(subject, [*noise(100), 40.0, *noise(43, 2)])
    (learning,) = subject.learning()
    assert (learning.rule_id, learning.point.id, learning.share) == ("odd", "d/x", 0.5)
    feed(subject, noise(150, 3), start=144 * STEP)
    assert not subject.learning()


def test_a_spike_is_told_in_plain_words_with_what_is_usual_and_how_rare_it_is() -> None:
    """Once, with the value, the usual range, what it was held against, and the end of it."""
    subject = engine()
    first, closed = feed(subject, [*noise(1000), 3.4, *noise(50, 2)])
    assert steps([first, closed]) == [(1000, "opened"), (1001, "closed")]
    assert first.says == "d x is 3.4 bar, unlike anything in the past; it is usually 1.84 to 2.16 bar."
    assert first.because == (
        "it is 1.4 bar above its level of 1.999 bar; in 1001 readings over 3 days 11 h it was never more than 0.27 bar above; "
        "of records that are beaten, one in 180 is beaten that far"
    )
    assert 0.5 < first.confidence < 1.0
    assert closed.how == "by itself"
    assert closed.says.startswith("d x is as usual again after 5 min")


def test_a_change_that_lasts_is_told_once_and_becomes_the_new_normal() -> None:
    """Told once; closed as the new normal; and what is normal then is no longer told."""
    subject = engine()
    first, closed = feed(subject, [*noise(1000), *noise(2000, 2, level=3.4)])
    assert [first.phase, closed.phase] == ["opened", "closed"]
    assert closed.how == "new normal"
    assert closed.at - first.at == pytest.approx(600 * STEP, abs=2 * STEP)
    assert closed.says == "d x has stayed around 3.395 bar for 2 days 2 h: that is its new normal."
    assert not feed(subject, noise(500, 3, level=3.4), start=3000 * STEP)


def test_how_long_a_change_lasts_before_it_is_normal_may_be_written() -> None:
    """`adopt` is a time."""
    first, closed = feed(engine(adopt=6 * HOUR), [*noise(1000), *noise(200, 2, level=3.4)])
    assert closed.at - first.at == 6 * HOUR + STEP


def test_more_than_usual_for_a_while_is_told_though_no_single_reading_is_unusual() -> None:
    """A mean over some readings leaves its normal."""
    told = feed(engine(), [*noise(2000), *noise(100, 2, level=2.15)])[0]
    assert 2005 < told.at / STEP < 2050
    assert told.says.startswith("d x has been unusually high for ")
    assert "bar on average; it is usually 1.8" in told.says


def test_a_jump_of_a_signal_that_wanders_is_told() -> None:
    """It is within all that was seen, but no step was ever like it."""
    wander = [0.0]
    for push in noise(2999, level=0, size=0.4):
        wander.append(0.9 * wander[-1] + push)
    top = max(range(2000, 2500), key=wander.__getitem__)
    wander[top + 1 :] = [value - 1.6 * wander[top] for value in wander[top + 1 :]]
    assert min(wander[:top]) < wander[top + 1]
    told = feed(engine(), wander)[0]
    assert told.at / STEP == top + 1
    assert " fell from " in told.says
    assert "further at once than ever before" in told.says


def test_a_day_that_goes_the_other_way_round_is_unlike_this_time_of_day() -> None:
    """The rhythm of a day is learnt where the local time is known."""
    values = room(20)
    start = round(18 * DAY / STEP)
    values[start:] = [40 - value for value in values[start:]]
    told = [change for change in opened(feed(engine(), values)) if change.at >= 18 * DAY]
    assert told[0].at < 18.5 * DAY
    assert "at this hour it is usually" in told[0].says
    assert told[0].says.startswith("d x is ")
    assert "unlike anything at this time of day" in told[0].says
    assert "times as far off as is usual at this hour" in told[0].because


def office(days: int) -> list[float]:
    """The current of an office, every quarter of an hour: much on working days, hardly anything at weekends."""
    chance, values, wander = random.Random(1), [], 0.0
    for number in range(days * 96):
        day, hour = number // 96, number % 96 / 4
        wander = 0.8 * wander + chance.gauss(0, 0.2)
        at_work = math.sin(math.pi * (hour - 7) / 11) if 7 < hour < 18 else 0.0
        values.append(10 + 8 * at_work * (0.1 if day % 7 > 4 else 1.0) + wander)
    return values


@pytest.mark.parametrize("day", [37, 41])
def test_a_holiday_on_a_working_day_and_work_on_a_sunday_are_unlike_the_week(day: int) -> None:
    """The rhythm of a week is learnt once there are weeks enough; a quiet Wednesday is as odd as a busy Sunday."""
    values = office(day)
    values += values[-2 * 96 : -96] if day == 41 else [10.0 + wobble for wobble in noise(96, level=0, size=0.2)]
    busy = [value + (6 if day == 41 and 32 < number < 68 else 0) for number, value in enumerate(values[-96:])]
    told = feed(engine(), values[:-96] + busy, step=900.0)
    assert [change.at >= day * DAY for change in opened(told)] == [True]
    assert "unlike anything at this time of the week; at this hour it is usually" in told[0].says


def test_while_the_clock_is_not_trusted_no_rhythm_is_learnt_or_held_against_anything() -> None:
    """The same day means nothing to a hub that does not know what time it is."""
    values = room(20)
    start = round(18 * DAY / STEP)
    values[start:] = [40 - value for value in values[start:]]
    told = feed(engine(local=lambda at: None), values)
    assert not [change for change in told if "hour" in change.says or "time of day" in change.says]


def test_what_must_last_before_it_is_told_may_be_written() -> None:
    """`lasting` is the time for which it must have been unusual."""
    keys = {"lasting": 3600.0}
    assert not feed(engine(**keys), [*noise(1000), 3.4, *noise(50, 2)])
    first, _ = feed(engine(**keys), [*noise(1000), *noise(30, 3, level=3.4), *noise(50, 2)])
    assert first.at - first.since == 3600.0


# ---------------------------------------------------------------- several points


def rows(count: int, *faults: tuple[str, int, int, float], seed: int = 1) -> Iterator[Batch]:
    """Two points of one device once a second, with faults: a point, from row, to row, off by."""
    chance = random.Random(seed)
    for number in range(count):
        row = {"a": 5 + chance.gauss(0, 0.2), "b": 70 + chance.gauss(0, 1.0)}
        for name, first, last, off in faults:
            if first <= number < last:
                row[name] += off
        yield Batch("d", float(number), ("a", "b"), tuple(row.values()))


def run(subject: Engine, batches: Iterator[Batch]) -> list[Change]:
    return [change for each in batches for change in subject.feed(each)]


FAULTS = (("b", 2000, 2200, 9.0), ("a", 2020, 2300, 3.0))


def test_points_that_are_watched_jointly_have_one_episode_and_the_first_to_leave_speaks() -> None:
    """It closes when all are back."""
    first, closed = run(engine("d/a", "d/b", jointly=True, learn=600.0), rows(3000, *FAULTS))
    assert first.point.id == closed.point.id == "d/b"
    assert first.episode == closed.episode == "odd:d/*#1"
    assert 2000 < first.at < 2020
    assert 2300 < closed.at < 2340
    assert first.evidence
    assert first.value > 75


def test_points_that_are_not_watched_jointly_have_an_episode_each() -> None:
    """As every other rule."""
    told = run(engine("d/a", "d/b", learn=600.0), rows(3000, *FAULTS))
    assert sorted(change.episode for change in told if change.phase == "opened") == ["odd:d/a#1", "odd:d/b#1"]


def test_a_joint_episode_survives_a_restart_with_its_spokesman() -> None:
    """Whoever spoke first speaks of its end."""
    batches = list(rows(3000, *FAULTS))
    before, after = (engine("d/a", "d/b", jointly=True, learn=600.0) for _ in range(2))
    told = run(before, iter(batches[:2250]))
    after.restore(json.loads(json.dumps(before.state())))
    assert told + run(after, iter(batches[2250:])) == run(engine("d/a", "d/b", jointly=True, learn=600.0), iter(batches))


def test_a_point_that_becomes_one_of_several_hands_its_open_episode_back() -> None:
    """A second point joins the rule: what was told of the first alone is told as over."""
    before, after = engine("d/a", jointly=True, learn=600.0), engine("d/a", "d/b", jointly=True, learn=600.0)
    batches = list(rows(3000, ("a", 2000, 3000, 3.0)))
    (first,) = run(before, iter(batches[:2100]))
    (closed,) = after.restore(before.state())
    assert (closed.episode, closed.how) == (first.episode, "no longer watched")


# ---------------------------------------------------------------- pace


def test_one_wild_reading_of_a_fast_point_is_no_departure() -> None:
    """What lasts less than 20 s is not told."""
    values = [*noise(3000), 9.0, *noise(100, 2)]
    assert feed(engine(learn=600.0), values)
    assert not feed(engine(learn=600.0), values, step=1.0)


def test_a_point_that_is_read_ten_times_a_second_is_judged_once() -> None:
    """Its readings are averaged over a second first; what is told is the same as of their means."""
    slow = [*noise(3000), *noise(300, 2, level=3.0), *noise(100, 3)]
    often = [value for value in slow for _ in range(10)]
    told = steps(feed(engine(learn=600.0), slow, step=1.0), 1.0)
    assert [phase for _, phase in told] == ["opened", "closed"]
    for (at, phase), (before, same) in zip(steps(feed(engine(learn=600.0), often, step=0.1), 1.0), told, strict=True):
        assert phase == same
        assert abs(at - before) <= 2


def test_a_point_that_is_read_at_another_pace_from_now_on_is_learnt_anew() -> None:
    """What is counted in readings means nothing any more when they come ten times as often."""
    subject = engine()
    feed(subject, noise(1000))
    assert not subject.learning()
    feed(subject, noise(250, 2), step=10.0, start=1000 * STEP)
    (learning,) = subject.learning()
    assert learning.share < 0.1


# ---------------------------------------------------------------- what it keeps to itself


def test_a_house_where_nothing_happens_is_quiet() -> None:
    """Of 20 rooms over three weeks each, at most three give one moment."""
    assert sum(len(opened(feed(engine(), room(21, seed)))) for seed in range(20)) <= 3


def test_what_wanders_or_stands_still_is_not_unusual() -> None:
    """A random walk, and a value that never moves."""
    chance, walk = random.Random(3), [0.0]
    for _ in range(4000):
        walk.append(walk[-1] + chance.gauss(0, 1))
    assert not feed(engine(), walk)
    assert not feed(engine(), [5.0] * 3000)


# ---------------------------------------------------------------- promises

SPIKED = [*noise(400), *noise(60, 2, level=3.5), *noise(240, 3), 9.0, *noise(60, 4), *noise(150, 5, level=2.6)]
real: st.SearchStrategy[Outcome] = st.sampled_from([2.0, 2.1, 3.5, 1e300, -1e300, 1e-310, True])
odd: st.SearchStrategy[Outcome] = st.sampled_from([NoValue("void"), math.nan, math.inf, "off"])
values = st.lists(real | odd, max_size=60)


@settings(max_examples=15)
@given(st.integers(0, len(SPIKED)), st.sampled_from([0.0, -4096.0, 1048576.0]))
def test_a_restart_at_any_reading_changes_nothing(cut: int, shift: float) -> None:
    """Saved through JSON, and restored with a timeline that begins anew."""

    def fed(subject: Engine, some: Sequence[float], start: int, off: float = 0.0) -> list[tuple[float, str, str, str]]:
        told = feed(subject, some, start=start * STEP + off)
        return [(change.at - off, change.phase.value, change.says, change.because) for change in told]

    before = engine(learn=30000.0, adopt=100 * STEP)
    told = fed(before, SPIKED[:cut], 0)
    after = engine(learn=30000.0, adopt=100 * STEP, now=cut * STEP + shift, local=lambda at: (at - shift) % WEEK)
    after.restore(json.loads(json.dumps(before.state(), allow_nan=False)), shift=shift)
    assert told + fed(after, SPIKED[cut:], cut, shift) == fed(engine(learn=30000.0, adopt=100 * STEP), SPIKED, 0)


@given(st.sampled_from([(1024.0, 0.0), (0.37, -19.0), (-5.0, 100.0), (1.0, 1000.0)]))
def test_another_unit_changes_nothing(unit: tuple[float, float]) -> None:
    """Scaled and shifted readings give the same moments at the same times."""
    scale, zero = unit
    plain = steps(feed(engine(learn=30000.0), SPIKED))
    assert len(plain) >= 4
    assert steps(feed(engine(learn=30000.0), [scale * value + zero for value in SPIKED])) == plain


def test_shifted_times_shift_what_is_told() -> None:
    """Only differences of times mean anything."""
    moved = feed(engine(learn=30000.0, now=WEEK * 1024), SPIKED, start=WEEK * 1024)
    assert [(at - round(WEEK * 1024 / STEP), phase) for at, phase in steps(moved)] == steps(feed(engine(learn=30000.0), SPIKED))


@given(values, values)
def test_whatever_a_device_says_nothing_raises_and_nothing_is_told_of_no_value(first: list[Outcome], then: list[Outcome]) -> None:
    """Void, NaN, infinite, huge, tiny and text readings between real ones."""
    subject = engine(learn=STEP)
    mixed = [*first, *noise(150), *then, *noise(40, 2)]
    for number, value in enumerate(mixed):
        for change in subject.feed(batch(number * STEP, x=value)):
            assert isinstance(value, (int, float))
            assert math.isfinite(value)
            assert "nan" not in change.says + change.because
    json.dumps(subject.state(), allow_nan=False)


def test_duplicated_and_late_readings_change_nothing() -> None:
    """A reading that came before is left aside."""
    subject, told = engine(learn=30000.0), []
    for number, value in enumerate(SPIKED):
        told += subject.feed(batch(number * STEP, x=value))
        assert not subject.feed(batch(number * STEP, x=1e9))
        assert not subject.feed(batch(number * STEP - 400, x=-1e9))
    assert told == feed(engine(learn=30000.0), SPIKED)


def test_to_be_asked_twice_about_a_reading_changes_nothing() -> None:
    """As the engine may do at any time."""
    once, twice = engine(learn=30000.0), engine(learn=30000.0)
    (watch,) = twice._watches
    for number, value in enumerate(SPIKED):
        told = [once.feed(batch(number * STEP, x=value)), twice.feed(batch(number * STEP, x=value))]
        assert list(told[0]) == list(told[1])
        if number:
            assert watch.look(value, number * STEP, is_open=False) == watch.look(value, number * STEP, is_open=True)
    assert once.state() == twice.state()


def test_an_edited_rule_keeps_what_was_learnt_of_the_point() -> None:
    """A technician who makes it less nervous does not wait another day."""
    before, after = engine(), engine(surprise=4.5)
    feed(before, noise(1000))
    after.restore(before.state())
    assert not after.learning()
    assert feed(after, [9.0], start=1000 * STEP)


def test_what_it_remembers_of_a_point_is_less_than_two_kilobytes() -> None:
    """Its arrays, and its numbers at eight bytes each."""
    subject = engine()
    feed(subject, room(2))
    (watch,) = subject._watches
    rhythm = watch.normal.rhythm
    arrays = [each for profile in (rhythm.day, rhythm.week) for each in (profile.mean, profile.spread, profile.count)]
    packed = sum(len(each) * each.itemsize for each in arrays)
    assert packed + 8 * (len(watch.normal.state()) - sum(map(len, arrays))) < 2048


def test_a_rule_without_keys_of_its_own_is_a_rule() -> None:
    """All keys have defaults."""
    keys: RuleKeys = rule("anomaly")
    assert (keys.learn, keys.jointly, keys.surprise, keys.adopt) == (DAY, False, 3.8, None)

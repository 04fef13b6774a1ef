"""compare: differs from its siblings."""

import json
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules_of import point

from drivers.contract import Batch, KeyMistake, NoValue, Outcome
from gateway.config.units import convert
from gateway.diagnosis.contract import Change, PointInfo, Quantity, RuleKeys
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.kinds import compare
from gateway.diagnosis.siblings import CLEAR, FEW, NORMAL, middle, spread
from gateway.diagnosis.watch import NOTHING

ROUND = 8.0


def quantity(value: float | Quantity | None) -> Quantity | None:
    return value if value is None or isinstance(value, Quantity) else Quantity(float(value), "")


def rule(least: float | Quantity = 1, above: float | Quantity | None = None, **keys: Any) -> RuleKeys:
    """Rounds of 8 s, told at once, where nothing else is said."""
    given = {"on": ("*/x",), "within": ROUND, "lasting": 0.0, "clear_lasting": 0.0, "folds": 0, **keys}
    return compare.Keys(kind="compare", least=quantity(least), above=quantity(above), **given)


def siblings(size: int, unit: str = "W") -> list[PointInfo]:
    return [point(f"s{number}/x", unit) for number in range(size)]


def engine(keys: RuleKeys, points: Sequence[PointInfo], now: float = 0.0) -> Engine:
    return Engine({"r": keys}, points, convert, now)


def play(
    subject: Engine, rounds: Iterable[Sequence[Outcome | None]], start: float = 0.0, before: Callable[[], None] = lambda: None
) -> list[Change]:
    """Each sibling once a round, in turn; None where it is not read."""
    told: list[Change] = []
    for number, values in enumerate(rounds):
        for index, value in enumerate(values):
            before()
            if value is not None:
                told += subject.feed(Batch(f"s{index}", start + number * ROUND + index / 16, ("x",), (value,)))
    return told


def steps(told: Iterable[Change]) -> list[tuple[int, str, str]]:
    """In which round, who, and what."""
    return [(int(change.at // ROUND), change.point.device, change.phase.value) for change in told]


def test_who_differs_from_its_siblings_is_told_and_when_it_is_alike_again() -> None:
    """After the round that showed it; one episode for each sibling."""
    alike = [100, 101, 99, 100, 102]
    told = play(engine(rule(), siblings(5)), [alike, alike, [100, 101, 99, 100, 50], [100, 101, 99, 100, 50], alike, alike])
    assert steps(told) == [(3, "s4", "opened"), (5, "s4", "closed")]
    assert {change.episode for change in told} == {"r:s4/x#1"}


def test_it_says_how_it_differs() -> None:
    """What it is, what its siblings are, and how far apart they may be."""
    alike, out = [1980, 2140, 2050, 2010, 2100], [1980, 2140, 2050, 2010, 2100, 0]
    points = [each._replace(label=f"String {number + 1}") for number, each in enumerate(siblings(6))]
    told = play(engine(rule(Quantity(5.0, "%"), above=100, lasting=ROUND), points), [out] * 4 + [[*alike, 2000]] * 2)
    assert told[0].says == "String 6 is 0 W while its 5 siblings are 1980 to 2140 W, for 8 s."
    assert told[0].because == "its mean over 8 s is 2050 W below the median of its siblings, 2050 W; allowed are 447 W"
    assert told[1].says == "String 6 is like its 5 siblings again after 32 s: 2000 W."
    assert told[1].because == "its mean over 8 s is within 335.3 W of the median of its siblings, 2050 W"
    says = rule(says="{siblings} {range} {limit} {value}")
    assert play(engine(says, siblings(5)), [[5, 5, 5, 5, 9]] * 2)[0].says == "4 5 W 1 W 9 W"


def test_it_must_be_further_away_than_least_and_than_so_many_spreads() -> None:
    """Whichever is more; a share is one of the median."""
    level = [98, 99, 100, 101, 102]
    outliers = {
        value: steps(play(engine(rule(least=12, times=2.0), siblings(6)), [[*level, value]] * 2)) for value in (88, 110, 113, 150)
    }
    assert [bool(told) for told in outliers.values()] == [False, False, True, True]
    wide = [80, 90, 100, 110, 120]
    apart = 5 * spread(sorted([*wide, 250]))
    for value in (105 + apart - 1, 105 + apart + 1):
        assert bool(play(engine(rule(), siblings(6)), [[*wide, value]] * 2)) is (value > 105 + apart)
    assert not play(engine(rule(times=20), siblings(6)), [[*wide, 250]] * 2)
    for share, is_told in ((11, True), (13, False)):
        told = play(engine(rule(Quantity(share, "%"), above=0), siblings(6)), [[100, 100, 100, 100, 100, 88]] * 2)
        assert bool(told) is is_told


def test_it_is_alike_again_when_it_is_well_within() -> None:
    """Three quarters of what is allowed, so that it does not come and go."""
    rounds = [[100, 100, 100, 100, value] for value in (111, 109, 111, 108, 107, 107)]
    assert steps(play(engine(rule(least=10), siblings(5)), rounds)) == [(1, "s4", "opened"), (5, "s4", "closed")]
    assert CLEAR == 0.75


def test_it_takes_so_many_well_ones() -> None:
    """Three others, or as many as the rule says; who has no value or was not read in the round does not count."""
    out = [100, 100, 100, 0]
    assert steps(play(engine(rule(), siblings(4)), [out] * 2)) == [(1, "s3", "opened")]
    assert not play(engine(rule(), siblings(3)), [[100, 100, 0]] * 3)
    assert play(engine(rule(siblings=2), siblings(3)), [[100, 100, 0]] * 2)
    assert not play(engine(rule(siblings=4), siblings(4)), [out] * 3)
    assert not play(engine(rule(), siblings(4)), [[100, None, 100, 0]] * 3)
    assert not play(engine(rule(), siblings(4)), [[100, NoValue("void"), 100, 0]] * 3)


def test_what_is_not_known_neither_opens_nor_closes() -> None:
    """Too few to compare with, or nothing to compare."""
    out, few = [100, 100, 100, 100, 0], [None, None, 100, 100, 100]
    told = play(engine(rule(lasting=ROUND), siblings(5)), [out, few, few, few, few, out, out, out, out])
    assert steps(told) == [(6, "s4", "opened")]  # a round before, and one after
    told = play(
        engine(rule(above=50), siblings(5)), [out, out, [0] * 5, [1, 0, 0, 0, 0], [50, 0, 50, 50, 50], out, [100] * 5, [100] * 5]
    )
    assert steps(told) == [(1, "s4", "opened"), (7, "s4", "closed")]
    assert told[0].evidence is not None


def test_a_second_and_third_fault_are_seen_as_the_first_was() -> None:
    """Who differs is not among those that others are compared with: three of seven may fall, one after the other."""
    rounds = [[100, 101, 99, 100, *(0 if number > 2 * later else 100 for later in range(3))] for number in range(9)]
    told = steps(play(engine(rule(), siblings(7)), rounds))
    assert told == [(2, "s4", "opened"), (4, "s5", "opened"), (6, "s6", "opened")]


def test_nobody_is_told_when_all_change_together() -> None:
    """Clouds come over the whole roof."""
    chance = random.Random(1)
    rounds = [[level * (1 + chance.uniform(-0.02, 0.02)) for _ in range(6)] for level in [1000, 1000, 200, 30, 700, 1500] * 3]
    assert not play(engine(rule(Quantity(10.0, "%"), above=10), siblings(6)), rounds)


def test_only_values_of_one_time_meet() -> None:
    """A mean of what was read in the round; who read nothing is left out, however near its last value is."""
    subject = engine(rule(), siblings(5))
    told: list[Change] = []
    for second in range(32):
        level = 100 + 10 * second  # all rise, and are read at different times
        for index in range(5):
            told += subject.feed(Batch(f"s{index}", second + index / 8, ("x",), (level,)))
    assert not told
    assert not play(engine(rule(), siblings(5)), [[100] * 5, [200, 200, 200, 200, None], [200, 200, 200, 200, None]])


def test_a_gap_of_more_than_a_round_is_no_time_at_all() -> None:
    """What was read before it is not compared after it."""
    subject = engine(rule(), siblings(4))
    play(subject, [[100, 100, 100, 0]])
    assert not play(subject, [[100] * 4, [100] * 4], start=20 * ROUND)


# ---------------------------------------------------------------- of different size


def test_siblings_of_different_size_are_compared_by_their_usual_share() -> None:
    """Nothing is said while that is learnt; afterwards a half that is missing is seen, and half the size is not."""
    sizes = [1.0, 0.5, 2.0, 1.0, 0.8]
    levels = [100, 40, 5, 0, 200, 150, 90, 120]
    keys = rule(Quantity(20.0, "%"), above=10, relative=True, learns=64.0)
    subject = engine(keys, siblings(5))
    learnt = [[level * size for size in sizes] for level in levels * 2]
    assert not play(subject, learnt[:9])
    shares = [each.share for each in subject.learning()]
    assert len(shares) == 5
    assert all(0 < share < 1 for share in shares)
    assert not play(subject, learnt[9:], start=9 * ROUND)
    assert not subject.learning()
    told = play(subject, [[100, 50, 100, 100, 80]] * 2, start=16 * ROUND)
    assert steps(told) == [(17, "s2", "opened")]
    assert told[0].says == "s2 x is 100 W; by its 4 siblings it should be 200 W, for 0 s."
    assert told[0].because.startswith(
        "its mean over 8 s is 100 W below what is usual for it beside its siblings, 200 W; allowed are 40"
    )


def test_what_differs_is_not_learnt_as_usual() -> None:
    """However long it lasts."""
    keys = rule(Quantity(20.0, "%"), above=10, relative=True, learns=64.0)
    subject = engine(keys, siblings(5))
    play(subject, [[100] * 5] * 9)
    told = play(subject, [[100, 100, 100, 100, 50]] * 200 + [[100] * 5] * 2, start=9 * ROUND)
    assert steps(told) == [(10, "s4", "opened"), (210, "s4", "closed")]


def test_what_gave_nothing_from_the_start_is_told_too() -> None:
    """Nobody's usual share is less than a tenth."""
    keys = rule(Quantity(20.0, "%"), above=10, relative=True, learns=64.0)
    assert steps(play(engine(keys, siblings(5)), [[100, 100, 100, 100, 0]] * 12)) == [(9, "s4", "opened")]


def test_what_was_learnt_survives_a_change_of_the_rule() -> None:
    """It is of the points, not of the limit."""
    before = engine(rule(Quantity(20.0, "%"), above=10, relative=True, learns=64.0), siblings(5))
    play(before, [[100, 50, 100, 100, 100]] * 10)
    after = engine(rule(Quantity(30.0, "%"), above=10, relative=True, learns=64.0), siblings(5), now=79.0)
    after.adopt(before)
    assert not after.learning()
    assert steps(play(after, [[100, 50, 100, 100, 50]] * 2, start=80.0)) == [(11, "s4", "opened")]


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"least": Quantity(0.0, "W")}, "least", "greater than 0"),
        ({"least": Quantity(5.0, "%")}, "least", 'above = "..."'),
        ({"least": Quantity(5.0, "%"), "above": Quantity(-1.0, "W")}, "least", 'above = "..."'),
        ({"relative": True}, "relative", 'above = "..."'),
    ],
)
def test_a_share_needs_something_that_it_is_of(keys: dict[str, Any], key: str, expected: str) -> None:
    """A share of nothing is nothing."""
    with pytest.raises(KeyMistake) as caught:
        rule(**keys)
    assert (caught.value.key, expected in caught.value.expected) == (key, True)


def test_siblings_measure_the_same_and_are_enough() -> None:
    """Told by `canary check`."""
    keys = rule()
    assert isinstance(keys, compare.Keys)
    assert compare.unfit(keys, siblings(4)) is None
    assert compare.unfit(keys, siblings(3)) == "3 points: each is compared with at least 3 others"
    mixed = [*siblings(4), point("t/x", "°C")]
    assert compare.unfit(keys, mixed) == "s0/x is in W and t/x in °C: siblings have one unit"
    assert compare.fits(point("s/state", type="text")) == "texts have no median"
    assert len(engine(keys, mixed)._watches) == 4
    assert not engine(keys, [])._watches


def test_rounds_are_long_enough_for_the_slowest() -> None:
    """At least two of its readings."""
    slow = [each._replace(every=60.0 if number else 10.0) for number, each in enumerate(siblings(4))]
    (watch, *_) = engine(rule(), slow)._watches
    assert isinstance(watch, compare.Sibling)
    assert watch.group.terms.within == 120.0


# ---------------------------------------------------------------- properties

odd: st.SearchStrategy[Outcome | None] = st.sampled_from(
    [None, NoValue("void"), float("nan"), "text", True, 10**400, 1e300, -1e300]
)
number = st.one_of(st.integers(90, 110), st.sampled_from([0, 50, 200]))
rows = st.lists(st.lists(st.one_of(number, number, number, odd), min_size=6, max_size=6), max_size=14)
plain = st.lists(st.lists(number, min_size=6, max_size=6), max_size=14)
RULES = [
    rule(least=5), rule(least=20, times=2.0, siblings=2), rule(Quantity(10.0, "%"), above=60, lasting=10.0, clear_lasting=10.0),
    rule(Quantity(10.0, "%"), above=60, relative=True, learns=60.0),
]  # fmt: skip


def slowly(keys: compare.Keys, rounds: Sequence[Sequence[float]]) -> list[tuple[int, str, str]]:
    """Each round by itself, as the theory says it; of siblings that all have a value."""
    told = []
    differs = [False] * len(rounds[0]) if rounds else []
    for number, values in enumerate(rounds[:-1]):
        well = [value for index, value in enumerate(values) if not differs[index]]
        median = statistics.median(well)
        mad = statistics.median(abs(value - median) for value in well) * NORMAL * FEW[len(well)]
        least = keys.least.value if keys.least.unit != "%" else keys.least.value / 100 * median
        allowed = max(keys.times * mad, least)
        now = list(differs)
        for index, value in enumerate(values):
            if len(well) - (not differs[index]) >= keys.siblings:
                now[index] = abs(value - median) > allowed * (CLEAR if differs[index] else 1)
                if now[index] != differs[index]:
                    told.append((number + 1, f"s{index}", "opened" if now[index] else "closed"))
        differs = now
    return told


@given(plain, st.sampled_from(RULES[:2]))
def test_it_tells_what_an_obvious_reading_tells(rounds: list[list[float]], keys: compare.Keys) -> None:
    """Median, deviation, and who is within it."""
    assert steps(play(engine(keys, siblings(6)), rounds)) == slowly(keys, rounds)


@given(rows, st.sampled_from(RULES))
def test_asleep_it_tells_what_it_tells_awake(rounds: list[list[Outcome | None]], keys: RuleKeys) -> None:
    """To be asked more often changes nothing; and nothing that is read raises."""
    awake = engine(keys, siblings(6))

    def wake() -> None:
        for watch in awake._watches:
            watch.low, watch.high = NOTHING
        for column in awake._columns.values():
            column.wake()

    assert play(awake, rounds, before=wake) == play(engine(keys, siblings(6)), rounds)


@given(rows, st.sampled_from(RULES), st.integers(0, 14), st.sampled_from([0.0, -64.0, 4096.0]))
def test_a_run_that_is_cut_by_a_restart_tells_the_same(
    rounds: list[list[Outcome | None]], keys: RuleKeys, cut: int, shift: float
) -> None:
    """Through JSON, onto a timeline that begins anew."""

    def bare(told: list[Change], shift: float = 0.0) -> list[tuple[Any, ...]]:
        return [(each.episode, each.phase, each.at - shift, each.since - shift, each.says, each.because) for each in told]

    whole = bare(play(engine(keys, siblings(6)), rounds))
    before = engine(keys, siblings(6))
    found = bare(play(before, rounds[:cut]))
    at = len(rounds[:cut]) * ROUND
    after = engine(keys, siblings(6), now=at + shift)
    after.restore(json.loads(json.dumps(before.state())), shift=shift)
    assert found + bare(play(after, rounds[cut:], start=at + shift), shift) == whole


@given(rows, st.sampled_from(RULES), st.sampled_from([-4096.0, 0.125, 1048576.0]))
def test_only_differences_of_times_mean_anything(rounds: list[list[Outcome | None]], keys: RuleKeys, shift: float) -> None:
    """Rounds begin with the first reading, not at some hour."""
    told = play(engine(keys, siblings(6), now=shift), rounds, start=shift)
    moved = [(each.episode, each.phase, each.at - shift, each.says) for each in told]
    assert moved == [(each.episode, each.phase, each.at, each.says) for each in play(engine(keys, siblings(6)), rounds)]


@given(
    plain,
    st.sampled_from([rule(Quantity(5.0, "W")), rule(Quantity(10.0, "%"), above=Quantity(64.0, "W"), relative=True, learns=60.0)]),
)
def test_scaling_a_unit_scales_limits_and_nothing_else(rounds: list[list[float]], keys: RuleKeys) -> None:
    """In W as in 1024ths of it."""

    def to_unit(amount: Quantity, unit: str, *, difference: bool = False) -> float:
        return amount.value * 1024 if unit == "small" else convert(amount, unit, difference=difference)

    small = Engine({"r": keys}, siblings(6, "small"), to_unit, 0.0)
    assert steps(play(small, [[value * 1024 for value in row] for row in rounds])) == steps(play(engine(keys, siblings(6)), rounds))


def test_time_that_the_hub_was_off_counts_for_nothing() -> None:
    """Neither as lasting nor for the round."""
    out = [[100, 100, 100, 100, 0]]
    for lasting, rounds in ((0.0, 1), (2.5 * ROUND, 4)):
        keys = rule(lasting=lasting)
        before, after = engine(keys, siblings(5)), engine(keys, siblings(5), now=10_000.0)
        assert not play(before, out)
        after.restore(json.loads(json.dumps(before.state())), off=10_000.0 - ROUND)
        told = play(after, out * 5, start=10_000.0)
        assert [(change.at, change.point.device) for change in told] == [(10_000.25 + (rounds - 1) * ROUND, "s4")]


def test_of_readings_that_come_fast_a_sample_is_taken() -> None:
    """Eight a round, however often the point is looked at."""
    asleep, awake = (engine(rule(least=5), siblings(6)) for _ in range(2))
    chance = random.Random(3)
    found: tuple[list[Change], list[Change]] = ([], [])
    for step in range(800):
        for number in range(6):
            level = 100 + 10 * (number == 5 and step % 300 > 150) + chance.choice([-4, 0, 4])
            batch = Batch(f"s{number}", step / 8 + number / 64, ("x",), (level,))
            for watch in awake._watches:
                watch.low, watch.high = NOTHING
            awake._columns[f"s{number}/x"].wake()
            found[0].extend(asleep.feed(batch))
            found[1].extend(awake.feed(batch))
    assert found[0] == found[1]
    assert len(found[0]) >= 3
    (watch, *_) = asleep._watches
    assert isinstance(watch, compare.Sibling)
    assert watch.group.members[0].count <= 8


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20).map(sorted))
def test_middle_and_spread_are_median_and_deviation(values: list[float]) -> None:
    """Of few values made as large as of many."""
    median = statistics.median(values)
    assert middle(values) == pytest.approx(median)
    factor = FEW.get(len(values), len(values) / (len(values) - 0.8))
    assert spread(values) == pytest.approx(NORMAL * factor * statistics.median(abs(value - median) for value in values))


def test_the_spread_of_few_normal_values_is_their_deviation_on_average() -> None:
    """The published factors, tried out."""
    chance = random.Random(2)
    for size in (3, 4, 5, 6, 7, 8, 9, 12):
        mean = statistics.fmean(spread(sorted(chance.gauss(0, 1) for _ in range(size))) for _ in range(4000))
        assert mean == pytest.approx(1, abs=0.05), size

"""The recent past: what evidence shows, and what it costs."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.contract import NoValue, Outcome
from gateway.diagnosis.contract import Evidence
from gateway.diagnosis.evidence import Sample, thin
from gateway.diagnosis.history import KEEP, LENGTHS, History

VOID = NoValue("void")
values = st.one_of(st.integers(-4000, 4000).map(lambda value: value / 4), st.sampled_from([VOID, "text", math.nan, math.inf, True]))
pasts = st.lists(st.tuples(st.sampled_from([1.0, 10.0, 10.0, 60.0, 900.0]), values), min_size=1, max_size=150)


def remember(past: list[tuple[float, Outcome]]) -> tuple[History, list[tuple[float, float]]]:
    """A history of one column, and the numbers among its readings."""
    history, at, numbers = History(1), 0.0, []
    for dt, value in past:
        at += dt
        history.add(at, (value,))
        if isinstance(value, (int, float)) and math.isfinite(value):
            numbers.append((at, float(value)))
    return history, numbers


def shown(evidence: Evidence) -> list[tuple[float, float]]:
    return [(evidence.from_at + i * evidence.every_s, float(v)) for i, v in enumerate(evidence.values) if v is not None]


@given(pasts, st.floats(0, 1, width=16))
def test_evidence_holds_the_extremes_and_nothing_that_was_not_read(past: list[tuple[float, Outcome]], share: float) -> None:
    """At most 60 values, least and greatest of its span among them, each of them read within a step of its place."""
    history, numbers = remember(past)
    since = share * sum(dt for dt, _ in past)
    evidence = history.evidence(0, "°C", since, since)
    if evidence is None:
        assert not numbers
        return
    assert len(evidence.values) <= 60
    span = [value for at, value in numbers if at >= evidence.from_at]
    assert (min(value for _, value in shown(evidence)), max(value for _, value in shown(evidence))) == (min(span), max(span))
    assert evidence.readings <= len(past)
    slack = evidence.every_s + (max(LENGTHS) if len(past) > KEEP else 0.0)
    for at, value in shown(evidence):
        assert any(abs(when - at) <= slack and number == value for when, number in numbers)


def test_a_short_past_is_shown_as_it_was_read() -> None:
    """The last readings, one by one, with a gap where there was no value."""
    history, _ = remember([(10.0, value) for value in (1.5, 2.5, VOID, 4.5)])
    assert history.evidence(0, "bar", 10.0, 10.0) == Evidence("bar", 10.0, 10.0, (1.5, 2.5, None, 4.5), 3)


def test_a_small_change_of_a_large_number_is_seen() -> None:
    """A leak of a litre an hour on a meter that stands at 123,456.789 m³."""
    history, _ = remember([(60.0, 123456.789 + 0.001 * minute / 60) for minute in range(600)])
    evidence = history.evidence(0, "m³", 60.0, 60.0)
    assert evidence
    rise = [round(value - 123456.789, 3) for _, value in shown(evidence)]
    assert rise == sorted(rise)
    assert len(set(rise)) == 11


def test_an_infinite_reading_spoils_none_of_its_neighbours() -> None:
    """It is no number; the others of its bucket are."""
    history, _ = remember([(60.0, math.inf if minute % 10 == 3 else float(minute)) for minute in range(200)])
    evidence = history.evidence(0, "", 6000.0, 12000.0)
    assert evidence
    assert None not in evidence.values
    assert max(value for _, value in shown(evidence)) == 199


def test_two_extremes_of_one_step_stay_within_a_step_of_their_place() -> None:
    """The earlier one goes ahead where it can, or the later one back."""
    slow = [Sample(100.0 * step, 1, 5.0, 5.0) for step in range(100)]
    early = thin([*slow[:50], Sample(4901.0, 1, 1.0, 1.0), Sample(4902.0, 1, 9.0, 9.0), *slow[50:]], "")
    assert early
    for value, at in ((1.0, 4901.0), (9.0, 4902.0)):
        (place,) = [when for when, number in shown(early) if number == value]
        assert abs(place - at) <= early.every_s
    both = thin([Sample(0.0, 1, 5.0, 5.0), Sample(140.0, 9, 1.0, 9.0), Sample(300.0, 1, 5.0, 5.0)], "")
    assert both
    assert sorted(value for _, value in shown(both)) == [1.0, 5.0, 9.0]
    assert all(abs(at - 140.0) <= both.every_s for at, value in shown(both) if value != 5.0)


@pytest.mark.parametrize(("age", "step"), [(0.0, 1.0), (1800.0, 180.0), (14400.0, 1800.0), (60000.0, 14400.0)])
def test_the_older_what_is_told_the_longer_the_steps(age: float, step: float) -> None:
    """Seconds for what has just happened, hours for what took days."""
    history, _ = remember([(1.0, float(second % 7)) for second in range(90_000)])
    evidence = history.evidence(0, "", 90_000 - age, 90_000)
    assert evidence
    assert evidence.every_s == step
    assert evidence.from_at <= 90_000 - 1.25 * age
    assert {0.0, 6.0} <= set(evidence.values)


def test_memory_is_constant() -> None:
    """A week is as large as three days."""
    history = History(3)
    sizes = []
    for second in range(0, 7 * 86400, 30):
        history.add(float(second), (1.0, 2.0, VOID))
        if second in (4 * 86400, 7 * 86400 - 30):
            sizes.append(sum(len(tier.lows) + len(tier.spreads) for tier in history._tiers) + len(history._rows))
    assert sizes[0] == sizes[1]


@given(pasts, st.integers(0, 150))
def test_a_history_goes_on_after_a_restart(past: list[tuple[float, Outcome]], cut: int) -> None:
    """Saved and recalled at any time, it shows the same."""
    whole, _ = remember(past)
    history, _ = remember(past[:cut])
    heir = History(1)
    heir.recall(history.memory(), 0.0)
    at = sum(dt for dt, _ in past[:cut])
    for dt, value in past[cut:]:
        at += dt
        heir.add(at, (value,))
    for since in (0.0, at / 2, at):
        assert heir.evidence(0, "", since, at) == whole.evidence(0, "", since, at)


def test_the_past_as_a_whole_is_in_order_and_holds_the_extremes_and_the_latest():
    """What `canary history` prints, and `canary replay` reads."""
    history = History(2)
    values = [(float(at), (math.sin(at / 500) * 10, float(at % 7))) for at in range(0, 40_000, 10)]
    for at, row in values:
        history.add(at, row)
    past = list(history.past())
    times = [at for at, _ in past]
    assert times == sorted(times)
    assert times[-1] == values[-1][0]
    for column in (0, 1):
        assert min(row[column] for _, row in past) == min(row[column] for _, row in values)
        assert max(row[column] for _, row in past) == pytest.approx(max(row[column] for _, row in values))

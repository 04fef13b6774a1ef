"""Remaining life by a learnt model: of a device as a whole, from several of its points."""

import json
import math
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from rules_of import engine, point, rule

import drivers
from drivers.contract import Batch, KeyMistake, NoValue, Outcome
from gateway.cli.learn import written
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Change, Phase
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.learning import History, UnlearnableError, learn
from gateway.diagnosis.life import Axes, Life, LifeModel, decode, solve

DAY = 86400.0
NAMES = ("heat", "hum", "load", "rattle", "constant")
LEANS = (1.0, -2.0, 0.5, 1.5, 0.0)  # what wear does to each
OWN = (40.0, 300.0, 7.0, 2.0, 55.0)


def unit(seed: int, life: int | None = None) -> History:
    """A made-up unit: wear grows faster and faster to its end; every point shows it under noise."""
    chance = random.Random(seed)
    life = life or chance.randint(90, 220)
    start = chance.uniform(0.0, 0.3)
    rows = []
    for day in range(life + 1):
        wear = start + 8.0 * math.exp((day - life) / 30.0)
        rows.append([own + lean * wear + chance.gauss(0, 0.4) for own, lean in zip(OWN, LEANS, strict=True)])
    return History([day * DAY for day in range(life + 1)], rows)


@cache
def model_text() -> str:
    return written(learn([unit(seed) for seed in range(24)], NAMES, "pump", "made up"))


def watching(**keys: object) -> Engine:
    return engine({"life": rule("trend", "p/*", **({"model": model_text()} | keys))}, *(point(f"p/{name}") for name in NAMES))


def batches(history: History, shift: float = 0.0) -> Iterator[Batch]:
    for at, row in zip(history.times, history.rows, strict=True):
        yield Batch("p", at + shift, NAMES, tuple(row))


def run(subject: Engine, history: History) -> list[Change]:
    return [change for each in batches(history) for change in subject.feed(each)]


@pytest.mark.parametrize("seed", range(100, 106))
def test_the_end_of_a_unit_that_was_never_seen_is_foretold(seed):
    """Told once or twice, 8 to 30 days ahead and within a third; nothing is told of a crossing of any limit."""
    history = unit(seed)
    told = run(watching(), history)
    first = told[0]
    left = history.life - first.at
    assert first.phase is Phase.OPENED
    assert 8 * DAY <= left <= 30 * DAY
    assert abs(first.forecast.in_s - left) <= left / 3
    assert len(told) <= 3
    assert {change.kind for change in told} == {"prediction"}


def test_a_moment_is_about_the_device_with_evidence_of_the_point_that_tells_most():
    """A person reads how much is left, why it is thought so, and how good such forecasts are."""
    first = run(watching(), unit(100))[0]
    assert first.says.startswith("p will reach the end of its life in about ")
    assert first.point.id == "p/hum"
    assert isinstance(first.value, float)
    assert first.evidence is not None
    assert "units of the model pump looked" in first.because
    assert "learnt from 24 units" in first.because
    assert first.episode == "life:p/*#1"


def test_eight_truths_in_ten_lie_within_the_told_interval():
    """Over all days of the last hundred of units that were never seen."""
    inside = []
    for seed in range(200, 215):
        history = unit(seed)
        subject = watching()
        for each in batches(history):
            subject.feed(each)
            left = history.life - each.at
            forecast = subject.forecasts(each.at)[0].forecast
            if 2 * DAY < left < 60 * DAY:
                inside.append(forecast.earliest_s <= left <= forecast.latest_s)
    assert 0.7 <= sum(inside) / len(inside) <= 0.92


def test_a_point_without_a_value_or_with_spikes_is_left_out():
    """The others tell enough: the date is nearly the same."""
    history = unit(101)
    plain, poor = watching(), watching()
    run(plain, history)
    chance = random.Random(1)
    for each in batches(history):
        row: list[Outcome] = list(each.values)
        if each.at > 60 * DAY:
            row[1] = NoValue("sensor open")
        elif chance.random() < 0.05:
            row[chance.randrange(4)] = 1e6
        poor.feed(Batch("p", each.at, NAMES, tuple(row)))
    (head,) = (watch for watch in poor._watches if watch.eyes)
    assert head.read == history.times[-1]
    assert not head.fresh, "a row is whole without the point that has no value"
    forecasts = [subject.forecasts(history.life)[0].forecast for subject in (plain, poor)]
    assert abs(forecasts[0].in_s - forecasts[1].in_s) < 4 * DAY


def test_points_of_one_unit_may_come_in_batches_of_their_own():
    """However a device is read, a row is what was read anew of all its points."""
    history = unit(102)
    together, apart = watching(), watching()
    run(together, history)
    for each in batches(history):
        apart.feed(Batch("p", each.at - 8.0, NAMES[:2], each.values[:2]))
        apart.feed(Batch("p", each.at, NAMES[2:], each.values[2:]))
    assert together.forecasts(history.life)[0].forecast == apart.forecasts(history.life)[0].forecast


def test_a_point_that_is_never_read_is_not_waited_for():
    """The next row ends the one before."""
    history = unit(102)
    subject = watching()
    told = []
    for each in batches(history):
        told += subject.feed(Batch("p", each.at, NAMES[1:], each.values[1:]))
    assert told
    assert abs(told[0].at + told[0].forecast.in_s - history.life) < 12 * DAY


def test_readings_that_come_much_faster_than_in_the_histories_are_thinned():
    """A model of daily rows is asked twice a day, not at every second; the forecast is as good."""
    history = unit(103, life=120)
    subject = watching()
    chance = random.Random(5)
    for at, row in zip(history.times, history.rows, strict=True):
        for hour in range(24):
            noisy = tuple(value + chance.gauss(0, 0.1) for value in row)
            subject.feed(Batch("p", at + hour * 3600.0, NAMES, noisy))
    (head,) = (watch for watch in subject._watches if watch.eyes)
    assert head.life._path._rows <= 2 * 122
    forecast = subject.forecasts(110 * DAY)[0].forecast
    assert forecast.in_s < 25 * DAY


def test_each_device_has_an_episode_of_its_own():
    """One rule for all pumps; what is no pump, or lacks a point of the model, is not watched."""
    points = [point(f"{device}/{name}") for device in ("p", "q") for name in NAMES] + [point("r/heat")]
    subject = engine({"life": rule("trend", "*/*", model=model_text())}, *points)
    assert [standing.point.device for standing in subject.forecasts(0.0)] == ["p", "q"]
    history = unit(104)
    for each in batches(history):
        subject.feed(each)
        subject.feed(Batch("q", each.at, NAMES, OWN))
    assert {each.point.device for each in subject.open_episodes()} == {"p"}


def test_a_rule_that_lacks_points_of_its_model_is_a_mistake():
    """It says which device, and which points."""
    kind = load_kind("trend")
    keys = rule("trend", "p/*", model=model_text())
    assert kind.unfit(keys, [point(f"p/{name}") for name in NAMES]) is None
    assert kind.unfit(keys, [point("p/heat")]) == "the model needs points of p that the rule does not cover: hum, load, rattle"


def test_what_is_no_model_is_refused_in_words():
    """Text, other JSON, lists that do not fit: one line, no traceback."""
    good = json.loads(model_text())
    for text in ("", "{}", "[1]", json.dumps(good | {"format": "canary-life-9"}), json.dumps(good | {"noise": good["noise"][1:]})):
        with pytest.raises(ValueError, match="this is no life model as `canary learn` writes them"):
            decode(text)
    for number in (0.0, -1.0):
        with pytest.raises(ValueError, match="do not fit each other"):
            decode(json.dumps(good | {"every_s": number}))
    with pytest.raises(KeyMistake, match="model: this is no life model"):
        rule("trend", model="{")


def test_a_point_that_hides_its_own_fault_is_found():
    """A spike on the very point that an axis leans on is not laid to another."""
    axes = Axes([0.0] * 4, [1.0] * 4, [[0.9, 0.3, 0.3, 0.1]])
    assert axes.position([3.0 * a for a in (0.9, 0.3, 0.3, 0.1)]) == pytest.approx([3.0])
    assert axes.position([50.0, 0.9, 0.9, 0.3]) == pytest.approx([3.0])
    assert axes.position([None, 0.9, 0.9, 0.3]) == pytest.approx([3.0])
    assert axes.position([None, None, None, 0.3]) is None


def test_a_singular_system_has_no_solution():
    assert solve([[1.0, 1.0], [1.0, 1.0]], [1.0, 2.0]) is None
    assert solve([[2.0, 1.0], [1.0, 3.0]], [3.0, 5.0]) == pytest.approx([0.8, 1.4])


def test_an_estimate_is_never_below_zero_nor_outside_its_interval():
    """However far a unit is from what the histories covered."""
    model = decode(model_text())
    width = len(model.mean)
    for size in (-1e12, -1.0, 0.0, 1.0, 1e12):
        left = model.remaining([size] * width)
        low, high = model.between(left)
        assert 0.0 <= low <= left <= high < math.inf
    assert model.remaining([1e12] * width) == model.remaining(model.high)


def test_the_model_of_turbofans_is_shipped_and_reads():
    """Its source is named in the file."""
    model = decode((Path(drivers.__file__).parent / "profiles" / "turbofan.json").read_text(encoding="utf-8"))
    assert isinstance(model, LifeModel)
    assert model.made_from.units == 60
    assert "NASA" in model.source


# ---------------------------------------------------------------- learning


def test_what_is_learnt_are_the_points_that_move_and_the_ways_they_move():
    """A constant is left out; one wear is one axis."""
    model = decode(model_text())
    assert model.points == ("heat", "hum", "load", "rattle")
    assert len(model.axes) == 1
    assert model.every_s == DAY
    assert model.made_from.held_out_rmse_s < 25 * DAY


def test_scaling_time_or_a_point_changes_nothing_but_the_units():
    """Learnt from the same lives in hours, with one point in thousandths: the same forecast, in hours."""

    def other(history: History) -> History:
        return History([at / 24 for at in history.times], [[row[0] * 1000, *row[1:]] for row in history.rows])

    model = decode(written(learn([other(unit(seed)) for seed in range(24)], NAMES, "pump")))
    mine = decode(model_text())
    assert model.made_from.held_out_rmse_s * 24 == pytest.approx(mine.made_from.held_out_rmse_s, rel=0.01)
    assert model.interval[3][1:] == pytest.approx(mine.interval[3][1:], rel=0.01)


@pytest.mark.parametrize("first", [50, 60, 70])
def test_what_is_said_of_a_model_does_not_flatter_it(first):
    """The error that is told of a model from few units is no less than on units that it has not seen."""
    model = decode(written(learn([unit(seed) for seed in range(first, first + 10)], NAMES, "pump")))
    squares = []
    for seed in range(300, 315):
        history = unit(seed)
        life, errors = Life(model), []
        for at, row in zip(history.times, history.rows, strict=True):
            left = life.add(at, row[:4])
            if history.life - at <= 1.1 * model.cap_s and at > 0.15 * model.cap_s:
                errors.append((left.left_s - (history.life - at)) ** 2)
        squares.append(sum(errors) / len(errors))
    true = math.sqrt(sum(squares) / len(squares))
    assert 0.95 * true < model.made_from.held_out_rmse_s < 2 * true


def test_too_few_histories_and_histories_without_wear_are_refused():
    """In one line that says what is wanted."""
    with pytest.raises(UnlearnableError, match=r"^9 histories are too few to learn from; it takes 10 units"):
        learn([unit(seed) for seed in range(9)], NAMES, "pump")
    with pytest.raises(UnlearnableError, match=r"^1 history is too few"):
        learn([unit(1)], NAMES, "pump")
    flat = History([day * DAY for day in range(100)], [[random.Random(day).gauss(0, 1)] * 3 for day in range(100)])
    with pytest.raises(UnlearnableError, match="no wear is to be seen"):
        learn([flat] * 12, NAMES[:3], "pump")

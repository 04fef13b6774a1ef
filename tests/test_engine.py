"""The engine: what it takes, what it gives, and what it keeps."""

import json
import random

import msgspec
import pytest
from rules_of import Story, batch, engine, every, point, rule

import gateway.diagnosis
from drivers.contract import Batch, NoValue
from gateway.diagnosis.contract import RuleKeys

HOT = rule("threshold", "*/a", above=5)


def test_every_kind_is_found_in_its_folder() -> None:
    """No list of kinds to keep: a file is a kind."""
    assert {"threshold", "silent", "stuck", "rate"} <= set(gateway.diagnosis.kinds())


@pytest.mark.parametrize("kind", gateway.diagnosis.kinds())
def test_every_kind_has_what_the_engine_and_the_config_ask_for(kind: str) -> None:
    """Keys with a description each, a reason why it does not fit, watches, and a page of theory."""
    module = gateway.diagnosis.load_kind(kind)
    assert issubclass(module.Keys, RuleKeys)
    for field in msgspec.json.schema(module.Keys)["$defs"]["Keys"]["properties"].keys() - {"severity", "lasting"}:
        assert "description" in msgspec.json.schema(module.Keys)["$defs"]["Keys"]["properties"][field], field
    assert callable(module.fits)
    assert callable(module.watches)
    assert {"Claims", "Assumes", "Method", "Sleeps"} <= set(module.__doc__.split())


def test_a_kind_that_is_not_there_is_named_with_those_that_are() -> None:
    """Whoever asks can tell the person what to write."""
    with pytest.raises(LookupError, match=r"treshold.*threshold"):
        gateway.diagnosis.load_kind("treshold")


def test_one_rule_covers_a_shop() -> None:
    """Globs choose points by device and name; each has its own episode."""
    subject = engine({"hot": HOT}, "f-1/a", "f-2/a", "f-2/b")
    told = [
        change
        for device, names in (("f-1", ("a",)), ("f-2", ("a", "b")))
        for change in subject.feed(Batch(device, 1.0, names, tuple(9 for _ in names)))
    ]
    assert [change.episode for change in told] == ["hot:f-1/a#1", "hot:f-2/a#1"]


def test_the_same_fault_again_is_another_episode() -> None:
    """Numbered, so that a case is never mixed up with the next."""
    assert [change.episode for change in Story(rule("threshold", above=5)).read(every(1, [6, 4, 6])).told] == [
        "r0:d/x#1",
        "r0:d/x#1",
        "r0:d/x#2",
    ]


def test_what_no_rule_knows_is_taken_and_shown() -> None:
    """A batch of an unknown device is left aside; an unknown point of a known one has a last value for views."""
    subject = engine({"hot": HOT}, "d/a")
    assert not subject.feed(Batch("stranger", 1.0, ("a",), (9,)))
    assert not subject.feed(batch(1.0, b=7))
    assert subject.last("d/b") == (7, 1.0)
    assert subject.last("d/a") is None
    assert subject.last("stranger/a") is None


def test_the_last_value_is_the_newest_whatever_shape_it_came_in() -> None:
    """Adverts bring a point alone or among others."""
    subject = engine({}, "d/a", "d/b")
    for each in (batch(1.0, a=1, b=2), batch(2.0, a=3), batch(3.0, b=4), batch(4.0, b=5, a=NoValue("void"))):
        subject.feed(each)
    assert subject.last("d/a") == (NoValue("void"), 4.0)
    assert subject.last("d/b") == (5, 4.0)


def test_what_an_episode_is_about_is_shown_by_what_was_read_since() -> None:
    """Not by what was read before, or before a restart; nor by no value, nor by one that is well and has not lasted yet."""
    rules = {"hot": rule("threshold", "d/a", above=5, clear_lasting=10.0), "quiet": rule("silent", "e/state", after=10.0)}
    points = ("d/a", "d/state", "e/b", "e/state")
    subject = engine(rules, *points)
    hot, quiet = "hot:d/a#1", "quiet:e/state#1"
    subject.feed(batch(1.0, a=6))
    subject.feed(Batch("e", 2.0, ("state",), ("mute",)))
    subject.feed(batch(20.0, a=6))
    assert [each.episode for each in subject.open_episodes()] == [hot, quiet]
    assert [subject.is_shown(hot, since) for since in (20.0, 20.5)] == [True, False]
    assert subject.is_shown(quiet, 1000.0), "a state is told when it changes"
    subject.feed(batch(21.0, a=4))
    assert not subject.is_shown(hot, 20.0)
    subject.feed(batch(22.0, a=6))
    subject.feed(batch(23.0, a=NoValue("void")))
    assert not subject.is_shown(hot, 20.0)
    subject.feed(batch(24.0, a=6))
    subject.feed(batch(25.0, state="mute"))
    assert not subject.is_shown(hot, 20.0)
    after = engine(rules, *points, now=30.0)
    after.restore(json.loads(json.dumps(subject.state(history=False))))
    assert len(after.open_episodes()) == 2
    assert [after.is_shown(each, 0.0) for each in (hot, quiet)] == [False, False]
    after.feed(batch(31.0, a=6))
    after.feed(Batch("e", 32.0, ("state",), ("parked",)))
    assert [after.is_shown(each, 31.0) for each in (hot, quiet)] == [True, True]
    assert not after.is_shown("hot:d/a#2", 0.0), "which has never been told"


def test_a_batch_that_is_shorter_or_longer_than_its_points_does_not_raise() -> None:
    """What is missing is missing, what is too much is dropped."""
    subject = engine({"hot": HOT, "fast": rule("rate", "*/?", rises=1)}, "d/a", "d/b")
    points = ("a", "b")
    told = [
        change for at, values in enumerate([(1,), (9, 1, 1), (), (9, 9)]) for change in subject.feed(Batch("d", at, points, values))
    ]
    assert [(change.rule_id, change.at) for change in told if change.phase.value == "opened"] == [
        ("hot", 1),
        ("fast", 1),
        ("fast", 3),
    ]
    assert subject.last("d/b") == (9, 3)


def test_readings_are_counted_and_late_batches_too() -> None:
    """The condensation is a figure worth showing."""
    subject = engine({"hot": HOT}, "d/a", "d/b")
    for each in (batch(1.0, a=1, b=2), batch(2.0, a=1, b=2), batch(1.5, a=9, b=9), batch(2.0, a=9, b=9)):
        assert not subject.feed(each)
    assert (subject.readings, subject.late) == (4, 2)


@pytest.mark.slow
def test_deadlines_do_not_pile_up() -> None:
    """However often a point goes to and fro, its rules have a few entries in the heap, not one for each time."""
    rules = [
        rule("threshold", above=5, lasting=100.0),
        rule("stuck", lasting=400.0),
        rule("silent"),
        rule("rate", rises=2, within=50.0),
    ]
    story = Story(*rules)
    chance = random.Random(7)
    story.read(every(1, [chance.choice([4, 6, 6.5]) for _ in range(5000)]))
    assert len(story.engine._due) <= 3 * len(rules)


def test_nothing_to_do_is_never() -> None:
    """Whoever sets a timer by `next_due` needs none then."""
    subject = engine({"hot": HOT}, "d/a")
    assert subject.next_due == float("inf")
    assert not subject.tick(1e9)


# ---------------------------------------------------------------- another config


def test_a_reload_keeps_what_stands_and_ends_what_no_rule_stands_for() -> None:
    """Open episodes of rules that stay go on under their names; those of a rule that is gone are closed, and say why."""
    rules = {"hot": HOT, "hotter": rule("threshold", "*/a", above=7), "wet": rule("threshold", "*/b", above=5)}
    before = engine(rules, "d/a", "d/b")
    before.feed(batch(1.0, a=9, b=9))
    after = engine({"hot": HOT, "hotter": rule("threshold", "*/a", above=8)}, "d/a", now=5.0)
    closed = after.adopt(before)
    assert [(change.episode, change.phase.value, change.how) for change in closed] == [("wet:d/b#1", "closed", "no longer watched")]
    assert [each.episode for each in after.open_episodes()] == ["hot:d/a#1", "hotter:d/a#1"]
    told = [change for at, a in ((6.0, 9), (7.0, 7.5), (8.0, 9)) for change in after.feed(batch(at, a=a))]
    assert [(change.episode, change.phase.value) for change in told] == [("hotter:d/a#1", "closed"), ("hotter:d/a#2", "opened")]


def test_what_a_changed_rule_had_not_told_yet_is_judged_anew() -> None:
    """Time that was waited for one limit counts nothing for another."""
    before = engine({"hot": rule("threshold", "*/a", above=5, lasting=10.0)}, "d/a")
    before.feed(batch(1.0, a=7))
    after = engine({"hot": rule("threshold", "*/a", above=6, lasting=10.0)}, "d/a", now=5.0)
    after.adopt(before)
    told = [change for at in (6.0, 12.0, 16.0) for change in after.feed(batch(at, a=7))]
    assert [change.at for change in told] == [16.0]


def test_state_of_another_version_is_refused() -> None:
    """Better to begin anew than to misread."""
    with pytest.raises(ValueError, match="version 99"):
        engine({}, "d/a").restore({"version": 99})


def test_the_small_state_is_small() -> None:
    """What must be saved every minute is a few bytes for each rule that has something to remember, and none for the others."""
    rules = {
        "hot": rule("threshold", "*/*", above=500),
        "mute": rule("silent", "*/*"),
        "still": rule("stuck", "*/*", tolerance=1000),
    }
    names = [f"p{number}" for number in range(50)]
    subject = engine(rules, *(f"d/{name}" for name in names))
    for at in range(1, 100):
        subject.feed(Batch("d", at, tuple(names), tuple(float(at) for _ in names)))
    assert len(json.dumps(subject.state(history=False))) < 50 * 100


def test_a_point_list_that_moves_between_kinds_of_value_is_followed() -> None:
    """Number, text, number, flag: whatever comes, the rules that can judge it do."""
    story = Story(rule("threshold", above=5), rule("stuck", lasting=3.0))
    story.read(every(1, [6, "off", "off", "off", "off", 6, 6, 6, 6, True, True, True, True, "off", 7]))
    assert [(change.rule_id, change.at, change.phase.value) for change in story.told] == [
        ("r0", 1, "opened"),
        ("r1", 5, "opened"),
        ("r1", 6, "closed"),
        ("r1", 9, "opened"),
        ("r0", 10, "closed"),
        ("r1", 10, "closed"),
        ("r1", 13, "opened"),
        ("r1", 14, "closed"),
        ("r0", 15, "opened"),
    ]


def test_points_keep_their_types_apart() -> None:
    """A rule on everything leaves out what it cannot judge."""
    subject = engine({"hot": rule("threshold", "d/*", above=0)}, "d/a", point("d/state", type="text"))
    assert [watch.point.id for watch in subject._watches] == ["d/a"]

"""What the hub knows survives a restart: nothing opens twice, nothing open is forgotten, and little is written."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from drivers.contract import Batch
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import PointInfo, Quantity
from gateway.diagnosis.engine import Engine
from gateway.saved_state import BUDGET, SavedState, Stamp
from gateway.scratch import Scratch
from gateway.store import Store

WALL = datetime(2026, 1, 1, tzinfo=UTC)
POINTS = [PointInfo(f"d/{name}", "d", name, "°C", name, "d") for name in ("a", "b")]
RULES = {
    "warm": load_kind("threshold").Keys(kind="threshold", on=("d/*",), above=Quantity(10.0, "°C")),
    "quiet": load_kind("silent").Keys(kind="silent", on=("d/*",), after=60.0),
}
NAMES = ("a", "b")


def engine(now=0.0):
    return Engine(RULES, POINTS, convert, now)


def stamp(at, wall=None, timeline="boot-1"):
    return Stamp(timeline, at, wall)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield store


def feed(engine, at, *values):
    return [change.phase.value for change in engine.feed(Batch("d", at, NAMES, values))]


def reopened(store, before, now):
    """An engine that goes on from what was saved."""
    saved = SavedState(store).load()
    shift, off = saved.stamp.until(now)
    after = engine(now.at)
    told = after.restore(saved.engine, shift=shift, off=off)
    assert not told
    assert [one.episode for one in after.open_episodes()] == [one.episode for one in before.open_episodes()]
    return after


def test_an_open_episode_is_not_opened_again_and_is_closed_in_the_end(store):
    before = engine()
    assert feed(before, 1.0, 20, 5) == ["opened"]
    SavedState(store).save(before.state(history=False, calm=False), stamp(2.0))
    after = reopened(store, before, stamp(30.0))
    assert feed(after, 31.0, 20, 5) == []
    assert feed(after, 32.0, 5, 5) == ["closed"]
    assert feed(after, 33.0, 20, 5) == ["opened"]


def test_times_are_shifted_onto_the_timeline_of_a_machine_that_restarted(store):
    before = engine(10_000.0)
    feed(before, 10_001.0, 20, 5)
    SavedState(store).save(before.state(history=False, calm=False), stamp(10_001.0, WALL))
    now = stamp(7.0, WALL + timedelta(hours=1), "boot-2")
    after = reopened(store, before, now)
    (episode,) = after.open_episodes()
    assert now.at - episode.since == pytest.approx(3600.0)
    assert feed(after, 8.0, 20, 5) == []


@pytest.mark.parametrize(
    ("then", "now"), [(None, WALL), (WALL, None), (WALL, WALL - timedelta(days=9))], ids=["then", "now", "backwards"]
)
def test_where_the_clock_cannot_be_trusted_the_hub_goes_on_as_if_it_had_not_been_off(then, now):
    shift, off = stamp(100.0, then).until(stamp(5.0, now, "boot-2"))
    assert (shift, off) == (-95.0, 0.0)


def test_time_off_is_no_silence(store):
    before = engine()
    feed(before, 1.0, 5, 5)
    SavedState(store).save(before.state(history=False, calm=False), stamp(2.0))
    after = reopened(store, before, stamp(5000.0))
    assert list(after.tick(5050.0)) == []
    assert [change.phase.value for change in after.tick(5100.0)] == ["opened", "opened"]


def test_only_what_changed_is_written(store):
    saved, one = SavedState(store), engine()
    feed(one, 1.0, 20, 5)
    assert saved.save(one.state(history=False, calm=False), stamp(2.0)) > 0
    for at in range(3, 60):
        feed(one, float(at), 20, 5)
        assert saved.save(one.state(history=False, calm=False), stamp(at + 0.5)) == 0
    feed(one, 60.0, 5, 5)
    assert saved.save(one.state(history=False, calm=False), stamp(61.0)) > 0


def plain(entries, now=0.0):
    return {
        "version": 2,
        "now": now,
        "voids": {},
        "telling": {},
        "plans": [],
        "rules": {"learns": {"kind": "anomaly", "keys": "x", "points": entries}},
    }


def learnt(at, number=100):
    """What so many points have learnt by then; 1.1 kB each, 0.6 kB packed."""
    luck = random.Random(at)
    return {f"d/p{point:03}": {"memory": [round(luck.random(), 3) for _ in range(200)]} for point in range(number)}


def entries(store):
    return SavedState(store).load().engine["rules"]["learns"]["points"]


def test_what_is_learnt_is_saved_at_once_when_it_is_new_and_then_in_turns_so_that_the_card_lasts(store):
    """Every ten minutes some of it, and in the end all; also where the hub is restarted in between."""
    saved = SavedState(store)
    saved.save(plain(learnt(0)), stamp(0.0))
    assert entries(store) == learnt(0)
    at, written = 0.0, []
    while entries(store) != learnt(1):
        at += 60.0
        written.append(saved.save(plain(learnt(1)), stamp(at)))
        if at == 1500.0:
            saved = SavedState(store)
            saved.load()
        assert at < 4 * 3600.0
    assert written[8] == 0
    assert 10 < written[9] < 2 * BUDGET / 600
    assert sum(written) < 140  # the restart does not begin anew with those that have had their turn
    assert not saved.save(plain(learnt(1)), stamp(at + 6000.0))


def test_a_little_that_is_learnt_is_saved_each_minute(store):
    saved = SavedState(store)
    for minute in range(5):
        saved.save(plain(learnt(minute, number=1)), stamp(60.0 * minute))
        assert entries(store) == learnt(minute, number=1)


def after_a_kill(store, folder, kept_at=120.0):
    """What is known of a hundred points that had been saved to the disk at 0 s, and a minute and two later to the scratch file."""
    saved = SavedState(store, Scratch(folder))
    saved.save(plain(learnt(0)), stamp(0.0, WALL))
    for at in (60.0, kept_at):
        saved.save(plain(learnt(at)), stamp(at, WALL + timedelta(seconds=at)))
    return SavedState(store, Scratch(folder)).load()


def test_what_waits_for_its_turn_survives_a_kill_in_memory(store, tmp_path):
    after = after_a_kill(store, tmp_path)
    assert after.engine["rules"]["learns"]["points"] == learnt(120.0)
    assert after.stamp == stamp(120.0, WALL + timedelta(seconds=120))
    assert entries(store) == learnt(0), "a power cut empties the scratch file"


def test_what_came_back_from_memory_is_still_saved_in_its_turn(store, tmp_path):
    after_a_kill(store, tmp_path)
    saved = SavedState(store, Scratch(tmp_path))
    saved.load()
    saved.save(plain(learnt(120.0)), stamp(180.0), all_of_it=True)
    assert entries(store) == learnt(120.0)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda store, file: file.write_bytes(file.read_bytes()[:-1]),
        lambda store, file: file.write_bytes(b""),
        lambda store, file: store.execute(
            "UPDATE saved SET value = replace(value, '\"at\":0.0', '\"at\":9e9') WHERE part = 'head'"
        ),
        lambda store, file: store.execute("UPDATE saved SET value = replace(value, 'boot-1', 'boot-2') WHERE part = 'head'"),
        lambda store, file: setattr(store, "generation", "OTHER1"),
    ],
    ids=["torn", "empty", "older than the disk", "of another boot", "of another store"],
)
def test_a_scratch_file_that_does_not_fit_is_not_read(store, tmp_path, spoil):
    after_a_kill(store, tmp_path)
    spoil(store, tmp_path / "learnt")
    after = SavedState(store, Scratch(tmp_path)).load()
    assert after.engine["rules"]["learns"]["points"] == learnt(0)


def test_a_scratch_file_that_cannot_be_written_costs_nothing_else(store, tmp_path):
    after = after_a_kill(store, tmp_path / "nowhere")
    assert after.engine["rules"]["learns"]["points"] == learnt(0)


def test_what_is_told_does_not_wait_and_takes_along_what_it_rests_upon_and_the_end_waits_for_nothing(store):
    saved = SavedState(store)
    saved.save(plain(learnt(0)), stamp(0.0))
    told = {"d/p099": {"episode": {"state": "open"}, **learnt(1)["d/p099"]}}
    assert saved.save(plain(learnt(1) | told), stamp(1.0)) == 2
    assert entries(store) == learnt(0) | told
    assert saved.save(plain(learnt(2) | {"d/p099": {**told["d/p099"], **learnt(2)["d/p099"]}}), stamp(2.0)) == 0
    assert saved.save(plain(learnt(1)), stamp(3.0)) == 1
    assert entries(store) == learnt(0) | {"d/p099": learnt(1)["d/p099"]}
    saved.save(plain(learnt(2)), stamp(4.0), all_of_it=True)
    assert entries(store) == learnt(2)


def test_what_has_changed_on_the_disk_of_what_was_learnt_of_one_point_costs_that(store):
    saved = SavedState(store)
    saved.save(plain(learnt(0)), stamp(0.0))
    with store.transaction():
        ((content,),) = store.execute("SELECT value FROM saved WHERE part = 'learnt learns d/p007'").fetchall()
        content = content[:100] + bytes([content[100] ^ 16]) + content[101:]
        store.execute("UPDATE saved SET value = ? WHERE part = 'learnt learns d/p007'", (content,))
    assert entries(store) == {point: entry for point, entry in learnt(0).items() if point != "d/p007"}


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"format": 99}', b'{"format": 1}', b"null"])
def test_state_that_cannot_be_read_is_a_value_error(store, damage):
    one = engine()
    feed(one, 1.0, 20, 5)
    SavedState(store).save(one.state(history=False, calm=False), stamp(2.0))
    with store.transaction():
        store.execute("UPDATE saved SET value = ? WHERE part = 'head'", (damage,))
    with pytest.raises(ValueError, match=r"format|damaged"):
        SavedState(store).load()


def test_a_save_whose_transaction_failed_is_made_good_by_the_next(store):
    saved, one = SavedState(store), engine()
    feed(one, 1.0, 20, 5)
    state = one.state(history=False, calm=False)
    with pytest.raises(RuntimeError), store.transaction():
        saved.save(state, stamp(2.0))
        raise RuntimeError
    saved.distrust()
    assert saved.save(state, stamp(3.0)) > 0
    assert SavedState(store).load().engine["rules"]

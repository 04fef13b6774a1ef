"""What the hub knows survives a restart: nothing opens twice, nothing open is forgotten, and little is written."""

from datetime import UTC, datetime, timedelta

import pytest

from drivers.contract import Batch
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import PointInfo, Quantity
from gateway.diagnosis.engine import Engine
from gateway.saved_state import BUDGET, SavedState, Stamp
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


def test_what_is_learnt_is_saved_in_turns_so_that_the_card_lasts(store):
    saved = SavedState(store)
    large = {f"d/p{number}": {"memory": [number] * 400} for number in range(100)}
    first = saved.save(plain(large), stamp(0.0))
    assert first * 800 < 3 * BUDGET
    rounds = 1
    while saved.save(plain(large), stamp(float(rounds))):
        rounds += 1
        assert rounds < 50
    assert SavedState(store).load().engine["rules"]["learns"]["points"] == large


def test_episodes_do_not_wait_for_their_turn_and_the_end_waits_for_nothing(store):
    saved = SavedState(store)
    large = {f"d/p{number}": {"memory": [number] * 400} for number in range(100)}
    told = {"d/open": {"episode": {"state": 1}}}
    saved.save(plain(large | told), stamp(0.0))
    assert "d/open" in SavedState(store).load().engine["rules"]["learns"]["points"]
    saved.save(plain(large | told), stamp(1.0), all_of_it=True)
    assert SavedState(store).load().engine["rules"]["learns"]["points"] == large | told


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

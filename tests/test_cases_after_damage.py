"""A case that was open when the store was damaged keeps its number, and no number is given twice."""

import os
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.outbox import Outbox
from gateway.service.case import FORGOTTEN, Cases
from gateway.store import PAGE, SET_ASIDE, Store

from moments_of import moment

OPEN = 120


def lived(path: Path) -> dict[str, str]:
    """A store with open cases by episode, after many that have been closed."""
    with Store.open(path) as store:
        Outbox(store).put(*map(moment, range(30)))
        cases = Cases(store, "hub-0042")
        with store.transaction():
            for number in range(500):
                cases.of(f"closed#{number}")
                cases.close(f"closed#{number}")
            return {f"rule:machine-{number}/level": cases.of(f"rule:machine-{number}/level#{number}") for number in range(OPEN)}


def hit(path: Path, at: int, garbage: bytes) -> None:
    content = bytearray(path.read_bytes())
    at = at % (len(content) // PAGE) * PAGE or PAGE
    content[at : at + len(garbage)] = garbage
    path.write_bytes(content)


def found_again(store: Store, places: dict[str, str]) -> dict[str, str]:
    """The diagnosis counts from one again and finds the same trouble."""
    cases = Cases(store, "hub-0042")
    with store.transaction():
        return {place: cases.of(f"{place}#1") for place in places}


def test_trouble_that_is_found_again_in_a_damaged_store_goes_on_under_its_number(tmp_path):
    path = tmp_path / "canary.db"
    was = lived(path)
    content = path.read_bytes()
    rows = [
        at for at in range(PAGE, len(content), PAGE) if content[at] == 13
    ]  # pages with rows of a table with such a key: moments
    hit(path, rows[3] // PAGE, os.urandom(PAGE))
    with Store.open(path) as store:
        assert store.set_aside
        assert found_again(store, was) == was
        assert f"{OPEN} open cases go on under their numbers" in store.recall(SET_ASIDE)
        assert Cases(store, "hub-0042").of("rule:machine-7/level#2") not in was.values()


@settings(max_examples=15, deadline=None)
@given(page=st.integers(1, 100), garbage=st.binary(min_size=8, max_size=PAGE))
def test_whatever_page_is_lost_no_number_is_given_twice(tmp_path_factory, page, garbage):
    """Of the cases that are still there each goes on under its own number, and all others have numbers that nobody has heard of."""
    path = tmp_path_factory.mktemp("store") / "canary.db"
    was = lived(path)
    with Store.open(path) as store:
        offset = store.execute("SELECT offset FROM next_case").fetchone()
    hit(path, page, garbage)
    with Store.open(path) as store:
        now = found_again(store, was)
        assume(store.execute("SELECT offset FROM next_case").fetchone() == offset)  # else it is drawn by lot, and one in a million
        assert len(set(now.values())) == OPEN
        for place, number in now.items():
            assert number == was[place] or number not in was.values()


def test_one_lost_page_costs_few_numbers(tmp_path):
    path = tmp_path / "canary.db"
    was = lived(path)
    content = path.read_bytes()
    (at, *_) = [at for at in range(PAGE, len(content), PAGE) if content[at] == 10 and b"machine-50/" in content[at : at + PAGE]]
    hit(path, at // PAGE, os.urandom(PAGE))
    with Store.open(path) as store:
        assert store.set_aside
        now = found_again(store, was)
    assert OPEN > sum(now[place] == was[place] for place in was) > OPEN - 30


@pytest.mark.parametrize("first", [Cases, Outbox])
def test_each_part_takes_its_own_from_a_damaged_file_also_after_a_crash_in_between(tmp_path, first):
    path = tmp_path / "canary.db"
    was = lived(path)
    hit(path, 5, os.urandom(PAGE))
    with Store.open(path) as store:
        assert store.set_aside
        first(store, "hub-0042") if first is Cases else first(store)  # and it is killed here
    for _ in range(2):
        with Store.open(path) as store:
            outbox = Outbox(store)
            found_again(store, was)
            assert outbox.stats().rows > 15
            store.keep_damaged()
    assert [file.name for file in tmp_path.iterdir() if "corrupt" in file.name] == ["canary.db.corrupt"]


def test_numbers_that_a_lost_end_of_the_log_may_have_held_are_left_out(tmp_path):
    """What was given there, somebody may have heard of."""
    path, copy = tmp_path / "canary.db", tmp_path / "copy.db"
    lived(path)
    with Store.open(path) as store:
        cases = Cases(store, "hub-0042")
        with store.transaction():
            given_then = [cases.of(f"new#{number}") for number in range(100)]
        count, offset = store.execute("SELECT count, offset FROM next_case").fetchone()
        log = bytearray(Path(f"{path}-wal").read_bytes())
        log[32 + 24 + 600] ^= 1
        copy.write_bytes(path.read_bytes())
        Path(f"{copy}-wal").write_bytes(log)
    with Store.open(copy) as store:
        cases = Cases(store, "hub-0042")
        with store.transaction():
            assert not {cases.of(f"other#{number}") for number in range(500)} & set(given_then)
        (after,) = store.execute("SELECT count FROM next_case WHERE offset = ?", (offset,)).fetchone()
        assert after == count - 100 + FORGOTTEN + 500

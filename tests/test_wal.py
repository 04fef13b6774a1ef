"""What a crash leaves of a log is told from what damage leaves of it: only after damage does a store begin another generation."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway import wal
from gateway.moments import from_wire
from gateway.outbox import Outbox
from gateway.store import PAGE, SET_ASIDE, Store

from moments_of import moment

FRAME = wal.FRAME_HEAD + PAGE


class Left(NamedTuple):
    """The files of a store as they lay there while it was open. `fresh` is a log whose next round had just begun."""

    database: bytes
    log: bytes
    fresh: bytes
    ids: list[str]


@pytest.fixture(scope="module")
def left(tmp_path_factory) -> Left:
    """Five commits in the second round of a log, of which there are frames of the first one behind them."""
    path = tmp_path_factory.mktemp("store") / "canary.db"
    log = Path(f"{path}-wal")
    with Store.open(path, generation=lambda: "FIRST") as store:
        outbox = Outbox(store)
        outbox.put(*(moment(number, says="x" * 900) for number in range(40)))
        outbox.ack(range(1, 41))
        store.execute("PRAGMA wal_checkpoint(PASSIVE)")
        for number in range(5):
            outbox.put(moment(number), moment(number + 10, says="y" * 500))
        database, content = path.read_bytes(), log.read_bytes()
        ids = [from_wire(entry.wire).id for entry in outbox.peek(99)]
        store.execute("PRAGMA wal_checkpoint(PASSIVE)")
        outbox.put(moment(99))
        return Left(database, content, log.read_bytes(), ids)


def commits(log: bytes) -> list[int]:
    """Where the frames of the present round begin that end a commit."""
    frames = range(wal.HEAD, len(log), FRAME)
    return [at for at in frames if log[at + 8 : at + 16] == log[16:24] and any(log[at + 4 : at + 8])]


def opened(folder: Path, left: Left, log: bytes) -> tuple[str, list[str], list[str]]:
    """A store with this log: its generation, the ids that wait in it, and the ids that are given then, twice."""
    path = folder / "canary.db"
    path.write_bytes(left.database)
    Path(f"{path}-wal").write_bytes(log)
    new = []
    for start in range(2):
        with Store.open(path, generation=lambda: "SECOND") as store:
            assert not store.set_aside
            outbox = Outbox(store)
            assert bool(store.recall(SET_ASIDE)) == (store.generation == "SECOND")  # which the hub tells
            if not start:
                generation, kept = store.generation, [from_wire(entry.wire).id for entry in outbox.peek(99)]
            assert store.generation == generation
            outbox.put(moment(200 + start))
            new.append(from_wire(outbox.peek(99)[-1].wire).id)
    return generation, sorted(kept), new


def test_a_log_that_is_whole_keeps_the_generation(tmp_path, left):
    assert opened(tmp_path, left, left.log) == ("FIRST", sorted(left.ids), [f"hub-0042/FIRST/000000{n}" for n in (51, 52)])


@pytest.mark.parametrize("behind", ["nothing", "an earlier round"])
def test_frames_of_a_transaction_that_was_not_committed_keep_the_generation(tmp_path, left, behind):
    """As a kill leaves them: what had been committed is there, and its numbers go on."""
    last, before = commits(left.log)[-1], commits(left.log)[-2]
    assert last > before + 3 * FRAME
    log = left.log[:last] + (b"" if behind == "nothing" else left.fresh[-FRAME:] + left.log[last + FRAME :])
    assert log[last + 8 : last + 12] != log[16:20]
    assert opened(tmp_path, left, log) == ("FIRST", sorted(left.ids[:8]), [f"hub-0042/FIRST/000000{n}" for n in (49, 50)])


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_a_round_whose_first_transaction_was_not_committed_keeps_the_generation(tmp_path, left, frames):
    """Its head is there and perhaps a frame; what lies behind is of the round before, and in the database by now."""
    assert commits(left.fresh)[0] >= wal.HEAD + 3 * FRAME
    begun = wal.HEAD + frames * FRAME
    whole = Path(tmp_path, "whole.db")
    whole.write_bytes(left.database)
    Path(f"{whole}-wal").write_bytes(left.log)
    with closing(sqlite3.connect(whole)) as connection:  # copies the log into the database when it closes
        connection.execute("SELECT count(*) FROM moment")
    later = left._replace(database=whole.read_bytes())
    log = left.fresh[:begun] + left.log[begun:]
    assert opened(tmp_path, later, log) == ("FIRST", sorted(left.ids), [f"hub-0042/FIRST/000000{n}" for n in (51, 52)])


@pytest.mark.parametrize("reached", [0, 300])
def test_a_commit_whose_last_page_is_not_whole_begins_another_generation(tmp_path, left, reached):
    """Nobody can say whether it was: a kill between head and page looks like this, and so does a card that has forgotten it."""
    begins = commits(left.log)[-1] + wal.FRAME_HEAD + reached
    log = left.log[:begins] + bytes(PAGE - reached) + left.log[commits(left.log)[-1] + FRAME :]
    assert opened(tmp_path, left, log) == ("SECOND", sorted(left.ids[:8]), [f"hub-0042/SECOND/0000000{n}" for n in (1, 2)])


@pytest.mark.parametrize("byte", range(wal.HEAD))
def test_a_log_whose_head_is_damaged_begins_another_generation(tmp_path, left, byte):
    log = bytearray(left.log)
    log[byte] ^= 4
    generation, _, new = opened(tmp_path, left, bytes(log))
    assert generation == "SECOND"
    assert not set(new) & set(left.ids)


@pytest.mark.parametrize("byte", range(8, 16))
def test_a_last_commit_that_seems_to_be_of_another_round_begins_another_generation(tmp_path, left, byte):
    log = bytearray(left.log)
    log[commits(left.log)[-1] + byte] ^= 4
    generation, kept, _ = opened(tmp_path, left, bytes(log))
    assert (generation, kept) == ("SECOND", sorted(left.ids[:8]))


def test_another_generation_is_begun_once(tmp_path, left):
    """Also where the next crash leaves a log, behind whose beginning the damaged frames would still lie."""
    log = bytearray(left.log)
    log[commits(left.log)[1] + wal.FRAME_HEAD] ^= 4
    path, copy = tmp_path / "canary.db", tmp_path / "copy.db"
    path.write_bytes(left.database)
    Path(f"{path}-wal").write_bytes(log)
    with Store.open(path, generation=lambda: "SECOND") as store:
        Outbox(store).put(moment())
        for suffix in ("", "-wal"):
            Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    with Store.open(copy, generation=lambda: "THIRD") as store:
        assert (store.generation, Outbox(store).put(moment())) == ("SECOND", [2])


def test_a_log_that_the_disk_does_not_give_back_counts_as_damaged():
    """Every read of it fails with an input/output error, as those of this file do. What is to be done SQLite says."""
    assert wal.torn(Path("/proc/self/mem"))


def read_by_sqlite(folder: Path, left: Left, log: bytes) -> int:
    """How many frames: it says so when it copies them."""
    path = folder / "read.db"
    path.write_bytes(left.database)
    Path(f"{path}-wal").write_bytes(log)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]


@settings(max_examples=100, deadline=None)
@given(frame=st.integers(0, 59), byte=st.integers(0, 60) | st.integers(0, FRAME - 1), bits=st.integers(1, 255))
def test_of_all_that_can_change_in_a_log_what_sqlite_forgets_is_seen_and_nothing_else(tmp_path_factory, left, frame, byte, bits):
    """One byte, anywhere: in the heads of frames as often as in their pages, and in those of earlier rounds."""
    folder = tmp_path_factory.mktemp("log")
    log, whole = bytearray(left.log), (commits(left.log)[-1] - wal.HEAD) // FRAME + 1
    assert len(log) >= wal.HEAD + 60 * FRAME > wal.HEAD + (whole + 10) * FRAME
    begins = wal.HEAD + frame * FRAME
    log[begins + byte] ^= bits
    # A commit that does not look like one any more, and a frame of an earlier round that has come to look like one of this.
    assume(any(log[begins + 4 : begins + 8]) == any(left.log[begins + 4 : begins + 8]))
    assume(frame < whole or log[begins + 8 : begins + 12] != log[16:20])
    Path(folder, "log").write_bytes(log)
    assert wal.torn(folder / "log") == (read_by_sqlite(folder, left, bytes(log)) < whole)


@pytest.mark.parametrize("length", [0, 10, wal.HEAD, wal.HEAD + 5, wal.HEAD + FRAME - 1])
def test_a_log_that_has_just_been_begun_is_judged_by_its_head(tmp_path, left, length):
    Path(tmp_path, "log").write_bytes(left.log[:length])
    assert wal.torn(tmp_path / "log") == (0 < length < wal.HEAD)
    assert not wal.torn(tmp_path / "none")

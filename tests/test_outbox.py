import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.moments import from_wire, rank, to_wire
from gateway.outbox import Outbox
from gateway.store import DiskFullError, Store, StoreBusyError, StoreError

from moments_of import moment


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "canary.db"


@pytest.fixture
def store(path):
    with Store.open(path) as store:
        yield store


def cases(outbox) -> list[str]:
    """What waits, by the part of the case number that `moment(number)` set."""
    return [from_wire(entry.wire).data.case.removeprefix("hub-0042-") for entry in outbox.peek(10**6)]


# ---------------------------------------------------------------- the four verbs


def test_moments_are_numbered_from_1_and_come_out_in_the_order_in_which_they_went_in(store):
    outbox = Outbox(store)
    assert outbox.put(moment(10)) == [1]
    assert outbox.put(moment(11), moment(12)) == [2, 3]
    read = [from_wire(entry.wire) for entry in outbox.peek(10)]
    assert [each.id for each in read] == [f"hub-0042/{store.generation}/0000000{number}" for number in (1, 2, 3)]
    assert [each.data.seq for each in read] == [entry.seq for entry in outbox.peek(10)] == [1, 2, 3]
    assert cases(outbox) == ["10", "11", "12"]


def test_peek_leaves_out_what_is_on_its_way_and_changes_nothing(store):
    outbox = Outbox(store)
    outbox.put(*map(moment, range(5)))
    assert [entry.seq for entry in outbox.peek(2)] == [1, 2]
    assert [entry.seq for entry in outbox.peek(2, without=[1, 3])] == [2, 4]
    assert [entry.seq for entry in outbox.peek(9)] == [1, 2, 3, 4, 5]


def test_only_what_is_acknowledged_is_deleted(store):
    outbox = Outbox(store)
    outbox.put(*map(moment, range(5)))
    outbox.ack([2, 4, 99])
    outbox.ack([2])
    assert cases(outbox) == ["0", "2", "4"]
    assert outbox.stats().rows == 3


def test_what_the_broker_refuses_for_good_is_counted(store):
    outbox = Outbox(store)
    outbox.put(moment(), moment())
    outbox.ack([1], refused=True)
    outbox.ack([1, 7], refused=True)
    assert (outbox.stats().rows, outbox.stats().dropped) == (1, {"refused": 1})


def test_stats_tell_how_much_waits_and_since_when(store):
    outbox = Outbox(store)
    assert outbox.stats() == (0, 0, 0, None, {})
    outbox.put(moment(), moment())
    stats = outbox.stats()
    assert (stats.rows, stats.seq, stats.oldest) == (2, 2, moment().time)
    assert stats.bytes == sum(len(entry.wire) for entry in outbox.peek(9))


# ---------------------------------------------------------------- bounds


def test_when_it_is_full_the_least_important_go_first_and_the_oldest_among_equals(store):
    outbox = Outbox(store, max_rows=4)
    outbox.put(moment(1, severity="critical"), moment(2, kind="digest"), moment(3), moment(4, severity="info"))
    outbox.put(moment(5))
    assert cases(outbox) == ["1", "3", "4", "5"]
    outbox.put(moment(6), moment(7))
    assert cases(outbox) == ["1", "5", "6", "7"]
    assert outbox.put(moment(8, kind="digest")) == [8]
    assert cases(outbox) == ["1", "5", "6", "7"]
    assert outbox.stats().dropped == {"full": 4}


def test_it_is_bounded_in_bytes(path, store):
    outbox = Outbox(store, max_bytes=40_000)
    for number in range(150):
        outbox.put(moment(number, says="x" * (number * 37 % 2000)))
        assert outbox.stats().bytes <= 40_000
    stats = outbox.stats()
    assert stats.rows + stats.dropped["full"] == 150
    assert path.stat().st_size <= 48_000 + 16 * 1024


def test_drops_are_still_counted_after_a_restart(path):
    for _ in range(3):
        with Store.open(path) as store:
            outbox = Outbox(store, max_rows=1)
            outbox.put(moment(), moment())
    with Store.open(path) as store:
        assert Outbox(store).stats().dropped == {"full": 5}


class OutboxIsAList(RuleBasedStateMachine):
    """Whatever is done in whatever order, the outbox is a plain list of numbered moments."""

    @initialize(rows=st.integers(1, 12), limit=st.integers(3000, 12000))
    def begin(self, rows, limit):
        self.path = Path(self.folder) / f"{next(self.names)}.db"
        self.bounds = {"max_rows": rows, "max_bytes": limit}
        self.model, self.seq, self.dropped = [], 0, 0
        self.open()

    def open(self):
        self.store = Store.open(self.path, generation=lambda: "TEST")
        self.outbox = Outbox(self.store, **self.bounds)

    @rule(made=st.lists(st.tuples(st.sampled_from(["critical", "warning", "info"]), st.integers(0, 3000)), max_size=6))
    def put(self, made):
        made = [moment(severity=severity, says="x" * length) for severity, length in made]
        seqs = self.outbox.put(*made)
        assert seqs == list(range(self.seq + 1, self.seq + 1 + len(made)))
        self.seq += len(made)
        for each, seq in zip(made, seqs, strict=True):
            wire = next((entry.wire for entry in self.outbox.peek(99) if entry.seq == seq), None)
            size = len(to_wire(each)) + len("hub-0042/TEST/00000001") + len("TEST") + len(str(seq)) - 1
            assert wire is None or len(wire) == size
            self.model.append((seq, rank(each), size))
        while len(self.model) > self.bounds["max_rows"] or sum(size for *_, size in self.model) > self.bounds["max_bytes"]:
            self.model.remove(max(self.model, key=lambda entry: (entry[1], -entry[0])))
            self.dropped += 1

    @rule(data=st.data())
    def ack(self, data):
        gone = data.draw(st.sets(st.integers(0, self.seq + 1), max_size=6))
        self.outbox.ack(gone)
        self.model = [entry for entry in self.model if entry[0] not in gone]

    @rule(limit=st.integers(0, 9), data=st.data())
    def peek(self, limit, data):
        without = data.draw(st.sets(st.integers(0, self.seq + 1), max_size=6))
        expected = [seq for seq, *_ in self.model if seq not in without][:limit]
        assert [entry.seq for entry in self.outbox.peek(limit, without)] == expected

    @precondition(lambda self: self.seq)
    @rule()
    def reopen(self):
        self.store.close()
        self.open()

    @rule()
    def fail(self):
        """A transaction that fails leaves no trace."""
        with pytest.raises(ZeroDivisionError), self.store.transaction():
            self.outbox.put(moment(), moment())
            self.outbox.ack([seq for seq, *_ in self.model])
            _ = 1 / 0

    @invariant()
    def same(self):
        if not hasattr(self, "outbox"):
            return
        assert [entry.seq for entry in self.outbox.peek(99)] == [seq for seq, *_ in self.model]
        stats = self.outbox.stats()
        assert (stats.rows, stats.bytes, stats.seq) == (len(self.model), sum(size for *_, size in self.model), self.seq)
        assert stats.dropped.get("full", 0) == self.dropped

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()


def test_the_outbox_equals_a_plain_list_under_random_put_peek_ack_and_reopen(tmp_path):
    import itertools

    from hypothesis.stateful import run_state_machine_as_test

    OutboxIsAList.folder, OutboxIsAList.names = tmp_path, itertools.count()
    run_state_machine_as_test(OutboxIsAList, settings=settings(max_examples=25, stateful_step_count=20, deadline=None))


# ---------------------------------------------------------------- what can go wrong

WRITER = """
import sys; sys.path[:0] = {paths!r}
from pathlib import Path
from moments_of import moment
from gateway.outbox import Outbox
from gateway.store import Store
outbox = Outbox(Store.open(Path({path!r})))
number = 0
while True:
    seqs = outbox.put(*(moment(number + more) for more in range(number % 3 + 1)))
    number += len(seqs)
    print(*seqs, flush=True)
"""


@pytest.mark.slow
def test_what_put_has_returned_survives_sigkill(path):
    """A process that puts as fast as it can is killed at three moments of its life."""
    told: list[int] = []
    for lines in (1, 30, 200):
        script = WRITER.format(path=str(path), paths=[str(Path(__file__).parent), str(Path(__file__).parent.parent)])
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
            for _ in range(lines):
                told += map(int, writer.stdout.readline().split())
            writer.kill()
            # What was put before the kill and not read from the pipe yet; the last line may be half.
            rest = writer.stdout.read()
            for line in rest[: rest.rfind("\n") + 1].splitlines():
                told += map(int, line.split())
        with Store.open(path) as store:
            stored = [entry.seq for entry in Outbox(store).peek(10**6)]
        assert stored[: len(told)] == told
        assert stored == list(range(1, len(stored) + 1))
        assert len(stored) <= len(told) + 3  # at most one put had not been told
        told = stored


def test_what_put_has_returned_is_on_the_disk_and_not_in_the_process(path, store, tmp_path):
    """A copy of the files as they lie there has it: nothing waits for a close."""
    outbox = Outbox(store)
    outbox.put(*map(moment, range(3)))
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    with Store.open(copy) as other:
        assert cases(Outbox(other)) == ["0", "1", "2"]
    assert store.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: the log is synced at each commit


def test_a_full_disk_changes_nothing_and_heals(store):
    outbox = Outbox(store)
    outbox.put(moment(1))
    (pages,) = store.execute("PRAGMA page_count").fetchone()
    store.execute(f"PRAGMA max_page_count = {pages + 8}")
    with pytest.raises(DiskFullError, match="make space"):
        outbox.put(*(moment(number, says="x" * 4000) for number in range(2, 9)))
    assert (cases(outbox), outbox.stats().seq) == (["1"], 1)
    outbox.ack([1])
    store.execute("PRAGMA max_page_count = 1000000")
    assert outbox.put(moment(2)) == [2]
    assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_a_full_file_system_changes_nothing_and_heals(path):
    """The same in a process that may not write beyond a size: the kernel says no, not SQLite."""
    script = f"""
import resource, signal, sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from pathlib import Path
from moments_of import moment
from gateway.outbox import Outbox
from gateway.store import Store, StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Store.open(Path({str(path)!r})) as store:
    outbox = Outbox(store)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    put = 0
    try:
        while True:
            outbox.put(moment(put, says="x" * 1000)); put += 1
    except StoreError as error:
        assert "disk" in str(error), error
    assert outbox.stats().seq == put > 10
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert outbox.put(moment(put)) == [put + 1]
    print(put + 1)
"""
    put = int(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout)
    with Store.open(path) as store:
        assert cases(Outbox(store)) == [str(number) for number in range(put)]


def damaged(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "no database":
        content = bytearray(os.urandom(5000))
    elif how == "overwritten":
        content[4096:8192] = os.urandom(4096)
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["no database", "overwritten", "cut short"])
def test_a_corrupt_file_is_set_aside_and_ids_do_not_repeat(path, how):
    ids = set()
    generations = set()
    for round_ in range(3):
        with Store.open(path) as store:
            assert bool(store.set_aside) == (round_ > 0)
            outbox = Outbox(store)
            assert outbox.put(*map(moment, range(20)))[0] == 1
            ids |= {from_wire(entry.wire).id for entry in outbox.peek(99)}
            generations.add(store.generation)
        damaged(path, how)
        if round_ == 0:
            Path(f"{path}-wal").write_bytes(b"a log of that file")
    assert (len(ids), len(generations)) == (60, 3)
    assert [file.name for file in path.parent.iterdir() if "corrupt" in file.name] == ["canary.db.corrupt"]


def test_ids_do_not_repeat_when_the_file_is_lost(path):
    generations = set()
    for _ in range(3):
        with Store.open(path) as store:
            generations.add(store.generation)
        path.unlink()
    assert len(generations) == 3


def test_a_restart_goes_on_counting(path):
    for round_ in range(3):
        with Store.open(path) as store:
            outbox = Outbox(store)
            assert outbox.put(moment()) == [round_ + 1]
            outbox.ack([round_ + 1])  # an empty outbox counts on, too


def test_a_second_hub_on_the_same_file_is_refused(path, store):
    Outbox(store).put(moment())
    with pytest.raises(StoreBusyError, match="running already"):
        Store.open(path)


def test_a_folder_that_cannot_be_used_is_one_line_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be used: .*check `\[hub\] state`"):
        Store.open(tmp_path / "file" / "canary.db")


def test_a_file_of_a_newer_release_is_left_alone(path):
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer release"):
        Store.open(path)
    assert path.exists()


def test_it_may_be_used_from_any_thread(store):
    """Puts from several threads at once get numbers without a gap or a double."""
    outbox = Outbox(store)
    seqs: list[int] = []
    threads = [threading.Thread(target=lambda: [seqs.extend(outbox.put(moment(), moment())) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seqs) == list(range(1, 161))
    assert [entry.seq for entry in outbox.peek(999)] == sorted(seqs)

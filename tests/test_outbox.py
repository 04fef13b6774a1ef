import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.clock import VirtualClock
from gateway.lifetime import Lifetime
from gateway.moments import CLASSES, from_wire, rank, to_wire
from gateway.outbox import EXPIRY, LOOK, Outbox
from gateway.store import PAGE, SET_ASIDE, DiskFullError, Store, StoreBusyError, StoreError

from moments_of import moment

START_OF_VIRTUAL_TIME = datetime(2026, 1, 1, tzinfo=UTC)


class Rebooted(VirtualClock):
    """The clock of a machine that was started at some time, or (None) has no idea when."""

    def __init__(self, started: datetime | None) -> None:
        super().__init__(started or START_OF_VIRTUAL_TIME)
        self.timeline = "another"
        self._synced = started is not None

    def synced(self):
        return self._synced


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "canary.db"


@pytest.fixture
def store(path):
    with Store.open(path) as store:
        yield store


def waiting(outbox) -> list[int]:
    """The places of all that waits, in the order in which they were put."""
    with outbox._store.transaction():
        return [seq for (seq,) in outbox._store.execute("SELECT seq FROM moment ORDER BY seq")]


def cases(outbox) -> list[str]:
    """What waits, in that order, by the part of the case number that `moment(number)` set."""
    with outbox._store.transaction():
        wires = outbox._store.execute("SELECT wire FROM moment ORDER BY seq").fetchall()
    return [from_wire(wire).data.case.removeprefix("hub-0042-") for (wire,) in wires]


def sent(outbox) -> list[str]:
    """The same in the order in which it is sent, as by an uplink that sends one after the other. Empties the outbox."""
    order = []
    while entries := outbox.peek(1):
        order.append(from_wire(entries[0].wire).data.case.removeprefix("hub-0042-"))
        outbox.ack([entries[0].seq])
    return order


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


def test_the_most_important_goes_first_and_the_oldest_among_equals(store):
    outbox = Outbox(store)
    outbox.put(moment(1, kind="digest"), moment(2, severity="info"), moment(3), moment(4, severity="critical"), moment(5))
    outbox.put(moment(6, severity="critical"))
    assert sent(outbox) == ["4", "6", "3", "5", "2", "1"]


def test_one_of_a_case_is_on_its_way_at_a_time(store):
    """So that the order within a case holds also where a broker takes the second and, for now, not the first."""
    outbox = Outbox(store)
    outbox.put(moment(7), moment(8), moment(7), moment(9), moment(8))
    assert [entry.seq for entry in outbox.peek(9)] == [1, 2, 4]
    assert [entry.seq for entry in outbox.peek(9, without=[1])] == [2, 4]
    outbox.ack([1, 2])
    assert [entry.seq for entry in outbox.peek(9, without=[4])] == [3, 5]


def test_what_a_case_has_waiting_goes_before_what_is_urgent_about_it(store):
    """It opened as a warning among a thousand others and became critical: both go now, in this order."""
    outbox = Outbox(store)
    outbox.put(*map(moment, range(10)))
    outbox.put(moment(7, severity="critical", phase="worsened"))
    assert sent(outbox)[:3] == ["7", "7", "0"]


def test_what_is_fresh_is_given_with_what_must_go_before_it(store):
    outbox = Outbox(store)
    outbox.put(*(moment(number, severity="critical") for number in range(20)))
    since = outbox.stats().seq
    assert outbox.peek(9, since=since) == []
    outbox.put(moment(99), moment(5, phase="closed"))
    assert [entry.seq for entry in outbox.peek(9, since=since)] == [6, 21]
    assert [entry.seq for entry in outbox.peek(3, without=[6, 21])] == [1, 2, 3]
    outbox.ack([6])
    assert [entry.seq for entry in outbox.peek(9, since=since)] == [21, 22]


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
    outbox.ack([1], refused="Payload format invalid")
    outbox.ack([1, 7], refused="Payload format invalid")
    assert (outbox.stats().rows, outbox.stats().dropped) == (1, {"refused": 1})


def test_the_last_that_were_refused_are_kept_for_support(store):
    outbox = Outbox(store)
    outbox.put(*map(moment, range(30)))
    outbox.ack(range(1, 26), refused="Payload format invalid")
    kept = store.execute("SELECT seq, reason, wire FROM refused ORDER BY seq").fetchall()
    assert [seq for seq, *_ in kept] == list(range(16, 26))
    assert kept[0][1] == "Payload format invalid"
    assert from_wire(kept[0][2]).data.case == "hub-0042-15"


def test_stats_tell_how_much_waits_and_since_when(store):
    outbox = Outbox(store)
    assert outbox.stats() == (0, 0, 0, None, {}, {})
    outbox.put(moment(1), moment(2))
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


def test_a_moment_waits_as_long_as_its_class_may(store):
    """What is about a limit has gone stale at one time, good news at another; what has expired is not sent, and counted."""
    at = 0.0
    outbox = Outbox(store, keep={"critical": 900.0, "warning": 300.0, "digest": 100.0}, now=lambda: at)
    outbox.put(moment(1, severity="critical"), moment(2), moment(3, severity="info"), moment(4, kind="digest"))
    at = 200.0
    outbox.put(moment(5), moment(6, kind="digest"))
    at = 350.0
    assert [entry.seq for entry in outbox.peek(9)] == [1, 5, 3]
    assert outbox.stats().dropped == {}  # not yet
    at = EXPIRY
    outbox.put(moment(7))
    assert cases(outbox) == ["3", "7"]
    assert outbox.stats().dropped == {"expired": 5}


def test_what_has_waited_too_long_is_counted_though_nothing_is_put(store):
    """A quiet hub that was offline for days puts nothing: whoever asks how the outbox is doing hears of it all the same."""
    at = 0.0
    outbox = Outbox(store, keep={"warning": 300.0}, now=lambda: at)
    outbox.put(*map(moment, range(3)), moment(3, severity="info"))
    at = EXPIRY
    stats = outbox.stats()
    assert (stats.rows, stats.dropped, stats.untold) == (1, {"expired": 3}, {"expired": 3})
    assert stats.bytes == len(outbox.peek(9)[0].wire)
    assert Outbox(store).stats().dropped == {"expired": 3}


def test_a_disk_that_takes_nothing_keeps_nobody_from_asking_how_the_outbox_is_doing(store):
    """What has waited too long is counted when it takes something again."""
    at = 0.0
    outbox = Outbox(store, keep={"warning": 300.0}, now=lambda: at)
    outbox.put(*map(moment, range(300)))
    log = Path(f"{store.path}-wal")
    at = EXPIRY
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, limits[1]))  # Python ignores the signal
    try:
        stats = outbox.stats()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (stats.rows, stats.dropped) == (300, {})
    at = 2 * EXPIRY
    stats = outbox.stats()
    assert (stats.rows, stats.dropped) == (0, {"expired": 300})


def test_when_it_is_full_what_is_on_its_way_goes_last_of_equals(store):
    """It would arrive, and be told as dropped."""
    outbox = Outbox(store, max_rows=5)
    outbox.put(*map(moment, range(5)))
    assert [entry.seq for entry in outbox.peek(2)] == [1, 2]
    assert [entry.seq for entry in outbox.peek(1, without=[1, 2])] == [3]
    outbox.put(moment(5), moment(6))
    assert cases(outbox) == ["0", "1", "2", "5", "6"]
    outbox.put(moment(7), moment(8), moment(9))
    assert cases(outbox) == ["0", "1", "2", "8", "9"]
    outbox.put(*(moment(number, severity="critical") for number in range(10, 14)))
    assert cases(outbox) == ["2", "10", "11", "12", "13"]  # no further than that: what matters more stays


def test_what_has_waited_too_long_hides_nothing_that_has_not(store):
    """Deleting it waits for the next put, which may be long in coming on a quiet hub."""
    now = [0.0]
    outbox = Outbox(store, keep={"warning": 100.0}, now=lambda: now[0])
    outbox.put(*map(moment, range(LOOK + 1)))
    outbox.put(moment(5000, severity="info"))
    now[0] = 200.0
    assert [entry.seq for entry in outbox.peek(10)] == [LOOK + 2]


def test_a_restart_makes_nothing_younger(path):
    """Also one of the machine, whose own time begins anew: what it was off counts where the wall clock is trusted."""
    clock = VirtualClock()
    with Store.open(path) as store:
        clock.advance(500.0)
        lifetime = Lifetime(store, clock)
        assert lifetime.now() == 0.0
        clock.advance(1000.0)
        lifetime.save()
        clock.advance(100.0)
    rebooted = Rebooted(START_OF_VIRTUAL_TIME + timedelta(seconds=5500))
    for later, age in ((clock, 1100.0), (rebooted, 5000.0), (Rebooted(None), 1000.0)):
        with Store.open(path) as store:
            assert Lifetime(store, later).now() == age


def test_drops_are_told_once(path):
    """The moment that tells them and the note that they were told are one transaction."""
    with Store.open(path) as store:
        outbox = Outbox(store, max_rows=2)
        outbox.put(*map(moment, range(5)), missed=4)
        untold = outbox.stats().untold
        assert untold == {"full": 3, "disk full": 4}
        with pytest.raises(ZeroDivisionError), store.transaction():
            outbox.put(moment(9, severity="critical"), tells=untold)
            _ = 1 / 0
        assert outbox.stats().untold == untold
        outbox.put(moment(9, severity="critical"), tells=untold)
    with Store.open(path) as store:
        stats = Outbox(store).stats()
        assert (stats.dropped, stats.untold) == ({"full": 4, "disk full": 4}, {"full": 1})


def test_it_is_bounded_in_bytes(path, store):
    outbox = Outbox(store, max_bytes=40_000)
    for number in range(150):
        outbox.put(moment(number, says="x" * (number * 37 % 2000)))
        assert outbox.stats().bytes <= 40_000
    stats = outbox.stats()
    assert stats.rows + stats.dropped["full"] == 150
    assert path.stat().st_size <= 52_000 + 20 * 1024


def test_drops_are_still_counted_after_a_restart(path):
    for _ in range(3):
        with Store.open(path) as store:
            outbox = Outbox(store, max_rows=1)
            outbox.put(moment(), moment())
    with Store.open(path) as store:
        assert Outbox(store).stats().dropped == {"full": 5}


KEEP = {"critical": 9 * EXPIRY, "warning": 2 * EXPIRY, "info": EXPIRY}


class Waiting(NamedTuple):
    seq: int
    rank: int
    case: str
    size: int
    at: float


class OutboxIsAList(RuleBasedStateMachine):
    """Whatever is done in whatever order, the outbox is a plain list of numbered moments."""

    @initialize(rows=st.integers(1, 12), limit=st.integers(3000, 12000))
    def begin(self, rows, limit):
        self.path = Path(self.folder) / f"{next(self.names)}.db"
        self.bounds = {"max_rows": rows, "max_bytes": limit, "keep": KEEP, "now": lambda: self.now}
        self.model, self.seq, self.dropped, self.now = [], 0, Counter(), 0.0
        self.open()

    def open(self):
        self.store = Store.open(self.path, generation=lambda: "TEST")
        self.outbox = Outbox(self.store, **self.bounds)
        self.expiry, self.on_their_way = 0.0, set()

    @rule(
        made=st.lists(
            st.tuples(
                st.integers(0, 4),
                st.sampled_from(["critical", "warning", "info"]),
                st.sampled_from(["opened", "worsened"]),
                st.integers(0, 3000),
            ),
            max_size=6,
        )
    )
    def put(self, made):
        made = [moment(case, severity=severity, phase=phase, says="x" * length) for case, severity, phase, length in made]
        self.stored(made, self.outbox.put(*made))

    def stored(self, made, seqs):
        assert seqs == list(range(self.seq + 1, self.seq + 1 + len(made)))
        self.seq += len(made)
        self.expire()
        for each, seq in zip(made, seqs, strict=True):
            size = len(to_wire(each)) + len("hub-0042/TEST/00000001") + len("TEST") + len(str(seq)) - 1
            self.model.append(Waiting(seq, rank(each), each.data.case, size, self.now))
        for each in made:  # after all of them are in, as in one transaction
            if each.data.phase == "worsened":
                self.model = [
                    entry._replace(rank=min(entry.rank, rank(each))) if entry.case == each.data.case else entry
                    for entry in self.model
                ]
        while len(self.model) > self.bounds["max_rows"] or sum(entry.size for entry in self.model) > self.bounds["max_bytes"]:
            self.model.remove(max(self.model, key=lambda entry: (entry.rank, entry.seq not in self.on_their_way, -entry.seq)))
            self.dropped["full"] += 1

    def expire(self):
        """Deleting what has expired happens now and then; the oldest of a class that has not hides what lies behind it."""
        if self.now < self.expiry:
            return
        self.expiry = self.now + EXPIRY
        for importance in range(4):
            for entry in [entry for entry in self.model if entry.rank == importance]:
                if not self.expired(entry):
                    break
                self.model.remove(entry)
                self.dropped["expired"] += 1

    def expired(self, entry):
        return self.now - entry.at >= KEEP.get(CLASSES[entry.rank], float("inf"))

    @rule()
    def stats(self):
        """It may be asked at any time, and by what it counts what has expired is deleted, too."""
        self.outbox.stats()
        self.expire()

    @rule(seconds=st.sampled_from([1.0, EXPIRY / 2, EXPIRY * 3]))
    def wait(self, seconds):
        self.now += seconds

    @rule(data=st.data())
    def ack(self, data):
        gone = data.draw(st.sets(st.integers(0, self.seq + 1), max_size=6))
        self.outbox.ack(gone)
        self.model = [entry for entry in self.model if entry.seq not in gone]

    @rule(limit=st.integers(0, 9), data=st.data())
    def peek(self, limit, data):
        without = data.draw(st.sets(st.integers(0, self.seq + 1), max_size=3))
        since = data.draw(st.none() | st.integers(0, self.seq + 1))
        busy = {entry.case for entry in self.model if entry.seq in without}
        fresh = {entry.case for entry in self.model if since is None or entry.seq > since}
        expected = []
        for entry in sorted(self.model, key=lambda entry: (entry.rank, entry.seq)):
            if entry.case in fresh and entry.case not in busy and not self.expired(entry):
                expected.append(entry)
                busy.add(entry.case)
        given = self.outbox.peek(limit, without, since=since)
        self.on_their_way = {*without, *(entry.seq for entry in given)}
        assert [(entry.seq, len(entry.wire)) for entry in given] == [(entry.seq, entry.size) for entry in expected[:limit]]

    @precondition(lambda self: self.seq)
    @rule()
    def reopen(self):
        self.store.close()
        self.open()

    @precondition(lambda self: self.seq)
    @rule()
    def kill(self):
        """The process is gone, and its files are as they lie there."""
        left = self.path
        self.path = left.with_name(f"{next(self.names)}.db")
        for suffix in ("", "-wal"):
            Path(f"{self.path}{suffix}").write_bytes(Path(f"{left}{suffix}").read_bytes())
        self.store.close()
        self.open()

    @rule(room=st.integers(0, 12))
    def full(self, room):
        """A disk with room for so many pages takes all of it or nothing; then there is space again."""
        (pages,) = self.store.execute("PRAGMA page_count").fetchone()
        self.store.execute(f"PRAGMA max_page_count = {pages + room}")
        made = [moment(case, says="x" * 2000) for case in range(3)]
        try:
            seqs = self.outbox.put(*made)
        except DiskFullError:
            self.expiry = max(self.expiry, self.outbox._expiry)
        else:
            self.stored(made, seqs)
        self.store.execute("PRAGMA max_page_count = 1000000000")

    @rule()
    def fail(self):
        """A transaction that fails leaves no trace."""
        with pytest.raises(ZeroDivisionError), self.store.transaction():
            self.outbox.put(moment(phase="worsened"), moment(), missed=3, tells=self.outbox.stats().untold)
            self.outbox.ack([entry.seq for entry in self.model], refused="for a try")
            _ = 1 / 0
        self.expiry = max(self.expiry, self.outbox._expiry)  # what it looked through it will not look through again at once

    @invariant()
    def same(self):
        if not hasattr(self, "outbox"):
            return
        assert waiting(self.outbox) == [entry.seq for entry in self.model]
        if self.now >= self.expiry:
            return  # to be asked would change it: that is `stats` above
        stats = self.outbox.stats()
        assert (stats.rows, stats.bytes, stats.seq) == (len(self.model), sum(entry.size for entry in self.model), self.seq)
        assert stats.dropped == stats.untold == self.dropped

    def teardown(self):
        if hasattr(self, "store"):
            self.store.close()


def test_the_outbox_equals_a_plain_list_under_random_put_peek_ack_reopen_kill_full_and_expire(tmp_path):
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
number = {first}
while True:
    made = range(number, number + number % 3 + 1)
    outbox.put(*map(moment, made))
    print(*made, flush=True)
    number += len(made)
"""


@pytest.mark.slow
def test_what_put_has_returned_survives_sigkill(path):
    """A process that puts as fast as it can is killed at three moments of its life: nothing is lost, and no id is there twice."""
    told: list[str] = []
    for lines in (1, 30, 200):
        paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
        script = WRITER.format(path=str(path), paths=paths, first=len(told))
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
            for _ in range(lines):
                told += writer.stdout.readline().split()
            writer.kill()
            # What was put before the kill and not read from the pipe yet; the last line may be half.
            rest = writer.stdout.read()
            told += rest[: rest.rfind("\n") + 1].split()
        with Store.open(path) as store:
            outbox = Outbox(store)
            stored = cases(outbox)
            ids = {from_wire(wire).id for (wire,) in store.execute("SELECT wire FROM moment")}
        assert stored == [str(number) for number in range(len(stored))]
        assert len(told) <= len(stored) <= len(told) + 3  # at most one put had not been told
        assert len(ids) == len(stored)
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
            store.keep_damaged()
            assert outbox.put(*map(moment, range(20)))[0] == 1
            wires = store.execute("SELECT wire FROM moment WHERE seq > 0").fetchall()
            ids |= {from_wire(wire).id for (wire,) in wires}
            generations.add(store.generation)
        damaged(path, how)
        if round_ == 0:
            Path(f"{path}-wal").write_bytes(b"a log of that file")
    assert (len(ids), len(generations)) == (60, 3)
    assert [file.name for file in path.parent.iterdir() if "corrupt" in file.name] == ["canary.db.corrupt"]


def flip(path: Path, found: bytes) -> None:
    """One bit of the last place at which these bytes are."""
    content = bytearray(path.read_bytes())
    content[content.rindex(found)] ^= 1
    path.write_bytes(content)


def pages(path: Path, kind: int) -> list[int]:
    """Where the b-tree pages of a kind begin: 13 has rows of a table, 10 entries of an index."""
    content = path.read_bytes()
    return [at for at in range(PAGE, len(content), PAGE) if content[at] == kind]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(page=st.integers(1, 300), garbage=st.binary(min_size=8, max_size=PAGE))
def test_of_a_damaged_file_what_can_be_read_is_sent_under_its_own_ids(tmp_path_factory, page, garbage):
    """Whatever page is hit by whatever garbage: the hub starts, what is there is as it was, and what is new comes after it."""
    path = tmp_path_factory.mktemp("store") / "canary.db"
    with Store.open(path) as store:
        outbox = Outbox(store)
        outbox.put(*(moment(number, says="x" * (number * 7 % 900)) for number in range(200)))
        outbox.ack(range(1, 21))
        before = dict(store.execute("SELECT case_number, wire FROM moment").fetchall())
    content = bytearray(path.read_bytes())
    place = page * PAGE % len(content) or PAGE
    content[place : place + len(garbage)] = garbage
    path.write_bytes(content)
    with Store.open(path) as store:
        outbox = Outbox(store)
        seq = outbox.stats().seq
        assert outbox.put(moment(999)) == [seq + 1]
        given = outbox.peek(999)
        assert [entry.seq for entry in given] == sorted(entry.seq for entry in given)
        told = {from_wire(entry.wire).data.case: entry.wire for entry in given}
        told.pop("hub-0042-999")
        assert told.items() <= before.items()
        if store.set_aside:
            assert (outbox.salvaged, seq) == (len(told), 0)
            store.keep_damaged()
            assert not any(path.parent.glob("*.damaged*"))


def test_nearly_all_is_salvaged_when_one_page_is_lost(path):
    with Store.open(path) as store:
        Outbox(store, max_rows=190).put(*map(moment, range(200)))
    content = bytearray(path.read_bytes())
    rows = pages(path, 13)
    content[rows[len(rows) // 2] : rows[len(rows) // 2] + PAGE] = os.urandom(PAGE)
    path.write_bytes(content)
    with Store.open(path) as store:
        outbox = Outbox(store)
        assert store.set_aside
        assert 180 < outbox.salvaged < 190
        stats = outbox.stats()
        assert (stats.rows, stats.seq, stats.dropped) == (outbox.salvaged, 0, {"full": 10})
        assert stats.bytes == sum(len(wire) for (wire,) in store.execute("SELECT wire FROM moment"))


def test_a_crash_between_setting_aside_and_salvaging_loses_nothing(path):
    with Store.open(path) as store:
        Outbox(store).put(*map(moment, range(50)))
    damaged(path, "cut short")
    Store.open(path).close()  # and it is killed here
    with Store.open(path) as store:
        some = Outbox(store).salvaged
        assert some > 5
    with Store.open(path) as store:
        assert Outbox(store).salvaged == 0  # once
        assert Outbox(store).stats().rows == some
        assert "is kept as canary.db.corrupt" in store.recall(SET_ASIDE)


def test_a_crash_between_moving_the_file_and_its_log_loses_nothing(path, store):
    Outbox(store).put(*map(moment, range(50)))
    torn = path.parent / "torn" / "canary.db"
    torn.parent.mkdir()
    Path(f"{torn}.damaged").write_bytes(path.read_bytes())
    Path(f"{torn}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    with Store.open(torn) as other:
        assert Outbox(other).salvaged == 50


def test_what_has_changed_on_the_disk_is_not_sent_and_counted(path):
    """The structure of the file is sound, so that nothing but a checksum sees it."""
    with Store.open(path) as store:
        Outbox(store).put(moment(1), moment(2, says="flip me"), moment(3))
    flip(path, b"flip me")
    with Store.open(path) as store:
        assert not store.set_aside
        outbox = Outbox(store)
        assert [entry.seq for entry in outbox.peek(1)] == [1]
        outbox.ack([1])
        assert [entry.seq for entry in outbox.peek(1)] == [3]
        assert (outbox.stats().rows, outbox.stats().untold) == (1, {"damaged": 1})


def test_damage_that_shows_only_at_work_is_mended_at_the_next_start(path):
    """An index that has lost its table: the quick look at the start does not see it."""
    with Store.open(path) as store:
        Outbox(store).put(*map(moment, range(30)))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        index = connection.execute("SELECT * FROM sqlite_schema WHERE name = 'by_rank'").fetchone()
        connection.execute("DELETE FROM sqlite_schema WHERE name = 'by_rank'")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM moment WHERE seq = 7")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", index)
    with Store.open(path) as store:
        assert not store.set_aside
        with pytest.raises(StoreError, match="malformed"):
            Outbox(store).peek(99)
    with Store.open(path) as store:
        assert store.set_aside
        assert Outbox(store).salvaged == 29


def frames(log: bytearray) -> list[int]:
    """Where in a log the frames of its present round begin (sqlite.org/fileformat2.html, chapter 4)."""
    return [at for at in range(32, len(log), 24 + 1024) if log[at + 8 : at + 16] == log[16:24]]


@pytest.mark.parametrize("frame", [-1, -5, 3, 0])
def test_ids_do_not_repeat_when_the_end_of_the_log_cannot_be_read(path, tmp_path, frame):
    """Somebody may have heard of what was there: what is put from now on has other ids, and what waits keeps its own."""
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    with Store.open(path) as store:
        outbox = Outbox(store)
    with Store.open(path) as store:  # the tables are not in the log any more
        outbox = Outbox(store)
        for number in range(20):
            outbox.put(moment(number))
        heard = {from_wire(entry.wire).id for entry in outbox.peek(99)}
        log = bytearray(Path(f"{path}-wal").read_bytes())
        log[frames(log)[frame] + 600] ^= 1
        copy.write_bytes(path.read_bytes())
        Path(f"{copy}-wal").write_bytes(log)
    for start in range(2):
        with Store.open(copy) as store:
            assert not store.set_aside
            outbox = Outbox(store)
            kept = [from_wire(entry.wire).id for entry in outbox.peek(99)]
            assert set(kept) <= heard
            (seq,) = outbox.put(moment(100 + start))
            (new,) = {from_wire(entry.wire).id for entry in outbox.peek(99)} - set(kept)
            assert new not in heard
            heard.add(new)
    assert seq == 2  # counted from 1 in the new generation, on which the second start goes on


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
    assert waiting(outbox) == sorted(seqs)

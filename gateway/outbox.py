"""The durable queue of moments, between the diagnosis and the uplink. Four verbs: put, peek, ack, stats.

Promises
- When `put` has returned, its moments are on the disk: they survive SIGKILL and a power cut. Several in one call are one commit.
- A moment stays until it is acknowledged: at least once on the wire. Its `id` and its `seq` are fixed inside the transaction that
  stores it, so a repeat carries the same ones. `seq` counts from 1 without a gap, through restarts, within the store's generation.
- The moments of a case come out in the order in which they went in, one at a time: while one is on its way, no other of its case is
  given. So the order holds whatever a broker answers, and however often a connection breaks. Among cases the most important goes
  first (`moments.rank`), then the oldest; a case is as important as the most important of its moments that waits.
- It is bounded, in rows and in bytes of moments (the file is up to a third larger), and in time: each class has its own. When it is
  full the least important go first, the oldest among equals, and a moment that has been told of less importance than all others
  goes at once. Of equals those go last that are on their way, and may arrive though they are counted as dropped.
- Each drop is counted by its reason; the counts are as durable as the moments, and so is how many of them were told. What has
  waited too long is given to nobody from then on, and counted within the hour if anybody puts or asks for `stats`.
- On a full disk `put` and `ack` raise `DiskFullError` and change nothing: no row, no `seq`. They work again when there is space.
- Of a file that was set aside because it was corrupt, the moments that can be read come first, under the ids that they had. Bytes
  that have changed on the disk are found by their checksum, and never sent.

Synchronous, from any thread; see `store.py`, which owns the file.
"""

import json
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from itertools import islice
from typing import Any, Literal, NamedTuple
from zlib import crc32

from gateway.moments import CLASSES, Class, Moment, from_wire, numbered, rank, to_wire
from gateway.store import DiskFullError, Store, StoreError

MAX_BYTES = 64 * 2**20
MAX_ROWS = 100_000
EXPIRY = 3600.0  # s between two looks for what has waited too long
REFUSED_KEPT = 10  # moments that the broker would not take, for support
COUNTING = "counting"  # remembered: the generation in which `tally` counts
LOOK = 1000  # rows that `peek` looks through at most, beside those that have waited too long

MOMENT = """(
    seq INTEGER PRIMARY KEY, rank INTEGER NOT NULL, put_at REAL NOT NULL, case_number TEXT NOT NULL, crc INTEGER NOT NULL,
    wire BLOB NOT NULL
)"""
WAITING = "SELECT seq, rank, put_at, case_number FROM moment ORDER BY rank, seq"
WAITING_SINCE = """
    SELECT seq, rank, put_at, case_number FROM moment
    WHERE case_number IN (SELECT case_number FROM moment WHERE seq > ?) ORDER BY rank, seq
"""

Reason = Literal["full", "expired", "refused", "damaged", "disk full"]


class Entry(NamedTuple):
    """A moment that waits: its place in the queue and its bytes on the wire.

    `seq` is the one in the moment, but for those that were salvaged: they keep theirs, and their places are below 0.
    """

    seq: int
    wire: bytes


class Stats(NamedTuple):
    """How the outbox is doing. `seq` is the last one given; `oldest` is when the oldest waiting moment was made.

    `dropped` counts by reason over the life of the store: "full" (no room), "expired" (waited too long), "refused" (by the broker,
    for good), "damaged" (not as it was written) and "disk full" (waited in memory until there were too many). `untold` is the part
    that no moment has told yet.
    """

    rows: int
    bytes: int
    seq: int
    oldest: datetime | None
    dropped: dict[str, int]
    untold: dict[str, int]


class Outbox:
    """The queue in one store.

    keep: for how many seconds a moment of a class may wait; for ever where it is not named. now: a timeline that goes on across
    restarts (`lifetime.py`). `salvaged` is how many moments were saved from a damaged file just now, `generation` a part of each id
    that is given now.
    """

    def __init__(
        self,
        store: Store,
        *,
        max_bytes: int = MAX_BYTES,
        max_rows: int = MAX_ROWS,
        keep: Mapping[Class, float] | None = None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._store = store
        self._now = now
        self.generation = store.generation
        self._expiry = 0.0
        self._on_their_way: frozenset[int] = frozenset()  # as far as `peek` knows
        self.bound(max_bytes, max_rows, keep or {})
        with store.transaction():
            for table in (
                f"moment {MOMENT}",
                "tally (seq INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL)",
                "dropped (reason TEXT PRIMARY KEY, count INTEGER NOT NULL, told INTEGER NOT NULL) WITHOUT ROWID",
                "refused (seq INTEGER PRIMARY KEY, reason TEXT NOT NULL, wire BLOB NOT NULL)",
            ):
                store.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            store.execute("CREATE INDEX IF NOT EXISTS by_rank ON moment (rank)")
            store.execute("CREATE INDEX IF NOT EXISTS by_case ON moment (case_number)")
            store.execute("INSERT INTO tally SELECT 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM tally)")
            self._begin_to_count()
            self.salvaged = self._salvage()

    def bound(self, max_bytes: int, max_rows: int, keep: Mapping[Class, float]) -> None:
        """Other bounds from now on."""
        self._max_bytes = max_bytes
        self._max_rows = max_rows
        self._keep = [keep.get(each, float("inf")) for each in CLASSES]

    # ------------------------------------------------------------ the four verbs

    def put(self, *moments: Moment, tells: Mapping[str, int] | None = None, missed: int = 0) -> list[int]:
        """Store the moments, in this order, and return the `seq` of each. Raises DiskFullError, StoreError.

        tells: the drops that these moments tell, as `Stats.untold` had them. missed: moments that a full disk has kept away.
        """
        store, now = self._store, self._now()
        with store.transaction():
            self._expire(now)
            last, rows, size = store.execute("SELECT seq, rows, bytes FROM tally").fetchone()
            seqs = list(range(last + 1, last + 1 + len(moments)))
            entries, followers = [], []
            for seq, moment in zip(seqs, moments, strict=True):
                wire = to_wire(numbered(moment, store.generation, seq))
                size += len(wire)
                importance, case = rank(moment), moment.data.case
                entries.append((seq, importance, now, case, crc32(wire), wire))
                if moment.data.phase != "opened":
                    followers.append((importance, case, importance))
            rows += len(entries)
            store.execute_many("INSERT INTO moment VALUES (?, ?, ?, ?, ?, ?)", entries)
            store.execute("UPDATE tally SET seq = ?, rows = ?, bytes = ?", (last + len(moments), rows, size))
            if followers:  # others of their cases may wait, and must not come after them
                store.execute_many("UPDATE moment SET rank = ? WHERE case_number = ? AND rank > ?", followers)
            if rows > self._max_rows or size > self._max_bytes:
                self._make_room(rows, size)
            if missed:
                self._count(missed, "disk full")
            for reason, count in (tells or {}).items():
                store.execute("UPDATE dropped SET told = told + ? WHERE reason = ?", (count, reason))
        return seqs

    def peek(self, limit: int, without: Collection[int] = (), *, since: int | None = None) -> list[Entry]:
        """The next moments to send, at most `limit` and one of a case.

        without: places of those on their way already; nothing of their cases is given. since: give only what was put after this
        place, and what has to go before it.
        """
        with self._store.transaction():
            busy = {case for (case,) in self._each("SELECT case_number FROM moment WHERE seq = ?", without)}
            now = self._now()
            waiting = self._store.execute(WAITING) if since is None else self._store.execute(WAITING_SINCE, (since,))
            chosen: list[int] = []
            in_time = ((seq, case) for seq, importance, put_at, case in waiting if now - put_at < self._keep[importance])
            for seq, case in islice(in_time, LOOK):
                if len(chosen) == limit:
                    break
                if case not in busy:
                    busy.add(case)
                    chosen.append(seq)
            waiting.close()
            self._on_their_way = frozenset((*without, *chosen))
            found = list(self._each("SELECT seq, crc, wire FROM moment WHERE seq = ?", chosen))
        damaged = [seq for seq, crc, wire in found if crc32(wire) != crc]
        if damaged and self._discard(damaged):
            return self.peek(limit, without, since=since)
        return [Entry(seq, wire) for seq, _, wire in found if seq not in damaged]

    def ack(self, seqs: Iterable[int], *, refused: str = "") -> None:
        """Delete what the broker has taken, or will never take, for the reason `refused`: then it counts as dropped.

        The last of those that were refused are kept for support. Places at which nothing waits are ignored.
        """
        with self._store.transaction():
            places = list(seqs)
            if refused:
                self._store.execute_many(
                    "INSERT OR REPLACE INTO refused SELECT seq, ?, wire FROM moment WHERE seq = ?",
                    [(refused, seq) for seq in places],
                )
                self._store.execute(
                    "DELETE FROM refused WHERE seq NOT IN (SELECT seq FROM refused ORDER BY seq DESC LIMIT ?)", (REFUSED_KEPT,)
                )
            self._delete(places, "refused" if refused else None)

    def stats(self) -> Stats:
        """See `Stats`."""
        with suppress(StoreError):  # of a disk that takes nothing: then it is counted later
            self._expire(self._now())
        with self._store.transaction():
            seq, rows, size = self._store.execute("SELECT seq, rows, bytes FROM tally").fetchone()
            oldest = self._store.execute("SELECT crc, wire FROM moment ORDER BY seq LIMIT 1").fetchone()
            counts = self._store.execute("SELECT reason, count, told FROM dropped").fetchall()
        return Stats(
            rows=rows,
            bytes=size,
            seq=seq,
            oldest=from_wire(oldest[1]).time if oldest and crc32(oldest[1]) == oldest[0] else None,
            dropped={reason: count for reason, count, _ in counts},
            untold={reason: count - told for reason, count, told in counts if count > told},
        )

    # ------------------------------------------------------------ what goes

    def _expire(self, now: float) -> None:
        """Delete what has waited too long, if it is time to look for that."""
        if now < self._expiry:
            return
        self._expiry = now + EXPIRY
        with self._store.transaction():
            old: list[int] = []
            for importance, longest in enumerate(self._keep):
                waiting = self._store.execute("SELECT seq, put_at FROM moment WHERE rank = ? ORDER BY seq", (importance,))
                for seq, put_at in waiting:
                    if now - put_at < longest:
                        break
                    old.append(seq)
                waiting.close()
            if old:
                self._delete(old, "expired")

    def _make_room(self, rows: int, size: int) -> None:
        expendable: list[int] = []
        with closing(self._least_important()) as waiting:
            for seq, length in waiting:
                if rows <= self._max_rows and size <= self._max_bytes:
                    break
                expendable.append(seq)
                rows, size = rows - 1, size - length
        self._delete(expendable, "full")

    def _least_important(self) -> Generator[tuple[int, int], None, None]:
        """The place and the length of all that waits, in the order in which it goes where there is no room."""
        for importance in reversed(range(len(CLASSES))):
            on_their_way: list[tuple[int, int]] = []
            for entry in self._store.execute("SELECT seq, length(wire) FROM moment WHERE rank = ? ORDER BY seq", (importance,)):
                if entry[0] in self._on_their_way:
                    on_their_way.append(entry)
                else:
                    yield entry
            yield from on_their_way

    def _discard(self, damaged: list[int]) -> bool:
        with suppress(DiskFullError), self._store.transaction():
            self._delete(damaged, "damaged")
            return True
        return False  # they will be found again

    def _delete(self, seqs: list[int], dropped: Reason | None) -> None:
        gone = self._store.execute(
            "DELETE FROM moment WHERE seq IN (SELECT value FROM json_each(?)) RETURNING length(wire)", (json.dumps(seqs),)
        ).fetchall()
        if gone:
            self._store.execute(
                "UPDATE tally SET rows = rows - ?, bytes = bytes - ?", (len(gone), sum(length for (length,) in gone))
            )
            if dropped:
                self._count(len(gone), dropped)

    def _count(self, number: int, reason: Reason) -> None:
        self._store.execute(
            "INSERT INTO dropped VALUES (?1, ?2, 0) ON CONFLICT (reason) DO UPDATE SET count = count + ?2", (reason, number)
        )

    def _each(self, sql: str, places: Collection[int]) -> Iterable[Sequence[Any]]:
        for place in places:
            yield from self._store.execute(sql, (place,))

    # ------------------------------------------------------------ after damage

    def _begin_to_count(self) -> None:
        """In another generation from 1; what waits from the one before keeps its number, and has a place below 0."""
        store = self._store
        if store.recall(COUNTING) not in {"", store.generation}:
            lowest, highest = store.execute("SELECT min(0, min(seq)), max(0, max(seq)) FROM moment").fetchone()
            store.execute("UPDATE moment SET seq = seq - ?", ((highest or 0) - (lowest or 0) + 1,))
            store.execute("UPDATE tally SET seq = 0")
        if store.recall(COUNTING) != store.generation:
            store.remember(COUNTING, store.generation)

    def _salvage(self) -> int:
        """Take over what a damaged file still has, before all that is put from now on; returns how many moments."""
        if not self._store.is_damaged("outbox"):
            return 0
        rows = [row for row in self._store.salvage("moment", "seq", "rank, case_number, crc, wire") if _sound(row)]
        counts = self._store.salvage_few("dropped", "reason, count, told")
        now = self._now()
        self._store.execute_many(
            "INSERT INTO moment VALUES (?, ?, ?, ?, ?, ?)",
            [(place, importance, now, *rest) for place, (importance, *rest) in enumerate(rows, -len(rows))],
        )
        self._store.execute("UPDATE tally SET rows = rows + ?, bytes = bytes + ?", (len(rows), sum(len(wire) for *_, wire in rows)))
        self._store.execute_many(
            "INSERT OR REPLACE INTO dropped VALUES (?, ?, ?)", [row for row in counts if list(map(type, row)) == [str, int, int]]
        )
        self._store.salvaged("outbox", f"of the moments that waited in it {len(rows)} could be saved")
        return len(rows)


def _sound(row: Sequence[Any]) -> bool:
    importance, case, crc, wire = row
    return importance in range(len(CLASSES)) and isinstance(case, str) and isinstance(wire, bytes) and crc32(wire) == crc

"""The durable queue of moments, between the diagnosis and the uplink. Four verbs: put, peek, ack, stats.

Promises
- When `put` has returned, its moments are on the disk: they survive SIGKILL and a power cut. Several in one call are one commit.
- A moment stays until it is acknowledged: at least once on the wire. Its `id` and its `seq` are fixed inside the transaction that
  stores it, so a repeat carries the same ones. `seq` counts from 1 without a gap, through restarts, within the store's generation.
- `peek` gives moments in the order of `seq`, which is the order in which they were put.
- It is bounded, in rows and in bytes of moments (the file is up to a fifth larger). When it is full the least important go first
  (`moments.rank`), the oldest among equals, and a moment that has been told of less importance than all others goes at once. Each
  drop is counted by its reason, and the counts are as durable as the moments.
- On a full disk `put` and `ack` raise `DiskFullError` and change nothing: no row, no `seq`. They work again when there is space.

Synchronous, from any thread; see `store.py`, which owns the file.
"""

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from gateway.moments import Moment, from_wire, numbered, rank, to_wire
from gateway.store import Store

MAX_BYTES = 64 * 2**20
MAX_ROWS = 100_000

Reason = Literal["full", "refused"]


class Entry(NamedTuple):
    """A moment that waits: its place in the sequence and its bytes on the wire."""

    seq: int
    wire: bytes


class Stats(NamedTuple):
    """How the outbox is doing. `seq` is the last one given; `oldest` is when the oldest waiting moment was made.

    `dropped` counts by reason over the life of the store: "full" (no room) and "refused" (by the broker, for good).
    """

    rows: int
    bytes: int
    seq: int
    oldest: datetime | None
    dropped: dict[str, int]


class Outbox:
    """The queue in one store."""

    def __init__(self, store: Store, *, max_bytes: int = MAX_BYTES, max_rows: int = MAX_ROWS) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._max_rows = max_rows
        with store.transaction():
            for table in (
                "moment (seq INTEGER PRIMARY KEY, rank INTEGER NOT NULL, wire BLOB NOT NULL)",
                "tally (seq INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL)",
                "dropped (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID",
            ):
                store.execute(f"CREATE TABLE IF NOT EXISTS {table}")
            store.execute("CREATE INDEX IF NOT EXISTS expendable ON moment (rank DESC)")
            store.execute("INSERT INTO tally SELECT 0, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM tally)")

    def put(self, *moments: Moment) -> list[int]:
        """Store the moments, in this order, and return the `seq` of each. Raises DiskFullError, StoreError."""
        store = self._store
        with store.transaction():
            last, rows, size = store.execute("SELECT seq, rows, bytes FROM tally").fetchone()
            seqs = list(range(last + 1, last + 1 + len(moments)))
            entries = [
                (seq, rank(moment), to_wire(numbered(moment, store.generation, seq)))
                for seq, moment in zip(seqs, moments, strict=True)
            ]
            store.execute_many("INSERT INTO moment VALUES (?, ?, ?)", entries)
            rows += len(entries)
            size += sum(len(wire) for _, _, wire in entries)
            store.execute("UPDATE tally SET seq = ?, rows = ?, bytes = ?", (last + len(moments), rows, size))
            if rows > self._max_rows or size > self._max_bytes:
                self._make_room(rows, size)
        return seqs

    def peek(self, limit: int, without: Collection[int] = ()) -> list[Entry]:
        """The next moments to send, at most `limit`, none of those in `without` (the ones already on their way)."""
        with self._store.transaction():
            found = self._store.execute(
                "SELECT seq, wire FROM moment WHERE seq NOT IN (SELECT value FROM json_each(?)) ORDER BY seq LIMIT ?",
                (json.dumps(list(without)), limit),
            )
            return [Entry(*row) for row in found]

    def ack(self, seqs: Iterable[int], *, refused: bool = False) -> None:
        """Delete what the broker has taken, or (`refused`) will never take: then it counts as dropped. Others are ignored."""
        with self._store.transaction():
            self._delete(list(seqs), "refused" if refused else None)

    def stats(self) -> Stats:
        """See `Stats`."""
        with self._store.transaction():
            seq, rows, size = self._store.execute("SELECT seq, rows, bytes FROM tally").fetchone()
            oldest = self._store.execute("SELECT wire FROM moment ORDER BY seq LIMIT 1").fetchone()
            dropped = dict(self._store.execute("SELECT reason, count FROM dropped").fetchall())
        return Stats(rows, size, seq, from_wire(oldest[0]).time if oldest else None, dropped)

    def _make_room(self, rows: int, size: int) -> None:
        expendable = []
        order = self._store.execute("SELECT seq, length(wire) FROM moment ORDER BY rank DESC, seq")
        while rows > self._max_rows or size > self._max_bytes:
            seq, length = next(order)
            expendable.append(seq)
            rows, size = rows - 1, size - length
        order.close()
        self._delete(expendable, "full")

    def _delete(self, seqs: list[int], dropped: Reason | None) -> None:
        gone = self._store.execute(
            "DELETE FROM moment WHERE seq IN (SELECT value FROM json_each(?)) RETURNING length(wire)", (json.dumps(seqs),)
        ).fetchall()
        self._store.execute("UPDATE tally SET rows = rows - ?, bytes = bytes - ?", (len(gone), sum(length for (length,) in gone)))
        if dropped and gone:
            self._store.execute(
                "INSERT INTO dropped VALUES (?1, ?2) ON CONFLICT (reason) DO UPDATE SET count = count + ?2", (dropped, len(gone))
            )

"""What was asked by downlink and what was answered, kept so that nothing is done twice and no answer is lost.

Promises
- A command that must not be done twice is noted before the hub begins it: when it was killed in the middle, it knows.
- The answer of every command that changed something is on the disk before it is sent, stays until the broker has taken it, and is
  the answer to each repeat of the question, byte for byte. (Answers to mere questions are as good when they are made anew, and a
  card wears: they are kept in memory, by `downlink.py`.)
- A question is remembered at least for as long as it would be taken, so that not even a flood in between lets it be done twice.
  Beyond that the last `KEPT` stay, within `KEPT_BYTES`. While all of these are still of use, no further command is begun.

Synchronous, in the thread of the store.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from gateway.commands import CommandError
from gateway.question import Place, Question
from gateway.store import Store

KEPT = 200
KEPT_BYTES = 256 * 1024

TABLE = """answered (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, do TEXT NOT NULL, fields BLOB NOT NULL,
    valid_until REAL NOT NULL, topic TEXT NOT NULL, correlation BLOB NOT NULL, answer BLOB, is_sent INTEGER NOT NULL
)"""


class Known(NamedTuple):
    """A question of before. `answer` is None while it is being done, or was interrupted."""

    digest: str
    answer: bytes | None


class Begun(NamedTuple):
    """A command that was begun and not answered."""

    id: str
    do: str
    fields: Mapping[str, Any]


class Unsent(NamedTuple):
    """An answer that the broker has not taken yet."""

    id: str
    do: str
    place: Place
    answer: bytes


class Answers:
    """Those of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.transaction():
            store.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")

    def find(self, id_: str) -> Known | None:
        """What is known of a question."""
        with self._store.transaction():
            row = self._store.execute("SELECT digest, answer FROM answered WHERE id = ?", (id_,)).fetchone()
        return Known(*row) if row else None

    def begin(self, question: Question, valid_until: float, now: float) -> None:
        """Note that a command is begun. Times in seconds since 1970. Raises StoreError, and CommandError where there is no room."""
        with self._store.transaction():
            self._make_room(now)
            fields = msgspec.json.encode(question.raw)
            row = (question.id, question.digest, question.do, fields, valid_until, *question.place)
            self._store.execute("INSERT INTO answered VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, NULL, 0)", row)

    def _make_room(self, now: float) -> None:
        """The oldest that are of no more use go, until there is room for one more."""
        size = "length(fields) + coalesce(length(answer), 0)"
        count, total = self._store.execute(f"SELECT count(*), total({size}) FROM answered").fetchone()  # noqa: S608
        old = f"SELECT number, {size} FROM answered WHERE valid_until < ? AND answer IS NOT NULL ORDER BY number"  # noqa: S608
        for number, length in self._store.execute(old, (now,)).fetchall():
            if count < KEPT and total < KEPT_BYTES:
                return
            self._store.execute("DELETE FROM answered WHERE number = ?", (number,))
            count, total = count - 1, total - length
        if count >= KEPT or total >= KEPT_BYTES:
            raise CommandError("busy", "too many commands within a short time; ask again in some minutes, under the same id")

    def answer(self, id_: str, answer: bytes) -> None:
        """Keep the answer to a question that was begun."""
        with self._store.transaction():
            self._store.execute("UPDATE answered SET answer = ? WHERE id = ?", (answer, id_))

    def forget(self, id_: str) -> None:
        """A command that may be done again, and will be when it is asked for again."""
        with self._store.transaction():
            self._store.execute("DELETE FROM answered WHERE id = ?", (id_,))

    def sent(self, id_: str) -> None:
        """The broker has taken the answer, or never will."""
        with self._store.transaction():
            self._store.execute("UPDATE answered SET is_sent = 1 WHERE id = ?", (id_,))

    def begun(self) -> list[Begun]:
        """What was begun and not answered; after a start, what was interrupted."""
        with self._store.transaction():
            rows = self._store.execute("SELECT id, do, fields FROM answered WHERE answer IS NULL ORDER BY number").fetchall()
        return [Begun(id_, do, msgspec.json.decode(fields)) for id_, do, fields in rows]

    def unsent(self) -> list[Unsent]:
        """Answers that were not sent, the oldest first."""
        sql = "SELECT id, do, topic, correlation, answer FROM answered WHERE answer IS NOT NULL AND NOT is_sent ORDER BY number"
        with self._store.transaction():
            rows = self._store.execute(sql).fetchall()
        return [Unsent(id_, do, Place(topic, correlation), answer) for id_, do, topic, correlation, answer in rows]

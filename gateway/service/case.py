"""Case numbers: the one reference that all moments of an episode carry, from the first to the last.

Promises
- A number is short and can be said over the telephone: "hub-0042-2N7K", in Crockford's base 32.
- No two episodes of a hub get the same number, also not after a restart, nor after damage to the store.
- An open episode keeps its number through a restart; once it has ended, only its moments know it.
- Where the diagnosis has forgotten its episodes (a damaged store, a saved state that cannot be read), cases are open of which it
  knows nothing. The next episode of the same rule on the same point goes on under such a number: most likely it is the same
  trouble, and whoever was told that it began is told that it ended.
- An episode that has been laid to another one keeps that one's number to its own end, though the other may end sooner.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.store import CROCKFORD, Store

STRIDE = 387_420_489  # 3 ** 18: odd, so that all numbers of a block come up once, and neighbours look nothing like each other


NUMBERING = "numbering of cases"  # remembered: the generation in which they are drawn
KNOWN = "SELECT number FROM cases WHERE episode = ?"
FORGOTTEN = 4096  # numbers that are left out where the last may be lost: a log holds some 500, and 1000 that are told at once
CASE = re.compile(rf".+-[{CROCKFORD}]{{4,}}")


class Cases:
    """Which open episode has which case number, kept in the store."""

    def __init__(self, store: Store, hub_id: str) -> None:
        self._store = store
        self._hub_id = hub_id
        with store.transaction():
            for table in (
                "cases (episode TEXT PRIMARY KEY, number TEXT NOT NULL)",
                "cause_of (episode TEXT PRIMARY KEY, number TEXT NOT NULL)",
                "orphans (place TEXT PRIMARY KEY, number TEXT NOT NULL)",  # place: a rule on a point
            ):
                store.execute(f"CREATE TABLE IF NOT EXISTS {table} WITHOUT ROWID")
            store.execute("CREATE TABLE IF NOT EXISTS next_case (count INTEGER NOT NULL, offset INTEGER NOT NULL)")
            if store.recall(NUMBERING) != store.generation:
                store.remember(NUMBERING, store.generation)
                self._go_on_counting()
            if store.is_damaged("cases"):
                self._salvage()

    def _go_on_counting(self) -> None:
        """In another generation: well beyond the last number that is known, or from one that is drawn by lot where none is."""
        store = self._store
        known = [tuple(row) for row in store.execute("SELECT count, offset FROM next_case")]
        if store.is_damaged("cases"):
            known += [row for row in store.salvage_few("next_case", "count, offset") if _countable(row)]
        count, offset = max(known, default=(-FORGOTTEN, secrets.randbelow(32**4)))
        store.execute("DELETE FROM next_case")
        store.execute("INSERT INTO next_case VALUES (?, ?)", (count + FORGOTTEN, offset))

    def _salvage(self) -> None:
        rows = [row for row in self._store.salvage_few("cases", "episode, number") if _sound(row)]
        rows += [row for row in self._store.salvage_few("orphans", "place, number") if _sound(row)]
        self._adopt(rows)
        self._store.salvaged("cases", f"{len(rows)} open cases go on under their numbers where the same trouble is found again")

    def forget(self) -> None:
        """The diagnosis has forgotten its episodes, and will name others as it named these."""
        with self._store.transaction():
            self._adopt(self._store.execute("SELECT episode, number FROM cases").fetchall())
            self._store.execute("DELETE FROM cases")
            self._store.execute("DELETE FROM cause_of")

    def _adopt(self, rows: Iterable[Sequence[str]]) -> None:
        self._store.execute_many("INSERT OR REPLACE INTO orphans VALUES (?, ?)", [(_place(name), number) for name, number in rows])

    def of(self, episode: str) -> str:
        """The case number of an episode; where it has none yet one that was left to it, or a new one."""
        with self._store.transaction():
            known = self._store.execute(KNOWN, (episode,)).fetchone()
            if known:
                return str(known[0])
            left = self._store.execute("DELETE FROM orphans WHERE place = ? RETURNING number", (_place(episode),)).fetchone()
            number = str(left[0]) if left else self._new()
            self._store.execute("INSERT INTO cases VALUES (?, ?)", (episode, number))
            return number

    def _new(self) -> str:
        count, offset = self._store.execute("UPDATE next_case SET count = count + 1 RETURNING count - 1, offset").fetchone()
        return f"{self._hub_id}-{spoken(count, offset)}"

    def explained(self, episode: str, cause: str) -> str:
        """The case number of what explains an episode, also when that has ended since; empty where it was never told."""
        with self._store.transaction():
            for sql, key in ((KNOWN, cause), ("SELECT number FROM cause_of WHERE episode = ?", episode)):
                known = self._store.execute(sql, (key,)).fetchone()
                if known:
                    self._store.execute("INSERT OR REPLACE INTO cause_of VALUES (?, ?)", (episode, known[0]))
                    return str(known[0])
        return ""

    def numbers(self) -> dict[str, str]:
        """The number of each open episode."""
        with self._store.transaction():
            return dict(self._store.execute("SELECT episode, number FROM cases").fetchall())

    def close(self, episode: str) -> None:
        """Forget an episode that has ended, in the transaction that stores its last moment."""
        with self._store.transaction():
            self._store.execute("DELETE FROM cases WHERE episode = ?", (episode,))
            self._store.execute("DELETE FROM cause_of WHERE episode = ?", (episode,))


def _place(episode: str) -> str:
    """An episode is named by its rule and point, and by how many there were before it: the part before that."""
    return episode.rpartition("#")[0] or episode


def _sound(row: Sequence[Any]) -> bool:
    episode, number = row
    return isinstance(episode, str) and isinstance(number, str) and CASE.fullmatch(number) is not None


def _countable(row: Sequence[Any]) -> bool:
    return list(map(type, row)) == [int, int] and 0 <= row[0] < 2**40


def spoken(count: int, offset: int) -> str:
    """The sign of the count-th case: four characters for the first 32^4 (a million), then five for the next 32^5, and so on."""
    width = 4
    while count >= 32**width:
        count -= 32**width
        width += 1
    number = (offset + count * STRIDE) % 32**width
    return "".join(CROCKFORD[number // 32**place % 32] for place in reversed(range(width)))

"""Case numbers: the one reference that all moments of an episode carry, from the first to the last.

Promises
- A number is short and can be said over the telephone: "hub-0042-2N7K", in Crockford's base 32.
- No two episodes of a hub get the same number, also not after a restart.
- An open episode keeps its number through a restart; once it has ended, only its moments know it.
- An episode that has been laid to another one keeps that one's number to its own end, though the other may end sooner.
"""

import secrets

from gateway.store import CROCKFORD, Store

STRIDE = 387_420_489  # 3 ** 18: odd, so that all numbers of a block come up once, and neighbours look nothing like each other


NUMBERING = "numbering of cases"  # remembered: the generation in which they are drawn
KNOWN = "SELECT number FROM cases WHERE episode = ?"


class Cases:
    """Which open episode has which case number, kept in the store."""

    def __init__(self, store: Store, hub_id: str) -> None:
        self._store = store
        self._hub_id = hub_id
        with store.transaction():
            store.execute("CREATE TABLE IF NOT EXISTS cases (episode TEXT PRIMARY KEY, number TEXT NOT NULL) WITHOUT ROWID")
            store.execute("CREATE TABLE IF NOT EXISTS cause_of (episode TEXT PRIMARY KEY, number TEXT NOT NULL) WITHOUT ROWID")
            store.execute("CREATE TABLE IF NOT EXISTS next_case (count INTEGER NOT NULL, offset INTEGER NOT NULL)")
            # The offset is drawn by lot: after the loss of a store, or of the end of its log, the numbers begin elsewhere.
            if store.recall(NUMBERING) != store.generation:
                store.remember(NUMBERING, store.generation)
                store.execute("DELETE FROM next_case")
                store.execute("INSERT INTO next_case VALUES (0, ?)", (secrets.randbelow(32**4),))

    def of(self, episode: str) -> str:
        """The case number of an episode; a new one where it has none yet."""
        with self._store.transaction():
            known = self._store.execute(KNOWN, (episode,)).fetchone()
            if known:
                return str(known[0])
            count, offset = self._store.execute("SELECT count, offset FROM next_case").fetchone()
            number = f"{self._hub_id}-{spoken(count, offset)}"
            self._store.execute("UPDATE next_case SET count = count + 1")
            self._store.execute("INSERT INTO cases VALUES (?, ?)", (episode, number))
            return number

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


def spoken(count: int, offset: int) -> str:
    """The sign of the count-th case: four characters for the first 32^4 (a million), then five for the next 32^5, and so on."""
    width = 4
    while count >= 32**width:
        count -= 32**width
        width += 1
    number = (offset + count * STRIDE) % 32**width
    return "".join(CROCKFORD[number // 32**place % 32] for place in reversed(range(width)))

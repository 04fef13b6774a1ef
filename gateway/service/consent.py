"""Consent: to what nobody agrees any more, and how much has been told of what is private; kept in the store.

Promises
- What was withdrawn stays so across restarts, until it is granted again on the hub itself. It is taken over from a store that was
  damaged; where it cannot be read there, nobody is taken to agree to anything, and that is said.
- What was told and what was withheld is counted by day, for `KEPT` days, with the moments that it counts.
- That consent has changed is told upstream once, without saying of whom or what.

Synchronous, inside the transactions of the clerk.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from drivers.contract import PrivacyClass
from gateway.config.privacy import CLASSES, PRIVATE
from gateway.moments import Moment
from gateway.store import Store

WITHDRAWN = "consent withdrawn"  # remembered: the classes, with blanks between them
UNTOLD = "consent untold"  # remembered: what is to be told of the last change
DAY = 86400.0  # s
KEPT = 14  # days


class Left(NamedTuple):
    """How many moments have left about a point, or were withheld (`subject` is empty), in the day that began `days` days ago."""

    days: int
    privacy: PrivacyClass
    subject: str
    told: int
    withheld: int


class Consent:
    """The consent of those who live or work where one hub stands. `now` is on the lifetime of the store (s)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.transaction():
            store.execute(
                "CREATE TABLE IF NOT EXISTS private (day INTEGER, privacy TEXT, subject TEXT, told INTEGER, withheld INTEGER, "
                "PRIMARY KEY (day, privacy, subject)) WITHOUT ROWID"
            )
            if store.is_damaged("consent"):
                self._salvage()

    def withdrawn(self) -> frozenset[PrivacyClass]:
        """The classes to which nobody agrees any more."""
        with self._store.transaction():
            known = self._store.recall(WITHDRAWN).split()
        return frozenset(one for one in CLASSES if one in known)

    def change(self, withdrawn: Collection[PrivacyClass]) -> None:
        """Consent is withdrawn from these classes from now on, and from no others."""
        with self._store.transaction():
            before = self.withdrawn()
            for one in CLASSES:
                if (one in withdrawn) != (one in before):
                    changed = "withdrawn" if one in withdrawn else "granted"
                    self._store.remember(UNTOLD, f"{self._store.recall(UNTOLD)} {changed}:{one}".strip())
            self._store.remember(WITHDRAWN, " ".join(one for one in CLASSES if one in withdrawn))

    def untold(self) -> list[tuple[str, str]]:
        """What nobody was told of yet, in order: ("withdrawn" or "granted", class)."""
        with self._store.transaction():
            steps = self._store.recall(UNTOLD).split()
        return [(changed, one) for changed, _, one in (step.partition(":") for step in steps)]

    def told(self) -> None:
        """Somebody was told of it."""
        with self._store.transaction():
            self._store.remember(UNTOLD, "")

    def _salvage(self) -> None:
        """What people had agreed to before the store was damaged. What is remembered shares a page: some of it is all of it."""
        known = dict(self._store.salvage_few("remembered", "name, value"))
        said = known.get(WITHDRAWN, "")
        withdrawn = said.split() if isinstance(said, str) else []
        if known and set(withdrawn) <= set(CLASSES):
            self._store.remember(WITHDRAWN, " ".join(withdrawn))
            self._store.salvaged("consent", "consent is as it was")
        else:
            self.change(PRIVATE)
            self._store.salvaged(
                "consent", "what people had agreed to cannot be read, so nothing private is told until they say so"
            )

    def count(self, now: float, told: Iterable[Moment], withheld: Iterable[PrivacyClass]) -> None:
        """Note what is told and what is not, as far as it is private. Belongs in the transaction that puts it."""
        day = int(now // DAY)
        rows: Counter[tuple[PrivacyClass, str, int, int]] = Counter()
        rows.update((moment.data.privacy, moment.subject, 1, 0) for moment in told if moment.data.privacy != "open")
        rows.update((one, "", 0, 1) for one in withheld)
        if not rows:
            return
        with self._store.transaction():
            self._store.execute("DELETE FROM private WHERE day <= ?", (day - KEPT,))
            self._store.execute_many(
                "INSERT INTO private VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET told = told + excluded.told, "
                "withheld = withheld + excluded.withheld",
                [(day, one, subject, told * number, kept * number) for (one, subject, told, kept), number in rows.items()],
            )

    def left(self, now: float) -> list[Left]:
        """What has left and what was withheld, the newest first."""
        today = int(now // DAY)
        with self._store.transaction():
            rows = self._store.execute(
                "SELECT ? - day, privacy, subject, told, withheld FROM private WHERE day > ? ORDER BY day DESC, subject",
                (today, today - KEPT),
            ).fetchall()
        return [Left(*row) for row in rows]

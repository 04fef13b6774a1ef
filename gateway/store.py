"""The one file that survives: an SQLite database under the hub's state folder, shared by everything that must outlive a restart.

Promises
- What a transaction wrote is on the disk when it has returned (WAL, `synchronous=FULL`): it survives SIGKILL and a power cut.
- A transaction happens whole or not at all; transactions within one another are one.
- A full disk raises `DiskFullError` and changes nothing; the next transaction works as soon as there is space again.
- A file that SQLite finds corrupt is set aside and a new one begun, so that the hub starts. What can be read of it is read
  (`salvage`), each part its own, after a crash in between too; then it is kept as `<name>.corrupt`, for support, over the one of
  an earlier time.
- A file in which damage shows only at work is looked through as a whole at the next start.
- Every file has a `generation` of its own, drawn by lot, which is part of each id that is counted here: ids never repeat, even when
  the file was lost and counting begins again. A file whose log cannot be read to its last commit gets another one, too: what had
  been counted there is forgotten, and somebody may have heard of it.
- One process at a time: a second one is refused (`StoreBusyError`).

Little is written, because the card under a Pi wears. Measured for a moment of 1.5 kB that is put and later deleted: pages of 1 KiB
dirty 23 kB of the disk (13 of them for the put), pages of 4 KiB 33 kB (23), at the same CPU time. The log is written over in place,
and copied to the database when it holds 1 MiB. Temporary tables stay in memory, and a lock that is held for good saves the
shared-memory file beside it.

Calls are synchronous and take well under a millisecond plus the disk's own time. They may come from any thread; a transaction that
is open in one makes the others wait.
"""

import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway import wal

PAGE = 1024  # bytes; see above
LOG_PAGES = 1024  # the log is copied into the database when it holds so many
LOG_KEPT = 4 * 2**20  # bytes that the log may keep on the disk after a burst
FORMAT = 1
MOST_FAILURES = 20_000  # reads that may fail while a damaged file is salvaged: a second or two, and
HOPELESS = 500  # before anything is found

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""The 32 signs of Crockford's base 32: no I, L, O or U, so that nothing is misread or misheard."""


class StoreError(Exception):
    """The store cannot do its work; one line for a person, with what to do."""


class DiskFullError(StoreError):
    """There is no space. Nothing was changed; it works again when there is space."""


class StoreBusyError(StoreError):
    """Another process has the store."""


def new_generation() -> str:
    """Six random signs: two files of one hub share them once in a thousand million times."""
    return "".join(secrets.choice(CROCKFORD) for _ in range(6))


class Store:
    """An open store; a context manager that closes it.

    set_aside: why an older file was set aside just now, "" if none was. commits: transactions that have written; each is one sync.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, generation: str, set_aside: str) -> None:
        self.path = path
        self.generation = generation
        self.set_aside = set_aside
        self.commits = 0
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path, *, generation: Callable[[], str] = new_generation) -> Self:
        """Open the file or begin it. Raises StoreError, DiskFullError or StoreBusyError.

        generation: names a file that is begun now; a test or a story passes its own.
        """
        set_aside = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if _beside(path, DAMAGED).exists() and not path.exists():  # a crash between two steps of `_move`
                _move_log(path, _beside(path, DAMAGED))
            torn = wal.torn(Path(f"{path}-wal"))
            try:
                connection = _connect(path)
            except sqlite3.DatabaseError as error:
                if not _corrupt(error):
                    raise
                set_aside = f"{path} was corrupt ({error}); it is kept as {_beside(path, KEPT).name}"
                _move(path, _beside(path, DAMAGED))
                connection = _connect(path)
            try:
                return cls(path, connection, _prepare(connection, generation, set_aside, torn=torn), set_aside)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise _named(error, path) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing; on the disk when it has been left. Inside another one, a part of that."""
        connection = self._connection
        with self._lock:
            if connection.in_transaction:
                yield
                return
            before = connection.total_changes
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    if isinstance(error, sqlite3.DatabaseError) and _corrupt(error):
                        self._suspect()
                    raise _named(error, self.path) from error
                raise
            self.commits += connection.total_changes > before

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """One statement, inside a transaction."""
        return self._connection.execute(sql, values)

    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """One statement for each row, inside a transaction."""
        self._connection.executemany(sql, rows)

    def recall(self, name: str) -> str:
        """What was remembered under a name, "" if nothing; inside a transaction."""
        row = self.execute("SELECT value FROM remembered WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def remember(self, name: str, value: str) -> None:
        """Keep a short text under a name; inside a transaction. All of them share a page, so that one write is as good as many."""
        self.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Copy the log into the database and let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # ------------------------------------------------------------ after damage

    def is_damaged(self, part: str) -> bool:
        """Whether there is a file that was set aside, of which this part has not taken its own yet; inside a transaction."""
        return _beside(self.path, DAMAGED).exists() and not self.recall(f"{SALVAGED} {part}")

    def salvage(self, table: str, key: str, columns: str) -> list[list[Any]]:
        """The rows of a table that can still be read in the damaged file, by ascending key (an integer).

        Belongs in one transaction with whatever keeps them and with `salvaged`, so that a crash loses nothing and doubles nothing.
        """
        with self._damaged() as connection:
            return _readable(connection, table, key, columns)

    def salvage_few(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        """The same for a small table without such a key, as far as it can be read from either end. The first column is its key."""
        found: dict[Any, tuple[Any, ...]] = {}
        with self._damaged() as connection:
            for direction in ("ASC", "DESC"):
                with suppress(sqlite3.Error):
                    for row in connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1 {direction}"):  # noqa: S608
                        found[row[0]] = row
        return list(found.values())

    def salvaged(self, part: str, what: str) -> None:
        """Note, inside the transaction, that a part has taken its own, and in words for a person what that was."""
        self.remember(f"{SALVAGED} {part}", what)
        self.remember(SET_ASIDE, f"{self.recall(SET_ASIDE)}; {what}")

    def keep_damaged(self) -> None:
        """Give the damaged file the name under which it is kept, once every part has taken its own."""
        damaged = _beside(self.path, DAMAGED)
        if damaged.exists():
            with suppress(OSError):  # on a disk that takes nothing: then at the next start
                _move(damaged, _beside(self.path, KEPT))

    @contextmanager
    def _damaged(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(_beside(self.path, DAMAGED), isolation_level=None)) as connection:
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                connection.execute("PRAGMA writable_schema = ON")  # else nothing is read of a file that was cut short
            yield connection

    def _suspect(self) -> None:
        with suppress(OSError):
            _beside(self.path, SUSPECT).touch()


DAMAGED, KEPT, SUSPECT = ".damaged", ".corrupt", ".suspect"
"""Endings of files beside the store: set aside and to be salvaged; salvaged and kept; an empty one that says to look closely."""

SALVAGED = "salvaged"  # begins the name under which is remembered what a part has taken from the damaged file
SET_ASIDE = "set aside"  # remembered: why an older file was, or what else was lost, until that has been told
LOST_END = "the end of its log was not as it had been written; what had been stored last may be lost"


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _move(path: Path, target: Path) -> None:
    """Move a database over another: first the file, because without its log it is an older one, in which numbers repeat."""
    for suffix in ("-wal", ""):
        Path(f"{target}{suffix}").unlink(missing_ok=True)
    path.rename(target)
    _move_log(path, target)


def _move_log(path: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        Path(f"{path}-wal").rename(f"{target}-wal")


def _readable(connection: sqlite3.Connection, table: str, key: str, columns: str) -> list[list[Any]]:
    """Rows that can be read: ranges of keys in which reading fails are halved, the widest first, down to single keys."""
    found: list[tuple[Any, ...]] = []
    failures = 0
    ranges = deque([(-(2**40), 2**40)])
    with suppress(sqlite3.Error):  # narrower where its ends can be read
        lowest, highest = connection.execute(f"SELECT min({key}), max({key}) FROM {table}").fetchone()  # noqa: S608
        ranges = deque([(lowest or 0, highest or 0)])
    while ranges and failures < (MOST_FAILURES if found else HOPELESS):
        low, high = ranges.popleft()
        try:
            some = connection.execute(f"SELECT {key}, {columns} FROM {table} WHERE {key} BETWEEN ? AND ?", (low, high))  # noqa: S608
            found += some.fetchall()
        except sqlite3.Error:
            failures += 1
            if low < high:
                middle = (low + high) // 2
                ranges += [(low, middle), (middle + 1, high)]
    return [row for _, *row in sorted(found, key=itemgetter(0))]


# ---------------------------------------------------------------- opening


def _connect(path: Path) -> sqlite3.Connection:
    """A tuned connection to a file that SQLite has found sound."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        for setting in (
            f"page_size = {PAGE}",
            "locking_mode = EXCLUSIVE",
            "journal_mode = WAL",
            "synchronous = FULL",
            f"wal_autocheckpoint = {LOG_PAGES}",
            f"journal_size_limit = {LOG_KEPT}",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {setting}")
        _check(connection, _beside(path, SUSPECT))
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, suspect: Path) -> None:
    """The quick check does not see an index that has lost its table; the full one does, and takes some times as long."""
    (verdict,) = connection.execute(f"PRAGMA {'integrity' if suspect.exists() else 'quick'}_check(1)").fetchone()
    suspect.unlink(missing_ok=True)
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _prepare(connection: sqlite3.Connection, generation: Callable[[], str], set_aside: str, *, torn: bool) -> str:
    """Begin a new file, or read what an old one is."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise OSError(f"its format {version} is of a newer release; install that again, or move the file away")
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS store (generation TEXT NOT NULL)")
        connection.execute("INSERT INTO store VALUES (?)", (generation(),))
        connection.execute("CREATE TABLE IF NOT EXISTS remembered (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        connection.execute("INSERT INTO remembered VALUES (?, ?)", (SET_ASIDE, set_aside))
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    elif torn:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE store SET generation = ?", (generation(),))
        connection.execute("INSERT OR REPLACE INTO remembered VALUES (?, ?)", (SET_ASIDE, LOST_END))
        connection.execute("COMMIT")
        with suppress(sqlite3.OperationalError):  # a full disk: then what is torn is found once more
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return str(connection.execute("SELECT generation FROM store").fetchone()[0])


def _corrupt(error: sqlite3.DatabaseError) -> bool:
    """Also for an error of our own, which has no code: that of the check. A card that cannot read a page any more has lost it."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    unreadable = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ}
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or code in unreadable


def _named(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"{path}: the disk is full; make space on it")
    if code == sqlite3.SQLITE_BUSY:
        return StoreBusyError(f"{path} is in use by another process; is canary running already?")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN} or isinstance(error, OSError):
        return StoreError(f"{path} cannot be used: {error}; check `[hub] state`, the folder's owner and the disk")
    return StoreError(f"{path}: {error}; if it stays so after a restart, the disk or card may be failing")

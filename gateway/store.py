"""The one file that survives: an SQLite database under the hub's state folder, shared by everything that must outlive a restart.

Promises
- What a transaction wrote is on the disk when it has returned (WAL, `synchronous=FULL`): it survives SIGKILL and a power cut.
- A transaction happens whole or not at all; transactions within one another are one.
- A full disk raises `DiskFullError` and changes nothing; the next transaction works as soon as there is space again.
- A file that SQLite finds corrupt is set aside as `<name>.corrupt` (one is kept, for support) and a new one begun, so that the hub
  starts. Every file has a `generation` of its own, drawn by lot, which is part of each id that is counted here: ids never repeat,
  even when the file was lost and counting begins again.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PAGE = 1024  # bytes; see above
LOG_PAGES = 1024  # the log is copied into the database when it holds so many
LOG_KEPT = 4 * 2**20  # bytes that the log may keep on the disk after a burst
FORMAT = 1

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
    """An open store; a context manager that closes it. `set_aside` says why an older file was set aside, "" if none was."""

    def __init__(self, path: Path, connection: sqlite3.Connection, generation: str, set_aside: str) -> None:
        self.path = path
        self.generation = generation
        self.set_aside = set_aside
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
            try:
                connection = _connect(path)
            except sqlite3.DatabaseError as error:
                if not _corrupt(error):
                    raise
                set_aside = f"{path} was corrupt ({error}); it is kept as {_set_aside(path).name}"
                connection = _connect(path)
            try:
                return cls(path, connection, _prepare(connection, generation), set_aside)
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
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield
                connection.execute("COMMIT")
            except BaseException as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise _named(error, self.path) from error
                raise

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        """One statement, inside a transaction."""
        return self._connection.execute(sql, values)

    def execute_many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """One statement for each row, inside a transaction."""
        self._connection.executemany(sql, rows)

    def close(self) -> None:
        """Copy the log into the database and let go of the file."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


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
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _prepare(connection: sqlite3.Connection, generation: Callable[[], str]) -> str:
    """Begin a new file, or read what an old one is."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise OSError(f"its format {version} is of a newer release; install that again, or move the file away")
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS store (generation TEXT NOT NULL)")
        connection.execute("INSERT INTO store VALUES (?)", (generation(),))
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    return str(connection.execute("SELECT generation FROM store").fetchone()[0])


def _corrupt(error: sqlite3.DatabaseError) -> bool:
    """Also for an error of our own, which has no code: that of the check."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _set_aside(path: Path) -> Path:
    """Move the file and its log away, over those of an earlier time."""
    kept = path.with_name(path.name + ".corrupt")
    for suffix in ("-wal", ""):
        with suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{kept}{suffix}")
    return kept


def _named(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return DiskFullError(f"{path}: the disk is full; make space on it")
    if code == sqlite3.SQLITE_BUSY:
        return StoreBusyError(f"{path} is in use by another process; is canary running already?")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN} or isinstance(error, OSError):
        return StoreError(f"{path} cannot be used: {error}; check `[hub] state`, the folder's owner and the disk")
    return StoreError(f"{path}: {error}; if it stays so after a restart, the disk or card may be failing")

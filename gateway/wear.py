"""What the hub writes to its disk: bytes and syncs a day. The card under a Pi bears some tens of megabytes a day for years.

Bytes are the kernel's count for the whole process (`write_bytes` of proc(5), /proc/PID/io): what has really been sent to the disk,
in whole pages, SQLite's log and temporary files included. Syncs are the store's commits; each is one.
"""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.store import Store

IO = Path("/proc/self/io")
DAY, MARKS = 86400.0, 3600.0  # s looked back upon, and between two marks on that way
EARLY = 600.0  # s before which nothing can be said of a day


class Worn(NamedTuple):
    """In a day, at the pace of the last one, or of the time since the start where that is less."""

    bytes_per_day: int
    syncs_per_day: int


class Wear:
    """Looks back a day. now: seconds on the hub's timeline."""

    def __init__(self, store: Store, now: Callable[[], float], io: Path = IO) -> None:
        self._store = store
        self._now = now
        self._io = io
        self._marks = deque([self._mark()])

    def day(self) -> Worn | None:
        """None at first, and where the kernel does not count. To be asked at least once an hour."""
        mark = at, written, commits = self._mark()
        if at - self._marks[-1][0] >= MARKS:
            self._marks.append(mark)
        while len(self._marks) > 1 and at - self._marks[1][0] >= DAY:
            self._marks.popleft()
        since, written_then, commits_then = self._marks[0]
        if at - since < EARLY or written < written_then or not written:
            return None
        share = DAY / (at - since)
        return Worn(round((written - written_then) * share), round((commits - commits_then) * share))

    def _mark(self) -> tuple[float, int, int]:
        return self._now(), written(self._io), self._store.commits


def written(io: Path = IO) -> int:
    """Bytes that this process has sent to disks since it began; 0 where the kernel does not say."""
    try:
        lines = io.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes:")), 0)

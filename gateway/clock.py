"""The one source of time.

Durations come from `now()`, seconds on the hub's own timeline: it never jumps, whatever happens to the wall clock (a Pi has no
battery clock and boots in the past), and it stands still while the machine is suspended, in which nothing was silent. People and
payloads get UTC from `utc()`, which maps a time of that timeline to the wall clock as it is known at the moment of asking.
Everything that needs time is given a clock or a plain `now`; nothing else in the program may import `time`.
"""

import ctypes
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What the rest of the program may know of time. Times of one `timeline` can be compared, of different ones they cannot."""

    @property
    def timeline(self) -> str:
        """Names the timeline: another one begins when the machine starts."""

    def now(self) -> float:
        """Seconds on the hub's timeline; only differences mean something."""

    def utc(self, at: float) -> datetime:
        """The wall-clock time (aware, UTC) of a point of the hub's timeline."""

    def synced(self) -> bool:
        """Whether the wall clock is known to be right."""


def week_time(clock: Clock, zone: tzinfo) -> Callable[[float], float | None]:
    """From a time of the hub's timeline to seconds since the last Monday began, local time; None while the clock is not trusted."""

    def local(at: float) -> float | None:
        if not clock.synced():
            return None
        there = clock.utc(at).astimezone(zone)
        return there.weekday() * 86400.0 + there.hour * 3600.0 + there.minute * 60.0 + there.second + there.microsecond / 1e6

    return local


def wall_time(clock: Clock, zone: tzinfo) -> Callable[[float], float | None]:
    """From a time of the hub's timeline to what the clock on the wall shows: see `gateway.diagnosis.mute.Wall`."""
    monday = datetime(1970, 1, 5)  # noqa: DTZ001  (a clock on a wall has no zone)

    def wall(at: float) -> float | None:
        if not clock.synced():
            return None
        return (clock.utc(at).astimezone(zone).replace(tzinfo=None) - monday).total_seconds()

    return wall


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SystemClock:
    """The machine's clocks.

    monotonic, boottime: seconds of two clocks that never jump, of which the second goes on while the machine is suspended.
    wall: seconds since the epoch.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        boottime: Callable[[], float] = _boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._boottime = boottime
        self._wall = wall
        self._asked = -SYNC_LASTS
        self._synced = False
        self._suspended = boottime() - monotonic()  # s since the machine started, as far as it was noticed
        self._suspends: deque[tuple[float, float]] = deque(maxlen=SUSPENDS)  # when each was noticed, and how long it was
        self.timeline = BOOT.read_text().strip() if BOOT.exists() else "this run"

    def now(self) -> float:
        """Seconds since the machine started, but for those in which it was suspended."""
        boottime, now = self._boottime(), self._monotonic()  # in this order a pause between them is not taken for a suspend
        lasted = boottime - now - self._suspended
        if lasted > SUSPENDED:
            self._suspended += lasted
            self._suspends.append((now, lasted))
        return now

    def utc(self, at: float) -> datetime:
        """See `Clock.utc`."""
        ago = self.now() - at + sum(lasted for noticed, lasted in self._suspends if noticed > at)
        return datetime.fromtimestamp(self._wall() - ago, UTC)

    def synced(self) -> bool:
        """The kernel's word, from whichever time daemon disciplines it; timesyncd's stamp where the sandbox forbids to ask."""
        if self.now() - self._asked >= SYNC_LASTS:
            self._asked = self.now()
            state = _adjtimex()
            self._synced = state != TIME_ERROR if state >= 0 else TIMESYNCD.exists()
        return self._synced


BOOT = Path("/proc/sys/kernel/random/boot_id")
SUSPENDED = 1.0  # s that one clock is behind the other, which is more than reading them takes
SUSPENDS = 64  # that are remembered: what is stamped lies behind few of them
SYNC_LASTS = 10.0  # s for which the answer of the kernel is taken to hold
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
TIMESYNCD = Path("/run/systemd/timesync/synchronized")


def _adjtimex() -> int:
    """The state of the kernel's clock, without changing it; -1 where that is forbidden or unknown."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(256)))  # struct timex, all zero: modes = 0 only reads
    except (OSError, AttributeError):
        return -1


class VirtualClock:
    """Time that stands still until it is told: for tests, and for replaying what was recorded."""

    timeline = "virtual"

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start.timestamp()
        self._now = 0.0
        self.trusted = True

    def now(self) -> float:
        """Seconds since the start of this virtual time."""
        return self._now

    def utc(self, at: float) -> datetime:
        """See `Clock.utc`."""
        return datetime.fromtimestamp(self._start + at, UTC)

    def synced(self) -> bool:
        """As `trusted` says."""
        return self.trusted

    def leap(self, seconds: float) -> None:
        """The wall clock is set; no time passes."""
        self._start += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def at(self, moment: datetime) -> float:
        """Where a wall-clock time lies on this timeline."""
        return moment.timestamp() - self._start

"""How the hub itself is doing, as readings of the device "hub", so that rules watch it like any other.

Everything comes from files of /proc and /sys (and one call that asks a file system for its space), takes well under a millisecond,
and may be missing: then there is no value, and a reason. Flags are true while all is well.

Sources: Linux Documentation/hwmon/raspberrypi-hwmon.rst (`in0_lcrit_alarm` of "rpi_volt"); the Raspberry Pi documentation on
`get_throttled` (bit 0: under-voltage now); Documentation/ABI/testing/sysfs-class-net (`operstate`); proc_meminfo(5).
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from drivers.contract import Batch, NoValue, Outcome
from gateway.clock import Clock
from gateway.diagnosis.contract import HUB
from gateway.diagnosis.hub_parts import EVERY, PARTS

LOOK = 5.0
"""Seconds between two looks at the flags; a change is read at once. A brown-out is short."""

SLIP = 1.0  # s by which a clock that is being steered may differ from the timeline between two looks, without having leapt


NAMES = tuple(part.name for part in PARTS)


class Health:
    """Reads the hub's own parts. `root` stands for "/", `state` is a folder on the disk that counts."""

    def __init__(self, clock: Clock, state: Path, online: Callable[[], bool | None], root: Path = Path("/")) -> None:
        """online: whether the uplink has its broker; None where there is no uplink."""
        self._clock = clock
        self._state = state
        self._online = online
        self._root = root
        self._voltage = self._find_voltage()
        self._flags: tuple[Outcome, ...] = ()
        self._read_at = -EVERY
        self._was_synced = False
        self._offset: float | None = None  # of the wall clock from the timeline, s

    def look(self) -> Batch | None:
        """A reading of everything, if it is time for one or a flag has changed; None otherwise."""
        now = self._clock.now()
        flags = (self.power(), self.network(), self.uplink(), self._clock.synced())
        leap = self.leap()
        if flags == self._flags and not leap and now - self._read_at < EVERY:
            return None
        self._flags, self._read_at = flags, now
        return Batch(HUB, now, NAMES, (*flags, leap, self.cpu_temp(), self.memory_free(), self.disk_free()))

    # ------------------------------------------------------------ flags

    def _find_voltage(self) -> tuple[Path, bool] | None:
        """The file that tells of under-voltage, and whether it holds a mask rather than a 0 or 1."""
        for chip in sorted(self._root.glob("sys/class/hwmon/hwmon*")):
            if _text(chip / "name") == "rpi_volt":
                return chip / "in0_lcrit_alarm", False
        for mask in sorted(self._root.glob("sys/devices/platform/soc*/*firmware/get_throttled")):
            return mask, True
        return None

    def power(self) -> Outcome:
        """Whether the supply gives enough voltage now."""
        if self._voltage is None:
            return NoValue("this machine does not tell")
        path, is_mask = self._voltage
        try:
            alarm = int(_text(path), 16 if is_mask else 10)
        except ValueError:
            return NoValue("this machine does not tell")
        return not alarm & 1

    def network(self) -> Outcome:
        """Whether any network interface is up."""
        states = [_text(path) for path in self._root.glob("sys/class/net/*/operstate") if path.parent.name != "lo"]
        # What has no notion of it (a tunnel, a modem of an older driver) says "unknown" for ever.
        return any(state in ("up", "unknown") for state in states) if states else NoValue("no network interface")

    def uplink(self) -> Outcome:
        """Whether the broker is reached."""
        online = self._online()
        return NoValue("no uplink") if online is None else online

    # ------------------------------------------------------------ numbers

    def leap(self) -> float:
        """Seconds that the wall clock has leapt since the last look; 0 when it was set right for the first time."""
        now, synced = self._clock.now(), self._clock.synced()
        offset = self._clock.utc(now).timestamp() - now
        leap = 0.0 if self._offset is None or (synced and not self._was_synced) else offset - self._offset
        self._offset, self._was_synced = offset, synced
        return leap if abs(leap) > SLIP else 0.0

    def cpu_temp(self) -> Outcome:
        """Temperature of the processor (°C)."""
        for zone in sorted(self._root.glob("sys/class/thermal/thermal_zone*")):
            with suppress(ValueError):
                return int(_text(zone / "temp")) / 1000
        return NoValue("this machine does not tell")

    def memory_free(self) -> Outcome:
        """Share of the memory that is still to be had (%)."""
        lines = (line.split() for line in _text(self._root / "proc/meminfo").splitlines())
        kib = {line[0]: line[1] for line in lines if len(line) > 1}
        try:
            return round(100 * int(kib["MemAvailable:"]) / int(kib["MemTotal:"]), 1)
        except (KeyError, ValueError, ZeroDivisionError):
            return NoValue("this machine does not tell")

    def disk_free(self) -> Outcome:
        """Share of the disk under the hub's state that it may still write to (%)."""
        try:
            disk = os.statvfs(self._state)
        except OSError as error:
            return NoValue(error.strerror or "cannot be read")
        return round(100 * disk.f_bavail / disk.f_blocks, 1) if disk.f_blocks else NoValue("not a disk")


def _text(path: Path) -> str:
    """What a small file says; nothing where it cannot be read."""
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""

"""Machines whose every reading is a moment with a number of its own.

A reading is `level * 1,000,000 + number`. The level goes from well to too high to far too high and back to well; the number counts
the readings of all machines together. So each episode has three moments, and each moment says which reading it is about.
"""

from collections.abc import Iterator
from itertools import count

from gateway.moments import Moment

from peers.modbus_server import Slave, TcpWire

STEP = 1_000_000
SEVERITIES = ("critical", "warning", "info")

CONFIG = """
[hub]
id = "ledger"
state = "{state}"
[uplink]
url = "mqtt://127.0.0.1:{mqtt}"
keep_alive = "5 s"
retry_first = "{retry} s"
retry_longest = "{longest} s"
[limits]
moments_per_day = 100_000
kib_per_day = 1_000_000
moments_per_rule_and_hour = 10_000
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {modbus}
"""
DEVICE = """
[device.machine-{unit}]
bus = "line"
unit = {unit}
every = "{every} s"
points.level = {{ input = 0, type = "int32" }}
"""
RULE = """
[rule.machine-{unit}]
kind = "threshold"
on = ["machine-{unit}/level"]
above = {above}
worse = {worse}
severity = "{severity}"
proof = "0 s"
folds = 0
"""


def number_of(moment: Moment) -> int:
    """The number of the reading that a moment is about; 0 where it is about none, as when the hub tells of itself."""
    value = moment.data.value
    return int(value) % STEP if moment.subject.startswith("machine-") and isinstance(value, int | float) else 0


class Machine(Slave):
    """One machine. It stands still once `stopped`: the last reading again and again."""

    def __init__(self, numbers: Iterator[int]) -> None:
        super().__init__(input={0: 0, 1: 0})
        self._numbers = numbers
        self._level = 0
        self.stopped = False

    def reply(self, pdu: bytes) -> bytes:
        """See `Slave`."""
        if not self.stopped:
            self._level = (self._level + 1) % 3
            reading = self._level * STEP + next(self._numbers)
            self.tables["input"].update({0: reading >> 16, 1: reading & 0xFFFF})
        self.requests.clear()
        return super().reply(pdu)


class Machines:
    """All of them behind one Modbus TCP server: `read` is how many readings were given."""

    def __init__(self, number: int) -> None:
        self._numbers = count(1)
        self.machines = {unit: Machine(self._numbers) for unit in range(1, number + 1)}
        self.wire = TcpWire(self.machines)

    def stop(self) -> int:
        """No more news; returns how many readings there were."""
        for machine in self.machines.values():
            machine.stopped = True
        return next(self._numbers) - 1

    def config(self, *, state: object, mqtt: int, every: float, retry: float = 0.1, longest: float = 0.1) -> str:
        """Of a hub that reads them all every so many seconds. retry, longest: of the pauses before it connects again."""
        text = CONFIG.format(state=state, mqtt=mqtt, modbus=self.wire.port, retry=retry, longest=longest)
        for unit in self.machines:
            text += DEVICE.format(unit=unit, every=every)
            text += RULE.format(unit=unit, above=STEP, worse=2 * STEP, severity=SEVERITIES[unit % len(SEVERITIES)])
        return text

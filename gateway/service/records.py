"""What was done to each device, as far as the hub was told: which one is in its place, since when, and when it had maintenance.

Promises
- What a visit said of a device holds until the config is edited: whoever writes another serial number or date there knows better.
- A device keeps its history (past serial numbers, dates of maintenance) when it is replaced; a bounded one.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec
from msgspec import field
from msgspec.structs import replace

from gateway import moments
from gateway.config.model import Config, DeviceConfig
from gateway.service.desk import record as told

KEPT = 12  # past serial numbers and dates of maintenance of a device


class Record(msgspec.Struct, kw_only=True):
    """One device. `serial` and `installed` hold as long as the config says `instead_of` of both; None: they do not hold."""

    serial: str = ""
    installed: date | None = None
    instead_of: tuple[str, date | None] | None = None
    past: list[str] = field(default_factory=list)
    serviced: list[date] = field(default_factory=list)


class Records:
    """All devices that something was done to, by name."""

    def __init__(self, config: Config) -> None:
        self._devices = config.devices
        self._records: dict[str, Record] = {}

    def replaced(self, device: str, serial: str, day: date | None) -> None:
        """Another one is in its place, since a day."""
        was, record = self.serial(device), self._record(device)
        record.past = [*record.past, was][-KEPT:] if was else record.past
        record.serial, record.installed = serial, day
        record.instead_of = _written(self._devices[device])

    def had_maintenance(self, device: str, day: date) -> None:
        """It had maintenance on a day."""
        record = self._record(device)
        record.serviced = sorted({*record.serviced, day})[-KEPT:]

    def serial(self, device: str) -> str:
        """The serial number of the one that is there now; empty where that is not known."""
        record = self._records.get(device)
        return record.serial if record and record.instead_of else self._devices[device].common.serial

    def installed(self, device: str) -> date | None:
        """Since when that one is there."""
        record = self._records.get(device)
        return record.installed if record and record.instead_of else self._devices[device].common.installed

    def last_maintenance(self, device: str) -> date | None:
        """When it last had maintenance; None where nobody knows. What another device in its place had counts for nothing."""
        record, since = self._records.get(device), self.installed(device)
        known = [self._devices[device].common.serviced, *(record.serviced if record else ())]
        return max((day for day in known if day and (since is None or day >= since)), default=None)

    def new_since(self, device: str) -> date | None:
        """Since when it is as good as new: since its last maintenance, or since it was put in."""
        return self.last_maintenance(device) or self.installed(device)

    def device(self, name: str) -> moments.Device | None:
        """A device as a moment tells it, where there is more to say of it than the config does."""
        record = self._records.get(name)
        if record is None:
            return None
        serial, installed, serviced = self.serial(name), self.installed(name), self.last_maintenance(name)
        return replace(told(self._devices[name]), serial=serial, installed=installed, serviced=serviced)

    def _record(self, device: str) -> Record:
        return self._records.setdefault(device, Record())

    def memory(self) -> dict[str, Any]:
        """All of them, as plain data."""
        made: dict[str, Any] = msgspec.to_builtins(self._records)
        return made

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Take up what `memory` gave, as far as the config has these devices, and has not been edited since."""
        for name, record in msgspec.convert(memory, dict[str, Record]).items():
            if device := self._devices.get(name):
                self._records[name] = record
                if record.instead_of != _written(device):
                    record.serial, record.installed, record.instead_of = "", None, None


def _written(device: DeviceConfig) -> tuple[str, date | None]:
    return device.common.serial, device.common.installed

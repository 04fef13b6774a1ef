"""The desk: from a step of an episode to the moment about it, with its case number and its owner.

The customer hears from one contact, the desk, whoever has to put things right. Who that is, why, and when they can be reached is
said with every moment (`owners.py`).
"""

from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from gateway import moments
from gateway.clock import Clock
from gateway.config.model import Config, DeviceConfig
from gateway.config.office_hours import reachable
from gateway.diagnosis.contract import Change, Phase
from gateway.service import owners
from gateway.service.case import Cases
from gateway.service.contract import Statement, Unwritten
from gateway.store import Store

LAST = {Phase.CLOSED, Phase.WITHDRAWN}
ALONE = {"milestone", "visit", "digest"}  # kinds of which there is never more than one moment of a case


class Desk:
    """Turns changes into moments. `hub` is asked for the hub's own facts each time."""

    def __init__(self, config: Config, store: Store, clock: Clock, hub: Callable[[], moments.Hub]) -> None:
        self._config = config
        self._clock = clock
        self._hub = hub
        self._store = store
        self._cases = Cases(store, config.hub.id)

    def forget(self) -> None:
        """See `Cases.forget`."""
        self._cases.forget()

    def write(self, statement: Statement) -> moments.Moment:
        """The moment that says a statement; see `moment`."""
        adds = {
            name: value.written(self._clock.utc, self._cases.of) if isinstance(value, Unwritten) else value
            for name, value in statement.adds.items()
        }
        if statement.tried:
            adds["tried"] = tuple(
                moments.Tried(what=one.what, at=self._clock.utc(one.at).replace(microsecond=0), result=one.result, says=one.says)
                for one in statement.tried
            )
        return self.moment(statement.change, statement.owner, adds, statement.device, once=statement.once)

    def numbers(self) -> dict[str, str]:
        """From the key of each open case to its number."""
        return self._cases.numbers()

    def moment(
        self,
        change: Change,
        held_by: moments.Owner | None = None,
        adds: Mapping[str, Any] = {},
        now_there: moments.Device | None = None,
        *,
        once: bool = False,
    ) -> moments.Moment:
        """The moment about this change; `held_by` owns its case, where that is settled, `adds` is what the service has to add.

        `now_there` is the device, where the config is not the last word on it.

        Belongs in one transaction with the `Outbox.put` of the moment, so that an episode never loses its number before its last
        moment is stored: `with store.transaction(): outbox.put(*map(desk.moment, changes))`.
        """
        device = self._config.devices.get(change.point.device)
        with self._store.transaction():
            case = self._cases.of(change.episode)
            caused_by = self._cases.explained(change.episode, change.caused_by) if change.caused_by else ""
            if once or change.phase in LAST or change.kind in ALONE:
                self._cases.close(change.episode)
        return moments.compose(
            change,
            hub_id=self._config.hub.id,
            hub=self._hub(),
            case=case,
            owner=self._reachable(held_by or owners.owner(self._config, change), change.at),
            desk=moments.Desk(name=self._config.desk.name, contact=self._config.desk.contact),
            device=now_there or (record(device) if device else None),
            utc=self._clock.utc,
            caused_by=caused_by,
            adds=adds,
        )

    def _reachable(self, owner: moments.Owner, at: float) -> moments.Owner:
        """An owner with when they can be reached, as seen from a time."""
        keys = self._config.owners.get(owner.id)
        if keys is None or not keys.hours or not self._clock.synced():
            return owner
        when = reachable(keys.hours, self._clock.utc(at).astimezone(ZoneInfo(self._config.hub.time_zone)))
        return replace(owner, reachable=when and when.astimezone(UTC).replace(microsecond=0))


def record(device: DeviceConfig) -> moments.Device:
    """A device as a moment tells it."""
    common = device.common
    return moments.Device(
        id=device.name,
        label=common.label,
        maker=common.maker,
        model=common.model,
        serial=common.serial,
        firmware=common.firmware,
        installed=common.installed,
        warranty_until=common.warranty_until,
        serviced=common.serviced,
    )

"""The desk: from a step of an episode to the moment about it, with its case number and its owner.

The customer hears from one contact, the desk, whoever has to put things right. Who that is, and why, is said in words with every
moment: the rule names them; or they cover what is at fault (the device, its model, its maker or its bus; the bus alone where the
line is at fault and not the device; a part of the hub), or are the operator of the network that is; or the desk takes it.
"""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from gateway import moments
from gateway.clock import Clock
from gateway.config.model import Config, DeviceConfig
from gateway.diagnosis.contract import HUB, Change, Fault, Phase
from gateway.service.case import Cases
from gateway.service.contract import Statement
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

    def write(self, statement: Statement) -> moments.Moment:
        """The moment that says a statement; see `moment`."""
        adds = dict(statement.adds)
        if statement.tried:
            adds["tried"] = tuple(
                moments.Tried(what=one.what, at=self._clock.utc(one.at).replace(microsecond=0), result=one.result, says=one.says)
                for one in statement.tried
            )
        return self.moment(statement.change, statement.owner, adds, once=statement.once)

    def numbers(self) -> dict[str, str]:
        """From the key of each open case to its number."""
        return self._cases.numbers()

    def moment(
        self, change: Change, held_by: moments.Owner | None = None, adds: Mapping[str, Any] = {}, *, once: bool = False
    ) -> moments.Moment:
        """The moment about this change; `held_by` owns its case, where that is settled, `adds` is what the service has to add.

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
            owner=held_by or owner(self._config, change),
            desk=moments.Desk(name=self._config.desk.name, contact=self._config.desk.contact),
            device=record(device) if device else None,
            utc=self._clock.utc,
            caused_by=caused_by,
            adds=adds,
        )


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
    )


def owner(config: Config, change: Change) -> moments.Owner:
    """Who puts it right, and why."""
    named = change.rule.owner
    if named in config.owners:
        return _owner(config, named, f'the rule "{change.rule_id}" names them')
    if named == "desk":
        return _desk(config, f'the rule "{change.rule_id}" names the desk')
    fault = change.fault or Fault("device", change.point.device, "")
    why = f"{fault.because}; " if fault.because else ""
    for what in _layers(config, fault.where):
        for name, keys in config.owners.items():
            for pattern in keys.covers:
                if fnmatchcase(what.casefold(), pattern.casefold()):
                    return _owner(config, name, f'{why}they cover "{pattern}", and this is {what}')
    for name, keys in config.owners.items():
        if keys.role == fault.layer:  # the network operator, the energy supplier
            return _owner(config, name, f"{why}their role is {keys.role}")
    return _desk(config, f"{why}nobody covers {fault.where}")


def _desk(config: Config, because: str) -> moments.Owner:
    return moments.Owner(id="desk", name=config.desk.name, contact=config.desk.contact, because=because)


def _owner(config: Config, name: str, because: str) -> moments.Owner:
    keys = config.owners[name]
    return moments.Owner(id=name, name=keys.name, contact=keys.contact, because=because)


def _layers(config: Config, device: str) -> Iterator[str]:
    """What a fault may be laid to, in the words of `covers`, the narrowest first; "bus.NAME" and "hub.PART" are such words."""
    known = config.devices.get(device)
    if known is None:
        yield device
        if device.startswith(f"{HUB}."):
            yield HUB
        return
    yield f"device.{device}"
    if known.common.model:
        yield f"model.{known.common.model}"
    if known.common.maker:
        yield f"maker.{known.common.maker}"
    yield f"bus.{known.common.bus}"

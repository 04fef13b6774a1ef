"""Owners: who puts something right, why it is them, and when they can be reached.

The rule names them; or they cover what is at fault, the narrowest first: the device, its model, its maker, what it is a part of
(the network, the energy supply, the building, what is the customer's own), its bus; the bus alone where the line is at fault and
not the device; a part of the hub, or the layer that it is of. Whose role is such a layer covers it. Or else the desk takes it.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from gateway import moments
from gateway.config.model import PARTS_OF, Config
from gateway.diagnosis.contract import HUB, Change, Fault, Layer, RuleKeys

DESK = "desk"
"""The owner who is always there."""

LAYERS: dict[str, Layer] = {"network": "network", "energy": "energy"}  # what a device may be a part of, and the tree knows


def fault_of(config: Config, change: Change) -> Fault | None:
    """What is at fault: as the diagnosis says, or a device that is itself a part of the network or of the energy supply."""
    if change.fault and change.fault.layer != "device":
        return change.fault
    where = change.fault.where if change.fault else change.point.device
    known = config.devices.get(where)
    layer = LAYERS.get(known.common.part_of) if known else None
    return Fault(layer, where, change.fault.because if change.fault else "") if layer else change.fault


def owner(config: Config, change: Change) -> moments.Owner:
    """Who puts right what a change is about, and why."""
    return responsible(config, change.rule_id, change.rule, fault_of(config, change) or Fault("device", change.point.device, ""))


def responsible(config: Config, rule_id: str, rule: RuleKeys | None, fault: Fault) -> moments.Owner:
    """Who puts right what a rule is unhappy about and is laid to `fault`, and why."""
    named = rule.owner if rule else ""
    if named in config.owners or named == DESK:
        who = "the desk" if named == DESK and named not in config.owners else "them"
        return of(config, named, f'the rule "{rule_id}" names {who}')
    why = f"{fault.because}; " if fault.because else ""
    for what in _words(config, fault):
        for name, keys in config.owners.items():
            for pattern in keys.covers:
                if fnmatchcase(what.casefold(), pattern.casefold()):
                    return of(config, name, f'{why}they cover "{pattern}", and this is {_said(what, fault)}')
        for name, keys in config.owners.items():
            if keys.role == what:  # the network operator, the energy supplier
                return of(config, name, f"{why}their role is {keys.role}")
    return of(config, DESK, f"{why}nobody covers {fault.where}")


def of(config: Config, name: str, because: str) -> moments.Owner:
    """An owner of the config, or the desk, by name."""
    keys = config.owners.get(name)
    if keys is None:
        return desk(config, because)
    return moments.Owner(id=name, name=keys.name, contact=keys.contact, because=because)


def desk(config: Config, because: str) -> moments.Owner:
    """The desk as an owner."""
    return moments.Owner(id=DESK, name=config.desk.name, contact=config.desk.contact, because=because)


def exists(config: Config, name: str) -> bool:
    """Whether there is an owner of this name."""
    return name == DESK or name in config.owners


def _words(config: Config, fault: Fault) -> Iterator[str]:
    """What a fault may be laid to, in the words of `covers`, the narrowest first; "bus.NAME" and "hub.PART" are such words."""
    known = config.devices.get(fault.where)
    if known:
        yield f"device.{fault.where}"
        if known.common.model:
            yield f"model.{known.common.model}"
        if known.common.maker:
            yield f"maker.{known.common.maker}"
        if known.common.part_of:
            yield known.common.part_of
        yield f"bus.{known.common.bus}"
        return
    yield fault.where
    if fault.layer in LAYERS:
        yield fault.layer
    if fault.where.startswith(f"{HUB}."):
        yield HUB


def _said(what: str, fault: Fault) -> str:
    """A word of `covers` as an answer to what it is that is at fault."""
    return f"{fault.where}, a part of it" if what in PARTS_OF else what

"""What a reload must touch: where two configs differ."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.config.model import Config


class Changes(msgspec.Struct, frozen=True):
    """Names that were added, removed or changed. A bus has changed when any device on it has."""

    hub: bool
    uplink: bool
    desk: bool
    privacy: bool
    owners: frozenset[str]
    buses: frozenset[str]
    devices: frozenset[str]
    rules: frozenset[str]
    remedies: frozenset[str]
    maintenance: frozenset[str]
    insights: frozenset[str]
    digests: bool

    def __bool__(self) -> bool:
        return any(getattr(self, field) for field in self.__struct_fields__)


def changes(old: Config, new: Config) -> Changes:
    """Where two configs differ; false where they do not."""
    return Changes(
        hub=old.hub != new.hub,
        uplink=old.uplink != new.uplink,
        desk=old.desk != new.desk,
        privacy=old.privacy != new.privacy,
        owners=_differing(old.owners, new.owners),
        buses=_differing(old.buses, new.buses),
        devices=_differing(old.devices, new.devices),
        rules=_differing(old.rules, new.rules),
        remedies=_differing(old.remedies, new.remedies),
        maintenance=_differing(old.maintenance, new.maintenance),
        insights=_differing(old.insights, new.insights),
        digests=old.digests != new.digests,
    )


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))

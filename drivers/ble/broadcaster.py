"""A BLE device that is heard: from an advert to the values of its points, in BTHome or by a layout."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from drivers.ble import bthome
from drivers.ble.adverts import UNMEASURED, Advert, full_uuid
from drivers.ble.keys import DeviceKeys, PointKeys
from drivers.contract import DeviceSpec, NoValue, Outcome
from drivers.layout import compile_layout, compile_value

STRANGE = 10  # adverts that are not of the kind that is meant, until it is said: some devices speak in two formats in turn


class Spoken(NamedTuple):
    """What one advert says: values beside their points."""

    points: tuple[str, ...]
    values: tuple[Outcome, ...]


class _Language(Protocol):
    """How a broadcaster's data is understood."""

    @property
    def understood(self) -> bool:
        """False until it could be, once."""

    def hear(self, address: str, advert: Advert, at: float) -> Spoken | None:
        """What it says, None if nothing new. Raises Unreadable."""


class _BTHome:
    """In BTHome v2."""

    def __init__(self, keys: DeviceKeys, points: Mapping[str, PointKeys]) -> None:
        self._plan = tuple(
            (name, (point.object, point.index), compile_value(point, numeric=point.object not in bthome.TEXTS))
            for name, point in points.items()
        )
        self._sensor = bthome.Sensor(bytes.fromhex(keys.bind_key))

    @property
    def understood(self) -> bool:
        return self._sensor.understood

    def hear(self, address: str, advert: Advert, at: float) -> Spoken | None:
        data = advert.service_data.get(bthome.UUID)
        if data is None:
            return None
        said = self._sensor.hear(address, data, at)
        if not said:
            return None
        found = [(name, means, said[what]) for name, what, means in self._plan if what in said]
        values = tuple(value if isinstance(value, NoValue) else means(value) for _, means, value in found)
        return Spoken(tuple(name for name, _, _ in found), values)


class _Laid:
    """By a layout, in manufacturer or service data."""

    def __init__(self, keys: DeviceKeys, points: Mapping[str, PointKeys]) -> None:
        self._company = keys.manufacturer_data
        self._service = full_uuid(keys.service_data) if keys.service_data else ""
        self._starts = bytes.fromhex(keys.starts)
        self._points = tuple(points)
        self._layout = compile_layout(points.values())
        self._strange = 0
        self.understood = False

    def hear(self, _address: str, advert: Advert, _at: float) -> Spoken | None:
        if not self._points:  # a beacon: that it speaks is all it says
            return Spoken((), ())
        data = advert.service_data.get(self._service) if self._company is None else advert.manufacturer_data.get(self._company)
        if data is None:
            return None
        starts = self._starts
        if not data.startswith(starts):
            self._strange += 1
            if self.understood or self._strange < STRANGE:
                return None
            raise bthome.Unreadable(f"its data begins with {data[: len(starts)].hex()}, not {starts.hex()}", "use another profile")
        self.understood = True
        return Spoken(self._points, self._layout(data))


class Broadcaster:
    """One device that is heard."""

    def __init__(self, device: DeviceSpec) -> None:
        keys: DeviceKeys = device.keys
        spoken = {name: point for name, point in device.points.items() if not point.rssi}
        self._signal = tuple(name for name in device.points if name not in spoken)
        self.language: _Language = (_BTHome if keys.format == "bthome" else _Laid)(keys, spoken)
        self.device = device.name
        self.points = (*spoken, *self._signal)

    def hear(self, address: str, advert: Advert, at: float) -> Spoken | None:
        """What an advert of it says."""
        spoken = self.language.hear(address, advert, at)
        if spoken is None or not self._signal:
            return spoken if spoken and spoken.points else None
        rssi: Outcome = advert.rssi if advert.rssi != UNMEASURED else NoValue("not measured")
        return Spoken(spoken.points + self._signal, spoken.values + (rssi,) * len(self._signal))

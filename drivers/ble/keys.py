"""What a technician writes about BLE, and the mistakes in it that only the driver can see. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.ble import bthome
from drivers.ble.adverts import ADDRESS, full_uuid
from drivers.contract import BusSpec, Complaint, DeviceSpec, Held, KeyMistake, Keys, Seconds, Secret
from drivers.layout import LayoutKeys

STAND_IN = "stand-in:"
SHORTEST = 5.0  # s: finding a peripheral and connecting to it takes 1 to 10 s


class BusKeys(Keys, frozen=True, kw_only=True):
    """`[bus.NAME]` with `driver = "ble"`."""

    adapter: Annotated[
        str, Meta(description='A name of /sys/class/bluetooth; or "stand-in:PATH", a socket that takes adverts for a radio.')
    ] = "hci0"
    scanning: Annotated[
        Literal["auto", "active", "passive"],
        Meta(description="Passive spares the sensors' batteries; auto is passive where BlueZ and the devices allow it."),
    ] = "auto"
    deaf_after: Annotated[
        Seconds, Meta(ge=1, description="A scanner that hears nothing at all for so long is replaced. Longer than any real quiet.")
    ] = 300.0
    parallel: Annotated[int, Meta(ge=1, le=8, description="How many devices may be connected at once.")] = 2

    def __post_init__(self) -> None:
        if not re.fullmatch(rf"hci[0-9]+|{STAND_IN}.+", self.adapter):
            raise KeyMistake("adapter", f'"{self.adapter}"', f'an adapter such as "hci0", or "{STAND_IN}/run/canary/adverts"')


class DeviceKeys(Keys, frozen=True, kw_only=True):
    """A BLE device: who it is, and where in its adverts the values are."""

    address: Annotated[str, Meta(description='Its address: "54:48:E6:8F:80:A5".')] = ""
    name: Annotated[str, Meta(description="The name it advertises, where its address is not known or changes.")] = ""
    format: Annotated[Literal["", "bthome"], Meta(description="A published format that it speaks.")] = ""
    bind_key: Annotated[Secret, Meta(description="Key of encrypted BTHome, 32 hex digits, by reference.")] = ""
    manufacturer_data: Annotated[
        Annotated[int, Meta(ge=0, le=0xFFFF)] | None,
        Meta(description="Company id of the manufacturer data that holds the points."),
    ] = None
    service_data: Annotated[str, Meta(description='UUID of the service data that holds the points: "fdcd".')] = ""
    starts: Annotated[str, Meta(description="First bytes, in hex, of the data that is meant; other data is passed over.")] = ""

    def __post_init__(self) -> None:
        if self.address and not ADDRESS.fullmatch(self.address.upper()):
            raise KeyMistake("address", f'"{self.address}"', 'a Bluetooth address: "54:48:E6:8F:80:A5"')
        _check_uuid("service_data", self.service_data)
        _check_hex("starts", self.starts)


class PointKeys(LayoutKeys, frozen=True, kw_only=True):
    """A point of a BLE device: a BTHome `object`, a layout in its adverts or in a `characteristic`, or its signal strength."""

    object: Annotated[str, Meta(description='Name of a BTHome object: "temperature", "battery", "door", "button".')] = ""
    index: Annotated[int, Meta(ge=1, le=255, description="Which of several objects of that name in one advert.")] = 1
    characteristic: Annotated[str, Meta(description='UUID of the characteristic that holds it: "2a6e".')] = ""
    notify: Annotated[bool, Meta(description="Wait for the characteristic to be notified, rather than read it.")] = False
    rssi: Annotated[bool, Meta(description="The point is the signal strength of its adverts, in dBm.")] = False
    writable: Annotated[bool, Meta(description="A remedy may write it: a number or bit in a characteristic.")] = False
    read_back: Annotated[
        bool, Meta(description="Once written it reads as it was written; false of one that only starts something, as a restart.")
    ] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_uuid("characteristic", self.characteristic)
        if self.object:
            self._check_object()
        elif self.rssi:
            self._unit_is("dBm")
        if sum((bool(self.object), self.rssi, self.type is not None)) != 1:
            found = "several ways to find it" if self.object or self.rssi else "no way to find it"
            raise KeyMistake("", found, "one of: an `object` of BTHome; `type` and `at` of a layout; `rssi = true`")
        if self.characteristic and self.type is None:
            raise KeyMistake("characteristic", "a characteristic without a layout", '`type` beside it, such as type = "int16"')
        if self.notify and not self.characteristic:
            raise KeyMistake("notify", "notify without a characteristic", "`characteristic` beside it")
        if self.writable and (not self.characteristic or self.type in ("bcd", "string")):
            found = f'a point of type "{self.type}"' if self.characteristic else "a point without a characteristic"
            raise KeyMistake("writable", found, "a number or bit in a `characteristic`")
        if not (self.read_back or self.writable):
            raise KeyMistake("read_back", "a point that is never written", "`writable = true` beside it")

    @property
    def holds(self) -> Held:
        """See `PointKeys.holds`."""
        if self.object and not self.values:
            return "text" if self.object in bthome.TEXTS else "flag" if self.object in bthome.FLAGS else "number"
        return super().holds

    def _check_object(self) -> None:
        if self.object not in bthome.UNITS:
            from difflib import get_close_matches

            near = get_close_matches(self.object, bthome.UNITS, 3)
            names = " or ".join(f'"{name}"' for name in near) or ", ".join(bthome.UNITS)
            raise KeyMistake("object", f'"{self.object}"', f"a BTHome object: {names}")
        if self.object not in bthome.TEXTS:
            for raw in self.values:
                if not raw.isdecimal():
                    raise KeyMistake("values", f'"{raw}"', 'raw numbers as keys: { 0 = "dark", 2 = "bright" }')
        if (self.scale, self.offset) == (1.0, 0.0):
            self._unit_is(bthome.UNITS[self.object])

    def _unit_is(self, unit: str) -> None:
        """What is sent has a unit of its own: it need not be written, and nothing else may be."""
        if self.unit and self.unit.casefold() != unit.casefold():
            raise KeyMistake(
                "unit", f'"{self.unit}"', f'"{unit}", as it is sent; or leave it out' if unit else "none: it has no unit"
            )
        msgspec.structs.force_setattr(self, "unit", unit)


class SampleKeys(Keys, frozen=True, kw_only=True):
    """A recorded exchange, in hex: the data of one advert, or the values of characteristics by their UUIDs."""

    manufacturer_data: str = ""
    service_data: str = ""
    characteristics: Mapping[str, str] = {}

    def __post_init__(self) -> None:
        for key, data in (("manufacturer_data", self.manufacturer_data), ("service_data", self.service_data)):
            _check_hex(key, data)
        for uuid, data in self.characteristics.items():
            _check_uuid("characteristics", uuid)
            _check_hex("characteristics", data)


def _check_uuid(key: str, text: str) -> None:
    try:
        full_uuid(text or "0000")
    except ValueError:
        raise KeyMistake(key, f'"{text}"', 'a UUID: "2a6e" or "00002a6e-0000-1000-8000-00805f9b34fb"') from None


def _check_hex(key: str, text: str) -> None:
    try:
        bytes.fromhex(text)
    except ValueError:
        raise KeyMistake(key, f'"{text}"', 'bytes in hex: "40 02 ca 09"') from None


def is_peripheral(device: DeviceSpec) -> bool:
    """Whether it is connected to; else its adverts are heard."""
    return any(point.characteristic for point in device.points.values())


# ---------------------------------------------------------------- mistakes across keys


def check(bus: BusSpec) -> Sequence[Complaint]:
    """Mistakes across the keys of a bus, its devices and their points."""
    complaints = [complaint for device in bus.devices for complaint in _check_device(bus.keys, device)]
    seen: dict[str, str] = {}
    for device in bus.devices:
        key = "address" if device.keys.address else "name"
        who = device.keys.address.upper() or device.keys.name
        if who and seen.setdefault(who, device.name) != device.name:
            complaints.append(Complaint(("device", device.name, key), f"that of {seen[who]}", "one of its own"))
    if bus.keys.scanning == "passive":
        for device, why in only_active(bus.devices):
            found = f'"passive", which cannot hear {device.name}: {why}'
            complaints.append(Complaint(("bus", bus.name, "scanning"), found, '"auto" or "active"'))
    return complaints


def _check_device(bus: BusKeys, device: DeviceSpec) -> Iterator[Complaint]:
    keys: DeviceKeys = device.keys

    def complaint(found: str, expected: str, *path: str) -> Complaint:
        return Complaint(("device", device.name, *path), found, expected)

    if not keys.address and not keys.name:
        yield complaint("no address", 'address = "54:48:E6:8F:80:A5", or the name that it advertises')
    if is_peripheral(device):
        yield from _check_peripheral(bus, device, complaint)
    else:
        yield from _check_broadcaster(device, complaint)


def _check_peripheral(bus: BusKeys, device: DeviceSpec, complaint: Callable[..., Complaint]) -> Iterator[Complaint]:
    for name, point in device.points.items():
        if not point.characteristic:
            expected = "a characteristic, as its other points have; what it advertises can be a device of its own"
            yield complaint("a point without a characteristic", expected, "points", name)
    if bus.adapter.startswith(STAND_IN):
        yield complaint("a characteristic on a stand-in", "an adapter such as hci0: a stand-in has adverts only")
    if device.timeout < SHORTEST:
        yield complaint(f"{device.timeout:g} s", f'at least {SHORTEST:g} s, as connecting takes long: timeout = "20 s"', "timeout")


def _check_broadcaster(device: DeviceSpec, complaint: Callable[..., Complaint]) -> Iterator[Complaint]:
    keys: DeviceKeys = device.keys
    sources = (keys.format == "bthome") + (keys.manufacturer_data is not None) + bool(keys.service_data)
    laid = [name for name, point in device.points.items() if point.type is not None]
    objects = [name for name, point in device.points.items() if point.object]
    if sources > 1 or (laid and not sources):
        expected = 'one of: format = "bthome", manufacturer_data = 0x0499, service_data = "fdcd"'
        yield complaint("several places for its points" if sources else "nothing that says where its points are", expected)
    for name in laid if keys.format == "bthome" else ():
        yield complaint("a layout in BTHome", 'an object, such as object = "temperature"', "points", name, "type")
    for name in objects if keys.format != "bthome" else ():
        yield complaint("an object of BTHome", 'format = "bthome" at the device', "points", name, "object")
    if keys.bind_key and not _is_key(keys.bind_key):
        yield complaint("a key of another form", "32 hex digits, as the app that encrypted it shows them", "bind_key")
    if keys.bind_key and keys.format != "bthome":
        yield complaint("a key without BTHome", 'format = "bthome" beside it', "bind_key")
    if keys.starts and not (keys.service_data or keys.manufacturer_data is not None):
        yield complaint("starts without data", "manufacturer_data or service_data beside it", "starts")


def _is_key(text: str) -> bool:
    try:
        return len(bytes.fromhex(text)) == 16
    except ValueError:
        return False


# ---------------------------------------------------------------- passive scans

_SERVICE_DATA_16, _SERVICE_DATA_32, _SERVICE_DATA_128, _MANUFACTURER_DATA = 0x16, 0x20, 0x21, 0xFF  # AD types


def only_active(devices: Sequence[DeviceSpec]) -> Iterator[tuple[DeviceSpec, str]]:
    """The devices that a passive scan cannot hear, and why: BlueZ lets through what matches a pattern of data, and nothing else."""
    for device in devices:
        keys: DeviceKeys = device.keys
        if is_peripheral(device):
            yield device, "a peripheral is found by its address"
        elif not keys.address:
            yield device, "a name often comes with active scans only"
        elif keys.format != "bthome" and keys.manufacturer_data is None and not keys.service_data:
            yield device, "it has no data to be known by"


def patterns(devices: Sequence[DeviceSpec]) -> list[tuple[int, bytes]]:
    """What a passive scan has to let through, as (AD type, first bytes), each once."""
    wanted: dict[tuple[int, bytes], None] = {}
    for device in devices:
        keys: DeviceKeys = device.keys
        if keys.manufacturer_data is not None:
            wanted[_MANUFACTURER_DATA, keys.manufacturer_data.to_bytes(2, "little")] = None
        elif keys.format == "bthome" or keys.service_data:
            uuid = bytes.fromhex(full_uuid(keys.service_data or bthome.UUID).replace("-", ""))
            if uuid[4:] != bytes.fromhex("00001000800000805f9b34fb"):
                wanted[_SERVICE_DATA_128, uuid[::-1]] = None
            elif uuid[:2] != b"\0\0":
                wanted[_SERVICE_DATA_32, uuid[3::-1]] = None
            else:
                wanted[_SERVICE_DATA_16, uuid[3:1:-1]] = None
    return list(wanted)

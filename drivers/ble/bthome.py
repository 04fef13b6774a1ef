"""BTHome v2: what a sensor says in its service data under UUID 0xFCD2.

    40 00 07 01 61 02 CA 09
    |  |     |     `- object 0x02, temperature: sint16, lowest byte first, x 0.01 = 25.06 °C
    |  |     `------- object 0x01, battery: uint8 = 97 %
    |  `------------- object 0x00, packet id: 7
    `---------------- device information: bit 0 encrypted, bits 5 to 7 the version, 2

    41 E4 45 F3 C9 96 2B 33 22 11 00 6C 7C 45 19
    |  |                 |           `- check value, 4 bytes
    |  |                 `------------- counter, 4 bytes, lowest first, rises with every advert
    |  `------------------------------- the objects, AES-128-CCM; nonce: address, D2 FC, device information, counter
    `---------------------------------- device information, encrypted

Objects come in rising order of their ids, so that a receiver that does not know one keeps what came before it: it cannot know how
long the unknown one is. Source: the pages "format" and "encryption" of bthome.io.

Pure: bytes, the sensor's address and a time go in; values, nothing, or `Unreadable` come out, whatever the bytes.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from drivers.contract import NoValue, Outcome

UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"
REPEAT = 4.0  # s: a sensor sends one packet several times within this, so that one gets through
RESTARTED = 100  # a counter that fell below this is a sensor with a new battery, not a replayed advert

Said: TypeAlias = Mapping[tuple[str, int], Outcome]
"""What one advert says: (name of the object, which of that name: 1, 2, ...) -> value."""


class Unreadable(Exception):  # noqa: N818  (an advert's property, not an error of the program)
    """An advert that cannot be understood: why, in words that also do as the reason of "no value", and what to do about it."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason, self.remedy = reason, remedy


# ---------------------------------------------------------------- the objects


class Object(NamedTuple):
    """One kind of measurement or event. `size` is in bytes; 0 where a length byte comes first. `read` gives None for "nothing"."""

    name: str
    size: int
    read: Callable[[bytes], Outcome | None]
    unit: str = ""
    event: bool = False


def _number(name: str, size: int, factor: float = 1, unit: str = "", *, signed: bool = False) -> Object:
    exponent = Decimal(str(factor)).as_tuple().exponent
    assert isinstance(exponent, int)

    def read(data: bytes) -> Outcome:
        raw = int.from_bytes(data, "little", signed=signed)
        return raw if factor == 1 else round(raw * factor, -exponent)

    return Object(name, size, read, unit)


def _uint(name: str, size: int, factor: float = 1, unit: str = "") -> Object:
    return _number(name, size, factor, unit)


def _sint(name: str, size: int, factor: float = 1, unit: str = "") -> Object:
    return _number(name, size, factor, unit, signed=True)


def _truth(data: bytes) -> bool:
    return data != b"\0"


def _flag(name: str) -> Object:
    return Object(name, 1, _truth)


def _version(name: str, size: int) -> Object:
    return Object(name, size, lambda data: ".".join(str(part) for part in reversed(data)))


def _text(data: bytes) -> Outcome:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return NoValue("not UTF-8")


_PRESSES = {
    0x01: "press", 0x02: "double_press", 0x03: "triple_press", 0x04: "long_press", 0x05: "long_double_press",
    0x06: "long_triple_press", 0x80: "hold_press", 0x81: "hold_release",
    0xFE: "hold_press",  # Shelly BLU with firmware before 1.0.20, by Shelly's own table
}  # fmt: skip
_COMMANDS = {0x00: "off", 0x01: "on", 0x02: "toggle", 0x03: "step_up", 0x04: "step_down"}


def _button(data: bytes) -> Outcome | None:
    code = data[0]
    return _PRESSES.get(code, NoValue(f"unknown button event {code}")) if code else None


def _command(data: bytes) -> Outcome | None:
    return _COMMANDS.get(data[0], NoValue(f"unknown command {data[0]}"))


def _dimmer(data: bytes) -> Outcome | None:
    """Steps turned: to the left below 0, to the right above."""
    direction, steps = data
    if direction == 0:
        return None
    return {1: -steps, 2: steps}.get(direction, NoValue(f"unknown dimmer event {direction}"))


# Where the format has one name for two things (battery in % and battery low, mass in kg and in lb), the rarer has a longer name
# here: a name stands for one quantity in one unit. Several ids of one name are one quantity in several resolutions.
OBJECTS: Mapping[int, Object] = {
    0x00: _uint("packet_id", 1),
    0x01: _uint("battery", 1, 1, "%"),
    0x02: _sint("temperature", 2, 0.01, "°C"),
    0x03: _uint("humidity", 2, 0.01, "%"),
    0x04: _uint("pressure", 3, 0.01, "hPa"),
    0x05: _uint("illuminance", 3, 0.01, "lx"),
    0x06: _uint("mass", 2, 0.01, "kg"),
    0x07: _uint("mass_lb", 2, 0.01, "lb"),
    0x08: _sint("dew_point", 2, 0.01, "°C"),
    0x09: _uint("count", 1),
    0x0A: _uint("energy", 3, 0.001, "kWh"),
    0x0B: _uint("power", 3, 0.01, "W"),
    0x0C: _uint("voltage", 2, 0.001, "V"),
    0x0D: _uint("pm2_5", 2, 1, "µg/m³"),
    0x0E: _uint("pm10", 2, 1, "µg/m³"),
    0x0F: _flag("generic"),
    0x10: _flag("power_on"),
    0x11: _flag("opening"),
    0x12: _uint("co2", 2, 1, "ppm"),
    0x13: _uint("tvoc", 2, 1, "µg/m³"),
    0x14: _uint("moisture", 2, 0.01, "%"),
    0x15: _flag("battery_low"),
    0x16: _flag("battery_charging"),
    0x17: _flag("carbon_monoxide"),
    0x18: _flag("cold"),
    0x19: _flag("connectivity"),
    0x1A: _flag("door"),
    0x1B: _flag("garage_door"),
    0x1C: _flag("gas_detected"),
    0x1D: _flag("heat"),
    0x1E: _flag("light"),
    0x1F: _flag("unlocked"),
    0x20: _flag("wet"),
    0x21: _flag("motion"),
    0x22: _flag("moving"),
    0x23: _flag("occupancy"),
    0x24: _flag("plug"),
    0x25: _flag("presence"),
    0x26: _flag("problem"),
    0x27: _flag("running"),
    0x28: _flag("safe"),
    0x29: _flag("smoke"),
    0x2A: _flag("sound"),
    0x2B: _flag("tamper"),
    0x2C: _flag("vibration"),
    0x2D: _flag("window"),
    0x2E: _uint("humidity", 1, 1, "%"),
    0x2F: _uint("moisture", 1, 1, "%"),
    0x3A: Object("button", 1, _button, event=True),
    0x3B: Object("command", 0, _command, event=True),  # see objects(): its length byte counts differently
    0x3C: Object("dimmer", 2, _dimmer, event=True),
    0x3D: _uint("count", 2),
    0x3E: _uint("count", 4),
    0x3F: _sint("rotation", 2, 0.1, "°"),
    0x40: _uint("distance_mm", 2, 1, "mm"),
    0x41: _uint("distance", 2, 0.1, "m"),
    0x42: _uint("duration", 3, 0.001, "s"),
    0x43: _uint("current", 2, 0.001, "A"),
    0x44: _uint("speed", 2, 0.01, "m/s"),
    0x45: _sint("temperature", 2, 0.1, "°C"),
    0x46: _uint("uv_index", 1, 0.1),
    0x47: _uint("volume", 2, 0.1, "l"),
    0x48: _uint("volume_ml", 2, 1, "ml"),
    0x49: _uint("volume_flow_rate", 2, 0.001, "m³/h"),
    0x4A: _uint("voltage", 2, 0.1, "V"),
    0x4B: _uint("gas", 3, 0.001, "m³"),
    0x4C: _uint("gas", 4, 0.001, "m³"),
    0x4D: _uint("energy", 4, 0.001, "kWh"),
    0x4E: _uint("volume", 4, 0.001, "l"),
    0x4F: _uint("water", 4, 0.001, "l"),
    0x50: _uint("timestamp", 4, 1, "s"),  # since 1970, UTC
    0x51: _uint("acceleration", 2, 0.001, "m/s²"),
    0x52: _uint("gyroscope", 2, 0.001, "°/s"),
    0x53: Object("text", 0, _text),
    0x54: Object("raw", 0, bytes.hex),
    0x55: _uint("volume_storage", 4, 0.001, "l"),
    0x56: _uint("conductivity", 2, 1, "µS/cm"),
    0x57: _sint("temperature", 1, 1, "°C"),
    0x58: _sint("temperature", 1, 0.35, "°C"),
    0x59: _sint("count", 1),
    0x5A: _sint("count", 2),
    0x5B: _sint("count", 4),
    0x5C: _sint("power", 4, 0.01, "W"),
    0x5D: _sint("current", 2, 0.001, "A"),
    0x5E: _uint("direction", 2, 0.01, "°"),
    0x5F: _uint("precipitation", 2, 0.1, "mm"),
    0x60: _uint("channel", 1),
    0x61: _uint("rotational_speed", 2, 1, "rpm"),
    0x62: _sint("speed", 4, 0.000001, "m/s"),
    0x63: _sint("acceleration", 4, 0.000001, "m/s²"),
    0x64: _uint("light_level", 1),  # 0 dark, 1 twilight, 2 bright
    0x65: _uint("settings_revision", 1),
    0xF0: _uint("device_type", 2),
    0xF1: _version("firmware", 4),
    0xF2: _version("firmware", 3),
}

UNITS: Mapping[str, str] = {kind.name: kind.unit for kind in OBJECTS.values()}
"""Every name that a point may ask for, and its unit."""

FLAGS = frozenset(kind.name for kind in OBJECTS.values() if kind.read is _truth)
"""The names whose values are on or off."""

TEXTS = frozenset({"button", "command", "text", "raw", "firmware"})
"""The names whose values are text."""


def objects(payload: bytes) -> Iterator[tuple[Object, bytes]]:
    """The objects of a plain payload and their bytes, up to the first that is unknown or cut short."""
    at = 0
    while at < len(payload):
        kind = OBJECTS.get(payload[at])
        at += 1
        if kind is None:
            return
        size = kind.size
        if not size:
            if at == len(payload):
                return
            # The length of a command is in the lower 5 bits and leaves out the command itself; elsewhere it is the whole length.
            size = (payload[at] & 0x1F) + 1 if kind.read is _command else payload[at]
            at += 1
        if at + size > len(payload):
            return
        yield kind, payload[at : at + size]
        at += size


# ---------------------------------------------------------------- a sensor


class Sensor:
    """One sensor as it is heard: what must be remembered between its adverts is a key, a counter, and what was just said.

    `understood` is false until an advert could be read: while it is false, "no value" is the truth about all its points; after
    that, an advert that cannot be read is a stranger's or a broken one, and is best passed over.
    """

    def __init__(self, bind_key: bytes = b"") -> None:
        self.understood = False
        self._cipher = None
        if bind_key:  # a big import, left to those who need it
            from cryptography.hazmat.primitives.ciphers.aead import AESCCM

            self._cipher = AESCCM(bind_key, tag_length=4)
        self._counter = -1
        self._packet: Outcome | None = None
        self._said: dict[bytes, float] = {}  # the packet's payloads, and when each was last told

    def hear(self, address: str, data: bytes, at: float) -> Said:
        """What this service data says that was not just said; `at` is in seconds of any clock that does not jump.

        A repeated packet says nothing new for `REPEAT` seconds. After that its values count again, as they still hold; its events
        do not. (Some sensors keep one packet id for two payloads in turn, so that the id alone does not make a repeat.)
        """
        before = self._said.get(data)
        if before is not None and at - before < REPEAT:
            return {}
        payload = self._open(address, data)
        self.understood = True
        said: dict[tuple[str, int], Outcome] = {}
        events: list[tuple[str, int]] = []
        counts: dict[str, int] = {}
        for kind, raw in objects(payload):
            which = counts[kind.name] = counts.get(kind.name, 0) + 1
            value = kind.read(raw)
            if value is not None:
                said[kind.name, which] = value
                if kind.event:
                    events.append((kind.name, which))

        packet = said.get(("packet_id", 1))
        if packet != self._packet or (packet is None and data not in self._said) or len(self._said) > 8:
            self._packet = packet
            self._said.clear()
        if before is not None and (packet is not None or self._cipher):
            for event in events:
                del said[event]
        self._said[data] = at
        return said

    def _open(self, address: str, data: bytes) -> bytes:
        """The plain payload."""
        if not data:
            raise Unreadable("its BTHome data is empty", "check its firmware")
        info = data[0]
        if info >> 5 != 2:
            raise Unreadable(f"it speaks BTHome version {info >> 5}", "update its firmware to one that speaks version 2")
        mac, start = bytes.fromhex(address.replace(":", "")), 1
        if info & 0x02:  # reserved today; early drafts of version 2 put the address here, lowest byte first
            mac, start = data[6:0:-1], 7
        if not info & 0x01:
            if self._cipher:
                raise Unreadable("it is not encrypted though it has a bind_key", "switch its encryption on, or remove bind_key")
            return data[start:]
        return self._decrypt(mac + b"\xd2\xfc" + data[:1], data[start:])

    def _decrypt(self, nonce: bytes, sealed: bytes) -> bytes:
        if not self._cipher:
            raise Unreadable("it is encrypted", 'give its key: bind_key = { file = "/etc/canary/NAME.key" }')
        if len(sealed) < 8:
            raise Unreadable("its encrypted data is cut short", "check its firmware")
        from cryptography.exceptions import InvalidTag

        ciphertext, counter, check = sealed[:-8], sealed[-8:-4], sealed[-4:]
        try:
            payload = self._cipher.decrypt(nonce + counter, ciphertext + check, None)
        except (InvalidTag, ValueError):
            raise Unreadable("its bind_key does not fit", "copy the key again from the app that encrypted it") from None
        count = int.from_bytes(counter, "little")
        if RESTARTED <= count < self._counter:
            raise Unreadable(
                "its counter went back, as in a replayed advert", "if its battery was changed, reload the config to accept it"
            )
        self._counter = count
        return payload

"""BTHome v2, beside the package `bthome-ble` as its peer: the same bytes must mean the same."""

import contextlib
from datetime import datetime
from typing import Any

import pytest
from bthome_ble.const import MEAS_TYPES
from bthome_ble.event import EventDeviceKeys
from bthome_ble.parser import BTHomeBluetoothDeviceData
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from habluetooth import BluetoothServiceInfoBleak
from hypothesis import example, given
from hypothesis import strategies as st
from sensor_state_data.description import BaseBinarySensorDescription

from drivers.ble import bthome
from drivers.ble.bthome import OBJECTS, REPEAT, Sensor, Unreadable
from drivers.contract import NoValue

ADDRESS = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
PRESS = bytes.fromhex("40 00 05 01 61 3A 01")


def seal(payload: bytes, counter: int, key: bytes = KEY, info: int = 0x41) -> bytes:
    """What an encrypting sensor broadcasts."""
    count = counter.to_bytes(4, "little")
    nonce = bytes.fromhex(ADDRESS.replace(":", "")) + b"\xd2\xfc" + bytes([info]) + count
    sealed = AESCCM(key, tag_length=4).encrypt(nonce, payload, None)
    return bytes([info]) + sealed[:-4] + count + sealed[-4:]


def said(data: bytes, key: bytes = b"") -> dict[Any, Any]:
    """What a sensor never heard before says with this data."""
    return dict(Sensor(key).hear(ADDRESS, data, 0.0))


# ---------------------------------------------------------------- the published examples


def test_the_example_of_the_format_page():
    """The payload by which the format is explained is 25.00 °C and 50.55 %."""
    assert said(bytes.fromhex("40 02C409 03BF13")) == {("temperature", 1): 25.0, ("humidity", 1): 50.55}


def test_the_example_of_the_encryption_page():
    """The encrypted payload by which the encryption is explained opens with its key."""
    assert said(bytes.fromhex("41e445f3c9962b332211006c7c4519"), KEY) == {("temperature", 1): 25.06, ("humidity", 1): 50.55}


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        ("0161", "battery", 97),
        ("04138A01", "pressure", 1008.83),
        ("05138A14", "illuminance", 13460.67),
        ("0A138A14", "energy", 1346.067),
        ("3F020C", "rotation", 307.4),
        ("58EA", "temperature", -7.7),
        ("5C02FBFFFF", "power", -12.78),
        ("1A00", "door", False),
        ("2D01", "window", True),
        ("3A80", "button", "hold_press"),
        ("3C0103", "dimmer", -3),
        ("3C020A", "dimmer", 10),
        ("3B0002", "command", "toggle"),
        ("505D396164", "timestamp", int(datetime.fromisoformat("2023-05-14T19:41:17Z").timestamp())),
        ("530C48656C6C6F20576F726C6421", "text", "Hello World!"),
        ("540C48656C6C6F20576F726C6421", "raw", "48656c6c6f20576f726c6421"),
        ("F100010204", "firmware", "4.2.1.0"),
        ("F2000106", "firmware", "6.1.0"),
    ],
)
def test_each_kind_of_object_reads_as_published(data, name, value):
    """The format page's own examples, one for each way in which an object is packed."""
    assert said(bytes.fromhex("40" + data)) == {(name, 1): value}


# ---------------------------------------------------------------- beside the peer


def theirs(data: bytes, key: bytes | None = None) -> dict[str, Any]:
    """What the peer makes of this service data, by its keys."""
    update = BTHomeBluetoothDeviceData(key).update(
        BluetoothServiceInfoBleak(
            name=ADDRESS, address=ADDRESS, rssi=-60, manufacturer_data={}, service_data={bthome.UUID: data}, service_uuids=[],
            source="", device=None, advertisement=None, connectable=False, time=0.0, tx_power=None, raw=None,
        )
    )  # fmt: skip
    values: dict[str, Any] = {f"sensor {k.key}": v.native_value for k, v in update.entity_values.items()}
    values |= {f"binary {k.key}": v.native_value for k, v in update.binary_entity_values.items()}
    for k, event in update.events.items():
        values[f"event {k.key}"] = (event.event_type, event.event_properties)
    return {k: v for k, v in values.items() if not k.startswith("sensor signal_strength")}


def their_key(object_id: int) -> str:
    """The key under which the peer keeps this object, without its postfix."""
    meant = MEAS_TYPES[object_id].meas_format
    if isinstance(meant, EventDeviceKeys):
        return f"event {meant}"
    return f"{'binary' if isinstance(meant, BaseBinarySensorDescription) else 'sensor'} {meant.device_class}"


DEVICE_INFORMATION = {0xF0, 0xF1, 0xF2}  # the peer keeps it elsewhere


def test_every_object_of_the_peer_is_known_with_its_size():
    """No published object id is missing, and each is as long as the peer says."""
    assert set(OBJECTS) == set(MEAS_TYPES)
    for object_id, theirs_ in MEAS_TYPES.items():
        varies = theirs_.data_format in {"string", "raw", "command"}
        assert OBJECTS[object_id].size == (0 if varies else theirs_.data_length), hex(object_id)


def test_a_name_stands_for_one_quantity_in_one_unit():
    """Objects of one name have one unit, so that a point's value never changes its meaning with the sensor's resolution."""
    for name in bthome.UNITS:
        assert len({kind.unit for kind in OBJECTS.values() if kind.name == name}) == 1, name


@st.composite
def an_object(draw) -> tuple[int, bytes]:
    """An object id and its bytes, length byte included."""
    object_id = draw(st.sampled_from(sorted(set(OBJECTS) - DEVICE_INFORMATION)))
    kind = OBJECTS[object_id]
    if kind.name == "text":
        text = draw(st.text(min_size=1, max_size=6)).encode()
        return object_id, bytes([len(text)]) + text
    if kind.name == "raw":
        raw = draw(st.binary(min_size=1, max_size=8))
        return object_id, bytes([len(raw)]) + raw
    if kind.name == "command":
        arguments = draw(st.binary(max_size=3))
        return object_id, bytes([len(arguments), draw(st.integers(0, 4))]) + arguments
    if kind.name == "button":
        return object_id, bytes([draw(st.sampled_from([0, 1, 2, 3, 4, 5, 6, 0x80, 0x81]))])
    if kind.name == "dimmer":
        return object_id, bytes([draw(st.integers(0, 2)), draw(st.integers(0, 255))])
    return object_id, draw(st.binary(min_size=kind.size, max_size=kind.size))


@st.composite
def a_payload(draw) -> list[tuple[int, bytes]]:
    """Objects in rising order, of which no two share a key of the peer without being the same quantity."""
    drawn = sorted(draw(st.lists(an_object(), min_size=1, max_size=6)), key=lambda item: item[0])
    names: dict[str, str] = {}
    return [item for item in drawn if names.setdefault(their_key(item[0]), OBJECTS[item[0]].name) == OBJECTS[item[0]].name]


def compare(objects: list[tuple[int, bytes]], ours: dict[Any, Any], peer: dict[str, Any]) -> None:
    """Ours equals theirs, object by object."""
    names = [OBJECTS[object_id].name for object_id, _ in objects]
    counts: dict[str, int] = {}
    expected = 0
    for (object_id, data), name in zip(objects, names, strict=True):
        which = counts[name] = counts.get(name, 0) + 1
        key = their_key(object_id) + (f"_{which}" if names.count(name) > 1 else "")
        if key not in peer:
            assert (name, which) not in ours
            continue
        expected += 1
        ours_, theirs_ = ours[name, which], peer[key]
        if isinstance(theirs_, datetime):
            theirs_ = int(theirs_.timestamp())
        if name == "dimmer":
            turned, properties = theirs_
            theirs_ = properties["steps"] * (-1 if turned == "rotate_left" else 1)
        elif name in ("button", "command"):
            theirs_ = theirs_[0]
        # The peer rounds multiples of 0.35 to one decimal; the published result of 58EA, -7.7, is both.
        tolerance = 0.051 if object_id == 0x58 else 0
        assert ours_ == (pytest.approx(theirs_, abs=tolerance) if tolerance else theirs_), (hex(object_id), data)
    assert len(ours) == len(peer) == expected


@given(a_payload())
@example([(0x3A, b"\0"), (0x3A, b"\1")])
@example([(0x02, b"\xca\x09"), (0x45, b"\x11\x01")])
def test_plain_payloads_mean_what_the_peer_says(objects):
    """For any valid payload our values equal those of bthome-ble."""
    data = b"\x40" + b"".join(bytes([object_id]) + raw for object_id, raw in objects)
    compare(objects, said(data), theirs(data))


@given(a_payload(), st.integers(0, 2**32 - 1), st.binary(min_size=16, max_size=16), st.sampled_from([0x41, 0x45]))
def test_encrypted_payloads_mean_what_the_peer_says(objects, counter, key, info):
    """The same, for any key and counter."""
    payload = b"".join(bytes([object_id]) + raw for object_id, raw in objects)
    data = seal(payload, counter, key, info)
    if len(payload) < 2:  # too short for the peer
        return
    compare(objects, said(data, key), theirs(data, key))


@given(st.binary(max_size=40), st.sampled_from([b"", KEY]))
def test_any_bytes_give_values_or_unreadable(data, key):
    """Whatever is broadcast, nothing but values, nothing, or a named reason comes out."""
    with contextlib.suppress(Unreadable):
        assert all(isinstance(value, float | int | bool | str | NoValue) for value in said(data, key).values())


@given(a_payload(), st.integers(0, 60))
def test_a_cut_payload_keeps_what_came_whole(objects, cut):
    """What stands before the cut is read as if nothing were missing, and nothing of what stands behind it is guessed."""
    whole = b"\x40" + b"".join(bytes([object_id]) + raw for object_id, raw in objects)
    part = said(whole[: 1 + cut])
    assert part.items() <= said(whole).items()


def test_an_unknown_object_ends_the_reading():
    """Behind an object of unknown length nothing can be trusted: 0xC9 and all that follows is left alone."""
    assert said(bytes.fromhex("40 0161 C9 02CA09")) == {("battery", 1): 97}


# ---------------------------------------------------------------- what is remembered


def test_a_repeated_packet_says_nothing_new():
    """A packet that is sent several times, so that one gets through, is one reading and one press."""
    sensor = Sensor()
    assert sensor.hear(ADDRESS, PRESS, 0.0) == {("packet_id", 1): 5, ("battery", 1): 97, ("button", 1): "press"}
    assert sensor.hear(ADDRESS, PRESS, 0.5) == {}
    assert sensor.hear(ADDRESS, PRESS, REPEAT - 0.01) == {}


def test_a_packet_that_stays_is_still_so_but_not_pressed_again():
    """A sensor whose data does not change keeps its packet id: its values go on, lest it look dead; a press does not."""
    sensor = Sensor()
    sensor.hear(ADDRESS, PRESS, 0.0)
    assert sensor.hear(ADDRESS, PRESS, 60.0) == {("packet_id", 1): 5, ("battery", 1): 97}


def test_one_packet_id_for_two_payloads_in_turn_loses_neither():
    """Some firmware sends temperature and voltage in turn under one packet id (seen of pvvx 5.5): both are told, each once."""
    sensor = Sensor()
    climate, supply = bytes.fromhex("40 00B0 0151 028D0A 038D11"), bytes.fromhex("40 00B0 0C200B 1000 1101")
    told = [sensor.hear(ADDRESS, data, at) for at, data in enumerate((climate, supply, climate, supply))]
    assert [len(each) for each in told] == [4, 4, 0, 0]


def test_a_door_that_opens_twice_within_a_second_is_heard_twice():
    """Without a packet id only the very last advert can be a repeat: open, closed, open are three messages."""
    sensor = Sensor()
    open_, closed = bytes.fromhex("40 1A01"), bytes.fromhex("40 1A00")
    told = [sensor.hear(ADDRESS, data, 0.1 * n) for n, data in enumerate((open_, closed, open_, open_))]
    assert told == [{("door", 1): True}, {("door", 1): False}, {("door", 1): True}, {}]


def test_the_second_button_of_two_is_the_second():
    """An empty event keeps the place of the first button, and is itself no event."""
    assert said(bytes.fromhex("40 3A00 3A01")) == {("button", 2): "press"}


def test_an_unknown_event_is_no_value():
    """Something happened that this table has no word for: that is said, not left out and not guessed."""
    assert said(bytes.fromhex("40 3A07")) == {("button", 1): NoValue("unknown button event 7")}


# ---------------------------------------------------------------- keys and counters


def test_a_wrong_key_gives_no_value_ever():
    """What does not open with the key is unreadable, with a remedy; not one garbage value."""
    with pytest.raises(Unreadable, match="bind_key does not fit; copy the key again"):
        Sensor(bytes(16)).hear(ADDRESS, seal(b"\x02\xca\x09", 1), 0.0)


def test_an_encrypted_sensor_without_a_key_asks_for_it():
    """The remedy is the very line that is missing."""
    with pytest.raises(Unreadable, match="it is encrypted; give its key: bind_key = "):
        said(seal(b"\x02\xca\x09", 1))


def test_a_plain_advert_is_not_taken_for_an_encrypted_sensor():
    """Who knows the address only cannot speak for a sensor that has a key."""
    sensor = Sensor(KEY)
    sensor.hear(ADDRESS, seal(b"\x02\xca\x09", 1), 0.0)
    with pytest.raises(Unreadable, match="not encrypted though it has a bind_key"):
        sensor.hear(ADDRESS, bytes.fromhex("40 02CA09"), 1.0)
    assert sensor.understood


def test_a_replayed_advert_is_refused():
    """A counter that goes back is a recording; the sensor itself goes on being heard."""
    sensor = Sensor(KEY)
    old, new, newer = (seal(b"\x02\xca\x09", counter) for counter in (1000, 1001, 1002))
    sensor.hear(ADDRESS, old, 0.0)
    sensor.hear(ADDRESS, new, 10.0)
    with pytest.raises(Unreadable, match="counter went back"):
        sensor.hear(ADDRESS, old, 20.0)
    assert sensor.hear(ADDRESS, newer, 30.0)


def test_a_new_battery_is_no_replay():
    """A counter that begins again near 0 is a sensor that was restarted."""
    sensor = Sensor(KEY)
    sensor.hear(ADDRESS, seal(b"\x02\xca\x09", 5000), 0.0)
    assert sensor.hear(ADDRESS, seal(b"\x02\xca\x09", 3), 10.0)


def test_an_encrypted_press_is_heard_once():
    """The counter makes a repeated advert known as one, even without a packet id."""
    sensor = Sensor(KEY)
    press = seal(b"\x3a\x01", 7)
    assert sensor.hear(ADDRESS, press, 0.0) == {("button", 1): "press"}
    assert sensor.hear(ADDRESS, press, 100.0) == {}


@pytest.mark.parametrize("info", [0x00, 0x20, 0x60])
def test_another_version_is_named(info):
    """A sensor of another version is not read by the tables of this one."""
    with pytest.raises(Unreadable, match=f"version {info >> 5}"):
        said(bytes([info]) + b"\x02\xca\x09")


def test_the_address_in_the_data_is_not_taken_for_objects():
    """Early firmware sets bit 1 and sends its address first."""
    assert said(bytes.fromhex("42 A5808FE64854 02CA09")) == {("temperature", 1): 25.06}

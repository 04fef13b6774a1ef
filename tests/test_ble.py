"""BLE without a radio: what is made of adverts, when a scanner counts as deaf, the stand-in, and what a technician may write."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given
from hypothesis import strategies as st

import drivers
from drivers.ble import BLE
from drivers.ble import keys as ble_keys
from drivers.ble.adverts import UNMEASURED, Scan, Told, full_uuid
from drivers.ble.bthome import UUID
from drivers.ble.keys import BusKeys, DeviceKeys, PointKeys, SampleKeys
from drivers.contract import BusSpec, DeviceFault, DeviceSpec, KeyMistake, NoValue
from gateway.config.profiles import read_profile

from peers import virtual_time

ROOM, OTHER = "54:48:E6:8F:80:A5", "A4:C1:38:00:00:02"
WARM, WARMER = bytes.fromhex("40 00 01 02CA09"), bytes.fromhex("40 00 02 02D009")  # 25.06 °C and 25.12 °C
KEY = "231d39c1d7cc1ab1aee224cd096db932"


def device(name="room", points=None, timeout=1.0, **keys):
    keys = keys or {"address": ROOM, "format": "bthome"}
    return DeviceSpec(
        name=name, keys=DeviceKeys(**keys), points=points or {"temp": PointKeys(object="temperature")}, timeout=timeout
    )


def advert(data=None, *, name=None, rssi=-60, uuid=UUID, **companies):
    return Told(name, rssi, {int(k.removeprefix("c"), 16): v for k, v in companies.items()}, {uuid: data} if data else {})


class Air:
    """A radio that a test plays: an AdvertSource."""

    def __init__(self):
        self.starts = 0
        self.heard = None
        self.fault = None

    async def start(self, heard):
        if self.fault:
            raise self.fault
        self.starts += 1
        self.heard = heard

    async def stop(self):
        self.heard = None

    def say(self, address, advert):
        self.heard(address, advert, None)


class Hub:
    """A bus whose adverts come from a test, and what came out of it."""

    def __init__(self, *devices, **keys):
        self.told = []
        self.heard = []
        self.air = Air()
        spec = BusSpec(name="air", keys=BusKeys(adapter="stand-in:/nowhere", **keys), devices=devices)
        self.bus = BLE.open(spec, lambda who, text: self.told.append((who, text)))
        self.bus._scan = Scan(self.air, self.bus._advertised, frozenset())
        self.told.clear()  # that it is a stand-in

    def listen(self):
        return asyncio.create_task(self.bus.listen(lambda *batch: self.heard.append(batch)))


def played(play, *devices, **keys):
    """What was heard and told while `play(hub)` lasted, in virtual time."""

    async def main(_):
        hub = Hub(*devices, **keys)
        task = hub.listen()
        await asyncio.sleep(0)
        await play(hub)
        task.cancel()
        await asyncio.wait({task})
        return hub

    return virtual_time.run(main)


def said(*adverts, devices=None, **keys):
    """The same for adverts, (address, advert), a second apart."""

    async def play(hub):
        for address, what in adverts:
            hub.air.say(address, what)
            await asyncio.sleep(1)

    return played(play, *(devices or (device(),)), **keys)


# ---------------------------------------------------------------- what is made of adverts


def test_only_configured_devices_are_heard():
    """An advert of a stranger is dropped, whatever it says."""
    hub = said((OTHER, advert(WARM)), (ROOM, advert(WARM)))
    assert hub.bus.heard == {"room": ("temp",)}
    assert hub.heard == [("room", ("temp",), (25.06,))]


def test_the_case_of_an_address_does_not_matter():
    """Addresses are written in capitals by some and not by others."""
    assert said((ROOM, advert(WARM)), devices=[device(address=ROOM.lower(), format="bthome")]).heard


def test_a_point_takes_the_object_of_its_number():
    """A probe with two thermometers sends two temperatures, in an order that stays."""
    points = {"inside": PointKeys(object="temperature"), "outside": PointKeys(object="temperature", index=2)}
    hub = said((ROOM, advert(bytes.fromhex("40 02CA09 02CEFF"))), devices=[device(points=points)])
    assert hub.heard == [("room", ("inside", "outside"), (25.06, -0.5))]


def test_only_what_was_said_is_heard():
    """An advert without some of the points says nothing about them."""
    points = {"temp": PointKeys(object="temperature"), "press": PointKeys(object="button")}
    hub = said((ROOM, advert(WARM)), (ROOM, advert(bytes.fromhex("40 00 09 3A01"))), devices=[device(points=points)])
    assert hub.heard == [("room", ("temp",), (25.06,)), ("room", ("press",), ("press",))]


def test_a_raw_value_may_be_given_a_meaning():
    """Names and scales work on BTHome objects as on any other point."""
    points = {
        "light": PointKeys(object="light_level", values={"0": "dark", "1": "twilight", "2": "bright"}),
        "level": PointKeys(object="distance_mm", scale=0.1, unit="cm"),
    }
    hub = said((ROOM, advert(bytes.fromhex("40 400C00 6402"))), devices=[device(points=points)])
    assert hub.heard == [("room", ("light", "level"), ("bright", 1.2))]


def test_the_signal_strength_is_a_point_like_any_other():
    """It tells a sensor out of range from one that is broken; where it was not measured it has no value."""
    points = {"temp": PointKeys(object="temperature"), "signal": PointKeys(rssi=True)}
    hub = said((ROOM, advert(WARM, rssi=-77)), (ROOM, advert(WARMER, rssi=UNMEASURED)), devices=[device(points=points)])
    assert [values for _, _, values in hub.heard] == [(25.06, -77), (25.12, NoValue("not measured"))]


def test_a_beacon_says_that_it_is_there():
    """A device with nothing but its signal strength is heard with every advert."""
    beacon = device(points={"signal": PointKeys(rssi=True)}, address=ROOM)
    assert said((ROOM, advert()), devices=[beacon]).heard == [("room", ("signal",), (-60,))]


def test_service_data_is_read_by_its_layout():
    """Short and full UUIDs are the same thing."""
    level = {"level": PointKeys(at=1, type="uint8")}
    for uuid in ("181a", "0x181A", full_uuid("181a")):
        hub = said(
            (ROOM, advert(b"\x01\x57", uuid=full_uuid("181a"))), devices=[device(points=level, address=ROOM, service_data=uuid)]
        )
        assert hub.heard == [("room", ("level",), (87,))]


def test_data_of_another_kind_is_passed_over():
    """Some devices speak in two formats in turn; only the one that is meant is read, and nobody is bothered."""
    sensor = device(points={"temp": PointKeys(at=1, type="int8")}, address=ROOM, manufacturer_data=0x0499, starts="05")
    mine, other = advert(c499=b"\x05\x15"), advert(c499=b"\x06\x63")
    hub = said(*[(ROOM, other), (ROOM, mine)] * 20, devices=[sensor])
    assert {values for _, _, values in hub.heard} == {(21,)}
    assert hub.told == []


def test_a_device_that_never_sends_what_is_meant_is_said_to():
    """A tag with firmware of another format is not just silent: the log says which data it sends instead, once."""
    sensor = device(points={"temp": PointKeys(at=1, type="int8")}, address=ROOM, manufacturer_data=0x0499, starts="05")
    hub = said(*[(ROOM, advert(c499=b"\x03\x63"))] * 30, devices=[sensor])
    assert hub.heard[0] == ("room", ("temp",), (NoValue("its data begins with 03, not 05"),))
    assert hub.told == [("room", "its adverts cannot be read: its data begins with 03, not 05; use another profile")]


def sealed(counter, key=KEY, payload=b"\x02\xca\x09"):
    count = counter.to_bytes(4, "little")
    nonce = bytes.fromhex(ROOM.replace(":", "")) + b"\xd2\xfc\x41" + count
    data = AESCCM(bytes.fromhex(key), tag_length=4).encrypt(nonce, payload, None)
    return advert(b"\x41" + data[:-4] + count + data[-4:])


def test_an_encrypted_sensor_is_read_with_its_key():
    """The key is all it takes."""
    assert said((ROOM, sealed(1)), devices=[device(address=ROOM, format="bthome", bind_key=KEY)]).heard == [
        ("room", ("temp",), (25.06,))
    ]


@pytest.mark.parametrize(
    ("bind_key", "reason", "remedy"),
    [("00" * 16, "its bind_key does not fit", "copy the key again"), ("", "it is encrypted", "bind_key =")],
)
def test_a_sensor_that_cannot_be_read_has_no_values_and_says_why_once(bind_key, reason, remedy):
    """Never a garbage value; "no value" has the reason, and the log has the remedy, once."""
    hub = said(*[(ROOM, sealed(n)) for n in range(5)], devices=[device(address=ROOM, format="bthome", bind_key=bind_key)])
    assert hub.heard == [("room", ("temp",), (NoValue(reason),))] * 5
    assert [who for who, _ in hub.told] == ["room"]
    assert remedy in hub.told[0][1]


def test_a_strangers_advert_does_not_take_a_good_sensors_values():
    """Once a sensor was understood, an advert under its address that does not open is passed over, and told once."""
    hub = said(
        (ROOM, sealed(1)),
        (ROOM, sealed(2, "00" * 16)),
        (ROOM, advert(WARM)),
        devices=[device(address=ROOM, format="bthome", bind_key=KEY)],
    )
    assert hub.heard == [("room", ("temp",), (25.06,))]
    assert len(hub.told) == 2


@given(st.binary(max_size=40), st.sampled_from(["bthome", "layout", "key"]))
def test_any_bytes_give_readings_or_nothing(data, how):
    """Nothing that is broadcast raises anything."""
    keys = {
        "bthome": {"format": "bthome"},
        "key": {"format": "bthome", "bind_key": KEY},
        "layout": {"service_data": "fcd2", "starts": "05"},
    }[how]
    points = {"x": PointKeys(at=2, type="float32")} if how == "layout" else None
    hub = said((ROOM, advert(data or b"\0")), devices=[device(points=points, address=ROOM, **keys)])
    assert all(isinstance(value, float | int | str | bool | NoValue) for _, _, values in hub.heard for value in values)


# ---------------------------------------------------------------- names


def test_two_devices_of_one_name_are_not_mixed_up():
    """The second is not taken for the first, and the log asks for the address, once."""
    named = DeviceSpec(name="room", keys=DeviceKeys(name="Thermo", format="bthome"), points=device().points, timeout=1.0)
    hub = said(
        (ROOM, advert(WARM, name="Thermo")),
        (OTHER, advert(WARMER, name="Thermo")),
        (OTHER, advert(WARMER, name="Thermo")),
        devices=[named],
    )
    assert hub.heard == [("room", ("temp",), (25.06,))]
    assert len(hub.told) == 1
    assert ROOM in hub.told[0][1]
    assert OTHER in hub.told[0][1]


def test_a_name_moves_to_a_new_address_when_the_old_one_is_quiet():
    """A sensor that has a new address after its battery was changed is found again by its name."""
    named = DeviceSpec(name="room", keys=DeviceKeys(name="Thermo", format="bthome"), points=device().points, timeout=1.0)

    async def play(hub):
        hub.air.say(ROOM, advert(WARM, name="Thermo"))
        await asyncio.sleep(301)
        hub.air.say(OTHER, advert(WARMER, name="Thermo"))

    hub = played(play, named)
    assert [values for _, _, values in hub.heard] == [(25.06,), (25.12,)]
    assert hub.told == []


# ---------------------------------------------------------------- deaf


def test_the_silence_of_one_device_is_not_deafness():
    """As long as anything is heard, from whomever, the scanner stays."""

    async def play(hub):
        hub.air.say(ROOM, advert(WARM))
        for _ in range(20):
            await asyncio.sleep(100)
            hub.air.say(OTHER, advert())

    assert played(play, device(), deaf_after=300.0).air.starts == 1


def test_a_scanner_that_fell_silent_is_replaced_within_twice_the_time():
    """And the one that replaces it hears, without anybody being told of a fault."""

    async def play(hub):
        hub.air.say(ROOM, advert(WARM))
        await asyncio.sleep(601)
        assert hub.air.starts == 2
        hub.air.say(ROOM, advert(WARMER))

    hub = played(play, device(), deaf_after=300.0)
    assert [values for _, _, values in hub.heard] == [(25.06,), (25.12,)]


def test_a_new_scanner_that_hears_nothing_is_a_fault_of_the_bus():
    """Two scanners in turn that hear nothing: that is no quiet neighbourhood, or deaf_after is too short, and both are said."""

    async def main(clock):
        hub = Hub(device(), deaf_after=300.0)
        task = hub.listen()
        await asyncio.sleep(0)
        hub.air.say(ROOM, advert(WARM))
        with pytest.raises(DeviceFault) as caught:
            await task
        return hub, caught.value, clock.now()

    hub, fault, now = virtual_time.run(main)
    assert (fault.kind, fault.layer) == ("silent", "bus")
    assert "deaf_after" in fault.hint
    assert hub.air.starts == 2
    assert now == 900.0
    assert hub.air.heard is None  # and let go of


def test_what_a_new_scanner_meets_is_the_fault():
    """A scanner that cannot be replaced ends the listening with the reason."""

    async def play(hub):
        hub.air.say(ROOM, advert(WARM))
        hub.air.fault = DeviceFault("off", kind="gone", layer="bus")
        task = hub.listen()
        await asyncio.sleep(700)
        with pytest.raises(DeviceFault, match="off"):
            await task

    played(play, device(), deaf_after=300.0)


# ---------------------------------------------------------------- the stand-in


class Talker:
    """The far end of a stand-in's socket."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def say(self, **message):
        self.socket.sendto(msgspec.json.encode(message), str(self.path))


@pytest.fixture
def talker(tmp_path):
    talker = Talker(tmp_path / "adverts")
    yield talker
    talker.socket.close()


def stand_in(path, *devices):
    told = []
    spec = BusSpec(name="air", keys=BusKeys(adapter=f"stand-in:{path}"), devices=devices or (device(),))
    return BLE.open(spec, lambda *what: told.append(what)), told


async def listening(bus, talker):
    heard = asyncio.Queue()
    task = asyncio.create_task(bus.listen(lambda *batch: heard.put_nowait(batch)))
    while not talker.path.exists():  # noqa: ASYNC110  (that a socket appears is no event)
        await asyncio.sleep(0)
    return task, heard


async def stopped(task):
    task.cancel()
    await asyncio.wait({task})


async def test_a_stand_in_feeds_the_very_path_of_the_radio(talker):
    """Datagrams go through decoding, repeats and all, as adverts do; that they come from no radio is told."""
    bus, told = stand_in(talker.path)
    assert "stand-in" in told[0][1]
    task, heard = await listening(bus, talker)
    for data in ("400001 02ca09", "400001 02ca09", "400002 02d009"):
        talker.say(address=ROOM.lower(), name="Room", rssi=-60, service_data={"fcd2": data})
    async with asyncio.timeout(5):
        assert await heard.get() == ("room", ("temp",), (25.06,))
        assert await heard.get() == ("room", ("temp",), (25.12,))
    await stopped(task)


async def test_a_stand_in_takes_manufacturer_data_by_the_number_of_the_company(talker):
    """A company id is a JSON key, so it is decimal: 1177 is 0x0499."""
    bus, _ = stand_in(talker.path, device(points={"temp": PointKeys(at=1, type="int8")}, address=ROOM, manufacturer_data=0x0499))
    task, heard = await listening(bus, talker)
    talker.say(address=ROOM, manufacturer_data={"1177": "0515"})
    async with asyncio.timeout(5):
        assert await heard.get() == ("room", ("temp",), (21,))
    await stopped(task)


async def test_what_is_no_advert_is_passed_over_and_remarked_on_once(talker):
    """Whatever is sent to the socket, listening goes on."""
    bus, told = stand_in(talker.path)
    task, heard = await listening(bus, talker)
    for rubbish in (
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"address": "here"}',
        b'{"address": "54:48:E6:8F:80:A5", "service_data": {"fcd2": "4"}}',
    ):
        talker.socket.sendto(rubbish, str(talker.path))
    talker.say(address=ROOM, service_data={"fcd2": "400001 02ca09"})
    async with asyncio.timeout(5):
        await heard.get()
    assert len(told) == 2
    assert "no advert" in told[1][1]
    await stopped(task)


async def test_the_socket_is_its_owners_and_goes_with_the_listening(talker):
    """Nobody else may speak for the sensors, and nothing is left behind; what a dead process left is taken over."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as left_behind:
        left_behind.bind(str(talker.path))
    bus, _ = stand_in(talker.path)
    heard = asyncio.Queue()
    task = asyncio.create_task(bus.listen(lambda *batch: heard.put_nowait(batch)))
    async with asyncio.timeout(5):
        while heard.empty():
            with contextlib.suppress(ConnectionRefusedError):
                talker.say(address=ROOM, service_data={"fcd2": "400001 02ca09"})
            await asyncio.sleep(0)
    assert talker.path.stat().st_mode & 0o777 == 0o600
    await stopped(task)
    assert not talker.path.exists()


@pytest.mark.parametrize("path", ["occupied", "no/such/folder/adverts", "x" * 120])
async def test_a_socket_that_cannot_be_made_is_a_fault_of_the_bus(tmp_path, path):
    """A file that is no socket is left alone; the fault names the path."""
    occupied = tmp_path / "occupied"
    occupied.write_text("precious")
    bus, _ = stand_in(tmp_path / path)
    with pytest.raises(DeviceFault, match=path.partition("/")[0]) as caught:
        async with asyncio.timeout(5):
            await bus.listen(print)
    assert (caught.value.kind, caught.value.layer) == ("gone", "bus")
    assert caught.value.hint
    assert occupied.read_text() == "precious"


@pytest.mark.slow
def test_a_hub_without_a_radio_never_imports_bleak(tmp_path):
    """Neither reading a config nor a stand-in costs the memory of bleak or of cryptography."""
    script = f"""
import sys
from drivers.ble import BLE
from drivers.ble.keys import BusKeys, DeviceKeys, PointKeys
from drivers.contract import BusSpec, DeviceSpec
keys, points = DeviceKeys(address="{ROOM}", format="bthome"), {{"t": PointKeys(object="temperature")}}
device = DeviceSpec(name="d", keys=keys, points=points, timeout=1)
BLE.open(BusSpec(name="air", keys=BusKeys(adapter="stand-in:{tmp_path}/a"), devices=(device,)), lambda *_: None)
print([name for name in ("bleak", "dbus_fast", "cryptography") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout.strip() == "[]"


# ---------------------------------------------------------------- what a technician may write


def complaints(*devices, **keys):
    """The mistakes across keys, as "where: what was found"."""
    spec = BusSpec(name="air", keys=BusKeys(**keys), devices=devices)
    return [f"{'.'.join(complaint.path)}: {complaint.found}" for complaint in BLE.check(spec)]


READ = {"temp": PointKeys(characteristic="2a6e", type="int16")}
LAID = {"temp": PointKeys(at=1, type="int16")}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (device(format="bthome"), "device.room: no address"),
        (device(points=LAID, address=ROOM), "device.room: nothing that says where its points are"),
        (device(address=ROOM, format="bthome", manufacturer_data=1), "device.room: several places for its points"),
        (device(points=LAID), "device.room.points.temp.type: a layout in BTHome"),
        (device(address=ROOM), "device.room.points.temp.object: an object of BTHome"),
        (device(address=ROOM, service_data="fdcd"), "device.room.points.temp.object: an object of BTHome"),
        (device(address=ROOM, format="bthome", bind_key="abc"), "device.room.bind_key: a key of another form"),
        (device(points=LAID, address=ROOM, service_data="fdcd", bind_key=KEY), "device.room.bind_key: a key without BTHome"),
        (device(address=ROOM, format="bthome", starts="05"), "device.room.starts: starts without data"),
        (device(points=READ), "device.room.timeout: 1 s"),
        (
            device(points=READ | {"other": LAID["temp"]}, timeout=20.0, address=ROOM),
            "device.room.points.other: a point without a characteristic",
        ),
    ],
)
def test_mistakes_across_keys_are_told(wrong, complaint):
    """Each names the key and what was found there, and comes alone."""
    assert complaints(wrong) == [complaint]


def test_mistakes_across_devices_are_told():
    """Two devices have one address, a stand-in has no characteristics, a passive scan hears neither names nor beacons."""
    assert complaints(device(), device("second")) == ["device.second.address: that of room"]
    peripheral = device(points=READ, timeout=20.0, address=ROOM)
    assert complaints(peripheral, adapter="stand-in:/tmp/a") == ["device.room: a characteristic on a stand-in"]
    named = DeviceSpec(name="named", keys=DeviceKeys(name="x", format="bthome"), points=device().points, timeout=1.0)
    beacon = device("beacon", points={"signal": PointKeys(rssi=True)}, address=OTHER)
    passive = complaints(peripheral, named, beacon, scanning="passive")
    assert [text.split(",")[1].split(":")[0] for text in passive] == [
        f" which cannot hear {who}" for who in ("room", "named", "beacon")
    ]


def test_a_secret_is_not_in_the_complaint_about_it():
    """What is wrong with a key is said without the key."""
    spec = BusSpec(name="air", keys=BusKeys(), devices=(device(address=ROOM, format="bthome", bind_key="secret"),))
    assert "secret" not in repr(BLE.check(spec))


@pytest.mark.parametrize(
    ("make", "key", "expected"),
    [
        (lambda: BusKeys(adapter="usb0"), "adapter", "hci0"),
        (lambda: DeviceKeys(address="54:48"), "address", ROOM),
        (lambda: DeviceKeys(service_data="temperature"), "service_data", "2a6e"),
        (lambda: DeviceKeys(starts="5"), "starts", "hex"),
        (PointKeys, "", "object"),
        (lambda: PointKeys(object="temperature", type="int16"), "", "one of"),
        (lambda: PointKeys(object="temprature"), "object", '"temperature"'),
        (lambda: PointKeys(object="xyz"), "object", "battery"),
        (lambda: PointKeys(object="temperature", unit="°F"), "unit", "°C"),
        (lambda: PointKeys(object="count", unit="W"), "unit", "no unit"),
        (lambda: PointKeys(object="light_level", values={"dark": "dark"}), "values", "numbers"),
        (lambda: PointKeys(characteristic="2a6e", object="battery"), "characteristic", "type"),
        (lambda: PointKeys(characteristic="battery", type="uint8"), "characteristic", "2a6e"),
        (lambda: PointKeys(at=0, type="uint8", notify=True), "notify", "characteristic"),
        (lambda: SampleKeys(service_data="4x"), "service_data", "hex"),
        (lambda: SampleKeys(characteristics={"2a6e": "4x"}), "characteristics", "hex"),
    ],
)
def test_mistakes_in_one_table_are_told(make, key, expected):
    """The key is named, and what would be right."""
    with pytest.raises(KeyMistake) as caught:
        make()
    assert caught.value.key == key
    assert expected in caught.value.expected


def test_the_unit_of_an_object_need_not_be_written():
    """BTHome has its units in the format, so the point has it from there; however it is capitalised, it is the same."""
    assert PointKeys(object="temperature").unit == "°C"
    assert PointKeys(object="energy", unit="KWH").unit == "kWh"
    assert PointKeys(rssi=True).unit == "dBm"


def test_a_passive_scan_asks_for_every_kind_of_data_once():
    """Patterns are what BlueZ takes: the AD type and the first bytes as they are sent, the lowest first."""
    devices = [
        device(),
        device("twin", address=OTHER, format="bthome"),
        device("a", LAID, address="A4:C1:38:00:00:03", manufacturer_data=0x0499),
        device("b", LAID, address="A4:C1:38:00:00:04", service_data="cb9e957e-952d-4761-a7e1-4416494a5bfa"),
        device("c", LAID, address="A4:C1:38:00:00:05", service_data="12345678"),
    ]
    assert ble_keys.patterns(devices) == [
        (0x16, bytes.fromhex("d2fc")),
        (0xFF, bytes.fromhex("9904")),
        (0x21, bytes.fromhex("fa5b4a491644e1a761472d957e959ecb")),
        (0x20, bytes.fromhex("78563412")),
    ]
    assert list(ble_keys.only_active(devices)) == []


def test_a_sample_is_decoded_by_the_code_that_decodes_what_is_heard():
    """Adverts and characteristics alike; what cannot be read has its reason."""
    assert BLE.decode(device(), SampleKeys(service_data="40 02CA09")) == {"temp": 25.06}
    assert BLE.decode(device(), SampleKeys(service_data="20 02CA09")) == {"temp": NoValue("it speaks BTHome version 1")}
    read = device(points=READ | {"battery": PointKeys(characteristic="2a19", type="uint8")}, timeout=20.0, address=ROOM)
    assert BLE.decode(read, SampleKeys(characteristics={"2A6E": "1608"})) == {
        "temp": 2070,
        "battery": NoValue("not in this message"),
    }


def test_the_profile_that_the_readme_writes_proves_itself(tmp_path):
    """The Bluetooth example of drivers/README.md is free of mistakes and gives the readings beside its samples."""
    readme = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    begin = readme.index("# drivers/profiles/acme-t1.toml")
    path = tmp_path / "acme-t1.toml"
    path.write_text(readme[begin : readme.index("```", begin)], encoding="utf-8")
    profile = read_profile(path)
    assert len(profile.samples) == 2
    for sample, expected in profile.samples:
        readings = profile.driver.decode(profile.device, sample)
        assert {name: readings[name] for name in expected} == expected

"""What is written to a Bluetooth device is there on its side; an adapter that is reset comes back, with all that listens on it."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ble_bluez import METER, ROOM, WARM, WARMER, Hub, advertising, bluetoothd, meter, room, scanning, scans

from drivers.ble import BLE
from drivers.ble import bluez as radio
from drivers.ble.changes import change
from drivers.ble.keys import BusKeys, PointKeys
from drivers.contract import BusSpec, DeviceFault, KeyMistake, Misfit, NotTaken, NoValue
from drivers.layout import compile_field

from peers.bluez import Refused
from peers.dbus_daemon import system_bus

pytestmark = pytest.mark.slow

POINTS = {
    "setpoint": {"characteristic": "2a6e", "type": "int16", "scale": 0.01, "unit": "°C"},
    "fan": {"characteristic": "2b3c", "at": 1, "type": "bit", "bit": 2},
    "mode": {"characteristic": "2b3c", "at": 1, "type": "uint8", "bits": "4..5", "values": {"0": "off", "1": "eco", "2": "full"}},
    "restart": {"characteristic": "2b00", "type": "uint8", "read_back": False},
    "sink": {"characteristic": "2b01", "type": "uint8"},
}


@pytest.fixture(scope="module", autouse=True)
def dbus(tmp_path_factory):
    with system_bus(tmp_path_factory.mktemp("dbus")) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


@pytest.fixture
async def bluez(dbus):
    async with bluetoothd() as bluez:
        yield bluez


@contextlib.asynccontextmanager
async def thermostat(bluez, **options):
    """A device in range, and the hub that writes to it."""
    device = bluez.device(METER, "Thermostat")
    device.setpoint = device.characteristic("2a6e", b"\x16\x08", ("read", "write"))
    device.flags = device.characteristic("2b3c", b"\xaa\xc3\xbb", ("read", "write"))
    device.restart = device.characteristic("2b00", b"\x00", ("read", "write-without-response"))
    device.sink = device.characteristic("2b01", b"\x00", ("write",))
    task = advertising(device)
    hub = Hub(thermostat_spec(**options), scanning="active")
    try:
        yield device, hub
    finally:
        task.cancel()
        await asyncio.wait({task})
        await hub.bus.close()


def thermostat_spec(**options):
    return meter(name="thermostat", **options, **{name: PointKeys(writable=True, **keys) for name, keys in POINTS.items()})


async def test_a_characteristic_is_written_with_the_devices_word_for_it_and_read_back(bluez):
    async with thermostat(bluez) as (device, hub):
        assert await hub.bus.write("thermostat", "setpoint", 19.5) == 19.5
        assert device.setpoint.written == [((1950).to_bytes(2, "little"), "request")]
        assert not device.connected


async def test_what_else_stands_in_a_characteristic_stays(bluez):
    async with thermostat(bluez) as (device, hub):
        assert await hub.bus.write("thermostat", "fan", True) is True
        assert await hub.bus.write("thermostat", "mode", "full") == "full"
        assert [data.hex() for data, _ in device.flags.written] == ["aac7bb", "aae7bb"]


async def test_what_cannot_be_read_back_says_so(bluez):
    async with thermostat(bluez) as (device, hub):
        assert await hub.bus.write("thermostat", "restart", 1) == NoValue("it only starts something")
        assert device.restart.written == [(b"\x01", "command")]
        assert await hub.bus.write("thermostat", "sink", 7) == NoValue("it cannot be read")
        assert device.sink.written == [(b"\x07", "request")]


async def test_a_device_that_says_yes_and_does_nothing_is_found_out(bluez):
    async with thermostat(bluez) as (device, hub):
        device.setpoint.keeps = True
        fault = await hub.fault(hub.bus.write("thermostat", "setpoint", 19.5))
        assert isinstance(fault, NotTaken)
        assert fault.found == 20.7


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused("org.bluez.Error.NotPermitted", "Write not permitted"), "refused"),
        (Refused("org.bluez.Error.NotAuthorized", "Not authorized"), "refused"),
        (Refused("org.bluez.Error.Failed", "Operation failed with ATT error: 0x03"), "refused"),
        (Refused("org.bluez.Error.Failed", "Operation failed with ATT error: 0x0e"), "gone"),
    ],
)
async def test_a_refusal_is_told(bluez, error, kind):
    async with thermostat(bluez) as (device, hub):
        device.setpoint.refusal = error
        fault = await hub.fault(hub.bus.write("thermostat", "setpoint", 19.5))
        assert (fault.kind, fault.layer) == (kind, "device")
        assert device.setpoint.written == []


UNFIT = {
    "setpoint": (400.0, "-327.68 to 327.67"),
    "fan": (1, "true or false"),
    "mode": ("warm", '"off" or "eco" or "full"'),
    "sink": (256, "0 to 255"),
}


@pytest.mark.parametrize("point", UNFIT)
def test_a_value_that_does_not_fit_is_refused_without_a_radio(point):
    value, expected = UNFIT[point]
    assert BLE.misfit(thermostat_spec(), point, value).expected == expected
    assert Hub(thermostat_spec()).bus.misfit("thermostat", point, value).expected == expected


@pytest.mark.parametrize(
    "keys", [{"rssi": True}, {"type": "uint8"}, {"characteristic": "2a6e", "type": "string"}, {"object": "temperature"}]
)
def test_what_cannot_be_written_cannot_be_declared_writable(keys):
    with pytest.raises(KeyMistake) as caught:
        PointKeys(writable=True, **keys)
    assert caught.value.key == "writable"


# ---------------------------------------------------------------- the adapter


async def test_an_adapter_is_switched_off_and_on_and_heard_through_at_once(bluez):
    """Who listens gets a new scanner, and need not first find out that the old one is deaf."""
    hub = Hub(room(), scanning="active", deaf_after=1000)
    async with hub.listening() as task:
        await scanning(bluez)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        await hub.next()
        await hub.bus.reset()
        assert bluez.switched == [False, True]
        await scans(bluez, 2)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARMER})
        assert await hub.next() == ("room", ("temp",), (25.12,))
        assert not task.done()


async def test_after_a_reset_a_device_is_found_and_asked_again(bluez):
    async with thermostat(bluez) as (_, hub):
        assert (await hub.bus.read("thermostat"))[0] == 20.7
        await hub.bus.reset()
        assert (await hub.bus.read("thermostat"))[0] == 20.7


async def test_an_adapter_is_not_left_off_when_the_reset_is_cancelled(bluez):
    """Cancelled while bluetoothd is still switching off: it is switched on again before that is over."""
    bluez.held["Set"] = asyncio.Event()
    hub = Hub(room())
    resetting = asyncio.create_task(hub.bus.reset())
    async with asyncio.timeout(5):
        await bluez.asked.wait()
    resetting.cancel()
    await asyncio.sleep(0)
    resetting.cancel()
    bluez.held["Set"].set()
    with pytest.raises(asyncio.CancelledError):
        await resetting
    assert bluez.switched[-1] is True
    assert bluez.objects["/org/bluez/hci0"]["org.bluez.Adapter1"]["Powered"]


async def test_an_adapter_that_a_kill_has_left_off_is_switched_on_and_one_that_is_on_is_left_alone(bluez):
    for left in (False, True):
        bluez.power(on=left)
        async with thermostat(bluez) as (_, hub):
            await hub.bus.restore()
            assert (await hub.bus.read("thermostat"))[0] == 20.7
    assert bluez.switched == [True, True]


async def test_an_adapter_that_bluetoothd_will_not_switch_on_is_a_fault_of_the_bus(bluez):
    bluez.refuse["Set"] = Refused("org.bluez.Error.Failed", "Blocked through rfkill")
    fault = await Hub(room()).fault(Hub(room()).bus.reset())
    assert (fault.kind, fault.layer) == ("gone", "bus")
    assert "rfkill" in fault.hint


async def test_a_reset_without_an_adapter_or_bluetoothd_is_a_fault_of_the_bus(bluez):
    bluez.unplug()
    fault = await Hub(room()).fault(Hub(room()).bus.reset())
    assert (fault.layer, "there is no Bluetooth adapter hci0" in fault.what) == ("bus", True)
    await bluez.stop()
    fault = await Hub(room()).fault(Hub(room()).bus.reset())
    assert (fault.layer, "bluetoothd is not running" in fault.what) == ("bus", True)
    await bluez.start()


async def test_a_stand_in_has_nothing_to_reset(tmp_path):
    bus = BLE.open(BusSpec(name="air", keys=BusKeys(adapter=f"stand-in:{tmp_path}/a"), devices=(room(),)), lambda *_: None)
    with pytest.raises(DeviceFault, match="has no adapter"):
        await bus.reset()


async def test_switching_that_takes_for_ever_has_an_end(bluez, monkeypatch):
    monkeypatch.setattr(radio, "SWITCHING", 0.05)
    bluez.held["Set"] = asyncio.Event()
    fault = await Hub(room()).fault(Hub(room()).bus.reset())
    assert (fault.kind, fault.layer) == ("silent", "bus")
    bluez.held["Set"].set()


# ---------------------------------------------------------------- the way there is the way back

KINDS = ["int8", "int16", "int24", "int32", "uint8", "uint16", "uint24", "uint32", "float16", "float32", "float64", "bool", "bit"]


@given(
    st.sampled_from(KINDS), st.integers(0, 5), st.sampled_from(["big", "little"]), st.binary(min_size=16, max_size=16), st.data()
)
def test_whatever_can_be_read_can_be_written_and_nothing_beside_it_changes(kind, at, endian, there, data):
    """A field of any bytes, read; its value, written onto other bytes, reads the same, and the bytes around it stay."""
    scale = data.draw(st.sampled_from([1.0, 0.1, 0.01, 0.5, 10.0])) if kind not in ("bool", "bit") else 1.0
    point = PointKeys(
        characteristic="2a6e", type=kind, at=at, endian=endian, scale=scale, bit=3 if kind == "bit" else None, writable=True
    )
    value = compile_field(point)(there)
    if isinstance(value, NoValue):
        return
    planned = change(point, value)
    assert not isinstance(planned, Misfit)
    present = data.draw(st.binary(min_size=16, max_size=16))
    became = planned.onto(present)
    assert compile_field(point)(became) == planned.reads
    assert planned.reads == pytest.approx(value, rel=1e-3 if kind == "float16" else 1e-6)
    end = at + planned.size
    assert became[:at] + became[end:] == present[:at] + present[end:]

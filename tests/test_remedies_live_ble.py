"""A remedy by Bluetooth at a real hub, seen from bluetoothd's side: a characteristic that is written, an adapter that is reset."""

import asyncio
import signal
from contextlib import asynccontextmanager

import pytest
from remedies_of import INTERRUPTED, TRIED_AGAIN, WELL_BY_ITSELF, WORKED, acts, cloud, life, steps, stopped

from peers.bluez import ADAPTER, BlueZ
from peers.dbus_daemon import system_bus
from peers.patience import until

pytestmark = pytest.mark.slow

FRIDGE, ROOM = "A4:C1:38:00:00:01", "54:48:E6:8F:80:A5"
MILD = {"fcd2": bytes.fromhex("40 02CA09")}  # BTHome: 25.06 °C
AIR = """
[bus.air]
driver = "ble"
scanning = "active"
"""
COLDER = """
[device.fridge]
bus = "air"
address = "A4:C1:38:00:00:01"
every = "100 ms"
timeout = "5 s"
[device.fridge.points]
temp = { characteristic = "2a6e", type = "int16", scale = 0.01, unit = "°C" }
setpoint = { characteristic = "2b00", type = "int16", scale = 0.01, unit = "°C", writable = true }
[rule.warm]
kind = "threshold"
on = "fridge/temp"
above = "8 °C"
proof = "0 s"
[remedy.colder]
for = "warm"
on = "fridge"
write = "fridge/setpoint"
value = 4.0
proof = "fridge/temp < 6 °C"
spacing = "1 s"
within = "1 h"
"""
RADIO = """
[device.room]
bus = "air"
address = "54:48:E6:8F:80:A5"
format = "bthome"
every = "1 s"
points.temp = { object = "temperature" }
[remedy.radio]
for = "quiet"
reset = "bus.air"
spacing = "1 s"
within = "1 h"
[rule.quiet]
kind = "silent"
after = "1 s"
proof = "0 s"
"""
WARM, COLD, LOWER = (round(celsius * 100).to_bytes(2, "little") for celsius in (10.0, 5.0, 4.0))


@pytest.fixture(scope="module", autouse=True)
def dbus(tmp_path_factory):
    with system_bus(tmp_path_factory.mktemp("dbus")) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield


@pytest.fixture
async def bluez(dbus):
    async with BlueZ() as bluez:
        yield bluez


@pytest.fixture
async def heard(tmp_path):
    async with cloud(tmp_path) as heard:
        yield heard


@asynccontextmanager
async def advertising(device, **data):
    """It goes on advertising, until the end of the block."""

    async def go_on():
        rssi = -60
        while True:
            rssi = -60 - (rssi + 61) % 10
            await device.advertise(rssi=rssi, **data)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@pytest.fixture
async def fridge(bluez):
    """A fridge that is too warm, in range."""
    fridge = bluez.device(FRIDGE, "Fridge")
    fridge.temp = fridge.characteristic("2a6e", WARM, ("read",))
    fridge.setpoint = fridge.characteristic("2b00", (700).to_bytes(2, "little"), ("read", "write"))
    async with advertising(fridge):
        yield fridge


async def is_read(fridge, times):
    """Wait until its temperature was read so often."""
    async with asyncio.timeout(15):
        for _ in range(times):
            fridge.temp.read_asked.clear()
            await fridge.temp.read_asked.wait()


def write(folder, *texts):
    path = folder / "hub.toml"
    path.write_text("".join(texts), "utf-8")
    return path


# ---------------------------------------------------------------- a characteristic


async def test_a_characteristic_is_written_and_what_comes_of_it_is_told(bluez, fridge, heard, tmp_path):
    async with life(write(tmp_path, heard.hub, AIR, COLDER)) as hub:
        await until(lambda: fridge.setpoint.written)
        fridge.temp.value = COLD
        recovery = await heard.hears_that_it_has_worked("fridge/temp", 10.0, 5.0, "by the remedy colder")
        assert recovery.tried[0].says.startswith("Fridge/setpoint was set to 4 and reads 4, it was 7.")
        await stopped(hub)
    assert fridge.setpoint.written == [(LOWER, "request")]
    assert steps(heard.moments) == WORKED


async def test_a_kill_while_a_write_is_in_the_air_is_told_and_it_is_not_written_again(bluez, fridge, heard, tmp_path):
    """Nothing but the time that its effect may take stands against another try; and the device has taken it after all."""
    bluez.held["WriteValue"] = asyncio.Event()
    path = write(tmp_path, heard.hub, AIR, COLDER)
    async with life(path) as hub:
        await asyncio.wait_for(bluez.asked.wait(), 15)
        hub.signal(signal.SIGKILL)
        assert await hub.end() == -9
    bluez.held.pop("WriteValue").set()
    await until(lambda: fridge.setpoint.written)
    async with life(path) as hub:
        await heard.hears("problem", "worsened")
        await is_read(fridge, 12)  # for longer than the spacing
        fridge.temp.value = COLD
        closed = await heard.hears("problem", "closed")
        await stopped(hub)
        assert acts(hub) == []
    assert fridge.setpoint.written == [(LOWER, "request")]
    assert steps(heard.moments) == WELL_BY_ITSELF
    assert closed.how == "by itself"


@pytest.mark.parametrize(("moment", "left"), [("stored", []), ("taken", [LOWER])])
async def test_after_a_kill_it_is_written_again_when_the_device_still_shows_that_it_must(
    bluez, fridge, heard, tmp_path, moment, left
):
    path = write(tmp_path, heard.hub, AIR, COLDER.replace('within = "1 h"', 'within = "2 s"'))
    async with life(path, moment) as hub:
        assert await hub.end(15.0) == -9
    assert [data for data, _ in fridge.setpoint.written] == left
    async with life(path) as hub:
        await heard.hears("problem", "worsened")
        assert steps(heard.moments) == INTERRUPTED
        if not left:
            fridge.reachable.clear()
            await hub.until("does not answer")  # nobody knows how warm it is, for longer than its effect may take
            assert acts(hub) == []
            fridge.reachable.set()
        await until(lambda: len(fridge.setpoint.written) > len(left))
        fridge.temp.value = COLD
        await heard.hears_that_it_has_worked("fridge/temp", 10.0, 5.0, "by the remedy colder")
        await stopped(hub)
    assert [data for data, _ in fridge.setpoint.written] == [*left, LOWER]
    assert steps(heard.moments) == TRIED_AGAIN


# ---------------------------------------------------------------- an adapter


def powered(bluez):
    return bluez.objects[ADAPTER]["org.bluez.Adapter1"]["Powered"]


async def test_an_adapter_is_reset_once_and_what_comes_of_it_is_told(bluez, heard, tmp_path):
    """A radio that hears nobody until it is switched off and on."""
    async with life(write(tmp_path, heard.hub, AIR, RADIO, 'on = "room/temp"\n')) as hub:
        await until(lambda: bluez.switched == [False, True])
        async with advertising(bluez.device(ROOM), service_data=MILD):
            await heard.hears_that_it_has_worked("room/temp", None, 25.06, "by the remedy radio")
        await stopped(hub)
    assert bluez.switched == [False, True]
    assert steps(heard.moments) == WORKED


async def test_an_adapter_that_is_off_can_be_reset(bluez, heard, tmp_path):
    """That is why the bus cannot be opened, and no reason to leave it so."""
    bluez.power(on=False)
    async with life(write(tmp_path, heard.hub, AIR, RADIO, 'on = "bus.air/state"\n')) as hub:
        async with advertising(bluez.device(ROOM), service_data=MILD):
            await heard.hears_that_it_has_worked("bus.air/state", "down", "well", "by the remedy radio")
        await stopped(hub)
    assert powered(bluez)
    assert bluez.switched == [False, True]
    assert steps(heard.moments) == WORKED


async def test_a_kill_in_the_middle_of_a_reset_is_told_and_the_adapter_is_switched_on_and_not_reset_again(bluez, heard, tmp_path):
    bluez.held["Set"] = asyncio.Event()
    path = write(tmp_path, heard.hub, AIR, RADIO, 'on = "room/temp"\n')
    async with life(path) as hub:
        await asyncio.wait_for(bluez.asked.wait(), 15)
        hub.signal(signal.SIGKILL)
        assert await hub.end() == -9
    bluez.held.pop("Set").set()
    await until(lambda: bluez.switched)
    assert not powered(bluez)
    async with life(path) as hub:
        worsened = await heard.hears("problem", "worsened")
        assert worsened.says.endswith("What it may have left off is switched on first.")
        await until(lambda: powered(bluez))
        async with advertising(bluez.device(ROOM), service_data=MILD):
            await heard.hears("problem", "closed")
        await stopped(hub)
        assert acts(hub) == []
    assert bluez.switched == [False, True]
    assert steps(heard.moments) == WELL_BY_ITSELF

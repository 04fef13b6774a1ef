"""BLE over the real bleak on a real D-Bus, with a stand-in for bluetoothd at the other end: what goes right and what goes wrong.

The faults are those that the real bluetoothd and bleak were seen to make (drivers/ble/bluez.py has the list).
"""

import asyncio
import contextlib

import pytest
from bleak.backends.bluezdbus import manager as bleak_manager

from drivers.ble import BLE
from drivers.ble.keys import BusKeys, DeviceKeys, PointKeys
from drivers.contract import BusSpec, DeviceFault, DeviceSpec, NoValue

from peers.bluez import BlueZ, Refused, failed
from peers.dbus_daemon import system_bus

pytestmark = pytest.mark.slow

ROOM, RUUVI, METER, OTHER = "54:48:E6:8F:80:A5", "CB:B8:33:4C:88:4F", "A4:C1:38:00:00:01", "A4:C1:38:00:00:02"
WARM, WARMER = bytes.fromhex("40 00 01 02CA09"), bytes.fromhex("40 00 02 02D009")  # 25.06 °C and 25.12 °C


@pytest.fixture(scope="module", autouse=True)
def dbus(tmp_path_factory):
    with system_bus(tmp_path_factory.mktemp("dbus")) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address


@contextlib.asynccontextmanager
async def bluetoothd(**options):
    """A bluetoothd, and bleak's connection to the bus ended with it: bleak keeps one for each event loop, for ever."""
    try:
        async with BlueZ(**options) as bluez:
            yield bluez
    finally:
        manager = bleak_manager._global_instances.pop(asyncio.get_running_loop(), None)
        if manager and manager._bus:
            manager._bus.disconnect()
            await asyncio.wait({manager._bus_watcher_task}, timeout=5)


@pytest.fixture
async def bluez(dbus):
    async with bluetoothd() as bluez:
        yield bluez


def room(**keys):
    """A BTHome thermometer."""
    keys = {"address": ROOM, "format": "bthome"} | keys
    return DeviceSpec(name="room", keys=DeviceKeys(**keys), points={"temp": PointKeys(object="temperature")}, timeout=1.0)


def ruuvi():
    """A sensor whose manufacturer data has a layout."""
    keys = DeviceKeys(address=RUUVI, manufacturer_data=0x0499, starts="05")
    temp = PointKeys(at=1, type="int16", endian="big", scale=0.005)
    return DeviceSpec(name="ruuvi", keys=keys, points={"temp": temp}, timeout=1.0)


def meter(address=METER, name="meter", timeout=4.0, **points):
    """A device with characteristics: temperature in 2a6e and battery level in 2a19, unless said otherwise."""
    usual = {
        "temp": PointKeys(characteristic="2a6e", type="int16", scale=0.01),
        "battery": PointKeys(characteristic="2a19", type="uint8"),
    }
    return DeviceSpec(name=name, keys=DeviceKeys(address=address), points=points or usual, timeout=timeout)


class Hub:
    """A bus and what came out of it."""

    def __init__(self, *devices, **keys):
        self.told = []
        spec = BusSpec(name="air", keys=BusKeys(**keys), devices=devices)
        self.bus = BLE.open(spec, lambda who, text: self.told.append((who, text)))
        self.heard = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def listening(self, *, again=False):
        """The task that listens, until the end of the block; `again` after a fault, as the poller does."""
        task = asyncio.create_task(self._listen_again() if again else self._listen())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})
            await self.bus.close()

    async def _listen(self):
        await self.bus.listen(lambda *batch: self.heard.put_nowait(batch))

    async def _listen_again(self):
        while True:
            with contextlib.suppress(DeviceFault):
                await self._listen()

    async def next(self):
        async with asyncio.timeout(5):
            return await self.heard.get()

    async def fault(self, awaitable):
        """The fault that this ends with."""
        async with asyncio.timeout(5):
            with pytest.raises(DeviceFault) as caught:
                await awaitable
        return caught.value


async def scanning(bluez):
    async with asyncio.timeout(5):
        await bluez.scanning.wait()


async def scans(bluez, number):
    """Until so many scans were begun."""
    async with asyncio.timeout(5):
        await bluez.scanned(number)


def advertising(device, *, every=0.02, **data):
    """A device that goes on advertising."""

    async def go_on():
        rssi = -60
        while True:
            rssi = -60 - (rssi + 61) % 10
            await device.advertise(rssi=rssi, **data)
            await asyncio.sleep(every)

    return asyncio.create_task(go_on())


@contextlib.asynccontextmanager
async def a_meter(bluez, address=METER, **data):
    """A meter in range, which advertises."""
    device = bluez.device(address, "Meter")
    device.characteristic("2a6e", b"\x16\x08")
    device.characteristic("2a19", b"\x61")
    task = advertising(device, **data)
    try:
        yield device
    finally:
        task.cancel()
        await asyncio.wait({task})


# ---------------------------------------------------------------- adverts


async def test_adverts_are_heard_actively(bluez):
    """BTHome and manufacturer data come through an active scan; strangers' adverts do not."""
    hub = Hub(room(), ruuvi(), scanning="active")
    async with hub.listening():
        await scanning(bluez)
        await bluez.device(OTHER).advertise(service_data={"fcd2": WARM})
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        assert await hub.next() == ("room", ("temp",), (25.06,))
        await bluez.device(RUUVI).advertise(manufacturer_data={0x0499: bytes.fromhex("0512FC5394C37CAC364200CD")})
        assert await hub.next() == ("ruuvi", ("temp",), (24.3,))
    assert bluez.scans == ["active"]
    assert not bluez.scanning.is_set()


async def test_adverts_are_heard_passively_where_bluez_allows(bluez):
    """The scan is passive by itself, and lets through the data that is waited for and no other."""
    hub = Hub(room(), ruuvi())
    async with hub.listening():
        await scanning(bluez)
        assert not await bluez.device(OTHER).advertise(manufacturer_data={0x004C: b"\x02\x15"})
        assert await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        assert await bluez.device(RUUVI).advertise(manufacturer_data={0x0499: bytes.fromhex("0512FC5394C37CAC364200CD")})
        assert {(await hub.next())[0], (await hub.next())[0]} == {"room", "ruuvi"}
    assert bluez.scans == ["passive"]
    assert hub.told == []


async def test_where_passive_is_refused_the_scan_is_active_and_that_is_told_once(dbus):
    """A bluetoothd without --experimental, as Debian ships it, costs one sentence and nothing else."""
    async with bluetoothd(passive=False) as bluez:
        hub = Hub(room())
        for _ in range(2):
            async with hub.listening():
                await scanning(bluez)
                await bluez.device(ROOM).advertise(service_data={"fcd2": WARM if len(bluez.scans) == 1 else WARMER})
                await hub.next()
        assert bluez.scans == ["active", "active"]
        assert [(who, "--experimental" in text) for who, text in hub.told] == [("air", True)]


async def test_who_insists_on_passive_gets_no_other(dbus):
    """`scanning = "passive"` does not fall back: it says what bluetoothd lacks."""
    async with bluetoothd(passive=False) as bluez:
        hub = Hub(room(), scanning="passive")
        fault = await hub.fault(hub.bus.listen(print))
        assert (fault.kind, fault.layer) == ("refused", "bus")
        assert "--experimental" in fault.hint
        assert bluez.scans == []


async def test_a_press_is_heard_once_though_bluez_repeats_the_data_with_every_change(bluez):
    """BlueZ shows the last data again when only the signal strength changed: that is no second press."""
    button = DeviceSpec(
        name="b", keys=DeviceKeys(address=ROOM, format="bthome"), points={"b": PointKeys(object="button")}, timeout=1.0
    )
    hub = Hub(button)
    press, next_press = bytes.fromhex("40 00 01 3A01"), bytes.fromhex("40 00 02 3A02")
    async with hub.listening():
        await scanning(bluez)
        device = bluez.device(ROOM)
        for rssi in (-60, -61, -62):
            await device.advertise(service_data={"fcd2": press}, rssi=rssi)
        await device.advertise(service_data={"fcd2": next_press})
        assert await hub.next() == ("b", ("b",), ("press",))
        assert await hub.next() == ("b", ("b",), ("double_press",))


async def test_a_device_known_by_its_name_is_heard(bluez):
    """A name will do where the address is not known; it takes an active scan."""
    hub = Hub(room(address="", name="Cold room"))
    async with hub.listening():
        await scanning(bluez)
        await bluez.device(OTHER, "Warm room").advertise(service_data={"fcd2": WARM})
        await bluez.device(ROOM, "Cold room").advertise(service_data={"fcd2": WARMER})
        assert await hub.next() == ("room", ("temp",), (25.12,))
    assert bluez.scans == ["active"]


# ---------------------------------------------------------------- deaf and gone


@pytest.mark.parametrize("how", ["active", "passive"])
async def test_a_scan_under_which_the_adapter_was_off_is_replaced(bluez, how):
    """Off and on again: the scanner is deaf and does not say so; a new one hears, and nobody had to do anything."""
    hub = Hub(room(), scanning=how, deaf_after=0.2)
    async with hub.listening() as task:
        await scanning(bluez)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        await hub.next()
        bluez.power(on=False)
        bluez.power(on=True)
        assert not await bluez.device(ROOM).advertise(service_data={"fcd2": WARMER})  # deaf
        await scans(bluez, 2)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARMER})
        assert await hub.next() == ("room", ("temp",), (25.12,))
        assert not task.done()
    assert bluez.scans == [how, how]


@pytest.mark.parametrize("how", ["active", "passive"])
async def test_a_scan_under_which_bluetoothd_restarted_is_replaced(bluez, how):
    """The same for a bluetoothd that was restarted by an upgrade, or crashed."""
    hub = Hub(room(), scanning=how, deaf_after=0.2)
    async with hub.listening() as task:
        await scanning(bluez)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        await hub.next()
        await bluez.stop()
        await bluez.start()
        await scans(bluez, 2)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARMER})
        assert await hub.next() == ("room", ("temp",), (25.12,))
        assert not task.done()


async def test_a_deaf_scan_is_noticed_though_devices_are_being_connected_to(bluez):
    """Bleak shows what a connection changes as if it were an advert: that must not pass for hearing."""
    hub = Hub(room(), meter(), scanning="active", deaf_after=0.2)
    async with hub.listening(), a_meter(bluez):
        await scanning(bluez)
        await hub.bus.read("meter")
        bluez.power(on=False)
        bluez.power(on=True)
        async with asyncio.timeout(5):
            while len(bluez.scans) < 2:
                with contextlib.suppress(DeviceFault):
                    await hub.bus.read("meter")
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        assert await hub.next() == ("room", ("temp",), (25.06,))


async def test_an_adapter_that_stays_off_is_a_fault_of_the_bus_until_it_is_on(bluez):
    """What a new scanner meets is said in plain words; listening again after it was put right just works."""
    hub = Hub(room(), scanning="active", deaf_after=0.1)
    async with hub.listening() as task:
        await scanning(bluez)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        await hub.next()
        bluez.power(on=False)
        fault = await hub.fault(task)
    assert (fault.kind, fault.layer) == ("gone", "bus")
    assert str(fault) == "scanning: the Bluetooth adapter is off; `rfkill unblock bluetooth` and `bluetoothctl power on`"
    bluez.power(on=True)
    async with hub.listening():
        await scanning(bluez)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARMER})
        assert await hub.next() == ("room", ("temp",), (25.12,))


async def test_bluetoothd_gone_is_a_fault_of_the_bus_until_it_is_back(bluez):
    """The same for a bluetoothd that is not there at all."""
    hub = Hub(room(), scanning="active")
    await bluez.stop()
    fault = await hub.fault(hub.bus.listen(print))
    assert (fault.kind, fault.layer, fault.what) == ("gone", "bus", "scanning: bluetoothd is not running")
    assert "systemctl" in fault.hint
    await bluez.start()
    async with hub.listening():
        await scanning(bluez)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        await hub.next()


async def test_an_adapter_pulled_out_is_a_fault_of_the_bus_until_it_is_back(bluez):
    """A USB radio that comes loose, and is put back."""
    hub = Hub(room(), scanning="active", deaf_after=0.1)
    async with hub.listening() as task:
        await scanning(bluez)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        await hub.next()
        bluez.unplug()
        fault = await hub.fault(task)
    assert (fault.layer, fault.what) == ("bus", "scanning: there is no Bluetooth adapter hci0")
    bluez.plug()
    async with hub.listening(again=True):  # bleak may not have seen it yet when it is asked first
        await scanning(bluez)
        beacon = advertising(bluez.device(ROOM), service_data={"fcd2": WARMER})
        assert await hub.next() == ("room", ("temp",), (25.12,))
        beacon.cancel()


@pytest.mark.parametrize("how", ["active", "passive"])
async def test_no_adapter_is_a_fault_of_the_bus(bluez, how):
    """It names the adapter that was looked for, and what to look at."""
    bluez.unplug()
    hub = Hub(room(), scanning=how)
    fault = await hub.fault(hub.bus.listen(print))
    assert (fault.kind, fault.layer) == ("gone", "bus")
    assert str(fault) == "scanning: there is no Bluetooth adapter hci0; plug one in, or look at `rfkill list`"


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (Refused("org.freedesktop.DBus.Error.AccessDenied", "Rejected send message"), "refused", "group bluetooth"),
        (Refused("org.freedesktop.DBus.Error.FileExists", "Unit dbus-org.bluez.service failed to load"), "gone", "systemctl"),
        (Refused("org.freedesktop.systemd1.NoSuchUnit", "Unit dbus-org.bluez.service not found."), "gone", "systemctl"),
        (Refused("org.bluez.Error.InProgress", "Operation already in progress"), "busy", "no other program"),
        (Refused("org.bluez.Error.Strange", "Not seen before"), "gone", "again"),
    ],
)
async def test_a_refused_scan_says_what_to_do(bluez, error, kind, word):
    """Whatever D-Bus or BlueZ answers to a scan, it is a fault of the bus with a remedy."""
    bluez.refuse["StartDiscovery"] = error
    hub = Hub(room(), scanning="active")
    fault = await hub.fault(hub.bus.listen(print))
    assert (fault.kind, fault.layer) == (kind, "bus")
    assert word in fault.hint


async def test_a_dbus_that_was_restarted_is_found_again(monkeypatch, tmp_path):
    """All connections to it are dead; the next scan makes new ones."""
    hub = Hub(room(), scanning="active", deaf_after=0.1)
    for data in (WARM, WARMER):
        with system_bus(tmp_path) as address:
            monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
            async with BlueZ() as bluez:
                task = asyncio.create_task(hub.bus.listen(lambda *batch: hub.heard.put_nowait(batch)))
                await scanning(bluez)
                await bluez.device(ROOM).advertise(service_data={"fcd2": data})
                await hub.next()
        fault = await hub.fault(task)
        assert (fault.layer, fault.what) == ("bus", "scanning: the system's D-Bus cannot be reached")
    bleak_manager._global_instances.pop(asyncio.get_running_loop())


async def test_no_dbus_is_a_fault_of_the_bus(monkeypatch, tmp_path):
    """A machine without D-Bus is told so."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    hub = Hub(room())
    fault = await hub.fault(hub.bus.listen(print))
    assert (fault.kind, fault.layer) == ("gone", "bus")
    assert "D-Bus" in fault.what


async def test_a_scan_given_up_while_it_begins_does_not_stand_in_the_way(bluez):
    """BlueZ goes on scanning for whoever asked and went away, and would refuse the next scan: so a start is not left half done."""
    hub = Hub(room(), scanning="active")
    bluez.held["StartDiscovery"] = release = asyncio.Event()
    async with hub.listening() as task:
        async with asyncio.timeout(5):
            await bluez.asked.wait()
        task.cancel()
        asyncio.get_running_loop().call_soon(release.set)
        await asyncio.wait({task}, timeout=5)
    async with hub.listening():
        await scans(bluez, 2)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        await hub.next()


# ---------------------------------------------------------------- characteristics


async def test_characteristics_are_read_and_the_device_is_let_go(bluez):
    """Find, connect, read, disconnect: afterwards nobody scans, and the device is free for others."""
    hub = Hub(meter())
    assert hub.bus.polled == {"meter": ("temp", "battery")}
    assert hub.bus.heard == {}
    async with a_meter(bluez) as device:
        await hub.bus.connect()
        assert await hub.bus.read("meter") == (20.7, 97)
        assert not device.connected
        assert not bluez.scanning.is_set()
        device.characteristics[0].value = b"\x80\x08"
        assert await hub.bus.read("meter") == (21.76, 97)


async def test_a_characteristic_is_waited_for_where_it_notifies(bluez):
    """`notify = true` takes what the device says next by itself."""
    hub = Hub(meter(temp=PointKeys(characteristic="2a6e", type="int16", scale=0.01, notify=True)))
    async with a_meter(bluez) as device:
        read = asyncio.create_task(hub.bus.read("meter"))
        async with asyncio.timeout(5):
            await device.characteristics[0].subscribed.wait()
        device.characteristics[0].notify(b"\x09\x09")
        assert await read == (23.13,)


async def test_a_short_value_has_no_value_where_it_ends(bluez):
    """A characteristic that is shorter than its layout is no value, not a guess."""
    hub = Hub(meter())
    async with a_meter(bluez) as device:
        device.characteristics[0].value = b"\x16"
        assert await hub.bus.read("meter") == (NoValue("not in this message"), 97)


async def test_listening_goes_on_while_devices_are_read(bluez):
    """One adapter does both: broadcasters are heard while a peripheral is connected."""
    hub = Hub(room(), meter())
    async with hub.listening(), a_meter(bluez) as device:
        await scanning(bluez)
        device.characteristics[0].answers.clear()
        read = asyncio.create_task(hub.bus.read("meter"))
        async with asyncio.timeout(5):
            await device.characteristics[0].read_asked.wait()
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        assert await hub.next() == ("room", ("temp",), (25.06,))
        device.characteristics[0].answers.set()
        assert await read == (20.7, 97)
    assert bluez.scans == ["active"]


async def test_two_devices_are_read_at_once_but_connected_one_after_the_other(bluez):
    """The stand-in, as BlueZ, spoils two connections in the making; two connected devices are fine."""
    hub = Hub(meter(), meter(OTHER, "other"), parallel=2)
    assert hub.bus.parallel == 2
    async with a_meter(bluez) as one, a_meter(bluez, OTHER) as two:
        for device in (one, two):
            device.characteristics[0].answers.clear()
        reads = [asyncio.create_task(hub.bus.read(name)) for name in ("meter", "other")]
        async with asyncio.timeout(5):
            for device in (one, two):
                await device.characteristics[0].read_asked.wait()
        for device in (one, two):
            device.characteristics[0].answers.set()
        assert await asyncio.gather(*reads) == [(20.7, 97), (20.7, 97)]
    assert bluez.connected_at_once == 2


async def test_a_device_that_does_not_answer_leaves_its_neighbour_half_the_time(bluez):
    """While one device lets the hub wait, the next still gets its turn within its own timeout."""
    hub = Hub(meter(timeout=1.0), meter(OTHER, "other", timeout=1.0))
    async with a_meter(bluez) as one, a_meter(bluez, OTHER):
        one.reachable.clear()
        first = asyncio.create_task(hub.fault(hub.bus.read("meter")))
        async with asyncio.timeout(5):
            await one.connect_asked.wait()
        async with asyncio.timeout(1.0):  # as the hub gives it
            assert await hub.bus.read("other") == (20.7, 97)
        fault = await first
    assert (fault.kind, fault.layer, fault.what) == ("silent", "device", "connecting: it does not answer in time")


async def test_a_device_that_does_not_advertise_is_silent(bluez):
    """A device out of range is found out without a connection, even if it was there a moment ago."""
    hub = Hub(meter(timeout=0.8))
    async with a_meter(bluez):
        assert await hub.bus.read("meter") == (20.7, 97)
    fault = await hub.fault(hub.bus.read("meter"))
    assert (fault.kind, fault.layer, fault.what) == ("silent", "device", "it does not advertise")
    assert "battery" in fault.hint


async def test_a_link_lost_while_reading_is_told_and_the_next_read_is_a_new_start(bluez):
    """To bleak, a lost link is a protocol error of the device; to the hub it is a lost link."""
    hub = Hub(meter())
    async with a_meter(bluez) as device:
        device.characteristics[0].answers.clear()
        read = asyncio.create_task(hub.fault(hub.bus.read("meter")))
        async with asyncio.timeout(5):
            await device.characteristics[0].read_asked.wait()
        device.drop()
        fault = await read
        assert (fault.kind, fault.layer, fault.what) == ("gone", "device", "reading: the link was lost")
        device.characteristics[0].answers.set()
        assert await hub.bus.read("meter") == (20.7, 97)


async def test_a_link_lost_while_waiting_for_a_notification_is_told(bluez):
    """Nobody waits for what can no longer come."""
    hub = Hub(meter(temp=PointKeys(characteristic="2a6e", type="int16", notify=True)))
    async with a_meter(bluez) as device:
        read = asyncio.create_task(hub.fault(hub.bus.read("meter")))
        async with asyncio.timeout(5):
            await device.characteristics[0].subscribed.wait()
        device.drop()
        assert (await read).what == "reading: the link was lost"


async def test_a_read_that_is_never_answered_ends_in_time_and_lets_the_device_go(bluez):
    """BlueZ would wait for 30 s and leave the link up; the hub has the device's timeout, and hangs up."""
    hub = Hub(meter(timeout=0.6))
    async with a_meter(bluez) as device:
        device.characteristics[0].answers.clear()
        fault = await hub.fault(hub.bus.read("meter"))
        assert (fault.kind, fault.what) == ("silent", "reading: it does not answer in time")
        assert not device.connected


async def test_a_read_that_is_cancelled_lets_the_device_go(bluez):
    """A hub that stops, or a poll that takes too long, leaves no connection behind."""
    hub = Hub(meter())
    async with a_meter(bluez) as device:
        device.characteristics[0].answers.clear()
        read = asyncio.create_task(hub.bus.read("meter"))
        async with asyncio.timeout(5):
            await device.characteristics[0].read_asked.wait()
        read.cancel()
        await asyncio.wait({read}, timeout=5)
        assert read.cancelled()
        assert not device.connected


async def test_a_characteristic_that_the_device_lacks_costs_only_its_points(bluez):
    """The others are read; that one is told once, with what to check."""
    temp, odd = PointKeys(characteristic="2a6e", type="int16", scale=0.01), PointKeys(characteristic="beef", type="uint8")
    hub = Hub(meter(temp=temp, odd=odd))
    async with a_meter(bluez):
        for _ in range(2):
            values = await hub.bus.read("meter")
            assert values[0] == 20.7
            assert isinstance(values[1], NoValue)
    assert [who for who, _ in hub.told] == ["meter"]
    assert "no characteristic 0000beef-" in hub.told[0][1]
    assert "profile" in hub.told[0][1]


async def test_a_device_without_any_of_its_characteristics_is_a_misfit(bluez):
    """It answers, but not as its profile says."""
    hub = Hub(meter(odd=PointKeys(characteristic="beef", type="uint8")))
    async with a_meter(bluez):
        assert (await hub.fault(hub.bus.read("meter"))).kind == "misfit"


@pytest.mark.parametrize(
    ("refusal", "word"),
    [
        (Refused("org.bluez.Error.NotPermitted", "Read not permitted"), "Read Not Permitted"),
        (failed("Operation failed with ATT error: 0x05"), "bluetoothctl pair"),
        (Refused("org.bluez.Error.NotAuthorized", "Not authorized"), "bluetoothctl pair"),
    ],
)
async def test_a_characteristic_that_is_refused_costs_only_its_points(bluez, refusal, word):
    """The device says no to one thing and yes to another."""
    hub = Hub(meter())
    async with a_meter(bluez) as device:
        device.characteristics[0].refusal = refusal
        values = await hub.bus.read("meter")
    assert isinstance(values[0], NoValue)
    assert values[1] == 97
    assert word in hub.told[0][1]


async def test_a_device_that_bluez_has_forgotten_is_looked_for_again(bluez):
    """What an old scan knew of a device is not believed for ever."""
    hub = Hub(room(), meter(timeout=0.8))
    async with hub.listening():
        async with a_meter(bluez) as device:
            assert await hub.bus.read("meter") == (20.7, 97)
        device.forget()
        faults = [await hub.fault(hub.bus.read("meter")) for _ in range(2)]
        assert [fault.what for fault in faults] == ["connecting: it was not found", "it does not advertise"]
        async with a_meter(bluez):
            assert await hub.bus.read("meter") == (20.7, 97)


async def test_a_connection_that_bluez_calls_off_is_silence(bluez):
    """BlueZ 5.62 and later call a failed connection off and bleak waits for a signal that never comes: the timeout holds."""
    bluez.refuse["Connect"] = failed("le-connection-abort-by-local")
    hub = Hub(meter(timeout=0.6))
    async with a_meter(bluez):
        assert (await hub.fault(hub.bus.read("meter"))).kind == "silent"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failed("Operation already in progress"), "busy"),
        (Refused("org.bluez.Error.InProgress", "In Progress"), "busy"),
        (failed("br-connection-canceled"), "busy"),
        (failed("Software caused connection abort"), "gone"),
        (Refused("org.bluez.Error.AuthenticationFailed", "Authentication Failed"), "refused"),
        (Refused("org.bluez.Error.NotConnected", "Not Connected"), "gone"),
    ],
)
async def test_a_refused_connection_is_a_fault_of_the_device(bluez, error, kind):
    """Whatever BlueZ answers to a connection, the neighbours on the adapter are not blamed for it."""
    bluez.refuse["Connect"] = error
    hub = Hub(meter())
    async with a_meter(bluez):
        fault = await hub.fault(hub.bus.read("meter"))
    assert (fault.kind, fault.layer) == (kind, "device")
    assert fault.hint


async def test_an_adapter_switched_off_while_reading_ends_in_a_fault_of_the_bus(bluez):
    """The read in hand loses its link; the next one, and the bus that is opened anew, say that the adapter is off."""
    hub = Hub(meter())
    async with a_meter(bluez) as device:
        device.characteristics[0].answers.clear()
        read = asyncio.create_task(hub.fault(hub.bus.read("meter")))
        async with asyncio.timeout(5):
            await device.characteristics[0].read_asked.wait()
        bluez.power(on=False)
        assert (await read).kind == "gone"
        for attempt in (hub.bus.read("meter"), hub.bus.connect()):
            fault = await hub.fault(attempt)
            assert (fault.layer, fault.what) == ("bus", "scanning: the Bluetooth adapter is off")
        bluez.power(on=True)
        await hub.bus.connect()
        device.characteristics[0].answers.set()
        assert await hub.bus.read("meter") == (20.7, 97)


async def test_bluetoothd_killed_while_reading_ends_in_a_fault_of_the_bus_and_heals(bluez):
    """That client goes on saying that it is connected; it is thrown away, and the hub is well as soon as bluetoothd is."""
    hub = Hub(meter())
    async with a_meter(bluez) as device:
        device.characteristics[0].answers.clear()
        read = asyncio.create_task(hub.fault(hub.bus.read("meter")))
        async with asyncio.timeout(5):
            await device.characteristics[0].read_asked.wait()
        await bluez.stop()
        fault = await read
        assert (fault.layer, fault.what) == ("bus", "reading: bluetoothd is not running")
        assert (await hub.fault(hub.bus.connect())).what == "scanning: bluetoothd is not running"
        device.connected = False
        await bluez.start()
        await hub.bus.connect()
        device.characteristics[0].answers.set()
        assert await hub.bus.read("meter") == (20.7, 97)


async def test_a_bus_that_a_read_found_down_gets_a_new_scanner_at_once(bluez):
    """Letting go of the bus does not wait for the scanner to be found deaf."""
    hub = Hub(room(), meter(), scanning="active", deaf_after=300.0)
    async with hub.listening():
        await scanning(bluez)
        bluez.power(on=False)
        bluez.power(on=True)
        await hub.bus.close()
        await scans(bluez, 2)
        await bluez.device(ROOM).advertise(service_data={"fcd2": WARM})
        await hub.next()

r"""A stand-in for bluetoothd on a D-Bus, for the real bleak to talk to: one adapter, devices that advertise, and their GATT.

    async with BlueZ() as bluez:
        sensor = bluez.device("F0:F1:F2:F3:F4:F5", name="Sensor")
        sensor.characteristic("2a6e", b"\x16\x08")
        await bluez.scanning.wait()
        await sensor.advertise(service_data={"fcd2": b"..."})
        bluez.power(on=False)

It answers as bluetoothd 5.66 and 5.82 were seen to answer, above all where that is inconvenient: it forgets a scan when the adapter
is switched off and tells nobody, reports an unchanged advert once only, refuses a second scan and a second connection at a time,
answers a read whose link is lost with ATT error 0x0E, and ends without a word.

The state is what D-Bus shows, `objects`: path -> interface -> property -> value. The rest of the file moves it.
"""

import asyncio
import contextlib

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

ADAPTER = "/org/bluez/hci0"
PROPERTIES = "org.freedesktop.DBus.Properties"
SHORT_UUID = "0000{}-0000-1000-8000-00805f9b34fb"

# The D-Bus type of each property.
TYPES = {
    "Address": "s", "Adapter": "o", "Alias": "s", "Characteristic": "o", "Connected": "b", "Device": "o", "Discovering": "b",
    "Flags": "as", "ManufacturerData": "a{qv}", "MTU": "q", "Name": "s", "Notifying": "b", "Powered": "b", "Primary": "b",
    "Roles": "as", "RSSI": "n", "Service": "o", "ServiceData": "a{sv}", "ServicesResolved": "b", "UUID": "s", "UUIDs": "as",
    "Value": "ay",
}  # fmt: skip


class Refused(Exception):  # noqa: N818
    """An error reply: the name of the error and its text."""


def failed(text):
    return Refused("org.bluez.Error.Failed", text)


class BlueZ:
    """One bluetoothd. `passive`: it was started with --experimental, without which it knows no advertisement monitors."""

    def __init__(self, *, passive=True):
        self.passive = passive
        self.scanning = asyncio.Event()  # somebody scans, actively or passively
        self.scans = []  # "active" or "passive", one for each scan that was begun
        self.news = asyncio.Event()
        self.refuse = {}  # name of a method -> Refused, for faults that need no more than that
        self.held = {}  # name of a method -> event without which it does not answer
        self.asked = asyncio.Event()  # a method of `held` has been called
        self.devices = {}
        self.connecting = None
        self.connected_at_once = 0
        self.switched = []  # True and False, as clients switched the adapter on and off
        self._clear()

    def _clear(self):
        self.objects = {}
        self.sessions = set()  # clients with an active scan
        self.monitors = {}  # (client, path) -> patterns of a passive scan
        self.scanning.clear()

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def start(self):
        """Begin, as after a boot: the adapter is there and on, nobody scans, no device is known."""
        self._clear()
        self.tasks = set()
        self.bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self.bus.add_message_handler(self._received)
        self.plug()
        await self.bus.request_name("org.bluez")

    async def stop(self):
        """End as by SIGKILL: no farewell to anybody."""
        self.bus.disconnect()
        with contextlib.suppress(Exception):
            await self.bus.wait_for_disconnect()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    # ------------------------------------------------------------ what happens to the adapter

    def plug(self):
        """A radio is plugged in."""
        adapter = {"Address": "00:AA:01:00:00:42", "Powered": True, "Discovering": False, "Roles": ["central"], "UUIDs": []}
        self.add(ADAPTER, "org.bluez.Adapter1", adapter)
        if self.passive:
            self.add(ADAPTER, "org.bluez.AdvertisementMonitorManager1", {})

    def unplug(self):
        """The radio is pulled out."""
        self.power(on=False)
        for path in sorted(self.objects, reverse=True):
            self.remove(path)

    def power(self, *, on):
        """Switched off, the adapter forgets links and scans; switched on, it remembers neither."""
        if not on:
            for device in self.devices.values():
                device.drop()
            self.sessions.clear()
            self.monitors.clear()
            self._ended()
        self.change(ADAPTER, "org.bluez.Adapter1", Powered=on, Discovering=bool(self.sessions))

    def device(self, address, name=""):
        """A device in range; BlueZ learns of it when it advertises under a scan."""
        self.devices[address] = Device(self, address, name)
        return self.devices[address]

    # ------------------------------------------------------------ objects

    def add(self, path, interface, properties):
        self.objects.setdefault(path, {})[interface] = properties
        added = {interface: {name: Variant(TYPES[name], value) for name, value in properties.items()}}
        self._signal("/", "org.freedesktop.DBus.ObjectManager", "InterfacesAdded", "oa{sa{sv}}", [path, added])

    def change(self, path, interface, **properties):
        self.objects[path][interface].update(properties)
        changed = {name: Variant(TYPES[name], value) for name, value in properties.items()}
        self._signal(path, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as", [interface, changed, []])

    def remove(self, path):
        interfaces = list(self.objects.pop(path))
        self._signal("/", "org.freedesktop.DBus.ObjectManager", "InterfacesRemoved", "oas", [path, interfaces])

    def _signal(self, path, interface, member, signature, body):
        self.bus.send(Message.new_signal(path, interface, member, signature, body))

    # ------------------------------------------------------------ methods

    def _received(self, message):
        if message.message_type is not MessageType.METHOD_CALL or message.destination is None:
            return None
        if (message.interface or "").startswith(("org.bluez.", "org.freedesktop.DBus.ObjectManager", PROPERTIES)):
            task = asyncio.get_running_loop().create_task(self._answer(message))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            return True
        return None

    async def _answer(self, message):
        try:
            if message.member in self.held:
                self.asked.set()
                await self.held[message.member].wait()
            if message.member in self.refuse:
                raise self.refuse[message.member]
            signature, body = await self._call(message) or ("", [])
        except Refused as refused:
            await self.bus.send(Message.new_error(message, *refused.args))
        else:
            await self.bus.send(Message.new_method_return(message, signature, body))

    async def _call(self, message):
        if message.member == "GetManagedObjects":
            return "a{oa{sa{sv}}}", [self._managed()]
        if message.path not in self.objects:
            raise Refused("org.freedesktop.DBus.Error.UnknownObject", f"no object {message.path}")
        if message.interface == PROPERTIES:
            return self._set(message.path, *message.body)
        if message.interface not in self.objects[message.path]:
            raise Refused("org.freedesktop.DBus.Error.UnknownMethod", f"no interface {message.interface}")
        match message.interface.removeprefix("org.bluez."), message.member:
            case "Adapter1", "SetDiscoveryFilter":
                return None
            case "Adapter1", "StartDiscovery":
                return self._start_discovery(message.sender)
            case "Adapter1", "StopDiscovery":
                return self._stop_discovery(message.sender)
            case "AdvertisementMonitorManager1", "RegisterMonitor":
                self.monitors[message.sender, message.body[0]] = None
                self._begun("passive")
            case "AdvertisementMonitorManager1", "UnregisterMonitor":
                if self.monitors.pop((message.sender, message.body[0]), self) is self:
                    raise Refused("org.bluez.Error.DoesNotExist", "Does Not Exist")
                self._ended()
            case "Device1", "Connect":
                await self._device(message.path).connect()
            case "Device1", "Disconnect":
                self._device(message.path).drop()
            case "GattCharacteristic1", member:
                return await self._characteristic(message.path).call(member, message.body)
        return None

    def _set(self, path, interface, name, value):
        if (path, interface, name) != (ADAPTER, "org.bluez.Adapter1", "Powered"):
            raise Refused("org.freedesktop.DBus.Error.UnknownProperty", f"no property {name}")
        self.switched.append(value.value)
        self.power(on=value.value)

    def _managed(self):
        return {
            path: {
                interface: {name: Variant(TYPES[name], value) for name, value in properties.items()}
                for interface, properties in interfaces.items()
            }
            for path, interfaces in self.objects.items()
        }

    def _start_discovery(self, client):
        if not self.objects[ADAPTER]["org.bluez.Adapter1"]["Powered"]:
            raise Refused("org.bluez.Error.NotReady", "Resource Not Ready")
        if client in self.sessions:
            raise Refused("org.bluez.Error.InProgress", "Operation already in progress")
        self.sessions.add(client)
        self.change(ADAPTER, "org.bluez.Adapter1", Discovering=True)
        self._begun("active")

    def _stop_discovery(self, client):
        if client not in self.sessions:
            raise failed("No discovery started")
        self.sessions.remove(client)
        self.change(ADAPTER, "org.bluez.Adapter1", Discovering=bool(self.sessions))
        self._ended()

    async def scanned(self, times):
        """Until so many scans were begun."""
        while len(self.scans) < times:
            self.news.clear()
            await self.news.wait()

    def _begun(self, how):
        self.scans.append(how)
        self.scanning.set()
        self.news.set()

    def _ended(self):
        """Without a scan there is no signal strength."""
        if self.sessions or self.monitors:
            return
        self.scanning.clear()
        for path, interfaces in self.objects.items():
            if interfaces.get("org.bluez.Device1", {}).pop("RSSI", None) is not None:
                changed = ["org.bluez.Device1", {}, ["RSSI"]]
                self._signal(path, "org.freedesktop.DBus.Properties", "PropertiesChanged", "sa{sv}as", changed)

    def _device(self, path):
        return next(device for device in self.devices.values() if device.path == path)

    def _characteristic(self, path):
        return next(found for device in self.devices.values() for found in device.characteristics if found.path == path)

    async def hears(self, elements):
        """Whether an advert of these AD elements, (type, bytes), gets through to anybody."""
        if self.sessions:
            return True
        for (client, path), patterns in self.monitors.items():
            if patterns is None:
                self.monitors[client, path] = await self._patterns_of(client, path)
        wanted = [pattern for patterns in self.monitors.values() for pattern in patterns]
        return any(kind == type_ and data[at : at + len(value)] == value for at, type_, value in wanted for kind, data in elements)

    async def _patterns_of(self, client, path):
        """The patterns of a monitor are read from the client that registered it, which shows it a moment after registering."""
        where = {"destination": client, "path": path, "interface": "org.freedesktop.DBus.Properties", "member": "Get"}
        while True:
            get = Message(**where, signature="ss", body=["org.bluez.AdvertisementMonitor1", "Patterns"])
            reply = await self.bus.call(get)
            if reply.message_type is MessageType.METHOD_RETURN:
                return [(at, kind, bytes(value)) for at, kind, value in reply.body[0].value]
            assert (client, path) in self.monitors, reply.body


class Device:
    """A device in range, as a test moves it."""

    def __init__(self, bluez, address, name):
        self.bluez = bluez
        self.address = address
        self.name = name
        self.path = f"{ADAPTER}/dev_{address.replace(':', '_')}"
        self.characteristics = []
        self.reachable = asyncio.Event()  # cleared: it does not answer when somebody connects
        self.reachable.set()
        self.connect_asked = asyncio.Event()
        self.connected = False
        self.lost = asyncio.Event()

    async def advertise(self, *, service_data=None, manufacturer_data=None, rssi=-60):
        """One advert. Whether anybody could hear it."""
        services = {SHORT_UUID.format(short): value for short, value in (service_data or {}).items()}
        companies = manufacturer_data or {}
        elements = [(0x01, b"\x06"), (0x09, self.name.encode())]
        elements += [(0x16, bytes.fromhex(short)[::-1] + value) for short, value in (service_data or {}).items()]
        elements += [(0xFF, company.to_bytes(2, "little") + value) for company, value in companies.items()]
        if self.bluez.bus.connected is False or not await self.bluez.hears(elements):
            return False
        heard = {
            "RSSI": rssi,
            "ServiceData": {uuid: Variant("ay", value) for uuid, value in services.items()},
            "ManufacturerData": {company: Variant("ay", value) for company, value in companies.items()},
        }
        if self.path not in self.bluez.objects:
            alias = self.name or self.address.replace(":", "-")
            known = {"Address": self.address, "Adapter": ADAPTER, "Alias": alias, "Connected": False, "ServicesResolved": False}
            known |= {"Name": self.name} if self.name else {}
            self.bluez.add(self.path, "org.bluez.Device1", known | {"UUIDs": []} | heard)
            return True
        before = self.bluez.objects[self.path]["org.bluez.Device1"]
        news = {name: value for name, value in heard.items() if value != before.get(name)}
        if news:  # an unchanged advert is not told twice
            self.bluez.change(self.path, "org.bluez.Device1", **news)
        return bool(news)

    def forget(self):
        """BlueZ forgets a device that it has not heard for a while."""
        self.bluez.remove(self.path)

    def characteristic(self, short, value, flags=("read", "notify")):
        """A characteristic, each in a service of its own."""
        self.characteristics.append(
            Characteristic(self, len(self.characteristics) * 16 + 1, SHORT_UUID.format(short), value, flags)
        )
        return self.characteristics[-1]

    async def connect(self):
        """Two connections in the making spoil each other: both fail."""
        if not self.bluez.objects[ADAPTER]["org.bluez.Adapter1"]["Powered"]:
            raise Refused("org.bluez.Error.NotReady", "Resource Not Ready")
        other, self.bluez.connecting = self.bluez.connecting, self
        self.connect_asked.set()
        self.lost.clear()
        if other:
            other.lost.set()
            raise failed("Operation already in progress")
        try:
            if not await self._unless_lost(self.reachable):
                raise failed("br-connection-canceled")
        finally:
            self.bluez.connecting = None
        self.connected = True
        self.bluez.connected_at_once = max(self.bluez.connected_at_once, sum(d.connected for d in self.bluez.devices.values()))
        self.bluez.change(self.path, "org.bluez.Device1", Connected=True)
        for characteristic in self.characteristics:
            characteristic.appear()
        self.bluez.change(self.path, "org.bluez.Device1", ServicesResolved=True)

    def drop(self):
        """The link ends, whoever ended it."""
        self.lost.set()
        if self.connected:
            self.connected = False
            self.bluez.change(self.path, "org.bluez.Device1", Connected=False, ServicesResolved=False)
            for characteristic in self.characteristics:
                characteristic.disappear()

    async def _unless_lost(self, event):
        """Whether this came before the link was lost."""
        waits = [asyncio.ensure_future(each.wait()) for each in (event, self.lost)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return not self.lost.is_set()


class Characteristic:
    """A characteristic. `answers` cleared: a read of it is never answered. `refusal`: it is answered with this error.

    written: what clients wrote, and how ("request" or "command"). keeps: it says that it has what was written, and has not.
    """

    def __init__(self, device, handle, uuid, value, flags):
        self.device = device
        self.service = f"{device.path}/service{handle:04x}"
        self.path = f"{self.service}/char{handle + 1:04x}"
        self.uuid, self.value, self.flags = uuid, value, list(flags)
        self.answers = asyncio.Event()
        self.answers.set()
        self.read_asked = asyncio.Event()
        self.subscribed = asyncio.Event()
        self.refusal = None
        self.written = []
        self.keeps = False

    def appear(self):
        bluez = self.device.bluez
        bluez.add(
            self.service, "org.bluez.GattService1", {"UUID": SHORT_UUID.format("181a"), "Device": self.device.path, "Primary": True}
        )
        shown = {"UUID": self.uuid, "Service": self.service, "Value": b"", "Notifying": False, "Flags": self.flags, "MTU": 247}
        bluez.add(self.path, "org.bluez.GattCharacteristic1", shown)

    def disappear(self):
        self.subscribed.clear()
        for path in (self.path, self.service):
            self.device.bluez.remove(path)

    def notify(self, value):
        """The device says it by itself."""
        assert self.subscribed.is_set()
        self.device.bluez.change(self.path, "org.bluez.GattCharacteristic1", Value=value)

    async def call(self, member, body):
        match member:
            case "WriteValue":
                value, options = body
                how = options["type"].value
                if {"request": "write", "command": "write-without-response"}[how] not in self.flags:
                    raise Refused("org.bluez.Error.NotSupported", "Operation is not supported")
                if self.refusal:
                    raise self.refusal
                self.written.append((bytes(value), how))
                self.value = self.value if self.keeps else bytes(value)
            case "ReadValue":
                self.read_asked.set()
                if not await self.device._unless_lost(self.answers):
                    raise failed("Operation failed with ATT error: 0x0e")
                if self.refusal:
                    raise self.refusal
                return "ay", [self.value]
            case "StartNotify":
                if "notify" not in self.flags:
                    raise Refused("org.bluez.Error.NotSupported", "Operation is not supported")
                self.subscribed.set()
            case "StopNotify":
                self.subscribed.clear()
        return None

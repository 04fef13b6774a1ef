"""Modbus on every kind of bus: right values from well devices, one plain fault from sick ones, and a clean line afterwards."""

import asyncio
import contextlib
import struct
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from drivers import load
from drivers.contract import BusSpec, DeviceFault, DeviceSpec
from drivers.modbus.keys import ModbusDevice, ModbusPoint, ModbusRtu, ModbusRtuOverTcp, ModbusTcp

from peers import modbus_server as peer
from peers.modbus_server import ConverterWire, Slave, TcpWire, line, listening, well_rtu, well_tcp

KEYS = {"modbus-tcp": ModbusTcp, "modbus-rtu": ModbusRtu, "modbus-rtu-over-tcp": ModbusRtuOverTcp}
KINDS = sorted(KEYS)
SHORT = 0.1  # s: the timeout of a device that is going to be silent


def bus_on(kind, keys, devices, told=None):
    """A bus as the hub opens it. devices: name -> (unit, points, timeout)."""
    specs = tuple(
        DeviceSpec(
            name=name,
            keys=ModbusDevice(unit=unit),
            points={point: ModbusPoint(**keys) for point, keys in points.items()},
            timeout=timeout,
        )
        for name, (unit, points, timeout) in devices.items()
    )
    spec = BusSpec(name="bus", keys=KEYS[kind](**keys), devices=specs)
    driver = load(kind)
    assert not driver.check(spec)
    return driver.open(spec, lambda who, text: None if told is None else told.append((who, text)))


@asynccontextmanager
async def wire_of(kind, units):
    """The far end of a bus of this kind, and the keys by which the hub finds it."""
    if kind == "modbus-rtu":
        with line(units) as wire:
            yield wire, {"port": wire.path, "baud": 115200, "parity": "none"}
    else:
        async with listening((TcpWire if kind == "modbus-tcp" else ConverterWire)(units)) as wire:
            yield wire, {"host": "127.0.0.1", "port": wire.port}


VALUE = {"value": {"holding": 10}}
PAIR = {"low": {"holding": 10}, "high": {"holding": 11}}


@asynccontextmanager
async def two_units(kind, timeout=SHORT):  # noqa: ASYNC109  (the devices' own)
    """Units 1 and 3 on one bus, with 111 and 333 in register 10; connected."""
    units = {1: Slave(holding={10: 111, 11: 112}), 3: Slave(holding={10: 333, 11: 334})}
    async with wire_of(kind, units) as (wire, keys):
        bus = bus_on(kind, keys, {"one": (1, PAIR, timeout), "three": (3, PAIR, timeout)})
        await bus.connect()
        try:
            yield SimpleNamespace(wire=wire, bus=bus, units=units)
        finally:
            await bus.close()


@pytest.fixture(autouse=True)
def quiet(caplog):
    """A driver does not log, and leaves nothing behind that the event loop would complain about."""
    yield
    assert not caplog.records


# ---------------------------------------------------------------- well devices


FOUR_TABLES = {
    "fan": {"coil": 9},
    "pump": {"coil": 0},
    "door": {"discrete": 2, "values": {"0": "closed", "1": "open"}},
    "power": {"input": 0, "type": "float32"},
    "energy": {"input": 4, "type": "uint32", "word_order": "little", "scale": 0.01},
    "setpoint": {"holding": 3, "type": "int16", "scale": 0.1},
    "alarm": {"holding": 4, "bit": 3},
    "name": {"holding": 5, "length": 3},
}
TABLES = {
    "coil": [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
    "discrete": [0, 0, 1],
    "input": [*struct.unpack(">HH", struct.pack(">f", 230.5)), 0, 0, 0x86A0, 0x0001],
    "holding": [0, 0, 0, 0xFF38, 0b1000, *struct.unpack(">3H", b"SDM120")],
}
VALUES = (True, True, "open", 230.5, 1000.0, -20.0, True, "SDM120")


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu"])
async def test_all_four_tables_of_a_real_server_are_read(kind):
    """Against pymodbus's own servers, TCP and RTU."""
    tcp = kind == "modbus-tcp"
    async with (well_tcp if tcp else well_rtu)(7, **TABLES) as where:
        keys = {"host": "127.0.0.1", "port": where} if tcp else {"port": where, "parity": "none", "baud": 115200}
        bus = bus_on(kind, keys, {"meter": (7, FOUR_TABLES, 5.0)})
        assert bus.polled == {"meter": tuple(FOUR_TABLES)}
        assert not bus.heard
        await bus.connect()
        assert await bus.read("meter") == VALUES
        assert await bus.read("meter") == VALUES
        await bus.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_with_four_tables_is_four_requests(kind):
    slave = Slave(**{table: dict(enumerate(cells)) for table, cells in TABLES.items()})
    async with wire_of(kind, {7: slave}) as (_, keys):
        bus = bus_on(kind, keys, {"meter": (7, FOUR_TABLES, 5.0)})
        assert await bus.read("meter") == VALUES
        assert slave.requests == [("coil", 0, 10), ("discrete", 2, 1), ("input", 0, 6), ("holding", 3, 5)]
        await bus.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_many_units_share_a_bus_in_turn(kind):
    units = {unit: Slave(holding={10: 100 * unit}) for unit in range(1, 21)}
    async with wire_of(kind, units) as (wire, keys):
        bus = bus_on(kind, keys, {f"d{unit}": (unit, VALUE, 5.0) for unit in units})
        await bus.connect()
        for _ in range(2):
            assert [await bus.read(f"d{unit}") for unit in units] == [(100 * unit,) for unit in units]
        if kind != "modbus-rtu":
            assert len(wire.connections) == 1
        await bus.close()


async def test_a_long_device_is_read_in_as_few_requests_as_the_standard_allows():
    slave = Slave(holding={address: address for address in range(300)}, discrete={address: address % 2 for address in range(2100)})
    points = {f"r{n}": {"holding": n} for n in range(300)} | {f"b{n}": {"discrete": n} for n in range(2100)}
    async with wire_of("modbus-tcp", {1: slave}) as (_, keys):
        bus = bus_on("modbus-tcp", keys, {"plc": (1, points, 5.0)})
        assert await bus.read("plc") == (*range(300), *(bool(n % 2) for n in range(2100)))
        assert len(slave.requests) == 3 + 2
        await bus.close()


async def test_units_behind_a_gateway_may_be_asked_at_once_where_it_allows():
    """Three requests are under way before the first answer comes, and each answer finds its own request, in any order."""
    units = {unit: Slave(holding={10: unit}) for unit in (1, 2, 3)}
    async with wire_of("modbus-tcp", units) as (wire, keys):
        wire.faults = dict.fromkeys(units, peer.hold)
        bus = bus_on("modbus-tcp", keys | {"parallel": 3}, {f"d{unit}": (unit, VALUE, 5.0) for unit in units})
        assert bus.parallel == 3
        reads = [asyncio.create_task(bus.read(f"d{unit}")) for unit in units]
        for _ in units:
            await wire.asked.get()
        wire.held.reverse()
        wire.release()
        assert await asyncio.gather(*reads) == [(1,), (2,), (3,)]
        assert len(wire.connections) == 1
        await bus.close()


async def test_a_line_is_silent_for_the_gap_before_each_request():
    async with wire_of("modbus-rtu", {1: Slave(holding={10: 1})}) as (_, keys):
        bus = bus_on("modbus-rtu", keys | {"gap": 0.03}, {"d": (1, VALUE, 5.0)})
        await bus.read("d")
        before = asyncio.get_running_loop().time()
        await bus.read("d")
        assert asyncio.get_running_loop().time() - before >= 0.025
        await bus.close()


# ---------------------------------------------------------------- sick answers


SICK_ON_A_LINE = [
    (peer.silence, "silent", "no answer from unit 1; check its power"),
    (peer.echo_only, "silent", "no answer from unit 1"),
    (peer.noise, "garbled", r"noise in place of an answer from unit 1 \(7 bytes\); check A/B wiring, baud, parity and termination"),
    (peer.half, "garbled", r"half an answer from unit 1 \(4 of 9 bytes\)"),
    (peer.bad_crc, "garbled", "bad checksum; check termination"),
    (peer.by_other_unit, "garbled", "unit 2 answered in place of unit 1; check the unit ids"),
    (peer.too_short, "garbled", "something else than it was asked"),
]


@pytest.mark.parametrize("kind", ["modbus-rtu", "modbus-rtu-over-tcp"])
@pytest.mark.parametrize(("sick", "fault", "says"), SICK_ON_A_LINE, ids=[row[0].__name__ for row in SICK_ON_A_LINE])
async def test_each_sickness_of_a_line_is_told_apart_and_leaves_a_clean_line(kind, sick, fault, says):
    async with two_units(kind) as here:
        here.wire.faults[1] = sick
        with pytest.raises(DeviceFault, match=says) as caught:
            await here.bus.read("one")
        assert (caught.value.kind, caught.value.layer) == (fault, "device")
        assert caught.value.hint
        assert await here.bus.read("three") == (333, 334)
        here.wire.faults.clear()
        assert await here.bus.read("one") == (111, 112)


@pytest.mark.parametrize("kind", ["modbus-rtu", "modbus-rtu-over-tcp"])
@pytest.mark.parametrize("odd", [peer.noise_around, peer.echo, peer.dribble])
async def test_an_answer_is_found_among_noise_echoes_and_in_pieces(kind, odd):
    async with two_units(kind, timeout=5.0) as here:
        here.wire.faults[1] = odd
        assert await here.bus.read("one") == (111, 112)
        assert await here.bus.read("three") == (333, 334)


SICK_ON_TCP = [
    (peer.silence, "silent", "no answer from unit 1; check its unit id"),
    (peer.half, "garbled", r"half an answer from unit 1 \(6 of 13 bytes\)"),
    (peer.by_other_unit, "garbled", "unit 2 answered in place of unit 1"),
    (peer.too_short, "garbled", "something else than it was asked"),
    (peer.exactly(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "garbled", 'not Modbus TCP; .*"modbus-rtu-over-tcp"'),
    (peer.exactly(bytes(8)), "garbled", "half an answer"),  # zeros: a frame without content, and the beginning of another
]


@pytest.mark.parametrize(("sick", "fault", "says"), SICK_ON_TCP, ids=[f"{n}" for n in range(len(SICK_ON_TCP))])
async def test_each_sickness_of_a_tcp_endpoint_is_told_apart_and_leaves_a_clean_connection(sick, fault, says):
    async with two_units("modbus-tcp") as here:
        here.wire.faults[1] = sick
        with pytest.raises(DeviceFault, match=says) as caught:
            await here.bus.read("one")
        assert (caught.value.kind, caught.value.layer) == (fault, "device")
        assert await here.bus.read("three") == (333, 334)
        here.wire.faults.clear()
        assert await here.bus.read("one") == (111, 112)


async def test_a_tcp_answer_may_come_in_pieces():
    async with two_units("modbus-tcp", timeout=5.0) as here:
        here.wire.faults[1] = peer.dribble
        assert await here.bus.read("one") == (111, 112)


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (4, "refused", "reports that it failed"),
        (5, "busy", "ask it less often"),
        (6, "busy", "is busy"),
        (7, "refused", "cannot do this now"),
        (8, "garbled", "its own memory"),
        (10, "gone", "cannot be reached by its gateway"),
        (11, "silent", "does not answer its gateway; check its power, unit id and wiring behind the gateway"),
        (99, "refused", "code 99"),
    ],
)
@pytest.mark.parametrize("bus", KINDS)
async def test_what_a_device_says_instead_of_an_answer_is_told_in_plain_words(bus, code, kind, says):
    async with two_units(bus, timeout=5.0) as here:
        here.units[1].exception = code
        with pytest.raises(DeviceFault, match=says) as caught:
            await here.bus.read("one")
        assert (caught.value.kind, caught.value.layer) == (kind, "device")
        here.units[1].exception = 0
        assert await here.bus.read("one") == (111, 112)


# ---------------------------------------------------------------- cancelled reads and late answers


@pytest.mark.parametrize("kind", KINDS)
async def test_the_late_answer_to_a_cancelled_read_is_never_taken_for_the_next(kind):
    """The same unit is asked again at once; the old answer, with the old value, comes first."""
    async with two_units(kind, timeout=0.4) as here:
        here.wire.faults[1] = peer.hold
        read = asyncio.create_task(here.bus.read("one"))
        await here.wire.asked.get()
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        here.wire.faults.clear()
        here.units[1].tables["holding"] = {10: 7, 11: 8}
        again = asyncio.create_task(here.bus.read("one"))
        await asyncio.sleep(0)  # it has begun
        here.wire.release()
        assert await again == (7, 8)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_late_answer_of_one_unit_does_not_hurt_another(kind):
    async with two_units(kind, timeout=0.4) as here:
        here.wire.faults = {1: peer.hold, 3: lambda answer: (here.wire.release(), here.wire.send(answer.frame))}
        read = asyncio.create_task(here.bus.read("one"))
        await here.wire.asked.get()
        read.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await read
        assert await here.bus.read("three") == (333, 334)


@pytest.mark.parametrize("kind", ["modbus-rtu", "modbus-rtu-over-tcp"])
async def test_a_late_answer_on_the_line_is_not_blamed_on_a_wrong_unit_id(kind):
    async with two_units(kind) as here:
        here.wire.faults = {1: peer.hold, 3: lambda _: here.wire.release()}
        for device, says in (("one", "no answer from unit 1"), ("three", "no answer from unit 3")):
            with pytest.raises(DeviceFault, match=says):
                await here.bus.read(device)


# ---------------------------------------------------------------- connections come and go


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu-over-tcp"])
async def test_a_connection_that_breaks_in_a_read_is_gone_and_comes_back(kind):
    async with two_units(kind, timeout=5.0) as here:
        here.wire.faults[1] = peer.hang_up
        with pytest.raises(DeviceFault, match=r"(closed|broke).*nobody else connected") as caught:
            await here.bus.read("one")
        assert (caught.value.kind, caught.value.layer) == ("gone", "bus")
        here.wire.faults.clear()
        await here.bus.close()
        await here.bus.connect()
        assert await here.bus.read("one") == (111, 112)


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu-over-tcp"])
async def test_a_connection_that_was_closed_while_idle_is_no_fault(kind):
    """Many devices drop a client that says nothing for a minute."""
    async with two_units(kind, timeout=5.0) as here:
        assert await here.bus.read("one") == (111, 112)
        here.wire.hang_up()
        await here.bus._link._closed
        assert await here.bus.read("one") == (111, 112)
        assert len(here.wire.connections) == 2


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu-over-tcp"])
async def test_a_server_that_is_off_is_told_and_found_again(kind):
    async with two_units(kind, timeout=5.0) as here:
        await here.wire.stop()
        await here.bus._link._closed
        for attempt in (here.bus.read("one"), here.bus.connect()):
            with pytest.raises(DeviceFault, match=r"refuses connections to port \d+; check the port") as caught:
                await attempt
            assert (caught.value.kind, caught.value.layer) == ("gone", "bus")
        await here.wire.listen()
        await here.bus.connect()
        assert await here.bus.read("one") == (111, 112)


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu-over-tcp"])
async def test_an_endpoint_on_which_nobody_answers_any_more_is_connected_afresh(kind):
    """A gateway may hang on to a connection that it has forgotten. One unit that is off does not make it forgotten."""
    async with two_units(kind, timeout=0.04) as here:
        here.wire.faults[1] = peer.silence
        for _ in range(5):
            with pytest.raises(DeviceFault, match="no answer"):
                await here.bus.read("one")
        assert await here.bus.read("three") == (333, 334)
        assert len(here.wire.connections) == 1
        here.wire.faults[3] = peer.silence
        for device in ("one", "three", "one"):
            with pytest.raises(DeviceFault, match="no answer"):
                await here.bus.read(device)
        here.wire.faults.clear()
        assert await here.bus.read("one") == (111, 112)
        assert len(here.wire.connections) == 2


async def test_an_adapter_that_is_pulled_out_and_put_back_is_found_under_its_name(tmp_path):
    name = tmp_path / "usb-FTDI_A10K1XYZ-if00-port0"
    units = {1: Slave(holding={10: 111})}
    with line(units, name) as wire:
        keys = {"port": str(name), "baud": 115200, "parity": "none"}
        bus = bus_on("modbus-rtu", keys, {"one": (1, VALUE, 5.0)})
        await bus.connect()
        assert await bus.read("one") == (111,)
        wire.faults[1] = peer.hang_up
        with pytest.raises(DeviceFault, match="went away; is the adapter plugged in") as caught:
            await bus.read("one")
        assert (caught.value.kind, caught.value.layer) == ("gone", "bus")
        await bus.close()
        with pytest.raises(DeviceFault, match=f'port "{name}" is not there'):
            await bus.connect()
    with line(units, name):
        await bus.connect()
        assert await bus.read("one") == (111,)
        await bus.close()


async def test_a_port_that_another_bus_has_is_busy():
    async with wire_of("modbus-rtu", {}) as (_, keys):
        first, second = (bus_on("modbus-rtu", keys, {"one": (1, VALUE, 5.0)}) for _ in range(2))
        await first.connect()
        with pytest.raises(DeviceFault, match="in use by another program") as caught:
            await second.connect()
        assert (caught.value.kind, caught.value.layer) == ("busy", "bus")
        await first.close()
        await second.connect()
        await second.close()
        await second.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_connect_does_nothing_when_open_and_close_may_come_at_any_time(kind):
    async with two_units(kind, timeout=5.0) as here:
        await here.bus.connect()
        assert await here.bus.read("one") == (111, 112)
        await here.bus.close()
        await here.bus.close()
        await here.bus.connect()
        assert await here.bus.read("one") == (111, 112)
        if kind != "modbus-rtu":
            assert len(here.wire.connections) == 2


async def test_a_host_that_cannot_be_a_name_is_told():
    bus = bus_on("modbus-tcp", {"host": "meter..local"}, {"one": (1, VALUE, 5.0)})
    with pytest.raises(DeviceFault, match=r'host "meter\.\.local" is not known; check the name') as caught:
        await bus.connect()
    assert (caught.value.kind, caught.value.layer) == ("gone", "bus")

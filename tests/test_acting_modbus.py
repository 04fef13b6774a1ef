"""What is written to a Modbus device is there afterwards, on its own side; whatever cannot be written leaves it untouched."""

import asyncio
import struct
from contextlib import asynccontextmanager
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_modbus import KEYS, KINDS, wire_of
from test_modbus_wire import Pipe, virtually

from drivers import load
from drivers.contract import BusSpec, DeviceFault, DeviceSpec, KeyMistake, Misfit, NotTaken, NoValue
from drivers.modbus import RtuLink, TcpLink
from drivers.modbus.changes import change
from drivers.modbus.frames import instruction
from drivers.modbus.keys import NUMBERS, ModbusDevice, ModbusPoint
from drivers.modbus.registers import Place, decoder

from peers import modbus_server as peer
from peers.modbus_server import Slave, crc, stands_in, well_rtu, well_tcp

pytestmark = pytest.mark.slow

POINTS = {
    "relay": {"coil": 3},
    "mode": {"coil": 4, "values": {"0": "heat", "1": "cool"}},
    "setpoint": {"holding": 0, "type": "int16", "scale": 0.1},
    "counter": {"holding": 1, "type": "uint32", "word_order": "little"},
    "level": {"holding": 3, "type": "float32", "byte_order": "little"},
    "valve": {"holding": 5, "bit": 9},
    "speed": {"holding": 5, "bits": "0..2"},
    "preset": {"holding": 6, "type": "uint16", "values": {"0": "night", "0x10": "day"}},
    "drain": {"holding": 7, "type": "bool"},
    "limit": {"holding": 8, "type": "int64", "scale": -2, "offset": 1},
}
HELD = {"coil": [1] * 8, "holding": [7] * 5 + [0b1111_0000_0000_0110] + [7] * 10}


def spec_of(kind, keys, points, *, timeout=2.0, **device):
    made = {name: ModbusPoint(**{"writable": True} | point) for name, point in points.items()}
    one = DeviceSpec(name="plc", keys=ModbusDevice(unit=1, **device), points=made, timeout=timeout)
    return BusSpec(name="bus", keys=KEYS[kind](**keys), devices=(one,))


def opened(kind, keys, points, **options):
    spec = spec_of(kind, keys, points, **options)
    assert not load(kind).check(spec)
    return load(kind).open(spec, lambda *_: None)


@asynccontextmanager
async def plc(kind, points, *, timeout=2.0, **slave):  # noqa: ASYNC109  (the device's own)
    """A bus with one device that we see from its own side."""
    held = Slave(**{"coil": dict(enumerate(HELD["coil"])), "holding": dict(enumerate(HELD["holding"]))} | slave)
    async with wire_of(kind, {1: held}) as (wire, keys):
        bus = opened(kind, keys, points, timeout=timeout)
        await bus.connect()
        try:
            yield SimpleNamespace(bus=bus, wire=wire, slave=held)
        finally:
            await bus.close()


# ---------------------------------------------------------------- what is written is there


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu"])
async def test_every_kind_of_point_is_written_to_a_real_server_and_nothing_beside_it(kind):
    """Against pymodbus's own servers, looked up in their own store."""
    tcp = kind == "modbus-tcp"
    async with (well_tcp if tcp else well_rtu)(1, discrete=[0], input=[0], **HELD) as where:
        bus = opened(kind, {"host": "127.0.0.1", "port": where} if tcp else {"port": where, "parity": "none"}, POINTS)
        await bus.connect()
        written = {
            "relay": False, "mode": "heat", "setpoint": -12.3, "counter": 0x12345678, "level": 21.5, "valve": True, "speed": 5,
            "preset": "day", "drain": False, "limit": -9_000_000_001,
        }  # fmt: skip
        for point, value in written.items():
            assert await bus.write("plc", point, value) == value
        assert dict(zip(bus.polled["plc"], await bus.read("plc"), strict=True)) == written
        assert await stands_in(1, "coil", 0, 8) == [1, 1, 1, 0, 0, 1, 1, 1]
        level = struct.unpack("<2H", struct.pack(">f", 21.5))
        limit = struct.unpack(">4H", struct.pack(">q", 4_500_000_001))
        assert await stands_in(1, "holding", 0, 16) == [
            0x10000 - 123, 0x5678, 0x1234, *level, 0b1111_0010_0000_0101, 0x10, 0, *limit, 7, 7, 7, 7,
        ]  # fmt: skip
        await bus.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_one_cell_is_written_by_the_function_for_one_and_several_by_that_for_several(kind):
    async with plc(kind, POINTS) as at:
        await at.bus.write("plc", "relay", False)
        await at.bus.write("plc", "setpoint", 2.0)
        await at.bus.write("plc", "counter", 1)
        assert at.slave.writes == [(5, 3, [0]), (6, 0, [20]), (16, 1, [1, 0])]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_without_the_function_for_one_is_asked_with_that_for_several(kind):
    async with plc(kind, POINTS, lacks=(5, 6)) as at:
        assert await at.bus.write("plc", "relay", False) is False
        assert await at.bus.write("plc", "setpoint", 2.0) == 2.0
        assert at.slave.writes == [(15, 3, [0]), (16, 0, [20])]


async def test_an_adapter_that_hears_itself_is_no_witness():
    """It sends back the request, which looks just like the answer to a write: only what is read back counts."""
    async with plc("modbus-rtu", POINTS, keeps={("coil", 3)}) as at:
        at.wire.faults[1] = peer.echo
        assert await at.bus.write("plc", "mode", "heat") == "heat"
        with pytest.raises(NotTaken):
            await at.bus.write("plc", "relay", False)


# ---------------------------------------------------------------- what does not become so


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_that_says_yes_and_does_nothing_is_found_out(kind):
    async with plc(kind, POINTS, keeps={("holding", 0)}) as at:
        with pytest.raises(NotTaken, match=r"setpoint was set to 21\.5, but reads back 0\.7; is it locked") as caught:
            await at.bus.write("plc", "setpoint", 21.5)
        assert caught.value.found == 0.7


@pytest.mark.parametrize("kind", KINDS)
async def test_the_answer_to_another_write_is_no_answer(kind):
    def elsewhere(answer):
        answer.pdu = answer.pdu[:1] + b"\0\x63" + answer.pdu[3:]
        answer.wire.send(answer.frame)

    async with plc(kind, POINTS, timeout=0.2) as at:
        at.wire.faults[1] = elsewhere
        with pytest.raises(DeviceFault) as caught:
            await at.bus.write("plc", "relay", False)
        assert caught.value.kind == "garbled"
        assert "something else than it was asked" in caught.value.what


@pytest.mark.parametrize(("code", "words"), [(2, "nothing at this address"), (3, "refuses this value"), (6, "is busy")])
async def test_a_refusal_says_what_was_refused(code, words):
    async with plc("modbus-tcp", POINTS, refuses={("holding", 0)}, code=code) as at:
        with pytest.raises(DeviceFault, match=words) as caught:
            await at.bus.write("plc", "setpoint", 21.5)
        assert caught.value.layer == "device"
        assert caught.value.hint
        assert at.slave.tables["holding"][0] == 7


async def test_what_only_starts_something_is_not_read_back():
    points = {"restart": {"holding": 9, "read_back": False}, "hidden": {"holding": 10}}
    async with plc("modbus-tcp", points, hides={("holding", 10)}, keeps={("holding", 9)}) as at:
        assert await at.bus.write("plc", "restart", 1) == NoValue("it only starts something")
        assert await at.bus.write("plc", "hidden", 1) == NoValue("the device refuses to tell it")
        assert at.slave.writes == [(6, 9, [1]), (6, 10, [1])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [peer.silence, peer.hold, peer.half])
async def test_a_write_whose_answer_is_lost_is_sent_once_and_leaves_the_line_clean(kind, fault):
    async with plc(kind, POINTS, timeout=0.1) as at:
        at.wire.faults[1] = fault
        with pytest.raises(DeviceFault):
            await at.bus.write("plc", "setpoint", 21.5)
        assert at.slave.writes == [(6, 0, [215])]
        at.wire.faults.clear()
        at.wire.release()
        for _ in range(20):  # a unit that owes an answer is not asked again before it had time to give it
            try:
                values = await at.bus.read("plc")
                break
            except DeviceFault:
                await at.bus.connect()
        assert values[2] == 21.5
        assert len(at.slave.writes) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_may_be_cancelled_and_its_late_answer_is_nobodys(kind):
    async with plc(kind, POINTS) as at:
        at.wire.faults[1] = peer.hold
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await at.bus.write("plc", "setpoint", 21.5)
        at.wire.faults.clear()
        at.wire.release()
        assert (await at.bus.read("plc"))[2] == 21.5


# ---------------------------------------------------------------- what is refused beforehand

UNFIT = {
    "more than it holds": ("setpoint", 4000.0, "-3276.8 to 3276.7"),
    "finer than it is": ("setpoint", 21.53, "21.5 or 21.6"),
    "a truth for a number": ("setpoint", True, "a number"),
    "a number for a truth": ("relay", 1, "true or false"),
    "another word": ("mode", "warm", '"heat" or "cool"'),
    "a truth for a word": ("mode", True, '"heat" or "cool"'),
    "more than its bits": ("speed", 8, "0 to 7"),
    "below zero": ("counter", -1, "0 to 4294967295"),
    "a text": ("level", "21.5", "a number"),
    "more than a float": ("level", 1e39, "a number that a float32 can hold"),
    "no number": ("level", float("nan"), "a number"),
    "off the beat": ("limit", 4, "3 or 5"),
}


@pytest.mark.parametrize("case", UNFIT)
async def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(case):
    point, value, expected = UNFIT[case]
    async with plc("modbus-tcp", POINTS) as at:
        why = at.bus.misfit("plc", point, value)
        assert why
        assert set(why.expected.split(" or ")) == set(expected.split(" or "))
        with pytest.raises(DeviceFault) as caught:
            await at.bus.write("plc", point, value)
        assert caught.value.kind == "misfit"
        assert at.wire.asked.empty()


def test_a_point_is_written_only_where_the_config_says_so():
    spec = spec_of("modbus-tcp", {"host": "x"}, {"fan": {"coil": 0, "writable": False}, "relay": {"coil": 1}})
    driver = load("modbus-tcp")
    assert driver.open(spec, print).writable == {"plc": frozenset({"relay"})}
    assert driver.misfit(spec.devices[0], "relay", True) is None
    refused = driver.misfit(spec.devices[0], "fan", True)
    assert refused
    assert refused.of_point


@pytest.mark.parametrize("place", [{"input": 0}, {"discrete": 0}, {"holding": 0, "length": 4}])
def test_what_cannot_be_written_cannot_be_declared_writable(place):
    with pytest.raises(KeyMistake) as caught:
        ModbusPoint(**place, writable=True)
    assert caught.value.key == "writable"


# ---------------------------------------------------------------- the way there is the way back

orders = st.sampled_from(["big", "little"])
scales = st.sampled_from([1.0, 0.1, 0.01, 0.001, 10.0, 0.5, -0.1, 3.0, 0.25])
offsets = st.sampled_from([0.0, -40.0, 100.0, 0.5, 32.0])


@given(st.sampled_from(sorted(NUMBERS)), orders, orders, scales, offsets, st.data())
def test_whatever_can_be_read_can_be_written_and_reads_the_same(kind, word_order, byte_order, scale, offset, data):
    """Any registers, read as a value; that value, written, brings the same reading."""
    size = 2 * NUMBERS[kind][1]
    there = data.draw(st.binary(min_size=size, max_size=size))
    point = ModbusPoint(
        holding=5, type=kind, scale=scale, offset=offset, byte_order=byte_order, writable=True,
        word_order=word_order if size > 2 else None,
    )  # fmt: skip
    read = decoder([(point, Place(0, 5))])
    value = read(there)[0]
    if isinstance(value, NoValue) or abs(value) > 1e300:
        return
    planned = change(ModbusDevice(unit=1), point, value)
    if isinstance(planned, Misfit):  # of 64 bits a float keeps but 53: two raw numbers read as one
        assert kind.endswith("64")
        return
    again = read(planned.data())[0]
    assert again == planned.reads
    assert again == pytest.approx(value, rel=1e-6, abs=1e-9)


@given(st.integers(0, 0xFFFF), st.integers(0, 15), st.integers(0, 15), st.integers(0, 0xFFFF), orders)
def test_the_other_bits_of_a_register_stay(there, one, other, number, byte_order):
    low, high = sorted((one, other))
    value = number & (2 << high - low) - 1
    point = ModbusPoint(holding=0, bits=f"{low}..{high}", byte_order=byte_order, writable=True)
    planned = change(ModbusDevice(unit=1), point, value)
    order = "big" if byte_order == "big" else "little"
    became = int.from_bytes(planned.data(there.to_bytes(2, order)), order)
    mask = ((2 << high - low) - 1) << low
    assert became == there & ~mask | value << low


# ---------------------------------------------------------------- any bytes

ASKED = [
    instruction(3, "coil", 7, b"\1", several=False),
    instruction(3, "coil", 7, b"\0", several=True),
    instruction(3, "holding", 7, b"\x12\x34", several=False),
    instruction(3, "holding", 7, b"\x12\x34\x56\x78", several=True),
]


@st.composite
def rubbish(draw, asked, kind):
    """Rubbish made of what real answers are made of, so that it gets far."""
    right = asked.pdu[:5]
    frames = [b"\x03" + right + crc(b"\x03" + right), b"\x03" + right, asked.frame, b"\x04" + right + crc(b"\x04" + right)]
    if kind == "tcp":
        frames = [
            struct.pack(">HHHB", draw(st.integers(0, 2)), 0, len(pdu) + 1, 3) + pdu for pdu in (right, right[:4], b"\x85\x02")
        ]
    scraps = st.sampled_from([*frames, *(frame[:5] for frame in frames)])
    return b"".join(draw(st.lists(st.one_of(scraps, st.binary(max_size=12)), max_size=5)))


@given(st.data(), st.sampled_from(["tcp", "rtu"]), st.sampled_from(ASKED), st.lists(st.integers(0, 200), max_size=5))
def test_any_bytes_in_answer_to_a_write_are_its_answer_or_a_fault(data, kind, asked, cuts):
    """However they are cut; and what is taken for the answer repeats what was to be written, or how much of it."""
    came = data.draw(rubbish(asked, kind))
    cuts = sorted({0, len(came), *(cut % (len(came) + 1) for cut in cuts)})

    async def ask():
        link = TcpLink("x", frozenset()) if kind == "tcp" else RtuLink("x", frozenset(), 0.0)
        Pipe(link, [came[begin:end] for begin, end in pairwise(cuts)])
        try:
            return await link.exchange(asked, asyncio.get_running_loop().time() + 1.0)
        except DeviceFault as fault:
            return fault

    outcome = virtually(ask())
    assert isinstance(outcome, DeviceFault) or outcome == asked.pdu[:5]

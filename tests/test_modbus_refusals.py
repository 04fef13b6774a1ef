"""A device that refuses addresses still gives all the rest, is told of once, and is not asked for them again."""

import asyncio
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.contract import DeviceFault, DeviceSpec
from drivers.modbus.frames import answer, question
from drivers.modbus.keys import ModbusDevice, ModbusPoint
from drivers.modbus.unit import NOT_YET, REFUSED, REMEMBERED, Unit

from peers.modbus_server import Slave
from peers.virtual_time import VirtualLoop

LATER = 1e9


class Device:
    """A unit and the slave that it talks to, without a wire between them."""

    def __init__(self, slave, points, **keys):
        self.slave, self.told = slave, []
        self.points = {name: ModbusPoint(**point) for name, point in points.items()}
        spec = DeviceSpec(name="meter", keys=ModbusDevice(unit=1, **keys), points=self.points, timeout=1.0)
        self.unit = Unit(spec, max_gap=16, prepare=question, tell=lambda who, text: self.told.append((who, text)))
        self.cut_after = 10**9  # requests, after which the caller loses patience

    async def ask(self, asked):
        self.cut_after -= 1
        if self.cut_after < 0:
            raise asyncio.CancelledError
        return answer(asked, self.slave.reply(asked.pdu))

    async def read(self, until=LATER):
        """The values, and how many requests they took."""
        before = len(self.slave.requests)
        values = await self.unit.read(self.ask, until)
        return dict(zip(self.points, values, strict=True)), len(self.slave.requests) - before


def row(*addresses):
    return {f"r{address}": {"holding": address} for address in addresses}


def content(addresses=range(200)):
    return {address: 1000 + address for address in addresses}


async def settled(device):
    """The values and number of requests once nothing new is learnt."""
    for _ in range(20):
        if not device.unit._searching and not device.unit._suspects:
            before = device.unit._requests
            result = await device.read()
            if device.unit._requests is before:
                return result
        else:
            await device.read()
    raise AssertionError("still learning after 20 reads")


async def test_one_refused_point_among_fifty_costs_one_request_more():
    device = Device(Slave(holding=content(), refuses=[("holding", 17)]), row(*range(50)))
    first, asked = await device.read()
    assert asked <= 2 * 6 + 1, "found by halving"
    assert first == {f"r{n}": REFUSED if n == 17 else 1000 + n for n in range(50)}
    assert await device.read() == (first, 2)
    assert device.slave.requests[-2:] == [("holding", 0, 17), ("holding", 18, 32)]
    assert device.told == [
        ("meter", "refuses the address of r17 (holding 17): no value from there; check the profile against the model")
    ]


async def test_a_refused_gap_is_no_longer_bridged_and_costs_no_value():
    device = Device(Slave(holding=content(), refuses=[("holding", 5)]), row(0, 1, 2, 8, 9, 20))
    assert await device.read() == ({f"r{n}": 1000 + n for n in (0, 1, 2, 8, 9, 20)}, 5)
    _, asked = await device.read()
    assert asked == 2, "the other gap is bridged all the same"
    assert not device.told


async def test_a_device_that_gives_less_at_once_is_asked_for_less():
    device = Device(Slave(holding=content(), most=40), row(*range(100)))
    values, _ = await device.read()
    assert values == {f"r{n}": 1000 + n for n in range(100)}
    _, asked = await settled(device)
    assert asked <= 4
    assert not device.told


async def test_a_border_that_a_device_does_not_read_across_is_found():
    device = Device(Slave(holding=content(), borders=[("holding", 30)]), row(*range(50)))
    values, asked = await settled(device)
    assert values == {f"r{n}": 1000 + n for n in range(50)}
    assert asked == 2 or device.slave.requests[-asked:][0][1] == 0
    assert not any(address < 30 < address + count for _, address, count in device.slave.requests[-asked:])


@pytest.mark.parametrize("code", [1, 2, 3])
async def test_a_device_that_refuses_everything_is_a_misfit_and_asked_one_question_a_time(code):
    device = Device(Slave(holding=content(), refuses=[("holding", n) for n in range(200)], code=code), row(*range(10)))
    with pytest.raises(DeviceFault, match=r"refuses every address .*is it the model that its profile is for") as caught:
        await device.read()
    assert (caught.value.kind, caught.value.layer) == ("misfit", "device")
    before = len(device.slave.requests)
    with pytest.raises(DeviceFault, match="refuses every address"):
        await device.read()
    assert len(device.slave.requests) - before == 1
    device.slave.refuses.clear()
    values, _ = await device.read()
    assert values == {f"r{n}": 1000 + n for n in range(10)}


async def test_a_missing_table_costs_only_its_own_points():
    device = Device(
        Slave(holding=content(), refuses=[("discrete", n) for n in range(20)], code=1),
        row(0, 1) | {f"d{n}": {"discrete": n} for n in range(4)},
    )
    values, _ = await device.read()
    assert values == {"r0": 1000, "r1": 1001} | {f"d{n}": REFUSED for n in range(4)}
    assert (await device.read())[1] == 1
    assert len(device.told) == 1


async def test_when_time_is_short_the_search_goes_on_at_the_next_read():
    """Points that were not reached have no value for now; nothing is asked twice for it."""
    device = Device(Slave(holding=content(), refuses=[("holding", 3)]), row(*range(50)))
    first, asked = await device.read(until=0.0)
    assert asked == 1
    assert set(first.values()) == {NOT_YET}
    reads = 1
    while device.unit._searching:
        values, _ = await device.read(until=0.0)
        reads += 1
    assert values == {f"r{n}": REFUSED if n == 3 else 1000 + n for n in range(50)}
    assert reads < 10


async def test_what_was_learnt_survives_a_cancelled_read():
    device = Device(Slave(holding=content(), refuses=[("holding", 17)]), row(*range(50)))
    cut = 0
    for _ in range(20):
        device.cut_after = 3
        try:
            values, _ = await device.read()
        except asyncio.CancelledError:
            cut += 1
        else:
            break
    assert cut
    device.cut_after = 10**9
    values, asked = await settled(device)
    assert values == {f"r{n}": REFUSED if n == 17 else 1000 + n for n in range(50)}
    assert asked == 2


def test_after_an_hour_the_device_is_asked_again_but_nobody_is_told_twice():
    async def story():
        device = Device(Slave(holding=content(), refuses=[("holding", 2), ("holding", 4)]), row(*range(6)))
        await device.read()
        await asyncio.sleep(REMEMBERED - 1)
        await device.read()
        assert len(device.told) == 1
        device.slave.refuses = {("holding", 2)}  # new firmware
        await asyncio.sleep(2)
        values, _ = await device.read()
        assert values == {f"r{n}": REFUSED if n == 2 else 1000 + n for n in range(6)}
        assert len(device.told) == 1

    virtually(story())


def virtually(story):
    """Run it in a time that leaps over all waiting."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(story)
    finally:
        loop.close()


# ---------------------------------------------------------------- whatever it refuses


@st.composite
def devices(draw):
    starts = draw(st.lists(st.integers(0, 60), min_size=1, max_size=20, unique=True))
    points = {f"p{n}": {"holding": n, "type": draw(st.sampled_from(["uint16", "uint16", "uint32"]))} for n in starts}
    refuses = draw(st.sets(st.integers(0, 62), max_size=5))
    borders = draw(st.sets(st.integers(0, 62), max_size=2))
    return points, refuses, borders, draw(st.integers(2, 125)), draw(st.sampled_from([1, 2, 3]))


@settings(deadline=None, max_examples=60)
@given(devices(), st.integers(0, 20))
def test_whatever_a_device_refuses_all_else_is_read_and_it_is_left_alone_with_it(case, max_gap):
    """Each point has the value that it has when asked for alone, from the first read on; in the end no request is refused."""
    points, refuses, borders, most, code = case
    refusing = {"refuses": [("holding", n) for n in refuses], "borders": [("holding", n) for n in borders]}

    def slave():
        return Slave(holding=content(range(70)), most=most, code=code, **refusing)

    def alone(point):
        span = point.span
        pdu = slave().reply(struct.pack(">BHH", 3, span.start, span.end - span.start))
        return REFUSED if pdu[0] & 0x80 else int.from_bytes(pdu[2:], "big")

    async def story():
        device = Device(slave(), points, max_gap=max_gap)
        expected = {name: alone(point) for name, point in device.points.items()}
        if set(expected.values()) == {REFUSED}:
            with pytest.raises(DeviceFault, match="refuses every address"):
                await device.read()
            return
        first, _ = await device.read()
        assert first == expected
        values, asked = await settled(device)
        assert values == expected
        for _, address, count in device.slave.requests[-asked:]:
            assert device.slave.reply(struct.pack(">BHH", 3, address, count))[0] == 3

    virtually(story())

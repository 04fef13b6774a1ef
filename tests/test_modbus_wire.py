"""Any bytes give values or one DeviceFault, however they are cut; what a config gets wrong is told before anything is opened."""

import asyncio
import errno
import socket
import struct
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import load
from drivers.contract import BusSpec, DeviceFault, DeviceSpec
from drivers.modbus import RtuLink, TcpLink
from drivers.modbus.blocks import Span
from drivers.modbus.bus import ModbusBus
from drivers.modbus.faults import AddressRefusedError, unreachable
from drivers.modbus.frames import answer, diagnosis, find, question
from drivers.modbus.keys import ModbusDevice, ModbusPoint, ModbusRtu, ModbusRtuOverTcp, ModbusTcp
from drivers.modbus.unit import Unit
from drivers.ports import _not_opened

from peers.modbus_server import crc
from peers.virtual_time import VirtualLoop

ASKED = question(3, "holding", Span(100, 110))
RIGHT = struct.pack(">BB10H", 3, 20, *range(10))
RTU_FRAME = b"\x03" + RIGHT + crc(b"\x03" + RIGHT)
TCP_FRAME = struct.pack(">HHHB", 1, 0, len(RIGHT) + 1, 3) + RIGHT


class Pipe(asyncio.Transport):
    """What is written to it is answered with bytes that were made up, in pieces."""

    def __init__(self, link, pieces):
        super().__init__()
        self.link, self.pieces, self.over = link, pieces, False
        link.connection_made(self)

    def write(self, data):
        for piece in self.pieces:
            self.link._loop.call_soon(self.hand_over, piece)

    def hand_over(self, piece):
        if not self.over:
            self.link.data_received(piece)

    def abort(self):
        self.over = True


def heard(kind, data, cuts):
    """What a link makes of these bytes as an answer to ASKED: an answer or a fault; anything else is raised."""
    cuts = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[begin:end] for begin, end in pairwise(cuts)]

    async def ask():
        link = TcpLink("x", frozenset()) if kind == "tcp" else RtuLink("x", frozenset(), 0.0)
        Pipe(link, pieces)
        try:
            return await link.exchange(ASKED, asyncio.get_running_loop().time() + 1.0)
        except DeviceFault as fault:
            return fault

    return virtually(ask())


def virtually(story):
    """What comes of it in a time that leaps over all waiting."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(story)
    finally:
        loop.close()


# Rubbish made of what real answers are made of, so that it gets far.
scraps = st.sampled_from([RTU_FRAME, TCP_FRAME, RTU_FRAME[:5], TCP_FRAME[:9], RTU_FRAME[:-1], b"\x03\x83\x02", ASKED.frame])
rubbish = st.lists(st.one_of(scraps, st.binary(max_size=12)), max_size=5).map(b"".join)
cuts = st.lists(st.integers(0, 300), max_size=6)


@pytest.mark.parametrize("kind", ["tcp", "rtu"])
@settings(deadline=None)
@given(data=rubbish, cuts=cuts)
def test_any_bytes_give_the_right_answer_or_a_fault(kind, data, cuts):
    outcome = heard(kind, data, cuts)
    if not isinstance(outcome, DeviceFault):
        assert (outcome[:2], len(outcome)) == (RIGHT[:2], len(RIGHT))
        assert kind == "tcp" or outcome == RIGHT, "a line has a checksum besides"


@settings(deadline=None)
@given(before=st.binary(max_size=40), after=st.binary(max_size=40), cuts=cuts)
def test_a_sound_answer_is_found_on_a_line_whatever_stands_around_it_and_however_it_is_cut(before, after, cuts):
    assert heard("rtu", before + RTU_FRAME + after, cuts) == RIGHT


@settings(deadline=None)
@given(cuts=cuts, late=st.integers(0, 3))
def test_an_answer_on_tcp_is_found_behind_late_ones_however_it_is_cut(cuts, late):
    assert heard("tcp", (b"\x77" + TCP_FRAME[1:]) * late + TCP_FRAME, cuts) == RIGHT


@given(st.binary(max_size=400))
def test_every_rubbish_on_a_line_has_a_diagnosis(data):
    """None stands for silence: nothing was heard, or nothing but our own request."""
    if find(ASKED, data) is None:
        fault = diagnosis(ASKED, data, ())
        assert fault is not None or not data.replace(ASKED.frame, b"")


def test_what_is_wrong_is_told_before_the_caller_gives_up():
    """The caller's own limit is the device's timeout; noise instead of silence is what only the driver has seen."""

    async def ask():
        async def noisy():
            link = RtuLink("x", frozenset(), 0.0)
            Pipe(link, [b"\xf0\x0f\x55"])
            return link

        device = DeviceSpec(name="m", keys=ModbusDevice(unit=3), points={"p": ModbusPoint(holding=0)}, timeout=1.0)
        bus = ModbusBus({"m": Unit(device, max_gap=0, prepare=question, tell=print)}, noisy, 1)
        async with asyncio.timeout(1.0):
            await bus.read("m")

    with pytest.raises(DeviceFault, match="noise"):
        virtually(ask())


@pytest.mark.parametrize("link", [lambda: TcpLink("x", frozenset()), lambda: RtuLink("x", frozenset(), 0.5)])
def test_a_request_on_a_connection_that_ended_meanwhile_fails_at_once(link):
    """On a line it may end in the silence before the request."""

    async def ask():
        here, loop = link(), asyncio.get_running_loop()
        Pipe(here, [])
        here._free = 0.5
        loop.call_soon(here.connection_lost, None)
        await asyncio.sleep(0)
        began = loop.time()
        with pytest.raises(DeviceFault, match="closed the connection"):
            await here.exchange(ASKED, began + 10.0)
        assert loop.time() - began < 1.0

    virtually(ask())


def test_another_master_on_the_line_is_noticed():
    request = struct.pack(">BBHH", 9, 3, 0, 10)
    fault = diagnosis(ASKED, b"\x00" + request + crc(request), ())
    assert fault is not None
    assert "nobody else asks" in fault.hint


def test_a_refusal_is_not_an_answer():
    with pytest.raises(AddressRefusedError):
        answer(ASKED, b"\x83\x02")
    for pdu in (b"", b"\x83", RIGHT[:-1], RIGHT + b"\0", b"\x04" + RIGHT[1:]):
        with pytest.raises(DeviceFault, match="something else"):
            answer(ASKED, pdu)


@pytest.mark.parametrize(
    ("table", "span", "pdu"),
    [
        ("coil", Span(19, 38), "01 0013 0013"),  # the examples of the standard, 6.1 to 6.4
        ("discrete", Span(196, 218), "02 00C4 0016"),
        ("holding", Span(107, 110), "03 006B 0003"),
        ("input", Span(8, 9), "04 0008 0001"),
    ],
)
def test_requests_are_those_of_the_standard(table, span, pdu):
    asked = question(17, table, span)
    assert asked.pdu == bytes.fromhex(pdu)
    assert asked.frame == b"\x11" + asked.pdu + crc(b"\x11" + asked.pdu)


# ---------------------------------------------------------------- what the system says


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refuses connections to port 502; check the port"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed, [Errno 111] Connect call failed"), "refuses connections"),
        (TimeoutError(), "does not answer; check its power, network cable"),
        (OSError(errno.ETIMEDOUT, "timed out"), "does not answer"),
        (OSError(errno.EHOSTUNREACH, "no route"), "there is no way to meter.local"),
        (OSError(errno.ENETUNREACH, "no network"), "there is no way to meter.local"),
        (socket.gaierror(socket.EAI_NONAME, "not known"), 'host "meter.local" is not known'),
        (OSError(errno.ENOBUFS, "no buffers"), "no connection to meter.local port 502"),
    ],
)
def test_what_the_network_says_is_told_in_plain_words(error, says):
    fault = unreachable("meter.local", 502, error)
    assert says in str(fault)
    assert (fault.kind, fault.layer) == ("gone", "bus")
    assert fault.hint


def test_a_port_that_one_may_not_open_names_the_group():
    fault = _not_opened("/dev/ttyUSB0", PermissionError(errno.EACCES, "denied"), "19200 baud")
    assert str(fault) == "/dev/ttyUSB0 may not be opened by this user; add the user that the hub runs as to the group dialout"
    assert fault.layer == "bus"


# ---------------------------------------------------------------- what only the driver can see in a config


def complaints(kind, bus_keys, points, timeout=1.0, **keys):
    device = DeviceSpec(name="m", keys=ModbusDevice(**({"unit": 1} | keys)), points=points, timeout=timeout)
    return load(kind).check(BusSpec(name="b", keys=bus_keys, devices=(device,)))


TCP, OVER = ModbusTcp(host="h"), ModbusRtuOverTcp(host="h", port=4001)
RTU = ModbusRtu(port="p", baud=2400)
ONE = {"p": ModbusPoint(holding=0)}


@pytest.mark.parametrize(
    ("found", "path", "expected"),
    [
        (complaints("modbus-rtu", RTU, ONE, unit=248), ("device", "m", "unit"), "1 to 247"),
        (complaints("modbus-rtu-over-tcp", OVER, ONE, unit=255), ("device", "m", "unit"), "1 to 247"),
        (complaints("modbus-tcp", TCP, {}), ("device", "m", "points"), "at least one"),
        (
            complaints("modbus-tcp", TCP, {"p": ModbusPoint(holding=0, length=20)}, max_registers=10),
            ("device", "m", "points", "p", "length"),
            "at most 10",
        ),
        (
            complaints("modbus-tcp", TCP, {"p": ModbusPoint(holding=0, type="int64")}, max_registers=2),
            ("device", "m", "points", "p", "type"),
            "at most 2",
        ),
        (
            complaints("modbus-rtu", RTU, {f"p{n}": ModbusPoint(holding=n) for n in range(200)}),
            ("device", "m", "timeout"),
            "more than 2.0 s: its points take that long at 2400 baud",
        ),
    ],
)
def test_a_mistake_that_only_the_driver_sees_is_told_where_it_is(found, path, expected):
    assert [complaint.path for complaint in found] == [path]
    assert expected in found[0].expected


def test_what_is_unusual_but_right_is_no_mistake():
    assert not complaints("modbus-tcp", TCP, ONE, unit=255)
    assert not complaints("modbus-rtu", RTU, ONE, unit=247)

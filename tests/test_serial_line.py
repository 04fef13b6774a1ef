"""Promises of drivers/serial_line, on real pseudo-terminals."""

import asyncio
import contextlib
import gc
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drivers
from drivers.contract import DeviceFault, NoValue
from drivers.serial_line import GARBLED_IN_A_ROW, SERIAL, SerialSampleKeys
from drivers.serial_line.line import BOUND
from gateway.config.profiles import check_profile, read_profile

from peers.patience import until
from peers.serial_peer import SerialPeer, device, line, plug

SCALE = """
[scale]
frame = { end = "\\r\\n", longest = 64 }
request = "W\\r\\n"
pattern = '^[SD] +(?P<weight>[-0-9.]+) g$'
[scale.points.weight]
unit = "g"
"""

MODULE = """
[one]
address = "01"
frame = { end = "\\r" }
checksum = { algorithm = "sum-8", format = "hex" }
request = "#{address}{checksum}\\r"
when = ">{address}"
refusal = "?{address}"
timeout = 0.3
[one.points.temperature]
at = 3
length = 7
"""
RACK = MODULE + MODULE.replace("one", "two").replace("01", "02")


def sealed(body):
    """A frame of RACK: text, the sum of its characters in hex, carriage return."""
    return b"%s%02X\r" % (body, sum(body) & 0xFF)


ASK_ONE, ASK_TWO = sealed(b"#01"), sealed(b"#02")
ONE, TWO = sealed(b">01+021.50"), sealed(b">02+007.25")

GPS = """
[gps]
frame = { start = "$", end = "\\r\\n", longest = 96 }
checksum = { algorithm = "nmea" }
delimiter = ","
[gps.points]
valid = { when = ["$GPRMC,", "$GNRMC,"], field = 2, values = { A = true, V = false } }
speed = { when = ["$GPRMC,", "$GNRMC,"], field = 7, unit = "kn" }
satellites = { when = ["$GPGGA,", "$GNGGA,"], field = 7 }
"""
RMC = b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n"
GGA = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"


@pytest.fixture
async def peers():
    """Makes peers, and hangs them up when the test is over."""
    made = []

    def make(*args, **keys):
        made.append(SerialPeer(*args, **keys))
        return made[-1]

    yield make
    for peer in made:
        peer.hang_up()


@pytest.fixture
async def connect():
    """Opens a bus and closes it when the test is over; what it tells is in `told`."""
    opened = []

    async def make(spec):
        assert SERIAL.check(spec) == []
        bus = SERIAL.open(spec, lambda who, text: bus.told.append((who, text)))
        bus.told = []
        opened.append(bus)
        await bus.connect()
        return bus

    yield make
    for bus in opened:
        await bus.close()


async def fault(work):
    with pytest.raises(DeviceFault) as caught:
        await work
    return caught.value


# ---------------------------------------------------------------- devices that are asked


async def test_a_device_is_asked_and_answers(peers, connect):
    peer = peers({b"W\r\n": b"S   12.50 g\r\n"})
    bus = await connect(line(peer.path, SCALE))
    assert bus.polled == {"scale": ("weight",)}
    assert await bus.read("scale") == (12.5,)
    assert await bus.read("scale") == (12.5,)


async def test_noise_and_half_frames_before_the_answer_do_no_harm(peers, connect):
    peer = peers({b"W\r\n": b"\xff\x00\r\nS   12\r\nS   12.50 g\r\n"})
    bus = await connect(line(peer.path, SCALE))
    assert await bus.read("scale") == (12.5,)


async def test_an_answer_may_come_in_any_pieces(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, SCALE))
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(bus.read("scale"))
        await until(lambda: peer.heard == b"W\r\n")
        for byte in b"S   12.50 g\r\n":
            peer.say(bytes([byte]))
            await asyncio.sleep(0)
    assert reading.result() == (12.5,)


@pytest.mark.parametrize(
    ("answer", "kind", "what"),
    [
        (b"", "silent", "does not answer"),
        (ONE.replace(b"5", b"6"), "garbled", "checksum is wrong"),
        (b">01+02", "garbled", "no answer"),  # half a frame
        (b"\x00" * 5000, "garbled", "does not end"),  # noise
        (sealed(b"?01"), "refused", "?01"),
        (TWO, "silent", "does not answer"),  # somebody else's answer
        (sealed(b">01"), "misfit", "says nothing"),
    ],
)
async def test_what_is_no_answer_is_told_apart(peers, connect, answer, kind, what):
    peer = peers({ASK_ONE: answer, ASK_TWO: TWO})
    bus = await connect(line(peer.path, RACK))
    failure = await fault(bus.read("one"))
    assert (failure.kind, failure.layer) == (kind, "device")
    assert what in failure.what
    assert failure.hint
    assert await bus.read("two") == (7.25,), "its neighbour is none the worse"


async def test_a_late_answer_is_not_taken_for_the_neighbours(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, RACK))
    assert (await fault(bus.read("one"))).kind == "silent"
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(bus.read("two"))
        await until(lambda: peer.heard.endswith(ASK_TWO))
        peer.say(ONE)
        peer.say(TWO)
    assert reading.result() == (7.25,)


async def test_a_late_answer_is_not_taken_for_the_next_one(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, SCALE.replace("[scale.points", "timeout = 0.1\n[scale.points")))
    assert (await fault(bus.read("scale"))).kind == "silent"
    peer.say(b"S   99.99 g\r\n")
    await until(lambda: bus._line._received)
    peer.answers[b"W\r\n"] = b"S   12.50 g\r\n"
    assert await bus.read("scale") == (12.5,)


async def test_a_read_that_is_cancelled_leaves_nothing_behind(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, SCALE))
    reading = asyncio.ensure_future(bus.read("scale"))
    await until(lambda: peer.heard == b"W\r\n")
    peer.say(b"S   99.")
    await until(lambda: bus._line._received or bus._devices["scale"].framer._buffer)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    peer.answers[b"W\r\n"] = b"S   12.50 g\r\n"
    assert await bus.read("scale") == (12.5,)


async def test_an_adapter_that_hears_itself_is_not_taken_for_the_device(peers, connect):
    """Without leaving out the echo, this request would be a fine answer."""
    parrot = SCALE.replace('request = "W\\r\\n"', 'request = "S 1 g\\r\\n"\ntimeout = 0.2')
    peer = peers(echo=True)
    bus = await connect(line(peer.path, parrot, echo=True))
    assert (await fault(bus.read("scale"))).kind == "silent"
    peer.answers[b"S 1 g\r\n"] = b"S   12.50 g\r\n"
    assert await bus.read("scale") == (12.5,)


async def test_a_device_with_several_requests_gives_the_points_of_all(peers, connect):
    peer = peers({b"T?\r": b"21.5\r", b"P?\r": b"1013\r"})
    spec = line(
        peer.path,
        """
        [station]
        frame = { end = "\\r" }
        requests = { air = "T?\\r", pressure = "P?\\r" }
        delimiter = ";"
        [station.points]
        pressure = { request = "pressure", field = 0 }
        temperature = { request = "air", field = 0 }
        humidity = { request = "air", field = 1 }
        """,
    )
    bus = await connect(spec)
    assert bus.polled == {"station": ("pressure", "temperature", "humidity")}
    assert await bus.read("station") == (1013, 21.5, NoValue("not in this message"))


async def test_each_answer_of_a_device_is_judged_by_itself(peers, connect):
    station = """
    [station]
    frame = { end = "\\r" }
    requests = { air = "T?\\r", pressure = "P?\\r" }
    delimiter = ";"
    timeout = 0.2
    points = { temperature = { request = "air", field = 0 }, pressure = { request = "pressure", field = 0 } }
    """
    spec = line(peers({b"T?\r": b"21.5\r"}).path, station)
    bus = await connect(spec)
    assert (await fault(bus.read("station"))).kind == "silent"
    assert SERIAL.decode(spec.devices[0], SerialSampleKeys(frame="1013\r", request="pressure")) == {"pressure": 1013}
    with pytest.raises(DeviceFault, match="answers no request"):
        SERIAL.decode(spec.devices[0], SerialSampleKeys(frame="1013\r"))


async def test_a_sleeping_device_is_woken_and_left_time(peers, connect):
    peer = peers({b"\0": b"...", b"W\r\n": b"S   12.50 g\r\n"})
    bus = await connect(line(peer.path, SCALE.replace("[scale.points", 'wake = "\\u0000"\nwake_pause = 0.02\n[scale.points')))
    assert await bus.read("scale") == (12.5,)
    assert peer.heard == b"\0W\r\n"


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ({"start": "hex: 42 4D", "length": 7}, b"BM\x00\x02\x01\x00\x92"),
        ({"start": "B", "length_field": {"at": 2, "plus": 5}}, b"BM\x02\x02\x01\x00\x94"),
        ({"gap": 0.03}, b"BM\x00\x02\x01\x00\x92"),
    ],
)
async def test_binary_devices_are_read_by_length_length_byte_or_gap(peers, connect, frame, answer):
    table = {
        "frame": frame,
        "checksum": {"algorithm": "sum-8"},
        "request": "hex: 01 02 {checksum}",
        "points": {"dust": {"at": 3, "type": "uint16"}},
    }
    peer = peers({b"\x01\x02\x03": answer})
    spec = msgspec.structs.replace(line(peer.path, ""), devices=(device("sensor", table),))
    bus = await connect(spec)
    assert await bus.read("sensor") == (0x0102,)


async def test_a_line_that_never_falls_silent_is_told_as_such(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, SCALE.replace("[scale.points", "timeout = 0.2\n[scale.points"), gap=0.1))
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(fault(bus.read("scale")))
        while not reading.done():
            peer.say(b"x")
            await asyncio.sleep(0.005)
    assert reading.result().kind == "busy"
    assert peer.heard == b""


# ---------------------------------------------------------------- devices that talk by themselves


async def listening(tasks, bus):
    """Start to listen; what is heard goes into the list that comes back."""
    heard = []
    task = tasks.create_task(
        bus.listen(lambda device, points, values: heard.append((device, dict(zip(points, values, strict=True)))))
    )
    return task, heard


async def test_a_talker_is_heard_and_a_frame_says_only_its_own_points(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, GPS))
    assert bus.heard == {"gps": ("valid", "speed", "satellites")}
    async with asyncio.TaskGroup() as tasks:
        task, heard = await listening(tasks, bus)
        peer.say(b"4807.038,N*00\r\n" + RMC + b"$GPGSV,3,1,11*4C\r\n" + GGA)
        await until(lambda: len(heard) == 2)
        task.cancel()
    assert heard == [("gps", {"valid": True, "speed": 22.4}), ("gps", {"satellites": 8})]


async def test_bad_frames_of_a_talker_are_dropped_counted_and_told_once(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, GPS))
    async with asyncio.TaskGroup() as tasks:
        task, heard = await listening(tasks, bus)
        peer.say(RMC.replace(b"022.4", b"922.4"))
        peer.say(RMC)
        await until(lambda: heard)
        for _ in range(GARBLED_IN_A_ROW):
            peer.say(RMC.replace(b"022.4", b"922.4") + RMC)
        await until(lambda: len(heard) == 1 + GARBLED_IN_A_ROW)
        assert bus.told == [], "single bad frames are bad luck"
        peer.say(RMC.replace(b"022.4", b"922.4") * 2 * GARBLED_IN_A_ROW + GGA)
        await until(lambda: heard[-1] == ("gps", {"satellites": 8}))
        task.cancel()
    assert bus.dropped == {"gps": 1 + 3 * GARBLED_IN_A_ROW}
    assert [who for who, _ in bus.told] == ["gps"]
    assert "checksum" in bus.told[0][1]


async def test_several_talkers_on_one_line_are_told_apart(peers, connect):
    peer = peers()
    talker = """
    [{name}]
    frame = {{ end = "\\n" }}
    when = "{name}:"
    delimiter = ":"
    points = {{ value = {{ field = 1 }} }}
    """
    bus = await connect(line(peer.path, talker.format(name="a") + talker.format(name="b")))
    async with asyncio.TaskGroup() as tasks:
        task, heard = await listening(tasks, bus)
        peer.say(b"b:1\na:2\nc:3\n")
        await until(lambda: len(heard) == 2)
        task.cancel()
    assert sorted(heard) == [("a", {"value": 2}), ("b", {"value": 1})]


async def test_frames_of_a_talker_may_end_by_a_gap(peers, connect):
    peer = peers()
    spec = line(peer.path, "[sensor]\nframe = { gap = 0.1 }\npoints = { value = { type = 'uint16', endian = 'big' } }")
    bus = await connect(spec)
    async with asyncio.TaskGroup() as tasks:
        task, heard = await listening(tasks, bus)
        for number in range(3):
            peer.say(bytes([number]))
            await until(lambda: bus._devices["sensor"].framer._buffer)
            peer.say(b"\x05")
            await until(lambda number=number: len(heard) == number + 1)
        task.cancel()
    assert [said["value"] for _, said in heard] == [0x0005, 0x0105, 0x0205]


# ---------------------------------------------------------------- ports that come and go


async def test_a_port_that_is_pulled_out_is_a_fault_of_the_bus_at_once(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, SCALE))
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(fault(bus.read("scale")))
        await until(lambda: peer.heard == b"W\r\n")
        peer.hang_up()
    assert (reading.result().kind, reading.result().layer) == ("gone", "bus")
    again = await fault(bus.read("scale"))
    assert (again.kind, again.layer) == ("gone", "bus")


async def test_a_port_that_comes_back_under_another_name_heals_itself(tmp_path, peers, connect):
    link = tmp_path / "usb-FTDI_FT232R_USB_UART_A10K1XYZ-if00-port0"
    first, second = peers({b"W\r\n": b"S 1 g\r\n"}), peers({b"W\r\n": b"S 2 g\r\n"})
    bus = await connect(line(plug(link, first), SCALE))
    assert await bus.read("scale") == (1,)
    first.hang_up()
    link.unlink()
    assert (await fault(bus.read("scale"))).kind == "gone"
    absent = await fault(bus.connect())
    assert (absent.kind, absent.layer) == ("gone", "bus")
    plug(link, second)
    await bus.connect()
    assert await bus.read("scale") == (2,)


async def test_listening_ends_with_a_fault_when_the_port_is_pulled_out(peers, connect):
    peer = peers()
    bus = await connect(line(peer.path, GPS))
    async with asyncio.TaskGroup() as tasks:
        listener = tasks.create_task(fault(bus.listen(lambda *_: None)))
        await asyncio.sleep(0)
        peer.hang_up()
    assert (listener.result().kind, listener.result().layer) == ("gone", "bus")


async def test_a_talker_that_is_pulled_out_and_put_back_is_heard_again(tmp_path, peers, connect):
    """And the half of a frame that was heard before is not taken for the beginning of the next."""
    link = tmp_path / "usb-counter"
    first, second = peers(), peers()
    spec = line(
        plug(link, first),
        "[counter]\nframe = { end = '\\n' }\ndelimiter = ';'\npoints = { count = { field = 0 } }".replace("'", '"'),
    )
    bus = await connect(spec)
    async with asyncio.TaskGroup() as tasks:
        listener = tasks.create_task(fault(bus.listen(lambda *_: None)))
        first.say(b"1")
        await until(lambda: bus._devices["counter"].framer._buffer)
        first.hang_up()
    link.unlink()
    assert (await fault(bus.listen(lambda *_: None))).kind == "gone"
    plug(link, second)
    async with asyncio.TaskGroup() as tasks:
        listener, heard = await listening(tasks, bus)
        await until(lambda: bus._line)
        second.say(b"25\n")
        await until(lambda: heard)
        listener.cancel()
    assert heard == [("counter", {"count": 25})]


async def test_an_input_that_was_just_forgotten_is_no_hang_up(peers, connect):
    """The loop may already know of bytes that are then thrown away: it reads nothing, from a port that is well."""
    peer = peers({b"W\r\n": b"S 1 g\r\n"})
    bus = await connect(line(peer.path, SCALE))
    peer.say(b"late")
    bus._line._transport.forget_input()
    bus._line._transport._readable()
    assert await bus.read("scale") == (1,)


async def test_what_nobody_asks_for_is_kept_within_a_bound(peers, connect):
    bus = await connect(line(peers().path, SCALE))
    for _ in range(20):
        bus._line.data_received(b"x" * 4096)
    assert len(bus._line._received) == BOUND


async def test_a_port_that_another_program_holds_is_told_with_a_remedy(peers, connect):
    peer = peers()
    spec = line(peer.path, SCALE)
    await connect(spec)
    other = SERIAL.open(spec, lambda *_: None)
    refused = await fault(other.connect())
    assert (refused.kind, refused.layer) == ("busy", "bus")
    assert refused.hint


async def test_a_port_without_control_lines_is_told_with_a_remedy(peers):
    bus = SERIAL.open(line(peers().path, SCALE, dtr=True), lambda *_: None)
    refused = await fault(bus.connect())
    assert (refused.kind, refused.layer) == ("misfit", "bus")
    assert "dtr" in refused.hint


async def test_a_bus_that_is_not_open_says_so_and_closing_twice_is_fine(peers):
    bus = SERIAL.open(line(peers().path, SCALE), lambda *_: None)
    assert (await fault(bus.read("scale"))).layer == "bus"
    await bus.close()
    await bus.connect()
    await bus.close()
    await bus.close()
    await bus.connect()
    await bus.close()


async def test_an_opening_that_is_cancelled_keeps_no_port(peers, connect):
    peer = peers()
    bus = SERIAL.open(line(peer.path, SCALE), lambda *_: None)
    opening = asyncio.ensure_future(bus.connect())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    gc.collect()

    async def free():
        while True:
            try:
                return await connect(line(peer.path, SCALE))
            except DeviceFault:
                await asyncio.sleep(0)  # the thread that opens it may not have come that far

    async with asyncio.timeout(5):
        await free()


# ---------------------------------------------------------------- mistakes and samples


@pytest.mark.parametrize(
    ("devices", "path"),
    [
        (SCALE + GPS, ("device", "gps")),
        (GPS + GPS.replace("gps", "other"), ("device", "gps")),
        (SCALE.replace("weight>", "height>"), ("device", "scale", "pattern")),
        (SCALE.replace('unit = "g"', 'request = "x"'), ("device", "scale", "points", "weight", "request")),
        (
            SCALE.replace('request = "W\\r\\n"', 'requests = { a = "A", b = "B" }').replace('unit = "g"', 'request = "a"'),
            ("device", "scale", "requests", "b"),
        ),
        ("[s]\nframe = { length = 4 }\npoints = { x = { type = 'uint8' } }", ("device", "s", "frame")),
    ],
)
def test_mistakes_across_keys_are_told_with_their_place(devices, path):
    assert path in [complaint.path for complaint in SERIAL.check(line("/dev/ttyUSB0", devices))]


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ('requests = { a = "A" }', "requests"),
        ('wake = "€"', "wake"),
        ('when = "hex: 0"', "when"),
        ('delimiter = ","', "delimiter"),
    ],
)
def test_keys_that_contradict_each_other_are_a_mistake(written, key):
    with pytest.raises(msgspec.ValidationError, match=f"{key}: "):
        line("/dev/ttyUSB0", SCALE.replace("[scale.points", written + "\n[scale.points"))
    with pytest.raises(msgspec.ValidationError, match=r"request: .*checksum"):
        line("/dev/ttyUSB0", SCALE.replace('"W\\r\\n"', '"W{checksum}"'))


def test_a_sample_is_read_by_the_code_that_reads_live_frames():
    gps = line("/dev/ttyUSB0", GPS).devices[0]
    assert SERIAL.decode(gps, SerialSampleKeys(frame=(RMC + GGA).decode())) == {"valid": True, "speed": 22.4, "satellites": 8}
    for bad in ("$GPRMC,1*00\r\n", "$GPR"):
        with pytest.raises(DeviceFault) as caught:
            SERIAL.decode(gps, SerialSampleKeys(frame=bad))
        assert caught.value.kind == "garbled"


FRAMES = st.one_of(
    st.binary(min_size=1, max_size=80),
    st.sampled_from([b"S   12.50 g\r\n", RMC + GGA, GGA, ONE]),
    st.binary(max_size=20).map(lambda said: sealed(b">01" + said)),  # which its checksum vouches for
)


@settings(max_examples=200)
@given(FRAMES, st.sampled_from([SCALE, GPS, RACK]))
def test_any_bytes_give_readings_or_a_fault_and_nothing_else(data, devices):
    for spec in line("/dev/ttyUSB0", devices).devices:
        with contextlib.suppress(DeviceFault):
            said = SERIAL.decode(spec, SerialSampleKeys(frame=data.decode("latin-1")))
            assert said.keys() <= spec.points.keys()


def test_the_profile_that_the_readme_writes_is_free_of_mistakes_and_proves_itself(tmp_path):
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "acme-s5.toml"
    path.write_text(text[text.index("# drivers/profiles/acme-s5.toml") :].partition("\n```")[0], encoding="utf-8")
    assert not [str(problem) for problem in check_profile(path)]
    profile = read_profile(path)
    assert [profile.driver.decode(profile.device, sample) for sample, _ in profile.samples] == [said for _, said in profile.samples]
    assert len(profile.samples) == 2

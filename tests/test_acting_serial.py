"""A device on a serial line does what a remedy's command says, seen from its own side; what cannot be said to it is never sent."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from test_serial_line import connect, fault, peers  # noqa: F401  (fixtures)

import drivers
from drivers.contract import KeyMistake, NotTaken
from drivers.serial_line import SERIAL, SerialPointKeys
from gateway.config.model import Config, Desk, Device, DeviceConfig, Hub
from gateway.config.profiles import check_profile, read_profile

from peers.patience import until
from peers.relay_board import BOARD, RelayBoard
from peers.serial_peer import line

pytestmark = pytest.mark.slow


@pytest.fixture
async def board():
    board = RelayBoard()
    yield board
    board.hang_up()


async def test_a_relay_board_is_switched_and_says_so_when_asked(board, connect):  # noqa: F811
    bus = await connect(line(board.path, BOARD))
    assert bus.polled == {"board": ("router", "fan", "setpoint")}
    assert bus.writable == {"board": {"router", "fan", "setpoint", "spare"}}
    assert await bus.write("board", "router", False) is False
    assert await bus.write("board", "fan", "running") == "running"
    assert await bus.write("board", "setpoint", 21) == 21
    assert board.history == ["R1=OFF", "R2=ON", "SP=21.0"]
    assert await bus.read("board") == (False, "running", 21.0)


async def test_a_board_that_says_ok_and_does_nothing_is_found_out(board, connect):  # noqa: F811
    board.stuck.add("R1")
    bus = await connect(line(board.path, BOARD))
    refused = await fault(bus.write("board", "router", False))
    assert isinstance(refused, NotTaken)
    assert refused.found is True
    assert "router was set to false, but reads back true" in str(refused)


async def test_a_refusal_is_told_and_nothing_is_asked_after_it(board, connect):  # noqa: F811
    bus = await connect(line(board.path, BOARD))
    assert (await fault(bus.write("board", "spare", True))).kind == "refused"
    assert (await fault(bus.write("board", "setpoint", 99.0))).kind == "refused"
    assert board.history == []


async def test_a_command_is_sent_once_whatever_becomes_of_its_answer(board, connect):  # noqa: F811
    board.mute = True
    bus = await connect(line(board.path, BOARD))
    assert (await fault(bus.write("board", "router", False))).kind == "silent"
    assert board.history == ["R1=OFF"]
    board.mute = False
    assert (await bus.read("board"))[0] is False


async def test_a_line_that_is_never_silent_gets_no_command(board, connect):  # noqa: F811
    bus = await connect(line(board.path, BOARD, gap=0.2))

    async def chatter():
        while True:
            board.say(b"x")
            await asyncio.sleep(0.02)

    talking = asyncio.create_task(chatter())
    assert (await fault(bus.write("board", "router", False))).kind == "busy"
    assert (await fault(bus.write("board", "spare", True))).kind == "busy"  # not even one whose answer nobody waits for
    talking.cancel()
    assert board.history == []


async def test_a_command_may_be_cancelled_and_the_line_is_usable_at_once(board, connect):  # noqa: F811
    bus = await connect(line(board.path, BOARD))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await bus.write("board", "router", False)
    assert (await bus.read("board"))[1:] == ("standing", 20.0)


# ---------------------------------------------------------------- boards of other kinds

CLICKER = """
[clicker]
frame = { gap = "30 ms" }
checksum = { algorithm = "sum-8" }
[clicker.points.relay]
command = "hex: A0 01 {value} {checksum}"
on = "01"
off = "00"
write_only = true
""".replace('"30 ms"', "0.03")


async def test_a_board_that_only_listens_is_written_and_never_asked(peers, connect):  # noqa: F811
    """The cheap ones with one relay: four bytes, no answer, nothing to poll."""
    peer = peers()
    bus = await connect(line(peer.path, CLICKER))
    assert bus.polled == {}
    assert bus.heard == {}
    assert (await bus.write("clicker", "relay", True)).reason == "the device does not say it"
    assert (await bus.write("clicker", "relay", False)).reason == "the device does not say it"
    assert peer.heard.hex(" ") == "a0 01 01 a2 a0 01 00 a1"


def test_of_a_board_that_only_listens_no_rule_waits_for_a_word():
    """There is nothing to be silent."""
    spec = line("/dev/null", CLICKER).devices[0]
    device = DeviceConfig(name="clicker", common=Device(bus="line"), keys=spec.keys, points=spec.points)
    config = Config(hub=Hub(id="h"), uplink=None, desk=Desk(), owners={}, buses={}, devices={"clicker": device}, rules={})
    assert not [point.id for point in config.points() if point.device == "clicker"]


TALKER = """
[gate]
frame = { end = "\\r" }
timeout = 0.3
pattern = '^GATE (?P<state>\\w+)$'
[gate.points.state]
command = "GATE {value}\\r"
values = { open = true, shut = false }
"""


async def test_a_device_that_talks_by_itself_is_believed_when_it_says_so(peers, connect):  # noqa: F811
    peer = peers()
    bus = await connect(line(peer.path, TALKER))
    heard = []
    listening = asyncio.create_task(bus.listen(lambda *batch: heard.append(batch)))
    await asyncio.sleep(0)
    writing = asyncio.create_task(bus.write("gate", "state", True))
    await until(lambda: peer.heard == b"GATE open\r")
    peer.say(b"GATE shut\rGATE open\r")  # what it was about to say, and then what came of the command
    assert await writing is True
    assert [values for _, _, values in heard] == [(False,), (True,)]
    stuck = asyncio.create_task(bus.write("gate", "state", False))
    await until(lambda: peer.heard.endswith(b"GATE shut\r"))
    peer.say(b"GATE open\r")
    assert isinstance(await fault(stuck), NotTaken)
    assert (await fault(bus.write("gate", "state", False))).kind == "silent"
    listening.cancel()
    await asyncio.wait([listening])


async def test_the_relay_board_that_the_readme_writes_can_be_switched(peers, connect, tmp_path):  # noqa: F811
    text = (Path(drivers.__file__).parent / "README.md").read_text(encoding="utf-8")
    path = tmp_path / "acme-r2.toml"
    path.write_text(text[text.index("# drivers/profiles/acme-r2.toml") :].partition("\n```")[0], encoding="utf-8")
    assert not [str(problem) for problem in check_profile(path)]
    profile = read_profile(path)
    assert [profile.driver.decode(profile.device, sample) for sample, _ in profile.samples] == [said for _, said in profile.samples]
    peer = peers({b"R1=OFF\r": b"OK\r", b"T=19.0\r": b"OK\r", b"?\r": b"R1=OFF;T=19.0\r"})
    bus = await connect(msgspec.structs.replace(line(peer.path, ""), devices=(profile.device,)))
    assert await bus.write(profile.device.name, "router", False) is False
    assert await bus.write(profile.device.name, "setpoint", 19) == 19.0
    assert peer.heard == b"R1=OFF\r?\rT=19.0\r?\r"


# ---------------------------------------------------------------- what is refused beforehand

UNFIT = {
    "another word": ("fan", "fast", '"running" or "standing"'),
    "a truth for a word": ("fan", True, '"running" or "standing"'),
    "a number for a truth": ("router", 1, "true or false"),
    "a truth for a number": ("setpoint", True, "a number"),
    "a text for a number": ("setpoint", "warm", "a number"),
    "finer than it is sent": ("setpoint", 21.53, "21.5"),
    "no number": ("setpoint", float("inf"), "a number"),
    "a number for a switch": ("spare", 7, "true or false"),
}


@pytest.mark.parametrize("case", UNFIT)
async def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(case, board, connect):  # noqa: F811
    point, value, expected = UNFIT[case]
    spec = line(board.path, BOARD)
    bus = await connect(spec)
    assert bus.misfit("board", point, value).expected == expected
    assert SERIAL.misfit(spec.devices[0], point, value).expected == expected
    assert (await fault(bus.write("board", point, value))).kind == "misfit"
    assert board.heard == b""


def test_a_point_without_a_command_is_not_writable():
    spec = line("/dev/null", BOARD.replace('command = "SP={value:.1f}\\r"', ""))
    assert SERIAL.misfit(spec.devices[0], "setpoint", 21.0).of_point
    assert SERIAL.misfit(spec.devices[0], "router", True) is None


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("command", {"command": "R1={valve}\r"}),
        ("command", {"command": "R1={value:>99999}\r"}),
        ("command", {"command": "hex: A0 0"}),
        ("command", {"command": "€={value}"}),
        ("on", {"command": "R1={value}", "on": "1"}),
        ("off", {"off": "0", "on": "1"}),
        ("on", {"command": "hex: {value}", "on": "xx", "off": "00"}),
        ("write_only", {"write_only": True, "field": None}),
        ("write_only", {"write_only": True, "command": "R1={value}"}),
    ],
)
def test_a_command_that_cannot_be_sent_is_a_mistake_in_the_config(key, keys):
    with pytest.raises(KeyMistake) as caught:
        SerialPointKeys(**{"field": 0} | keys)
    assert caught.value.key in {key, "on"}


def test_a_checksum_that_nobody_explained_is_a_mistake_in_the_config():
    spec = line("/dev/null", BOARD.replace("R1={value}", "R1={value}{checksum}"))
    assert [complaint.path for complaint in SERIAL.check(spec)] == [("device", "board", "points", "router", "command")]

"""What a config may let the hub do: one action, wholly described, on things that are there and may be written."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_acting_ble import POINTS as THERMOSTAT
from test_acting_ble import thermostat_spec
from test_acting_modbus import POINTS as PLC
from test_acting_modbus import spec_of

from drivers import load
from drivers.ble import BLE
from drivers.contract import KeyMistake
from gateway.config.actions import Action, ActionKeys, Cycle, Reopen, Reset, Run, Write, mistakes

from peers.relay_board import BOARD
from peers.serial_peer import line

GOOD = {
    "write": ({"write": "plc/setpoint", "value": 21.5}, Write("plc", "setpoint", 21.5)),
    "nothing is a value, too": ({"write": "plc/setpoint", "value": 0}, Write("plc", "setpoint", 0)),
    "off is a value, too": ({"write": "plc/relay", "value": False}, Write("plc", "relay", value=False)),
    "cycle": ({"cycle": "board/router", "off_for": 5.0}, Cycle("board", "router", 5.0)),
    "reversed": (
        {"cycle": "board/fan", "off_value": "running", "on_value": "standing"},
        Cycle("board", "fan", 10.0, "running", "standing"),
    ),
    "reopen": ({"reopen": "bus.plant"}, Reopen("plant")),
    "reset": ({"reset": "bus.air"}, Reset("air")),
    "run": ({"run": ("/bin/true", "-x"), "limit": 5.0}, Run(("/bin/true", "-x"), 5.0)),
}
BAD = {
    "nothing": ({}, ""),
    "two at once": ({"write": "a/b", "value": 1, "run": ("/bin/true",)}, "run"),
    "no value": ({"write": "a/b"}, "write"),
    "a value of nothing": ({"cycle": "a/b", "value": 1}, "value"),
    "a limit of nothing": ({"reset": "bus.air", "limit": 5.0}, "limit"),
    "off that is on": ({"cycle": "a/b", "off_value": 1, "on_value": 1}, "on_value"),
    "no point": ({"write": "a", "value": 1}, "write"),
    "a path": ({"cycle": "a/b/c"}, "cycle"),
    "a bus without its word": ({"reopen": "plant"}, "reopen"),
    "no bus": ({"reset": "bus."}, "reset"),
    "a program by its name": ({"run": ("reboot",)}, "run"),
}


@pytest.fixture
def lines():
    plc = spec_of("modbus-tcp", {"host": "x"}, {"relay": {"coil": 0}, "power": {"input": 0, "writable": False}, **SETPOINT})
    air = msgspec.structs.replace(plc, name="air", devices=())
    return {"plant": (load("modbus-tcp"), plc), "line": (load("serial"), line("/dev/null", BOARD)), "air": (BLE, air)}


SETPOINT = {"setpoint": {"holding": 0, "type": "int16", "scale": 0.1}}


@pytest.mark.parametrize("case", GOOD)
def test_an_action_is_what_its_keys_say(case, lines):
    keys, action = GOOD[case]
    assert ActionKeys(**keys).action == action
    assert list(mistakes(ActionKeys(**keys), lines)) == []


@pytest.mark.parametrize("case", GOOD)
def test_an_action_that_was_under_way_is_known_again_after_a_restart(case):
    _, action = GOOD[case]
    assert msgspec.json.decode(msgspec.json.encode(action), type=Action) == action


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_one_whole_action_is_a_mistake_at_its_key(case):
    keys, key = BAD[case]
    with pytest.raises(KeyMistake) as caught:
        ActionKeys(**keys)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"write": "boiler/relay", "value": True}, [("write", 'no device is called "boiler"')]),
        ({"write": "plc/pump", "value": True}, [("write", '"plc" has no point "pump"')]),
        ({"write": "plc/power", "value": 1}, [("write", "power, which is not declared writable")]),
        ({"cycle": "plc/power"}, [("cycle", "power, which is not declared writable")]),
        ({"write": "plc/setpoint", "value": 21.53}, [("value", "21.53, between two of its values")]),
        ({"cycle": "plc/setpoint"}, [("off_value", "false"), ("on_value", "true")]),
        ({"cycle": "board/fan"}, [("off_value", "false"), ("on_value", "true")]),
        ({"reopen": "bus.plants"}, [("reopen", 'no bus is called "plants"')]),
        ({"reset": "bus.plant"}, [("reset", '"plant" has nothing that could be reset')]),
    ],
)
def test_what_the_rest_of_the_config_does_not_bear_out_is_told_at_its_key(keys, told, lines):
    assert [(mistake.key, mistake.found) for mistake in mistakes(ActionKeys(**keys), lines)] == told


# Whatever TOML can hold, and what lies near the edges of what registers, floats and lines can.
values = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers().map(lambda power: 10 ** (power % 400)),
    st.integers(0, 70).flatmap(lambda bits: st.integers((1 << bits) - 2, (1 << bits) + 1)),
    st.floats(),
    st.floats(width=16),
    st.text(max_size=100),
    st.sampled_from(["on", "off", "ON", "heat", "running", "", "\r\n", "R1=ON\rR2=ON"]),
)
EVERY = [
    *((load("modbus-tcp"), spec_of("modbus-tcp", {"host": "x"}, PLC).devices[0], point) for point in PLC),
    *((load("serial"), line("/dev/null", BOARD).devices[0], point) for point in ("router", "fan", "setpoint", "spare")),
    *((BLE, thermostat_spec(), point) for point in THERMOSTAT),
]


@given(st.sampled_from(EVERY), values)
def test_any_value_fits_or_is_refused_with_words_and_nothing_else(where, value):
    driver, device, point = where
    why = driver.misfit(device, point, value)
    assert why is None or (why.found and why.expected and not why.of_point)

"""What all tests share."""

import os
from functools import cache
from pathlib import Path

import fastjsonschema
import msgspec
import pytest
from hypothesis import settings

from gateway.moments import Moment, wire

# A shared machine is slow at times; a property is about what is true, not about how fast. A run of all tests tries the same
# examples each time, so that a failure belongs to the change at hand; `make hunt` tries ever new ones.
settings.register_profile("canary", deadline=None, derandomize=True)
settings.register_profile("hunt", deadline=None)
settings.load_profile("hunt" if "HUNT" in os.environ else "canary")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write what the golden stories tell now as what they must tell")
    parser.addoption("--soak", type=int, default=1, metavar="N", help="make the soak N times as long")


@pytest.fixture(autouse=True, scope="session")
def every_moment_is_in_its_schema():
    """Whatever a test makes or reads, by whichever way: msgspec holds a value to its type only when it reads it."""
    encode, decoder = wire._encode, wire._decoder
    wire._encode = lambda moment: _checked(encode(moment))
    wire._decoder = _Decoder(decoder)
    yield
    wire._encode, wire._decoder = encode, decoder


class _Decoder:
    def __init__(self, decoder: msgspec.json.Decoder[Moment]) -> None:
        self._decoder = decoder

    def decode(self, text: bytes) -> Moment:
        made = self._decoder.decode(text)
        _checked(text)
        return made


def _checked(text: bytes) -> bytes:
    _schema()(msgspec.json.decode(text))
    return text


@cache
def _schema():
    return fastjsonschema.compile(msgspec.json.decode(wire.schema()))


TALKS_TO_PEERS = {
    "test_acting_ble", "test_acting_config", "test_acting_modbus", "test_acting_peers", "test_acting_program",
    "test_acting_serial", "test_agent", "test_ble", "test_ble_bluez", "test_broker", "test_config_trial", "test_crash",
    "test_downlink", "test_hand_over", "test_hostile_broker", "test_hub_commands", "test_ledger", "test_link", "test_modbus",
    "test_modbus_refusals", "test_outbox", "test_ports", "test_remedies_live", "test_remedies_live_ble",
    "test_remedies_live_program", "test_serial_line", "test_service_properties", "test_soak", "test_systemd", "test_uplink",
    "test_uplink_tls", "test_visits_live",
}  # fmt: skip
LIVES_LONG = {
    "test_anomaly", "test_baseline", "test_casework_properties", "test_causes", "test_ceilings", "test_change", "test_compare",
    "test_config_syntax", "test_contract", "test_count", "test_cycling", "test_desk", "test_digest", "test_downlink_properties",
    "test_drift", "test_engine_history", "test_engine_properties", "test_expression", "test_expression_properties", "test_folding",
    "test_golden", "test_insights", "test_learn", "test_life", "test_migrations", "test_milestones", "test_presence",
    "test_privacy", "test_profiles",
    "test_remedies", "test_replaced", "test_replay", "test_saved_state", "test_service_life", "test_steps", "test_trend",
    "test_trend_line", "test_trend_properties", "test_usage", "test_visits", "test_wal", "test_when",
}  # fmt: skip
"""Modules with real peers, and those that let months pass: for `make test`, not for every save."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Importing them takes as long as the tests that are left."""
    quick = config.getoption("markexpr") == "not slow"
    return True if quick and collection_path.stem in TALKS_TO_PEERS | LIVES_LONG else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """`make quick` leaves out what is slow, and properties, which try many examples."""
    for item in items:
        if getattr(item.obj, "is_hypothesis_test", False):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.examples)

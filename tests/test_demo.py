"""The demo: what `canary demo` promises to a person and to a program."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo.machines.battery_sensor import BatterySensor
from gateway.demo.machines.freezer import Freezer
from gateway.demo.machines.heat_pump import HeatPump
from gateway.demo.machines.water_meter import WaterMeter
from gateway.demo.recording import RecordingError, read

from peers.mosquitto import Mosquitto, free_port

CANARY = Path(sys.executable).with_name("canary")
DATA = Path(__file__).parents[2] / "shared" / "data" / "diagnosis"


def demo(*words, seconds=60):
    return subprocess.run([CANARY, "demo", *words], capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.slow
def test_jsonl_prints_moments_as_received_and_nothing_else_then_ends_with_0():
    said = demo("--jsonl", "--seconds", "20")
    assert said.returncode == 0, said.stderr
    moments = [json.loads(line) for line in said.stdout.splitlines()]
    assert {moment["data"]["rule"]["id"] for moment in moments} >= {"condenser-hot", "short-cycling"}
    assert all(moment["specversion"] == "1.0" and moment["data"]["owner"]["because"] for moment in moments)
    assert said.stderr == ""


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly_with_what_was_condensed():
    with subprocess.Popen([CANARY, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        # Not communicate(): it would miss what came in one piece with the first line.
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(10) == 0
    assert "Simulated machines" in first
    assert "stand-in" in out
    assert "readings in" in out
    assert err == ""


@pytest.mark.slow
def test_a_real_broker_is_used_where_one_is_named(tmp_path):
    with Mosquitto(tmp_path) as broker:
        said = demo("--jsonl", "--seconds", "14", "--broker", broker.url)
        assert said.returncode == 0, said.stderr
        assert "short-cycling" in said.stdout
        assert "canary/demo/moments" in broker.log()


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_one_clear_line():
    said = demo("--jsonl", "--seconds", "5", "--broker", f"mqtt://127.0.0.1:{free_port()}")
    assert said.returncode == 1
    assert said.stderr.count("\n") == 1
    assert "127.0.0.1" in said.stderr


@pytest.mark.slow
def test_recorded_data_is_played_over_modbus(tmp_path):
    path = tmp_path / "machine.csv"
    rows = [f"2026-01-01 00:{row // 60:02d}:{row % 60:02d},{row % 7 if row < 20 else 3.5},{row}" for row in range(200)]
    path.write_text("timestamp,pressure,count\n" + "\n".join(rows) + "\n")
    said = demo("--jsonl", "--seconds", "9", "--play", path)
    assert said.returncode == 0, said.stderr
    assert any(json.loads(line)["subject"] == "recording/pressure" for line in said.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the recorded series are not part of the project")
def test_a_real_recording_is_played(tmp_path):
    said = demo("--seconds", "5", "--play", DATA / "nab" / "realKnownCause" / "ambient_temperature_system_failure.csv")
    assert said.returncode == 0, said.stderr
    readings = int(said.stdout.splitlines()[-1].split()[0].replace(",", ""))
    assert readings > 40


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "timestamp\n1\n", "timestamp,a\n0,1\n1,warm\n"])
def test_a_file_that_cannot_be_played_is_one_clear_line(tmp_path, text):
    path = tmp_path / "no.csv"
    path.write_text(text)
    said = demo("--jsonl", "--seconds", "2", "--play", path)
    assert said.returncode == 1
    assert "Traceback" not in said.stderr
    assert "no.csv" in said.stderr


def test_a_cell_without_a_number_is_named_with_its_line(tmp_path):
    path = tmp_path / "no.csv"
    path.write_text("timestamp,a\n0,1\n1,\n2,warm\n")
    _, rows = read(path)
    with pytest.raises(RecordingError, match=r'line 4: found "warm"'):
        list(rows)


def after(machine, hours):
    for _ in range(int(hours * 60)):
        machine.advance(60)
    return machine


def test_a_clogging_condenser_gets_hot_long_before_the_freezer_gets_warm():
    freezer = Freezer(hours_to_clog=5.0)
    hot = warm = None
    for minute in range(6 * 60):
        freezer.advance(60)
        hot = hot or (freezer.condenser_temp > 65 and minute)
        warm = warm or (freezer.core_temp > -14 and minute)
    assert hot
    assert warm
    assert warm - hot > 30


def test_a_clean_freezer_stays_cold():
    freezer = after(Freezer(hours_to_clog=1e9), 24)
    assert -21 < freezer.core_temp < -16


def test_a_heat_pump_without_its_tank_starts_ten_times_as_often():
    well, sick = HeatPump(), HeatPump()
    sick.tank_shut = True
    before = well.starts
    assert after(sick, 6).starts - before > 4 * (after(well, 6).starts - before)


def test_a_house_in_order_stands_still_at_night_and_a_leaking_one_does_not():
    well, sick = WaterMeter(hour=1.0), WaterMeter(hour=1.0)
    sick.leaking = True
    still = {id(well): 0, id(sick): 0}
    for _ in range(240):
        for meter in (well, sick):
            meter.advance(60)
            still[id(meter)] += meter.flow == 0
    assert still[id(well)] > 60
    assert still[id(sick)] == 0


def test_a_coin_cell_is_flat_for_long_and_then_falls_off_a_cliff():
    sensor = BatterySensor(used=0.0, hurry=1.0)
    year = 365 * 24 * 3600
    sensor.advance(year)
    assert sensor.battery > 80
    sensor.advance(0.66 * year)
    assert sensor.dead

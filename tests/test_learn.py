"""`canary learn`, and the way of its model into a config."""

import csv
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_life import NAMES, run, unit, watching

from gateway.cli import EX_FAILURE, EX_OK, main
from gateway.config import ConfigError, load
from gateway.diagnosis.life import decode

NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
HUB = """
[hub]
id = "hub-0042"
[bus.plant]
driver = "modbus-tcp"
host = "127.0.0.1"
[device.pump-1]
bus = "plant"
unit = 1
[device.pump-1.points]
heat = { input = 0 }
hum = { input = 1 }
load = { input = 2 }
rattle = { input = 3 }
[rule.life]
kind = "trend"
on = "pump-1/*"
model = "pump"
"""


@pytest.fixture(scope="module")
def histories(tmp_path_factory) -> list[Path]:
    """Files of 24 units, one of them gzipped, one with an empty cell."""
    folder = tmp_path_factory.mktemp("histories")
    paths = []
    for seed in range(24):
        history = unit(seed)
        path = folder / f"pump-{seed:02}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["timestamp", *NAMES])
            for at, row in zip(history.times, history.rows, strict=True):
                table.writerow([(NEW_YEAR + timedelta(seconds=at)).isoformat(), *(f"{value:.4f}" for value in row)])
        paths.append(path)
    packed = paths[0].with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(paths[0].read_bytes()))
    lines = paths[1].read_text(encoding="utf-8").splitlines()
    at, *cells = lines[40].split(",")
    lines[40] = ",".join([at, "", *cells[1:]])
    paths[1].write_text("\n".join(lines), encoding="utf-8")
    return [packed, *paths[1:]]


def test_histories_become_a_model_and_plain_words_about_it(histories, tmp_path, capsys):
    """It says from what it learnt, by what it goes, and how far off it was on units that it had not seen."""
    out = tmp_path / "pump.json"
    assert main(["learn", *map(str, histories), "--out", str(out), "--source", "a test"]) == EX_OK
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"{out}: learnt from 24 units of about ")
    assert said[1] == "It goes by 4 points that move in one way: heat, hum, load, rattle."
    assert said[2].startswith("On units that it had not seen it was off by ")
    assert len([line for line in said if line.startswith("When it said ")]) == 3
    model = decode(out.read_text(encoding="utf-8"))
    assert (model.name, model.source, model.made_from.units) == ("pump", "a test", 24)
    assert len(out.read_text(encoding="utf-8").splitlines()) < 40


def test_the_points_to_learn_from_may_be_named(histories, tmp_path, capsys):
    """And one that a history lacks is told with the file."""
    out = tmp_path / "two.json"
    assert main(["learn", *map(str, histories), "--out", str(out), "--points", "hum, rattle"]) == EX_OK
    assert decode(out.read_text(encoding="utf-8")).points == ("hum", "rattle")
    assert main(["learn", *map(str, histories), "--out", str(out), "--points", "hum,humm"]) == EX_FAILURE
    assert capsys.readouterr().err.strip() == f"{histories[0]}: there is no column humm; every history needs the same points"


def test_a_few_histories_are_learnt_from_with_a_word_and_too_few_are_refused(histories, tmp_path, capsys):
    """Ten will do, badly; nine are refused with one line and leave no file."""
    out = tmp_path / "few.json"
    assert main(["learn", *map(str, histories[:10]), "--out", str(out)]) == EX_OK
    assert capsys.readouterr().out.strip().endswith("10 units are few: with 20 or more it would be markedly better.")
    out.unlink()
    assert main(["learn", *map(str, histories[:9]), "--out", str(out)]) == EX_FAILURE
    assert capsys.readouterr().err == "9 histories are too few to learn from; it takes 10 units run to their end, better 20\n"
    assert not out.exists()


def test_files_that_are_no_histories_are_told_in_one_line(histories, tmp_path, capsys):
    """Missing, empty, of several devices, or a place where nothing can be written."""
    empty, table = tmp_path / "empty.csv", tmp_path / "table.csv"
    empty.write_text("timestamp,heat\n2024-01-01,1\n", encoding="utf-8")
    table.write_text("timestamp,device,point,value\n2024-01-01,a,heat,1\n2024-01-02,b,heat,1\n", encoding="utf-8")
    out = tmp_path / "none.json"
    for path, words in (
        (tmp_path / "gone.csv", "gone.csv"),
        (empty, "a history is a unit's whole life"),
        (table, "holds 2 devices"),
    ):
        assert main(["learn", str(path), "--out", str(out)]) == EX_FAILURE
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
    assert main(["learn", *map(str, histories), "--out", str(tmp_path / "no" / "folder.json")]) == EX_FAILURE
    assert "cannot be written" in capsys.readouterr().err


def test_a_rule_names_a_model_that_lies_among_the_profiles(histories, tmp_path):
    """What was learnt is put beside the profiles, named in a rule, and foretells; a wrong name or file is told where it stands."""
    hub, profiles = tmp_path / "hub.toml", tmp_path / "profiles"
    profiles.mkdir()
    assert main(["learn", *map(str, histories), "--out", str(profiles / "pump.json")]) == EX_OK
    hub.write_text(HUB, encoding="utf-8")
    keys = load(hub, profiles=[profiles]).rules["life"]
    assert decode(keys.model).name == "pump"
    for wrong, words in (
        (HUB.replace('"pump"', '"pumpe"'), 'rule.life.model: no model is called "pumpe"; did you mean "pump"?'),
        (HUB.replace("hum = {", "hun = {"), "rule.life.on: the model needs points of pump-1 that the rule does not cover: hum"),
    ):
        hub.write_text(wrong, encoding="utf-8")
        with pytest.raises(ConfigError) as error:
            load(hub, profiles=[profiles])
        assert words in str(error.value)
    (profiles / "pump.json").write_text("{}", encoding="utf-8")
    hub.write_text(HUB, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"rule.life.model: this is no life model as `canary learn` writes them"):
        load(hub, profiles=[profiles])


def test_what_was_read_from_files_foretells_as_what_was_learnt_in_memory(histories, tmp_path, capsys):
    """The way through CSV and JSON changes no date by more than a day."""
    out = tmp_path / "pump.json"
    assert main(["learn", *map(str, histories), "--out", str(out)]) == EX_OK
    capsys.readouterr()
    history = unit(100)
    mine = run(watching(), history)[0]
    other = run(watching(model=out.read_text(encoding="utf-8")), history)[0]
    assert abs(mine.at + mine.forecast.in_s - other.at - other.forecast.in_s) < 86400.0

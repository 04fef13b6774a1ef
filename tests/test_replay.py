"""`canary replay`: recorded readings give the moments that the hub would have told, and nothing in a file makes it fall over."""

import contextlib
import gzip
import io
import math
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.contract import NoValue
from gateway.cli import main
from gateway.config import load
from gateway.replay.history import History, HistoryError
from gateway.replay.labels import read_labels, score
from gateway.replay.page import page
from gateway.replay.rerun import BINS, Course, rerun

GHENT = ZoneInfo("Europe/Brussels")
CONFIG = """
[hub]
id = "hub-1"
time_zone = "Europe/Brussels"
[bus.shop]
driver = "modbus-tcp"
host = "127.0.0.1"
[device.freezer]
bus = "shop"
unit = 1
points.temp = { input = 1, type = "int16", unit = "°C" }
points.door = { discrete = 1 }
[rule.warm]
kind = "threshold"
on = "freezer/temp"
above = "-15 °C"
lasting = "10 min"
says = "<too> warm & open"
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "hub.toml"
    path.write_text(CONFIG)
    return path


def minutes(values, start="2026-10-01 00:"):
    return [(f"2026-10-{1 + m // 1440:02d} {m // 60 % 24:02d}:{m % 60:02d}:00", value) for m, value in enumerate(values)]


def wide(path, values):
    path.write_text("timestamp,temp,door\n" + "".join(f"{at},{value},0\n" for at, value in minutes(values)))
    return path


WARM = [-20] * 60 + [-10] * 30 + [-20] * 60


def outcome(config, *paths, **options):
    loaded = load(config, resolve_secrets=False)
    return loaded, rerun(loaded, History(list(paths), GHENT).batches(), **options)


def phases(account):
    return [(told.change.phase.value, round(told.change.at - account.first)) for told in account.told]


def test_a_recording_tells_what_the_hub_would_have_told_at_its_own_times(config, tmp_path):
    _, account = outcome(config, wide(tmp_path / "freezer.csv", WARM))
    assert phases(account) == [("opened", 4200), ("closed", 6000)]  # when it has stayed well for as long as it had lasted
    assert account.readings == 300
    assert account.devices == 1


def test_all_forms_of_one_recording_give_the_same_moments(config, tmp_path):
    one = wide(tmp_path / "freezer.csv", WARM)
    packed = tmp_path / "packed" / "freezer.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(one.read_bytes()))
    long = tmp_path / "table.csv"
    rows = [f"{at},freezer,{point},{value}\n" for at, value in minutes(WARM) for point, value in (("temp", value), ("door", 0))]
    long.write_text("timestamp,device,point,value\n" + "".join(rows))
    epoch = tmp_path / "epoch" / "freezer.csv"
    epoch.parent.mkdir()
    epoch.write_text("time,temp,door\n" + "".join(f"{1790805600 + 60 * m},{v},0\n" for m, v in enumerate(WARM)))
    first, *others = [phases(outcome(config, path)[1]) for path in (one, packed, long, epoch)]
    assert first
    assert others == [first] * 3


def test_files_of_several_devices_are_merged_by_time(tmp_path):
    for name, shift in (("a", 0), ("b", 30)):
        (tmp_path / f"{name}.csv").write_text("timestamp,x\n" + "".join(f"{60 * m + shift},1\n" for m in range(5)))
    batches = list(History([tmp_path / "a.csv", tmp_path / "b.csv"], GHENT).batches())
    assert [batch.device for batch in batches] == ["a", "b"] * 5
    assert [batch.at for batch in batches] == sorted(batch.at for batch in batches)


def test_the_hour_that_comes_twice_in_autumn_is_not_lost(tmp_path):
    path = tmp_path / "a.csv"
    stamps = ["2026-10-25 02:30:00", "2026-10-25 02:59:00", "2026-10-25 02:00:00", "2026-10-25 02:30:00", "2026-10-25 03:00:00"]
    path.write_text("timestamp,x\n" + "".join(f"{stamp},1\n" for stamp in stamps))
    times = [batch.at for batch in History([path], GHENT).batches()]
    assert times == sorted(times)
    assert times[-1] - times[0] == 90 * 60


def test_an_empty_cell_is_no_value_and_text_is_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("timestamp,x,y,z,w\n0,,true,mute,nan\n")
    (batch,) = History([path], GHENT).batches()
    assert isinstance(batch.values[0], NoValue)
    assert batch.values[1:3] == (True, "mute")
    assert isinstance(batch.values[3], NoValue)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no head"),
        ("a,b\n1,2\n", "no head"),
        ("timestamp,x\nyesterday,1\n", "line 2"),
        ("timestamp,device,point,value\n0,freezer\n", "line 2"),
    ],
)
def test_a_file_that_is_no_history_is_one_clear_line(config, tmp_path, capsys, text, said):
    path = tmp_path / "freezer.csv"
    path.write_text(text)
    assert main(["replay", str(config), str(path)]) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@given(st.binary(max_size=300))
@example(b"2026-10-01 00:00:00,5\n2026-10-01 00:00:01,5,6\n2026-10-01 00:00:02\n")
@example(b"9999-12-31 23:59:59,5\n")
def test_any_bytes_are_a_history_or_a_history_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "freezer.csv"
    path.write_bytes(b"timestamp,x\n" + data)
    with contextlib.suppress(HistoryError), History([path], GHENT) as history:
        for batch in history.batches():
            assert (batch.device, batch.points, len(batch.values)) == ("freezer", ("x",), 1)
            assert math.isfinite(batch.at)


def test_the_command_prints_moments_charts_and_the_condensation(config, tmp_path, capsys):
    path = wide(tmp_path / "freezer.csv", WARM)
    assert main(["replay", str(config), str(path)]) == 0
    out = capsys.readouterr().out
    assert "2026-10-01 01:10:00" in out
    assert "⠉" in out
    assert "300 readings of 1 device " in out
    assert "for each device and month" in out


def test_a_rule_can_be_tried_before_it_goes_live(config, tmp_path, capsys):
    rule = tmp_path / "try.toml"
    rule.write_text('[rule.cold]\nkind = "threshold"\non = "freezer/temp"\nbelow = "-19 °C"\n')
    path = wide(tmp_path / "freezer.csv", WARM)
    assert main(["replay", str(config), str(path), "--rule", str(rule), "--brief"]) == 0
    assert "below -19 °C" in capsys.readouterr().out


def test_a_mistake_in_the_config_is_told_as_by_check(config, tmp_path, capsys):
    config.write_text(CONFIG.replace("above", "abvoe"))
    assert main(["replay", str(config), str(wide(tmp_path / "freezer.csv", WARM))]) == 78
    assert "abvoe" in capsys.readouterr().err


def test_what_the_config_does_not_know_is_named(config, tmp_path, capsys):
    path = tmp_path / "other.csv"
    path.write_text("timestamp,temp\n0,1\n")
    assert main(["replay", str(config), str(path)]) == 0
    assert "other/temp" in capsys.readouterr().out


def test_moments_are_held_against_what_really_happened(config, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "device,point,start,end\n"
        "freezer,temp,2026-10-01 01:00:00,2026-10-01 01:30:00\n"
        "freezer,,2026-10-01 02:00:00,2026-10-01 02:10:00\n"
    )
    _, account = outcome(config, wide(tmp_path / "freezer.csv", WARM))
    found = score(account, read_labels(labels, GHENT))
    assert (found.spans, found.hits, found.repeats, found.false, found.delay) == (2, 1, 0, 0, 600.0)
    assert "1 of 2" in str(found)


def test_the_page_is_self_contained_and_says_everything_safely(config, tmp_path):
    loaded, account = outcome(config, wide(tmp_path / "freezer.csv", WARM))
    text = page(loaded, account, GHENT)
    assert "&lt;too&gt; warm &amp; open" in text
    assert "<too>" not in text
    assert text.count("<svg") == 1
    assert 'class="episode warning"' in text
    assert "http" not in text
    assert "<script" not in text


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=50))
def test_a_course_keeps_least_and_greatest_in_bounded_memory(readings):
    course = Course(0.0)
    for at, value in readings:
        course.add(at, value)
    spans = list(course.spans())
    assert len(course.lows) <= BINS
    assert min(low for _, low, _ in spans) == min(value for _, value in readings)
    assert max(high for _, _, high in spans) == max(value for _, value in readings)


def test_progress_goes_from_nothing_to_all(tmp_path):
    path = wide(tmp_path / "freezer.csv", WARM * 20)
    history = History([path], GHENT)
    seen = [history.read for _ in history.batches()]
    assert seen == sorted(seen)
    assert history.read == history.size


def test_an_empty_recording_is_no_error(config, tmp_path):
    path = tmp_path / "freezer.csv"
    path.write_text("timestamp,temp\n")
    _, account = outcome(config, path)
    assert (account.readings, account.told) == (0, [])
    assert io.StringIO(page(load(config, resolve_secrets=False), account, GHENT)).read()

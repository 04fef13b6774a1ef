"""What an earlier release has saved is read; what makes no sense costs what was learnt, and no start."""

import asyncio
import json
import math
import os
import sys
import tempfile
import zlib
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from config_of import config_of
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.contract import Batch
from gateway.agent import Hub
from gateway.clock import VirtualClock
from gateway.config.units import convert
from gateway.diagnosis import load_kind
from gateway.diagnosis.contract import Phase, PointInfo, Quantity
from gateway.diagnosis.engine import VERSION, Engine
from gateway.migrations import STEPS
from gateway.saved_state import FORMAT, WATCH, SavedState, Stamp
from gateway.service.case import Cases
from gateway.store import PAGE, Store

from moments_of import change

SAVED = sorted(Path(__file__).with_name("saved").glob("*.json"))
DAY, STEP = 86_400.0, 600.0
LIVED = 20 * DAY
VARIED = [PointInfo(f"d/{name}", "d", name, "°C", name, "d") for name in ("a", "b", "c")]
KINDS = {
    "warm": ("threshold", {"on": ("d/a",), "above": Quantity(10.0, "°C"), "severity": "critical"}),
    "slow": ("threshold", {"on": ("d/b",), "above": Quantity(3.0, "°C"), "lasting": DAY}),
    "ahead": ("trend", {"on": ("d/c",), "above": Quantity(60.0, "°C")}),
    "stuck": ("stuck", {"on": ("d/b",), "lasting": 3600.0}),
    "quiet": ("silent", {"on": ("d/*",), "after": 1800.0}),
    "odd": ("anomaly", {"on": ("d/b",)}),
    # The first version knew nothing of what follows.
    "fast": ("rate", {"on": ("d/b",), "rises": Quantity(9.0, "°C"), "within": 3600.0}),
    "drifts": ("drift", {"on": ("d/b",)}),
    "used": ("usage", {"on": ("d/b",), "hours": 1e9}),
    "rests": ("baseline", {"on": ("d/b",), "rest": Quantity(9.0, "°C")}),
    "starts": ("cycling", {"on": ("d/a",), "starts": 100, "on_above": Quantity(10.0, "°C")}),
    "since": ("change", {"on": ("d/b",), "event": ("visit",), "better": "lower"}),
}


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield store


def varied(at):
    """An engine with a rule of many kinds."""
    rules = {name: load_kind(kind).Keys(kind=kind, **keys) for name, (kind, keys) in KINDS.items()}
    return Engine(rules, VARIED, convert, at)


def lived():
    """The life of the hub whose state is in tests/saved for each version; run this file to write that of the present one."""
    one, steps = varied(0.0), round(LIVED / STEP)
    for step in range(1, steps + 1):
        a = 20.0 if step == 7 or step > steps - 5 else 5.0
        b = 2.0 + math.sin(step * STEP / DAY * math.tau) + step * 37 % 10 / 50 + (2.0 if step > steps - 10 else 0.0)
        c = step * STEP / DAY * 1.5 + step * 17 % 10 / 50
        one.feed(Batch("d", step * STEP, ("a", "b", "c"), (a, round(b, 2), round(c, 2))))
    return one


def put_down(store, file):
    """The rows as a hub of that release had them on its disk."""
    SavedState(store)
    rows = json.loads(file.read_text())
    with store.transaction():
        for part, value in rows.items():
            store.execute("INSERT INTO saved VALUES (?, ?)", (part, row(part, json.dumps(value).encode(), rows["head"]["format"])))


def row(part, content, written=FORMAT):
    """As it lies on the disk in a format."""
    return content if part == "head" or written == 1 else zlib.compress(content)


def test_there_is_a_state_of_each_version():
    assert [int(file.stem) for file in SAVED] == [*sorted(STEPS), VERSION] == list(range(1, VERSION + 1))


@pytest.mark.parametrize("file", SAVED, ids=lambda file: file.stem)
def test_a_hub_goes_on_with_what_an_earlier_release_has_saved(store, file):
    """What is open is not opened again, and is closed under its own name."""
    put_down(store, file)
    saved = SavedState(store).load()
    now = saved.stamp.at + 60.0
    after = varied(now)
    assert not after.restore(saved.engine, off=60.0)
    entries = {part: entry for part, entry in json.loads(file.read_text()).items() if part.startswith(WATCH)}
    was_open = {f"{WATCH}{one.rule_id} {one.point.id}" for one in after.open_episodes()}
    assert was_open == {part for part, entry in entries.items() if entry.get("episode", {}).get("state") == "open"}
    assert {"watch warm d/a", "watch ahead d/c"} <= was_open
    told = [after.feed(Batch("d", now + at, ("a", "b", "c"), (value, 4.0, 30.0))) for at, value in ((600.0, 20.0), (1200.0, 5.0))]
    steps = [(change.episode, change.phase.value, change.severity) for changes in told for change in changes]
    assert [step for step in steps if step[0].startswith("warm")] == [("warm:d/a#2", "closed", "critical")]
    assert not [step for step in steps if step[1] == "opened"]


def test_what_this_release_saves_is_what_it_reads(store):
    """Where this fails, something is remembered in another shape: raise VERSION, write the step, and keep the file as it is."""
    put_down(store, SAVED[-1])
    saved = SavedState(store).load()
    after = varied(saved.stamp.at)
    after.restore(saved.engine)
    for one in (after, lived()):
        assert shape(one.state(history=False)["rules"]) == shape(saved.engine["rules"])


def shape(data):
    """Plain data without its numbers and words."""
    if isinstance(data, dict):
        return {name: shape(value) for name, value in data.items()}
    return [shape(value) for value in data] if isinstance(data, list | tuple) else None


def test_rows_of_the_first_format_are_written_over_as_a_whole(store):
    """A row of one format among rows of another could not be read."""
    put_down(store, SAVED[0])
    saved = SavedState(store)
    one = varied(LIVED)
    one.restore(saved.load().engine)
    saved.save(one.state(history=False, calm=False), Stamp("boot-1", LIVED, None))
    assert SavedState(store).load().engine["rules"] == one.state(history=False, calm=False)["rules"]


def test_what_takes_days_to_gather_is_saved_while_all_is_well_and_what_takes_minutes_is_not(store):
    """A power cut comes without a farewell."""
    one = lived()
    for step in range(1, 200):  # until what was unlike itself is over
        at = LIVED + step * STEP
        one.feed(Batch("d", at, ("a", "b", "c"), (5.0, 2.0 + math.sin(at / DAY * math.tau) + step * 37 % 10 / 50, 30.0)))
    SavedState(store).save(one.state(history=False, calm=False), Stamp("boot-1", at, None))
    rules = SavedState(store).load().engine["rules"]
    assert all(rules[name]["points"] for name in ("ahead", "odd", "drifts", "used", "since"))
    assert not {"stuck", "slow", "starts", "fast"} & rules.keys()


@pytest.mark.parametrize("version", [0, VERSION + 1, "2", None])
def test_state_of_a_version_that_is_not_known_is_a_value_error(store, version):
    put_down(store, SAVED[-1])
    with store.transaction():
        store.execute(
            "UPDATE saved SET value = ? WHERE part = 'engine'", (row("engine", json.dumps({"version": version}).encode()),)
        )
    with pytest.raises(ValueError, match="version"):
        SavedState(store).load()


HUB = """
[hub]
id = "hub-1"
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
[device.d]
bus = "line"
unit = 1
points.a = { input = 0, unit = "°C" }
points.b = { input = 1, unit = "°C" }
points.c = { input = 2, unit = "°C" }
"""


@pytest.fixture(scope="module")
def hub_config():
    rules = {name: load_kind(kind).Keys(kind=kind, **keys) for name, (kind, keys) in KINDS.items()}
    return replace(config_of(HUB), rules=rules)


@contextmanager
def started(folder, config, part, content):
    """A hub that has saved everything properly but for one row, and its case number of an open episode."""
    with Store.open(folder / "canary.db") as store:
        put_down(store, SAVED[-1])
        with store.transaction():
            store.execute("UPDATE saved SET value = ? WHERE part = ?", (row(part, content), part))
        number = Cases(store, "hub-1").of("warm:d/a#2")

        async def start():
            return Hub(config, VirtualClock(), store)

        yield asyncio.run(start()), number


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_whatever_lies_on_the_disk_the_hub_starts(tmp_path_factory, hub_config, data):
    """Bytes that are others now, and lists that another program has left shorter."""
    rows = json.loads(SAVED[-1].read_text())
    part = data.draw(st.sampled_from(sorted(rows)), label="part")
    lists = [found for found in lists_in(rows[part]) if found]
    if lists and data.draw(st.booleans(), label="shorter"):
        del data.draw(st.sampled_from(lists), label="list")[-1]
    content = bytearray(json.dumps(rows[part]).encode())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3), label="bytes"):
        content[place] = data.draw(st.integers(0, 255) | st.sampled_from(list(b'0123456789.-"[]{},')))
    with started(tmp_path_factory.mktemp("hub"), hub_config, part, bytes(content)):
        pass


def test_a_hub_that_has_lost_nothing_knows_what_is_open(tmp_path, hub_config):
    with started(tmp_path, hub_config, "voids", b"{}") as (hub, number):
        assert len(hub.engine.open_episodes()) == 3
        assert hub.filing.desk.moment(change(episode="warm:d/a#2")).data.case == number


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("voids", b"10"),  # AttributeError
        ("engine", b'{"version": 1e99}'),
    ],
)
def test_an_episode_that_is_forgotten_and_found_again_goes_on_under_its_case_number(tmp_path, hub_config, part, content):
    """The diagnosis counts from one again; what it comes to call by the name of a forgotten episode is another one."""
    with started(tmp_path, hub_config, part, content) as (hub, number):
        assert not hub.engine.open_episodes()
        numbers = [hub.filing.desk.moment(change(episode=f"warm:d/a#{count}", phase=Phase.OPENED)).data.case for count in (1, 1, 2)]
        assert numbers[:2] == [number, number]
        assert numbers[2] != number


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("odd d/b", b'{"pace": [600.0, 600.0, 0, 0, 0, 0, 0, []], "normal": [600.0]}'),
        ("ahead d/c", b"[1, 2]"),
        ("used d/b", b'"so"'),
    ],
)
def test_what_was_learnt_and_makes_no_sense_costs_what_was_learnt_and_nothing_that_is_open(tmp_path, hub_config, part, content):
    """As where a release remembers something in another shape and nobody has noticed."""
    with started(tmp_path, hub_config, f"learnt {part}", content) as (hub, number):
        assert {one.rule_id for one in hub.engine.open_episodes()} == {"warm", "ahead", "odd"}
        assert hub.filing.desk.moment(change(episode="warm:d/a#2")).data.case == number
        told = hub.engine.feed(Batch("d", hub.engine._now + 600.0, ("a", "b", "c"), (5.0, 2.0, 30.0)))
        assert [(one.episode, one.phase.value) for one in told if one.rule_id == "warm"] == [("warm:d/a#2", "closed")]


def test_a_damaged_store_is_put_away_when_every_part_of_the_hub_has_taken_its_own(tmp_path, hub_config):
    path = tmp_path / "canary.db"
    with started(tmp_path, hub_config, "voids", b"{}") as (_, number):
        pass
    path.write_bytes(path.read_bytes()[:-PAGE] + os.urandom(PAGE))

    async def start(store):
        return Hub(hub_config, VirtualClock(), store)

    with Store.open(path) as store:
        hub = asyncio.run(start(store))
        assert sorted(file.name for file in tmp_path.iterdir() if "-wal" not in file.name) == ["canary.db", "canary.db.corrupt"]
        assert hub.filing.desk.moment(change(episode="warm:d/a#1", phase=Phase.OPENED)).data.case == number


def lists_in(data):
    """All lists in plain data, itself included."""
    inner = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return [*([data] if isinstance(data, list) else []), *(found for each in inner for found in lists_in(each))]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder, "canary.db")) as opened:
        end = Stamp("boot-1", LIVED + 1.0, datetime(2026, 1, 21, tzinfo=UTC))
        SavedState(opened).save(lived().state(history=False), end, all_of_it=True)
        rows = opened.execute("SELECT part, value FROM saved ORDER BY part").fetchall()
    texts = {part: (value if part == "head" else zlib.decompress(value)).decode() for part, value in rows}
    sys.stdout.write("{\n" + ",\n".join(f"  {json.dumps(part)}: {text}" for part, text in texts.items()) + "\n}\n")

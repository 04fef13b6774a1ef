"""Golden stories: a config, what the devices said, and the moments that must come of it (`golden/README.md`)."""

import json
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from drivers.contract import Batch, NoValue, Outcome
from gateway import config, moments
from gateway.clock import VirtualClock, wall_time, week_time
from gateway.config.units import convert, duration
from gateway.diagnosis.contract import STATE
from gateway.diagnosis.engine import Engine
from gateway.service.desk import Desk
from gateway.service.facts import HubFacts
from gateway.service.service import Service
from gateway.store import Store

STORIES = sorted(path.parent for path in (Path(__file__).parent / "golden").glob("*/readings.txt"))

NOT_READ = object()

# ---------------------------------------------------------------- readings.txt

_PIECE = re.compile(
    r"""\s*(?: \( (?P<group> [^()]* ) \)
             | (?P<word> on | off | _ | \?[^,()]*? | "[^"]*" )
             | (?P<first> -?[\d.]+ ) (?: \s+ to \s+ (?P<last> -?[\d.]+ ) )? (?: \s* ~ (?P<waver> [\d.]+ ) )?
           ) (?: \s+ x(?P<times> \d+ ) )? \s* (?: , | $ )""",
    re.VERBOSE,
)


class Device(NamedTuple):
    """One device of a story: how often it is read (s), and the values of its points."""

    name: str
    every: float
    points: dict[str, list[Any]]


def pieces(text: str) -> Iterator[Any]:
    """The values that some pieces stand for."""
    place = 0
    while place < len(text):
        match = _PIECE.match(text, place)
        assert match, f"cannot read {text[place:]!r}"
        place = match.end()
        times = int(match["times"] or 1)
        if match["group"] is not None:
            yield from list(pieces(match["group"])) * times
        elif match["word"]:
            yield from [word(match["word"])] * times
        else:
            first, last, waver = (float(match[name] or 0) for name in ("first", "last", "waver"))
            slope = (last - first) / max(times - 1, 1) if match["last"] else 0.0
            chance = random.Random(match[0])
            yield from (round(first + slope * step + waver * (2 * chance.random() - 1), 3) for step in range(times))


def word(text: str) -> Any:
    if text.startswith("?"):
        return NoValue(text[1:].strip() or "no value")
    return {"on": True, "off": False, "_": NOT_READ}.get(text, text.strip('"'))


def read(text: str) -> tuple[datetime, list[Device]]:
    """A whole readings.txt."""
    start, devices = datetime(2026, 1, 1, tzinfo=UTC), []
    for line in text.splitlines():
        head, _, rest = line.strip().partition(" ")
        if not head or head.startswith("#"):
            continue
        if line.startswith("start "):
            start = datetime.fromisoformat(rest.strip()).replace(tzinfo=UTC)
        elif not line[0].isspace():
            devices.append(Device(head, duration(rest.split("#")[0].removeprefix("every")), {}))
        else:
            devices[-1].points[head] = list(pieces(rest.strip()))
    for device in devices:
        lengths = {name: len(values) for name, values in device.points.items()}
        assert len(set(lengths.values())) == 1, f"{device.name} has unequally many values: {lengths}"
    return start, devices


def batches(device: Device, number: int) -> Iterator[Batch]:
    """As the poller hands them over; devices take turns, a little after one another."""
    names = tuple(name for name in device.points if name != STATE)
    shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
    states = device.points.get(STATE, [])
    told = None
    for step in range(max(map(len, device.points.values()))):
        at = step * device.every + number / 8
        row: dict[str, Outcome] = {name: device.points[name][step] for name in names if device.points[name][step] is not NOT_READ}
        if row:
            shape = shapes.setdefault(tuple(row), tuple(row))
            yield Batch(device.name, at, shape, tuple(row.values()))
        if states and states[step] != told:
            told = states[step]
            yield Batch(device.name, at, (STATE,), (told,))


# ---------------------------------------------------------------- what comes of it


def tell(story: Path, folder: Path) -> list[dict[str, Any]]:
    """The moments that the hub makes of a story."""
    settings = config.load(story / "config.toml", resolve_secrets=False)
    start, devices = read((story / "readings.txt").read_text("utf-8"))
    clock = VirtualClock(start)
    zone = ZoneInfo(settings.hub.time_zone)
    surroundings = settings.surroundings(wall_time(clock, zone))
    engine = Engine(settings.rules, settings.points(), convert, clock.now(), week_time(clock, zone), surroundings)
    service = Service(settings, HubFacts(settings, engine, clock))
    told = []
    with Store.open(folder / "canary.db") as store:
        desk = Desk(settings, store, clock, lambda: moments.Hub(clock="synced", version="0"))
        for batch in sorted(
            (batch for number, device in enumerate(devices) for batch in batches(device, number)), key=lambda b: b.at
        ):
            before = batch.at - 0.0625
            while (due := min(engine.next_due, service.next_due)) <= before:  # is told at its own time
                clock.advance(max(due, clock.now()) - clock.now())
                told += [*service.take(engine.tick(clock.now())), *service.tick(clock.now())]
            clock.advance(batch.at - clock.now())
            told += service.take(engine.feed(batch))
        return plain(list(map(desk.write, told)))


def plain(told: list[moments.Moment]) -> list[dict[str, Any]]:
    """As JSON, without what only the outbox knows, and with cases counted through."""
    made: list[dict[str, Any]] = [json.loads(moments.to_wire(moment)) for moment in told]
    cases: dict[str, str] = {}
    for moment in made:
        data = moment["data"]
        data["case"] = cases.setdefault(data["case"], f"case {len(cases) + 1}")
        for key in ("seq", "generation", "hub"):
            data.pop(key, None)
        del moment["id"], data["rule"]["version"]
    return made


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.name)
def test_story(story: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """From this config and these readings come exactly these moments."""
    told = tell(story, tmp_path)
    golden = story / "moments.jsonl"
    if request.config.getoption("--rewrite-golden"):
        golden.write_text("".join(json.dumps(moment, ensure_ascii=False) + "\n" for moment in told), "utf-8")
    assert told == [json.loads(line) for line in golden.read_text("utf-8").splitlines()]


def test_the_form_of_readings() -> None:
    """What the README says of it."""
    text = '1, 2.5 x2, 0 to 3 x4, on, off x2, "heat", ?, ?sensor open x2, _, (1, 2 x2) x2, -1 to -2 x3'
    void, broken = NoValue("no value"), NoValue("sensor open")
    rest = [NOT_READ, 1, 2, 2, 1, 2, 2, -1, -1.5, -2]
    assert list(pieces(text)) == [1, 2.5, 2.5, 0, 1, 2, 3, True, False, False, "heat", void, broken, broken, *rest]
    wavering = list(pieces("5 ~0.5 x100"))
    assert wavering == list(pieces("5 ~0.5 x100"))
    assert 4.5 <= min(wavering) < 4.6
    assert 5.4 < max(wavering) <= 5.5

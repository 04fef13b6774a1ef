"""What is worth knowing is told once: energy once a month, what is left behind once a night, a line and a version once each."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hub_of import edit, hubs
from hypothesis import given, settings
from hypothesis import strategies as st
from stories_of import Hub

from drivers.contract import Batch, NoValue
from gateway import moments
from gateway.service.degree_days import KEPT, Days, Diary, Month
from gateway.service.insights import numbers
from gateway.service.privacy import Privacy

HOUR, DAY = 3600.0, 86400.0
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BRUSSELS = ZoneInfo("Europe/Brussels")

BASE = """
[hub]
id = "hub-1"
time_zone = "Europe/Brussels"
[digest]
every = "off"
[rule.device-silent]
enabled = false
[rule.bus-down]
enabled = false
[bus.plant]
driver = "modbus-rtu"
port = "/dev/ttyUSB0"
"""

HOME = """
[device.heat]
bus = "plant"
unit = 1
every = "1 h"
label = "Heat pump"
points.energy = { input = 1, unit = "MWh" }
points.outdoor = { input = 2, unit = "°F" }
[insight.heating]
kind = "energy"
meter = "heat/energy"
outdoor = "heat/outdoor"
"""

VAN = """
[bus.air]
driver = "ble"
[device.drill]
bus = "air"
address = "54:48:E6:8F:80:A1"
format = "bthome"
label = "Drill"
points.here = { object = "moving" }
[device.ladder]
bus = "air"
address = "54:48:E6:8F:80:A2"
format = "bthome"
label = "Ladder"
points.here = { object = "moving" }
[insight.tools]
kind = "left-behind"
on = ["drill/state", "ladder/here"]
hours = "Mon-Fri 18:00..07:00"
"""

Build = Callable[..., Hub]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Hubs of some config, without wires."""
    with hubs(tmp_path) as made:
        yield lambda *tables, start=START: made(BASE + "".join(tables), start)


def told(hub: Hub) -> list[moments.Moment]:
    """Insights and milestones, but for those that come of nothing having happened."""
    return [moment for moment in hub.moments if moment.data.kind in ("insight", "milestone") and moment.data.rule.id != "season"]


def say(hub: Hub, device: str, **values: object) -> None:
    hub.feed(Batch(device, hub.now() + 1.0, tuple(values), tuple(values.values())))  # type: ignore[arg-type]


# ---------------------------------------------------------------- energy


def outdoor(at: datetime) -> float:
    """A winter of 2 °C, a summer of 18 °C."""
    return 2.0 if at.month in (1, 2, 3, 11, 12) else 18.0 if at.month in (6, 7, 8) else 10.0


def year(hub: Hub, until: datetime, kwh_per_degree_day: float, *, hot_water: float = 4.0, warmer: float = 0.0) -> None:
    """The house is heated, and makes hot water, until a time; it is read every six hours."""
    known = hub.engine.last("heat/energy")
    meter = known[0] if known and isinstance(known[0], float) else 5.0
    while (now := hub.clock.utc(hub.now())) < until:
        warmth = outdoor(now.astimezone(BRUSSELS)) + warmer
        meter += (kwh_per_degree_day * max(15.5 - warmth, 0.0) + hot_water) / 4 / 1000
        hub.wait_until(hub.now() + 6 * HOUR)
        say(hub, "heat", energy=meter, outdoor=warmth * 9 / 5 + 32)


@pytest.mark.parametrize(
    ("now", "kind", "words"),
    [
        (1.5, "milestone", "% less energy than a year before"),
        (2.5, "insight", "% more energy than a year before"),
        (2.1, "", ""),
    ],
)
def test_a_month_is_held_against_the_same_month_last_year_at_equal_degree_days(
    build: Build, now: float, kind: str, words: str
) -> None:
    """Though this winter is three degrees milder, and hot water does not depend on that; once a month, in whatever units."""
    hub = build(HOME, start=datetime(2025, 2, 28, 22, 0, tzinfo=UTC))
    year(hub, datetime(2026, 2, 28, 23, 0, tzinfo=UTC), 2.0)
    assert not told(hub)
    year(hub, datetime(2026, 4, 5, tzinfo=UTC), now, warmer=3.0)
    assert [moment.data.kind for moment in told(hub)] == [kind] * bool(kind)
    for moment in told(hub):
        assert words in moment.data.says
        assert moment.data.says.startswith("In March 2026, Heat pump took ")
        assert moment.time.astimezone(BRUSSELS).date() == date(2026, 4, 1)
        assert moment.data.value == pytest.approx(now / 1000, rel=0.03)  # MWh a degree-day
        assert "does not depend on the weather" in moment.data.because
    assert not hub.case_numbers()


def test_another_meter_has_another_past(build: Build, tmp_path: Path) -> None:
    """What one has counted is not held against what the next one counts."""
    hub = build(HOME, start=datetime(2025, 2, 28, 22, 0, tzinfo=UTC))
    year(hub, datetime(2026, 3, 10, 23, 0, tzinfo=UTC), 2.0)
    other = HOME.replace("points.outdoor", 'points.other = { input = 3, unit = "kWh" }\npoints.outdoor')
    edit(hub, tmp_path, HOME, other.replace('"heat/energy"', '"heat/other"'))
    hub.wait_until(hub.now() + HOUR)
    assert not hub.service.memory()["insights"]["diaries"]["heating"]["months"]


def month(days: int, used: float, degree_days: float) -> Month:
    return Month(days=days, used=used, degree_days=degree_days)


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (month(14, 200, 200), month(31, 800, 400)),  # too few days
        (month(31, 60, 40), month(31, 800, 400)),  # too little to heat
        (None, month(31, 800, 400)),
        (month(31, 400, 400), None),
        (month(31, 0, 400), month(31, 800, 400)),  # it was switched off: that is no economy
    ],
)
def test_what_cannot_be_compared_is_not(now: Month | None, before: Month | None) -> None:
    """Half a month, a warm month, a missing year, a heating that was off: nothing is said."""
    months = {name: one for name, one in (("2026-03", now), ("2025-03", before)) if one}
    assert Diary(months=months).judge(date(2026, 4, 1)) is None


def test_a_month_is_judged_once() -> None:
    """The first time that it is asked about."""
    diary = Diary(months={"2026-03": month(31, 600, 400), "2025-03": month(31, 800, 400)})
    verdict = diary.judge(date(2026, 4, 2))
    assert verdict is not None
    assert verdict.share == pytest.approx(-0.25)
    assert diary.judge(date(2026, 4, 2)) is None
    assert diary.judge(date(2026, 5, 1)) is None  # of April nothing is known


HOURS = st.lists(st.tuples(st.floats(-20, 35), st.floats(0, 5), st.booleans()), min_size=24 * 3, max_size=24 * 6)


@settings(max_examples=30)
@given(HOURS, st.integers(0, 23))
def test_days_are_summed_as_the_mean_of_their_hours_says(hours: list[tuple[float, float, bool]], first: int) -> None:
    """Whole days only, against a plain sum; a day in which the temperature was not known for three hours does not count."""
    start = datetime(2026, 3, 2, first, 20, tzinfo=UTC)
    diary, days, meter = Diary(), Days(), 100.0
    by_day: dict[date, list[tuple[float | None, float]]] = {}
    for number, (warmth, used, is_unknown) in enumerate(hours):
        wall = start + timedelta(hours=number)
        short = None if is_unknown and number % 7 == 0 else max(15.5 - warmth, 0.0)
        days.look(wall, meter, short, diary)
        by_day.setdefault(wall.date(), []).append((short, used))
        meter += used
    whole = [day for day in list(by_day.values())[1:-1] if sum(short is not None for short, _ in day) >= 22]
    known = [[short for short, _ in day if short is not None] for day in whole]
    got = diary.months.get("2026-03", Month())
    assert got.days == len(whole)
    assert got.degree_days == pytest.approx(sum(sum(day) / len(day) for day in known))
    assert got.used == pytest.approx(sum(used for day in whole for _, used in day))


def test_a_meter_that_was_exchanged_spoils_its_day_only() -> None:
    """It stands lower than before; nobody has won energy."""
    diary, days = Diary(), Days()
    for number in range(24 * 5):
        at = datetime(2026, 3, 2, 0, 20, tzinfo=UTC) + timedelta(hours=number)
        days.look(at, float(number) if number < 60 else float(number - 60), 5.0, diary)
    assert diary.months["2026-03"].days == 2
    assert diary.months["2026-03"].used == 48.0


def test_a_day_that_began_late_does_not_count() -> None:
    """The hub was off until three at night: what the meter stood at midnight nobody knows."""
    diary, days = Diary(), Days()
    for number in range(24 * 5):
        at = datetime(2026, 3, 2, 0, 20, tzinfo=UTC) + timedelta(hours=number)
        if not 48 <= number < 50:
            days.look(at, float(number), 5.0, diary)
    assert diary.months["2026-03"].days == 1


def test_thirteen_months_are_kept() -> None:
    """However long the hub runs."""
    diary, days = Diary(), Days()
    for number in range(24 * 31 * 20):
        at = datetime(2026, 3, 2, 0, 20, tzinfo=UTC) + timedelta(hours=number)
        days.look(at, float(number), 5.0, diary)
    assert len(diary.months) == KEPT


# ---------------------------------------------------------------- left behind


def at(hub: Hub, text: str) -> None:
    """Wait until a local time."""
    hub.wait_until(hub.clock.at(datetime.fromisoformat(text).replace(tzinfo=BRUSSELS)))


def test_what_is_left_behind_is_told_once_a_night(build: Build) -> None:
    """A quarter of an hour after closing, all of it in one moment; and on the next evening anew."""
    hub = build(VAN)
    say(hub, "drill", state="well")
    say(hub, "ladder", here=True, state="well")
    at(hub, "2026-03-02 18:14")
    assert not told(hub)
    at(hub, "2026-03-02 18:16")
    (first,) = told(hub)
    assert first.data.says == "Left behind after hours: Drill and Ladder."
    assert first.data.kind == "insight"
    hub.restart()
    at(hub, "2026-03-03 17:00")
    assert len(told(hub)) == 1
    say(hub, "ladder", here=False)
    at(hub, "2026-03-03 18:20")
    assert [moment.data.says for moment in told(hub)[1:]] == ["Left behind after hours: Drill."]
    assert told(hub)[1].subject == "drill/state"
    assert not hub.case_numbers()


@pytest.mark.parametrize("state", ["mute", "parked"])
def test_what_is_gone_or_not_known_is_not_left_behind(build: Build, state: str) -> None:
    """A beacon that is no longer heard, one that was never heard, and one of which there is no value."""
    hub = build(VAN)
    say(hub, "drill", state="well")
    say(hub, "drill", state=state)
    say(hub, "ladder", here=NoValue("never told"))
    at(hub, "2026-03-03 12:00")
    assert not told(hub)
    say(hub, "ladder", here=True)
    say(hub, "ladder", state=state)
    at(hub, "2026-03-04 12:00")
    assert not told(hub)


def test_what_is_left_behind_is_as_private_as_the_most_private_of_the_things(build: Build) -> None:
    """Also where several are told in one moment, which is about none of them by itself."""
    hub = build(VAN.replace('label = "Drill"', 'label = "Drill"\nprivacy = "personal"'))
    say(hub, "drill", state="well")
    say(hub, "ladder", here=True, state="well")
    at(hub, "2026-03-02 18:16")
    (first,) = told(hub)
    assert Privacy(hub.config).of(first) == "personal"


def test_nobody_is_asked_outside_of_the_hours(build: Build) -> None:
    """On Saturday evening nothing closes that was open; Friday's night ends on Saturday."""
    hub = build(VAN, start=datetime(2026, 3, 6, 20, 0, tzinfo=UTC))  # a Friday, after closing
    at(hub, "2026-03-06 21:30")
    say(hub, "drill", state="well")
    at(hub, "2026-03-09 12:00")
    assert not told(hub)
    at(hub, "2026-03-09 18:20")
    assert len(told(hub)) == 1


def test_hours_of_a_clock_that_is_not_known_say_nothing(build: Build) -> None:
    """It may be noon."""
    hub = build(VAN)
    hub.clock.trusted = False
    say(hub, "drill", state="well")
    at(hub, "2026-03-02 22:20")
    assert not told(hub)
    hub.clock.trusted = True
    at(hub, "2026-03-02 22:30")
    assert len(told(hub)) == 1


def test_after_a_restart_tags_have_time_to_be_heard(build: Build) -> None:
    """What is there is not taken for gone because the hub has just begun to listen."""
    hub = build(VAN)
    at(hub, "2026-03-02 18:10")
    saved = json.loads(json.dumps([hub.engine.state(history=False), hub.service.memory()]))
    hub._begin()
    hub.engine.restore(saved[0])
    hub.tell(hub.service.recall(saved[1], 0.0, hub.now()))
    at(hub, "2026-03-02 18:20")
    say(hub, "drill", state="well")
    at(hub, "2026-03-02 18:40")
    assert len(told(hub)) == 1


# ---------------------------------------------------------------- lines


def line(number: int, every: str = "10 s") -> str:
    """So many devices on the line."""
    return "".join(
        f'[device.d{unit}]\nbus = "plant"\nunit = {unit}\nevery = "{every}"\npoints.x = {{ input = 1 }}\n'
        for unit in range(1, number + 1)
    )


@pytest.mark.parametrize(
    ("number", "carries", "words"), [(32, "", ""), (33, "", "can carry 32"), (6, "carries = 5\n", "can carry 5")]
)
def test_a_line_with_more_devices_than_it_carries_is_told_once(build: Build, number: int, carries: str, words: str) -> None:
    """32 unit loads on RS-485, or what the config says; a quarter of an hour after the start."""
    hub = build(carries, line(number))
    hub.wait_until(16 * 60)
    assert [words in moment.data.says for moment in told(hub)] == [True] * bool(words)
    hub.wait_until(3 * DAY)
    hub.restart()
    hub.wait_until(5 * DAY)
    assert len(told(hub)) == bool(words)
    if words:
        assert told(hub)[0].subject == "bus.plant/state"
        assert "carries" in " ".join(told(hub)[0].data.advice)


def test_a_line_that_grows_on_is_told_again(build: Build, tmp_path: Path) -> None:
    """34 are more than 33."""
    hub = build(line(33))
    hub.wait_until(HOUR)
    edit(hub, tmp_path, line(33), line(34))
    hub.wait_until(2 * HOUR)
    hub.wait_until(3 * DAY)
    assert [moment.data.value for moment in told(hub)] == [33, 34]


def test_many_tables_may_be_one_device(build: Build) -> None:
    """What has one address is one load on the line."""
    more = "".join(f'[device.e{n}]\nbus = "plant"\nunit = 1\npoints.y = {{ input = {n} }}\n' for n in range(1, 9))
    hub = build(line(30), more)
    hub.wait_until(HOUR)
    assert not told(hub)


def test_a_bus_that_cannot_keep_up_is_told_once_for_its_load(build: Build) -> None:
    """By what the poller calls late; a hiccup at the start is none."""
    hub = build(line(3, "1 s"))
    say(hub, "d2", state="late")
    hub.wait_until(800.0)
    say(hub, "d3", state="late")
    hub.wait_until(1000.0)
    say(hub, "d3", state="well")
    hub.wait_until(3 * DAY)
    (only,) = told(hub)
    assert "cannot keep up: 1 of its 3 devices are read late (d2)" in only.data.says
    assert "3 polls a second" in only.data.because


# ---------------------------------------------------------------- firmware

METER = """
[device.m{unit}]
bus = "plant"
unit = {unit}
label = "Meter {unit}"
maker = "Eastron"
model = "SDM120"
points.x = {{ input = 1 }}
"""
FLEET = METER.format(unit=1) + 'firmware = "1.9"' + METER.format(unit=2) + 'firmware = "v1.10"' + METER.format(unit=3)
FLEET += """
firmware_point = "version"
points.version = { input = 1 }
[device.other]
bus = "plant"
unit = 4
label = "Another"
maker = "Eastron"
model = "SDM630"
firmware = "0.1"
points.x = { input = 1 }
"""


def test_older_firmware_than_that_of_siblings_is_told_once_for_each_change(build: Build) -> None:
    """Compared as numbers, of one maker and model; what a device has said of itself holds also while it is away."""
    hub = build(FLEET)
    hub.wait_until(2 * DAY)
    (first,) = told(hub)
    assert first.data.says == "Meter 1 (1.9) has older firmware than 1 other of the same model (v1.10)."
    assert first.subject == "m1/state"
    say(hub, "m3", version="1.10.0")
    hub.wait_until(4 * DAY)
    assert len(told(hub)) == 1
    say(hub, "m3", version="2.0")
    hub.wait_until(5 * DAY)
    assert told(hub)[1].data.says == "Meter 1 (1.9) and Meter 2 (v1.10) have older firmware than 1 other of the same model (2.0)."
    say(hub, "m3", version=NoValue("away"))
    hub.wait_until(8 * DAY)
    hub.restart()
    hub.wait_until(10 * DAY)
    assert len(told(hub)) == 2
    assert not hub.case_numbers()


@pytest.mark.parametrize(
    ("older", "newer"), [("1.9", "1.10"), ("v1.2.3", "1.2.4-rc1"), ("2023-12-01", "2024-01-05"), ("FW 3", "FW 10"), ("1", "1.0.1")]
)
def test_versions_are_compared_as_numbers(older: str, newer: str) -> None:
    """1.9 is older than 1.10."""
    assert numbers(older) < numbers(newer)


@given(st.text())
def test_any_text_is_a_version_or_none(text: str) -> None:
    """Whatever a device says of itself; zeros at the end do not matter."""
    assert numbers(f"{text}.0" if numbers(text) and text[-1:].isdigit() and len(text) < 60 else text) == numbers(text)
    assert numbers("9" * 10_000)
    assert not numbers("rev. B")

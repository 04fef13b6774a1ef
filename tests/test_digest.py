"""The digest tells the customer what was done, at its hour, in the customer's language, once, and never more than is known."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest
from hub_of import edit, hubs
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs
from stories_of import Hub

from drivers.contract import Batch, NoValue
from gateway import config, moments
from gateway.cli import EX_FAILURE, EX_OK
from gateway.cli import main as canary
from gateway.commands import CommandError
from gateway.config.digest import Digest, Every, Language
from gateway.config.maintenance import Weekday
from gateway.control import Control
from gateway.diagnosis.contract import Phase
from gateway.diagnosis.hub_parts import PARTS
from gateway.service.catalogue import PLACEHOLDER, Catalogue
from gateway.service.contract import Statement
from gateway.service.digest import CREDITS, Tally, _lines, credit
from gateway.service.timetable import LEAST, due

from moments_of import change

HOUR, DAY, WEEK = 3600.0, 86400.0, 604800.0
START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)  # a Wednesday
LANGUAGES = get_args(Language)

PLANT = """
[hub]
id = "hub-1"
time_zone = "Europe/Brussels"
[desk]
name = "CoolCare"
contact = "tel:+32 9 000 00 00"
[digest]
{digest}
[bus.plant]
driver = "modbus-tcp"
host = "192.168.1.20"
[device.freezer]
bus = "plant"
unit = 1
label = "Freezer"
points.core = {{ input = 1, unit = "°C" }}
points.hood = {{ input = 2, unit = "°C" }}
[rule.device-silent]
enabled = false
[rule.bus-down]
enabled = false
[rule.warm]
kind = "threshold"
on = "freezer/*"
above = "-15 °C"
clear_lasting = "1 min"
proof = "0 s"
steps = [
  {{ do = "Close the door.", by = "customer" }},
  {{ do = "Defrost it.", by = "technician" }},
]
"""
POINTS = ("core", "hood")

Build = Callable[..., Hub]


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """Hubs of some config, without wires."""
    with hubs(tmp_path) as made:
        yield lambda digest="", start=START, plant=PLANT: made(plant.format(digest=digest), start)


def read(hub: Hub, *values: float, every: float = 60.0) -> None:
    """Both points of the freezer, once for each value."""
    for value in values:
        hub.feed(Batch("freezer", hub.now() + every, POINTS, (value, -20.0)))


def digests(hub: Hub) -> list[moments.Moment]:
    return [moment for moment in hub.moments if moment.data.kind == "digest"]


def days(hub: Hub) -> list[str]:
    """When they were made, local time."""
    zone = ZoneInfo("Europe/Brussels")
    return [moment.time.astimezone(zone).strftime("%a %d %b %H:%M") for moment in digests(hub)]


# ---------------------------------------------------------------- texts


def texts(language: str) -> dict[str, Any]:
    return Catalogue(language)._texts


def flat(table: dict[str, Any], path: str = "") -> dict[str, str]:
    found = {}
    for key, value in table.items():
        found |= flat(value, f"{path}{key}.") if isinstance(value, dict) else {path + key: str(value)}
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_languages_say_the_same(language: str) -> None:
    """The same keys, in the same order, with the same words to be filled in; and of what can be counted, both forms."""
    one, other = flat(texts("en")), flat(texts(language))
    assert list(one) == list(other)
    for key, text in other.items():
        assert text.strip() == text
        assert text or key.startswith("numbers."), f"{key} of {language} is empty"
        assert Counter(PLACEHOLDER.findall(text)) == Counter(PLACEHOLDER.findall(one[key])), key
    forms = {key.rpartition(".")[0] for key in other if key.endswith((".one", ".other"))}
    assert all(f"{key}.{form}" in other for key in forms for form in ("one", "other"))
    assert len(texts(language)["dates"]["months"]) == 12


def test_every_language_that_the_config_knows_has_its_file() -> None:
    """And no file lies there that nobody can ask for."""
    there = {file.name.removesuffix(".toml") for file in files("gateway.service").joinpath("texts").iterdir()}
    assert there == set(LANGUAGES)


def test_every_end_of_a_case_has_its_words() -> None:
    """Whatever brings a case to its end can be said in every language, as it does in any of the golden stories."""
    assert {*CREDITS.values(), "other"} == set(texts("en")["healed"])
    ends = {
        (moment["data"]["rule"]["id"], moment["data"]["how"])
        for story in (Path(__file__).parent / "golden").glob("*/moments.jsonl")
        for moment in map(json.loads, story.read_text("utf-8").splitlines())
        if moment["data"]["kind"] == "problem" and moment["data"]["phase"] == "closed"
    }
    assert {end for end in ends if credit(end[1]) == "other"} == set()
    assert {"itself", "remedy", "step", "visit"} <= {credit(how) for _, how in ends}
    assert credit("by the visit of Jan") == "visit"
    assert credit("by step 2: Pay a visit to the cellar") == "step"
    assert credit("by the remedy restart-router") == "remedy"
    assert credit("by a miracle") == "other"


def test_numbers_dates_and_plurals_are_as_the_language_has_them() -> None:
    """Dutch puts a point between thousands; both have one form for 1, and one for all else, 0 too."""
    english, dutch = Catalogue("en"), Catalogue("nl")
    assert english.number(1_204_331) == "1,204,331"
    assert dutch.number(1_204_331) == "1.204.331"
    assert english.date(date(2026, 3, 9), date(2026, 12, 1)) == "9 March"
    assert dutch.date(date(2025, 5, 9), date(2026, 1, 1)) == "9 mei 2025"
    assert [english.count("watched.readings", number) for number in (0, 1, 2)] == ["0 readings", "1 reading", "2 readings"]
    assert [dutch.count("noticed.problem", number) for number in (0, 1, 2000)] == ["0 problemen", "1 probleem", "2.000 problemen"]
    assert dutch.listed(["a", "b", "c"]) == "a, b en c"
    assert english.listed(["a"]) == "a"
    assert english.say("lists.and", first="{last}", last="b") == "{last} and b"


def test_every_part_of_the_hub_has_a_name_in_every_language() -> None:
    """What a customer hears of the hub is not what a technician calls it."""
    assert {part.name for part in PARTS} <= set(texts("en")["names"])


COUNTS = st.integers(0, 2_000_000)
DATA = st.builds(
    moments.Digest,
    language=st.sampled_from(LANGUAGES),
    from_=st.just(START),
    until=st.just(START + timedelta(days=7)),
    devices=COUNTS,
    readings=COUNTS,
    noticed=st.dictionaries(st.sampled_from(sorted(texts("en")["noticed"])), COUNTS.filter(bool)),
    prevented=COUNTS,
    healed=st.dictionaries(st.sampled_from(sorted(texts("en")["healed"])), COUNTS.filter(bool)),
    changed=st.dictionaries(st.sampled_from(sorted(texts("en")["changed"])), COUNTS.filter(bool)),
    milestones=COUNTS,
    asks=st.lists(st.just("Freezer: close it."), max_size=2).map(tuple),
)


@given(DATA, st.lists(st.sampled_from(["", "CoolTech"]), max_size=3), st.integers(0, 100))
def test_the_text_says_what_the_data_says(data: moments.Digest, owners: list[str], more: int) -> None:
    """In every language: every number that is not 0, everything that is open, and nothing that was left to be filled in."""
    since = datetime(2025, 12, 30, tzinfo=UTC)
    cases = tuple(
        moments.StillOpen(subject="a/b", label=f"Thing {number}", severity="info", since=since, owner=owner)
        for number, owner in enumerate(owners)
    )
    data = structs.replace(data, open=cases, are_open=len(cases) + (more if cases else 0))
    catalogue = Catalogue(data.language)
    hub = config.model.Hub(id="h")
    settings = config.model.Config(
        hub=hub, uplink=None, desk=config.model.Desk(name="D", contact="tel:1"), owners={}, buses={}, devices={}, rules={}
    )
    text = "\n".join(_lines(data, catalogue, settings, START.date(), START + timedelta(days=7)))
    assert "{" not in text
    counts = [*data.noticed.values(), *data.healed.values(), *data.changed.values(), data.prevented, data.milestones]
    assert all(catalogue.number(count) in text for count in counts if count)
    assert all(case.label in text for case in cases)
    assert all(ask in text for ask in data.asks)
    assert not cases or not more or catalogue.number(more) in text
    assert ("2025" in text) == bool(cases)
    if data.readings:
        assert catalogue.number(data.readings) in text
        quiet = not (cases or data.noticed or data.healed or data.prevented)
        good = texts(data.language)["digest"]["quiet"].rpartition("}")[2]
        assert (good in text) is quiet


# ---------------------------------------------------------------- when

ZONES = ["Europe/Brussels", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu", "UTC"]
KEYS = st.builds(
    Digest, every=st.sampled_from([one for one in get_args(Every) if one != "off"]), day=st.sampled_from(get_args(Weekday)),
    hour=st.integers(0, 23),
)  # fmt: skip
TIMES = st.integers(946_684_800, 2_051_222_400).map(lambda at: datetime.fromtimestamp(at, UTC))


PERIODS = {"daily": timedelta(days=1), "weekly": timedelta(days=7), "monthly": timedelta(days=35)}


def gap(keys: Digest, at: datetime, zone: ZoneInfo) -> timedelta:
    """By how much the clock is put forward over the hour of that day; nothing on nearly all days."""
    naive = at.astimezone(zone).replace(tzinfo=None)
    wanted = naive.replace(hour=keys.hour, minute=0, second=0, microsecond=0)
    return naive - wanted


@given(KEYS, TIMES, st.sampled_from(ZONES))
@example(Digest(every="daily", hour=2), datetime(2026, 3, 28, 12, tzinfo=UTC), "Europe/Brussels")
@example(Digest(every="weekly", day="sun", hour=2), datetime(2026, 10, 20, tzinfo=UTC), "Europe/Brussels")
@example(Digest(every="daily", hour=22), datetime(2026, 1, 15, 13, tzinfo=UTC), "America/New_York")
@example(Digest(every="daily", hour=9), datetime(2011, 12, 29, tzinfo=UTC), "Pacific/Apia")
def test_a_digest_is_due_on_its_day_at_its_hour(keys: Digest, since: datetime, zone_name: str) -> None:
    """In every zone and on every day of the year, local time; an hour that is left out comes as much later as it is put forward."""
    zone = ZoneInfo(zone_name)
    at = due(keys, since.astimezone(zone))
    assert at is not None
    local = at.astimezone(zone)
    assert at - since >= LEAST[keys.every]
    first = at - since - LEAST[keys.every] <= PERIODS[keys.every] + timedelta(hours=1)
    assert first or zone_name == "Pacific/Apia"  # which once left out a day
    assert timedelta(0) <= gap(keys, at, zone) <= timedelta(hours=1) or zone_name == "Pacific/Apia"
    assert (local.minute == 0 and local.hour == keys.hour) or gap(keys, at, zone) or zone_name == "Pacific/Apia"
    if keys.every != "daily":
        assert get_args(Weekday)[local.weekday()] == keys.day
    if keys.every == "monthly":
        assert local.day <= 7


@given(KEYS, TIMES, st.sampled_from(ZONES), st.lists(st.floats(0, 3), max_size=30))
def test_there_is_one_digest_for_each_period(keys: Digest, begin: datetime, zone_name: str, late: list[float]) -> None:
    """However late each is made, in days; none is made twice for a period, and none that is not late is left out."""
    zone = ZoneInfo(zone_name)
    period = PERIODS[keys.every]
    since = due(keys, begin.astimezone(zone))
    for delay in late:
        assert since is not None
        made = since + min(timedelta(days=delay), LEAST[keys.every] / 2)
        following = due(keys, made.astimezone(zone))
        assert following is not None
        assert following - since <= period + timedelta(hours=25)  # where a day is 25 hours, or one is left out
        assert following - since >= period - timedelta(hours=25) - (timedelta(days=7) if keys.every == "monthly" else timedelta(0))
        since = following


def test_digests_come_on_mondays_at_eight_and_the_first_covers_from_installation(build: Build) -> None:
    """Weekly where nothing is said; also in the week in which summer time begins, and with a restart on each day."""
    hub = build(start=datetime(2026, 3, 4, 10, tzinfo=UTC))
    for _ in range(35):
        hub.wait_until(hub.now() + DAY)
        hub.restart()
    assert days(hub) == ["Mon 09 Mar 08:00", "Mon 16 Mar 08:00", "Mon 23 Mar 08:00", "Mon 30 Mar 08:00", "Mon 06 Apr 08:00"]
    first, second = (moment.data.digest for moment in digests(hub)[:2])
    assert first is not None
    assert second is not None
    assert first.from_ == datetime(2026, 3, 4, 10, tzinfo=UTC)
    assert first.until == second.from_ == datetime(2026, 3, 9, 7, tzinfo=UTC)
    assert len({moment.data.case for moment in digests(hub)}) == 5


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ('every = "daily"\nhour = 22', ["Thu 05 Mar 22:00", "Fri 06 Mar 22:00", "Sat 07 Mar 22:00"]),
        ('every = "weekly"\nday = "sat"', ["Sat 14 Mar 08:00", "Sat 21 Mar 08:00"]),
        ('every = "monthly"\nday = "fri"', ["Fri 03 Apr 08:00", "Fri 01 May 08:00"]),
        ('every = "off"', []),
    ],
)
def test_digests_come_as_the_config_says(build: Build, keys: str, expected: list[str]) -> None:
    """A first one that would cover less than half of its period waits for the next."""
    hub = build(keys)
    hub.wait_until(70 * DAY)
    assert days(hub)[: len(expected)] == expected
    assert bool(days(hub)) == bool(expected)


def test_a_missed_digest_is_made_once(build: Build) -> None:
    """A hub that was off for three weeks makes one digest about them, and the next in its turn."""
    hub = build()
    hub.wait_until(WEEK)
    assert days(hub) == ["Mon 09 Mar 08:00"]
    hub.clock.advance(3 * WEEK)
    hub.restart()
    hub.wait_until(hub.now() + WEEK)
    assert days(hub)[1:] == ["Wed 01 Apr 12:00", "Mon 06 Apr 08:00"]
    assert digests(hub)[1].data.digest.from_ == datetime(2026, 3, 9, 7, tzinfo=UTC)  # type: ignore[union-attr]


def test_no_digest_is_made_before_the_time_is_known(build: Build) -> None:
    """It is made within an hour of that, and covers from the beginning."""
    hub = build()
    hub.clock.trusted = False
    hub.wait_until(8 * DAY)
    assert not digests(hub)
    with pytest.raises(CommandError, match="does not know what time it is"):
        hub.do(["digest"])
    hub.clock.trusted = True
    hub.wait_until(8 * DAY + HOUR + 1)
    (only,) = digests(hub)
    assert only.data.digest is not None
    assert only.data.digest.from_ == START


def test_a_clock_that_was_in_the_future_stops_no_digest(build: Build) -> None:
    """Where the clock said 2030 when a digest was made, the next one comes in its turn after it was put right."""
    hub = build()
    hub.clock.leap(4 * 365 * DAY)
    hub.wait_until(8 * DAY)
    assert len(digests(hub)) == 1
    hub.clock.leap(-4 * 365 * DAY)
    hub.wait_until(8 * DAY + 12 * DAY)
    assert days(hub)[1:] == ["Mon 16 Mar 08:00", "Mon 23 Mar 08:00"]
    spans = [moment.data.digest for moment in digests(hub)]
    assert all(span.from_ <= span.until for span in spans if span)


# ---------------------------------------------------------------- what


def test_a_quiet_week_is_one_sentence_with_figures(build: Build) -> None:
    """Not a table of zeros; and it names the desk."""
    hub = build()
    read(hub, *[-20.0] * 600, every=600.0)
    hub.wait_until(6 * DAY)
    (quiet,) = digests(hub)
    assert quiet.data.says == (
        "From 4 March to 9 March, CoolCare watched over your device with 1,200 readings, and all was well: there was nothing that "
        "needed you."
    )
    assert quiet.data.owner.id == "desk"


def test_nobody_is_told_that_all_is_well_when_nothing_was_read(build: Build) -> None:
    """A hub that measures nothing says so, and whom to tell."""
    hub = build('language = "nl"')
    hub.wait_until(6 * DAY)
    (deaf,) = digests(hub)
    assert "geen enkele meting van uw toestel" in deaf.data.says
    assert "in orde:" not in deaf.data.says


def test_a_week_is_told_by_its_labels_in_the_language_of_the_customer(build: Build) -> None:
    """What was noticed, what was put right, what is open with whom, and the next step that the customer can do."""
    hub = build('language = "nl"\nto = "bakkerij Janssens"')
    read(hub, *[-20.0] * 10, -10.0, -10.0, *[-20.0] * 10, -10.0)
    hub.wait_until(6 * DAY)
    (digest,) = digests(hub)
    assert digest.data.says.splitlines() == [
        "Beste bakkerij Janssens,",
        "Van 4 maart tot 9 maart waakte CoolCare met 46 metingen over uw toestel.",
        "Opgemerkt: 2 problemen.",
        "Opgelost: 1 vanzelf.",
        "Nog open: Freezer core (sinds 4 maart, bij CoolCare).",
        "Wat wij van u vragen:",
        "- Freezer core: Close the door.",
        "Vragen? CoolCare: +32 9 000 00 00",
    ]
    data = digest.data.digest
    assert data is not None
    assert (data.noticed, data.healed, data.are_open, data.readings) == ({"problem": 2}, {"itself": 1}, 1, 46)
    opened = [moment for moment in hub.moments if moment.data.phase is Phase.OPENED and moment.data.kind == "problem"]
    assert data.open[0].case == opened[-1].data.case
    assert data.open[0].subject == "freezer/core"


def test_what_is_well_again_is_not_still_open(build: Build) -> None:
    """Also while it must prove itself: it is neither open nor put right."""
    hub = build(plant=PLANT.replace('proof = "0 s"', 'proof = "10 d"'))
    read(hub, *[-20.0] * 10, -10.0, *[-20.0] * 10)
    (case,) = hub.service.book
    assert case.stage == "proving"
    says = hub.do(["digest"])["says"]
    assert "Noticed: 1 problem." in says
    assert "Still open" not in says
    assert "Put right" not in says


def test_the_letters_of_the_documentation_are_those_of_the_stories() -> None:
    """docs/digest.md shows what the hub writes."""
    shown = (Path(__file__).parent.parent / "docs" / "digest.md").read_text("utf-8")
    for story, place, first in (("busy-week", 0, 0), ("quiet-month", 1, 1)):
        lines = (Path(__file__).parent / "golden" / story / "moments.jsonl").read_text("utf-8").splitlines()
        letters = [moment["data"]["says"] for moment in map(json.loads, lines) if moment["data"]["kind"] == "digest"]
        assert "".join(f"    {line}\n" for line in letters[place].splitlines()[first:]) in shown


def test_it_asks_for_the_next_step_of_the_customer_only(build: Build) -> None:
    """What was tried is not asked again, and what a technician must do is not asked at all."""
    hub = build()
    read(hub, *[-20.0] * 10, -10.0)
    (case,) = hub.service.book
    assert "Close the door." in hub.do(["digest"])["says"]
    case.tried = [hub_try("step 1")]
    assert "What we ask of you" not in hub.do(["digest"])["says"]


def hub_try(what: str) -> Any:
    from gateway.service.contract import Try

    return Try(what=what, at=0.0, result="failed")


HOWS = st.sampled_from([*CREDITS, "averted", "came true", "averted by the visit of Jan", "", "counted"])
TOLD = st.lists(
    st.builds(
        change, kind=st.sampled_from(["problem", "prediction", "hub", "insight", "milestone", "visit", "recovery", "digest"]),
        phase=st.sampled_from(list(Phase)), how=HOWS,
    ),
    max_size=40,
)  # fmt: skip


@given(TOLD)
def test_the_counts_are_those_of_the_statements(told: list[Any]) -> None:
    """Whatever is told, in whatever order: as if somebody had counted them by hand."""
    tally = Tally()
    for one in told:
        tally.add(Statement(change=one))
    opened = [one.kind for one in told if one.phase == "opened"]
    assert tally.noticed == Counter(kind for kind in opened if kind in ("problem", "prediction", "hub", "insight"))
    assert tally.milestones == opened.count("milestone")
    closed = [one for one in told if one.phase == "closed"]
    assert tally.prevented == sum(one.kind == "prediction" and "averted" in one.how for one in closed)
    assert tally.healed == Counter(credit(one.how) for one in closed if one.kind in ("problem", "hub"))
    handed = sum(one.phase == "handed_over" and one.kind != "visit" for one in told)
    assert tally.changed.get("handed_over", 0) == handed
    assert tally.changed.get("visits", 0) == sum(one.kind == "visit" for one in told)


def test_readings_are_counted_across_restarts(build: Build) -> None:
    """But for those since the last note, of which there is one every six hours."""
    hub = build()
    read(hub, *[-20.0] * 100, every=600.0)  # notes at 6 h and 12 h
    hub.restart()
    read(hub, *[-20.0] * 100, every=600.0)
    hub.wait_until(6 * DAY)
    (digest,) = digests(hub)
    assert digest.data.digest is not None
    assert 2 * (72 + 100) - 2 <= digest.data.digest.readings <= 400


def test_a_reload_loses_no_reading(build: Build) -> None:
    """Whether it begins another engine or not."""
    hub = build()
    read(hub, *[-20.0] * 10)
    old, known = hub.engine, hub.service.memory()
    hub._begin()
    hub.engine.adopt(old)
    hub.service.recall(known, 0.0, hub.now())
    read(hub, *[-20.0] * 5)
    assert "with 30 readings" in hub.do(["digest"])["says"]


def test_nothing_is_written_while_nothing_happens(build: Build) -> None:
    """What the parts remember changes a few times a day, however much is read: each change is written to the card."""
    hub = build()
    read(hub, *[-20.0] * 60)
    changes, before = 0, hub.service.memory()
    for _ in range(2 * 24 * 6):
        read(hub, -20.0, every=600.0)
        after = json.loads(json.dumps(hub.service.memory()))
        changes += after != before
        before = after
    assert changes <= 2 * 8


def test_the_text_fits_whatever_there_is_to_tell(build: Build) -> None:
    """A moment is 8 KiB at most; with all that can be open, in the longest words, the text still comes whole."""
    words, names = "Ω" * 300, [f"p{number}" for number in range(12)]
    points = "".join(f'points.{name} = {{{{ input = 1, unit = "°C", label = "{words}" }}}}\n' for name in names)
    plant = PLANT.replace('name = "CoolCare"', f'name = "{words}"').replace("points.core", f"{points}points.core")
    plant = plant.replace('do = "Close the door."', f'do = "{words[:200]}"')
    hub = build(f'to = "{words[:60]}"', plant=plant)
    hub.feed(Batch("freezer", 60.0, tuple(names), (0.0,) * len(names)))
    for kind in ("problem", "prediction", "hub", "insight", "milestone"):
        for phase in Phase:
            for how in [*CREDITS, "averted"]:
                hub.tell(
                    hub.service.say("insights", [Statement(change=change(kind=kind, phase=phase, how=how, episode=f"{kind}"))])
                )
    hub.wait_until(6 * DAY)
    (digest,) = digests(hub)
    assert digest.data.digest is not None
    assert digest.data.digest.are_open == len(names)
    assert len(digest.data.digest.open) == 5
    assert len(digest.data.digest.asks) == 3
    wire = moments.to_wire(digest)
    assert len(wire) <= moments.MAX_BYTES
    assert moments.from_wire(wire).data.digest == digest.data.digest
    assert moments.from_wire(wire).data.says == digest.data.says


def test_changed_settings_are_told(build: Build, tmp_path: Path) -> None:
    """A reload with another config is a change; a restart with the same one is none."""
    hub = build()
    read(hub, *[-20.0] * 10)
    hub.restart()
    assert "Changed" not in hub.do(["digest"])["says"]
    edit(hub, tmp_path, "[digest]", '[owner.x]\nname = "X"\n[digest]')
    assert "Changed: the settings, 1 time." in hub.do(["digest"])["says"]


def test_what_the_hub_reads_of_itself_is_no_reading_of_a_device(build: Build) -> None:
    """It would be eighty thousand a week, of which nobody has anything; and what is wrong with it is the hub's own matter."""
    hub = build(plant=PLANT + '[rule.hub-uplink]\nlasting = "1 min"\n')
    for _ in range(5):
        hub.feed(Batch("hub", hub.now() + 60.0, ("uplink", "disk_free"), (False, 80.0)))
    read(hub, *[-20.0] * 10)
    says = hub.do(["digest"])["says"]
    assert "with 20 readings" in says
    assert "Noticed: 1 matter of the hub itself." in says
    assert "Still open: connection of the hub (since 4 March" in says


def test_the_contact_is_as_one_says_it(build: Build) -> None:
    """Without the scheme of a telephone number or an address; an address on the web is nothing without."""
    for contact, said in (
        ("tel:+32 9 1", "CoolCare: +32 9 1"),
        ("mailto:a@b.be", "CoolCare: a@b.be"),
        ("https://x.be", "https://x.be"),
    ):
        hub = build(plant=PLANT.replace("tel:+32 9 000 00 00", contact))
        read(hub, *[-20.0] * 10, -10.0)
        assert hub.do(["digest"])["says"].endswith(said)


def test_a_void_point_reads_too(build: Build) -> None:
    """A reading without a value is a reading: the device was asked, and answered."""
    hub = build()
    hub.feed(Batch("freezer", 60.0, POINTS, (NoValue("sensor open"), -20.0)))
    assert "2 readings" in hub.do(["digest"])["says"]


async def test_canary_digest_shows_what_there_is_so_far(build: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Asked of the running hub; and where none runs, one line says so."""
    hub = build()
    read(hub, *[-20.0] * 10)
    words = ["digest", "--config", str(tmp_path / "hub.toml")]
    (tmp_path / "hub.toml").write_text((tmp_path / "hub.toml").read_text("utf-8").replace("[hub]", f'[hub]\nstate = "{tmp_path}"'))
    assert await asyncio.to_thread(canary, words) == EX_FAILURE
    assert "no hub is running" in capsys.readouterr().err
    async with Control(tmp_path, {}, hub.commands):
        assert await asyncio.to_thread(canary, words) == EX_OK
    assert "all was well" in capsys.readouterr().out

"""What is private leaves in the grain that its class allows, whoever tells it, and not at all once nobody agrees to it any more."""

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from config_of import config_of
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from drivers.contract import Batch, NoValue
from gateway import moments
from gateway.clerk import Clerk
from gateway.cli import main
from gateway.clock import SystemClock, VirtualClock
from gateway.commands import CommandError, Commands
from gateway.config import ConfigError
from gateway.config.model import Uplink
from gateway.config.privacy import CLASSES, Grain, Household
from gateway.config.privacy import Privacy as Keys
from gateway.config.profiles import check_profile
from gateway.config.units import convert
from gateway.demo import modbus_machine
from gateway.diagnosis import contract
from gateway.diagnosis.contract import Phase, PointInfo
from gateway.diagnosis.engine import Engine
from gateway.link import listen
from gateway.moments import Account, compose, from_wire, to_wire
from gateway.privacy_commands import PrivacyCommands, account, words
from gateway.service import privacy
from gateway.service.casebook import Case
from gateway.service.contract import Statement
from gateway.service.desk import Desk
from gateway.service.facts import HubFacts
from gateway.service.privacy import Privacy
from gateway.service.service import Service
from gateway.service.visit import Ended, Visit
from gateway.store import DiskFullError, Store

from moments_of import START, change
from peers.hub_process import HubProcess
from peers.mosquitto import Mosquitto

HOME = """
[hub]
id = "hub-0042"
state = "{state}"
[bus.line]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
[device.bedroom]
bus = "line"
unit = 1
every = "50 ms"
label = "Bedroom"
[device.bedroom.points]
motion = {{ input = 0, unit = "1/h", privacy = "personal" }}
temp = {{ input = 1, unit = "°C" }}
[device.hall]
bus = "line"
unit = 1
every = "50 ms"
[device.hall.points]
door = {{ input = 2, privacy = "household" }}
temp = {{ input = 3, unit = "°C" }}
[device.tag]
bus = "line"
unit = 1
privacy = "personal"
[device.tag.points]
signal = {{ input = 4, unit = "dBm" }}
[rule.up-at-night]
kind = "threshold"
on = "bedroom/motion"
above = 100
[rule.said-plainly]
kind = "threshold"
on = "bedroom/motion"
above = 200
says = "{{point}} has been busy for {{lasting}}."
[rule.said-with-the-value]
kind = "threshold"
on = "bedroom/motion"
above = 300
says = "{{point}} is {{value}}."
[rule.cold-and-empty]
kind = "when"
condition = "hall/temp < 10 °C and bedroom/motion < 1"
[rule.cold]
kind = "threshold"
on = "*/temp"
below = "5 °C"
[rule.cools-too-slowly]
kind = "trend"
on = "*/temp"
below = "5 °C"
[rule.busy-for-once]
kind = "anomaly"
on = "*/*"
[rule.open-long]
kind = "threshold"
on = "hall/door"
above = 0
"""
MOTION = PointInfo("bedroom/motion", "bedroom", "motion", "1/h", "Bedroom motion", "Bedroom")
DOOR = PointInfo("hall/door", "hall", "door", "", "hall door", "hall")
TEMP = PointInfo("hall/temp", "hall", "temp", "°C", "hall temp", "hall")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return config(tmp_path_factory.mktemp("home"))


def config(folder: Path, more: str = "", port: int = 502):
    return config_of(HOME.format(state=folder / "state", port=port) + more, folder)


def of(point: PointInfo, rule: str, **facts):
    """A moment about a point, by a rule, as the desk would make it."""
    adds = facts.pop("adds", {})
    because = facts.pop("owner_because", "nobody covers it")
    return compose(
        change(point=point, rule_id=rule, **facts),
        hub_id="hub-0042",
        hub=moments.Hub(clock="synced", version="0"),
        case="hub-0042-2N7K",
        owner=moments.Owner(id="desk", because=because),
        desk=moments.Desk(),
        device=moments.Device(id=point.device, label=point.device_label),
        utc=lambda at: START + timedelta(seconds=at),
        adds=adds,
    )


# ---------------------------------------------------------------- of what is personal, no value

texts = st.text(max_size=40)
values = st.one_of(st.floats(), st.integers(-(2**40), 2**40), st.booleans(), texts)
numbers = st.floats(-1e9, 1e9)
forecasts = st.builds(contract.Forecast, numbers, numbers, numbers, numbers, st.floats(0, 1))
courses = st.builds(
    lambda every, series: contract.Evidence("1/h", 0.0, every, tuple(series), len(series)),
    st.sampled_from([0.0, 1.0, 60.0, 900.0, 7200.0]),
    st.lists(st.one_of(values, st.none()), max_size=120),
)
comparisons = st.builds(
    moments.Comparison, point=st.just("bedroom/motion"), before=st.one_of(st.none(), numbers), after=st.one_of(st.none(), numbers)
)


@st.composite
def told(draw):
    """What the hub may have seen of a point, and all that it may say of that."""
    when = START + timedelta(seconds=60)
    return {
        "value": draw(st.one_of(values, st.builds(NoValue, texts))),
        "says": draw(texts),
        "because": draw(texts),
        "evidence": draw(st.one_of(st.none(), courses)),
        "forecast": draw(st.one_of(st.none(), forecasts)),
        "confidence": draw(st.one_of(st.none(), st.floats(0, 1))),
        "owner_because": draw(texts),
        "adds": {
            "tried": (moments.Tried(what="remedy fan", at=when, result="failed", says=draw(texts)),),
            "handed_over": moments.HandedOver(from_="desk", to="installer", because=draw(texts)),
            "comparisons": tuple(draw(st.lists(comparisons, max_size=3))),
        },
    }


@given(
    told(), told(), st.sampled_from(["up-at-night", "said-plainly", "said-with-the-value", "gone-from-the-config"]),
    st.sampled_from(list(Phase)), st.sampled_from(sorted({*contract.Kind.__args__} - privacy.SAY_NO_VALUE)),
)  # fmt: skip
def test_what_leaves_of_a_personal_point_does_not_depend_on_any_value(home, one, other, rule, phase, kind):
    """Whatever was seen and said, the bytes on the wire are the same: so no value, and nothing made of one, is in them."""
    ruler = Privacy(home)
    made = [to_wire(ruler.leaving(of(MOTION, rule, phase=phase, kind=kind, **seen))) for seen in (one, other)]
    assert made[0] == made[1]


quiet, busy = st.integers(0, 99), st.integers(301, 60_000)
nights = st.lists(st.tuples(quiet, busy), min_size=3, max_size=3)


@settings(max_examples=20)
@given(nights, nights)
def test_two_nights_that_differ_only_in_how_much_a_person_moved_leave_the_same_bytes(tmp_path_factory, one, other):
    """Through the diagnosis, the service and the clerk, with all that they have to say of it."""
    folder = tmp_path_factory.mktemp("night")
    home = config(folder)
    first, second = (lived(home, folder / name, night) for name, night in (("one.db", one), ("other.db", other)))
    assert first == second
    assert len(first) >= 6  # it opens and closes each time


def lived(home, path: Path, night: list[tuple[int, int]]) -> list[bytes]:
    """What a hub would send of a night: a quiet and a busy time, several times over."""
    clock = VirtualClock()
    with Store.open(path, generation=lambda: "7KQ2MX") as store:
        surroundings = home.surroundings(lambda _at: None)
        engine = Engine(home.rules, home.points(), convert, clock.now(), lambda _at: None, surroundings)
        service = Service(home, HubFacts(home, engine, clock))
        desk = Desk(home, store, clock, lambda: moments.Hub(clock="synced", version="0"))
        clerk = Clerk(home, store, clock)
        made = []
        for moved in (*(each for pair in night for each in pair), 0):
            for _ in range(30):
                clock.advance(60.0)
                changes = [*engine.tick(clock.now()), *engine.feed(Batch("bedroom", clock.now(), ("motion",), (moved,)))]
                statements = [*service.take(changes), *service.tick(clock.now())]
                made += clerk.file(desk, statements)
    return [to_wire(replace(each, data=replace(each.data, case=""))) for each in made if each.subject == "bedroom/motion"]


@given(told(), st.sampled_from(["up-at-night", "cold-and-empty"]))
def test_what_a_rule_says_of_a_personal_point_among_others_is_personal(home, seen, rule):
    """A condition over an open and a personal point tells the one by the other."""
    left = Privacy(home).leaving(of(TEMP, "cold-and-empty", **seen)).data
    assert (left.privacy, left.value, left.evidence, left.because) == ("personal", None, None, "")


@pytest.mark.parametrize(
    ("rule", "point", "whose"),
    [
        ("cold", "bedroom/temp", "open"),  # of one point at a time
        ("busy-for-once", "bedroom/temp", "personal"),  # of several of one device
        ("busy-for-once", "hall/temp", "household"),
        ("cools-too-slowly", "hall/temp", "open"),
        ("cold-and-empty", "hall/temp", "personal"),  # of whatever the condition names
        ("device-silent", "bedroom/state", "open"),
        ("device-silent", "tag/state", "personal"),
        ("gone-from-the-config", "hall/temp", "open"),
        ("cold", "bedroom/*", "personal"),
    ],
)
def test_a_moment_is_as_private_as_the_points_that_its_rule_speaks_of_with_it(home, rule, point, whose):
    """Rules over the whole house do not make all of it private because one room is."""
    assert Privacy(home).class_of(point, rule) == whose


def test_a_field_that_is_added_to_a_moment_later_stays_on_the_hub_until_it_is_listed(home):
    """What is not known to tell no value is taken for one that does."""
    known = {*privacy.TELLS_NO_VALUE, "says", "value", "evidence", "privacy"}
    left = Privacy(home).leaving(of(MOTION, "up-at-night", forecast=contract.Forecast(1.0, 2.0, 3.0, 4.0, 0.5)))
    for one in msgspec.structs.fields(Account):
        assert one.name in known or getattr(left.data, one.name) == one.default


@pytest.mark.parametrize(
    ("rule", "phase", "kind", "says"),
    [
        ("up-at-night", "opened", "problem", "Something about Bedroom motion needs attention: rule up-at-night."),
        ("up-at-night", "closed", "problem", "Something about Bedroom motion is over: rule up-at-night."),
        ("up-at-night", "closed", "recovery", "Something about Bedroom motion is well again: rule up-at-night."),
        ("said-plainly", "opened", "problem", "Bedroom motion has been busy for 10 min."),
        ("said-plainly", "closed", "problem", "Something about Bedroom motion is over: rule said-plainly."),
        ("said-with-the-value", "opened", "problem", "Something about Bedroom motion needs attention: rule said-with-the-value."),
    ],
)
def test_where_no_value_may_be_said_the_rules_own_words_stand_if_they_say_none(home, rule, phase, kind, says):
    left = Privacy(home).leaving(of(MOTION, rule, phase=Phase(phase), kind=kind))
    assert left.data.says == says
    assert left.data.privacy == "personal"


# ---------------------------------------------------------------- classes and grains


def test_a_point_has_its_own_class_or_its_devices_or_the_one_for_all(tmp_path):
    known = Privacy(config(tmp_path, '[privacy]\ndefault = "household"')).points
    assert known == {
        "bedroom/motion": "personal",
        "bedroom/temp": "household",
        "hall/door": "household",
        "hall/temp": "household",
        "tag/signal": "personal",
        "tag/state": "personal",  # how the hub gets on with the others is nobody's private business
    }


@given(told())
def test_of_an_open_point_everything_leaves(home, seen):
    seen["adds"].pop("comparisons")
    made = of(TEMP, "cold", **seen)
    assert Privacy(home).leaving(made) is made


def test_of_a_household_the_course_leaves_in_means_of_whole_hours(home):
    series = tuple(float(number) for number in range(50))  # every 5 min: four hours and two readings
    seen = contract.Evidence("", 0.0, 300.0, series, 600)
    left = Privacy(home).leaving(of(DOOR, "open-long", evidence=seen)).data
    assert left.evidence is not None
    assert left.evidence.values == (5.5, 17.5, 29.5, 41.5)
    assert left.evidence.every_s == 3600.0
    assert left.evidence.from_ == START + timedelta(minutes=27, seconds=30)
    assert (left.value, left.because, left.privacy) == (-12.5, "above -15 °C for 10 min", "household")


def test_of_less_than_an_hour_a_household_tells_no_course(home):
    seen = contract.Evidence("", 0.0, 60.0, (1.0,) * 59, 59)
    assert Privacy(home).leaving(of(DOOR, "open-long", evidence=seen)).data.evidence is None


@given(told())
def test_a_comparison_goes_by_the_class_of_the_point_that_it_is_about(home, seen):
    """What is told of a private point beside its own makes a moment private; what it compares of open ones stays."""
    mixed = (
        moments.Comparison(point="bedroom/motion", before=3.0, after=4.0),
        moments.Comparison(point="bedroom/temp", before=17.0, after=20.0),
    )
    seen["adds"]["comparisons"] = mixed
    left = Privacy(home).leaving(of(TEMP, "cold", **seen)).data
    assert left.comparisons == mixed[1:]
    assert (left.privacy, left.because) == ("personal", "")


def test_a_visit_tells_of_each_case_by_the_class_of_its_point(home):
    cases = (
        moments.Mentioned(case="1", subject="bedroom/motion", says="120 1/h"),
        moments.Mentioned(case="2", subject="hall/temp", says="3 °C"),
    )
    visit = moments.Visit(by="An", from_=START, until=START, on=("hall", "bedroom"), open_before=cases, done=("a battery",))
    place = PointInfo("hub/visit", "hub", "visit", "", "visit", "the hub")
    left = Privacy(home).leaving(of(place, "visit", kind="visit", says="An was on site.", adds={"visit": visit})).data
    assert left.visit is not None
    assert [each.says for each in left.visit.open_before] == ["Something about Bedroom motion needed attention.", "3 °C"]
    assert (left.says, left.visit.done) == ("An was on site.", ("a battery",))  # a person wrote that to be told


@given(numbers, numbers)
def test_what_is_told_of_a_visit_does_not_depend_on_any_value_of_a_personal_point(home, desk, before, after):
    """Its text is made of names and numbers of cases."""
    engine = Engine(home.rules, home.points(), convert, 0.0, lambda _at: None, home.surroundings(lambda _at: None))
    facts = HubFacts(home, engine, VirtualClock())
    told = []
    for one, other in ((before, after), (after, before)):
        engine.feed(Batch("bedroom", 0.0, ("motion", "temp"), (other, 20.0)))
        read = {"bedroom/motion": one, "bedroom/temp": 17.0}
        visit = Visit(key="visit 1", by="An", on=("bedroom",), since=0.0, until=60.0, open_before=[], were_open=1, read=read)
        ended = Ended(visit, 60.0, ["bedroom"], [], "somebody said so")
        made = Privacy(home).leaving(desk.write(ended.statement(home, facts)))
        told.append(replace(made, data=replace(made.data, case="")))
    assert told[0] == told[1]
    assert [one.point for one in told[0].data.comparisons] == ["bedroom/temp"]


@pytest.fixture(scope="module")
def desk(home, tmp_path_factory):
    with Store.open(tmp_path_factory.mktemp("desk") / "canary.db") as store:
        yield Desk(home, store, VirtualClock(), lambda: moments.Hub(clock="synced", version="0"))


grains = st.one_of(
    st.builds(Grain, evidence=st.sampled_from(["full", "hourly", "daily", "none"])),
    st.builds(
        Grain,
        value=st.sampled_from(["exact", "rounded", "none"]),
        step=st.sampled_from([0.3, 1.0, 50.0]),
        evidence=st.sampled_from(["hourly", "daily", "none"]),
        text=st.just("plain"),
        names=st.booleans(),
    ),
)


@given(told(), grains, st.booleans(), st.sampled_from([(MOTION, "up-at-night"), (DOOR, "open-long"), (TEMP, "cold")]))
def test_to_make_it_coarse_twice_is_to_make_it_coarse_once(home, seen, grain, withdrawn, about):
    """It is done when a moment is stored, and again when it is sent."""
    household = Household(**msgspec.structs.asdict(grain))
    everything = msgspec.structs.replace(home, privacy=Keys(open_=grain, household=household))
    ruler = Privacy(everything, CLASSES[1:] if withdrawn else ())
    once = ruler.leaving(of(*about, **seen))
    assert to_wire(ruler.leaving(once)) == to_wire(once)
    assert ruler.leaving_wire(to_wire(once)) == to_wire(once)


@given(numbers, st.sampled_from([0.5, 1.0, 50.0]))
def test_a_rounded_value_is_a_multiple_of_its_step_and_no_flag_or_text(home, value, step):
    rounded = Grain(value="rounded", step=step, text="plain")
    ruler = Privacy(msgspec.structs.replace(home, privacy=Keys(open_=rounded)))
    left = ruler.leaving(of(TEMP, "cold", value=value)).data.value
    assert abs(left - value) <= step / 2 + 1e-6 * abs(value)  # a moment has seven digits
    assert left == pytest.approx(round(left / step) * step, rel=1e-6)
    assert ruler.leaving(of(TEMP, "cold", value=True)).data.value is None
    assert ruler.leaving(of(TEMP, "cold", value="ajar")).data.value is None


def test_without_names_nobody_can_tell_which_device_it_was(tmp_path):
    nameless = Privacy(config(tmp_path, "[privacy.personal]\nnames = false\n"))
    left = nameless.leaving(of(MOTION, "up-at-night"))
    wire = to_wire(left)
    assert left.subject == left.data.rule.id == "personal"
    assert left.data.says == "Something private needs attention."
    assert not re.search(rb"motion|[Bb]edroom|night", wire)
    line = PointInfo("bus.line/state", "bus.line", "state", "", "bus line", "bus line")
    down = of(line, "bus-down", says="Silent: bedroom/motion, tag, hall.")
    assert nameless.leaving(down).data.says == "Silent: Something private, Something private, hall."


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('[privacy.household]\nvalue = "none"', "text"),
        ("[privacy.household]\nnames = false", "text"),
        ('[privacy.personal]\nevidence = "full"', "evidence"),
        ('[privacy.personal]\nvalue = "rounded"\nstep = 0', "step"),
        ('[privacy]\ndefault = "secret"', 'one of "household", "open", "personal"'),
    ],
)
def test_a_grain_that_would_leak_is_a_mistake(tmp_path, written, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        config(tmp_path, written)


def test_no_shipped_profile_leaves_the_class_of_a_door_or_a_movement_to_chance():
    """What sounds like people has a class, in the profile; so has what a home uses from minute to minute."""
    folder = Path(__file__).parent.parent / "drivers/profiles"
    for path in sorted(folder.glob("*.toml")):
        assert not check_profile(path)
        for line in path.read_text().splitlines():
            point, sign, rest = line.partition(" = {")
            if sign and re.search(r'object = "(?:window|door|motion|occupancy|presence|opening|garage_door)"', rest):
                assert "privacy =" in rest, f"{path.name}: {point}"
    assert (
        'power_import = { key = "1-0:1.7.0", suffix = "*kW)", unit = "kW", label = "Power taken", privacy = "household" }'
        in (folder / "dsmr-p1.toml").read_text().splitlines()
    )


# ---------------------------------------------------------------- consent


class House:
    """A clerk and a desk at home; `say` files a change."""

    def __init__(self, folder: Path, store: Store, more: str = "") -> None:
        self.config = config(folder, more)
        self.store = store
        self.clock = VirtualClock()
        self.desk = Desk(self.config, store, self.clock, lambda: moments.Hub(clock="synced", version="0"))
        self.clerk = Clerk(self.config, store, self.clock)

    def say(self, point: PointInfo, rule: str, phase: str = "opened", **facts):
        step = change(point=point, rule_id=rule, phase=Phase(phase), episode=facts.pop("episode", f"{rule} {point.id} 1"), **facts)
        return self.clerk.file(self.desk, [Statement(change=step)])

    def withdraw(self, *classes):
        return self.clerk.consent(self.desk, frozenset(classes))

    def sent(self):
        """What would be sent now, in order."""
        sent = []
        while entries := self.clerk.outbox.peek(10):
            sent += [from_wire(self.clerk.leaving(entry.wire)) for entry in entries]
            self.clerk.outbox.ack([entry.seq for entry in entries])
        return sent


@pytest.fixture
def house(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        yield House(tmp_path, store)


def test_what_is_stored_is_only_what_may_leave(house):
    """Also on the card, and in the hub's own log, there is no more."""
    (made,) = house.say(MOTION, "up-at-night", value=123.456)
    assert (made.data.value, made.data.because) == (None, "")
    (entry,) = house.clerk.outbox.peek(1)
    assert b"123" not in entry.wire


def test_of_what_nobody_agrees_to_no_case_begins_to_be_told(house):
    house.withdraw("personal")
    assert house.say(MOTION, "up-at-night") == []
    assert house.say(MOTION, "up-at-night", "worsened") == []
    assert house.say(MOTION, "up-at-night", "closed") == []
    assert [each.data.kind for each in house.sent()] == ["hub"]
    assert len(house.say(DOOR, "open-long")) == 1


def test_nor_of_what_is_only_worth_knowing_and_nothing_of_its_end(house):
    house.withdraw("personal")
    assert house.say(MOTION, "up-at-night", kind="insight") == []
    assert house.say(MOTION, "up-at-night", "closed", kind="insight") == []
    account = change(point=MOTION, rule_id="mute.x", phase=Phase.CLOSED, kind="insight", episode="mute.x#1")
    assert house.clerk.file(house.desk, [Statement(change=account, once=True)]) == []


def test_a_case_that_was_told_before_is_closed_without_a_name(house):
    """Whoever was told that it began is told that it is over, and nothing else."""
    (opened,) = house.say(MOTION, "up-at-night")
    house.withdraw("personal")
    assert house.say(MOTION, "up-at-night", "worsened") == []
    assert house.say(MOTION, "up-at-night", kind="recovery") == []
    (closed,) = house.say(MOTION, "up-at-night", "closed")
    assert (closed.data.case, closed.subject, closed.data.device) == (opened.data.case, "personal", None)
    assert closed.data.says == "Something private is over."


def test_what_waits_when_consent_is_withdrawn_is_sent_without_names_and_values(house):
    house.say(DOOR, "open-long", value=3.0)
    house.say(DOOR, "open-long", "worsened")
    house.withdraw("household")
    first, second, own = sorted(house.sent(), key=lambda each: each.data.seq)
    assert [each.data.seq for each in (first, second, own)] == [1, 2, 3]  # no gap
    assert first.data.case == second.data.case
    for each in (first, second):
        assert (each.subject, each.data.value, each.data.device) == ("household", None, None)
    assert own.data.says == "Consent was withdrawn for what is household."


def test_a_change_of_consent_is_told_once_and_says_nothing_of_anybody(house):
    house.withdraw("personal", "household")
    house.withdraw("personal", "household")
    house.withdraw("personal")
    said = [(each.subject, each.data.says, each.data.how) for each in house.sent()]
    assert said == [
        ("hub/consent", "Consent was withdrawn for what is household and withdrawn for what is personal.", "withdrawn"),
        ("hub/consent", "Consent was granted for what is household.", "granted"),
    ]


def test_consent_stays_withdrawn_after_a_restart_and_another_config(tmp_path):
    with Store.open(tmp_path / "canary.db") as store:
        House(tmp_path, store).withdraw("personal")
    with Store.open(tmp_path / "canary.db") as store:
        house = House(tmp_path, store)
        house.clerk.adopt(house.config)
        assert house.say(MOTION, "up-at-night") == []


@pytest.mark.parametrize(("first", "said"), [(20, "consent is as it was"), (1, "what people had agreed to cannot be read")])
def test_after_damage_to_the_disk_nothing_is_told_to_which_nobody_had_agreed(tmp_path, first, said):
    """Where one page was hit, consent is read; where all were, nobody is taken to agree."""
    path = tmp_path / "canary.db"
    with Store.open(path) as store:
        house = House(tmp_path, store)
        house.withdraw("personal")
        for number in range(25):
            house.say(TEMP, "cold", episode=str(number))
    content = bytearray(path.read_bytes())
    pages = range(first, first + 1) if first > 1 else range(1, len(content) // 1024)
    for page in pages:
        content[page * 1024 : (page + 1) * 1024] = b"\xa5" * 1024
    path.write_bytes(content)
    with Store.open(path) as store:
        assert store.set_aside
        house = House(tmp_path, store)
        assert house.say(MOTION, "up-at-night") == []
        assert (house.say(DOOR, "open-long") == []) == (first == 1)
        (begun, *_) = house.clerk.account(house.desk)
        assert said in begun.data.because


def test_what_is_granted_again_is_told_from_its_next_step_on(house):
    house.withdraw("personal")
    house.say(MOTION, "up-at-night")
    house.withdraw()
    (told,) = house.say(MOTION, "up-at-night", "worsened")
    assert told.data.says == "Something about Bedroom motion has become more urgent: rule up-at-night."
    assert len(house.say(MOTION, "up-at-night", "closed")) == 1


def test_what_is_withheld_takes_no_room_from_what_is_told(tmp_path):
    """Under the ceilings an open case keeps room for its end: one of which nobody knows keeps none."""
    with Store.open(tmp_path / "canary.db") as store:
        house = House(tmp_path, store, "[limits]\nmoments_per_day = 20\n")
        house.withdraw("personal")
        for number in range(50):
            house.say(MOTION, "up-at-night", episode=f"night {number}", severity="critical")
        told = house.say(TEMP, "cold", severity="critical")
        assert [each.data.rule.id for each in told] == ["cold"]


def test_another_config_makes_what_waits_coarser(house, tmp_path):
    house.say(TEMP, "cold", value=3.25)
    text = HOME.replace('temp = {{ input = 3, unit = "°C" }}', 'temp = {{ input = 3, unit = "°C", privacy = "personal" }}')
    house.clerk.adopt(config_of(text.format(state=tmp_path / "state", port=502), tmp_path))
    (sent,) = house.sent()
    assert (sent.data.privacy, sent.data.value) == ("personal", None)


def test_a_case_is_as_private_as_all_that_it_has_been_about(house):
    """What is told of an open point may repeat what was said of a private one that it explains."""
    step = change(point=TEMP, rule_id="cold", phase=Phase.HANDED_OVER, says="It is cold. That explains: motion 120.")
    case = Case(
        key=step.episode, rule_id="cold", rule_kind="threshold", point=TEMP.id, kind="problem", severity="warning", since=0.0,
        owner=moments.Owner(id="desk", because=""), opened_at=0.0, told_at=0.0, says="", lead=step.episode,
        points=[MOTION.id, TEMP.id], rules=["up-at-night", "cold"],
    )  # fmt: skip
    (left,) = house.clerk.file(house.desk, [Statement(change=step, about=case.about)])
    assert (left.data.privacy, left.data.value) == ("personal", None)
    assert "120" not in left.data.says
    assert house.clerk.privacy.of_case(case) == "personal"
    alone = replace(case, points=[TEMP.id], rules=["cold"])
    assert (alone.about, house.clerk.privacy.of_case(alone)) == ((), "open")


def test_what_was_told_and_withheld_is_counted_by_day(house):
    house.say(DOOR, "open-long")
    house.say(DOOR, "open-long", "worsened")
    house.say(TEMP, "cold")  # open: nobody asks
    house.clock.advance(86400.0)
    house.withdraw("household")
    house.say(DOOR, "open-long", "eased")
    assert [tuple(one) for one in house.clerk.left()] == [(0, "household", "", 0, 1), (1, "household", "hall/door", 2, 0)]
    house.clock.advance(20 * 86400.0)
    assert house.clerk.left() == []
    house.say(MOTION, "up-at-night")
    with house.store.transaction():
        assert house.store.execute("SELECT count(*) FROM private").fetchone() == (1,)  # what nobody can see any more is gone


def test_a_full_disk_changes_no_consent(house):
    with house.store.transaction():
        (pages,) = house.store.execute("PRAGMA page_count").fetchone()
    house.store.execute(f"PRAGMA max_page_count = {pages}")
    with suppress(DiskFullError):
        for number in range(400):  # until no page has room for another line
            house.say(TEMP, "cold", episode=str(number))
    with pytest.raises(DiskFullError):
        house.withdraw("personal")
    assert house.clerk.privacy.withdrawn == frozenset()


# ---------------------------------------------------------------- at the hub


def test_the_cloud_can_neither_ask_nor_change_it():
    commands = Commands()
    PrivacyCommands(None).offer(commands)
    assert commands.names("cloud") == []
    for name in ("privacy", "privacy-withdraw", "privacy-grant"):
        with pytest.raises(CommandError, match="only be asked for on the hub itself"):
            commands.read(name, {"what": "all"}, "cloud")


def test_what_leaves_is_shown_in_plain_words(home):
    left = {"days": 1, "privacy": "household", "subject": "hall/door", "told": 2, "withheld": 0}
    shown = {**account(home, Privacy(home, ["personal"])), "left": [left]}
    assert list(words(shown)) == [
        "open: 4 points",
        "  values leave as they are; their course leaves as it was",
        "  texts leave in full, with values; devices, points and rules are named",
        "household: 1 point",
        "  values leave as they are; their course leaves as hourly means",
        "  texts leave in full, with values; devices, points and rules are named",
        "  - hall/door",
        "  in the last 14 days: 2 moments told, 0 withheld",
        "    yesterday: 2 about hall/door",
        "personal: 3 points, consent withdrawn",
        "  nothing leaves, but that something private has ended which had been told before",
        "  - bedroom/motion",
        "  - tag/signal",
        "  - tag/state",
    ]


def test_a_point_that_sounds_private_and_has_no_class_is_shown(tmp_path, capsys):
    config(tmp_path, "[device.hall.points.motion]\ninput = 5\n")
    assert main(["privacy", "--config", str(tmp_path / "hub.toml")]) == 0
    out = capsys.readouterr()
    assert 'hall/motion is told as open, because nothing else is said; if it tells of people, say `privacy = "personal"`' in out.out
    assert "no hub is running" in out.err


@pytest.mark.slow
async def test_consent_is_withdrawn_on_the_hub_and_holds_for_what_waits_there(tmp_path, capsys):
    """The door has been told of while the line was cut; when it is back, what arrives has no name and no value."""
    machine = modbus_machine.device(1, range(5), lambda: dict.fromkeys(range(5), 7))
    server, port = await modbus_machine.serve_tcp(machine)
    broker = Mosquitto(tmp_path)
    config(tmp_path, f'[uplink]\nurl = "{broker.url}"\nretry_first = "0.2 s"\nretry_longest = "0.5 s"\n', port)
    path = str(tmp_path / "hub.toml")
    async with HubProcess(tmp_path / "hub.toml") as hub:
        await hub.until("hall door is 7")
        assert await asyncio.to_thread(main, ["privacy", "withdraw", "household", "--config", path]) == 0
        with broker:
            async with asyncio.timeout(15), listen(Uplink(url=broker.url), "canary/+/moments", SystemClock()) as publications:
                heard = []
                while not any(each.data.rule.id == "consent" for each in heard):
                    heard.append(from_wire((await anext(publications)).payload))
    await server.shutdown()
    private = [each for each in heard if each.data.privacy == "household"]
    assert [(each.subject, each.data.says, each.data.value) for each in private] == [
        ("household", "Something private needs attention.", None)
    ]
    assert "consent is withdrawn for what is household" in capsys.readouterr().out

"""While a technician is at work on devices nothing is told of them and nothing is lost; what the visit did is told once."""

import json
import math
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime

import msgspec
import pytest
from config_of import PLANT, config_of, with_own_rules
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stories_of import Hub

from drivers.contract import Batch, NoValue
from gateway import moments
from gateway.commands import CommandError
from gateway.diagnosis.contract import Fault, Forecast, Phase, PointInfo
from gateway.moments import MAX_BYTES, from_wire, to_wire
from gateway.service.contract import Statement
from gateway.service.visit_commands import Start
from gateway.store import Store

from moments_of import change

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUSE = """
[desk]
name = "CoolCare"
[owner.installer]
name = "CoolTech"
[owner.network]
name = "NetOne"
[bus.hall]
driver = "modbus-tcp"
host = "192.168.1.21"
[device.freezer-1]
bus = "plant"
unit = 1
every = "1 min"
label = "Freezer 1"
serial = "S-1"
installed = 2024-05-01
[device.freezer-1.points]
core = { input = 100, type = "int16", unit = "°C" }
[device.freezer-2]
bus = "plant"
unit = 2
every = "10 s"
[device.freezer-2.points]
core = { input = 100, type = "int16", unit = "°C" }
[device.oven]
bus = "hall"
unit = 1
every = "3 s"
[device.oven.points]
core = { input = 100, type = "int16", unit = "°C" }
[rule.warm]
kind = "threshold"
on = "*/core"
above = "-15 °C"
severity = "critical"
proof = "10 min"
"""
CONFIG = PLANT + HOUSE
REMEDY = """
[device.relay]
bus = "hall"
unit = 2
[device.relay.points]
freezer = { coil = 3, writable = true }
[remedy.restart]
for = "warm"
on = "freezer-1"
cycle = "relay/freezer"
off_for = "10 s"
"""
COLD, WARM, HOT = -18.0, -10.0, -5.0
CORE = ("core",)
DAY = 86400.0


def read(folder, text):
    """The config with its own rule alone."""
    return with_own_rules(config_of(text, folder))


@pytest.fixture
def hub(tmp_path):
    with made(tmp_path) as hub:
        yield hub


@contextmanager
def made(folder, text=CONFIG):
    """A hub of the config on a store of its own."""
    with Store.open(folder / "canary.db") as store:
        hub = Hub(read(folder, text), store, START)
        for device in ("freezer-1", "freezer-2", "oven"):
            say(hub, device, COLD)
        yield hub


def say(hub, device, value, minutes=1.0):
    """A device is read, so many minutes later."""
    hub.feed(Batch(device, hub.now() + 60.0 * minutes, CORE, (value,)))


def told(hub):
    """Kind, phase and subject of each moment so far."""
    return [(moment.data.kind, moment.data.phase.value, moment.subject.partition("/")[0]) for moment in hub.moments]


def visit(hub):
    (moment,) = [moment for moment in hub.moments if moment.data.kind == "visit"]
    return moment.data


# ---------------------------------------------------------------- what is told, and when


def test_what_comes_and_goes_during_a_visit_is_counted_and_not_told(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    say(hub, "freezer-1", WARM)
    say(hub, "freezer-1", COLD)
    say(hub, "freezer-1", COLD, 15)
    assert told(hub) == []
    hub.do(["visit", "end"])
    assert told(hub) == [("visit", "opened", "freezer-1")]
    assert (visit(hub).visit.passed, visit(hub).visit.are_open) == (1, 0)
    say(hub, "freezer-1", COLD, 30)
    say(hub, "freezer-1", COLD, 30)
    assert len(hub.moments) == 1


def test_what_began_during_a_visit_and_is_open_at_its_end_is_told_then_and_marked(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    say(hub, "freezer-1", WARM)
    say(hub, "freezer-1", HOT, 30)
    hub.do(["visit", "end"])
    assert told(hub) == [("problem", "opened", "freezer-1"), ("visit", "opened", "freezer-1")]
    opening, account = (moment.data for moment in hub.moments)
    assert opening.during == account.case
    assert "it began during the visit of Jan, and is still open" in opening.because
    assert account.visit.open_after[0].case == opening.case
    say(hub, "freezer-1", COLD, 5)
    say(hub, "freezer-1", COLD, 15)
    say(hub, "freezer-1", COLD, 1)
    assert told(hub)[2:] == [("problem", "closed", "freezer-1")]
    assert hub.moments[2].data.how == "by itself"


def test_what_the_visit_is_not_about_is_told_as_ever(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    say(hub, "freezer-2", WARM)
    say(hub, "oven", WARM)
    assert told(hub) == [("problem", "opened", "freezer-2"), ("problem", "opened", "oven")]


def test_a_bus_stands_for_all_that_hangs_on_it_and_nothing_for_everything(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "bus.plant"])
    for device in ("freezer-1", "freezer-2", "oven"):
        say(hub, device, WARM)
    assert told(hub) == [("problem", "opened", "oven")]
    hub.do(["visit", "end"])
    hub.do(["visit", "start", "by", "Jan"])
    say(hub, "oven", COLD)
    say(hub, "oven", COLD, 15)
    assert len(hub.moments) == 4


def test_what_was_open_before_stays_open_until_the_visit_is_over_and_is_credited_to_it(hub):
    say(hub, "freezer-1", WARM)
    hub.do(["visit", "start", "by", "Jan Peeters", "on", "freezer-1"])
    say(hub, "freezer-1", COLD, 20)
    say(hub, "freezer-1", COLD, 15)
    say(hub, "freezer-1", COLD, 1)
    assert told(hub) == [("problem", "opened", "freezer-1")]
    hub.do(["visit", "end"])
    assert told(hub)[1:] == [("visit", "opened", "freezer-1"), ("problem", "closed", "freezer-1")]
    opening, account, closing = (moment.data for moment in hub.moments)
    assert account.visit.open_before[0].case == opening.case == closing.case
    assert closing.how == "by the visit of Jan Peeters"


def test_a_repair_must_prove_itself_and_its_return_is_told_under_the_old_number(hub):
    say(hub, "freezer-1", WARM)
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    say(hub, "freezer-1", COLD, 20)
    hub.do(["visit", "end"])
    say(hub, "freezer-1", WARM, 5)
    assert told(hub)[1:] == [("visit", "opened", "freezer-1"), ("problem", "worsened", "freezer-1")]
    opening, _, again = (moment.data for moment in hub.moments)
    assert (again.case, again.openings) == (opening.case, 2)


def test_what_came_and_went_and_comes_back_after_the_visit_is_told_as_opened(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    say(hub, "freezer-1", WARM)
    say(hub, "freezer-1", COLD)
    hub.do(["visit", "end"])
    say(hub, "freezer-1", WARM)
    assert told(hub)[1:] == [("problem", "opened", "freezer-1")]
    say(hub, "freezer-1", COLD)
    say(hub, "freezer-1", COLD, 15)
    say(hub, "freezer-1", COLD, 1)
    assert told(hub)[2:] == [("problem", "closed", "freezer-1")]


def test_what_is_put_right_a_day_later_is_credited_and_later_is_not(hub):
    for device in ("freezer-1", "freezer-2"):
        say(hub, device, WARM)
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-*"])
    hub.do(["visit", "end"])
    say(hub, "freezer-1", COLD, 60)
    say(hub, "freezer-1", COLD, 15)
    say(hub, "freezer-1", COLD, 1)
    say(hub, "freezer-2", WARM, 2 * 1440)
    say(hub, "freezer-2", COLD, 1)
    say(hub, "freezer-2", COLD, 15)
    say(hub, "freezer-2", COLD, 1)
    assert [moment.data.how for moment in hub.moments if moment.data.how] == ["by the visit of Jan", "by itself"]


def test_before_and_after_are_compared(hub):
    for value in [HOT] * 30 + [WARM] * 59 + [HOT]:  # of which the last hour counts
        say(hub, "freezer-1", value)
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    say(hub, "freezer-1", COLD, 20)
    hub.do(["visit", "end"])
    (comparison,) = visit(hub).comparisons
    assert (comparison.point, comparison.unit, comparison.before, comparison.after) == ("freezer-1/core", "°C", WARM, COLD)


BUS = PointInfo("bus.hall/state", "bus.hall", "state", "", "bus hall state", "bus hall", "text")


def test_a_case_that_turns_out_to_be_about_something_else_is_told_at_once(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    take = hub.service.visits.take
    assert not list(take(Statement(change=change())))
    (moved,) = take(Statement(change=change(phase=Phase.HANDED_OVER, point=BUS)))
    assert (moved.change.phase, moved.change.point) == (Phase.OPENED, BUS)
    (ended,) = take(Statement(change=change(phase=Phase.CLOSED, point=BUS)))
    assert ended.change.phase is Phase.CLOSED


def test_a_case_that_was_told_before_is_kept_to_the_end_wherever_it_goes(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    take = hub.service.visits.take
    assert not list(take(Statement(change=change(phase=Phase.WORSENED))))
    assert not list(take(Statement(change=change(phase=Phase.CLOSED, point=BUS))))
    hub.do(["visit", "end"])
    assert told(hub) == [("visit", "opened", "freezer-1"), ("problem", "closed", "bus.hall")]


def test_hand_overs_during_a_visit_are_all_on_record_in_the_end(hub):
    say(hub, "freezer-1", WARM)
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    for owner in ("installer", "network"):
        hub.do(["hand", "over", "case", "case 1", "to", owner, "because", "we say so"])
    assert len(hub.moments) == 1
    hub.do(["visit", "end"])
    assert told(hub)[1:] == [("problem", "handed_over", "freezer-1")] * 2 + [("visit", "opened", "freezer-1")]
    assert [moment.data.owner.id for moment in hub.moments] == ["desk", "installer", "network", "desk"]


def test_of_the_other_steps_of_a_case_the_last_is_told(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    for phase in (Phase.WORSENED, Phase.HANDED_OVER, Phase.EASED, Phase.WORSENED):
        assert not list(hub.service.visits.take(Statement(change=change(phase=phase))))
    hub.do(["visit", "end"])
    assert [phase for kind, phase, _ in told(hub) if kind == "problem"] == ["handed_over", "worsened"]


def test_a_visit_that_should_have_ended_while_the_hub_was_off_ends_with_its_start(hub):
    hub.do(["visit", "start", "by", "Jan", "for", "1 h"])
    hub.clock.advance(5 * 3600.0)
    hub.restart()
    hub.wait_until(hub.now() + 1.0)
    assert visit(hub).visit.by == "Jan"


@pytest.mark.parametrize("where", ["freezer-1", "relay", "bus.hall"])
def test_the_hub_keeps_its_hands_off_what_somebody_is_at_work_on(tmp_path, where):
    with made(tmp_path, CONFIG + REMEDY) as hub:
        hub.do(["visit", "start", "by", "An"])
        say(hub, "freezer-1", WARM)
        hub.do(["visit", "end"])
        hub.do(["visit", "start", "by", "Jan", "on", where])
        hub.restart()
        (case,) = hub.service.book
        assert list(hub.service.remedies.obstacles("restart", case, hub.now()))
        assert bool(case.visit) is (where == "freezer-1")
        hub.do(["visit", "end"])
        assert not list(hub.service.remedies.obstacles("restart", case, hub.now()))
        assert not case.visit


def test_what_was_about_to_be_done_is_left_when_somebody_comes(tmp_path):
    with made(tmp_path, CONFIG + REMEDY) as hub:
        say(hub, "freezer-1", WARM)
        (case,) = hub.service.book
        hub.service.remedies.begin("restart", case, hub.now())
        (order,) = hub.service.remedies.orders(hub.now())
        hub.service.visits.start(Start(by="Jan", on=("relay",)), hub.now())
        assert not hub.service.remedies.hand_out(order)


# ---------------------------------------------------------------- its end


def test_a_visit_that_nobody_ends_ends_by_itself_and_says_so(hub):
    hub.do(["visit", "start", "by", "Jan", "for", "2 h", "on", "freezer-1"])
    say(hub, "freezer-2", COLD, 121)
    assert told(hub) == [("visit", "opened", "freezer-1")]
    assert "ended by itself after 2 h" in visit(hub).because
    with pytest.raises(CommandError, match="no visit is on; begin one with: canary visit start --by NAME"):
        hub.do(["visit", "end"])


def test_without_a_time_it_ends_after_four_hours(hub):
    answer = hub.do(["visit", "start", "by", "Jan"])
    assert answer == {"devices": 3, "open": 0, "for_s": 14400.0, "until": "2026-03-02T12:03+00:00"}
    hub.wait_until(hub.now() + 4 * 3600.0 + 1.0)
    assert told(hub) == [("visit", "opened", "hub")]


def test_times_are_shifted_to_the_timeline_of_a_machine_that_was_restarted(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    say(hub, "freezer-1", WARM)
    known, due = hub.service.memory(), hub.service.visits.next_due
    hub._begin()
    hub.service.recall(known, -5000.0, hub.now() - 5000.0)
    assert hub.service.visits.next_due == due - 5000.0
    hub.tell(hub.service.tick(due - 5000.0))
    opening, account = (moment.data for moment in hub.moments)
    assert (opening.since - account.since).total_seconds() == 60.0
    assert (account.visit.until - account.visit.from_).total_seconds() == 4 * 3600.0


def test_all_that_is_held_outlives_a_restart(hub):
    forecast = Forecast(-15.0, DAY, 0.5 * DAY, math.inf, 0.9)
    held = change(kind="prediction", forecast=forecast, value=NoValue("sensor open"), fault=Fault("bus", "bus.plant", "why"))
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    owner = moments.Owner(id="installer", because="they do")
    handed = {"handed_over": moments.HandedOver(from_="desk", to="installer", because="they do")}
    statement = Statement(change=held, owner=owner, adds=handed, about=(("freezer-1/core", "warm"),))
    assert not list(hub.service.visits.take(statement))
    memory = msgspec.json.decode(msgspec.json.encode(hub.service.memory()))
    hub._begin()
    hub.service.recall(memory, 0.0, hub.now())
    (said, _) = hub.service.visits._end(hub.now(), "")
    assert said.about == statement.about
    hub.tell([said])
    data = hub.moments[0].data
    assert (data.forecast.latest_s, data.forecast.in_s, data.value, data.at_fault) == (None, DAY, None, "bus")
    assert (data.owner.id, data.handed_over.to) == ("installer", "installer")


def test_notes_findings_and_devices_are_in_its_account(hub):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-*"])
    hub.do(["visit", "note", "Cleaned\nthe condenser."])
    hub.do(["visit", "found", "Dust."])
    hub.do(["visit", "replaced", "freezer-1", "serial", "S-2"])
    hub.do(["visit", "serviced", "freezer-2"])
    hub.do(["visit", "end"])
    account = visit(hub).visit
    assert (account.done, account.found, account.serviced) == (("Cleaned the condenser.",), ("Dust.",), ("freezer-2",))
    (replaced,) = account.replaced
    assert (replaced.device, replaced.serial, replaced.was) == ("freezer-1", "S-2", "S-1")


# ---------------------------------------------------------------- what a person may do wrong


@pytest.mark.parametrize(
    ("words", "name", "text"),
    [
        (["start", "by", "An"], "busy", "a visit by Jan is on; end it first with: canary visit end"),
        (["replaced", "freezr-1"], "not-found", 'device: there is no device "freezr-1"; did you mean freezer-1?'),
        (["serviced", "cellar"], "not-found", 'there is no device "cellar"'),
        (["note", " "], "wrong-value", 'text: found text " ", expected text such as "The condenser was full of dust."'),
        (["note", "x" * 301], "wrong-value", "text: 301 characters, expected at most 300"),
    ],
)
def test_a_mistake_is_one_clear_line_and_changes_nothing(hub, words, name, text):
    hub.do(["visit", "start", "by", "Jan"])
    before = hub.service.memory()
    with pytest.raises(CommandError) as error:
        hub.do(["visit", *words])
    assert error.value.name == name
    assert text in str(error.value)
    assert hub.service.memory() == before


def test_a_visit_to_nowhere_is_refused(hub):
    with pytest.raises(CommandError, match=r'there is no device and no bus "freezer-7"'):
        hub.do(["visit", "start", "by", "Jan", "on", "freezer-7"])
    with pytest.raises(CommandError, match="no visit is on"):
        hub.do(["visit", "note", "What?"])


def test_texts_are_bounded_and_the_account_fits_on_the_wire(hub):
    for device in ("freezer-1", "freezer-2", "oven"):
        say(hub, device, WARM)
    hub.do(["visit", "start", "by", "J" * 80])
    for what in ("note", "found"):
        for _ in range(12):
            hub.do(["visit", what, "\N{FREEZING FACE}" * 300])
        with pytest.raises(CommandError, match=r"this visit has 12 .* already"):
            hub.do(["visit", what, "one more"])
    hub.do(["visit", "end"])
    wire = to_wire(hub.moments[-1])
    assert len(wire) <= MAX_BYTES
    account = from_wire(wire).data.visit
    assert account is not None
    assert account.were_open == 3


# ---------------------------------------------------------------- devices


def test_the_devices_concerned_are_read_five_times_as_often_but_at_most_once_a_second(hub):
    assert hub.service.visits.pace() == {}
    hub.do(["visit", "start", "by", "Jan"])
    assert hub.service.visits.pace() == {"freezer-1": 12.0, "freezer-2": 2.0, "oven": 1.0}
    hub.restart()
    assert hub.service.visits.pace() == {"freezer-1": 12.0, "freezer-2": 2.0, "oven": 1.0}
    hub.do(["visit", "end"])
    assert hub.service.visits.pace() == {}


def test_a_device_that_was_replaced_is_told_as_the_new_one_until_the_config_is_edited(hub, tmp_path):
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-1"])
    hub.do(["visit", "replaced", "freezer-1", "serial", "S-2"])
    hub.do(["visit", "end"])
    hub.restart()
    say(hub, "freezer-1", WARM)
    device = hub.moments[-1].data.device
    assert (device.serial, device.installed) == ("S-2", date(2026, 3, 2))
    assert hub.service.records.memory()["freezer-1"]["past"] == ["S-1"]
    hub.config = read(tmp_path, CONFIG.replace('"S-1"', '"S-3"'))
    hub.restart()
    assert hub.service.records.device("freezer-1").serial == "S-3"
    assert hub.service.records.memory()["freezer-1"]["past"] == ["S-1"]


def test_the_diagnosis_is_told_what_was_done(hub, monkeypatch):
    noted = []
    monkeypatch.setattr(hub.engine, "note", lambda event, device, at: noted.append((event, device)) or [])
    hub.do(["visit", "start", "by", "Jan", "on", "freezer-*"])
    hub.do(["visit", "replaced", "freezer-1"])
    hub.do(["visit", "serviced", "freezer-2"])
    hub.do(["visit", "end"])
    assert noted == [("replaced", "freezer-1"), ("service", "freezer-2"), ("visit", "freezer-1"), ("visit", "freezer-2")]


# ---------------------------------------------------------------- nothing is lost

DEVICES = st.sampled_from(["freezer-1", "freezer-2", "oven"])
STEPS = st.one_of(
    st.tuples(st.just("read"), DEVICES, st.sampled_from([COLD, WARM, HOT]), st.sampled_from([0.5, 3.0, 11.0])),
    st.tuples(st.just("start"), st.sampled_from(["freezer-1", "bus.plant", "*"]), st.sampled_from(["10 min", "1 h"])),
    st.tuples(st.sampled_from(["end", "restart", "wait"])),
    st.tuples(st.just("give"), st.sampled_from(["case 1", "case 2", "case 3"]), st.sampled_from(["desk", "installer", "network"])),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=5, max_size=40))
def test_every_case_is_told_or_counted_and_every_visit_once(tmp_path_factory, steps):
    with made(tmp_path_factory.mktemp("hub")) as hub:
        visits = 0
        for step in steps:
            if step[0] == "read":
                say(hub, *step[1:])
            elif step[0] == "start":
                with suppress(CommandError):
                    hub.do(["visit", "start", "by", "Jan", "on", step[1], "for", step[2]])
                    visits += 1
            elif step[0] == "end":
                with suppress(CommandError):
                    hub.do(["visit", "end"])
            elif step[0] == "restart":
                hub.restart()
            elif step[0] == "give":
                with suppress(CommandError, IndexError):
                    hub.do(["hand", "over", "case", step[1], "to", step[2], "because", "we say so"])
            else:
                hub.wait_until(hub.now() + 300.0)
        known = json.dumps(hub.service.memory()["visits"])
        hub.restart()
        assert json.dumps(hub.service.memory()["visits"]) == known
        with suppress(CommandError):
            hub.do(["visit", "end"])
        check(hub, visits)


def check(hub, visits):
    """What must hold once no visit is on."""
    assert [moment.data.kind for moment in hub.moments].count("visit") == visits
    phases: dict[str, list[str]] = {}
    for moment in hub.moments:
        if moment.data.kind in ("problem", "prediction"):
            phases.setdefault(moment.data.case, []).append(moment.data.phase.value)
    owners: dict[str, str] = {}
    for moment in hub.moments:
        handed = moment.data.handed_over
        if handed and moment.data.case in owners:
            assert (handed.from_, handed.to) == (owners[moment.data.case], moment.data.owner.id)
        elif moment.data.case in owners:
            assert moment.data.owner.id == owners[moment.data.case], "nobody has it but by a hand-over"
        owners[moment.data.case] = moment.data.owner.id
    for told in phases.values():
        assert told[0] == "opened"
        assert told.count("opened") == 1
        assert "closed" not in told[:-1]
    open_told = {case for case, told in phases.items() if told[-1] != "closed"}
    numbers = hub.desk.numbers()
    is_open = {numbers.get(case.key, case.key) for case in hub.service.book if case.stage == "open"}
    well = {numbers.get(case.key, case.key) for case in hub.service.book if case.stage == "proving"}
    assert is_open <= open_told, "whatever is open has been told"
    assert open_told <= is_open | well, "whatever was told and has not been closed is still known"
    for device in ("freezer-1", "freezer-2", "oven"):  # and in the end all is closed
        say(hub, device, COLD)
    for _ in range(3):
        for device in ("freezer-1", "freezer-2", "oven"):
            say(hub, device, COLD, 12)
    ends = [moment.data.phase.value for moment in hub.moments if moment.data.kind == "problem"]
    assert ends.count("opened") == ends.count("closed")
    assert not hub.desk.numbers()

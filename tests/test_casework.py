"""A case: what opens it, what it is told of, who has it, and what it takes to close it."""

import json
from pathlib import Path
from typing import Any

import pytest
from config_of import config_of
from rules_of import rule

from drivers.contract import Batch, NoValue
from gateway import moments
from gateway.clock import VirtualClock
from gateway.config.units import convert
from gateway.diagnosis.contract import Change, Fault, Phase, PointInfo, RuleKeys
from gateway.diagnosis.engine import Engine
from gateway.service.casebook import Case, Casebook
from gateway.service.casework import Casework
from gateway.service.ceilings import Ceilings
from gateway.service.contract import Statement
from gateway.service.desk import Desk
from gateway.service.facts import HubFacts
from gateway.store import Store

from moments_of import change

CONFIG = """
[hub]
id = "hub-1"
[owner.cooling]
name = "CoolTech"
covers = ["device.room"]
[owner.wires]
name = "Volt & Sons"
covers = ["bus.plant"]
[bus.plant]
driver = "modbus-rtu"
port = "/dev/ttyUSB0"
[device.room]
bus = "plant"
unit = 1
every = "10 s"
points.temp = { input = 0, unit = "°C" }
points.door = { discrete = 0 }
[rule.warm]
kind = "threshold"
on = "room/temp"
above = "8 °C"
lasting = "5 min"
says = "The room is too warm."
[rule.hot]
kind = "threshold"
on = "room/temp"
above = "20 °C"
severity = "critical"
proof = "0 s"
says = "The room is hot."
[rule.foreseen]
kind = "trend"
on = "room/temp"
above = "8 °C"
[rule.bus-down]
enabled = false
[rule.device-silent]
enabled = false
"""
DEVICE = CONFIG[CONFIG.index("[device.room]") : CONFIG.index("[rule.warm]")]
MINUTE = 60.0


class Room:
    """A cold room that is read every 10 s, its cases, and what is told of them."""

    def __init__(self, text: str = CONFIG) -> None:
        self.clock = VirtualClock()
        self.told: list[Statement] = []
        self.temp: Any = 4.0
        self.reload(text)
        self.run(20)

    def reload(self, text: str) -> None:
        """Another config, or the same; or the start."""
        self.config = config_of(text)
        self.begin(getattr(self, "engine", None))

    def begin(self, old: Engine | None) -> None:
        known = self.casework.memory() if old else []
        self.engine = Engine(self.config.rules, self.config.points(), convert, self.now)
        ended = self.engine.adopt(old) if old else []
        self.book = Casebook(self.config, facts := HubFacts(self.config, self.engine, self.clock))
        self.casework = Casework(self.config, facts, self.book)
        self.told += self.casework.recall(known, 0.0, self.now)
        self.take(*ended)

    def restart(self, shift: float = 0.0, off: float = 0.0) -> None:
        saved = json.loads(json.dumps([self.engine.state(), self.casework.memory()]))
        self.clock.advance(shift + off)
        self.engine = Engine(self.config.rules, self.config.points(), convert, self.now)
        ended = self.engine.restore(saved[0], shift=shift, off=off)
        self.book = Casebook(self.config, facts := HubFacts(self.config, self.engine, self.clock))
        self.casework = Casework(self.config, facts, self.book)
        self.told += self.casework.recall(saved[1], shift, self.now)
        self.casework.pause(off)
        self.take(*ended)

    @property
    def now(self) -> float:
        return self.clock.now()

    def run(self, seconds: float) -> "Room":
        end = self.now + seconds
        while self.now < end:
            self.clock.advance(1.0)
            self.take(*self.engine.tick(self.now))
            if self.casework.next_due <= self.now:
                self.told += self.casework.tick(self.now)
            if self.now % 10 == 0 and self.temp is not None:
                self.take(*self.engine.feed(Batch("room", self.now, ("temp",), (self.temp,))))
        return self

    def read(self, temp: Any, seconds: float) -> "Room":
        """It reads this for so long; None: it is not heard."""
        self.temp = temp
        return self.run(seconds)

    def take(self, *changes: Change) -> "Room":
        self.casework.look_ahead(changes)
        for one in changes:
            self.told += self.casework.take(Statement(change=one))
        return self

    def say(self, phase: str, episode: str = "foreseen:room/temp#1", **facts: Any) -> "Room":
        """A step of an episode about the room's temperature, a forecast if nothing else is said."""
        point = next(point for point in self.config.points() if point.id == "room/temp")
        given = {"kind": "prediction", "rule_id": episode.partition(":")[0], "point": point, "severity": "warning"}
        how = "by itself" if phase == "closed" else ""
        return self.take(
            change(episode=episode, phase=Phase(phase), **{**given, "how": how, "at": self.now, "since": self.now, **facts})
        )

    @property
    def case(self) -> Case:
        (case,) = self.book
        return case

    def phases(self) -> list[str]:
        return [one.change.phase.value for one in self.told]

    @property
    def last(self) -> Change:
        return self.told[-1].change

    def warm(self) -> "Room":
        return self.read(10.0, 6 * MINUTE)


# ---------------------------------------------------------------- the proof of repair


def test_a_case_is_closed_when_it_has_stayed_well_for_as_long_as_it_had_to_last() -> None:
    room = Room().warm().read(4.0, 5 * MINUTE)
    assert room.phases() == ["opened"]
    room.run(20)
    assert room.phases() == ["opened", "closed"]
    first, last = (one.change for one in room.told)
    assert (last.episode, last.how, last.openings) == (first.episode, "by itself", 1)
    assert "It has stayed so for 5 min" in last.says
    assert not room.book.cases


def test_what_comes_back_before_that_is_the_same_case_and_no_news() -> None:
    """The desk has it as open anyway: it is counted, and told at the end."""
    room = Room().warm().read(4.0, 3 * MINUTE).warm()
    assert room.phases() == ["opened"]
    assert (room.case.openings, room.case.stage) == (2, "open")
    room.read(4.0, 6 * MINUTE)
    assert room.phases() == ["opened", "closed"]
    assert room.last.openings == 2
    assert room.last.says.endswith("and has opened 2 times in all.")


def test_what_the_diagnosis_folds_is_counted_once() -> None:
    """From the fourth time in an hour on it is one unstable episode, which counts those before it too."""
    room = Room()
    for _ in range(6):
        room.warm().read(4.0, 2 * MINUTE)
    room.run(70 * MINUTE)
    assert room.phases() == ["opened", "closed"]
    assert room.last.openings == 6


def test_who_was_told_that_it_is_well_is_told_that_it_is_back() -> None:
    room = Room().warm().read(4.0, 3 * MINUTE)
    room.case.credit, room.case.told_well = "by the remedy defrost", True
    room.warm()
    assert room.phases() == ["opened", "worsened"]
    assert room.last.says.startswith("It is back after 8 min: The room is too warm.")
    room.read(4.0, 6 * MINUTE)
    assert (room.last.phase.value, room.last.how) == ("closed", "by itself")  # the remedy did not hold


def test_what_comes_back_worse_is_told() -> None:
    room = Room().warm().read(4.0, 3 * MINUTE).read(25.0, 30)
    assert room.phases() == ["opened", "worsened"]
    assert room.last.severity == "critical"


def test_nothing_is_closed_because_data_stopped() -> None:
    """While there is no value the proof waits, and begins anew when there are values again."""
    room = Room().warm().read(4.0, MINUTE).read(NoValue("sensor open"), 60 * MINUTE)
    assert (room.phases(), room.case.stage) == (["opened"], "proving")
    room.read(4.0, 5 * MINUTE - 10)
    assert room.phases() == ["opened"]
    room.run(MINUTE)
    assert room.phases() == ["opened", "closed"]


def test_nothing_is_closed_by_time_alone() -> None:
    """The device is heard no more, and nobody has noticed yet: the case waits for a value that says that it is well."""
    room = Room().warm().read(4.0, 4 * MINUTE).read(None, 60 * MINUTE)
    assert room.case.stage == "proving"
    room.read(4.0, MINUTE)
    assert room.phases() == ["opened", "closed"]


def test_nothing_is_closed_while_it_is_about_to_come_back() -> None:
    room = Room().warm().read(4.0, 5 * MINUTE - 20).read(10.0, 4 * MINUTE)
    assert (room.phases(), room.case.stage) == (["opened"], "proving")
    room.run(2 * MINUTE)
    assert (room.case.stage, room.case.openings) == ("open", 2)


def test_a_rule_may_want_no_proof() -> None:
    text = CONFIG.replace('lasting = "5 min"', 'lasting = "5 min"\nproof = "0 s"')
    room = Room(text).warm().read(4.0, 20)
    assert room.phases() == ["opened", "closed"]
    assert "stayed" not in room.last.says


def test_the_most_demanding_rule_decides() -> None:
    """The rule "hot" wants no proof, but the room was also too warm for a while."""
    room = Room().warm().read(25.0, MINUTE).read(4.0, 4 * MINUTE)
    assert (room.phases(), room.case.stage) == (["opened", "worsened"], "proving")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, 60.0),
        ({"lasting": 600.0}, 600.0),
        ({"lasting": 600.0, "clear_lasting": 1200.0}, 1200.0),
        ({"lasting": 30 * 86400.0}, 86400.0),
        ({"lasting": 600.0, "proof": 5.0}, 5.0),
        ({"lasting": 600.0, "proof": 0.0}, 0.0),
    ],
)
def test_how_long_a_rule_wants_proof(keys: dict[str, float], expected: float) -> None:
    assert RuleKeys(kind="threshold", on=("a/b",), **keys).proven_after == expected


@pytest.mark.parametrize(("after", "expected"), [(None, 600.0), (5.0, 60.0), (7200.0, 7200.0), (3 * 86400.0, 86400.0)])
def test_what_was_silent_must_be_heard_for_as_long(after: float | None, expected: float) -> None:
    assert rule("silent", after=after).proven_after == expected
    assert rule("silent", after=after, proof=7.0).proven_after == 7.0


def test_a_restart_is_no_proof() -> None:
    """The time for which the hub read nothing does not count, whatever the timeline says."""
    room = Room().warm().read(4.0, MINUTE)
    room.restart(shift=-100.0, off=3600.0)
    room.run(4 * MINUTE - 20)
    assert room.phases() == ["opened"]
    room.run(MINUTE)
    assert room.phases() == ["opened", "closed"]


# ---------------------------------------------------------------- how it came about


def test_a_remedy_has_the_credit() -> None:
    room = Room().warm()
    room.case.credit = "by the remedy defrost"
    room.read(4.0, 6 * MINUTE)
    assert room.last.how == "by the remedy defrost"


def test_the_owner_it_was_handed_over_to_has_the_credit_if_nobody_else_has() -> None:
    room = Room().warm()
    room.told += room.casework.hand_over(room.case, "wires", "They were there last week.", room.now)
    assert room.read(4.0, 6 * MINUTE).last.how == "by the owner it was handed over to"


def test_a_forecast_that_was_averted_says_by_whom() -> None:
    room = Room().say("opened")
    room.case.credit = "by the visit of Jan"
    assert room.say("closed", how="averted").last.how == "averted by the visit of Jan"


@pytest.mark.parametrize(("phase", "how"), [("closed", "averted"), ("closed", "came true"), ("withdrawn", "")])
def test_a_forecast_that_is_over_needs_no_proof(phase: str, how: str) -> None:
    room = Room().say("opened").say("worsened").say(phase, how=how)
    assert room.phases() == ["opened", "worsened", phase]
    assert room.last.how == how
    assert not room.book.cases


# ---------------------------------------------------------------- what is one case


def test_what_else_is_wrong_with_the_same_point_is_the_same_case() -> None:
    """Told only if it is worse; and told when the worst of it is over."""
    room = Room().warm().read(25.0, 20)
    assert [(one.change.phase.value, one.change.severity, one.change.rule_id) for one in room.told] == [
        ("opened", "warning", "warm"),
        ("worsened", "critical", "hot"),
    ]
    room.read(10.0, 20)
    assert (room.last.phase.value, room.last.severity) == ("eased", "warning")
    assert room.last.says.endswith("Something else about it is still open.")
    assert len({one.change.episode for one in room.told}) == 1


def test_what_is_less_severe_is_noted_and_not_told() -> None:
    room = Room().read(25.0, 20).run(6 * MINUTE)
    assert room.phases() == ["opened"]
    assert len(room.case.episodes) == 2


def test_a_forecast_that_comes_true_becomes_a_problem_under_its_number() -> None:
    room = Room().say("opened").warm()
    assert room.phases() == ["opened", "worsened"]
    assert [one.change.kind for one in room.told] == ["prediction", "problem"]
    room.say("closed", how="came true")
    assert room.phases() == ["opened", "worsened"]
    assert room.read(4.0, 6 * MINUTE).last.how == "by itself"


def test_a_forecast_that_is_averted_says_nothing_of_the_problem_that_it_became() -> None:
    room = Room().say("opened").warm().read(4.0, 20).say("closed", how="averted")
    assert (room.phases(), room.case.stage) == (["opened", "worsened"], "proving")
    assert room.run(6 * MINUTE).last.phase is Phase.CLOSED


def test_good_news_passes_and_makes_no_case() -> None:
    room = Room().say("opened", kind="milestone").say("opened", kind="insight").say("closed", kind="insight")
    assert room.phases() == ["opened", "opened", "closed"]
    assert not room.book.cases


def test_what_was_told_before_there_were_cases_is_told_as_it_is() -> None:
    assert Room().say("closed", "warm:room/temp#7", kind="problem").phases() == ["closed"]


# ---------------------------------------------------------------- causes


BUS = PointInfo("bus.plant/state", "bus.plant", "state", "", "bus plant state", "bus plant", "text")
DOWN = {
    "episode": "bus-down:bus.plant/state#1",
    "rule_id": "bus-down",
    "point": BUS,
    "severity": "warning",
    "says": "The bus is down.",
    "fault": Fault("bus", "bus.plant", "the line"),
}
LAID = {"kind": "problem", "caused_by": DOWN["episode"], "fault": Fault("bus", "bus.plant", "the bus failed no later")}


def test_when_its_cause_is_found_a_case_is_handed_over_and_not_doubled() -> None:
    """The first of those that it explains takes it in; the others name that one."""
    room = Room()
    room.say("opened", "warm:room/temp#1", kind="problem")
    room.say("opened", "open:room/door#1", kind="problem", point=PointInfo("room/door", "room", "door", "", "door", "Room"))
    cause = change(**DOWN, at=room.now)
    laid = [
        change(episode=episode, phase=Phase.HANDED_OVER, at=room.now, because="the bus failed no later", **LAID)
        for episode in ("warm:room/temp#1", "open:room/door#1")
    ]
    room.take(cause, *laid)
    assert room.phases() == ["opened", "opened", "handed_over", "handed_over"]
    first, second = room.told[2:]
    assert (first.change.episode, first.change.caused_by) == ("warm:room/temp#1", "")
    assert first.change.says == f"The bus is down. That explains: {room.told[0].change.says}"
    assert (second.change.episode, second.change.caused_by) == ("open:room/door#1", "warm:room/temp#1")
    for one in (first, second):
        assert one.adds["handed_over"] == moments.HandedOver(
            from_="cooling", to="wires", because='the bus failed no later; they cover "bus.plant", and this is bus.plant'
        )
        assert one.change.fault is not None
        assert one.change.fault.layer == "bus"


def test_what_is_laid_to_a_cause_stays_with_its_owner_when_it_gets_worse() -> None:
    """The device itself says more, but what explains it is still the line."""
    room = Room()
    room.say("opened", "warm:room/temp#1", kind="problem")
    room.take(change(**DOWN, at=room.now), change(episode="warm:room/temp#1", phase=Phase.HANDED_OVER, at=room.now, **LAID))
    room.say("worsened", "warm:room/temp#1", kind="problem", severity="critical", caused_by=DOWN["episode"])
    assert room.phases() == ["opened", "handed_over", "worsened"]
    assert room.case.owner.id == "wires"
    assert room.last.fault is not None
    assert room.last.fault.layer == "bus"


def test_a_line_that_fails_again_is_the_case_that_took_it_in() -> None:
    """Also where it had one of its own before, which is closed."""
    room = Room().take(change(**DOWN, at=0.0), change(**DOWN | {"phase": Phase.CLOSED, "how": "no longer watched"}, at=0.0))
    assert not room.book.cases
    room.say("opened", "warm:room/temp#1", kind="problem")
    room.take(change(**DOWN, at=room.now), change(episode="warm:room/temp#1", phase=Phase.HANDED_OVER, at=room.now, **LAID))
    room.take(change(**DOWN | {"phase": Phase.CLOSED, "how": "by itself"}, at=room.now))
    assert room.book.holding(DOWN["episode"]) is None
    room.take(change(**DOWN | {"episode": "bus-down:bus.plant/state#2"}, at=room.now))
    assert list(room.case.episodes) == ["warm:room/temp#1", "bus-down:bus.plant/state#2"]


def test_it_is_over_when_cause_and_effect_are() -> None:
    room = Room()
    room.say("opened", "warm:room/temp#1", kind="problem")
    room.take(change(**DOWN, at=room.now), change(episode="warm:room/temp#1", phase=Phase.HANDED_OVER, at=room.now, **LAID))
    room.take(change(**DOWN | {"phase": Phase.CLOSED, "how": "by itself"}, at=room.now))
    assert room.case.stage == "open"
    room.say("closed", "warm:room/temp#1", kind="problem", caused_by=DOWN["episode"])
    assert room.run(6 * MINUTE).last.how == "by the owner it was handed over to"
    assert not room.book.cases


def test_what_is_handed_back_goes_back_on_the_record() -> None:
    room = Room()
    room.say("opened", "warm:room/temp#1", kind="problem")
    room.take(change(**DOWN, at=room.now), change(episode="warm:room/temp#1", phase=Phase.HANDED_OVER, at=room.now, **LAID))
    room.take(change(**DOWN | {"phase": Phase.CLOSED, "how": "by itself"}, at=room.now))
    room.say("handed_over", "warm:room/temp#1", kind="problem", fault=Fault("device", "room", "the bus works again"))
    assert [(line.from_, line.to) for line in room.case.handovers] == [("cooling", "wires"), ("wires", "cooling")]
    assert room.told[-1].adds["handed_over"].because.startswith("the bus works again; ")


def laid_to(room: Room, layer: str) -> None:
    where, cause = ("room", "") if layer == "device" else ("bus.plant", f"bus-down:bus.plant/state#{len(room.told)}")
    fault = Fault(layer, where, "it looks so")  # type: ignore[arg-type]
    room.say("handed_over", "warm:room/temp#1", kind="problem", fault=fault, caused_by=cause)


def test_two_owners_do_not_go_on_handing_it_to_each_other() -> None:
    """There and back within an hour; then it stays with the last for the rest of it."""
    room = Room().say("opened", "warm:room/temp#1", kind="problem")
    for layer in ("bus", "device", "bus", "device", "bus"):
        laid_to(room, layer)
        room.run(5 * MINUTE)
    assert (room.case.owner.id, len(room.case.handovers)) == ("cooling", 2)
    assert room.phases() == ["opened", "handed_over", "handed_over"]
    room.run(60 * MINUTE)
    laid_to(room, "bus")
    assert room.case.owner.id == "wires"


# ---------------------------------------------------------------- the desk


def test_the_desk_may_give_a_case_to_another_owner() -> None:
    room = Room().warm()
    (told,) = room.casework.hand_over(room.case, "wires", "They were there last week.", room.now, "An")
    assert (told.change.phase, told.change.episode) == (Phase.HANDED_OVER, room.told[0].change.episode)
    assert told.change.says == "The room is too warm. It goes from CoolTech to Volt & Sons."
    assert told.owner is not None
    assert (told.owner.id, told.owner.because) == ("wires", "They were there last week.")
    (line,) = room.case.handovers
    assert (line.from_, line.to, line.by) == ("cooling", "wires", "An")
    assert room.casework.hand_over(room.case, "wires", "Again.", room.now) == []
    with pytest.raises(LookupError):
        room.casework.hand_over(room.case, "nobody", "", room.now)


def test_what_the_desk_decided_stays_while_the_evidence_stays() -> None:
    room = Room().warm()
    room.casework.hand_over(room.case, "wires", "They were there last week.", room.now)
    room.say("worsened", next(iter(room.case.episodes)), kind="problem", severity="critical")
    assert room.told[-1].owner == room.case.owner
    assert room.case.owner.id == "wires"


def test_a_case_is_told_in_the_order_of_its_times() -> None:
    """The diagnosis waits a little with what something else may explain; meanwhile the desk may have had its say."""
    room = Room().say("opened", "warm:room/temp#1", kind="problem").run(MINUTE)
    room.told += room.casework.hand_over(room.case, "desk", "We look at it ourselves.", room.now)
    room.say("worsened", "warm:room/temp#1", kind="problem", at=room.now - 30, fault=Fault("bus", "bus.plant", "the line"))
    assert room.phases() == ["opened", "handed_over", "handed_over", "worsened"]
    assert (times := [one.change.at for one in room.told]) == sorted(times)
    assert (times := [line.at for line in room.case.handovers]) == sorted(times)


def test_the_history_of_a_case_survives_a_restart_and_another_timeline() -> None:
    room = Room().warm()
    room.casework.hand_over(room.case, "wires", "They were there last week.", room.now)
    room.read(4.0, MINUTE)
    before = room.case
    room.restart(shift=-50.0)
    after = room.case
    assert after == before.moved_by(-50.0)
    assert before.well_since is not None
    assert after.well_since == before.well_since - 50.0
    assert (after.since, after.opened_at) == (before.since - 50.0, before.opened_at - 50.0)
    assert after.handovers[0].at == before.handovers[0].at - 50.0
    room.run(5 * MINUTE)
    assert room.phases() == ["opened", "closed"]


# ---------------------------------------------------------------- another config


def test_a_case_whose_rule_is_gone_is_closed_by_another_configuration() -> None:
    without = CONFIG.replace("[rule.warm]", "[rule.warm]\nenabled = false")
    room = Room().warm()
    room.reload(without)
    assert [(one.change.phase.value, one.change.how) for one in room.told[1:]] == [("closed", "by another configuration")]
    room = Room().warm().read(4.0, MINUTE)
    room.reload(without)
    assert [(one.change.phase.value, one.change.how) for one in room.told[1:]] == [("closed", "by another configuration")]
    assert not room.book.cases


def test_a_case_whose_device_is_gone_is_closed_by_another_configuration() -> None:
    room = Room().warm().read(4.0, MINUTE)
    room.reload(
        CONFIG.replace(DEVICE, DEVICE.replace("device.room", "device.other")).replace("room/", "other/").replace(".room", ".*")
    )
    assert room.last.how == "by another configuration"
    assert not room.book.cases


def test_a_case_whose_owner_is_gone_is_handed_over_on_the_record() -> None:
    room = Room().warm()
    room.reload(CONFIG.replace("[owner.cooling]", "[owner.chill]").replace("CoolTech", "Chill & Co"))
    assert room.phases() == ["opened", "handed_over"]
    handed = room.told[-1].adds["handed_over"]
    assert (handed.from_, handed.to) == ("cooling", "chill")
    assert handed.because.startswith("CoolTech is no longer in the config; ")


def test_an_owner_who_has_another_name_is_the_same_owner() -> None:
    room = Room().warm()
    room.reload(CONFIG.replace("CoolTech", "CoolTech International"))
    assert room.phases() == ["opened"]
    assert room.case.owner.name == "CoolTech International"


# ---------------------------------------------------------------- beyond the room


def test_whatever_is_silent_on_its_way_a_case_takes_one_place_in_the_ceilings_until_it_is_closed(tmp_path: Path) -> None:
    room = Room().warm().read(25.0, MINUTE).read(4.0, MINUTE).warm().read(4.0, 6 * MINUTE)
    with Store.open(tmp_path / "canary.db") as store:
        desk = Desk(room.config, store, room.clock, lambda: moments.Hub(clock="synced", version="0"))
        ceilings = Ceilings(store, room.config.limits)
        places = []
        for statement in room.told:
            ceilings.admit([desk.write(statement)], 0.0)
            places.append(ceilings._book(0.0).open_cases)
    assert room.phases() == ["opened", "worsened", "closed"]
    assert places == [1, 1, 0]


def test_memory_stays_the_same_while_nothing_happens() -> None:
    room = Room().warm().read(4.0, MINUTE).read(NoValue("sensor open"), MINUTE)
    before = room.casework.memory()
    assert room.run(60 * MINUTE).casework.memory() == before
